/*
 * separation.h - what theory.c reads of a measured separation. The public face is theory.h.
 */
#ifndef HOP_SEPARATION_H
#define HOP_SEPARATION_H

#include "core/theory.h"

struct hop_separation {
    size_t M, n;    /* rows of the set; looked at: M, or of a sample */
    uint64_t seed;  /* of the sample */
    double nearest; /* smallest distance of a looked-at row to any other; INFINITY: M = 1 */
    double *Delta;  /* n, ascending. Undefined for M = 1 */
};

/* hop_separation_new(), all rows where M^2 d <= limit. */
HOP_WARN_UNUSED hop_status hop_separation_measure(const hop_model *model, double limit, uint64_t seed,
                                                  const hop_executor *executor, hop_progress *progress,
                                                  hop_separation **out, hop_error *error);

/* The ceil(q n)-th smallest Delta, 0 < q <= 1; q = 0: the smallest. */
double hop_separation_quantile(const hop_separation *separation, double q);

/* Share of the rows with Delta >= threshold. */
double hop_separation_share(const hop_separation *separation, double threshold);

#endif
