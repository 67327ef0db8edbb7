/*
 * phi_build.h - how the sums of phi_sums.h are made: tasks that follow from the shapes alone, each with sums of its
 * own, which are merged in the order of the tasks whoever ran them. phi_sums.c runs them; what they do is the mode's.
 */
#ifndef HOP_PHI_BUILD_H
#define HOP_PHI_BUILD_H

#include "core/kernels.h"
#include "core/phi_sums.h"

typedef struct hop_phi_job hop_phi_job;

struct hop_phi_job {
    hop_phi_sums *sums; /* zeroed, but for what prepare() made of them */
    const hop_kernels *kernels;
    const hop_executor *executor;
    hop_progress *progress;
    double *top;           /* random_features: slots: the exponent, in base 2, that a sum is relative to */
    bool guarded;          /* random_features: exponents may leave what the kernels take without a maximum */
    size_t n_tasks, first; /* of the tasks at hand */
    size_t worker_bytes;   /* what one task at a time needs */
    char *workers;         /* one after the other */
    size_t steps, groups;  /* memories of all tasks; random_features: groups of features */
    size_t share;          /* memories of one task */
    atomic_size_t done;    /* of steps */
    void (*run)(hop_phi_job *job, size_t task, char *worker);
    void (*merge)(hop_phi_job *job, size_t task, const char *worker);
    void (*finish)(hop_phi_job *job);
};

/* Tasks and what they take: fills n_tasks, worker_bytes, steps, groups, share, run, merge, finish. */
void hop_phi_plan_linear(hop_phi_job *job);
void hop_phi_plan_random(hop_phi_job *job);

/*
 * What tasks of random_features read: c, w, top, guarded. Errors: HOP_E_DOMAIN where exponents leave the range of f64.
 */
HOP_WARN_UNUSED hop_status hop_phi_prepare_random(hop_phi_job *job, hop_error *error);

static inline bool hop_phi_cancelled(const hop_phi_job *job)
{
    return job->progress && atomic_load_explicit(&job->progress->cancel, memory_order_relaxed);
}

/* n more memories of a task are done. */
static inline void hop_phi_report(hop_phi_job *job, size_t n)
{
    if (!job->progress)
        return;
    size_t done = atomic_fetch_add_explicit(&job->done, n, memory_order_relaxed) + n;
    atomic_store_explicit(&job->progress->permille, (unsigned)(999.0 * (double)done / (double)job->steps),
                          memory_order_relaxed);
}

#endif
