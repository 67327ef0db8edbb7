/*
 * scheduler.h - compute workers: admission by predicted cost, deadlines, and one workspace a thread.
 *
 * A fixed pool of threads takes jobs from three queues: decoding of large bodies, queries, bounded by their predicted
 * seconds, and admin work (uploads), which never holds more than half of the workers (at least one). Requests wait
 * suspended; nothing blocks the threads that read and write sockets. The scheduler knows no HTTP: a job carries
 * functions.
 */
#ifndef SRV_SCHEDULER_H
#define SRV_SCHEDULER_H

#include "core/hopfield.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct srv_request srv_request;
typedef struct srv_scheduler srv_scheduler;

/* A thread's block of memory that grows to what its largest job needed and is then reused: no allocation later. */
typedef struct srv_workspace {
    void *data;
    size_t bytes;
} srv_workspace;

/*
 * At least `bytes` bytes, 64-byte aligned, contents undefined; NULL when memory is out. A second call in the same
 * job may move the block: reserve once, for everything. Never charged to the memory budget.
 */
void *srv_workspace_reserve(srv_workspace *workspace, size_t bytes);
void srv_workspace_fini(srv_workspace *workspace);

/* The workspace of the calling thread, for work run on the spot; freed when the thread ends. */
srv_workspace *srv_workspace_here(void);

/* Decoding goes first: it is short, and only a decoded query has a known cost. */
typedef enum srv_job_class { SRV_JOB_DECODE, SRV_JOB_QUERY, SRV_JOB_ADMIN, SRV_JOB_CLASSES } srv_job_class;

/* How a job ended: it ran, or why it did not. */
typedef enum srv_job_end {
    SRV_JOB_RAN,
    SRV_JOB_FULL,     /* requeued at a cost for which there is no room */
    SRV_JOB_DEADLINE, /* its deadline passed while it waited */
    SRV_JOB_GONE,     /* its client went away while it waited */
    SRV_JOB_DRAINED   /* the daemon stops */
} srv_job_end;

typedef struct srv_job srv_job;

/* run on a worker; done on any thread and exactly once: the job may be freed by the time it returns. */
typedef void (*srv_job_run)(srv_job *job, srv_workspace *workspace);
typedef void (*srv_job_done)(srv_job *job, srv_job_end how);

/* Embedded in what it works for; zero it, fill the first part, submit. */
struct srv_job {
    srv_job_class class;
    double seconds;       /* predicted */
    uint64_t deadline_ns; /* monotonic; 0: none */
    srv_job_run run;
    srv_job_done done;          /* called after run, or instead of it */
    bool (*gone)(srv_job *job); /* asked while it waits and before it runs; NULL: never gone */
    void *context;

    srv_job *next; /* the scheduler's */
    srv_job_end end;
    bool again; /* run() asked for another turn */
};

typedef struct srv_scheduler_options {
    unsigned workers;            /* >= 1 */
    double queue_seconds;        /* predicted seconds of waiting queries, per worker */
    size_t workspace_keep_bytes; /* a worker gives back a larger workspace after the job that needed it */
} srv_scheduler_options;

typedef enum srv_admission { SRV_ADMITTED, SRV_REFUSED_FULL, SRV_REFUSED_DRAINING } srv_admission;

HOP_WARN_UNUSED hop_status srv_scheduler_new(const srv_scheduler_options *options, srv_scheduler **out,
                                             hop_error *error);
void srv_scheduler_free(srv_scheduler *scheduler); /* no job may be queued or running */

/*
 * Queue a zeroed and filled job. SRV_ADMITTED: done() will be called exactly once, perhaps before this returns.
 * Otherwise the job was not touched. A query is refused when others wait already and their predicted seconds and its
 * own exceed queue_seconds x workers; an empty queue admits any job.
 */
HOP_WARN_UNUSED srv_admission srv_scheduler_submit(srv_scheduler *scheduler, srv_job *job);

/* True where a job of this cost is worth no thread switch: below SRV_INLINE_SECONDS it runs where it is. */
#define SRV_INLINE_SECONDS 50e-6

/*
 * Called by a job's run(): the job knows its cost only now (its body has been decoded). When run() returns, the job is
 * queued again as a query of so many seconds with another run, or ends with SRV_JOB_FULL; done() comes after that.
 */
void srv_job_requeue(srv_job *job, double seconds, srv_job_run run);

/*
 * Executors for work that can be cut into tasks: the caller takes tasks itself, and workers that are free help, until
 * somebody waits for an answer. It never waits for a worker to become free. Usable from any thread, jobs included.
 * Builds and uploads are helped within the admin share, queries by every idle worker, and before those.
 */
const hop_executor *srv_scheduler_executor(srv_scheduler *scheduler);
const hop_executor *srv_scheduler_query_executor(srv_scheduler *scheduler);

/* Refuse new jobs from now on, and end every queued one with SRV_JOB_DRAINED. Running ones go on. */
void srv_scheduler_drain(srv_scheduler *scheduler);

typedef struct srv_scheduler_counts {
    unsigned workers, busy;
    unsigned ending;       /* threads inside a job's done() */
    size_t queued;         /* jobs that wait, of all classes */
    double queued_seconds; /* predicted, queries only */
    uint64_t dropped_gone; /* since start */
} srv_scheduler_counts;

void srv_scheduler_count(srv_scheduler *scheduler, srv_scheduler_counts *out);

#endif
