/*
 * checked.h - size arithmetic that cannot wrap. Every size that comes from outside goes through here.
 */
#ifndef HOP_CHECKED_H
#define HOP_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a * b; false on overflow, *out untouched. */
static inline bool hop_mul_size(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

/* *out = a + b; false on overflow, *out untouched. */
static inline bool hop_add_size(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

/* *out = rows * columns * element; false on overflow. */
static inline bool hop_array_bytes(size_t rows, size_t columns, size_t element, size_t *out)
{
    size_t cells;
    return hop_mul_size(rows, columns, &cells) && hop_mul_size(cells, element, out);
}

/* n rounded up to a multiple of step (a power of two). The caller has checked that n + step does not wrap. */
static inline size_t hop_round_up(size_t n, size_t step)
{
    return (n + step - 1) & ~(step - 1);
}

/*
 * Where the next n elements of a workspace go, 64-byte aligned; *used moves behind them. The caller's sizes have been
 * checked when their model was made.
 */
static inline size_t hop_carve(size_t *used, size_t n, size_t element)
{
    size_t at = *used;
    *used = at + hop_round_up(n * element, 64);
    return at;
}

#endif
