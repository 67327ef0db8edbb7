/*
 * phi_linear.c - sums of phi(x) = elu(x) + 1 over the memories (phi_build.h): products of rows of values and of phi.
 *
 * phi_l(xi) is taken relative to e^{shift_l}, shift_l = min(0, largest coordinate l of a key), so that a coordinate in
 * which all keys are far below 0 has a sum of at least 1 too.
 */
#include <math.h>

#include "core/checked.h"
#include "core/phi_build.h"
#include "core/rounding.h"

enum { BLOCK_MAX = 240, BLOCK_MIN = 64, BLOCK_BYTES = 1 << 20, SHARE_MIN = 4096, SHARES_MAX = 64 };

typedef struct worker {
    double *sums; /* p rows of sums of u phi and one of phi, `stride` apart */
    double *left; /* p rows of u and one of ones, a block of memories each */
    double *phi;  /* d rows */
    const double **rows;
    size_t *at;
} worker;

static size_t block_of(const hop_phi_shape *shape)
{
    size_t block = (size_t)BLOCK_BYTES / sizeof(double) / (shape->d + shape->p + 1) & ~(size_t)(HOP_ROW_STEP - 1);
    return block < BLOCK_MIN ? BLOCK_MIN : block > BLOCK_MAX ? BLOCK_MAX : block;
}

static size_t lay_out(const hop_phi_shape *shape, char *block, worker *out)
{
    size_t used = 0, rows = shape->p + 1, columns = block_of(shape);
    size_t sums = hop_carve(&used, rows * shape->stride, sizeof(double));
    size_t left = hop_carve(&used, rows * columns, sizeof(double));
    size_t phi = hop_carve(&used, shape->d * columns, sizeof(double));
    size_t pointers = hop_carve(&used, rows, sizeof(double *));
    size_t at = hop_carve(&used, rows, sizeof(size_t));
    if (out)
        *out = (worker){.sums = (double *)(block + sums),
                        .left = (double *)(block + left),
                        .phi = (double *)(block + phi),
                        .rows = (const double **)(block + pointers),
                        .at = (size_t *)(block + at)};
    return used;
}

static double shift_of(const hop_model *model, size_t l)
{
    return hop_min(0, (double)model->key.max[l]);
}

/* n memories from `from` on, coordinate by coordinate; columns behind them are 0. */
static void load(const hop_model *model, size_t from, size_t n, size_t columns, const worker *at)
{
    size_t d = model->d, p = model->p;
    for (size_t j = 0; j < p; j++)
        for (size_t m = 0; m < columns; m++)
            at->left[j * columns + m] =
                m < n ? hop_geometry_scaled(&model->value, model->values + (from + m) * p, j) : 0;
    for (size_t m = 0; m < columns; m++)
        at->left[p * columns + m] = m < n;
    for (size_t l = 0; l < d; l++) {
        double shift = shift_of(model, l);
        for (size_t m = 0; m < columns; m++) {
            double x = m < n ? (double)model->keys[(from + m) * d + l] : shift;
            at->phi[l * columns + m] = x > 0 ? x + 1 : exp(x - shift);
        }
    }
}

static void run(hop_phi_job *job, size_t task, char *block)
{
    const hop_model *model = job->sums->model;
    const hop_phi_shape *shape = &job->sums->shape;
    size_t columns = block_of(shape), from = task * job->share;
    size_t last = model->M - from < job->share ? model->M : from + job->share;
    worker at;
    lay_out(shape, block, &at);
    for (size_t i = 0; i < (shape->p + 1) * shape->stride; i++)
        at.sums[i] = 0;
    for (size_t j = 0; j <= shape->p; j++) {
        at.rows[j] = at.left + j * columns;
        at.at[j] = j * shape->stride;
    }
    for (; from < last && !hop_phi_cancelled(job); from += columns) {
        size_t n = last - from < columns ? last - from : columns;
        load(model, from, n, columns, &at);
        job->kernels->moment_products(&(hop_row_products){.n_left = shape->p + 1,
                                                          .n_right = shape->d,
                                                          .stride = columns,
                                                          .left = at.rows,
                                                          .right = at.phi,
                                                          .at = at.at,
                                                          .sums = at.sums});
        hop_phi_report(job, n);
    }
}

static void merge(hop_phi_job *job, size_t task, const char *block)
{
    const hop_phi_shape *shape = &job->sums->shape;
    const double *sums = (const double *)block;
    (void)task;
    for (size_t i = 0; i < shape->p * shape->stride; i++)
        job->sums->v[i] += sums[i];
    for (size_t l = 0; l < shape->stride; l++)
        job->sums->log_s[l] += sums[shape->p * shape->stride + l];
}

static void finish(hop_phi_job *job)
{
    hop_phi_sums *sums = job->sums;
    const hop_phi_shape *shape = &sums->shape;
    for (size_t j = 0; j < shape->p; j++)
        for (size_t l = 0; l < shape->d; l++)
            sums->v[j * shape->stride + l] *= sums->model->value.scale[j] / sums->log_s[l];
    for (size_t l = 0; l < shape->d; l++)
        sums->log_s[l] = log(sums->log_s[l]) + shift_of(sums->model, l);
    for (size_t l = shape->d; l < shape->stride; l++)
        sums->log_s[l] = -(double)INFINITY;
}

void hop_phi_plan_linear(hop_phi_job *job)
{
    const hop_phi_shape *shape = &job->sums->shape;
    size_t M = job->sums->model->M, block = block_of(shape), share = (M + SHARES_MAX - 1) / SHARES_MAX;
    share = share < SHARE_MIN ? SHARE_MIN : share;
    job->share = (share + block - 1) / block * block;
    job->n_tasks = (M + job->share - 1) / job->share;
    job->worker_bytes = lay_out(shape, NULL, NULL);
    job->steps = M;
    job->run = run;
    job->merge = merge;
    job->finish = finish;
}
