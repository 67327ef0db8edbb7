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
#include <time.h>

/* How far background builds step back behind queries on a busy machine. */
enum { BUILD_NICE = 10 };

/* How long a set that has its maps is left alone before more is done for it: it may be one of many changes. */
enum { REST_MS = 1000 };

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
    store_progress *progress;
    store_studies *studies;
    bool stopping, held;

    pthread_mutex_t swap_lock; /* held while swap() runs; before the other */
    store_swap swap;
};

static bool cancelled(const hop_progress *progress)
{
    return atomic_load(&progress->cancel);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
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

static unsigned degree_wanted(const store_set *set, store_map_limits limits)
{
    unsigned degree = set->max_degree < 0
                          ? hop_features_degree_within(set->model, map_bytes_most(set, limits), limits.seconds)
                          : (unsigned)set->max_degree;
    return degree < HOP_PLAN_DEGREE_MAX ? degree : HOP_PLAN_DEGREE_MAX;
}

/*
 * From the degree wanted downwards until one fits. Running out of the budget, of memory or of what the library can
 * index only means smaller maps; anything else is a fault of ours and ends the build. Without an end: cancelled.
 */
static void build(store_set *set, const hop_executor *executor, store_map_limits limits, hop_progress *progress,
                  store_folder *folder)
{
    unsigned degree = degree_wanted(set, limits);
    if (degree == 0) {
        store_set_settle(set, STORE_READY, "no feature map is worth its size or build time for this shape");
        return;
    }
    hop_error smaller = HOP_ERROR_NONE;
    for (; degree > 0 && !cancelled(progress); degree--) {
        hop_error error = HOP_ERROR_NONE;
        size_t bytes = hop_features_build_bytes(set->model, degree, executor ? executor->width : 1);
        hop_status status = HOP_E_LIMIT;
        if (bytes != SIZE_MAX)
            status = store_budget_charge(set->budget, bytes, "the smallest feature map", &error);
        if (status == HOP_OK) {
            hop_features *features = NULL;
            status = hop_features_build(set->model, degree, executor, progress, &features, &error);
            if (status == HOP_OK && !cancelled(progress) && store_set_intact(set)) {
                store_set_adopt(set, features, bytes);
                keep(set, folder);
                ready_with_maps(set);
                return;
            }
            hop_features_free(features);
            store_budget_release(set->budget, bytes);
        }
        if (status == HOP_OK || status == HOP_E_CANCELLED || !store_set_intact(set)) /* too late is cancelled too */
            return;
        if (status != HOP_E_BUDGET && status != HOP_E_LIMIT && status != HOP_E_NOMEM) {
            char reason[HOP_ERROR_TEXT_BYTES];
            snprintf(reason, sizeof reason, "feature maps: %.200s", error.text);
            store_set_settle(set, STORE_FAILED, reason);
            return;
        }
        smaller = error;
    }
    if (!cancelled(progress))
        store_set_settle(set, STORE_READY, smaller.text[0] ? smaller.text : "no feature map can be indexed");
}

/* Maps that were carried over again and again are worse than fresh ones would be, or smaller than they might be. */
static bool refresh_is_due(const store_set *set, store_map_limits limits)
{
    const hop_features *features = hop_model_features(set->model);
    if (set->mapping)
        return false;
    if (hop_features_drift(features, set->model).due)
        return true;
    return set->M / 2 > set->body->measured_M && set->max_degree < 0 &&
           degree_wanted(set, limits) != hop_features_max_degree(features);
}

/* The same set with a model measured afresh, no maps yet. The mean of a centered_cosine is part of the set, and stays. */
static hop_status measure_again(const store_set *set, const hop_executor *executor, store_set **out, hop_error *error)
{
    const hop_frames frames = {.mean = hop_model_frames(set->model).mean};
    const store_body_source source = {
        .block = set->body->block,
        .M = set->M,
        .similarity = hop_model_similarity(set->model),
        .packing = set->body->packing,
        .wanted = set->body->packing,
        .frames = &frames,
        .rows_hash = set->body->rows_hash,
    };
    const store_options options = {.beta = set->beta, .max_error = set->max_error, .max_degree = set->max_degree};
    store_body *body = NULL;
    store_labels *labels = set->labels ? store_labels_acquire(set->labels) : NULL;
    hop_status status = store_body_new(&source, 0, executor, &body, error);
    if (status == HOP_OK)
        status = store_set_new(body, labels, &options, set->next_id, set->created_ms, 0, out, error);
    if (status != HOP_OK) {
        store_body_release(body);
        store_labels_release(labels);
        return status;
    }
    (*out)->content_hash = set->content_hash; /* that of an old file may be another */
    store_set_name(*out, set->name, set->version);
    store_regime_measure(*out, STORE_BEFORE_MAPS);
    return HOP_OK;
}

/* Returns the set that has taken the place of this one, with a reference; NULL: none has. */
static store_set *refresh(store_operations *operations, store_set *set)
{
    store_set *again = NULL;
    if (measure_again(set, operations->executor, &again, NULL) != HOP_OK)
        return NULL;
    build(again, operations->executor, operations->limits, &set->progress, NULL);
    bool swapped = false;
    pthread_mutex_lock(&operations->swap_lock);
    if (hop_model_features(again->model) && operations->swap.swap) {
        store_set_acquire(again);
        swapped = operations->swap.swap(operations->swap.context, set, again);
        if (!swapped)
            store_set_release(again);
    }
    pthread_mutex_unlock(&operations->swap_lock);
    if (swapped)
        return again;
    store_set_release(again);
    return NULL;
}

static void finish(store_operations *operations, store_set *set, store_folder *folder)
{
    if (hop_model_features(set->model)) { /* from the build for a version that shares the model */
        keep(set, folder);
        ready_with_maps(set);
    } else if (!folder || !read_kept(set, operations->executor, operations->limits, folder)) {
        build(set, operations->executor, operations->limits, &set->progress, folder);
    }
}

/* The set came with maps, and has rested. */
static void tend(store_operations *operations, store_set *set, store_folder *folder)
{
    store_set *again = refresh_is_due(set, operations->limits) ? refresh(operations, set) : NULL;
    keep(again ? again : set, folder);
    store_set_release(again);
}

/* Out of the queue. Under the lock, as the next two. */
static void unqueue(store_operations *operations, store_set *set)
{
    store_set *previous = NULL;
    for (store_set *at = operations->first; at != set; at = at->next_build)
        previous = at;
    if (previous)
        previous->next_build = set->next_build;
    else
        operations->first = set->next_build;
    if (operations->last == set)
        operations->last = previous;
    set->next_build = NULL;
}

/* The first that has no rest to keep, out of the queue; NULL: none. *until: when the next has rested, 0: never. */
static store_set *next_to_do(store_operations *operations, int64_t *until)
{
    int64_t now = now_ms();
    *until = 0;
    for (store_set *at = operations->first; at && !operations->held; at = at->next_build) {
        if (at->rest_until_ms <= now) {
            unqueue(operations, at);
            return at;
        }
        if (*until == 0 || at->rest_until_ms < *until)
            *until = at->rest_until_ms;
    }
    return NULL;
}

static void wait_for_change(store_operations *operations, int64_t until_ms)
{
    const struct timespec until = {.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000};
    if (until_ms)
        pthread_cond_timedwait(&operations->changed, &operations->lock, &until);
    else
        pthread_cond_wait(&operations->changed, &operations->lock);
}

static void *run(void *argument)
{
    store_operations *operations = argument;
    /* Linux keeps a nice value a thread; where it is refused, builds compete like everybody else. */
    (void)setpriority(PRIO_PROCESS, 0, BUILD_NICE);
    pthread_mutex_lock(&operations->lock);
    while (!operations->stopping) {
        int64_t until;
        store_set *set = next_to_do(operations, &until);
        if (!set) {
            wait_for_change(operations, until);
            continue;
        }
        operations->running = set;
        store_folder *folder = operations->folder;
        pthread_mutex_unlock(&operations->lock);
        if (store_set_state(set) == STORE_BUILDING)
            finish(operations, set, folder);
        else
            tend(operations, set, folder);
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
    hop_status status = store_progress_new(&operations->progress, error);
    if (status == HOP_OK)
        status = store_studies_new(operations->progress, &operations->studies, error);
    if (status != HOP_OK) {
        store_progress_free(operations->progress);
        free(operations);
        return status;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&operations->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&operations->lock, NULL);
    pthread_mutex_init(&operations->swap_lock, NULL);
    int failed = pthread_create(&operations->thread, NULL, run, operations);
    if (failed) {
        pthread_cond_destroy(&operations->changed);
        pthread_mutex_destroy(&operations->lock);
        pthread_mutex_destroy(&operations->swap_lock);
        store_studies_free(operations->studies);
        store_progress_free(operations->progress);
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
    store_progress_free(operations->progress);
    for (store_set *set = operations->first; set;) {
        store_set *next = set->next_build;
        store_set_release(set);
        set = next;
    }
    pthread_cond_destroy(&operations->changed);
    pthread_mutex_destroy(&operations->lock);
    pthread_mutex_destroy(&operations->swap_lock);
    free(operations);
}

void store_operations_swap_by(store_operations *operations, store_swap swap)
{
    pthread_mutex_lock(&operations->swap_lock);
    operations->swap = swap;
    pthread_mutex_unlock(&operations->swap_lock);
}

void store_operations_submit(store_operations *operations, store_set *set)
{
    bool building = store_set_state(set) == STORE_BUILDING;
    if (set->max_degree == 0 && building) { /* none are wanted: no reason to wait behind others */
        store_set_settle(set, STORE_READY, NULL);
        return;
    }
    if (!building && !hop_model_features(set->model))
        return;
    pthread_mutex_lock(&operations->lock);
    /* A version that was replaced before its publisher came here is not worth the wait. */
    if (!operations->stopping && !cancelled(&set->progress)) {
        store_set_acquire(set);
        set->rest_until_ms = building ? 0 : now_ms() + REST_MS;
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
    for (store_set *at = operations->first; at && !dropped; at = at->next_build)
        if (at == set)
            dropped = set;
    if (dropped)
        unqueue(operations, set);
    pthread_mutex_unlock(&operations->lock);
    store_set_release(dropped);
    store_studies_cancel(operations->studies, set);
}

store_studies *store_operations_studies(store_operations *operations)
{
    return operations->studies;
}

store_progress *store_operations_progress(store_operations *operations)
{
    return operations->progress;
}
