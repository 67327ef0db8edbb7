/*
 * loader.c - from the list of files to the registry.
 */
#include "store/loader.h"

#include "core/status.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct store_loader {
    store_folder *folder;
    store_registry *registry;
    store_loading loading;
    store_found *found; /* by name, newest first */
    size_t n;
    atomic_bool cancel;
    pthread_t thread;
};

/* An older version is no answer to a lack of memory. */
static bool file_is_at_fault(hop_status status)
{
    return status == HOP_E_FORMAT || status == HOP_E_IO || status == HOP_E_DOMAIN || status == HOP_E_SHAPE ||
           status == HOP_E_NOT_FOUND;
}

static void load_name(store_loader *self, const store_found *versions, size_t n)
{
    const char *name = versions[0].name;
    hop_error first = HOP_ERROR_NONE;
    store_set *set = NULL;
    for (size_t i = 0; i < n && !set; i++) {
        hop_error error = HOP_ERROR_NONE;
        hop_status status = store_folder_load(self->folder, name, versions[i].version, &self->loading, &set, &error);
        if (status == HOP_E_CANCELLED)
            return;
        if (status == HOP_OK)
            break;
        store_folder_say(self->folder, true, "set '%s': version %" PRIu64 " could not be loaded: %s", name,
                         versions[i].version, error.text);
        if (first.status == HOP_OK)
            first = error;
        if (!file_is_at_fault(status))
            break;
    }
    if (set && first.status == HOP_OK) {
        store_folder_say(self->folder, false, "set '%s': version %" PRIu64 " loaded", name, set->version);
        if (n > 1) /* while nobody may change the name */
            store_folder_remove_older(self->folder, name, set->version);
        store_registry_loaded(self->registry, name, set, NULL);
        return;
    }
    char reason[HOP_ERROR_TEXT_BYTES];
    if (set)
        snprintf(reason, sizeof reason, "this is version %" PRIu64 ", the newer %" PRIu64 " cannot be loaded: %.120s",
                 set->version, versions[0].version, first.text);
    else
        snprintf(reason, sizeof reason, "%s", first.text);
    store_registry_loaded(self->registry, name, set, reason);
}

static void *run(void *argument)
{
    store_loader *self = argument;
    for (size_t i = 0, n; i < self->n && !atomic_load(&self->cancel); i += n) {
        for (n = 1; i + n < self->n && strcmp(self->found[i].name, self->found[i + n].name) == 0;)
            n++;
        load_name(self, self->found + i, n);
    }
    store_registry_hold_maps(self->registry, false);
    return NULL;
}

hop_status store_loader_new(store_folder *folder, store_registry *registry, const store_loading *loading,
                            store_loader **out, hop_error *error)
{
    store_loader *self = calloc(1, sizeof *self);
    if (!self)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    self->folder = folder;
    self->registry = registry;
    self->loading = *loading;
    self->loading.cancel = &self->cancel;
    atomic_init(&self->cancel, false);
    hop_status status = store_folder_list(folder, &self->found, &self->n, error);
    for (size_t i = 0; i < self->n && status == HOP_OK; i++)
        if (i == 0 || strcmp(self->found[i].name, self->found[i - 1].name) != 0)
            status = store_registry_expect(registry, self->found[i].name, self->found[i].version, error);
    if (status == HOP_OK) {
        store_registry_hold_maps(registry, true);
        int failed = pthread_create(&self->thread, NULL, run, self);
        if (failed) {
            store_registry_hold_maps(registry, false);
            status = hop_fail(error, HOP_E_IO, "cannot start the thread that loads sets: %s", strerror(failed));
        }
    }
    if (status != HOP_OK) {
        free(self->found);
        free(self);
        return status;
    }
    *out = self;
    return HOP_OK;
}

void store_loader_stop(store_loader *loader)
{
    atomic_store(&loader->cancel, true);
}

void store_loader_free(store_loader *loader)
{
    if (!loader)
        return;
    store_loader_stop(loader);
    pthread_join(loader->thread, NULL);
    free(loader->found);
    free(loader);
}
