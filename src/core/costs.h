/*
 * costs.h - the cost model: how often each part of hop_cost occurs in a piece of work. Seconds are their sum.
 *
 * It is linear in the costs, so that calibrate.c can fit them to measured times with the very counts that plan.c
 * predicts from. What decides between candidates is plan.c's.
 */
#ifndef HOP_COSTS_H
#define HOP_COSTS_H

#include "core/evaluation.h"

/* Counts of one row's share of a batch. */
typedef struct hop_work {
    double count[HOP_COSTS];
} hop_work;

/* A pass over no more than this many bytes finds them in a cache. */
#define HOP_COST_CACHED_BYTES (8.0 * 1048576)

/* What every row takes. */
hop_work hop_work_row(const hop_model *model);

/* rows: how many are answered together; what they share is divided among them. */
hop_work hop_work_dense(const hop_model *model, size_t rows, bool f64, bool shifted);

/* What a call takes once, and a row that goes one by one, before it is evaluated: as much as so many degrees. */
#define HOP_WORK_START 1.0

/* Degrees 1..g and the answer at g, in f32 or f64, side by side or one by one as hop_al_run() does it. g + 1 <= 24. */
hop_work hop_work_almost_linear(const hop_model *model, unsigned g, size_t rows, bool f32);

/* So many groups of one form, `shared` of them a pass over A, and nothing else of a row. */
void hop_work_add_groups(const hop_model *model, unsigned g, hop_form form, double groups, double shared,
                         hop_work *work);

/* What top, support and weights add to a dense pass. */
hop_work hop_work_scores(const hop_model *model, size_t rows);

/*
 * A row of a structured mode (top_k: of fewer than all), whose exponents' radius is about `radius`; worst: whatever the
 * scores are.
 */
hop_work hop_work_structured(const hop_model *model, const hop_request *request, size_t rows, double radius,
                             bool worst);

/* Building maps of degree g. */
hop_work hop_work_build(const hop_model *model, unsigned g);

/* Changes when the costs in use do, or the kernels; that it comes back after 2^32 does not matter for guesses. */
unsigned hop_costs_version(void);

double hop_work_seconds(const hop_work *work, const hop_costs *costs);

#endif
