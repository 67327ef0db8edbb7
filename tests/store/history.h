/*
 * history.h - a set that is changed step by step, and what it was after each: what a new process finds must be one of
 * these, to the bit.
 */
#ifndef TEST_STORE_HISTORY_H
#define TEST_STORE_HISTORY_H

#include "kept.h"
#include "store/revision.h"

enum { HISTORY_MAX = 64, HISTORY_STEPS = 11, HISTORY_P = 2 };

/* Versions 1 to n of the set "a"; those that were acknowledged are a prefix, of `acknowledged` versions. */
typedef struct history {
    size_t n, acknowledged;
    char *state[HISTORY_MAX]; /* all that there is to a version, as text */
} history;

void history_free(history *past);

/* A set as text: rows, values, ids, labels, settings, version, etag. The caller frees it. */
char *history_text(const store_set *set);

/* Create the set: with values, and labels where that is true. No feature maps. */
void history_begin(history *past, kept_store *store, hop_similarity similarity, bool labelled);

/*
 * Change number `step`, of HISTORY_STEPS that are different and then begin again: appends with and without labels,
 * removals of old and new rows, settings, labels given and taken. What it makes is noted before it is saved, and counted
 * as acknowledged afterwards.
 */
hop_status history_change(history *past, kept_store *store, size_t step, hop_error *error);

/* An append of that many rows. */
hop_status history_append(history *past, kept_store *store, size_t rows, hop_error *error);

/* The first change again, kept as a file of its own. */
hop_status history_append_whole(history *past, kept_store *store, hop_error *error);

/* Is a set one of the versions, and the text that it should be? Asserts it. */
void history_assert(const history *past, const store_set *set, const char *when);

/*
 * What a new process finds in a folder, without the threads of a store: asserts that it is a version of the history, and
 * not older than what was acknowledged unless it says what was lost. Returns the version, 0: it failed altogether.
 */
uint64_t history_find(const history *past, const char *folder, bool *failed, const char *when);

#endif
