/*
 * query.h - one query against one model, once: scaled coordinates and the proven range of its exponents.
 *
 *     t_mu = beta <y_mu, x'> = sum_l u_mu,l xi_l,   xi_l = beta x'_l 2^e_l,   y_mu = key_mu - c = 2^e u_mu
 *
 * exp(beta <c, x'>) cancels in Z and comes back in log-sum-exp as `base`.
 */
#ifndef HOP_QUERY_H
#define HOP_QUERY_H

#include "core/model.h"

typedef struct hop_query {
    const double *xi; /* d; xi_l is the exact one times (1 + e)^roundings, |e| <= 2^-53 */
    double roundings;
    double s;                              /* >= sum_l |u_mu,l xi_l| for every memory */
    double T, T_low, T_abs;                /* >= max_mu t_mu, max_mu -t_mu, max_mu |t_mu| */
    double base, base_error;               /* beta <c, x'> */
    double half_square, half_square_error; /* |x'|^2 / 2 */
    bool usable;                           /* every number above is finite */
} hop_query;

/*
 * Transform and measure one row x (d f32, as the client gave it). xi: d numbers that out->xi will point to.
 * Errors: HOP_E_DOMAIN where x is not finite (row and column) or has zero norm under a cosine (row). Cost: O(d).
 */
HOP_WARN_UNUSED hop_status hop_query_prepare(const hop_model *model, double beta, size_t row, const float *x,
                                             double *xi, hop_query *out, hop_error *error);

#endif
