/*
 * test_polynomials.c - the polynomials behind certificates W and G, the fourth moments' factor and the values' tails,
 * each against its definition.
 */
#include "support/check_main.h"
#include "support/rng.h"

#include "core/blas.h"
#include "core/certificate.h"
#include "core/fourth.h"
#include "core/minimax.h"
#include "core/model.h"
#include "core/pencil.h"
#include "core/rounding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SCORES_MOST = 200, DEGREE_MOST = 12, ROWS = 400 };

static uint64_t seed;

/* sum_k c_k t^{k-m}/(k-m)!: the m-th derivative; absolute: of |c_k| at |t|. */
static long double derivative(const double *c, unsigned g, unsigned m, long double t, bool absolute)
{
    long double sum = 0, term = 1;
    for (unsigned k = m; k <= g; k++) {
        sum += (absolute ? fabsl((long double)c[k]) : (long double)c[k]) * term;
        term *= t / (long double)(k - m + 1);
    }
    return sum;
}

/* eps (e^t - t) -+ (p - e^t) > 0 on [a, b] by Taylor's formula to the third derivative about the middle. */
static bool holds(const double *c, unsigned g, long double eps, long double a, long double b, int depth)
{
    long double m = (a + b) / 2, h = (b - a) / 2, e = expl(m), far = fmaxl(fabsl(a), fabsl(b));
    long double third = derivative(c, g, g < 3 ? g + 1 : 3, far, true) + (1 + eps) * expl(b);
    bool positive = true;
    for (int sign = -1; sign <= 1; sign += 2) {
        long double v[3];
        for (unsigned i = 0; i < 3; i++) {
            long double r = (i <= g ? derivative(c, g, i, m, false) : 0) - e;
            v[i] = eps * (i == 0 ? e - m : i == 1 ? e - 1 : e) - (long double)sign * r;
        }
        positive = positive && v[0] - h * fabsl(v[1]) - h * h / 2 * fabsl(v[2]) - h * h * h / 6 * third > 0;
    }
    if (positive)
        return true;
    return depth < 30 && holds(c, g, eps, a, m, depth + 1) && holds(c, g, eps, m, b, depth + 1);
}

START_TEST(every_tabulated_distance_holds_on_its_whole_range)
{
    size_t there = 0;
    for (int step = HOP_MINIMAX_FIRST; step < HOP_MINIMAX_FIRST + HOP_MINIMAX_BUCKETS; step++) {
        double R = exp2((double)step / HOP_MINIMAX_STEPS);
        for (unsigned g = 1; g <= HOP_MINIMAX_DEGREES; g++) {
            const double *c = NULL;
            double eps = hop_minimax(g, R * (1 - 1e-13), &c);
            if (isinf(eps)) {
                ck_assert_ptr_null(c);
                continue;
            }
            there++;
            ck_assert(eps > 0 && eps < 1);
            ck_assert_msg(holds(c, g, (long double)eps, -(long double)R, (long double)R, 0), "R=%g g=%u eps=%g", R, g,
                          eps);
        }
    }
    ck_assert_uint_gt(there, 400);
}
END_TEST

START_TEST(a_polynomial_covers_the_range_it_is_asked_for)
{
    test_rng rng;
    test_rng_init(&rng, seed, 1);
    for (size_t i = 0; i < 20000; i++) {
        double T = i % 10 ? test_rng_log(&rng, 1e-3, 25) : exp2((double)test_rng_below(&rng, 44) / 8 - 1);
        unsigned g = 1 + (unsigned)test_rng_below(&rng, HOP_MINIMAX_DEGREES);
        const double *c;
        double eps = hop_minimax(g, T, &c);
        for (int end = -1; end <= 1 && isfinite(eps); end++) {
            long double t = (long double)end * T, miss = fabsl(derivative(c, g, 0, t, false) - expl(t));
            ck_assert_msg(miss <= (long double)eps * (expl(t) - t) + 1e-18L * expl(fabsl(t)), "T=%g g=%u", T, g);
        }
    }
    const double *c;
    ck_assert(isinf(hop_minimax(0, 1, &c)) && isinf(hop_minimax(17, 1, &c)) && isinf(hop_minimax(4, 21, &c)));
    ck_assert(isinf(hop_minimax(4, (double)NAN, &c)) && isinf(hop_minimax(4, (double)INFINITY, &c)));
}
END_TEST

/* Scores of some law, and everything certificates read of them. */
typedef struct scores {
    size_t M;
    double t[SCORES_MOST], D[DEGREE_MOST + 2], D_error[DEGREE_MOST + 2];
    hop_exponents x;
} scores;

static void draw_scores(test_rng *rng, scores *s)
{
    double width = test_rng_log(rng, 1e-6, 5), shift = test_rng_below(rng, 3) ? 0 : test_rng_log(rng, 1e-3, 3);
    uint64_t law = test_rng_below(rng, 5);
    s->M = law == 4 ? 1 + test_rng_below(rng, 3) : 64 + test_rng_below(rng, SCORES_MOST - 64);
    s->x = (hop_exponents){.T = -(double)INFINITY, .T_low = -(double)INFINITY, .D = s->D, .D_error = s->D_error};
    double slack = test_rng_below(rng, 2) ? 1 : 1.3;
    long double fourth = 0;
    for (size_t mu = 0; mu < s->M; mu++) {
        double n = test_rng_normal(rng);
        double t = shift + width * (law == 0   ? n
                                    : law == 1 ? 2 * test_rng_unit(rng) - 1
                                    : law == 2 ? n * fabs(n)
                                    : law == 3 ? (n > 1.5 ? 6 : 0.1 * n)
                                               : n);
        s->t[mu] = t;
        s->x.T = fmax(s->x.T, t);
        s->x.T_low = fmax(s->x.T_low, -t);
        fourth += (long double)t * t * t * t / 24 / (long double)s->M;
    }
    s->x.T = s->x.T > 0 ? s->x.T * slack : s->x.T;
    s->x.T_low = s->x.T_low > 0 ? s->x.T_low * slack : s->x.T_low;
    s->x.T_abs = fmax(s->x.T, s->x.T_low);
    s->x.s = s->x.T_abs * 1.5;
    s->x.fourth = test_rng_below(rng, 4) ? (double)fourth * (1 + 1e-12) : (double)INFINITY;
    double power = 1;
    for (unsigned k = 0; k <= DEGREE_MOST + 1; k++) {
        long double sum = 0;
        for (size_t mu = 0; mu < s->M; mu++) {
            long double term = 1;
            for (unsigned i = 1; i <= k; i++)
                term *= (long double)s->t[mu] / i;
            sum += term / (long double)s->M;
        }
        s->D[k] = (double)sum;
        s->D_error[k] = 1e-13 * power;
        power *= s->x.s / (double)(k + 1);
    }
}

static void check_polynomial(const scores *s, unsigned g, const hop_polynomial *p, const char *what)
{
    long double mean = 0;
    for (size_t i = 0; i < s->M + 200; i++) {
        bool score = i < s->M;
        double share = (double)(i - s->M) / 199;
        double t = score ? s->t[i] : share * s->x.T - (1 - share) * s->x.T_low;
        long double e = expl((long double)t) - derivative(p->c, g, 0, t, false);
        long double noise = (long double)p->slack + 1e-18L * expl(fabsl((long double)t));
        if (p->below)
            ck_assert_msg(e >= -noise, "%s g=%u t=%g: e=%Lg below 0, slack %g", what, g, t, e, p->slack);
        ck_assert_msg(fabsl(e) <= (long double)p->most + noise, "%s g=%u t=%g: |e|=%Lg > %g", what, g, t, fabsl(e),
                      p->most);
        mean += score ? (fabsl(e) - noise) / (long double)s->M : 0;
    }
    ck_assert_msg(mean <= (long double)p->E, "%s g=%u: mean |e|=%Lg > E=%g", what, g, mean, p->E);
}

START_TEST(what_an_interpolating_polynomial_misses_is_bounded)
{
    test_rng rng;
    test_rng_init(&rng, seed, 2);
    size_t cases = hop_check_fast() ? 300 : 1500, there = 0, fourths = 0;
    for (size_t i = 0; i < cases; i++) {
        scores s;
        draw_scores(&rng, &s);
        hop_polynomial p;
        for (unsigned g = 1; g <= DEGREE_MOST; g++)
            if (hop_gauss(&s.x, g, &p)) {
                there++;
                check_polynomial(&s, g, &p, "gauss");
            }
        if (hop_gauss_fourth(&s.x, &p)) {
            fourths++;
            check_polynomial(&s, 2, &p, "fourth");
        }
    }
    ck_assert_uint_gt(there, 6 * cases);
    ck_assert_uint_gt(fourths, cases / 3);
}
END_TEST

/* What bounds by skewness rest on: e = f omega, and f lies between steady and 1 times the same number. */
START_TEST(what_a_polynomial_misses_is_nearly_a_square)
{
    test_rng rng;
    test_rng_init(&rng, seed, 8);
    size_t cases = hop_check_fast() ? 400 : 2000, checked = 0;
    for (size_t i = 0; i < cases; i++) {
        scores s;
        double h[DEGREE_MOST + 1];
        draw_scores(&rng, &s);
        hop_certificate_h(DEGREE_MOST, fmax(s.x.T, 0), h);
        for (unsigned g = 1; g <= 4; g++)
            for (unsigned kind = 0; kind < 3; kind++) {
                hop_bound bound;
                if (!hop_certify(&s.x, g, h[g], 0, 1u << kind, &bound))
                    continue;
                if (g % 2 == 0 || kind == HOP_CERTIFICATE_W) {
                    ck_assert_double_eq(bound.steady, 0);
                    continue;
                }
                long double square = (long double)s.x.T_abs * s.x.T_abs, mean = 0, omega[ROWS];
                long double y = kind == HOP_CERTIFICATE_G && g == 3 ? fminl(2 * fmaxl(s.D[2], 0), square) : 0;
                for (size_t mu = 0; mu < s.M; mu++) {
                    long double q = (long double)s.t[mu] * s.t[mu];
                    omega[mu] = g == 1 ? q : (q - y) * (q - y);
                    mean += omega[mu] / (long double)s.M;
                }
                long double whole = g == 1 ? square : square * square, high = (long double)bound.E / mean;
                for (size_t mu = 0; mu < s.M && mean > 1e-6L * whole; mu++) {
                    if (!(omega[mu] > 1e-4L * whole))
                        continue;
                    long double e = expl((long double)s.t[mu]) - derivative(bound.c, g, 0, s.t[mu], false);
                    long double f = e / omega[mu], noise = ((long double)bound.error + 1e-17L) / omega[mu];
                    checked++;
                    ck_assert_msg(f - noise <= high && bound.steady * high <= (f + noise) * (1 + 2e-6L),
                                  "kind %u g=%u t=%g: %Lg, not in [%Lg, %Lg]", kind, g, s.t[mu], f, bound.steady * high,
                                  high);
                }
            }
    }
    ck_assert_uint_gt(checked, 10 * cases);
}
END_TEST

/* For a normal law k! sigma^2k in place of (2k-1)!! sigma^2k. */
START_TEST(the_mean_is_what_gauss_quadrature_gives)
{
    static const double factorial[] = {1, 1, 2, 6, 24};
    double sigma = 0.3, D[10] = {0}, D_error[10] = {0}, moment = 1;
    for (unsigned k = 0; k < 10; k += 2) {
        D[k] = moment / tgamma(k + 1);
        moment *= sigma * sigma * (k + 1);
    }
    const hop_exponents x = {
        .T = 1.2, .T_low = 1.2, .T_abs = 1.2, .s = 1.2, .fourth = (double)INFINITY, .D = D, .D_error = D_error};
    for (unsigned k = 1; k <= 4; k++) {
        hop_polynomial p;
        ck_assert(hop_gauss(&x, 2 * k - 1, &p));
        double least = factorial[k] * pow(sigma, 2 * k) / tgamma(2 * k + 1);
        ck_assert_double_ge(p.E, least);
        ck_assert_double_le(p.E, least * exp(1.2 / (2 * k + 1)) * 1.25);
    }
}
END_TEST

START_TEST(no_interpolation_beyond_its_range)
{
    double D[4] = {1, 0, 1, 0}, D_error[4] = {0};
    hop_exponents x = {.T = 17, .T_low = 17, .T_abs = 17, .s = 17, .fourth = 1, .D = D, .D_error = D_error};
    hop_polynomial p;
    ck_assert(!hop_gauss(&x, 2, &p) && !hop_gauss_fourth(&x, &p));
    x.T = x.T_low = x.T_abs = (double)NAN;
    ck_assert(!hop_gauss(&x, 2, &p) && !hop_gauss_fourth(&x, &p));
    x.T = x.T_low = x.T_abs = 1;
    D[2] = (double)NAN;
    ck_assert(!hop_gauss(&x, 2, &p) && !hop_gauss_fourth(&x, &p));
}
END_TEST

/* Scores with values, each certificate alone and all together, tails included: the answer lies within its bound. */
START_TEST(every_certificate_bounds_the_answer)
{
    test_rng rng;
    test_rng_init(&rng, seed, 3);
    size_t cases = hop_check_fast() ? 300 : 1500, there[HOP_CERTIFICATES] = {0};
    for (size_t i = 0; i < cases; i++) {
        scores s;
        draw_scores(&rng, &s);
        float v[SCORES_MOST], z;
        double couple = test_rng_below(&rng, 2) ? 1 : -1;
        for (size_t mu = 0; mu < s.M; mu++) /* half the time the heaviest errors meet the largest values */
            v[mu] = (float)(i % 2 ? couple * s.t[mu] : test_rng_normal(&rng));
        hop_geometry values;
        ck_assert(hop_geometry_init(&values, v, s.M, 1, NULL) == HOP_OK);
        long double S = 0, Z = 0, low = 0;
        for (size_t mu = 0; mu < s.M; mu++) {
            S += expl((long double)s.t[mu]);
            Z += expl((long double)s.t[mu]) * v[mu];
        }
        low = S / (long double)s.M;
        for (unsigned g = 1; g <= DEGREE_MOST; g++)
            for (int kind = 0; kind < HOP_CERTIFICATES; kind++) {
                double h[DEGREE_MOST + 1];
                hop_bound bound;
                hop_certificate_h(DEGREE_MOST, fmax(s.x.T, 0), h);
                if (!hop_certify(&s.x, g, h[g], 0, 1u << kind, &bound))
                    continue;
                there[kind]++;
                ck_assert_int_eq((int)bound.kind, kind);
                ck_assert_msg((long double)bound.D_low <= low * (1 + 1e-17L) &&
                                  (long double)bound.D_high >= low * (1 - 1e-17L),
                              "kind %d g=%u: [%g, %g] misses %Lg", kind, g, bound.D_low, bound.D_high, low);
                long double N = 0;
                for (size_t mu = 0; mu < s.M; mu++)
                    N += derivative(bound.c, g, 0, s.t[mu], false) *
                         (long double)hop_geometry_scaled(&values, &v[mu], 0);
                hop_error_terms terms = hop_bound_terms(&bound);
                double numerator = (double)(N / (long double)s.M);
                double reported = hop_certificate_answer(&values, &numerator, bound.D, &terms, &z);
                long double error = fabsl((long double)z - Z / S);
                ck_assert_msg(error <= (long double)reported + 1e-17L, "kind %d g=%u M=%zu T=%g: %Lg > %g", kind, g,
                              s.M, s.x.T_abs, error, reported);
            }
        hop_geometry_fini(&values);
    }
    for (int kind = 0; kind < HOP_CERTIFICATES; kind++)
        ck_assert_uint_gt(there[kind], cases);
}
END_TEST

/* mean t^4 over 3 (mean t^2)^2 for random directions, and the axes. */
static double largest_ratio(test_rng *rng, const float *rows, size_t M, size_t d)
{
    double largest = 0;
    for (size_t i = 0; i < 300; i++) {
        double x[8], second = 0, fourth = 0;
        for (size_t l = 0; l < d; l++)
            x[l] = i < d ? (double)(i == l) : test_rng_normal(rng);
        for (size_t mu = 0; mu < M; mu++) {
            double t = 0;
            for (size_t l = 0; l < d; l++)
                t += x[l] * (double)rows[mu * d + l];
            second += t * t / (double)M;
            fourth += t * t * t * t / (double)M;
        }
        largest = fmax(largest, fourth / (3 * second * second));
    }
    return largest;
}

/*
 * A's largest eigenvector is at right angles to where the recurrence starts, which then sees the other eigenvalue
 * alone. What it looks for is a guess: an answer is one that was proved, or there is none.
 */
START_TEST(a_guess_that_is_too_small_is_not_an_answer)
{
    enum { N = 2 };
    static const double seen[] = {0.01, 0.5, 0.985, 1};
    for (int both = 0; both < 2; both++)
        for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
            /*
             * v of norm 1, v_1 + (1 + 1/7) v_2 = 0; A = seen I + (1 - seen) v v^T, or less that where both signs count
             */
            const double v[N] = {8 / sqrt(113), -7 / sqrt(113)}, sign = both ? -1 : 1;
            double A[N * N], B[N * N] = {1, 0, 0, 1}, factor[N * N], trial[N * N], root[N], work[4 * N];
            for (size_t k = 0; k < N * N; k++)
                A[k] = sign * ((k % (N + 1) ? 0 : seen[i]) + (1 - seen[i]) * v[k / N] * v[k % N]);
            const hop_pencil pencil = {.n = N,
                                       .both = both,
                                       .A = A,
                                       .B = B,
                                       .factor = factor,
                                       .trial = trial,
                                       .root = root,
                                       .work = work,
                                       .most_A = 1,
                                       .most_B = 1,
                                       .error_A = 0x1p-50,
                                       .error_B = 0x1p-50};
            ck_assert(hop_pencil_factor(&pencil));
            const double K = hop_pencil_bound(&pencil, NULL);
            ck_assert_msg(K >= 1, "both=%d: K=%g where 1 is the least, %g was seen", both, K, seen[i]);
            ck_assert(seen[i] < 0.9 || K < 1.1);
        }
}
END_TEST

START_TEST(fourth_moments_stay_below_their_factor)
{
    test_rng rng;
    test_rng_init(&rng, seed, 4);
    for (size_t d = 1; d <= 8; d++)
        for (int heavy = 0; heavy < 2; heavy++) {
            static float rows[ROWS * 8];
            for (size_t l = 0; l < d; l++) {
                double mean = 0;
                for (size_t mu = 0; mu < ROWS; mu++) {
                    double n = test_rng_normal(&rng);
                    rows[mu * d + l] = (float)((heavy ? n * n * n : n) / (double)(l + 1));
                    mean += (double)rows[mu * d + l] / ROWS;
                }
                for (size_t mu = 0; mu < ROWS; mu++)
                    rows[mu * d + l] = (float)((double)rows[mu * d + l] - mean);
            }
            hop_source source = {.M = ROWS, .d = d, .memories = rows};
            hop_model *model;
            hop_features *features;
            ck_assert(hop_model_new(&source, NULL, &model, NULL) == HOP_OK);
            ck_assert(hop_features_build(model, 3, NULL, NULL, &features, NULL) == HOP_OK);
            double K = hop_fourth_factor(features, &model->key, NULL), seen = largest_ratio(&rng, rows, ROWS, d);
            ck_assert_msg(K >= seen * (1 - 1e-5), "d=%zu: K=%g, seen %g", d, K, seen);
            ck_assert_msg(K <= (heavy ? 60 : 2.5), "d=%zu: K=%g is no use, seen %g", d, K, seen);
            if (d == 1)
                ck_assert_double_le(K, seen * 1.011);
            ck_assert_double_eq(features->fourth, K);
            hop_features_free(features);
            hop_model_free(model);
        }
}
END_TEST

/* Against every memory's own t, for queries of every length and y of every size. */
static void check_skew(const hop_model *model, const hop_features *features, test_rng *rng)
{
    size_t d = model->d, M = model->M;
    const hop_geometry *key = &model->key;
    for (unsigned i = 0; i < 60; i++) {
        double x[8], t[ROWS], second = 0;
        for (size_t l = 0; l < d; l++)
            x[l] = test_rng_normal(rng);
        for (size_t mu = 0; mu < M; mu++) {
            t[mu] = 0;
            for (size_t l = 0; l < d; l++)
                t[mu] += hop_geometry_scaled(key, model->keys + mu * d, l) * x[l];
            second += t[mu] * t[mu] / (double)M;
        }
        double y = test_rng_below(rng, 4) ? 3 * second * test_rng_unit(rng) : 0;
        for (size_t l = 0; l < d; l++) {
            double sum[2] = {0}, weight[2] = {0};
            for (size_t mu = 0; mu < M; mu++)
                for (unsigned k = 0; k < 2; k++) {
                    double w = k ? (t[mu] * t[mu] - y) * (t[mu] * t[mu] - y) : t[mu] * t[mu];
                    sum[k] += w * hop_geometry_scaled(key, model->keys + mu * d, l);
                    weight[k] += w;
                }
            for (unsigned k = 0; k < 2; k++) {
                double skew = features->skew[k * d + l];
                ck_assert_msg(fabs(sum[k]) <= skew * weight[k] * (1 + 1e-9), "d=%zu l=%zu: skew_%u=%g, seen %g", d, l,
                              2 * k + 1, skew, fabs(sum[k]) / weight[k]);
                ck_assert(skew * key->scale[l] <= features->skew_most[k]);
            }
        }
    }
}

/* On few rows of a heavy law it is far from 0 and from the extents. d = 1: the ratio itself. */
START_TEST(no_query_sees_more_than_the_skewness)
{
    test_rng rng;
    test_rng_init(&rng, seed, 8);
    for (size_t d = 1; d <= 8; d++)
        for (int heavy = 0; heavy < 2; heavy++) {
            static float rows[ROWS * 8];
            for (size_t i = 0; i < ROWS * d; i++) {
                double n = test_rng_normal(&rng);
                rows[i] = (float)((heavy ? exp(n) : n) / (double)(1 + i % d));
            }
            hop_source source = {.M = ROWS, .d = d, .memories = rows};
            hop_model *model;
            hop_features *features;
            ck_assert(hop_model_new(&source, NULL, &model, NULL) == HOP_OK);
            ck_assert(hop_features_build(model, 4, NULL, NULL, &features, NULL) == HOP_OK);
            check_skew(model, features, &rng);
            for (size_t l = 0; l < d; l++) {
                ck_assert_double_le(features->skew[l], (heavy ? 1.18 : 0.6) * model->key.extent[l]);
                ck_assert_double_le(features->skew[d + l], 1.18 * model->key.extent[l]);
            }
            if (d == 1) {
                double cube = 0, square = 0;
                for (size_t mu = 0; mu < ROWS; mu++) {
                    double u = hop_geometry_scaled(&model->key, rows + mu, 0);
                    cube += u * u * u;
                    square += u * u;
                }
                ck_assert_double_le(features->skew[0], 1.011 * fabs(cube) / square);
            }
            hop_features_free(features);
            hop_model_free(model);
        }
}
END_TEST

/*
 * A column in which all rows agree is in no exponent, and a set that is its own mirror image leans nowhere: both have
 * their numbers, and those of the mirrored set are small.
 */
START_TEST(constant_columns_and_mirrored_sets_have_their_numbers)
{
    test_rng rng;
    test_rng_init(&rng, seed, 9);
    for (unsigned kind = 1; kind <= 3; kind++) {
        enum { D = 5, CONSTANT = 2 };
        bool constant = kind & 1, mirrored = kind & 2;
        static float rows[ROWS * D];
        for (size_t mu = 0; mu < ROWS; mu++)
            for (size_t l = 0; l < D; l++) {
                float *at = rows + mu * D + l;
                *at = mirrored && mu % 2 ? -at[-D] : (float)test_rng_normal(&rng);
            }
        for (size_t mu = 0; mu < ROWS && constant; mu++)
            rows[mu * D + CONSTANT] = mirrored ? 0 : 0.7f;
        hop_source source = {.M = ROWS, .d = D, .memories = rows};
        hop_model *model;
        hop_features *features;
        ck_assert(hop_model_new(&source, NULL, &model, NULL) == HOP_OK);
        ck_assert(hop_features_build(model, 4, NULL, NULL, &features, NULL) == HOP_OK);
        ck_assert_double_le(features->fourth, 2.5);
        if (mirrored) /* their mean is 0 */
            ck_assert_double_ge(features->fourth, largest_ratio(&rng, rows, ROWS, D) * (1 - 1e-5));
        check_skew(model, features, &rng);
        for (size_t l = 0; l < D; l++)
            for (unsigned k = 0; k < 2; k++) {
                double skew = features->skew[k * D + l];
                ck_assert_msg(skew <= (mirrored ? 1e-5 : 1.18), "kind %u, l=%zu: skew_%u=%g", kind, l, 2 * k + 1, skew);
                ck_assert(!constant || l != CONSTANT || skew == 0);
            }
        hop_features_free(features);
        hop_model_free(model);
    }
}
END_TEST

/* What the proof of K takes from the factorisation: its backward error, and that it refuses what is not definite. */
START_TEST(a_factorisation_is_of_the_matrix_it_was_given)
{
    enum { N = 97 };
    static double given[N * N], M[N * N], root[N * N];
    test_rng rng;
    test_rng_init(&rng, seed, 6);
    for (size_t i = 0; i < N * N; i++)
        root[i] = test_rng_normal(&rng);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            given[i * N + j] = i == j ? 0x1p-20 : 0;
            for (size_t k = 0; k < N; k++)
                given[i * N + j] += root[k * N + i] * root[k * N + j] / N;
        }
    memcpy(M, given, sizeof M);
    ck_assert(hop_cholesky(N, M));
    for (size_t i = 0; i < N; i++)
        for (size_t j = i; j < N; j++) {
            long double sum = 0, size = 0;
            for (size_t k = 0; k <= i; k++) {
                long double term = (long double)M[k * N + i] * M[k * N + j];
                sum += term;
                size += fabsl(term);
            }
            ck_assert(fabsl(sum - given[i * N + j]) <= (long double)hop_gamma(N + 3, HOP_U64) * size);
        }
    for (int kind = 0; kind < 3; kind++) {
        memcpy(M, given, sizeof M);
        M[kind == 1 ? 40 * N + 90 : 90 * N + 90] = kind == 0 ? -1e-3 : kind == 1 ? (double)NAN : (double)INFINITY;
        ck_assert_msg(!hop_cholesky(N, M), "kind %d", kind);
    }
}
END_TEST

/* At the largest d that has a factor; a cancelled search has none. */
START_TEST(many_coordinates_have_a_factor)
{
    enum { D = HOP_FOURTH_DIMENSION_MAX };
    float *rows = malloc(ROWS * D * sizeof *rows);
    ck_assert_ptr_nonnull(rows);
    test_rng rng;
    test_rng_init(&rng, seed, 7);
    for (size_t i = 0; i < ROWS * D; i++)
        rows[i] = (float)test_rng_normal(&rng);
    hop_source source = {.M = ROWS, .d = D, .memories = rows};
    hop_model *model;
    hop_features *features;
    ck_assert(hop_model_new(&source, NULL, &model, NULL) == HOP_OK);
    ck_assert(hop_features_build(model, 3, NULL, NULL, &features, NULL) == HOP_OK);
    ck_assert(isfinite(features->fourth));
    for (unsigned i = 0; i < 20; i++) { /* memories themselves are near the worst queries here */
        double second = 0, fourth = 0;
        for (size_t mu = 0; mu < ROWS; mu++) {
            double t = 0;
            for (size_t l = 0; l < D; l++)
                t += ((double)rows[mu * D + l] - model->key.centre[l]) * (double)rows[i * D + l];
            second += t * t / ROWS;
            fourth += t * t * t * t / ROWS;
        }
        ck_assert_double_le(fourth, features->fourth * 3 * second * second);
    }
    hop_progress progress = {.cancel = true};
    ck_assert(isinf(hop_fourth_factor(features, &model->key, &progress)));
    hop_features_free(features);
    hop_model_free(model);
    free(rows);
}
END_TEST

/* Linearly dependent coordinates: the normal law's matrix is singular. Maps below degree 3 do not have the moments. */
START_TEST(no_factor_where_nothing_is_known)
{
    static float rows[ROWS * 2];
    for (size_t mu = 0; mu < ROWS; mu++)
        rows[2 * mu] = rows[2 * mu + 1] = (float)mu;
    hop_source source = {.M = ROWS, .d = 2, .memories = rows};
    hop_model *model;
    ck_assert(hop_model_new(&source, NULL, &model, NULL) == HOP_OK);
    for (unsigned g = 2; g <= 3; g++) {
        hop_features *features;
        ck_assert(hop_features_build(model, g, NULL, NULL, &features, NULL) == HOP_OK);
        ck_assert(isinf(hop_fourth_factor(features, &model->key, NULL)));
        hop_features_free(features);
    }
    hop_model_free(model);
}
END_TEST

static void check_tails(const hop_geometry *g, const float *rows, size_t n_rows)
{
    for (size_t k = 0; k < HOP_TAIL_LEVELS; k++)
        for (size_t l = 0; l < g->n; l++) {
            const hop_tail tail = hop_geometry_tail(g, k, l);
            long double above = 0, below = 0, n = n_rows;
            for (size_t mu = 0; mu < n_rows; mu++) {
                long double u = ((long double)rows[mu * g->n + l] - g->centre[l]) * g->inverse[l];
                above += fmaxl(u - tail.upper, 0) / n;
                below += fmaxl(tail.lower - u, 0) / n;
            }
            ck_assert_msg((long double)tail.above >= above && (long double)tail.below >= below, "k=%zu l=%zu", k, l);
        }
}

/* Rows that a change left far from the frame's centre, closer together than u is exact. */
START_TEST(tails_hold_in_the_frame_of_other_rows)
{
    enum { N = 50 };
    static float before[2 * ROWS * N];
    test_rng rng;
    test_rng_init(&rng, seed, 6);
    for (size_t i = 0; i < ROWS * (size_t)N; i++) {
        before[i] = (float)ldexp(test_rng_unit(&rng), -(int)(i % N) - 5);
        before[ROWS * (size_t)N + i] = -1 + 0x1p-10f * (float)(i % 7);
    }
    hop_geometry base, kept;
    ck_assert(hop_geometry_init(&base, before, 2 * ROWS, N, NULL) == HOP_OK);
    ck_assert(hop_geometry_measure(&kept, before, ROWS, N,
                                   &(hop_kept_frame){.centre = base.centre, .scale = base.scale}, NULL, NULL,
                                   NULL) == HOP_OK);
    ck_assert(kept.centre[0] == base.centre[0]);
    check_tails(&kept, before, ROWS);
    hop_geometry_fini(&base);
    hop_geometry_fini(&kept);
}
END_TEST

START_TEST(tails_are_means_beyond_their_thresholds)
{
    enum { N = 70 };
    static float rows[ROWS * N];
    test_rng rng;
    test_rng_init(&rng, seed, 5);
    for (size_t i = 0; i < ROWS * (size_t)N; i++) {
        double n = test_rng_normal(&rng);
        rows[i] = i % N == 3 ? 5 : (float)(i % 3 ? n : n * n * n * 1e-20);
    }
    hop_geometry g;
    ck_assert(hop_geometry_init(&g, rows, ROWS, N, NULL) == HOP_OK);
    ck_assert_ptr_nonnull(g.tails);
    for (size_t k = 0; k < HOP_TAIL_LEVELS; k++) {
        ck_assert_uint_eq(hop_tail_level(ldexp(1, -(int)k - 1)), k);
        for (size_t l = 0; l < N; l++) {
            size_t beyond = 0;
            for (size_t mu = 0; mu < ROWS; mu++)
                beyond += hop_geometry_scaled(&g, rows + mu * N, l) > hop_geometry_tail(&g, k, l).upper + 1e-6;
            ck_assert_msg(l == 3 || (double)beyond <= ldexp(ROWS, -(int)k - 1), "k=%zu l=%zu: %zu beyond", k, l,
                          beyond);
        }
    }
    check_tails(&g, rows, ROWS);
    hop_geometry_fini(&g);
    ck_assert(hop_geometry_init(&g, rows, 10, N, NULL) == HOP_OK);
    ck_assert_ptr_null(g.tails);
    hop_geometry_fini(&g);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("polynomials");
    TCase *tcase = tcase_create("minimax");
    tcase_add_test(tcase, every_tabulated_distance_holds_on_its_whole_range);
    tcase_add_test(tcase, a_polynomial_covers_the_range_it_is_asked_for);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("gauss");
    tcase_add_test(tcase, what_an_interpolating_polynomial_misses_is_bounded);
    tcase_add_test(tcase, what_a_polynomial_misses_is_nearly_a_square);
    tcase_add_test(tcase, the_mean_is_what_gauss_quadrature_gives);
    tcase_add_test(tcase, no_interpolation_beyond_its_range);
    tcase_add_test(tcase, every_certificate_bounds_the_answer);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("sets");
    tcase_add_test(tcase, a_guess_that_is_too_small_is_not_an_answer);
    tcase_add_test(tcase, fourth_moments_stay_below_their_factor);
    tcase_add_test(tcase, no_query_sees_more_than_the_skewness);
    tcase_add_test(tcase, constant_columns_and_mirrored_sets_have_their_numbers);
    tcase_add_test(tcase, a_factorisation_is_of_the_matrix_it_was_given);
    tcase_add_test(tcase, many_coordinates_have_a_factor);
    tcase_add_test(tcase, no_factor_where_nothing_is_known);
    tcase_add_test(tcase, tails_are_means_beyond_their_thresholds);
    tcase_add_test(tcase, tails_hold_in_the_frame_of_other_rows);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    seed = test_seed(20240204520);
    return hop_check_main(argc, argv, make);
}
