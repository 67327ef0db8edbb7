/*
 * budget.h - how many bytes the daemon may hold for memory sets, and how many it holds.
 *
 * A charge is made before the bytes are allocated and released by whoever frees them. It is bookkeeping, not an
 * allocator: what is charged is an upper estimate of what is kept.
 */
#ifndef STORE_BUDGET_H
#define STORE_BUDGET_H

#include "core/hopfield.h"

/* What passes with a request, and is counted on its own; the rest is of sets and of what becomes of them. */
typedef enum store_use {
    STORE_FOR_REQUESTS, /* bodies, and what was read from them */
    STORE_FOR_ANSWERS,
    STORE_USES
} store_use;

typedef struct store_budget {
    size_t limit_bytes;             /* fixed at init */
    atomic_size_t reserved_bytes;   /* never above limit_bytes */
    struct store_budget *whole;     /* of a part: what it is a part of; NULL: it is none */
    size_t paid_bytes;              /* of a part: what the whole is charged for already */
    atomic_size_t used[STORE_USES]; /* of the reserved ones */
} store_budget;

void store_budget_init(store_budget *budget, size_t limit_bytes);

/*
 * A part of another budget that was paid for in advance, `paid_bytes` of it: for work that must not find the memory
 * gone when it comes to it. What goes beyond is charged to the whole as it comes. For one thread at a time.
 */
void store_budget_init_part(store_budget *part, store_budget *whole, size_t paid_bytes);

/*
 * The end of a part: what is charged to it is from now on the whole's alone, to be released there. Returns what was
 * paid for and is not charged to it: the caller's, to release or to make another part of.
 */
size_t store_budget_end_part(store_budget *part);

/*
 * Reserve bytes for `what` (a few words for the message). All or nothing; any thread.
 * HOP_E_BUDGET: it does not fit; limit and actual are the limit and what the total would have been.
 */
HOP_WARN_UNUSED hop_status store_budget_charge(store_budget *budget, size_t bytes, const char *what, hop_error *error);

/* Make a charge of *charged bytes one of `bytes`: the difference is reserved as above, or given back. */
HOP_WARN_UNUSED hop_status store_budget_recharge(store_budget *budget, size_t *charged, size_t bytes, const char *what,
                                                 hop_error *error);

/* Give bytes back. They must have been charged. */
void store_budget_release(store_budget *budget, size_t bytes);

/* The same, counted as that use too. */
HOP_WARN_UNUSED hop_status store_budget_charge_for(store_budget *budget, store_use use, size_t bytes, const char *what,
                                                   hop_error *error);
void store_budget_release_for(store_budget *budget, store_use use, size_t bytes);
size_t store_budget_used(const store_budget *budget, store_use use);

size_t store_budget_limit(const store_budget *budget);
size_t store_budget_reserved(const store_budget *budget);

#endif
