/*
 * numbers.c - arrays of numbers in JSON text, in one pass each way. One number is decimal.c's, the object around is
 * envelope.c's, or json_upload.c's.
 */
#include "server/numbers.h"

#include "core/checked.h"
#include "server/decimal.h"
#include "server/refuse.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- in ---------------------------------------------------------------------------------------------- */

/* What comes next. Zero is where an array starts, behind its bracket. */
enum { ARRAY_START, ROW, ROW_START, ELEMENT, ELEMENT_END, ROW_END, TOO_MANY_COLUMNS, TOO_MANY_ROWS, ARRAY_END };

/* A pass over one piece of an array. */
typedef struct pass {
    srv_numbers_reader *r;
    const srv_piece *piece;
    const char *p, *end;
    bool more; /* the piece ends where the text goes on: nothing else can be told from it */
    hop_error *error;
} pass;

static void skip_space(pass *k)
{
    while (k->p < k->end && srv_json_space(*k->p))
        k->p++;
}

static bool at(const pass *k, char c)
{
    return k->p < k->end && *k->p == c;
}

static bool at_number(const pass *k)
{
    return k->p < k->end && (*k->p == '-' || (*k->p >= '0' && *k->p <= '9'));
}

static bool at_gap(pass *k)
{
    k->more = k->p == k->end && !k->piece->last;
    return k->more;
}

static long long byte_of(const pass *k, const char *p)
{
    return (long long)k->piece->offset + (p - k->piece->text);
}

static bool starts_with(const char *p, const char *end, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(end - p) >= n && memcmp(p, word, n) == 0;
}

enum { WORD_BYTES = 9 };

/* Where a number should be there is something else at p (the number began at first). Say what. */
static hop_status refuse_element(pass *k, const char *first, const char *p)
{
    static const char *const words[] = {"NaN", "-NaN", "Infinity", "-Infinity", "null", "true", "false"};
    size_t row = k->r->rows, column = k->r->column;
    char what[48];
    what[0] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof *words && first < k->end; i++)
        if (starts_with(first, k->end, words[i]))
            snprintf(what, sizeof what, "%s is not a number in JSON", words[i]);
    if (what[0] != '\0')
        p = first;
    else if (p >= k->end)
        snprintf(what, sizeof what, "the array ends too early");
    else if (p == first && *p == '"')
        snprintf(what, sizeof what, "a string where a number should be");
    else if (p == first && *p == '[')
        snprintf(what, sizeof what, "an array where a number should be");
    else if (p == first && *p == '{')
        snprintf(what, sizeof what, "an object where a number should be");
    else if (p == first && (*p == ',' || *p == ']'))
        snprintf(what, sizeof what, "a number is missing");
    else if (*p > ' ' && *p < 0x7f)
        snprintf(what, sizeof what, "not a number in JSON at '%c'", *p);
    else
        snprintf(what, sizeof what, "not a number in JSON at byte value %u", (unsigned)(unsigned char)*p);
    return srv_refuse(k->error, HOP_E_FORMAT, (int64_t)row, (int64_t)column, byte_of(k, p),
                      "%s: row %zu, column %zu: %s (byte %lld)", k->r->limits->name, row, column, what, byte_of(k, p));
}

/* The number at p is one, and is refused. */
static hop_status refuse_number(pass *k, hop_status status, const char *why)
{
    size_t row = k->r->rows, column = k->r->column;
    return srv_refuse(k->error, status, (int64_t)row, (int64_t)column, byte_of(k, k->p),
                      "%s: row %zu, column %zu: the number is %s (byte %lld)", k->r->limits->name, row, column, why,
                      byte_of(k, k->p));
}

/* Something other than numbers and their commas. */
static hop_status refuse_structure(pass *k, const char *expected)
{
    size_t row = k->r->rows;
    long long byte = byte_of(k, k->p);
    return srv_refuse(k->error, HOP_E_FORMAT, (int64_t)row, -1, byte, "%s: row %zu: %s expected (byte %lld)%s",
                      k->r->limits->name, row, expected, byte, k->p < k->end ? "" : ", but the text ends");
}

static hop_status grow(srv_numbers_reader *r, hop_error *error)
{
    enum { FIRST_CAPACITY = 256 };
    size_t most = r->limits->bytes / sizeof(float);
    if (r->capacity >= most)
        return srv_refuse_limit(error, r->limits->bytes_status, -1, -1, (double)r->limits->bytes, (double)NAN,
                                "%s: more than the %zu bytes that its numbers may take", r->limits->name,
                                r->limits->bytes);
    size_t capacity = FIRST_CAPACITY, bytes;
    if (r->capacity > 0 && !hop_mul_size(r->capacity, 2, &capacity))
        capacity = most;
    if (capacity > most)
        capacity = most;
    float *data = hop_mul_size(capacity, sizeof(float), &bytes) ? realloc(r->data, bytes) : NULL;
    if (!data)
        return srv_refuse(error, HOP_E_NOMEM, -1, -1, -1, "%s: out of memory", r->limits->name);
    r->data = data;
    r->capacity = capacity;
    return HOP_OK;
}

/* True where the number that the piece before cut short goes on through all of this one, with digits alone. */
static bool still_digits(pass *k)
{
    const char *q = k->p + k->r->known;
    while (q < k->end && *q >= '0' && *q <= '9')
        q++;
    k->r->known = 0;
    k->more = q == k->end && !k->piece->last && q - k->p <= SRV_NUMBER_BYTES;
    if (k->more)
        k->r->known = (size_t)(q - k->p);
    return k->more;
}

_Static_assert(SRV_NUMBER_BYTES == 32768, "as the refusal says");

static hop_status read_number(pass *k)
{
    srv_numbers_reader *r = k->r;
    if (r->known > 0 && still_digits(k))
        return HOP_OK;
    if (r->used == r->capacity) {
        hop_status status = grow(r, k->error);
        if (status != HOP_OK)
            return status;
    }
    const char *stop;
    srv_decimal read = srv_f32_read(k->p, k->end, &stop, &r->data[r->used]);
    if (stop - k->p > SRV_NUMBER_BYTES)
        return refuse_number(k, HOP_E_FORMAT, "longer than 32768 characters");
    if (stop == k->end && !k->piece->last) {
        k->more = true;
        r->known = (size_t)(stop - k->p);
        return HOP_OK;
    }
    switch (read) {
    case SRV_DECIMAL_OK:
        r->used++;
        r->column++;
        r->state = ELEMENT_END;
        k->p = stop;
        return HOP_OK;
    case SRV_DECIMAL_BEYOND_F64:
        return refuse_number(k, HOP_E_FORMAT, "beyond the range of f64");
    case SRV_DECIMAL_BEYOND_F32:
        return refuse_number(k, HOP_E_DOMAIN, "beyond the range of f32");
    case SRV_DECIMAL_MALFORMED:
        break;
    }
    k->more = !k->piece->last && k->end - k->p < WORD_BYTES;
    return k->more ? HOP_OK : refuse_element(k, k->p, stop);
}

/*
 * Beyond a limit: how many there are in all, rows that open or commas, up to the end of what the brackets around
 * close.
 */
static hop_status count_excess(pass *k, char what)
{
    srv_numbers_reader *r = k->r;
    for (; k->p < k->end; k->p++) {
        if (*k->p == ']' && r->depth-- == 0)
            break;
        r->excess += *k->p == what && r->depth == 0;
        r->depth += *k->p == '[';
    }
    if (at_gap(k))
        return HOP_OK;
    size_t row = r->rows, column = r->column;
    if (what == '[')
        return srv_refuse_limit(k->error, HOP_E_LIMIT, (int64_t)row, -1, (double)row, (double)(row + r->excess),
                                "%s: more than %zu rows", r->limits->name, row);
    return srv_refuse_limit(k->error, HOP_E_LIMIT, (int64_t)row, (int64_t)column, (double)column,
                            (double)(column + 1 + r->excess), "%s: row %zu has more than %zu columns", r->limits->name,
                            row, column);
}

static hop_status give_rows(srv_numbers_reader *r, hop_error *error)
{
    if (!r->take || r->used == 0)
        return HOP_OK;
    size_t n = r->used / r->columns;
    r->used = 0;
    return r->take(r->context, n, r->columns, r->data, error);
}

/* Behind the bracket that closes a row. */
static hop_status end_row(pass *k)
{
    srv_numbers_reader *r = k->r;
    size_t row = r->rows;
    if (row == 0)
        r->columns = r->column;
    if (r->column != r->columns)
        return srv_refuse(k->error, HOP_E_SHAPE, (int64_t)row, -1, -1, "%s: row %zu has %zu numbers, row 0 has %zu",
                          r->limits->name, row, r->column, r->columns);
    r->rows++;
    r->column = 0;
    r->state = r->flat ? ARRAY_END : ROW_END;
    return r->used < SRV_NUMBERS_BATCH && !r->flat ? HOP_OK : give_rows(r, k->error);
}

/* Numbers and what is between them, up to the end of the row. */
static hop_status read_elements(pass *k)
{
    srv_numbers_reader *r = k->r;
    for (;;) {
        if (r->state == ELEMENT) {
            skip_space(k);
            if (k->p == k->end && at_gap(k))
                return HOP_OK;
            if (r->column == r->limits->columns) {
                r->state = TOO_MANY_COLUMNS;
                return HOP_OK;
            }
            hop_status status = read_number(k);
            if (status != HOP_OK || k->more)
                return status;
        }
        if (!at(k, ',')) {
            skip_space(k);
            if (at_gap(k))
                return HOP_OK;
            if (at(k, ']')) {
                k->p++;
                return end_row(k);
            }
            if (!at(k, ','))
                return refuse_structure(k, "',' or ']'");
        }
        k->p++;
        r->state = ELEMENT;
    }
}

static hop_status start_array(pass *k)
{
    srv_numbers_reader *r = k->r;
    if (at(k, ']')) {
        k->p++;
        r->state = ARRAY_END;
        return HOP_OK;
    }
    if (at(k, '[')) {
        r->state = ROW;
        return HOP_OK;
    }
    if (at_number(k) && !r->limits->flat)
        return refuse_structure(k, "a list of rows, each in brackets of its own,");
    r->flat = true;
    r->state = ELEMENT;
    return HOP_OK;
}

static hop_status start_row(pass *k)
{
    srv_numbers_reader *r = k->r;
    if (r->rows == r->limits->rows) {
        r->state = TOO_MANY_ROWS;
        return HOP_OK;
    }
    if (!at(k, '['))
        return refuse_structure(k, at_number(k) && r->rows > 0 ? "a row in brackets like the rows before it,"
                                                               : "a row, '[',");
    k->p++;
    r->state = ROW_START;
    return HOP_OK;
}

/* Behind a row, or the last one. */
static hop_status between_rows(pass *k)
{
    bool end = at(k, ']');
    if (!end && !at(k, ','))
        return refuse_structure(k, "',' or ']'");
    k->p++;
    k->r->state = end ? ARRAY_END : ROW;
    return end ? give_rows(k->r, k->error) : HOP_OK;
}

static hop_status step(pass *k)
{
    srv_numbers_reader *r = k->r;
    if (r->state == ELEMENT || r->state == ELEMENT_END)
        return read_elements(k);
    if (r->state == TOO_MANY_COLUMNS)
        return count_excess(k, ',');
    if (r->state == TOO_MANY_ROWS)
        return count_excess(k, '[');
    skip_space(k);
    if (at_gap(k))
        return HOP_OK;
    if (r->state == ARRAY_START)
        return start_array(k);
    if (r->state == ROW)
        return start_row(k);
    if (r->state == ROW_END)
        return between_rows(k);
    if (at(k, ']')) { /* ROW_START */
        k->p++;
        return end_row(k);
    }
    r->state = ELEMENT;
    return HOP_OK;
}

hop_status srv_numbers_feed(srv_numbers_reader *r, const srv_piece *piece, size_t *at_byte, bool *done,
                            hop_error *error)
{
    pass k = {.r = r, .piece = piece, .p = piece->text + *at_byte, .end = piece->text + piece->n, .error = error};
    while (r->state != ARRAY_END && !k.more) {
        hop_status status = step(&k);
        if (status != HOP_OK)
            return status;
    }
    *done = r->state == ARRAY_END;
    *at_byte = (size_t)(k.p - piece->text);
    return HOP_OK;
}

hop_status srv_numbers_read(const char *text, size_t n, size_t at_byte, const srv_numbers_limits *limits, size_t *end,
                            srv_numbers *out, hop_error *error)
{
    const srv_piece piece = {.text = text, .n = n, .last = true};
    srv_numbers_reader r = {.limits = limits};
    size_t behind = at_byte + 1;
    bool done;
    hop_status status = srv_numbers_feed(&r, &piece, &behind, &done, error);
    if (status != HOP_OK || r.used == 0) {
        free(r.data);
        r.data = NULL;
    } else if (r.used < r.capacity) {
        float *data = realloc(r.data, r.used * sizeof(float));
        if (data)
            r.data = data;
    }
    if (status != HOP_OK)
        return status;
    *end = behind;
    *out = (srv_numbers){.rows = r.rows, .columns = r.columns, .data = r.data};
    return HOP_OK;
}

/* ---- out --------------------------------------------------------------------------------------------- */

char *srv_row_write(char *out, size_t n, const float *row)
{
    *out++ = '[';
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            *out++ = ',';
        out = srv_f32_write(out, row[i]);
    }
    *out++ = ']';
    return out;
}
