/*
 * phi_random.c - sums of positive random features over the memories (phi_build.h). The exponent of feature i and memory
 * mu, with y = xi_mu - c,
 *
 *     sqrt(beta) <w_i, y> + beta <c, y> - beta |y|^2 / 2,
 *
 * is a product of d + 1 coordinates, the last of which is 1 for each feature, so that the fused pass of dense retrieval
 * (kernels.h, panel_f64) sums features as it sums the memories of queries. A factor of all memories has been left out.
 */
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "core/orthogonal.h"
#include "core/pack.h"
#include "core/phi_build.h"
#include "core/rounding.h"
#include "core/status.h"

enum {
    GROUP = 128,          /* features of a task: they share the packing of its memories */
    TASKS = 32,           /* wanted of one build, where there are memories enough */
    SHARE_MIN = 4096,     /* memories of a task */
    RUN_BYTES = 512 << 10 /* of the panels of one kernel call */
};

#define LOG2_E 1.4426950408889634
#define LN_2 0.6931471805599453
#define UNGUARDED_MAX 900.0 /* base 2: sums of 2^t over 2^64 memories are finite, and normal */
#define RANGE_MAX 1e300

typedef struct worker {
    double *top, *D, *N; /* of each feature: the exponent that its sums are relative to, and the sums */
    double *higher;      /* what top is about to be */
    double *x;           /* features x (d + 1), in base 2 */
    double *keys, *values;
    void *scratch;
} worker;

static size_t group_of(const hop_phi_shape *shape)
{
    return shape->m < GROUP ? shape->m : GROUP;
}

static size_t run_panels(const hop_model *model)
{
    size_t panels = (size_t)RUN_BYTES / ((model->d + 1 + model->columns) * HOP_PANEL * sizeof(double));
    return panels < 1 ? 1 : panels > HOP_RUN / HOP_PANEL ? HOP_RUN / HOP_PANEL : panels;
}

static size_t lay_out(const hop_phi_sums *sums, char *block, worker *out)
{
    const hop_model *model = sums->model;
    size_t used = 0, features = group_of(&sums->shape), memories = run_panels(model) * HOP_PANEL;
    size_t top = hop_carve(&used, features, sizeof(double));
    size_t D = hop_carve(&used, features, sizeof(double));
    size_t N = hop_carve(&used, features * model->columns, sizeof(double));
    size_t higher = hop_carve(&used, features, sizeof(double));
    size_t x = hop_carve(&used, features * (model->d + 1), sizeof(double));
    size_t keys = hop_carve(&used, memories * (model->d + 1), sizeof(double));
    size_t values = hop_carve(&used, memories * model->columns, sizeof(double));
    size_t scratch = hop_carve(&used, hop_scratch_bytes(model->columns), 1);
    if (out)
        *out = (worker){.top = (double *)(block + top),
                        .D = (double *)(block + D),
                        .N = (double *)(block + N),
                        .higher = (double *)(block + higher),
                        .x = (double *)(block + x),
                        .keys = (double *)(block + keys),
                        .values = (double *)(block + values),
                        .scratch = block + scratch};
    return used;
}

/* One panel of y, and its last coordinate: beta <c - y/2, y>. */
static void pack_keys(const hop_phi_sums *sums, size_t panel, size_t count, double *keys)
{
    size_t d = sums->model->d;
    double *last = keys + d * HOP_PANEL;
    memset(keys, 0, (d + 1) * HOP_PANEL * sizeof *keys);
    for (size_t l = 0; l < d; l++) {
        const float *from = sums->model->keys + panel * HOP_PANEL * d + l;
        double c = sums->centre[l];
        for (size_t m = 0; m < count; m++) {
            double y = (double)from[m * d] - c;
            keys[l * HOP_PANEL + m] = y;
            last[m] += (c - y / 2) * y;
        }
    }
    for (size_t m = 0; m < count; m++)
        last[m] *= sums->beta * LOG2_E;
}

/* Sums become relative to higher exponents where the run has some. */
static void raise_tops(const hop_phi_job *job, const hop_panel_f64 *run, const worker *at)
{
    memcpy(at->higher, at->top, run->L * sizeof *at->top);
    for (size_t first = 0; first < run->count; first += HOP_PANEL) {
        hop_panel_f64 panel = *run;
        size_t rest = run->count - first;
        panel.count = rest < HOP_PANEL ? rest : HOP_PANEL;
        panel.keys = run->keys + first * run->d;
        job->kernels->max_f64(&panel, at->higher);
    }
    for (size_t i = 0; i < run->L; i++) {
        double factor = at->higher[i] > at->top[i] ? exp2(at->top[i] - at->higher[i]) : 1;
        at->top[i] = at->higher[i];
        run->D[i] *= factor;
        for (size_t j = 0; factor < 1 && j < run->columns; j++)
            run->N[i * run->columns + j] *= factor;
    }
}

/* How many features the group of a task has; *first: their first. */
static size_t features_of(const hop_phi_job *job, size_t task, size_t *first)
{
    size_t m = job->sums->shape.m, group = group_of(&job->sums->shape);
    *first = task % job->groups * group;
    return m - *first < group ? m - *first : group;
}

static void run(hop_phi_job *job, size_t task, char *block)
{
    const hop_phi_sums *sums = job->sums;
    const hop_model *model = sums->model;
    size_t d = model->d, columns = model->columns, panels = run_panels(model), feature;
    size_t n = features_of(job, task, &feature), from = task / job->groups * job->share;
    size_t last = model->M - from < job->share ? model->M : from + job->share;
    worker at;
    lay_out(sums, block, &at);
    memset(at.D, 0, n * sizeof *at.D);
    memset(at.N, 0, n * columns * sizeof *at.N);
    for (size_t i = 0; i < n; i++) {
        const double *w = sums->w + hop_phi_slot(&sums->shape, feature + i) * sums->shape.width;
        for (size_t l = 0; l < d; l++)
            at.x[i * (d + 1) + l] = w[l] * LOG2_E;
        at.x[i * (d + 1) + d] = 1;
        at.top[i] = job->guarded ? -(double)INFINITY : 0;
    }
    for (; from < last && !hop_phi_cancelled(job); from += panels * HOP_PANEL) {
        size_t count = last - from < panels * HOP_PANEL ? last - from : panels * HOP_PANEL;
        for (size_t m = 0; m < count; m += HOP_PANEL) {
            size_t here = count - m < HOP_PANEL ? count - m : HOP_PANEL;
            pack_keys(sums, (from + m) / HOP_PANEL, here, at.keys + m * (d + 1));
            hop_pack_values_f64(model, (from + m) / HOP_PANEL, here, at.values + m * columns);
        }
        hop_panel_f64 panel = {.d = d + 1,
                               .L = n,
                               .count = count,
                               .columns = columns,
                               .keys = at.keys,
                               .values = at.values,
                               .x = at.x,
                               .shift = job->guarded ? at.top : NULL,
                               .D = at.D,
                               .N = at.N,
                               .scratch = at.scratch};
        if (job->guarded)
            raise_tops(job, &panel, &at);
        job->kernels->panel_f64(&panel);
        hop_phi_report(job, count);
    }
}

static void merge(hop_phi_job *job, size_t task, const char *block)
{
    hop_phi_sums *sums = job->sums;
    const hop_phi_shape *shape = &sums->shape;
    size_t columns = sums->model->columns, feature, n = features_of(job, task, &feature);
    worker at;
    lay_out(sums, (char *)block, &at);
    for (size_t i = 0; i < n; i++) {
        size_t slot = hop_phi_slot(shape, feature + i), unit = slot / shape->stride;
        double *v = sums->v + unit * shape->p * shape->stride + slot % shape->stride;
        double top = hop_max(job->top[slot], at.top[i]), here = exp2(at.top[i] - top);
        double before = exp2(job->top[slot] - top); /* of no sums yet: exp2(-INFINITY) */
        sums->log_s[slot] = before * sums->log_s[slot] + here * at.D[i];
        for (size_t j = 0; j < shape->p; j++)
            v[j * shape->stride] = before * v[j * shape->stride] + here * at.N[i * columns + j];
        job->top[slot] = top;
    }
}

static void finish(hop_phi_job *job)
{
    hop_phi_sums *sums = job->sums;
    const hop_phi_shape *shape = &sums->shape;
    for (size_t i = 0; i < shape->m; i++) {
        size_t slot = hop_phi_slot(shape, i), unit = slot / shape->stride;
        double *v = sums->v + unit * shape->p * shape->stride + slot % shape->stride;
        for (size_t j = 0; j < shape->p; j++)
            v[j * shape->stride] *= sums->model->value.scale[j] / sums->log_s[slot];
        job->top[slot] = log(sums->log_s[slot]) + job->top[slot] * LN_2;
    }
    memcpy(sums->log_s, job->top, hop_phi_slots(shape) * sizeof *sums->log_s); /* -INFINITY behind a unit's features */
}

void hop_phi_plan_random(hop_phi_job *job)
{
    const hop_phi_shape *shape = &job->sums->shape;
    size_t M = job->sums->model->M, most = (M + SHARE_MIN - 1) / SHARE_MIN;
    job->groups = (shape->m + group_of(shape) - 1) / group_of(shape);
    size_t shares = (TASKS + job->groups - 1) / job->groups;
    shares = shares < most ? shares : most;
    job->share = hop_round_up((M + shares - 1) / shares, HOP_PANEL);
    job->n_tasks = (M + job->share - 1) / job->share * job->groups;
    job->worker_bytes = lay_out(job->sums, NULL, NULL);
    job->steps = M * job->groups;
    job->run = run;
    job->merge = merge;
    job->finish = finish;
}

/* c, in f64 and in the rows' order. */
static void find_centre(const hop_phi_job *job)
{
    const hop_model *model = job->sums->model;
    double *c = job->sums->centre;
    for (size_t mu = 0; mu < model->M && !hop_phi_cancelled(job); mu++)
        for (size_t l = 0; l < model->d; l++)
            c[l] += (double)model->keys[mu * model->d + l];
    for (size_t l = 0; l < model->d; l++)
        c[l] /= (double)model->M;
}

static void draw_block(void *arg, size_t i)
{
    hop_phi_job *job = arg;
    hop_phi_sums *sums = job->sums;
    const hop_phi_shape *shape = &sums->shape;
    size_t first = i * shape->d, n = shape->m - first < shape->d ? shape->m - first : shape->d;
    double *w = sums->w + hop_phi_slot(shape, first) * shape->width, root = sqrt(sums->beta);
    hop_orthogonal_block(sums->seed, shape->d, first, n, shape->width, w, job->progress);
    for (size_t k = 0; k < n * shape->width; k++)
        w[k] *= root; /* what is behind d is 0 */
}

/* Upper bound, to rounding, of the exponents' size in base 2. */
static double exponents_max(const hop_phi_sums *sums)
{
    const hop_geometry *key = &sums->model->key;
    double largest = 0, away = 0, centre = 0;
    for (size_t slot = 0; slot < hop_phi_slots(&sums->shape); slot++) {
        double square = 0;
        for (size_t l = 0; l < key->n; l++)
            square += sums->w[slot * sums->shape.width + l] * sums->w[slot * sums->shape.width + l];
        largest = hop_max(largest, square);
    }
    for (size_t l = 0; l < key->n; l++) {
        away += (sums->centre[l] - key->centre[l]) * (sums->centre[l] - key->centre[l]);
        centre += sums->centre[l] * sums->centre[l];
    }
    double radius = key->radius + sqrt(away);
    return LOG2_E * (sqrt(largest) * radius + sums->beta * radius * (sqrt(centre) + radius / 2));
}

hop_status hop_phi_prepare_random(hop_phi_job *job, hop_error *error)
{
    const hop_phi_shape *shape = &job->sums->shape;
    size_t blocks = (shape->m + shape->d - 1) / shape->d;
    for (size_t slot = 0; slot < hop_phi_slots(shape); slot++)
        job->top[slot] = -(double)INFINITY;
    find_centre(job);
    if (job->executor)
        job->executor->run(job->executor->context, blocks, draw_block, job);
    for (size_t i = 0; !job->executor && i < blocks; i++)
        draw_block(job, i);
    double most = hop_phi_cancelled(job) ? 0 : exponents_max(job->sums);
    if (!(most < RANGE_MAX))
        return hop_fail(error, HOP_E_DOMAIN,
                        "random_features: beta = %g times the keys' squares leaves the range of f64", job->sums->beta);
    job->guarded = most > UNGUARDED_MAX;
    return HOP_OK;
}
