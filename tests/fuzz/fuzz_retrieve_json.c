/*
 * fuzz_retrieve_json.c - JSON bodies of retrieve: what is read is written again, and read again to the same.
 */
#include "requests.h"

/* Read a copy of text for a set of dimension d. */
static hop_status read_json(const void *text, size_t n, size_t d, srv_retrieve_args *out, hop_error *error)
{
    char *body = fuzz_copy(text, n);
    srv_args_source source = {.media = SRV_MEDIA_JSON, .body = body, .body_bytes = n};
    *error = HOP_ERROR_NONE;
    hop_status status = srv_retrieve_args_read(&source, SRV_RETRIEVE, d, &fuzz_limits, out, error);
    free(body);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    srv_retrieve_args args, again;
    hop_error error;
    size_t d = 3;
    hop_status status = read_json(data, n, d, &args, &error);
    if (status == HOP_E_SHAPE && error.actual >= 1) { /* the error says which d would have done */
        d = (size_t)error.actual;
        status = read_json(data, n, d, &args, &error);
        FUZZ_CHECK(status == HOP_OK);
    }
    if (status != HOP_OK) {
        fuzz_check_error(status, &error);
        FUZZ_CHECK(error.byte < (int64_t)n + 1);
        return 0;
    }
    char *written = fuzz_retrieve_json(&args, d);
    status = read_json(written, strlen(written), d, &again, &error);
    if (status != HOP_OK)
        fprintf(stderr, "%s\n%s\n", error.text, written);
    FUZZ_CHECK(status == HOP_OK);
    fuzz_check_same_retrieve(&args, &again, d);
    free(written);
    srv_retrieve_args_fini(&args);
    srv_retrieve_args_fini(&again);
    return 0;
}
