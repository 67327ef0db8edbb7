/*
 * test_multiindex.c - the order of monomials against an enumeration that keeps every exponent.
 */
#include "support/check_main.h"

#include "core/multiindex.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { D_MOST = 9, CELLS = 1 << 17 };

/* Exponents of every monomial by the rule of the header: u_i times the suffix of the degree before. */
static unsigned char (*enumerate(const hop_multiindex *index))[D_MOST]
{
    unsigned char(*alpha)[D_MOST] = calloc(CELLS, sizeof *alpha);
    for (unsigned k = 1; k <= index->g; k++)
        for (size_t i = 0, at = index->start[k]; i < index->d; i++)
            for (size_t b = 0; b < hop_multiindex_suffix(index, k - 1, i); b++, at++) {
                size_t from = index->start[k - 1] + (k > 1 ? hop_multiindex_offset(index, k - 1, i) : 0) + b;
                ck_assert_uint_lt(at, index->start[k + 1]);
                memcpy(alpha[at], alpha[from], sizeof *alpha);
                alpha[at][i]++;
            }
    return alpha;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, D_MOST);
}

static void order_case(size_t d, unsigned g)
{
    hop_multiindex index;
    ck_assert(hop_multiindex_init(&index, d, g, NULL) == HOP_OK);
    ck_assert_uint_eq(index.start[0], 0);
    ck_assert_uint_eq(index.start[g + 1], hop_rank(d, g));
    unsigned char(*alpha)[D_MOST] = enumerate(&index);
    double *factorials = malloc(index.start[g + 1] * sizeof *factorials);
    unsigned char *scratch = malloc(index.start[g + 1]);
    hop_multiindex_factorials(&index, factorials, scratch);
    for (unsigned k = 0; k <= g; k++) {
        ck_assert_uint_eq(index.start[k + 1], hop_rank(d, k));
        for (size_t at = index.start[k]; at < index.start[k + 1]; at++) {
            unsigned degree = 0;
            double factorial = 1;
            for (size_t l = 0; l < d; l++) {
                degree += alpha[at][l];
                factorial *= tgamma(alpha[at][l] + 1.0);
            }
            ck_assert_uint_eq(degree, k);
            ck_assert_double_le(fabs(factorials[at] * factorial - 1), 1e-13);
        }
    }
    /* Every monomial once. */
    qsort(alpha, index.start[g + 1], sizeof *alpha, compare);
    for (size_t at = 1; at < index.start[g + 1]; at++)
        ck_assert_int_ne(compare(alpha[at - 1], alpha[at]), 0);
    free(alpha);
    free(factorials);
    free(scratch);
    hop_multiindex_fini(&index);
}

START_TEST(every_monomial_has_one_place)
{
    static const unsigned degree[] = {0, HOP_DEGREE_MAX, HOP_DEGREE_MAX, 16, 12, 9, 8, 7, 6, 6};
    for (size_t d = 1; d <= D_MOST; d++)
        for (unsigned g = 1; g <= degree[d]; g++)
            order_case(d, g);
}
END_TEST

START_TEST(a_lower_degree_is_a_prefix)
{
    hop_multiindex low, high;
    ck_assert(hop_multiindex_init(&low, 7, 3, NULL) == HOP_OK);
    ck_assert(hop_multiindex_init(&high, 7, 6, NULL) == HOP_OK);
    ck_assert_mem_eq(low.start, high.start, 5 * sizeof *low.start);
    for (unsigned k = 0; k <= 3; k++)
        for (size_t i = 0; i <= 7; i++)
            ck_assert_uint_eq(hop_multiindex_offset(&low, k, i), hop_multiindex_offset(&high, k, i));
    hop_multiindex_fini(&low);
    hop_multiindex_fini(&high);
}
END_TEST

START_TEST(orders_too_long_are_refused)
{
    hop_multiindex index;
    hop_error error = HOP_ERROR_NONE;
    ck_assert(hop_multiindex_init(&index, 3, HOP_DEGREE_MAX + 1, &error) == HOP_E_LIMIT);
    ck_assert(error.text[0]);
    ck_assert(hop_multiindex_init(&index, 100, 20, NULL) == HOP_E_LIMIT);
    ck_assert(hop_multiindex_init(&index, INT_MAX, 2, NULL) == HOP_E_LIMIT);
}
END_TEST

START_TEST(ranks_are_binomials_or_say_that_they_overflow)
{
    for (size_t d = 1; d < 30; d++) {
        ck_assert_uint_eq(hop_rank(d, 0), 1);
        ck_assert_uint_eq(hop_rank(d, 1), d + 1);
        for (unsigned g = 1; g < 30; g++) /* Pascal */
            ck_assert_uint_eq(hop_rank(d + 1, g), hop_rank(d + 1, g - 1) + hop_rank(d, g));
    }
    ck_assert_uint_eq(hop_rank(16, 4), 4845);
    ck_assert_uint_eq(hop_rank(30, 30), UINT64_C(118264581564861424));
    ck_assert_uint_eq(hop_rank(100, 174), UINT64_MAX);
    ck_assert_uint_eq(hop_rank(34, 34), UINT64_MAX);
    ck_assert_uint_eq(hop_rank(SIZE_MAX, 2), UINT64_MAX);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("multiindex");
    TCase *tcase = tcase_create("order");
    tcase_add_test(tcase, every_monomial_has_one_place);
    tcase_add_test(tcase, a_lower_degree_is_a_prefix);
    tcase_add_test(tcase, orders_too_long_are_refused);
    tcase_add_test(tcase, ranks_are_binomials_or_say_that_they_overflow);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
