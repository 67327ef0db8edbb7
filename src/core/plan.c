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

/*
 * Each word: 24 bits of the costs' version, 20 of rows, which are not 0, then four codes of 5 bits; so words of two
 * answers are told apart. Codes: the caps, then the spread in thirds of an octave below 1, then the gains.
 */
enum {
    ROW_BITS = 20,
    CODE_BITS = 5,
    CODE_MAX = (1 << CODE_BITS) - 1,
    CAPS = 4,
    A_WORD = 4,
    ALL_BITS = A_WORD * CODE_BITS
};
enum { CODES = CAPS + 1 + 2 * HOP_DEGREE_MAX };
_Static_assert((int)HOP_DEGREE_MAX <= (int)CODE_MAX, "a degree has so many bits");
_Static_assert((int)CODES <= (int)A_WORD * (int)HOP_PLANNED_WORDS, "all codes have room");

/* A spread in thirds of an octave below 1. */
static unsigned spread_code(double spread)
{
    return spread > 0 ? (unsigned)hop_min(-3 * log2(spread) + 0.5, CODE_MAX) : CODE_MAX;
}

static double spread_from(unsigned code)
{
    static const double root[] = {1, 0x1.965fea53d6e3dp-1, 0x1.428a2f98d728bp-1};
    return root[code % 3] / (double)(UINT64_C(1) << code / 3);
}

/* A gain in quarters of an octave, 0 to 31. */
static unsigned gain_code(double gain)
{
    return gain > 1 ? (unsigned)hop_min(4 * log2(gain), CODE_MAX) : 0;
}

static double gain_of(unsigned code)
{
    static const double root[] = {1, 0x1.306fe0a31b715p+0, 0x1.6a09e667f3bcdp+0, 0x1.ae89f995ad3adp+0};
    return root[code % 4] * (double)(UINT64_C(1) << code / 4);
}

/* What a guess of sigma is made of: the keys' root mean square over their radius, all directions alike. */
static double spread_of(const hop_model *model, const hop_features *features)
{
    double square = 0, radius = model->key.radius, d = (double)model->d;
    for (size_t l = 0; l < model->d; l++) {
        size_t twice[] = {l, l};
        square += model->key.scale[l] * model->key.scale[l] * hop_features_moment(features, twice, 2);
    }
    double spread = sqrt(square / d) / radius;
    return spread <= 1 ? spread : 1; /* NaN where all keys agree */
}

/* By precision, dense and sweeps alike. */
static void find_gains(const hop_model *model, size_t rows, hop_plan_caps *caps)
{
    unsigned most = caps->degree[1][1] > caps->degree[0][1] ? caps->degree[1][1] : caps->degree[0][1];
    for (int f64 = 0; f64 < 2; f64++) {
        double dense = hop_plan_dense_seconds(model, rows, f64, false);
        for (unsigned g = 1; g <= most; g++)
            caps->gain[f64][g] = gain_of(gain_code(dense / hop_plan_al_seconds(model, g, rows, !f64)));
    }
}

hop_plan_caps hop_plan_degree_caps(const hop_model *model, unsigned g_max, size_t rows)
{
    hop_plan_caps caps = {.degree = {{g_max, g_max}, {g_max, g_max}}, .spread = 0};
    bool all = false;
    for (int f64 = 0; f64 < 2 && !all; f64++) {
        double dense = hop_plan_dense_seconds(model, rows, f64, false);
        for (int f32 = 0; f32 < 2 && !all; f32++) {
            unsigned g = g_max;
            while (g > 0 && !(hop_plan_al_seconds(model, g, rows, f32) < dense))
                g--;
            caps.degree[f64][f32] = g;
            all = g == g_max && !f64 && !f32; /* the others are no lower: dense would cost more, or the sweeps less */
        }
    }
    find_gains(model, rows, &caps);
    return caps;
}

static bool recall(const hop_features *features, uint64_t key, hop_plan_caps *caps)
{
    unsigned code[A_WORD * HOP_PLANNED_WORDS], most = 0, n = CAPS + 1;
    for (unsigned i = 0; i < n; i++) {
        if (i % A_WORD == 0) {
            uint64_t kept = atomic_load_explicit(&features->planned[i / A_WORD], memory_order_relaxed);
            if (kept >> ALL_BITS != key >> ALL_BITS)
                return false;
            for (unsigned j = 0; j < A_WORD; j++)
                code[i + j] = (unsigned)(kept >> j * CODE_BITS) & CODE_MAX;
        }
        if (i < CAPS) {
            caps->degree[i / 2][i % 2] = code[i];
            most = code[i] > most ? code[i] : most;
            n = CAPS + 1 + 2 * most;
        } else if (i == CAPS) {
            caps->spread = spread_from(code[i]);
        } else {
            caps->gain[(i - CAPS - 1) % 2][(i - CAPS + 1) / 2] = gain_of(code[i]);
        }
    }
    return true;
}

static void remember(hop_features *features, uint64_t key, const hop_plan_caps *caps)
{
    uint64_t word = key;
    for (unsigned i = 0; i < CODES; i++) {
        uint64_t code = i < CAPS    ? caps->degree[i / 2][i % 2]
                        : i == CAPS ? spread_code(caps->spread)
                                    : gain_code(caps->gain[(i - CAPS - 1) % 2][(i - CAPS + 1) / 2] * 1.01);
        word |= code << i % A_WORD * CODE_BITS;
        if (i % A_WORD == A_WORD - 1 || i + 1 == CODES) {
            atomic_store_explicit(&features->planned[i / A_WORD], word, memory_order_relaxed);
            word = key;
        }
    }
}

hop_plan_caps hop_plan_caps_of(const hop_model *model, size_t rows)
{
    hop_features *features = atomic_load_explicit(&model->features, memory_order_acquire);
    const uint64_t key = (uint64_t)hop_costs_version() << (ROW_BITS + ALL_BITS) | (uint64_t)rows << ALL_BITS;
    bool keepable = rows && !(rows >> ROW_BITS);
    hop_plan_caps caps;
    if (keepable && recall(features, key, &caps))
        return caps;
    caps = hop_plan_degree_caps(model, features->g_max, rows);
    caps.spread = spread_from(spread_code(spread_of(model, features)));
    if (keepable)
        remember(features, key, &caps);
    return caps;
}

unsigned hop_plan_degree_cap(const hop_model *model, unsigned g_max)
{
    return hop_plan_degree_caps(model, g_max, HOP_LANES).degree[0][1];
}

/* A look takes no more of a dense pass than this: it is taken whatever is guessed. */
#define LOOK_SHARE 0.1

/* A guess of sigma may be off: a prediction made of it may be above by so much more. */
#define GUESS_MARGIN 1.0

/* The highest degree up to g_max that is worth a look. */
static unsigned likely(const hop_plan_caps *caps, const hop_model *model, bool f64, const hop_al_row *row,
                       unsigned g_max)
{
    const hop_query *query = row->query;
    if (g_max == 0 || caps->gain[f64][1] * LOOK_SHARE >= 1)
        return g_max;
    return hop_al_may_meet(query, query->T_abs * caps->spread, row->z ? model->value.widest : 1, row->max_error, 0,
                           g_max, caps->gain[f64], GUESS_MARGIN);
}

bool hop_plan_worth_a_look(const hop_plan_caps *caps, const hop_model *model, bool may_f64, const hop_al_row *row)
{
    unsigned g_max = caps->degree[0][1];
    if (may_f64 && g_max < caps->degree[1][1])
        g_max = caps->degree[1][1];
    return row->query->T_abs <= HOP_PLAN_RADIUS_MAX && likely(caps, model, may_f64, row, g_max) > 0;
}

void hop_plan_cap_row(const hop_plan_caps *caps, const hop_model *model, const hop_features *features, bool dense_f64,
                      hop_al_row *row)
{
    const unsigned *degree = caps->degree[dense_f64];
    row->gain = caps->gain[dense_f64];
    row->degree_cap = degree[1];
    if (degree[0] < degree[1] && !hop_al_f32_will_do(model, features, row))
        row->degree_cap = degree[0];
    row->degree_cap =
        row->query->T_abs <= HOP_PLAN_RADIUS_MAX ? likely(caps, model, dense_f64, row, row->degree_cap) : 0;
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

/*
 * Whether the sweeps would run in f32, by the maps or, where there are none, by a rule of thumb. row: what auto would
 * try; caps: what it points to.
 */
static bool sweeps_f32(const chooser *c, const hop_features *features, bool dense_f64, hop_plan_caps *caps,
                       hop_al_row *row)
{
    float z;
    *row = (hop_al_row){.query = c->query, .z = &z, .max_error = c->max_error, .degree_cap = HOP_PLAN_DEGREE_MAX};
    if (!features)
        return c->max_error >= 1e-5 * c->model->value.widest;
    *caps = hop_plan_caps_of(c->model, c->rows);
    hop_plan_cap_row(caps, c->model, features, dense_f64, row);
    hop_al_row all = *row;
    all.degree_cap = features->g_max;
    return hop_al_f32_will_do(c->model, features, row->degree_cap ? row : &all);
}

/*
 * Degrees of the maps, and above them up to the first that would be the choice. Returns the cheapest degree of the
 * maps that is expected to meet for less than `dense`, and is worth its time, or that; *any: one is expected to meet.
 */
static hop_candidate *add_degrees(chooser *c, const hop_features *features, double sigma, hop_candidate *dense,
                                  bool *any)
{
    const hop_query *query = c->query;
    unsigned g_max = features ? features->g_max : 0;
    hop_plan_caps caps;
    hop_al_row row;
    bool f32 = sweeps_f32(c, features, dense->f64, &caps, &row), beyond = false;
    double h[HOP_DEGREE_MAX], widest = c->model->value.widest;
    hop_candidate *best = dense;
    unsigned cap = row.degree_cap;
    if (row.gain && cap) /* as almost_linear.c does once it knows sigma */
        cap = hop_al_may_meet(query, sigma, widest, c->max_error, 0, cap, row.gain, 1);
    cap = cap == 0 && row.degree_cap ? 1 : cap; /* that one was looked at before */
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
        else if (at->meets && g <= cap && seconds < best->predicted_seconds)
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
