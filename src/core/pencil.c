/*
 * pencil.c - K by Lanczos's recurrence, then proved: the Cholesky factorisation of K B - A - shift I runs to its end,
 * which it does only for a matrix that is positive definite but for the factorisation's own rounding, and shift is
 * above that.
 */
#include "core/pencil.h"

#include <math.h>
#include <string.h>

#include "core/blas.h"
#include "core/rounding.h"

enum { STEPS = 24, HALVINGS = 40, TRIES = 5 };

/* What is looked for is no less than this, of A's entries and of the rows' errors: no K so small could be proved. */
#define FLOOR_A 1e-6
#define FLOOR_ERROR 1e3

void hop_pencil_scale(const hop_pencil *p)
{
    for (size_t i = 0; i < p->n; i++)
        p->root[i] = 1 / sqrt(p->B[i * p->n + i]);
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = i; j < p->n; j++)
            p->B[i * p->n + j] *= p->root[i] * p->root[j];
}

double hop_pencil_scale_A(const hop_pencil *p)
{
    double most = 0;
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = i; j < p->n; j++) {
            p->A[i * p->n + j] *= p->root[i] * p->root[j];
            most = hop_max(most, fabs(p->A[i * p->n + j]));
        }
    return most;
}

static bool cancelled(const hop_progress *progress)
{
    return progress && atomic_load_explicit(&progress->cancel, memory_order_relaxed);
}

/* w = U^{-T} A U^{-1} v, U the factor of B; uses u. */
static void apply(const hop_pencil *p, const double *v, double *u, double *w)
{
    memcpy(u, v, p->n * sizeof *u);
    hop_solve_upper(p->n, p->factor, false, u);
    hop_symmetric_product(p->n, p->A, u, w);
    hop_solve_upper(p->n, p->factor, true, w);
}

/* Whether x is above every eigenvalue of the tridiagonal matrix: all pivots of it less x are negative. */
static bool above_all(unsigned n, const double *diagonal, const double *beside, double x)
{
    double pivot = diagonal[0] - x;
    for (unsigned i = 1; i < n && pivot < 0; i++)
        pivot = diagonal[i] - x - beside[i - 1] * beside[i - 1] / pivot;
    return pivot < 0;
}

static double largest_eigenvalue(unsigned n, const double *diagonal, const double *beside)
{
    double low = diagonal[0], high = diagonal[0];
    for (unsigned i = 0; i < n; i++) {
        low = hop_max(low, diagonal[i]);
        high = hop_max(high, diagonal[i] + (i ? fabs(beside[i - 1]) : 0) + (i + 1 < n ? fabs(beside[i]) : 0));
    }
    for (unsigned i = 0; i < HALVINGS; i++) {
        double middle = (low + high) / 2;
        if (above_all(n, diagonal, beside, middle))
            high = middle;
        else
            low = middle;
    }
    return high;
}

/* The largest eigenvalue of A against B (both: in absolute value) by Lanczos's recurrence; an estimate. */
static double estimate(const hop_pencil *p, const hop_progress *progress)
{
    size_t n = p->n;
    double diagonal[STEPS], beside[STEPS], negative[STEPS];
    double *v = p->work, *w = v + n, *u = w + n, *before = u + n;
    double square = 0, link = 0, largest = (double)INFINITY;
    for (size_t i = 0; i < n; i++) {
        w[i] = 1 + (double)(i % 7) / 7;
        v[i] = 0;
        square += w[i] * w[i];
    }
    for (unsigned k = 0; k < STEPS && !cancelled(progress); k++) {
        double length = sqrt(square), along = 0;
        for (size_t i = 0; i < n; i++) {
            before[i] = v[i];
            v[i] = w[i] / length;
        }
        apply(p, v, u, w);
        for (size_t i = 0; i < n; i++)
            along += v[i] * w[i];
        square = 0;
        for (size_t i = 0; i < n; i++) {
            w[i] -= along * v[i] + link * before[i];
            square += w[i] * w[i];
        }
        diagonal[k] = along;
        negative[k] = -along;
        beside[k] = link = sqrt(square);
        largest = largest_eigenvalue(k + 1, diagonal, beside);
        if (p->both)
            largest = hop_max(largest, largest_eigenvalue(k + 1, negative, beside));
        if (!(link > 1e-9 * largest)) /* all that the first vector reaches has been seen */
            break;
    }
    return largest;
}

/* Whether K B - sign A is certainly positive semidefinite for the exact matrices. */
static bool dominates(const hop_pencil *p, double K, double sign)
{
    double n = (double)p->n;
    /*
     * Factorisation: gamma_{n+3} of the trace. Entries: 24 roundings and their errors, as a sum of n a row. All twice.
     */
    double shift =
        2 * hop_gamma(n + 32, HOP_U64) * n * (K * p->most_B + p->most_A) + 2 * n * (K * p->error_B + p->error_A);
    for (size_t i = 0; i < p->n; i++) {
        for (size_t j = i; j < p->n; j++)
            p->trial[i * p->n + j] = K * p->B[i * p->n + j] - sign * p->A[i * p->n + j];
        p->trial[i * p->n + i] -= shift;
    }
    return hop_cholesky(p->n, p->trial);
}

bool hop_pencil_factor(const hop_pencil *p)
{
    memcpy(p->factor, p->B, p->n * p->n * sizeof *p->factor);
    return hop_cholesky(p->n, p->factor);
}

double hop_pencil_bound(const hop_pencil *p, const hop_progress *progress)
{
    double floor = FLOOR_A * p->most_A + FLOOR_ERROR * (double)p->n * p->error_A + 0x1p-1000;
    double largest = hop_max(floor, estimate(p, progress)), above = 1.01;
    for (unsigned i = 0; i < TRIES && isfinite(largest) && !cancelled(progress); i++, above *= above)
        if (dominates(p, largest * above, 1) && (!p->both || dominates(p, largest * above, -1)))
            return largest * above;
    return (double)INFINITY;
}
