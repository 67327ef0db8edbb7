/*
 * cases.c - see cases.h.
 */
#include "support/cases.h"

#include "support/check_main.h"
#include "support/rng.h"

#include <math.h>

test_rows test_data;
uint64_t test_cases_seed = 20240204520;

void test_fill_normal(float *out, size_t n, double scale, double offset, uint64_t stream)
{
    test_rng rng;
    test_rng_init(&rng, test_cases_seed, stream);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(offset + scale * test_rng_normal(&rng));
}

void test_start(test_engine *engine, size_t M, size_t d, size_t p, unsigned degree, size_t L)
{
    ck_assert(M * d <= TEST_CELLS_MOST && M * p <= TEST_CELLS_MOST);
    hop_source source = {.M = M, .d = d, .p = p, .memories = test_data.memories, .values = p ? test_data.values : NULL};
    hop_status status = test_engine_init(engine, &source, degree, L);
    ck_assert_msg(status == HOP_OK, "%s: %s", hop_status_word(status), engine->error.text);
}

void test_start_normal(test_engine *engine, size_t M, size_t d, double scale, double offset, unsigned degree, size_t L)
{
    test_fill_normal(test_data.memories, M * d, scale, offset, M * 1000 + d);
    test_start(engine, M, d, 0, degree, L);
}

void test_must_retrieve(test_engine *engine, const hop_request *request, size_t L, const float *x)
{
    hop_status status = test_engine_retrieve(engine, request, L, x);
    ck_assert_msg(status == HOP_OK, "%s: %s: %s", hop_mode_word(request->mode), hop_status_word(status),
                  engine->error.text);
}

static void must_be_within(const test_engine *engine, const hop_request *request, size_t q, const char *what,
                           long double error, double bound)
{
    ck_assert_msg(error <= (long double)bound, "%s row %zu degree %d beta %g: %s is off by %Lg, bound %g",
                  hop_mode_word(request->mode), q, engine->answer.degree[q], request->beta, what, error, bound);
}

void test_must_hold(test_engine *engine, const hop_request *request, size_t L, const float *x)
{
    const hop_answer *answer = &engine->answer;
    for (size_t q = 0; q < L; q++) {
        ck_assert(test_engine_truth(engine, request->beta, x + q * engine->source.d));
        ck_assert(isfinite(answer->error_bound[q]));
        must_be_within(engine, request, q, "z", oracle_distance(engine->truth, answer->z + q * engine->oracle.p),
                       answer->error_bound[q]);
        if (request->want & HOP_WANT_LOG_SUM_EXP)
            must_be_within(engine, request, q, "log_sum_exp",
                           oracle_lse_distance(engine->truth, answer->log_sum_exp[q]), answer->log_sum_exp_bound[q]);
        if (request->want & HOP_WANT_ENERGY)
            must_be_within(engine, request, q, "energy", oracle_energy_distance(engine->truth, answer->energy[q]),
                           answer->energy_bound[q]);
    }
}

hop_request test_best_effort(double beta, hop_mode mode, double max_error)
{
    hop_request request = test_request(beta, mode, max_error);
    request.best_effort = true;
    request.want = HOP_WANT_ENERGY | HOP_WANT_LOG_SUM_EXP;
    return request;
}
