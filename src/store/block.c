/*
 * block.c - see block.h.
 */
#include "store/block.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/mapping.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { TASK_ROWS = 4096 };

void store_block_advise(void *block, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    const size_t page = 64 << 10, huge = 2 << 20; /* the largest page that an advice may have to start at */
    size_t before = hop_round_up((uintptr_t)block, page) - (uintptr_t)block;
    if (bytes >= 2 * huge)
        madvise((char *)block + before, bytes - before, MADV_HUGEPAGE);
#else
    (void)block;
    (void)bytes;
#endif
}

static bool bytes_of(size_t capacity, size_t d, size_t p, bool with_ids, size_t *out)
{
    size_t memories, values, ids;
    return hop_array_bytes(capacity, d, sizeof(float), &memories) &&
           hop_array_bytes(capacity, p, sizeof(float), &values) &&
           hop_mul_size(capacity, with_ids ? sizeof(uint64_t) : 0, &ids) && hop_add_size(memories, values, out) &&
           hop_add_size(*out, ids, out) && hop_add_size(*out, sizeof(store_block), out);
}

hop_status store_block_around(store_budget *budget, size_t M, size_t d, size_t p, float *memories, float *values,
                              uint64_t *ids, size_t charged_bytes, store_block **out, hop_error *error)
{
    store_block *block = malloc(sizeof *block);
    if (!block)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    *block = (store_block){.budget = budget,
                           .charged_bytes = charged_bytes,
                           .capacity = M,
                           .d = d,
                           .p = p,
                           .memories = memories,
                           .values = values,
                           .ids = ids};
    atomic_init(&block->references, 1);
    atomic_init(&block->used, M);
    *out = block;
    return HOP_OK;
}

hop_status store_block_new(store_budget *budget, size_t capacity, size_t used, size_t d, size_t p, bool with_ids,
                           store_block **out, hop_error *error)
{
    size_t bytes;
    if (!bytes_of(capacity, d, p, with_ids, &bytes))
        return hop_fail(error, HOP_E_SHAPE, "%zu memories of dimension %zu are more than this machine can address",
                        capacity, d);
    hop_status status = store_budget_charge(budget, bytes, "this set", error);
    if (status != HOP_OK)
        return status;
    float *memories = malloc(capacity * d * sizeof *memories);
    float *values = p ? malloc(capacity * p * sizeof *values) : NULL;
    uint64_t *ids = with_ids ? malloc(capacity * sizeof *ids) : NULL;
    if (memories)
        store_block_advise(memories, capacity * d * sizeof *memories);
    if (values)
        store_block_advise(values, capacity * p * sizeof *values);
    if (memories && (values || !p) && (ids || !with_ids))
        status = store_block_around(budget, capacity, d, p, memories, values, ids, bytes, out, error);
    else
        status = hop_fail(error, HOP_E_NOMEM, "out of memory for %zu memories of dimension %zu", capacity, d);
    if (status != HOP_OK) {
        free(memories);
        free(values);
        free(ids);
        store_budget_release(budget, bytes);
        return status;
    }
    atomic_store_explicit(&(*out)->used, used, memory_order_relaxed);
    return HOP_OK;
}

store_block *store_block_acquire(store_block *block)
{
    atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
    return block;
}

void store_block_release(store_block *block)
{
    /* acq_rel: every reader's last look happens before the last one frees. */
    if (!block || atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) > 1)
        return;
    if (!block->mapping) {
        free(block->memories);
        free(block->values);
    }
    store_mapping_free(block->mapping);
    free(block->ids);
    store_budget_release(block->budget, block->charged_bytes);
    free(block);
}

bool store_block_extend(store_block *block, size_t M, size_t n)
{
    /* Readers of the rows come to them through the version that is published later: relaxed is enough. */
    return n <= block->capacity - M &&
           atomic_compare_exchange_strong_explicit(&block->used, &M, M + n, memory_order_relaxed, memory_order_relaxed);
}

void store_block_shrink(store_block *block, size_t M, size_t n)
{
    size_t all = M + n;
    bool undone =
        atomic_compare_exchange_strong_explicit(&block->used, &all, M, memory_order_relaxed, memory_order_relaxed);
    assert(undone);
    (void)undone;
}

typedef struct copy_job {
    store_block *to;
    const store_block *from;
    size_t M;
    const bool *gone;
    const size_t *start; /* of each task: where its first row that stays goes */
} copy_job;

static void copy_run(const copy_job *job, size_t from, size_t n, size_t to)
{
    const store_block *old = job->from, *new = job->to;
    memcpy(new->memories + to *new->d, old->memories + from * old->d, n * old->d * sizeof(float));
    if (old->p)
        memcpy(new->values + to *new->p, old->values + from * old->p, n * old->p * sizeof(float));
    for (size_t i = 0; new->ids &&i < n; i++)
        new->ids[to + i] = old->ids ? old->ids[from + i] : from + i;
}

static void copy_task(void *arg, size_t task)
{
    const copy_job *job = arg;
    size_t from = task * TASK_ROWS, end = job->M - from < TASK_ROWS ? job->M : from + TASK_ROWS, at = job->start[task];
    for (size_t to; from < end; from = to) {
        bool goes = job->gone && job->gone[from];
        for (to = from + 1; to < end && (job->gone && job->gone[to]) == goes; to++)
            ;
        if (goes)
            continue;
        copy_run(job, from, to - from, at);
        at += to - from;
    }
}

hop_status store_block_copy(store_block *to, const store_block *from, size_t M, const bool *gone,
                            const hop_executor *executor, hop_error *error)
{
    size_t tasks = M / TASK_ROWS + (M % TASK_ROWS != 0);
    size_t *start = malloc(tasks * sizeof *start);
    if (!start)
        return hop_fail(error, HOP_E_NOMEM, "out of memory to copy %zu memories", M);
    for (size_t mu = 0, at = 0; mu < M; mu++) {
        if (mu % TASK_ROWS == 0)
            start[mu / TASK_ROWS] = at;
        at += !(gone && gone[mu]);
    }
    copy_job job = {.to = to, .from = from, .M = M, .gone = gone, .start = start};
    if (executor)
        executor->run(executor->context, tasks, copy_task, &job);
    for (size_t task = 0; !executor && task < tasks; task++)
        copy_task(&job, task);
    free(start);
    return HOP_OK;
}
