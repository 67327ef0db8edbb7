/*
 * test_retrieve.c - named cases of retrieval: answers that must be exact, and adversarial sets with known answers.
 * Degrees, batches and auto are in test_maps.c, steps and returns in test_returns.c, refused arguments in
 * test_arguments.c, bounds over many random sets in test_soundness.c.
 */
#include "support/cases.h"
#include "support/check_main.h"
#include "support/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const hop_mode modes[] = {HOP_AUTO, HOP_DENSE, HOP_ALMOST_LINEAR};

/* ---- exact answers ------------------------------------------------------------------------------------- */

START_TEST(one_memory_is_the_answer)
{
    test_engine engine;
    test_start_normal(&engine, 1, 7, 1, 0, 3, 2);
    float x[14];
    test_fill_normal(x, 14, 2, 0, 1);
    for (size_t i = 0; i < 3; i++) {
        hop_request request = test_best_effort(1.5, modes[i], 0);
        test_must_retrieve(&engine, &request, 2, x);
        for (size_t q = 0; q < 2; q++) {
            ck_assert(memcmp(engine.answer.z + 7 * q, test_data.memories, 7 * sizeof(float)) == 0);
            ck_assert(engine.answer.error_bound[q] == 0);
        }
        test_must_hold(&engine, &request, 2, x);
    }
    test_engine_fini(&engine);
}
END_TEST

START_TEST(equal_memories_are_the_answer)
{
    enum { M = 130, d = 5 };
    test_fill_normal(test_data.memories, d, 1, 0, 2);
    for (size_t mu = 1; mu < M; mu++)
        memcpy(test_data.memories + mu * d, test_data.memories, d * sizeof(float));
    test_engine engine;
    test_start(&engine, M, d, 0, 3, 1);
    float x[d];
    test_fill_normal(x, d, 10, 0, 3);
    for (size_t i = 0; i < 3; i++) {
        hop_request request = test_best_effort(2, modes[i], 0);
        test_must_retrieve(&engine, &request, 1, x);
        ck_assert(memcmp(engine.answer.z, test_data.memories, d * sizeof(float)) == 0);
        ck_assert(engine.answer.error_bound[0] == 0);
        test_must_hold(&engine, &request, 1, x);
    }
    test_engine_fini(&engine);
}
END_TEST

START_TEST(a_constant_coordinate_is_returned_as_stored)
{
    enum { M = 100, d = 6, p = 4 };
    test_fill_normal(test_data.memories, M * d, 1, 0, 4);
    test_fill_normal(test_data.values, M * p, 1, 0, 5);
    for (size_t mu = 0; mu < M; mu++)
        test_data.values[mu * p + 2] = 0.1f;
    test_engine engine;
    test_start(&engine, M, d, p, 3, 1);
    float x[d];
    test_fill_normal(x, d, 1, 0, 6);
    for (size_t i = 0; i < 3; i++) {
        hop_request request = test_best_effort(0.5, modes[i], 0);
        test_must_retrieve(&engine, &request, 1, x);
        ck_assert(engine.answer.z[2] >= 0.1f && engine.answer.z[2] <= 0.1f);
        ck_assert(engine.answer.error_bound[0] > 0);
        test_must_hold(&engine, &request, 1, x);
    }
    test_engine_fini(&engine);
}
END_TEST

START_TEST(constant_values_have_no_error)
{
    enum { M = 70, d = 3, p = 2 };
    test_fill_normal(test_data.memories, M * d, 1, 0, 7);
    for (size_t i = 0; i < M * p; i++)
        test_data.values[i] = i % p ? -3.7f : 1e20f;
    test_engine engine;
    test_start(&engine, M, d, p, 2, 1);
    const float x[d] = {1, 2, 3};
    for (size_t i = 0; i < 3; i++) {
        hop_request request = test_request(1, modes[i], 0);
        test_must_retrieve(&engine, &request, 1, x);
        ck_assert(engine.answer.error_bound[0] == 0);
        ck_assert(memcmp(engine.answer.z, test_data.values, sizeof(float) * p) == 0);
    }
    test_engine_fini(&engine);
}
END_TEST

/* t = 0 everywhere: the mean of the values, log M / beta, and nothing to approximate at any degree. */
START_TEST(a_zero_query_answers_the_mean)
{
    enum { M = 333, d = 4 };
    test_engine engine;
    test_start_normal(&engine, M, d, 1, 0, 2, 1);
    const float x[d] = {0};
    for (size_t i = 0; i < 3; i++) {
        hop_request request = test_best_effort(3, modes[i], 1e-6);
        test_must_retrieve(&engine, &request, 1, x);
        ck_assert_double_le(engine.answer.error_bound[0], 1e-6);
        for (size_t l = 0; l < d; l++) {
            double mean = 0;
            for (size_t mu = 0; mu < M; mu++)
                mean += (double)test_data.memories[mu * d + l] / M;
            ck_assert_double_le(fabs(mean - (double)engine.answer.z[l]), 1e-7);
        }
        ck_assert_double_le(fabs(engine.answer.log_sum_exp[0] - log(M) / 3), 1e-6);
        ck_assert_double_le(fabs(engine.answer.energy[0] + log(M) / 3), 1e-6);
        test_must_hold(&engine, &request, 1, x);
    }
    test_engine_fini(&engine);
}
END_TEST

/* Two memories +-1 with weights s, 1 - s: Z = tanh(beta x). */
START_TEST(two_memories_give_tanh)
{
    test_data.memories[0] = 1;
    test_data.memories[1] = -1;
    test_engine engine;
    test_start(&engine, 2, 1, 0, 8, 1);
    for (double t = -30; t <= 30; t += 0.37) {
        const float x = (float)t;
        for (size_t i = 0; i < 3; i++) {
            hop_request request = test_best_effort(0.25, modes[i], 1e-7);
            test_must_retrieve(&engine, &request, 1, &x);
            double distance = fabs(tanh(0.25 * (double)x) - (double)engine.answer.z[0]);
            ck_assert_double_le(distance, engine.answer.error_bound[0] + 1e-15);
            if (modes[i] != HOP_ALMOST_LINEAR)
                ck_assert_double_le(distance, 2e-7);
            test_must_hold(&engine, &request, 1, &x);
        }
    }
    test_engine_fini(&engine);
}
END_TEST

/* ---- the hard shapes of section 6 ------------------------------------------------------------------------ */

/* The first coordinate is the score: query e_1, beta 1. */
static void scores_case(const float *t, size_t M, unsigned degree, double dense_error)
{
    for (size_t mu = 0; mu < M; mu++) {
        test_data.memories[2 * mu] = t[mu];
        test_data.memories[2 * mu + 1] = (float)mu / (float)M;
    }
    test_engine engine;
    test_start(&engine, M, 2, 0, degree, 1);
    const float x[2] = {1, 0};
    for (size_t i = 0; i < 3; i++) {
        hop_request request = test_best_effort(1, modes[i], 0);
        test_must_retrieve(&engine, &request, 1, x);
        test_must_hold(&engine, &request, 1, x);
        if (modes[i] != HOP_ALMOST_LINEAR)
            ck_assert_double_le(engine.answer.error_bound[0], dense_error);
    }
    test_engine_fini(&engine);
}

START_TEST(half_the_memories_on_either_side)
{
    float t[128];
    for (size_t mu = 0; mu < 128; mu++)
        t[mu] = mu % 2 ? 79 : -79;
    for (unsigned degree = 1; degree <= 8; degree++)
        scores_case(t, 128, degree, 1e-4);
}
END_TEST

/* With g = 3 the partial sum D_3 lies below exp(mean t): log D_3 alone would miss the log-sum-exp. */
START_TEST(one_deep_score)
{
    float t[17] = {-6};
    for (size_t mu = 1; mu < 17; mu++)
        t[mu] = 6.0f / 16;
    for (unsigned degree = 1; degree <= 8; degree++)
        scores_case(t, 17, degree, 1e-5);
}
END_TEST

/* Around the ends of exp in f32 and in f64. */
START_TEST(scores_near_the_ends_of_exp)
{
    static const float ends[] = {40,  43.5f, 44,  79,  80,  86,  87,  88,  89,   103,  104,  350,
                                 354, 355,   690, 700, 708, 709, 710, 745, 1000, 1e4f, 1e9f, 1e30f};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        float t[65];
        for (size_t mu = 0; mu < 65; mu++)
            t[mu] = ends[i] * ((float)mu / 32 - 1);
        /* Beyond f64's reach the range is all that is left. */
        scores_case(t, 65, 4, ends[i] < 1e12f ? fmax(1e-3, 1e-3 * (double)ends[i]) : 3 * (double)ends[i]);
    }
}
END_TEST

START_TEST(an_offset_costs_no_accuracy)
{
    enum { M = 300, d = 8 };
    test_engine near, far;
    float x[d];
    test_fill_normal(x, d, 0.5, 0, 8);
    test_start_normal(&near, M, d, 0.5, 0, 4, 1);
    hop_request request = test_best_effort(0.3, HOP_ALMOST_LINEAR, 0);
    test_must_retrieve(&near, &request, 1, x);
    double bound = near.answer.error_bound[0];
    test_engine_fini(&near);
    test_start_normal(&far, M, d, 0.5, 1000, 4, 1);
    test_must_retrieve(&far, &request, 1, x);
    /* What remains is the f32 answer itself: half a unit of 1000. */
    ck_assert_double_le(far.answer.error_bound[0], bound + 1e-4);
    test_must_hold(&far, &request, 1, x);
    test_engine_fini(&far);
}
END_TEST

/* Many rows share a pass over the moments of values that are not the keys: each gets what it would get alone. */
START_TEST(rows_that_share_a_pass_get_their_own_answers)
{
    enum { M = 300, d = 5, p = 7, L = 150 };
    static const double errors[] = {0, 1e-9, 1e-5, 1e-2, 0.5};
    test_engine engine;
    float x[L * d];
    test_fill_normal(test_data.memories, M * d, 0.5, 0.1, 12);
    test_fill_normal(test_data.values, M * p, 1, -0.5, 13);
    test_fill_normal(x, L * d, 1, 0, 14);
    for (size_t q = 0; q < L; q++) /* so that rows that lie together stop at all degrees */
        for (size_t l = 0; l < d; l++)
            x[q * d + l] *= (float)(q * 37 % L + 1) / L;
    test_start(&engine, M, d, p, 7, L);
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
        hop_request request = test_best_effort(0.7, HOP_ALMOST_LINEAR, errors[e]);
        double bound[L];
        int degree[L];
        test_must_retrieve(&engine, &request, L, x);
        test_must_hold(&engine, &request, L, x);
        memcpy(bound, engine.answer.error_bound, sizeof bound);
        for (size_t q = 0; q < L; q++)
            degree[q] = engine.answer.degree[q];
        for (size_t q = 0; q < L; q++) {
            test_must_retrieve(&engine, &request, 1, x + q * d);
            double alone = engine.answer.error_bound[0];
            ck_assert_msg(bound[q] <= fmax(1.05 * alone, errors[e]), "row %zu: %g among others, alone %g (%g)", q,
                          bound[q], alone, errors[e]);
            ck_assert_int_le(abs(degree[q] - engine.answer.degree[0]), 1);
        }
    }
    test_engine_fini(&engine);
}
END_TEST

START_TEST(tiny_and_subnormal_numbers_keep_their_accuracy)
{
    enum { M = 200, d = 4 };
    static const double scales[] = {1e-20, 1e-30, 1e-40};
    for (size_t s = 0; s < 3; s++) {
        test_engine engine;
        float x[d];
        test_start_normal(&engine, M, d, scales[s], 0, 6, 1);
        test_fill_normal(x, d, scales[s], 0, 9);
        for (size_t i = 0; i < 3; i++) {
            hop_request request = test_best_effort(0.3 / test_engine_reach(&engine, x), modes[i], 0);
            test_must_retrieve(&engine, &request, 1, x);
            test_must_hold(&engine, &request, 1, x);
            double spacing = scales[s] < 1e-39 ? 0x1p-149 : 0;
            ck_assert_double_le(engine.answer.error_bound[0],
                                1e-4 * hop_model_norms(engine.model).value_range + spacing);
        }
        test_engine_fini(&engine);
    }
}
END_TEST

START_TEST(a_huge_query_picks_the_largest_score)
{
    enum { M = 50, d = 3 };
    test_engine engine;
    test_start_normal(&engine, M, d, 1, 0, 5, 1);
    const float x[d] = {3e37f, -1e38f, 2e38f};
    size_t best = 0;
    double top = -(double)INFINITY;
    for (size_t mu = 0; mu < M; mu++) {
        double score = 0;
        for (size_t l = 0; l < d; l++)
            score += (double)x[l] * (double)test_data.memories[mu * d + l];
        if (score > top) {
            top = score;
            best = mu;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        hop_request request = test_best_effort(1, modes[i], 0);
        test_must_retrieve(&engine, &request, 1, x);
        test_must_hold(&engine, &request, 1, x);
        for (size_t l = 0; l < d; l++)
            ck_assert_double_le(fabs((double)engine.answer.z[l] - (double)test_data.memories[best * d + l]), 1e-6);
    }
    hop_request request = test_best_effort(1, HOP_ALMOST_LINEAR, 0);
    test_must_retrieve(&engine, &request, 1, x);
    test_must_hold(&engine, &request, 1, x);
    test_engine_fini(&engine);
}
END_TEST

/*
 * Values near 1: what an f32 can hold is the larger part of every bound, and max_error is below that. A degree is tried
 * before it is known, and dense, whose sums over so many memories round more, must not take its place.
 */
START_TEST(the_smallest_bound_stays_where_none_meets)
{
    enum { M = 9000, d = 2, L = 8 };
    test_fill_normal(test_data.memories, M * d, 0x1p-10, 0, 30);
    for (size_t i = 0; i < M * d; i++)
        test_data.memories[i] += 1;
    test_engine engine;
    test_start(&engine, M, d, 0, 3, L);
    float x[L * d];
    test_fill_normal(x, L * d, 1, 0, 31);
    hop_request request = test_best_effort(0.01, HOP_DENSE, 1e-9);
    test_must_retrieve(&engine, &request, L, x);
    double bound[L];
    memcpy(bound, engine.answer.error_bound, sizeof bound);
    request.mode = HOP_AUTO;
    test_must_retrieve(&engine, &request, L, x);
    test_must_hold(&engine, &request, L, x);
    size_t smaller = 0;
    for (size_t q = 0; q < L; q++) {
        double best = engine.answer.error_bound[q];
        ck_assert_msg(best <= bound[q], "%a above dense's %a", best, bound[q]);
        smaller += best > request.max_error && best < bound[q];
    }
    ck_assert_uint_gt(smaller, 0);
    test_engine_fini(&engine);
}
END_TEST

/* No degree has a bound: the mean of the values, and how far the truth can be from it. */
START_TEST(a_hopeless_row_gets_the_mean_and_its_range)
{
    enum { M = 64, d = 4 };
    test_engine engine;
    test_start_normal(&engine, M, d, 1, 0, 2, 1);
    float x[d];
    test_fill_normal(x, d, 1, 0, 10);
    hop_request request = test_best_effort(1e6, HOP_ALMOST_LINEAR, 1e-3);
    test_must_retrieve(&engine, &request, 1, x);
    test_must_hold(&engine, &request, 1, x);
    ck_assert_double_le(engine.answer.error_bound[0], hop_model_norms(engine.model).value_range);
    ck_assert_double_gt(engine.answer.error_bound[0], 1e-3);
    request.best_effort = false;
    ck_assert(test_engine_retrieve(&engine, &request, 1, x) == HOP_E_UNMET);
    test_engine_fini(&engine);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("retrieve");
    TCase *exact = tcase_create("exact");
    tcase_add_test(exact, one_memory_is_the_answer);
    tcase_add_test(exact, equal_memories_are_the_answer);
    tcase_add_test(exact, a_constant_coordinate_is_returned_as_stored);
    tcase_add_test(exact, constant_values_have_no_error);
    tcase_add_test(exact, a_zero_query_answers_the_mean);
    tcase_add_test(exact, two_memories_give_tanh);
    suite_add_tcase(suite, exact);
    TCase *hard = tcase_create("hard");
    tcase_add_test(hard, half_the_memories_on_either_side);
    tcase_add_test(hard, one_deep_score);
    tcase_add_test(hard, scores_near_the_ends_of_exp);
    tcase_add_test(hard, an_offset_costs_no_accuracy);
    tcase_add_test(hard, rows_that_share_a_pass_get_their_own_answers);
    tcase_add_test(hard, tiny_and_subnormal_numbers_keep_their_accuracy);
    tcase_add_test(hard, a_huge_query_picks_the_largest_score);
    tcase_add_test(hard, the_smallest_bound_stays_where_none_meets);
    tcase_add_test(hard, a_hopeless_row_gets_the_mean_and_its_range);
    suite_add_tcase(suite, hard);
    return suite;
}

int main(int argc, char **argv)
{
    test_cases_seed = test_seed(test_cases_seed);
    return hop_check_main(argc, argv, make);
}
