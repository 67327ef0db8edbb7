/*
 * sets.h - seeded memory sets and queries for the soundness tests: random data of many shapes and adversarial ones.
 *
 * A set is a function of (kind, seed, index) alone, so that any of them can be made again.
 */
#ifndef TEST_SETS_H
#define TEST_SETS_H

#include "core/hopfield.h"
#include "support/rng.h"

typedef struct test_set {
    const char *kind;
    uint64_t seed;
    size_t index;
    size_t M, d, p;
    float *memories; /* M x d */
    float *values;   /* M x p, or NULL: the memories */
    hop_similarity similarity;
    double beta;  /* > 0: the inverse temperature this set is made for; 0: any */
    float *query; /* d: the query it is made for; NULL: any */
    test_rng rng; /* what is left of the set's stream: for queries and choices */
} test_set;

size_t test_set_kinds(void); /* how many kinds there are */
const char *test_set_kind(size_t kind);

/* The index-th set of a kind. The caller frees it. */
test_set *test_set_new(size_t kind, uint64_t seed, size_t index);
void test_set_free(test_set *set);

hop_source test_set_source(const test_set *set);
const float *test_set_values(const test_set *set); /* values, or memories where there are none */

/* L queries: memories, near them, opposite, zero, huge, tiny, between, unrelated. The first is never zero or huge. */
void test_set_queries(test_set *set, size_t L, float *x);

/* Largest range of a coordinate of the values. */
double test_set_range(const test_set *set);

#endif
