/*
 * query.c - the exponents' range by the ball and by the box; the smaller wins. Proofs: docs/MATH.md, "Radius".
 */
#include "core/query.h"

#include <float.h>
#include <math.h>

#include "core/rounding.h"
#include "core/similarity.h"
#include "core/status.h"

/* Two chains of sums, so that one addition need not wait for the last. */
enum { CHAINS = 2 };

typedef struct sums {
    double square, base, base_abs, box, up, down;
} sums;

static inline void add_coordinate(const hop_geometry *key, double beta, size_t l, double *xi, sums *to)
{
    double v = xi[l];
    to->square += v * v;
    to->base += key->centre[l] * v;
    to->base_abs += fabs(key->centre[l] * v);
    /* A coordinate in which all keys agree has u = 0: it must not meet an infinite xi. */
    double w = key->extent[l] > 0 ? beta * v * key->scale[l] : 0.0;
    xi[l] = w;
    to->box += fabs(w) * key->extent[l];
    to->up += hop_max(w * key->low[l], w * key->high[l]);
    to->down += hop_max(-w * key->low[l], -w * key->high[l]);
}

hop_status hop_query_prepare(const hop_model *model, double beta, size_t row, const float *x, double *xi,
                             hop_query *out, hop_error *error)
{
    size_t d = model->d;
    const hop_geometry *key = &model->key;
    int finite = 1;
    for (size_t l = 0; l < d; l++)
        finite &= fabsf(x[l]) <= FLT_MAX;
    for (size_t l = 0; l < d && !finite; l++)
        if (!isfinite(x[l]))
            return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)row, (int64_t)l,
                               "query row %zu, column %zu is not a finite f32", row, l);
    if (!hop_similarity_apply(model->similarity, d, model->mean, x, xi))
        return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)row, -1, "query row %zu has zero norm%s", row,
                           model->similarity == HOP_CENTERED_COSINE ? " after centring" : "");

    sums chain[CHAINS] = {0};
    size_t l = 0;
    for (; l + CHAINS <= d; l += CHAINS)
        for (size_t c = 0; c < CHAINS; c++)
            add_coordinate(key, beta, l + c, xi, &chain[c]);
    for (; l < d; l++)
        add_coordinate(key, beta, l, xi, &chain[0]);
    double square = chain[0].square + chain[1].square, base = chain[0].base + chain[1].base;
    double base_abs = chain[0].base_abs + chain[1].base_abs, box = chain[0].box + chain[1].box;
    double up = chain[0].up + chain[1].up, down = chain[0].down + chain[1].down;
    double n = (double)d + 8, transform = hop_similarity_roundings(model->similarity, d);
    double relative = hop_gamma(n + transform, HOP_U64);
    box = hop_up(box * (1 + relative));
    double ball = hop_up(beta * sqrt(square) * (1 + relative) * key->radius);

    out->xi = xi;
    out->roundings = transform + 2;
    out->s = hop_min(ball, box); /* ball is NaN where all keys agree and beta |x| overflows */
    out->T = hop_min(ball, up + relative * box);
    out->T_low = hop_min(ball, down + relative * box);
    out->T_abs = hop_max(out->T, out->T_low);
    out->base = beta * base;
    out->base_error = hop_up(beta * base_abs * relative);
    out->half_square = square / 2;
    out->half_square_error = hop_up(square * hop_gamma(n + 2 * transform, HOP_U64));
    /* s bounds every later quantity but these two. */
    out->usable = isfinite(box) && isfinite(out->base) && isfinite(out->base_error);
    return HOP_OK;
}
