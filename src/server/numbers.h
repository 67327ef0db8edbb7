/*
 * numbers.h - bulk arrays of numbers in JSON text, in and out.
 *
 * Reading is one strict pass from the text into the array, with neither a tree nor a copy of the text; the text may
 * come in pieces, and the rows leave in pieces. Which members of a body are arrays is the business of envelope.h and
 * json_upload.h; one number is decimal.h's.
 */
#ifndef SRV_NUMBERS_H
#define SRV_NUMBERS_H

#include "server/json_text.h"

enum {
    SRV_NUMBER_BYTES = 32 * 1024, /* a longer number is refused: none needs so many digits */
    SRV_NUMBERS_BATCH = 16 * 1024 /* so many numbers are given away at once, and what completes a row */
};

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

/* Rows of an array, in order; they are read no later than the call. An error ends the reading. */
typedef hop_status srv_numbers_take(void *context, size_t n, size_t columns, const float *rows, hop_error *error);

/*
 * Reading an array that comes in pieces. limits, take and context are set by whoever begins it, the rest zeroed;
 * data is released with free(), whatever the outcome.
 */
typedef struct srv_numbers_reader {
    const srv_numbers_limits *limits;
    srv_numbers_take *take; /* NULL: all rows stay in data. Else limits->bytes has room for a batch and a row */
    void *context;
    size_t rows, columns; /* rows that are complete, columns of the first */
    float *data;          /* numbers read and not given away */
    size_t used, capacity;
    /* numbers.c's own: what is next, and in a row that has begun its next column */
    unsigned state;
    bool flat;
    size_t column;
    size_t known;         /* bytes of a number that is not complete and need not be read again */
    size_t excess, depth; /* what is counted beyond a limit */
} srv_numbers_reader;

/*
 * srv_numbers_feed() - on with the array, from behind its opening bracket. *at, an index into the piece, moves behind
 * what was taken: all but a number, or what might be one, that more text may change. *done: the closing bracket is
 * behind *at, and all rows were given to take. Errors: as srv_numbers_read(), byte counted with piece->offset; take's.
 */
HOP_WARN_UNUSED hop_status srv_numbers_feed(srv_numbers_reader *reader, const srv_piece *piece, size_t *at, bool *done,
                                            hop_error *error);

/* Room srv_row_write() may use for a row of n numbers. The caller has checked that it does not overflow. */
static inline size_t srv_row_text_max(size_t n)
{
    return n * 17 + 2;
}

/* `[a,b,...]` at out, each as srv_f32_write(); returns the end. */
char *srv_row_write(char *out, size_t n, const float *row);

#endif
