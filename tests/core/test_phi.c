/*
 * test_phi.c - linear and random_features against their definitions, summed pair by pair in long double; their sums:
 * that they do not depend on who makes them, what they take, and what they are refused for.
 */
#include "core/phi_cases.h"
#include "support/check_main.h"
#include "support/executors.h"

#include "core/alloc.h"
#include "core/orthogonal.h"
#include "core/phi_sums.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDE = 1 << 12 };

/* ---- the definitions ----------------------------------------------------------------------------------- */

/* z of one query by its definition: exponents of all pairs of a feature and a memory, the largest subtracted. */
typedef struct reference {
    long double z[WIDE], tolerance;
} reference;

static long double log_phi(long double x)
{
    return x > 0 ? log1pl(x) : x; /* phi = elu + 1: x + 1 above 0, e^x below */
}

/* The query after the similarity's transform. */
static void transform(const test_engine *engine, const float *x, long double *out)
{
    size_t d = engine->source.d;
    long double square = 0;
    for (size_t l = 0; l < d; l++) {
        out[l] = x[l];
        if (engine->source.similarity == HOP_CENTERED_COSINE)
            out[l] -= (long double)engine->oracle.centre[l];
        square += out[l] * out[l];
    }
    for (size_t l = 0; l < d && engine->source.similarity != HOP_DOT; l++)
        out[l] /= sqrtl(square);
}

/* log phi_i(key) + log phi_i(x), without what no weight depends on; *size: of its terms. */
static long double exponent(const test_engine *engine, const hop_phi_sums *sums, const double *w, size_t mu, size_t i,
                            const long double *x, long double *size)
{
    const float *key = engine->oracle.keys + mu * engine->source.d;
    if (sums->mode == HOP_LINEAR) {
        *size = fabsl(log_phi(key[i])) + fabsl(log_phi(x[i]));
        return log_phi(key[i]) + log_phi(x[i]);
    }
    long double root = sqrtl(sums->beta), sum = 0;
    *size = 0;
    for (size_t l = 0; l < engine->source.d; l++) {
        long double c = sums->centre[l], y = key[l] - c, at = x[l] - c;
        long double feature = root * w[i * engine->source.d + l];
        sum += feature * (y + at) - sums->beta * y * y / 2 + sums->beta * c * key[l];
        *size += fabsl(feature) * (fabsl(y) + fabsl(at)) + sums->beta * (y * y + fabsl(c * key[l]));
    }
    return sum;
}

static void refer(const test_engine *engine, const hop_phi_sums *sums, const double *w, const float *query,
                  reference *out)
{
    size_t M = engine->source.M, m = sums->shape.m, p = engine->oracle.p, d = engine->source.d;
    long double *x = malloc(d * sizeof *x), *t = malloc(M * m * sizeof *t), top = -INFINITY, D = 0, largest = 0, size;
    ck_assert(x && t);
    transform(engine, query, x);
    for (size_t mu = 0; mu < M; mu++)
        for (size_t i = 0; i < m; i++) {
            t[mu * m + i] = exponent(engine, sums, w, mu, i, x, &size);
            top = fmaxl(top, t[mu * m + i]);
            largest = fmaxl(largest, size);
        }
    memset(out->z, 0, p * sizeof *out->z);
    for (size_t mu = 0; mu < M; mu++)
        for (size_t i = 0; i < m; i++) {
            long double weight = expl(t[mu * m + i] - top);
            D += weight;
            for (size_t j = 0; j < p; j++)
                out->z[j] += weight * (long double)engine->oracle.values[mu * p + j];
        }
    long double range = 0, far = 0;
    for (size_t j = 0; j < p; j++) {
        out->z[j] /= D;
        far = fmaxl(far, fabsl(out->z[j]));
        range = fmaxl(range, (long double)hop_model_norms(engine->model).value_range);
    }
    out->tolerance = range * (1e-12L + 4 * (long double)(d + 16) * 0x1p-53L * largest) + 0x1p-23L * far;
    free(x);
    free(t);
}

/* ---- cases ----------------------------------------------------------------------------------------------- */

static double *vectors_of(const hop_phi_sums *sums)
{
    size_t d = sums->shape.d, m = sums->shape.m;
    double *w = malloc(m * d * sizeof *w);
    ck_assert_ptr_nonnull(w);
    for (size_t first = 0; first < m && sums->mode == HOP_RANDOM_FEATURES; first += d)
        hop_orthogonal_block(sums->seed, d, first, m - first < d ? m - first : d, d, w + first * d, NULL);
    return w;
}

/* Every row of the engine's answer as the definition has it. */
static void must_agree(test_engine *engine, hop_mode mode, double beta, size_t features, size_t rows)
{
    static reference truth;
    hop_request request = request_of(mode, beta, features, 7);
    hop_phi_sums *sums = sums_of(engine, &request, NULL);
    double *w = vectors_of(sums);
    test_must_retrieve(engine, &request, rows, queries);
    for (size_t q = 0; q < rows; q++) {
        refer(engine, sums, w, queries + q * engine->source.d, &truth);
        for (size_t j = 0; j < engine->oracle.p; j++) {
            long double error = fabsl((long double)engine->answer.z[q * engine->oracle.p + j] - truth.z[j]);
            ck_assert_msg(error <= truth.tolerance, "%s M %zu d %zu p %zu m %zu beta %g row %zu: off by %Lg, not %Lg",
                          hop_mode_word(mode), engine->source.M, engine->source.d, engine->oracle.p, sums->shape.m,
                          beta, q, error, truth.tolerance);
        }
        ck_assert(isinf(engine->answer.error_bound[q]));
        ck_assert_int_eq(engine->answer.degree[q], 0);
        ck_assert(mode == HOP_LINEAR || engine->answer.standard_error[q] >= 0);
    }
    free(w);
    hop_phi_sums_free(sums);
}

static const set_shape shapes[] = {
    {50, 3, 0, 1, 0},     {1, 5, 0, 1, 0},       {7, 1, 2, 1, 0},      {65, 16, 0, 0.3, 0.1}, {128, 17, 5, 0.2, 0},
    {100, 64, 3, 0.1, 0}, {40, 70, 0, 0.1, 0.2}, {30, 4, 20, 1, 1000}, {20, 6, 0, 1e-20, 0},  {33, 2, 70, 3, -8},
};

START_TEST(both_are_what_they_are_defined_to_be)
{
    static const char *const isas[] = {"reference", "avx2", "avx512", "neon", "auto"};
    for (size_t isa = 0; isa < sizeof isas / sizeof *isas; isa++) {
        if (hop_isa_choose(isas[isa], NULL) != HOP_OK)
            continue;
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (int similarity = HOP_DOT; similarity <= HOP_CENTERED_COSINE; similarity++) {
                if (shapes[i].d == 1 && similarity == HOP_CENTERED_COSINE)
                    continue; /* a memory may be the mean */
                if (shapes[i].M == 1 && similarity == HOP_CENTERED_COSINE)
                    continue; /* it is the mean */
                test_engine engine;
                start(&engine, &shapes[i], (hop_similarity)similarity, 9000 + 3 * i);
                must_agree(&engine, HOP_LINEAR, 1, 0, i % 2 ? 13 : L);
                must_agree(&engine, HOP_RANDOM_FEATURES, 0.7, 0, 13);
                must_agree(&engine, HOP_RANDOM_FEATURES, 2, 1, 1);
                if (shapes[i].d < 20)
                    must_agree(&engine, HOP_RANDOM_FEATURES, 0.1, 333, 3);
                test_engine_fini(&engine);
            }
    }
}
END_TEST

/* Sums of several tasks and of several kernel calls each; exponents that need a maximum, and others. */
START_TEST(many_memories_are_summed_in_parts)
{
    static const set_shape many[] = {{9000, 2, 3, 0.5, 0}, {9000, 2, 3, 60, 0}, {600, 30, 0, 10, 0}};
    for (size_t i = 0; i < sizeof many / sizeof *many; i++) {
        test_engine engine;
        start(&engine, &many[i], HOP_DOT, 9050 + 3 * i);
        must_agree(&engine, HOP_LINEAR, 1, 0, 2);
        must_agree(&engine, HOP_RANDOM_FEATURES, 1, 20, 2);
        must_agree(&engine, HOP_RANDOM_FEATURES, 1, 140, 1);
        test_engine_fini(&engine);
    }
}
END_TEST

/* Exponents far beyond those of f64, with both signs: a feature counts by its largest; some weight is never small. */
START_TEST(large_numbers_stay_numbers)
{
    static const set_shape large[] = {
        {40, 3, 0, 100, 0}, {40, 3, 2, 1e4, 0}, {20, 8, 1, 1, -900}, {20, 8, 0, 1, 1e6}, {30, 4, 0, 1e18, 0}};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        test_engine engine;
        start(&engine, &large[i], HOP_DOT, 9100 + 3 * i);
        must_agree(&engine, HOP_LINEAR, 1, 0, 5);
        for (size_t l = 0; l < large[i].d; l++)
            queries[l] *= i % 2 ? -1e3F : 1e3F;
        must_agree(&engine, HOP_LINEAR, 1, 0, 2);
        must_agree(&engine, HOP_RANDOM_FEATURES, 1, 40, 5);
        test_engine_fini(&engine);
    }
    /* The ends of f32. */
    for (size_t k = 0; k < 24; k++)
        test_data.memories[k] = (k % 3 ? 3.4e38F : -3.4e38F) * (k % 5 ? 1 : 1e-7F);
    test_engine engine;
    test_start(&engine, 12, 2, 0, 0, 4);
    for (size_t k = 0; k < 8; k++)
        queries[k] = k % 2 ? -3.4e38F : 3.4e38F;
    for (int mode = HOP_LINEAR; mode <= HOP_RANDOM_FEATURES; mode++) {
        hop_request request = request_of((hop_mode)mode, 1, 0, 0);
        hop_phi_sums *sums = sums_of(&engine, &request, NULL);
        test_must_retrieve(&engine, &request, 4, queries);
        for (size_t k = 0; k < 8; k++)
            ck_assert(isfinite(engine.answer.z[k]));
        hop_phi_sums_free(sums);
    }
    hop_phi_sums *sums = NULL;
    hop_request request = request_of(HOP_RANDOM_FEATURES, 1e250, 0, 0);
    ck_assert(hop_phi_sums_new(engine.model, request.mode, request.beta, &request.parameters, NULL, NULL, &sums,
                               NULL) == HOP_E_DOMAIN);
    test_engine_fini(&engine);
}
END_TEST

/* Values that agree are the answer; memories that are all the same as well, and as one. */
START_TEST(duplicates_are_one)
{
    for (int mode = HOP_LINEAR; mode <= HOP_RANDOM_FEATURES; mode++) {
        test_engine engine;
        for (size_t k = 0; k < 90; k++)
            test_data.memories[k] = 0.1F * (float)(1 + k % 3);
        test_fill_normal(queries, L * 3, 1, 0, 9200);
        test_start(&engine, 30, 3, 0, 0, L);
        hop_request request = request_of((hop_mode)mode, 2, 100, 0);
        hop_phi_sums *sums = sums_of(&engine, &request, NULL);
        test_must_retrieve(&engine, &request, L, queries);
        for (size_t q = 0; q < L; q++) {
            ck_assert_mem_eq(engine.answer.z + q * 3, test_data.memories, 3 * sizeof(float));
            ck_assert(mode == HOP_LINEAR || engine.answer.standard_error[q] < 1e-15);
        }
        hop_phi_sums_free(sums);
        test_engine_fini(&engine);
    }
}
END_TEST

/* Rows are answered in groups, but each as if it were alone. */
START_TEST(answers_do_not_depend_on_their_batch)
{
    float all[L * 3];
    double errors[L];
    test_engine engine;
    start(&engine, &(set_shape){50, 6, 3, 0.4, 0}, HOP_DOT, 9900);
    for (int mode = HOP_LINEAR; mode <= HOP_RANDOM_FEATURES; mode++) {
        hop_request request = request_of((hop_mode)mode, 1, 0, 4);
        hop_phi_sums *sums = sums_of(&engine, &request, NULL);
        test_must_retrieve(&engine, &request, L, queries);
        memcpy(all, engine.answer.z, sizeof all);
        memcpy(errors, engine.answer.standard_error, sizeof errors);
        for (size_t q = 0; q < L; q++) {
            test_must_retrieve(&engine, &request, 1, queries + q * 6);
            ck_assert_mem_eq(engine.answer.z, all + q * 3, 3 * sizeof *all);
            ck_assert(mode == HOP_LINEAR || engine.answer.standard_error[0] == errors[q]);
        }
        hop_phi_sums_free(sums);
    }
    test_engine_fini(&engine);
}
END_TEST

/* ---- who makes them ---------------------------------------------------------------------------------------- */

static void must_be_the_same(const hop_phi_sums *a, const hop_phi_sums *b)
{
    size_t slots = hop_phi_slots(&a->shape);
    ck_assert_mem_eq(a->log_s, b->log_s, slots * sizeof(double));
    ck_assert_mem_eq(a->v, b->v, slots * a->shape.p * sizeof(double));
    ck_assert_mem_eq(a->w, b->w, slots * a->shape.width * sizeof(double));
}

START_TEST(sums_do_not_depend_on_the_executor)
{
    const hop_executor backwards = {.run = test_run_backwards, .width = 3}, wide = {test_run_backwards, NULL, 1000};
    const hop_executor *const executors[] = {&test_on_threads, &backwards, &wide};
    for (int similarity = HOP_DOT; similarity <= HOP_COSINE; similarity++) {
        test_engine engine;
        start(&engine, &(set_shape){13000, 4, 3, similarity ? 1 : 30, 0}, (hop_similarity)similarity, 9300);
        for (int mode = HOP_LINEAR; mode <= HOP_RANDOM_FEATURES; mode++) {
            hop_request request = request_of((hop_mode)mode, 1, 200, 1);
            hop_phi_sums *alone = sums_of(&engine, &request, NULL);
            for (size_t i = 0; i < sizeof executors / sizeof *executors; i++) {
                hop_progress progress = {0};
                hop_phi_sums *sums = NULL;
                test_tasks_run();
                ck_assert(hop_phi_sums_new(engine.model, request.mode, request.beta, &request.parameters, executors[i],
                                           &progress, &sums, NULL) == HOP_OK);
                ck_assert_uint_gt(test_tasks_run(), 2);
                ck_assert_uint_eq(atomic_load(&progress.permille), 1000);
                must_be_the_same(alone, sums);
                hop_phi_sums_free(sums);
            }
            hop_progress progress = {.cancel = true};
            hop_phi_sums *sums = NULL;
            ck_assert(hop_phi_sums_new(engine.model, request.mode, request.beta, &request.parameters, &test_on_threads,
                                       &progress, &sums, NULL) == HOP_E_CANCELLED);
            ck_assert_ptr_null(sums);
            hop_phi_sums_free(alone);
        }
        test_engine_fini(&engine);
    }
}
END_TEST

static size_t granted_bytes, grants_left;

static bool count_down(size_t bytes)
{
    granted_bytes += bytes;
    return grants_left && grants_left--;
}

START_TEST(memory_is_what_was_said)
{
    static const set_shape of[] = {{100, 3, 0, 1, 0}, {9000, 7, 2, 1, 0}, {50, 90, 0, 0.1, 0}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        for (int mode = HOP_LINEAR; mode <= HOP_RANDOM_FEATURES; mode++) {
            test_engine engine;
            start(&engine, &of[i], HOP_DOT, 9400);
            hop_request request = request_of((hop_mode)mode, 1, 0, 1);
            size_t said = hop_phi_sums_build_bytes(engine.model, request.mode, &request.parameters, 1);
            hop_phi_sums *sums = NULL;
            hop_status status = HOP_E_NOMEM;
            for (size_t grants = 0; status == HOP_E_NOMEM; grants++) {
                ck_assert_uint_lt(grants, 10);
                grants_left = grants;
                granted_bytes = 0;
                hop_alloc_set_gate(count_down);
                status = hop_phi_sums_new(engine.model, request.mode, 1, &request.parameters, NULL, NULL, &sums, NULL);
                hop_alloc_set_gate(NULL);
            }
            ck_assert(status == HOP_OK);
            ck_assert_uint_ge(said, granted_bytes);
            ck_assert_uint_le(said, granted_bytes + granted_bytes / 8 + 4096);
            ck_assert_uint_eq(hop_phi_sums_bytes(sums),
                              hop_phi_sums_bytes_estimate(engine.model, request.mode, &request.parameters));
            ck_assert_uint_lt(hop_phi_sums_bytes(sums), said);
            ck_assert(hop_phi_sums_build_seconds(engine.model, request.mode, &request.parameters) > 0);
            request.sums = sums;
            grants_left = 0;
            hop_alloc_set_gate(count_down);
            test_must_retrieve(&engine, &request, L, queries);
            hop_alloc_set_gate(NULL);
            hop_phi_sums_free(sums);
            test_engine_fini(&engine);
        }
}
END_TEST

/* ---- what is refused --------------------------------------------------------------------------------------- */

static void must_refuse(test_engine *engine, const hop_request *request, hop_status status, const char *word)
{
    ck_assert_int_eq(test_engine_retrieve(engine, request, 1, queries), status);
    ck_assert_msg(strstr(engine->error.text, word) != NULL, "\"%s\" says nothing of %s", engine->error.text, word);
}

START_TEST(sums_of_something_else_are_refused)
{
    test_engine engine, other;
    start(&engine, &(set_shape){20, 4, 0, 1, 0}, HOP_DOT, 9500);
    ck_assert(test_engine_init(&other, &engine.source, 0, 1) == HOP_OK);
    hop_request linear = request_of(HOP_LINEAR, 1, 0, 0), random = request_of(HOP_RANDOM_FEATURES, 1, 8, 5);
    must_refuse(&engine, &linear, HOP_E_DOMAIN, "sums");
    must_refuse(&engine, &random, HOP_E_DOMAIN, "sums");
    hop_phi_sums *of_linear = sums_of(&engine, &linear, NULL), *of_random = sums_of(&engine, &random, NULL);
    hop_request at = linear;
    at.beta = 3; /* which linear does not read */
    test_must_retrieve(&engine, &at, 1, queries);
    at.sums = of_random;
    must_refuse(&engine, &at, HOP_E_DOMAIN, "sums");
    must_refuse(&other, &linear, HOP_E_DOMAIN, "sums");
    at = random;
    at.parameters.features = 0; /* 8 by default: max(2 d, d ln d) */
    test_must_retrieve(&engine, &at, 1, queries);
    at.parameters.features = 9;
    must_refuse(&engine, &at, HOP_E_DOMAIN, "sums");
    at = random;
    at.parameters.seed = 6;
    must_refuse(&engine, &at, HOP_E_DOMAIN, "sums");
    at = random;
    at.beta = 1.5;
    must_refuse(&engine, &at, HOP_E_DOMAIN, "sums");
    at = random;
    at.max_error = 1;
    must_refuse(&engine, &at, HOP_E_UNMET, "bound");
    at.best_effort = true;
    test_must_retrieve(&engine, &at, 1, queries);
    static const unsigned wants[] = {HOP_WANT_TOP, HOP_WANT_SUPPORT, HOP_WANT_WEIGHTS, HOP_WANT_ENERGY,
                                     HOP_WANT_LOG_SUM_EXP};
    for (size_t i = 0; i < 2 * sizeof wants / sizeof *wants; i++) {
        at = i % 2 ? linear : random;
        at.want = wants[i / 2];
        must_refuse(&engine, &at, HOP_E_DOMAIN, "mode");
    }
    at = random;
    at.parameters.features = HOP_FEATURES_MAX + 1;
    must_refuse(&engine, &at, HOP_E_DOMAIN, "features");
    hop_phi_sums *sums = NULL;
    ck_assert(hop_phi_sums_new(engine.model, HOP_RANDOM_FEATURES, 1, &at.parameters, NULL, NULL, &sums, NULL) ==
              HOP_E_DOMAIN);
    ck_assert(hop_phi_sums_new(engine.model, HOP_TOP_K, 1, &random.parameters, NULL, NULL, &sums, NULL) ==
              HOP_E_DOMAIN);
    ck_assert(hop_phi_sums_new(engine.model, HOP_LINEAR, 0, &random.parameters, NULL, NULL, &sums, NULL) ==
              HOP_E_DOMAIN);
    ck_assert(!hop_phi_sums_fits(NULL, engine.model, HOP_LINEAR, 1, &linear.parameters));
    hop_phi_sums_free(of_linear);
    hop_phi_sums_free(of_random);
    hop_phi_sums_free(NULL);
    test_engine_fini(&other);
    test_engine_fini(&engine);
}
END_TEST

/* A step more is a step from the answer before it. */
START_TEST(steps_follow_each_other)
{
    test_engine engine;
    start(&engine, &(set_shape){60, 5, 0, 0.5, 0.1}, HOP_COSINE, 9600);
    for (int mode = HOP_LINEAR; mode <= HOP_RANDOM_FEATURES; mode++) {
        float once[L * 5];
        hop_request request = request_of((hop_mode)mode, 2, 50, 3);
        hop_phi_sums *sums = sums_of(&engine, &request, NULL);
        test_must_retrieve(&engine, &request, L, queries);
        memcpy(once, engine.answer.z, sizeof once);
        test_must_retrieve(&engine, &request, L, once);
        memcpy(once, engine.answer.z, sizeof once);
        request.steps = 2;
        test_must_retrieve(&engine, &request, L, queries);
        ck_assert_mem_eq(once, engine.answer.z, sizeof once);
        hop_phi_sums_free(sums);
    }
    test_engine_fini(&engine);
}
END_TEST

static void open_gate(void)
{
    hop_alloc_set_gate(NULL);
}

static Suite *make(void)
{
    Suite *suite = suite_create("phi");
    TCase *definition = tcase_create("definition"), *sums = tcase_create("sums");
    tcase_add_test(definition, both_are_what_they_are_defined_to_be);
    tcase_add_test(definition, many_memories_are_summed_in_parts);
    tcase_add_test(definition, large_numbers_stay_numbers);
    tcase_add_test(definition, duplicates_are_one);
    tcase_add_test(definition, steps_follow_each_other);
    tcase_add_test(definition, answers_do_not_depend_on_their_batch);
    tcase_add_checked_fixture(sums, NULL, open_gate);
    tcase_add_test(sums, sums_do_not_depend_on_the_executor);
    tcase_add_test(sums, memory_is_what_was_said);
    tcase_add_test(sums, sums_of_something_else_are_refused);
    suite_add_tcase(suite, definition);
    suite_add_tcase(suite, sums);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
