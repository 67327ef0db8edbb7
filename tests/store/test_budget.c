/*
 * test_budget.c - the memory budget, and the builder that charges it before it allocates.
 */
#include "fixture.h"
#include "support/check_main.h"

#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

START_TEST(budget_is_all_or_nothing)
{
    store_budget budget;
    store_budget_init(&budget, 100);
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_budget_charge(&budget, 60, "a", &error), HOP_OK);
    ck_assert_int_eq(store_budget_charge(&budget, 41, "the thing", &error), HOP_E_BUDGET);
    ck_assert_uint_eq(store_budget_reserved(&budget), 60);
    ck_assert_double_eq(error.limit, 100);
    ck_assert_double_eq(error.actual, 101);
    ck_assert_ptr_nonnull(strstr(error.text, "the thing needs 41 bytes"));
    ck_assert_int_eq(store_budget_charge(&budget, 40, "b", NULL), HOP_OK);
    ck_assert_int_eq(store_budget_charge(&budget, SIZE_MAX, "c", NULL), HOP_E_BUDGET);
    store_budget_release(&budget, 100);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
}
END_TEST

START_TEST(what_passes_is_counted_by_its_use)
{
    store_budget budget;
    store_budget_init(&budget, 100);
    ck_assert_int_eq(store_budget_charge(&budget, 10, "a set", NULL), HOP_OK);
    ck_assert_int_eq(store_budget_charge_for(&budget, STORE_FOR_REQUESTS, 20, "a body", NULL), HOP_OK);
    ck_assert_int_eq(store_budget_charge_for(&budget, STORE_FOR_ANSWERS, 30, "an answer", NULL), HOP_OK);
    ck_assert_int_eq(store_budget_charge_for(&budget, STORE_FOR_ANSWERS, 50, "too much", NULL), HOP_E_BUDGET);
    ck_assert_uint_eq(store_budget_reserved(&budget), 60);
    ck_assert_uint_eq(store_budget_used(&budget, STORE_FOR_REQUESTS), 20);
    ck_assert_uint_eq(store_budget_used(&budget, STORE_FOR_ANSWERS), 30);
    store_budget_release_for(&budget, STORE_FOR_ANSWERS, 30);
    store_budget_release_for(&budget, STORE_FOR_REQUESTS, 5);
    ck_assert_uint_eq(store_budget_reserved(&budget), 25);
    ck_assert_uint_eq(store_budget_used(&budget, STORE_FOR_REQUESTS), 15);
    ck_assert_uint_eq(store_budget_used(&budget, STORE_FOR_ANSWERS), 0);
}
END_TEST

enum { CHARGERS = 4, ROUNDS = 20000 };

static void *charge_and_release(void *argument)
{
    store_budget *budget = argument;
    size_t held = 0, admitted = 0;
    for (size_t i = 0; i < ROUNDS; i++) {
        size_t bytes = 1 + i % 7;
        if (store_budget_charge(budget, bytes, "x", NULL) == HOP_OK) {
            held += bytes;
            admitted++;
        }
        if (store_budget_reserved(budget) > store_budget_limit(budget))
            return NULL;
        if (i % 5 == 4) {
            store_budget_release(budget, held);
            held = 0;
        }
    }
    store_budget_release(budget, held);
    return admitted ? budget : NULL;
}

START_TEST(budget_holds_with_many_threads)
{
    store_budget budget;
    store_budget_init(&budget, 40);
    pthread_t threads[CHARGERS];
    for (int i = 0; i < CHARGERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, charge_and_release, &budget), 0);
    for (int i = 0; i < CHARGERS; i++) {
        void *never_over = NULL;
        pthread_join(threads[i], &never_over);
        ck_assert_ptr_eq(never_over, &budget);
    }
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
}
END_TEST

START_TEST(builder_refuses_before_it_allocates)
{
    store_budget budget;
    store_budget_init(&budget, 1 << 20);
    store_builder *builder = NULL;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_builder_new(&budget, (size_t)1 << 30, 1024, 0, HOP_DOT, &builder, &error), HOP_E_BUDGET);
    ck_assert_double_eq(error.limit, 1 << 20);
    ck_assert_double_ge(error.actual, 4.0 * 1024 * (1 << 30)); /* the rows alone */
    ck_assert_ptr_null(builder);

    error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_builder_new(&budget, SIZE_MAX / 2, 3, 0, HOP_DOT, &builder, &error), HOP_E_SHAPE);
    error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_builder_new(&budget, 1, 0, 0, HOP_DOT, &builder, &error), HOP_E_SHAPE);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
}
END_TEST

START_TEST(builder_grows_and_keeps_what_it_has)
{
    enum { d = 3, p = 2, pieces = 50 };
    store_budget budget;
    store_budget_init(&budget, 64 << 20);
    store_builder *builder = NULL;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_builder_new(&budget, 0, d, p, HOP_DOT, &builder, &error), HOP_OK);
    float rows[pieces * d], values[pieces * p];
    size_t M = 0;
    for (size_t n = 0; n < pieces; n++) {
        for (size_t i = 0; i < n * d; i++)
            rows[i] = (float)(M * d + i);
        for (size_t i = 0; i < n * p; i++)
            values[i] = -(float)(M * p + i);
        ck_assert_int_eq(store_builder_add(builder, n, rows, values, &error), HOP_OK);
        M += n;
    }
    store_set *set = NULL;
    const store_options options = {.beta = 0.5, .max_error = 0.25, .max_degree = 2};
    ck_assert_msg(store_builder_finish(builder, &options, NULL, &set, &error) == HOP_OK, "%s", error.text);
    store_builder_free(builder);
    ck_assert_uint_eq(set->M, M);
    ck_assert_uint_eq(set->p, p);
    for (size_t i = 0; i < M * d; i++)
        ck_assert_float_eq(set->memories[i], (float)i);
    for (size_t i = 0; i < M * p; i++)
        ck_assert_float_eq(set->values[i], -(float)i);
    ck_assert_double_eq(set->beta, 0.5);
    ck_assert_double_eq(set->max_error, 0.25);
    ck_assert_int_eq(set->max_degree, 2);
    ck_assert_uint_ge(store_budget_reserved(&budget), store_set_bytes(set).total);
    store_set_release(set);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
}
END_TEST

START_TEST(builder_survives_a_full_budget)
{
    enum { d = 8, n = 64 };
    store_budget budget;
    store_budget_init(&budget, 64 << 10);
    store_builder *builder = NULL;
    hop_error error = HOP_ERROR_NONE;
    float rows[n * d];
    fixture_rows(n, d, 0, rows);
    ck_assert_int_eq(store_builder_new(&budget, 0, d, 0, HOP_DOT, &builder, &error), HOP_OK);
    size_t M = 0;
    hop_status status;
    while ((status = store_builder_add(builder, n, rows, NULL, &error)) == HOP_OK)
        M += n;
    ck_assert_int_eq(status, HOP_E_BUDGET);
    ck_assert_uint_gt(M, 0);
    /* The rows that fitted are still a set. */
    store_set *set = NULL;
    error = HOP_ERROR_NONE;
    ck_assert_msg(store_builder_finish(builder, &STORE_OPTIONS_DEFAULT, NULL, &set, &error) == HOP_OK, "%s",
                  error.text);
    ck_assert_uint_eq(set->M, M);
    store_set_release(set);
    store_builder_free(builder);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
}
END_TEST

START_TEST(adopted_rows_stay_the_callers_on_failure)
{
    store_budget budget;
    store_budget_init(&budget, 4096);
    store_builder *builder = NULL;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_builder_new(&budget, 0, 16, 0, HOP_DOT, &builder, &error), HOP_OK);
    float *rows = calloc(1000 * 16, sizeof *rows), *values = NULL;
    float *before = rows;
    ck_assert_int_eq(store_builder_adopt(builder, 1000, &rows, &values, &error), HOP_E_BUDGET);
    ck_assert_ptr_eq(rows, before);
    free(rows);
    store_builder_free(builder);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
}
END_TEST

START_TEST(defaults_come_from_the_rows)
{
    store_fixture fixture;
    fixture_init(&fixture, 64 << 20, NULL);
    store_set *set = fixture_set(&fixture, 4, 16, 0, NULL); /* rows 0, 1/4, 1/2, 3/4 above their column */
    ck_assert_double_eq(set->beta, 0.25);
    ck_assert_double_eq_tol(set->max_error, 0.75e-3, 1e-15);
    ck_assert_int_eq(set->max_degree, -1);
    ck_assert_int_eq(store_set_state(set), STORE_BUILDING);
    ck_assert_str_eq(store_set_reason(set), "");
    ck_assert_ptr_null(store_set_label(set, 0));
    store_set_release(set);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(bad_rows_are_named_and_nothing_is_kept)
{
    store_budget budget;
    store_budget_init(&budget, 1 << 20);
    store_builder *builder = NULL;
    store_set *set = NULL;
    hop_error error = HOP_ERROR_NONE;
    float rows[] = {1, 2, 3, 4, 5, NAN};
    ck_assert_int_eq(store_builder_new(&budget, 3, 2, 0, HOP_DOT, &builder, &error), HOP_OK);
    ck_assert_int_eq(store_builder_finish(builder, &STORE_OPTIONS_DEFAULT, NULL, &set, &error), HOP_E_SHAPE);
    ck_assert_int_eq(store_builder_add(builder, 3, rows, NULL, &error), HOP_OK);
    error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_builder_finish(builder, &STORE_OPTIONS_DEFAULT, NULL, &set, &error), HOP_E_DOMAIN);
    ck_assert_int_eq(error.row, 2);
    ck_assert_int_eq(error.column, 1);
    ck_assert_ptr_null(set);
    store_builder_free(builder);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
}
END_TEST

START_TEST(labels_are_one_a_memory)
{
    store_budget budget;
    store_budget_init(&budget, 1 << 20);
    store_builder *builder = NULL;
    store_set *set = NULL;
    hop_error error = HOP_ERROR_NONE;
    const float rows[] = {1, 2, 3, 4};
    char long_label[STORE_LABEL_BYTES + 2];
    memset(long_label, 'x', sizeof long_label - 1);
    long_label[sizeof long_label - 1] = '\0';
    const char *too_long[] = {"a", long_label}, *three[] = {"a", "b", "c"}, *two[] = {"", "zwei"};

    ck_assert_int_eq(store_builder_new(&budget, 2, 2, 0, HOP_DOT, &builder, &error), HOP_OK);
    ck_assert_int_eq(store_builder_add(builder, 2, rows, NULL, &error), HOP_OK);
    ck_assert_int_eq(store_builder_label(builder, 2, too_long, &error), HOP_E_LIMIT);
    ck_assert_int_eq(error.row, 1);
    ck_assert_double_eq(error.limit, STORE_LABEL_BYTES);
    ck_assert_double_eq(error.actual, STORE_LABEL_BYTES + 1);
    error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_builder_label(builder, 3, three, &error), HOP_OK);
    ck_assert_int_eq(store_builder_finish(builder, &STORE_OPTIONS_DEFAULT, NULL, &set, &error), HOP_E_SHAPE);
    store_builder_free(builder);

    error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_builder_new(&budget, 2, 2, 0, HOP_DOT, &builder, &error), HOP_OK);
    ck_assert_int_eq(store_builder_add(builder, 2, rows, NULL, &error), HOP_OK);
    ck_assert_int_eq(store_builder_label(builder, 2, two, &error), HOP_OK);
    ck_assert_msg(store_builder_finish(builder, &STORE_OPTIONS_DEFAULT, NULL, &set, &error) == HOP_OK, "%s",
                  error.text);
    ck_assert_str_eq(store_set_label(set, 0), "");
    ck_assert_str_eq(store_set_label(set, 1), "zwei");
    store_builder_free(builder);
    store_set_release(set);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
}
END_TEST

START_TEST(the_hash_sees_rows_defaults_and_similarity)
{
    store_fixture fixture;
    fixture_init(&fixture, 64 << 20, NULL);
    const store_options beta = {.beta = 2, .max_error = -1, .max_degree = -1};
    store_set *set = fixture_set(&fixture, 5, 3, 0, NULL);
    store_set *same = fixture_set(&fixture, 5, 3, 0, NULL);
    store_set *moved = fixture_set(&fixture, 5, 3, 0.0625f, NULL);
    store_set *hotter = fixture_set(&fixture, 5, 3, 0, &beta);
    store_set *flatter = fixture_set(&fixture, 3, 5, 0, NULL);
    ck_assert_uint_eq(set->content_hash, same->content_hash);
    ck_assert_uint_ne(set->content_hash, moved->content_hash);
    ck_assert_uint_ne(set->content_hash, hotter->content_hash);
    ck_assert_uint_ne(set->content_hash, flatter->content_hash);
    store_set *all[] = {set, same, moved, hotter, flatter};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        store_set_release(all[i]);
    fixture_fini(&fixture);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("budget");
    TCase *budget = tcase_create("budget");
    tcase_add_test(budget, budget_is_all_or_nothing);
    tcase_add_test(budget, what_passes_is_counted_by_its_use);
    tcase_add_test(budget, budget_holds_with_many_threads);
    suite_add_tcase(suite, budget);
    TCase *builder = tcase_create("builder");
    tcase_add_test(builder, builder_refuses_before_it_allocates);
    tcase_add_test(builder, builder_grows_and_keeps_what_it_has);
    tcase_add_test(builder, builder_survives_a_full_budget);
    tcase_add_test(builder, adopted_rows_stay_the_callers_on_failure);
    tcase_add_test(builder, defaults_come_from_the_rows);
    tcase_add_test(builder, bad_rows_are_named_and_nothing_is_kept);
    tcase_add_test(builder, labels_are_one_a_memory);
    tcase_add_test(builder, the_hash_sees_rows_defaults_and_similarity);
    suite_add_tcase(suite, builder);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
