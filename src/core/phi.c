/*
 * phi.c - answers from sums of features (phi.h): rows in small groups, features unit by unit, each unit two products of
 * rows (kernels.h, moment_products): exponents, and weights times means of values.
 *
 * The standard error is that of the ratio N/D of two sums over independent parts, by the delta method: with N_u, D_u of
 * unit u's m_u features,
 *
 *     Var z_j ~ sum_u (N_uj - z_j D_u)^2 / D^2 / (1 - sum_u (m_u/m)^2)
 *
 * Units are independent of each other. Where there are few, single features are taken for parts as if they were so too,
 * which in orthogonal blocks they are not: it comes out a fourth or so too large.
 */
#include "core/phi.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "core/kernels.h"
#include "core/phi_sums.h"
#include "core/rounding.h"
#include "core/similarity.h"
#include "core/status.h"

enum {
    ROWS = 12,     /* of a group */
    UNITS_MIN = 8, /* units, for parts of a standard error */
    SQUARED = 16   /* rows of v whose squares are in the workspace at a time */
};

/* Sums of one row so far, relative to e^top. */
typedef struct tally {
    double top;
    double D, DD;        /* sum D_u, sum D_u^2 */
    double *N, *ND, *NN; /* p: sum N_u, sum N_u D_u, sum N_u^2 */
    double *x;           /* the query, from c for random_features; zeros behind it */
    double *weights;     /* of a unit's slots */
    double *part;        /* p: N_u */
} tally;

/* Cut a workspace; *squares: SQUARED rows of a unit. */
static size_t lay_out(const hop_model *model, char *block, tally *tallies, double **squares)
{
    size_t used = 0, stride = hop_phi_stride_max(model->d), width = hop_round_up(model->d, HOP_ROW_STEP);
    size_t x = hop_carve(&used, ROWS * width, sizeof(double));
    size_t weights = hop_carve(&used, ROWS * stride, sizeof(double));
    size_t part = hop_carve(&used, ROWS * model->p, sizeof(double));
    size_t sums = hop_carve(&used, 3 * ROWS * model->p, sizeof(double));
    size_t square = hop_carve(&used, SQUARED * stride, sizeof(double));
    if (squares)
        *squares = (double *)(block + square);
    for (size_t q = 0; tallies && q < ROWS; q++) {
        double *N = (double *)(block + sums) + 3 * q * model->p;
        tallies[q] = (tally){.N = N,
                             .ND = N + model->p,
                             .NN = N + 2 * model->p,
                             .x = (double *)(block + x) + q * width,
                             .weights = (double *)(block + weights) + q * stride,
                             .part = (double *)(block + part) + q * model->p};
    }
    return used;
}

size_t hop_phi_workspace_bytes(const hop_model *model)
{
    return lay_out(model, NULL, NULL, NULL);
}

/* The row's query as its features read it. */
static void load(const hop_phi_sums *sums, const float *state, tally *row)
{
    const hop_model *model = sums->model;
    bool directed = hop_similarity_apply(model->similarity, model->d, model->mean, state, row->x);
    assert(directed); /* hop_query_prepare() has seen to it */
    (void)directed;
    for (size_t l = 0; l < model->d; l++) {
        double x = row->x[l];
        row->x[l] = sums->mode == HOP_RANDOM_FEATURES ? x - sums->centre[l] : x > 0 ? log1p(x) : x;
    }
    for (size_t l = model->d; l < hop_round_up(model->d, HOP_ROW_STEP); l++)
        row->x[l] = 0;
    row->top = -(double)INFINITY;
    row->D = row->DD = 0;
    memset(row->N, 0, 3 * model->p * sizeof(double));
}

/* rows x n_right products, added to the sums that lie at[q] from `sums`. */
static void add_products(size_t rows, const double *const *left, size_t n_right, size_t stride, const double *right,
                         const size_t *at, double *sums)
{
    hop_kernels_get()->moment_products(&(hop_row_products){
        .n_left = rows, .n_right = n_right, .stride = stride, .left = left, .right = right, .at = at, .sums = sums});
}

/* log phi_i(x), but for what all features have in common, of the slots of a unit, into weights. */
static void score(const hop_phi_sums *sums, size_t unit, size_t rows, const tally *tallies)
{
    const hop_phi_shape *shape = &sums->shape;
    const double *x[ROWS];
    size_t at[ROWS];
    for (size_t q = 0; q < rows; q++) {
        x[q] = tallies[q].x;
        at[q] = (size_t)(tallies[q].weights - tallies[0].weights);
        if (sums->mode == HOP_LINEAR)
            memcpy(tallies[q].weights, tallies[q].x, shape->stride * sizeof(double));
        else
            memset(tallies[q].weights, 0, shape->stride * sizeof(double));
    }
    if (sums->mode == HOP_RANDOM_FEATURES)
        add_products(rows, x, shape->stride, shape->width, sums->w + unit * shape->stride * shape->width, at,
                     tallies[0].weights);
}

/* Scores to weights relative to e^top, and what was summed before with them. Returns their sum. */
static double weigh(const hop_phi_shape *shape, const double *log_s, tally *row)
{
    double top = row->top, sum = 0;
    for (size_t i = 0; i < shape->stride; i++) {
        row->weights[i] += log_s[i];
        top = hop_max(row->weights[i], top);
    }
    if (top > row->top) {
        double factor = exp(row->top - top);
        row->D *= factor;
        row->DD *= factor * factor;
        for (size_t j = 0; j < shape->p; j++) {
            row->N[j] *= factor;
            row->ND[j] *= factor * factor;
            row->NN[j] *= factor * factor;
        }
        row->top = top;
    }
    for (size_t i = 0; i < shape->stride; i++)
        sum += row->weights[i] = exp(row->weights[i] - top);
    return sum;
}

/* Each feature as a part of its own: weights become their squares, which meet v and its squares. */
static void add_features(const hop_phi_shape *shape, const double *v, size_t rows, tally *tallies, double *squares)
{
    const double *left[ROWS];
    size_t p = shape->p, stride = shape->stride, ND[ROWS], NN[ROWS];
    for (size_t q = 0; q < rows; q++) {
        double *weights = tallies[q].weights;
        for (size_t i = 0; i < stride; i++)
            tallies[q].DD += weights[i] *= weights[i];
        left[q] = weights;
        ND[q] = (size_t)(tallies[q].ND - tallies[0].N);
        NN[q] = (size_t)(tallies[q].NN - tallies[0].N);
    }
    add_products(rows, left, p, stride, v, ND, tallies[0].N);
    for (size_t j = 0; j < p; j += SQUARED) {
        size_t n = p - j < SQUARED ? p - j : SQUARED;
        for (size_t k = 0; k < n * stride; k++)
            squares[k] = v[j * stride + k] * v[j * stride + k];
        add_products(rows, left, n, stride, squares, NN, tallies[0].N + j);
    }
}

/* One unit's features into the sums of its rows. */
static void add_unit(const hop_phi_sums *sums, size_t unit, bool errors, size_t rows, tally *tallies, double *squares)
{
    const hop_phi_shape *shape = &sums->shape;
    const double *weights[ROWS], *v = sums->v + unit * shape->p * shape->stride;
    double D[ROWS];
    size_t at[ROWS];
    score(sums, unit, rows, tallies);
    for (size_t q = 0; q < rows; q++) {
        D[q] = weigh(shape, sums->log_s + unit * shape->stride, &tallies[q]);
        weights[q] = tallies[q].weights;
        at[q] = q * shape->p;
    }
    memset(tallies[0].part, 0, rows * shape->p * sizeof(double));
    add_products(rows, weights, shape->p, shape->stride, v, at, tallies[0].part);
    bool units = shape->n_units >= UNITS_MIN;
    for (size_t q = 0; q < rows; q++) {
        tally *row = &tallies[q];
        row->D += D[q];
        for (size_t j = 0; j < shape->p; j++)
            row->N[j] += row->part[j];
        if (!errors || !units)
            continue;
        row->DD += D[q] * D[q];
        for (size_t j = 0; j < shape->p; j++) {
            row->ND[j] += row->part[j] * D[q];
            row->NN[j] += row->part[j] * row->part[j];
        }
    }
    if (errors && !units)
        add_features(shape, v, rows, tallies, squares);
}

static void write_z(const hop_geometry *values, const tally *row, float *z)
{
    for (size_t j = 0; j < values->n; j++) {
        double exact = values->centre[j] + row->N[j] / row->D;
        z[j] = (float)hop_min(hop_max(exact, (double)values->min[j]), (double)values->max[j]);
    }
}

static double standard_error(const hop_phi_shape *shape, const tally *row)
{
    double m = (double)shape->m, squares = 1 / m, most = 0;
    if (shape->n_units >= UNITS_MIN) {
        double unit = (double)shape->unit, last = m - unit * (double)(shape->n_units - 1);
        squares = ((double)(shape->n_units - 1) * unit * unit + last * last) / (m * m);
    }
    for (size_t j = 0; j < shape->p; j++) {
        double z = row->N[j] / row->D;
        most = hop_max((row->NN[j] - 2 * z * row->ND[j] + z * z * row->DD) / (row->D * row->D), most);
    }
    return shape->m > 1 ? sqrt(most / (1 - squares)) : (double)INFINITY;
}

hop_status hop_phi_answer(hop_frame *frame, size_t first, size_t n, const hop_answer *answer, hop_error *error)
{
    const hop_request *request = frame->request;
    const hop_model *model = frame->model;
    const hop_phi_sums *sums = request->sums;
    if (!hop_phi_sums_fits(sums, model, request->mode, request->beta, &request->parameters))
        return hop_fail(error, HOP_E_DOMAIN, "mode %s needs sums made for this set, its beta and its parameters",
                        hop_mode_word(request->mode));
    bool errors = answer->standard_error && request->mode == HOP_RANDOM_FEATURES;
    tally tallies[ROWS];
    double *squares;
    lay_out(model, frame->structured_workspace, tallies, &squares);
    for (size_t a = 0; a < n; a += ROWS) {
        size_t rows = n - a < ROWS ? n - a : ROWS;
        for (size_t q = 0; q < rows; q++)
            load(sums, frame->state + frame->active[a + q] * model->d, &tallies[q]);
        for (size_t unit = 0; unit < sums->shape.n_units; unit++)
            add_unit(sums, unit, errors, rows, tallies, squares);
        for (size_t q = 0; q < rows; q++) {
            size_t i = frame->active[a + q];
            hop_row *row = &frame->rows[i];
            row->degree = 0;
            row->fallback = HOP_FALLBACK_NONE;
            row->bound = (double)INFINITY;
            row->met = row->bound <= request->max_error;
            write_z(&model->value, &tallies[q], row->z);
            if (errors)
                answer->standard_error[first + i] = standard_error(&sums->shape, &tallies[q]);
        }
    }
    return HOP_OK;
}

hop_work hop_phi_row_work(const hop_model *model, const hop_request *request, size_t rows)
{
    hop_work work = hop_work_row(model);
    bool linear = request->mode == HOP_LINEAR;
    double m = (double)hop_phi_features(model, request->mode, &request->parameters), p = (double)model->p;
    double numbers = m * (p + (linear ? 0 : (double)model->d)), shared = hop_min(hop_max(1, (double)rows), ROWS);
    work.count[HOP_COST_SCORE] = m;                                     /* exp */
    work.count[HOP_COST_F64_MADD] = numbers + (linear ? 0 : 2 * m * p); /* products, and those of a standard error */
    work.count[HOP_COST_F64_PASS_NUMBER] = numbers / shared;
    work.count[HOP_COST_STREAM] = hop_max(0, numbers * sizeof(double) - HOP_COST_CACHED_BYTES) / shared;
    return work;
}
