/*
 * case_gap_anns.c - Gap-ANNS by retrieval (Hu et al. 2024, Theorem 2.1): what mode auto takes for a batch of instances
 * whose entries are B, what that is beside dense, and how many of them the answers decide. Below B* = sqrt(ln M)
 * feature maps answer and decide nothing; from some multiple of it on the instances can be decided, and dense answers.
 */
#include <math.h>
#include <string.h>

#include "bench/measure.h"
#include "bench/peak.h"
#include "support/gap_anns.h"

/* --d and --M are the keys' and the memories'; the vectors have d/2 coordinates and there are M/2. */
static gap_anns *make_instance(bench_options *o)
{
    gap_anns_shape shape = {.n = o->M / 2, .d = o->d / 2, .t = 2, .L = o->L};
    if (o->d % 4 || o->d < 16 || o->M % 2 || o->memories || o->queries)
        bench_stop("gap-anns makes its own rows: --d a multiple of 4, at least 16, --M even");
    shape.far = gap_anns_far(shape.n, shape.d, o->seed);
    if (shape.far <= shape.t)
        bench_stop("so many vectors leave no gap: a larger --d or a smaller --M");
    if (o->B <= 0)
        o->B = gap_anns_B(&shape, 0.5);
    gap_anns *instance = gap_anns_new(&shape, o->B, o->seed);
    if (!instance)
        bench_stop("no instance could be made");
    o->beta = instance->beta;
    if (gap_anns_margin(instance) > 0)
        o->max_error = gap_anns_margin(instance) * 0.999;
    o->best_effort = true; /* where no bound is as small as that the rows stay open */
    return instance;
}

static bench_data make_set(const bench_options *o, const gap_anns *instance, const hop_executor *executor)
{
    const hop_source source = {
        .M = o->M, .d = o->d, .p = 1, .memories = instance->memories, .values = instance->values};
    hop_error error = HOP_ERROR_NONE;
    bench_data set = {.memories = instance->memories, .queries = instance->queries};
    if (hop_model_new(&source, executor, &set.model, &error) != HOP_OK)
        bench_stop(error.text);
    return set;
}

/* Largest |z - Z|, Z by the distances: memories and queries are 0 and B. */
static double true_error(const bench_options *o, const gap_anns *instance, const float *z)
{
    double worst = 0;
    for (size_t q = 0; q < o->L; q++) {
        const float *x = instance->queries + q * o->d;
        double S = 0;
        for (size_t mu = 0; mu < o->M / 2; mu++) {
            const float *row = instance->memories + mu * o->d;
            double common = -(double)o->d / 2;
            for (size_t l = 0; l < o->d / 2; l++)
                common += row[l] > 0 && x[l] > 0;
            S += exp(o->beta * instance->B * instance->B * common);
        }
        worst = fmax(worst, fabs((double)z[q] - S / (S + (double)o->M / 2)));
    }
    return worst;
}

static void print_decisions(const bench_options *o, const gap_anns *instance, const bench_measured *m)
{
    size_t decided = 0, right = 0;
    for (size_t q = 0; q < o->L; q++) {
        const gap_anns_decision decision = gap_anns_decide(instance, (double)m->z[q], m->bounds[q]);
        decided += decision != GAP_ANNS_OPEN;
        right += decision == (instance->truth[q] ? GAP_ANNS_YES : GAP_ANNS_NO);
    }
    bench_print_number("decided", 4, (double)decided / (double)o->L);
    bench_print_number("right", 4, (double)right / (double)o->L);
}

void bench_gap_anns(const bench_options *given)
{
    bench_options o = *given;
    gap_anns *instance = make_instance(&o);
    bench_team *team = bench_team_new(o.threads);
    bench_data set = make_set(&o, instance, bench_team_executor(team));
    const hop_request exact = bench_request(&o, HOP_DENSE), automatic = bench_request(&o, HOP_AUTO);
    const double peak = hop_peak_gflops_f32(o.threads), L = (double)o.L;
    bench_calibrate();
    bench_measured dense = bench_measure(&o, &set, &exact, team);
    const unsigned degree = o.degree ? o.degree : hop_features_default_degree(set.model);
    if (degree)
        bench_adopt_features(&set, degree);
    bench_measured m = bench_measure(&o, &set, &automatic, team);
    bench_print_begin(&o);
    bench_print_pass(&o, m.seconds, peak);
    bench_print_word("mode", bench_mode_word(&m));
    bench_print_number("degree", 15, m.degree_max);
    bench_print_number("degree_built", 15, degree);
    bench_print_number("seconds_per_query", 4, m.seconds / L);
    bench_print_number("dense_seconds_per_query", 4, dense.seconds / L);
    bench_print_number("n", 15, (double)instance->shape.n);
    bench_print_number("near", 15, (double)instance->shape.t);
    bench_print_number("far", 15, (double)instance->shape.far);
    bench_print_number("B", 6, instance->B);
    bench_print_number("B_star", 6, sqrt(log((double)o.M)));
    bench_print_number("B_decides", 6, gap_anns_B(&instance->shape, 0));
    print_decisions(&o, instance, &m);
    bench_print_number("error_bound_max", 4, m.bound_max);
    bench_print_number("error_true_max", 4, true_error(&o, instance, m.z));
    bench_print_end();
    bench_measured_free(&m);
    bench_measured_free(&dense);
    hop_model_free(set.model);
    gap_anns_free(instance);
    bench_team_free(team);
}
