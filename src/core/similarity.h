/*
 * similarity.h - the transforms of keys and queries: dot (none), cosine, centered_cosine.
 *
 *     cosine            x' = x / |x|
 *     centered_cosine   x' = (x - m) / |x - m|,  m the f64 mean of the stored memories, frozen when the set is made
 *
 * Keys are transformed once in f64 and rounded to f32: those are the stored keys. Queries are transformed in f64, and
 * that rounding is in the bound (hop_similarity_roundings).
 */
#ifndef HOP_SIMILARITY_H
#define HOP_SIMILARITY_H

#include "core/hopfield.h"

/* x' of one row. false: the norm is zero (after centring). mean: d numbers, read for centered_cosine only. */
bool hop_similarity_apply(hop_similarity similarity, size_t d, const double *mean, const float *x, double *out);

/* Each coordinate of x' is the exact one times (1 + e)^n, |e| <= 2^-53, n = this many. 0 for dot. */
double hop_similarity_roundings(hop_similarity similarity, size_t d);

/*
 * Keys of a whole set: out n_rows x d f32, by an executor's threads (NULL: on this one). The first n_same rows are
 * copied from `same` where that is not NULL. Errors: HOP_E_DOMAIN naming the first of the others that has zero norm.
 */
HOP_WARN_UNUSED hop_status hop_similarity_keys(hop_similarity similarity, size_t n_rows, size_t d, const double *mean,
                                               const float *rows, const float *same, size_t n_same,
                                               const hop_executor *executor, float *out, hop_error *error);

#endif
