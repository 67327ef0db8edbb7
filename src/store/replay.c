/*
 * replay.c - see replay.h. Every row there ever was since the snapshot has a place: first the snapshot's, then those
 * appended, in order. Ids of appended rows follow one another, so that a row's place follows from its id.
 */
#include "store/replay.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/checksum.h"
#include "store/system.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 256 << 10 };

struct store_replay {
    int snapshot, log; /* files */
    char name[STORE_NAME_BYTES];
    const store_loading *loading;
    store_snapshot says;
    store_log_base base;
    store_log_reader reader;
    bool has_log;
    size_t charged_bytes; /* for what is here */

    size_t places, gone_rows; /* rows there ever were, and how many of them are not any more */
    bool *gone;               /* places; NULL: none is */
    size_t gone_room;
    uint64_t *base_ids; /* of the snapshot's rows; NULL: their numbers */
    store_log_record *appends;
    size_t n_appends, appends_room;
    bool labelled;
    const char **label; /* places; NULL where the label is empty */
    size_t label_room;
    char **texts; /* that labels point into */
    size_t n_texts;

    uint64_t version, content_hash, next_id; /* after the last record */
    store_options options;
};

/* ---- memory -------------------------------------------------------------------------------------------- */

/* Room for bytes, charged; for good measure every block of a replay stays until its end. */
static hop_status charge(store_replay *self, size_t bytes, hop_error *error)
{
    hop_status status = store_budget_charge(self->loading->budget, bytes, "reading the changes of this set", error);
    if (status == HOP_OK)
        self->charged_bytes += bytes;
    return status;
}

static hop_status no_memory(hop_error *error)
{
    return hop_fail(error, HOP_E_NOMEM, "out of memory for the changes of a set");
}

/* An array of `room` elements grows to at least n, charged. */
static hop_status grow(store_replay *self, void **array, size_t *room, size_t n, size_t element, hop_error *error)
{
    if (n <= *room)
        return HOP_OK;
    size_t more = *room + *room / 2 > n ? *room + *room / 2 : n, bytes, before;
    if (!hop_mul_size(more, element, &bytes) || !hop_mul_size(*room, element, &before))
        return hop_fail(error, HOP_E_SHAPE, "more changes than this machine can address");
    hop_status status = charge(self, bytes - before, error);
    if (status != HOP_OK)
        return status;
    void *moved = realloc(*array, bytes);
    if (!moved)
        return no_memory(error);
    *array = moved;
    *room = more;
    return HOP_OK;
}

/* A text that lives as long as the replay. */
static hop_status new_text(store_replay *self, uint64_t bytes, char **out, hop_error *error)
{
    if (bytes > SIZE_MAX - sizeof(char *))
        return hop_fail(error, HOP_E_SHAPE, "more labels than this machine can address");
    hop_status status = charge(self, (size_t)bytes + sizeof(char *), error);
    if (status != HOP_OK)
        return status;
    char **moved = realloc(self->texts, (self->n_texts + 1) * sizeof *moved);
    if (moved)
        self->texts = moved;
    *out = moved ? malloc((size_t)bytes) : NULL;
    if (!*out)
        return no_memory(error);
    self->texts[self->n_texts++] = *out;
    return HOP_OK;
}

/* ---- what changes come to ------------------------------------------------------------------------------ */

static bool is_gone(const store_replay *self, size_t place)
{
    return self->gone && self->gone[place];
}

/* Labels in a text, each with its NUL, to the rows there are from a place on. False: they are not one a row. */
static bool spread_labels(store_replay *self, size_t place, const char *text, size_t bytes)
{
    const char *at = text, *end = text + bytes;
    for (; place < self->places; place++) {
        if (is_gone(self, place))
            continue;
        const char *nul = at < end ? memchr(at, '\0', (size_t)(end - at)) : NULL;
        if (!nul || nul - at > STORE_LABEL_BYTES)
            return false;
        self->label[place] = at;
        at = nul + 1;
    }
    return at == end;
}

static hop_status room_for_labels(store_replay *self, hop_error *error)
{
    size_t before = self->label_room;
    hop_status status = grow(self, (void **)&self->label, &self->label_room, self->places, sizeof *self->label, error);
    for (size_t i = before; i < self->label_room && status == HOP_OK; i++)
        self->label[i] = NULL;
    return status;
}

static hop_status apply_labels(store_replay *self, const store_log_record *record, size_t place, hop_error *error)
{
    char *text = NULL;
    hop_status status = room_for_labels(self, error);
    if (status == HOP_OK)
        status = new_text(self, record->bytes[STORE_LOG_LABELS], &text, error);
    if (status == HOP_OK)
        status = store_log_read_part(self->log, record, STORE_LOG_LABELS, text, error);
    if (status == HOP_OK && !spread_labels(self, place, text, record->bytes[STORE_LOG_LABELS]))
        status = hop_fail(error, HOP_E_FORMAT, "the labels of its version %" PRIu64 " are not one a memory",
                          record->version);
    self->labelled = self->labelled || status == HOP_OK;
    return status;
}

static hop_status apply_append(store_replay *self, const store_log_record *record, hop_error *error)
{
    size_t first = self->places, places;
    if (!hop_add_size(first, record->n, &places))
        return hop_fail(error, HOP_E_SHAPE, "more memories than this machine can address");
    hop_status status =
        grow(self, (void **)&self->appends, &self->appends_room, self->n_appends + 1, sizeof *self->appends, error);
    if (status == HOP_OK && self->gone) {
        status = grow(self, (void **)&self->gone, &self->gone_room, places, sizeof *self->gone, error);
        if (status == HOP_OK)
            memset(self->gone + first, 0, (places - first) * sizeof *self->gone);
    }
    if (status != HOP_OK)
        return status;
    self->places = places;
    if (record->labelled)
        status = apply_labels(self, record, first, error);
    if (status == HOP_OK)
        self->appends[self->n_appends++] = *record;
    else
        self->places = first;
    return status;
}

/* False: there is no such row, nor ever was. */
static bool place_of(const store_replay *self, uint64_t id, size_t *out)
{
    if (id >= self->says.next_id) {
        *out = self->says.M + (size_t)(id - self->says.next_id);
        return id - self->says.next_id < self->places - self->says.M;
    }
    if (!self->base_ids) {
        *out = (size_t)id;
        return true; /* ids are numbers of rows up to next_id */
    }
    size_t low = 0, high = self->says.M;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->base_ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    *out = low;
    return low < self->says.M && self->base_ids[low] == id;
}

static hop_status apply_removal(store_replay *self, const store_log_record *record, hop_error *error)
{
    size_t room = 0, n = (size_t)record->n, done = 0, place;
    uint64_t *ids = NULL;
    hop_status status = HOP_OK;
    if (!self->gone) {
        status = grow(self, (void **)&self->gone, &self->gone_room, self->places, sizeof *self->gone, error);
        if (status == HOP_OK)
            memset(self->gone, 0, self->places * sizeof *self->gone);
    }
    size_t charged = self->charged_bytes;
    if (status == HOP_OK)
        status = grow(self, (void **)&ids, &room, n, sizeof *ids, error);
    if (status == HOP_OK)
        status = store_log_read_part(self->log, record, STORE_LOG_ROWS, ids, error);
    for (; done < n && status == HOP_OK; done++) {
        if (!place_of(self, ids[done], &place) || self->gone[place]) {
            status =
                hop_fail(error, HOP_E_FORMAT, "its version %" PRIu64 " removes id %" PRIu64 ", which no memory has",
                         record->version, ids[done]);
            break;
        }
        self->gone[place] = true;
    }
    if (status == HOP_OK)
        self->gone_rows += n;
    while (status != HOP_OK && done > 0 && place_of(self, ids[--done], &place))
        self->gone[place] = false;
    free(ids);
    store_budget_release(self->loading->budget, self->charged_bytes - charged);
    self->charged_bytes = charged;
    return status;
}

static void forget_labels(store_replay *self)
{
    self->labelled = false;
    for (size_t i = 0; i < self->label_room; i++)
        self->label[i] = NULL;
}

static hop_status apply(store_replay *self, const store_log_record *record, hop_error *error)
{
    hop_status status = HOP_OK;
    if (record->kind == STORE_APPEND)
        status = apply_append(self, record, error);
    else if (record->kind == STORE_REMOVE)
        status = apply_removal(self, record, error);
    else if (record->labelled)
        status = apply_labels(self, record, 0, error);
    else if (record->unlabelled)
        forget_labels(self);
    if (status != HOP_OK)
        return status;
    self->version = record->version;
    self->content_hash = record->content_hash;
    self->next_id = record->next_id;
    self->options = record->options;
    return HOP_OK;
}

/* Every record, or those before the one that is damaged. */
static hop_status read_log(store_replay *self, store_loss *loss, hop_error *error)
{
    store_log_record record;
    hop_error cause = HOP_ERROR_NONE;
    hop_status status = store_log_begin(&self->reader, self->log, &self->base, &cause);
    self->has_log = status == HOP_OK;
    while (status == HOP_OK) {
        if (self->loading->cancel && atomic_load_explicit(self->loading->cancel, memory_order_relaxed))
            return hop_fail(error, HOP_E_CANCELLED, "loading was cancelled");
        status = store_log_next(&self->reader, &record, &cause);
        if (status == HOP_OK)
            status = apply(self, &record, &cause);
    }
    if (status == HOP_E_NOT_FOUND)
        return HOP_OK;
    if (status != HOP_E_FORMAT && status != HOP_E_IO)
        return hop_fail(error, status, "%s", cause.text);
    loss->newest = self->version;
    if (self->has_log && !self->reader.lost && self->reader.counts.version > loss->newest)
        loss->newest = self->reader.counts.version;
    snprintf(loss->reason, sizeof loss->reason, "%s", cause.text);
    return HOP_OK;
}

static hop_status read_base_labels(store_replay *self, hop_error *error)
{
    const store_tensor *tensor = store_container_find_tensor(&self->says.container, "labels");
    char *text = NULL;
    if (!tensor)
        return HOP_OK;
    hop_status status = room_for_labels(self, error);
    if (status == HOP_OK)
        status = new_text(self, tensor->bytes, &text, error);
    if (status == HOP_OK)
        status = store_container_read_tensor(self->snapshot, tensor, self->loading->executor, self->loading->cancel,
                                             text, error);
    if (status == HOP_OK && !spread_labels(self, 0, text, tensor->bytes))
        status = hop_fail(error, HOP_E_FORMAT, "its labels are not one a memory");
    self->labelled = true;
    return status;
}

static hop_status read_base_ids(store_replay *self, hop_error *error)
{
    const store_tensor *tensor =
        self->says.format > 1 ? store_container_find_tensor(&self->says.container, "ids") : NULL;
    size_t room = 0;
    if (!tensor)
        return HOP_OK;
    hop_status status = grow(self, (void **)&self->base_ids, &room, self->says.M, sizeof *self->base_ids, error);
    if (status == HOP_OK)
        status = store_container_read_tensor(self->snapshot, tensor, self->loading->executor, self->loading->cancel,
                                             self->base_ids, error);
    for (size_t mu = 0; mu < self->says.M && status == HOP_OK; mu++)
        if (self->base_ids[mu] >= self->says.next_id || (mu > 0 && self->base_ids[mu] <= self->base_ids[mu - 1]))
            status = hop_fail(error, HOP_E_FORMAT, "its ids do not ascend");
    return status;
}

static store_log_base base_of(const store_snapshot *says, const char *name)
{
    const store_tensor *labels = store_container_find_tensor(&says->container, "labels");
    store_log_base base = {.version = says->version,
                           .content_hash = says->content_hash,
                           .d = says->d,
                           .p = says->p,
                           .M = says->M,
                           .next_id = says->next_id,
                           .label_bytes = labels ? labels->bytes : 0};
    snprintf(base.name, sizeof base.name, "%s", name);
    return base;
}

hop_status store_replay_new(int snapshot, int log, const char *name, uint64_t version, const store_loading *loading,
                            store_replay **out, store_loss *loss, hop_error *error)
{
    store_replay *self = calloc(1, sizeof *self);
    *loss = (store_loss){0};
    if (!self)
        return no_memory(error);
    self->snapshot = snapshot;
    self->log = log;
    self->loading = loading;
    snprintf(self->name, sizeof self->name, "%s", name);
    hop_status status = store_snapshot_open(snapshot, name, version, &self->says, error);
    if (status == HOP_OK) {
        self->base = base_of(&self->says, name);
        self->places = self->says.M;
        self->version = version;
        self->content_hash = self->says.content_hash;
        self->next_id = self->says.next_id;
        self->options = self->says.options;
        status = read_base_ids(self, error);
    }
    if (status == HOP_OK)
        status = read_base_labels(self, error);
    if (status == HOP_OK && log >= 0)
        status = read_log(self, loss, error);
    if (status != HOP_OK) {
        store_replay_free(self);
        return status;
    }
    *out = self;
    return HOP_OK;
}

void store_replay_free(store_replay *replay)
{
    if (!replay)
        return;
    for (size_t i = 0; i < replay->n_texts; i++)
        free(replay->texts[i]);
    free(replay->texts);
    free(replay->label);
    free(replay->appends);
    free(replay->base_ids);
    free(replay->gone);
    store_budget_release(replay->loading->budget, replay->charged_bytes);
    free(replay);
}

const store_snapshot *store_replay_snapshot(const store_replay *replay)
{
    return &replay->says;
}

const store_log_base *store_replay_base(const store_replay *replay)
{
    return &replay->base;
}

uint64_t store_replay_version(const store_replay *replay)
{
    return replay->version;
}

bool store_replay_touches_rows(const store_replay *replay)
{
    return replay->n_appends > 0 || replay->gone_rows > 0;
}

const store_log_reader *store_replay_log(const store_replay *replay)
{
    return replay->has_log ? &replay->reader : NULL;
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
            if (!is_gone(self, rows->place + done + i)) {
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
    hop_status status = grow(self, (void **)&ids, &room, M, sizeof *ids, error);
    if (status != HOP_OK)
        return status;
    for (size_t place = 0; place < self->places; place++)
        if (!is_gone(self, place))
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
    hop_status status = room_for_labels(self, error);
    size_t n = 0;
    for (size_t place = 0; place < self->places && status == HOP_OK; place++)
        if (!is_gone(self, place))
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
    hop_status status = charge(replay, store_snapshot_frames_bytes(says), error);
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
    const store_log_base base = base_of(&says, name);
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
