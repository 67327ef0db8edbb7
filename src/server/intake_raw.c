/*
 * intake_raw.c - an upload as bare f32 rows. Where the length of the body is known they go to their places; where it
 * is not, whole rows are collected and the builder grows.
 */
#include "server/intake_format.h"

#include "core/checked.h"
#include "server/refuse.h"

#include <stdlib.h>
#include <string.h>

enum { COLLECTED_BYTES = 65536 }; /* at least one row */

typedef struct raw_state {
    size_t row_bytes;
    store_cells cells; /* of all rows, or of those that are being collected */
    float *rows;       /* where they are collected; NULL: the number of rows is known */
    size_t rows_bytes;
} raw_state;

static hop_status not_whole(const raw_state *raw, size_t bytes, hop_error *error)
{
    size_t d = raw->row_bytes / sizeof(float);
    if (bytes == 0)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, 0, "memories: the body is empty");
    return srv_refuse(error, HOP_E_FORMAT, -1, -1, (int64_t)bytes,
                      "memories: %zu bytes are not a whole number of rows of %zu f32 (%zu bytes each)", bytes, d,
                      raw->row_bytes);
}

static hop_status raw_begin(srv_intake *intake, hop_error *error)
{
    size_t d = intake->options.d, M = 0, body_bytes = intake->source.body_bytes;
    if (d == 0)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "raw f32 memories need the query parameter `d`");
    raw_state *raw = calloc(1, sizeof *raw);
    if (!raw)
        return srv_refuse(error, HOP_E_NOMEM, -1, -1, -1, "out of memory for an upload");
    intake->state = raw;
    if (!hop_mul_size(d, sizeof(float), &raw->row_bytes))
        return srv_refuse(error, HOP_E_SHAPE, -1, -1, -1, "d = %zu is too large", d);
    bool known = body_bytes != SIZE_MAX;
    if (known && (body_bytes == 0 || body_bytes % raw->row_bytes != 0))
        return not_whole(raw, body_bytes, error);
    float *memories = NULL, *values;
    M = known ? body_bytes / raw->row_bytes : 0;
    hop_status status = srv_intake_shape(intake, known, M, d, 0, &memories, &values, error);
    if (status == HOP_OK && !known) {
        M = raw->row_bytes < COLLECTED_BYTES ? COLLECTED_BYTES / raw->row_bytes : 1;
        raw->rows_bytes = M * raw->row_bytes;
        void *rows = NULL;
        status = srv_intake_block(intake, raw->rows_bytes, "rows of this upload", &rows, error);
        memories = raw->rows = rows;
    }
    if (status == HOP_OK)
        raw->cells = store_cells_start("memories", STORE_NPY_F4, M, d, memories);
    return status;
}

static void raw_finish(srv_intake *intake)
{
    raw_state *raw = intake->state;
    if (raw)
        srv_intake_drop(intake, raw->rows, raw->rows_bytes);
    free(raw);
}

/* What was collected goes to the builder: whole rows alone. */
static hop_status add(srv_intake *intake, raw_state *raw, hop_error *error)
{
    size_t M = raw->cells.taken / raw->row_bytes;
    hop_status status = store_builder_add(intake->builder, M, raw->rows, NULL, error);
    raw->cells.first_row += M;
    raw->cells.taken = 0;
    return status;
}

static hop_status raw_feed(srv_intake *intake, const unsigned char *bytes, size_t n, hop_error *error)
{
    raw_state *raw = intake->state;
    while (n > 0) {
        size_t left = store_cells_left(&raw->cells), more = n < left ? n : left;
        if (more == 0) /* more than the length that was announced: http.c lets none through */
            return not_whole(raw, intake->received, error);
        hop_status status = store_cells_feed(&raw->cells, bytes, more, error);
        if (status == HOP_OK && raw->rows && more == left)
            status = add(intake, raw, error);
        if (status != HOP_OK)
            return status;
        bytes += more;
        n -= more;
    }
    return HOP_OK;
}

static hop_status raw_end(srv_intake *intake, hop_error *error)
{
    raw_state *raw = intake->state;
    if (raw->rows && (intake->received == 0 || raw->cells.taken % raw->row_bytes != 0))
        return not_whole(raw, intake->received, error);
    if (!raw->rows)
        return store_cells_left(&raw->cells) == 0 ? HOP_OK : not_whole(raw, intake->received, error);
    return raw->cells.taken > 0 ? add(intake, raw, error) : HOP_OK;
}

const srv_intake_format srv_intake_raw = {raw_begin, raw_feed, raw_end, raw_finish};
