/*
 * revision.h - a version of a set made from another: rows appended, rows removed, or other settings.
 *
 * The base stays as it is; its readers notice nothing. Ids stay with their rows: an appended row gets the next id there
 * never was, a removed one takes its id with it.
 */
#ifndef STORE_REVISION_H
#define STORE_REVISION_H

#include "store/builder.h"
#include "store/set.h"

typedef enum store_revision_kind { STORE_APPEND, STORE_REMOVE, STORE_SETTINGS } store_revision_kind;

/* What changes. Borrowed arrays; those of another kind are not looked at. */
typedef struct store_revision {
    store_revision_kind kind;

    /* STORE_APPEND */
    store_rows_view added;

    /* STORE_REMOVE: ids in any order, each once */
    const uint64_t *ids;
    size_t n_ids;

    /* STORE_SETTINGS: what "not given" is in store_options stays as it was; max_degree may be STORE_DEGREE_FREE */
    store_options options;
    bool relabel;              /* labels replace those there are */
    const char *const *labels; /* M of them; NULL: none from now on */
    size_t n_labels;
} store_revision;

/*
 * store_revise() - the set that base becomes, frozen, with one reference, the caller's, no name and version 0.
 *
 * Where only one of base and the added rows has labels, the other's are empty. Settings and the time of creation are
 * base's but for what changes: a max_error that came from the values' range stays the number it was. A centered_cosine
 * keeps its mean. Packing is base's.
 *
 * Versions share what does not change, which is then paid for once. Other settings and labels share rows, model and maps,
 * unless another max_degree asks for maps that base does not have, or whose build may still give it others: then the
 * model is packed again, without maps, over the same rows. Appended rows are written behind base's where there is room,
 * else everything is copied, with room for more; the model is base's with what changed (hop_source.same_rows).
 *
 * Feature maps of base are carried over to changed rows (hop_features_update()) where that is predicted to take at most
 * 50 ms, or at most a quarter of a build and 2 s of one thread, where the model could keep its frame and the budget has
 * room: the set is `ready` then. It is too where it shares maps. Else it is `building`.
 * Errors: HOP_E_SHAPE (d or p differ from base's; labels not one a memory; no rows), HOP_E_UNKNOWN (an id that no row
 * has), HOP_E_DOMAIN (an id twice; nothing would be left; a row that the similarity cannot take), HOP_E_LIMIT (a label),
 * HOP_E_BUDGET, HOP_E_NOMEM. row, where there is one, is the place in ids, in labels, or in the added rows.
 * Any thread; base's owner keeps it alive. executor may be NULL.
 */
HOP_WARN_UNUSED hop_status store_revise(const store_set *base, const store_revision *revision,
                                        const hop_executor *executor, store_set **out, hop_error *error);

#endif
