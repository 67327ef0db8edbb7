/*
 * plan.h - the only decision: which method, at which degree and precision, at what predicted cost.
 *
 * Predictions come from the cost model (costs.h); they decide speed, never soundness: the certificate has the last
 * word, and what it refuses runs dense. `rows` is how many queries are answered together: a single one shares nothing.
 */
#ifndef HOP_PLAN_H
#define HOP_PLAN_H

#include "core/moments.h"
#include "core/query.h"

/* What needs every score, and so a dense pass. */
enum { HOP_WANT_SCORES = HOP_WANT_TOP | HOP_WANT_SUPPORT | HOP_WANT_WEIGHTS };

/* Above this radius no degree that is worth its cost has a certificate: auto does not even look. */
#define HOP_PLAN_RADIUS_MAX 40.0

/* Predicted seconds of one row among so many. g <= HOP_PLAN_DEGREE_MAX. */
double hop_plan_dense_seconds(const hop_model *model, size_t rows, bool f64, bool shifted);
double hop_plan_al_seconds(const hop_model *model, unsigned g, size_t rows);

/* The highest degree up to g_max that is predicted cheaper than dense, of the given precision, unshifted; 0: none. */
unsigned hop_plan_degree_cap(const hop_model *model, unsigned g_max, size_t rows, bool f64);

/*
 * Candidates and choice for one query of a batch. sigma: (mean t^2)^{1/2} (hop_al_sigma), ignored where features is
 * NULL.
 */
void hop_plan_choose(const hop_model *model, const hop_features *features, const hop_request *request, size_t rows,
                     const hop_query *query, double sigma, hop_plan *out);

/*
 * Predicted seconds of one query from its norm alone, as if the keys lay evenly in all directions: for admission,
 * before there is a workspace. features may be NULL.
 */
double hop_plan_guess_seconds(const hop_model *model, const hop_features *features, const hop_request *request,
                              size_t rows, const float *x);

/* The same whatever happens: every degree, then dense in f32 and in f64, with every score where they are wanted. */
double hop_plan_worst_seconds(const hop_model *model, const hop_features *features, const hop_request *request,
                              size_t rows);

#endif
