/*
 * regime.c - probe memories through the almost-linear retriever, and the verdict on the set (theory.h).
 */
#include "core/regime.h"

#include <math.h>
#include <float.h>
#include <stdio.h>
#include <string.h>

#include "core/checked.h"
#include "core/dense.h"
#include "core/moments.h"
#include "core/plan.h"
#include "core/rounding.h"
#include "core/status.h"

/* Probes are as many as are predicted to take this long, but this many at least. */
#define PROBE_SECONDS 5e-3
enum { PROBES_MIN = 8 };

const char *hop_verdict_word(hop_verdict verdict)
{
    static const char *const words[] = {
        [HOP_EFFICIENT] = "efficient", [HOP_TRANSITION] = "transition", [HOP_HARD] = "hard"};
    return words[verdict];
}

hop_status hop_theory_check(const hop_theory_request *request, hop_theory_request *out, hop_error *error)
{
    *out = *request;
    if (!(request->beta > 0) || !isfinite(request->beta))
        return hop_fail(error, HOP_E_DOMAIN, "beta must be a finite number above 0, not %g", request->beta);
    if (!(request->max_error >= 0) || !isfinite(request->max_error))
        return hop_fail(error, HOP_E_DOMAIN, "max_error must be a finite number from 0 on, not %g", request->max_error);
    if (!(request->B >= 0) || !isfinite(request->B))
        return hop_fail(error, HOP_E_DOMAIN, "B must be a finite number from 0 on, not %g", request->B);
    if (!(request->p >= 0 && request->p < 1))
        return hop_fail(error, HOP_E_DOMAIN, "p must be above 0 and below 1, not %g", request->p);
    if (out->L == 0)
        out->L = 1;
    if (out->p <= 0)
        out->p = 0.01;
    return HOP_OK;
}

/* ---- probes ------------------------------------------------------------------------------------------ */

typedef struct pieces {
    hop_query *queries;
    hop_al_row *rows;
    double *xi;
    float *x, *z;
    void *al;
} pieces;

static size_t lay_out(const hop_model *model, const hop_features *features, char *block, pieces *out)
{
    size_t used = 0, n = HOP_PROBES_MAX;
    size_t queries = hop_carve(&used, n, sizeof(hop_query)), rows = hop_carve(&used, n, sizeof(hop_al_row));
    size_t xi = hop_carve(&used, n * model->d, sizeof(double)), x = hop_carve(&used, model->d, sizeof(float));
    size_t z = hop_carve(&used, n * model->p, sizeof(float));
    size_t al = hop_carve(&used, features ? hop_al_workspace_bytes(model, features) : 0, 1);
    if (out)
        *out = (pieces){.queries = (hop_query *)(block + queries),
                        .rows = (hop_al_row *)(block + rows),
                        .xi = (double *)(block + xi),
                        .x = (float *)(block + x),
                        .z = (float *)(block + z),
                        .al = block + al};
    return used;
}

size_t hop_theory_workspace_bytes(const hop_model *model)
{
    return lay_out(model, hop_model_features(model), NULL, NULL);
}

/*
 * The query whose transform is (nearly) that key. A centred cosine's is given a norm that the mean does not drown:
 * 2^k key + mean, 2^k >= the mean's largest entry, as f32.
 */
static void query_of_key(const hop_model *model, size_t id, float *x)
{
    const float *key = model->keys + id * model->d;
    double scale = 1;
    for (size_t l = 0; l < model->d && model->mean; l++)
        while (scale < fabs(model->mean[l]) && scale < 0x1p124)
            scale *= 2;
    for (size_t l = 0; l < model->d; l++) {
        const double at = model->mean ? scale * (double)key[l] + model->mean[l] : (double)key[l];
        x[l] = (float)hop_min(hop_max(at, -(double)FLT_MAX), (double)FLT_MAX);
    }
}

static size_t probe_count(const hop_model *model, const hop_features *features)
{
    size_t n = HOP_PROBES_MAX;
    if (features) {
        const double each = hop_plan_al_seconds(model, features->g_max, n, false);
        if (each * HOP_PROBES_MAX > PROBE_SECONDS)
            n = (size_t)hop_max(PROBE_SECONDS / each, PROBES_MIN);
    }
    return n < model->M ? n : model->M;
}

static double dense_seconds(const hop_model *model, const hop_theory_request *request, const hop_query *query)
{
    const bool f64 = hop_plan_dense_f64(model, query, request->max_error);
    return hop_plan_dense_seconds(model, request->L, f64, hop_dense_needs_shift(query, f64));
}

/* By the certificates. */
static void certify(const hop_model *model, const hop_features *features, const hop_theory_request *request,
                    const pieces *w, hop_probes *probes)
{
    for (size_t i = 0; i < probes->n; i++)
        w->rows[i] = (hop_al_row){.query = w->queries + i,
                                  .tag = i,
                                  .z = w->z + i * model->p,
                                  .max_error = request->max_error,
                                  .degree_cap = features->g_max,
                                  .bound = (double)INFINITY};
    hop_al_run(model, features, w->rows, probes->n, w->al);
    for (size_t i = 0; i < probes->n; i++) {
        const hop_al_row *row = w->rows + i;
        if (!row->met || row->degree <= 0)
            continue;
        const unsigned g = (unsigned)row->degree;
        probes->met++;
        probes->degree = g > probes->degree ? g : probes->degree;
        probes->error_bound = hop_max(probes->error_bound, row->bound); /* NaN at first */
        if (hop_plan_al_seconds(model, g, request->L, row->f32) < dense_seconds(model, request, row->query))
            probes->met_below++;
    }
}

/* By the planner's estimates, and what it takes for a second moment that nothing measured (hop_plan_choose()). */
static void predict(const hop_model *model, const hop_theory_request *request, const hop_query *query,
                    hop_probes *probes)
{
    double h[HOP_DEGREE_MAX];
    const double sigma = query->T_abs / sqrt((double)model->d), widest = model->value.widest;
    const bool f32 = request->max_error >= 1e-5 * widest;
    hop_certificate_h(probes->g_max, hop_max(query->T, 0), h);
    for (unsigned g = 1; g <= probes->g_max && query->usable; g++) {
        if (!(widest * hop_al_predict(g, sigma, query->T_abs, h[g]) <= request->max_error))
            continue;
        probes->met++;
        probes->degree = g > probes->degree ? g : probes->degree;
        if (hop_plan_al_seconds(model, g, request->L, f32) < dense_seconds(model, request, query))
            probes->met_below++;
        return;
    }
}

static hop_status probe(const hop_model *model, const hop_theory_request *request, void *block, size_t block_bytes,
                        hop_probes *probes, hop_error *error)
{
    pieces w;
    const hop_features *features = hop_model_features(model);
    if (features && lay_out(model, features, NULL, NULL) > block_bytes)
        features = NULL; /* adopted since the caller asked for the size */
    if (lay_out(model, features, block, &w) > block_bytes)
        return hop_fail(error, HOP_E_LIMIT, "the workspace has %zu bytes, %zu are needed", block_bytes,
                        lay_out(model, NULL, NULL, NULL));
    *probes = (hop_probes){.n = probe_count(model, features),
                           .g_max = features ? features->g_max : hop_features_default_degree(model),
                           .error_bound = (double)NAN,
                           .predicted = !features,
                           .middle = hop_certificate_fallback(&model->value, NULL) <= request->max_error};
    for (size_t i = 0; i < probes->n; i++) {
        /* i M / n without overflow */
        const size_t id = model->M / probes->n * i + model->M % probes->n * i / probes->n;
        query_of_key(model, id, w.x);
        hop_status status = hop_query_prepare(model, request->beta, i, w.x, w.xi + i * model->d, w.queries + i, error);
        if (status != HOP_OK)
            return status;
        probes->R_t = hop_max(w.queries[i].T_abs, probes->R_t);
        if (!features)
            predict(model, request, w.queries + i, probes);
    }
    if (features)
        certify(model, features, request, &w, probes);
    if (probes->middle)
        probes->met = probes->met_below = probes->n;
    return HOP_OK;
}

/* ---- verdict ----------------------------------------------------------------------------------------- */

static void judge(const hop_probes *probes, const hop_theory_request *request, hop_regime *out)
{
    const double share = (double)probes->met_below / (double)probes->n;
    const char *expected = probes->predicted ? "is expected to meet" : "meets";
    const char *maps = probes->predicted ? "; predicted, there are no feature maps" : "";
    char *reason = out->reason;
    const size_t room = sizeof out->reason;
    out->verdict = share >= 0.9 ? HOP_EFFICIENT : probes->met ? HOP_TRANSITION : HOP_HARD;
    if (probes->middle)
        snprintf(reason, room, "the mean of the values is within max_error %g of every answer", request->max_error);
    else if (probes->g_max == 0)
        snprintf(reason, room, "no feature maps are worth building for this set%s", maps);
    else if (probes->met == 0)
        snprintf(reason, room, "no degree up to %u %s max_error %g for any of %zu probe memories%s", probes->g_max,
                 expected, request->max_error, probes->n, maps);
    else
        snprintf(reason, room,
                 "degree %u or less %s max_error %g for %zu of %zu probe memories, below dense's cost for %zu%s",
                 probes->degree, expected, request->max_error, probes->met, probes->n, probes->met_below, maps);
}

hop_status hop_regime_probe(const hop_model *model, const hop_theory_request *request, void *block, size_t block_bytes,
                            hop_probes *probes, hop_regime *out, hop_error *error)
{
    hop_status status = probe(model, request, block, block_bytes, probes, error);
    if (status != HOP_OK)
        return status;
    const double B = hop_max(model->key.max_abs, request->B);
    const double tau = (double)(model->M > request->L ? model->M : request->L);
    *out = (hop_regime){.tau = tau,
                        .B = B,
                        .B_star = sqrt(log(tau)),
                        .beta_B2_d = request->beta * (double)model->d * B * B,
                        .R_t = probes->R_t,
                        .probes = probes->n,
                        .met = probes->met,
                        .met_below = probes->met_below,
                        .g_max = probes->g_max,
                        .predicted = probes->predicted};
    judge(probes, request, out);
    return HOP_OK;
}

hop_status hop_regime_of(const hop_model *model, const hop_theory_request *request, void *workspace,
                         size_t workspace_bytes, hop_regime *out, hop_error *error)
{
    hop_theory_request checked;
    hop_probes probes;
    hop_status status = hop_theory_check(request, &checked, error);
    return status == HOP_OK ? hop_regime_probe(model, &checked, workspace, workspace_bytes, &probes, out, error)
                            : status;
}
