/*
 * json_text.c - JSON strings in text: escapes, UTF-8, lists. The object around them is envelope.c's.
 */
#include "server/json_text.h"

#include "core/checked.h"
#include "server/refuse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static hop_status refuse_string(hop_error *error, size_t byte, const char *what)
{
    return srv_refuse(error, HOP_E_FORMAT, -1, -1, (int64_t)byte, "malformed string: %s (byte %zu)", what, byte);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits at text[i]; -1 where they are not. */
static int32_t read_hex4(const char *text, size_t n, size_t i)
{
    if (n < 4 || i > n - 4)
        return -1;
    int32_t value = 0;
    for (size_t j = i; j < i + 4; j++) {
        int digit = hex_value(text[j]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static size_t encode_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00u >> n & 0xff) | code);
    return n;
}

/* Length of the well-formed UTF-8 sequence at text[i] (Unicode, table 3-7); 0 where it is none. */
static size_t utf8_length(const char *text, size_t n, size_t i)
{
    const unsigned char *s = (const unsigned char *)text + i;
    size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (length == 0 || length > n - i)
        return 0;
    for (size_t j = 1; j < length; j++)
        if ((s[j] & 0xc0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool surrogate = s[0] == 0xed && s[1] > 0x9f;
    bool beyond = s[0] == 0xf4 && s[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : length;
}

/* The escape whose backslash is text[i]: writes its bytes, returns how many characters it took, or 0. */
static size_t decode_escape(const char *text, size_t n, size_t i, char bytes[4], size_t *length, const char **why)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    *why = "unknown escape";
    if (i + 1 >= n)
        return 0;
    const char *simple = text[i + 1] != '\0' ? strchr(from, text[i + 1]) : NULL;
    if (simple) {
        bytes[0] = to[simple - from];
        *length = 1;
        return 2;
    }
    if (text[i + 1] != 'u')
        return 0;
    int32_t code = read_hex4(text, n, i + 2);
    size_t taken = 6;
    if (code < 0) {
        *why = "\\u without four hex digits";
        return 0;
    }
    if (code == 0) {
        *why = "NUL";
        return 0;
    }
    if (code >= 0xdc00 && code <= 0xdfff) {
        *why = "half of a surrogate pair";
        return 0;
    }
    if (code >= 0xd800 && code <= 0xdbff) {
        int32_t second = i + 7 < n && text[i + 6] == '\\' && text[i + 7] == 'u' ? read_hex4(text, n, i + 8) : -1;
        if (second < 0xdc00 || second > 0xdfff) {
            *why = "half of a surrogate pair";
            return 0;
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (second - 0xdc00);
        taken = 12;
    }
    *length = encode_utf8(bytes, (uint32_t)code);
    return taken;
}

hop_status srv_string_decode(const char *text, size_t n, size_t at_byte, char *out, size_t *length, size_t *end,
                             hop_error *error)
{
    size_t i = at_byte + 1, w = 0;
    for (;;) {
        if (i >= n)
            return refuse_string(error, i, "it does not end");
        unsigned char c = (unsigned char)text[i];
        if (c == '"')
            break;
        if (c < 0x20)
            return refuse_string(error, i, "a control character that is not escaped");
        if (c == '\\') {
            char bytes[4];
            size_t count = 0;
            const char *why;
            size_t taken = decode_escape(text, n, i, bytes, &count, &why);
            if (taken == 0)
                return refuse_string(error, i, why);
            if (out)
                memcpy(out + w, bytes, count);
            w += count;
            i += taken;
        } else if (c < 0x80) {
            if (out)
                out[w] = (char)c;
            w++;
            i++;
        } else {
            size_t count = utf8_length(text, n, i);
            if (count == 0)
                return refuse_string(error, i, "not UTF-8");
            if (out)
                memmove(out + w, text + i, count);
            w += count;
            i += count;
        }
    }
    *length = w;
    *end = i + 1;
    return HOP_OK;
}

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
