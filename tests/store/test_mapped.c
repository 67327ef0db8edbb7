/*
 * test_mapped.c - sets that answer from their files at first: what they answer, what takes their place, and what becomes
 * of them when the file or the set changes in between. The moment in between is when the loader opens a file the second
 * time.
 */
#include "disk.h"
#include "fixture.h"
#include "kept.h"
#include "store/mapping.h"
#include "store/phi_cache.h"
#include "store/revision.h"
#include "support/check_main.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 40, READERS = 3, BATCH = 100 };

static const char file_name[] = "a@1.safetensors";

/* ---- the moment in between ----------------------------------------------------------------------------- */

static struct {
    store_system system;
    kept_store *store;
    unsigned opened; /* by another thread than the test's */
    void (*act)(kept_store *store);
    pthread_t test;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
} between;

static int open_and_act(int folder, const char *name, int flags, mode_t mode)
{
    if (strcmp(name, file_name) == 0 && !pthread_equal(pthread_self(), between.test) && ++between.opened == 2) {
        between.act(between.store);
        pthread_mutex_lock(&between.lock);
        between.done = true;
        pthread_cond_broadcast(&between.changed);
        pthread_mutex_unlock(&between.lock);
    }
    return store_system_real.open(folder, name, flags, mode);
}

static void wait_a_tick(void)
{
    nanosleep(&(struct timespec){.tv_nsec = TICK_MS * 1000000L}, NULL);
}

/* A set 'a' of version 1 in the folder, a new store on it that maps, and the deed in between. */
static void start_with(kept_store *store, void (*act)(kept_store *store))
{
    open_store(store);
    ck_assert_int_eq(put(store, "a", 1, NULL), HOP_OK);
    close_store(store);
    wait_a_tick();
    open_store(store);
    store->map = true;
    store->packing = HOP_PACK_FULL;
    between.system = store_system_real;
    between.system.open = open_and_act;
    between.store = store;
    between.opened = 0;
    between.act = act;
    between.test = pthread_self();
    between.done = false;
    store_system_calls = &between.system;
    start_loading(store);
    pthread_mutex_lock(&between.lock);
    while (!between.done)
        pthread_cond_wait(&between.changed, &between.lock);
    pthread_mutex_unlock(&between.lock);
}

static store_set *get(kept_store *store)
{
    return fixture_get(&store->fixture, "a");
}

/* Until 'a' is in memory of its own. */
static store_set *settled(kept_store *store)
{
    for (;;) {
        store_set *set = get(store);
        if (!set->mapping)
            return set;
        store_set_release(set);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static void wait_until_said(const char *words)
{
    while (!was_said(words))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void assert_rows(const store_set *set, float first)
{
    float rows[M * D];
    fixture_rows(M, D, first, rows);
    ck_assert_int_eq(memcmp(set->memories, rows, sizeof rows), 0);
}

static void assert_answers(const store_set *set, float first)
{
    float query[D], z[D], rows[M * D];
    double bound = 0, sum = 0, want[D] = {0};
    int degree;
    hop_fallback fallback;
    fixture_rows(M, D, first, rows);
    for (size_t l = 0; l < D; l++)
        query[l] = 0; /* all weights alike */
    for (size_t i = 0; i < M * D; i++)
        want[i % D] += rows[i];
    hop_answer answer = {.z = z, .error_bound = &bound, .degree = &degree, .fallback = &fallback};
    const hop_request request = {.beta = 1, .max_error = 1e-3, .mode = HOP_DENSE, .steps = 1, .total = 1};
    size_t bytes = hop_retrieve_workspace_bytes(set->model, 1);
    void *workspace = hop_aligned_alloc(bytes);
    ck_assert_ptr_nonnull(workspace);
    hop_error error = HOP_ERROR_NONE;
    ck_assert_msg(hop_retrieve(set->model, &request, 1, query, workspace, bytes, &answer, &error) == HOP_OK, "%s",
                  error.text);
    hop_aligned_free(workspace);
    for (size_t l = 0; l < D; l++) {
        sum = want[l] / M - z[l];
        ck_assert(sum <= bound && -sum <= bound);
    }
}

/* ---- nothing happens ----------------------------------------------------------------------------------- */

static char etag_mapped[STORE_ETAG_BYTES];

static void look(kept_store *store)
{
    store_set *set = get(store);
    ck_assert_ptr_nonnull(set->mapping);
    ck_assert_int_eq(store_set_state(set), STORE_BUILDING);
    assert_rows(set, 1);
    assert_answers(set, 1);
    ck_assert(store_set_intact(set));
    memcpy(etag_mapped, set->etag, sizeof etag_mapped);
    store_set_release(set);
}

/* Of a set without labels that shares nothing. */
static size_t charged(const store_set *set)
{
    return sizeof *set + atomic_load(&set->body->charged_bytes) + set->body->block->charged_bytes;
}

START_TEST(a_mapped_set_answers_and_then_stays)
{
    kept_store store;
    start_with(&store, look);
    store_set *set = settled(&store);
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
    ck_assert_uint_eq(store_budget_reserved(&store.fixture.budget), charged(set));
    store_set_release(set);
    close_store(&store);
}
END_TEST

/* A reader of the mapped form finishes on it, and the last one unmaps it. */
static store_set *held;

static void hold(kept_store *store)
{
    held = get(store);
}

START_TEST(readers_of_the_mapped_form_finish)
{
    kept_store store;
    start_with(&store, hold);
    store_set_release(settled(&store));
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
    held = get(store);
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
    store_set *set = get(&store);
    ck_assert_ptr_nonnull(set->mapping);
    assert_answers(set, 1);
    ck_assert(store_set_intact(set));
    store_set_release(set);
    store_registry_abandon(store.fixture.registry, open_change);
    set = settled(&store);
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
    store_set *set = settled(&store);
    ck_assert_uint_eq(set->version, 2);
    ck_assert_double_eq(set->beta, 3);
    assert_rows(set, 1);
    store_set_release(set);
    close_store(&store);
    assert_after_restart("a", 2, 1);
}
END_TEST

/* ---- the file changes in between ----------------------------------------------------------------------- */

static const char *full_name(void)
{
    static char text[2 * DISK_PATH_BYTES];
    snprintf(text, sizeof text, "%s/%s", path, file_name);
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
        store_set *set = get(&store);
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
    store_set *set = get(&store);
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
    size_t n = disk_read(path, file_name, bytes);
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

/* ---- readers meanwhile --------------------------------------------------------------------------------- */

static atomic_bool over;
static atomic_int answered;
static pthread_t readers[READERS];

static void *read_on(void *argument)
{
    kept_store *store = argument;
    while (!atomic_load(&over)) {
        store_set *set = get(store);
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
    store_set *set = settled(&store);
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
    size_t one = charged(set);
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
        set = settled(&store);
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

static void setup(void)
{
    kept_setup();
    ck_assert_int_eq(store_mapping_guard(NULL), HOP_OK);
    pthread_mutex_init(&between.lock, NULL);
    pthread_cond_init(&between.changed, NULL);
}

static Suite *make(void)
{
    Suite *suite = suite_create("mapped");
    TCase *tests = tcase_create("mapped");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup, kept_teardown);
    tcase_add_test(tests, a_mapped_set_answers_and_then_stays);
    tcase_add_test(tests, readers_of_the_mapped_form_finish);
    tcase_add_test(tests, a_set_replaced_in_between_is_the_new_one);
    tcase_add_test(tests, a_set_deleted_in_between_is_gone);
    tcase_add_test(tests, a_change_that_came_to_nothing);
    tcase_add_test(tests, a_daemon_stopped_while_a_change_is_open);
    tcase_add_test(tests, settings_changed_in_between_stay);
    tcase_add_test(tests, a_set_cut_off_in_between_fails);
    tcase_add_test(tests, a_set_written_to_in_between_fails);
    tcase_add_test(tests, a_set_whose_name_was_taken_answers_on);
    tcase_add_test(tests, what_was_made_of_lost_rows_is_thrown_away);
    tcase_add_test(tests, every_truncation_under_a_live_mapping);
    tcase_add_test(tests, readers_see_one_version_throughout);
    tcase_add_test(tests, sets_are_paid_for_before_anything_else);
    tcase_add_test(tests, every_failing_call_of_a_mapped_start_is_survived);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
