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

/*
 * What must be true of the current version for a change to happen. Lists of quoted etags separated by commas, or
 * "*" for any version there is; NULL: no condition.
 */
typedef struct store_condition {
    const char *if_match;      /* one of them must be current */
    const char *if_none_match; /* none of them may be current; "*": the name must be free */
} store_condition;

/* [A-Za-z0-9][A-Za-z0-9._-]{0,127} */
bool store_name_valid(const char *name);

/* Is etag in the list, or the list "*"? weak: W/"x" in the list counts as "x", else it never matches. */
bool store_etag_listed(const char *list, const char *etag, bool weak);

/* operations outlives the registry; HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status store_registry_new(store_operations *operations, store_registry **out, hop_error *error);

/* Releases every set. No change may be open. NULL is taken. */
void store_registry_free(store_registry *registry);

/* The current version, with a reference for the caller. HOP_E_NOT_FOUND. Any thread. */
HOP_WARN_UNUSED hop_status store_registry_get(store_registry *registry, const char *name, store_set **out,
                                              hop_error *error);

/*
 * store_registry_begin() - open a change of a valid name; the caller must commit or abandon it.
 *
 * condition may be NULL. Errors: HOP_E_EXISTS (a precondition fails; the text says which), HOP_E_BUSY (another
 * change of this name is open), HOP_E_NOMEM. Any thread.
 */
HOP_WARN_UNUSED hop_status store_registry_begin(store_registry *registry, const char *name,
                                                const store_condition *condition, store_change **out, hop_error *error);

/*
 * Publish a finished set: give it name, version (the replaced version + 1, or 1) and etag, swap it in, queue its
 * feature maps, cancel those of the replaced version. Takes over the caller's reference and ends the change.
 * Returns true where the name is new. Cannot fail.
 */
bool store_registry_commit(store_registry *registry, store_change *change, store_set *set);

/* End a change that came to nothing. NULL is taken. */
void store_registry_abandon(store_registry *registry, store_change *change);

/*
 * Forget a name; readers of its last version finish undisturbed. A set of the same name starts again at version 1.
 * Errors: HOP_E_NOT_FOUND, HOP_E_EXISTS, HOP_E_BUSY as above.
 */
HOP_WARN_UNUSED hop_status store_registry_delete(store_registry *registry, const char *name,
                                                 const store_condition *condition, hop_error *error);

/* All current versions at one moment, by name, each with a reference; for store_registry_list_free(). HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status store_registry_list(store_registry *registry, store_set ***out, size_t *n, hop_error *error);
void store_registry_list_free(store_set **sets, size_t n);

#endif
