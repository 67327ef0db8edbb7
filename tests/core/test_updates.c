/*
 * test_updates.c - sets whose rows come and go: maps that are updated instead of built again stay within the roundings
 * they count, and every answer from them within its bound, however far the rows have moved from the frame they keep.
 */
#include "core/kernel_tables.h"
#include "support/cases.h"
#include "support/check_main.h"
#include "support/rng.h"

#include "core/alloc.h"
#include "core/moments.h"
#include "core/moments_parts.h"
#include "core/pack.h"
#include "core/rounding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { M_MOST = 700, D_MOST = 8, L = 6 };

/* A set that changes: rows and the model and maps of its present state. */
typedef struct living_set {
    size_t M, d, p;
    unsigned g;
    hop_similarity similarity;
    float *keys, *values;
    hop_model *model;
    hop_features *features; /* ours: the model is given none */
    test_rng rng;
} living_set;

static float *copy(const float *rows, size_t n)
{
    float *out = malloc((n ? n : 1) * sizeof *out);
    ck_assert_ptr_nonnull(out);
    if (n)
        memcpy(out, rows, n * sizeof *out);
    return out;
}

static hop_source source_of(const living_set *set, const hop_model *like)
{
    return (hop_source){.M = set->M,
                        .d = set->d,
                        .p = set->p,
                        .memories = set->keys,
                        .values = set->p ? set->values : NULL,
                        .similarity = set->similarity,
                        .like = like};
}

/* Rows of mixed sizes; from time to time far off to one side. */
static void draw(living_set *set, size_t from, size_t to, double offset)
{
    for (size_t i = from * set->d; i < to * set->d; i++)
        set->keys[i] = (float)(offset + 0.5 * test_rng_between(&set->rng, -1, 1) + (i % set->d == 0 ? 3 : 0));
    for (size_t i = from * set->p; i < to * set->p; i++)
        set->values[i] = (float)(2 * test_rng_between(&set->rng, -1, 1) - offset);
}

static void living_init(living_set *set, size_t M, size_t d, size_t p, unsigned g, hop_similarity similarity,
                        uint64_t stream)
{
    *set = (living_set){.M = M, .d = d, .p = p, .g = g, .similarity = similarity};
    set->keys = malloc(M_MOST * D_MOST * sizeof(float));
    set->values = malloc(M_MOST * D_MOST * sizeof(float));
    ck_assert(set->keys && set->values);
    test_rng_init(&set->rng, test_cases_seed, stream);
    draw(set, 0, M, 0);
    hop_source source = source_of(set, NULL);
    ck_assert(hop_model_new(&source, NULL, &set->model, NULL) == HOP_OK);
    ck_assert(hop_features_build(set->model, g, NULL, NULL, &set->features, NULL) == HOP_OK);
}

static void living_fini(living_set *set)
{
    hop_features_free(set->features);
    hop_model_free(set->model);
    free(set->keys);
    free(set->values);
}

/* The same as when nothing is promised of the rows, but for the tails. */
static void must_be_as_measured(const living_set *set, const hop_source *source)
{
    hop_source plain = *source;
    hop_model *model = NULL, *is = set->model;
    const size_t panels = hop_pack_panels(is->M) * HOP_PANEL * sizeof(float);
    plain.same_rows = 0;
    ck_assert(hop_model_new(&plain, NULL, &model, NULL) == HOP_OK);
    ck_assert_mem_eq(model->keys, is->keys, is->M * is->d * sizeof(float));
    ck_assert_mem_eq(model->key_panels, is->key_panels, panels * is->d);
    ck_assert_mem_eq(model->value_panels, is->value_panels, panels * is->columns);
    ck_assert_mem_eq(&model->norms, &is->norms, sizeof is->norms);
    for (int values = 0; values < 2; values++) {
        const hop_geometry *a = values ? &model->value : &model->key, *b = values ? &is->value : &is->key;
        const double x[] = {a->radius, a->max_abs, a->max_l2, a->range, a->widest},
                     y[] = {b->radius, b->max_abs, b->max_l2, b->range, b->widest};
        ck_assert_mem_eq(x, y, sizeof x);
        ck_assert_mem_eq(a->centre, b->centre, a->n * sizeof(double));
        ck_assert_mem_eq(a->scale, b->scale, a->n * sizeof(double));
        ck_assert_mem_eq(a->low, b->low, a->n * sizeof(double));
        ck_assert_mem_eq(a->high, b->high, a->n * sizeof(double));
    }
    hop_model_free(model);
}

/*
 * The set without the rows `removed`, with n_added drawn about `offset` behind. HOP_OK or what the update said; in both
 * cases the set is then the changed one, its maps built afresh where there was no update.
 */
static hop_status change(living_set *set, const size_t *removed, size_t n_removed, size_t n_added, double offset)
{
    float *keys = set->keys, *values = set->values;
    hop_model *base = set->model;
    size_t before = set->M, at = 0;
    set->keys = copy(keys, M_MOST * D_MOST);
    set->values = copy(values, M_MOST * D_MOST);
    set->M = 0;
    for (size_t mu = 0; mu < before; mu++) {
        if (at < n_removed && removed[at] == mu) {
            at++;
            continue;
        }
        memcpy(set->keys + set->M * set->d, keys + mu * set->d, set->d * sizeof(float));
        memcpy(set->values + set->M * set->p, values + mu * set->p, set->p * sizeof(float));
        set->M++;
    }
    ck_assert_uint_eq(set->M, before - n_removed);
    set->M += n_added;
    ck_assert(set->M <= M_MOST);
    draw(set, set->M - n_added, set->M, offset);

    hop_source source = source_of(set, base);
    hop_features *features = NULL;
    source.same_rows = n_removed ? removed[0] : before;
    ck_assert(hop_model_new(&source, NULL, &set->model, NULL) == HOP_OK);
    must_be_as_measured(set, &source);
    hop_status status =
        hop_features_update(set->features, base, set->model, removed, n_removed, NULL, NULL, &features, NULL);
    if (status != HOP_OK)
        ck_assert(hop_features_build(set->model, set->g, NULL, NULL, &features, NULL) == HOP_OK);
    hop_features_free(set->features);
    set->features = features;
    hop_model_free(base);
    free(keys);
    free(values);
    return status;
}

/* ---- answers ----------------------------------------------------------------------------------------------- */

/*
 * An engine on the present model, whose tails are those that the changes left, with a copy of its maps: what the update
 * left, or a build where `afresh`, and then with tails found anew.
 */
static void living_engine(const living_set *set, bool afresh, test_engine *engine)
{
    hop_source source = source_of(set, set->model);
    source.same_rows = afresh ? 0 : set->M;
    ck_assert(test_engine_init(engine, &source, 0, L) == HOP_OK);
    hop_features *features = NULL;
    if (afresh)
        ck_assert(hop_features_build(engine->model, set->g, NULL, NULL, &features, NULL) == HOP_OK);
    else /* nothing changes: a copy */
        ck_assert(hop_features_update(set->features, set->model, engine->model, NULL, 0, NULL, NULL, &features, NULL) ==
                  HOP_OK);
    hop_model_adopt_features(engine->model, features);
    hop_aligned_free(engine->workspace);
    engine->workspace_bytes = hop_retrieve_workspace_bytes(engine->model, L);
    engine->workspace = hop_aligned_alloc(engine->workspace_bytes);
    ck_assert_ptr_nonnull(engine->workspace);
}

/* Every mode against the oracle; from updated maps and from built ones the answers agree within their bounds. */
static void must_answer(living_set *set)
{
    test_engine updated, built;
    float x[L * D_MOST];
    size_t p = set->p ? set->p : set->d;
    living_engine(set, false, &updated);
    living_engine(set, true, &built);
    for (double reach = 0.05; reach < 12; reach *= 3) {
        for (size_t i = 0; i < L * set->d; i++)
            x[i] = (float)test_rng_normal(&set->rng);
        double beta = reach / (test_engine_reach(&updated, x) + 1e-9);
        for (int i = 0; i < 3; i++) {
            hop_mode mode = (hop_mode[]){HOP_ALMOST_LINEAR, HOP_AUTO, HOP_DENSE}[i];
            for (double max_error = 1e-9; max_error < 1; max_error *= 1e4) {
                hop_request request = test_best_effort(beta, mode, max_error);
                test_must_retrieve(&updated, &request, L, x);
                test_must_hold(&updated, &request, L, x);
                test_must_retrieve(&built, &request, L, x);
                test_must_hold(&built, &request, L, x);
                for (size_t c = 0; c < L * p; c++)
                    require(fabs((double)updated.answer.z[c] - (double)built.answer.z[c]) <=
                                updated.answer.error_bound[c / p] + built.answer.error_bound[c / p],
                            "updated and built maps disagree");
            }
        }
    }
    test_engine_fini(&updated);
    test_engine_fini(&built);
}

/* n ascending ids below M, at random. */
static void choose(test_rng *rng, size_t M, size_t n, size_t *ids)
{
    size_t chosen = 0;
    for (size_t mu = 0; mu < M && chosen < n; mu++)
        if (test_rng_below(rng, M - mu) < n - chosen)
            ids[chosen++] = mu;
    ck_assert_uint_eq(chosen, n);
}

typedef struct life {
    size_t M, d, p;
    unsigned g;
    hop_similarity similarity;
} life;

static const life lives[] = {{300, 3, 0, 5, HOP_DOT}, {200, 5, 0, 4, HOP_DOT}, {150, 2, 0, 9, HOP_DOT},
                             {250, 4, 3, 4, HOP_DOT}, {200, 3, 1, 6, HOP_DOT}, {200, 4, 0, 4, HOP_CENTERED_COSINE},
                             {120, 1, 0, 8, HOP_DOT}, {200, 8, 0, 3, HOP_DOT}, {200, 6, 2, 3, HOP_COSINE}};

/* Many random changes, the new rows ever farther to one side, until an update is refused and beyond. */
START_TEST(bounds_hold_while_rows_come_and_go)
{
    const life *shape = &lives[_i];
    living_set set;
    size_t ids[M_MOST], updated = 0, rounds = hop_check_fast() ? 6 : 24;
    living_init(&set, shape->M, shape->d, shape->p, shape->g, shape->similarity, 900 + (uint64_t)_i);
    for (size_t round = 0; round < rounds; round++) {
        size_t n_removed = test_rng_below(&set.rng, set.M / 8 + 2), n_added = test_rng_below(&set.rng, set.M / 6 + 2);
        n_removed = n_removed < set.M ? n_removed : set.M - 1;
        n_added = set.M - n_removed + n_added <= M_MOST ? n_added : 0;
        choose(&set.rng, set.M, n_removed, ids);
        updated += change(&set, ids, n_removed, n_added, 0.06 * (double)round) == HOP_OK;
        if (round % 3 == 0)
            must_answer(&set);
    }
    ck_assert_uint_gt(updated, rounds / 2);
    living_fini(&set);
}
END_TEST

/* ---- what is counted --------------------------------------------------------------------------------------- */

/*
 * sum over rows ever added or taken away of (sum_l |u_l xi_l|)^k / k! / M against what the bound puts for it:
 * build_roundings / term_roundings s^k / k!, s = min(ball, box) of the rows there are.
 */
static void must_cover(const living_set *set, const float *ever, size_t n_ever)
{
    const hop_geometry *key = &set->model->key;
    test_rng rng;
    test_rng_init(&rng, test_cases_seed, 77);
    double factor = set->features->build_roundings / set->features->term_roundings;
    for (size_t trial = 0; trial < 40; trial++) {
        double x[D_MOST], square = 0, box = 0;
        for (size_t l = 0; l < set->d; l++) {
            x[l] = trial < set->d ? (trial == l ? 1 : 0) : test_rng_normal(&rng);
            square += x[l] * x[l];
            box += fabs(x[l]) * key->scale[l] * key->extent[l];
        }
        double s = fmin(box, sqrt(square) * key->radius);
        for (unsigned k = 1; k <= set->g + 1; k++) {
            double sum = 0;
            for (size_t i = 0; i < n_ever; i++) {
                double t = 0;
                for (size_t l = 0; l < set->d; l++)
                    t += key->extent[l] > 0 ? fabs(((double)ever[i * set->d + l] - key->centre[l]) * x[l]) : 0;
                sum += pow(t, k);
            }
            double bound = factor * (double)set->M * pow(s, k);
            require(sum <= bound * (1 + 1e-9), "degree %u: %g rows' worth of roundings, counted as %g", k,
                    sum / pow(s, k), bound / pow(s, k));
        }
    }
}

/* Rows come and go again: what is left of each coefficient is within the roundings of what came and went. */
START_TEST(a_round_trip_stays_within_its_roundings)
{
    living_set set;
    size_t ids[M_MOST], n = 0;
    living_init(&set, 300, 4, 0, 4, HOP_DOT, 950);
    size_t cells = set.features->index.start[set.g + 2];
    double *a = malloc(cells * sizeof *a);
    float *ever = malloc(8 * M_MOST * D_MOST * sizeof *ever);
    ck_assert(a && ever);
    memcpy(a, set.features->a, cells * sizeof *a);
    memcpy(ever, set.keys, set.M * set.d * sizeof *ever);
    n = set.M;
    double before = set.features->build_roundings;
    for (int round = 0; round < 3; round++) {
        double longest = set.features->term_roundings;
        ck_assert(change(&set, NULL, 0, 200, 0.2) == HOP_OK);
        ck_assert_double_ge(set.features->term_roundings, longest + 3); /* of what was there: x M', + and / M */
        for (int twice = 0; twice < 2; twice++, n += 200)
            memcpy(ever + n * set.d, set.keys + 300 * set.d, 200 * set.d * sizeof *ever);
        must_cover(&set, ever, n - 200);
        for (size_t i = 0; i < 200; i++)
            ids[i] = 300 + i;
        ck_assert(change(&set, ids, 200, 0, 0) == HOP_OK);
        must_cover(&set, ever, n);
    }
    ck_assert_double_gt(set.features->build_roundings, before);
    ck_assert_double_lt(set.features->build_roundings, 100 * before);
    for (size_t c = 0; c < cells; c++) /* |u| <= 4, at most 2,100 rows' terms of 300 */
        require(fabs(set.features->a[c] - a[c]) <= hop_gamma(2 * set.features->build_roundings, HOP_U64) * 4,
                "a[%zu] is %.17g after %.17g", c, set.features->a[c], a[c]);
    ck_assert(!hop_features_drift(set.features, set.model).due);
    free(a);
    free(ever);
    living_fini(&set);
}
END_TEST

/* An outlier that leaves takes the radius with it: its roundings weigh more from then on. */
START_TEST(an_outlier_leaves_its_roundings)
{
    living_set set;
    float ever[3 * M_MOST * D_MOST];
    living_init(&set, 100, 3, 0, 3, HOP_DOT, 951);
    memcpy(ever, set.keys, 100 * 3 * sizeof *ever);
    double before = set.features->build_roundings;
    ck_assert(change(&set, NULL, 0, 2, 0.9) == HOP_OK);
    for (int twice = 0; twice < 2; twice++)
        memcpy(ever + (100 + 2 * twice) * 3, set.keys + 100 * 3, 2 * 3 * sizeof *ever);
    double with = set.features->build_roundings;
    ck_assert(isfinite(set.features->fourth));
    for (size_t l = 0; l < 3; l++)
        ck_assert(isfinite(set.features->skew[l]));
    ck_assert(change(&set, (size_t[]){100, 101}, 2, 0, 0) == HOP_OK);
    ck_assert(isinf(set.features->fourth)); /* their proofs know of no rows but those that are there */
    for (size_t l = 0; l < 2 * 3; l++)
        ck_assert(isinf(set.features->skew[l]));
    must_cover(&set, ever, 104);
    ck_assert_double_gt(set.features->build_roundings, with * 1.2);
    ck_assert_double_lt(with, 2 * before);
    must_answer(&set);
    living_fini(&set);
}
END_TEST

/* Rows in the corners of a box, and rows on its axes that stay: extents are the same, the radius was sqrt(8) times as
 * large. */
START_TEST(far_corners_leave_their_roundings)
{
    enum { M = 300, STAY = 100, D = 8 };
    living_set set;
    size_t ids[M_MOST];
    static float ever[(2 * M - STAY) * D];
    living_init(&set, M, D, 0, 2, HOP_DOT, 955);
    for (size_t i = 0; i < M; i++)
        for (size_t l = 0; l < D; l++) /* each with its mirror image: the centre is 0 */
            set.keys[i * D + l] = (i % 2 ? -1.0F : 1.0F) * (i >= STAY        ? (i / 2 >> l & 1 ? 1.0F : -1.0F)
                                                            : i / 2 % D == l ? 1.0F
                                                                             : 0.0F);
    memcpy(ever, set.keys, M * D * sizeof *ever);
    memcpy(ever + M * D, set.keys + STAY * D, (M - STAY) * D * sizeof *ever);
    hop_source source = source_of(&set, NULL);
    hop_features_free(set.features);
    hop_model_free(set.model);
    ck_assert(hop_model_new(&source, NULL, &set.model, NULL) == HOP_OK);
    ck_assert(hop_features_build(set.model, set.g, NULL, NULL, &set.features, NULL) == HOP_OK);
    for (size_t i = 0; i < M - STAY; i++)
        ids[i] = STAY + i;
    ck_assert(change(&set, ids, M - STAY, 0, 0) == HOP_OK);
    must_cover(&set, ever, 2 * M - STAY);
    must_answer(&set);
    living_fini(&set);
}
END_TEST

/* And values that leave take their extents with them: most rows' were three times those of the rows that stay. */
START_TEST(large_values_leave_their_roundings)
{
    enum { M = 300, STAY = 100, P = 2 };
    living_set set;
    size_t ids[M_MOST];
    float ever[M * P];
    living_init(&set, M, 3, P, 1, HOP_DOT, 954);
    for (size_t i = 0; i < M * P; i++)
        set.values[i] = (test_rng_below(&set.rng, 2) ? 1.0F : -1.0F) * (i < STAY * P ? 1 : 3);
    memcpy(ever, set.values, sizeof ever);
    hop_source source = source_of(&set, NULL);
    hop_features_free(set.features);
    hop_model_free(set.model);
    ck_assert(hop_model_new(&source, NULL, &set.model, NULL) == HOP_OK);
    ck_assert(hop_features_build(set.model, set.g, NULL, NULL, &set.features, NULL) == HOP_OK);
    for (size_t i = 0; i < M - STAY; i++)
        ids[i] = STAY + i;
    ck_assert(change(&set, ids, M - STAY, 0, 0) == HOP_OK);

    const hop_geometry *value = &set.model->value;
    double factor = set.features->build_roundings / set.features->term_roundings;
    for (size_t j = 0; j < P; j++) { /* of the moments of degree 0: those that left count twice */
        double sum = 0;
        for (size_t i = 0; i < M; i++)
            sum += (i < STAY ? 1 : 2) * fabs((double)ever[i * P + j] - value->centre[j]) * value->inverse[j];
        require(sum <= factor * STAY * value->extent[j] * (1 + 1e-9), "column %zu: %g rows' worth, counted as %g", j,
                sum / value->extent[j], factor * STAY);
    }
    must_answer(&set);
    living_fini(&set);
}
END_TEST

/* Maps taken apart and put together again, as by way of a file, know what changes left behind. */
START_TEST(parts_hold_what_changes_left)
{
    living_set set;
    hop_features *again = NULL;
    hop_parts from, to;
    living_init(&set, 200, 3, _i ? 2 : 0, 3, HOP_DOT, 956);
    ck_assert(change(&set, (size_t[]){3, 70, 199}, 3, 20, 0.1) == HOP_OK);
    const hop_features *is = set.features;
    hop_features_parts(is, set.model, &from);
    ck_assert(hop_features_blank(set.model, set.g, &again, &to, NULL) == HOP_OK);
    ck_assert_uint_eq(from.n, to.n);
    for (size_t i = 0; i < from.n; i++)
        if (!to.part[i].frame)
            memcpy(to.part[i].numbers, from.part[i].numbers, from.part[i].rows * from.part[i].columns * sizeof(double));
    ck_assert(hop_features_complete(again, &to, NULL) == HOP_OK);
    const double a[] = {is->fourth,         is->skew_most[0], is->skew_most[1],  is->build_roundings,
                        is->term_roundings, is->removed,      is->removed_radius},
                 b[] = {again->fourth,         again->skew_most[0], again->skew_most[1],  again->build_roundings,
                        again->term_roundings, again->removed,      again->removed_radius};
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert(is->removed > 0 && is->removed_radius > 0);
    ck_assert_mem_eq(is->removed_extent, again->removed_extent, (set.d + set.p) * sizeof(double));
    ck_assert_mem_eq(is->skew, again->skew, 2 * set.d * sizeof(double));
    ck_assert_mem_eq(is->a, again->a, is->index.start[set.g + 2] * sizeof(double));
    if (set.p)
        ck_assert_mem_eq(is->A, again->A, is->index.start[set.g + 1] * set.p * sizeof(double));
    hop_features_free(again);
    living_fini(&set);
}
END_TEST

/* ---- ends ---------------------------------------------------------------------------------------------------- */

START_TEST(one_row_may_be_left)
{
    living_set set;
    size_t ids[M_MOST];
    living_init(&set, 200, 3, 0, 4, HOP_DOT, 952);
    for (size_t i = 0; i < 200; i++)
        ids[i] = i < 77 ? i : i + 1;
    hop_status status = change(&set, ids, 199, 0, 0);
    ck_assert(status == HOP_OK || status == HOP_E_LIMIT);
    must_answer(&set);
    living_fini(&set);

    /* Rows at the corners of a box: the one that is left keeps the scales. */
    living_init(&set, 200, 3, 0, 4, HOP_DOT, 953);
    for (size_t i = 0; i < 200 * 3; i++)
        set.keys[i] = test_rng_below(&set.rng, 2) ? 1 : -1;
    hop_source source = source_of(&set, NULL);
    hop_features_free(set.features);
    hop_model_free(set.model);
    ck_assert(hop_model_new(&source, NULL, &set.model, NULL) == HOP_OK);
    ck_assert(hop_features_build(set.model, set.g, NULL, NULL, &set.features, NULL) == HOP_OK);
    ck_assert(change(&set, ids, 199, 0, 0) == HOP_OK);
    ck_assert_uint_eq(set.M, 1);
    must_answer(&set);
    ck_assert(change(&set, NULL, 0, 30, 0) == HOP_OK);
    must_answer(&set);
    living_fini(&set);
}
END_TEST

/* A coordinate in which all rows agreed may get a scale when they no longer do, but not a second one. */
START_TEST(a_coordinate_comes_to_life)
{
    living_set set;
    living_init(&set, 60, 2, 0, 4, HOP_DOT, 954);
    for (size_t i = 0; i < 60; i++)
        set.keys[2 * i + 1] = 7;
    hop_source source = source_of(&set, NULL);
    hop_features_free(set.features);
    hop_model_free(set.model);
    ck_assert(hop_model_new(&source, NULL, &set.model, NULL) == HOP_OK);
    ck_assert(hop_features_build(set.model, set.g, NULL, NULL, &set.features, NULL) == HOP_OK);
    ck_assert(change(&set, NULL, 0, 1, 6.9) == HOP_E_LIMIT); /* the first coordinate is out of its frame */
    living_fini(&set);

    living_init(&set, 60, 1, 0, 4, HOP_DOT, 955);
    for (size_t i = 0; i < 60; i++)
        set.keys[i] = 3;
    source = source_of(&set, NULL);
    hop_features_free(set.features);
    hop_model_free(set.model);
    ck_assert(hop_model_new(&source, NULL, &set.model, NULL) == HOP_OK);
    ck_assert(hop_features_build(set.model, set.g, NULL, NULL, &set.features, NULL) == HOP_OK);
    ck_assert(change(&set, NULL, 0, 1, 0.01) == HOP_OK);
    must_answer(&set);
    ck_assert(change(&set, (size_t[]){60}, 1, 0, 0) == HOP_OK);
    must_answer(&set);
    ck_assert(change(&set, NULL, 0, 1, 40) == HOP_E_LIMIT);
    must_answer(&set);
    living_fini(&set);
}
END_TEST

START_TEST(what_cannot_be_updated_is_refused)
{
    living_set set;
    living_init(&set, 100, 3, 0, 3, HOP_DOT, 956);
    ck_assert(change(&set, NULL, 0, 1, 50) == HOP_E_LIMIT); /* far outside the scales */
    must_answer(&set);
    hop_features *none = NULL;
    const size_t twice[] = {4, 4}, outside[] = {set.M};
    ck_assert(hop_features_update(set.features, set.model, set.model, twice, 2, NULL, NULL, &none, NULL) ==
              HOP_E_DOMAIN);
    ck_assert(hop_features_update(set.features, set.model, set.model, outside, 1, NULL, NULL, &none, NULL) ==
              HOP_E_DOMAIN);
    hop_source source = source_of(&set, NULL);
    hop_model *other = NULL;
    source.M--;
    ck_assert(hop_model_new(&source, NULL, &other, NULL) == HOP_OK);
    ck_assert(hop_features_update(set.features, set.model, other, NULL, 0, NULL, NULL, &none, NULL) == HOP_E_SHAPE);
    ck_assert_uint_eq(hop_features_update_bytes(set.features, set.model, other, 0, 1), SIZE_MAX);
    hop_model_free(other);
    source.d--;
    ck_assert(hop_model_new(&source, NULL, &other, NULL) == HOP_OK);
    ck_assert(hop_features_update(set.features, set.model, other, NULL, 0, NULL, NULL, &none, NULL) == HOP_E_SHAPE);
    source.like = set.model;
    hop_model_free(other);
    ck_assert(hop_model_new(&source, NULL, &other, NULL) == HOP_E_SHAPE);
    hop_progress progress = {0};
    atomic_store(&progress.cancel, true);
    ck_assert(hop_features_update(set.features, set.model, set.model, NULL, 0, NULL, &progress, &none, NULL) ==
              HOP_E_CANCELLED);
    atomic_store(&progress.cancel, false);
    ck_assert(hop_features_update(set.features, set.model, set.model, NULL, 0, NULL, &progress, &none, NULL) == HOP_OK);
    ck_assert_uint_eq(atomic_load(&progress.permille), 1000);
    hop_features_free(none);
    living_fini(&set);
}
END_TEST

/* ---- frames ------------------------------------------------------------------------------------------------- */

static void must_have_frames(const hop_model *model, const hop_model *as)
{
    hop_frames is = hop_model_frames(model), was = hop_model_frames(as);
    size_t d = hop_model_d(model) * sizeof(double), p = hop_model_p(model) * sizeof(double);
    ck_assert(memcmp(is.key_centre, was.key_centre, d) == 0 && memcmp(is.key_scale, was.key_scale, d) == 0);
    ck_assert(memcmp(is.value_centre, was.value_centre, p) == 0 && memcmp(is.value_scale, was.value_scale, p) == 0);
    ck_assert(!is.mean == !was.mean && (!is.mean || memcmp(is.mean, was.mean, d) == 0));
}

/* What a set that changed is seen in comes back with its frames alone, without the model that it was kept from. */
START_TEST(a_frame_comes_back_to_the_bit)
{
    const life *shape = &lives[_i];
    living_set set;
    size_t ids[M_MOST];
    living_init(&set, shape->M, shape->d, shape->p, shape->g, shape->similarity, 970 + (uint64_t)_i);
    for (size_t round = 0; round < 8; round++) {
        choose(&set.rng, set.M, round, ids);
        change(&set, ids, round, 5 * round, 0.04 * (double)round);
        hop_frames frames = hop_model_frames(set.model);
        hop_source source = source_of(&set, NULL);
        hop_model *again = NULL;
        source.frames = &frames;
        ck_assert(hop_model_new(&source, NULL, &again, NULL) == HOP_OK);
        must_have_frames(again, set.model);
        hop_features *same = NULL;
        ck_assert(hop_features_update(set.features, set.model, again, NULL, 0, NULL, NULL, &same, NULL) == HOP_OK);
        hop_features_free(same);
        hop_model_free(again);
    }
    living_fini(&set);
}
END_TEST

/* Numbers that are no frame are refused, a frame that does not fit is not kept. */
START_TEST(a_frame_from_outside_is_checked)
{
    living_set set;
    living_init(&set, 100, 3, 2, 3, HOP_CENTERED_COSINE, 980);
    const double bad_centre[] = {0, (double)NAN, 0}, bad_scale[] = {1, 1, 0.75}, far[] = {1e30, 1e30, 1e30},
                 ones[] = {1, 1, 1}, tiny[] = {0x1p-200, 1, 1};
    struct {
        hop_frames frames;
        hop_status status;
        int64_t column;
    } cases[] = {
        {{.key_centre = bad_centre, .key_scale = ones}, HOP_E_DOMAIN, 1},
        {{.key_centre = ones, .key_scale = bad_scale}, HOP_E_DOMAIN, 2},
        {{.key_centre = ones, .key_scale = tiny}, HOP_E_DOMAIN, 0},
        {{.value_centre = bad_centre, .value_scale = ones}, HOP_E_DOMAIN, 1},
        {{.mean = bad_centre}, HOP_E_DOMAIN, 1},
        {{.key_centre = ones}, HOP_E_SHAPE, -1},
        {{.value_scale = ones}, HOP_E_SHAPE, -1},
        {{.key_centre = far, .key_scale = ones, .value_centre = far, .value_scale = ones}, HOP_OK, -1},
        {{0}, HOP_OK, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hop_source source = source_of(&set, NULL);
        hop_model *model = NULL;
        hop_error error = HOP_ERROR_NONE;
        source.frames = &cases[i].frames;
        ck_assert_int_eq(hop_model_new(&source, NULL, &model, &error), cases[i].status);
        ck_assert(error.column == cases[i].column && !model == (cases[i].status != HOP_OK));
        if (model)
            must_have_frames(model, set.model);
        hop_model_free(model);
    }
    hop_source source = source_of(&set, set.model);
    source.same_rows = set.M + 1;
    hop_model *model = NULL;
    ck_assert(hop_model_new(&source, NULL, &model, NULL) == HOP_E_SHAPE);
    source.same_rows = 1;
    source.like = NULL;
    ck_assert(hop_model_new(&source, NULL, &model, NULL) == HOP_E_SHAPE);
    living_fini(&set);
}
END_TEST

/* Rows that move away are noticed before the bounds are worth nothing. */
START_TEST(drift_says_when_a_build_is_due)
{
    living_set set;
    living_init(&set, 100, 2, 0, 3, HOP_DOT, 957);
    hop_drift fresh = hop_features_drift(set.features, set.model);
    ck_assert(!fresh.due);
    ck_assert_double_lt(fresh.rounding, 1e-13);
    ck_assert_double_lt(fresh.centre, 1e-14);
    ck_assert_double_le(fresh.scale, 1);
    ck_assert(change(&set, NULL, 0, 300, 0.7) == HOP_OK);
    hop_drift moved = hop_features_drift(set.features, set.model);
    ck_assert_double_gt(moved.centre, 0.25);
    ck_assert(moved.due);
    must_answer(&set);
    living_fini(&set);
}
END_TEST

static size_t allowed, asked;

static bool count_down(size_t bytes)
{
    (void)bytes;
    return asked++ < allowed;
}

START_TEST(an_update_that_runs_out_of_memory_leaves_nothing)
{
    living_set set;
    hop_features *features = NULL;
    living_init(&set, 100, 3, 2, 3, HOP_DOT, 958);
    hop_status status = HOP_E_NOMEM;
    for (allowed = 0; status == HOP_E_NOMEM && allowed < 100; allowed++) {
        asked = 0;
        hop_alloc_set_gate(count_down);
        status = hop_features_update(set.features, set.model, set.model, NULL, 0, NULL, NULL, &features, NULL);
        hop_alloc_set_gate(NULL);
        ck_assert(status == HOP_OK || (status == HOP_E_NOMEM && !features));
    }
    ck_assert(status == HOP_OK);
    hop_features_free(features);
    living_fini(&set);
}
END_TEST

/* Whatever an append lacks memory for: it says so, and the model before is as it was. */
START_TEST(an_append_that_runs_out_of_memory_leaves_nothing)
{
    static const hop_similarity similarities[] = {HOP_DOT, HOP_CENTERED_COSINE};
    living_set set;
    living_init(&set, 200, 3, 2, 3, similarities[_i], 959);
    hop_source source = source_of(&set, set.model);
    source.same_rows = 200;
    source.M = 230;
    draw(&set, 200, 230, 0);
    hop_model *model = NULL;
    hop_status status = HOP_E_NOMEM;
    for (allowed = 0; status == HOP_E_NOMEM && allowed < 100; allowed++) {
        hop_error error = HOP_ERROR_NONE;
        asked = 0;
        hop_alloc_set_gate(count_down);
        status = hop_model_new(&source, NULL, &model, &error);
        hop_alloc_set_gate(NULL);
        ck_assert(status == HOP_OK || (status == HOP_E_NOMEM && !model && error.text[0]));
    }
    ck_assert(status == HOP_OK && allowed > 5);
    hop_model_free(model);
    must_answer(&set);
    living_fini(&set);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("updates");
    TCase *updates = tcase_create("updates");
    tcase_add_loop_test(updates, bounds_hold_while_rows_come_and_go, 0, sizeof lives / sizeof *lives);
    tcase_add_test(updates, a_round_trip_stays_within_its_roundings);
    tcase_add_test(updates, an_outlier_leaves_its_roundings);
    tcase_add_test(updates, far_corners_leave_their_roundings);
    tcase_add_test(updates, large_values_leave_their_roundings);
    tcase_add_loop_test(updates, parts_hold_what_changes_left, 0, 2);
    tcase_add_test(updates, one_row_may_be_left);
    tcase_add_test(updates, a_coordinate_comes_to_life);
    tcase_add_test(updates, what_cannot_be_updated_is_refused);
    tcase_add_loop_test(updates, a_frame_comes_back_to_the_bit, 0, sizeof lives / sizeof *lives);
    tcase_add_test(updates, a_frame_from_outside_is_checked);
    tcase_add_test(updates, drift_says_when_a_build_is_due);
    tcase_add_test(updates, an_update_that_runs_out_of_memory_leaves_nothing);
    tcase_add_loop_test(updates, an_append_that_runs_out_of_memory_leaves_nothing, 0, 2);
    suite_add_tcase(suite, updates);
    return suite;
}

int main(int argc, char **argv)
{
    test_cases_seed = test_seed(test_cases_seed);
    return hop_check_main(argc, argv, make);
}
