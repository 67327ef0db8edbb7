/*
 * growth.h - rows and labels of a set that come without a word about how many, or how long, they will be.
 *
 * Memories, values and labels come in any order and pieces. The budget is charged for the room they take and for the
 * model of the memories there are, before anything is allocated, so that a set is refused as soon as it no longer
 * fits. When all is there a builder takes everything over with store_builder_adopt_growth().
 */
#ifndef STORE_GROWTH_H
#define STORE_GROWTH_H

#include "store/budget.h"

/* An array that grows. */
typedef struct store_grown {
    void *data; /* malloc */
    size_t bytes, capacity_bytes;
} store_grown;

/* To be read by the builder; all zero but for budget and packing where nothing has come. */
typedef struct store_growth {
    store_budget *budget;
    hop_packing packing;
    size_t charged_bytes;
    size_t M, d;          /* memories */
    size_t value_rows, p; /* values */
    size_t labels;
    store_grown memories, values;
    store_grown label_text, label_offset; /* as a set keeps them (set.h) */
} store_growth;

/* budget outlives the growth; packing: what the set's model will keep. */
void store_growth_init(store_growth *growth, store_budget *budget, hop_packing packing);

/* Frees what was not handed over and gives back its charge. */
void store_growth_fini(store_growth *growth);

/*
 * The next n rows, copied: d > 0 or p > 0 columns, always as many as the first time. Amortised constant time a byte.
 * Errors: HOP_E_BUDGET, HOP_E_SHAPE (overflow), HOP_E_NOMEM; what came before stays.
 */
HOP_WARN_UNUSED hop_status store_growth_memories(store_growth *growth, size_t n, size_t d, const float *rows,
                                                 hop_error *error);
HOP_WARN_UNUSED hop_status store_growth_values(store_growth *growth, size_t n, size_t p, const float *rows,
                                               hop_error *error);

/* The next label, copied: `length` bytes, no NUL among them; HOP_E_LIMIT above STORE_LABEL_BYTES. Errors likewise. */
HOP_WARN_UNUSED hop_status store_growth_label(store_growth *growth, const char *text, size_t length, hop_error *error);

#endif
