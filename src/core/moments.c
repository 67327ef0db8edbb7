/*
 * moments.c - feature maps from sums of monomials (moment_sums.h), their size and the degree that is worth building.
 */
#include "core/moments.h"

#include <limits.h>
#include <math.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/costs.h"
#include "core/fourth.h"
#include "core/skew.h"
#include "core/moment_sums.h"
#include "core/plan.h"
#include "core/status.h"

enum { SMALL_BYTES = 64 << 10, DEGREE_TRIED_MAX = 12 };

#define DEFAULT_BUILD_SECONDS 10.0

unsigned hop_features_max_degree(const hop_features *features)
{
    return features->g_max;
}

uint64_t hop_features_rank(const hop_features *features)
{
    return hop_rank(features->index.d, features->g_max);
}

size_t hop_features_bytes_estimate(const hop_model *model, unsigned max_degree)
{
    if (max_degree >= HOP_DEGREE_MAX)
        return SIZE_MAX;
    uint64_t scalar = hop_rank(model->d, max_degree + 1), r = hop_rank(model->d, max_degree);
    size_t rows, cells, bytes;
    size_t p = model->shared ? 0 : model->p;
    if (scalar > INT_MAX || !hop_mul_size((size_t)r, p, &rows) ||
        !hop_add_size(rows, (size_t)scalar + HOP_SWEEP_PAD + (p ? HOP_SWEEP_PAD : 0), &cells) ||
        !hop_mul_size(cells, sizeof(double) + sizeof(float), &bytes) ||
        !hop_add_size(bytes, (3 * model->d + p) * sizeof(double), &bytes))
        return SIZE_MAX;
    return bytes;
}

size_t hop_features_bytes_with(const hop_model *model, unsigned max_degree, size_t sums_bytes)
{
    size_t kept = hop_features_bytes_estimate(model, max_degree);
    if (kept == SIZE_MAX)
        return SIZE_MAX;
    size_t order = ((size_t)max_degree + 3) * 2 * (model->d + 2) * sizeof(size_t);
    size_t factorials = (size_t)hop_rank(model->d, max_degree + 1) * (sizeof(double) + 1);
    size_t small = order + factorials + hop_fourth_bytes(model->d, max_degree) + hop_skew_bytes(model->d, max_degree),
           bytes;
    return hop_add_size(kept, small, &bytes) && hop_add_size(bytes, sums_bytes, &bytes) ? bytes : SIZE_MAX;
}

size_t hop_features_build_bytes(const hop_model *model, unsigned max_degree, size_t width)
{
    return hop_features_bytes_with(model, max_degree, hop_moment_sums_bytes(model, model->M, max_degree, width));
}

/* Numbers of A, what is behind them included. */
static size_t products(const hop_features *features)
{
    return features->index.start[features->g_max + 1] * features->p + HOP_SWEEP_PAD;
}

size_t hop_features_bytes(const hop_features *features)
{
    const hop_multiindex *index = &features->index;
    size_t p = features->A ? features->p : 0, scalar = index->start[features->g_max + 2] + HOP_SWEEP_PAD;
    size_t rows = features->A ? products(features) : 0;
    return (scalar + rows + 3 * index->d + p) * sizeof(double) + (features->a_f32 ? scalar * sizeof(float) : 0) +
           (features->A_f32 ? rows * sizeof(float) : 0);
}

double hop_features_build_seconds(const hop_model *model, unsigned max_degree)
{
    hop_costs costs;
    hop_costs_get(&costs);
    hop_work work = hop_work_build(model, max_degree);
    return hop_work_seconds(&work, &costs);
}

unsigned hop_features_degree_within(const hop_model *model, size_t byte_budget, double build_seconds)
{
    unsigned cheaper = hop_plan_degree_cap(model, DEGREE_TRIED_MAX), g = 0;
    while (g < DEGREE_TRIED_MAX) {
        size_t bytes = hop_features_bytes_estimate(model, g + 1);
        bool useful = g + 1 <= cheaper || bytes <= SMALL_BYTES;
        if (bytes > byte_budget || !useful || hop_features_build_seconds(model, g + 1) > build_seconds)
            break;
        g++;
    }
    return g;
}

unsigned hop_features_default_degree(const hop_model *model)
{
    size_t memories = model->M * model->d * sizeof(float);
    return hop_features_degree_within(model, memories > SMALL_BYTES ? memories : SMALL_BYTES, DEFAULT_BUILD_SECONDS);
}

void hop_features_free(hop_features *features)
{
    if (!features)
        return;
    hop_multiindex_fini(&features->index);
    hop_aligned_free(features->a);
    hop_aligned_free(features->a_f32);
    hop_aligned_free(features->A);
    hop_aligned_free(features->A_f32);
    hop_aligned_free(features->removed_extent);
    hop_aligned_free(features);
}

hop_status hop_features_new(const hop_model *model, unsigned max_degree, hop_features **out, hop_error *error)
{
    if (max_degree < 1 || max_degree >= HOP_DEGREE_MAX || hop_features_bytes_estimate(model, max_degree) == SIZE_MAX)
        return hop_fail(error, HOP_E_LIMIT, "max_degree %u is out of range for d = %zu", max_degree, model->d);
    hop_features *features = hop_array_new(1, 1, sizeof *features);
    if (!features)
        return hop_fail(error, HOP_E_NOMEM, "no memory for feature maps");
    features->g_max = max_degree;
    features->p = model->p;
    size_t p = model->shared ? 0 : model->p;
    hop_status status = hop_multiindex_init(&features->index, model->d, max_degree + 1, error);
    if (status == HOP_OK) {
        features->a = hop_array_new(features->index.start[max_degree + 2] + HOP_SWEEP_PAD, 1, sizeof(double));
        features->removed_extent = hop_array_new(3 * model->d + p, 1, sizeof(double));
        if (p)
            features->A = hop_array_new(products(features), 1, sizeof(double));
        if (!features->a || !features->removed_extent || (p && !features->A))
            status = hop_fail(error, HOP_E_NOMEM, "no memory for feature maps of degree %u", max_degree);
    }
    if (status != HOP_OK) {
        hop_features_free(features);
        return status;
    }
    features->skew = features->removed_extent + model->d + p;
    features->fourth = features->skew_most[0] = features->skew_most[1] = (double)INFINITY;
    for (size_t l = 0; l < 2 * model->d; l++)
        features->skew[l] = (double)INFINITY;
    *out = features;
    return HOP_OK;
}

double hop_features_moment(const hop_features *features, size_t *v, unsigned n)
{
    if (n == 0)
        return 1;
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j > 0 && v[j] < v[j - 1]; j--) {
            size_t swap = v[j];
            v[j] = v[j - 1];
            v[j - 1] = swap;
        }
    /* sorted indices lead from degree 1 to n */
    size_t at = v[n - 1], run = 1;
    double factorial = 1;
    for (unsigned k = 2; k <= n; k++) {
        at += hop_multiindex_degree(&features->index, k).lead[v[n - k]];
        run = v[n - k] == v[n - k + 1] ? run + 1 : 1;
        factorial *= (double)run;
    }
    return hop_features_degree(features, n)[at] * factorial;
}

double *hop_features_factorials(const hop_features *features)
{
    size_t n = features->index.start[features->g_max + 2];
    double *factorials = hop_array_new(n, 1, sizeof(double) + 1);
    if (factorials)
        hop_multiindex_factorials(&features->index, factorials, (unsigned char *)(factorials + n));
    return factorials;
}

/* NULL where some are above 1 (and HOP_OK), or there is no memory. */
static hop_status narrow(size_t n, const double *wide, float **out, hop_error *error)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(wide[i]) <= 1))
            return HOP_OK;
    float *f32 = hop_array_new(n, 1, sizeof(float));
    if (!f32)
        return hop_fail(error, HOP_E_NOMEM, "no memory for feature maps in f32");
    for (size_t i = 0; i < n; i++)
        f32[i] = (float)wide[i];
    *out = f32;
    return HOP_OK;
}

hop_status hop_features_narrow(hop_features *features, hop_error *error)
{
    size_t n = features->index.start[features->g_max + 2] + HOP_SWEEP_PAD;
    hop_status status = narrow(n, features->a, &features->a_f32, error);
    if (status == HOP_OK && features->A && features->a_f32)
        status = narrow(products(features), features->A, &features->A_f32, error);
    return status;
}

/* Sums to means over alpha!. */
static hop_status normalise(hop_features *features, const hop_model *model, hop_error *error)
{
    const hop_multiindex *index = &features->index;
    double *factorials = hop_features_factorials(features), M = (double)model->M;
    if (!factorials)
        return hop_fail(error, HOP_E_NOMEM, "no memory to build feature maps of degree %u", features->g_max);
    features->a[0] = 1;
    for (size_t alpha = 1; alpha < index->start[features->g_max + 2]; alpha++)
        features->a[alpha] = features->a[alpha] / M * factorials[alpha];
    for (size_t alpha = 0; features->A && alpha < index->start[features->g_max + 1]; alpha++)
        for (size_t j = 0; j < features->p; j++)
            features->A[alpha * features->p + j] = features->A[alpha * features->p + j] / M * factorials[alpha];
    hop_aligned_free(factorials);
    return HOP_OK;
}

hop_status hop_features_build(const hop_model *model, unsigned max_degree, const hop_executor *executor,
                              hop_progress *progress, hop_features **out, hop_error *error)
{
    hop_features *features;
    hop_status status = hop_features_new(model, max_degree, &features, error);
    if (status != HOP_OK)
        return status;
    hop_moment_rows rows = {.model = model, .n = model->M, .progress = progress, .rows = model->M};
    status = hop_moment_sums(&rows, &features->index, max_degree, executor, features->a, features->A, error);
    if (status == HOP_OK)
        status = normalise(features, model, error);
    if (status == HOP_OK)
        status = hop_features_narrow(features, error);
    if (status != HOP_OK) {
        hop_features_free(features);
        return status;
    }
    /* / M, / alpha! and alpha!'s own */
    features->term_roundings = hop_moment_sums_roundings(model, model->M, max_degree) + max_degree + 4;
    features->build_roundings = features->term_roundings;
    features->fourth = hop_fourth_factor(features, &model->key, progress);
    hop_skew_bounds(features, &model->key, progress);
    if (progress && atomic_load_explicit(&progress->cancel, memory_order_relaxed)) {
        hop_features_free(features);
        return hop_fail(error, HOP_E_CANCELLED, "the build of feature maps was cancelled");
    }
    if (progress)
        atomic_store_explicit(&progress->permille, 1000, memory_order_relaxed);
    *out = features;
    return HOP_OK;
}
