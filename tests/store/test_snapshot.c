/*
 * test_snapshot.c - sets and feature maps as files: what is written comes back, the golden files stay what they are,
 * and no damaged file is taken for a whole one.
 */
#include "disk.h"
#include "fixture.h"
#include "store/checksum.h"
#include "store/container.h"
#include "store/maps_file.h"
#include "support/check_main.h"
#include "support/executors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef GOLDEN_FOLDER
#error "GOLDEN_FOLDER names the folder of the golden files"
#endif

enum { M = 23, D = 3, P = 2, BUDGET_BYTES = 8 << 20, DEGREE = 3 };

/* What this version writes, and what others wrote: version 7 is of format 1. */
static const char golden_set[] = "golden@8.safetensors", golden_maps[] = "golden@8.maps.safetensors";
static const char golden_set_1[] = "golden@7.safetensors", golden_maps_1[] = "golden@7.maps.safetensors";

static store_budget budget;
static char path[DISK_PATH_BYTES];
static store_folder *folder;

static void setup(void)
{
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(hop_isa_choose(NULL, &error), HOP_OK);
    store_budget_init(&budget, BUDGET_BYTES);
    disk_folder_make(path);
    ck_assert_msg(store_folder_open(path, (store_listener){0}, &folder, &error) == HOP_OK, "%s", error.text);
}

static void teardown(void)
{
    disk_heal();
    store_folder_close(folder);
    disk_folder_remove(path);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
}

/* The set of the golden files; with_ids: as if rows had been removed; frames NULL: of its own. */
static store_set *make_set_with(hop_similarity similarity, bool values, bool labels, bool with_ids, uint64_t version,
                                const hop_frames *frames)
{
    static float memories[M * D], of_values[M * P];
    char text[M][16];
    const char *names[M];
    fixture_rows(M, D, 0.25f, memories);
    fixture_rows(M, P, -1, of_values);
    for (size_t mu = 0; mu < M; mu++) {
        snprintf(text[mu], sizeof text[mu], "row %zu \xc3\xa4", mu);
        if (mu == 5)
            text[mu][0] = '\0'; /* an empty label is one */
        names[mu] = text[mu];
    }
    hop_error error = HOP_ERROR_NONE;
    store_builder *builder = NULL;
    store_set *set = NULL;
    ck_assert_int_eq(store_builder_new(&budget, 0, D, values ? P : 0, similarity, &builder, &error), HOP_OK);
    ck_assert_int_eq(store_builder_add(builder, M, memories, values ? of_values : NULL, &error), HOP_OK);
    if (labels)
        ck_assert_int_eq(store_builder_label(builder, M, names, &error), HOP_OK);
    uint64_t ids[M];
    for (size_t mu = 0; mu < M; mu++)
        ids[mu] = 3 * mu + 1;
    if (with_ids)
        ck_assert_int_eq(store_builder_set_ids(builder, M, ids, 3 * M + 5, &error), HOP_OK);
    store_builder_set_frames(builder, frames);
    const store_options options = {.beta = 0.7, .max_error = 0.001, .max_degree = DEGREE};
    ck_assert_msg(store_builder_finish(builder, &options, NULL, &set, &error) == HOP_OK, "%s", error.text);
    store_builder_free(builder);
    set->created_ms = INT64_C(1767225600123);
    store_set_name(set, "golden", version);
    return set;
}

static store_set *make_set(hop_similarity similarity, bool values, bool labels)
{
    return make_set_with(similarity, values, labels, false, 8, NULL);
}

static void give_maps(store_set *set)
{
    hop_error error = HOP_ERROR_NONE;
    hop_features *features = NULL;
    ck_assert_msg(hop_features_build(set->model, DEGREE, NULL, NULL, &features, &error) == HOP_OK, "%s", error.text);
    ck_assert_int_eq(store_budget_charge(&budget, hop_features_bytes(features), "maps", &error), HOP_OK);
    store_set_adopt(set, features, hop_features_bytes(features));
}

static hop_status load_version(uint64_t version, store_set **out, hop_error *error)
{
    const store_loading loading = {.budget = &budget, .packing = HOP_PACK_KEYS};
    store_loss loss;
    return store_folder_load(folder, "golden", version, &loading, out, &loss, error);
}

static hop_status load(store_set **out, hop_error *error)
{
    return load_version(8, out, error);
}

static store_set *loaded(void)
{
    hop_error error = HOP_ERROR_NONE;
    store_set *set = NULL;
    ck_assert_msg(load(&set, &error) == HOP_OK, "%s", error.text);
    return set;
}

static void save(const store_set *set)
{
    hop_error error = HOP_ERROR_NONE;
    ck_assert_msg(store_folder_save(folder, set, &error) == HOP_OK, "%s", error.text);
}

static void assert_same(const store_set *a, const store_set *b)
{
    ck_assert_str_eq(a->name, b->name);
    ck_assert_str_eq(a->etag, b->etag);
    ck_assert_uint_eq(a->version, b->version);
    ck_assert_int_eq(a->created_ms, b->created_ms);
    ck_assert(a->M == b->M && a->d == b->d && a->p == b->p);
    ck_assert(memcmp(&a->beta, &b->beta, sizeof a->beta) == 0);
    ck_assert(memcmp(&a->max_error, &b->max_error, sizeof a->max_error) == 0);
    ck_assert_int_eq(a->max_degree, b->max_degree);
    ck_assert_int_eq(hop_model_similarity(a->model), hop_model_similarity(b->model));
    ck_assert(memcmp(a->memories, b->memories, a->M * a->d * sizeof(float)) == 0);
    ck_assert_int_eq(a->values == NULL, b->values == NULL);
    if (a->values)
        ck_assert(memcmp(a->values, b->values, a->M * a->p * sizeof(float)) == 0);
    ck_assert_uint_eq(a->next_id, b->next_id);
    for (size_t mu = 0; mu < a->M; mu++)
        ck_assert_uint_eq(store_set_id(a, mu), store_set_id(b, mu));
    ck_assert_int_eq(a->label_text == NULL, b->label_text == NULL);
    for (size_t mu = 0; a->label_text && mu < a->M; mu++)
        ck_assert_str_eq(store_set_label(a, mu), store_set_label(b, mu));
}

START_TEST(checksums_are_crc32c)
{
    unsigned char bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 37 + 11);
    ck_assert_uint_eq(store_checksum(0, "123456789", 9), 0xe3069283);
    ck_assert_uint_eq(store_checksum_portable(0, "123456789", 9), 0xe3069283);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        uint32_t whole = store_checksum(0, bytes, n);
        ck_assert_uint_eq(store_checksum_portable(0, bytes, n), whole);
        for (size_t cut = 0; cut <= n; cut += 7) {
            uint32_t front = store_checksum(0, bytes, cut), rest = store_checksum(0, bytes + cut, n - cut);
            ck_assert_uint_eq(store_checksum(front, bytes + cut, n - cut), whole);
            ck_assert_uint_eq(store_checksum_join(front, rest, n - cut), whole);
        }
    }
}
END_TEST

/* Long enough for stretches side by side, at every place that a word may have. */
START_TEST(long_checksums_are_crc32c)
{
    enum { LONG = 200000 };
    unsigned char *bytes = malloc(LONG);
    ck_assert_ptr_nonnull(bytes);
    uint32_t state = 1;
    for (size_t i = 0; i < LONG; i++)
        bytes[i] = (unsigned char)((state = state * 1664525 + 1013904223) >> 24);
    for (size_t from = 0; from < 9; from++)
        for (size_t n = LONG - 9; n > 40000; n -= 9001 + from) {
            uint32_t whole = store_checksum_portable(7, bytes + from, n);
            ck_assert_uint_eq(store_checksum(7, bytes + from, n), whole);
            ck_assert_uint_eq(store_checksum_join(store_checksum(7, bytes + from, n / 3),
                                                  store_checksum(0, bytes + from + n / 3, n - n / 3), n - n / 3),
                              whole);
        }
    free(bytes);
}
END_TEST

START_TEST(sets_come_back)
{
    static const hop_similarity similarities[] = {HOP_DOT, HOP_COSINE, HOP_CENTERED_COSINE};
    store_set *set = make_set_with(similarities[_i / 8], _i & 1, _i & 2, _i & 4, 8, NULL), *again;
    save(set);
    again = loaded();
    assert_same(set, again);
    ck_assert_int_eq(store_set_state(again), STORE_BUILDING);
    store_set_release(set);
    store_set_release(again);
}
END_TEST

/* Many pieces, many tasks, several threads. */
START_TEST(large_sets_come_back)
{
    enum { ROWS = 200000, COLUMNS = 33 };
    store_fixture fixture = {0};
    store_budget_init(&budget, SIZE_MAX);
    store_budget_init(&fixture.budget, SIZE_MAX);
    store_set *set = fixture_set(&fixture, ROWS, COLUMNS, 1, NULL), *again = NULL;
    store_set_name(set, "large", 1);
    save(set);
    hop_error error = HOP_ERROR_NONE;
    const store_loading loading = {.budget = &budget, .packing = HOP_PACK_NONE, .executor = &test_on_threads};
    store_loss loss;
    ck_assert_msg(store_folder_load(folder, "large", 1, &loading, &again, &loss, &error) == HOP_OK, "%s", error.text);
    assert_same(set, again);
    store_set_release(set);
    store_set_release(again);
}
END_TEST

static void assert_same_maps(const store_set *a, const store_set *b)
{
    hop_error error = HOP_ERROR_NONE;
    const float x[D] = {0.5f, -0.25f, 1.5f};
    float z[2][D];
    double bound[2];
    int degree[2];
    hop_fallback fallback[2];
    const store_set *sets[] = {a, b};
    for (int i = 0; i < 2; i++) {
        const hop_request request = {.beta = 0.01, .max_error = 1, .mode = HOP_ALMOST_LINEAR, .steps = 1};
        size_t bytes = hop_retrieve_workspace_bytes(sets[i]->model, 1);
        void *workspace = hop_aligned_alloc(bytes);
        hop_answer answer = {.z = z[i], .error_bound = &bound[i], .degree = &degree[i], .fallback = &fallback[i]};
        ck_assert_msg(hop_retrieve(sets[i]->model, &request, 1, x, workspace, bytes, &answer, &error) == HOP_OK, "%s",
                      error.text);
        hop_aligned_free(workspace);
    }
    ck_assert_int_gt(degree[0], 0);
    ck_assert_int_eq(degree[0], degree[1]);
    ck_assert(memcmp(&bound[0], &bound[1], sizeof bound[0]) == 0);
    ck_assert(memcmp(z[0], z[1], a->p * sizeof(float)) == 0);
}

START_TEST(maps_come_back)
{
    hop_error error = HOP_ERROR_NONE;
    store_set *set = make_set(_i & 1 ? HOP_CENTERED_COSINE : HOP_DOT, _i & 2, false), *again;
    give_maps(set);
    save(set);
    ck_assert_msg(store_folder_save_maps(folder, set, &error) == HOP_OK, "%s", error.text);
    again = loaded();
    size_t before = store_budget_reserved(&budget);
    ck_assert_msg(store_folder_load_maps(folder, again, 0, NULL, NULL, &error) == HOP_OK, "%s", error.text);
    ck_assert_uint_eq(store_budget_reserved(&budget) - before, hop_features_bytes(hop_model_features(again->model)));
    ck_assert_uint_eq(hop_features_bytes(hop_model_features(again->model)),
                      hop_features_bytes(hop_model_features(set->model)));
    assert_same_maps(set, again);
    store_set_release(set);
    store_set_release(again);
}
END_TEST

/* Maps of other rows, of another degree than the set wants, or larger than they may be are not taken. */
START_TEST(maps_of_another_set_are_refused)
{
    hop_error error = HOP_ERROR_NONE;
    store_set *set = make_set(HOP_DOT, false, false), *other = make_set(HOP_DOT, false, true);
    give_maps(set);
    save(set);
    ck_assert_int_eq(store_folder_save_maps(folder, set, &error), HOP_OK);
    ck_assert_int_eq(store_folder_load_maps(folder, other, 0, NULL, NULL, &error), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, "other content"));
    store_set *again = loaded();
    error = HOP_ERROR_NONE;
    again->max_degree = DEGREE + 1;
    ck_assert_int_eq(store_folder_load_maps(folder, again, 0, NULL, NULL, &error), HOP_E_LIMIT);
    again->max_degree = -1;
    ck_assert_int_eq(store_folder_load_maps(folder, again, 10, NULL, NULL, NULL), HOP_E_LIMIT);
    ck_assert_ptr_null(hop_model_features(again->model));
    store_set_release(set);
    store_set_release(other);
    store_set_release(again);
}
END_TEST

/* The same rows under the same name, seen from elsewhere: moments about another centre would make false bounds. */
START_TEST(maps_of_another_frame_are_refused)
{
    hop_error error = HOP_ERROR_NONE;
    store_set *set = make_set(HOP_DOT, false, false);
    hop_frames frames = hop_model_frames(set->model);
    double centre[D];
    for (size_t l = 0; l < D; l++)
        centre[l] = frames.key_centre[l] + 0x1p-10 * frames.key_scale[l];
    frames.key_centre = centre;
    store_set *other = make_set_with(HOP_DOT, false, false, false, 8, &frames);
    ck_assert_mem_eq(hop_model_frames(other->model).key_centre, centre, sizeof centre);
    ck_assert_str_eq(other->etag, set->etag);
    give_maps(set);
    save(set);
    ck_assert_int_eq(store_folder_save_maps(folder, set, &error), HOP_OK);
    ck_assert_int_eq(store_folder_load_maps(folder, other, 0, NULL, NULL, &error), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, "another frame"));
    ck_assert_ptr_null(hop_model_features(other->model));
    store_set_release(set);
    store_set_release(other);
}
END_TEST

/* HOPFIELDD_WRITE_GOLDEN makes those of this format anew. */
static void copy_golden(const char *name)
{
    static char bytes[DISK_FILE_BYTES];
    size_t n = disk_read(GOLDEN_FOLDER, name, bytes);
    disk_write(path, name, bytes, n);
}

/*
 * What was read from the golden file is written as the same bytes: its frame comes from there, and may differ in the
 * last bit between machines where it is made.
 */
START_TEST(the_golden_set_is_written_the_same)
{
    static char golden[DISK_FILE_BYTES], written[DISK_FILE_BYTES];
    hop_error error = HOP_ERROR_NONE;
    if (getenv("HOPFIELDD_WRITE_GOLDEN")) {
        store_set *set = make_set_with(HOP_CENTERED_COSINE, true, true, true, 8, NULL);
        give_maps(set);
        save(set);
        ck_assert_int_eq(store_folder_save_maps(folder, set, &error), HOP_OK);
        disk_write(GOLDEN_FOLDER, golden_set, written, disk_read(path, golden_set, written));
        disk_write(GOLDEN_FOLDER, golden_maps, written, disk_read(path, golden_maps, written));
        store_set_release(set);
    }
    copy_golden(golden_set);
    store_set *set = loaded();
    save(set);
    size_t n = disk_read(path, golden_set, written);
    ck_assert_uint_eq(disk_read(GOLDEN_FOLDER, golden_set, golden), n);
    ck_assert(memcmp(golden, written, n) == 0);
    store_set_release(set);
}
END_TEST

START_TEST(the_golden_files_are_read)
{
    hop_error error = HOP_ERROR_NONE;
    copy_golden(golden_set);
    copy_golden(golden_maps);
    store_set *set = make_set_with(HOP_CENTERED_COSINE, true, true, true, 8, NULL), *again = loaded();
    assert_same(set, again);
    ck_assert_msg(store_folder_load_maps(folder, again, 0, NULL, NULL, &error) == HOP_OK, "%s", error.text);
    ck_assert_uint_eq(hop_features_max_degree(hop_model_features(again->model)), DEGREE);
    store_set_release(set);
    store_set_release(again);
}
END_TEST

/* They keep the content hash of that format, and are what they were. */
START_TEST(the_golden_files_of_format_1_are_read)
{
    hop_error error = HOP_ERROR_NONE;
    copy_golden(golden_set_1);
    copy_golden(golden_maps_1);
    store_set *set = make_set_with(HOP_COSINE, true, true, false, 7, NULL), *again = NULL;
    ck_assert_msg(load_version(7, &again, &error) == HOP_OK, "%s", error.text);
    ck_assert_str_eq(again->etag, "\"35ec3083d4408be7-7\"");
    ck_assert_uint_ne(set->content_hash, again->content_hash);
    again->content_hash = set->content_hash;
    store_set_name(again, "golden", 7);
    assert_same(set, again);
    store_set_release(again);
    ck_assert_int_eq(load_version(7, &again, &error), HOP_OK);
    ck_assert_msg(store_folder_load_maps(folder, again, 0, NULL, NULL, &error) == HOP_OK, "%s", error.text);
    store_set_release(set);
    store_set_release(again);
}
END_TEST

/* A damaged set is refused with a reason that is more than the file's name. */
static void assert_set_refused(const char *bytes, size_t n, const char *how, size_t at)
{
    hop_error error = HOP_ERROR_NONE;
    store_set *set = NULL;
    disk_write(path, golden_set, bytes, n);
    hop_status status = load(&set, &error);
    ck_assert_msg(status == HOP_E_FORMAT, "%s %zu: %d %s", how, at, status, error.text);
    ck_assert_uint_gt(strlen(error.text), sizeof golden_set + 10);
    ck_assert_ptr_null(set);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
}

START_TEST(every_changed_byte_of_a_set_is_found)
{
    static char golden[DISK_FILE_BYTES];
    size_t n = disk_read(GOLDEN_FOLDER, golden_set, golden);
    for (size_t at = 0; at < n; at++)
        for (int change = 0; change < 3; change++) {
            char before = golden[at];
            golden[at] = (char)(change == 0 ? ~before : change == 1 ? before ^ 1 : before ^ 0x20);
            assert_set_refused(golden, n, "byte", at);
            golden[at] = before;
        }
}
END_TEST

START_TEST(every_truncation_and_extension_of_a_set_is_found)
{
    static char golden[DISK_FILE_BYTES];
    size_t n = disk_read(GOLDEN_FOLDER, golden_set, golden);
    for (size_t length = 0; length < n; length++)
        assert_set_refused(golden, length, "length", length);
    for (size_t more = 1; more < 100; more += 9)
        assert_set_refused(golden, n + more, "length", n + more);
}
END_TEST

START_TEST(every_changed_byte_and_truncation_of_maps_is_found)
{
    static char golden[DISK_FILE_BYTES];
    size_t n = disk_read(GOLDEN_FOLDER, golden_maps, golden);
    copy_golden(golden_set);
    store_set *set = loaded();
    size_t reserved = store_budget_reserved(&budget);
    for (size_t at = 0; at < 2 * n; at++) {
        size_t length = at < n ? n : at - n;
        char before = golden[at % n];
        golden[at % n] = at < n ? (char)~before : before;
        disk_write(path, golden_maps, golden, length);
        golden[at % n] = before;
        hop_error error = HOP_ERROR_NONE;
        hop_status status = store_folder_load_maps(folder, set, 0, NULL, NULL, &error);
        ck_assert_msg(status == HOP_E_FORMAT, "%zu: %d %s", at, status, error.text);
        ck_assert_ptr_null(hop_model_features(set->model));
        ck_assert_uint_eq(store_budget_reserved(&budget), reserved);
    }
    store_set_release(set);
}
END_TEST

/* Whole files that are not what their names say. */
START_TEST(foreign_files_are_refused)
{
    static char bytes[DISK_FILE_BYTES];
    hop_error error = HOP_ERROR_NONE;
    store_set *set = NULL;
    const store_loading loading = {.budget = &budget};
    store_loss loss;
    size_t n = disk_read(GOLDEN_FOLDER, golden_set, bytes);
    disk_write(path, "golden@9.safetensors", bytes, n);
    ck_assert_int_eq(store_folder_load(folder, "golden", 9, &loading, &set, &loss, &error), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, "another version"));
    error = HOP_ERROR_NONE;
    disk_write(path, "other@8.safetensors", bytes, n);
    ck_assert_int_eq(store_folder_load(folder, "other", 8, &loading, &set, &loss, &error), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, "another set"));
    error = HOP_ERROR_NONE;
    n = disk_read(GOLDEN_FOLDER, golden_maps, bytes);
    disk_write(path, golden_set, bytes, n);
    ck_assert_int_eq(load(&set, &error), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, "kind"));
    error = HOP_ERROR_NONE;
    static const char safetensors[] = "\x40\0\0\0\0\0\0\0{\"memories\":{\"dtype\":\"F32\",\"shape\":[1,1],"
                                      "\"data_offsets\":[0,4]}}          \0\0\0\0";
    disk_write(path, golden_set, safetensors, sizeof safetensors - 1);
    ck_assert_int_eq(load(&set, &error), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, "did not write it"));
    ck_assert_int_eq(load(&set, NULL), HOP_E_FORMAT);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("snapshot");
    TCase *files = tcase_create("files");
    tcase_set_timeout(files, 120);
    tcase_add_checked_fixture(files, setup, teardown);
    tcase_add_test(files, checksums_are_crc32c);
    tcase_add_test(files, long_checksums_are_crc32c);
    tcase_add_loop_test(files, sets_come_back, 0, 24);
    tcase_add_test(files, large_sets_come_back);
    tcase_add_loop_test(files, maps_come_back, 0, 4);
    tcase_add_test(files, maps_of_another_set_are_refused);
    tcase_add_test(files, maps_of_another_frame_are_refused);
    tcase_add_test(files, the_golden_set_is_written_the_same);
    tcase_add_test(files, the_golden_files_are_read);
    tcase_add_test(files, the_golden_files_of_format_1_are_read);
    tcase_add_test(files, every_changed_byte_of_a_set_is_found);
    tcase_add_test(files, every_truncation_and_extension_of_a_set_is_found);
    tcase_add_test(files, every_changed_byte_and_truncation_of_maps_is_found);
    tcase_add_test(files, foreign_files_are_refused);
    suite_add_tcase(suite, files);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
