/*
 * hopbench.c - in-process timings of the core, each beside a limit measured in the same run: the options, the table of
 * cases, and how fields are printed.
 *
 *     hopbench dense         --d 64 --M 200000 --L 512
 *     hopbench dense-single  --d 64 --M 1000000
 *     hopbench almost-linear --d 16 --M 1000000 --L 512 --dist uniform --B 1 --max-error 1e-3
 *     hopbench almost-linear --d 32 --M 1000000 --L 512 --dist sphere --R 2 --max-error 1e-2
 *     hopbench build         --d 16 --M 1000000 --degree 3 --threads 2
 *     hopbench append        --d 16 --M 1000000 --degree 3 --changed 1000
 *     hopbench model         --d 64 --M 4194304 --threads 2
 *     hopbench plan          --d 16 --M 1000000 --L 512
 *     hopbench gap-anns      --d 512 --M 512 --L 64 --B 0
 *     hopbench structured    --mode top_k --k 32 --d 64 --M 200000
 *
 * Every time is the best of several runs: noise only slows. Errors are reported beside it: the largest bound of the
 * batch, and the largest true error of a sample of it, against plain f64 sums.
 */
#include "bench/hopbench.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/hopfield.h"

typedef struct bench_case {
    const char *name;
    void (*run)(const bench_options *o);
} bench_case;

static const bench_case cases[] = {
    {"dense", bench_dense},
    {"dense-single", bench_dense_single},
    {"almost-linear", bench_almost_linear},
    {"build", bench_build},
    {"append", bench_append},
    {"model", bench_model},
    {"plan", bench_plan},
    {"gap-anns", bench_gap_anns},
    {"structured", bench_structured},
};

/* ---- for the cases ------------------------------------------------------------------------------------ */

_Noreturn void bench_stop(const char *what)
{
    fprintf(stderr, "hopbench: %s\n", what);
    exit(1);
}

void *bench_need(void *block)
{
    if (!block)
        bench_stop("out of memory");
    return block;
}

double bench_seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The object being printed: there is one at a time. */
static struct {
    bool json, any;
} object;

void bench_print_begin(const bench_options *o)
{
    object.json = o->json;
    object.any = false;
    if (object.json)
        putchar('{');
}

static void print_name(const char *field)
{
    if (object.json)
        printf("%s\"%s\":", object.any ? "," : "", field);
    else
        printf("  %-32s ", field);
    object.any = true;
}

void bench_print_number(const char *field, int digits, double value)
{
    print_name(field);
    if (isfinite(value))
        printf("%.*g", digits, value);
    else
        printf("null");
    if (!object.json)
        putchar('\n');
}

void bench_print_word(const char *field, const char *word)
{
    print_name(field);
    printf(object.json ? "\"%s\"" : "%s\n", word);
}

void bench_print_end(void)
{
    if (object.json)
        puts("}");
}

void bench_print_case(const bench_options *o, bool has_queries)
{
    bench_print_word("case", o->name);
    bench_print_number("d", 15, (double)o->d);
    bench_print_number("M", 15, (double)o->M);
    if (has_queries)
        bench_print_number("L", 15, (double)o->L);
    bench_print_number("threads", 15, o->threads);
    bench_print_word("isa", hop_isa_name());
    if (has_queries) {
        bench_print_number("beta", 6, o->beta);
        bench_print_number("max_error", 6, o->max_error);
    }
}

void bench_print_pass(const bench_options *o, double seconds, double peak)
{
    double pairs = (double)o->M * (double)o->L, gflops = 4e-9 * (double)o->d * pairs / seconds;
    bench_print_case(o, true);
    bench_print_number("seconds", 6, seconds);
    bench_print_number("ns_per_pair", 4, seconds / pairs * 1e9);
    bench_print_number("gflops", 4, gflops);
    bench_print_number("peak_gflops", 4, peak);
    bench_print_number("ratio_to_peak", 4, gflops / peak);
}

/* ---- options ------------------------------------------------------------------------------------------ */

static void print_usage(FILE *to)
{
    fputs("usage: hopbench CASE [OPTION...]\n  cases:", to);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        fprintf(to, " %s", cases[i].name);
    fprintf(to, "\n"
                "  --d N --M N --L N --threads N           shape (64, 200000, 512, 1)\n"
                "  --beta X --max-error X                  0 is 1/d; 1e-3\n"
                "  --dist uniform|sphere --B X --R X       entries in [-B, B]; unit sphere, queries of norm R/beta\n"
                "  --memories FILE --queries FILE          npy instead; --out FILE writes the answers\n"
                "  --degree N                              of the feature maps; 0 is the set's own choice\n"
                "  --changed N                             rows that append exchanges, model adds; 0 is M / 100\n"
                "  --mode WORD                             of structured (top_k); its --k N, --keep X, --width N,\n"
                "  --features N, --alpha X                 0: as the HTTP interface has it; --seed is its seed\n"
                "  --best-effort                           every degree, best bound, whatever it is\n"
                "  --no-dense                              almost-linear without its dense pass\n"
                "  --seed N --seconds X --json             1; least time of a measurement, 1\n"
                "  --help\n");
}

static _Noreturn void misuse(const char *what)
{
    fprintf(stderr, "hopbench: %s\n", what);
    print_usage(stderr);
    exit(64);
}

static _Noreturn void refuse(const char *option, const char *why)
{
    char what[160];
    snprintf(what, sizeof what, "%.50s: %.100s", option, why);
    misuse(what);
}

static double number(const char *name, double least)
{
    char *end, option[32], what[96];
    double value = strtod(optarg, &end);
    if (end == optarg || *end || !(value >= least) || value > 1e15) {
        snprintf(option, sizeof option, "--%s", name);
        snprintf(what, sizeof what, "'%.40s' is not a number from %g to 1e15", optarg, least);
        refuse(option, what);
    }
    return value;
}

static const struct option table[] = {
    {"d", required_argument, NULL, 'd'},        {"M", required_argument, NULL, 'M'},
    {"L", required_argument, NULL, 'L'},        {"threads", required_argument, NULL, 't'},
    {"beta", required_argument, NULL, 'b'},     {"max-error", required_argument, NULL, 'e'},
    {"dist", required_argument, NULL, 'D'},     {"B", required_argument, NULL, 'B'},
    {"R", required_argument, NULL, 'R'},        {"degree", required_argument, NULL, 'g'},
    {"seed", required_argument, NULL, 's'},     {"seconds", required_argument, NULL, 'S'},
    {"memories", required_argument, NULL, 'm'}, {"queries", required_argument, NULL, 'q'},
    {"out", required_argument, NULL, 'o'},      {"changed", required_argument, NULL, 'c'},
    {"mode", required_argument, NULL, 'x'},     {"k", required_argument, NULL, 'k'},
    {"keep", required_argument, NULL, 'K'},     {"width", required_argument, NULL, 'w'},
    {"features", required_argument, NULL, 'F'}, {"alpha", required_argument, NULL, 'a'},
    {"best-effort", no_argument, NULL, 'f'},    {"no-dense", no_argument, NULL, 'n'},
    {"json", no_argument, NULL, 'j'},           {NULL, 0, NULL, 0},
};

/* name: the option's, for messages; of one that is not in the table, or lacks its value, the word as it is given. */
static void set_option(bench_options *o, int c, const char *name)
{
    switch (c) {
    case 'd':
        o->d = (size_t)number(name, 1);
        break;
    case 'M':
        o->M = (size_t)number(name, 1);
        break;
    case 'L':
        o->L = (size_t)number(name, 1);
        break;
    case 't':
        o->threads = (unsigned)fmin(number(name, 1), BENCH_THREADS_MAX + 1);
        break;
    case 'b':
        o->beta = number(name, 0);
        break;
    case 'e':
        o->max_error = number(name, 0);
        break;
    case 'D':
        o->dist = optarg;
        break;
    case 'B':
        o->B = number(name, 0);
        break;
    case 'R':
        o->R = number(name, 0);
        break;
    case 'g':
        o->degree = (unsigned)fmin(number(name, 0), 1000);
        break;
    case 's':
        o->seed = (uint64_t)number(name, 0);
        break;
    case 'S':
        o->least_seconds = number(name, 0);
        break;
    case 'm':
        o->memories = optarg;
        break;
    case 'q':
        o->queries = optarg;
        break;
    case 'o':
        o->out = optarg;
        break;
    case 'c':
        o->changed = (size_t)number(name, 1);
        break;
    case 'x':
        o->mode = optarg;
        break;
    case 'k':
        o->k = (size_t)number(name, 0);
        break;
    case 'K':
        o->keep = number(name, 0);
        break;
    case 'w':
        o->width = (size_t)number(name, 0);
        break;
    case 'F':
        o->features = (size_t)number(name, 0);
        break;
    case 'a':
        o->alpha = number(name, 0);
        break;
    case 'f':
        o->best_effort = true;
        break;
    case 'n':
        o->no_dense = true;
        break;
    case 'j':
        o->json = true;
        break;
    case ':':
        refuse(name, "needs a value");
    default:
        refuse(name, "there is no such option");
    }
}

static const bench_case *find_case(const char *name)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(name, cases[i].name) == 0)
            return &cases[i];
    misuse("no such case");
}

int main(int argc, char **argv)
{
    if (argc < 2)
        misuse("name a case");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_usage(stdout);
            return 0;
        }
    }
    const bench_case *chosen = find_case(argv[1]);
    bench_options o = {.name = chosen->name,
                       .dist = "uniform",
                       .mode = "top_k",
                       .d = 64,
                       .M = 200000,
                       .L = 512,
                       .threads = 1,
                       .B = 1,
                       .R = 1,
                       .max_error = 1e-3,
                       .least_seconds = 1,
                       .seed = 1};
    int index = 0;
    for (int c; (c = getopt_long(argc - 1, argv + 1, ":", table, &index)) != -1;)
        set_option(&o, c, c == '?' || c == ':' ? argv[optind] : table[index].name);
    if (optind < argc - 1)
        misuse("a word too many");
    if (o.threads > BENCH_THREADS_MAX)
        misuse("too many threads");
    if (strcmp(o.dist, "uniform") != 0 && strcmp(o.dist, "sphere") != 0)
        misuse("--dist is uniform or sphere");
    hop_error error = HOP_ERROR_NONE;
    if (hop_isa_choose(NULL, &error) != HOP_OK)
        bench_stop(error.text);
    chosen->run(&o);
    return 0;
}
