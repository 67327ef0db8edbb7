/*
 * skew.h - numbers of a set that bound how far its coordinates lean, in the mean weighted by squares of exponents:
 *
 *     |mean t^2 u_j|         <= skew_1j mean t^2              for every query
 *     |mean (t^2 - y)^2 u_j| <= skew_3j mean (t^2 - y)^2      for every query and every y
 *
 * Certificates of degree 1 and 3 miss e^t by such squares times a factor that varies little (docs/MATH.md, "Skewness").
 */
#ifndef HOP_SKEW_H
#define HOP_SKEW_H

#include "core/moments.h"

/* Above these d the matrices are not worth their time. */
enum { HOP_SKEW_1_DIMENSION_MAX = 64, HOP_SKEW_3_DIMENSION_MAX = 24 };

/* Bytes that hop_skew_bounds() holds while it runs, for maps of that degree; 0: it finds nothing. d <= 2^20. */
size_t hop_skew_bytes(size_t d, unsigned max_degree);

/*
 * features->skew and skew_most, rounded up; they stay INFINITY where values are not the keys, maps are below degree 2
 * or 4, d is too large, moments are nearly singular, memory is short or progress (or NULL) is cancelled.
 * Cost: d^4 flops, and d (d^2/2)^3.
 */
void hop_skew_bounds(hop_features *features, const hop_geometry *keys, const hop_progress *progress);

#endif
