/*
 * builder.h - rows in, frozen set out.
 *
 * Rows come either piece by piece, with or without knowing how many there will be, or as whole arrays whose
 * ownership moves here. The budget is charged before anything is allocated, for the rows and for the model that
 * will be packed from them, so that a set that will not fit is refused at the first call that can know it.
 * Feature maps are not the builder's: operations charges and builds them once the set answers.
 * A builder belongs to one thread at a time.
 */
#ifndef STORE_BUILDER_H
#define STORE_BUILDER_H

#include "store/growth.h"
#include "store/set.h"

typedef struct store_builder store_builder;

/*
 * store_builder_new() - start a set of rows of d floats, with values of p floats each (p = 0: no values).
 *
 * M_expected  rows that will come, 0 where that is not known; charged and allocated at once
 * budget      outlives the builder and the set
 * Errors: HOP_E_SHAPE (d = 0, or sizes overflow), HOP_E_BUDGET, HOP_E_NOMEM. The caller owns *out.
 */
HOP_WARN_UNUSED hop_status store_builder_new(store_budget *budget, size_t M_expected, size_t d, size_t p,
                                             hop_similarity similarity, store_builder **out, hop_error *error);

/* Frees what was not handed over and gives back its charge. NULL is taken. */
void store_builder_free(store_builder *builder);

/* What the set's model will keep packed (HOP_PACK_FULL unless said). Only into an empty builder. */
void store_builder_set_packing(store_builder *builder, hop_packing packing);

/*
 * The frame to make the model in, where the rows fit it (hop_source.frames). Borrowed until the builder is finished or
 * freed.
 */
void store_builder_set_frames(store_builder *builder, const hop_frames *frames);

/*
 * What a centered_cosine set subtracts, d numbers, copied, instead of the mean of its rows; finish refuses what no rows
 * of f32 have as their mean. Once, and instead of a frame. Errors: HOP_E_BUDGET, HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status store_builder_set_mean(store_builder *builder, const double *mean, hop_error *error);

/*
 * Append n rows, copied: memories n x d, values n x p (NULL exactly where p = 0). What was added before stays when
 * it fails. Errors: HOP_E_BUDGET, HOP_E_SHAPE (overflow), HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status store_builder_add(store_builder *builder, size_t n, const float *memories,
                                             const float *values, hop_error *error);

/*
 * Take over whole arrays from malloc(): *memories M x d, *values M x p (both NULL and p = 0: no values). On success
 * the pointers are the builder's and are set to NULL; on failure they stay the caller's. Only into an empty builder.
 */
HOP_WARN_UNUSED hop_status store_builder_adopt(store_builder *builder, size_t M, float **memories, float **values,
                                               hop_error *error);

/*
 * Room for M rows, which the caller writes before anything else is called: M x d at *memories, M x p at *values (NULL
 * where p = 0). Only into an empty builder. Errors: HOP_E_BUDGET, HOP_E_SHAPE (overflow), HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status store_builder_claim(store_builder *builder, size_t M, float **memories, float **values,
                                               hop_error *error);

/*
 * M rows that lie in a mapping, which the set then owns, and with it the rows: memories M x d, values M x p (NULL where
 * p = 0). They take none of the budget. Only into an empty builder; on failure the mapping stays the caller's. Whoever
 * finishes it asks store_set_check() before it is published. Errors: HOP_E_BUDGET, HOP_E_SHAPE (overflow).
 */
HOP_WARN_UNUSED hop_status store_builder_borrow(store_builder *builder, size_t M, const float *memories,
                                                const float *values, struct store_mapping *mapping, hop_error *error);

/* What a set will be charged for, labels and ids left out; of_rows: with its rows. 0: the sizes overflow. */
size_t store_builder_bytes(size_t M, size_t d, size_t p, hop_similarity similarity, hop_packing packing, bool of_rows);

/*
 * Name the memories, copied: n labels of at most STORE_LABEL_BYTES each. Once.
 * Errors: HOP_E_LIMIT (names the row), HOP_E_BUDGET, HOP_E_NOMEM. That n = M is checked by finish.
 */
HOP_WARN_UNUSED hop_status store_builder_label(store_builder *builder, size_t n, const char *const *labels,
                                               hop_error *error);

/*
 * Take over rows and labels from a growth, which is empty afterwards, and its charge. The builder is empty and made for
 * the growth's d and p; as many values and labels as memories, if there are any, else HOP_E_SHAPE, which leaves the
 * growth as it is. Other errors, with which only store_builder_free() is left: HOP_E_BUDGET.
 */
HOP_WARN_UNUSED hop_status store_builder_adopt_growth(store_builder *builder, store_growth *growth, hop_error *error);

/*
 * Ids of the rows other than their numbers, copied: ascending, all below next_id. Once, of all rows.
 * Errors: HOP_E_SHAPE (n is not M), HOP_E_BUDGET, HOP_E_NOMEM; HOP_E_FORMAT (not ascending: names the row).
 */
HOP_WARN_UNUSED hop_status store_builder_set_ids(store_builder *builder, size_t n, const uint64_t *ids,
                                                 uint64_t next_id, hop_error *error);

/* Rows and labels as they are so far; labels has one pointer a label. Valid until the builder is called again. */
typedef struct store_rows_view {
    size_t M, d, p; /* p = 0: no values */
    const float *memories, *values;
    const char *const *labels; /* M, or NULL: none */
} store_rows_view;

/* label_pointers: room for as many pointers as there are rows; NULL where labels are not wanted. */
store_rows_view store_builder_view(const store_builder *builder, const char **label_pointers);

/* How many labels were given. */
size_t store_builder_labels(const store_builder *builder);

/*
 * store_builder_finish() - measure and pack the rows, fill in defaults, freeze.
 *
 * The set has one reference, the caller's, no name and version 0 (store_registry_commit() gives both), and state
 * `building`. The builder is left empty and still has to be freed; on failure it keeps its rows.
 * Errors: HOP_E_SHAPE (no rows; labels not one a row), HOP_E_DOMAIN (not finite, a zero norm: names row and column),
 * HOP_E_BUDGET, HOP_E_NOMEM. Cost: hop_model_new() and one pass for the content hash. executor may be NULL.
 */
HOP_WARN_UNUSED hop_status store_builder_finish(store_builder *builder, const store_options *options,
                                                const hop_executor *executor, store_set **out, hop_error *error);

#endif
