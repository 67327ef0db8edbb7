/*
 * certificate.h - from a numerator, a denominator and what is known of their errors to an answer and its proven bound.
 *
 * With any weights w~ = w + e, S = sum w and q = sum w~ v / sum w~,
 *
 *     Z - q = -sum e (v - q) / S                                                        (docs/MATH.md, "Identity")
 *
 * so that every retriever's error in coordinate j has the form
 *
 *     osc (high_j - low_j)  +  dev max(high_j - q_j, q_j - low_j)  +  weight extent_j  +  quotient |q_j|
 *
 * in the scaled coordinates of geometry.h. This file adds what all of them share: the rounding of centre + q and of the
 * f32 answer, clipping to the values' range, and the cap max(z - min, max - z).
 */
#ifndef HOP_CERTIFICATE_H
#define HOP_CERTIFICATE_H

#include "core/gauss.h"
#include "core/geometry.h"

typedef struct hop_error_terms {
    double osc, dev, weight, quotient; /* >= 0; INFINITY: nothing is known, the cap alone holds */
    /*
     * Where dev = mean |e| / S is a mean: no single |e| / S is above most (0: nothing is known). The values' tails then
     * say how far from q a mean of such weights can lie (docs/MATH.md, "Tails"). one_sided: no two e differ in sign.
     */
    double most;
    bool one_sided;
    /*
     * Where skew is given: e is at least steady, at most 1 times dev's largest, against weights in whose mean |u_j| is
     * at most skew[j]: skew_most over all j, in the values' unit (docs/MATH.md, "Skewness").
     */
    const double *skew;
    double steady, skew_most;
} hop_error_terms;

/*
 * Write z (n f32) and return the bound, rounded up and always finite: >= max_j |z_j - Z_j|.
 * numerator: n scaled numbers, sum w~ u; denominator > 0. One that is not finite certifies nothing.
 */
double hop_certificate_answer(const hop_geometry *values, const double *numerator, double denominator,
                              const hop_error_terms *terms, float *z);

/* What hop_certificate_answer() will say where the answer is near the centre: an estimate, no bound. Cost: O(1). */
double hop_certificate_expect(const hop_geometry *values, const hop_error_terms *terms);

/* The answer when nothing is known: the centre of the values, its range as bound. z NULL: the bound only. */
double hop_certificate_fallback(const hop_geometry *values, float *z);

/* 1/k, k >= 1, to the nearest f64: h and the certificates multiply where they would divide. */
enum { HOP_INVERSES = 64 };
extern const double hop_inverse[HOP_INVERSES];

/*
 * h[g], g = 0..g_max, rounded up: h_g(T) = (g+1)! sum_{j > g} T^{j-g-1} / j!  for T >= 0.
 * e^t - P_g(t) = t^{g+1} h_g(t)/(g+1)!, h_g is increasing, and h_g = 1 + T/(g+2) h_{g+1}. INFINITY for T > 1000.
 * Cost: O(g_max + T).
 */
void hop_certificate_h(unsigned g_max, double T, double *h);

/* The same for n <= HOP_LANES numbers T: h[g * stride + q]. */
void hop_certificate_h_lanes(unsigned g_max, size_t n, size_t stride, const double *T, double *h);

/* What is known of exp's partial sums over the memories at one degree; P_g(t) = sum_{k <= g} t^k / k!. */
typedef struct hop_partial {
    unsigned g;
    double D;                  /* computed mean P_g(t_mu) */
    double D_error;            /* |D - exact| <= this */
    double top, top_error;     /* mean t^g/g! (g even) or mean t^{g+1}/(g+1)! (g odd), computed, and its error */
    double first, first_error; /* mean t_mu (not 0 when the centre is not the mean) */
    double T, T_abs;
    double h; /* h_g(max(T, 0)), rounded up */
} hop_partial;

typedef struct hop_truncation {
    double E;             /* E / D_low >= mean |e^t - p(t)| / mean e^t, p the polynomial in use */
    double D_low, D_high; /* enclose mean e^t; D_low > 0 */
} hop_truncation;

/*
 * Certificate T for odd and even degrees. false: this degree has no bound (D <= 0, or E not finite, or D_low <= 0).
 */
bool hop_certificate_taylor(const hop_partial *partial, hop_truncation *out);

/* Which certificate an answer rests on. */
typedef enum hop_certificate_kind {
    HOP_CERTIFICATE_T,
    HOP_CERTIFICATE_W,
    HOP_CERTIFICATE_G,
    HOP_CERTIFICATES
} hop_certificate_kind;

/*
 * A degree's best polynomial in place of e^t, P(t) = sum_{k <= g} c_k t^k/k!, and what is proved of it. The answer is
 * N/D with N_j = sum_k c_k mean w_j t^k/k!.
 */
typedef struct hop_bound {
    hop_certificate_kind kind;
    double c[HOP_DEGREE_MAX + 1];
    double D;       /* sum_k c_k D_k */
    double error;   /* of D against the polynomial's exact mean; of N_j, times extent_j. Below D */
    double E, most; /* E / D_low >= mean |e^t - p(t)| / mean e^t; most / D_low likewise of the largest; 0: unknown */
    bool one_sided; /* no two of e^t - p(t) differ in sign */
    double steady;  /* hop_polynomial's, for Taylor's polynomial too; 0: g is even, or W */
    double D_low, D_high; /* enclose mean e^t; D_low > 0 */
} hop_bound;

/*
 * The certificate of degree g. T is tried first, and W and G only where T leaves E / D_low above enough (0: always).
 * only: a mask of 1 << kind, ~0u for all.
 * false: this degree has no bound. The same numbers give the same bound. Cost: T a few flops and one exp, G some 300.
 */
bool hop_certify(const hop_exponents *x, unsigned g, double h, double enough, unsigned only, hop_bound *out);

/* The terms of an answer by such a bound. */
hop_error_terms hop_bound_terms(const hop_bound *bound);

/* What is known where |p(t) - e^t| <= eps (e^t - t) for every exponent (minimax.h). */
typedef struct hop_weighted {
    double eps;                /* < 1 */
    double D, D_error;         /* computed mean p(t_mu) and its error */
    double first, first_error; /* mean t_mu */
    double T;                  /* >= max t_mu */
} hop_weighted;

/* Certificate W: any degree, no further moment. false as above. Rounding: D_error = gamma sum_k |c_k| s^k / k!. */
bool hop_certificate_minimax(const hop_weighted *weighted, hop_truncation *out);

#endif
