/*
 * test_folder.c - the data directory: each call to the system fails in turn, and what was acknowledged stays; what a
 * killed process leaves behind goes; what cannot be loaded stops nothing else.
 */
#include "disk.h"
#include "fixture.h"
#include "kept.h"
#include "support/check_main.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

START_TEST(sets_are_there_after_a_restart)
{
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    open_store(&store);
    ck_assert_int_eq(put(&store, "a", 1, &error), HOP_OK);
    ck_assert_int_eq(put(&store, "a", 2, &error), HOP_OK);
    ck_assert_int_eq(put(&store, "b", 3, &error), HOP_OK);
    ck_assert_int_eq(put(&store, "c", 4, &error), HOP_OK);
    ck_assert_int_eq(store_registry_delete(store.fixture.registry, "c", NULL, &error), HOP_OK);
    ck_assert_str_eq(disk_names(path), " a@2.safetensors b@1.safetensors");
    close_store(&store);
    assert_after_restart("a", 2, 2);
    assert_after_restart("b", 1, 3);
    assert_after_restart("c", 0, 0);
}
END_TEST

/* What makes a change durable, in the order that makes it so. The old version goes once the new one counts. */
START_TEST(a_change_is_synced_before_it_is_acknowledged)
{
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    open_store(&store);
    disk_fail(LONG_MAX, false, 0);
    ck_assert_int_eq(put(&store, "a", 1, &error), HOP_OK);
    ck_assert_str_eq(disk_sequence(), " open write sync close unlink rename sync");
    disk_fail(LONG_MAX, false, 0);
    ck_assert_int_eq(put(&store, "a", 2, &error), HOP_OK);
    ck_assert_str_eq(disk_sequence(), " open write sync close unlink rename sync open unlink");
    disk_fail(LONG_MAX, false, 0);
    ck_assert_int_eq(store_registry_delete(store.fixture.registry, "a", NULL, &error), HOP_OK);
    ck_assert_str_eq(disk_sequence(), " open sync rename sync unlink sync");
    disk_heal();
    close_store(&store);
}
END_TEST

/* Synced in vain: what undoes it is synced too, as what is acknowledged next need not sync the folder. */
START_TEST(a_refused_change_is_undone_durably)
{
    static const char *const sequences[] = {" open write sync close unlink rename sync unlink sync",
                                            " open sync rename sync rename sync"};
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    open_store(&store);
    ck_assert_int_eq(put(&store, "a", 1, &error), HOP_OK);
    disk_fail(LONG_MAX, false, 0);
    for (long number = 0; strcmp(disk_sequence(), sequences[_i]) != 0; number++) {
        float first;
        disk_fail(number, false, EIO);
        hop_status status =
            _i == 0 ? put(&store, "a", 2, &error) : store_registry_delete(store.fixture.registry, "a", NULL, &error);
        ck_assert_msg(status != HOP_OK, "call %ld, %s:%s", number, disk_failed_call(), disk_sequence());
        ck_assert_uint_eq(current(&store, "a", &first), 1);
    }
    ck_assert_str_eq(disk_failed_call(), "sync");
    disk_heal();
    close_store(&store);
    assert_after_restart("a", 1, 1);
}
END_TEST

/* Feature maps are kept when they are built, and read instead of built. */
START_TEST(maps_need_no_second_build)
{
    kept_store store;
    store_standing now;
    hop_error error = HOP_ERROR_NONE;
    open_store(&store);
    store_change *change = NULL;
    const store_options options = {.max_error = -1, .max_degree = 3};
    ck_assert_int_eq(store_registry_begin(store.fixture.registry, "a", NULL, &change, &error), HOP_OK);
    store_set *set = fixture_set(&store.fixture, M, D, 1, &options);
    ck_assert_int_eq(store_registry_save(store.fixture.registry, change, set, NULL, &error), HOP_OK);
    store_registry_commit(store.fixture.registry, change, set);
    set = fixture_get(&store.fixture, "a");
    fixture_settle(set);
    store_set_release(set);
    ck_assert_str_eq(disk_names(path), " a@1.maps.safetensors a@1.safetensors");
    close_store(&store);

    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    set = fixture_get(&store.fixture, "a");
    fixture_settle(set);
    ck_assert_uint_eq(hop_features_max_degree(hop_model_features(set->model)), 3);
    ck_assert_ptr_nonnull(strstr(said, "maps of degree 3 were kept"));
    store_set_release(set);
    /* Replaced: the old version's maps go with it. */
    ck_assert_int_eq(put(&store, "a", 2, &error), HOP_OK);
    ck_assert_str_eq(disk_names(path), " a@2.safetensors");
    close_store(&store);
}
END_TEST

typedef enum scenario { CREATE, REPLACE, DELETE_SET, SCENARIOS } scenario;

static hop_status act(kept_store *store, scenario what, hop_error *error)
{
    return what == DELETE_SET ? store_registry_delete(store->fixture.registry, "a", NULL, error)
                              : put(store, "a", 2, error);
}

/*
 * Every call of a change fails in turn, alone or with all that follow: the change is refused with the system's reason
 * and nothing is different, now and for a new process, or it has succeeded and a new process sees that.
 */
static void fail_each_call(scenario what, bool forever)
{
    static const int reasons[] = {ENOSPC, EIO, EROFS, EACCES};
    long refused = 0, number = 0;
    for (bool all = false; !all; number++) {
        hop_error error = HOP_ERROR_NONE;
        kept_store store;
        open_store(&store);
        ck_assert_int_eq(put(&store, "other", 9, &error), HOP_OK);
        if (what != CREATE)
            ck_assert_int_eq(put(&store, "a", 1, &error), HOP_OK);
        uint64_t before = what != CREATE, after = what == DELETE_SET ? 0 : before + 1;
        char names[4096];
        snprintf(names, sizeof names, "%s", disk_names(path));

        int reason = reasons[number % 4];
        disk_fail(number, forever, reason);
        hop_status status = act(&store, what, &error);
        all = disk_calls() <= number;
        char call[32];
        snprintf(call, sizeof call, "%s", disk_failed_call());
        disk_heal();

        float first = 0;
        bool gone = strstr(error.text, "will be gone after a restart") != NULL;
        if (status != HOP_OK) {
            refused++;
            ck_assert_msg(status == store_system_status(reason) && strstr(error.text, strerror(reason)), "%s %ld: %s",
                          call, number, error.text);
            ck_assert_uint_eq(current(&store, "a", &first), before);
            /* Nothing is left behind by one failure; a disk that fails for good cannot be tidied. */
            if (!forever)
                ck_assert_msg(strcmp(disk_names(path), names) == 0, "%s %ld: %s", call, number, disk_names(path));
        } else {
            ck_assert_uint_eq(current(&store, "a", &first), after);
        }
        ck_assert_uint_eq(current(&store, "other", &first), 1);
        close_store(&store);

        bool done = status == HOP_OK || gone;
        /* Synced in vain and not to be undone: it says so, and either is right after a restart. */
        bool unsure = strstr(error.text, "may count after a restart") != NULL;
        ck_assert(!unsure || forever);
        if (!unsure)
            assert_after_restart("a", done ? after : before, done && what != DELETE_SET ? 2 : 1);
        open_store(&store);
        ck_assert_ptr_null(strstr(disk_names(path), ".tmp"));
        ck_assert_ptr_null(strstr(disk_names(path), ".deleted"));
        start_loading(&store);
        store_standing now;
        if (standing(&store, "a", &now))
            ck_assert_int_eq(store_registry_delete(store.fixture.registry, "a", NULL, &error), HOP_OK);
        ck_assert_str_eq(disk_names(path), " other@1.safetensors");
        ck_assert(standing(&store, "other", &now));
        ck_assert_int_eq(store_registry_delete(store.fixture.registry, "other", NULL, NULL), HOP_OK);
        close_store(&store);
    }
    ck_assert_int_ge(refused, what == DELETE_SET ? 3 : 5);
    hop_check_note("%ld of %ld failing calls refused the change", refused, number - 1);
}

START_TEST(every_failing_call_of_a_change_leaves_what_was)
{
    fail_each_call((scenario)(_i / 2), _i % 2);
}
END_TEST

/* Calls of opening and of loading: a clear message, or a set that failed; never another set's trouble. */
START_TEST(every_failing_call_of_a_start_is_survived)
{
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    open_store(&store);
    ck_assert_int_eq(put(&store, "a", 1, &error), HOP_OK);
    ck_assert_int_eq(put(&store, "b", 2, &error), HOP_OK);
    close_store(&store);
    char names[4096];
    snprintf(names, sizeof names, "%s", disk_names(path));
    long refused = 0, failed_sets = 0;
    bool all = false;
    for (long number = 0; !all; number++) {
        error = HOP_ERROR_NONE;
        store = (kept_store){0};
        fixture_init(&store.fixture, BUDGET_BYTES, NULL);
        disk_fail(number, false, EIO);
        hop_status status = store_folder_open(path, (store_listener){0}, &store.folder, &error);
        if (status == HOP_OK) {
            const store_loading loading = {.budget = &store.fixture.budget, .packing = HOP_PACK_NONE};
            status = store_loader_new(store.folder, store.fixture.registry, &loading, &store.loader, &error);
        }
        if (status != HOP_OK) {
            refused++;
            ck_assert_msg(status == HOP_E_IO && strstr(error.text, strerror(EIO)), "%s", error.text);
        } else {
            store_standing a, b;
            ck_assert(standing(&store, "a", &a) && standing(&store, "b", &b));
            int failures = (a.state == STORE_FAILED) + (b.state == STORE_FAILED);
            ck_assert_int_le(failures, 1);
            failed_sets += failures;
            if (failures)
                ck_assert_ptr_nonnull(strstr(a.reason[0] ? a.reason : b.reason, strerror(EIO)));
            store_set *set = NULL;
            if (a.state == STORE_FAILED) {
                ck_assert_int_eq(store_registry_get(store.fixture.registry, "a", &set, &error), HOP_E_UNLOADED);
                ck_assert_ptr_nonnull(strstr(error.text, strerror(EIO)));
            }
            store_loader_free(store.loader);
            store.loader = NULL;
            all = disk_calls() <= number;
        }
        disk_heal();
        close_store(&store);
        ck_assert_str_eq(disk_names(path), names);
    }
    ck_assert_int_ge(refused, 3);
    ck_assert_int_ge(failed_sets, 6);
    assert_after_restart("a", 1, 1);
}
END_TEST

/* Maps that cannot be written are no fault of the set. */
START_TEST(every_failing_call_of_keeping_maps_leaves_a_ready_set)
{
    long problems = 0;
    for (long number = 0, all = 0; !all; number++) {
        hop_error error = HOP_ERROR_NONE;
        kept_store store;
        open_store(&store);
        const store_options options = {.max_error = -1, .max_degree = 2};
        store_set *set = fixture_set(&store.fixture, M, D, 1, &options);
        store_change *change = NULL;
        ck_assert_int_eq(store_registry_begin(store.fixture.registry, "a", NULL, &change, &error), HOP_OK);
        ck_assert_int_eq(store_registry_save(store.fixture.registry, change, set, NULL, &error), HOP_OK);
        disk_fail(number, false, ENOSPC);
        store_registry_commit(store.fixture.registry, change, set);
        set = fixture_get(&store.fixture, "a");
        fixture_settle(set);
        all = disk_calls() <= number;
        disk_heal();
        ck_assert_int_eq(store_set_state(set), STORE_READY);
        ck_assert_ptr_nonnull(hop_model_features(set->model));
        store_set_release(set);
        problems += strstr(said, "not kept") != NULL;
        ck_assert_ptr_null(strstr(disk_names(path), ".tmp"));
        ck_assert_int_eq(store_registry_delete(store.fixture.registry, "a", NULL, &error), HOP_OK);
        ck_assert_str_eq(disk_names(path), "");
        close_store(&store);
    }
    ck_assert_int_ge(problems, 6);
}
END_TEST

START_TEST(a_damaged_set_fails_alone_and_can_be_replaced_or_deleted)
{
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    store_standing now;
    float first = 0;
    store_set *set = NULL;
    open_store(&store);
    ck_assert_int_eq(put(&store, "a", 1, &error), HOP_OK);
    ck_assert_int_eq(put(&store, "a", 2, &error), HOP_OK);
    ck_assert_int_eq(put(&store, "b", 3, &error), HOP_OK);
    ck_assert_int_eq(put(&store, "c", 4, &error), HOP_OK);
    close_store(&store);
    disk_write(path, "a@2.safetensors", "torn", 4);
    disk_write(path, "c@1.safetensors", "", 0);

    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    ck_assert_int_eq(now.state, STORE_FAILED);
    ck_assert_ptr_nonnull(strstr(now.reason, "a@2.safetensors"));
    store_standing other;
    ck_assert(standing(&store, "b", &other) && standing(&store, "c", &other));
    ck_assert_uint_eq(current(&store, "b", &first), 1);
    ck_assert_int_eq(store_registry_get(store.fixture.registry, "a", &set, &error), HOP_E_UNLOADED);
    /* It is there, so nobody creates over it by accident; whoever means it replaces it, and no version comes twice. */
    const store_condition create = {.if_none_match = "*"};
    store_change *change = NULL;
    ck_assert_int_eq(store_registry_begin(store.fixture.registry, "a", &create, &change, NULL), HOP_E_EXISTS);
    ck_assert_int_eq(put(&store, "a", 5, NULL), HOP_OK);
    ck_assert_uint_eq(current(&store, "a", &first), 3);
    ck_assert_int_eq(store_registry_delete(store.fixture.registry, "c", NULL, NULL), HOP_OK);
    ck_assert(!standing(&store, "c", &now));
    ck_assert_str_eq(disk_names(path), " a@3.safetensors b@1.safetensors");
    close_store(&store);
    assert_after_restart("a", 3, 5);
}
END_TEST

/* Killed between the new version's rename and the old one's removal; then the newer one is damaged. */
START_TEST(the_newest_whole_version_answers)
{
    static char bytes[DISK_FILE_BYTES];
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    store_standing now;
    float first = 0;
    open_store(&store);
    ck_assert_int_eq(put(&store, "a", 1, &error), HOP_OK);
    size_t n = disk_read(path, "a@1.safetensors", bytes);
    ck_assert_int_eq(put(&store, "a", 2, &error), HOP_OK);
    close_store(&store);
    disk_write(path, "a@1.safetensors", bytes, n);
    assert_after_restart("a", 2, 2);
    ck_assert_str_eq(disk_names(path), " a@2.safetensors");

    disk_write(path, "a@1.safetensors", bytes, n);
    n = disk_read(path, "a@2.safetensors", bytes);
    bytes[n - 1] ^= 1;
    disk_write(path, "a@2.safetensors", bytes, n);
    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    ck_assert_int_eq(now.state, STORE_FAILED);
    ck_assert_ptr_nonnull(strstr(now.reason, "this is version 1"));
    ck_assert_uint_eq(current(&store, "a", &first), 1);
    ck_assert_float_eq(first, 1);
    ck_assert_int_eq(put(&store, "a", 3, &error), HOP_OK);
    ck_assert_uint_eq(current(&store, "a", &first), 3);
    ck_assert_str_eq(disk_names(path), " a@3.safetensors");
    close_store(&store);
}
END_TEST

/* A file that changes while its set is in memory changes no answer. */
START_TEST(a_file_cut_off_under_a_loaded_set_changes_nothing_until_a_restart)
{
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    store_standing now;
    open_store(&store);
    ck_assert_int_eq(put(&store, "a", 1, &error), HOP_OK);
    close_store(&store);
    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    store_set *set = fixture_get(&store.fixture, "a");
    disk_write(path, "a@1.safetensors", "", 0);
    float rows[M * D];
    fixture_rows(M, D, 1, rows);
    ck_assert(memcmp(rows, set->memories, sizeof rows) == 0);
    store_set_release(set);
    close_store(&store);
    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    ck_assert_int_eq(now.state, STORE_FAILED);
    close_store(&store);
}
END_TEST

START_TEST(what_a_killed_process_leaves_goes_and_other_files_stay)
{
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    store_standing now;
    open_store(&store);
    ck_assert_int_eq(put(&store, "a", 1, &error), HOP_OK);
    close_store(&store);
    static const char *const stale[] = {"a@2.safetensors.tmp", "b@1.safetensors.deleted", "a@1.maps.safetensors.tmp",
                                        "b@1.maps.safetensors"};
    static const char *const others[] = {"a@02.safetensors", "a@1.log", "notes.txt", "x.tmp", "a@0.safetensors"};
    for (size_t i = 0; i < sizeof stale / sizeof *stale; i++)
        disk_write(path, stale[i], "?", 1);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        disk_write(path, others[i], "?", 1);
    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    ck_assert(!standing(&store, "b", &now) && !standing(&store, "x", &now));
    close_store(&store);
    ck_assert_str_eq(disk_names(path), " a@0.safetensors a@02.safetensors a@1.log a@1.safetensors notes.txt x.tmp");
}
END_TEST

/* Names that are no plain files: refused without waiting for them. */
START_TEST(a_pipe_or_a_folder_of_that_name_is_a_failed_set)
{
    kept_store store;
    store_standing now;
    char name[2 * DISK_PATH_BYTES];
    snprintf(name, sizeof name, "%s/pipe@1.safetensors", path);
    ck_assert_int_eq(mkfifo(name, 0600), 0);
    snprintf(name, sizeof name, "%s/folder@1.safetensors", path);
    ck_assert_int_eq(mkdir(name, 0700), 0);
    snprintf(name, sizeof name, "%s/link@1.safetensors", path);
    ck_assert_int_eq(symlink("/dev/zero", name), 0);
    open_store(&store);
    start_loading(&store);
    static const char *const names[] = {"pipe", "folder", "link"};
    static const char *const reasons[] = {"no regular file", "no regular file", "symbolic link"};
    for (size_t i = 0; i < 3; i++) {
        ck_assert(standing(&store, names[i], &now));
        ck_assert_int_eq(now.state, STORE_FAILED);
        ck_assert_msg(strstr(now.reason, reasons[i]) != NULL, "%s", now.reason);
    }
    close_store(&store);
}
END_TEST

START_TEST(a_set_over_the_budget_fails_and_its_file_stays)
{
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    store_standing now;
    open_store(&store);
    ck_assert_int_eq(put(&store, "a", 1, &error), HOP_OK);
    close_store(&store);
    open_store(&store);
    store.fixture.budget.limit_bytes = 1000;
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    ck_assert_int_eq(now.state, STORE_FAILED);
    ck_assert_ptr_nonnull(strstr(now.reason, "memory budget"));
    close_store(&store);
    assert_after_restart("a", 1, 1);
}
END_TEST

START_TEST(one_process_has_the_folder)
{
    hop_error error = HOP_ERROR_NONE;
    store_folder *folder = NULL, *second = NULL;
    char inner[2 * DISK_PATH_BYTES];
    snprintf(inner, sizeof inner, "%s/made/on the/way", path);
    ck_assert_msg(store_folder_open(inner, (store_listener){0}, &folder, &error) == HOP_OK, "%s", error.text);
    ck_assert_int_eq(store_folder_open(inner, (store_listener){0}, &second, &error), HOP_E_BUSY);
    ck_assert_ptr_nonnull(strstr(error.text, "in use by another process"));
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        store_folder_close(folder); /* the lock is the parent's as long as the parent has it */
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(store_folder_open(inner, (store_listener){0}, &second, NULL), HOP_E_BUSY);
    store_folder_close(folder);
    error = HOP_ERROR_NONE;
    ck_assert_msg(store_folder_open(inner, (store_listener){0}, &second, &error) == HOP_OK, "%s", error.text);
    store_folder_close(second);
    disk_write(path, "file", "", 0);
    snprintf(inner, sizeof inner, "%s/file", path);
    error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_folder_open(inner, (store_listener){0}, &second, &error), HOP_E_IO);
    ck_assert_ptr_nonnull(strstr(error.text, strerror(ENOTDIR)));
}
END_TEST

/* Whoever reads it is told, whoever writes is refused, and nothing is lost. Root may write anyway. */
START_TEST(a_folder_that_may_not_be_written_still_answers)
{
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    store_standing now;
    float first;
    open_store(&store);
    ck_assert_int_eq(put(&store, "a", 1, &error), HOP_OK);
    close_store(&store);
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(65534), 0);
    if (chmod(path, 0500) != 0) { /* it is root's: what others may */
        ck_assert_int_eq(seteuid(0), 0);
        ck_assert_int_eq(chown(path, 65534, (gid_t)-1), 0);
        char name[2 * DISK_PATH_BYTES];
        snprintf(name, sizeof name, "%s/a@1.safetensors", path);
        ck_assert_int_eq(chown(name, 65534, (gid_t)-1), 0);
        ck_assert_int_eq(chmod(path, 0500), 0);
        ck_assert_int_eq(seteuid(65534), 0);
    }
    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    ck_assert_int_eq(put(&store, "a", 2, &error), HOP_E_IO);
    ck_assert_ptr_nonnull(strstr(error.text, strerror(EACCES)));
    error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_registry_delete(store.fixture.registry, "a", NULL, &error), HOP_E_IO);
    ck_assert_ptr_nonnull(strstr(error.text, strerror(EACCES)));
    ck_assert_uint_eq(current(&store, "a", &first), 1);
    close_store(&store);
    ck_assert_int_eq(chmod(path, 0700), 0);
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
    assert_after_restart("a", 1, 1);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("folder");
    TCase *tests = tcase_create("folder");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, kept_setup, kept_teardown);
    tcase_add_test(tests, sets_are_there_after_a_restart);
    tcase_add_test(tests, a_change_is_synced_before_it_is_acknowledged);
    tcase_add_loop_test(tests, a_refused_change_is_undone_durably, 0, 2);
    tcase_add_test(tests, maps_need_no_second_build);
    tcase_add_loop_test(tests, every_failing_call_of_a_change_leaves_what_was, 0, 2 * SCENARIOS);
    tcase_add_test(tests, every_failing_call_of_a_start_is_survived);
    tcase_add_test(tests, every_failing_call_of_keeping_maps_leaves_a_ready_set);
    tcase_add_test(tests, a_damaged_set_fails_alone_and_can_be_replaced_or_deleted);
    tcase_add_test(tests, the_newest_whole_version_answers);
    tcase_add_test(tests, a_file_cut_off_under_a_loaded_set_changes_nothing_until_a_restart);
    tcase_add_test(tests, what_a_killed_process_leaves_goes_and_other_files_stay);
    tcase_add_test(tests, a_pipe_or_a_folder_of_that_name_is_a_failed_set);
    tcase_add_test(tests, a_set_over_the_budget_fails_and_its_file_stays);
    tcase_add_test(tests, one_process_has_the_folder);
    tcase_add_test(tests, a_folder_that_may_not_be_written_still_answers);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
