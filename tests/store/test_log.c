/*
 * test_log.c - changes that are appended to a log: they come back, no damage is taken for the end of the log, and a call
 * to the system that fails changes nothing.
 */
#include "disk.h"
#include "history.h"
#include "support/check_main.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef GOLDEN_FOLDER
#error "GOLDEN_FOLDER names the folder of the golden files"
#endif

static const char log_name[] = "a@1.log";

static void make_history(history *past, kept_store *store, hop_similarity similarity, bool labelled, size_t steps)
{
    hop_error error = HOP_ERROR_NONE;
    history_begin(past, store, similarity, labelled);
    for (size_t step = 0; step < steps; step++)
        ck_assert_msg(history_change(past, store, step, &error) == HOP_OK, "%zu: %s", step, error.text);
}

START_TEST(changes_come_back)
{
    static const hop_similarity similarities[] = {HOP_DOT, HOP_COSINE, HOP_CENTERED_COSINE};
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    store_standing now;
    history past;
    bool failed;
    open_store(&store);
    history_begin(&past, &store, similarities[_i / 2], _i % 2);
    for (size_t step = 0; step < 2 * HISTORY_STEPS; step++) {
        ck_assert_msg(history_change(&past, &store, step, &error) == HOP_OK, "%zu: %s", step, error.text);
        close_store(&store);
        ck_assert_str_eq(disk_names(path), " a@1.log a@1.safetensors");
        ck_assert_uint_eq(history_find(&past, path, &failed, "after a restart"), past.acknowledged);
        ck_assert(!failed);
        open_store(&store);
        start_loading(&store);
        ck_assert(standing(&store, "a", &now));
        ck_assert_int_eq(now.state, STORE_READY);
    }
    /* As files of their own they mean the same. */
    store_set *set = fixture_get(&store.fixture, "a");
    history_assert(&past, set, "in the end");
    ck_assert_int_eq(store_folder_save(store.folder, set, &error), HOP_OK);
    store_folder_remove_older(store.folder, "a", set->version);
    store_set_release(set);
    close_store(&store);
    ck_assert_str_eq(disk_names(path), " a@23.safetensors");
    ck_assert_uint_eq(history_find(&past, path, &failed, "as a whole"), past.acknowledged);
    ck_assert(!failed);
    history_free(&past);
}
END_TEST

START_TEST(a_change_is_synced_twice_before_it_is_acknowledged)
{
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    history past;
    open_store(&store);
    history_begin(&past, &store, HOP_DOT, false);
    disk_fail(LONG_MAX, false, 0);
    ck_assert_int_eq(history_change(&past, &store, 0, &error), HOP_OK);
    ck_assert_str_eq(disk_sequence(), " open write sync close rename sync");
    disk_fail(LONG_MAX, false, 0);
    ck_assert_int_eq(history_change(&past, &store, 1, &error), HOP_OK);
    ck_assert_str_eq(disk_sequence(), " open length read write sync_data write sync_data close");
    /* A set that is made again starts with the same version: the log is gone for good by then. */
    disk_fail(LONG_MAX, false, 0);
    ck_assert_int_eq(store_registry_delete(store.fixture.registry, "a", NULL, &error), HOP_OK);
    ck_assert_str_eq(disk_sequence(), " open sync rename sync unlink sync");
    disk_heal();
    close_store(&store);
    history_free(&past);
}
END_TEST

/* ---- the golden log ------------------------------------------------------------------------------------ */

static const char golden_log[] = "golden@8.log", golden_set[] = "golden@8.safetensors";

static void copy_golden(const char *name)
{
    static char golden[DISK_FILE_BYTES];
    disk_write(path, name, golden, disk_read(GOLDEN_FOLDER, name, golden));
}

static void revise_golden(kept_store *store, const store_revision *revision)
{
    hop_error error = HOP_ERROR_NONE;
    store_change *change = NULL;
    store_set *base = NULL, *set = NULL;
    ck_assert_int_eq(store_registry_begin_revision(store->fixture.registry, "golden", NULL, &change, &base, &error),
                     HOP_OK);
    ck_assert_msg(store_revise(base, revision, NULL, &set, &error) == HOP_OK, "%s", error.text);
    ck_assert_int_eq(store_registry_save(store->fixture.registry, change, set, revision, &error), HOP_OK);
    store_registry_commit(store->fixture.registry, change, set);
    store_set_release(base);
}

/* The changes of the golden log, each made of the version before by what the daemon does. */
static void change_golden(kept_store *store)
{
    enum { P = 2 };
    const float rows[2 * D] = {1, 0.5f, -2, 0.25f, 3, 1.5f}, values[2 * P] = {1, -1, 0.5f, 2};
    const char *labels[] = {"a new one \xc3\xa4", ""};
    const uint64_t ids[] = {4, 75, 1};
    const store_revision revisions[] = {
        {.kind = STORE_APPEND, .added = {.M = 2, .d = D, .p = P, .memories = rows, .values = values, .labels = labels}},
        {.kind = STORE_REMOVE, .ids = ids, .n_ids = 3},
        {.kind = STORE_SETTINGS, .options = {.beta = 0.375, .max_error = 0.5, .max_degree = 2}, .relabel = true}};
    for (size_t i = 0; i < sizeof revisions / sizeof *revisions; i++)
        revise_golden(store, &revisions[i]);
}

/* What this version writes is what the golden log has. HOPFIELDD_WRITE_GOLDEN makes it anew. */
START_TEST(the_golden_log_is_written_the_same_and_read)
{
    static char written[DISK_FILE_BYTES], golden[DISK_FILE_BYTES];
    kept_store store;
    store_standing now;
    copy_golden(golden_set);
    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "golden", &now));
    change_golden(&store);
    store_set *set = fixture_get(&store.fixture, "golden");
    char *made = history_text(set);
    store_set_release(set);
    close_store(&store);
    size_t n = disk_read(path, golden_log, written);
    if (getenv("HOPFIELDD_WRITE_GOLDEN"))
        disk_write(GOLDEN_FOLDER, golden_log, written, n);
    ck_assert_uint_eq(disk_read(GOLDEN_FOLDER, golden_log, golden), n);
    ck_assert(memcmp(golden, written, n) == 0);

    copy_golden(golden_log);
    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "golden", &now));
    ck_assert_int_ne(now.state, STORE_FAILED);
    set = fixture_get(&store.fixture, "golden");
    char *found = history_text(set);
    ck_assert_uint_eq(set->version, 11);
    ck_assert_str_eq(found, made);
    store_set_release(set);
    close_store(&store);
    free(found);
    free(made);
}
END_TEST

/*
 * A set of format 1 has no mean of its own in its file: were its changes in a log, a centered_cosine would get the mean
 * of other rows at the next start. Its first change is written whole, the next ones are not.
 */
START_TEST(no_log_stands_on_a_set_of_format_1)
{
    const float row[D] = {7, -8, 9}, value[2] = {3, 4};
    const store_revision append = {.kind = STORE_APPEND,
                                   .added = {.M = 1, .d = D, .p = 2, .memories = row, .values = value}};
    kept_store store;
    store_standing now;
    copy_golden("golden@7.safetensors");
    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "golden", &now));
    ck_assert_int_ne(now.state, STORE_FAILED);
    revise_golden(&store, &append);
    ck_assert(!strstr(disk_names(path), "golden@7.log"));
    ck_assert_ptr_nonnull(strstr(disk_names(path), golden_set));
    ck_assert(!strstr(disk_names(path), golden_log));
    revise_golden(&store, &append);
    ck_assert_ptr_nonnull(strstr(disk_names(path), golden_log));
    store_set *set = fixture_get(&store.fixture, "golden");
    char *made = history_text(set);
    store_set_release(set);
    close_store(&store);

    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "golden", &now));
    set = fixture_get(&store.fixture, "golden");
    char *found = history_text(set);
    ck_assert_uint_eq(set->version, 9);
    ck_assert_str_eq(found, made);
    store_set_release(set);
    close_store(&store);
    free(found);
    free(made);
}
END_TEST

/* ---- damage -------------------------------------------------------------------------------------------- */

static char bytes[DISK_FILE_BYTES];

/* The log as it is in `bytes`, all of it or its front: found is what was acknowledged, or something was said to be lost. */
static uint64_t find_with(const history *past, size_t n, bool *failed, const char *what, size_t at)
{
    char when[64];
    snprintf(when, sizeof when, "%s %zu", what, at);
    disk_write(path, log_name, bytes, n);
    return history_find(past, path, failed, when);
}

START_TEST(every_changed_byte_is_found)
{
    kept_store store;
    history past;
    open_store(&store);
    make_history(&past, &store, HOP_DOT, true, HISTORY_STEPS);
    close_store(&store);
    size_t n = disk_read(path, log_name, bytes), whole = 0, older = 0;
    bool failed;
    for (size_t at = 0; at < n; at++) {
        /* Blocks have their first bytes, and zeros: those are sampled. */
        if (at < STORE_LOG_START_BYTES && at % STORE_LOG_BLOCK_BYTES >= 256 && at % 61)
            continue;
        char before = bytes[at];
        for (int change = 0; change < 2; change++) {
            bytes[at] = (char)(change ? before ^ 1 : ~before);
            uint64_t version = find_with(&past, n, &failed, "byte", at);
            ck_assert_uint_gt(version, 0);
            whole += !failed;
            older += version < past.acknowledged;
        }
        bytes[at] = before;
    }
    /* The newer slot alone may be damaged: the record that it counts is there, as after a stop. */
    ck_assert_uint_gt(whole, 100);
    ck_assert_uint_lt(whole, 700);
    ck_assert_uint_gt(older, 500);
    ck_assert_uint_eq(find_with(&past, n, &failed, "as it was", 0), past.acknowledged);
    history_free(&past);
}
END_TEST

START_TEST(every_truncation_is_found_and_what_does_not_count_is_cut_off)
{
    kept_store store;
    history past;
    bool failed;
    open_store(&store);
    make_history(&past, &store, HOP_DOT, false, HISTORY_STEPS);
    close_store(&store);
    size_t n = disk_read(path, log_name, bytes);
    for (size_t length = 0; length < n; length += length < STORE_LOG_START_BYTES - 10 ? 7 : 1) {
        uint64_t version = find_with(&past, length, &failed, "length", length);
        ck_assert_msg(failed && version > 0, "length %zu: version %" PRIu64, length, version);
    }
    memset(bytes + n, 'x', 1000);
    for (size_t more = 1; more < 1000; more += 97) {
        ck_assert_uint_eq(find_with(&past, n + more, &failed, "length", n + more), past.acknowledged);
        ck_assert(!failed);
        ck_assert_uint_eq(disk_read(path, log_name, bytes), n);
        memset(bytes + n, 'x', 1000);
    }
    history_free(&past);
}
END_TEST

/* Damage of two kinds at once, in pairs of places that belong together. */
START_TEST(slots_are_not_guessed)
{
    kept_store store;
    history past;
    bool failed;
    open_store(&store);
    make_history(&past, &store, HOP_DOT, false, 4);
    close_store(&store);
    size_t n = disk_read(path, log_name, bytes);
    /* Four records: the first slot counts four, the second three. */
    char *slot[2] = {bytes + STORE_LOG_BLOCK_BYTES, bytes + 2 * STORE_LOG_BLOCK_BYTES}, kept[2][STORE_LOG_BLOCK_BYTES];
    memcpy(kept[0], slot[0], sizeof kept[0]);
    memcpy(kept[1], slot[1], sizeof kept[1]);
    /* The newer one half written: the record is there, and counts. */
    memset(slot[0] + 8, 0, 8);
    ck_assert_uint_eq(find_with(&past, n, &failed, "slot", 0), 5);
    ck_assert(!failed);
    disk_read(path, log_name, bytes); /* it was written again */
    ck_assert_uint_eq(find_with(&past, n, &failed, "slot", 0), 5);
    ck_assert(!failed);
    ck_assert(memcmp(slot[0], kept[0], sizeof kept[0]) == 0 && memcmp(slot[1], kept[0], sizeof kept[0]) == 0);
    memcpy(slot[1], kept[1], sizeof kept[1]);
    /* The older one damaged: nothing explains it. */
    slot[1][9] ^= 1;
    ck_assert_uint_eq(find_with(&past, n, &failed, "slot", 1), 5);
    ck_assert(failed);
    /* Both: what is there is read, and said to be damaged. */
    slot[0][9] ^= 1;
    ck_assert_uint_eq(find_with(&past, n, &failed, "slot", 2), 5);
    ck_assert(failed);
    /* Each in the place of the other. */
    memcpy(slot[0], kept[1], sizeof kept[1]);
    memcpy(slot[1], kept[0], sizeof kept[0]);
    (void)find_with(&past, n, &failed, "slot", 3);
    ck_assert(failed);
    /* The newer one damaged, and its record too. */
    memcpy(slot[1], kept[1], sizeof kept[1]);
    memset(slot[0], 0, sizeof kept[0]);
    bytes[n - 1] ^= 1;
    ck_assert_uint_eq(find_with(&past, n, &failed, "slot", 4), 4);
    ck_assert(failed);
    history_free(&past);
}
END_TEST

/* A failed set answers with what is whole, and a change of it is written as a whole, which heals it. */
START_TEST(a_damaged_log_fails_the_set_until_it_is_changed)
{
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    store_standing now;
    history past;
    float first;
    open_store(&store);
    make_history(&past, &store, HOP_DOT, false, 6);
    close_store(&store);
    size_t n = disk_read(path, log_name, bytes);
    bytes[n - 3] ^= 4;
    disk_write(path, log_name, bytes, n);
    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    ck_assert_int_eq(now.state, STORE_FAILED);
    ck_assert_msg(strstr(now.reason, "this is version 6, the newer 7 cannot be loaded") && strstr(now.reason, log_name),
                  "%s", now.reason);
    store_set *set = fixture_get(&store.fixture, "a");
    history_assert(&past, set, "damaged");
    store_set_release(set);
    const store_revision revision = {.kind = STORE_SETTINGS, .options = {.beta = 2, .max_error = -1, .max_degree = -1}};
    store_change *change = NULL;
    store_set *base = NULL;
    ck_assert_int_eq(store_registry_begin_revision(store.fixture.registry, "a", NULL, &change, &base, &error), HOP_OK);
    ck_assert_int_eq(store_revise(base, &revision, NULL, &set, &error), HOP_OK);
    ck_assert_int_eq(store_registry_save(store.fixture.registry, change, set, &revision, &error), HOP_OK);
    store_registry_commit(store.fixture.registry, change, set);
    store_set_release(base);
    ck_assert_uint_eq(current(&store, "a", &first), 8);
    ck_assert_str_eq(disk_names(path), " a@8.safetensors");
    close_store(&store);
    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    ck_assert_int_eq(now.state, STORE_READY);
    ck_assert_uint_eq(current(&store, "a", &first), 8);
    close_store(&store);
    history_free(&past);
}
END_TEST

/* Whatever it is that cannot be loaded, the next version is newer than all that were acknowledged. */
START_TEST(no_version_comes_twice_whatever_is_damaged)
{
    static const char set_name[] = "a@1.safetensors";
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    store_standing now;
    history past;
    float first;
    open_store(&store);
    make_history(&past, &store, HOP_DOT, false, 6);
    close_store(&store);
    const char *name = _i == 0 ? set_name : log_name;
    if (_i < 3) { /* rows of the set; what the log is of; a slot, and the record that the other one counts last */
        size_t n = disk_read(path, name, bytes);
        bytes[_i == 1 ? 20 : n - 3] ^= 4;
        if (_i == 2)
            bytes[STORE_LOG_BLOCK_BYTES] ^= 4;
        disk_write(path, name, bytes, n);
    }
    open_store(&store);
    if (_i == 3) /* nothing is damaged, it does not fit */
        store.fixture.budget.limit_bytes = 1000;
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    ck_assert_int_eq(now.state, STORE_FAILED);
    store.fixture.budget.limit_bytes = BUDGET_BYTES;
    ck_assert_msg(put(&store, "a", 3, &error) == HOP_OK, "%s", error.text);
    ck_assert_uint_eq(current(&store, "a", &first), 8);
    close_store(&store);
    assert_after_restart("a", 8, 3);
    history_free(&past);
}
END_TEST

/* What is no file, and a log of another set or another version. */
START_TEST(what_is_no_log_of_this_set_is_refused)
{
    kept_store store;
    store_standing now;
    history past;
    hop_error error = HOP_ERROR_NONE;
    bool failed;
    char name[2 * DISK_PATH_BYTES];
    open_store(&store);
    make_history(&past, &store, HOP_DOT, false, 2);
    close_store(&store);
    size_t n = disk_read(path, log_name, bytes);
    snprintf(name, sizeof name, "%s/%s", path, log_name);
    for (int kind = 0; kind < 3; kind++) {
        ck_assert_int_eq(unlink(name), 0);
        ck_assert_int_eq(kind == 0   ? mkdir(name, 0700)
                         : kind == 1 ? mkfifo(name, 0600)
                                     : symlink("/dev/zero", name),
                         0);
        ck_assert_uint_eq(history_find(&past, path, &failed, "no file"), 1);
        ck_assert(failed);
        if (kind == 0)
            ck_assert_int_eq(rmdir(name), 0);
        else
            ck_assert_int_eq(unlink(name), 0);
        disk_write(path, log_name, bytes, n);
    }
    ck_assert_uint_eq(history_find(&past, path, &failed, "as it was"), 3);

    /* The first change of a set whose log's name is taken is written as a whole. */
    ck_assert_int_eq(unlink(name), 0);
    past.acknowledged = 1;
    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    ck_assert_int_eq(mkdir(name, 0700), 0);
    ck_assert_msg(history_change(&past, &store, 0, &error) == HOP_OK, "%s", error.text);
    ck_assert_str_eq(disk_names(path), " a@2.safetensors");
    close_store(&store);

    /* Deleted and made again, with a log of the old one in the way. */
    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    ck_assert_int_eq(store_registry_delete(store.fixture.registry, "a", NULL, &error), HOP_OK);
    disk_write(path, log_name, bytes, n);
    history_free(&past);
    history_begin(&past, &store, HOP_DOT, false);
    ck_assert_str_eq(disk_names(path), " a@1.safetensors");
    close_store(&store);
    ck_assert_uint_eq(history_find(&past, path, &failed, "made again"), 1);
    ck_assert(!failed);
    history_free(&past);
}
END_TEST

/* ---- calls that fail ----------------------------------------------------------------------------------- */

/* Change number `step` of a log: each of its calls fails in turn, alone or with all that follow. */
static void fail_each_call(size_t step, bool forever)
{
    static const int reasons[] = {ENOSPC, EIO, EROFS, EACCES};
    long refused = 0, number = 0;
    for (bool all = false; !all; number++) {
        hop_error error = HOP_ERROR_NONE;
        kept_store store;
        history past;
        bool failed;
        open_store(&store);
        make_history(&past, &store, HOP_DOT, false, step);
        char names[4096];
        snprintf(names, sizeof names, "%s", disk_names(path));
        int reason = reasons[number % 4];
        disk_fail(number, forever, reason);
        hop_status status = history_change(&past, &store, step, &error);
        all = disk_calls() <= number;
        char call[32];
        snprintf(call, sizeof call, "%s", disk_failed_call());
        disk_heal();
        bool unsure = strstr(error.text, "may count after a restart") != NULL;
        ck_assert(!unsure || forever);
        if (status != HOP_OK) {
            refused++;
            ck_assert_msg(status == store_system_status(reason) && strstr(error.text, strerror(reason)), "%s %ld: %s",
                          call, number, error.text);
            if (!forever)
                ck_assert_msg(strcmp(disk_names(path), names) == 0, "%s %ld: %s", call, number, disk_names(path));
        }
        store_set *set = fixture_get(&store.fixture, "a");
        ck_assert_uint_eq(set->version, past.acknowledged);
        history_assert(&past, set, call);
        store_set_release(set);
        uint64_t found = 0;
        /* A new process, in a folder of its own: this one goes on. */
        char copy[DISK_PATH_BYTES];
        disk_folder_copy(path, copy);
        found = history_find(&past, copy, &failed, call);
        disk_folder_remove(copy);
        ck_assert_msg(!failed && (unsure || found == past.acknowledged), "%s %ld: %" PRIu64, call, number, found);
        /* The next change is right whatever was left. */
        ck_assert_msg(history_change(&past, &store, step, &error) == HOP_OK, "%s", error.text);
        close_store(&store);
        ck_assert_uint_eq(history_find(&past, path, &failed, "the next"), past.acknowledged);
        ck_assert(!failed);
        history_free(&past);
        disk_folder_remove(path);
        disk_folder_make(path);
    }
    ck_assert_int_ge(refused, 6);
    hop_check_note("%ld of %ld failing calls refused the change", refused, number - 1);
}

START_TEST(every_failing_call_of_a_change_leaves_what_was)
{
    static const size_t steps[] = {0, 1, 5, 9};
    fail_each_call(steps[_i / 2], _i % 2);
}
END_TEST

/* A set whose files could neither go nor get their names back: its log would be of a file that is not there. */
START_TEST(what_is_changed_after_half_a_deletion_is_there)
{
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    history past;
    bool failed;
    open_store(&store);
    make_history(&past, &store, HOP_DOT, false, 3);
    for (long number = 0; !strstr(error.text, "will be gone"); number++) {
        error = HOP_ERROR_NONE;
        disk_fail(number, true, EIO);
        ck_assert_int_eq(store_registry_delete(store.fixture.registry, "a", NULL, &error), HOP_E_IO);
        disk_heal();
    }
    ck_assert_msg(history_change(&past, &store, 3, &error) == HOP_OK, "%s", error.text);
    ck_assert_msg(history_change(&past, &store, 4, &error) == HOP_OK, "%s", error.text);
    close_store(&store);
    ck_assert_uint_eq(history_find(&past, path, &failed, "after it"), past.acknowledged);
    ck_assert(!failed);
    history_free(&past);
}
END_TEST

START_TEST(every_failing_call_of_a_start_is_survived)
{
    kept_store store;
    history past;
    long failures = 0;
    open_store(&store);
    make_history(&past, &store, HOP_DOT, true, HISTORY_STEPS);
    close_store(&store);
    for (long number = 0, all = 0; !all; number++) {
        store_budget budget;
        store_folder *folder = NULL;
        store_set *set = NULL;
        store_loss loss = {0};
        hop_error error = HOP_ERROR_NONE;
        store_budget_init(&budget, BUDGET_BYTES);
        const store_loading loading = {.budget = &budget, .packing = HOP_PACK_NONE};
        disk_fail(number, false, EIO);
        hop_status status = store_folder_open(path, (store_listener){0}, &folder, &error);
        if (status == HOP_OK)
            status = store_folder_load(folder, "a", 1, &loading, &set, &loss, &error);
        all = disk_calls() <= number;
        disk_heal();
        if (status == HOP_OK) {
            history_assert(&past, set, disk_failed_call());
            ck_assert(loss.reason[0] ? strstr(loss.reason, strerror(EIO)) != NULL : set->version == past.acknowledged);
            failures += loss.reason[0] != 0;
        } else {
            ck_assert_msg(strstr(error.text, strerror(EIO)), "%s", error.text);
        }
        store_set_release(set);
        store_folder_close(folder);
        ck_assert_uint_eq(store_budget_reserved(&budget), 0);
        ck_assert_str_eq(disk_names(path), " a@1.log a@1.safetensors");
    }
    ck_assert_int_gt(failures, 20);
    history_free(&past);
}
END_TEST

/* A set without changes that are there, as the system failed to read them: none is written in their place. */
START_TEST(a_log_that_was_not_read_is_not_replaced)
{
    const store_revision settings = {.kind = STORE_SETTINGS,
                                     .options = {.beta = 2.5, .max_error = -1, .max_degree = -1}};
    kept_store store;
    history past;
    size_t refused = 0;
    open_store(&store);
    make_history(&past, &store, HOP_DOT, true, 4);
    close_store(&store);
    for (long number = 2; number < 60; number++) { /* from behind the listing of the directory on */
        store_standing now;
        float first;
        open_store(&store);
        disk_fail(number, false, EMFILE);
        start_loading(&store);
        ck_assert(standing(&store, "a", &now));
        disk_heal();
        uint64_t version = current(&store, "a", &first);
        if (version > 0 && version < past.acknowledged) {
            hop_error error = HOP_ERROR_NONE;
            store_change *change = NULL;
            store_set *base = NULL, *set = NULL;
            store_registry *registry = store.fixture.registry;
            ck_assert_int_eq(store_registry_begin_revision(registry, "a", NULL, &change, &base, &error), HOP_OK);
            ck_assert_int_eq(store_revise(base, &settings, NULL, &set, &error), HOP_OK);
            ck_assert_int_eq(store_registry_save(registry, change, set, &settings, &error), HOP_E_IO);
            ck_assert_msg(strstr(error.text, "start again") != NULL, "%s", error.text);
            store_registry_abandon(registry, change);
            store_set_release(set);
            store_set_release(base);
            refused++;
        }
        close_store(&store);
        bool failed = true;
        ck_assert_uint_eq(history_find(&past, path, &failed, "started again"), past.acknowledged);
        ck_assert(!failed);
    }
    ck_assert_uint_gt(refused, 3);
    history_free(&past);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("log");
    TCase *tests = tcase_create("log");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, kept_setup, kept_teardown);
    tcase_add_loop_test(tests, changes_come_back, 0, 6);
    tcase_add_test(tests, a_change_is_synced_twice_before_it_is_acknowledged);
    tcase_add_test(tests, the_golden_log_is_written_the_same_and_read);
    tcase_add_test(tests, no_log_stands_on_a_set_of_format_1);
    tcase_add_test(tests, every_changed_byte_is_found);
    tcase_add_test(tests, every_truncation_is_found_and_what_does_not_count_is_cut_off);
    tcase_add_test(tests, slots_are_not_guessed);
    tcase_add_test(tests, a_damaged_log_fails_the_set_until_it_is_changed);
    tcase_add_loop_test(tests, no_version_comes_twice_whatever_is_damaged, 0, 4);
    tcase_add_test(tests, what_is_no_log_of_this_set_is_refused);
    tcase_add_loop_test(tests, every_failing_call_of_a_change_leaves_what_was, 0, 8);
    tcase_add_test(tests, what_is_changed_after_half_a_deletion_is_there);
    tcase_add_test(tests, every_failing_call_of_a_start_is_survived);
    tcase_add_test(tests, a_log_that_was_not_read_is_not_replaced);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
