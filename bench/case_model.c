/*
 * case_model.c - making a model of rows, at every packing, and of more rows than an earlier one has; against what the
 * memory delivers.
 */
#include "bench/bandwidth.h"
#include "bench/data.h"
#include "bench/team.h"

#include <math.h>

typedef struct making {
    const bench_options *o;
    const hop_executor *executor;
    hop_source source;
} making;

static hop_model *make(const making *m, double *seconds)
{
    hop_error error = HOP_ERROR_NONE;
    hop_model *model = NULL;
    double start = bench_seconds_now();
    if (hop_model_new(&m->source, m->executor, &model, &error) != HOP_OK)
        bench_stop(error.text);
    *seconds = fmin(*seconds, bench_seconds_now() - start);
    return model;
}

/* Best of as many runs as fit in --seconds, three at least: each frees what it made, so that every page is new. */
static double best(const making *m)
{
    double seconds = (double)INFINITY, start = bench_seconds_now();
    for (int run = 0; run < 3 || bench_seconds_now() - start < m->o->least_seconds; run++)
        hop_model_free(make(m, &seconds));
    return seconds;
}

void bench_model(const bench_options *given)
{
    static const char *const fields[][2] = {{"full_seconds", "full_append_seconds"},
                                            {"keys_seconds", "keys_append_seconds"},
                                            {"seconds", "append_seconds"}};
    bench_options o = *given;
    const size_t changed = o.changed ? o.changed : o.M / 100 ? o.M / 100 : 1;
    o.L = 1;
    bench_data set = bench_data_make(&o);
    if (o.M <= changed)
        bench_stop("there are fewer rows than --changed");
    bench_team *team = bench_team_new(o.threads);
    making m = {
        .o = &o, .executor = bench_team_executor(team), .source = {.M = o.M, .d = o.d, .memories = set.memories}};
    const size_t most = o.least_seconds > 0 ? SIZE_MAX : (size_t)o.threads << 21;
    const double bandwidth = bench_read_bandwidth(o.threads, most);
    double seconds = 0;
    bench_print_begin(&o);
    bench_print_case(&o, false);
    bench_print_number("changed", 15, (double)changed);
    for (hop_packing packing = HOP_PACK_FULL; packing <= HOP_PACK_NONE; packing++) {
        double once = (double)INFINITY;
        m.source.packing = packing;
        bench_print_number(fields[packing][0], 4, seconds = best(&m));
        m.source.M = o.M - changed;
        hop_model *base = make(&m, &once);
        m.source.M = o.M;
        m.source.like = base;
        m.source.same_rows = o.M - changed;
        bench_print_number(fields[packing][1], 4, best(&m));
        m.source.like = NULL;
        m.source.same_rows = 0;
        hop_model_free(base);
    }
    const double rate = 4e-9 * (double)o.M * (double)o.d / seconds;
    bench_print_number("bandwidth", 4, rate);
    bench_print_number("read_bandwidth", 4, bandwidth);
    bench_print_number("ratio_to_bandwidth", 4, rate / bandwidth);
    bench_print_end();
    bench_data_free(&set);
    bench_team_free(team);
}
