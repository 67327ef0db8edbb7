/*
 * structured.c - the structured models' parameters, and which code answers which mode.
 */
#include "core/structured.h"

#include <math.h>

#include "core/phi.h"
#include "core/plan.h"
#include "core/status.h"

void hop_parameters_default(hop_parameters *out)
{
    *out = (hop_parameters){.k = 32, .keep = 0.1, .seed = 0, .width = SIZE_MAX, .features = 0, .alpha = 1.5};
}

hop_against hop_mode_against(hop_mode mode)
{
    switch (mode) {
    case HOP_SPARSEMAX:
    case HOP_ENTMAX:
        return HOP_AGAINST_MODEL;
    case HOP_RANDOM_MASK:
    case HOP_WINDOW:
    case HOP_LINEAR:
    case HOP_RANDOM_FEATURES:
        return HOP_AGAINST_NOTHING;
    default:
        return HOP_AGAINST_DENSE;
    }
}

static hop_status check_parameters(const hop_request *request, size_t L, hop_error *error)
{
    const hop_parameters *of = &request->parameters;
    switch (request->mode) {
    case HOP_TOP_K:
        if (of->k < 1)
            return hop_fail(error, HOP_E_DOMAIN, "k must be 1 or more, not %zu", of->k);
        break;
    case HOP_RANDOM_MASK:
        if (!(of->keep > 0 && of->keep <= 1))
            return hop_fail(error, HOP_E_DOMAIN, "keep must be above 0 and at most 1, not %g", of->keep);
        break;
    case HOP_WINDOW:
        if (request->total && (L > request->total || request->first > request->total - L))
            return hop_fail(error, HOP_E_SHAPE, "rows %zu to %zu are not among the request's %zu", request->first,
                            request->first + L - 1, request->total);
        break;
    case HOP_RANDOM_FEATURES:
        if (of->features > HOP_FEATURES_MAX)
            return hop_fail(error, HOP_E_DOMAIN, "features must be at most %d, not %zu", HOP_FEATURES_MAX,
                            of->features);
        break;
    case HOP_ENTMAX:
        if (!(of->alpha >= 1.01 && of->alpha <= 2))
            return hop_fail(error, HOP_E_DOMAIN, "alpha must be 1.01 to 2, not %g", of->alpha);
        break;
    default:
        break;
    }
    return HOP_OK;
}

hop_status hop_structured_check(const hop_request *request, size_t L, hop_error *error)
{
    const char *word = hop_mode_word(request->mode);
    bool sums = request->mode == HOP_LINEAR || request->mode == HOP_RANDOM_FEATURES;
    bool logs = request->mode == HOP_TOP_K || request->mode == HOP_RANDOM_MASK || request->mode == HOP_WINDOW;
    hop_status status = check_parameters(request, L, error);
    if (status != HOP_OK)
        return status;
    if (sums && (request->want & HOP_WANT_SCORES))
        return hop_fail(error, HOP_E_DOMAIN, "top, support and weights need every score: not with mode %s", word);
    if (sums && (request->want & (HOP_WANT_ENERGY | HOP_WANT_LOG_SUM_EXP)))
        return hop_fail(error, HOP_E_DOMAIN, "mode %s has no energy and no log_sum_exp", word);
    if (!logs && (request->want & HOP_WANT_LOG_SUM_EXP))
        return hop_fail(error, HOP_E_DOMAIN, "mode %s has no log_sum_exp", word);
    if (hop_mode_against(request->mode) == HOP_AGAINST_NOTHING && isfinite(request->max_error) && !request->best_effort)
        return hop_fail(error, HOP_E_UNMET, "mode %s has no error bound: it cannot promise max_error %.3g", word,
                        request->max_error);
    return HOP_OK;
}

size_t hop_structured_workspace_bytes(const hop_model *model)
{
    return hop_phi_workspace_bytes(model);
}

hop_status hop_structured_answer(hop_frame *frame, size_t first, size_t n, const hop_answer *answer, hop_error *error)
{
    switch (frame->request->mode) {
    case HOP_LINEAR:
    case HOP_RANDOM_FEATURES:
        return hop_phi_answer(frame, first, n, answer, error);
    default:
        return hop_fail(error, HOP_E_UNKNOWN, "mode %s is not available", hop_mode_word(frame->request->mode));
    }
}
