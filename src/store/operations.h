/*
 * operations.h - work on published sets that nobody waits for: building feature maps on one background thread, and
 * studies (studies.h) on another.
 *
 * A set that comes with maps, carried over from the version before, is given a moment in which the next change may come;
 * then they are kept on disk, or, where many changes have left them worse than fresh ones, model and maps are made again
 * and take the place of the old.
 *
 * Only the newest version of a set is worth the work. A version that was replaced or deleted is cancelled, in the
 * queue or in the middle of its build, and nobody waits until it has noticed.
 */
#ifndef STORE_OPERATIONS_H
#define STORE_OPERATIONS_H

#include "store/folder.h"
#include "store/studies.h"

typedef struct store_operations store_operations;

/* What the maps of a set that names no max_degree may take (hop_features_degree_within()). */
typedef struct store_map_limits {
    size_t bytes;   /* 0: as much as its memories, or 64 KiB */
    double seconds; /* predicted, of one thread */
} store_map_limits;

#define STORE_MAP_LIMITS_DEFAULT ((store_map_limits){.bytes = 0, .seconds = 2})

/*
 * Start the threads. executor may be NULL (builds then use that one thread) and outlives the operations.
 * Errors: HOP_E_NOMEM, HOP_E_IO (no thread to be had).
 */
HOP_WARN_UNUSED hop_status store_operations_new(const hop_executor *executor, store_map_limits limits,
                                                store_operations **out, hop_error *error);

/* Keep maps there, and take those that are there instead of building. Outlives the operations. Before any submit. */
void store_operations_keep_in(store_operations *operations, store_folder *folder);

/*
 * Begin no build until it is called with false: sets that are still to be loaded have a better claim to the memory
 * budget than maps, which make do with a lower degree.
 */
void store_operations_hold(store_operations *operations, bool hold);

/* Cancel what runs and start nothing more. Does not wait. Any thread. */
void store_operations_stop(store_operations *operations);

/* Stop, drop what waits, join the threads. NULL is taken. */
void store_operations_free(store_operations *operations);

/* store_registry_swap(), as operations see it. */
typedef struct store_swap {
    bool (*swap)(void *context, store_set *old, store_set *new);
    void *context;
} store_swap;

/* Who puts a set that was made again in the place of the old; {0}: nobody any more, and none is at it on return. */
void store_operations_swap_by(store_operations *operations, store_swap swap);

/*
 * Queue a set; takes a reference of its own. Where its state is `building` the maps built are those of the set's
 * max_degree, or of the largest smaller degree that fits the memory budget. The set ends up `ready`, also where no
 * map fits, or `failed` with a reason; at once where its max_degree is 0. A set that is `ready` stays that. Cannot fail,
 * does not wait. Any thread, once a set.
 */
void store_operations_submit(store_operations *operations, store_set *set);

/*
 * The set is no longer current: drop it from the queue, or ask its build to stop; its study too. Does not wait. Any
 * thread.
 */
void store_operations_cancel(store_operations *operations, store_set *set);

store_studies *store_operations_studies(store_operations *operations);

/* What can be asked of them, and of the changes that others carry out. */
store_progress *store_operations_progress(store_operations *operations);

#endif
