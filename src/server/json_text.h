/*
 * json_text.h - JSON strings straight from text: one, or a bulk list of them.
 */
#ifndef SRV_JSON_TEXT_H
#define SRV_JSON_TEXT_H

#include "core/hopfield.h"

/* White space of RFC 8259, section 2. */
static inline bool srv_json_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Strings of a JSON list, decoded: count strings with a NUL each, one after the other in text, which is from malloc. */
typedef struct srv_strings {
    size_t count;
    size_t bytes; /* of text */
    char *text;   /* NULL where count = 0 */
} srv_strings;

/*
 * srv_strings_read() - the JSON list of strings that starts with the bracket at text[at]: valid UTF-8, no NUL,
 * each of at most max_each bytes and all together at most max_bytes. Errors: HOP_E_FORMAT (row, byte), HOP_E_LIMIT
 * (row), HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status srv_strings_read(const char *text, size_t n, size_t at, const char *name, size_t max_each,
                                            size_t max_bytes, size_t *end, srv_strings *out, hop_error *error);

/*
 * srv_string_decode() - the JSON string whose opening quote is text[at]: escapes resolved, UTF-8 checked.
 *
 * out has room for the string's bytes in the text (never more) and may be text + at + 1: in place. *length is what
 * it came to, no NUL is added; *end is one past the closing quote. out NULL: only checked and measured. Errors:
 * HOP_E_FORMAT (byte).
 */
HOP_WARN_UNUSED hop_status srv_string_decode(const char *text, size_t n, size_t at, char *out, size_t *length,
                                             size_t *end, hop_error *error);

#endif
