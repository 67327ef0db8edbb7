/*
 * blas.c - OpenBLAS behind a few functions; its threads held at one, its core type named.
 */
#include "core/blas.h"

#include <assert.h>
#include <cblas.h>
#include <f77blas.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>

#include "core/hopfield.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void hold_one_thread(void)
{
    openblas_set_num_threads(1);
}

bool hop_cholesky(size_t n, double *M)
{
    assert(n <= INT_MAX);
    pthread_once(&once, hold_one_thread);
    char lower[] = "L"; /* a row-major upper part is a column-major lower one */
    blasint order = (blasint)n, info = 0;
    BLASFUNC(dpotrf)(lower, &order, M, &order, &info);
    bool positive = info == 0;
    /* A comparison with 0 lets NaN pass, and any NaN reaches the pivot of its column. */
    for (size_t i = 0; i < n && positive; i++)
        positive = M[i * n + i] > 0 && isfinite(M[i * n + i]);
    return positive;
}

void hop_solve_upper(size_t n, const double *U, bool transposed, double *v)
{
    assert(n <= INT_MAX);
    pthread_once(&once, hold_one_thread);
    cblas_dtrsv(CblasRowMajor, CblasUpper, transposed ? CblasTrans : CblasNoTrans, CblasNonUnit, (int)n, U, (int)n, v,
                1);
}

void hop_symmetric_product(size_t n, const double *A, const double *v, double *w)
{
    assert(n <= INT_MAX);
    pthread_once(&once, hold_one_thread);
    cblas_dsymv(CblasRowMajor, CblasUpper, (int)n, 1.0, A, (int)n, v, 1, 0.0, w, 1);
}

const char *hop_blas_core(void)
{
    return openblas_get_corename();
}

const char *hop_blas_config(void)
{
    return openblas_get_config();
}
