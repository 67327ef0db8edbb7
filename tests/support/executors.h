/*
 * executors.h - ways to run a core's tasks other than one after the other, for tests of what must not depend on that.
 */
#ifndef TEST_EXECUTORS_H
#define TEST_EXECUTORS_H

#include "core/hopfield.h"

enum { TEST_EXECUTOR_THREADS = 4 };

extern const hop_executor test_on_threads; /* TEST_EXECUTOR_THREADS threads, whoever comes first */

/* hop_executor.run: tasks in reverse order, one at a time. */
void test_run_backwards(void *context, size_t n, void (*task)(void *arg, size_t i), void *arg);

/* Tasks run by either since the last call. */
size_t test_tasks_run(void);

#endif
