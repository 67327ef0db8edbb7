/*
 * kept.c - see kept.h.
 */
#include "kept.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

char path[DISK_PATH_BYTES];
char said[4096];
static pthread_mutex_t saying = PTHREAD_MUTEX_INITIALIZER;

static void listen_to(void *context, bool problem, const char *text)
{
    (void)context;
    (void)problem;
    pthread_mutex_lock(&saying);
    size_t n = strlen(said);
    snprintf(said + n, sizeof said - n, "%s\n", text);
    pthread_mutex_unlock(&saying);
}

bool was_said(const char *words)
{
    pthread_mutex_lock(&saying);
    bool found = strstr(said, words) != NULL;
    pthread_mutex_unlock(&saying);
    return found;
}

void open_store(kept_store *store)
{
    hop_error error = HOP_ERROR_NONE;
    *store = (kept_store){.packing = HOP_PACK_NONE};
    said[0] = '\0';
    fixture_init(&store->fixture, BUDGET_BYTES, NULL);
    const store_listener listener = {.say = listen_to};
    ck_assert_msg(store_folder_open(path, listener, &store->folder, &error) == HOP_OK, "%s", error.text);
    store_operations_keep_in(store->fixture.operations, store->folder);
    store_registry_keep_in(store->fixture.registry, store->folder);
}

void start_loading(kept_store *store)
{
    hop_error error = HOP_ERROR_NONE;
    const store_loading loading = {.budget = &store->fixture.budget,
                                   .packing = store->packing,
                                   .map_from_bytes = store->map,
                                   .executor = store->executor};
    ck_assert_msg(store_loader_new(store->folder, store->fixture.registry, &loading, &store->loader, &error) == HOP_OK,
                  "%s", error.text);
}

bool standing(kept_store *store, const char *name, store_standing *out)
{
    for (;;) {
        store_standing *all = NULL;
        size_t n = 0;
        bool found = false;
        ck_assert_int_eq(store_registry_standings(store->fixture.registry, &all, &n, NULL), HOP_OK);
        for (size_t i = 0; i < n; i++)
            if (strcmp(all[i].name, name) == 0) {
                *out = all[i];
                found = true;
            }
        free(all);
        if (!found || !out->loading)
            return found;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

void close_store(kept_store *store)
{
    store_loader_free(store->loader);
    store_operations_stop(store->fixture.operations);
    fixture_fini(&store->fixture);
    store_folder_close(store->folder);
}

hop_status put(kept_store *store, const char *name, float first, hop_error *error)
{
    const store_options options = {.max_error = -1, .max_degree = 0};
    store_change *change = NULL;
    hop_status status = store_registry_begin(store->fixture.registry, name, NULL, &change, error);
    if (status != HOP_OK)
        return status;
    store_set *set = fixture_set(&store->fixture, M, D, first, &options);
    status = store_registry_save(store->fixture.registry, change, set, NULL, error);
    if (status == HOP_OK) {
        store_registry_commit(store->fixture.registry, change, set);
    } else {
        store_set_release(set);
        store_registry_abandon(store->fixture.registry, change);
    }
    return status;
}

uint64_t current(kept_store *store, const char *name, float *first)
{
    store_set *set = NULL;
    if (store_registry_get(store->fixture.registry, name, &set, NULL) != HOP_OK)
        return 0;
    uint64_t version = set->version;
    *first = set->memories[0];
    store_set_release(set);
    return version;
}

void kept_setup(void)
{
    disk_folder_make(path);
}

void kept_teardown(void)
{
    disk_heal();
    disk_folder_remove(path);
}

void assert_after_restart(const char *name, uint64_t version, float first)
{
    kept_store store;
    store_standing now;
    float got = 0;
    disk_heal();
    open_store(&store);
    start_loading(&store);
    ck_assert_int_eq(standing(&store, name, &now), version > 0);
    ck_assert_uint_eq(current(&store, name, &got), version);
    if (version > 0)
        ck_assert_float_eq(got, first);
    close_store(&store);
}
