/*
 * test_geometry.c - the enclosures that every bound starts from: ranges, scales, radius.
 */
#include "support/cases.h"
#include "support/check_main.h"
#include "support/executors.h"
#include "support/rng.h"
#include "support/sets.h"

#include "core/geometry.h"

#include <math.h>
#include <string.h>

/* Everything the header promises, in 64-bit mantissas, for one set of rows. */
static void geometry_case(const float *rows, size_t n_rows, size_t n, const char *kind)
{
    hop_geometry g;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_msg(hop_geometry_init(&g, rows, n_rows, n, &error) == HOP_OK, "%s: %s", kind, error.text);
    long double radius = 0, range = 0;
    for (size_t l = 0; l < n; l++) {
        float min = rows[l], max = rows[l];
        int exponent;
        ck_assert_msg(frexp(g.scale[l], &exponent) <= 0.5 && g.scale[l] * g.inverse[l] >= 1, "%s: scale %g", kind,
                      g.scale[l]);
        for (size_t i = 0; i < n_rows; i++) {
            float v = rows[i * n + l];
            long double u = ((long double)v - g.centre[l]) * g.inverse[l];
            ck_assert_msg(u >= g.low[l] && u <= g.high[l] && fabsl(u) <= g.extent[l],
                          "%s: row %zu column %zu, u=%.20Lg is outside [%.17g, %.17g]", kind, i, l, u, g.low[l],
                          g.high[l]);
            min = fminf(min, v);
            max = fmaxf(max, v);
        }
        ck_assert(g.extent[l] <= 1 + 1e-12);
        ck_assert(g.min[l] >= min && g.min[l] <= min && g.max[l] >= max && g.max[l] <= max);
        ck_assert(g.centre[l] >= (double)min && g.centre[l] <= (double)max);
        ck_assert(g.widest >= g.scale[l] * g.extent[l]);
        range = fmaxl(range, (long double)max - min);
    }
    for (size_t i = 0; i < n_rows; i++) {
        long double square = 0;
        for (size_t l = 0; l < n; l++) {
            long double y = (long double)rows[i * n + l] - g.centre[l];
            square += y * y;
        }
        radius = fmaxl(radius, sqrtl(square));
    }
    ck_assert_msg(g.radius >= radius && g.radius <= radius * 1.0000001L, "%s: radius %g for %Lg", kind, g.radius,
                  radius);
    ck_assert(fabsl(g.range - range) <= 1e-15L * range);
    hop_geometry_fini(&g);
}

START_TEST(rows_lie_inside_their_geometry)
{
    size_t kind = (size_t)_i;
    for (size_t index = 0; index < 20; index++) {
        test_set *set = test_set_new(kind, test_cases_seed, index);
        geometry_case(set->memories, set->M, set->d, set->kind);
        if (set->values)
            geometry_case(set->values, set->M, set->p, set->kind);
        test_set_free(set);
    }
}
END_TEST

START_TEST(equal_rows_have_no_extent)
{
    float rows[3 * 2] = {0.1f, -3e38f, 0.1f, -3e38f, 0.1f, -3e38f};
    hop_geometry g;
    ck_assert(hop_geometry_init(&g, rows, 3, 2, NULL) == HOP_OK);
    for (size_t l = 0; l < 2; l++) {
        ck_assert(g.centre[l] >= (double)rows[l] && g.centre[l] <= (double)rows[l]);
        ck_assert(g.extent[l] <= 0 && g.scale[l] >= 1 && g.scale[l] <= 1);
    }
    ck_assert(g.radius <= 0 && g.range <= 0);
    hop_geometry_fini(&g);
}
END_TEST

/* ---- many rows ---------------------------------------------------------------------------------------------- */

enum { MANY = 70000, COLUMNS = 70 };

static float many[MANY * 10];

static void draw_many(size_t n_rows, size_t n, uint64_t stream)
{
    test_rng rng;
    test_rng_init(&rng, test_cases_seed, stream);
    for (size_t i = 0; i < n_rows * n; i++) {
        double v = test_rng_normal(&rng);
        many[i] = (float)(i % n % 5 == 3 ? v * v * v * 1e10 : i % n % 5 == 4 ? 7 : 0.3 + v);
    }
}

static void must_be_same(const hop_geometry *a, const hop_geometry *b, bool tails)
{
    const size_t n = a->n * sizeof(double), f = a->n * sizeof(float);
    ck_assert(memcmp(a->centre, b->centre, n) == 0 && memcmp(a->scale, b->scale, n) == 0);
    ck_assert(memcmp(a->low, b->low, n) == 0 && memcmp(a->high, b->high, n) == 0);
    ck_assert(memcmp(a->extent, b->extent, n) == 0 && memcmp(a->inverse, b->inverse, n) == 0);
    ck_assert(memcmp(a->min, b->min, f) == 0 && memcmp(a->max, b->max, f) == 0);
    const double x[] = {a->radius, a->max_abs, a->max_l2, a->range, a->widest},
                 y[] = {b->radius, b->max_abs, b->max_l2, b->range, b->widest};
    ck_assert_mem_eq(x, y, sizeof x);
    if (tails) {
        ck_assert_mem_eq(a->tails, b->tails, 4 * HOP_TAIL_LEVELS * n);
        ck_assert_mem_eq(a->tail_reach, b->tail_reach, sizeof a->tail_reach);
        ck_assert_mem_eq(a->tail_rest, b->tail_rest, sizeof a->tail_rest);
    }
}

/* The bounds of each coordinate's tails, and that both sides and all levels are in reach and rest. */
static void must_hold_tails(const hop_geometry *g, const float *rows, size_t n_rows)
{
    for (size_t l = 0; l < g->n; l++) {
        long double above[HOP_TAIL_LEVELS] = {0}, below[HOP_TAIL_LEVELS] = {0};
        for (size_t i = 0; i < n_rows; i++) {
            long double u = ((long double)rows[i * g->n + l] - g->centre[l]) * g->inverse[l];
            for (size_t k = 0; k < HOP_TAIL_LEVELS; k++) {
                hop_tail tail = hop_geometry_tail(g, k, l);
                above[k] += fmaxl(u - tail.upper, 0);
                below[k] += fmaxl(tail.lower - u, 0);
            }
        }
        for (size_t k = 0; k < HOP_TAIL_LEVELS; k++) {
            hop_tail tail = hop_geometry_tail(g, k, l);
            ck_assert_msg(tail.above >= above[k] / n_rows && tail.below >= below[k] / n_rows, "level %zu column %zu", k,
                          l);
            ck_assert_msg(tail.above <= above[k] / n_rows + 0.03 * g->extent[l] + 1e-300L,
                          "level %zu column %zu: %g for %Lg", k, l, tail.above, above[k] / n_rows);
            ck_assert(g->tail_reach[k] >= g->scale[l] * fmax(tail.upper, -tail.lower));
            ck_assert(g->tail_rest[k] >= g->scale[l] * fmax(tail.above, tail.below));
        }
    }
}

/* Whoever measures, and with whatever kernels, the same bits come out. */
START_TEST(nothing_depends_on_who_measures)
{
    static const struct {
        size_t n_rows, n;
    } shapes[] = {{MANY, 10}, {40000, 7}, {9000, COLUMNS}, {600, 1100}, {130, 3}, {3, 5}};
    static const char *const names[] = {"reference", "avx2", "avx512", "neon"};
    for (size_t s = hop_check_fast() ? 2 : 0; s < sizeof shapes / sizeof *shapes; s++) {
        const size_t n_rows = shapes[s].n_rows, n = shapes[s].n;
        hop_geometry one, other;
        draw_many(n_rows, n, 10 + s);
        ck_assert(hop_isa_choose("reference", NULL) == HOP_OK);
        ck_assert(hop_geometry_init(&one, many, n_rows, n, NULL) == HOP_OK);
        if (one.tails)
            must_hold_tails(&one, many, n_rows);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            if (hop_isa_choose(names[i], NULL) != HOP_OK)
                continue;
            for (size_t width = 0; width <= 5; width++) {
                hop_executor backwards = {.run = test_run_backwards, .width = width};
                ck_assert(hop_geometry_measure(&other, many, n_rows, n, NULL, NULL,
                                               width == 3 ? &test_on_threads
                                               : width    ? &backwards
                                                          : NULL,
                                               NULL) == HOP_OK);
                must_be_same(&one, &other, one.tails != NULL);
                hop_geometry_fini(&other);
            }
        }
        hop_geometry_fini(&one);
    }
    ck_assert(hop_isa_choose(NULL, NULL) == HOP_OK);
}
END_TEST

/* A frame is kept while the farthest row of every coordinate is 1/8 to 4 scales from the centre. */
START_TEST(a_frame_is_kept_while_extents_fit)
{
    const double centre[2] = {0, 0}, scale[2] = {1, 4};
    const hop_kept_frame frame = {.centre = centre, .scale = scale};
    const struct {
        float far;
        bool kept;
    } cases[] = {{0.124f, false}, {0.125f, true}, {1, true}, {4, true}, {4.01f, false}, {0, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const float rows[] = {0, -4, cases[i].far, 4}, turned[] = {0, 4, -cases[i].far, 4};
        for (int turn = 0; turn < 2; turn++) {
            hop_geometry g;
            ck_assert(hop_geometry_measure(&g, turn ? turned : rows, 2, 2, &frame, NULL, NULL, NULL) == HOP_OK);
            ck_assert_int_eq(g.kept, cases[i].kept);
            if (g.kept)
                ck_assert(g.scale[0] == 1 && g.scale[1] == 4);
            hop_geometry_fini(&g);
        }
    }
}
END_TEST

START_TEST(the_first_bad_row_is_named)
{
    const size_t places[] = {0, 1, 127, 128, 6999, 35000, MANY - 1};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        hop_geometry g;
        hop_error error = HOP_ERROR_NONE;
        draw_many(MANY, 10, 20);
        many[places[i] * 10 + 9] = NAN;
        for (size_t later = i + 1; later < sizeof places / sizeof *places; later++)
            many[places[later] * 10] = INFINITY;
        ck_assert(hop_geometry_measure(&g, many, MANY, 10, NULL, NULL, &test_on_threads, &error) == HOP_E_DOMAIN);
        ck_assert_int_eq(error.row, (int64_t)places[i]);
        ck_assert_int_eq(error.column, 9);
    }
}
END_TEST

/* Step by step, or at once in the same frame: the same but for the tails, which hold. */
START_TEST(rows_that_are_known_are_not_read_again)
{
    enum { N = 10, STEPS = 7 };
    const size_t ends[STEPS] = {100, 101, 120, 180, 30000, 30001, 33000};
    hop_geometry known, next, afresh;
    draw_many(MANY, N, 30);
    for (size_t i = 0; i < 100; i++)
        many[i * N + 1] = 3; /* comes to life later */
    ck_assert(hop_geometry_init(&known, many, ends[0], N, NULL) == HOP_OK);
    for (size_t step = 1; step < STEPS; step++) {
        const size_t n_rows = ends[step];
        const hop_kept_frame frame = {known.centre, known.scale, known.extent};
        float first = many[0];
        many[0] = NAN; /* seen where it is read */
        hop_status status = hop_geometry_measure(&next, many, n_rows, N, &frame,
                                                 &(hop_known_rows){&known, ends[step - 1]}, &test_on_threads, NULL);
        bool read = status != HOP_OK || !next.kept || next.tail_rows != known.tail_rows;
        if (status == HOP_OK)
            hop_geometry_fini(&next);
        many[0] = first;
        ck_assert(hop_geometry_measure(&next, many, n_rows, N, &frame, &(hop_known_rows){&known, ends[step - 1]},
                                       &test_on_threads, NULL) == HOP_OK);
        ck_assert_int_eq(read, step == 3 || step == 4);
        ck_assert(hop_geometry_measure(&afresh, many, n_rows, N, &frame, NULL, NULL, NULL) == HOP_OK);
        must_be_same(&next, &afresh, read);
        ck_assert(next.kept == afresh.kept);
        must_hold_tails(&next, many, n_rows);
        hop_geometry_fini(&afresh);
        hop_geometry_fini(&known);
        known = next;
    }
    hop_geometry_fini(&known);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("geometry");
    TCase *tcase = tcase_create("enclosures");
    tcase_add_loop_test(tcase, rows_lie_inside_their_geometry, 0, (int)test_set_kinds());
    tcase_add_test(tcase, equal_rows_have_no_extent);
    tcase_add_test(tcase, nothing_depends_on_who_measures);
    tcase_add_test(tcase, a_frame_is_kept_while_extents_fit);
    tcase_add_test(tcase, the_first_bad_row_is_named);
    tcase_add_test(tcase, rows_that_are_known_are_not_read_again);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    test_cases_seed = test_seed(test_cases_seed);
    return hop_check_main(argc, argv, make);
}
