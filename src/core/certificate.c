/*
 * certificate.c - certificate T and the last step of every answer. Proofs: docs/MATH.md, "Identity", "Certificate T".
 */
#include "core/certificate.h"

#include <math.h>

#include "core/rounding.h"

double hop_certificate_answer(const hop_geometry *values, const double *numerator, double denominator,
                              const hop_error_terms *terms, float *z)
{
    double worst = 0, unknown = isfinite(denominator) ? 0 : (double)INFINITY;
    for (size_t j = 0; j < values->n; j++) {
        double min = (double)values->min[j], max = (double)values->max[j];
        if (min == max) { /* osc_j = 0: the stored value is the answer */
            z[j] = values->min[j];
            continue;
        }
        double low = values->low[j], high = values->high[j];
        double q = numerator[j] / denominator;
        double error = unknown + terms->osc * (high - low) + terms->dev * hop_max(high - q, q - low) +
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
