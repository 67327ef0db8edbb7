/*
 * args_upload.c - the options of an upload, typed. Its rows are intake.h's, finding options is options.c's.
 */
#include "server/args.h"

#include "server/options.h"

static const char *const upload_parameters[] = {"beta", "max_error", "max_degree", "similarity", "d", "sha256", NULL};

const char *const *srv_upload_args_parameters(void)
{
    return upload_parameters;
}

hop_status srv_upload_options_read(const srv_options *options, size_t columns, srv_upload_options *out,
                                   hop_error *error)
{
    int64_t max_degree = -1, d = 0;
    const char *similarity = NULL;
    srv_upload_options read = {.beta = 0, .max_error = -1, .similarity = HOP_DOT};
    hop_status status = srv_options_defaults(options, &read.beta, &read.max_error, error);
    if (status == HOP_OK)
        status = srv_option_ranged(options, "max_degree", 0, HOP_PLAN_DEGREE_MAX, &max_degree, error);
    if (status == HOP_OK)
        status = srv_option_string(options, "similarity", &similarity, error);
    if (status == HOP_OK && similarity)
        status = hop_similarity_parse(similarity, &read.similarity, error);
    if (status == HOP_OK)
        status = srv_option_ranged(options, "d", 1, columns < INT64_MAX ? (int64_t)columns : INT64_MAX, &d, error);
    if (status != HOP_OK)
        return status;
    read.max_degree = (int)max_degree;
    read.d = (size_t)d;
    *out = read;
    return HOP_OK;
}
