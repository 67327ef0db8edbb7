/*
 * geometry.c - one pass for ranges and sums, and the frame that follows; radius and tails are spread.c's. A fresh
 * centre is the mean to f64's last bit or nearly, whatever the order of the rows: centered_cosine is defined by it.
 * Every bound holds for whatever centre is stored. Nothing depends on the machine's kernels or on how many threads
 * there are.
 */
#include "core/geometry.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/kernels.h"
#include "core/rounding.h"
#include "core/spread.h"
#include "core/status.h"
#include "core/tasks.h"

enum {
    ARRAYS_F64 = 6,
    TAIL_ROWS_LEAST = 64,
    TAIL_COORDINATES_MOST = 8192,

    /* Ranges: shares of the rows, each with its own sums. */
    SHARES_MOST = 64,
    SHARE_ROWS_LEAST = 64,
    SHARE_CELLS_LEAST = 1 << 16,
    SHARE_ARRAYS = 4,
    SHARES_BYTES_MOST = 4 << 20,
    BLOCK_ROWS = 128 /* that two kernels read, the second one from a cache */
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

/* ---- ranges ------------------------------------------------------------------------------------------------- */

/* What a run of rows adds up to. bad: the first row with a number that is not finite, or how many rows there are. */
typedef struct row_share {
    hop_row_sums sums;
    double largest_square;
    size_t bad;
} row_share;

typedef struct ranges_job {
    const hop_kernels *kernels;
    const float *rows;
    size_t n_rows, n, each; /* rows of a share */
    row_share *shares;
} ranges_job;

/* Shares do not depend on the executor: the same sums come out on any number of threads. */
static size_t share_count(size_t n_rows, size_t n)
{
    size_t by_rows = n_rows / SHARE_ROWS_LEAST, by_cells = n_rows / (SHARE_CELLS_LEAST / n + 1);
    size_t by_bytes = SHARES_BYTES_MOST / (n * SHARE_ARRAYS * sizeof(double)), shares = SHARES_MOST;
    shares = by_rows < shares ? by_rows : shares;
    shares = by_cells < shares ? by_cells : shares;
    shares = by_bytes < shares ? by_bytes : shares;
    return shares ? shares : 1;
}

static size_t share_bytes(size_t n)
{
    return sizeof(row_share) + n * SHARE_ARRAYS * sizeof(double);
}

static void sum_share(void *arg, size_t i)
{
    const ranges_job *job = arg;
    row_share *share = &job->shares[i];
    const size_t n = job->n;
    for (size_t l = 0; l < n; l++) {
        share->sums.sum[l] = share->sums.rest[l] = 0;
        share->sums.min[l] = INFINITY;
        share->sums.max[l] = -INFINITY;
    }
    size_t from = i * job->each, end = job->n_rows - from < job->each ? job->n_rows : from + job->each;
    share->largest_square = 0;
    share->bad = job->n_rows;
    while (from < end) {
        const float *rows = job->rows + from * n;
        const size_t count = end - from < BLOCK_ROWS ? end - from : BLOCK_ROWS;
        const size_t good = job->kernels->row_squares(n, count, rows, NULL, &share->largest_square);
        if (good < count) {
            share->bad = from + good;
            return;
        }
        job->kernels->row_sums(n, count, rows, &share->sums);
        from += count;
    }
}

static hop_status refuse_row(const hop_geometry *g, const float *row, size_t i, hop_error *error)
{
    size_t l = 0;
    while (l + 1 < g->n && isfinite(row[l]))
        l++;
    return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)i, (int64_t)l, "row %zu, column %zu is not a finite f32", i, l);
}

/* b's sum and rest into a's. */
static void add_sums(double *sum, double *rest, double b, double b_rest)
{
    double next = *sum + b, part = next - *sum;
    *rest += (*sum - (next - part)) + (b - part) + b_rest;
    *sum = next;
}

/*
 * Rows from `from` on: leaves the coordinates' sums in centre, what rounding took from them in scale. No rows: as in an
 * empty set.
 */
static hop_status measure_ranges(hop_geometry *g, const float *rows, size_t from, size_t n_rows,
                                 const hop_executor *executor, hop_error *error)
{
    const size_t n = g->n, count = n_rows - from, shares = share_count(count, n);
    ranges_job job = {.kernels = hop_kernels_get(),
                      .rows = rows + from * n,
                      .n_rows = count,
                      .n = n,
                      .each = (count + shares - 1) / shares};
    char *block = hop_array_alloc(shares, share_bytes(n), 1);
    if (!block)
        return hop_fail(error, HOP_E_NOMEM, "no memory to measure %zu coordinates", n);
    job.shares = (row_share *)block;
    double *numbers = (double *)(block + shares * sizeof *job.shares);
    for (size_t i = 0; i < shares; i++, numbers += SHARE_ARRAYS * n)
        job.shares[i].sums = (hop_row_sums){numbers, numbers + n, numbers + 2 * n, numbers + 3 * n};
    const size_t used = job.each ? (count + job.each - 1) / job.each : 0;
    hop_tasks_run(executor, used, sum_share, &job);

    hop_status status = HOP_OK;
    double largest_square = 0;
    for (size_t l = 0; l < n; l++) {
        g->centre[l] = g->scale[l] = 0;
        g->min[l] = INFINITY;
        g->max[l] = -INFINITY;
    }
    for (size_t i = 0; i < used && status == HOP_OK; i++) {
        const row_share *share = &job.shares[i];
        if (share->bad < count)
            status = refuse_row(g, job.rows + share->bad * n, from + share->bad, error);
        for (size_t l = 0; l < n && status == HOP_OK; l++) {
            add_sums(&g->centre[l], &g->scale[l], share->sums.sum[l], share->sums.rest[l]);
            g->min[l] = fminf(g->min[l], (float)share->sums.min[l]);
            g->max[l] = fmaxf(g->max[l], (float)share->sums.max[l]);
        }
        largest_square = hop_max(share->largest_square, largest_square);
    }
    g->max_l2 = sqrt(largest_square);
    hop_aligned_free(block);
    return status;
}

/* ---- the frame ---------------------------------------------------------------------------------------------- */

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

/* From the sums that measure_ranges() left. */
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

/* ---- all of it ---------------------------------------------------------------------------------------------- */

hop_status hop_geometry_init(hop_geometry *out, const float *rows, size_t n_rows, size_t n, hop_error *error)
{
    return hop_geometry_measure(out, rows, n_rows, n, NULL, NULL, NULL, error);
}

static hop_status new_geometry(hop_geometry *g, size_t n_rows, size_t n, hop_error *error)
{
    const size_t tails = tail_count(n_rows, n);
    double *numbers = hop_array_alloc(n, coordinate_bytes(n_rows, n), 1);
    if (!numbers)
        return hop_fail(error, HOP_E_NOMEM, "no memory for the geometry of %zu coordinates", n);
    *g = (hop_geometry){.n = n,
                        .block = numbers,
                        .centre = numbers,
                        .scale = numbers + n,
                        .inverse = numbers + 2 * n,
                        .low = numbers + 3 * n,
                        .high = numbers + 4 * n,
                        .extent = numbers + 5 * n,
                        .tails = tails ? numbers + ARRAYS_F64 * n : NULL};
    g->min = (float *)(numbers + ARRAYS_F64 * n + tails * sizeof(hop_tail) / sizeof(double));
    g->max = g->min + n;
    return HOP_OK;
}

/* Ranges of the rows that are not known, and then of all; the sums of rows that are known are not. */
static hop_status measure_all_ranges(hop_geometry *g, const float *rows, size_t n_rows, const hop_known_rows *known,
                                     const hop_executor *executor, hop_error *error)
{
    hop_status status = measure_ranges(g, rows, known ? known->n_rows : 0, n_rows, executor, error);
    if (status != HOP_OK || !known)
        return status;
    for (size_t l = 0; l < g->n; l++) {
        g->min[l] = fminf(g->min[l], known->geometry->min[l]);
        g->max[l] = fmaxf(g->max[l], known->geometry->max[l]);
    }
    g->max_l2 = hop_max(g->max_l2, known->geometry->max_l2);
    return HOP_OK;
}

static void enclose(hop_geometry *g, size_t n_rows, const hop_kept_frame *kept)
{
    for (size_t l = 0; l < g->n; l++) {
        if (g->kept) {
            g->centre[l] = kept->centre[l];
            double extent = extent_about(g, l, g->centre[l]);
            g->scale[l] = scale_in_use(kept, l) || !(extent > 0) ? kept->scale[l] : scale_for(extent);
        } else {
            fresh_frame(g, l, n_rows);
        }
        enclose_coordinate(g, l);
    }
}

/* Whether the tails of the rows before are worth extending: their thresholds are those of nearly as many rows. */
static bool tails_last(const hop_geometry *g, const hop_known_rows *known, size_t n_rows)
{
    const size_t measured = known->geometry->tail_rows;
    return !g->tails || (known->geometry->tails && n_rows - measured <= measured / 4);
}

hop_status hop_geometry_measure(hop_geometry *out, const float *rows, size_t n_rows, size_t n,
                                const hop_kept_frame *kept, const hop_known_rows *known, const hop_executor *executor,
                                hop_error *error)
{
    hop_geometry g;
    hop_status status = new_geometry(&g, n_rows, n, error);
    if (status != HOP_OK)
        return status;
    status = measure_all_ranges(&g, rows, n_rows, known, executor, error);
    g.kept = status == HOP_OK && kept && frame_fits(&g, kept);
    if (status == HOP_OK && known && !g.kept) {
        known = NULL;
        status = measure_all_ranges(&g, rows, n_rows, NULL, executor, error);
    }
    if (status == HOP_OK) {
        enclose(&g, n_rows, kept);
        known = known && tails_last(&g, known, n_rows) ? known : NULL;
        g.tail_rows = known ? known->geometry->tail_rows : n_rows;
        status = hop_spread_measure(&g, rows, n_rows, known, executor, error);
    }
    if (status == HOP_OK)
        *out = g;
    else
        hop_geometry_fini(&g);
    return status;
}

hop_status hop_geometry_norms(const float *rows, size_t from, size_t n_rows, size_t n, double *mean, double *max_abs,
                              double *max_l2, const hop_executor *executor, hop_error *error)
{
    hop_geometry g;
    hop_status status = new_geometry(&g, 0, n, error);
    if (status != HOP_OK)
        return status;
    status = measure_ranges(&g, rows, from, n_rows, executor, error);
    if (status == HOP_OK && from < n_rows) {
        for (size_t l = 0; l < n; l++) {
            fresh_frame(&g, l, n_rows - from);
            g.max_abs = hop_max(g.max_abs, hop_max(fabs((double)g.min[l]), fabs((double)g.max[l])));
        }
        if (mean)
            memcpy(mean, g.centre, n * sizeof *mean);
    }
    *max_abs = g.max_abs;
    *max_l2 = g.max_l2;
    hop_geometry_fini(&g);
    return status;
}

size_t hop_geometry_scratch_bytes(size_t n_rows, size_t n)
{
    if (!n)
        return 0;
    const size_t ranges = share_count(n_rows, n) * share_bytes(n);
    const size_t spread = hop_spread_bytes(n, tail_count(n_rows, n) > 0);
    return ranges > spread ? ranges : spread;
}
