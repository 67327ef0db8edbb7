/*
 * gauss.c - certificate G. Everything is a series of positive terms in y = z^2, T and moments, but for the expansion of
 * products (y - y_i): there the same with all signs positive is carried along and bounds what rounding did.
 */
#include "core/gauss.h"

#include <math.h>
#include <string.h>

#include "core/rounding.h"

enum { TERMS = 48, FACTORIALS = 128, PAIRS = 2 };

/*
 * Of every sum below, against its terms' absolute values: at most 4 x 2 x TERMS + 120 roundings, and a rest of 2^-58.
 */
#define RELATIVE 0x1p-43

/* 1/n! to the nearest. */
static const double inverse[FACTORIALS] = {
    0x1p+0,
    0x1p+0,
    0x1p-1,
    0x1.5555555555555p-3,
    0x1.5555555555555p-5,
    0x1.1111111111111p-7,
    0x1.6c16c16c16c17p-10,
    0x1.a01a01a01a01ap-13,
    0x1.a01a01a01a01ap-16,
    0x1.71de3a556c734p-19,
    0x1.27e4fb7789f5cp-22,
    0x1.ae64567f544e4p-26,
    0x1.1eed8eff8d898p-29,
    0x1.6124613a86d09p-33,
    0x1.93974a8c07c9dp-37,
    0x1.ae7f3e733b81fp-41,
    0x1.ae7f3e733b81fp-45,
    0x1.952c77030ad4ap-49,
    0x1.6827863b97d97p-53,
    0x1.2f49b46814157p-57,
    0x1.e542ba4020225p-62,
    0x1.71b8ef6dcf572p-66,
    0x1.0ce396db7f853p-70,
    0x1.761b41316381ap-75,
    0x1.f2cf01972f578p-80,
    0x1.3f3ccdd165fa9p-84,
    0x1.88e85fc6a4e5ap-89,
    0x1.d1ab1c2dccea3p-94,
    0x1.0a18a2635085dp-98,
    0x1.259f98b4358adp-103,
    0x1.3932c5047d60ep-108,
    0x1.434d2e783f5bcp-113,
    0x1.434d2e783f5bcp-118,
    0x1.3981254dd0d52p-123,
    0x1.2710231c0fd7ap-128,
    0x1.0dc59c716d91fp-133,
    0x1.df983290c2ca9p-139,
    0x1.9ec8d1c94e85bp-144,
    0x1.5d4acb9c0c3abp-149,
    0x1.1e99449a4bacep-154,
    0x1.ca8ed42a12ae3p-160,
    0x1.65e61c39d0241p-165,
    0x1.10af527530de8p-170,
    0x1.95db45257e512p-176,
    0x1.272b1b03fec6ap-181,
    0x1.a3cb872220648p-187,
    0x1.240804f65951p-192,
    0x1.8da8e0a127ebap-198,
    0x1.091b406b6ff26p-203,
    0x1.5a42f0dfeb086p-209,
    0x1.bb36f6e12cd78p-215,
    0x1.161872bf7b823p-220,
    0x1.56457989358c9p-226,
    0x1.9d4f1058674dfp-232,
    0x1.e9d8f6ed83eaap-238,
    0x1.1d008faac5c5p-243,
    0x1.45b77f9e98e12p-249,
    0x1.6db793c887b97p-255,
    0x1.938cc661b03f6p-261,
    0x1.b5bfc17fa97d3p-267,
    0x1.d2eeac43e7fcfp-273,
    0x1.e9e56d649f768p-279,
    0x1.f9b3059128bc7p-285,
    0x1.00dcf6a320e1cp-290,
    0x1.00dcf6a320e1cp-296,
    0x1.f9d2a2bb5471bp-303,
    0x1.ea7ead50ce01ap-309,
    0x1.d48849da8f4a3p-315,
    0x1.b8f8bdfae136cp-321,
    0x1.99046602abcaep-327,
    0x1.75f56494ba532p-333,
    0x1.5116e3adb9fb9p-339,
    0x1.2ba2917dfaa6cp-345,
    0x1.06b1981a48762p-351,
    0x1.c6639f500ea2dp-358,
    0x1.83bed30a49edfp-364,
    0x1.4685bf3115d5dp-370,
    0x1.0f653132c5ae6p-376,
    0x1.bd5dda94f5a18p-383,
    0x1.68cda75b82f1p-389,
    0x1.20a485e2cf273p-395,
    0x1.c8206e6fe560bp-402,
    0x1.64005631debbep-408,
    0x1.1281cd42368abp-414,
    0x1.a24be3711628bp-421,
    0x1.3af3de7343e26p-427,
    0x1.d4c44522a0927p-434,
    0x1.58d700d5cb749p-440,
    0x1.f595d2ab567bp-447,
    0x1.68b0c583d6a34p-453,
    0x1.007db446ff08p-459,
    0x1.68c751f8f632ap-466,
    0x1.f5f3ec7bc5d72p-473,
    0x1.596e0e189e2b7p-479,
    0x1.d65f64e59b771p-486,
    0x1.3ce1f3216b6dep-492,
    0x1.a6829981e4928p-499,
    0x1.16c503a23d142p-505,
    0x1.6c1b7275dcd65p-512,
    0x1.d6c3cf76c59bap-519,
    0x1.2d4a1e607e781p-525,
    0x1.7dd50faf84657p-532,
    0x1.df297d187dfcdp-539,
    0x1.29bb552f8772dp-545,
    0x1.6e7068d8092aep-552,
    0x1.beb4eb15fc8c1p-559,
    0x1.0db5afbffdea5p-565,
    0x1.42a4b5885d35p-572,
    0x1.7e64655f3f0f6p-579,
    0x1.c10c3547ec1b7p-586,
    0x1.05439cac2c47dp-592,
    0x1.2d470c4e9d27p-599,
    0x1.585132a2fcbeep-606,
    0x1.8605e345153bep-613,
    0x1.b5eba9d8cb7dap-620,
    0x1.e76cb424808bdp-627,
    0x1.0cec86b30921p-633,
    0x1.263516a53c4fep-640,
    0x1.3f23e47f2bba7p-647,
    0x1.5746e043f2ccep-654,
    0x1.6e2977bff1eb9p-661,
    0x1.83584be68daafp-668,
    0x1.9665084a05f24p-675,
    0x1.a6ea2e16eb219p-682,
    0x1.b48ea3306e964p-689,
    0x1.bf08d841fa75p-696,
    0x1.c6215db8ddeccp-703,
    0x1.c9b4c7476cc64p-710,
};

/* omega(t) = y^zeros prod_{i < pairs} (y - at[i])^2, y = t^2; k = zeros + 2 pairs. */
typedef struct nodes {
    unsigned k, zeros, pairs;
    double at[PAIRS];
    double w[2 * PAIRS + 1]; /* coefficients of prod (y - at[i])^2 */
    double w_abs[2 * PAIRS + 1];
    /* series[i][m]: complete homogeneous polynomial of degree m in the first i+1 of at[0], at[0], at[1], at[1] */
    double series[2 * PAIRS][TERMS];
    unsigned terms;
} nodes;

static double even_moment(const hop_exponents *x, unsigned i)
{
    return hop_max(x->D[2 * i], 0) / inverse[2 * i];
}

/* Where mean omega is least among symmetric nodes; anything in [0, T_abs^2] is sound. */
static void place(const hop_exponents *x, nodes *v)
{
    double y_most = x->T_abs * x->T_abs, M[4];
    v->pairs = v->k / 2 < PAIRS ? v->k / 2 : PAIRS;
    v->zeros = v->k - 2 * v->pairs;
    for (unsigned i = 0; i < 2 * v->pairs; i++)
        M[i] = even_moment(x, v->zeros + i);
    if (v->pairs == 1)
        v->at[0] = M[1] / M[0];
    if (v->pairs == 2) {
        double a = (M[3] * M[0] - M[1] * M[2]) / (M[2] * M[0] - M[1] * M[1]), b = (a * M[1] - M[2]) / M[0];
        double root = sqrt(hop_max(a * a / 4 - b, 0));
        v->at[0] = a / 2 - root;
        v->at[1] = a / 2 + root;
    }
    for (unsigned i = 0; i < v->pairs; i++)
        v->at[i] = v->at[i] > 0 ? hop_min(v->at[i], y_most) : 0; /* NaN goes to 0 */
}

/* w times (y - root), n coefficients before, in place; absolute values likewise. */
static void multiply(double root, unsigned n, double *w, double *w_abs)
{
    w[n] = 0;
    w_abs[n] = 0;
    for (unsigned i = n; i > 0; i--) {
        w[i] = w[i - 1] - root * w[i];
        w_abs[i] = w_abs[i - 1] + root * w_abs[i];
    }
    w[0] *= -root;
    w_abs[0] *= root;
}

static void expand(nodes *v)
{
    v->w[0] = v->w_abs[0] = 1;
    for (unsigned i = 0; i < 2 * v->pairs; i++)
        multiply(v->at[i / 2], i + 1, v->w, v->w_abs);
    /* y^m / (2m)! falls below 2^-60 of the sum by then, whatever y <= 256 */
    double y = v->pairs ? v->at[v->pairs - 1] : 0;
    v->terms = v->pairs ? (unsigned)(12 + 2.2 * sqrt(y)) : 1;
    for (unsigned i = 0; i < 2 * v->pairs; i++) {
        double node = v->at[i / 2], sum = 0;
        for (unsigned m = 0; m < v->terms; m++) {
            sum = node * sum + (i ? v->series[i - 1][m] : m == 0);
            v->series[i][m] = sum;
        }
    }
}

/* (2k)! f[z, z, T], T >= 0, rounded up: its series over the complete homogeneous polynomials of all nodes. */
static double steepest(const nodes *v, double T)
{
    double power = 0, sum = 0;
    unsigned n = 2 * v->k, most = FACTORIALS - n;
    for (unsigned m = 0; m < most; m++) {
        double even = v->pairs ? (m / 2 < v->terms ? v->series[2 * v->pairs - 1][m / 2] : 0) : m == 0;
        power = T * power + (m % 2 ? 0 : even);
        double term = power * inverse[n + m];
        sum += term;
        if (m >= 2 * v->terms && term < sum * 0x1p-60)
            break;
    }
    return sum / inverse[n] * (1 + RELATIVE);
}

/* sum_k c_k's share of the slack, c_k off by at most error: error s^k/k! */
static double slack_of(const hop_exponents *x, unsigned k, double error)
{
    double power = 1;
    for (unsigned i = 0; i < k; i++)
        power *= x->s;
    return error * power * inverse[k] * (1 + 0x1p-40);
}

/*
 * Hermite's polynomial of degree 2k - 1, its even (odd = 0) or odd half: cosh z, or sinh z / z, as a function of y in
 * Newton's form.
 */
static void interpolate(const hop_exponents *x, const nodes *v, unsigned odd, hop_polynomial *out)
{
    double newton[2 * PAIRS] = {1}, newton_abs[2 * PAIRS] = {1}, c[2 * PAIRS] = {0}, c_abs[2 * PAIRS] = {0};
    for (unsigned i = 0; i < v->zeros; i++)
        out->c[2 * i + odd] = 1;
    for (unsigned i = 0; i < 2 * v->pairs; i++) {
        double slope = 0;
        for (unsigned m = v->terms; m-- > 0;)
            slope += v->series[i][m] * inverse[2 * (v->zeros + i + m) + odd];
        if (i)
            multiply(v->at[(i - 1) / 2], i, newton, newton_abs);
        for (unsigned j = 0; j <= i; j++) {
            c[j] += slope * newton[j];
            c_abs[j] += slope * newton_abs[j];
        }
    }
    for (unsigned j = 0; j < 2 * v->pairs; j++) {
        unsigned k = 2 * (v->zeros + j) + odd;
        out->c[k] = c[j] / inverse[k];
        out->slack += slack_of(x, k, RELATIVE * c_abs[j] / inverse[k]);
    }
}

/* >= mean omega / (2k)! */
static double mean_omega(const hop_exponents *x, const nodes *v)
{
    double sum = 0, error = 0;
    for (unsigned i = 0; i <= 2 * v->pairs; i++) {
        unsigned k = 2 * (v->zeros + i);
        double ratio = inverse[2 * v->k] / inverse[k];
        sum += v->w[i] * x->D[k] * ratio;
        error += v->w_abs[i] * (x->D_error[k] + 0x1p-47 * fabs(x->D[k])) * ratio;
    }
    return hop_max(0, sum + hop_up(error)) + 0x1p-1000; /* NaN stays */
}

/* >= max omega / (2k)! where |t| <= T_abs */
static double largest_omega(const hop_exponents *x, const nodes *v)
{
    double y = x->T_abs * x->T_abs, product = 1;
    if (v->pairs == 1)
        product = hop_max(v->at[0], y - v->at[0]);
    if (v->pairs == 2) {
        double half = (v->at[1] - v->at[0]) / 2;
        product = hop_max((y - v->at[0]) * (y - v->at[1]), hop_max(v->at[0] * v->at[1], half * half));
    }
    product *= product;
    for (unsigned i = 0; i < v->zeros; i++)
        product *= y;
    return product * inverse[2 * v->k] * (1 + 0x1p-40);
}

static bool finite_polynomial(const hop_polynomial *p, unsigned g)
{
    double sum = p->slack + p->E + p->most;
    for (unsigned k = 0; k <= g; k++)
        sum += fabs(p->c[k]);
    return isfinite(sum);
}

bool hop_gauss(const hop_exponents *x, unsigned g, hop_polynomial *out)
{
    if (!(x->T_abs <= HOP_GAUSS_MOST))
        return false;
    nodes v = {.k = (g + 1) / 2};
    place(x, &v);
    expand(&v);
    out->slack = 0;
    interpolate(x, &v, 0, out);
    interpolate(x, &v, 1, out);
    double high = steepest(&v, hop_max(x->T, 0)), factor = high;
    if (g % 2 == 0) {
        /* (2k)! f[z, z, t] is the mean of e^. over a simplex whose middle is t/(2k + 1): Jensen */
        double low = exp(-x->T_low / (double)(g + 1)) * (1 - 0x1p-50), kappa = (high + low) / 2;
        for (unsigned i = 0; i <= 2 * v.pairs; i++) {
            unsigned k = 2 * (v.zeros + i);
            double ratio = kappa * (inverse[g] / inverse[k]), before = k < g ? out->c[k] : 0;
            out->c[k] = before + ratio * v.w[i];
            out->slack += slack_of(x, k, 0x1p-47 * (fabs(before) + ratio * v.w_abs[i]));
        }
        factor = (high - low) * (0.5 + 0x1p-50) + high * 0x1p-50;
    }
    out->below = g % 2;
    out->steady = g % 2 ? exp(-x->T_low / (double)(g + 2)) / high * (1 - 0x1p-45) : 0;
    out->E = hop_up(factor * mean_omega(x, &v));
    out->most = hop_up(factor * largest_omega(x, &v));
    return finite_polynomial(out, g);
}

bool hop_gauss_fourth(const hop_exponents *x, hop_polynomial *out)
{
    if (!(x->T_abs <= HOP_GAUSS_MOST) || !isfinite(x->fourth))
        return false;
    double second = 2 * hop_max(x->D[2], 0), y = hop_min(second, x->T_abs * x->T_abs), T = hop_max(x->T, 0);
    /*
     * p(t) = 1 + t sinh z/z + t^2 (cosh z - 1)/z^2. f(t) = f[-z, 0, z, t] is increasing and convex: at most
     * f(0) + slope max(t, 0), slope = f[-z, 0, z, 0, T] = sum_m hom_m(-z, 0, z, T)/(m+4)!
     */
    double sinh_over = 0, cosh_over = 0, even = 1, power = 0, middle = 0, slope = 0;
    unsigned terms = (unsigned)(24 + 4.4 * sqrt(y) + 4 * T);
    for (unsigned m = 0; m < terms && m + 4 < FACTORIALS; m++) {
        power = T * power + (m % 2 ? 0 : even);
        slope += power * inverse[m + 4];
        if (m % 2 == 0) {
            middle += even * inverse[m + 3];
            sinh_over += even * inverse[m + 1];
            cosh_over += even * inverse[m + 2];
            even *= y;
        }
    }
    out->c[0] = 1;
    out->c[1] = sinh_over;
    out->c[2] = 2 * cosh_over;
    out->slack = slack_of(x, 1, RELATIVE * sinh_over) + slack_of(x, 2, RELATIVE * out->c[2]);
    slope *= 1 + RELATIVE;
    middle *= 1 + RELATIVE;
    /* mean |t (t^2 - y)| <= (mean t^2 mean (t^2 - y)^2)^{1/2}, and with t^2 for t likewise */
    double m2_high = 2 * (x->D[2] + x->D_error[2]), m2_low = 2 * (x->D[2] - x->D_error[2]);
    double spread = 24 * x->fourth - 2 * y * m2_low + y * y + 0x1p-48 * (24 * x->fourth + y * (y + 2 * fabs(m2_low)));
    double root = middle * sqrt(hop_max(0, m2_high)) + slope * sqrt(24 * x->fourth);
    out->E = hop_up(root * sqrt(hop_max(0, spread)));
    out->most = hop_up((middle + slope * T) * x->T_abs * hop_max(y, x->T_abs * x->T_abs - y));
    out->below = false;
    out->steady = 0;
    return finite_polynomial(out, 2);
}
