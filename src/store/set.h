/*
 * set.h - one version of a memory set: rows, labels, defaults and the model that answers for them.
 *
 * A set is made by a builder and frozen before the registry publishes it: from then on nothing in it changes but
 * the members under "mutable" below, which are atomics. Replacing a set publishes another one; whoever still reads
 * the old version keeps it alive by its reference, and the last reader frees it and gives its bytes back to the
 * budget. The registry knows which version is current, operations builds the feature maps.
 */
#ifndef STORE_SET_H
#define STORE_SET_H

#include "core/hopfield.h"
#include "core/theory.h"
#include "store/budget.h"

enum {
    STORE_NAME_BYTES = 129,  /* 128 characters and the NUL */
    STORE_ETAG_BYTES = 48,   /* "\"<16 hex digits>-<20 digits>\"" and the NUL */
    STORE_LABEL_BYTES = 1024 /* longest label, without a NUL */
};

typedef enum store_state {
    STORE_BUILDING, /* answers; feature maps are on their way */
    STORE_READY,    /* answers; nothing is left to build, even if there are no maps */
    STORE_FAILED    /* answers dense; the build of its maps failed, see reason */
} store_state;

const char *store_state_word(store_state state); /* "building", "ready", "failed" */

struct store_phi_cache;

typedef struct store_set {
    atomic_size_t references;

    /* Settings: what requests that say nothing get. */
    double beta, max_error;
    int max_degree; /* cap of the feature maps; -1: the library's choice; 0: none */

    /* Identity: name, version and etag are written before the set is published. */
    char name[STORE_NAME_BYTES];
    char etag[STORE_ETAG_BYTES]; /* quoted */
    uint64_t version;            /* from 1 */
    uint64_t content_hash;       /* of shape, rows, values, labels and settings */
    int64_t created_ms;          /* since 1970 */

    /* Memory: owned by the set. */
    size_t M, d, p;
    float *memories;      /* M x d */
    float *values;        /* M x p; NULL: the memories */
    uint64_t *ids;        /* M, ascending: what each row is called for as long as it lives; NULL: its number */
    uint64_t next_id;     /* of the next row to come: above every id there ever was */
    char *label_text;     /* all labels, each with its NUL; NULL: no labels */
    size_t *label_offset; /* M, into label_text */
    size_t label_bytes;   /* of both arrays */
    hop_model *model;
    store_budget *budget; /* borrowed; outlives the set */

    /* Its regime (regime.h): before the maps, and with them, which is written before `ready` is. */
    hop_regime regime[2];
    bool has_regime[2];

    /* Mutable while published. */
    atomic_size_t charged_bytes; /* what the last release gives back */
    atomic_int state;            /* store_state; `reason` is written before `failed` or `ready` is */
    hop_progress progress;       /* of the feature maps; cancel: this version is no longer current */
    char reason[HOP_ERROR_TEXT_BYTES];
    _Atomic(struct store_phi_cache *) phi_cache; /* that holds sums of this set; NULL: none ever did */
    _Atomic(hop_separation *) separation;        /* studies.h; owned, NULL while there is none */
    struct store_set *next_build;                /* the queue of operations, under its lock */
} store_set;

/* [A-Za-z0-9][A-Za-z0-9._-]{0,127} */
bool store_name_valid(const char *name);

/* Give a set that nobody else sees yet its name and version, and the etag that follows. name is valid. */
void store_set_name(store_set *set, const char *name, uint64_t version);

/* One more reader. The caller must hold a reference, or the registry's lock. Returns the set. */
store_set *store_set_acquire(store_set *set);

/* One reader fewer; the last one frees the set. NULL is taken. Any thread. */
void store_set_release(store_set *set);

store_state store_set_state(const store_set *set);

/* Why the state is what it is, or "" when there is nothing to say. Valid while the caller holds a reference. */
const char *store_set_reason(const store_set *set);

/* The id of row mu, and the row that has an id, false where none has. mu < M. */
uint64_t store_set_id(const store_set *set, size_t mu);
bool store_set_row_of(const store_set *set, uint64_t id, size_t *mu);

/* Label of memory mu, NULL where the set has no labels. mu < M. */
const char *store_set_label(const store_set *set, size_t mu);

/* Progress of the feature maps in permille; 1000 when nothing is left to build. */
unsigned store_set_permille(const store_set *set);

/* Give the set its feature maps, for which that much was charged: what they do not take goes back to the budget. */
void store_set_adopt(store_set *set, hop_features *features, size_t charged_bytes);

/*
 * Move to ready or failed, once, by whoever builds the maps; reason may be NULL. Readers that see the new state see
 * the reason and the feature maps too.
 */
void store_set_settle(store_set *set, store_state state, const char *reason);

/* Bytes by what holds them. */
typedef struct store_bytes {
    size_t memories, values, ids, labels, model, features;
    size_t sums;       /* of linear and random_features, in the cache */
    size_t separation; /* for theory reports */
    size_t total;
} store_bytes;

store_bytes store_set_bytes(const store_set *set);

#endif
