/*
 * plan.c - the cost model and the choice. Constants were measured on one AVX-512 machine (bench/hopbench) and scale with
 * the vector width; only their ratio matters.
 */
#include "core/plan.h"

#include <math.h>
#include <string.h>

#include "core/almost_linear.h"
#include "core/kernels.h"

typedef struct costs {
    const char *isa;
    double madd;        /* f32, one multiply-add of the dense pass */
    double weight;      /* one exp and its share of loads and stores */
    double coefficient; /* one stored moment, HOP_LANES queries at once: forward and reverse */
    double feature;     /* one multiply-add of a product with A, f64 */
    double query;       /* the fixed part of a row: transform, certificate, answer */
} costs;

static const costs table[] = {
    {"reference", 6e-10, 8e-9, 1.5e-8, 4e-11, 1e-6},
    {"avx2", 2.2e-11, 4e-10, 2.5e-9, 4e-11, 6e-7},
    {"avx512", 1.1e-11, 2.2e-10, 1.5e-9, 3e-11, 6e-7},
};

static const costs *costs_now(void)
{
    const char *isa = hop_kernels_get()->isa;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].isa, isa) == 0)
            return &table[i];
    return &table[0];
}

double hop_plan_dense_seconds(const hop_model *model, size_t L)
{
    const costs *c = costs_now();
    double pair = c->madd * (double)(model->d + model->columns) + c->weight;
    /* A tile of queries shares the loads; a lone query waits for memory. */
    double lone = L < 4 ? 2.0 : 1.0;
    return (double)model->M * pair * lone + c->query;
}

double hop_plan_al_seconds(const hop_model *model, const hop_features *features, unsigned g, size_t L)
{
    const costs *c = costs_now();
    size_t groups = (L + HOP_LANES - 1) / HOP_LANES;
    double shared = (double)groups / (double)L; /* of a group's cost, a query */
    double sweep = c->coefficient * (double)features->index.start[g + 2] * shared;
    double product = features->A ? c->feature * (double)features->index.start[g + 1] *
                                       (double)(features->p + HOP_LANES * 4) * HOP_LANES * shared
                                 : 0;
    return sweep + product + c->query * (1 + 0.2 * g) + (double)model->p * 4e-9;
}

unsigned hop_plan_degree_cap(const hop_model *model, const hop_features *features, size_t L)
{
    double dense = hop_plan_dense_seconds(model, L);
    unsigned g = 0;
    while (g < features->g_max && hop_plan_al_seconds(model, features, g + 1, L) < dense)
        g++;
    return g;
}

void hop_plan_choose(const hop_model *model, const hop_features *features, const hop_request *request,
                     const hop_query *query, double sigma, size_t L, hop_plan *out)
{
    hop_plan plan = {.mode = HOP_DENSE, .radius = query->T_abs, .n = 1};
    plan.predicted_seconds = hop_plan_dense_seconds(model, L);
    plan.candidates[0] = (hop_candidate){.predicted_seconds = plan.predicted_seconds, .meets = true};
    if (!features) {
        plan.fallback = HOP_FALLBACK_BUILDING;
        *out = plan;
        return;
    }
    double widest = model->value.widest;
    bool any = false;
    for (unsigned g = 1; g <= features->g_max && plan.n < HOP_PLAN_CANDIDATES; g++) {
        double bound = query->usable ? widest * hop_al_predict(g, sigma, query->T, query->T_abs) : (double)INFINITY;
        hop_candidate *c = &plan.candidates[plan.n++];
        *c = (hop_candidate){.degree = (int)g,
                             .predicted_seconds = hop_plan_al_seconds(model, features, g, L),
                             .predicted_bound = isfinite(bound) ? bound : (double)INFINITY,
                             .meets = bound <= request->max_error};
        any = any || c->meets;
        if (c->meets && c->predicted_seconds < plan.predicted_seconds) {
            plan.mode = HOP_ALMOST_LINEAR;
            plan.degree = c->degree;
            plan.predicted_seconds = c->predicted_seconds;
        }
    }
    if (plan.mode == HOP_DENSE)
        plan.fallback = any ? HOP_FALLBACK_COST : HOP_FALLBACK_BOUND;
    *out = plan;
}
