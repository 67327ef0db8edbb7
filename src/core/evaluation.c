/*
 * evaluation.c - the sweeps of kernels.h over all degrees, in any form.
 */
#include "core/evaluation.h"

#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "core/rounding.h"

/* f32 takes no larger coordinates: 2^(4 * 24) leaves room below 2^127 for r products. */
#define XI_F32_MAX 16.0

static const hop_sweeps *sweeps_of(hop_form form)
{
    const hop_kernels *kernels = hop_kernels_get();
    const hop_sweeps *all[HOP_FORMS] = {&kernels->lanes_f32, &kernels->lanes_f64, &kernels->one_f32, &kernels->one_f64};
    return all[form];
}

/* A single query's degrees are padded, and start on a cache line. */
static size_t degree_bytes(size_t count, const hop_sweeps *sweeps)
{
    size_t padded = sweeps->lanes == 1 ? count + HOP_SWEEP_PAD : count;
    size_t bytes = padded * sweeps->lanes * sweeps->real_bytes;
    return sweeps->lanes == 1 ? hop_round_up(bytes, HOP_LANE_BYTES) : bytes;
}

static size_t widest_row(const hop_model *model)
{
    return model->d > model->p ? model->d : model->p;
}

size_t hop_evaluation_bytes(const hop_model *model, const hop_features *features)
{
    const hop_multiindex *index = &features->index;
    size_t all = index->start[features->g_max + 1] * HOP_LANE_BYTES;
    size_t pads = (features->g_max + 2u) * (HOP_SWEEP_PAD * sizeof(double) + HOP_LANE_BYTES);
    size_t products = features->A ? model->p : 0;
    size_t sums = (3 * index->d + widest_row(model) + products) * HOP_LANES * sizeof(double);
    return 2 * (all + pads) + (2 * index->d + 3) * HOP_LANE_BYTES + HOP_SWEEP_PAD * sizeof(double) + sums;
}

size_t hop_evaluation_lanes(const hop_features *features, hop_form form)
{
    bool f32 = form == HOP_LANES_F32 || form == HOP_ONE_F32;
    return f32 && (!features->a_f32 || (features->A && !features->A_f32)) ? 0 : sweeps_of(form)->lanes;
}

void hop_evaluation_init(hop_evaluation *e, const hop_model *model, const hop_features *features, hop_form form,
                         void *workspace)
{
    const hop_multiindex *index = &features->index;
    const hop_sweeps *sweeps = sweeps_of(form);
    e->model = model;
    e->features = features;
    e->index = index;
    e->sweeps = sweeps;
    e->f32 = form == HOP_LANES_F32 || form == HOP_ONE_F32;
    e->lanes = sweeps->lanes;
    e->gradient = workspace;
    e->numerator = e->gradient + index->d * HOP_LANES;
    e->crest = e->numerator + index->d * HOP_LANES;
    e->rows = e->crest + index->d * HOP_LANES;
    e->products = e->rows + widest_row(model) * HOP_LANES;
    e->scratch = (char *)(e->products + (features->A ? model->p : 0) * HOP_LANES);
    e->weight = e->scratch + index->d * HOP_LANE_BYTES;
    e->lower = e->weight + HOP_LANE_BYTES;
    e->xi = e->lower + HOP_LANE_BYTES;
    e->monomials = e->xi + hop_round_up(degree_bytes(index->d, sweeps), HOP_LANE_BYTES);
    e->at[0] = 0;
    for (unsigned k = 0; k <= features->g_max; k++)
        e->at[k + 1] = e->at[k] + degree_bytes(hop_multiindex_count(index, k), sweeps);
    e->adjoint = e->monomials + hop_round_up(e->at[features->g_max + 1], HOP_LANE_BYTES);
}

/* Plain coefficients of degree k. */
static const void *coefficients(const hop_evaluation *e, unsigned k)
{
    size_t at = e->index->start[k];
    return e->f32 ? (const void *)(e->features->a_f32 + at) : (const void *)(e->features->a + at);
}

static void put(const hop_evaluation *e, void *array, size_t at, double value)
{
    if (e->f32)
        ((float *)array)[at] = (float)value;
    else
        ((double *)array)[at] = value;
}

static double get(const hop_evaluation *e, const void *array, size_t at)
{
    return e->f32 ? (double)((const float *)array)[at] : ((const double *)array)[at];
}

void hop_evaluation_start(hop_evaluation *e, const hop_query *const *queries, size_t n)
{
    size_t d = e->index->d, lanes = e->lanes;
    for (size_t q = 0; q < lanes; q++) {
        e->queries[q] = q < n ? queries[q] : NULL;
        e->D[0][q] = 1;
        put(e, e->monomials, q, 1);
        for (size_t l = 0; l < d; l++)
            put(e, e->xi, l * lanes + q, e->queries[q] ? e->queries[q]->xi[l] : 0);
    }
    if (lanes == 1)
        memset(e->monomials + e->sweeps->real_bytes, 0, HOP_SWEEP_PAD * e->sweeps->real_bytes);
    e->highest = 0;
    e->top = 0;
    e->crested = false;
}

void hop_evaluation_extend(hop_evaluation *e)
{
    unsigned k = e->highest + 1;
    memset(e->D[k], 0, sizeof e->D[k]);
    hop_sweep sweep = {.degree = hop_multiindex_degree(e->index, k),
                       .xi = e->xi,
                       .m = e->monomials + e->at[k - 1],
                       .a = coefficients(e, k),
                       .out = e->monomials + e->at[k],
                       .sums = e->D[k]};
    e->sweeps->extend(&sweep);
    e->highest = k;
}

/* The weights of degree k's own coefficients next to the top's: c_{k-1} / c_g. */
static void weigh(hop_evaluation *e, unsigned g, unsigned k, const double *const *c, char *weight)
{
    for (size_t q = 0; q < e->lanes; q++)
        put(e, weight, q, c && c[q] ? c[q][k - 1] / c[q][g] : 1);
}

/* D_{g+1} from its gradient. */
static void sum_top(hop_evaluation *e, unsigned g)
{
    size_t lanes = e->lanes;
    memset(e->D[g + 1], 0, sizeof e->D[g + 1]);
    for (size_t i = 0; i < e->index->d; i++)
        for (size_t q = 0; q < lanes; q++)
            e->D[g + 1][q] += get(e, e->xi, i * lanes + q) * e->gradient[i * lanes + q];
    e->top = g + 1;
}

void hop_evaluation_top(hop_evaluation *e, unsigned g, const double *const *c)
{
    size_t d = e->index->d, lanes = e->lanes;
    weigh(e, g, g, c, e->weight);
    memset(e->gradient, 0, d * lanes * sizeof *e->gradient);
    hop_sweep sweep = {.degree = hop_multiindex_degree(e->index, g + 1),
                       .xi = e->xi,
                       .m = e->monomials + e->at[g],
                       .a = coefficients(e, g + 1),
                       .self = coefficients(e, g),
                       .weight = e->weight,
                       .out = e->adjoint + e->at[g],
                       .sums = e->gradient,
                       .scratch = e->scratch};
    e->sweeps->top(&sweep);
    sum_top(e, g);
    e->crested = false;
}

bool hop_evaluation_crests(const hop_evaluation *e)
{
    return e->sweeps->crest && !e->features->A;
}

void hop_evaluation_crest(hop_evaluation *e, unsigned g, const double *const *c)
{
    size_t n = e->index->d * e->lanes;
    weigh(e, g, g, c, e->weight);
    weigh(e, g, g - 1, c, e->lower);
    memset(e->gradient, 0, n * sizeof *e->gradient);
    memset(e->crest, 0, n * sizeof *e->crest);
    memset(e->D[g], 0, sizeof e->D[g]);
    hop_crest crest = {.degree = hop_multiindex_degree(e->index, g),
                       .upper_lead = hop_multiindex_degree(e->index, g + 1).lead,
                       .xi = e->xi,
                       .m = e->monomials + e->at[g - 1],
                       .a = coefficients(e, g),
                       .above = coefficients(e, g + 1),
                       .self = coefficients(e, g - 1),
                       .weight = e->weight,
                       .lower_weight = e->lower,
                       .out = e->adjoint + e->at[g - 1],
                       .D = e->D[g],
                       .top = e->gradient,
                       .sums = e->crest,
                       .scratch = e->scratch};
    e->sweeps->crest(&crest);
    sum_top(e, g);
    for (size_t i = 0; i < n; i++)
        e->gradient[i] += e->crest[i];
    e->crested = true;
}

static void reverse(hop_evaluation *e, unsigned g, const double *const *c)
{
    memcpy(e->numerator, e->gradient, e->index->d * e->lanes * sizeof *e->numerator);
    for (unsigned k = e->crested ? g - 1 : g; k >= 2; k--) {
        weigh(e, g, k - 1, c, e->weight);
        hop_sweep sweep = {.degree = hop_multiindex_degree(e->index, k),
                           .xi = e->xi,
                           .m = e->monomials + e->at[k - 1],
                           .next = e->adjoint + e->at[k],
                           .self = coefficients(e, k - 1),
                           .weight = e->weight,
                           .out = e->adjoint + e->at[k - 1],
                           .sums = e->numerator,
                           .scratch = e->scratch};
        e->sweeps->reverse(&sweep);
    }
}

/* Rows of A from the monomial `at` of all on. */
static const void *row_of(const hop_evaluation *e, size_t at)
{
    const hop_features *features = e->features;
    return e->f32 ? (const void *)(features->A_f32 + at * features->p) : (const void *)(features->A + at * features->p);
}

static unsigned highest(const hop_share *share)
{
    unsigned g = 0;
    for (size_t q = 0; q < share->e->lanes; q++)
        g = share->g[q] > g ? share->g[q] : g;
    return g;
}

/* Whether the monomials count as they are: one evaluation's lanes, side by side, answered by Taylor's polynomial. */
static bool plain(const hop_share *share, unsigned g)
{
    bool same = share->e->lanes > 1;
    for (size_t q = 0; q < share->e->lanes; q++)
        same = same && share->g[q] == g && !share->c[q];
    return same;
}

/* c_k of every lane to the evaluation's weight; lanes that answer at a lower degree count nothing of degree k. */
static void weigh_share(const hop_share *share, unsigned k)
{
    for (size_t q = 0; q < share->e->lanes; q++)
        put(share->e, share->e->weight, q, k > share->g[q] ? 0 : share->c[q] ? share->c[q][k] : 1);
}

/* The n monomials from `at` on, of whatever degrees, times c_k: where they are, or side by side in the scratch. */
static const void *weighted_run(const hop_share *share, bool as_they_are, size_t at, size_t n, void *scratch)
{
    const hop_evaluation *e = share->e;
    const size_t *start = e->index->start, one = e->lanes * e->sweeps->real_bytes;
    char *out = scratch;
    unsigned k = 0;
    if (as_they_are)
        return e->monomials + at * one;
    for (size_t end = at + n; at < end;) {
        while (start[k + 1] <= at)
            k++;
        size_t stop = start[k + 1] < end ? start[k + 1] : end;
        weigh_share(share, k);
        e->sweeps->weigh(stop - at, e->weight, e->monomials + e->at[k] + (at - start[k]) * one, out);
        out += (stop - at) * one;
        at = stop;
    }
    return scratch;
}

void hop_evaluation_products(hop_share *shares, size_t n)
{
    _Alignas(HOP_LANE_BYTES) char scratch[HOP_PRODUCT_RUN * HOP_LANE_BYTES + HOP_SWEEP_PAD * sizeof(double)];
    const hop_multiindex *index = shares[0].e->index;
    size_t p = shares[0].e->model->p, lanes = shares[0].e->lanes;
    size_t most = 0;
    for (size_t i = 0; i < n; i++) {
        memset(shares[i].e->products, 0, p * lanes * sizeof(double));
        size_t all = index->start[highest(&shares[i]) + 1];
        most = all > most ? all : most;
    }
    for (size_t at = 0; at < most; at += HOP_PRODUCT_RUN) {
        for (size_t i = 0; i < n; i++) {
            hop_evaluation *e = shares[i].e;
            unsigned g = highest(&shares[i]);
            size_t all = index->start[g + 1], rest = all > at ? all - at : 0;
            if (!rest)
                continue;
            size_t run = rest < HOP_PRODUCT_RUN ? rest : HOP_PRODUCT_RUN;
            hop_product product = {.n = run,
                                   .columns = p,
                                   .stride = p,
                                   .m = weighted_run(&shares[i], plain(&shares[i], g), at, run, scratch),
                                   .a = row_of(e, at),
                                   .sums = e->products};
            e->sweeps->product(&product);
        }
    }
    for (size_t i = 0; i < n; i++) {
        const double *sums = shares[i].e->products;
        for (size_t q = 0; q < lanes; q++)
            for (size_t j = 0; j < p; j++)
                shares[i].e->rows[q * p + j] = sums[j * lanes + q];
    }
}

const double *hop_evaluation_numerators(hop_evaluation *e, unsigned g, const double *const *c)
{
    size_t p = e->model->p, lanes = e->lanes;
    if (e->features->A) {
        hop_share share = {.e = e};
        for (size_t q = 0; q < lanes; q++) {
            share.g[q] = g;
            share.c[q] = c ? c[q] : NULL;
        }
        hop_evaluation_products(&share, 1);
        return e->rows;
    }
    reverse(e, g, c);
    const char *first = e->adjoint + e->at[1];
    for (size_t q = 0; q < lanes; q++) {
        double scale = c && c[q] ? c[q][g] : 1;
        for (size_t j = 0; j < p; j++)
            e->rows[q * p + j] = scale * (e->numerator[j * lanes + q] + get(e, first, j * lanes + q));
    }
    return e->rows;
}

/*
 * f64: sums of fewer terms than there are coefficients, and in a sweep's own precision d + 8 roundings a degree on the
 * way down; what the coefficients and the query brought along. f32: a sweep's own roundings are f32's, and counted by
 * the degree of the term they meet.
 */
hop_evaluation_error hop_evaluation_rounding(const hop_features *features, bool f32, unsigned g, double query_roundings)
{
    double d = (double)features->index.d, r = (double)features->index.start[g + 2];
    double outer = r + (d + 8) * (g + 2) + features->build_roundings + (g + 1) * (query_roundings + 1);
    double all = hop_gamma(outer, HOP_U64);
    if (!f32)
        return (hop_evaluation_error){.D0 = all, .N0 = all};
    double fixed = HOP_SWEEP_DEPTH + d + 5, most = fixed + (g + 1) * (d + 3);
    double unit = hop_gamma(most, HOP_U32) / most * (1 + 2 * all); /* gamma_n <= n unit for every n up to most */
    hop_evaluation_error error = {.D0 = (HOP_SWEEP_DEPTH + 1) * unit + 2 * all,
                                  .D1 = 2 * unit,
                                  .N0 = fixed * unit + 2 * all,
                                  .N1 = (d + 3) * unit};
    if (features->A) { /* a monomial, as in D_k; its weight, and the product with that */
        error.N0 = (HOP_SWEEP_DEPTH + 3) * unit + 2 * all;
        error.N1 = 2 * unit;
    }
    return error;
}

/*
 * 2^-138 r^2 X^(g+1) and its roundings, X = max(1, max |xi|): least |xi_l| <= s, one memory being as far as extent_l.
 */
double hop_evaluation_under(const hop_features *features, bool f32, unsigned g, double s, double least)
{
    double r = (double)features->index.start[g + 2], reach = hop_max(s / least, 1), power = 1;
    if (!f32)
        return 0;
    if (!(reach <= XI_F32_MAX))
        return (double)INFINITY;
    for (unsigned k = 0; k <= g && reach > 1; k++)
        power *= reach;
    return 0x1p-137 * r * r * power / least;
}

double hop_evaluation_least(const hop_model *model)
{
    double least = 1;
    for (size_t l = 0; l < model->d; l++)
        if (model->key.extent[l] > 0)
            least = hop_min(model->key.extent[l], least);
    for (size_t j = 0; j < model->p && !model->shared; j++)
        if (model->value.extent[j] > 0)
            least = hop_min(model->value.extent[j], least);
    return least;
}
