/*
 * test_progress.c - operations that can be asked about: states, percent, what is remembered.
 */
#include "store/progress.h"
#include "support/check_main.h"

#include "core/status.h"

#include <math.h>
#include <time.h>

static store_progress *progress;

static void set_up(void)
{
    ck_assert_int_eq(store_progress_new(&progress, NULL), HOP_OK);
}

static void tear_down(void)
{
    store_progress_free(progress);
}

static store_work *open_work(uint64_t version)
{
    store_work *work = NULL;
    ck_assert_int_eq(store_work_open(progress, "put", "a", version, &work, NULL), HOP_OK);
    return work;
}

static store_work_view view_of(uint64_t id)
{
    store_work_view view;
    ck_assert(store_progress_get(progress, id, &view));
    return view;
}

START_TEST(an_operation_goes_through_its_states)
{
    store_work *work = open_work(0);
    uint64_t id = store_work_id(work);
    store_work_view view = view_of(id);
    ck_assert_uint_eq(id, 1);
    ck_assert_str_eq(view.kind, "put");
    ck_assert_str_eq(view.set, "a");
    ck_assert_str_eq(store_work_state_word(view.state), "queued");
    ck_assert(view.version == 0 && view.permille == 0 && isnan(view.eta_seconds));
    ck_assert(view.created_ms > 0 && view.started_ms == 0 && view.ended_ms == 0);
    store_work_start(work);
    view = view_of(id);
    ck_assert_str_eq(store_work_state_word(view.state), "running");
    ck_assert(view.started_ms >= view.created_ms && view.ended_ms == 0);
    store_work_close(work, 7, NULL);
    view = view_of(id);
    ck_assert_str_eq(store_work_state_word(view.state), "succeeded");
    ck_assert(view.version == 7 && view.permille == 1000 && isnan(view.eta_seconds));
    ck_assert(view.ended_ms >= view.started_ms && view.error.status == HOP_OK);
}
END_TEST

START_TEST(a_failure_says_why_and_where_it_stopped)
{
    store_work *work = open_work(3);
    uint64_t id = store_work_id(work);
    hop_error error = HOP_ERROR_NONE;
    hop_fail(&error, HOP_E_IO, "the disk is full");
    store_work_start(work);
    store_work_part(work, 500, 1e6);
    store_work_part(work, 1000, 1e6);
    store_work_close(work, 0, &error);
    store_work_view view = view_of(id);
    ck_assert_str_eq(store_work_state_word(view.state), "failed");
    ck_assert(view.error.status == HOP_E_IO && view.version == 3);
    ck_assert_str_eq(view.error.text, "the disk is full");
    ck_assert(view.permille >= 500 && view.permille < 1000);
}
END_TEST

START_TEST(parts_stay_within_their_share_whatever_the_clock_says)
{
    store_work *work = open_work(0);
    uint64_t id = store_work_id(work);
    store_work_part(work, 300, 1e-9); /* not before it runs */
    ck_assert_uint_eq(view_of(id).permille, 0);
    store_work_start(work);
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ck_assert_uint_eq(view_of(id).permille, 299);
    store_work_part(work, 1000, 1e9);
    store_work_view view = view_of(id);
    ck_assert(view.permille == 300 && view.eta_seconds > 0);
    store_work_part(work, 1000, 0);
    ck_assert_uint_eq(view_of(id).permille, 999);
    store_work_close(work, 1, NULL);
}
END_TEST

START_TEST(work_that_counts_for_itself_is_believed)
{
    store_work *work = open_work(0);
    uint64_t id = store_work_id(work);
    hop_progress *own = store_work_progress(work);
    store_work_start(work);
    atomic_store(&own->permille, 420);
    ck_assert_uint_eq(view_of(id).permille, 420);
    atomic_store(&own->permille, 1000);
    ck_assert_uint_eq(view_of(id).permille, 999); /* it is not over */
    store_work_close(work, 0, NULL);
    ck_assert_uint_eq(view_of(id).permille, 1000);
}
END_TEST

START_TEST(open_ones_are_kept_and_of_the_closed_the_last)
{
    store_work *first = open_work(0), *third;
    store_work_close(open_work(0), 0, NULL);
    third = open_work(0);
    for (uint64_t i = 0; i < STORE_WORK_KEPT; i++)
        store_work_close(open_work(0), 0, NULL);
    store_work_view view;
    ck_assert(!store_progress_get(progress, 2, &view));
    ck_assert(!store_progress_get(progress, 0, &view));
    ck_assert(!store_progress_get(progress, STORE_WORK_KEPT + 4, &view));
    ck_assert_int_eq(view_of(1).state, STORE_QUEUED);
    ck_assert_int_eq(view_of(3).state, STORE_QUEUED);
    ck_assert_int_eq(view_of(4).state, STORE_SUCCEEDED);
    store_work_close(third, 0, NULL); /* one more: the oldest closed one in the list is dropped */
    ck_assert_int_eq(view_of(1).state, STORE_QUEUED);
    ck_assert_int_eq(view_of(STORE_WORK_KEPT + 3).state, STORE_SUCCEEDED);
    store_work_close(first, 0, NULL);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("progress");
    TCase *cases = tcase_create("progress");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, an_operation_goes_through_its_states);
    tcase_add_test(cases, a_failure_says_why_and_where_it_stopped);
    tcase_add_test(cases, parts_stay_within_their_share_whatever_the_clock_says);
    tcase_add_test(cases, work_that_counts_for_itself_is_believed);
    tcase_add_test(cases, open_ones_are_kept_and_of_the_closed_the_last);
    suite_add_tcase(suite, cases);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
