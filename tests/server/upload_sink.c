/*
 * upload_sink.c - see upload_sink.h. Running out of memory here ends the program: only the decoder's may be refused.
 */
#include "upload_sink.h"

#include "server/refuse.h"

#include <stdlib.h>
#include <string.h>

static void *grown(void *block, size_t bytes)
{
    void *moved = realloc(block, bytes > 0 ? bytes : 1);
    if (!moved)
        abort();
    return moved;
}

static hop_status take(upload_sink *sink, hop_error *error)
{
    if (sink->calls_left == 0)
        return srv_refuse(error, HOP_E_BUDGET, -1, -1, -1, "the sink is full");
    sink->calls_left -= sink->calls_left > 0;
    return HOP_OK;
}

static hop_status take_rows(upload_sink *sink, unsigned which, size_t n, size_t columns, const float *rows,
                            hop_error *error)
{
    hop_status status = take(sink, error);
    if (status != HOP_OK)
        return status;
    if (n == 0 || columns == 0 || (sink->numbers[which] > 0 && sink->has[which] != columns))
        abort();
    size_t used = sink->numbers[which];
    sink->rows[which] = grown(sink->rows[which], (used + n * columns) * sizeof *rows);
    memcpy(sink->rows[which] + used, rows, n * columns * sizeof *rows);
    sink->numbers[which] += n * columns;
    sink->has[which] = columns;
    return HOP_OK;
}

static hop_status take_memories(void *context, size_t n, size_t columns, const float *rows, hop_error *error)
{
    return take_rows(context, 0, n, columns, rows, error);
}

static hop_status take_values(void *context, size_t n, size_t columns, const float *rows, hop_error *error)
{
    return take_rows(context, 1, n, columns, rows, error);
}

static hop_status take_label(void *context, const char *text, size_t length, hop_error *error)
{
    upload_sink *sink = context;
    hop_status status = take(sink, error);
    if (status != HOP_OK)
        return status;
    sink->text = grown(sink->text, sink->text_bytes + length + 1);
    memcpy(sink->text + sink->text_bytes, text, length);
    sink->text[sink->text_bytes + length] = '\0';
    sink->text_bytes += length + 1;
    sink->labels++;
    return HOP_OK;
}

/* xorshift64: the state is never 0. */
static size_t next_size(upload_cuts *cuts)
{
    if (cuts->seed == 0)
        return cuts->step;
    cuts->seed ^= cuts->seed << 13;
    cuts->seed ^= cuts->seed >> 7;
    cuts->seed ^= cuts->seed << 17;
    return 1 + cuts->seed % cuts->step;
}

static hop_status feed(srv_json_upload *upload, const char *body, size_t n, upload_cuts cuts, hop_error *error)
{
    hop_status status = HOP_OK;
    size_t size = cuts.first;
    while (n > 0 && status == HOP_OK) {
        size_t count = size < n ? size : n;
        char *piece = count > 0 ? grown(NULL, count) : NULL;
        if (count > 0) {
            memcpy(piece, body, count);
            status = srv_json_upload_feed(upload, piece, count, error);
        }
        free(piece);
        body += count;
        n -= count;
        size = next_size(&cuts);
    }
    return status;
}

hop_status upload_sink_read(upload_sink *sink, srv_json_upload_kind kind, const srv_args_limits *limits,
                            const void *body, size_t n, upload_cuts cuts, const srv_parameter *parameters,
                            size_t n_parameters, hop_error *error)
{
    const long calls_left = sink->calls_left;
    *sink = (upload_sink){.calls_left = calls_left};
    *error = HOP_ERROR_NONE;
    const srv_json_sink callbacks = {
        .context = sink, .memories = take_memories, .values = take_values, .label = take_label};
    srv_json_upload *upload = NULL;
    hop_status status = srv_json_upload_new(kind, limits, &callbacks, &upload, error);
    if (status == HOP_OK)
        status = feed(upload, body, n, cuts, error);
    if (status == HOP_OK)
        status =
            srv_json_upload_end(upload, parameters, n_parameters, srv_upload_args_parameters(), &sink->result, error);
    srv_json_upload_free(upload);
    return status;
}

void upload_sink_fini(upload_sink *sink)
{
    free(sink->rows[0]);
    free(sink->rows[1]);
    free(sink->text);
    *sink = (upload_sink){0};
}
