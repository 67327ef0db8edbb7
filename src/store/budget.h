/*
 * budget.h - how many bytes the daemon may hold for memory sets, and how many it holds.
 *
 * A charge is made before the bytes are allocated and released by whoever frees them. It is bookkeeping, not an
 * allocator: what is charged is an upper estimate of what is kept.
 */
#ifndef STORE_BUDGET_H
#define STORE_BUDGET_H

#include "core/hopfield.h"

typedef struct store_budget {
    size_t limit_bytes;           /* fixed at init */
    atomic_size_t reserved_bytes; /* never above limit_bytes */
} store_budget;

void store_budget_init(store_budget *budget, size_t limit_bytes);

/*
 * Reserve bytes for `what` (a few words for the message). All or nothing; any thread.
 * HOP_E_BUDGET: it does not fit; limit and actual are the limit and what the total would have been.
 */
HOP_WARN_UNUSED hop_status store_budget_charge(store_budget *budget, size_t bytes, const char *what, hop_error *error);

/* Give bytes back. They must have been charged. */
void store_budget_release(store_budget *budget, size_t bytes);

size_t store_budget_limit(const store_budget *budget);
size_t store_budget_reserved(const store_budget *budget);

#endif
