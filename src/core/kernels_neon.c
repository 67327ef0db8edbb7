/*
 * kernels_neon.c - the vector kernels for NEON (Advanced SIMD) of aarch64: 32 registers of 4 f32 or 2 f64.
 * The shapes are in kernels_simd.h; what is proved about exp is in docs/MATH.md. Every aarch64 machine runs this, so it
 * needs neither flags nor a question to the CPU. Subnormals are kept: unlike that of 32-bit ARM, this NEON obeys FPCR,
 * whose bits for flushing Linux starts a process without.
 */
#include <arm_neon.h>
#include <stddef.h>

/*
 * Nothing to hold: no instruction here computes on memory, so v is not loaded twice. And a splat that is not held
 * becomes a plain load and multiplications by one element, which spares the vector units the work of spreading it.
 */
#define SIMD_IN_REGISTER(v) ((void)0)

/* ---- f32 ------------------------------------------------------------------------------------------------- */

typedef float32x4_t vec_f32;

static inline vec_f32 zero_f32(void)
{
    return vdupq_n_f32(0.0f);
}

static inline vec_f32 load_f32(const float *at)
{
    return vld1q_f32(at);
}

static inline void store_f32(float *at, vec_f32 v)
{
    vst1q_f32(at, v);
}

static inline vec_f32 splat_f32(const float *at)
{
    return vld1q_dup_f32(at);
}

static inline vec_f32 fma_f32(vec_f32 a, vec_f32 b, vec_f32 c)
{
    return vfmaq_f32(c, a, b);
}

static inline vec_f32 max_f32(vec_f32 a, vec_f32 b)
{
    return vmaxq_f32(a, b);
}

static inline float largest_f32(vec_f32 v)
{
    return vmaxvq_f32(v);
}

/* whole = t + 1.5 2^23, whose low bits are n; scale adds them to the exponent. */
static inline vec_f32 split_f32(vec_f32 t, vec_f32 *whole)
{
    const vec_f32 magic = vdupq_n_f32(0x1.8p23f);
    *whole = vaddq_f32(t, magic);
    return vsubq_f32(t, vsubq_f32(*whole, magic));
}

static inline vec_f32 scale_f32(vec_f32 p, vec_f32 whole)
{
    uint32x4_t shift = vshlq_n_u32(vreinterpretq_u32_f32(whole), 23);
    return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(p), shift));
}

static inline vec_f32 where_least_f32(vec_f32 t, vec_f32 low, vec_f32 v)
{
    return vreinterpretq_f32_u32(vandq_u32(vcgeq_f32(t, low), vreinterpretq_u32_f32(v)));
}

static inline unsigned which_least_f32(vec_f32 t, vec_f32 low)
{
    const uint32_t bits[] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgeq_f32(t, low), vld1q_u32(bits)));
}

static inline vec_f32 first_lanes_f32(vec_f32 v, int n, vec_f32 other)
{
    const int32x4_t lane = {0, 1, 2, 3};
    return vbslq_f32(vcltq_s32(lane, vdupq_n_s32(n)), v, other);
}

static inline void widen_add_f32(const float *sum, size_t n, double *N)
{
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t v = vld1q_f32(sum + i);
        vst1q_f64(N + i, vaddq_f64(vld1q_f64(N + i), vcvt_f64_f32(vget_low_f32(v))));
        vst1q_f64(N + i + 2, vaddq_f64(vld1q_f64(N + i + 2), vcvt_high_f64_f32(v)));
    }
}

static inline float total_f32(vec_f32 v)
{
    return vaddvq_f32(v);
}

#define SIMD_REAL float
#define SIMD_PANEL hop_panel_f32
#define SIMD_NAME(x) x##_f32
#define SIMD_WIDTH 4
#define SIMD_SLOTS 4
#include "core/kernels_simd.h"

/* ---- f64 ------------------------------------------------------------------------------------------------- */

typedef float64x2_t vec_f64;

static inline vec_f64 zero_f64(void)
{
    return vdupq_n_f64(0.0);
}

static inline vec_f64 load_f64(const double *at)
{
    return vld1q_f64(at);
}

static inline void store_f64(double *at, vec_f64 v)
{
    vst1q_f64(at, v);
}

static inline vec_f64 splat_f64(const double *at)
{
    return vld1q_dup_f64(at);
}

static inline vec_f64 fma_f64(vec_f64 a, vec_f64 b, vec_f64 c)
{
    return vfmaq_f64(c, a, b);
}

static inline vec_f64 max_f64(vec_f64 a, vec_f64 b)
{
    return vmaxq_f64(a, b);
}

static inline double largest_f64(vec_f64 v)
{
    return vmaxvq_f64(v);
}

/* whole = t + 1.5 2^52, whose low bits are n; scale adds them to the exponent. */
static inline vec_f64 split_f64(vec_f64 t, vec_f64 *whole)
{
    const vec_f64 magic = vdupq_n_f64(0x1.8p52);
    *whole = vaddq_f64(t, magic);
    return vsubq_f64(t, vsubq_f64(*whole, magic));
}

static inline vec_f64 scale_f64(vec_f64 p, vec_f64 whole)
{
    uint64x2_t shift = vshlq_n_u64(vreinterpretq_u64_f64(whole), 52);
    return vreinterpretq_f64_u64(vaddq_u64(vreinterpretq_u64_f64(p), shift));
}

static inline vec_f64 where_least_f64(vec_f64 t, vec_f64 low, vec_f64 v)
{
    return vreinterpretq_f64_u64(vandq_u64(vcgeq_f64(t, low), vreinterpretq_u64_f64(v)));
}

static inline vec_f64 first_lanes_f64(vec_f64 v, int n, vec_f64 other)
{
    const int64x2_t lane = {0, 1};
    return vbslq_f64(vcltq_s64(lane, vdupq_n_s64(n)), v, other);
}

static inline void widen_add_f64(const double *sum, size_t n, double *N)
{
    for (size_t i = 0; i < n; i += 2)
        vst1q_f64(N + i, vaddq_f64(vld1q_f64(N + i), vld1q_f64(sum + i)));
}

static inline double total_f64(vec_f64 v)
{
    return vaddvq_f64(v);
}

static inline vec_f64 lane_sums_f64(const vec_f64 *v)
{
    return vpaddq_f64(v[0], v[1]);
}

static inline vec_f64 larger_f64(vec_f64 a, vec_f64 b)
{
    return vbslq_f64(vcgtq_f64(a, b), a, b);
}

static inline vec_f64 smaller_f64(vec_f64 a, vec_f64 b)
{
    return vbslq_f64(vcltq_f64(a, b), a, b);
}

static inline vec_f64 from_f32_f64(const float *at)
{
    return vcvt_f64_f32(vld1_f32(at));
}

static inline void to_f32_f64(float *at, vec_f64 v)
{
    vst1_f32(at, vcvt_f32_f64(v));
}

#define SIMD_REAL double
#define SIMD_PANEL hop_panel_f64
#define SIMD_NAME(x) x##_f64
#define SIMD_WIDTH 2
#define SIMD_SLOTS 4
#define SIMD_LANES
#include "core/kernels_simd.h"

const hop_kernels hop_kernels_neon = {
    .isa = "neon",
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
