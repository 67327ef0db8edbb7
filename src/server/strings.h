/*
 * strings.h - a JSON list of strings, read from a text that is all there.
 */
#ifndef SRV_STRINGS_H
#define SRV_STRINGS_H

#include "core/hopfield.h"

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

/* Pointers to each of them, from malloc. HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status srv_strings_index(const srv_strings *strings, const char ***out, hop_error *error);

#endif
