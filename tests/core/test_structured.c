/*
 * test_structured.c - top_k, random_mask, window, sparsemax and entmax against their definitions, written here once
 * more from the exact scores, on random sets. What must happen in particular cases is test_structured_named.c's; bounds
 * on thousands of sets are test_soundness_structured.c's.
 */
#include "support/cases.h"
#include "support/check_main.h"
#include "support/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { L_MOST = 9, M_MOST = 3000 };

static test_engine engine;
static float x[L_MOST * 64];
static bool kept[M_MOST];
static oracle_real scores[M_MOST];

static hop_request structured(hop_mode mode, double beta)
{
    hop_request request = test_request(beta, mode, (double)INFINITY);
    request.want = HOP_WANT_TOP | HOP_WANT_SUPPORT | HOP_WANT_WEIGHTS | HOP_WANT_STEPS | HOP_WANT_ENERGY;
    if (hop_mode_against(mode) != HOP_AGAINST_MODEL)
        request.want |= HOP_WANT_LOG_SUM_EXP;
    request.top = engine.source.M;
    return request;
}

/* ---- the definitions --------------------------------------------------------------------------------- */

/* The k largest scores, of equal ones the lower ids. */
static void keep_top(size_t M, size_t k)
{
    for (size_t mu = 0; mu < M; mu++)
        kept[mu] = k >= M;
    for (size_t i = 0; i < k && k < M; i++) {
        size_t best = M;
        for (size_t mu = 0; mu < M; mu++)
            if (!kept[mu] && (best == M || scores[mu] > scores[best]))
                best = mu;
        kept[best] = true;
    }
}

/* splitmix64, as its authors have it: one output after the other. */
static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void keep_mask(size_t M, double keep, uint64_t seed)
{
    uint64_t state = seed - 0x9e3779b97f4a7c15u; /* the output for the state `seed` is mix(seed) */
    state = splitmix(&state);
    double smallest = 2;
    size_t at = 0, n = 0;
    for (size_t mu = 0; mu < M; mu++) {
        double number = ldexp((double)(splitmix(&state) >> 11), -53);
        kept[mu] = number < keep;
        n += kept[mu];
        if (number < smallest) {
            smallest = number;
            at = mu;
        }
    }
    kept[at] = kept[at] || n == 0;
}

static void keep_window(size_t M, size_t width, size_t l, size_t total)
{
    long long centre = total > 1 ? (long long)floor((double)l * (double)(M - 1) / (double)(total - 1) + 0.5) : 0;
    if (width == SIZE_MAX)
        width = (size_t)ceil(sqrt((double)M));
    for (size_t mu = 0; mu < M; mu++)
        kept[mu] = (size_t)llabs((long long)mu - centre) <= width;
}

/* engine.truth by the request's mode, for row l of `total`. */
static void define(const hop_request *request, size_t l, size_t total, const float *query)
{
    const hop_parameters *of = &request->parameters;
    const size_t M = engine.source.M;
    ck_assert(M <= M_MOST);
    ck_assert(oracle_scores(&engine.oracle, request->beta, query, scores));
    if (request->mode == HOP_SPARSEMAX || request->mode == HOP_ENTMAX) {
        oracle_entmax(&engine.oracle, request->beta, query, request->mode == HOP_SPARSEMAX ? 2 : of->alpha,
                      engine.truth);
        return;
    }
    if (request->mode == HOP_TOP_K)
        keep_top(M, of->k);
    else if (request->mode == HOP_RANDOM_MASK)
        keep_mask(M, of->keep, of->seed);
    else
        keep_window(M, of->width, l, total);
    oracle_softmax(&engine.oracle, request->beta, query, kept, engine.truth);
}

/* ---- agreement --------------------------------------------------------------------------------------- */

static double value_range(void)
{
    double range = 0;
    for (size_t j = 0; j < engine.oracle.p; j++)
        for (size_t mu = 1; mu < engine.source.M; mu++)
            range = fmax(
                range, fabs((double)engine.oracle.values[mu * engine.oracle.p + j] - (double)engine.oracle.values[j]));
    return range;
}

static void check_top(size_t q, size_t count)
{
    const hop_answer *answer = &engine.answer;
    const size_t M = engine.source.M;
    const uint64_t *id = answer->top_id + q * M;
    const double *weight = answer->top_weight + q * M;
    static bool seen[M_MOST];
    memset(seen, 0, sizeof seen);
    ck_assert_uint_eq(answer->top_count[q], count);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_lt(id[i], M);
        ck_assert(!seen[id[i]]);
        seen[id[i]] = true;
        ck_assert_double_eq_tol(weight[i], (double)engine.truth->weight[id[i]], 1e-9);
        ck_assert_double_eq_tol(weight[i], (double)answer->weights[q * M + id[i]], 1e-6);
        ck_assert_msg(i == 0 || weight[i] <= weight[i - 1], "%zu: weight %g after another", i, weight[i]);
    }
}

static void check_row(const hop_request *request, size_t q, const float *query)
{
    const hop_answer *answer = &engine.answer;
    const size_t M = engine.source.M, p = engine.oracle.p;
    const bool model = hop_mode_against(request->mode) == HOP_AGAINST_MODEL;
    const char *word = hop_mode_word(request->mode);
    const float *z = answer->z + q * p;
    double range = value_range(), size = 0;
    size_t positive = 0, members = 0;
    for (size_t j = 0; j < p; j++)
        size = fmax(size, fabs((double)engine.truth->z[j]));
    long double error = oracle_distance(engine.truth, z);
    const bool dense = request->mode == HOP_TOP_K && request->parameters.k >= M;
    ck_assert_msg(error <= (dense ? (long double)answer->error_bound[q] : 0x1p-23L * size + 1e-9L * range),
                  "%s M=%zu row %zu: off its definition by %Lg", word, M, q, error);
    if (model)
        ck_assert_msg(error <= (long double)answer->error_bound[q], "%s: off by %Lg, bound %g", word, error,
                      answer->error_bound[q]);
    for (size_t mu = 0; mu < M; mu++) {
        double truth = (double)engine.truth->weight[mu], weight = (double)answer->weights[q * M + mu];
        ck_assert_msg(fabs(weight - truth) <= 3e-7, "%s: weight %zu is %g, not %g", word, mu, weight, truth);
        if (!model && !kept[mu])
            ck_assert_msg(weight <= 0 && weight >= 0, "%s: memory %zu is left out and weighs %g", word, mu, weight);
        positive += answer->weights[q * M + mu] > 0;
        members += kept[mu];
    }
    if (model)
        ck_assert_uint_ge(answer->top_count[q], positive);
    check_top(q, model ? answer->top_count[q] : members);
    ck_assert_double_eq_tol(answer->support[q], (double)engine.truth->support, 1e-7 * (double)engine.truth->support);
    ck_assert(oracle_energy_distance(engine.truth, answer->energy[q]) <= (long double)answer->energy_bound[q]);
    if (!dense)
        ck_assert_double_le(answer->energy_bound[q], 1e-9 * (1 / request->beta + 1 + fabs(answer->energy[q])));
    if (!model)
        ck_assert(oracle_lse_distance(engine.truth, answer->log_sum_exp[q]) <=
                  (long double)answer->log_sum_exp_bound[q]);
    ck_assert_int_eq(answer->degree[q], 0);
    ck_assert_int_eq((int)answer->fallback[q], HOP_FALLBACK_NONE);
    ck_assert_uint_eq(answer->steps[q], 1);
    if (hop_mode_against(request->mode) == HOP_AGAINST_NOTHING)
        ck_assert(isinf(answer->error_bound[q]));
    if (request->mode == HOP_TOP_K) {
        ck_assert(test_engine_truth(&engine, request->beta, query));
        error = oracle_distance(engine.truth, z);
        ck_assert_msg(error <= (long double)answer->error_bound[q], "top_k: off dense by %Lg, bound %g", error,
                      answer->error_bound[q]);
    }
}

static void must_agree(const hop_request *request, size_t L)
{
    test_must_retrieve(&engine, request, L, x);
    for (size_t q = 0; q < L; q++) {
        const float *query = x + q * engine.source.d;
        define(request, request->first + q, request->total ? request->total : L, query);
        check_row(request, q, query);
    }
}

/* All modes with what they may be asked for, on the engine's set. */
static void all_modes(double beta, size_t L)
{
    static const size_t ks[] = {1, 2, 5, 32, M_MOST - 1, M_MOST, SIZE_MAX};
    static const double keeps[] = {1e-300, 0.01, 0.3, 1};
    static const size_t widths[] = {0, 1, 7, SIZE_MAX - 1, SIZE_MAX};
    static const double alphas[] = {1.01, 1.2, 1.5, 1.9, 2};
    hop_request request = structured(HOP_TOP_K, beta);
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
        request.parameters.k = ks[i];
        must_agree(&request, L);
    }
    request = structured(HOP_RANDOM_MASK, beta);
    for (size_t i = 0; i < sizeof keeps / sizeof *keeps; i++) {
        request.parameters.keep = keeps[i];
        request.parameters.seed = i * 0xdeadbeef;
        must_agree(&request, L);
    }
    request = structured(HOP_WINDOW, beta);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        request.parameters.width = widths[i];
        must_agree(&request, L);
    }
    request = structured(HOP_ENTMAX, beta);
    for (size_t i = 0; i < sizeof alphas / sizeof *alphas; i++) {
        request.parameters.alpha = alphas[i];
        must_agree(&request, L);
    }
    request = structured(HOP_SPARSEMAX, beta);
    must_agree(&request, L);
}

START_TEST(modes_agree_with_their_definitions)
{
    static const struct {
        size_t M, d, p;
        hop_similarity similarity;
        hop_packing packing;
    } sets[] = {
        {1, 3, 0, HOP_DOT, HOP_PACK_FULL},   {2, 1, 0, HOP_DOT, HOP_PACK_FULL},
        {7, 4, 2, HOP_DOT, HOP_PACK_NONE},   {64, 8, 0, HOP_COSINE, HOP_PACK_FULL},
        {65, 17, 5, HOP_DOT, HOP_PACK_KEYS}, {200, 8, 8, HOP_CENTERED_COSINE, HOP_PACK_NONE},
        {500, 5, 0, HOP_DOT, HOP_PACK_FULL},
    };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        const size_t M = sets[i].M, d = sets[i].d, p = sets[i].p;
        test_fill_normal(test_data.memories, M * d, 1, 0.3, 900 + i);
        test_fill_normal(test_data.values, M * p, 2, -1, 950 + i);
        test_fill_normal(x, L_MOST * d, 1, 0, 990 + i);
        hop_source source = {.M = M,
                             .d = d,
                             .p = p,
                             .memories = test_data.memories,
                             .values = p ? test_data.values : NULL,
                             .similarity = sets[i].similarity,
                             .packing = sets[i].packing};
        ck_assert(test_engine_init(&engine, &source, 0, L_MOST) == HOP_OK);
        static const double betas[] = {1e-6, 0.3, 2, 500};
        for (size_t b = 0; b < sizeof betas / sizeof *betas; b++)
            all_modes(betas[b], b % 2 ? L_MOST : 1);
        test_engine_fini(&engine);
    }
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("structured");
    TCase *definitions = tcase_create("definitions");
    tcase_add_test(definitions, modes_agree_with_their_definitions);
    suite_add_tcase(suite, definitions);
    return suite;
}

int main(int argc, char **argv)
{
    test_cases_seed = test_seed(test_cases_seed);
    return hop_check_main(argc, argv, make);
}
