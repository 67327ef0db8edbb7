/*
 * status.h - write a hop_error: what and where, in one sentence. The public types are in hopfield.h.
 */
#ifndef HOP_STATUS_H
#define HOP_STATUS_H

#include "core/hopfield.h"

/*
 * Write status and a printf sentence into error unless it is NULL or already written. Returns status, so that
 * `return hop_fail(error, HOP_E_SHAPE, "...")` reads well.
 */
__attribute__((format(printf, 3, 4))) hop_status hop_fail(hop_error *error, hop_status status, const char *format, ...);

/* The same, naming a row and a column (-1: does not apply). */
__attribute__((format(printf, 5, 6))) hop_status hop_fail_at(hop_error *error, hop_status status, int64_t row,
                                                             int64_t column, const char *format, ...);

#endif
