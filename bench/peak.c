/*
 * peak.c - register-only FMA loops. The choice among them follows the CPU, not the kernels in use, so that a forced
 * plainer table is measured against the same yardstick.
 */
#include "bench/peak.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include "core/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum {
    CHAINS = 12,      /* independent, and more than latency times throughput; AVX2 has 16 registers */
    UNROLL = 8,       /* steps of every chain between two branches, which would take the FMAs' ports */
    ROUNDS = 1200000, /* steps of a burst: about 2 ms, seldom interrupted */
    BURSTS = 25       /* so that one meets no other process */
};

#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#endif

typedef struct peak_loop {
    double (*run)(void); /* returns something that depends on every chain */
    size_t width;        /* elements of a vector */
} peak_loop;

/* x -> 0.75 x + 0.25 stays at 1, far from subnormals, and the compiler cannot know it: 0.75 comes from memory. */
static volatile float factor = 0.75f, offset = 0.25f;

#define BURST(name, target_isa, vec, set, fma, to_sum)                                                                 \
    __attribute__((target_isa)) static double name(void)                                                               \
    {                                                                                                                  \
        vec chain[CHAINS], a = set(factor), b = set(offset);                                                           \
        UNROLLED                                                                                                       \
        for (int c = 0; c < CHAINS; c++)                                                                               \
            chain[c] = set(factor + (float)c);                                                                         \
        for (int round = 0; round < ROUNDS / UNROLL; round++) {                                                        \
            UNROLLED                                                                                                   \
            for (int u = 0; u < UNROLL; u++) {                                                                         \
                UNROLLED                                                                                               \
                for (int c = 0; c < CHAINS; c++)                                                                       \
                    chain[c] = fma(chain[c], a, b);                                                                    \
            }                                                                                                          \
        }                                                                                                              \
        double sum = 0.0;                                                                                              \
        UNROLLED                                                                                                       \
        for (int c = 0; c < CHAINS; c++)                                                                               \
            sum += (double)to_sum(chain[c]);                                                                           \
        return sum;                                                                                                    \
    }

#if defined(__x86_64__)
BURST(avx512_f32, target("avx512f"), __m512, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_reduce_add_ps)
BURST(avx512_f64, target("avx512f"), __m512d, _mm512_set1_pd, _mm512_fmadd_pd, _mm512_reduce_add_pd)
BURST(avx2_f32, target("avx2,fma"), __m256, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_cvtss_f32)
BURST(avx2_f64, target("avx2,fma"), __m256d, _mm256_set1_pd, _mm256_fmadd_pd, _mm256_cvtsd_f64)
#endif

#if defined(__aarch64__)
#define NEON_SET_F64(x) vdupq_n_f64((double)(x))
#define NEON_FMA_F32(x, a, b) vfmaq_f32(b, x, a)
#define NEON_FMA_F64(x, a, b) vfmaq_f64(b, x, a)
BURST(neon_f32, unused, float32x4_t, vdupq_n_f32, NEON_FMA_F32, vaddvq_f32)
BURST(neon_f64, unused, float64x2_t, NEON_SET_F64, NEON_FMA_F64, vaddvq_f64)
#else
/* Four lanes, which is what the baseline of every processor family we build for has. */
typedef float plain_f32 __attribute__((vector_size(16)));
typedef double plain_f64 __attribute__((vector_size(16)));
#define PLAIN_SET_F32(x) ((plain_f32){(x), (x), (x), (x)})
#define PLAIN_SET_F64(x) ((plain_f64){(double)(x), (double)(x)})
#define PLAIN_FMA(x, a, b) ((x) * (a) + (b))
#define PLAIN_FIRST(x) ((x)[0])
BURST(plain_burst_f32, unused, plain_f32, PLAIN_SET_F32, PLAIN_FMA, PLAIN_FIRST)
BURST(plain_burst_f64, unused, plain_f64, PLAIN_SET_F64, PLAIN_FMA, PLAIN_FIRST)
#endif

/* The widest loops that this CPU runs. */
typedef struct peak_loops {
    peak_loop f32, f64;
} peak_loops;

static const peak_loops *widest(void)
{
#if defined(__aarch64__)
    static const peak_loops plain = {{neon_f32, 4}, {neon_f64, 2}};
#else
    static const peak_loops plain = {{plain_burst_f32, 4}, {plain_burst_f64, 2}};
#endif
#if defined(__x86_64__)
    static const peak_loops avx2 = {{avx2_f32, 8}, {avx2_f64, 4}}, avx512 = {{avx512_f32, 16}, {avx512_f64, 8}};
    if (hop_cpu_runs_avx512())
        return &avx512;
    if (hop_cpu_runs_avx2())
        return &avx2;
#endif
    return &plain;
}

/* What a team of workers shares. The gate is shut until it is known whether all of them could be started. */
typedef struct team {
    const peak_loop *loop;
    pthread_mutex_t gate;
    bool called_off;
    pthread_barrier_t barrier;
} team;

typedef struct worker {
    pthread_t thread;
    team *shared;
    double start[BURSTS], end[BURSTS], sink;
} worker;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *work(void *arg)
{
    worker *self = arg;
    team *shared = self->shared;
    pthread_mutex_lock(&shared->gate);
    const bool called_off = shared->called_off;
    pthread_mutex_unlock(&shared->gate);
    if (called_off)
        return NULL;
    self->sink = shared->loop->run(); /* wakes the wide units and their clock */
    for (int i = 0; i < BURSTS; i++) {
        pthread_barrier_wait(&shared->barrier);
        self->start[i] = seconds();
        self->sink += shared->loop->run();
        self->end[i] = seconds();
    }
    return NULL;
}

/* From the first start to the last end of the best burst. */
static double best_gflops(const worker *workers, unsigned threads)
{
    const double operations =
        2.0 * CHAINS * (double)(ROUNDS / UNROLL * UNROLL) * (double)workers->shared->loop->width * threads;
    double best = 0.0;
    for (int i = 0; i < BURSTS; i++) {
        double start = workers[0].start[i], end = workers[0].end[i];
        for (unsigned t = 1; t < threads; t++) {
            start = workers[t].start[i] < start ? workers[t].start[i] : start;
            end = workers[t].end[i] > end ? workers[t].end[i] : end;
        }
        double gflops = 1e-9 * operations / (end - start);
        best = gflops > best ? gflops : best;
    }
    return best;
}

/* The caller is the first worker. */
static double measure(const peak_loop *loop, unsigned threads)
{
    team shared = {.loop = loop, .gate = PTHREAD_MUTEX_INITIALIZER};
    worker *workers = threads ? calloc(threads, sizeof *workers) : NULL;
    if (!workers || pthread_barrier_init(&shared.barrier, NULL, threads)) {
        free(workers);
        return 0.0;
    }
    pthread_mutex_lock(&shared.gate);
    for (unsigned t = 0; t < threads; t++)
        workers[t].shared = &shared;
    unsigned started = 1;
    while (started < threads && !pthread_create(&workers[started].thread, NULL, work, &workers[started]))
        started++;
    shared.called_off = started < threads;
    pthread_mutex_unlock(&shared.gate);
    work(&workers[0]);
    for (unsigned t = 1; t < started; t++)
        pthread_join(workers[t].thread, NULL);
    const double gflops = shared.called_off ? 0.0 : best_gflops(workers, threads);
    pthread_barrier_destroy(&shared.barrier);
    free(workers);
    return gflops;
}

double hop_peak_gflops_f32(unsigned threads)
{
    return measure(&widest()->f32, threads);
}

double hop_peak_gflops_f64(unsigned threads)
{
    return measure(&widest()->f64, threads);
}
