/*
 * sets.c - see sets.h. Leaves the choice of beta, modes and tolerances to the tests.
 */
#include "support/sets.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { M_MOST = 400, D_MOST = 40, P_MOST = 24, CELLS_MOST = 6000 };

static float *floats(size_t n)
{
    float *block = calloc(n ? n : 1, sizeof *block);
    if (!block)
        abort();
    return block;
}

static float narrow(double x)
{
    return (float)fmax(-(double)FLT_MAX, fmin((double)FLT_MAX, x));
}

/* ---- shapes ------------------------------------------------------------------------------------------ */

/* M and d log-uniform, with the edges of panels and vectors over-represented. */
static void choose_shape(test_set *set)
{
    static const size_t edges_M[] = {1, 2, 3, 7, 63, 64, 65, 127, 128, 129, 400};
    static const size_t edges_d[] = {1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 40};
    test_rng *rng = &set->rng;
    set->M = test_rng_below(rng, 4) ? (size_t)test_rng_log(rng, 1, M_MOST + 1)
                                    : edges_M[test_rng_below(rng, sizeof edges_M / sizeof *edges_M)];
    set->d = test_rng_below(rng, 4) ? (size_t)test_rng_log(rng, 1, D_MOST + 1)
                                    : edges_d[test_rng_below(rng, sizeof edges_d / sizeof *edges_d)];
    if (set->M * set->d > CELLS_MOST)
        set->M = CELLS_MOST / set->d;
}

/* ---- kinds: each fills memories and may change the shape first ----------------------------------------- */

static void allocate(test_set *set)
{
    set->memories = floats(set->M * set->d);
}

/* memories = sum of what a draw says, scaled: the plain kinds. */
static void fill_each(test_set *set, double (*draw)(test_rng *rng), double scale, double offset)
{
    allocate(set);
    for (size_t i = 0; i < set->M * set->d; i++)
        set->memories[i] = narrow(offset + scale * draw(&set->rng));
}

static double draw_uniform(test_rng *rng)
{
    return test_rng_between(rng, -1, 1);
}

/* Cauchy: no mean, no variance. */
static double draw_heavy(test_rng *rng)
{
    return tan(3.141592653589793 * (test_rng_unit(rng) - 0.5));
}

static double draw_skewed(test_rng *rng)
{
    return -log(1.0 - test_rng_unit(rng));
}

static double draw_sign(test_rng *rng)
{
    return test_rng_below(rng, 2) ? 1.0 : -1.0;
}

static void fill_uniform(test_set *set)
{
    fill_each(set, draw_uniform, 1, 0);
}

static void fill_normal(test_set *set)
{
    fill_each(set, test_rng_normal, test_rng_log(&set->rng, 1e-3, 1e3), 0);
}

static void fill_heavy(test_set *set)
{
    fill_each(set, draw_heavy, 1, 0);
}

static void fill_skewed(test_set *set)
{
    fill_each(set, draw_skewed, 1, 0);
}

static void fill_signs(test_set *set)
{
    fill_each(set, draw_sign, 1, 0);
}

static void fill_tiny(test_set *set)
{
    fill_each(set, test_rng_normal, 1e-20, 0);
}

static void fill_subnormal(test_set *set)
{
    fill_each(set, test_rng_normal, 1e-41, 0);
}

static void fill_huge(test_set *set)
{
    fill_each(set, test_rng_normal, test_rng_below(&set->rng, 2) ? 1e18 : 2e37, 0);
}

static void fill_offset(test_set *set)
{
    fill_each(set, test_rng_normal, test_rng_log(&set->rng, 1e-3, 10), 1000);
}

static void fill_sphere(test_set *set)
{
    allocate(set);
    for (size_t mu = 0; mu < set->M; mu++) {
        double row[D_MOST], square = 0;
        for (size_t l = 0; l < set->d; l++) {
            row[l] = test_rng_normal(&set->rng);
            square += row[l] * row[l];
        }
        for (size_t l = 0; l < set->d; l++)
            set->memories[mu * set->d + l] = (float)(row[l] / sqrt(square));
    }
}

/* A few centres far apart, small clouds around them. */
static void fill_clustered(test_set *set)
{
    allocate(set);
    enum { CENTRES = 5 };
    double centre[CENTRES][D_MOST], width = test_rng_log(&set->rng, 1e-4, 0.3);
    for (size_t k = 0; k < CENTRES; k++)
        for (size_t l = 0; l < set->d; l++)
            centre[k][l] = 3 * test_rng_normal(&set->rng);
    for (size_t mu = 0; mu < set->M; mu++) {
        size_t k = test_rng_below(&set->rng, CENTRES);
        for (size_t l = 0; l < set->d; l++)
            set->memories[mu * set->d + l] = (float)(centre[k][l] + width * test_rng_normal(&set->rng));
    }
}

static void fill_one_hot(test_set *set)
{
    allocate(set);
    for (size_t mu = 0; mu < set->M; mu++)
        set->memories[mu * set->d + test_rng_below(&set->rng, set->d)] = 1;
}

/* Every row one number repeated: rank one along the diagonal. */
static void fill_constant_rows(test_set *set)
{
    allocate(set);
    for (size_t mu = 0; mu < set->M; mu++) {
        float value = (float)test_rng_normal(&set->rng);
        for (size_t l = 0; l < set->d; l++)
            set->memories[mu * set->d + l] = value;
    }
}

/* Most coordinates do not vary at all. */
static void fill_constant_columns(test_set *set)
{
    allocate(set);
    size_t varying = test_rng_below(&set->rng, set->d);
    for (size_t l = 0; l < set->d; l++) {
        bool varies = l == varying || test_rng_below(&set->rng, 4) == 0;
        float value = (float)(10 * test_rng_normal(&set->rng));
        for (size_t mu = 0; mu < set->M; mu++)
            set->memories[mu * set->d + l] = varies ? (float)test_rng_normal(&set->rng) : value;
    }
}

static void fill_low_rank(test_set *set)
{
    allocate(set);
    enum { RANK = 2 };
    double basis[RANK][D_MOST];
    for (size_t k = 0; k < RANK; k++)
        for (size_t l = 0; l < set->d; l++)
            basis[k][l] = test_rng_normal(&set->rng);
    for (size_t mu = 0; mu < set->M; mu++) {
        double weight[RANK];
        for (size_t k = 0; k < RANK; k++)
            weight[k] = test_rng_normal(&set->rng);
        for (size_t l = 0; l < set->d; l++)
            set->memories[mu * set->d + l] = (float)(weight[0] * basis[0][l] + weight[1] * basis[1][l]);
    }
}

/* One pattern, every row off by a few units in the last place. */
static void fill_near_duplicates(test_set *set)
{
    allocate(set);
    double width = test_rng_log(&set->rng, 1e-7, 1e-4);
    for (size_t l = 0; l < set->d; l++) {
        double value = test_rng_normal(&set->rng);
        for (size_t mu = 0; mu < set->M; mu++)
            set->memories[mu * set->d + l] = (float)(value * (1 + width * test_rng_normal(&set->rng)));
    }
}

/* Few different rows, each many times. */
static void fill_duplicates(test_set *set)
{
    fill_normal(set);
    size_t different = 1 + test_rng_below(&set->rng, 3);
    for (size_t mu = different; mu < set->M; mu++)
        memcpy(set->memories + mu * set->d, set->memories + mu % different * set->d, set->d * sizeof(float));
}

static void fill_all_equal(test_set *set)
{
    fill_normal(set);
    for (size_t mu = 1; mu < set->M; mu++)
        memcpy(set->memories + mu * set->d, set->memories, set->d * sizeof(float));
}

/* One far row, a tight cloud at the origin. */
static void fill_outlier(test_set *set)
{
    fill_each(set, test_rng_normal, 1e-3, 0);
    size_t far = test_rng_below(&set->rng, set->M);
    for (size_t l = 0; l < set->d; l++)
        set->memories[far * set->d + l] = (float)(test_rng_log(&set->rng, 1, 100) * test_rng_normal(&set->rng));
}

/* Coordinates on very different scales. */
static void fill_scales(test_set *set)
{
    allocate(set);
    for (size_t l = 0; l < set->d; l++) {
        double scale = test_rng_log(&set->rng, 1e-12, 1e12);
        for (size_t mu = 0; mu < set->M; mu++)
            set->memories[mu * set->d + l] = (float)(scale * test_rng_normal(&set->rng));
    }
}

static void fill_single(test_set *set)
{
    set->M = 1;
    fill_normal(set);
}

/* ---- scores as asked: t_mu = scale_mu with query e_1 and beta 1, hidden among other coordinates --------- */

static void place_scores(test_set *set, const double *t)
{
    allocate(set);
    set->query = floats(set->d);
    set->query[0] = 1;
    set->beta = 1;
    set->similarity = HOP_DOT;
    for (size_t mu = 0; mu < set->M; mu++)
        for (size_t l = 0; l < set->d; l++)
            set->memories[mu * set->d + l] = l == 0 ? (float)t[mu] : (float)test_rng_normal(&set->rng);
}

/* Two memories whose weights are s and 1 - s: where the sharp law is attained. */
static void fill_two_memories(test_set *set)
{
    set->M = 2;
    double gap = test_rng_between(&set->rng, -40, 40);
    place_scores(set, (double[]){gap / 2, -gap / 2});
}

static void fill_two_sides(test_set *set)
{
    double t[M_MOST];
    double side = test_rng_below(&set->rng, 2) ? 79 : test_rng_between(&set->rng, 60, 120);
    set->M += set->M % 2;
    if (set->M > M_MOST)
        set->M = M_MOST;
    for (size_t mu = 0; mu < set->M; mu++)
        t[mu] = mu % 2 ? side : -side;
    place_scores(set, t);
}

/* D_3 < exp(mean t): one score of -6 and sixteen of 6/16; and the same shape on other scales. */
static void fill_deep_score(test_set *set)
{
    double t[M_MOST];
    bool literal = test_rng_below(&set->rng, 2) == 0;
    double deep = literal ? 6 : test_rng_between(&set->rng, 1, 30);
    set->M = literal ? 17 : 2 + test_rng_below(&set->rng, 60);
    t[0] = -deep;
    for (size_t mu = 1; mu < set->M; mu++)
        t[mu] = deep / (double)(set->M - 1);
    place_scores(set, t);
}

/* One heavy memory against many light ones: the largest score decides everything, or nearly. */
static void fill_peak(test_set *set)
{
    double t[M_MOST];
    double height = test_rng_between(&set->rng, 1, 90);
    for (size_t mu = 0; mu < set->M; mu++)
        t[mu] = mu == set->M / 2 ? height : test_rng_normal(&set->rng);
    place_scores(set, t);
}

static const struct {
    const char *name;
    void (*fill)(test_set *set);
} kinds[] = {
    {"uniform", fill_uniform},
    {"normal", fill_normal},
    {"sphere", fill_sphere},
    {"signs", fill_signs},
    {"skewed", fill_skewed},
    {"heavy_tailed", fill_heavy},
    {"clustered", fill_clustered},
    {"one_hot", fill_one_hot},
    {"constant_rows", fill_constant_rows},
    {"constant_columns", fill_constant_columns},
    {"tiny", fill_tiny},
    {"subnormal", fill_subnormal},
    {"huge", fill_huge},
    {"offset", fill_offset},
    {"low_rank", fill_low_rank},
    {"near_duplicates", fill_near_duplicates},
    {"duplicates", fill_duplicates},
    {"all_equal", fill_all_equal},
    {"outlier", fill_outlier},
    {"scales", fill_scales},
    {"single", fill_single},
    {"two_memories", fill_two_memories},
    {"two_sides", fill_two_sides},
    {"deep_score", fill_deep_score},
    {"peak", fill_peak},
};

size_t test_set_kinds(void)
{
    return sizeof kinds / sizeof *kinds;
}

const char *test_set_kind(size_t kind)
{
    return kinds[kind].name;
}

/* ---- values ------------------------------------------------------------------------------------------ */

static void fill_values(test_set *set)
{
    test_rng *rng = &set->rng;
    set->p = (size_t)test_rng_log(rng, 1, P_MOST + 1);
    set->values = floats(set->M * set->p);
    enum { NORMAL, LABELS, SOME_CONSTANT, HEAVY, OFFSET, INDICATOR, LARGE, SMALL, FORMS };
    size_t form = test_rng_below(rng, FORMS);
    for (size_t mu = 0; mu < set->M; mu++) {
        size_t label = test_rng_below(rng, set->p);
        for (size_t j = 0; j < set->p; j++) {
            double v = test_rng_normal(rng);
            switch (form) {
            case LABELS:
                v = j == label;
                break;
            case SOME_CONSTANT:
                v = j % 2 ? 0.1 * (double)j : v;
                break;
            case HEAVY:
                v = draw_heavy(rng);
                break;
            case OFFSET:
                v = 1e4 + v;
                break;
            case INDICATOR:
                v = mu % 3 != 0;
                break;
            case LARGE:
                v *= 1e30;
                break;
            case SMALL:
                v *= 1e-30;
                break;
            default:
                break;
            }
            set->values[mu * set->p + j] = narrow(v);
        }
    }
}

test_set *test_set_new(size_t kind, uint64_t seed, size_t index)
{
    test_set *set = calloc(1, sizeof *set);
    if (!set)
        abort();
    set->kind = kinds[kind].name;
    set->seed = seed;
    set->index = index;
    test_rng_init(&set->rng, seed, (uint64_t)kind << 32 | index);
    choose_shape(set);
    static const hop_similarity mix[] = {HOP_DOT, HOP_DOT, HOP_DOT, HOP_COSINE, HOP_CENTERED_COSINE};
    set->similarity = mix[test_rng_below(&set->rng, sizeof mix / sizeof *mix)];
    kinds[kind].fill(set);
    set->p = set->d;
    if (test_rng_below(&set->rng, 2))
        fill_values(set);
    return set;
}

void test_set_free(test_set *set)
{
    if (!set)
        return;
    free(set->memories);
    free(set->values);
    free(set->query);
    free(set);
}

hop_source test_set_source(const test_set *set)
{
    return (hop_source){.M = set->M,
                        .d = set->d,
                        .p = set->p,
                        .memories = set->memories,
                        .values = set->values,
                        .similarity = set->similarity};
}

const float *test_set_values(const test_set *set)
{
    return set->values ? set->values : set->memories;
}

double test_set_range(const test_set *set)
{
    const float *values = test_set_values(set);
    double range = 0;
    for (size_t j = 0; j < set->p; j++) {
        double low = values[j], high = values[j];
        for (size_t mu = 1; mu < set->M; mu++) {
            low = fmin(low, (double)values[mu * set->p + j]);
            high = fmax(high, (double)values[mu * set->p + j]);
        }
        range = fmax(range, high - low);
    }
    return range;
}

/* ---- queries ----------------------------------------------------------------------------------------- */

static void fill_query(test_set *set, size_t form, float *x)
{
    enum { EQUAL, NEAR, BETWEEN, UNRELATED, OPPOSITE, SCALED, TINY, HUGE_ONE, ONE_HOT, ZERO };
    test_rng *rng = &set->rng;
    const float *a = set->memories + test_rng_below(rng, set->M) * set->d;
    const float *b = set->memories + test_rng_below(rng, set->M) * set->d;
    double widest = 0, scale = test_rng_log(rng, 1e-2, 1e2), mix = test_rng_unit(rng);
    for (size_t l = 0; l < set->d; l++)
        widest = fmax(widest, fabs((double)a[l]));
    if (widest == 0)
        widest = 1;
    size_t hot = test_rng_below(rng, set->d);
    for (size_t l = 0; l < set->d; l++) {
        double noise = test_rng_normal(rng), v = 0;
        switch (form) {
        case EQUAL:
            v = (double)a[l];
            break;
        case NEAR:
            v = (double)a[l] + 0.1 * widest * noise;
            break;
        case BETWEEN:
            v = mix * (double)a[l] + (1 - mix) * (double)b[l];
            break;
        case UNRELATED:
            v = widest * noise;
            break;
        case OPPOSITE:
            v = -(double)a[l];
            break;
        case SCALED:
            v = scale * noise;
            break;
        case TINY:
            v = 1e-30 * noise;
            break;
        case HUGE_ONE:
            v = 1e30 * noise;
            break;
        case ONE_HOT:
            v = l == hot ? widest : 0;
            break;
        default:
            break;
        }
        x[l] = narrow(v);
    }
}

void test_set_queries(test_set *set, size_t L, float *x)
{
    enum { FIRST_FORMS = 6, FORMS = 10 };
    for (size_t q = 0; q < L; q++)
        fill_query(set, test_rng_below(&set->rng, q == 0 ? FIRST_FORMS : FORMS), x + q * set->d);
    if (set->query && L > 0)
        memcpy(x, set->query, set->d * sizeof *x);
}
