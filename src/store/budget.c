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
    for (int use = 0; use < STORE_USES; use++)
        atomic_init(&budget->used[use], 0);
    budget->whole = NULL;
    budget->paid_bytes = 0;
}

void store_budget_init_part(store_budget *part, store_budget *whole, size_t paid_bytes)
{
    store_budget_init(part, whole->limit_bytes);
    part->whole = whole;
    part->paid_bytes = paid_bytes;
}

static size_t unpaid(const store_budget *part, size_t reserved)
{
    return reserved > part->paid_bytes ? reserved - part->paid_bytes : 0;
}

size_t store_budget_end_part(store_budget *part)
{
    size_t reserved = store_budget_reserved(part);
    return reserved < part->paid_bytes ? part->paid_bytes - reserved : 0;
}

static hop_status charge(store_budget *budget, size_t bytes, const char *what, hop_error *error)
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

hop_status store_budget_charge(store_budget *budget, size_t bytes, const char *what, hop_error *error)
{
    if (!budget->whole)
        return charge(budget, bytes, what, error);
    size_t reserved = store_budget_reserved(budget), more = reserved < SIZE_MAX - bytes ? reserved + bytes : SIZE_MAX;
    hop_status status = charge(budget->whole, unpaid(budget, more) - unpaid(budget, reserved), what, error);
    if (status == HOP_OK)
        atomic_store_explicit(&budget->reserved_bytes, more, memory_order_relaxed);
    return status;
}

hop_status store_budget_recharge(store_budget *budget, size_t *charged, size_t bytes, const char *what,
                                 hop_error *error)
{
    if (bytes > *charged) {
        hop_status status = store_budget_charge(budget, bytes - *charged, what, error);
        if (status != HOP_OK)
            return status;
    } else {
        store_budget_release(budget, *charged - bytes);
    }
    *charged = bytes;
    return HOP_OK;
}

void store_budget_release(store_budget *budget, size_t bytes)
{
    if (budget->whole) {
        size_t reserved = store_budget_reserved(budget);
        assert(reserved >= bytes);
        store_budget_release(budget->whole, unpaid(budget, reserved) - unpaid(budget, reserved - bytes));
    }
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

hop_status store_budget_charge_for(store_budget *budget, store_use use, size_t bytes, const char *what,
                                   hop_error *error)
{
    hop_status status = store_budget_charge(budget, bytes, what, error);
    if (status == HOP_OK)
        atomic_fetch_add_explicit(&budget->used[use], bytes, memory_order_relaxed);
    return status;
}

void store_budget_release_for(store_budget *budget, store_use use, size_t bytes)
{
    size_t before = atomic_fetch_sub_explicit(&budget->used[use], bytes, memory_order_relaxed);
    assert(before >= bytes);
    (void)before;
    store_budget_release(budget, bytes);
}

size_t store_budget_used(const store_budget *budget, store_use use)
{
    return atomic_load_explicit(&budget->used[use], memory_order_relaxed);
}
