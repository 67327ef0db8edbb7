/*
 * json.c - small JSON objects by way of jansson, which no other file includes.
 */
#include "server/json.h"

#include "server/refuse.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

/* srv_json is never defined: it is json_t under a name that headers can say. */
static const json_t *root_of(const srv_json *json)
{
    return (const json_t *)json;
}

void srv_json_init(void)
{
    json_object_seed(0);
}

hop_status srv_json_parse(const srv_envelope *envelope, srv_json **out, hop_error *error)
{
    json_error_t why;
    json_t *root = json_loadb(envelope->text, envelope->n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!root) {
        if (json_error_code(&why) == json_error_out_of_memory)
            return srv_refuse(error, HOP_E_NOMEM, -1, -1, -1, "out of memory while parsing JSON");
        /* The library counts the bytes it has read; the last of them is the culprit. */
        size_t at = why.position > 0 ? (size_t)why.position - 1 : 0;
        size_t byte = srv_envelope_origin(envelope, at);
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, (int64_t)byte, "malformed JSON: %s (byte %zu)", why.text, byte);
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, 0, "malformed JSON: the body must be an object (byte 0)");
    }
    *out = (srv_json *)root;
    return HOP_OK;
}

void srv_json_free(srv_json *json)
{
    json_decref((json_t *)json);
}

/* ---- names ------------------------------------------------------------------------------------------- */

enum { NAME_MAX_BYTES = 40 };

/* Edits (insert, delete, replace, swap neighbours) from a to b; both at most NAME_MAX_BYTES long. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][NAME_MAX_BYTES + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    size_t n = strlen(a), m = strlen(b);
    for (size_t j = 0; j <= m; j++)
        above[j] = j;
    memcpy(before, above, sizeof rows[0]);
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        size_t *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[m];
}

hop_status srv_name_refuse_unknown(const char *name, const char *what, const char *const *known, hop_error *error)
{
    const char *nearest = NULL;
    size_t nearest_distance = SIZE_MAX;
    for (size_t i = 0; known[i]; i++) {
        if (strcmp(name, known[i]) == 0)
            return HOP_OK;
        if (strlen(name) > NAME_MAX_BYTES || strlen(known[i]) > NAME_MAX_BYTES)
            continue;
        size_t distance = edit_distance(name, known[i]);
        /* Two edits are a slip, three only in a word of some length; more are another word. */
        size_t most = strlen(known[i]) < 6 ? 2 : 3;
        if (distance < nearest_distance && distance <= most) {
            nearest = known[i];
            nearest_distance = distance;
        }
    }
    if (nearest)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "unknown %s `%.40s`: did you mean `%s`?", what, name,
                          nearest);
    return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "unknown %s `%.40s`", what, name);
}

hop_status srv_json_refuse_unknown(const srv_json *json, const char *const *known, hop_error *error)
{
    json_t *root = (json_t *)json;
    for (void *i = json_object_iter(root); i; i = json_object_iter_next(root, i)) {
        hop_status status = srv_name_refuse_unknown(json_object_iter_key(i), "field", known, error);
        if (status != HOP_OK)
            return status;
    }
    return HOP_OK;
}

const char *srv_json_first_unknown(const srv_json *json, const char *const *known)
{
    json_t *root = (json_t *)json;
    for (void *i = json_object_iter(root); i; i = json_object_iter_next(root, i)) {
        const char *const *at = known;
        while (*at && strcmp(*at, json_object_iter_key(i)) != 0)
            at++;
        if (!*at)
            return json_object_iter_key(i);
    }
    return NULL;
}

bool srv_json_has(const srv_json *json, const char *name)
{
    return json_object_get(root_of(json), name) != NULL;
}

bool srv_json_is_null(const srv_json *json, const char *name)
{
    return json_is_null(json_object_get(root_of(json), name));
}

/* ---- typed fields ------------------------------------------------------------------------------------ */

static const char *type_word(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

static hop_status wrong_type(const char *name, const char *expected, const json_t *value, hop_error *error)
{
    return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`%s` must be %s, not %s", name, expected, type_word(value));
}

hop_status srv_json_number(const srv_json *json, const char *name, double *out, hop_error *error)
{
    const json_t *value = json_object_get(root_of(json), name);
    if (!value)
        return HOP_OK;
    if (!json_is_number(value))
        return wrong_type(name, "a number", value, error);
    *out = json_number_value(value);
    return HOP_OK;
}

/* A number without a fraction; 5.0 is one too. */
static bool whole_number(const json_t *value, int64_t *out)
{
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    if (!json_is_real(value))
        return false;
    double real = json_real_value(value);
    if (fabs(real) > 0x1p53 || real != trunc(real))
        return false;
    *out = (int64_t)real;
    return true;
}

hop_status srv_json_integer(const srv_json *json, const char *name, int64_t *out, hop_error *error)
{
    const json_t *value = json_object_get(root_of(json), name);
    if (!value || whole_number(value, out))
        return HOP_OK;
    return json_is_real(value) ? srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`%s` must be a whole number", name)
                               : wrong_type(name, "a whole number", value, error);
}

hop_status srv_json_string(const srv_json *json, const char *name, const char **out, hop_error *error)
{
    const json_t *value = json_object_get(root_of(json), name);
    if (!value)
        return HOP_OK;
    if (!json_is_string(value))
        return wrong_type(name, "a string", value, error);
    *out = json_string_value(value);
    return HOP_OK;
}

hop_status srv_json_object(const srv_json *json, const char *name, const srv_json **out, hop_error *error)
{
    const json_t *value = json_object_get(root_of(json), name);
    if (!value)
        return HOP_OK;
    if (!json_is_object(value))
        return wrong_type(name, "an object", value, error);
    *out = (const srv_json *)value;
    return HOP_OK;
}

hop_status srv_json_sizes(const srv_json *json, const char *name, size_t n, size_t *out, hop_error *error)
{
    const json_t *list = json_object_get(root_of(json), name);
    if (!list)
        return HOP_OK;
    if (!json_is_array(list))
        return wrong_type(name, "a list of whole numbers", list, error);
    if (json_array_size(list) != n)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`%s` has %zu entries, %zu expected", name,
                          json_array_size(list), n);
    for (size_t i = 0; i < n; i++) {
        int64_t entry;
        if (!whole_number(json_array_get(list, i), &entry) || entry < 0)
            return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`%s`: entry %zu must be a whole number of at least 0",
                              name, i);
        out[i] = (size_t)entry;
    }
    return HOP_OK;
}

hop_status srv_json_strings(const srv_json *json, const char *name, size_t n, const char **out, size_t *count,
                            hop_error *error)
{
    const json_t *list = json_object_get(root_of(json), name);
    if (!list)
        return HOP_OK;
    if (!json_is_array(list))
        return wrong_type(name, "a list of strings", list, error);
    size_t entries = json_array_size(list);
    if (entries > n)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`%s` has %zu entries, at most %zu expected", name, entries,
                          n);
    for (size_t i = 0; i < entries; i++) {
        out[i] = json_string_value(json_array_get(list, i));
        if (!out[i])
            return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`%s`: entry %zu must be a string, not %s", name, i,
                              type_word(json_array_get(list, i)));
    }
    *count = entries;
    return HOP_OK;
}
