/*
 * growth.c - arrays that grow under the budget. What becomes of them is builder.c's.
 */
#include "store/growth.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void store_growth_init(store_growth *growth, store_budget *budget, hop_packing packing)
{
    *growth = (store_growth){.budget = budget, .packing = packing};
}

void store_growth_fini(store_growth *growth)
{
    free(growth->memories.data);
    free(growth->values.data);
    free(growth->label_text.data);
    free(growth->label_offset.data);
    store_budget_release(growth->budget, growth->charged_bytes);
    store_growth_init(growth, growth->budget, growth->packing);
}

/* The room there is and the model of the memories there are; the similarity, not known yet, adds little to it. */
static bool wanted_bytes(const store_growth *growth, size_t *out)
{
    size_t model = 0, d = growth->d, p = growth->p > 0 ? growth->p : d;
    if (growth->M > 0) {
        model = hop_model_bytes_estimate(growth->M, d, p, growth->p > 0, HOP_DOT, growth->packing);
        if (model == 0)
            return false;
    }
    return hop_add_size(model, growth->memories.capacity_bytes, out) &&
           hop_add_size(*out, growth->values.capacity_bytes, out) &&
           hop_add_size(*out, growth->label_text.capacity_bytes, out) &&
           hop_add_size(*out, growth->label_offset.capacity_bytes, out);
}

static hop_status recharge(store_growth *growth, hop_error *error)
{
    size_t bytes;
    if (!wanted_bytes(growth, &bytes))
        return hop_fail(error, HOP_E_SHAPE,
                        "a set of %zu memories of dimension %zu is larger than this machine can address", growth->M,
                        growth->d);
    return store_budget_recharge(growth->budget, &growth->charged_bytes, bytes, "this set", error);
}

/* Only the difference is charged: large blocks are moved by remapping their pages, never copied. */
static hop_status resize(store_growth *growth, store_grown *array, size_t capacity_bytes, hop_error *error)
{
    size_t before = array->capacity_bytes;
    array->capacity_bytes = capacity_bytes;
    hop_status status = recharge(growth, error);
    if (status == HOP_OK) {
        void *moved = realloc(array->data, capacity_bytes);
        if (moved) {
            array->data = moved;
            return HOP_OK;
        }
        status = hop_fail(error, HOP_E_NOMEM, "out of memory for the rows and labels of this set");
    }
    array->capacity_bytes = before;
    return status;
}

/* Append bytes to one of the arrays. Half as much again where that fits, else what is needed. */
static hop_status append(store_growth *growth, store_grown *array, const void *data, size_t bytes, hop_error *error)
{
    size_t needed, roomy;
    if (bytes == 0) /* perhaps of an array that has no block yet */
        return HOP_OK;
    if (!hop_add_size(array->bytes, bytes, &needed))
        return hop_fail(error, HOP_E_SHAPE, "a set is larger than this machine can address");
    if (needed > array->capacity_bytes) {
        hop_status status = HOP_E_BUDGET;
        if (array->capacity_bytes > 0 && hop_add_size(needed, needed / 2, &roomy))
            status = resize(growth, array, roomy, NULL);
        if (status != HOP_OK)
            status = resize(growth, array, needed, error);
        if (status != HOP_OK)
            return status;
    }
    memcpy((char *)array->data + array->bytes, data, bytes);
    array->bytes = needed;
    return HOP_OK;
}

static hop_status append_rows(store_growth *growth, store_grown *array, size_t n, size_t columns, const float *rows,
                              hop_error *error)
{
    size_t bytes;
    if (!hop_array_bytes(n, columns, sizeof *rows, &bytes))
        return hop_fail(error, HOP_E_SHAPE, "a set is larger than this machine can address");
    hop_status status = recharge(growth, error); /* for the model, where the room is there already */
    return status == HOP_OK ? append(growth, array, rows, bytes, error) : status;
}

hop_status store_growth_memories(store_growth *growth, size_t n, size_t d, const float *rows, hop_error *error)
{
    assert(d > 0 && (growth->M == 0 || growth->d == d));
    if (n == 0)
        return HOP_OK;
    growth->d = d;
    growth->M += n; /* cannot wrap: as many rows have been in memory */
    hop_status status = append_rows(growth, &growth->memories, n, d, rows, error);
    if (status != HOP_OK)
        growth->M -= n;
    return status;
}

hop_status store_growth_values(store_growth *growth, size_t n, size_t p, const float *rows, hop_error *error)
{
    assert(p > 0 && (growth->value_rows == 0 || growth->p == p));
    if (n == 0)
        return HOP_OK;
    growth->p = p;
    hop_status status = append_rows(growth, &growth->values, n, p, rows, error);
    if (status == HOP_OK)
        growth->value_rows += n;
    return status;
}

hop_status store_growth_label(store_growth *growth, const char *text, size_t length, hop_error *error)
{
    static const char end = '\0';
    if (length > STORE_LABEL_BYTES)
        return hop_fail_at(error, HOP_E_LIMIT, (int64_t)growth->labels, -1,
                           "label of row %zu has %zu bytes, at most %d are allowed", growth->labels, length,
                           STORE_LABEL_BYTES);
    size_t at = growth->label_text.bytes;
    hop_status status = append(growth, &growth->label_offset, &at, sizeof at, error);
    if (status != HOP_OK)
        return status;
    status = append(growth, &growth->label_text, text, length, error);
    if (status == HOP_OK)
        status = append(growth, &growth->label_text, &end, sizeof end, error);
    if (status != HOP_OK) {
        growth->label_text.bytes = at;
        growth->label_offset.bytes -= sizeof at;
        return status;
    }
    growth->labels++;
    return HOP_OK;
}
