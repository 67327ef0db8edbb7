/*
 * json_text.h - JSON strings straight from text, and the way past values that nobody wants.
 *
 * Text may come in pieces that are cut anywhere. A reader of pieces takes what is whole, and is called again with the
 * rest of the piece, unchanged, and more behind it.
 */
#ifndef SRV_JSON_TEXT_H
#define SRV_JSON_TEXT_H

#include "core/hopfield.h"

/* White space of RFC 8259, section 2. */
static inline bool srv_json_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

enum { SRV_JSON_DEPTH = 16 };

/* n bytes of a text, the first of which is byte `offset` of it. text[n] is readable and none of a number. */
typedef struct srv_piece {
    const char *text;
    size_t n, offset;
    bool last; /* nothing follows */
} srv_piece;

/*
 * srv_string_decode() - the JSON string whose opening quote is text[at]: escapes resolved, UTF-8 checked.
 *
 * out has room for the string's bytes in the text (never more) and may be text + at + 1: in place. *length is what
 * it came to, no NUL is added; *end is one past the closing quote. out NULL: only checked and measured. Errors:
 * HOP_E_FORMAT (byte).
 */
HOP_WARN_UNUSED hop_status srv_string_decode(const char *text, size_t n, size_t at, char *out, size_t *length,
                                             size_t *end, hop_error *error);

/*
 * srv_string_part() - the same for a string that comes in pieces, from behind its opening quote on.
 *
 * *at, an index into the piece, moves behind what was taken; *done: that was the closing quote. *length, 0 before the
 * first piece, counts what was decoded; only its first `room` bytes are kept, at out. Where something is left
 * of a piece, it is less than 12 bytes.
 */
HOP_WARN_UNUSED hop_status srv_string_part(const srv_piece *piece, size_t *at, char *out, size_t room, size_t *length,
                                           bool *done, hop_error *error);

/* A walk over one value; zeroed before its first byte. */
typedef struct srv_skip {
    size_t depth; /* brackets that are open */
    bool string, scalar;
    char open[SRV_JSON_DEPTH];
} srv_skip;

/*
 * srv_skip_part() - past a value of an object: strings are checked, brackets match and are no deeper than
 * SRV_JSON_DEPTH with that object's; the finer grammar is left to json.h. *at and *done as above. Errors: HOP_E_FORMAT.
 */
HOP_WARN_UNUSED hop_status srv_skip_part(srv_skip *skip, const srv_piece *piece, size_t *at, bool *done,
                                         hop_error *error);

/* HOP_E_FORMAT: "malformed JSON: <what>" at piece->text[at], or that the body ends there. */
HOP_WARN_UNUSED hop_status srv_json_malformed(const srv_piece *piece, size_t at, const char *what, hop_error *error);

/* True where the n bytes are well-formed UTF-8; else *bad is the first that is not. */
bool srv_utf8_valid(const char *text, size_t n, size_t *bad);

#endif
