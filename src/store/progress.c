/*
 * progress.c - a list of entries under one mutex, in the order of their ids.
 */
#include "store/progress.h"

#include "core/status.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Less than this much done says nothing of when it will be over. */
enum { ETA_PERMILLE = 20 };

struct store_work {
    store_progress *table;
    uint64_t id;
    const char *kind;
    char set[STORE_NAME_BYTES];
    uint64_t version;
    store_work_state state;
    int64_t created_ms, started_ms, ended_ms;
    double started, part_started, part_seconds; /* monotonic seconds */
    unsigned part_from, part_to;                /* permille */
    bool counts;                                /* `progress` is used instead of the parts */
    hop_progress progress;
    hop_error error;
    store_work *next;
};

struct store_progress {
    pthread_mutex_t lock;
    store_work *first, *last;
    size_t closed; /* entries of the list that are */
    uint64_t ids;
};

const char *store_work_state_word(store_work_state state)
{
    static const char *const words[] = {
        [STORE_QUEUED] = "queued",
        [STORE_RUNNING] = "running",
        [STORE_SUCCEEDED] = "succeeded",
        [STORE_WORK_FAILED] = "failed",
    };
    return words[state];
}

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

hop_status store_progress_new(store_progress **out, hop_error *error)
{
    store_progress *progress = calloc(1, sizeof *progress);
    if (!progress)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    pthread_mutex_init(&progress->lock, NULL);
    *out = progress;
    return HOP_OK;
}

void store_progress_free(store_progress *progress)
{
    if (!progress)
        return;
    for (store_work *at = progress->first, *next; at; at = next) {
        next = at->next;
        free(at);
    }
    pthread_mutex_destroy(&progress->lock);
    free(progress);
}

/* ---- under the lock ------------------------------------------------------------------------------------ */

static bool is_closed(const store_work *work)
{
    return work->state == STORE_SUCCEEDED || work->state == STORE_WORK_FAILED;
}

/* Below 1000, and below the end of its part, whatever the clock says. */
static unsigned permille(const store_work *work, double now)
{
    unsigned shown = work->part_from;
    if (work->state == STORE_SUCCEEDED)
        return 1000;
    if (work->counts) {
        shown = atomic_load_explicit(&work->progress.permille, memory_order_relaxed);
    } else if (work->state == STORE_RUNNING && work->part_to > work->part_from) {
        double passed = work->part_seconds > 0 ? (now - work->part_started) / work->part_seconds : 0;
        double most = (double)(work->part_to - work->part_from);
        shown += (unsigned)(passed * most < most - 1 ? passed * most : most - 1);
    }
    return shown < 1000 ? shown : 999;
}

static void describe(const store_work *work, store_work_view *out)
{
    double now = is_closed(work) ? 0 : now_seconds();
    *out = (store_work_view){
        .id = work->id,
        .kind = work->kind,
        .state = work->state,
        .permille = permille(work, now),
        .eta_seconds = (double)NAN,
        .version = work->version,
        .created_ms = work->created_ms,
        .started_ms = work->started_ms,
        .ended_ms = work->ended_ms,
        .error = work->error,
    };
    memcpy(out->set, work->set, sizeof out->set);
    if (work->state == STORE_RUNNING && out->permille >= ETA_PERMILLE)
        out->eta_seconds = (now - work->started) * (1000 - out->permille) / out->permille;
}

/* Drop the oldest entry that is closed, where there are too many of those. */
static void forget_one(store_progress *progress)
{
    if (progress->closed <= STORE_WORK_KEPT)
        return;
    store_work **link = &progress->first, *before = NULL;
    while (!is_closed(*link)) {
        before = *link;
        link = &before->next;
    }
    store_work *old = *link;
    *link = old->next;
    if (progress->last == old)
        progress->last = before;
    progress->closed--;
    free(old);
}

/* ---- the table ----------------------------------------------------------------------------------------- */

bool store_progress_get(store_progress *progress, uint64_t id, store_work_view *out)
{
    bool found = false;
    pthread_mutex_lock(&progress->lock);
    for (const store_work *at = progress->first; at && !found; at = at->next) {
        found = at->id == id;
        if (found)
            describe(at, out);
    }
    pthread_mutex_unlock(&progress->lock);
    return found;
}

hop_status store_work_open(store_progress *progress, const char *kind, const char *set, uint64_t version,
                           store_work **out, hop_error *error)
{
    store_work *work = calloc(1, sizeof *work);
    if (!work)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    work->table = progress;
    work->kind = kind;
    snprintf(work->set, sizeof work->set, "%s", set);
    work->version = version;
    work->state = STORE_QUEUED;
    work->created_ms = now_ms();
    atomic_init(&work->progress.permille, 0);
    atomic_init(&work->progress.cancel, false);
    work->error = HOP_ERROR_NONE;
    pthread_mutex_lock(&progress->lock);
    work->id = ++progress->ids;
    if (progress->last)
        progress->last->next = work;
    else
        progress->first = work;
    progress->last = work;
    pthread_mutex_unlock(&progress->lock);
    *out = work;
    return HOP_OK;
}

uint64_t store_work_id(const store_work *work)
{
    return work->id;
}

void store_work_start(store_work *work)
{
    pthread_mutex_lock(&work->table->lock);
    work->state = STORE_RUNNING;
    work->started_ms = now_ms();
    work->started = now_seconds();
    pthread_mutex_unlock(&work->table->lock);
}

void store_work_part(store_work *work, unsigned to, double seconds)
{
    pthread_mutex_lock(&work->table->lock);
    work->part_from = work->part_to;
    work->part_to = to;
    work->part_seconds = seconds;
    work->part_started = now_seconds();
    pthread_mutex_unlock(&work->table->lock);
}

hop_progress *store_work_progress(store_work *work)
{
    pthread_mutex_lock(&work->table->lock);
    work->counts = true;
    pthread_mutex_unlock(&work->table->lock);
    return &work->progress;
}

void store_work_close(store_work *work, uint64_t version, const hop_error *error)
{
    store_progress *progress = work->table;
    pthread_mutex_lock(&progress->lock);
    work->part_from = permille(work, now_seconds()); /* where it failed */
    work->part_to = 0;
    work->counts = false;
    work->state = error ? STORE_WORK_FAILED : STORE_SUCCEEDED;
    if (error)
        work->error = *error;
    if (version)
        work->version = version;
    work->ended_ms = now_ms();
    progress->closed++;
    forget_one(progress);
    pthread_mutex_unlock(&progress->lock);
}
