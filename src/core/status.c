/*
 * status.c - the words of the status codes and the first-writer-wins error buffer.
 */
#include "core/status.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const words[] = {
    [HOP_OK] = "ok",
    [HOP_E_SHAPE] = "shape",
    [HOP_E_DOMAIN] = "domain",
    [HOP_E_LIMIT] = "limit",
    [HOP_E_UNMET] = "unmet",
    [HOP_E_FORMAT] = "format",
    [HOP_E_UNKNOWN] = "unknown",
    [HOP_E_NOT_FOUND] = "not_found",
    [HOP_E_EXISTS] = "exists",
    [HOP_E_BUSY] = "busy",
    [HOP_E_BUDGET] = "budget",
    [HOP_E_CANCELLED] = "cancelled",
    [HOP_E_UNLOADED] = "unloaded",
    [HOP_E_NOMEM] = "nomem",
    [HOP_E_SPACE] = "space",
    [HOP_E_IO] = "io",
    [HOP_E_INTERNAL] = "internal",
};

const char *hop_status_word(hop_status status)
{
    size_t i = (size_t)status;
    return i < sizeof words / sizeof *words ? words[i] : "internal";
}

__attribute__((format(printf, 5, 0))) static hop_status write_error(hop_error *error, hop_status status, int64_t row,
                                                                    int64_t column, const char *format, va_list args)
{
    if (!error || error->status != HOP_OK)
        return status;
    error->status = status;
    error->row = row;
    error->column = column;
    error->byte = -1;
    error->limit = (double)NAN;
    error->actual = (double)NAN;
    vsnprintf(error->text, sizeof error->text, format, args);
    return status;
}

hop_status hop_fail(hop_error *error, hop_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_error(error, status, -1, -1, format, args);
    va_end(args);
    return status;
}

hop_status hop_fail_at(hop_error *error, hop_status status, int64_t row, int64_t column, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_error(error, status, row, column, format, args);
    va_end(args);
    return status;
}
