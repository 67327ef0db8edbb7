/*
 * case_structured.c - the models other than plain softmax, each beside our own dense pass; their answers are compared
 * with dense's too, which says how far apart the models are and is an error only where a bound says so.
 */
#include <math.h>

#include "bench/measure.h"

/* The sums that linear and random_features answer from; NULL: the mode has none. */
static hop_phi_sums *make_sums(const bench_data *set, const hop_request *request, const hop_executor *executor,
                               double *seconds)
{
    hop_phi_sums *sums = NULL;
    hop_error error = HOP_ERROR_NONE;
    if (request->mode != HOP_LINEAR && request->mode != HOP_RANDOM_FEATURES)
        return NULL;
    double start = bench_seconds_now();
    if (hop_phi_sums_new(set->model, request->mode, request->beta, &request->parameters, executor, NULL, &sums,
                         &error) != HOP_OK)
        bench_stop(error.text);
    *seconds = bench_seconds_now() - start;
    return sums;
}

static hop_request structured_request(const bench_options *o)
{
    hop_request request = bench_request(o, HOP_AUTO);
    hop_error error = HOP_ERROR_NONE;
    if (hop_mode_parse(o->mode, &request.mode, &error) != HOP_OK)
        bench_stop(error.text);
    if (request.mode <= HOP_ALMOST_LINEAR)
        bench_stop("--mode is a structured model: top_k, random_mask, window, linear, ...");
    hop_parameters *of = &request.parameters;
    hop_parameters_default(of);
    of->seed = o->seed;
    of->features = o->features;
    of->k = o->k ? o->k : of->k;
    of->keep = o->keep > 0 ? o->keep : of->keep;
    of->width = o->width ? o->width : of->width;
    of->alpha = o->alpha > 0 ? o->alpha : of->alpha;
    return request;
}

void bench_structured(const bench_options *given)
{
    static const char *const against[] = {
        [HOP_AGAINST_DENSE] = "dense", [HOP_AGAINST_MODEL] = "model", [HOP_AGAINST_NOTHING] = "nothing"};
    bench_options o = *given;
    o.max_error = (double)INFINITY;
    bench_team *team = bench_team_new(o.threads);
    bench_data set = bench_data_new(&o, bench_team_executor(team));
    hop_request request = structured_request(&o), dense = bench_request(&o, HOP_DENSE);
    double dense_seconds = (double)NAN, sums_seconds = (double)NAN, L = (double)o.L;
    if (!o.no_dense) {
        bench_measured m = bench_measure(&o, &set, &dense, team);
        dense_seconds = m.seconds;
        bench_measured_free(&m);
    }
    hop_phi_sums *sums = make_sums(&set, &request, bench_team_executor(team), &sums_seconds);
    request.sums = sums;
    bench_measured m = bench_measure(&o, &set, &request, team);
    double planned = hop_predict_seconds(set.model, &request, o.L, set.queries);
    bench_print_begin(&o);
    bench_print_case(&o, true);
    bench_print_word("mode", o.mode);
    bench_print_number("seconds", 6, m.seconds);
    bench_print_number("seconds_per_query", 4, m.seconds / L);
    bench_print_number("dense_seconds_per_query", 4, dense_seconds / L);
    bench_print_number("speedup", 4, dense_seconds / m.seconds);
    bench_print_number("measured_over_planned", 4, m.seconds * o.threads / planned);
    bench_print_word("bound_against", against[hop_mode_against(request.mode)]);
    bench_print_number("error_bound_max", 4, m.bound_max);
    bench_print_number("distance_to_dense_max", 4, bench_true_error(&o, &set, m.z));
    bench_print_number("standard_error_max", 4, request.mode == HOP_RANDOM_FEATURES ? m.standard_error_max : NAN);
    bench_print_number("sums_seconds", 4, sums_seconds);
    bench_print_number("sums_bytes", 15, sums ? (double)hop_phi_sums_bytes(sums) : NAN);
    bench_print_end();
    if (o.out)
        bench_write_rows(o.out, m.z, o.L, o.d);
    bench_measured_free(&m);
    hop_phi_sums_free(sums);
    bench_data_free(&set);
    bench_team_free(team);
}
