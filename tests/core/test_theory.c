/*
 * test_theory.c - theory.h against values worked out by hand, and its theorems against retrieval. The working stands
 * beside each case; docs/MATH.md, "The theory report", has the formulas. Pairs: test_separation.c.
 */
#include "support/cases.h"
#include "support/check_main.h"
#include "support/rng.h"

#include "core/ahop.h"
#include "core/capacity.h"
#include "core/theory.h"

#include <math.h>
#include <string.h>

static void near(double got, double expected, double relative)
{
    ck_assert_msg(fabs(got - expected) <= relative * fabs(expected), "%.17g, expected %.17g", got, expected);
}

/* ---- functions --------------------------------------------------------------------------------------- */

/* W(1) = 0.567143290409783873, W(e) = 1, W(2 e^2) = 2; far out by their equation. */
START_TEST(lambert_in_logarithms)
{
    near(exp(hop_lambert_log(0)), 0.567143290409783873, 1e-15);
    ck_assert_double_le(fabs(hop_lambert_log(1)), 1e-16);
    near(hop_lambert_log(2 + log(2)), log(2), 1e-15);
    for (double s = -1e6; s < 1e300; s = s < -1 ? s / 3 : s < 1 ? s + 0.03 : 3 * s) {
        const double v = hop_lambert_log(s);
        ck_assert_double_le(fabs(v + exp(v) - s), 1e-12 * (1 + fabs(s)));
    }
    ck_assert(isinf(hop_lambert_log((double)INFINITY)) && hop_lambert_log((double)INFINITY) > 0);
}
END_TEST

/*
 * R = 1, delta = 0.1: e/k! <= 0.1 wants k! >= 27.18, k = 5: g = 4.
 * R = 2, delta = 0.01: 2^k/k! <= 0.01/e^2 = 1.3534e-3. 2^9/9! = 1.4109e-3 is above, 2^10/10! = 2.822e-4 below: g = 9.
 * R = 1/2, delta = 0.1: k = 2: 0.125 e^{1/2} = 0.206 is above, k = 3: 0.0208 e^{1/2} = 0.0343 below: g = 2.
 */
START_TEST(degrees_of_taylor)
{
    ck_assert_double_eq(hop_ahop_degree(1, 0.1), 4);
    ck_assert_double_eq(hop_ahop_degree(2, 0.01), 9);
    ck_assert_double_eq(hop_ahop_degree(0.5, 0.1), 2);
    ck_assert_double_eq(hop_ahop_degree(0, 1e-9), 0);
    ck_assert_double_eq(hop_ahop_degree(1e-9, 0.1), 0);
    ck_assert(isnan(hop_ahop_degree(1, 0)));
    ck_assert(isnan(hop_ahop_degree((double)INFINITY, 0.1)));
    ck_assert(isnan(hop_ahop_degree((double)NAN, 0.1)));
    for (double R = 0.01; R < 3000; R *= 1.7)
        for (double delta = 0.09; delta > 1e-200; delta *= 1e-13) {
            long double log_term = R; /* + k ln R - ln k!, one k after the other */
            double g = -1;
            do {
                g++;
                log_term += logl((long double)R / (g + 1));
            } while (log_term > logl((long double)delta));
            ck_assert_double_eq(hop_ahop_degree(R, delta), g);
        }
    /* Far beyond what can be counted: R^k/k! e^R = delta near k = e^{W(1/e)+1} R = 3.5911 R. */
    near(hop_ahop_degree(1e12, 0.1), 3.59112147666862e12, 1e-9);
}
END_TEST

/* C(2(2+1), 2) = C(6, 2) = 15; C(2(16+4), 8) = C(40, 8) = 76904685; C(2d, 0) = 1. */
START_TEST(ranks_as_printed)
{
    near(hop_ahop_log10_rank(2, 1), log10(15), 1e-14);
    near(hop_ahop_log10_rank(16, 4), log10(76904685), 1e-14);
    ck_assert_double_le(fabs(hop_ahop_log10_rank(7, 0)), 1e-14);
}
END_TEST

/*
 * d = 5, beta = 5, m = 1, R = 0.1, p = 0.01, delta = 0:
 *     b = 4 * 5/(5 * 4) = 1,  a = 4/4 (ln(2 * 0.1/0.1) + 2 * 5 * 0.1) = ln 2 + 1 = 1.6931,
 *     w + ln w = 1.6931: w = 1.374823 (1.374823 + 0.318325 = 1.693148),  C = 1/w = 0.727366,  M_max = 0.1 C.
 */
START_TEST(capacity_by_hand)
{
    const hop_capacity set = {.d = 5, .beta = 5, .m = 1, .R = 0.1, .p = 0.01};
    near(hop_capacity_b(&set), 1, 1e-15);
    near(hop_capacity_a(&set, log(0.1)), log(2) + 1, 1e-14);
    const double w = exp(-hop_capacity_log_C(&set, log(0.1)));
    near(w + log(w), log(2) + 1, 1e-14);
    near(w, 1.3748, 1e-4);
    near(exp(hop_capacity_log_M(&set, log(0.1))), 0.1 / w, 1e-13);
    /* delta = rate M: at the M that is found, M_max(delta) is M. */
    for (double rate = 1e-12; rate < 1e6; rate *= 7) {
        const double log_M = hop_capacity_consistent(&set, rate), delta = rate * exp(log_M);
        ck_assert_double_le(delta, 0.1);
        if (delta < 0.0999)
            near(hop_capacity_log_M(&set, log(0.1 - delta)), log_M, 1e-9);
    }
    /* So small a rate changes nothing. */
    near(hop_capacity_consistent(&set, 1e-12), hop_capacity_log_M(&set, log(0.1)), 1e-9);
    /* Large ones end where delta is R. */
    const hop_capacity large = {.d = 784, .beta = 100, .m = 10, .R = 0.01, .p = 0.01};
    ck_assert_double_gt(hop_capacity_log_M(&large, log(0.01)), 100);
    near(hop_capacity_consistent(&large, 1e-6), log(1e4), 1e-9);
}
END_TEST

/* ---- sets -------------------------------------------------------------------------------------------- */

static hop_theory theory_of(const test_engine *engine, const hop_theory_request *request)
{
    hop_error error = HOP_ERROR_NONE;
    hop_separation *separation = NULL;
    hop_theory out;
    ck_assert(hop_separation_new(engine->model, 7, NULL, NULL, &separation, &error) == HOP_OK);
    const size_t bytes = hop_theory_workspace_bytes(engine->model);
    void *workspace = hop_aligned_alloc(bytes);
    hop_status status = hop_theory_of(engine->model, request, separation, workspace, bytes, &out, &error);
    ck_assert_msg(status == HOP_OK, "%s", error.text);
    hop_regime alone;
    ck_assert(hop_regime_of(engine->model, request, workspace, bytes, &alone, &error) == HOP_OK);
    ck_assert(alone.verdict == out.regime.verdict && alone.met == out.regime.met);
    ck_assert_str_eq(alone.reason, out.regime.reason);
    hop_aligned_free(workspace);
    hop_separation_free(separation);
    return out;
}

static void start_rows(test_engine *engine, size_t M, size_t d, const float *rows)
{
    memcpy(test_data.memories, rows, M * d * sizeof *rows);
    test_start(engine, M, d, 0, 0, 1);
}

/*
 * (0,0), (3,4), (6,0): distances 5, 6, 5, so R_sep = 5/2; m = 6. Inner products: <2,3> = 18, others 0:
 * Delta = 0 - 0 = 0, 25 - 18 = 7, 36 - 18 = 18. beta = 1, max_error = 0:
 *     threshold = ln(2 * 2 * 6/2.5) + 2 * 6 * 2.5 = ln 9.6 + 30: none is well separated.
 *     retrieval error, 2 B (M-1) = 24: at the memory with Delta = 7, 24 e^-7; at the one with 0, 12 (at most 2 B);
 *     in its sphere 7 - 30 < 0: 12.
 *     capacity, d = 2, p = 1/4: b = 4 * 36/5 = 28.8, a = 4 (ln(12 * 0.5/2.5) + 30) = 4 (ln 2.4 + 30)
 * L = 10: tau = 10, B* = sqrt(ln 10); B = 6, beta d B^2 = 72; with B = 7 asked for 98.
 * P1 at max_error = 3.6: delta_A = 3.6/(2 * 3 * 6) = 0.1, and no more at 100.
 */
START_TEST(three_points)
{
    const float rows[] = {0, 0, 3, 4, 6, 0};
    test_engine engine;
    start_rows(&engine, 3, 2, rows);
    hop_theory_request request = {.beta = 1, .max_error = 0, .L = 10, .p = 0.25};
    hop_theory theory = theory_of(&engine, &request);
    near(theory.regime.tau, 10, 0);
    near(theory.regime.B_star, 1.517427129385146, 1e-15);
    near(theory.regime.B, 6, 0);
    near(theory.regime.beta_B2_d, 72, 1e-15);
    ck_assert_uint_eq(theory.regime.probes, 3);

    const hop_theory_separation *separation = &theory.separation;
    ck_assert(separation->exact);
    ck_assert_uint_eq(separation->rows, 3);
    near(separation->R_sep, 2.5, 1e-15);
    near(separation->m, 6, 1e-15);
    ck_assert_double_le(fabs(separation->Delta_min), 1e-13);
    ck_assert_double_le(fabs(separation->Delta_q10), 1e-13);
    near(separation->Delta_median, 7, 1e-14);
    near(separation->Delta_q90, 18, 1e-14);
    near(separation->Delta_max, 18, 1e-14);
    near(separation->threshold, 32.26176309847379, 1e-14);
    ck_assert_double_eq(separation->well_separated, 0);
    ck_assert_str_eq(separation->reason, "");

    near(theory.retrieval_error.at_memory_median, 24 * exp(-7), 1e-13);
    near(theory.retrieval_error.at_memory_max, 12, 1e-15);
    near(theory.retrieval_error.in_sphere_median, 12, 1e-15);
    near(theory.retrieval_error.in_sphere_max, 12, 1e-15);

    near(theory.capacity.b, 28.8, 1e-15);
    near(theory.capacity.a, 4 * (log(2.4) + 30), 1e-14);
    const double C = pow(10, theory.capacity.log10_C), w = 28.8 / C;
    near(w + log(w), 4 * (log(2.4) + 30) + log(28.8), 1e-13);
    near(theory.capacity.M_max, 0.5 * pow(C, 0.25), 1e-13);
    near(theory.capacity.log10_M_dense, theory.capacity.log10_M_max, 1e-14);
    near(theory.capacity.log10_M_p1, theory.capacity.log10_M_max, 1e-14);

    ck_assert(isnan(theory.p1.g) && isnan(theory.p1.log10_rank) && theory.p1.reason[0]);
    request.B = 7;
    request.max_error = 3.6;
    theory = theory_of(&engine, &request);
    near(theory.regime.beta_B2_d, 98, 1e-15);
    near(theory.p1.delta_A, 3.6 / 42, 1e-15); /* B = 7 there too */
    near(theory.p1.delta_H, 3.6, 1e-15);
    near(theory.p1.R, 98, 1e-15);
    near(theory.p1.g, hop_ahop_degree(98, 3.6 / 42), 0);
    near(theory.separation.delta, sqrt(2) * 3.6, 1e-15);
    ck_assert(isnan(theory.separation.threshold) && theory.separation.reason[0]); /* delta > R_sep */
    ck_assert_double_eq(theory.separation.well_separated, 0);
    ck_assert(isnan(theory.capacity.M_max) && !isnan(theory.capacity.log10_M_dense) && theory.capacity.reason[0]);
    request.max_error = 100;
    theory = theory_of(&engine, &request);
    near(theory.p1.delta_A, 0.1, 1e-15);
    near(theory.p1.delta_H, 4.2, 1e-15);
    test_engine_fini(&engine);
}
END_TEST

/*
 * (10,0), (0,10), (-10,0), (-10,1): R_sep = 1/2 (the last two), m = sqrt(101). Delta = 100 - 0, 100 - 10 = 90,
 * 100 - 100 = 0, 101 - 100 = 1. beta = 1, max_error = 0.1, delta = sqrt(2)/10:
 *     threshold = ln(2 * 3 * sqrt(101)/(0.5 - 0.141421)) + sqrt(101) = ln 168.16 + 10.04988: 15.175. Two of four.
 */
START_TEST(four_points)
{
    const float rows[] = {10, 0, 0, 10, -10, 0, -10, 1};
    test_engine engine;
    start_rows(&engine, 4, 2, rows);
    const hop_theory_request request = {.beta = 1, .max_error = 0.1};
    const hop_theory theory = theory_of(&engine, &request);
    near(theory.separation.R_sep, 0.5, 1e-15);
    near(theory.separation.delta, 0.1414213562373095, 1e-15);
    near(theory.separation.threshold, 15.1748, 1e-5);
    near(theory.separation.well_separated, 0.5, 0);
    near(theory.capacity.p, 0.01, 0);
    ck_assert_double_lt(theory.capacity.log10_M_max, theory.capacity.log10_M_dense);
    /* P1's delta at its own M: delta_1 = sqrt(2) 0.1/4 a memory. */
    const hop_capacity set = {.d = 2, .beta = 1, .m = sqrt(101), .R = 0.5, .p = 0.01};
    const double M_p1 = pow(10, theory.capacity.log10_M_p1);
    near(log(M_p1), hop_capacity_log_M(&set, log(0.5 - M_p1 * sqrt(2) * 0.1 / 4)), 1e-9);
    test_engine_fini(&engine);
}
END_TEST

/* What is not defined is NaN with a reason, and never infinite. */
START_TEST(degenerate_sets)
{
    const float rows[] = {1, 2, 1, 2, 1, 2};
    const hop_theory_request request = {.beta = 2, .max_error = 1e-3};
    test_engine engine;
    start_rows(&engine, 1, 2, rows); /* one memory */
    hop_theory theory = theory_of(&engine, &request);
    ck_assert(theory.regime.verdict == HOP_EFFICIENT);
    ck_assert(theory.regime.B_star <= 0 && theory.regime.R_t <= 0);
    ck_assert(isnan(theory.separation.R_sep) && isnan(theory.separation.Delta_min) && theory.separation.reason[0]);
    ck_assert(isnan(theory.separation.well_separated) && isnan(theory.retrieval_error.at_memory_max));
    ck_assert(theory.retrieval_error.reason[0]);
    ck_assert(isnan(theory.capacity.log10_M_dense) && theory.capacity.reason[0]);
    test_engine_fini(&engine);

    start_rows(&engine, 3, 2, rows); /* all equal */
    theory = theory_of(&engine, &request);
    ck_assert(theory.regime.verdict == HOP_EFFICIENT);
    ck_assert_double_eq(theory.separation.R_sep, 0);
    ck_assert_double_eq(theory.separation.well_separated, 0);
    ck_assert_double_le(fabs(theory.separation.Delta_max), 1e-14);
    ck_assert(isnan(theory.separation.threshold) && theory.separation.reason[0]);
    near(theory.retrieval_error.at_memory_max, 4 + 1e-3, 1e-15);
    ck_assert(isnan(theory.capacity.log10_M_dense) && theory.capacity.reason[0]);
    test_engine_fini(&engine);

    const float zero[4] = {0};
    start_rows(&engine, 2, 2, zero);
    theory = theory_of(&engine, &request);
    near(theory.p1.g, 0, 0);
    ck_assert_double_eq(theory.p1.delta_H, 0);
    test_engine_fini(&engine);

    const float line[] = {1, 2, 4};
    start_rows(&engine, 3, 1, line); /* d = 1 */
    theory = theory_of(&engine, &request);
    near(theory.separation.R_sep, 0.5, 1e-15);
    ck_assert(isnan(theory.capacity.a) && theory.capacity.reason[0]);
    test_engine_fini(&engine);
}
END_TEST

START_TEST(bad_requests)
{
    const float rows[] = {1, 2, 3, 4};
    test_engine engine;
    start_rows(&engine, 2, 2, rows);
    const size_t bytes = hop_theory_workspace_bytes(engine.model);
    void *workspace = hop_aligned_alloc(bytes);
    const double bad = (double)NAN, inf = (double)INFINITY;
    const hop_theory_request requests[] = {
        {.beta = 0, .max_error = 1},           {.beta = bad, .max_error = 1},
        {.beta = inf, .max_error = 1},         {.beta = 1, .max_error = -1},
        {.beta = 1, .max_error = inf},         {.beta = 1, .max_error = bad},
        {.beta = 1, .max_error = 1, .B = -1},  {.beta = 1, .max_error = 1, .B = inf},
        {.beta = 1, .max_error = 1, .p = 1},   {.beta = 1, .max_error = 1, .p = -1},
        {.beta = 1, .max_error = 1, .p = bad},
    };
    hop_regime regime;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        hop_error error = HOP_ERROR_NONE;
        ck_assert(hop_regime_of(engine.model, requests + i, workspace, bytes, &regime, &error) == HOP_E_DOMAIN);
        ck_assert(error.text[0]);
    }
    const hop_theory_request good = {.beta = 1, .max_error = 1};
    ck_assert(hop_regime_of(engine.model, &good, workspace, bytes - 1, &regime, NULL) == HOP_E_LIMIT);
    hop_aligned_free(workspace);
    test_engine_fini(&engine);
}
END_TEST

/* ---- what the theorems say, held against retrieval --------------------------------------------------- */

static double inner(size_t n, const float *a, const float *b)
{
    double sum = 0;
    for (size_t l = 0; l < n; l++)
        sum += (double)a[l] * (double)b[l];
    return sum;
}

/* Queries on the spheres' surfaces; the first of each `per` rows is the memory itself. */
static void query_spheres(size_t M, size_t d, size_t per, double R, float *x)
{
    test_fill_normal(x, M * per * d, 1, 0, 71);
    for (size_t q = 0; q < M * per; q++) {
        const double r = q % per ? R * (1 - 1e-6) / sqrt(inner(d, x + q * d, x + q * d)) : 0;
        for (size_t l = 0; l < d; l++)
            x[q * d + l] = (float)((double)test_data.memories[q / per * d + l] + r * (double)x[q * d + l]);
    }
}

/*
 * Theorem 3.2 at the memories and in their spheres, Lemma B.1 for those that are well separated: the exact retrieval of
 * x in S_mu is within R_sep - delta of xi_mu, so that an answer within max_error is in S_mu.
 */
static void spheres_case(double scale, double beta, double max_error, uint64_t stream, size_t *separated)
{
    enum { M = 24, d = 5, PER = 6, L = M * PER };
    static float x[L * d];
    test_engine engine;
    test_fill_normal(test_data.memories, M * d, scale, 0.3, stream);
    test_fill_normal(test_data.memories, 2 * d, 0.05, 2, stream + 1); /* two close to each other make R_sep small */
    test_start(&engine, M, d, 0, 0, L);
    const hop_theory_request request = {.beta = beta, .max_error = max_error};
    const hop_theory theory = theory_of(&engine, &request);
    const hop_theory_error *error = &theory.retrieval_error;
    const double R = theory.separation.R_sep, m = theory.separation.m;
    query_spheres(M, d, PER, R, x);
    size_t well = 0;
    for (size_t q = 0; q < L; q++) {
        const float *xi = test_data.memories + q / PER * d;
        double Delta = INFINITY, worst = 0, square = 0;
        for (size_t nu = 0; nu < M; nu++)
            if (nu != q / PER)
                Delta = fmin(Delta, inner(d, xi, xi) - inner(d, xi, test_data.memories + nu * d));
        ck_assert(test_engine_truth(&engine, beta, x + q * d));
        for (size_t l = 0; l < d; l++) {
            const double off = (double)engine.truth->z[l] - (double)xi[l];
            worst = fmax(worst, fabs(off));
            square += off * off;
        }
        const double limit = q % PER ? error->in_sphere_max : error->at_memory_max;
        ck_assert_double_le(worst + max_error, limit * (1 + 1e-12));
        const double gap = Delta - (q % PER ? 2 * m * R : 0);
        ck_assert_double_le(worst, 2 * theory.regime.B * (M - 1) * exp(-beta * gap) * (1 + 1e-9) + 1e-15);
        if (Delta >= theory.separation.threshold)
            ck_assert_double_le(sqrt(square), (R - theory.separation.delta) * (1 + 1e-9));
        well += Delta >= theory.separation.threshold && q % PER == 0;
    }
    near(theory.separation.well_separated, (double)well / M, 1e-15);
    *separated += well;
    test_engine_fini(&engine);
}

START_TEST(theorems_hold_for_retrieval)
{
    size_t separated = 0;
    for (uint64_t i = 0; i < 20; i++)
        for (double beta = 0.01; beta < 1000; beta *= 3)
            spheres_case(0.5 + 0.2 * (double)i, beta, i % 3 ? 1e-3 : 0, 700 + 2 * i, &separated);
    hop_check_note("%zu memories were well separated", separated);
    ck_assert_uint_gt(separated, 100);
}
END_TEST

/* ---- regime ------------------------------------------------------------------------------------------ */

static void regime_case(hop_similarity similarity, size_t p, double offset, unsigned degree, double beta,
                        double max_error, hop_verdict expected)
{
    enum { M = 4000, d = 6 };
    test_engine engine;
    test_fill_normal(test_data.memories, M * d, 0.4, offset, 60);
    test_fill_normal(test_data.values, M * d, 1, 0, 61);
    const hop_source source = {.M = M,
                               .d = d,
                               .p = p,
                               .memories = test_data.memories,
                               .values = p ? test_data.values : NULL,
                               .similarity = similarity};
    ck_assert(test_engine_init(&engine, &source, degree, 64) == HOP_OK);
    const hop_theory_request request = {.beta = beta, .max_error = max_error, .L = 1000};
    const hop_theory theory = theory_of(&engine, &request);
    const hop_regime *regime = &theory.regime;
    ck_assert_msg(regime->verdict == expected, "%s, not %s: %s", hop_verdict_word(regime->verdict),
                  hop_verdict_word(expected), regime->reason);
    ck_assert(regime->predicted == !degree && theory.ours.predicted == !degree);
    ck_assert(strstr(regime->reason, "predicted") != NULL || degree);
    ck_assert_uint_eq(regime->probes, 64);
    ck_assert_double_eq(theory.ours.R, regime->R_t);
    if (similarity == HOP_DOT) { /* the probes by the front door: R_t is above every |t|, and the bounds are these */
        float x[64 * d];
        double worst = 0;
        for (size_t i = 0; i < 64; i++)
            memcpy(x + i * d, test_data.memories + (i * M / 64) * d, d * sizeof *x);
        hop_request retrieve = test_request(beta, degree ? HOP_ALMOST_LINEAR : HOP_DENSE, max_error);
        retrieve.best_effort = true;
        test_must_retrieve(&engine, &retrieve, 64, x);
        size_t met = 0;
        for (size_t i = 0; i < 64; i++) {
            ck_assert(test_engine_truth(&engine, beta, x + i * d));
            ck_assert_double_ge(regime->R_t, (double)engine.truth->radius * (1 - 1e-6));
            met += engine.answer.error_bound[i] <= max_error;
            if (engine.answer.error_bound[i] <= max_error)
                worst = fmax(worst, engine.answer.error_bound[i]);
        }
        if (degree) {
            ck_assert_uint_eq(met, regime->met);
            if (met)
                near(theory.ours.error_bound, worst, 1e-3); /* rows may be evaluated beside others */
        }
    }
    if (degree && expected != HOP_HARD) {
        ck_assert_double_le(theory.ours.error_bound, max_error);
        ck_assert_double_ge(theory.ours.g, 1);
        near(theory.ours.log10_rank, log10((double)hop_rank(d, (unsigned)theory.ours.g)), 1e-15);
        ck_assert_double_lt(theory.ours.g, theory.p1.g + 1);
    }
    if (expected == HOP_HARD)
        ck_assert(isnan(theory.ours.g) && theory.ours.reason[0]);
    test_engine_fini(&engine);
}

START_TEST(verdicts)
{
    regime_case(HOP_DOT, 0, 0.2, 4, 0.2, 1e-3, HOP_EFFICIENT);
    regime_case(HOP_DOT, 0, 0.2, 0, 0.2, 1e-3, HOP_EFFICIENT);
    regime_case(HOP_DOT, 3, 0.2, 4, 0.2, 1e-2, HOP_EFFICIENT);
    regime_case(HOP_COSINE, 0, 0.2, 4, 0.5, 1e-2, HOP_EFFICIENT);
    regime_case(HOP_CENTERED_COSINE, 0, 1000, 4, 0.5, 1e-2, HOP_EFFICIENT);
    regime_case(HOP_DOT, 0, 0.2, 4, 100, 1e-3, HOP_HARD);
    regime_case(HOP_DOT, 0, 0.2, 0, 100, 1e-3, HOP_HARD);
    regime_case(HOP_CENTERED_COSINE, 0, 5, 4, 500, 1e-3, HOP_HARD);
    regime_case(HOP_DOT, 0, 0, 3, 2, 1e-2, HOP_TRANSITION);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("theory");
    TCase *functions = tcase_create("functions");
    tcase_add_test(functions, lambert_in_logarithms);
    tcase_add_test(functions, degrees_of_taylor);
    tcase_add_test(functions, ranks_as_printed);
    tcase_add_test(functions, capacity_by_hand);
    suite_add_tcase(suite, functions);
    TCase *sets = tcase_create("sets");
    tcase_add_test(sets, three_points);
    tcase_add_test(sets, four_points);
    tcase_add_test(sets, degenerate_sets);
    tcase_add_test(sets, bad_requests);
    suite_add_tcase(suite, sets);
    TCase *theorems = tcase_create("theorems");
    tcase_add_test(theorems, theorems_hold_for_retrieval);
    suite_add_tcase(suite, theorems);
    TCase *regime = tcase_create("regime");
    tcase_add_test(regime, verdicts);
    suite_add_tcase(suite, regime);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
