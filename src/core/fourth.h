/*
 * fourth.h - one number of a set that bounds the fourth moment of every query's exponents by their second:
 *
 *     mean t^4 <= K 3 (mean t^2)^2       for every query
 *
 * 3 sigma^4 is what a normal law with the same second moments has; K is the largest eigenvalue of the memories' matrix
 * mean phi phi^T, phi = (u_i u_j)_{i <= j}, against the normal law's (docs/MATH.md, "Fourth moments").
 */
#ifndef HOP_FOURTH_H
#define HOP_FOURTH_H

#include "core/moments.h"

/* Above this d the matrix, d (d+1)/2 square, is not worth its time. */
enum { HOP_FOURTH_DIMENSION_MAX = 64 };

/* Bytes that hop_fourth_factor() holds while it runs, for maps of that degree; 0: it does not run. d <= 2^20. */
size_t hop_fourth_bytes(size_t d, unsigned max_degree);

/*
 * K, rounded up, of the coordinates in which rows differ: the others are 0 in every exponent. INFINITY where it is not
 * known: maps below degree 3, d too large, second moments nearly singular, no
 * memory for three matrices, progress (or NULL) cancelled. Looks at cancel between factorisations of (d^2/2)^3/3 flops,
 * of which it takes 2 to 6: a tenth of a second each at d = 64.
 */
double hop_fourth_factor(const hop_features *features, const hop_geometry *keys, const hop_progress *progress);

#endif
