/*
 * kernels_simd.h - the shape of the vector kernels: one template, instantiated once a machine and element type.
 *
 * An instantiation defines SIMD_REAL (float or double), SIMD_PANEL (the panel type), SIMD_NAME(x) (x with the type's
 * suffix), SIMD_WIDTH (elements of a vector), SIMD_SLOTS (accumulators of one query, 2 or 4), for f64 also SIMD_LANES,
 * and for both SIMD_IN_REGISTER(v). It provides, static inline and named through SIMD_NAME:
 *
 *     vec                          the vector type
 *     load store splat             unaligned; splat reads one element
 *     zero max fma fnma            fma(a, b, c) = a b + c, fnma(a, b, c) = c - a b
 *     scale(p, y, n)               p 2^n; n is an integer and y = n + exp_magic, whose low bits are n
 *     where_least(t, low, v)       v where t >= low, else 0
 *     first_lanes(v, n, other)     v in lanes below n, other from lane n on; n may be negative or too large
 *     largest(v)                   the largest lane
 *     widen_add(sum, n, N)         N[i] += sum[i] in f64, i < n, a multiple of SIMD_WIDTH
 *     totals_add(n, v, D)          D[i] += the lanes of v[i], i < n <= SIMD_QUERIES; lanes are summed in SIMD_REAL
 *
 * and includes this file, which ends by undefining the macros. A tile is SIMD_QUERIES queries by SIMD_SLOTS vectors of
 * memories or columns; all its sums are in registers, beside one row of vectors and one splat: SIMD_SLOTS +
 * SIMD_QUERIES loads feed SIMD_SLOTS x SIMD_QUERIES multiply-adds.
 *
 * What a query gets never depends on its tile: chains and orders of summation follow from the shapes alone.
 */
#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/kernels.h"

#ifndef HOP_SIMD_ONCE
#define HOP_SIMD_ONCE
enum { SIMD_QUERIES = 6 };
#define SIMD_INLINE static inline __attribute__((always_inline))
#define SIMD_APART __attribute__((noinline))
#define SIMD_OPAQUE(pointer) __asm__("" : "+r"(pointer))
#ifdef __clang__
#define SIMD_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SIMD_UNROLL _Pragma("GCC unroll 16")
#endif

/*
 * exp(t) = 2^n p(r), n = round(t log2(e)), r = t - n ln 2. The polynomials are the best ones with these rounded
 * coefficients for the relative error on |r| <= 0.3466. docs/MATH.md proves the error and names these constants.
 */
static const float exp_magic_f32 = 0x1.8p23f, exp_log2e_f32 = 0x1.715476p0f;
static const float exp_ln2_high_f32 = 0x1.62e43p-1f, exp_ln2_low_f32 = -0x1.05c61p-29f;
static const float exp_lowest_f32 = -0x1.5d589ep6f; /* the first f32 above ln 2^-126 */
static const float exp_terms_f32[] = {1.0f,          0x1.fffff6p-1f, 0x1.fffdc6p-2f,
                                      0x1.555a8p-3f, 0x1.573a2p-5f,  0x1.0f9fbp-7f};

static const double exp_magic_f64 = 0x1.8p52, exp_log2e_f64 = 0x1.71547652b82fep0;
static const double exp_ln2_high_f64 = 0x1.62e42fefa39efp-1, exp_ln2_low_f64 = 0x1.abc9e3b39803fp-56;
static const double exp_lowest_f64 = -0x1.6232bdd7abcd2p9; /* the first f64 above ln 2^-1022 */
static const double exp_terms_f64[] = {1.0,
                                       1.0,
                                       0x1.000000000000ap-1,
                                       0x1.55555555554fep-3,
                                       0x1.55555555506bcp-5,
                                       0x1.1111111126b36p-7,
                                       0x1.6c16c18477082p-10,
                                       0x1.a01a012fee98bp-13,
                                       0x1.a019995efb56cp-16,
                                       0x1.71df18ef7a9d3p-19,
                                       0x1.28adfccab85d4p-22,
                                       0x1.ad92e88f87de4p-26};
#endif

/* The scratch: scores, later weights, of two tiles, then the sums of one block of columns. */
enum {
    SIMD_NAME(tile_cells) = SIMD_QUERIES * HOP_PANEL,
    SIMD_NAME(scratch_bytes) = (2 * SIMD_NAME(tile_cells) + SIMD_QUERIES * SIMD_SLOTS * SIMD_WIDTH) * sizeof(SIMD_REAL)
};

/* What the compiler's own vector operators do the same for every machine, one rounding an element. */
SIMD_INLINE SIMD_NAME(vec) SIMD_NAME(add)(SIMD_NAME(vec) a, SIMD_NAME(vec) b)
{
    return a + b;
}

SIMD_INLINE SIMD_NAME(vec) SIMD_NAME(sub)(SIMD_NAME(vec) a, SIMD_NAME(vec) b)
{
    return a - b;
}

/* e^t for t in [ln 2^-126, 88] (f32), [ln 2^-1022, 709] (f64). */
SIMD_INLINE SIMD_NAME(vec) SIMD_NAME(exp)(SIMD_NAME(vec) t)
{
    const SIMD_NAME(vec) magic = SIMD_NAME(splat)(&SIMD_NAME(exp_magic));
    const size_t terms = sizeof SIMD_NAME(exp_terms) / sizeof *SIMD_NAME(exp_terms);
    SIMD_NAME(vec) y = SIMD_NAME(fma)(t, SIMD_NAME(splat)(&SIMD_NAME(exp_log2e)), magic);
    SIMD_NAME(vec) n = SIMD_NAME(sub)(y, magic);
    SIMD_NAME(vec) r = SIMD_NAME(fnma)(n, SIMD_NAME(splat)(&SIMD_NAME(exp_ln2_high)), t);
    r = SIMD_NAME(fnma)(n, SIMD_NAME(splat)(&SIMD_NAME(exp_ln2_low)), r);
    SIMD_NAME(vec) p = SIMD_NAME(splat)(&SIMD_NAME(exp_terms)[terms - 1]);
    SIMD_UNROLL
    for (size_t k = 2; k <= terms; k++)
        p = SIMD_NAME(fma)(p, r, SIMD_NAME(splat)(&SIMD_NAME(exp_terms)[terms - k]));
    return SIMD_NAME(scale)(p, y, n);
}

/* The same for any t up to the upper end, -inf included: 0 below the lower end. */
SIMD_INLINE SIMD_NAME(vec) SIMD_NAME(exp_or_zero)(SIMD_NAME(vec) t)
{
    return SIMD_NAME(where_least)(t, SIMD_NAME(splat)(&SIMD_NAME(exp_lowest)), SIMD_NAME(exp)(t));
}

/* acc[q][s] += acc[q][s + half], s < half. */
SIMD_INLINE void SIMD_NAME(fold)(size_t queries, size_t half, SIMD_NAME(vec) acc[SIMD_QUERIES][SIMD_SLOTS])
{
    SIMD_UNROLL
    for (size_t q = 0; q < queries; q++) {
        SIMD_UNROLL
        for (size_t s = 0; s < half; s++)
            acc[q][s] = SIMD_NAME(add)(acc[q][s], acc[q][s + half]);
    }
}

/*
 * acc[q][0..vectors) = sum_k a[q * a_step + k] * (row k of b), rows of `vectors` vectors, b_step apart.
 * With fewer vectors than slots the free slots carry further chains over k, which hide the latency of the
 * multiply-add; n is then a multiple of the number of chains. At most n / chains + log2(chains) roundings.
 */
SIMD_INLINE void SIMD_NAME(multiply)(size_t queries, size_t vectors, size_t n, const SIMD_REAL *a, size_t a_step,
                                     const SIMD_REAL *b, size_t b_step, SIMD_NAME(vec) acc[SIMD_QUERIES][SIMD_SLOTS])
{
    const size_t chains = SIMD_SLOTS / vectors;
    SIMD_UNROLL
    for (size_t q = 0; q < queries; q++) {
        SIMD_UNROLL
        for (size_t s = 0; s < SIMD_SLOTS; s++)
            acc[q][s] = SIMD_NAME(zero)();
    }
    /* Two bases and one step reach all six rows of a: six pointers would leave no registers for the rest. */
    const SIMD_REAL *low = a, *high = queries > SIMD_QUERIES / 2 ? a + SIMD_QUERIES / 2 * a_step : a;
    SIMD_OPAQUE(high);
    for (size_t k = 0; k < n; k += chains) {
        SIMD_UNROLL
        for (size_t c = 0; c < chains; c++) {
            SIMD_NAME(vec) row[SIMD_SLOTS];
            SIMD_UNROLL
            for (size_t v = 0; v < vectors; v++) {
                row[v] = SIMD_NAME(load)(b + (k + c) * b_step + v * SIMD_WIDTH);
                SIMD_IN_REGISTER(row[v]);
            }
            SIMD_UNROLL
            for (size_t q = 0; q < queries; q++) {
                const SIMD_REAL *at = q < SIMD_QUERIES / 2 ? low + q * a_step : high + (q - SIMD_QUERIES / 2) * a_step;
                SIMD_NAME(vec) factor = SIMD_NAME(splat)(at + k + c);
                SIMD_IN_REGISTER(factor);
                SIMD_UNROLL
                for (size_t v = 0; v < vectors; v++)
                    acc[q][c * vectors + v] = SIMD_NAME(fma)(factor, row[v], acc[q][c * vectors + v]);
            }
        }
    }
    if (chains == 4)
        SIMD_NAME(fold)(queries, 2 * vectors, acc);
    if (chains >= 2)
        SIMD_NAME(fold)(queries, vectors, acc);
}

/* The scores of one tile against SIMD_SLOTS * SIMD_WIDTH memories from `memory` on; the only place that makes them. */
SIMD_INLINE void SIMD_NAME(score)(const SIMD_PANEL *panel, size_t first, size_t queries, size_t memory,
                                  SIMD_NAME(vec) acc[SIMD_QUERIES][SIMD_SLOTS])
{
    const SIMD_REAL *x = panel->x + first * panel->d, *keys = panel->keys + memory;
    SIMD_NAME(multiply)(queries, SIMD_SLOTS, panel->d, x, panel->d, keys, HOP_PANEL, acc);
}

/* The scores of one tile into `weights`. */
SIMD_INLINE void SIMD_NAME(score_tile)(const SIMD_PANEL *panel, size_t first, size_t queries, SIMD_REAL *weights)
{
    for (size_t memory = 0; memory < HOP_PANEL; memory += SIMD_SLOTS * SIMD_WIDTH) {
        SIMD_NAME(vec) acc[SIMD_QUERIES][SIMD_SLOTS];
        SIMD_NAME(score)(panel, first, queries, memory, acc);
        SIMD_UNROLL
        for (size_t q = 0; q < queries; q++) {
            SIMD_UNROLL
            for (size_t s = 0; s < SIMD_SLOTS; s++)
                SIMD_NAME(store)(weights + q * HOP_PANEL + memory + s * SIMD_WIDTH, acc[q][s]);
        }
    }
}

/* Scores to weights, in place, and D. plain: no shift, all memories real. */
SIMD_INLINE void SIMD_NAME(weigh)(const SIMD_PANEL *panel, size_t first, size_t queries, SIMD_REAL *weights, bool plain)
{
    const SIMD_NAME(vec) zero = SIMD_NAME(zero)();
    SIMD_NAME(vec) total[SIMD_QUERIES];
    for (size_t q = 0; q < queries; q++) {
        SIMD_REAL *row = weights + q * HOP_PANEL;
        const SIMD_NAME(vec) shift = !plain && panel->shift ? SIMD_NAME(splat)(panel->shift + first + q) : zero;
        SIMD_NAME(vec) sum[SIMD_SLOTS];
        SIMD_UNROLL
        for (size_t m = 0; m < HOP_PANEL; m += SIMD_WIDTH) {
            const size_t slot = m / SIMD_WIDTH % SIMD_SLOTS;
            SIMD_NAME(vec) weight = SIMD_NAME(load)(row + m);
            if (plain) {
                weight = SIMD_NAME(exp)(weight);
            } else {
                weight = SIMD_NAME(exp_or_zero)(SIMD_NAME(sub)(weight, shift));
                weight = SIMD_NAME(first_lanes)(weight, (int)panel->count - (int)m, zero);
            }
            SIMD_NAME(store)(row + m, weight);
            sum[slot] = m < SIMD_SLOTS * SIMD_WIDTH ? weight : SIMD_NAME(add)(sum[slot], weight);
        }
        total[q] = SIMD_NAME(add)(sum[0], sum[1]);
#if SIMD_SLOTS == 4
        total[q] = SIMD_NAME(add)(total[q], SIMD_NAME(add)(sum[2], sum[3]));
#endif
    }
    SIMD_NAME(totals_add)(queries, total, panel->D + first);
}

/* N += weights x values for `vectors` columns from `column` on. */
SIMD_INLINE void SIMD_NAME(average)(const SIMD_PANEL *panel, size_t first, size_t queries, const SIMD_REAL *weights,
                                    size_t column, size_t vectors)
{
    SIMD_REAL *sum = (SIMD_REAL *)panel->scratch + 2 * SIMD_NAME(tile_cells);
    SIMD_NAME(vec) acc[SIMD_QUERIES][SIMD_SLOTS];
    SIMD_NAME(multiply)(queries, vectors, HOP_PANEL, weights, HOP_PANEL, panel->values + column, panel->columns, acc);
    SIMD_UNROLL
    for (size_t q = 0; q < queries; q++) {
        SIMD_UNROLL
        for (size_t v = 0; v < vectors; v++)
            SIMD_NAME(store)(sum + (q * vectors + v) * SIMD_WIDTH, acc[q][v]);
    }
    for (size_t q = 0; q < queries; q++) {
        double *N = panel->N + (first + q) * panel->columns + column;
        SIMD_NAME(widen_add)(sum + q * vectors * SIMD_WIDTH, vectors * SIMD_WIDTH, N);
    }
}

SIMD_INLINE void SIMD_NAME(average_tile)(const SIMD_PANEL *panel, size_t first, size_t queries,
                                         const SIMD_REAL *weights)
{
    size_t column = 0;
    for (; column + SIMD_SLOTS * SIMD_WIDTH <= panel->columns; column += SIMD_SLOTS * SIMD_WIDTH)
        SIMD_NAME(average)(panel, first, queries, weights, column, SIMD_SLOTS);
#if SIMD_SLOTS * SIMD_WIDTH > 16
    if (column + SIMD_SLOTS / 2 * SIMD_WIDTH <= panel->columns) {
        SIMD_NAME(average)(panel, first, queries, weights, column, SIMD_SLOTS / 2);
        column += SIMD_SLOTS / 2 * SIMD_WIDTH;
    }
#endif
#if SIMD_SLOTS * SIMD_WIDTH > 32
    if (column + SIMD_SLOTS / 4 * SIMD_WIDTH <= panel->columns)
        SIMD_NAME(average)(panel, first, queries, weights, column, SIMD_SLOTS / 4);
#endif
}

/*
 * The three steps of a tile for the widths there are. They are not inlined: what one step keeps in registers, the
 * constants of exp above all, would take them from the others.
 */
static SIMD_APART void SIMD_NAME(score_step)(const SIMD_PANEL *panel, size_t first, size_t queries, SIMD_REAL *weights)
{
    if (queries == SIMD_QUERIES)
        SIMD_NAME(score_tile)(panel, first, SIMD_QUERIES, weights);
    else if (queries == 2)
        SIMD_NAME(score_tile)(panel, first, 2, weights);
    else
        SIMD_NAME(score_tile)(panel, first, 1, weights);
}

static SIMD_APART void SIMD_NAME(weigh_step)(const SIMD_PANEL *panel, size_t first, size_t queries, SIMD_REAL *weights)
{
    SIMD_NAME(weigh)(panel, first, queries, weights, true);
}

static SIMD_APART void SIMD_NAME(guarded_weigh_step)(const SIMD_PANEL *panel, size_t first, size_t queries,
                                                     SIMD_REAL *weights)
{
    SIMD_NAME(weigh)(panel, first, queries, weights, false);
}

static SIMD_APART void SIMD_NAME(average_step)(const SIMD_PANEL *panel, size_t first, size_t queries,
                                               const SIMD_REAL *weights)
{
    if (queries == SIMD_QUERIES)
        SIMD_NAME(average_tile)(panel, first, SIMD_QUERIES, weights);
    else if (queries == 2)
        SIMD_NAME(average_tile)(panel, first, 2, weights);
    else
        SIMD_NAME(average_tile)(panel, first, 1, weights);
}

static inline size_t SIMD_NAME(tile_width)(size_t left)
{
    return left >= SIMD_QUERIES ? SIMD_QUERIES : left >= 2 ? 2 : left;
}

/* A tile is averaged after the next one's scores: neither waits for the other, so each hides the end of the other. */
static void SIMD_NAME(panel)(const SIMD_PANEL *panel)
{
    assert(panel->count <= HOP_PANEL && panel->columns % HOP_COLUMNS == 0);
    const bool plain = !panel->shift && panel->count == HOP_PANEL;
    SIMD_REAL *weights = panel->scratch, *other = weights + SIMD_NAME(tile_cells);
    size_t first = 0, queries = SIMD_NAME(tile_width)(panel->L);
    if (queries > 0)
        SIMD_NAME(score_step)(panel, 0, queries, weights);
    while (queries > 0) {
        if (plain)
            SIMD_NAME(weigh_step)(panel, first, queries, weights);
        else
            SIMD_NAME(guarded_weigh_step)(panel, first, queries, weights);
        const size_t next = first + queries, next_queries = SIMD_NAME(tile_width)(panel->L - next);
        if (next_queries > 0)
            SIMD_NAME(score_step)(panel, next, next_queries, other);
        SIMD_NAME(average_step)(panel, first, queries, weights);
        SIMD_REAL *swap = weights;
        weights = other;
        other = swap;
        first = next;
        queries = next_queries;
    }
}

SIMD_INLINE void SIMD_NAME(max_tile)(const SIMD_PANEL *panel, size_t first, size_t queries, SIMD_REAL *top)
{
    const SIMD_REAL lowest = (SIMD_REAL)-INFINITY;
    SIMD_NAME(vec) best[SIMD_QUERIES];
    SIMD_UNROLL
    for (size_t q = 0; q < queries; q++)
        best[q] = SIMD_NAME(splat)(&lowest);
    for (size_t memory = 0; memory < panel->count; memory += SIMD_SLOTS * SIMD_WIDTH) {
        SIMD_NAME(vec) acc[SIMD_QUERIES][SIMD_SLOTS];
        SIMD_NAME(score)(panel, first, queries, memory, acc);
        SIMD_UNROLL
        for (size_t q = 0; q < queries; q++) {
            SIMD_UNROLL
            for (size_t s = 0; s < SIMD_SLOTS; s++) {
                int lanes = (int)panel->count - (int)(memory + s * SIMD_WIDTH);
                best[q] = SIMD_NAME(max)(best[q], SIMD_NAME(first_lanes)(acc[q][s], lanes, SIMD_NAME(splat)(&lowest)));
            }
        }
    }
    SIMD_UNROLL
    for (size_t q = 0; q < queries; q++) {
        SIMD_REAL largest = SIMD_NAME(largest)(best[q]);
        top[first + q] = largest > top[first + q] ? largest : top[first + q];
    }
}

static void SIMD_NAME(top)(const SIMD_PANEL *panel, SIMD_REAL *top)
{
    assert(panel->count <= HOP_PANEL);
    size_t first = 0;
    for (; first + SIMD_QUERIES <= panel->L; first += SIMD_QUERIES)
        SIMD_NAME(max_tile)(panel, first, SIMD_QUERIES, top);
    for (; first < panel->L; first++)
        SIMD_NAME(max_tile)(panel, first, 1, top);
}

#ifdef SIMD_LANES

SIMD_INLINE void SIMD_NAME(scores_tile)(const SIMD_PANEL *panel, size_t first, size_t queries, SIMD_REAL *scores)
{
    for (size_t memory = 0; memory < HOP_PANEL; memory += SIMD_SLOTS * SIMD_WIDTH) {
        SIMD_NAME(vec) acc[SIMD_QUERIES][SIMD_SLOTS];
        SIMD_NAME(score)(panel, first, queries, memory, acc);
        SIMD_UNROLL
        for (size_t q = 0; q < queries; q++) {
            SIMD_UNROLL
            for (size_t s = 0; s < SIMD_SLOTS; s++)
                SIMD_NAME(store)(scores + (first + q) * HOP_PANEL + memory + s * SIMD_WIDTH, acc[q][s]);
        }
    }
}

static void SIMD_NAME(scores)(const SIMD_PANEL *panel, SIMD_REAL *scores)
{
    assert(panel->count <= HOP_PANEL);
    size_t first = 0;
    for (; first + SIMD_QUERIES <= panel->L; first += SIMD_QUERIES)
        SIMD_NAME(scores_tile)(panel, first, SIMD_QUERIES, scores);
    for (; first < panel->L; first++)
        SIMD_NAME(scores_tile)(panel, first, 1, scores);
}

#undef SIMD_LANES
#endif

#include "core/kernels_lanes.h"

#undef SIMD_REAL
#undef SIMD_PANEL
#undef SIMD_NAME
#undef SIMD_WIDTH
#undef SIMD_SLOTS
