/*
 * test_structured_named.c - structured modes where something particular must happen: refusals, windows and masks by
 * number, ties, lists that overflow, steps, threads; and the mistakes of published implementations, each in a test that
 * it would fail. Agreement with the definitions on random sets is test_structured.c's.
 */
#include "support/cases.h"
#include "support/check_main.h"
#include "support/executors.h"
#include "support/rng.h"

#include "core/selection.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const hop_mode modes[] = {HOP_TOP_K, HOP_RANDOM_MASK, HOP_WINDOW, HOP_SPARSEMAX, HOP_ENTMAX};
enum { MODES = sizeof modes / sizeof *modes };

static test_engine engine;

static hop_request all_returns(hop_mode mode, double beta)
{
    hop_request request = test_request(beta, mode, (double)INFINITY);
    request.want = HOP_WANT_TOP | HOP_WANT_SUPPORT | HOP_WANT_WEIGHTS | HOP_WANT_ENERGY;
    request.top = engine.source.M;
    return request;
}

/* ---- windows and masks by number --------------------------------------------------------------------- */

START_TEST(window_centres_round_half_up_for_all_sizes)
{
    static const struct {
        size_t M, l, total, centre;
    } cases[] = {
        {1, 0, 1, 0},
        {10, 0, 1, 0},
        {10, 5, 10, 5},
        {10, 9, 10, 9},
        {2, 1, 3, 1}, /* 1/2 */
        {4, 1, 3, 2}, /* 3/2 */
        {6, 1, 3, 3}, /* 5/2: up, not to even */
        {3, 1, 4, 1}, /* 2/3 */
        {2, 1, 4, 0}, /* 1/3 */
        {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX, SIZE_MAX - 1},
        {SIZE_MAX, 1, 2, SIZE_MAX - 1},
        {SIZE_MAX, 1, 3, SIZE_MAX / 2},
        {2, SIZE_MAX / 2, SIZE_MAX, 1}, /* exactly 1/2 */
        {2, SIZE_MAX / 2 - 1, SIZE_MAX, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_uint_eq(hop_window_centre(cases[i].M, cases[i].l, cases[i].total), cases[i].centre);
}
END_TEST

START_TEST(windows_are_as_wide_as_the_root_and_cut_at_the_ends)
{
    static const size_t widths[][2] = {{1, 1},
                                       {2, 2},
                                       {4, 2},
                                       {5, 3},
                                       {9, 3},
                                       {10, 4},
                                       {(size_t)1 << 62, (size_t)1 << 31},
                                       {((size_t)1 << 62) + 1, ((size_t)1 << 31) + 1},
                                       {((size_t)1 << 62) - 1, (size_t)1 << 31},
                                       {SIZE_MAX, (size_t)1 << 32}};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        ck_assert_uint_eq(hop_window_width(widths[i][0]), widths[i][1]);
    hop_selection at = hop_selection_window(10, 2, 0, 3);
    ck_assert(at.first == 0 && at.end == 3);
    at = hop_selection_window(10, 2, 1, 3); /* 9/2, up: 5 */
    ck_assert(at.first == 3 && at.end == 8);
    at = hop_selection_window(10, 2, 2, 3);
    ck_assert(at.first == 7 && at.end == 10);
    at = hop_selection_window(10, SIZE_MAX - 1, 1, 3);
    ck_assert(at.first == 0 && at.end == 10);
    at = hop_selection_window(SIZE_MAX, 0, 1, 2);
    ck_assert(at.first == SIZE_MAX - 1 && at.end == SIZE_MAX);
}
END_TEST

/* A request that is answered in pieces has the windows of the whole. */
START_TEST(windows_belong_to_the_request)
{
    enum { M = 40, D = 3, L = 7 };
    float x[L * D], z[L * D];
    test_start_normal(&engine, M, D, 1, 0, 0, L);
    test_fill_normal(x, L * D, 1, 0, 12);
    hop_request request = test_request(1, HOP_WINDOW, (double)INFINITY);
    request.parameters.width = 3;
    test_must_retrieve(&engine, &request, L, x);
    memcpy(z, engine.answer.z, sizeof z);
    request.total = L;
    for (size_t l = 0; l < L; l++) {
        request.first = l;
        test_must_retrieve(&engine, &request, 1, x + l * D);
        ck_assert_mem_eq(z + l * D, engine.answer.z, D * sizeof *z);
    }
    ck_assert(test_engine_retrieve(&engine, &request, 2, x) == HOP_E_SHAPE);
    request.first = SIZE_MAX;
    ck_assert(test_engine_retrieve(&engine, &request, 1, x) == HOP_E_SHAPE);
    test_engine_fini(&engine);
}
END_TEST

/* Outputs of splitmix64 from the state mix(seed), worked with the published code. mix(0) is 0. */
START_TEST(masks_are_the_same_everywhere)
{
    ck_assert(hop_mask_number(0, 0) == ldexp((double)(0xe220a8397b1dcdafu >> 11), -53));
    ck_assert(hop_mask_number(0, 1) == ldexp((double)(0x6e789e6aa1b965f4u >> 11), -53));
    ck_assert(hop_mask_number(0, 2) == ldexp((double)(0x06c45d188009454fu >> 11), -53));
    size_t below = 0, both = 0;
    for (size_t id = 0; id < 100000; id++) {
        const double number = hop_mask_number(7, id);
        ck_assert(number >= 0 && number < 1);
        below += number < 0.25;
        both += number < 0.25 && hop_mask_number(8, id) < 0.25;
    }
    ck_assert(below > 24000 && below < 26000);
    ck_assert(both > 5700 && both < 6800);
}
END_TEST

START_TEST(a_mask_is_never_empty)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        const hop_selection one = hop_selection_mask(20, 1e-12, seed);
        ck_assert(!one.masked && one.end == one.first + 1);
        for (size_t id = 0; id < 20; id++)
            ck_assert(hop_mask_number(seed, id) >= hop_mask_number(seed, one.first));
    }
    const hop_selection all = hop_selection_mask(20, 1, 3);
    size_t ids[64], cursor = all.first;
    ck_assert_uint_eq(hop_selection_next(&all, &cursor, 20, 64, ids), 20);
}
END_TEST

/* ---- refusals ---------------------------------------------------------------------------------------- */

static const float some[3] = {1, 2, 3};

static void must_refuse(const hop_request *request, hop_status expected, const char *word)
{
    hop_status status = test_engine_retrieve(&engine, request, 1, some);
    ck_assert_msg(status == expected, "%s: %s instead of %s: %s", hop_mode_word(request->mode), hop_status_word(status),
                  hop_status_word(expected), engine.error.text);
    ck_assert_msg(strstr(engine.error.text, word) != NULL, "\"%s\" does not name %s", engine.error.text, word);
}

START_TEST(parameters_are_checked_by_name)
{
    test_start_normal(&engine, 20, 3, 1, 0, 2, 1);
    hop_request request = test_request(1, HOP_TOP_K, (double)INFINITY);
    request.parameters.k = 0;
    must_refuse(&request, HOP_E_DOMAIN, "k must");
    static const double keeps[] = {0, -0.5, 1.0000001, (double)NAN, (double)INFINITY};
    request.mode = HOP_RANDOM_MASK;
    for (size_t i = 0; i < sizeof keeps / sizeof *keeps; i++) {
        request.parameters.keep = keeps[i];
        must_refuse(&request, HOP_E_DOMAIN, "keep must");
    }
    static const double alphas[] = {1, 1.0099, 2.0001, 0, -1, (double)NAN, (double)INFINITY};
    request.mode = HOP_ENTMAX;
    for (size_t i = 0; i < sizeof alphas / sizeof *alphas; i++) {
        request.parameters.alpha = alphas[i];
        must_refuse(&request, HOP_E_DOMAIN, "alpha must");
    }
    request.mode = HOP_RANDOM_FEATURES;
    request.parameters.features = (size_t)HOP_FEATURES_MAX + 1;
    must_refuse(&request, HOP_E_DOMAIN, "features must");
    request.mode = HOP_MODES;
    ck_assert(test_engine_retrieve(&engine, &request, 1, some) == HOP_E_UNKNOWN);
    hop_parameters of;
    hop_parameters_default(&of);
    ck_assert(of.k == 32 && of.keep == 0.1 && of.seed == 0 && of.width == SIZE_MAX && of.features == 0 &&
              of.alpha == 1.5);
    test_engine_fini(&engine);
}
END_TEST

START_TEST(returns_without_a_meaning_are_refused)
{
    test_start_normal(&engine, 20, 3, 1, 0, 2, 1);
    static const hop_mode sums[] = {HOP_LINEAR, HOP_RANDOM_FEATURES};
    static const unsigned wants[] = {HOP_WANT_TOP, HOP_WANT_SUPPORT, HOP_WANT_WEIGHTS, HOP_WANT_ENERGY,
                                     HOP_WANT_LOG_SUM_EXP};
    hop_request request = test_request(1, HOP_LINEAR, (double)INFINITY);
    for (size_t i = 0; i < 2; i++) {
        request.mode = sums[i];
        for (size_t w = 0; w < 5; w++) {
            request.want = wants[w];
            must_refuse(&request, HOP_E_DOMAIN, hop_mode_word(sums[i]));
        }
    }
    request.want = HOP_WANT_LOG_SUM_EXP;
    request.mode = HOP_SPARSEMAX;
    must_refuse(&request, HOP_E_DOMAIN, "log_sum_exp");
    request.mode = HOP_ENTMAX;
    must_refuse(&request, HOP_E_DOMAIN, "log_sum_exp");
    hop_plan plan;
    for (hop_mode mode = HOP_TOP_K; mode < HOP_MODES; mode++) {
        request = test_request(1, mode, (double)INFINITY);
        ck_assert(test_engine_energy(&engine, &request, 1, some) == HOP_E_DOMAIN);
        ck_assert(hop_plan_queries(engine.model, &request, 1, some, engine.workspace, engine.workspace_bytes, &plan,
                                   NULL) == HOP_E_DOMAIN);
    }
    test_engine_fini(&engine);
}
END_TEST

/* What a promise can be about: dense, the mode itself, or nothing, which only best effort will do for. */
START_TEST(promises_need_something_to_be_measured_against)
{
    test_start_normal(&engine, 50, 3, 1, 0, 0, 1);
    for (size_t i = 0; i < MODES; i++) {
        hop_request request = test_request(1, modes[i], 1e-3);
        if (hop_mode_against(modes[i]) == HOP_AGAINST_NOTHING) {
            must_refuse(&request, HOP_E_UNMET, "no error bound");
            request.best_effort = true;
            test_must_retrieve(&engine, &request, 1, some);
            ck_assert(isinf(engine.answer.error_bound[0]));
        }
    }
    ck_assert(hop_mode_against(HOP_TOP_K) == HOP_AGAINST_DENSE && hop_mode_against(HOP_AUTO) == HOP_AGAINST_DENSE);
    ck_assert(hop_mode_against(HOP_SPARSEMAX) == HOP_AGAINST_MODEL &&
              hop_mode_against(HOP_ENTMAX) == HOP_AGAINST_MODEL);
    hop_request request = test_request(1, HOP_TOP_K, 1e-6);
    request.parameters.k = 3;
    must_refuse(&request, HOP_E_UNMET, "max_error");
    ck_assert(engine.error.row == 0 && engine.error.actual > 1e-6);
    request.best_effort = true;
    test_must_retrieve(&engine, &request, 1, some);
    test_must_hold(&engine, &request, 1, some);
    ck_assert(engine.answer.error_bound[0] > 1e-6);
    request = test_request(1, HOP_SPARSEMAX, 1e-6);
    test_must_retrieve(&engine, &request, 1, some);
    ck_assert(engine.answer.error_bound[0] <= 1e-6);
    test_engine_fini(&engine);
}
END_TEST

/* Scores beyond f64: no answer where no bound could say so. */
START_TEST(scores_beyond_f64_are_not_answered_silently)
{
    static const float huge[3] = {3e38f, -3e38f, 3e38f};
    test_fill_normal(test_data.memories, 60, 1e37, 0, 77);
    test_start(&engine, 20, 3, 0, 0, 1);
    for (size_t i = 0; i < MODES; i++) {
        hop_request request = test_request(1e300, modes[i], (double)INFINITY);
        hop_status status = test_engine_retrieve(&engine, &request, 1, huge);
        if (hop_mode_against(modes[i]) == HOP_AGAINST_NOTHING) {
            ck_assert(status == HOP_E_UNMET);
            continue;
        }
        ck_assert(status == HOP_OK && isfinite(engine.answer.error_bound[0]));
        ck_assert(engine.answer.error_bound[0] > 1e36);
        request.want = HOP_WANT_SUPPORT;
        ck_assert(test_engine_retrieve(&engine, &request, 1, huge) == HOP_E_UNMET);
    }
    test_engine_fini(&engine);
}
END_TEST

/* ---- what published implementations get wrong -------------------------------------------------------- */

/* Some set the logits of memories that are left out to 0, which weighs e^0: here all scores are far below 0. */
START_TEST(what_is_left_out_weighs_nothing_not_e_to_the_0)
{
    enum { M = 30, D = 2 };
    const float query[D] = {-1, -1};
    for (size_t i = 0; i < M * D; i++)
        test_data.memories[i] = 40 + (float)(i % 7);
    test_start(&engine, M, D, 0, 0, 1);
    for (size_t m = 0; m < 3; m++) {
        hop_request request = all_returns(modes[m], 1);
        request.parameters.k = 4;
        request.parameters.keep = 0.2;
        request.parameters.width = 2;
        test_must_retrieve(&engine, &request, 1, query);
        double sum = 0;
        size_t count = 0;
        for (size_t mu = 0; mu < M; mu++) {
            sum += (double)engine.answer.weights[mu];
            count += engine.answer.weights[mu] > 0;
        }
        ck_assert_double_eq_tol(sum, 1, 1e-6);
        ck_assert_uint_le(count, engine.answer.top_count[0]);
        ck_assert_uint_lt(count, M / 2);
        ck_assert(engine.answer.z[0] >= 40 && engine.answer.z[1] >= 40);
    }
    test_engine_fini(&engine);
}
END_TEST

/* Dropout on logits multiplies what is kept by 1/(1 - p): another beta. Ratios of weights must stay e^{t - t'}. */
START_TEST(kept_logits_are_not_scaled)
{
    enum { M = 200, D = 4 };
    float query[D];
    test_start_normal(&engine, M, D, 1, 0, 0, 1);
    test_fill_normal(query, D, 1, 0, 5);
    hop_request mask = all_returns(HOP_RANDOM_MASK, 0.7);
    mask.parameters.keep = 0.3;
    test_must_retrieve(&engine, &mask, 1, query);
    const uint64_t a = engine.answer.top_id[0], b = engine.answer.top_id[5];
    double difference = 0;
    for (size_t l = 0; l < D; l++)
        difference +=
            0.7 * (double)query[l] * ((double)test_data.memories[a * D + l] - (double)test_data.memories[b * D + l]);
    ck_assert_double_eq_tol(log(engine.answer.top_weight[0] / engine.answer.top_weight[5]), difference, 1e-6);
    test_engine_fini(&engine);
}
END_TEST

/* "keep" is the share that stays, not the share that goes. */
START_TEST(keep_is_what_is_kept)
{
    enum { M = 4000, D = 1 };
    const float query[D] = {0};
    test_start_normal(&engine, M, D, 1, 0, 0, 1);
    hop_request mask = all_returns(HOP_RANDOM_MASK, 1);
    mask.parameters.keep = 0.1;
    test_must_retrieve(&engine, &mask, 1, query);
    ck_assert(engine.answer.top_count[0] > 300 && engine.answer.top_count[0] < 500);
    test_engine_fini(&engine);
}
END_TEST

/* Some build sparsemax and run softmax. Of 0, -0.5, -3 sparsemax is (0.75, 0.25, 0), entmax and softmax are not. */
START_TEST(sparsemax_is_not_softmax)
{
    static const float query[1] = {1};
    test_data.memories[0] = 0;
    test_data.memories[1] = -0.5F;
    test_data.memories[2] = -3;
    test_start(&engine, 3, 1, 0, 0, 1);
    hop_request request = all_returns(HOP_SPARSEMAX, 1);
    test_must_retrieve(&engine, &request, 1, query);
    const float *p = engine.answer.weights;
    ck_assert(p[0] >= 0.75F && p[0] <= 0.75F && p[1] >= 0.25F && p[1] <= 0.25F && p[2] >= 0 && p[2] <= 0);
    ck_assert_uint_eq(engine.answer.top_count[0], 2);
    ck_assert(engine.answer.z[0] >= -0.125F && engine.answer.z[0] <= -0.125F);
    request.mode = HOP_ENTMAX; /* [z/2 - tau]^2: 1 - theta/2 = a, a^2 + (a - 1/4)^2 = 1, a = (1 + sqrt(31))/8 */
    test_must_retrieve(&engine, &request, 1, query);
    const double a = (1 + sqrt(31.0)) / 8;
    ck_assert_double_eq_tol((double)p[0], a * a, 1e-7);
    ck_assert_double_eq_tol((double)p[1], (a - 0.25) * (a - 0.25), 1e-7);
    ck_assert(p[2] >= 0 && p[2] <= 0);
    test_engine_fini(&engine);
}
END_TEST

/* beta belongs inside: beta = 2 with x is beta = 1 with 2 x, and nothing is multiplied by beta afterwards. */
START_TEST(beta_is_inside)
{
    enum { M = 100, D = 3 };
    float query[D], twice[D], z[D];
    test_start_normal(&engine, M, D, 1, 0.5, 0, 1);
    test_fill_normal(query, D, 1, 0, 6);
    for (size_t l = 0; l < D; l++)
        twice[l] = 2 * query[l];
    for (size_t m = 0; m < MODES; m++) {
        hop_request request = test_request(2, modes[m], (double)INFINITY);
        test_must_retrieve(&engine, &request, 1, query);
        memcpy(z, engine.answer.z, sizeof z);
        request.beta = 1;
        test_must_retrieve(&engine, &request, 1, twice);
        ck_assert_mem_eq(z, engine.answer.z, sizeof z);
    }
    test_engine_fini(&engine);
}
END_TEST

/* Scores are taken as they are: two memories 3 apart, and 30 apart, do not weigh the same. */
START_TEST(scores_are_not_normalised)
{
    static const float query[1] = {1};
    test_data.memories[0] = 0;
    test_data.memories[1] = -3;
    test_start(&engine, 2, 1, 0, 0, 1);
    static const hop_mode all[] = {HOP_WINDOW, HOP_RANDOM_MASK};
    for (size_t m = 0; m < 2; m++) {
        for (double beta = 0.1; beta < 20; beta *= 10) {
            hop_request request = all_returns(all[m], beta);
            request.parameters.keep = 1;
            test_must_retrieve(&engine, &request, 1, query);
            ck_assert_double_eq_tol(engine.answer.top_weight[0], 1 / (1 + exp(-3 * beta)), 1e-12);
        }
    }
    test_engine_fini(&engine);
}
END_TEST

/* ---- ties and overflows ------------------------------------------------------------------------------ */

/* All scores equal: the lower ids win, in every list and however full it is. */
START_TEST(ties_go_to_the_lower_id)
{
    enum { M = 20000, D = 2 };
    const float query[D] = {1, 1};
    for (size_t i = 0; i < M * D; i++)
        test_data.memories[i] = 0.1F;
    for (size_t mu = 0; mu < M; mu++)
        test_data.values[mu] = (float)mu;
    test_data.memories[100 * D] = 0.05F;
    test_start(&engine, M, D, 1, 0, 1);
    static const size_t ks[] = {1, 7, 101, 3000, 19000};
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
        hop_request request = all_returns(HOP_TOP_K, 1);
        request.parameters.k = ks[i];
        test_must_retrieve(&engine, &request, 1, query);
        ck_assert_uint_eq(engine.answer.top_count[0], ks[i]);
        for (size_t j = 0; j < ks[i]; j++)
            ck_assert_uint_eq(engine.answer.top_id[j], j < 100 ? j : j + 1);
    }
    test_engine_fini(&engine);
}
END_TEST

/* Scores that cancel: their differences are below the roundings of f32 scores. The order is the exact one's. */
START_TEST(differences_below_f32_are_seen)
{
    enum { M = 12000, D = 2, K = 20 };
    const float query[D] = {1, 1 + 0x1p-20F};
    static double exact[M];
    test_rng rng;
    test_rng_init(&rng, test_cases_seed, 56);
    for (size_t mu = 0; mu < M; mu++) {
        const double along = test_rng_normal(&rng);
        test_data.memories[mu * D] = (float)along;
        test_data.memories[mu * D + 1] = (float)(1e-7 * test_rng_normal(&rng) - along);
        exact[mu] = (double)test_data.memories[mu * D] + (double)query[1] * (double)test_data.memories[mu * D + 1];
    }
    test_start(&engine, M, D, 0, 0, 1);
    hop_request request = all_returns(HOP_TOP_K, 1);
    request.parameters.k = K;
    test_must_retrieve(&engine, &request, 1, query);
    const uint64_t *id = engine.answer.top_id;
    for (size_t i = 0; i < K; i++) {
        size_t before = 0;
        for (size_t mu = 0; mu < M; mu++)
            before += exact[mu] > exact[id[i]];
        ck_assert_uint_eq(before, i);
    }
    test_engine_fini(&engine);
}
END_TEST

/*
 * Rows that are the same numbers in some order, and one number more: with a query that is the same in all the others,
 * scores differ by that one alone, while f32 scores differ by their roundings too, which are far larger.
 */
static void shuffle_rows(size_t M)
{
    enum { D = 8 };
    static const float numbers[D - 1] = {0.1F, 0.7F, -0.3F, 0.9F, -0.55F, 0.23F, 1.3F};
    test_rng rng;
    test_rng_init(&rng, test_cases_seed, 40);
    for (size_t mu = 0; mu < M; mu++) {
        float *row = test_data.memories + mu * D;
        memcpy(row, numbers, sizeof numbers);
        for (size_t l = D - 2; l > 0; l--) {
            const size_t other = test_rng_below(&rng, l + 1);
            const float kept = row[l];
            row[l] = row[other];
            row[other] = kept;
        }
        row[D - 1] = (float)(mu * 7919 % M);
    }
}

START_TEST(the_order_is_not_that_of_f32_scores)
{
    enum { M = 6000, D = 8 };
    const float query[D] = {1, 1, 1, 1, 1, 1, 1, 1e-9F};
    shuffle_rows(M);
    test_start(&engine, M, D, 0, 0, 1);
    hop_request request = all_returns(HOP_TOP_K, 1);
    request.parameters.k = 20;
    test_must_retrieve(&engine, &request, 1, query);
    for (size_t i = 0; i < 20; i++)
        ck_assert_float_eq(test_data.memories[engine.answer.top_id[i] * D + D - 1], (float)(M - 1 - i));
    test_engine_fini(&engine);
}
END_TEST

/* The lightest of the support weigh less than an f32 score is off by. */
START_TEST(supports_are_not_those_of_f32_scores)
{
    enum { M = 6000, D = 8 };
    static const double alphas[] = {2, 1.5};
    const float query[D] = {1, 1, 1, 1, 1, 1, 1, 1e-7F};
    const double beta = 1000;
    shuffle_rows(M);
    for (size_t mu = 0; mu < M; mu++)
        test_data.values[mu] = (float)(mu % 2);
    test_start(&engine, M, D, 1, 0, 1);
    for (size_t i = 0; i < sizeof alphas / sizeof *alphas; i++) {
        hop_request request = test_request(beta, HOP_ENTMAX, (double)INFINITY);
        request.parameters.alpha = alphas[i];
        test_must_retrieve(&engine, &request, 1, query);
        ck_assert(oracle_entmax(&engine.oracle, beta, query, alphas[i], engine.truth));
        const double off = (double)oracle_distance(engine.truth, engine.answer.z), bound = engine.answer.error_bound[0];
        ck_assert_msg(off <= bound && bound < 1e-6, "alpha %g: off by %.3g, bound %.3g", alphas[i], off, bound);
    }
    test_engine_fini(&engine);
}
END_TEST

/* More candidates than any list holds: memories are walked again and again, and the answer is the same model's. */
START_TEST(supports_beyond_every_list_are_answered)
{
    enum { M = 540000 };
    static float memories[M], values[M];
    const float query[1] = {1};
    test_rng rng;
    test_rng_init(&rng, test_cases_seed, 55);
    for (size_t mu = 0; mu < M; mu++) {
        memories[mu] = (float)test_rng_between(&rng, -1, 1);
        values[mu] = (float)test_rng_normal(&rng);
    }
    hop_source source = {.M = M, .d = 1, .p = 1, .memories = memories, .values = values};
    ck_assert(test_engine_init(&engine, &source, 0, 1) == HOP_OK);
    hop_request request = test_request(1e-7, HOP_SPARSEMAX, (double)INFINITY);
    request.want = HOP_WANT_SUPPORT | HOP_WANT_TOP | HOP_WANT_ENERGY;
    request.top = 3;
    static const hop_mode sparse[] = {HOP_SPARSEMAX, HOP_ENTMAX};
    float z[2];
    for (size_t m = 0; m < 2; m++) {
        request.mode = sparse[m];
        request.parameters.alpha = 1.5;
        request.executor = NULL;
        test_must_retrieve(&engine, &request, 1, query);
        oracle_entmax(&engine.oracle, request.beta, query, m ? 1.5 : 2, engine.truth);
        ck_assert(oracle_distance(engine.truth, engine.answer.z) <= (long double)engine.answer.error_bound[0]);
        ck_assert_double_le(engine.answer.error_bound[0], 1e-6);
        ck_assert(oracle_energy_distance(engine.truth, engine.answer.energy[0]) <=
                  (long double)engine.answer.energy_bound[0]);
        ck_assert_double_eq_tol(engine.answer.support[0] / (double)engine.truth->support, 1, 1e-6);
        ck_assert_uint_eq(engine.answer.top_count[0], 3);
        ck_assert(memories[engine.answer.top_id[0]] >= memories[engine.answer.top_id[1]]);
        z[m] = engine.answer.z[0];
        request.executor = &test_on_threads;
        test_must_retrieve(&engine, &request, 1, query);
        ck_assert_mem_eq(&z[m], engine.answer.z, sizeof *z);
    }
    request.mode = HOP_TOP_K; /* more than one scan finds */
    request.beta = 1;
    request.want |= HOP_WANT_LOG_SUM_EXP;
    request.parameters.k = 300000;
    test_must_retrieve(&engine, &request, 1, query);
    ck_assert(test_engine_truth(&engine, 1, query));
    ck_assert(oracle_distance(engine.truth, engine.answer.z) <= (long double)engine.answer.error_bound[0]);
    float lightest = 1;
    size_t more = 0;
    static bool kept[M];
    ck_assert(test_engine_truth(&engine, 1, query));
    for (size_t mu = 0; mu < M; mu++)
        kept[mu] = memories[mu] > -0.1F; /* near the 300,000th */
    for (size_t mu = 0; mu < M; mu++)
        more += kept[mu];
    request.parameters.k = more;
    test_must_retrieve(&engine, &request, 1, query);
    oracle_softmax(&engine.oracle, 1, query, kept, engine.truth);
    ck_assert_double_eq_tol((double)engine.truth->z[0], (double)engine.answer.z[0], 1e-7);
    ck_assert(oracle_lse_distance(engine.truth, engine.answer.log_sum_exp[0]) <=
              (long double)engine.answer.log_sum_exp_bound[0]);
    for (size_t i = 0; i < 3; i++) {
        ck_assert(memories[engine.answer.top_id[i]] <= lightest);
        lightest = memories[engine.answer.top_id[i]];
    }
    test_engine_fini(&engine);
}
END_TEST

/* ---- bits -------------------------------------------------------------------------------------------- */

START_TEST(top_k_of_all_is_dense)
{
    enum { M = 70, D = 4, L = 3 };
    float x[L * D], z[L * D];
    test_start_normal(&engine, M, D, 1, 0, 0, L);
    test_fill_normal(x, L * D, 1, 0, 8);
    hop_request request = all_returns(HOP_DENSE, 1);
    request.max_error = 1e-5;
    test_must_retrieve(&engine, &request, L, x);
    memcpy(z, engine.answer.z, sizeof z);
    request.mode = HOP_TOP_K;
    for (size_t k = M; k < M + 2; k++) {
        request.parameters.k = k;
        test_must_retrieve(&engine, &request, L, x);
        ck_assert_mem_eq(z, engine.answer.z, sizeof z);
        ck_assert_uint_eq(engine.answer.top_count[0], M);
        test_must_hold(&engine, &request, L, x);
    }
    test_engine_fini(&engine);
}
END_TEST

START_TEST(entmax_of_2_is_sparsemax)
{
    enum { M = 300, D = 4, L = 5 };
    float x[L * D], z[L * D];
    test_start_normal(&engine, M, D, 1, 0, 0, L);
    test_fill_normal(x, L * D, 1, 0, 9);
    hop_request request = all_returns(HOP_SPARSEMAX, 0.5);
    test_must_retrieve(&engine, &request, L, x);
    memcpy(z, engine.answer.z, sizeof z);
    request.mode = HOP_ENTMAX;
    request.parameters.alpha = 2;
    test_must_retrieve(&engine, &request, L, x);
    ck_assert_mem_eq(z, engine.answer.z, sizeof z);
    test_engine_fini(&engine);
}
END_TEST

START_TEST(threads_do_not_change_bits)
{
    enum { M = 21000, D = 3, L = 5 };
    const hop_executor backwards = {.run = test_run_backwards, .width = 3};
    const hop_executor *executors[] = {NULL, &test_on_threads, &backwards};
    float x[L * D], z[L * D];
    double bound[L];
    test_start_normal(&engine, M, D, 1, 0, 0, L);
    test_fill_normal(x, L * D, 1, 0, 10);
    static const double betas[] = {1e-3, 1, 300, 1e4};
    for (size_t m = 0; m < MODES; m++) {
        for (size_t b = 0; b < 4; b++) {
            hop_request request = test_request(betas[b], modes[m], (double)INFINITY);
            request.parameters.alpha = 1.1;
            request.parameters.width = 15000;
            request.parameters.k = 50;
            for (size_t e = 0; e < 3; e++) {
                request.executor = executors[e];
                test_must_retrieve(&engine, &request, L, x);
                if (e == 0) {
                    memcpy(z, engine.answer.z, sizeof z);
                    memcpy(bound, engine.answer.error_bound, sizeof bound);
                }
                ck_assert_mem_eq(z, engine.answer.z, sizeof z);
                ck_assert_mem_eq(bound, engine.answer.error_bound, sizeof bound);
            }
        }
    }
    ck_assert_uint_gt(test_tasks_run(), 0);
    test_engine_fini(&engine);
}
END_TEST

/* ---- steps ------------------------------------------------------------------------------------------- */

START_TEST(steps_feed_answers_back)
{
    enum { M = 60, D = 4, L = 4, STEPS = 4 };
    float x[L * D], state[L * D];
    test_start_normal(&engine, M, D, 1, 0, 0, L);
    test_fill_normal(x, L * D, 1, 0, 11);
    for (size_t m = 0; m < MODES; m++) {
        hop_request request = all_returns(modes[m], 0.8);
        request.parameters.k = 6;
        request.parameters.keep = 0.4;
        request.want |= HOP_WANT_STEPS;
        memcpy(state, x, sizeof x);
        double largest[L] = {0}, support[L];
        for (size_t step = 0; step < STEPS; step++) {
            test_must_retrieve(&engine, &request, L, state);
            memcpy(state, engine.answer.z, sizeof state);
            for (size_t q = 0; q < L; q++) {
                largest[q] = fmax(largest[q], engine.answer.error_bound[q]);
                support[q] = engine.answer.support[q];
            }
        }
        request.steps = STEPS;
        test_must_retrieve(&engine, &request, L, x);
        ck_assert_mem_eq(state, engine.answer.z, sizeof state);
        for (size_t q = 0; q < L; q++) {
            ck_assert(engine.answer.error_bound[q] >= largest[q] && engine.answer.error_bound[q] <= largest[q]);
            ck_assert(engine.answer.support[q] >= support[q] && engine.answer.support[q] <= support[q]);
            ck_assert_uint_eq(engine.answer.steps[q], STEPS);
        }
        request.steps = HOP_STEPS_MAX;
        request.tolerance = 1e3;
        test_must_retrieve(&engine, &request, L, x);
        ck_assert_uint_eq(engine.answer.steps[0], 1);
    }
    test_engine_fini(&engine);
}
END_TEST

/* ---- predictions ------------------------------------------------------------------------------------- */

START_TEST(predictions_are_finite_and_grow_with_what_is_looked_at)
{
    enum { M = 5000, D = 8, L = 3 };
    float x[L * D];
    test_start_normal(&engine, M, D, 1, 0, 0, L);
    test_fill_normal(x, L * D, 1, 0, 13);
    for (hop_mode mode = HOP_TOP_K; mode < HOP_MODES; mode++) {
        for (double beta = 1e-300; beta < 1e299; beta *= 1e50) {
            hop_request request = test_request(beta, mode, (double)INFINITY);
            double seconds = hop_predict_seconds(engine.model, &request, L, x);
            double worst = hop_worst_seconds(engine.model, &request, L);
            ck_assert_msg(seconds > 0 && seconds <= worst * (1 + 1e-9) && worst < 100, "%s: %g, %g",
                          hop_mode_word(mode), seconds, worst);
        }
    }
    hop_request few = test_request(1, HOP_RANDOM_MASK, (double)INFINITY), many = few;
    many.parameters.keep = 1;
    ck_assert(hop_predict_seconds(engine.model, &few, L, x) < hop_predict_seconds(engine.model, &many, L, x));
    few.mode = many.mode = HOP_WINDOW;
    few.parameters.width = 3;
    many.parameters.width = 3000;
    ck_assert(hop_predict_seconds(engine.model, &few, L, x) < hop_predict_seconds(engine.model, &many, L, x));
    few.mode = HOP_TOP_K;
    few.parameters.k = M;
    many = test_request(1, HOP_DENSE, (double)INFINITY);
    double dense = hop_predict_seconds(engine.model, &many, L, x), top = hop_predict_seconds(engine.model, &few, L, x);
    ck_assert(top >= dense && top <= dense);
    test_engine_fini(&engine);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("structured modes by name");
    TCase *subsets = tcase_create("windows and masks");
    tcase_add_test(subsets, window_centres_round_half_up_for_all_sizes);
    tcase_add_test(subsets, windows_are_as_wide_as_the_root_and_cut_at_the_ends);
    tcase_add_test(subsets, windows_belong_to_the_request);
    tcase_add_test(subsets, masks_are_the_same_everywhere);
    tcase_add_test(subsets, a_mask_is_never_empty);
    suite_add_tcase(suite, subsets);
    TCase *refusals = tcase_create("refusals");
    tcase_add_test(refusals, parameters_are_checked_by_name);
    tcase_add_test(refusals, returns_without_a_meaning_are_refused);
    tcase_add_test(refusals, promises_need_something_to_be_measured_against);
    tcase_add_test(refusals, scores_beyond_f64_are_not_answered_silently);
    suite_add_tcase(suite, refusals);
    TCase *mistakes = tcase_create("mistakes");
    tcase_add_test(mistakes, what_is_left_out_weighs_nothing_not_e_to_the_0);
    tcase_add_test(mistakes, kept_logits_are_not_scaled);
    tcase_add_test(mistakes, keep_is_what_is_kept);
    tcase_add_test(mistakes, sparsemax_is_not_softmax);
    tcase_add_test(mistakes, beta_is_inside);
    tcase_add_test(mistakes, scores_are_not_normalised);
    suite_add_tcase(suite, mistakes);
    TCase *lists = tcase_create("lists");
    tcase_add_test(lists, ties_go_to_the_lower_id);
    tcase_add_test(lists, differences_below_f32_are_seen);
    tcase_add_test(lists, the_order_is_not_that_of_f32_scores);
    tcase_add_test(lists, supports_are_not_those_of_f32_scores);
    tcase_add_test(lists, supports_beyond_every_list_are_answered);
    suite_add_tcase(suite, lists);
    TCase *bits = tcase_create("bits");
    tcase_add_test(bits, top_k_of_all_is_dense);
    tcase_add_test(bits, entmax_of_2_is_sparsemax);
    tcase_add_test(bits, threads_do_not_change_bits);
    tcase_add_test(bits, steps_feed_answers_back);
    tcase_add_test(bits, predictions_are_finite_and_grow_with_what_is_looked_at);
    suite_add_tcase(suite, bits);
    return suite;
}

int main(int argc, char **argv)
{
    test_cases_seed = test_seed(test_cases_seed);
    return hop_check_main(argc, argv, make);
}
