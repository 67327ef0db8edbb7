/*
 * options.c - options by name from a JSON object or a query string, typed.
 */
#include "server/options.h"

#include "server/decimal.h"
#include "server/refuse.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *parameter(const srv_options *options, const char *name)
{
    for (size_t i = 0; i < options->n_parameters; i++)
        if (strcmp(options->parameters[i].name, name) == 0)
            return options->parameters[i].value;
    return NULL;
}

hop_status srv_options_check(const srv_options *options, const char *const *known, hop_error *error)
{
    for (size_t i = 0; i < options->n_parameters; i++) {
        const char *name = options->parameters[i].name;
        hop_status status = srv_name_refuse_unknown(name, "query parameter", known, error);
        if (status != HOP_OK)
            return status;
        for (size_t j = 0; j < i; j++)
            if (strcmp(options->parameters[j].name, name) == 0)
                return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "the query parameter `%s` comes twice", name);
        if (options->json && srv_json_has(options->json, name))
            return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`%s` is given both in the body and in the query string",
                              name);
    }
    return HOP_OK;
}

bool srv_options_has(const srv_options *options, const char *name)
{
    return (options->json && srv_json_has(options->json, name)) || parameter(options, name);
}

hop_status srv_option_number(const srv_options *options, const char *name, double *out, hop_error *error)
{
    const char *text = parameter(options, name);
    if (!text)
        return options->json ? srv_json_number(options->json, name, out, error) : HOP_OK;
    double value;
    const char *end = text + strlen(text), *stop;
    srv_decimal read = srv_f64_read(text, end, &stop, &value);
    if (read == SRV_DECIMAL_BEYOND_F64)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`%s`: the number is beyond the range of f64", name);
    if (read != SRV_DECIMAL_OK || stop != end)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`%s` must be a number, not '%.40s'", name, text);
    *out = value;
    return HOP_OK;
}

/* Digits as JSON has them, perhaps after a minus, within i64: read without a detour over f64. */
static bool plain_integer(const char *text, int64_t *out)
{
    const char *digits = text + (*text == '-');
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || digits[n] != '\0' || (n > 1 && *digits == '0'))
        return false;
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno != 0)
        return false;
    *out = value;
    return true;
}

hop_status srv_option_integer(const srv_options *options, const char *name, int64_t *out, hop_error *error)
{
    if (!parameter(options, name))
        return options->json ? srv_json_integer(options->json, name, out, error) : HOP_OK;
    if (plain_integer(parameter(options, name), out))
        return HOP_OK;
    double value = 0;
    hop_status status = srv_option_number(options, name, &value, error);
    if (status != HOP_OK)
        return status;
    if (fabs(value) > 0x1p53 || value != trunc(value))
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`%s` must be a whole number", name);
    *out = (int64_t)value;
    return HOP_OK;
}

hop_status srv_option_string(const srv_options *options, const char *name, const char **out, hop_error *error)
{
    const char *text = parameter(options, name);
    if (!text)
        return options->json ? srv_json_string(options->json, name, out, error) : HOP_OK;
    *out = text;
    return HOP_OK;
}

hop_status srv_option_words(const srv_options *options, const char *name,
                            hop_status (*take)(void *context, const char *word, size_t length, hop_error *error),
                            void *context, hop_error *error)
{
    const char *text = parameter(options, name);
    if (text) {
        while (*text != '\0') {
            size_t length = strcspn(text, ",");
            hop_status status = take(context, text, length, error);
            if (status != HOP_OK)
                return status;
            text += length;
            if (*text == ',' && *++text == '\0')
                return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`%s` ends with a comma", name);
        }
        return HOP_OK;
    }
    if (!options->json)
        return HOP_OK;
    enum { WORDS_MAX = 16 };
    const char *words[WORDS_MAX];
    size_t count = 0;
    hop_status status = srv_json_strings(options->json, name, WORDS_MAX, words, &count, error);
    for (size_t i = 0; status == HOP_OK && i < count; i++)
        status = take(context, words[i], strlen(words[i]), error);
    return status;
}

static hop_status check_beta(double beta, hop_error *error)
{
    if (isfinite(beta) && beta > 0)
        return HOP_OK;
    return srv_refuse_limit(error, HOP_E_DOMAIN, -1, -1, 0, beta, "beta must be a finite number above 0, not %g", beta);
}

hop_status srv_option_check_not_negative(const char *name, double value, hop_error *error)
{
    if (isfinite(value) && value >= 0)
        return HOP_OK;
    return srv_refuse_limit(error, HOP_E_DOMAIN, -1, -1, 0, value, "%s must be a finite number of at least 0, not %g",
                            name, value);
}

/* An integer option within [low, high]; *out holds its default. */
hop_status srv_option_ranged(const srv_options *options, const char *name, int64_t low, int64_t high, int64_t *out,
                             hop_error *error)
{
    if (!srv_options_has(options, name))
        return HOP_OK;
    int64_t value = low;
    hop_status status = srv_option_integer(options, name, &value, error);
    if (status != HOP_OK)
        return status;
    if (value < low || value > high)
        return srv_refuse_limit(error, HOP_E_DOMAIN, -1, -1, (double)(value < low ? low : high), (double)value,
                                "%s must be %lld to %lld, not %lld", name, (long long)low, (long long)high,
                                (long long)value);
    *out = value;
    return HOP_OK;
}

hop_status srv_option_beta(const srv_options *options, double *beta, hop_error *error)
{
    hop_status status = srv_option_number(options, "beta", beta, error);
    return status == HOP_OK && srv_options_has(options, "beta") ? check_beta(*beta, error) : status;
}

hop_status srv_option_max_error(const srv_options *options, double *max_error, hop_error *error)
{
    hop_status status = srv_option_number(options, "max_error", max_error, error);
    return status == HOP_OK && srv_options_has(options, "max_error")
               ? srv_option_check_not_negative("max_error", *max_error, error)
               : status;
}

/* beta and max_error: what both kinds of request have. Left alone where not given. */
hop_status srv_options_defaults(const srv_options *options, double *beta, double *max_error, hop_error *error)
{
    hop_status status = srv_option_beta(options, beta, error);
    return status == HOP_OK ? srv_option_max_error(options, max_error, error) : status;
}
