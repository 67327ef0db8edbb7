/*
 * bandwidth.c - a streaming sum. As in peak.c the loop follows the CPU, not the kernels in use.
 */
#include "bench/bandwidth.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/team.h"
#include "bench/hopbench.h"
#include "core/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { RUNS = 5, LINE = 64 };
static const size_t huge_page = (size_t)2 << 20, least_bytes = (size_t)1 << 30;

/* Integer sums: a load and an addition, no latency worth hiding, no denormals. n is a multiple of 8 lines. */
typedef uint64_t (*stream)(const char *bytes, size_t n);

#define STREAM(name, target_isa, vec, load, zero, add, first)                                                          \
    __attribute__((target_isa)) static uint64_t name(const char *bytes, size_t n)                                      \
    {                                                                                                                  \
        enum { STEP = 8 };                                                                                             \
        vec sum[STEP];                                                                                                 \
        for (int s = 0; s < STEP; s++)                                                                                 \
            sum[s] = zero();                                                                                           \
        for (size_t i = 0; i < n; i += STEP * sizeof(vec))                                                             \
            for (int s = 0; s < STEP; s++)                                                                             \
                sum[s] = add(sum[s], load((const void *)(bytes + i + (size_t)s * sizeof(vec))));                       \
        for (int s = 1; s < STEP; s++)                                                                                 \
            sum[0] = add(sum[0], sum[s]);                                                                              \
        return first(sum[0]);                                                                                          \
    }

#if defined(__x86_64__)
#define FIRST_512(x) ((uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(x)))
#define FIRST_256(x) ((uint64_t)_mm_cvtsi128_si64(_mm256_castsi256_si128(x)))
STREAM(stream_avx512, target("avx512f"), __m512i, _mm512_load_si512, _mm512_setzero_si512, _mm512_add_epi64, FIRST_512)
STREAM(stream_avx2, target("avx2"), __m256i, _mm256_load_si256, _mm256_setzero_si256, _mm256_add_epi64, FIRST_256)
#endif

typedef uint64_t plain __attribute__((vector_size(16)));
#define PLAIN_LOAD(p) (*(const plain *)(p))
#define PLAIN_ZERO() ((plain){0, 0})
#define PLAIN_ADD(a, b) ((a) + (b))
#define PLAIN_FIRST(x) ((x)[0])
STREAM(stream_plain, unused, plain, PLAIN_LOAD, PLAIN_ZERO, PLAIN_ADD, PLAIN_FIRST)

static stream widest(void)
{
#if defined(__x86_64__)
    if (hop_cpu_runs_avx512())
        return stream_avx512;
    if (hop_cpu_runs_avx2())
        return stream_avx2;
#endif
    return stream_plain;
}

typedef struct job {
    stream run;
    char *bytes;
    size_t n; /* of one thread */
    uint64_t sum[BENCH_THREADS_MAX];
} job;

/* The thread that reads a share also touches it first. */
static void touch(void *arg, size_t i)
{
    job *j = arg;
    memset(j->bytes + i * j->n, 1, j->n);
}

static void read_share(void *arg, size_t i)
{
    job *j = arg;
    j->sum[i] = j->run(j->bytes + i * j->n, j->n);
}

static size_t buffer_bytes(size_t bytes_most)
{
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE), pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t bytes = cache > 0 ? 4 * (size_t)cache : 0, most = pages > 0 ? (size_t)pages / 8 * (size_t)page : SIZE_MAX;
    bytes = bytes < least_bytes ? least_bytes : bytes;
    most = most < bytes_most ? most : bytes_most;
    return bytes < most ? bytes : most;
}

double bench_read_bandwidth(unsigned threads, size_t bytes_most)
{
    job j = {.run = widest(), .n = buffer_bytes(bytes_most) / threads / huge_page * huge_page};
    size_t bytes = j.n * threads;
    if (!bytes || posix_memalign((void **)&j.bytes, huge_page, bytes) != 0)
        return (double)NAN;
    madvise(j.bytes, bytes, MADV_HUGEPAGE); /* advice: without it the pages are small */
    bench_team *team = bench_team_new(threads);
    const hop_executor *executor = bench_team_executor(team);
    double best = (double)INFINITY;
    for (int run = 0; run <= RUNS; run++) {
        void (*task)(void *, size_t) = run ? read_share : touch;
        double start = bench_seconds_now();
        if (executor)
            executor->run(executor->context, threads, task, &j);
        else
            task(&j, 0);
        if (run)
            best = fmin(best, bench_seconds_now() - start);
    }
    uint64_t sum = 0;
    for (unsigned i = 0; i < threads; i++)
        sum += j.sum[i];
    bench_team_free(team);
    free(j.bytes);
    return sum ? 1e-9 * (double)bytes / best : (double)NAN;
}
