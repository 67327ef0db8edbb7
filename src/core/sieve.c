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
    ROOM_MOST = 3 << 18, /* entries of all lists: 12 MB */
    ROOM_LEAST = 1 << 10,
    SEGMENTS_MAX = 16,
    SEGMENT_PANELS = 32,     /* at least, so that cutting costs nothing next to the work */
    SEGMENT_BYTES = 8 << 20, /* of all segments, unless one alone takes more */
    GUESS = 256,             /* entries of a list where nothing is known of how many there will be */
    STAGE = 4,               /* so many times more segments at a time than before */
    AHEAD = 4,               /* candidates whose rows are asked for before they are scored */
    SPARE = 2 * HOP_PANEL,   /* entries that a list has room for beside what it must hold */
};

/* One query's entries in one segment; scores are of the base 2, as the kernels return them. */
typedef struct list {
    hop_entry *entries;
    size_t n;
    size_t due;    /* entries at which the threshold is raised by what they say */
    double margin; /* how far below what they say it stays (of the base e) */
    float top;     /* the largest so far */
    bool full;     /* there were more than fit: the list is of no use */
} list;

/* What one segment's task needs for itself. */
typedef struct segment {
    float *least; /* HOP_SIEVE_ROWS: below it nothing enters a query's list */
    float *keys;  /* a panel, where it is packed on the way */
    void *scratch;
} segment;

static size_t lay_out_segment(const hop_model *model, char *block, segment *out)
{
    const hop_kernels *kernels = hop_kernels_get();
    const size_t some = hop_scratch_bytes(0);
    const size_t other = kernels->scratch_f32_bytes ? kernels->scratch_f32_bytes(model->d, 0) : 0;
    size_t used = 0;
    size_t least = hop_carve(&used, HOP_SIEVE_ROWS, sizeof(float));
    size_t keys = hop_carve(&used, model->d * HOP_PANEL, sizeof(float));
    size_t scratch = hop_carve(&used, some > other ? some : other, 1);
    if (out)
        *out =
            (segment){.least = (float *)(block + least), .keys = (float *)(block + keys), .scratch = block + scratch};
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
    void *queries; /* as the kernels want them besides */
    list *lists;   /* segments x HOP_SIEVE_ROWS */
    char *segments;
    hop_entry *room;
} pieces;

static size_t lay_out(const hop_model *model, char *block, pieces *out)
{
    size_t used = 0, segments = segment_count(model);
    const hop_kernels *kernels = hop_kernels_get();
    size_t x = hop_carve(&used, HOP_SIEVE_ROWS * model->d, sizeof(float));
    size_t queries =
        hop_carve(&used, kernels->queries_f32_bytes ? kernels->queries_f32_bytes(HOP_SIEVE_ROWS, model->d) : 0, 1);
    size_t lists = hop_carve(&used, HOP_SIEVE_ROWS * segments, sizeof(list));
    size_t scratch = hop_carve(&used, segments, lay_out_segment(model, NULL, NULL));
    size_t room = hop_carve(&used, room_of(model), sizeof(hop_entry));
    if (out)
        *out = (pieces){.x = (float *)(block + x),
                        .queries = block + queries,
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
        want = rule->most > longest ? longest : 2 * rule->most + SPARE;
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
    return 4 * both + sieve->rule.slack + (sieve->rule.most ? 0 : 1 / (sieve->rule.alpha - 1));
}

static void drop_below(list *l, float threshold)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++)
        if (l->entries[i].score >= (double)threshold)
            l->entries[kept++] = l->entries[i];
    l->n = kept;
}

/* Raise a threshold as far as what the list holds allows, and drop what is below. */
static float tighten(const hop_sieve *sieve, list *l, float least)
{
    const hop_sieve_rule *rule = &sieve->rule;
    if (l->n < (rule->most ? rule->most : 1))
        return least;
    float to;
    if (rule->most) {
        hop_entries_part(l->entries, l->n, rule->most);
        to = lower(l->entries[rule->most - 1].score, l->margin);
    } else {
        const double theta = hop_entmax_lower(l->entries, l->n, LN_2, (double)l->top, rule->alpha);
        to = lower((double)l->top + theta * LOG2_E, l->margin);
    }
    least = fmaxf(least, to);
    drop_below(l, least);
    return least;
}

/* One segment's task. */
typedef struct task {
    const hop_sieve *sieve;
    list *lists;
    float *least;
    size_t first; /* memory of the run */
} task;

/* Candidates of a query (hop_sift). */
static void take_found(void *context, size_t q, size_t memory, uint64_t which, const float *scores)
{
    const task *run = context;
    const hop_sieve *sieve = run->sieve;
    list *l = &run->lists[q];
    float top = l->top, least = run->least[q];
    for (; which; which &= which - 1) {
        const size_t m = (size_t)__builtin_ctzll(which);
        l->entries[l->n++] = (hop_entry){.score = (double)scores[m], .id = run->first + memory + m};
        top = scores[m] > top ? scores[m] : top;
    }
    if (top > l->top) {
        l->top = top;
        if (!sieve->rule.most)
            least = fmaxf(least, lower((double)top, l->margin));
    }
    const size_t most = sieve->capacity - HOP_PANEL;
    if (l->n > (l->due < most ? l->due : most)) {
        least = tighten(sieve, l, least);
        l->due = 2 * l->n + SPARE;
        if (l->n > most) {
            l->full = true;
            l->n = 0;
            least = INFINITY;
        }
    }
    run->least[q] = least;
}

static void run_segment(void *arg, size_t i)
{
    const hop_sieve *sieve = arg;
    const hop_model *model = sieve->model;
    const size_t panels = hop_pack_panels(model->M), count = sieve->segments, d = model->d;
    const size_t end = panels / count * (i + 1) + panels % count * (i + 1) / count;
    const size_t bytes = d * HOP_PANEL * sizeof(float), many = hop_kernels_get()->run_bytes / (bytes ? bytes : 1);
    const size_t most = !model->key_panels || many < 1 ? 1 : many > HOP_RUN / HOP_PANEL ? HOP_RUN / HOP_PANEL : many;
    pieces w;
    segment own, first;
    lay_out(model, sieve->workspace, &w);
    lay_out_segment(model, w.segments, &first);
    lay_out_segment(model, w.segments + i * lay_out_segment(model, NULL, NULL), &own);
    task run = {.sieve = sieve, .lists = w.lists + i * HOP_SIEVE_ROWS, .least = own.least};
    for (size_t q = 0; q < sieve->n; q++) {
        run.lists[q] = (list){.entries = w.room + (q * sieve->segments + i) * sieve->capacity,
                              .due = 2 * sieve->rule.most + SPARE,
                              .margin = i ? w.lists[q].margin : margin_of(sieve, q),
                              .top = i ? w.lists[q].top : -INFINITY};
        own.least[q] = i ? first.least[q] : -INFINITY;
    }
    const hop_sift to = {.least = own.least, .found = take_found, .context = &run};
    hop_panel_f32 at = {
        .d = d, .L = sieve->n, .keys = own.keys, .x = w.x, .queries = w.queries, .scratch = own.scratch};
    for (size_t panel = panels / count * i + panels % count * i / count, now; panel < end; panel += now) {
        now = end - panel < most ? end - panel : most;
        run.first = panel * HOP_PANEL;
        at.count = model->M - run.first < now * HOP_PANEL ? model->M - run.first : now * HOP_PANEL;
        if (model->key_panels)
            at.keys = model->key_panels + run.first * d;
        else
            hop_pack_keys_f32(model, panel, at.count, own.keys);
        hop_kernels_get()->sift_f32(&at, &to);
    }
}

static void run_later_segment(void *arg, size_t i)
{
    const hop_sieve *sieve = arg;
    run_segment(arg, sieve->gathered + i);
}

/* Query q's lists of the segments up to `end` become its first one, and its threshold is raised by all of them. */
static void gather(const hop_sieve *sieve, const pieces *w, size_t q, size_t end)
{
    list *all = &w->lists[q];
    segment first;
    lay_out_segment(sieve->model, w->segments, &first);
    for (size_t i = sieve->gathered ? sieve->gathered : 1; i < end; i++) { /* they lie one after the other */
        const list *part = &w->lists[i * HOP_SIEVE_ROWS + q];
        memmove(all->entries + all->n, part->entries, part->n * sizeof *part->entries);
        all->n += part->n;
        all->top = fmaxf(all->top, part->top);
        all->full |= part->full;
    }
    first.least[q] = all->full ? INFINITY : tighten(sieve, all, first.least[q]);
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
    if (hop_kernels_get()->queries_f32)
        hop_kernels_get()->queries_f32(n, model->d, w.x, w.queries);
    /* The first segment alone, then a few: what they find is where the others' thresholds start: they keep less. */
    for (size_t done = 0, next = 1; done < segments;
         done = next, next = STAGE * done < segments ? STAGE * done : segments) {
        size_t full = 0;
        for (size_t q = 0; q < n && done; q++) {
            gather(sieve, &w, q, done);
            full += w.lists[q].full;
        }
        if (full == n)
            return;
        sieve->gathered = done;
        if (executor && next - done > 1) {
            executor->run(executor->context, next - done, run_later_segment, sieve);
            continue;
        }
        for (size_t i = 0; i < next - done; i++)
            run_later_segment(sieve, i);
    }
}

hop_entry *hop_sieve_take(const hop_sieve *sieve, size_t q, size_t *n)
{
    const hop_model *model = sieve->model;
    pieces w;
    lay_out(model, sieve->workspace, &w);
    list *all = &w.lists[q];
    if (!all->full)
        gather(sieve, &w, q, sieve->segments);
    if (all->full)
        return NULL;
    for (size_t i = 0; i < all->n; i++) {
        const size_t ahead = i + AHEAD < all->n ? i + AHEAD : i; /* rows lie anywhere */
        for (size_t l = 0; l < model->d; l += 64 / sizeof(float))
            __builtin_prefetch(model->keys + all->entries[ahead].id * model->d + l);
        all->entries[i].score = hop_score(model, sieve->queries[q]->xi, all->entries[i].id);
    }
    *n = all->n;
    return all->entries;
}
