/*
 * geometry.h - where a set's rows lie: centre, power-of-two scales, ranges and radius of keys or of values.
 *
 * A coordinate of a row is seen as  row[l] = centre[l] + scale[l] u[l],  scale[l] a power of two, so that monomials of
 * u neither overflow nor underflow and scaling is exact. low and high enclose u, rounded outward. Measured afresh, the
 * centre is the mean and 1/2 < extent <= 1 wherever rows differ; rows measured in the frame (centre and scales) of
 * others may have any mean, both ends of u on one side of 0, and extents between HOP_EXTENT_MIN and HOP_EXTENT_MAX.
 */
#ifndef HOP_GEOMETRY_H
#define HOP_GEOMETRY_H

#include "core/hopfield.h"

#define HOP_EXTENT_MIN 0.125
#define HOP_EXTENT_MAX 4.0

enum { HOP_TAIL_LEVELS = 12 };

/*
 * How the rows thin out at the ends of one coordinate, in u: above >= mean max(u - upper, 0) over the rows, and
 * below >= mean max(lower - u, 0). Level k has about 2^-(k+1) of the rows beyond each threshold.
 */
typedef struct hop_tail {
    double upper, above, lower, below;
} hop_tail;

typedef struct hop_geometry {
    size_t n;                    /* coordinates: d for keys, p for values */
    double *centre;              /* f64 mean of the rows as computed at build; fixed from then on */
    double *scale, *inverse;     /* 2^e and 2^-e; 1 where all rows agree */
    double *low, *high, *extent; /* low <= u <= high, extent = max(|low|, |high|) */
    float *min, *max;            /* of the stored rows, exact */
    double radius;               /* >= max over rows of |row - centre| (l2) */
    double max_abs, max_l2;      /* of the stored rows, as measured (not outward) */
    double range;                /* largest max - min */
    double widest;               /* >= max_l scale[l] extent[l] */
    double *tails;               /* HOP_TAIL_LEVELS x 4 x n: hop_geometry_tail(); NULL: too few rows, or too many n */
    /* Of each level, over all coordinates, in the rows' unit: the farthest threshold, and the most above or below. */
    double tail_reach[HOP_TAIL_LEVELS], tail_rest[HOP_TAIL_LEVELS];
    size_t tail_rows; /* how many rows there were when the thresholds were chosen */
    bool kept;        /* the frame is the one that was to be kept */
    void *block;
} hop_geometry;

/*
 * Measure n_rows x n f32 rows. Errors: HOP_E_DOMAIN naming row and column of a number that is not finite,
 * HOP_E_NOMEM. Cost: two passes.
 */
HOP_WARN_UNUSED hop_status hop_geometry_init(hop_geometry *out, const float *rows, size_t n_rows, size_t n,
                                             hop_error *error);
/* A frame to keep, n numbers each. extent NULL: every scale is in use; else those where it is above 0. */
typedef struct hop_kept_frame {
    const double *centre, *scale, *extent;
} hop_kept_frame;

/*
 * Whether these numbers can be a frame's: centres of f32 numbers, powers of two for scales. Returns how many of n
 * coordinates are right before the first that is not.
 */
size_t hop_geometry_check_frame(size_t n, const double *centre, const double *scale);

/* Earlier rows of which the first n_rows rows are, bit for bit, all there were. */
typedef struct hop_known_rows {
    const hop_geometry *geometry;
    size_t n_rows;
} hop_known_rows;

/*
 * The same by an executor's threads (NULL: on this one), on which nothing depends, and in the frame of earlier rows, of
 * which most are still there: a coordinate in which all of those agreed keeps its centre and gets a scale of its own.
 * Where some extent would leave the limits above the frame is fresh. kept NULL: it is fresh too.
 *
 * known: NULL, or earlier rows whose frame `kept` is. Where it is kept, only the rows behind them are read, unless
 * they are so many that the tails have to be found again. All three are read during the call only.
 */
HOP_WARN_UNUSED hop_status hop_geometry_measure(hop_geometry *out, const float *rows, size_t n_rows, size_t n,
                                                const hop_kept_frame *kept, const hop_known_rows *known,
                                                const hop_executor *executor, hop_error *error);
/*
 * The least that is known of rows: of rows `from`..n_rows - 1 the largest entry and the largest norm, 0 where there are
 * none, and their mean as the centre of a fresh frame is, n numbers; NULL: not wanted. Errors: as above.
 */
HOP_WARN_UNUSED hop_status hop_geometry_norms(const float *rows, size_t from, size_t n_rows, size_t n, double *mean,
                                              double *max_abs, double *max_l2, const hop_executor *executor,
                                              hop_error *error);
void hop_geometry_fini(hop_geometry *geometry);
size_t hop_geometry_bytes(size_t n_rows, size_t n);

/* What measuring takes besides, at most. */
size_t hop_geometry_scratch_bytes(size_t n_rows, size_t n);

/* The level whose share of rows beyond its thresholds is nearest to fraction. */
size_t hop_tail_level(double fraction);

/* In memory upper, above, lower and below of all coordinates lie one after the other. */
static inline hop_tail hop_geometry_tail(const hop_geometry *geometry, size_t level, size_t l)
{
    const double *at = geometry->tails + level * 4 * geometry->n + l;
    return (hop_tail){at[0], at[geometry->n], at[2 * geometry->n], at[3 * geometry->n]};
}

/* The coordinates in which rows differ from the centre: in the others every scaled one is 0. Returns how many. */
static inline size_t hop_geometry_differing(const hop_geometry *geometry, size_t *out)
{
    size_t n = 0;
    for (size_t l = 0; l < geometry->n; l++)
        if (geometry->extent[l] > 0)
            out[n++] = l;
    return n;
}

/* u of one row: u[l] = (row[l] - centre[l]) 2^-e, each with relative error 2^-53. */
static inline double hop_geometry_scaled(const hop_geometry *geometry, const float *row, size_t l)
{
    return ((double)row[l] - geometry->centre[l]) * geometry->inverse[l];
}

#endif
