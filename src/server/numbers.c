/*
 * numbers.c - arrays of numbers in JSON text, in one pass each way. One number is decimal.c's, the object around is
 * envelope.c's.
 */
#include "server/numbers.h"

#include "core/checked.h"
#include "server/decimal.h"
#include "server/refuse.h"
#include "server/json_text.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- in ---------------------------------------------------------------------------------------------- */

/* A pass over one array: where it is, and what it has so far. */
typedef struct reader {
    const char *text, *p, *end;
    const srv_numbers_limits *limits;
    float *data;
    size_t used, capacity;
    hop_error *error;
} reader;

static void skip_space(reader *r)
{
    while (r->p < r->end && srv_json_space(*r->p))
        r->p++;
}

static bool at(const reader *r, char c)
{
    return r->p < r->end && *r->p == c;
}

static bool starts_with(const char *p, const char *end, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(end - p) >= n && memcmp(p, word, n) == 0;
}

/* Where a number should be there is something else at p (the number began at first). Say what. */
static hop_status refuse_element(reader *r, const char *first, const char *p, size_t row, size_t column)
{
    static const char *const words[] = {"NaN", "-NaN", "Infinity", "-Infinity", "null", "true", "false"};
    char what[48];
    what[0] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof *words && first < r->end; i++)
        if (starts_with(first, r->end, words[i]))
            snprintf(what, sizeof what, "%s is not a number in JSON", words[i]);
    if (what[0] != '\0')
        p = first;
    else if (p >= r->end)
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
    long long byte = p - r->text;
    return srv_refuse(r->error, HOP_E_FORMAT, (int64_t)row, (int64_t)column, byte,
                      "%s: row %zu, column %zu: %s (byte %lld)", r->limits->name, row, column, what, byte);
}

/* Something other than numbers and their commas. */
static hop_status refuse_structure(reader *r, size_t row, const char *expected)
{
    long long byte = r->p - r->text;
    return srv_refuse(r->error, HOP_E_FORMAT, (int64_t)row, -1, byte, "%s: row %zu: %s expected (byte %lld)%s",
                      r->limits->name, row, expected, byte, r->p < r->end ? "" : ", but the text ends");
}

static hop_status grow(reader *r)
{
    enum { FIRST_CAPACITY = 256 };
    size_t most = r->limits->bytes / sizeof(float);
    if (r->capacity >= most)
        return srv_refuse_limit(r->error, r->limits->bytes_status, -1, -1, (double)r->limits->bytes, (double)NAN,
                                "%s: more than the %zu bytes that its numbers may take", r->limits->name,
                                r->limits->bytes);
    size_t capacity = FIRST_CAPACITY, bytes;
    if (r->capacity > 0 && !hop_mul_size(r->capacity, 2, &capacity))
        capacity = most;
    if (capacity > most)
        capacity = most;
    float *data = hop_mul_size(capacity, sizeof(float), &bytes) ? realloc(r->data, bytes) : NULL;
    if (!data)
        return srv_refuse(r->error, HOP_E_NOMEM, -1, -1, -1, "%s: out of memory", r->limits->name);
    r->data = data;
    r->capacity = capacity;
    return HOP_OK;
}

static hop_status read_number(reader *r, size_t row, size_t column)
{
    if (r->used == r->capacity) {
        hop_status status = grow(r);
        if (status != HOP_OK)
            return status;
    }
    const char *stop;
    switch (srv_f32_read(r->p, r->end, &stop, &r->data[r->used])) {
    case SRV_DECIMAL_OK:
        r->used++;
        r->p = stop;
        return HOP_OK;
    case SRV_DECIMAL_BEYOND_F64:
        return srv_refuse(r->error, HOP_E_FORMAT, (int64_t)row, (int64_t)column, r->p - r->text,
                          "%s: row %zu, column %zu: the number is beyond the range of f64 (byte %lld)", r->limits->name,
                          row, column, (long long)(r->p - r->text));
    case SRV_DECIMAL_BEYOND_F32:
        return srv_refuse(r->error, HOP_E_DOMAIN, (int64_t)row, (int64_t)column, r->p - r->text,
                          "%s: row %zu, column %zu: the number is beyond the range of f32 (byte %lld)", r->limits->name,
                          row, column, (long long)(r->p - r->text));
    case SRV_DECIMAL_MALFORMED:
        break;
    }
    return refuse_element(r, r->p, stop, row, column);
}

/* How many there are from p to the end of what the brackets around it close: rows that open, or commas. */
static size_t count_left(const reader *r, char what)
{
    size_t count = 0, depth = 0;
    for (const char *p = r->p; p < r->end; p++) {
        if (*p == ']' && depth-- == 0)
            break;
        count += *p == what && depth == 0;
        depth += *p == '[';
    }
    return count;
}

/* Behind an element of row `row`: past ',', or past ']' with *end set. */
static hop_status read_separator(reader *r, size_t row, bool *end)
{
    skip_space(r);
    *end = at(r, ']');
    if (!*end && !at(r, ','))
        return refuse_structure(r, row, "',' or ']'");
    r->p++;
    return HOP_OK;
}

/* Numbers up to the closing bracket, from behind the opening one. */
static hop_status read_row(reader *r, size_t row, size_t *columns)
{
    size_t n = 0;
    skip_space(r);
    if (at(r, ']')) {
        r->p++;
        *columns = 0;
        return HOP_OK;
    }
    for (;;) {
        skip_space(r);
        if (n == r->limits->columns)
            return srv_refuse_limit(r->error, HOP_E_LIMIT, (int64_t)row, (int64_t)n, (double)n,
                                    (double)(n + 1 + count_left(r, ',')), "%s: row %zu has more than %zu columns",
                                    r->limits->name, row, n);
        bool end;
        hop_status status = read_number(r, row, n);
        if (status == HOP_OK)
            status = read_separator(r, row, &end);
        if (status != HOP_OK)
            return status;
        n++;
        if (end) {
            *columns = n;
            return HOP_OK;
        }
    }
}

static hop_status read_rows(reader *r, size_t *rows, size_t *columns)
{
    size_t n = 0, expected = 0;
    for (;;) {
        skip_space(r);
        if (n == r->limits->rows)
            return srv_refuse_limit(r->error, HOP_E_LIMIT, (int64_t)n, -1, (double)n, (double)(n + count_left(r, '[')),
                                    "%s: more than %zu rows", r->limits->name, n);
        if (!at(r, '['))
            return r->p < r->end && n > 0 && (*r->p == '-' || (*r->p >= '0' && *r->p <= '9'))
                       ? refuse_structure(r, n, "a row in brackets like the rows before it,")
                       : refuse_structure(r, n, "a row, '[',");
        r->p++;
        size_t length;
        hop_status status = read_row(r, n, &length);
        if (status != HOP_OK)
            return status;
        if (n == 0)
            expected = length;
        if (length != expected)
            return srv_refuse(r->error, HOP_E_SHAPE, (int64_t)n, -1, -1, "%s: row %zu has %zu numbers, row 0 has %zu",
                              r->limits->name, n, length, expected);
        n++;
        bool end;
        status = read_separator(r, n, &end);
        if (status != HOP_OK)
            return status;
        if (end) {
            *rows = n;
            *columns = expected;
            return HOP_OK;
        }
    }
}

/* From behind the opening bracket to behind the closing one. */
static hop_status read_array(reader *r, size_t *rows, size_t *columns)
{
    skip_space(r);
    if (at(r, ']')) {
        r->p++;
        *rows = *columns = 0;
        return HOP_OK;
    }
    if (at(r, '['))
        return read_rows(r, rows, columns);
    bool number = r->p < r->end && (*r->p == '-' || (*r->p >= '0' && *r->p <= '9'));
    if (number && !r->limits->flat)
        return refuse_structure(r, 0, "a list of rows, each in brackets of its own,");
    *rows = 1;
    return read_row(r, 0, columns);
}

hop_status srv_numbers_read(const char *text, size_t n, size_t at_byte, const srv_numbers_limits *limits, size_t *end,
                            srv_numbers *out, hop_error *error)
{
    reader r = {.text = text, .p = text + at_byte + 1, .end = text + n, .limits = limits, .error = error};
    srv_numbers result;
    hop_status status = read_array(&r, &result.rows, &result.columns);
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
    result.data = r.data;
    *end = (size_t)(r.p - text);
    *out = result;
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
