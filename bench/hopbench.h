/*
 * hopbench.h - what hopbench's cases share: the options, the way out on failure, the printing of fields, and the cases.
 *
 * Each group of cases is a file (case_*.c); arrays are made in data.c, timed in measure.c, and compared with limits
 * that peak.c and bandwidth.c measure in the same run.
 */
#ifndef BENCH_HOPBENCH_H
#define BENCH_HOPBENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_THREADS_MAX = 64 };

typedef struct bench_options {
    const char *name;                     /* the case */
    const char *dist;                     /* "uniform", "sphere" */
    const char *mode;                     /* of structured */
    const char *memories, *queries, *out; /* npy files; NULL: made up, made up, not written */
    size_t d, M, L, changed;              /* changed: rows that append takes away and adds, model adds; 0: M / 100 */
    unsigned threads, degree;             /* degree 0: the set's own choice */
    double beta, B, R, max_error, least_seconds;
    size_t k, width, features; /* of structured; 0: their defaults */
    double keep, alpha;        /* likewise */
    bool json, best_effort, no_dense;
    uint64_t seed;
} bench_options;

/* The cases print one object of fields, or stop. */
void bench_dense(const bench_options *o);
void bench_dense_single(const bench_options *o);
void bench_almost_linear(const bench_options *o);
void bench_build(const bench_options *o);
void bench_append(const bench_options *o);
void bench_model(const bench_options *o);
void bench_plan(const bench_options *o);
void bench_gap_anns(const bench_options *o);
void bench_structured(const bench_options *o);

/* One sentence on standard error, exit status 1. */
_Noreturn void bench_stop(const char *what);
/* `block`, or stop where it is NULL. */
void *bench_need(void *block);
double bench_seconds_now(void); /* monotonic */

/*
 * One object between begin and end: JSON on one line with --json, a field a line otherwise. A number that is not
 * finite is null: not measured, or does not apply.
 */
void bench_print_begin(const bench_options *o);
void bench_print_number(const char *field, int digits, double value);
void bench_print_word(const char *field, const char *word);
void bench_print_end(void);

/* The fields that every case starts with: case, d, M, threads, isa; L, beta and max_error where it has queries. */
void bench_print_case(const bench_options *o, bool has_queries);

/*
 * bench_print_case() and seconds, ns_per_pair, gflops, peak_gflops, ratio_to_peak of one batch:
 * gflops = 4 d M L / seconds, exp not counted, as if every query met every memory.
 */
void bench_print_pass(const bench_options *o, double seconds, double peak);

#endif
