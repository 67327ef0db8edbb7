/*
 * minimax.h - certificate W's polynomials: for a degree and a range of exponents the coefficients that come nearest to
 * e^t, and the proven distance.
 *
 *     p(t) = sum_{k <= g} c_k t^k / k!        |p(t) - e^t| <= eps (e^t - t)   for |t| <= T_abs
 *
 * e^t - t >= 1, and its mean over the memories is mean e^t - mean t: relative to the sum where weights are large, to 1
 * where they are small. The moments know nothing of the coefficients, so the same ones serve.
 */
#ifndef HOP_MINIMAX_H
#define HOP_MINIMAX_H

#include <stddef.h>
#include <stdint.h>

enum {
    HOP_MINIMAX_DEGREES = 16, /* 1..16 */
    HOP_MINIMAX_STEPS = 8,    /* half-widths an octave */
    HOP_MINIMAX_FIRST = -8,   /* the least is 2^(-8/8) = 0.5 */
    HOP_MINIMAX_BUCKETS = 44, /* the greatest is 2^(35/8) = 20.7 */
};

/* One polynomial: at numbers g + 1 from hop_minimax_coefficients[at] on. eps 1: there is none. */
typedef struct hop_minimax_entry {
    double eps;
    uint16_t at;
} hop_minimax_entry;

extern const hop_minimax_entry hop_minimax_table[HOP_MINIMAX_BUCKETS][HOP_MINIMAX_DEGREES];
extern const double hop_minimax_coefficients[];

/*
 * eps for degree g and |t| <= T_abs, and the g + 1 coefficients c in *coefficients (static, exact f64). INFINITY, and
 * *coefficients untouched: there is no such polynomial, or none that is worth its name. Below T_abs = 0.5 the
 * polynomial of 0.5 is given, which a Taylor polynomial beats. Cost: some ten instructions.
 */
double hop_minimax(unsigned g, double T_abs, const double **coefficients);

/* The same in two steps: of several degrees the first is made once. Buckets: of the table, or HOP_MINIMAX_NONE. */
size_t hop_minimax_bucket(double T_abs);
double hop_minimax_in(size_t bucket, unsigned g, const double **coefficients);

#define HOP_MINIMAX_NONE SIZE_MAX

#endif
