/*
 * files.h - what the files of the data directory are called, and what is done to one of them at a time.
 *
 *     NAME@VERSION.safetensors            a version of a set (snapshot.h)
 *     NAME@VERSION.log                    the changes since that version (log.h)
 *     NAME@VERSION.maps.safetensors       the feature maps of a version (maps_file.h)
 *     ....tmp, ....compact, ....deleted   with a digit behind it or none: on its way in, from a change or from a
 *                                         compaction, and on its way out
 *
 * '@' is in no name of a set. Which of these count, and the order of calls that makes a change of them durable, is
 * folder.h's. A directory, a FIFO or a link of such a name is never followed, waited for, or taken for the file.
 */
#ifndef STORE_FILES_H
#define STORE_FILES_H

#include "store/set.h"

enum { STORE_FILE_NAME_BYTES = 256 };

typedef enum store_file_kind {
    STORE_FILE_OTHER, /* none of ours: left alone */
    STORE_FILE_SET,
    STORE_FILE_LOG,
    STORE_FILE_MAPS,
    STORE_FILE_STALE /* on its way: of no use once the process that moved it is gone */
} store_file_kind;

typedef enum store_aside { STORE_ASIDE_CHANGE, STORE_ASIDE_COMPACTION, STORE_ASIDE_LEAVING } store_aside;

typedef struct store_found {
    char name[STORE_NAME_BYTES];
    uint64_t version;
} store_found;

/* The name of a set's file, log or maps. */
void store_file_name(char out[STORE_FILE_NAME_BYTES], store_file_kind kind, const char *name, uint64_t version);

/* What an entry of the directory is; *out is filled but for STORE_FILE_OTHER. */
store_file_kind store_file_parse(const char *entry, store_found *out);

/* Calls visit for every entry until it fails. HOP_E_IO, and what visit returns. */
HOP_WARN_UNUSED hop_status store_files_each(int folder,
                                            hop_status (*visit)(void *context, const char *entry, hop_error *error),
                                            void *context, hop_error *error);

/*
 * Open a file. HOP_E_NOT_FOUND: there is none; HOP_E_FORMAT: a link or a directory is there; HOP_E_IO. That it is a plain
 * file is for the reader to ask: store_system_calls->length().
 */
HOP_WARN_UNUSED hop_status store_file_open(int folder, const char *name, bool to_write, int *file, hop_error *error);

/*
 * A file aside, for the one of that name, written by write(), closed, and nothing left of it on failure; `aside` is what
 * it is called. write() syncs it. HOP_E_IO, and what write returns.
 */
HOP_WARN_UNUSED hop_status store_file_write_aside(int folder, const char *name, store_aside how,
                                                  hop_status (*write)(void *context, int file, hop_error *error),
                                                  void *context, char aside[STORE_FILE_NAME_BYTES], hop_error *error);

/* How a file that is not settled is. */
typedef enum store_unsettled {
    STORE_GONE,    /* as if it had never been, durably */
    STORE_STAYS,   /* it has its name, or may have it again after a restart, and count then */
    STORE_BLOCKED, /* gone: something that is no file has its name */
} store_unsettled;

/* The file aside gets its name, durably, or is gone again. HOP_E_IO, and what became of it, in *how. */
HOP_WARN_UNUSED hop_status store_file_settle(int folder, const char *aside, const char *name, store_unsettled *how,
                                             hop_error *error);

/* Rename a file out of the way; `aside` is what it is called then. False and errno: it has its name still. */
bool store_file_move_away(int folder, const char *name, char aside[STORE_FILE_NAME_BYTES]);

/* Remove a file, or an empty directory in the place of one. Whether it worked matters to nobody who calls this. */
void store_file_remove(int folder, const char *name);

/* "cannot WHAT NAME: reason" */
hop_status store_file_cannot(const char *what, const char *name, int code, hop_error *error);

#endif
