/*
 * test_maps.c - what must agree, bit by bit where it can: every beta from one set of moments, degrees that are prefixes
 * of each other, rows and the batches they come in (within their bounds), auto and the dense rows it falls back to.
 */
#include "core/almost_linear.h"
#include "support/cases.h"
#include "support/check_main.h"
#include "support/rng.h"

#include <math.h>
#include <string.h>

static const hop_mode modes[] = {HOP_AUTO, HOP_DENSE, HOP_ALMOST_LINEAR};

/* ---- maps, degrees and batches --------------------------------------------------------------------------- */

START_TEST(one_set_of_moments_answers_every_beta)
{
    enum { M = 500, d = 5, L = 9 };
    test_engine engine;
    float x[L * d];
    test_start_normal(&engine, M, d, 0.5, 0, 8, L);
    test_fill_normal(x, L * d, 0.5, 0, 11);
    double last = 0;
    for (double beta = 1e-6; beta < 2; beta *= 3) {
        hop_request request = test_best_effort(beta, HOP_ALMOST_LINEAR, 0);
        test_must_retrieve(&engine, &request, L, x);
        test_must_hold(&engine, &request, L, x);
        if (beta < 0.05)
            ck_assert_msg(engine.answer.error_bound[0] < 1e-5, "beta %g: bound %g", beta, engine.answer.error_bound[0]);
        last = engine.answer.error_bound[0];
    }
    ck_assert_double_gt(last, 0);
    test_engine_fini(&engine);
}
END_TEST

/* Smaller tolerances take higher degrees, never exceed what was asked, and stop at the first degree that meets it. */
START_TEST(degrees_grow_with_the_demand)
{
    enum { M = 400, d = 3 };
    test_engine engine;
    float x[d];
    test_start_normal(&engine, M, d, 0.4, 0, 10, 1);
    test_fill_normal(x, d, 0.5, 0, 12);
    int last = 1, first = 0;
    for (double max_error = 1; max_error > 1e-5; max_error /= 10) {
        hop_request request = test_request(0.5, HOP_ALMOST_LINEAR, max_error);
        test_must_retrieve(&engine, &request, 1, x);
        ck_assert_double_le(engine.answer.error_bound[0], max_error);
        ck_assert_int_ge(engine.answer.degree[0], last);
        last = engine.answer.degree[0];
        first = first ? first : last;
        test_must_hold(&engine, &request, 1, x);
    }
    ck_assert_int_gt(last, first);
    test_engine_fini(&engine);
}
END_TEST

/*
 * Degrees with so many monomials that the two highest are taken at once. Rows of a group stop at different degrees:
 * some with those two, some go on from there.
 */
START_TEST(large_degrees_hold_what_they_promise)
{
    enum { M = 120, L = 48 };
    static const struct {
        size_t d;
        unsigned degree;
    } shapes[] = {{6, 9}, {8, 7}, {15, 4}};
    static float x[L * 15];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        test_engine engine;
        size_t d = shapes[i].d;
        unsigned seen = 0;
        test_start_normal(&engine, M, d, 0.5, 0, shapes[i].degree, L);
        test_fill_normal(x, L * d, 1, 0, 40 + i);
        for (size_t q = 0; q < L; q++)
            for (size_t l = 0; l < d; l++)
                x[q * d + l] *= (float)(1 + q % 6) / 4;
        for (double max_error = 1; max_error > 1e-7; max_error /= 12)
            for (size_t mode = 0; mode < 3; mode += 2) {
                hop_request request = test_best_effort(0.9, modes[mode], max_error);
                test_must_retrieve(&engine, &request, L, x);
                test_must_hold(&engine, &request, L, x);
                for (size_t q = 0; q < L; q++)
                    seen |= engine.answer.degree[q] > 0 ? 1u << engine.answer.degree[q] : 0;
            }
        for (unsigned g = 3; g <= shapes[i].degree; g++)
            ck_assert_msg(seen >> g & 1, "d = %zu: no row stopped at degree %u", d, g);
        test_engine_fini(&engine);
    }
}
END_TEST

/*
 * The maps of degree 4 are a prefix of those of degree 7: a row answered at degree <= 4 is the same from both, within
 * the bounds (a polynomial may differ: which one is chosen depends on where the maps end).
 */
static void prefix_case(size_t p)
{
    enum { M = 150, d = 4, L = 12 };
    test_engine low, high;
    float x[L * d];
    test_fill_normal(test_data.memories, M * d, 0.5, 0, 13);
    test_fill_normal(test_data.values, M * 5, 1, 0, 14);
    test_fill_normal(x, L * d, 0.5, 0, 15);
    test_start(&low, M, d, p, 4, L);
    test_start(&high, M, d, p, 7, L);
    size_t compared = 0, width = p ? p : d;
    for (double max_error = 1; max_error > 1e-4; max_error /= 4) {
        hop_request request = test_best_effort(0.4, HOP_ALMOST_LINEAR, max_error);
        test_must_retrieve(&low, &request, L, x);
        test_must_retrieve(&high, &request, L, x);
        for (size_t q = 0; q < L; q++) {
            if (!(low.answer.error_bound[q] <= max_error))
                continue;
            compared++;
            ck_assert_int_eq(low.answer.degree[q], high.answer.degree[q]);
            for (size_t j = 0; j < width; j++)
                ck_assert_double_le(fabs((double)low.answer.z[q * width + j] - (double)high.answer.z[q * width + j]),
                                    low.answer.error_bound[q] + high.answer.error_bound[q]);
        }
    }
    ck_assert_uint_gt(compared, L);
    test_engine_fini(&low);
    test_engine_fini(&high);
}

START_TEST(degree_prefixes_agree)
{
    prefix_case(0);
    prefix_case(5);
}
END_TEST

/*
 * A row's answer and the rows it came with: sums may be taken in another order, so that last bits change. Both answers
 * are within their bounds of the truth, and so of each other.
 */
static void compare_row(const hop_answer *got, size_t at, const float *z, double bound, int degree, size_t width,
                        double lse, double lse_bound)
{
    double apart = 0, both = got->error_bound[at] + bound;
    for (size_t j = 0; j < width; j++)
        apart = fmax(apart, fabs((double)got->z[at * width + j] - (double)z[j]));
    ck_assert_int_eq(got->degree[at], degree);
    ck_assert_msg(apart <= both, "apart by %g, bounds %g and %g", apart, got->error_bound[at], bound);
    ck_assert_double_le(fabs(got->log_sum_exp[at] - lse), got->log_sum_exp_bound[at] + lse_bound);
}

static void batch_case(size_t M, size_t d, size_t p, double beta, hop_mode mode, double max_error)
{
    enum { L = 37 };
    test_engine engine;
    static float x[L * 40], z[L * 40];
    double bound[L], lse[L], lse_bound[L];
    int degree[L];
    test_fill_normal(test_data.memories, M * d, 0.5, 0, 16);
    test_fill_normal(test_data.values, M * (p ? p : 1), 1, 0, 17);
    test_fill_normal(x, L * d, 1, 0, 18);
    for (size_t q = 0; q < L; q += 5) /* some rows are much harder */
        for (size_t l = 0; l < d; l++)
            x[q * d + l] *= 300;
    test_start(&engine, M, d, p, 3, L);
    size_t width = p ? p : d;
    hop_request request = test_best_effort(beta, mode, max_error);
    test_must_retrieve(&engine, &request, L, x);
    memcpy(z, engine.answer.z, L * width * sizeof *z);
    memcpy(bound, engine.answer.error_bound, sizeof bound);
    memcpy(degree, engine.answer.degree, sizeof degree);
    memcpy(lse, engine.answer.log_sum_exp, sizeof lse);
    memcpy(lse_bound, engine.answer.log_sum_exp_bound, sizeof lse_bound);
    static const size_t cuts[] = {1, 2, 3, 5, 8, 9, 16, 31};
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++)
        for (size_t from = 0; from < L; from += cuts[c]) {
            size_t n = from + cuts[c] < L ? cuts[c] : L - from;
            test_must_retrieve(&engine, &request, n, x + from * d);
            for (size_t q = 0; q < n; q++)
                compare_row(&engine.answer, q, z + (from + q) * width, bound[from + q], degree[from + q], width,
                            lse[from + q], lse_bound[from + q]);
        }
    test_engine_fini(&engine);
}

static void batch_cases(hop_mode mode)
{
    batch_case(200, 6, 0, 0.05, mode, 1e-3);
    batch_case(200, 6, 9, 0.05, mode, 1e-3);
    batch_case(65, 33, 0, 0.01, mode, 1e-7);
    batch_case(1000, 17, 2, 0.02, mode, (double)INFINITY);
}

START_TEST(a_row_does_not_depend_on_its_batch)
{
    batch_cases(HOP_DENSE);
    batch_cases(HOP_ALMOST_LINEAR);
}
END_TEST

/* f32 where its rounding leaves room, f64 where not, and either way the bound that was asked for. */
START_TEST(precision_follows_the_demand)
{
    enum { M = 300, d = 6, L = 11, G = 8 };
    test_engine engine;
    static float x[L * d], z[L * d];
    double xi[L * d];
    test_start_normal(&engine, M, d, 0.5, 0, G, L);
    test_fill_normal(x, L * d, 0.5, 0, 24);
    const hop_features *features = hop_model_features(engine.model);
    void *workspace = hop_aligned_alloc(hop_al_workspace_bytes(engine.model, features));
    for (double max_error = 0.1; max_error > 1e-11; max_error /= 10) {
        hop_query query[L];
        hop_al_row rows[L];
        size_t f32 = 0, met = 0;
        for (size_t q = 0; q < L; q++) {
            ck_assert(hop_query_prepare(engine.model, 0.2, q, x + q * d, xi + q * d, &query[q], NULL) == HOP_OK);
            rows[q] = (hop_al_row){.query = &query[q], .z = z + q * d, .max_error = max_error, .degree_cap = G};
        }
        hop_al_run(engine.model, features, rows, L, workspace);
        for (size_t q = 0; q < L; q++) {
            f32 += rows[q].f32;
            met += rows[q].met;
            ck_assert(!rows[q].met || rows[q].bound <= max_error);
            ck_assert(test_engine_truth(&engine, 0.2, x + q * d));
            ck_assert(rows[q].degree == 0 || oracle_distance(engine.truth, rows[q].z) <= (long double)rows[q].bound);
        }
        if (max_error > 1e-3) {
            ck_assert_uint_eq(f32, L);
            ck_assert_uint_eq(met, L);
        } else if (max_error < 1e-6) {
            ck_assert_uint_eq(f32, 0);
        }
    }
    hop_aligned_free(workspace);
    test_engine_fini(&engine);
}
END_TEST

/* Where exponents are large and coordinates few, W answers at a degree at which T does not. */
START_TEST(certificate_w_saves_degrees)
{
    enum { M = 2000, d = 3, G = 9 };
    test_engine engine;
    float x[d] = {0, 0, 4}, z[d];
    double xi[d];
    for (size_t mu = 0; mu < M; mu++) { /* half of them along x, half against it */
        test_data.memories[mu * d] = test_data.memories[mu * d + 1] = (float)(mu % 3) * 0.1f;
        test_data.memories[mu * d + 2] = mu % 2 ? 1 : -1;
    }
    test_start(&engine, M, d, 0, G, 1);
    const hop_features *features = hop_model_features(engine.model);
    void *workspace = hop_aligned_alloc(hop_al_workspace_bytes(engine.model, features));
    hop_query query;
    ck_assert(hop_query_prepare(engine.model, 1, 0, x, xi, &query, NULL) == HOP_OK);
    hop_al_row row = {.query = &query, .z = z, .max_error = 1e-2, .degree_cap = G};
    hop_al_run(engine.model, features, &row, 1, workspace);
    ck_assert(row.met && row.kind != HOP_CERTIFICATE_T);
    ck_assert_int_lt(row.degree, G);
    ck_assert(test_engine_truth(&engine, 1, x));
    ck_assert(oracle_distance(engine.truth, z) <= (long double)row.bound);
    hop_aligned_free(workspace);
    test_engine_fini(&engine);
}
END_TEST

/* Fewer memories than queries, and more: the softmax runs over memories, per query (erratum a). */
START_TEST(the_normaliser_runs_over_memories)
{
    static const size_t shapes[][2] = {{3, 50}, {50, 3}, {1, 40}, {40, 1}};
    for (size_t s = 0; s < 4; s++) {
        test_engine engine;
        float x[50 * 3];
        test_start_normal(&engine, shapes[s][0], 3, 1, 0, 6, shapes[s][1]);
        test_fill_normal(x, shapes[s][1] * 3, 1, 0, 19);
        for (size_t i = 0; i < 3; i++) {
            hop_request request = test_best_effort(0.2, modes[i], 0);
            test_must_retrieve(&engine, &request, shapes[s][1], x);
            test_must_hold(&engine, &request, shapes[s][1], x);
        }
        test_engine_fini(&engine);
    }
}
END_TEST

/* Every memory twice: the same answer, and log 2 / beta more energy. */
START_TEST(duplicates_change_only_the_energy)
{
    enum { M = 90, d = 5 };
    test_engine once, twice;
    float x[d], z[d];
    test_fill_normal(test_data.memories, M * d, 1, 0, 20);
    test_fill_normal(x, d, 1, 0, 21);
    memcpy(test_data.memories + M * d, test_data.memories, M * d * sizeof(float));
    for (size_t i = 0; i < 3; i++) {
        test_start(&once, M, d, 0, 5, 1);
        test_start(&twice, 2 * M, d, 0, 5, 1);
        hop_request request = test_best_effort(0.2, modes[i], 0);
        test_must_retrieve(&once, &request, 1, x);
        test_must_retrieve(&twice, &request, 1, x);
        memcpy(z, once.answer.z, sizeof z);
        for (size_t l = 0; l < d; l++)
            ck_assert_double_le(fabs((double)z[l] - (double)twice.answer.z[l]),
                                once.answer.error_bound[0] + twice.answer.error_bound[0]);
        double difference = twice.answer.log_sum_exp[0] - once.answer.log_sum_exp[0];
        ck_assert_double_le(fabs(difference - log(2) / 0.2),
                            once.answer.log_sum_exp_bound[0] + twice.answer.log_sum_exp_bound[0] + 1e-14);
        test_engine_fini(&once);
        test_engine_fini(&twice);
    }
}
END_TEST

/* ---- auto -------------------------------------------------------------------------------------------- */

/* A large low-dimensional set: easy rows go almost-linear, hard ones to dense with dense's very bits. */
START_TEST(auto_splits_a_batch)
{
    enum { M = 4096, d = 2, L = 16 };
    test_engine engine;
    float x[L * d], z[L * d];
    hop_fallback fallback[L];
    int degree[L];
    test_start_normal(&engine, M, d, 0.5, 0, 4, L);
    test_fill_normal(x, L * d, 0.3, 0, 22);
    for (size_t q = 1; q < L; q += 2)
        for (size_t l = 0; l < d; l++)
            x[q * d + l] *= 1000;
    hop_request request = test_request(0.5, HOP_AUTO, 1e-3);
    test_must_retrieve(&engine, &request, L, x);
    test_must_hold(&engine, &request, L, x);
    memcpy(z, engine.answer.z, sizeof z);
    memcpy(fallback, engine.answer.fallback, sizeof fallback);
    memcpy(degree, engine.answer.degree, sizeof degree);
    request.mode = HOP_DENSE;
    test_must_retrieve(&engine, &request, L, x);
    for (size_t q = 0; q < L; q++) {
        if (q % 2 == 0) {
            ck_assert_int_gt(degree[q], 0);
            ck_assert(fallback[q] == HOP_FALLBACK_NONE);
        } else {
            ck_assert_int_eq(degree[q], 0);
            ck_assert(fallback[q] == HOP_FALLBACK_BOUND);
            for (size_t j = 0; j < d; j++)
                ck_assert(fabs((double)z[q * d + j] - (double)engine.answer.z[q * d + j]) <=
                          2 * engine.answer.error_bound[q]);
        }
    }
    test_engine_fini(&engine);
}
END_TEST

START_TEST(auto_says_why_it_ran_dense)
{
    enum { d = 2 };
    const float x[d] = {0.1f, 0.2f};
    test_engine engine;
    hop_request request = test_request(0.1, HOP_AUTO, 1e-3);
    test_start_normal(&engine, 4096, d, 0.5, 0, 0, 1);
    test_must_retrieve(&engine, &request, 1, x);
    ck_assert_str_eq(hop_fallback_word(engine.answer.fallback[0]), "building");
    test_engine_fini(&engine);

    test_start_normal(&engine, 4096, d, 0.5, 0, 3, 1);
    request.want = HOP_WANT_TOP;
    request.top = 2;
    test_must_retrieve(&engine, &request, 1, x);
    ck_assert_str_eq(hop_fallback_word(engine.answer.fallback[0]), "return");
    test_engine_fini(&engine);

    test_start_normal(&engine, 2, d, 0.5, 0, 3, 1);
    request.want = 0;
    test_must_retrieve(&engine, &request, 1, x);
    ck_assert_int_eq(engine.answer.degree[0], 0);
    ck_assert_str_eq(hop_fallback_word(engine.answer.fallback[0]), "cost");
    test_engine_fini(&engine);
}
END_TEST

/* The bound that a refusal names can be had: asking for just that much is answered. */
START_TEST(a_refusal_names_a_bound_that_can_be_had)
{
    static const double wanted[] = {1e-13, 1e-9, 1e-6, 1e-4};
    const float x[2] = {0.7f, -1.1f};
    test_engine engine;
    test_start_normal(&engine, 40, 2, 1, 0, 3, 1);
    for (size_t b = 0; b < 3; b++) {
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            hop_request request = test_request((double[]){1e-3, 0.5, 3}[b], HOP_ALMOST_LINEAR, wanted[i]);
            if (test_engine_retrieve(&engine, &request, 1, x) == HOP_OK)
                continue;
            ck_assert_int_eq(engine.error.status, HOP_E_UNMET);
            ck_assert_double_gt(engine.error.actual, wanted[i]);
            request.max_error = engine.error.actual;
            test_must_retrieve(&engine, &request, 1, x);
        }
    }
    test_engine_fini(&engine);
}
END_TEST

/* f32 by default, f64 for rows that ask for more, a refusal below what an f32 answer can carry. */
START_TEST(dense_runs_in_f64_where_the_bound_asks_for_it)
{
    enum { M = 1000, d = 16 };
    test_engine engine;
    float x[d];
    test_start_normal(&engine, M, d, 1, 0, 0, 1);
    test_fill_normal(x, d, 1, 0, 23);
    hop_request request = test_request(0.25, HOP_DENSE, (double)INFINITY);
    test_must_retrieve(&engine, &request, 1, x);
    double f32_bound = engine.answer.error_bound[0];
    ck_assert_double_lt(f32_bound, 1e-3);
    request.max_error = 3e-7;
    test_must_retrieve(&engine, &request, 1, x);
    ck_assert_double_lt(engine.answer.error_bound[0], f32_bound);
    test_must_hold(&engine, &request, 1, x);
    request.max_error = 1e-12;
    ck_assert(test_engine_retrieve(&engine, &request, 1, x) == HOP_E_UNMET);
    ck_assert_int_eq(engine.error.row, 0);
    ck_assert_double_gt(engine.error.actual, 1e-12);
    ck_assert_double_lt(engine.error.actual, 3e-7);
    test_engine_fini(&engine);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("maps");
    TCase *maps = tcase_create("maps");
    tcase_add_test(maps, one_set_of_moments_answers_every_beta);
    tcase_add_test(maps, degrees_grow_with_the_demand);
    tcase_add_test(maps, large_degrees_hold_what_they_promise);
    tcase_add_test(maps, degree_prefixes_agree);
    tcase_add_test(maps, a_row_does_not_depend_on_its_batch);
    tcase_add_test(maps, precision_follows_the_demand);
    tcase_add_test(maps, certificate_w_saves_degrees);
    tcase_add_test(maps, the_normaliser_runs_over_memories);
    tcase_add_test(maps, duplicates_change_only_the_energy);
    suite_add_tcase(suite, maps);
    TCase *automatic = tcase_create("auto");
    tcase_add_test(automatic, auto_splits_a_batch);
    tcase_add_test(automatic, auto_says_why_it_ran_dense);
    tcase_add_test(automatic, a_refusal_names_a_bound_that_can_be_had);
    tcase_add_test(automatic, dense_runs_in_f64_where_the_bound_asks_for_it);
    suite_add_tcase(suite, automatic);
    return suite;
}

int main(int argc, char **argv)
{
    test_cases_seed = test_seed(test_cases_seed);
    return hop_check_main(argc, argv, make);
}
