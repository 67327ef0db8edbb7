/*
 * set.h - one version of a memory set: rows, labels, defaults and the model that answers for them.
 *
 * A set is made by a builder, or from another version (revision.h), and frozen before the registry publishes it: from
 * then on nothing in it changes but the members under "mutable" below, which are atomics. Replacing a set publishes
 * another one; whoever still reads the old version keeps it alive by its reference, and the last reader frees it and
 * gives its bytes back to the budget. Rows, model and labels may be another version's too: body.h, labels.h. The registry
 * knows which version is current, operations builds the feature maps.
 */
#ifndef STORE_SET_H
#define STORE_SET_H

#include "core/hopfield.h"
#include "core/theory.h"
#include "store/body.h"
#include "store/budget.h"
#include "store/labels.h"

enum {
    STORE_NAME_BYTES = 129, /* 128 characters and the NUL */
    STORE_ETAG_BYTES = 48   /* "\"<16 hex digits>-<20 digits>\"" and the NUL */
};

typedef enum store_state {
    STORE_BUILDING, /* answers; feature maps are on their way */
    STORE_READY,    /* answers; nothing is left to build, even if there are no maps */
    STORE_FAILED    /* answers dense; the build of its maps failed, see reason */
} store_state;

const char *store_state_word(store_state state); /* "building", "ready", "failed" */

/* What a set is told about its own defaults; "not given" is filled in from the rows by store_builder_finish(). */
typedef struct store_options {
    double beta;      /* > 0; 0: not given, 1/sqrt(d) */
    double max_error; /* >= 0, in the values' unit; negative: not given, 1e-3 of the largest coordinate range */
    int max_degree;   /* >= 0; -1: not given, hop_features_default_degree() */
} store_options;

#define STORE_OPTIONS_DEFAULT ((store_options){.beta = 0, .max_error = -1, .max_degree = -1})

/* In a revision of settings: the degree is the daemon's choice again. */
enum { STORE_DEGREE_FREE = -2 };

typedef struct store_set {
    atomic_size_t references;

    /* Settings: what requests that say nothing get. */
    double beta, max_error;
    int max_degree; /* cap of the feature maps; -1: the library's choice; 0: none */

    /* Identity: name, version and etag are written before the set is published. */
    char name[STORE_NAME_BYTES];
    char etag[STORE_ETAG_BYTES]; /* quoted */
    uint64_t version;            /* from 1 */
    uint64_t content_hash;       /* of everything that answers depend on: content_hash.h */
    int64_t created_ms;          /* since 1970 */

    /* Memory: references to what other versions may have too, and views of it. */
    store_body *body;
    store_labels *labels; /* NULL: no labels */
    size_t M, d, p;
    const float *memories;      /* M x d */
    const float *values;        /* M x p; NULL: the memories */
    const uint64_t *ids;        /* M, ascending: what each row is called for as long as it lives; NULL: its number */
    uint64_t next_id;           /* of the next row to come: above every id there ever was */
    const char *label_text;     /* all labels, each with its NUL; NULL: no labels */
    const size_t *label_offset; /* M, into label_text */
    size_t label_bytes;         /* of both arrays */
    hop_model *model;
    struct store_mapping *mapping; /* where memories and values lie, in place of memory of their own; NULL: nowhere */
    store_budget *budget;          /* borrowed; outlives the set */

    /* Its regime (regime.h): before the maps, and with them, which is written before `ready` is. */
    hop_regime regime[2];
    bool has_regime[2];

    /* Mutable while published. */
    atomic_int state;      /* store_state; `reason` is written before `failed` or `ready` is */
    hop_progress progress; /* of the feature maps; cancel: this version is no longer current */
    char reason[HOP_ERROR_TEXT_BYTES];
    struct store_set *next_build; /* the queue of operations, under its lock */
    int64_t rest_until_ms;        /* likewise: of the monotonic clock */
} store_set;

/* [A-Za-z0-9][A-Za-z0-9._-]{0,127} */
bool store_name_valid(const char *name);

/* Give a set that nobody else sees yet its name and version, and the etag that follows. name is valid. */
void store_set_name(store_set *set, const char *name, uint64_t version);

/*
 * store_set_new() - a set of a body and labels, frozen but for its regime: state `building`, no name and version 0.
 *
 * labels may be NULL. options: all given but max_degree. charged_bytes of the budget are paid for it already, at most
 * sizeof(store_set). On success the references to body and labels are the set's, otherwise they and charged_bytes stay
 * the caller's. Errors: HOP_E_BUDGET, HOP_E_NOMEM. Cost: a pass over labels that were in no set before.
 */
HOP_WARN_UNUSED hop_status store_set_new(store_body *body, store_labels *labels, const store_options *options,
                                         uint64_t next_id, int64_t created_ms, size_t charged_bytes, store_set **out,
                                         hop_error *error);

/* What a set of these rows that is told nothing gets. */
store_options store_default_options(const store_body *body);
store_options store_set_default_options(const store_set *set);

/* The content hash that files of format 1 say; a set read from one keeps it. One pass over everything. */
uint64_t store_set_hash_1(const store_set *set);

/* Another budget is charged for a set that nobody else sees yet: what its last reader frees is released there. */
void store_set_move_charge(store_set *set, store_budget *to);

/* One more reader. The caller must hold a reference, or the registry's lock. Returns the set. */
store_set *store_set_acquire(store_set *set);

/* One reader fewer; the last one frees the set. NULL is taken. Any thread. */
void store_set_release(store_set *set);

store_state store_set_state(const store_set *set);

/*
 * store_set_intact() - was what has been read from the rows of this set what they are?
 *
 * Always true but for a set whose rows are mapped (mapping.h): then it is to be asked after the last read and before
 * anything that came of it is used: an answer, sums, maps, a copy, a file. Once false it stays false, and the set is
 * `failed`. Any thread that has done the reading or waited for those who have. Cost: nothing; mapped, one fstat(2).
 */
bool store_set_intact(const store_set *set);

/* The same as an error: HOP_E_UNLOADED. */
HOP_WARN_UNUSED hop_status store_set_check(const store_set *set, hop_error *error);

/* The same, where only what is known already counts: HOP_OK proves nothing. Cost: one load. */
HOP_WARN_UNUSED hop_status store_set_usable(const store_set *set, hop_error *error);

/* Why the state is what it is, or "" when there is nothing to say. Valid while the caller holds a reference. */
const char *store_set_reason(const store_set *set);

/* The id of row mu, and the row that has an id, false where none has. mu < M. */
uint64_t store_set_id(const store_set *set, size_t mu);
bool store_set_row_of(const store_set *set, uint64_t id, size_t *mu);

/* Label of memory mu, NULL where the set has no labels. mu < M. */
const char *store_set_label(const store_set *set, size_t mu);

/* Progress of the feature maps in permille; 1000 when nothing is left to build. */
unsigned store_set_permille(const store_set *set);

/* store_body_adopt() for the set's body. */
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
