/*
 * compaction.h - logs that have become long are made into files of whole sets, on a thread of its own.
 *
 * Nobody waits for it: readers never, a change of the set for the last step, which takes milliseconds
 * (store_folder_compact()). One that fails is said, and tried again when the log is twice as long.
 */
#ifndef STORE_COMPACTION_H
#define STORE_COMPACTION_H

#include "store/registry.h"

typedef struct store_compaction store_compaction;

/* Start the thread. Both outlive it. Errors: HOP_E_NOMEM, HOP_E_IO (no thread to be had). The caller owns *out. */
HOP_WARN_UNUSED hop_status store_compaction_new(store_folder *folder, store_registry *registry, store_compaction **out,
                                                hop_error *error);

/* Begin no other one. Does not wait. Any thread. */
void store_compaction_stop(store_compaction *compaction);

/* Stop, finish the one that runs, join the thread. NULL is taken. */
void store_compaction_free(store_compaction *compaction);

#endif
