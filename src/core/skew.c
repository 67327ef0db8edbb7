/*
 * skew.c - the matrices whose pencils bound the skewness (pencil.h): of 1 or 2 factors of u, and one more.
 */
#include "core/skew.h"

#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "core/pencil.h"
#include "core/rounding.h"

/* Every phi is a product of coordinates: none, one or two. */
typedef struct monomial {
    size_t index[2];
    unsigned degree;
} monomial;

static double moment(const hop_features *features, const monomial *a, const monomial *b, size_t extra, bool with)
{
    size_t index[5];
    unsigned n = 0;
    for (unsigned i = 0; i < a->degree; i++)
        index[n++] = a->index[i];
    for (unsigned i = 0; i < b->degree; i++)
        index[n++] = b->index[i];
    if (with)
        index[n++] = extra;
    return hop_features_moment(features, index, n);
}

/* Of order 1: u_1 .. u_d; of order 2: 1 and all u_i u_j, i <= j; without the coordinates in which no row differs. */
static void list(const size_t *differing, size_t kept, unsigned order, monomial *phi)
{
    size_t n = 0;
    if (order == 2)
        phi[n++] = (monomial){.degree = 0};
    for (size_t i = 0; i < kept; i++)
        for (size_t j = i; j < (order == 1 ? i + 1 : kept); j++)
            phi[n++] = (monomial){.index = {differing[i], differing[j]}, .degree = order};
}

static size_t length(size_t d, unsigned order)
{
    return order == 1 ? d : 1 + d * (d + 1) / 2;
}

static bool known(size_t d, unsigned max_degree, unsigned order)
{
    return order == 1 ? max_degree >= 2 && d <= HOP_SKEW_1_DIMENSION_MAX
                      : max_degree >= 4 && d <= HOP_SKEW_3_DIMENSION_MAX;
}

static size_t block_bytes(size_t n)
{
    return n * ((4 * n + 5) * sizeof(double) + sizeof(monomial));
}

size_t hop_skew_bytes(size_t d, unsigned max_degree)
{
    size_t bytes = 0;
    for (unsigned order = 1; order <= 2; order++)
        if (known(d, max_degree, order))
            bytes += block_bytes(length(d, order));
    return bytes;
}

static void bound(hop_features *features, unsigned order, const hop_geometry *keys, const hop_progress *progress)
{
    size_t d = features->index.d, differing[HOP_SKEW_1_DIMENSION_MAX];
    size_t kept = hop_geometry_differing(keys, differing), n = length(kept, order);
    if (kept == 0)
        return;
    double *block = hop_array_new(block_bytes(n), 1, 1);
    if (!block)
        return;
    monomial *phi = (monomial *)(block + n * (4 * n + 5));
    hop_pencil p = {.n = n, .both = true, .A = block, .B = block + n * n};
    p.factor = block + 2 * n * n;
    p.trial = block + 3 * n * n;
    p.root = block + 4 * n * n;
    p.work = p.root + n;
    double *out = features->skew + (order - 1) * d, most = 0;
    list(differing, kept, order, phi);
    for (size_t i = 0; i < n; i++)
        for (size_t j = i; j < n; j++)
            p.B[i * n + j] = moment(features, &phi[i], &phi[j], 0, false);
    hop_pencil_scale(&p);
    /*
     * Scaled, B_ij is at most 1 and off by the build's roundings of mean |phi_i phi_j| <= 1; A by extent_l times that.
     */
    double build = hop_gamma(features->build_roundings + 8, HOP_U64);
    p.most_B = 1;
    p.error_B = 2 * build;
    bool there = hop_pencil_factor(&p);
    for (size_t l = 0; l < d && there; l++) {
        if (!(keys->extent[l] > 0)) {
            out[l] = 0; /* as every u_l is */
            continue;
        }
        for (size_t i = 0; i < n; i++)
            for (size_t j = i; j < n; j++)
                p.A[i * n + j] = moment(features, &phi[i], &phi[j], l, true);
        p.most_A = hop_pencil_scale_A(&p);
        p.error_A = 2 * build * keys->extent[l];
        out[l] = hop_pencil_bound(&p, progress);
        most = hop_max(most, out[l] * keys->scale[l]);
    }
    if (there)
        features->skew_most[order - 1] = most;
    hop_aligned_free(block);
}

void hop_skew_bounds(hop_features *features, const hop_geometry *keys, const hop_progress *progress)
{
    for (unsigned order = 1; order <= 2 && !features->A; order++)
        if (known(features->index.d, features->g_max, order))
            bound(features, order, keys, progress);
}
