/*
 * dense.c - the driver over panels; kernels do the arithmetic (kernels.h), certificate.h turns sums into answers.
 */
#include "core/dense.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "core/kernels.h"
#include "core/rounding.h"

enum { BATCH_MIN = 8, BATCH_BYTES = 8 << 20 };

/*
 * exp's argument stays inside the range of its proven error with room for the rounding of the score, 64 weights fit in
 * f32 and M e^T_abs in f64, for every M that memory can hold.
 */
#define UNSHIFTED_F32 83.0
#define UNSHIFTED_F64 650.0

/* Beyond this the f32 scores are not worth computing: tanh(1/4) of the range is no answer. */
#define SCORE_ERROR_MAX 0.5

size_t hop_dense_pack_bytes(size_t M, size_t d, size_t p)
{
    size_t memories, columns, cells, bytes;
    if (M > SIZE_MAX - HOP_PANEL || p > SIZE_MAX - HOP_COLUMNS)
        return 0;
    memories = hop_round_up(M, HOP_PANEL);
    columns = hop_round_up(p, HOP_COLUMNS);
    if (!hop_add_size(d, columns, &cells) || !hop_array_bytes(memories, cells, sizeof(float), &bytes))
        return 0;
    return bytes;
}

enum { PACK_PANELS = 256 }; /* panels of one task */

static void pack_panels(void *arg, size_t task)
{
    hop_model *model = arg;
    size_t d = model->d, p = model->p, columns = model->columns;
    size_t first = task * PACK_PANELS * HOP_PANEL, last = first + PACK_PANELS * HOP_PANEL;
    for (size_t mu = first; mu < last && mu < model->M; mu++) {
        size_t panel = mu / HOP_PANEL, m = mu % HOP_PANEL;
        float *keys = model->key_panels + panel * HOP_PANEL * d + m;
        float *values = model->value_panels + mu * columns;
        const float *key = model->keys + mu * d, *value = model->values + mu * p;
        for (size_t l = 0; l < d; l++)
            keys[l * HOP_PANEL] = (float)hop_geometry_scaled(&model->key, key, l);
        for (size_t j = 0; j < p; j++)
            values[j] = (float)hop_geometry_scaled(&model->value, value, j);
    }
}

void hop_dense_pack(hop_model *model, const hop_executor *executor)
{
    size_t tasks = (hop_dense_panels(model->M) + PACK_PANELS - 1) / PACK_PANELS;
    if (executor)
        executor->run(executor->context, tasks, pack_panels, model);
    for (size_t task = 0; !executor && task < tasks; task++)
        pack_panels(model, task);
}

size_t hop_dense_batch(const hop_model *model)
{
    size_t row = (model->d + model->columns) * sizeof(double);
    size_t batch = (size_t)BATCH_BYTES / row;
    return batch < BATCH_MIN ? BATCH_MIN : batch > HOP_DENSE_BATCH_MAX ? HOP_DENSE_BATCH_MAX : batch;
}

/* What is known of one query's weights so far. */
typedef struct tally {
    double sum, squares;
    size_t kept; /* of its top list */
} tally;

/* The pieces of a workspace block. Everything is carved 64-byte aligned. */
typedef struct pieces {
    double *x, *shift, *D, *N, *keys, *values, *scores;
    struct tally *tallies;
    void *scratch;
} pieces;

static size_t lay_out(const hop_model *model, char *block, pieces *out)
{
    size_t batch = hop_dense_batch(model), used = 0;
    size_t x = hop_carve(&used, batch * model->d, sizeof(double));
    size_t shift = hop_carve(&used, batch, sizeof(double));
    size_t D = hop_carve(&used, batch, sizeof(double));
    size_t N = hop_carve(&used, batch * model->columns, sizeof(double));
    size_t keys = hop_carve(&used, model->d * HOP_PANEL, sizeof(double));
    size_t values = hop_carve(&used, model->columns * HOP_PANEL, sizeof(double));
    size_t scores = hop_carve(&used, batch * HOP_PANEL, sizeof(double));
    size_t tallies = hop_carve(&used, batch, sizeof(tally));
    size_t scratch = hop_carve(&used, hop_kernels_get()->scratch_bytes, 1);
    if (out)
        *out = (pieces){.x = (double *)(block + x),
                        .shift = (double *)(block + shift),
                        .D = (double *)(block + D),
                        .N = (double *)(block + N),
                        .keys = (double *)(block + keys),
                        .values = (double *)(block + values),
                        .scores = (double *)(block + scores),
                        .tallies = (tally *)(block + tallies),
                        .scratch = block + scratch};
    return used;
}

size_t hop_dense_workspace_bytes(const hop_model *model)
{
    return lay_out(model, NULL, NULL);
}

bool hop_dense_f32_possible(const hop_query *query)
{
    return query->s < 1e30; /* then |xi_l| < 2e30 where it matters, and every score is finite */
}

bool hop_dense_needs_shift(const hop_query *query, bool f64)
{
    return !(query->T_abs <= (f64 ? UNSHIFTED_F64 : UNSHIFTED_F32));
}

static size_t panel_count(const hop_model *model, size_t panel)
{
    size_t rest = model->M - panel * HOP_PANEL;
    return rest < HOP_PANEL ? rest : HOP_PANEL;
}

static void run_f32(const hop_model *model, const hop_query *const *queries, size_t n, const pieces *w)
{
    const hop_kernels *kernels = hop_kernels_get();
    size_t d = model->d, panels = hop_dense_panels(model->M);
    float *x = (float *)w->x, *top = (float *)w->shift;
    bool shifted = hop_dense_needs_shift(queries[0], false);
    for (size_t q = 0; q < n; q++) {
        assert(hop_dense_needs_shift(queries[q], false) == shifted);
        for (size_t l = 0; l < d; l++)
            x[q * d + l] = (float)queries[q]->xi[l];
        top[q] = -INFINITY;
    }
    hop_panel_f32 at = {.d = d, .L = n, .columns = model->columns, .x = x, .D = w->D, .N = w->N, .scratch = w->scratch};
    for (int pass = shifted ? 0 : 1; pass < 2; pass++) {
        at.shift = shifted && pass ? top : NULL;
        for (size_t panel = 0; panel < panels; panel++) {
            at.count = panel_count(model, panel);
            at.keys = model->key_panels + panel * HOP_PANEL * d;
            at.values = model->value_panels + panel * HOP_PANEL * model->columns;
            if (pass)
                kernels->panel_f32(&at);
            else
                kernels->max_f32(&at, top);
        }
    }
}

/* One panel in f64, straight from the stored rows. */
static void pack_panel_f64(const hop_model *model, size_t panel, size_t count, const pieces *w, bool values)
{
    size_t d = model->d, p = model->p, columns = model->columns;
    memset(w->keys, 0, d * HOP_PANEL * sizeof *w->keys);
    for (size_t m = 0; m < count; m++) {
        const float *row = model->keys + (panel * HOP_PANEL + m) * d;
        for (size_t l = 0; l < d; l++)
            w->keys[l * HOP_PANEL + m] = hop_geometry_scaled(&model->key, row, l);
    }
    if (!values)
        return;
    memset(w->values, 0, HOP_PANEL * columns * sizeof *w->values);
    for (size_t m = 0; m < count; m++) {
        const float *row = model->values + (panel * HOP_PANEL + m) * p;
        for (size_t j = 0; j < p; j++)
            w->values[m * columns + j] = hop_geometry_scaled(&model->value, row, j);
    }
}

static void run_f64(const hop_model *model, const hop_query *const *queries, size_t n, const pieces *w)
{
    const hop_kernels *kernels = hop_kernels_get();
    size_t d = model->d, panels = hop_dense_panels(model->M);
    bool shifted = hop_dense_needs_shift(queries[0], true);
    for (size_t q = 0; q < n; q++) {
        assert(hop_dense_needs_shift(queries[q], true) == shifted);
        memcpy(w->x + q * d, queries[q]->xi, d * sizeof(double));
        w->shift[q] = -INFINITY;
    }
    hop_panel_f64 at = {.d = d,
                        .L = n,
                        .columns = model->columns,
                        .keys = w->keys,
                        .values = w->values,
                        .x = w->x,
                        .D = w->D,
                        .N = w->N,
                        .scratch = w->scratch};
    for (int pass = shifted ? 0 : 1; pass < 2; pass++) {
        at.shift = shifted && pass ? w->shift : NULL;
        for (size_t panel = 0; panel < panels; panel++) {
            at.count = panel_count(model, panel);
            pack_panel_f64(model, panel, at.count, w, pass == 1);
            if (pass)
                kernels->panel_f64(&at);
            else
                kernels->max_f64(&at, w->shift);
        }
    }
}

void hop_dense_run(const hop_model *model, const hop_query *const *queries, size_t n, bool f64, void *workspace,
                   hop_dense_sums *sums)
{
    pieces w;
    lay_out(model, workspace, &w);
    assert(n > 0 && n <= hop_dense_batch(model));
    memset(w.D, 0, n * sizeof *w.D);
    memset(w.N, 0, n * model->columns * sizeof *w.N);
    (f64 ? run_f64 : run_f32)(model, queries, n, &w);
    for (size_t q = 0; q < n; q++) {
        double shift = !hop_dense_needs_shift(queries[q], f64) ? 0 : f64 ? w.shift[q] : (double)((float *)w.shift)[q];
        sums[q] = (hop_dense_sums){.numerator = w.N + q * model->columns, .denominator = w.D[q], .shift = shift};
    }
}

/*
 * Largest error over osc, from the weight beside the heaviest: with every weight right within e^{+-h} and the heaviest
 * computed as 1 within exp_error, both softmaxes have at most (1 + e^{2h}) rest of their mass elsewhere.
 */
static double sharp_osc(const hop_dense_sums *sums, double half_ratio, double exp_error, double sum_D, double lost)
{
    double rest = sums->denominator * (1 + 2 * sum_D) - (1 - exp_error) + lost;
    return hop_up((1 + exp(2 * half_ratio)) * hop_up(rest / (1 - exp_error)));
}

void hop_dense_terms(const hop_model *model, const hop_query *query, bool f64, const hop_dense_sums *sums,
                     hop_error_terms *terms, double *log_error)
{
    double d = (double)model->d, M = (double)model->M, s = query->s;
    double u = f64 ? HOP_U64 : HOP_U32, exp_error = f64 ? HOP_EXP_F64_ERROR : HOP_EXP_F32_ERROR;
    double underflow = f64 ? 0x1p-1000 : 0x1p-140; /* of products and of packed subnormals, a coordinate */
    double tiny =
        f64 ? 0x1p-76 : 0x1p-28; /* products and sums that underflow, next to weights of at least e^-84, e^-691 */
    bool shifted = hop_dense_needs_shift(query, f64);

    double score = (hop_gamma(d + 4, u) + hop_gamma(query->roundings + 4, HOP_U64)) * s + d * underflow * (1 + s);
    if (shifted)
        score += u * hop_min(2 * s, f64 ? 710.0 : 89.0);
    double lost = shifted ? M * (f64 ? 0x1p-1000 : 0x1p-123) : 0;  /* weights below exp's range, next to a sum >= 1/2 */
    double half_ratio = hop_up(score + exp_error * (1 + 0x1p-20)); /* log of the largest relative weight error */
    double across = hop_gamma(M / HOP_PANEL + 64, HOP_U64);
    double sum_N = hop_up(hop_gamma(HOP_DEPTH + 1, u) + across + tiny),
           sum_D = hop_up(hop_gamma(HOP_DEPTH, u) + across);

    if (!(score < SCORE_ERROR_MAX) || !(sum_N < 1)) {
        *terms = (hop_error_terms){.osc = (double)INFINITY};
        *log_error = (double)INFINITY;
        return;
    }
    double osc = half_ratio / 2;
    if (sums && shifted)
        osc = hop_min(osc, sharp_osc(sums, half_ratio, exp_error, sum_D, lost));
    *terms = (hop_error_terms){.osc = osc, .dev = lost, .weight = sum_N, .quotient = sum_D};
    *log_error = hop_up(half_ratio + 2 * sum_D + lost);
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
    lay_out(model, workspace, &w);
    assert(n > 0 && n <= hop_dense_batch(model));
    size_t d = model->d, panels = hop_dense_panels(model->M);
    for (size_t q = 0; q < n; q++) {
        memcpy(w.x + q * d, queries[q]->xi, d * sizeof *w.x);
        w.shift[q] = -INFINITY;
        w.tallies[q] = (tally){0};
    }
    hop_panel_f64 at = {
        .d = d, .L = n, .columns = model->columns, .keys = w.keys, .values = w.values, .x = w.x, .scratch = w.scratch};
    for (int pass = 0; pass < 2; pass++) {
        for (size_t panel = 0; panel < panels; panel++) {
            at.count = panel_count(model, panel);
            pack_panel_f64(model, panel, at.count, &w, false);
            if (pass == 0) {
                kernels->max_f64(&at, w.shift);
                continue;
            }
            kernels->scores_f64(&at, w.scores);
            for (size_t q = 0; q < n; q++)
                tally_panel(w.scores + q * HOP_PANEL, panel * HOP_PANEL, at.count, w.shift[q], top, &out[q],
                            &w.tallies[q]);
        }
    }
    for (size_t q = 0; q < n; q++) {
        const tally *t = &w.tallies[q];
        if (out[q].support)
            *out[q].support = t->sum * t->sum / t->squares;
        for (size_t i = 0; i < t->kept; i++)
            out[q].top_weight[i] = exp(out[q].top_weight[i] - w.shift[q]) / t->sum;
        for (size_t mu = 0; out[q].weights && mu < model->M; mu++)
            out[q].weights[mu] = (float)((double)out[q].weights[mu] / t->sum);
    }
}
