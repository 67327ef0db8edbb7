/*
 * npy.c - NumPy's array file over memory. Limits, files and networks are the callers'.
 */
#include "store/npy.h"

#include "core/checked.h"
#include "core/status.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arrays are read in place as little-endian");

enum { PREAMBLE_V1 = 10, PREAMBLE_V2 = 12 };

static const char magic[STORE_NPY_MAGIC_BYTES] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

/* As hop_fail(), naming a byte of the file (-1: none). */
__attribute__((format(printf, 3, 4))) static hop_status refuse(hop_error *error, int64_t byte, const char *format, ...)
{
    if (!error || error->status != HOP_OK)
        return HOP_E_FORMAT;
    char text[HOP_ERROR_TEXT_BYTES - 32];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (byte >= 0)
        hop_fail(error, HOP_E_FORMAT, "npy: %s (byte %lld)", text, (long long)byte);
    else
        hop_fail(error, HOP_E_FORMAT, "npy: %s", text);
    error->byte = byte;
    return HOP_E_FORMAT;
}

bool store_npy_magic(const void *bytes, size_t n)
{
    return n >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

/* Where the header's text starts, and how long it is. n >= PREAMBLE_V2. */
static void read_preamble(const unsigned char *s, size_t *start, size_t *length)
{
    *start = s[6] == 1 ? PREAMBLE_V1 : PREAMBLE_V2;
    *length = s[8] | (size_t)s[9] << 8;
    if (s[6] != 1)
        *length |= (size_t)s[10] << 16 | (size_t)s[11] << 24;
}

size_t store_npy_header_need(const void *bytes, size_t n)
{
    if (n < PREAMBLE_V2)
        return PREAMBLE_V2;
    size_t start, length;
    read_preamble(bytes, &start, &length);
    return start + length;
}

/* ---- the header's dictionary --------------------------------------------------------------------------- */

/* A reader of the little of Python's syntax that NumPy writes. */
typedef struct cursor {
    const char *file, *p, *end;
    hop_error *error;
} cursor;

enum { KEY_DESCR, KEY_FORTRAN, KEY_SHAPE, KEYS };

static const char *const key_names[KEYS] = {"descr", "fortran_order", "shape"};

static const struct {
    const char *name;
    store_npy_type type;
    size_t bytes;
} types[] = {
    {"<f4", STORE_NPY_F4, 4},
    {"<f8", STORE_NPY_F8, 8},
    {"<f2", STORE_NPY_F2, 2},
    {"|u1", STORE_NPY_U1, 1},
};

/* What the dictionary said. */
typedef struct description {
    store_npy_header header;
    bool seen[KEYS];
    size_t dimensions, shape[2];
} description;

static hop_status refuse_here(const cursor *c, const char *what)
{
    return refuse(c->error, c->p - c->file, "header: %s", what);
}

static void skip_space(cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
        c->p++;
}

static bool take(cursor *c, char wanted)
{
    skip_space(c);
    if (c->p == c->end || *c->p != wanted)
        return false;
    c->p++;
    return true;
}

/* A quoted string without escapes, of printable ASCII. */
static hop_status read_string(cursor *c, const char **text, size_t *length)
{
    skip_space(c);
    if (c->p == c->end || (*c->p != '\'' && *c->p != '"'))
        return refuse_here(c, "a string in quotes expected");
    char quote = *c->p++;
    *text = c->p;
    for (; c->p < c->end && *c->p != quote; c->p++)
        if (*c->p < ' ' || *c->p > '~' || *c->p == '\\')
            return refuse_here(c, "a string of plain characters expected");
    if (c->p == c->end)
        return refuse_here(c, "a string does not end");
    *length = (size_t)(c->p - *text);
    c->p++;
    return HOP_OK;
}

static bool same(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static hop_status read_descr(cursor *c, store_npy_header *header)
{
    skip_space(c);
    if (c->p < c->end && *c->p == '[')
        return refuse_here(c, "structured dtypes are not taken; <f4, <f8, <f2 or |u1 expected");
    const char *start = c->p, *text;
    size_t length;
    hop_status status = read_string(c, &text, &length);
    if (status != HOP_OK)
        return status;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (same(text, length, types[i].name)) {
            header->type = types[i].type;
            header->element_bytes = types[i].bytes;
            return HOP_OK;
        }
    bool object = memchr(text, 'O', length) != NULL;
    return refuse(c->error, start - c->file, "header: dtype '%.*s' is not taken%s; <f4, <f8, <f2 or |u1 expected",
                  length < 40 ? (int)length : 40, text, object ? " (Python objects are never unpickled)" : "");
}

static hop_status read_fortran(cursor *c, store_npy_header *header)
{
    skip_space(c);
    size_t left = (size_t)(c->end - c->p);
    if (left >= 4 && memcmp(c->p, "True", 4) == 0) {
        header->fortran = true;
        c->p += 4;
        return HOP_OK;
    }
    if (left >= 5 && memcmp(c->p, "False", 5) == 0) {
        header->fortran = false;
        c->p += 5;
        return HOP_OK;
    }
    return refuse_here(c, "fortran_order must be True or False");
}

static hop_status read_size(cursor *c, size_t *out)
{
    const char *start = c->p;
    size_t value = 0;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
        if (!hop_mul_size(value, 10, &value) || !hop_add_size(value, (size_t)(*c->p - '0'), &value))
            return refuse_here(c, "a size of the shape is too large");
    if (c->p == start)
        return refuse_here(c, "a size (a whole number of at least 0) expected in the shape");
    if (*start == '0' && c->p - start > 1)
        return refuse_here(c, "a size of the shape has leading zeros");
    *out = value;
    return HOP_OK;
}

/* "(3, 4)", "(3,)", "()". More than two sizes are counted, not kept. */
static hop_status read_shape(cursor *c, description *d)
{
    if (!take(c, '('))
        return refuse_here(c, "the shape must be a tuple, '(' expected");
    d->dimensions = 0;
    while (!take(c, ')')) {
        size_t size = 0;
        skip_space(c);
        hop_status status = read_size(c, &size);
        if (status != HOP_OK)
            return status;
        if (d->dimensions < 2)
            d->shape[d->dimensions] = size;
        d->dimensions++;
        if (take(c, ','))
            continue;
        if (d->dimensions == 1 || !take(c, ')'))
            return refuse_here(c, "',' or ')' expected in the shape");
        break;
    }
    return HOP_OK;
}

static hop_status read_entry(cursor *c, description *d)
{
    skip_space(c);
    const char *start = c->p, *text;
    size_t length;
    hop_status status = read_string(c, &text, &length);
    if (status != HOP_OK)
        return status;
    unsigned key = 0;
    while (key < KEYS && !same(text, length, key_names[key]))
        key++;
    if (key == KEYS || d->seen[key])
        return refuse(c->error, start - c->file, "header: %s key '%.*s'", key == KEYS ? "unknown" : "repeated",
                      length < 40 ? (int)length : 40, text);
    d->seen[key] = true;
    if (!take(c, ':'))
        return refuse_here(c, "':' expected");
    switch (key) {
    case KEY_DESCR:
        return read_descr(c, &d->header);
    case KEY_FORTRAN:
        return read_fortran(c, &d->header);
    default:
        return read_shape(c, d);
    }
}

static hop_status read_dictionary(cursor *c, description *d)
{
    if (!take(c, '{'))
        return refuse_here(c, "a dictionary, '{', expected");
    while (!take(c, '}')) {
        hop_status status = read_entry(c, d);
        if (status != HOP_OK)
            return status;
        if (take(c, ','))
            continue;
        if (!take(c, '}'))
            return refuse_here(c, "',' or '}' expected");
        break;
    }
    skip_space(c);
    if (c->p < c->end)
        return refuse_here(c, "something follows the dictionary");
    for (unsigned key = 0; key < KEYS; key++)
        if (!d->seen[key])
            return refuse(c->error, -1, "header: '%s' is missing", key_names[key]);
    return HOP_OK;
}

/* ---- header ---------------------------------------------------------------------------------------------- */

static hop_status apply_shape(const description *d, bool flat_allowed, store_npy_header *header, hop_error *error)
{
    if (d->dimensions == 1 && flat_allowed) {
        header->flat = true;
        header->rows = 1;
        header->columns = d->shape[0];
    } else if (d->dimensions == 2) {
        header->rows = d->shape[0];
        header->columns = d->shape[1];
    } else {
        return refuse(error, -1, "the array has %zu dimension%s, 2 expected", d->dimensions,
                      d->dimensions == 1 ? "" : "s");
    }
    /* Rows become f32: that size must not overflow either. */
    size_t f32_bytes;
    if (!hop_array_bytes(header->rows, header->columns, header->element_bytes, &header->data_bytes) ||
        !hop_array_bytes(header->rows, header->columns, sizeof(float), &f32_bytes))
        return refuse(error, -1, "a shape of %zu x %zu is too large", header->rows, header->columns);
    header->fortran = header->fortran && header->rows > 1 && header->columns > 1;
    return HOP_OK;
}

hop_status store_npy_header_parse(const void *bytes, size_t n, bool flat_allowed, store_npy_header *out,
                                  hop_error *error)
{
    const unsigned char *s = bytes;
    if (n < PREAMBLE_V2)
        return refuse(error, (int64_t)n, "truncated: %zu bytes are too few for any header", n);
    if (!store_npy_magic(bytes, n))
        return refuse(error, 0, "the magic \\x93NUMPY is missing");
    if ((s[6] != 1 && s[6] != 2) || s[7] != 0)
        return refuse(error, 6, "version %u.%u is not taken; 1.0 or 2.0 expected", s[6], s[7]);
    size_t start, length;
    read_preamble(s, &start, &length);
    if (start + length > STORE_NPY_HEADER_MAX) {
        bool first = error && error->status == HOP_OK;
        refuse(error, 8, "a header of %zu bytes, the limit is %d", start + length, STORE_NPY_HEADER_MAX);
        if (first) {
            error->limit = STORE_NPY_HEADER_MAX;
            error->actual = (double)(start + length);
        }
        return HOP_E_FORMAT;
    }
    if (start + length > n)
        return refuse(error, (int64_t)n, "truncated: the header has %zu bytes, the file %zu", start + length, n);

    cursor c = {.file = bytes, .p = (const char *)bytes + start, .error = error};
    c.end = c.p + length;
    description d = {.header = {.header_bytes = start + length}};
    hop_status status = read_dictionary(&c, &d);
    if (status != HOP_OK)
        return status;
    store_npy_header header = d.header;
    status = apply_shape(&d, flat_allowed, &header, error);
    if (status != HOP_OK)
        return status;
    *out = header;
    return HOP_OK;
}

hop_status store_npy_check_length(const store_npy_header *header, size_t file_bytes, hop_error *error)
{
    size_t data_bytes = file_bytes < header->header_bytes ? 0 : file_bytes - header->header_bytes;
    if (data_bytes == header->data_bytes)
        return HOP_OK;
    return refuse(error, (int64_t)file_bytes, "%s: a shape of %zu x %zu needs %zu bytes of data, there are %zu",
                  data_bytes < header->data_bytes ? "truncated" : "too long", header->rows, header->columns,
                  header->data_bytes, data_bytes);
}

void store_npy_header_write(void *out, size_t rows, size_t columns)
{
    char text[STORE_NPY_WRITE_BYTES + 1];
    int length =
        snprintf(text, sizeof text, "%.6s%c%c%c%c{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }",
                 magic, 1, 1, 1, 1, rows, columns);
    memset(text + length, ' ', STORE_NPY_WRITE_BYTES - (size_t)length);
    text[7] = 0;
    text[8] = (char)(STORE_NPY_WRITE_BYTES - PREAMBLE_V1);
    text[9] = 0;
    text[STORE_NPY_WRITE_BYTES - 1] = '\n';
    memcpy(out, text, STORE_NPY_WRITE_BYTES);
}

/* ---- rows ------------------------------------------------------------------------------------------------ */

/* Exact: every f2 is an f32. */
static float widen_f2(const unsigned char *s)
{
    uint32_t half = s[0] | (uint32_t)s[1] << 8;
    uint32_t sign = (half & 0x8000) << 16, exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
    if (exponent == 0) { /* 0 and subnormals: fraction x 2^-24 */
        float magnitude = (float)fraction * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    uint32_t bits = exponent == 0x1f ? 0x7f800000 | fraction << 13 : (exponent + 112) << 23 | fraction << 13;
    bits |= sign;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float load_f4(const unsigned char *s)
{
    float value;
    memcpy(&value, s, sizeof value);
    return value;
}

static float load_f8(const unsigned char *s)
{
    double value;
    memcpy(&value, s, sizeof value);
    return (float)value;
}

/* n elements, `step` bytes apart in, `out_step` floats apart out. */
static void convert(store_npy_type type, const unsigned char *s, size_t step, size_t n, float *out, size_t out_step)
{
    switch (type) {
    case STORE_NPY_F4:
        for (size_t i = 0; i < n; i++)
            out[i * out_step] = load_f4(s + i * step);
        break;
    case STORE_NPY_F8:
        for (size_t i = 0; i < n; i++)
            out[i * out_step] = load_f8(s + i * step);
        break;
    case STORE_NPY_F2:
        for (size_t i = 0; i < n; i++)
            out[i * out_step] = widen_f2(s + i * step);
        break;
    case STORE_NPY_U1:
        for (size_t i = 0; i < n; i++)
            out[i * out_step] = s[i * step];
        break;
    }
}

size_t store_npy_element_bytes(store_npy_type type)
{
    size_t i = 0;
    while (types[i].type != type)
        i++;
    return types[i].bytes;
}

void store_npy_convert(store_npy_type type, const void *bytes, size_t n, float *out)
{
    if (type == STORE_NPY_F4)
        memcpy(out, bytes, n * sizeof *out);
    else
        convert(type, bytes, store_npy_element_bytes(type), n, out, 1);
}

size_t store_first_not_finite(const float *x, size_t n)
{
    enum { BLOCK = 1024 };
    for (size_t start = 0; start < n; start += BLOCK) {
        size_t count = n - start < BLOCK ? n - start : BLOCK;
        uint32_t found = 0;
        for (size_t i = 0; i < count; i++) {
            uint32_t bits;
            memcpy(&bits, &x[start + i], sizeof bits);
            found |= (bits & 0x7f800000) == 0x7f800000;
        }
        for (size_t i = 0; found && i < count; i++)
            if (!isfinite(x[start + i]))
                return start + i;
    }
    return n;
}

hop_status store_npy_rows(const store_npy_header *header, const void *data, size_t first_row, size_t n, float *out,
                          hop_error *error)
{
    enum { TILE = 64 }; /* rows that are transposed together: reads stay within a few cache lines a column */
    const unsigned char *s = data;
    size_t columns = header->columns, bytes = header->element_bytes;
    if (!header->fortran) {
        convert(header->type, s, bytes, n * columns, out, 1);
    } else {
        for (size_t start = 0; start < n; start += TILE) {
            size_t count = n - start < TILE ? n - start : TILE;
            for (size_t j = 0; j < columns; j++)
                convert(header->type, s + (j * header->rows + first_row + start) * bytes, bytes, count,
                        out + start * columns + j, columns);
        }
    }
    size_t cells = n * columns, bad = store_first_not_finite(out, cells);
    if (bad == cells)
        return HOP_OK;
    size_t row = first_row + bad / columns, column = bad % columns;
    return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)row, (int64_t)column, "row %zu, column %zu: the number is %s", row,
                       column, isnan(out[bad]) ? "NaN" : "infinite as f32");
}
