/*
 * almost_linear.c - which form and precision a row is evaluated in, at which degree it stops, and its answer.
 */
#include "core/almost_linear.h"

#include <math.h>
#include <string.h>

#include "core/minimax.h"
#include "core/rounding.h"

/* A prediction above max_error by less than this factor is still tried: heavy tails and skew make it coarse. */
#define PREDICTION_MARGIN 8.0

/* f32 where its rounding takes no more of max_error than this; a row that misses by more than RETRY would in f64 too. */
#define F32_SHARE 0.125
#define F32_RETRY 1.5

/* Of T and W, the larger is as good as the smaller within this. */
#define NEARLY 1.25

/* Of T and W, the one that is expected to be larger by this is not made. */
#define CLEARLY 4.0

/* At the top degree's cost a guess decides whether to look: it may be off by this much. */
#define HOPE_MARGIN 1.5

/* A certificate of one lane at one degree: truncation, the computed D, and what rounding may have done. */
typedef struct verdict {
    hop_truncation truncation;
    double D, D_error, N_error; /* N_error: relative to extents */
    double ratio;               /* all of it over D_low; INFINITY: no bound */
} verdict;

/* Where a lane stands. */
typedef struct lane {
    hop_al_row *row;
    bool open;            /* still looking for a degree */
    bool due;             /* wants its numerator at the degree at hand */
    unsigned best_degree; /* of the smallest ratio so far; 0: no degree had a bound */
    double best_ratio;
    unsigned degree; /* at hand: of the four below */
    double eps;      /* of W's polynomial, and that; INFINITY: none */
    const double *c;
    double D, expected;                                           /* Taylor's D, and coarsely certificate T's E / D */
    double under;                                                 /* hop_evaluation_under() of the highest degree */
    double h[HOP_DEGREE_MAX];                                     /* h_g(max(T, 0)) */
    double term[HOP_DEGREE_MAX + 2], partial[HOP_DEGREE_MAX + 2]; /* s^k/k!, P_k(s), rounded up */
    verdict verdict;                                              /* of the degree at hand, once judged */
} lane;

/* Lanes of one evaluation. */
typedef struct group {
    hop_evaluation e;
    lane lanes[HOP_LANES];
    const double *c[HOP_LANES];                 /* the polynomial in use at the degree at hand; NULL: Taylor's */
    const double *top_c[HOP_LANES];             /* of the last hop_evaluation_top() */
    hop_evaluation_error error[HOP_DEGREE_MAX]; /* by degree */
    double least;
    size_t n;
} group;

size_t hop_al_workspace_bytes(const hop_model *model, const hop_features *features)
{
    return hop_evaluation_bytes(model, features);
}

double hop_al_predict(unsigned g, double sigma, double T_abs, double h)
{
    unsigned k = g + 1; /* E ~ mean |t|^{g+1} h / (g+1)!, Gaussian: sigma^k (k-1)!! */
    double gauss = 1, cap = 1;
    for (unsigned i = 1; i <= k; i++) {
        gauss *= sigma / (double)i * (i % 2 == k % 2 ? 1.0 : (double)i);
        cap *= (i <= 2 ? sigma : T_abs) / (double)i;
    }
    const double *c;
    return hop_min(hop_min(gauss, cap) * h, hop_minimax(g, T_abs, &c));
}

/* Whether auto expects some degree in (tried, cap] to meet max_error. */
static bool promising(const group *s, unsigned tried, const lane *at)
{
    const hop_al_row *row = at->row;
    double widest = row->z ? s->e.model->value.widest : 1, best = (double)INFINITY;
    for (unsigned g = tried + 1; g <= row->degree_cap; g++)
        best = hop_min(widest * hop_al_predict(g, row->sigma, row->query->T_abs, at->h[g]), best);
    return best <= row->max_error * PREDICTION_MARGIN;
}

static void weigh_errors(const group *s, unsigned g, const lane *at, double B0, double B1, verdict *out)
{
    const hop_evaluation_error *error = &s->error[g];
    out->D_error = hop_up(error->D0 * B0 + error->D1 * B1 + at->under);
    out->N_error = hop_up(error->N0 * B0 + error->N1 * B1 + at->under);
    out->ratio = (double)INFINITY;
}

static void conclude(bool certified, verdict *out)
{
    if (certified && isfinite(out->N_error) && out->D > out->D_error)
        out->ratio = (out->truncation.E + out->D_error + out->N_error) / out->truncation.D_low;
}

/* How far D_k may be off. */
static double term_error(const group *s, unsigned g, const lane *at, unsigned k)
{
    return hop_up((s->error[g].D0 + k * s->error[g].D1) * at->term[k] + at->under);
}

/* Certificate T of lane q at degree g; where g is odd, D_{g+1} must be there. */
static void judge_taylor(const group *s, unsigned g, size_t q, verdict *out)
{
    const lane *at = &s->lanes[q];
    const hop_query *query = at->row->query;
    unsigned top = g % 2 ? g + 1 : g;
    out->D = at->D;
    weigh_errors(s, g, at, at->partial[g], query->s * at->partial[g - 1], out);
    hop_partial partial = {.g = g,
                           .D = at->D,
                           .D_error = out->D_error,
                           .top = s->e.D[top][q],
                           .top_error = term_error(s, g, at, top),
                           .first = s->e.D[1][q],
                           .first_error = term_error(s, g, at, 1),
                           .T = query->T,
                           .T_abs = query->T_abs,
                           .h = at->h[g]};
    conclude(hop_certificate_taylor(&partial, &out->truncation), out);
}

/* Certificate W likewise. */
static void judge_minimax(const group *s, unsigned g, size_t q, verdict *out)
{
    const lane *at = &s->lanes[q];
    const double *c = at->c;
    double sum = 0, B0 = 0, B1 = 0;
    for (unsigned k = 0; k <= g; k++) {
        double size = fabs(c[k]) * at->term[k];
        sum += c[k] * s->e.D[k][q];
        B0 += size;
        B1 += k * size;
    }
    out->D = sum;
    weigh_errors(s, g, at, B0 * (1 + 0x1p-46), B1 * (1 + 0x1p-46), out);
    hop_weighted weighted = {.eps = at->eps,
                             .D = sum,
                             .D_error = out->D_error,
                             .first = s->e.D[1][q],
                             .first_error = term_error(s, g, at, 1),
                             .T = at->row->query->T};
    conclude(hop_certificate_minimax(&weighted, &out->truncation), out);
}

/* W's polynomial at degree g, and its eps; INFINITY: none that the sweeps can weigh. */
static void find_minimax(lane *at, unsigned g)
{
    double least = 1 / HOP_EVALUATION_WEIGHT_MAX;
    at->c = NULL;
    at->eps = hop_minimax(g, at->row->query->T_abs, &at->c);
    if (!(at->eps < 1)) {
        at->eps = (double)INFINITY;
        return;
    }
    double top = fabs(at->c[g]);
    bool fits = top >= least && top <= HOP_EVALUATION_WEIGHT_MAX;
    for (unsigned k = 0; k < g; k++)
        fits = fits && fabs(at->c[k]) <= HOP_EVALUATION_WEIGHT_MAX * top;
    if (!fits)
        at->eps = (double)INFINITY;
}

/* What to expect of both certificates of lane q at degree g; of T from D_{g+1} where it is there, else from D_{g-1}. */
static void consider(group *s, unsigned g, size_t q)
{
    lane *at = &s->lanes[q];
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
        E = T_abs * s->e.D[g][q] * at->h[g] / (g + 1);
    else if (s->e.highest > g || s->e.top > g)
        E = s->e.D[g + 1][q] * at->h[g];
    else
        E = s->e.D[g - 1][q] * moment / (g + 1) * at->h[g];
    at->expected = E / hop_max(at->D, 1);
}

/* What max_error leaves to E / D, before rounding. */
static double allowed(const group *s, const lane *at)
{
    return at->row->z ? at->row->max_error / s->e.model->value.widest : 2 * at->row->max_error;
}

static bool looking(const lane *at, unsigned g)
{
    return at->open && g <= at->row->degree_cap;
}

/* Choose each open lane's polynomial at degree g by what is expected of it; whether any is worth the top degree. */
static bool choose(group *s, unsigned g)
{
    bool any = false;
    for (size_t q = 0; q < s->n; q++) {
        const lane *at = &s->lanes[q];
        s->c[q] = NULL;
        if (!looking(at, g))
            continue;
        consider(s, g, q);
        if (at->eps < at->expected)
            s->c[q] = at->c;
        any = any || hop_min(at->eps, at->expected) <= HOPE_MARGIN * allowed(s, at);
    }
    return any;
}

static void run_top(group *s, unsigned g)
{
    hop_evaluation_top(&s->e, g, s->c);
    memcpy(s->top_c, s->c, sizeof s->c);
}

/*
 * The smaller certificate of lane q at degree g, which has been considered: its polynomial to s->c[q], its numbers to
 * the lane. One that is expected to be clearly larger is not made. Where the top degree has been evaluated for the other
 * polynomial, that one is kept if it meets and is nearly as good.
 */
static bool judge(group *s, unsigned g, size_t q)
{
    lane *at = &s->lanes[q];
    verdict made[2]; /* T, W */
    made[0].ratio = made[1].ratio = (double)INFINITY;
    if (!(at->expected > CLEARLY * at->eps))
        judge_taylor(s, g, q, &made[0]);
    if (at->eps < 1 && !(at->eps > CLEARLY * at->expected))
        judge_minimax(s, g, q, &made[1]);
    int use = made[1].ratio < made[0].ratio;
    if (s->e.top == g + 1 && !s->e.features->A) {
        int there = s->top_c[q] != NULL;
        if (made[there].ratio <= NEARLY * made[use].ratio && made[there].ratio <= allowed(s, at))
            use = there;
    }
    if (!(made[use].ratio < (double)INFINITY))
        return false;
    at->verdict = made[use];
    s->c[q] = use ? at->c : NULL;
    return true;
}

static void answer_lane(const group *s, unsigned g, size_t q, const double *rows)
{
    const lane *at = &s->lanes[q];
    const hop_truncation *truncation = &at->verdict.truncation;
    hop_al_row *row = at->row;
    if (row->log_sum) {
        double low = log(truncation->D_low), high = hop_max(log(truncation->D_high), low);
        double slack = 4 * HOP_U64 * (1 + fabs(low) + fabs(high));
        row->log_D_low = low - slack;
        row->log_D_high = high + slack;
    }
    double bound;
    if (row->z) {
        double per_D = 1 / hop_down(truncation->D_low);
        hop_error_terms terms = {.dev = hop_up(truncation->E * per_D),
                                 .weight = hop_up(at->verdict.N_error * per_D),
                                 .quotient = hop_up(at->verdict.D_error * per_D)};
        bound = hop_certificate_answer(&s->e.model->value, rows + q * s->e.model->p, at->verdict.D, &terms, row->z);
    } else {
        bound = hop_up((row->log_D_high - row->log_D_low) / 2);
    }
    row->bound = bound;
    row->degree = (int)g;
    row->minimax = s->c[q] != NULL;
    row->met = bound <= row->max_error;
}

/* Numerators, once, for every lane that is due at degree g. */
static void answer_due(group *s, unsigned g)
{
    bool wanted = false, any = false;
    for (size_t q = 0; q < s->n; q++) {
        any = any || s->lanes[q].due;
        wanted = wanted || (s->lanes[q].due && s->lanes[q].row->z);
    }
    bool gradient = wanted && !s->e.features->A, again = s->e.top != g + 1;
    for (size_t q = 0; q < s->n && !again; q++)
        again = s->lanes[q].due && s->c[q] != s->top_c[q];
    if (gradient && again)
        run_top(s, g);
    const double *rows = wanted ? hop_evaluation_numerators(&s->e, g, gradient ? s->top_c : s->c) : NULL;
    for (size_t q = 0; any && q < s->n; q++) {
        lane *at = &s->lanes[q];
        if (!at->due)
            continue;
        answer_lane(s, g, q, rows);
        at->due = false;
        at->open = at->open && !at->row->met;
    }
}

/* Look at degree g of every open lane; those whose certificate is small enough become due. */
static void look(group *s, unsigned g)
{
    for (size_t q = 0; q < s->n; q++) {
        lane *at = &s->lanes[q];
        s->c[q] = NULL;
        if (!looking(at, g))
            continue;
        consider(s, g, q);
        double limit = allowed(s, at), ratio = hop_min(at->expected, at->eps);
        /* auto only notes a hopeless one, for last_try() */
        if (ratio <= CLEARLY * limit || !at->row->predict) {
            if (!judge(s, g, q))
                continue;
            ratio = at->verdict.ratio;
            at->due = at->row->z ? ratio <= limit
                                 : log(at->verdict.truncation.D_high / at->verdict.truncation.D_low) <= limit;
        }
        if (ratio < at->best_ratio) {
            at->best_ratio = ratio;
            at->best_degree = g;
        }
    }
}

/* 1/k */
static const double inverse[HOP_DEGREE_MAX + 1] = {0,        1,        1.0 / 2,  1.0 / 3,  1.0 / 4,  1.0 / 5,  1.0 / 6,
                                                   1.0 / 7,  1.0 / 8,  1.0 / 9,  1.0 / 10, 1.0 / 11, 1.0 / 12, 1.0 / 13,
                                                   1.0 / 14, 1.0 / 15, 1.0 / 16, 1.0 / 17, 1.0 / 18, 1.0 / 19, 1.0 / 20,
                                                   1.0 / 21, 1.0 / 22, 1.0 / 23, 1.0 / 24};

static void start(group *s, hop_al_row *const *rows, size_t n)
{
    const hop_query *queries[HOP_LANES];
    s->n = n;
    memset(s->c, 0, sizeof s->c);
    for (size_t q = 0; q < n; q++) {
        hop_al_row *row = rows[q];
        const hop_query *query = row->query;
        lane *at = &s->lanes[q];
        row->met = false;
        row->f32 = s->e.f32;
        row->minimax = false;
        row->degree = 0;
        row->bound = (double)INFINITY;
        row->sigma = (double)INFINITY;
        at->row = row;
        at->open = query->usable && query->s < 700 && row->degree_cap > 0;
        at->due = false;
        at->best_degree = 0;
        at->degree = 0;
        at->best_ratio = (double)INFINITY;
        queries[q] = at->open ? query : NULL;
        if (!at->open)
            continue;
        at->under = hop_evaluation_under(s->e.features, s->e.f32, row->degree_cap, query->s, s->least);
        hop_certificate_h(row->degree_cap, hop_max(query->T, 0), at->h);
        double term = 1, sum = 1; /* at most 3 HOP_DEGREE_MAX roundings of positive terms */
        at->term[0] = at->partial[0] = 1;
        for (unsigned k = 1; k <= row->degree_cap + 1; k++) {
            term *= query->s * inverse[k];
            sum += term;
            at->term[k] = term * (1 + 0x1p-46);
            at->partial[k] = sum * (1 + 0x1p-46);
        }
    }
    hop_evaluation_start(&s->e, queries, n);
}

static bool any_open(const group *s, unsigned g)
{
    for (size_t q = 0; q < s->n; q++)
        if (looking(&s->lanes[q], g))
            return true;
    return false;
}

/* D_2 is there: the second moment, and whether it is worth going on. */
static void measure(group *s)
{
    for (size_t q = 0; q < s->n; q++) {
        lane *at = &s->lanes[q];
        at->row->sigma = sqrt(hop_max(2 * s->e.D[2][q], 0));
        if (at->open && at->row->predict && !promising(s, 1, at))
            at->open = false;
    }
}

/*
 * Rows that no degree met: the smallest certificate once more, its true value being below what look() expected. What
 * auto sends to dense needs it only where it can still meet; a row that is refused gets the best bound that it could
 * have.
 */
static void last_try(group *s)
{
    for (unsigned g = 1; g <= s->e.highest; g++) {
        bool any = false;
        for (size_t q = 0; q < s->n; q++) {
            lane *at = &s->lanes[q];
            const hop_al_row *row = at->row;
            /* dev >= osc / 2; no bound is reported above the range, seen from its middle at best */
            double at_least = row->z ? hop_min(at->best_ratio, 1) * s->e.model->value.range / 2 * (1 - 0x1p-20) : 0;
            s->c[q] = NULL;
            at->due = !row->met && at->best_degree == g && row->degree != (int)g &&
                      (row->best_effort || !row->predict || at_least <= row->max_error);
            if (at->due) {
                consider(s, g, q);
                at->due = judge(s, g, q);
            }
            any = any || at->due;
        }
        if (any)
            answer_due(s, g);
    }
}

static void run(group *s, hop_al_row *const *rows, size_t n)
{
    unsigned g_max = s->e.features->g_max;
    start(s, rows, n);
    hop_evaluation_extend(&s->e);
    for (unsigned g = 1; any_open(s, g); g++) {
        if (g % 2) {
            /* T wants D_{g+1}: from the top degree, where it is likely to be wanted for the answer too */
            bool likely = choose(s, g);
            if (likely || g == g_max)
                run_top(s, g);
            else
                hop_evaluation_extend(&s->e);
        }
        look(s, g);
        answer_due(s, g);
        if (g == 1)
            measure(s);
        if (g == g_max)
            break;
        if (s->e.highest == g && any_open(s, g + 1))
            hop_evaluation_extend(&s->e);
    }
    last_try(s);
}

/* A group of this form; hop_al_row's queries are all of one model. */
static void open_group(group *s, const hop_model *model, const hop_features *features, hop_form form,
                       const hop_al_row *row, void *workspace)
{
    hop_evaluation_init(&s->e, model, features, form, workspace);
    s->least = hop_evaluation_least(model);
    for (unsigned g = 1; g <= features->g_max; g++)
        s->error[g] = hop_evaluation_rounding(features, s->e.f32, g, row->query->roundings);
}

/* Whether f32's rounding leaves a row nearly all of its max_error, at any degree up to its cap. */
static bool f32_will_do(const hop_model *model, const hop_features *features, const hop_evaluation_error *error,
                        double least, const hop_al_row *row)
{
    const hop_query *query = row->query;
    if (!query->usable || !(query->s < 60))
        return false;
    double under = hop_evaluation_under(features, true, row->degree_cap, query->s, least);
    double b = (error->D0 + error->N0 + (error->D1 + error->N1) * query->s) * exp(query->s) + 2 * under;
    return isfinite(b) && b * (row->z ? model->value.widest : 1) <= F32_SHARE * row->max_error;
}

bool hop_al_f32_will_do(const hop_model *model, const hop_features *features, const hop_al_row *row)
{
    hop_evaluation_error error = hop_evaluation_rounding(features, true, features->g_max, row->query->roundings);
    return hop_evaluation_lanes(features, HOP_LANES_F32) &&
           f32_will_do(model, features, &error, hop_evaluation_least(model), row);
}

/* What f32 did not meet but f64 may. */
static bool again(const hop_al_row *row)
{
    return !row->met && row->f32 && (!row->predict || row->bound <= F32_RETRY * row->max_error);
}

static void run_group(group *s, const hop_model *model, const hop_features *features, bool f32, hop_al_row *const *rows,
                      size_t n, void *workspace)
{
    hop_form lanes = f32 ? HOP_LANES_F32 : HOP_LANES_F64, one = f32 ? HOP_ONE_F32 : HOP_ONE_F64;
    bool single = hop_al_one_by_one(n, hop_evaluation_lanes(features, lanes));
    open_group(s, model, features, single ? one : lanes, rows[0], workspace);
    for (size_t i = 0; i < n; i += single ? 1 : n)
        run(s, rows + i, single ? 1 : n);
}

void hop_al_run(const hop_model *model, const hop_features *features, hop_al_row *rows, size_t n, void *workspace)
{
    group s;
    hop_al_row *waiting[HOP_LANES];
    double least = hop_evaluation_least(model);
    hop_evaluation_error error = hop_evaluation_rounding(features, true, features->g_max, rows[0].query->roundings);
    for (int pass = 0; pass < 2; pass++) {
        bool f32 = pass == 0;
        size_t lanes = hop_evaluation_lanes(features, f32 ? HOP_LANES_F32 : HOP_LANES_F64), held = 0;
        for (size_t i = 0; i < n; i++) {
            if (f32)
                rows[i].f32 = lanes && f32_will_do(model, features, &error, least, &rows[i]);
            if (f32 ? !rows[i].f32 : rows[i].f32 && !again(&rows[i]))
                continue;
            waiting[held++] = &rows[i];
            if (held < lanes)
                continue;
            run_group(&s, model, features, f32, waiting, held, workspace);
            held = 0;
        }
        if (held)
            run_group(&s, model, features, f32, waiting, held, workspace);
    }
}

void hop_al_run_form(const hop_model *model, const hop_features *features, hop_form form, hop_al_row *rows, size_t n,
                     void *workspace)
{
    group s;
    size_t lanes = hop_evaluation_lanes(features, form);
    open_group(&s, model, features, form, rows, workspace);
    for (size_t from = 0; from < n; from += lanes) {
        hop_al_row *held[HOP_LANES];
        size_t count = n - from < lanes ? n - from : lanes;
        for (size_t q = 0; q < count; q++)
            held[q] = &rows[from + q];
        run(&s, held, count);
    }
}

void hop_al_sigma(const hop_model *model, const hop_features *features, const hop_query *queries, size_t n,
                  void *workspace, double *sigma)
{
    hop_evaluation e;
    hop_evaluation_init(&e, model, features, HOP_LANES_F64, workspace);
    for (size_t from = 0; from < n; from += e.lanes) {
        const hop_query *held[HOP_LANES];
        size_t count = n - from < e.lanes ? n - from : e.lanes;
        for (size_t q = 0; q < count; q++) {
            const hop_query *query = &queries[from + q];
            held[q] = query->usable && query->s < 700 ? query : NULL;
        }
        hop_evaluation_start(&e, held, count);
        hop_evaluation_extend(&e);
        hop_evaluation_top(&e, 1, NULL);
        for (size_t q = 0; q < count; q++)
            sigma[from + q] = held[q] ? sqrt(hop_max(2 * e.D[2][q], 0)) : (double)INFINITY;
    }
}
