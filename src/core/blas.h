/*
 * blas.h - the matrix product that the core leaves to OpenBLAS. blas.c is the one file that includes cblas.h.
 *
 * OpenBLAS is held at one thread: the caller's executor decides what runs side by side.
 */
#ifndef HOP_BLAS_H
#define HOP_BLAS_H

#include <stddef.h>

/* C = A^T B, row-major f64: A k x m (lda), B k x n (ldb), C m x n (ldc). At most k + 1 roundings an element. */
void hop_gemm_tn(size_t m, size_t n, size_t k, const double *A, size_t lda, const double *B, size_t ldb, double *C,
                 size_t ldc);

#endif
