/*
 * theory.h - what Hu et al. 2024 (arXiv 2402.04520, "P1") say about a memory set, and what this library makes of it.
 *
 * Two reports. hop_regime_of(): on which side of P1's phase transition a set lies, in milliseconds. hop_theory_of():
 * P1's degree, rank and error beside ours, separation of the memories, error of a retrieval and capacity. The second
 * rests on a hop_separation: distances and inner products of all pairs, or of a sample, measured once a set.
 * Printed statements of P1 that do not hold are corrected; docs/MATH.md, "Errata", has the list and the letters used
 * here.
 *
 * All numbers are about the keys in use: the memories, or for the cosines their f32 transforms. Numbers are f64, not
 * intervals: they describe a set, and no answer rests on them. NaN: the paper gives none here; `reason` says why, and
 * is "" where nothing is missing.
 */
#ifndef HOP_THEORY_H
#define HOP_THEORY_H

#include "hopfield.h"

enum { HOP_PROBES_MAX = 64, HOP_REASON_BYTES = 240 };

/* What is asked of a set. */
typedef struct hop_theory_request {
    double beta;      /* > 0, finite */
    double max_error; /* >= 0, finite: P1's delta_H, in the values' unit */
    size_t L;         /* queries of a batch; 0: 1 */
    double B; /* largest |entry| of queries to come, after a cosine's transform; no less than the keys'. 0: that */
    double p; /* 0 < p < 1: Theorem B.1's probability that storing and retrieving fails. 0: 0.01 */
} hop_theory_request;

/* ---- regime ------------------------------------------------------------------------------------------ */

typedef enum hop_verdict {
    HOP_EFFICIENT,  /* at least 90 % of the probes are met below dense's predicted cost */
    HOP_TRANSITION, /* neither */
    HOP_HARD        /* no degree of the maps meets any probe */
} hop_verdict;

const char *hop_verdict_word(hop_verdict verdict); /* "efficient", "transition", "hard" */

/*
 * Probes are memories evenly spaced by id, asked for themselves: all M where M <= 64, else 64, or fewer (8 at least)
 * where maps are so large that 64 are predicted to take more than 5 ms.
 */
typedef struct hop_regime {
    double tau;       /* max(M, L) */
    double B;         /* largest |entry| of the keys, or the B asked for where that is larger */
    double B_star;    /* sqrt(ln tau): P1's criterion, up to a constant (Theorem 2.1, Theorem 3.1) */
    double beta_B2_d; /* beta d B^2: the radius of the exponents that P1's degree is made for (Lemma 3.1) */
    double R_t;       /* proven: no probe has max_mu |beta <xi_mu - centre, x>| above it. What our degree is made for */
    size_t probes;    /* how many there were */
    size_t met;       /* probes for which some degree meets max_error */
    size_t met_below; /* and is predicted cheaper than dense */
    unsigned g_max;   /* degree of the maps; where there are none, the default degree */
    bool predicted;   /* there are no maps: nothing was certified, the verdict is what maps of degree g_max should do */
    hop_verdict verdict;
    char reason[HOP_REASON_BYTES]; /* why that verdict: one sentence */
} hop_regime;

/* Bytes that hop_regime_of() and hop_theory_of() need. 0: the sizes overflow. As hop_retrieve_workspace_bytes(). */
size_t hop_theory_workspace_bytes(const hop_model *model);

/*
 * hop_regime_of() - P1's phase transition, seen from this set.
 *
 * workspace  workspace_bytes >= hop_theory_workspace_bytes(model), 64-byte aligned
 *
 * Errors: HOP_E_DOMAIN (beta, max_error, B, p), HOP_E_LIMIT (workspace). Cost: a certified almost-linear evaluation of
 * each probe: below 1 ms where low degrees meet, some 10 ms where no degree of default maps does. Allocates nothing,
 * one thread.
 */
HOP_WARN_UNUSED hop_status hop_regime_of(const hop_model *model, const hop_theory_request *request, void *workspace,
                                         size_t workspace_bytes, hop_regime *out, hop_error *error);

/* ---- separation -------------------------------------------------------------------------------------- */

/* Distances and inner products of pairs of keys: depends on the set alone. Frozen once made: any number of threads. */
typedef struct hop_separation hop_separation;

/* M^2 d up to here: every pair is looked at. Above, rows are sampled, as many as cost no more, and 64 at least. */
#define HOP_SEPARATION_EXACT 1e11

/*
 * hop_separation_new() - each row (or each of a sample) against all M.
 *
 * seed  of the sample: one row drawn from each of n equal slices of the ids. Not read where all rows are looked at
 *
 * The result does not depend on the executor. progress may be NULL; cancel is looked at every few milliseconds.
 * Cost: up to 1e11 f64 multiply-adds (64 M d where that is more): hop_separation_seconds(). Memory: 8 bytes a row that
 * is looked at, and below 4 MB a thread meanwhile where d <= 1000: hop_separation_bytes().
 * Errors: HOP_E_NOMEM, HOP_E_CANCELLED. On success the caller owns *out; hop_separation_free() takes NULL.
 */
HOP_WARN_UNUSED hop_status hop_separation_new(const hop_model *model, uint64_t seed, const hop_executor *executor,
                                              hop_progress *progress, hop_separation **out, hop_error *error);
void hop_separation_free(hop_separation *separation);

/* Predicted, on so many threads. */
double hop_separation_seconds(const hop_model *model, size_t width);

/* Held while it is made on so many threads; and afterwards. SIZE_MAX: overflow. */
size_t hop_separation_build_bytes(const hop_model *model, size_t width);
size_t hop_separation_bytes(const hop_model *model);

/* ---- theory ------------------------------------------------------------------------------------------ */

/* P1's construction, for max|Z~ - Z| <= max_error (Lemma 3.1, Lemma 3.2, Theorem 3.1). */
typedef struct hop_theory_p1 {
    double delta_A;    /* relative error of every entry that 2 M B delta_A <= max_error leaves; below 0.1 */
    double delta_H;    /* 2 M B delta_A (3.3): max_error, unless delta_A stops at 0.1 */
    double R;          /* beta d B^2 */
    double g;          /* smallest Taylor degree with R^{g+1}/(g+1)! e^R <= delta_A. An integer. NaN: max_error is 0 */
    double log10_rank; /* of C(2(d+g), 2g), as printed */
    char reason[HOP_REASON_BYTES];
} hop_theory_p1;

/* The same for the set's maps, as certified at the probes. */
typedef struct hop_theory_ours {
    double R;           /* R_t of hop_regime */
    double g;           /* highest degree that a probe was met at. NaN: none was met */
    double log10_rank;  /* of C(d+g, g) */
    double error_bound; /* largest certified bound of a probe that was met. NaN: none, or predicted */
    size_t probes, met, met_below;
    unsigned g_max;
    bool predicted; /* as in hop_regime */
    char reason[HOP_REASON_BYTES];
} hop_theory_ours;

/*
 * Definitions 3.3 and 3.4, Lemma B.1. Delta_mu = <xi_mu, xi_mu> - max_{nu != mu} <xi_mu, xi_nu>. All but m are NaN for
 * M = 1. Quantile q of n numbers is the ceil(q n)-th smallest.
 */
typedef struct hop_theory_separation {
    bool exact;    /* every pair was looked at; else `rows` rows against all M, drawn by `seed` */
    uint64_t rows; /* Delta_mu is exact for these; R_sep of a sample is an upper estimate */
    uint64_t seed;
    double R_sep; /* half the smallest distance of two memories (of a looked-at one to any): Definition 3.3's R */
    double m;     /* largest |xi_mu|, over all M */
    double Delta_min, Delta_q10, Delta_median, Delta_q90, Delta_max; /* over the rows looked at */
    double delta;     /* radius, l2, of what max_error allows: sqrt(d) max_error; 0 where values are not the keys */
    double threshold; /* (1/beta) ln(2 (M-1) m/(R_sep - delta)) + 2 m R_sep (B.2). NaN: R_sep <= delta */
    double well_separated; /* share of the rows with Delta_mu >= threshold; 0 where R_sep <= delta */
    char reason[HOP_REASON_BYTES];
} hop_theory_separation;

/*
 * Theorem 3.2 with the exponent that holds (erratum f): bounds of max_j |z_j - v_mu,j|, z an answer within max_error,
 *
 *     2 B_v (M-1) e^{-beta (Delta_mu - 2 m r)} + max_error,  at most 2 B_v + max_error,  B_v the largest |entry| of the
 *
 * values, for queries x with |x - xi_mu| <= r: at the memory itself (r = 0) and anywhere in S_mu (r = R_sep). NaN for
 * M = 1.
 */
typedef struct hop_theory_error {
    double at_memory_median, at_memory_max; /* over the rows looked at */
    double in_sphere_median, in_sphere_max;
    char reason[HOP_REASON_BYTES];
} hop_theory_error;

/*
 * Theorem B.1 with erratum d, for memories drawn evenly from the sphere of radius m that are R_sep apart as these are:
 * with probability 1 - p at least M_max of them are stored and retrieved.
 *
 *     a = 4/(d-1) (ln(2 m sqrt(p)/(R_sep - delta)) + 2 beta m R_sep),  b = 4 m^2 beta/(5 (d-1)),
 *     C = b/w,  w + ln w = a + ln b,  M_max = sqrt(p) C^{(d-1)/4}.
 *
 * Logarithms, as the numbers may leave f64. All NaN for d = 1, M = 1 and
 * R_sep = 0; where R_sep <= delta all but b and log10_M_dense.
 */
typedef struct hop_theory_capacity {
    double p;
    double a, b;
    double log10_C, log10_M_max;
    double M_max;         /* NaN where it is above 1e300 */
    double log10_M_dense; /* the same for exact retrieval, delta = 0 */
    /*
     * P1's delta = sqrt(d) 2 M B delta_A grows with M: the M at which M memories with the delta_A of hop_theory_p1 are
     * just stored, M = M_max(delta(M)).
     */
    double log10_M_p1;
    char reason[HOP_REASON_BYTES];
} hop_theory_capacity;

typedef struct hop_theory {
    size_t M, d, L;
    double beta, max_error;
    hop_regime regime;
    hop_theory_p1 p1;
    hop_theory_ours ours;
    hop_theory_separation separation;
    hop_theory_error retrieval_error;
    hop_theory_capacity capacity;
} hop_theory;

/*
 * hop_theory_of() - the whole report. separation: of this model. Workspace, errors and cost as hop_regime_of().
 */
HOP_WARN_UNUSED hop_status hop_theory_of(const hop_model *model, const hop_theory_request *request,
                                         const hop_separation *separation, void *workspace, size_t workspace_bytes,
                                         hop_theory *out, hop_error *error);

#endif
