/*
 * test_orthogonal.c - the random vectors of random_features: what they are on every machine, that blocks are
 * orthogonal, and that each vector by itself is normal.
 */
#include "support/check_main.h"

#include "core/orthogonal.h"

#include <math.h>
#include <stdlib.h>

enum { WIDE = 70, MOST = 96 };

static double rows[WIDE * MOST];

static double inner(size_t d, const double *a, const double *b)
{
    double sum = 0;
    for (size_t l = 0; l < d; l++)
        sum += a[l] * b[l];
    return sum;
}

/* Made by a program of its own, from the words of orthogonal.h alone, with the C library's logarithm. */
START_TEST(vectors_are_those_of_the_definition)
{
    static const struct {
        uint64_t seed;
        size_t d, first, n;
        double w[9];
    } known[] = {
        {0,
         3,
         0,
         3,
         {-0.2789684357067892, 0.5055337460046542, 1.0998427615348103, -1.1965616864137079, -0.40719463127049593,
          -0.11633691565855908, 0.24972375817909373, -0.8655932013193735, 0.4612037624808528}},
        {0,
         3,
         3,
         2,
         {-0.6552211705687602, -1.5842381202722218, 1.5785656097604324, 2.181384252092219, 0.6234145864919274,
          1.5310901750464325}},
        {UINT64_MAX, 1, 5, 1, {-1.129352514715027}}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t d = known[i].d;
        hop_orthogonal_block(known[i].seed, d, known[i].first, known[i].n, d, rows, NULL);
        for (size_t k = 0; k < known[i].n * d; k++)
            ck_assert_msg(fabs(rows[k] - known[i].w[k]) < 1e-14, "seed %llu: number %zu is %.17g",
                          (unsigned long long)known[i].seed, k, rows[k]);
    }
}
END_TEST

/* The same bits everywhere: a sum over all of them, by their order, to the last place. */
START_TEST(bits_are_the_same_on_every_machine)
{
    uint64_t hash = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        size_t d = 1 + (size_t)seed * 3;
        hop_orthogonal_block(seed, d, d * (size_t)seed, d, MOST, rows, NULL);
        for (size_t i = 0; i < d; i++)
            for (size_t l = 0; l < d; l++) {
                union {
                    double number;
                    uint64_t bits;
                } of = {.number = rows[i * MOST + l]};
                hash = hash * UINT64_C(0x100000001b3) ^ of.bits;
            }
    }
    ck_assert_msg(hash == UINT64_C(0x80bdb038988efc50), "0x%016llx", (unsigned long long)hash);
}
END_TEST

START_TEST(blocks_are_orthogonal)
{
    static const size_t dimensions[] = {1, 2, 3, 16, 63, WIDE};
    for (size_t k = 0; k < sizeof dimensions / sizeof *dimensions; k++) {
        size_t d = dimensions[k];
        for (uint64_t seed = 0; seed < 20; seed++) {
            hop_orthogonal_block(seed, d, d * (size_t)seed, d, MOST, rows, NULL);
            for (size_t i = 0; i < d; i++)
                for (size_t j = 0; j < i; j++) {
                    const double *a = rows + i * MOST, *b = rows + j * MOST;
                    ck_assert(fabs(inner(d, a, b)) <= 1e-14 * sqrt(inner(d, a, a) * inner(d, b, b)));
                }
        }
    }
}
END_TEST

/* A block that is cut short has the first rows of the whole one: w_i does not depend on m. */
START_TEST(a_vector_depends_on_its_number_alone)
{
    static double some[WIDE * MOST];
    hop_orthogonal_block(5, 20, 40, 20, 20, rows, NULL);
    for (size_t n = 1; n <= 20; n++) {
        hop_orthogonal_block(5, 20, 40, n, 32, some, NULL);
        for (size_t i = 0; i < n; i++)
            ck_assert_mem_eq(some + i * 32, rows + i * 20, 20 * sizeof *rows);
    }
    hop_progress progress = {.cancel = true};
    hop_orthogonal_block(5, 20, 40, 20, 20, some, &progress); /* returns */
}
END_TEST

/* Moments of single coordinates, of lengths and across blocks; errors of means over n are about 1/sqrt(n). */
START_TEST(each_vector_is_normal)
{
    enum { D = 7, SEEDS = 4000 };
    double first = 0, second = 0, fourth = 0, length = 0, across = 0, n = (double)SEEDS * D * D;
    static double next[D * D];
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        hop_orthogonal_block(seed, D, 0, D, D, rows, NULL);
        hop_orthogonal_block(seed, D, D, D, D, next, NULL);
        for (size_t k = 0; k < (size_t)D * D; k++) {
            first += rows[k] / n;
            second += rows[k] * rows[k] / n;
            fourth += pow(rows[k], 4) / n;
            across += rows[k] * next[k] / n;
        }
        for (size_t i = 0; i < D; i++) {
            double square = inner(D, rows + i * D, rows + i * D);
            length += square * square / (SEEDS * D);
        }
    }
    hop_check_note("mean %.4f, variance %.4f, fourth moment %.4f, across blocks %.4f, length^4 %.3f of %d", first,
                   second, fourth, across, length, D * (D + 2));
    ck_assert(fabs(first) < 0.015 && fabs(second - 1) < 0.02 && fabs(fourth - 3) < 0.15 && fabs(across) < 0.015);
    ck_assert(fabs(length / (D * (D + 2)) - 1) < 0.04);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("orthogonal");
    TCase *tcase = tcase_create("vectors");
    tcase_add_test(tcase, vectors_are_those_of_the_definition);
    tcase_add_test(tcase, bits_are_the_same_on_every_machine);
    tcase_add_test(tcase, blocks_are_orthogonal);
    tcase_add_test(tcase, a_vector_depends_on_its_number_alone);
    tcase_add_test(tcase, each_vector_is_normal);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
