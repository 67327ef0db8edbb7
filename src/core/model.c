/*
 * model.c - from borrowed rows to a frozen, packed model.
 */
#include "core/model.h"

#include <math.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/kernels.h"
#include "core/moments.h"
#include "core/pack.h"
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
    /* Keys, values; a cosine's mean and scratch, and the geometry of the memories as given while it is made. */
    size_t cosine = similarity == HOP_DOT ? 0 : hop_geometry_bytes(M, d) + 2 * d * sizeof(double);
    size_t small = sizeof(hop_model) + hop_geometry_bytes(M, d) + hop_geometry_bytes(M, values) + cosine + 1024;
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

/* Keys other than the memories: transform about the stored mean, then measure what came out. */
static hop_status transform_keys(hop_model *model, const hop_source *source, hop_error *error)
{
    size_t d = model->d;
    const hop_model *like = source->like;
    const hop_geometry *frame = like ? &like->key : NULL;
    hop_geometry raw;
    hop_status status =
        hop_geometry_init_like(&raw, source->memories, model->M, d, model->similarity == HOP_DOT ? frame : NULL, error);
    if (status != HOP_OK)
        return status;
    model->norms.max_abs = raw.max_abs;
    model->norms.max_l2 = raw.max_l2;
    if (model->similarity == HOP_DOT) {
        model->key = raw;
        model->keys = source->memories;
        return HOP_OK;
    }
    model->own_keys = hop_array_new(model->M, d, sizeof(float));
    model->mean = hop_array_new(d, 2, sizeof(double)); /* second half: scratch of the transform */
    if (!model->own_keys || !model->mean) {
        status = hop_fail(error, HOP_E_NOMEM, "no memory for the keys of %zu memories", model->M);
    } else {
        for (size_t l = 0; l < d; l++)
            model->mean[l] = like ? like->mean[l] : raw.centre[l];
        status = hop_similarity_keys(model->similarity, model->M, d, model->mean, source->memories, model->mean + d,
                                     model->own_keys, error);
        model->keys = model->own_keys;
    }
    hop_geometry_fini(&raw);
    return status == HOP_OK ? hop_geometry_init_like(&model->key, model->keys, model->M, d, frame, error) : status;
}

static hop_status measure_values(hop_model *model, const hop_source *source, hop_error *error)
{
    model->values = source->values ? source->values : source->memories;
    model->shared = model->values == model->keys && model->p == model->d;
    if (model->shared) {
        model->value = model->key;
        return HOP_OK;
    }
    hop_error in_values = HOP_ERROR_NONE;
    hop_status status = hop_geometry_init_like(&model->value, model->values, model->M, model->p,
                                               source->like ? &source->like->value : NULL, &in_values);
    if (status != HOP_OK)
        return hop_fail_at(error, status, in_values.row, in_values.column, "values: %.200s", in_values.text);
    return HOP_OK;
}

static hop_status pack(hop_model *model, hop_packing packing, const hop_executor *executor, hop_error *error)
{
    size_t memories = hop_pack_panels(model->M) * HOP_PANEL;
    model->columns = hop_round_up(model->p, HOP_COLUMNS);
    if (packing != HOP_PACK_NONE)
        model->key_panels = hop_array_new(memories, model->d, sizeof(float));
    if (packing == HOP_PACK_FULL)
        model->value_panels = hop_array_new(memories, model->columns, sizeof(float));
    if ((packing != HOP_PACK_NONE && !model->key_panels) || (packing == HOP_PACK_FULL && !model->value_panels))
        return hop_fail(error, HOP_E_NOMEM, "no memory to pack %zu memories", model->M);
    hop_pack_model(model, executor);
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
    hop_model *model = hop_array_new(1, 1, sizeof *model);
    if (!model)
        return hop_fail(error, HOP_E_NOMEM, "no memory for a set");
    model->M = source->M;
    model->d = source->d;
    model->p = p;
    model->similarity = source->similarity;
    model->bytes = bytes;
    atomic_init(&model->features, NULL);

    hop_status status = transform_keys(model, source, error);
    if (status == HOP_OK)
        status = measure_values(model, source, error);
    if (status == HOP_OK)
        status = pack(model, source->packing, executor, error);
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
