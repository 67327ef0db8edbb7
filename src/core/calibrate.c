/*
 * calibrate.c - measuring the cost model: small synthetic sets are asked through the front door with a clock beside it,
 * and the costs are fitted to the shortest times with the counts that predictions are made of (costs.h).
 */
#include <math.h>

#include "core/alloc.h"
#include "core/costs.h"
#include "core/plan.h"
#include "core/status.h"

enum {
    REPEATS_MAX = 40, /* of one trial */
    QUERIES_MAX = 64,
    STREAM_BYTES = 24 << 20,
    SWEEPS = 300 /* of the fit */
};

#define TRIAL_SECONDS 2e-3 /* of repeats: a longer trial runs twice, once to warm up */
#define SECONDS_MAX 1.0    /* a machine that needs longer is too busy, or too slow, to tell */
#define COST_FACTOR 32.0   /* a cost is within this factor of the built-in one, once those are scaled to this machine */
#define MISFIT_MAX 8.0
#define PRIOR_WEIGHT 3e-3 /* of a built-in cost against one trial: decides what no trial tells */

typedef enum kind { DENSE, DENSE_SHIFTED, DENSE_F64, SCORES, MAPS, BUILD } kind;

/* One question that is timed: L times the same query against M memories. Of MAPS, in every form there is. */
typedef struct trial {
    kind kind;
    unsigned g;        /* of MAPS and BUILD */
    size_t M, d, p, L; /* p = 0: values are the keys */
} trial;

/* Few rows and many, few coordinates and many, for each of what is told apart. */
static const trial trials[] = {
    {DENSE, 0, 16, 16, 0, 64},
    {DENSE, 0, 16, 64, 0, 64},
    {DENSE, 0, 1024, 4, 0, 64},
    {DENSE, 0, 1024, 16, 0, 64},
    {DENSE, 0, 1024, 64, 0, 64},
    {DENSE, 0, 256, 256, 0, 64},
    {DENSE, 0, 1024, 16, 0, 1},
    {DENSE, 0, 1024, 64, 0, 1},
    {DENSE, 0, 512, 256, 0, 1},
    {DENSE, 0, 1024, 32, 0, 8},
    {SCORES, 0, 256, 8, 0, 16},
    {DENSE_SHIFTED, 0, 512, 16, 0, 64},
    {DENSE_SHIFTED, 0, 256, 128, 0, 64},
    {DENSE_F64, 0, 256, 8, 0, 64},
    {DENSE_F64, 0, 256, 64, 0, 64},
    {DENSE_F64, 0, 512, 64, 0, 1},
    {MAPS, 1, 64, 8, 0, 32},
    {MAPS, 1, 64, 128, 0, 16},
    {MAPS, 5, 64, 6, 0, 16},
    {MAPS, 2, 64, 20, 0, 16},
    {MAPS, 3, 64, 16, 0, 16},
    {MAPS, 8, 64, 8, 0, 16},
    {MAPS, 3, 64, 32, 0, 16},
    {MAPS, 6, 64, 8, 64, 16},
    {MAPS, 2, 64, 24, 32, 16},
    {BUILD, 3, 16384, 8, 8, 1}, /* so many rows that what a build does once besides weighs little */
};
enum { TRIALS = sizeof trials / sizeof *trials, TIMES_MAX = TRIALS * HOP_FORMS };

/* What was timed: rows[t][k] is what the built-in cost k, as often as it occurs, would explain of it. */
typedef struct times {
    double rows[TIMES_MAX][HOP_COSTS];
    size_t n;
} times;

/* What a trial runs with. */
typedef struct stage {
    const trial *trial;
    float *memories, *values, *x, *z;
    double *bound, *support, *xi;
    int *degree;
    hop_fallback *fallback;
    hop_query *queries;
    hop_al_row *rows;
    hop_model *model;
    const hop_features *features;
    hop_form form; /* of MAPS */
    void *workspace;
    size_t workspace_bytes;
    hop_request request;
} stage;

/* Deterministic numbers in [-1, 1): what they are hardly matters. */
static void fill(float *out, size_t n)
{
    uint32_t state = 12345;
    for (size_t i = 0; i < n; i++) {
        state = state * UINT32_C(1664525) + UINT32_C(1013904223);
        out[i] = (float)(state >> 8) * 0x1p-23F - 1.0F;
    }
}

static void stage_fini(stage *s)
{
    void *const blocks[] = {s->memories, s->values,   s->x,       s->z,    s->bound, s->support,
                            s->degree,   s->fallback, s->queries, s->rows, s->xi,    s->workspace};
    hop_model_free(s->model);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        hop_aligned_free(blocks[i]);
}

/* A few rows in one form. */
static hop_status sweep(const stage *s, hop_error *error)
{
    const trial *t = s->trial;
    for (size_t q = 0; q < t->L; q++) {
        hop_status status =
            hop_query_prepare(s->model, s->request.beta, q, s->x + q * t->d, s->xi + q * t->d, &s->queries[q], error);
        if (status != HOP_OK)
            return status;
        s->rows[q] = (hop_al_row){.query = &s->queries[q],
                                  .z = s->z + q * s->model->p,
                                  .max_error = s->request.max_error,
                                  .degree_cap = t->g,
                                  .best_effort = true};
    }
    hop_al_run_form(s->model, s->features, s->form, s->rows, t->L, s->workspace);
    return HOP_OK;
}

static hop_status ask(const stage *s, hop_error *error)
{
    const hop_answer answer = {
        .z = s->z, .error_bound = s->bound, .degree = s->degree, .fallback = s->fallback, .support = s->support};
    if (s->trial->kind == MAPS)
        return sweep(s, error);
    if (s->trial->kind == BUILD) {
        hop_features *features = NULL;
        hop_status status = hop_features_build(s->model, s->trial->g, NULL, NULL, &features, error);
        hop_features_free(features);
        return status;
    }
    return hop_retrieve(s->model, &s->request, s->trial->L, s->x, s->workspace, s->workspace_bytes, &answer, error);
}

/*
 * A request that is answered in the way the trial is about. max_error 0 rules f32 out, INFINITY lets it pass; maps
 * answer at their highest degree when asked for what only that one meets, which a first question tells.
 */
static hop_status pose(stage *s, hop_error *error)
{
    const trial *t = s->trial;
    double square = 0, radius = t->kind == DENSE_SHIFTED ? 300 : 2;
    for (size_t l = 0; l < t->d; l++)
        square += (double)s->x[l] * (double)s->x[l];
    s->request = (hop_request){.beta = radius / (sqrt(square) * hop_model_norms(s->model).centred_max_l2),
                               .max_error = t->kind == DENSE_F64 || t->kind == MAPS ? 0 : (double)INFINITY,
                               .mode = HOP_DENSE,
                               .best_effort = true,
                               .steps = 1,
                               .want = t->kind == SCORES ? HOP_WANT_SUPPORT : 0};
    if (t->kind != MAPS)
        return HOP_OK;
    hop_status status = ask(s, error);
    if (status == HOP_OK && s->rows[0].degree != (int)t->g)
        return hop_fail(error, HOP_E_DOMAIN, "a trial of degree %u was answered at %d", t->g, s->rows[0].degree);
    s->request.max_error = s->rows[0].bound * 1.01;
    return status;
}

static hop_status stage_init(stage *s, const trial *t, hop_error *error)
{
    size_t p = t->p ? t->p : t->d, L = t->L;
    *s = (stage){.trial = t};
    s->memories = hop_array_new(t->M, t->d, sizeof(float));
    s->values = t->p ? hop_array_new(t->M, t->p, sizeof(float)) : NULL;
    s->x = hop_array_new(L, t->d, sizeof(float));
    s->z = hop_array_new(L, p, sizeof(float));
    s->bound = hop_array_new(L, 1, sizeof(double));
    s->support = hop_array_new(L, 1, sizeof(double));
    s->xi = hop_array_new(L, t->d, sizeof(double));
    s->degree = hop_array_new(L, 1, sizeof(int));
    s->fallback = hop_array_new(L, 1, sizeof(hop_fallback));
    s->queries = hop_array_new(L, 1, sizeof(hop_query));
    s->rows = hop_array_new(L, 1, sizeof(hop_al_row));
    if (!s->memories || (t->p && !s->values) || !s->x || !s->z || !s->bound || !s->support || !s->xi || !s->degree ||
        !s->fallback || !s->queries || !s->rows)
        return hop_fail(error, HOP_E_NOMEM, "no memory to calibrate");
    fill(s->memories, t->M * t->d);
    if (t->p)
        fill(s->values, t->M * t->p);
    for (size_t q = 0; q < L; q++)
        for (size_t l = 0; l < t->d; l++)
            s->x[q * t->d + l] = s->memories[l];
    const hop_source source = {
        .M = t->M, .d = t->d, .p = t->p, .memories = s->memories, .values = s->values, .similarity = HOP_DOT};
    hop_status status = hop_model_new(&source, NULL, &s->model, error);
    hop_features *features = NULL;
    if (status == HOP_OK && t->kind == MAPS)
        status = hop_features_build(s->model, t->g, NULL, NULL, &features, error);
    if (status != HOP_OK)
        return status;
    if (features)
        hop_model_adopt_features(s->model, features);
    s->features = features;
    s->workspace_bytes = hop_retrieve_workspace_bytes(s->model, L);
    s->workspace = hop_aligned_alloc(s->workspace_bytes);
    return s->workspace ? HOP_OK : hop_fail(error, HOP_E_NOMEM, "no memory to calibrate");
}

/* What one row of the trial should be the sum of. */
static hop_work work_of(const stage *s)
{
    const trial *t = s->trial;
    if (t->kind == BUILD)
        return hop_work_build(s->model, t->g);
    hop_work work = hop_work_dense(s->model, t->L, t->kind == DENSE_F64, t->kind == DENSE_SHIFTED);
    if (t->kind == SCORES) {
        hop_work scores = hop_work_scores(s->model, t->L);
        for (size_t k = 0; k < HOP_COSTS; k++)
            work.count[k] += scores.count[k];
    } else if (t->kind == MAPS) {
        double lanes = (double)hop_evaluation_lanes(s->features, s->form);
        work = (hop_work){.count[HOP_COST_ROW] = 1, .count[HOP_COST_NUMBER] = (double)(t->d + s->model->p)};
        work.count[HOP_COST_DEGREE] = t->g;
        hop_work_add_groups(s->model, t->g, s->form, ceil((double)t->L / lanes) / (double)t->L, 1, &work);
    }
    return work;
}

/* The shortest of a few times, as a row. */
static hop_status time_one(const hop_clock *clock, stage *s, const hop_costs *built_in, times *out, hop_error *error)
{
    double best = (double)INFINITY, spent = 0;
    hop_status status = pose(s, error);
    for (int i = 0; status == HOP_OK && i < REPEATS_MAX && (i < 2 || spent < TRIAL_SECONDS); i++) {
        double from = clock->seconds(clock->context);
        status = ask(s, error);
        double took = clock->seconds(clock->context) - from;
        best = took < best ? took : best;
        spent += took;
    }
    if (status != HOP_OK)
        return status;
    double seconds = best / (double)s->trial->L;
    if (!(seconds > 0 && seconds < 1))
        return hop_fail(error, HOP_E_DOMAIN, "the clock says %g s for a query of trial %zu", seconds,
                        (size_t)(s->trial - trials));
    hop_work work = work_of(s);
    for (size_t k = 0; k < HOP_COSTS; k++)
        out->rows[out->n][k] = work.count[k] * built_in->seconds[k] / seconds;
    out->n++;
    return HOP_OK;
}

static hop_status time_trial(const hop_clock *clock, const trial *t, const hop_costs *built_in, times *out,
                             hop_error *error)
{
    stage s;
    hop_status status = stage_init(&s, t, error);
    if (status == HOP_OK && t->kind != MAPS)
        status = time_one(clock, &s, built_in, out, error);
    for (s.form = 0; status == HOP_OK && t->kind == MAPS && s.form < HOP_FORMS; s.form++)
        if (hop_evaluation_lanes(s.features, s.form))
            status = time_one(clock, &s, built_in, out, error);
    stage_fini(&s);
    return status;
}

/* Bytes that no near cache holds, read once: seconds of each. */
static hop_status time_stream(const hop_clock *clock, double *out, hop_error *error)
{
    size_t n = STREAM_BYTES / sizeof(uint64_t);
    uint64_t *numbers = hop_array_new(n, 1, sizeof *numbers), sum = 0;
    if (!numbers)
        return hop_fail(error, HOP_E_NOMEM, "no memory to calibrate");
    for (size_t i = 0; i < n; i++)
        numbers[i] = i;
    double best = (double)INFINITY;
    for (int repeat = 0; repeat < 3; repeat++) {
        double from = clock->seconds(clock->context);
        for (size_t i = 0; i < n; i++)
            sum += numbers[i];
        double took = clock->seconds(clock->context) - from;
        best = took < best ? took : best;
    }
    hop_aligned_free(numbers);
    *out = best / STREAM_BYTES + (sum == 1 ? 1 : 0); /* the sum is used: the loop stays */
    return HOP_OK;
}

/*
 * Least squares of relative errors, sum_t (sum_k rows[t][k] x_k - 1)^2 + PRIOR_WEIGHT sum_k (x_k - 1)^2 over
 * 1/COST_FACTOR <= x_k <= COST_FACTOR, one x_k after the other. Returns the largest factor by which a sum misses 1.
 */
static double fit(const times *at, double *x)
{
    double rest[TIMES_MAX], worst = 1;
    for (size_t k = 0; k < HOP_COSTS; k++)
        x[k] = 1;
    for (size_t t = 0; t < at->n; t++) {
        rest[t] = -1;
        for (size_t k = 0; k < HOP_COSTS; k++)
            rest[t] += at->rows[t][k];
    }
    for (int sweeps = 0; sweeps < SWEEPS; sweeps++) {
        for (size_t k = 0; k < HOP_COSTS; k++) {
            double slope = PRIOR_WEIGHT * (x[k] - 1), curvature = PRIOR_WEIGHT;
            for (size_t t = 0; t < at->n; t++) {
                slope += at->rows[t][k] * rest[t];
                curvature += at->rows[t][k] * at->rows[t][k];
            }
            double to = fmin(fmax(x[k] - slope / curvature, 1 / COST_FACTOR), COST_FACTOR);
            for (size_t t = 0; t < at->n; t++)
                rest[t] += at->rows[t][k] * (to - x[k]);
            x[k] = to;
        }
    }
    for (size_t t = 0; t < at->n; t++)
        worst = fmax(worst, fmax(1 + rest[t], 1 / (1 + rest[t])));
    return worst;
}

/* How much slower than the built-in costs say the trials are as a whole; the rows are made relative to it. */
static double rescale(times *at)
{
    double logs = 0;
    for (size_t t = 0; t < at->n; t++) {
        double explained = 0;
        for (size_t k = 0; k < HOP_COSTS; k++)
            explained += at->rows[t][k];
        logs -= log(explained);
    }
    double scale = exp(logs / (double)at->n);
    for (size_t t = 0; t < at->n; t++)
        for (size_t k = 0; k < HOP_COSTS; k++)
            at->rows[t][k] *= scale;
    return scale;
}

hop_status hop_calibrate(const hop_clock *clock, hop_costs *out, double *misfit, hop_error *error)
{
    hop_costs costs;
    times at = {.n = 0};
    double x[HOP_COSTS], stream = 0, start = clock->seconds(clock->context);
    hop_costs_built_in(&costs);
    hop_status status = time_stream(clock, &stream, error);
    for (size_t t = 0; status == HOP_OK && t < TRIALS; t++) {
        status = time_trial(clock, &trials[t], &costs, &at, error);
        if (status == HOP_OK && !(clock->seconds(clock->context) - start < SECONDS_MAX))
            status = hop_fail(error, HOP_E_DOMAIN, "measuring takes longer than %g s", SECONDS_MAX);
    }
    if (status != HOP_OK)
        return status;
    double scale = rescale(&at), worst = fit(&at, x);
    if (!(worst <= MISFIT_MAX))
        return hop_fail(error, HOP_E_DOMAIN, "the times make no sense: a prediction misses its own by a factor of %.3g",
                        worst);
    x[HOP_COST_STREAM] = stream / (costs.seconds[HOP_COST_STREAM] * scale);
    for (size_t k = 0; k < HOP_COSTS; k++)
        costs.seconds[k] *= scale * fmin(fmax(x[k], 1 / COST_FACTOR), COST_FACTOR);
    *out = costs;
    if (misfit)
        *misfit = worst;
    return HOP_OK;
}
