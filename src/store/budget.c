/*
 * budget.c - one atomic counter under a limit.
 */
#include "store/budget.h"

#include "core/status.h"

#include <assert.h>

void store_budget_init(store_budget *budget, size_t limit_bytes)
{
    budget->limit_bytes = limit_bytes;
    atomic_init(&budget->reserved_bytes, 0);
}

hop_status store_budget_charge(store_budget *budget, size_t bytes, const char *what, hop_error *error)
{
    size_t reserved = atomic_load_explicit(&budget->reserved_bytes, memory_order_relaxed);
    do {
        if (bytes > budget->limit_bytes - reserved) {
            hop_error detail = HOP_ERROR_NONE;
            hop_fail(&detail, HOP_E_BUDGET, "%s needs %zu bytes, and %zu of the memory budget of %zu bytes are free",
                     what, bytes, budget->limit_bytes - reserved, budget->limit_bytes);
            detail.limit = (double)budget->limit_bytes;
            detail.actual = (double)reserved + (double)bytes;
            if (error && error->status == HOP_OK)
                *error = detail;
            return HOP_E_BUDGET;
        }
        /* Only the sum matters, no memory is published by it: relaxed is enough. */
    } while (!atomic_compare_exchange_weak_explicit(&budget->reserved_bytes, &reserved, reserved + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return HOP_OK;
}

void store_budget_release(store_budget *budget, size_t bytes)
{
    size_t before = atomic_fetch_sub_explicit(&budget->reserved_bytes, bytes, memory_order_relaxed);
    assert(before >= bytes);
    (void)before;
}

size_t store_budget_limit(const store_budget *budget)
{
    return budget->limit_bytes;
}

size_t store_budget_reserved(const store_budget *budget)
{
    return atomic_load_explicit(&budget->reserved_bytes, memory_order_relaxed);
}
