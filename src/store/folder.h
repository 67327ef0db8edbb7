/*
 * folder.h - the data directory: when a change of it is durable, and which of its files count. files.h has their names.
 *
 * A set is the newest file of its name with the changes in the log beside it. A file is written aside, synced, renamed,
 * and the directory synced: it is there whole or not at all; a change is appended to the log, whose own order of calls
 * (log.h) makes the same true of it. A log that grows long is compacted (compaction.h). Versions that are older than the
 * newest file are removed once that is there.
 *
 * The directory is locked by flock(2) on itself for as long as it is open, so that one process uses it, which also
 * works where nothing may be written. Any thread may call; changes of one name exclude each other in the registry, and
 * here against a compaction. Where a call to the system has failed for want of room the status is HOP_E_SPACE instead
 * of HOP_E_IO (store_system_status()), here and in files.h, log.h and container.h.
 */
#ifndef STORE_FOLDER_H
#define STORE_FOLDER_H

#include "store/files.h"
#include "store/mapping.h"
#include "store/replay.h"

typedef struct store_folder store_folder;

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
 * Keep a named set, whole: it is durable when this returns HOP_OK. On failure the directory is as before.
 * Errors: HOP_E_IO, HOP_E_NOMEM, HOP_E_SHAPE.
 */
HOP_WARN_UNUSED hop_status store_folder_save(store_folder *folder, const store_set *set, hop_error *error);

/*
 * Keep a named set that a revision has made of the version before, base, durably: as a record of the log, or whole,
 * where that takes not much more or there is no log to append to. Errors as above.
 */
HOP_WARN_UNUSED hop_status store_folder_append(store_folder *folder, const store_set *base, const store_set *set,
                                               const store_revision *revision, hop_error *error);

/* store_replay_cost() of that version and its log. */
HOP_WARN_UNUSED hop_status store_folder_cost(store_folder *folder, const char *name, uint64_t version,
                                             hop_packing packing, store_cost *out, hop_error *error);

/*
 * Load that version, with the changes in its log: store_replay_new() and store_replay_build(). *loss, where it has a
 * reason: the log is damaged, and the set is what it was before that. The listener is the folder's.
 */
HOP_WARN_UNUSED hop_status store_folder_load(store_folder *folder, const char *name, uint64_t version,
                                             const store_loading *loading, store_set **out, store_loss *loss,
                                             hop_error *error);

/* The newest version that the log of that version is known to have had, whether or not either can be loaded; or 0. */
uint64_t store_folder_newest(store_folder *folder, const char *name, uint64_t version);

/* Remove what is older than what that version is made of, as far as that works: the newer one counts in any case. */
void store_folder_remove_older(store_folder *folder, const char *name, uint64_t version);

/* Remove every version of a name, durably. HOP_E_IO, HOP_E_NOMEM: all are still there, or the text says otherwise. */
HOP_WARN_UNUSED hop_status store_folder_remove(store_folder *folder, const char *name, hop_error *error);

/* Keep the maps of a set that is still the current one; else do nothing. Errors as for store_folder_save(). */
HOP_WARN_UNUSED hop_status store_folder_save_maps(store_folder *folder, const store_set *set, hop_error *error);

/* store_maps_read(); HOP_E_NOT_FOUND: none are kept. */
HOP_WARN_UNUSED hop_status store_folder_load_maps(store_folder *folder, store_set *set, size_t bytes_most,
                                                  const hop_executor *executor, const atomic_bool *cancel,
                                                  hop_error *error);

/* ---- for compaction.h ---------------------------------------------------------------------------------- */

/* Who is told that a log has become long: on any thread, and must not call back. NULL: nobody. */
void store_folder_on_long_log(store_folder *folder, void (*tell)(void *context), void *context);

/* A name whose log is long, the first behind `after` in the order of strcmp() (NULL: of all). False: there is none. */
bool store_folder_long_log(store_folder *folder, const char *after, char name[STORE_NAME_BYTES]);

/* Which files a name has, by a number that no others had: those of no name 0. */
uint64_t store_folder_life(store_folder *folder, const char *name);

/*
 * store_folder_compact() - write the current version of a set as a file of its own, and start the log anew with the
 * changes since; then the older file, its log and maps go. Readers and changes of the set go on meanwhile; only the last
 * step keeps a change waiting, for some milliseconds.
 *
 * life  store_folder_life() before the set was got: where the files are others by then, nothing happens
 * Errors: HOP_E_IO, HOP_E_NOMEM, HOP_E_SHAPE, HOP_E_FORMAT (the log is damaged): what counts is what counted before.
 */
HOP_WARN_UNUSED hop_status store_folder_compact(store_folder *folder, const store_set *set, uint64_t life,
                                                hop_error *error);

#endif
