/*
 * refuse.c - hop_fail_at() with the members that a sentence alone does not carry.
 */
#include "server/refuse.h"

#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>

hop_status srv_refuse(hop_error *error, hop_status status, int64_t row, int64_t column, int64_t byte,
                      const char *format, ...)
{
    if (!error || error->status != HOP_OK)
        return status;
    char text[HOP_ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    hop_fail_at(error, status, row, column, "%s", text);
    error->byte = byte;
    return status;
}

hop_status srv_refuse_limit(hop_error *error, hop_status status, int64_t row, int64_t column, double limit,
                            double actual, const char *format, ...)
{
    if (!error || error->status != HOP_OK)
        return status;
    char text[HOP_ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    hop_fail_at(error, status, row, column, "%s", text);
    error->limit = limit;
    error->actual = actual;
    return status;
}
