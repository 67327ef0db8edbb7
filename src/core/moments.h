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

#include "core/model.h"
#include "core/multiindex.h"

struct hop_features {
    hop_multiindex index; /* to degree g_max + 1 */
    unsigned g_max;
    size_t p;               /* of A */
    double *a;              /* r(d, g_max + 1), graded, then HOP_SWEEP_PAD zeros */
    float *a_f32;           /* the same rounded to f32; NULL: some are above 1, and f32 sums might overflow */
    double *A;              /* r(d, g_max) x p, or NULL: values are the keys */
    double build_roundings; /* every coefficient's relative roundings at build, against mean |u^alpha| / alpha! */
};

static inline const double *hop_features_degree(const hop_features *features, unsigned k)
{
    return features->a + features->index.start[k];
}

#endif
