/*
 * labels.c - see labels.h.
 */
#include "store/labels.h"

#include "core/checked.h"
#include "core/status.h"

#include <stdlib.h>
#include <string.h>

hop_status store_label_check(size_t mu, const char *label, hop_error *error)
{
    size_t length = strlen(label);
    if (length <= STORE_LABEL_BYTES)
        return HOP_OK;
    hop_error detail = HOP_ERROR_NONE;
    hop_fail_at(&detail, HOP_E_LIMIT, (int64_t)mu, -1, "label of row %zu has %zu bytes, at most %d are allowed", mu,
                length, STORE_LABEL_BYTES);
    detail.limit = STORE_LABEL_BYTES;
    detail.actual = (double)length;
    if (error && error->status == HOP_OK)
        *error = detail;
    return HOP_E_LIMIT;
}

hop_status store_labels_around(store_budget *budget, size_t n, char *text, size_t *offset, size_t text_bytes,
                               size_t charged_bytes, store_labels **out, hop_error *error)
{
    store_labels *labels = malloc(sizeof *labels);
    if (!labels)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    *labels = (store_labels){.budget = budget,
                             .charged_bytes = charged_bytes,
                             .n = n,
                             .text = text,
                             .offset = offset,
                             .text_bytes = text_bytes};
    atomic_init(&labels->references, 1);
    *out = labels;
    return HOP_OK;
}

/* Bytes with its NUL of row mu's label as it is there. */
static size_t bytes_at(const store_labels *base, size_t mu)
{
    if (!base)
        return 1;
    return (mu + 1 < base->n ? base->offset[mu + 1] : base->text_bytes) - base->offset[mu];
}

/* What the labels take: text and rows. It cannot wrap: all of it is in memory. */
static hop_status measure(const store_labels *base, size_t n_base, const bool *gone, const char *const *added, size_t n,
                          size_t *text_bytes, size_t *rows, hop_error *error)
{
    *text_bytes = *rows = 0;
    for (size_t mu = 0; mu < n_base; mu++)
        if (!gone || !gone[mu]) {
            *text_bytes += bytes_at(base, mu);
            ++*rows;
        }
    for (size_t i = 0; i < n; i++) {
        hop_status status = added ? store_label_check(i, added[i], error) : HOP_OK;
        if (status != HOP_OK)
            return status;
        *text_bytes += added ? strlen(added[i]) + 1 : 1;
    }
    *rows += n;
    return HOP_OK;
}

static void copy(const store_labels *base, size_t n_base, const bool *gone, const char *const *added, size_t n,
                 char *text, size_t *offset)
{
    size_t at = 0, row = 0;
    for (size_t mu = 0; mu < n_base; mu++) {
        if (gone && gone[mu])
            continue;
        size_t bytes = bytes_at(base, mu);
        memcpy(text + at, base ? base->text + base->offset[mu] : "", bytes);
        offset[row++] = at;
        at += bytes;
    }
    for (size_t i = 0; i < n; i++) {
        const char *label = added ? added[i] : "";
        size_t bytes = strlen(label) + 1;
        memcpy(text + at, label, bytes);
        offset[row++] = at;
        at += bytes;
    }
}

hop_status store_labels_new(store_budget *budget, const store_labels *base, size_t n_base, const bool *gone,
                            const char *const *added, size_t n, store_labels **out, hop_error *error)
{
    size_t text_bytes, rows, offset_bytes, bytes;
    hop_status status = measure(base, n_base, gone, added, n, &text_bytes, &rows, error);
    if (status != HOP_OK)
        return status;
    if (!hop_mul_size(rows, sizeof(size_t), &offset_bytes) || !hop_add_size(text_bytes, offset_bytes, &bytes) ||
        !hop_add_size(bytes, sizeof(store_labels), &bytes))
        return hop_fail(error, HOP_E_SHAPE, "more labels than this machine can address");
    status = store_budget_charge(budget, bytes, "the labels of this set", error);
    if (status != HOP_OK)
        return status;
    char *text = malloc(text_bytes);
    size_t *offset = malloc(offset_bytes);
    if (text && offset) {
        copy(base, n_base, gone, added, n, text, offset);
        status = store_labels_around(budget, rows, text, offset, text_bytes, bytes, out, error);
    } else {
        status = hop_fail(error, HOP_E_NOMEM, "out of memory for %zu labels", rows);
    }
    if (status != HOP_OK) {
        free(text);
        free(offset);
        store_budget_release(budget, bytes);
    }
    return status;
}

store_labels *store_labels_acquire(store_labels *labels)
{
    atomic_fetch_add_explicit(&labels->references, 1, memory_order_relaxed);
    return labels;
}

void store_labels_release(store_labels *labels)
{
    if (!labels || atomic_fetch_sub_explicit(&labels->references, 1, memory_order_acq_rel) > 1)
        return;
    free(labels->text);
    free(labels->offset);
    store_budget_release(labels->budget, labels->charged_bytes);
    free(labels);
}
