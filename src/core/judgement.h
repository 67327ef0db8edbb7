/*
 * judgement.h - a row's standing while the almost-linear retriever goes up the degrees, and the choice among its
 * certificates: T, W and G (certificate.h), each with its own polynomial. What is expected of them decides what is
 * tried; what they prove decides what is answered. Internal to almost_linear.c.
 */
#ifndef HOP_JUDGEMENT_H
#define HOP_JUDGEMENT_H

#include "core/almost_linear.h"

/* A certificate that is expected to miss what is allowed by more is not made: tails may halve it, hardly more. */
#define HOP_AL_JUDGED 2.0

/* Where a lane stands. */
typedef struct hop_al_lane {
    hop_al_row *row;
    double allowed;       /* hop_al_allowed() */
    size_t bucket;        /* hop_minimax_bucket() */
    bool open;            /* still looking for a degree */
    bool due;             /* wants its numerator at the degree at hand */
    unsigned held;        /* degree of an answer that waits for its numerator; 0: none */
    bool held_last;       /* and no other degree is to be tried after it */
    unsigned best_degree; /* of the smallest ratio so far; 0: no degree had a bound */
    double best_ratio;
    unsigned degree; /* at hand: of the four below */
    double eps;      /* of W's polynomial, and that; INFINITY: none */
    const double *c;
    double D, expected;               /* Taylor's D, and coarsely certificate T's E / D */
    double under;                     /* hop_evaluation_under() of the highest degree */
    double gauss[HOP_DEGREE_MAX + 1]; /* G's coefficients at the degree at hand */
    hop_bound bound;                  /* at the degree at hand, once judged */
    hop_error_terms terms;            /* of an answer by that bound */
} hop_al_lane;

/* Lanes of one evaluation. */
typedef struct hop_al_group {
    hop_evaluation e;
    hop_al_lane lanes[HOP_LANES];
    const double *c[HOP_LANES];     /* the polynomial in use at the degree at hand; NULL: Taylor's */
    const double *top_c[HOP_LANES]; /* of the last hop_evaluation_top() */
    double top_gauss[HOP_LANES][HOP_DEGREE_MAX + 1];
    const hop_evaluation_error *error; /* by degree, up to the rows' highest cap */
    double least;
    double h[HOP_DEGREE_MAX + 1][HOP_LANES];    /* h_g(max(T, 0)) */
    double term[HOP_DEGREE_MAX + 2][HOP_LANES]; /* s^k/k!, rounded up */
    double per_widest;                          /* 1 / the values' extent */
    double z_rounding;                          /* of z to f32, over the values' extent */
    size_t n;
    bool hold; /* answers wait: their numerators come from one pass over A for several groups */
} hop_al_group;

/* Whether lane is still to be looked at at degree g. */
static inline bool hop_al_looking(const hop_al_lane *at, unsigned g)
{
    return at->open && g <= at->row->degree_cap;
}

/* What max_error leaves to E / D, before rounding. */
double hop_al_allowed(const hop_al_group *s, const hop_al_row *row);

/* What to expect of lane q's certificates at degree g, to the lane. D_k must be there for k <= g. */
void hop_al_consider(hop_al_group *s, unsigned g, size_t q);

/* Whether G is worth its time for a row that the other certificates leave at ratio. */
bool hop_al_worth_gauss(const hop_al_group *s, unsigned g, const hop_al_lane *at, double ratio);

/*
 * Choose each open lane's polynomial at odd degree g by what is expected of it. Returns whether any is worth the top
 * degree; *all: every one is.
 */
bool hop_al_choose(hop_al_group *s, unsigned g, bool *all);

/*
 * hop_evaluation_top() for the polynomials s->c, which are kept, or hop_evaluation_crest(); whether that was done for
 * these coefficients.
 */
void hop_al_top(hop_al_group *s, unsigned g);
void hop_al_crest(hop_al_group *s, unsigned g);
bool hop_al_is_top(const hop_al_group *s, unsigned g, size_t q, const double *c);

/*
 * The smallest certificate of lane q at degree g, which has been considered: its polynomial to s->c[q], the rest to the
 * lane. Returns what it comes to, over the values' extent; INFINITY: there is none.
 */
double hop_al_judge(hop_al_group *s, unsigned g, size_t q);

#endif
