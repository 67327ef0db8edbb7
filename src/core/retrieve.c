/*
 * retrieve.c - the front door: check the request, walk over chunks and steps, hand out what was asked for.
 */
#include "core/frame.h"

#include <math.h>
#include <string.h>

#include "core/kernels.h"
#include "core/plan.h"
#include "core/status.h"
#include "core/structured.h"

size_t hop_retrieve_workspace_bytes(const hop_model *model, size_t L)
{
    return hop_frame_bytes(model, hop_model_features(model), L ? L : 1);
}

static hop_status check_common(const hop_request *request, size_t L, hop_error *error)
{
    if (request->mode >= HOP_MODES)
        return hop_fail(error, HOP_E_UNKNOWN, "there is no mode %d", (int)request->mode);
    if (L == 0)
        return hop_fail(error, HOP_E_SHAPE, "the batch is empty: at least one query is needed");
    if (!(request->beta > 0) || !isfinite(request->beta))
        return hop_fail(error, HOP_E_DOMAIN, "beta must be a finite number above 0, not %g", request->beta);
    if (!(request->max_error >= 0))
        return hop_fail(error, HOP_E_DOMAIN, "max_error must be a number from 0 on, not %g", request->max_error);
    return HOP_OK;
}

/* Energies and plans are of the softmax over all memories. */
static hop_status check_softmax(const hop_request *request, size_t L, hop_error *error)
{
    if (hop_structured(request->mode))
        return hop_fail(error, HOP_E_DOMAIN, "modes auto, dense and almost_linear only, not %s",
                        hop_mode_word(request->mode));
    return check_common(request, L, error);
}

static hop_status check_retrieve(const hop_model *model, const hop_request *request, size_t L, hop_error *error)
{
    hop_status status = check_common(request, L, error);
    if (status != HOP_OK)
        return status;
    if (request->steps < 1 || request->steps > HOP_STEPS_MAX)
        return hop_fail(error, HOP_E_LIMIT, "steps must be 1 to %d, not %u", HOP_STEPS_MAX, request->steps);
    if (request->steps > 1 && model->p != model->d)
        return hop_fail(error, HOP_E_SHAPE,
                        "more than one step needs values of the memories' dimension: p = %zu, d = %zu", model->p,
                        model->d);
    if (!(request->tolerance >= 0))
        return hop_fail(error, HOP_E_DOMAIN, "tolerance must be a number from 0 on, not %g", request->tolerance);
    if (request->mode == HOP_ALMOST_LINEAR && (request->want & HOP_WANT_SCORES))
        return hop_fail(error, HOP_E_DOMAIN, "top, support and weights need every score: not with mode almost_linear");
    return hop_structured(request->mode) ? hop_structured_check(request, L, error) : HOP_OK;
}

static hop_status fail_unmet(const hop_frame *frame, size_t row, const hop_row *at, hop_error *error)
{
    if (frame->request->mode == HOP_ALMOST_LINEAR && !frame->features)
        return hop_fail_at(error, HOP_E_UNMET, (int64_t)row, -1,
                           "row %zu: almost_linear needs feature maps, and this set has none, or not yet", row);
    hop_fail_at(error, HOP_E_UNMET, (int64_t)row, -1, "row %zu: the best bound is %.3g, max_error is %.3g", row,
                at->bound, frame->request->max_error);
    if (error && error->status == HOP_E_UNMET) {
        error->actual = at->bound;
        error->limit = frame->request->max_error;
    }
    return HOP_E_UNMET;
}

static hop_status prepare(hop_frame *frame, size_t first, size_t i, const float *x, hop_error *error)
{
    const hop_model *model = frame->model;
    return hop_query_prepare(model, frame->request->beta, first + i, x, frame->xi + i * model->d, &frame->rows[i].query,
                             error);
}

static hop_status write_energy(const hop_frame *frame, size_t row, const hop_row *at, const hop_answer *answer,
                               hop_error *error)
{
    double lse, lse_bound, energy, energy_bound;
    if (!hop_row_energy(at, frame->request->beta, &lse, &lse_bound, &energy, &energy_bound))
        return hop_fail_at(error, HOP_E_UNMET, (int64_t)row, -1, "row %zu: the energy leaves the range of f64", row);
    const bool logs = hop_mode_against(frame->request->mode) != HOP_AGAINST_MODEL; /* else it is the conjugate */
    if (answer->log_sum_exp && logs)
        answer->log_sum_exp[row] = lse;
    if (answer->log_sum_exp_bound && logs)
        answer->log_sum_exp_bound[row] = lse_bound;
    if (answer->energy)
        answer->energy[row] = energy;
    if (answer->energy_bound)
        answer->energy_bound[row] = energy_bound;
    return HOP_OK;
}

static hop_status write_row(const hop_frame *frame, size_t row, const hop_row *at, unsigned step,
                            const hop_answer *answer, hop_error *error)
{
    const hop_request *request = frame->request;
    if (step == 1 || !(at->bound <= answer->error_bound[row]))
        answer->error_bound[row] = at->bound;
    answer->degree[row] = at->degree;
    answer->fallback[row] = at->fallback;
    if (request->want & HOP_WANT_STEPS)
        answer->steps[row] = step;
    if (request->want & (HOP_WANT_ENERGY | HOP_WANT_LOG_SUM_EXP))
        return write_energy(frame, row, at, answer, error);
    return HOP_OK;
}

/* What needs every score, for the states the last step started from: n rows, their numbers in frame->pending. */
static hop_status write_scores(hop_frame *frame, size_t first, size_t n, const hop_answer *answer, hop_error *error)
{
    const hop_request *request = frame->request;
    bool top = request->want & HOP_WANT_TOP, support = request->want & HOP_WANT_SUPPORT;
    bool weights = request->want & HOP_WANT_WEIGHTS;
    hop_dense_weights out[HOP_DENSE_BATCH_MAX];
    size_t batch = 0;
    for (size_t q = 0; q < n && top && answer->top_count; q++)
        answer->top_count[first + frame->pending[q]] = request->top < frame->model->M ? request->top : frame->model->M;
    for (size_t a = 0; a < n && (top || support || weights); a++) {
        size_t i = frame->pending[a], row = first + i;
        if (!frame->rows[i].query.usable)
            return hop_fail_at(error, HOP_E_UNMET, (int64_t)row, -1, "row %zu: the scores leave the range of f64", row);
        frame->batch[batch] = &frame->rows[i].query;
        out[batch++] = (hop_dense_weights){.top_id = top ? answer->top_id + row * request->top : NULL,
                                           .top_weight = top ? answer->top_weight + row * request->top : NULL,
                                           .support = support ? answer->support + row : NULL,
                                           .weights = weights ? answer->weights + row * frame->model->M : NULL};
        if (batch == hop_dense_batch(frame->model) || a + 1 == n) {
            hop_dense_scores(frame->model, frame->batch, batch, request->top, out, frame->dense_workspace);
            batch = 0;
        }
    }
    return HOP_OK;
}

static double largest_change(size_t d, const float *before, const float *after)
{
    double largest = 0;
    for (size_t l = 0; l < d; l++)
        largest = fmax(largest, fabs((double)after[l] - (double)before[l]));
    return largest;
}

/* One chunk through all its steps. Rows drop out of `active` as they come to rest. */
static hop_status run_chunk(hop_frame *frame, size_t first, size_t n, const float *x, const hop_answer *answer,
                            hop_error *error)
{
    const hop_model *model = frame->model;
    const hop_request *request = frame->request;
    const bool structured = hop_structured_apart(model, request);
    size_t d = model->d, p = model->p, active = n;
    memcpy(frame->state, x, n * d * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        frame->active[i] = i;
        frame->rows[i].z = answer->z + (first + i) * p;
    }
    for (unsigned step = 1; active; step++) {
        for (size_t a = 0; a < active; a++) {
            size_t i = frame->active[a];
            hop_status status = prepare(frame, first, i, frame->state + i * d, error);
            if (status != HOP_OK)
                return status;
        }
        if (structured) {
            hop_status status = hop_structured_answer(frame, first, active, answer, error);
            if (status != HOP_OK)
                return status;
        } else {
            hop_frame_answer(frame, active);
        }
        size_t moving = 0, resting = 0;
        for (size_t a = 0; a < active; a++) {
            size_t i = frame->active[a], row = first + i;
            const hop_row *at = &frame->rows[i];
            if (!at->met && !request->best_effort)
                return fail_unmet(frame, row, at, error);
            hop_status status = write_row(frame, row, at, step, answer, error);
            if (status != HOP_OK)
                return status;
            const float *z = answer->z + row * p;
            if (step == request->steps || largest_change(d, frame->state + i * d, z) < request->tolerance) {
                frame->pending[resting++] = i;
                continue;
            }
            memcpy(frame->state + i * d, z, d * sizeof *z);
            frame->active[moving++] = i;
        }
        active = moving;
        hop_status status = structured ? HOP_OK : write_scores(frame, first, resting, answer, error);
        if (status != HOP_OK)
            return status;
    }
    return HOP_OK;
}

hop_status hop_retrieve(const hop_model *model, const hop_request *request, size_t L, const float *x, void *workspace,
                        size_t workspace_bytes, const hop_answer *answer, hop_error *error)
{
    hop_frame frame;
    hop_status status = check_retrieve(model, request, L, error);
    if (status == HOP_OK)
        status = hop_frame_init(&frame, model, request, false, L, workspace, workspace_bytes, error);
    for (size_t first = 0; status == HOP_OK && first < L; first += frame.chunk) {
        size_t n = L - first < frame.chunk ? L - first : frame.chunk;
        status = run_chunk(&frame, first, n, x + first * model->d, answer, error);
    }
    return status;
}

hop_status hop_energy(const hop_model *model, const hop_request *request, size_t L, const float *x, void *workspace,
                      size_t workspace_bytes, const hop_answer *answer, hop_error *error)
{
    hop_frame frame;
    hop_status status = check_softmax(request, L, error);
    if (status == HOP_OK)
        status = hop_frame_init(&frame, model, request, true, L, workspace, workspace_bytes, error);
    for (size_t first = 0; status == HOP_OK && first < L; first += frame.chunk) {
        size_t n = L - first < frame.chunk ? L - first : frame.chunk;
        for (size_t i = 0; i < n && status == HOP_OK; i++) {
            frame.active[i] = i;
            frame.rows[i].z = NULL;
            status = prepare(&frame, first, i, x + (first + i) * model->d, error);
        }
        if (status != HOP_OK)
            return status;
        hop_frame_answer(&frame, n);
        for (size_t i = 0; i < n && status == HOP_OK; i++) {
            const hop_row *at = &frame.rows[i];
            if (!at->met && !request->best_effort)
                return fail_unmet(&frame, first + i, at, error);
            answer->degree[first + i] = at->degree;
            answer->fallback[first + i] = at->fallback;
            status = write_energy(&frame, first + i, at, answer, error);
        }
    }
    return status;
}

hop_status hop_plan_queries(const hop_model *model, const hop_request *request, size_t L, const float *x,
                            void *workspace, size_t workspace_bytes, hop_plan *plans, hop_error *error)
{
    hop_frame frame;
    hop_query queries[HOP_LANES];
    hop_status status = check_softmax(request, L, error);
    if (status == HOP_OK)
        status = hop_frame_init(&frame, model, request, false, L, workspace, workspace_bytes, error);
    for (size_t first = 0; status == HOP_OK && first < L; first += HOP_LANES) {
        size_t n = L - first < HOP_LANES ? L - first : HOP_LANES;
        double sigma[HOP_LANES] = {0};
        for (size_t q = 0; q < n && status == HOP_OK; q++)
            status = hop_query_prepare(model, request->beta, first + q, x + (first + q) * model->d,
                                       frame.xi + q * model->d, &queries[q], error);
        if (status != HOP_OK)
            return status;
        if (frame.features)
            hop_al_sigma(model, frame.features, queries, n, frame.al_workspace, sigma);
        for (size_t q = 0; q < n; q++)
            hop_plan_choose(model, frame.features, request, L, &queries[q], sigma[q], &plans[first + q]);
    }
    return status;
}

double hop_predict_seconds(const hop_model *model, const hop_request *request, size_t L, const float *x)
{
    enum { SAMPLE = 4 };
    const hop_features *features = hop_model_features(model);
    double seconds = 0;
    size_t sample = L < SAMPLE ? L : SAMPLE;
    for (size_t i = 0; i < sample; i++)
        seconds += hop_plan_guess_seconds(model, features, request, L, x + i * (L / sample) * model->d);
    seconds *= (double)L / (double)sample;
    /* A later step starts elsewhere: what auto does there is not known. */
    double dense = request->mode == HOP_AUTO ? hop_plan_dense_seconds(model, L, false, false) * (double)L : 0;
    return seconds + (request->steps > 1 ? request->steps - 1 : 0) * fmax(dense, seconds);
}

double hop_worst_seconds(const hop_model *model, const hop_request *request, size_t L)
{
    double row = hop_plan_worst_seconds(model, hop_model_features(model), request, L);
    return row * (double)L * (double)(request->steps ? request->steps : 1);
}
