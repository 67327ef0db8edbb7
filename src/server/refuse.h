/*
 * refuse.h - a hop_error that names a byte of what the client sent, besides a row and a column.
 */
#ifndef SRV_REFUSE_H
#define SRV_REFUSE_H

#include "core/hopfield.h"

/* As hop_fail_at(), and byte where it is not negative. */
__attribute__((format(printf, 6, 7))) hop_status srv_refuse(hop_error *error, hop_status status, int64_t row,
                                                            int64_t column, int64_t byte, const char *format, ...);

/* As hop_fail_at(), and the limit that was exceeded; actual NaN: not known. */
__attribute__((format(printf, 7, 8))) hop_status srv_refuse_limit(hop_error *error, hop_status status, int64_t row,
                                                                  int64_t column, double limit, double actual,
                                                                  const char *format, ...);

#endif
