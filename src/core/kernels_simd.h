/*
 * kernels_simd.h - the shape of the vector kernels: one template, instantiated once a machine and element type.
 *
 * An instantiation defines SIMD_REAL (float or double), SIMD_PANEL (the panel type), SIMD_NAME(x) (x with the type's
 * suffix), SIMD_WIDTH (elements of a vector), SIMD_SLOTS (accumulators of one query, 2 or 4), for f64 also SIMD_LANES,
 * and for both SIMD_IN_REGISTER(v). It provides, static inline and named through SIMD_NAME:
 *
 *     vec                          the vector type
 *     load store splat             unaligned; splat reads one element
 *     zero max fma                 fma(a, b, c) = a b + c, rounded once
 *     split(t, &whole)             t - n exactly, n the integer nearest to t; whole tells scale about n
 *     scale(p, whole)              p 2^n; p and the result are normal
 *     where_least(t, low, v)       v where t >= low, else 0
 *     which_least(t, low)          f32 only: bit i where lane i of t >= low
 *     first_lanes(v, n, other)     v in lanes below n, other from lane n on; n may be negative or too large
 *     largest(v)                   the largest lane
 *     widen_add(sum, n, N)         N[i] += sum[i] in f64, i < n, a multiple of SIMD_WIDTH
 *     total(v)                     the sum of the lanes, in log2(SIMD_WIDTH) roundings of SIMD_REAL
 *     lane_sums(v)                 f64 only, as the rest: lane i holds the sum of v[i]'s lanes, i < SIMD_WIDTH; a tree
 *     larger smaller               a where a > b (a < b), else b: also where one is NaN
 *     from_f32(at) to_f32(at, v)   SIMD_WIDTH f32, as f64; v rounded to them
 *
 * and includes this file, which ends by undefining the macros. A tile is SIMD_QUERIES queries by SIMD_SLOTS vectors of
 * memories: all its sums are in registers, beside one row of vectors and one splat, so that SIMD_SLOTS + SIMD_QUERIES
 * loads feed SIMD_SLOTS x SIMD_QUERIES multiply-adds. Where the values are fewer vectors wide, more queries fill the
 * registers. A group of SIMD_GROUP queries goes through all panels of a run before the next one does: its sums stay in
 * the nearest cache, and the panels in the second.
 */
#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/kernels.h"

#ifndef HOP_SIMD_ONCE
#define HOP_SIMD_ONCE
enum { SIMD_QUERIES = 6, SIMD_GROUP = 24, SIMD_KEPT = 4 };
#define SIMD_INLINE static inline __attribute__((always_inline))
#define SIMD_APART __attribute__((noinline))
#define SIMD_OPAQUE(pointer) __asm__("" : "+r"(pointer))
/* By number, as what lies past the last panel is not ours: asking for it does nothing. */
#define SIMD_FETCH(pointer, bytes) __builtin_prefetch((const void *)((uintptr_t)(pointer) + (bytes)), 0, 2)

/* Cache lines to be asked for, `lot` at a time: from `cut` on they count from values. end 0: none. */
typedef struct simd_ahead {
    uintptr_t keys, values;
    size_t cut, line, end, lot;
} simd_ahead;

static inline void simd_fetch_ahead(simd_ahead *ahead)
{
    const size_t end = ahead->end - ahead->line < ahead->lot ? ahead->end : ahead->line + ahead->lot;
    for (; ahead->line < end; ahead->line++)
        SIMD_FETCH(ahead->line < ahead->cut ? ahead->keys : ahead->values, ahead->line * 64);
}

#ifdef __clang__
#define SIMD_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SIMD_UNROLL _Pragma("GCC unroll 32")
#endif

/*
 * 2^t = 2^n p(r), n the integer nearest to t, r = t - n. The polynomials are the best ones with these rounded
 * coefficients for the relative error on |r| <= 1/2. docs/MATH.md proves the error and names these constants.
 */
static const float exp_lowest_f32 = -126.0f;
static const float exp_terms_f32[] = {1.0f,           0x1.62e42ap-1f, 0x1.ebf9cp-3f,
                                      0x1.c6b71ap-5f, 0x1.3ce9ap-7f,  0x1.5badb6p-10f};

static const double exp_lowest_f64 = -1022.0;
static const double exp_terms_f64[] = {1.0,
                                       0x1.62e42fefa39efp-1,
                                       0x1.ebfbdff82c5a2p-3,
                                       0x1.c6b08d704a04bp-5,
                                       0x1.3b2ab6fba05e4p-7,
                                       0x1.5d87fe78c2244p-10,
                                       0x1.4309130e0d1d3p-13,
                                       0x1.ffcbfbce93a7dp-17,
                                       0x1.62bfc9585a406p-20,
                                       0x1.b5264450f060fp-24,
                                       0x1.e618a7deeb33dp-28,
                                       0x1.e7dcee5c8af98p-32};
#endif

_Static_assert(SIMD_GROUP *(HOP_PANEL + SIMD_WIDTH) <= HOP_SCRATCH_CELLS, "weights and totals of a group");
_Static_assert((int)SIMD_GROUP <= (int)HOP_SCRATCH_COLUMNS && (int)SIMD_KEPT * SIMD_WIDTH <= (int)HOP_SCRATCH_COLUMNS,
               "sums of a group");

enum { SIMD_NAME(tile) = SIMD_QUERIES * SIMD_SLOTS };

/* What the compiler's own vector operators do the same for every machine, one rounding an element. */
SIMD_INLINE SIMD_NAME(vec) SIMD_NAME(add)(SIMD_NAME(vec) a, SIMD_NAME(vec) b)
{
    return a + b;
}

SIMD_INLINE SIMD_NAME(vec) SIMD_NAME(sub)(SIMD_NAME(vec) a, SIMD_NAME(vec) b)
{
    return a - b;
}

/* 2^t for t in [-126, 127] (f32), [-1022, 1023] (f64). */
SIMD_INLINE SIMD_NAME(vec) SIMD_NAME(exp)(SIMD_NAME(vec) t)
{
    const size_t terms = sizeof SIMD_NAME(exp_terms) / sizeof *SIMD_NAME(exp_terms);
    SIMD_NAME(vec) whole, r = SIMD_NAME(split)(t, &whole);
    SIMD_NAME(vec) p = SIMD_NAME(splat)(&SIMD_NAME(exp_terms)[terms - 1]);
    SIMD_UNROLL
    for (size_t k = 2; k <= terms; k++)
        p = SIMD_NAME(fma)(p, r, SIMD_NAME(splat)(&SIMD_NAME(exp_terms)[terms - k]));
    return SIMD_NAME(scale)(p, whole);
}

/* The same for any t up to the upper end, -inf included: 0 below the lower end. */
SIMD_INLINE SIMD_NAME(vec) SIMD_NAME(exp_or_zero)(SIMD_NAME(vec) t)
{
    return SIMD_NAME(where_least)(t, SIMD_NAME(splat)(&SIMD_NAME(exp_lowest)), SIMD_NAME(exp)(t));
}

/*
 * acc[q * vectors + v] += sum_k a[q * a_step + k] * (vector v of row k of b), rows b_step apart: queries * vectors sums
 * in `chains` chains each, which hide the latency of the multiply-add where the sums are few; n is then a multiple of
 * chains. At most n / chains + log2(chains) roundings.
 */
SIMD_INLINE void SIMD_NAME(multiply)(size_t queries, size_t vectors, size_t chains, size_t n, const SIMD_REAL *a,
                                     size_t a_step, const SIMD_REAL *b, size_t b_step, SIMD_NAME(vec) * acc)
{
    const size_t sums = queries * vectors;
    /* Two bases and one step reach six rows of a: six pointers would leave no registers for the rest. */
    const SIMD_REAL *low = a, *high = queries > SIMD_QUERIES / 2 ? a + SIMD_QUERIES / 2 * a_step : a;
    if (queries <= SIMD_QUERIES)
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
                if (vectors > 1)
                    SIMD_IN_REGISTER(factor);
                SIMD_UNROLL
                for (size_t v = 0; v < vectors; v++) {
                    const size_t i = c * sums + q * vectors + v;
                    acc[i] = SIMD_NAME(fma)(factor, row[v], acc[i]);
                }
            }
        }
    }
    SIMD_UNROLL
    for (size_t half = chains / 2; half; half /= 2) {
        SIMD_UNROLL
        for (size_t i = 0; i < half * sums; i++)
            acc[i] = SIMD_NAME(add)(acc[i], acc[i + half * sums]);
    }
}

SIMD_INLINE void SIMD_NAME(clear)(size_t n, SIMD_NAME(vec) * acc)
{
    SIMD_UNROLL
    for (size_t i = 0; i < n; i++)
        acc[i] = SIMD_NAME(zero)();
}

/*
 * The scores of a tile against one panel, HOP_PANEL a query, from coordinate `low` to `high`. Cut or not, a score is
 * one chain over the coordinates; keys_score_tile() makes the same.
 */
SIMD_INLINE void SIMD_NAME(score_tile)(size_t queries, size_t d, size_t low, size_t high, const SIMD_REAL *x,
                                       const SIMD_REAL *keys, SIMD_REAL *scores)
{
    for (size_t memory = 0; memory < HOP_PANEL; memory += SIMD_SLOTS * SIMD_WIDTH) {
        SIMD_NAME(vec) acc[SIMD_NAME(tile)];
        SIMD_REAL *to = scores + memory;
        if (low == 0) {
            SIMD_NAME(clear)(queries * SIMD_SLOTS, acc);
        } else {
            SIMD_UNROLL
            for (size_t i = 0; i < queries * SIMD_SLOTS; i++)
                acc[i] = SIMD_NAME(load)(to + i / SIMD_SLOTS * HOP_PANEL + i % SIMD_SLOTS * SIMD_WIDTH);
        }
        SIMD_NAME(multiply)
        (queries, SIMD_SLOTS, 1, high - low, x + low, d, keys + low * HOP_PANEL + memory, HOP_PANEL, acc);
        SIMD_UNROLL
        for (size_t i = 0; i < queries * SIMD_SLOTS; i++)
            SIMD_NAME(store)(to + i / SIMD_SLOTS * HOP_PANEL + i % SIMD_SLOTS * SIMD_WIDTH, acc[i]);
    }
}

/*
 * The steps of a tile for the widths there are. They are not inlined: what one step keeps in registers, the constants
 * of exp above all, would take them from the others.
 */
static SIMD_APART void SIMD_NAME(score_step)(size_t queries, size_t d, size_t low, size_t high, const SIMD_REAL *x,
                                             const SIMD_REAL *keys, SIMD_REAL *scores)
{
    switch (queries) {
    case 1:
        SIMD_NAME(score_tile)(1, d, low, high, x, keys, scores);
        break;
    case 2:
        SIMD_NAME(score_tile)(2, d, low, high, x, keys, scores);
        break;
    case 3:
        SIMD_NAME(score_tile)(3, d, low, high, x, keys, scores);
        break;
    case 4:
        SIMD_NAME(score_tile)(4, d, low, high, x, keys, scores);
        break;
    case 5:
        SIMD_NAME(score_tile)(5, d, low, high, x, keys, scores);
        break;
    default:
        SIMD_NAME(score_tile)(SIMD_QUERIES, d, low, high, x, keys, scores);
    }
}

/* Coordinates are cut so that the keys between two cuts stay in the nearest cache for all tiles. */
static inline size_t SIMD_NAME(cuts)(size_t d)
{
    const size_t most = (24 << 10) / (HOP_PANEL * sizeof(SIMD_REAL));
    return d ? (d + most - 1) / most : 1;
}

/*
 * What lies behind a run, which the next one most likely is, cut into as many lots as all groups take steps: it comes
 * from memory while this run is computed from the cache. Few queries read it themselves, and panels that are packed on
 * the way (f64) have nothing behind them.
 */
static inline simd_ahead SIMD_NAME(ahead_of)(const SIMD_PANEL *panel, size_t first)
{
    const size_t panels = (panel->count + HOP_PANEL - 1) / HOP_PANEL, memories = panels * HOP_PANEL, d = panel->d;
    const size_t columns = panel->columns, keys = memories * d, values = memories * columns;
    if (!panel->values || sizeof(SIMD_REAL) > sizeof(float))
        return (simd_ahead){.end = 0};
    const size_t lines = (keys + values) * sizeof(SIMD_REAL) / 64, groups = (panel->L + SIMD_GROUP - 1) / SIMD_GROUP;
    const size_t group = first / SIMD_GROUP, tiles = SIMD_GROUP / SIMD_QUERIES;
    const size_t steps = panels * (tiles * SIMD_NAME(cuts)(d) + (columns + HOP_BLOCK - 1) / HOP_BLOCK);
    return (simd_ahead){.keys = (uintptr_t)(panel->keys + keys),
                        .values = (uintptr_t)(panel->values + values) - keys * sizeof(SIMD_REAL),
                        .cut = keys * sizeof(SIMD_REAL) / 64,
                        .line = lines * group / groups,
                        .end = lines * (group + 1) / groups,
                        .lot = lines / groups / steps + 1};
}

static void SIMD_NAME(scores_of)(size_t L, size_t d, const SIMD_REAL *x, const SIMD_REAL *keys, SIMD_REAL *scores,
                                 simd_ahead *ahead)
{
    const size_t cuts = SIMD_NAME(cuts)(d);
    for (size_t cut = 0; cut < cuts; cut++) {
        const size_t low = d * cut / cuts, high = d * (cut + 1) / cuts;
        for (size_t q = 0; q < L; q += SIMD_QUERIES) {
            simd_fetch_ahead(ahead);
            SIMD_NAME(score_step)
            (L - q < SIMD_QUERIES ? L - q : SIMD_QUERIES, d, low, high, x + q * d, keys, scores + q * HOP_PANEL);
        }
    }
}

/*
 * Scores to weights, in place, one row of HOP_PANEL a query; their sums are added to totals, a vector a query.
 * shift NULL: none; count: memories that are real. plain: no shift, and all are.
 */
SIMD_INLINE void SIMD_NAME(weigh)(size_t queries, size_t count, const SIMD_REAL *shift, SIMD_REAL *weights,
                                  SIMD_REAL *totals, bool plain)
{
    const SIMD_NAME(vec) zero = SIMD_NAME(zero)();
    for (size_t q = 0; q < queries; q++, weights += HOP_PANEL, totals += SIMD_WIDTH) {
        const SIMD_NAME(vec) top = !plain && shift ? SIMD_NAME(splat)(shift + q) : zero;
        SIMD_NAME(vec) sum[SIMD_SLOTS];
        SIMD_UNROLL
        for (size_t m = 0; m < HOP_PANEL; m += SIMD_WIDTH) {
            const size_t slot = m / SIMD_WIDTH % SIMD_SLOTS;
            SIMD_NAME(vec) weight = SIMD_NAME(load)(weights + m);
            if (plain) {
                weight = SIMD_NAME(exp)(weight);
            } else {
                weight = SIMD_NAME(exp_or_zero)(SIMD_NAME(sub)(weight, top));
                weight = SIMD_NAME(first_lanes)(weight, (int)count - (int)m, zero);
            }
            SIMD_NAME(store)(weights + m, weight);
            sum[slot] = m < SIMD_SLOTS * SIMD_WIDTH ? weight : SIMD_NAME(add)(sum[slot], weight);
        }
        SIMD_UNROLL
        for (size_t half = SIMD_SLOTS / 2; half; half /= 2) {
            SIMD_UNROLL
            for (size_t s = 0; s < half; s++)
                sum[s] = SIMD_NAME(add)(sum[s], sum[s + half]);
        }
        SIMD_NAME(store)(totals, SIMD_NAME(add)(SIMD_NAME(load)(totals), sum[0]));
    }
}

static SIMD_APART void SIMD_NAME(weigh_step)(size_t queries, SIMD_REAL *weights, SIMD_REAL *totals)
{
    SIMD_NAME(weigh)(queries, HOP_PANEL, NULL, weights, totals, true);
}

static SIMD_APART void SIMD_NAME(guarded_weigh_step)(size_t queries, size_t count, const SIMD_REAL *shift,
                                                     SIMD_REAL *weights, SIMD_REAL *totals)
{
    SIMD_NAME(weigh)(queries, count, shift, weights, totals, false);
}

/* sums[q][0..vectors) += weights of q x those columns of a panel's values, rows `width` apart, sums `columns`. */
SIMD_INLINE void SIMD_NAME(average_tile)(size_t queries, size_t vectors, size_t chains, size_t width, size_t columns,
                                         const SIMD_REAL *weights, const SIMD_REAL *values, SIMD_REAL *sums)
{
    SIMD_NAME(vec) acc[SIMD_NAME(tile)];
    SIMD_NAME(clear)(chains * queries * vectors, acc);
    SIMD_NAME(multiply)(queries, vectors, chains, HOP_PANEL, weights, HOP_PANEL, values, width, acc);
    SIMD_UNROLL
    for (size_t i = 0; i < queries * vectors; i++) {
        SIMD_REAL *at = sums + i / vectors * columns + i % vectors * SIMD_WIDTH;
        SIMD_NAME(store)(at, SIMD_NAME(add)(SIMD_NAME(load)(at), acc[i]));
    }
}

/* Whole tiles of SIMD_QUERIES * SIMD_SLOTS / vectors queries; what is left takes narrower ones with more chains. */
SIMD_INLINE void SIMD_NAME(average)(size_t L, size_t vectors, size_t width, size_t columns, const SIMD_REAL *weights,
                                    const SIMD_REAL *values, SIMD_REAL *sums)
{
    const size_t chains = SIMD_SLOTS / vectors, most = SIMD_QUERIES * chains;
    size_t q = 0;
    for (; q + most <= L; q += most)
        SIMD_NAME(average_tile)(most, vectors, 1, width, columns, weights + q * HOP_PANEL, values, sums + q * columns);
    for (; chains > 1 && q + SIMD_QUERIES <= L; q += SIMD_QUERIES)
        SIMD_NAME(average_tile)
    (SIMD_QUERIES, vectors, chains, width, columns, weights + q * HOP_PANEL, values, sums + q * columns);
    weights += q * HOP_PANEL;
    sums += q * columns;
    switch (L - q) {
    case 1:
        SIMD_NAME(average_tile)(1, vectors, chains, width, columns, weights, values, sums);
        break;
    case 2:
        SIMD_NAME(average_tile)(2, vectors, chains, width, columns, weights, values, sums);
        break;
    case 3:
        SIMD_NAME(average_tile)(3, vectors, chains, width, columns, weights, values, sums);
        break;
    case 4:
        SIMD_NAME(average_tile)(4, vectors, chains, width, columns, weights, values, sums);
        break;
    case 5:
        SIMD_NAME(average_tile)(5, vectors, chains, width, columns, weights, values, sums);
        break;
    default:
        break;
    }
}

/* One block of columns, `width` of them. */
static SIMD_APART void SIMD_NAME(average_step)(size_t L, size_t width, size_t columns, const SIMD_REAL *weights,
                                               const SIMD_REAL *values, SIMD_REAL *sums)
{
    size_t column = 0;
    for (; column + SIMD_SLOTS * SIMD_WIDTH <= width; column += SIMD_SLOTS * SIMD_WIDTH)
        SIMD_NAME(average)(L, SIMD_SLOTS, width, columns, weights, values + column, sums + column);
#if SIMD_SLOTS * SIMD_WIDTH > 16
    if (column + SIMD_SLOTS / 2 * SIMD_WIDTH <= width) {
        SIMD_NAME(average)(L, SIMD_SLOTS / 2, width, columns, weights, values + column, sums + column);
        column += SIMD_SLOTS / 2 * SIMD_WIDTH;
    }
#endif
#if SIMD_SLOTS * SIMD_WIDTH > 32
    if (column + SIMD_SLOTS / 4 * SIMD_WIDTH <= width)
        SIMD_NAME(average)(L, SIMD_SLOTS / 4, width, columns, weights, values + column, sums + column);
#endif
}

/*
 * Where the keys are the values and queries few, computing is a fraction of the time, so memory must never wait: while
 * the scores are made of a panel, the first half of the next one is asked for, and the second half with the average.
 * half 0 or 1; `first` of the elements of this panel, of which one in two lines stands for a line of the next.
 */
SIMD_INLINE void SIMD_NAME(fetch_next)(const SIMD_REAL *keys, size_t d, size_t half, size_t first)
{
    if (first % SIMD_SLOTS * SIMD_WIDTH * sizeof(SIMD_REAL) % 128 == 0 && sizeof(SIMD_REAL) == sizeof(float))
        SIMD_FETCH(keys, (d * HOP_PANEL * (2 + half) + first * SIMD_WIDTH) * sizeof(SIMD_REAL) / 2);
}

/* score_tile() of all coordinates, with the very chains of that. */
SIMD_INLINE void SIMD_NAME(keys_score_tile)(size_t queries, size_t d, const SIMD_REAL *x, const SIMD_REAL *keys,
                                            SIMD_REAL *scores)
{
    for (size_t memory = 0; memory < HOP_PANEL; memory += SIMD_SLOTS * SIMD_WIDTH) {
        SIMD_NAME(vec) acc[SIMD_KEPT * SIMD_SLOTS];
        const SIMD_REAL *row = keys + memory;
        SIMD_NAME(clear)(queries * SIMD_SLOTS, acc);
        for (size_t l = 0; l < d; l++, row += HOP_PANEL) {
            SIMD_UNROLL
            for (size_t s = 0; s < SIMD_SLOTS; s++) {
                SIMD_NAME(vec) key = SIMD_NAME(load)(row + s * SIMD_WIDTH);
                SIMD_NAME(fetch_next)(keys, d, 0, (d * memory / SIMD_WIDTH + l * SIMD_SLOTS) + s);
                SIMD_UNROLL
                for (size_t q = 0; q < queries; q++)
                    acc[q * SIMD_SLOTS + s] =
                        SIMD_NAME(fma)(SIMD_NAME(splat)(x + q * d + l), key, acc[q * SIMD_SLOTS + s]);
            }
        }
        SIMD_UNROLL
        for (size_t i = 0; i < queries * SIMD_SLOTS; i++)
            SIMD_NAME(store)(scores + i / SIMD_SLOTS * HOP_PANEL + memory + i % SIMD_SLOTS * SIMD_WIDTH, acc[i]);
    }
}

static SIMD_APART void SIMD_NAME(keys_score_step)(size_t queries, size_t d, const SIMD_REAL *x, const SIMD_REAL *keys,
                                                  SIMD_REAL *scores)
{
    switch (queries) {
    case 1:
        SIMD_NAME(keys_score_tile)(1, d, x, keys, scores);
        break;
    case 2:
        SIMD_NAME(keys_score_tile)(2, d, x, keys, scores);
        break;
    case 3:
        SIMD_NAME(keys_score_tile)(3, d, x, keys, scores);
        break;
    default:
        SIMD_NAME(keys_score_tile)(SIMD_KEPT, d, x, keys, scores);
    }
}

/*
 * The average where the keys are the values: sums[(l queries + q) SIMD_WIDTH + lane] += weights x row l of the panel,
 * lanes over memories, so that a panel's two uses are one read of it. The weights stay in registers.
 */
SIMD_INLINE void SIMD_NAME(keys_tile)(size_t queries, size_t d, const SIMD_REAL *weights, const SIMD_REAL *keys,
                                      SIMD_REAL *sums)
{
    for (size_t memory = 0; memory < HOP_PANEL; memory += SIMD_SLOTS * SIMD_WIDTH) {
        SIMD_NAME(vec) weight[SIMD_KEPT * SIMD_SLOTS];
        SIMD_UNROLL
        for (size_t i = 0; i < queries * SIMD_SLOTS; i++)
            weight[i] = SIMD_NAME(load)(weights + i / SIMD_SLOTS * HOP_PANEL + memory + i % SIMD_SLOTS * SIMD_WIDTH);
        const SIMD_REAL *row = keys + memory;
        SIMD_REAL *at = sums;
        for (size_t l = 0; l < d; l++, row += HOP_PANEL, at += queries * SIMD_WIDTH) {
            SIMD_NAME(vec) sum[SIMD_KEPT];
            SIMD_UNROLL
            for (size_t q = 0; q < queries; q++)
                sum[q] = SIMD_NAME(load)(at + q * SIMD_WIDTH);
            SIMD_UNROLL
            for (size_t s = 0; s < SIMD_SLOTS; s++) {
                SIMD_NAME(vec) key = SIMD_NAME(load)(row + s * SIMD_WIDTH);
                SIMD_NAME(fetch_next)(keys, d, 1, (d * memory / SIMD_WIDTH + l * SIMD_SLOTS) + s);
                SIMD_UNROLL
                for (size_t q = 0; q < queries; q++)
                    sum[q] = SIMD_NAME(fma)(weight[q * SIMD_SLOTS + s], key, sum[q]);
            }
            SIMD_UNROLL
            for (size_t q = 0; q < queries; q++)
                SIMD_NAME(store)(at + q * SIMD_WIDTH, sum[q]);
        }
    }
}

static SIMD_APART void SIMD_NAME(keys_step)(size_t queries, size_t d, const SIMD_REAL *weights, const SIMD_REAL *keys,
                                            SIMD_REAL *sums)
{
    switch (queries) {
    case 1:
        SIMD_NAME(keys_tile)(1, d, weights, keys, sums);
        break;
    case 2:
        SIMD_NAME(keys_tile)(2, d, weights, keys, sums);
        break;
    case 3:
        SIMD_NAME(keys_tile)(3, d, weights, keys, sums);
        break;
    default:
        SIMD_NAME(keys_tile)(SIMD_KEPT, d, weights, keys, sums);
    }
}

/* One group of queries through the panels of a run, from memory `low` to `high`. */
static void SIMD_NAME(group)(const SIMD_PANEL *panel, size_t first, size_t queries, size_t low, size_t high)
{
    simd_ahead ahead = SIMD_NAME(ahead_of)(panel, first);
    SIMD_REAL *weights = panel->scratch, *totals = weights + SIMD_GROUP * HOP_PANEL;
    SIMD_REAL *sums = totals + SIMD_GROUP * SIMD_WIDTH;
    const size_t d = panel->d, columns = panel->columns, cells = panel->values ? columns : d * SIMD_WIDTH;
    const SIMD_REAL *x = panel->x + first * d, *shift = panel->shift ? panel->shift + first : NULL;
    memset(totals, 0, queries * SIMD_WIDTH * sizeof *totals);
    memset(sums, 0, queries * cells * sizeof *sums);
    for (size_t memory = low; memory < high; memory += HOP_PANEL) {
        const SIMD_REAL *keys = panel->keys + memory * d;
        const size_t count = high - memory < HOP_PANEL ? high - memory : HOP_PANEL;
        if (panel->values)
            SIMD_NAME(scores_of)(queries, d, x, keys, weights, &ahead);
        else
            SIMD_NAME(keys_score_step)(queries, d, x, keys, weights);
        if (!shift && count == HOP_PANEL)
            SIMD_NAME(weigh_step)(queries, weights, totals);
        else
            SIMD_NAME(guarded_weigh_step)(queries, count, shift, weights, totals);
        for (size_t block = 0; block < columns && panel->values; block += HOP_BLOCK) {
            simd_fetch_ahead(&ahead);
            SIMD_NAME(average_step)
            (queries, columns - block < HOP_BLOCK ? columns - block : HOP_BLOCK, columns, weights,
             panel->values + memory * columns + block * HOP_PANEL, sums + block);
        }
        if (!panel->values)
            SIMD_NAME(keys_step)(queries, d, weights, keys, sums);
    }
    for (size_t q = 0; q < queries; q++) {
        double *N = panel->N + (first + q) * columns;
        panel->D[first + q] += (double)SIMD_NAME(total)(SIMD_NAME(load)(totals + q * SIMD_WIDTH));
        if (panel->values)
            SIMD_NAME(widen_add)(sums + q * columns, columns, N);
        for (size_t l = 0; l < d && !panel->values; l++)
            N[l] += (double)SIMD_NAME(total)(SIMD_NAME(load)(sums + (l * queries + q) * SIMD_WIDTH));
    }
}

static void SIMD_NAME(panel)(const SIMD_PANEL *panel)
{
    assert(panel->count <= HOP_RUN && panel->columns % HOP_COLUMNS == 0);
    assert(panel->values || panel->d <= panel->columns);
    /* Sums over lanes are one chain of a piece's memories / SIMD_WIDTH: HOP_PANEL roundings at most. */
    const size_t most = panel->values ? SIMD_GROUP : SIMD_KEPT;
    const size_t piece = panel->values || SIMD_WIDTH * HOP_PANEL > HOP_RUN ? HOP_RUN : SIMD_WIDTH * HOP_PANEL;
    for (size_t first = 0; first < panel->L; first += most) {
        const size_t queries = panel->L - first < most ? panel->L - first : most;
        for (size_t low = 0; low < panel->count; low += piece)
            SIMD_NAME(group)(panel, first, queries, low, panel->count - low < piece ? panel->count : low + piece);
    }
}

static void SIMD_NAME(top)(const SIMD_PANEL *panel, SIMD_REAL *top)
{
    assert(panel->count <= HOP_PANEL);
    const SIMD_REAL lowest = (SIMD_REAL)-INFINITY;
    SIMD_REAL *scores = panel->scratch;
    for (size_t first = 0; first < panel->L; first += SIMD_GROUP) {
        const size_t queries = panel->L - first < SIMD_GROUP ? panel->L - first : SIMD_GROUP;
        simd_ahead none = {.end = 0};
        SIMD_NAME(scores_of)(queries, panel->d, panel->x + first * panel->d, panel->keys, scores, &none);
        for (size_t q = 0; q < queries; q++) {
            SIMD_NAME(vec) best = SIMD_NAME(splat)(&lowest);
            SIMD_UNROLL
            for (size_t m = 0; m < HOP_PANEL; m += SIMD_WIDTH) {
                SIMD_NAME(vec) t = SIMD_NAME(load)(scores + q * HOP_PANEL + m);
                t = SIMD_NAME(first_lanes)(t, (int)panel->count - (int)m, SIMD_NAME(splat)(&lowest));
                best = SIMD_NAME(max)(best, t);
            }
            const SIMD_REAL largest = SIMD_NAME(largest)(best);
            top[first + q] = largest > top[first + q] ? largest : top[first + q];
        }
    }
}

#ifndef SIMD_LANES
#include "core/kernels_sift.h"
#else
static void SIMD_NAME(scores)(const SIMD_PANEL *panel, SIMD_REAL *scores)
{
    assert(panel->count <= HOP_PANEL);
    simd_ahead none = {.end = 0};
    SIMD_NAME(scores_of)(panel->L, panel->d, panel->x, panel->keys, scores, &none);
}

#include "core/kernels_moments.h"
#include "core/kernels_rows.h"
#include "core/kernels_measure.h"
#undef SIMD_LANES
#endif

#include "core/kernels_lanes.h"
#include "core/kernels_product.h"

#undef SIMD_REAL
#undef SIMD_PANEL
#undef SIMD_NAME
#undef SIMD_WIDTH
#undef SIMD_SLOTS
