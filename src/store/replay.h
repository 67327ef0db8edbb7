/*
 * replay.h - from a snapshot, and the log beside it, to the set that they are.
 *
 * Records are read and checked first, and only what they come to is applied: rows that were removed again are never
 * made room for, the model is made once, in the frame that the snapshot names. Rows go into memory of the set's own,
 * and are checked on the way, before anybody sees them: what happens to the files afterwards changes no answer. Or,
 * where no row came or went since, they are checked where they lie, in a mapping of the snapshot, which lasts until
 * they have been read (loader.h).
 */
#ifndef STORE_REPLAY_H
#define STORE_REPLAY_H

#include "store/log.h"
#include "store/snapshot.h"

/* What could not be had of a log: the set is then that of the last version before. */
typedef struct store_loss {
    uint64_t newest;                   /* the newest version that the log is known to have had */
    bool unread;                       /* the system failed to read the log: it may be whole */
    char reason[HOP_ERROR_TEXT_BYTES]; /* "": nothing was lost */
} store_loss;

/* What is known once the headers and the whole log were read: which rows there are, and what they are called. */
typedef struct store_replay store_replay;

/*
 * store_replay_new() - read the header of a snapshot, which must be of this name and version, and the log.
 *
 * log   < 0: there is none
 * Errors: HOP_E_FORMAT (what is wrong with the snapshot; or the two disagree), HOP_E_IO, HOP_E_BUDGET, HOP_E_NOMEM,
 * HOP_E_CANCELLED. A log that is damaged is no error, but *loss. loading and the files outlive the replay, which is
 * for store_replay_free(); that takes NULL.
 */
HOP_WARN_UNUSED hop_status store_replay_new(int snapshot, int log, const char *name, uint64_t version,
                                            const store_loading *loading, store_replay **out, store_loss *loss,
                                            hop_error *error);
void store_replay_free(store_replay *replay);

const store_snapshot *store_replay_snapshot(const store_replay *replay);
const store_log_base *store_replay_base(const store_replay *replay); /* the snapshot's version, as a log's */

/* What changed: the version that the log makes of the snapshot's, whether any row came or went, bytes and records. */
uint64_t store_replay_version(const store_replay *replay);
bool store_replay_touches_rows(const store_replay *replay);
const store_log_reader *store_replay_log(const store_replay *replay); /* NULL: no log was read */

/*
 * Make the set: one reference, named, state `building`. Where rows may be mapped and cannot be, they are read. Errors as
 * above; HOP_E_FORMAT also where its content is not what its etag stands for.
 */
HOP_WARN_UNUSED hop_status store_replay_build(store_replay *replay, store_set **out, hop_error *error);

/* What making a set will charge for, by the headers. */
typedef struct store_cost {
    size_t rows_bytes;    /* of memories and values: part of private_bytes */
    size_t private_bytes; /* rows read, packed as `packing` says */
    size_t mapped_bytes;  /* rows mapped; 0: they cannot be */
} store_cost;

/* Of files as for store_replay_new(), of which little more than the headers is read. HOP_E_FORMAT, HOP_E_IO. */
HOP_WARN_UNUSED hop_status store_replay_cost(int snapshot, int log, const char *name, uint64_t version,
                                             hop_packing packing, store_cost *out, hop_error *error);

#endif
