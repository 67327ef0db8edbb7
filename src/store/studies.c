/*
 * studies.c - a list of operations under one mutex, and the thread that works through it.
 */
#include "store/studies.h"

#include "core/status.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Behind queries and behind the builds of feature maps. */
enum { STUDY_NICE = 15 };

/* One operation, from when it is asked for until STORE_STUDIES_KEPT others have ended after it. */
typedef struct study {
    uint64_t id;
    store_study_state state;
    store_set *set; /* with a reference while queued or running; NULL afterwards */
    char name[STORE_NAME_BYTES], etag[STORE_ETAG_BYTES];
    uint64_t version;
    int64_t created_ms;
    hop_progress progress;
    hop_error error;
    bool shown; /* that it failed */
    struct study *next;
} study;

struct store_studies {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* something is queued, or `stopping` */
    study *first, *last;    /* in the order of their ids */
    size_t ended;           /* of those, succeeded or failed */
    uint64_t ids;
    bool stopping;
};

const char *store_study_state_word(store_study_state state)
{
    static const char *const words[] = {
        [STORE_QUEUED] = "queued",
        [STORE_RUNNING] = "running",
        [STORE_SUCCEEDED] = "succeeded",
        [STORE_STUDY_FAILED] = "failed",
    };
    return words[state];
}

/* ---- the work ------------------------------------------------------------------------------------------ */

const hop_separation *store_set_separation(const store_set *set)
{
    return atomic_load_explicit(&set->separation, memory_order_acquire);
}

/* Give the set its separation, for which `charged` bytes of the budget are paid; drop it where it has one already. */
static void adopt(store_set *set, hop_separation *separation, size_t charged)
{
    size_t kept = hop_separation_bytes(set->model);
    hop_separation *none = NULL;
    if (kept > charged)
        kept = charged;
    if (!atomic_compare_exchange_strong_explicit(&set->separation, &none, separation, memory_order_acq_rel,
                                                 memory_order_acquire)) {
        hop_separation_free(separation);
        kept = 0;
    }
    atomic_fetch_add_explicit(&set->charged_bytes, kept, memory_order_relaxed);
    store_budget_release(set->budget, charged - kept);
}

hop_status store_study_here(store_set *set, hop_progress *progress, hop_error *error)
{
    size_t bytes = hop_separation_build_bytes(set->model, 1);
    hop_status status = store_budget_charge(set->budget, bytes, "measuring distances", error);
    if (status != HOP_OK)
        return status;
    hop_separation *separation = NULL;
    status = hop_separation_new(set->model, 0, NULL, progress, &separation, error);
    if (status == HOP_OK)
        adopt(set, separation, bytes);
    else
        store_budget_release(set->budget, bytes);
    return status;
}

/* ---- the list, under the lock -------------------------------------------------------------------------- */

static bool active(const study *self)
{
    return self->state == STORE_QUEUED || self->state == STORE_RUNNING;
}

static study *next_queued(const store_studies *studies)
{
    study *at = studies->first;
    while (at && at->state != STORE_QUEUED)
        at = at->next;
    return at;
}

/* The newest operation for this version. An etag alone may come again: a set is made again, of the same rows. */
static study *find_set(const store_studies *studies, const store_set *set)
{
    study *found = NULL;
    for (study *at = studies->first; at; at = at->next)
        if (at->version == set->version && at->created_ms == set->created_ms && strcmp(at->etag, set->etag) == 0 &&
            strcmp(at->name, set->name) == 0)
            found = at;
    return found;
}

static void describe(const study *self, store_study *out)
{
    unsigned permille = atomic_load_explicit(&self->progress.permille, memory_order_relaxed);
    *out = (store_study){
        .id = self->id,
        .state = self->state,
        .permille = self->state == STORE_SUCCEEDED ? 1000
                    : permille < 1000              ? permille
                                                   : 999,
        .version = self->version,
        .error = self->error,
    };
    memcpy(out->set, self->name, sizeof out->set);
}

/* Drop the oldest operation that is over, where there are too many of those. */
static void forget_one(store_studies *studies)
{
    if (studies->ended <= STORE_STUDIES_KEPT)
        return;
    study **link = &studies->first, *before = NULL;
    while (active(*link)) {
        before = *link;
        link = &before->next;
    }
    study *old = *link;
    *link = old->next;
    if (studies->last == old)
        studies->last = before;
    studies->ended--;
    free(old);
}

/* The operation is over. Returns the set for the caller to release once the lock is given back. */
static store_set *end_study(store_studies *studies, study *self, hop_status status)
{
    store_set *set = self->set;
    self->state = status == HOP_OK ? STORE_SUCCEEDED : STORE_STUDY_FAILED;
    self->set = NULL;
    studies->ended++;
    forget_one(studies);
    return set;
}

static hop_status cancelled(hop_error *error)
{
    return hop_fail(error, HOP_E_CANCELLED, "this version of the set was replaced or deleted, or the daemon stops");
}

/* ---- the thread ---------------------------------------------------------------------------------------- */

static void *run(void *argument)
{
    store_studies *studies = argument;
    /* Linux keeps a nice value a thread; where it is refused, studies compete like everybody else. */
    (void)setpriority(PRIO_PROCESS, 0, STUDY_NICE);
    pthread_mutex_lock(&studies->lock);
    while (!studies->stopping) {
        study *self = next_queued(studies);
        if (!self) {
            pthread_cond_wait(&studies->changed, &studies->lock);
            continue;
        }
        self->state = STORE_RUNNING;
        hop_error error = HOP_ERROR_NONE;
        pthread_mutex_unlock(&studies->lock);
        /* It stays in the list while it runs, and its set is held. */
        hop_status status =
            store_set_separation(self->set) ? HOP_OK : store_study_here(self->set, &self->progress, &error);
        pthread_mutex_lock(&studies->lock);
        if (status == HOP_E_CANCELLED) {
            error = HOP_ERROR_NONE;
            cancelled(&error);
        }
        self->error = error;
        store_set *set = end_study(studies, self, status);
        pthread_mutex_unlock(&studies->lock);
        store_set_release(set); /* may free a large set: not under the lock */
        pthread_mutex_lock(&studies->lock);
    }
    pthread_mutex_unlock(&studies->lock);
    return NULL;
}

hop_status store_studies_new(store_studies **out, hop_error *error)
{
    store_studies *studies = calloc(1, sizeof *studies);
    if (!studies)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    pthread_mutex_init(&studies->lock, NULL);
    pthread_cond_init(&studies->changed, NULL);
    int failed = pthread_create(&studies->thread, NULL, run, studies);
    if (failed) {
        pthread_cond_destroy(&studies->changed);
        pthread_mutex_destroy(&studies->lock);
        free(studies);
        return hop_fail(error, HOP_E_IO, "cannot start the thread for theory reports: %s", strerror(failed));
    }
    *out = studies;
    return HOP_OK;
}

void store_studies_stop(store_studies *studies)
{
    pthread_mutex_lock(&studies->lock);
    studies->stopping = true;
    for (study *at = studies->first; at; at = at->next)
        atomic_store(&at->progress.cancel, true);
    pthread_cond_signal(&studies->changed);
    pthread_mutex_unlock(&studies->lock);
}

void store_studies_free(store_studies *studies)
{
    if (!studies)
        return;
    store_studies_stop(studies);
    pthread_join(studies->thread, NULL);
    for (study *at = studies->first, *next; at; at = next) {
        next = at->next;
        store_set_release(at->set);
        free(at);
    }
    pthread_cond_destroy(&studies->changed);
    pthread_mutex_destroy(&studies->lock);
    free(studies);
}

void store_studies_cancel(store_studies *studies, const store_set *set)
{
    store_set *dropped = NULL;
    pthread_mutex_lock(&studies->lock);
    for (study *at = studies->first; at; at = at->next) {
        if (at->set != set)
            continue;
        atomic_store(&at->progress.cancel, true);
        if (at->state == STORE_QUEUED) {
            cancelled(&at->error);
            dropped = end_study(studies, at, HOP_E_CANCELLED);
        }
        break; /* a version has one that is not over */
    }
    pthread_mutex_unlock(&studies->lock);
    store_set_release(dropped);
}

hop_status store_studies_submit(store_studies *studies, store_set *set, store_study *out, hop_error *error)
{
    study *fresh = calloc(1, sizeof *fresh);
    if (!fresh)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    hop_status status = HOP_OK;
    pthread_mutex_lock(&studies->lock);
    study *known = find_set(studies, set);
    /* Whoever cancels a version sets this first and looks at the list then. */
    if (studies->stopping || atomic_load(&set->progress.cancel)) {
        status = cancelled(error);
    } else if (known && (active(known) || (known->state == STORE_STUDY_FAILED && !known->shown))) {
        known->shown = known->state == STORE_STUDY_FAILED;
        describe(known, out);
    } else {
        fresh->id = ++studies->ids;
        fresh->state = STORE_QUEUED;
        fresh->set = store_set_acquire(set);
        memcpy(fresh->name, set->name, sizeof fresh->name);
        memcpy(fresh->etag, set->etag, sizeof fresh->etag);
        fresh->version = set->version;
        fresh->created_ms = set->created_ms;
        atomic_init(&fresh->progress.permille, 0);
        atomic_init(&fresh->progress.cancel, false);
        fresh->error = HOP_ERROR_NONE;
        if (studies->last)
            studies->last->next = fresh;
        else
            studies->first = fresh;
        studies->last = fresh;
        describe(fresh, out);
        fresh = NULL;
        pthread_cond_signal(&studies->changed);
    }
    pthread_mutex_unlock(&studies->lock);
    free(fresh);
    return status;
}

bool store_studies_get(store_studies *studies, uint64_t id, store_study *out)
{
    bool found = false;
    pthread_mutex_lock(&studies->lock);
    for (const study *at = studies->first; at && !found; at = at->next) {
        found = at->id == id;
        if (found)
            describe(at, out);
    }
    pthread_mutex_unlock(&studies->lock);
    return found;
}
