/*
 * phi_cache.h - sums of phi (hop_phi_sums), kept from one query to the next: what linear and random_features answer
 * from.
 *
 * They belong to the rows of a version of a set (body.h) and to a mode, for random_features to beta, seed and number of features too; a
 * client may ask for any number of those. So the cache is bounded, in entries and in bytes, and gives up the least
 * recently used ones, of whatever set. Every byte is charged to the memory budget before it is allocated. Sums in use
 * stay until their last reader is done; a set that goes takes its sums along.
 */
#ifndef STORE_PHI_CACHE_H
#define STORE_PHI_CACHE_H

#include "store/set.h"

typedef struct store_phi_cache store_phi_cache;
typedef struct store_phi store_phi; /* sums with their readers counted */

enum { STORE_PHI_ENTRIES = 64 };

/* Outlives every set whose sums it holds. limit_bytes: of all sums together. HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status store_phi_cache_new(size_t limit_bytes, store_phi_cache **out, hop_error *error);

/* Nobody reads or builds any more, and every set is gone. NULL is taken. */
void store_phi_cache_free(store_phi_cache *cache);

/* The sums that this request (mode, beta, parameters) needs of the set, with a reference; NULL: they are not there. */
store_phi *store_phi_cache_find(store_phi_cache *cache, store_set *set, const hop_request *request);

/*
 * store_phi_cache_get() - the same, made where they are not there.
 *
 * Of several threads that want the same sums one makes them, on `executor` (may be NULL) and without any lock, and the
 * others wait. give_up(context) is asked every few hundredths of a second of waiting, and of a build that is predicted
 * to take over a tenth of a second, there by another thread; may be NULL. Where who makes them gives up, one of those
 * that wait begins anew.
 * Errors: HOP_E_BUDGET (they do not fit the cache's limit, or the memory budget, whatever is given up for them),
 * HOP_E_CANCELLED (give_up() said so), those of hop_phi_sums_new().
 */
HOP_WARN_UNUSED hop_status store_phi_cache_get(store_phi_cache *cache, store_set *set, const hop_request *request,
                                               const hop_executor *executor, bool (*give_up)(void *context),
                                               void *context, store_phi **out, hop_error *error);

const hop_phi_sums *store_phi_sums(const store_phi *phi);

/* One reader fewer. NULL is taken. Before the reader's reference to the set. */
void store_phi_release(store_phi *phi);

/* The last version of these rows is gone: drop all their sums. By store_body_release(). */
void store_phi_cache_forget(store_phi_cache *cache, const store_body *body);

typedef struct store_phi_counts {
    size_t entries, bytes, limit_bytes; /* now */
    uint64_t found, built, dropped;     /* since start; dropped: for room */
} store_phi_counts;

void store_phi_cache_count(store_phi_cache *cache, store_phi_counts *out);

/* Bytes of the sums of a set's rows. */
size_t store_phi_cache_bytes_of(store_phi_cache *cache, const store_body *body);

#endif
