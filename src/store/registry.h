/*
 * registry.h - name -> current version of a set: the only lock on a request's way.
 *
 * Readers acquire the current version and keep it, whatever happens to the name meanwhile: they see the old version
 * or the new one, never a mixture. Changes of one name exclude each other: a change is begun, which checks
 * its preconditions and keeps them true, and then committed or abandoned.
 */
#ifndef STORE_REGISTRY_H
#define STORE_REGISTRY_H

#include "store/operations.h"
#include "store/set.h"

typedef struct store_registry store_registry;
typedef struct store_change store_change; /* a change of one name that has begun */
typedef struct store_revision store_revision;

/*
 * What must be true of the current version for a change to happen. Lists of quoted etags separated by commas, or
 * "*" for any version there is; NULL: no condition.
 */
typedef struct store_condition {
    const char *if_match;      /* one of them must be current */
    const char *if_none_match; /* none of them may be current; "*": the name must be free */
} store_condition;

/* Is etag in the list, or the list "*"? weak: W/"x" in the list counts as "x", else it never matches. */
bool store_etag_listed(const char *list, const char *etag, bool weak);

/* operations outlives the registry, which keeps sets in memory alone until store_registry_keep_in(). HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status store_registry_new(store_operations *operations, store_registry **out, hop_error *error);

/* From now on changes are durable in that folder before they are seen. It outlives the registry. Before any change. */
void store_registry_keep_in(store_registry *registry, store_folder *folder);

/* Releases every set. No change may be open. NULL is taken. */
void store_registry_free(store_registry *registry);

/*
 * The current version, with a reference for the caller. HOP_E_NOT_FOUND; HOP_E_UNLOADED: it loads, or its files cannot
 * be loaded. Any thread.
 */
HOP_WARN_UNUSED hop_status store_registry_get(store_registry *registry, const char *name, store_set **out,
                                              hop_error *error);

/*
 * store_registry_begin() - open a change of a valid name; the caller must commit or abandon it.
 *
 * condition may be NULL. Errors: HOP_E_EXISTS (a precondition fails; the text says which), HOP_E_BUSY (another
 * change of this name is open), HOP_E_UNLOADED (it loads), HOP_E_NOMEM. Any thread.
 */
HOP_WARN_UNUSED hop_status store_registry_begin(store_registry *registry, const char *name,
                                                const store_condition *condition, store_change **out, hop_error *error);

/*
 * The same for a change of what is there: *base is the version that it starts from, and stays current while the change
 * is open; its reference is the caller's. Besides: HOP_E_NOT_FOUND, HOP_E_UNLOADED (its files cannot be loaded).
 * HOP_E_BUSY comes before all others, also while the first upload of the name is under way.
 */
HOP_WARN_UNUSED hop_status store_registry_begin_revision(store_registry *registry, const char *name,
                                                         const store_condition *condition, store_change **out,
                                                         store_set **base, hop_error *error);

/*
 * Give a finished set its name, version (the replaced version + 1, or 1) and etag, and, where sets are kept, make it
 * durable. The change stays open. revision: what was revised to make it from the version before, which is what has to be
 * written then; NULL: the whole set has. Errors: HOP_E_LIMIT (no file could be of the next version); those of
 * store_folder_save().
 */
HOP_WARN_UNUSED hop_status store_registry_save(store_registry *registry, store_change *change, store_set *set,
                                               const store_revision *revision, hop_error *error);

/*
 * Publish a set that was saved (where sets are not kept, one that was not is named here): swap it in, queue its feature
 * maps, cancel those of the replaced version, whose files go. Takes over the caller's reference and ends the change.
 * Returns true where the name is new. Cannot fail.
 */
bool store_registry_commit(store_registry *registry, store_change *change, store_set *set);

/*
 * store_registry_swap() - put `new` in the place of `old`: the same content in another form (in private memory instead of
 * a mapping; with a fresh model), of the same name, version and etag, which nobody sees yet.
 *
 * True: `new` is current, the caller's reference to it is taken over, the work on the feature maps of `old` is cancelled
 * and readers of `old` finish; where the state of `new` is `building` its maps are queued. False: `old` is not current
 * any more or a change of its name is open, which may replace it; nothing happened. Writes nothing to the folder. The
 * caller has a reference to `old`, and keeps it. Any thread.
 */
bool store_registry_swap(store_registry *registry, store_set *old, store_set *new);

/* End a change that came to nothing. NULL is taken. */
void store_registry_abandon(store_registry *registry, store_change *change);

/*
 * Forget a name, durably where sets are kept; readers of its last version finish undisturbed. A set of the same name
 * starts again at version 1. Errors: HOP_E_NOT_FOUND, HOP_E_EXISTS, HOP_E_BUSY, HOP_E_UNLOADED as above; those of
 * store_folder_remove(), and the set is still there.
 */
HOP_WARN_UNUSED hop_status store_registry_delete(store_registry *registry, const char *name,
                                                 const store_condition *condition, hop_error *error);

/*
 * A set of that name is in the folder, and its newest version is that or a later one: its name is taken, and answers that
 * it loads. Again, where a later one is found while it loads. HOP_E_NOMEM, which the first call for a name alone gives.
 */
HOP_WARN_UNUSED hop_status store_registry_expect(store_registry *registry, const char *name, uint64_t version,
                                                 hop_error *error);

/*
 * What became of it: a named set, whose reference is taken over, or NULL, with the reason. With both the set is an
 * earlier version than expected: it answers, and is `failed`. Feature maps of a set whose rows are mapped are not queued:
 * they wait for the one that store_registry_swap() puts in its place.
 */
void store_registry_loaded(store_registry *registry, const char *name, store_set *set, const char *reason);

/* The set whose rows are mapped stays what it is: queue its maps after all. Once, of the set that was loaded. */
void store_registry_build_maps(store_registry *registry, store_set *set);

/* Sets are still to be loaded, or none any more: store_operations_hold(). */
void store_registry_hold_maps(store_registry *registry, bool hold);

/* How a name is, whether or not it has a set that answers. */
typedef struct store_standing {
    char name[STORE_NAME_BYTES];
    bool loading;
    store_state state; /* where it does not load */
    unsigned permille;
    char reason[HOP_ERROR_TEXT_BYTES];
} store_standing;

/* All names at one moment, in order; the caller frees *out. HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status store_registry_standings(store_registry *registry, store_standing **out, size_t *n,
                                                    hop_error *error);

/* All current versions at one moment, by name, each with a reference; for store_registry_list_free(). HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status store_registry_list(store_registry *registry, store_set ***out, size_t *n, hop_error *error);
void store_registry_list_free(store_set **sets, size_t n);

#endif
