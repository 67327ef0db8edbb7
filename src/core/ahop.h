/*
 * ahop.h - Algorithm 1 of Hu et al. 2024 (arXiv 2402.04520, "P1") as it is written, for study: matrices of monomials of
 * the memories and queries as given, one row each.
 *
 *     A = exp(beta Xi^T X)  ~  A~ = U1 U2^T,   Z~ = (V U1) U2^T D~^{-1},   D~ = diag(1^T A~)
 *
 * It answers nothing in hop_retrieve(): its cost grows with M and its degree with beta d B^2 (almost_linear.h is what
 * is made of it). Not as printed is the axis of D, which must sum over memories (docs/MATH.md, "Errata"); and of Lemma
 * A.3's C(2(d+g), 2g) columns those with coefficient 0 are left out, that is all whose exponents of u and v differ:
 * C(d+g, g) remain.
 */
#ifndef HOP_AHOP_H
#define HOP_AHOP_H

#include "hopfield.h"

/*
 * Lemma A.2, by Taylor's polynomial P_g: the smallest g with R^{g+1}/(g+1)! e^R <= delta, which leaves
 * |P_g(t) - e^t| <= delta e^t for |t| <= R. An integer; computed in logarithms. NaN: R is not in [0, 2^48], or delta
 * not in (0, 1).
 */
double hop_ahop_degree(double R, double delta);

double hop_ahop_log10_rank(double d, double g); /* log10 C(2(d+g), 2g), as printed */

/* The matrices, owned. M x r and L x r f64, row-major, in the order of monomials of multiindex.h. */
typedef struct hop_ahop {
    size_t d, M, L, r;
    unsigned g;
    double beta, B, R, delta_A; /* B: largest |entry| of both; R = beta d B^2 */
    double *U1;                 /* beta^k u^alpha / alpha!, k = |alpha| */
    double *U2;                 /* u^alpha */
} hop_ahop;

enum { HOP_AHOP_CELLS_MAX = 1 << 24 }; /* (M + L) r */

/*
 * hop_ahop_new() - degree, U1 and U2 for M memories and L queries of d coordinates.
 *
 * Errors: HOP_E_SHAPE (a size of 0), HOP_E_DOMAIN (beta, delta_A not in (0, 0.1], an entry that is not finite),
 * HOP_E_LIMIT (more than HOP_AHOP_CELLS_MAX cells, or a degree above 24), HOP_E_NOMEM. Cost: (M + L) r products. On
 * success the caller owns *out; hop_ahop_free() takes NULL.
 */
HOP_WARN_UNUSED hop_status hop_ahop_new(size_t d, size_t M, const float *memories, size_t L, const float *x,
                                        double beta, double delta_A, hop_ahop **out, hop_error *error);
void hop_ahop_free(hop_ahop *ahop);

/* What Algorithm 1 promises: |z_j - Z_j| <= sharp + rounding <= lemma + rounding, Z of the arrays as given, j < p. */
typedef struct hop_ahop_answer {
    double *z;       /* L x p, the caller's */
    double *D;       /* L: D~ = sum_mu A~_mu,l; may be NULL */
    double lemma;    /* 2 M B_v delta_A (3.3), B_v the largest |value| */
    double sharp;    /* osc (1 - sqrt(1 - delta_A^2))/delta_A, osc the largest range of a coordinate of the values */
    double rounding; /* of all that was computed; INFINITY: nothing is known, as the terms cancel */
} hop_ahop_answer;

/*
 * hop_ahop_retrieve() - Algorithm 1 from step 4 on. values: M x p f32. The three bounds are rounded up.
 * Errors: HOP_E_SHAPE (p is 0), HOP_E_DOMAIN (a value is not finite), HOP_E_NOMEM (r (p + 1) f64). Cost:
 * 2 (M + L) r (p + 1) flops.
 */
HOP_WARN_UNUSED hop_status hop_ahop_retrieve(const hop_ahop *ahop, size_t p, const float *values,
                                             hop_ahop_answer *answer, hop_error *error);

#endif
