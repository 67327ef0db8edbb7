/*
 * folder_state.h - what folder.c and compaction.c share of the data directory: what is known of each name's files, and
 * who may change them at the moment.
 */
#ifndef STORE_FOLDER_STATE_H
#define STORE_FOLDER_STATE_H

#include "store/folder.h"

#include <pthread.h>

/* The files of one name. Written by whoever holds it, under the folder's lock. */
typedef struct store_kept {
    char name[STORE_NAME_BYTES];
    uint64_t snapshot;   /* newest version with a file of its own */
    store_log_base base; /* that version */
    bool loaded;         /* it was, or was written: what is said here of it and its log is so */
    uint64_t newest;     /* that is durable, there or in the log */
    bool logged;         /* that version has a log */
    bool frameless;      /* a snapshot of format 1, without frame and mean: no log may stand on it */
    bool unsure;         /* the log is damaged, or may hold what was refused: the next change is written whole */
    bool unread;  /* the system failed to read the log, which may be whole: nothing but a new set takes its place */
    bool older;   /* there may be files of older versions */
    bool hurried; /* the log is to be compacted, however short it is */
    uint64_t snapshot_bytes, log_bytes, log_records;
    uint64_t tried_bytes; /* a compaction failed when the log was that long */
    uint64_t maps;        /* version of the maps that are there; 0: none */
    uint64_t life;        /* differs for every snapshot there was */
    bool held;
} store_kept;

struct store_folder {
    int fd;
    store_listener listener;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* something is held no longer */
    store_kept **kept;
    size_t n, room;
    uint64_t lives;
    void (*on_long_log)(void *context); /* NULL: nobody compacts */
    void *context;
};

/*
 * Wait until nobody else changes the files of a name, and be the one who does. NULL: there are none; or, with make,
 * where a name without files gets an entry, there is no memory. Not for long: a few calls to the system.
 */
store_kept *store_kept_hold(store_folder *folder, const char *name, bool make);

/* Under the lock. NULL: there is none. */
store_kept *store_kept_find(const store_folder *folder, const char *name);

/* Let go. An entry that has no snapshot (any more) goes. */
void store_kept_release(store_folder *folder, store_kept *kept);

/* What the rows of a set take in its file. */
uint64_t store_kept_rows_bytes(const store_set *set);

/* There is a file of that version now, and no log. Held. */
void store_kept_now_whole(store_folder *folder, store_kept *kept, const store_set *set);

/* The log ends there now. hurry: it should be compacted soon, however short it is. Held. */
void store_kept_now_logged(store_folder *folder, store_kept *kept, const store_log_tail *tail, bool hurry);

/* Nobody knows whether a file holds what was refused: no log is appended to until there is a newer file. Held. */
void store_kept_doubt(store_folder *folder, store_kept *kept);

/*
 * The file of a set that is aside gets its name, durably, and no log of that name is there that belonged to another.
 * As store_file_settle(). Held.
 */
HOP_WARN_UNUSED hop_status store_kept_settle_set(store_folder *folder, const char *aside, const store_set *set,
                                                 bool keep_log, store_unsettled *how, hop_error *error);

/* Remove what is older than the name's snapshot, as far as that works. Held. */
void store_kept_tidy(store_folder *folder, store_kept *kept);

/* store_folder_save_maps(), in a file aside of that kind. Not held. */
HOP_WARN_UNUSED hop_status store_kept_save_maps(store_folder *folder, const store_set *set, store_aside how,
                                                hop_error *error);

/* Is the log longer than it should be? Under the lock, or held. Tell whoever compacts, if it is: held. */
bool store_kept_is_long(const store_kept *kept);
void store_kept_tell_if_long(store_folder *folder, const store_kept *kept);

/* The files of the directory that are ours: by name, the newest first, of a version its set first. */
typedef struct store_listed {
    store_file_kind kind;
    store_found found;
    char *entry; /* of stale ones */
} store_listed;

typedef struct store_listing {
    store_listed *files;
    size_t n, room;
} store_listing;

/* For store_listing_free(), after success. HOP_E_IO, HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status store_listing_read(const store_folder *folder, store_listing *list, hop_error *error);
void store_listing_free(store_listing *list);

void store_listed_remove(const store_folder *folder, const store_listed *file);

/*
 * What a process left behind that was killed goes: files on their way, logs of which there is no set, maps that can be of
 * none. The rest is what is known from now on. HOP_E_IO, HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status store_folder_take_stock(store_folder *folder, hop_error *error);

/* A log to be written aside. */
typedef struct store_new_log {
    const store_log_base *base;
    const store_log_record *record; /* the first, or NULL */
    store_log_reader *rest;         /* records to copy, or NULL */
    store_log_tail tail;            /* of what was written */
} store_new_log;

/* For store_file_write_aside(): contexts are a store_new_log, a set, a set, and each syncs the file. */
HOP_WARN_UNUSED hop_status store_write_log(void *context, int file, hop_error *error);
HOP_WARN_UNUSED hop_status store_write_set(void *context, int file, hop_error *error);
HOP_WARN_UNUSED hop_status store_write_maps(void *context, int file, hop_error *error);

#endif
