/*
 * maps_file.c - see maps_file.h. What maps consist of is core/moments_parts.h's.
 */
#include "store/maps_file.h"

#include "core/moments_parts.h"
#include "core/status.h"
#include "store/fields.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char kind[] = "feature_maps";

hop_status store_maps_write(const store_set *set, int file, hop_error *error)
{
    const hop_features *features = hop_model_features(set->model);
    hop_parts parts;
    store_container container = {0};
    store_fields_identity(&container, kind, HOP_PARTS_FORMAT, set);
    store_container_field(&container, "degree", "%u", hop_features_max_degree(features));
    hop_features_parts(features, set->model, &parts);
    for (size_t i = 0; i < parts.n; i++)
        store_container_tensor(&container, parts.part[i].name, STORE_F64, 2, parts.part[i].rows, parts.part[i].columns,
                               parts.part[i].numbers);
    return store_container_write(&container, file, error);
}

/* The frame that the maps were made in is the model's, to the bit. */
static hop_status compare_frame(int file, const store_tensor *tensor, const hop_part *part, hop_error *error)
{
    double *numbers = malloc(tensor->bytes);
    if (!numbers)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    hop_status status = store_container_read_tensor(file, tensor, NULL, NULL, numbers, error);
    if (status == HOP_OK && memcmp(numbers, part->numbers, tensor->bytes) != 0)
        status = hop_fail(error, HOP_E_FORMAT, "they were made in another frame than this version's");
    free(numbers);
    return status;
}

static hop_status read_parts(int file, const store_container *container, const hop_parts *parts,
                             const hop_executor *executor, const atomic_bool *cancel, hop_error *error)
{
    if (container->n_tensors != parts->n)
        return hop_fail(error, HOP_E_FORMAT, "they are not of this set's shape");
    hop_status status = HOP_OK;
    for (size_t i = 0; i < parts->n && status == HOP_OK; i++) {
        const hop_part *part = &parts->part[i];
        const store_tensor *tensor = store_container_find_tensor(container, part->name);
        if (!tensor || tensor->dtype != STORE_F64 || tensor->rank != 2 || tensor->shape[0] != part->rows ||
            tensor->shape[1] != part->columns)
            return hop_fail(error, HOP_E_FORMAT, "they are not of this set's shape");
        status = part->frame ? compare_frame(file, tensor, part, error)
                             : store_container_read_tensor(file, tensor, executor, cancel, part->numbers, error);
    }
    return status;
}

static hop_status check_degree(const store_set *set, int64_t degree, size_t bytes_most, hop_error *error)
{
    if (set->max_degree >= 0 && degree != set->max_degree)
        return hop_fail(error, HOP_E_LIMIT, "they are of degree %" PRId64 ", and the set wants %d", degree,
                        set->max_degree);
    if (set->max_degree < 0 && hop_features_bytes_estimate(set->model, (unsigned)degree) > bytes_most)
        return hop_fail(error, HOP_E_LIMIT, "they are larger than maps may be");
    return HOP_OK;
}

hop_status store_maps_read(store_set *set, int file, size_t bytes_most, const hop_executor *executor,
                           const atomic_bool *cancel, hop_error *error)
{
    store_container container;
    int64_t degree = 0;
    store_identity identity = {.kind = kind,
                               .oldest = HOP_PARTS_FORMAT,
                               .newest = HOP_PARTS_FORMAT,
                               .name = set->name,
                               .version = set->version};
    hop_status status = store_container_read(file, &container, error);
    if (status == HOP_OK)
        status = store_fields_check(&container, &identity, error);
    if (status == HOP_OK && identity.content_hash != set->content_hash)
        status = hop_fail(error, HOP_E_FORMAT, "they are of a set of other content");
    if (status == HOP_OK && !store_fields_integer(&container, "degree", 1, HOP_PLAN_DEGREE_MAX, &degree))
        status = hop_fail(error, HOP_E_FORMAT, "they have no degree");
    if (status == HOP_OK)
        status = check_degree(set, degree, bytes_most, error);
    size_t charged = status == HOP_OK ? hop_features_bytes_estimate(set->model, (unsigned)degree) : 0;
    if (charged == SIZE_MAX)
        status = hop_fail(error, HOP_E_LIMIT, "they are larger than this machine can address");
    if (status == HOP_OK)
        status = store_budget_charge(set->budget, charged, "the feature maps", error);
    if (status != HOP_OK)
        return status;

    hop_features *features = NULL;
    hop_parts parts;
    status = hop_features_blank(set->model, (unsigned)degree, &features, &parts, error);
    if (status == HOP_OK)
        status = read_parts(file, &container, &parts, executor, cancel, error);
    if (status == HOP_OK)
        status = hop_features_complete(features, &parts, error);
    if (status != HOP_OK) {
        hop_features_free(features);
        store_budget_release(set->budget, charged);
        return status;
    }
    store_set_adopt(set, features, charged);
    return HOP_OK;
}
