/*
 * ahop.c - the matrices of Lemma A.3 and Algorithm 1 of P1 over them, in f64, with what rounding does to both.
 */
#include "core/ahop.h"

#include <math.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/multiindex.h"
#include "core/rounding.h"
#include "core/status.h"

/* Degrees are a few times R: integers of f64 up to here. */
#define DEGREE_RADIUS_MAX 0x1p48

/*
 * ln(R^{g+1}/(g+1)! e^R / delta), and what may be wrong with it: a few units in the last place of each term, R's own
 * three roundings included.
 */
static bool degree_meets(double g, double R, double log_delta)
{
    const double power = (g + 1) * log(R), factorial = lgamma(g + 2);
    const double slack = 0x1p-48 * (fabs(power) + factorial + R + fabs(log_delta) + g + 1);
    return power - factorial + R + slack <= log_delta;
}

/*
 * R^k/k! e^R is largest at k = R or so. Below it the terms grow from k = 1 on, where R >= 1 has R e^R > delta already:
 * a degree that meets is above, where they fall.
 */
double hop_ahop_degree(double R, double delta)
{
    if (!(R >= 0 && R <= DEGREE_RADIUS_MAX) || !(delta > 0 && delta < 1))
        return (double)NAN;
    if (R <= 0)
        return 0;
    const double log_delta = log(delta);
    double low = R < 1 ? -1 : floor(R) - 1, high = low + 1; /* low does not meet */
    while (!degree_meets(high, R, log_delta)) {
        const double step = 2 * (high - low);
        low = high;
        high += step;
    }
    while (high - low > 1) {
        const double middle = floor(low + (high - low) / 2);
        if (degree_meets(middle, R, log_delta))
            high = middle;
        else
            low = middle;
    }
    return high;
}

double hop_ahop_log10_rank(double d, double g)
{
    return (lgamma(2 * (d + g) + 1) - lgamma(2 * d + 1) - lgamma(2 * g + 1)) / log(10);
}

/* ---- matrices ---------------------------------------------------------------------------------------- */

static hop_status check_rows(const char *name, size_t n, size_t columns, const float *rows, double *largest,
                             hop_error *error)
{
    for (size_t i = 0; i < n * columns; i++) {
        if (!isfinite(rows[i]))
            return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)(i / columns), (int64_t)(i % columns),
                               "%s: row %zu, column %zu is not a finite f32", name, i / columns, i % columns);
        *largest = hop_max(fabs((double)rows[i]), *largest);
    }
    return HOP_OK;
}

/* All monomials of factor u, in the order of multiindex.h, each times weight (NULL: 1). */
static void monomials(const hop_multiindex *index, double factor, const float *u, const double *weight, double *out)
{
    out[0] = 1;
    for (unsigned k = 1; k <= index->g; k++) {
        double *to = out + index->start[k];
        const double *from = out + index->start[k - 1];
        for (size_t i = 0; i < index->d; i++) {
            const double variable = factor * (double)u[i];
            const double *cofactor = from + hop_multiindex_offset(index, k - 1, i);
            for (size_t b = 0; b < hop_multiindex_suffix(index, k - 1, i); b++)
                *to++ = variable * cofactor[b];
        }
    }
    for (size_t a = 0; weight && a < index->start[index->g + 1]; a++)
        out[a] *= weight[a];
}

static hop_status fill(hop_ahop *ahop, const float *memories, const float *x, hop_error *error)
{
    hop_multiindex index;
    hop_status status = hop_multiindex_init(&index, ahop->d, ahop->g, error);
    if (status != HOP_OK)
        return status;
    double *inverse = hop_array_new(ahop->r, 1, sizeof *inverse);
    unsigned char *multiplicity = hop_array_new(ahop->r, 1, 1);
    ahop->U1 = hop_array_new(ahop->M, ahop->r, sizeof *ahop->U1);
    ahop->U2 = hop_array_new(ahop->L, ahop->r, sizeof *ahop->U2);
    if (inverse && multiplicity && ahop->U1 && ahop->U2) {
        hop_multiindex_factorials(&index, inverse, multiplicity);
        for (size_t mu = 0; mu < ahop->M; mu++)
            monomials(&index, ahop->beta, memories + mu * ahop->d, inverse, ahop->U1 + mu * ahop->r);
        for (size_t l = 0; l < ahop->L; l++)
            monomials(&index, 1, x + l * ahop->d, NULL, ahop->U2 + l * ahop->r);
    } else {
        status = hop_fail(error, HOP_E_NOMEM, "no memory for %zu x %zu monomials", ahop->M + ahop->L, ahop->r);
    }
    hop_aligned_free(inverse);
    hop_aligned_free(multiplicity);
    hop_multiindex_fini(&index);
    return status;
}

/* Degree and rank within the limits. */
static hop_status size_up(hop_ahop *ahop, hop_error *error)
{
    const double g = hop_ahop_degree(ahop->R, ahop->delta_A);
    if (!(g < HOP_DEGREE_MAX + 1))
        return hop_fail(error, HOP_E_LIMIT, "beta d B^2 = %.4g takes degree %.0f, above %d", ahop->R, g,
                        HOP_DEGREE_MAX);
    ahop->g = (unsigned)g;
    const uint64_t r = hop_rank(ahop->d, ahop->g);
    size_t rows, cells;
    if (r > HOP_AHOP_CELLS_MAX || !hop_add_size(ahop->M, ahop->L, &rows) || !hop_mul_size(rows, (size_t)r, &cells) ||
        cells > HOP_AHOP_CELLS_MAX)
        return hop_fail(error, HOP_E_LIMIT, "degree %u in %zu coordinates: more than %d monomials of all rows", ahop->g,
                        ahop->d, HOP_AHOP_CELLS_MAX);
    ahop->r = (size_t)r;
    return HOP_OK;
}

hop_status hop_ahop_new(size_t d, size_t M, const float *memories, size_t L, const float *x, double beta,
                        double delta_A, hop_ahop **out, hop_error *error)
{
    size_t cells;
    if (!d || !M || !L)
        return hop_fail(error, HOP_E_SHAPE, "at least one coordinate, one memory and one query are needed");
    if (!hop_mul_size(M, d, &cells) || !hop_mul_size(L, d, &cells))
        return hop_fail(error, HOP_E_LIMIT, "the sizes overflow");
    if (!(beta > 0) || !isfinite(beta))
        return hop_fail(error, HOP_E_DOMAIN, "beta must be a finite number above 0, not %g", beta);
    if (!(delta_A > 0 && delta_A <= 0.1))
        return hop_fail(error, HOP_E_DOMAIN, "delta_A must be above 0 and at most 0.1, not %g", delta_A);
    double B = 0;
    hop_status status = check_rows("memories", M, d, memories, &B, error);
    if (status == HOP_OK)
        status = check_rows("queries", L, d, x, &B, error);
    if (status != HOP_OK)
        return status;
    hop_ahop *ahop = hop_array_new(1, 1, sizeof *ahop);
    if (!ahop)
        return hop_fail(error, HOP_E_NOMEM, "no memory for Algorithm 1");
    *ahop = (hop_ahop){.d = d, .M = M, .L = L, .beta = beta, .B = B, .R = beta * (double)d * B * B, .delta_A = delta_A};
    status = size_up(ahop, error);
    if (status == HOP_OK)
        status = fill(ahop, memories, x, error);
    if (status != HOP_OK) {
        hop_ahop_free(ahop);
        return status;
    }
    *out = ahop;
    return HOP_OK;
}

void hop_ahop_free(hop_ahop *ahop)
{
    if (!ahop)
        return;
    hop_aligned_free(ahop->U1);
    hop_aligned_free(ahop->U2);
    hop_aligned_free(ahop);
}

/* ---- Algorithm 1 ------------------------------------------------------------------------------------- */

/* Largest range of a column. */
static double largest_range(size_t M, size_t p, const float *values)
{
    double largest = 0;
    for (size_t j = 0; j < p; j++) {
        double low = (double)values[j], high = low;
        for (size_t mu = 1; mu < M; mu++) {
            low = hop_min((double)values[mu * p + j], low);
            high = hop_max((double)values[mu * p + j], high);
        }
        largest = hop_max(high - low, largest);
    }
    return largest;
}

/* S = U1^T [V, 1]: r x (p + 1). */
static void sum_memories(const hop_ahop *ahop, size_t p, const float *values, double *S)
{
    for (size_t mu = 0; mu < ahop->M; mu++) {
        const double *u = ahop->U1 + mu * ahop->r;
        const float *v = values + mu * p;
        for (size_t a = 0; a < ahop->r; a++) {
            double *to = S + a * (p + 1);
            for (size_t j = 0; j < p; j++)
                to[j] += u[a] * (double)v[j];
            to[p] += u[a];
        }
    }
}

/*
 * >= sum_k s^k/k!, s >= max_mu beta sum_i |xi_mu,i x_l,i|: the columns of degree 1 are beta xi and x. No sum of
 * absolute values of A~'s terms is above it.
 */
static double absolute_sum(const hop_ahop *ahop, size_t l)
{
    double s = 0;
    for (size_t i = 1; i <= ahop->d && ahop->g; i++) {
        double widest = 0;
        for (size_t mu = 0; mu < ahop->M; mu++)
            widest = hop_max(fabs(ahop->U1[mu * ahop->r + i]), widest);
        s += widest * fabs(ahop->U2[l * ahop->r + i]);
    }
    return exp(s * (1 + hop_gamma((double)ahop->d + 4, HOP_U64))) * (1 + 0x1p-48);
}

/*
 * A term of N or D is U1's entry (one rounding a factor beta, one a product, one a division of 1/alpha!, its product:
 * 3 g + 1), U2's (g), their two products, and at most M + r additions: n roundings. So |dN_j| <= a = gamma_n M B_v P
 * and |dD| <= b = gamma_n M P, P >= sum of the terms' absolute values, and N/D is off by (a + |N/D| b)/(D - b).
 * Products that underflow are off by 2^-1074: far below that, as D's own term 1 is M.
 */
static double rounding_of(const hop_ahop *ahop, size_t l, double D, double largest_value, double largest_z)
{
    const double n = 4.0 * ahop->g + 4 + (double)ahop->M + (double)ahop->r;
    const double b = hop_up(hop_gamma(n, HOP_U64) * (double)ahop->M * absolute_sum(ahop, l));
    if (!(D - b > 0))
        return (double)INFINITY;
    return hop_up(b * (largest_value + largest_z) / (D - b)) + 2 * HOP_U64 * largest_z;
}

hop_status hop_ahop_retrieve(const hop_ahop *ahop, size_t p, const float *values, hop_ahop_answer *answer,
                             hop_error *error)
{
    size_t cells;
    double largest = 0, delta = ahop->delta_A;
    if (!p || p == SIZE_MAX || !hop_mul_size(ahop->M, p, &cells))
        return hop_fail(error, HOP_E_SHAPE, "at least one value is needed, and not so many");
    hop_status status = check_rows("values", ahop->M, p, values, &largest, error);
    if (status != HOP_OK)
        return status;
    double *S = hop_array_new(ahop->r, p + 1, sizeof *S), *N = hop_array_new(p + 1, 1, sizeof *N);
    if (!S || !N) {
        hop_aligned_free(S);
        hop_aligned_free(N);
        return hop_fail(error, HOP_E_NOMEM, "no memory for %zu x %zu sums", ahop->r, p + 1);
    }
    sum_memories(ahop, p, values, S);
    answer->lemma = hop_up(2 * (double)ahop->M * largest * delta);
    answer->sharp = hop_up(largest_range(ahop->M, p, values) * delta / (1 + sqrt(1 - delta * delta)));
    answer->rounding = 0;
    for (size_t l = 0; l < ahop->L; l++) {
        const double *u = ahop->U2 + l * ahop->r;
        double largest_z = 0;
        for (size_t j = 0; j <= p; j++)
            N[j] = 0;
        for (size_t a = 0; a < ahop->r; a++)
            for (size_t j = 0; j <= p; j++)
                N[j] += u[a] * S[a * (p + 1) + j];
        for (size_t j = 0; j < p; j++) {
            answer->z[l * p + j] = N[j] / N[p];
            largest_z = hop_max(fabs(answer->z[l * p + j]), largest_z);
        }
        if (answer->D)
            answer->D[l] = N[p];
        answer->rounding = hop_max(rounding_of(ahop, l, N[p], largest, largest_z), answer->rounding);
    }
    hop_aligned_free(S);
    hop_aligned_free(N);
    return HOP_OK;
}
