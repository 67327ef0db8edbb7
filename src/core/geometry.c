/*
 * geometry.c - one pass for ranges and sums, one for the radius. A fresh centre is the mean to f64's last bit or
 * nearly, whatever the order of the rows: centered_cosine is defined by it. Every bound holds for whatever centre is
 * stored.
 */
#include "core/geometry.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/alloc.h"
#include "core/rounding.h"
#include "core/status.h"

enum {
    ARRAYS_F64 = 6,
    BINS = 256, /* of a coordinate's histogram */
    TILE = 64,  /* coordinates counted at a time */
    TAIL_ROWS_LEAST = 64,
    TAIL_COORDINATES_MOST = 8192
};

static size_t tail_count(size_t n_rows, size_t n)
{
    return n_rows < TAIL_ROWS_LEAST || n_rows > UINT32_MAX || n > TAIL_COORDINATES_MOST ? 0 : n * HOP_TAIL_LEVELS;
}

/* One block: the arrays of doubles, the tails, the floats. */
static size_t coordinate_bytes(size_t n_rows, size_t n)
{
    size_t tails = tail_count(n_rows, n) ? HOP_TAIL_LEVELS * sizeof(hop_tail) : 0;
    return ARRAYS_F64 * sizeof(double) + tails + 2 * sizeof(float);
}

size_t hop_geometry_bytes(size_t n_rows, size_t n)
{
    return n * coordinate_bytes(n_rows, n);
}

void hop_geometry_fini(hop_geometry *geometry)
{
    hop_aligned_free(geometry->block);
    *geometry = (hop_geometry){0};
}

/* sum + rest is the sum so far, rest what rounding took from sum (Neumaier 1974). */
static void add_compensated(double *sum, double *rest, double v)
{
    double next = *sum + v;
    *rest += fabs(*sum) >= fabs(v) ? (*sum - next) + v : (v - next) + *sum;
    *sum = next;
}

/* Leaves the coordinates' sums in centre, what rounding took from them in scale. */
static hop_status measure_rows(hop_geometry *g, const float *rows, size_t n_rows, hop_error *error)
{
    double largest_square = 0, *rest = g->scale;
    for (size_t l = 0; l < g->n; l++) {
        g->min[l] = INFINITY;
        g->max[l] = -INFINITY;
    }
    for (size_t i = 0; i < n_rows; i++) {
        const float *row = rows + i * g->n;
        double square = 0;
        for (size_t l = 0; l < g->n; l++) {
            float v = row[l];
            add_compensated(&g->centre[l], &rest[l], (double)v);
            g->min[l] = v < g->min[l] ? v : g->min[l];
            g->max[l] = v > g->max[l] ? v : g->max[l];
            square += (double)v * (double)v;
        }
        if (!isfinite(square)) {
            for (size_t l = 0; l < g->n; l++)
                if (!isfinite(row[l]))
                    return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)i, (int64_t)l,
                                       "row %zu, column %zu is not a finite f32", i, l);
        }
        largest_square = square > largest_square ? square : largest_square;
    }
    g->max_l2 = sqrt(largest_square);
    return HOP_OK;
}

static double extent_about(const hop_geometry *g, size_t l, double centre)
{
    return hop_max(centre - (double)g->min[l], (double)g->max[l] - centre);
}

/* 2^e above an extent; 1 where there is none. */
static double scale_for(double extent)
{
    int e = 0;
    if (extent > 0)
        frexp(extent * (1 + 0x1p-50), &e);
    return ldexp(1.0, e);
}

size_t hop_geometry_check_frame(size_t n, const double *centre, const double *scale)
{
    enum { EXPONENT_LEAST = -160, EXPONENT_MOST = 140 }; /* of f32 differences, with room */
    for (size_t l = 0; l < n; l++) {
        int e;
        if (!(fabs(centre[l]) <= FLT_MAX && scale[l] >= ldexp(1, EXPONENT_LEAST) &&
              scale[l] <= ldexp(1, EXPONENT_MOST) && frexp(scale[l], &e) <= 0.5))
            return l;
    }
    return n;
}

static bool scale_in_use(const hop_kept_frame *kept, size_t l)
{
    return !kept->extent || kept->extent[l] > 0;
}

static bool frame_fits(const hop_geometry *g, const hop_kept_frame *kept)
{
    for (size_t l = 0; l < g->n; l++) {
        double extent = extent_about(g, l, kept->centre[l]), u = extent / kept->scale[l];
        if (scale_in_use(kept, l) && extent > 0 && !(u >= HOP_EXTENT_MIN && u <= HOP_EXTENT_MAX))
            return false;
    }
    return true;
}

/* From the sums that measure_rows() left. */
static void fresh_frame(hop_geometry *g, size_t l, size_t n_rows)
{
    double n = (double)n_rows, mean = (g->centre[l] + g->scale[l]) / n;
    mean += (fma(-mean, n, g->centre[l]) + g->scale[l]) / n;
    double min = (double)g->min[l], max = (double)g->max[l];
    /* A rounded mean may leave the range by an ulp: where all rows agree, the centre is their value exactly. */
    g->centre[l] = mean < min ? min : mean > max ? max : mean;
    g->scale[l] = scale_for(extent_about(g, l, g->centre[l]));
}

static double outward(double bound, double sign)
{
    return bound * (bound * sign > 0 ? 1 + 0x1p-51 : 1 - 0x1p-51);
}

static void enclose_coordinate(hop_geometry *g, size_t l)
{
    double min = (double)g->min[l], max = (double)g->max[l];
    g->inverse[l] = 1 / g->scale[l];
    g->low[l] = outward((min - g->centre[l]) * g->inverse[l], -1);
    g->high[l] = outward((max - g->centre[l]) * g->inverse[l], 1);
    g->extent[l] = hop_max(-g->low[l], g->high[l]);
    g->max_abs = hop_max(g->max_abs, hop_max(fabs(min), fabs(max)));
    g->range = hop_max(g->range, max - min);
    g->widest = hop_max(g->widest, g->extent[l] * g->scale[l]);
}

static void measure_radius(hop_geometry *g, const float *rows, size_t n_rows)
{
    double largest_square = 0;
    for (size_t i = 0; i < n_rows; i++) {
        const float *row = rows + i * g->n;
        double square = 0;
        for (size_t l = 0; l < g->n; l++) {
            double y = (double)row[l] - g->centre[l];
            square += y * y;
        }
        largest_square = square > largest_square ? square : largest_square;
    }
    double n = (double)g->n;
    g->radius = sqrt(largest_square) * (1 + hop_gamma(n + 8, HOP_U64)) * (1 + 0x1p-48);
}

/*
 * One coordinate's tails from its histogram. A row is counted in the bin that f64 puts it in: off by less than 2^-30 of
 * a bin and u's own rounding, which counts where the rows lie narrowly away from the centre; each mean carries both.
 * Within a bin every row counts as if it lay at the far edge.
 */
static void find_tails(hop_geometry *g, size_t l, size_t n_rows, const uint32_t *count)
{
    double low = g->low[l], width = (g->high[l] - low) / BINS, M = (double)n_rows,
           least = 0x1p-30 * width + 0x1p-52 * g->extent[l];
    uint64_t above = 0, below = 0;    /* rows in the bins beyond the edges */
    double excess = 0, shortfall = 0; /* sum over them of whole bins from the edge to their far edge */
    size_t upper = BINS, lower = 0;   /* edges: bins upper.. are above, bins ..lower - 1 below */
    for (size_t k = HOP_TAIL_LEVELS; k-- > 0;) {
        double most = ldexp(M, -(int)k - 1);
        while (upper > 0 && (double)(above + count[upper - 1]) <= most) {
            above += count[--upper];
            excess += (double)above;
        }
        while (lower < BINS && (double)(below + count[lower]) <= most) {
            below += count[lower++];
            shortfall += (double)below;
        }
        double *at = g->tails + k * 4 * g->n + l;
        at[0] = low + (double)upper * width;
        at[g->n] = hop_up(excess / M * width + least);
        at[2 * g->n] = low + (double)lower * width;
        at[3 * g->n] = hop_up(shortfall / M * width + least);
        hop_tail tail = hop_geometry_tail(g, k, l);
        g->tail_reach[k] = hop_max(g->tail_reach[k], g->scale[l] * hop_max(tail.upper, -tail.lower));
        g->tail_rest[k] = hop_max(g->tail_rest[k], g->scale[l] * hop_max(tail.above, tail.below));
    }
}

static hop_status measure_tails(hop_geometry *g, const float *rows, size_t n_rows, hop_error *error)
{
    uint32_t *count = hop_array_new(TILE, BINS, sizeof *count);
    if (!count)
        return hop_fail(error, HOP_E_NOMEM, "no memory for the tails of %zu coordinates", g->n);
    for (size_t from = 0; from < g->n; from += TILE) {
        size_t n = g->n - from < TILE ? g->n - from : TILE;
        double per_bin[TILE];
        for (size_t l = 0; l < n; l++)
            per_bin[l] = g->extent[from + l] > 0 ? BINS / (g->high[from + l] - g->low[from + l]) : 0;
        memset(count, 0, TILE * BINS * sizeof *count);
        for (size_t i = 0; i < n_rows; i++) {
            const float *row = rows + i * g->n;
            for (size_t l = 0; l < n; l++) {
                double at = (hop_geometry_scaled(g, row, from + l) - g->low[from + l]) * per_bin[l];
                size_t bin = at > 0 ? (size_t)at : 0;
                count[l * BINS + (bin < BINS ? bin : BINS - 1)]++;
            }
        }
        for (size_t l = 0; l < n; l++)
            find_tails(g, from + l, n_rows, count + l * BINS);
    }
    hop_aligned_free(count);
    return HOP_OK;
}

size_t hop_tail_level(double fraction)
{
    uint64_t bits;
    double near =
        fraction * 1.4142; /* level k is nearest for fractions about 2^-(k+1): near in [2^(e-1), 2^e), k = -e */
    memcpy(&bits, &near, sizeof bits);
    int e = (int)(bits >> 52 & 0x7ff) - 1022;
    return e > 0 ? 0 : -e < HOP_TAIL_LEVELS ? (size_t)-e : HOP_TAIL_LEVELS - 1;
}

hop_status hop_geometry_init(hop_geometry *out, const float *rows, size_t n_rows, size_t n, hop_error *error)
{
    return hop_geometry_init_like(out, rows, n_rows, n, NULL, error);
}

hop_status hop_geometry_init_like(hop_geometry *out, const float *rows, size_t n_rows, size_t n,
                                  const hop_kept_frame *kept, hop_error *error)
{
    hop_geometry g = {.n = n};
    size_t tails = tail_count(n_rows, n);
    double *numbers = hop_array_new(n, coordinate_bytes(n_rows, n), 1);
    if (!numbers)
        return hop_fail(error, HOP_E_NOMEM, "no memory for the geometry of %zu coordinates", n);
    g.block = numbers;
    g.centre = numbers;
    g.scale = numbers + n;
    g.inverse = numbers + 2 * n;
    g.low = numbers + 3 * n;
    g.high = numbers + 4 * n;
    g.extent = numbers + 5 * n;
    g.tails = tails ? numbers + ARRAYS_F64 * n : NULL;
    g.min = (float *)(numbers + ARRAYS_F64 * n + tails * sizeof(hop_tail) / sizeof(double));
    g.max = g.min + n;

    hop_status status = measure_rows(&g, rows, n_rows, error);
    if (status != HOP_OK) {
        hop_geometry_fini(&g);
        return status;
    }
    bool keeps = kept && frame_fits(&g, kept);
    for (size_t l = 0; l < n; l++) {
        if (keeps) {
            g.centre[l] = kept->centre[l];
            double extent = extent_about(&g, l, g.centre[l]);
            g.scale[l] = scale_in_use(kept, l) || !(extent > 0) ? kept->scale[l] : scale_for(extent);
        } else {
            fresh_frame(&g, l, n_rows);
        }
        enclose_coordinate(&g, l);
    }
    measure_radius(&g, rows, n_rows);
    if (g.tails) {
        status = measure_tails(&g, rows, n_rows, error);
        if (status != HOP_OK) {
            hop_geometry_fini(&g);
            return status;
        }
    }
    *out = g;
    return HOP_OK;
}
