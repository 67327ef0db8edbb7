/*
 * mode.c - what modes and fallbacks are called, and what a mode's bound is measured against.
 */
#include <string.h>

#include "core/hopfield.h"
#include "core/status.h"

static const char *const mode_words[] = {
    [HOP_AUTO] = "auto",
    [HOP_DENSE] = "dense",
    [HOP_ALMOST_LINEAR] = "almost_linear",
    [HOP_TOP_K] = "top_k",
    [HOP_RANDOM_MASK] = "random_mask",
    [HOP_WINDOW] = "window",
    [HOP_LINEAR] = "linear",
    [HOP_RANDOM_FEATURES] = "random_features",
    [HOP_SPARSEMAX] = "sparsemax",
    [HOP_ENTMAX] = "entmax",
};

const char *hop_mode_word(hop_mode mode)
{
    return mode_words[mode];
}

hop_status hop_mode_parse(const char *word, hop_mode *out, hop_error *error)
{
    for (size_t i = 0; i < sizeof mode_words / sizeof *mode_words; i++) {
        if (strcmp(word, mode_words[i]) == 0) {
            *out = (hop_mode)i;
            return HOP_OK;
        }
    }
    return hop_fail(error, HOP_E_UNKNOWN,
                    "unknown mode \"%.64s\"; one of auto, almost_linear, dense, top_k, random_mask, window, linear, "
                    "random_features, sparsemax, entmax",
                    word);
}

const char *hop_fallback_word(hop_fallback fallback)
{
    static const char *const words[] = {
        [HOP_FALLBACK_BOUND] = "bound",
        [HOP_FALLBACK_COST] = "cost",
        [HOP_FALLBACK_BUILDING] = "building",
        [HOP_FALLBACK_RETURN] = "return",
    };
    return words[fallback];
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
