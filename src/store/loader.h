/*
 * loader.h - the sets of a data directory come back, on a thread of their own: first to answer, then to stay.
 *
 * Each name is taken at once and answers that it loads; what becomes of one set stops no other. Of a name's versions
 * the newest that is whole is taken. Where that is not the newest there is, the set answers, and is `failed`; where
 * there is none, the name is `failed` and can be replaced or deleted. The files that could not be loaded stay.
 *
 * 1. Before anything is read, the budget is charged for what each set will take, by its header: what comes later finds
 *    what is left. A set that does not fit is `failed`.
 * 2. The smallest first, each set is opened. The rows of large ones are mapped, their checksums compared where they lie,
 *    and nothing is packed: they answer, dense, within the time that it takes to read the file. What is mapped can be
 *    taken away or changed by others: mapping.h says how that is found out.
 * 3. One by one, sets that are mapped are read into memory of their own, checked on the way, packed, and take the place of
 *    their mapped form, under the same version and etag. A set that is changed meanwhile is looked at again.
 * 4. Feature maps are read or built.
 */
#ifndef STORE_LOADER_H
#define STORE_LOADER_H

#include "store/registry.h"

typedef struct store_loader store_loader;

/* What a daemon loads with (store_loading): fewer bytes of rows are soon read, and a mapping keeps a file open. */
enum { STORE_MAP_FROM_BYTES = 4 << 20 };

/*
 * List the folder, take the names, charge for them, start. folder, registry and what `loading` names outlive the loader,
 * whose own `cancel` takes the place of that in `loading`. Errors: HOP_E_IO, HOP_E_NOMEM. The caller owns *out.
 */
HOP_WARN_UNUSED hop_status store_loader_new(store_folder *folder, store_registry *registry,
                                            const store_loading *loading, store_loader **out, hop_error *error);

/* Load nothing more. Names that wait stay as they are. Does not wait. Any thread. */
void store_loader_stop(store_loader *loader);

/* Stop and join the thread. NULL is taken. */
void store_loader_free(store_loader *loader);

#endif
