/*
 * args_retrieve.c - typed arguments of retrieve, energy and plan: which members and parameters there are, what
 * they may be, and that the sizes agree. Arrays are arrays.c's, finding options is options.c's.
 */
#include "server/args.h"

#include "core/checked.h"
#include "server/args_model.h"
#include "server/arrays.h"
#include "server/options.h"
#include "server/refuse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* In the body parameters of a structured mode stand in `model`, in the query string each by itself. */
static const char *const retrieve_fields[] = {"queries",   "queries_b64", "shape",    "model", "beta",
                                              "max_error", "mode",        "on_unmet", "steps", "tolerance",
                                              "return",    "top",         NULL};
static const char *const retrieve_parameters[] = {"beta",      "max_error", "mode",     "on_unmet", "steps",
                                                  "tolerance", "return",    "top",      "k",        "keep",
                                                  "seed",      "width",     "features", "alpha",    NULL};
static const char *const energy_names[] = {"queries",   "queries_b64", "shape",    "beta",
                                           "max_error", "mode",        "on_unmet", NULL};

enum { ENERGY_FIELDS_ONLY = 3 };

const char *const *srv_retrieve_args_parameters(srv_retrieve_kind kind)
{
    return kind == SRV_ENERGY ? energy_names + ENERGY_FIELDS_ONLY : retrieve_parameters;
}

/* ---- options ----------------------------------------------------------------------------------------- */

static bool same(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static hop_status take_return(void *context, const char *word, size_t length, hop_error *error)
{
    static const struct {
        const char *word;
        unsigned want;
    } words[] = {
        {"energy", HOP_WANT_ENERGY},   {"log_sum_exp", HOP_WANT_LOG_SUM_EXP}, {"top", HOP_WANT_TOP},
        {"support", HOP_WANT_SUPPORT}, {"weights", HOP_WANT_WEIGHTS},         {"steps", HOP_WANT_STEPS},
    };
    unsigned *want = context;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (same(word, length, words[i].word)) {
            *want |= words[i].want;
            return HOP_OK;
        }
    return srv_refuse(error, HOP_E_UNKNOWN, -1, -1, -1,
                      "return: unknown word '%.*s'; energy, log_sum_exp, top, support, weights or steps expected",
                      length < 40 ? (int)length : 40, word);
}

/* Energies and plans are of Z itself: the structured modes are retrieved from only. */
static hop_status read_mode(const srv_options *options, srv_retrieve_kind kind, hop_mode *out, hop_error *error)
{
    const char *word = NULL;
    hop_status status = srv_option_string(options, "mode", &word, error);
    if (status != HOP_OK || !word)
        return status;
    status = hop_mode_parse(word, out, error);
    if (status == HOP_OK && kind != SRV_RETRIEVE && *out > HOP_ALMOST_LINEAR)
        status = srv_refuse(error, HOP_E_DOMAIN, -1, -1, -1,
                            "mode '%s' is a model of its own, for retrieve; auto, dense or almost_linear expected here",
                            word);
    return status;
}

static hop_status read_on_unmet(const srv_options *options, bool *best_effort, hop_error *error)
{
    const char *word = NULL;
    hop_status status = srv_option_string(options, "on_unmet", &word, error);
    if (status != HOP_OK || !word)
        return status;
    if (strcmp(word, "best_effort") != 0 && strcmp(word, "error") != 0)
        return srv_refuse(error, HOP_E_UNKNOWN, -1, -1, -1,
                          "on_unmet: unknown word '%.40s'; best_effort or error expected", word);
    *best_effort = strcmp(word, "best_effort") == 0;
    return HOP_OK;
}

static hop_status read_retrieve_options(const srv_options *options, srv_retrieve_kind kind, srv_retrieve_args *args,
                                        hop_error *error)
{
    hop_request *request = &args->request;
    int64_t steps = 1, top = SRV_TOP_DEFAULT;
    args->beta_given = srv_options_has(options, "beta");
    args->max_error_given = srv_options_has(options, "max_error");
    hop_status status = srv_options_defaults(options, &request->beta, &request->max_error, error);
    if (status == HOP_OK)
        status = read_mode(options, kind, &request->mode, error);
    if (status == HOP_OK && kind != SRV_ENERGY)
        status = srv_args_model_read(options, request->mode, &request->parameters, error);
    if (status == HOP_OK)
        status = read_on_unmet(options, &request->best_effort, error);
    if (status == HOP_OK && kind != SRV_ENERGY) {
        status = srv_option_ranged(options, "steps", 1, HOP_STEPS_MAX, &steps, error);
        if (status == HOP_OK)
            status = srv_option_number(options, "tolerance", &request->tolerance, error);
        if (status == HOP_OK)
            status = srv_option_check_not_negative("tolerance", request->tolerance, error);
        if (status == HOP_OK)
            status = srv_option_words(options, "return", take_return, &request->want, error);
        if (status == HOP_OK)
            status = srv_option_ranged(options, "top", 1, SRV_TOP_MAX, &top, error);
    }
    request->steps = (unsigned)steps;
    request->top = (size_t)top;
    return status;
}

/* ---- queries ----------------------------------------------------------------------------------------- */

/* queries_b64 was found: give its bytes the shape that the body states. */
static hop_status shape_base64(const srv_json *json, srv_bulk *bulk, hop_error *error)
{
    size_t shape[2] = {0, 0}, cells;
    if (!srv_json_has(json, "shape"))
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`queries_b64` needs `shape`: [L, d]");
    hop_status status = srv_json_sizes(json, "shape", 2, shape, error);
    if (status != HOP_OK)
        return status;
    size_t have = bulk->numbers.columns;
    if (!hop_mul_size(shape[0], shape[1], &cells) || cells != have)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1,
                          "queries_b64: a shape of %zu x %zu does not fit %zu f32 (%zu bytes)", shape[0], shape[1],
                          have, have * sizeof(float));
    bulk->numbers.rows = shape[0];
    bulk->numbers.columns = shape[1];
    status = srv_arrays_check_limits(&bulk->limits, shape[0], shape[1], error);
    return status != HOP_OK ? status
                            : srv_arrays_check_finite("queries_b64", bulk->numbers.data, shape[0], shape[1], error);
}

/* The queries of a JSON body, moved out of bulk[0] or bulk[1]. */
static hop_status choose_queries(const srv_json *json, srv_bulk bulk[2], srv_numbers *x, hop_error *error)
{
    for (unsigned i = 0; i < 2; i++) {
        const char *type = bulk[i].kind == SRV_BULK_NUMBERS ? "a list of rows of numbers" : "a base64 string";
        hop_status status = srv_arrays_check_type(json, bulk[i].limits.name, bulk[i].found, type, error);
        if (status != HOP_OK)
            return status;
    }
    if (bulk[0].found && bulk[1].found)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`queries` and `queries_b64` are both given");
    if (!bulk[0].found && !bulk[1].found)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`queries` (or `queries_b64` and `shape`) is missing");
    if (bulk[0].found && srv_json_has(json, "shape"))
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`shape` belongs to `queries_b64`, not to `queries`");
    srv_bulk *found = bulk[0].found ? &bulk[0] : &bulk[1];
    hop_status status = bulk[0].found ? HOP_OK : shape_base64(json, found, error);
    if (status != HOP_OK)
        return status;
    *x = found->numbers;
    found->numbers = (srv_numbers){0};
    return HOP_OK;
}

static hop_status read_json_queries(const srv_args_source *source, srv_retrieve_kind kind,
                                    const srv_numbers_limits *limits, srv_numbers *x, srv_retrieve_args *args,
                                    hop_error *error)
{
    srv_bulk bulk[2] = {{.kind = SRV_BULK_NUMBERS, .limits = *limits}, {.kind = SRV_BULK_BASE64, .limits = *limits}};
    bulk[1].limits.name = "queries_b64";
    srv_json *json = NULL;
    hop_status status =
        srv_arrays_open_json(source, bulk, 2, kind == SRV_ENERGY ? energy_names : retrieve_fields, &json, error);
    srv_options options = {.json = json, .parameters = source->parameters, .n_parameters = source->n_parameters};
    if (status == HOP_OK)
        status = srv_options_check(&options, srv_retrieve_args_parameters(kind), error);
    if (status == HOP_OK)
        status = read_retrieve_options(&options, kind, args, error);
    if (status == HOP_OK)
        status = choose_queries(json, bulk, x, error);
    srv_json_free(json);
    srv_bulk_fini(&bulk[0]);
    srv_bulk_fini(&bulk[1]);
    return status;
}

static hop_status read_binary_queries(const srv_args_source *source, srv_retrieve_kind kind, size_t d,
                                      const srv_numbers_limits *limits, srv_numbers *x, srv_retrieve_args *args,
                                      hop_error *error)
{
    srv_options options = {.parameters = source->parameters, .n_parameters = source->n_parameters};
    hop_status status = srv_options_check(&options, srv_retrieve_args_parameters(kind), error);
    if (status == HOP_OK)
        status = read_retrieve_options(&options, kind, args, error);
    if (status != HOP_OK)
        return status;
    return srv_arrays_is_npy(source) ? srv_arrays_read_npy(source, limits, x, error)
                                     : srv_arrays_read_raw(source, d, limits, x, error);
}

hop_status srv_retrieve_args_read(const srv_args_source *source, srv_retrieve_kind kind, size_t d,
                                  const srv_args_limits *limits, srv_retrieve_args *out, hop_error *error)
{
    srv_numbers_limits bulk = {.name = "queries",
                               .flat = true,
                               .rows = limits->rows,
                               .columns = limits->columns,
                               .bytes = limits->array_bytes,
                               .bytes_status = HOP_E_LIMIT};
    srv_retrieve_args args = {.request = {.beta = (double)NAN, .max_error = (double)NAN, .mode = HOP_AUTO}};
    hop_parameters_default(&args.request.parameters);
    srv_numbers x = {0};
    hop_status status = source->media == SRV_MEDIA_JSON ? read_json_queries(source, kind, &bulk, &x, &args, error)
                                                        : read_binary_queries(source, kind, d, &bulk, &x, &args, error);
    if (status != HOP_OK)
        return status;
    if (x.rows == 0)
        status = srv_refuse(error, HOP_E_SHAPE, -1, -1, -1, "the batch is empty: at least one query expected");
    else if (x.columns != d)
        status = srv_refuse_limit(error, HOP_E_SHAPE, 0, -1, (double)d, (double)x.columns,
                                  "queries: row 0 has %zu numbers, the set has d = %zu", x.columns, d);
    if (status != HOP_OK) {
        free(x.data);
        return status;
    }
    args.L = x.rows;
    args.x = x.data;
    *out = args;
    return HOP_OK;
}

void srv_retrieve_args_fini(srv_retrieve_args *args)
{
    if (!args)
        return;
    free(args->x);
    args->x = NULL;
}
