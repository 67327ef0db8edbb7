/*
 * builder.c - growing row buffers under the budget, and the one place where a set is put together.
 */
#include "store/builder.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/content_hash.h"
#include "store/mapping.h"
#include "store/regime.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct store_builder {
    store_budget *budget;
    size_t charged_bytes; /* rows of the capacity, their model, labels, the set itself */
    size_t d, p;          /* p = 0: no values */
    hop_similarity similarity;
    hop_packing packing;
    const hop_frames *frames;
    size_t M, capacity; /* rows there are, rows there is room for */
    float *memories, *values;
    store_mapping *mapping; /* where they lie, and are not to be written; NULL: in memory of their own */
    char *label_text;
    size_t *label_offset;
    size_t labels, label_bytes; /* how many, and the bytes of both arrays */
    uint64_t *ids;              /* M; NULL: the rows' numbers */
    uint64_t next_id;
    size_t id_bytes;
    double *mean;       /* NULL: none was given; charged beside the rest, until the model has its own */
    hop_frames of_mean; /* what frames is where there is one */
};

/* Of mapped rows nothing is, which they would outlive; revisions of the set are packed as they were to be. */
static hop_packing packed(const store_builder *builder)
{
    return builder->mapping ? HOP_PACK_NONE : builder->packing;
}

/* Bytes of a set of M rows without its labels: rows, packed model, bookkeeping. */
static bool set_bytes(const store_builder *builder, size_t M, size_t *out)
{
    size_t memories, values, body = 0, total;
    if (!hop_array_bytes(M, builder->d, sizeof(float), &memories) ||
        !hop_array_bytes(M, builder->p, sizeof(float), &values) || !hop_add_size(memories, values, &total))
        return false;
    if (builder->mapping)
        total = 0;
    return (M == 0 || store_body_bytes(M, builder->d, builder->p, builder->similarity, packed(builder), &body)) &&
           hop_add_size(total, body, &total) &&
           hop_add_size(total, sizeof(store_set) + sizeof(store_block) + sizeof(store_labels), out);
}

/* Make the charge what a set of M rows needs; labels and ids are charged already and stay. */
static hop_status recharge(store_builder *builder, size_t M, hop_error *error)
{
    size_t bytes;
    if (!set_bytes(builder, M, &bytes) || !hop_add_size(bytes, builder->label_bytes, &bytes) ||
        !hop_add_size(bytes, builder->id_bytes, &bytes))
        return hop_fail(error, HOP_E_SHAPE,
                        "a set of %zu memories of dimension %zu is larger than this machine can address", M,
                        builder->d);
    return store_budget_recharge(builder->budget, &builder->charged_bytes, bytes, "this set", error);
}

/* Room for exactly `rows` rows of `columns` floats; what is in the array stays. */
static bool resize(float **array, size_t rows, size_t columns)
{
    size_t bytes;
    if (!hop_array_bytes(rows, columns, sizeof(float), &bytes))
        return false;
    float *moved = realloc(*array, bytes);
    if (!moved)
        return false;
    *array = moved;
    store_block_advise(moved, bytes);
    return true;
}

/*
 * Only the difference to the old capacity is charged: row buffers that matter are moved by remapping their pages, so
 * that the old and the new copy are never both resident.
 */
static hop_status reserve(store_builder *builder, size_t rows, hop_error *error)
{
    if (rows <= builder->capacity)
        return HOP_OK;
    size_t old = builder->capacity;
    hop_status status = recharge(builder, rows, error);
    if (status != HOP_OK)
        return status;
    if (!resize(&builder->memories, rows, builder->d) || (builder->p && !resize(&builder->values, rows, builder->p))) {
        status = recharge(builder, old, NULL); /* less than before: cannot fail */
        assert(status == HOP_OK);
        return hop_fail(error, HOP_E_NOMEM, "out of memory for %zu memories of dimension %zu", rows, builder->d);
    }
    builder->capacity = rows;
    return HOP_OK;
}

hop_status store_builder_new(store_budget *budget, size_t M_expected, size_t d, size_t p, hop_similarity similarity,
                             store_builder **out, hop_error *error)
{
    if (d == 0)
        return hop_fail(error, HOP_E_SHAPE, "memories have no columns");
    store_builder *builder = calloc(1, sizeof *builder);
    if (!builder)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    builder->budget = budget;
    builder->d = d;
    builder->p = p;
    builder->similarity = similarity;
    hop_status status = M_expected ? reserve(builder, M_expected, error) : recharge(builder, 0, error);
    if (status != HOP_OK) {
        store_builder_free(builder);
        return status;
    }
    *out = builder;
    return HOP_OK;
}

static void drop_mean(store_builder *builder)
{
    if (!builder->mean)
        return;
    free(builder->mean);
    store_budget_release(builder->budget, builder->d * sizeof *builder->mean);
    builder->mean = NULL;
    builder->frames = NULL;
}

void store_builder_free(store_builder *builder)
{
    if (!builder)
        return;
    drop_mean(builder);
    if (!builder->mapping) {
        free(builder->memories);
        free(builder->values);
    }
    store_mapping_free(builder->mapping);
    free(builder->label_text);
    free(builder->label_offset);
    free(builder->ids);
    store_budget_release(builder->budget, builder->charged_bytes);
    free(builder);
}

void store_builder_set_packing(store_builder *builder, hop_packing packing)
{
    assert(builder->M == 0 && builder->capacity == 0);
    builder->packing = packing;
}

void store_builder_set_frames(store_builder *builder, const hop_frames *frames)
{
    builder->frames = frames;
}

hop_status store_builder_set_mean(store_builder *builder, const double *mean, hop_error *error)
{
    assert(!builder->frames);
    size_t bytes;
    if (!hop_array_bytes(builder->d, 1, sizeof *mean, &bytes))
        return hop_fail(error, HOP_E_SHAPE, "a mean of more numbers than this machine can address");
    hop_status status = store_budget_charge(builder->budget, bytes, "the mean of this set", error);
    if (status != HOP_OK)
        return status;
    builder->mean = malloc(bytes);
    if (!builder->mean) {
        store_budget_release(builder->budget, bytes);
        return hop_fail(error, HOP_E_NOMEM, "out of memory for a mean of %zu coordinates", builder->d);
    }
    memcpy(builder->mean, mean, bytes);
    builder->of_mean = (hop_frames){.mean = builder->mean};
    builder->frames = &builder->of_mean;
    return HOP_OK;
}

hop_status store_builder_add(store_builder *builder, size_t n, const float *memories, const float *values,
                             hop_error *error)
{
    assert((values != NULL) == (builder->p > 0) || n == 0);
    size_t rows;
    if (!hop_add_size(builder->M, n, &rows))
        return hop_fail(error, HOP_E_SHAPE, "more memories than this machine can address");
    if (rows > builder->capacity) {
        /* Half as much again: many small pieces cost amortised constant time. Exactly, where that is too much. */
        size_t roomy;
        hop_status status = HOP_E_BUDGET;
        if (builder->capacity > 0 && hop_add_size(rows, rows / 2, &roomy))
            status = reserve(builder, roomy, NULL);
        if (status != HOP_OK)
            status = reserve(builder, rows, error);
        if (status != HOP_OK)
            return status;
    }
    if (n == 0)
        return HOP_OK;
    memcpy(builder->memories + builder->M * builder->d, memories, n * builder->d * sizeof(float));
    if (builder->p)
        memcpy(builder->values + builder->M * builder->p, values, n * builder->p * sizeof(float));
    builder->M = rows;
    return HOP_OK;
}

hop_status store_builder_adopt(store_builder *builder, size_t M, float **memories, float **values, hop_error *error)
{
    assert(builder->M == 0 && builder->capacity == 0 && *memories != NULL);
    assert((*values != NULL) == (builder->p > 0));
    hop_status status = recharge(builder, M, error);
    if (status != HOP_OK)
        return status;
    builder->memories = *memories;
    builder->values = *values;
    builder->M = builder->capacity = M;
    *memories = *values = NULL;
    return HOP_OK;
}

/* The array, no larger than what is in it where that can be had. */
static void *take_grown(store_grown *grown)
{
    void *data = grown->data;
    void *fitted = grown->bytes > 0 && grown->bytes < grown->capacity_bytes ? realloc(data, grown->bytes) : NULL;
    *grown = (store_grown){0};
    return fitted ? fitted : data;
}

hop_status store_builder_adopt_growth(store_builder *builder, store_growth *growth, hop_error *error)
{
    assert(builder->M == 0 && builder->capacity == 0 && !builder->label_text);
    assert(growth->d == builder->d && growth->p == builder->p && growth->budget == builder->budget);
    size_t M = growth->M;
    if ((growth->p > 0 && growth->value_rows != M) || (growth->labels > 0 && growth->labels != M))
        return hop_fail(error, HOP_E_SHAPE, "%zu values and %zu labels for %zu memories", growth->value_rows,
                        growth->labels, M);
    builder->M = builder->capacity = M;
    builder->labels = growth->labels;
    builder->label_bytes = growth->label_text.bytes + growth->label_offset.bytes;
    builder->charged_bytes += growth->charged_bytes;
    builder->memories = take_grown(&growth->memories);
    builder->values = take_grown(&growth->values);
    builder->label_text = take_grown(&growth->label_text);
    builder->label_offset = take_grown(&growth->label_offset);
    growth->charged_bytes = 0;
    store_growth_fini(growth);
    return recharge(builder, M, error);
}

hop_status store_builder_claim(store_builder *builder, size_t M, float **memories, float **values, hop_error *error)
{
    assert(builder->M == 0 && builder->capacity == 0);
    hop_status status = reserve(builder, M, error);
    if (status != HOP_OK)
        return status;
    builder->M = M;
    *memories = builder->memories;
    *values = builder->values;
    return HOP_OK;
}

hop_status store_builder_borrow(store_builder *builder, size_t M, const float *memories, const float *values,
                                store_mapping *mapping, hop_error *error)
{
    assert(builder->M == 0 && builder->capacity == 0);
    builder->mapping = mapping;
    hop_status status = recharge(builder, M, error);
    if (status != HOP_OK) {
        builder->mapping = NULL;
        return status;
    }
    builder->memories = (float *)(uintptr_t)memories; /* nobody writes to them */
    builder->values = (float *)(uintptr_t)values;
    builder->M = builder->capacity = M;
    return HOP_OK;
}

size_t store_builder_bytes(size_t M, size_t d, size_t p, hop_similarity similarity, hop_packing packing, bool of_rows)
{
    const store_builder like = {.d = d, .p = p, .similarity = similarity, .packing = packing};
    size_t rows = M * (d + p) * sizeof(float), bytes; /* cannot wrap where the sum below does not */
    return set_bytes(&like, M, &bytes) ? bytes - (of_rows ? 0 : rows) : 0;
}

hop_status store_builder_label(store_builder *builder, size_t n, const char *const *labels, hop_error *error)
{
    assert(!builder->label_text);
    if (n == 0)
        return HOP_OK;
    size_t text_bytes = 0, offset_bytes, bytes;
    for (size_t mu = 0; mu < n; mu++) {
        hop_status status = store_label_check(mu, labels[mu], error);
        if (status != HOP_OK)
            return status;
        text_bytes += strlen(labels[mu]) + 1; /* cannot wrap: the labels are in memory */
    }
    if (!hop_mul_size(n, sizeof(size_t), &offset_bytes) || !hop_add_size(text_bytes, offset_bytes, &bytes))
        return hop_fail(error, HOP_E_SHAPE, "more labels than this machine can address");
    hop_status status = store_budget_charge(builder->budget, bytes, "the labels of this set", error);
    if (status != HOP_OK)
        return status;
    char *text = malloc(text_bytes);
    size_t *offset = malloc(offset_bytes);
    if (!text || !offset) {
        free(text);
        free(offset);
        store_budget_release(builder->budget, bytes);
        return hop_fail(error, HOP_E_NOMEM, "out of memory for %zu labels", n);
    }
    size_t at = 0;
    for (size_t mu = 0; mu < n; mu++) {
        size_t length = strlen(labels[mu]) + 1;
        memcpy(text + at, labels[mu], length);
        offset[mu] = at;
        at += length;
    }
    builder->label_text = text;
    builder->label_offset = offset;
    builder->labels = n;
    builder->label_bytes = bytes;
    builder->charged_bytes += bytes;
    return HOP_OK;
}

hop_status store_builder_set_ids(store_builder *builder, size_t n, const uint64_t *ids, uint64_t next_id,
                                 hop_error *error)
{
    assert(!builder->ids);
    size_t bytes;
    if (n != builder->M || !hop_mul_size(n, sizeof *ids, &bytes))
        return hop_fail(error, HOP_E_SHAPE, "%zu ids for %zu memories", n, builder->M);
    for (size_t mu = 0; mu < n; mu++)
        if (ids[mu] >= next_id || (mu > 0 && ids[mu] <= ids[mu - 1]))
            return hop_fail_at(error, HOP_E_FORMAT, (int64_t)mu, -1, "the id of row %zu is not above that before it",
                               mu);
    hop_status status = store_budget_charge(builder->budget, bytes, "the ids of this set", error);
    if (status != HOP_OK)
        return status;
    builder->ids = malloc(bytes);
    if (!builder->ids) {
        store_budget_release(builder->budget, bytes);
        return hop_fail(error, HOP_E_NOMEM, "out of memory for %zu ids", n);
    }
    memcpy(builder->ids, ids, bytes);
    builder->next_id = next_id;
    builder->id_bytes = bytes;
    builder->charged_bytes += bytes;
    return HOP_OK;
}

store_rows_view store_builder_view(const store_builder *builder, const char **label_pointers)
{
    bool labelled = label_pointers && builder->labels == builder->M;
    for (size_t mu = 0; labelled && mu < builder->M; mu++)
        label_pointers[mu] = builder->label_text + builder->label_offset[mu];
    return (store_rows_view){.M = builder->M,
                             .d = builder->d,
                             .p = builder->p,
                             .memories = builder->memories,
                             .values = builder->values,
                             .labels = labelled ? label_pointers : NULL};
}

size_t store_builder_labels(const store_builder *builder)
{
    return builder->labels;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Give defaults to what was not given. */
static store_options resolved(const store_options *options, const store_body *body)
{
    store_options given = *options;
    const store_options fresh = store_default_options(body);
    if (!(given.beta > 0))
        given.beta = fresh.beta;
    if (!(given.max_error >= 0))
        given.max_error = fresh.max_error;
    return given;
}

/* What was put around the builder's arrays goes; they are the builder's again, and paid for by it. */
static void take_apart(store_block *block, store_labels *labels)
{
    if (block) {
        block->memories = block->values = NULL;
        block->ids = NULL;
        block->mapping = NULL;
        block->charged_bytes = 0;
    }
    if (labels) {
        labels->text = NULL;
        labels->offset = NULL;
        labels->charged_bytes = 0;
    }
    store_block_release(block);
    store_labels_release(labels);
}

/* The set of what the builder has, whose charge is that of M rows. On failure the builder has it still. */
static hop_status assemble(store_builder *builder, const store_options *options, const hop_executor *executor,
                           store_set **out, hop_error *error)
{
    size_t M = builder->M, p = builder->p, body_bytes, label_bytes = 0;
    store_budget *budget = builder->budget;
    store_block *block = NULL;
    store_labels *labels = NULL;
    store_body *body = NULL;
    if (!store_body_bytes(M, builder->d, p, builder->similarity, packed(builder), &body_bytes))
        return hop_fail(error, HOP_E_INTERNAL, "a set that was charged has no size");
    hop_status status = HOP_OK;
    if (builder->label_text) {
        label_bytes = builder->label_bytes + sizeof *labels;
        status = store_labels_around(budget, M, builder->label_text, builder->label_offset,
                                     builder->label_bytes - M * sizeof(size_t), label_bytes, &labels, error);
    }
    if (status == HOP_OK)
        status = store_block_around(budget, M, builder->d, p, builder->memories, builder->values, builder->ids,
                                    builder->charged_bytes - body_bytes - label_bytes - sizeof **out, &block, error);
    if (status == HOP_OK)
        block->mapping = builder->mapping;
    if (status == HOP_OK) {
        const store_body_source source = {
            .block = block,
            .M = M,
            .similarity = builder->similarity,
            .packing = packed(builder),
            .wanted = builder->packing,
            .frames = builder->frames,
            .rows_hash = store_hash_rows(block->memories, block->d, block->values, p, block->ids, 0, M, executor),
        };
        status = store_body_new(&source, body_bytes, executor, &body, error);
    }
    if (status == HOP_OK) {
        builder->charged_bytes -= body_bytes;
        const store_options given = resolved(options, body);
        status = store_set_new(body, labels, &given, builder->ids ? builder->next_id : M, now_ms(), sizeof **out, out,
                               error);
    }
    if (status != HOP_OK) {
        take_apart(block, labels);
        store_body_release(body);
        return status;
    }
    store_block_release(block); /* the body has it */
    return HOP_OK;
}

hop_status store_builder_finish(store_builder *builder, const store_options *options, const hop_executor *executor,
                                store_set **out, hop_error *error)
{
    if (builder->M == 0)
        return hop_fail(error, HOP_E_SHAPE, "a set needs at least one memory");
    if (builder->labels && builder->labels != builder->M)
        return hop_fail(error, HOP_E_SHAPE, "%zu labels for %zu memories", builder->labels, builder->M);
    if (builder->capacity > builder->M) {
        /* Shrinking in place; where it cannot, the larger block serves as well. */
        if (resize(&builder->memories, builder->M, builder->d) &&
            (!builder->p || resize(&builder->values, builder->M, builder->p)))
            builder->capacity = builder->M;
    }
    hop_status status = recharge(builder, builder->M, error);
    if (status != HOP_OK)
        return status;
    store_set *set = NULL;
    status = assemble(builder, options, executor, &set, error);
    if (status != HOP_OK)
        return status;
    store_regime_measure(set, STORE_BEFORE_MAPS);

    drop_mean(builder);
    builder->memories = builder->values = NULL;
    builder->mapping = NULL;
    builder->label_text = NULL;
    builder->label_offset = NULL;
    builder->ids = NULL;
    builder->charged_bytes = 0;
    builder->M = builder->capacity = builder->labels = builder->label_bytes = builder->id_bytes = 0;
    *out = set;
    return HOP_OK;
}
