/*
 * certificate.c - certificate T and the last step of every answer. Proofs: docs/MATH.md, "Identity", "Certificate T".
 */
#include "core/certificate.h"

#include <math.h>

#include "core/kernels.h"
#include "core/minimax.h"
#include "core/rounding.h"

double hop_certificate_answer(const hop_geometry *values, const double *numerator, double denominator,
                              const hop_error_terms *terms, float *z)
{
    size_t n = values->n;
    hop_answer_row row = {.n = n,
                          .centre = values->centre,
                          .scale = values->scale,
                          .low = values->low,
                          .high = values->high,
                          .extent = values->extent,
                          .min = values->min,
                          .max = values->max,
                          .numerator = numerator,
                          .denominator = denominator,
                          .base = isfinite(denominator) ? 0 : (double)INFINITY,
                          .osc = terms->osc,
                          .dev = terms->dev,
                          .weight = terms->weight,
                          .quotient = terms->quotient + 2 * HOP_U64,
                          .most = terms->most,
                          .one_sided = terms->one_sided,
                          .z = z};
    /*
     * at any threshold above q, mean e (v - q) <= mean e (threshold - q) + most mean (v - threshold)^+; likewise below
     */
    if (values->tails && terms->most > 0) {
        row.upper = values->tails + hop_tail_level(terms->dev / terms->most) * 4 * n;
        row.above = row.upper + n;
        row.lower = row.above + n;
        row.below = row.lower + n;
    }
    /* where skew is known: the middle of the factor times the square's own mean, and half its spread */
    if (terms->skew) {
        double half = (1 - terms->steady) / 2;
        row.skew = terms->skew;
        row.dev_middle = terms->dev * ((1 + terms->steady) / 2);
        row.dev_half = terms->dev * half;
        row.most_half = terms->most * half;
    }
    return hop_kernels_get()->answer_row(&row);
}

/* What weights of mean dev, none above most, can add where q is near 0, over all coordinates. */
static double expect_reach(const hop_geometry *values, double dev, double most, bool one_sided)
{
    double expected = dev * values->widest;
    if (values->tails && most > 0) {
        size_t level = hop_tail_level(dev / most);
        double rest = most * values->tail_rest[level] * (one_sided ? 1 : 2);
        expected = hop_min(expected, dev * values->tail_reach[level] + rest);
    }
    return expected;
}

double hop_certificate_expect(const hop_geometry *values, const hop_error_terms *terms)
{
    double expected = expect_reach(values, terms->dev, terms->most, terms->one_sided);
    if (terms->skew && isfinite(terms->skew_most)) {
        double half = (1 - terms->steady) / 2;
        expected = hop_min(expected, terms->dev * (1 - half) * terms->skew_most +
                                         expect_reach(values, terms->dev * half, terms->most * half, false));
    }
    return expected + terms->weight * values->widest;
}

double hop_certificate_fallback(const hop_geometry *values, float *z)
{
    double worst = 0;
    for (size_t j = 0; j < values->n; j++) {
        float centre = (float)values->centre[j]; /* which may be a frame's, and not among these values */
        centre = centre < values->min[j] ? values->min[j] : centre > values->max[j] ? values->max[j] : centre;
        double cap = hop_max((double)centre - (double)values->min[j], (double)values->max[j] - (double)centre);
        if (z)
            z[j] = centre;
        worst = hop_max(worst, cap * (1 + 0x1p-52));
    }
    return worst;
}

/* h is INFINITY beyond. */
#define H_MOST 1000.0

const double hop_inverse[HOP_INVERSES] = {
    0,        1,        1.0 / 2,  1.0 / 3,  1.0 / 4,  1.0 / 5,  1.0 / 6,  1.0 / 7,  1.0 / 8,  1.0 / 9,  1.0 / 10,
    1.0 / 11, 1.0 / 12, 1.0 / 13, 1.0 / 14, 1.0 / 15, 1.0 / 16, 1.0 / 17, 1.0 / 18, 1.0 / 19, 1.0 / 20, 1.0 / 21,
    1.0 / 22, 1.0 / 23, 1.0 / 24, 1.0 / 25, 1.0 / 26, 1.0 / 27, 1.0 / 28, 1.0 / 29, 1.0 / 30, 1.0 / 31, 1.0 / 32,
    1.0 / 33, 1.0 / 34, 1.0 / 35, 1.0 / 36, 1.0 / 37, 1.0 / 38, 1.0 / 39, 1.0 / 40, 1.0 / 41, 1.0 / 42, 1.0 / 43,
    1.0 / 44, 1.0 / 45, 1.0 / 46, 1.0 / 47, 1.0 / 48, 1.0 / 49, 1.0 / 50, 1.0 / 51, 1.0 / 52, 1.0 / 53, 1.0 / 54,
    1.0 / 55, 1.0 / 56, 1.0 / 57, 1.0 / 58, 1.0 / 59, 1.0 / 60, 1.0 / 61, 1.0 / 62, 1.0 / 63};

void hop_certificate_h_lanes(unsigned g_max, size_t n, size_t stride, const double *T, double *h)
{
    double x[HOP_LANES], term[HOP_LANES], *sum = h + g_max * stride, largest = 0;
    for (size_t q = 0; q < n; q++) {
        x[q] = T[q] <= H_MOST ? T[q] : (double)INFINITY; /* NaN too */
        largest = x[q] <= H_MOST ? hop_max(x[q], largest) : largest;
        term[q] = sum[q] = 1;
    }
    /* the series of the highest degree; behind these terms it is below a geometric series of ratio 1/2 */
    unsigned terms = 14 + (unsigned)(2 * largest);
    for (unsigned i = 1; i <= terms; i++) {
        unsigned j = g_max + 1 + i;
        double inverse = j < HOP_INVERSES ? hop_inverse[j] : 1 / (double)j;
        for (size_t q = 0; q < n; q++) {
            term[q] *= x[q] * inverse;
            sum[q] += term[q];
        }
    }
    /* 3 roundings a factor, one an addition */
    double up = 1 + hop_gamma(4 * ((double)terms + 2), HOP_U64);
    for (size_t q = 0; q < n; q++)
        sum[q] = (sum[q] + term[q]) * up;
    for (unsigned g = g_max; g > 0; g--)
        for (size_t q = 0; q < n; q++)
            h[(g - 1) * stride + q] = (1 + x[q] * hop_inverse[g + 1] * h[g * stride + q]) * (1 + 0x1p-50);
}

void hop_certificate_h(unsigned g_max, double T, double *h)
{
    hop_certificate_h_lanes(g_max, 1, 1, &T, h);
}

/* The larger of low and Jensen's mean e^t >= e^{mean t}, which e^x <= 1/(1 - x), x < 1, may tell without an exp. */
static double at_least_jensen(double first, double low)
{
    return first < 0.5 && low * (1 - first) > 1 + 0x1p-48 ? low : hop_max(exp(first) * (1 - 0x1p-50), low);
}

/* The smaller of high and e^T, which e^T >= 1 + T may tell without an exp. */
static double at_most_largest(double T, double high)
{
    return 1 + T > high * (1 + 0x1p-48) ? high : hop_min(high, exp(T) * (1 + 0x1p-50));
}

bool hop_certificate_taylor(const hop_partial *partial, hop_truncation *out)
{
    double h = partial->h;
    double top = hop_max(0, partial->top + partial->top_error); /* NaN stays */
    double D_g_low = hop_down(partial->D) - partial->D_error;
    double D_g_high = hop_up(partial->D) + partial->D_error;
    double E;
    if (partial->g % 2) {
        E = hop_up(top * h);
        out->D_low = D_g_low;
    } else {
        E = hop_up(partial->T_abs * top * h * hop_inverse[partial->g + 1]);
        out->D_low = hop_down(D_g_low - E) - 0x1p-50 * E;
    }
    out->E = E;
    out->D_low = at_least_jensen(partial->first - partial->first_error, out->D_low);
    out->D_high = at_most_largest(partial->T, hop_up(D_g_high + E));
    return partial->D > 0 && isfinite(E) && out->D_low > 0 && isfinite(out->D_low);
}

bool hop_certificate_minimax(const hop_weighted *weighted, hop_truncation *out)
{
    double eps = weighted->eps, slack = 0x1p-45 * (fabs(weighted->D) + weighted->D_error);
    double low = weighted->first - weighted->first_error;
    /* With S = mean e^t: |D - S| <= eps (S - mean t), solved for S on either side; S >= e^{mean t} is Jensen's. */
    double below = (weighted->D - weighted->D_error + eps * low - slack - 0x1p-45 * fabs(low)) / (1 + eps);
    double D_low = at_least_jensen(low, below);
    double above = (weighted->D + weighted->D_error - eps * low + slack + 0x1p-45 * fabs(low)) / (1 - eps);
    out->D_high = at_most_largest(weighted->T, above * (1 + 0x1p-50));
    out->D_low = D_low;
    /* mean |e| / S <= eps (1 - mean t / S) */
    double mean = 1 - low / (low < 0 ? D_low : out->D_high);
    out->E = hop_up(eps * mean * (1 + 0x1p-48) * D_low);
    return weighted->D > 0 && eps < 1 && isfinite(out->E) && D_low > 0 && isfinite(D_low);
}

/* P(t)'s mean and what is wrong with it: every computed D_k, and slack where the coefficients themselves are off. */
static void sum_up(const hop_exponents *x, unsigned g, double slack, hop_bound *out)
{
    double D = 0, size = 0, error = 0;
    for (unsigned k = 0; k <= g; k++) {
        D += out->c[k] * x->D[k];
        size += fabs(out->c[k] * x->D[k]);
        error += fabs(out->c[k]) * x->D_error[k];
    }
    out->D = D;
    out->error = hop_up(error + slack + 0x1p-47 * size);
}

static bool sound(const hop_bound *bound)
{
    return bound->D > bound->error && isfinite(bound->error) && isfinite(bound->E) && isfinite(bound->D_low) &&
           bound->D_low > 0;
}

static void take(const hop_truncation *truncation, hop_bound *out)
{
    out->E = truncation->E;
    out->D_low = truncation->D_low;
    out->D_high = truncation->D_high;
}

static bool certify_taylor(const hop_exponents *x, unsigned g, double h, hop_bound *out)
{
    unsigned top = g % 2 ? g + 1 : g;
    out->kind = HOP_CERTIFICATE_T;
    for (unsigned k = 0; k <= g; k++)
        out->c[k] = 1;
    sum_up(x, g, 0, out);
    hop_partial partial = {.g = g,
                           .D = out->D,
                           .D_error = out->error,
                           .top = x->D[top],
                           .top_error = x->D_error[top],
                           .first = x->D[1],
                           .first_error = x->D_error[1],
                           .T = x->T,
                           .T_abs = x->T_abs,
                           .h = h};
    hop_truncation truncation;
    if (!hop_certificate_taylor(&partial, &truncation))
        return false;
    take(&truncation, out);
    double most = h;
    for (unsigned k = 1; k <= g + 1; k++)
        most *= x->T_abs * hop_inverse[k];
    out->most = most * (1 + 0x1p-45);
    out->one_sided = g % 2;
    /* h_g(t) is a mean of e^{lambda t}, the mean lambda 1/(g+2): Jensen */
    out->steady = g % 2 ? exp(-x->T_low / (double)(g + 2)) / h * (1 - 0x1p-45) : 0;
    return sound(out);
}

static bool certify_minimax(const hop_exponents *x, unsigned g, hop_bound *out)
{
    const double *c;
    double eps = hop_minimax(g, x->T_abs, &c);
    if (!isfinite(eps))
        return false;
    out->kind = HOP_CERTIFICATE_W;
    for (unsigned k = 0; k <= g; k++)
        out->c[k] = c[k];
    sum_up(x, g, 0, out);
    hop_weighted weighted = {
        .eps = eps, .D = out->D, .D_error = out->error, .first = x->D[1], .first_error = x->D_error[1], .T = x->T};
    hop_truncation truncation;
    if (!hop_certificate_minimax(&weighted, &truncation))
        return false;
    take(&truncation, out);
    /* e^t - t is convex: largest at an end */
    double T = hop_max(x->T, 0), low = hop_max(x->T_low, 0);
    out->most = eps * hop_max(exp(T) - T, exp(-low) + low) * (1 + 0x1p-45);
    out->one_sided = false;
    out->steady = 0;
    return sound(out);
}

/* mean e^t from a polynomial that misses it by e, 0 <= e or |e|, in the mean at most E. */
static bool certify_polynomial(const hop_exponents *x, unsigned g, const hop_polynomial *polynomial, hop_bound *out)
{
    out->kind = HOP_CERTIFICATE_G;
    for (unsigned k = 0; k <= g; k++)
        out->c[k] = polynomial->c[k];
    sum_up(x, g, polynomial->slack, out);
    double E = polynomial->E;
    double low = out->D - out->error - (polynomial->below ? 0 : E), high = hop_up(out->D + out->error + E);
    out->D_low = at_least_jensen(x->D[1] - x->D_error[1], low - 0x1p-48 * (fabs(out->D) + out->error + E));
    out->D_high = at_most_largest(x->T, high);
    out->E = E;
    out->most = polynomial->most;
    out->one_sided = polynomial->below;
    out->steady = polynomial->steady;
    return sound(out);
}

/* What the bound will be proportional to, nearly. */
static double ratio(const hop_bound *bound)
{
    return (bound->E + bound->error) / bound->D_low;
}

bool hop_certify(const hop_exponents *x, unsigned g, double h, double enough, unsigned only, hop_bound *out)
{
    bool any = (only & 1u << HOP_CERTIFICATE_T) && certify_taylor(x, g, h, out);
    if (any && ratio(out) <= enough)
        return true;
    hop_bound other;
    if ((only & 1u << HOP_CERTIFICATE_W) && certify_minimax(x, g, &other) && (!any || ratio(&other) < ratio(out))) {
        *out = other;
        any = true;
    }
    for (int fourth = 0; fourth < 2 && (only & 1u << HOP_CERTIFICATE_G); fourth++) {
        hop_polynomial polynomial;
        bool there = fourth ? g == 2 && hop_gauss_fourth(x, &polynomial) : hop_gauss(x, g, &polynomial);
        if (there && certify_polynomial(x, g, &polynomial, &other) && (!any || ratio(&other) < ratio(out))) {
            *out = other;
            any = true;
        }
    }
    return any;
}

hop_error_terms hop_bound_terms(const hop_bound *bound)
{
    double per_D = 1 / hop_down(bound->D_low), rounding = hop_up(bound->error * per_D);
    return (hop_error_terms){.dev = hop_up(bound->E * per_D),
                             .weight = rounding,
                             .quotient = rounding,
                             .most = hop_up(bound->most * per_D),
                             .one_sided = bound->one_sided,
                             .steady = bound->steady};
}
