/*
 * progress.h - work in the background that can be asked about: one table of operations, whoever does the work.
 *
 * Whoever does the work opens an entry, says how far it is, and closes it. Entries that are closed are remembered until
 * STORE_WORK_KEPT others have been closed after them. What the work is, and who may run it when, are others'.
 */
#ifndef STORE_PROGRESS_H
#define STORE_PROGRESS_H

#include "store/set.h"

typedef struct store_progress store_progress; /* the table */
typedef struct store_work store_work;         /* an open entry, in the hands of who does the work */

typedef enum store_work_state { STORE_QUEUED, STORE_RUNNING, STORE_SUCCEEDED, STORE_WORK_FAILED } store_work_state;

const char *store_work_state_word(store_work_state state); /* "queued", "running", "succeeded", "failed" */

enum { STORE_WORK_KEPT = 64 }; /* entries that are closed and can still be asked for */

/* What can be said of an operation at one moment. */
typedef struct store_work_view {
    uint64_t id; /* from 1, never reused */
    const char *kind;
    store_work_state state;
    unsigned permille;  /* 1000: it succeeded, and only then */
    double eta_seconds; /* NaN: not known, or over */
    char set[STORE_NAME_BYTES];
    uint64_t version;                         /* that it is about, or has made; 0: none yet */
    int64_t created_ms, started_ms, ended_ms; /* since 1970; 0: not yet */
    hop_error error;                          /* why it failed */
} store_work_view;

/* HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status store_progress_new(store_progress **out, hop_error *error);

/* Entries that are still open go too. NULL is taken. */
void store_progress_free(store_progress *progress);

/* An operation by its id; false: there is none, or it is long over. Any thread. */
bool store_progress_get(store_progress *progress, uint64_t id, store_work_view *out);

/*
 * Open an entry: it is queued. kind is a literal; version 0: none yet. HOP_E_NOMEM. Any thread; the functions below are
 * for one thread at a time.
 */
HOP_WARN_UNUSED hop_status store_work_open(store_progress *progress, const char *kind, const char *set,
                                           uint64_t version, store_work **out, hop_error *error);
uint64_t store_work_id(const store_work *work);

/* It runs. */
void store_work_start(store_work *work);

/*
 * From here to `to` permille it is a part that is predicted to take so many seconds: what is shown meanwhile goes by
 * the clock, and stays below `to` until the next part is begun.
 */
void store_work_part(store_work *work, unsigned to, double seconds);

/* For work that counts for itself: its own permille is shown from now on. Valid until the entry is closed. */
hop_progress *store_work_progress(store_work *work);

/* It is over. error NULL: it succeeded; version 0: the one it was opened with. The entry is the table's again. */
void store_work_close(store_work *work, uint64_t version, const hop_error *error);

#endif
