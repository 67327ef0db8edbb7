/*
 * gap_anns.c - see gap_anns.h.
 */
#include "support/gap_anns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/splitmix.h"

enum { TRIES = 100000 };

static size_t below(uint64_t *state, size_t n)
{
    return (size_t)(hop_mix64(*state += HOP_MIX_STEP) % n);
}

/* d/2 ones, in every order alike. */
static void draw(size_t d, uint64_t *state, unsigned char *out)
{
    for (size_t l = 0; l < d; l++)
        out[l] = l < d / 2;
    for (size_t l = d - 1; l > 0; l--) {
        const size_t other = below(state, l + 1);
        const unsigned char swap = out[l];
        out[l] = out[other];
        out[other] = swap;
    }
}

static size_t distance(size_t d, const unsigned char *a, const unsigned char *b)
{
    size_t places = 0;
    for (size_t l = 0; l < d; l++)
        places += a[l] != b[l];
    return places;
}

/* Some a with t/2 of its ones and t/2 of its zeros turned over. */
static void draw_yes(const gap_anns_shape *s, const unsigned char *sets, uint64_t *state, unsigned char *out)
{
    memcpy(out, sets + below(state, s->n) * s->d, s->d);
    unsigned char from[2] = {0, 1};
    for (size_t pair = 0; pair < s->t / 2; pair++)
        for (size_t bit = 0; bit < 2; bit++) {
            size_t l = below(state, s->d);
            while (out[l] != from[bit]) /* 2 and 3 mark what has been turned over to 1 and 0 */
                l = below(state, s->d);
            out[l] = (unsigned char)(2 + bit);
        }
    for (size_t l = 0; l < s->d; l++)
        out[l] = out[l] < 2 ? out[l] : out[l] == 2;
}

static size_t nearest_of(size_t n, size_t d, const unsigned char *sets, const unsigned char *vector)
{
    size_t nearest = d;
    for (size_t a = 0; a < n; a++) {
        const size_t places = distance(d, sets + a * d, vector);
        nearest = places < nearest ? places : nearest;
    }
    return nearest;
}

size_t gap_anns_far(size_t n, size_t d, uint64_t seed)
{
    enum { DRAWS = 15 };
    uint64_t state = hop_mix64(seed);
    size_t sorted[DRAWS] = {0};
    unsigned char *sets = malloc((n + 1) * d);
    if (!sets)
        return 0;
    unsigned char *vector = sets + n * d;
    for (size_t i = 0; i < n; i++)
        draw(d, &state, sets + i * d);
    for (size_t i = 0; i < DRAWS; i++) {
        draw(d, &state, vector);
        size_t at = i;
        const size_t nearest = nearest_of(n, d, sets, vector);
        for (; at > 0 && sorted[at - 1] > nearest; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = nearest;
    }
    free(sets);
    return sorted[DRAWS / 2];
}

static bool draw_no(const gap_anns_shape *s, const unsigned char *sets, uint64_t *state, unsigned char *out)
{
    for (size_t i = 0; i < TRIES; i++) {
        draw(s->d, state, out);
        if (nearest_of(s->n, s->d, sets, out) >= s->far)
            return true;
    }
    return false;
}

double gap_anns_B(const gap_anns_shape *shape, double slack)
{
    /* Of S: one e^{-beta B^2 (d + t)/2} against n of e^{-beta B^2 (d + far)/2}, beta = 1/(2d). */
    const double n = (double)shape->n, d = (double)shape->d, gap = (double)(shape->far - shape->t);
    return sqrt(4 * d * (log(n) + slack) / gap);
}

static double mass(const gap_anns *g, double rows, size_t places)
{
    const double n = (double)g->shape.n, d = (double)g->shape.d;
    const double S = rows * exp(-g->beta * g->B * g->B * (d + (double)places) / 2);
    return S / (S + n);
}

static void fill(gap_anns *g, const unsigned char *sets, const unsigned char *queries)
{
    const size_t n = g->shape.n, d = g->shape.d;
    const float B = (float)g->B;
    for (size_t mu = 0; mu < 2 * n; mu++) {
        g->values[mu] = mu < n;
        for (size_t l = 0; l < d; l++) {
            g->memories[mu * 2 * d + l] = mu < n && sets[mu * d + l] ? B : 0;
            g->memories[mu * 2 * d + d + l] = mu < n ? 0 : B;
        }
    }
    for (size_t q = 0; q < g->shape.L; q++)
        for (size_t l = 0; l < d; l++) {
            g->queries[q * 2 * d + l] = queries[q * d + l] ? B : 0;
            g->queries[q * 2 * d + d + l] = B;
        }
}

gap_anns *gap_anns_new(const gap_anns_shape *shape, double B, uint64_t seed)
{
    const size_t n = shape->n, d = shape->d, L = shape->L;
    uint64_t state = hop_mix64(seed);
    gap_anns *g = calloc(1, sizeof *g);
    unsigned char *sets = malloc(n * d), *queries = malloc(L * d);
    bool made = g && sets && queries;
    if (made) {
        *g = (gap_anns){.shape = *shape,
                        .beta = 0.5 / (double)d,
                        .B = (double)(float)B,
                        .memories = calloc(2 * n * 2 * d, sizeof(float)),
                        .values = calloc(2 * n, sizeof(float)),
                        .queries = calloc(L * 2 * d, sizeof(float)),
                        .truth = calloc(L, sizeof(bool))};
        g->yes = mass(g, 1, shape->t);
        g->no = mass(g, (double)n, shape->far);
        made = g->memories && g->values && g->queries && g->truth;
    }
    for (size_t i = 0; made && i < n; i++)
        draw(d, &state, sets + i * d);
    for (size_t q = 0; made && q < L; q++) {
        g->truth[q] = q % 2 == 0;
        if (g->truth[q])
            draw_yes(shape, sets, &state, queries + q * d);
        else
            made = draw_no(shape, sets, &state, queries + q * d);
    }
    if (made)
        fill(g, sets, queries);
    free(sets);
    free(queries);
    if (made)
        return g;
    gap_anns_free(g);
    return NULL;
}

void gap_anns_free(gap_anns *instance)
{
    if (!instance)
        return;
    free(instance->memories);
    free(instance->values);
    free(instance->queries);
    free(instance->truth);
    free(instance);
}

/* Outward by more than yes and no are rounded. */
gap_anns_decision gap_anns_decide(const gap_anns *instance, double z, double bound)
{
    const double yes = instance->yes * (1 - 1e-12), no = instance->no * (1 + 1e-12);
    const bool may_be_yes = z + bound >= yes, may_be_no = z - bound <= no;
    return may_be_yes && may_be_no ? GAP_ANNS_OPEN
           : may_be_yes            ? GAP_ANNS_YES
           : may_be_no             ? GAP_ANNS_NO
                                   : GAP_ANNS_OPEN;
}

double gap_anns_margin(const gap_anns *instance)
{
    return (instance->yes * (1 - 1e-12) - instance->no * (1 + 1e-12)) / 2;
}
