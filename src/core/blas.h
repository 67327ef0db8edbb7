/*
 * blas.h - the matrix algebra that the core leaves to OpenBLAS. blas.c is the one file that includes its headers.
 *
 * OpenBLAS is held at one thread: the caller's executor decides what runs side by side.
 */
#ifndef HOP_BLAS_H
#define HOP_BLAS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * In place, M = U^T U, upper parts, row-major n x n f64. false: a pivot is not positive, or not finite. Sums run in any
 * order, and a division may be a product with the rounded inverse: |M - U^T U| <= gamma_{n+3} |U|^T |U|. n^3/3 flops.
 */
bool hop_cholesky(size_t n, double *M);

/* v <- U^{-1} v, or U^{-T} v where transposed; U upper, row-major n x n. */
void hop_solve_upper(size_t n, const double *U, bool transposed, double *v);

/* w = A v, A symmetric, its upper part alone read, row-major n x n. */
void hop_symmetric_product(size_t n, const double *A, const double *v, double *w);

#endif
