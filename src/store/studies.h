/*
 * studies.h - measuring the separation of a set's memories (hop_separation), which may take minutes: on a thread of its
 * own, behind everything else, with an operation that says how far it is.
 *
 * A version of a set is measured at most once; the result belongs to it and is charged to the budget. Only the newest
 * version of a set is worth the work: one that was replaced or deleted is cancelled, and nobody waits for that.
 */
#ifndef STORE_STUDIES_H
#define STORE_STUDIES_H

#include "store/set.h"

typedef struct store_studies store_studies;

typedef enum store_study_state { STORE_QUEUED, STORE_RUNNING, STORE_SUCCEEDED, STORE_STUDY_FAILED } store_study_state;

const char *store_study_state_word(store_study_state state); /* "queued", "running", "succeeded", "failed" */

/* What can be said of an operation at one moment. */
typedef struct store_study {
    uint64_t id; /* from 1, never reused */
    store_study_state state;
    unsigned permille;
    char set[STORE_NAME_BYTES];
    uint64_t version;
    hop_error error; /* why it failed */
} store_study;

enum { STORE_STUDIES_KEPT = 64 }; /* operations that are over and can still be asked for */

/*
 * Start the thread. It has no help: a helper of hop_separation_new() stays until the end, and would keep queries
 * waiting for as long. HOP_E_NOMEM, HOP_E_IO (no thread to be had).
 */
HOP_WARN_UNUSED hop_status store_studies_new(store_studies **out, hop_error *error);

/* Cancel what runs and start nothing more. Does not wait. Any thread. */
void store_studies_stop(store_studies *studies);

/* Stop, drop what waits, join the thread. NULL is taken. */
void store_studies_free(store_studies *studies);

/* The set is no longer current: its operation fails. Does not wait. Any thread; set->progress.cancel is set before. */
void store_studies_cancel(store_studies *studies, const store_set *set);

/*
 * store_studies_submit() - queue the set's measurement, or find it where it was queued before.
 *
 * An operation that failed is shown once, in *out; the next call queues a new one. Takes a reference to the set while
 * it waits and runs. Errors: HOP_E_NOMEM, HOP_E_CANCELLED (stopped, or the set is no longer current). Any thread.
 */
HOP_WARN_UNUSED hop_status store_studies_submit(store_studies *studies, store_set *set, store_study *out,
                                                hop_error *error);

/* An operation by its id; false: there is none, or it is long over. Any thread. */
bool store_studies_get(store_studies *studies, uint64_t id, store_study *out);

/*
 * store_study_here() - measure the set's separation on this thread and give it to the set. Of two threads that do so at
 * once both measure, and one result is kept.
 * Errors: HOP_E_BUDGET, HOP_E_NOMEM, HOP_E_CANCELLED. progress may be NULL.
 */
HOP_WARN_UNUSED hop_status store_study_here(store_set *set, hop_progress *progress, hop_error *error);

/* The set's, NULL while it has none. Valid while the caller holds a reference to the set. */
const hop_separation *store_set_separation(const store_set *set);

#endif
