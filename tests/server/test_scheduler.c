/*
 * test_scheduler.c - every job ends exactly once and in the way it should; shares, prices, deadlines, helpers.
 */
#include "server/scheduler.h"
#include "support/check_main.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MANY = 200 };

/* What a test job does and what became of it. */
typedef struct probe {
    srv_job job;
    sem_t *started, *gate; /* posted when it runs; waited for before it returns. NULL: not used */
    sem_t ended;
    atomic_int runs, ends;
    atomic_bool gone;
    srv_job_end how;
    int order;
    double again_seconds; /* >= 0: requeue once at this price */
    size_t workspace_bytes;
    void *workspace;
} probe;

static atomic_int order;

static srv_scheduler *start(unsigned workers, double queue_seconds)
{
    const srv_scheduler_options options = {
        .workers = workers, .queue_seconds = queue_seconds, .workspace_keep_bytes = 1 << 16};
    srv_scheduler *scheduler = NULL;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_msg(srv_scheduler_new(&options, &scheduler, &error) == HOP_OK, "%s", error.text);
    atomic_store(&order, 0);
    return scheduler;
}

static void probe_run(srv_job *job, srv_workspace *workspace)
{
    probe *p = job->context;
    p->runs++;
    p->order = atomic_fetch_add(&order, 1);
    if (p->workspace_bytes) {
        p->workspace = srv_workspace_reserve(workspace, p->workspace_bytes);
        memset(p->workspace, 1, p->workspace_bytes);
    }
    if (p->started)
        sem_post(p->started);
    if (p->gate)
        sem_wait(p->gate);
    if (p->again_seconds >= 0) {
        double seconds = p->again_seconds;
        p->again_seconds = -1;
        srv_job_requeue(job, seconds, probe_run);
    }
}

static void probe_done(srv_job *job, srv_job_end how)
{
    probe *p = job->context;
    p->how = how;
    p->ends++;
    sem_post(&p->ended);
}

static bool probe_gone(srv_job *job)
{
    probe *p = job->context;
    return atomic_load(&p->gone);
}

static void probe_init(probe *p, srv_job_class class, double seconds)
{
    *p = (probe){.again_seconds = -1};
    sem_init(&p->ended, 0, 0);
    p->job = (srv_job){
        .class = class, .seconds = seconds, .run = probe_run, .done = probe_done, .gone = probe_gone, .context = p};
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Block every worker: returns once all of them are inside. */
static void block_workers(srv_scheduler *scheduler, probe *blockers, unsigned n, sem_t *gate)
{
    sem_t started;
    sem_init(&started, 0, 0);
    sem_init(gate, 0, 0);
    for (unsigned i = 0; i < n; i++) {
        probe_init(&blockers[i], SRV_JOB_QUERY, 0);
        blockers[i].started = &started;
        blockers[i].gate = gate;
        ck_assert_int_eq(srv_scheduler_submit(scheduler, &blockers[i].job), SRV_ADMITTED);
    }
    for (unsigned i = 0; i < n; i++)
        sem_wait(&started);
}

static void release_workers(probe *blockers, unsigned n, sem_t *gate)
{
    for (unsigned i = 0; i < n; i++)
        sem_post(gate);
    for (unsigned i = 0; i < n; i++)
        sem_wait(&blockers[i].ended);
}

START_TEST(every_job_runs_once)
{
    srv_scheduler *scheduler = start(3, 1e9);
    probe *jobs = calloc(MANY, sizeof *jobs);
    for (int i = 0; i < MANY; i++) {
        probe_init(&jobs[i], (srv_job_class)(i % SRV_JOB_CLASSES), 0.001);
        ck_assert_int_eq(srv_scheduler_submit(scheduler, &jobs[i].job), SRV_ADMITTED);
    }
    for (int i = 0; i < MANY; i++) {
        sem_wait(&jobs[i].ended);
        ck_assert_int_eq(jobs[i].how, SRV_JOB_RAN);
    }
    srv_scheduler_counts counts;
    srv_scheduler_count(scheduler, &counts);
    ck_assert_uint_eq(counts.queued, 0);
    ck_assert_double_eq(counts.queued_seconds, 0);
    ck_assert_uint_eq(counts.workers, 3);
    srv_scheduler_free(scheduler);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(jobs[i].runs, 1);
        ck_assert_int_eq(jobs[i].ends, 1);
    }
    free(jobs);
}
END_TEST

START_TEST(queries_are_admitted_by_price)
{
    srv_scheduler *scheduler = start(1, 1.0);
    probe blocker, large, small, refused, admin;
    sem_t gate;
    block_workers(scheduler, &blocker, 1, &gate);
    probe_init(&large, SRV_JOB_QUERY, 50.0);
    probe_init(&small, SRV_JOB_QUERY, 0.01);
    probe_init(&refused, SRV_JOB_QUERY, 0.01);
    probe_init(&admin, SRV_JOB_ADMIN, 50.0);
    ck_assert_int_eq(srv_scheduler_submit(scheduler, &large.job), SRV_ADMITTED); /* nobody waited */
    ck_assert_int_eq(srv_scheduler_submit(scheduler, &refused.job), SRV_REFUSED_FULL);
    ck_assert_int_eq(srv_scheduler_submit(scheduler, &admin.job), SRV_ADMITTED); /* not bounded by price */
    srv_scheduler_counts counts;
    srv_scheduler_count(scheduler, &counts);
    ck_assert_uint_eq(counts.busy, 1);
    ck_assert_uint_eq(counts.queued, 2);
    ck_assert_double_eq(counts.queued_seconds, 50.0);
    release_workers(&blocker, 1, &gate);
    sem_wait(&large.ended);
    sem_wait(&admin.ended);
    ck_assert_int_eq(srv_scheduler_submit(scheduler, &small.job), SRV_ADMITTED);
    sem_wait(&small.ended);
    srv_scheduler_free(scheduler);
    ck_assert_int_eq(refused.runs, 0);
    ck_assert_int_eq(refused.ends, 0);
}
END_TEST

START_TEST(a_decoded_job_is_priced_again)
{
    srv_scheduler *scheduler = start(1, 1.0);
    probe blocker, waiting, dear, cheap;
    sem_t gate;
    block_workers(scheduler, &blocker, 1, &gate);
    probe_init(&waiting, SRV_JOB_QUERY, 0.6);
    probe_init(&dear, SRV_JOB_DECODE, 0);
    probe_init(&cheap, SRV_JOB_DECODE, 0);
    dear.again_seconds = 0.7;
    cheap.again_seconds = 0.1;
    ck_assert_int_eq(srv_scheduler_submit(scheduler, &waiting.job), SRV_ADMITTED);
    ck_assert_int_eq(srv_scheduler_submit(scheduler, &dear.job), SRV_ADMITTED);
    ck_assert_int_eq(srv_scheduler_submit(scheduler, &cheap.job), SRV_ADMITTED);
    release_workers(&blocker, 1, &gate);
    sem_wait(&dear.ended);
    sem_wait(&waiting.ended);
    sem_wait(&cheap.ended);
    srv_scheduler_free(scheduler);
    ck_assert_int_eq(dear.how, SRV_JOB_FULL);
    ck_assert_int_eq(dear.runs, 1);
    ck_assert_int_eq(cheap.how, SRV_JOB_RAN);
    ck_assert_int_eq(cheap.runs, 2);
    ck_assert_int_eq(cheap.ends, 1);
    ck_assert_int_lt(dear.order, waiting.order); /* decoding went first */
    ck_assert_int_lt(waiting.order, cheap.order);
}
END_TEST

START_TEST(waiting_jobs_end_by_deadline_or_when_the_client_left)
{
    srv_scheduler *scheduler = start(1, 1e9);
    probe blocker, late, gone, kept;
    sem_t gate;
    block_workers(scheduler, &blocker, 1, &gate);
    probe_init(&late, SRV_JOB_QUERY, 0);
    probe_init(&gone, SRV_JOB_ADMIN, 0);
    probe_init(&kept, SRV_JOB_QUERY, 0);
    late.job.deadline_ns = now_ns() + 1000000;
    ck_assert_int_eq(srv_scheduler_submit(scheduler, &late.job), SRV_ADMITTED);
    ck_assert_int_eq(srv_scheduler_submit(scheduler, &gone.job), SRV_ADMITTED);
    ck_assert_int_eq(srv_scheduler_submit(scheduler, &kept.job), SRV_ADMITTED);
    sem_wait(&late.ended); /* while the only worker is busy */
    atomic_store(&gone.gone, true);
    sem_wait(&gone.ended);
    ck_assert_int_eq(late.how, SRV_JOB_DEADLINE);
    ck_assert_int_eq(gone.how, SRV_JOB_GONE);
    release_workers(&blocker, 1, &gate);
    sem_wait(&kept.ended);
    srv_scheduler_counts counts;
    srv_scheduler_count(scheduler, &counts);
    ck_assert_uint_eq(counts.dropped_gone, 1);
    srv_scheduler_free(scheduler);
    ck_assert_int_eq(late.runs + gone.runs, 0);
    ck_assert_int_eq(kept.how, SRV_JOB_RAN);
}
END_TEST

START_TEST(draining_ends_what_waits_and_refuses_the_rest)
{
    srv_scheduler *scheduler = start(2, 1e9);
    probe blockers[2], waiting, refused;
    sem_t gate;
    block_workers(scheduler, blockers, 2, &gate);
    blockers[0].again_seconds = 0; /* asks for another turn while the daemon drains */
    probe_init(&waiting, SRV_JOB_QUERY, 1);
    probe_init(&refused, SRV_JOB_QUERY, 1);
    ck_assert_int_eq(srv_scheduler_submit(scheduler, &waiting.job), SRV_ADMITTED);
    srv_scheduler_drain(scheduler);
    ck_assert_int_eq(waiting.how, SRV_JOB_DRAINED);
    ck_assert_int_eq(waiting.ends, 1);
    ck_assert_int_eq(srv_scheduler_submit(scheduler, &refused.job), SRV_REFUSED_DRAINING);
    release_workers(blockers, 2, &gate);
    srv_scheduler_free(scheduler);
    ck_assert_int_eq(blockers[0].how, SRV_JOB_DRAINED);
    ck_assert_int_eq(blockers[1].how, SRV_JOB_RAN);
}
END_TEST

START_TEST(admin_work_leaves_workers_to_queries)
{
    srv_scheduler *scheduler = start(2, 1e9);
    probe admins[3], query;
    sem_t gate, started;
    sem_init(&gate, 0, 0);
    sem_init(&started, 0, 0);
    for (int i = 0; i < 3; i++) {
        probe_init(&admins[i], SRV_JOB_ADMIN, 1);
        admins[i].gate = &gate;
        admins[i].started = &started;
        ck_assert_int_eq(srv_scheduler_submit(scheduler, &admins[i].job), SRV_ADMITTED);
    }
    sem_wait(&started);
    probe_init(&query, SRV_JOB_QUERY, 1);
    ck_assert_int_eq(srv_scheduler_submit(scheduler, &query.job), SRV_ADMITTED);
    sem_wait(&query.ended); /* although an admin job is stuck and two more wait */
    ck_assert_int_eq(sem_trywait(&started), -1);
    for (int i = 0; i < 3; i++)
        sem_post(&gate);
    for (int i = 0; i < 3; i++)
        sem_wait(&admins[i].ended);
    srv_scheduler_free(scheduler);
}
END_TEST

START_TEST(one_worker_alternates_between_admin_and_queries)
{
    srv_scheduler *scheduler = start(1, 1e9);
    probe blocker, admins[4], queries[4];
    sem_t gate;
    block_workers(scheduler, &blocker, 1, &gate);
    for (int i = 0; i < 4; i++) {
        probe_init(&admins[i], SRV_JOB_ADMIN, 1);
        probe_init(&queries[i], SRV_JOB_QUERY, 1);
        ck_assert_int_eq(srv_scheduler_submit(scheduler, &admins[i].job), SRV_ADMITTED);
        ck_assert_int_eq(srv_scheduler_submit(scheduler, &queries[i].job), SRV_ADMITTED);
    }
    release_workers(&blocker, 1, &gate);
    for (int i = 0; i < 4; i++) {
        sem_wait(&admins[i].ended);
        sem_wait(&queries[i].ended);
    }
    srv_scheduler_free(scheduler);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(abs(admins[i].order - queries[i].order), 1);
}
END_TEST

START_TEST(workspaces_grow_and_are_reused)
{
    srv_scheduler *scheduler = start(1, 1e9);
    probe jobs[4];
    static const size_t bytes[4] = {100, 1000, 500, 1 << 20};
    for (int i = 0; i < 4; i++) {
        probe_init(&jobs[i], SRV_JOB_QUERY, 0);
        jobs[i].workspace_bytes = bytes[i];
        ck_assert_int_eq(srv_scheduler_submit(scheduler, &jobs[i].job), SRV_ADMITTED);
        sem_wait(&jobs[i].ended);
        ck_assert_ptr_nonnull(jobs[i].workspace);
        ck_assert_uint_eq((uintptr_t)jobs[i].workspace % 64, 0);
    }
    ck_assert_ptr_eq(jobs[1].workspace, jobs[2].workspace);
    srv_scheduler_free(scheduler);

    srv_workspace *here = srv_workspace_here();
    ck_assert_ptr_nonnull(here);
    ck_assert_ptr_eq(here, srv_workspace_here());
    ck_assert_ptr_nonnull(srv_workspace_reserve(here, 64));
    ck_assert_ptr_null(srv_workspace_reserve(here, SIZE_MAX));
    ck_assert_uint_eq(here->bytes, 0);
    ck_assert_ptr_nonnull(srv_workspace_reserve(here, 64));
    srv_workspace_fini(here);
}
END_TEST

static void add_one(void *arg, size_t i)
{
    atomic_int *cells = arg;
    atomic_fetch_add(&cells[i], 1);
}

typedef struct nested {
    srv_job job;
    const hop_executor *executor;
    atomic_int cells[1000];
    sem_t ended;
} nested;

static void nested_run(srv_job *job, srv_workspace *workspace)
{
    (void)workspace;
    nested *n = job->context;
    n->executor->run(n->executor->context, 1000, add_one, n->cells);
}

static void nested_done(srv_job *job, srv_job_end how)
{
    (void)how;
    nested *n = job->context;
    sem_post(&n->ended);
}

START_TEST(executor_runs_every_task_once)
{
    srv_scheduler *scheduler = start(4, 1e9);
    const hop_executor *executor = srv_scheduler_executor(scheduler);
    ck_assert_uint_ge(executor->width, 1);
    atomic_int cells[1000] = {0};
    executor->run(executor->context, 0, add_one, cells);
    executor->run(executor->context, 1, add_one, cells);
    executor->run(executor->context, 1000, add_one, cells);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(cells[i], i == 0 ? 2 : 1);
    srv_scheduler_free(scheduler);
}
END_TEST

START_TEST(executor_works_from_jobs_that_fill_every_worker)
{
    srv_scheduler *scheduler = start(2, 1e9);
    nested *all = calloc(6, sizeof *all);
    for (int i = 0; i < 6; i++) {
        all[i].executor = (i < 3 ? srv_scheduler_executor : srv_scheduler_query_executor)(scheduler);
        sem_init(&all[i].ended, 0, 0);
        all[i].job = (srv_job){
            .class = i % 2 ? SRV_JOB_ADMIN : SRV_JOB_QUERY, .run = nested_run, .done = nested_done, .context = &all[i]};
        ck_assert_int_eq(srv_scheduler_submit(scheduler, &all[i].job), SRV_ADMITTED);
    }
    for (int i = 0; i < 6; i++) {
        sem_wait(&all[i].ended);
        for (int j = 0; j < 1000; j++)
            ck_assert_int_eq(all[i].cells[j], 1);
    }
    srv_scheduler_free(scheduler);
    free(all);
}
END_TEST

/* Tasks that wait for each other: none returns before `all` of them run at once, or long after. */
typedef struct meeting {
    int all;
    atomic_int here, most;
} meeting;

static void meet(void *arg, size_t i)
{
    (void)i;
    meeting *m = arg;
    int here = atomic_fetch_add(&m->here, 1) + 1, most = atomic_load(&m->most);
    while (here > most && !atomic_compare_exchange_weak(&m->most, &most, here))
        ;
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int wait = 0; wait < 20000 && atomic_load(&m->most) < m->all; wait++)
        nanosleep(&pause, NULL);
    if (i == 0) /* the others have had their chance to be too many */
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    atomic_fetch_sub(&m->here, 1);
}

START_TEST(a_query_is_helped_by_every_idle_worker)
{
    enum { WORKERS = 4 };
    srv_scheduler *scheduler = start(WORKERS, 1e9);
    const hop_executor *executor = srv_scheduler_query_executor(scheduler);
    ck_assert_uint_eq(executor->width, WORKERS);
    meeting m = {.all = WORKERS + 1}; /* this thread is none of them */
    executor->run(executor->context, WORKERS + 1, meet, &m);
    ck_assert_int_eq(m.most, WORKERS + 1);
    executor = srv_scheduler_executor(scheduler);
    meeting few = {.all = WORKERS / 2 + 1};
    executor->run(executor->context, 2 * WORKERS, meet, &few);
    ck_assert_int_eq(few.most, WORKERS / 2 + 1);
    srv_scheduler_free(scheduler);
}
END_TEST

/* Work that nobody waits for, of which there is more as long as the meeting has not been. */
typedef struct endless {
    const hop_executor *executor;
    meeting *until;
    atomic_int helped; /* tasks that another thread did */
    pthread_t owner;
} endless;

static void wait_for_meeting(void *arg, size_t i)
{
    (void)i;
    endless *self = arg;
    if (!pthread_equal(pthread_self(), self->owner))
        atomic_fetch_add(&self->helped, 1);
    if (atomic_load(&self->until->most) < self->until->all)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void *work_on(void *arg)
{
    endless *self = arg;
    self->owner = pthread_self();
    self->executor->run(self->executor->context, 100000, wait_for_meeting, self); /* longer than meet() */
    return NULL;
}

START_TEST(a_query_is_helped_by_those_who_help_others)
{
    enum { WORKERS = 2 };
    srv_scheduler *scheduler = start(WORKERS, 1e9);
    meeting m = {.all = WORKERS + 1};
    endless admin = {.executor = srv_scheduler_executor(scheduler), .until = &m};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, work_on, &admin), 0);
    while (atomic_load(&admin.helped) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    const hop_executor *executor = srv_scheduler_query_executor(scheduler);
    executor->run(executor->context, WORKERS + 1, meet, &m);
    ck_assert_int_eq(m.most, WORKERS + 1);

    pthread_join(thread, NULL);
    srv_scheduler_free(scheduler);
}
END_TEST

START_TEST(a_query_does_not_wait_for_busy_workers)
{
    enum { WORKERS = 2 };
    srv_scheduler *scheduler = start(WORKERS, 1e9);
    probe blockers[WORKERS];
    sem_t gate;
    block_workers(scheduler, blockers, WORKERS, &gate);
    const hop_executor *executor = srv_scheduler_query_executor(scheduler);
    atomic_int cells[100] = {0};
    executor->run(executor->context, 100, add_one, cells); /* returns though nobody can help */
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(cells[i], 1);
    release_workers(blockers, WORKERS, &gate);
    srv_scheduler_free(scheduler);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("scheduler");
    TCase *tests = tcase_create("scheduler");
    tcase_add_test(tests, every_job_runs_once);
    tcase_add_test(tests, queries_are_admitted_by_price);
    tcase_add_test(tests, a_decoded_job_is_priced_again);
    tcase_add_test(tests, waiting_jobs_end_by_deadline_or_when_the_client_left);
    tcase_add_test(tests, draining_ends_what_waits_and_refuses_the_rest);
    tcase_add_test(tests, admin_work_leaves_workers_to_queries);
    tcase_add_test(tests, one_worker_alternates_between_admin_and_queries);
    tcase_add_test(tests, workspaces_grow_and_are_reused);
    tcase_add_test(tests, executor_runs_every_task_once);
    tcase_add_test(tests, a_query_is_helped_by_those_who_help_others);
    tcase_add_test(tests, executor_works_from_jobs_that_fill_every_worker);
    tcase_add_test(tests, a_query_is_helped_by_every_idle_worker);
    tcase_add_test(tests, a_query_does_not_wait_for_busy_workers);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
