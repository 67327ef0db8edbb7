/*
 * refuse.c - hop_fail_at() with the members that a sentence alone does not carry.
 */
#include "server/refuse.h"

#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>

/* True: this error is the first, and the sentence has been written. */
__attribute__((format(printf, 5, 0))) static bool written(hop_error *error, hop_status status, int64_t row,
                                                          int64_t column, const char *format, va_list args)
{
    if (!error || error->status != HOP_OK)
        return false;
    char text[HOP_ERROR_TEXT_BYTES];
    vsnprintf(text, sizeof text, format, args);
    hop_fail_at(error, status, row, column, "%s", text);
    return true;
}

hop_status srv_refuse(hop_error *error, hop_status status, int64_t row, int64_t column, int64_t byte,
                      const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (written(error, status, row, column, format, args))
        error->byte = byte;
    va_end(args);
    return status;
}

hop_status srv_refuse_limit(hop_error *error, hop_status status, int64_t row, int64_t column, double limit,
                            double actual, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (written(error, status, row, column, format, args)) {
        error->limit = limit;
        error->actual = actual;
    }
    va_end(args);
    return status;
}
