/*
 * test_certificate.c - certificate T on bare numbers: any scores, any mean, any degree, without a model around them.
 *
 * Covers what a frozen set cannot show yet: a centre that is not the mean of the memories (tbar != 0), which is where a
 * set stands after appends.
 */
#include "support/check_main.h"
#include "support/rng.h"

#include "core/certificate.h"

#include <math.h>

enum { SCORES_MOST = 50, DEGREE_MOST = 12 };

static uint64_t seed;

/* h by its series, from the smallest term up. */
START_TEST(h_is_its_series_rounded_up)
{
    static const double T[] = {0, 1e-300, 1e-9, 0.1, 1, 2.5, 10, 40, 88, 200, 700};
    for (size_t i = 0; i < sizeof T / sizeof *T; i++) {
        double h[DEGREE_MOST + 1];
        hop_certificate_h(DEGREE_MOST, T[i], h);
        for (unsigned g = 0; g <= DEGREE_MOST; g++) {
            long double sum = 0, term = 1;
            for (unsigned j = 1; j < 4000 && term > 0; j++) {
                sum += term;
                term *= (long double)T[i] / (g + 1 + j);
            }
            ck_assert_msg(h[g] >= (double)(sum * (1 - 0x1p-58L)), "g=%u T=%g: %.17g < %.17Lg", g, T[i], h[g], sum);
            ck_assert_msg(h[g] <= (double)(sum * 1.000001L), "g=%u T=%g: %.17g is far above %.17Lg", g, T[i], h[g],
                          sum);
        }
    }
    double h[2];
    hop_certificate_h(1, 1e5, h);
    ck_assert(isinf(h[0]) && isinf(h[1]));
}
END_TEST

/* Exact means for M scores, then everything the certificate promises of them. */
static void taylor_case(const double *t, size_t M, double slack)
{
    double T = -(double)INFINITY, T_abs = 0;
    for (size_t mu = 0; mu < M; mu++) {
        T = fmax(T, t[mu]);
        T_abs = fmax(T_abs, fabs(t[mu]));
    }
    T += slack;
    T_abs = fmax(T_abs, T) + slack;
    double h[DEGREE_MOST + 1];
    hop_certificate_h(DEGREE_MOST, fmax(T, 0), h);
    for (unsigned g = 1; g <= DEGREE_MOST; g++) {
        long double D = 0, exact = 0, missed = 0, top = 0, first = 0;
        unsigned power = g % 2 ? g + 1 : g;
        for (size_t mu = 0; mu < M; mu++) {
            long double x = t[mu], term = 1, P = 1, at_power = 0;
            for (unsigned k = 1; k <= power; k++) {
                term *= x / k;
                P += k <= g ? term : 0;
                at_power = term;
            }
            D += P / (long double)M;
            exact += expl(x) / (long double)M;
            missed += fabsl(expl(x) - P) / (long double)M;
            top += at_power / (long double)M;
            first += x / (long double)M;
        }
        hop_partial partial = {.g = g,
                               .D = (double)D,
                               .D_error = fabs((double)D) * 0x1p-50 + (double)top * 0x1p-40,
                               .top = (double)top,
                               .top_error = (double)top * 0x1p-50,
                               .first = (double)first,
                               .first_error = T_abs * 0x1p-50,
                               .T = T,
                               .T_abs = T_abs,
                               .h = h[g]};
        hop_truncation truncation;
        if (!hop_certificate_taylor(&partial, &truncation)) {
            ck_assert_msg(!(D > 0) || !isfinite(h[g]) || T_abs > 30, "g=%u: no bound at |t| <= %g", g, T_abs);
            continue;
        }
        long double noise = 0x1p-55L * (exact + fabsl(D));
        ck_assert_msg((long double)truncation.E >= missed - noise, "g=%u M=%zu T=%g: E=%g < %Lg", g, M, T, truncation.E,
                      missed);
        ck_assert_msg(truncation.D_low > 0 && (long double)truncation.D_low <= exact + noise, "g=%u: D_low=%g > %Lg", g,
                      truncation.D_low, exact);
        ck_assert_msg((long double)truncation.D_high >= exact - noise, "g=%u: D_high=%g < %Lg", g, truncation.D_high,
                      exact);
    }
}

/* The mean of the scores is anywhere: the centre need not be the mean. */
START_TEST(certificates_hold_for_any_centre)
{
    test_rng rng;
    test_rng_init(&rng, seed, 90);
    size_t cases = hop_check_fast() ? 300 : 5000;
    for (size_t i = 0; i < cases; i++) {
        double t[SCORES_MOST], width = test_rng_log(&rng, 1e-4, 30), shift = test_rng_log(&rng, 1e-4, 10);
        size_t M = 1 + test_rng_below(&rng, SCORES_MOST);
        shift *= test_rng_below(&rng, 2) ? 1 : -1;
        for (size_t mu = 0; mu < M; mu++)
            t[mu] = shift + width * test_rng_normal(&rng);
        taylor_case(t, M, test_rng_below(&rng, 2) ? 0 : test_rng_log(&rng, 1e-3, 3));
    }
}
END_TEST

START_TEST(certificates_hold_for_hard_scores)
{
    double deep[17] = {-6}, sides[2] = {-20, 20}, equal[3] = {4, 4, 4}, zero[2] = {0, 0}, low[2] = {-9, -8};
    for (size_t mu = 1; mu < 17; mu++)
        deep[mu] = 6.0 / 16;
    taylor_case(deep, 17, 0);
    taylor_case(sides, 2, 0);
    taylor_case(equal, 3, 0);
    taylor_case(zero, 2, 0);
    taylor_case(low, 2, 0);
}
END_TEST

/* With g = 3 the partial sum of the deep score lies below exp(mean t): Jensen's inequality must carry D_low. */
START_TEST(the_denominator_is_never_below_jensen)
{
    const hop_partial partial = {.g = 3, .D = 0.8, .top = 3, .first = 0, .T = 0.4, .T_abs = 6, .h = 1.1};
    hop_truncation truncation;
    ck_assert(hop_certificate_taylor(&partial, &truncation));
    ck_assert_double_ge(truncation.D_low, 1 - 1e-12);
    ck_assert_double_le(truncation.D_low, 1);
}
END_TEST

START_TEST(no_bound_where_nothing_is_known)
{
    hop_truncation truncation;
    hop_partial partial = {.g = 2, .D = -0.1, .top = 1, .T = 1, .T_abs = 1, .h = 1.5};
    ck_assert(!hop_certificate_taylor(&partial, &truncation));
    partial = (hop_partial){.g = 3, .D = 1, .top = 1, .T = 1e9, .T_abs = 1e9, .h = (double)INFINITY};
    ck_assert(!hop_certificate_taylor(&partial, &truncation));
    partial.h = 1;
    partial.top = (double)NAN;
    partial.D = (double)NAN;
    ck_assert(!hop_certificate_taylor(&partial, &truncation));
}
END_TEST

/* M e^t beyond f64 must not look like a quotient of zero. */
START_TEST(a_denominator_that_overflowed_certifies_nothing)
{
    const float rows[] = {0.3f, 1.0f, -1.0f};
    const hop_error_terms terms = {.osc = 1e-9};
    hop_geometry values;
    float z;
    ck_assert(hop_geometry_init(&values, rows, 3, 1, NULL) == HOP_OK);
    double bound = hop_certificate_answer(&values, &(double){1e307}, (double)INFINITY, &terms, &z);
    ck_assert_double_ge(bound, 1);
    ck_assert(isfinite(bound) && z >= -1 && z <= 1);
    hop_geometry_fini(&values);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("certificate");
    TCase *tcase = tcase_create("taylor");
    tcase_add_test(tcase, h_is_its_series_rounded_up);
    tcase_add_test(tcase, certificates_hold_for_any_centre);
    tcase_add_test(tcase, certificates_hold_for_hard_scores);
    tcase_add_test(tcase, the_denominator_is_never_below_jensen);
    tcase_add_test(tcase, no_bound_where_nothing_is_known);
    tcase_add_test(tcase, a_denominator_that_overflowed_certifies_nothing);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    seed = test_seed(20240204520);
    return hop_check_main(argc, argv, make);
}
