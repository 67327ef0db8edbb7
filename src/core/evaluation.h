/*
 * evaluation.h - the moments at a few queries: D_k degree by degree, and the numerator of any sum of degrees.
 *
 *     D_k = mean t^k / k!                                             from the monomials, each degree from the last
 *     N   = sum_{k <= g} c_k mean w t^k / k!                          c_k: per query, 1 for a Taylor polynomial
 *
 * Where values are the keys, N is the gradient of sum_k c_k D_{k+1}: a forward sweep leaves the monomials; the top
 * degree's coefficients are read once, for their own part of the gradient and for the adjoints of degree g; and reverse
 * sweeps take the adjoints down. Otherwise it is a matrix product of the monomials with A, whose rows are read once for
 * as many evaluations as there are.
 *
 * One evaluation works in one precision and one form: hop_sweeps.lanes queries side by side, or a single one. What its
 * rounding may do to D and N is hop_evaluation_rounding(); whether that is good enough is the caller's business.
 */
#ifndef HOP_EVALUATION_H
#define HOP_EVALUATION_H

#include "core/moments.h"
#include "core/query.h"

typedef enum hop_form { HOP_LANES_F32, HOP_LANES_F64, HOP_ONE_F32, HOP_ONE_F64, HOP_FORMS } hop_form;

/* Arrays named [.] hold one number a lane and element: reals of the form's precision, or f64 where typed. */
typedef struct hop_evaluation {
    const hop_model *model;
    const hop_features *features;
    const hop_multiindex *index;
    const hop_sweeps *sweeps;
    bool f32;
    size_t lanes;
    size_t at[HOP_DEGREE_MAX + 2];       /* where degree k's monomials, and adjoints, start */
    const hop_query *queries[HOP_LANES]; /* NULL: an idle lane */
    char *xi, *weight, *lower, *scratch; /* [d], [1], [1], [d] */
    char *monomials, *adjoint;           /* [degrees 0..g_max] each */
    double *gradient, *numerator;        /* [d] each: of D_top; of all */
    double *crest;                       /* [d]: what hop_evaluation_crest() adds to the gradient */
    double *rows;                        /* lanes x p */
    double *products;                    /* p x lanes, where there is an A */
    double D[HOP_DEGREE_MAX + 2][HOP_LANES];
    unsigned highest; /* monomials are there up to this degree */
    unsigned top;     /* gradient and adjoints of this degree are there; 0: none */
    bool crested;     /* of the degree below that the adjoints are not; the gradient has their part */
} hop_evaluation;

/* 0: the sizes overflow. Good for every form. */
size_t hop_evaluation_bytes(const hop_model *model, const hop_features *features);

/* Lanes of a form under the kernels in use; 0: these features have no such form (they have no f32 copy). */
size_t hop_evaluation_lanes(const hop_features *features, hop_form form);

/* Bind to a workspace of hop_evaluation_bytes(), 64-byte aligned. */
void hop_evaluation_init(hop_evaluation *e, const hop_model *model, const hop_features *features, hop_form form,
                         void *workspace);

/* Take n <= lanes queries; NULL for one that is not to be looked at. D_0 is there. */
void hop_evaluation_start(hop_evaluation *e, const hop_query *const *queries, size_t n);

/* Degree highest + 1 <= g_max: its monomials and D. Cost: two f64 multiply-adds a lane and monomial. */
void hop_evaluation_extend(hop_evaluation *e);

/*
 * D of degree g + 1, 1 <= g <= highest, its gradient and the adjoints of degree g, for the coefficients c that
 * hop_evaluation_numerators() will be asked for. c[q] NULL: 1. Cost: two multiply-adds a lane and coefficient.
 */
void hop_evaluation_top(hop_evaluation *e, unsigned g, const double *const *c);

/*
 * hop_evaluation_extend() and hop_evaluation_top() of degree g = highest + 1 >= 2 at once, without the monomials of
 * degree g: highest stays. They and their adjoints are most of what the two write and read, more than the nearest cache
 * holds. Only where hop_evaluation_crests().
 */
bool hop_evaluation_crests(const hop_evaluation *e);
void hop_evaluation_crest(hop_evaluation *e, unsigned g, const double *const *c);

/*
 * The numerators of every lane for the coefficients c: lanes x p, row-major, valid until the next call. Where values
 * are the keys hop_evaluation_top(e, g, c) or hop_evaluation_crest(e, g, c) must have been the last of its kind.
 */
const double *hop_evaluation_numerators(hop_evaluation *e, unsigned g, const double *const *c);

/* An evaluation's part in a product with A: lane q is answered at degree g[q], with the coefficients c[q]; NULL: 1. */
typedef struct hop_share {
    hop_evaluation *e;
    unsigned g[HOP_LANES]; /* <= e->highest; 0 for a lane that nobody asks for */
    const double *c[HOP_LANES];
} hop_share;

/*
 * Where values are not the keys: the numerators of n > 0 evaluations of one precision and form to their e->rows, lanes
 * x p, in one pass over A. Cost: a multiply-add a lane, monomial and column of A, in the form's precision.
 */
void hop_evaluation_products(hop_share *shares, size_t n);

/*
 * What is known of rounding up to degree g (docs/MATH.md, "Rounding"). With B0 = sum_{k <= g} |c_k| s^k / k! and
 * B1 = sum |c_k| k s^k / k!, s of the query, it is off by at most
 *
 *     D^ = sum_k c_k D_k:  D0 B0 + D1 B1 + under      N_j / extent_j:  N0 B0 + N1 B1 + under
 *     D_k, k <= g + 1:     (D0 + k D1) s^k / k! + under
 */
typedef struct hop_evaluation_error {
    double D0, D1, N0, N1;
} hop_evaluation_error;

/* query_roundings: of any query, they are the model's. */
hop_evaluation_error hop_evaluation_rounding(const hop_features *features, bool f32, unsigned g,
                                             double query_roundings);

/*
 * Of degree g; least: the least extent of keys and values that is not 0, or 1. INFINITY: f32 cannot hold such
 * coordinates.
 */
double hop_evaluation_under(const hop_features *features, bool f32, unsigned g, double s, double least);
double hop_evaluation_least(const hop_model *model);

/* The greatest |c_k / c_g| that weights may have, and the least |c_g|, for these bounds to hold. */
#define HOP_EVALUATION_WEIGHT_MAX 4.0

#endif
