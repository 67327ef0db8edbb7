/*
 * separation.c - rows against all memories: the nearest one, and the largest inner product (theory.h).
 *
 * With y = key - c, both come from maxima of the scores s = <xi_mu, y_nu>, 64 memories at a time:
 *
 *     Delta_mu = <xi_mu, y_mu> - max_{nu != mu} s             |y_mu - y_nu|^2 / 2 = |y_mu|^2 / 2 + e_nu - s
 *
 * e_nu = |y_nu|^2 / 2 + <c, y_nu>. The right one cancels where rows are close. It serves to find them: every pair that
 * may be nearer than the nearest so far, for all that rounding may have done, is measured by itself,
 * sum (xi_mu - xi_nu)^2. So the smallest of those is the smallest of all, in whatever order they are met, and by
 * whichever thread.
 */
#include "core/separation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/costs.h"
#include "core/kernels.h"
#include "core/splitmix.h"
#include "core/pack.h"
#include "core/rounding.h"
#include "core/status.h"

enum {
    BLOCK_MAX = 128,       /* rows that share a packed panel */
    BLOCK_BYTES = 1 << 20, /* of their coordinates */
    ROWS_MIN = 64,         /* of a sample */
    CHECK_MADDS = 1 << 24, /* between two looks at cancel: a few milliseconds */
};

/* ---- shape ------------------------------------------------------------------------------------------- */

static size_t rows_of(const hop_model *model, double limit)
{
    const double M = (double)model->M, pairs = limit / (double)model->d;
    if (M * M <= pairs)
        return model->M;
    const size_t n = (size_t)hop_max(pairs / M, ROWS_MIN);
    return n < model->M ? n : model->M;
}

static size_t block_of(const hop_model *model)
{
    const size_t fit = BLOCK_BYTES / sizeof(double) / model->d;
    return fit < 8 ? 8 : fit < BLOCK_MAX ? fit : BLOCK_MAX;
}

static size_t blocks_of(const hop_model *model, size_t rows)
{
    const size_t block = block_of(model);
    return (rows + block - 1) / block;
}

static size_t width_of(const hop_model *model, size_t rows, size_t width)
{
    const size_t blocks = blocks_of(model, rows);
    return width < 1 ? 1 : width < blocks ? width : blocks;
}

/*
 * One thread's own: a block of rows, a panel of memories, and what they make of each other. Rows and panels have one
 * coordinate more than the keys, for the differences s - e: 1, and -e_nu.
 */
typedef struct worker {
    size_t *ids;         /* block */
    double *x, *longer;  /* block x d: xi 2^e; block x (d + 1): the same and 1 */
    double *keys;        /* (d + 1) x HOP_PANEL: u and -e_nu */
    double *largest;     /* block: of one panel, the largest s, or s - e */
    double *top, *base;  /* block each: the largest s so far; <xi_mu, y_mu> */
    double *slack;       /* block: what rounding may do, in distance^2/2, less |y_mu|^2/2 */
    double least_offset; /* the smallest e_nu of the panel */
    double nearest;      /* smallest distance^2 so far */
    void *scratch;       /* of the kernels */
} worker;

static size_t lay_out(const hop_model *model, char *block, worker *out)
{
    const size_t rows = block_of(model), d = model->d;
    size_t used = 0;
    size_t ids = hop_carve(&used, rows, sizeof(size_t)), x = hop_carve(&used, rows * d, sizeof(double));
    size_t longer = hop_carve(&used, rows * (d + 1), sizeof(double));
    size_t keys = hop_carve(&used, HOP_PANEL * (d + 1), sizeof(double));
    size_t largest = hop_carve(&used, rows, sizeof(double)), top = hop_carve(&used, rows, sizeof(double));
    size_t base = hop_carve(&used, rows, sizeof(double)), slack = hop_carve(&used, rows, sizeof(double));
    size_t scratch = hop_carve(&used, hop_scratch_bytes(HOP_COLUMNS), 1);
    if (out)
        *out = (worker){.ids = (size_t *)(block + ids),
                        .x = (double *)(block + x),
                        .longer = (double *)(block + longer),
                        .keys = (double *)(block + keys),
                        .largest = (double *)(block + largest),
                        .top = (double *)(block + top),
                        .base = (double *)(block + base),
                        .slack = (double *)(block + slack),
                        .scratch = block + scratch};
    return used;
}

size_t hop_separation_bytes(const hop_model *model)
{
    return sizeof(hop_separation) + rows_of(model, HOP_SEPARATION_EXACT) * sizeof(double);
}

size_t hop_separation_build_bytes(const hop_model *model, size_t width)
{
    const size_t rows = rows_of(model, HOP_SEPARATION_EXACT);
    size_t workers, all;
    if (!hop_mul_size(lay_out(model, NULL, NULL) + sizeof(worker), width_of(model, rows, width), &workers) ||
        !hop_add_size(workers, hop_separation_bytes(model), &all))
        return SIZE_MAX;
    return all;
}

/* ---- rows -------------------------------------------------------------------------------------------- */

typedef struct pair_job {
    const hop_model *model;
    const hop_kernels *kernels;
    hop_separation *out;
    worker *workers;
    hop_progress *progress;
    size_t block, blocks;
    double radius, centre;    /* >= |y_mu| of every row; >= |c| */
    atomic_size_t next, done; /* blocks taken; panels done */
} pair_job;

/* Where slice i of n begins: i M / n without overflow. */
static size_t slice(size_t M, size_t n, size_t i)
{
    return M / n * i + M % n * i / n;
}

/* Id of the i-th row that is looked at. */
static size_t row_id(const hop_separation *out, size_t i)
{
    if (out->n == out->M)
        return i;
    const size_t first = slice(out->M, out->n, i), count = slice(out->M, out->n, i + 1) - first;
    return first + (size_t)(hop_mix64(out->seed + (i + 1) * HOP_MIX_STEP) % count);
}

static bool cancelled(const pair_job *job)
{
    return job->progress && atomic_load_explicit(&job->progress->cancel, memory_order_relaxed);
}

static void report(pair_job *job, size_t panels)
{
    if (!job->progress)
        return;
    const size_t done = atomic_fetch_add_explicit(&job->done, panels, memory_order_relaxed) + panels;
    const double all = (double)job->blocks * (double)hop_pack_panels(job->model->M);
    atomic_store_explicit(&job->progress->permille, (unsigned)(1000 * ((double)done / all)), memory_order_relaxed);
}

static void load_row(const pair_job *job, worker *at, size_t place, size_t id)
{
    const hop_geometry *key = &job->model->key;
    const size_t d = job->model->d;
    const float *row = job->model->keys + id * d;
    double square = 0, norm = 0, inner = 0;
    for (size_t l = 0; l < d; l++) {
        const double xi = (double)row[l], y = xi - key->centre[l];
        at->x[place * d + l] = at->longer[place * (d + 1) + l] = xi * key->scale[l];
        square += y * y;
        norm += xi * xi;
        inner += xi * y;
    }
    /*
     * s, e, their difference and |y|^2/2 are sums of at most 2 d + 8 roundings a term, whose absolute values are at
     * most |xi| radius, radius^2/2 + |c| radius and radius^2/2 (Cauchy and Schwarz, for absolute values too).
     */
    const double size = (sqrt(norm) + job->centre + job->radius) * job->radius;
    at->longer[place * (d + 1) + d] = 1;
    at->slack[place] = 2 * hop_gamma(2 * (double)d + 8, HOP_U64) * size - square / 2;
    at->base[place] = inner;
    at->top[place] = -(double)INFINITY;
    at->ids[place] = id;
}

static void load_panel(const pair_job *job, worker *at, size_t panel, size_t count)
{
    const hop_geometry *key = &job->model->key;
    const size_t d = job->model->d;
    double *offset = at->keys + d * HOP_PANEL;
    hop_pack_keys_f64(job->model, panel, count, at->keys);
    memset(offset, 0, HOP_PANEL * sizeof *offset);
    for (size_t l = 0; l < d; l++) {
        const double scale = key->scale[l], centre = key->centre[l], *u = at->keys + l * HOP_PANEL;
        for (size_t m = 0; m < HOP_PANEL; m++) {
            const double y = scale * u[m];
            offset[m] -= y * (y / 2 + centre);
        }
    }
    at->least_offset = (double)INFINITY;
    for (size_t m = 0; m < count; m++)
        at->least_offset = hop_min(-offset[m], at->least_offset);
}

/* One row and the memories of a panel, pair by pair; itself left out. Returns the largest s. */
static double measure(const pair_job *job, worker *at, size_t id, size_t panel, size_t count)
{
    const size_t d = job->model->d, first = panel * HOP_PANEL;
    const double *centre = job->model->key.centre;
    const float *row = job->model->keys + id * d, *other = job->model->keys + first * d;
    double top = -(double)INFINITY;
    for (size_t m = 0; m < count; m++, other += d) {
        double square = 0, inner = 0;
        for (size_t l = 0; l < d && first + m != id; l++) {
            const double xi = (double)row[l], difference = xi - (double)other[l];
            square += difference * difference;
            inner += xi * ((double)other[l] - centre[l]);
        }
        if (first + m == id)
            continue;
        at->nearest = hop_min(square, at->nearest);
        top = hop_max(inner, top);
    }
    return top;
}

/* Whether a pair of that row with s - e up to `difference` may be nearer than the nearest so far. */
static bool may_be_near(const worker *at, size_t place, double difference)
{
    return at->nearest > 0 && -difference < at->nearest / 2 + at->slack[place];
}

/*
 * The largest s, or s - e, of each row in a panel: only where the largest s and the smallest e leave a pair that could
 * be near is the second needed, and only where that does are pairs looked at.
 */
static void take_panel(const pair_job *job, worker *at, size_t rows, size_t panel, size_t count)
{
    const size_t d = job->model->d;
    hop_panel_f64 scores = {.d = d,
                            .L = rows,
                            .count = count,
                            .columns = HOP_COLUMNS,
                            .keys = at->keys,
                            .x = at->x,
                            .scratch = at->scratch};
    bool near = false;
    for (size_t i = 0; i < rows; i++)
        at->largest[i] = -(double)INFINITY;
    job->kernels->max_f64(&scores, at->largest);
    for (size_t i = 0; i < rows; i++) {
        const bool own = at->ids[i] / HOP_PANEL == panel;
        if (own)
            at->largest[i] = measure(job, at, at->ids[i], panel, count);
        at->top[i] = hop_max(at->largest[i], at->top[i]);
        near = near || (!own && may_be_near(at, i, at->largest[i] - at->least_offset));
        at->largest[i] = -(double)INFINITY;
    }
    if (!near)
        return;
    scores.d = d + 1;
    scores.x = at->longer;
    job->kernels->max_f64(&scores, at->largest);
    for (size_t i = 0; i < rows; i++)
        if (at->ids[i] / HOP_PANEL != panel && may_be_near(at, i, at->largest[i]))
            (void)measure(job, at, at->ids[i], panel, count);
}

static void run_block(pair_job *job, worker *at, size_t block)
{
    const hop_model *model = job->model;
    const size_t first = block * job->block, left = job->out->n - first, rows = left < job->block ? left : job->block;
    const size_t panels = hop_pack_panels(model->M), check = CHECK_MADDS / (rows * model->d * HOP_PANEL) + 1;
    for (size_t i = 0; i < rows; i++)
        load_row(job, at, i, row_id(job->out, first + i));
    for (size_t panel = 0; panel < panels; panel++) {
        const size_t rest = model->M - panel * HOP_PANEL, count = rest < HOP_PANEL ? rest : HOP_PANEL;
        load_panel(job, at, panel, count);
        take_panel(job, at, rows, panel, count);
        if (panel % check == check - 1 && cancelled(job))
            return;
        if (panel % check == check - 1 || panel + 1 == panels)
            report(job, panel % check + 1);
    }
    for (size_t i = 0; i < rows; i++)
        job->out->Delta[first + i] = at->base[i] - at->top[i];
}

static void run_worker(void *arg, size_t i)
{
    pair_job *job = arg;
    worker *at = job->workers + i;
    for (;;) {
        const size_t block = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
        if (block >= job->blocks || cancelled(job))
            return;
        run_block(job, at, block);
    }
}

/* ---- the whole --------------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run(pair_job *job, const hop_executor *executor, size_t width)
{
    if (executor && width > 1)
        executor->run(executor->context, width, run_worker, job);
    else
        run_worker(job, 0);
}

static double norm_of(const double *v, size_t n)
{
    double square = 0;
    for (size_t l = 0; l < n; l++)
        square += v[l] * v[l];
    return hop_up(sqrt(square));
}

hop_status hop_separation_measure(const hop_model *model, double limit, uint64_t seed, const hop_executor *executor,
                                  hop_progress *progress, hop_separation **out, hop_error *error)
{
    const size_t rows = rows_of(model, limit), width = width_of(model, rows, executor ? executor->width : 1);
    const size_t each = lay_out(model, NULL, NULL);
    pair_job job = {.model = model,
                    .kernels = hop_kernels_get(),
                    .progress = progress,
                    .block = block_of(model),
                    .blocks = blocks_of(model, rows),
                    .radius = model->key.radius,
                    .centre = norm_of(model->key.centre, model->d)};
    hop_separation *separation = hop_array_new(1, 1, sizeof *separation);
    double *Delta = hop_array_new(rows, 1, sizeof *Delta);
    char *blocks = hop_array_new(width, each, 1);
    job.workers = hop_array_new(width, 1, sizeof *job.workers);
    job.out = separation;
    hop_status status = HOP_OK;
    if (separation && Delta && blocks && job.workers) {
        *separation =
            (hop_separation){.M = model->M, .n = rows, .seed = seed, .nearest = (double)INFINITY, .Delta = Delta};
        for (size_t i = 0; i < width; i++) {
            lay_out(model, blocks + i * each, job.workers + i);
            job.workers[i].nearest = (double)INFINITY;
        }
        run(&job, executor, width);
        if (cancelled(&job))
            status = hop_fail(error, HOP_E_CANCELLED, "the measurement of distances was cancelled");
        for (size_t i = 0; i < width; i++)
            separation->nearest = hop_min(job.workers[i].nearest, separation->nearest);
        separation->nearest = sqrt(separation->nearest);
        qsort(Delta, separation->n, sizeof *Delta, ascending);
    } else {
        status = hop_fail(error, HOP_E_NOMEM, "no memory to measure distances");
    }
    hop_aligned_free(job.workers);
    hop_aligned_free(blocks);
    if (status != HOP_OK) {
        hop_aligned_free(Delta);
        hop_aligned_free(separation);
        return status;
    }
    *out = separation;
    return HOP_OK;
}

hop_status hop_separation_new(const hop_model *model, uint64_t seed, const hop_executor *executor,
                              hop_progress *progress, hop_separation **out, hop_error *error)
{
    return hop_separation_measure(model, HOP_SEPARATION_EXACT, seed, executor, progress, out, error);
}

void hop_separation_free(hop_separation *separation)
{
    if (!separation)
        return;
    hop_aligned_free(separation->Delta);
    hop_aligned_free(separation);
}

double hop_separation_seconds(const hop_model *model, size_t width)
{
    hop_costs costs;
    hop_costs_get(&costs);
    const size_t rows = rows_of(model, HOP_SEPARATION_EXACT);
    const double M = (double)model->M, d = (double)model->d, pairs = (double)rows * M;
    /* By what it measures as: between one and two maxima a pair. */
    const double pair = 1.4 * d * costs.seconds[HOP_COST_F64_MADD] + 0.7 * costs.seconds[HOP_COST_F64_PAIR];
    const double passes = (double)blocks_of(model, rows) * M * d * costs.seconds[HOP_COST_F64_PASS_NUMBER];
    return (pairs * pair + passes) / (double)width_of(model, rows, width);
}

double hop_separation_quantile(const hop_separation *separation, double q)
{
    const double rank = ceil(q * (double)separation->n);
    return separation->Delta[rank >= 1 ? (size_t)rank - 1 : 0];
}

double hop_separation_share(const hop_separation *separation, double threshold)
{
    size_t below = 0, end = separation->n;
    while (below < end) {
        const size_t middle = below + (end - below) / 2;
        if (separation->Delta[middle] >= threshold)
            end = middle;
        else
            below = middle + 1;
    }
    return (double)(separation->n - below) / (double)separation->n;
}
