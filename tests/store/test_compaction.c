/*
 * test_compaction.c - logs that are made into files of whole sets, while changes go on; and every moment of every kind of
 * change at which the process, or the power, could go.
 */
#include "crash.h"
#include "disk.h"
#include "history.h"
#include "store/compaction.h"
#include "support/check_main.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HURRIED_ROWS = 45000 }; /* of D + HISTORY_P floats: a log of more than 1 MiB in two changes */

static void change(history *past, kept_store *store, size_t from, size_t to)
{
    hop_error error = HOP_ERROR_NONE;
    for (size_t step = from; step < to; step++)
        ck_assert_msg(history_change(past, store, step, &error) == HOP_OK, "%zu: %s", step, error.text);
}

/* The name's files, as compaction knows them; the log need not be long. */
static uint64_t life_of(kept_store *store)
{
    return store_folder_life(store->folder, "a");
}

static void assert_found(const history *past, const char *when)
{
    bool failed;
    ck_assert_uint_eq(history_find(past, path, &failed, when), past->acknowledged);
    ck_assert(!failed);
}

/* The same while the store is open. */
static void assert_found_now(const history *past, const char *when)
{
    char copy[DISK_PATH_BYTES];
    bool failed;
    disk_folder_copy(path, copy);
    ck_assert_uint_eq(history_find(past, copy, &failed, when), past->acknowledged);
    ck_assert(!failed);
    disk_folder_remove(copy);
}

START_TEST(a_log_becomes_a_file_and_a_shorter_log)
{
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    history past;
    open_store(&store);
    history_begin(&past, &store, HOP_CENTERED_COSINE, true);
    change(&past, &store, 0, 5);
    store_set *set = fixture_get(&store.fixture, "a");
    uint64_t life = life_of(&store);
    if (_i) /* changes while the set is written */
        change(&past, &store, 5, 9);
    ck_assert_msg(store_folder_compact(store.folder, set, life, &error) == HOP_OK, "%s", error.text);
    store_set_release(set);
    ck_assert_str_eq(disk_names(path), _i ? " a@6.log a@6.safetensors" : " a@6.safetensors");
    assert_found_now(&past, "compacted");
    /* Changes go on, of the new pair. */
    change(&past, &store, 9, HISTORY_STEPS + 3);
    ck_assert_str_eq(disk_names(path), " a@6.log a@6.safetensors");
    assert_found_now(&past, "changed");
    set = fixture_get(&store.fixture, "a");
    ck_assert_int_eq(store_folder_compact(store.folder, set, life, &error), HOP_OK); /* of another life: nothing */
    ck_assert_str_eq(disk_names(path), " a@6.log a@6.safetensors");
    ck_assert_int_eq(store_folder_compact(store.folder, set, life_of(&store), &error), HOP_OK);
    store_set_release(set);
    close_store(&store);
    ck_assert_str_eq(disk_names(path), _i ? " a@15.safetensors" : " a@11.safetensors");
    assert_found(&past, "compacted again");
    history_free(&past);
}
END_TEST

/*
 * Stopped before the old pair went; then the new file is damaged. The old pair makes the same version, and what changes it
 * is not written beside the damaged file.
 */
START_TEST(an_old_pair_that_answers_is_changed_as_a_whole)
{
    static char log[DISK_FILE_BYTES], old[DISK_FILE_BYTES], new[DISK_FILE_BYTES];
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    store_standing now;
    history past;
    open_store(&store);
    history_begin(&past, &store, HOP_DOT, true);
    change(&past, &store, 0, 5);
    size_t old_bytes = disk_read(path, "a@1.safetensors", old), log_bytes = disk_read(path, "a@1.log", log);
    store_set *set = fixture_get(&store.fixture, "a");
    ck_assert_int_eq(store_folder_compact(store.folder, set, life_of(&store), &error), HOP_OK);
    store_set_release(set);
    close_store(&store);
    disk_write(path, "a@1.safetensors", old, old_bytes);
    disk_write(path, "a@1.log", log, log_bytes);
    size_t new_bytes = disk_read(path, "a@6.safetensors", new);
    new[new_bytes - 1] ^= 1;
    disk_write(path, "a@6.safetensors", new, new_bytes);
    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    ck_assert_int_eq(now.state, STORE_FAILED);
    change(&past, &store, 5, 6);
    ck_assert_str_eq(disk_names(path), " a@7.safetensors");
    change(&past, &store, 6, 8);
    close_store(&store);
    assert_found(&past, "changed");
    history_free(&past);
}
END_TEST

/* Deleted, or replaced, while it is written: it does not come back. */
START_TEST(a_compaction_that_comes_too_late_does_nothing)
{
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    history past;
    open_store(&store);
    history_begin(&past, &store, HOP_DOT, false);
    change(&past, &store, 0, 5);
    store_set *set = fixture_get(&store.fixture, "a");
    uint64_t life = life_of(&store);
    if (_i == 0) {
        ck_assert_int_eq(put(&store, "a", 4, &error), HOP_OK);
    } else {
        ck_assert_int_eq(store_registry_delete(store.fixture.registry, "a", NULL, &error), HOP_OK);
        if (_i == 2)
            ck_assert_int_eq(put(&store, "a", 4, &error), HOP_OK);
    }
    ck_assert_int_eq(store_folder_compact(store.folder, set, life, &error), HOP_OK);
    store_set_release(set);
    ck_assert_str_eq(disk_names(path), _i == 0 ? " a@7.safetensors" : _i == 1 ? "" : " a@1.safetensors");
    close_store(&store);
    assert_after_restart("a", _i == 0 ? 7 : _i == 1 ? 0 : 1, 4);
    history_free(&past);
}
END_TEST

/* The thread: a log over its limit, without anybody asking. */
START_TEST(a_long_log_is_compacted_in_the_background)
{
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    history past;
    store_compaction *compaction = NULL;
    open_store(&store);
    store.fixture.budget.limit_bytes = SIZE_MAX;
    history_begin(&past, &store, HOP_DOT, false);
    if (_i == 0)
        ck_assert_int_eq(store_compaction_new(store.folder, store.fixture.registry, &compaction, &error), HOP_OK);
    ck_assert_int_eq(history_append(&past, &store, HURRIED_ROWS, &error), HOP_OK);
    ck_assert_int_eq(history_append(&past, &store, HURRIED_ROWS, &error), HOP_OK);
    if (_i == 1) { /* long before anybody listened, and found by a start */
        close_store(&store);
        open_store(&store);
        store.fixture.budget.limit_bytes = SIZE_MAX;
        ck_assert_int_eq(store_compaction_new(store.folder, store.fixture.registry, &compaction, &error), HOP_OK);
        start_loading(&store);
    }
    while (strstr(disk_names(path), "@1.") || strstr(disk_names(path), ".compact"))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    store_set *set = fixture_get(&store.fixture, "a");
    history_assert(&past, set, "meanwhile");
    store_set_release(set);
    store_compaction_free(compaction);
    close_store(&store);
    assert_found(&past, "compacted");
    ck_assert_ptr_null(strstr(disk_names(path), "@1."));
    history_free(&past);
}
END_TEST

/* ---- calls that fail ----------------------------------------------------------------------------------- */

static void fail_each_call(bool more, bool forever)
{
    long failures = 0, number = 0;
    for (bool all = false; !all; number++) {
        hop_error error = HOP_ERROR_NONE;
        kept_store store;
        history past;
        bool failed;
        open_store(&store);
        history_begin(&past, &store, HOP_DOT, true);
        change(&past, &store, 0, 4);
        store_set *set = fixture_get(&store.fixture, "a");
        uint64_t life = life_of(&store);
        if (more)
            change(&past, &store, 4, 7);
        disk_fail(number, forever, number % 2 ? ENOSPC : EIO);
        hop_status status = store_folder_compact(store.folder, set, life, &error);
        all = disk_calls() <= number;
        char call[32], copy[DISK_PATH_BYTES];
        snprintf(call, sizeof call, "%s", disk_failed_call());
        disk_heal();
        failures += status != HOP_OK;
        if (status != HOP_OK)
            ck_assert_msg((status == HOP_E_IO || status == HOP_E_SPACE) && error.text[0], "%s %ld: %s", call, number,
                          error.text);
        store_set_release(set);
        disk_folder_copy(path, copy);
        ck_assert_msg(history_find(&past, copy, &failed, call) == past.acknowledged && !failed, "%s %ld: %s", call,
                      number, error.text);
        disk_folder_remove(copy);
        /* Whatever was left, changes go on, and a new process finds them. */
        change(&past, &store, 7, 9);
        close_store(&store);
        ck_assert_msg(history_find(&past, path, &failed, call) == past.acknowledged && !failed, "%s %ld: %s", call,
                      number, error.text);
        ck_assert_ptr_null(strstr(disk_names(path), ".compact"));
        history_free(&past);
        disk_folder_remove(path);
        disk_folder_make(path);
    }
    ck_assert_int_ge(failures, more ? 15 : 8);
    hop_check_note("%ld of %ld failing calls ended the compaction", failures, number - 1);
}

START_TEST(every_failing_call_of_a_compaction_leaves_what_was)
{
    fail_each_call(_i / 2, _i % 2);
}
END_TEST

/* ---- stops --------------------------------------------------------------------------------------------- */

/* What a new process would find is a version that the caller knows of, and none that was acknowledged is missing. */
static void look_at(void *context, const char *folder, const char *when)
{
    const history *past = context;
    bool failed;
    uint64_t version = history_find(past, folder, &failed, when);
    ck_assert_msg(!failed && version > 0, "%s: version %" PRIu64 ", failed %d", when, version, failed);
    /* And nothing of what was left over is left by then. */
    for (const char *at = disk_names(folder); *at; at += strcspn(at, " ")) {
        at += 1;
        ck_assert_msg(strncmp(at, "a@", 2) == 0 && !strstr(at, ".tmp") && !strstr(at, ".compact"), "%s: %s", when, at);
    }
}

typedef enum stop { STOP_FIRST, STOP_NEXT, STOP_LABELS, STOP_WHOLE, STOP_COMPACT, STOP_COMPACT_MORE, STOPS } stop;

START_TEST(a_stop_after_any_call_loses_nothing)
{
    static const size_t before[STOPS] = {0, 1, 9, 3, 5, 5};
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    history past;
    open_store(&store);
    history_begin(&past, &store, HOP_DOT, _i % 2);
    change(&past, &store, 0, before[_i]);
    store_set *set = fixture_get(&store.fixture, "a");
    uint64_t life = life_of(&store);
    if (_i == STOP_COMPACT_MORE)
        change(&past, &store, before[_i], before[_i] + 3);
    crash_follow(path, look_at, &past);
    if (_i == STOP_COMPACT || _i == STOP_COMPACT_MORE)
        ck_assert_msg(store_folder_compact(store.folder, set, life, &error) == HOP_OK, "%s", error.text);
    else if (_i == STOP_WHOLE)
        ck_assert_msg(history_append_whole(&past, &store, &error) == HOP_OK, "%s", error.text);
    else
        change(&past, &store, before[_i], before[_i] + 2);
    long states = crash_end();
    store_set_release(set);
    close_store(&store);
    assert_found(&past, "in the end");
    ck_assert_int_gt(states, 40);
    hop_check_note("%ld states", states);
    history_free(&past);
}
END_TEST

/* The set is whole, or gone: what is found of it is its newest version, or nothing. */
static void look_at_what_goes(void *context, const char *folder, const char *when)
{
    bool failed;
    uint64_t version = history_find(context, folder, &failed, when);
    ck_assert_msg(!failed || version == 0, "%s", when);
    if (version == 0)
        ck_assert_msg(strcmp(disk_names(folder), "") == 0, "%s:%s", when, disk_names(folder));
}

START_TEST(a_stop_while_a_set_is_deleted_leaves_all_of_it_or_nothing)
{
    static char bytes[DISK_FILE_BYTES];
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    history past;
    open_store(&store);
    history_begin(&past, &store, HOP_DOT, false);
    size_t n = disk_read(path, "a@1.safetensors", bytes);
    change(&past, &store, 0, 4);
    store_set *set = fixture_get(&store.fixture, "a");
    ck_assert_int_eq(store_folder_compact(store.folder, set, life_of(&store), &error), HOP_OK);
    store_set_release(set);
    change(&past, &store, 4, 6);
    disk_write(path, "a@1.safetensors", bytes, n); /* one that could not be removed */
    ck_assert_str_eq(disk_names(path), " a@1.safetensors a@5.log a@5.safetensors");
    crash_follow(path, look_at_what_goes, &past);
    ck_assert_int_eq(store_registry_delete(store.fixture.registry, "a", NULL, &error), HOP_OK);
    ck_assert_int_gt(crash_end(), 15);
    ck_assert_str_eq(disk_names(path), "");
    close_store(&store);
    history_free(&past);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("compaction");
    TCase *tests = tcase_create("compaction");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, kept_setup, kept_teardown);
    tcase_add_loop_test(tests, a_log_becomes_a_file_and_a_shorter_log, 0, 2);
    tcase_add_test(tests, an_old_pair_that_answers_is_changed_as_a_whole);
    tcase_add_loop_test(tests, a_compaction_that_comes_too_late_does_nothing, 0, 3);
    tcase_add_loop_test(tests, a_long_log_is_compacted_in_the_background, 0, 2);
    tcase_add_loop_test(tests, every_failing_call_of_a_compaction_leaves_what_was, 0, 4);
    tcase_add_loop_test(tests, a_stop_after_any_call_loses_nothing, 0, STOPS);
    tcase_add_test(tests, a_stop_while_a_set_is_deleted_leaves_all_of_it_or_nothing);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
