/*
 * kernels_avx2.c - the vector kernels for AVX2 with FMA: 16 registers of 8 f32 or 4 f64.
 * The shapes are in kernels_simd.h; what is proved about exp is in docs/MATH.md. Compiled with this machine's flags:
 * nothing here may run before cpu.c has said that the machine can.
 */
#include <immintrin.h>
#include <stddef.h>

/* Keeps the compiler from loading v again at each use, which would make the loops wait for the load ports. */
#define SIMD_IN_REGISTER(v) __asm__("" : "+x"(v))

/* ---- f32 ------------------------------------------------------------------------------------------------- */

typedef __m256 vec_f32;

static inline vec_f32 zero_f32(void)
{
    return _mm256_setzero_ps();
}

static inline vec_f32 load_f32(const float *at)
{
    return _mm256_loadu_ps(at);
}

static inline void store_f32(float *at, vec_f32 v)
{
    _mm256_storeu_ps(at, v);
}

static inline vec_f32 splat_f32(const float *at)
{
    return _mm256_broadcast_ss(at);
}

static inline vec_f32 fma_f32(vec_f32 a, vec_f32 b, vec_f32 c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline vec_f32 max_f32(vec_f32 a, vec_f32 b)
{
    return _mm256_max_ps(a, b);
}

static inline float largest_f32(vec_f32 v)
{
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

/* whole = t + 1.5 2^23, whose low bits are n; scale adds them to the exponent. */
static inline vec_f32 split_f32(vec_f32 t, vec_f32 *whole)
{
    const vec_f32 magic = _mm256_set1_ps(0x1.8p23f);
    *whole = _mm256_add_ps(t, magic);
    return _mm256_sub_ps(t, _mm256_sub_ps(*whole, magic));
}

static inline vec_f32 scale_f32(vec_f32 p, vec_f32 whole)
{
    __m256i shift = _mm256_slli_epi32(_mm256_castps_si256(whole), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), shift));
}

static inline vec_f32 where_least_f32(vec_f32 t, vec_f32 low, vec_f32 v)
{
    return _mm256_and_ps(_mm256_cmp_ps(t, low, _CMP_GE_OQ), v);
}

static inline unsigned which_least_f32(vec_f32 t, vec_f32 low)
{
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(t, low, _CMP_GE_OQ));
}

static inline vec_f32 first_lanes_f32(vec_f32 v, int n, vec_f32 other)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_blendv_ps(other, v, _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane)));
}

static inline void widen_add_f32(const float *sum, size_t n, double *N)
{
    for (size_t i = 0; i < n; i += 4) {
        __m256d wide = _mm256_cvtps_pd(_mm_loadu_ps(sum + i));
        _mm256_storeu_pd(N + i, _mm256_add_pd(_mm256_loadu_pd(N + i), wide));
    }
}

static inline float total_f32(vec_f32 v)
{
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

#define SIMD_REAL float
#define SIMD_PANEL hop_panel_f32
#define SIMD_NAME(x) x##_f32
#define SIMD_WIDTH 8
#define SIMD_SLOTS 2
#define SIMD_TERMS 4
#include "core/kernels_simd.h"

/* ---- f64 ------------------------------------------------------------------------------------------------- */

typedef __m256d vec_f64;

static inline vec_f64 zero_f64(void)
{
    return _mm256_setzero_pd();
}

static inline vec_f64 load_f64(const double *at)
{
    return _mm256_loadu_pd(at);
}

static inline void store_f64(double *at, vec_f64 v)
{
    _mm256_storeu_pd(at, v);
}

static inline vec_f64 splat_f64(const double *at)
{
    return _mm256_broadcast_sd(at);
}

static inline vec_f64 fma_f64(vec_f64 a, vec_f64 b, vec_f64 c)
{
    return _mm256_fmadd_pd(a, b, c);
}

static inline vec_f64 max_f64(vec_f64 a, vec_f64 b)
{
    return _mm256_max_pd(a, b);
}

static inline double largest_f64(vec_f64 v)
{
    __m128d half = _mm_max_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_max_sd(half, _mm_unpackhi_pd(half, half)));
}

/* whole = t + 1.5 2^52, whose low bits are n; scale adds them to the exponent. */
static inline vec_f64 split_f64(vec_f64 t, vec_f64 *whole)
{
    const vec_f64 magic = _mm256_set1_pd(0x1.8p52);
    *whole = _mm256_add_pd(t, magic);
    return _mm256_sub_pd(t, _mm256_sub_pd(*whole, magic));
}

static inline vec_f64 scale_f64(vec_f64 p, vec_f64 whole)
{
    __m256i shift = _mm256_slli_epi64(_mm256_castpd_si256(whole), 52);
    return _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(p), shift));
}

static inline vec_f64 where_least_f64(vec_f64 t, vec_f64 low, vec_f64 v)
{
    return _mm256_and_pd(_mm256_cmp_pd(t, low, _CMP_GE_OQ), v);
}

static inline vec_f64 first_lanes_f64(vec_f64 v, int n, vec_f64 other)
{
    const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
    return _mm256_blendv_pd(other, v, _mm256_castsi256_pd(_mm256_cmpgt_epi64(_mm256_set1_epi64x(n), lane)));
}

static inline void widen_add_f64(const double *sum, size_t n, double *N)
{
    for (size_t i = 0; i < n; i += 4)
        _mm256_storeu_pd(N + i, _mm256_add_pd(_mm256_loadu_pd(N + i), _mm256_loadu_pd(sum + i)));
}

static inline double total_f64(vec_f64 v)
{
    __m128d half = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
}

static inline vec_f64 lane_sums_f64(const vec_f64 *v)
{
    __m256d low = _mm256_hadd_pd(v[0], v[1]), high = _mm256_hadd_pd(v[2], v[3]);
    return _mm256_permute2f128_pd(low, high, 0x20) + _mm256_permute2f128_pd(low, high, 0x31);
}

static inline vec_f64 larger_f64(vec_f64 a, vec_f64 b)
{
    return _mm256_max_pd(a, b);
}

static inline vec_f64 smaller_f64(vec_f64 a, vec_f64 b)
{
    return _mm256_min_pd(a, b);
}

static inline vec_f64 from_f32_f64(const float *at)
{
    return _mm256_cvtps_pd(_mm_loadu_ps(at));
}

static inline void to_f32_f64(float *at, vec_f64 v)
{
    _mm_storeu_ps(at, _mm256_cvtpd_ps(v));
}

#define SIMD_REAL double
#define SIMD_PANEL hop_panel_f64
#define SIMD_NAME(x) x##_f64
#define SIMD_WIDTH 4
#define SIMD_SLOTS 2
#define SIMD_LANES
#define SIMD_TERMS 4
#include "core/kernels_simd.h"

const hop_kernels hop_kernels_avx2 = {
    .isa = "avx2",
    .run_bytes = 256 << 10,
    .batch_f32 = 11 * SIMD_GROUP,
    .reach_f32 = 80,
    .underflow_f32 = 0x1p-150,
    .panel_f32 = panel_f32,
    .panel_f64 = panel_f64,
    .max_f32 = top_f32,
    .max_f64 = top_f64,
    .sift_f32 = sift_f32,
    .scores_f64 = scores_f64,
    .lanes_f32 = SWEEPS_LANES(f32, float),
    .lanes_f64 = SWEEPS_LANES(f64, double),
    .one_f32 = SWEEPS_ONE(f32, float),
    .one_f64 = SWEEPS_ONE(f64, double),
    .moment_multiply = moment_multiply,
    .moment_products = moment_products,
    .answer_row = answer_row,
    .query_row = query_row,
    .row_sums = row_sums,
    .row_squares = row_squares,
    .row_bins = row_bins,
    .scale_rows = scale_rows,
};
