/*
 * test_threads.c - the thread promises of hopfield.h: builds cut into tasks for many threads, one model for many
 * threads, feature maps that arrive while others retrieve. For ThreadSanitizer as much as for its assertions.
 */
#include "support/cases.h"
#include "support/check_main.h"
#include "support/executors.h"

#include "core/model.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, M = 2000, D = 4, L = 9 };

/*
 * Models are the same bit for bit whoever packs them, and so are answers from feature maps, whoever builds them: z of
 * these to `kept`, where that is empty.
 */
static void executor_case(const hop_executor *executor, hop_similarity similarity, size_t p, float *kept)
{
    test_engine engine;
    float x[L * D], z[L * D];
    const float none[L * D] = {0};
    test_fill_normal(test_data.memories, M * D, 0.5, 0.1, 80);
    test_fill_normal(test_data.values, M * D, 1, 0, 81);
    test_fill_normal(x, L * D, 0.5, 0, 82);
    hop_source source = {.M = M,
                         .d = D,
                         .p = p,
                         .memories = test_data.memories,
                         .values = p ? test_data.values : NULL,
                         .similarity = similarity};
    ck_assert(test_engine_init(&engine, &source, 0, L) == HOP_OK);
    hop_request dense = test_best_effort(0.5, HOP_DENSE, (double)INFINITY);
    test_must_retrieve(&engine, &dense, L, x);
    memcpy(z, engine.answer.z, sizeof z);
    test_engine_fini(&engine);

    ck_assert(test_engine_init(&engine, &source, 0, L) == HOP_OK);
    hop_model_free(engine.model);
    ck_assert(hop_model_new(&source, executor, &engine.model, &engine.error) == HOP_OK);
    hop_features *features = NULL;
    hop_progress progress = {0};
    ck_assert(hop_features_build(engine.model, 4, executor, &progress, &features, &engine.error) == HOP_OK);
    ck_assert_uint_eq(atomic_load(&progress.permille), 1000);
    hop_model_adopt_features(engine.model, features);
    hop_aligned_free(engine.workspace);
    engine.workspace_bytes = hop_retrieve_workspace_bytes(engine.model, L);
    engine.workspace = hop_aligned_alloc(engine.workspace_bytes);
    engine.oracle.keys = hop_model_keys(engine.model);
    engine.oracle.centre = engine.model->mean;
    test_must_retrieve(&engine, &dense, L, x);
    ck_assert_mem_eq(z, engine.answer.z, sizeof z);
    hop_request request = test_best_effort(0.5, HOP_ALMOST_LINEAR, 1e-3);
    test_must_retrieve(&engine, &request, L, x);
    test_must_hold(&engine, &request, L, x);
    for (size_t q = 0; q < L; q++)
        ck_assert_int_gt(engine.answer.degree[q], 0);
    if (memcmp(kept, none, sizeof z) == 0)
        memcpy(kept, engine.answer.z, sizeof z);
    ck_assert_mem_eq(kept, engine.answer.z, sizeof z);
    test_engine_fini(&engine);
}

START_TEST(builds_do_not_depend_on_the_executor)
{
    const hop_executor backwards = {.run = test_run_backwards, .width = 3};
    const hop_executor *executors[] = {&test_on_threads, &backwards, NULL};
    float kept[3][L * D] = {{0}};
    for (size_t i = 0; i < 3; i++) {
        executor_case(executors[i], HOP_DOT, 0, kept[0]);
        executor_case(executors[i], HOP_DOT, D, kept[1]);
        executor_case(executors[i], HOP_CENTERED_COSINE, 0, kept[2]);
    }
}
END_TEST

/* ---- one model, many threads ------------------------------------------------------------------------- */

static hop_model *shared_model;
static float queries[L * D], dense_z[L * D];
static atomic_bool adopted;
static atomic_int wrong, almost_linear_rows;

/* Retrieve until feature maps have been seen for a while; whole dense batches must keep their bits. */
static void *retrieve_for_a_while(void *unused)
{
    float z[L * D];
    double bound[L];
    int degree[L];
    hop_fallback fallback[L];
    hop_answer answer = {.z = z, .error_bound = bound, .degree = degree, .fallback = fallback};
    hop_request request = test_request(0.5, HOP_AUTO, 1e-2);
    for (int after = 0; after < 20; after += atomic_load(&adopted)) {
        size_t bytes = hop_retrieve_workspace_bytes(shared_model, L);
        void *workspace = hop_aligned_alloc(bytes);
        request.mode = after % 2 ? HOP_DENSE : HOP_AUTO;
        hop_status status = hop_retrieve(shared_model, &request, L, queries, workspace, bytes, &answer, NULL);
        hop_aligned_free(workspace);
        if (status != HOP_OK)
            atomic_fetch_add(&wrong, 1);
        for (size_t q = 0; q < L && status == HOP_OK; q++) {
            if (degree[q] > 0)
                atomic_fetch_add(&almost_linear_rows, 1);
            else if (request.mode == HOP_DENSE && memcmp(z + q * D, dense_z + q * D, D * sizeof *z) != 0)
                atomic_fetch_add(&wrong, 1);
            for (size_t j = 0; j < D; j++)
                if (!(fabs((double)z[q * D + j] - (double)dense_z[q * D + j]) <= 2e-2))
                    atomic_fetch_add(&wrong, 1);
        }
    }
    return unused;
}

START_TEST(maps_may_arrive_while_others_retrieve)
{
    test_fill_normal(test_data.memories, M * D, 0.5, 0.1, 83);
    test_fill_normal(queries, L * D, 0.5, 0, 84);
    hop_source source = {.M = M, .d = D, .memories = test_data.memories, .similarity = HOP_DOT};
    test_engine engine;
    ck_assert(test_engine_init(&engine, &source, 0, L) == HOP_OK);
    hop_request request = test_best_effort(0.5, HOP_DENSE, 1e-2);
    test_must_retrieve(&engine, &request, L, queries);
    memcpy(dense_z, engine.answer.z, sizeof dense_z);
    shared_model = engine.model;
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, retrieve_for_a_while, NULL), 0);
    hop_features *features = NULL;
    ck_assert(hop_features_build(engine.model, 3, NULL, NULL, &features, NULL) == HOP_OK);
    hop_model_adopt_features(engine.model, features);
    atomic_store(&adopted, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(atomic_load(&wrong), 0);
    ck_assert_int_gt(atomic_load(&almost_linear_rows), 0);
    test_engine_fini(&engine);
}
END_TEST

static hop_progress slow_progress;

static void *cancel_soon(void *unused)
{
    while (atomic_load(&slow_progress.permille) == 0)
        sched_yield();
    atomic_store(&slow_progress.cancel, true);
    return unused;
}

/* A build notices soon that nobody wants it any more. */
START_TEST(a_running_build_can_be_cancelled)
{
    enum { MANY = 6000, WIDE = 10 };
    test_engine engine;
    test_start_normal(&engine, MANY, WIDE, 1, 0, 0, 1);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_soon, NULL), 0);
    hop_features *features = NULL;
    hop_status status = hop_features_build(engine.model, 6, NULL, &slow_progress, &features, NULL);
    pthread_join(thread, NULL);
    ck_assert_msg(status == HOP_E_CANCELLED, "%s at %u permille", hop_status_word(status),
                  atomic_load(&slow_progress.permille));
    ck_assert_ptr_null(features);
    test_engine_fini(&engine);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("threads");
    TCase *tcase = tcase_create("threads");
    tcase_add_test(tcase, builds_do_not_depend_on_the_executor);
    tcase_add_test(tcase, maps_may_arrive_while_others_retrieve);
    tcase_add_test(tcase, a_running_build_can_be_cancelled);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
