/*
 * kernels_amx.h - the f32 panel on the tile unit of AMX, which multiplies bf16 by bf16 and adds in f32. Part of
 * kernels_avx512.c, whose vectors it uses; few queries are left to the panel there.
 *
 * Six of the nine products of two numbers' planes (kernels_amx_planes.h) give their product to about an f32's own
 * rounding (docs/MATH.md, "Dense"). The queries' planes are made once a pass, those of a piece of the memories once for
 * all queries. Then a group of AMX_QUERIES queries goes through the piece: a block of AMX_BLOCK memories makes a square
 * of scores, those become weights, and their planes multiply the values' planes.
 */
#ifndef HOP_KERNELS_AMX_H
#define HOP_KERNELS_AMX_H

#include "core/kernels_amx_planes.h"

enum {
    AMX_LATE = 32,                /* columns, at most, whose sums are made while the next block is weighed */
    AMX_AHEAD = 4,                /* blocks of weights that are kept until they meet the values */
    AMX_ADDED = 8,                /* blocks, at most, whose sums are f32 before they are added in f64 */
    AMX_PIECE_BYTES = 1024 << 10, /* of a piece's planes, if that is a panel at least */
};

/* What the tile unit reads has been written, and what it wrote is read, where the source says so. */
#define AMX_SETTLE() __asm__ volatile("" : : : "memory")

/* ---- weights ----------------------------------------------------------------------------------------------- */

/* Scores to planes of weights: queries `low` to `high` of a block; totals gains their sums, a vector a query. */
typedef struct amx_job {
    size_t queries, count;    /* of the block; memories that are real */
    size_t done, step, steps; /* queries so far; parts, of so many */
    const float *shift, *scores;
    uint16_t *weights;
    float *totals;
    simd_ahead *ahead;
} amx_job;

SIMD_INLINE void amx_weigh(const amx_job *job, size_t low, size_t high, bool plain)
{
    const int count = (int)job->count;
    for (size_t q = low; q < high; q++) {
        const float *row = job->scores + q * AMX_BLOCK;
        float *total = job->totals + q * AMX_SIDE;
        __m512 a = load_f32(row), b = load_f32(row + AMX_SIDE);
        if (plain) {
            a = exp_f32(a);
            b = exp_f32(b);
        } else {
            const __m512 top = job->shift ? splat_f32(job->shift + q) : zero_f32();
            a = first_lanes_f32(exp_or_zero_f32(_mm512_sub_ps(a, top)), count, zero_f32());
            b = first_lanes_f32(exp_or_zero_f32(_mm512_sub_ps(b, top)), count - AMX_SIDE, zero_f32());
        }
        store_f32(total, _mm512_add_ps(load_f32(total), _mm512_add_ps(a, b)));
        amx_put_planes(job->weights + q / AMX_SIDE * AMX_PLANES * AMX_TILE, q % AMX_SIDE, amx_cut(a), amx_cut(b));
    }
}

static SIMD_APART void amx_weigh_rows(const amx_job *job, size_t low, size_t high)
{
    if (!job->shift && job->count >= AMX_BLOCK)
        amx_weigh(job, low, high, true);
    else
        amx_weigh(job, low, high, false);
}

/* The next part of a job; the tile unit multiplies meanwhile. */
static inline void amx_meanwhile(amx_job *job)
{
    const size_t low = job->done, high = job->queries * ++job->step / job->steps;
    simd_fetch_ahead(job->ahead);
    job->done = high;
    if (low < high)
        amx_weigh_rows(job, low, high);
}

/* ---- products ---------------------------------------------------------------------------------------------- */

static inline void amx_begin(void)
{
    static const struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } all = {.palette = 1,
             .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
             .rows = {AMX_SIDE, AMX_SIDE, AMX_SIDE, AMX_SIDE, AMX_SIDE, AMX_SIDE, AMX_SIDE, AMX_SIDE}};
    _tile_loadconfig(&all);
}

/* Tiles 0 to 3 hold results, row by row; 4 and 5 a plane of the left, 6 and 7 one of the right. */
#define AMX_LEFT(plane)                                                                                                \
    do {                                                                                                               \
        _tile_loadd(4, left + (plane)*AMX_TILE, 64);                                                                   \
        if (n_left > 1)                                                                                                \
            _tile_loadd(5, left + (AMX_PLANES + (plane)) * AMX_TILE, 64);                                              \
    } while (0)

#define AMX_RIGHT(plane)                                                                                               \
    do {                                                                                                               \
        _tile_loadd(6, right + (plane)*AMX_TILE, 64);                                                                  \
        if (n_right > 1)                                                                                               \
            _tile_loadd(7, right + (AMX_PLANES + (plane)) * AMX_TILE, 64);                                             \
    } while (0)

#define AMX_MULTIPLY()                                                                                                 \
    do {                                                                                                               \
        _tile_dpbf16ps(0, 4, 6);                                                                                       \
        if (n_left > 1)                                                                                                \
            _tile_dpbf16ps(2, 5, 6);                                                                                   \
        if (n_right > 1)                                                                                               \
            _tile_dpbf16ps(1, 4, 7);                                                                                   \
        if (n_left > 1 && n_right > 1)                                                                                 \
            _tile_dpbf16ps(3, 5, 7);                                                                                   \
        if (job)                                                                                                       \
            amx_meanwhile(job);                                                                                        \
    } while (0)

/* Six products a chunk, the largest last; neighbours share a side. */
SIMD_INLINE void amx_products(size_t n_left, size_t n_right, size_t chunks, const uint16_t *left, size_t left_step,
                              const uint16_t *right, size_t right_step, amx_job *job)
{
    for (size_t c = 0; c < chunks; c++, left += left_step, right += right_step) {
        AMX_LEFT(2);
        AMX_RIGHT(0);
        AMX_MULTIPLY();
        AMX_LEFT(1);
        AMX_MULTIPLY();
        AMX_RIGHT(1);
        AMX_MULTIPLY();
        AMX_LEFT(0);
        AMX_MULTIPLY();
        AMX_RIGHT(2);
        AMX_MULTIPLY();
        AMX_RIGHT(0);
        AMX_MULTIPLY();
    }
}

SIMD_INLINE void amx_stacked_products(size_t n_left, size_t n_right, const uint16_t *left, const uint16_t *right,
                                      amx_job *job)
{
    AMX_LEFT(2);
    AMX_RIGHT(0);
    AMX_MULTIPLY();
    AMX_LEFT(1);
    AMX_RIGHT(1);
    AMX_MULTIPLY();
    AMX_LEFT(0);
    AMX_MULTIPLY();
}

/* scores[q][m], AMX_BLOCK a query: the only place that makes them. */
SIMD_INLINE void amx_scores_of(size_t n_left, size_t d, const uint16_t *queries, const uint16_t *keys, float *scores,
                               amx_job *job)
{
    const size_t n_right = 2, whole = amx_chunks(d) - amx_stacks(d);
    _tile_zero(0);
    _tile_zero(1);
    if (n_left > 1) {
        _tile_zero(2);
        _tile_zero(3);
    }
    amx_products(n_left, n_right, whole, queries, AMX_SQUARE, keys, AMX_SQUARE, job);
    if (amx_stacks(d))
        amx_stacked_products(n_left, n_right, queries + whole * AMX_SQUARE, keys + whole * AMX_SQUARE, job);
    const size_t step = AMX_BLOCK * sizeof(float);
    _tile_stored(0, scores, step);
    _tile_stored(1, scores + AMX_SIDE, step);
    if (n_left > 1) {
        _tile_stored(2, scores + AMX_SIDE * AMX_BLOCK, step);
        _tile_stored(3, scores + AMX_SIDE * AMX_BLOCK + AMX_SIDE, step);
    }
}

static SIMD_APART void amx_scores(size_t queries, size_t d, const uint16_t *x, const uint16_t *keys, float *scores,
                                  amx_job *job)
{
    AMX_SETTLE();
    if (queries > AMX_SIDE)
        amx_scores_of(2, d, x, keys, scores, job);
    else
        amx_scores_of(1, d, x, keys, scores, job);
    AMX_SETTLE();
}

/* sums[column tile][q][AMX_SIDE] += weights of `chunks` blocks times values, n_right column tiles. */
SIMD_INLINE void amx_average_of(size_t n_left, size_t n_right, size_t chunks, const uint16_t *weights,
                                const uint16_t *values, size_t values_step, float *sums, amx_job *job)
{
    float *next = sums + AMX_QUERIES * AMX_SIDE;
    _tile_loadd(0, sums, 64);
    if (n_right > 1)
        _tile_loadd(1, next, 64);
    if (n_left > 1)
        _tile_loadd(2, sums + AMX_SIDE * AMX_SIDE, 64);
    if (n_left > 1 && n_right > 1)
        _tile_loadd(3, next + AMX_SIDE * AMX_SIDE, 64);
    amx_products(n_left, n_right, chunks, weights, AMX_SQUARE, values, values_step, job);
    _tile_stored(0, sums, 64);
    if (n_right > 1)
        _tile_stored(1, next, 64);
    if (n_left > 1)
        _tile_stored(2, sums + AMX_SIDE * AMX_SIDE, 64);
    if (n_left > 1 && n_right > 1)
        _tile_stored(3, next + AMX_SIDE * AMX_SIDE, 64);
}

static SIMD_APART void amx_average(size_t queries, size_t columns, size_t chunks, const uint16_t *weights,
                                   const uint16_t *values, float *sums, amx_job *job)
{
    const size_t tiles = columns / AMX_SIDE, step = tiles * AMX_PLANES * AMX_TILE;
    AMX_SETTLE();
    size_t j = 0;
    for (; j + 2 <= tiles; j += 2) {
        const uint16_t *at = values + j * AMX_PLANES * AMX_TILE;
        float *to = sums + j * AMX_QUERIES * AMX_SIDE;
        if (queries > AMX_SIDE)
            amx_average_of(2, 2, chunks, weights, at, step, to, job);
        else
            amx_average_of(1, 2, chunks, weights, at, step, to, job);
    }
    if (j < tiles) {
        const uint16_t *at = values + j * AMX_PLANES * AMX_TILE;
        float *to = sums + j * AMX_QUERIES * AMX_SIDE;
        if (queries > AMX_SIDE)
            amx_average_of(2, 1, chunks, weights, at, step, to, job);
        else
            amx_average_of(1, 1, chunks, weights, at, step, to, job);
    }
    AMX_SETTLE();
}

/* ---- panels ------------------------------------------------------------------------------------------------ */

typedef struct amx_scratch {
    uint16_t *keys, *values; /* planes of a piece */
    uint16_t *weights;       /* AMX_AHEAD blocks */
    float *scores;           /* two squares */
    float *totals;           /* a vector a query */
    float *sums;             /* [columns / AMX_SIDE][AMX_QUERIES][AMX_SIDE] */
} amx_scratch;

/* Memories of a piece, whole panels. */
static inline size_t amx_piece(size_t d, size_t columns)
{
    const size_t panel = HOP_PANEL * (amx_key_words(d) + amx_value_words(columns)) * sizeof(uint16_t);
    const size_t panels = AMX_PIECE_BYTES / (panel ? panel : 1);
    return (panels < 1 ? 1 : panels > HOP_RUN / HOP_PANEL ? HOP_RUN / HOP_PANEL : panels) * HOP_PANEL;
}

static amx_scratch amx_lay_out(size_t d, size_t columns, void *scratch)
{
    const size_t piece = amx_piece(d, columns);
    uint16_t *keys = scratch, *values = keys + piece * amx_key_words(d);
    uint16_t *weights = values + piece * amx_value_words(columns);
    float *scores = (float *)(void *)(weights + AMX_AHEAD * AMX_SQUARE), *totals = scores + 2 * AMX_QUERIES * AMX_BLOCK;
    float *sums = totals + AMX_QUERIES * AMX_SIDE;
    return (amx_scratch){keys, values, weights, scores, totals, sums};
}

static size_t amx_scratch_bytes(size_t d, size_t columns)
{
    const size_t words = amx_piece(d, columns) * (amx_key_words(d) + amx_value_words(columns)) + AMX_AHEAD * AMX_SQUARE;
    return words * sizeof(uint16_t) + AMX_QUERIES * (2 * AMX_BLOCK + AMX_SIDE + columns) * sizeof(float);
}

/* What lies behind a piece, which the next one most likely is, a little with each step of each group. */
static inline simd_ahead amx_ahead_of(const hop_panel_f32 *panel, size_t low, size_t count, size_t first)
{
    const size_t d = panel->d, columns = panel->values ? panel->columns : 0, memories = hop_round_up(count, HOP_PANEL);
    const size_t keys = memories * d, values = memories * columns, lines = (keys + values) * sizeof(float) / 64;
    const size_t groups = (panel->L + AMX_QUERIES - 1) / AMX_QUERIES, group = first / AMX_QUERIES;
    const size_t behind = low + memories, steps = memories / AMX_BLOCK * amx_steps(d);
    return (simd_ahead){.keys = (uintptr_t)(panel->keys + behind * d),
                        .values = (uintptr_t)(panel->values + behind * columns) - keys * sizeof(float),
                        .cut = keys * sizeof(float) / 64,
                        .line = lines * group / groups,
                        .end = lines * (group + 1) / groups,
                        .lot = lines / groups / steps + 1};
}

/* A group's sums into N. */
static void amx_add_sums(const hop_panel_f32 *panel, size_t first, size_t queries, float *sums)
{
    const size_t columns = panel->columns;
    for (size_t q = 0; q < queries; q++)
        for (size_t j = 0; j < columns; j += AMX_SIDE)
            widen_add_f32(sums + j * AMX_QUERIES + q * AMX_SIDE, AMX_SIDE, panel->N + (first + q) * columns + j);
    memset(sums, 0, AMX_QUERIES * columns * sizeof *sums);
}

/*
 * One group of queries through a piece of `count` memories. Of three steps a block takes - scores, weights, sums - the
 * tile unit makes the first and the last: the next block's scores, and the last block's sums where those are few, while
 * the vectors make this one's weights. More sums keep the unit busy by themselves, several blocks at a time.
 */
static void amx_group(const hop_panel_f32 *panel, size_t first, size_t low, size_t count, const amx_scratch *at)
{
    const size_t d = panel->d, columns = panel->columns;
    const size_t queries = panel->L - first < AMX_QUERIES ? panel->L - first : AMX_QUERIES;
    const uint16_t *x = (const uint16_t *)panel->queries + first / AMX_QUERIES * amx_chunks(d) * AMX_SQUARE;
    memset(at->totals, 0, AMX_QUERIES * AMX_SIDE * sizeof(float));
    memset(at->sums, 0, AMX_QUERIES * columns * sizeof(float));
    const size_t blocks = (count + AMX_BLOCK - 1) / AMX_BLOCK;
    simd_ahead ahead = amx_ahead_of(panel, low, count, first);
    const size_t key_words = AMX_BLOCK * amx_key_words(d), value_words = AMX_BLOCK * amx_value_words(columns);
    const size_t score_steps = amx_steps(d), sum_steps = (columns + AMX_BLOCK - 1) / AMX_BLOCK * 6;
    const bool late = columns <= AMX_LATE;
    float *scores[2] = {at->scores, at->scores + AMX_QUERIES * AMX_BLOCK};
    amx_scores(queries, d, x, at->keys, scores[0], NULL);
    for (size_t block = 0, kept = 0; block < blocks; block++) {
        const bool next = block + 1 < blocks;
        const size_t slot = late ? block % 2 : kept;
        amx_job job = {.queries = queries,
                       .count = count - block * AMX_BLOCK,
                       .steps = (next ? score_steps : 0) + (late && block ? sum_steps : 0),
                       .shift = panel->shift ? panel->shift + first : NULL,
                       .scores = scores[block % 2],
                       .weights = at->weights + slot * AMX_SQUARE,
                       .totals = at->totals,
                       .ahead = &ahead};
        if (next)
            amx_scores(queries, d, x, at->keys + (block + 1) * key_words, scores[(block + 1) % 2], &job);
        if (late && block)
            amx_average(queries, columns, 1, at->weights + (1 - slot) * AMX_SQUARE,
                        at->values + (block - 1) * value_words, at->sums, &job);
        if (late && block && block % AMX_ADDED == 0)
            amx_add_sums(panel, first, queries, at->sums);
        if (job.done < queries)
            amx_weigh_rows(&job, job.done, queries);
        if (late ? next : ++kept < AMX_AHEAD && next)
            continue;
        kept = late ? 1 : kept;
        amx_average(queries, columns, kept, at->weights + (late ? slot * AMX_SQUARE : 0),
                    at->values + (block + 1 - kept) * value_words, at->sums, NULL);
        kept = 0;
        if (!next || (block + 1) % AMX_ADDED == 0)
            amx_add_sums(panel, first, queries, at->sums);
    }
    for (size_t q = 0; q < queries; q++)
        panel->D[first + q] += (double)total_f32(load_f32(at->totals + q * AMX_SIDE));
}

static void amx_panel(const hop_panel_f32 *panel)
{
    if (!panel->d || !panel->queries) {
        panel_f32(panel);
        return;
    }
    assert(panel->count <= HOP_RUN && panel->columns % HOP_COLUMNS == 0);
    assert(panel->values || panel->d <= panel->columns);
    const size_t d = panel->d, columns = panel->columns, most = amx_piece(d, columns);
    const amx_scratch at = amx_lay_out(d, columns, panel->scratch);
    amx_begin();
    for (size_t low = 0; low < panel->count; low += most) {
        const size_t count = panel->count - low < most ? panel->count - low : most;
        for (size_t m = 0; m < count; m += HOP_PANEL)
            amx_keys(d, panel->keys + (low + m) * d, at.keys + m * amx_key_words(d));
        for (size_t m = 0; m < count; m += AMX_BLOCK)
            amx_values(panel, low + m, at.values + m * amx_value_words(columns));
        for (size_t first = 0; first < panel->L; first += AMX_QUERIES)
            amx_group(panel, first, low, count, &at);
    }
    _tile_release();
}

static void amx_top(const hop_panel_f32 *panel, float *top)
{
    if (!panel->d || !panel->queries) {
        top_f32(panel, top);
        return;
    }
    assert(panel->count <= HOP_PANEL);
    const float lowest = -INFINITY;
    const size_t d = panel->d;
    const amx_scratch at = amx_lay_out(d, panel->columns, panel->scratch);
    amx_begin();
    amx_keys(d, panel->keys, at.keys);
    for (size_t first = 0; first < panel->L; first += AMX_QUERIES) {
        const size_t queries = panel->L - first < AMX_QUERIES ? panel->L - first : AMX_QUERIES;
        const uint16_t *x = (const uint16_t *)panel->queries + first / AMX_QUERIES * amx_chunks(d) * AMX_SQUARE;
        for (size_t m = 0; m < panel->count; m += AMX_BLOCK) {
            const int count = (int)(panel->count - m);
            amx_scores(queries, d, x, at.keys + m * amx_key_words(d), at.scores, NULL);
            for (size_t q = 0; q < queries; q++) {
                const float *row = at.scores + q * AMX_BLOCK;
                __m512 a = first_lanes_f32(load_f32(row), count, splat_f32(&lowest));
                __m512 b = first_lanes_f32(load_f32(row + AMX_SIDE), count - AMX_SIDE, splat_f32(&lowest));
                const float largest = largest_f32(max_f32(a, b));
                top[first + q] = largest > top[first + q] ? largest : top[first + q];
            }
        }
    }
    _tile_release();
}

/*
 * One group of queries through a piece of `count` memories. A block's scores are looked at behind the products of the
 * next one, so that a branch taken for a candidate never stops the tile unit.
 */
static void amx_sift_group(const hop_panel_f32 *panel, size_t first, size_t low, size_t count, const amx_scratch *at,
                           const hop_sift *to)
{
    const size_t d = panel->d, blocks = (count + AMX_BLOCK - 1) / AMX_BLOCK;
    const size_t queries = panel->L - first < AMX_QUERIES ? panel->L - first : AMX_QUERIES;
    const uint16_t *x = (const uint16_t *)panel->queries + first / AMX_QUERIES * amx_chunks(d) * AMX_SQUARE;
    simd_ahead ahead = sift_ahead_of(panel, low, count, first, AMX_QUERIES, blocks);
    for (size_t block = 0; block <= blocks; block++) {
        simd_fetch_ahead(&ahead);
        if (block < blocks)
            amx_scores(queries, d, x, at->keys + block * AMX_BLOCK * amx_key_words(d),
                       at->scores + block % 2 * AMX_QUERIES * AMX_BLOCK, NULL);
        if (block == 0)
            continue;
        const size_t m = (block - 1) * AMX_BLOCK;
        const uint64_t real = sift_first(count - m < AMX_BLOCK ? count - m : AMX_BLOCK);
        const float *row = at->scores + (block - 1) % 2 * AMX_QUERIES * AMX_BLOCK;
        for (size_t q = 0; q < queries; q++, row += AMX_BLOCK) {
            const uint64_t which = sift_row(AMX_BLOCK, row, to->least + first + q) & real;
            if (which)
                to->found(to->context, first + q, low + m, which, row);
        }
    }
}

/* The keys' planes are made once for all queries. */
static void amx_sift(const hop_panel_f32 *panel, const hop_sift *to)
{
    if (!panel->d || !panel->queries) {
        sift_f32(panel, to);
        return;
    }
    assert(panel->count <= HOP_RUN);
    const size_t d = panel->d, most = amx_piece(d, panel->columns);
    const amx_scratch at = amx_lay_out(d, panel->columns, panel->scratch);
    amx_begin();
    for (size_t low = 0; low < panel->count; low += most) {
        const size_t count = panel->count - low < most ? panel->count - low : most;
        for (size_t m = 0; m < count; m += HOP_PANEL)
            amx_keys(d, panel->keys + (low + m) * d, at.keys + m * amx_key_words(d));
        for (size_t first = 0; first < panel->L; first += AMX_QUERIES)
            amx_sift_group(panel, first, low, count, &at, to);
    }
    _tile_release();
}

/*
 * Where tiles are faster, by measurement: of short rows it takes many queries to pay for the planes, those of a few
 * numbers are all exp, and the planes of a panel must fit in the second cache. A pass must find its maxima as it will
 * score: nothing else may decide.
 */
static inline bool amx_pays(const hop_panel_f32 *panel)
{
    const size_t d = panel->d, columns = panel->columns, width = (d + columns) / 2;
    const size_t bytes = HOP_PANEL * (amx_key_words(d) + amx_value_words(columns)) * sizeof(uint16_t);
    return panel->queries && width > 12 && panel->L >= (width > AMX_SIDE ? 56 : 112) && bytes <= AMX_PIECE_BYTES;
}

static void amx_panel_where_it_pays(const hop_panel_f32 *panel)
{
    (amx_pays(panel) ? amx_panel : panel_f32)(panel);
}

static void amx_top_where_it_pays(const hop_panel_f32 *panel, float *top)
{
    (amx_pays(panel) ? amx_top : top_f32)(panel, top);
}

/* The same for scores alone, for which only keys are split, and which nothing has to agree with. */
static void amx_sift_where_it_pays(const hop_panel_f32 *panel, const hop_sift *to)
{
    const size_t bytes = HOP_PANEL * amx_key_words(panel->d) * sizeof(uint16_t);
    const bool pays = panel->queries && panel->d > AMX_SIDE && panel->L >= 56 && bytes <= AMX_PIECE_BYTES;
    (pays ? amx_sift : sift_f32)(panel, to);
}

#endif
