/*
 * test_similarity.c - cosine and centered_cosine: what the keys are, what the transform forgives, what it refuses.
 */
#include "support/cases.h"
#include "support/check_main.h"
#include "support/executors.h"
#include "support/rng.h"

#include "core/model.h"

#include <math.h>
#include <string.h>

static const hop_similarity cosines[] = {HOP_COSINE, HOP_CENTERED_COSINE};
static const hop_mode modes[] = {HOP_AUTO, HOP_DENSE, HOP_ALMOST_LINEAR};

static void start(test_engine *engine, hop_similarity similarity, size_t M, size_t d, size_t p, unsigned degree,
                  size_t L)
{
    hop_source source = {.M = M,
                         .d = d,
                         .p = p,
                         .memories = test_data.memories,
                         .values = p ? test_data.values : NULL,
                         .similarity = similarity};
    hop_status status = test_engine_init(engine, &source, degree, L);
    ck_assert_msg(status == HOP_OK, "%s", engine->error.text);
}

/* Keys are the exact transform rounded to f32: half a unit in the last place and f64's own roundings away. */
static void keys_case(hop_similarity similarity, size_t M, size_t d, double scale, double offset)
{
    test_engine engine;
    test_fill_normal(test_data.memories, M * d, scale, offset, 50);
    start(&engine, similarity, M, d, 0, 0, 1);
    const float *keys = hop_model_keys(engine.model);
    for (size_t mu = 0; mu < M; mu++) {
        long double square = 0, key_square = 0;
        for (int pass = 0; pass < 2; pass++)
            for (size_t l = 0; l < d; l++) {
                long double mean = similarity == HOP_CENTERED_COSINE ? engine.model->mean[l] : 0;
                long double y = test_data.memories[mu * d + l] - mean, key = keys[mu * d + l];
                if (pass == 0) {
                    square += y * y;
                    key_square += key * key;
                    continue;
                }
                long double exact = y / sqrtl(square);
                ck_assert_msg(fabsl(key - exact) <= 0x1.00001p-24L * fabsl(exact) + 0x1p-150L,
                              "row %zu column %zu: %.9Lg is not %.12Lg rounded", mu, l, key, exact);
            }
        ck_assert(fabsl(key_square - 1) < 1e-6L);
    }
    test_engine_fini(&engine);
}

START_TEST(keys_are_the_rounded_transform)
{
    static const double scales[] = {1, 1e-20, 3e-40, 1e37};
    for (size_t i = 0; i < 4; i++)
        for (size_t s = 0; s < 2; s++) {
            keys_case(cosines[s], 130, 1 + 9 * i, scales[i], 0);
            keys_case(cosines[s], 65, 12, scales[i], 2 * scales[i]);
        }
}
END_TEST

START_TEST(dot_uses_the_memories_themselves)
{
    test_engine engine;
    test_start_normal(&engine, 10, 3, 1, 5, 0, 1);
    ck_assert_ptr_eq(hop_model_keys(engine.model), test_data.memories);
    test_engine_fini(&engine);
}
END_TEST

START_TEST(the_mean_is_the_memories_mean)
{
    enum { M = 1000, d = 7 };
    test_engine engine;
    test_fill_normal(test_data.memories, M * d, 1, 1000, 51);
    start(&engine, HOP_CENTERED_COSINE, M, d, 0, 0, 1);
    for (size_t l = 0; l < d; l++) {
        long double mean = 0;
        for (size_t mu = 0; mu < M; mu++)
            mean += test_data.memories[mu * d + l] / (long double)M;
        ck_assert(fabsl(mean - engine.model->mean[l]) < 1e-10L);
    }
    test_engine_fini(&engine);
}
END_TEST

/* Sums that cancel: the mean is the memories' own in whatever order they come. */
START_TEST(the_mean_does_not_depend_on_the_order)
{
    static const float rows[3][2] = {{1, 1}, {1e-20f, -1}, {-1, 1e-20f}};
    static const size_t orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
        test_engine engine;
        for (size_t mu = 0; mu < 3; mu++)
            memcpy(test_data.memories + 2 * mu, rows[orders[o][mu]], sizeof rows[0]);
        start(&engine, HOP_CENTERED_COSINE, 3, 2, 0, 0, 1);
        for (size_t l = 0; l < 2; l++)
            ck_assert_double_eq(engine.model->mean[l], (double)1e-20f / 3);
        test_engine_fini(&engine);
    }
}
END_TEST

/* The length of a query says nothing: a power of two changes no bit. */
START_TEST(a_querys_length_is_forgotten)
{
    enum { M = 90, d = 6 };
    test_engine engine;
    float x[d], scaled[d], z[d];
    test_fill_normal(test_data.memories, M * d, 1, 0.3, 52);
    test_fill_normal(x, d, 1, 0, 53);
    for (size_t l = 0; l < d; l++)
        scaled[l] = x[l] * 0x1p60f;
    start(&engine, HOP_COSINE, M, d, 0, 4, 1);
    for (size_t i = 0; i < 3; i++) {
        hop_request request = test_best_effort(1, modes[i], 1e-3);
        test_must_retrieve(&engine, &request, 1, x);
        memcpy(z, engine.answer.z, sizeof z);
        double lse = engine.answer.log_sum_exp[0];
        test_must_retrieve(&engine, &request, 1, scaled);
        ck_assert_mem_eq(z, engine.answer.z, sizeof z);
        ck_assert(lse >= engine.answer.log_sum_exp[0] && lse <= engine.answer.log_sum_exp[0]);
    }
    test_engine_fini(&engine);
}
END_TEST

/* Keys are transformed, values are not: the answer mixes the memories as given; the energy is that of a unit query. */
START_TEST(values_stay_as_given)
{
    enum { M = 40, d = 5 };
    for (size_t s = 0; s < 2; s++) {
        test_engine engine;
        float x[d];
        test_fill_normal(test_data.memories, M * d, 10, 50, 54);
        start(&engine, cosines[s], M, d, 0, 3, 1);
        memcpy(x, test_data.memories + 7 * d, sizeof x);
        hop_request request = test_best_effort(1e5, HOP_DENSE, (double)INFINITY);
        test_must_retrieve(&engine, &request, 1, x);
        test_must_hold(&engine, &request, 1, x);
        for (size_t l = 0; l < d; l++)
            ck_assert_double_le(fabs((double)engine.answer.z[l] - (double)x[l]), 1e-4);
        ck_assert_double_le(fabs(engine.answer.energy[0] - (0.5 - engine.answer.log_sum_exp[0])), 1e-12);
        test_engine_fini(&engine);
    }
}
END_TEST

/* Values that lie where the memories do, but in rows of another length, are values of their own. */
START_TEST(values_may_share_the_memories_bytes)
{
    enum { M = 40, d = 4, p = 2 };
    test_engine engine;
    test_fill_normal(test_data.memories, M * d, 1, 0, 56);
    const hop_source source = {.M = M, .d = d, .p = p, .memories = test_data.memories, .values = test_data.memories};
    ck_assert(test_engine_init(&engine, &source, 3, 1) == HOP_OK);
    ck_assert(!engine.model->shared);
    for (size_t m = 0; m < 3; m++) {
        hop_request request = test_best_effort(0.5, modes[m], (double)INFINITY);
        test_must_retrieve(&engine, &request, 1, test_data.memories + 9 * d);
        test_must_hold(&engine, &request, 1, test_data.memories + 9 * d);
    }
    test_engine_fini(&engine);
}
END_TEST

/* A common shift of everything is what centering takes out. */
START_TEST(a_common_offset_is_forgotten)
{
    enum { M = 60, d = 4 };
    test_engine engine;
    float x[d], z[d];
    test_fill_normal(test_data.memories, M * d, 1, 0, 55);
    test_fill_normal(x, d, 1, 0, 56);
    hop_request request = test_request(3, HOP_DENSE, (double)INFINITY);
    start(&engine, HOP_CENTERED_COSINE, M, d, 0, 0, 1);
    test_must_retrieve(&engine, &request, 1, x);
    memcpy(z, engine.answer.z, sizeof z);
    test_engine_fini(&engine);
    for (size_t i = 0; i < M * d; i++)
        test_data.memories[i] += 64;
    for (size_t l = 0; l < d; l++)
        x[l] += 64;
    start(&engine, HOP_CENTERED_COSINE, M, d, 0, 0, 1);
    test_must_retrieve(&engine, &request, 1, x);
    for (size_t l = 0; l < d; l++)
        ck_assert_double_le(fabs((double)engine.answer.z[l] - 64 - (double)z[l]), 1e-4);
    test_engine_fini(&engine);
}
END_TEST

static void must_refuse_memory(hop_similarity similarity, size_t M, size_t d, int64_t row)
{
    hop_source source = {.M = M, .d = d, .memories = test_data.memories, .similarity = similarity};
    hop_model *model = NULL;
    hop_error error = HOP_ERROR_NONE;
    ck_assert(hop_model_new(&source, NULL, &model, &error) == HOP_E_DOMAIN);
    ck_assert_int_eq(error.row, row);
    ck_assert(error.text[0]);
    ck_assert_ptr_null(model);
}

START_TEST(a_memory_without_direction_is_named)
{
    test_fill_normal(test_data.memories, 100 * 3, 1, 0, 57);
    memset(test_data.memories + 71 * 3, 0, 3 * sizeof(float));
    must_refuse_memory(HOP_COSINE, 100, 3, 71);
    /* -1, 0, 1: the mean is a memory. */
    for (size_t mu = 0; mu < 3; mu++)
        for (size_t l = 0; l < 2; l++)
            test_data.memories[mu * 2 + l] = (float)mu - 1;
    must_refuse_memory(HOP_CENTERED_COSINE, 3, 2, 1);
    test_data.memories[0] = 4;
    must_refuse_memory(HOP_CENTERED_COSINE, 1, 1, 0);
}
END_TEST

/* The first one, whoever finds another one first. */
START_TEST(the_first_memory_without_direction_is_named)
{
    enum { MANY = 300000 };
    static float rows[MANY * 2];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        rows[i] = (float)(i % 7) + 1;
    for (size_t i = 70001; i < MANY; i += 70000)
        rows[2 * i] = rows[2 * i + 1] = 0;
    hop_source source = {.M = MANY, .d = 2, .memories = rows, .similarity = HOP_COSINE, .packing = HOP_PACK_NONE};
    const hop_executor backwards = {.run = test_run_backwards, .width = 2},
                       *executors[] = {NULL, &backwards, &test_on_threads};
    for (size_t i = 0; i < sizeof executors / sizeof *executors; i++) {
        hop_model *model = NULL;
        hop_error error = HOP_ERROR_NONE;
        ck_assert(hop_model_new(&source, executors[i], &model, &error) == HOP_E_DOMAIN);
        ck_assert_int_eq(error.row, 70001);
    }
}
END_TEST

START_TEST(a_query_without_direction_is_named)
{
    const float memories[] = {-1, -2, 1, 2, 3, -1, -3, 1}; /* mean 0 */
    memcpy(test_data.memories, memories, sizeof memories);
    const float x[] = {1, 1, 0, 0, 1, 0};
    for (size_t s = 0; s < 2; s++) {
        test_engine engine;
        start(&engine, cosines[s], 4, 2, 0, 2, 3);
        for (size_t i = 0; i < 3; i++) {
            hop_request request = test_best_effort(1, modes[i], (double)INFINITY);
            ck_assert(test_engine_retrieve(&engine, &request, 3, x) == HOP_E_DOMAIN);
            ck_assert_int_eq(engine.error.row, 1);
            ck_assert(test_engine_energy(&engine, &request, 3, x) == HOP_E_DOMAIN);
            ck_assert_int_eq(engine.error.row, 1);
        }
        test_engine_fini(&engine);
    }
}
END_TEST

/* The smallest queries that have a direction, and the largest: the transform neither under- nor overflows. */
START_TEST(extreme_queries_have_a_direction)
{
    enum { M = 50, d = 3 };
    const float x[] = {0x1p-149f, 0, 0, 0, -0x1p-149f, 0x1p-149f, 3.4e38f, -3.4e38f, 3.4e38f, 1e-40f, 1, 1e38f};
    test_fill_normal(test_data.memories, M * d, 1, 0.1, 58);
    for (size_t s = 0; s < 2; s++) {
        test_engine engine;
        start(&engine, cosines[s], M, d, 0, 5, 4);
        for (size_t i = 0; i < 3; i++) {
            hop_request request = test_best_effort(0.7, modes[i], 1e-4);
            test_must_retrieve(&engine, &request, 4, x);
            test_must_hold(&engine, &request, 4, x);
            for (size_t q = 0; q < 4; q++)
                ck_assert_double_le(engine.answer.error_bound[q], 1e-2);
        }
        test_engine_fini(&engine);
    }
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("similarity");
    TCase *keys = tcase_create("keys");
    tcase_add_test(keys, keys_are_the_rounded_transform);
    tcase_add_test(keys, dot_uses_the_memories_themselves);
    tcase_add_test(keys, the_mean_is_the_memories_mean);
    tcase_add_test(keys, the_mean_does_not_depend_on_the_order);
    suite_add_tcase(suite, keys);
    TCase *invariance = tcase_create("invariance");
    tcase_add_test(invariance, a_querys_length_is_forgotten);
    tcase_add_test(invariance, values_stay_as_given);
    tcase_add_test(invariance, values_may_share_the_memories_bytes);
    tcase_add_test(invariance, a_common_offset_is_forgotten);
    suite_add_tcase(suite, invariance);
    TCase *refusals = tcase_create("refusals");
    tcase_add_test(refusals, a_memory_without_direction_is_named);
    tcase_add_test(refusals, a_query_without_direction_is_named);
    tcase_add_test(refusals, the_first_memory_without_direction_is_named);
    tcase_add_test(refusals, extreme_queries_have_a_direction);
    suite_add_tcase(suite, refusals);
    return suite;
}

int main(int argc, char **argv)
{
    test_cases_seed = test_seed(test_cases_seed);
    return hop_check_main(argc, argv, make);
}
