/*
 * fuzz_upload_json.c - JSON bodies of uploads: what is read is written again, and read again to the same.
 */
#include "requests.h"

static hop_status read_json(const void *text, size_t n, srv_upload_args *out, hop_error *error)
{
    char *body = fuzz_copy(text, n);
    srv_args_source source = {.media = SRV_MEDIA_JSON, .body = body, .body_bytes = n};
    *error = HOP_ERROR_NONE;
    hop_status status = srv_upload_args_read(&source, &fuzz_limits, out, error);
    free(body);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    srv_upload_args args, again;
    hop_error error;
    hop_status status = read_json(data, n, &args, &error);
    if (status != HOP_OK) {
        fuzz_check_error(status, &error);
        FUZZ_CHECK(error.byte < (int64_t)n + 1);
        return 0;
    }
    char *written = fuzz_upload_json(&args);
    status = read_json(written, strlen(written), &again, &error);
    if (status != HOP_OK)
        fprintf(stderr, "%s\n%s\n", error.text, written);
    FUZZ_CHECK(status == HOP_OK);
    fuzz_check_same_upload(&args, &again);
    free(written);
    srv_upload_args_fini(&args);
    srv_upload_args_fini(&again);
    return 0;
}
