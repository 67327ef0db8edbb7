/*
 * dense.c - the driver over panels; kernels do the arithmetic (kernels.h), certificate.h turns sums into answers, and
 * dense_bound.c says how good they are.
 *
 * The memories are cut into segments, each with sums and scratch of its own, which the executor's threads run in any
 * order and the caller merges in theirs: how they are cut depends on the shapes alone, so an answer does not depend on
 * the threads.
 */
#include "core/dense.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "core/kernels.h"
#include "core/pack.h"

enum {
    BATCH_MIN = 8,
    BATCH_BYTES = 8 << 20,
    SEGMENT_PANELS = 32,     /* at least, so that cutting costs nothing next to the work */
    SEGMENT_BYTES = 8 << 20, /* of all segments and 256 queries of a batch, unless one alone takes more */
};

#define LOG2_E 1.4426950408889634
#define LN_2 0.6931471805599453

size_t hop_dense_batch(const hop_model *model)
{
    size_t row = (model->d + model->columns) * sizeof(double);
    size_t batch = (size_t)BATCH_BYTES / row;
    size_t most = hop_kernels_get()->batch_f32;
    return batch < BATCH_MIN ? BATCH_MIN : batch > most ? most : batch;
}

/* What one segment writes; f32 or f64 by what is run. Everything is carved 64-byte aligned. */
typedef struct segment {
    double *D, *N;       /* n, n x columns */
    void *top;           /* n */
    void *keys, *values; /* a panel each, where they are packed on the way */
    void *scratch;
} segment;

static size_t scratch_bytes(const hop_model *model)
{
    const hop_kernels *kernels = hop_kernels_get();
    size_t some = hop_scratch_bytes(model->columns);
    size_t other = kernels->scratch_f32_bytes ? kernels->scratch_f32_bytes(model->d, model->columns) : 0;
    return some > other ? some : other;
}

static size_t lay_out_segment(const hop_model *model, size_t n, char *block, segment *out)
{
    size_t used = 0;
    size_t D = hop_carve(&used, n, sizeof(double));
    size_t N = hop_carve(&used, n * model->columns, sizeof(double));
    size_t top = hop_carve(&used, n, sizeof(double));
    size_t keys = hop_carve(&used, model->d * HOP_PANEL, sizeof(double));
    size_t values = hop_carve(&used, model->columns * HOP_PANEL, sizeof(double));
    size_t scratch = hop_carve(&used, scratch_bytes(model), 1);
    if (out)
        *out = (segment){.D = (double *)(block + D),
                         .N = (double *)(block + N),
                         .top = block + top,
                         .keys = block + keys,
                         .values = block + values,
                         .scratch = block + scratch};
    return used;
}

static size_t segment_bytes(void)
{
    return (size_t)SEGMENT_BYTES * (hop_kernels_get()->batch_f32 / 256);
}

/* A power of two, so that as many workers share the segments evenly. */
static size_t segment_count(const hop_model *model, size_t n)
{
    size_t panels = hop_pack_panels(model->M), each = lay_out_segment(model, n, NULL, NULL), count = 1;
    while (2 * count <= HOP_DENSE_SEGMENTS_MAX && 2 * count * SEGMENT_PANELS <= panels &&
           2 * count * each <= segment_bytes())
        count *= 2;
    return count;
}

/* What is known of one query's weights so far. */
typedef struct tally {
    double sum, squares;
    size_t kept; /* of its top list */
} tally;

/* The pieces of a workspace block. */
typedef struct pieces {
    void *x; /* batch x d, f32 or f64 */
    void *queries;
    double *scores;
    tally *tallies;
    char *segments;
} pieces;

static size_t lay_out(const hop_model *model, char *block, pieces *out)
{
    const hop_kernels *kernels = hop_kernels_get();
    size_t batch = hop_dense_batch(model), used = 0;
    size_t x = hop_carve(&used, batch * model->d, sizeof(double));
    size_t queries = hop_carve(&used, kernels->queries_f32_bytes ? kernels->queries_f32_bytes(batch, model->d) : 0, 1);
    size_t scores = hop_carve(&used, batch * HOP_PANEL, sizeof(double));
    size_t tallies = hop_carve(&used, batch, sizeof(tally));
    /* Fewer queries may have more segments, but not more bytes than the limit or than that many segments of a batch. */
    size_t one = lay_out_segment(model, batch, NULL, NULL), all = one * segment_count(model, 1);
    size_t limit = one > segment_bytes() ? one : segment_bytes();
    size_t segments = hop_carve(&used, all < limit ? all : limit, 1);
    if (out)
        *out = (pieces){.x = block + x,
                        .queries = block + queries,
                        .scores = (double *)(block + scores),
                        .tallies = (tally *)(block + tallies),
                        .segments = block + segments};
    return used;
}

size_t hop_dense_workspace_bytes(const hop_model *model)
{
    return lay_out(model, NULL, NULL);
}

static size_t panel_count(const hop_model *model, size_t panel)
{
    size_t rest = model->M - panel * HOP_PANEL;
    return rest < HOP_PANEL ? rest : HOP_PANEL;
}

/* One call's pass, as its segments' tasks see it. */
typedef struct pass {
    const hop_model *model;
    size_t n, segments;
    const void *x, *shift; /* shift NULL: none */
    const void *queries;   /* as the kernels want them besides (f32) */
    char *block;           /* the segments, one after the other */
    bool f64, maxima;
} pass;

static segment segment_of(const pass *run, size_t i)
{
    segment at;
    size_t bytes = lay_out_segment(run->model, run->n, NULL, NULL);
    lay_out_segment(run->model, run->n, run->block + i * bytes, &at);
    return at;
}

/*
 * Values that are the keys can be read off the key panels: the only way without packed values, and the faster one for
 * few queries, where reading takes longer than computing.
 */
static bool reads_keys_alone(const pass *run)
{
    enum { FEW = 4, FEW_FROM_MEMORY = 16, CACHED_BYTES = 16 << 20 };
    const hop_model *model = run->model;
    if (!model->shared)
        return false;
    if (run->f64 || run->n <= FEW)
        return run->n <= FEW;
    const bool cached = model->M * (model->d + model->columns) <= CACHED_BYTES / sizeof(float);
    return !model->value_panels || (!cached && run->n <= FEW_FROM_MEMORY);
}

static void run_f32(const pass *run, const segment *to, size_t panel, size_t end)
{
    const hop_kernels *kernels = hop_kernels_get();
    const hop_model *model = run->model;
    const size_t d = model->d, columns = model->columns, bytes = (d + columns) * HOP_PANEL * sizeof(float);
    const bool alone = reads_keys_alone(run);
    const bool packed = model->key_panels && (run->maxima || alone || model->value_panels);
    size_t most = run->maxima || !packed ? 1 : kernels->run_bytes / bytes;
    most = most < 1 ? 1 : most > HOP_RUN / HOP_PANEL ? HOP_RUN / HOP_PANEL : most;
    hop_panel_f32 at = {.d = d,
                        .L = run->n,
                        .columns = columns,
                        .x = run->x,
                        .shift = run->shift,
                        .D = to->D,
                        .N = to->N,
                        .scratch = to->scratch,
                        .queries = run->queries};
    for (size_t panels; panel < end; panel += panels) {
        panels = end - panel < most ? end - panel : most;
        at.count = (panels - 1) * HOP_PANEL + panel_count(model, panel + panels - 1);
        at.keys = model->key_panels + panel * HOP_PANEL * d;
        if (!model->key_panels) {
            hop_pack_keys_f32(model, panel, at.count, to->keys);
            at.keys = to->keys;
        }
        if (run->maxima) {
            kernels->max_f32(&at, to->top);
            continue;
        }
        at.values = alone ? NULL : model->value_panels + panel * HOP_PANEL * columns;
        if (!alone && !model->value_panels) {
            hop_pack_values_f32(model, panel, at.count, to->values);
            at.values = to->values;
        }
        kernels->panel_f32(&at);
    }
}

/* Straight from the stored rows, a panel at a time. */
static void run_f64(const pass *run, const segment *to, size_t panel, size_t end)
{
    const hop_kernels *kernels = hop_kernels_get();
    const hop_model *model = run->model;
    const bool alone = reads_keys_alone(run);
    hop_panel_f64 at = {.d = model->d,
                        .L = run->n,
                        .columns = model->columns,
                        .keys = to->keys,
                        .values = alone ? NULL : to->values,
                        .x = run->x,
                        .shift = run->shift,
                        .D = to->D,
                        .N = to->N,
                        .scratch = to->scratch};
    for (; panel < end; panel++) {
        at.count = panel_count(model, panel);
        hop_pack_keys_f64(model, panel, at.count, to->keys);
        if (run->maxima) {
            kernels->max_f64(&at, to->top);
            continue;
        }
        if (!alone)
            hop_pack_values_f64(model, panel, at.count, to->values);
        kernels->panel_f64(&at);
    }
}

static void run_segment(void *arg, size_t i)
{
    const pass *run = arg;
    const size_t panels = hop_pack_panels(run->model->M), count = run->segments;
    const size_t first = panels / count * i + panels % count * i / count;
    const size_t end = panels / count * (i + 1) + panels % count * (i + 1) / count;
    segment to = segment_of(run, i);
    for (size_t q = 0; q < run->n && run->maxima; q++) {
        if (run->f64)
            ((double *)to.top)[q] = -INFINITY;
        else
            ((float *)to.top)[q] = -INFINITY;
    }
    if (!run->maxima) {
        memset(to.D, 0, run->n * sizeof *to.D);
        memset(to.N, 0, run->n * run->model->columns * sizeof *to.N);
    }
    (run->f64 ? run_f64 : run_f32)(run, &to, first, end);
}

static void run_all(pass *run, const hop_executor *executor)
{
    if (executor && run->segments > 1) {
        executor->run(executor->context, run->segments, run_segment, run);
        return;
    }
    for (size_t i = 0; i < run->segments; i++)
        run_segment(run, i);
}

/* The maxima of all segments, into the first one's. */
static void find_maxima(pass *run, const hop_executor *executor)
{
    run->maxima = true;
    run_all(run, executor);
    run->maxima = false;
    segment all = segment_of(run, 0);
    for (size_t i = 1; i < run->segments; i++) {
        segment part = segment_of(run, i);
        for (size_t q = 0; q < run->n; q++) {
            double *top = all.top, *other = part.top;
            float *top_f32 = all.top, *other_f32 = part.top;
            if (run->f64)
                top[q] = fmax(top[q], other[q]);
            else
                top_f32[q] = fmaxf(top_f32[q], other_f32[q]);
        }
    }
    run->shift = all.top;
}

static void merge_sums(const pass *run)
{
    const size_t columns = run->model->columns;
    segment all = segment_of(run, 0);
    for (size_t i = 1; i < run->segments; i++) {
        segment part = segment_of(run, i);
        for (size_t q = 0; q < run->n; q++)
            all.D[q] += part.D[q];
        for (size_t j = 0; j < run->n * columns; j++)
            all.N[j] += part.N[j];
    }
}

void hop_dense_run(const hop_model *model, const hop_query *const *queries, size_t n, bool f64,
                   const hop_executor *executor, void *workspace, hop_dense_sums *sums)
{
    pieces w;
    lay_out(model, workspace, &w);
    assert(n > 0 && n <= hop_dense_batch(model));
    const size_t d = model->d;
    const bool shifted = hop_dense_needs_shift(queries[0], f64);
    for (size_t q = 0; q < n; q++) {
        assert(hop_dense_needs_shift(queries[q], f64) == shifted);
        for (size_t l = 0; l < d; l++) {
            const double x = queries[q]->xi[l] * LOG2_E;
            if (f64)
                ((double *)w.x)[q * d + l] = x;
            else
                ((float *)w.x)[q * d + l] = (float)x;
        }
    }
    const hop_kernels *kernels = hop_kernels_get();
    if (!f64 && kernels->queries_f32)
        kernels->queries_f32(n, d, w.x, w.queries);
    pass run = {.model = model,
                .n = n,
                .segments = segment_count(model, n),
                .x = w.x,
                .queries = w.queries,
                .block = w.segments,
                .f64 = f64};
    if (shifted)
        find_maxima(&run, executor);
    run_all(&run, executor);
    merge_sums(&run);
    segment all = segment_of(&run, 0);
    for (size_t q = 0; q < n; q++) {
        const double shift = !shifted ? 0 : f64 ? ((double *)all.top)[q] : (double)((float *)all.top)[q];
        sums[q] =
            (hop_dense_sums){.numerator = all.N + q * model->columns, .denominator = all.D[q], .shift = shift * LN_2};
    }
}

/* Insert (id, score) into a list of at most `top`, heaviest first, ties to the lower id (ids arrive in order). */
static void keep_heaviest(size_t top, size_t *kept, uint64_t *ids, double *scores, uint64_t id, double score)
{
    size_t at = *kept;
    if (at == top) {
        if (score <= scores[at - 1])
            return;
        at--;
    } else {
        ++*kept;
    }
    for (; at > 0 && scores[at - 1] < score; at--) {
        scores[at] = scores[at - 1];
        ids[at] = ids[at - 1];
    }
    scores[at] = score;
    ids[at] = id;
}

/* One panel's scores of one query into its tally and lists; weights still lack the division by their sum. */
static void tally_panel(const double *scores, size_t first, size_t count, double largest, size_t top,
                        const hop_dense_weights *out, tally *t)
{
    for (size_t m = 0; m < count; m++) {
        double e = exp(scores[m] - largest);
        t->sum += e;
        t->squares += e * e;
        if (out->weights)
            out->weights[first + m] = (float)e;
        if (out->top_id && top)
            keep_heaviest(top, &t->kept, out->top_id, out->top_weight, first + m, scores[m]);
    }
}

void hop_dense_scores(const hop_model *model, const hop_query *const *queries, size_t n, size_t top,
                      const hop_dense_weights *out, void *workspace)
{
    const hop_kernels *kernels = hop_kernels_get();
    pieces w;
    segment own;
    lay_out(model, workspace, &w);
    lay_out_segment(model, n, w.segments, &own);
    assert(n > 0 && n <= hop_dense_batch(model));
    size_t d = model->d, panels = hop_pack_panels(model->M);
    double *top_score = own.top;
    for (size_t q = 0; q < n; q++) {
        memcpy((double *)w.x + q * d, queries[q]->xi, d * sizeof(double));
        top_score[q] = -INFINITY;
        w.tallies[q] = (tally){0};
    }
    hop_panel_f64 at = {.d = d, .L = n, .columns = model->columns, .keys = own.keys, .x = w.x, .scratch = own.scratch};
    for (int maxima = 1; maxima >= 0; maxima--) {
        for (size_t panel = 0; panel < panels; panel++) {
            at.count = panel_count(model, panel);
            hop_pack_keys_f64(model, panel, at.count, own.keys);
            if (maxima) {
                kernels->max_f64(&at, top_score);
                continue;
            }
            kernels->scores_f64(&at, w.scores);
            for (size_t q = 0; q < n; q++)
                tally_panel(w.scores + q * HOP_PANEL, panel * HOP_PANEL, at.count, top_score[q], top, &out[q],
                            &w.tallies[q]);
        }
    }
    for (size_t q = 0; q < n; q++) {
        const tally *t = &w.tallies[q];
        if (out[q].support)
            *out[q].support = t->sum * t->sum / t->squares;
        for (size_t i = 0; i < t->kept; i++)
            out[q].top_weight[i] = exp(out[q].top_weight[i] - top_score[q]) / t->sum;
        for (size_t mu = 0; out[q].weights && mu < model->M; mu++)
            out[q].weights[mu] = (float)((double)out[q].weights[mu] / t->sum);
    }
}
