/*
 * tightness.c - how far above the true error the proven bounds lie, and what each certificate contributes.
 *
 *     tightness [--M 50000] [--queries 31] [--max-error 1e-3] [--seed 1] [--d N] [--all]
 *
 * For d in {8, 16, 32, 64}, memories evenly on the unit sphere or normal with coordinate l scaled by 1/l (skewed), and
 * R = beta |x| max|y| in {0.5, 1, 2, 4}: the lowest degree whose bound meets max_error at the median query, the median
 * of bound / true error there, and the smallest. Columns: all certificates with the values' tails and skewness (what is
 * served), then each certificate alone without tails, then all of them without. Sums are direct, in f64: no feature
 * maps, so that every degree is there. Degrees stop where maps would be larger than the memories, unless --all. Ends
 * with 1 where a bound was below a true error.
 */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/random.h"
#include "core/certificate.h"
#include "core/model.h"
#include "core/moments.h"
#include "core/query.h"
#include "core/rounding.h"

enum { QUERIES_MOST = 1000, DEGREE_MOST = 12, VARIANTS = 6 };

static const struct variant {
    const char *name;
    unsigned only;
    bool tails, fourth, skew;
} variants[VARIANTS] = {
    {"all", ~0u, true, true, true},
    {"T", 1u << HOP_CERTIFICATE_T, false, false, false},
    {"W", 1u << HOP_CERTIFICATE_W, false, false, false},
    {"G", 1u << HOP_CERTIFICATE_G, false, false, false},
    {"G+m4", 1u << HOP_CERTIFICATE_G, false, true, false},
    {"T+tails", 1u << HOP_CERTIFICATE_T, true, false, false},
};

typedef struct options {
    size_t M, queries, only_d;
    double max_error;
    uint64_t seed;
    bool all;
} options;

/* One query against the whole set. */
typedef struct trial {
    const hop_model *model;
    hop_query query;
    double *t, *xi; /* M exponents; d */
    double D[DEGREE_MOST + 2], D_error[DEGREE_MOST + 2];
    double fourth;
    const hop_features *features; /* NULL: none */
    double *truth, *numerator;    /* p */
    float *z;
} trial;

/* norm 0: as it comes. */
static void draw(float *row, size_t d, bool skewed, double norm, uint64_t *state)
{
    double square = 0;
    for (size_t l = 0; l < d; l++) {
        double v = bench_normal(state) / (skewed ? (double)(l + 1) : 1);
        row[l] = (float)v;
        square += v * v;
    }
    for (size_t l = 0; norm > 0 && l < d; l++)
        row[l] = (float)((double)row[l] * norm / sqrt(square));
}

static void *need(void *block)
{
    if (!block) {
        fprintf(stderr, "tightness: out of memory\n");
        exit(1);
    }
    return block;
}

static void measure(trial *at, unsigned g_most)
{
    const hop_model *model = at->model;
    const hop_geometry *key = &model->key;
    double S = 0, M = (double)model->M;
    memset(at->D, 0, sizeof at->D);
    memset(at->truth, 0, model->d * sizeof *at->truth);
    for (size_t mu = 0; mu < model->M; mu++) {
        const float *row = model->keys + mu * model->d;
        double t = 0, term = 1;
        for (size_t l = 0; l < model->d; l++)
            t += hop_geometry_scaled(key, row, l) * at->xi[l];
        at->t[mu] = t;
        for (unsigned k = 0; k <= g_most + 1; k++) {
            at->D[k] += term / M;
            term *= t / (double)(k + 1);
        }
        double w = exp(t);
        S += w;
        for (size_t l = 0; l < model->d; l++)
            at->truth[l] += w * ((double)row[l] - key->centre[l]);
    }
    for (size_t l = 0; l < model->d; l++)
        at->truth[l] = key->centre[l] + at->truth[l] / S;
    double power = 1;
    for (unsigned k = 0; k <= g_most + 1; k++) {
        at->D_error[k] = 1e-12 * power;
        power *= at->query.s / (double)(k + 1);
    }
}

/* The bound of degree g, and the true error in *error; INFINITY: none. */
static double answer(trial *at, unsigned g, const struct variant *v, double *error)
{
    const hop_model *model = at->model;
    const hop_query *q = &at->query;
    double h[DEGREE_MOST + 1];
    hop_certificate_h(DEGREE_MOST, hop_max(q->T, 0), h);
    const hop_exponents x = {.T = q->T,
                             .T_low = q->T_low,
                             .T_abs = q->T_abs,
                             .s = q->s,
                             .fourth = v->fourth ? at->fourth : (double)INFINITY,
                             .D = at->D,
                             .D_error = at->D_error};
    hop_bound bound;
    *error = (double)INFINITY;
    if (!hop_certify(&x, g, h[g], 0, v->only, &bound))
        return (double)INFINITY;
    memset(at->numerator, 0, model->d * sizeof *at->numerator);
    double c[DEGREE_MOST + 1], factorial = 1, M = (double)model->M;
    for (unsigned k = 0; k <= g; k++) {
        c[k] = bound.c[k] / factorial / M;
        factorial *= (double)(k + 1);
    }
    for (size_t mu = 0; mu < model->M; mu++) {
        double p = 0;
        for (unsigned k = g + 1; k-- > 0;)
            p = p * at->t[mu] + c[k];
        const float *row = model->keys + mu * model->d;
        for (size_t l = 0; l < model->d; l++)
            at->numerator[l] += p * hop_geometry_scaled(&model->key, row, l);
    }
    hop_error_terms terms = hop_bound_terms(&bound);
    if (!v->tails)
        terms.most = 0;
    if (v->skew && at->features && bound.steady > 0 && (g == 1 || g == 3)) {
        terms.skew = at->features->skew + (g == 3 ? model->d : 0);
        terms.skew_most = at->features->skew_most[g == 3];
    }
    double result = hop_certificate_answer(&model->value, at->numerator, bound.D, &terms, at->z);
    *error = 0;
    for (size_t l = 0; l < model->d; l++)
        *error = hop_max(*error, fabs((double)at->z[l] - at->truth[l]));
    return result;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, ascending);
    return v[n / 2];
}

/* Maps for what is known of the whole set; NULL: too large. */
static hop_features *build(const hop_model *model, unsigned g_most)
{
    hop_features *features = NULL;
    if (hop_features_build(model, g_most < 4 ? g_most : 4, NULL, NULL, &features, NULL) != HOP_OK)
        return NULL;
    return features;
}

/* One line of the table; whether every bound held. */
static bool show(const options *o, size_t d, bool skewed, double R)
{
    uint64_t state = o->seed * 1000003 + d * 2 + skewed;
    float *rows = need(malloc(o->M * d * sizeof *rows)), *x = need(malloc(d * sizeof *x));
    for (size_t mu = 0; mu < o->M; mu++)
        draw(rows + mu * d, d, skewed, skewed ? 0 : 1, &state);
    hop_source source = {.M = o->M, .d = d, .memories = rows};
    hop_model *model;
    if (hop_model_new(&source, NULL, &model, NULL) != HOP_OK)
        exit(1);
    unsigned g_most = o->all ? 9 : hop_features_default_degree(model);
    hop_features *features = build(model, o->all ? hop_features_default_degree(model) : g_most);
    double factor = features ? features->fourth : (double)INFINITY;
    trial at = {.model = model,
                .features = features,
                .t = need(malloc(o->M * sizeof(double))),
                .xi = need(malloc(d * sizeof(double))),
                .truth = need(malloc(d * sizeof(double))),
                .numerator = need(malloc(d * sizeof(double))),
                .z = need(malloc(d * sizeof(float)))};
    static double bounds[VARIANTS][DEGREE_MOST + 1][QUERIES_MOST], ratios[VARIANTS][DEGREE_MOST + 1][QUERIES_MOST];
    double least = (double)INFINITY;
    for (size_t i = 0; i < o->queries; i++) {
        draw(x, d, skewed, R / model->key.radius, &state);
        if (hop_query_prepare(model, 1, i, x, at.xi, &at.query, NULL) != HOP_OK)
            exit(1);
        measure(&at, g_most);
        at.fourth = factor * at.D[2] * at.D[2] / 2 * (1 + 1e-9);
        for (unsigned v = 0; v < VARIANTS; v++)
            for (unsigned g = 1; g <= g_most; g++) {
                double error, bound = answer(&at, g, &variants[v], &error);
                bounds[v][g][i] = bound;
                ratios[v][g][i] = isfinite(bound) ? bound / error : (double)INFINITY;
                least = hop_min(least, ratios[v][g][i]);
            }
    }
    printf("%3zu %-7s %4g  %5.3f", d, skewed ? "skewed" : "sphere", R, factor);
    for (unsigned v = 0; v < VARIANTS; v++) {
        unsigned g = 1;
        while (g <= g_most && !(median(bounds[v][g], o->queries) <= o->max_error))
            g++;
        if (g <= g_most)
            printf(" | %u %8.2e %5.0f", g, median(bounds[v][g], o->queries), median(ratios[v][g], o->queries));
        else
            printf(" | - %8.2e     -", median(bounds[v][g_most], o->queries));
    }
    printf(" | %.4f%s\n", least, least < 1 ? " UNSOUND" : "");
    fflush(stdout);
    hop_features_free(features);
    hop_model_free(model);
    free(at.t);
    free(at.xi);
    free(at.truth);
    free(at.numerator);
    free(at.z);
    free(rows);
    free(x);
    return least >= 1;
}

int main(int argc, char **argv)
{
    options o = {.M = 50000, .queries = 31, .max_error = 1e-3, .seed = 1};
    static const struct option longs[] = {{"M", 1, 0, 'M'},    {"queries", 1, 0, 'q'}, {"max-error", 1, 0, 'e'},
                                          {"seed", 1, 0, 's'}, {"d", 1, 0, 'd'},       {"all", 0, 0, 'a'},
                                          {0, 0, 0, 0}};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 'M':
            o.M = strtoull(optarg, NULL, 10);
            break;
        case 'q':
            o.queries = strtoull(optarg, NULL, 10);
            break;
        case 'e':
            o.max_error = strtod(optarg, NULL);
            break;
        case 's':
            o.seed = strtoull(optarg, NULL, 10);
            break;
        case 'd':
            o.only_d = strtoull(optarg, NULL, 10);
            break;
        case 'a':
            o.all = true;
            break;
        default:
            return 64;
        }
    }
    if (o.queries < 1 || o.queries > QUERIES_MOST || o.M < 1)
        return 64;
    printf("M=%zu, %zu queries, max_error=%g; degree, median bound, median bound / true error; last: smallest ratio\n",
           o.M, o.queries, o.max_error);
    printf("  d data       R     m4");
    for (unsigned v = 0; v < VARIANTS; v++)
        printf(" | %-16s", variants[v].name);
    printf("\n");
    bool sound = true;
    for (size_t d = 8; d <= 64; d *= 2)
        for (int skewed = 0; skewed < 2; skewed++)
            for (double R = 0.5; R <= 4; R *= 2)
                if (!o.only_d || o.only_d == d)
                    sound = show(&o, d, skewed, R) && sound;
    return sound ? 0 : 1;
}
