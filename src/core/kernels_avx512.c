/*
 * kernels_avx512.c - the vector kernels for AVX-512 (F, VL, DQ, BW): 32 registers of 16 f32 or 8 f64.
 * The shapes are in kernels_simd.h; what is proved about exp is in docs/MATH.md. Compiled with this machine's flags:
 * nothing here may run before cpu.c has said that the machine can.
 */
#include <immintrin.h>
#include <stddef.h>

#include "core/checked.h"

/* Keeps the compiler from loading v again at each use, which would make the loops wait for the load ports. */
#define SIMD_IN_REGISTER(v) __asm__("" : "+v"(v))

/* ---- f32 ------------------------------------------------------------------------------------------------- */

typedef __m512 vec_f32;

static inline vec_f32 zero_f32(void)
{
    return _mm512_setzero_ps();
}

static inline vec_f32 load_f32(const float *at)
{
    return _mm512_loadu_ps(at);
}

static inline void store_f32(float *at, vec_f32 v)
{
    _mm512_storeu_ps(at, v);
}

static inline vec_f32 splat_f32(const float *at)
{
    return _mm512_set1_ps(*at);
}

static inline vec_f32 fma_f32(vec_f32 a, vec_f32 b, vec_f32 c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline vec_f32 max_f32(vec_f32 a, vec_f32 b)
{
    return _mm512_max_ps(a, b);
}

static inline float largest_f32(vec_f32 v)
{
    return _mm512_reduce_max_ps(v);
}

static inline vec_f32 split_f32(vec_f32 t, vec_f32 *whole)
{
    vec_f32 r = _mm512_reduce_ps(t, _MM_FROUND_TO_NEAREST_INT);
    *whole = _mm512_sub_ps(t, r);
    return r;
}

static inline vec_f32 scale_f32(vec_f32 p, vec_f32 whole)
{
    return _mm512_scalef_ps(p, whole);
}

static inline vec_f32 where_least_f32(vec_f32 t, vec_f32 low, vec_f32 v)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(t, low, _CMP_GE_OQ), v);
}

static inline unsigned which_least_f32(vec_f32 t, vec_f32 low)
{
    return _mm512_cmp_ps_mask(t, low, _CMP_GE_OQ);
}

static inline vec_f32 first_lanes_f32(vec_f32 v, int n, vec_f32 other)
{
    const unsigned first = n >= 16 ? 0xffffu : n <= 0 ? 0u : (1u << n) - 1u;
    return _mm512_mask_mov_ps(other, (__mmask16)first, v);
}

/* Converting from memory spares the shuffle that widening a register takes. */
static inline void widen_add_f32(const float *sum, size_t n, double *N)
{
    for (size_t i = 0; i < n; i += 8) {
        __m512d wide = _mm512_cvtps_pd(_mm256_loadu_ps(sum + i));
        _mm512_storeu_pd(N + i, _mm512_add_pd(_mm512_loadu_pd(N + i), wide));
    }
}

static inline float total_f32(vec_f32 v)
{
    return _mm512_reduce_add_ps(v);
}

#define SIMD_REAL float
#define SIMD_PANEL hop_panel_f32
#define SIMD_NAME(x) x##_f32
#define SIMD_WIDTH 16
#define SIMD_SLOTS 4
#include "core/kernels_simd.h"
#include "core/kernels_amx.h"

/* ---- f64 ------------------------------------------------------------------------------------------------- */

typedef __m512d vec_f64;

static inline vec_f64 zero_f64(void)
{
    return _mm512_setzero_pd();
}

static inline vec_f64 load_f64(const double *at)
{
    return _mm512_loadu_pd(at);
}

static inline void store_f64(double *at, vec_f64 v)
{
    _mm512_storeu_pd(at, v);
}

static inline vec_f64 splat_f64(const double *at)
{
    return _mm512_set1_pd(*at);
}

static inline vec_f64 fma_f64(vec_f64 a, vec_f64 b, vec_f64 c)
{
    return _mm512_fmadd_pd(a, b, c);
}

static inline vec_f64 max_f64(vec_f64 a, vec_f64 b)
{
    return _mm512_max_pd(a, b);
}

static inline double largest_f64(vec_f64 v)
{
    return _mm512_reduce_max_pd(v);
}

static inline vec_f64 split_f64(vec_f64 t, vec_f64 *whole)
{
    vec_f64 r = _mm512_reduce_pd(t, _MM_FROUND_TO_NEAREST_INT);
    *whole = _mm512_sub_pd(t, r);
    return r;
}

static inline vec_f64 scale_f64(vec_f64 p, vec_f64 whole)
{
    return _mm512_scalef_pd(p, whole);
}

static inline vec_f64 where_least_f64(vec_f64 t, vec_f64 low, vec_f64 v)
{
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(t, low, _CMP_GE_OQ), v);
}

static inline vec_f64 first_lanes_f64(vec_f64 v, int n, vec_f64 other)
{
    const unsigned first = n >= 8 ? 0xffu : n <= 0 ? 0u : (1u << n) - 1u;
    return _mm512_mask_mov_pd(other, (__mmask8)first, v);
}

static inline void widen_add_f64(const double *sum, size_t n, double *N)
{
    for (size_t i = 0; i < n; i += 8)
        _mm512_storeu_pd(N + i, _mm512_add_pd(_mm512_loadu_pd(N + i), _mm512_loadu_pd(sum + i)));
}

static inline double total_f64(vec_f64 v)
{
    return _mm512_reduce_add_pd(v);
}

/* Three rounds of pairs: lanes 2i and 2i + 1, then halves of a vector against halves of the next. */
static inline vec_f64 lane_sums_f64(const vec_f64 *v)
{
    vec_f64 pair[4], half[2];
    for (size_t i = 0; i < 4; i++)
        pair[i] = _mm512_unpacklo_pd(v[2 * i], v[2 * i + 1]) + _mm512_unpackhi_pd(v[2 * i], v[2 * i + 1]);
    for (size_t i = 0; i < 2; i++)
        half[i] = _mm512_shuffle_f64x2(pair[2 * i], pair[2 * i + 1], 0x88) +
                  _mm512_shuffle_f64x2(pair[2 * i], pair[2 * i + 1], 0xdd);
    return _mm512_shuffle_f64x2(half[0], half[1], 0x88) + _mm512_shuffle_f64x2(half[0], half[1], 0xdd);
}

static inline vec_f64 larger_f64(vec_f64 a, vec_f64 b)
{
    return _mm512_max_pd(a, b);
}

static inline vec_f64 smaller_f64(vec_f64 a, vec_f64 b)
{
    return _mm512_min_pd(a, b);
}

static inline vec_f64 from_f32_f64(const float *at)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(at));
}

static inline void to_f32_f64(float *at, vec_f64 v)
{
    _mm256_storeu_ps(at, _mm512_cvtpd_ps(v));
}

#define SIMD_REAL double
#define SIMD_PANEL hop_panel_f64
#define SIMD_NAME(x) x##_f64
#define SIMD_WIDTH 8
#define SIMD_SLOTS 4
#define SIMD_LANES
#include "core/kernels_simd.h"

/* The tables differ in the f32 panels alone. */
#define REST                                                                                                           \
    .panel_f64 = panel_f64, .max_f64 = top_f64, .scores_f64 = scores_f64, .lanes_f32 = SWEEPS_LANES(f32, float),       \
    .lanes_f64 = SWEEPS_LANES(f64, double), .one_f32 = SWEEPS_ONE(f32, float), .one_f64 = SWEEPS_ONE(f64, double),     \
    .moment_multiply = moment_multiply, .moment_products = moment_products, .answer_row = answer_row,                  \
    .query_row = query_row, .row_sums = row_sums, .row_squares = row_squares, .row_bins = row_bins,                    \
    .scale_rows = scale_rows

#define AMX                                                                                                            \
    .run_bytes = 2 << 20, .batch_f32 = HOP_BATCH_MAX, .score_depth = 20, .reach_f32 = 60, .underflow_f32 = 0x1p-121,   \
    .scratch_f32_bytes = amx_scratch_bytes, .queries_f32_bytes = amx_queries_bytes, .queries_f32 = amx_queries

const hop_kernels hop_kernels_avx512 = {
    .isa = "avx512",
    .run_bytes = 256 << 10,
    .batch_f32 = 11 * SIMD_GROUP,
    .reach_f32 = 80,
    .underflow_f32 = 0x1p-150,
    .panel_f32 = panel_f32,
    .max_f32 = top_f32,
    .sift_f32 = sift_f32,
    REST,
};

const hop_kernels hop_kernels_amx = {
    .isa = "amx",
    .panel_f32 = amx_panel_where_it_pays,
    .max_f32 = amx_top_where_it_pays,
    .sift_f32 = amx_sift_where_it_pays,
    AMX,
    REST,
};

const hop_kernels hop_kernels_amx_tiles = {
    .isa = "amx-tiles",
    .panel_f32 = amx_panel,
    .max_f32 = amx_top,
    .sift_f32 = amx_sift,
    AMX,
    REST,
};
