/*
 * case_dense.c - the dense pass: a batch against the FMA peak, and one query against the memory's read bandwidth.
 */
#include "bench/bandwidth.h"
#include "bench/measure.h"
#include "bench/peak.h"

/* The fields of a batch; a single one adds what its bandwidth is. */
static void run(const bench_options *given, bool single)
{
    bench_options o = *given;
    bench_team *team = bench_team_new(o.threads);
    bench_data set = bench_data_new(&o, bench_team_executor(team));
    if (single && o.L != 1)
        bench_stop("dense-single is one query");
    double peak = hop_peak_gflops_f32(o.threads);
    size_t most =
        o.least_seconds > 0 ? SIZE_MAX : (size_t)o.threads << 21; /* no measurement asked: as little as can be */
    double available = single ? bench_read_bandwidth(o.threads, most) : 0;
    hop_request request = bench_request(&o, HOP_DENSE);
    bench_measured m = bench_measure(&o, &set, &request, team);
    bench_print_begin(&o);
    bench_print_pass(&o, m.seconds, peak);
    bench_print_number("error_bound_max", 4, m.bound_max);
    bench_print_number("error_true_max", 4, bench_true_error(&o, &set, m.z));
    if (single) {
        double bandwidth = 4e-9 * (double)o.M * (double)o.d / m.seconds; /* every number of Xi has to come in once */
        bench_print_number("bandwidth", 4, bandwidth);
        bench_print_number("read_bandwidth", 4, available);
        bench_print_number("ratio_to_bandwidth", 4, bandwidth / available);
    }
    bench_print_end();
    if (o.out)
        bench_write_rows(o.out, m.z, o.L, o.d);
    bench_measured_free(&m);
    bench_data_free(&set);
    bench_team_free(team);
}

void bench_dense(const bench_options *o)
{
    run(o, false);
}

void bench_dense_single(const bench_options *given)
{
    bench_options o = *given;
    o.L = 1;
    run(&o, true);
}
