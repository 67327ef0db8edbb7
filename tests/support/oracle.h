/*
 * oracle.h - dense retrieval, log-sum-exp and energy in 113-bit arithmetic: the truth that bounds are held against.
 *
 * Written from the definitions alone: scores of every memory, the largest subtracted, weights, weighted sums. It shares
 * no code with the core. Scores and sums carry 113 bits; exp and log are the C library's long double (64 bits or more)
 * of differences that are at most 0. What that leaves is returned with every number as its own error.
 */
#ifndef TEST_ORACLE_H
#define TEST_ORACLE_H

#include "core/hopfield.h"

#include <float.h>

#if LDBL_MANT_DIG >= 113
typedef long double oracle_real;
#elif defined(__SIZEOF_FLOAT128__)
__extension__ typedef __float128 oracle_real;
#else
#error "the oracle needs a 113-bit type"
#endif

/* A frozen set as the model sees it: keys after the similarity's transform, as stored in f32. Borrowed arrays. */
typedef struct oracle_set {
    size_t M, d, p;
    const float *keys;         /* M x d */
    const float *values;       /* M x p */
    hop_similarity similarity; /* how a query becomes comparable to the keys */
    const double *centre;      /* d: subtracted from queries first; NULL unless HOP_CENTERED_COSINE */
} oracle_set;

/*
 * The exact answer of one query. z_error, lse_error and energy_error bound the distance to exact arithmetic:
 *
 *     |dz_j| <= sum_mu p_mu eta_mu |v_mu,j - z_j|,  eta_mu = (4 + |t_mu - t_max|) 2^-63 + (d + 16) 2^-111 s,
 *
 * by Lemma A of docs/MATH.md with relative errors eta of the weights: the difference's rounding to long double, exp's
 * own ulp, and the score's roundings, s = beta max_mu sum_l |xi_mu,l x_l|. About 1e-18 of the values' spread.
 */
typedef struct oracle_answer {
    size_t M, p;
    oracle_real *z;       /* p */
    long double *z_error; /* p */
    long double *weight;  /* M */
    oracle_real lse, energy;
    long double lse_error, energy_error;
    long double support; /* 1 / sum p^2 */
    long double radius;  /* max_mu |beta <key_mu - mean key, x>| */
} oracle_answer;

oracle_answer *oracle_answer_new(size_t M, size_t p);
void oracle_answer_free(oracle_answer *answer);

/*
 * One step from query x (d floats as given by a client). False where the transformed query has no direction (norm 0);
 * the answer is then undefined. Cost: M (d + 2 p) operations of about 50 ns.
 */
bool oracle_retrieve(const oracle_set *set, double beta, const float *x, oracle_answer *answer);

/*
 * The same of the softmax over the memories that are kept (M of them, at least one true; NULL: all). weight is 0
 * elsewhere. The radius is over all memories.
 */
bool oracle_softmax(const oracle_set *set, double beta, const float *x, const bool *kept, oracle_answer *answer);

/*
 * The same of p = entmax_alpha(beta Xi^T x) in the form [(alpha - 1) t - tau]_+^{1/(alpha - 1)}, 1 < alpha <= 2, tau by
 * bisection, or, where alpha = 2, from the sorted scores. energy is |x|^2/2 - Psi*(t)/beta, Psi* from its definition;
 * lse is Psi*(t)/beta. Errors: that of the scores, and of tau.
 */
bool oracle_entmax(const oracle_set *set, double beta, const float *x, double alpha, oracle_answer *answer);

/* The exact beta <key_mu, x'>, M of them. False where x' has no direction. */
bool oracle_scores(const oracle_set *set, double beta, const float *x, oracle_real *t);

/* max_j |z_j - truth_j|, each coordinate's oracle error taken off first (never below 0): what a bound must cover. */
long double oracle_distance(const oracle_answer *answer, const float *z);

/* |value - truth| less the oracle's error, never below 0. */
long double oracle_lse_distance(const oracle_answer *answer, double log_sum_exp);
long double oracle_energy_distance(const oracle_answer *answer, double energy);

/* The norm of the query after the similarity's transform, before normalising; for deciding whether it is zero. */
long double oracle_query_norm(const oracle_set *set, const float *x);

#endif
