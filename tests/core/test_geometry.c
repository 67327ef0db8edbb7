/*
 * test_geometry.c - the enclosures that every bound starts from: ranges, scales, radius.
 */
#include "support/cases.h"
#include "support/check_main.h"
#include "support/sets.h"

#include "core/geometry.h"

#include <math.h>

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

static Suite *make(void)
{
    Suite *suite = suite_create("geometry");
    TCase *tcase = tcase_create("enclosures");
    tcase_add_loop_test(tcase, rows_lie_inside_their_geometry, 0, (int)test_set_kinds());
    tcase_add_test(tcase, equal_rows_have_no_extent);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    test_cases_seed = test_seed(test_cases_seed);
    return hop_check_main(argc, argv, make);
}
