/*
 * moments_update.c - feature maps of changed rows: moments are sums, so rows come and go by adding and subtracting
 * theirs. What that leaves behind in roundings is counted here; proof: docs/MATH.md, "Append and remove".
 */
#include <math.h>
#include <string.h>

#include "core/fourth.h"
#include "core/skew.h"
#include "core/alloc.h"
#include "core/checked.h"
#include "core/moment_sums.h"
#include "core/moments.h"
#include "core/rounding.h"
#include "core/status.h"

/* Roundings that no update may exceed, and a build is due from: 1.2e-10, 1.5e-11 of the sums of absolute values. */
#define ROUNDINGS_MAX 0x1p20
#define ROUNDINGS_DUE 0x1p17

/* A centre this far from the mean, in radii, and extents this far from fresh ones make a rebuild due. */
#define CENTRE_DUE 0.25
#define SCALE_DUE 2.0

/* Rows of `base` that are not in `model`, and the other way round. */
typedef struct row_change {
    const hop_model *base, *model;
    const size_t *removed;
    size_t n_removed, n_added;
} row_change;

static hop_status check_change(const hop_features *features, const hop_model *base, const hop_model *model,
                               const size_t *removed, size_t n_removed, row_change *out, hop_error *error)
{
    if (features->index.d != base->d || features->p != base->p || !features->A != base->shared || model->d != base->d ||
        model->p != base->p || model->shared != base->shared || model->similarity != base->similarity)
        return hop_fail(error, HOP_E_SHAPE,
                        "the maps, the set they are of and the changed set are of different shapes");
    for (size_t i = 0; i < n_removed; i++)
        if (removed[i] >= base->M || (i > 0 && removed[i] <= removed[i - 1]))
            return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)i, -1,
                               "rows to remove are ids below %zu in ascending order", base->M);
    if (base->M - n_removed > model->M)
        return hop_fail(error, HOP_E_SHAPE, "%zu rows without %zu cannot be %zu", base->M, n_removed, model->M);
    *out = (row_change){.base = base,
                        .model = model,
                        .removed = removed,
                        .n_removed = n_removed,
                        .n_added = model->M - (base->M - n_removed)};
    return HOP_OK;
}

/* Whether scaled coordinates of old rows are those of new ones. Where no row ever differed from the centre, u is 0. */
static bool same_frame(const hop_geometry *base, const hop_geometry *model, const double *removed_extent)
{
    for (size_t l = 0; l < base->n; l++) {
        bool centre = base->centre[l] - model->centre[l] == 0, scale = base->scale[l] - model->scale[l] == 0;
        bool unused = !(base->extent[l] > 0) && !(removed_extent[l] > 0);
        if (!centre || !(scale || unused))
            return false;
    }
    return true;
}

/* max(1, reach / extent) over the coordinates that still differ from the centre. */
static double reach_ratio(const hop_geometry *geometry, const double *removed_extent)
{
    double ratio = 1;
    for (size_t l = 0; l < geometry->n; l++)
        if (geometry->extent[l] > 0)
            ratio = hop_max(ratio, removed_extent[l] / geometry->extent[l]);
    return ratio;
}

/* The sum of what was ever added or taken away over what is there: the factor by which roundings weigh more. */
static double mass(const hop_features *features, const hop_model *model)
{
    if (!(features->removed > 0))
        return 1;
    double rho = reach_ratio(&model->key, features->removed_extent);
    if (model->key.radius > 0)
        rho = hop_max(rho, features->removed_radius / model->key.radius);
    double weight = features->A ? reach_ratio(&model->value, features->removed_extent + model->d) : rho;
    double power = weight;
    for (unsigned k = 0; k < features->g_max + (features->A ? 1 : 0); k++)
        power *= rho;
    return (1 + 2 * features->removed / (double)model->M * power) * (1 + 0x1p-40);
}

static void remember_removed(const hop_features *before, const row_change *change, hop_features *out)
{
    const hop_model *base = change->base;
    size_t d = base->d, p = before->A ? base->p : 0;
    memcpy(out->removed_extent, before->removed_extent, (d + p) * sizeof(double));
    out->removed_radius = before->removed_radius;
    out->removed = before->removed + (double)change->n_removed;
    if (!change->n_removed)
        return;
    for (size_t l = 0; l < d; l++)
        out->removed_extent[l] = hop_max(out->removed_extent[l], base->key.extent[l]);
    for (size_t j = 0; j < p; j++)
        out->removed_extent[d + j] = hop_max(out->removed_extent[d + j], base->value.extent[j]);
    out->removed_radius = hop_max(out->removed_radius, base->key.radius);
}

static void count_roundings(const hop_features *before, const row_change *change, hop_features *out)
{
    unsigned g = out->g_max;
    double added = change->n_added ? hop_moment_sums_roundings(change->model, change->n_added, g) : 0;
    double removed = change->n_removed ? hop_moment_sums_roundings(change->base, change->n_removed, g) : 0;
    /* x M, + and / M for what was there; -, / alpha! and alpha!'s own, + and / M for what is new */
    out->term_roundings = hop_max(before->term_roundings + 3, hop_max(added, removed) + g + 6);
    out->build_roundings = out->term_roundings * mass(out, change->model);
}

/* out = (before M' + (out - removed) / alpha!) / M for the coefficients of one array, `each` a monomial. */
static void combine(size_t n, size_t each, const double *before, double M_before, const double *removed,
                    const double *factorials, double M, double *out)
{
    for (size_t alpha = 0; alpha < n; alpha++)
        for (size_t c = alpha * each; c < (alpha + 1) * each; c++)
            out[c] = (before[c] * M_before + (out[c] - removed[c]) * factorials[alpha]) / M;
}

/* Sums over the rows that come into out, those over the rows that go into gone, then all into means. */
static hop_status sum_change(const hop_features *before, const row_change *change, const hop_executor *executor,
                             hop_progress *progress, hop_features *out, hop_features *gone, hop_error *error)
{
    const hop_multiindex *index = &out->index;
    unsigned g = out->g_max;
    size_t n = change->n_added + change->n_removed;
    hop_moment_rows added = {.model = change->model,
                             .first = change->model->M - change->n_added,
                             .n = change->n_added,
                             .progress = progress,
                             .rows = n};
    hop_moment_rows removed = {.model = change->base,
                               .ids = change->removed,
                               .n = change->n_removed,
                               .progress = progress,
                               .done_rows = change->n_added,
                               .rows = n};
    hop_status status = hop_moment_sums(&added, index, g, executor, out->a, out->A, error);
    if (status == HOP_OK)
        status = hop_moment_sums(&removed, index, g, executor, gone->a, gone->A, error);
    double *factorials = status == HOP_OK ? hop_features_factorials(out) : NULL;
    if (status == HOP_OK && !factorials)
        status = hop_fail(error, HOP_E_NOMEM, "no memory to update feature maps of degree %u", g);
    if (status == HOP_OK) {
        double M_before = (double)change->base->M, M = (double)change->model->M;
        combine(index->start[g + 2], 1, before->a, M_before, gone->a, factorials, M, out->a);
        out->a[0] = 1;
        if (out->A)
            combine(index->start[g + 1], out->p, before->A, M_before, gone->A, factorials, M, out->A);
    }
    hop_aligned_free(factorials);
    return status;
}

size_t hop_features_update_bytes(const hop_features *features, const hop_model *base, const hop_model *model,
                                 size_t n_removed, size_t width)
{
    unsigned g = features->g_max;
    if (n_removed > base->M || base->M - n_removed > model->M)
        return SIZE_MAX;
    size_t n_added = model->M - (base->M - n_removed);
    size_t added = hop_moment_sums_bytes(model, n_added, g, width);
    size_t removed = hop_moment_sums_bytes(base, n_removed, g, width);
    size_t bytes = hop_features_bytes_with(model, g, added > removed ? added : removed);
    return hop_add_size(bytes, hop_features_bytes_estimate(model, g), &bytes) ? bytes : SIZE_MAX;
}

hop_status hop_features_update(const hop_features *features, const hop_model *base, const hop_model *model,
                               const size_t *removed, size_t n_removed, const hop_executor *executor,
                               hop_progress *progress, hop_features **out, hop_error *error)
{
    row_change change = {0};
    hop_status status = check_change(features, base, model, removed, n_removed, &change, error);
    if (status != HOP_OK)
        return status;
    if (!same_frame(&base->key, &model->key, features->removed_extent) ||
        (features->A && !same_frame(&base->value, &model->value, features->removed_extent + base->d)))
        return hop_fail(error, HOP_E_LIMIT, "the changed set has a centre or scales of its own: its maps need a build");
    hop_features *changed = NULL, *gone = NULL;
    status = hop_features_new(model, features->g_max, &changed, error);
    if (status == HOP_OK) {
        remember_removed(features, &change, changed);
        count_roundings(features, &change, changed);
        if (!(changed->build_roundings <= ROUNDINGS_MAX))
            status = hop_fail(error, HOP_E_LIMIT,
                              "the change would leave more rounding errors behind than a build: its maps need one");
    }
    if (status == HOP_OK)
        status = hop_features_new(model, features->g_max, &gone, error);
    if (status == HOP_OK)
        status = sum_change(features, &change, executor, progress, changed, gone, error);
    if (status == HOP_OK)
        status = hop_features_narrow(changed, error);
    if (status == HOP_OK) { /* proved from errors against the moments that are there, not those that went */
        changed->fourth = changed->removed > 0 ? (double)INFINITY : hop_fourth_factor(changed, &model->key, progress);
        if (!(changed->removed > 0))
            hop_skew_bounds(changed, &model->key, progress);
    }
    hop_features_free(gone);
    if (status != HOP_OK) {
        hop_features_free(changed);
        return status;
    }
    if (progress)
        atomic_store_explicit(&progress->permille, 1000, memory_order_relaxed);
    *out = changed;
    return HOP_OK;
}

hop_drift hop_features_drift(const hop_features *features, const hop_model *model)
{
    const hop_geometry *key = &model->key;
    hop_drift drift = {.rounding = hop_gamma(features->build_roundings, HOP_U64), .scale = 1};
    double square = 0;
    for (size_t l = 0; l < model->d; l++) {
        double shift = features->a[1 + l] * key->scale[l], extent = key->extent[l];
        square += shift * shift;
        if (extent > 0)
            drift.scale = hop_max(drift.scale, hop_max(extent, 0.5 / extent));
    }
    if (key->radius > 0)
        drift.centre = sqrt(square) / key->radius;
    drift.due = features->build_roundings > ROUNDINGS_DUE || drift.centre > CENTRE_DUE || drift.scale > SCALE_DUE;
    return drift;
}
