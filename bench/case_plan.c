/*
 * case_plan.c - what the planner says a batch will take, beside what it takes.
 */
#include <math.h>
#include <stdlib.h>

#include "bench/measure.h"

/* The plans of all queries, made serially. Owned by the caller. */
static hop_plan *make_plans(const bench_options *o, const bench_data *set, const hop_request *request)
{
    hop_plan *plans = bench_need(malloc(o->L * sizeof *plans));
    size_t bytes = hop_retrieve_workspace_bytes(set->model, o->L);
    void *workspace = bench_need(hop_aligned_alloc(bytes));
    hop_error error = HOP_ERROR_NONE;
    if (hop_plan_queries(set->model, request, o->L, set->queries, workspace, bytes, plans, &error) != HOP_OK)
        bench_stop(error.text);
    hop_aligned_free(workspace);
    return plans;
}

/* What the planner predicts for a dense pass in f32, a query. */
static double dense_prediction(const hop_plan *plan)
{
    for (size_t i = 0; i < plan->n; i++)
        if (plan->candidates[i].degree == 0 && !plan->candidates[i].f64)
            return plan->candidates[i].predicted_seconds;
    return (double)NAN;
}

/* Planned and measured seconds are of one thread, a query. */
static void print_plan(const bench_options *o, const hop_plan *plans, const bench_measured *m, double dense_seconds)
{
    double planned = 0, dense = 0, agreeing = 0, L = (double)o->L, spent = m->seconds * o->threads;
    int degree_max = 0;
    for (size_t q = 0; q < o->L; q++) {
        planned += plans[q].predicted_seconds;
        dense += dense_prediction(&plans[q]);
        agreeing += plans[q].degree == m->degrees[q];
        degree_max = plans[q].degree > degree_max ? plans[q].degree : degree_max;
    }
    bench_print_number("planned_degree", 15, degree_max);
    bench_print_number("degree", 15, m->degree_max);
    bench_print_number("agreement", 4, agreeing / L);
    bench_print_number("planned_seconds_per_query", 4, planned / L);
    bench_print_number("seconds_per_query", 4, spent / L);
    bench_print_number("measured_over_planned", 4, spent / planned);
    bench_print_number("dense_planned_seconds_per_query", 4, dense / L);
    bench_print_number("dense_seconds_per_query", 4, dense_seconds * o->threads / L);
    bench_print_number("dense_measured_over_planned", 4, dense_seconds * o->threads / dense);
}

void bench_plan(const bench_options *given)
{
    bench_options o = *given;
    bench_costs costs = bench_calibrate();
    bench_team *team = bench_team_new(o.threads);
    bench_data set = bench_data_new(&o, bench_team_executor(team));
    unsigned degree = o.degree ? o.degree : hop_features_default_degree(set.model);
    if (degree > 0)
        bench_adopt_features(&set, degree);
    hop_request request = bench_request(&o, HOP_AUTO), dense_request = bench_request(&o, HOP_DENSE);
    hop_plan *plans = make_plans(&o, &set, &request);
    bench_measured m = bench_measure(&o, &set, &request, team);
    bench_measured dense = bench_measure(&o, &set, &dense_request, team);
    bench_print_begin(&o);
    bench_print_case(&o, true);
    bench_print_number("seconds", 6, m.seconds);
    bench_print_word("costs", costs.source);
    bench_print_number("calibration_seconds", 4, costs.seconds);
    bench_print_number("calibration_misfit", 4, costs.misfit);
    bench_print_number("degree_built", 15, degree);
    print_plan(&o, plans, &m, dense.seconds);
    bench_print_number("error_bound_max", 4, m.bound_max);
    bench_print_number("error_true_max", 4, bench_true_error(&o, &set, m.z));
    bench_print_end();
    free(plans);
    bench_measured_free(&m);
    bench_measured_free(&dense);
    bench_data_free(&set);
    bench_team_free(team);
}
