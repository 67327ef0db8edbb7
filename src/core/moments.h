/*
 * moments.h - the feature maps of a set: moments of its centred, scaled keys, free of beta and of coefficients.
 *
 *     a_alpha = (1/M) sum_mu u_mu^alpha / alpha!              |alpha| <= g_max + 1
 *     A_alpha = (1/M) sum_mu u_mu^alpha / alpha! w_mu         |alpha| <= g_max, only where values are not the keys
 *
 * (u, w: scaled coordinates of keys and values, geometry.h). With t_mu = <u_mu, xi>:
 *
 *     D_k(xi) = mean t^k / k! = sum_{|alpha| = k} a_alpha xi^alpha
 *     N_j     = mean u_mu,j P_g(t_mu) = d/dxi_j (D_1 + ... + D_{g+1})         where values are the keys
 *
 * Lemma A.3's feature map U1 is u^alpha without its identically repeated columns: r = C(d+g, g), not C(2(d+g), 2g).
 * Departures from the paper: centred and scaled keys, f64, one sum for all queries instead of an M x r matrix.
 */
#ifndef HOP_MOMENTS_H
#define HOP_MOMENTS_H

#include <stdatomic.h>
#include <stdint.h>

#include "core/model.h"
#include "core/multiindex.h"

enum { HOP_PLANNED_WORDS = 14 };

struct hop_features {
    hop_multiindex index; /* to degree g_max + 1 */
    unsigned g_max;
    size_t p;               /* of A */
    double *a;              /* r(d, g_max + 1), graded, then HOP_SWEEP_PAD zeros */
    float *a_f32;           /* the same rounded to f32; NULL: some are above 1, and f32 sums might overflow */
    double *A;              /* r(d, g_max) x p, then HOP_SWEEP_PAD zeros, or NULL: values are the keys */
    float *A_f32;           /* the same rounded to f32, where there is an a_f32 and none of these is above 1 */
    double fourth;          /* K of fourth.h: mean t^4 <= K 3 (mean t^2)^2; INFINITY: unknown */
    double *skew;           /* d skew_1, then d skew_3 of skew.h, in u; INFINITY: unknown */
    double skew_most[2];    /* the largest of each in the rows' unit */
    double build_roundings; /* every coefficient's relative roundings, against mean |u^alpha| / alpha! */

    _Atomic uint64_t planned[HOP_PLANNED_WORDS]; /* plan.c's own: what it found last; 0: nothing yet */

    /* What changes left behind (moments_update.c) */
    double term_roundings;  /* on the longest way of one row's monomial into a coefficient */
    double removed;         /* rows ever taken away */
    double removed_radius;  /* >= |key - c| of each of those */
    double *removed_extent; /* d, then p where there is an A: >= |u_l|, |w_j| of each of those */
};

/* Maps without content: every coefficient 0. Owned by the caller. Errors: HOP_E_LIMIT, HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status hop_features_new(const hop_model *model, unsigned max_degree, hop_features **out,
                                            hop_error *error);

/*
 * Bytes of maps and of what making them holds besides: what summing takes, the bounds of fourth.h and skew.h, the order
 * of monomials, factorials. SIZE_MAX: overflow.
 */
size_t hop_features_bytes_with(const hop_model *model, unsigned max_degree, size_t sums_bytes);

/* Fills a_f32 from a, and A_f32 from A, where f32 sums cannot overflow. Errors: HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status hop_features_narrow(hop_features *features, hop_error *error);

/* 1/alpha! of every coefficient; the caller frees it. NULL: no memory. */
double *hop_features_factorials(const hop_features *features);

/* mean u_i u_j .. of n <= g_max + 1 coordinates, which are sorted. */
double hop_features_moment(const hop_features *features, size_t *coordinates, unsigned n);

static inline const double *hop_features_degree(const hop_features *features, unsigned k)
{
    return features->a + features->index.start[k];
}

#endif
