/*
 * test_returns.c - what comes beside z: steps, the heaviest memories, support, weights, energies and plans.
 */
#include "support/cases.h"
#include "support/check_main.h"
#include "support/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- steps ------------------------------------------------------------------------------------------- */

/* `steps` steps at once are as many single steps by hand, bit for bit; the bound is the largest over them. */
static void steps_case(hop_mode mode, hop_similarity similarity, double beta, double max_error)
{
    enum { M = 80, d = 6, L = 3, STEPS = 5 };
    test_engine engine;
    float x[L * d], state[L * d], z[L * d];
    double bound[L], largest[L] = {0};
    test_fill_normal(test_data.memories, M * d, 1, 0.5, 30);
    test_fill_normal(x, L * d, 1, 0.5, 31);
    hop_source source = {.M = M, .d = d, .memories = test_data.memories, .similarity = similarity};
    ck_assert(test_engine_init(&engine, &source, 4, L) == HOP_OK);
    hop_request request = test_best_effort(beta, mode, max_error);
    request.want |= HOP_WANT_STEPS;
    request.steps = STEPS;
    test_must_retrieve(&engine, &request, L, x);
    memcpy(z, engine.answer.z, sizeof z);
    memcpy(bound, engine.answer.error_bound, sizeof bound);
    double lse = engine.answer.log_sum_exp[0], energy = engine.answer.energy[0];
    for (size_t q = 0; q < L; q++)
        ck_assert_uint_eq(engine.answer.steps[q], STEPS);
    memcpy(state, x, sizeof state);
    request.steps = 1;
    for (size_t step = 0; step < STEPS; step++) {
        test_must_retrieve(&engine, &request, L, state);
        test_must_hold(&engine, &request, L, state);
        for (size_t q = 0; q < L; q++)
            largest[q] = fmax(largest[q], engine.answer.error_bound[q]);
        memcpy(state, engine.answer.z, sizeof state);
    }
    ck_assert_mem_eq(z, state, sizeof z);
    ck_assert_mem_eq(bound, largest, sizeof bound);
    /* Energies are those of the state before the last step. */
    ck_assert(lse >= engine.answer.log_sum_exp[0] && lse <= engine.answer.log_sum_exp[0]);
    ck_assert(energy >= engine.answer.energy[0] && energy <= engine.answer.energy[0]);
    test_engine_fini(&engine);
}

START_TEST(many_steps_are_single_steps)
{
    steps_case(HOP_DENSE, HOP_DOT, 0.7, (double)INFINITY);
    steps_case(HOP_DENSE, HOP_CENTERED_COSINE, 4, 1e-6);
    steps_case(HOP_ALMOST_LINEAR, HOP_DOT, 0.1, 1e-2);
    steps_case(HOP_ALMOST_LINEAR, HOP_COSINE, 1, 1e-3);
    steps_case(HOP_AUTO, HOP_DOT, 0.2, 1e-3);
}
END_TEST

/* A row stops when it changes by less than the tolerance; others go on. */
START_TEST(a_row_stops_where_it_no_longer_moves)
{
    enum { M = 40, d = 8, L = 2 };
    test_engine engine;
    float x[L * d];
    test_start_normal(&engine, M, d, 1, 0, 0, L);
    memcpy(x, test_data.memories, d * sizeof *x); /* one row starts at a memory, which attracts at this beta */
    for (size_t l = 0; l < d; l++)
        x[d + l] = (test_data.memories[d + l] + test_data.memories[2 * d + l]) / 2;
    hop_request request = test_request(5, HOP_DENSE, (double)INFINITY);
    request.want = HOP_WANT_STEPS;
    request.steps = HOP_STEPS_MAX;
    request.tolerance = 1e-4;
    test_must_retrieve(&engine, &request, L, x);
    ck_assert_uint_le(engine.answer.steps[0], 3);
    for (size_t q = 0; q < L; q++) {
        ck_assert_uint_ge(engine.answer.steps[q], 1);
        ck_assert_uint_le(engine.answer.steps[q], HOP_STEPS_MAX);
    }
    float z[L * d];
    memcpy(z, engine.answer.z, sizeof z);
    request.steps = 1;
    request.tolerance = 0;
    test_must_retrieve(&engine, &request, L, z);
    for (size_t i = 0; i < d; i++)
        ck_assert_double_le(fabs((double)z[i] - (double)engine.answer.z[i]), 2e-4);
    test_engine_fini(&engine);
}
END_TEST

/* ---- top, support, weights ----------------------------------------------------------------------------- */

static void weights_case(size_t M, double beta, hop_mode mode)
{
    enum { d = 5, L = 3 };
    test_engine engine;
    float x[L * d];
    test_start_normal(&engine, M, d, 1, 0, mode == HOP_AUTO ? 3 : 0, L);
    test_fill_normal(x, L * d, 1, 0, 33);
    size_t top = M < 7 ? M : 7;
    hop_request request = test_request(beta, mode, (double)INFINITY);
    request.want = HOP_WANT_TOP | HOP_WANT_SUPPORT | HOP_WANT_WEIGHTS;
    request.top = top;
    test_must_retrieve(&engine, &request, L, x);
    test_must_hold(&engine, &request, L, x);
    const hop_answer *answer = &engine.answer;
    for (size_t q = 0; q < L; q++) {
        ck_assert(test_engine_truth(&engine, beta, x + q * d));
        const long double *p = engine.truth->weight;
        double sum = 0;
        for (size_t mu = 0; mu < M; mu++) {
            sum += (double)answer->weights[q * M + mu];
            ck_assert_double_le(fabs((double)answer->weights[q * M + mu] - (double)p[mu]),
                                1e-6 * (double)p[mu] + 1e-37);
        }
        ck_assert_double_le(fabs(sum - 1), 1e-5);
        ck_assert_double_le(fabs(answer->support[q] / (double)engine.truth->support - 1), 1e-9);
        for (size_t k = 0; k < top; k++) {
            uint64_t id = answer->top_id[q * top + k];
            ck_assert_uint_lt(id, M);
            ck_assert_double_le(fabs(answer->top_weight[q * top + k] / (double)p[id] - 1), 1e-9);
            size_t heavier = 0;
            for (size_t mu = 0; mu < M; mu++)
                heavier += p[mu] > p[id];
            ck_assert_uint_eq(heavier, k);
        }
    }
    test_engine_fini(&engine);
}

START_TEST(weights_are_the_softmax)
{
    weights_case(1, 1, HOP_DENSE);
    weights_case(5, 1, HOP_DENSE);
    weights_case(64, 0.1, HOP_AUTO);
    weights_case(65, 3, HOP_DENSE);
    weights_case(300, 1, HOP_AUTO);
    weights_case(300, 10, HOP_DENSE);
}
END_TEST

START_TEST(ties_go_to_the_lower_id)
{
    enum { M = 200, d = 2, TOP = 150 };
    test_engine engine;
    for (size_t mu = 0; mu < M; mu++) {
        test_data.memories[mu * d] = (float)(mu % 3);
        test_data.memories[mu * d + 1] = (float)mu;
    }
    test_start(&engine, M, d, 0, 0, 1);
    const float x[d] = {1, 0};
    hop_request request = test_request(1, HOP_DENSE, (double)INFINITY);
    request.want = HOP_WANT_TOP;
    request.top = TOP;
    test_must_retrieve(&engine, &request, 1, x);
    for (size_t k = 1; k < TOP; k++) {
        uint64_t before = engine.answer.top_id[k - 1], id = engine.answer.top_id[k];
        ck_assert_msg(before % 3 > id % 3 || (before % 3 == id % 3 && before < id), "place %zu: %llu after %llu", k,
                      (unsigned long long)id, (unsigned long long)before);
    }
    test_engine_fini(&engine);
}
END_TEST

START_TEST(scores_are_refused_by_almost_linear)
{
    test_engine engine;
    test_start_normal(&engine, 50, 3, 1, 0, 3, 1);
    const float x[3] = {0.1f, 0, 0};
    static const unsigned wants[] = {HOP_WANT_TOP, HOP_WANT_SUPPORT, HOP_WANT_WEIGHTS};
    for (size_t i = 0; i < 3; i++) {
        hop_request request = test_best_effort(0.1, HOP_ALMOST_LINEAR, (double)INFINITY);
        request.want = wants[i];
        request.top = 1;
        ck_assert(test_engine_retrieve(&engine, &request, 1, x) == HOP_E_DOMAIN);
        ck_assert(engine.error.text[0]);
    }
    test_engine_fini(&engine);
}
END_TEST

/* ---- energy ------------------------------------------------------------------------------------------ */

/* hop_energy() agrees with what hop_retrieve() reports, within both bounds, and E = |x|^2/2 - lse. */
START_TEST(energy_alone_agrees)
{
    enum { M = 150, d = 4, L = 5 };
    test_engine engine;
    float x[L * d];
    test_start_normal(&engine, M, d, 0.5, 0, 6, L);
    test_fill_normal(x, L * d, 1, 0, 34);
    static const hop_mode modes[] = {HOP_AUTO, HOP_DENSE, HOP_ALMOST_LINEAR};
    for (size_t i = 0; i < 3; i++) {
        double lse[L], lse_bound[L];
        hop_request request = test_best_effort(0.3, modes[i], 1e-4);
        test_must_retrieve(&engine, &request, L, x);
        memcpy(lse, engine.answer.log_sum_exp, sizeof lse);
        memcpy(lse_bound, engine.answer.log_sum_exp_bound, sizeof lse_bound);
        hop_status status = test_engine_energy(&engine, &request, L, x);
        ck_assert_msg(status == HOP_OK, "%s", engine.error.text);
        for (size_t q = 0; q < L; q++) {
            ck_assert_double_le(fabs(lse[q] - engine.answer.log_sum_exp[q]),
                                lse_bound[q] + engine.answer.log_sum_exp_bound[q]);
            double square = 0;
            for (size_t l = 0; l < d; l++)
                square += (double)x[q * d + l] * (double)x[q * d + l];
            ck_assert_double_le(fabs(engine.answer.energy[q] + engine.answer.log_sum_exp[q] - square / 2), 1e-12);
        }
    }
    test_engine_fini(&engine);
}
END_TEST

/* The max_error of hop_energy() is in the energy's unit and is kept, or refused. */
START_TEST(energy_meets_its_tolerance)
{
    enum { M = 150, d = 4 };
    test_engine engine;
    float x[d];
    test_start_normal(&engine, M, d, 0.5, 0, 6, 1);
    test_fill_normal(x, d, 1, 0, 35);
    int met = 0;
    for (double max_error = 1; max_error > 1e-11; max_error /= 10) {
        hop_request request = test_request(0.3, HOP_AUTO, max_error);
        ck_assert(test_engine_energy(&engine, &request, 1, x) == HOP_OK);
        ck_assert_double_le(engine.answer.log_sum_exp_bound[0], max_error);
        ck_assert_double_le(engine.answer.energy_bound[0], max_error);
        ck_assert(test_engine_truth(&engine, 0.3, x));
        ck_assert(oracle_lse_distance(engine.truth, engine.answer.log_sum_exp[0]) <=
                  (long double)engine.answer.log_sum_exp_bound[0]);
        met++;
    }
    ck_assert_int_ge(met, 11);
    hop_request request = test_request(0.3, HOP_AUTO, 1e-30);
    ck_assert(test_engine_energy(&engine, &request, 1, x) == HOP_E_UNMET);
    ck_assert_int_eq(engine.error.row, 0);
    test_engine_fini(&engine);
}
END_TEST

/* ---- plans ------------------------------------------------------------------------------------------- */

START_TEST(plans_say_what_auto_would_do)
{
    enum { M = 4096, d = 2, L = 2 };
    test_engine engine;
    test_start_normal(&engine, M, d, 0.5, 0, 4, L);
    const float x[L * d] = {0.1f, 0.2f, 300, -200};
    hop_request request = test_request(0.5, HOP_AUTO, 1e-3);
    hop_plan plans[L];
    hop_error error = HOP_ERROR_NONE;
    ck_assert(hop_plan_queries(engine.model, &request, L, x, engine.workspace, engine.workspace_bytes, plans, &error) ==
              HOP_OK);
    test_must_retrieve(&engine, &request, L, x);
    for (size_t q = 0; q < L; q++) {
        const hop_plan *plan = &plans[q];
        ck_assert_int_eq(plan->degree == 0, engine.answer.degree[q] == 0);
        ck_assert(plan->mode == (plan->degree ? HOP_ALMOST_LINEAR : HOP_DENSE));
        ck_assert((plan->fallback == HOP_FALLBACK_NONE) == (plan->degree > 0));
        ck_assert_uint_ge(plan->n, 1);
        ck_assert_uint_le(plan->n, HOP_PLAN_CANDIDATES);
        ck_assert_int_eq(plan->candidates[0].degree, 0);
        ck_assert(plan->predicted_seconds > 0 && isfinite(plan->predicted_seconds));
        for (size_t i = 0; i < plan->n; i++)
            ck_assert(plan->candidates[i].meets == (plan->candidates[i].predicted_bound <= request.max_error));
        ck_assert(test_engine_truth(&engine, request.beta, x + q * d));
        ck_assert(engine.truth->radius <= (long double)plan->radius);
    }
    ck_assert_int_gt(plans[0].degree, 0);
    ck_assert_int_eq(plans[1].degree, 0);
    double seconds = hop_predict_seconds(engine.model, &request, L, x);
    ck_assert(seconds > 0 && isfinite(seconds));
    ck_assert(hop_worst_seconds(engine.model, &request, L) >= seconds);
    request.steps = 10; /* auto may run dense from the second step on, wherever the first one starts */
    ck_assert(hop_predict_seconds(engine.model, &request, L, x) > seconds);
    ck_assert(hop_worst_seconds(engine.model, &request, L) >= hop_predict_seconds(engine.model, &request, L, x));
    test_engine_fini(&engine);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("returns");
    TCase *steps = tcase_create("steps");
    tcase_add_test(steps, many_steps_are_single_steps);
    tcase_add_test(steps, a_row_stops_where_it_no_longer_moves);
    suite_add_tcase(suite, steps);
    TCase *weights = tcase_create("weights");
    tcase_add_test(weights, weights_are_the_softmax);
    tcase_add_test(weights, ties_go_to_the_lower_id);
    tcase_add_test(weights, scores_are_refused_by_almost_linear);
    suite_add_tcase(suite, weights);
    TCase *energy = tcase_create("energy");
    tcase_add_test(energy, energy_alone_agrees);
    tcase_add_test(energy, energy_meets_its_tolerance);
    suite_add_tcase(suite, energy);
    TCase *plans = tcase_create("plans");
    tcase_add_test(plans, plans_say_what_auto_would_do);
    suite_add_tcase(suite, plans);
    return suite;
}

int main(int argc, char **argv)
{
    test_cases_seed = test_seed(test_cases_seed);
    return hop_check_main(argc, argv, make);
}
