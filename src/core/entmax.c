/*
 * entmax.c - theta by Newton's method, sums over the support, and the bound (entmax.h). Proofs: docs/MATH.md.
 */
#include "core/entmax.h"

#include <math.h>

#include "core/kernels.h"
#include "core/rounding.h"

enum { LOWER_STEPS = 4, STEPS_MAX = 100 };

/* Beyond this, of scores, and of sum p - 1, nothing is known. */
#define SCORE_ERROR_MAX 0.5
#define RESIDUAL_MAX 0x1p-20

/* What a sieve keeps besides, so that whoever may be in the support within the errors is counted. */
#define SLACK 0x1p-16

double hop_entmax_alpha(const hop_request *request)
{
    return request->mode == HOP_SPARSEMAX ? 2 : request->parameters.alpha;
}

/* The error of scores, and of what is made of them, in t: 1 + (alpha - 1)(t - t_max - theta) rounds four times. */
static double exponent_error(const hop_model *model, const hop_query *query, double alpha)
{
    return hop_up(hop_score_error(model, query, true) + 4 * HOP_U64 / (alpha - 1));
}

hop_sieve_rule hop_entmax_rule(const hop_model *model, const hop_query *const *queries, size_t n,
                               const hop_request *request)
{
    hop_sieve_rule rule = {.alpha = hop_entmax_alpha(request)};
    for (size_t q = 0; q < n; q++)
        rule.slack = hop_max(rule.slack, 2 * exponent_error(model, queries[q], rule.alpha));
    rule.slack += SLACK;
    return rule;
}

/* The model at one theta. */
typedef struct curve {
    double alpha, unit, top, theta;
} curve;

/* 1 + (alpha - 1)(t - t_max - theta): the weight's base. */
static double base_of(const curve *at, double score)
{
    return 1 + (at->alpha - 1) * ((score - at->top) * at->unit - at->theta);
}

/* base^{1/(alpha - 1)}, 0 < base <= 1. */
static double weight_of(const curve *at, double base)
{
    if (at->alpha >= 2)
        return base;
    if (at->alpha >= 1.5 && at->alpha <= 1.5)
        return base * base;
    return exp(log(base) / (at->alpha - 1));
}

/* sum p and -d sum p / d theta = sum p^{2 - alpha}. */
typedef struct sums {
    double p, slope;
} sums;

static void add_sums(const curve *at, const hop_entry *entries, size_t n, sums *to)
{
    double p = 0, slope = 0;
    for (size_t i = 0; i < n; i++) {
        const double base = base_of(at, entries[i].score);
        if (!(base > 0))
            continue;
        const double weight = weight_of(at, base);
        p += weight;
        slope += weight / base;
    }
    to->p += p;
    to->slope += slope;
}

/*
 * Newton's step for (sum p)^{alpha - 1} = 1. The left side is a norm of the bases, and so convex in theta: from below
 * the steps never pass the root, but for rounding.
 */
static double newton(double alpha, const sums *at)
{
    return -expm1((1 - alpha) * log(at->p)) / (alpha - 1) * (at->p / at->slope);
}

double hop_entmax_lower(const hop_entry *entries, size_t n, double unit, double top, double alpha)
{
    curve at = {.alpha = alpha, .unit = unit, .top = top};
    for (int step = 0; step < LOWER_STEPS; step++) {
        sums here = {0};
        add_sums(&at, entries, n, &here);
        if (!(here.p > 1))
            break;
        at.theta += newton(alpha, &here);
    }
    return at.theta;
}

/* ---- one row ----------------------------------------------------------------------------------------- */

/* Where a row's scores come from: a list, or, where entries is NULL, the memories themselves in parts. */
typedef struct source {
    const hop_entry *entries;
    size_t n, parts;
    const hop_scan *scan;
    const hop_executor *executor;
} source;

/* What a pass over the source does with a part of it. */
typedef struct part {
    double top;
    sums sums;
    hop_mix mix;    /* other: sum p^alpha */
    size_t within;  /* memories that may be in the support */
    size_t weighed; /* weights above 0 */
} part;

typedef struct pass pass;

struct pass {
    const source *from;
    void (*add)(const pass *run, part *to, const hop_entry *entries, size_t n);
    curve at;
    double reach;   /* how far below the support's edge a memory may be in it */
    double D;       /* sum p, for the weights that are returned */
    float *weights; /* NULL: not wanted */
    part *parts;
};

static void run_part(void *arg, size_t i)
{
    const pass *run = arg;
    const source *from = run->from;
    hop_entry block[HOP_SCAN_BLOCK];
    if (from->entries) {
        run->add(run, &run->parts[0], from->entries, from->n);
        return;
    }
    const size_t M = from->scan->model->M, count = from->parts;
    size_t cursor = M / count * i + M % count * i / count;
    const size_t end = M / count * (i + 1) + M % count * (i + 1) / count;
    for (size_t n; (n = hop_scan_next(from->scan, &cursor, end, block)) > 0;)
        run->add(run, &run->parts[i], block, n);
}

static void run_pass(pass *run)
{
    const source *from = run->from;
    if (from->executor && from->parts > 1) {
        from->executor->run(from->executor->context, from->parts, run_part, run);
        return;
    }
    for (size_t i = 0; i < from->parts; i++)
        run_part(run, i);
}

static void add_top(const pass *run, part *to, const hop_entry *entries, size_t n)
{
    (void)run;
    for (size_t i = 0; i < n; i++)
        to->top = hop_max(entries[i].score, to->top);
}

static void add_weights(const pass *run, part *to, const hop_entry *entries, size_t n)
{
    add_sums(&run->at, entries, n, &to->sums);
}

static void add_values(const pass *run, part *to, const hop_entry *entries, size_t n)
{
    const double least = -run->reach * (run->at.alpha - 1);
    for (size_t i = 0; i < n; i++) {
        const double base = base_of(&run->at, entries[i].score);
        to->within += base > least;
        if (!(base > 0))
            continue;
        const double weight = weight_of(&run->at, base);
        if (!(weight > 0))
            continue;
        to->mix.run_other += weight * base;
        hop_mix_add(&to->mix, entries[i].id, weight);
        to->weighed++;
        if (run->weights)
            run->weights[entries[i].id] = (float)(weight / run->D);
    }
}

static double largest_score(pass *run)
{
    double top = -INFINITY;
    for (size_t i = 0; i < run->from->parts; i++)
        run->parts[i].top = top;
    run->add = add_top;
    run_pass(run);
    for (size_t i = 0; i < run->from->parts; i++)
        top = hop_max(run->parts[i].top, top);
    return top;
}

static sums sums_at(pass *run)
{
    sums all = {0};
    for (size_t i = 0; i < run->from->parts; i++)
        run->parts[i].sums = (sums){0};
    run->add = add_weights;
    run_pass(run);
    for (size_t i = 0; i < run->from->parts; i++) {
        all.p += run->parts[i].sums.p;
        all.slope += run->parts[i].sums.slope;
    }
    return all;
}

/* From the left to where sum p = 1 as nearly as rounding lets it: theta and D of the best of the steps. */
static void solve(pass *run)
{
    double best = (double)INFINITY, theta = 0;
    run->at.theta = 0;
    for (int step = 0; step < STEPS_MAX; step++) {
        const sums here = sums_at(run);
        const double residual = fabs(here.p - 1), before = run->at.theta;
        if (!(residual < best))
            break; /* rounding is all that is left */
        best = residual;
        theta = before;
        run->D = here.p;
        run->at.theta += newton(run->at.alpha, &here);
        if (!(run->at.theta >= 0))
            run->at.theta = 0;
        if (run->at.theta <= before && run->at.theta >= before)
            break;
    }
    run->at.theta = theta;
}

/* What is proved of the answer (docs/MATH.md), and of the conjugate. */
static hop_error_terms terms_of(const pass *run, const part *all, const hop_query *query, double *log_error)
{
    const hop_model *model = all->mix.model;
    const double alpha = run->at.alpha, within = (double)all->within;
    const double scores = exponent_error(model, query, alpha);
    const double sums_error = hop_mix_error(&all->mix, run->from->parts);
    /* exp(log(base)/(alpha - 1)), summed over the support: an entropy */
    const double powers = alpha >= 2 ? 0 : hop_up(HOP_U64 * (6 * log(within + 1) + 12) + within * 0x1p-1000);
    const double residual = hop_up(fabs(all->mix.D - 1) + all->mix.D * (sums_error + powers) + 0x1p-52);
    if (!(scores < SCORE_ERROR_MAX) || !(residual < RESIDUAL_MAX)) {
        *log_error = (double)INFINITY;
        return (hop_error_terms){.osc = (double)INFINITY};
    }
    const double slope = all->within > 1 ? exp((alpha - 1) * log(within)) * (1 + 0x1p-40) : 0;
    *log_error = hop_up(scores + 2 * residual * residual + 2 * (sums_error + powers) + 8 * HOP_U64);
    return (hop_error_terms){.osc = hop_up(scores * slope / 2 + residual * (1 + 2 * residual) + powers)};
}

static void finish_returns(const pass *run, const part *all, const hop_returns *to, hop_entry *room, size_t capacity,
                           size_t n)
{
    const size_t listed = to->top < all->weighed ? to->top : all->weighed;
    if (to->support)
        *to->support = all->mix.D * all->mix.D / all->mix.squares;
    if (to->top_count)
        *to->top_count = listed;
    if (!to->top_id || listed == 0)
        return;
    if (run->from->entries) {
        hop_entries_select(room, n, listed);
        hop_returns_top(to, 0, room, listed);
    } else {
        hop_returns_scan(to, run->from->scan, listed, room, capacity);
    }
    for (size_t i = 0; i < listed; i++)
        to->top_weight[i] = weight_of(&run->at, base_of(&run->at, to->top_weight[i])) / all->mix.D;
}

/*
 * Into the room: all candidates of a scan, as a sieve would keep them. 0: they are too many for it.
 */
static size_t collect(const hop_scan *scan, double alpha, double slack, hop_entry *room, size_t capacity)
{
    const double window = 1 / (alpha - 1) + slack;
    size_t n = 0, cursor = scan->selection.first;
    double top = -INFINITY, least = -INFINITY;
    hop_entry block[HOP_SCAN_BLOCK];
    for (size_t count; (count = hop_scan_next(scan, &cursor, scan->selection.end, block)) > 0;) {
        for (size_t i = 0; i < count; i++) {
            if (!(block[i].score >= least))
                continue;
            room[n++] = block[i];
            top = hop_max(block[i].score, top);
        }
        least = hop_max(top - window, least);
        if (n + HOP_SCAN_BLOCK <= capacity)
            continue;
        least = hop_max(top + hop_entmax_lower(room, n, 1, top, alpha) - window, least);
        size_t kept = 0;
        for (size_t i = 0; i < n; i++)
            if (room[i].score >= least)
                room[kept++] = room[i];
        n = kept;
        if (n > capacity / 2)
            return 0;
    }
    return n;
}

void hop_entmax_answer(const hop_model *model, const hop_request *request, hop_row *row, const hop_returns *to,
                       hop_entry *entries, size_t n, hop_entry *room, size_t capacity, void *blocks)
{
    const hop_scan scan = {.model = model, .query = &row->query, .selection = hop_selection_all(model->M)};
    const double alpha = hop_entmax_alpha(request), slack = 2 * exponent_error(model, &row->query, alpha) + SLACK;
    part parts[HOP_ENTMAX_PARTS];
    if (!entries) {
        n = collect(&scan, alpha, slack, room, capacity);
        entries = n ? room : NULL;
    }
    source from = {.entries = entries, .n = n, .parts = 1, .scan = &scan, .executor = request->executor};
    if (!entries)
        from.parts = HOP_ENTMAX_PARTS;
    pass run = {.from = &from, .at = {.alpha = alpha, .unit = 1}, .weights = to->weights, .parts = parts};
    run.at.top = largest_score(&run);
    solve(&run);

    for (size_t i = 0; i < from.parts; i++) {
        parts[i] = (part){0};
        hop_mix_init(&parts[i].mix, model, (char *)blocks + i * hop_mix_bytes(model));
    }
    hop_returns_clear(to, model->M);
    run.reach = slack;
    run.add = add_values;
    run_pass(&run);
    part *all = &parts[0];
    hop_mix_flush(&all->mix);
    for (size_t i = 1; i < from.parts; i++) {
        hop_mix_flush(&parts[i].mix);
        hop_mix_join(&all->mix, &parts[i].mix);
        all->within += parts[i].within;
        all->weighed += parts[i].weighed;
    }
    finish_returns(&run, all, to, entries ? entries : room, capacity, n);
    const hop_error_terms terms = terms_of(&run, all, &row->query, &row->log_error);
    row->log_sum = run.at.top + (run.at.theta - (1 - all->mix.other) / alpha);
    row->log_error = hop_up(row->log_error + 8 * HOP_U64 * (fabs(run.at.top) + run.at.theta + 1));
    row->bound = hop_mix_answer(&all->mix, from.parts, &terms, row->z);
    row->met = row->bound <= request->max_error;
}
