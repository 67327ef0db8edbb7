/*
 * theory.c - the theory report, put together from the probes (regime.c), the measured separation and Theorem B.1
 * (capacity.h). Every formula is in theory.h, its source and errata in docs/MATH.md.
 */
#include "core/theory.h"

#include <math.h>
#include <stdio.h>

#include "core/ahop.h"
#include "core/capacity.h"
#include "core/model.h"
#include "core/regime.h"
#include "core/rounding.h"
#include "core/separation.h"

static const double none = (double)NAN;

/* Definition 3.1 has delta_A in (0, 0.1). */
#define DELTA_A_MAX 0.1

#define LOG_10 2.302585092994045684

/* P1's B of Lemma 3.2 bounds what is averaged: the values, which are the keys there. */
static double values_B(const hop_model *model, const hop_regime *regime)
{
    return model->shared ? regime->B : model->value.max_abs;
}

static void report_p1(const hop_model *model, const hop_theory_request *request, const hop_regime *regime,
                      hop_theory_p1 *out)
{
    const double factor = 2 * (double)model->M * values_B(model, regime);
    *out = (hop_theory_p1){.delta_A = DELTA_A_MAX, .R = regime->beta_B2_d};
    if (request->max_error < factor * DELTA_A_MAX)
        out->delta_A = request->max_error / factor;
    out->delta_H = factor * out->delta_A;
    out->g = hop_ahop_degree(out->R, out->delta_A);
    out->log10_rank = hop_ahop_log10_rank((double)model->d, out->g);
    if (!(out->delta_A > 0))
        snprintf(out->reason, sizeof out->reason, "max_error 0 leaves P1 no relative error, so there is no degree");
    else if (isnan(out->g))
        snprintf(out->reason, sizeof out->reason, "beta d B^2 = %.3g is too large for a degree", out->R);
}

static void report_ours(const hop_model *model, const hop_probes *probes, hop_theory_ours *out)
{
    *out = (hop_theory_ours){.R = probes->R_t,
                             .g = none,
                             .log10_rank = none,
                             .error_bound = probes->error_bound,
                             .probes = probes->n,
                             .met = probes->met,
                             .met_below = probes->met_below,
                             .g_max = probes->g_max,
                             .predicted = probes->predicted};
    if (probes->degree) {
        out->g = probes->degree;
        out->log10_rank = log10((double)hop_rank(model->d, probes->degree));
    }
    if (probes->predicted)
        snprintf(out->reason, sizeof out->reason,
                 "there are no feature maps: degrees are predicted, no bound is known");
    else if (!probes->degree)
        snprintf(out->reason, sizeof out->reason, "no probe was met by a degree up to %u", probes->g_max);
}

/* Definition 3.3's R and what is asked of it. */
static void report_separation(const hop_model *model, const hop_theory_request *request, const hop_separation *measured,
                              hop_theory_separation *out)
{
    const double M = (double)model->M, m = model->key.max_l2;
    *out = (hop_theory_separation){.exact = measured->n == measured->M,
                                   .rows = measured->n,
                                   .seed = measured->seed,
                                   .R_sep = none,
                                   .m = m,
                                   .Delta_min = none,
                                   .Delta_q10 = none,
                                   .Delta_median = none,
                                   .Delta_q90 = none,
                                   .Delta_max = none,
                                   .delta = model->shared ? sqrt((double)model->d) * request->max_error : 0,
                                   .threshold = none,
                                   .well_separated = none};
    if (model->M == 1) {
        snprintf(out->reason, sizeof out->reason, "one memory has none to be separated from");
        return;
    }
    out->R_sep = measured->nearest / 2;
    out->Delta_min = hop_separation_quantile(measured, 0);
    out->Delta_q10 = hop_separation_quantile(measured, 0.1);
    out->Delta_median = hop_separation_quantile(measured, 0.5);
    out->Delta_q90 = hop_separation_quantile(measured, 0.9);
    out->Delta_max = hop_separation_quantile(measured, 1);
    if (!(out->R_sep > out->delta)) {
        out->well_separated = 0;
        snprintf(out->reason, sizeof out->reason, "R_sep %.3g is not above delta %.3g: no memory is stored", out->R_sep,
                 out->delta);
        return;
    }
    out->threshold = log(2 * (M - 1) * m / (out->R_sep - out->delta)) / request->beta + 2 * m * out->R_sep;
    out->well_separated = hop_separation_share(measured, out->threshold);
}

static void report_error(const hop_model *model, const hop_theory_request *request,
                         const hop_theory_separation *separation, hop_theory_error *out)
{
    *out = (hop_theory_error){none, none, none, none, ""};
    if (model->M == 1) {
        snprintf(out->reason, sizeof out->reason, "one memory has none to be confused with");
        return;
    }
    const double most = 2 * model->value.max_abs, rest = (double)model->M - 1;
    const double sphere = 2 * separation->m * separation->R_sep;
    const double Delta[] = {separation->Delta_median, separation->Delta_min};
    double *at_memory[] = {&out->at_memory_median, &out->at_memory_max};
    double *in_sphere[] = {&out->in_sphere_median, &out->in_sphere_max};
    for (size_t i = 0; i < 2; i++) {
        *at_memory[i] = most * hop_min(1, rest * exp(-request->beta * Delta[i])) + request->max_error;
        *in_sphere[i] = most * hop_min(1, rest * exp(-request->beta * (Delta[i] - sphere))) + request->max_error;
    }
}

static void report_capacity(const hop_model *model, const hop_theory_request *request, const hop_theory_p1 *p1,
                            const hop_theory_separation *separation, hop_theory_capacity *out)
{
    const double R = separation->R_sep, delta = separation->delta;
    const hop_capacity set = {
        .d = (double)model->d, .beta = request->beta, .m = separation->m, .R = R, .p = request->p};
    *out = (hop_theory_capacity){.p = request->p,
                                 .a = none,
                                 .b = none,
                                 .log10_C = none,
                                 .log10_M_max = none,
                                 .M_max = none,
                                 .log10_M_dense = none,
                                 .log10_M_p1 = none};
    if (model->d < 2 || model->M < 2 || !(R > 0)) {
        snprintf(out->reason, sizeof out->reason, "%s",
                 model->d < 2   ? "Theorem B.1 is about spheres: d >= 2"
                 : model->M < 2 ? "one memory has no R_sep"
                                : "two memories are equal: R_sep is 0");
        return;
    }
    out->b = hop_capacity_b(&set);
    out->log10_M_dense = hop_capacity_log_M(&set, log(R)) / LOG_10;
    if (!(R > delta)) {
        snprintf(out->reason, sizeof out->reason, "R_sep %.3g is not above delta %.3g: only exact retrieval stores any",
                 R, delta);
        return;
    }
    out->a = hop_capacity_a(&set, log(R - delta));
    out->log10_C = hop_capacity_log_C(&set, log(R - delta)) / LOG_10;
    out->log10_M_max = hop_capacity_log_M(&set, log(R - delta)) / LOG_10;
    if (out->log10_M_max <= 300)
        out->M_max = pow(10, out->log10_M_max);
    /* delta = sqrt(d) delta_H of one memory, times as many as there are */
    const double rate = delta > 0 ? sqrt(set.d) * p1->delta_H / (double)model->M : 0;
    out->log10_M_p1 = rate > 0 ? hop_capacity_consistent(&set, rate) / LOG_10 : out->log10_M_dense;
}

hop_status hop_theory_of(const hop_model *model, const hop_theory_request *request, const hop_separation *separation,
                         void *workspace, size_t workspace_bytes, hop_theory *out, hop_error *error)
{
    hop_theory_request asked;
    hop_probes probes;
    hop_status status = hop_theory_check(request, &asked, error);
    if (status == HOP_OK)
        status = hop_regime_probe(model, &asked, workspace, workspace_bytes, &probes, &out->regime, error);
    if (status != HOP_OK)
        return status;
    out->M = model->M;
    out->d = model->d;
    out->L = asked.L;
    out->beta = asked.beta;
    out->max_error = asked.max_error;
    report_p1(model, &asked, &out->regime, &out->p1);
    report_ours(model, &probes, &out->ours);
    report_separation(model, &asked, separation, &out->separation);
    report_error(model, &asked, &out->separation, &out->retrieval_error);
    report_capacity(model, &asked, &out->p1, &out->separation, &out->capacity);
    return HOP_OK;
}
