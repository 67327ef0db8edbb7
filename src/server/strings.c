/*
 * strings.c - lists of strings, one behind the other.
 */
#include "server/strings.h"

#include "core/checked.h"
#include "server/json_text.h"
#include "server/refuse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Room for `more` bytes behind out->bytes. */
static hop_status strings_reserve(srv_strings *out, size_t *capacity, size_t more, const char *name, hop_error *error)
{
    if (more <= *capacity - out->bytes)
        return HOP_OK;
    size_t grown;
    char *text = NULL;
    if (hop_mul_size(*capacity, 2, &grown) && hop_add_size(grown, more, &grown))
        text = realloc(out->text, grown);
    if (!text)
        return srv_refuse(error, HOP_E_NOMEM, -1, -1, -1, "%s: out of memory", name);
    out->text = text;
    *capacity = grown;
    return HOP_OK;
}

/* The list from behind its opening bracket; what was read stays in *out for the caller to free. */
static hop_status read_strings(const char *text, size_t n, size_t *i, const char *name, size_t max_each,
                               size_t max_bytes, srv_strings *out, hop_error *error)
{
    size_t capacity = 0;
    for (;;) {
        while (*i < n && srv_json_space(text[*i]))
            ++*i;
        if (out->count == 0 && *i < n && text[*i] == ']') {
            ++*i;
            return HOP_OK;
        }
        if (*i >= n || text[*i] != '"')
            return srv_refuse(error, HOP_E_FORMAT, (int64_t)out->count, -1, (int64_t)*i,
                              "%s: entry %zu is not a string (byte %zu)", name, out->count, *i);
        size_t length = 0, end = 0;
        hop_status status = srv_string_decode(text, n, *i, NULL, &length, &end, error);
        if (status != HOP_OK)
            return status;
        if (length > max_each)
            return srv_refuse_limit(error, HOP_E_LIMIT, (int64_t)out->count, -1, (double)max_each, (double)length,
                                    "%s: entry %zu has %zu bytes, the limit is %zu", name, out->count, length,
                                    max_each);
        if (length + 1 > max_bytes || out->bytes > max_bytes - length - 1)
            return srv_refuse_limit(error, HOP_E_LIMIT, (int64_t)out->count, -1, (double)max_bytes, (double)NAN,
                                    "%s: more than %zu bytes of text", name, max_bytes);
        status = strings_reserve(out, &capacity, length + 1, name, error);
        if (status != HOP_OK)
            return status;
        status = srv_string_decode(text, n, *i, out->text + out->bytes, &length, &end, error);
        if (status != HOP_OK)
            return status;
        out->text[out->bytes + length] = '\0';
        out->bytes += length + 1;
        out->count++;
        *i = end;
        while (*i < n && srv_json_space(text[*i]))
            ++*i;
        if (*i < n && text[*i] == ']') {
            ++*i;
            return HOP_OK;
        }
        if (*i >= n || text[*i] != ',')
            return srv_refuse(error, HOP_E_FORMAT, (int64_t)out->count, -1, (int64_t)*i,
                              "%s: ',' or ']' expected after entry %zu (byte %zu)", name, out->count - 1, *i);
        ++*i;
    }
}

hop_status srv_strings_read(const char *text, size_t n, size_t at_byte, const char *name, size_t max_each,
                            size_t max_bytes, size_t *end, srv_strings *out, hop_error *error)
{
    srv_strings result = {0};
    size_t i = at_byte + 1;
    hop_status status = read_strings(text, n, &i, name, max_each, max_bytes, &result, error);
    if (status != HOP_OK) {
        free(result.text);
        return status;
    }
    *end = i;
    *out = result;
    return HOP_OK;
}

hop_status srv_strings_index(const srv_strings *strings, const char ***out, hop_error *error)
{
    size_t bytes;
    const char **index = hop_mul_size(strings->count, sizeof *index, &bytes) ? malloc(bytes > 0 ? bytes : 1) : NULL;
    if (!index)
        return srv_refuse(error, HOP_E_NOMEM, -1, -1, -1, "labels: out of memory");
    const char *p = strings->text;
    for (size_t i = 0; i < strings->count; i++) {
        index[i] = p;
        p += strlen(p) + 1;
    }
    *out = index;
    return HOP_OK;
}
