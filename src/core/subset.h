/*
 * subset.h - softmax over a selection of memories that does not look at scores: a window or a random mask
 * (docs/MATH.md, "Structured models"). In f64, from panels that are gathered on the way: the cost is that of the
 * memories selected.
 */
#ifndef HOP_SUBSET_H
#define HOP_SUBSET_H

#include "core/dense.h"
#include "core/returns.h"

enum { HOP_SUBSET_ROWS = 64 }; /* most queries of a call */

size_t hop_subset_workspace_bytes(const hop_model *model); /* 0: the sizes overflow */

/*
 * Sums over the selection of n <= HOP_SUBSET_ROWS usable queries that agree on hop_dense_needs_shift(.., true). The
 * error terms are hop_dense_terms() in f64. sums point into the workspace. The executor (NULL: the caller) runs cuts of
 * the selection, by the shapes alone.
 */
void hop_subset_run(const hop_model *model, const hop_selection *selection, const hop_query *const *queries, size_t n,
                    const hop_executor *executor, void *workspace, hop_dense_sums *sums);

/* top, support and weights of one query, memory by memory. room: `capacity` entries. */
void hop_subset_returns(const hop_model *model, const hop_selection *selection, const hop_query *query,
                        const hop_returns *to, hop_entry *room, size_t capacity);

#endif
