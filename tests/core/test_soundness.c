/*
 * test_soundness.c - every reported bound against the 113-bit oracle, on thousands of seeded sets.
 *
 * One libcheck case a kind of set (support/sets.h); for each set two inverse temperatures, several queries and every
 * mode. A case goes on after a failure and prints up to eight, each with what replays it alone:
 *
 *     HOPFIELDD_TEST_SEED=<seed> HOPFIELDD_TEST_ONLY=<kind>:<index> test_soundness
 *
 * Every form and precision of the almost-linear retriever is forced in turn besides. Identities and named cases are in
 * test_retrieve.c.
 */
#include "core/almost_linear.h"
#include "support/check_main.h"
#include "support/engine.h"
#include "support/sets.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SETS_A_KIND = 200, SETS_A_KIND_FAST = 8, L_MOST = 20, BETAS = 2, SHOWN = 8, BINS = 400 };
enum { WAY_DENSE, WAY_DENSE_PROMISED, WAY_ALMOST_LINEAR, WAY_MEAN, WAY_LOG_SUM_EXP, WAY_FORMS };
enum { WAY_MINIMAX = WAY_FORMS + HOP_FORMS, WAYS };

static const char *const way_words[WAYS] = {
    "dense",   "dense with max_error", "almost_linear", "mean", "log_sum_exp", "lanes f32", "lanes f64", "one f32",
    "one f64", "certificate W"};
static const double build_most = 1.2e6; /* multiply-adds for the feature maps of one set */

/* Counted over all cases, forked or not: lives in shared memory. */
typedef struct tally {
    uint64_t sets, refused, answers[WAYS], unmet, unbounded;
    uint64_t tightness[WAYS][BINS]; /* of log10(bound / true error), a tenth of a decade a bin */
    double worst[WAYS];             /* largest true error / bound */
} tally;

static tally *counts;
static uint64_t seed;

/* One set under test, and where its failures go. */
typedef struct set_trial {
    test_set *set;
    test_engine engine;
    unsigned max_degree;
    size_t L;
    float x[L_MOST * 40];
    oracle_answer *truth[L_MOST];
    double beta, range;
    float *low, *high; /* p: range of the values */
    int failures;
    bool replay;
} set_trial;

/* ---- reporting --------------------------------------------------------------------------------------- */

__attribute__((format(printf, 4, 5))) static void complain(set_trial *trial, const hop_request *request, int64_t row,
                                                           const char *format, ...)
{
    trial->failures++;
    if (trial->failures > SHOWN)
        return;
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    const test_set *set = trial->set;
    hop_check_note("%s", what);
    hop_check_note("    HOPFIELDD_TEST_SEED=%" PRIu64 " HOPFIELDD_TEST_ONLY=%s:%zu  isa=%s M=%zu d=%zu p=%zu values=%s "
                   "similarity=%s max_degree=%u L=%zu",
                   set->seed, set->kind, set->index, hop_isa_name(), set->M, set->d, set->p,
                   set->values ? "given" : "keys", hop_similarity_word(set->similarity), trial->max_degree, trial->L);
    if (request)
        hop_check_note("    beta=%.17g max_error=%.17g mode=%s best_effort=%d row=%" PRId64, request->beta,
                       request->max_error, hop_mode_word(request->mode), request->best_effort, row);
}

static void count(int way, long double error, double bound)
{
    counts->answers[way]++;
    if (!(error > 0) || !(bound > 0) || isinf(bound))
        return;
    double ratio = (double)(error / (long double)bound);
    counts->worst[way] = fmax(counts->worst[way], ratio);
    double bin = fmax(0, fmin(BINS - 1, -10 * log10(ratio)));
    counts->tightness[way][(size_t)bin]++;
}

static double median_tightness(int way)
{
    uint64_t total = 0, below = 0;
    for (size_t i = 0; i < BINS; i++)
        total += counts->tightness[way][i];
    for (size_t i = 0; i < BINS; i++) {
        below += counts->tightness[way][i];
        if (2 * below >= total && total > 0)
            return pow(10, ((double)i + 0.5) / 10);
    }
    return 0;
}

static void open_tally(void)
{
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(counts != MAP_FAILED);
}

static void close_tally(void)
{
    hop_check_note("%s: %" PRIu64 " sets, %" PRIu64 " refused for a zero norm, %" PRIu64 " requests unmet, %" PRIu64
                   " energies without a finite bound",
                   hop_isa_name(), counts->sets, counts->refused, counts->unmet, counts->unbounded);
    for (int way = 0; way < WAYS; way++)
        hop_check_note("%s: %" PRIu64 " answers, worst true/bound %.4f, median bound/true %.3g", way_words[way],
                       counts->answers[way], counts->worst[way], median_tightness(way));
}

/* A suite that never met one of the forms, or certificate W, has not tested it. */
static bool every_form_met(void)
{
    bool all = true;
    for (int way = WAY_FORMS; way < WAYS; way++) {
        all = all && counts->answers[way] > 0;
        if (counts->answers[way] == 0)
            hop_check_note("%s: never used", way_words[way]);
    }
    return all;
}

/* ---- what must hold for one answer --------------------------------------------------------------------- */

static void check_z(set_trial *trial, const hop_request *request, size_t q)
{
    const hop_answer *answer = &trial->engine.answer;
    size_t p = trial->set->p;
    const float *z = answer->z + q * p;
    double bound = answer->error_bound[q], cap = 0;
    int degree = answer->degree[q];
    for (size_t j = 0; j < p; j++) {
        if (!(z[j] >= trial->low[j] && z[j] <= trial->high[j]))
            complain(trial, request, (int64_t)q, "z[%zu]=%.9g is outside its values' range [%.9g, %.9g]", j,
                     (double)z[j], (double)trial->low[j], (double)trial->high[j]);
        cap = fmax(cap, fmax((double)z[j] - (double)trial->low[j], (double)trial->high[j] - (double)z[j]));
    }
    long double error = oracle_distance(trial->truth[q], z);
    if (!isfinite(bound) || bound < 0)
        complain(trial, request, (int64_t)q, "error_bound=%g is no bound (degree %d)", bound, degree);
    else if (!(error <= (long double)bound))
        complain(trial, request, (int64_t)q, "UNSOUND error_bound=%.17g < true error=%.20Lg (degree %d, |t| up to %Lg)",
                 bound, error, degree, trial->truth[q]->radius);
    else if (bound > cap * (1 + 0x1p-40))
        complain(trial, request, (int64_t)q, "error_bound=%.17g is above what the range allows, %.17g (degree %d)",
                 bound, cap, degree);
    if (!request->best_effort && !(bound <= request->max_error))
        complain(trial, request, (int64_t)q, "error_bound=%.17g was promised to be within max_error (degree %d)", bound,
                 degree);
    int dense = isinf(request->max_error) ? WAY_DENSE : WAY_DENSE_PROMISED;
    count(degree == 0 ? dense : degree > 0 ? WAY_ALMOST_LINEAR : WAY_MEAN, error, bound);
    if (trial->replay)
        hop_check_note("%s beta=%g max_error=%g row=%zu degree=%d bound=%g true=%Lg |t|<=%Lg",
                       hop_mode_word(request->mode), request->beta, request->max_error, q, degree, bound, error,
                       trial->truth[q]->radius);
}

static void check_energy(set_trial *trial, const hop_request *request, size_t q)
{
    const hop_answer *answer = &trial->engine.answer;
    long double lse_error = oracle_lse_distance(trial->truth[q], answer->log_sum_exp[q]);
    long double energy_error = oracle_energy_distance(trial->truth[q], answer->energy[q]);
    double lse_bound = answer->log_sum_exp_bound[q], energy_bound = answer->energy_bound[q];
    if (isinf(lse_bound) || isinf(energy_bound))
        counts->unbounded++;
    if (!(lse_error <= (long double)lse_bound))
        complain(trial, request, (int64_t)q,
                 "UNSOUND log_sum_exp_bound=%.17g < true error=%.20Lg (degree %d, value %.17g)", lse_bound, lse_error,
                 answer->degree[q], answer->log_sum_exp[q]);
    if (!(energy_error <= (long double)energy_bound))
        complain(trial, request, (int64_t)q, "UNSOUND energy_bound=%.17g < true error=%.20Lg (degree %d, value %.17g)",
                 energy_bound, energy_error, answer->degree[q], answer->energy[q]);
    count(WAY_LOG_SUM_EXP, lse_error, lse_bound);
}

static void check_degree(set_trial *trial, const hop_request *request, size_t q)
{
    int degree = trial->engine.answer.degree[q];
    hop_fallback fallback = trial->engine.answer.fallback[q];
    bool possible = request->mode == HOP_DENSE           ? degree == 0
                    : request->mode == HOP_ALMOST_LINEAR ? degree == -1 || degree > 0
                                                         : degree >= 0;
    if (!possible || degree > (int)trial->max_degree)
        complain(trial, request, (int64_t)q, "degree %d is not one of this mode's", degree);
    bool fell_back = request->mode == HOP_AUTO && degree == 0;
    if ((fallback != HOP_FALLBACK_NONE) != fell_back)
        complain(trial, request, (int64_t)q, "degree %d with fallback %d", degree, (int)fallback);
}

static void check_answer(set_trial *trial, const hop_request *request)
{
    for (size_t q = 0; q < trial->L; q++) {
        check_z(trial, request, q);
        check_degree(trial, request, q);
        if (request->want & HOP_WANT_ENERGY)
            check_energy(trial, request, q);
    }
}

/* ---- requests ---------------------------------------------------------------------------------------- */

static bool run(set_trial *trial, const hop_request *request)
{
    hop_status status = test_engine_retrieve(&trial->engine, request, trial->L, trial->x);
    if (status == HOP_OK)
        check_answer(trial, request);
    else if (status != HOP_E_UNMET || request->best_effort)
        complain(trial, request, trial->engine.error.row, "status %s: %s", hop_status_word(status),
                 trial->engine.error.text);
    return status == HOP_OK;
}

/* The same request with and without best_effort: refused exactly where a bound is above max_error. */
static void run_both(set_trial *trial, hop_request request)
{
    request.best_effort = true;
    if (!run(trial, &request))
        return;
    double bound[L_MOST], largest = 0;
    for (size_t q = 0; q < trial->L; q++) {
        bound[q] = trial->engine.answer.error_bound[q];
        largest = fmax(largest, bound[q]);
    }
    request.best_effort = false;
    bool met = run(trial, &request);
    const hop_error *error = &trial->engine.error;
    if (met != (largest <= request.max_error))
        complain(trial, &request, -1, "%s although the largest bound with best_effort is %.17g",
                 met ? "answered" : "refused", largest);
    if (met)
        return;
    counts->unmet++;
    bool named = error->row >= 0 && error->row < (int64_t)trial->L && error->limit <= request.max_error &&
                 error->limit >= request.max_error && error->actual > request.max_error;
    if (!named)
        complain(trial, &request, error->row, "the refusal names row %" PRId64 ", limit %g, actual %g", error->row,
                 error->limit, error->actual);
    else if (bound[error->row] <= request.max_error)
        complain(trial, &request, error->row, "the refusal names a row whose bound is %g", bound[error->row]);
}

static void run_energy(set_trial *trial, hop_request request)
{
    hop_status status = test_engine_energy(&trial->engine, &request, trial->L, trial->x);
    if (status == HOP_E_UNMET && !request.best_effort)
        return;
    if (status != HOP_OK) {
        complain(trial, &request, trial->engine.error.row, "hop_energy: %s: %s", hop_status_word(status),
                 trial->engine.error.text);
        return;
    }
    const hop_answer *answer = &trial->engine.answer;
    for (size_t q = 0; q < trial->L; q++) {
        check_energy(trial, &request, q);
        if (!request.best_effort &&
            !(answer->log_sum_exp_bound[q] <= request.max_error && answer->energy_bound[q] <= request.max_error))
            complain(trial, &request, (int64_t)q, "hop_energy answered with bounds %g and %g above max_error",
                     answer->log_sum_exp_bound[q], answer->energy_bound[q]);
    }
}

static void run_requests(set_trial *trial)
{
    test_rng *rng = &trial->set->rng;
    double scale = trial->range > 0 ? trial->range : 1;
    for (hop_mode mode = HOP_AUTO; mode <= HOP_ALMOST_LINEAR; mode++) {
        hop_request request = test_request(trial->beta, mode, (double)INFINITY);
        request.want = test_rng_below(rng, 2) ? HOP_WANT_ENERGY | HOP_WANT_LOG_SUM_EXP : 0;
        request.best_effort = test_rng_below(rng, 2);
        if (mode != HOP_ALMOST_LINEAR || request.best_effort)
            run(trial, &request);
        request.want = HOP_WANT_ENERGY | HOP_WANT_LOG_SUM_EXP;
        request.max_error = 0;
        request.best_effort = true;
        run(trial, &request);
        request.max_error = scale * test_rng_log(rng, 1e-9, 1);
        run_both(trial, request);
    }
    hop_request energy = test_request(trial->beta, (hop_mode)test_rng_below(rng, 3), 0);
    energy.best_effort = true;
    run_energy(trial, energy);
    energy.best_effort = false;
    energy.max_error = test_rng_log(rng, 1e-9, 1) / trial->beta;
    if (isfinite(energy.max_error))
        run_energy(trial, energy);
}

/* ---- forms ------------------------------------------------------------------------------------------- */

static void check_form_row(set_trial *trial, hop_form form, size_t q, const hop_al_row *row)
{
    const hop_query *query = row->query;
    const oracle_answer *truth = trial->truth[q];
    if (row->degree == 0)
        return; /* no degree had a bound */
    long double error = oracle_distance(truth, row->z);
    if (!(error <= (long double)row->bound) || row->degree > (int)trial->max_degree)
        complain(trial, NULL, (int64_t)q, "UNSOUND %s: bound=%.17g < true error=%.20Lg (beta %.17g, degree %d, %c)",
                 way_words[WAY_FORMS + form], row->bound, error, trial->beta, row->degree, "TWG"[row->kind]);
    count(WAY_FORMS + (int)form, error, row->bound);
    if (row->kind == HOP_CERTIFICATE_W)
        count(WAY_MINIMAX, error, row->bound);
    double middle = (row->log_D_low + row->log_D_high) / 2 + log((double)trial->set->M);
    double slack = 16 * 0x1p-53 * (1 + fabs(query->base) + fabs(middle));
    double width = (row->log_D_high - row->log_D_low) / 2 + slack + query->base_error;
    double lse = (query->base + middle) / trial->beta;
    if (isfinite(lse) && !(oracle_lse_distance(truth, lse) <= (long double)(width / trial->beta * (1 + 0x1p-40))))
        complain(trial, NULL, (int64_t)q, "UNSOUND %s: log D in [%.17g, %.17g] (beta %.17g, degree %d, %c)",
                 way_words[WAY_FORMS + form], row->log_D_low, row->log_D_high, trial->beta, row->degree,
                 "TWG"[row->kind]);
}

/* Every form and precision of the almost-linear retriever, whether or not it would have been chosen. */
static void run_forms(set_trial *trial)
{
    const test_set *set = trial->set;
    const hop_features *features = hop_model_features(trial->engine.model);
    double *xi = malloc(trial->L * set->d * sizeof *xi);
    float *z = malloc(trial->L * set->p * sizeof *z);
    void *workspace = hop_aligned_alloc(hop_al_workspace_bytes(trial->engine.model, features));
    hop_query query[L_MOST];
    hop_al_row rows[L_MOST];
    bool prepared = true;
    for (size_t q = 0; q < trial->L; q++)
        prepared = prepared && hop_query_prepare(trial->engine.model, trial->beta, q, trial->x + q * set->d,
                                                 xi + q * set->d, &query[q], NULL) == HOP_OK;
    for (hop_form form = 0; form < HOP_FORMS && prepared; form++) {
        if (hop_evaluation_lanes(features, form) == 0)
            continue;
        double max_error =
            test_rng_below(&trial->set->rng, 2) ? 0 : trial->range * test_rng_log(&trial->set->rng, 1e-6, 1);
        unsigned cap = 1 + (unsigned)test_rng_below(&trial->set->rng, trial->max_degree);
        for (size_t q = 0; q < trial->L; q++)
            rows[q] = (hop_al_row){.query = &query[q],
                                   .z = z + q * set->p,
                                   .max_error = max_error,
                                   .degree_cap = cap,
                                   .best_effort = true,
                                   .log_sum = true};
        hop_al_run_form(trial->engine.model, features, form, rows, trial->L, workspace);
        for (size_t q = 0; q < trial->L; q++)
            check_form_row(trial, form, q, &rows[q]);
    }
    free(xi);
    free(z);
    hop_aligned_free(workspace);
}

/* ---- one set ----------------------------------------------------------------------------------------- */

static unsigned choose_degree(test_set *set)
{
    unsigned degree = 1 + (unsigned)test_rng_below(&set->rng, 8);
    double values = set->values || set->similarity != HOP_DOT ? 1.0 + (double)set->p : 1.0;
    while (degree > 1 && (double)set->M * values * (double)hop_rank(set->d, degree + 1) > build_most)
        degree--;
    return degree;
}

static double choose_beta(set_trial *trial, size_t turn)
{
    static const double radii[] = {1e-3, 1e-2, 0.1, 0.3, 0.5, 1,  1.5, 2,   3,   4,   6,    8,
                                   12,   20,   40,  75,  80,  85, 90,  200, 690, 700, 1000, 1e5};
    test_set *set = trial->set;
    if (turn == 0 && set->beta > 0)
        return set->beta;
    double radius = radii[test_rng_below(&set->rng, sizeof radii / sizeof *radii)];
    double beta = radius / test_engine_reach(&trial->engine, trial->x);
    return isfinite(beta) && beta > 0 ? beta : test_rng_log(&set->rng, 1e-3, 1e3);
}

/* Replace queries that a cosine cannot answer by others that it can. */
static void make_queries(set_trial *trial)
{
    test_set *set = trial->set;
    test_set_queries(set, trial->L, trial->x);
    for (size_t q = 0; q < trial->L; q++) {
        float *x = trial->x + q * set->d;
        while (set->similarity != HOP_DOT && oracle_query_norm(&trial->engine.oracle, x) <= 0)
            for (size_t l = 0; l < set->d; l++)
                x[l] = (float)test_rng_normal(&set->rng);
    }
}

static void find_ranges(set_trial *trial)
{
    const test_set *set = trial->set;
    const float *values = test_set_values(set);
    trial->low = malloc(set->p * sizeof(float));
    trial->high = malloc(set->p * sizeof(float));
    for (size_t j = 0; j < set->p; j++) {
        trial->low[j] = trial->high[j] = values[j];
        for (size_t mu = 1; mu < set->M; mu++) {
            trial->low[j] = fminf(trial->low[j], values[mu * set->p + j]);
            trial->high[j] = fmaxf(trial->high[j], values[mu * set->p + j]);
        }
    }
    trial->range = test_set_range(set);
}

/* A cosine refuses a memory of zero norm; after centring, one within f64 rounding of the mean may count as zero. */
static bool may_refuse(const test_set *set, int64_t row)
{
    if (set->similarity == HOP_DOT || row < 0 || row >= (int64_t)set->M)
        return false;
    long double square = 0, scale = 0;
    for (size_t l = 0; l < set->d; l++) {
        long double mean = 0, x = set->memories[(size_t)row * set->d + l];
        for (size_t mu = 0; set->similarity == HOP_CENTERED_COSINE && mu < set->M; mu++)
            mean += set->memories[mu * set->d + l] / (long double)set->M;
        square += (x - mean) * (x - mean);
        scale = fmaxl(scale, fmaxl(fabsl(x), fabsl(mean)));
    }
    return sqrtl(square) <= scale * (long double)set->d * 1e-13L;
}

static int check_set(size_t kind, size_t index, bool replay)
{
    set_trial trial = {.set = test_set_new(kind, seed, index), .replay = replay};
    test_set *set = trial.set;
    counts->sets++;
    trial.L = test_rng_below(&set->rng, 10) ? 1 + test_rng_below(&set->rng, 4) : L_MOST;
    trial.max_degree = choose_degree(set);
    hop_source source = test_set_source(set);
    hop_status status = test_engine_init(&trial.engine, &source, trial.max_degree, trial.L);
    if (status == HOP_E_DOMAIN && may_refuse(set, trial.engine.error.row)) {
        counts->refused++;
        test_set_free(set);
        return 0;
    }
    if (status != HOP_OK) {
        complain(&trial, NULL, -1, "no model: %s: %s", hop_status_word(status), trial.engine.error.text);
        test_set_free(set);
        return trial.failures;
    }
    make_queries(&trial);
    find_ranges(&trial);
    for (size_t q = 0; q < trial.L; q++)
        trial.truth[q] = oracle_answer_new(set->M, set->p);
    for (size_t turn = 0; turn < BETAS; turn++) {
        trial.beta = choose_beta(&trial, turn);
        for (size_t q = 0; q < trial.L; q++)
            oracle_retrieve(&trial.engine.oracle, trial.beta, trial.x + q * set->d, trial.truth[q]);
        run_requests(&trial);
        run_forms(&trial);
    }
    for (size_t q = 0; q < trial.L; q++)
        oracle_answer_free(trial.truth[q]);
    free(trial.low);
    free(trial.high);
    test_engine_fini(&trial.engine);
    test_set_free(set);
    return trial.failures;
}

START_TEST(every_bound_holds)
{
    size_t kind = (size_t)_i, n = hop_check_fast() ? SETS_A_KIND_FAST : SETS_A_KIND;
    const char *only = getenv("HOPFIELDD_TEST_ONLY"), *name = test_set_kind(kind);
    int failed_sets = 0, failures = 0;
    for (size_t index = 0; index < n; index++) {
        char label[64];
        snprintf(label, sizeof label, "%s:%zu", name, index);
        if (only && strcmp(only, label) != 0)
            continue;
        int found = check_set(kind, index, only != NULL);
        failed_sets += found > 0;
        failures += found;
    }
    ck_assert_msg(failures == 0, "%s: %d failures in %d of %zu sets", name, failures, failed_sets, n);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("soundness");
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
    seed = test_seed(20240204520);
    int status = hop_check_main(argc, argv, make);
    return status == 0 && counts && !getenv("HOPFIELDD_TEST_ONLY") && !every_form_met() ? 1 : status;
}
