/*
 * test_soundness_structured.c - the bounds of structured modes against the 113-bit oracle, on thousands of seeded sets:
 * top_k against dense, sparsemax and entmax against themselves, log-sum-exp and energy of every mode that has them.
 *
 * One libcheck case a kind of set (support/sets.h). HOPFIELDD_TEST_SEED=<seed> HOPFIELDD_TEST_ONLY=<kind>:<index>
 * replays one set.
 */
#include "support/check_main.h"
#include "support/engine.h"
#include "support/sets.h"

#include "core/selection.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SETS_A_KIND = 150, SETS_A_KIND_FAST = 8, L_MOST = 6, ROUNDS = 3, BINS = 400, SHOWN = 8 };

static const char *const way_words[HOP_MODES] = {
    [HOP_TOP_K] = "top_k", [HOP_SPARSEMAX] = "sparsemax", [HOP_ENTMAX] = "entmax"};

/* Counted over all cases, forked or not: lives in shared memory. */
typedef struct tally {
    uint64_t answers[HOP_MODES], energies[HOP_MODES], capped[HOP_MODES], tightness[HOP_MODES][BINS];
    double worst[HOP_MODES], worst_energy[HOP_MODES];
} tally;

static tally *counts;
static uint64_t seed;

typedef struct set_trial {
    test_set *set;
    test_engine engine;
    size_t L;
    float x[L_MOST * 40];
    bool *kept;
    int failures;
} set_trial;

static void complain(set_trial *trial, const hop_request *request, size_t q, const char *what, double bound,
                     long double error)
{
    if (++trial->failures > SHOWN)
        return;
    const test_set *set = trial->set;
    const hop_parameters *of = &request->parameters;
    hop_check_note("UNSOUND %s=%.17g < true error=%.20Lg", what, bound, error);
    hop_check_note("    HOPFIELDD_TEST_SEED=%" PRIu64 " HOPFIELDD_TEST_ONLY=%s:%zu  isa=%s M=%zu d=%zu p=%zu %s",
                   set->seed, set->kind, set->index, hop_isa_name(), set->M, set->d, set->p,
                   hop_similarity_word(set->similarity));
    hop_check_note("    beta=%.17g mode=%s k=%zu keep=%g seed=%" PRIu64 " width=%zu alpha=%.17g row=%zu", request->beta,
                   hop_mode_word(request->mode), of->k, of->keep, of->seed, of->width, of->alpha, q);
}

static void count(hop_mode mode, long double error, double bound, double range)
{
    counts->answers[mode]++;
    counts->capped[mode] += bound >= range / 2;
    if (!(error > 0) || !(bound > 0) || isinf(bound))
        return;
    double ratio = (double)(error / (long double)bound);
    counts->worst[mode] = fmax(counts->worst[mode], ratio);
    counts->tightness[mode][(size_t)fmax(0, fmin(BINS - 1, -10 * log10(ratio)))]++;
}

static void open_tally(void)
{
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(counts != MAP_FAILED);
}

static double median_tightness(int mode)
{
    uint64_t total = 0, below = 0;
    for (size_t i = 0; i < BINS; i++)
        total += counts->tightness[mode][i];
    for (size_t i = 0; i < BINS; i++) {
        below += counts->tightness[mode][i];
        if (2 * below >= total && total > 0)
            return pow(10, ((double)i + 0.5) / 10);
    }
    return 0;
}

static void close_tally(void)
{
    for (int mode = HOP_TOP_K; mode < HOP_MODES; mode++)
        if (counts->answers[mode] || counts->energies[mode])
            hop_check_note(
                "%s: %" PRIu64 " answers (%" PRIu64 " with a bound of half the range or more), worst true/bound "
                "%.4f, median bound/true %.3g; %" PRIu64 " energies, worst %.4f",
                hop_mode_word((hop_mode)mode), counts->answers[mode], counts->capped[mode], counts->worst[mode],
                median_tightness(mode), counts->energies[mode], counts->worst_energy[mode]);
}

/* ---- one request ------------------------------------------------------------------------------------- */

static bool certified(hop_mode mode)
{
    return way_words[mode] != NULL;
}

/* The mode's own softmax or entmax of query q, into engine.truth. top_k's memories are those that were answered. */
static void define(set_trial *trial, const hop_request *request, size_t q)
{
    test_engine *engine = &trial->engine;
    const hop_parameters *of = &request->parameters;
    const size_t M = trial->set->M;
    const float *x = trial->x + q * trial->set->d;
    if (request->mode == HOP_SPARSEMAX || request->mode == HOP_ENTMAX) {
        oracle_entmax(&engine->oracle, request->beta, x, request->mode == HOP_SPARSEMAX ? 2 : of->alpha, engine->truth);
        return;
    }
    memset(trial->kept, 0, M);
    for (size_t i = 0; request->mode == HOP_TOP_K && i < engine->answer.top_count[q]; i++)
        trial->kept[engine->answer.top_id[q * M + i]] = true;
    for (size_t mu = 0; request->mode == HOP_RANDOM_MASK && mu < M; mu++)
        trial->kept[mu] = hop_mask_number(of->seed, mu) < of->keep;
    hop_selection window = hop_selection_window(M, of->width, q, trial->L);
    for (size_t mu = window.first; request->mode == HOP_WINDOW && mu < window.end; mu++)
        trial->kept[mu] = true;
    oracle_softmax(&engine->oracle, request->beta, x, trial->kept, engine->truth);
}

static void check_bound(set_trial *trial, const hop_request *request, size_t q)
{
    const test_engine *engine = &trial->engine;
    const double bound = engine->answer.error_bound[q], range = test_set_range(trial->set);
    const long double error = oracle_distance(engine->truth, engine->answer.z + q * trial->set->p);
    if (!(error <= (long double)bound) || bound > range * (1 + 0x1p-20))
        complain(trial, request, q, "error_bound", bound, error);
    count(request->mode, error, bound, range);
}

static void check_energy(set_trial *trial, const hop_request *request, size_t q)
{
    const hop_answer *answer = &trial->engine.answer;
    const long double error = oracle_energy_distance(trial->engine.truth, answer->energy[q]);
    if (!(error <= (long double)answer->energy_bound[q]))
        complain(trial, request, q, "energy_bound", answer->energy_bound[q], error);
    counts->energies[request->mode]++;
    if (answer->energy_bound[q] > 0)
        counts->worst_energy[request->mode] =
            fmax(counts->worst_energy[request->mode], (double)(error / (long double)answer->energy_bound[q]));
    if (!(request->want & HOP_WANT_LOG_SUM_EXP))
        return;
    const long double lse_error = oracle_lse_distance(trial->engine.truth, answer->log_sum_exp[q]);
    if (!(lse_error <= (long double)answer->log_sum_exp_bound[q]))
        complain(trial, request, q, "log_sum_exp_bound", answer->log_sum_exp_bound[q], lse_error);
}

static void run(set_trial *trial, hop_request request)
{
    request.best_effort = true;
    request.want = HOP_WANT_TOP | HOP_WANT_ENERGY;
    if (hop_mode_against(request.mode) != HOP_AGAINST_MODEL)
        request.want |= HOP_WANT_LOG_SUM_EXP;
    request.top = trial->set->M;
    hop_status status = test_engine_retrieve(&trial->engine, &request, trial->L, trial->x);
    if (status == HOP_E_UNMET)
        return; /* scores or energies that leave the range of f64 */
    if (status != HOP_OK) {
        hop_check_note("%s", trial->engine.error.text);
        trial->failures++;
        return;
    }
    for (size_t q = 0; q < trial->L; q++) {
        define(trial, &request, q);
        check_energy(trial, &request, q);
        if (request.mode == HOP_TOP_K)
            test_engine_truth(&trial->engine, request.beta, trial->x + q * trial->set->d);
        if (certified(request.mode))
            check_bound(trial, &request, q);
    }
}

static void run_requests(set_trial *trial, double beta)
{
    static const double alphas[] = {1.01, 1.1, 1.2, 1.5, 1.75, 2};
    test_rng *rng = &trial->set->rng;
    const size_t M = trial->set->M;
    for (hop_mode mode = HOP_TOP_K; mode < HOP_MODES; mode++) {
        if (mode == HOP_LINEAR || mode == HOP_RANDOM_FEATURES)
            continue;
        hop_request request = test_request(beta, mode, (double)INFINITY);
        hop_parameters *of = &request.parameters;
        of->k = 1 + (test_rng_below(rng, 2) ? test_rng_below(rng, M + 1) : test_rng_below(rng, 4));
        of->keep = test_rng_log(rng, 1e-3, 1);
        of->seed = test_rng_next(rng);
        of->width = test_rng_below(rng, M + 2);
        of->alpha = test_rng_below(rng, 2) ? alphas[test_rng_below(rng, 6)] : test_rng_between(rng, 1.01, 2);
        /* where the mask keeps none the definition is test_structured.c's */
        bool any = false;
        for (size_t mu = 0; mu < M; mu++)
            any = any || hop_mask_number(of->seed, mu) < of->keep;
        if (!any)
            of->keep = 1;
        run(trial, request);
    }
}

/* ---- one set ----------------------------------------------------------------------------------------- */

static double choose_beta(set_trial *trial, size_t turn)
{
    static const double radii[] = {1e-6, 1e-2, 0.3, 1, 2, 4, 8, 20, 75, 90, 200, 700, 1e4, 1e6, 1e9, 1e13};
    test_set *set = trial->set;
    if (turn == 0 && set->beta > 0)
        return set->beta;
    double radius = radii[test_rng_below(&set->rng, sizeof radii / sizeof *radii)];
    double beta = radius / test_engine_reach(&trial->engine, trial->x);
    return isfinite(beta) && beta > 0 ? beta : test_rng_log(&set->rng, 1e-3, 1e3);
}

static int check_set(size_t kind, size_t index)
{
    set_trial trial = {.set = test_set_new(kind, seed, index)};
    test_set *set = trial.set;
    trial.L = 1 + test_rng_below(&set->rng, L_MOST);
    hop_source source = test_set_source(set);
    source.packing = (hop_packing)test_rng_below(&set->rng, 3);
    if (test_engine_init(&trial.engine, &source, 0, trial.L) == HOP_OK) { /* refusals are test_soundness.c's */
        trial.kept = calloc(set->M, sizeof *trial.kept);
        test_set_queries(set, trial.L, trial.x);
        for (size_t q = 0; q < trial.L; q++)
            while (set->similarity != HOP_DOT && oracle_query_norm(&trial.engine.oracle, trial.x + q * set->d) <= 0)
                for (size_t l = 0; l < set->d; l++)
                    trial.x[q * set->d + l] = (float)test_rng_normal(&set->rng);
        for (size_t turn = 0; turn < ROUNDS; turn++)
            run_requests(&trial, choose_beta(&trial, turn));
        free(trial.kept);
        test_engine_fini(&trial.engine);
    }
    test_set_free(set);
    return trial.failures;
}

START_TEST(every_bound_holds)
{
    size_t kind = (size_t)_i, n = hop_check_fast() ? SETS_A_KIND_FAST : SETS_A_KIND;
    const char *only = getenv("HOPFIELDD_TEST_ONLY"), *name = test_set_kind(kind);
    int failures = 0;
    for (size_t index = 0; index < n; index++) {
        char label[64];
        snprintf(label, sizeof label, "%s:%zu", name, index);
        if (!only || strcmp(only, label) == 0)
            failures += check_set(kind, index);
    }
    ck_assert_msg(failures == 0, "%s: %d failures", name, failures);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("soundness of structured modes");
    TCase *tcase = tcase_create("bounds");
    tcase_add_unchecked_fixture(tcase, open_tally, close_tally);
    tcase_add_loop_test(tcase, every_bound_holds, 0, (int)test_set_kinds());
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    hop_error error = HOP_ERROR_NONE;
    if (hop_isa_choose(NULL, &error) != HOP_OK)
        return hop_check_skip("%s", error.text);
    seed = test_seed(20240203900);
    return hop_check_main(argc, argv, make);
}
