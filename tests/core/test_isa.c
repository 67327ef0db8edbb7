/*
 * test_isa.c - choosing kernels by name, and that every machine's answers agree within their bounds.
 */
#include "support/cases.h"
#include "support/check_main.h"
#include "support/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"reference", "avx2", "avx512", "amx", "amx-tiles", "neon"};
enum { NAMES = sizeof names / sizeof *names };

START_TEST(names_choose_kernels)
{
    hop_error error = HOP_ERROR_NONE;
    ck_assert(hop_isa_choose("reference", NULL) == HOP_OK);
    ck_assert_str_eq(hop_isa_name(), "reference");
    static const char *const unknown[] = {"", "AVX2", "sse2", "avx5120", "NEON", "reference "};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        error = HOP_ERROR_NONE;
        ck_assert(hop_isa_choose(unknown[i], &error) == HOP_E_UNKNOWN);
        ck_assert(error.status == HOP_E_UNKNOWN && error.text[0]);
        ck_assert_str_eq(hop_isa_name(), "reference");
    }
    ck_assert(hop_isa_choose("auto", NULL) == HOP_OK);
    bool known = false;
    for (size_t i = 0; i < NAMES; i++)
        known = known || strcmp(hop_isa_name(), names[i]) == 0;
    ck_assert(known);
#if defined(__aarch64__)
    ck_assert_str_eq(hop_isa_name(), "neon"); /* part of every such machine */
#endif
    hop_check_note("auto is %s; OpenBLAS runs %s (%s)", hop_isa_name(), hop_blas_core(), hop_blas_config());
    ck_assert(hop_blas_core()[0] && hop_blas_config()[0]);
}
END_TEST

START_TEST(the_environment_chooses_where_no_name_is_given)
{
    setenv("HOPFIELDD_ISA", "reference", 1);
    ck_assert(hop_isa_choose(NULL, NULL) == HOP_OK);
    ck_assert_str_eq(hop_isa_name(), "reference");
    setenv("HOPFIELDD_ISA", "pdp11", 1);
    hop_error error = HOP_ERROR_NONE;
    ck_assert(hop_isa_choose(NULL, &error) == HOP_E_UNKNOWN);
    ck_assert_ptr_nonnull(strstr(error.text, "pdp11"));
    ck_assert_str_eq(hop_isa_name(), "reference");
    unsetenv("HOPFIELDD_ISA");
    ck_assert(hop_isa_choose("auto", NULL) == HOP_OK);
    char chosen[32];
    snprintf(chosen, sizeof chosen, "%s", hop_isa_name());
    ck_assert(hop_isa_choose("reference", NULL) == HOP_OK);
    ck_assert(hop_isa_choose(NULL, NULL) == HOP_OK);
    ck_assert_str_eq(hop_isa_name(), chosen);
}
END_TEST

/* The same questions to every machine: answers no further apart than their bounds allow. */
static void agreement_case(size_t M, size_t d, size_t p, double beta, hop_mode mode, double max_error)
{
    enum { L = 21 };
    static float x[L * 40], z[NAMES][L * 40];
    double bound[NAMES][L], lse[NAMES][L], lse_bound[NAMES][L];
    size_t n = 0, width = p ? p : d;
    test_fill_normal(test_data.memories, M * d, 0.5, 0.2, 70);
    test_fill_normal(test_data.values, M * (p ? p : 1), 1, 0, 71);
    test_fill_normal(x, L * d, 1, 0, 72);
    for (size_t i = 0; i < NAMES; i++) {
        if (hop_isa_choose(names[i], NULL) != HOP_OK)
            continue;
        test_engine engine;
        test_start(&engine, M, d, p, 4, L);
        hop_request request = test_best_effort(beta, mode, max_error);
        test_must_retrieve(&engine, &request, L, x);
        test_must_hold(&engine, &request, L, x);
        memcpy(z[n], engine.answer.z, L * width * sizeof **z);
        memcpy(bound[n], engine.answer.error_bound, sizeof bound[n]);
        memcpy(lse[n], engine.answer.log_sum_exp, sizeof lse[n]);
        memcpy(lse_bound[n], engine.answer.log_sum_exp_bound, sizeof lse_bound[n]);
        n++;
        test_engine_fini(&engine);
    }
    for (size_t a = 1; a < n; a++)
        for (size_t q = 0; q < L; q++) {
            ck_assert_double_le(fabs(lse[a][q] - lse[0][q]), lse_bound[a][q] + lse_bound[0][q]);
            for (size_t j = 0; j < width; j++)
                ck_assert_double_le(fabs((double)z[a][q * width + j] - (double)z[0][q * width + j]),
                                    bound[a][q] + bound[0][q]);
        }
}

START_TEST(machines_agree_within_their_bounds)
{
    static const hop_mode modes[] = {HOP_DENSE, HOP_ALMOST_LINEAR};
    for (size_t i = 0; i < 2; i++) {
        agreement_case(1, 1, 0, 1, modes[i], 1e-6);
        agreement_case(63, 3, 0, 0.3, modes[i], 1e-3);
        agreement_case(129, 8, 5, 0.1, modes[i], 1e-4);
        agreement_case(500, 17, 0, 0.05, modes[i], 1e-3);
        agreement_case(300, 33, 20, 0.03, modes[i], 1e-7);
        agreement_case(200, 5, 0, 50, modes[i], (double)INFINITY);
    }
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("isa");
    TCase *tcase = tcase_create("kernels");
    tcase_add_test(tcase, names_choose_kernels);
    tcase_add_test(tcase, the_environment_chooses_where_no_name_is_given);
    tcase_add_test(tcase, machines_agree_within_their_bounds);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    test_cases_seed = test_seed(test_cases_seed);
    return hop_check_main(argc, argv, make);
}
