/*
 * between.h - a start on one set that is mapped first, and what happens before it is read into memory: the moment in
 * between is when the loader opens its file the second time.
 */
#ifndef TEST_STORE_BETWEEN_H
#define TEST_STORE_BETWEEN_H

#include "kept.h"

extern const char between_file[]; /* of the set: "a@1.safetensors" */

/* Around each test: kept_setup(), kept_teardown(), and the handler without which nothing is mapped. */
void between_setup(void);

/* Files that were written a moment ago are not mapped: wait until this one was not. */
void wait_a_tick(void);

/*
 * A set 'a' of version 1 whose rows start with 1 in the folder, and a new store on it that maps; returns once `act` was
 * done, on the loader's thread.
 */
void start_with(kept_store *store, void (*act)(kept_store *store));

/* 'a', with a reference: as it is; once it is in memory of its own. */
store_set *get_a(kept_store *store);
store_set *settled_a(kept_store *store);

void wait_until_said(const char *words);

/* The rows are those that start with `first`; and a dense answer is theirs, within its bound. */
void assert_rows(const store_set *set, float first);
void assert_answers(const store_set *set, float first);

/* What the budget is charged for it. */
size_t charged_for(const store_set *set);

#endif
