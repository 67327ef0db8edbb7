/*
 * npy.h - NumPy's array file (NEP 1) over memory: header in, rows in, header out.
 *
 * Versions 1 and 2; `<f4`, `<f8`, `<f2` or `|u1`; C or Fortran order; two dimensions, or one that the caller takes
 * as one row. Header and rows are separate, so that an upload can be converted while it arrives. What the bytes
 * come from, and limits on rows and columns, are the caller's. Nothing is ever unpickled or evaluated.
 */
#ifndef STORE_NPY_H
#define STORE_NPY_H

#include "core/hopfield.h"

typedef enum store_npy_type { STORE_NPY_F4, STORE_NPY_F8, STORE_NPY_F2, STORE_NPY_U1 } store_npy_type;

enum {
    STORE_NPY_MAGIC_BYTES = 6,
    STORE_NPY_HEADER_MAX = 64 * 1024, /* longest header that is read, preamble included */
    STORE_NPY_WRITE_BYTES = 128       /* of store_npy_header_write() */
};

typedef struct store_npy_header {
    store_npy_type type;
    bool fortran; /* column by column; only where rows and columns are both above 1 */
    bool flat;    /* was one-dimensional: rows is 1 */
    size_t rows, columns;
    size_t element_bytes;
    size_t header_bytes; /* where the data starts */
    size_t data_bytes;   /* rows x columns x element_bytes */
} store_npy_header;

/* True where bytes start as every npy file does. */
bool store_npy_magic(const void *bytes, size_t n);

/*
 * Bytes that store_npy_header_parse() needs, from the first ones: 12 while fewer than 12 are there, then the
 * header's own size. Says nothing about validity.
 */
size_t store_npy_header_need(const void *bytes, size_t n);

/*
 * store_npy_header_parse() - the header at the start of n bytes; the data need not be there.
 *
 * flat_allowed: one dimension is one row. Errors: HOP_E_FORMAT (byte, where there is one): no magic, a version or
 * dtype not listed above (named), truncated, longer than STORE_NPY_HEADER_MAX (limit, actual), a key that is not
 * one of the three, a shape that is not two-dimensional or overflows.
 */
HOP_WARN_UNUSED hop_status store_npy_header_parse(const void *bytes, size_t n, bool flat_allowed, store_npy_header *out,
                                                  hop_error *error);

/* The whole file has file_bytes bytes. HOP_E_FORMAT, stating both lengths, unless that is what its header says. */
HOP_WARN_UNUSED hop_status store_npy_check_length(const store_npy_header *header, size_t file_bytes, hop_error *error);

/*
 * store_npy_rows() - rows first_row ... first_row + n - 1 as f32, row-major, at out (n x columns).
 *
 * data  C order: the bytes of exactly these rows. Fortran order: the whole array's data
 * f2, u1 are widened exactly, f8 is rounded to nearest. Neither pointer of bytes needs alignment.
 * Errors: HOP_E_DOMAIN where a number is not finite, or not as f32: row (of the file) and column; out is then
 * undefined.
 */
HOP_WARN_UNUSED hop_status store_npy_rows(const store_npy_header *header, const void *data, size_t first_row, size_t n,
                                          float *out, hop_error *error);

size_t store_npy_element_bytes(store_npy_type type);

/* n elements, one after the other and aligned to nothing, as f32 at out: f2 and u1 exactly, f8 rounded to nearest. */
void store_npy_convert(store_npy_type type, const void *bytes, size_t n, float *out);

/* The first element of n f32 that is NaN or Inf; n where all are finite. Cost: memory speed. */
size_t store_first_not_finite(const float *x, size_t n);

/*
 * Write the version 1 header of an f32 C-order rows x columns array: exactly STORE_NPY_WRITE_BYTES bytes, so that
 * the data is 64-byte aligned in the file.
 */
void store_npy_header_write(void *out, size_t rows, size_t columns);

#endif
