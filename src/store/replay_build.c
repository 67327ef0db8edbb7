/*
 * replay_build.c - a set from a snapshot and what its log comes to: rows to their places, then the builder.
 */
#include "store/replay_state.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/checksum.h"
#include "store/system.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 256 << 10 };

static hop_status no_memory(hop_error *error)
{
    return hop_fail(error, HOP_E_NOMEM, "out of memory for the rows of a set");
}

static size_t rows_bytes(const store_snapshot *says)
{
    return says->M * (says->d + says->p) * sizeof(float); /* they are in the file */
}

/* ---- making the set ------------------------------------------------------------------------------------ */

/* Rows as they lie in a file: those from a place on that are not gone go to `out`. */
typedef struct rows_in_file {
    int file;
    uint64_t at;
    size_t n, row_bytes, place;
    uint32_t checksum;
    const char *what;
} rows_in_file;

static hop_status damaged(const rows_in_file *rows, hop_error *error)
{
    return hop_fail(error, HOP_E_FORMAT, "its %s are damaged: the checksum differs", rows->what);
}

/* Through a buffer, which all bytes pass for their checksum. */
static hop_status read_kept_rows(const store_replay *self, const rows_in_file *rows, char *out, hop_error *error)
{
    size_t each = rows->row_bytes < PIECE_BYTES ? PIECE_BYTES / rows->row_bytes : 1;
    char *piece = malloc(each * rows->row_bytes);
    if (!piece)
        return no_memory(error);
    hop_status status = HOP_OK;
    uint32_t checksum = 0;
    for (size_t done = 0; done < rows->n && status == HOP_OK; done += each) {
        size_t n = rows->n - done < each ? rows->n - done : each, bytes = n * rows->row_bytes;
        if (self->loading->cancel && atomic_load_explicit(self->loading->cancel, memory_order_relaxed))
            status = hop_fail(error, HOP_E_CANCELLED, "loading was cancelled");
        else if (!store_system_read(rows->file, piece, bytes, rows->at + done * rows->row_bytes))
            status = errno == ENODATA ? hop_fail(error, HOP_E_FORMAT, "it became shorter while it was read")
                                      : hop_fail(error, HOP_E_IO, "cannot read: %s", strerror(errno));
        if (status != HOP_OK)
            break;
        checksum = store_checksum(checksum, piece, bytes);
        for (size_t i = 0; i < n; i++)
            if (!store_replay_gone(self, rows->place + done + i)) {
                memcpy(out, piece + i * rows->row_bytes, rows->row_bytes);
                out += rows->row_bytes;
            }
    }
    free(piece);
    return status == HOP_OK && checksum != rows->checksum ? damaged(rows, error) : status;
}

static size_t kept_among(const store_replay *self, size_t place, size_t n)
{
    size_t kept = n;
    for (size_t i = 0; i < n && self->gone; i++)
        kept -= self->gone[place + i];
    return kept;
}

/* Memories, or values: the snapshot's, then those of each append. */
static hop_status read_rows(store_replay *self, const char *name, store_log_part part, size_t columns, float *out,
                            hop_error *error)
{
    const store_tensor *tensor = store_container_find_tensor(&self->says.container, name);
    size_t row_bytes = columns * sizeof(float), place = self->says.M, kept = kept_among(self, 0, place);
    hop_status status;
    if (kept == place) {
        status = store_container_read_tensor(self->snapshot, tensor, self->loading->executor, self->loading->cancel,
                                             out, error);
    } else {
        const rows_in_file rows = {self->snapshot, tensor->at, place, row_bytes, 0, tensor->checksum, tensor->name};
        status = read_kept_rows(self, &rows, (char *)out, error);
    }
    out += kept * columns;
    for (size_t i = 0; i < self->n_appends && status == HOP_OK; i++) {
        const store_log_record *record = &self->appends[i];
        size_t n = (size_t)record->n;
        kept = kept_among(self, place, n);
        if (kept == n) {
            status = store_log_read_part(self->log, record, part, out, error);
        } else if (kept > 0) {
            const rows_in_file rows = {self->log, record->at[part], n, row_bytes, place, record->checksum[part], name};
            status = read_kept_rows(self, &rows, (char *)out, error);
        }
        out += kept * columns;
        place += n;
    }
    return status;
}

static hop_status give_rows(store_replay *self, store_builder *builder, size_t M, hop_error *error)
{
    float *memories, *values;
    hop_status status = store_builder_claim(builder, M, &memories, &values, error);
    if (status == HOP_OK)
        status = read_rows(self, "memories", STORE_LOG_ROWS, self->says.d, memories, error);
    if (status == HOP_OK && values)
        status = read_rows(self, "values", STORE_LOG_VALUES, self->says.p, values, error);
    return status;
}

static hop_status give_ids(store_replay *self, store_builder *builder, size_t M, hop_error *error)
{
    uint64_t *ids = NULL;
    size_t room = 0, n = 0;
    if (self->next_id == M) /* every id there ever was is still one of these rows': their numbers */
        return HOP_OK;
    hop_status status = store_replay_grow(self, (void **)&ids, &room, M, sizeof *ids, error);
    if (status != HOP_OK)
        return status;
    for (size_t place = 0; place < self->places; place++)
        if (!store_replay_gone(self, place))
            ids[n++] = place >= self->says.M ? self->says.next_id + (place - self->says.M)
                       : self->base_ids      ? self->base_ids[place]
                                             : place;
    status = store_builder_set_ids(builder, M, ids, self->next_id, error);
    free(ids);
    return status;
}

static hop_status give_labels(store_replay *self, store_builder *builder, size_t M, hop_error *error)
{
    if (!self->labelled)
        return HOP_OK;
    hop_status status = store_replay_room_for_labels(self, error);
    size_t n = 0;
    for (size_t place = 0; place < self->places && status == HOP_OK; place++)
        if (!store_replay_gone(self, place))
            self->label[n++] = self->label[place] ? self->label[place] : ""; /* n is not above place */
    return status == HOP_OK ? store_builder_label(builder, M, self->label, error) : status;
}

static hop_status check_content(const store_replay *self, store_set *set, hop_error *error)
{
    if (set->content_hash == self->content_hash)
        return HOP_OK;
    /* A snapshot of the first format keeps the hash that it was written with. */
    if (self->says.format > 1 || self->version != self->says.version || store_set_hash_1(set) != self->content_hash)
        return hop_fail(error, HOP_E_FORMAT, "its content is not what its etag stands for");
    set->content_hash = self->content_hash;
    return HOP_OK;
}

/* A mapping of the snapshot. NULL and HOP_OK: it is not to be, or cannot be, and rows are read. */
static hop_status map_file(const store_replay *self, store_mapping **out, hop_error *error)
{
    const store_loading *loading = self->loading;
    char what[STORE_NAME_BYTES + sizeof "set ''"];
    hop_error reason = HOP_ERROR_NONE;
    *out = NULL;
    if (!loading->map_from_bytes || rows_bytes(&self->says) < loading->map_from_bytes ||
        store_replay_touches_rows(self))
        return HOP_OK;
    snprintf(what, sizeof what, "set '%s'", self->name);
    hop_status status =
        store_mapping_new(self->snapshot, self->says.container.file_bytes, what, loading->listener, out, &reason);
    if (status == HOP_E_NOMEM)
        return hop_fail(error, status, "%s", reason.text);
    if (status != HOP_OK && loading->listener.say) {
        char text[2 * HOP_ERROR_TEXT_BYTES];
        snprintf(text, sizeof text, "%s is read, not mapped: %s", what, reason.text);
        loading->listener.say(loading->listener.context, false, text);
    }
    return HOP_OK;
}

static const float *mapped_rows(const store_mapping *mapping, const store_tensor *tensor)
{
    return tensor ? (const float *)(const void *)(store_mapping_bytes(mapping) + tensor->at) : NULL;
}

/* The mapping is the builder's, or given back. */
static hop_status borrow_rows(const store_replay *self, store_builder *builder, store_mapping *mapping,
                              hop_error *error)
{
    const store_loading *loading = self->loading;
    const store_tensor *memories = store_container_find_tensor(&self->says.container, "memories");
    const store_tensor *values = store_container_find_tensor(&self->says.container, "values");
    hop_status status = store_container_check_tensor(mapping, memories, loading->executor, loading->cancel, error);
    if (status == HOP_OK && values)
        status = store_container_check_tensor(mapping, values, loading->executor, loading->cancel, error);
    if (status == HOP_OK)
        status = store_builder_borrow(builder, self->says.M, mapped_rows(mapping, memories),
                                      mapped_rows(mapping, values), mapping, error);
    if (status != HOP_OK)
        store_mapping_free(mapping);
    return status;
}

static hop_status fill(store_replay *self, store_builder *builder, hop_error *error)
{
    size_t M = self->places - self->gone_rows;
    store_mapping *mapping;
    hop_status status = map_file(self, &mapping, error);
    if (status == HOP_OK) {
        store_builder_set_packing(builder, self->loading->packing);
        status = mapping ? borrow_rows(self, builder, mapping, error) : give_rows(self, builder, M, error);
    }
    if (status == HOP_OK)
        status = give_ids(self, builder, M, error);
    if (status == HOP_OK)
        status = give_labels(self, builder, M, error);
    return status;
}

hop_status store_replay_build(store_replay *replay, store_set **out, hop_error *error)
{
    const store_loading *loading = replay->loading;
    const store_snapshot *says = &replay->says;
    store_builder *builder = NULL;
    store_set *set = NULL;
    hop_frames frames;
    double *block = NULL;
    hop_status status = store_replay_charge(replay, store_snapshot_frames_bytes(says), error);
    if (status == HOP_OK)
        status = store_snapshot_read_frames(replay->snapshot, says, &frames, &block, error);
    if (status == HOP_OK)
        status = store_builder_new(loading->budget, 0, says->d, says->p, says->similarity, &builder, error);
    if (status == HOP_OK) {
        store_builder_set_frames(builder, &frames);
        status = fill(replay, builder, error);
    }
    if (status == HOP_OK)
        status = store_builder_finish(builder, &replay->options, loading->executor, &set, error);
    store_builder_free(builder);
    free(block);
    if (status == HOP_OK && !store_set_intact(set)) /* nor are its measures then */
        status = hop_fail(error, HOP_E_FORMAT, "it was changed while it was read");
    if (status == HOP_OK)
        status = check_content(replay, set, error);
    if (status != HOP_OK) {
        store_set_release(set);
        return status;
    }
    set->created_ms = says->created_ms;
    store_set_name(set, replay->name, replay->version);
    *out = set;
    return HOP_OK;
}

/* ---- what it will cost --------------------------------------------------------------------------------- */

/* *total += n elements; false where that wraps. */
static bool add(size_t *total, uint64_t n, size_t element)
{
    size_t bytes;
    return n <= SIZE_MAX && hop_mul_size((size_t)n, element, &bytes) && hop_add_size(*total, bytes, total);
}

hop_status store_replay_cost(int snapshot, int log, const char *name, uint64_t version, hop_packing packing,
                             store_cost *out, hop_error *error)
{
    store_snapshot says;
    hop_status status = store_snapshot_open(snapshot, name, version, &says, error);
    if (status != HOP_OK)
        return status;
    const store_log_base base = store_replay_base_of(&says, name);
    store_log_tail tail;
    if (log < 0 || store_log_end(log, &base, &tail, NULL) != HOP_OK)
        tail = store_log_tail_of(&base);
    /* Ids, labels and where each begins; and all of them once more while they are read. */
    size_t beside = 0, M = (size_t)tail.M;
    bool fits =
        tail.M <= SIZE_MAX && (tail.next_id == tail.M || add(&beside, tail.M, 2 * sizeof(uint64_t))) &&
        (tail.label_bytes == 0 || (add(&beside, tail.M, 2 * sizeof(char *)) && add(&beside, tail.label_bytes, 2)));
    if (fits) {
        out->private_bytes = store_builder_bytes(M, says.d, says.p, says.similarity, packing, true);
        out->mapped_bytes = store_builder_bytes(M, says.d, says.p, says.similarity, HOP_PACK_NONE, false);
        out->rows_bytes = M * (says.d + says.p) * sizeof(float); /* no more than private_bytes, which did not wrap */
    }
    if (!fits || !out->private_bytes || !out->mapped_bytes || !add(&out->private_bytes, beside, 1) ||
        !add(&out->mapped_bytes, beside, 1))
        return hop_fail(error, HOP_E_FORMAT, "it is larger than this machine can address");
    return HOP_OK;
}
