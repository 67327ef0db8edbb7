/*
 * team.c - threads that sleep between calls and take tasks by a shared counter.
 */
#include "bench/team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/hopbench.h"

struct bench_team {
    hop_executor executor;
    pthread_t ids[BENCH_THREADS_MAX];
    pthread_mutex_t lock;
    pthread_cond_t called, done;
    unsigned long call; /* counts up: a worker waits for a number it has not seen */
    size_t busy;        /* workers that have not come back from this call */
    bool leaving;
    void (*task)(void *arg, size_t i);
    void *arg;
    size_t n;
    atomic_size_t next;
};

static void take_tasks(bench_team *team)
{
    for (size_t i; (i = atomic_fetch_add(&team->next, 1)) < team->n;)
        team->task(team->arg, i);
}

static void *work(void *arg)
{
    bench_team *team = arg;
    unsigned long seen = 0;
    pthread_mutex_lock(&team->lock);
    for (;;) {
        while (team->call == seen && !team->leaving)
            pthread_cond_wait(&team->called, &team->lock);
        if (team->leaving)
            break;
        seen = team->call;
        pthread_mutex_unlock(&team->lock);
        take_tasks(team);
        pthread_mutex_lock(&team->lock);
        if (--team->busy == 0)
            pthread_cond_signal(&team->done);
    }
    pthread_mutex_unlock(&team->lock);
    return NULL;
}

static void run(void *context, size_t n, void (*task)(void *arg, size_t i), void *arg)
{
    bench_team *team = context;
    pthread_mutex_lock(&team->lock);
    team->task = task;
    team->arg = arg;
    team->n = n;
    atomic_store(&team->next, 0);
    team->busy = team->executor.width - 1;
    team->call++;
    pthread_cond_broadcast(&team->called);
    pthread_mutex_unlock(&team->lock);
    take_tasks(team);
    pthread_mutex_lock(&team->lock);
    while (team->busy)
        pthread_cond_wait(&team->done, &team->lock);
    pthread_mutex_unlock(&team->lock);
}

bench_team *bench_team_new(unsigned threads)
{
    bench_team *team = bench_need(calloc(1, sizeof *team));
    team->executor = (hop_executor){.run = run, .context = team, .width = threads};
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->called, NULL);
    pthread_cond_init(&team->done, NULL);
    for (unsigned i = 1; i < threads; i++)
        if (pthread_create(&team->ids[i], NULL, work, team) != 0)
            bench_stop("cannot start a thread");
    return team;
}

void bench_team_free(bench_team *team)
{
    pthread_mutex_lock(&team->lock);
    team->leaving = true;
    pthread_cond_broadcast(&team->called);
    pthread_mutex_unlock(&team->lock);
    for (size_t i = 1; i < team->executor.width; i++)
        pthread_join(team->ids[i], NULL);
    pthread_cond_destroy(&team->called);
    pthread_cond_destroy(&team->done);
    pthread_mutex_destroy(&team->lock);
    free(team);
}

const hop_executor *bench_team_executor(const bench_team *team)
{
    return team->executor.width > 1 ? &team->executor : NULL;
}

unsigned bench_cpus(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : online > BENCH_THREADS_MAX ? BENCH_THREADS_MAX : (unsigned)online;
}
