/*
 * snapshot.c - which strings and arrays a set is made of.
 */
#include "store/snapshot.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/fields.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Largest d and p that a set may have: what the model takes. */
enum { DIMENSION_MAX = 1 << 20 };

/* Parts of the frame that the model was made in. */
enum { KEY_CENTRE, KEY_SCALE, VALUE_CENTRE, VALUE_SCALE, MEAN, FRAME_PARTS };
static const char *const frame_names[FRAME_PARTS] = {"key_centre", "key_scale", "value_centre", "value_scale", "mean"};

/* How many numbers a part has in a set of these sizes; 0: it has none. */
static size_t frame_numbers(int part, size_t d, size_t p, hop_similarity similarity)
{
    return part == VALUE_CENTRE || part == VALUE_SCALE ? p : part == MEAN && similarity != HOP_CENTERED_COSINE ? 0 : d;
}

static void add_frame(store_container *container, const store_set *set)
{
    const hop_frames frames = hop_model_frames(set->model);
    const double *const parts[FRAME_PARTS] = {frames.key_centre, frames.key_scale, frames.value_centre,
                                              frames.value_scale, frames.mean};
    for (int part = 0; part < FRAME_PARTS; part++) {
        size_t n = frame_numbers(part, set->d, set->values ? set->p : 0, hop_model_similarity(set->model));
        if (n > 0)
            store_container_tensor(container, frame_names[part], STORE_F64, 2, 1, n, parts[part]);
    }
}

hop_status store_snapshot_write(const store_set *set, int file, hop_error *error)
{
    store_container container = {0};
    store_fields_identity(&container, "set", STORE_SNAPSHOT_FORMAT, set);
    store_container_field(&container, "created_ms", "%" PRId64, set->created_ms);
    store_container_field(&container, "similarity", "%s", hop_similarity_word(hop_model_similarity(set->model)));
    store_container_field(&container, "beta", "%.17g", set->beta);
    store_container_field(&container, "max_error", "%.17g", set->max_error);
    store_container_field(&container, "max_degree", "%d", set->max_degree);
    store_container_field(&container, "next_id", "%" PRIu64, set->next_id);
    add_frame(&container, set);
    if (set->ids)
        store_container_tensor(&container, "ids", STORE_I64, 1, set->M, 0, set->ids);
    store_container_tensor(&container, "memories", STORE_F32, 2, set->M, set->d, set->memories);
    if (set->values)
        store_container_tensor(&container, "values", STORE_F32, 2, set->M, set->p, set->values);
    if (set->label_text)
        store_container_tensor(&container, "labels", STORE_U8, 1, set->label_bytes - set->M * sizeof(size_t), 0,
                               set->label_text);
    return store_container_write(&container, file, error);
}

static bool is_shape(const store_tensor *tensor, store_dtype dtype, unsigned rank, size_t rows, size_t columns)
{
    return tensor->dtype == dtype && tensor->rank == rank && tensor->shape[0] == rows && tensor->shape[1] == columns;
}

/* The tensors, of which nothing but what is known here may be there. */
static bool describe_tensors(store_snapshot *out)
{
    const store_tensor *memories = store_container_find_tensor(&out->container, "memories");
    const store_tensor *values = store_container_find_tensor(&out->container, "values");
    const store_tensor *labels = store_container_find_tensor(&out->container, "labels");
    const store_tensor *ids = out->format > 1 ? store_container_find_tensor(&out->container, "ids") : NULL;
    if (!memories)
        return false;
    out->M = memories->shape[0];
    out->d = memories->shape[1];
    out->p = values ? values->shape[1] : 0;
    if (!is_shape(memories, STORE_F32, 2, out->M, out->d) || out->M == 0 || out->d == 0 || out->d > DIMENSION_MAX ||
        (values && (!is_shape(values, STORE_F32, 2, out->M, out->p) || out->p == 0 || out->p > DIMENSION_MAX)) ||
        (labels && (labels->dtype != STORE_U8 || labels->rank != 1 || labels->bytes < out->M))) /* each has its NUL */
        return false;
    size_t known = (size_t)1 + (values != NULL) + (labels != NULL);
    if (out->format > 1) {
        if (ids && !is_shape(ids, STORE_I64, 1, out->M, 1))
            return false;
        known += ids != NULL;
        for (int part = 0; part < FRAME_PARTS; part++) {
            const store_tensor *tensor = store_container_find_tensor(&out->container, frame_names[part]);
            size_t n = frame_numbers(part, out->d, out->p, out->similarity);
            if ((n > 0) != (tensor != NULL) || (tensor && !is_shape(tensor, STORE_F64, 2, 1, n)))
                return false;
            known += tensor != NULL;
        }
    }
    if (out->format == 1)
        out->next_id = out->M;
    return out->container.n_tensors == known && out->next_id >= out->M && (ids || out->next_id == out->M);
}

static bool describe(store_snapshot *out)
{
    const store_container *container = &out->container;
    const char *similarity = store_container_find(container, "similarity");
    int64_t max_degree, next_id = 0;
    if (!similarity || hop_similarity_parse(similarity, &out->similarity, NULL) != HOP_OK ||
        !store_fields_integer(container, "created_ms", 0, INT64_MAX, &out->created_ms) ||
        !store_fields_integer(container, "max_degree", -1, 1000, &max_degree) ||
        (out->format > 1 && !store_fields_integer(container, "next_id", 1, INT64_MAX, &next_id)) ||
        !store_fields_real(container, "beta", &out->options.beta) ||
        !store_fields_real(container, "max_error", &out->options.max_error) || out->options.beta <= 0 ||
        out->options.max_error < 0)
        return false;
    out->options.max_degree = (int)max_degree;
    out->next_id = (uint64_t)next_id;
    return describe_tensors(out);
}

hop_status store_snapshot_open(int file, const char *name, uint64_t version, store_snapshot *out, hop_error *error)
{
    store_identity identity = {.kind = "set",
                               .oldest = STORE_SNAPSHOT_FORMAT_OLDEST,
                               .newest = STORE_SNAPSHOT_FORMAT,
                               .name = name,
                               .version = version};
    hop_status status = store_container_read(file, &out->container, error);
    if (status == HOP_OK)
        status = store_fields_check(&out->container, &identity, error);
    if (status != HOP_OK)
        return status;
    out->format = identity.format;
    out->version = version;
    out->content_hash = identity.content_hash;
    return describe(out) ? HOP_OK : hop_fail(error, HOP_E_FORMAT, "what its header says of the set is not consistent");
}

size_t store_snapshot_frames_bytes(const store_snapshot *snapshot)
{
    size_t n = 0; /* no part has more than DIMENSION_MAX */
    for (int part = 0; part < FRAME_PARTS && snapshot->format > 1; part++)
        n += frame_numbers(part, snapshot->d, snapshot->p, snapshot->similarity);
    return n * sizeof(double);
}

hop_status store_snapshot_read_frames(int file, const store_snapshot *snapshot, hop_frames *out, double **block,
                                      hop_error *error)
{
    *out = (hop_frames){0};
    *block = NULL;
    size_t bytes = store_snapshot_frames_bytes(snapshot);
    if (bytes == 0)
        return HOP_OK;
    double *at = malloc(bytes);
    const double *parts[FRAME_PARTS] = {NULL};
    if (!at)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    *block = at;
    for (int part = 0; part < FRAME_PARTS; part++) {
        size_t n = frame_numbers(part, snapshot->d, snapshot->p, snapshot->similarity);
        if (n == 0)
            continue;
        const store_tensor *tensor = store_container_find_tensor(&snapshot->container, frame_names[part]);
        hop_status status = store_container_read_tensor(file, tensor, NULL, NULL, at, error);
        if (status != HOP_OK)
            return status;
        parts[part] = at;
        at += n;
    }
    *out = (hop_frames){.key_centre = parts[KEY_CENTRE],
                        .key_scale = parts[KEY_SCALE],
                        .value_centre = parts[VALUE_CENTRE],
                        .value_scale = parts[VALUE_SCALE],
                        .mean = parts[MEAN]};
    return HOP_OK;
}
