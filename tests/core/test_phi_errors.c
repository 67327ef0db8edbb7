/*
 * test_phi_errors.c - how near random features come to dense: as near as their standard error says, the nearer the more
 * there are, and another way for each seed.
 */
#include "core/phi_cases.h"
#include "support/check_main.h"

#include <math.h>
#include <string.h>

typedef struct spread {
    double error, stated; /* root mean squares over seeds and rows: of z less dense, and of standard_error */
    double within;        /* share of rows within 3 standard errors */
} spread;

static spread spread_of(const set_shape *of, double beta, size_t m)
{
    test_engine engine;
    size_t seeds = hop_check_fast() ? 60 : 300, held = 0;
    double squares = 0, stated = 0;
    double truth[L];
    start(&engine, of, HOP_DOT, 9700);
    ck_assert_uint_eq(engine.oracle.p, 1);
    for (size_t q = 0; q < L; q++) {
        ck_assert(test_engine_truth(&engine, beta, queries + q * of->d));
        truth[q] = (double)engine.truth->z[0];
    }
    for (uint64_t seed = 0; seed < seeds; seed++) {
        hop_request request = request_of(HOP_RANDOM_FEATURES, beta, m, seed);
        hop_phi_sums *sums = sums_of(&engine, &request, NULL);
        test_must_retrieve(&engine, &request, L, queries);
        for (size_t q = 0; q < L; q++) {
            double error = fabs((double)engine.answer.z[q] - truth[q]);
            squares += error * error;
            stated += engine.answer.standard_error[q] * engine.answer.standard_error[q];
            held += error <= 3 * engine.answer.standard_error[q];
        }
        hop_phi_sums_free(sums);
    }
    test_engine_fini(&engine);
    double n = (double)(seeds * L);
    return (spread){sqrt(squares / n), sqrt(stated / n), (double)held / n};
}

/* beta |x - c + y|^2 of about 1 and below: where random features are any good. */
START_TEST(standard_errors_are_about_right)
{
    static const struct {
        size_t d, m;
        double beta;
    } cases[] = {{4, 1000, 0.1}, {16, 45, 0.03},   {16, 100, 0.03},   {16, 160, 0.03}, {16, 800, 0.03}, {64, 267, 0.01},
                 {64, 64, 0.01}, {64, 1500, 0.01}, {100, 300, 0.005}, {1, 50, 0.05},   {33, 132, 0.02}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        spread at = spread_of(&(set_shape){60, cases[i].d, 1, 1, 0.2}, cases[i].beta, cases[i].m);
        hop_check_note("d %zu m %zu: off by %.3g, standard error %.3g, %.1f %% within 3", cases[i].d, cases[i].m,
                       at.error, at.stated, 100 * at.within);
        ck_assert_msg(at.stated > at.error / 2 && at.stated < at.error * 2, "d %zu m %zu: off by %g, said %g",
                      cases[i].d, cases[i].m, at.error, at.stated);
        ck_assert_msg(at.within > 0.9, "d %zu m %zu: %g", cases[i].d, cases[i].m, at.within);
    }
}
END_TEST

/*
 * Sixteen times the features, a quarter of the error; and where memories and queries are 64 off in every coordinate,
 * the same: features about 0 instead of the mean would have a variance of e^{beta 64^2} or so.
 */
START_TEST(more_features_come_nearer_to_dense)
{
    for (double offset = 0; offset < 100; offset += 64) {
        spread few = spread_of(&(set_shape){60, 8, 1, 0.5, offset}, 0.1, 64);
        spread many = spread_of(&(set_shape){60, 8, 1, 0.5, offset}, 0.1, 1024);
        hop_check_note("offset %g: off by %.3g, then by %.3g", offset, few.error, many.error);
        ck_assert(many.error > few.error / 6 && many.error < few.error / 2.7 && many.error < 0.02);
    }
}
END_TEST

START_TEST(seeds_differ_and_repeat)
{
    test_engine engine;
    float once[L], again[L], other[L];
    start(&engine, &(set_shape){50, 6, 1, 0.4, 0}, HOP_DOT, 9800);
    float *const kept[] = {once, again, other};
    for (size_t i = 0; i < 3; i++) {
        hop_request request = request_of(HOP_RANDOM_FEATURES, 1, 0, i < 2 ? UINT64_MAX : UINT64_MAX - 1);
        hop_phi_sums *sums = sums_of(&engine, &request, NULL);
        test_must_retrieve(&engine, &request, L, queries);
        memcpy(kept[i], engine.answer.z, sizeof once);
        hop_phi_sums_free(sums);
    }
    ck_assert_mem_eq(once, again, sizeof once);
    for (size_t q = 0; q < L; q++)
        ck_assert(once[q] != other[q]);
    test_engine_fini(&engine);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("phi errors");
    TCase *tcase = tcase_create("nearness");
    tcase_add_test(tcase, standard_errors_are_about_right);
    tcase_add_test(tcase, more_features_come_nearer_to_dense);
    tcase_add_test(tcase, seeds_differ_and_repeat);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
