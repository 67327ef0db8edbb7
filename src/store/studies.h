/*
 * studies.h - measuring the separation of a set's memories (hop_separation), which may take minutes: on a thread of its
 * own, behind everything else, with an operation (progress.h) that says how far it is.
 *
 * A version of a set is measured at most once; the result belongs to it and is charged to the budget. Only the newest
 * version of a set is worth the work: one that was replaced or deleted is cancelled, and nobody waits for that.
 */
#ifndef STORE_STUDIES_H
#define STORE_STUDIES_H

#include "store/progress.h"

typedef struct store_studies store_studies;

/*
 * Start the thread. It has no help: a helper of hop_separation_new() stays until the end, and would keep queries
 * waiting for as long. progress outlives the studies. HOP_E_NOMEM, HOP_E_IO (no thread to be had).
 */
HOP_WARN_UNUSED hop_status store_studies_new(store_progress *progress, store_studies **out, hop_error *error);

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
HOP_WARN_UNUSED hop_status store_studies_submit(store_studies *studies, store_set *set, store_work_view *out,
                                                hop_error *error);

/*
 * store_study_here() - measure the set's separation on this thread and give it to the set. Of two threads that do so at
 * once both measure, and one result is kept.
 * Errors: HOP_E_BUDGET, HOP_E_NOMEM, HOP_E_CANCELLED. progress may be NULL.
 */
HOP_WARN_UNUSED hop_status store_study_here(store_set *set, hop_progress *progress, hop_error *error);

/* The set's, NULL while it has none. Valid while the caller holds a reference to the set. */
const hop_separation *store_set_separation(const store_set *set);

#endif
