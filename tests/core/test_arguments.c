/*
 * test_arguments.c - what the core refuses: the status, where it points, and that nothing was written.
 */
#include "support/cases.h"
#include "support/check_main.h"
#include "support/rng.h"

#include "core/status.h"

#include <math.h>
#include <string.h>

/* ---- models ------------------------------------------------------------------------------------------ */

static void must_refuse_source(const hop_source *source, hop_status expected, int64_t row, int64_t column)
{
    hop_model *model = (hop_model *)&test_data; /* must stay as it is */
    hop_error error = HOP_ERROR_NONE;
    hop_status status = hop_model_new(source, NULL, &model, &error);
    ck_assert_msg(status == expected, "expected %s, got %s: %s", hop_status_word(expected), hop_status_word(status),
                  error.text);
    ck_assert(error.status == expected && error.text[0]);
    ck_assert_int_eq(error.row, row);
    ck_assert_int_eq(error.column, column);
    ck_assert_ptr_eq(model, &test_data);
    ck_assert(hop_model_new(source, NULL, &model, NULL) == expected);
}

START_TEST(empty_shapes_are_refused)
{
    const float one[1] = {1};
    must_refuse_source(&(hop_source){.M = 0, .d = 1, .memories = one}, HOP_E_SHAPE, -1, -1);
    must_refuse_source(&(hop_source){.M = 1, .d = 0, .memories = one}, HOP_E_SHAPE, -1, -1);
    must_refuse_source(&(hop_source){.M = 1, .d = 1, .p = 0, .memories = one, .values = one}, HOP_E_SHAPE, -1, -1);
}
END_TEST

START_TEST(sizes_that_overflow_are_refused)
{
    const float one[1] = {1};
    must_refuse_source(&(hop_source){.M = SIZE_MAX / 2, .d = 3, .memories = one}, HOP_E_SHAPE, -1, -1);
    must_refuse_source(&(hop_source){.M = 1, .d = SIZE_MAX / 2, .memories = one}, HOP_E_SHAPE, -1, -1);
    must_refuse_source(&(hop_source){.M = SIZE_MAX / 64, .d = 1, .p = SIZE_MAX / 64, .memories = one, .values = one},
                       HOP_E_SHAPE, -1, -1);
    ck_assert_uint_eq(hop_model_bytes_estimate(SIZE_MAX / 2, 3, 3, false, HOP_DOT, HOP_PACK_FULL), 0);
    ck_assert_uint_gt(hop_model_bytes_estimate(100, 3, 3, false, HOP_DOT, HOP_PACK_FULL), 0);
}
END_TEST

START_TEST(numbers_that_are_not_finite_are_named)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    enum { M = 70, d = 5, p = 3 };
    for (size_t i = 0; i < 3; i++) {
        test_fill_normal(test_data.memories, M * d, 1, 0, 40);
        test_fill_normal(test_data.values, M * p, 1, 0, 41);
        hop_source source = {.M = M, .d = d, .p = p, .memories = test_data.memories, .values = test_data.values};
        test_data.memories[66 * d + 4] = bad[i];
        for (int s = HOP_DOT; s <= HOP_CENTERED_COSINE; s++) {
            source.similarity = (hop_similarity)s;
            must_refuse_source(&source, HOP_E_DOMAIN, 66, 4);
        }
        source.similarity = HOP_DOT;
        test_data.memories[66 * d + 4] = 0;
        test_data.values[3 * p + 1] = bad[i];
        must_refuse_source(&source, HOP_E_DOMAIN, 3, 1);
    }
}
END_TEST

/* ---- queries ----------------------------------------------------------------------------------------- */

enum { M = 60, D = 3 };

static test_engine engine;
static const float good[2 * D] = {0.1f, 0.2f, 0.3f, -0.1f, 0.5f, 0};

static void open_engine(void)
{
    test_start_normal(&engine, M, D, 1, 0, 3, 2);
}

static void close_engine(void)
{
    test_engine_fini(&engine);
}

static void must_refuse(const hop_request *request, size_t L, const float *x, hop_status expected, int64_t row,
                        int64_t column)
{
    for (int mode = HOP_AUTO; mode <= HOP_ALMOST_LINEAR; mode++) {
        hop_request asked = *request;
        asked.mode = (hop_mode)mode;
        hop_status status = test_engine_retrieve(&engine, &asked, L, x);
        ck_assert_msg(status == expected, "%s: expected %s, got %s: %s", hop_mode_word(asked.mode),
                      hop_status_word(expected), hop_status_word(status), engine.error.text);
        ck_assert(engine.error.text[0]);
        ck_assert_int_eq(engine.error.row, row);
        ck_assert_int_eq(engine.error.column, column);
        ck_assert(hop_retrieve(engine.model, &asked, L, x, engine.workspace, engine.workspace_bytes, &engine.answer,
                               NULL) == expected);
    }
}

START_TEST(beta_must_be_positive_and_finite)
{
    static const double bad[] = {0, -0.0, -1, -1e-300, (double)NAN, (double)INFINITY, -(double)INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hop_request request = test_request(bad[i], HOP_DENSE, (double)INFINITY);
        must_refuse(&request, 2, good, HOP_E_DOMAIN, -1, -1);
        request.mode = HOP_AUTO;
        ck_assert(test_engine_energy(&engine, &request, 2, good) == HOP_E_DOMAIN);
        hop_plan plans[2];
        ck_assert(hop_plan_queries(engine.model, &request, 2, good, engine.workspace, engine.workspace_bytes, plans,
                                   NULL) == HOP_E_DOMAIN);
    }
}
END_TEST

START_TEST(tolerances_must_not_be_negative)
{
    static const double bad[] = {-1, -1e-300, (double)NAN, -(double)INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hop_request request = test_request(1, HOP_DENSE, bad[i]);
        request.best_effort = true;
        must_refuse(&request, 2, good, HOP_E_DOMAIN, -1, -1);
        request.max_error = (double)INFINITY;
        request.tolerance = bad[i];
        must_refuse(&request, 2, good, HOP_E_DOMAIN, -1, -1);
    }
}
END_TEST

START_TEST(queries_must_be_finite)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++)
        for (size_t at = 0; at < 2 * D; at++) {
            float x[2 * D];
            memcpy(x, good, sizeof x);
            x[at] = bad[i];
            hop_request request = test_best_effort(1, HOP_DENSE, (double)INFINITY);
            must_refuse(&request, 2, x, HOP_E_DOMAIN, (int64_t)(at / D), (int64_t)(at % D));
            ck_assert(test_engine_energy(&engine, &request, 2, x) == HOP_E_DOMAIN);
        }
}
END_TEST

START_TEST(an_empty_batch_is_refused)
{
    hop_request request = test_best_effort(1, HOP_DENSE, (double)INFINITY);
    must_refuse(&request, 0, good, HOP_E_SHAPE, -1, -1);
}
END_TEST

START_TEST(steps_have_limits)
{
    hop_request request = test_best_effort(1, HOP_DENSE, (double)INFINITY);
    request.steps = 0;
    must_refuse(&request, 2, good, HOP_E_LIMIT, -1, -1);
    request.steps = HOP_STEPS_MAX + 1;
    must_refuse(&request, 2, good, HOP_E_LIMIT, -1, -1);
}
END_TEST

START_TEST(steps_need_answers_that_are_queries)
{
    test_engine_fini(&engine);
    test_fill_normal(test_data.values, M * 2, 1, 0, 42);
    test_start(&engine, M, D, 2, 3, 2);
    hop_request request = test_best_effort(1, HOP_DENSE, (double)INFINITY);
    request.steps = 2;
    must_refuse(&request, 2, good, HOP_E_SHAPE, -1, -1);
}
END_TEST

/* ---- promises ---------------------------------------------------------------------------------------- */

START_TEST(max_error_zero_is_unmet_or_best_effort)
{
    for (int mode = HOP_AUTO; mode <= HOP_ALMOST_LINEAR; mode++) {
        hop_request request = test_request(0.1, (hop_mode)mode, 0);
        ck_assert(test_engine_retrieve(&engine, &request, 2, good) == HOP_E_UNMET);
        ck_assert_int_ge(engine.error.row, 0);
        ck_assert_double_gt(engine.error.actual, 0);
        ck_assert(engine.error.limit <= 0 && engine.error.limit >= 0);
        ck_assert_ptr_nonnull(strstr(engine.error.text, "max_error"));
        request.best_effort = true;
        test_must_retrieve(&engine, &request, 2, good);
        test_must_hold(&engine, &request, 2, good);
    }
}
END_TEST

START_TEST(almost_linear_needs_maps)
{
    test_engine_fini(&engine);
    test_start_normal(&engine, M, D, 1, 0, 0, 2);
    hop_request request = test_request(0.1, HOP_ALMOST_LINEAR, (double)INFINITY);
    ck_assert(test_engine_retrieve(&engine, &request, 2, good) == HOP_E_UNMET);
    ck_assert(engine.error.text[0]);
}
END_TEST

/* ---- feature maps ------------------------------------------------------------------------------------ */

START_TEST(maps_too_large_are_refused)
{
    test_engine_fini(&engine);
    test_start_normal(&engine, 4, 100, 1, 0, 0, 1);
    ck_assert_uint_eq(hop_features_bytes_estimate(engine.model, 174), SIZE_MAX);
    static const unsigned degrees[] = {174, 1000, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        hop_features *features = (hop_features *)&test_data;
        hop_error error = HOP_ERROR_NONE;
        ck_assert(hop_features_build(engine.model, degrees[i], NULL, NULL, &features, &error) == HOP_E_LIMIT);
        ck_assert(error.text[0]);
        ck_assert_ptr_eq(features, &test_data);
    }
}
END_TEST

START_TEST(a_build_can_be_cancelled_and_reports_progress)
{
    hop_progress progress = {0};
    hop_features *features = NULL;
    hop_error error = HOP_ERROR_NONE;
    atomic_store(&progress.cancel, true);
    ck_assert(hop_features_build(engine.model, 3, NULL, &progress, &features, &error) == HOP_E_CANCELLED);
    ck_assert_ptr_null(features);
    atomic_store(&progress.cancel, false);
    error = HOP_ERROR_NONE;
    ck_assert(hop_features_build(engine.model, 3, NULL, &progress, &features, &error) == HOP_OK);
    ck_assert_uint_eq(atomic_load(&progress.permille), 1000);
    ck_assert_uint_eq(hop_features_max_degree(features), 3);
    ck_assert_uint_eq(hop_features_rank(features), hop_rank(D, 3));
    ck_assert_uint_gt(hop_features_bytes(features), 0);
    ck_assert_uint_le(hop_features_bytes(features), hop_features_bytes_estimate(engine.model, 3));
    hop_features_free(features);
    hop_features_free(NULL);
    hop_model_free(NULL);
    hop_aligned_free(NULL);
}
END_TEST

/* ---- words ------------------------------------------------------------------------------------------- */

START_TEST(words_read_back)
{
    for (int i = HOP_DOT; i <= HOP_CENTERED_COSINE; i++) {
        hop_similarity back;
        ck_assert(hop_similarity_parse(hop_similarity_word((hop_similarity)i), &back, NULL) == HOP_OK);
        ck_assert_int_eq((int)back, i);
    }
    for (int i = HOP_AUTO; i < HOP_MODES; i++) {
        hop_mode back;
        ck_assert(hop_mode_parse(hop_mode_word((hop_mode)i), &back, NULL) == HOP_OK);
        ck_assert_int_eq((int)back, i);
    }
    static const char *const unknown[] = {"", "Dot", "dense ", "almost-linear", "cosine_", "softmax"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        hop_similarity similarity = HOP_COSINE;
        hop_mode mode = HOP_DENSE;
        hop_error error = HOP_ERROR_NONE;
        ck_assert(hop_similarity_parse(unknown[i], &similarity, &error) == HOP_E_UNKNOWN && error.text[0]);
        ck_assert(hop_mode_parse(unknown[i], &mode, NULL) == HOP_E_UNKNOWN);
        ck_assert(similarity == HOP_COSINE && mode == HOP_DENSE);
    }
    for (int i = HOP_OK; i <= HOP_E_INTERNAL; i++)
        for (int j = HOP_OK; j < i; j++)
            ck_assert_str_ne(hop_status_word((hop_status)i), hop_status_word((hop_status)j));
    ck_assert_ptr_null(hop_fallback_word(HOP_FALLBACK_NONE));
    for (int i = HOP_FALLBACK_BOUND; i <= HOP_FALLBACK_RETURN; i++)
        ck_assert_ptr_nonnull(hop_fallback_word((hop_fallback)i));
}
END_TEST

START_TEST(the_first_error_wins)
{
    hop_error error = HOP_ERROR_NONE;
    ck_assert(error.row == -1 && error.column == -1 && error.byte == -1 && isnan(error.limit) && isnan(error.actual));
    ck_assert(hop_fail_at(&error, HOP_E_DOMAIN, 4, 2, "first %d", 1) == HOP_E_DOMAIN);
    ck_assert(hop_fail(&error, HOP_E_LIMIT, "second") == HOP_E_LIMIT);
    ck_assert(error.status == HOP_E_DOMAIN && error.row == 4 && error.column == 2);
    ck_assert_str_eq(error.text, "first 1");
    hop_error longer = HOP_ERROR_NONE;
    ck_assert(hop_fail(&longer, HOP_E_IO, "%0500d", 7) == HOP_E_IO);
    ck_assert_uint_lt(strlen(longer.text), sizeof longer.text);
    ck_assert(hop_fail(NULL, HOP_E_IO, "nowhere") == HOP_E_IO);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("arguments");
    TCase *models = tcase_create("models");
    tcase_add_test(models, empty_shapes_are_refused);
    tcase_add_test(models, sizes_that_overflow_are_refused);
    tcase_add_test(models, numbers_that_are_not_finite_are_named);
    suite_add_tcase(suite, models);
    TCase *queries = tcase_create("queries");
    tcase_add_checked_fixture(queries, open_engine, close_engine);
    tcase_add_test(queries, beta_must_be_positive_and_finite);
    tcase_add_test(queries, tolerances_must_not_be_negative);
    tcase_add_test(queries, queries_must_be_finite);
    tcase_add_test(queries, an_empty_batch_is_refused);
    tcase_add_test(queries, steps_have_limits);
    tcase_add_test(queries, steps_need_answers_that_are_queries);
    tcase_add_test(queries, max_error_zero_is_unmet_or_best_effort);
    tcase_add_test(queries, almost_linear_needs_maps);
    tcase_add_test(queries, maps_too_large_are_refused);
    tcase_add_test(queries, a_build_can_be_cancelled_and_reports_progress);
    suite_add_tcase(suite, queries);
    TCase *words = tcase_create("words");
    tcase_add_test(words, words_read_back);
    tcase_add_test(words, the_first_error_wins);
    suite_add_tcase(suite, words);
    return suite;
}

int main(int argc, char **argv)
{
    test_cases_seed = test_seed(test_cases_seed);
    return hop_check_main(argc, argv, make);
}
