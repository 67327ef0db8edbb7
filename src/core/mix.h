/*
 * mix.h - a weighted mean of values, memory by memory, in f64: sums, their rounding, and what else the weights add up
 * to. Which weights is the caller's.
 */
#ifndef HOP_MIX_H
#define HOP_MIX_H

#include "core/certificate.h"
#include "core/model.h"

/* Sums so far. A run of HOP_MIX_RUN weights is added up before it joins the rest. */
typedef struct hop_mix {
    const hop_model *model;
    double *run, *numerator;     /* columns each: sum w (v - centre) of the run, and of the runs before */
    double run_D, D;             /* sum w */
    double run_squares, squares; /* sum w^2 */
    double run_other, other;     /* what the caller adds to run_other */
    size_t in_run, n;            /* weights */
} hop_mix;

enum { HOP_MIX_RUN = 256 };

size_t hop_mix_bytes(const hop_model *model); /* of `block` */

/* Start at nothing. block: hop_mix_bytes(), 64-byte aligned. */
void hop_mix_init(hop_mix *mix, const hop_model *model, void *block);

/* One more weight w >= 0. Cost: p. */
void hop_mix_add(hop_mix *mix, size_t id, double w);

/* Close the run. Needed before sums are read or joined. */
void hop_mix_flush(hop_mix *mix);

/* Add what `part` holds; both flushed. */
void hop_mix_join(hop_mix *mix, const hop_mix *part);

/*
 * The answer sum w v / sum w of a flushed mix that was joined from `parts` ones, and its bound. terms: what is known of
 * the weights; the rounding of the sums is added here. Changes the numerator to the scale of geometry.h.
 */
double hop_mix_answer(hop_mix *mix, size_t parts, const hop_error_terms *terms, float *z);

/* Relative rounding error of D, the weights as computed taken for exact. */
double hop_mix_error(const hop_mix *mix, size_t parts);

#endif
