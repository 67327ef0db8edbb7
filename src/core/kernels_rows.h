/*
 * kernels_rows.h - the work on a single row of d or p numbers: one coordinate in plain C, which is what the reference
 * runs and what is left of a row behind its last whole vector, and the same for SIMD_WIDTH coordinates. The two differ
 * in nothing but that: a vector holds what plain C computes, operation by operation.
 *
 * Included by kernels_ref.c for the first half and by kernels_simd.h, once a machine, for both.
 */
#include "core/rounding.h"

/* deviation of coordinate j by dev, most and the tails. */
static inline double reach_at(const hop_answer_row *row, size_t j, double q, double dev, double most, bool one_sided)
{
    double plain = dev * hop_max(row->high[j] - q, q - row->low[j]);
    if (!row->upper)
        return plain;
    double above = dev * hop_max(row->upper[j] - q, 0), below = dev * hop_max(q - row->lower[j], 0);
    double above_rest = most * row->above[j], below_rest = most * row->below[j];
    double sharp =
        one_sided ? hop_max(above + above_rest, below + below_rest) : hop_max(above, below) + above_rest + below_rest;
    return hop_min(plain, sharp);
}

/* One coordinate of hop_answer_row: writes z, returns the bound. */
static inline double answer_at(const hop_answer_row *row, size_t j)
{
    double min = (double)row->min[j], max = (double)row->max[j], low = row->low[j], high = row->high[j];
    double q = row->numerator[j] / row->denominator;
    double deviation = reach_at(row, j, q, row->dev, row->most, row->one_sided);
    if (row->skew) {
        double centred = row->dev_middle * (row->skew[j] + hop_max(q, -q));
        deviation = hop_min(centred + reach_at(row, j, q, row->dev_half, row->most_half, false), deviation);
    }
    double error =
        row->base + row->osc * (high - low) + deviation + row->weight * row->extent[j] + row->quotient * hop_max(q, -q);
    double exact = row->centre[j] + q * row->scale[j];
    double clipped = hop_min(hop_max(exact, min), max);
    row->z[j] = (float)clipped;
    double z = (double)row->z[j];
    double bound =
        hop_up(error * row->scale[j] + hop_max(clipped - z, z - clipped) + 2 * HOP_U64 * hop_max(exact, -exact));
    double cap = hop_max(z - min, max - z) * (1 + 0x1p-52);
    return hop_min(bound, cap);
}

/* One coordinate of hop_query_row. */
static inline void query_at(const hop_query_row *row, size_t l, hop_query_sums *to)
{
    double v = row->x ? (double)row->x[l] : row->xi[l], base = row->centre[l] * v;
    double w = row->extent[l] > 0 ? row->beta * v * row->scale[l] : 0;
    double low = w * row->low[l], high = w * row->high[l];
    row->xi[l] = w;
    to->square += v * v;
    to->base += base;
    to->base_abs += hop_max(base, -base);
    to->box += hop_max(w, -w) * row->extent[l];
    to->up += hop_max(low, high);
    to->down -= hop_min(low, high);
}

#ifdef SIMD_WIDTH

SIMD_INLINE vec_f64 rows_abs(vec_f64 v)
{
    return larger_f64(v, -v);
}

SIMD_INLINE vec_f64 rows_number(double v)
{
    return splat_f64(&v);
}

/* reach_at() of coordinates j.. */
SIMD_INLINE vec_f64 reach_vector(const hop_answer_row *row, size_t j, vec_f64 q, vec_f64 dev, vec_f64 most,
                                 bool one_sided)
{
    const vec_f64 zero = zero_f64();
    vec_f64 plain = dev * larger_f64(load_f64(row->high + j) - q, q - load_f64(row->low + j));
    if (!row->upper)
        return plain;
    vec_f64 above = dev * larger_f64(load_f64(row->upper + j) - q, zero);
    vec_f64 below = dev * larger_f64(q - load_f64(row->lower + j), zero);
    vec_f64 above_rest = most * load_f64(row->above + j), below_rest = most * load_f64(row->below + j);
    if (one_sided)
        return smaller_f64(plain, larger_f64(above + above_rest, below + below_rest));
    return smaller_f64(plain, larger_f64(above, below) + above_rest + below_rest);
}

/* answer_at() of coordinates j.. */
SIMD_INLINE vec_f64 answer_vector(const hop_answer_row *row, size_t j)
{
    const vec_f64 min = from_f32_f64(row->min + j), max = from_f32_f64(row->max + j);
    const vec_f64 low = load_f64(row->low + j), high = load_f64(row->high + j), scale = load_f64(row->scale + j);
    const vec_f64 q = load_f64(row->numerator + j) / splat_f64(&row->denominator);
    vec_f64 deviation = reach_vector(row, j, q, splat_f64(&row->dev), splat_f64(&row->most), row->one_sided);
    if (row->skew) {
        vec_f64 centred = splat_f64(&row->dev_middle) * (load_f64(row->skew + j) + rows_abs(q));
        vec_f64 half = reach_vector(row, j, q, splat_f64(&row->dev_half), splat_f64(&row->most_half), false);
        deviation = smaller_f64(centred + half, deviation);
    }
    vec_f64 error = splat_f64(&row->base) + splat_f64(&row->osc) * (high - low) + deviation +
                    splat_f64(&row->weight) * load_f64(row->extent + j) + splat_f64(&row->quotient) * rows_abs(q);
    vec_f64 exact = load_f64(row->centre + j) + q * scale;
    vec_f64 clipped = smaller_f64(larger_f64(exact, min), max);
    to_f32_f64(row->z + j, clipped);
    vec_f64 z = from_f32_f64(row->z + j);
    vec_f64 bound = error * scale + rows_abs(clipped - z) + rows_number(2 * HOP_U64) * rows_abs(exact);
    bound = bound * rows_number(1.0 + 0x1p-48) + rows_number(0x1p-1070); /* hop_up() */
    return smaller_f64(bound, larger_f64(z - min, max - z) * rows_number(1 + 0x1p-52));
}

static double answer_row(const hop_answer_row *row)
{
    vec_f64 most = zero_f64();
    size_t j = 0;
    for (; j + SIMD_WIDTH <= row->n; j += SIMD_WIDTH)
        most = larger_f64(answer_vector(row, j), most);
    double worst = largest_f64(most);
    for (; j < row->n; j++)
        worst = hop_max(answer_at(row, j), worst);
    return worst;
}

static void query_row(const hop_query_row *row, hop_query_sums *sums)
{
    enum { SUMS = 8 }; /* six, and two that make whole vectors */
    const vec_f64 beta = splat_f64(&row->beta), least = rows_number(0x1p-1074);
    vec_f64 sum[SUMS];
    double total[SUMS];
    hop_query_sums rest = {0};
    size_t l = 0;
    SIMD_UNROLL
    for (size_t i = 0; i < SUMS; i++)
        sum[i] = zero_f64();
    for (; l + SIMD_WIDTH <= row->d; l += SIMD_WIDTH) {
        vec_f64 v = row->x ? from_f32_f64(row->x + l) : load_f64(row->xi + l);
        vec_f64 base = load_f64(row->centre + l) * v, extent = load_f64(row->extent + l);
        vec_f64 w = where_least_f64(extent, least, beta * v * load_f64(row->scale + l));
        vec_f64 low = w * load_f64(row->low + l), high = w * load_f64(row->high + l);
        store_f64(row->xi + l, w);
        sum[0] = sum[0] + v * v;
        sum[1] = sum[1] + base;
        sum[2] = sum[2] + rows_abs(base);
        sum[3] = sum[3] + rows_abs(w) * extent;
        sum[4] = sum[4] + larger_f64(low, high);
        sum[5] = sum[5] - smaller_f64(low, high);
    }
    for (; l < row->d; l++)
        query_at(row, l, &rest);
    SIMD_UNROLL
    for (size_t i = 0; i < SUMS; i += SIMD_WIDTH)
        store_f64(total + i, lane_sums_f64(sum + i));
    *sums = (hop_query_sums){.square = total[0] + rest.square,
                             .base = total[1] + rest.base,
                             .base_abs = total[2] + rest.base_abs,
                             .box = total[3] + rest.box,
                             .up = total[4] + rest.up,
                             .down = total[5] + rest.down};
}

#endif
