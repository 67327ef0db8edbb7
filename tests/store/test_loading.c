/*
 * test_loading.c - moments at which a change and a start could lose what was acknowledged: each is brought about by
 * lying in wait for a call to the system.
 */
#include "disk.h"
#include "fixture.h"
#include "kept.h"
#include "support/check_main.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

/* What happens at the first listing of the folder, or opening of a file, that the test lies in wait for. */
static struct {
    store_system system;
    kept_store *store;
    const char *name; /* NULL: done */
    void (*act)(kept_store *store);
    bool elsewhere; /* on another thread than the test's */
    pthread_t test;
    hop_status status;
} ambush;

static int open_into_ambush(int folder, const char *name, int flags, mode_t mode)
{
    if (ambush.name && strcmp(name, ambush.name) == 0 &&
        ambush.elsewhere == !pthread_equal(pthread_self(), ambush.test)) {
        ambush.name = NULL;
        ambush.act(ambush.store);
    }
    return store_system_real.open(folder, name, flags, mode);
}

static void lie_in_wait(kept_store *store, const char *name, bool elsewhere, void (*deed)(kept_store *store))
{
    ambush.system = store_system_real;
    ambush.system.open = open_into_ambush;
    ambush.store = store;
    ambush.name = name;
    ambush.elsewhere = elsewhere;
    ambush.act = deed;
    ambush.test = pthread_self();
    store_system_calls = &ambush.system;
}

static void delete_and_make_again(kept_store *store)
{
    ambush.status = store_registry_delete(store->fixture.registry, "a", NULL, NULL);
    if (ambush.status == HOP_OK)
        (void)!put(store, "a", 7, NULL);
}

/* A set that is deleted and made again is at version 1: what removes older versions must not meet that one. */
START_TEST(a_set_made_again_is_not_taken_for_an_old_version)
{
    static char bytes[DISK_FILE_BYTES];
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    store_standing now;
    open_store(&store);
    ck_assert_int_eq(put(&store, "a", 1, &error), HOP_OK);
    size_t n = disk_read(path, "a@1.safetensors", bytes);
    lie_in_wait(&store, ".", false, delete_and_make_again);
    ck_assert_int_eq(put(&store, "a", 2, &error), HOP_OK);
    ck_assert_ptr_null(ambush.name);
    ck_assert_int_eq(ambush.status, HOP_E_BUSY);
    ck_assert_str_eq(disk_names(path), " a@2.safetensors");
    close_store(&store);

    /* The same where a start finds an old version that was left. */
    disk_heal();
    disk_write(path, "a@1.safetensors", bytes, n);
    open_store(&store);
    lie_in_wait(&store, ".", true, delete_and_make_again);
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    store_loader_free(store.loader); /* has removed what it removes */
    store.loader = NULL;
    ck_assert_ptr_null(ambush.name);
    ck_assert_int_eq(ambush.status, HOP_E_UNLOADED);
    close_store(&store);
    assert_after_restart("a", 2, 2);
    ck_assert_str_eq(disk_names(path), " a@2.safetensors");
}
END_TEST

START_TEST(no_version_is_acknowledged_that_no_file_can_have)
{
    hop_error error = HOP_ERROR_NONE;
    kept_store store;
    store_standing now;
    disk_write(path, "a@9223372036854775807.safetensors", "?", 1);
    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    ck_assert_int_eq(put(&store, "a", 1, &error), HOP_E_LIMIT);
    ck_assert_str_eq(disk_names(path), " a@9223372036854775807.safetensors");
    ck_assert_int_eq(store_registry_delete(store.fixture.registry, "a", NULL, NULL), HOP_OK);
    ck_assert_int_eq(put(&store, "a", 2, NULL), HOP_OK);
    close_store(&store);
    assert_after_restart("a", 1, 2);
}
END_TEST

enum { MAP_D = 8, MAP_DEGREE = 8, LARGE_M = 60000, SPARE_BYTES = 150000, PATIENCE_MS = 200 };

static void wait_for_maps_of_a(kept_store *store)
{
    store_standing now;
    for (int i = 0; i < PATIENCE_MS && standing(store, "a", &now) && now.state == STORE_BUILDING; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void keep_set(kept_store *store, const char *name, size_t rows, size_t d, int max_degree)
{
    const store_options options = {.max_error = -1, .max_degree = max_degree};
    store_change *change = NULL;
    ck_assert_int_eq(store_registry_begin(store->fixture.registry, name, NULL, &change, NULL), HOP_OK);
    store_set *set = fixture_set(&store->fixture, rows, d, 1, &options);
    ck_assert_int_eq(store_registry_save(store->fixture.registry, change, set, NULL, NULL), HOP_OK);
    store_registry_commit(store->fixture.registry, change, set);
}

/* Maps that did not fit beside the sets must not push one of them out after a restart. */
START_TEST(sets_come_before_maps_in_the_budget)
{
    kept_store store;
    store_standing now;
    open_store(&store);
    store_operations_hold(store.fixture.operations, true);
    keep_set(&store, "a", M, MAP_D, MAP_DEGREE);
    keep_set(&store, "b", LARGE_M, D, 0);
    close_store(&store);
    ck_assert_str_eq(disk_names(path), " a@1.safetensors b@1.safetensors");

    open_store(&store);
    store.fixture.budget.limit_bytes = LARGE_M * D * sizeof(float) + SPARE_BYTES;
    lie_in_wait(&store, "b@1.safetensors", true, wait_for_maps_of_a);
    start_loading(&store);
    ck_assert(standing(&store, "b", &now));
    ck_assert_ptr_null(ambush.name);
    ck_assert_msg(now.state == STORE_READY, "%s", now.reason);
    store_set *set = fixture_get(&store.fixture, "a");
    fixture_settle(set);
    ck_assert_int_eq(store_set_state(set), STORE_READY);
    ck_assert_uint_lt(hop_features_max_degree(hop_model_features(set->model)), MAP_DEGREE);
    store_set_release(set);
    close_store(&store);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("loading");
    TCase *tests = tcase_create("loading");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, kept_setup, kept_teardown);
    tcase_add_test(tests, a_set_made_again_is_not_taken_for_an_old_version);
    tcase_add_test(tests, no_version_is_acknowledged_that_no_file_can_have);
    tcase_add_test(tests, sets_come_before_maps_in_the_budget);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
