/*
 * top_k.c - weights, sums and the bound of a top_k row (top_k.h).
 */
#include "core/top_k.h"

#include <math.h>

#include "core/kernels.h"
#include "core/rounding.h"

/* Beyond this scores say nothing (dense_bound.c). */
#define SCORE_ERROR_MAX 0.5

hop_sieve_rule hop_top_k_rule(const hop_request *request)
{
    return (hop_sieve_rule){.most = request->parameters.k + 1};
}

/* A row on its way. */
typedef struct top_k {
    const hop_model *model;
    const hop_returns *to;
    hop_mix mix;
    size_t k, done;
    double largest; /* score of the heaviest */
    double next;    /* score of the heaviest that does not count */
} top_k;

/* n entries that follow the `done` ones before. */
static void take(top_k *run, const hop_entry *entries, size_t n)
{
    if (run->done == 0)
        run->largest = entries[0].score;
    const size_t counted = run->k - run->done < n ? run->k - run->done : n;
    for (size_t i = 0; i < counted; i++) {
        const double w = exp(entries[i].score - run->largest);
        hop_mix_add(&run->mix, entries[i].id, w);
        if (run->to->weights)
            run->to->weights[entries[i].id] = (float)w;
    }
    hop_returns_top(run->to, run->done, entries, counted);
    if (counted < n)
        run->next = entries[counted].score;
    run->done += counted;
}

/* Scores become weights. */
static void finish_returns(const top_k *run)
{
    const hop_returns *to = run->to;
    const double D = run->mix.D;
    const size_t listed = to->top < run->k ? to->top : run->k;
    for (size_t i = 0; to->top_id && i < listed; i++)
        to->top_weight[i] = exp(to->top_weight[i] - run->largest) / D;
    if (to->top_count)
        *to->top_count = listed;
    if (to->support)
        *to->support = D * D / run->mix.squares;
    for (size_t mu = 0; to->weights && mu < run->model->M; mu++)
        to->weights[mu] = (float)((double)to->weights[mu] / D);
}

/* Terms of the answer against dense. log_error: of log sum over the k. */
static hop_error_terms terms_of(const top_k *run, const hop_query *query, double *log_error)
{
    const double M = (double)run->model->M, k = (double)run->k, s = query->s;
    const double score = hop_score_error(run->model, query, true);
    const double shift = HOP_U64 * hop_min(2 * s, 1000); /* of score - largest: beyond 745 the weight is 0, and lost */
    const double half_ratio = hop_up(score + shift + HOP_EXP_F64_ERROR * (1 + 0x1p-20));
    const double sums = hop_mix_error(&run->mix, 1), lost = M * 0x1p-1000;
    if (!(score < SCORE_ERROR_MAX)) {
        *log_error = (double)INFINITY;
        return (hop_error_terms){.osc = (double)INFINITY};
    }
    /* S_K and U in units of e^largest; a memory that was left out scores at most next + the score's error */
    const double kept = hop_down(run->mix.D * (1 - sums) * exp(-half_ratio));
    const double most = hop_up(exp(run->next - run->largest) + 0x1p-1000) * (1 + 2 * half_ratio);
    const double others = hop_up((M - k) * most);
    *log_error = hop_up(half_ratio + 2 * sums + lost);
    return (hop_error_terms){.osc = k > 1 ? half_ratio / 2 : 0, .dev = hop_up(others / (kept + others) + lost)};
}

void hop_top_k_answer(const hop_model *model, const hop_request *request, hop_row *row, const hop_returns *to,
                      hop_entry *entries, size_t n, hop_entry *room, size_t capacity, void *block)
{
    const size_t k = request->parameters.k;
    top_k run = {.model = model, .to = to, .k = k};
    hop_mix_init(&run.mix, model, block);
    hop_returns_clear(to, model->M);
    if (entries) {
        hop_entries_select(entries, n, k + 1);
        take(&run, entries, k + 1);
    } else {
        const hop_scan scan = {.model = model, .query = &row->query, .selection = hop_selection_all(model->M)};
        const size_t round = (capacity - HOP_SCAN_BLOCK) / 2;
        hop_entry last;
        for (size_t done = 0, found; done < k + 1; done += found) {
            const size_t left = k + 1 - done;
            found = hop_scan_best(&scan, done ? &last : NULL, left < round ? left : round, room, capacity);
            last = room[found - 1];
            take(&run, room, found);
        }
    }
    hop_mix_flush(&run.mix);
    finish_returns(&run);
    const hop_error_terms terms = terms_of(&run, &row->query, &row->log_error);
    row->log_sum = run.largest + log(run.mix.D);
    row->log_error = hop_up(row->log_error + 4 * HOP_U64 * (fabs(run.largest) + fabs(row->log_sum) + 1));
    row->bound = hop_mix_answer(&run.mix, 1, &terms, row->z);
    row->met = row->bound <= request->max_error;
}
