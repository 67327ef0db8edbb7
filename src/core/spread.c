/*
 * spread.c - how rows lie about the centre of a frame that is known: the radius, and the tails, from histograms. By
 * tasks whose results are counts and maxima, so that it does not matter how many there are or who is first.
 */
#include "core/spread.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "core/alloc.h"
#include "core/kernels.h"
#include "core/rounding.h"
#include "core/status.h"
#include "core/tasks.h"

/* A task's histogram has 16 bits a bin and goes into the shared one at its end. */
enum {
    TASKS = 32,
    TASK_ROWS_LEAST = 1 << 10,
    TASK_ROWS_MOST = (1 << 16) - 128,
    TASK_CELLS_MOST = 1 << 23,
    COUNTED_COLUMNS_MOST = 1 << 10,
    BLOCK_ROWS = 128 /* that two kernels read, the second one from a cache */
};

typedef struct spread_job {
    const hop_kernels *kernels;
    const hop_geometry *geometry;
    const float *rows;
    size_t n_rows, each, first, columns; /* rows of a task; the columns that are counted */
    bool radius;
    _Atomic uint64_t largest_square; /* the bits of a double that is not negative: they have its order */
    double *low, *per_bin;           /* n each, of rows less their centres */
    _Atomic uint32_t *count;         /* columns x HOP_BINS */
} spread_job;

static void raise_to(_Atomic uint64_t *largest, double to)
{
    uint64_t bits, is = atomic_load_explicit(largest, memory_order_relaxed);
    memcpy(&bits, &to, sizeof bits);
    while (is < bits &&
           !atomic_compare_exchange_weak_explicit(largest, &is, bits, memory_order_relaxed, memory_order_relaxed))
        ;
}

/* Some columns' histograms of some rows, in the nearest cache, then into everybody's. */
static void count_columns(spread_job *job, size_t column, size_t columns, size_t from, size_t end, double *square)
{
    const hop_geometry *g = job->geometry;
    uint16_t count[HOP_BIN_COLUMNS * HOP_BINS];
    memset(count, 0, columns * HOP_BINS * sizeof *count);
    while (from < end) {
        const float *rows = job->rows + from * g->n;
        const size_t n_rows = end - from < BLOCK_ROWS ? end - from : BLOCK_ROWS;
        if (square)
            (void)job->kernels->row_squares(g->n, n_rows, rows, g->centre, square);
        job->kernels->row_bins(&(hop_row_bins){.n = columns,
                                               .n_rows = n_rows,
                                               .stride = g->n,
                                               .rows = rows + column,
                                               .centre = g->centre + column,
                                               .low = job->low + column,
                                               .per_bin = job->per_bin + column,
                                               .count = count});
        from += n_rows;
    }
    _Atomic uint32_t *to = job->count + (column - job->first) * HOP_BINS;
    for (size_t i = 0; i < columns * HOP_BINS; i++)
        if (count[i])
            atomic_fetch_add_explicit(&to[i], count[i], memory_order_relaxed);
}

static void spread_task(void *arg, size_t i)
{
    spread_job *job = arg;
    const hop_geometry *g = job->geometry;
    const size_t from = i * job->each, end = job->n_rows - from < job->each ? job->n_rows : from + job->each;
    double square = 0;
    for (size_t at = 0; at < job->columns; at += HOP_BIN_COLUMNS) {
        const size_t rest = job->columns - at, n = rest < HOP_BIN_COLUMNS ? rest : HOP_BIN_COLUMNS;
        count_columns(job, job->first + at, n, from, end, job->radius && at == 0 ? &square : NULL);
    }
    if (job->radius && !job->columns)
        (void)job->kernels->row_squares(g->n, end - from, job->rows + from * g->n, g->centre, &square);
    raise_to(&job->largest_square, square);
}

/*
 * Bins of a coordinate in u. A row is counted in the bin that f64 puts it in: off by less than 2^-30 of a bin and the
 * roundings of u and of the bin's edges, which count where the rows lie narrowly away from the centre: `least` is more
 * than both. Within a bin every row counts as if it lay at the far edge.
 */
typedef struct bins {
    double low, width, least;
    const uint32_t *count;
} bins;

static bins bins_of(const hop_geometry *g, size_t l, const uint32_t *count)
{
    double width = (g->high[l] - g->low[l]) / HOP_BINS;
    return (bins){.low = g->low[l], .width = width, .least = 0x1p-30 * width + 0x1p-50 * g->extent[l], .count = count};
}

static void note_tail(hop_geometry *g, size_t k, size_t l)
{
    hop_tail tail = hop_geometry_tail(g, k, l);
    g->tail_reach[k] = hop_max(g->tail_reach[k], g->scale[l] * hop_max(tail.upper, -tail.lower));
    g->tail_rest[k] = hop_max(g->tail_rest[k], g->scale[l] * hop_max(tail.above, tail.below));
}

/* One coordinate's tails, all rows being in the bins. */
static void find_tails(hop_geometry *g, size_t l, size_t n_rows, const bins *b)
{
    const double M = (double)n_rows;
    uint64_t above = 0, below = 0;      /* rows in the bins beyond the edges */
    double excess = 0, shortfall = 0;   /* sum over them of whole bins from the edge to their far edge */
    size_t upper = HOP_BINS, lower = 0; /* edges: bins upper.. are above, bins ..lower - 1 below */
    for (size_t k = HOP_TAIL_LEVELS; k-- > 0;) {
        double most = ldexp(M, -(int)k - 1);
        while (upper > 0 && (double)(above + b->count[upper - 1]) <= most) {
            above += b->count[--upper];
            excess += (double)above;
        }
        while (lower < HOP_BINS && (double)(below + b->count[lower]) <= most) {
            below += b->count[lower++];
            shortfall += (double)below;
        }
        double *at = g->tails + k * 4 * g->n + l;
        at[0] = b->low + (double)upper * b->width;
        at[g->n] = hop_up(excess / M * b->width + b->least);
        at[2 * g->n] = b->low + (double)lower * b->width;
        at[3 * g->n] = hop_up(shortfall / M * b->width + b->least);
    }
}

/*
 * One coordinate's tails where the bins hold the rows that came: the thresholds stay, and the sums beyond them are
 * those of the rows before and of what is in the bins.
 */
static void extend_tails(hop_geometry *g, size_t l, const hop_geometry *before, size_t n_before, size_t n_rows,
                         const bins *b)
{
    const double M = (double)n_rows, was = (double)n_before;
    for (size_t k = 0; k < HOP_TAIL_LEVELS; k++) {
        const hop_tail tail = hop_geometry_tail(before, k, l);
        double excess = (M - was) * b->least, shortfall = excess;
        for (size_t i = 0; i < HOP_BINS; i++) {
            const double n = (double)b->count[i], low = b->low + (double)i * b->width;
            excess += n * hop_max(low + b->width - tail.upper, 0);
            shortfall += n * hop_max(tail.lower - low, 0);
        }
        double *at = g->tails + k * 4 * g->n + l;
        at[0] = tail.upper;
        at[g->n] = hop_up((was * tail.above + excess * (1 + 0x1p-40)) / M);
        at[2 * g->n] = tail.lower;
        at[3 * g->n] = hop_up((was * tail.below + shortfall * (1 + 0x1p-40)) / M);
    }
}

/* The columns whose histograms are in memory at a time. */
static size_t counted_columns(size_t n, bool tails)
{
    return !tails ? 0 : n < COUNTED_COLUMNS_MOST ? n : COUNTED_COLUMNS_MOST;
}

size_t hop_spread_bytes(size_t n, bool tails)
{
    return counted_columns(n, tails) * HOP_BINS * sizeof(uint32_t) + (tails ? 2 * n * sizeof(double) : 0);
}

/* Rows of a task. A small one adds its histogram to the shared one too often. */
static size_t task_rows(size_t n_rows, size_t n)
{
    const size_t by_cells = TASK_CELLS_MOST / n, most = by_cells < TASK_ROWS_MOST ? by_cells : TASK_ROWS_MOST;
    size_t each = (n_rows + TASKS - 1) / TASKS;
    each = each < most ? each : most;
    return each > TASK_ROWS_LEAST ? each : TASK_ROWS_LEAST;
}

hop_status hop_spread_measure(hop_geometry *g, const float *rows, size_t n_rows, const hop_known_rows *known,
                              const hop_executor *executor, hop_error *error)
{
    const size_t n = g->n, from = known ? known->n_rows : 0, most = counted_columns(n, g->tails != NULL);
    spread_job job = {.kernels = hop_kernels_get(),
                      .geometry = g,
                      .rows = rows + from * n,
                      .n_rows = n_rows - from,
                      .each = task_rows(n_rows - from, n),
                      .radius = true};
    double *block = most ? hop_array_alloc(hop_spread_bytes(n, true), 1, 1) : NULL;
    if (most && !block)
        return hop_fail(error, HOP_E_NOMEM, "no memory for the tails of %zu coordinates", n);
    job.low = block;
    job.per_bin = most ? block + n : NULL;
    job.count = most ? (_Atomic uint32_t *)(block + 2 * n) : NULL;
    for (size_t l = 0; most && l < n; l++) {
        job.low[l] = g->low[l] * g->scale[l];
        job.per_bin[l] = g->extent[l] > 0 ? HOP_BINS / (g->high[l] - g->low[l]) * g->inverse[l] : 0;
    }
    for (job.first = 0; job.first < n; job.first += most ? most : n) {
        job.columns = n - job.first < most ? n - job.first : most;
        for (size_t i = 0; i < job.columns * HOP_BINS; i++)
            atomic_init(&job.count[i], 0);
        hop_tasks_run(executor, (job.n_rows + job.each - 1) / job.each, spread_task, &job);
        job.radius = false;
        for (size_t l = job.first; l < job.first + job.columns; l++) {
            uint32_t count[HOP_BINS];
            for (size_t i = 0; i < HOP_BINS; i++)
                count[i] = atomic_load_explicit(&job.count[(l - job.first) * HOP_BINS + i], memory_order_relaxed);
            const bins in = bins_of(g, l, count);
            if (known)
                extend_tails(g, l, known->geometry, from, n_rows, &in);
            else
                find_tails(g, l, n_rows, &in);
            for (size_t k = 0; k < HOP_TAIL_LEVELS; k++)
                note_tail(g, k, l);
        }
    }
    hop_aligned_free(block);
    uint64_t bits = atomic_load_explicit(&job.largest_square, memory_order_relaxed);
    double square;
    memcpy(&square, &bits, sizeof square);
    g->radius = sqrt(square) * (1 + hop_gamma((double)n + 8, HOP_U64)) * (1 + 0x1p-48);
    if (known)
        g->radius = hop_max(g->radius, known->geometry->radius);
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
