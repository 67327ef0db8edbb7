/*
 * json_text.c - JSON strings in text: escapes, UTF-8; and the way past a value. The object around them is
 * envelope.c's, or json_upload.c's.
 */
#include "server/json_text.h"

#include "server/refuse.h"

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

bool srv_utf8_valid(const char *text, size_t n, size_t *bad)
{
    for (size_t i = 0, length; i < n; i += length) {
        length = utf8_length(text, n, i);
        if (length == 0) {
            *bad = i;
            return false;
        }
    }
    return true;
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

enum { UNIT_BYTES = 12 }; /* the longest escape: a surrogate pair */

/*
 * The character at text[i], an escape or not ASCII, decoded into bytes. Returns how many bytes it took; 0: *why it is
 * none.
 */
static size_t decode_unit(const char *text, size_t n, size_t i, char bytes[4], size_t *length, const char **why)
{
    if (text[i] == '\\')
        return decode_escape(text, n, i, bytes, length, why);
    *length = utf8_length(text, n, i);
    *why = "not UTF-8";
    memcpy(bytes, text + i, *length);
    return *length;
}

hop_status srv_string_part(const srv_piece *piece, size_t *at, char *out, size_t room, size_t *length, bool *done,
                           hop_error *error)
{
    const char *text = piece->text;
    size_t n = piece->n, i = *at, w = *length;
    *done = false;
    for (;;) {
        if (i >= n) {
            if (piece->last)
                return refuse_string(error, piece->offset + i, "it does not end");
            break;
        }
        unsigned char c = (unsigned char)text[i];
        if (c == '"') {
            i++;
            *done = true;
            break;
        }
        if (c < 0x20)
            return refuse_string(error, piece->offset + i, "a control character that is not escaped");
        if (c < 0x80 && c != '\\') {
            if (w < room)
                out[w] = (char)c;
            w++;
            i++;
            continue;
        }
        char bytes[4];
        size_t count = 0;
        const char *why;
        size_t taken = decode_unit(text, n, i, bytes, &count, &why);
        if (taken == 0) {
            if (!piece->last && n - i < UNIT_BYTES)
                break; /* what follows may complete it */
            return refuse_string(error, piece->offset + i, why);
        }
        if (w + count <= room)
            memcpy(out + w, bytes, count);
        w += count;
        i += taken;
    }
    *at = i;
    *length = w;
    return HOP_OK;
}

hop_status srv_string_decode(const char *text, size_t n, size_t at_byte, char *out, size_t *length, size_t *end,
                             hop_error *error)
{
    const srv_piece piece = {.text = text, .n = n, .last = true};
    size_t at = at_byte + 1, decoded = 0;
    bool done;
    hop_status status = srv_string_part(&piece, &at, out, out ? SIZE_MAX : 0, &decoded, &done, error);
    if (status != HOP_OK)
        return status;
    *length = decoded;
    *end = at;
    return HOP_OK;
}

hop_status srv_json_malformed(const srv_piece *piece, size_t at, const char *what, hop_error *error)
{
    size_t byte = piece->offset + at;
    return srv_refuse(error, HOP_E_FORMAT, -1, -1, (int64_t)byte, "malformed JSON: %s (byte %zu)%s", what, byte,
                      at < piece->n ? "" : ", but the body ends");
}

/* An opening bracket, a closing one, a comma or a colon. */
static hop_status skip_mark(srv_skip *skip, const srv_piece *piece, size_t at, hop_error *error)
{
    char c = piece->text[at];
    if (c == '[' || c == '{') {
        if (skip->depth == SRV_JSON_DEPTH - 1) /* the object around counts */
            return srv_refuse(error, HOP_E_FORMAT, -1, -1, (int64_t)(piece->offset + at),
                              "malformed JSON: nested deeper than %d (byte %zu)", SRV_JSON_DEPTH, piece->offset + at);
        skip->open[skip->depth++] = c;
        return HOP_OK;
    }
    if (skip->depth == 0)
        return srv_json_malformed(piece, at, "a value is missing", error);
    if (c == ',' || c == ':')
        return HOP_OK;
    if (skip->open[skip->depth - 1] != (c == ']' ? '[' : '{'))
        return srv_json_malformed(piece, at, "brackets that do not match", error);
    skip->depth--;
    return HOP_OK;
}

/* Past what is left of a number or a word. *done: it has ended. */
static hop_status skip_scalar(const srv_piece *piece, size_t *at, bool *done, hop_error *error)
{
    size_t i = *at;
    while (i < piece->n && !srv_json_space(piece->text[i]) && !strchr(",:[]{}\"", piece->text[i]))
        i++;
    *at = i;
    *done = i < piece->n || piece->last;
    return i < piece->n && piece->text[i] == '\0' ? srv_json_malformed(piece, i, "a NUL byte", error) : HOP_OK;
}

hop_status srv_skip_part(srv_skip *skip, const srv_piece *piece, size_t *at, bool *done, hop_error *error)
{
    *done = false;
    for (;;) {
        bool whole = true;
        hop_status status = HOP_OK;
        if (skip->string) {
            size_t length = 0;
            status = srv_string_part(piece, at, NULL, 0, &length, &whole, error);
            skip->string = !whole;
        } else if (skip->scalar) {
            status = skip_scalar(piece, at, &whole, error);
            skip->scalar = !whole;
        } else {
            while (*at < piece->n && srv_json_space(piece->text[*at]))
                ++*at;
            if (*at == piece->n)
                return piece->last ? srv_json_malformed(piece, *at, "a value expected", error) : HOP_OK;
            char c = piece->text[*at];
            skip->string = c == '"';
            skip->scalar = !strchr(",:[]{}\"", c) || c == '\0';
            if (!skip->string && !skip->scalar)
                status = skip_mark(skip, piece, *at, error);
            if (!skip->scalar)
                ++*at;
            whole = c == ']' || c == '}';
            if (status == HOP_OK && (skip->string || skip->scalar || !whole))
                continue;
        }
        if (status != HOP_OK || !whole)
            return status;
        if (skip->depth == 0) {
            *done = true;
            return HOP_OK;
        }
    }
}
