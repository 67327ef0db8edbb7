/*
 * dense.h - exact retrieval, Z = V softmax(beta Xi^T x), one pass over the packed memories, with a rounding bound.
 *
 * Packing (at load, counted in hop_model_bytes): keys as panels of HOP_PANEL memories, coordinate by coordinate
 * (d x 64), and values as 64 x columns rows, both centred and scaled to |u| <= 1 in f32. Twice (or once each for keys
 * and values) the bytes of the rows; what it buys is that the inner loops read only unit strides from cache.
 *
 * In f32 the bound is dominated by the scores (d + 3 roundings of size s = sum |u xi|); rows whose f32 bound is above
 * the asked-for one run in f64, from panels packed on the fly. Bounds: docs/MATH.md, "Dense".
 */
#ifndef HOP_DENSE_H
#define HOP_DENSE_H

#include "core/certificate.h"
#include "core/kernels.h"
#include "core/query.h"

static inline size_t hop_dense_panels(size_t M)
{
    return (M + HOP_PANEL - 1) / HOP_PANEL;
}

size_t hop_dense_pack_bytes(size_t M, size_t d, size_t p); /* 0: the sizes overflow */
/* Fills model->key_panels and value_panels, which are allocated and zeroed. */
void hop_dense_pack(hop_model *model, const hop_executor *executor);

/* Rows of one call: at most this many are run side by side; the workspace is sized for it. */
enum { HOP_DENSE_BATCH_MAX = 512 };
size_t hop_dense_batch(const hop_model *model);
size_t hop_dense_workspace_bytes(const hop_model *model); /* 0: the sizes overflow */

/* What one row's pass leaves: scaled numerator (columns numbers) and denominator of sum_mu e^{t_mu - shift}. */
typedef struct hop_dense_sums {
    const double *numerator;
    double denominator, shift;
} hop_dense_sums;

/*
 * Sums of n <= hop_dense_batch() queries, in f32 or f64. In f32 every query must pass hop_dense_f32_possible(); all
 * queries of a call must agree on hop_dense_needs_shift(), so that a row's answer does not depend on its batch.
 * Sums point into the workspace and hold until its next use. Cost: 2 (d + p) M flops and M exp a row; with a shift,
 * half as much again for the maximum.
 */
void hop_dense_run(const hop_model *model, const hop_query *const *queries, size_t n, bool f64, void *workspace,
                   hop_dense_sums *sums);

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
