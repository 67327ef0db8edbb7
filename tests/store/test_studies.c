/*
 * test_studies.c - measuring separations in the background: once a version, with progress, cancelled when superseded;
 * and the regime that a set says.
 */
#include "fixture.h"
#include "store/regime.h"
#include "support/check_main.h"

#include <time.h>

/* A large set is measured for seconds at least: long enough to be in the middle of it, and none is waited for. */
enum { BUDGET_BYTES = 256 << 20, M = 200, D = 3, LARGE_M = 120000, LARGE_D = 16 };

static const store_options plain = {.max_error = -1, .max_degree = 0};

static store_studies *studies_of(store_fixture *fixture)
{
    return store_operations_studies(fixture->operations);
}

static store_work_view submit(store_fixture *fixture, store_set *set)
{
    store_work_view study;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_msg(store_studies_submit(studies_of(fixture), set, &study, &error) == HOP_OK, "%s", error.text);
    ck_assert_str_eq(study.set, set->name);
    ck_assert_uint_eq(study.version, set->version);
    return study;
}

/* Wait until it is over: the test's own time limit ends it otherwise. */
static store_work_view over(store_fixture *fixture, uint64_t id)
{
    store_work_view study;
    for (;;) {
        ck_assert(store_progress_get(store_operations_progress(fixture->operations), id, &study));
        if (study.state == STORE_SUCCEEDED || study.state == STORE_WORK_FAILED)
            return study;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

START_TEST(a_version_is_measured_once_and_charged)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    fixture_put(&fixture, "s", fixture_set(&fixture, M, D, 0, &plain));
    store_set *set = fixture_get(&fixture, "s");
    size_t before = store_budget_reserved(&fixture.budget);
    ck_assert_ptr_null(store_set_separation(set));
    ck_assert_uint_eq(store_set_bytes(set).separation, 0);
    store_work_view study = submit(&fixture, set);
    ck_assert_uint_eq(study.id, 1);
    study = over(&fixture, study.id);
    ck_assert_msg(study.state == STORE_SUCCEEDED, "%s", study.error.text);
    ck_assert_uint_eq(study.permille, 1000);
    const hop_separation *separation = store_set_separation(set);
    ck_assert_ptr_nonnull(separation);
    ck_assert_uint_eq(store_budget_reserved(&fixture.budget), before + hop_separation_bytes(set->model));
    ck_assert_uint_eq(store_set_bytes(set).separation, hop_separation_bytes(set->model));

    /* Asked again it is the same one, here and in the background. */
    ck_assert_int_eq(store_study_here(set, NULL, NULL), HOP_OK);
    ck_assert_ptr_eq(store_set_separation(set), separation);
    study = over(&fixture, submit(&fixture, set).id);
    ck_assert_int_eq(study.state, STORE_SUCCEEDED);
    ck_assert_ptr_eq(store_set_separation(set), separation);
    ck_assert_uint_eq(store_budget_reserved(&fixture.budget), before + hop_separation_bytes(set->model));
    ck_assert(!store_progress_get(store_operations_progress(fixture.operations), 77, &study));
    store_set_release(set);
    fixture_fini(&fixture);
}
END_TEST

/* Published as `name`, its measurement under way. */
static store_set *start_large(store_fixture *fixture, const char *name, uint64_t *id)
{
    fixture_put(fixture, name, fixture_set(fixture, LARGE_M, LARGE_D, 0, &plain));
    store_set *set = fixture_get(fixture, name);
    store_work_view study = submit(fixture, set);
    *id = study.id;
    while (study.state == STORE_QUEUED) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        ck_assert(store_progress_get(store_operations_progress(fixture->operations), *id, &study));
    }
    ck_assert_int_eq(study.state, STORE_RUNNING);
    return set;
}

START_TEST(who_asks_meanwhile_hears_of_the_same_operation)
{
    store_fixture fixture;
    uint64_t first;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    store_set *a = start_large(&fixture, "a", &first);
    fixture_put(&fixture, "b", fixture_set(&fixture, M, D, 1, &plain));
    store_set *b = fixture_get(&fixture, "b");
    uint64_t second = submit(&fixture, b).id;
    ck_assert_uint_ne(first, second);
    store_work_view study = submit(&fixture, a);
    ck_assert(study.id == first && study.state == STORE_RUNNING && study.permille < 1000);
    study = submit(&fixture, b);
    ck_assert(study.id == second && study.state == STORE_QUEUED);
    /* What waits behind it runs once it is over. */
    ck_assert_int_eq(store_registry_delete(fixture.registry, "a", NULL, NULL), HOP_OK);
    ck_assert_int_eq(over(&fixture, second).state, STORE_SUCCEEDED);
    store_set_release(a);
    store_set_release(b);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(a_version_that_goes_takes_its_operation_along)
{
    store_fixture fixture;
    uint64_t first;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    store_set *running = start_large(&fixture, "running", &first);
    fixture_put(&fixture, "queued", fixture_set(&fixture, M, D, 1, &plain));
    store_set *queued = fixture_get(&fixture, "queued");
    uint64_t second = submit(&fixture, queued).id;

    ck_assert_int_eq(store_registry_delete(fixture.registry, "queued", NULL, NULL), HOP_OK);
    store_work_view study = over(&fixture, second);
    ck_assert_int_eq(study.state, STORE_WORK_FAILED);
    ck_assert_int_eq(study.error.status, HOP_E_CANCELLED);
    fixture_put(&fixture, "running", fixture_set(&fixture, M, D, 2, &plain)); /* replaced */
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_studies_submit(studies_of(&fixture), running, &study, &error), HOP_E_CANCELLED);
    study = over(&fixture, first);
    ck_assert_int_eq(study.state, STORE_WORK_FAILED);
    ck_assert_int_eq(study.error.status, HOP_E_CANCELLED);
    ck_assert_ptr_null(store_set_separation(running));
    store_set_release(running);
    store_set_release(queued);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(a_failure_is_shown_once_and_then_tried_again)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    fixture_put(&fixture, "s", fixture_set(&fixture, M, D, 0, &plain));
    store_set *set = fixture_get(&fixture, "s");
    size_t filler = BUDGET_BYTES - store_budget_reserved(&fixture.budget);
    ck_assert_int_eq(store_budget_charge(&fixture.budget, filler, "filler", NULL), HOP_OK);
    uint64_t id = submit(&fixture, set).id;
    store_work_view study = over(&fixture, id);
    ck_assert_int_eq(study.state, STORE_WORK_FAILED);
    ck_assert_int_eq(study.error.status, HOP_E_BUDGET);
    study = submit(&fixture, set);
    ck_assert(study.id == id && study.state == STORE_WORK_FAILED);
    store_budget_release(&fixture.budget, filler);
    study = submit(&fixture, set);
    ck_assert_uint_ne(study.id, id);
    ck_assert_int_eq(over(&fixture, study.id).state, STORE_SUCCEEDED);
    store_set_release(set);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(the_last_ones_that_ended_are_remembered)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    fixture_put(&fixture, "s", fixture_set(&fixture, M, D, 0, &plain));
    store_set *set = fixture_get(&fixture, "s");
    store_work_view study;
    for (uint64_t i = 1; i <= STORE_WORK_KEPT + 5; i++)
        over(&fixture, submit(&fixture, set).id);
    ck_assert(!store_progress_get(store_operations_progress(fixture.operations), 5, &study));
    ck_assert(store_progress_get(store_operations_progress(fixture.operations), 6, &study));
    ck_assert(store_progress_get(store_operations_progress(fixture.operations), STORE_WORK_KEPT + 5, &study));
    store_set_release(set);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(stopping_ends_what_waits_and_what_runs)
{
    store_fixture fixture;
    uint64_t first;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    store_set *a = start_large(&fixture, "a", &first);
    fixture_put(&fixture, "b", fixture_set(&fixture, M, D, 1, &plain));
    store_set *b = fixture_get(&fixture, "b");
    submit(&fixture, b);
    store_operations_stop(fixture.operations);
    store_work_view study;
    ck_assert_int_eq(store_studies_submit(studies_of(&fixture), b, &study, NULL), HOP_E_CANCELLED);
    store_registry_free(fixture.registry);
    store_operations_free(fixture.operations);
    ck_assert_ptr_null(store_set_separation(a));
    ck_assert_ptr_null(store_set_separation(b));
    store_set_release(a);
    store_set_release(b);
    ck_assert_uint_eq(store_budget_reserved(&fixture.budget), 0);
}
END_TEST

START_TEST(a_set_says_its_regime_before_and_with_its_maps)
{
    const store_options options = {.beta = 0.5, .max_error = 0.01, .max_degree = 4};
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    store_set *set = fixture_set(&fixture, M, D, 0, &options);
    const hop_regime *regime = store_set_regime(set);
    ck_assert_ptr_nonnull(regime);
    ck_assert(regime->predicted && regime->tau == M && regime->reason[0] != '\0');
    fixture_put(&fixture, "s", set);
    set = fixture_get(&fixture, "s");
    fixture_settle(set);
    const hop_regime *with_maps = store_set_regime(set);
    ck_assert_ptr_ne(with_maps, regime);
    ck_assert(!with_maps->predicted && with_maps->g_max == 4 && with_maps->tau == M);
    ck_assert_double_eq(with_maps->beta_B2_d, 0.5 * D * with_maps->B * with_maps->B);
    store_set_release(set);
    fixture_fini(&fixture);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("studies");
    TCase *cases = tcase_create("studies");
    tcase_add_test(cases, a_version_is_measured_once_and_charged);
    tcase_add_test(cases, who_asks_meanwhile_hears_of_the_same_operation);
    tcase_add_test(cases, a_version_that_goes_takes_its_operation_along);
    tcase_add_test(cases, a_failure_is_shown_once_and_then_tried_again);
    tcase_add_test(cases, the_last_ones_that_ended_are_remembered);
    tcase_add_test(cases, stopping_ends_what_waits_and_what_runs);
    tcase_add_test(cases, a_set_says_its_regime_before_and_with_its_maps);
    suite_add_tcase(suite, cases);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
