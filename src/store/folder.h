/*
 * folder.h - the data directory: which files there are, what they are called, and when a change of them is durable.
 *
 *     NAME@VERSION.safetensors            a version of a set (snapshot.h)
 *     NAME@VERSION.maps.safetensors       its feature maps (maps_file.h)
 *     ....tmp, ....deleted                on its way in, on its way out: removed when the directory is opened
 *
 * '@' is in no name of a set. NAME@VERSION.log is kept free for changes of a version. Other files are left alone. A
 * file is written aside, synced, renamed, and the directory synced: it is there whole or not at all. The newest version
 * counts; older ones are removed once a newer one is there.
 *
 * The directory is locked by flock(2) on itself for as long as it is open, so that one process uses it, which also
 * works where nothing may be written. Any thread may call; changes of one name exclude each other in the registry.
 */
#ifndef STORE_FOLDER_H
#define STORE_FOLDER_H

#include "store/snapshot.h"

typedef struct store_folder store_folder;

typedef struct store_found {
    char name[STORE_NAME_BYTES];
    uint64_t version;
} store_found;

/* Who is told what happened to sets while nobody asked. say may be NULL, and is called on any thread. */
typedef struct store_listener {
    void (*say)(void *context, bool problem, const char *text);
    void *context;
} store_listener;

/*
 * Open, or make (its parents too), lock and tidy. Errors: HOP_E_BUSY (another process has it), HOP_E_IO (the text says
 * which call and why), HOP_E_NOMEM. The caller owns *out.
 */
HOP_WARN_UNUSED hop_status store_folder_open(const char *path, store_listener listener, store_folder **out,
                                             hop_error *error);

/* Unlocks. NULL is taken. */
void store_folder_close(store_folder *folder);

__attribute__((format(printf, 3, 4))) void store_folder_say(store_folder *folder, bool problem, const char *format,
                                                            ...);

/* Versions of sets by name, the newest of each first; the caller frees *out. HOP_E_IO, HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status store_folder_list(store_folder *folder, store_found **out, size_t *n, hop_error *error);

/*
 * Keep a named set: it is durable when this returns HOP_OK. On failure the directory is as before.
 * Errors: HOP_E_IO, HOP_E_NOMEM, HOP_E_SHAPE.
 */
HOP_WARN_UNUSED hop_status store_folder_save(store_folder *folder, const store_set *set, hop_error *error);

/* store_snapshot_read() of that version. */
HOP_WARN_UNUSED hop_status store_folder_load(store_folder *folder, const char *name, uint64_t version,
                                             const store_loading *loading, store_set **out, hop_error *error);

/* Remove what is older than that version, as far as that works: the newer one counts whether or not it does. */
void store_folder_remove_older(store_folder *folder, const char *name, uint64_t version);

/* Remove every version of a name, durably. HOP_E_IO, HOP_E_NOMEM: all are still there, or the text says otherwise. */
HOP_WARN_UNUSED hop_status store_folder_remove(store_folder *folder, const char *name, hop_error *error);

/* Keep the maps of a set that is still the current one; else do nothing. Errors as for store_folder_save(). */
HOP_WARN_UNUSED hop_status store_folder_save_maps(store_folder *folder, const store_set *set, hop_error *error);

/* store_maps_read(); HOP_E_NOT_FOUND: none are kept. */
HOP_WARN_UNUSED hop_status store_folder_load_maps(store_folder *folder, store_set *set, size_t bytes_most,
                                                  const hop_executor *executor, const atomic_bool *cancel,
                                                  hop_error *error);

#endif
