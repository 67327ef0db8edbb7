/*
 * gap_anns.h - instances of Gap-ANNS (Hu et al. 2024, Definition 2.2) as retrieval problems, and the decision read off
 * the answers: Theorem 2.1's reduction in the form that holds (docs/MATH.md, "Gap-ANNS"). For tests and for hopbench;
 * numbers follow from the seed alone.
 *
 * Vectors of {0,1}^d with d/2 ones. A query is a yes where some a_i differs from it in at most `t` places, a no where
 * all differ in at least `far` = (1 + delta) t. With memories B (a_i, 0) and n copies of B (0, 1), queries B (b_l, 1),
 * values 1 and 0, beta = 1/(2d), and H_i the number of places in which a_i differs,
 *
 *     Z = S/(S + n),  S = sum_i e^{-beta B^2 (d + H_i)/2}
 *
 * is at least `yes` for every yes and at most `no` for every no. Where yes > no, an answer whose bound is below half
 * their difference decides: AHop solves Gap-ANNS.
 */
#ifndef TEST_GAP_ANNS_H
#define TEST_GAP_ANNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct gap_anns_shape {
    size_t n, d, t, far; /* d, t and far even, t < far <= d */
    size_t L;            /* queries: a yes, a no, and so on */
} gap_anns_shape;

typedef struct gap_anns {
    gap_anns_shape shape;
    double beta, B;  /* B: an f32 */
    float *memories; /* 2n x 2d */
    float *values;   /* 2n x 1 */
    float *queries;  /* L x 2d */
    bool *truth;     /* L */
    double yes, no;
} gap_anns;

/* The B at which yes is e^slack times no. At 0 and below nothing is decided by these bounds. */
double gap_anns_B(const gap_anns_shape *shape, double slack);

/* The largest `far` that about half of all vectors leave to n vectors of that seed; even, 0 where there is none. */
size_t gap_anns_far(size_t n, size_t d, uint64_t seed);

/* The caller frees it. NULL: no memory, or so many vectors that no query is a no. */
gap_anns *gap_anns_new(const gap_anns_shape *shape, double B, uint64_t seed);
void gap_anns_free(gap_anns *instance);

typedef enum gap_anns_decision { GAP_ANNS_NO, GAP_ANNS_YES, GAP_ANNS_OPEN } gap_anns_decision;

/* What an answer z with |z - Z| <= bound says; it is right whatever B is. OPEN: either may be. */
gap_anns_decision gap_anns_decide(const gap_anns *instance, double z, double bound);

/* Any bound below this decides. 0 or less: none does. */
double gap_anns_margin(const gap_anns *instance);

#endif
