/*
 * multiindex.h - the order of monomials u^alpha, |alpha| <= g, and the rank r(d, g) = C(d+g, g).
 *
 * Graded: degree k after degree k-1. Within degree k, block i (i = 0..d-1) holds the monomials whose smallest variable
 * is i, in the order of their cofactors:  block i of degree k  =  u_i x (degree k-1, from block i on).  So
 *
 *     monomial (i, b) of degree k is u_i times monomial b of degree k-1, b running over a suffix,
 *
 * one multiplication each, all strides one, no index table. Degree k-1's suffix from block i starts at
 * offset[k-1][i], block i of degree k at offset[k][i]; both have suffix(k-1, i) elements.
 */
#ifndef HOP_MULTIINDEX_H
#define HOP_MULTIINDEX_H

#include "core/hopfield.h"
#include "core/kernels.h"

enum { HOP_DEGREE_MAX = 24 };

typedef struct hop_multiindex {
    size_t d;
    unsigned g;     /* highest degree */
    size_t *offset; /* (g + 1) x (d + 1), within the degree; offset[k][d] = n_k = C(d+k-1, k) */
    size_t *lead;   /* (g + 1) x d: variable i times cofactor b of degree k-1 is monomial lead[k][i] + b of degree k */
    size_t *start;  /* g + 2: where degree k starts among all; start[g + 1] = r(d, g) */
} hop_multiindex;

/* Errors: HOP_E_LIMIT (g above HOP_DEGREE_MAX, or r(d, g) above what fits in an int), HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status hop_multiindex_init(hop_multiindex *out, size_t d, unsigned g, hop_error *error);
void hop_multiindex_fini(hop_multiindex *index);

static inline size_t hop_multiindex_offset(const hop_multiindex *index, unsigned k, size_t i)
{
    return index->offset[k * (index->d + 1) + i];
}

/* n_k: monomials of degree k. */
static inline size_t hop_multiindex_count(const hop_multiindex *index, unsigned k)
{
    return hop_multiindex_offset(index, k, index->d);
}

/* Monomials of degree k whose smallest variable is at least i; degree 0 has its one for every i. */
static inline size_t hop_multiindex_suffix(const hop_multiindex *index, unsigned k, size_t i)
{
    return k ? hop_multiindex_count(index, k) - hop_multiindex_offset(index, k, i) : 1;
}

/* Degree k >= 2 over its cofactors, for the kernels. */
static inline hop_degree hop_multiindex_degree(const hop_multiindex *index, unsigned k)
{
    return (hop_degree){
        .d = index->d, .offset = index->offset + (k - 1) * (index->d + 1), .lead = index->lead + k * index->d};
}

/* 1/alpha! of every monomial of degrees 0..g, graded: r(d, g) numbers. multiplicity: as many bytes of scratch. */
void hop_multiindex_factorials(const hop_multiindex *index, double *out, unsigned char *multiplicity);

#endif
