/*
 * numbers.h - bulk arrays of numbers in JSON text, in and out.
 *
 * Reading is one strict pass from the text into the array, with neither a tree nor a copy of the text. Which
 * members of a body are arrays is envelope.h's business; one number is decimal.h's.
 */
#ifndef SRV_NUMBERS_H
#define SRV_NUMBERS_H

#include "core/hopfield.h"

/* What an array may be. Exceeding bytes is `bytes_status`: HOP_E_LIMIT or HOP_E_BUDGET. */
typedef struct srv_numbers_limits {
    const char *name; /* for messages */
    bool flat;        /* one flat row of numbers is taken too */
    size_t rows, columns;
    size_t bytes; /* of the f32 array */
    hop_status bytes_status;
} srv_numbers_limits;

/* rows x columns f32 from malloc; data is NULL where there are none. */
typedef struct srv_numbers {
    size_t rows, columns;
    float *data;
} srv_numbers;

/*
 * srv_numbers_read() - the JSON array of numbers that starts with the bracket at text[at].
 *
 * text[n] must be readable and be none of a number, as decimal.h asks. *end is one past the closing bracket.
 * Errors: HOP_E_FORMAT (row, column, byte = index into text), HOP_E_SHAPE (ragged: row), HOP_E_DOMAIN (beyond f32:
 * row, column), limits (limit), HOP_E_NOMEM. On success the caller frees out->data with free().
 */
HOP_WARN_UNUSED hop_status srv_numbers_read(const char *text, size_t n, size_t at, const srv_numbers_limits *limits,
                                            size_t *end, srv_numbers *out, hop_error *error);

/* Room srv_row_write() may use for a row of n numbers. The caller has checked that it does not overflow. */
static inline size_t srv_row_text_max(size_t n)
{
    return n * 17 + 2;
}

/* `[a,b,...]` at out, each as srv_f32_write(); returns the end. */
char *srv_row_write(char *out, size_t n, const float *row);

#endif
