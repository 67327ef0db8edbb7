/*
 * block.h - rows that several versions of a set may have in common.
 *
 * A version has the first M rows of a block. Behind them there may be room: an append writes there, behind what any
 * version looks at, and the rows before are shared rather than copied. The last version that is read frees the block
 * and gives its bytes back to the budget.
 */
#ifndef STORE_BLOCK_H
#define STORE_BLOCK_H

#include "core/hopfield.h"
#include "store/budget.h"

typedef struct store_block {
    atomic_size_t references;
    store_budget *budget;  /* borrowed; outlives the block */
    size_t charged_bytes;  /* fixed: what the last release gives back */
    size_t capacity, d, p; /* p = 0: no values */
    atomic_size_t used;    /* rows that are some version's, or being written */
    float *memories;       /* capacity x d */
    float *values;         /* capacity x p; NULL where p = 0 */
    uint64_t *ids;         /* capacity; NULL: the rows' numbers */
    struct store_mapping
        *mapping; /* owned: where memories and values lie, not to be written; NULL: in their own memory */
} store_block;

/*
 * Room for `capacity` rows, of which `used` are the caller's to write. One reference, the caller's.
 * Errors: HOP_E_BUDGET, HOP_E_SHAPE (overflow), HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status store_block_new(store_budget *budget, size_t capacity, size_t used, size_t d, size_t p,
                                           bool with_ids, store_block **out, hop_error *error);

/*
 * Around arrays from malloc() of M rows: they and `charged_bytes` of the budget are the block's on success and stay the
 * caller's otherwise. HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status store_block_around(store_budget *budget, size_t M, size_t d, size_t p, float *memories,
                                              float *values, uint64_t *ids, size_t charged_bytes, store_block **out,
                                              hop_error *error);

store_block *store_block_acquire(store_block *block);
void store_block_release(store_block *block); /* NULL is taken. Any thread */

/*
 * n rows behind the first M, which are the caller's version's, are the caller's to write. False: there is no room, or
 * another version came first, which has rows there. Any thread.
 */
bool store_block_extend(store_block *block, size_t M, size_t n);

/* Undo it, where nobody but the caller can have seen the rows. */
void store_block_shrink(store_block *block, size_t M, size_t n);

/*
 * Copy the first M rows of `from` but those that go (gone[mu]; NULL: none) to the beginning of `to`, which has room, the
 * same shape, and ids where `from` has. Where it alone has them they are the rows' numbers. executor may be NULL.
 * HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status store_block_copy(store_block *to, const store_block *from, size_t M, const bool *gone,
                                            const hop_executor *executor, hop_error *error);

/*
 * Large arrays are filled from end to end: with huge pages that takes a 500th of the page faults, and no more memory, as
 * only what lies in the array whole is made of them. Advice: a kernel without them refuses, and all is as before.
 */
void store_block_advise(void *array, size_t bytes);

#endif
