/*
 * args_model.c - which parameter belongs to which mode, and its range.
 */
#include "server/args_model.h"

#include "server/decimal.h"
#include "server/refuse.h"

#include <stdio.h>
#include <string.h>

typedef struct parameter {
    const char *name;
    hop_mode modes[2]; /* HOP_AUTO, which has no parameters, where there is no second */
} parameter;

static const parameter parameters[] = {
    {"k", {HOP_TOP_K, HOP_AUTO}},
    {"keep", {HOP_RANDOM_MASK, HOP_AUTO}},
    {"seed", {HOP_RANDOM_MASK, HOP_RANDOM_FEATURES}},
    {"width", {HOP_WINDOW, HOP_AUTO}},
    {"features", {HOP_RANDOM_FEATURES, HOP_AUTO}},
    {"alpha", {HOP_ENTMAX, HOP_AUTO}},
};

enum { PARAMETERS = sizeof parameters / sizeof *parameters };

const char *const *srv_model_names(hop_mode mode)
{
    static const char *const none[] = {NULL};
    static const char *const top_k[] = {"k", NULL};
    static const char *const random_mask[] = {"keep", "seed", NULL};
    static const char *const window[] = {"width", NULL};
    static const char *const random_features[] = {"features", "seed", NULL};
    static const char *const entmax[] = {"alpha", NULL};
    switch (mode) {
    case HOP_TOP_K:
        return top_k;
    case HOP_RANDOM_MASK:
        return random_mask;
    case HOP_WINDOW:
        return window;
    case HOP_RANDOM_FEATURES:
        return random_features;
    case HOP_ENTMAX:
        return entmax;
    default:
        return none;
    }
}

static bool takes(hop_mode mode, const char *name)
{
    for (const char *const *own = srv_model_names(mode); *own; own++)
        if (strcmp(*own, name) == 0)
            return true;
    return false;
}

/* "mode top_k takes k", "mode dense takes no parameters" */
static void write_expected(hop_mode mode, char *out, size_t bytes)
{
    const char *const *own = srv_model_names(mode);
    size_t used = (size_t)snprintf(out, bytes, "mode %s takes ", hop_mode_word(mode));
    if (!*own)
        snprintf(out + used, bytes - used, "no parameters");
    for (; *own && used < bytes; own++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%s", own == srv_model_names(mode) ? "" : " and ", *own);
}

static hop_status refuse_foreign(const parameter *foreign, hop_mode mode, hop_error *error)
{
    char expected[80];
    write_expected(mode, expected, sizeof expected);
    bool two = foreign->modes[1] != HOP_AUTO;
    return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`%s` belongs to mode %s%s%s: %s", foreign->name,
                      hop_mode_word(foreign->modes[0]), two ? " and " : "", two ? hop_mode_word(foreign->modes[1]) : "",
                      expected);
}

/* Names in `model` that no mode has, and parameters that this mode does not take, wherever they stand. */
static hop_status check_names(const srv_options *options, const srv_json *model, hop_mode mode, hop_error *error)
{
    const char *known[PARAMETERS + 1] = {NULL};
    for (size_t i = 0; i < PARAMETERS; i++)
        known[i] = parameters[i].name;
    const char *unknown = model ? srv_json_first_unknown(model, known) : NULL;
    if (unknown) {
        char expected[80];
        write_expected(mode, expected, sizeof expected);
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "unknown member `%.40s` of `model`: %s", unknown, expected);
    }
    const srv_options query = {.parameters = options->parameters, .n_parameters = options->n_parameters};
    for (size_t i = 0; i < PARAMETERS; i++) {
        const char *name = parameters[i].name;
        bool in_model = model && srv_json_has(model, name), in_query = srv_options_has(&query, name);
        if ((in_model || in_query) && !takes(mode, name))
            return refuse_foreign(&parameters[i], mode, error);
        if (in_model && in_query)
            return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`%s` is given both in the body and in the query string",
                              name);
    }
    return HOP_OK;
}

/* An integer of at least `low` into a size_t. */
static hop_status read_size(const srv_options *options, const char *name, int64_t low, int64_t high, size_t *out,
                            hop_error *error)
{
    if (!srv_options_has(options, name))
        return HOP_OK;
    int64_t value = low;
    hop_status status = srv_option_ranged(options, name, low, high, &value, error);
    if (status == HOP_OK)
        *out = (uint64_t)value < SIZE_MAX ? (size_t)value : SIZE_MAX - 1;
    return status;
}

static hop_status read_seed(const srv_options *options, uint64_t *out, hop_error *error)
{
    if (!srv_options_has(options, "seed"))
        return HOP_OK;
    int64_t value = 0;
    hop_status status = srv_option_ranged(options, "seed", 0, SRV_MODEL_INTEGER_MAX, &value, error);
    if (status == HOP_OK)
        *out = (uint64_t)value;
    return status;
}

/* A number within [low, high], or above low where `open`. */
static hop_status read_real(const srv_options *options, const char *name, double low, bool open, double high,
                            double *out, hop_error *error)
{
    if (!srv_options_has(options, name))
        return HOP_OK;
    double value = high;
    hop_status status = srv_option_number(options, name, &value, error);
    if (status != HOP_OK)
        return status;
    bool under = open ? !(value > low) : !(value >= low);
    if (under || !(value <= high)) {
        char digits[SRV_F64_TEXT_MAX]; /* all of them: with fewer, what is just outside reads as the limit */
        return srv_refuse_limit(error, HOP_E_DOMAIN, -1, -1, under ? low : high, value,
                                "%s must be %s%g and at most %g, not %.*s", name, open ? "above " : "at least ", low,
                                high, (int)(srv_f64_write(digits, value) - digits), digits);
    }
    *out = value;
    return HOP_OK;
}

hop_status srv_args_model_read(const srv_options *options, hop_mode mode, hop_parameters *out, hop_error *error)
{
    const srv_json *model = NULL;
    hop_status status = options->json ? srv_json_object(options->json, "model", &model, error) : HOP_OK;
    if (status == HOP_OK)
        status = check_names(options, model, mode, error);
    const srv_options given = {.json = model, .parameters = options->parameters, .n_parameters = options->n_parameters};
    if (status == HOP_OK)
        status = read_size(&given, "k", 1, SRV_MODEL_INTEGER_MAX, &out->k, error);
    if (status == HOP_OK)
        status = read_real(&given, "keep", 0, true, 1, &out->keep, error);
    if (status == HOP_OK)
        status = read_seed(&given, &out->seed, error);
    if (status == HOP_OK)
        status = read_size(&given, "width", 0, SRV_MODEL_INTEGER_MAX, &out->width, error);
    if (status == HOP_OK)
        status = read_size(&given, "features", 1, HOP_FEATURES_MAX, &out->features, error);
    if (status == HOP_OK)
        status = read_real(&given, "alpha", 1.01, false, 2, &out->alpha, error);
    return status;
}
