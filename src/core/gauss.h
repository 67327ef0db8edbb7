/*
 * gauss.h - certificate G: the polynomial that meets e^t where the exponents of one query lie, and what it misses.
 *
 * For nodes z_i, each of them double and together symmetric about 0, Hermite's interpolating polynomial p of degree
 * 2k-1 misses e^t by f[z, z, t] omega(t), omega(t) = prod (t - z_i)^2 >= 0: a polynomial of degree 2k, whose mean over
 * the memories is known from their moments. With the nodes near those of Gauss's quadrature for these exponents that
 * mean is least: k! sigma^2k where Taylor's, all nodes at 0, is (2k-1)!! sigma^2k for a normal law.
 *
 *     g = 2k-1:  0 <= e^t - p(t) <= h(T) omega(t)/(2k)!                 h(t) = (2k)! f[z, z, t], increasing
 *     g = 2k:    p + kappa omega/(2k)!, kappa midway of h: |.| <= (h(T) - h(-T_low))/2 omega(t)/(2k)!
 *
 * For g = 2 where mean t^4 has a bound (fourth.h): nodes -z, 0, z, and |t (t^2 - z^2)| in the mean by Cauchy-Schwarz.
 * docs/MATH.md, "Certificate G".
 */
#ifndef HOP_GAUSS_H
#define HOP_GAUSS_H

#include <stdbool.h>

#include "core/multiindex.h"

/* Of one query's exponents t_mu. Arrays start at degree 0 and hold D[0] = 1. */
typedef struct hop_exponents {
    double T, T_low, T_abs; /* >= max t, max -t, max |t| */
    double s;               /* >= sum_l |u_mu,l xi_l| for every memory */
    double fourth;          /* >= mean t^4 / 4!, whether D[4] is there or not; INFINITY: unknown */
    const double *D;        /* computed mean t^k/k!, k <= g + 1 for g odd, k <= g for g even */
    const double *D_error;  /* |D_k - exact|, and what an extent of 1 misses in mean u t^k/k!: >= 0 */
} hop_exponents;

/* A polynomial sum_k c_k t^k/k! in place of e^t and what is known of e = e^t - p(t). */
typedef struct hop_polynomial {
    double c[HOP_DEGREE_MAX + 1];
    double slack;   /* the polynomial meant differs by at most slack in absolute value wherever |t| <= s */
    double E, most; /* >= mean |e|, max |e|: of the polynomial meant */
    bool below;     /* e >= 0 everywhere */
    /* g odd: e is a square (polynomial of (g+1)/2 factors of t) times at least steady, at most 1, of one number */
    double steady;
} hop_polynomial;

/* Exponents beyond this have no certificate G: the series are not carried so far. */
#define HOP_GAUSS_MOST 16.0

/* false: none (range, or a moment that is not positive). Cost: some 200 flops. 1 <= g <= HOP_DEGREE_MAX. */
bool hop_gauss(const hop_exponents *x, unsigned g, hop_polynomial *out);

/* The one for g = 2 by the fourth moment; false also where that is unknown. */
bool hop_gauss_fourth(const hop_exponents *x, hop_polynomial *out);

#endif
