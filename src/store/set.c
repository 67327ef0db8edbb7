/*
 * set.c - counting readers of a set, and what can be asked of it.
 */
#include "store/set.h"

#include "core/status.h"
#include "store/content_hash.h"
#include "store/mapping.h"
#include "store/phi_cache.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *store_state_word(store_state state)
{
    switch (state) {
    case STORE_BUILDING:
        return "building";
    case STORE_READY:
        return "ready";
    case STORE_FAILED:
        return "failed";
    }
    return "failed";
}

bool store_name_valid(const char *name)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return n > 0 && n < STORE_NAME_BYTES && name[n] == '\0' && strchr(first, name[0]) != NULL;
}

void store_set_name(store_set *set, const char *name, uint64_t version)
{
    snprintf(set->name, sizeof set->name, "%s", name);
    set->version = version;
    snprintf(set->etag, sizeof set->etag, "\"%016" PRIx64 "-%" PRIu64 "\"", set->content_hash, set->version);
}

static store_content content_of(const store_set *set)
{
    return (store_content){
        .M = set->M,
        .d = set->d,
        .p = set->values ? set->p : 0,
        .similarity = hop_model_similarity(set->model),
        .max_degree = set->max_degree,
        .beta = set->beta,
        .max_error = set->max_error,
        .next_id = set->next_id,
        .labelled = set->label_text != NULL,
        .mean = hop_model_frames(set->model).mean,
    };
}

/* A pass over labels that no version had before: they stay with their ids. */
static uint64_t labels_hash(const store_set *set)
{
    store_labels *labels = set->labels;
    if (!labels)
        return 0;
    if (!labels->hashed) {
        for (size_t mu = 0; mu < set->M; mu++)
            labels->hash += store_hash_label(store_set_id(set, mu), store_set_label(set, mu));
        labels->hashed = true;
    }
    return labels->hash;
}

hop_status store_set_new(store_body *body, store_labels *labels, const store_options *options, uint64_t next_id,
                         int64_t created_ms, size_t charged_bytes, store_set **out, hop_error *error)
{
    const store_block *block = body->block;
    hop_status status = store_budget_charge(body->budget, sizeof(store_set) - charged_bytes, "this set", error);
    if (status != HOP_OK)
        return status;
    store_set *set = calloc(1, sizeof *set);
    if (!set) {
        store_budget_release(body->budget, sizeof(store_set) - charged_bytes);
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    }
    atomic_init(&set->references, 1);
    atomic_init(&set->state, STORE_BUILDING);
    atomic_init(&set->progress.permille, 0);
    atomic_init(&set->progress.cancel, false);
    set->budget = body->budget;
    set->created_ms = created_ms;
    set->beta = options->beta;
    set->max_error = options->max_error;
    set->max_degree = options->max_degree;
    set->body = body;
    set->labels = labels;
    set->M = body->M;
    set->d = block->d;
    set->p = block->p ? block->p : block->d;
    set->memories = block->memories;
    set->values = block->values;
    set->ids = block->ids;
    set->next_id = next_id;
    set->model = body->model;
    set->mapping = block->mapping;
    if (labels) {
        set->label_text = labels->text;
        set->label_offset = labels->offset;
        set->label_bytes = labels->text_bytes + labels->n * sizeof(size_t);
    }
    store_content content = content_of(set);
    content.rows = body->rows_hash;
    content.labels = labels_hash(set);
    set->content_hash = store_content_hash(&content);
    *out = set;
    return HOP_OK;
}

store_options store_default_options(const store_body *body)
{
    return (store_options){.beta = 1 / sqrt((double)body->block->d),
                           .max_error = 1e-3 * hop_model_norms(body->model).value_range,
                           .max_degree = -1};
}

store_options store_set_default_options(const store_set *set)
{
    return store_default_options(set->body);
}

uint64_t store_set_hash_1(const store_set *set)
{
    const store_content content = content_of(set);
    return store_content_hash_1(&content, set->memories, set->values, set->label_text,
                                set->labels ? set->labels->text_bytes : 0);
}

void store_set_move_charge(store_set *set, store_budget *to)
{
    set->budget = set->body->budget = set->body->block->budget = to;
    if (set->labels)
        set->labels->budget = to;
}

store_set *store_set_acquire(store_set *set)
{
    /* The caller's own reference, or the lock, already orders this reader after the set's construction. */
    size_t before = atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
    return set;
}

void store_set_release(store_set *set)
{
    /* acq_rel: every reader's last look happens before the last one frees. */
    if (!set || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) > 1)
        return;
    store_budget *budget = set->budget;
    store_labels_release(set->labels);
    store_body_release(set->body);
    free(set);
    store_budget_release(budget, sizeof *set);
}

static const char not_intact[] = "its file was changed while it was mapped";

bool store_set_intact(const store_set *set)
{
    return !set->mapping || store_mapping_intact(set->mapping);
}

static bool broken(const store_set *set)
{
    return set->mapping && store_mapping_broken(set->mapping);
}

hop_status store_set_usable(const store_set *set, hop_error *error)
{
    return broken(set) ? hop_fail(error, HOP_E_UNLOADED, "the set '%.60s' cannot be used: %s", set->name, not_intact)
                       : HOP_OK;
}

hop_status store_set_check(const store_set *set, hop_error *error)
{
    return store_set_intact(set) ? HOP_OK : store_set_usable(set, error);
}

store_state store_set_state(const store_set *set)
{
    if (broken(set))
        return STORE_FAILED;
    return (store_state)atomic_load_explicit(&set->state, memory_order_acquire);
}

const char *store_set_reason(const store_set *set)
{
    if (broken(set))
        return not_intact;
    /* While it builds, the reason may be about to be written; it is only read after the state was. */
    return store_set_state(set) == STORE_BUILDING ? "" : set->reason;
}

uint64_t store_set_id(const store_set *set, size_t mu)
{
    assert(mu < set->M);
    return set->ids ? set->ids[mu] : mu;
}

bool store_set_row_of(const store_set *set, uint64_t id, size_t *mu)
{
    size_t low = 0, high = set->M;
    while (set->ids && low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    *mu = set->ids ? low : (size_t)id;
    return set->ids ? low < set->M && set->ids[low] == id : id < set->M;
}

const char *store_set_label(const store_set *set, size_t mu)
{
    assert(mu < set->M);
    return set->label_text ? set->label_text + set->label_offset[mu] : NULL;
}

unsigned store_set_permille(const store_set *set)
{
    if (store_set_state(set) != STORE_BUILDING)
        return 1000;
    unsigned permille = atomic_load_explicit(&set->progress.permille, memory_order_relaxed);
    return permille < 1000 ? permille : 999;
}

void store_set_adopt(store_set *set, hop_features *features, size_t charged_bytes)
{
    store_body_adopt(set->body, features, charged_bytes);
}

void store_set_settle(store_set *set, store_state state, const char *reason)
{
    assert(state != STORE_BUILDING && atomic_load(&set->state) == STORE_BUILDING);
    if (reason)
        snprintf(set->reason, sizeof set->reason, "%s", reason);
    atomic_store_explicit(&set->state, state, memory_order_release);
}

store_bytes store_set_bytes(const store_set *set)
{
    const hop_features *features = hop_model_features(set->model);
    store_bytes bytes = {
        .memories = set->M * set->d * sizeof(float),
        .values = set->values ? set->M * set->p * sizeof(float) : 0,
        .ids = set->ids ? set->M * sizeof(uint64_t) : 0,
        .labels = set->label_bytes,
        .model = hop_model_bytes(set->model),
        .features = features ? hop_features_bytes(features) : 0,
    };
    struct store_phi_cache *phi_cache = atomic_load_explicit(&set->body->phi_cache, memory_order_relaxed);
    bytes.sums = phi_cache ? store_phi_cache_bytes_of(phi_cache, set->body) : 0;
    if (atomic_load_explicit(&set->body->separation, memory_order_relaxed))
        bytes.separation = hop_separation_bytes(set->model);
    bytes.total = bytes.memories + bytes.values + bytes.ids + bytes.labels + bytes.model + bytes.features + bytes.sums +
                  bytes.separation;
    return bytes;
}
