/*
 * multiindex.c - offsets by the recursion of the header; C(n, k) without overflow.
 */
#include "core/multiindex.h"

#include <limits.h>

#include "core/alloc.h"
#include "core/status.h"

uint64_t hop_rank(size_t d, unsigned g)
{
    uint64_t r = 1;
    for (unsigned k = 1; k <= g; k++) {
        /* C(d+k, k) = C(d+k-1, k-1) (d+k) / k: the product is exact, or the rank is out of reach anyway */
        uint64_t factor, product;
        if (__builtin_add_overflow((uint64_t)d, (uint64_t)k, &factor) || __builtin_mul_overflow(r, factor, &product))
            return UINT64_MAX;
        r = product / k;
    }
    return r;
}

hop_status hop_multiindex_init(hop_multiindex *out, size_t d, unsigned g, hop_error *error)
{
    if (g > HOP_DEGREE_MAX || hop_rank(d, g) > INT_MAX)
        return hop_fail(error, HOP_E_LIMIT, "degree %u of %zu coordinates has too many monomials", g, d);
    size_t *block = hop_array_new((size_t)g + 1, d + 2, sizeof *block);
    size_t *lead = hop_array_new((size_t)g + 1, d, sizeof *lead);
    size_t *start = hop_array_new((size_t)g + 2, 1, sizeof *start);
    if (!block || !lead || !start) {
        hop_aligned_free(block);
        hop_aligned_free(lead);
        hop_aligned_free(start);
        return hop_fail(error, HOP_E_NOMEM, "no memory for the order of monomials");
    }
    hop_multiindex index = {.d = d, .g = g, .offset = block, .lead = lead, .start = start};
    block[d] = 1; /* degree 0: one monomial, at offset 0 of every block */
    start[1] = 1;
    for (unsigned k = 1; k <= g; k++) {
        size_t *offset = block + k * (d + 1);
        for (size_t i = 0; i < d; i++) {
            offset[i + 1] = offset[i] + hop_multiindex_suffix(&index, k - 1, i);
            lead[k * d + i] = offset[i] - hop_multiindex_offset(&index, k - 1, i);
        }
        start[k + 1] = start[k] + offset[d];
    }
    *out = index;
    return HOP_OK;
}

void hop_multiindex_fini(hop_multiindex *index)
{
    hop_aligned_free(index->offset);
    hop_aligned_free(index->lead);
    hop_aligned_free(index->start);
    *index = (hop_multiindex){0};
}

void hop_multiindex_factorials(const hop_multiindex *index, double *out, unsigned char *multiplicity)
{
    out[0] = 1;
    multiplicity[0] = 0;
    for (unsigned k = 1; k <= index->g; k++) {
        const double *before = out + index->start[k - 1];
        const unsigned char *count = multiplicity + index->start[k - 1];
        size_t at = index->start[k];
        for (size_t i = 0; i < index->d; i++) {
            size_t from = hop_multiindex_offset(index, k - 1, i);
            /* Cofactors whose own smallest variable is i already hold u_i. */
            size_t same = k > 1 ? hop_multiindex_offset(index, k - 1, i + 1) : 0;
            for (size_t b = from; b < from + hop_multiindex_suffix(index, k - 1, i); b++, at++) {
                multiplicity[at] = (unsigned char)(b < same ? count[b] + 1 : 1);
                out[at] = before[b] / multiplicity[at];
            }
        }
    }
}
