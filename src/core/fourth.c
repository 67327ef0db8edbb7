/*
 * fourth.c - K by power iteration, then proved: the Cholesky factorisation of K B - A - shift I runs to its end, which
 * it does only for a matrix that is positive definite but for the factorisation's own rounding, and shift is above that.
 */
#include "core/fourth.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/rounding.h"

enum { ITERATIONS = 40, TRIES = 5, PIVOTS = 16 };

typedef struct pencil {
    size_t n;
    double *A, *B; /* n x n, upper parts; scaled so that B's diagonal is 1 */
    double *root;  /* n: what they were scaled by */
    double widest; /* largest diagonal element of A */
} pencil;

/* mean u_i u_j u_k u_l; sorted indices lead from degree 1 to 4. */
static double fourth_moment(const hop_features *features, const size_t index[4])
{
    size_t v[4];
    memcpy(v, index, sizeof v);
    for (size_t i = 1; i < 4; i++)
        for (size_t j = i; j > 0 && v[j] < v[j - 1]; j--) {
            size_t swap = v[j];
            v[j] = v[j - 1];
            v[j - 1] = swap;
        }
    size_t at = v[3], run = 1;
    double factorial = 1;
    for (unsigned k = 2; k <= 4; k++) {
        at += hop_multiindex_degree(&features->index, k).lead[v[4 - k]];
        run = v[4 - k] == v[5 - k] ? run + 1 : 1;
        factorial *= (double)run;
    }
    return hop_features_degree(features, 4)[at] * factorial;
}

static double second_moment(const hop_features *features, size_t i, size_t j)
{
    size_t low = i < j ? i : j, high = i < j ? j : i;
    double a = hop_features_degree(features, 2)[hop_multiindex_degree(&features->index, 2).lead[low] + high];
    return i == j ? 2 * a : a;
}

static void fill(const hop_features *features, pencil *p)
{
    size_t d = features->index.d, row = 0;
    for (size_t i = 0; i < d; i++)
        for (size_t j = i; j < d; j++, row++) {
            size_t column = 0;
            for (size_t k = 0; k < d; k++)
                for (size_t l = k; l < d; l++, column++) {
                    if (column < row)
                        continue;
                    p->A[row * p->n + column] = fourth_moment(features, (const size_t[4]){i, j, k, l});
                    p->B[row * p->n + column] = second_moment(features, i, j) * second_moment(features, k, l) +
                                                second_moment(features, i, k) * second_moment(features, j, l) +
                                                second_moment(features, i, l) * second_moment(features, j, k);
                }
        }
    for (size_t i = 0; i < p->n; i++)
        p->root[i] = 1 / sqrt(p->B[i * p->n + i]);
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = i; j < p->n; j++) {
            p->A[i * p->n + j] *= p->root[i] * p->root[j];
            p->B[i * p->n + j] *= p->root[i] * p->root[j];
        }
    for (size_t i = 0; i < p->n; i++)
        p->widest = hop_max(p->widest, p->A[i * p->n + i]);
}

/* row[j] -= sum_p U[p][i] U[p][j] for the pivots p in [from, to), j >= i. */
static void eliminate(size_t n, const double *U, size_t from, size_t to, size_t i, double *row)
{
    size_t p = from;
    for (; p + 4 <= to; p += 4) {
        const double *a = U + p * n, *b = a + n, *c = b + n, *d = c + n;
        double fa = a[i], fb = b[i], fc = c[i], fd = d[i];
        for (size_t j = i; j < n; j++)
            row[j] -= fa * a[j] + fb * b[j] + (fc * c[j] + fd * d[j]);
    }
    for (; p < to; p++) {
        const double *a = U + p * n;
        double f = a[i];
        for (size_t j = i; j < n; j++)
            row[j] -= f * a[j];
    }
}

/* In place, upper: M = U^T U, some pivots at a time. false: a pivot is not positive. */
static bool factor(size_t n, double *M)
{
    for (size_t from = 0; from < n; from += PIVOTS) {
        size_t to = n - from < PIVOTS ? n : from + PIVOTS;
        for (size_t k = from; k < to; k++) {
            double *pivot = M + k * n;
            eliminate(n, M, from, k, k, pivot);
            if (!(pivot[k] > 0) || !isfinite(pivot[k]))
                return false;
            double root = sqrt(pivot[k]);
            for (size_t j = k; j < n; j++)
                pivot[j] /= root;
        }
        for (size_t i = to; i < n; i++)
            eliminate(n, M, from, to, i, M + i * n);
    }
    return true;
}

/* v <- U^{-T} A U^{-1} v, and the factor by which it grew; an estimate. */
static double step(const pencil *p, const double *U, double *v, double *w)
{
    size_t n = p->n;
    for (size_t i = n; i-- > 0;) {
        double sum = v[i];
        for (size_t j = i + 1; j < n; j++)
            sum -= U[i * n + j] * v[j];
        v[i] = sum / U[i * n + i];
    }
    memset(w, 0, n * sizeof *w);
    for (size_t i = 0; i < n; i++) {
        double sum = p->A[i * n + i] * v[i];
        for (size_t j = i + 1; j < n; j++) {
            sum += p->A[i * n + j] * v[j];
            w[j] += p->A[i * n + j] * v[i];
        }
        w[i] += sum;
    }
    double square = 0;
    for (size_t i = 0; i < n; i++) {
        v[i] = w[i] / U[i * n + i];
        for (size_t j = i + 1; j < n; j++)
            w[j] -= U[i * n + j] * v[i];
        square += v[i] * v[i];
    }
    double norm = sqrt(square);
    for (size_t i = 0; i < n; i++)
        v[i] /= norm;
    return norm;
}

/* Whether K B - A is certainly positive semidefinite for the exact moments. Overwrites out. */
static bool dominates(const pencil *p, double K, double build_roundings, double *out)
{
    double n = (double)p->n;
    /*
     * Factorisation: gamma_{n+1} of the trace. Entries: 24 roundings of numbers of at most 3 K + widest. The moments: a
     * relative build error against sqrt(A_ii A_jj). Each as a sum of n entries a row.
     */
    double shift = 2 * hop_gamma(n + 32, HOP_U64) * n * (3 * K + p->widest) +
                   2 * hop_gamma(build_roundings + 8, HOP_U64) * n * p->widest;
    for (size_t i = 0; i < p->n; i++) {
        for (size_t j = i; j < p->n; j++)
            out[i * p->n + j] = K * p->B[i * p->n + j] - p->A[i * p->n + j];
        out[i * p->n + i] -= shift;
    }
    return factor(p->n, out);
}

static double solve(const pencil *p, double build_roundings, double *U, double *v, double *w)
{
    memcpy(U, p->B, p->n * p->n * sizeof *U);
    if (!factor(p->n, U))
        return (double)INFINITY;
    for (size_t i = 0; i < p->n; i++)
        v[i] = 1 + (double)(i % 7) / 7;
    double largest = 0;
    for (unsigned i = 0; i < ITERATIONS; i++)
        largest = step(p, U, v, w);
    double above = 1.01;
    for (unsigned i = 0; i < TRIES && isfinite(largest); i++, above *= above)
        if (dominates(p, largest * above, build_roundings, U))
            return largest * above;
    return (double)INFINITY;
}

size_t hop_fourth_bytes(size_t d, unsigned max_degree)
{
    size_t n = d * (d + 1) / 2;
    return max_degree < 3 || d > HOP_FOURTH_DIMENSION_MAX ? 0 : n * (3 * n + 3) * sizeof(double);
}

double hop_fourth_factor(const hop_features *features)
{
    size_t d = features->index.d, n = d * (d + 1) / 2;
    if (!hop_fourth_bytes(d, features->g_max))
        return (double)INFINITY;
    pencil p = {.n = n};
    double *block = hop_array_new(n, 3 * n + 3, sizeof *block), K = (double)INFINITY;
    if (!block)
        return K;
    p.A = block;
    p.B = block + n * n;
    p.root = block + 3 * n * n;
    fill(features, &p);
    if (isfinite(p.widest) && p.widest > 0)
        K = solve(&p, features->build_roundings, block + 2 * n * n, p.root + n, p.root + 2 * n);
    hop_aligned_free(block);
    return K;
}
