/*
 * kernels_ref.c - every kernel in plain C: what the table means, the vector kernels' oracle, and the fallback.
 *
 * Sums run in f64 in the order of the indices, so that f32 kernels round a score once and a weight once. 2^t is the C
 * library's in f64; HOP_EXP_F64_ERROR leaves it two units in the last place, four times the error that glibc and musl
 * state.
 */
#include "core/kernels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static float score_f32(const hop_panel_f32 *panel, size_t q, size_t m)
{
    const float *key = panel->keys + m / HOP_PANEL * HOP_PANEL * panel->d + m % HOP_PANEL;
    double t = 0.0;
    for (size_t l = 0; l < panel->d; l++)
        t += (double)key[l * HOP_PANEL] * (double)panel->x[q * panel->d + l];
    return (float)t;
}

static double score_f64(const hop_panel_f64 *panel, size_t q, size_t m)
{
    const double *key = panel->keys + m / HOP_PANEL * HOP_PANEL * panel->d + m % HOP_PANEL;
    double t = 0.0;
    for (size_t l = 0; l < panel->d; l++)
        t += key[l * HOP_PANEL] * panel->x[q * panel->d + l];
    return t;
}

/* Value j of memory m. */
static double value_f32(const hop_panel_f32 *panel, size_t m, size_t j)
{
    if (panel->values)
        return (double)panel->values[hop_value_at(panel->columns, m, j)];
    return (double)panel->keys[(m / HOP_PANEL * panel->d + j) * HOP_PANEL + m % HOP_PANEL];
}

static double value_f64(const hop_panel_f64 *panel, size_t m, size_t j)
{
    if (panel->values)
        return panel->values[hop_value_at(panel->columns, m, j)];
    return panel->keys[(m / HOP_PANEL * panel->d + j) * HOP_PANEL + m % HOP_PANEL];
}

static double weight_f32(const hop_panel_f32 *panel, size_t q, size_t m)
{
    const double t = (double)(score_f32(panel, q, m) - (panel->shift ? panel->shift[q] : 0.0f));
    return t < -126.0 ? 0.0 : (double)(float)exp2(t);
}

static double weight_f64(const hop_panel_f64 *panel, size_t q, size_t m)
{
    const double t = score_f64(panel, q, m) - (panel->shift ? panel->shift[q] : 0.0);
    return t < -1022.0 ? 0.0 : exp2(t);
}

/* Panel by panel: a sum takes HOP_PANEL roundings, and one more for each panel. */
#define PANELS(name, type, weight, value)                                                                              \
    static void name(const type *panel)                                                                                \
    {                                                                                                                  \
        const size_t columns = panel->values ? panel->columns : panel->d;                                              \
        assert(panel->count <= HOP_RUN && panel->columns % HOP_COLUMNS == 0 && columns <= panel->columns);             \
        for (size_t q = 0; q < panel->L; q++) {                                                                        \
            for (size_t first = 0; first < panel->count; first += HOP_PANEL) {                                         \
                const size_t rest = panel->count - first, count = rest < HOP_PANEL ? rest : HOP_PANEL;                 \
                double e[HOP_PANEL], D = 0;                                                                            \
                for (size_t m = 0; m < count; m++)                                                                     \
                    D += e[m] = weight(panel, q, first + m);                                                           \
                panel->D[q] += D;                                                                                      \
                for (size_t j = 0; j < columns; j++) {                                                                 \
                    double N = 0;                                                                                      \
                    for (size_t m = 0; m < count; m++)                                                                 \
                        N += e[m] * value(panel, first + m, j);                                                        \
                    panel->N[q * panel->columns + j] += N;                                                             \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

PANELS(panel_f32, hop_panel_f32, weight_f32, value_f32)
PANELS(panel_f64, hop_panel_f64, weight_f64, value_f64)

static void top_f32(const hop_panel_f32 *panel, float *top)
{
    assert(panel->count <= HOP_PANEL);
    for (size_t q = 0; q < panel->L; q++)
        for (size_t m = 0; m < panel->count; m++)
            top[q] = fmaxf(top[q], score_f32(panel, q, m));
}

static void top_f64(const hop_panel_f64 *panel, double *top)
{
    assert(panel->count <= HOP_PANEL);
    for (size_t q = 0; q < panel->L; q++)
        for (size_t m = 0; m < panel->count; m++)
            top[q] = fmax(top[q], score_f64(panel, q, m));
}

static void scores_f64(const hop_panel_f64 *panel, double *scores)
{
    assert(panel->count <= HOP_PANEL);
    for (size_t q = 0; q < panel->L; q++)
        for (size_t m = 0; m < panel->count; m++)
            scores[q * HOP_PANEL + m] = score_f64(panel, q, m);
}

static void sift_f32(const hop_panel_f32 *panel, const hop_sift *to)
{
    assert(panel->count <= HOP_RUN);
    for (size_t q = 0; q < panel->L; q++) {
        for (size_t first = 0; first < panel->count; first += HOP_PANEL) {
            const size_t rest = panel->count - first, count = rest < HOP_PANEL ? rest : HOP_PANEL;
            float scores[HOP_PANEL];
            uint64_t which = 0;
            for (size_t m = 0; m < count; m++) {
                scores[m] = score_f32(panel, q, first + m);
                which |= (uint64_t)(scores[m] >= to->least[q]) << m;
            }
            if (which)
                to->found(to->context, q, first, which, scores);
        }
    }
}

#define REF_REAL float
#define REF_NAME(x) x##_f32
#include "core/kernels_ref_sweeps.h"

#define REF_REAL double
#define REF_NAME(x) x##_f64
#include "core/kernels_ref_sweeps.h"

static void moment_multiply(size_t rows, size_t stride, const double *factor, const double *from, double *out)
{
    for (size_t j = 0; j < rows; j++)
        for (size_t m = 0; m < stride; m++)
            out[j * stride + m] = factor[m] * from[j * stride + m];
}

static void moment_products(const hop_row_products *work)
{
    assert(work->stride % HOP_ROW_STEP == 0);
    for (size_t j = 0; j < work->n_left; j++) {
        for (size_t c = 0; c < work->n_right; c++) {
            const double *left = work->left[j], *right = work->right + c * work->stride;
            double even = 0, odd = 0;
            for (size_t m = 0; m < work->stride; m += 2) {
                even += left[m] * right[m];
                odd += left[m + 1] * right[m + 1];
            }
            work->sums[work->at[j] + c] += even + odd;
        }
    }
}

#include "core/kernels_rows.h"

static double answer_row(const hop_answer_row *row)
{
    double worst = 0;
    for (size_t j = 0; j < row->n; j++)
        worst = hop_max(answer_at(row, j), worst);
    return worst;
}

static void query_row(const hop_query_row *row, hop_query_sums *sums)
{
    *sums = (hop_query_sums){0};
    for (size_t l = 0; l < row->d; l++)
        query_at(row, l, sums);
}

#include "core/kernels_measure.h"

static void row_sums(size_t n, size_t n_rows, const float *rows, const hop_row_sums *to)
{
    sums_from(0, n, n_rows, rows, to);
}

static size_t row_squares(size_t n, size_t n_rows, const float *rows, const double *centre, double *largest)
{
    for (size_t i = 0; i < n_rows; i++) {
        double lane[MEASURE_LANES] = {0}, square = fold_squares(lane, 0, n, rows + i * n, centre);
        if (!(square < (double)INFINITY))
            return i;
        *largest = square > *largest ? square : *largest;
    }
    return n_rows;
}

static void row_bins(const hop_row_bins *work)
{
    double bin[HOP_BIN_COLUMNS];
    for (size_t i = 0; i < work->n_rows; i++) {
        for (size_t l = 0; l < work->n; l++)
            bin[l] = bin_at(work, l, (double)work->rows[i * work->stride + l]);
        count_bins(work, work->n, bin);
    }
}

static void scale_rows(const hop_row_scaling *work)
{
    for (size_t i = 0; i < work->n_rows; i++)
        scale_from(work, 0, i);
}

const hop_kernels hop_kernels_reference = {
    .isa = "reference",
    .run_bytes = 256 << 10,
    .batch_f32 = 264,
    .reach_f32 = 80,
    .underflow_f32 = 0x1p-150,
    .panel_f32 = panel_f32,
    .panel_f64 = panel_f64,
    .max_f32 = top_f32,
    .max_f64 = top_f64,
    .sift_f32 = sift_f32,
    .scores_f64 = scores_f64,
    .lanes_f32 = REF_LANES(f32, float),
    .lanes_f64 = REF_LANES(f64, double),
    .one_f32 = REF_ONE(f32, float),
    .one_f64 = REF_ONE(f64, double),
    .moment_multiply = moment_multiply,
    .moment_products = moment_products,
    .answer_row = answer_row,
    .query_row = query_row,
    .row_sums = row_sums,
    .row_squares = row_squares,
    .row_bins = row_bins,
    .scale_rows = scale_rows,
};
