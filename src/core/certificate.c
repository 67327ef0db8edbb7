/*
 * certificate.c - certificate T and the last step of every answer. Proofs: docs/MATH.md, "Identity", "Certificate T".
 */
#include "core/certificate.h"

#include <math.h>

#include "core/minimax.h"
#include "core/rounding.h"

/*
 * What weights of mean dev, none above most, can add in coordinate j: at any threshold above q,
 * mean e (v - q) <= mean e (threshold - q) + most mean (v - threshold)^+, and likewise below.
 */
static double deviation(const hop_geometry *values, const hop_error_terms *terms, const hop_tail *tails, size_t j,
                        double q)
{
    double up = values->high[j] - q, down = q - values->low[j];
    double plain = terms->dev * hop_max(up, down);
    if (!tails)
        return plain;
    const hop_tail *tail = &tails[j];
    double above = terms->dev * hop_max(tail->upper - q, 0), below = terms->dev * hop_max(q - tail->lower, 0);
    double above_rest = terms->most * tail->above, below_rest = terms->most * tail->below;
    double sharp = terms->one_sided ? hop_max(above + above_rest, below + below_rest)
                                    : hop_max(above, below) + above_rest + below_rest;
    return hop_min(plain, sharp);
}

double hop_certificate_answer(const hop_geometry *values, const double *numerator, double denominator,
                              const hop_error_terms *terms, float *z)
{
    double worst = 0, unknown = isfinite(denominator) ? 0 : (double)INFINITY;
    const hop_tail *tails = values->tails && terms->most > 0 ? values->tails : NULL;
    if (tails)
        tails += hop_tail_level(terms->dev / terms->most) * values->n;
    for (size_t j = 0; j < values->n; j++) {
        double min = (double)values->min[j], max = (double)values->max[j];
        if (min == max) { /* osc_j = 0: the stored value is the answer */
            z[j] = values->min[j];
            continue;
        }
        double low = values->low[j], high = values->high[j];
        double q = numerator[j] / denominator;
        double error = unknown + terms->osc * (high - low) + deviation(values, terms, tails, j, q) +
                       terms->weight * values->extent[j] + (terms->quotient + 2 * HOP_U64) * fabs(q);
        double exact = values->centre[j] + q * values->scale[j];
        double clipped = exact > min ? (exact < max ? exact : max) : min; /* NaN goes to min */
        float rounded = (float)clipped;
        z[j] = rounded;
        double bound = hop_up(error * values->scale[j] + fabs(clipped - (double)rounded) + 2 * HOP_U64 * fabs(exact));
        double cap = hop_max((double)rounded - min, max - (double)rounded) * (1 + 0x1p-52);
        bound = bound < cap ? bound : cap; /* also where bound is NaN */
        worst = bound > worst ? bound : worst;
    }
    return worst;
}

double hop_certificate_expect(const hop_geometry *values, const hop_error_terms *terms)
{
    double expected = terms->dev * values->widest;
    if (values->tails && terms->most > 0) {
        size_t level = hop_tail_level(terms->dev / terms->most);
        double rest = terms->most * values->tail_rest[level] * (terms->one_sided ? 1 : 2);
        expected = hop_min(expected, terms->dev * values->tail_reach[level] + rest);
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

/* The series itself, for the highest degree; all terms are positive. */
static double h_series(unsigned g, double T)
{
    double term = 1, sum = 1;
    for (unsigned i = 1; term > sum * 0x1p-60 && isfinite(sum); i++) {
        term *= T / (double)(g + 1 + i);
        sum += term;
        if (T < (double)(g + 2 + i) / 2 && term < sum * 0x1p-32) {
            sum += 2 * term; /* the rest is below a geometric series of ratio 1/2 */
            break;
        }
    }
    /*
     * i + 2 roundings a term, i of the sum; terms matter only while i < 4 T + 64. Where the loop ends by its
     * condition, the rest is below 3 2^-60 of the sum: less than what this adds.
     */
    return sum * (1 + hop_gamma(3 * (4 * T + 64), HOP_U64));
}

void hop_certificate_h(unsigned g_max, double T, double *h)
{
    h[g_max] = h_series(g_max, T);
    for (unsigned g = g_max; g > 0; g--)
        h[g - 1] = (1 + T / (double)(g + 1) * h[g]) * (1 + 0x1p-50);
}

bool hop_certificate_taylor(const hop_partial *partial, hop_truncation *out)
{
    double h = partial->h;
    double top = hop_max(0, partial->top + partial->top_error); /* NaN stays */
    double D_g_low = hop_down(partial->D) - partial->D_error;
    double D_g_high = hop_up(partial->D) + partial->D_error;
    /* Jensen: mean e^t >= e^{mean t} */
    double jensen = exp(partial->first - partial->first_error) * (1 - 0x1p-50);
    double E;
    if (partial->g % 2) {
        E = hop_up(top * h);
        out->D_low = hop_max(jensen, D_g_low);
    } else {
        E = hop_up(partial->T_abs * top * h / (double)(partial->g + 1));
        out->D_low = hop_max(jensen, hop_down(D_g_low - E) - 0x1p-50 * E);
    }
    out->E = E;
    out->D_high = hop_min(hop_up(D_g_high + E), exp(partial->T) * (1 + 0x1p-50));
    return partial->D > 0 && isfinite(E) && out->D_low > 0 && isfinite(out->D_low);
}

bool hop_certificate_minimax(const hop_weighted *weighted, hop_truncation *out)
{
    double eps = weighted->eps, slack = 0x1p-45 * (fabs(weighted->D) + weighted->D_error);
    double low = weighted->first - weighted->first_error;
    /* With S = mean e^t: |D - S| <= eps (S - mean t), solved for S on either side; S >= e^{mean t} is Jensen's. */
    double D_low = hop_max(exp(low) * (1 - 0x1p-50),
                           (weighted->D - weighted->D_error + eps * low - slack - 0x1p-45 * fabs(low)) / (1 + eps));
    double above = (weighted->D + weighted->D_error - eps * low + slack + 0x1p-45 * fabs(low)) / (1 - eps);
    out->D_high = hop_min(above * (1 + 0x1p-50), exp(weighted->T) * (1 + 0x1p-50));
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
        most *= x->T_abs / (double)k;
    out->most = most * (1 + 0x1p-45);
    out->one_sided = g % 2;
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
    return sound(out);
}

/* mean e^t from a polynomial that misses it by e, 0 <= e or |e|, in the mean at most E. */
static bool certify_polynomial(const hop_exponents *x, unsigned g, const hop_polynomial *polynomial, hop_bound *out)
{
    out->kind = HOP_CERTIFICATE_G;
    for (unsigned k = 0; k <= g; k++)
        out->c[k] = polynomial->c[k];
    sum_up(x, g, polynomial->slack, out);
    double jensen = exp(x->D[1] - x->D_error[1]) * (1 - 0x1p-50), E = polynomial->E;
    double low = out->D - out->error - (polynomial->below ? 0 : E), high = hop_up(out->D + out->error + E);
    out->D_low = hop_max(jensen, low - 0x1p-48 * (fabs(out->D) + out->error + E));
    out->D_high = hop_min(high, exp(x->T) * (1 + 0x1p-50));
    out->E = E;
    out->most = polynomial->most;
    out->one_sided = polynomial->below;
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
                             .one_sided = bound->one_sided};
}
