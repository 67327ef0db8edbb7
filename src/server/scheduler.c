/*
 * scheduler.c - the worker pool, its queues, the timer that ends jobs nobody waits for, and the executor.
 *
 * One mutex guards everything; jobs are milliseconds, the lock is held for list operations. What a job's functions
 * do happens outside of it, except `gone`, which is one non-blocking system call.
 */
#include "server/scheduler.h"

#include "core/status.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TIMER_PERIOD_MS = 50 };

typedef struct job_list {
    srv_job *first, *last;
    size_t count;
} job_list;

/* Work cut into tasks; lives on the stack of the thread that runs it. */
typedef struct batch {
    void (*task)(void *arg, size_t i);
    void *arg;
    size_t n;
    atomic_size_t next_task;
    bool query;       /* not held to the admin share */
    unsigned helpers; /* workers inside, under the lock */
    struct batch *next;
} batch;

struct srv_scheduler {
    srv_scheduler_options options;
    hop_executor executor, query_executor;
    pthread_mutex_t lock;
    pthread_cond_t work;       /* workers wait: jobs, batches, stop */
    pthread_cond_t timer;      /* the timer waits: a queue is no longer empty, stop */
    pthread_cond_t batch_left; /* batch owners wait: a helper left */
    job_list queues[SRV_JOB_CLASSES];
    double queued_seconds; /* of waiting queries */
    atomic_size_t urgent;  /* decoding and queries that wait: helpers look without the lock */
    atomic_size_t open;    /* batches of queries with tasks that nobody took: likewise, those who help others */
    batch *batches;
    unsigned busy, ending, admin_running, helping, admin_share; /* helping: batches that are held to the share */
    bool last_was_admin, draining, stop;
    uint64_t dropped_gone;
    unsigned n_threads;
    pthread_t timer_thread;
    pthread_t threads[];
};

/* ---- workspaces -------------------------------------------------------------------------------------- */

void *srv_workspace_reserve(srv_workspace *workspace, size_t bytes)
{
    if (bytes > workspace->bytes) {
        hop_aligned_free(workspace->data);
        workspace->bytes = 0;
        workspace->data = hop_aligned_alloc(bytes);
        if (!workspace->data)
            return NULL;
        workspace->bytes = bytes;
    }
    return workspace->data;
}

void srv_workspace_fini(srv_workspace *workspace)
{
    hop_aligned_free(workspace->data);
    *workspace = (srv_workspace){0};
}

static pthread_key_t here_key;
static pthread_once_t here_once = PTHREAD_ONCE_INIT;

static void here_free(void *block)
{
    srv_workspace_fini(block);
    free(block);
}

static void here_make(void)
{
    if (pthread_key_create(&here_key, here_free) != 0)
        abort(); /* a process without a single free key cannot run */
}

srv_workspace *srv_workspace_here(void)
{
    pthread_once(&here_once, here_make);
    srv_workspace *workspace = pthread_getspecific(here_key);
    if (!workspace) {
        workspace = calloc(1, sizeof *workspace);
        if (workspace && pthread_setspecific(here_key, workspace) != 0) {
            free(workspace);
            workspace = NULL;
        }
    }
    return workspace;
}

/* ---- queues ------------------------------------------------------------------------------------------ */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t waiting(const srv_scheduler *s)
{
    size_t n = 0;
    for (int class = 0; class < SRV_JOB_CLASSES; class ++)
        n += s->queues[class].count;
    return n;
}

static void list_push(job_list *list, srv_job *job)
{
    job->next = NULL;
    if (list->last)
        list->last->next = job;
    else
        list->first = job;
    list->last = job;
    list->count++;
}

static void queue_push(srv_scheduler *s, srv_job *job)
{
    list_push(&s->queues[job->class], job);
    if (job->class == SRV_JOB_QUERY)
        s->queued_seconds += job->seconds;
    if (job->class != SRV_JOB_ADMIN)
        atomic_fetch_add(&s->urgent, 1);
}

/* Bookkeeping of a job that has left its queue's list. */
static void queue_left(srv_scheduler *s, srv_job *job)
{
    job_list *list = &s->queues[job->class];
    list->count--;
    if (job->class == SRV_JOB_QUERY)
        s->queued_seconds = list->count > 0 ? s->queued_seconds - job->seconds : 0.0;
    if (job->class != SRV_JOB_ADMIN)
        atomic_fetch_sub(&s->urgent, 1);
}

static srv_job *queue_pop(srv_scheduler *s, srv_job_class class)
{
    job_list *list = &s->queues[class];
    srv_job *job = list->first;
    if (!job)
        return NULL;
    list->first = job->next;
    if (!list->first)
        list->last = NULL;
    queue_left(s, job);
    return job;
}

/* Move every job that `judge` ends from the queues to *out. */
static void queue_take(srv_scheduler *s, srv_job_end (*judge)(srv_job *job, uint64_t now), job_list *out)
{
    uint64_t now = now_ns();
    for (int class = 0; class < SRV_JOB_CLASSES; class ++) {
        srv_job **link = &s->queues[class].first, *kept = NULL;
        while (*link) {
            srv_job *job = *link;
            job->end = judge(job, now);
            if (job->end == SRV_JOB_RAN) {
                kept = job;
                link = &job->next;
                continue;
            }
            *link = job->next;
            queue_left(s, job);
            if (job->end == SRV_JOB_GONE)
                s->dropped_gone++;
            list_push(out, job);
        }
        s->queues[class].last = kept;
    }
}

static void end_all(job_list *list)
{
    for (srv_job *job = list->first, *next; job; job = next) {
        next = job->next;
        job->done(job, job->end); /* may free the job */
    }
}

/* SRV_JOB_RAN stands for "go on". */
static srv_job_end judge_waiting(srv_job *job, uint64_t now)
{
    if (job->deadline_ns && now > job->deadline_ns)
        return SRV_JOB_DEADLINE;
    return job->gone && job->gone(job) ? SRV_JOB_GONE : SRV_JOB_RAN;
}

static srv_job_end judge_drained(srv_job *job, uint64_t now)
{
    (void)job;
    (void)now;
    return SRV_JOB_DRAINED;
}

/* Queue a job and wake a worker, unless it is a query for which there is no room. */
static bool admit(srv_scheduler *s, srv_job *job)
{
    if (job->class == SRV_JOB_QUERY && s->queues[SRV_JOB_QUERY].count > 0 &&
        s->queued_seconds + job->seconds > s->options.queue_seconds * (double)s->options.workers)
        return false;
    job->again = false;
    queue_push(s, job);
    pthread_cond_signal(&s->work);
    if (waiting(s) == 1)
        pthread_cond_signal(&s->timer);
    return true;
}

void srv_job_requeue(srv_job *job, double seconds, srv_job_run run)
{
    job->class = SRV_JOB_QUERY;
    job->seconds = seconds;
    job->run = run;
    job->again = true;
}

/* ---- workers ----------------------------------------------------------------------------------------- */

/* Admin work has its share; with one worker it takes turns with the queries. */
static srv_job *pick_job(srv_scheduler *s)
{
    srv_job *decode = queue_pop(s, SRV_JOB_DECODE);
    if (decode)
        return decode;
    bool admin_may = s->queues[SRV_JOB_ADMIN].count > 0 && s->admin_running < s->admin_share;
    bool query_waits = s->queues[SRV_JOB_QUERY].count > 0;
    srv_job_class class = admin_may && !(query_waits && s->last_was_admin) ? SRV_JOB_ADMIN : SRV_JOB_QUERY;
    srv_job *job = queue_pop(s, class);
    if (job)
        s->last_was_admin = class == SRV_JOB_ADMIN;
    return job;
}

static batch *pick_batch(srv_scheduler *s)
{
    batch *other = NULL;
    for (batch *b = s->batches; b; b = b->next) {
        if (atomic_load(&b->next_task) >= b->n)
            continue;
        if (b->query)
            return b;
        if (!other && s->helping < s->admin_share)
            other = b;
    }
    return other;
}

static void run_job(srv_scheduler *s, srv_job *job, srv_workspace *workspace)
{
    bool admin = job->class == SRV_JOB_ADMIN;
    s->busy++;
    s->admin_running += admin;
    pthread_mutex_unlock(&s->lock);

    srv_job_end end = judge_waiting(job, now_ns());
    if (end == SRV_JOB_RAN)
        job->run(job, workspace);

    pthread_mutex_lock(&s->lock);
    if (job->again && !s->draining && admit(s, job)) {
        s->busy--;
        s->admin_running -= admin;
        return;
    }
    if (job->again)
        end = s->draining ? SRV_JOB_DRAINED : SRV_JOB_FULL;
    if (end == SRV_JOB_GONE)
        s->dropped_gone++;
    s->busy--;
    s->ending++;
    s->admin_running -= admin;
    pthread_mutex_unlock(&s->lock);
    job->done(job, end); /* after the counts: whoever sees the answer sees them too */
    if (workspace->bytes > s->options.workspace_keep_bytes)
        srv_workspace_fini(workspace);
    pthread_mutex_lock(&s->lock);
    s->ending--;
    if (admin && s->queues[SRV_JOB_ADMIN].count > 0)
        pthread_cond_signal(&s->work); /* its share is free again */
}

/* The next task of a batch that is listed; its n where there is none. */
static size_t take_task(srv_scheduler *s, batch *b)
{
    size_t i = atomic_fetch_add(&b->next_task, 1);
    if (b->query && i + 1 == b->n)
        atomic_fetch_sub(&s->open, 1);
    return i < b->n ? i : b->n;
}

/* Take tasks until there are none, or somebody waits for an answer; of others than queries, until one wants help. */
static void help_batch(srv_scheduler *s, batch *b)
{
    b->helpers++;
    s->helping += !b->query;
    s->busy++;
    pthread_mutex_unlock(&s->lock);
    while (atomic_load(&s->urgent) == 0 && (b->query || atomic_load(&s->open) == 0)) {
        size_t i = take_task(s, b);
        if (i == b->n)
            break;
        b->task(b->arg, i);
    }
    pthread_mutex_lock(&s->lock);
    s->busy--;
    s->helping -= !b->query;
    b->helpers--;
    pthread_cond_broadcast(&s->batch_left);
}

static void *worker_main(void *arg)
{
    srv_scheduler *s = arg;
    srv_workspace workspace = {0};
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        srv_job *job = pick_job(s);
        batch *b = job ? NULL : pick_batch(s);
        if (job)
            run_job(s, job, &workspace);
        else if (b)
            help_batch(s, b);
        else
            pthread_cond_wait(&s->work, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    srv_workspace_fini(&workspace);
    return NULL;
}

static void *timer_main(void *arg)
{
    srv_scheduler *s = arg;
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        if (waiting(s) == 0) {
            pthread_cond_wait(&s->timer, &s->lock);
            continue;
        }
        job_list ended = {0};
        queue_take(s, judge_waiting, &ended);
        if (ended.count > 0) {
            s->ending++;
            pthread_mutex_unlock(&s->lock);
            end_all(&ended);
            pthread_mutex_lock(&s->lock);
            s->ending--;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TIMER_PERIOD_MS * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        if (!s->stop)
            pthread_cond_timedwait(&s->timer, &s->lock, &until);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- executor ---------------------------------------------------------------------------------------- */

static void run_batch(srv_scheduler *s, bool query, size_t n, void (*task)(void *arg, size_t i), void *arg)
{
    batch b = {.task = task, .arg = arg, .n = n, .query = query};
    if (n <= 1) {
        for (size_t i = 0; i < n; i++)
            task(arg, i);
        return;
    }
    pthread_mutex_lock(&s->lock);
    b.next = s->batches;
    s->batches = &b;
    if (query) /* with the list: a helper that sees it finds the batch */
        atomic_fetch_add(&s->open, 1);
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->lock);
    for (size_t i; (i = take_task(s, &b)) < n;)
        task(arg, i);
    pthread_mutex_lock(&s->lock);
    batch **link = &s->batches;
    while (*link != &b)
        link = &(*link)->next;
    *link = b.next;
    while (b.helpers > 0)
        pthread_cond_wait(&s->batch_left, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void admin_run(void *context, size_t n, void (*task)(void *arg, size_t i), void *arg)
{
    run_batch(context, false, n, task, arg);
}

static void query_run(void *context, size_t n, void (*task)(void *arg, size_t i), void *arg)
{
    run_batch(context, true, n, task, arg);
}

const hop_executor *srv_scheduler_executor(srv_scheduler *s)
{
    return &s->executor;
}

const hop_executor *srv_scheduler_query_executor(srv_scheduler *s)
{
    return &s->query_executor;
}

/* ---- life -------------------------------------------------------------------------------------------- */

/* Stop and join the threads that run; frees everything else. */
static void tear_down(srv_scheduler *s, bool timer_runs)
{
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->work);
    pthread_cond_broadcast(&s->timer);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->n_threads; i++)
        pthread_join(s->threads[i], NULL);
    if (timer_runs)
        pthread_join(s->timer_thread, NULL);
    pthread_cond_destroy(&s->batch_left);
    pthread_cond_destroy(&s->timer);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

hop_status srv_scheduler_new(const srv_scheduler_options *options, srv_scheduler **out, hop_error *error)
{
    srv_scheduler *s = calloc(1, sizeof *s + options->workers * sizeof *s->threads);
    if (!s)
        return hop_fail(error, HOP_E_NOMEM, "no memory for %u workers", options->workers);
    s->options = *options;
    s->admin_share = options->workers > 1 ? options->workers / 2 : 1;
    s->executor = (hop_executor){.run = admin_run, .context = s, .width = (size_t)s->admin_share + 1};
    s->query_executor = (hop_executor){.run = query_run, .context = s, .width = options->workers};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->batch_left, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->timer, &monotonic);
    pthread_condattr_destroy(&monotonic);

    int failed = pthread_create(&s->timer_thread, NULL, timer_main, s);
    bool timer_runs = failed == 0;
    while (failed == 0 && s->n_threads < options->workers) {
        failed = pthread_create(&s->threads[s->n_threads], NULL, worker_main, s);
        if (failed == 0)
            s->n_threads++;
    }
    if (failed != 0) {
        tear_down(s, timer_runs);
        return hop_fail(error, HOP_E_NOMEM, "cannot start %u worker threads: %s", options->workers, strerror(failed));
    }
    *out = s;
    return HOP_OK;
}

void srv_scheduler_free(srv_scheduler *s)
{
    if (s)
        tear_down(s, true);
}

srv_admission srv_scheduler_submit(srv_scheduler *s, srv_job *job)
{
    srv_admission admission = SRV_ADMITTED;
    pthread_mutex_lock(&s->lock);
    if (s->draining) {
        admission = SRV_REFUSED_DRAINING;
    } else if (!admit(s, job)) {
        admission = SRV_REFUSED_FULL;
    }
    pthread_mutex_unlock(&s->lock);
    return admission;
}

void srv_scheduler_drain(srv_scheduler *s)
{
    job_list ended = {0};
    pthread_mutex_lock(&s->lock);
    s->draining = true;
    queue_take(s, judge_drained, &ended);
    pthread_mutex_unlock(&s->lock);
    end_all(&ended);
}

void srv_scheduler_count(srv_scheduler *s, srv_scheduler_counts *out)
{
    pthread_mutex_lock(&s->lock);
    *out = (srv_scheduler_counts){
        .workers = s->options.workers,
        .busy = s->busy,
        .ending = s->ending,
        .queued = waiting(s),
        .queued_seconds = s->queued_seconds,
        .dropped_gone = s->dropped_gone,
    };
    pthread_mutex_unlock(&s->lock);
}
