/*
 * test_kernels.c - every table of kernels that this machine runs, against sums in long double.
 *
 * Budgets are those of kernels.h: d + 1 roundings a score, the proven error of exp, HOP_DEPTH roundings a sum.
 * exp itself has its own program, test_kernels_exp.
 */
#include <math.h>
#include <string.h>

#include "core/kernel_tables.h"
#include "core/multiindex.h"
#include "core/rounding.h"
#include "support/check_main.h"
#include "support/rng.h"

enum { MEMORIES_MAX = HOP_RUN, D_MAX = 130, L_MAX = 60, COLUMNS_MAX = 128, GUARD = 8 };

static const hop_kernels *tables[KERNEL_TABLES_MAX];
static int tables_n;
static uint64_t seed;

/* ---- panels ------------------------------------------------------------------------------------------------ */

/* Arrays of one panel in both types; everything starts one element off its alignment, scratch excepted. */
static struct arrays {
    float keys_f32[D_MAX * MEMORIES_MAX + 1], values_f32[MEMORIES_MAX * COLUMNS_MAX + 1];
    float x_f32[L_MAX * D_MAX + 1], shift_f32[L_MAX + 1];
    double keys_f64[D_MAX * MEMORIES_MAX + 1], values_f64[MEMORIES_MAX * COLUMNS_MAX + 1];
    double x_f64[L_MAX * D_MAX + 1], shift_f64[L_MAX + 1];
    double D[1 + L_MAX + GUARD], N[1 + L_MAX * COLUMNS_MAX + GUARD];
    double start_D[L_MAX + GUARD], start_N[L_MAX * COLUMNS_MAX + GUARD];
    _Alignas(64) unsigned char scratch[1 << 20], queries[1 << 17];
} arrays;

typedef struct extent {
    size_t d, L, count, columns;
    bool shift, alone; /* alone: values are the keys, d <= columns */
} extent;

/* Coordinate l of memory m. */
static size_t key_at(const extent *shape, size_t m, size_t l)
{
    return 1 + (m / HOP_PANEL * shape->d + l) * HOP_PANEL + m % HOP_PANEL;
}

static long double value_of(const extent *shape, size_t m, size_t j)
{
    if (!shape->alone)
        return (long double)arrays.values_f32[1 + hop_value_at(shape->columns, m, j)];
    return j < shape->d ? (long double)arrays.keys_f32[key_at(shape, m, j)] : 0.0L;
}

/* Entries of keys and x that keep |t| within about `reach`. */
static void fill(const extent *shape, double reach, test_rng *rng)
{
    memset(&arrays, 0, sizeof arrays);
    const double size = sqrt(reach / (double)(shape->d ? shape->d : 1));
    for (size_t l = 0; l < shape->d; l++)
        for (size_t m = 0; m < shape->count; m++)
            arrays.keys_f32[key_at(shape, m, l)] = (float)test_rng_between(rng, -size, size);
    for (size_t m = 0; m < shape->count; m++)
        for (size_t j = 0; j < shape->columns; j++)
            arrays.values_f32[1 + hop_value_at(shape->columns, m, j)] = (float)test_rng_normal(rng);
    for (size_t i = 0; i < shape->L * shape->d; i++)
        arrays.x_f32[1 + i] = (float)test_rng_between(rng, -size, size);
    for (size_t q = 0; q < shape->L; q++)
        arrays.shift_f32[1 + q] = (float)test_rng_between(rng, -20.0, reach > 80.0 ? 200.0 : 20.0);
    for (size_t i = 0; i < sizeof arrays.keys_f32 / sizeof(float); i++)
        arrays.keys_f64[i] = (double)arrays.keys_f32[i];
    for (size_t i = 0; i < sizeof arrays.values_f32 / sizeof(float); i++)
        arrays.values_f64[i] = (double)arrays.values_f32[i];
    for (size_t i = 0; i < sizeof arrays.x_f32 / sizeof(float); i++)
        arrays.x_f64[i] = (double)arrays.x_f32[i] * (1.0 + 0x1p-40);
    for (size_t i = 0; i < sizeof arrays.shift_f32 / sizeof(float); i++)
        arrays.shift_f64[i] = (double)arrays.shift_f32[i];
    for (size_t i = 0; i < sizeof arrays.start_D / sizeof(double); i++)
        arrays.start_D[i] = test_rng_between(rng, 0.0, 2.0);
    for (size_t i = 0; i < sizeof arrays.start_N / sizeof(double); i++)
        arrays.start_N[i] = test_rng_normal(rng);
}

static void start(void)
{
    memcpy(arrays.D + 1, arrays.start_D, sizeof arrays.start_D);
    memcpy(arrays.N + 1, arrays.start_N, sizeof arrays.start_N);
    memset(arrays.scratch, 0xff, sizeof arrays.scratch); /* NaN: kernels may not read what they did not write */
}

static hop_panel_f32 panel_f32(const extent *shape)
{
    return (hop_panel_f32){shape->d,
                           shape->L,
                           shape->count,
                           shape->columns,
                           arrays.keys_f32 + 1,
                           shape->alone ? NULL : arrays.values_f32 + 1,
                           arrays.x_f32 + 1,
                           shape->shift ? arrays.shift_f32 + 1 : NULL,
                           arrays.D + 1,
                           arrays.N + 1,
                           arrays.scratch,
                           arrays.queries};
}

static hop_panel_f64 panel_f64(const extent *shape)
{
    return (hop_panel_f64){shape->d,
                           shape->L,
                           shape->count,
                           shape->columns,
                           arrays.keys_f64 + 1,
                           shape->alone ? NULL : arrays.values_f64 + 1,
                           arrays.x_f64 + 1,
                           shape->shift ? arrays.shift_f64 + 1 : NULL,
                           arrays.D + 1,
                           arrays.N + 1,
                           arrays.scratch};
}

/* What the kernels read of the queries besides x. */
static void prepare(const hop_kernels *kernels, const extent *shape)
{
    memset(arrays.queries, 0xff, sizeof arrays.queries);
    if (!kernels->queries_f32)
        return;
    const size_t bytes = kernels->queries_f32_bytes(shape->L, shape->d);
    ck_assert_uint_le(bytes, sizeof arrays.queries);
    kernels->queries_f32(shape->L, shape->d, arrays.x_f32 + 1, arrays.queries);
    for (size_t i = bytes; i < sizeof arrays.queries; i++)
        require(arrays.queries[i] == 0xff, "wrote past queries, byte %zu", i);
}

static size_t scratch_bytes(const hop_kernels *kernels, const extent *shape, bool wide)
{
    const size_t some = hop_scratch_bytes(shape->columns);
    const size_t other = !wide && kernels->scratch_f32_bytes ? kernels->scratch_f32_bytes(shape->d, shape->columns) : 0;
    return some > other ? some : other;
}

static void run(const hop_kernels *kernels, const extent *shape, bool wide)
{
    start();
    prepare(kernels, shape);
    hop_panel_f32 narrow_panel = panel_f32(shape);
    hop_panel_f64 wide_panel = panel_f64(shape);
    if (wide)
        kernels->panel_f64(&wide_panel);
    else
        kernels->panel_f32(&narrow_panel);
}

/* exact t of query q and memory m, and the size of what was summed. */
static long double score(const extent *shape, size_t q, size_t m, bool wide, long double *size)
{
    long double t = 0.0L;
    *size = 0.0L;
    for (size_t l = 0; l < shape->d; l++) {
        long double x =
            wide ? (long double)arrays.x_f64[1 + q * shape->d + l] : (long double)arrays.x_f32[1 + q * shape->d + l];
        long double product = (long double)arrays.keys_f32[key_at(shape, m, l)] * x;
        t += product;
        *size += fabsl(product);
    }
    return t;
}

/* The panel of one table and type against the definition. */
static void check_panel(const hop_kernels *kernels, const extent *shape, bool wide)
{
    const long double unit = wide ? 0x1p-53L : 0x1p-24L, exp_error = wide ? HOP_EXP_F64_ERROR : HOP_EXP_F32_ERROR;
    const long double ln_2 = 0.693147180559945309417L, depth = HOP_DEPTH, tiny = wide ? 0x1p-1022L : 0x1p-126L;
    const long double least = wide ? 0.0L : (long double)kernels->score_depth;
    const long double roundings = fmaxl((long double)shape->d + 1.0L, least);
    const long double underflow = wide ? 0x1p-149L : (long double)kernels->underflow_f32;
    run(kernels, shape, wide);
    for (size_t q = 0; q < shape->L; q++) {
        long double D = 0.0L, D_budget = 0.0L, N[COLUMNS_MAX] = {0}, N_budget[COLUMNS_MAX] = {0};
        for (size_t m = 0; m < shape->count; m++) {
            long double size, t = score(shape, q, m, wide, &size);
            const long double shift = shape->shift ? (long double)arrays.shift_f32[1 + q] : 0.0L;
            const long double e = exp2l(t - shift);
            const long double slip = ln_2 * roundings * unit * (size + fabsl(shift)) + exp_error + depth * unit;
            const long double budget = 1.01L * e * expm1l(slip) + tiny;
            D += e;
            D_budget += budget;
            for (size_t j = 0; j < shape->columns; j++) {
                long double v = value_of(shape, m, j);
                N[j] += e * v;
                N_budget[j] += budget * fabsl(v) + underflow * (1.0L + e + fabsl(v));
            }
        }
        const char *type = wide ? "f64" : "f32";
        const long double added = 2.0L * (long double)shape->count * 0x1p-53L; /* the reference adds one by one */
        long double error = fabsl((long double)arrays.D[1 + q] - (long double)arrays.start_D[q] - D);
        require(error <= D_budget + added * (D + 2.0L),
                "%s %s d=%zu L=%zu count=%zu columns=%zu shift=%d q=%zu: D off by %Lg, budget %Lg", kernels->isa, type,
                shape->d, shape->L, shape->count, shape->columns, shape->shift, q, error, D_budget);
        for (size_t j = 0; j < shape->columns; j++) {
            size_t at = q * shape->columns + j;
            error = fabsl((long double)arrays.N[1 + at] - (long double)arrays.start_N[at] - N[j]);
            require(error <= N_budget[j] + added * (8.0L * D + 8.0L),
                    "%s %s d=%zu L=%zu count=%zu columns=%zu shift=%d q=%zu j=%zu: N off by %Lg, budget %Lg",
                    kernels->isa, type, shape->d, shape->L, shape->count, shape->columns, shape->shift, q, j, error,
                    N_budget[j]);
        }
    }
    require(!memcmp(arrays.D + 1 + shape->L, arrays.start_D + shape->L, GUARD * sizeof(double)), "wrote past D");
    require(!memcmp(arrays.N + 1 + shape->L * shape->columns, arrays.start_N + shape->L * shape->columns,
                    GUARD * sizeof(double)),
            "wrote past N");
    const size_t scratch = scratch_bytes(kernels, shape, wide);
    ck_assert_uint_le(scratch, sizeof arrays.scratch);
    for (size_t i = scratch; i < sizeof arrays.scratch; i++)
        require(arrays.scratch[i] == 0xff, "wrote past scratch, byte %zu", i);
    ck_assert(arrays.D[0] == 0.0 && arrays.N[0] == 0.0);
}

static void check_shape(const extent *shape, double reach, test_rng *rng)
{
    ck_assert(shape->count <= MEMORIES_MAX && shape->d <= D_MAX && shape->L <= L_MAX);
    fill(shape, reach, rng);
    for (int i = 0; i < tables_n; i++) {
        check_panel(tables[i], shape, false);
        check_panel(tables[i], shape, true);
    }
}

START_TEST(panel_every_count)
{
    test_rng rng;
    test_rng_init(&rng, seed, 1);
    for (size_t count = 0; count <= HOP_PANEL; count++) {
        check_shape(&(extent){5, 7, count, 16, false, false}, 6.0, &rng);
        check_shape(&(extent){5, 3, count, 48, true, false}, 6.0, &rng);
        check_shape(&(extent){5, 3, count, 16, count % 2, true}, 6.0, &rng);
    }
}
END_TEST

START_TEST(panel_every_batch)
{
    test_rng rng;
    test_rng_init(&rng, seed, 2);
    for (size_t L = 0; L <= 52; L++) {
        check_shape(&(extent){9, L, HOP_PANEL, 32, false, false}, 6.0, &rng);
        check_shape(&(extent){9, L, 37, 16, true, false}, 6.0, &rng);
        check_shape(&(extent){9, L, 150, 64, L % 2, false}, 6.0, &rng);
        check_shape(&(extent){9, L, 150, 16, L % 2, true}, 6.0, &rng);
    }
}
END_TEST

START_TEST(panel_every_width)
{
    test_rng rng;
    test_rng_init(&rng, seed, 3);
    for (size_t columns = 16; columns <= COLUMNS_MAX; columns += 16)
        for (size_t d = 0; d <= 8; d++)
            check_shape(&(extent){d == 8 ? D_MAX : d, 8, d % 2 ? 64 : 63, columns, d % 3 == 0, false}, 6.0, &rng);
}
END_TEST

START_TEST(panel_random)
{
    test_rng rng;
    test_rng_init(&rng, seed, 4);
    for (int i = 0; i < (hop_check_fast() ? 40 : 300); i++) {
        extent shape = {
            1 + test_rng_below(&rng, D_MAX),     test_rng_below(&rng, L_MAX + 1),
            test_rng_below(&rng, HOP_PANEL + 1), HOP_COLUMNS * (1 + test_rng_below(&rng, COLUMNS_MAX / HOP_COLUMNS)),
            test_rng_below(&rng, 2) > 0,         false};
        if (test_rng_below(&rng, 3) == 0)
            shape.count = HOP_PANEL;
        if (i % 8 == 0)
            shape.count = 1 + test_rng_below(&rng, HOP_RUN);
        if (i % 16 == 0)
            shape.count = HOP_RUN;
        shape.alone = i % 5 == 0 && shape.d <= shape.columns;
        check_shape(&shape, shape.shift ? test_rng_log(&rng, 1e-3, 400.0) : test_rng_log(&rng, 1e-3, 80.0), &rng);
    }
}
END_TEST

/* With the identity as values, N is the weights; none exceeds 1 and the largest is 1, to the bit. */
START_TEST(top_is_the_panels_own)
{
    test_rng rng;
    test_rng_init(&rng, seed, 6);
    for (int i = 0; i < tables_n * 120; i++) {
        const hop_kernels *kernels = tables[i / 120];
        const bool wide = i % 2;
        extent shape = {
            1 + test_rng_below(&rng, 40), 1 + test_rng_below(&rng, 40), 1 + test_rng_below(&rng, 64), 64, true, false};
        fill(&shape, test_rng_log(&rng, 1.0, 1e4), &rng);
        for (size_t m = 0; m < HOP_PANEL; m++) {
            for (size_t j = 0; j < HOP_PANEL; j++) {
                arrays.values_f32[1 + m * 64 + j] = m == j && m < shape.count ? 1.0f : 0.0f;
                arrays.values_f64[1 + m * 64 + j] = m == j && m < shape.count ? 1.0 : 0.0;
            }
        }
        hop_panel_f32 narrow = panel_f32(&shape);
        hop_panel_f64 broad = panel_f64(&shape);
        for (size_t q = 0; q < L_MAX; q++) {
            arrays.shift_f32[1 + q] = -INFINITY;
            arrays.shift_f64[1 + q] = -INFINITY;
        }
        prepare(kernels, &shape);
        if (wide)
            kernels->max_f64(&broad, arrays.shift_f64 + 1);
        else
            kernels->max_f32(&narrow, arrays.shift_f32 + 1);
        ck_assert(isinf(arrays.shift_f32[1 + shape.L]) && isinf(arrays.shift_f64[1 + shape.L]));
        memset(arrays.start_N, 0, sizeof arrays.start_N);
        run(kernels, &shape, wide);
        for (size_t q = 0; q < shape.L; q++) {
            double largest = 0.0;
            for (size_t m = 0; m < HOP_PANEL; m++) {
                double e = arrays.N[1 + q * 64 + m];
                require(e >= 0.0 && e <= 1.0 && (m < shape.count || e == 0.0), "%s: weight %g of memory %zu",
                        kernels->isa, e, m);
                largest = fmax(largest, e);
            }
            require(largest == 1.0, "%s %s: largest weight %.17g", kernels->isa, wide ? "f64" : "f32", largest);
        }

        /* A top that is larger already stays. */
        float high_f32[L_MAX];
        double high_f64[L_MAX];
        for (size_t q = 0; q < shape.L; q++)
            high_f64[q] = high_f32[q] = 1e30f;
        kernels->max_f32(&narrow, high_f32);
        kernels->max_f64(&broad, high_f64);
        for (size_t q = 0; q < shape.L; q++)
            ck_assert(high_f32[q] == 1e30f && high_f64[q] == (double)1e30f);
    }
}
END_TEST

START_TEST(scores_are_the_panels_own)
{
    test_rng rng;
    test_rng_init(&rng, seed, 7);
    static double scores[L_MAX * HOP_PANEL];
    for (int i = 0; i < tables_n * 80; i++) {
        const hop_kernels *kernels = tables[i / 80];
        extent shape = {
            test_rng_below(&rng, 40), 1 + test_rng_below(&rng, 20), 1 + test_rng_below(&rng, 64), 16, false, false};
        fill(&shape, 10.0, &rng);
        hop_panel_f64 panel = panel_f64(&shape);
        double top[L_MAX];
        for (size_t q = 0; q < shape.L; q++)
            top[q] = -INFINITY;
        kernels->scores_f64(&panel, scores);
        kernels->max_f64(&panel, top);
        for (size_t q = 0; q < shape.L; q++) {
            double largest = -INFINITY;
            for (size_t m = 0; m < shape.count; m++) {
                long double size, t = score(&shape, q, m, true, &size);
                double got = scores[q * HOP_PANEL + m];
                require(fabsl((long double)got - t) <= (long double)shape.d * 0x1.01p-53L * size, "%s: score off",
                        kernels->isa);
                largest = fmax(largest, got);
            }
            require(largest == top[q], "%s: max_f64 is not the largest of scores_f64", kernels->isa);
        }
    }
}
END_TEST

/* What a sift reported: a score for each pair, NaN for none. */
static struct sifted {
    float scores[L_MAX][MEMORIES_MAX], least[L_MAX];
    size_t next[L_MAX]; /* memories come in order */
    bool rises;         /* a query's threshold, to what was found */
} sifted;

static void take_found(void *context, size_t q, size_t memory, uint64_t which, const float *scores)
{
    struct sifted *to = context;
    ck_assert(which != 0 && memory % 32 == 0 && memory >= to->next[q]);
    for (size_t i = 0; i < 64; i++) {
        if (!(which >> i & 1))
            continue;
        ck_assert_uint_lt(memory + i, (size_t)MEMORIES_MAX);
        to->scores[q][memory + i] = scores[i];
        to->next[q] = memory + i + 1;
        if (to->rises && scores[i] > to->least[q])
            to->least[q] = scores[i];
    }
}

static void sift(const hop_kernels *kernels, const extent *shape, bool rises)
{
    hop_panel_f32 panel = panel_f32(shape);
    panel.columns = 0;
    panel.values = NULL;
    sifted.rises = rises;
    memset(sifted.next, 0, sizeof sifted.next);
    for (size_t q = 0; q < L_MAX; q++)
        for (size_t m = 0; m < MEMORIES_MAX; m++)
            sifted.scores[q][m] = NAN;
    start();
    kernels->sift_f32(&panel, &(hop_sift){.least = sifted.least, .found = take_found, .context = &sifted});
    const size_t scratch = scratch_bytes(kernels, &(extent){.d = shape->d, .columns = 0}, false);
    for (size_t i = scratch; i < sizeof arrays.scratch; i++)
        require(arrays.scratch[i] == 0xff, "%s: wrote past scratch, byte %zu", kernels->isa, i);
}

/* All scores first, which must be right; then, of the same, those from a threshold on, no more and no fewer. */
static void check_sift(const hop_kernels *kernels, const extent *shape, test_rng *rng)
{
    static float all[L_MAX][MEMORIES_MAX];
    const long double depth = fmaxl((long double)shape->d + 1, (long double)kernels->score_depth);
    prepare(kernels, shape);
    for (size_t q = 0; q < L_MAX; q++)
        sifted.least[q] = -INFINITY;
    sift(kernels, shape, false);
    memcpy(all, sifted.scores, sizeof all);
    for (size_t q = 0; q < shape->L; q++) {
        for (size_t m = 0; m < MEMORIES_MAX; m++) {
            long double size, t = m < shape->count ? score(shape, q, m, false, &size) : 0;
            require(m < shape->count ? fabsl((long double)all[q][m] - t) <= depth * 0x1.01p-24L * size
                                     : isnan(all[q][m]),
                    "%s d=%zu L=%zu count=%zu: score of %zu off", kernels->isa, shape->d, shape->L, shape->count, m);
        }
        sifted.least[q] = all[q][test_rng_below(rng, shape->count)]; /* that one is reported */
    }
    sift(kernels, shape, false);
    for (size_t q = 0; q < shape->L; q++)
        for (size_t m = 0; m < shape->count; m++)
            require(all[q][m] >= sifted.least[q] ? sifted.scores[q][m] == all[q][m] : isnan(sifted.scores[q][m]),
                    "%s d=%zu L=%zu count=%zu: memory %zu", kernels->isa, shape->d, shape->L, shape->count, m);
    for (size_t q = 0; q < L_MAX; q++)
        sifted.least[q] = -INFINITY;
    sift(kernels, shape, true);
    for (size_t q = 0; q < shape->L; q++) {
        float top = -INFINITY;
        for (size_t m = 0; m < shape->count; m++) {
            top = fmaxf(top, all[q][m]);
            require(all[q][m] < top || sifted.scores[q][m] == top, "%s: a threshold that rises lost the largest",
                    kernels->isa);
        }
    }
}

START_TEST(sift_reports_what_reaches_the_threshold)
{
    test_rng rng;
    test_rng_init(&rng, seed, 8);
    const hop_kernels *kernels = tables[_i];
    for (int i = 0; i < 150; i++) {
        extent shape = {test_rng_below(&rng, i % 10 ? 40 : D_MAX),
                        1 + test_rng_below(&rng, i % 3 ? 6 : L_MAX),
                        1 + test_rng_below(&rng, i % 2 ? 70 : MEMORIES_MAX),
                        0,
                        false,
                        false};
        fill(&shape, i % 4 ? 10.0 : 1e4, &rng);
        check_sift(kernels, &shape, &rng);
    }
}
END_TEST

/* A panel's sums reach D and N in one addition each: 64 ones added one by one to 2^54 would all be lost. */
START_TEST(panels_are_added_once)
{
    enum { COLUMNS = 16 };
    static double keys[HOP_PANEL], values[HOP_PANEL * COLUMNS];
    static float keys_f32[HOP_PANEL], values_f32[HOP_PANEL * COLUMNS];
    const hop_kernels *kernels = tables[_i];
    for (size_t i = 0; i < HOP_PANEL * COLUMNS; i++)
        values[i] = values_f32[i] = 1;
    double x = 0, D = 0x1p54, N[COLUMNS];
    float x_f32 = 0;
    for (int wide = 0; wide < 2; wide++) {
        D = 0x1p54;
        for (size_t j = 0; j < COLUMNS; j++)
            N[j] = 0x1p54;
        if (wide)
            kernels->panel_f64(&(hop_panel_f64){.d = 1,
                                                .L = 1,
                                                .count = HOP_PANEL,
                                                .columns = COLUMNS,
                                                .keys = keys,
                                                .values = values,
                                                .x = &x,
                                                .D = &D,
                                                .N = N,
                                                .scratch = arrays.scratch});
        else {
            if (kernels->queries_f32)
                kernels->queries_f32(1, 1, &x_f32, arrays.queries);
            kernels->panel_f32(&(hop_panel_f32){.d = 1,
                                                .L = 1,
                                                .count = HOP_PANEL,
                                                .columns = COLUMNS,
                                                .keys = keys_f32,
                                                .values = values_f32,
                                                .x = &x_f32,
                                                .D = &D,
                                                .N = N,
                                                .scratch = arrays.scratch,
                                                .queries = arrays.queries});
        }
        require(D == 0x1p54 + HOP_PANEL, "%s %s: D", kernels->isa, wide ? "f64" : "f32");
        for (size_t j = 0; j < COLUMNS; j++)
            require(N[j] == 0x1p54 + HOP_PANEL, "%s %s: N", kernels->isa, wide ? "f64" : "f32");
    }
}
END_TEST

/* ---- sweeps ------------------------------------------------------------------------------------------------ */

enum { SWEEP_D = 19, SWEEP_CELLS = 1330 + HOP_SWEEP_PAD }; /* C(19 + 2, 3) monomials of degree 3 */

/* One sweep's arrays, of either precision; numbers that f32 holds exactly. */
static struct sweep_arrays {
    _Alignas(64) double xi[SWEEP_D * HOP_LANES], m[SWEEP_CELLS * HOP_LANES], next[SWEEP_CELLS * HOP_LANES];
    _Alignas(64) double a[SWEEP_CELLS], self[SWEEP_CELLS], weight[HOP_LANES], out[SWEEP_CELLS * HOP_LANES];
    _Alignas(64) double scratch[SWEEP_D * HOP_LANES], sums[SWEEP_D * HOP_LANES], start[SWEEP_D * HOP_LANES];
} sweep_arrays;

typedef struct sweep_form {
    const char *isa, *name;
    const hop_sweeps *sweeps;
    double unit;
} sweep_form;

static double real_at(const sweep_form *form, const double *array, size_t at)
{
    return form->unit > HOP_U64 ? (double)((const float *)(const void *)array)[at] : array[at];
}

static void fill_reals(const sweep_form *form, test_rng *rng, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++) {
        float x = (float)test_rng_normal(rng);
        if (form->unit > HOP_U64)
            ((float *)(void *)out)[i] = x;
        else
            out[i] = (double)x;
    }
}

/* Cofactors and monomials of this degree: what lies behind them is zero, finite, or a mark that must stay. */
static void fill_sweep(const sweep_form *form, test_rng *rng, size_t cofactors, size_t monomials)
{
    struct sweep_arrays *s = &sweep_arrays;
    size_t lanes = form->sweeps->lanes;
    memset(s, 0, sizeof *s);
    fill_reals(form, rng, SWEEP_D * lanes, s->xi);
    fill_reals(form, rng, cofactors * lanes, s->m);
    fill_reals(form, rng, (monomials + (lanes == 1 ? HOP_SWEEP_PAD : 0)) * lanes, s->next);
    fill_reals(form, rng, SWEEP_CELLS, s->a);
    fill_reals(form, rng, SWEEP_CELLS, s->self);
    fill_reals(form, rng, lanes, s->weight);
    for (size_t i = 0; i < SWEEP_D * lanes; i++)
        s->sums[i] = s->start[i] = test_rng_normal(rng);
}

static void check_sweep_sum(const sweep_form *form, const char *what, size_t d, double n, double got, long double exact,
                            long double size)
{
    require(fabsl((long double)got - exact) <= (long double)(n * form->unit) * size, "%s %s %s d=%zu: %g, exact %Lg",
            form->isa, form->name, what, d, got, exact);
}

static void check_extend(const sweep_form *form, const hop_degree *degree)
{
    const struct sweep_arrays *s = &sweep_arrays;
    size_t lanes = form->sweeps->lanes, end = degree->offset[degree->d];
    for (size_t q = 0; q < lanes; q++) {
        long double sum = s->start[q], size = fabsl(sum);
        for (size_t i = 0; i < degree->d; i++)
            for (size_t b = degree->offset[i]; b < end; b++) {
                size_t at = degree->lead[i] + b;
                double got = real_at(form, s->out, at * lanes + q);
                double x = real_at(form, s->xi, i * lanes + q), m = real_at(form, s->m, b * lanes + q);
                require(got == (form->unit > HOP_U64 ? (double)((float)x * (float)m) : x * m),
                        "%s %s extend d=%zu i=%zu", form->isa, form->name, degree->d, i);
                long double term = (long double)real_at(form, s->a, at) * (long double)got;
                sum += term;
                size += fabsl(term);
            }
        check_sweep_sum(form, "extend's sum", degree->d, HOP_SWEEP_DEPTH, s->sums[q], sum, size);
    }
}

/* top, or reverse, against the loops of kernels.h. */
static void check_adjoin(const sweep_form *form, const hop_degree *degree, bool top)
{
    const struct sweep_arrays *s = &sweep_arrays;
    size_t lanes = form->sweeps->lanes, d = degree->d, end = degree->offset[d];
    const char *what = top ? "top" : "reverse";
    for (size_t q = 0; q < lanes; q++) {
        for (size_t b = 0; b < end; b++) {
            long double sum = (long double)real_at(form, s->weight, q) * (long double)real_at(form, s->self, b);
            long double size = fabsl(sum);
            for (size_t i = 0; i < d && degree->offset[i] <= b; i++) {
                size_t at = degree->lead[i] + b;
                double v = top ? real_at(form, s->a, at) : real_at(form, s->next, at * lanes + q);
                long double term = (long double)real_at(form, s->xi, i * lanes + q) * (long double)v;
                sum += term;
                size += fabsl(term);
            }
            check_sweep_sum(form, what, d, (double)d + 3, real_at(form, s->out, b * lanes + q), sum, size);
        }
        for (size_t i = 0; i < d; i++) {
            long double sum = s->start[i * lanes + q], size = fabsl(sum);
            for (size_t b = degree->offset[i]; b < end; b++) {
                size_t at = degree->lead[i] + b;
                double v = top ? real_at(form, s->a, at) : real_at(form, s->next, at * lanes + q);
                long double term = (long double)v * (long double)real_at(form, s->m, b * lanes + q);
                sum += term;
                size += fabsl(term);
            }
            check_sweep_sum(form, what, d, HOP_SWEEP_DEPTH, s->sums[i * lanes + q], sum, size);
        }
    }
}

/* Side by side nothing is written behind the last element; alone, what is written behind m's kin is zero. */
static void check_behind(const sweep_form *form, size_t d, size_t n)
{
    size_t lanes = form->sweeps->lanes;
    for (size_t i = 0; i < (lanes > 1 ? lanes : HOP_SWEEP_PAD); i++)
        require(real_at(form, sweep_arrays.out, n * lanes + i) == 0, "%s %s d=%zu: wrote past the end", form->isa,
                form->name, d);
}

static void sweep_case(const sweep_form *form, const hop_multiindex *index, unsigned k, test_rng *rng)
{
    struct sweep_arrays *s = &sweep_arrays;
    size_t cofactors = hop_multiindex_count(index, k - 1), monomials = hop_multiindex_count(index, k);
    hop_sweep sweep = {.degree = hop_multiindex_degree(index, k),
                       .xi = s->xi,
                       .m = s->m,
                       .a = s->a,
                       .next = s->next,
                       .self = s->self,
                       .weight = s->weight,
                       .out = s->out,
                       .sums = s->sums,
                       .scratch = s->scratch};
    fill_sweep(form, rng, cofactors, monomials);
    form->sweeps->extend(&sweep);
    check_extend(form, &sweep.degree);
    check_behind(form, index->d, monomials);
    fill_sweep(form, rng, cofactors, monomials);
    form->sweeps->top(&sweep);
    check_adjoin(form, &sweep.degree, true);
    check_behind(form, index->d, cofactors);
    fill_sweep(form, rng, cofactors, monomials);
    form->sweeps->reverse(&sweep);
    check_adjoin(form, &sweep.degree, false);
    check_behind(form, index->d, cofactors);
}

enum { CREST_CELLS = 2380 + HOP_SWEEP_PAD }; /* C(14 + 3, 4) */

/* What a crest adds up for lane q, exactly, and of what size: D, the top's sums and its own, adjoints. */
typedef struct crest_sums {
    long double D, D_size, top[SWEEP_D], top_size[SWEEP_D], sum[SWEEP_D], sum_size[SWEEP_D];
    long double out[SWEEP_CELLS], out_size[SWEEP_CELLS];
} crest_sums;

static void crest_exactly(const sweep_form *form, const hop_crest *crest, size_t q, crest_sums *to)
{
    const struct sweep_arrays *s = &sweep_arrays;
    size_t lanes = form->sweeps->lanes, d = crest->degree.d, end = crest->degree.offset[d];
    memset(to, 0, sizeof *to);
    for (size_t b = 0; b < end; b++) {
        long double m = (long double)real_at(form, s->m, b * lanes + q);
        to->out[b] = (long double)real_at(form, crest->lower_weight, q) * (long double)real_at(form, s->self, b);
        to->out_size[b] = fabsl(to->out[b]);
        for (size_t i = 0; i < d && crest->degree.offset[i] <= b; i++) {
            size_t c = crest->degree.lead[i] + b;
            long double x = (long double)real_at(form, s->xi, i * lanes + q), own = (long double)real_at(form, s->a, c);
            long double adjoint = (long double)real_at(form, s->weight, q) * own, size = fabsl(adjoint);
            to->D += own * x * m;
            to->D_size += fabsl(own * x * m);
            for (size_t j = 0; j <= i; j++) {
                long double above = (long double)real_at(form, crest->above, crest->upper_lead[j] + c);
                long double term = (long double)real_at(form, s->xi, j * lanes + q) * above;
                adjoint += term;
                size += fabsl(term);
                to->top[j] += above * x * m;
                to->top_size[j] += fabsl(above * x * m);
            }
            to->sum[i] += adjoint * m;
            to->sum_size[i] += size * fabsl(m);
            to->out[b] += adjoint * x;
            to->out_size[b] += size * fabsl(x);
        }
    }
}

/* Degree k and the one above, against the loops of kernels.h. */
static void crest_case(const sweep_form *form, const hop_multiindex *index, unsigned k, test_rng *rng)
{
    struct sweep_arrays *s = &sweep_arrays;
    static _Alignas(64) double above[CREST_CELLS], lower[HOP_LANES], D[HOP_LANES], top[SWEEP_D * HOP_LANES];
    static crest_sums exact;
    size_t lanes = form->sweeps->lanes, d = index->d, cofactors = hop_multiindex_count(index, k - 1);
    ck_assert_uint_le(hop_multiindex_count(index, k + 1), CREST_CELLS);
    fill_sweep(form, rng, cofactors, hop_multiindex_count(index, k));
    fill_reals(form, rng, CREST_CELLS, above);
    fill_reals(form, rng, lanes, lower);
    memset(D, 0, sizeof D);
    memset(top, 0, sizeof top);
    memset(s->sums, 0, sizeof s->sums);
    hop_crest crest = {.degree = hop_multiindex_degree(index, k),
                       .upper_lead = hop_multiindex_degree(index, k + 1).lead,
                       .xi = s->xi,
                       .m = s->m,
                       .a = s->a,
                       .above = above,
                       .self = s->self,
                       .weight = s->weight,
                       .lower_weight = lower,
                       .out = s->out,
                       .D = D,
                       .top = top,
                       .sums = s->sums,
                       .scratch = s->scratch};
    form->sweeps->crest(&crest);
    check_behind(form, d, cofactors);
    for (size_t q = 0; q < lanes; q++) {
        double n = HOP_SWEEP_DEPTH + 1, deep = (double)d + 3;
        crest_exactly(form, &crest, q, &exact);
        check_sweep_sum(form, "crest's D", d, n, D[q], exact.D, exact.D_size);
        for (size_t i = 0; i < d; i++) {
            check_sweep_sum(form, "crest's top", d, n, top[i * lanes + q], exact.top[i], exact.top_size[i]);
            check_sweep_sum(form, "crest's sum", d, n + deep, s->sums[i * lanes + q], exact.sum[i], exact.sum_size[i]);
        }
        for (size_t b = 0; b < cofactors; b++)
            check_sweep_sum(form, "crest", d, 2 * deep, real_at(form, s->out, b * lanes + q), exact.out[b],
                            exact.out_size[b]);
    }
}

/* More variables than registers hold, and more cofactors than one run. */
START_TEST(crests_against_loops)
{
    const hop_kernels *kernels = tables[_i];
    const sweep_form forms[] = {{kernels->isa, "lanes f32", &kernels->lanes_f32, HOP_U32},
                                {kernels->isa, "lanes f64", &kernels->lanes_f64, HOP_U64}};
    static const struct {
        size_t d;
        unsigned k;
    } shapes[] = {{1, 2}, {2, 3}, {3, 4}, {5, 5}, {8, 4}, {9, 2}, {14, 3}, {19, 2}};
    test_rng rng;
    test_rng_init(&rng, seed, 14);
    for (size_t f = 0; f < 2; f++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes && forms[f].sweeps->crest; i++) {
            hop_multiindex index;
            ck_assert(hop_multiindex_init(&index, shapes[i].d, shapes[i].k + 1, NULL) == HOP_OK);
            crest_case(&forms[f], &index, shapes[i].k, &rng);
            hop_multiindex_fini(&index);
        }
}
END_TEST

START_TEST(sweeps_against_loops)
{
    const hop_kernels *kernels = tables[_i];
    const sweep_form forms[] = {{kernels->isa, "lanes f32", &kernels->lanes_f32, HOP_U32},
                                {kernels->isa, "lanes f64", &kernels->lanes_f64, HOP_U64},
                                {kernels->isa, "one f32", &kernels->one_f32, HOP_U32},
                                {kernels->isa, "one f64", &kernels->one_f64, HOP_U64}};
    test_rng rng;
    test_rng_init(&rng, seed, 10);
    for (size_t f = 0; f < 4; f++) {
        const hop_sweeps *sweeps = forms[f].sweeps;
        ck_assert_uint_le(sweeps->lanes, HOP_LANES);
        ck_assert_uint_le(sweeps->lanes * sweeps->real_bytes, HOP_LANE_BYTES);
        for (size_t d = 1; d <= SWEEP_D; d++) {
            hop_multiindex index;
            ck_assert(hop_multiindex_init(&index, d, 3, NULL) == HOP_OK);
            for (unsigned k = 1; k <= 3; k++)
                sweep_case(&forms[f], &index, k, &rng);
            hop_multiindex_fini(&index);
        }
    }
}
END_TEST

enum { COLUMNS = 133, STRIDE = COLUMNS + 2 };

/* A run of weighted monomials times rows of A; numbers that f32 holds exactly. */
static struct product_arrays {
    _Alignas(64) double m[HOP_PRODUCT_RUN * HOP_LANES + HOP_SWEEP_PAD], a[HOP_PRODUCT_RUN * STRIDE + HOP_SWEEP_PAD];
    _Alignas(64) double weight[HOP_LANES], weighted[HOP_PRODUCT_RUN * HOP_LANES + HOP_SWEEP_PAD];
    double sums[(COLUMNS + 1) * HOP_LANES], start[(COLUMNS + 1) * HOP_LANES];
} product_arrays;

static void product_case(const sweep_form *form, size_t n, size_t columns, size_t stride, test_rng *rng)
{
    struct product_arrays *s = &product_arrays;
    size_t lanes = form->sweeps->lanes;
    memset(s, 0, sizeof *s);
    fill_reals(form, rng, n * lanes, s->m);
    fill_reals(form, rng, n * stride + HOP_SWEEP_PAD, s->a);
    fill_reals(form, rng, lanes, s->weight);
    for (size_t i = 0; i < (columns + 1) * lanes; i++)
        s->sums[i] = s->start[i] = test_rng_normal(rng);
    form->sweeps->weigh(n, s->weight, s->m, s->weighted);
    for (size_t i = 0; i < n * lanes; i++) {
        long double exact = (long double)real_at(form, s->weight, i % lanes) * (long double)real_at(form, s->m, i);
        check_sweep_sum(form, "weigh", columns, 1, real_at(form, s->weighted, i), exact, fabsl(exact));
    }
    hop_product product = {.n = n, .columns = columns, .stride = stride, .m = s->m, .a = s->a, .sums = s->sums};
    form->sweeps->product(&product);
    for (size_t j = 0; j < columns; j++)
        for (size_t q = 0; q < lanes; q++) {
            long double exact = 0, size = 0, start = s->start[j * lanes + q];
            for (size_t b = 0; b < n; b++) {
                long double term =
                    (long double)real_at(form, s->m, b * lanes + q) * (long double)real_at(form, s->a, b * stride + j);
                exact += term;
                size += fabsl(term);
            }
            long double slack = (long double)HOP_U64 * (fabsl(start) + size) / (long double)form->unit;
            check_sweep_sum(form, "product", columns, 1, s->sums[j * lanes + q], start + exact,
                            (long double)(n + 3) * size + slack);
        }
    for (size_t q = 0; q < lanes; q++)
        require(s->sums[columns * lanes + q] - s->start[columns * lanes + q] == 0, "%s %s: wrote past column %zu",
                form->isa, form->name, columns);
}

START_TEST(products_against_loops)
{
    static const size_t runs[] = {0, 1, 7, 8, 53, HOP_PRODUCT_RUN};
    const hop_kernels *kernels = tables[_i];
    const sweep_form forms[] = {{kernels->isa, "lanes f32", &kernels->lanes_f32, HOP_U32},
                                {kernels->isa, "lanes f64", &kernels->lanes_f64, HOP_U64},
                                {kernels->isa, "one f32", &kernels->one_f32, HOP_U32},
                                {kernels->isa, "one f64", &kernels->one_f64, HOP_U64}};
    test_rng rng;
    test_rng_init(&rng, seed, 11);
    for (size_t f = 0; f < 4; f++)
        for (size_t columns = 1; columns <= COLUMNS; columns += columns < 36 ? 1 : 97)
            for (size_t r = 0; r < sizeof runs / sizeof *runs; r++)
                product_case(&forms[f], runs[r], columns, columns + r % 3, &rng);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("kernels");
    TCase *panels = tcase_create("panels");
    tcase_add_test(panels, panel_every_count);
    tcase_add_test(panels, panel_every_batch);
    tcase_add_test(panels, panel_every_width);
    tcase_add_test(panels, panel_random);
    tcase_add_test(panels, top_is_the_panels_own);
    tcase_add_test(panels, scores_are_the_panels_own);
    tcase_add_loop_test(panels, sift_reports_what_reaches_the_threshold, 0, tables_n);
    tcase_add_loop_test(panels, panels_are_added_once, 0, tables_n);
    suite_add_tcase(suite, panels);
    TCase *sweeps = tcase_create("sweeps");
    tcase_add_loop_test(sweeps, sweeps_against_loops, 0, tables_n);
    tcase_add_loop_test(sweeps, crests_against_loops, 0, tables_n);
    tcase_add_loop_test(sweeps, products_against_loops, 0, tables_n);
    suite_add_tcase(suite, sweeps);
    return suite;
}

int main(int argc, char **argv)
{
    seed = test_seed(UINT64_C(0x6b65726e));
    tables_n = kernel_tables_find(tables);
    return hop_check_main(argc, argv, make);
}
