/*
 * operations.c - a queue of sets linked through themselves, and the thread that builds their feature maps.
 */
#include "store/operations.h"

#include "core/status.h"
#include "store/regime.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* How far background builds step back behind queries on a busy machine. */
enum { BUILD_NICE = 10 };

enum { SMALL_MAP_BYTES = 64 << 10 };

struct store_operations {
    const hop_executor *executor;
    store_map_limits limits;
    store_folder *folder; /* NULL: maps are not kept */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;  /* the queue, `held` or `stopping` */
    store_set *first, *last; /* waiting, each with a reference */
    store_set *running;      /* borrowed from the thread, NULL while it is idle */
    store_studies *studies;
    bool stopping, held;
};

static bool cancelled(const store_set *set)
{
    return atomic_load(&set->progress.cancel);
}

/* Largest maps of a set that names no degree. */
static size_t map_bytes_most(const store_set *set, store_map_limits limits)
{
    size_t memories = set->M * set->d * sizeof(float); /* they are in memory */
    return limits.bytes ? limits.bytes : memories > SMALL_MAP_BYTES ? memories : SMALL_MAP_BYTES;
}

static void ready_with_maps(store_set *set)
{
    store_regime_measure(set, STORE_WITH_MAPS);
    store_set_settle(set, STORE_READY, NULL);
}

/* Maps that an earlier process built. Those that cannot be taken are built again. */
static bool read_kept(store_set *set, const hop_executor *executor, store_map_limits limits, store_folder *folder)
{
    hop_error error = HOP_ERROR_NONE;
    hop_status status =
        store_folder_load_maps(folder, set, map_bytes_most(set, limits), executor, &set->progress.cancel, &error);
    if (status != HOP_OK && status != HOP_E_NOT_FOUND && status != HOP_E_CANCELLED)
        store_folder_say(folder, status != HOP_E_LIMIT, "set '%s': feature maps are built again: %s", set->name,
                         error.text);
    if (status != HOP_OK)
        return false;
    store_folder_say(folder, false, "set '%s': feature maps of degree %u were kept", set->name,
                     hop_features_max_degree(hop_model_features(set->model)));
    ready_with_maps(set);
    return true;
}

/* A set answers by maps that could not be written as well as by others: they are only built again at the next start. */
static void keep(store_set *set, store_folder *folder)
{
    hop_error error = HOP_ERROR_NONE;
    if (folder && store_folder_save_maps(folder, set, &error) != HOP_OK)
        store_folder_say(folder, true, "set '%s': feature maps are not kept: %s", set->name, error.text);
}

/*
 * From the degree wanted downwards until one fits. Running out of the budget, of memory or of what the library can
 * index only means smaller maps; anything else is a fault of ours and ends the build.
 */
static void build(store_set *set, const hop_executor *executor, store_map_limits limits, store_folder *folder)
{
    unsigned degree = set->max_degree < 0
                          ? hop_features_degree_within(set->model, map_bytes_most(set, limits), limits.seconds)
                          : (unsigned)set->max_degree;
    if (degree > HOP_PLAN_DEGREE_MAX)
        degree = HOP_PLAN_DEGREE_MAX;
    if (degree == 0) {
        store_set_settle(set, STORE_READY, "no feature map is worth its size or build time for this shape");
        return;
    }
    hop_error smaller = HOP_ERROR_NONE;
    for (; degree > 0 && !cancelled(set); degree--) {
        hop_error error = HOP_ERROR_NONE;
        size_t bytes = hop_features_build_bytes(set->model, degree, executor ? executor->width : 1);
        hop_status status = HOP_E_LIMIT;
        if (bytes != SIZE_MAX)
            status = store_budget_charge(set->budget, bytes, "the smallest feature map", &error);
        if (status == HOP_OK) {
            hop_features *features = NULL;
            status = hop_features_build(set->model, degree, executor, &set->progress, &features, &error);
            if (status == HOP_OK && !cancelled(set)) {
                store_set_adopt(set, features, bytes);
                keep(set, folder);
                ready_with_maps(set);
                return;
            }
            hop_features_free(features);
            store_budget_release(set->budget, bytes);
        }
        if (status == HOP_OK || status == HOP_E_CANCELLED) /* done too late is cancelled too */
            return;
        if (status != HOP_E_BUDGET && status != HOP_E_LIMIT && status != HOP_E_NOMEM) {
            char reason[HOP_ERROR_TEXT_BYTES];
            snprintf(reason, sizeof reason, "feature maps: %.200s", error.text);
            store_set_settle(set, STORE_FAILED, reason);
            return;
        }
        smaller = error;
    }
    if (!cancelled(set))
        store_set_settle(set, STORE_READY, smaller.text[0] ? smaller.text : "no feature map can be indexed");
}

static void *run(void *argument)
{
    store_operations *operations = argument;
    /* Linux keeps a nice value a thread; where it is refused, builds compete like everybody else. */
    (void)setpriority(PRIO_PROCESS, 0, BUILD_NICE);
    pthread_mutex_lock(&operations->lock);
    while (!operations->stopping) {
        store_set *set = operations->first;
        if (!set || operations->held) {
            pthread_cond_wait(&operations->changed, &operations->lock);
            continue;
        }
        operations->first = set->next_build;
        if (!operations->first)
            operations->last = NULL;
        set->next_build = NULL;
        operations->running = set;
        store_folder *folder = operations->folder;
        pthread_mutex_unlock(&operations->lock);
        if (!folder || !read_kept(set, operations->executor, operations->limits, folder))
            build(set, operations->executor, operations->limits, folder);
        pthread_mutex_lock(&operations->lock);
        operations->running = NULL;
        pthread_mutex_unlock(&operations->lock);
        store_set_release(set); /* may free a large set: not under the lock */
        pthread_mutex_lock(&operations->lock);
    }
    pthread_mutex_unlock(&operations->lock);
    return NULL;
}

hop_status store_operations_new(const hop_executor *executor, store_map_limits limits, store_operations **out,
                                hop_error *error)
{
    store_operations *operations = calloc(1, sizeof *operations);
    if (!operations)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    operations->executor = executor;
    operations->limits = limits;
    hop_status status = store_studies_new(&operations->studies, error);
    if (status != HOP_OK) {
        free(operations);
        return status;
    }
    pthread_mutex_init(&operations->lock, NULL);
    pthread_cond_init(&operations->changed, NULL);
    int failed = pthread_create(&operations->thread, NULL, run, operations);
    if (failed) {
        pthread_cond_destroy(&operations->changed);
        pthread_mutex_destroy(&operations->lock);
        store_studies_free(operations->studies);
        free(operations);
        return hop_fail(error, HOP_E_IO, "cannot start the thread for feature maps: %s", strerror(failed));
    }
    *out = operations;
    return HOP_OK;
}

void store_operations_keep_in(store_operations *operations, store_folder *folder)
{
    pthread_mutex_lock(&operations->lock);
    operations->folder = folder;
    pthread_mutex_unlock(&operations->lock);
}

void store_operations_hold(store_operations *operations, bool hold)
{
    pthread_mutex_lock(&operations->lock);
    operations->held = hold;
    pthread_cond_signal(&operations->changed);
    pthread_mutex_unlock(&operations->lock);
}

void store_operations_stop(store_operations *operations)
{
    pthread_mutex_lock(&operations->lock);
    operations->stopping = true;
    if (operations->running)
        atomic_store(&operations->running->progress.cancel, true);
    pthread_cond_signal(&operations->changed);
    pthread_mutex_unlock(&operations->lock);
    store_studies_stop(operations->studies);
}

void store_operations_free(store_operations *operations)
{
    if (!operations)
        return;
    store_operations_stop(operations);
    pthread_join(operations->thread, NULL);
    store_studies_free(operations->studies);
    for (store_set *set = operations->first; set;) {
        store_set *next = set->next_build;
        store_set_release(set);
        set = next;
    }
    pthread_cond_destroy(&operations->changed);
    pthread_mutex_destroy(&operations->lock);
    free(operations);
}

void store_operations_submit(store_operations *operations, store_set *set)
{
    if (set->max_degree == 0) { /* none are wanted: no reason to wait behind others */
        store_set_settle(set, STORE_READY, NULL);
        return;
    }
    pthread_mutex_lock(&operations->lock);
    /* A version that was replaced before its publisher came here is not worth the wait. */
    if (!operations->stopping && !cancelled(set)) {
        store_set_acquire(set);
        if (operations->last)
            operations->last->next_build = set;
        else
            operations->first = set;
        operations->last = set;
        pthread_cond_signal(&operations->changed);
    }
    pthread_mutex_unlock(&operations->lock);
}

void store_operations_cancel(store_operations *operations, store_set *set)
{
    store_set *dropped = NULL;
    pthread_mutex_lock(&operations->lock);
    atomic_store(&set->progress.cancel, true);
    store_set *previous = NULL;
    for (store_set *at = operations->first; at; previous = at, at = at->next_build) {
        if (at != set)
            continue;
        if (previous)
            previous->next_build = at->next_build;
        else
            operations->first = at->next_build;
        if (operations->last == at)
            operations->last = previous;
        at->next_build = NULL;
        dropped = at;
        break;
    }
    pthread_mutex_unlock(&operations->lock);
    store_set_release(dropped);
    store_studies_cancel(operations->studies, set);
}

store_studies *store_operations_studies(store_operations *operations)
{
    return operations->studies;
}
