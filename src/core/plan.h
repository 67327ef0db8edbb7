/*
 * plan.h - the only decision: which method, at which degree, at what predicted cost.
 *
 * Costs are a few constants an ISA (seconds a multiply-add, an exp, a stored moment); they decide speed, never soundness: the
 * certificate has the last word, and what it refuses runs dense.
 */
#ifndef HOP_PLAN_H
#define HOP_PLAN_H

#include "core/moments.h"
#include "core/query.h"

/* Predicted seconds per query, L queries at a time. */
double hop_plan_dense_seconds(const hop_model *model, size_t L);
double hop_plan_al_seconds(const hop_model *model, const hop_features *features, unsigned g, size_t L);

/* The highest degree predicted cheaper than dense for L queries at a time; 0: none. */
unsigned hop_plan_degree_cap(const hop_model *model, const hop_features *features, size_t L);

/*
 * Candidates and choice for one query. sigma: (mean t^2)^{1/2} (hop_al_sigma); features may be NULL. log_sum_exp: max_error
 * bounds log D instead of z.
 */
void hop_plan_choose(const hop_model *model, const hop_features *features, const hop_request *request,
                     const hop_query *query, double sigma, size_t L, hop_plan *out);

#endif
