/*
 * test_ahop.c - Algorithm 1 as it is written: its matrices against the polynomial, its answers against the oracle
 * within both bounds, and that the normaliser as printed would not pass.
 */
#include "support/cases.h"
#include "support/check_main.h"
#include "support/rng.h"

#include "core/ahop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct shape {
    size_t M, L, d, p;                   /* p = 0: values are the memories */
    double scale, offset, beta, delta_A; /* entries in offset +- scale, so that R has a limit */
} shape;

static const shape shapes[] = {
    {1, 1, 1, 0, 1, 0, 1, 0.1},        {2, 1, 1, 0, 1, 0, 1, 0.1},           {1, 4, 3, 0, 1, 0, 0.3, 0.01},
    {5, 2, 2, 0, 0.5, 0.2, 1, 0.05},   {2, 9, 3, 0, 0.4, 0, 1, 1e-3},        {30, 7, 4, 0, 0.5, 0, 0.25, 1e-3},
    {7, 30, 4, 2, 0.5, 0, 0.25, 1e-6}, {16, 16, 3, 5, 0.6, 0, 0.5, 1e-4},    {50, 3, 8, 0, 0.3, -0.1, 0.25, 0.01},
    {9, 5, 2, 0, 1, 0, 1, 1e-8},       {200, 4, 5, 1, 0.02, 0.5, 0.2, 1e-2}, {12, 8, 1, 3, 1e-20, 0, 1, 1e-3},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static float *queries;

static void fill(float *out, size_t n, double scale, double offset, uint64_t stream)
{
    test_rng rng;
    test_rng_init(&rng, test_cases_seed, stream);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(offset + scale * test_rng_between(&rng, -1, 1));
}

/* Memories and values into test_data, queries beside them. */
static hop_ahop *start(const shape *s, uint64_t stream)
{
    hop_ahop *ahop = NULL;
    hop_error error = HOP_ERROR_NONE;
    fill(test_data.memories, s->M * s->d, s->scale, s->offset, stream);
    fill(test_data.values, s->M * (s->p ? s->p : 1), 3, 1, stream + 1);
    queries = malloc(s->L * s->d * sizeof *queries);
    fill(queries, s->L * s->d, s->scale, -s->offset, stream + 2);
    hop_status status = hop_ahop_new(s->d, s->M, test_data.memories, s->L, queries, s->beta, s->delta_A, &ahop, &error);
    ck_assert_msg(status == HOP_OK, "%s", error.text);
    return ahop;
}

static void stop(hop_ahop *ahop)
{
    hop_ahop_free(ahop);
    free(queries);
}

static long double inner(const shape *s, size_t mu, size_t l)
{
    long double t = 0;
    for (size_t i = 0; i < s->d; i++)
        t += (long double)test_data.memories[mu * s->d + i] * (long double)queries[l * s->d + i];
    return s->beta * t;
}

/* beta sum_i |xi_i x_i| */
static double absolute(const shape *s, size_t mu, size_t l)
{
    double t = 0;
    for (size_t i = 0; i < s->d; i++)
        t += fabs((double)test_data.memories[mu * s->d + i] * (double)queries[l * s->d + i]);
    return s->beta * t;
}

static double product(const hop_ahop *ahop, size_t mu, size_t l)
{
    double sum = 0;
    for (size_t a = 0; a < ahop->r; a++)
        sum += ahop->U1[mu * ahop->r + a] * ahop->U2[l * ahop->r + a];
    return sum;
}

/* U1 U2^T = P_g(beta <xi, x>), entry by entry, and that is within delta_A of e^t, relative; r = C(d+g, g). */
START_TEST(the_matrices_are_the_polynomial)
{
    for (size_t i = 0; i < SHAPES; i++) {
        const shape *s = shapes + i;
        hop_ahop *ahop = start(s, 500 + 3 * i);
        ck_assert_uint_eq(ahop->r, hop_rank(s->d, ahop->g));
        ck_assert_double_eq(hop_ahop_degree(ahop->R, s->delta_A), ahop->g);
        for (size_t mu = 0; mu < s->M; mu++)
            for (size_t l = 0; l < s->L; l++) {
                const long double t = inner(s, mu, l);
                long double P = 0, size = 0, term = 1;
                for (unsigned k = 0; k <= ahop->g; k++) {
                    P += term;
                    size += fabsl(term);
                    term *= t / (k + 1);
                }
                ck_assert_double_le((double)fabsl(t), ahop->R * (1 + 1e-15));
                /* Terms of a row cancel down to those of t: at most e^R of them, relative. */
                const double room = 1e-15 * (double)ahop->r * exp(ahop->R);
                ck_assert_double_le((double)fabsl(product(ahop, mu, l) - P), room * (double)size);
                ck_assert_double_le((double)fabsl(P - expl(t)), s->delta_A * (double)expl(t));
            }
        stop(ahop);
    }
}
END_TEST

/* Largest |z - Z|, the oracle's own error taken off. */
static double distance(const shape *s, const double *z)
{
    const size_t p = s->p ? s->p : s->d;
    const oracle_set set = {.M = s->M,
                            .d = s->d,
                            .p = p,
                            .keys = test_data.memories,
                            .values = s->p ? test_data.values : test_data.memories,
                            .similarity = HOP_DOT};
    oracle_answer *truth = oracle_answer_new(s->M, p);
    double worst = 0;
    for (size_t l = 0; l < s->L; l++) {
        ck_assert(oracle_retrieve(&set, s->beta, queries + l * s->d, truth));
        for (size_t j = 0; j < p; j++) {
            const double off = (double)fabsl((long double)(truth->z[j] - (oracle_real)z[l * p + j]));
            worst = fmax(worst, off - (double)truth->z_error[j]);
        }
    }
    oracle_answer_free(truth);
    return worst;
}

START_TEST(answers_are_within_both_bounds)
{
    double most = 0;
    for (size_t i = 0; i < SHAPES; i++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            const shape *s = shapes + i;
            const size_t p = s->p ? s->p : s->d;
            hop_ahop *ahop = start(s, 1000 + 100 * i + 3 * seed);
            double *z = malloc(s->L * p * sizeof *z), *D = malloc(s->L * sizeof *D);
            hop_ahop_answer answer = {.z = z, .D = D};
            const float *values = s->p ? test_data.values : test_data.memories;
            ck_assert(hop_ahop_retrieve(ahop, p, values, &answer, NULL) == HOP_OK);
            const double off = distance(s, z);
            ck_assert_msg(off <= answer.sharp + answer.rounding, "shape %zu: off by %g, sharp %g + %g", i, off,
                          answer.sharp, answer.rounding);
            ck_assert_double_le(off, answer.lemma + answer.rounding);
            ck_assert_double_le(answer.sharp, answer.lemma * (1 + 1e-12));
            double B_v = 0, range = 0; /* both bounds by their formulas */
            for (size_t j = 0; j < p; j++) {
                double low = INFINITY, high = -INFINITY;
                for (size_t mu = 0; mu < s->M; mu++) {
                    low = fmin(low, (double)values[mu * p + j]);
                    high = fmax(high, (double)values[mu * p + j]);
                }
                B_v = fmax(B_v, fmax(high, -low));
                range = fmax(range, high - low);
            }
            const double delta = s->delta_A;
            ck_assert_double_le(fabs(answer.lemma - 2 * (double)s->M * B_v * delta), 1e-12 * answer.lemma);
            /* (1 - cos a)/sin a = tan(a/2), which does not cancel */
            ck_assert_double_le(fabs(answer.sharp - range * tan(asin(delta) / 2)), 1e-12 * answer.sharp + 1e-300);
            ck_assert_double_le(answer.rounding, 1e-9 * (B_v + 1e-300));
            const double roundings = 4.0 * ahop->g + 4 + (double)s->M + (double)ahop->r;
            for (size_t l = 0; l < s->L; l++) { /* over memories, not queries */
                double sum = 0, largest = 0;
                for (size_t mu = 0; mu < s->M; mu++) {
                    sum += product(ahop, mu, l);
                    largest = fmax(largest, absolute(s, mu, l));
                }
                ck_assert_double_le(fabs(D[l] - sum), 1e-10 * sum);
                /* A single term as large as e^t of absolute values takes all its roundings into account. */
                ck_assert_double_ge(answer.rounding, 0x1p-53 * roundings * exp(largest) * B_v * (double)s->M / D[l]);
            }
            if (s->M > 1 && answer.sharp > 0)
                most = fmax(most, off / answer.sharp);
            free(z);
            free(D);
            stop(ahop);
        }
    hop_check_note("largest error over the sharp bound: %.3g", most);
    ck_assert_double_gt(most, 1e-3); /* the polynomial is what errs, not only f64 */
}
END_TEST

/*
 * Step 4 as printed, D = diag(A 1) with sums over queries, one for each memory: Z = V D^{-1} A. Off by far more than
 * this answer's bound: the test above would have seen it, for M != L and for M = L. With M = 1 the softmax is 1, and
 * the printed one 1/L.
 */
START_TEST(the_printed_normaliser_would_be_caught)
{
    for (size_t i = 2; i < SHAPES; i++) {
        const shape *s = shapes + i;
        const size_t p = s->p ? s->p : s->d;
        hop_ahop *ahop = start(s, 2000 + 3 * i);
        double *z = malloc(s->L * p * sizeof *z), *printed = calloc(s->L * p, sizeof *z);
        hop_ahop_answer answer = {.z = z};
        const float *values = s->p ? test_data.values : test_data.memories;
        ck_assert(hop_ahop_retrieve(ahop, p, values, &answer, NULL) == HOP_OK);
        for (size_t mu = 0; mu < s->M; mu++) {
            double D = 0;
            for (size_t l = 0; l < s->L; l++)
                D += product(ahop, mu, l);
            for (size_t l = 0; l < s->L; l++)
                for (size_t j = 0; j < p; j++)
                    printed[l * p + j] += (double)values[mu * p + j] * product(ahop, mu, l) / D;
        }
        ck_assert_double_le(distance(s, z), answer.sharp + answer.rounding);
        ck_assert_double_gt(distance(s, printed), answer.sharp + answer.rounding);
        free(z);
        free(printed);
        stop(ahop);
    }
}
END_TEST

START_TEST(limits_and_bad_arguments)
{
    const float rows[] = {1, 2, 3, 4}, bad[] = {1, NAN, 3, 4}, huge[] = {1e30f, 0, 0, 0};
    hop_ahop *ahop = NULL;
    hop_error error = HOP_ERROR_NONE;
    ck_assert(hop_ahop_new(0, 2, rows, 2, rows, 1, 0.1, &ahop, &error) == HOP_E_SHAPE);
    ck_assert(hop_ahop_new(2, 0, rows, 2, rows, 1, 0.1, &ahop, NULL) == HOP_E_SHAPE);
    ck_assert(hop_ahop_new(2, 2, rows, 0, rows, 1, 0.1, &ahop, NULL) == HOP_E_SHAPE);
    ck_assert(hop_ahop_new(2, SIZE_MAX, rows, 2, rows, 1, 0.1, &ahop, NULL) == HOP_E_LIMIT);
    const double betas[] = {0, -1, (double)NAN, (double)INFINITY}, deltas[] = {0, -1, 0.11, (double)NAN};
    for (size_t i = 0; i < 4; i++) {
        ck_assert(hop_ahop_new(2, 2, rows, 2, rows, betas[i], 0.1, &ahop, NULL) == HOP_E_DOMAIN);
        ck_assert(hop_ahop_new(2, 2, rows, 2, rows, 1, deltas[i], &ahop, NULL) == HOP_E_DOMAIN);
    }
    error = HOP_ERROR_NONE;
    ck_assert(hop_ahop_new(2, 2, bad, 2, rows, 1, 0.1, &ahop, &error) == HOP_E_DOMAIN);
    ck_assert(error.row == 0 && error.column == 1);
    ck_assert(hop_ahop_new(2, 2, rows, 2, bad, 1, 0.1, &ahop, NULL) == HOP_E_DOMAIN);
    ck_assert(hop_ahop_new(2, 2, rows, 2, rows, 1, 0.1, &ahop, NULL) == HOP_E_LIMIT); /* R = 32: above degree 24 */
    ck_assert(hop_ahop_new(2, 2, huge, 2, huge, 1, 0.1, &ahop, NULL) == HOP_E_LIMIT);
    /* Degree 10 of 1000 coordinates */
    test_fill_normal(test_data.memories, 1000, 0.02, 0, 1);
    ck_assert(hop_ahop_new(1000, 1, test_data.memories, 1, test_data.memories, 0.5, 1e-3, &ahop, NULL) == HOP_E_LIMIT);
    ck_assert_ptr_null(ahop);
    hop_ahop_free(NULL);

    ck_assert(hop_ahop_new(2, 2, rows, 2, rows, 0.01, 0.1, &ahop, NULL) == HOP_OK);
    double z[8];
    hop_ahop_answer answer = {.z = z};
    ck_assert(hop_ahop_retrieve(ahop, 0, rows, &answer, NULL) == HOP_E_SHAPE);
    ck_assert(hop_ahop_retrieve(ahop, 2, bad, &answer, NULL) == HOP_E_DOMAIN);
    hop_ahop_free(ahop);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("ahop");
    TCase *matrices = tcase_create("algorithm 1");
    tcase_add_test(matrices, the_matrices_are_the_polynomial);
    tcase_add_test(matrices, answers_are_within_both_bounds);
    tcase_add_test(matrices, the_printed_normaliser_would_be_caught);
    tcase_add_test(matrices, limits_and_bad_arguments);
    suite_add_tcase(suite, matrices);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
