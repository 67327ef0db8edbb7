/*
 * phi_sums.h - the sums of features over the memories, as phi_sums.c makes them and phi.c reads them.
 *
 * Features lie in units: of random ones as many whole orthogonal blocks as fit 64 (or one), which are independent of
 * each other; of linear all d. A unit takes `stride` slots; slots behind its features have log_s = -INFINITY.
 */
#ifndef HOP_PHI_SUMS_H
#define HOP_PHI_SUMS_H

#include "core/model.h"

typedef struct hop_phi_shape {
    size_t d, p, m;
    size_t unit, n_units; /* features of a unit; the last may have fewer */
    size_t stride;        /* slots of a unit: a multiple of HOP_ROW_STEP */
    size_t width;         /* numbers of a row of w: d and zeros, a multiple of HOP_ROW_STEP; 0: there is no w */
} hop_phi_shape;

struct hop_phi_sums {
    const hop_model *model;
    hop_mode mode;
    double beta;
    uint64_t seed;
    hop_phi_shape shape;
    double *w;      /* slots x width: sqrt(beta) w_i */
    double *log_s;  /* slots: log S_i */
    double *v;      /* unit by unit p x stride: V_ij - centre_j, of model->value */
    double *centre; /* d: c */
    size_t bytes;
    void *block;
};

/* false: the sizes overflow. features: at most HOP_FEATURES_MAX. */
bool hop_phi_shape_of(const hop_model *model, hop_mode mode, const hop_parameters *parameters, hop_phi_shape *out);

/* Most slots that a unit of either mode has. */
size_t hop_phi_stride_max(size_t d);

/* features in force are legal. Errors: HOP_E_DOMAIN. */
HOP_WARN_UNUSED hop_status hop_phi_check_features(const hop_parameters *parameters, hop_error *error);

static inline size_t hop_phi_slots(const hop_phi_shape *shape)
{
    return shape->n_units * shape->stride;
}

static inline size_t hop_phi_slot(const hop_phi_shape *shape, size_t feature)
{
    return feature / shape->unit * shape->stride + feature % shape->unit;
}

#endif
