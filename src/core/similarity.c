/*
 * similarity.c - see similarity.h. f32 data squared in f64 can neither overflow nor underflow to zero.
 */
#include "core/similarity.h"

#include <math.h>
#include <string.h>

#include "core/status.h"

static const char *const words[] = {
    [HOP_DOT] = "dot",
    [HOP_COSINE] = "cosine",
    [HOP_CENTERED_COSINE] = "centered_cosine",
};

const char *hop_similarity_word(hop_similarity similarity)
{
    return words[similarity];
}

hop_status hop_similarity_parse(const char *word, hop_similarity *out, hop_error *error)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(word, words[i]) == 0) {
            *out = (hop_similarity)i;
            return HOP_OK;
        }
    }
    return hop_fail(error, HOP_E_UNKNOWN, "unknown similarity \"%.64s\"; one of dot, cosine, centered_cosine", word);
}

bool hop_similarity_apply(hop_similarity similarity, size_t d, const double *mean, const float *x, double *out)
{
    if (similarity == HOP_DOT) {
        for (size_t l = 0; l < d; l++)
            out[l] = (double)x[l];
        return true;
    }
    double square = 0;
    for (size_t l = 0; l < d; l++) {
        out[l] = (double)x[l] - (similarity == HOP_CENTERED_COSINE ? mean[l] : 0.0);
        square += out[l] * out[l];
    }
    double norm = sqrt(square);
    if (!(norm > 0))
        return false;
    for (size_t l = 0; l < d; l++)
        out[l] /= norm;
    return true;
}

double hop_similarity_roundings(hop_similarity similarity, size_t d)
{
    /* One subtraction a coordinate (also under the norm: twice that, halved by the root), d + 1 for the sum of squares
     * (halved), the root and the division. */
    return similarity == HOP_DOT ? 0.0 : (double)d / 2 + 8;
}

hop_status hop_similarity_keys(hop_similarity similarity, size_t n_rows, size_t d, const double *mean,
                               const float *rows, double *scratch, float *out, hop_error *error)
{
    for (size_t i = 0; i < n_rows; i++) {
        if (!hop_similarity_apply(similarity, d, mean, rows + i * d, scratch))
            return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)i, -1, "row %zu has zero norm%s: %s needs a direction", i,
                               similarity == HOP_CENTERED_COSINE ? " after centring" : "", words[similarity]);
        for (size_t l = 0; l < d; l++)
            out[i * d + l] = (float)scratch[l];
    }
    return HOP_OK;
}
