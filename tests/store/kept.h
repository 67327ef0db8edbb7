/*
 * kept.h - a store on a folder of the test's: opened, loaded, changed and closed as the daemon does it.
 */
#ifndef TEST_STORE_KEPT_H
#define TEST_STORE_KEPT_H

#include "disk.h"
#include "fixture.h"
#include "store/loader.h"

enum { M = 20, D = 3, BUDGET_BYTES = 8 << 20 };

extern char path[DISK_PATH_BYTES]; /* the folder of this test */
extern char said[4096];            /* by the folder since open_store(), a line each; once nobody says more */
bool was_said(const char *words);  /* until then */

/* A store on that folder: everything a daemon has. */
typedef struct kept_store {
    store_fixture fixture;
    store_folder *folder;
    store_loader *loader;
    bool map; /* what start_loading() gives; set by the test after open_store() */
    hop_packing packing;
    const hop_executor *executor;
} kept_store;

/* Around each test: a new folder, which is taken away again, and the system's own calls. */
void kept_setup(void);
void kept_teardown(void);

void open_store(kept_store *store);
void start_loading(kept_store *store);
void close_store(kept_store *store);

/* A name's standing once it does not load any more; false: there is no such name. */
bool standing(kept_store *store, const char *name, store_standing *out);

/* What an upload of rows that start with `first` does; no maps, so that files are those of the set alone. */
hop_status put(kept_store *store, const char *name, float first, hop_error *error);

/* The version that answers for a name, 0 for none; *first is its first number. */
uint64_t current(kept_store *store, const char *name, float *first);

/* What a new process finds. */
void assert_after_restart(const char *name, uint64_t version, float first);

#endif
