/*
 * export.c - a header, and the set's own arrays behind it.
 */
#include "store/export.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/checksum.h"
#include "store/container.h"
#include "store/npy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { EXPORT_FORMAT = 1, STRETCHES_MAX = 6 };

/* Bytes that follow those of the stretch before. */
typedef struct stretch {
    const char *data;
    uint64_t bytes;
} stretch;

struct store_export {
    store_set *set; /* with a reference */
    store_export_form form;
    store_container container; /* safetensors */
    size_t n;
    stretch stretches[STRETCHES_MAX]; /* the first is the header */
    uint64_t bytes;
    char header[STORE_HEADER_MAX];
};

static void add(store_export *self, const void *data, uint64_t bytes)
{
    self->stretches[self->n++] = (stretch){data, bytes};
    self->bytes += bytes;
}

static hop_status lay_out_npy(store_export *self, hop_error *error)
{
    const store_set *set = self->set;
    size_t bytes;
    if (!hop_array_bytes(set->M, set->d, sizeof(float), &bytes))
        return hop_fail(error, HOP_E_SHAPE, "a file of these sizes would be too large");
    store_npy_header_write(self->header, set->M, set->d);
    add(self, self->header, STORE_NPY_WRITE_BYTES);
    add(self, set->memories, bytes);
    return HOP_OK;
}

/* Ids that nobody could tell from the number of rows. */
static bool own_ids(const store_set *set)
{
    return set->ids && (set->ids[set->M - 1] != set->M - 1 || set->next_id != set->M);
}

/* max_degree is there where it was chosen; what a set chooses for itself, another one does too. */
static hop_status lay_out_safetensors(store_export *self, hop_error *error)
{
    const store_set *set = self->set;
    store_container *container = &self->container;
    store_container_field(container, "writer", "hopfieldd");
    store_container_field(container, "kind", "export");
    store_container_field(container, "format", "%d", EXPORT_FORMAT);
    store_container_field(container, "similarity", "%s", hop_similarity_word(hop_model_similarity(set->model)));
    store_container_field(container, "beta", "%.17g", set->beta);
    store_container_field(container, "max_error", "%.17g", set->max_error);
    if (set->max_degree >= 0)
        store_container_field(container, "max_degree", "%d", set->max_degree);
    if (own_ids(set))
        store_container_field(container, "next_id", "%" PRIu64, set->next_id);
    const double *mean = hop_model_frames(set->model).mean; /* not always that of the rows: changes keep it */
    if (mean)
        store_container_tensor(container, "mean", STORE_F64, 1, set->d, 0, mean);
    if (own_ids(set))
        store_container_tensor(container, "ids", STORE_I64, 1, set->M, 0, set->ids);
    store_container_tensor(container, "memories", STORE_F32, 2, set->M, set->d, set->memories);
    if (set->values)
        store_container_tensor(container, "values", STORE_F32, 2, set->M, set->p, set->values);
    if (set->label_text)
        store_container_tensor(container, "labels", STORE_U8, 1, set->label_bytes - set->M * sizeof(size_t), 0,
                               set->label_text);
    hop_status status = store_container_lay_out(container, error);
    if (status != HOP_OK)
        return status;
    add(self, self->header, container->header_bytes);
    for (size_t i = 0; i < container->n_tensors; i++)
        add(self, container->tensors[i].data, container->tensors[i].bytes);
    return HOP_OK;
}

hop_status store_export_new(store_set *set, store_export_form form, store_export **out, hop_error *error)
{
    store_export *self = calloc(1, sizeof *self);
    if (!self)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    self->set = store_set_acquire(set);
    self->form = form;
    hop_status status = form == STORE_EXPORT_NPY ? lay_out_npy(self, error) : lay_out_safetensors(self, error);
    if (status != HOP_OK) {
        store_export_free(self);
        return status;
    }
    *out = self;
    return HOP_OK;
}

void store_export_free(store_export *self)
{
    if (!self)
        return;
    store_set_release(self->set);
    free(self);
}

uint64_t store_export_bytes(const store_export *self)
{
    return self->bytes;
}

bool store_export_needs_seal(const store_export *self)
{
    return self->form == STORE_EXPORT_SAFETENSORS;
}

void store_export_seal(store_export *self)
{
    store_container *container = &self->container;
    if (self->form != STORE_EXPORT_SAFETENSORS)
        return;
    for (size_t i = 0; i < container->n_tensors; i++)
        container->tensors[i].checksum = store_checksum(0, container->tensors[i].data, container->tensors[i].bytes);
    store_container_encode(container, self->header);
}

size_t store_export_read(const store_export *self, uint64_t at, char *out, size_t n)
{
    size_t done = 0;
    for (size_t i = 0; i < self->n && done < n; i++) {
        const stretch *from = &self->stretches[i];
        if (at >= from->bytes) {
            at -= from->bytes;
            continue;
        }
        size_t piece = from->bytes - at < n - done ? (size_t)(from->bytes - at) : n - done;
        memcpy(out + done, from->data + at, piece);
        done += piece;
        at = 0;
    }
    /* What was copied may be zeros in the place of a file that was cut off. */
    return store_set_intact(self->set) ? done : 0;
}
