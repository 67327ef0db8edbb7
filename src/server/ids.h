/*
 * ids.h - lists of ids: as a JSON list of whole numbers, or as digits with commas between them.
 */
#ifndef SRV_IDS_H
#define SRV_IDS_H

#include "core/hopfield.h"

/* An id and its comma are two bytes of text, and become eight; room for them is doubled. */
enum { SRV_ID_TEXT_BYTES = 8 };

/* count ids from malloc; NULL where there are none. */
typedef struct srv_ids {
    size_t count;
    uint64_t *data;
} srv_ids;

/*
 * srv_ids_read() - the JSON list that starts with the bracket at text[at]. text[n] must be readable.
 *
 * *end is one past the closing bracket. Errors: HOP_E_FORMAT (row: which of them; byte): malformed, not a whole number
 * of at least 0 and below 2^63; HOP_E_NOMEM. Memory: at most SRV_ID_TEXT_BYTES a byte of the text.
 */
HOP_WARN_UNUSED hop_status srv_ids_read(const char *text, size_t n, size_t at, const char *name, size_t *end,
                                        srv_ids *out, hop_error *error);

/* The same from "3,5,8", a query parameter; an empty text has none. */
HOP_WARN_UNUSED hop_status srv_ids_parse(const char *text, const char *name, srv_ids *out, hop_error *error);

#endif
