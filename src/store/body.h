/*
 * body.h - what answers for a version of a set: rows, and the model packed from them with its feature maps.
 *
 * Versions that differ in settings or labels alone share a body, and with it everything that is made from rows alone:
 * maps, sums of phi, the separation. It is paid for once, and the last version frees it.
 */
#ifndef STORE_BODY_H
#define STORE_BODY_H

#include "core/hopfield.h"
#include "core/theory.h"
#include "store/block.h"

struct store_phi_cache;

typedef struct store_body {
    atomic_size_t references;
    store_budget *budget;
    store_block *block;
    size_t M;            /* the first of the block's rows */
    hop_packing packing; /* of what is made of it: the model of mapped rows has less */
    hop_model *model;
    uint64_t rows_hash; /* store_hash_rows() of them */
    size_t measured_M;  /* rows there were when the frame was made that the model is in */

    /* Mutable while published. */
    atomic_size_t charged_bytes;                 /* beside the block's: what the last release gives back */
    _Atomic(struct store_phi_cache *) phi_cache; /* that holds sums of these rows; NULL: none ever did */
    _Atomic(hop_separation *) separation;        /* studies.h; owned, NULL while there is none */
} store_body;

/* What a body is made of. */
typedef struct store_body_source {
    store_block *block; /* a reference of its own is taken */
    size_t M;
    hop_similarity similarity;
    hop_packing packing, wanted; /* of this model; of those made of the body */
    const store_body *like;      /* NULL, or that whose frame is kept where it can be: hop_source.like */
    size_t same_rows;            /* hop_source.same_rows, of like */
    const hop_frames *frames;    /* hop_source.frames */
    uint64_t rows_hash;
} store_body_source;

/*
 * One reference, the caller's. charged_bytes of the budget are paid for it already: they are the body's on success, and
 * stay the caller's otherwise. Errors: those of hop_model_new(), HOP_E_BUDGET. Cost: hop_model_new().
 */
HOP_WARN_UNUSED hop_status store_body_new(const store_body_source *source, size_t charged_bytes,
                                          const hop_executor *executor, store_body **out, hop_error *error);

/* What store_body_new() charges for a body of M rows, without its block. False: larger than can be addressed. */
bool store_body_bytes(size_t M, size_t d, size_t p, hop_similarity similarity, hop_packing packing, size_t *out);

store_body *store_body_acquire(store_body *body);
void store_body_release(store_body *body); /* NULL is taken. Any thread */

/* The body pays for that much more, which is charged already. */
void store_body_pay(store_body *body, size_t bytes);

/* Give the model its maps, for which that much was charged: what they do not take goes back to the budget. */
void store_body_adopt(store_body *body, hop_features *features, size_t charged_bytes);

#endif
