/*
 * test_nomem.c - each allocation of the store fails once: nothing leaks, nothing half-made is seen, the budget is
 * whole.
 *
 * The linker sends this program's calls of the allocator here (--wrap), those of the core it links included.
 */
#include "disk.h"
#include "fixture.h"
#include "store/mapping.h"
#include "store/phi_cache.h"
#include "store/revision.h"
#include "support/check_main.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

/* Allocations of this thread that still succeed before one fails; negative: all succeed. */
static _Thread_local long countdown = -1;
/* Every allocation of threads that have set nothing fails. */
static atomic_bool others_fail;
static _Thread_local bool is_test;

static bool granted(void)
{
    if (!is_test && atomic_load(&others_fail))
        return false;
    if (countdown < 0)
        return true;
    return countdown-- > 0;
}

void *__wrap_malloc(size_t bytes)
{
    return granted() ? __real_malloc(bytes) : NULL;
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    return granted() ? __real_calloc(n, bytes) : NULL;
}

void *__wrap_realloc(void *block, size_t bytes)
{
    return granted() ? __real_realloc(block, bytes) : NULL;
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return granted() ? __real_aligned_alloc(alignment, bytes) : NULL;
}

enum { M = 40, D = 3, P = 2, PIECES = 4, BUDGET_BYTES = 8 << 20 };

/* A set from pieces, with values and labels. */
static hop_status make_set(store_budget *budget, store_set **out, hop_error *error)
{
    static float rows[M / PIECES * D], values[M / PIECES * P];
    static const char *labels[M];
    fixture_rows(M / PIECES, D, 1, rows);
    fixture_rows(M / PIECES, P, -1, values);
    for (size_t mu = 0; mu < M; mu++)
        labels[mu] = "label";
    store_builder *builder = NULL;
    hop_status status = store_builder_new(budget, 0, D, P, HOP_COSINE, &builder, error);
    for (int i = 0; i < PIECES && status == HOP_OK; i++)
        status = store_builder_add(builder, M / PIECES, rows, values, error);
    if (status == HOP_OK)
        status = store_builder_label(builder, M, labels, error);
    if (status == HOP_OK)
        status = store_builder_finish(builder, &STORE_OPTIONS_DEFAULT, NULL, out, error);
    store_builder_free(builder);
    return status;
}

/* The same set from rows and labels that come without a shape. */
static hop_status grow_set(store_budget *budget, store_set **out, hop_error *error)
{
    static float rows[M / PIECES * D], values[M / PIECES * P];
    fixture_rows(M / PIECES, D, 1, rows);
    fixture_rows(M / PIECES, P, -1, values);
    store_growth growth;
    store_growth_init(&growth, budget, HOP_PACK_FULL);
    store_builder *builder = NULL;
    hop_status status = HOP_OK;
    for (int i = 0; i < PIECES && status == HOP_OK; i++)
        status = store_growth_values(&growth, M / PIECES, P, values, error);
    for (int i = 0; i < PIECES && status == HOP_OK; i++)
        status = store_growth_memories(&growth, M / PIECES, D, rows, error);
    for (int i = 0; i < M && status == HOP_OK; i++)
        status = store_growth_label(&growth, "label", 5, error);
    if (status == HOP_OK)
        status = store_builder_new(budget, 0, D, P, HOP_COSINE, &builder, error);
    if (status == HOP_OK)
        status = store_builder_adopt_growth(builder, &growth, error);
    if (status == HOP_OK)
        status = store_builder_finish(builder, &STORE_OPTIONS_DEFAULT, NULL, out, error);
    store_builder_free(builder);
    store_growth_fini(&growth);
    return status;
}

START_TEST(each_allocation_of_a_growth_may_fail)
{
    is_test = true;
    store_budget budget;
    store_budget_init(&budget, BUDGET_BYTES);
    long failures = 0;
    for (bool all_granted = false; !all_granted;) {
        static long k;
        hop_error error = HOP_ERROR_NONE;
        store_set *set = NULL;
        countdown = k++;
        hop_status status = grow_set(&budget, &set, &error);
        all_granted = countdown >= 0;
        countdown = -1;
        ck_assert_msg(status == HOP_OK || (status == HOP_E_NOMEM && !all_granted), "%s", error.text);
        failures += status != HOP_OK;
        ck_assert((set != NULL) == (status == HOP_OK));
        store_set_release(set);
        ck_assert_uint_eq(store_budget_reserved(&budget), 0);
    }
    ck_assert_int_gt(failures, 5);
}
END_TEST

/* What an upload does, and a look at the list after it. */
static hop_status put_and_list(store_fixture *fixture, hop_error *error)
{
    store_change *change = NULL;
    store_set *set = NULL, **sets = NULL;
    size_t n = 0;
    hop_status status = store_registry_begin(fixture->registry, "new", NULL, &change, error);
    if (status != HOP_OK)
        return status;
    status = make_set(&fixture->budget, &set, error);
    if (status != HOP_OK) {
        store_registry_abandon(fixture->registry, change);
        return status;
    }
    store_registry_commit(fixture->registry, change, set);
    status = store_registry_list(fixture->registry, &sets, &n, error);
    if (status == HOP_OK)
        store_registry_list_free(sets, n);
    return status;
}

START_TEST(each_allocation_of_an_upload_may_fail)
{
    is_test = true;
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    long failures = 0;
    for (long k = 0;; k++) {
        hop_error error = HOP_ERROR_NONE;
        countdown = k;
        hop_status status = put_and_list(&fixture, &error);
        bool all_granted = countdown >= 0;
        countdown = -1;
        if (all_granted) {
            ck_assert_msg(status == HOP_OK, "%s", error.text);
            break;
        }
        /* Growing the rows falls back to the exact size, shrinking them is optional: a failure there is no error. */
        if (status != HOP_OK) {
            failures++;
            ck_assert_msg(status == HOP_E_NOMEM, "allocation %ld: %s", k, error.text);
            ck_assert_str_ne(error.text, "");
        }
        store_set *set = NULL;
        bool there = store_registry_get(fixture.registry, "new", &set, NULL) == HOP_OK;
        store_set_release(set);
        ck_assert_msg(there || status != HOP_OK, "allocation %ld: succeeded without a set", k);
        if (there)
            ck_assert_int_eq(store_registry_delete(fixture.registry, "new", NULL, NULL), HOP_OK);
    }
    ck_assert_int_gt(failures, 5);
    hop_check_note("%ld allocations made an upload fail", failures);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(builds_without_memory_leave_a_dense_set)
{
    is_test = true;
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    atomic_store(&others_fail, true);
    const store_options options = {.max_error = -1, .max_degree = 4};
    fixture_put(&fixture, "s", fixture_set(&fixture, M, D, 0, &options));
    store_set *set = fixture_get(&fixture, "s");
    fixture_settle(set);
    atomic_store(&others_fail, false);
    ck_assert_int_eq(store_set_state(set), STORE_READY);
    ck_assert_ptr_null(hop_model_features(set->model));
    ck_assert_ptr_nonnull(strstr(store_set_reason(set), "no memory"));
    ck_assert_uint_eq(store_set_bytes(set).features, 0);
    store_set_release(set);
    fixture_fini(&fixture);
}
END_TEST

/* Written to disk, listed, read back with its maps. */
static hop_status keep_and_load(store_budget *budget, const char *path, hop_error *error)
{
    store_folder *folder = NULL;
    store_set *set = NULL, *again = NULL;
    store_found *found = NULL;
    hop_features *features = NULL;
    size_t n = 0;
    const store_loading loading = {.budget = budget, .packing = HOP_PACK_KEYS};
    store_loss loss;
    hop_status status = make_set(budget, &set, error);
    if (status == HOP_OK) {
        store_set_name(set, "s", 1);
        status = store_folder_open(path, (store_listener){0}, &folder, error);
    }
    if (status == HOP_OK)
        status = hop_features_build(set->model, 2, NULL, NULL, &features, error);
    if (status == HOP_OK)
        status = store_budget_charge(budget, hop_features_bytes(features), "maps", error);
    if (status == HOP_OK) {
        store_set_adopt(set, features, hop_features_bytes(features));
        status = store_folder_save(folder, set, error);
    }
    if (status == HOP_OK)
        status = store_folder_save_maps(folder, set, error);
    if (status == HOP_OK)
        status = store_folder_list(folder, &found, &n, error);
    if (status == HOP_OK)
        status = store_folder_load(folder, "s", 1, &loading, &again, &loss, error);
    if (status == HOP_OK)
        status = store_folder_load_maps(folder, again, SIZE_MAX, NULL, NULL, error);
    if (status == HOP_OK)
        status = store_folder_remove(folder, "s", error);
    free(found);
    store_set_release(again);
    store_set_release(set);
    store_folder_close(folder);
    return status;
}

START_TEST(each_allocation_of_keeping_and_loading_may_fail)
{
    is_test = true;
    ck_assert_int_eq(hop_isa_choose(NULL, NULL), HOP_OK);
    char path[DISK_PATH_BYTES];
    disk_folder_make(path);
    long failures = 0;
    for (long k = 0;; k++) {
        hop_error error = HOP_ERROR_NONE;
        store_budget budget;
        store_budget_init(&budget, BUDGET_BYTES);
        countdown = k;
        hop_status status = keep_and_load(&budget, path, &error);
        bool all_granted = countdown >= 0;
        countdown = -1;
        ck_assert_uint_eq(store_budget_reserved(&budget), 0);
        ck_assert_ptr_null(strstr(disk_names(path), ".tmp"));
        if (all_granted) {
            ck_assert_msg(status == HOP_OK, "%s", error.text);
            break;
        }
        failures += status != HOP_OK;
        if (status != HOP_OK)
            ck_assert_msg((status == HOP_E_NOMEM || status == HOP_E_IO) && error.text[0], "allocation %ld: %s", k,
                          error.text);
    }
    ck_assert_str_eq(disk_names(path), "");
    ck_assert_int_gt(failures, 20);
    disk_folder_remove(path);
}
END_TEST

/* What is on disk, with all the memory there is: the newest file of "s" and its log. */
static void assert_kept(store_folder *folder, store_budget *budget, uint64_t version, size_t rows, long k)
{
    const store_loading loading = {.budget = budget, .packing = HOP_PACK_NONE};
    hop_error error = HOP_ERROR_NONE;
    store_found *found = NULL;
    store_set *set = NULL;
    store_loss loss = {0};
    size_t n = 0;
    ck_assert_int_eq(store_folder_list(folder, &found, &n, &error), HOP_OK);
    ck_assert_uint_ge(n, 1);
    hop_status status = store_folder_load(folder, "s", found[0].version, &loading, &set, &loss, &error);
    ck_assert_msg(status == HOP_OK && !loss.reason[0], "allocation %ld: %s%s", k, error.text, loss.reason);
    ck_assert_msg(set->version == version && set->M == rows, "allocation %ld: version %d of %zu rows", k,
                  (int)set->version, set->M);
    store_set_release(set);
    free(found);
}

/* A change into the log, both read back, and one file made of them again. *durable: the change was acknowledged. */
static hop_status log_and_compact(store_folder *folder, store_budget *budget, const store_set *base, bool *durable,
                                  hop_error *error)
{
    static float rows[2 * D], values[2 * P];
    fixture_rows(2, D, 1, rows);
    fixture_rows(2, P, 0, values);
    const store_revision append = {.kind = STORE_APPEND,
                                   .added = {.M = 2, .d = D, .p = P, .memories = rows, .values = values}};
    const store_loading loading = {.budget = budget, .packing = HOP_PACK_KEYS};
    store_set *set = NULL, *again = NULL;
    store_loss loss;
    hop_status status = store_revise(base, &append, NULL, &set, error);
    if (status == HOP_OK) {
        store_set_name(set, "s", 2);
        status = store_folder_append(folder, base, set, &append, error);
        *durable = status == HOP_OK;
    }
    if (status == HOP_OK)
        status = store_folder_load(folder, "s", 1, &loading, &again, &loss, error);
    if (status == HOP_OK)
        status = store_folder_compact(folder, set, store_folder_life(folder, "s"), error);
    store_set_release(again);
    store_set_release(set);
    return status;
}

START_TEST(each_allocation_of_a_log_may_fail)
{
    is_test = true;
    ck_assert_int_eq(hop_isa_choose(NULL, NULL), HOP_OK);
    char path[DISK_PATH_BYTES];
    disk_folder_make(path);
    long failures = 0;
    for (long k = 0;; k++) {
        hop_error error = HOP_ERROR_NONE;
        store_budget budget;
        store_budget_init(&budget, BUDGET_BYTES);
        store_folder *folder = NULL;
        store_set *base = NULL;
        bool durable = false;
        ck_assert_int_eq(store_folder_open(path, (store_listener){0}, &folder, NULL), HOP_OK);
        ck_assert_int_eq(make_set(&budget, &base, NULL), HOP_OK);
        store_set_name(base, "s", 1);
        ck_assert_int_eq(store_folder_save(folder, base, NULL), HOP_OK);
        countdown = k;
        hop_status status = log_and_compact(folder, &budget, base, &durable, &error);
        bool all_granted = countdown >= 0;
        countdown = -1;
        assert_kept(folder, &budget, durable ? 2 : 1, durable ? M + 2 : M, k);
        store_set_release(base);
        ck_assert_uint_eq(store_budget_reserved(&budget), 0);
        ck_assert_ptr_null(strstr(disk_names(path), ".tmp"));
        ck_assert_int_eq(store_folder_remove(folder, "s", NULL), HOP_OK);
        store_folder_close(folder);
        ck_assert_str_eq(disk_names(path), "");
        failures += status != HOP_OK;
        if (all_granted) {
            ck_assert_msg(status == HOP_OK, "%s", error.text);
            break;
        }
        if (status != HOP_OK)
            ck_assert_msg((status == HOP_E_NOMEM || status == HOP_E_IO) && error.text[0], "allocation %ld: %s", k,
                          error.text);
    }
    ck_assert_int_gt(failures, 20);
    hop_check_note("%ld allocations made a log, its replay or its compaction fail", failures);
    disk_folder_remove(path);
}
END_TEST

/* Rows that stay in their file, in place of those that are read. */
START_TEST(each_allocation_of_mapping_may_fail)
{
    is_test = true;
    ck_assert_int_eq(hop_isa_choose(NULL, NULL), HOP_OK);
    ck_assert_int_eq(store_mapping_guard(NULL), HOP_OK);
    char path[DISK_PATH_BYTES];
    disk_folder_make(path);
    store_budget budget;
    store_budget_init(&budget, BUDGET_BYTES);
    store_folder *folder = NULL;
    store_set *set = NULL;
    ck_assert_int_eq(store_folder_open(path, (store_listener){0}, &folder, NULL), HOP_OK);
    ck_assert_int_eq(make_set(&budget, &set, NULL), HOP_OK);
    store_set_name(set, "a", 1);
    ck_assert_int_eq(store_folder_save(folder, set, NULL), HOP_OK);
    store_set_release(set);
    nanosleep(&(struct timespec){.tv_nsec = 40000000}, NULL); /* what was just written is not mapped */

    const store_loading loading = {.budget = &budget, .packing = HOP_PACK_FULL, .map_from_bytes = 1};
    store_loss loss;
    long failures = 0;
    for (long k = 0;; k++) {
        set = NULL;
        countdown = k;
        hop_status status = store_folder_load(folder, "a", 1, &loading, &set, &loss, NULL);
        bool all_granted = countdown >= 0;
        countdown = -1;
        if (status == HOP_OK)
            ck_assert_ptr_nonnull(set->mapping);
        else
            ck_assert_int_eq(status, HOP_E_NOMEM);
        failures += status != HOP_OK;
        store_set_release(set);
        ck_assert_uint_eq(store_budget_reserved(&budget), 0);
        if (all_granted)
            break;
    }
    ck_assert_int_gt(failures, 8);
    store_folder_close(folder);
    disk_folder_remove(path);
}
END_TEST

/* Where memory is out for the maps alone the version comes without them. */
static void fail_each_of(store_fixture *fixture, const store_set *base, const store_revision *revision)
{
    size_t before = store_budget_reserved(&fixture->budget);
    long failures = 0;
    for (long k = 0;; k++) {
        hop_error error = HOP_ERROR_NONE;
        store_set *set = NULL;
        countdown = k;
        hop_status status = store_revise(base, revision, NULL, &set, &error);
        bool all_granted = countdown >= 0;
        countdown = -1;
        if (status != HOP_OK) {
            failures++;
            ck_assert_msg(status == HOP_E_NOMEM, "allocation %ld: %s", k, error.text);
            ck_assert_ptr_null(set);
        }
        if (all_granted) {
            ck_assert_msg(status == HOP_OK, "%s", error.text);
            ck_assert(revision->kind == STORE_SETTINGS || hop_model_features(set->model));
        }
        store_set_release(set);
        ck_assert_uint_eq(store_budget_reserved(&fixture->budget), before);
        if (all_granted)
            break;
    }
    ck_assert_int_gt(failures, 0);
    hop_check_note("%ld allocations made a revision of kind %d fail", failures, (int)revision->kind);
}

START_TEST(each_allocation_of_a_revision_may_fail)
{
    is_test = true;
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    store_set *base = NULL, *roomy = NULL;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(make_set(&fixture.budget, &base, &error), HOP_OK);
    hop_features *features = NULL;
    ck_assert_int_eq(hop_features_build(base->model, 2, NULL, NULL, &features, &error), HOP_OK);
    ck_assert_int_eq(store_budget_charge(&fixture.budget, hop_features_bytes(features), "maps", &error), HOP_OK);
    store_set_adopt(base, features, hop_features_bytes(features));
    store_set_settle(base, STORE_READY, NULL);

    float rows[2 * D], values[2 * P];
    const char *labels[M];
    fixture_rows(2, D, 1, rows);
    fixture_rows(2, P, 0, values);
    for (size_t mu = 0; mu < M; mu++)
        labels[mu] = "other";
    const uint64_t ids[] = {7, 3};
    const store_revision append = {
        .kind = STORE_APPEND, .added = {.M = 2, .d = D, .p = P, .memories = rows, .values = values, .labels = labels}};
    const store_revision removal = {.kind = STORE_REMOVE, .ids = ids, .n_ids = 2};
    const store_revision relabel = {
        .kind = STORE_SETTINGS, .options = STORE_OPTIONS_DEFAULT, .relabel = true, .labels = labels, .n_labels = M};
    const store_revision degree = {.kind = STORE_SETTINGS, .options = {.max_error = -1, .max_degree = 3}};
    const store_revision *all[] = {&append, &removal, &relabel, &degree};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        fail_each_of(&fixture, base, all[i]);
    /* In place: what failed leaves the room behind the rows free. */
    ck_assert_int_eq(store_revise(base, &append, NULL, &roomy, &error), HOP_OK);
    fail_each_of(&fixture, roomy, &append);
    ck_assert_uint_eq(atomic_load(&roomy->body->block->used), M + 4); /* the last, which succeeded */
    store_set_release(base);
    store_set_release(roomy);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(each_allocation_of_sums_may_fail)
{
    is_test = true;
    store_fixture fixture;
    store_phi_cache *cache = NULL;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    ck_assert_int_eq(store_phi_cache_new(BUDGET_BYTES, &cache, NULL), HOP_OK);
    store_set *set = fixture_set(&fixture, M, D, 0, NULL);
    size_t before = store_budget_reserved(&fixture.budget);
    hop_request request = {.beta = 1, .mode = HOP_RANDOM_FEATURES, .steps = 1};
    hop_parameters_default(&request.parameters);
    request.parameters.features = 8;
    long failures = 0;
    for (long k = 0;; k++) {
        store_phi *phi = NULL;
        countdown = k;
        hop_status status = store_phi_cache_get(cache, set, &request, NULL, NULL, NULL, &phi, NULL);
        bool all_granted = countdown >= 0;
        countdown = -1;
        if (all_granted) {
            ck_assert_int_eq(status, HOP_OK);
            store_phi_release(phi);
            break;
        }
        failures++;
        ck_assert_int_eq(status, HOP_E_NOMEM);
        ck_assert_ptr_null(phi);
        ck_assert_uint_eq(store_phi_cache_bytes_of(cache, set->body), 0);
        ck_assert_uint_eq(store_budget_reserved(&fixture.budget), before);
    }
    ck_assert_int_gt(failures, 2);
    store_set_release(set);
    store_phi_cache_free(cache);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(each_allocation_of_a_measurement_may_fail)
{
    is_test = true;
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    store_set *set = fixture_set(&fixture, M, D, 0, NULL);
    size_t before = store_budget_reserved(&fixture.budget);
    long failures = 0;
    for (long k = 0;; k++) {
        countdown = k;
        hop_status status = store_study_here(set, NULL, NULL);
        bool all_granted = countdown >= 0;
        countdown = -1;
        if (all_granted) {
            ck_assert_int_eq(status, HOP_OK);
            break;
        }
        failures++;
        ck_assert_int_eq(status, HOP_E_NOMEM);
        ck_assert_ptr_null(store_set_separation(set));
        ck_assert_uint_eq(store_budget_reserved(&fixture.budget), before);
    }
    ck_assert_int_gt(failures, 1);
    store_work_view view;
    for (long k = 0; k < 2; k++) {
        countdown = k;
        ck_assert_int_eq(store_studies_submit(store_operations_studies(fixture.operations), set, &view, NULL),
                         HOP_E_NOMEM);
    }
    countdown = -1;
    store_set_release(set);
    fixture_fini(&fixture);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("nomem");
    TCase *nomem = tcase_create("nomem");
    tcase_add_test(nomem, each_allocation_of_an_upload_may_fail);
    tcase_add_test(nomem, each_allocation_of_a_growth_may_fail);
    tcase_add_test(nomem, builds_without_memory_leave_a_dense_set);
    tcase_add_test(nomem, each_allocation_of_keeping_and_loading_may_fail);
    tcase_add_test(nomem, each_allocation_of_a_log_may_fail);
    tcase_add_test(nomem, each_allocation_of_mapping_may_fail);
    tcase_add_test(nomem, each_allocation_of_a_revision_may_fail);
    tcase_add_test(nomem, each_allocation_of_sums_may_fail);
    tcase_add_test(nomem, each_allocation_of_a_measurement_may_fail);
    suite_add_tcase(suite, nomem);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
