/*
 * replay.c - what the header of a snapshot and the records of its log come to: see replay_state.h.
 */
#include "store/replay_state.h"

#include "core/checked.h"
#include "core/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory -------------------------------------------------------------------------------------------- */

/* Room for bytes, charged; for good measure every block of a replay stays until its end. */
hop_status store_replay_charge(store_replay *self, size_t bytes, hop_error *error)
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
hop_status store_replay_grow(store_replay *self, void **array, size_t *room, size_t n, size_t element, hop_error *error)
{
    if (n <= *room)
        return HOP_OK;
    size_t more = *room + *room / 2 > n ? *room + *room / 2 : n, bytes, before;
    if (!hop_mul_size(more, element, &bytes) || !hop_mul_size(*room, element, &before))
        return hop_fail(error, HOP_E_SHAPE, "more changes than this machine can address");
    hop_status status = store_replay_charge(self, bytes - before, error);
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
    hop_status status = store_replay_charge(self, (size_t)bytes + sizeof(char *), error);
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

/* Labels in a text, each with its NUL, to the rows there are from a place on. False: they are not one a row. */
static bool spread_labels(store_replay *self, size_t place, const char *text, size_t bytes)
{
    const char *at = text, *end = text + bytes;
    for (; place < self->places; place++) {
        if (store_replay_gone(self, place))
            continue;
        const char *nul = at < end ? memchr(at, '\0', (size_t)(end - at)) : NULL;
        if (!nul || nul - at > STORE_LABEL_BYTES)
            return false;
        self->label[place] = at;
        at = nul + 1;
    }
    return at == end;
}

hop_status store_replay_room_for_labels(store_replay *self, hop_error *error)
{
    size_t before = self->label_room;
    hop_status status =
        store_replay_grow(self, (void **)&self->label, &self->label_room, self->places, sizeof *self->label, error);
    for (size_t i = before; i < self->label_room && status == HOP_OK; i++)
        self->label[i] = NULL;
    return status;
}

static hop_status apply_labels(store_replay *self, const store_log_record *record, size_t place, hop_error *error)
{
    char *text = NULL;
    hop_status status = store_replay_room_for_labels(self, error);
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
    hop_status status = store_replay_grow(self, (void **)&self->appends, &self->appends_room, self->n_appends + 1,
                                          sizeof *self->appends, error);
    if (status == HOP_OK && self->gone) {
        status = store_replay_grow(self, (void **)&self->gone, &self->gone_room, places, sizeof *self->gone, error);
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
        status =
            store_replay_grow(self, (void **)&self->gone, &self->gone_room, self->places, sizeof *self->gone, error);
        if (status == HOP_OK)
            memset(self->gone, 0, self->places * sizeof *self->gone);
    }
    size_t charged = self->charged_bytes;
    if (status == HOP_OK)
        status = store_replay_grow(self, (void **)&ids, &room, n, sizeof *ids, error);
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
    uint64_t newest = store_log_newest(self->log, self->name, self->says.version, self->says.content_hash);
    if (newest > loss->newest)
        loss->newest = newest;
    loss->unread = status != HOP_E_FORMAT;
    snprintf(loss->reason, sizeof loss->reason, "%s", cause.text);
    return HOP_OK;
}

static hop_status read_base_labels(store_replay *self, hop_error *error)
{
    const store_tensor *tensor = store_container_find_tensor(&self->says.container, "labels");
    char *text = NULL;
    if (!tensor)
        return HOP_OK;
    hop_status status = store_replay_room_for_labels(self, error);
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
    hop_status status =
        store_replay_grow(self, (void **)&self->base_ids, &room, self->says.M, sizeof *self->base_ids, error);
    if (status == HOP_OK)
        status = store_container_read_tensor(self->snapshot, tensor, self->loading->executor, self->loading->cancel,
                                             self->base_ids, error);
    for (size_t mu = 0; mu < self->says.M && status == HOP_OK; mu++)
        if (self->base_ids[mu] >= self->says.next_id || (mu > 0 && self->base_ids[mu] <= self->base_ids[mu - 1]))
            status = hop_fail(error, HOP_E_FORMAT, "its ids do not ascend");
    return status;
}

store_log_base store_replay_base_of(const store_snapshot *says, const char *name)
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
        self->base = store_replay_base_of(&self->says, name);
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
