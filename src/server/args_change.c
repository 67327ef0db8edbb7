/*
 * args_change.c - typed arguments of a change of settings, and of a removal of rows.
 */
#include "server/args.h"

#include "server/arrays.h"
#include "server/options.h"
#include "server/refuse.h"

#include <stdlib.h>
#include <string.h>

static const char *const patch_names[] = {"beta", "max_error", "max_degree", "labels", NULL};
static const char *const remove_names[] = {"ids", NULL};

/* ---- settings ------------------------------------------------------------------------------------------ */

static hop_status read_numbers(const srv_json *json, srv_patch_args *args, hop_error *error)
{
    const srv_options options = {.json = json};
    int64_t max_degree = -1;
    hop_status status = HOP_OK;
    args->has_beta = srv_json_has(json, "beta");
    args->has_max_error = srv_json_has(json, "max_error");
    args->has_max_degree = srv_json_has(json, "max_degree");
    args->beta = 0;
    args->max_error = -1;
    if (!srv_json_is_null(json, "beta"))
        status = srv_option_beta(&options, &args->beta, error);
    if (status == HOP_OK && !srv_json_is_null(json, "max_error"))
        status = srv_option_max_error(&options, &args->max_error, error);
    if (status == HOP_OK && !srv_json_is_null(json, "max_degree"))
        status = srv_option_ranged(&options, "max_degree", 0, HOP_PLAN_DEGREE_MAX, &max_degree, error);
    args->max_degree = (int)max_degree;
    return status;
}

static hop_status read_labels(const srv_json *json, srv_bulk *labels, srv_patch_args *args, hop_error *error)
{
    args->has_labels = labels->found || srv_json_is_null(json, "labels");
    if (!labels->found)
        return args->has_labels ? HOP_OK : srv_arrays_check_type(json, "labels", false, "a list of strings", error);
    hop_status status = srv_strings_index(&labels->strings, &args->labels, error);
    if (status != HOP_OK)
        return status;
    args->n_labels = labels->strings.count;
    args->label_text = labels->strings.text;
    labels->strings.text = NULL;
    return HOP_OK;
}

hop_status srv_patch_args_read(const srv_args_source *source, srv_patch_args *out, hop_error *error)
{
    srv_patch_args args = {0};
    srv_bulk labels = {.kind = SRV_BULK_STRINGS,
                       .limits = {.name = "labels",
                                  .columns = SRV_LABEL_BYTES,
                                  .bytes = source->body_bytes, /* they are never longer than their text */
                                  .bytes_status = HOP_E_BUDGET}};
    srv_json *json = NULL;
    hop_status status = srv_arrays_open_json(source, &labels, 1, patch_names, &json, error);
    if (status == HOP_OK)
        status = read_numbers(json, &args, error);
    if (status == HOP_OK)
        status = read_labels(json, &labels, &args, error);
    if (status == HOP_OK && !args.has_beta && !args.has_max_error && !args.has_max_degree && !args.has_labels)
        status = srv_refuse(error, HOP_E_DOMAIN, -1, -1, -1,
                            "nothing is changed: give `beta`, `max_error`, `max_degree` or `labels`");
    srv_json_free(json);
    srv_bulk_fini(&labels);
    if (status == HOP_OK)
        *out = args;
    return status;
}

/* ---- ids ----------------------------------------------------------------------------------------------- */

hop_status srv_remove_args_read(const srv_args_source *source, srv_ids *out, hop_error *error)
{
    const srv_options options = {.parameters = source->parameters, .n_parameters = source->n_parameters};
    hop_status status = srv_options_check(&options, remove_names, error);
    const char *text = NULL;
    if (status == HOP_OK)
        status = srv_option_string(&options, "ids", &text, error);
    if (status != HOP_OK)
        return status;
    if (text && source->body_bytes > 0)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`ids` are given both in the body and in the query string");
    if (text)
        return srv_ids_parse(text, "ids", out, error);
    if (source->body_bytes == 0)
        return srv_refuse(error, HOP_E_DOMAIN, -1, -1, -1,
                          "nothing is removed: give `ids`, in the query string or as a JSON body");
    srv_bulk ids = {.kind = SRV_BULK_IDS, .limits = {.name = "ids"}};
    srv_json *json = NULL;
    status = srv_arrays_open_json(source, &ids, 1, remove_names, &json, error);
    if (status == HOP_OK)
        status = srv_arrays_check_type(json, "ids", ids.found, "a list of ids", error);
    if (status == HOP_OK && !ids.found)
        status = srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`ids` is missing");
    srv_json_free(json);
    if (status == HOP_OK) {
        *out = ids.ids;
        ids.ids = (srv_ids){0};
    }
    srv_bulk_fini(&ids);
    return status;
}
