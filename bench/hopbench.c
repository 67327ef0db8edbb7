/*
 * hopbench.c - in-process timings of the core, each beside a limit measured in the same run.
 *
 *     hopbench dense         --d 64 --M 200000 --L 512
 *     hopbench almost-linear --d 16 --M 1000000 --L 512 --dist uniform --B 1 --max-error 1e-3
 *     hopbench almost-linear --d 32 --M 1000000 --L 512 --dist sphere --R 2 --max-error 1e-2
 *
 * gflops = 4 d M L / seconds, exp not counted; peak = best of five register-only f32 FMA loops on the widest ISA,
 * same threads. speedup = dense / almost-linear seconds per query at the same L, threads and max_error, certificate
 * included. The true error is against plain f64 sums on a sample of the queries.
 */
#include <getopt.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/peak.h"
#include "core/hopfield.h"

enum { THREADS_MAX = 64, SAMPLE = 8 };

typedef struct options {
    const char *name, *dist;
    size_t d, M, L;
    unsigned threads, degree;
    double beta, B, R, max_error, least_seconds;
    bool json;
    uint64_t seed;
} options;

typedef struct data {
    float *memories, *queries;
    hop_model *model;
} data;

/* One thread's share of the batch. */
typedef struct share {
    const options *o;
    const hop_model *model;
    hop_request request;
    size_t first, n;
    const float *x;
    hop_answer answer;
    void *workspace;
    size_t workspace_bytes;
    hop_error error;
    hop_status status;
} share;

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static _Noreturn void stop(const char *what)
{
    fprintf(stderr, "hopbench: %s\n", what);
    exit(1);
}

static void *need(void *block)
{
    if (!block)
        stop("out of memory");
    return block;
}

/* splitmix64: Steele, Lea, Flood 2014 */
static double uniform(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-53;
}

static double normal(uint64_t *state)
{
    double u = 1 - uniform(state);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * uniform(state));
}

static void fill_uniform(float *rows, size_t n, double B, uint64_t *state)
{
    for (size_t i = 0; i < n; i++)
        rows[i] = (float)(B * (2 * uniform(state) - 1));
}

static void fill_sphere(float *rows, size_t n, size_t d, double radius, uint64_t *state)
{
    double *row = need(malloc(d * sizeof *row));
    for (size_t i = 0; i < n; i++) {
        double square = 0;
        for (size_t l = 0; l < d; l++) {
            row[l] = normal(state);
            square += row[l] * row[l];
        }
        for (size_t l = 0; l < d; l++)
            rows[i * d + l] = (float)(row[l] * radius / sqrt(square));
    }
    free(row);
}

static data make_data(const options *o)
{
    uint64_t state = o->seed;
    data set = {.memories = need(malloc(o->M * o->d * sizeof(float))),
                .queries = need(malloc(o->L * o->d * sizeof(float)))};
    if (strcmp(o->dist, "sphere") == 0) {
        fill_sphere(set.memories, o->M, o->d, 1, &state);
        fill_sphere(set.queries, o->L, o->d, o->R / o->beta, &state);
    } else {
        fill_uniform(set.memories, o->M * o->d, o->B, &state);
        fill_uniform(set.queries, o->L * o->d, o->B, &state);
    }
    hop_source source = {.M = o->M, .d = o->d, .p = o->d, .memories = set.memories};
    hop_error error = HOP_ERROR_NONE;
    if (hop_model_new(&source, NULL, &set.model, &error) != HOP_OK)
        stop(error.text);
    return set;
}

static void *run_share(void *arg)
{
    share *s = arg;
    s->status =
        hop_retrieve(s->model, &s->request, s->n, s->x, s->workspace, s->workspace_bytes, &s->answer, &s->error);
    return NULL;
}

/* The whole batch once, cut over the threads; seconds. */
static double run_once(share *shares, unsigned threads)
{
    pthread_t ids[THREADS_MAX];
    double start = seconds_now();
    for (unsigned i = 1; i < threads; i++)
        if (pthread_create(&ids[i], NULL, run_share, &shares[i]) != 0)
            stop("cannot start a thread");
    run_share(&shares[0]);
    for (unsigned i = 1; i < threads; i++)
        pthread_join(ids[i], NULL);
    double seconds = seconds_now() - start;
    for (unsigned i = 0; i < threads; i++)
        if (shares[i].status != HOP_OK)
            stop(shares[i].error.text);
    return seconds;
}

typedef struct measured {
    double seconds, bound_max;
    int degree_min, degree_max;
    float *z;
} measured;

/* Best of as many runs as fit in o->least_seconds, three at least. */
static measured measure(const options *o, const data *set, hop_mode mode)
{
    share shares[THREADS_MAX];
    measured m = {.seconds = (double)INFINITY, .degree_min = 99, .z = need(malloc(o->L * o->d * sizeof(float)))};
    double *bounds = need(malloc(o->L * sizeof *bounds));
    int *degrees = need(malloc(o->L * sizeof *degrees));
    hop_fallback *fallbacks = need(malloc(o->L * sizeof *fallbacks));
    size_t chunk = (o->L + o->threads - 1) / o->threads;
    unsigned used = (unsigned)((o->L + chunk - 1) / chunk);
    for (unsigned i = 0; i < used; i++) {
        size_t first = i * chunk, n = o->L - first < chunk ? o->L - first : chunk;
        size_t bytes = hop_retrieve_workspace_bytes(set->model, n);
        shares[i] = (share){.o = o,
                            .model = set->model,
                            .first = first,
                            .n = n,
                            .x = set->queries + first * o->d,
                            .request = {.beta = o->beta, .max_error = o->max_error, .mode = mode, .steps = 1},
                            .answer = {.z = m.z + first * o->d,
                                       .error_bound = bounds + first,
                                       .degree = degrees + first,
                                       .fallback = fallbacks + first},
                            .workspace = need(hop_aligned_alloc(bytes)),
                            .workspace_bytes = bytes,
                            .error = HOP_ERROR_NONE};
    }
    double spent = 0;
    for (int runs = 0; runs < 3 || spent < o->least_seconds; runs++) {
        double seconds = run_once(shares, used);
        spent += seconds;
        m.seconds = fmin(m.seconds, seconds);
    }
    for (size_t q = 0; q < o->L; q++) {
        m.bound_max = fmax(m.bound_max, bounds[q]);
        m.degree_min = degrees[q] < m.degree_min ? degrees[q] : m.degree_min;
        m.degree_max = degrees[q] > m.degree_max ? degrees[q] : m.degree_max;
    }
    for (unsigned i = 0; i < used; i++)
        hop_aligned_free(shares[i].workspace);
    free(bounds);
    free(degrees);
    free(fallbacks);
    return m;
}

/* Largest |z - Z| over a sample of queries, Z by plain f64 sums about the first memory. */
static double true_error(const options *o, const data *set, const float *z)
{
    double worst = 0, *N = need(malloc(o->d * sizeof *N));
    for (size_t i = 0; i < SAMPLE && i < o->L; i++) {
        size_t q = i * o->L / SAMPLE < o->L ? i * o->L / SAMPLE : 0;
        const float *x = set->queries + q * o->d;
        double D = 0;
        memset(N, 0, o->d * sizeof *N);
        for (size_t mu = 0; mu < o->M; mu++) {
            const float *row = set->memories + mu * o->d;
            double t = 0;
            for (size_t l = 0; l < o->d; l++)
                t += ((double)row[l] - (double)set->memories[l]) * (double)x[l];
            double w = exp(o->beta * t);
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

static void print_field(const options *o, const char *name, int digits, double value, bool last)
{
    if (o->json)
        printf("\"%s\":", name);
    else
        printf("  %-26s ", name);
    if (isfinite(value))
        printf("%.*g", digits, value);
    else
        printf("null");
    printf(o->json ? (last ? "}\n" : ",") : "\n");
}

static void print_word(const options *o, const char *name, const char *word)
{
    printf(o->json ? "\"%s\":\"%s\"," : "  %-26s %s\n", name, word);
}

static void print_common(const options *o, double seconds, double peak, bool last)
{
    double pairs = (double)o->M * (double)o->L, gflops = 4 * (double)o->d * pairs / seconds / 1e9;
    printf(o->json ? "{" : "");
    print_word(o, "case", o->name);
    print_field(o, "d", 15, (double)o->d, false);
    print_field(o, "M", 15, (double)o->M, false);
    print_field(o, "L", 15, (double)o->L, false);
    print_field(o, "threads", 15, o->threads, false);
    print_word(o, "isa", hop_isa_name());
    print_field(o, "beta", 6, o->beta, false);
    print_field(o, "max_error", 6, o->max_error, false);
    print_field(o, "seconds", 6, seconds, false);
    print_field(o, "ns_per_pair", 4, seconds / pairs * 1e9, false);
    print_field(o, "gflops", 4, gflops, false);
    print_field(o, "peak_gflops", 4, peak, false);
    print_field(o, "ratio_to_peak", 4, gflops / peak, last);
}

static void bench_dense(const options *o)
{
    data set = make_data(o);
    double peak = hop_peak_gflops_f32(o->threads);
    measured m = measure(o, &set, HOP_DENSE);
    print_common(o, m.seconds, peak, true);
    free(m.z);
    hop_model_free(set.model);
    free(set.memories);
    free(set.queries);
}

static void bench_almost_linear(const options *o)
{
    data set = make_data(o);
    double peak = hop_peak_gflops_f32(o->threads);
    measured dense = measure(o, &set, HOP_DENSE);
    hop_error error = HOP_ERROR_NONE;
    hop_features *features;
    unsigned degree = o->degree ? o->degree : hop_features_default_degree(set.model);
    if (hop_features_build(set.model, degree, NULL, NULL, &features, &error) != HOP_OK)
        stop(error.text);
    hop_model_adopt_features(set.model, features);
    measured m = measure(o, &set, HOP_AUTO);
    double L = (double)o->L;
    print_common(o, m.seconds, peak, false);
    print_word(o, "mode", m.degree_min > 0 ? "almost_linear" : m.degree_max > 0 ? "mixed" : "dense");
    print_field(o, "degree", 15, m.degree_max, false);
    print_field(o, "rank", 15, (double)hop_rank(o->d, (unsigned)m.degree_max), false);
    print_field(o, "seconds_per_query", 4, m.seconds / L, false);
    print_field(o, "dense_seconds_per_query", 4, dense.seconds / L, false);
    print_field(o, "speedup", 4, dense.seconds / m.seconds, false);
    print_field(o, "error_bound_max", 4, m.bound_max, false);
    print_field(o, "error_true_max", 4, true_error(o, &set, m.z), true);
    free(m.z);
    free(dense.z);
    hop_model_free(set.model);
    free(set.memories);
    free(set.queries);
}

static const char usage[] =
    "usage: hopbench dense|almost-linear [--d N] [--M N] [--L N] [--threads N] [--beta X] [--max-error X]\n"
    "                [--dist uniform|sphere] [--B X] [--R X] [--degree N] [--seed N] [--seconds X] [--json]\n";

static _Noreturn void misuse(const char *what)
{
    fprintf(stderr, "hopbench: %s\n%s", what, usage);
    exit(64);
}

static double number(const char *text, double least)
{
    char *end;
    double value = strtod(text, &end);
    if (*end || !(value >= least))
        misuse(text);
    return value;
}

static options parse(int argc, char **argv)
{
    static const struct option table[] = {
        {"d", required_argument, NULL, 'd'},    {"M", required_argument, NULL, 'M'},
        {"L", required_argument, NULL, 'L'},    {"threads", required_argument, NULL, 't'},
        {"beta", required_argument, NULL, 'b'}, {"max-error", required_argument, NULL, 'e'},
        {"dist", required_argument, NULL, 'D'}, {"B", required_argument, NULL, 'B'},
        {"R", required_argument, NULL, 'R'},    {"degree", required_argument, NULL, 'g'},
        {"seed", required_argument, NULL, 's'}, {"seconds", required_argument, NULL, 'S'},
        {"json", no_argument, NULL, 'j'},       {NULL, 0, NULL, 0},
    };
    options o = {.dist = "uniform",
                 .d = 64,
                 .M = 200000,
                 .L = 512,
                 .threads = 1,
                 .B = 1,
                 .R = 1,
                 .max_error = 1e-3,
                 .least_seconds = 1,
                 .seed = 1};
    if (argc < 2 || (strcmp(argv[1], "dense") != 0 && strcmp(argv[1], "almost-linear") != 0))
        misuse("name a case");
    o.name = argv[1];
    for (int c; (c = getopt_long(argc - 1, argv + 1, "", table, NULL)) != -1;) {
        switch (c) {
        case 'd':
            o.d = (size_t)number(optarg, 1);
            break;
        case 'M':
            o.M = (size_t)number(optarg, 1);
            break;
        case 'L':
            o.L = (size_t)number(optarg, 1);
            break;
        case 't':
            o.threads = (unsigned)number(optarg, 1);
            break;
        case 'b':
            o.beta = number(optarg, 0);
            break;
        case 'e':
            o.max_error = number(optarg, 0);
            break;
        case 'D':
            o.dist = optarg;
            break;
        case 'B':
            o.B = number(optarg, 0);
            break;
        case 'R':
            o.R = number(optarg, 0);
            break;
        case 'g':
            o.degree = (unsigned)number(optarg, 1);
            break;
        case 's':
            o.seed = (uint64_t)number(optarg, 0);
            break;
        case 'S':
            o.least_seconds = number(optarg, 0);
            break;
        case 'j':
            o.json = true;
            break;
        default:
            misuse("unknown option");
        }
    }
    if (o.threads > THREADS_MAX)
        misuse("too many threads");
    if (strcmp(o.dist, "uniform") != 0 && strcmp(o.dist, "sphere") != 0)
        misuse("--dist is uniform or sphere");
    if (o.beta == 0)
        o.beta = 1 / (double)o.d;
    return o;
}

int main(int argc, char **argv)
{
    options o = parse(argc, argv);
    hop_error error = HOP_ERROR_NONE;
    if (hop_isa_choose(NULL, &error) != HOP_OK)
        stop(error.text);
    if (strcmp(o.name, "dense") == 0)
        bench_dense(&o);
    else
        bench_almost_linear(&o);
    return 0;
}
