/*
 * test_export.c - a set as a file: the bytes, in pieces of any size, and that they say nothing of name and version.
 */
#include "fixture.h"
#include "store/container.h"
#include "store/export.h"
#include "store/npy.h"
#include "store/revision.h"
#include "support/check_main.h"

#include <stdlib.h>
#include <string.h>

enum { BUDGET_BYTES = 64 << 20, M = 5, D = 3, P = 2, BLOCK = 1 << 16 };

static store_fixture fixture;

static void set_up(void)
{
    fixture_init(&fixture, BUDGET_BYTES, NULL);
}

static void tear_down(void)
{
    fixture_fini(&fixture);
}

/* With values, labels and ids of its own. */
static store_set *full_set(const char *name, uint64_t version)
{
    static const float values[M * P] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    static const char *const labels[M] = {"a", "", "caf\xC3\xA9", "d", "e"};
    static const uint64_t ids[M] = {0, 2, 3, 7, 9};
    const store_options options = {.beta = 0.3, .max_error = 0.25, .max_degree = 2};
    float rows[M * D];
    fixture_rows(M, D, 1, rows);
    store_builder *builder = NULL;
    store_set *set = NULL;
    ck_assert_int_eq(store_builder_new(&fixture.budget, M, D, P, HOP_COSINE, &builder, NULL), HOP_OK);
    ck_assert_int_eq(store_builder_add(builder, M, rows, values, NULL), HOP_OK);
    ck_assert_int_eq(store_builder_label(builder, M, labels, NULL), HOP_OK);
    ck_assert_int_eq(store_builder_set_ids(builder, M, ids, 12, NULL), HOP_OK);
    ck_assert_int_eq(store_builder_finish(builder, &options, NULL, &set, NULL), HOP_OK);
    store_builder_free(builder);
    store_set_name(set, name, version);
    return set;
}

/* All bytes, read in pieces of `piece`. */
static size_t export_bytes(store_set *set, store_export_form form, size_t piece, char *out)
{
    store_export *self = NULL;
    ck_assert_int_eq(store_export_new(set, form, &self, NULL), HOP_OK);
    store_export_seal(self);
    size_t n = (size_t)store_export_bytes(self), at = 0;
    ck_assert_uint_le(n, BLOCK);
    while (at < n) {
        size_t got = store_export_read(self, at, out + at, n - at < piece ? n - at : piece);
        ck_assert_uint_gt(got, 0);
        at += got;
    }
    ck_assert_uint_eq(store_export_read(self, n, out, 1), 0);
    ck_assert_uint_eq(store_export_read(self, UINT64_MAX, out, 1), 0);
    store_export_free(self);
    return n;
}

START_TEST(pieces_of_any_size_are_the_same_bytes)
{
    static char whole[BLOCK], pieces[BLOCK];
    store_set *set = full_set("a", 1);
    for (store_export_form form = 0; form < STORE_EXPORT_FORMS; form++) {
        size_t n = export_bytes(set, form, BLOCK, whole);
        for (size_t piece = 1; piece < 70; piece += 3) {
            ck_assert_uint_eq(export_bytes(set, form, piece, pieces), n);
            ck_assert_mem_eq(whole, pieces, n);
        }
    }
    store_set_release(set);
}
END_TEST

START_TEST(npy_is_the_memories)
{
    static char bytes[BLOCK];
    store_set *set = full_set("a", 1);
    size_t n = export_bytes(set, STORE_EXPORT_NPY, BLOCK, bytes);
    store_npy_header header;
    ck_assert_int_eq(store_npy_header_parse(bytes, n, false, &header, NULL), HOP_OK);
    ck_assert(header.rows == M && header.columns == D && header.type == STORE_NPY_F4 && !header.fortran);
    ck_assert_uint_eq(n, header.header_bytes + header.data_bytes);
    ck_assert_mem_eq(bytes + header.header_bytes, set->memories, header.data_bytes);
    store_set_release(set);
}
END_TEST

START_TEST(safetensors_has_everything_and_its_checksums)
{
    static char bytes[BLOCK];
    store_set *set = full_set("a", 1);
    size_t n = export_bytes(set, STORE_EXPORT_SAFETENSORS, BLOCK, bytes);
    store_container container;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_msg(store_container_parse(bytes, n, n, &container, &error) == HOP_OK, "%s", error.text);
    ck_assert_str_eq(store_container_find(&container, "kind"), "export");
    ck_assert_str_eq(store_container_find(&container, "similarity"), "cosine");
    ck_assert_str_eq(store_container_find(&container, "max_degree"), "2");
    ck_assert_str_eq(store_container_find(&container, "next_id"), "12");
    ck_assert_ptr_null(store_container_find(&container, "name"));
    static const struct {
        const char *name;
        size_t offset;
    } arrays[] = {{"memories", offsetof(store_set, memories)},
                  {"values", offsetof(store_set, values)},
                  {"ids", offsetof(store_set, ids)},
                  {"labels", offsetof(store_set, label_text)}};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        const store_tensor *tensor = store_container_find_tensor(&container, arrays[i].name);
        const void *array;
        ck_assert_ptr_nonnull(tensor);
        memcpy(&array, (const char *)set + arrays[i].offset, sizeof array);
        ck_assert_mem_eq(bytes + tensor->at, array, tensor->bytes);
    }
    ck_assert_uint_eq(container.n_tensors, 4);
    ck_assert_uint_eq(store_container_find_tensor(&container, "memories")->at % 64, 0);
    store_set_release(set);
}
END_TEST

START_TEST(name_version_and_time_leave_no_trace)
{
    static char first[BLOCK], second[BLOCK];
    store_set *a = full_set("a", 1), *b = full_set("another", 77);
    b->created_ms += 12345;
    for (store_export_form form = 0; form < STORE_EXPORT_FORMS; form++) {
        size_t n = export_bytes(a, form, BLOCK, first);
        ck_assert_uint_eq(export_bytes(b, form, BLOCK, second), n);
        ck_assert_mem_eq(first, second, n);
    }
    store_set_release(a);
    store_set_release(b);
}
END_TEST

START_TEST(a_set_that_chose_its_degree_says_none)
{
    static char bytes[BLOCK];
    store_set *set = fixture_set(&fixture, M, D, 0, NULL);
    size_t n = export_bytes(set, STORE_EXPORT_SAFETENSORS, BLOCK, bytes);
    store_container container;
    ck_assert_int_eq(store_container_parse(bytes, n, n, &container, NULL), HOP_OK);
    ck_assert_ptr_null(store_container_find(&container, "max_degree"));
    ck_assert_ptr_null(store_container_find(&container, "next_id"));
    ck_assert_uint_eq(container.n_tensors, 1);
    store_set_release(set);
}
END_TEST

/* A centered_cosine set of M + 2 - 1 rows, whose mean is that of M others. */
static store_set *changed_set(void)
{
    static const float added[2 * D] = {9, -7, 8, 6, 7, -9};
    static const uint64_t removed[1] = {1};
    const store_options options = {.beta = 0, .max_error = -1, .max_degree = -1};
    const store_revision append = {.kind = STORE_APPEND, .added = {.M = 2, .d = D, .memories = added}};
    const store_revision removal = {.kind = STORE_REMOVE, .ids = removed, .n_ids = 1};
    float rows[M * D];
    fixture_rows(M, D, 1, rows);
    store_builder *builder = NULL;
    store_set *first = NULL, *second = NULL, *third = NULL;
    ck_assert_int_eq(store_builder_new(&fixture.budget, M, D, 0, HOP_CENTERED_COSINE, &builder, NULL), HOP_OK);
    ck_assert_int_eq(store_builder_add(builder, M, rows, NULL, NULL), HOP_OK);
    ck_assert_int_eq(store_builder_finish(builder, &options, NULL, &first, NULL), HOP_OK);
    store_builder_free(builder);
    ck_assert_int_eq(store_revise(first, &append, NULL, &second, NULL), HOP_OK);
    ck_assert_int_eq(store_revise(second, &removal, NULL, &third, NULL), HOP_OK);
    ck_assert_mem_eq(hop_model_frames(third->model).mean, hop_model_frames(first->model).mean, D * sizeof(double));
    store_set_release(first);
    store_set_release(second);
    return third;
}

/* The set that the rows, ids and settings of another make, with this mean; NULL: their own. */
static store_set *made_again(const store_set *like, const double *mean)
{
    const store_options options = {.beta = like->beta, .max_error = like->max_error, .max_degree = like->max_degree};
    store_builder *builder = NULL;
    store_set *set = NULL;
    ck_assert_int_eq(store_builder_new(&fixture.budget, 0, D, 0, HOP_CENTERED_COSINE, &builder, NULL), HOP_OK);
    ck_assert_int_eq(store_builder_add(builder, like->M, like->memories, NULL, NULL), HOP_OK);
    ck_assert_int_eq(store_builder_set_ids(builder, like->M, like->ids, like->next_id, NULL), HOP_OK);
    if (mean) {
        double *copy = malloc(D * sizeof *copy); /* gone before the builder is finished */
        memcpy(copy, mean, D * sizeof *copy);
        size_t before = store_budget_reserved(&fixture.budget);
        ck_assert_int_eq(store_builder_set_mean(builder, copy, NULL), HOP_OK);
        ck_assert_uint_eq(store_budget_reserved(&fixture.budget), before + D * sizeof *copy);
        free(copy);
    }
    ck_assert_int_eq(store_builder_finish(builder, &options, NULL, &set, NULL), HOP_OK);
    store_builder_free(builder);
    return set;
}

START_TEST(the_mean_of_a_changed_set_goes_with_it)
{
    static char bytes[BLOCK], again[BLOCK];
    store_set *set = changed_set();
    size_t n = export_bytes(set, STORE_EXPORT_SAFETENSORS, BLOCK, bytes);
    store_container container;
    ck_assert_int_eq(store_container_parse(bytes, n, n, &container, NULL), HOP_OK);
    const store_tensor *tensor = store_container_find_tensor(&container, "mean");
    ck_assert(tensor && tensor->dtype == STORE_F64 && tensor->rank == 1 && tensor->shape[0] == D);
    double mean[D];
    memcpy(mean, bytes + tensor->at, sizeof mean);
    ck_assert_mem_eq(mean, hop_model_frames(set->model).mean, sizeof mean);
    ck_assert_uint_eq(container.n_tensors, 3);

    store_set *same = made_again(set, mean), *other = made_again(set, NULL);
    ck_assert_uint_eq(export_bytes(same, STORE_EXPORT_SAFETENSORS, BLOCK, again), n);
    ck_assert_mem_eq(again, bytes, n);
    ck_assert_uint_eq(export_bytes(other, STORE_EXPORT_SAFETENSORS, BLOCK, again), n);
    ck_assert_mem_ne(again, bytes, n);
    store_set_release(set);
    store_set_release(same);
    store_set_release(other);
    ck_assert_uint_eq(store_budget_reserved(&fixture.budget), 0);
}
END_TEST

START_TEST(a_mean_that_does_not_fit_is_refused)
{
    const double mean[D] = {0};
    store_builder *builder = NULL;
    ck_assert_int_eq(store_builder_new(&fixture.budget, 0, D, 0, HOP_CENTERED_COSINE, &builder, NULL), HOP_OK);
    size_t rest = BUDGET_BYTES - store_budget_reserved(&fixture.budget) - sizeof mean + 1;
    ck_assert_int_eq(store_budget_charge(&fixture.budget, rest, "something else", NULL), HOP_OK);
    ck_assert_int_eq(store_builder_set_mean(builder, mean, NULL), HOP_E_BUDGET);
    store_budget_release(&fixture.budget, rest);
    ck_assert_int_eq(store_builder_set_mean(builder, mean, NULL), HOP_OK);
    store_builder_free(builder);
    ck_assert_uint_eq(store_budget_reserved(&fixture.budget), 0);
}
END_TEST

START_TEST(an_export_keeps_its_set_alive)
{
    store_set *set = full_set("a", 1);
    store_export *self = NULL;
    float row[D];
    ck_assert_int_eq(store_export_new(set, STORE_EXPORT_NPY, &self, NULL), HOP_OK);
    store_set_release(set);
    ck_assert_uint_gt(store_budget_reserved(&fixture.budget), 0);
    ck_assert_uint_eq(store_export_read(self, STORE_NPY_WRITE_BYTES, (char *)row, sizeof row), sizeof row);
    store_export_free(self);
    ck_assert_uint_eq(store_budget_reserved(&fixture.budget), 0);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("export");
    TCase *cases = tcase_create("export");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, pieces_of_any_size_are_the_same_bytes);
    tcase_add_test(cases, npy_is_the_memories);
    tcase_add_test(cases, safetensors_has_everything_and_its_checksums);
    tcase_add_test(cases, name_version_and_time_leave_no_trace);
    tcase_add_test(cases, a_set_that_chose_its_degree_says_none);
    tcase_add_test(cases, the_mean_of_a_changed_set_goes_with_it);
    tcase_add_test(cases, a_mean_that_does_not_fit_is_refused);
    tcase_add_test(cases, an_export_keeps_its_set_alive);
    suite_add_tcase(suite, cases);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
