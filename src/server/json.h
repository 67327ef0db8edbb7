/*
 * json.h - small JSON objects, strictly: json.c is the one file that knows the JSON library.
 *
 * For the few options of a request, not for data: bulk arrays are taken out before, see envelope.h. Unknown fields
 * are refused, because a mistyped `betta` must not silently mean the default.
 */
#ifndef SRV_JSON_H
#define SRV_JSON_H

#include "server/envelope.h"

typedef struct srv_json srv_json;

/* Once, before any thread is started: seeds the library's hash tables from the system's random bytes. */
void srv_json_init(void);

/*
 * srv_json_parse() - the small rest of a body, which must be one object with nothing but white space around it.
 *
 * Refused as HOP_E_FORMAT with the byte of the body: malformed text, invalid UTF-8, NUL, NaN, numbers beyond f64
 * or i64, duplicate keys at any depth, anything that is not an object. The text is not needed afterwards. The
 * caller frees *out. Depth and size are envelope.h's to limit: the cost in memory is about 20 times the text.
 */
HOP_WARN_UNUSED hop_status srv_json_parse(const srv_envelope *envelope, srv_json **out, hop_error *error);
void srv_json_free(srv_json *json);

/* Refuse every field that is not in the NULL-terminated list: HOP_E_FORMAT, naming it and the nearest known one. */
HOP_WARN_UNUSED hop_status srv_json_refuse_unknown(const srv_json *json, const char *const *known, hop_error *error);

/* The same for a single name, with `what` ("field", "query parameter") for the message. */
HOP_WARN_UNUSED hop_status srv_name_refuse_unknown(const char *name, const char *what, const char *const *known,
                                                   hop_error *error);

/* The first field that is not in the NULL-terminated list, borrowed from json; NULL: there is none. */
const char *srv_json_first_unknown(const srv_json *json, const char *const *known);

bool srv_json_has(const srv_json *json, const char *name);

/* The field is there, and null. */
bool srv_json_is_null(const srv_json *json, const char *name);

/*
 * Typed fields. An absent field leaves *out alone and is HOP_OK; ask srv_json_has() where it matters. A field of
 * another type (null included) is HOP_E_FORMAT, naming it and both types. Strings are borrowed from json.
 */
HOP_WARN_UNUSED hop_status srv_json_number(const srv_json *json, const char *name, double *out, hop_error *error);
HOP_WARN_UNUSED hop_status srv_json_integer(const srv_json *json, const char *name, int64_t *out, hop_error *error);
HOP_WARN_UNUSED hop_status srv_json_string(const srv_json *json, const char *name, const char **out, hop_error *error);

/* An object, borrowed from json. */
HOP_WARN_UNUSED hop_status srv_json_object(const srv_json *json, const char *name, const srv_json **out,
                                           hop_error *error);

/* A list of exactly n whole numbers >= 0. */
HOP_WARN_UNUSED hop_status srv_json_sizes(const srv_json *json, const char *name, size_t n, size_t *out,
                                          hop_error *error);

/* A list of at most n strings; *count is how many there are. More: HOP_E_FORMAT. */
HOP_WARN_UNUSED hop_status srv_json_strings(const srv_json *json, const char *name, size_t n, const char **out,
                                            size_t *count, hop_error *error);

#endif
