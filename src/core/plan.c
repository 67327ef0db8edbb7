/*
 * plan.c - predicted seconds and bounds of the candidates, and the choice between them.
 */
#include "core/plan.h"

#include <math.h>

#include "core/costs.h"
#include "core/kernels.h"
#include "core/dense.h"
#include "core/rounding.h"
#include "core/structured.h"

static const char *const words[] = {
    [HOP_REASON_CHOSEN] = "chosen",         [HOP_REASON_BOUND] = "bound",   [HOP_REASON_COST] = "cost",
    [HOP_REASON_RADIUS] = "radius",         [HOP_REASON_RETURN] = "return", [HOP_REASON_NO_MAPS] = "no_maps",
    [HOP_REASON_MAX_DEGREE] = "max_degree",
};

const char *hop_reason_word(hop_reason reason)
{
    return words[reason];
}

static double seconds_of(hop_work work)
{
    hop_costs costs;
    hop_costs_get(&costs);
    return hop_work_seconds(&work, &costs);
}

double hop_plan_dense_seconds(const hop_model *model, size_t rows, bool f64, bool shifted)
{
    return seconds_of(hop_work_dense(model, rows, f64, shifted));
}

double hop_plan_al_seconds(const hop_model *model, unsigned g, size_t rows, bool f32)
{
    return seconds_of(hop_work_almost_linear(model, g, rows, f32));
}

hop_plan_caps hop_plan_degree_caps(const hop_model *model, unsigned g_max, size_t rows)
{
    hop_plan_caps caps = {{{g_max, g_max}, {g_max, g_max}}};
    for (int f64 = 0; f64 < 2; f64++) {
        double dense = hop_plan_dense_seconds(model, rows, f64, false);
        for (int f32 = 0; f32 < 2; f32++) {
            unsigned g = g_max;
            while (g > 0 && !(hop_plan_al_seconds(model, g, rows, f32) < dense))
                g--;
            caps.degree[f64][f32] = g;
            if (g == g_max && !f64 && !f32)
                return caps; /* the others are no lower: dense would cost more, or the sweeps less */
        }
    }
    return caps;
}

/* 24 bits of the costs' version, 20 of rows, which are not 0, then the caps, 5 each. */
hop_plan_caps hop_plan_caps_of(const hop_model *model, size_t rows)
{
    hop_features *features = atomic_load_explicit(&model->features, memory_order_acquire);
    enum { ROW_BITS = 20, CAP_BITS = 5, CAPS = 4, ALL_BITS = CAPS * CAP_BITS };
    _Static_assert(HOP_DEGREE_MAX < 1 << CAP_BITS, "a degree has so many bits");
    const uint64_t key = (uint64_t)hop_costs_version() << (ROW_BITS + ALL_BITS) | (uint64_t)rows << ALL_BITS;
    uint64_t kept = atomic_load_explicit(&features->caps, memory_order_relaxed);
    hop_plan_caps caps;
    if (rows == 0 || rows >> ROW_BITS)
        return hop_plan_degree_caps(model, features->g_max, rows);
    if (kept >> ALL_BITS == key >> ALL_BITS) {
        for (unsigned i = 0; i < CAPS; i++)
            caps.degree[i / 2][i % 2] = (unsigned)(kept >> i * CAP_BITS) & ((1u << CAP_BITS) - 1);
        return caps;
    }
    caps = hop_plan_degree_caps(model, features->g_max, rows);
    kept = key;
    for (unsigned i = 0; i < CAPS; i++)
        kept |= (uint64_t)caps.degree[i / 2][i % 2] << i * CAP_BITS;
    atomic_store_explicit(&features->caps, kept, memory_order_relaxed);
    return caps;
}

unsigned hop_plan_degree_cap(const hop_model *model, unsigned g_max)
{
    return hop_plan_degree_caps(model, g_max, HOP_LANES).degree[0][1];
}

void hop_plan_cap_row(const hop_plan_caps *caps, const hop_model *model, const hop_features *features, bool dense_f64,
                      hop_al_row *row)
{
    const unsigned *degree = caps->degree[dense_f64];
    if (!(row->query->T_abs <= HOP_PLAN_RADIUS_MAX)) {
        row->degree_cap = 0;
        return;
    }
    row->degree_cap = degree[1];
    if (degree[0] < degree[1] && !hop_al_f32_will_do(model, features, row))
        row->degree_cap = degree[0];
}

/* What a dense pass would promise for certain; a sharp one may promise more once it is made. */
static double dense_bound(const hop_model *model, const hop_query *query, bool f64)
{
    hop_error_terms terms;
    double log_error;
    if (!query->usable || (!f64 && !hop_dense_f32_possible(query)))
        return model->value.range;
    hop_dense_terms(model, query, f64, NULL, &terms, &log_error);
    double bound = terms.osc * model->value.range + (terms.weight + terms.quotient) * model->value.widest;
    return hop_min(bound, model->value.range);
}

bool hop_plan_dense_f64(const hop_model *model, const hop_query *query, double max_error)
{
    return !(dense_bound(model, query, false) <= max_error);
}

/* ---- the choice -------------------------------------------------------------------------------------- */

typedef struct chooser {
    const hop_model *model;
    const hop_query *query;
    double max_error;
    size_t rows;
    hop_plan *plan;
} chooser;

static hop_candidate *add(chooser *c, int degree, bool f64, double seconds, double bound)
{
    hop_candidate *candidate = &c->plan->candidates[c->plan->n++];
    *candidate = (hop_candidate){.degree = degree,
                                 .f64 = f64,
                                 .predicted_seconds = seconds,
                                 .predicted_bound = isfinite(bound) ? bound : (double)INFINITY,
                                 .meets = bound <= c->max_error};
    candidate->reason = candidate->meets ? HOP_REASON_COST : HOP_REASON_BOUND;
    return candidate;
}

/* Dense in f32, and in f64 where f32 misses. Returns what auto would run. */
static hop_candidate *add_dense(chooser *c)
{
    hop_candidate *dense = NULL;
    for (int f64 = 0; f64 < 2 && !(dense && dense->meets); f64++) {
        double seconds = hop_plan_dense_seconds(c->model, c->rows, f64, hop_dense_needs_shift(c->query, f64));
        dense = add(c, 0, f64, seconds, dense_bound(c->model, c->query, f64));
    }
    return dense;
}

/* Whether the sweeps would run in f32, by the maps or, where there are none, by a rule of thumb. */
static bool sweeps_f32(const chooser *c, const hop_features *features, bool dense_f64)
{
    float z;
    hop_al_row row = {.query = c->query, .z = &z, .max_error = c->max_error};
    if (!features)
        return c->max_error >= 1e-5 * c->model->value.widest;
    hop_plan_caps caps = hop_plan_degree_caps(c->model, features->g_max, c->rows);
    hop_plan_cap_row(&caps, c->model, features, dense_f64, &row);
    return hop_al_f32_will_do(c->model, features, &row);
}

/*
 * Degrees of the maps, and above them up to the first that would be the choice. Returns the cheapest degree of the
 * maps that is expected to meet for less than `dense`, or that; *any: one is expected to meet.
 */
static hop_candidate *add_degrees(chooser *c, const hop_features *features, double sigma, hop_candidate *dense,
                                  bool *any)
{
    const hop_query *query = c->query;
    unsigned g_max = features ? features->g_max : 0;
    bool f32 = sweeps_f32(c, features, dense->f64), beyond = false;
    double h[HOP_DEGREE_MAX], widest = c->model->value.widest;
    hop_candidate *best = dense;
    hop_certificate_h(HOP_PLAN_DEGREE_MAX, hop_max(query->T, 0), h);
    for (unsigned g = 1; g <= HOP_PLAN_DEGREE_MAX && !beyond; g++) {
        double seconds = hop_plan_al_seconds(c->model, g, c->rows, f32);
        if (g > g_max && (!(seconds < dense->predicted_seconds) || best->degree > 0))
            break;
        double bound = query->usable ? widest * hop_al_predict(g, sigma, query->T_abs, h[g]) : (double)INFINITY;
        if (query->usable && g <= g_max)
            bound *= hop_al_lean(c->model, features, query, g, h[g]);
        hop_candidate *at = add(c, (int)g, !f32, seconds, bound);
        beyond = g > g_max && at->meets;
        if (beyond)
            at->reason = g_max ? HOP_REASON_MAX_DEGREE : HOP_REASON_NO_MAPS;
        else if (at->meets && seconds < best->predicted_seconds)
            best = at;
        *any = *any || (at->meets && !beyond);
    }
    return best;
}

void hop_plan_choose(const hop_model *model, const hop_features *features, const hop_request *request, size_t rows,
                     const hop_query *query, double sigma, hop_plan *out)
{
    hop_plan plan = {.radius = query->T_abs};
    chooser c = {.model = model, .query = query, .max_error = request->max_error, .rows = rows, .plan = &plan};
    bool any = false, scores = request->want & HOP_WANT_SCORES, near = query->T_abs <= HOP_PLAN_RADIUS_MAX;
    if (!features)
        sigma = query->T_abs / sqrt((double)model->d);
    hop_candidate *dense = add_dense(&c), *best = add_degrees(&c, features, sigma, dense, &any);
    if (scores || !near) {
        best = dense;
        for (hop_candidate *at = dense + 1; at < plan.candidates + plan.n; at++)
            at->reason = scores ? HOP_REASON_RETURN : HOP_REASON_RADIUS;
    }
    best->reason = HOP_REASON_CHOSEN;
    plan.mode = best->degree ? HOP_ALMOST_LINEAR : HOP_DENSE;
    plan.degree = best->degree;
    plan.predicted_seconds = best->predicted_seconds;
    if (best == dense && scores)
        plan.fallback = HOP_FALLBACK_RETURN;
    else if (best == dense && !features)
        plan.fallback = HOP_FALLBACK_BUILDING;
    else if (best == dense)
        plan.fallback = any && near ? HOP_FALLBACK_COST : HOP_FALLBACK_BOUND;
    *out = plan;
}

/* ---- for admission ----------------------------------------------------------------------------------- */

static double guess_dense(const hop_model *model, const hop_query *query, double max_error, size_t rows)
{
    bool f64 = hop_plan_dense_f64(model, query, max_error);
    return hop_plan_dense_seconds(model, rows, f64, hop_dense_needs_shift(query, f64));
}

double hop_plan_guess_seconds(const hop_model *model, const hop_features *features, const hop_request *request,
                              size_t rows, const float *x)
{
    double square = 0, h[HOP_DEGREE_MAX];
    for (size_t l = 0; l < model->d; l++)
        square += (double)x[l] * (double)x[l];
    double radius = request->beta * (model->similarity == HOP_DOT ? sqrt(square) : 1) * model->key.radius;
    if (hop_structured_apart(model, request))
        return seconds_of(hop_work_structured(model, request, rows, radius, false));
    hop_query query = {.s = radius, .T = radius, .T_abs = radius, .roundings = 8, .usable = isfinite(radius)};
    double dense = guess_dense(model, &query, request->max_error, rows);
    if (request->want & HOP_WANT_SCORES)
        return dense + seconds_of(hop_work_scores(model, rows));
    bool only = request->mode == HOP_ALMOST_LINEAR;
    if (!features || request->mode == HOP_DENSE || request->mode == HOP_TOP_K)
        return dense;
    bool f32 = request->max_error >= 1e-5 * model->value.widest;
    if (radius < HOP_PLAN_RADIUS_MAX) {
        hop_certificate_h(features->g_max, radius, h);
        for (unsigned g = 1; g <= features->g_max; g++) {
            double seconds = hop_plan_al_seconds(model, g, rows, f32);
            if (!only && seconds >= dense)
                break;
            if (model->value.widest * hop_al_predict(g, radius / sqrt((double)model->d), radius, h[g]) <=
                request->max_error)
                return seconds;
        }
    }
    return only ? hop_plan_al_seconds(model, features->g_max, rows, f32) : dense;
}

double hop_plan_worst_seconds(const hop_model *model, const hop_features *features, const hop_request *request,
                              size_t rows)
{
    double seconds = 0;
    if (hop_structured_apart(model, request))
        return seconds_of(hop_work_structured(model, request, rows, (double)INFINITY, true));
    for (int f64 = 0; f64 < 2 && request->mode != HOP_ALMOST_LINEAR; f64++)
        seconds += hop_plan_dense_seconds(model, rows, f64, true);
    if (request->want & HOP_WANT_SCORES)
        seconds += seconds_of(hop_work_scores(model, rows));
    if (features && request->mode <= HOP_ALMOST_LINEAR && request->mode != HOP_DENSE)
        seconds += 2 * (hop_plan_al_seconds(model, features->g_max, rows, false) +
                        hop_plan_al_seconds(model, features->g_max, rows, true));
    return seconds;
}
