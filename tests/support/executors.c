/*
 * executors.c - a team of threads made for each call, and a contrary one.
 */
#include "support/executors.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct job {
    size_t n;
    void (*task)(void *arg, size_t i);
    void *arg;
    atomic_size_t next;
} job;

static atomic_size_t tasks_run;

static void *work(void *context)
{
    job *at = context;
    for (size_t i = atomic_fetch_add(&at->next, 1); i < at->n; i = atomic_fetch_add(&at->next, 1)) {
        at->task(at->arg, i);
        atomic_fetch_add(&tasks_run, 1);
    }
    return NULL;
}

static void run_on_threads(void *context, size_t n, void (*task)(void *arg, size_t i), void *arg)
{
    (void)context;
    job at = {.n = n, .task = task, .arg = arg};
    pthread_t threads[TEST_EXECUTOR_THREADS];
    for (size_t i = 0; i < TEST_EXECUTOR_THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &at), 0);
    for (size_t i = 0; i < TEST_EXECUTOR_THREADS; i++)
        pthread_join(threads[i], NULL);
}

const hop_executor test_on_threads = {.run = run_on_threads, .width = TEST_EXECUTOR_THREADS};

void test_run_backwards(void *context, size_t n, void (*task)(void *arg, size_t i), void *arg)
{
    (void)context;
    atomic_fetch_add(&tasks_run, n);
    while (n-- > 0)
        task(arg, n);
}

size_t test_tasks_run(void)
{
    return atomic_exchange(&tasks_run, 0);
}
