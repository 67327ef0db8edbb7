/*
 * tasks.h - handing tasks to whoever the caller brought, or doing them one after the other.
 */
#ifndef HOP_TASKS_H
#define HOP_TASKS_H

#include "core/hopfield.h"

/* task(arg, i) once for each i < n; executor NULL: here, in order. A single task is the executor's too. */
static inline void hop_tasks_run(const hop_executor *executor, size_t n, void (*task)(void *arg, size_t i), void *arg)
{
    if (executor && n > 0)
        executor->run(executor->context, n, task, arg);
    for (size_t i = 0; !executor && i < n; i++)
        task(arg, i);
}

#endif
