/*
 * kernels_measure.h - what a set's rows are measured and packed with: in plain C, which is what the reference runs and
 * what is left behind the last whole vector, and for vectors of SIMD_WIDTH coordinates. A vector makes the operations
 * of plain C in their order, so that every machine finds the same numbers, bit for bit.
 *
 * Included by kernels_ref.c for the first half and by kernels_simd.h, once a machine, for both.
 */
#include "core/rounding.h"

enum { MEASURE_LANES = 16 }; /* partial sums of a row's square: coordinate l is in sum l % MEASURE_LANES */

/* Adding this rounds a number in [0, 2^15] to an integer, which then stands in the low bits. */
static const double measure_magic = 0x1.8p52;

static inline void sum_at(const hop_row_sums *to, size_t l, double v)
{
    double sum = to->sum[l], next = sum + v, part = next - sum;
    to->rest[l] += (sum - (next - part)) + (v - part);
    to->sum[l] = next;
    to->min[l] = v < to->min[l] ? v : to->min[l];
    to->max[l] = v > to->max[l] ? v : to->max[l];
}

/* Columns from..n of all rows. */
static inline void sums_from(size_t from, size_t n, size_t n_rows, const float *rows, const hop_row_sums *to)
{
    for (size_t i = 0; i < n_rows; i++)
        for (size_t l = from; l < n; l++)
            sum_at(to, l, (double)rows[i * n + l]);
}

/* Adds columns from..n to the lanes, then folds them by halves. */
static inline double fold_squares(double *lane, size_t from, size_t n, const float *row, const double *centre)
{
    for (size_t l = from; l < n; l++) {
        double y = (double)row[l] - (centre ? centre[l] : 0);
        lane[l % MEASURE_LANES] += y * y;
    }
    for (size_t half = MEASURE_LANES / 2; half > 0; half /= 2)
        for (size_t k = 0; k < half; k++)
            lane[k] += lane[k + half];
    return lane[0];
}

/* The bin in the low 16 bits of a double. */
static inline double bin_at(const hop_row_bins *work, size_t l, double v)
{
    double at = (v - work->centre[l] - work->low[l]) * work->per_bin[l] - 0.5;
    return hop_min(hop_max(at, 0), HOP_BINS - 1) + measure_magic;
}

static inline void count_bins(const hop_row_bins *work, size_t n, const double *bin)
{
    for (size_t l = 0; l < n; l++) {
        uint64_t bits;
        memcpy(&bits, bin + l, sizeof bits);
        work->count[l * HOP_BINS + (bits & (HOP_BINS - 1))]++;
    }
}

static inline void scale_from(const hop_row_scaling *work, size_t from, size_t i)
{
    const float *row = work->rows + i * work->stride;
    for (size_t l = from; l < work->n; l++)
        work->out[i * work->out_stride + l] = (float)(((double)row[l] - work->centre[l]) * work->inverse[l]);
}

#ifdef SIMD_WIDTH

enum { SUM_VECTORS = 2, SUM_COLUMNS = SUM_VECTORS * SIMD_WIDTH };

/* SUM_COLUMNS columns of all rows: what is summed up stays in registers. */
SIMD_INLINE void sum_columns(size_t n, size_t n_rows, const float *rows, size_t l, const hop_row_sums *to)
{
    vec_f64 sum[SUM_VECTORS], rest[SUM_VECTORS], min[SUM_VECTORS], max[SUM_VECTORS];
    SIMD_UNROLL
    for (size_t k = 0; k < SUM_VECTORS; k++) {
        sum[k] = load_f64(to->sum + l + k * SIMD_WIDTH);
        rest[k] = load_f64(to->rest + l + k * SIMD_WIDTH);
        min[k] = load_f64(to->min + l + k * SIMD_WIDTH);
        max[k] = load_f64(to->max + l + k * SIMD_WIDTH);
    }
    for (size_t i = 0; i < n_rows; i++) {
        SIMD_UNROLL
        for (size_t k = 0; k < SUM_VECTORS; k++) {
            vec_f64 v = from_f32_f64(rows + i * n + l + k * SIMD_WIDTH);
            vec_f64 next = sum[k] + v, part = next - sum[k];
            rest[k] = rest[k] + ((sum[k] - (next - part)) + (v - part));
            sum[k] = next;
            min[k] = smaller_f64(v, min[k]);
            max[k] = larger_f64(v, max[k]);
        }
    }
    SIMD_UNROLL
    for (size_t k = 0; k < SUM_VECTORS; k++) {
        store_f64(to->sum + l + k * SIMD_WIDTH, sum[k]);
        store_f64(to->rest + l + k * SIMD_WIDTH, rest[k]);
        store_f64(to->min + l + k * SIMD_WIDTH, min[k]);
        store_f64(to->max + l + k * SIMD_WIDTH, max[k]);
    }
}

static void row_sums(size_t n, size_t n_rows, const float *rows, const hop_row_sums *to)
{
    size_t l = 0;
    for (; l + SUM_COLUMNS <= n; l += SUM_COLUMNS)
        sum_columns(n, n_rows, rows, l, to);
    if (l < n)
        sums_from(l, n, n_rows, rows, to);
}

SIMD_INLINE size_t squares(size_t n, size_t n_rows, const float *rows, const double *centre, double *largest)
{
    enum { VECTORS = MEASURE_LANES / SIMD_WIDTH };
    double most = *largest, lane[MEASURE_LANES];
    size_t i = 0;
    for (; i < n_rows; i++) {
        const float *row = rows + i * n;
        vec_f64 sum[VECTORS];
        size_t l = 0;
        SIMD_UNROLL
        for (size_t k = 0; k < VECTORS; k++)
            sum[k] = zero_f64();
        for (; l + MEASURE_LANES <= n; l += MEASURE_LANES) {
            SIMD_UNROLL
            for (size_t k = 0; k < VECTORS; k++) {
                vec_f64 y = from_f32_f64(row + l + k * SIMD_WIDTH);
                if (centre)
                    y = y - load_f64(centre + l + k * SIMD_WIDTH);
                sum[k] = sum[k] + y * y;
            }
        }
        SIMD_UNROLL
        for (size_t k = 0; k < VECTORS; k++)
            store_f64(lane + k * SIMD_WIDTH, sum[k]);
        double square = fold_squares(lane, l, n, row, centre);
        if (!(square < (double)INFINITY))
            break;
        most = square > most ? square : most;
    }
    *largest = most;
    return i;
}

static size_t row_squares(size_t n, size_t n_rows, const float *rows, const double *centre, double *largest)
{
    return centre ? squares(n, n_rows, rows, centre, largest) : squares(n, n_rows, rows, NULL, largest);
}

static void row_bins(const hop_row_bins *work)
{
    const vec_f64 zero = zero_f64(), half = rows_number(0.5), last = rows_number(HOP_BINS - 1),
                  magic = rows_number(measure_magic);
    const size_t n = work->n;
    double bin[HOP_BIN_COLUMNS];
    for (size_t i = 0; i < work->n_rows; i++) {
        const float *row = work->rows + i * work->stride;
        size_t l = 0;
        for (; l + SIMD_WIDTH <= n; l += SIMD_WIDTH) {
            vec_f64 at = from_f32_f64(row + l) - load_f64(work->centre + l) - load_f64(work->low + l);
            at = at * load_f64(work->per_bin + l) - half;
            store_f64(bin + l, smaller_f64(larger_f64(at, zero), last) + magic);
        }
        for (; l < n; l++)
            bin[l] = bin_at(work, l, (double)row[l]);
        if (n == HOP_BIN_COLUMNS)
            count_bins(work, HOP_BIN_COLUMNS, bin);
        else
            count_bins(work, n, bin);
    }
}

static void scale_rows(const hop_row_scaling *work)
{
    for (size_t i = 0; i < work->n_rows; i++) {
        const float *row = work->rows + i * work->stride;
        float *out = work->out + i * work->out_stride;
        size_t l = 0;
        for (; l + SIMD_WIDTH <= work->n; l += SIMD_WIDTH)
            to_f32_f64(out + l, (from_f32_f64(row + l) - load_f64(work->centre + l)) * load_f64(work->inverse + l));
        scale_from(work, l, i);
    }
}

#endif
