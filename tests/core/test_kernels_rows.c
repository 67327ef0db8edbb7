/*
 * test_kernels_rows.c - the kernels of a single row: every table gives the reference's answer bit for bit, whose bound
 * is the formula of kernels.h and no less; the query's sums are right within their roundings.
 */
#include "support/check_main.h"
#include "support/rng.h"

#include "core/rounding.h"
#include "kernel_tables.h"

#include <math.h>
#include <string.h>

enum { MOST = 41 };

static uint64_t seed;
static const hop_kernels *tables[KERNEL_TABLES_MAX];
static int tables_n;

static double centre[MOST], scale[MOST], low[MOST], high[MOST], extent[MOST], numerator[MOST];
static double upper[MOST], above[MOST], lower[MOST], below[MOST], skew[MOST];
static float min[MOST], max[MOST];

static void draw(test_rng *rng, double denominator)
{
    for (size_t j = 0; j < MOST; j++) {
        bool equal = test_rng_below(rng, 8) == 0;
        scale[j] = ldexp(1, (int)test_rng_below(rng, 40) - 20);
        centre[j] = scale[j] * test_rng_normal(rng);
        low[j] = equal ? 0 : -0.1 - 0.9 * test_rng_unit(rng);
        high[j] = equal ? 0 : 0.1 + 0.9 * test_rng_unit(rng);
        extent[j] = fmax(-low[j], high[j]);
        min[j] = (float)(centre[j] + scale[j] * low[j]);
        max[j] = (float)(centre[j] + scale[j] * high[j]);
        upper[j] = high[j] * 0.7;
        lower[j] = low[j] * 0.7;
        above[j] = 0.01 * test_rng_unit(rng);
        below[j] = 0.01 * test_rng_unit(rng);
        skew[j] = test_rng_below(rng, 5) ? 0.2 * test_rng_unit(rng) : (double)INFINITY;
        numerator[j] = denominator * (low[j] + (high[j] - low[j]) * (1.2 * test_rng_unit(rng) - 0.1));
        if (test_rng_below(rng, 50) == 0)
            numerator[j] = test_rng_below(rng, 2) ? (double)NAN : (double)-INFINITY;
    }
}

/* The contract's deviation and bound in long double, without the rounding up. */
static long double least_reach(const hop_answer_row *row, size_t j, long double q, long double dev, long double most,
                               bool one_sided)
{
    long double plain = dev * fmaxl(row->high[j] - q, q - row->low[j]);
    if (!row->upper)
        return plain;
    long double a = dev * fmaxl(row->upper[j] - q, 0), b = dev * fmaxl(q - row->lower[j], 0);
    long double over = most * row->above[j], under = most * row->below[j];
    return fminl(plain, one_sided ? fmaxl(a + over, b + under) : fmaxl(a, b) + over + under);
}

static long double least_bound(const hop_answer_row *row, size_t j, long double z)
{
    long double q = (long double)row->numerator[j] / row->denominator;
    long double deviation = least_reach(row, j, q, row->dev, row->most, row->one_sided);
    if (row->skew && isfinite(row->skew[j]))
        deviation = fminl(deviation, row->dev_middle * (row->skew[j] + fabsl(q)) +
                                         least_reach(row, j, q, row->dev_half, row->most_half, false));
    long double error = row->base + row->osc * ((long double)row->high[j] - row->low[j]) + deviation +
                        row->weight * (long double)row->extent[j] + row->quotient * fabsl(q);
    long double exact = row->centre[j] + q * row->scale[j];
    long double clipped = fminl(fmaxl(exact, row->min[j]), row->max[j]);
    long double cap = fmaxl(z - row->min[j], row->max[j] - z);
    return fminl(error * row->scale[j] + fabsl(clipped - z), cap);
}

START_TEST(answers_are_the_references)
{
    const hop_kernels *kernels = tables[_i];
    test_rng rng;
    test_rng_init(&rng, seed, 1);
    for (size_t i = 0; i < 4000; i++) {
        double denominator = test_rng_below(&rng, 20) ? 0.5 + test_rng_unit(&rng) : (double)INFINITY;
        float z[MOST + 1], expected[MOST + 1];
        draw(&rng, isfinite(denominator) ? denominator : 1e300);
        hop_answer_row row = {.n = test_rng_below(&rng, MOST + 1),
                              .centre = centre,
                              .scale = scale,
                              .low = low,
                              .high = high,
                              .extent = extent,
                              .min = min,
                              .max = max,
                              .numerator = numerator,
                              .denominator = denominator,
                              .base = isfinite(denominator) ? 0 : (double)INFINITY,
                              .osc = test_rng_below(&rng, 2) ? test_rng_log(&rng, 1e-12, 1) : 0,
                              .dev = test_rng_below(&rng, 9) ? test_rng_log(&rng, 1e-12, 1) : (double)INFINITY,
                              .weight = test_rng_log(&rng, 1e-15, 1e-3),
                              .quotient = test_rng_log(&rng, 1e-15, 1e-3),
                              .one_sided = test_rng_below(&rng, 2)};
        if (test_rng_below(&rng, 2)) {
            row.most = hop_min(row.dev, 1) * 7;
            row.upper = upper;
            row.above = above;
            row.lower = lower;
            row.below = below;
        }
        if (test_rng_below(&rng, 2)) {
            double half = test_rng_unit(&rng) / 2;
            row.skew = skew;
            row.dev_middle = row.dev * (1 - half);
            row.dev_half = row.dev * half;
            row.most_half = row.most * half;
        }
        memset(z, 0, sizeof z);
        memset(expected, 0, sizeof expected);
        row.z = expected;
        double should = hop_kernels_reference.answer_row(&row);
        row.z = z;
        double bound = kernels->answer_row(&row);
        require(memcmp(&bound, &should, sizeof bound) == 0, "%s n=%zu: %a, not %a", kernels->isa, row.n, bound, should);
        require(memcmp(z, expected, sizeof z) == 0, "%s n=%zu: another z, or written behind it", kernels->isa, row.n);
        require(isfinite(bound), "%s: a bound that is not finite", kernels->isa);
        for (size_t j = 0; j < row.n; j++) {
            require(z[j] >= min[j] && z[j] <= max[j], "%s: z leaves the values", kernels->isa);
            require(min[j] != max[j] || z[j] == min[j], "%s: z where all values agree", kernels->isa);
            double slack = fabs(numerator[j] / denominator) * scale[j] * 0x1p-52; /* the caller's: in quotient */
            long double least = least_bound(&row, j, (long double)z[j]);
            require(!isfinite(least) || !isfinite(numerator[j]) || (long double)bound >= least * (1 - 0x1p-46L) - slack,
                    "%s n=%zu j=%zu: %g is below %Lg", kernels->isa, row.n, j, bound, least);
        }
    }
}
END_TEST

static void require_near(const char *isa, const char *name, double value, long double exact, long double size)
{
    require(fabsl((long double)value - exact) <= size * (MOST + 4) * 0x1p-53L, "%s %s: %.17g, not %.17Lg", isa, name,
            value, exact);
}

START_TEST(queries_are_summed)
{
    const hop_kernels *kernels = tables[_i];
    test_rng rng;
    test_rng_init(&rng, seed, 2);
    for (size_t i = 0; i < 4000; i++) {
        float narrow[MOST];
        double xi[MOST + 1], x[MOST], beta = test_rng_log(&rng, 1e-3, 1e3);
        hop_query_row row = {.d = 1 + test_rng_below(&rng, MOST),
                             .beta = beta,
                             .centre = centre,
                             .scale = scale,
                             .low = low,
                             .high = high,
                             .extent = extent,
                             .xi = xi};
        long double square = 0, base = 0, base_abs = 0, box = 0, up = 0, down = 0, most = 0;
        draw(&rng, 1);
        row.x = i % 2 ? narrow : NULL;
        xi[row.d] = 7;
        for (size_t l = 0; l < row.d; l++) {
            narrow[l] = (float)(test_rng_normal(&rng) * (extent[l] > 0 ? 1 : 1e30));
            xi[l] = x[l] = i % 2 ? (double)narrow[l] : test_rng_normal(&rng);
            long double w = extent[l] > 0 ? (long double)beta * x[l] * scale[l] : 0;
            square += (long double)x[l] * x[l];
            base += (long double)centre[l] * x[l];
            base_abs += fabsl((long double)centre[l] * x[l]);
            box += fabsl(w) * extent[l];
            up += fmaxl(w * low[l], w * high[l]);
            down += fmaxl(-w * low[l], -w * high[l]);
            most += fabsl(w) * fmaxl(fabsl((long double)low[l]), fabsl((long double)high[l]));
        }
        hop_query_sums sums;
        kernels->query_row(&row, &sums);
        require_near(kernels->isa, "square", sums.square, square, square);
        require_near(kernels->isa, "base", sums.base, base, base_abs);
        require_near(kernels->isa, "base_abs", sums.base_abs, base_abs, base_abs);
        require_near(kernels->isa, "box", sums.box, box, box);
        require_near(kernels->isa, "up", sums.up, up, most);
        require_near(kernels->isa, "down", sums.down, down, most);
        for (size_t l = 0; l < row.d; l++)
            require(xi[l] == (extent[l] > 0 ? beta * x[l] * scale[l] : 0), "%s: xi[%zu]", kernels->isa, l);
        require(xi[row.d] == 7, "%s: written behind xi", kernels->isa);
        size_t at = test_rng_below(&rng, row.d); /* a coordinate that is not finite must be seen */
        narrow[at] = test_rng_below(&rng, 2) ? NAN : INFINITY;
        xi[at] = (double)narrow[at];
        extent[at] = 0;
        kernels->query_row(&row, &sums);
        require(!isfinite(sums.square) && xi[at] == 0, "%s: infinity at %zu of %zu", kernels->isa, at, row.d);
    }
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("kernels_rows");
    TCase *tcase = tcase_create("rows");
    tcase_add_loop_test(tcase, answers_are_the_references, 0, tables_n);
    tcase_add_loop_test(tcase, queries_are_summed, 0, tables_n);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    seed = test_seed(UINT64_C(0x726f7773));
    tables_n = kernel_tables_find(tables);
    return hop_check_main(argc, argv, make);
}
