/*
 * measure.h - the time of one batch through the front door, and how far its answers are from the truth.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "bench/data.h"
#include "bench/team.h"

typedef struct bench_measured {
    double seconds;            /* the whole batch, the best run */
    double bound_max;          /* of the error bounds */
    double standard_error_max; /* of random_features */
    double *bounds;            /* L, owned */
    int *degrees;              /* L, owned */
    int degree_min, degree_max;
    float *z; /* L x p, owned */
} bench_measured;

/*
 * Best of as many runs as fit in --seconds, three at least. Workspaces are made once: what is timed is hop_retrieve().
 * Dense batches are one call that has the team as its executor; others are cut into as many calls as the team has
 * threads. Stops where an answer is refused.
 */
bench_measured bench_measure(const bench_options *o, const bench_data *set, const hop_request *request,
                             bench_team *team);
void bench_measured_free(bench_measured *m);

/* Who answered the rows: "almost_linear", "dense" or "mixed". */
const char *bench_mode_word(const bench_measured *m);

/* What the planner's costs come from in this run. */
typedef struct bench_costs {
    const char *source; /* "measured", "built_in" */
    double seconds;     /* that measuring them took */
    double misfit;      /* the largest factor by which they miss what they were made from */
} bench_costs;

/* Measure the planner's costs and use them, as the daemon does at its start; where that fails, the built-in ones. */
bench_costs bench_calibrate(void);

/* The request that --beta, --max-error and --best-effort make. */
hop_request bench_request(const bench_options *o, hop_mode mode);

/* Largest |z - Z| over a sample of queries, Z by plain f64 sums about the first memory. */
double bench_true_error(const bench_options *o, const bench_data *set, const float *z);

#endif
