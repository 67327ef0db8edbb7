/*
 * query.c - the exponents' range by the ball and by the box; the smaller wins. Proofs: docs/MATH.md, "Radius".
 */
#include "core/query.h"

#include <math.h>

#include "core/rounding.h"
#include "core/similarity.h"
#include "core/status.h"

hop_status hop_query_prepare(const hop_model *model, double beta, size_t row, const float *x, double *xi,
                             hop_query *out, hop_error *error)
{
    size_t d = model->d;
    const hop_geometry *key = &model->key;
    for (size_t l = 0; l < d; l++)
        if (!isfinite(x[l]))
            return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)row, (int64_t)l,
                               "query row %zu, column %zu is not a finite f32", row, l);
    if (!hop_similarity_apply(model->similarity, d, model->mean, x, xi))
        return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)row, -1, "query row %zu has zero norm%s", row,
                           model->similarity == HOP_CENTERED_COSINE ? " after centring" : "");

    double square = 0, base = 0, base_abs = 0, box = 0, up = 0, down = 0;
    for (size_t l = 0; l < d; l++) {
        double v = xi[l];
        square += v * v;
        base += key->centre[l] * v;
        base_abs += fabs(key->centre[l] * v);
        /* A coordinate in which all keys agree has u = 0: it must not meet an infinite xi. */
        double w = key->extent[l] > 0 ? beta * v * key->scale[l] : 0.0;
        xi[l] = w;
        box += fabs(w) * key->extent[l];
        up += hop_max(w * key->low[l], w * key->high[l]);
        down += hop_max(-w * key->low[l], -w * key->high[l]);
    }
    double n = (double)d + 8, transform = hop_similarity_roundings(model->similarity, d);
    double relative = hop_gamma(n + transform, HOP_U64);
    box = hop_up(box * (1 + relative));
    double ball = hop_up(beta * sqrt(square) * (1 + relative) * key->radius);

    out->xi = xi;
    out->roundings = transform + 2;
    out->s = hop_min(ball, box); /* ball is NaN where all keys agree and beta |x| overflows */
    out->T = hop_min(ball, up + relative * box);
    out->T_abs = hop_min(ball, hop_max(up, down) + relative * box);
    out->base = beta * base;
    out->base_error = hop_up(beta * base_abs * relative);
    out->half_square = square / 2;
    out->half_square_error = hop_up(square * hop_gamma(n + 2 * transform, HOP_U64));
    /* s bounds every later quantity but these two. */
    out->usable = isfinite(box) && isfinite(out->base) && isfinite(out->base_error);
    return HOP_OK;
}
