/*
 * subset.c - dense.c's pass in f64 over gathered memories (subset.h).
 */
#include "core/subset.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "core/pack.h"

#define LOG2_E 1.4426950408889634
#define LN_2 0.6931471805599453

enum {
    SEGMENTS_MAX = 16,
    SEGMENT_MEMORIES = 64 * HOP_PANEL, /* looked at, at least, by one task */
    SEGMENT_BYTES = 8 << 20,           /* of all segments, unless one alone takes more */
    ALONE = 4,                         /* so few queries read values that are keys off the keys */
};

typedef struct segment {
    double *D, *N, *top; /* n, n x columns, n */
    double *keys, *values;
    void *scratch;
} segment;

static size_t lay_out_segment(const hop_model *model, char *block, segment *out)
{
    size_t used = 0, rows = HOP_SUBSET_ROWS;
    size_t D = hop_carve(&used, rows, sizeof(double));
    size_t N = hop_carve(&used, rows * model->columns, sizeof(double));
    size_t top = hop_carve(&used, rows, sizeof(double));
    size_t keys = hop_carve(&used, model->d * HOP_PANEL, sizeof(double));
    size_t values = hop_carve(&used, model->columns * HOP_PANEL, sizeof(double));
    size_t scratch = hop_carve(&used, hop_scratch_bytes(model->columns), 1);
    if (out)
        *out = (segment){.D = (double *)(block + D),
                         .N = (double *)(block + N),
                         .top = (double *)(block + top),
                         .keys = (double *)(block + keys),
                         .values = (double *)(block + values),
                         .scratch = block + scratch};
    return used;
}

static size_t segment_count(const hop_model *model, size_t memories)
{
    size_t each = lay_out_segment(model, NULL, NULL), count = 1;
    while (2 * count <= SEGMENTS_MAX && 2 * count * SEGMENT_MEMORIES <= memories && 2 * count * each <= SEGMENT_BYTES)
        count *= 2;
    return count;
}

size_t hop_subset_workspace_bytes(const hop_model *model)
{
    size_t used = 0;
    hop_carve(&used, HOP_SUBSET_ROWS * model->d, sizeof(double));
    hop_carve(&used, segment_count(model, model->M), lay_out_segment(model, NULL, NULL));
    return used;
}

typedef struct pass {
    const hop_model *model;
    const hop_selection *selection;
    size_t n, segments;
    double *x; /* n x d */
    const double *shift;
    char *block;
    bool maxima;
} pass;

static segment segment_of(const pass *run, size_t i)
{
    segment at;
    lay_out_segment(run->model, run->block + i * lay_out_segment(run->model, NULL, NULL), &at);
    return at;
}

/* A panel of the rows `ids` as hop_pack_keys_f64() has it of consecutive ones. */
static void gather_keys(const hop_model *model, const size_t *ids, size_t count, double *keys)
{
    const size_t d = model->d;
    if (count < HOP_PANEL)
        memset(keys, 0, d * HOP_PANEL * sizeof *keys);
    for (size_t m = 0; m < count; m++)
        for (size_t l = 0; l < d; l++)
            keys[l * HOP_PANEL + m] = hop_geometry_scaled(&model->key, model->keys + ids[m] * d, l);
}

static void gather_values(const hop_model *model, const size_t *ids, size_t count, double *values)
{
    const size_t p = model->p, columns = model->columns;
    if (count < HOP_PANEL || p < columns)
        memset(values, 0, HOP_PANEL * columns * sizeof *values);
    for (size_t m = 0; m < count; m++)
        for (size_t j = 0; j < p; j++)
            values[hop_value_at(columns, m, j)] = hop_geometry_scaled(&model->value, model->values + ids[m] * p, j);
}

static void run_segment(void *arg, size_t i)
{
    const pass *run = arg;
    const hop_model *model = run->model;
    const hop_kernels *kernels = hop_kernels_get();
    const size_t first = run->selection->first, all = run->selection->end - first, count = run->segments;
    const size_t end = first + all / count * (i + 1) + all % count * (i + 1) / count;
    const bool alone = model->shared && run->n <= ALONE;
    segment to = segment_of(run, i);
    hop_panel_f64 at = {.d = model->d,
                        .L = run->n,
                        .columns = model->columns,
                        .keys = to.keys,
                        .values = alone ? NULL : to.values,
                        .x = run->x,
                        .shift = run->shift,
                        .D = to.D,
                        .N = to.N,
                        .scratch = to.scratch};
    for (size_t q = 0; q < run->n && run->maxima; q++)
        to.top[q] = -INFINITY;
    if (!run->maxima) {
        memset(to.D, 0, run->n * sizeof *to.D);
        memset(to.N, 0, run->n * model->columns * sizeof *to.N);
    }
    size_t ids[HOP_PANEL], cursor = first + all / count * i + all % count * i / count;
    while ((at.count = hop_selection_next(run->selection, &cursor, end, HOP_PANEL, ids)) > 0) {
        gather_keys(model, ids, at.count, to.keys);
        if (run->maxima) {
            kernels->max_f64(&at, to.top);
            continue;
        }
        if (!alone)
            gather_values(model, ids, at.count, to.values);
        kernels->panel_f64(&at);
    }
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

void hop_subset_run(const hop_model *model, const hop_selection *selection, const hop_query *const *queries, size_t n,
                    const hop_executor *executor, void *workspace, hop_dense_sums *sums)
{
    assert(n > 0 && n <= HOP_SUBSET_ROWS);
    const size_t d = model->d, columns = model->columns;
    size_t used = 0;
    pass run = {.model = model,
                .selection = selection,
                .n = n,
                .segments = segment_count(model, selection->end - selection->first),
                .x = workspace};
    hop_carve(&used, HOP_SUBSET_ROWS * d, sizeof(double));
    run.block = (char *)workspace + used;
    for (size_t q = 0; q < n; q++)
        for (size_t l = 0; l < d; l++)
            run.x[q * d + l] = queries[q]->xi[l] * LOG2_E;

    segment all = segment_of(&run, 0);
    if (hop_dense_needs_shift(queries[0], true)) {
        run.maxima = true;
        run_all(&run, executor);
        run.maxima = false;
        for (size_t i = 1; i < run.segments; i++)
            for (size_t q = 0; q < n; q++)
                all.top[q] = fmax(all.top[q], segment_of(&run, i).top[q]);
        run.shift = all.top;
    }
    run_all(&run, executor);
    for (size_t i = 1; i < run.segments; i++) {
        segment part = segment_of(&run, i);
        for (size_t q = 0; q < n; q++)
            all.D[q] += part.D[q];
        for (size_t j = 0; j < n * columns; j++)
            all.N[j] += part.N[j];
    }
    for (size_t q = 0; q < n; q++)
        sums[q] = (hop_dense_sums){
            .numerator = all.N + q * columns, .denominator = all.D[q], .shift = run.shift ? all.top[q] * LN_2 : 0};
}

void hop_subset_returns(const hop_model *model, const hop_selection *selection, const hop_query *query,
                        const hop_returns *to, hop_entry *room, size_t capacity)
{
    const hop_scan scan = {.model = model, .query = query, .selection = *selection};
    hop_entry block[HOP_SCAN_BLOCK];
    double top = -INFINITY, D = 0, squares = 0;
    size_t kept = 0, cursor = selection->first;
    if (!to->top_id && !to->support && !to->weights)
        return;
    for (size_t n; (n = hop_scan_next(&scan, &cursor, selection->end, block)) > 0; kept += n)
        for (size_t i = 0; i < n; i++)
            top = fmax(top, block[i].score);
    hop_returns_clear(to, model->M);
    cursor = selection->first;
    for (size_t n; (n = hop_scan_next(&scan, &cursor, selection->end, block)) > 0;) {
        for (size_t i = 0; i < n; i++) {
            const double w = exp(block[i].score - top);
            D += w;
            squares += w * w;
            if (to->weights)
                to->weights[block[i].id] = (float)w;
        }
    }
    for (size_t mu = 0; to->weights && mu < model->M; mu++)
        to->weights[mu] = (float)((double)to->weights[mu] / D);
    if (to->support)
        *to->support = D * D / squares;
    const size_t listed = to->top < kept ? to->top : kept;
    hop_returns_scan(to, &scan, listed, room, capacity);
    for (size_t i = 0; to->top_id && i < listed; i++)
        to->top_weight[i] = exp(to->top_weight[i] - top) / D;
    if (to->top_count)
        *to->top_count = listed;
}
