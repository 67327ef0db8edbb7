/*
 * test_separation.c - distances and inner products of all pairs, or of a sample, against plain sums (theory.h).
 */
#include "support/cases.h"
#include "support/check_main.h"
#include "support/executors.h"
#include "support/rng.h"

#include "core/separation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct plain {
    long double nearest;
    double *Delta;
} plain;

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* In long double. */
static plain plain_separation(const float *rows, size_t M, size_t d)
{
    plain out = {.nearest = INFINITY, .Delta = malloc(M * sizeof(double))};
    for (size_t a = 0; a < M; a++) {
        long double Delta = INFINITY;
        for (size_t b = 0; b < M; b++) {
            long double square = 0, inner = 0;
            for (size_t l = 0; l < d && b != a; l++) {
                const long double x = rows[a * d + l], y = rows[b * d + l];
                square += (x - y) * (x - y);
                inner += x * (x - y);
            }
            if (b != a && sqrtl(square) < out.nearest)
                out.nearest = sqrtl(square);
            if (b != a && inner < Delta)
                Delta = inner;
        }
        out.Delta[a] = (double)Delta;
    }
    qsort(out.Delta, M, sizeof *out.Delta, ascending);
    return out;
}

static void separation_case(size_t M, size_t d, double scale, double offset, uint64_t stream)
{
    test_engine engine;
    test_fill_normal(test_data.memories, M * d, scale, offset, stream);
    if (stream % 3 == 1 && M > 3) /* a near duplicate: the last bits of one coordinate */
        for (size_t l = 0; l < d; l++)
            test_data.memories[(M - 2) * d + l] =
                l ? test_data.memories[d + l] : nextafterf(test_data.memories[d], INFINITY);
    if (stream % 3 == 2 && M > 200) /* many */
        memcpy(test_data.memories + 100 * d, test_data.memories, 70 * d * sizeof(float));
    test_start(&engine, M, d, 0, 0, 1);
    const plain truth = plain_separation(test_data.memories, M, d);
    hop_separation *got = NULL, *threaded = NULL;
    ck_assert(hop_separation_new(engine.model, 1, NULL, NULL, &got, &engine.error) == HOP_OK);
    ck_assert_uint_eq(got->n, M);
    ck_assert_double_le(fabs(got->nearest - (double)truth.nearest), 1e-13 * (double)truth.nearest);
    double size = hop_model_norms(engine.model).max_l2;
    for (size_t a = 0; a < M; a++)
        ck_assert_msg(fabs(got->Delta[a] - truth.Delta[a]) <= 1e-13 * size * size, "M %zu d %zu: %.17g, not %.17g", M,
                      d, got->Delta[a], truth.Delta[a]);
    hop_progress progress = {0};
    const hop_executor backwards = {.run = test_run_backwards, .width = 3};
    const hop_executor *executors[] = {&test_on_threads, &backwards};
    for (size_t i = 0; i < 2; i++) {
        ck_assert(hop_separation_new(engine.model, 1, executors[i], &progress, &threaded, &engine.error) == HOP_OK);
        ck_assert_uint_eq(atomic_load(&progress.permille), 1000);
        ck_assert(threaded->nearest <= got->nearest && threaded->nearest >= got->nearest);
        ck_assert_mem_eq(threaded->Delta, got->Delta, M * sizeof *got->Delta);
        hop_separation_free(threaded);
    }
    hop_separation_free(got);
    free(truth.Delta);
    test_engine_fini(&engine);
}

START_TEST(separation_is_that_of_all_pairs)
{
    uint64_t stream = 300;
    const size_t sizes[][2] = {{2, 1}, {3, 2}, {63, 3}, {64, 5}, {65, 17}, {129, 8}, {300, 2}, {300, 40}, {130, 200}};
    const double scales[][2] = {{1, 0}, {1, 1000}, {1e-20, 0}, {1e15, 1e15}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t j = 0; j < sizeof scales / sizeof *scales; j++)
            separation_case(sizes[i][0], sizes[i][1], scales[j][0], scales[j][1], stream++);
}
END_TEST

/*
 * Pairs a few units in the last place apart, each by another number of them: what tells them apart is far below the
 * rounding of the scores, and still the nearest pair is found.
 */
START_TEST(the_nearest_of_near_duplicates)
{
    enum { PAIRS = 100, d = 10 };
    for (uint64_t seed = 0; seed < 20; seed++) {
        test_engine engine;
        test_rng rng;
        test_rng_init(&rng, test_cases_seed, 900 + seed);
        test_fill_normal(test_data.memories, PAIRS * d, 1, seed % 2 ? 30 : 0, 900 + seed);
        for (size_t i = 0; i < PAIRS; i++) {
            float *twin = test_data.memories + (PAIRS + i) * d;
            memcpy(twin, test_data.memories + i * d, d * sizeof *twin);
            for (size_t steps = 20 + test_rng_below(&rng, 40); steps > 0; steps--)
                twin[i % d] = nextafterf(twin[i % d], INFINITY);
        }
        test_start(&engine, (size_t)2 * PAIRS, d, 0, 0, 1);
        const plain truth = plain_separation(test_data.memories, (size_t)2 * PAIRS, d);
        hop_separation *got = NULL;
        ck_assert(hop_separation_new(engine.model, 1, NULL, NULL, &got, &engine.error) == HOP_OK);
        ck_assert_double_le(fabs(got->nearest - (double)truth.nearest), 1e-13 * (double)truth.nearest);
        hop_separation_free(got);
        free(truth.Delta);
        test_engine_fini(&engine);
    }
}
END_TEST

/* A sample: as many rows as the limit allows, one of each slice, each against all; the same for the same seed. */
START_TEST(a_sample_is_of_rows_against_all)
{
    enum { M = 1000, d = 3 };
    test_engine engine;
    test_start_normal(&engine, M, d, 1, 0, 0, 1);
    hop_separation *all = NULL, *part = NULL, *same = NULL, *other = NULL;
    ck_assert(hop_separation_new(engine.model, 5, NULL, NULL, &all, NULL) == HOP_OK);
    const double limit = 100.0 * M * d;
    ck_assert(hop_separation_measure(engine.model, limit, 5, NULL, NULL, &part, NULL) == HOP_OK);
    ck_assert(hop_separation_measure(engine.model, limit, 5, &test_on_threads, NULL, &same, NULL) == HOP_OK);
    ck_assert(hop_separation_measure(engine.model, limit, 6, NULL, NULL, &other, NULL) == HOP_OK);
    ck_assert_uint_eq(part->n, 100);
    ck_assert_double_ge(part->nearest, all->nearest);
    ck_assert_mem_eq(part->Delta, same->Delta, 100 * sizeof(double));
    ck_assert(memcmp(part->Delta, other->Delta, 100 * sizeof(double)) != 0);
    for (size_t i = 0; i < part->n; i++) /* each is one of all, to the bit or nearly: blocks differ */
        for (size_t a = 0;; a++) {
            ck_assert_uint_lt(a, M);
            if (fabs(all->Delta[a] - part->Delta[i]) <= 1e-14)
                break;
        }
    const hop_theory_request request = {.beta = 1, .max_error = 1e-3};
    const size_t bytes = hop_theory_workspace_bytes(engine.model);
    void *workspace = hop_aligned_alloc(bytes);
    hop_theory theory;
    ck_assert(hop_theory_of(engine.model, &request, part, workspace, bytes, &theory, NULL) == HOP_OK);
    ck_assert(!theory.separation.exact && theory.separation.rows == 100 && theory.separation.seed == 5);
    ck_assert_double_eq(theory.separation.R_sep, part->nearest / 2);
    hop_aligned_free(workspace);
    hop_separation_free(other);
    ck_assert(hop_separation_measure(engine.model, 1, 5, NULL, NULL, &other, NULL) == HOP_OK);
    ck_assert_uint_eq(other->n, 64); /* no fewer */
    hop_separation_free(all);
    hop_separation_free(part);
    hop_separation_free(same);
    hop_separation_free(other);
    test_engine_fini(&engine);
}
END_TEST

START_TEST(a_separation_can_be_cancelled)
{
    test_engine engine;
    test_start_normal(&engine, 500, 4, 1, 0, 0, 1);
    hop_progress progress = {0};
    hop_separation *separation = NULL;
    hop_error error = HOP_ERROR_NONE;
    atomic_store(&progress.cancel, true);
    ck_assert(hop_separation_new(engine.model, 0, NULL, &progress, &separation, &error) == HOP_E_CANCELLED);
    ck_assert(separation == NULL && error.text[0]);
    hop_separation_free(NULL);
    ck_assert_uint_ge(hop_separation_build_bytes(engine.model, 4), hop_separation_bytes(engine.model));
    ck_assert_double_gt(hop_separation_seconds(engine.model, 1), 0);
    ck_assert_double_ge(hop_separation_seconds(engine.model, 1), hop_separation_seconds(engine.model, 4));
    test_engine_fini(&engine);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("separation");
    TCase *tcase = tcase_create("pairs");
    tcase_add_test(tcase, separation_is_that_of_all_pairs);
    tcase_add_test(tcase, the_nearest_of_near_duplicates);
    tcase_add_test(tcase, a_sample_is_of_rows_against_all);
    tcase_add_test(tcase, a_separation_can_be_cancelled);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
