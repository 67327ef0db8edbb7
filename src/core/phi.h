/*
 * phi.h - retrieval through sums of features over the memories: linear and random_features. Its cost does not depend on
 * M. What the sums are, and how they are made, is in hopfield.h; the random vectors are in orthogonal.h.
 *
 * Both models come to the same thing. With S_i = sum_mu phi_i(xi_mu) and V_i = sum_mu phi_i(xi_mu) v_mu / S_i,
 *
 *     z = sum_i p_i V_i,    p = softmax_i(log phi_i(x) + log S_i)
 *
 * so that the m features are as many memories, with means of values for values. Logarithms are what is kept: nothing
 * overflows, and some p_i is never small.
 */
#ifndef HOP_PHI_H
#define HOP_PHI_H

#include "core/costs.h"
#include "core/frame.h"

/* Workspace of hop_phi_answer() with any features: frame->structured_workspace. The model's sizes have been checked. */
size_t hop_phi_workspace_bytes(const hop_model *model);

/*
 * Answer the n rows whose numbers are in frame->active, row first + frame->active[a] of the call, from frame->state: z,
 * a bound of INFINITY (nothing is promised), degree 0; and, for random_features, answer->standard_error where that is
 * not NULL. The request has been checked otherwise. Errors: HOP_E_DOMAIN where its sums do not fit it.
 */
HOP_WARN_UNUSED hop_status hop_phi_answer(hop_frame *frame, size_t first, size_t n, const hop_answer *answer,
                                          hop_error *error);

/* Counts of one row of a call with so many, and of making the sums. */
hop_work hop_phi_row_work(const hop_model *model, const hop_request *request, size_t rows);
hop_work hop_phi_build_work(const hop_model *model, hop_mode mode, const hop_parameters *parameters);

#endif
