/*
 * test_mapped.c - sets that answer from their files at first: what they answer, what takes their place, and what becomes
 * of them when the file or the set changes in between.
 */
#include "between.h"
#include "store/phi_cache.h"
#include "store/revision.h"
#include "support/check_main.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { READERS = 3 };

/* ---- nothing happens ----------------------------------------------------------------------------------- */

static char etag_mapped[STORE_ETAG_BYTES];

static void look(kept_store *store)
{
    store_set *set = get_a(store);
    ck_assert_ptr_nonnull(set->mapping);
    ck_assert_int_eq(store_set_state(set), STORE_BUILDING);
    assert_rows(set, 1);
    assert_answers(set, 1);
    ck_assert(store_set_intact(set));
    memcpy(etag_mapped, set->etag, sizeof etag_mapped);
    store_set_release(set);
}

START_TEST(a_mapped_set_answers_and_then_stays)
{
    kept_store store;
    start_with(&store, look);
    store_set *set = settled_a(&store);
    ck_assert_str_eq(set->etag, etag_mapped);
    ck_assert_uint_eq(set->version, 1);
    ck_assert_ptr_eq(set->budget, &store.fixture.budget);
    assert_rows(set, 1);
    assert_answers(set, 1);
    fixture_settle(set);
    ck_assert_int_eq(store_set_state(set), STORE_READY);
    wait_until_said("is in memory");
    ck_assert_str_eq(said, "set 'a': version 1 loaded, mapped\nset 'a': version 1 is in memory\n");
    /* What was paid for in advance is settled. */
    store_loader_free(store.loader);
    store.loader = NULL;
    ck_assert_uint_eq(store_budget_reserved(&store.fixture.budget), charged_for(set));
    store_set_release(set);
    close_store(&store);
}
END_TEST

/* A reader of the mapped form finishes on it, and the last one unmaps it. */
static store_set *held;

static void hold(kept_store *store)
{
    held = get_a(store);
}

START_TEST(readers_of_the_mapped_form_finish)
{
    kept_store store;
    start_with(&store, hold);
    store_set_release(settled_a(&store));
    ck_assert_ptr_nonnull(held->mapping);
    assert_rows(held, 1);
    assert_answers(held, 1);
    ck_assert(store_set_intact(held));
    store_set_release(held);
    close_store(&store);
}
END_TEST

/* ---- the set changes in between ------------------------------------------------------------------------ */

static void replace(kept_store *store)
{
    hop_error error = HOP_ERROR_NONE;
    ck_assert_msg(put(store, "a", 5, &error) == HOP_OK, "%s", error.text);
}

START_TEST(a_set_replaced_in_between_is_the_new_one)
{
    kept_store store;
    float first = 0;
    start_with(&store, replace);
    ck_assert_uint_eq(current(&store, "a", &first), 2);
    ck_assert_float_eq(first, 5);
    store_loader_free(store.loader);
    store.loader = NULL;
    ck_assert_uint_eq(current(&store, "a", &first), 2);
    ck_assert_ptr_null(strstr(said, "in memory"));
    close_store(&store);
    assert_after_restart("a", 2, 5);
}
END_TEST

static void delete (kept_store *store)
{
    hop_error error = HOP_ERROR_NONE;
    held = get_a(store);
    ck_assert_msg(store_registry_delete(store->fixture.registry, "a", NULL, &error) == HOP_OK, "%s", error.text);
}

START_TEST(a_set_deleted_in_between_is_gone)
{
    kept_store store;
    start_with(&store, delete);
    assert_rows(held, 1); /* its file has no name any more, and is as it was */
    ck_assert(store_set_intact(held));
    store_set_release(held);
    store_loader_free(store.loader);
    store.loader = NULL;
    float first;
    ck_assert_uint_eq(current(&store, "a", &first), 0);
    close_store(&store);
    assert_after_restart("a", 0, 0);
}
END_TEST

static store_change *open_change;

static void begin_change(kept_store *store)
{
    ck_assert_int_eq(store_registry_begin(store->fixture.registry, "a", NULL, &open_change, NULL), HOP_OK);
}

/* The other form waits for a change that is open, and for no longer. */
START_TEST(a_change_that_came_to_nothing)
{
    kept_store store;
    start_with(&store, begin_change);
    wait_a_tick();
    store_set *set = get_a(&store);
    ck_assert_ptr_nonnull(set->mapping);
    assert_answers(set, 1);
    ck_assert(store_set_intact(set));
    store_set_release(set);
    store_registry_abandon(store.fixture.registry, open_change);
    set = settled_a(&store);
    assert_rows(set, 1);
    fixture_settle(set);
    store_set_release(set);
    close_store(&store);
}
END_TEST

START_TEST(a_daemon_stopped_while_a_change_is_open)
{
    kept_store store;
    start_with(&store, begin_change);
    store_loader_free(store.loader);
    store.loader = NULL;
    store_registry_abandon(store.fixture.registry, open_change);
    close_store(&store);
}
END_TEST

static void change_settings(kept_store *store)
{
    hop_error error = HOP_ERROR_NONE;
    const store_revision revision = {.kind = STORE_SETTINGS, .options = {.beta = 3, .max_error = -1, .max_degree = -1}};
    store_registry *registry = store->fixture.registry;
    store_change *change = NULL;
    store_set *base = NULL, *set = NULL;
    ck_assert_int_eq(store_registry_begin_revision(registry, "a", NULL, &change, &base, &error), HOP_OK);
    ck_assert_msg(store_revise(base, &revision, NULL, &set, &error) == HOP_OK, "%s", error.text);
    ck_assert_msg(store_registry_save(registry, change, set, &revision, &error) == HOP_OK, "%s", error.text);
    store_registry_commit(registry, change, set);
    store_set_release(base);
}

START_TEST(settings_changed_in_between_stay)
{
    kept_store store;
    start_with(&store, change_settings);
    store_set *set = settled_a(&store);
    ck_assert_uint_eq(set->version, 2);
    ck_assert_double_eq(set->beta, 3);
    assert_rows(set, 1);
    store_set_release(set);
    close_store(&store);
    assert_after_restart("a", 2, 1);
}
END_TEST

/* What was lost with a log is said for good: no other form of the set takes its place. */
START_TEST(a_set_that_lost_its_log_stays_failed)
{
    static char bytes[DISK_FILE_BYTES];
    kept_store store;
    store_standing now;
    open_store(&store);
    ck_assert_int_eq(put(&store, "a", 1, NULL), HOP_OK);
    change_settings(&store);
    close_store(&store);
    size_t n = disk_read(path, "a@1.log", bytes);
    bytes[n - 1] ^= 1;
    disk_write(path, "a@1.log", bytes, n);
    wait_a_tick();
    open_store(&store);
    store.map = true;
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    ck_assert_int_eq(now.state, STORE_FAILED);
    ck_assert_ptr_nonnull(strstr(now.reason, "this is version 1, the newer 2 cannot be loaded"));
    store_set *set = settled_a(&store);
    wait_a_tick();
    ck_assert_int_eq(store_set_state(set), STORE_FAILED);
    assert_rows(set, 1);
    store_set_release(set);
    store_set_release(settled_a(&store));
    ck_assert(standing(&store, "a", &now));
    ck_assert_int_eq(now.state, STORE_FAILED);
    close_store(&store);
}
END_TEST

/* ---- the file changes in between ----------------------------------------------------------------------- */

static const char *full_name(void)
{
    static char text[2 * DISK_PATH_BYTES];
    snprintf(text, sizeof text, "%s/%s", path, between_file);
    return text;
}

static void cut_off(kept_store *store)
{
    (void)store;
    ck_assert_int_eq(truncate(full_name(), 700), 0);
}

static void assert_failed(kept_store *store)
{
    store_set *set = NULL;
    store_standing now;
    hop_error error = HOP_ERROR_NONE;
    wait_until_said("could not be read into memory");
    wait_until_said("the file was changed while it was mapped");
    ck_assert_int_eq(store_registry_get(store->fixture.registry, "a", &set, &error), HOP_E_UNLOADED);
    ck_assert_str_eq(error.text, "the set 'a' cannot be used: its file was changed while it was mapped");
    ck_assert(standing(store, "a", &now));
    ck_assert_int_eq(now.state, STORE_FAILED);
    ck_assert_str_eq(now.reason, "its file was changed while it was mapped");
}

START_TEST(a_set_cut_off_in_between_fails)
{
    kept_store store;
    float first = 0;
    start_with(&store, cut_off);
    assert_failed(&store);
    store_change *change = NULL;
    store_set *set = NULL;
    ck_assert_int_eq(store_registry_begin_revision(store.fixture.registry, "a", NULL, &change, &set, NULL),
                     HOP_E_UNLOADED);
    /* It can be replaced, */
    ck_assert_int_eq(put(&store, "a", 3, NULL), HOP_OK);
    ck_assert_uint_eq(current(&store, "a", &first), 2);
    close_store(&store);
    assert_after_restart("a", 2, 3);
    disk_folder_remove(path);
    disk_folder_make(path);

    /* or deleted. */
    start_with(&store, cut_off);
    assert_failed(&store);
    ck_assert_int_eq(store_registry_delete(store.fixture.registry, "a", NULL, NULL), HOP_OK);
    close_store(&store);
    assert_after_restart("a", 0, 0);
}
END_TEST

static void change_a_byte(kept_store *store)
{
    (void)store;
    FILE *file = fopen(full_name(), "r+b");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, -3, SEEK_END), 0);
    ck_assert_int_ne(fputc(0x7f, file), EOF);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(a_set_written_to_in_between_fails)
{
    kept_store store;
    start_with(&store, change_a_byte);
    assert_failed(&store);
    close_store(&store);
}
END_TEST

/* What answers is what was mapped, whatever has its name now. */
static void put_another_there(kept_store *store)
{
    (void)store;
    disk_write(path, "other", "?", 1);
    char other[2 * DISK_PATH_BYTES];
    snprintf(other, sizeof other, "%s/other", path);
    ck_assert_int_eq(rename(other, full_name()), 0);
}

static void take_it_away(kept_store *store)
{
    (void)store;
    ck_assert_int_eq(unlink(full_name()), 0);
}

START_TEST(a_set_whose_name_was_taken_answers_on)
{
    static void (*const deeds[])(kept_store * store) = {put_another_there, take_it_away};
    for (size_t i = 0; i < 2; i++) {
        kept_store store;
        start_with(&store, deeds[i]);
        wait_until_said("could not be read into memory");
        store_set *set = get_a(&store);
        fixture_settle(set); /* its maps do not wait for ever */
        ck_assert_ptr_nonnull(set->mapping);
        ck_assert_int_eq(store_set_state(set), STORE_READY);
        assert_rows(set, 1);
        assert_answers(set, 1);
        ck_assert(store_set_intact(set));
        store_set_release(set);
        close_store(&store);
        disk_folder_remove(path);
        disk_folder_make(path);
    }
}
END_TEST

/* Nothing that was made of rows that went is kept: a copy, a file, sums, distances, maps. */
START_TEST(what_was_made_of_lost_rows_is_thrown_away)
{
    kept_store store;
    hop_error error = HOP_ERROR_NONE;
    start_with(&store, begin_change); /* so that it stays mapped */
    store_set *set = get_a(&store);
    ck_assert_int_eq(truncate(full_name(), 700), 0);

    error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_set_check(set, &error), HOP_E_UNLOADED);
    ck_assert_int_eq(store_folder_save(store.folder, set, NULL), HOP_E_UNLOADED);
    ck_assert_str_eq(disk_names(path), " a@1.safetensors");
    ck_assert_int_eq(store_study_here(set, NULL, NULL), HOP_E_UNLOADED);
    ck_assert_ptr_null(store_set_separation(set));

    store_phi_cache *cache = NULL;
    store_phi *phi = NULL;
    store_phi_counts counts;
    const hop_request linear = {.mode = HOP_LINEAR, .beta = 1, .steps = 1};
    ck_assert_int_eq(store_phi_cache_new(1 << 20, &cache, NULL), HOP_OK);
    ck_assert_int_eq(store_phi_cache_get(cache, set, &linear, NULL, NULL, NULL, &phi, NULL), HOP_E_UNLOADED);
    store_phi_cache_count(cache, &counts);
    ck_assert_uint_eq(counts.entries, 0);

    store_registry_abandon(store.fixture.registry, open_change);
    store_set_release(set);
    store_loader_free(store.loader);
    store.loader = NULL;
    close_store(&store);
    store_phi_cache_free(cache); /* sets look for their sums there */
}
END_TEST

/* ---- readers meanwhile --------------------------------------------------------------------------------- */

static atomic_bool over;
static atomic_int answered;
static pthread_t readers[READERS];

static void *read_on(void *argument)
{
    kept_store *store = argument;
    while (!atomic_load(&over)) {
        store_set *set = get_a(store);
        ck_assert_uint_eq(set->version, 1);
        assert_answers(set, 1);
        ck_assert(store_set_intact(set));
        store_set_release(set);
        atomic_fetch_add(&answered, 1);
    }
    return NULL;
}

static void start_readers(kept_store *store)
{
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, read_on, store), 0);
    while (atomic_load(&answered) < READERS * 2)
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

START_TEST(readers_see_one_version_throughout)
{
    kept_store store;
    atomic_store(&over, false);
    start_with(&store, start_readers);
    store_set *set = settled_a(&store);
    fixture_settle(set);
    store_set_release(set);
    int before = atomic_load(&answered);
    while (atomic_load(&answered) < before + READERS * 2)
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    atomic_store(&over, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    close_store(&store);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("mapped");
    TCase *tests = tcase_create("mapped");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, between_setup, kept_teardown);
    tcase_add_test(tests, a_mapped_set_answers_and_then_stays);
    tcase_add_test(tests, readers_of_the_mapped_form_finish);
    tcase_add_test(tests, a_set_replaced_in_between_is_the_new_one);
    tcase_add_test(tests, a_set_deleted_in_between_is_gone);
    tcase_add_test(tests, a_change_that_came_to_nothing);
    tcase_add_test(tests, a_daemon_stopped_while_a_change_is_open);
    tcase_add_test(tests, settings_changed_in_between_stay);
    tcase_add_test(tests, a_set_that_lost_its_log_stays_failed);
    tcase_add_test(tests, a_set_cut_off_in_between_fails);
    tcase_add_test(tests, a_set_written_to_in_between_fails);
    tcase_add_test(tests, a_set_whose_name_was_taken_answers_on);
    tcase_add_test(tests, what_was_made_of_lost_rows_is_thrown_away);
    tcase_add_test(tests, readers_see_one_version_throughout);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
