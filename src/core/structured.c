/*
 * structured.c - the structured models' parameters, and which code answers which mode.
 */
#include "core/structured.h"

#include <math.h>

#include "core/checked.h"
#include "core/entmax.h"
#include "core/phi.h"
#include "core/plan.h"
#include "core/rounding.h"
#include "core/status.h"
#include "core/subset.h"
#include "core/top_k.h"

void hop_parameters_default(hop_parameters *out)
{
    *out = (hop_parameters){.k = 32, .keep = 0.1, .seed = 0, .width = SIZE_MAX, .features = 0, .alpha = 1.5};
}

static hop_status check_parameters(const hop_request *request, size_t L, hop_error *error)
{
    const hop_parameters *of = &request->parameters;
    switch (request->mode) {
    case HOP_TOP_K:
        if (of->k < 1)
            return hop_fail(error, HOP_E_DOMAIN, "k must be 1 or more, not %zu", of->k);
        break;
    case HOP_RANDOM_MASK:
        if (!(of->keep > 0 && of->keep <= 1))
            return hop_fail(error, HOP_E_DOMAIN, "keep must be above 0 and at most 1, not %g", of->keep);
        break;
    case HOP_WINDOW:
        if (request->total && (L > request->total || request->first > request->total - L))
            return hop_fail(error, HOP_E_SHAPE, "rows %zu to %zu are not among the request's %zu", request->first,
                            request->first + L - 1, request->total);
        break;
    case HOP_RANDOM_FEATURES:
        if (of->features > HOP_FEATURES_MAX)
            return hop_fail(error, HOP_E_DOMAIN, "features must be at most %d, not %zu", HOP_FEATURES_MAX,
                            of->features);
        break;
    case HOP_ENTMAX:
        if (!(of->alpha >= 1.01 && of->alpha <= 2))
            return hop_fail(error, HOP_E_DOMAIN, "alpha must be 1.01 to 2, not %g", of->alpha);
        break;
    default:
        break;
    }
    return HOP_OK;
}

hop_status hop_structured_check(const hop_request *request, size_t L, hop_error *error)
{
    const char *word = hop_mode_word(request->mode);
    bool sums = request->mode == HOP_LINEAR || request->mode == HOP_RANDOM_FEATURES;
    bool logs = request->mode == HOP_TOP_K || request->mode == HOP_RANDOM_MASK || request->mode == HOP_WINDOW;
    hop_status status = check_parameters(request, L, error);
    if (status != HOP_OK)
        return status;
    if (sums && (request->want & HOP_WANT_SCORES))
        return hop_fail(error, HOP_E_DOMAIN, "top, support and weights need every score: not with mode %s", word);
    if (sums && (request->want & (HOP_WANT_ENERGY | HOP_WANT_LOG_SUM_EXP)))
        return hop_fail(error, HOP_E_DOMAIN, "mode %s has no energy and no log_sum_exp", word);
    if (!logs && (request->want & HOP_WANT_LOG_SUM_EXP))
        return hop_fail(error, HOP_E_DOMAIN, "mode %s has no log_sum_exp", word);
    if (hop_mode_against(request->mode) == HOP_AGAINST_NOTHING && isfinite(request->max_error) && !request->best_effort)
        return hop_fail(error, HOP_E_UNMET, "mode %s has no error bound: it cannot promise max_error %.3g", word,
                        request->max_error);
    return HOP_OK;
}

/* ---- one step ---------------------------------------------------------------------------------------- */

/*
 * A workspace: what the sieve or a subset's pass takes, and sums for as many rows as a sieve has, or a row has parts.
 */
enum { BLOCKS = HOP_SIEVE_ROWS };
_Static_assert((int)HOP_ENTMAX_PARTS <= (int)BLOCKS, "a row's parts have blocks");
_Static_assert((int)HOP_SIEVE_ROWS <= (int)HOP_STRUCTURED_ROWS && (int)HOP_SUBSET_ROWS <= (int)HOP_STRUCTURED_ROWS,
               "a batch has room");

typedef struct pieces {
    char *blocks;
    void *sieve, *subset;
} pieces;

static size_t lay_out(const hop_model *model, char *block, pieces *out)
{
    size_t used = 0;
    size_t blocks = hop_carve(&used, BLOCKS, hop_mix_bytes(model));
    size_t sieve = hop_carve(&used, hop_sieve_workspace_bytes(model), 1);
    size_t subset = hop_carve(&used, hop_subset_workspace_bytes(model), 1);
    if (out)
        *out = (pieces){.blocks = block + blocks, .sieve = block + sieve, .subset = block + subset};
    return used;
}

size_t hop_structured_workspace_bytes(const hop_model *model)
{
    size_t scored = lay_out(model, NULL, NULL), sums = hop_phi_workspace_bytes(model);
    return scored > sums ? scored : sums;
}

/* One step of a call. */
typedef struct step {
    hop_frame *frame;
    size_t first;
    const hop_answer *answer;
    pieces w;
    hop_entry *room;
    size_t capacity;
} step;

static hop_returns returns_of(const step *at, size_t i)
{
    return hop_returns_of(at->frame->model, at->frame->request, at->answer, at->first + i);
}

/* top_k, sparsemax and entmax: one row with its candidates (NULL: none), whose block is given. */
static void answer_scored(const step *at, size_t i, hop_entry *entries, size_t n, char *block)
{
    const hop_frame *frame = at->frame;
    const hop_returns to = returns_of(at, i);
    if (frame->request->mode == HOP_TOP_K)
        hop_top_k_answer(frame->model, frame->request, &frame->rows[i], &to, entries, n, at->room, at->capacity, block);
    else
        hop_entmax_answer(frame->model, frame->request, &frame->rows[i], &to, entries, n, at->room, at->capacity,
                          block);
}

/* Rows that went through a sieve together. */
typedef struct sifted {
    const step *at;
    const hop_sieve *sieve;
    size_t first; /* of the batch */
    size_t rows[HOP_SIEVE_ROWS];
    bool full[HOP_SIEVE_ROWS];
} sifted;

static void finish_sifted(void *arg, size_t q)
{
    sifted *run = arg;
    const hop_model *model = run->at->frame->model;
    size_t n;
    hop_entry *entries = hop_sieve_take(run->sieve, q, &n);
    run->full[q] = !entries;
    if (entries)
        answer_scored(run->at, run->rows[run->first + q], entries, n, run->at->w.blocks + q * hop_mix_bytes(model));
}

/* Rows `first` to `first + n` of the run, one batch. */
static void answer_batch(sifted *run, const hop_sieve_rule *rule, size_t first, size_t n)
{
    const step *at = run->at;
    const hop_executor *executor = at->frame->request->executor;
    hop_sieve sieve;
    run->sieve = &sieve;
    run->first = first;
    for (size_t q = 0; q < n; q++)
        at->frame->batch[q] = &at->frame->rows[run->rows[first + q]].query;
    hop_sieve_run(&sieve, at->frame->model, rule, at->frame->batch, n, executor, at->w.sieve);
    if (executor && n > 1) {
        executor->run(executor->context, n, finish_sifted, run);
    } else {
        for (size_t q = 0; q < n; q++)
            finish_sifted(run, q);
    }
}

/*
 * The n rows of run->rows. Those with more candidates than fit go through the sieve again in smaller batches, where
 * each has more room, and alone and still too many, are scanned.
 */
static void answer_sifted(sifted *run, const hop_sieve_rule *rule, size_t n)
{
    for (size_t batch = n; n; batch = (batch + HOP_SIEVE_FEWER - 1) / HOP_SIEVE_FEWER) {
        size_t left = 0;
        for (size_t first = 0; first < n; first += batch) {
            const size_t now = n - first < batch ? n - first : batch;
            answer_batch(run, rule, first, now);
            for (size_t q = 0; q < now; q++) {
                const size_t row = run->rows[first + q];
                if (run->full[q] && now == 1)
                    answer_scored(run->at, row, NULL, 0, run->at->w.blocks);
                else if (run->full[q])
                    run->rows[left++] = row;
            }
        }
        n = left;
    }
}

static void answer_by_scores(const step *at, size_t n)
{
    const hop_frame *frame = at->frame;
    const hop_model *model = frame->model;
    sifted run = {.at = at};
    size_t batch = 0, most = HOP_SIEVE_ROWS;
    hop_sieve_rule rule = frame->request->mode == HOP_TOP_K ? hop_top_k_rule(frame->request)
                                                            : hop_entmax_rule(model, NULL, 0, frame->request);
    most = hop_sieve_rows(model, &rule);
    for (size_t a = 0; a <= n; a++) {
        if (a < n) {
            const size_t i = frame->active[a];
            const hop_query *query = &frame->rows[i].query;
            if (!query->usable)
                continue;
            if (!most || !hop_dense_f32_possible(query)) {
                answer_scored(at, i, NULL, 0, at->w.blocks);
                continue;
            }
            run.rows[batch] = i;
            frame->batch[batch++] = query;
        }
        if (batch && (batch == most || a == n)) {
            if (frame->request->mode != HOP_TOP_K)
                rule = hop_entmax_rule(model, frame->batch, batch, frame->request);
            answer_sifted(&run, &rule, batch);
            batch = 0;
        }
    }
}

/* random_mask and window: one selection's rows, whose numbers are in rows and queries in frame->batch. */
static void answer_subset(const step *at, const hop_selection *selection, const size_t *rows, size_t n)
{
    const hop_frame *frame = at->frame;
    const hop_model *model = frame->model;
    hop_subset_run(model, selection, frame->batch, n, frame->request->executor, at->w.subset, frame->sums);
    for (size_t q = 0; q < n; q++) {
        hop_row *row = &frame->rows[rows[q]];
        const hop_dense_sums *sums = &frame->sums[q];
        const hop_returns to = returns_of(at, rows[q]);
        hop_error_terms terms;
        hop_dense_terms(model, &row->query, true, sums, &terms, &row->log_error);
        row->log_sum = sums->shift + log(sums->denominator);
        row->log_error = hop_up(row->log_error + 4 * HOP_U64 * (fabs(sums->shift) + fabs(row->log_sum) + 1));
        hop_certificate_answer(&model->value, sums->numerator, sums->denominator, &terms, row->z);
        row->bound = (double)INFINITY; /* against dense there is none */
        row->met = row->bound <= frame->request->max_error;
        hop_subset_returns(model, selection, &row->query, &to, at->room, at->capacity);
    }
}

static void answer_mask(const step *at, size_t n)
{
    const hop_frame *frame = at->frame;
    const hop_parameters *of = &frame->request->parameters;
    const hop_selection selection = hop_selection_mask(frame->model->M, of->keep, of->seed);
    size_t rows[HOP_SUBSET_ROWS], batch = 0;
    for (int shifted = 0; shifted < 2; shifted++) {
        for (size_t a = 0; a <= n; a++) {
            if (a < n) {
                const size_t i = frame->active[a];
                if (hop_dense_needs_shift(&frame->rows[i].query, true) != shifted)
                    continue;
                rows[batch] = i;
                frame->batch[batch++] = &frame->rows[i].query;
            }
            if (batch && (batch == HOP_SUBSET_ROWS || a == n)) {
                answer_subset(at, &selection, rows, batch);
                batch = 0;
            }
        }
    }
}

static void answer_windows(const step *at, size_t n)
{
    const hop_frame *frame = at->frame;
    const hop_request *request = frame->request;
    for (size_t a = 0; a < n; a++) {
        const size_t i = frame->active[a];
        const hop_selection selection = hop_selection_window(frame->model->M, request->parameters.width,
                                                             request->first + at->first + i, frame->total);
        frame->batch[0] = &frame->rows[i].query;
        answer_subset(at, &selection, &i, 1);
    }
}

/* A row whose scores leave the range of f64: the mean of the values, where that has a bound. */
static hop_status answer_unusable(const step *at, size_t i, hop_error *error)
{
    const hop_request *request = at->frame->request;
    hop_row *row = &at->frame->rows[i];
    const size_t number = at->first + i;
    if (hop_mode_against(request->mode) == HOP_AGAINST_NOTHING || (request->want & HOP_WANT_SCORES))
        return hop_fail_at(error, HOP_E_UNMET, (int64_t)number, -1, "row %zu: the scores leave the range of f64",
                           number);
    row->log_sum = 0;
    row->log_error = (double)INFINITY;
    row->bound = hop_certificate_fallback(&at->frame->model->value, row->z);
    row->met = row->bound <= request->max_error;
    return HOP_OK;
}

hop_status hop_structured_answer(hop_frame *frame, size_t first, size_t n, const hop_answer *answer, hop_error *error)
{
    if (frame->request->mode == HOP_LINEAR || frame->request->mode == HOP_RANDOM_FEATURES)
        return hop_phi_answer(frame, first, n, answer, error);
    step at = {.frame = frame, .first = first, .answer = answer};
    lay_out(frame->model, frame->structured_workspace, &at.w);
    at.capacity = hop_sieve_room(frame->model, at.w.sieve, &at.room);
    for (size_t a = 0; a < n; a++) {
        hop_row *row = &frame->rows[frame->active[a]];
        row->degree = 0;
        row->fallback = HOP_FALLBACK_NONE;
        hop_status status = row->query.usable ? HOP_OK : answer_unusable(&at, frame->active[a], error);
        if (status != HOP_OK)
            return status;
    }
    switch (frame->request->mode) {
    case HOP_TOP_K:
    case HOP_SPARSEMAX:
    case HOP_ENTMAX:
        answer_by_scores(&at, n);
        return HOP_OK;
    case HOP_RANDOM_MASK:
        answer_mask(&at, n);
        return HOP_OK;
    case HOP_WINDOW:
        answer_windows(&at, n);
        return HOP_OK;
    default:
        return hop_fail(error, HOP_E_UNKNOWN, "mode %s is not available", hop_mode_word(frame->request->mode));
    }
}
