/*
 * test_revision.c - versions made of versions: what they hold, what they answer, what they share, and what they cost.
 */
#include "fixture.h"
#include "store/content_hash.h"
#include "store/phi_cache.h"
#include "store/revision.h"
#include "store/studies.h"
#include "support/check_main.h"
#include "support/executors.h"
#include "support/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { D = 3, P = 2, ROWS_MOST = 700, LABEL = 12, KEPT = 4, BUDGET_BYTES = 64 << 20 };

/* ---- a set as the test keeps it ------------------------------------------------------------------------ */

typedef struct row {
    uint64_t id;
    float memory[D], value[P];
    char label[LABEL];
} row;

typedef struct plain_set {
    size_t M;
    row rows[ROWS_MOST];
    uint64_t next_id;
    bool valued, labelled;
    hop_similarity similarity;
    store_options options;
    double mean[D]; /* of centered_cosine, from the beginning on */
} plain_set;

/* What may be appended, as arrays. */
typedef struct rows {
    size_t n;
    float memories[ROWS_MOST * D], values[ROWS_MOST * P];
    char text[ROWS_MOST][LABEL];
    const char *labels[ROWS_MOST];
} rows;

static void make_rows(test_rng *rng, size_t n, double reach, rows *out)
{
    out->n = n;
    for (size_t i = 0; i < n * D; i++)
        out->memories[i] = (float)test_rng_between(rng, -reach, reach + 0.5);
    for (size_t i = 0; i < n * P; i++)
        out->values[i] = (float)test_rng_between(rng, -1, 1);
    for (size_t i = 0; i < n; i++) {
        snprintf(out->text[i], LABEL, "%.*s%zu", (int)test_rng_below(rng, 4), "abc", test_rng_below(rng, 1000));
        out->labels[i] = out->text[i];
    }
}

static void plain_append(plain_set *set, const rows *added, bool labelled)
{
    for (size_t i = 0; i < added->n; i++) {
        row *to = &set->rows[set->M++];
        to->id = set->next_id++;
        memcpy(to->memory, added->memories + i * D, sizeof to->memory);
        memcpy(to->value, added->values + i * P, sizeof to->value);
        snprintf(to->label, LABEL, "%s", labelled ? added->text[i] : "");
    }
    set->labelled |= labelled;
}

static void plain_remove(plain_set *set, uint64_t id)
{
    size_t mu = 0;
    while (set->rows[mu].id != id)
        mu++;
    memmove(set->rows + mu, set->rows + mu + 1, (set->M - mu - 1) * sizeof *set->rows);
    set->M--;
}

/* ---- the same in the store ----------------------------------------------------------------------------- */

/* A set made afresh of these rows, about the mean of another, where that has one of its own; NULL: about theirs. */
static store_set *fresh(store_fixture *fixture, const plain_set *plain, const store_set *mean_of)
{
    hop_error error = HOP_ERROR_NONE;
    store_builder *builder = NULL;
    store_set *set = NULL;
    static uint64_t ids[ROWS_MOST];
    const char *labels[ROWS_MOST];
    bool numbered = plain->next_id == plain->M;
    ck_assert_int_eq(
        store_builder_new(&fixture->budget, 0, D, plain->valued ? P : 0, plain->similarity, &builder, &error), HOP_OK);
    for (size_t mu = 0; mu < plain->M; mu++) {
        const row *at = &plain->rows[mu];
        ck_assert_int_eq(store_builder_add(builder, 1, at->memory, plain->valued ? at->value : NULL, &error), HOP_OK);
        ids[mu] = at->id;
        labels[mu] = at->label;
    }
    const double *mean = mean_of ? hop_model_frames(mean_of->model).mean : NULL;
    if (mean)
        ck_assert_int_eq(store_builder_set_mean(builder, mean, &error), HOP_OK);
    if (!numbered)
        ck_assert_int_eq(store_builder_set_ids(builder, plain->M, ids, plain->next_id, &error), HOP_OK);
    if (plain->labelled)
        ck_assert_int_eq(store_builder_label(builder, plain->M, labels, &error), HOP_OK);
    ck_assert_msg(store_builder_finish(builder, &plain->options, NULL, &set, &error) == HOP_OK, "%s", error.text);
    store_builder_free(builder);
    return set;
}

static void assert_holds(const store_set *set, const plain_set *plain)
{
    ck_assert_uint_eq(set->M, plain->M);
    ck_assert_uint_eq(set->next_id, plain->next_id);
    ck_assert_uint_eq(set->d, D);
    ck_assert_uint_eq(set->p, plain->valued ? P : D);
    ck_assert_int_eq(set->values != NULL, plain->valued);
    ck_assert_int_eq(set->label_text != NULL, plain->labelled);
    ck_assert_double_eq(set->beta, plain->options.beta);
    ck_assert_double_eq(set->max_error, plain->options.max_error);
    ck_assert_int_eq(set->max_degree, plain->options.max_degree);
    for (size_t mu = 0, found; mu < plain->M; mu++) {
        const row *at = &plain->rows[mu];
        ck_assert_uint_eq(store_set_id(set, mu), at->id);
        ck_assert(store_set_row_of(set, at->id, &found) && found == mu);
        ck_assert(memcmp(set->memories + mu * D, at->memory, sizeof at->memory) == 0);
        ck_assert(!set->values || memcmp(set->values + mu * P, at->value, sizeof at->value) == 0);
        ck_assert(!set->label_text || strcmp(store_set_label(set, mu), at->label) == 0);
    }
}

/* What a memory or query is to the similarity. Memories are rounded to f32 once they are transformed. */
static void transformed(const plain_set *plain, const float *x, bool memory, double *out)
{
    double square = 0;
    for (size_t l = 0; l < D; l++) {
        out[l] = (double)x[l] - (plain->similarity == HOP_CENTERED_COSINE ? plain->mean[l] : 0);
        square += out[l] * out[l];
    }
    for (size_t l = 0; l < D && plain->similarity != HOP_DOT; l++)
        out[l] = memory ? (double)(float)(out[l] / sqrt(square)) : out[l] / sqrt(square);
}

/* z in f64, from the rows that the test keeps. */
static void direct(const plain_set *plain, double beta, const float *x, double *z)
{
    double query[D], key[D], score[ROWS_MOST], top = -INFINITY, sum = 0;
    transformed(plain, x, false, query);
    for (size_t mu = 0; mu < plain->M; mu++) {
        transformed(plain, plain->rows[mu].memory, true, key);
        score[mu] = 0;
        for (size_t l = 0; l < D; l++)
            score[mu] += beta * query[l] * key[l];
        top = fmax(top, score[mu]);
    }
    size_t p = plain->valued ? P : D;
    memset(z, 0, p * sizeof *z);
    for (size_t mu = 0; mu < plain->M; mu++) {
        const row *at = &plain->rows[mu];
        double weight = exp(score[mu] - top);
        sum += weight;
        for (size_t j = 0; j < p; j++)
            z[j] += weight * (double)(plain->valued ? at->value[j] : at->memory[j]);
    }
    for (size_t j = 0; j < p; j++)
        z[j] /= sum;
}

/* Within the bound that it gives, dense and, where there are maps, through them. Returns how many went through maps. */
static size_t assert_answers(const store_set *set, const plain_set *plain, const float *x)
{
    size_t through_maps = 0, bytes = hop_retrieve_workspace_bytes(set->model, 1);
    void *workspace = hop_aligned_alloc(bytes);
    static const hop_mode modes[] = {HOP_DENSE, HOP_AUTO, HOP_ALMOST_LINEAR};
    static const double betas[] = {0.05, 3};
    for (size_t i = 0; i < 6; i++) {
        hop_error error = HOP_ERROR_NONE;
        float z[D];
        double exact[D], bound;
        int degree;
        hop_fallback fallback;
        const hop_request request = {
            .beta = betas[i % 2], .max_error = 1, .mode = modes[i / 2], .best_effort = true, .steps = 1};
        hop_answer answer = {.z = z, .error_bound = &bound, .degree = &degree, .fallback = &fallback};
        hop_status status = hop_retrieve(set->model, &request, 1, x, workspace, bytes, &answer, &error);
        ck_assert_msg(status == HOP_OK, "%s", error.text);
        through_maps += request.mode == HOP_ALMOST_LINEAR && degree > 0;
        direct(plain, request.beta, x, exact);
        for (size_t j = 0; j < set->p; j++)
            ck_assert_msg(fabs((double)z[j] - exact[j]) <= bound + 1e-12, "mode %d, beta %g: %.17g is not %.17g +- %g",
                          (int)request.mode, request.beta, (double)z[j], exact[j], bound);
    }
    hop_aligned_free(workspace);
    return through_maps;
}

/* ---- random lives -------------------------------------------------------------------------------------- */

/* Earlier versions with what they held: they must not notice what is made of them. */
typedef struct kept {
    store_set *set;
    plain_set plain;
} kept;

typedef struct counts {
    size_t appended_in_place, carried, shared, through_maps;
} counts;

static void replace(kept *versions, size_t step, store_set *set, const plain_set *plain)
{
    kept *oldest = &versions[step % KEPT];
    if (oldest->set)
        assert_holds(oldest->set, &oldest->plain);
    store_set_release(oldest->set);
    *oldest = (kept){.set = set, .plain = *plain};
}

static store_revision random_append(test_rng *rng, plain_set *plain, rows *added)
{
    bool labelled = test_rng_below(rng, 3) == 0;
    make_rows(rng, 1 + test_rng_below(rng, 20), 1 + (double)(test_rng_below(rng, 30) == 0), added);
    plain_append(plain, added, labelled);
    return (store_revision){.kind = STORE_APPEND,
                            .added = {.M = added->n,
                                      .d = D,
                                      .p = plain->valued ? P : 0,
                                      .memories = added->memories,
                                      .values = plain->valued ? added->values : NULL,
                                      .labels = labelled ? added->labels : NULL}};
}

static store_revision random_removal(test_rng *rng, plain_set *plain, uint64_t *ids)
{
    size_t most = plain->M - 1 < 30 ? plain->M - 1 : 30, n = 1 + test_rng_below(rng, most);
    if (test_rng_below(rng, 4) == 0) { /* the last ones: their ids must not come again */
        for (size_t i = 0; i < n; i++)
            ids[i] = plain->rows[plain->M - 1 - i].id;
    } else {
        for (size_t i = 0; i < n; i++) {
            size_t at = test_rng_below(rng, plain->M - i);
            row taken = plain->rows[at];
            plain->rows[at] = plain->rows[plain->M - 1 - i]; /* sorted again below */
            plain->rows[plain->M - 1 - i] = taken;
            ids[i] = taken.id;
        }
        for (size_t i = 1; i < plain->M; i++)
            for (size_t j = i; j > 0 && plain->rows[j - 1].id > plain->rows[j].id; j--) {
                row swap = plain->rows[j];
                plain->rows[j] = plain->rows[j - 1];
                plain->rows[j - 1] = swap;
            }
    }
    for (size_t i = 0; i < n; i++)
        plain_remove(plain, ids[i]);
    return (store_revision){.kind = STORE_REMOVE, .ids = ids, .n_ids = n};
}

static store_revision random_settings(test_rng *rng, plain_set *plain, rows *names)
{
    store_revision revision = {.kind = STORE_SETTINGS, .options = STORE_OPTIONS_DEFAULT};
    if (test_rng_below(rng, 2))
        plain->options.beta = revision.options.beta = test_rng_between(rng, 0.1, 2);
    if (test_rng_below(rng, 2))
        plain->options.max_error = revision.options.max_error = test_rng_between(rng, 0, 1);
    if (test_rng_below(rng, 4) == 0) {
        plain->options.max_degree = (int)test_rng_below(rng, 4) - 1;
        revision.options.max_degree = plain->options.max_degree < 0 ? STORE_DEGREE_FREE : plain->options.max_degree;
    }
    revision.relabel = test_rng_below(rng, 4) == 0;
    if (revision.relabel)
        plain->labelled = test_rng_below(rng, 3) > 0;
    if (revision.relabel && plain->labelled) {
        make_rows(rng, plain->M, 1, names);
        revision.labels = names->labels;
        revision.n_labels = plain->M;
        for (size_t mu = 0; mu < plain->M; mu++)
            snprintf(plain->rows[mu].label, LABEL, "%s", names->text[mu]);
    }
    for (size_t mu = 0; mu < plain->M && !plain->labelled; mu++)
        plain->rows[mu].label[0] = '\0';
    return revision;
}

/* Maps as operations would build them. */
static void give_maps(store_fixture *fixture, store_set *set)
{
    hop_error error = HOP_ERROR_NONE;
    hop_features *features = NULL;
    unsigned degree = set->max_degree < 0 ? 2 : (unsigned)set->max_degree;
    if (store_set_state(set) != STORE_BUILDING)
        return;
    if (degree > 0) {
        size_t bytes = hop_features_build_bytes(set->model, degree, 1);
        ck_assert_int_eq(store_budget_charge(&fixture->budget, bytes, "maps", &error), HOP_OK);
        ck_assert_int_eq(hop_features_build(set->model, degree, NULL, NULL, &features, &error), HOP_OK);
        store_set_adopt(set, features, bytes);
    }
    store_set_settle(set, STORE_READY, NULL);
}

static void live(store_fixture *fixture, uint64_t seed, size_t which, size_t steps, counts *count)
{
    static kept versions[KEPT];
    static plain_set plain;
    static rows some;
    static uint64_t ids[ROWS_MOST];
    test_rng rng;
    test_rng_init(&rng, seed, which);
    memset(versions, 0, sizeof versions);
    plain = (plain_set){.valued = which & 1,
                        .similarity = (hop_similarity)(which / 2 % 3),
                        .options = {.beta = 0.5, .max_error = 0.25, .max_degree = 2}};
    make_rows(&rng, 200, 1, &some);
    plain_append(&plain, &some, which & 2);
    store_set *set = fresh(fixture, &plain, NULL);
    const double *mean = hop_model_frames(set->model).mean;
    for (size_t l = 0; l < D && mean; l++)
        plain.mean[l] = mean[l];
    give_maps(fixture, set);
    for (size_t step = 0; step < steps; step++) {
        hop_error error = HOP_ERROR_NONE;
        replace(versions, step, set, &plain);
        const store_set *base = set;
        size_t kind = test_rng_below(&rng, 8);
        bool settings = kind < 2, appends = !settings && (plain.M < 60 || (kind < 6 && plain.M < ROWS_MOST - 20));
        const store_revision revision = settings  ? random_settings(&rng, &plain, &some)
                                        : appends ? random_append(&rng, &plain, &some)
                                                  : random_removal(&rng, &plain, ids);
        const hop_executor *executor = test_rng_below(&rng, 2) ? &test_on_threads : NULL;
        ck_assert_msg(store_revise(base, &revision, executor, &set, &error) == HOP_OK, "%s", error.text);
        assert_holds(set, &plain);
        ck_assert_int_eq(set->created_ms, base->created_ms);
        count->appended_in_place += appends && set->memories == base->memories;
        count->shared += settings && set->body == base->body;
        count->carried += !settings && store_set_state(set) == STORE_READY;
        if (test_rng_below(&rng, 8) > 0)
            give_maps(fixture, set);
        float x[D];
        for (size_t l = 0; l < D; l++)
            x[l] = (float)test_rng_between(&rng, -1, 1.5);
        count->through_maps += assert_answers(set, &plain, x);
        if (step % 8 == 0) {
            store_set *again = fresh(fixture, &plain, set);
            ck_assert_uint_eq(again->content_hash, set->content_hash);
            store_set_release(again);
        }
    }
    replace(versions, steps, set, &plain);
    for (size_t i = 1; i <= KEPT; i++) /* oldest first, so that what is shared goes in every order over the seeds */
        replace(versions, steps + i, NULL, &plain);
}

START_TEST(random_lives)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    uint64_t seed = test_seed(20261122);
    counts count = {0};
    for (size_t round = 0; round < (hop_check_fast() ? 1 : 6); round++)
        live(&fixture, seed + round, (size_t)_i, 200, &count);
    hop_check_note("%zu appended in place, %zu with maps carried over, %zu settings shared, %zu answers through maps",
                   count.appended_in_place, count.carried, count.shared, count.through_maps);
    ck_assert_uint_gt(count.appended_in_place, 20);
    ck_assert_uint_gt(count.carried, 20);
    ck_assert_uint_gt(count.shared, 10);
    ck_assert_uint_gt(count.through_maps, 20);
    fixture_fini(&fixture);
}
END_TEST

/* ---- errors -------------------------------------------------------------------------------------------- */

static hop_status refused(const store_set *base, const store_revision *revision, hop_error *error)
{
    store_set *set = NULL;
    size_t reserved = store_budget_reserved(base->budget);
    *error = HOP_ERROR_NONE;
    hop_status status = store_revise(base, revision, NULL, &set, error);
    ck_assert_ptr_null(set);
    ck_assert_int_ne(status, HOP_OK);
    ck_assert_int_eq(error->status, status);
    ck_assert_str_ne(error->text, "");
    ck_assert_uint_eq(store_budget_reserved(base->budget), reserved);
    return status;
}

START_TEST(what_cannot_be_done_is_refused)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    static plain_set plain;
    static rows some;
    test_rng rng;
    test_rng_init(&rng, 1, 1);
    plain = (plain_set){.similarity = HOP_COSINE, .options = {.beta = 1, .max_error = 1, .max_degree = 0}};
    make_rows(&rng, 40, 1, &some);
    plain_append(&plain, &some, true);
    store_set *base = fresh(&fixture, &plain, NULL);
    hop_error error;

    store_revision append = {.kind = STORE_APPEND, .added = {.M = 5, .d = D, .memories = some.memories}};
    append.added.M = 0;
    ck_assert_int_eq(refused(base, &append, &error), HOP_E_SHAPE);
    append.added.M = 5;
    append.added.d = D + 1;
    ck_assert_int_eq(refused(base, &append, &error), HOP_E_SHAPE);
    append.added.d = D;
    append.added.p = P;
    append.added.values = some.values;
    ck_assert_int_eq(refused(base, &append, &error), HOP_E_SHAPE);
    append.added.p = 0;
    append.added.values = NULL;
    memset(some.memories + 3 * D, 0, D * sizeof(float));
    ck_assert_int_eq(refused(base, &append, &error), HOP_E_DOMAIN);
    ck_assert_int_eq(error.row, 3);
    ck_assert_msg(strstr(error.text, "row 3 of those appended") != NULL, "%s", error.text);
    some.memories[3 * D] = NAN;
    ck_assert_int_eq(refused(base, &append, &error), HOP_E_DOMAIN);
    ck_assert_int_eq(error.row, 3);
    ck_assert_int_eq(error.column, 0);
    some.memories[3 * D] = 1;
    static char long_label[STORE_LABEL_BYTES + 2];
    memset(long_label, 'x', STORE_LABEL_BYTES + 1);
    const char *labels[40] = {"a", "b", long_label, "d", "e"};
    append.added.labels = labels;
    ck_assert_int_eq(refused(base, &append, &error), HOP_E_LIMIT);
    ck_assert_int_eq(error.row, 2);

    const uint64_t unknown[] = {3, 40}, twice[] = {3, 4, 3};
    uint64_t all[40];
    for (size_t i = 0; i < 40; i++)
        all[i] = 39 - i;
    store_revision removal = {.kind = STORE_REMOVE, .ids = unknown, .n_ids = 2};
    ck_assert_int_eq(refused(base, &removal, &error), HOP_E_UNKNOWN);
    ck_assert_int_eq(error.row, 1);
    ck_assert_ptr_nonnull(strstr(error.text, "40"));
    removal.ids = twice;
    removal.n_ids = 3;
    ck_assert_int_eq(refused(base, &removal, &error), HOP_E_DOMAIN);
    ck_assert_int_eq(error.row, 2);
    removal.n_ids = 0;
    ck_assert_int_eq(refused(base, &removal, &error), HOP_E_SHAPE);
    removal.ids = all;
    removal.n_ids = 40;
    ck_assert_int_eq(refused(base, &removal, &error), HOP_E_DOMAIN);

    store_revision relabel = {
        .kind = STORE_SETTINGS, .options = STORE_OPTIONS_DEFAULT, .relabel = true, .labels = labels, .n_labels = 5};
    ck_assert_int_eq(refused(base, &relabel, &error), HOP_E_SHAPE);
    relabel.n_labels = 40;
    for (size_t i = 3; i < 40; i++)
        labels[i] = "";
    ck_assert_int_eq(refused(base, &relabel, &error), HOP_E_LIMIT);
    ck_assert_int_eq(error.row, 2);

    /* The budget: nothing is left of what was begun. */
    size_t rest = fixture.budget.limit_bytes - store_budget_reserved(&fixture.budget);
    ck_assert_int_eq(store_budget_charge(&fixture.budget, rest, "the rest", &error), HOP_OK);
    append.added.labels = NULL;
    removal.n_ids = 1;
    labels[2] = "";
    ck_assert_int_eq(refused(base, &append, &error), HOP_E_BUDGET);
    ck_assert(error.actual > error.limit);
    ck_assert_int_eq(refused(base, &removal, &error), HOP_E_BUDGET);
    ck_assert_int_eq(refused(base, &relabel, &error), HOP_E_BUDGET);
    store_budget_release(&fixture.budget, rest);
    assert_holds(base, &plain);
    store_set_release(base);
    fixture_fini(&fixture);
}
END_TEST

/* ---- what is shared ------------------------------------------------------------------------------------ */

/* A set of 40 rows, published, with maps of degree 2. */
static store_set *published(store_fixture *fixture)
{
    const store_options options = {.beta = 1, .max_error = 1, .max_degree = 2};
    fixture_put(fixture, "s", fixture_set(fixture, 40, D, 0, &options));
    store_set *set = fixture_get(fixture, "s");
    fixture_settle(set);
    ck_assert_ptr_nonnull(hop_model_features(set->model));
    return set;
}

static store_set *with_degree(const store_set *base, int max_degree)
{
    hop_error error = HOP_ERROR_NONE;
    store_set *set = NULL;
    const store_revision revision = {.kind = STORE_SETTINGS, .options = {.max_error = -1, .max_degree = max_degree}};
    ck_assert_msg(store_revise(base, &revision, NULL, &set, &error) == HOP_OK, "%s", error.text);
    return set;
}

START_TEST(settings_share_what_is_made_of_rows)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    store_phi_cache *cache = NULL;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_phi_cache_new(1 << 20, &cache, &error), HOP_OK);
    store_set *base = published(&fixture);
    const hop_request request = {.beta = 1, .mode = HOP_LINEAR, .steps = 1};
    store_phi *phi = NULL;
    ck_assert_int_eq(store_phi_cache_get(cache, base, &request, NULL, NULL, NULL, &phi, &error), HOP_OK);
    store_phi_release(phi);
    ck_assert_int_eq(store_study_here(base, NULL, &error), HOP_OK);
    size_t reserved = store_budget_reserved(&fixture.budget);

    const store_revision hotter = {.kind = STORE_SETTINGS, .options = {.beta = 7, .max_error = -1, .max_degree = -1}};
    store_set *set = NULL;
    ck_assert_int_eq(store_revise(base, &hotter, NULL, &set, &error), HOP_OK);
    ck_assert_uint_eq(store_budget_reserved(&fixture.budget), reserved + sizeof(store_set));
    ck_assert_uint_ne(set->content_hash, base->content_hash);
    ck_assert_int_eq(store_set_state(set), STORE_READY);
    ck_assert(set->has_regime[0] && set->has_regime[1]);
    store_set_release(base);
    ck_assert_int_eq(store_registry_delete(fixture.registry, "s", NULL, &error), HOP_OK);
    ck_assert_uint_eq(store_budget_reserved(&fixture.budget), reserved);
    ck_assert_ptr_nonnull(hop_model_features(set->model));
    ck_assert_ptr_nonnull(store_set_separation(set));
    phi = store_phi_cache_find(cache, set, &request);
    ck_assert_ptr_nonnull(phi);
    store_phi_release(phi);
    store_set_release(set);
    ck_assert_uint_eq(store_budget_reserved(&fixture.budget), 0);
    store_phi_cache_free(cache);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(another_degree_has_a_model_of_its_own_where_maps_differ)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    store_set *two = published(&fixture);
    store_set *same = with_degree(two, 2), *none = with_degree(two, 0), *three = with_degree(two, 3),
              *any = with_degree(two, STORE_DEGREE_FREE);
    ck_assert_ptr_eq(same->body, two->body);
    store_set *others[] = {none, three, any};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_ptr_ne(others[i]->model, two->model);
        ck_assert_ptr_eq(others[i]->memories, two->memories);
        ck_assert_ptr_null(hop_model_features(others[i]->model));
        ck_assert_int_eq(store_set_state(others[i]), STORE_BUILDING);
    }
    fixture_put(&fixture, "none", store_set_acquire(none));
    fixture_put(&fixture, "three", store_set_acquire(three));
    fixture_put(&fixture, "any", store_set_acquire(any));
    for (size_t i = 0; i < 3; i++)
        fixture_settle(others[i]);
    ck_assert_ptr_null(hop_model_features(none->model));
    ck_assert_uint_eq(hop_features_max_degree(hop_model_features(three->model)), 3);
    ck_assert_ptr_nonnull(hop_model_features(any->model));
    ck_assert_int_eq(any->max_degree, -1);

    /* Nothing to have and nothing wanted: what there is serves. */
    store_set *still = with_degree(none, 0), *again = with_degree(none, 3);
    ck_assert_ptr_eq(still->body, none->body);
    ck_assert_ptr_ne(again->body, none->body);
    store_set *all[] = {two, same, none, three, any, still, again};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        store_set_release(all[i]);
    fixture_fini(&fixture);
}
END_TEST

static store_set *appended(const store_set *base, const float *memories, size_t n)
{
    hop_error error = HOP_ERROR_NONE;
    store_set *set = NULL;
    const store_revision revision = {.kind = STORE_APPEND, .added = {.M = n, .d = D, .memories = memories}};
    ck_assert_msg(store_revise(base, &revision, NULL, &set, &error) == HOP_OK, "%s", error.text);
    return set;
}

START_TEST(appended_rows_are_behind_those_there_are)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    store_set *first = fixture_set(&fixture, 160, D, 0, NULL);
    const float one[] = {1, 2, 3}, other[] = {3, 2, 1}, huge[] = {INFINITY, 0, 0};
    store_set *second = appended(first, one, 1); /* a copy with room */
    ck_assert_ptr_ne(second->memories, first->memories);
    store_set *third = appended(second, one, 1);
    ck_assert_ptr_eq(third->memories, second->memories);
    /* Of two that are made of the same version one is a copy. */
    store_set *rival = appended(second, other, 1);
    ck_assert_ptr_ne(rival->memories, second->memories);
    ck_assert(memcmp(third->memories + 161 * D, one, sizeof one) == 0);
    ck_assert(memcmp(rival->memories + 161 * D, other, sizeof other) == 0);
    /* What failed leaves the room as it was. */
    const store_revision bad = {.kind = STORE_APPEND, .added = {.M = 1, .d = D, .memories = huge}};
    hop_error error;
    ck_assert_int_eq(refused(third, &bad, &error), HOP_E_DOMAIN);
    store_set *fourth = appended(third, other, 1);
    ck_assert_ptr_eq(fourth->memories, third->memories);
    ck_assert_uint_eq(store_set_id(fourth, 162), 162);
    store_set *all[] = {first, second, third, rival, fourth};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        store_set_release(all[i]);
    fixture_fini(&fixture);
}
END_TEST

/* ---- published ----------------------------------------------------------------------------------------- */

/* What a request for a change does. Returns the new version, with a reference. */
static store_set *change(store_fixture *fixture, const store_revision *revision)
{
    hop_error error = HOP_ERROR_NONE;
    store_change *open = NULL;
    store_set *base = NULL, *set = NULL;
    ck_assert_msg(store_registry_begin_revision(fixture->registry, "s", NULL, &open, &base, &error) == HOP_OK, "%s",
                  error.text);
    ck_assert_msg(store_revise(base, revision, NULL, &set, &error) == HOP_OK, "%s", error.text);
    store_set_release(base);
    ck_assert_int_eq(store_registry_save(fixture->registry, open, set, revision, &error), HOP_OK);
    store_set_acquire(set);
    ck_assert(!store_registry_commit(fixture->registry, open, set));
    return set;
}

START_TEST(maps_that_drifted_are_made_again)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    static plain_set plain;
    static rows some;
    test_rng rng;
    test_rng_init(&rng, 5, (uint64_t)_i);
    plain = (plain_set){.similarity = (hop_similarity)_i, .options = {.beta = 1, .max_error = 1, .max_degree = 2}};
    make_rows(&rng, 100, 1, &some);
    plain_append(&plain, &some, false);
    fixture_put(&fixture, "s", fresh(&fixture, &plain, NULL));
    store_set *set = fixture_get(&fixture, "s");
    const double *mean = hop_model_frames(set->model).mean;
    for (size_t l = 0; l < D && mean; l++)
        plain.mean[l] = mean[l];
    fixture_settle(set);

    /* To one side, a few at a time, until the centre is far from the mean. */
    make_rows(&rng, 10, 0.25, &some);
    for (size_t i = 0; i < 10 * D; i++)
        some.memories[i] += 0.7f + (float)(i % D) / 8;
    const store_revision append = {.kind = STORE_APPEND, .added = {.M = 10, .d = D, .memories = some.memories}};
    while (!hop_features_drift(hop_model_features(set->model), set->model).due) {
        store_set_release(set);
        set = change(&fixture, &append);
        plain_append(&plain, &some, false);
        ck_assert_int_eq(store_set_state(set), STORE_READY);
    }
    const float x[D] = {0.5f, 0.25f, -0.5f};
    assert_answers(set, &plain, x);

    /* The same version in another form takes its place. */
    store_set *now = fixture_get(&fixture, "s");
    while (now == set) {
        store_set_release(now);
        now = fixture_get(&fixture, "s");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    ck_assert_str_eq(now->etag, set->etag);
    ck_assert_uint_eq(now->version, set->version);
    ck_assert_ptr_eq(now->memories, set->memories);
    ck_assert_int_eq(store_set_state(now), STORE_READY);
    ck_assert(!hop_features_drift(hop_model_features(now->model), now->model).due);
    ck_assert(atomic_load(&set->progress.cancel));
    assert_holds(now, &plain);
    ck_assert_uint_gt(assert_answers(now, &plain, x), 0);
    store_set_release(set);
    store_set_release(now);
    fixture_fini(&fixture);
}
END_TEST

/* Every row is its id, so that one that is not the version's would show. */
typedef struct reader {
    store_fixture *fixture;
    atomic_bool *stop;
    size_t wrong, read;
} reader;

static void *read_on(void *argument)
{
    reader *self = argument;
    do { /* at least once, however late this thread comes */
        store_set *set = fixture_get(self->fixture, "s");
        size_t bytes = hop_retrieve_workspace_bytes(set->model, 1);
        void *workspace = hop_aligned_alloc(bytes);
        const float x[D] = {1, 1, 1};
        float z[D];
        double bound, last = (double)set->memories[(set->M - 1) * D];
        int degree;
        hop_fallback fallback;
        /* So cold that the heaviest memory, the last appended, is all there is. */
        const hop_request request = {.beta = 100, .max_error = 1, .mode = HOP_DENSE, .best_effort = true, .steps = 1};
        hop_answer answer = {.z = z, .error_bound = &bound, .degree = &degree, .fallback = &fallback};
        hop_status status = hop_retrieve(set->model, &request, 1, x, workspace, bytes, &answer, NULL);
        self->wrong += status != HOP_OK || !(fabs((double)z[0] - last) <= bound + 1e-6);
        self->wrong += last != (double)store_set_id(set, set->M - 1);
        self->read++;
        hop_aligned_free(workspace);
        store_set_release(set);
    } while (!atomic_load(self->stop));
    return NULL;
}

START_TEST(readers_never_see_rows_that_are_being_written)
{
    enum { READERS = 3, FIRST = 64 };
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    const store_options options = {.beta = 1, .max_error = 1, .max_degree = 2};
    float number[FIRST * D];
    for (size_t i = 0; i < FIRST * D; i++)
        number[i] = (float)(i / D);
    store_builder *builder = NULL;
    store_set *set = NULL;
    ck_assert_int_eq(store_builder_new(&fixture.budget, FIRST, D, 0, HOP_DOT, &builder, NULL), HOP_OK);
    ck_assert_int_eq(store_builder_add(builder, FIRST, number, NULL, NULL), HOP_OK);
    ck_assert_int_eq(store_builder_finish(builder, &options, NULL, &set, NULL), HOP_OK);
    store_builder_free(builder);
    fixture_put(&fixture, "s", set);
    atomic_bool stop = false;
    pthread_t threads[READERS];
    reader readers[READERS];
    for (int i = 0; i < READERS; i++) {
        readers[i] = (reader){.fixture = &fixture, .stop = &stop};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    }
    uint64_t id = FIRST;
    for (size_t i = 0; i < (hop_check_fast() ? 100 : 500); i++) {
        const store_revision append = {
            .kind = STORE_APPEND, .added = {.M = 1, .d = D, .memories = (float[]){(float)id, (float)id, (float)id}}};
        const uint64_t before = id - FIRST / 2;
        const store_revision removal = {.kind = STORE_REMOVE, .ids = &before, .n_ids = 1};
        const store_revision hotter = {.kind = STORE_SETTINGS,
                                       .options = {.beta = 2, .max_error = -1, .max_degree = -1}};
        store_set_release(change(&fixture, &append));
        id++;
        if (i % 5 == 4)
            store_set_release(change(&fixture, &removal));
        if (i % 7 == 6)
            store_set_release(change(&fixture, &hotter));
    }
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_uint_eq(readers[i].wrong, 0);
        ck_assert_uint_gt(readers[i].read, 0);
    }
    fixture_fini(&fixture);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("revision");
    TCase *lives = tcase_create("lives");
    tcase_add_loop_test(lives, random_lives, 0, 6);
    suite_add_tcase(suite, lives);
    TCase *rules = tcase_create("rules");
    tcase_add_test(rules, what_cannot_be_done_is_refused);
    tcase_add_test(rules, settings_share_what_is_made_of_rows);
    tcase_add_test(rules, another_degree_has_a_model_of_its_own_where_maps_differ);
    tcase_add_test(rules, appended_rows_are_behind_those_there_are);
    suite_add_tcase(suite, rules);
    TCase *life = tcase_create("published");
    tcase_add_loop_test(life, maps_that_drifted_are_made_again, 0, 3);
    tcase_add_test(life, readers_never_see_rows_that_are_being_written);
    suite_add_tcase(suite, life);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
