/*
 * structured.h - the models other than plain softmax over all memories (docs/MATH.md, "Structured models"): what they
 * accept, and one step of a call's rows. What the front door (retrieve.c) and a call's frame (frame.h) are to all
 * modes stays theirs; sums of phi, for linear and random_features, are phi.h's.
 */
#ifndef HOP_STRUCTURED_H
#define HOP_STRUCTURED_H

#include "core/frame.h"

static inline bool hop_structured(hop_mode mode)
{
    return mode >= HOP_TOP_K && mode < HOP_MODES;
}

enum { HOP_STRUCTURED_ROWS = 192 }; /* most rows that are answered together: of frame->batch and frame->sums */

/* Whether a request's rows go through hop_structured_answer(): top_k of all memories is dense retrieval. */
static inline bool hop_structured_apart(const hop_model *model, const hop_request *request)
{
    return hop_structured(request->mode) && !(request->mode == HOP_TOP_K && request->parameters.k >= model->M);
}

/*
 * What a request of a structured mode may ask for. Errors: HOP_E_DOMAIN naming the parameter or the return that the
 * mode has no meaning for; HOP_E_UNMET for a finite max_error that the mode has no bound for, unless best effort will
 * do; HOP_E_UNKNOWN.
 */
HOP_WARN_UNUSED hop_status hop_structured_check(const hop_request *request, size_t L, hop_error *error);

/* Bytes that any structured mode wants for any request with this model: part of a frame. 0: the sizes overflow. */
size_t hop_structured_workspace_bytes(const hop_model *model);

/*
 * Answer the n rows whose numbers are in frame->active (queries prepared), by the request's mode: z, bound, met,
 * degree 0, and what is wanted of top, support and weights, of row first + frame->active[a] of the call. What needs
 * scores refers to the state that the step starts from; a later step writes it again.
 * Errors: HOP_E_UNMET naming the row whose scores leave the range of f64.
 */
HOP_WARN_UNUSED hop_status hop_structured_answer(hop_frame *frame, size_t first, size_t n, const hop_answer *answer,
                                                 hop_error *error);

#endif
