/*
 * test_kernels_measure.c - the kernels that sets are measured and packed with: every table gives the reference's numbers
 * bit for bit, and the reference what kernels.h says.
 */
#include "support/check_main.h"
#include "support/rng.h"

#include "kernel_tables.h"

#include <math.h>
#include <string.h>

enum { ROWS = 150, MOST = 70, CASES = 400 };

static uint64_t seed;
static const hop_kernels *tables[KERNEL_TABLES_MAX];
static int tables_n;

static float rows[ROWS * MOST];
static double centre[MOST], inverse[MOST], low[MOST], per_bin[MOST];

/* Rows of all sizes; 16-bit fractions now and then, so that bins' edges are met. */
static size_t draw(test_rng *rng, size_t n)
{
    double size = test_rng_log(rng, 1e-30, 1e30);
    bool coarse = test_rng_below(rng, 2);
    for (size_t i = 0; i < ROWS * n; i++) {
        double v = coarse ? (double)test_rng_below(rng, 513) / 256 - 1 : test_rng_normal(rng);
        rows[i] = (float)(v * (coarse ? 1 : test_rng_below(rng, 9) ? size : 1e-6 * size));
    }
    for (size_t l = 0; l < n; l++) {
        centre[l] = coarse ? 0 : 0.1 * size * test_rng_normal(rng);
        inverse[l] = ldexp(1, coarse ? 0 : -ilogb(size));
        low[l] = coarse ? -1 : -2 * size;
        per_bin[l] = HOP_BINS / (coarse ? 2 : 4 * size);
    }
    return 1 + test_rng_below(rng, ROWS);
}

START_TEST(sums_are_the_references)
{
    const hop_kernels *kernels = tables[_i];
    test_rng rng;
    test_rng_init(&rng, seed, 1);
    for (size_t i = 0; i < CASES; i++) {
        const size_t n = 1 + test_rng_below(&rng, MOST), n_rows = draw(&rng, n);
        double is[4 * MOST], should[4 * MOST];
        for (size_t l = 0; l < 4 * n; l++)
            is[l] = should[l] = l < 2 * n ? 0 : l < 3 * n ? (double)INFINITY : -(double)INFINITY;
        kernels->row_sums(n, n_rows, rows, &(hop_row_sums){is, is + n, is + 2 * n, is + 3 * n});
        hop_kernels_reference.row_sums(n, n_rows, rows,
                                       &(hop_row_sums){should, should + n, should + 2 * n, should + 3 * n});
        require(memcmp(is, should, 4 * n * sizeof *is) == 0, "%s n=%zu: other sums", kernels->isa, n);
        for (size_t l = 0; l < n; l++) {
            long double sum = 0, size = 0, least = INFINITY, most = -INFINITY;
            for (size_t mu = 0; mu < n_rows; mu++) {
                long double v = rows[mu * n + l];
                sum += v;
                size += fabsl(v);
                least = fminl(least, v);
                most = fmaxl(most, v);
            }
            require(fabsl(is[l] + (long double)is[n + l] - sum) <= size * 0x1p-60L, "%s: a sum", kernels->isa);
            require(is[2 * n + l] == (double)least && is[3 * n + l] == (double)most, "%s: a range", kernels->isa);
        }
    }
}
END_TEST

START_TEST(squares_are_the_references)
{
    const hop_kernels *kernels = tables[_i];
    test_rng rng;
    test_rng_init(&rng, seed, 2);
    for (size_t i = 0; i < CASES; i++) {
        const size_t n = 1 + test_rng_below(&rng, MOST), n_rows = draw(&rng, n);
        const double *about = i % 2 ? centre : NULL;
        double is = 0, should = 0;
        long double largest = 0;
        require(kernels->row_squares(n, n_rows, rows, about, &is) == n_rows, "%s: finite rows", kernels->isa);
        require(hop_kernels_reference.row_squares(n, n_rows, rows, about, &should) == n_rows, "reference: finite rows");
        require(memcmp(&is, &should, sizeof is) == 0, "%s n=%zu: %a, not %a", kernels->isa, n, is, should);
        for (size_t mu = 0; mu < n_rows; mu++) {
            long double square = 0;
            for (size_t l = 0; l < n; l++) {
                long double y = rows[mu * n + l] - (about ? (long double)about[l] : 0);
                square += y * y;
            }
            largest = fmaxl(largest, square);
        }
        require(fabsl(is - largest) <= largest * ((long double)n / 16 + 7) * 0x1p-53L, "%s n=%zu: %g, not %Lg",
                kernels->isa, n, is, largest);
        const size_t bad = test_rng_below(&rng, n_rows), later = bad + test_rng_below(&rng, n_rows - bad);
        rows[bad * n + test_rng_below(&rng, n)] = test_rng_below(&rng, 2) ? NAN : -INFINITY;
        rows[later * n + test_rng_below(&rng, n)] = INFINITY;
        require(kernels->row_squares(n, n_rows, rows, about, &is) == bad, "%s: row %zu is bad", kernels->isa, bad);
        require(memcmp(&is, &should, sizeof is) == 0, "%s: what is not finite counted", kernels->isa);
    }
}
END_TEST

START_TEST(bins_are_the_references)
{
    static uint16_t is[HOP_BIN_COLUMNS * HOP_BINS], should[HOP_BIN_COLUMNS * HOP_BINS];
    const hop_kernels *kernels = tables[_i];
    test_rng rng;
    test_rng_init(&rng, seed, 3);
    for (size_t i = 0; i < CASES / 10; i++) {
        const size_t stride = 1 + test_rng_below(&rng, MOST), n_rows = draw(&rng, stride);
        const size_t from = test_rng_below(&rng, stride), most = stride - from;
        hop_row_bins work = {.n = most < HOP_BIN_COLUMNS ? most : HOP_BIN_COLUMNS,
                             .n_rows = n_rows,
                             .stride = stride,
                             .rows = rows + from,
                             .centre = centre + from,
                             .low = low + from,
                             .per_bin = per_bin + from};
        if (i % 5 == 0)
            per_bin[from] = 0;
        memset(is, 0, sizeof is);
        memset(should, 0, sizeof should);
        work.count = is;
        kernels->row_bins(&work);
        work.count = should;
        hop_kernels_reference.row_bins(&work);
        require(memcmp(is, should, sizeof is) == 0, "%s n=%zu: other histograms", kernels->isa, work.n);
        for (size_t l = 0; l < work.n; l++) { /* rows below an edge: surely, and possibly */
            size_t below = 0;
            for (size_t k = 0; k < HOP_BINS; k++) {
                size_t surely = 0, possibly = 0;
                below += is[l * HOP_BINS + k];
                for (size_t mu = 0; mu < n_rows; mu++) {
                    long double t =
                        ((long double)work.rows[mu * stride + l] - work.centre[l] - work.low[l]) * work.per_bin[l];
                    surely += t < k + 1 - 0x1p-40L;
                    possibly += t <= k + 1 + 0x1p-40L;
                }
                if (k + 1 < HOP_BINS)
                    require(below >= surely && below <= possibly,
                            "%s column %zu: %zu rows below edge %zu, not %zu..%zu", kernels->isa, l, below, k, surely,
                            possibly);
            }
            require(below == n_rows, "%s: %zu rows of %zu", kernels->isa, below, n_rows);
        }
    }
}
END_TEST

START_TEST(scaled_rows_are_the_references)
{
    static float is[ROWS * (MOST + 3)], should[ROWS * (MOST + 3)];
    const hop_kernels *kernels = tables[_i];
    test_rng rng;
    test_rng_init(&rng, seed, 4);
    for (size_t i = 0; i < CASES; i++) {
        const size_t stride = 1 + test_rng_below(&rng, MOST), n_rows = draw(&rng, stride);
        const size_t from = test_rng_below(&rng, stride), n = 1 + test_rng_below(&rng, stride - from);
        hop_row_scaling work = {.n = n,
                                .n_rows = n_rows,
                                .stride = stride,
                                .out_stride = n + test_rng_below(&rng, 4),
                                .rows = rows + from,
                                .centre = centre + from,
                                .inverse = inverse + from};
        memset(is, 0, sizeof is);
        memset(should, 0, sizeof should);
        work.out = is;
        kernels->scale_rows(&work);
        for (size_t mu = 0; mu < n_rows; mu++)
            for (size_t l = 0; l < n; l++)
                should[mu * work.out_stride + l] =
                    (float)(((double)work.rows[mu * stride + l] - work.centre[l]) * work.inverse[l]);
        require(memcmp(is, should, sizeof is) == 0, "%s n=%zu: another row, or written beside it", kernels->isa, n);
    }
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("kernels_measure");
    TCase *tcase = tcase_create("measure");
    tcase_add_loop_test(tcase, sums_are_the_references, 0, tables_n);
    tcase_add_loop_test(tcase, squares_are_the_references, 0, tables_n);
    tcase_add_loop_test(tcase, bins_are_the_references, 0, tables_n);
    tcase_add_loop_test(tcase, scaled_rows_are_the_references, 0, tables_n);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv)
{
    seed = test_seed(UINT64_C(0x6d656173));
    tables_n = kernel_tables_find(tables);
    return hop_check_main(argc, argv, make);
}
