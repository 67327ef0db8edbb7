/*
 * fuzz_upload_json.c - JSON bodies of uploads: they come to the same whatever the cuts, and what is read is written
 * again, and read again to the same.
 */
#include "../server/upload_sink.h"
#include "requests.h"

enum { ROWS = 200 }; /* of fuzz_limits */

/* What the sink was given, as arguments. */
static fuzz_uploaded args_of(const upload_sink *sink, const char **labels)
{
    const srv_json_upload_result *o = &sink->result;
    const char *text = sink->text;
    FUZZ_CHECK(o->M <= ROWS);
    FUZZ_CHECK(sink->numbers[0] == o->M * o->d && sink->numbers[1] == o->M * o->p);
    FUZZ_CHECK(sink->labels == (o->labels ? o->M : 0));
    for (size_t i = 0; i < sink->labels; i++, text += strlen(text) + 1)
        labels[i] = text;
    return (fuzz_uploaded){.M = o->M,
                           .d = o->d,
                           .p = o->p,
                           .memories = sink->rows[0],
                           .values = sink->rows[1],
                           .labels = o->labels ? labels : NULL,
                           .beta = o->options.beta,
                           .max_error = o->options.max_error,
                           .max_degree = o->options.max_degree,
                           .similarity = o->options.similarity};
}

static hop_status read_json(upload_sink *sink, const void *text, size_t n, upload_cuts cuts, hop_error *error)
{
    sink->calls_left = -1;
    return upload_sink_read(sink, SRV_JSON_SET, &fuzz_limits, text, n, cuts, NULL, 0, error);
}

static void check_same(const upload_sink *a, const upload_sink *b)
{
    const char *labels[2][ROWS];
    fuzz_uploaded args = args_of(a, labels[0]), again = args_of(b, labels[1]);
    fuzz_check_same_upload(&args, &again);
}

static void check_same_error(hop_status status, const hop_error *a, hop_status again, const hop_error *b)
{
    FUZZ_CHECK(status == again && a->row == b->row && a->column == b->column && a->byte == b->byte);
    FUZZ_CHECK(strcmp(a->text, b->text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    upload_cuts cuts = {.first = 1, .step = 1 + n % 24, .seed = 0x9e3779b97f4a7c15};
    for (size_t i = 0; i < n; i++)
        cuts.seed = (cuts.seed ^ data[i]) * 0x100000001b3 | 1;
    upload_sink whole, cut;
    hop_error error, cut_error;
    hop_status status = read_json(&whole, data, n, UPLOAD_WHOLE, &error);
    hop_status cut_status = read_json(&cut, data, n, cuts, &cut_error);
    if (status != HOP_OK) {
        fuzz_check_error(status, &error);
        FUZZ_CHECK(error.byte < (int64_t)n + 1);
        check_same_error(status, &error, cut_status, &cut_error);
    } else {
        FUZZ_CHECK(cut_status == HOP_OK);
        check_same(&whole, &cut);
        upload_sink again;
        const char *labels[ROWS];
        fuzz_uploaded args = args_of(&whole, labels);
        char *written = fuzz_upload_json(&args);
        status = read_json(&again, written, strlen(written), cuts, &error);
        if (status != HOP_OK)
            fprintf(stderr, "%s\n%s\n", error.text, written);
        FUZZ_CHECK(status == HOP_OK);
        check_same(&whole, &again);
        free(written);
        upload_sink_fini(&again);
    }
    upload_sink_fini(&whole);
    upload_sink_fini(&cut);
    return 0;
}
