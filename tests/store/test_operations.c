/*
 * test_operations.c - feature maps in the background: ready in the end, never waited for, cancelled when superseded.
 *
 * Builds are held open by an executor with a gate, so that "in the middle of a build" needs no timing.
 */
#include "fixture.h"
#include "support/check_main.h"

#include <stdatomic.h>

enum {
    BUDGET_BYTES = 64 << 20,
    GATED_M = 40000 /* enough rows that a build is cut into tasks */
};

START_TEST(maps_arrive_and_are_charged)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    const store_options options = {.max_error = -1, .max_degree = 4};
    fixture_put(&fixture, "s", fixture_set(&fixture, 200, 3, 0, &options));
    store_set *set = fixture_get(&fixture, "s");
    fixture_settle(set);
    ck_assert_int_eq(store_set_state(set), STORE_READY);
    ck_assert_uint_eq(store_set_permille(set), 1000);
    const hop_features *features = hop_model_features(set->model);
    ck_assert_ptr_nonnull(features);
    ck_assert_uint_eq(hop_features_max_degree(features), 4);
    ck_assert_uint_eq(hop_features_rank(features), hop_rank(3, 4));
    ck_assert_uint_ge(store_budget_reserved(&fixture.budget), store_set_bytes(set).total);
    ck_assert_uint_eq(store_set_bytes(set).features, hop_features_bytes(features));
    store_set_release(set);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(degree_zero_means_no_maps)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    const store_options options = {.max_error = -1, .max_degree = 0};
    fixture_put(&fixture, "s", fixture_set(&fixture, 20, 3, 0, &options));
    store_set *set = fixture_get(&fixture, "s");
    fixture_settle(set);
    ck_assert_int_eq(store_set_state(set), STORE_READY);
    ck_assert_ptr_null(hop_model_features(set->model));
    store_set_release(set);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(a_full_budget_means_smaller_maps_then_none)
{
    enum { M = 50, d = 6 };
    const store_options options = {.max_error = -1, .max_degree = 8};
    /* What the set itself needs, and what maps of each degree would. */
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    store_set *set = fixture_set(&fixture, M, d, 0, &options);
    size_t alone = store_budget_reserved(&fixture.budget);
    size_t degree_one = hop_features_build_bytes(set->model, 1, 1);
    size_t degree_three = hop_features_build_bytes(set->model, 3, 1);
    size_t degree_four = hop_features_build_bytes(set->model, 4, 1);
    store_set_release(set);
    fixture_fini(&fixture);
    ck_assert_uint_lt(degree_one, degree_three);
    ck_assert_uint_lt(degree_three, degree_four);

    const struct {
        size_t left;
        unsigned degree;
    } cases[] = {{degree_four, 4}, {degree_four - 1, 3}, {degree_three, 3}, {degree_one, 1}, {degree_one - 1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* Making the set may need more than keeping it: the budget is narrowed once it is made. */
        fixture_init(&fixture, BUDGET_BYTES, NULL);
        set = fixture_set(&fixture, M, d, 0, &options);
        size_t filler = BUDGET_BYTES - alone - cases[i].left;
        ck_assert_int_eq(store_budget_charge(&fixture.budget, filler, "filler", NULL), HOP_OK);
        fixture_put(&fixture, "s", set);
        set = fixture_get(&fixture, "s");
        fixture_settle(set);
        ck_assert_int_eq(store_set_state(set), STORE_READY);
        const hop_features *features = hop_model_features(set->model);
        if (cases[i].degree == 0) {
            ck_assert_ptr_null(features);
            ck_assert_str_ne(store_set_reason(set), "");
        } else {
            ck_assert_ptr_nonnull(features);
            ck_assert_uint_eq(hop_features_max_degree(features), cases[i].degree);
        }
        store_set_release(set);
        store_budget_release(&fixture.budget, filler);
        fixture_fini(&fixture);
    }
}
END_TEST

START_TEST(a_replaced_build_is_cancelled_and_not_waited_for)
{
    fixture_gate shut = FIXTURE_GATE_CLOSED;
    const hop_executor executor = fixture_gate_executor(&shut);
    const store_options options = {.max_error = -1, .max_degree = 3};
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, &executor);
    fixture_put(&fixture, "s", fixture_set(&fixture, GATED_M, 4, 0, &options));
    store_set *old = fixture_get(&fixture, "s");
    fixture_gate_wait(&shut);
    ck_assert_int_eq(store_set_state(old), STORE_BUILDING);
    ck_assert(!atomic_load(&old->progress.cancel));

    /* All of this happens while the build stands still. */
    fixture_put(&fixture, "s", fixture_set(&fixture, GATED_M, 4, 1, &options)); /* waits in the queue */
    ck_assert(atomic_load(&old->progress.cancel));
    fixture_put(&fixture, "s", fixture_set(&fixture, GATED_M, 4, 2, &options)); /* throws the one before out of it */
    fixture_put(&fixture, "gone", fixture_set(&fixture, GATED_M, 4, 3, &options));
    fixture_put(&fixture, "last", fixture_set(&fixture, GATED_M, 4, 4, &options));
    ck_assert_int_eq(store_registry_delete(fixture.registry, "gone", NULL, NULL), HOP_OK);
    fixture_gate_open(&shut);

    store_set *current = fixture_get(&fixture, "s"), *last = fixture_get(&fixture, "last");
    fixture_settle(current);
    fixture_settle(last);
    ck_assert_ptr_nonnull(hop_model_features(current->model));
    ck_assert_ptr_nonnull(hop_model_features(last->model));
    ck_assert_int_eq(store_set_state(old), STORE_BUILDING);
    ck_assert_ptr_null(hop_model_features(old->model));
    store_set_release(old);
    store_set_release(current);
    store_set_release(last);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(stopping_cancels_what_runs_and_drops_what_waits)
{
    fixture_gate shut = FIXTURE_GATE_CLOSED;
    const hop_executor executor = fixture_gate_executor(&shut);
    const store_options options = {.max_error = -1, .max_degree = 3};
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, &executor);
    fixture_put(&fixture, "a", fixture_set(&fixture, GATED_M, 4, 0, &options));
    fixture_gate_wait(&shut);
    fixture_put(&fixture, "b", fixture_set(&fixture, GATED_M, 4, 0, &options));
    store_set *a = fixture_get(&fixture, "a"), *b = fixture_get(&fixture, "b");
    store_operations_stop(fixture.operations);
    fixture_put(&fixture, "c", fixture_set(&fixture, GATED_M, 4, 0, &options)); /* too late to be built, harmless */
    fixture_gate_open(&shut);
    store_registry_free(fixture.registry);
    store_operations_free(fixture.operations);
    ck_assert_int_eq(store_set_state(a), STORE_BUILDING);
    ck_assert_ptr_null(hop_model_features(a->model));
    ck_assert_ptr_null(hop_model_features(b->model));
    store_set_release(a);
    store_set_release(b);
    ck_assert_uint_eq(store_budget_reserved(&fixture.budget), 0);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("operations");
    TCase *builds = tcase_create("builds");
    tcase_add_test(builds, maps_arrive_and_are_charged);
    tcase_add_test(builds, degree_zero_means_no_maps);
    tcase_add_test(builds, a_full_budget_means_smaller_maps_then_none);
    tcase_add_test(builds, a_replaced_build_is_cancelled_and_not_waited_for);
    tcase_add_test(builds, stopping_cancels_what_runs_and_drops_what_waits);
    suite_add_tcase(suite, builds);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
