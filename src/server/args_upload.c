/*
 * args_upload.c - typed arguments of an upload: memories, values, labels and the defaults of the set. Arrays are
 * arrays.c's, finding options is options.c's.
 */
#include "server/args.h"

#include "core/checked.h"
#include "server/arrays.h"
#include "server/options.h"
#include "server/refuse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const upload_names[] = {"memories",  "values",     "labels",     "beta",
                                           "max_error", "max_degree", "similarity", NULL};
static const char *const upload_parameters[] = {"beta", "max_error", "max_degree", "similarity", "d", NULL};

const char *const *srv_upload_args_parameters(void)
{
    return upload_parameters;
}

static hop_status read_upload_options(const srv_options *options, srv_upload_args *args, hop_error *error)
{
    int64_t max_degree = -1;
    const char *similarity = NULL;
    args->beta = 0;
    args->max_error = -1;
    args->similarity = HOP_DOT;
    hop_status status = srv_options_defaults(options, &args->beta, &args->max_error, error);
    if (status == HOP_OK)
        status = srv_option_ranged(options, "max_degree", 0, HOP_PLAN_DEGREE_MAX, &max_degree, error);
    if (status == HOP_OK)
        status = srv_option_string(options, "similarity", &similarity, error);
    if (status == HOP_OK && similarity)
        status = hop_similarity_parse(similarity, &args->similarity, error);
    args->max_degree = (int)max_degree;
    return status;
}

/* The parameter d, 0 where it was not given. */
static hop_status read_d(const srv_options *options, const srv_args_limits *limits, size_t *d, hop_error *error)
{
    int64_t value = 0, most = limits->columns < INT64_MAX ? (int64_t)limits->columns : INT64_MAX;
    hop_status status = srv_option_ranged(options, "d", 1, most, &value, error);
    *d = (size_t)value;
    return status;
}

/* Pointers to each of the strings. */
static hop_status index_labels(const srv_strings *strings, const char ***out, hop_error *error)
{
    size_t bytes;
    const char **labels = hop_mul_size(strings->count, sizeof *labels, &bytes) ? malloc(bytes > 0 ? bytes : 1) : NULL;
    if (!labels)
        return srv_refuse(error, HOP_E_NOMEM, -1, -1, -1, "labels: out of memory");
    const char *p = strings->text;
    for (size_t i = 0; i < strings->count; i++) {
        labels[i] = p;
        p += strlen(p) + 1;
    }
    *out = labels;
    return HOP_OK;
}

/* Arrays that were found, moved into args; sizes against each other are checked later. */
static hop_status move_arrays(const srv_json *json, srv_bulk bulk[3], srv_upload_args *args, hop_error *error)
{
    srv_bulk *memories = &bulk[0], *values = &bulk[1], *labels = &bulk[2];
    for (unsigned i = 0; i < 3; i++) {
        hop_status status = srv_arrays_check_type(json, &bulk[i], error);
        if (status != HOP_OK)
            return status;
    }
    if (!memories->found)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`memories` is missing");
    size_t M = memories->numbers.rows;
    if (values->found && (values->numbers.rows != M || (M > 0 && values->numbers.columns == 0)))
        return srv_refuse(error, HOP_E_SHAPE, -1, -1, -1,
                          "values: %zu x %zu numbers for %zu memories; a row of at least one number each expected",
                          values->numbers.rows, values->numbers.columns, M);
    if (labels->found && labels->strings.count != M)
        return srv_refuse(error, HOP_E_SHAPE, -1, -1, -1, "labels: %zu for %zu memories; one each expected",
                          labels->strings.count, M);
    if (labels->found && M > 0) {
        hop_status status = index_labels(&labels->strings, &args->labels, error);
        if (status != HOP_OK)
            return status;
        args->label_text = labels->strings.text;
        labels->strings.text = NULL;
    }
    args->M = M;
    args->d = memories->numbers.columns;
    args->memories = memories->numbers.data;
    memories->numbers.data = NULL;
    if (values->found) {
        args->p = values->numbers.columns;
        args->values = values->numbers.data;
        values->numbers.data = NULL;
    }
    return HOP_OK;
}

/* All arrays of an upload together. Each alone is within the limit. */
static hop_status check_total(const srv_bulk bulk[3], size_t limit, hop_error *error)
{
    size_t left = limit;
    for (unsigned i = 0; i < 3; i++) {
        size_t bytes = bulk[i].numbers.rows * bulk[i].numbers.columns * sizeof(float) + bulk[i].strings.bytes;
        if (bytes > left)
            return srv_refuse_limit(error, HOP_E_BUDGET, -1, -1, (double)limit, (double)NAN,
                                    "memories, values and labels together exceed %zu bytes", limit);
        left -= bytes;
    }
    return HOP_OK;
}

static hop_status read_json_upload(const srv_args_source *source, const srv_args_limits *limits, size_t *d,
                                   srv_upload_args *args, hop_error *error)
{
    srv_numbers_limits common = {
        .rows = limits->rows, .columns = limits->columns, .bytes = limits->array_bytes, .bytes_status = HOP_E_BUDGET};
    srv_bulk bulk[3] = {{.kind = SRV_BULK_NUMBERS, .limits = common},
                        {.kind = SRV_BULK_NUMBERS, .limits = common},
                        {.kind = SRV_BULK_STRINGS, .limits = common}};
    bulk[0].limits.name = "memories";
    bulk[1].limits.name = "values";
    bulk[2].limits.name = "labels";
    bulk[2].limits.columns = SRV_LABEL_BYTES;
    srv_json *json = NULL;
    hop_status status = srv_arrays_open_json(source, bulk, 3, upload_names, &json, error);
    srv_options options = {.json = json, .parameters = source->parameters, .n_parameters = source->n_parameters};
    if (status == HOP_OK)
        status = srv_options_check(&options, upload_parameters, error);
    if (status == HOP_OK)
        status = read_upload_options(&options, args, error);
    if (status == HOP_OK)
        status = read_d(&options, limits, d, error);
    if (status == HOP_OK)
        status = check_total(bulk, limits->array_bytes, error);
    if (status == HOP_OK)
        status = move_arrays(json, bulk, args, error);
    srv_json_free(json);
    for (unsigned i = 0; i < 3; i++)
        srv_bulk_fini(&bulk[i]);
    return status;
}

static hop_status read_binary_upload(const srv_args_source *source, const srv_args_limits *limits, size_t *d,
                                     srv_upload_args *args, hop_error *error)
{
    srv_numbers_limits common = {.name = "memories",
                                 .rows = limits->rows,
                                 .columns = limits->columns,
                                 .bytes = limits->array_bytes,
                                 .bytes_status = HOP_E_BUDGET};
    srv_options options = {.parameters = source->parameters, .n_parameters = source->n_parameters};
    hop_status status = srv_options_check(&options, upload_parameters, error);
    if (status == HOP_OK)
        status = read_upload_options(&options, args, error);
    if (status == HOP_OK)
        status = read_d(&options, limits, d, error);
    if (status != HOP_OK)
        return status;
    srv_numbers memories;
    if (srv_arrays_is_npy(source))
        status = srv_arrays_read_npy(source, &common, &memories, error);
    else if (*d == 0)
        status = srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "raw f32 memories need the query parameter `d`");
    else
        status = srv_arrays_read_raw(source, *d, &common, &memories, error);
    if (status != HOP_OK)
        return status;
    args->M = memories.rows;
    args->d = memories.columns;
    args->memories = memories.data;
    return HOP_OK;
}

hop_status srv_upload_args_read(const srv_args_source *source, const srv_args_limits *limits, srv_upload_args *out,
                                hop_error *error)
{
    srv_upload_args args = {0};
    size_t d = 0;
    hop_status status = source->media == SRV_MEDIA_JSON ? read_json_upload(source, limits, &d, &args, error)
                                                        : read_binary_upload(source, limits, &d, &args, error);
    if (status == HOP_OK && args.M == 0)
        status = srv_refuse(error, HOP_E_SHAPE, -1, -1, -1, "memories: no rows; at least one memory expected");
    if (status == HOP_OK && args.d == 0)
        status = srv_refuse(error, HOP_E_SHAPE, 0, -1, -1, "memories: row 0 is empty; at least one number expected");
    if (status == HOP_OK && d != 0 && args.d != d)
        status = srv_refuse_limit(error, HOP_E_SHAPE, 0, -1, (double)d, (double)args.d,
                                  "memories: row 0 has %zu numbers, the parameter d says %zu", args.d, d);
    if (status != HOP_OK) {
        srv_upload_args_fini(&args);
        return status;
    }
    *out = args;
    return HOP_OK;
}

void srv_upload_args_fini(srv_upload_args *args)
{
    if (!args)
        return;
    free(args->memories);
    free(args->values);
    free(args->labels);
    free(args->label_text);
    args->memories = args->values = NULL;
    args->labels = NULL;
    args->label_text = NULL;
}
