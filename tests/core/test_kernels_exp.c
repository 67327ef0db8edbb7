/*
 * test_kernels_exp.c - the 2^t of every table of kernels that this machine runs, against long double.
 *
 * It is read through the panel kernel: one coordinate, the query 1, the identity as values. Both paths of a table are
 * seen, with and without a shift. HOPFIELDD_TEST_EXHAUSTIVE=1 walks every f32 in [-150, 127], which takes minutes.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernel_tables.h"
#include "support/check_main.h"
#include "support/rng.h"

static const hop_kernels *tables[KERNEL_TABLES_MAX];
static int tables_n;
static uint64_t seed;

static _Alignas(64) unsigned char scratch[1 << 19], queries[1 << 14];

/* Largest relative error seen, and where. */
typedef struct worst {
    double error, at;
} worst;

static float exp_identity_f32[HOP_PANEL * HOP_PANEL];
static double exp_identity_f64[HOP_PANEL * HOP_PANEL];

/* e of 64 arguments: one coordinate, the query 1, the identity as values. */
static void exp_f32(const hop_kernels *kernels, const float *t, bool guarded, double *e)
{
    const float one = 1.0f, zero = 0.0f;
    double D = 0.0;
    memset(e, 0, HOP_PANEL * sizeof(double));
    hop_panel_f32 panel = {.d = 1,
                           .L = 1,
                           .count = HOP_PANEL,
                           .columns = HOP_PANEL,
                           .keys = t,
                           .values = exp_identity_f32,
                           .x = &one,
                           .shift = guarded ? &zero : NULL,
                           .D = &D,
                           .N = e,
                           .scratch = scratch,
                           .queries = queries};
    if (kernels->queries_f32)
        kernels->queries_f32(1, 1, &one, queries);
    kernels->panel_f32(&panel);
}

static void exp_f64(const hop_kernels *kernels, const double *t, bool guarded, double *e)
{
    const double one = 1.0, zero = 0.0;
    double D = 0.0;
    memset(e, 0, HOP_PANEL * sizeof(double));
    hop_panel_f64 panel = {1,  1, HOP_PANEL, HOP_PANEL, t, exp_identity_f64, &one, guarded ? &zero : NULL,
                           &D, e, scratch};
    kernels->panel_f64(&panel);
}

/* Arguments collected 64 at a time; both paths of a table see each, where the path allows it. */
typedef struct exp_batch {
    const hop_kernels *kernels;
    size_t n;
    float narrow[HOP_PANEL];
    double broad[HOP_PANEL];
    worst worst;
} exp_batch;

static void judge(exp_batch *batch, double t, double e, double low, double limit)
{
    if (t < low) {
        require(e == 0.0, "%s: 2^%a = %a", batch->kernels->isa, t, e);
        return;
    }
    double error = fabs(e / exp2(t) - 1.0); /* a first look; the C library's f64 is good to about 2^-52 */
    if (error + 0x1p-51 <= batch->worst.error && error < limit / 2)
        return;
    error = (double)fabsl((long double)e / exp2l((long double)t) - 1.0L);
    require(error <= limit, "%s: 2^%a = %a, relative error %.4g, allowed %.4g", batch->kernels->isa, t, e, error,
            limit);
    if (error > batch->worst.error)
        batch->worst = (worst){error, t};
}

static void close_f32(exp_batch *batch)
{
    double e[HOP_PANEL];
    bool small = true;
    for (size_t m = batch->n; m < HOP_PANEL; m++)
        batch->narrow[m] = 0.0f;
    for (size_t m = 0; m < HOP_PANEL; m++)
        small = small && fabsf(batch->narrow[m]) <= 117.0f;
    for (int guarded = small ? 0 : 1; guarded < 2; guarded++) {
        exp_f32(batch->kernels, batch->narrow, guarded, e);
        for (size_t m = 0; m < batch->n; m++)
            judge(batch, (double)batch->narrow[m], e[m], -126.0, HOP_EXP_F32_ERROR);
    }
    batch->n = 0;
}

static void try_f32(exp_batch *batch, float t)
{
    if (!(t <= 127.0f) || (batch->kernels->underflow_f32 > 0x1p-150 && !(fabsf(t) <= 88.0f)))
        return; /* not in the range, or the weight's last bits may underflow on their way into N */
    batch->narrow[batch->n++] = t;
    if (batch->n == HOP_PANEL)
        close_f32(batch);
}

static void close_f64(exp_batch *batch)
{
    double e[HOP_PANEL];
    bool small = true;
    for (size_t m = batch->n; m < HOP_PANEL; m++)
        batch->broad[m] = 0.0;
    for (size_t m = 0; m < HOP_PANEL; m++)
        small = small && fabs(batch->broad[m]) <= 1010.0;
    for (int guarded = small ? 0 : 1; guarded < 2; guarded++) {
        exp_f64(batch->kernels, batch->broad, guarded, e);
        for (size_t m = 0; m < batch->n; m++)
            judge(batch, batch->broad[m], e[m], -1022.0, HOP_EXP_F64_ERROR);
    }
    batch->n = 0;
}

static void try_f64(exp_batch *batch, double t)
{
    if (!(t <= 1023.0))
        return;
    batch->broad[batch->n++] = t;
    if (batch->n == HOP_PANEL)
        close_f64(batch);
}

/* Each binade, the ends, both sides of each half integer, and everything below the range. */
START_TEST(exp_grid_f32)
{
    exp_batch batch = {.kernels = tables[_i]};
    const float ends[] = {0.0f,        -0.0f,       117.0f,   -117.0f,   126.5f,    127.0f, -126.0f,
                          -125.99999f, -126.00001f, -126.5f,  -149.0f,   -150.0f,   -1e4f,  -FLT_MAX,
                          -INFINITY,   FLT_MIN,     -FLT_MIN, 0x1p-149f, -0x1p-149f};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        try_f32(&batch, ends[i]);
    close_f32(&batch); /* these hold the batch to the guarded path; the others follow without them */
    for (int k = -254; k <= 254; k++) {
        const float middle = (float)((double)k * 0.5);
        float up = middle, down = middle;
        for (int step = 0; step < 100; step++) {
            try_f32(&batch, up);
            try_f32(&batch, down);
            up = nextafterf(up, INFINITY);
            down = nextafterf(down, -INFINITY);
        }
    }
    for (int binade = -149; binade <= 6; binade++)
        for (int sign = -1; sign <= 1; sign += 2)
            for (int i = 0; i < 4096; i++)
                try_f32(&batch, (float)sign * ldexpf(1.0f + (float)i * 0x1p-12f, binade));
    test_rng rng;
    test_rng_init(&rng, seed, 8);
    for (int i = 0; i < 1000000; i++)
        try_f32(&batch, (float)test_rng_between(&rng, -117.0, 117.0));
    close_f32(&batch);
    hop_check_note("exp f32 %s: largest relative error 2^%.3f at %a", tables[_i]->isa, log2(batch.worst.error),
                   batch.worst.at);
}
END_TEST

START_TEST(exp_grid_f64)
{
    exp_batch batch = {.kernels = tables[_i]};
    const double ends[] = {0.0,
                           -0.0,
                           1010.0,
                           -1010.0,
                           1022.5,
                           1023.0,
                           -1022.0,
                           -0x1.ff00000000001p9,
                           -0x1.fefffffffffffp9,
                           -1023.0,
                           -1075.0,
                           -1e5,
                           -DBL_MAX,
                           -INFINITY,
                           DBL_MIN,
                           -DBL_MIN,
                           0x1p-1074,
                           -0x1p-1074};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        try_f64(&batch, ends[i]);
    close_f64(&batch);
    for (int k = -2044; k <= 2044; k++) {
        const double middle = (double)k * 0.5;
        double up = middle, down = middle;
        for (int step = 0; step < 20; step++) {
            try_f64(&batch, up);
            try_f64(&batch, down);
            up = nextafter(up, INFINITY);
            down = nextafter(down, -INFINITY);
        }
    }
    for (int binade = -1074; binade <= 9; binade++)
        for (int sign = -1; sign <= 1; sign += 2)
            for (int i = 0; i < 256; i++)
                try_f64(&batch, sign * ldexp(1.0 + i * 0x1p-8, binade));
    test_rng rng;
    test_rng_init(&rng, seed, 9);
    for (int i = 0; i < 1000000; i++)
        try_f64(&batch, test_rng_between(&rng, i % 2 ? -1010.0 : -2.0, i % 2 ? 1010.0 : 2.0));
    close_f64(&batch);
    hop_check_note("exp f64 %s: largest relative error 2^%.3f at %a", tables[_i]->isa, log2(batch.worst.error),
                   batch.worst.at);
}
END_TEST

START_TEST(exp_exhaustive_f32)
{
    exp_batch batch = {.kernels = tables[_i]};
    const char *wanted = getenv("HOPFIELDD_TEST_EXHAUSTIVE");
    if (!wanted || strcmp(wanted, "1")) {
        hop_check_note("exp f32 %s: HOPFIELDD_TEST_EXHAUSTIVE=1 walks every argument", tables[_i]->isa);
        return;
    }
    for (int sign = 0; sign < 2; sign++) {
        uint32_t last, first = sign ? UINT32_C(0x80000000) : 0;
        const float end = sign ? -150.0f : 127.0f;
        memcpy(&last, &end, sizeof last);
        for (uint32_t bits = first; bits <= last; bits++) {
            float t;
            memcpy(&t, &bits, sizeof t);
            try_f32(&batch, t);
        }
    }
    close_f32(&batch);
    hop_check_note("exp f32 %s, every argument in [-150, 127]: largest relative error 2^%.4f at %a", tables[_i]->isa,
                   log2(batch.worst.error), batch.worst.at);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("exp");
    TCase *grids = tcase_create("grids");
    tcase_add_loop_test(grids, exp_grid_f32, 0, tables_n);
    tcase_add_loop_test(grids, exp_grid_f64, 0, tables_n);
    suite_add_tcase(suite, grids);
    TCase *exhaustive = tcase_create("exhaustive");
    tcase_set_timeout(exhaustive, 3600);
    tcase_add_loop_test(exhaustive, exp_exhaustive_f32, 0, tables_n);
    suite_add_tcase(suite, exhaustive);
    return suite;
}

int main(int argc, char **argv)
{
    for (size_t m = 0; m < HOP_PANEL; m++)
        exp_identity_f64[m * HOP_PANEL + m] = exp_identity_f32[m * HOP_PANEL + m] = 1.0f;
    seed = test_seed(UINT64_C(0x657870));
    tables_n = kernel_tables_find(tables);
    return hop_check_main(argc, argv, make);
}
