/*
 * arrays.c - f32 arrays from the bodies that may carry them. JSON text is envelope.c's, npy files are npy.c's.
 */
#include "server/arrays.h"

#include "core/checked.h"
#include "server/refuse.h"
#include "store/npy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

hop_status srv_arrays_open_rest(const srv_envelope *envelope, const char *const *known, srv_json **json,
                                hop_error *error)
{
    srv_json *parsed;
    hop_status status = srv_json_parse(envelope, &parsed, error);
    if (status != HOP_OK)
        return status;
    status = srv_json_refuse_unknown(parsed, known, error);
    if (status == HOP_OK && envelope->oversize >= 0)
        status = srv_refuse(error, HOP_E_FORMAT, -1, -1, envelope->oversize,
                            "the value at byte %lld is longer than %d bytes, which no option is",
                            (long long)envelope->oversize, SRV_ENVELOPE_VALUE);
    if (status != HOP_OK) {
        srv_json_free(parsed);
        return status;
    }
    *json = parsed;
    return HOP_OK;
}

hop_status srv_arrays_open_json(const srv_args_source *source, srv_bulk *bulk, size_t n_bulk, const char *const *known,
                                srv_json **json, hop_error *error)
{
    static char empty[] = "";
    srv_envelope envelope;
    hop_status status =
        srv_envelope_open(source->body ? source->body : empty, source->body_bytes, bulk, n_bulk, &envelope, error);
    return status == HOP_OK ? srv_arrays_open_rest(&envelope, known, json, error) : status;
}

hop_status srv_arrays_check_type(const srv_json *json, const char *name, bool found, const char *type, hop_error *error)
{
    if (found || !srv_json_has(json, name))
        return HOP_OK;
    return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`%s` must be %s", name, type);
}

hop_status srv_arrays_check_finite(const char *name, const float *data, size_t rows, size_t columns, hop_error *error)
{
    size_t bad = store_first_not_finite(data, rows * columns);
    if (bad == rows * columns)
        return HOP_OK;
    return srv_refuse(error, HOP_E_DOMAIN, (int64_t)(bad / columns), (int64_t)(bad % columns), -1,
                      "%s: row %zu, column %zu: the number is %s", name, bad / columns, bad % columns,
                      isnan(data[bad]) ? "NaN" : "infinite");
}

/* rows x columns from a header or a shape, before anything is allocated. */
hop_status srv_arrays_check_limits(const srv_numbers_limits *limits, size_t rows, size_t columns, hop_error *error)
{
    if (rows > limits->rows)
        return srv_refuse_limit(error, HOP_E_LIMIT, -1, -1, (double)limits->rows, (double)rows,
                                "%s: %zu rows, the limit is %zu", limits->name, rows, limits->rows);
    if (columns > limits->columns)
        return srv_refuse_limit(error, HOP_E_LIMIT, -1, -1, (double)limits->columns, (double)columns,
                                "%s: %zu columns, the limit is %zu", limits->name, columns, limits->columns);
    size_t bytes;
    if (!hop_array_bytes(rows, columns, sizeof(float), &bytes))
        bytes = SIZE_MAX;
    if (bytes > limits->bytes)
        return srv_refuse_limit(error, limits->bytes_status, -1, -1, (double)limits->bytes, (double)bytes,
                                "%s: %zu x %zu numbers are %zu bytes, the limit is %zu", limits->name, rows, columns,
                                bytes, limits->bytes);
    return HOP_OK;
}

static hop_status new_array(const char *name, size_t rows, size_t columns, float **out, hop_error *error)
{
    size_t bytes;
    *out = hop_array_bytes(rows, columns, sizeof(float), &bytes) ? malloc(bytes > 0 ? bytes : 1) : NULL;
    return *out ? HOP_OK : srv_refuse(error, HOP_E_NOMEM, -1, -1, -1, "%s: out of memory", name);
}

hop_status srv_arrays_read_npy(const srv_args_source *source, const srv_numbers_limits *limits, srv_numbers *out,
                               hop_error *error)
{
    store_npy_header header;
    hop_status status =
        store_npy_header_parse(source->body ? source->body : "", source->body_bytes, limits->flat, &header, error);
    if (status == HOP_OK)
        status = store_npy_check_length(&header, source->body_bytes, error);
    if (status == HOP_OK)
        status = srv_arrays_check_limits(limits, header.rows, header.columns, error);
    if (status != HOP_OK)
        return status;
    float *data;
    status = new_array(limits->name, header.rows, header.columns, &data, error);
    if (status != HOP_OK)
        return status;
    status = store_npy_rows(&header, source->body + header.header_bytes, 0, header.rows, data, error);
    if (status != HOP_OK) {
        free(data);
        return status;
    }
    *out = (srv_numbers){.rows = header.rows, .columns = header.columns, .data = data};
    return HOP_OK;
}

/* Raw f32 rows of d numbers. d > 0. */
hop_status srv_arrays_read_raw(const srv_args_source *source, size_t d, const srv_numbers_limits *limits,
                               srv_numbers *out, hop_error *error)
{
    size_t row_bytes;
    if (!hop_mul_size(d, sizeof(float), &row_bytes))
        return srv_refuse(error, HOP_E_SHAPE, -1, -1, -1, "d = %zu is too large", d);
    if (source->body_bytes == 0)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, 0, "%s: the body is empty", limits->name);
    if (source->body_bytes % row_bytes != 0)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, (int64_t)source->body_bytes,
                          "%s: %zu bytes are not a whole number of rows of %zu f32 (%zu bytes each)", limits->name,
                          source->body_bytes, d, row_bytes);
    size_t rows = source->body_bytes / row_bytes;
    hop_status status = srv_arrays_check_limits(limits, rows, d, error);
    if (status != HOP_OK)
        return status;
    float *data;
    status = new_array(limits->name, rows, d, &data, error);
    if (status != HOP_OK)
        return status;
    memcpy(data, source->body, source->body_bytes);
    status = srv_arrays_check_finite(limits->name, data, rows, d, error);
    if (status != HOP_OK) {
        free(data);
        return status;
    }
    *out = (srv_numbers){.rows = rows, .columns = d, .data = data};
    return HOP_OK;
}

bool srv_arrays_is_npy(const srv_args_source *source)
{
    return source->media == SRV_MEDIA_NPY || (source->body && store_npy_magic(source->body, source->body_bytes));
}
