/*
 * fuzz_change.c - changes of settings and lists of ids: what is taken is within bounds, and ids written again are read
 * as the same. The first byte says which of the three readers gets the rest.
 */
#include "requests.h"

#include <math.h>
#include <stdio.h>

static void check_patch(char *text, size_t n)
{
    const srv_args_source source = {.media = SRV_MEDIA_JSON, .body = text, .body_bytes = n};
    srv_patch_args args;
    hop_error error = HOP_ERROR_NONE;
    hop_status status = srv_patch_args_read(&source, &args, &error);
    if (status != HOP_OK) {
        fuzz_check_error(status, &error);
        return;
    }
    FUZZ_CHECK(args.has_beta || args.has_max_error || args.has_max_degree || args.has_labels);
    FUZZ_CHECK(isfinite(args.beta) && args.beta >= 0 && isfinite(args.max_error));
    FUZZ_CHECK(args.max_error == -1 || args.max_error >= 0);
    FUZZ_CHECK(args.max_degree >= -1 && args.max_degree <= HOP_PLAN_DEGREE_MAX);
    FUZZ_CHECK(args.labels || args.n_labels == 0);
    size_t bytes = args.n_labels * sizeof *args.labels;
    for (size_t i = 0; i < args.n_labels; i++) {
        size_t length = strlen(args.labels[i]);
        FUZZ_CHECK(length <= SRV_LABEL_BYTES);
        bytes += length + 1;
    }
    FUZZ_CHECK(bytes <= SRV_PATCH_TEXT_BYTES * n); /* what the request was charged */
    free(args.labels);
    free(args.label_text);
}

static hop_status read_ids(char *text, size_t n, bool body, srv_ids *out, hop_error *error)
{
    const srv_parameter parameter = {"ids", text};
    const srv_args_source source = {.media = SRV_MEDIA_JSON,
                                    .body = body ? text : NULL,
                                    .body_bytes = body ? n : 0,
                                    .parameters = &parameter,
                                    .n_parameters = !body};
    *out = (srv_ids){0};
    *error = HOP_ERROR_NONE;
    return srv_remove_args_read(&source, out, error);
}

static void check_ids(char *text, size_t n, bool body)
{
    srv_ids ids, again;
    hop_error error;
    hop_status status = read_ids(text, n, body, &ids, &error);
    if (status != HOP_OK) {
        fuzz_check_error(status, &error);
        return;
    }
    FUZZ_CHECK(ids.count * sizeof *ids.data <= SRV_ID_TEXT_BYTES * n); /* what the request was charged */
    char *written = malloc(32 + 24 * ids.count), *at = written;
    FUZZ_CHECK(written);
    at += sprintf(at, "{\"ids\":[");
    for (size_t i = 0; i < ids.count; i++)
        at += sprintf(at, "%s%llu", i ? "," : "", (unsigned long long)ids.data[i]);
    at += sprintf(at, "]}");
    FUZZ_CHECK(read_ids(written, (size_t)(at - written), true, &again, &error) == HOP_OK);
    FUZZ_CHECK(again.count == ids.count);
    for (size_t i = 0; i < ids.count; i++)
        FUZZ_CHECK(again.data[i] == ids.data[i] && ids.data[i] <= INT64_MAX);
    free(again.data);
    free(ids.data);
    free(written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    char *text = fuzz_copy(data + 1, n - 1);
    switch (data[0]) {
    case 'p':
        check_patch(text, n - 1);
        break;
    case 'q':
        check_ids(text, strlen(text), false);
        break;
    default:
        check_ids(text, n - 1, true);
    }
    free(text);
    return 0;
}
