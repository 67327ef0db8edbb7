/*
 * test_mapped_start.c - starts that map: every length that a file may be cut off to, the budget, and calls that fail.
 */
#include "between.h"
#include "support/check_main.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 100 };

/* ---- every truncation of a file that answers ----------------------------------------------------------- */

static hop_status read_snapshot(int file, const store_loading *loading, store_set **out, hop_error *error)
{
    store_replay *replay = NULL;
    store_loss loss;
    hop_status status = store_replay_new(file, -1, "a", 1, loading, &replay, &loss, error);
    if (status == HOP_OK)
        status = store_replay_build(replay, out, error);
    store_replay_free(replay);
    return status;
}

START_TEST(every_truncation_under_a_live_mapping)
{
    static char bytes[DISK_FILE_BYTES];
    kept_store store;
    open_store(&store);
    ck_assert_int_eq(put(&store, "a", 1, NULL), HOP_OK);
    close_store(&store);
    size_t n = disk_read(path, between_file, bytes);
    store_budget budget;
    store_budget_init(&budget, SIZE_MAX);
    const store_loading loading = {.budget = &budget, .packing = HOP_PACK_NONE, .map_from_bytes = 1};
    float rows[M * D], seen[M * D];
    fixture_rows(M, D, 1, rows);
    store_set *sets[BATCH];
    char names[BATCH][2 * DISK_PATH_BYTES];
    for (size_t first = 0; first < n; first += BATCH) {
        size_t batch = n - first < BATCH ? n - first : BATCH;
        for (size_t i = 0; i < batch; i++) {
            char name[32];
            snprintf(name, sizeof name, "copy-%zu", i);
            snprintf(names[i], sizeof names[i], "%s/%s", path, name);
            disk_write(path, name, bytes, n);
        }
        wait_a_tick();
        for (size_t i = 0; i < batch; i++) {
            hop_error error = HOP_ERROR_NONE;
            int file = store_system_real.open(-1, names[i], 0, 0); /* O_RDONLY; the name is absolute */
            ck_assert_msg(read_snapshot(file, &loading, &sets[i], &error) == HOP_OK, "%s", error.text);
            ck_assert_ptr_nonnull(sets[i]->mapping);
            close(file);
            ck_assert_int_eq(truncate(names[i], (off_t)(first + i)), 0);
        }
        for (size_t i = 0; i < batch; i++) {
            memcpy(seen, sets[i]->memories, sizeof seen);
            bool intact = store_set_intact(sets[i]);
            ck_assert(!intact);
            ck_assert(intact || store_set_state(sets[i]) == STORE_FAILED);
            store_set_release(sets[i]);
        }
    }
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
}
END_TEST

/* ---- the budget ---------------------------------------------------------------------------------------- */

/* What a set will take is taken before others come; one that does not fit says by how much, and can be deleted. */
START_TEST(sets_are_paid_for_before_anything_else)
{
    kept_store store;
    store_standing now;
    hop_error error = HOP_ERROR_NONE;
    open_store(&store);
    ck_assert_int_eq(put(&store, "a", 1, NULL), HOP_OK);
    ck_assert_int_eq(put(&store, "b", 1, NULL), HOP_OK);
    store_set *set = fixture_get(&store.fixture, "a");
    size_t one = charged_for(set);
    store_set_release(set);
    close_store(&store);

    for (int map = 0; map < 2; map++) {
        wait_a_tick();
        open_store(&store);
        store.map = map;
        store.packing = HOP_PACK_FULL;
        store.fixture.budget.limit_bytes = one + one / 2;
        start_loading(&store);
        ck_assert_uint_ge(store_budget_reserved(&store.fixture.budget), one); /* at once */
        ck_assert(standing(&store, "b", &now));
        ck_assert_int_eq(now.state, STORE_FAILED);
        ck_assert_ptr_nonnull(strstr(now.reason, "of the memory budget of"));
        error = HOP_ERROR_NONE;
        ck_assert_int_eq(store_registry_get(store.fixture.registry, "b", &set, &error), HOP_E_UNLOADED);
        set = settled_a(&store);
        assert_rows(set, 1);
        store_set_release(set);
        if (map)
            ck_assert_int_eq(store_registry_delete(store.fixture.registry, "b", NULL, &error), HOP_OK);
        close_store(&store);
    }
    ck_assert_str_eq(disk_names(path), " a@1.safetensors");
}
END_TEST

/* ---- calls that fail ----------------------------------------------------------------------------------- */

/* Until the loader has done with 'a': read, or could not. The set where there is one, in whatever form. */
static store_set *outcome(kept_store *store)
{
    store_standing now;
    ck_assert(standing(store, "a", &now));
    for (;;) {
        store_set *set = NULL;
        hop_error error = HOP_ERROR_NONE;
        hop_status status = store_registry_get(store->fixture.registry, "a", &set, &error);
        if (status != HOP_OK) {
            ck_assert_int_eq(status, HOP_E_UNLOADED);
            ck_assert_uint_ge(strlen(error.text), 10);
            return NULL;
        }
        if (!set->mapping || was_said("could not be read into memory"))
            return set;
        store_set_release(set);
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
}

START_TEST(every_failing_call_of_a_mapped_start_is_survived)
{
    kept_store store;
    open_store(&store);
    ck_assert_int_eq(put(&store, "a", 1, NULL), HOP_OK);
    close_store(&store);
    wait_a_tick();
    for (int forever = 0; forever < 2; forever++) {
        bool reached = true;
        long fell_back = 0, failed = 0;
        for (long i = 0; reached; i++) {
            hop_error error = HOP_ERROR_NONE;
            open_store(&store);
            const store_loading loading = {
                .budget = &store.fixture.budget, .packing = HOP_PACK_FULL, .map_from_bytes = 1};
            disk_fail(i, forever, EIO);
            hop_status status = store_loader_new(store.folder, store.fixture.registry, &loading, &store.loader, &error);
            if (status == HOP_OK) {
                store_set *set = outcome(&store);
                fell_back += was_said("is read, not mapped");
                failed += set == NULL;
                if (set) { /* right, or said not to be */
                    float rows[M * D], wanted[M * D];
                    memcpy(rows, set->memories, sizeof rows);
                    fixture_rows(M, D, 1, wanted);
                    ck_assert(!store_set_intact(set) || memcmp(rows, wanted, sizeof rows) == 0);
                }
                store_set_release(set);
            } else {
                ck_assert_uint_ge(strlen(error.text), 10);
            }
            store_loader_free(store.loader);
            store.loader = NULL;
            reached = i < disk_calls();
            disk_heal();
            close_store(&store);
        }
        ck_assert_int_ge(fell_back, 4);
        ck_assert_int_ge(failed, 1);
    }
    ck_assert_str_eq(disk_names(path), " a@1.safetensors");
    assert_after_restart("a", 1, 1);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("mapped_start");
    TCase *tests = tcase_create("mapped_start");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, between_setup, kept_teardown);
    tcase_add_test(tests, every_truncation_under_a_live_mapping);
    tcase_add_test(tests, sets_are_paid_for_before_anything_else);
    tcase_add_test(tests, every_failing_call_of_a_mapped_start_is_survived);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
