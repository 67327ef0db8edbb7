/*
 * minimax.c - looking up certificate W's polynomials (minimax_table.c).
 */
#include "core/minimax.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* 2^(step/8) of steps 0..7, to the nearest f64; the table's half-widths are 1e-12 wider. */
static const double eighths[HOP_MINIMAX_STEPS] = {0x1p+0,
                                                  0x1.172b83c7d517bp+0,
                                                  0x1.306fe0a31b715p+0,
                                                  0x1.4bfdad5362a27p+0,
                                                  0x1.6a09e667f3bcdp+0,
                                                  0x1.8ace5422aa0dbp+0,
                                                  0x1.ae89f995ad3adp+0,
                                                  0x1.d5818dcfba487p+0};

size_t hop_minimax_bucket(double T_abs)
{
    const double least = 0.5, most = 16 * 0x1.4bfdad5362a27p+0;
    const uint64_t fraction = (UINT64_C(1) << 52) - 1;
    if (!(T_abs <= most)) /* NaN included */
        return HOP_MINIMAX_NONE;
    if (!(T_abs > least))
        return 0;
    uint64_t bits, one_to_two;
    memcpy(&bits, &T_abs, sizeof bits);
    one_to_two = (bits & fraction) | UINT64_C(1023) << 52;
    double m; /* T_abs = m 2^e, 1 <= m < 2 */
    memcpy(&m, &one_to_two, sizeof m);
    int e = (int)(bits >> 52) - 1023, step = 0;
    for (int i = 0; i < HOP_MINIMAX_STEPS; i++)
        step += eighths[i] < m;
    return (size_t)(e * HOP_MINIMAX_STEPS + step - HOP_MINIMAX_FIRST);
}

double hop_minimax_in(size_t bucket, unsigned g, const double **coefficients)
{
    if (g < 1 || g > HOP_MINIMAX_DEGREES || bucket == HOP_MINIMAX_NONE)
        return (double)INFINITY;
    const hop_minimax_entry *entry = &hop_minimax_table[bucket][g - 1];
    if (entry->eps >= 1)
        return (double)INFINITY;
    *coefficients = hop_minimax_coefficients + entry->at;
    return entry->eps;
}

double hop_minimax(unsigned g, double T_abs, const double **coefficients)
{
    return hop_minimax_in(hop_minimax_bucket(T_abs), g, coefficients);
}
