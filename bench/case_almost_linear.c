/*
 * case_almost_linear.c - feature maps against our own dense pass, at the same L, threads and max_error, certificate
 * included.
 */
#include <math.h>

#include "bench/measure.h"
#include "bench/peak.h"

void bench_almost_linear(const bench_options *given)
{
    bench_options o = *given;
    bench_team *team = bench_team_new(o.threads);
    bench_data set = bench_data_new(&o, bench_team_executor(team));
    double peak = hop_peak_gflops_f32(o.threads), dense_seconds = (double)NAN, L = (double)o.L;
    if (!o.no_dense) {
        hop_request dense = bench_request(&o, HOP_DENSE);
        bench_measured m = bench_measure(&o, &set, &dense, team);
        dense_seconds = m.seconds;
        bench_measured_free(&m);
    }
    bench_costs costs = bench_calibrate();
    unsigned degree = o.degree ? o.degree : hop_features_default_degree(set.model);
    if (degree == 0)
        bench_stop("no degree is worth building for this set: give --degree");
    bench_adopt_features(&set, degree);

    /* With --best-effort every degree is tried and the best bound answers, so that one degree can be looked at. */
    hop_request request = bench_request(&o, o.best_effort ? HOP_ALMOST_LINEAR : HOP_AUTO);
    bench_measured m = bench_measure(&o, &set, &request, team);
    bench_print_begin(&o);
    bench_print_pass(&o, m.seconds, peak);
    bench_print_word("mode", bench_mode_word(&m));
    bench_print_number("degree", 15, m.degree_max);
    bench_print_number("rank", 15, (double)hop_rank(o.d, m.degree_max > 0 ? (unsigned)m.degree_max : 0));
    bench_print_number("seconds_per_query", 4, m.seconds / L);
    bench_print_number("dense_seconds_per_query", 4, dense_seconds / L);
    bench_print_number("speedup", 4, dense_seconds / m.seconds);
    bench_print_number("error_bound_max", 4, m.bound_max);
    bench_print_number("error_true_max", 4, bench_true_error(&o, &set, m.z));
    bench_print_number("degree_built", 15, degree);
    bench_print_word("costs", costs.source);
    bench_print_end();
    if (o.out)
        bench_write_rows(o.out, m.z, o.L, o.d);
    bench_measured_free(&m);
    bench_data_free(&set);
    bench_team_free(team);
}
