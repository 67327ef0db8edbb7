/*
 * plan.h - the only decision: which method, at which degree and precision, at what predicted cost.
 *
 * Predictions come from the cost model (costs.h); they decide speed, never soundness: the certificate has the last
 * word, and what it refuses runs dense. `rows` is how many queries are answered together: a single one shares nothing.
 */
#ifndef HOP_PLAN_H
#define HOP_PLAN_H

#include "core/almost_linear.h"

/* What needs every score, and so a dense pass. */
enum { HOP_WANT_SCORES = HOP_WANT_TOP | HOP_WANT_SUPPORT | HOP_WANT_WEIGHTS };

/* Above this radius no degree that is worth its cost has a certificate: auto does not even look. */
#define HOP_PLAN_RADIUS_MAX 40.0

/* Predicted seconds of one row among so many. g <= HOP_PLAN_DEGREE_MAX; f32: the precision of the sweeps. */
double hop_plan_dense_seconds(const hop_model *model, size_t rows, bool f64, bool shifted);
double hop_plan_al_seconds(const hop_model *model, unsigned g, size_t rows, bool f32);

/*
 * The highest degree up to g_max whose sweeps are predicted cheaper than an unshifted dense pass, by both's precision;
 * 0: none. Cost: some 0.1 us a degree that is looked at.
 */
typedef struct hop_plan_caps {
    unsigned degree[2][2];              /* [dense in f64][sweeps in f32] */
    double gain[2][HOP_DEGREE_MAX + 1]; /* [in f64][g]: dense's seconds over those of g, 1 to the highest of these */
    double spread;                      /* (mean t^2)^{1/2} over T_abs of a query of any direction, about */
} hop_plan_caps;

hop_plan_caps hop_plan_degree_caps(const hop_model *model, unsigned g_max, size_t rows);

/*
 * The same for the degrees of the model's maps, which there must be. They remember the last answer: it costs next to
 * nothing while rows stay the same.
 */
hop_plan_caps hop_plan_caps_of(const hop_model *model, size_t rows);

/* The highest degree worth building for sets that are asked in batches, whatever the precision of the sweeps. */
unsigned hop_plan_degree_cap(const hop_model *model, unsigned g_max);

/* Whether a dense pass for this is predicted to need f64: f32 would miss max_error, of z. */
bool hop_plan_dense_f64(const hop_model *model, const hop_query *query, double max_error);

/*
 * Whether any of them may do for row: false beyond HOP_PLAN_RADIUS_MAX, and where to look at degree 1 is no small part
 * of a dense pass and no degree is likely to do. may_f64: dense may need f64. Cost: some ns a degree.
 */
bool hop_plan_worth_a_look(const hop_plan_caps *caps, const hop_model *model, bool may_f64, const hop_al_row *row);

/*
 * The one that is row's: 0 where none is worth a look. row: query, z and max_error are read, degree_cap and gain are
 * written; gain is caps'.
 */
void hop_plan_cap_row(const hop_plan_caps *caps, const hop_model *model, const hop_features *features, bool dense_f64,
                      hop_al_row *row);

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
