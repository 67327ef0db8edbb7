/*
 * memory.c - sets are asked, requests and answers are counted where they are charged, the rest is what remains.
 */
#include "server/memory.h"

#include "server/config.h"
#include "store/budget.h"
#include "store/registry.h"

const char *srv_memory_word(srv_memory_kind kind)
{
    static const char *const words[SRV_MEMORY_KINDS] = {
        [SRV_MEMORY_MEMORIES] = "memories", [SRV_MEMORY_VALUES] = "values",         [SRV_MEMORY_IDS] = "ids",
        [SRV_MEMORY_LABELS] = "labels",     [SRV_MEMORY_MODELS] = "models",         [SRV_MEMORY_FEATURES] = "features",
        [SRV_MEMORY_SUMS] = "sums",         [SRV_MEMORY_SEPARATION] = "separation", [SRV_MEMORY_REQUESTS] = "requests",
        [SRV_MEMORY_ANSWERS] = "answers",   [SRV_MEMORY_OTHER] = "other",
    };
    return words[kind];
}

static void add_set(const store_set *set, srv_memory *out)
{
    const store_bytes bytes = store_set_bytes(set);
    out->bytes[SRV_MEMORY_MEMORIES] += bytes.memories;
    out->bytes[SRV_MEMORY_VALUES] += bytes.values;
    out->bytes[SRV_MEMORY_IDS] += bytes.ids;
    out->bytes[SRV_MEMORY_LABELS] += bytes.labels;
    out->bytes[SRV_MEMORY_MODELS] += bytes.model;
    out->bytes[SRV_MEMORY_FEATURES] += bytes.features;
    out->bytes[SRV_MEMORY_SUMS] += bytes.sums;
    out->bytes[SRV_MEMORY_SEPARATION] += bytes.separation;
}

void srv_memory_count(const srv_app *app, srv_memory *out)
{
    *out = (srv_memory){.limit_bytes = (size_t)app->config->memory_budget_bytes};
    if (!app->budget)
        return;
    store_set **sets = NULL;
    size_t n = 0, known = 0;
    if (app->registry && store_registry_list(app->registry, &sets, &n, NULL) == HOP_OK) {
        for (size_t i = 0; i < n; i++)
            add_set(sets[i], out);
        store_registry_list_free(sets, n);
    }
    out->limit_bytes = store_budget_limit(app->budget);
    out->reserved_bytes = store_budget_reserved(app->budget);
    out->bytes[SRV_MEMORY_REQUESTS] = store_budget_used(app->budget, STORE_FOR_REQUESTS);
    out->bytes[SRV_MEMORY_ANSWERS] = store_budget_used(app->budget, STORE_FOR_ANSWERS);
    for (int kind = 0; kind < SRV_MEMORY_OTHER; kind++)
        known += out->bytes[kind];
    out->bytes[SRV_MEMORY_OTHER] = out->reserved_bytes > known ? out->reserved_bytes - known : 0;
}
