/*
 * model.h - one frozen memory set as the core's modules see it. The public face is hopfield.h.
 */
#ifndef HOP_MODEL_H
#define HOP_MODEL_H

#include "core/geometry.h"
#include "core/hopfield.h"

struct hop_model {
    /* Shape */
    size_t M, d, p;
    hop_similarity similarity;
    bool shared; /* values are the keys: numerator and denominator come from the same moments */

    /* Rows: borrowed from the source, but for transformed keys */
    const float *keys, *values; /* M x d, M x p */
    float *own_keys;            /* NULL for dot */
    double *mean;               /* of the memories as given, d numbers; NULL unless centered_cosine */

    /* Measures */
    hop_geometry key, value; /* value aliases key where shared */
    hop_norms norms;

    /* Packed for dense: scaled and centred rows, see pack.h */
    size_t columns;                   /* p rounded up to HOP_COLUMNS */
    float *key_panels, *value_panels; /* NULL where not packed */

    _Atomic(hop_features *) features;
    size_t bytes;
};

/* The keys in use: for dot the memories themselves, else their transform rounded to f32. M x d. */
const float *hop_model_keys(const hop_model *model);

#endif
