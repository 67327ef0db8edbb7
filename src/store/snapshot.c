/*
 * snapshot.c - which strings and arrays a set is made of.
 */
#include "store/snapshot.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/container.h"
#include "store/fields.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Largest d and p that a set may have: what the model takes. */
enum { DIMENSION_MAX = 1 << 20 };

hop_status store_snapshot_write(const store_set *set, int file, hop_error *error)
{
    store_container container = {0};
    store_fields_identity(&container, "set", STORE_SNAPSHOT_FORMAT, set);
    store_container_field(&container, "created_ms", "%" PRId64, set->created_ms);
    store_container_field(&container, "similarity", "%s", hop_similarity_word(hop_model_similarity(set->model)));
    store_container_field(&container, "beta", "%.17g", set->beta);
    store_container_field(&container, "max_error", "%.17g", set->max_error);
    store_container_field(&container, "max_degree", "%d", set->max_degree);
    store_container_tensor(&container, "memories", STORE_F32, 2, set->M, set->d, set->memories);
    if (set->values)
        store_container_tensor(&container, "values", STORE_F32, 2, set->M, set->p, set->values);
    if (set->label_text)
        store_container_tensor(&container, "labels", STORE_U8, 1, set->label_bytes - set->M * sizeof(size_t), 0,
                               set->label_text);
    return store_container_write(&container, file, error);
}

/* What the header says, typed and within bounds. */
typedef struct described {
    const store_tensor *memories, *values, *labels;
    size_t M, d, p; /* p = 0: no values */
    hop_similarity similarity;
    int64_t created_ms;
    store_options options;
} described;

static bool describe(const store_container *container, described *out)
{
    const char *similarity = store_container_find(container, "similarity");
    int64_t max_degree;
    *out = (described){
        .memories = store_container_find_tensor(container, "memories"),
        .values = store_container_find_tensor(container, "values"),
        .labels = store_container_find_tensor(container, "labels"),
    };
    size_t tensors = (size_t)1 + (out->values != NULL) + (out->labels != NULL);
    if (!out->memories || container->n_tensors != tensors || !similarity ||
        hop_similarity_parse(similarity, &out->similarity, NULL) != HOP_OK ||
        !store_fields_integer(container, "created_ms", 0, INT64_MAX, &out->created_ms) ||
        !store_fields_integer(container, "max_degree", -1, 1000, &max_degree) ||
        !store_fields_real(container, "beta", &out->options.beta) ||
        !store_fields_real(container, "max_error", &out->options.max_error))
        return false;
    out->options.max_degree = (int)max_degree;
    out->M = out->memories->shape[0];
    out->d = out->memories->shape[1];
    out->p = out->values ? out->values->shape[1] : 0;
    return out->memories->dtype == STORE_F32 && out->memories->rank == 2 && out->M > 0 && out->d > 0 &&
           out->d <= DIMENSION_MAX && out->options.beta > 0 && out->options.max_error >= 0 &&
           (!out->values || (out->values->dtype == STORE_F32 && out->values->rank == 2 &&
                             out->values->shape[0] == out->M && out->p > 0 && out->p <= DIMENSION_MAX)) &&
           (!out->labels || (out->labels->dtype == STORE_U8 && out->labels->rank == 1 &&
                             out->labels->bytes >= out->M)); /* an empty label has its NUL */
}

/* Labels as they lie in the file: each with its NUL. */
static hop_status name_rows(store_builder *builder, const char *text, size_t bytes, size_t M, const char **labels,
                            hop_error *error)
{
    const char *at = text, *end = text + bytes;
    size_t n = 0;
    while (at < end && n < M) {
        const char *nul = memchr(at, '\0', (size_t)(end - at));
        if (!nul)
            break;
        labels[n++] = at;
        at = nul + 1;
    }
    if (at != end || n != M)
        return hop_fail(error, HOP_E_FORMAT, "its labels are not one a memory");
    return store_builder_label(builder, M, labels, error);
}

static hop_status read_labels(store_builder *builder, int file, const described *file_says,
                              const store_loading *loading, hop_error *error)
{
    const store_tensor *tensor = file_says->labels;
    size_t pointers, bytes;
    if (!hop_mul_size(file_says->M, sizeof(char *), &pointers) || !hop_add_size(pointers, tensor->bytes, &bytes))
        return hop_fail(error, HOP_E_FORMAT, "it has more labels than this machine can address");
    hop_status status = store_budget_charge(loading->budget, bytes, "reading the labels of this set", error);
    if (status != HOP_OK)
        return status;
    const char **labels = malloc(pointers);
    char *text = malloc(tensor->bytes);
    if (labels && text)
        status = store_container_read_tensor(file, tensor, loading->executor, loading->cancel, text, error);
    else
        status = hop_fail(error, HOP_E_NOMEM, "out of memory for %zu labels", file_says->M);
    if (status == HOP_OK)
        status = name_rows(builder, text, tensor->bytes, file_says->M, labels, error);
    free(labels);
    free(text);
    store_budget_release(loading->budget, bytes);
    return status;
}

static hop_status read_rows(store_builder *builder, int file, const described *file_says, const store_loading *loading,
                            hop_error *error)
{
    float *memories, *values;
    hop_status status = store_builder_claim(builder, file_says->M, &memories, &values, error);
    if (status == HOP_OK)
        status =
            store_container_read_tensor(file, file_says->memories, loading->executor, loading->cancel, memories, error);
    if (status == HOP_OK && values)
        status =
            store_container_read_tensor(file, file_says->values, loading->executor, loading->cancel, values, error);
    return status;
}

static hop_status build(int file, const described *file_says, const store_loading *loading, store_set **out,
                        hop_error *error)
{
    store_builder *builder = NULL;
    hop_status status =
        store_builder_new(loading->budget, 0, file_says->d, file_says->p, file_says->similarity, &builder, error);
    if (status == HOP_OK) {
        store_builder_set_packing(builder, loading->packing);
        status = read_rows(builder, file, file_says, loading, error);
    }
    if (status == HOP_OK && file_says->labels)
        status = read_labels(builder, file, file_says, loading, error);
    if (status == HOP_OK)
        status = store_builder_finish(builder, &file_says->options, loading->executor, out, error);
    store_builder_free(builder);
    return status;
}

hop_status store_snapshot_read(int file, const char *name, uint64_t version, const store_loading *loading,
                               store_set **out, hop_error *error)
{
    store_container container;
    described file_says;
    uint64_t content_hash;
    store_set *set = NULL;
    hop_status status = store_container_read(file, &container, error);
    if (status == HOP_OK)
        status = store_fields_check(&container, "set", STORE_SNAPSHOT_FORMAT, name, version, &content_hash, error);
    if (status == HOP_OK && !describe(&container, &file_says))
        status = hop_fail(error, HOP_E_FORMAT, "what its header says of the set is not consistent");
    if (status == HOP_OK)
        status = build(file, &file_says, loading, &set, error);
    if (status != HOP_OK)
        return status;
    if (set->content_hash != content_hash) {
        store_set_release(set);
        return hop_fail(error, HOP_E_FORMAT, "its content is not what its etag stands for");
    }
    set->created_ms = file_says.created_ms;
    store_set_name(set, name, version);
    *out = set;
    return HOP_OK;
}
