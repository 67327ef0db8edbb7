/*
 * labels.h - the names of a version's memories, which versions of a set have in common where they do not change.
 */
#ifndef STORE_LABELS_H
#define STORE_LABELS_H

#include "core/hopfield.h"
#include "store/budget.h"

enum { STORE_LABEL_BYTES = 1024 }; /* longest label, without a NUL */

typedef struct store_labels {
    atomic_size_t references;
    store_budget *budget;
    size_t charged_bytes;
    size_t n;
    char *text;     /* all labels, each with its NUL */
    size_t *offset; /* n, into text */
    size_t text_bytes;
    uint64_t hash; /* store_hash_label() of all with their ids, once it is `hashed` */
    bool hashed;   /* by the first set that has them, before anybody sees it */
} store_labels;

/* Is the label of row mu short enough? Else HOP_E_LIMIT, naming the row. */
HOP_WARN_UNUSED hop_status store_label_check(size_t mu, const char *label, hop_error *error);

/*
 * Around arrays from malloc(): they and `charged_bytes` of the budget are the labels' on success and stay the caller's
 * otherwise. HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status store_labels_around(store_budget *budget, size_t n, char *text, size_t *offset,
                                               size_t text_bytes, size_t charged_bytes, store_labels **out,
                                               hop_error *error);

/*
 * store_labels_new() - labels of the rows of `base` that stay, then of n more: copied. One reference, the caller's.
 *
 * base    NULL: none of the n_base rows there are has a label: they are ""
 * gone    n_base; a row that goes; NULL: none does
 * added   n labels; NULL: they are ""
 * Errors: HOP_E_LIMIT (an added label: the row is its place in added), HOP_E_BUDGET, HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status store_labels_new(store_budget *budget, const store_labels *base, size_t n_base,
                                            const bool *gone, const char *const *added, size_t n, store_labels **out,
                                            hop_error *error);

store_labels *store_labels_acquire(store_labels *labels);
void store_labels_release(store_labels *labels); /* NULL is taken. Any thread */

#endif
