/*
 * blas.c - OpenBLAS behind one function; its threads held at one, its core type named.
 */
#include "core/blas.h"

#include <assert.h>
#include <cblas.h>
#include <limits.h>
#include <pthread.h>

#include "core/hopfield.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void hold_one_thread(void)
{
    openblas_set_num_threads(1);
}

void hop_gemm_tn(size_t m, size_t n, size_t k, const double *A, size_t lda, const double *B, size_t ldb, double *C,
                 size_t ldc)
{
    assert(m <= INT_MAX && n <= INT_MAX && k <= INT_MAX && lda <= INT_MAX && ldb <= INT_MAX && ldc <= INT_MAX);
    pthread_once(&once, hold_one_thread);
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m, (int)n, (int)k, 1.0, A, (int)lda, B, (int)ldb, 0.0, C,
                (int)ldc);
}

const char *hop_blas_core(void)
{
    return openblas_get_corename();
}

const char *hop_blas_config(void)
{
    return openblas_get_config();
}
