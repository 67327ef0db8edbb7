/*
 * dense.h - exact retrieval, Z = V softmax(beta Xi^T x), one pass over the memories' panels (pack.h), with a rounding
 * bound.
 *
 * In f32 the bound is dominated by the scores (d + 3 roundings of size s = sum |u xi|); rows whose f32 bound is above
 * the asked-for one run in f64, from panels packed on the way. Bounds: docs/MATH.md, "Dense".
 */
#ifndef HOP_DENSE_H
#define HOP_DENSE_H

#include "core/certificate.h"
#include "core/kernels.h"
#include "core/query.h"

/*
 * Rows of one call: at most this many are run side by side; the workspace is sized for what the kernels in use want.
 */
enum { HOP_DENSE_BATCH_MAX = HOP_BATCH_MAX, HOP_DENSE_SEGMENTS_MAX = 64 };
size_t hop_dense_batch(const hop_model *model);
size_t hop_dense_workspace_bytes(const hop_model *model); /* 0: the sizes overflow */

/* What one row's pass leaves: scaled numerator (columns numbers) and denominator of sum_mu e^{t_mu - shift}. */
typedef struct hop_dense_sums {
    const double *numerator;
    double denominator, shift;
} hop_dense_sums;

/*
 * Sums of n <= hop_dense_batch() queries, in f32 or f64. In f32 every query must pass hop_dense_f32_possible(); all
 * queries of a call must agree on hop_dense_needs_shift(). Sums point into the workspace and hold until its next use.
 * A row's last bits depend on n and on its place, and on nothing else: the memories are cut into segments by M and n,
 * which the executor (NULL: the caller) runs. Cost: 2 (d + p) M flops and M exp a row; with a shift, half as much again
 * for the maximum.
 */
void hop_dense_run(const hop_model *model, const hop_query *const *queries, size_t n, bool f64,
                   const hop_executor *executor, void *workspace, hop_dense_sums *sums);

bool hop_dense_f32_possible(const hop_query *query);

/* Whether exponents may leave exp's range, so that the maximum is found first and subtracted. */
bool hop_dense_needs_shift(const hop_query *query, bool f64);

/*
 * The rounding bound of a pass: terms for hop_certificate_answer(), and |log D~ - log D| <= *log_error. sums NULL:
 * before it is made. With sums, a pass that took a shift also sees how much of the weight is not on the heaviest
 * memory, which is the smaller bound where retrieval is sharp.
 */
void hop_dense_terms(const hop_model *model, const hop_query *query, bool f64, const hop_dense_sums *sums,
                     hop_error_terms *terms, double *log_error);

/* Where the scores of one query go; each may be NULL. As in hop_answer; top ids and weights have room for `top`. */
typedef struct hop_dense_weights {
    uint64_t *top_id;
    double *top_weight, *support;
    float *weights;
} hop_dense_weights;

/* Every score of n <= hop_dense_batch() queries, in f64. Cost: 4 d M flops and M exp a row, maxima before weights. */
void hop_dense_scores(const hop_model *model, const hop_query *const *queries, size_t n, size_t top,
                      const hop_dense_weights *out, void *workspace);

#endif
