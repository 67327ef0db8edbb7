/*
 * almost_linear.c - forward sweep (monomials, D_k, partial gradients), certificate, reverse sweep (numerator).
 * Notation: m_k are the monomials of degree k, a_k the coefficients, block i of degree k is xi_i times a suffix of
 * degree k-1 (multiindex.h).
 */
#include "core/almost_linear.h"

#include <math.h>
#include <string.h>

#include "core/blas.h"
#include "core/checked.h"
#include "core/kernels.h"
#include "core/rounding.h"

/* A prediction above max_error by less than this factor is still tried: heavy tails and skew make it coarse. */
#define PREDICTION_MARGIN 8.0

enum { LANES = HOP_LANES };

/* State of LANES rows. Arrays named [.] hold LANES numbers an element. */
typedef struct sweep {
    const hop_model *model;
    const hop_features *features;
    const hop_multiindex *index;
    const hop_kernels *kernels;
    double *xi;        /* [d] */
    double *monomials; /* [r(d, g_max)] */
    double *adjoint;   /* [r(d, g_max)], or the rows x p numerators where values are not the keys */
    double *gradient;  /* [d]: partial gradient of the highest D_k so far; valid for gradient_degree */
    double *numerator; /* [d], then LANES x p for the answer */
    double D[HOP_DEGREE_MAX + 2][LANES];
    unsigned highest; /* D_0..D_highest are there */
} sweep;

static size_t numerator_size(const hop_model *model)
{
    return (model->d > model->p ? model->d : model->p) * LANES;
}

static size_t lay_out(const hop_model *model, const hop_features *features, double *block, sweep *out)
{
    size_t d = features->index.d, r = features->index.start[features->g_max + 1];
    size_t numbers = LANES * (d + r + r + d) + 2 * (model ? numerator_size(model) : 0);
    if (out) {
        out->xi = block;
        out->gradient = out->xi + LANES * d;
        out->monomials = out->gradient + LANES * d;
        out->adjoint = out->monomials + LANES * r;
        out->numerator = out->adjoint + LANES * r;
    }
    return numbers;
}

size_t hop_al_workspace_bytes(const hop_features *features)
{
    size_t numbers = lay_out(NULL, features, NULL, NULL), d = features->index.d;
    size_t tail = 2 * LANES * (d > features->p ? d : features->p);
    return (numbers + tail) * sizeof(double);
}

/* D_k and the partial gradient G_i = sum_b a_k[(i, b)] m_{k-1}[b]: D_k = sum_i xi_i G_i. */
static void forward(sweep *s, unsigned k)
{
    const double *a = hop_features_degree(s->features, k);
    if (k == 1) {
        for (size_t i = 0; i < s->index->d; i++)
            for (size_t q = 0; q < LANES; q++)
                s->gradient[i * LANES + q] = a[i];
    } else {
        hop_degree degree = hop_multiindex_degree(s->index, k);
        s->kernels->lanes_sums(&degree, a, s->monomials + s->index->start[k - 1] * LANES, s->gradient);
    }
    memset(s->D[k], 0, sizeof s->D[k]);
    for (size_t i = 0; i < s->index->d; i++)
        for (size_t q = 0; q < LANES; q++)
            s->D[k][q] += s->xi[i * LANES + q] * s->gradient[i * LANES + q];
    s->highest = k;
}

static void extend(sweep *s, unsigned k)
{
    double *out = s->monomials + s->index->start[k] * LANES;
    if (k == 1) {
        memcpy(out, s->xi, s->index->d * LANES * sizeof *out);
        return;
    }
    hop_degree degree = hop_multiindex_degree(s->index, k);
    s->kernels->lanes_extend(&degree, s->xi, s->monomials + s->index->start[k - 1] * LANES, out);
}

/* N = gradient of D_1 + ... + D_{g+1} (values = keys): [d] */
static void reverse(sweep *s, unsigned g)
{
    const hop_multiindex *index = s->index;
    if (s->highest != g + 1)
        forward(s, g + 1);
    memcpy(s->numerator, s->gradient, index->d * LANES * sizeof(double));
    hop_degree top = hop_multiindex_degree(index, g + 1);
    s->kernels->lanes_adjoint(&top, s->xi, hop_features_degree(s->features, g), hop_features_degree(s->features, g + 1),
                              s->adjoint + index->start[g] * LANES);
    for (unsigned k = g; k >= 2; k--) {
        hop_degree degree = hop_multiindex_degree(index, k);
        s->kernels->lanes_reverse(&degree, s->xi, hop_features_degree(s->features, k - 1),
                                  s->adjoint + index->start[k] * LANES, s->monomials + index->start[k - 1] * LANES,
                                  s->adjoint + index->start[k - 1] * LANES, s->numerator);
    }
    const double *first = s->adjoint + index->start[1] * LANES;
    for (size_t i = 0; i < index->d * LANES; i++)
        s->numerator[i] += first[i];
}

/* Scaled numerators of all lanes at degree g: returns LANES x p, row-major. */
static const double *numerators(sweep *s, unsigned g)
{
    size_t p = s->model->p;
    double *rows = s->numerator + numerator_size(s->model);
    if (s->features->A) {
        size_t r = s->index->start[g + 1];
        hop_gemm_tn(LANES, p, r, s->monomials, LANES, s->features->A, p, rows, p);
        return rows;
    }
    reverse(s, g);
    for (size_t q = 0; q < LANES; q++)
        for (size_t j = 0; j < p; j++)
            rows[q * p + j] = s->numerator[j * LANES + q];
    return rows;
}

/* s^k / k!, rounded up: at most 2 HOP_DEGREE_MAX roundings of positive terms. */
static double power_term(double s, unsigned k)
{
    double term = 1;
    for (unsigned i = 1; i <= k; i++)
        term *= s / (double)i;
    return term * (1 + 0x1p-46);
}

/* P_g(s), rounded up likewise. */
static double exp_partial(double s, unsigned g)
{
    double term = 1, sum = 1;
    for (unsigned i = 1; i <= g; i++) {
        term *= s / (double)i;
        sum += term;
    }
    return sum * (1 + 0x1p-46);
}

/*
 * gamma for every sum of degree <= g + 1: evaluation, build, and the query's own roundings (docs/MATH.md,
 * "Rounding").
 */
static double evaluation_gamma(const sweep *s, unsigned g, const hop_query *query)
{
    double d = (double)s->index->d, longest = (double)s->index->start[g + 1];
    double n = longest + (d + 8) * (g + 2) + s->features->build_roundings + (g + 1) * (query->roundings + 1);
    return hop_gamma(n, HOP_U64);
}

/* Where a lane stands. */
typedef struct lane {
    hop_al_row *row;
    bool open;            /* still looking for a degree */
    bool due;             /* wants its numerator at the degree at hand */
    unsigned best_degree; /* of the smallest E / D so far; 0: no degree had a bound */
    double best_ratio;
    double h[HOP_DEGREE_MAX]; /* h_g(max(T, 0)) */
} lane;

/* The certificate of lane q at degree g; needs D up to g + 1 where g is odd. */
static bool certify(const sweep *s, unsigned g, size_t q, const lane *at, hop_truncation *out, double *D, double *b)
{
    const hop_query *query = at->row->query;
    double gamma = evaluation_gamma(s, g, query);
    double sum = 0;
    for (unsigned k = 0; k <= g; k++)
        sum += s->D[k][q];
    unsigned top = g % 2 ? g + 1 : g;
    *D = sum;
    *b = hop_up(gamma * exp_partial(query->s, g));
    hop_partial partial = {.g = g,
                           .D = sum,
                           .D_error = *b,
                           .top = s->D[top][q],
                           .top_error = hop_up(gamma * power_term(query->s, top)),
                           .first = s->D[1][q],
                           .first_error = hop_up(gamma * query->s),
                           .T = query->T,
                           .T_abs = query->T_abs,
                           .h = at->h[g]};
    return isfinite(*b) && hop_certificate_taylor(&partial, out) && sum > *b;
}

double hop_al_predict(unsigned g, double sigma, double T_abs, double h)
{
    unsigned k = g + 1; /* E ~ mean |t|^{g+1} h / (g+1)!, Gaussian: sigma^k (k-1)!! */
    double gauss = 1, cap = 1;
    for (unsigned i = 1; i <= k; i++) {
        gauss *= sigma / (double)i * (i % 2 == k % 2 ? 1.0 : (double)i);
        cap *= (i <= 2 ? sigma : T_abs) / (double)i;
    }
    return hop_min(gauss, cap) * h;
}

/* Whether auto expects some degree in (tried, cap] to meet max_error. */
static bool promising(const sweep *s, unsigned tried, const lane *at)
{
    const hop_al_row *row = at->row;
    double widest = row->z ? s->model->value.widest : 1, best = (double)INFINITY;
    for (unsigned g = tried + 1; g <= row->degree_cap; g++)
        best = hop_min(widest * hop_al_predict(g, row->sigma, row->query->T_abs, at->h[g]), best);
    return best <= row->max_error * PREDICTION_MARGIN;
}

static void answer_lane(const sweep *s, unsigned g, size_t q, lane *at, const double *rows)
{
    hop_al_row *row = at->row;
    hop_truncation truncation;
    double D, b;
    if (!certify(s, g, q, at, &truncation, &D, &b))
        return;
    if (row->log_sum) {
        double low = log(truncation.D_low), high = hop_max(log(truncation.D_high), low);
        double slack = 4 * HOP_U64 * (1 + fabs(low) + fabs(high));
        row->log_D_low = low - slack;
        row->log_D_high = high + slack;
    }
    double bound;
    if (row->z) {
        double per_D = 1 / hop_down(truncation.D_low);
        hop_error_terms terms = {
            .dev = hop_up(truncation.E * per_D), .weight = hop_up(b * per_D), .quotient = hop_up(b * per_D)};
        bound = hop_certificate_answer(&s->model->value, rows + q * s->model->p, D, &terms, row->z);
    } else {
        bound = hop_up((row->log_D_high - row->log_D_low) / 2);
    }
    row->bound = bound;
    row->degree = (int)g;
    row->met = bound <= row->max_error;
}

/* Numerators, once, for every lane that is due at degree g. */
static void answer_due(sweep *s, unsigned g, lane *lanes, size_t n)
{
    bool wanted = false, any = false;
    for (size_t q = 0; q < n; q++) {
        any = any || lanes[q].due;
        wanted = wanted || (lanes[q].due && lanes[q].row->z);
    }
    const double *rows = wanted ? numerators(s, g) : NULL;
    for (size_t q = 0; any && q < n; q++) {
        if (!lanes[q].due)
            continue;
        answer_lane(s, g, q, &lanes[q], rows);
        lanes[q].due = false;
        lanes[q].open = lanes[q].open && !lanes[q].row->met;
    }
}

/* Look at degree g of every open lane; those whose certificate is small enough become due. */
static void look(sweep *s, unsigned g, lane *lanes, size_t n)
{
    for (size_t q = 0; q < n; q++) {
        lane *at = &lanes[q];
        hop_truncation truncation;
        double D, b;
        if (!at->open || g > at->row->degree_cap)
            continue;
        if (!certify(s, g, q, at, &truncation, &D, &b))
            continue;
        double ratio = (truncation.E + b) / truncation.D_low;
        if (ratio < at->best_ratio) {
            at->best_ratio = ratio;
            at->best_degree = g;
        }
        double expected = at->row->z ? ratio * s->model->value.widest : log(truncation.D_high / truncation.D_low) / 2;
        at->due = expected <= at->row->max_error;
    }
}

static void start_lanes(sweep *s, hop_al_row *rows, size_t n, lane *lanes)
{
    memset(s->xi, 0, s->index->d * LANES * sizeof(double));
    for (size_t q = 0; q < n; q++) {
        const hop_query *query = rows[q].query;
        for (size_t l = 0; l < s->index->d && query->usable; l++)
            s->xi[l * LANES + q] = query->xi[l];
        rows[q].met = false;
        rows[q].degree = 0;
        rows[q].bound = (double)INFINITY;
        rows[q].sigma = (double)INFINITY;
        lanes[q].row = &rows[q];
        lanes[q].open = query->usable && query->s < 700 && rows[q].degree_cap > 0;
        lanes[q].due = false;
        lanes[q].best_degree = 0;
        lanes[q].best_ratio = (double)INFINITY;
        if (lanes[q].open)
            hop_certificate_h(s->features->g_max, hop_max(query->T, 0), lanes[q].h);
    }
    for (size_t q = 0; q < LANES; q++) {
        s->monomials[q] = 1;
        s->D[0][q] = 1;
    }
    s->highest = 0;
}

static bool any_open(const lane *lanes, size_t n, unsigned g)
{
    for (size_t q = 0; q < n; q++)
        if (lanes[q].open && g <= lanes[q].row->degree_cap)
            return true;
    return false;
}

/*
 * Rows that no degree met: the smallest certificate once more, its true value being below what look() expected. What
 * auto sends to dense needs it only where it can still meet; a row that is refused gets the best bound that it could
 * have.
 */
static void last_try(sweep *s, lane *lanes, size_t n)
{
    for (unsigned g = 1; g <= s->features->g_max; g++) {
        bool any = false;
        for (size_t q = 0; q < n; q++) {
            lane *at = &lanes[q];
            const hop_al_row *row = at->row;
            /* dev >= osc / 2; no bound is reported above the range, seen from its middle at best */
            double at_least = row->z ? hop_min(at->best_ratio, 1) * s->model->value.range / 2 * (1 - 0x1p-20) : 0;
            at->due = !row->met && at->best_degree == g && row->degree != (int)g &&
                      (row->best_effort || !row->predict || at_least <= row->max_error);
            any = any || at->due;
        }
        if (any)
            answer_due(s, g, lanes, n);
    }
}

static void run_lanes(sweep *s, hop_al_row *rows, size_t n)
{
    lane lanes[LANES];
    start_lanes(s, rows, n, lanes);
    for (unsigned k = 1; k <= s->features->g_max + 1u && any_open(lanes, n, k - 1); k++) {
        forward(s, k);
        if (k > 1) {
            look(s, k - 1, lanes, n);
            answer_due(s, k - 1, lanes, n);
        }
        for (size_t q = 0; k == 2 && q < n; q++) {
            rows[q].sigma = sqrt(hop_max(2 * s->D[2][q], 0));
            if (lanes[q].open && rows[q].predict && !promising(s, k - 1, &lanes[q]))
                lanes[q].open = false;
        }
        if (k <= s->features->g_max && any_open(lanes, n, k))
            extend(s, k);
        else
            break;
    }
    last_try(s, lanes, n);
}

static void bind(sweep *s, const hop_model *model, const hop_features *features, void *workspace)
{
    s->model = model;
    s->features = features;
    s->index = &features->index;
    s->kernels = hop_kernels_get();
    lay_out(model, features, workspace, s);
}

void hop_al_run(const hop_model *model, const hop_features *features, hop_al_row *rows, size_t n, void *workspace)
{
    sweep s;
    bind(&s, model, features, workspace);
    for (size_t from = 0; from < n; from += LANES)
        run_lanes(&s, rows + from, n - from < LANES ? n - from : LANES);
}

void hop_al_sigma(const hop_model *model, const hop_features *features, const hop_query *queries, size_t n,
                  void *workspace, double *sigma)
{
    sweep s;
    lane lanes[LANES];
    hop_al_row rows[LANES];
    bind(&s, model, features, workspace);
    for (size_t q = 0; q < n; q++)
        rows[q] = (hop_al_row){.query = &queries[q], .degree_cap = 1};
    start_lanes(&s, rows, n, lanes);
    forward(&s, 1);
    extend(&s, 1);
    forward(&s, 2);
    for (size_t q = 0; q < n; q++)
        sigma[q] = lanes[q].open ? sqrt(hop_max(2 * s.D[2][q], 0)) : (double)INFINITY;
}
