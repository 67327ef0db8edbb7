/*
 * snapshot.h - a version of a set as a file: writing it, and what its header says.
 *
 * What the file says of the set is docs/SNAPSHOT.md's; how strings and arrays lie in it is container.h's; where files
 * are, what they are called and when they are durable is folder.h's. Making a set of it again is replay.h's: a log
 * beside it may say more.
 */
#ifndef STORE_SNAPSHOT_H
#define STORE_SNAPSHOT_H

#include "store/builder.h"
#include "store/container.h"

/* What is written, and the oldest that is read. */
enum { STORE_SNAPSHOT_FORMAT = 2, STORE_SNAPSHOT_FORMAT_OLDEST = 1 };

/* Where a set is loaded to. */
typedef struct store_loading {
    store_budget *budget;
    hop_packing packing;
    const hop_executor *executor; /* NULL: serial */
    const atomic_bool *cancel;    /* NULL: never */
    size_t map_from_bytes;        /* rows of as many stay in the file, mapped, with nothing packed; 0: never */
    store_listener listener;      /* who is told when such a mapping breaks */
} store_loading;

/*
 * Write a named set (store_registry_name()) into an empty file and sync it. Errors: HOP_E_IO, HOP_E_SHAPE, HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status store_snapshot_write(const store_set *set, int file, hop_error *error);

/* What the header says, typed and within bounds. Tensors are found in the container by their names. */
typedef struct store_snapshot {
    store_container container;
    int format;
    uint64_t version, content_hash, next_id;
    int64_t created_ms;
    size_t M, d, p; /* p = 0: no values */
    hop_similarity similarity;
    store_options options;
} store_snapshot;

/* Read the header of a file that must be of this name and version. HOP_E_FORMAT (what is wrong with it), HOP_E_IO. */
HOP_WARN_UNUSED hop_status store_snapshot_open(int file, const char *name, uint64_t version, store_snapshot *out,
                                               hop_error *error);

/*
 * The frame that the set's model was made in: *out points into *block, which the caller frees, and is empty where a file
 * of format 1 has none. HOP_E_FORMAT, HOP_E_IO, HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status store_snapshot_read_frames(int file, const store_snapshot *snapshot, hop_frames *out,
                                                      double **block, hop_error *error);

/* Bytes of that block. */
size_t store_snapshot_frames_bytes(const store_snapshot *snapshot);

#endif
