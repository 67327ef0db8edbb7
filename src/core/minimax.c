/*
 * minimax.c - looking up certificate W's polynomials (minimax_table.c).
 */
#include "core/minimax.h"

#include <math.h>
#include <stddef.h>

/* 2^(step/8) of steps 0..7, to the nearest f64; the table's half-widths are 1e-12 wider. */
static const double eighths[HOP_MINIMAX_STEPS] = {0x1p+0,
                                                  0x1.172b83c7d517bp+0,
                                                  0x1.306fe0a31b715p+0,
                                                  0x1.4bfdad5362a27p+0,
                                                  0x1.6a09e667f3bcdp+0,
                                                  0x1.8ace5422aa0dbp+0,
                                                  0x1.ae89f995ad3adp+0,
                                                  0x1.d5818dcfba487p+0};

double hop_minimax(unsigned g, double T_abs, const double **coefficients)
{
    const double least = 0.5, most = 16 * 0x1.4bfdad5362a27p+0;
    if (g < 1 || g > HOP_MINIMAX_DEGREES || !(T_abs <= most)) /* NaN included */
        return (double)INFINITY;
    size_t bucket = 0;
    if (T_abs > least) {
        int e;
        double m = 2 * frexp(T_abs, &e); /* T_abs = m 2^(e-1), 1 <= m < 2 */
        int step = 0;
        while (step < HOP_MINIMAX_STEPS && eighths[step] < m)
            step++;
        bucket = (size_t)((e - 1) * HOP_MINIMAX_STEPS + step - HOP_MINIMAX_FIRST);
    }
    const hop_minimax_entry *entry = &hop_minimax_table[bucket][g - 1];
    if (entry->eps >= 1)
        return (double)INFINITY;
    *coefficients = hop_minimax_coefficients + entry->at;
    return entry->eps;
}
