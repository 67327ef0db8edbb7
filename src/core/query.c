/*
 * query.c - the exponents' range by the ball and by the box; the smaller wins. Proofs: docs/MATH.md, "Radius".
 */
#include "core/query.h"

#include <math.h>

#include "core/kernels.h"
#include "core/rounding.h"
#include "core/similarity.h"
#include "core/status.h"

/* A row that is not finite, or has no direction. */
static hop_status refuse(const hop_model *model, size_t row, const float *x, hop_error *error)
{
    for (size_t l = 0; l < model->d; l++)
        if (!isfinite(x[l]))
            return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)row, (int64_t)l,
                               "query row %zu, column %zu is not a finite f32", row, l);
    return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)row, -1, "query row %zu has zero norm%s", row,
                       model->similarity == HOP_CENTERED_COSINE ? " after centring" : "");
}

hop_status hop_query_prepare(const hop_model *model, double beta, size_t row, const float *x, double *xi,
                             hop_query *out, hop_error *error)
{
    size_t d = model->d;
    const hop_geometry *key = &model->key;
    hop_query_sums sum;
    hop_query_row all = {.d = d,
                         .beta = beta,
                         .centre = key->centre,
                         .scale = key->scale,
                         .low = key->low,
                         .high = key->high,
                         .extent = key->extent,
                         .xi = xi};
    if (model->similarity == HOP_DOT)
        all.x = x;
    else if (!hop_similarity_apply(model->similarity, d, model->mean, x, xi))
        return refuse(model, row, x, error);
    hop_kernels_get()->query_row(&all, &sum);
    if (!isfinite(sum.square)) /* of f32 squared in f64, and of what has norm 1, it cannot overflow */
        return refuse(model, row, x, error);

    double n = (double)d + 8, transform = hop_similarity_roundings(model->similarity, d);
    double relative = hop_gamma(n + transform, HOP_U64);
    double box = hop_up(sum.box * (1 + relative));
    double ball = hop_up(beta * sqrt(sum.square) * (1 + relative) * key->radius);

    out->xi = xi;
    out->roundings = transform + 2;
    out->s = hop_min(ball, box); /* ball is NaN where all keys agree and beta |x| overflows */
    out->T = hop_min(ball, sum.up + relative * box);
    out->T_low = hop_min(ball, sum.down + relative * box);
    out->T_abs = hop_max(out->T, out->T_low);
    out->base = beta * sum.base;
    out->base_error = hop_up(beta * sum.base_abs * relative);
    out->half_square = sum.square / 2;
    out->half_square_error = hop_up(sum.square * hop_gamma(n + 2 * transform, HOP_U64));
    /* s bounds every later quantity but these two. */
    out->usable = isfinite(box) && isfinite(out->base) && isfinite(out->base_error);
    return HOP_OK;
}
