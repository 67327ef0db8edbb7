/*
 * judgement.c - which of a lane's certificates to make, and which polynomial they speak for.
 */
#include "core/judgement.h"

#include <math.h>
#include <string.h>

#include "core/minimax.h"
#include "core/rounding.h"

/* Of two certificates, the larger is as good as the smaller within this. */
#define NEARLY 1.25

/* G is looked for where the others miss what is allowed, by no more than it can gain on them at degree g. */
static double gauss_gain(unsigned g)
{
    static const double gain[] = {1, 1, 20, 4, 6, 12, 16, 30};
    return g < sizeof gain / sizeof *gain ? gain[g] : 100;
}

/* Of T and W, the one that is expected to be larger by this is not made. */
#define CLEARLY 4.0

/* Where the next degree has fewer coefficients than this, to go on costs less than to try G. */
enum { GAUSS_WORTH = 16000 };

/* At the top degree's cost a guess decides whether to look: it may be off by this much. */
#define HOPE_MARGIN 1.5

/* A lane's exponents as certificates see them at degree g. */
typedef struct sight {
    double D[HOP_DEGREE_MAX + 2], D_error[HOP_DEGREE_MAX + 2];
    hop_exponents x;
} sight;

static void see(const hop_al_group *s, unsigned g, size_t q, sight *out)
{
    const hop_al_lane *at = &s->lanes[q];
    const hop_query *query = at->row->query;
    const hop_evaluation_error *error = &s->error[g];
    for (unsigned k = 0; k <= g + 1; k++) {
        out->D[k] = s->e.D[k][q];
        out->D_error[k] = hop_up((error->D0 + k * error->D1) * s->term[k][q] + at->under);
    }
    double second = hop_up(hop_max(out->D[2], 0) + out->D_error[2]);
    out->x = (hop_exponents){.T = query->T,
                             .T_low = query->T_low,
                             .T_abs = query->T_abs,
                             .s = query->s,
                             .fourth = hop_up(s->e.features->fourth * second * second / 2),
                             .D = out->D,
                             .D_error = out->D_error};
}

/* Whether the sweeps can weigh these coefficients. */
static bool weighable(const double *c, unsigned g)
{
    double least = 1 / HOP_EVALUATION_WEIGHT_MAX, top = fabs(c[g]);
    bool fits = top >= least && top <= HOP_EVALUATION_WEIGHT_MAX;
    for (unsigned k = 0; k < g; k++)
        fits = fits && fabs(c[k]) <= HOP_EVALUATION_WEIGHT_MAX * top;
    return fits;
}

/* W's polynomial at degree g, and its eps; INFINITY: none that the sweeps can weigh. */
static void find_minimax(hop_al_lane *at, unsigned g)
{
    at->c = NULL;
    at->eps = hop_minimax_in(at->bucket, g, &at->c);
    if (!(at->eps < 1) || !weighable(at->c, g))
        at->eps = (double)INFINITY;
}

/* The maps' skew_1 or skew_3, whichever degree g can use; -1: none. */
static int skew_of(const hop_features *features, unsigned g)
{
    int order = g == 1 ? 0 : g == 3 ? 1 : -1;
    return order >= 0 && isfinite(features->skew_most[order]) ? order : -1;
}

double hop_al_lean(const hop_model *model, const hop_features *features, const hop_query *query, unsigned g, double h)
{
    int order = skew_of(features, g);
    if (order < 0 || !(model->value.widest > 0))
        return 1;
    double steady = 1 / ((1 + hop_max(query->T_low, 0) / (g + 2)) * h);
    double skew = features->skew_most[order] / model->value.widest;
    return hop_min(1, (1 + steady) / 2 * skew + (1 - steady) / 2);
}

/* The same of a lane; of log D it takes nothing. */
static double lean(const hop_al_group *s, unsigned g, const hop_al_lane *at)
{
    return at->row->z ? hop_al_lean(s->e.model, s->e.features, at->row->query, g, s->h[g][at - s->lanes]) : 1;
}

/* What to expect of both certificates of lane q at degree g; of T from D_{g+1} where it is there, else from D_{g-1}. */
void hop_al_consider(hop_al_group *s, unsigned g, size_t q)
{
    hop_al_lane *at = &s->lanes[q];
    double sigma = at->row->sigma, T_abs = at->row->query->T_abs, E;
    if (at->degree != g) {
        at->degree = g;
        at->D = 0;
        for (unsigned k = 0; k <= g; k++)
            at->D += s->e.D[k][q];
        find_minimax(at, g);
    }
    /* of keys that fill a ball evenly, until D_2 is there */
    double moment = g > 1 ? sigma * sigma : T_abs * T_abs / ((double)s->e.index->d + 2);
    if (g % 2 == 0)
        E = T_abs * s->e.D[g][q] * s->h[g][q] * hop_inverse[g + 1];
    else if (s->e.highest > g || s->e.top > g)
        E = s->e.D[g + 1][q] * s->h[g][q];
    else
        E = s->e.D[g - 1][q] * moment * hop_inverse[g + 1] * s->h[g][q];
    at->expected = E / hop_max(at->D, 1) * lean(s, g, at);
}

/* What max_error leaves to E / D, before rounding. */
double hop_al_allowed(const hop_al_group *s, const hop_al_row *row)
{
    return row->z ? row->max_error / s->e.model->value.widest : 2 * row->max_error;
}

/* Whether a certificate that comes to this will do, the rounding of z to f32 included. */
static bool will_meet(const hop_al_group *s, const hop_al_lane *at, double score)
{
    return score + s->z_rounding <= at->allowed;
}

/*
 * Whether G may bring a row that the other certificates leave at ratio to what is allowed, and that is worth its time:
 * there is no other degree to go to, or that one is large.
 */
bool hop_al_worth_gauss(const hop_al_group *s, unsigned g, const hop_al_lane *at, double ratio)
{
    if (g < 2 || will_meet(s, at, ratio))
        return false;
    bool last = g >= at->row->degree_cap;
    return !at->row->predict || ((last || hop_multiindex_count(s->e.index, g + 2) >= GAUSS_WORTH) &&
                                 ratio <= gauss_gain(g) * HOPE_MARGIN * at->allowed);
}

/* G's coefficients at degree g to c, and its E as far as D_{g+1} is known; INFINITY: none. */
static double gauss_of(const sight *seen, unsigned g, double *c)
{
    hop_polynomial polynomial;
    double E = (double)INFINITY;
    for (int fourth = 0; fourth < (g == 2 ? 2 : 1); fourth++) {
        bool there = fourth ? hop_gauss_fourth(&seen->x, &polynomial) : hop_gauss(&seen->x, g, &polynomial);
        if (there && polynomial.E < E && weighable(polynomial.c, g)) {
            E = polynomial.E;
            memcpy(c, polynomial.c, (g + 1) * sizeof *c);
        }
    }
    return E;
}

bool hop_al_choose(hop_al_group *s, unsigned g, bool *all)
{
    bool any = false;
    *all = true;
    for (size_t q = 0; q < s->n; q++) {
        hop_al_lane *at = &s->lanes[q];
        s->c[q] = NULL;
        if (!hop_al_looking(at, g))
            continue;
        hop_al_consider(s, g, q);
        double best = hop_min(at->eps, at->expected);
        if (at->eps < at->expected)
            s->c[q] = at->c;
        if (hop_al_worth_gauss(s, g, at, best)) {
            sight seen;
            see(s, g, q, &seen);
            seen.D[g + 1] = seen.D[g - 1] * 2 * seen.D[2] / (double)(g + 1); /* it is not there yet: a guess */
            double gauss = gauss_of(&seen, g, at->gauss) * lean(s, g, at);
            if (gauss < best) {
                best = gauss;
                s->c[q] = at->gauss;
            }
        }
        bool likely = best <= HOPE_MARGIN * at->allowed;
        any = any || likely;
        *all = *all && likely;
    }
    return any;
}

/* A lane's own coefficients are kept as they are now: that the same ones come out again is not for granted. */
static void keep_top(hop_al_group *s, unsigned g)
{
    memcpy(s->top_c, s->c, sizeof s->c);
    for (size_t q = 0; q < s->n; q++) {
        if (s->c[q] != s->lanes[q].gauss)
            continue;
        memcpy(s->top_gauss[q], s->c[q], (g + 1) * sizeof(double));
        s->top_c[q] = s->top_gauss[q];
    }
}

void hop_al_top(hop_al_group *s, unsigned g)
{
    while (s->e.highest < g) /* after a crest for other polynomials */
        hop_evaluation_extend(&s->e);
    hop_evaluation_top(&s->e, g, s->c);
    keep_top(s, g);
}

void hop_al_crest(hop_al_group *s, unsigned g)
{
    hop_evaluation_crest(&s->e, g, s->c);
    keep_top(s, g);
    for (size_t q = 0; q < s->n; q++)
        s->lanes[q].degree = 0; /* what it was considered by was a guess of D_g */
}

/* Whether the top degree was evaluated for these coefficients of lane q. */
bool hop_al_is_top(const hop_al_group *s, unsigned g, size_t q, const double *c)
{
    const double *top = s->top_c[q];
    return c == top || (c && top && memcmp(c, top, (g + 1) * sizeof *c) == 0);
}

/* The terms of an answer: N's rounding is its own, not D's (evaluation.h). */
static hop_error_terms terms_of(const hop_al_group *s, unsigned g, size_t q, const hop_bound *bound)
{
    hop_error_terms terms = hop_bound_terms(bound);
    double rounding = 0;
    for (unsigned k = 0; k <= g; k++)
        rounding += fabs(bound->c[k]) * ((s->error[g].N0 + k * s->error[g].N1) * s->term[k][q] + s->lanes[q].under);
    int order = skew_of(s->e.features, g);
    if (order >= 0 && bound->steady > 0) {
        terms.skew = s->e.features->skew + (size_t)order * s->e.index->d;
        terms.skew_most = s->e.features->skew_most[order];
    }
    terms.weight = hop_max(terms.weight, hop_up(rounding * (1 + 0x1p-46) / hop_down(bound->D_low)));
    return terms;
}

/* What the bound will be, nearly: of z over the values' extent, or of log D. */
static double score_of(const hop_al_group *s, const hop_al_lane *at, const hop_bound *bound,
                       const hop_error_terms *terms)
{
    if (!at->row->z)
        return log(bound->D_high / bound->D_low);
    double widest = s->e.model->value.widest; /* 0 where all values agree: any answer is exact */
    return widest > 0 ? hop_certificate_expect(&s->e.model->value, terms) * s->per_widest : terms->dev;
}

/*
 * Of T and W the one that is expected to be smaller comes first, one that is expected to be clearly larger is not made,
 * nor any after one that meets. Where the top degree has been evaluated for another polynomial, that one is kept if it
 * meets and is nearly as good.
 */
double hop_al_judge(hop_al_group *s, unsigned g, size_t q)
{
    hop_al_lane *at = &s->lanes[q];
    sight seen;
    hop_bound other[HOP_CERTIFICATES - 1], *bound[HOP_CERTIFICATES];
    hop_error_terms terms[HOP_CERTIFICATES];
    const double *c[HOP_CERTIFICATES] = {NULL, at->c, at->gauss};
    double score[HOP_CERTIFICATES], best = (double)INFINITY;
    int use = 0, there = -1;
    see(s, g, q, &seen);
    int first = at->eps < at->expected ? HOP_CERTIFICATE_W : HOP_CERTIFICATE_T;
    const int order[HOP_CERTIFICATES] = {first, HOP_CERTIFICATE_T + HOP_CERTIFICATE_W - first, HOP_CERTIFICATE_G};
    for (int i = 0; i < HOP_CERTIFICATES; i++) {
        int kind = order[i];
        bound[kind] = i ? &other[i - 1] : &at->bound;
        score[kind] = (double)INFINITY;
        bool tried = kind == HOP_CERTIFICATE_T   ? !(at->expected > CLEARLY * at->eps)
                     : kind == HOP_CERTIFICATE_W ? at->eps < 1 && !(at->eps > CLEARLY * at->expected)
                                                 : hop_al_worth_gauss(s, g, at, best);
        if (tried && hop_certify(&seen.x, g, s->h[g][q], 0, 1u << kind, bound[kind]) &&
            (kind != HOP_CERTIFICATE_G || weighable(bound[kind]->c, g))) {
            terms[kind] = terms_of(s, g, q, bound[kind]);
            score[kind] = score_of(s, at, bound[kind], &terms[kind]);
        }
        if (!(score[kind] < (double)INFINITY))
            continue;
        if (score[kind] < best) {
            best = score[kind];
            use = kind;
        }
        if (s->e.top == g + 1 && hop_al_is_top(s, g, q, kind == HOP_CERTIFICATE_G ? bound[kind]->c : c[kind]))
            there = kind;
        if (will_meet(s, at, best) && (s->e.top != g + 1 || there == kind))
            break; /* no other is needed */
    }
    if (!(best < (double)INFINITY))
        return best;
    if (!s->e.features->A && there >= 0 && score[there] <= NEARLY * best && score[there] <= at->allowed)
        use = there;
    if (bound[use] != &at->bound)
        at->bound = *bound[use];
    at->terms = terms[use];
    if (use == HOP_CERTIFICATE_G)
        memcpy(at->gauss, at->bound.c, (g + 1) * sizeof *at->gauss);
    s->c[q] = c[use];
    return score[use];
}
