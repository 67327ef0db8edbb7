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
    store_set *current; /* NULL: nothing answers: its first upload is under way, it loads, or it could not be loaded */
    uint64_t version;   /* newest there is or was, in a file that cannot be loaded too */
    bool open;          /* a change is */
    bool loading;
    char reason[HOP_ERROR_TEXT_BYTES]; /* why it could not be loaded */
};

struct store_registry {
    store_operations *operations;
    store_folder *folder; /* NULL: in memory alone */
    pthread_mutex_t lock;
    struct store_change **entries; /* by name */
    size_t n, capacity;
};

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

static bool swap_for_operations(void *context, store_set *old, store_set *new)
{
    return store_registry_swap(context, old, new);
}

hop_status store_registry_new(store_operations *operations, store_registry **out, hop_error *error)
{
    store_registry *registry = calloc(1, sizeof *registry);
    if (!registry)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    registry->operations = operations;
    pthread_mutex_init(&registry->lock, NULL);
    store_operations_swap_by(operations, (store_swap){.swap = swap_for_operations, .context = registry});
    *out = registry;
    return HOP_OK;
}

void store_registry_keep_in(store_registry *registry, store_folder *folder)
{
    registry->folder = folder;
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
    store_operations_swap_by(registry->operations, (store_swap){0});
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

/* A set that could not be loaded is there, and has no etag that anybody could know. */
static hop_status check(const struct store_change *entry, const store_condition *condition, hop_error *error)
{
    const char *name = entry ? entry->name : "";
    const store_set *current = entry ? entry->current : NULL;
    if (!condition)
        return HOP_OK;
    if (entry && !current && entry->reason[0] && condition->if_none_match)
        return hop_fail(error, HOP_E_EXISTS, "If-None-Match: '%s' exists, and cannot be loaded", name);
    if (condition->if_match && !current)
        return hop_fail(error, HOP_E_EXISTS, "If-Match: there is no such set");
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

static hop_status loading(const char *name, hop_error *error)
{
    return hop_fail(error, HOP_E_UNLOADED, "the set '%s' is being loaded", name);
}

static hop_status unloaded(const struct store_change *entry, hop_error *error)
{
    return hop_fail(error, HOP_E_UNLOADED, "the set '%.60s' could not be loaded: %.150s", entry->name, entry->reason);
}

/* Whether a change may be opened. */
static hop_status free_to_change(const struct store_change *entry, hop_error *error)
{
    if (entry->loading)
        return loading(entry->name, error);
    return entry->open ? busy(entry->name, error) : HOP_OK;
}

hop_status store_registry_get(store_registry *registry, const char *name, store_set **out, hop_error *error)
{
    bool found;
    pthread_mutex_lock(&registry->lock);
    size_t i = find(registry, name, &found);
    store_set *set = found ? registry->entries[i]->current : NULL;
    hop_status status = HOP_OK;
    if (set && (status = store_set_usable(set, error)) == HOP_OK)
        *out = store_set_acquire(set);
    else if (set)
        ;
    else if (found && registry->entries[i]->loading)
        status = loading(name, error);
    else if (found && registry->entries[i]->reason[0])
        status = unloaded(registry->entries[i], error);
    else
        status = not_found(name, error);
    pthread_mutex_unlock(&registry->lock);
    return status;
}

/* Open a change: of what the name has now, which is then *base, or, without base, whether or not it has anything. */
static hop_status open_change(store_registry *registry, const char *name, const store_condition *condition,
                              store_change **out, store_set **base, hop_error *error)
{
    bool found;
    pthread_mutex_lock(&registry->lock);
    size_t i = find(registry, name, &found);
    struct store_change *entry = found ? registry->entries[i] : NULL;
    hop_status status = entry ? free_to_change(entry, error) : HOP_OK;
    if (status == HOP_OK && base && !(entry && entry->current))
        status = entry ? unloaded(entry, error) : not_found(name, error);
    if (status == HOP_OK && base)
        status = store_set_usable(entry->current, error);
    if (status == HOP_OK)
        status = check(entry, condition, error);
    if (status == HOP_OK && !found)
        status = insert_entry(registry, i, name, error);
    if (status == HOP_OK) {
        registry->entries[i]->open = true;
        *out = registry->entries[i];
        if (base)
            *base = store_set_acquire(entry->current);
    }
    pthread_mutex_unlock(&registry->lock);
    return status;
}

hop_status store_registry_begin(store_registry *registry, const char *name, const store_condition *condition,
                                store_change **out, hop_error *error)
{
    assert(store_name_valid(name));
    return open_change(registry, name, condition, out, NULL, error);
}

hop_status store_registry_begin_revision(store_registry *registry, const char *name, const store_condition *condition,
                                         store_change **out, store_set **base, hop_error *error)
{
    return open_change(registry, name, condition, out, base, error);
}

/* The change is open: nobody else writes its entry. */
static void name_set(const store_change *change, store_set *set)
{
    store_set_name(set, change->name, change->version + 1);
}

hop_status store_registry_save(store_registry *registry, store_change *change, store_set *set,
                               const store_revision *revision, hop_error *error)
{
    if (change->version >= INT64_MAX) /* no file could say the next */
        return hop_fail(error, HOP_E_LIMIT, "'%s' is at the last version there is: delete it first", change->name);
    name_set(change, set);
    if (!registry->folder)
        return HOP_OK;
    return revision ? store_folder_append(registry->folder, change->current, set, revision, error)
                    : store_folder_save(registry->folder, set, error);
}

bool store_registry_commit(store_registry *registry, store_change *change, store_set *set)
{
    assert(set->version || !registry->folder);
    if (!set->version)
        name_set(change, set);
    pthread_mutex_lock(&registry->lock);
    store_set *replaced = change->current;
    bool first = change->version == 0;
    change->version = set->version;
    change->reason[0] = '\0';
    change->current = set;
    store_set_acquire(set); /* for below: others may replace it as soon as the change is closed */
    pthread_mutex_unlock(&registry->lock);

    /* While the change is open: a set that is deleted and made again starts at version 1, which would be older. */
    if (replaced)
        store_operations_cancel(registry->operations, replaced);
    if (registry->folder && !first)
        store_folder_remove_older(registry->folder, set->name, set->version);
    pthread_mutex_lock(&registry->lock);
    change->open = false;
    pthread_mutex_unlock(&registry->lock);
    store_set_release(replaced); /* may free a large set */
    store_operations_submit(registry->operations, set);
    store_set_release(set);
    return first;
}

bool store_registry_swap(store_registry *registry, store_set *old, store_set *new)
{
    assert(new->version == old->version &&strcmp(new->name, old->name) == 0 && strcmp(new->etag, old->etag) == 0);
    bool found;
    pthread_mutex_lock(&registry->lock);
    size_t i = find(registry, old->name, &found);
    bool swapped = found && registry->entries[i]->current == old && !registry->entries[i]->open;
    if (swapped)
        registry->entries[i]->current = store_set_acquire(new); /* the other reference is for below */
    pthread_mutex_unlock(&registry->lock);
    if (!swapped)
        return false;
    retire(registry, old);
    if (store_set_state(new) == STORE_BUILDING)
        store_operations_submit(registry->operations, new);
    store_set_release(new);
    return true;
}

void store_registry_abandon(store_registry *registry, store_change *change)
{
    if (!change)
        return;
    pthread_mutex_lock(&registry->lock);
    change->open = false;
    if (change->version == 0) {
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
    pthread_mutex_lock(&registry->lock);
    size_t i = find(registry, name, &found);
    struct store_change *entry = found ? registry->entries[i] : NULL;
    hop_status status = found ? free_to_change(entry, error) : not_found(name, error);
    if (status == HOP_OK)
        status = check(entry, condition, error);
    if (status == HOP_OK)
        entry->open = true; /* the entry stays, and nobody else changes it, while its files go */
    pthread_mutex_unlock(&registry->lock);
    if (status != HOP_OK)
        return status;

    if (registry->folder)
        status = store_folder_remove(registry->folder, name, error);
    store_set *deleted = NULL;
    pthread_mutex_lock(&registry->lock);
    entry->open = false;
    if (status == HOP_OK) {
        deleted = entry->current;
        remove_entry(registry, find(registry, name, &found));
    }
    pthread_mutex_unlock(&registry->lock);
    retire(registry, deleted);
    return status;
}

hop_status store_registry_expect(store_registry *registry, const char *name, uint64_t version, hop_error *error)
{
    bool found;
    pthread_mutex_lock(&registry->lock);
    size_t i = find(registry, name, &found);
    hop_status status = found ? HOP_OK : insert_entry(registry, i, name, error);
    if (status == HOP_OK && !found)
        registry->entries[i]->loading = true;
    if (status == HOP_OK && registry->entries[i]->loading && version > registry->entries[i]->version)
        registry->entries[i]->version = version;
    pthread_mutex_unlock(&registry->lock);
    return status;
}

void store_registry_loaded(store_registry *registry, const char *name, store_set *set, const char *reason)
{
    if (set && reason)
        store_set_settle(set, STORE_FAILED, reason);
    bool found;
    pthread_mutex_lock(&registry->lock);
    struct store_change *entry = registry->entries[find(registry, name, &found)];
    assert(found && entry->loading && !entry->current);
    entry->current = set;
    entry->loading = false;
    if (!set)
        snprintf(entry->reason, sizeof entry->reason, "%s", reason);
    if (set)
        store_set_acquire(set);
    pthread_mutex_unlock(&registry->lock);
    if (set && !reason && !set->mapping) /* which another form of the set takes the place of */
        store_operations_submit(registry->operations, set);
    store_set_release(set);
}

void store_registry_build_maps(store_registry *registry, store_set *set)
{
    store_operations_submit(registry->operations, set);
}

void store_registry_hold_maps(store_registry *registry, bool hold)
{
    store_operations_hold(registry->operations, hold);
}

/*
 * Room for as many elements as there are names, allocated outside the lock, which is held on success. NULL: no memory,
 * and the lock is not held.
 */
static void *lock_with_room(store_registry *registry, size_t element)
{
    size_t room = 1, bytes;
    for (;;) {
        void *block = hop_mul_size(room, element, &bytes) ? malloc(bytes) : NULL;
        if (!block)
            return NULL;
        pthread_mutex_lock(&registry->lock);
        if (registry->n <= room)
            return block;
        room = registry->n;
        pthread_mutex_unlock(&registry->lock);
        free(block);
    }
}

hop_status store_registry_standings(store_registry *registry, store_standing **out, size_t *n, hop_error *error)
{
    store_standing *standings = lock_with_room(registry, sizeof *standings);
    size_t listed = 0;
    if (!standings)
        return hop_fail(error, HOP_E_NOMEM, "out of memory for a list of sets");
    for (size_t i = 0; i < registry->n; i++) {
        const struct store_change *entry = registry->entries[i];
        if (!entry->current && !entry->loading && !entry->reason[0])
            continue; /* its first upload is under way */
        store_standing *to = &standings[listed++];
        *to = (store_standing){.loading = entry->loading, .state = STORE_FAILED};
        memcpy(to->name, entry->name, sizeof to->name);
        memcpy(to->reason, entry->reason, sizeof to->reason);
        if (!entry->current)
            continue;
        /* The state first: what says `ready` has the reason that goes with it. */
        to->state = store_set_state(entry->current);
        to->permille = store_set_permille(entry->current);
        snprintf(to->reason, sizeof to->reason, "%s", store_set_reason(entry->current));
    }
    pthread_mutex_unlock(&registry->lock);
    *out = standings;
    *n = listed;
    return HOP_OK;
}

hop_status store_registry_list(store_registry *registry, store_set ***out, size_t *n, hop_error *error)
{
    store_set **sets = lock_with_room(registry, sizeof *sets);
    size_t listed = 0;
    if (!sets)
        return hop_fail(error, HOP_E_NOMEM, "out of memory for a list of sets");
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
