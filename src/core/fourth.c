/*
 * fourth.c - the two matrices whose pencil K bounds: fourth moments as they are, and a normal law's (pencil.h).
 */
#include "core/fourth.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/pencil.h"
#include "core/rounding.h"

static double second_moment(const hop_features *features, size_t i, size_t j)
{
    size_t low = i < j ? i : j, high = i < j ? j : i;
    double a = hop_features_degree(features, 2)[hop_multiindex_degree(&features->index, 2).lead[low] + high];
    return i == j ? 2 * a : a;
}

/* Of the n coordinates in which rows differ. */
static void fill(const hop_features *features, const size_t *differing, size_t n, hop_pencil *p)
{
    size_t row = 0;
    for (size_t a = 0; a < n; a++)
        for (size_t b = a; b < n; b++, row++) {
            size_t i = differing[a], j = differing[b], column = 0;
            for (size_t c = 0; c < n; c++)
                for (size_t e = c; e < n; e++, column++) {
                    if (column < row)
                        continue;
                    size_t k = differing[c], l = differing[e];
                    p->A[row * p->n + column] = hop_features_moment(features, (size_t[4]){i, j, k, l}, 4);
                    p->B[row * p->n + column] = second_moment(features, i, j) * second_moment(features, k, l) +
                                                second_moment(features, i, k) * second_moment(features, j, l) +
                                                second_moment(features, i, l) * second_moment(features, j, k);
                }
        }
}

size_t hop_fourth_bytes(size_t d, unsigned max_degree)
{
    size_t n = d * (d + 1) / 2;
    return max_degree < 3 || d > HOP_FOURTH_DIMENSION_MAX ? 0 : n * (3 * n + 5) * sizeof(double);
}

double hop_fourth_factor(const hop_features *features, const hop_geometry *keys, const hop_progress *progress)
{
    size_t d = features->index.d, differing[HOP_FOURTH_DIMENSION_MAX], kept;
    if (!hop_fourth_bytes(d, features->g_max))
        return (double)INFINITY;
    kept = hop_geometry_differing(keys, differing);
    size_t n = kept * (kept + 1) / 2;
    if (n == 0)
        return (double)INFINITY; /* every exponent is 0: nobody asks */
    hop_pencil p = {.n = n};
    double *block = hop_array_new(n, 3 * n + 5, sizeof *block), K = (double)INFINITY;
    if (!block)
        return K;
    p.A = block;
    p.B = block + n * n;
    p.factor = p.trial = block + 2 * n * n;
    p.root = block + 3 * n * n;
    p.work = p.root + n;
    fill(features, differing, kept, &p);
    hop_pencil_scale(&p);
    /*
     * Both matrices' largest entries are on their diagonals. The moments: a relative error of the build, against
     * sqrt(A_ii A_jj); of B's three products two each, against sqrt(C_ii C_jj C_kk C_ll), which B's diagonal is above.
     */
    double widest = hop_pencil_scale_A(&p), build = hop_gamma(features->build_roundings + 8, HOP_U64);
    p.most_A = widest;
    p.most_B = 3;
    p.error_A = build * widest;
    p.error_B = 6 * build;
    if (isfinite(widest) && widest > 0 && hop_pencil_factor(&p))
        K = hop_pencil_bound(&p, progress);
    hop_aligned_free(block);
    return K;
}
