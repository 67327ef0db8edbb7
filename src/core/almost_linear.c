/*
 * almost_linear.c - which form and precision a row is evaluated in, at which degree it stops, and its answer.
 */
#include "core/almost_linear.h"

#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "core/judgement.h"
#include "core/minimax.h"
#include "core/rounding.h"

/*
 * A prediction above max_error by less than this factor is still tried where dense costs several times as much: heavy
 * tails and skew make it coarse.
 */
#define PREDICTION_MARGIN 8.0

/* f32 where its rounding takes no more of max_error than this. */
#define F32_SHARE 0.125

/* Monomials of a degree, from which on it is worth while to spare their way to the second cache and back. */
enum { CREST_WORTH = 512 };

enum { MISSES_MAX = 8 }; /* are counted */

static size_t convoy_of(const hop_features *features)
{
    return features->A ? HOP_AL_CONVOY : 1;
}

/* Of a group's evaluation. */
static size_t group_bytes(const hop_model *model, const hop_features *features)
{
    return hop_round_up(hop_evaluation_bytes(model, features), HOP_LANE_BYTES);
}

size_t hop_al_workspace_bytes(const hop_model *model, const hop_features *features)
{
    size_t groups = convoy_of(features);
    return groups * (group_bytes(model, features) + (groups > 1 ? sizeof(hop_al_group) : 0));
}

static double predict(unsigned g, double sigma, double T_abs, double h, size_t bucket)
{
    unsigned k = g + 1; /* E ~ mean |t|^{g+1} h / (g+1)!, Gaussian: sigma^k (k-1)!! */
    double gauss = 1, cap = 1;
    for (unsigned i = 1; i <= k; i++) {
        gauss *= sigma * hop_inverse[i] * (i % 2 == k % 2 ? 1.0 : (double)i);
        cap *= (i <= 2 ? sigma : T_abs) * hop_inverse[i];
    }
    const double *c;
    return hop_min(hop_min(gauss, cap) * h, hop_minimax_in(bucket, g, &c));
}

double hop_al_predict(unsigned g, double sigma, double T_abs, double h)
{
    return predict(g, sigma, T_abs, h, hop_minimax_bucket(T_abs));
}

double hop_al_margin(double gain)
{
    return hop_min(gain * gain / 4, PREDICTION_MARGIN);
}

/* Four terms of h in place of all: it is a guess, and large radii are none of T's business. */
unsigned hop_al_may_meet(const hop_query *query, double sigma, double widest, double max_error, unsigned above,
                         unsigned g_max, const double *gain, double margin)
{
    double even = 1, odd = sigma, cap = sigma, T = hop_max(query->T, 0); /* those of predict(), each from the last */
    size_t bucket = hop_minimax_bucket(query->T_abs);
    unsigned highest = 0;
    for (unsigned g = 1; g <= g_max; g++) {
        const double *c, *inverse = hop_inverse + g + 1;
        double limit = max_error * margin * (gain ? hop_al_margin(gain[g]) : PREDICTION_MARGIN);
        double *gauss = g % 2 ? &even : &odd;
        *gauss *= sigma * sigma * inverse[0];
        cap *= (g == 1 ? sigma : query->T_abs) * inverse[0];
        if (g <= above)
            continue;
        double h = 1 + T * inverse[1] * (1 + T * inverse[2] * (1 + T * inverse[3] * (1 + T * inverse[4])));
        double eps = gain || g == g_max ? hop_minimax_in(bucket, g, &c) : (double)INFINITY; /* falls with g */
        if (widest * hop_min(hop_min(*gauss, cap) * h, eps) <= limit)
            highest = g;
    }
    return highest;
}

/* hop_al_may_meet() for lane q, from what the group has. */
static unsigned promising(const hop_al_group *s, unsigned tried, size_t q)
{
    const hop_al_lane *at = &s->lanes[q];
    const hop_al_row *row = at->row;
    double widest = row->z ? s->e.model->value.widest : 1;
    for (unsigned g = row->degree_cap; g > tried; g--) {
        double E = predict(g, row->sigma, row->query->T_abs, s->h[g][q], at->bucket);
        if (widest * E <= row->max_error * (row->gain ? hop_al_margin(row->gain[g]) : PREDICTION_MARGIN))
            return g;
    }
    return 0;
}

static void answer_lane(const hop_al_group *s, unsigned g, size_t q, const double *rows)
{
    const hop_al_lane *at = &s->lanes[q];
    hop_al_row *row = at->row;
    if (row->log_sum) {
        double low = log(at->bound.D_low), high = hop_max(log(at->bound.D_high), low);
        double slack = 4 * HOP_U64 * (1 + fabs(low) + fabs(high));
        row->log_D_low = low - slack;
        row->log_D_high = high + slack;
    }
    double bound;
    if (row->z) {
        bound = hop_certificate_answer(&s->e.model->value, rows + q * s->e.model->p, at->bound.D, &at->terms, row->z);
    } else {
        bound = hop_up((row->log_D_high - row->log_D_low) / 2);
    }
    row->bound = bound;
    row->rounding = 2 * (row->z ? at->terms.weight * s->e.model->value.widest : at->bound.error / at->bound.D_low);
    row->degree = (int)g;
    row->kind = at->bound.kind;
    row->met = bound <= row->max_error;
}

/* Every lane that is due at degree g waits for its numerator. It counts as met, as was judged, until settle(). */
static void hold_due(hop_al_group *s, unsigned g, bool last)
{
    for (size_t q = 0; q < s->n; q++) {
        hop_al_lane *at = &s->lanes[q];
        if (!at->due)
            continue;
        at->held = g;
        at->held_last = last;
        at->due = at->open = false;
        at->row->met = true;
    }
}

/* Numerators, once, for every lane that is due at degree g; last: the last degree that is tried for them. */
static void answer_due(hop_al_group *s, unsigned g, bool last)
{
    bool wanted = false, any = false;
    for (size_t q = 0; q < s->n; q++) {
        any = any || s->lanes[q].due;
        wanted = wanted || (s->lanes[q].due && s->lanes[q].row->z);
    }
    if (wanted && s->hold) {
        hold_due(s, g, last);
        return;
    }
    bool gradient = wanted && !s->e.features->A, again = s->e.top != g + 1;
    for (size_t q = 0; q < s->n && !again; q++)
        again = s->lanes[q].due && !hop_al_is_top(s, g, q, s->c[q]);
    if (gradient && again)
        hop_al_top(s, g);
    const double *rows = wanted ? hop_evaluation_numerators(&s->e, g, gradient ? s->top_c : s->c) : NULL;
    for (size_t q = 0; any && q < s->n; q++) {
        hop_al_lane *at = &s->lanes[q];
        if (!at->due)
            continue;
        answer_lane(s, g, q, rows);
        at->due = false;
        at->open = at->open && !at->row->met;
    }
}

/* Look at degree g of every open lane; those whose certificate is small enough become due. */
static void look(hop_al_group *s, unsigned g)
{
    for (size_t q = 0; q < s->n; q++) {
        hop_al_lane *at = &s->lanes[q];
        s->c[q] = NULL;
        if (!hop_al_looking(at, g))
            continue;
        hop_al_consider(s, g, q);
        double limit = at->allowed, score = hop_min(at->expected, at->eps);
        /* auto only notes a hopeless one, for last_try() */
        if (score <= HOP_AL_JUDGED * limit || hop_al_worth_gauss(s, g, at, score) || !at->row->predict) {
            score = hop_al_judge(s, g, q);
            at->due = score < (double)INFINITY && score <= limit;
        }
        if (score < at->best_ratio) {
            at->best_ratio = score;
            at->best_degree = g;
        }
    }
}

static void start(hop_al_group *s, hop_al_row *const *rows, size_t n)
{
    const hop_query *queries[HOP_LANES];
    double size[HOP_LANES] = {0}, T[HOP_LANES] = {0};
    s->n = n;
    memset(s->c, 0, sizeof s->c);
    for (size_t q = 0; q < n; q++) {
        hop_al_row *row = rows[q];
        const hop_query *query = row->query;
        hop_al_lane *at = &s->lanes[q];
        row->met = false;
        row->f32 = s->e.f32;
        row->kind = HOP_CERTIFICATE_T;
        row->degree = 0;
        row->bound = (double)INFINITY;
        row->rounding = 0;
        row->sigma = (double)INFINITY;
        at->row = row;
        at->allowed = hop_al_allowed(s, row);
        at->open = query->usable && query->s < 700 && row->degree_cap > 0;
        at->due = false;
        at->held = 0;
        at->best_degree = 0;
        at->degree = 0;
        at->best_ratio = (double)INFINITY;
        queries[q] = at->open ? query : NULL;
        if (!at->open)
            continue;
        at->bucket = hop_minimax_bucket(query->T_abs);
        at->under = hop_evaluation_under(s->e.features, s->e.f32, row->degree_cap, query->s, s->least);
        size[q] = query->s;
        T[q] = hop_max(query->T, 0);
    }
    unsigned highest = s->e.features->g_max;
    hop_certificate_h_lanes(highest, n, HOP_LANES, T, s->h[0]);
    for (size_t q = 0; q < n; q++)
        s->term[0][q] = 1;
    /* four roundings a degree, the last one its own */
    for (unsigned k = 1; k <= highest + 1; k++)
        for (size_t q = 0; q < n; q++)
            s->term[k][q] = s->term[k - 1][q] * (size[q] * hop_inverse[k]) * (1 + 0x1p-50);
    hop_evaluation_start(&s->e, queries, n);
}

static bool any_open(const hop_al_group *s, unsigned g)
{
    for (size_t q = 0; q < s->n; q++)
        if (hop_al_looking(&s->lanes[q], g))
            return true;
    return false;
}

/* D_2 is there: the second moment, and whether it is worth going on. */
static void measure(hop_al_group *s)
{
    for (size_t q = 0; q < s->n; q++) {
        hop_al_lane *at = &s->lanes[q];
        at->row->sigma = sqrt(hop_max(2 * s->e.D[2][q], 0));
        if (!at->open || !at->row->predict)
            continue;
        unsigned highest = promising(s, 1, q);
        if (highest)
            at->row->degree_cap = highest;
        at->open = highest > 0;
    }
}

/*
 * Rows that no degree met: the smallest certificate once more, its true value being below what look() expected. What
 * auto sends to dense needs it only where it can still meet; a row that is refused gets the best bound that it could
 * have.
 */
static void last_try(hop_al_group *s)
{
    for (unsigned g = 1; g <= s->e.highest || g < s->e.top; g++) {
        bool any = false;
        for (size_t q = 0; q < s->n; q++) {
            hop_al_lane *at = &s->lanes[q];
            const hop_al_row *row = at->row;
            /* no bound is reported above the range, seen from its middle at best; half for what the tails may take */
            double at_least = row->z ? hop_min(at->best_ratio, 1) * s->e.model->value.range / 4 : 0;
            s->c[q] = NULL;
            at->due = !row->met && at->best_degree == g && row->degree != (int)g &&
                      (row->best_effort || !row->predict || at_least <= row->max_error);
            if (at->due) {
                hop_al_consider(s, g, q);
                at->due = hop_al_judge(s, g, q) < (double)INFINITY;
            }
            any = any || at->due;
        }
        if (any)
            answer_due(s, g, true);
    }
}

/* From degree g - 1, which did not do for all, to degree g. */
static void climb(hop_al_group *s, unsigned g)
{
    bool all = false;
    while (s->e.highest + 1 < g) /* the degree below was a crest */
        hop_evaluation_extend(&s->e);
    if (s->e.highest == g)
        return;
    if (g % 2 && hop_evaluation_crests(&s->e) && hop_multiindex_count(s->e.index, g) >= CREST_WORTH) {
        memset(s->e.D[g], 0, sizeof s->e.D[g]);
        hop_al_choose(s, g, &all);
    }
    if (all)
        hop_al_crest(s, g);
    else
        hop_evaluation_extend(&s->e);
}

static void run(hop_al_group *s, hop_al_row *const *rows, size_t n)
{
    unsigned g_max = s->e.features->g_max;
    start(s, rows, n);
    hop_evaluation_extend(&s->e);
    for (unsigned g = 1; any_open(s, g); g++) {
        if (g % 2 && s->e.top != g + 1) {
            /* T wants D_{g+1}: from the top degree, where it is likely to be wanted for the answer too */
            bool all, likely = hop_al_choose(s, g, &all);
            if (likely || g == g_max)
                hop_al_top(s, g);
            else
                hop_evaluation_extend(&s->e);
        }
        look(s, g);
        answer_due(s, g, false);
        if (g == 1)
            measure(s);
        if (g == g_max)
            break;
        if (any_open(s, g + 1))
            climb(s, g + 1);
    }
    last_try(s);
}

/* A group of this form; hop_al_row's queries are all of one model. */
static void open_group(hop_al_group *s, const hop_model *model, const hop_features *features, hop_form form,
                       const hop_evaluation_error *error, double least, void *workspace)
{
    hop_evaluation_init(&s->e, model, features, form, workspace);
    s->hold = false;
    s->least = least;
    s->error = error;
    s->per_widest = 1 / model->value.widest;
    s->z_rounding = 0x1p-22 * model->value.max_abs / model->value.widest;
}

/* By degree, for all rows of a call. */
static void find_errors(const hop_features *features, bool f32, const hop_al_row *rows, size_t n,
                        hop_evaluation_error *error)
{
    unsigned most = 0;
    for (size_t i = 0; i < n; i++)
        most = rows[i].degree_cap > most ? rows[i].degree_cap : most;
    for (unsigned g = 1; g <= most; g++)
        error[g] = hop_evaluation_rounding(features, f32, g, rows[0].query->roundings);
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

/* Whether it does for all, by one that asks for the most in every respect. */
static bool f32_will_do_all(const hop_model *model, const hop_features *features, const hop_evaluation_error *error,
                            double least, const hop_al_row *rows, size_t n)
{
    hop_query query = *rows[0].query;
    hop_al_row most = {.query = &query, .max_error = (double)INFINITY};
    for (size_t i = 0; i < n; i++) {
        query.usable = query.usable && rows[i].query->usable;
        query.s = hop_max(query.s, rows[i].query->s);
        most.degree_cap = rows[i].degree_cap > most.degree_cap ? rows[i].degree_cap : most.degree_cap;
        most.max_error = hop_min(most.max_error, rows[i].max_error);
        most.z = rows[i].z ? rows[i].z : most.z;
    }
    return f32_will_do(model, features, error, least, &most);
}

/* What f32 did not meet but f64 may: auto looks only where rounding is what there is too much. */
static bool again(const hop_al_row *row)
{
    return !row->met && row->f32 && (!row->predict || row->bound - row->rounding <= row->max_error);
}

/* Groups on their way, all of one precision. */
typedef struct convoy {
    const hop_model *model;
    const hop_features *features;
    size_t groups_max, group_bytes, groups;
    bool f32;
    double least;
    hop_evaluation_error error[HOP_DEGREE_MAX]; /* of the precision at hand */
    hop_al_group *group;
    char *workspace; /* an evaluation's for each */
    hop_al_row *waiting[HOP_LANES];
    size_t held;
    unsigned misses; /* groups in a row that were not worth their time */
    size_t pass_by;  /* so many groups are not tried after them */
} convoy;

/* Take the rows through the degrees as group number i. hold: leave answers to settle(), unless they go one by one. */
static void run_group(convoy *c, size_t i, hop_al_row *const *rows, size_t n, bool hold)
{
    hop_form lanes = c->f32 ? HOP_LANES_F32 : HOP_LANES_F64, one = c->f32 ? HOP_ONE_F32 : HOP_ONE_F64;
    bool single = hop_al_one_by_one(n, hop_evaluation_lanes(c->features, lanes));
    open_group(&c->group[i], c->model, c->features, single ? one : lanes, c->error, c->least,
               c->workspace + i * c->group_bytes);
    c->group[i].hold = hold && !single;
    for (size_t first = 0; first < n; first += single ? 1 : n)
        run(&c->group[i], rows + first, single ? 1 : n);
}

/* Answer what the groups hold. Rows whose bound is above what was judged go their way once more, without waiting. */
static void settle(convoy *c)
{
    hop_share shares[HOP_AL_CONVOY] = {0};
    hop_al_row *rest[HOP_AL_CONVOY * HOP_LANES];
    size_t n = 0, left = 0;
    for (size_t i = 0; i < c->groups; i++) {
        bool any = false;
        for (size_t q = 0; q < c->group[i].n && c->group[i].hold; q++) {
            const hop_al_lane *at = &c->group[i].lanes[q];
            shares[n].g[q] = at->held;
            shares[n].c[q] = at->held && at->bound.kind != HOP_CERTIFICATE_T ? at->bound.c : NULL;
            any = any || at->held;
        }
        shares[n].e = &c->group[i].e;
        n += any ? 1 : 0;
    }
    if (n)
        hop_evaluation_products(shares, n);
    for (size_t i = 0; i < c->groups; i++)
        for (size_t q = 0; q < c->group[i].n && c->group[i].hold; q++) {
            const hop_al_lane *at = &c->group[i].lanes[q];
            if (!at->held)
                continue;
            answer_lane(&c->group[i], at->held, q, c->group[i].e.rows);
            if (!at->row->met && !at->held_last)
                rest[left++] = at->row;
        }
    c->groups = 0;
    size_t lanes = hop_evaluation_lanes(c->features, c->f32 ? HOP_LANES_F32 : HOP_LANES_F64);
    for (size_t from = 0; from < left; from += lanes)
        run_group(c, 0, rest + from, left - from < lanes ? left - from : lanes, false);
}

/* Whether what the group's rows saved is what was spent on them. */
static bool was_worth_it(const convoy *c, const hop_al_group *group)
{
    double saved = 0;
    for (size_t i = 0; i < c->held; i++) {
        const hop_al_row *row = c->waiting[i];
        unsigned g = group->e.highest < row->degree_cap ? group->e.highest : row->degree_cap;
        if (!row->predict || !row->gain || !g)
            return true;
        saved += row->met ? row->gain[g] : 0;
    }
    return saved >= (double)c->held;
}

/*
 * The rows that wait make a group. Of auto's rows those that follow a group that was not worth its time are likely to
 * want as much: after the first such group 3 go untried, after the next in a row 15, and so on, so that they cost a
 * small part of the dense pass that answers them.
 */
static void depart(convoy *c)
{
    if (c->held && c->pass_by) {
        for (size_t i = 0; i < c->held; i++) {
            c->waiting[i]->degree_cap = 0;
            c->waiting[i]->sigma = (double)INFINITY;
        }
        c->pass_by--;
    } else if (c->held) {
        run_group(c, c->groups, c->waiting, c->held, c->groups_max > 1);
        c->misses = was_worth_it(c, &c->group[c->groups]) ? 0 : c->misses + (c->misses < MISSES_MAX);
        c->pass_by = ((size_t)1 << 2 * c->misses) - 1;
        c->groups++;
    }
    c->held = 0;
}

void hop_al_run(const hop_model *model, const hop_features *features, hop_al_row *rows, size_t n, void *workspace)
{
    hop_al_group own; /* where there is but one; large, and not to be cleared */
    convoy c = {.model = model,
                .features = features,
                .groups_max = convoy_of(features),
                .group_bytes = group_bytes(model, features),
                .workspace = workspace};
    c.group = c.groups_max > 1 ? (hop_al_group *)(c.workspace + c.groups_max * c.group_bytes) : &own;
    c.least = hop_evaluation_least(model);
    hop_evaluation_error error = hop_evaluation_rounding(features, true, features->g_max, rows[0].query->roundings);
    for (int pass = 0; pass < 2; pass++) {
        bool f32 = pass == 0;
        size_t lanes = hop_evaluation_lanes(features, f32 ? HOP_LANES_F32 : HOP_LANES_F64);
        bool all = f32 && lanes && n > 1 && f32_will_do_all(model, features, &error, c.least, rows, n);
        bool found = false;
        c.f32 = f32;
        c.misses = 0;
        c.pass_by = 0;
        for (size_t i = 0; i < n; i++) {
            if (f32)
                rows[i].f32 = all || (lanes && f32_will_do(model, features, &error, c.least, &rows[i]));
            if (f32 ? !rows[i].f32 : rows[i].f32 && !again(&rows[i]))
                continue;
            if (!found)
                find_errors(features, f32, rows, n, c.error);
            found = true;
            c.waiting[c.held++] = &rows[i];
            if (c.held == lanes)
                depart(&c);
            if (c.groups == c.groups_max)
                settle(&c);
        }
        depart(&c);
        settle(&c);
    }
}

void hop_al_run_form(const hop_model *model, const hop_features *features, hop_form form, hop_al_row *rows, size_t n,
                     void *workspace)
{
    hop_al_group s;
    hop_evaluation_error error[HOP_DEGREE_MAX];
    size_t lanes = hop_evaluation_lanes(features, form);
    find_errors(features, form == HOP_LANES_F32 || form == HOP_ONE_F32, rows, n, error);
    open_group(&s, model, features, form, error, hop_evaluation_least(model), workspace);
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
