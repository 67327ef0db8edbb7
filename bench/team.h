/*
 * team.h - a fixed pool of threads behind a hop_executor: what a caller of the core brings along.
 */
#ifndef BENCH_TEAM_H
#define BENCH_TEAM_H

#include "core/hopfield.h"

typedef struct bench_team bench_team;

/* `threads` of them, the caller of run() included; at least 1. Stops on failure. */
bench_team *bench_team_new(unsigned threads);
void bench_team_free(bench_team *team);

/* Threads worth starting for work that is not timed: the CPUs online, BENCH_THREADS_MAX at most. */
unsigned bench_cpus(void);

/* Runs tasks on the team, one call at a time. NULL, serial, where the team is the caller alone. Borrowed. */
const hop_executor *bench_team_executor(const bench_team *team);

#endif
