/*
 * log.h - the changes that a snapshot has seen since, as a file: a record a version, and how many of them count.
 *
 *     block 0     what the log belongs to: a name, a version and its content hash; the sizes of rows; a checksum
 *     block 1, 2  the slots: how many records count, where they end, which version that is; a checksum each
 *     then        the records, one behind the other, each with the checksums of its header and of its parts
 *
 * A record is written behind those that count and synced; then the slot that holds the older state is overwritten and
 * synced; then the change may be acknowledged. So, whenever the process or the machine stops:
 *
 *     before the slot is written     both slots are whole, and say nothing of the record
 *     while it is written            the slot is the old one, or the new one, or damaged; the record is whole
 *     after                          both slots are whole
 *
 * A damaged slot, with a whole record behind what the other slot counts, is what such a stop leaves, and that record
 * counts. Every other damage up to where the records end that count, a log cut off there included, was done by
 * something else and is never taken for a change that was not finished. What lies behind was never acknowledged.
 * docs/SNAPSHOT.md has the bytes. Which file, and when it is made and removed: folder.h. What the changes come to:
 * replay.h.
 */
#ifndef STORE_LOG_H
#define STORE_LOG_H

#include "store/revision.h"

enum { STORE_LOG_FORMAT = 1, STORE_LOG_BLOCK_BYTES = 4096, STORE_LOG_START_BYTES = 3 * STORE_LOG_BLOCK_BYTES };

/* The version of a set that a log starts from. */
typedef struct store_log_base {
    char name[STORE_NAME_BYTES];
    uint64_t version, content_hash;
    uint64_t d, p;                    /* p = 0: no values */
    uint64_t M, next_id, label_bytes; /* as in store_log_tail */
} store_log_base;

/* What counts. */
typedef struct store_log_tail {
    uint64_t records, end; /* how many, and the byte behind the last */
    uint64_t version, content_hash;
    uint64_t M, next_id, label_bytes; /* of that version: what its set takes in memory can be told before it is read */
} store_log_tail;

/* Of an append n x d and n x p floats, of a removal n ids as the first; labels, each with its NUL. */
typedef enum store_log_part { STORE_LOG_ROWS, STORE_LOG_VALUES, STORE_LOG_LABELS, STORE_LOG_PARTS } store_log_part;

typedef struct store_log_record {
    store_revision_kind kind;
    uint64_t n;                           /* rows appended or removed; settings: 0 */
    bool labelled;                        /* append: of the new rows; settings: of all rows */
    bool unlabelled;                      /* settings: no row has a label from now on */
    uint64_t version, M, next_id;         /* that it makes, and what that has */
    uint64_t label_bytes;                 /* of all its labels */
    uint64_t content_hash, previous_hash; /* of that version, and of the one before */
    store_options options;                /* all given */
    uint64_t bytes[STORE_LOG_PARTS];
    uint32_t checksum[STORE_LOG_PARTS];
    uint64_t at[STORE_LOG_PARTS], end; /* in the file, where it was read */
    const void *data[STORE_LOG_PARTS]; /* to write */
} store_log_record;

/* ---- writing ------------------------------------------------------------------------------------------- */

/* The version of a named set, to start a log from. */
store_log_base store_log_base_of(const store_set *set);

/* Where a log of that base ends that has no record. */
store_log_tail store_log_tail_of(const store_log_base *base);

/*
 * The record of what made `set` of the version before, whose content hash that is; borrows the set's arrays, and the
 * revision's ids.
 */
store_log_record store_log_record_of(const store_set *set, const store_revision *revision, uint64_t previous_hash);

/* What it will take in the file. */
uint64_t store_log_record_bytes(const store_log_record *record);

/*
 * A log into an empty file that has no name yet: the block that says what it is of, then records, then the slots, and
 * all of it synced. HOP_E_IO.
 */
HOP_WARN_UNUSED hop_status store_log_start(int file, const store_log_base *base, store_log_tail *tail,
                                           hop_error *error);
HOP_WARN_UNUSED hop_status store_log_add(int file, const store_log_record *record, store_log_tail *tail,
                                         hop_error *error);
HOP_WARN_UNUSED hop_status store_log_finish(int file, const store_log_tail *tail, hop_error *error);

/* Where a log that is in use ends. HOP_E_FORMAT: it is of another base, damaged, or cut off; HOP_E_IO. */
HOP_WARN_UNUSED hop_status store_log_end(int file, const store_log_base *base, store_log_tail *out, hop_error *error);

/*
 * Append a record, durably, to a log that ends as store_log_end() said; tail follows. On failure (HOP_E_IO) what counts
 * is what counted before, but where *unsure turns true: then the record may count after a restart.
 */
HOP_WARN_UNUSED hop_status store_log_append(int file, const store_log_record *record, store_log_tail *tail,
                                            bool *unsure, hop_error *error);

/* ---- reading ------------------------------------------------------------------------------------------- */

typedef struct store_log_reader {
    int file;
    store_log_base base;
    store_log_tail read;   /* up to the record that was read last */
    store_log_tail counts; /* what the slots say; what is known of it where they are damaged */
    bool adrift;           /* one slot is damaged: one more record has to be there */
    unsigned whole_slot;   /* the other one then */
    bool lost;             /* both are: nobody knows where the records end */
    uint64_t file_bytes;
} store_log_reader;

/* Begin to read a log that must be of that base. HOP_E_FORMAT: it is not, or what says so is damaged; HOP_E_IO. */
HOP_WARN_UNUSED hop_status store_log_begin(store_log_reader *reader, int file, const store_log_base *base,
                                           hop_error *error);

/*
 * The next record, all its bytes checked. HOP_E_NOT_FOUND: there is none, and those before are all that count.
 * HOP_E_FORMAT: it is damaged, or one that counts is missing; those before it were whole. HOP_E_IO, HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status store_log_next(store_log_reader *reader, store_log_record *out, hop_error *error);

/*
 * The newest version that a slot of it names, however damaged the rest is, so that no version comes twice. 0: none does,
 * or it is of another base; content hash 0: of any.
 */
uint64_t store_log_newest(int file, const char *name, uint64_t version, uint64_t content_hash);

/* Look again at what counts: a log that is in use has grown since. HOP_E_FORMAT, HOP_E_IO. */
HOP_WARN_UNUSED hop_status store_log_look_again(store_log_reader *reader, hop_error *error);

/* A part of a record that was read: bytes[part] of them to out, checked once more. HOP_E_FORMAT, HOP_E_IO. */
HOP_WARN_UNUSED hop_status store_log_read_part(int file, const store_log_record *record, store_log_part part, void *out,
                                               hop_error *error);

/* After the last record: is there a slot to write again, or are there bytes to cut off that do not count? */
bool store_log_wants_mending(const store_log_reader *reader);

/* Do it. HOP_E_IO: a log that is read again as it was. */
HOP_WARN_UNUSED hop_status store_log_mend(int file, const store_log_reader *reader, hop_error *error);

/*
 * Add the records behind the one that was read last, up to the last that counts, to a new log that ends at *tail.
 * HOP_E_FORMAT, HOP_E_IO, HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status store_log_copy(store_log_reader *from, int to, store_log_tail *tail, hop_error *error);

#endif
