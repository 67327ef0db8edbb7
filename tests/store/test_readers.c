/*
 * test_readers.c - readers while one writer replaces a set, appends to it, removes from it and changes its settings,
 * without a pause: what a reader holds is one version, whole, and stays so; versions never go back.
 *
 * Every row says which replacement it came with and which id it has, so that rows of two versions in one set show.
 */
#include "fixture.h"
#include "kept.h"
#include "store/revision.h"
#include "support/check_main.h"
#include "support/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READERS = 3, VERSIONS = 2000, FAST_VERSIONS = 300, KEPT_VERSIONS = 300, MOST = 48, LEAST = 4, ADDED = 5 };

/* What a version is: written before it is published. */
typedef struct version {
    size_t M;
    uint64_t ids[MOST + ADDED];
    uint64_t next_id;
    unsigned generation;
    bool labels;
    double beta;
} version;

static version expected[VERSIONS + 1];

/* An exact f32: ids stay below 2^14, generations below 2^9. */
static float coordinate(unsigned generation, uint64_t id, size_t l)
{
    return (float)((double)(id % 97) / 128 + (double)(generation % 61) / 64 + (double)(id % (3 + l)) / 8);
}

static void label_of(uint64_t id, char out[32])
{
    snprintf(out, 32, "row %llu", (unsigned long long)id);
}

/* ---- readers ------------------------------------------------------------------------------------------- */

typedef struct reader {
    store_registry *registry;
    atomic_bool *stop;
    size_t checked;
    void *workspace;
    size_t workspace_bytes;
} reader;

static void check_rows(const store_set *set, const version *is)
{
    ck_assert_uint_eq(set->M, is->M);
    ck_assert_uint_eq(set->next_id, is->next_id);
    ck_assert_double_eq(set->beta, is->beta);
    ck_assert_int_eq(set->label_text != NULL, is->labels);
    for (size_t mu = 0; mu < is->M; mu++) {
        char label[32];
        ck_assert_uint_eq(store_set_id(set, mu), is->ids[mu]);
        for (size_t l = 0; l < D; l++)
            ck_assert_float_eq(set->memories[mu * D + l], coordinate(is->generation, is->ids[mu], l));
        label_of(is->ids[mu], label);
        if (is->labels)
            ck_assert_str_eq(store_set_label(set, mu), label);
    }
}

static void exact_answer(const version *is, double beta, const float *x, double z[D])
{
    double total = 0;
    memset(z, 0, D * sizeof *z);
    for (size_t mu = 0; mu < is->M; mu++) {
        double score = 0;
        for (size_t l = 0; l < D; l++)
            score += (double)coordinate(is->generation, is->ids[mu], l) * (double)x[l];
        double weight = exp(beta * score);
        total += weight;
        for (size_t l = 0; l < D; l++)
            z[l] += weight * (double)coordinate(is->generation, is->ids[mu], l);
    }
    for (size_t l = 0; l < D; l++)
        z[l] /= total;
}

static void check_answer(reader *self, const store_set *set, const version *is)
{
    const float x[D] = {0.25f, -0.5f, 0.125f};
    const hop_request request = {
        .beta = 0.5, .max_error = INFINITY, .mode = self->checked % 2 ? HOP_AUTO : HOP_DENSE, .steps = 1};
    float z[D];
    double bound, exact[D];
    int degree;
    hop_fallback fallback;
    hop_answer answer = {.z = z, .error_bound = &bound, .degree = &degree, .fallback = &fallback};
    hop_error error = HOP_ERROR_NONE;
    size_t bytes = hop_retrieve_workspace_bytes(set->model, 1);
    if (bytes > self->workspace_bytes) {
        hop_aligned_free(self->workspace);
        self->workspace = hop_aligned_alloc(bytes);
        self->workspace_bytes = bytes;
        ck_assert_ptr_nonnull(self->workspace);
    }
    ck_assert_msg(hop_retrieve(set->model, &request, 1, x, self->workspace, self->workspace_bytes, &answer, &error) ==
                      HOP_OK,
                  "%s", error.text);
    exact_answer(is, request.beta, x, exact);
    for (size_t l = 0; l < D; l++)
        ck_assert_double_le(fabs((double)z[l] - exact[l]), bound + 1e-12);
}

static void *read_until_stopped(void *argument)
{
    reader *self = argument;
    uint64_t last = 0;
    do { /* at least once, however late this thread comes */
        hop_error error = HOP_ERROR_NONE;
        store_set *set = NULL;
        ck_assert_msg(store_registry_get(self->registry, "s", &set, &error) == HOP_OK, "%s", error.text);
        ck_assert_uint_ge(set->version, last);
        last = set->version;
        check_answer(self, set, &expected[last]);
        check_rows(set, &expected[last]);
        store_set_release(set);
        self->checked++;
    } while (!atomic_load(self->stop));
    hop_aligned_free(self->workspace);
    return NULL;
}

/* ---- the writer ---------------------------------------------------------------------------------------- */

typedef struct rows {
    float memories[(MOST + ADDED) * D];
    char text[MOST + ADDED][32];
    const char *labels[MOST + ADDED];
} rows;

static void make_rows(rows *out, unsigned generation, uint64_t first_id, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t l = 0; l < D; l++)
            out->memories[i * D + l] = coordinate(generation, first_id + i, l);
        label_of(first_id + i, out->text[i]);
        out->labels[i] = out->text[i];
    }
}

static store_set *fresh(store_fixture *fixture, version *next, unsigned generation, test_rng *rng)
{
    hop_error error = HOP_ERROR_NONE;
    store_builder *builder = NULL;
    store_set *set = NULL;
    rows made;
    *next = (version){.M = LEAST + test_rng_below(rng, MOST - LEAST), .generation = generation, .beta = 0.5};
    next->labels = test_rng_below(rng, 2);
    next->next_id = next->M;
    for (size_t mu = 0; mu < next->M; mu++)
        next->ids[mu] = mu;
    make_rows(&made, generation, 0, next->M);
    const store_options options = {.beta = 0.5, .max_error = 1, .max_degree = (int)test_rng_below(rng, 3)};
    ck_assert_int_eq(store_builder_new(&fixture->budget, 0, D, 0, HOP_DOT, &builder, &error), HOP_OK);
    ck_assert_int_eq(store_builder_add(builder, next->M, made.memories, NULL, &error), HOP_OK);
    if (next->labels)
        ck_assert_int_eq(store_builder_label(builder, next->M, made.labels, &error), HOP_OK);
    ck_assert_msg(store_builder_finish(builder, &options, NULL, &set, &error) == HOP_OK, "%s", error.text);
    store_builder_free(builder);
    return set;
}

/* What comes after a version, into *next, and the revision that makes it. */
static void plan_append(const version *before, version *next, rows *made, store_revision *out, test_rng *rng)
{
    size_t n = 1 + test_rng_below(rng, ADDED);
    make_rows(made, before->generation, before->next_id, n);
    *out = (store_revision){
        .kind = STORE_APPEND,
        .added = {.M = n, .d = D, .memories = made->memories, .labels = before->labels ? made->labels : NULL}};
    for (size_t i = 0; i < n; i++)
        next->ids[next->M++] = next->next_id++;
}

static void plan_removal(const version *before, version *next, uint64_t *ids, store_revision *out, test_rng *rng)
{
    size_t n = 0;
    next->M = 0;
    for (size_t mu = 0; mu < before->M; mu++) {
        if (n < before->M - LEAST && test_rng_below(rng, 3) == 0)
            ids[n++] = before->ids[mu];
        else
            next->ids[next->M++] = before->ids[mu];
    }
    if (n == 0) {
        ids[n++] = next->ids[0];
        memmove(next->ids, next->ids + 1, --next->M * sizeof *next->ids);
    }
    *out = (store_revision){.kind = STORE_REMOVE, .ids = ids, .n_ids = n};
}

static void write_version(store_fixture *fixture, uint64_t number, test_rng *rng)
{
    hop_error error = HOP_ERROR_NONE;
    const version *before = &expected[number - 1];
    version *next = &expected[number];
    size_t what = test_rng_below(rng, 10);
    store_revision revision = {.kind = STORE_SETTINGS};
    store_change *change = NULL;
    store_set *base = NULL, *set = NULL;
    uint64_t ids[MOST + ADDED];
    rows made;
    if (number == 1 || what == 0) {
        ck_assert_int_eq(store_registry_begin(fixture->registry, "s", NULL, &change, &error), HOP_OK);
        set = fresh(fixture, next, (unsigned)number, rng);
    } else {
        ck_assert_int_eq(store_registry_begin_revision(fixture->registry, "s", NULL, &change, &base, &error), HOP_OK);
        *next = *before;
        if (what == 1) {
            next->beta = 0.25 + test_rng_unit(rng);
            revision.options = (store_options){.beta = next->beta, .max_error = -1, .max_degree = -1};
        } else if (before->M > LEAST + 1 && (what < 5 || before->M > MOST - 1)) {
            plan_removal(before, next, ids, &revision, rng);
        } else {
            plan_append(before, next, &made, &revision, rng);
        }
        ck_assert_msg(store_revise(base, &revision, NULL, &set, &error) == HOP_OK, "%s", error.text);
    }
    ck_assert_msg(store_registry_save(fixture->registry, change, set, base ? &revision : NULL, &error) == HOP_OK, "%s",
                  error.text);
    ck_assert_uint_eq(set->version, number);
    store_registry_commit(fixture->registry, change, set);
    store_set_release(base);
}

static void read_while_written(store_fixture *fixture, size_t versions)
{
    test_rng rng;
    pthread_t threads[READERS];
    reader readers[READERS];
    atomic_bool stop = false;
    test_rng_init(&rng, test_seed(1), versions);
    write_version(fixture, 1, &rng);
    for (size_t i = 0; i < READERS; i++) {
        readers[i] = (reader){.registry = fixture->registry, .stop = &stop};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_until_stopped, &readers[i]), 0);
    }
    for (uint64_t number = 2; number <= versions; number++)
        write_version(fixture, number, &rng);
    atomic_store(&stop, true);
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_uint_gt(readers[i].checked, 0);
    }
}

START_TEST(every_reader_sees_whole_versions)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    read_while_written(&fixture, hop_check_fast() ? FAST_VERSIONS : VERSIONS);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(every_reader_sees_whole_versions_that_are_kept_on_disk)
{
    kept_store store;
    open_store(&store);
    read_while_written(&store.fixture, KEPT_VERSIONS);
    close_store(&store);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("readers");
    TCase *tests = tcase_create("readers");
    tcase_add_checked_fixture(tests, kept_setup, kept_teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, every_reader_sees_whole_versions);
    tcase_add_test(tests, every_reader_sees_whole_versions_that_are_kept_on_disk);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
