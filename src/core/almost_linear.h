/*
 * almost_linear.h - retrieval from the moments, degree by degree, at a cost that does not depend on M.
 *
 *     D_g = mean P_g(t_mu),  N_g = mean w_mu P_g(t_mu),  Z~ = mean(v) + N_g / D_g,  P_g(t) = sum_{k <= g} t^k / k!
 *
 * (Hu et al. 2024, Algorithm 1 with the corrected normaliser diag(1^T A).) A row stops at the first degree whose
 * certificate meets what it was asked for: T, with Taylor's polynomial, W, with the one of minimax.h, or G, with the
 * one that gauss.h makes for the row.
 *
 * Rows whose max_error leaves room for f32's rounding are evaluated in f32, as many side by side as a vector holds; the
 * others, and those that f32 then misses narrowly, in f64. Few rows go one by one. So a row's last bits depend on
 * the rows it came with, within its bound; a lane's numbers do not depend on its neighbours' numbers.
 */
#ifndef HOP_ALMOST_LINEAR_H
#define HOP_ALMOST_LINEAR_H

#include "core/certificate.h"
#include "core/evaluation.h"

/* What a row asks for and gets. */
typedef struct hop_al_row {
    const hop_query *query;
    size_t tag;          /* the caller's own */
    float *z;            /* p; NULL: log-sum-exp only */
    double max_error;    /* of z, or of log D where z is NULL */
    unsigned degree_cap; /* try no degree above this one; 0: try none; auto may lower it */
    bool predict;        /* auto: leave off as soon as no degree up to the cap is expected to meet max_error */
    const double *gain;  /* auto: what meeting at a degree saves, in times of what going there takes; NULL: much */
    bool best_effort;    /* answer the best bound there is if none meets max_error */
    bool log_sum;        /* log_D_low, log_D_high are wanted */

    /* Out */
    bool met;
    bool f32;                     /* evaluated in f32 */
    hop_certificate_kind kind;    /* of the certificate, and its polynomial */
    int degree;                   /* of the answer; 0: there is none */
    double bound;                 /* of z, or of log D; INFINITY where no degree had one, or auto did not look */
    double rounding;              /* what of bound is rounding, about */
    double sigma;                 /* (mean t^2)^{1/2}, an estimate */
    double log_D_low, log_D_high; /* enclose log mean exp(t_mu), at the answer's degree */
} hop_al_row;

/*
 * Values that are not the keys: so many groups of rows share a pass over A. With more it would be read less often than
 * their own monomials.
 */
enum { HOP_AL_CONVOY = 8 };

/* Several groups' worth where values are not the keys. */
size_t hop_al_workspace_bytes(const hop_model *model, const hop_features *features);

/* Answer n rows. Cost: about 4 C(d+g+1, g+1) flops a row (values = keys), for g the highest degree reached. */
void hop_al_run(const hop_model *model, const hop_features *features, hop_al_row *rows, size_t n, void *workspace);

/* The same in one form alone, whatever it is good for: n > 0 rows. hop_evaluation_lanes() must not be 0. */
void hop_al_run_form(const hop_model *model, const hop_features *features, hop_form form, hop_al_row *rows, size_t n,
                     void *workspace);

/* Whether f32's rounding leaves a row nearly all of its max_error, at any degree up to its cap. Reads what it asks. */
bool hop_al_f32_will_do(const hop_model *model, const hop_features *features, const hop_al_row *row);

/* Whether so many rows are evaluated one by one, where a vector would hold `lanes`. */
static inline bool hop_al_one_by_one(size_t rows, size_t lanes)
{
    return (double)rows <= 0.3 * (double)lanes;
}

/*
 * Predicted E / D of degree g from the second moment and the radius of t: an estimate of the certificate, not a bound.
 * h: h_g(max(T, 0)). Absolute moments are taken as a Gaussian's, capped by sigma^2 T_abs^{k-2}; where certificate W's
 * eps is smaller, that.
 */
double hop_al_predict(unsigned g, double sigma, double T_abs, double h);

/* What skewness may take off that, of z, at an odd degree of the maps, nearly: a factor up to 1. h as above. */
double hop_al_lean(const hop_model *model, const hop_features *features, const hop_query *query, unsigned g, double h);

/* How far above max_error a prediction may be and still be worth the time, where meeting saves gain times that. */
double hop_al_margin(double gain);

/*
 * The highest degree in (above, g_max] that may meet max_error for all that hop_al_predict() knows of a query, 0: none;
 * what auto asks before it starts, and before it says that no degree would have done. widest: the values' extent, 1 of
 * log D. gain: by degree, as in hop_al_row; NULL: any chance will do. margin: a prediction may be above by so
 * much more.
 */
unsigned hop_al_may_meet(const hop_query *query, double sigma, double widest, double max_error, unsigned above,
                         unsigned g_max, const double *gain, double margin);

/* sigma = (mean t^2)^{1/2} of n queries, from the moments of degree 2. */
void hop_al_sigma(const hop_model *model, const hop_features *features, const hop_query *queries, size_t n,
                  void *workspace, double *sigma);

#endif
