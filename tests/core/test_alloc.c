/*
 * test_alloc.c - memory that runs out at every possible place of a build, and retrieval that needs none.
 */
#include "support/cases.h"
#include "support/check_main.h"

#include "core/ahop.h"
#include "core/alloc.h"
#include "core/theory.h"

#include <math.h>
#include <string.h>

static size_t asked, granted;

static bool grant_some(size_t bytes)
{
    (void)bytes;
    return asked++ < granted;
}

static void open_gate(void)
{
    hop_alloc_set_gate(NULL);
}

/* Let k allocations through, k = 0, 1, ... until the build succeeds: before that HOP_E_NOMEM and nothing written. */
static void model_case(hop_similarity similarity, size_t p)
{
    enum { M = 100, d = 4 };
    test_fill_normal(test_data.memories, M * d, 1, 0, 60);
    test_fill_normal(test_data.values, M * 3, 1, 0, 61);
    hop_source source = {.M = M,
                         .d = d,
                         .p = p,
                         .memories = test_data.memories,
                         .values = p ? test_data.values : NULL,
                         .similarity = similarity};
    hop_model *model = NULL;
    hop_status status = HOP_E_NOMEM;
    hop_alloc_set_gate(grant_some);
    for (granted = 0; status != HOP_OK; granted++) {
        ck_assert_uint_lt(granted, 100);
        asked = 0;
        hop_error error = HOP_ERROR_NONE;
        status = hop_model_new(&source, NULL, &model, &error);
        if (status == HOP_OK)
            break;
        ck_assert_msg(status == HOP_E_NOMEM, "after %zu allocations: %s: %s", granted, hop_status_word(status),
                      error.text);
        ck_assert(error.status == HOP_E_NOMEM && error.text[0]);
        ck_assert_ptr_null(model);
    }
    ck_assert_uint_ge(granted, 3);

    hop_features *features = NULL;
    for (granted = 0, status = HOP_E_NOMEM; status != HOP_OK; granted++) {
        ck_assert_uint_lt(granted, 100);
        asked = 0;
        hop_error error = HOP_ERROR_NONE;
        status = hop_features_build(model, 3, NULL, NULL, &features, &error);
        if (status == HOP_OK)
            break;
        ck_assert_msg(status == HOP_E_NOMEM, "after %zu allocations: %s: %s", granted, hop_status_word(status),
                      error.text);
        ck_assert(error.status == HOP_E_NOMEM && error.text[0]);
        ck_assert_ptr_null(features);
    }
    ck_assert_uint_ge(granted, 2);
    open_gate();
    hop_features_free(features);
    hop_model_free(model);
}

START_TEST(a_build_that_runs_out_of_memory_leaves_nothing)
{
    model_case(HOP_DOT, 0);
    model_case(HOP_DOT, 3);
    model_case(HOP_COSINE, 0);
    model_case(HOP_CENTERED_COSINE, 3);
}
END_TEST

/* The same for what makes *out of context: HOP_E_NOMEM and nothing written, `least` times or more, and then success. */
static void runs_out(hop_status (*run)(const void *context, void **out, hop_error *error), const void *context,
                     void **out, size_t least)
{
    hop_status status = HOP_E_NOMEM;
    *out = NULL;
    hop_alloc_set_gate(grant_some);
    for (granted = 0; status != HOP_OK; granted += status != HOP_OK) {
        ck_assert_uint_lt(granted, 100);
        asked = 0;
        hop_error error = HOP_ERROR_NONE;
        status = run(context, out, &error);
        ck_assert(status == HOP_OK || (status == HOP_E_NOMEM && !*out && error.text[0]));
    }
    ck_assert_uint_ge(granted, least);
    open_gate();
}

static hop_status make_separation(const void *context, void **out, hop_error *error)
{
    hop_separation *separation = NULL;
    hop_status status = hop_separation_new(context, 0, NULL, NULL, &separation, error);
    *out = separation;
    return status;
}

static const float few_rows[] = {0.1f, 0.2f, 0.3f, 0.4f};

static hop_status make_ahop(const void *context, void **out, hop_error *error)
{
    hop_ahop *ahop = NULL;
    hop_status status = hop_ahop_new(2, 2, context, 2, context, 1, 0.1, &ahop, error);
    *out = ahop;
    return status;
}

static hop_status ask_ahop(const void *context, void **out, hop_error *error)
{
    double z[4];
    hop_ahop_answer answer = {.z = z};
    *out = NULL;
    return hop_ahop_retrieve(context, 2, few_rows, &answer, error);
}

START_TEST(studies_that_run_out_of_memory_leave_nothing)
{
    test_engine engine;
    void *separation, *ahop, *nothing;
    test_start_normal(&engine, 300, 4, 1, 0, 0, 1);
    runs_out(make_separation, engine.model, &separation, 4);
    runs_out(make_ahop, few_rows, &ahop, 6);
    runs_out(ask_ahop, ahop, &nothing, 2);
    hop_separation_free(separation);
    hop_ahop_free(ahop);
    test_engine_fini(&engine);
}
END_TEST

START_TEST(retrieval_allocates_nothing)
{
    enum { M = 300, d = 5, L = 20, REGIME_BYTES = 1 << 20 };
    static const hop_mode modes[] = {HOP_AUTO, HOP_DENSE, HOP_ALMOST_LINEAR};
    test_engine engine;
    float x[L * d];
    test_start_normal(&engine, M, d, 0.5, 0, 4, L);
    test_fill_normal(x, L * d, 1, 0, 62);
    void *regime_block = hop_aligned_alloc(REGIME_BYTES);
    granted = asked = 0;
    hop_alloc_set_gate(grant_some);
    for (size_t i = 0; i < 3; i++)
        for (double max_error = 1; max_error > 1e-6; max_error /= 100) {
            hop_request request = test_best_effort(0.3, modes[i], max_error);
            request.steps = 2;
            request.want |= HOP_WANT_STEPS;
            if (modes[i] == HOP_DENSE)
                request.want |= HOP_WANT_TOP | HOP_WANT_SUPPORT | HOP_WANT_WEIGHTS;
            request.top = 3;
            test_must_retrieve(&engine, &request, L, x);
            ck_assert(test_engine_energy(&engine, &request, L, x) == HOP_OK);
        }
    hop_plan plans[L];
    hop_request request = test_best_effort(0.3, HOP_AUTO, 1e-3);
    ck_assert(hop_plan_queries(engine.model, &request, L, x, engine.workspace, engine.workspace_bytes, plans, NULL) ==
              HOP_OK);
    hop_regime regime;
    const hop_theory_request asked_of = {.beta = 0.3, .max_error = 1e-3};
    ck_assert_uint_le(hop_theory_workspace_bytes(engine.model), REGIME_BYTES);
    ck_assert(hop_regime_of(engine.model, &asked_of, regime_block, REGIME_BYTES, &regime, NULL) == HOP_OK);
    ck_assert_uint_eq(asked, 0);
    open_gate();
    hop_aligned_free(regime_block);
    test_engine_fini(&engine);
}
END_TEST

START_TEST(blocks_are_aligned_and_sizes_checked)
{
    for (size_t bytes = 0; bytes < 300; bytes += 7) {
        void *block = hop_aligned_alloc(bytes);
        ck_assert_ptr_nonnull(block);
        ck_assert_uint_eq((uintptr_t)block % 64, 0);
        memset(block, 1, bytes);
        hop_aligned_free(block);
    }
    ck_assert_ptr_null(hop_aligned_alloc(SIZE_MAX));
    ck_assert_ptr_null(hop_aligned_alloc(SIZE_MAX - 63));
    ck_assert_ptr_null(hop_array_new(SIZE_MAX / 4, 2, 4));
    unsigned char *zeros = hop_array_new(3, 5, 7);
    for (size_t i = 0; i < 105; i++)
        ck_assert_uint_eq(zeros[i], 0);
    hop_aligned_free(zeros);
}
END_TEST

/* A workspace too small even for dense is refused; one too small for the maps alone answers dense. */
START_TEST(a_small_workspace_is_noticed)
{
    enum { M = 4096, d = 2 };
    test_engine engine;
    test_start_normal(&engine, M, d, 0.5, 0, 0, 1);
    const float x[d] = {0.1f, 0.2f};
    hop_request request = test_request(0.5, HOP_AUTO, 1e-3);
    ck_assert(hop_retrieve(engine.model, &request, 1, x, engine.workspace, engine.workspace_bytes - 1, &engine.answer,
                           NULL) == HOP_E_LIMIT);
    hop_features *features = NULL;
    ck_assert(hop_features_build(engine.model, 6, NULL, NULL, &features, NULL) == HOP_OK);
    hop_model_adopt_features(engine.model, features);
    ck_assert_ptr_eq(hop_model_features(engine.model), features);
    ck_assert_uint_gt(hop_retrieve_workspace_bytes(engine.model, 1), engine.workspace_bytes);
    test_must_retrieve(&engine, &request, 1, x); /* with the bytes asked for before the maps were there */
    ck_assert_int_eq(engine.answer.degree[0], 0);
    ck_assert_str_eq(hop_fallback_word(engine.answer.fallback[0]), "building");
    test_engine_fini(&engine);
}
END_TEST

static size_t granted_bytes;

static bool count_bytes(size_t bytes)
{
    granted_bytes += bytes;
    return true;
}

/* What a build is said to hold is what it asks for: budgets rest on it. */
START_TEST(a_build_holds_what_it_says)
{
    static const struct {
        size_t M, d, p;
        unsigned degree;
    } shapes[] = {{40, 9, 0, 6}, {3, 16, 0, 4}, {1000, 4, 3, 5}, {5000, 3, 0, 9}, {1, 1, 1, 1}, {300, 20, 2, 2}};
    test_fill_normal(test_data.memories, TEST_CELLS_MOST, 1, 0, 62);
    test_fill_normal(test_data.values, TEST_CELLS_MOST, 1, 0, 63);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        test_engine engine;
        hop_features *features;
        test_start(&engine, shapes[i].M, shapes[i].d, shapes[i].p, 0, 1);
        granted_bytes = 0;
        hop_alloc_set_gate(count_bytes);
        ck_assert(hop_features_build(engine.model, shapes[i].degree, NULL, NULL, &features, NULL) == HOP_OK);
        hop_alloc_set_gate(NULL);
        size_t said = hop_features_build_bytes(engine.model, shapes[i].degree, 1);
        ck_assert_uint_ge(said + 4096, granted_bytes);
        ck_assert_uint_le(said, granted_bytes + granted_bytes / 2 + 16384);
        hop_features_free(features);

        hop_separation *separation;
        granted_bytes = 0;
        hop_alloc_set_gate(count_bytes);
        ck_assert(hop_separation_new(engine.model, 1, NULL, NULL, &separation, NULL) == HOP_OK);
        hop_alloc_set_gate(NULL);
        ck_assert_uint_eq(hop_separation_build_bytes(engine.model, 1), granted_bytes);
        hop_separation_free(separation);
        test_engine_fini(&engine);
    }
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("alloc");
    TCase *tcase = tcase_create("memory");
    tcase_add_checked_fixture(tcase, NULL, open_gate);
    tcase_add_test(tcase, a_build_that_runs_out_of_memory_leaves_nothing);
    tcase_add_test(tcase, studies_that_run_out_of_memory_leave_nothing);
    tcase_add_test(tcase, retrieval_allocates_nothing);
    tcase_add_test(tcase, blocks_are_aligned_and_sizes_checked);
    tcase_add_test(tcase, a_small_workspace_is_noticed);
    tcase_add_test(tcase, a_build_holds_what_it_says);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
