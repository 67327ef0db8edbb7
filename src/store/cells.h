/*
 * cells.h - the elements of an array, one after the other as they arrive, to their places as f32.
 *
 * Bytes come in pieces of any length. Each cell is widened, checked to be finite, and written where it belongs in
 * rows that somebody else owns: nothing is kept but the part of a cell that a piece was cut off in. Headers,
 * lengths and where the rows are is the callers'.
 */
#ifndef STORE_CELLS_H
#define STORE_CELLS_H

#include "store/npy.h"

typedef struct store_cells {
    const char *name; /* of the array, for messages; static */
    store_npy_type type;
    bool fortran;         /* column by column */
    size_t rows, columns; /* rows x columns x element_bytes does not overflow */
    size_t element_bytes;
    float *out;                        /* rows x columns, row-major */
    size_t first_row;                  /* of the file, in messages: what out[0] is */
    size_t taken;                      /* bytes so far */
    unsigned char cut[sizeof(double)]; /* the first taken % element_bytes bytes of a cell */
} store_cells;

/* An array of which nothing has come. */
store_cells store_cells_start(const char *name, store_npy_type type, size_t rows, size_t columns, float *out);

/* Bytes that are still to come. */
size_t store_cells_left(const store_cells *cells);

/*
 * The next n bytes, at most store_cells_left(). Errors: HOP_E_DOMAIN naming the row and column of the first number
 * that is not finite, or not as f32; the array is then of no more use. Cost: memory speed for f4 in C order.
 */
HOP_WARN_UNUSED hop_status store_cells_feed(store_cells *cells, const void *bytes, size_t n, hop_error *error);

#endif
