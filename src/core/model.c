/*
 * model.c - from borrowed rows to a frozen, packed model.
 */
#include "core/model.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/kernels.h"
#include "core/moments.h"
#include "core/pack.h"
#include "core/rounding.h"
#include "core/similarity.h"
#include "core/status.h"

enum { DIMENSION_MAX = 1 << 20 };

const float *hop_model_keys(const hop_model *model)
{
    return model->keys;
}

size_t hop_model_bytes_estimate(size_t M, size_t d, size_t p, bool has_values, hop_similarity similarity,
                                hop_packing packing)
{
    size_t values = has_values ? p : d, pack, keys = 0, bytes;
    if (d > DIMENSION_MAX || values > DIMENSION_MAX || !hop_pack_bytes(M, d, values, packing, &pack) ||
        (similarity != HOP_DOT && !hop_array_bytes(M, d, sizeof(float), &keys)))
        return 0;
    /* Keys, values; a cosine's mean; while it is made, what is measured with, and a cosine's memories as given. */
    size_t cosine = similarity == HOP_DOT ? 0 : hop_geometry_bytes(M, d) + d * sizeof(double);
    size_t scratch = hop_geometry_scratch_bytes(M, d > values ? d : values);
    size_t small =
        sizeof(hop_model) + hop_geometry_bytes(M, d) + hop_geometry_bytes(M, values) + cosine + scratch + 1024;
    return hop_add_size(pack, keys, &bytes) && hop_add_size(bytes, small, &bytes) ? bytes : 0;
}

void hop_model_free(hop_model *model)
{
    if (!model)
        return;
    hop_features_free(atomic_load_explicit(&model->features, memory_order_acquire));
    hop_aligned_free(model->key_panels);
    hop_aligned_free(model->value_panels);
    hop_aligned_free(model->own_keys);
    hop_aligned_free(model->mean);
    if (!model->shared)
        hop_geometry_fini(&model->value);
    hop_geometry_fini(&model->key);
    hop_aligned_free(model);
}

/* The frame to keep, in *out: that of a geometry, or, where that is NULL, of centres and scales. NULL: none. */
static const hop_kept_frame *kept(const hop_geometry *like, const double *centre, const double *scale,
                                  hop_kept_frame *out)
{
    if (!like && !centre)
        return NULL;
    *out = like ? (hop_kept_frame){.centre = like->centre, .scale = like->scale, .extent = like->extent}
                : (hop_kept_frame){.centre = centre, .scale = scale};
    return out;
}

static hop_status refuse_frame(const char *of, size_t column, hop_error *error)
{
    return hop_fail_at(error, HOP_E_DOMAIN, -1, (int64_t)column, "column %zu of the frame of %s is not a frame's",
                       column, of);
}

/* A frame from outside: nothing is computed from numbers that no model has. */
static hop_status check_frames(const hop_frames *frames, size_t d, size_t p, hop_error *error)
{
    if (!frames->key_centre != !frames->key_scale || !frames->value_centre != !frames->value_scale)
        return hop_fail(error, HOP_E_SHAPE, "a frame is centres and scales, both or neither");
    size_t keys = frames->key_centre ? hop_geometry_check_frame(d, frames->key_centre, frames->key_scale) : d;
    if (keys < d)
        return refuse_frame("the keys", keys, error);
    size_t values = frames->value_centre ? hop_geometry_check_frame(p, frames->value_centre, frames->value_scale) : p;
    if (values < p)
        return refuse_frame("the values", values, error);
    for (size_t l = 0; frames->mean && l < d; l++)
        if (!(fabs(frames->mean[l]) <= FLT_MAX))
            return refuse_frame("the mean", l, error);
    return HOP_OK;
}

/* The rows of a source that are all of an earlier model's, as known of those. NULL: there are none. */
static const hop_known_rows *known(const hop_source *source, const hop_geometry *geometry, hop_known_rows *out)
{
    if (!geometry || source->same_rows < source->like->M)
        return NULL;
    *out = (hop_known_rows){.geometry = geometry, .n_rows = source->same_rows};
    return out;
}

/* Norms of memories that are not the keys, and their mean where the set has one of its own. */
static hop_status measure_memories(hop_model *model, const hop_source *source, const hop_executor *executor,
                                   hop_error *error)
{
    const hop_model *like = source->like;
    const bool centred = model->similarity == HOP_CENTERED_COSINE;
    const double *mean = like ? like->mean : source->frames ? source->frames->mean : NULL;
    const size_t same = like && source->same_rows == like->M ? like->M : 0;
    model->mean = centred ? hop_array_new(model->d, 1, sizeof(double)) : NULL;
    if (centred && !model->mean)
        return hop_fail(error, HOP_E_NOMEM, "no memory for the mean of %zu coordinates", model->d);
    hop_status status = hop_geometry_norms(source->memories, same, model->M, model->d, mean ? NULL : model->mean,
                                           &model->norms.max_abs, &model->norms.max_l2, executor, error);
    if (status != HOP_OK)
        return status;
    if (centred && mean)
        memcpy(model->mean, mean, model->d * sizeof *mean);
    if (same) {
        model->norms.max_abs = hop_max(model->norms.max_abs, like->norms.max_abs);
        model->norms.max_l2 = hop_max(model->norms.max_l2, like->norms.max_l2);
    }
    return HOP_OK;
}

/* Keys other than the memories: transform about the stored mean, then measure what came out. */
static hop_status make_keys(hop_model *model, const hop_source *source, const hop_executor *executor, hop_error *error)
{
    hop_kept_frame frame;
    hop_known_rows rows;
    model->keys = source->memories;
    if (model->similarity != HOP_DOT) {
        hop_status status = measure_memories(model, source, executor, error);
        model->own_keys = status == HOP_OK ? hop_array_alloc(model->M, model->d, sizeof(float)) : NULL;
        if (status == HOP_OK && !model->own_keys)
            status = hop_fail(error, HOP_E_NOMEM, "no memory for the keys of %zu memories", model->M);
        if (status == HOP_OK)
            status = hop_similarity_keys(model->similarity, model->M, model->d, model->mean, source->memories,
                                         source->like ? source->like->own_keys : NULL, source->same_rows, executor,
                                         model->own_keys, error);
        if (status != HOP_OK)
            return status;
        model->keys = model->own_keys;
    }
    const hop_geometry *like = source->like ? &source->like->key : NULL;
    const hop_frames *frames = source->frames;
    hop_status status =
        hop_geometry_measure(&model->key, model->keys, model->M, model->d,
                             kept(like, frames ? frames->key_centre : NULL, frames ? frames->key_scale : NULL, &frame),
                             known(source, like, &rows), executor, error);
    if (status == HOP_OK && model->similarity == HOP_DOT) {
        model->norms.max_abs = model->key.max_abs;
        model->norms.max_l2 = model->key.max_l2;
    }
    return status;
}

static hop_status measure_values(hop_model *model, const hop_source *source, const hop_executor *executor,
                                 hop_error *error)
{
    model->values = source->values ? source->values : source->memories;
    model->shared = model->values == model->keys && model->p == model->d;
    if (model->shared) {
        model->value = model->key;
        return HOP_OK;
    }
    hop_error in_values = HOP_ERROR_NONE;
    hop_kept_frame frame;
    hop_known_rows rows;
    const hop_geometry *like = source->like ? &source->like->value : NULL;
    const hop_frames *frames = source->frames;
    hop_status status = hop_geometry_measure(
        &model->value, model->values, model->M, model->p,
        kept(like, frames ? frames->value_centre : NULL, frames ? frames->value_scale : NULL, &frame),
        known(source, like, &rows), executor, &in_values);
    if (status != HOP_OK)
        return hop_fail_at(error, status, in_values.row, in_values.column, "values: %.200s", in_values.text);
    return HOP_OK;
}

static hop_status pack(hop_model *model, const hop_source *source, const hop_executor *executor, hop_error *error)
{
    const hop_packing packing = source->packing;
    size_t memories = hop_pack_panels(model->M) * HOP_PANEL;
    model->columns = hop_round_up(model->p, HOP_COLUMNS);
    if (packing != HOP_PACK_NONE)
        model->key_panels = hop_array_alloc(memories, model->d, sizeof(float));
    if (packing == HOP_PACK_FULL)
        model->value_panels = hop_array_alloc(memories, model->columns, sizeof(float));
    if ((packing != HOP_PACK_NONE && !model->key_panels) || (packing == HOP_PACK_FULL && !model->value_panels))
        return hop_fail(error, HOP_E_NOMEM, "no memory to pack %zu memories", model->M);
    hop_pack_model(model, source->like, source->same_rows, executor);
    return HOP_OK;
}

hop_status hop_model_new(const hop_source *source, const hop_executor *executor, hop_model **out, hop_error *error)
{
    size_t p = source->values ? source->p : source->d;
    size_t bytes =
        hop_model_bytes_estimate(source->M, source->d, p, source->values != NULL, source->similarity, source->packing);
    if (!source->M || !source->d || !p)
        return hop_fail(error, HOP_E_SHAPE, "a set needs at least one memory, one coordinate and one value");
    if (!bytes)
        return hop_fail(error, HOP_E_SHAPE, "a set of %zu memories of %zu coordinates is too large", source->M,
                        source->d);
    const hop_model *like = source->like;
    if (like && (like->d != source->d || like->p != p || like->similarity != source->similarity))
        return hop_fail(error, HOP_E_SHAPE, "the earlier model is of another shape");
    if (source->same_rows > source->M || source->same_rows > (like ? like->M : 0))
        return hop_fail(error, HOP_E_SHAPE, "%zu rows cannot be those of the earlier model", source->same_rows);
    hop_status status = !like && source->frames ? check_frames(source->frames, source->d, p, error) : HOP_OK;
    if (status != HOP_OK)
        return status;
    hop_model *model = hop_array_new(1, 1, sizeof *model);
    if (!model)
        return hop_fail(error, HOP_E_NOMEM, "no memory for a set");
    model->M = source->M;
    model->d = source->d;
    model->p = p;
    model->similarity = source->similarity;
    model->bytes = bytes;
    atomic_init(&model->features, NULL);

    status = make_keys(model, source, executor, error);
    if (status == HOP_OK)
        status = measure_values(model, source, executor, error);
    if (status == HOP_OK)
        status = pack(model, source, executor, error);
    if (status != HOP_OK) {
        hop_model_free(model);
        return status;
    }
    model->norms.centred_max_l2 = model->key.radius;
    model->norms.value_range = model->value.range;
    *out = model;
    return HOP_OK;
}

size_t hop_model_M(const hop_model *model)
{
    return model->M;
}

size_t hop_model_d(const hop_model *model)
{
    return model->d;
}

size_t hop_model_p(const hop_model *model)
{
    return model->p;
}

hop_similarity hop_model_similarity(const hop_model *model)
{
    return model->similarity;
}

hop_frames hop_model_frames(const hop_model *model)
{
    return (hop_frames){.key_centre = model->key.centre,
                        .key_scale = model->key.scale,
                        .value_centre = model->value.centre,
                        .value_scale = model->value.scale,
                        .mean = model->mean};
}

hop_norms hop_model_norms(const hop_model *model)
{
    return model->norms;
}

size_t hop_model_bytes(const hop_model *model)
{
    return model->bytes;
}

void hop_model_adopt_features(hop_model *model, hop_features *features)
{
    /* Release: a query that sees the pointer sees the moments behind it. */
    hop_features *before = NULL;
    if (!atomic_compare_exchange_strong_explicit(&model->features, &before, features, memory_order_acq_rel,
                                                 memory_order_acquire))
        hop_features_free(features);
}

const hop_features *hop_model_features(const hop_model *model)
{
    return atomic_load_explicit(&model->features, memory_order_acquire);
}
