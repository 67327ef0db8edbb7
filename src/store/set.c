/*
 * set.c - counting readers of a set, and what can be asked of it.
 */
#include "store/set.h"

#include "store/phi_cache.h"

#include <assert.h>
#include <inttypes.h>
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
    struct store_phi_cache *phi_cache = atomic_load_explicit(&set->phi_cache, memory_order_relaxed);
    if (phi_cache)
        store_phi_cache_forget(phi_cache, set);
    size_t charged = atomic_load_explicit(&set->charged_bytes, memory_order_relaxed);
    hop_separation_free(atomic_load_explicit(&set->separation, memory_order_relaxed));
    hop_model_free(set->model);
    free(set->memories);
    free(set->values);
    free(set->ids);
    free(set->label_text);
    free(set->label_offset);
    free(set);
    store_budget_release(budget, charged);
}

store_state store_set_state(const store_set *set)
{
    return (store_state)atomic_load_explicit(&set->state, memory_order_acquire);
}

const char *store_set_reason(const store_set *set)
{
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
    size_t kept = hop_features_bytes(features);
    if (kept < charged_bytes) {
        store_budget_release(set->budget, charged_bytes - kept);
        charged_bytes = kept;
    }
    atomic_fetch_add_explicit(&set->charged_bytes, charged_bytes, memory_order_relaxed);
    hop_model_adopt_features(set->model, features);
}

void store_set_settle(store_set *set, store_state state, const char *reason)
{
    assert(state != STORE_BUILDING && store_set_state(set) == STORE_BUILDING);
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
    struct store_phi_cache *phi_cache = atomic_load_explicit(&set->phi_cache, memory_order_relaxed);
    bytes.sums = phi_cache ? store_phi_cache_bytes_of(phi_cache, set) : 0;
    if (atomic_load_explicit(&set->separation, memory_order_relaxed))
        bytes.separation = hop_separation_bytes(set->model);
    bytes.total = bytes.memories + bytes.values + bytes.ids + bytes.labels + bytes.model + bytes.features + bytes.sums +
                  bytes.separation;
    return bytes;
}
