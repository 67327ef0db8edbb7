/*
 * log.c - the bytes of a log: blocks, slots and records, written in the order that log.h explains, and read back with
 * nothing believed.
 */
#include "store/log.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/checksum.h"
#include "store/system.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 256 << 10, WORD_BYTES = 8, DEGREE_MAX = 1000 };

static const char magic[WORD_BYTES] = "hopflog"; /* with the NUL */

/* What each begins with is the checksum of what follows it. All integers are little-endian, as the machines are. */
typedef struct disk_base {
    char magic[WORD_BYTES];
    uint32_t checksum; /* of the block, with zeros here */
    uint32_t format;
    uint64_t version, content_hash, d, p, M, next_id, label_bytes;
    char name[STORE_NAME_BYTES + WORD_BYTES - 1]; /* zeros behind it */
} disk_base;

typedef struct disk_slot {
    uint32_t checksum; /* of the block, with zeros here */
    uint32_t unused;
    uint64_t records, end, version, content_hash, M, next_id, label_bytes;
} disk_slot;

typedef struct disk_record {
    uint32_t checksum; /* of this header, with zeros here */
    uint32_t kind, flags;
    uint32_t part_checksum[STORE_LOG_PARTS];
    uint64_t bytes; /* of header, parts and the zeros behind them */
    uint64_t n, label_bytes;
    uint64_t version, M, next_id, previous_hash, content_hash;
    double beta, max_error;
    int64_t max_degree;
    uint64_t all_label_bytes;
} disk_record;

_Static_assert(sizeof(disk_base) == 72 + STORE_NAME_BYTES + WORD_BYTES - 1, "no gaps");
_Static_assert(sizeof(disk_slot) == 64, "no gaps");
_Static_assert(sizeof(disk_record) == 120, "no gaps");

/* Kinds are written as they are. */
_Static_assert(STORE_APPEND == 0 && STORE_REMOVE == 1 && STORE_SETTINGS == 2, "numbers in files");

enum { FLAG_LABELLED = 1, FLAG_UNLABELLED = 2 };

static hop_status cannot(const char *what, hop_error *error)
{
    return hop_fail(error, store_system_status(errno), "cannot %s: %s", what, strerror(errno));
}

static hop_status cannot_read(hop_error *error)
{
    if (errno == ENODATA)
        return hop_fail(error, HOP_E_FORMAT, "it is cut off");
    return cannot("read", error);
}

/* All labels, each with its NUL. */
static uint64_t label_bytes(const store_set *set)
{
    size_t last = set->M - 1;
    return set->label_text ? set->label_offset[last] + strlen(store_set_label(set, last)) + 1 : 0;
}

store_log_base store_log_base_of(const store_set *set)
{
    store_log_base base = {.version = set->version,
                           .content_hash = set->content_hash,
                           .d = set->d,
                           .p = set->values ? set->p : 0,
                           .M = set->M,
                           .next_id = set->next_id,
                           .label_bytes = label_bytes(set)};
    memcpy(base.name, set->name, sizeof base.name);
    return base;
}

store_log_tail store_log_tail_of(const store_log_base *base)
{
    return (store_log_tail){.end = STORE_LOG_START_BYTES,
                            .version = base->version,
                            .content_hash = base->content_hash,
                            .M = base->M,
                            .next_id = base->next_id,
                            .label_bytes = base->label_bytes};
}

/* Where the log ends behind a record. */
static store_log_tail tail_behind(const store_log_tail *before, const store_log_record *record, uint64_t end)
{
    return (store_log_tail){.records = before->records + 1,
                            .end = end,
                            .version = record->version,
                            .content_hash = record->content_hash,
                            .M = record->M,
                            .next_id = record->next_id,
                            .label_bytes = record->label_bytes};
}

store_log_record store_log_record_of(const store_set *set, const store_revision *revision, uint64_t previous_hash)
{
    store_log_record record = {
        .kind = revision->kind,
        .version = set->version,
        .M = set->M,
        .next_id = set->next_id,
        .label_bytes = label_bytes(set),
        .content_hash = set->content_hash,
        .previous_hash = previous_hash,
        .options = {.beta = set->beta, .max_error = set->max_error, .max_degree = set->max_degree},
    };
    size_t labelled_from = SIZE_MAX;
    if (revision->kind == STORE_APPEND) {
        size_t first = set->M - revision->added.M;
        record.n = revision->added.M;
        record.data[STORE_LOG_ROWS] = set->memories + first * set->d;
        record.bytes[STORE_LOG_ROWS] = record.n * set->d * sizeof(float);
        if (set->values) {
            record.data[STORE_LOG_VALUES] = set->values + first * set->p;
            record.bytes[STORE_LOG_VALUES] = record.n * set->p * sizeof(float);
        }
        labelled_from = first;
    } else if (revision->kind == STORE_REMOVE) {
        record.n = revision->n_ids;
        record.data[STORE_LOG_ROWS] = revision->ids;
        record.bytes[STORE_LOG_ROWS] = record.n * sizeof *revision->ids;
    } else if (revision->relabel) {
        record.unlabelled = set->label_text == NULL;
        labelled_from = 0;
    }
    if (labelled_from != SIZE_MAX && set->label_text) {
        record.labelled = true;
        record.data[STORE_LOG_LABELS] = set->label_text + set->label_offset[labelled_from];
        record.bytes[STORE_LOG_LABELS] = record.label_bytes - set->label_offset[labelled_from];
    }
    return record;
}

static uint64_t parts_bytes(const store_log_record *record)
{
    return record->bytes[STORE_LOG_ROWS] + record->bytes[STORE_LOG_VALUES] + record->bytes[STORE_LOG_LABELS];
}

uint64_t store_log_record_bytes(const store_log_record *record)
{
    return hop_round_up(sizeof(disk_record) + parts_bytes(record), WORD_BYTES);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

/* A block whose checksum stands at an offset of it. */
static bool write_block(int file, unsigned char block[STORE_LOG_BLOCK_BYTES], size_t checksum_at, uint64_t number)
{
    uint32_t checksum = store_checksum(0, block, STORE_LOG_BLOCK_BYTES);
    memcpy(block + checksum_at, &checksum, sizeof checksum);
    return store_system_write(file, block, STORE_LOG_BLOCK_BYTES, number * STORE_LOG_BLOCK_BYTES);
}

static bool write_slot(int file, const store_log_tail *tail, uint64_t records)
{
    unsigned char block[STORE_LOG_BLOCK_BYTES] = {0};
    const disk_slot slot = {.records = tail->records,
                            .end = tail->end,
                            .version = tail->version,
                            .content_hash = tail->content_hash,
                            .M = tail->M,
                            .next_id = tail->next_id,
                            .label_bytes = tail->label_bytes};
    memcpy(block, &slot, sizeof slot);
    return write_block(file, block, offsetof(disk_slot, checksum), 1 + records % 2);
}

hop_status store_log_start(int file, const store_log_base *base, store_log_tail *tail, hop_error *error)
{
    unsigned char block[STORE_LOG_BLOCK_BYTES] = {0};
    disk_base header = {.format = STORE_LOG_FORMAT,
                        .version = base->version,
                        .content_hash = base->content_hash,
                        .d = base->d,
                        .p = base->p,
                        .M = base->M,
                        .next_id = base->next_id,
                        .label_bytes = base->label_bytes};
    memcpy(header.magic, magic, sizeof magic);
    memcpy(header.name, base->name, strlen(base->name));
    memcpy(block, &header, sizeof header);
    *tail = store_log_tail_of(base);
    return write_block(file, block, offsetof(disk_base, checksum), 0) ? HOP_OK : cannot("write", error);
}

hop_status store_log_add(int file, const store_log_record *record, store_log_tail *tail, hop_error *error)
{
    disk_record header = {
        .kind = (uint32_t)record->kind,
        .flags = (record->labelled ? FLAG_LABELLED : 0) | (record->unlabelled ? FLAG_UNLABELLED : 0),
        .bytes = store_log_record_bytes(record),
        .n = record->n,
        .label_bytes = record->bytes[STORE_LOG_LABELS],
        .version = record->version,
        .M = record->M,
        .next_id = record->next_id,
        .previous_hash = record->previous_hash,
        .content_hash = record->content_hash,
        .beta = record->options.beta,
        .max_error = record->options.max_error,
        .max_degree = record->options.max_degree,
        .all_label_bytes = record->label_bytes,
    };
    uint64_t at = tail->end + sizeof header;
    for (int part = 0; part < STORE_LOG_PARTS; part++) {
        const char *data = record->data[part];
        for (uint64_t done = 0; done < record->bytes[part];) {
            size_t n = record->bytes[part] - done < PIECE_BYTES ? (size_t)(record->bytes[part] - done) : PIECE_BYTES;
            header.part_checksum[part] = store_checksum(header.part_checksum[part], data + done, n);
            if (!store_system_write(file, data + done, n, at))
                return cannot("write", error);
            done += n;
            at += n;
        }
    }
    static const char zeros[WORD_BYTES] = {0};
    uint64_t end = tail->end + header.bytes;
    header.checksum = store_checksum(0, &header, sizeof header);
    if ((end > at && !store_system_write(file, zeros, (size_t)(end - at), at)) ||
        !store_system_write(file, &header, sizeof header, tail->end))
        return cannot("write", error);
    *tail = tail_behind(tail, record, end);
    return HOP_OK;
}

hop_status store_log_finish(int file, const store_log_tail *tail, hop_error *error)
{
    if (!write_slot(file, tail, tail->records) || !write_slot(file, tail, tail->records + 1))
        return cannot("write", error);
    return store_system_calls->sync(file) == 0 ? HOP_OK : cannot("sync", error);
}

hop_status store_log_append(int file, const store_log_record *record, store_log_tail *tail, bool *unsure,
                            hop_error *error)
{
    store_log_tail after = *tail;
    hop_status status = store_log_add(file, record, &after, error);
    if (status == HOP_OK && store_system_calls->sync_data(file) != 0)
        status = cannot("sync", error);
    if (status == HOP_OK && !(write_slot(file, &after, after.records) && store_system_calls->sync_data(file) == 0)) {
        status = cannot("write or sync", error);
        /* The slot may hold either by now. Both hold the older state after this, or nobody knows. */
        *unsure = !write_slot(file, tail, after.records) || store_system_calls->sync_data(file) != 0;
    }
    if (status == HOP_OK)
        *tail = after;
    else if (!*unsure)
        (void)store_system_calls->cut_off(file,
                                          (off_t)tail->end); /* it does not count; the next one is written over it */
    return status;
}

/* ---- reading: blocks ----------------------------------------------------------------------------------- */

/* A block whose checksum is right; false: it is damaged, or errno is set. */
static bool read_block(int file, unsigned char block[STORE_LOG_BLOCK_BYTES], size_t checksum_at, uint64_t number)
{
    uint32_t checksum;
    errno = 0;
    if (!store_system_read(file, block, STORE_LOG_BLOCK_BYTES, number * STORE_LOG_BLOCK_BYTES))
        return false;
    memcpy(&checksum, block + checksum_at, sizeof checksum);
    memset(block + checksum_at, 0, sizeof checksum);
    return store_checksum(0, block, STORE_LOG_BLOCK_BYTES) == checksum;
}

static hop_status read_base(int file, const store_log_base *expected, hop_error *error)
{
    unsigned char block[STORE_LOG_BLOCK_BYTES];
    disk_base header;
    bool whole = read_block(file, block, offsetof(disk_base, checksum), 0);
    if (!whole && errno)
        return cannot_read(error);
    memcpy(&header, block, sizeof header);
    if (memcmp(header.magic, magic, sizeof magic) != 0)
        return hop_fail(error, HOP_E_FORMAT, "it is no log of this program, or its first bytes are damaged");
    if (!whole)
        return hop_fail(error, HOP_E_FORMAT, "its first block is damaged: the checksum differs");
    if (header.format != STORE_LOG_FORMAT)
        return hop_fail(error, HOP_E_FORMAT, "it is not of format %d, which is all that this version reads",
                        STORE_LOG_FORMAT);
    header.name[sizeof header.name - 1] = '\0';
    if (strcmp(header.name, expected->name) != 0)
        return hop_fail(error, HOP_E_FORMAT, "it is of another set");
    if (header.version != expected->version || header.content_hash != expected->content_hash)
        return hop_fail(error, HOP_E_FORMAT, "it is of another version of this set");
    if (header.d != expected->d || header.p != expected->p || header.M != expected->M ||
        header.next_id != expected->next_id || header.label_bytes != expected->label_bytes)
        return hop_fail(error, HOP_E_FORMAT, "it is of rows of other sizes");
    return HOP_OK;
}

/* False: damaged. status: it could not be read at all. */
static bool read_slot(int file, int number, store_log_tail *out, hop_status *status, hop_error *error)
{
    unsigned char block[STORE_LOG_BLOCK_BYTES];
    disk_slot slot;
    bool whole = read_block(file, block, offsetof(disk_slot, checksum), 1 + (uint64_t)number);
    if (!whole && errno)
        *status = cannot_read(error);
    memcpy(&slot, block, sizeof slot);
    *out = (store_log_tail){.records = slot.records,
                            .end = slot.end,
                            .version = slot.version,
                            .content_hash = slot.content_hash,
                            .M = slot.M,
                            .next_id = slot.next_id,
                            .label_bytes = slot.label_bytes};
    return whole && slot.end >= STORE_LOG_START_BYTES;
}

static bool same_tail(const store_log_tail *a, const store_log_tail *b)
{
    return a->records == b->records && a->end == b->end && a->version == b->version &&
           a->content_hash == b->content_hash && a->M == b->M && a->next_id == b->next_id &&
           a->label_bytes == b->label_bytes;
}

/* Both alike, or the newer one where it belongs. whole: which of them are. */
static hop_status read_slots(int file, bool whole[2], store_log_tail *out, hop_error *error)
{
    hop_status status = HOP_OK;
    store_log_tail tail[2];
    for (int i = 0; i < 2 && status == HOP_OK; i++)
        whole[i] = read_slot(file, i, &tail[i], &status, error);
    if (status != HOP_OK)
        return status;
    int newer = whole[0] && (!whole[1] || tail[0].records > tail[1].records) ? 0 : 1;
    *out = tail[newer];
    if (whole[0] && whole[1] && !same_tail(&tail[0], &tail[1]) &&
        (tail[newer].records != tail[!newer].records + 1 || tail[newer].records % 2 != (uint64_t)newer))
        return hop_fail(error, HOP_E_FORMAT, "its two slots do not belong together");
    return HOP_OK;
}

hop_status store_log_end(int file, const store_log_base *base, store_log_tail *out, hop_error *error)
{
    int64_t length = store_system_calls->length(file);
    bool whole[2] = {false, false};
    if (length < 0)
        return errno == EINVAL ? hop_fail(error, HOP_E_FORMAT, "it is no regular file") : cannot("read", error);
    hop_status status = read_base(file, base, error);
    if (status == HOP_OK)
        status = read_slots(file, whole, out, error);
    if (status == HOP_OK && !(whole[0] && whole[1]))
        status = hop_fail(error, HOP_E_FORMAT, "a slot of it is damaged");
    if (status == HOP_OK && (uint64_t)length < out->end)
        status = hop_fail(error, HOP_E_FORMAT, "it has %" PRId64 " bytes, %" PRIu64 " count", length, out->end);
    return status;
}

uint64_t store_log_newest(int file, const char *name, uint64_t version, uint64_t content_hash)
{
    unsigned char block[STORE_LOG_BLOCK_BYTES];
    disk_base header;
    hop_status status = store_system_calls->length(file) < STORE_LOG_START_BYTES ? HOP_E_FORMAT : HOP_OK;
    if (status == HOP_OK && read_block(file, block, offsetof(disk_base, checksum), 0)) {
        memcpy(&header, block, sizeof header);
        header.name[sizeof header.name - 1] = '\0';
        if (strcmp(header.name, name) != 0 || header.version != version ||
            (content_hash && header.content_hash != content_hash))
            return 0;
    }
    uint64_t newest = 0;
    int damaged = 0;
    for (int i = 0; i < 2 && status == HOP_OK; i++) {
        store_log_tail tail;
        if (!read_slot(file, i, &tail, &status, NULL) || tail.version > INT64_MAX)
            damaged++;
        else if (tail.version > newest)
            newest = tail.version;
    }
    if (newest > 0 && newest < INT64_MAX)
        newest += (unsigned)damaged; /* which may have said one more */
    return newest;
}

/* ---- reading: records ---------------------------------------------------------------------------------- */

hop_status store_log_look_again(store_log_reader *reader, hop_error *error)
{
    int64_t length = store_system_calls->length(reader->file);
    bool whole[2] = {false, false};
    if (length < 0)
        return errno == EINVAL ? hop_fail(error, HOP_E_FORMAT, "it is no regular file") : cannot("read", error);
    reader->file_bytes = (uint64_t)length;
    hop_status status = read_base(reader->file, &reader->base, error);
    if (status == HOP_OK)
        status = read_slots(reader->file, whole, &reader->counts, error);
    reader->adrift = whole[0] != whole[1];
    reader->lost = !whole[0] && !whole[1];
    reader->whole_slot = whole[0] ? 0 : 1;
    return status;
}

hop_status store_log_begin(store_log_reader *reader, int file, const store_log_base *base, hop_error *error)
{
    *reader = (store_log_reader){.file = file, .base = *base, .read = store_log_tail_of(base)};
    return store_log_look_again(reader, error);
}

static hop_status damaged(const store_log_reader *reader, const char *what, hop_error *error)
{
    return hop_fail(error, HOP_E_FORMAT, "its record at byte %" PRIu64 ", of version %" PRIu64 ", %s", reader->read.end,
                    reader->read.version + 1, what);
}

/* What the header says is possible, and follows what was read before. */
static bool consistent(const store_log_reader *reader, const disk_record *header, store_log_record *out)
{
    *out = (store_log_record){
        .kind = (store_revision_kind)header->kind,
        .n = header->n,
        .labelled = header->flags & FLAG_LABELLED,
        .unlabelled = header->flags & FLAG_UNLABELLED,
        .version = header->version,
        .M = header->M,
        .next_id = header->next_id,
        .label_bytes = header->all_label_bytes,
        .content_hash = header->content_hash,
        .previous_hash = header->previous_hash,
        .options = {.beta = header->beta, .max_error = header->max_error, .max_degree = (int)header->max_degree},
    };
    memcpy(out->checksum, header->part_checksum, sizeof out->checksum);
    out->bytes[STORE_LOG_LABELS] = header->label_bytes;
    uint64_t labels = header->kind == STORE_APPEND ? header->n : header->M, M = reader->read.M,
             next = reader->read.next_id;
    size_t rows = 0, values = 0;
    bool fits = header->flags <= FLAG_UNLABELLED && header->version == reader->read.version + 1 &&
                header->version <= INT64_MAX && header->previous_hash == reader->read.content_hash &&
                isfinite(header->beta) && header->beta > 0 && isfinite(header->max_error) && header->max_error >= 0 &&
                header->max_degree >= -1 && header->max_degree <= DEGREE_MAX &&
                (header->flags & FLAG_LABELLED ? header->label_bytes >= labels : header->label_bytes == 0);
    switch (header->kind) {
    case STORE_APPEND:
        fits = fits && header->n > 0 && !out->unlabelled &&
               hop_array_bytes(header->n, reader->base.d, sizeof(float), &rows) &&
               hop_array_bytes(header->n, reader->base.p, sizeof(float), &values) && header->n <= UINT64_MAX - M &&
               header->M == M + header->n && header->n <= INT64_MAX - next && header->next_id == next + header->n;
        break;
    case STORE_REMOVE:
        fits = fits && header->n > 0 && header->n < M && header->M == M - header->n && header->next_id == next &&
               header->flags == 0 && hop_mul_size(header->n, sizeof(uint64_t), &rows);
        break;
    case STORE_SETTINGS:
        fits = fits && header->n == 0 && header->M == M && header->next_id == next;
        break;
    default:
        return false;
    }
    out->bytes[STORE_LOG_ROWS] = rows;
    out->bytes[STORE_LOG_VALUES] = values;
    size_t total = sizeof *header;
    for (int part = 0; part < STORE_LOG_PARTS && fits; part++) {
        out->at[part] = reader->read.end + total;
        fits = hop_add_size(total, out->bytes[part], &total);
    }
    fits = fits && total <= SIZE_MAX - WORD_BYTES && header->bytes == hop_round_up(total, WORD_BYTES) &&
           header->bytes <= UINT64_MAX - reader->read.end;
    out->end = reader->read.end + header->bytes;
    return fits;
}

/* The parts' checksums, the zeros behind them, and a NUL at the end of the labels. */
static hop_status check_parts(const store_log_reader *reader, const store_log_record *record, hop_error *error)
{
    char *piece = malloc(PIECE_BYTES);
    if (!piece)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    hop_status status = HOP_OK;
    uint64_t at = record->at[0];
    for (int part = 0; part < STORE_LOG_PARTS && status == HOP_OK; part++) {
        uint32_t checksum = 0;
        uint64_t end = at + record->bytes[part];
        while (at < end && status == HOP_OK) {
            size_t n = end - at < PIECE_BYTES ? (size_t)(end - at) : PIECE_BYTES;
            if (!store_system_read(reader->file, piece, n, at))
                status = cannot_read(error);
            else
                checksum = store_checksum(checksum, piece, n);
            at += n;
        }
        if (status == HOP_OK && checksum != record->checksum[part])
            status = damaged(reader, "is damaged: a checksum differs", error);
    }
    size_t rest = (size_t)(record->end - at);
    if (status == HOP_OK && rest > 0 && !store_system_read(reader->file, piece, rest, at))
        status = cannot_read(error);
    for (size_t i = 0; i < rest && status == HOP_OK; i++)
        if (piece[i])
            status = damaged(reader, "is damaged: there are bytes behind it", error);
    free(piece);
    return status;
}

static hop_status read_record(store_log_reader *reader, store_log_record *out, hop_error *error)
{
    disk_record header;
    if (!store_system_read(reader->file, &header, sizeof header, reader->read.end))
        return errno == ENODATA ? damaged(reader, "is cut off", error) : cannot_read(error);
    uint32_t checksum = header.checksum;
    header.checksum = 0;
    if (store_checksum(0, &header, sizeof header) != checksum)
        return damaged(reader, "is damaged: the checksum of its header differs", error);
    if (!consistent(reader, &header, out))
        return damaged(reader, "does not follow what is before it", error);
    if (out->end > reader->file_bytes)
        return damaged(reader, "is cut off", error);
    return check_parts(reader, out, error);
}

hop_status store_log_next(store_log_reader *reader, store_log_record *out, hop_error *error)
{
    const store_log_tail *counts = &reader->counts;
    bool behind = !reader->lost && reader->read.records >= counts->records;
    if (behind && reader->read.records == counts->records && !same_tail(&reader->read, counts))
        return hop_fail(error, HOP_E_FORMAT, "its records are not those that its slots count");
    if (behind && reader->read.records == counts->records + reader->adrift)
        return hop_fail(error, HOP_E_NOT_FOUND, "there are no more records");
    hop_error cause = HOP_ERROR_NONE;
    hop_status status = read_record(reader, out, &cause);
    if (status == HOP_E_FORMAT && reader->lost)
        return hop_fail(error, status, "both its slots are damaged: nobody knows how many records count");
    if (status == HOP_E_FORMAT && behind)
        return hop_fail(error, status, "one of its slots is damaged, and no record explains it");
    if (status != HOP_OK)
        return hop_fail(error, status, "%s", cause.text);
    reader->read = tail_behind(&reader->read, out, out->end);
    return HOP_OK;
}

hop_status store_log_read_part(int file, const store_log_record *record, store_log_part part, void *out,
                               hop_error *error)
{
    char *to = out;
    uint32_t checksum = 0;
    for (uint64_t done = 0; done < record->bytes[part];) {
        size_t n = record->bytes[part] - done < PIECE_BYTES ? (size_t)(record->bytes[part] - done) : PIECE_BYTES;
        if (!store_system_read(file, to + done, n, record->at[part] + done))
            return cannot_read(error);
        checksum = store_checksum(checksum, to + done, n);
        done += n;
    }
    if (checksum != record->checksum[part])
        return hop_fail(error, HOP_E_FORMAT, "its record of version %" PRIu64 " has changed since it was read",
                        record->version);
    return HOP_OK;
}

/* ---- mending and copying ------------------------------------------------------------------------------- */

bool store_log_wants_mending(const store_log_reader *reader)
{
    return reader->adrift || reader->file_bytes > reader->read.end;
}

hop_status store_log_mend(int file, const store_log_reader *reader, hop_error *error)
{
    /* The damaged slot first: one of them is whole at any moment. Both say the same in the end. */
    for (uint64_t i = 0; i < 2 && reader->adrift; i++)
        if (!write_slot(file, &reader->read, reader->whole_slot + 1 + i) || store_system_calls->sync_data(file) != 0)
            return cannot("write or sync", error);
    if (reader->file_bytes > reader->read.end && store_system_calls->cut_off(file, (off_t)reader->read.end) != 0)
        return cannot("cut off", error);
    return HOP_OK;
}

hop_status store_log_copy(store_log_reader *from, int to, store_log_tail *tail, hop_error *error)
{
    char *piece = malloc(PIECE_BYTES);
    if (!piece)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    store_log_record record;
    hop_status status;
    uint64_t at = from->read.end;
    while ((status = store_log_next(from, &record, error)) == HOP_OK) {
        uint64_t end = tail->end + (record.end - at);
        while (at < record.end) {
            size_t n = record.end - at < PIECE_BYTES ? (size_t)(record.end - at) : PIECE_BYTES;
            if (!store_system_read(from->file, piece, n, at))
                status = cannot_read(error);
            else if (!store_system_write(to, piece, n, end - (record.end - at)))
                status = cannot("write", error);
            if (status != HOP_OK)
                break;
            at += n;
        }
        if (status != HOP_OK)
            break;
        *tail = tail_behind(tail, &record, end);
    }
    free(piece);
    return status == HOP_E_NOT_FOUND ? HOP_OK : status;
}
