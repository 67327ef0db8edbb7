/*
 * body.c - see body.h.
 */
#include "store/body.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/phi_cache.h"

#include <stdlib.h>

bool store_body_bytes(size_t M, size_t d, size_t p, hop_similarity similarity, hop_packing packing, size_t *out)
{
    size_t model = hop_model_bytes_estimate(M, d, p ? p : d, p > 0, similarity, packing);
    return model > 0 && hop_add_size(model, sizeof(store_body), out);
}

static hop_status fill(store_body *body, const store_body_source *source, const hop_executor *executor,
                       hop_error *error)
{
    const store_block *block = source->block;
    const hop_source rows = {
        .M = source->M,
        .d = block->d,
        .p = block->p,
        .memories = block->memories,
        .values = block->values,
        .similarity = source->similarity,
        .packing = source->packing,
        .like = source->like ? source->like->model : NULL,
        .same_rows = source->same_rows,
        .frames = source->frames,
    };
    return hop_model_new(&rows, executor, &body->model, error);
}

hop_status store_body_new(const store_body_source *source, size_t charged_bytes, const hop_executor *executor,
                          store_body **out, hop_error *error)
{
    size_t bytes;
    if (!store_body_bytes(source->M, source->block->d, source->block->p, source->similarity, source->packing, &bytes))
        return hop_fail(error, HOP_E_SHAPE,
                        "a set of %zu memories of dimension %zu is larger than this machine can address", source->M,
                        source->block->d);
    size_t more = bytes > charged_bytes ? bytes - charged_bytes : 0;
    hop_status status = store_budget_charge(source->block->budget, more, "this set", error);
    if (status != HOP_OK)
        return status;
    store_body *body = calloc(1, sizeof *body);
    status = body ? fill(body, source, executor, error) : hop_fail(error, HOP_E_NOMEM, "out of memory");
    if (status == HOP_OK) {
        size_t kept = hop_model_bytes(body->model) + sizeof *body, paid = charged_bytes + more;
        if (kept > paid)
            status = store_budget_charge(source->block->budget, kept - paid, "this set", error);
        else
            store_budget_release(source->block->budget, paid - kept);
        atomic_init(&body->charged_bytes, kept);
    }
    if (status != HOP_OK) {
        if (body)
            hop_model_free(body->model);
        free(body);
        store_budget_release(source->block->budget, more);
        return status;
    }
    atomic_init(&body->references, 1);
    atomic_init(&body->phi_cache, NULL);
    atomic_init(&body->separation, NULL);
    body->budget = source->block->budget;
    body->block = store_block_acquire(source->block);
    body->M = source->M;
    body->packing = source->wanted;
    body->rows_hash = source->rows_hash;
    body->measured_M = source->M;
    *out = body;
    return HOP_OK;
}

store_body *store_body_acquire(store_body *body)
{
    atomic_fetch_add_explicit(&body->references, 1, memory_order_relaxed);
    return body;
}

void store_body_release(store_body *body)
{
    if (!body || atomic_fetch_sub_explicit(&body->references, 1, memory_order_acq_rel) > 1)
        return;
    struct store_phi_cache *phi_cache = atomic_load_explicit(&body->phi_cache, memory_order_relaxed);
    if (phi_cache)
        store_phi_cache_forget(phi_cache, body);
    hop_separation_free(atomic_load_explicit(&body->separation, memory_order_relaxed));
    hop_model_free(body->model);
    store_block_release(body->block);
    store_budget_release(body->budget, atomic_load_explicit(&body->charged_bytes, memory_order_relaxed));
    free(body);
}

void store_body_pay(store_body *body, size_t bytes)
{
    atomic_fetch_add_explicit(&body->charged_bytes, bytes, memory_order_relaxed);
}

void store_body_adopt(store_body *body, hop_features *features, size_t charged_bytes)
{
    size_t kept = hop_features_bytes(features);
    if (kept < charged_bytes)
        store_budget_release(body->budget, charged_bytes - kept);
    store_body_pay(body, kept < charged_bytes ? kept : charged_bytes);
    hop_model_adopt_features(body->model, features);
}
