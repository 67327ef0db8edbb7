/*
 * rounding.h - the vocabulary of the bounds: unit roundoffs, gamma_n, and outward rounding of f64 numbers.
 *
 * gamma_n = n u / (1 - n u) bounds |prod (1 + e_i)^{+-1} - 1| over n roundings |e_i| <= u (Higham, Accuracy and
 * Stability of Numerical Algorithms, Lemma 3.1). A bound is itself computed in f64; hop_up() inflates a positive
 * result by 2^-48, which covers up to 15 roundings of positive terms made on the way.
 */
#ifndef HOP_ROUNDING_H
#define HOP_ROUNDING_H

#include <math.h>

#define HOP_U32 0x1p-24
#define HOP_U64 0x1p-53

/* One instruction each, where fmax and fmin are calls. Where a is NaN the answer is b. */
static inline double hop_max(double a, double b)
{
    return a > b ? a : b;
}

static inline double hop_min(double a, double b)
{
    return a < b ? a : b;
}

/* gamma_n for unit roundoff u; INFINITY where n u >= 1/2. */
static inline double hop_gamma(double n, double u)
{
    double nu = n * u;
    return nu < 0.5 ? nu / (1.0 - nu) * (1.0 + 0x1p-48) : (double)INFINITY;
}

/* Up and down for quantities computed from positive terms with at most 15 roundings. */
static inline double hop_up(double x)
{
    return x * (1.0 + 0x1p-48) + 0x1p-1070;
}

static inline double hop_down(double x)
{
    return x * (1.0 - 0x1p-48);
}

#endif
