/*
 * loader.c - from the list of files to the registry.
 */
#include "store/loader.h"

#include "core/checked.h"
#include "core/status.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
    LATER_NICE = 10, /* how far what sets answer without steps back behind queries on a busy machine */
    AGAIN_MS = 20,   /* while a change of a set is open */
    TRIES = 3        /* to find the files of the version that answers */
};

/* A name on its way. */
typedef struct place {
    const store_found *versions; /* newest first */
    size_t n;
    size_t rows_bytes; /* of the newest, by its header */
    size_t paid_bytes; /* charged, and not yet a set's */
    bool map;          /* the newest may be: the charge is for both forms */
    bool mapped;       /* it is, and a private form has still to take its place */
    uint64_t version;  /* that is mapped */
    unsigned tries;
    store_set *ready;  /* which waits until a change is over */
    hop_error refused; /* it does not fit */
} place;

struct store_loader {
    store_folder *folder;
    store_registry *registry;
    store_loading loading;
    store_found *found; /* by name, newest first */
    place *places;      /* smallest first */
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

/* ---- what it will cost --------------------------------------------------------------------------------- */

/*
 * Charge for both forms, or for the private one, or not at all. A header that cannot be read is met again when the set
 * is, and older versions are charged for as they come.
 */
static void charge_for(store_loader *self, place *at)
{
    const store_found *newest = at->versions;
    store_budget *budget = self->loading.budget;
    store_cost cost;
    size_t both;
    if (store_folder_cost(self->folder, newest->name, newest->version, self->loading.packing, &cost, NULL) != HOP_OK)
        return;
    at->rows_bytes = cost.rows_bytes;
    at->map = self->loading.map_from_bytes && cost.rows_bytes >= self->loading.map_from_bytes &&
              hop_add_size(cost.private_bytes, cost.mapped_bytes, &both) &&
              store_budget_charge(budget, both, "this set", NULL) == HOP_OK;
    if (at->map)
        at->paid_bytes = both;
    else if (store_budget_charge(budget, cost.private_bytes, "this set", &at->refused) == HOP_OK)
        at->paid_bytes = cost.private_bytes;
}

static int smallest_first(const void *a, const void *b)
{
    const place *one = a, *other = b;
    if (one->rows_bytes != other->rows_bytes)
        return one->rows_bytes < other->rows_bytes ? -1 : 1;
    return strcmp(one->versions->name, other->versions->name);
}

static void unpay(store_loader *self, place *at)
{
    store_budget_release(self->loading.budget, at->paid_bytes);
    at->paid_bytes = 0;
}

/* Names in the order of the folder, as the budget is charged; then sorted. */
static hop_status make_places(store_loader *self, size_t n_found, hop_error *error)
{
    self->places = calloc(n_found + 1, sizeof *self->places);
    if (!self->places)
        return hop_fail(error, HOP_E_NOMEM, "out of memory for the list of the data directory");
    for (size_t i = 0, n; i < n_found; i += n) {
        for (n = 1; i + n < n_found && strcmp(self->found[i].name, self->found[i + n].name) == 0;)
            n++;
        hop_status status = store_registry_expect(self->registry, self->found[i].name, self->found[i].version, error);
        if (status != HOP_OK)
            return status;
        place *at = &self->places[self->n++];
        *at = (place){.versions = self->found + i, .n = n, .refused = HOP_ERROR_NONE};
        charge_for(self, at);
    }
    if (self->n > 1)
        qsort(self->places, self->n, sizeof *self->places, smallest_first);
    /* Where there are more than can be mapped, the largest gain most. */
    for (size_t i = 0; i + STORE_MAPPINGS_MAX < self->n; i++)
        self->places[i].map = false;
    return HOP_OK;
}

/* ---- so that it answers -------------------------------------------------------------------------------- */

/* One version, out of what was paid for; what is left of that stays paid. */
static hop_status load(store_loader *self, place *at, uint64_t version, bool map, store_set **out, store_loss *loss,
                       hop_error *error)
{
    store_budget part;
    store_loading loading = self->loading;
    store_budget_init_part(&part, self->loading.budget, at->paid_bytes);
    loading.budget = &part;
    if (!map)
        loading.map_from_bytes = 0;
    hop_status status = store_folder_load(self->folder, at->versions->name, version, &loading, out, loss, error);
    at->paid_bytes = store_budget_end_part(&part);
    if (status == HOP_OK)
        store_set_move_charge(*out, self->loading.budget);
    return status;
}

static void load_first(store_loader *self, place *at)
{
    const char *name = at->versions->name;
    uint64_t newest = at->versions->version;
    hop_error first = HOP_ERROR_NONE;
    store_set *set = NULL;
    for (size_t i = 0; i < at->n && !set; i++) {
        hop_error error = i == 0 ? at->refused : HOP_ERROR_NONE;
        hop_status status = error.status;
        store_loss loss = {0};
        if (status == HOP_OK)
            status = load(self, at, at->versions[i].version, at->map && i == 0, &set, &loss, &error);
        if (status == HOP_OK && loss.reason[0] && set->mapping) { /* it is `failed`: nothing is to take its place */
            store_set_release(set);
            set = NULL;
            status = load(self, at, at->versions[i].version, false, &set, &loss, &error);
        }
        if (status == HOP_E_CANCELLED)
            return;
        if (status != HOP_OK) /* what is acknowledged next is to be newer all the same */
            loss.newest = store_folder_newest(self->folder, name, at->versions[i].version);
        if (loss.newest > newest)
            newest = loss.newest;
        if (status == HOP_OK && loss.reason[0])
            status = hop_fail(&error, HOP_E_FORMAT, "%s", loss.reason);
        if (status == HOP_OK)
            break;
        store_folder_say(self->folder, true, "set '%s': version %" PRIu64 " could not be loaded: %s", name,
                         i > 0 ? at->versions[i].version : newest, error.text);
        if (first.status == HOP_OK)
            first = error;
        if (!file_is_at_fault(status))
            break;
    }
    if (set && set->version > newest)
        newest = set->version;
    (void)!store_registry_expect(self->registry, name, newest, NULL); /* it is there: this cannot fail */
    at->mapped = set && set->mapping;
    if (at->mapped)
        at->version = set->version;
    else
        unpay(self, at);
    if (set && first.status == HOP_OK) {
        store_folder_say(self->folder, false, "set '%s': version %" PRIu64 " loaded%s", name, set->version,
                         at->mapped ? ", mapped" : "");
        if (at->n > 1) /* while nobody may change the name */
            store_folder_remove_older(self->folder, name, set->version);
        store_registry_loaded(self->registry, name, set, NULL);
        return;
    }
    char reason[HOP_ERROR_TEXT_BYTES];
    if (set)
        snprintf(reason, sizeof reason, "this is version %" PRIu64 ", the newer %" PRIu64 " cannot be loaded: %.120s",
                 set->version, newest, first.text);
    else
        snprintf(reason, sizeof reason, "%s", first.text);
    store_registry_loaded(self->registry, name, set, reason);
}

/* ---- so that it stays ---------------------------------------------------------------------------------- */

/*
 * The form that is mapped stays. Where other bytes were read than it was made of, it has to prove itself. Else it goes
 * on to answer, and its feature maps need not wait for another.
 */
static void stay_mapped(store_loader *self, const place *at, store_set *set, const hop_error *error)
{
    bool intact = error->status == HOP_E_FORMAT ? store_mapping_recheck(set->mapping) : store_set_intact(set);
    store_folder_say(self->folder, true, "set '%s': version %" PRIu64 " could not be read into memory: %s", set->name,
                     set->version, error->text);
    if (intact && set->version == at->version) /* what was made of it is in the queue */
        store_registry_build_maps(self->registry, set);
}

/* The newest that there is a file of; a change may have made one since. */
static hop_status newest_file(store_loader *self, const char *name, uint64_t *version, hop_error *error)
{
    store_found *found = NULL;
    size_t n = 0;
    hop_status status = store_folder_list(self->folder, &found, &n, error);
    *version = 0;
    for (size_t i = 0; status == HOP_OK && i < n; i++)
        if (strcmp(found[i].name, name) == 0 && found[i].version > *version)
            *version = found[i].version;
    free(found);
    if (status == HOP_OK && *version == 0)
        status = hop_fail(error, HOP_E_NOT_FOUND, "it has no file any more");
    return status;
}

static hop_status read_again(store_loader *self, place *at, hop_error *error)
{
    uint64_t version;
    if (at->tries++ == TRIES)
        return hop_fail(error, HOP_E_FORMAT, "its files are of another version");
    store_loss loss = {0};
    hop_status status = newest_file(self, at->versions->name, &version, error);
    if (status == HOP_OK)
        status = load(self, at, version, false, &at->ready, &loss, error);
    if (status == HOP_OK && loss.reason[0]) {
        store_set_release(at->ready);
        at->ready = NULL;
        status = hop_fail(error, HOP_E_FORMAT, "%s", loss.reason);
    }
    return status;
}

/* True: there is nothing left to do for this name. */
static bool load_again(store_loader *self, place *at)
{
    const char *name = at->versions->name;
    store_set *current = NULL;
    hop_error error = HOP_ERROR_NONE;
    if (store_registry_get(self->registry, name, &current, NULL) != HOP_OK || !current->mapping) {
        /* Deleted, replaced, or broken. */
        store_set_release(current);
        store_set_release(at->ready);
        at->ready = NULL;
        return true;
    }
    if (at->ready && strcmp(at->ready->etag, current->etag) != 0) { /* settings were changed */
        store_set_release(at->ready);
        at->ready = NULL;
    }
    hop_status status = HOP_OK;
    if (!at->ready)
        status = read_again(self, at, &error);
    bool over = false;
    if (status != HOP_OK) {
        over = true;
        if (status != HOP_E_CANCELLED)
            stay_mapped(self, at, current, &error);
    } else if (strcmp(at->ready->etag, current->etag) == 0 && store_registry_swap(self->registry, current, at->ready)) {
        over = true;
        at->ready = NULL;
        store_folder_say(self->folder, false, "set '%s': version %" PRIu64 " is in memory", name, current->version);
    }
    store_set_release(current); /* unmaps it, where nobody else reads */
    return over;
}

/* One round over the names that are mapped; how many still are. */
static size_t load_mapped(store_loader *self)
{
    size_t left = 0;
    for (size_t i = 0; i < self->n && !atomic_load(&self->cancel); i++) {
        place *at = &self->places[i];
        if (!at->mapped)
            continue;
        if (load_again(self, at)) {
            at->mapped = false;
            unpay(self, at);
        }
        left += at->mapped;
    }
    return left;
}

static void *run(void *argument)
{
    store_loader *self = argument;
    for (size_t i = 0; i < self->n && !atomic_load(&self->cancel); i++)
        load_first(self, &self->places[i]);
    /* Linux keeps a nice value a thread; where it is refused, this competes like everybody else. */
    (void)setpriority(PRIO_PROCESS, 0, LATER_NICE);
    size_t left = load_mapped(self);
    store_registry_hold_maps(self->registry, false);
    while (left > 0 && !atomic_load(&self->cancel)) {
        nanosleep(&(struct timespec){.tv_nsec = AGAIN_MS * 1000000L}, NULL);
        left = load_mapped(self);
    }
    return NULL;
}

/* ---- begin and end ------------------------------------------------------------------------------------- */

static void destroy(store_loader *self)
{
    for (size_t i = 0; i < self->n; i++) {
        store_set_release(self->places[i].ready);
        unpay(self, &self->places[i]);
    }
    free(self->places);
    free(self->found);
    free(self);
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
    size_t n_found = 0;
    hop_status status = store_folder_list(folder, &self->found, &n_found, error);
    if (status == HOP_OK)
        status = make_places(self, n_found, error);
    if (status == HOP_OK) {
        store_registry_hold_maps(registry, true);
        int failed = pthread_create(&self->thread, NULL, run, self);
        if (failed) {
            store_registry_hold_maps(registry, false);
            status = hop_fail(error, HOP_E_IO, "cannot start the thread that loads sets: %s", strerror(failed));
        }
    }
    if (status != HOP_OK) {
        destroy(self);
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
    destroy(loader);
}
