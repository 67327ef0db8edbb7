/*
 * kernels.h - the table of numeric kernels: contracts here, one implementation a machine.
 *
 * kernels_ref.c is complete and readable, and in use wherever nothing better can run; the vector kernels are one shape,
 * kernels_simd.h, instantiated once a machine. Kernels return void, allocate nothing and assert their preconditions:
 * their callers have checked. Tails are part of the kernel: every count from 0 on is legal unless said otherwise.
 *
 * Floating point is strict: round to nearest, no reassociation beyond what a contract's `depth` allows.
 */
#ifndef HOP_KERNELS_H
#define HOP_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HOP_PANEL = 64,              /* memories of one panel */
    HOP_RUN = 8 * HOP_PANEL,     /* most memories of one call: their sums are f32 before they are added in f64 */
    HOP_COLUMNS = 16,            /* value rows of a panel are padded to a multiple of this many f32 (and f64) */
    HOP_BLOCK = 64,              /* columns of a panel's values that lie together */
    HOP_BATCH_MAX = 512,         /* most queries of a pass that a table asks for */
    HOP_LANES = 16,              /* most queries that the almost-linear retriever evaluates side by side */
    HOP_LANE_BYTES = 64,         /* most bytes that one number of all lanes takes */
    HOP_SWEEP_PAD = 32,          /* numbers behind each array of a single query's sweep */
    HOP_SWEEP_DEPTH = 114,       /* most roundings in the sweep's own precision on the way of one term into a sum */
    HOP_PRODUCT_RUN = 96,        /* most monomials of one call of a product with A */
    HOP_ROW_STEP = 16,           /* rows of the moments' kernels hold a multiple of this many numbers */
    HOP_DEPTH = HOP_PANEL + 8,   /* most roundings within a run on the way of one weight or product into N or D */
    HOP_SCRATCH_COLUMNS = 64,    /* elements of scratch a column */
    HOP_SCRATCH_CELLS = 1 << 11, /* and elements besides */
    HOP_BINS = 256,              /* of a coordinate's histogram */
    HOP_BIN_COLUMNS = 64,        /* coordinates that are counted at a time */
};

/*
 * Proven relative errors of the kernels' 2^t (docs/MATH.md, "exp"), for arguments in [-126, 127] (f32) and
 * [-1022, 1023] (f64); below that range the result is 0. 2^0 is 1.
 */
#define HOP_EXP_F32_ERROR 0x1p-22
#define HOP_EXP_F64_ERROR 0x1p-51

/*
 * One run of at most HOP_RUN memories against L queries. For q < L, m < count:
 *
 *     t = sum_l keys[l][m] x[q][l] - shift[q]          d + 1 roundings at most, in any order (score_depth)
 *     e = 2^t                                          relative error as above
 *     D[q] += e                                        f32 within a run, f64 across runs
 *     N[q][j] += e values[m][j]      j < columns       likewise
 *
 * keys    a panel of d x HOP_PANEL after the other: coordinate l of memory m at
 *         keys[(m / HOP_PANEL * d + l) * HOP_PANEL + m % HOP_PANEL]; columns m >= count of the last one hold 0
 * values  a panel of HOP_PANEL x columns after the other, in blocks of HOP_BLOCK columns (the last one may be
 *         narrower), each row-major: hop_value_at(). Rows m >= count hold 0; columns is a multiple of HOP_COLUMNS.
 *         NULL: the keys themselves, values[m][j] = keys[j][m] for j < d <= columns, in one read of the keys. It
 *         pays where memory is the limit, that is for few queries.
 * x       L x d, row-major
 * shift   L; NULL means 0 for all. With shift NULL the caller promises |t| <= 1.45 reach_f32 + 1 (the table's)
 * D       L, N  L x columns: f64, added to
 * scratch hop_scratch_bytes(columns) bytes, or the table's scratch_f32_bytes() if that is more, 64-byte aligned
 * queries what the table's queries_f32() made of x, if it has one; NULL, in all calls of a pass, costs only time
 *
 * keys, values and x are finite, and below 2^120 where the table has queries_f32(). Padding memories (m >= count)
 * contribute exactly nothing. t may be any finite number or -inf when shift is given;
 * t > 127 does not occur. What a query gets depends on L and on its place in the last bits only.
 * The error model is that of normal numbers. What underflows is off besides, by the table's underflow_f32 times
 * 1 + |a| + |b| for each product of an a and a b.
 */
typedef struct hop_panel_f32 {
    size_t d, L, count, columns;
    const float *keys, *values, *x, *shift;
    double *D, *N;
    void *scratch;
    const void *queries;
} hop_panel_f32;

/* The same in f64: keys, values, x, shift f64; all accumulation f64; with shift NULL |t| <= 1010. */
typedef struct hop_panel_f64 {
    size_t d, L, count, columns;
    const double *keys, *values, *x, *shift;
    double *D, *N;
    void *scratch;
} hop_panel_f64;

/* Where value j of memory m is. */
static inline size_t hop_value_at(size_t columns, size_t m, size_t j)
{
    const size_t block = j / HOP_BLOCK * HOP_BLOCK, width = columns - block < HOP_BLOCK ? columns - block : HOP_BLOCK;
    return (m / HOP_PANEL * columns + block) * HOP_PANEL + m % HOP_PANEL * width + j % HOP_BLOCK;
}

/* columns must not be so many that this wraps: a model's sizes have been checked by then. */
static inline size_t hop_scratch_bytes(size_t columns)
{
    return (HOP_SCRATCH_CELLS + columns * HOP_SCRATCH_COLUMNS) * sizeof(double);
}

/*
 * The monomials of a degree k >= 1 over their cofactors of degree k-1 (multiindex.h): cofactor b lies in the block v
 * with offset[v] <= b < offset[v + 1], and its product with variable i <= v is monomial lead[i] + b.
 */
typedef struct hop_degree {
    size_t d;
    const size_t *offset; /* d + 1, of degree k-1 */
    const size_t *lead;   /* d */
} hop_degree;

/*
 * One degree k >= 1 of the sweeps of almost_linear.c, in one precision ("real": f32 or f64), for `lanes` queries side
 * by side or for one (lanes = 1). Arrays hold `lanes` reals an element and are 64-byte aligned; a and self are plain
 * reals, the same for all queries. b runs over the cofactors, i over the variables up to b's block.
 *
 *     extend:   out[lead[i] + b] = xi[i] m[b];                                  sums[0] += sum a[lead[i] + b] out[same]
 *     top:      out[b] = weight self[b] + sum_i xi[i] a[lead[i] + b];           sums[i] += sum_b a[lead[i] + b] m[b]
 *     reverse:  out[b] = weight self[b] + sum_i xi[i] next[lead[i] + b];        sums[i] += sum_b next[lead[i] + b] m[b]
 *
 * Products and fused operations round once; out takes d + 2 of them at most, in any order. A term of a sum takes
 * HOP_SWEEP_DEPTH at most in real, and then f64 additions, fewer than terms. Nothing is assumed of what underflows
 * beyond 2^-150 (f32) an operation.
 *
 * A single query's arrays (and a, self) may be read HOP_SWEEP_PAD reals behind their last, and m, out, next be written
 * there: what is read there must be finite, and zero behind m. What is written behind out is finite if its inputs are.
 */
typedef struct hop_sweep {
    hop_degree degree;
    const void *xi;     /* [d] */
    const void *m;      /* [monomials of degree k-1] */
    const void *a;      /* coefficients of degree k; not read by reverse */
    const void *next;   /* [monomials of degree k]; read by reverse alone */
    const void *self;   /* coefficients of degree k-1; not read by extend */
    const void *weight; /* [1]; not read by extend */
    void *out;
    double *sums;  /* lanes f64 an element */
    void *scratch; /* [d], of top and reverse */
} hop_sweep;

/*
 * Degree g >= 2 and the one above at once, where nobody wants the monomials of degree g for themselves: neither they
 * nor their adjoints are ever written. With b over the cofactors of degree g-1, i over the variables up to b's block,
 * c = lead[i] + b of degree g, j <= i (c's block) and at = upper's lead[j] + c of degree g+1
 *
 *     m_c   = xi[i] m[b]                                     D[0]   += a[c] m_c             as extend
 *     adj_c = weight a[c] + sum_j xi[j] above[at]            top[j] += above[at] m_c        as top
 *     out[b] = lower_weight self[b] + sum_i xi[i] adj_c      sums[i] += adj_c m[b]          as reverse
 *
 * with the roundings of those three.
 */
typedef struct hop_crest {
    hop_degree degree;        /* g over g-1 */
    const size_t *upper_lead; /* d: of g+1 over g */
    const void *xi, *m;
    const void *a, *above, *self; /* coefficients of degrees g, g+1, g-1 */
    const void *weight, *lower_weight;
    void *out;
    double *D, *top, *sums; /* lanes; [d] each */
    void *scratch;          /* [d] */
} hop_crest;

/*
 * A run of n <= HOP_PRODUCT_RUN monomials times rows of A, plain reals `stride` apart:
 *
 *     sums[j * lanes + q] += sum_b m[b * lanes + q] a[b * stride + j]       b < n, j < columns
 *
 * A term takes at most n + 3 <= HOP_SWEEP_DEPTH roundings in real, and one in f64. For a single query a may be read
 * HOP_SWEEP_PAD reals behind its last row.
 */
typedef struct hop_product {
    size_t n, columns, stride;
    const void *m, *a;
    double *sums; /* columns x lanes */
} hop_product;

typedef struct hop_sweeps {
    size_t lanes, real_bytes; /* lanes <= HOP_LANES, lanes real_bytes <= HOP_LANE_BYTES */
    void (*extend)(const hop_sweep *sweep);
    void (*top)(const hop_sweep *sweep);
    void (*reverse)(const hop_sweep *sweep);
    void (*crest)(const hop_crest *crest); /* NULL: the three above do as well */
    void (*product)(const hop_product *product);
    /* out[b] = weight m[b], b < n; arrays and pads as above, but out lies anywhere. */
    void (*weigh)(size_t n, const void *weight, const void *m, void *out);
} hop_sweeps;

/*
 * Every left row times every right row, summed along the rows:
 *
 *     sums[at[j] + c] += sum_m left[j][m] right[c * stride + m]      j < n_left, c < n_right, m < stride
 *
 * stride is a multiple of HOP_ROW_STEP; rows are 64-byte aligned. On its way into an element of sums, the addition to
 * it included, a product sees at most stride / 2 + 2 roundings.
 */
typedef struct hop_row_products {
    size_t n_left, n_right, stride;
    const double *const *left;
    const double *right;
    const size_t *at;
    double *sums;
} hop_row_products;

/*
 * The last step of an answer (certificate.h), n coordinates. With q = numerator / denominator, exact = centre + q
 * scale:
 *
 *     z     = the f32 nearest to exact, clipped to [min, max]; NaN counts as min
 *     error = base + osc (high - low) + deviation + weight extent + quotient |q|
 *     bound = error scale + |clipped - z| + 2 u64 |exact|, rounded up; at most max(z - min, max - z), also where NaN
 *
 * deviation is dev max(high - q, q - low), and no more than what the tails say where upper is not NULL: with
 * a = dev max(upper - q, 0), b = dev max(q - lower, 0), the larger of a + most above and b + most below (one_sided), or
 * max(a, b) + most above + most below. Nor more, where skew is not NULL, than dev_middle (skew + |q|) and a deviation
 * of dev_half and most_half that is not one_sided; skew may be infinite, which then says nothing. Every table makes the
 * same roundings: the same numbers come out, bit for bit.
 */
typedef struct hop_answer_row {
    size_t n;
    const double *centre, *scale, *low, *high, *extent; /* n each, all finite */
    const float *min, *max;                             /* n each, finite, min <= max */
    const double *upper, *above, *lower, *below;        /* n each; upper NULL: none */
    const double *skew;                                 /* n; NULL: none */
    const double *numerator;                            /* n */
    double denominator, base, osc, dev, weight, quotient, most, dev_middle, dev_half, most_half;
    bool one_sided;
    float *z; /* n */
} hop_answer_row;

/*
 * What hop_query_prepare() sums over the coordinates, d > 0. xi leaves as w = beta x' scale,
 * and as 0 where extent is 0, whatever x' is. A term sees at most d + 4 roundings, its own included.
 */
typedef struct hop_query_row {
    size_t d;
    double beta;
    const double *centre, *scale, *low, *high, *extent; /* d each, all finite */
    const float *x;                                     /* x' where that is f32; NULL: it is in xi */
    double *xi;                                         /* d */
} hop_query_row;

typedef struct hop_query_sums {
    double square, base, base_abs; /* x'^2, centre x', |centre x'| */
    double box, up, down;          /* |w| extent, max(w low, w high), max(-w low, -w high) */
} hop_query_sums;

/*
 * What a pass over rows adds up, n numbers each: sum + rest is the sum of the rows, rest what rounding took from sum
 * (two-sums, row after row). To begin with 0, 0, INFINITY and -INFINITY.
 */
typedef struct hop_row_sums {
    double *sum, *rest, *min, *max;
} hop_row_sums;

/*
 * Histograms of n <= HOP_BIN_COLUMNS coordinates of rows that lie `stride` apart: v counts in the bin that
 * t = (v - centre - low) per_bin, as rounded, lies in, either one where it lies on the edge of two, and in the first
 * or last where it lies outside of 0..HOP_BINS. Fewer than 2^16 rows between two clearings of count.
 */
typedef struct hop_row_bins {
    size_t n, n_rows, stride;
    const float *rows;
    const double *centre, *low, *per_bin; /* n each */
    uint16_t *count;                      /* n x HOP_BINS, added to */
} hop_row_bins;

/* out[l] = (row[l] - centre[l]) inverse[l], rounded to f32, of rows that lie stride apart, and out_stride in out. */
typedef struct hop_row_scaling {
    size_t n, n_rows, stride, out_stride;
    const float *rows;
    const double *centre, *inverse; /* n each */
    float *out;
} hop_row_scaling;

/*
 * Where a sieve's scores go. found() is told of query q's memories from number `memory` of the run on, a multiple of
 * 32: bit i of `which`, not 0, stands for the next i-th, whose score is scores[i]. It may change least[q], which counts
 * from the next panel on. By query memories come in order.
 */
typedef struct hop_sift {
    const float *least; /* L; -INFINITY: all */
    void (*found)(void *context, size_t q, size_t memory, uint64_t which, const float *scores);
    void *context;
} hop_sift;

typedef struct hop_kernels {
    const char *isa;
    size_t run_bytes; /* of the panels of one call, which are read once a group, from the second cache */
    size_t batch_f32; /* queries of a pass, at most: more would not read the panels any faster */

    /* What the f32 panels promise: docs/MATH.md, "Dense". */
    double score_depth;   /* d + 1 or this, the larger, counts the roundings of a score; 0: d + 1 */
    double reach_f32;     /* largest exponent, in base e, without a shift */
    double underflow_f32; /* what is lost with a product that underflows */

    /*
     * NULL, or what panel_f32 and max_f32 read of all queries besides x: queries_f32() makes it of x once a pass, in
     * queries_f32_bytes() bytes, 64-byte aligned.
     */
    size_t (*queries_f32_bytes)(size_t L, size_t d);
    void (*queries_f32)(size_t L, size_t d, const float *x, void *queries);
    size_t (*scratch_f32_bytes)(size_t d, size_t columns); /* NULL, or the scratch they need where that is more */

    void (*panel_f32)(const hop_panel_f32 *panel);
    void (*panel_f64)(const hop_panel_f64 *panel);

    /*
     * For one panel, count <= HOP_PANEL:
     * top[q] = max(top[q], max_{m < count} t), t = sum_l keys[l][m] x[q][l] with the very roundings that the panel
     * kernel of the same table makes before it subtracts shift (so that no t - top is ever positive).
     */
    void (*max_f32)(const hop_panel_f32 *panel, float *top);
    void (*max_f64)(const hop_panel_f64 *panel, double *top);

    /*
     * A run of at most HOP_RUN memories: those whose t, within d + 1 roundings or score_depth, the larger, is least[q]
     * or more are reported. Reads keys, x, queries; scratch of hop_scratch_bytes(columns) or
     * scratch_f32_bytes(d, columns), the larger.
     */
    void (*sift_f32)(const hop_panel_f32 *panel, const hop_sift *to);
    /* scores[q * HOP_PANEL + m] = t as of max_f64, for m < count <= HOP_PANEL; the rest undefined. */
    void (*scores_f64)(const hop_panel_f64 *panel, double *scores);

    /* By precision and form: side by side, and a single query. */
    hop_sweeps lanes_f32, lanes_f64, one_f32, one_f64;

    /* out[j * stride + m] = factor[m] from[j * stride + m], j < rows, m < stride: a multiple of HOP_ROW_STEP. */
    void (*moment_multiply)(size_t rows, size_t stride, const double *factor, const double *from, double *out);
    void (*moment_products)(const hop_row_products *work);

    /* The largest bound of the row. */
    double (*answer_row)(const hop_answer_row *row);
    void (*query_row)(const hop_query_row *row, hop_query_sums *sums);

    /* Of n_rows x n rows, one after the other. The same bits come out on every machine. */
    void (*row_sums)(size_t n, size_t n_rows, const float *rows, const hop_row_sums *to);
    /*
     * *largest becomes the largest sum_l (row[l] - centre[l])^2 where that is more; at most n / 16 + 7 roundings on
     * the way of each term. centre NULL: 0. Returns how many rows there are before the first one for which it is not
     * finite: n_rows where none is.
     */
    size_t (*row_squares)(size_t n, size_t n_rows, const float *rows, const double *centre, double *largest);
    void (*row_bins)(const hop_row_bins *work);
    void (*scale_rows)(const hop_row_scaling *work);
} hop_kernels;

/* One table a machine. A table other than the reference may be used only where cpu.h says so. */
extern const hop_kernels hop_kernels_reference;
#if defined(__x86_64__)
extern const hop_kernels hop_kernels_avx2, hop_kernels_avx512, hop_kernels_amx, hop_kernels_amx_tiles;
#elif defined(__aarch64__)
extern const hop_kernels hop_kernels_neon; /* runs on every machine of the family */
#endif

/* The kernels in use: chosen by hop_isa_choose(), or at first use. Safe from any thread. */
const hop_kernels *hop_kernels_get(void);

#endif
