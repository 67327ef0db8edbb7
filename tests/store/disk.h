/*
 * disk.h - folders for the tests that keep sets on disk, whole files as bytes, and a disk that fails when it is told
 * to.
 */
#ifndef TEST_STORE_DISK_H
#define TEST_STORE_DISK_H

#include "store/folder.h"
#include "store/system.h"

enum { DISK_PATH_BYTES = 256, DISK_FILE_BYTES = 32768 };

/* A new empty folder; disk_folder_remove() takes it away with what is in it. */
void disk_folder_make(char path[DISK_PATH_BYTES]);
void disk_folder_remove(const char *path);

/* A copy of a folder and of the files in it, made like the other. */
void disk_folder_copy(const char *path, char copy[DISK_PATH_BYTES]);

/* Names in a folder, sorted, each behind a space; for comparisons. */
const char *disk_names(const char *folder);

/* A whole file; the size is asserted to be below DISK_FILE_BYTES. */
size_t disk_read(const char *folder, const char *name, char out[DISK_FILE_BYTES]);
void disk_write(const char *folder, const char *name, const char *bytes, size_t n);

/*
 * From now on each call of the store to the system is counted, and call number `fails` (from 0) and, where forever is
 * true, all after it end with that errno; a read or write that fails has moved a few bytes before. LONG_MAX: none.
 */
void disk_fail(long fails, bool forever, int code);
long disk_calls(void);              /* counted since */
const char *disk_failed_call(void); /* "rename" */
const char *disk_sequence(void); /* of this thread's calls since, each behind a space; calls alike in a row are one */
void disk_heal(void);            /* the system's own table again */

#endif
