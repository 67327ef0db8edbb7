/*
 * loader.h - the sets of a data directory come back, one after the other, on a thread of their own.
 *
 * Each name is taken at once and answers that it loads; what becomes of one set stops no other. Of a name's versions
 * the newest that is whole is taken. Where that is not the newest there is, the set answers, and is `failed`; where
 * there is none, the name is `failed` and can be replaced or deleted. The files that could not be loaded stay. Feature
 * maps are read or built once no set is left to load: all sets fit the budget that they fitted before.
 */
#ifndef STORE_LOADER_H
#define STORE_LOADER_H

#include "store/registry.h"

typedef struct store_loader store_loader;

/*
 * List the folder, take the names, start. folder, registry and what `loading` names outlive the loader, whose own
 * `cancel` takes the place of that in `loading`. Errors: HOP_E_IO, HOP_E_NOMEM. The caller owns *out.
 */
HOP_WARN_UNUSED hop_status store_loader_new(store_folder *folder, store_registry *registry,
                                            const store_loading *loading, store_loader **out, hop_error *error);

/* Load nothing more. Names that wait stay as they are. Does not wait. Any thread. */
void store_loader_stop(store_loader *loader);

/* Stop and join the thread. NULL is taken. */
void store_loader_free(store_loader *loader);

#endif
