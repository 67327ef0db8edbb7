/*
 * test_carried.c - feature maps of versions made of versions, on disk: kept once a change is not followed by another, and
 * taken back at the next start, in the frame that they are in.
 */
#include "kept.h"
#include "store/revision.h"
#include "support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEGREE = 3, WAIT_MS = 30000 };

static void put_with_maps(kept_store *store)
{
    hop_error error = HOP_ERROR_NONE;
    store_change *change = NULL;
    const store_options options = {.beta = 1, .max_error = 1, .max_degree = DEGREE};
    ck_assert_int_eq(store_registry_begin(store->fixture.registry, "a", NULL, &change, &error), HOP_OK);
    store_set *set = fixture_set(&store->fixture, M, D, 1, &options);
    ck_assert_int_eq(store_registry_save(store->fixture.registry, change, set, NULL, &error), HOP_OK);
    store_registry_commit(store->fixture.registry, change, set);
    set = fixture_get(&store->fixture, "a");
    fixture_settle(set);
    store_set_release(set);
}

/* A row among or near those of fixture_rows() is appended: the version that this makes comes with maps. */
static void append(kept_store *store, float number)
{
    hop_error error = HOP_ERROR_NONE;
    float row[D];
    for (size_t l = 0; l < D; l++)
        row[l] = number + (float)l;
    const store_revision revision = {.kind = STORE_APPEND, .added = {.M = 1, .d = D, .memories = row}};
    store_change *change = NULL;
    store_set *base = NULL, *set = NULL;
    ck_assert_msg(store_registry_begin_revision(store->fixture.registry, "a", NULL, &change, &base, &error) == HOP_OK,
                  "%s", error.text);
    ck_assert_msg(store_revise(base, &revision, NULL, &set, &error) == HOP_OK, "%s", error.text);
    store_set_release(base);
    ck_assert_int_eq(store_set_state(set), STORE_READY);
    ck_assert_msg(store_registry_save(store->fixture.registry, change, set, &revision, &error) == HOP_OK, "%s",
                  error.text);
    store_registry_commit(store->fixture.registry, change, set);
}

/* Until the maps there are, are those of that version. */
static void wait_for_maps(uint64_t version)
{
    char names[3 * 64];
    snprintf(names, sizeof names, " a@1.log a@1.safetensors a@%d.maps.safetensors", (int)version);
    for (int ms = 0; strcmp(disk_names(path), names) != 0; ms++) {
        ck_assert_msg(ms < WAIT_MS, "there are %s", disk_names(path));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* What a new process has, with maps, whether or not they were kept. */
static void assert_loaded(uint64_t version, size_t rows)
{
    kept_store store;
    store_standing now;
    open_store(&store);
    start_loading(&store);
    ck_assert(standing(&store, "a", &now));
    store_set *set = fixture_get(&store.fixture, "a");
    fixture_settle(set);
    ck_assert_uint_eq(set->version, version);
    ck_assert_uint_eq(set->M, rows);
    const hop_features *features = hop_model_features(set->model);
    ck_assert_msg(features && hop_features_max_degree(features) == DEGREE, "%s; %s", store_set_reason(set), said);
    store_set_release(set);
    close_store(&store);
}

START_TEST(carried_maps_are_kept_and_taken_back)
{
    kept_store store;
    open_store(&store);
    put_with_maps(&store);
    append(&store, 1.5f);
    append(&store, 1.25f); /* at once: the version between is not worth a file */
    wait_for_maps(3);
    close_store(&store);
    assert_loaded(3, M + 2);
    ck_assert_msg(was_said("were kept"), "%s", said);
}
END_TEST

START_TEST(maps_made_again_are_no_obstacle_to_a_start)
{
    kept_store store;
    open_store(&store);
    put_with_maps(&store);
    uint64_t version = 1;
    store_set *set = fixture_get(&store.fixture, "a");
    while (!hop_features_drift(hop_model_features(set->model), set->model).due) {
        store_set_release(set);
        append(&store, 2.25f);
        version++;
        set = fixture_get(&store.fixture, "a");
    }
    wait_for_maps(version);
    store_set *now = fixture_get(&store.fixture, "a");
    ck_assert_ptr_ne(now, set); /* made again before they were kept */
    ck_assert_str_eq(now->etag, set->etag);
    store_set_release(now);
    store_set_release(set);
    close_store(&store);
    assert_loaded(version, M + (size_t)version - 1);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("carried");
    TCase *carried = tcase_create("carried");
    tcase_add_checked_fixture(carried, kept_setup, kept_teardown);
    tcase_add_test(carried, carried_maps_are_kept_and_taken_back);
    tcase_add_test(carried, maps_made_again_are_no_obstacle_to_a_start);
    suite_add_tcase(suite, carried);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
