/*
 * phi_sums.c - sums of features over the memories: their size, making them, and what they fit. What a task of making
 * them does is phi_linear.c's and phi_random.c's.
 */
#include "core/phi_sums.h"

#include <math.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/phi.h"
#include "core/phi_build.h"
#include "core/rounding.h"
#include "core/status.h"

enum { UNIT = 64 }; /* features, where blocks are no larger */

size_t hop_phi_features(const hop_model *model, hop_mode mode, const hop_parameters *parameters)
{
    double d = (double)model->d;
    if (mode == HOP_LINEAR)
        return model->d;
    if (parameters->features)
        return parameters->features;
    return (size_t)hop_min(hop_max(2 * d, ceil(d * log(d))), HOP_FEATURES_MAX);
}

hop_status hop_phi_check_features(const hop_parameters *parameters, hop_error *error)
{
    if (parameters->features <= HOP_FEATURES_MAX)
        return HOP_OK;
    return hop_fail(error, HOP_E_DOMAIN, "features must be 1 to %d, not %zu", HOP_FEATURES_MAX, parameters->features);
}

static size_t unit_of(size_t d)
{
    return d < UNIT ? UNIT / d * d : d;
}

size_t hop_phi_stride_max(size_t d)
{
    return hop_round_up(d < UNIT ? UNIT : d, HOP_ROW_STEP);
}

static hop_phi_shape shape_of(const hop_model *model, hop_mode mode, const hop_parameters *parameters)
{
    hop_phi_shape shape = {.d = model->d, .p = model->p, .m = hop_phi_features(model, mode, parameters)};
    shape.unit = mode == HOP_LINEAR ? shape.d : unit_of(shape.d);
    shape.n_units = (shape.m + shape.unit - 1) / shape.unit;
    shape.unit = shape.unit < shape.m ? shape.unit : shape.m;
    shape.stride = hop_round_up(shape.unit, HOP_ROW_STEP);
    shape.width = mode == HOP_LINEAR ? 0 : hop_round_up(shape.d, HOP_ROW_STEP);
    return shape;
}

/* Numbers of the block, in its order; with tops behind them while it is made. false: they overflow. */
static bool numbers_of(const hop_phi_shape *shape, size_t *w, size_t *v, size_t *all, size_t *with_tops)
{
    size_t slots = hop_phi_slots(shape), sum;
    return hop_mul_size(slots, shape->width, w) && hop_mul_size(slots, shape->p, v) && hop_add_size(*w, *v, &sum) &&
           hop_add_size(sum, slots + hop_round_up(shape->d, HOP_ROW_STEP), all) &&
           hop_add_size(*all, slots, with_tops) && *with_tops <= SIZE_MAX / 2 / sizeof(double);
}

size_t hop_phi_sums_bytes_estimate(const hop_model *model, hop_mode mode, const hop_parameters *parameters)
{
    hop_phi_shape shape = shape_of(model, mode, parameters);
    size_t w, v, all, with_tops;
    return numbers_of(&shape, &w, &v, &all, &with_tops) ? sizeof(hop_phi_sums) + all * sizeof(double) : SIZE_MAX;
}

/* What is known before anything is made. */
static void plan(hop_phi_sums *sums, hop_phi_job *job)
{
    job->sums = sums;
    if (sums->mode == HOP_LINEAR)
        hop_phi_plan_linear(job);
    else
        hop_phi_plan_random(job);
}

static size_t worker_count(const hop_phi_job *job, size_t width)
{
    return width < 1 ? 1 : width < job->n_tasks ? width : job->n_tasks;
}

size_t hop_phi_sums_build_bytes(const hop_model *model, hop_mode mode, const hop_parameters *parameters, size_t width)
{
    hop_phi_sums sums = {.model = model, .mode = mode, .shape = shape_of(model, mode, parameters)};
    hop_phi_job job = {.sums = &sums};
    size_t w, v, all, with_tops, bytes;
    if (!numbers_of(&sums.shape, &w, &v, &all, &with_tops))
        return SIZE_MAX;
    plan(&sums, &job);
    if (!hop_mul_size(worker_count(&job, width), job.worker_bytes, &bytes) ||
        !hop_add_size(bytes, sizeof sums + with_tops * sizeof(double), &bytes))
        return SIZE_MAX;
    return bytes;
}

hop_work hop_phi_build_work(const hop_model *model, hop_mode mode, const hop_parameters *parameters)
{
    double M = (double)model->M, d = (double)model->d, p = (double)model->p;
    double m = (double)hop_phi_features(model, mode, parameters);
    hop_work work = {.count = {[HOP_COST_ROW] = 1}};
    if (mode == HOP_LINEAR) {
        work.count[HOP_COST_SCORE] = M * d; /* exp */
        work.count[HOP_COST_BUILD] = M * d * (p + 1);
        work.count[HOP_COST_F64_PASS_NUMBER] = M * (d + p);
        return work;
    }
    work.count[HOP_COST_BUILD] = 4 * m * hop_min(m, d) * d; /* w */
    work.count[HOP_COST_F64_PAIR] = M * m;
    work.count[HOP_COST_F64_MADD] = M * m * (2 * d + 2 + (double)model->columns);
    work.count[HOP_COST_F64_PASS_NUMBER] = M * ceil(m / 128) * (d + (double)model->columns);
    return work;
}

double hop_phi_sums_build_seconds(const hop_model *model, hop_mode mode, const hop_parameters *parameters)
{
    hop_costs costs;
    hop_costs_get(&costs);
    hop_work work = hop_phi_build_work(model, mode, parameters);
    return hop_work_seconds(&work, &costs);
}

void hop_phi_sums_free(hop_phi_sums *sums)
{
    if (!sums)
        return;
    hop_aligned_free(sums->block);
    hop_aligned_free(sums);
}

size_t hop_phi_sums_bytes(const hop_phi_sums *sums)
{
    return sums->bytes;
}

bool hop_phi_sums_fits(const hop_phi_sums *sums, const hop_model *model, hop_mode mode, double beta,
                       const hop_parameters *parameters)
{
    if (!sums || sums->model != model || sums->mode != mode)
        return false;
    return mode == HOP_LINEAR || (sums->beta == beta && sums->seed == parameters->seed &&
                                  sums->shape.m == hop_phi_features(model, mode, parameters));
}

static void run_task(void *arg, size_t i)
{
    hop_phi_job *job = arg;
    job->run(job, job->first + i, job->workers + i * job->worker_bytes);
}

/* As many tasks at a time as there are workers; their sums are merged in the order of tasks. */
static void run_tasks(hop_phi_job *job, size_t workers)
{
    for (job->first = 0; job->first < job->n_tasks && !hop_phi_cancelled(job); job->first += workers) {
        size_t n = job->n_tasks - job->first < workers ? job->n_tasks - job->first : workers;
        if (job->executor)
            job->executor->run(job->executor->context, n, run_task, job);
        for (size_t i = 0; !job->executor && i < n; i++)
            run_task(job, i);
        for (size_t i = 0; i < n; i++)
            job->merge(job, job->first + i, job->workers + i * job->worker_bytes);
    }
}

static hop_status make(hop_phi_job *job, hop_error *error)
{
    hop_phi_sums *sums = job->sums;
    size_t workers = worker_count(job, job->executor ? job->executor->width : 1);
    hop_status status = sums->mode == HOP_LINEAR ? HOP_OK : hop_phi_prepare_random(job, error);
    if (status != HOP_OK)
        return status;
    job->workers = hop_array_new(workers, 1, job->worker_bytes);
    if (!job->workers)
        return hop_fail(error, HOP_E_NOMEM, "no memory to make the sums of %s", hop_mode_word(sums->mode));
    run_tasks(job, workers);
    hop_aligned_free(job->workers);
    if (hop_phi_cancelled(job))
        return hop_fail(error, HOP_E_CANCELLED, "making the sums of %s was cancelled", hop_mode_word(sums->mode));
    job->finish(job);
    return HOP_OK;
}

hop_status hop_phi_sums_new(const hop_model *model, hop_mode mode, double beta, const hop_parameters *parameters,
                            const hop_executor *executor, hop_progress *progress, hop_phi_sums **out, hop_error *error)
{
    if (mode != HOP_LINEAR && mode != HOP_RANDOM_FEATURES)
        return hop_fail(error, HOP_E_DOMAIN, "mode %s has no sums", hop_mode_word(mode));
    if (!(beta > 0) || !isfinite(beta))
        return hop_fail(error, HOP_E_DOMAIN, "beta must be a finite number above 0, not %g", beta);
    hop_status status = mode == HOP_LINEAR ? HOP_OK : hop_phi_check_features(parameters, error);
    if (status != HOP_OK)
        return status;
    hop_phi_shape shape = shape_of(model, mode, parameters);
    size_t w, v, all, with_tops;
    if (!numbers_of(&shape, &w, &v, &all, &with_tops))
        return hop_fail(error, HOP_E_SHAPE, "the sums of %zu features of %zu coordinates are too large", shape.m,
                        shape.d);
    hop_phi_sums *sums = hop_array_new(1, 1, sizeof *sums);
    double *numbers = hop_array_new(all, 1, sizeof(double));
    double *top = mode == HOP_LINEAR ? NULL : hop_array_new(hop_phi_slots(&shape), 1, sizeof(double));
    if (sums && numbers && (top || mode == HOP_LINEAR)) {
        *sums = (hop_phi_sums){.model = model,
                               .mode = mode,
                               .beta = beta,
                               .seed = mode == HOP_LINEAR ? 0 : parameters->seed,
                               .shape = shape,
                               .w = numbers,
                               .v = numbers + w,
                               .log_s = numbers + w + v,
                               .centre = numbers + w + v + hop_phi_slots(&shape),
                               .bytes = hop_phi_sums_bytes_estimate(model, mode, parameters),
                               .block = numbers};
        hop_phi_job job = {.kernels = hop_kernels_get(), .executor = executor, .progress = progress, .top = top};
        plan(sums, &job);
        status = make(&job, error);
        if (status == HOP_OK && progress)
            atomic_store_explicit(&progress->permille, 1000, memory_order_relaxed);
    } else {
        hop_aligned_free(numbers);
        status = hop_fail(error, HOP_E_NOMEM, "no memory for the sums of %s", hop_mode_word(mode));
    }
    hop_aligned_free(top);
    if (status == HOP_OK)
        *out = sums;
    else
        hop_phi_sums_free(sums);
    return status;
}
