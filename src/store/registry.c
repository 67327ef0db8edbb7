/*
 * registry.c - a sorted array of names under one mutex, held for a binary search and a pointer swap.
 */
#include "store/registry.h"

#include "core/checked.h"
#include "core/status.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One name. An open change points at its entry and keeps it in the array, even while it has no set yet. */
struct store_change {
    char name[STORE_NAME_BYTES];
    store_set *current; /* NULL: the first upload of this name is under way */
    bool open;          /* a change is */
};

struct store_registry {
    store_operations *operations;
    pthread_mutex_t lock;
    struct store_change **entries; /* by name */
    size_t n, capacity;
};

bool store_name_valid(const char *name)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return n > 0 && n < STORE_NAME_BYTES && name[n] == '\0' && strchr(first, name[0]) != NULL;
}

bool store_etag_listed(const char *list, const char *etag, bool weak)
{
    size_t length = strlen(etag);
    const char *at = list + strspn(list, " \t");
    if (*at == '*')
        return true;
    while (*at) {
        bool is_weak = strncmp(at, "W/", 2) == 0;
        if (is_weak)
            at += 2;
        if (strncmp(at, etag, length) == 0 && (weak || !is_weak))
            return true;
        /* Over this tag, whose quoted part may hold commas, to the next. */
        if (*at == '"') {
            at += 1 + strcspn(at + 1, "\"");
            at += *at == '"';
        }
        at += strcspn(at, ",");
        at += strspn(at, ", \t");
    }
    return false;
}

hop_status store_registry_new(store_operations *operations, store_registry **out, hop_error *error)
{
    store_registry *registry = calloc(1, sizeof *registry);
    if (!registry)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    registry->operations = operations;
    pthread_mutex_init(&registry->lock, NULL);
    *out = registry;
    return HOP_OK;
}

/* The set is no longer what its name stands for: stop its build, drop the registry's reference. Not under the lock. */
static void retire(store_registry *registry, store_set *set)
{
    if (!set)
        return;
    store_operations_cancel(registry->operations, set);
    store_set_release(set);
}

void store_registry_free(store_registry *registry)
{
    if (!registry)
        return;
    for (size_t i = 0; i < registry->n; i++) {
        assert(!registry->entries[i]->open);
        retire(registry, registry->entries[i]->current);
        free(registry->entries[i]);
    }
    free(registry->entries);
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

/* Where name is, or belongs. Under the lock, as everything down to the public functions. */
static size_t find(const store_registry *registry, const char *name, bool *found)
{
    size_t low = 0, high = registry->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(registry->entries[middle]->name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = false;
    return low;
}

static void remove_entry(store_registry *registry, size_t i)
{
    free(registry->entries[i]);
    registry->n--;
    memmove(registry->entries + i, registry->entries + i + 1, (registry->n - i) * sizeof *registry->entries);
}

static hop_status insert_entry(store_registry *registry, size_t i, const char *name, hop_error *error)
{
    if (registry->n == registry->capacity) {
        size_t capacity = registry->capacity ? 2 * registry->capacity : 16, bytes;
        if (!hop_mul_size(capacity, sizeof *registry->entries, &bytes))
            return hop_fail(error, HOP_E_NOMEM, "out of memory");
        struct store_change **moved = realloc(registry->entries, bytes);
        if (!moved)
            return hop_fail(error, HOP_E_NOMEM, "out of memory");
        registry->entries = moved;
        registry->capacity = capacity;
    }
    struct store_change *entry = calloc(1, sizeof *entry);
    if (!entry)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    snprintf(entry->name, sizeof entry->name, "%s", name);
    memmove(registry->entries + i + 1, registry->entries + i, (registry->n - i) * sizeof *registry->entries);
    registry->entries[i] = entry;
    registry->n++;
    return HOP_OK;
}

static hop_status check(const char *name, const store_set *current, const store_condition *condition, hop_error *error)
{
    if (!condition)
        return HOP_OK;
    if (condition->if_match && !current)
        return hop_fail(error, HOP_E_EXISTS, "If-Match: there is no set '%s'", name);
    if (condition->if_match && !store_etag_listed(condition->if_match, current->etag, false))
        return hop_fail(error, HOP_E_EXISTS, "If-Match: the current version of '%s' is %s", name, current->etag);
    if (condition->if_none_match && current && store_etag_listed(condition->if_none_match, current->etag, true))
        return hop_fail(error, HOP_E_EXISTS, "If-None-Match: '%s' exists, its version is %s", name, current->etag);
    return HOP_OK;
}

static hop_status busy(const char *name, hop_error *error)
{
    return hop_fail(error, HOP_E_BUSY, "another change of '%s' is in progress", name);
}

static hop_status not_found(const char *name, hop_error *error)
{
    return hop_fail(error, HOP_E_NOT_FOUND, "there is no set '%s'", name);
}

hop_status store_registry_get(store_registry *registry, const char *name, store_set **out, hop_error *error)
{
    bool found;
    pthread_mutex_lock(&registry->lock);
    size_t i = find(registry, name, &found);
    store_set *set = found ? registry->entries[i]->current : NULL;
    if (set)
        store_set_acquire(set);
    pthread_mutex_unlock(&registry->lock);
    if (!set)
        return not_found(name, error);
    *out = set;
    return HOP_OK;
}

hop_status store_registry_begin(store_registry *registry, const char *name, const store_condition *condition,
                                store_change **out, hop_error *error)
{
    assert(store_name_valid(name));
    bool found;
    pthread_mutex_lock(&registry->lock);
    size_t i = find(registry, name, &found);
    hop_status status = HOP_OK;
    if (found && registry->entries[i]->open)
        status = busy(name, error);
    if (status == HOP_OK)
        status = check(name, found ? registry->entries[i]->current : NULL, condition, error);
    if (status == HOP_OK && !found)
        status = insert_entry(registry, i, name, error);
    if (status == HOP_OK) {
        registry->entries[i]->open = true;
        *out = registry->entries[i];
    }
    pthread_mutex_unlock(&registry->lock);
    return status;
}

bool store_registry_commit(store_registry *registry, store_change *change, store_set *set)
{
    pthread_mutex_lock(&registry->lock);
    store_set *replaced = change->current;
    memcpy(set->name, change->name, sizeof set->name);
    set->version = replaced ? replaced->version + 1 : 1;
    snprintf(set->etag, sizeof set->etag, "\"%016" PRIx64 "-%" PRIu64 "\"", set->content_hash, set->version);
    change->current = set;
    change->open = false;
    store_set_acquire(set); /* for below: from here on others may replace it */
    pthread_mutex_unlock(&registry->lock);

    retire(registry, replaced);
    store_operations_submit(registry->operations, set);
    store_set_release(set);
    return replaced == NULL;
}

void store_registry_abandon(store_registry *registry, store_change *change)
{
    if (!change)
        return;
    pthread_mutex_lock(&registry->lock);
    change->open = false;
    if (!change->current) {
        bool found;
        size_t i = find(registry, change->name, &found);
        assert(found && registry->entries[i] == change);
        remove_entry(registry, i);
    }
    pthread_mutex_unlock(&registry->lock);
}

hop_status store_registry_delete(store_registry *registry, const char *name, const store_condition *condition,
                                 hop_error *error)
{
    bool found;
    store_set *deleted = NULL;
    pthread_mutex_lock(&registry->lock);
    size_t i = find(registry, name, &found);
    hop_status status = HOP_OK;
    if (!found || !registry->entries[i]->current)
        status = found ? busy(name, error) : not_found(name, error);
    else if (registry->entries[i]->open)
        status = busy(name, error);
    else
        status = check(name, registry->entries[i]->current, condition, error);
    if (status == HOP_OK) {
        deleted = registry->entries[i]->current;
        remove_entry(registry, i);
    }
    pthread_mutex_unlock(&registry->lock);
    retire(registry, deleted);
    return status;
}

hop_status store_registry_list(store_registry *registry, store_set ***out, size_t *n, hop_error *error)
{
    size_t room = 0, listed = 0, needed;
    store_set **sets = NULL;
    pthread_mutex_lock(&registry->lock);
    while ((needed = registry->n) > room) {
        /* Allocate outside the lock; names may have come meanwhile. */
        pthread_mutex_unlock(&registry->lock);
        free(sets);
        sets = calloc(needed, sizeof *sets);
        if (!sets)
            return hop_fail(error, HOP_E_NOMEM, "out of memory for a list of %zu sets", needed);
        room = needed;
        pthread_mutex_lock(&registry->lock);
    }
    for (size_t i = 0; i < registry->n; i++)
        if (registry->entries[i]->current)
            sets[listed++] = store_set_acquire(registry->entries[i]->current);
    pthread_mutex_unlock(&registry->lock);
    *out = sets;
    *n = listed;
    return HOP_OK;
}

void store_registry_list_free(store_set **sets, size_t n)
{
    for (size_t i = 0; i < n; i++)
        store_set_release(sets[i]);
    free(sets);
}
