/*
 * plan.h - the only decision: which method, at which degree, at what predicted cost.
 *
 * Costs are a few constants an ISA (seconds a multiply-add, an exp, a stored moment); they decide speed, never
 * soundness: the certificate has the last word, and what it refuses runs dense.
 */
#ifndef HOP_PLAN_H
#define HOP_PLAN_H

#include "core/moments.h"
#include "core/query.h"

/* What needs every score, and so a dense pass. */
enum { HOP_WANT_SCORES = HOP_WANT_TOP | HOP_WANT_SUPPORT | HOP_WANT_WEIGHTS };

/* Above this radius no degree that is worth its cost has a certificate: auto does not even look. */
#define HOP_PLAN_RADIUS_MAX 40.0

/*
 * Predicted seconds per query of a batch. They do not depend on the batch's size, so that neither does the choice: a
 * query gets the same answer, to the bit, in whatever company it comes.
 */
double hop_plan_dense_seconds(const hop_model *model);
double hop_plan_al_seconds(const hop_model *model, unsigned g);

/* The highest degree up to g_max that is predicted cheaper than dense; 0: none. */
unsigned hop_plan_degree_cap(const hop_model *model, unsigned g_max);

/*
 * Candidates and choice for one query. sigma: (mean t^2)^{1/2} (hop_al_sigma); features may be NULL.
 */
void hop_plan_choose(const hop_model *model, const hop_features *features, const hop_request *request,
                     const hop_query *query, double sigma, hop_plan *out);

/*
 * Predicted seconds of one query from its norm alone, as if the keys lay evenly in all directions: for admission,
 * before there is a workspace. features may be NULL.
 */
double hop_plan_guess_seconds(const hop_model *model, const hop_features *features, const hop_request *request,
                              const float *x);

#endif
