/*
 * snapshot.h - a version of a set as a file, and back.
 *
 * What the file says of the set is docs/SNAPSHOT.md's; how strings and arrays lie in it is container.h's; where files
 * are, what they are called and when they are durable is folder.h's. Rows are read into memory of the set's own, and
 * checked on the way, before anybody sees them: what happens to the file afterwards changes no answer.
 */
#ifndef STORE_SNAPSHOT_H
#define STORE_SNAPSHOT_H

#include "store/builder.h"

enum { STORE_SNAPSHOT_FORMAT = 1 };

/* Where a set is loaded to. */
typedef struct store_loading {
    store_budget *budget;
    hop_packing packing;
    const hop_executor *executor; /* NULL: serial */
    const atomic_bool *cancel;    /* NULL: never */
} store_loading;

/*
 * Write a named set (store_registry_name()) into an empty file and sync it. Errors: HOP_E_IO, HOP_E_SHAPE, HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status store_snapshot_write(const store_set *set, int file, hop_error *error);

/*
 * Read a set that must be of this name and version: one reference, named, state `building`.
 * Errors: HOP_E_FORMAT (what is wrong with the file), HOP_E_IO, HOP_E_BUDGET, HOP_E_NOMEM, HOP_E_CANCELLED.
 */
HOP_WARN_UNUSED hop_status store_snapshot_read(int file, const char *name, uint64_t version,
                                               const store_loading *loading, store_set **out, hop_error *error);

#endif
