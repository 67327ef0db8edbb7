/*
 * sieve.c - panels of f32 scores against a threshold that rises with what was found (sieve.h). Proof of the margins:
 * docs/MATH.md, "Structured models".
 */
#include "core/sieve.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "core/dense.h"
#include "core/entmax.h"
#include "core/kernels.h"
#include "core/pack.h"
#include "core/rounding.h"

#define LOG2_E 1.4426950408889634
#define LN_2 0.6931471805599453

enum {
    ROOM_MOST = 1 << 19, /* entries of all lists: 8 MB */
    ROOM_LEAST = 1 << 10,
    SEGMENTS_MAX = 16,
    SEGMENT_PANELS = 32,     /* at least, so that cutting costs nothing next to the work */
    SEGMENT_BYTES = 8 << 20, /* of all segments, unless one alone takes more */
    GUESS = 2048,            /* entries of a list where nothing is known of how many there will be */
};

/* One query's entries in one segment; scores are of the base 2, as the kernels return them. */
typedef struct list {
    hop_entry *entries;
    size_t n;
    float top, threshold; /* the largest so far; below it nothing enters */
    bool full;            /* there were more than fit: the list is of no use */
} list;

/* What one segment's task needs for itself. */
typedef struct segment {
    float *keys; /* a panel, where it is packed on the way */
    float *scores;
} segment;

static size_t lay_out_segment(const hop_model *model, char *block, segment *out)
{
    size_t used = 0;
    size_t keys = hop_carve(&used, model->d * HOP_PANEL, sizeof(float));
    size_t scores = hop_carve(&used, (size_t)HOP_SIEVE_ROWS * HOP_PANEL, sizeof(float));
    if (out)
        *out = (segment){.keys = (float *)(block + keys), .scores = (float *)(block + scores)};
    return used;
}

static size_t segment_count(const hop_model *model)
{
    size_t panels = hop_pack_panels(model->M), each = lay_out_segment(model, NULL, NULL), count = 1;
    while (2 * count <= SEGMENTS_MAX && 2 * count * SEGMENT_PANELS <= panels && 2 * count * each <= SEGMENT_BYTES)
        count *= 2;
    return count;
}

/* Memories of the largest segment, and what a panel more may bring. */
static size_t longest_list(const hop_model *model)
{
    return (hop_pack_panels(model->M) / segment_count(model) + 2) * HOP_PANEL;
}

static size_t room_of(const hop_model *model)
{
    size_t most = longest_list(model) * segment_count(model);
    size_t room = most > ROOM_MOST / HOP_SIEVE_ROWS ? ROOM_MOST : most * HOP_SIEVE_ROWS;
    return room < ROOM_LEAST ? ROOM_LEAST : room;
}

typedef struct pieces {
    float *x;
    list *lists; /* segments x HOP_SIEVE_ROWS */
    char *segments;
    hop_entry *room;
} pieces;

static size_t lay_out(const hop_model *model, char *block, pieces *out)
{
    size_t used = 0, segments = segment_count(model);
    size_t x = hop_carve(&used, HOP_SIEVE_ROWS * model->d, sizeof(float));
    size_t lists = hop_carve(&used, HOP_SIEVE_ROWS * segments, sizeof(list));
    size_t scratch = hop_carve(&used, segments, lay_out_segment(model, NULL, NULL));
    size_t room = hop_carve(&used, room_of(model), sizeof(hop_entry));
    if (out)
        *out = (pieces){.x = (float *)(block + x),
                        .lists = (list *)(block + lists),
                        .segments = block + scratch,
                        .room = (hop_entry *)(block + room)};
    return used;
}

size_t hop_sieve_workspace_bytes(const hop_model *model)
{
    return lay_out(model, NULL, NULL);
}

size_t hop_sieve_room(const hop_model *model, void *workspace, hop_entry **room)
{
    pieces w;
    lay_out(model, workspace, &w);
    *room = w.room;
    return room_of(model);
}

size_t hop_sieve_round(const hop_model *model)
{
    return (room_of(model) - HOP_SCAN_BLOCK) / 2;
}

/* Entries that one list should have room for. */
static size_t list_length(const hop_model *model, const hop_sieve_rule *rule)
{
    size_t longest = longest_list(model), want = GUESS;
    if (rule->most)
        want = rule->most > longest ? longest : 3 * rule->most + 4 * HOP_PANEL;
    return want < longest ? want : longest;
}

size_t hop_sieve_rows(const hop_model *model, const hop_sieve_rule *rule)
{
    size_t rows = room_of(model) / (segment_count(model) * list_length(model, rule));
    return rows < HOP_SIEVE_ROWS ? rows : HOP_SIEVE_ROWS;
}

/* A score in base 2 below which nothing is needed: `margin` (of the base e) below `score`, rounded down. */
static float lower(double score, double margin)
{
    return nextafterf((float)(score - margin * (LOG2_E * (1 + 0x1p-40))), -INFINITY);
}

static double margin_of(const hop_sieve *sieve, size_t q)
{
    const hop_query *query = sieve->queries[q];
    double both = hop_score_error(sieve->model, query, false) + hop_score_error(sieve->model, query, true);
    return 4 * both + sieve->rule.slack;
}

static void drop_below(list *l, float threshold)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++)
        if (l->entries[i].score >= (double)threshold)
            l->entries[kept++] = l->entries[i];
    l->n = kept;
    l->threshold = threshold > l->threshold ? threshold : l->threshold;
}

/* Raise the threshold as far as what the list holds allows, and drop what is below. */
static void tighten(const hop_sieve *sieve, size_t q, list *l)
{
    const hop_sieve_rule *rule = &sieve->rule;
    if (l->n == 0)
        return;
    if (rule->most) {
        if (l->n < rule->most)
            return;
        hop_entries_part(l->entries, l->n, rule->most);
        drop_below(l, lower(l->entries[rule->most - 1].score, margin_of(sieve, q)));
        return;
    }
    const double theta = hop_entmax_lower(l->entries, l->n, LN_2, (double)l->top, rule->alpha);
    drop_below(l, lower((double)l->top + theta * LOG2_E, margin_of(sieve, q) + 1 / (rule->alpha - 1)));
}

static bool any_above(const float *scores, size_t count, float threshold)
{
    int hits = 0;
    if (count < HOP_PANEL) {
        for (size_t m = 0; m < count; m++)
            hits |= scores[m] >= threshold;
        return hits;
    }
    for (size_t m = 0; m < HOP_PANEL; m++) /* a whole panel: as vectors */
        hits |= scores[m] >= threshold;
    return hits;
}

static void sift_panel(const hop_sieve *sieve, size_t q, list *l, const float *scores, size_t first, size_t count)
{
    const float threshold = l->threshold;
    if (!any_above(scores, count, threshold) || l->full)
        return;
    float top = l->top;
    for (size_t m = 0; m < count; m++) {
        if (!(scores[m] >= threshold))
            continue;
        l->entries[l->n++] = (hop_entry){.score = (double)scores[m], .id = first + m};
        top = scores[m] > top ? scores[m] : top;
    }
    if (top > l->top) {
        l->top = top;
        if (!sieve->rule.most)
            l->threshold = fmaxf(threshold, lower((double)top, margin_of(sieve, q) + 1 / (sieve->rule.alpha - 1)));
    }
    if (l->n + HOP_PANEL > sieve->capacity)
        tighten(sieve, q, l);
    if (l->n + HOP_PANEL > sieve->capacity) {
        l->full = true;
        l->threshold = INFINITY;
    }
}

static void run_segment(void *arg, size_t i)
{
    const hop_sieve *sieve = arg;
    const hop_model *model = sieve->model;
    const size_t panels = hop_pack_panels(model->M), count = sieve->segments, d = model->d;
    const size_t end = panels / count * (i + 1) + panels % count * (i + 1) / count;
    pieces w;
    segment own;
    lay_out(model, sieve->workspace, &w);
    lay_out_segment(model, w.segments + i * lay_out_segment(model, NULL, NULL), &own);
    list *lists = w.lists + i * HOP_SIEVE_ROWS;
    for (size_t q = 0; q < sieve->n; q++)
        lists[q] = (list){.entries = w.room + (q * sieve->segments + i) * sieve->capacity,
                          .top = -INFINITY,
                          .threshold = i ? w.lists[q].threshold : -INFINITY};
    hop_panel_f32 at = {.d = d, .L = sieve->n, .columns = model->columns, .keys = own.keys, .x = w.x};
    for (size_t panel = panels / count * i + panels % count * i / count; panel < end; panel++) {
        const size_t rest = model->M - panel * HOP_PANEL;
        at.count = rest < HOP_PANEL ? rest : HOP_PANEL;
        if (model->key_panels)
            at.keys = model->key_panels + panel * HOP_PANEL * d;
        else
            hop_pack_keys_f32(model, panel, at.count, own.keys);
        hop_kernels_get()->scores_f32(&at, own.scores);
        for (size_t q = 0; q < sieve->n; q++)
            sift_panel(sieve, q, &lists[q], own.scores + q * HOP_PANEL, panel * HOP_PANEL, at.count);
    }
}

static void run_later_segment(void *arg, size_t i)
{
    run_segment(arg, i + 1);
}

void hop_sieve_run(hop_sieve *sieve, const hop_model *model, const hop_sieve_rule *rule,
                   const hop_query *const *queries, size_t n, const hop_executor *executor, void *workspace)
{
    const size_t segments = segment_count(model), longest = longest_list(model);
    const size_t capacity = room_of(model) / (segments * n);
    pieces w;
    assert(n > 0 && n <= hop_sieve_rows(model, rule));
    *sieve = (hop_sieve){.model = model,
                         .rule = *rule,
                         .workspace = workspace,
                         .n = n,
                         .segments = segments,
                         .capacity = capacity < longest ? capacity : longest,
                         .queries = queries};
    lay_out(model, workspace, &w);
    for (size_t q = 0; q < n; q++)
        for (size_t l = 0; l < model->d; l++)
            w.x[q * model->d + l] = (float)(queries[q]->xi[l] * LOG2_E);
    /* The first segment alone: what it finds is where the others' thresholds start, so that they keep far less. */
    run_segment(sieve, 0);
    for (size_t q = 0; q < n; q++)
        if (!w.lists[q].full)
            tighten(sieve, q, &w.lists[q]);
    if (executor && segments > 1) {
        executor->run(executor->context, segments - 1, run_later_segment, sieve);
        return;
    }
    for (size_t i = 1; i < segments; i++)
        run_segment(sieve, i);
}

hop_entry *hop_sieve_take(const hop_sieve *sieve, size_t q, size_t *n)
{
    pieces w;
    lay_out(sieve->model, sieve->workspace, &w);
    list all = w.lists[q];
    for (size_t i = 0; i < sieve->segments; i++)
        if (w.lists[i * HOP_SIEVE_ROWS + q].full)
            return NULL;
    for (size_t i = 1; i < sieve->segments; i++) { /* a query's lists lie one after the other */
        const list *part = &w.lists[i * HOP_SIEVE_ROWS + q];
        memmove(all.entries + all.n, part->entries, part->n * sizeof *part->entries);
        all.n += part->n;
        all.top = fmaxf(all.top, part->top);
    }
    tighten(sieve, q, &all);
    for (size_t i = 0; i < all.n; i++)
        all.entries[i].score = hop_score(sieve->model, sieve->queries[q]->xi, all.entries[i].id);
    *n = all.n;
    return all.entries;
}
