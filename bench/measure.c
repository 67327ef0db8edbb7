/*
 * measure.c - batches shared by a team's threads, timed from the first start to the last end.
 */
#include "bench/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 8 };

/* One call's share of the batch. */
typedef struct share {
    const hop_model *model;
    hop_request request;
    size_t n;
    const float *x;
    hop_answer answer;
    void *workspace;
    size_t workspace_bytes;
    hop_error error;
    hop_status status;
} share;

static void run_share(void *arg, size_t i)
{
    share *s = (share *)arg + i;
    s->status =
        hop_retrieve(s->model, &s->request, s->n, s->x, s->workspace, s->workspace_bytes, &s->answer, &s->error);
}

/* The whole batch once; seconds. */
static double run_once(share *shares, size_t n, const hop_executor *executor)
{
    double start = bench_seconds_now();
    if (executor)
        executor->run(executor->context, n, run_share, shares);
    else
        run_share(shares, 0);
    double seconds = bench_seconds_now() - start;
    for (size_t i = 0; i < n; i++)
        if (shares[i].status != HOP_OK)
            bench_stop(shares[i].error.text);
    return seconds;
}

static double clock_seconds(void *context)
{
    (void)context;
    return bench_seconds_now();
}

bench_costs bench_calibrate(void)
{
    hop_costs costs;
    hop_clock monotonic = {.seconds = clock_seconds};
    bench_costs out = {.source = "measured"};
    double start = bench_seconds_now();
    if (hop_calibrate(&monotonic, &costs, &out.misfit, NULL) != HOP_OK || hop_costs_set(&costs, NULL) != HOP_OK)
        out = (bench_costs){.source = "built_in", .misfit = (double)NAN};
    out.seconds = bench_seconds_now() - start;
    return out;
}

hop_request bench_request(const bench_options *o, hop_mode mode)
{
    return (hop_request){
        .beta = o->beta, .max_error = o->max_error, .mode = mode, .best_effort = o->best_effort, .steps = 1};
}

bench_measured bench_measure(const bench_options *o, const bench_data *set, const hop_request *request,
                             bench_team *team)
{
    const size_t p = hop_model_p(set->model);
    share shares[BENCH_THREADS_MAX];
    bench_measured m = {.seconds = (double)INFINITY,
                        .degrees = bench_need(malloc(o->L * sizeof(int))),
                        .degree_min = 99,
                        .degree_max = -1,
                        .bounds = bench_need(malloc(o->L * sizeof(double))),
                        .z = bench_need(malloc(o->L * p * sizeof(float)))};
    double *errors = bench_need(calloc(o->L, sizeof *errors));
    hop_fallback *fallbacks = bench_need(malloc(o->L * sizeof *fallbacks));
    const hop_executor *executor = bench_team_executor(team);
    bool dense = request->mode == HOP_DENSE;
    size_t chunk = dense ? o->L : (o->L + o->threads - 1) / o->threads, used = (o->L + chunk - 1) / chunk;
    for (size_t i = 0; i < used; i++) {
        size_t first = i * chunk, n = o->L - first < chunk ? o->L - first : chunk;
        size_t bytes = hop_retrieve_workspace_bytes(set->model, n);
        shares[i] = (share){.model = set->model,
                            .request = *request,
                            .n = n,
                            .x = set->queries + first * o->d,
                            .answer = {.z = m.z + first * p,
                                       .error_bound = m.bounds + first,
                                       .degree = m.degrees + first,
                                       .fallback = fallbacks + first,
                                       .standard_error = errors + first},
                            .workspace = bench_need(hop_aligned_alloc(bytes)),
                            .workspace_bytes = bytes,
                            .error = HOP_ERROR_NONE};
        shares[i].request.executor = dense ? executor : NULL;
        shares[i].request.first = first;
        shares[i].request.total = o->L;
    }
    double spent = 0;
    for (int runs = 0; runs < 3 || spent < o->least_seconds; runs++) {
        double seconds = run_once(shares, used, used > 1 ? executor : NULL);
        spent += seconds;
        m.seconds = fmin(m.seconds, seconds);
    }
    for (size_t q = 0; q < o->L; q++) {
        m.bound_max = fmax(m.bound_max, m.bounds[q]);
        m.standard_error_max = fmax(m.standard_error_max, errors[q]);
        m.degree_min = m.degrees[q] < m.degree_min ? m.degrees[q] : m.degree_min;
        m.degree_max = m.degrees[q] > m.degree_max ? m.degrees[q] : m.degree_max;
    }
    for (size_t i = 0; i < used; i++)
        hop_aligned_free(shares[i].workspace);
    free(errors);
    free(fallbacks);
    return m;
}

void bench_measured_free(bench_measured *m)
{
    free(m->degrees);
    free(m->bounds);
    free(m->z);
}

const char *bench_mode_word(const bench_measured *m)
{
    return m->degree_min > 0 ? "almost_linear" : m->degree_max > 0 ? "mixed" : "dense";
}

double bench_true_error(const bench_options *o, const bench_data *set, const float *z)
{
    double worst = 0, *N = bench_need(malloc(o->d * sizeof *N));
    for (size_t i = 0; i < SAMPLE && i < o->L; i++) {
        size_t q = o->L < SAMPLE ? i : i * o->L / SAMPLE;
        const float *x = set->queries + q * o->d;
        double D = 0, top = -(double)INFINITY;
        memset(N, 0, o->d * sizeof *N);
        for (size_t mu = 0; mu < o->M; mu++) {
            const float *row = set->memories + mu * o->d;
            double t = 0;
            for (size_t l = 0; l < o->d; l++)
                t += ((double)row[l] - (double)set->memories[l]) * (double)x[l];
            t *= o->beta;
            if (t > top) {
                double scale = exp(top - t);
                D *= scale;
                for (size_t l = 0; l < o->d; l++)
                    N[l] *= scale;
                top = t;
            }
            double w = exp(t - top);
            D += w;
            for (size_t l = 0; l < o->d; l++)
                N[l] += w * ((double)row[l] - (double)set->memories[l]);
        }
        for (size_t l = 0; l < o->d; l++)
            worst = fmax(worst, fabs(N[l] / D + (double)set->memories[l] - (double)z[q * o->d + l]));
    }
    free(N);
    return worst;
}
