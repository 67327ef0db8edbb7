/*
 * test_plan.c - the cost model and its calibration, and that a plan says what a retrieval then does. How long anything
 * takes is not asserted.
 */
#include "support/cases.h"
#include "support/check_main.h"
#include "support/rng.h"

#include "core/almost_linear.h"
#include "core/alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- costs ----------------------------------------------------------------------------------------------- */

START_TEST(costs_can_be_set_and_taken_back)
{
    hop_costs built_in, costs, now;
    hop_error error = HOP_ERROR_NONE;
    hop_costs_built_in(&built_in);
    for (int i = 0; i < HOP_COSTS; i++) {
        ck_assert(built_in.seconds[i] > 0 && built_in.seconds[i] < 1e-5);
        costs.seconds[i] = 1e-9 * (i + 1);
        ck_assert_ptr_nonnull(hop_cost_word((hop_cost)i));
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(hop_cost_word((hop_cost)i), hop_cost_word((hop_cost)j));
    }
    ck_assert(hop_costs_set(&costs, &error) == HOP_OK);
    hop_costs_get(&now);
    ck_assert_mem_eq(&now, &costs, sizeof now);
    static const double wrong[] = {0, -1e-9, 1, (double)NAN, (double)INFINITY};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        hop_costs bad = costs;
        error = HOP_ERROR_NONE;
        bad.seconds[i] = wrong[i];
        ck_assert(hop_costs_set(&bad, &error) == HOP_E_DOMAIN);
        ck_assert_ptr_nonnull(strstr(error.text, hop_cost_word((hop_cost)i)));
        hop_costs_get(&now);
        ck_assert_mem_eq(&now, &costs, sizeof now);
    }
    ck_assert(hop_costs_set(NULL, NULL) == HOP_OK);
    hop_costs_get(&now);
    ck_assert_mem_eq(&now, &built_in, sizeof now);
}
END_TEST

/* ---- calibration ----------------------------------------------------------------------------------------- */

static double real_seconds(void *context)
{
    struct timespec now;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A clock that goes on by *step at every look. */
typedef struct ticks {
    double now, step;
} ticks;

static double tick(void *context)
{
    ticks *t = context;
    return t->now += t->step;
}

START_TEST(a_calibration_fits_the_machine_or_says_why_not)
{
    hop_clock clock = {.seconds = real_seconds};
    hop_costs costs, before, after;
    hop_error error = HOP_ERROR_NONE;
    double misfit = 0;
    hop_costs_get(&before);
    hop_status status = hop_calibrate(&clock, &costs, &misfit, &error);
    hop_costs_get(&after);
    ck_assert_mem_eq(&before, &after, sizeof before); /* measuring sets nothing */
    if (status == HOP_OK) {
        ck_assert(misfit >= 1 && misfit <= 8);
        ck_assert(hop_costs_set(&costs, &error) == HOP_OK);
        ck_assert(hop_costs_set(NULL, &error) == HOP_OK);
    } else { /* a machine too slow or too busy, as under a sanitizer */
        ck_assert_msg(status == HOP_E_DOMAIN && error.text[0], "%s: %s", hop_status_word(status), error.text);
    }
}
END_TEST

START_TEST(a_clock_that_makes_no_sense_is_refused)
{
    static const double steps[] = {0, -1e-6, 2, (double)NAN};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        ticks at = {.step = steps[i]};
        hop_clock clock = {.seconds = tick, .context = &at};
        hop_costs costs;
        hop_error error = HOP_ERROR_NONE;
        ck_assert_msg(hop_calibrate(&clock, &costs, NULL, &error) == HOP_E_DOMAIN, "steps of %g s", steps[i]);
        ck_assert_ptr_nonnull(error.text);
    }
}
END_TEST

static size_t granted, asked;

static bool grant_some(size_t bytes)
{
    (void)bytes;
    return asked++ < granted;
}

/* Time goes so fast that the first trial ends it, so that the many runs of this test are short. */
START_TEST(a_calibration_that_runs_out_of_memory_says_so)
{
    for (granted = 0; granted < 25; granted++) {
        ticks at = {.step = 2};
        hop_clock clock = {.seconds = tick, .context = &at};
        hop_costs costs;
        hop_error error = HOP_ERROR_NONE;
        asked = 0;
        hop_alloc_set_gate(grant_some);
        hop_status status = hop_calibrate(&clock, &costs, NULL, &error);
        hop_alloc_set_gate(NULL);
        if (asked <= granted) {
            ck_assert(status == HOP_E_DOMAIN);
            return;
        }
        ck_assert_msg(status == HOP_E_NOMEM, "after %zu: %s", granted, error.text);
    }
    ck_abort_msg("no end of allocations");
}
END_TEST

/* ---- plans ----------------------------------------------------------------------------------------------- */

static void plan_for(test_engine *engine, const hop_request *request, size_t L, const float *x, hop_plan *plans)
{
    hop_error error = HOP_ERROR_NONE;
    ck_assert_msg(hop_plan_queries(engine->model, request, L, x, engine->workspace, engine->workspace_bytes, plans,
                                   &error) == HOP_OK,
                  "%s", error.text);
}

/* One is chosen, it is the cheapest that may be, and every reason is what the numbers say. */
static void check_reasons(const hop_plan *plan, double max_error)
{
    const hop_candidate *chosen = NULL;
    for (size_t i = 0; i < plan->n; i++) {
        if (plan->candidates[i].reason == HOP_REASON_CHOSEN) {
            ck_assert_ptr_null(chosen);
            chosen = &plan->candidates[i];
        }
    }
    ck_assert_ptr_nonnull(chosen);
    ck_assert_int_eq(chosen->degree, plan->degree);
    ck_assert_double_eq(chosen->predicted_seconds, plan->predicted_seconds);
    ck_assert(plan->mode == (plan->degree ? HOP_ALMOST_LINEAR : HOP_DENSE));
    ck_assert((plan->fallback == HOP_FALLBACK_NONE) == (plan->degree > 0));
    ck_assert(plan->n >= 1 && plan->n <= HOP_PLAN_CANDIDATES && plan->candidates[0].degree == 0);
    for (size_t i = 0; i < plan->n; i++) {
        const hop_candidate *at = &plan->candidates[i];
        ck_assert_ptr_nonnull(hop_reason_word(at->reason));
        ck_assert(at->predicted_seconds > 0 && at->predicted_bound >= 0);
        ck_assert(at->meets == (at->predicted_bound <= max_error));
        switch (at->reason) {
        case HOP_REASON_CHOSEN:
            break;
        case HOP_REASON_BOUND:
            ck_assert(!at->meets);
            break;
        case HOP_REASON_COST:
            /* a degree may be the cheaper one, but not worth its risk */
            ck_assert(at->meets && (at->predicted_seconds >= chosen->predicted_seconds || chosen->degree == 0));
            ck_assert(at->degree > 0 || at->predicted_seconds >= chosen->predicted_seconds);
            break;
        case HOP_REASON_RADIUS:
        case HOP_REASON_RETURN:
            ck_assert(at->degree > 0 && chosen->degree == 0);
            break;
        case HOP_REASON_NO_MAPS:
        case HOP_REASON_MAX_DEGREE:
            ck_assert(at->meets && at->predicted_seconds < chosen->predicted_seconds && chosen->degree == 0);
            break;
        }
    }
}

static const hop_candidate *find(const hop_plan *plan, hop_reason reason)
{
    for (size_t i = 0; i < plan->n; i++)
        if (plan->candidates[i].reason == reason)
            return &plan->candidates[i];
    return NULL;
}

START_TEST(every_reason_is_given_where_it_belongs)
{
    enum { M = 8192, d = 4, L = 9 };
    test_engine engine;
    float x[L * d];
    hop_plan plans[L];
    test_start_normal(&engine, M, d, 0.3, 0, 3, L);
    test_fill_normal(x, L * d, 0.3, 0, 71);
    hop_request request = test_request(0.5, HOP_AUTO, 1e-2);
    plan_for(&engine, &request, L, x, plans);
    for (size_t q = 0; q < L; q++) {
        check_reasons(&plans[q], 1e-2);
        ck_assert_int_gt(plans[q].degree, 0);
        ck_assert_ptr_nonnull(find(&plans[q], HOP_REASON_COST));
    }
    /* Only a degree that the maps have not got would do. */
    request.max_error = 1e-5;
    plan_for(&engine, &request, L, x, plans);
    size_t wanting = 0;
    for (size_t q = 0; q < L; q++) {
        check_reasons(&plans[q], 1e-5);
        const hop_candidate *more = find(&plans[q], HOP_REASON_MAX_DEGREE);
        wanting += more && more->degree > 3 && plans[q].fallback == HOP_FALLBACK_BOUND;
    }
    ck_assert_uint_gt(wanting, 0);
    /* Below what f32 can promise dense is f64, and says so. */
    request.max_error = 1e-8;
    plan_for(&engine, &request, 1, x, plans);
    check_reasons(plans, 1e-8);
    ck_assert(!plans[0].candidates[0].f64 && plans[0].candidates[0].reason == HOP_REASON_BOUND);
    ck_assert(plans[0].candidates[1].degree == 0 && plans[0].candidates[1].f64);
    ck_assert_double_gt(plans[0].candidates[1].predicted_seconds, plans[0].candidates[0].predicted_seconds);

    request = test_request(0.5, HOP_AUTO, 1e-2);
    request.want = HOP_WANT_TOP;
    request.top = 1;
    plan_for(&engine, &request, 1, x, plans);
    check_reasons(plans, 1e-2);
    ck_assert_ptr_nonnull(find(plans, HOP_REASON_RETURN));
    ck_assert(plans[0].fallback == HOP_FALLBACK_RETURN);

    request = test_request(5000, HOP_AUTO, 1e-2);
    plan_for(&engine, &request, 1, x, plans);
    check_reasons(plans, 1e-2);
    ck_assert_ptr_nonnull(find(plans, HOP_REASON_RADIUS));
    test_engine_fini(&engine);

    test_start_normal(&engine, M, d, 0.3, 0, 0, L);
    request = test_request(0.5, HOP_AUTO, 1e-2);
    plan_for(&engine, &request, L, x, plans);
    check_reasons(plans, 1e-2);
    ck_assert_ptr_nonnull(find(plans, HOP_REASON_NO_MAPS));
    ck_assert(plans[0].fallback == HOP_FALLBACK_BUILDING);
    test_engine_fini(&engine);
}
END_TEST

/* A query alone shares no pass and no group of lanes: nothing is predicted cheaper for it than in company. */
START_TEST(company_is_cheaper)
{
    enum { M = 2000, d = 6, L = 64 };
    test_engine engine;
    static float x[L * d];
    static hop_plan alone[1], together[L];
    test_start_normal(&engine, M, d, 0.3, 0, 4, L);
    test_fill_normal(x, L * d, 0.3, 0, 72);
    hop_request request = test_request(0.5, HOP_AUTO, 1e-9);
    plan_for(&engine, &request, 1, x, alone);
    plan_for(&engine, &request, L, x, together);
    for (size_t i = 0; i < alone->n && i < together->n; i++)
        ck_assert(alone->candidates[i].predicted_seconds > together->candidates[i].predicted_seconds);
    ck_assert(hop_predict_seconds(engine.model, &request, 1, x) * L >
              hop_predict_seconds(engine.model, &request, L, x));
    test_engine_fini(&engine);
}
END_TEST

/* What one kind of set adds to the count. */
typedef struct agreement {
    size_t rows, modes, near, exact;
} agreement;

static void compare(size_t M, size_t d, size_t p, double scale, double beta, double max_error, unsigned degree,
                    agreement *out)
{
    enum { L = 24 };
    test_engine engine;
    static float x[L * 32];
    static hop_plan plans[L];
    test_fill_normal(test_data.memories, M * d, scale, 0, M * 100 + d);
    test_fill_normal(test_data.values, M * (p ? p : 1), 1, 0, M * 101 + p);
    test_fill_normal(x, L * d, 1, 0, 73);
    for (size_t q = 0; q < L; q++) /* from easy to hard */
        for (size_t l = 0; l < d; l++)
            x[q * d + l] *= (float)(0.1 * pow(1.3, (double)q));
    test_start(&engine, M, d, p, degree, L);
    hop_request request = test_request(beta, HOP_AUTO, max_error);
    request.best_effort = true;
    plan_for(&engine, &request, L, x, plans);
    test_must_retrieve(&engine, &request, L, x);
    for (size_t q = 0; q < L; q++) {
        check_reasons(&plans[q], max_error);
        int planned = plans[q].degree, run = engine.answer.degree[q];
        out->rows++;
        out->modes += (planned > 0) == (run > 0);
        out->near += (planned > 0) == (run > 0) && abs(planned - run) <= 1;
        out->exact += planned == run;
    }
    test_engine_fini(&engine);
}

START_TEST(plans_are_what_retrieval_does)
{
    agreement total = {0};
    static const size_t shapes[][2] = {{30000, 2}, {16000, 4}, {8000, 8}, {4000, 16}, {2000, 32}};
    static const double errors[] = {1e-1, 1e-2, 1e-3, 1e-4};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
            size_t M = shapes[s][0], d = shapes[s][1];
            compare(M, d, 0, 0.5, 1 / sqrt((double)d), errors[e], d < 5 ? 8 : d < 10 ? 5 : 3, &total);
            compare(M / 2, d, 3, 0.5, 0.5 / (double)d, errors[e], d < 10 ? 5 : 3, &total);
        }
    }
    printf("# %zu rows: the plan's mode for %zu, its degree within one for %zu, its very degree for %zu\n", total.rows,
           total.modes, total.near, total.exact);
    ck_assert_uint_ge(total.modes * 10, total.rows * 9);
    ck_assert_uint_ge(total.near * 10, total.rows * 8);
    ck_assert_uint_ge(total.exact * 10, total.rows * 6);
}
END_TEST

/* A choice may depend on the company, a promise may not. */
START_TEST(answers_agree_in_any_batch)
{
    enum { M = 3000, d = 6, L = 37 };
    test_engine engine;
    static float x[L * d], z[L * d];
    double bound[L];
    test_start_normal(&engine, M, d, 0.4, 0, 4, L);
    test_fill_normal(x, L * d, 1, 0, 74);
    hop_request request = test_request(0.2, HOP_AUTO, 1e-3);
    test_must_retrieve(&engine, &request, L, x);
    memcpy(z, engine.answer.z, sizeof z);
    memcpy(bound, engine.answer.error_bound, sizeof bound);
    static const size_t cuts[] = {1, 2, 7, 8, 9, 31};
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
        for (size_t from = 0; from < L; from += cuts[c]) {
            size_t n = from + cuts[c] < L ? cuts[c] : L - from;
            test_must_retrieve(&engine, &request, n, x + from * d);
            for (size_t i = 0; i < n * d; i++) {
                double allowed = (bound[from + i / d] + engine.answer.error_bound[i / d]) * (1 + 1e-9);
                ck_assert_double_le(fabs((double)engine.answer.z[i] - (double)z[from * d + i]), allowed);
            }
        }
    }
    test_engine_fini(&engine);
}
END_TEST

/* Costs as measured, in round figures; `sweeps` times that for all of almost-linear, in whatever form. */
static void set_costs(double sweeps)
{
    static const hop_costs measured = {{[HOP_COST_ROW] = 1e-8,
                                        [HOP_COST_NUMBER] = 2.4e-9,
                                        [HOP_COST_PAIR] = 2.9e-10,
                                        [HOP_COST_MADD] = 7.9e-12,
                                        [HOP_COST_PASS_PAIR] = 6e-12,
                                        [HOP_COST_PASS_NUMBER] = 5e-11,
                                        [HOP_COST_STREAM] = 5.7e-11,
                                        [HOP_COST_SHIFT] = 1.1e-11,
                                        [HOP_COST_F64_PAIR] = 4.9e-10,
                                        [HOP_COST_F64_MADD] = 2.6e-11,
                                        [HOP_COST_F64_PASS_NUMBER] = 5.3e-10,
                                        [HOP_COST_SCORE] = 4.6e-9,
                                        [HOP_COST_DEGREE] = 2.2e-7,
                                        [HOP_COST_VARIABLE] = 4.9e-9,
                                        [HOP_COST_PRODUCT] = 2.8e-11,
                                        [HOP_COST_PRODUCT_PASS] = 4e-12,
                                        [HOP_COST_BUILD] = 6e-11}};
    hop_costs costs = measured;
    for (int i = HOP_COST_LANES_F32_COEFFICIENT; i <= HOP_COST_ONE_F64_FAR_MONOMIAL; i++)
        costs.seconds[i] = (i - HOP_COST_LANES_F32_COEFFICIENT) % 2 ? 3e-9 : 4e-10;
    for (int i = HOP_COST_DEGREE; i <= HOP_COST_ONE_F64_FAR_MONOMIAL; i++)
        costs.seconds[i] *= sweeps;
    ck_assert(hop_costs_set(&costs, NULL) == HOP_OK);
}

/* What almost_linear does is what a fallback's word is about. */
static void check_words(test_engine *engine, hop_request request, size_t L, const float *x, const hop_plan *plans,
                        hop_fallback word)
{
    enum { MOST = 64 };
    int degree[MOST];
    hop_fallback fallback[MOST];
    ck_assert_uint_le(L, MOST);
    memcpy(degree, engine->answer.degree, L * sizeof *degree);
    memcpy(fallback, engine->answer.fallback, L * sizeof *fallback);
    request.mode = HOP_ALMOST_LINEAR;
    request.best_effort = true;
    test_must_retrieve(engine, &request, L, x);
    for (size_t q = 0; q < L; q++) {
        bool meets = engine->answer.degree[q] > 0 && engine->answer.error_bound[q] <= request.max_error;
        ck_assert_msg(degree[q] > 0 || fallback[q] == word, "row %zu: plan %d, fallback %s", q, plans[q].degree,
                      hop_fallback_word(fallback[q]));
        ck_assert(degree[q] > 0 || meets == (word == HOP_FALLBACK_COST));
    }
}

/* Where only f64 would do, degrees compete with dense in f64, however cheap f32 is. */
START_TEST(degrees_compete_with_the_dense_pass_that_would_do)
{
    enum { M = 2000, d = 8, L = 6 };
    static const double betas[] = {0.1, 0.02};
    test_engine engine;
    hop_plan plans[L];
    test_start_normal(&engine, M, d, 1, 0, 6, L);
    for (size_t i = 0; i < sizeof betas / sizeof *betas; i++) {
        const float *x = test_data.memories;
        hop_request request = test_request(betas[i], HOP_AUTO, 1e-5);
        size_t between = 0;
        for (double sweeps = 0x1p-6; sweeps < 64; sweeps *= 1.25) {
            set_costs(sweeps);
            plan_for(&engine, &request, L, x, plans);
            test_must_retrieve(&engine, &request, L, x);
            for (size_t q = 0; q < L; q++) {
                const hop_candidate *dense = plans[q].candidates;
                ck_assert(!dense[0].f64 && !dense[0].meets && dense[1].f64 && dense[1].meets);
                if (plans[q].degree == 0)
                    continue;
                between += dense[0].predicted_seconds < plans[q].predicted_seconds;
                ck_assert_msg(engine.answer.degree[q] > 0 && abs(engine.answer.degree[q] - plans[q].degree) <= 1,
                              "beta %g, sweeps %g, row %zu: plan %d, auto %d", betas[i], sweeps, q, plans[q].degree,
                              engine.answer.degree[q]);
                ck_assert(engine.answer.fallback[q] == HOP_FALLBACK_NONE);
            }
        }
        ck_assert_uint_gt(between, L); /* else this tests nothing */
    }
    ck_assert(hop_costs_set(NULL, NULL) == HOP_OK);
    test_engine_fini(&engine);
}
END_TEST

START_TEST(a_fallback_says_whether_a_degree_would_have_met)
{
    enum { M = 2000, d = 8, L = 6 };
    static const struct {
        double beta, sweeps;
        hop_fallback word;
    } cases[] = {{0.1, 50, HOP_FALLBACK_COST},  /* some degrees are tried */
                 {0.1, 1e6, HOP_FALLBACK_COST}, /* none */
                 {2, 1e-3, HOP_FALLBACK_BOUND}, /* all */
                 {2, 50, HOP_FALLBACK_BOUND},   /* some */
                 {2, 1e6, HOP_FALLBACK_BOUND}}; /* none */
    test_engine engine;
    hop_plan plans[L];
    test_start_normal(&engine, M, d, 1, 0, 6, L);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const float *x = test_data.memories;
        hop_request request = test_request(cases[i].beta, HOP_AUTO, 1e-4);
        set_costs(cases[i].sweeps);
        plan_for(&engine, &request, L, x, plans);
        test_must_retrieve(&engine, &request, L, x);
        for (size_t q = 0; q < L; q++)
            ck_assert_int_eq(engine.answer.degree[q], 0);
        check_words(&engine, request, L, x, plans, cases[i].word);
    }
    ck_assert(hop_costs_set(NULL, NULL) == HOP_OK);
    test_engine_fini(&engine);
}
END_TEST

/* Where a query is so large that rounding eats the scores, auto can promise what almost_linear can. */
START_TEST(auto_promises_no_less_than_almost_linear)
{
    enum { M = 3000, d = 16, L = 1 };
    test_engine engine;
    float x[d];
    test_start_normal(&engine, M, d, 1, 0, 2, L);
    for (size_t l = 0; l < d; l++)
        x[l] = 3e38f;
    hop_request request = test_request(1, HOP_ALMOST_LINEAR, 1e-3);
    request.best_effort = true;
    test_must_retrieve(&engine, &request, L, x);
    double bound = engine.answer.error_bound[0];
    request.mode = HOP_AUTO;
    test_must_retrieve(&engine, &request, L, x);
    test_must_hold(&engine, &request, L, x);
    request.best_effort = false;
    ck_assert(test_engine_retrieve(&engine, &request, L, x) == HOP_E_UNMET);
    ck_assert_double_le(engine.error.actual, bound);
    request.max_error = bound; /* and keeps it */
    test_must_retrieve(&engine, &request, L, x);
    ck_assert_double_le(engine.answer.error_bound[0], bound);
    test_must_hold(&engine, &request, L, x);
    test_engine_fini(&engine);
}
END_TEST

/* What a degree may gain decides how sure auto has to be of it; the more it gains the less. */
START_TEST(a_degree_is_tried_where_the_chance_is_worth_it)
{
    enum { M = 2000, d = 8, L = 16 };
    static const double far[] = {0.5, 0.9, 1, 2, 7, 9};
    test_engine engine;
    test_start_normal(&engine, M, d, 0.3, 0, 4, L);
    hop_query query = {.s = 1, .T = 1, .T_low = 1, .T_abs = 1, .usable = true};
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        double h[5], little[5] = {1, 1.01, 1.01, 1.01, 1.01}, much[5] = {8, 8, 8, 8, 8};
        hop_certificate_h(4, query.T, h);
        double max_error = hop_al_predict(4, 0.3, query.T_abs, h[4]) / far[i];
        ck_assert_uint_eq(hop_al_may_meet(&query, 0.3, 1, max_error, 0, 4, NULL, 1), far[i] < 8 ? 4 : 0);
        ck_assert_uint_eq(hop_al_may_meet(&query, 0.3, 1, max_error, 0, 4, much, 1), far[i] < 8 ? 4 : 0);
        ck_assert_uint_eq(hop_al_may_meet(&query, 0.3, 1, max_error, 0, 4, little, 1), 0);
        ck_assert_uint_eq(hop_al_may_meet(&query, 0.3, 1, max_error, 0, 4, little, 4), far[i] <= 1 ? 4 : 0);
    }
    test_engine_fini(&engine);
}
END_TEST

/* Groups that follow one that met nothing are hardly tried; where rows meet, all are. */
START_TEST(rows_that_cannot_meet_are_not_tried_again_and_again)
{
    enum { M = 2000, d = 8, L = 512, DEGREE = 3 };
    static hop_al_row rows[L];
    static hop_query queries[L];
    static float x[L * d], z[L * d];
    static double xi[L * d];
    double gain[DEGREE + 1] = {4, 4, 4, 4}, most = 0;
    size_t tried[2] = {0}, met[2] = {0};
    test_engine engine;
    test_start_normal(&engine, M, d, 0.3, 0, DEGREE, L);
    test_fill_normal(x, d, 1, 0, 75);
    const hop_features *features = hop_model_features(engine.model);
    void *workspace = hop_aligned_alloc(hop_al_workspace_bytes(engine.model, features));
    ck_assert_ptr_nonnull(workspace);
    for (int pass = 0; pass < 3; pass++) {
        for (size_t q = 0; q < L; q++) {
            memcpy(x + q * d, x, d * sizeof *x);
            ck_assert(hop_query_prepare(engine.model, 0.5, q, x + q * d, xi + q * d, &queries[q], NULL) == HOP_OK);
            /* first: what the degrees reach; then a little less than that, which a prediction cannot tell; then more */
            rows[q] = (hop_al_row){.query = &queries[q],
                                   .z = z + q * d,
                                   .max_error = pass == 0 ? 0 : most * (pass == 1 ? 0.9 : 1.1),
                                   .degree_cap = DEGREE,
                                   .predict = pass > 0,
                                   .best_effort = pass == 0,
                                   .gain = pass ? gain : NULL,
                                   .sigma = (double)INFINITY,
                                   .bound = (double)INFINITY};
        }
        hop_al_run(engine.model, features, rows, L, workspace);
        for (size_t q = 0; q < L; q++) {
            if (pass == 0)
                most = fmax(most, rows[q].bound);
            tried[pass > 1] += pass && isfinite(rows[q].sigma);
            met[pass > 1] += pass && rows[q].met;
        }
    }
    ck_assert_uint_eq(met[0], 0);
    ck_assert_uint_gt(tried[0], 0);
    ck_assert_uint_le(tried[0], 3 * HOP_LANES);
    ck_assert_uint_eq(met[1], L);
    hop_aligned_free(workspace);
    test_engine_fini(&engine);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("plan");
    TCase *costs = tcase_create("costs");
    tcase_add_test(costs, costs_can_be_set_and_taken_back);
    suite_add_tcase(suite, costs);
    TCase *calibration = tcase_create("calibration");
    tcase_set_timeout(calibration, 240);
    tcase_add_test(calibration, a_calibration_fits_the_machine_or_says_why_not);
    tcase_add_test(calibration, a_clock_that_makes_no_sense_is_refused);
    tcase_add_test(calibration, a_calibration_that_runs_out_of_memory_says_so);
    suite_add_tcase(suite, calibration);
    TCase *plans = tcase_create("plans");
    tcase_set_timeout(plans, 240);
    tcase_add_test(plans, every_reason_is_given_where_it_belongs);
    tcase_add_test(plans, company_is_cheaper);
    tcase_add_test(plans, plans_are_what_retrieval_does);
    tcase_add_test(plans, degrees_compete_with_the_dense_pass_that_would_do);
    tcase_add_test(plans, a_fallback_says_whether_a_degree_would_have_met);
    tcase_add_test(plans, auto_promises_no_less_than_almost_linear);
    tcase_add_test(plans, answers_agree_in_any_batch);
    tcase_add_test(plans, a_degree_is_tried_where_the_chance_is_worth_it);
    tcase_add_test(plans, rows_that_cannot_meet_are_not_tried_again_and_again);
    suite_add_tcase(suite, plans);
    return suite;
}

int main(int argc, char **argv)
{
    test_cases_seed = test_seed(test_cases_seed);
    return hop_check_main(argc, argv, make);
}
