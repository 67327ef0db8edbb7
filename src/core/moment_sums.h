/*
 * moment_sums.h - sums of monomials over rows of a model: what feature maps are built from, and changed by.
 *
 *     a[alpha]    += sum_mu u_mu^alpha                     1 <= |alpha| <= g + 1
 *     A[alpha, j] += sum_mu u_mu^alpha w_mu,j              |alpha| <= g, only where values are not the keys
 *
 * (u, w: scaled coordinates, geometry.h; alpha in the order of multiindex.h; a[0] is left alone.)
 */
#ifndef HOP_MOMENT_SUMS_H
#define HOP_MOMENT_SUMS_H

#include "core/model.h"
#include "core/multiindex.h"

/* Rows of a model, and how far a longer work is that summing them is part of. */
typedef struct hop_moment_rows {
    const hop_model *model;
    const size_t *ids; /* NULL: first, first + 1, ... */
    size_t first, n;
    hop_progress *progress; /* NULL: nobody asks */
    size_t done_rows, rows; /* of the whole work: done before these; all */
} hop_moment_rows;

/*
 * a: r(d, g + 1) numbers, A: r(d, g) x p or NULL, both added to. index: to degree g + 1. The sums depend on the rows
 * alone, to the bit: not on the executor.
 *
 * Cost: C(d+g+1, g+1) - 1 multiply-adds a row, p C(d+g, g) more with values, and some tenth of that besides. The
 * kernels run for at most some milliseconds between two looks at progress->cancel.
 * Errors: HOP_E_NOMEM, HOP_E_CANCELLED; a and A are then undefined.
 */
HOP_WARN_UNUSED hop_status hop_moment_sums(const hop_moment_rows *rows, const hop_multiindex *index, unsigned g,
                                           const hop_executor *executor, double *a, double *A, hop_error *error);

/* Bytes it allocates for n rows on an executor of that width. SIZE_MAX: overflow. r(d, g + 1) must fit in an int. */
size_t hop_moment_sums_bytes(const hop_model *model, size_t n, unsigned g, size_t width);

/* Roundings on the way of a product into its sum, those of the coordinates included: against sum |u^alpha|. */
double hop_moment_sums_roundings(const hop_model *model, size_t n, unsigned g);

#endif
