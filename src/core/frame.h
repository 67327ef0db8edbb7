/*
 * frame.h - the frame of a call: its workspace, and one step for a set of rows by whatever mode. The front door
 * (retrieve.c, hopfield.h) loops over chunks and steps.
 */
#ifndef HOP_FRAME_H
#define HOP_FRAME_H

#include "core/almost_linear.h"
#include "core/dense.h"
#include "core/query.h"

/* One row on its way through a step. */
typedef struct hop_row {
    hop_query query;
    float *z;                  /* p; NULL: log-sum-exp only */
    double bound;              /* of z, or of log-sum-exp where z is NULL */
    double log_sum, log_error; /* log sum_mu e^{t_mu} and its bound */
    int degree;
    hop_fallback fallback;
    bool met;
} hop_row;

/* A call's frame: what is fixed over its rows, and its workspace cut into pieces. */
typedef struct hop_frame {
    const hop_model *model;
    const hop_features *features; /* NULL: none, or no room for them */
    const hop_request *request;
    bool energy_only;
    size_t chunk;             /* rows at a time */
    size_t total;             /* rows of the request that the call belongs to */
    hop_row *rows;            /* chunk */
    double *xi;               /* chunk x d */
    float *state;             /* chunk x d: the current query, as f32 */
    size_t *active, *pending; /* chunk each: row numbers */
    hop_al_row *al_rows;      /* chunk */
    const hop_query **batch;  /* of the dense pass, and of a structured model's */
    hop_dense_sums *sums;
    float *kept; /* p: an earlier answer of the row at hand */
    void *al_workspace, *dense_workspace;
    void *structured_workspace; /* of the structured models; where dense_workspace is */
} hop_frame;

/* Bytes of a frame for at most L rows, features included where they are not NULL. 0: the sizes overflow. */
size_t hop_frame_bytes(const hop_model *model, const hop_features *features, size_t L);

/* Cut a workspace. Errors: HOP_E_LIMIT where it is too small even without features. */
HOP_WARN_UNUSED hop_status hop_frame_init(hop_frame *frame, const hop_model *model, const hop_request *request,
                                          bool energy_only, size_t L, void *workspace, size_t workspace_bytes,
                                          hop_error *error);

/*
 * Answer the n rows whose numbers are in frame->active (queries prepared) by the request's mode: almost-linear where
 * its certificate meets, dense in f32, then in f64, for the rest; each row ends with its best bound.
 */
void hop_frame_answer(hop_frame *frame, size_t n);

/* lse and energy of a row from its log_sum, with bounds. false: they overflow f64. */
bool hop_row_energy(const hop_row *row, double beta, double *lse, double *lse_bound, double *energy,
                    double *energy_bound);

#endif
