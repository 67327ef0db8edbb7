/*
 * api_retrieve.c - asking a set: retrieve, energy and plan. Decode, fill in the set's defaults, refuse what is over a
 * limit, hand the work to a worker, run it in pieces, encode.
 *
 * The version that was current when the request was decoded answers it, whatever happens to the name meanwhile: the
 * query holds one reference until the request is over.
 */
#include "core/checked.h"
#include "core/status.h"
#include "server/api_answer.h"
#include "server/api_sets.h"
#include "server/args.h"
#include "server/config.h"
#include "server/metrics.h"
#include "server/refuse.h"
#include "server/route.h"
#include "store/phi_cache.h"
#include "store/registry.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Rows of one piece: enough to share a pass over the memories, few enough to notice soon that nobody waits. */
    PIECE_ROWS_MAX = 512,
    PIECE_ROWS_MIN = 8,
    BLOCK_ALIGN = 64
};

/* A piece is predicted to take no longer than this, unless it has PIECE_ROWS_MIN rows. */
#define PIECE_SECONDS 0.05

/*
 * Dense passes are shared with idle workers where a request is predicted to take longer than this, or where it may
 * still turn out to be much longer.
 */
#define SHARED_SECONDS 1e-3
#define SHARED_WORST_SECONDS 20e-3

/* A number of a JSON answer. */
#define WRITE_SECONDS 5e-8

/* A request that could take longer than this is queued, whatever is predicted. */
#define INLINE_WORST_SECONDS 2e-3

/* Making sums that is predicted to take longer than this never holds all workers. */
#define LONG_SUMS_SECONDS 0.1

/* A plan of one row is taken to cost this much; it depends on the number of degrees, hardly on M. */
#define PLAN_SECONDS 5e-6

/* What a decoded request keeps until it is over. */
typedef struct asked {
    srv_query query;
    srv_retrieve_args args;
    bool decoded; /* args are */
    store_budget *budget;
    size_t charged_bytes; /* of it, for the queries */
    store_phi *phi;       /* the sums of linear and random_features; NULL: not needed, or not there yet */
    bool npy;             /* Z alone */
} asked;

static void asked_free(void *state)
{
    asked *self = state;
    if (self->charged_bytes)
        store_budget_release_for(self->budget, STORE_FOR_REQUESTS, self->charged_bytes);
    if (self->decoded)
        srv_retrieve_args_fini(&self->args);
    store_phi_release(self->phi);
    store_set_release(self->query.set);
    free(self);
}

/* ---- before the work ----------------------------------------------------------------------------------- */

/* The modes that answer from sums over the memories. */
static bool needs_sums(const srv_query *query)
{
    return query->request.mode == HOP_LINEAR || query->request.mode == HOP_RANDOM_FEATURES;
}

/* ceil(sqrt(M)). M is far below 2^53: the root is off by one at most. */
static size_t default_width(size_t M)
{
    size_t width = (size_t)sqrt((double)M);
    while (width * width < M)
        width++;
    while (width > 1 && (width - 1) * (width - 1) >= M)
        width--;
    return width;
}

/* Parameters whose defaults depend on the set: from here on the request says what is done, and so does the answer. */
static void fill_parameters(const store_set *set, hop_request *request)
{
    hop_parameters *parameters = &request->parameters;
    if (request->mode == HOP_WINDOW && parameters->width == SIZE_MAX)
        parameters->width = default_width(set->M);
    if (request->mode == HOP_RANDOM_FEATURES)
        parameters->features = hop_phi_features(set->model, request->mode, parameters);
}

/*
 * Defaults that depend on the set. For energies max_error is in the energy's unit, 1e-3 of which is 1e-3 / beta. A
 * structured mode is constrained by max_error only where the request says so.
 */
static void fill_defaults(asked *self, srv_retrieve_kind kind)
{
    hop_request *request = &self->args.request;
    const store_set *set = self->query.set;
    if (!self->args.beta_given)
        request->beta = set->beta;
    if (!self->args.max_error_given)
        request->max_error = kind == SRV_ENERGY                  ? 1e-3 / request->beta
                             : request->mode > HOP_ALMOST_LINEAR ? (double)INFINITY
                                                                 : set->max_error;
    fill_parameters(set, request);
    if (self->npy)
        request->want = 0; /* Z alone is sent: nothing else is worth computing, or holding in memory */
    if (!(request->want & HOP_WANT_TOP))
        request->top = 0;
    else if (request->top > set->M)
        request->top = set->M;
    self->query.request = *request;
    self->query.L = self->args.L;
    self->query.x = self->args.x;
}

static hop_status check_limits(const srv_config *config, const asked *self, srv_retrieve_kind kind, hop_error *error)
{
    const srv_query *query = &self->query;
    size_t weights;
    if ((query->request.want & HOP_WANT_WEIGHTS) &&
        (!hop_mul_size(query->L, query->set->M, &weights) || weights > SRV_LIMIT_WEIGHTS))
        return srv_refuse_limit(error, HOP_E_LIMIT, -1, -1, SRV_LIMIT_WEIGHTS, (double)query->L * (double)query->set->M,
                                "weights of %zu queries against %zu memories: at most %d numbers are returned",
                                query->L, query->set->M, SRV_LIMIT_WEIGHTS);
    size_t bytes = kind == SRV_PLAN     ? srv_answer_plan_bytes(query)
                   : kind == SRV_ENERGY ? srv_answer_energy_bytes(query)
                   : self->npy          ? srv_answer_npy_bytes(query)
                                        : srv_answer_json_bytes(query);
    if (bytes > config->response_limit_bytes)
        return srv_refuse_limit(error, HOP_E_LIMIT, -1, -1, (double)config->response_limit_bytes, (double)bytes,
                                "the answer to %zu queries may take %zu bytes, the limit of a response is %" PRIu64
                                ": send fewer queries%s",
                                query->L, bytes, config->response_limit_bytes,
                                kind == SRV_RETRIEVE && !self->npy ? ", or ask for application/x-npy" : "");
    return HOP_OK;
}

/* The queries count against the memory budget while they wait: too many of them at once are an overload. */
static hop_status charge_queries(asked *self, store_budget *budget, hop_error *error)
{
    size_t bytes = self->args.L * self->query.set->d * sizeof *self->args.x; /* it is in memory */
    hop_status status = store_budget_charge_for(budget, STORE_FOR_REQUESTS, bytes, "the queries", error);
    if (status == HOP_OK) {
        self->budget = budget;
        self->charged_bytes = bytes;
    }
    return status;
}

/* Everything up to the work. NULL: the request has been answered. */
static asked *decode(srv_request *request, srv_retrieve_kind kind, bool npy)
{
    const srv_config *config = request->app->config;
    store_budget *budget = request->app->budget;
    hop_error error = HOP_ERROR_NONE;
    asked *self = calloc(1, sizeof *self);
    if (!self) {
        hop_fail(&error, HOP_E_NOMEM, "out of memory");
        srv_reply_error(request, &error);
        return NULL;
    }
    self->npy = npy;
    srv_request_set_state(request, self, asked_free);
    hop_status status = store_registry_get(request->app->registry, request->name, &self->query.set, &error);
    if (status == HOP_OK) {
        const srv_args_limits limits = {.rows = config->max_batch,
                                        .columns = SRV_LIMIT_DIMENSION,
                                        .array_bytes = store_budget_limit(budget) - store_budget_reserved(budget)};
        const srv_args_source source = srv_args_source_of(request);
        status = srv_retrieve_args_read(&source, kind, self->query.set->d, &limits, &self->args, &error);
    }
    if (status == HOP_OK) {
        self->decoded = true;
        status = charge_queries(self, budget, &error);
    }
    if (status == HOP_OK) {
        srv_request_body_free(request);
        fill_defaults(self, kind);
        if (needs_sums(&self->query))
            self->phi = store_phi_cache_find(request->app->phi_cache, self->query.set, &self->query.request);
        status = check_limits(config, self, kind, &error);
    }
    if (status == HOP_E_BUDGET) {
        srv_metrics_rejected(request->app->metrics, SRV_REJECTED_MEMORY);
        srv_reply_error_as(request, SRV_OVERLOAD, &error);
        return NULL;
    }
    if (status != HOP_OK) {
        srv_reply_error(request, &error);
        return NULL;
    }
    return self;
}

/* ---- the work ------------------------------------------------------------------------------------------ */

/* Carve the next array out of a block; with a NULL base only its size is added. */
static void *carve(char *base, size_t *used, size_t rows, size_t columns, size_t element)
{
    size_t bytes;
    if (*used == SIZE_MAX || !hop_array_bytes(rows, columns, element, &bytes) || !hop_add_size(*used, bytes, &bytes) ||
        bytes > SIZE_MAX - BLOCK_ALIGN) {
        *used = SIZE_MAX;
        return NULL;
    }
    void *array = base ? base + *used : NULL;
    *used = hop_round_up(bytes, BLOCK_ALIGN);
    return array;
}

/* Arrays of a whole answer in the block from *used on: those that this kind of question and `want` need. */
static void lay_out(const srv_query *query, srv_retrieve_kind kind, char *base, size_t *used, hop_answer *answer)
{
    size_t L = query->L, one = 1;
    bool structured = srv_query_structured(query);
    unsigned want = kind == SRV_RETRIEVE ? query->request.want : HOP_WANT_ENERGY | HOP_WANT_LOG_SUM_EXP;
    *answer = (hop_answer){0};
    if (kind == SRV_RETRIEVE) {
        answer->z = carve(base, used, L, query->set->p, sizeof *answer->z);
        answer->error_bound = carve(base, used, L, one, sizeof *answer->error_bound);
    }
    answer->degree = carve(base, used, L, one, sizeof *answer->degree);
    answer->fallback = carve(base, used, L, one, sizeof *answer->fallback);
    if (want & HOP_WANT_ENERGY) {
        answer->energy = carve(base, used, L, one, sizeof *answer->energy);
        answer->energy_bound = carve(base, used, L, one, sizeof *answer->energy_bound);
    }
    if (want & HOP_WANT_LOG_SUM_EXP) {
        answer->log_sum_exp = carve(base, used, L, one, sizeof *answer->log_sum_exp);
        answer->log_sum_exp_bound = carve(base, used, L, one, sizeof *answer->log_sum_exp_bound);
    }
    if (want & HOP_WANT_TOP) {
        answer->top_id = carve(base, used, L, query->request.top, sizeof *answer->top_id);
        answer->top_weight = carve(base, used, L, query->request.top, sizeof *answer->top_weight);
        if (structured)
            answer->top_count = carve(base, used, L, one, sizeof *answer->top_count);
    }
    if (want & HOP_WANT_SUPPORT)
        answer->support = carve(base, used, L, one, sizeof *answer->support);
    if (want & HOP_WANT_WEIGHTS)
        answer->weights = carve(base, used, L, query->set->M, sizeof *answer->weights);
    if (want & HOP_WANT_STEPS)
        answer->steps = carve(base, used, L, one, sizeof *answer->steps);
    if (query->request.mode == HOP_RANDOM_FEATURES)
        answer->standard_error = carve(base, used, L, one, sizeof *answer->standard_error);
}

/* The same arrays from row `first` on. */
static hop_answer answer_from(const srv_query *query, const hop_answer *answer, size_t first)
{
#define FROM(member, columns) .member = answer->member ? answer->member + first * (columns) : NULL
    return (hop_answer){
        FROM(z, query->set->p),
        FROM(error_bound, 1),
        FROM(degree, 1),
        FROM(fallback, 1),
        FROM(energy, 1),
        FROM(energy_bound, 1),
        FROM(log_sum_exp, 1),
        FROM(log_sum_exp_bound, 1),
        FROM(top_id, query->request.top),
        FROM(top_weight, query->request.top),
        FROM(support, 1),
        FROM(weights, query->set->M),
        FROM(steps, 1),
        FROM(top_count, 1),
        FROM(standard_error, 1),
    };
#undef FROM
}

/* An error of a piece that began at row `first`, as one of the whole batch: in its members and in its sentence. */
static void shift_row(hop_error *error, size_t first)
{
    if (error->row < 0 || first == 0)
        return;
    char local[32], text[HOP_ERROR_TEXT_BYTES];
    int length = snprintf(local, sizeof local, "row %" PRId64, error->row);
    error->row += (int64_t)first;
    const char *at = strstr(error->text, local);
    if (!at)
        return;
    int written = snprintf(text, sizeof text, "%.*srow %" PRId64 "%s", (int)(at - error->text), error->text, error->row,
                           at + length);
    if (written > 0)
        memcpy(error->text, text, sizeof text);
}

/* False: the request has been answered, because nobody waits any more, or not any longer. `begun`: some time passed. */
static bool still_wanted(srv_request *request, size_t done, size_t L, bool begun)
{
    switch (begun ? srv_request_expired(request) : SRV_NO_OUTCOME) {
    case SRV_CLIENT_GONE:
        srv_metrics_rejected(request->app->metrics, SRV_REJECTED_CLIENT_GONE);
        srv_reply_empty(request, SRV_CLIENT_GONE);
        return false;
    case SRV_DEADLINE:
        srv_metrics_rejected(request->app->metrics, SRV_REJECTED_DEADLINE);
        srv_reply_problem(request, SRV_DEADLINE, "the deadline passed after %zu of %zu rows", done, L);
        return false;
    default:
        return true;
    }
}

static void out_of_memory(srv_request *request, size_t bytes)
{
    hop_error error = HOP_ERROR_NONE;
    hop_fail(&error, HOP_E_NOMEM, "out of memory for an answer that needs %zu bytes of workspace", bytes);
    srv_reply_error(request, &error);
}

static size_t piece_rows(const srv_query *query)
{
    double seconds = hop_predict_seconds(query->set->model, &query->request, query->L, query->x);
    double fit = PIECE_SECONDS / seconds * (double)query->L;
    size_t rows = fit > PIECE_ROWS_MAX ? PIECE_ROWS_MAX : fit < PIECE_ROWS_MIN ? PIECE_ROWS_MIN : (size_t)fit;
    return query->L < rows ? query->L : rows;
}

/* The request as the core gets it, with whoever may help. Answers do not depend on who does. */
static hop_request shared(const srv_request *request, const srv_query *query)
{
    hop_request out = query->request;
    const hop_model *model = query->set->model;
    if (hop_predict_seconds(model, &out, query->L, query->x) > SHARED_SECONDS ||
        hop_worst_seconds(model, &out, query->L) > SHARED_WORST_SECONDS)
        out.executor = srv_scheduler_query_executor(request->app->scheduler);
    return out;
}

/* Workspace of one piece of that many rows, where the arrays begin; SIZE_MAX: the sizes overflow. */
static size_t scratch_bytes(const srv_query *query, size_t rows)
{
    size_t bytes = hop_retrieve_workspace_bytes(query->set->model, rows);
    return bytes == 0 || bytes > SIZE_MAX - BLOCK_ALIGN ? SIZE_MAX : hop_round_up(bytes, BLOCK_ALIGN);
}

/* A block of the worker's; NULL: the request has been answered. */
static char *reserve(srv_request *request, srv_workspace *workspace, size_t bytes)
{
    char *block = bytes == SIZE_MAX ? NULL : srv_workspace_reserve(workspace, bytes);
    if (!block)
        out_of_memory(request, bytes);
    return block;
}

static void count(srv_request *request, const srv_query *query, const hop_answer *answer)
{
    uint64_t dense = 0, fallbacks[HOP_FALLBACK_RETURN + 1] = {0};
    for (size_t l = 0; l < query->L; l++) {
        dense += answer->degree[l] == 0;
        fallbacks[answer->fallback[l]]++;
    }
    srv_metrics *metrics = request->app->metrics;
    if (srv_query_structured(query)) {
        srv_metrics_queries(metrics, query->request.mode, query->L);
        return;
    }
    srv_metrics_queries(metrics, HOP_DENSE, dense);
    srv_metrics_queries(metrics, HOP_ALMOST_LINEAR, query->L - dense);
    for (hop_fallback reason = HOP_FALLBACK_BOUND; reason <= HOP_FALLBACK_RETURN; reason++)
        srv_metrics_fallbacks(metrics, reason, fallbacks[reason]);
}

static bool nobody_waits(void *context)
{
    return srv_request_expired(context) != SRV_NO_OUTCOME;
}

/* May this worker be busy with sums for that long? False: the request has been answered. leave_sums() ends it. */
static bool enter_sums(srv_request *request, double seconds)
{
    srv_app *app = request->app;
    unsigned most = app->config->workers > 1 ? (unsigned)app->config->workers - 1 : 1;
    if (seconds <= LONG_SUMS_SECONDS || atomic_fetch_add(&app->sums_at_work, 1) < most)
        return true;
    atomic_fetch_sub(&app->sums_at_work, 1);
    srv_metrics_rejected(app->metrics, SRV_REJECTED_QUEUE_FULL);
    srv_reply_problem(request, SRV_QUEUE_FULL,
                      "sums over the memories, predicted to take %.3g s, are not made while %u others are: one worker "
                      "is kept for other requests; try again",
                      seconds, most);
    return false;
}

static void leave_sums(srv_app *app, double seconds)
{
    if (seconds > LONG_SUMS_SECONDS)
        atomic_fetch_sub(&app->sums_at_work, 1);
}

/* The sums that the mode answers from, made now where they are not there. False: the request has been answered. */
static bool get_sums(srv_request *request, asked *self)
{
    srv_query *query = &self->query;
    if (!needs_sums(query))
        return true;
    if (!self->phi) {
        hop_error error = HOP_ERROR_NONE;
        double seconds = hop_phi_sums_build_seconds(query->set->model, query->request.mode, &query->request.parameters);
        if (!enter_sums(request, seconds))
            return false;
        uint64_t began_ns = srv_clock_ns();
        hop_status status = store_phi_cache_get(request->app->phi_cache, query->set, &query->request,
                                                srv_scheduler_query_executor(request->app->scheduler), nobody_waits,
                                                request, &self->phi, &error);
        query->sums_ms = (double)(srv_clock_ns() - began_ns) * 1e-6;
        leave_sums(request->app, seconds);
        if (status == HOP_E_CANCELLED && !still_wanted(request, 0, query->L, true))
            return false;
        if (status == HOP_E_BUDGET)
            srv_metrics_rejected(request->app->metrics, SRV_REJECTED_MEMORY);
        if (status != HOP_OK) {
            srv_reply_error(request, &error);
            return false;
        }
    }
    query->request.sums = store_phi_sums(self->phi);
    return still_wanted(request, 0, query->L, query->sums_ms > 0);
}

/*
 * The answer to a request whose rows came out as `status` says. A set whose file was changed while it was mapped has
 * no answers, nor errors, that mean anything. True: all is well, and nothing has been answered.
 */
static bool trusted(srv_request *request, const store_set *set, hop_status status, const hop_error *error)
{
    hop_error changed = HOP_ERROR_NONE;
    if (store_set_check(set, &changed) != HOP_OK)
        srv_reply_error(request, &changed);
    else if (status != HOP_OK)
        srv_reply_error(request, error);
    else
        return true;
    return false;
}

/* All rows through hop_retrieve() or hop_energy(), piece by piece. False: the request has been answered. */
static bool compute(srv_request *request, asked *self, srv_retrieve_kind kind, srv_workspace *workspace,
                    hop_answer *answer)
{
    const srv_query *query = &self->query;
    if (!get_sums(request, self))
        return false;
    size_t piece_max = piece_rows(query), scratch = scratch_bytes(query, piece_max), used = scratch;
    lay_out(query, kind, NULL, &used, answer);
    char *block = reserve(request, workspace, used);
    if (!block)
        return false;
    used = scratch;
    lay_out(query, kind, block, &used, answer);
    hop_request with_help = shared(request, query);
    with_help.total = query->L;
    for (size_t first = 0; first < query->L; first += piece_max) {
        size_t rows = query->L - first < piece_max ? query->L - first : piece_max;
        hop_answer piece = answer_from(query, answer, first);
        hop_error error = HOP_ERROR_NONE;
        if (!still_wanted(request, first, query->L, first > 0))
            return false;
        with_help.first = first;
        hop_status status = (kind == SRV_ENERGY ? hop_energy : hop_retrieve)(
            query->set->model, &with_help, rows, query->x + first * query->set->d, block, scratch, &piece, &error);
        if (status != HOP_OK)
            shift_row(&error, first);
        if (!trusted(request, query->set, status, &error))
            return false;
    }
    request->computed_ns = srv_clock_ns();
    count(request, query, answer);
    return true;
}

static void run_retrieve(srv_request *request, srv_workspace *workspace)
{
    asked *self = request->state;
    const srv_query *query = &self->query;
    hop_answer answer;
    if (!compute(request, self, SRV_RETRIEVE, workspace, &answer))
        return;
    srv_text text;
    srv_text_init(&text, request->app->config->response_limit_bytes);
    if (!self->npy) {
        srv_answer_write_json(request, query, &answer, &text);
        srv_reply_json(request, SRV_OK, &text);
        return;
    }
    char bound[SRV_BOUND_TEXT_BYTES];
    srv_reply_header_add(request, "Hopfield-Mode", "%s", srv_answer_mode_word(query, &answer));
    if (srv_answer_bound_max(query, &answer, bound))
        srv_reply_header_add(request, "Hopfield-Error-Bound-Max", "%s", bound);
    srv_reply_header_add(request, "Hopfield-Version", "%" PRIu64, query->set->version);
    if (srv_answer_write_npy(query, &answer, &text)) {
        srv_reply_text(request, SRV_OK, "application/x-npy", &text);
    } else {
        out_of_memory(request, srv_answer_npy_bytes(query));
        srv_text_fini(&text);
    }
}

static void run_energy(srv_request *request, srv_workspace *workspace)
{
    asked *self = request->state;
    hop_answer answer;
    if (!compute(request, self, SRV_ENERGY, workspace, &answer))
        return;
    srv_text text;
    srv_text_init(&text, request->app->config->response_limit_bytes);
    srv_answer_write_energy(request, &self->query, &answer, &text);
    srv_reply_json(request, SRV_OK, &text);
}

static void run_plan(srv_request *request, srv_workspace *workspace)
{
    const asked *self = request->state;
    const srv_query *query = &self->query;
    size_t piece_max = piece_rows(query), scratch = scratch_bytes(query, piece_max), used = scratch;
    carve(NULL, &used, query->L, 1, sizeof(hop_plan));
    char *block = reserve(request, workspace, used);
    if (!block)
        return;
    hop_plan *plans = (hop_plan *)(void *)(block + scratch);
    for (size_t first = 0; first < query->L; first += piece_max) {
        size_t rows = query->L - first < piece_max ? query->L - first : piece_max;
        hop_error error = HOP_ERROR_NONE;
        if (!still_wanted(request, first, query->L, first > 0))
            return;
        hop_status status = hop_plan_queries(query->set->model, &query->request, rows, query->x + first * query->set->d,
                                             block, scratch, plans + first, &error);
        if (status != HOP_OK)
            shift_row(&error, first);
        if (!trusted(request, query->set, status, &error))
            return;
    }
    srv_text text;
    srv_text_init(&text, request->app->config->response_limit_bytes);
    srv_answer_write_plans(query, plans, &text);
    srv_reply_json(request, SRV_OK, &text);
}

/* Predicted seconds for admission. What may turn out much longer, or has much to write, never runs on an I/O thread. */
static double cost(const asked *self, srv_retrieve_kind kind)
{
    const srv_query *query = &self->query;
    double numbers = kind == SRV_RETRIEVE && !self->npy ? (double)query->L * (double)query->set->p : 0;
    if (query->request.want & HOP_WANT_WEIGHTS)
        numbers += (double)query->L * (double)query->set->M;
    double seconds =
        hop_predict_seconds(query->set->model, &query->request, query->L, query->x) + numbers * WRITE_SECONDS;
    if (needs_sums(query) && !self->phi) /* never made on an I/O thread: others may wait for them */
        seconds += SRV_INLINE_SECONDS +
                   hop_phi_sums_build_seconds(query->set->model, query->request.mode, &query->request.parameters);
    bool uncertain = hop_worst_seconds(query->set->model, &query->request, query->L) > INLINE_WORST_SECONDS;
    return uncertain && seconds < SRV_INLINE_SECONDS ? SRV_INLINE_SECONDS : seconds;
}

/* ---- handlers ------------------------------------------------------------------------------------------ */

void srv_api_retrieve(srv_request *request)
{
    static const char *const offered[] = {"application/json", "application/x-npy"};
    int accepted = srv_request_accepts(request, offered, sizeof offered / sizeof *offered);
    if (accepted < 0) {
        srv_reply_problem(request, SRV_NOT_ACCEPTABLE,
                          "answers are application/json or application/x-npy, and Accept takes neither");
        return;
    }
    asked *self = decode(request, SRV_RETRIEVE, accepted == 1);
    if (self)
        srv_request_defer(request, cost(self, SRV_RETRIEVE), run_retrieve);
}

void srv_api_energy(srv_request *request)
{
    asked *self = srv_accepts_json(request) ? decode(request, SRV_ENERGY, false) : NULL;
    if (self)
        srv_request_defer(request, cost(self, SRV_ENERGY), run_energy);
}

void srv_api_plan(srv_request *request)
{
    asked *self = srv_accepts_json(request) ? decode(request, SRV_PLAN, false) : NULL;
    if (self)
        srv_request_defer(request, PLAN_SECONDS * (double)self->query.L, run_plan);
}
