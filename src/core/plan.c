/*
 * plan.c - the cost model and the choice. Constants were measured on one AVX-512 machine (bench/hopbench) and scale
 * with the vector width; only their ratio matters.
 */
#include "core/plan.h"

#include <math.h>
#include <string.h>

#include "core/almost_linear.h"
#include "core/dense.h"
#include "core/kernels.h"
#include "core/rounding.h"

typedef struct costs {
    const char *isa;
    double madd;        /* f32, one multiply-add of the dense pass */
    double weight;      /* one exp and its share of loads and stores */
    double coefficient; /* one stored moment, HOP_LANES queries at once */
    double monomial;    /* one monomial of theirs, there and back */
    double feature;     /* one multiply-add of a product with A, f64 */
    double query;       /* the fixed part of a row: transform, certificate, answer */
} costs;

static const costs table[] = {
    {"reference", 6e-10, 8e-9, 1e-8, 2e-8, 4e-11, 6e-7},
    {"avx2", 2.2e-11, 4e-10, 8e-10, 6e-9, 4e-11, 3e-7},
    {"avx512", 1.2e-11, 2.3e-10, 6e-10, 5e-9, 3e-11, 3e-7},
};

static const costs *costs_now(void)
{
    const char *isa = hop_kernels_get()->isa;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].isa, isa) == 0)
            return &table[i];
    return &table[0];
}

double hop_plan_dense_seconds(const hop_model *model)
{
    const costs *c = costs_now();
    double pair = c->madd * (double)(model->d + model->columns) + c->weight;
    return (double)model->M * pair + c->query;
}

double hop_plan_al_seconds(const hop_model *model, unsigned g)
{
    const costs *c = costs_now();
    double r = (double)hop_rank(model->d, g);
    double sweep = (c->coefficient * (double)hop_rank(model->d, g + 1) + c->monomial * r) / HOP_LANES;
    double product = model->shared ? 0 : c->feature * r * (double)model->p;
    return sweep + product + c->query * (1 + 0.2 * g) + (double)model->p * 4e-9;
}

unsigned hop_plan_degree_cap(const hop_model *model, unsigned g_max)
{
    double dense = hop_plan_dense_seconds(model);
    unsigned g = 0;
    while (g < g_max && hop_plan_al_seconds(model, g + 1) < dense)
        g++;
    return g;
}

/* What the dense pass would promise: in f32, or in f64 where f32 misses max_error. */
static double dense_bound(const hop_model *model, const hop_query *query, double max_error)
{
    double bound = model->value.range;
    for (int f64 = 0; f64 < 2 && bound > max_error; f64++) {
        hop_error_terms terms;
        double log_error;
        hop_dense_terms(model, query, f64, NULL, &terms, &log_error);
        bound = hop_min(bound, terms.osc * model->value.range + (terms.weight + terms.quotient) * model->value.widest);
    }
    return bound;
}

void hop_plan_choose(const hop_model *model, const hop_features *features, const hop_request *request,
                     const hop_query *query, double sigma, hop_plan *out)
{
    hop_plan plan = {.mode = HOP_DENSE, .radius = query->T_abs, .n = 1};
    plan.predicted_seconds = hop_plan_dense_seconds(model);
    double dense = dense_bound(model, query, request->max_error);
    plan.candidates[0] = (hop_candidate){
        .predicted_seconds = plan.predicted_seconds, .predicted_bound = dense, .meets = dense <= request->max_error};
    if (!features) {
        plan.fallback = HOP_FALLBACK_BUILDING;
        *out = plan;
        return;
    }
    double widest = model->value.widest, h[HOP_DEGREE_MAX];
    bool any = false;
    hop_certificate_h(features->g_max, hop_max(query->T, 0), h);
    for (unsigned g = 1; g <= features->g_max && plan.n < HOP_PLAN_CANDIDATES; g++) {
        double bound = query->usable ? widest * hop_al_predict(g, sigma, query->T_abs, h[g]) : (double)INFINITY;
        hop_candidate *c = &plan.candidates[plan.n++];
        *c = (hop_candidate){.degree = (int)g,
                             .predicted_seconds = hop_plan_al_seconds(model, g),
                             .predicted_bound = isfinite(bound) ? bound : (double)INFINITY,
                             .meets = bound <= request->max_error};
        any = any || c->meets;
        if (c->meets && c->predicted_seconds < plan.predicted_seconds) {
            plan.mode = HOP_ALMOST_LINEAR;
            plan.degree = c->degree;
            plan.predicted_seconds = c->predicted_seconds;
        }
    }
    if (request->want & HOP_WANT_SCORES) {
        plan.mode = HOP_DENSE;
        plan.degree = 0;
        plan.predicted_seconds = plan.candidates[0].predicted_seconds;
        plan.fallback = HOP_FALLBACK_RETURN;
    } else if (plan.mode == HOP_DENSE) {
        plan.fallback = any ? HOP_FALLBACK_COST : HOP_FALLBACK_BOUND;
    }
    *out = plan;
}

double hop_plan_guess_seconds(const hop_model *model, const hop_features *features, const hop_request *request,
                              const float *x)
{
    if (!features || request->mode == HOP_DENSE)
        return hop_plan_dense_seconds(model);
    unsigned cap = request->mode == HOP_ALMOST_LINEAR ? features->g_max : hop_plan_degree_cap(model, features->g_max);
    double square = 0, h[HOP_DEGREE_MAX];
    for (size_t l = 0; l < model->d; l++)
        square += (double)x[l] * (double)x[l];
    double norm = model->similarity == HOP_DOT ? sqrt(square) : 1;
    double radius = request->beta * norm * model->key.radius;
    if (radius < HOP_PLAN_RADIUS_MAX) {
        hop_certificate_h(features->g_max, radius, h);
        for (unsigned g = 1; g <= cap; g++)
            if (model->value.widest * hop_al_predict(g, radius / sqrt((double)model->d), radius, h[g]) <=
                request->max_error)
                return hop_plan_al_seconds(model, g);
    }
    return request->mode == HOP_ALMOST_LINEAR ? hop_plan_al_seconds(model, cap) : hop_plan_dense_seconds(model);
}
