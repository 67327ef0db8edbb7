/*
 * dense_bound.c - what f32 and f64 can do for a query, and how far a pass may be off. Proofs: docs/MATH.md, "Dense".
 */
#include <math.h>

#include "core/dense.h"
#include "core/kernels.h"
#include "core/rounding.h"

/*
 * exp's argument stays inside the range of its proven error with room for the rounding of the score, HOP_RUN weights
 * fit in f32 and M e^T_abs in f64, for every M that memory can hold. In f32 the kernels say how far
 * that is: 80 at most.
 */
#define UNSHIFTED_F64 650.0

/* Beyond this the f32 scores are not worth computing: tanh(1/4) of the range is no answer. */
#define SCORE_ERROR_MAX 0.5

bool hop_dense_f32_possible(const hop_query *query)
{
    return query->s < 1e30; /* then |xi_l| < 2e30 where it matters, and every score is finite */
}

bool hop_dense_needs_shift(const hop_query *query, bool f64)
{
    return !(query->T_abs <= (f64 ? UNSHIFTED_F64 : hop_kernels_get()->reach_f32));
}

/*
 * Largest error over osc, from the weight beside the heaviest: with every weight right within e^{+-h} and the heaviest
 * computed as 1 within exp_error, both softmaxes have at most (1 + e^{2h}) rest of their mass elsewhere.
 */
static double sharp_osc(const hop_dense_sums *sums, double half_ratio, double exp_error, double sum_D, double lost)
{
    double rest = sums->denominator * (1 + 2 * sum_D) - (1 - exp_error) + lost;
    return hop_up((1 + exp(2 * half_ratio)) * hop_up(rest / (1 - exp_error)));
}

void hop_dense_terms(const hop_model *model, const hop_query *query, bool f64, const hop_dense_sums *sums,
                     hop_error_terms *terms, double *log_error)
{
    double d = (double)model->d, M = (double)model->M, s = query->s;
    double u = f64 ? HOP_U64 : HOP_U32, exp_error = f64 ? HOP_EXP_F64_ERROR : HOP_EXP_F32_ERROR;
    const hop_kernels *kernels = hop_kernels_get();
    double underflow =
        f64 ? 0x1p-1000 : kernels->underflow_f32 * 1024; /* of products, packed subnormals: a coordinate */
    double depth = f64 ? d + 1 : hop_max(d + 1, kernels->score_depth);
    double tiny =
        f64 ? 0x1p-76 : 0x1p-28; /* products and sums that underflow, next to weights of e^-reach or e^-691 at least */
    bool shifted = hop_dense_needs_shift(query, f64);

    double score = (hop_gamma(depth + 3, u) + hop_gamma(query->roundings + 6, HOP_U64)) * s + d * underflow * (1 + s);
    if (shifted)
        score += u * hop_min(2 * s, f64 ? 710.0 : 89.0);
    double lost = shifted ? M * (f64 ? 0x1p-1000 : 0x1p-123) : 0;  /* weights below exp's range, next to a sum >= 1/2 */
    double half_ratio = hop_up(score + exp_error * (1 + 0x1p-20)); /* log of the largest relative weight error */
    double across = hop_gamma(M / HOP_PANEL + 2 * HOP_DENSE_SEGMENTS_MAX, HOP_U64);
    double sum_N = hop_up(hop_gamma(HOP_DEPTH + 1, u) + across + tiny),
           sum_D = hop_up(hop_gamma(HOP_DEPTH, u) + across);

    if (!(score < SCORE_ERROR_MAX) || !(sum_N < 1)) {
        *terms = (hop_error_terms){.osc = (double)INFINITY};
        *log_error = (double)INFINITY;
        return;
    }
    double osc = half_ratio / 2;
    if (sums && shifted)
        osc = hop_min(osc, sharp_osc(sums, half_ratio, exp_error, sum_D, lost));
    *terms = (hop_error_terms){.osc = osc, .dev = lost, .weight = sum_N, .quotient = sum_D};
    double change = sums ? 2 * HOP_U64 * fabs(sums->shift) : 0; /* of the shift's base */
    *log_error = hop_up(half_ratio + 2 * sum_D + lost + change);
}
