/*
 * test_amx.c - what kernels_amx.h rests on: the tile unit's arithmetic bit for bit, and each of the six products of two
 * numbers' planes. Where there is no AMX the program skips itself.
 */
#include <errno.h>
#include <immintrin.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "core/cpu.h"
#include "core/hopfield.h"
#include "core/kernels.h"
#include "support/check_main.h"
#include "support/rng.h"

enum { SIDE = 16, WORDS = 512, COLUMNS = 32, MOST_L = 40, MOST_D = 80 };

static uint64_t seed;

#define require(condition, ...) ((condition) ? (void)0 : ck_abort_msg(__VA_ARGS__))

/* ---- the instruction --------------------------------------------------------------------------------------- */

static float number_of(uint16_t word)
{
    const uint32_t bits = (uint32_t)word << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float flushed(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

/* One element as Intel's manual has it: even and odd products in a chain each, then their sum, then that to c. */
static float element(const uint16_t *left, const uint16_t *right, size_t row, size_t column, float c)
{
    float chain[2] = {0, 0};
    for (size_t k = 0; k < SIDE; k++)
        for (size_t odd = 0; odd < 2; odd++)
            chain[odd] = flushed(fmaf(flushed(number_of(left[row * 32 + 2 * k + odd])),
                                      flushed(number_of(right[k * 32 + 2 * column + odd])), chain[odd]));
    return flushed(flushed(c) + flushed(chain[0] + chain[1]));
}

/* tile 0 += tile 1 x tile 2 */
static void multiply(const uint16_t *left, const uint16_t *right, float *c)
{
    static const struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } three = {.palette = 1, .row_bytes = {64, 64, 64}, .rows = {SIDE, SIDE, SIDE}};
    __asm__ volatile("" : : : "memory");
    _tile_loadconfig(&three);
    _tile_loadd(0, c, 64);
    _tile_loadd(1, left, 64);
    _tile_loadd(2, right, 64);
    _tile_dpbf16ps(0, 1, 2);
    _tile_stored(0, c, 64);
    _tile_release();
    __asm__ volatile("" : : : "memory");
}

/* Finite words with exponents about 0, `spread` binades either way; with a spread of 127 also subnormal ones. */
static uint16_t word(test_rng *rng, unsigned spread)
{
    const unsigned exponent = 127 - spread + (unsigned)test_rng_below(rng, 2 * spread + 1);
    return (uint16_t)((test_rng_below(rng, 2) << 15) | ((exponent > 254 ? 254 : exponent) << 7) |
                      test_rng_below(rng, 128));
}

START_TEST(the_unit_rounds_as_documented)
{
    static _Alignas(64) uint16_t left[WORDS], right[WORDS];
    static _Alignas(64) float c[SIDE * SIDE], start[SIDE * SIDE];
    static const unsigned spreads[] = {0, 2, 12, 60};
    test_rng rng;
    test_rng_init(&rng, seed, 1);
    for (int i = 0; i < (hop_check_fast() ? 200 : 2000); i++) {
        const unsigned spread = spreads[i % 4],
                       low = i % 3 ? 0 : 62 - spread; /* some near the smallest normal number */
        for (size_t w = 0; w < WORDS; w++) {
            left[w] = (uint16_t)(word(&rng, spread) - (low << 7));
            right[w] = (uint16_t)(word(&rng, spread) - (low << 7));
        }
        for (size_t e = 0; e < SIDE * SIDE; e++)
            c[e] = start[e] = i % 2 ? 0 : ldexpf((float)test_rng_normal(&rng), -2 * (int)low);
        multiply(left, right, c);
        for (size_t row = 0; row < SIDE; row++)
            for (size_t column = 0; column < SIDE; column++) {
                const float exact = element(left, right, row, column, start[row * SIDE + column]);
                require(memcmp(&exact, &c[row * SIDE + column], sizeof exact) == 0 ||
                            (exact == 0 && c[row * SIDE + column] == 0),
                        "case %d: %a, by the manual %a", i, c[row * SIDE + column], exact);
            }
    }
}
END_TEST

/* ---- the products ------------------------------------------------------------------------------------------ */

static struct {
    float keys[MOST_D * HOP_PANEL], values[HOP_PANEL * COLUMNS], x[MOST_L * MOST_D], shift[MOST_L], top[MOST_L];
    double D[MOST_L], N[MOST_L * COLUMNS];
    _Alignas(64) unsigned char scratch[1 << 20], queries[1 << 17];
} at;

/* One memory, the first, and L queries; without a shift, or with the maxima as shifts, which stay in at.top. */
static void run(size_t L, size_t d, bool shifted)
{
    const hop_kernels *kernels = &hop_kernels_amx_tiles;
    if (kernels->scratch_f32_bytes(d, COLUMNS) > sizeof at.scratch ||
        kernels->queries_f32_bytes(L, d) > sizeof at.queries)
        abort();
    hop_panel_f32 panel = {.d = d,
                           .L = L,
                           .count = 1,
                           .columns = COLUMNS,
                           .keys = at.keys,
                           .values = at.values,
                           .x = at.x,
                           .shift = shifted ? at.top : NULL,
                           .D = at.D,
                           .N = at.N,
                           .scratch = at.scratch,
                           .queries = at.queries};
    kernels->queries_f32(L, d, at.x, at.queries);
    memset(at.D, 0, sizeof at.D);
    memset(at.N, 0, sizeof at.N);
    for (size_t q = 0; q < L; q++)
        at.top[q] = -INFINITY;
    if (shifted)
        kernels->max_f32(&panel, at.top);
    kernels->panel_f32(&panel);
}

/* A number of 24 random bits. */
static float full(test_rng *rng, int exponent)
{
    const float x = ldexpf((float)(0x800000 + test_rng_below(rng, 0x800000)), exponent - 23);
    return test_rng_below(rng, 2) ? x : -x;
}

/*
 * One coordinate: what is dropped and what is rounded after the large product is at most 4 units in all. Any product
 * left out, or made of the wrong planes, is above that for some of the pairs: the least of them is up to 2^-17.
 */
START_TEST(a_score_has_all_its_products)
{
    test_rng rng;
    test_rng_init(&rng, seed, 2);
    for (size_t d = 1; d <= MOST_D; d++) {
        for (size_t coordinate = 0; coordinate < d; coordinate += 1 + d / 5) {
            memset(&at.keys, 0, sizeof at.keys);
            memset(&at.x, 0, sizeof at.x);
            const float key = full(&rng, (int)test_rng_below(&rng, 20) - 10);
            at.keys[coordinate * HOP_PANEL] = key;
            for (size_t q = 0; q < MOST_L; q++)
                at.x[q * d + coordinate] = full(&rng, (int)test_rng_below(&rng, 20) - 10);
            run(MOST_L, d, true);
            for (size_t q = 0; q < MOST_L; q++) {
                const double exact = (double)key * (double)at.x[q * d + coordinate];
                require(fabs((double)at.top[q] - exact) <= 0x1p-22 * fabs(exact), "d=%zu l=%zu q=%zu: %a, exact %a", d,
                        coordinate, q, (double)at.top[q], exact);
                ck_assert(at.D[q] == 1);
            }
        }
    }
}
END_TEST

/* A weight of 1 leaves a value as it is, to the bit; a value of 1 leaves a weight; other pairs are good to 6 units. */
START_TEST(a_sum_has_all_its_products)
{
    test_rng rng;
    test_rng_init(&rng, seed, 3);
    memset(&at.keys, 0, sizeof at.keys);
    for (int i = 0; i < 400; i++) {
        at.keys[0] = 1;
        for (size_t q = 0; q < MOST_L; q++)
            at.x[q] = i % 2 ? (float)test_rng_between(&rng, -80, 80) : 0;
        at.values[0] = 1;
        for (size_t j = 1; j < COLUMNS; j++)
            at.values[j] = full(&rng, (int)test_rng_below(&rng, 40) - 20);
        run(MOST_L, 1, false);
        for (size_t q = 0; q < MOST_L; q++)
            for (size_t j = 0; j < COLUMNS; j++) {
                const double exact = at.D[q] * (double)at.values[j], got = at.N[q * COLUMNS + j];
                require(fabs(got - exact) <= (j == 0 || i % 2 == 0 ? 0 : 6 * 0x1p-24) * fabs(exact),
                        "case %d q=%zu j=%zu: %a, exact %a", i, q, j, got, exact);
            }
    }
}
END_TEST

/* Products, planes and numbers that underflow, next to others that do not: within what the table says is lost. */
START_TEST(what_underflows_is_within_what_is_said)
{
    const hop_kernels *kernels = &hop_kernels_amx_tiles;
    test_rng rng;
    test_rng_init(&rng, seed, 4);
    for (int i = 0; i < 3000; i++) {
        const size_t d = 1 + test_rng_below(&rng, 40);
        const int from = i % 3 == 0 ? -75 : i % 3 == 1 ? -149 : -130; /* about: products, numbers, both at their ends */
        memset(&at.keys, 0, sizeof at.keys);
        memset(&at.values, 0, sizeof at.values);
        for (size_t l = 0; l < d; l++)
            at.keys[l * HOP_PANEL] = full(&rng, from + (int)test_rng_below(&rng, i % 3 ? 126 : 20));
        for (size_t l = 0; l < MOST_L * d; l++)
            at.x[l] =
                full(&rng, i % 3 == 1 ? -3 - (int)test_rng_below(&rng, 140) : -60 - (int)test_rng_below(&rng, 20));
        for (size_t j = 0; j < COLUMNS; j++)
            at.values[j] = full(&rng, 2 - (int)test_rng_below(&rng, 150));
        run(MOST_L, d, true);
        for (size_t q = 0; q < MOST_L; q++) {
            double exact = 0, size = 0, lost = 0;
            for (size_t l = 0; l < d; l++) {
                const double key = (double)at.keys[l * HOP_PANEL], x = (double)at.x[q * d + l];
                exact += key * x;
                size += fabs(key * x);
                lost += kernels->underflow_f32 * (1 + fabs(key) + fabs(x));
            }
            require(
                fabs((double)at.top[q] - exact) <= fmax((double)d + 1, kernels->score_depth) * 0x1p-24 * size + lost,
                "case %d d=%zu q=%zu: %a, exact %a, size %a, lost %a", i, d, q, (double)at.top[q], exact, size, lost);
            for (size_t j = 0; j < COLUMNS; j++) {
                const double v = (double)at.values[j];
                require(fabs(at.N[q * COLUMNS + j] - v) <= kernels->underflow_f32 * (2 + fabs(v)),
                        "case %d q=%zu j=%zu: %a of %a", i, q, j, at.N[q * COLUMNS + j], v);
            }
        }
    }
}
END_TEST

/* ---- threads ----------------------------------------------------------------------------------------------- */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static bool allowed;
static double seen_by_older;

static void *older(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&gate);
    const bool go = allowed;
    pthread_mutex_unlock(&gate);
    if (!go)
        return NULL;
    memset(&at, 0, sizeof at);
    at.values[0] = 3;
    run(1, 1, false);
    seen_by_older = at.N[0];
    return NULL;
}

/* A thread that was there before the process asked for tiles: without leave it would be killed. */
static bool runs_amx_beside_an_older_thread(void)
{
    pthread_t thread;
    pthread_mutex_lock(&gate);
    if (pthread_create(&thread, NULL, older, NULL))
        return false;
    allowed = hop_cpu_runs_amx();
    pthread_mutex_unlock(&gate);
    pthread_join(thread, NULL);
    return allowed;
}

START_TEST(older_threads_may_use_tiles)
{
    ck_assert(seen_by_older == 3);
}
END_TEST

/* ---- refusal ----------------------------------------------------------------------------------------------- */

/* The last test: what a filter of system calls takes it does not give back. */
START_TEST(a_refusal_leaves_avx512)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {sizeof program / sizeof *program, program};
    hop_error error = HOP_ERROR_NONE;
    ck_assert(hop_isa_choose("amx", &error) == HOP_OK);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) {
        hop_check_note("no filters of system calls here");
        return;
    }
    ck_assert(hop_isa_choose("amx", &error) == HOP_E_UNKNOWN);
    ck_assert(hop_isa_choose("auto", &error) == HOP_OK);
    ck_assert_str_eq(hop_isa_name(), "avx512");
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("amx");
    TCase *tcase = tcase_create("tiles");
    tcase_add_test(tcase, the_unit_rounds_as_documented);
    tcase_add_test(tcase, a_score_has_all_its_products);
    tcase_add_test(tcase, a_sum_has_all_its_products);
    tcase_add_test(tcase, what_underflows_is_within_what_is_said);
    tcase_add_test(tcase, older_threads_may_use_tiles);
    tcase_add_test(tcase, a_refusal_leaves_avx512);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    seed = test_seed(UINT64_C(0x616d78));
    if (!runs_amx_beside_an_older_thread()) {
        printf("1..0 # SKIP no AMX\n");
        return 0;
    }
    return hop_check_main(argc, argv, make);
}
