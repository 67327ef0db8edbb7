/*
 * case_maps.c - building feature maps and carrying them over to changed rows, against the f64 FMA peak.
 */
#include <math.h>
#include <stdlib.h>

#include "bench/measure.h"
#include "bench/peak.h"

/* Feature maps of `model`: built, or carried over from those of `base` without its first `removed` rows. */
typedef struct maker {
    const hop_model *model, *base;
    const hop_features *features;
    const size_t *removed;
    size_t n_removed;
    unsigned degree;
    const hop_executor *executor;
} maker;

static hop_features *make(const maker *how)
{
    hop_features *out;
    hop_error error = HOP_ERROR_NONE;
    hop_status status = how->base ? hop_features_update(how->features, how->base, how->model, how->removed,
                                                        how->n_removed, how->executor, NULL, &out, &error)
                                  : hop_features_build(how->model, how->degree, how->executor, NULL, &out, &error);
    if (status != HOP_OK)
        bench_stop(error.text);
    return out;
}

/* Best of as many as fit in --seconds, three at least. */
static double make_seconds(const bench_options *o, const maker *how, hop_features **last)
{
    double best = (double)INFINITY, spent = 0;
    *last = NULL;
    for (int runs = 0; runs < 3 || spent < o->least_seconds; runs++) {
        hop_features_free(*last);
        double start = bench_seconds_now();
        *last = make(how);
        double seconds = bench_seconds_now() - start;
        spent += seconds;
        best = fmin(best, seconds);
    }
    return best;
}

static unsigned degree_of(const bench_options *o, const hop_model *model)
{
    unsigned degree = o->degree ? o->degree : hop_features_default_degree(model);
    if (degree == 0)
        bench_stop("no degree is worth building for this set: give --degree");
    return degree;
}

static void print_maps(const bench_options *o, const hop_features *features)
{
    unsigned degree = hop_features_max_degree(features);
    bench_print_number("degree", 15, degree);
    bench_print_number("rank", 15, (double)hop_features_rank(features));
    bench_print_number("numbers", 15, (double)hop_rank(o->d, degree + 1));
    bench_print_number("bytes", 15, (double)hop_features_bytes(features));
}

/* Flops: each of the C(d+g+1, g+1) numbers is a sum over rows, a multiplication and an addition each. */
static void print_rate(const bench_options *o, const hop_features *features, double rows, double seconds, double peak)
{
    double gflops = 2e-9 * rows * (double)hop_rank(o->d, hop_features_max_degree(features) + 1) / seconds;
    bench_print_number("seconds", 6, seconds);
    bench_print_number("gflops", 4, gflops);
    bench_print_number("peak_gflops", 4, peak);
    bench_print_number("ratio_to_peak", 4, gflops / peak);
}

void bench_build(const bench_options *given)
{
    bench_options o = *given;
    bench_team *team = bench_team_new(o.threads);
    bench_data set = bench_data_new(&o, bench_team_executor(team));
    maker build = {.model = set.model, .degree = degree_of(&o, set.model), .executor = bench_team_executor(team)};
    double peak = hop_peak_gflops_f64(o.threads);
    hop_features *features;
    double seconds = make_seconds(&o, &build, &features);
    bench_print_begin(&o);
    bench_print_case(&o, false);
    print_maps(&o, features);
    print_rate(&o, features, (double)o.M, seconds, peak);
    bench_print_word("blas_core", hop_blas_core());
    bench_print_end();
    hop_features_free(features);
    bench_data_free(&set);
    bench_team_free(team);
}

/* How far the maps have drifted, and what that does to answers. Takes the maps over. */
static void print_changed(const bench_options *o, bench_data *set, hop_features *features, bench_team *team)
{
    hop_drift drift = hop_features_drift(features, set->model);
    bench_print_number("drift_rounding", 4, drift.rounding);
    bench_print_number("drift_centre", 4, drift.centre);
    bench_print_number("drift_scale", 4, drift.scale);
    hop_model_adopt_features(set->model, features);
    hop_request request = bench_request(o, HOP_AUTO);
    bench_measured m = bench_measure(o, set, &request, team);
    bench_print_number("answered_degree", 15, m.degree_max);
    bench_print_number("error_bound_max", 4, m.bound_max);
    bench_print_number("error_true_max", 4, bench_true_error(o, set, m.z));
    bench_measured_free(&m);
}

/* M rows; the first `changed` of them go, as many come, and M stay. */
void bench_append(const bench_options *given)
{
    bench_options o = *given;
    size_t changed = o.changed ? o.changed : o.M / 100 ? o.M / 100 : 1;
    bench_team *team = bench_team_new(o.threads);
    const hop_executor *executor = bench_team_executor(team);
    o.M += changed;
    bench_data all = bench_data_make(&o);
    if (o.M <= changed)
        bench_stop("there are fewer rows than --changed");
    o.M -= changed;
    hop_model *base = bench_model_new(o.M, o.d, all.memories, NULL, executor);
    bench_data set = {.memories = all.memories + changed * o.d, .queries = all.queries};
    double start = bench_seconds_now();
    set.model = bench_model_new(o.M, o.d, set.memories, base, executor);
    double model_seconds = bench_seconds_now() - start, peak = hop_peak_gflops_f64(o.threads);
    size_t *removed = bench_need(malloc(changed * sizeof *removed));
    for (size_t i = 0; i < changed; i++)
        removed[i] = i;
    hop_features *of_base, *rebuilt, *updated;
    maker build = {.model = base, .degree = degree_of(&o, base), .executor = executor};
    of_base = make(&build);
    build.model = set.model;
    double rebuild_seconds = make_seconds(&o, &build, &rebuilt);
    maker update = {.model = set.model,
                    .base = base,
                    .features = of_base,
                    .removed = removed,
                    .n_removed = changed,
                    .executor = executor};
    double seconds = make_seconds(&o, &update, &updated);
    bench_print_begin(&o);
    bench_print_case(&o, true);
    bench_print_number("changed", 15, (double)changed);
    print_maps(&o, updated);
    print_rate(&o, updated, 2 * (double)changed, seconds, peak);
    bench_print_number("model_seconds", 4, model_seconds);
    bench_print_number("rebuild_seconds", 4, rebuild_seconds);
    bench_print_number("speedup", 4, rebuild_seconds / seconds);
    print_changed(&o, &set, updated, team);
    bench_print_end();
    hop_features_free(of_base);
    hop_features_free(rebuilt);
    free(removed);
    hop_model_free(set.model);
    hop_model_free(base);
    bench_data_free(&all);
    bench_team_free(team);
}
