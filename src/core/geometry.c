/*
 * geometry.c - one pass for ranges and sums, one for the radius. A fresh centre is the mean to f64's last bit or nearly,
 * whatever the order of the rows: centered_cosine is defined by it. Every bound holds for whatever centre is stored.
 */
#include "core/geometry.h"

#include <math.h>

#include "core/alloc.h"
#include "core/rounding.h"
#include "core/status.h"

enum { ARRAYS_F64 = 6 };

size_t hop_geometry_bytes(size_t n)
{
    return n * (ARRAYS_F64 * sizeof(double) + 2 * sizeof(float));
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

static bool frame_fits(const hop_geometry *g, const hop_geometry *like)
{
    for (size_t l = 0; l < g->n; l++) {
        double extent = extent_about(g, l, like->centre[l]), u = extent * like->inverse[l];
        if (like->extent[l] > 0 && extent > 0 && !(u >= HOP_EXTENT_MIN && u <= HOP_EXTENT_MAX))
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

hop_status hop_geometry_init(hop_geometry *out, const float *rows, size_t n_rows, size_t n, hop_error *error)
{
    return hop_geometry_init_like(out, rows, n_rows, n, NULL, error);
}

hop_status hop_geometry_init_like(hop_geometry *out, const float *rows, size_t n_rows, size_t n,
                                  const hop_geometry *like, hop_error *error)
{
    hop_geometry g = {.n = n};
    double *numbers = hop_array_new(n, ARRAYS_F64 * sizeof(double) + 2 * sizeof(float), 1);
    if (!numbers)
        return hop_fail(error, HOP_E_NOMEM, "no memory for the geometry of %zu coordinates", n);
    g.block = numbers;
    g.centre = numbers;
    g.scale = numbers + n;
    g.inverse = numbers + 2 * n;
    g.low = numbers + 3 * n;
    g.high = numbers + 4 * n;
    g.extent = numbers + 5 * n;
    g.min = (float *)(numbers + ARRAYS_F64 * n);
    g.max = g.min + n;

    hop_status status = measure_rows(&g, rows, n_rows, error);
    if (status != HOP_OK) {
        hop_geometry_fini(&g);
        return status;
    }
    bool kept = like && frame_fits(&g, like);
    for (size_t l = 0; l < n; l++) {
        if (kept) {
            g.centre[l] = like->centre[l];
            double extent = extent_about(&g, l, like->centre[l]);
            g.scale[l] = like->extent[l] > 0 || !(extent > 0) ? like->scale[l] : scale_for(extent);
        } else {
            fresh_frame(&g, l, n_rows);
        }
        enclose_coordinate(&g, l);
    }
    measure_radius(&g, rows, n_rows);
    *out = g;
    return HOP_OK;
}
