/*
 * options.h - the options of a request by name, wherever they were given: a JSON field or a query parameter.
 *
 * What an option means and which there are is args.h's.
 */
#ifndef SRV_OPTIONS_H
#define SRV_OPTIONS_H

#include "server/json.h"
#include "server/request.h"

/* Borrowed. json: NULL where the body is not JSON. */
typedef struct srv_options {
    const srv_json *json;
    const srv_parameter *parameters;
    size_t n_parameters;
} srv_options;

/*
 * Refuse (HOP_E_FORMAT) query parameters outside the NULL-terminated list, given twice, or given in the body too.
 */
HOP_WARN_UNUSED hop_status srv_options_check(const srv_options *options, const char *const *known, hop_error *error);

bool srv_options_has(const srv_options *options, const char *name);

/*
 * An option that was not given leaves *out alone. HOP_E_FORMAT where it is not of the type; numbers in the query
 * string follow JSON's grammar.
 */
HOP_WARN_UNUSED hop_status srv_option_number(const srv_options *options, const char *name, double *out,
                                             hop_error *error);
HOP_WARN_UNUSED hop_status srv_option_integer(const srv_options *options, const char *name, int64_t *out,
                                              hop_error *error);
HOP_WARN_UNUSED hop_status srv_option_string(const srv_options *options, const char *name, const char **out,
                                             hop_error *error);

/*
 * A list of words, commas between them in the query string: take() is called for each and may refuse it. word is not
 * NUL-terminated.
 */
HOP_WARN_UNUSED hop_status srv_option_words(const srv_options *options, const char *name,
                                            hop_status (*take)(void *context, const char *word, size_t length,
                                                               hop_error *error),
                                            void *context, hop_error *error);

/* An integer option within [low, high], else HOP_E_DOMAIN (limit, actual). */
HOP_WARN_UNUSED hop_status srv_option_ranged(const srv_options *options, const char *name, int64_t low, int64_t high,
                                             int64_t *out, hop_error *error);

/* HOP_E_DOMAIN unless value is finite and at least 0. */
HOP_WARN_UNUSED hop_status srv_option_check_not_negative(const char *name, double value, hop_error *error);

/* One of them, where it was given. */
HOP_WARN_UNUSED hop_status srv_option_beta(const srv_options *options, double *beta, hop_error *error);
HOP_WARN_UNUSED hop_status srv_option_max_error(const srv_options *options, double *max_error, hop_error *error);

/* `beta` (finite, above 0) and `max_error` (finite, at least 0), where they were given; else HOP_E_DOMAIN. */
HOP_WARN_UNUSED hop_status srv_options_defaults(const srv_options *options, double *beta, double *max_error,
                                                hop_error *error);

#endif
