/*
 * frame.c - a call's workspace, and one step for a set of rows (frame.h).
 */
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "core/kernels.h"
#include "core/plan.h"
#include "core/frame.h"
#include "core/rounding.h"
#include "core/status.h"
#include "core/structured.h"

enum { CHUNK_MAX = 1024 };

static size_t lay_out(const hop_model *model, const hop_features *features, size_t L, char *block, hop_frame *out)
{
    size_t chunk = L < CHUNK_MAX ? L : CHUNK_MAX, used = 0;
    size_t batch = hop_dense_batch(model) > HOP_STRUCTURED_ROWS ? hop_dense_batch(model) : HOP_STRUCTURED_ROWS;
    size_t rows = hop_carve(&used, chunk, sizeof(hop_row));
    size_t xi = hop_carve(&used, chunk * model->d, sizeof(double));
    size_t state = hop_carve(&used, chunk * model->d, sizeof(float));
    size_t active = hop_carve(&used, chunk, sizeof(size_t));
    size_t pending = hop_carve(&used, chunk, sizeof(size_t));
    size_t al_rows = hop_carve(&used, chunk, sizeof(hop_al_row));
    size_t queries = hop_carve(&used, batch, sizeof(hop_query *));
    size_t sums = hop_carve(&used, batch, sizeof(hop_dense_sums));
    size_t kept = hop_carve(&used, model->p, sizeof(float));
    /* A call runs through the dense pass or through a structured model, never both at a time. */
    size_t dense_bytes = hop_dense_workspace_bytes(model), structured_bytes = hop_structured_workspace_bytes(model);
    size_t dense = hop_carve(&used, dense_bytes > structured_bytes ? dense_bytes : structured_bytes, 1);
    size_t al = hop_carve(&used, features ? hop_al_workspace_bytes(model, features) : 0, 1);
    if (out) {
        out->chunk = chunk;
        out->rows = (hop_row *)(block + rows);
        out->xi = (double *)(block + xi);
        out->state = (float *)(block + state);
        out->active = (size_t *)(block + active);
        out->pending = (size_t *)(block + pending);
        out->al_rows = (hop_al_row *)(block + al_rows);
        out->batch = (const hop_query **)(block + queries);
        out->sums = (hop_dense_sums *)(block + sums);
        out->kept = (float *)(block + kept);
        out->dense_workspace = block + dense;
        out->al_workspace = block + al;
        out->structured_workspace = block + dense;
    }
    return used;
}

size_t hop_frame_bytes(const hop_model *model, const hop_features *features, size_t L)
{
    return lay_out(model, features, L, NULL, NULL);
}

hop_status hop_frame_init(hop_frame *frame, const hop_model *model, const hop_request *request, bool energy_only,
                          size_t L, void *workspace, size_t workspace_bytes, hop_error *error)
{
    const hop_features *features = hop_model_features(model);
    if (features && hop_frame_bytes(model, features, L) > workspace_bytes)
        features = NULL; /* adopted since the caller asked for the size */
    if (hop_frame_bytes(model, features, L) > workspace_bytes)
        return hop_fail(error, HOP_E_LIMIT, "the workspace has %zu bytes, %zu are needed", workspace_bytes,
                        hop_frame_bytes(model, features, L));
    *frame = (hop_frame){.model = model, .features = features, .request = request, .energy_only = energy_only};
    frame->total = request->total ? request->total : L;
    lay_out(model, features, L, workspace, frame);
    return HOP_OK;
}

bool hop_row_energy(const hop_row *row, double beta, double *lse, double *lse_bound, double *energy,
                    double *energy_bound)
{
    const hop_query *query = &row->query;
    double sum = query->base + row->log_sum;
    double slack = 8 * HOP_U64 * (fabs(query->base) + fabs(row->log_sum));
    *lse = sum / beta;
    *lse_bound = hop_up((row->log_error + query->base_error + slack) / beta + 2 * HOP_U64 * fabs(*lse));
    *energy = query->half_square - *lse;
    *energy_bound = hop_up(*lse_bound + query->half_square_error + 2 * HOP_U64 * (query->half_square + fabs(*lse)));
    return isfinite(*lse) && isfinite(*lse_bound) && isfinite(*energy) && isfinite(*energy_bound);
}

/* The bound that the request's max_error is about, and whether it holds. */
static void judge(const hop_frame *frame, hop_row *row, double z_bound)
{
    double lse, lse_bound, energy, energy_bound;
    row->bound = z_bound;
    if (frame->energy_only) {
        bool finite = hop_row_energy(row, frame->request->beta, &lse, &lse_bound, &energy, &energy_bound);
        row->bound = finite ? hop_max(lse_bound, energy_bound) : (double)INFINITY;
    }
    row->met = row->bound <= frame->request->max_error;
}

/* log sum e^t without any retriever: within T_abs of log M. */
static void enclose_log_sum(const hop_frame *frame, hop_row *row)
{
    row->log_sum = log((double)frame->model->M);
    row->log_error = hop_up(row->query.T_abs);
}

static void answer_nothing(const hop_frame *frame, hop_row *row)
{
    enclose_log_sum(frame, row);
    row->degree = -1;
    judge(frame, row, hop_certificate_fallback(&frame->model->value, row->z));
}

/* Why the maps did not answer: a degree that was not tried may do, but dense is predicted cheaper, or none may. */
static hop_fallback why_not(const hop_frame *frame, const hop_al_row *al)
{
    const hop_query *query = al->query;
    unsigned g_max = frame->features->g_max, cap = al->degree_cap;
    if (cap == g_max || !query->usable || !(query->T_abs <= HOP_PLAN_RADIUS_MAX))
        return HOP_FALLBACK_BOUND;
    /* not measured where no degree was tried: as if keys lay evenly in all directions, half as far as the farthest */
    double sigma = cap && isfinite(al->sigma) ? al->sigma : query->T_abs / (2 * sqrt((double)frame->model->d));
    double widest = al->z ? frame->model->value.widest : 1;
    return hop_al_may_meet(query, sigma, widest, al->max_error, cap, g_max, NULL, 1) > 0 ? HOP_FALLBACK_COST
                                                                                         : HOP_FALLBACK_BOUND;
}

/* What judge() leaves of an energy's max_error to the enclosure of log D. */
static double log_allowance(const hop_frame *frame, const hop_row *row)
{
    const hop_query *query = &row->query;
    double beta = frame->request->beta;
    double size = fabs(query->base) + query->T_abs + log((double)frame->model->M) + beta * query->half_square + 1;
    double rest = query->base_error + beta * query->half_square_error + 16 * HOP_U64 * size;
    return hop_max(0, frame->request->max_error * beta - rest);
}

/*
 * The active rows by the size of their exponents, in steps of 1/SIZES of the largest: rows that are evaluated side by
 * side then want about the same degree. Written to frame->pending.
 */
static void order_by_size(hop_frame *frame, size_t n)
{
    enum { SIZES = 64 };
    size_t first[SIZES + 1] = {0};
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = hop_max(frame->rows[frame->active[i]].query.s, largest);
    double step = largest > 0 && isfinite(largest) ? (SIZES - 1) / largest : 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < n; i++) {
            double s = frame->rows[frame->active[i]].query.s * step;
            size_t size = s < SIZES ? (size_t)s : SIZES - 1;
            if (pass)
                frame->pending[first[size]++] = frame->active[i];
            else
                first[size + 1]++;
        }
        for (size_t size = 1; size <= SIZES && !pass; size++)
            first[size] += first[size - 1];
    }
}

/* Whether an f32 pass may meet the request; a sharp one may for all that is known before it is made. */
static bool f32_worthwhile(const hop_frame *frame, const hop_row *row)
{
    hop_error_terms terms;
    double log_error, limit = frame->request->max_error;
    if (!hop_dense_f32_possible(&row->query))
        return false;
    hop_dense_terms(frame->model, &row->query, false, NULL, &terms, &log_error);
    if (!isfinite(log_error) || (!frame->energy_only && terms.weight * frame->model->value.widest > limit))
        return false; /* each coordinate's bound has the weight term in full (hop_certificate_answer()) */
    return frame->energy_only
               ? log_error <= limit * frame->request->beta
               : terms.osc * frame->model->value.range <= limit || hop_dense_needs_shift(&row->query, false);
}

/* Whether what auto would run instead of a degree is expected to end in f64. */
static bool dense_needs_f64(const hop_frame *frame, const hop_row *row)
{
    return !f32_worthwhile(frame, row) ||
           (!frame->energy_only && hop_plan_dense_f64(frame->model, &row->query, frame->request->max_error));
}

/* The same for any of those at frame->active: of one that is as far out as the farthest. */
static bool any_needs_f64(const hop_frame *frame, size_t n)
{
    hop_row most = frame->rows[frame->active[0]];
    for (size_t i = 1; i < n; i++) {
        const hop_query *query = &frame->rows[frame->active[i]].query;
        most.query.s = hop_max(query->s, most.query.s);
        most.query.T_abs = hop_max(query->T_abs, most.query.T_abs);
        most.query.usable = most.query.usable && query->usable;
    }
    return dense_needs_f64(frame, &most);
}

/* Run the rows through the moments; those not met go to frame->pending. Returns how many. */
static size_t answer_almost_linear(hop_frame *frame, size_t n)
{
    const hop_request *request = frame->request;
    const hop_model *model = frame->model;
    bool automatic = request->mode == HOP_AUTO;
    enum { FEW = 4 };
    unsigned g_max = frame->features->g_max;
    hop_plan_caps caps; /* of auto; large */
    if (automatic)
        caps = hop_plan_caps_of(model, n);
    const bool none = !automatic || (!caps.degree[0][1] && !caps.degree[1][1]);
    int f64 = none ? 0 : n < FEW ? -1 : any_needs_f64(frame, n); /* whether any wants dense in f64; -1: not asked yet */
    bool logs = frame->energy_only || request->want & (HOP_WANT_ENERGY | HOP_WANT_LOG_SUM_EXP);
    size_t tried = 0, pending = 0;
    const bool any = !automatic || caps.degree[0][1] || (f64 && caps.degree[1][1]);
    if (any && n > 1)
        order_by_size(frame, n);
    else
        memcpy(frame->pending, frame->active, n * sizeof *frame->pending);
    for (size_t i = 0; i < n; i++) {
        const size_t tag = frame->pending[i];
        hop_row *row = &frame->rows[tag];
        double max_error = frame->energy_only ? log_allowance(frame, row) : request->max_error;
        hop_al_row *al = &frame->al_rows[tried];
        *al = (hop_al_row){.query = &row->query,
                           .tag = tag,
                           .z = row->z,
                           .max_error = max_error,
                           .degree_cap = g_max,
                           .log_sum = logs,
                           .predict = automatic,
                           .best_effort = !automatic && request->best_effort,
                           .sigma = (double)INFINITY,
                           .bound = (double)INFINITY};
        if (automatic && any && hop_plan_worth_a_look(&caps, model, f64 != 0, al)) {
            f64 = f64 < 0 ? any_needs_f64(frame, n) : f64;
            hop_plan_cap_row(&caps, model, frame->features, f64 && dense_needs_f64(frame, row), al);
        } else if (automatic) {
            al->degree_cap = 0;
        }
        if (al->degree_cap) {
            tried++;
            continue;
        }
        row->degree = 0;
        row->bound = (double)INFINITY;
        row->met = false;
        row->fallback = why_not(frame, al);
        frame->pending[pending++] = tag; /* up to i have been read */
    }
    if (tried)
        hop_al_run(model, frame->features, frame->al_rows, tried, frame->al_workspace);

    double log_M = tried ? log((double)model->M) : 0;
    for (size_t i = 0; i < tried; i++) {
        const hop_al_row *al = &frame->al_rows[i];
        hop_row *row = &frame->rows[al->tag];
        row->degree = al->degree;
        row->bound = al->bound;
        row->met = false;
        if (al->degree > 0) {
            row->log_sum = log_M + (al->log_D_low + al->log_D_high) / 2;
            row->log_error = hop_up((al->log_D_high - al->log_D_low) / 2 + 4 * HOP_U64 * (1 + fabs(row->log_sum)));
            judge(frame, row, al->bound);
        }
        if (!row->met) {
            row->fallback = automatic ? why_not(frame, al) : HOP_FALLBACK_NONE;
            frame->pending[pending++] = al->tag;
        }
    }
    return pending;
}

/* Of this answer and an earlier one, neither of which meets, the one with the smaller bound stays. */
static void finish_dense(const hop_frame *frame, hop_row *row, const hop_dense_sums *sums, bool f64)
{
    hop_error_terms terms;
    double log_error;
    hop_row before = *row;
    size_t z_bytes = row->z && isfinite(before.bound) ? frame->model->p * sizeof(float) : 0;
    if (z_bytes)
        memcpy(frame->kept, row->z, z_bytes);
    hop_dense_terms(frame->model, &row->query, f64, sums, &terms, &log_error);
    row->degree = 0;
    if (isfinite(log_error)) {
        row->log_sum = sums->shift + log(sums->denominator);
        row->log_error = hop_up(log_error + 4 * HOP_U64 * (fabs(sums->shift) + fabs(row->log_sum) + 1));
    } else {
        enclose_log_sum(frame, row);
    }
    judge(frame, row,
          row->z ? hop_certificate_answer(&frame->model->value, sums->numerator, sums->denominator, &terms, row->z)
                 : 0);
    if (row->met || !(before.bound < row->bound))
        return;
    *row = before;
    if (z_bytes)
        memcpy(row->z, frame->kept, z_bytes);
}

/* One precision, one kind of shift: the rows of `list` that still want it, in batches. */
static void dense_pass(hop_frame *frame, const size_t *list, size_t n, bool f64, bool shifted)
{
    size_t members[HOP_DENSE_BATCH_MAX], batch = 0;
    for (size_t i = 0; i <= n; i++) {
        if (i < n) {
            hop_row *row = &frame->rows[list[i]];
            if (!row->met && row->query.usable && hop_dense_needs_shift(&row->query, f64) == shifted &&
                (f64 || f32_worthwhile(frame, row))) {
                members[batch] = list[i];
                frame->batch[batch++] = &row->query;
            }
        }
        if (batch == hop_dense_batch(frame->model) || (i == n && batch)) {
            hop_dense_run(frame->model, frame->batch, batch, f64, frame->request->executor, frame->dense_workspace,
                          frame->sums);
            for (size_t b = 0; b < batch; b++)
                finish_dense(frame, &frame->rows[members[b]], &frame->sums[b], f64);
            batch = 0;
        }
    }
}

/* f32 first, f64 for the rows whose f32 bound does not meet. */
static void answer_dense(hop_frame *frame, const size_t *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        hop_row *row = &frame->rows[list[i]];
        row->met = false;
        if (!row->query.usable) {
            answer_nothing(frame, row);
            row->degree = 0;
        }
    }
    for (int f64 = 0; f64 < 2; f64++)
        for (int shifted = 0; shifted < 2; shifted++)
            dense_pass(frame, list, n, f64, shifted);
}

/* A row that no degree met and that may not run dense: the range of the values may be the better promise. */
static void settle_almost_linear(const hop_frame *frame, hop_row *row)
{
    hop_row nothing = *row;
    nothing.z = NULL;
    answer_nothing(frame, &nothing);
    if (row->degree > 0 && frame->request->best_effort && nothing.bound >= row->bound)
        return;
    double best = row->bound;
    answer_nothing(frame, row);
    if (!row->met && best < row->bound)
        row->bound = best; /* refused: what the caller is told is the best bound there was */
}

/*
 * A row that dense has not met either: the mean of the values with their range may still do, and where it does not, a
 * refusal names the better bound. Under best effort dense's answer stands: where rounding eats its promise, it is still
 * likely to be near.
 */
static void settle_dense(const hop_frame *frame, hop_row *row)
{
    const hop_geometry *values = &frame->model->value;
    if (row->degree > 0) /* what the maps said was better than what dense did */
        row->fallback = HOP_FALLBACK_NONE;
    if (row->met || !row->z || frame->energy_only)
        return;
    double middle = hop_certificate_fallback(values, NULL);
    if (middle <= frame->request->max_error)
        judge(frame, row, hop_certificate_fallback(values, row->z)); /* log-sum-exp stays dense's */
    else if (!frame->request->best_effort)
        row->bound = hop_min(row->bound, middle);
}

/* Rows that the feature maps cannot serve, because there are none or every score is wanted. */
static void answer_without_maps(hop_frame *frame, size_t n, bool scores)
{
    bool automatic = frame->request->mode == HOP_AUTO;
    for (size_t i = 0; i < n; i++) {
        hop_row *row = &frame->rows[frame->active[i]];
        if (automatic) {
            row->fallback = scores ? HOP_FALLBACK_RETURN : HOP_FALLBACK_BUILDING;
            continue;
        }
        answer_nothing(frame, row);
        row->met = false; /* there is nothing that could answer in this mode */
    }
    if (automatic)
        answer_dense(frame, frame->active, n);
    for (size_t i = 0; i < n && automatic; i++)
        settle_dense(frame, &frame->rows[frame->active[i]]);
}

void hop_frame_answer(hop_frame *frame, size_t n)
{
    const hop_request *request = frame->request;
    bool scores = request->want & HOP_WANT_SCORES && !frame->energy_only;
    for (size_t i = 0; i < n; i++) {
        frame->rows[frame->active[i]].fallback = HOP_FALLBACK_NONE;
        frame->rows[frame->active[i]].bound = (double)INFINITY;
    }

    if (request->mode == HOP_DENSE || request->mode == HOP_TOP_K) { /* top_k: of all */
        answer_dense(frame, frame->active, n);
        return;
    }
    if (!frame->features || scores) {
        answer_without_maps(frame, n, scores);
        return;
    }
    size_t pending = answer_almost_linear(frame, n);
    if (request->mode == HOP_AUTO)
        answer_dense(frame, frame->pending, pending);
    for (size_t i = 0; i < pending; i++) {
        hop_row *row = &frame->rows[frame->pending[i]];
        if (request->mode == HOP_AUTO)
            settle_dense(frame, row);
        else
            settle_almost_linear(frame, row);
    }
}
