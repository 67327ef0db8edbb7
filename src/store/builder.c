/*
 * builder.c - growing row buffers under the budget, and the one place where a set is put together.
 *
 * The content hash is this project's own 64-bit mixing of words. It tells versions apart for ETags; it is no defence
 * against somebody who looks for two sets with the same hash.
 */
#include "store/builder.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/regime.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct store_builder {
    store_budget *budget;
    size_t charged_bytes; /* rows of the capacity, their model, labels, the set itself */
    size_t d, p;          /* p = 0: no values */
    hop_similarity similarity;
    hop_packing packing;
    size_t M, capacity; /* rows there are, rows there is room for */
    float *memories, *values;
    char *label_text;
    size_t *label_offset;
    size_t labels, label_bytes; /* how many, and the bytes of both arrays */
    uint64_t *ids;              /* M; NULL: the rows' numbers */
    uint64_t next_id;
    size_t id_bytes;
};

/* Bytes of a set of M rows without its labels: rows, packed model, bookkeeping. */
static bool set_bytes(const store_builder *builder, size_t M, size_t *out)
{
    size_t p = builder->p ? builder->p : builder->d;
    size_t memories, values, total;
    if (!hop_array_bytes(M, builder->d, sizeof(float), &memories) ||
        !hop_array_bytes(M, builder->p, sizeof(float), &values) || !hop_add_size(memories, values, &total))
        return false;
    if (M > 0) {
        size_t model =
            hop_model_bytes_estimate(M, builder->d, p, builder->p > 0, builder->similarity, builder->packing);
        if (model == 0 || !hop_add_size(total, model, &total))
            return false;
    }
    return hop_add_size(total, sizeof(store_set), out);
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
    if (bytes > builder->charged_bytes) {
        hop_status status = store_budget_charge(builder->budget, bytes - builder->charged_bytes, "this set", error);
        if (status != HOP_OK)
            return status;
    } else {
        store_budget_release(builder->budget, builder->charged_bytes - bytes);
    }
    builder->charged_bytes = bytes;
    return HOP_OK;
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

void store_builder_free(store_builder *builder)
{
    if (!builder)
        return;
    free(builder->memories);
    free(builder->values);
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

hop_status store_builder_label(store_builder *builder, size_t n, const char *const *labels, hop_error *error)
{
    assert(!builder->label_text);
    if (n == 0)
        return HOP_OK;
    size_t text_bytes = 0, offset_bytes, bytes;
    for (size_t mu = 0; mu < n; mu++) {
        size_t length = strlen(labels[mu]);
        if (length > STORE_LABEL_BYTES) {
            hop_error detail = HOP_ERROR_NONE;
            hop_fail_at(&detail, HOP_E_LIMIT, (int64_t)mu, -1, "label of row %zu has %zu bytes, at most %d are allowed",
                        mu, length, STORE_LABEL_BYTES);
            detail.limit = STORE_LABEL_BYTES;
            detail.actual = (double)length;
            if (error && error->status == HOP_OK)
                *error = detail;
            return HOP_E_LIMIT;
        }
        text_bytes += length + 1; /* cannot wrap: the labels are in memory */
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

/* Each step is a bijection of the state for a given word, and of the word for a given state. */
static uint64_t mix_word(uint64_t hash, uint64_t word)
{
    hash ^= word * UINT64_C(0xd6e8feb86659fd93);
    hash = (hash << 29) | (hash >> 35);
    return hash * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(0x632be59bd9b4e019);
}

static uint64_t mix_bytes(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    uint64_t word;
    hash = mix_word(hash, n);
    for (; n >= sizeof word; n -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        hash = mix_word(hash, word);
    }
    if (n) {
        word = 0;
        memcpy(&word, at, n);
        hash = mix_word(hash, word);
    }
    return hash;
}

static uint64_t content_hash(const store_set *set, hop_similarity similarity)
{
    const uint64_t shape[] = {set->M, set->d, set->values ? set->p : 0, (uint64_t)similarity,
                              (uint64_t)(int64_t)set->max_degree};
    uint64_t hash = mix_bytes(0, shape, sizeof shape);
    hash = mix_bytes(hash, &set->beta, sizeof set->beta);
    hash = mix_bytes(hash, &set->max_error, sizeof set->max_error);
    hash = mix_bytes(hash, set->memories, set->M * set->d * sizeof(float));
    if (set->values)
        hash = mix_bytes(hash, set->values, set->M * set->p * sizeof(float));
    if (set->label_text)
        hash = mix_bytes(hash, set->label_text, set->label_bytes - set->M * sizeof(size_t));
    if (set->ids) {
        hash = mix_bytes(hash, set->ids, set->M * sizeof *set->ids);
        hash = mix_word(hash, set->next_id);
    }
    hash ^= hash >> 32; /* the low bits have seen the fewest others */
    return mix_word(hash, 0);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Pack the model and settle the charge on what it really keeps. On failure *model stays NULL. */
static hop_status pack(store_builder *builder, const hop_executor *executor, hop_model **model, hop_error *error)
{
    const hop_source source = {
        .M = builder->M,
        .d = builder->d,
        .p = builder->p,
        .memories = builder->memories,
        .values = builder->values,
        .similarity = builder->similarity,
        .packing = builder->packing,
    };
    hop_model *packed = NULL;
    hop_status status = hop_model_new(&source, executor, &packed, error);
    if (status != HOP_OK)
        return status;
    size_t p = builder->p ? builder->p : builder->d;
    size_t estimate =
        hop_model_bytes_estimate(builder->M, builder->d, p, builder->p > 0, builder->similarity, builder->packing);
    size_t kept = hop_model_bytes(packed);
    if (kept > estimate) {
        status = store_budget_charge(builder->budget, kept - estimate, "this set", error);
        if (status != HOP_OK) {
            hop_model_free(packed);
            return status;
        }
        builder->charged_bytes += kept - estimate;
    } else {
        store_budget_release(builder->budget, estimate - kept);
        builder->charged_bytes -= estimate - kept;
    }
    *model = packed;
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
    store_set *set = calloc(1, sizeof *set);
    if (!set)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    status = pack(builder, executor, &set->model, error);
    if (status != HOP_OK) {
        free(set);
        return status;
    }

    atomic_init(&set->references, 1);
    atomic_init(&set->charged_bytes, builder->charged_bytes);
    atomic_init(&set->state, STORE_BUILDING);
    atomic_init(&set->progress.permille, 0);
    atomic_init(&set->progress.cancel, false);
    atomic_init(&set->phi_cache, NULL);
    atomic_init(&set->separation, NULL);
    set->budget = builder->budget;
    set->created_ms = now_ms();
    set->M = builder->M;
    set->d = builder->d;
    set->p = builder->p ? builder->p : builder->d;
    set->beta = options->beta > 0 ? options->beta : 1 / sqrt((double)builder->d);
    set->max_error = options->max_error >= 0 ? options->max_error : 1e-3 * hop_model_norms(set->model).value_range;
    set->max_degree = options->max_degree;
    set->memories = builder->memories;
    set->values = builder->values;
    set->label_text = builder->label_text;
    set->label_offset = builder->label_offset;
    set->label_bytes = builder->label_bytes;
    set->ids = builder->ids;
    set->next_id = builder->ids ? builder->next_id : builder->M;
    set->content_hash = content_hash(set, builder->similarity);
    store_regime_measure(set, STORE_BEFORE_MAPS);

    builder->memories = builder->values = NULL;
    builder->label_text = NULL;
    builder->label_offset = NULL;
    builder->ids = NULL;
    builder->charged_bytes = 0;
    builder->M = builder->capacity = builder->labels = builder->label_bytes = builder->id_bytes = 0;
    *out = set;
    return HOP_OK;
}
