/*
 * test_dense.c - what the dense pass promises beyond its bound: the same bits on any executor, one promise for every
 * packing, and a workspace and a model as large as they say.
 */
#include "support/cases.h"
#include "support/check_main.h"
#include "support/executors.h"
#include "support/rng.h"

#include "core/dense.h"
#include "core/model.h"
#include "core/pack.h"

#include <math.h>
#include <string.h>

enum { L_MAX = 300, D_MAX = 80 };

static float x[L_MAX * D_MAX], first_z[L_MAX * D_MAX];
static double first_bound[L_MAX], first_lse[L_MAX];

/* beta decides whether a shift is taken, max_error whether the rows run in f64. */
static void executor_case(size_t M, size_t d, size_t p, size_t L, double beta, double max_error)
{
    static const hop_executor backwards = {.run = test_run_backwards, .width = 7};
    const hop_executor *executors[] = {NULL, &test_on_threads, &backwards};
    const size_t width = p ? p : d;
    test_engine engine;
    test_fill_normal(test_data.memories, M * d, 0.5, 0.1, 90);
    test_fill_normal(test_data.values, M * (p ? p : 1), 1, 0, 91);
    test_fill_normal(x, L * d, 0.5, 0, 92);
    test_start(&engine, M, d, p, 0, L);
    hop_request request = test_best_effort(beta, HOP_DENSE, max_error);
    for (size_t i = 0; i < 3; i++) {
        test_tasks_run();
        request.executor = executors[i];
        test_must_retrieve(&engine, &request, L, x);
        ck_assert_msg(!i || test_tasks_run() > 1, "M=%zu d=%zu L=%zu: nothing to share", M, d, L);
        if (i == 0) {
            memcpy(first_z, engine.answer.z, L * width * sizeof *first_z);
            memcpy(first_bound, engine.answer.error_bound, L * sizeof *first_bound);
            memcpy(first_lse, engine.answer.log_sum_exp, L * sizeof *first_lse);
            test_must_hold(&engine, &request, L < 12 ? L : 12, x);
            continue;
        }
        ck_assert_mem_eq(first_z, engine.answer.z, L * width * sizeof *first_z);
        ck_assert_mem_eq(first_bound, engine.answer.error_bound, L * sizeof *first_bound);
        ck_assert_mem_eq(first_lse, engine.answer.log_sum_exp, L * sizeof *first_lse);
    }
    test_engine_fini(&engine);
}

START_TEST(answers_do_not_depend_on_the_executor)
{
    static const size_t batches[] = {1, 3, 4, 5, 29, 300};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        executor_case(10007, 5, 0, batches[i], 0.5, 1e-2); /* f32, no shift */
        executor_case(4133, 3, 2, batches[i], 0.5, 1e-2);
        executor_case(10007, 5, 0, batches[i], 300, (double)INFINITY); /* f32, shift */
    }
    executor_case(10007, 5, 0, 7, 0.5, 1e-9); /* f64 */
    executor_case(10007, 5, 3, 2, 3000, 1e-9);
}
END_TEST

/* ---- packing ----------------------------------------------------------------------------------------------- */

static void packing_case(size_t M, size_t d, size_t p, hop_similarity similarity, double beta, double max_error)
{
    static const size_t batches[] = {1, 2, 4, 7, 24, 40};
    static const hop_packing packings[] = {HOP_PACK_FULL, HOP_PACK_KEYS, HOP_PACK_NONE};
    size_t bytes[3];
    test_fill_normal(test_data.memories, M * d, 0.5, 0.1, 93);
    test_fill_normal(test_data.values, M * (p ? p : 1), 1, 0, 94);
    test_fill_normal(x, 40 * d, 0.5, 0, 95);
    for (size_t i = 0; i < 3; i++) {
        test_engine engine;
        hop_source source = {.M = M,
                             .d = d,
                             .p = p,
                             .memories = test_data.memories,
                             .values = p ? test_data.values : NULL,
                             .similarity = similarity,
                             .packing = packings[i]};
        ck_assert(test_engine_init(&engine, &source, 0, 40) == HOP_OK);
        bytes[i] = hop_model_bytes(engine.model);
        ck_assert_uint_eq(bytes[i], hop_model_bytes_estimate(M, d, p ? p : d, p > 0, similarity, packings[i]));
        ck_assert_int_eq(engine.model->key_panels == NULL, packings[i] == HOP_PACK_NONE);
        ck_assert_int_eq(engine.model->value_panels == NULL, packings[i] != HOP_PACK_FULL);
        hop_request request = test_best_effort(beta, HOP_DENSE, max_error);
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            test_must_retrieve(&engine, &request, batches[b], x);
            test_must_hold(&engine, &request, batches[b], x);
        }
        test_engine_fini(&engine);
    }
    const size_t panels = hop_pack_panels(M) * HOP_PANEL * sizeof(float), columns = ((p ? p : d) + 15) / 16 * 16;
    ck_assert_uint_eq(bytes[0] - bytes[1], panels * columns);
    ck_assert_uint_eq(bytes[1] - bytes[2], panels * d);
}

START_TEST(every_packing_keeps_the_promise)
{
    static const hop_similarity similarities[] = {HOP_DOT, HOP_COSINE};
    for (size_t s = 0; s < 2; s++) {
        packing_case(700, 6, 0, similarities[s], 0.5, 1e-3);
        packing_case(129, 70, 0, similarities[s], 0.05, 1e-3); /* two blocks of columns */
        packing_case(200, 9, 66, similarities[s], 0.5, 1e-3);
        packing_case(700, 6, 0, similarities[s], 400, (double)INFINITY);
        packing_case(200, 9, 3, similarities[s], 400, (double)INFINITY);
        packing_case(200, 9, 0, similarities[s], 0.5, 1e-8);
    }
}
END_TEST

/* ---- workspace --------------------------------------------------------------------------------------------- */

/* The last byte of the workspace is the last that is touched, whatever the shape and the number of queries. */
START_TEST(the_workspace_is_as_large_as_it_says)
{
    enum { GUARD = 64 };
    static const struct {
        size_t M, d, p;
    } shapes[] = {{1, 1, 0}, {64, 80, 0}, {9000, 2, 0}, {16384, 2, 1}, {300, 5, 200}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        test_engine engine;
        test_fill_normal(test_data.memories, shapes[i].M * shapes[i].d, 0.5, 0.1, 96);
        test_fill_normal(test_data.values, shapes[i].M * (shapes[i].p ? shapes[i].p : 1), 1, 0, 97);
        test_start(&engine, shapes[i].M, shapes[i].d, shapes[i].p, 0, 1);
        const size_t bytes = hop_dense_workspace_bytes(engine.model), most = hop_dense_batch(engine.model);
        unsigned char *block = hop_aligned_alloc(bytes + GUARD);
        static double xi[D_MAX];
        hop_query query;
        ck_assert(hop_query_prepare(engine.model, 0.1, 0, x, xi, &query, NULL) == HOP_OK);
        const hop_query *queries[HOP_DENSE_BATCH_MAX];
        hop_dense_sums sums[HOP_DENSE_BATCH_MAX];
        for (size_t q = 0; q < HOP_DENSE_BATCH_MAX; q++)
            queries[q] = &query;
        for (size_t n = 1; n <= most; n += n < 8 ? 1 : most / 3) {
            for (int f64 = 0; f64 < 2; f64++) {
                memset(block + bytes, 0xa5, GUARD);
                hop_dense_run(engine.model, queries, n, f64, NULL, block, sums);
                for (size_t q = 1; q < n; q++)
                    ck_assert(fabs(sums[q].denominator / sums[0].denominator - 1) < 1e-4);
                for (size_t byte = 0; byte < GUARD; byte++)
                    ck_assert_uint_eq(block[bytes + byte], 0xa5);
            }
        }
        hop_aligned_free(block);
        test_engine_fini(&engine);
    }
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("dense");
    TCase *tcase = tcase_create("dense");
    tcase_add_test(tcase, answers_do_not_depend_on_the_executor);
    tcase_add_test(tcase, every_packing_keeps_the_promise);
    tcase_add_test(tcase, the_workspace_is_as_large_as_it_says);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    test_cases_seed = test_seed(test_cases_seed);
    test_fill_normal(x, sizeof x / sizeof *x, 0.5, 0, 98);
    return hop_check_main(argc, argv, make);
}
