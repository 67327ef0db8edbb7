/*
 * container.c - the header: its layout, its one encoding, and reading it back.
 */
#include "store/container.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/checksum.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECKSUM_FIELD "\"header_crc32c\":\""
#define BLANK_CHECKSUM "00000000"

static const char opening[] = "{\"__metadata__\":{" CHECKSUM_FIELD;

enum { LENGTH_BYTES = 8, CHECKSUM_DIGITS = 8, CHECKSUM_AT = LENGTH_BYTES + sizeof opening - 1 };

static const struct {
    const char *word;
    size_t bytes;
} dtypes[STORE_DTYPES] = {
    [STORE_F64] = {"F64", 8}, [STORE_I64] = {"I64", 8}, [STORE_F32] = {"F32", 4}, [STORE_U8] = {"U8", 1}};

void store_container_field(store_container *container, const char *name, const char *format, ...)
{
    assert(container->n_fields < STORE_FIELDS_MAX && strlen(name) < STORE_FIELD_NAME_BYTES);
    store_field *field = &container->fields[container->n_fields++];
    snprintf(field->name, sizeof field->name, "%s", name);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(field->value, sizeof field->value, format, args);
    va_end(args);
    assert(n >= 0 && n < STORE_FIELD_BYTES);
    (void)n;
}

void store_container_tensor(store_container *container, const char *name, store_dtype dtype, unsigned rank, size_t rows,
                            size_t columns, const void *data)
{
    assert(container->n_tensors < STORE_TENSORS_MAX && strlen(name) < STORE_FIELD_NAME_BYTES);
    store_tensor *tensor = &container->tensors[container->n_tensors++];
    *tensor = (store_tensor){.dtype = dtype, .rank = rank, .shape = {rows, rank == 2 ? columns : 1}, .data = data};
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
}

const char *store_container_find(const store_container *container, const char *name)
{
    for (size_t i = 0; i < container->n_fields; i++)
        if (strcmp(container->fields[i].name, name) == 0)
            return container->fields[i].value;
    return NULL;
}

const store_tensor *store_container_find_tensor(const store_container *container, const char *name)
{
    for (size_t i = 0; i < container->n_tensors; i++)
        if (strcmp(container->tensors[i].name, name) == 0)
            return &container->tensors[i];
    return NULL;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

/* Appends, and counts on where there is no room: the first pass measures. */
typedef struct writer {
    char *out;
    size_t room, n;
} writer;

__attribute__((format(printf, 2, 3))) static void put(writer *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = w->n < w->room ? vsnprintf(w->out + w->n, w->room - w->n, format, args) : vsnprintf(NULL, 0, format, args);
    va_end(args);
    w->n += n > 0 ? (size_t)n : 0;
}

/* The JSON text with a blank header checksum, without padding. */
static void put_json(writer *w, const store_container *container)
{
    put(w, "%s" BLANK_CHECKSUM "\"", opening);
    for (size_t i = 0; i < container->n_fields; i++)
        put(w, ",\"%s\":\"%s\"", container->fields[i].name, container->fields[i].value);
    for (size_t i = 0; i < container->n_tensors; i++)
        put(w, ",\"crc32c.%s\":\"%08" PRIx32 "\"", container->tensors[i].name, container->tensors[i].checksum);
    put(w, "}");
    uint64_t start = container->n_tensors ? container->tensors[0].at : 0;
    for (size_t i = 0; i < container->n_tensors; i++) {
        const store_tensor *tensor = &container->tensors[i];
        put(w, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%zu", tensor->name, dtypes[tensor->dtype].word, tensor->shape[0]);
        if (tensor->rank == 2)
            put(w, ",%zu", tensor->shape[1]);
        put(w, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", tensor->at - start, tensor->at - start + tensor->bytes);
    }
    put(w, "}");
}

/* Places relative to `start`; false where a size overflows. */
static bool place(store_container *container, uint64_t start)
{
    uint64_t at = start;
    for (size_t i = 0; i < container->n_tensors; i++) {
        store_tensor *tensor = &container->tensors[i];
        if (!hop_array_bytes(tensor->shape[0], tensor->shape[1], dtypes[tensor->dtype].bytes, &tensor->bytes) ||
            tensor->bytes > INT64_MAX - at)
            return false;
        tensor->at = at;
        at += tensor->bytes;
    }
    container->file_bytes = at;
    return true;
}

hop_status store_container_lay_out(store_container *container, hop_error *error)
{
    writer measure = {0};
    if (!place(container, 0))
        return hop_fail(error, HOP_E_SHAPE, "a file of these sizes would be too large");
    put_json(&measure, container);
    size_t before = 0; /* bytes in front of the tensors of smaller elements, which are the ones to be aligned */
    for (size_t i = 0; i < container->n_tensors && dtypes[container->tensors[i].dtype].bytes == sizeof(double); i++)
        before += container->tensors[i].bytes % STORE_DATA_ALIGN;
    size_t header = hop_round_up(LENGTH_BYTES + measure.n + before, STORE_DATA_ALIGN) - before % STORE_DATA_ALIGN;
    while (header < LENGTH_BYTES + measure.n)
        header += STORE_DATA_ALIGN;
    while (header >= LENGTH_BYTES + measure.n + STORE_DATA_ALIGN)
        header -= STORE_DATA_ALIGN;
    container->header_bytes = header;
    if (header > STORE_HEADER_MAX || !place(container, header))
        return hop_fail(error, HOP_E_SHAPE, "a file of these sizes would be too large");
    return HOP_OK;
}

void store_container_encode(const store_container *container, char *out)
{
    uint64_t length = container->header_bytes - LENGTH_BYTES;
    memcpy(out, &length, LENGTH_BYTES);
    char text[STORE_HEADER_MAX + 1];
    writer w = {.out = text, .room = sizeof text};
    put_json(&w, container);
    assert(w.n <= length);
    memset(out + LENGTH_BYTES, ' ', length);
    memcpy(out + LENGTH_BYTES, text, w.n);
    char digits[CHECKSUM_DIGITS + 1];
    snprintf(digits, sizeof digits, "%08" PRIx32, store_checksum(0, out, container->header_bytes));
    memcpy(out + CHECKSUM_AT, digits, CHECKSUM_DIGITS);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

typedef struct reader {
    const char *at, *end;
} reader;

static bool take(reader *r, const char *text)
{
    size_t n = strlen(text);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n) != 0)
        return false;
    r->at += n;
    return true;
}

/* "..." of plain characters into room bytes. */
static bool take_string(reader *r, char *out, size_t room)
{
    if (!take(r, "\""))
        return false;
    size_t n = 0;
    for (; r->at < r->end && *r->at != '"'; r->at++) {
        unsigned char c = (unsigned char)*r->at;
        if (c < 0x20 || c > 0x7e || c == '\\' || n + 1 >= room)
            return false;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return take(r, "\"");
}

static bool take_number(reader *r, uint64_t *out)
{
    const char *first = r->at;
    uint64_t value = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*r->at - '0'), &value))
            return false;
    *out = value;
    return r->at > first && value <= INT64_MAX;
}

static bool take_fields(reader *r, store_container *out, char checksums[][STORE_FIELD_BYTES], size_t *n_checksums)
{
    static const char prefix[] = "crc32c.";
    while (take(r, ",")) {
        char name[STORE_FIELD_NAME_BYTES + sizeof prefix], value[STORE_FIELD_BYTES];
        if (!take_string(r, name, sizeof name) || !take(r, ":") || !take_string(r, value, sizeof value))
            return false;
        if (strncmp(name, prefix, sizeof prefix - 1) == 0) {
            if (*n_checksums == STORE_TENSORS_MAX)
                return false;
            memcpy(checksums[(*n_checksums)++], value, sizeof value);
        } else {
            if (out->n_fields == STORE_FIELDS_MAX || strlen(name) >= STORE_FIELD_NAME_BYTES)
                return false;
            store_container_field(out, name, "%s", value);
        }
    }
    return take(r, "}");
}

static bool take_tensors(reader *r, store_container *out, char checksums[][STORE_FIELD_BYTES], size_t n_checksums)
{
    while (take(r, ",")) {
        char name[STORE_FIELD_NAME_BYTES], word[8];
        uint64_t rows = 0, columns = 1, from, to;
        store_dtype dtype = STORE_F64;
        if (out->n_tensors == STORE_TENSORS_MAX || out->n_tensors == n_checksums ||
            !take_string(r, name, sizeof name) || !take(r, ":{\"dtype\":") || !take_string(r, word, sizeof word) ||
            !take(r, ",\"shape\":[") || !take_number(r, &rows))
            return false;
        while (dtype < STORE_DTYPES && strcmp(dtypes[dtype].word, word) != 0)
            dtype++;
        bool two = take(r, ",");
        if (dtype == STORE_DTYPES || (two && !take_number(r, &columns)) || !take(r, "],\"data_offsets\":[") ||
            !take_number(r, &from) || !take(r, ",") || !take_number(r, &to) || !take(r, "]}"))
            return false;
        char *stop;
        const char *digits = checksums[out->n_tensors];
        store_container_tensor(out, name, dtype, two ? 2 : 1, (size_t)rows, (size_t)columns, NULL);
        out->tensors[out->n_tensors - 1].checksum = (uint32_t)strtoul(digits, &stop, 16);
    }
    return out->n_tensors == n_checksums && take(r, "}");
}

static hop_status damaged_header(hop_error *error)
{
    return hop_fail(error, HOP_E_FORMAT, "its header is damaged: the checksum differs");
}

hop_status store_container_parse(const char *bytes, size_t n, uint64_t file_bytes, store_container *out,
                                 hop_error *error)
{
    uint64_t length = 0;
    if (n < CHECKSUM_AT + CHECKSUM_DIGITS)
        return hop_fail(error, HOP_E_FORMAT, "it has %" PRIu64 " bytes, fewer than a header takes", file_bytes);
    memcpy(&length, bytes, LENGTH_BYTES);
    if (memcmp(bytes + LENGTH_BYTES, opening, sizeof opening - 1) != 0)
        return hop_fail(error, HOP_E_FORMAT, "this program did not write it, or its first bytes are damaged");
    if (length > STORE_HEADER_MAX - LENGTH_BYTES || length < sizeof opening - 1 + CHECKSUM_DIGITS)
        return hop_fail(error, HOP_E_FORMAT, "the length of its header is damaged");
    if (length > n - LENGTH_BYTES)
        return hop_fail(error, HOP_E_FORMAT, "it has %" PRIu64 " bytes: it ends within its header", file_bytes);

    size_t header_bytes = LENGTH_BYTES + (size_t)length;
    char digits[CHECKSUM_DIGITS + 1], again[STORE_HEADER_MAX];
    uint32_t checksum = store_checksum(0, bytes, CHECKSUM_AT);
    checksum = store_checksum(checksum, BLANK_CHECKSUM, CHECKSUM_DIGITS);
    checksum =
        store_checksum(checksum, bytes + CHECKSUM_AT + CHECKSUM_DIGITS, header_bytes - CHECKSUM_AT - CHECKSUM_DIGITS);
    snprintf(digits, sizeof digits, "%08" PRIx32, checksum);
    if (memcmp(digits, bytes + CHECKSUM_AT, CHECKSUM_DIGITS) != 0)
        return damaged_header(error);

    store_container parsed = {0};
    char checksums[STORE_TENSORS_MAX][STORE_FIELD_BYTES];
    size_t n_checksums = 0;
    reader r = {.at = bytes + CHECKSUM_AT + CHECKSUM_DIGITS, .end = bytes + header_bytes};
    bool read = take(&r, "\"") && take_fields(&r, &parsed, checksums, &n_checksums) &&
                take_tensors(&r, &parsed, checksums, n_checksums);
    /* Whatever was read loosely above, offsets, padding and digits among it, has to come out as it was. */
    if (!read || store_container_lay_out(&parsed, NULL) != HOP_OK || parsed.header_bytes != header_bytes)
        return hop_fail(error, HOP_E_FORMAT, "its header is not as this program writes it");
    store_container_encode(&parsed, again);
    if (memcmp(again, bytes, header_bytes) != 0)
        return hop_fail(error, HOP_E_FORMAT, "its header is not as this program writes it");
    if (parsed.file_bytes != file_bytes)
        return hop_fail(error, HOP_E_FORMAT, "it has %" PRIu64 " bytes, its header says %" PRIu64, file_bytes,
                        parsed.file_bytes);
    *out = parsed;
    return HOP_OK;
}
