/*
 * test_moments.c - feature maps against sums of long double: every coefficient within the roundings that its maps
 * count, the same bits whoever builds them, and the kernels they are built by.
 */
#include "core/kernel_tables.h"
#include "support/cases.h"
#include "support/check_main.h"
#include "support/executors.h"
#include "support/rng.h"

#include "core/moments.h"
#include "core/rounding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- coefficients ---------------------------------------------------------------------------------------- */

enum { CELLS_MAX = 8000, VALUES_MAX = 3000 };

/* Means of u^alpha / alpha! and of its absolute value over a model's rows, and the same times w, in long double. */
static struct oracle {
    long double monomial[CELLS_MAX], factorial[CELLS_MAX], a[CELLS_MAX], a_abs[CELLS_MAX];
    long double A[VALUES_MAX], A_abs[VALUES_MAX];
} oracle;

static void add_memory(const hop_model *model, const hop_multiindex *index, size_t mu, size_t r, size_t p)
{
    const float *key = model->keys + mu * model->d, *value = model->values + mu * model->p;
    oracle.monomial[0] = 1;
    for (unsigned k = 1; k <= index->g; k++)
        for (size_t i = 0; i < index->d; i++) {
            long double u = ((long double)key[i] - model->key.centre[i]) * model->key.inverse[i];
            size_t from = hop_multiindex_offset(index, k - 1, i), at = index->start[k] + index->lead[k * index->d + i];
            for (size_t c = 0; c < hop_multiindex_suffix(index, k - 1, i); c++)
                oracle.monomial[at + from + c] = u * oracle.monomial[index->start[k - 1] + from + c];
        }
    for (size_t c = 0; c < index->start[index->g + 1]; c++) {
        oracle.a[c] += oracle.monomial[c];
        oracle.a_abs[c] += fabsl(oracle.monomial[c]);
    }
    for (size_t c = 0; c < r; c++)
        for (size_t j = 0; j < p; j++) {
            long double w = ((long double)value[j] - model->value.centre[j]) * model->value.inverse[j];
            oracle.A[c * p + j] += w * oracle.monomial[c];
            oracle.A_abs[c * p + j] += fabsl(w * oracle.monomial[c]);
        }
}

static void must_be_near(double computed, long double exact, long double mass, double roundings, const char *what,
                         size_t at)
{
    long double allowed = hop_gamma(roundings, HOP_U64) * mass + 1e-300L;
    require(fabsl((long double)computed - exact) <= allowed, "%s[%zu] = %.17g is off by %Lg, %g roundings allow %Lg",
            what, at, computed, fabsl((long double)computed - exact), roundings, allowed);
}

/* Every coefficient of the maps that `model` should have. */
static void must_be_moments(const hop_features *features, const hop_model *model)
{
    const hop_multiindex *index = &features->index;
    size_t cells = index->start[index->g + 1], r = index->start[index->g], p = features->A ? model->p : 0;
    ck_assert(cells <= CELLS_MAX && r * p <= VALUES_MAX);
    memset(&oracle, 0, sizeof oracle);
    for (size_t mu = 0; mu < model->M; mu++)
        add_memory(model, index, mu, r, p);
    static double factorials[CELLS_MAX];
    static unsigned char multiplicity[CELLS_MAX];
    hop_multiindex_factorials(index, factorials, multiplicity);
    for (size_t c = 0; c < cells; c++) {
        long double share = (long double)factorials[c] / (long double)model->M;
        must_be_near(features->a[c], oracle.a[c] * share, oracle.a_abs[c] * share, features->build_roundings, "a", c);
        for (size_t j = 0; c < r && j < p; j++)
            must_be_near(features->A[c * p + j], oracle.A[c * p + j] * share, oracle.A_abs[c * p + j] * share,
                         features->build_roundings, "A", c * p + j);
    }
}

typedef struct map_shape {
    size_t M, d, p;
    unsigned g;
} map_shape;

static const map_shape shapes[] = {{1, 1, 0, 1},    {300, 1, 2, 23}, {257, 2, 0, 11}, {500, 3, 3, 7},
                                   {241, 4, 0, 8},  {1000, 5, 1, 5}, {66, 7, 7, 4},   {5000, 8, 0, 3},
                                   {333, 16, 0, 3}, {40, 16, 13, 2}, {129, 33, 0, 2}, {17, 70, 4, 1}};

START_TEST(coefficients_are_moments)
{
    const map_shape *shape = &shapes[_i];
    const hop_kernels *tables[KERNEL_TABLES_MAX];
    int n = kernel_tables_find(tables);
    test_fill_normal(test_data.memories, shape->M * shape->d, 0.7, 3, 70);
    test_fill_normal(test_data.values, shape->M * shape->p, 2, -1, 71);
    for (int i = 0; i < n; i++) {
        test_engine engine;
        hop_features *features = NULL;
        ck_assert(hop_isa_choose(tables[i]->isa, NULL) == HOP_OK);
        test_start(&engine, shape->M, shape->d, shape->p, 0, 1);
        ck_assert(hop_features_build(engine.model, shape->g, NULL, NULL, &features, NULL) == HOP_OK);
        must_be_moments(features, engine.model);
        hop_features_free(features);
        test_engine_fini(&engine);
    }
}
END_TEST

/* ---- executors ------------------------------------------------------------------------------------------- */

/* M is large enough for several shares. */
static void width_case(size_t M, size_t d, size_t p, unsigned g)
{
    test_engine engine;
    hop_features *alone = NULL;
    test_fill_normal(test_data.memories, M * d, 1, 0, 72);
    test_fill_normal(test_data.values, M * p, 1, 0, 73);
    test_start(&engine, M, d, p, 0, 1);
    ck_assert(hop_features_build(engine.model, g, NULL, NULL, &alone, NULL) == HOP_OK);
    size_t bytes = hop_features_bytes(alone), r = alone->index.start[g + 1];
    for (size_t width = 1; width <= 9; width += 2) {
        hop_executor executor = {.run = test_run_backwards, .width = width};
        hop_features *together = NULL;
        ck_assert(hop_features_build(engine.model, g, &executor, NULL, &together, NULL) == HOP_OK);
        ck_assert_uint_eq(hop_features_bytes(together), bytes);
        ck_assert_mem_eq(together->a, alone->a, alone->index.start[g + 2] * sizeof(double));
        if (p)
            ck_assert_mem_eq(together->A, alone->A, r * p * sizeof(double));
        hop_features_free(together);
    }
    hop_features_free(alone);
    test_engine_fini(&engine);
}

/* Bit by bit: how many work on the sums does not show in them. */
START_TEST(maps_do_not_depend_on_the_width)
{
    width_case(30000, 2, 0, 6);
    width_case(21000, 3, 2, 3);
    width_case(5000, 4, 0, 3);
    width_case(10, 4, 0, 3);
}
END_TEST

/* ---- degrees --------------------------------------------------------------------------------------------- */

START_TEST(degrees_stay_within_their_budgets)
{
    test_engine engine;
    test_start_normal(&engine, 8000, 4, 1, 0, 0, 1);
    unsigned free_choice = hop_features_degree_within(engine.model, SIZE_MAX, (double)INFINITY);
    unsigned usual = hop_features_default_degree(engine.model);
    ck_assert_uint_gt(usual, 1);
    ck_assert_uint_ge(free_choice, usual);
    ck_assert_uint_eq(hop_features_degree_within(engine.model, 0, (double)INFINITY), 0);
    ck_assert_uint_eq(hop_features_degree_within(engine.model, SIZE_MAX, 0), 0);
    for (unsigned g = 1; g <= usual; g++) {
        size_t bytes = hop_features_bytes_estimate(engine.model, g);
        double seconds = hop_features_build_seconds(engine.model, g);
        ck_assert_uint_eq(hop_features_degree_within(engine.model, bytes, (double)INFINITY), g);
        ck_assert_uint_eq(hop_features_degree_within(engine.model, bytes - 1, (double)INFINITY), g - 1);
        ck_assert_uint_eq(hop_features_degree_within(engine.model, SIZE_MAX, seconds), g);
        ck_assert_uint_eq(hop_features_degree_within(engine.model, SIZE_MAX, seconds * 0.99), g - 1);
    }
    ck_assert(hop_features_bytes_estimate(engine.model, usual) <= 8000 * 4 * sizeof(float));
    test_engine_fini(&engine);
}
END_TEST

/* ---- kernels --------------------------------------------------------------------------------------------- */

enum { LEFT_MAX = 9, RIGHT_MAX = 14, STRIDE_MAX = 64, AT_STEP = 20 };

static struct rows {
    _Alignas(64) double left[LEFT_MAX * STRIDE_MAX], right[RIGHT_MAX * STRIDE_MAX], out[RIGHT_MAX * STRIDE_MAX];
    double sums[LEFT_MAX * AT_STEP];
} rows;

static void products_case(const hop_kernels *kernels, size_t n_left, size_t n_right, size_t stride)
{
    size_t at[LEFT_MAX];
    const double *left[LEFT_MAX];
    for (size_t j = 0; j < LEFT_MAX; j++)
        left[j] = rows.left + j * stride;
    for (size_t j = 0; j < n_left; j++)
        at[j] = (n_left - 1 - j) * AT_STEP;
    for (size_t c = 0; c < LEFT_MAX * AT_STEP; c++)
        rows.sums[c] = (double)c;
    kernels->moment_products(&(hop_row_products){.n_left = n_left,
                                                 .n_right = n_right,
                                                 .stride = stride,
                                                 .left = left,
                                                 .right = rows.right,
                                                 .at = at,
                                                 .sums = rows.sums});
    for (size_t j = 0; j < LEFT_MAX; j++)
        for (size_t c = 0; c < AT_STEP; c++) {
            size_t cell = j < n_left ? at[j] + c : j * AT_STEP + c;
            long double sum = 0, mass = 0;
            for (size_t m = 0; m < stride && j < n_left && c < n_right; m++) {
                long double term = (long double)rows.left[j * stride + m] * (long double)rows.right[c * stride + m];
                sum += term;
                mass += fabsl(term);
            }
            long double off = fabsl((long double)rows.sums[cell] - (long double)cell - sum);
            long double allowed =
                mass > 0 ? hop_gamma((double)stride / 2 + 2, HOP_U64) * (mass + (long double)cell) : 0;
            require(off <= allowed, "%s %zu x %zu x %zu: sum %zu of row %zu is off by %Lg, not %Lg", kernels->isa,
                    n_left, n_right, stride, c, j, off, allowed);
        }
}

START_TEST(row_kernels_against_loops)
{
    const hop_kernels *tables[KERNEL_TABLES_MAX];
    int n = kernel_tables_find(tables);
    test_rng rng;
    test_rng_init(&rng, test_cases_seed, 74);
    for (size_t i = 0; i < LEFT_MAX * STRIDE_MAX; i++)
        rows.left[i] = test_rng_normal(&rng);
    for (size_t i = 0; i < RIGHT_MAX * STRIDE_MAX; i++)
        rows.right[i] = test_rng_normal(&rng);
    for (int i = 0; i < n; i++)
        for (size_t stride = 16; stride <= STRIDE_MAX; stride *= 2) {
            for (size_t left = 0; left <= LEFT_MAX; left++)
                for (size_t right = 0; right <= RIGHT_MAX; right++)
                    products_case(tables[i], left, right, stride);
            memset(rows.out, 0, sizeof rows.out);
            tables[i]->moment_multiply(RIGHT_MAX - 1, stride, rows.left, rows.right, rows.out);
            for (size_t c = 0; c < RIGHT_MAX * stride; c++) {
                double product = c < (RIGHT_MAX - 1) * stride ? rows.left[c % stride] * rows.right[c] : 0;
                require(fabs(rows.out[c] - product) <= 0, "%s: product %zu", tables[i]->isa, c);
            }
        }
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("moments");
    TCase *moments = tcase_create("moments");
    tcase_add_loop_test(moments, coefficients_are_moments, 0, sizeof shapes / sizeof *shapes);
    tcase_add_test(moments, maps_do_not_depend_on_the_width);
    tcase_add_test(moments, degrees_stay_within_their_budgets);
    tcase_add_test(moments, row_kernels_against_loops);
    suite_add_tcase(suite, moments);
    return suite;
}

int main(int argc, char **argv)
{
    test_cases_seed = test_seed(test_cases_seed);
    return hop_check_main(argc, argv, make);
}
