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

/* One measurement, from when it is asked for until it succeeds, or until its failure was shown. */
typedef struct study {
    uint64_t id;            /* of its entry in the table of operations */
    store_work *work;       /* NULL: it failed */
    hop_progress *progress; /* the entry's; as long as that is open */
    store_set *set;         /* with a reference while queued or running; NULL afterwards */
    bool running;
    char name[STORE_NAME_BYTES], etag[STORE_ETAG_BYTES];
    uint64_t version;
    int64_t created_ms;
    struct study *next;
} study;

struct store_studies {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* something is queued, or `stopping` */
    store_progress *table;
    study *first, *last; /* in the order of their ids */
    size_t failed;       /* of those */
    bool stopping;
};

/* ---- the work ------------------------------------------------------------------------------------------ */

const hop_separation *store_set_separation(const store_set *set)
{
    return atomic_load_explicit(&set->body->separation, memory_order_acquire);
}

/* Give the set its separation, for which `charged` bytes of the budget are paid; drop it where it has one already. */
static void adopt(store_set *set, hop_separation *separation, size_t charged)
{
    size_t kept = hop_separation_bytes(set->model);
    hop_separation *none = NULL;
    if (kept > charged)
        kept = charged;
    if (!atomic_compare_exchange_strong_explicit(&set->body->separation, &none, separation, memory_order_acq_rel,
                                                 memory_order_acquire)) {
        hop_separation_free(separation);
        kept = 0;
    }
    store_body_pay(set->body, kept);
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
        status = store_set_check(set, error);
    if (status == HOP_OK) {
        adopt(set, separation, bytes);
    } else {
        hop_separation_free(separation);
        store_budget_release(set->budget, bytes);
    }
    return status;
}

/* ---- the list, under the lock -------------------------------------------------------------------------- */

static study *next_queued(const store_studies *studies)
{
    study *at = studies->first;
    while (at && (!at->work || at->running))
        at = at->next;
    return at;
}

/* The newest measurement of this version. An etag alone may come again: a set is made again, of the same rows. */
static study *find_set(const store_studies *studies, const store_set *set)
{
    study *found = NULL;
    for (study *at = studies->first; at; at = at->next)
        if (at->version == set->version && at->created_ms == set->created_ms && strcmp(at->etag, set->etag) == 0 &&
            strcmp(at->name, set->name) == 0)
            found = at;
    return found;
}

static void drop(store_studies *studies, study *self)
{
    study **link = &studies->first, *before = NULL;
    while (*link != self) {
        before = *link;
        link = &before->next;
    }
    *link = self->next;
    if (studies->last == self)
        studies->last = before;
    studies->failed -= !self->work;
    free(self);
}

/* The measurement is over: error NULL: it succeeded. Returns the set for the caller to release without the lock. */
static store_set *end_study(store_studies *studies, study *self, const hop_error *error)
{
    store_set *set = self->set;
    store_work_close(self->work, 0, error);
    if (!error) {
        drop(studies, self);
        return set;
    }
    self->work = NULL;
    self->set = NULL;
    studies->failed++;
    if (studies->failed > STORE_WORK_KEPT) {
        study *oldest = studies->first;
        while (oldest->work)
            oldest = oldest->next;
        drop(studies, oldest);
    }
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
        self->running = true;
        store_work_start(self->work);
        hop_error error = HOP_ERROR_NONE;
        pthread_mutex_unlock(&studies->lock);
        /* It stays in the list while it runs, and its set is held. */
        hop_status status =
            store_set_separation(self->set) ? HOP_OK : store_study_here(self->set, self->progress, &error);
        pthread_mutex_lock(&studies->lock);
        if (status == HOP_E_CANCELLED) {
            error = HOP_ERROR_NONE;
            cancelled(&error);
        }
        store_set *set = end_study(studies, self, status == HOP_OK ? NULL : &error);
        pthread_mutex_unlock(&studies->lock);
        store_set_release(set); /* may free a large set: not under the lock */
        pthread_mutex_lock(&studies->lock);
    }
    pthread_mutex_unlock(&studies->lock);
    return NULL;
}

hop_status store_studies_new(store_progress *progress, store_studies **out, hop_error *error)
{
    store_studies *studies = calloc(1, sizeof *studies);
    if (!studies)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    studies->table = progress;
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
        if (at->work)
            atomic_store(&at->progress->cancel, true);
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
        atomic_store(&at->progress->cancel, true);
        if (!at->running) {
            hop_error error = HOP_ERROR_NONE;
            cancelled(&error);
            dropped = end_study(studies, at, &error);
        }
        break; /* a version has one that is not over */
    }
    pthread_mutex_unlock(&studies->lock);
    store_set_release(dropped);
}

/* A new entry for the set at the end of the list. */
static hop_status list(store_studies *studies, store_set *set, hop_error *error)
{
    study *fresh = calloc(1, sizeof *fresh);
    if (!fresh)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    hop_status status = store_work_open(studies->table, "separation", set->name, set->version, &fresh->work, error);
    if (status != HOP_OK) {
        free(fresh);
        return status;
    }
    fresh->id = store_work_id(fresh->work);
    fresh->progress = store_work_progress(fresh->work);
    fresh->set = store_set_acquire(set);
    memcpy(fresh->name, set->name, sizeof fresh->name);
    memcpy(fresh->etag, set->etag, sizeof fresh->etag);
    fresh->version = set->version;
    fresh->created_ms = set->created_ms;
    if (studies->last)
        studies->last->next = fresh;
    else
        studies->first = fresh;
    studies->last = fresh;
    pthread_cond_signal(&studies->changed);
    return HOP_OK;
}

hop_status store_studies_submit(store_studies *studies, store_set *set, store_work_view *out, hop_error *error)
{
    hop_status status = HOP_OK;
    pthread_mutex_lock(&studies->lock);
    study *known = find_set(studies, set);
    /* Whoever cancels a version sets this first and looks at the list then. */
    if (studies->stopping || atomic_load(&set->progress.cancel)) {
        status = cancelled(error);
    } else {
        /* A failure that the table has forgotten is as good as none. */
        bool shown = known && store_progress_get(studies->table, known->id, out);
        if (known && !known->work)
            drop(studies, known);
        if (!shown)
            status = list(studies, set, error);
        if (!shown && status == HOP_OK)
            store_progress_get(studies->table, studies->last->id, out);
    }
    pthread_mutex_unlock(&studies->lock);
    return status;
}
