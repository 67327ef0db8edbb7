/*
 * cpu.c - CPUID and XCR0. Compiled for the plain machine: it runs before anything is known about the real one.
 */
#include "core/cpu.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <stdint.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* State the operating system must save: XMM and YMM; for AVX-512 also mask registers and both halves of ZMM. */
enum { XCR0_AVX = 0x06, XCR0_AVX512 = 0xe6 };

/* Leaf 1 ECX and leaf 7 EBX, from the vendors' manuals. */
enum { FMA = 1u << 12, OSXSAVE = 1u << 27, AVX = 1u << 28 };
enum { AVX2 = 1u << 5, AVX512F = 1u << 16, AVX512DQ = 1u << 17, AVX512BW = 1u << 30 };
static const uint32_t avx512vl = UINT32_C(1) << 31; /* does not fit an int, so not an enumerator */

static bool runs(uint32_t leaf1_ecx, uint32_t leaf7_ebx, uint32_t state)
{
    uint32_t eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || (ecx & leaf1_ecx) != leaf1_ecx)
        return false;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || (ebx & leaf7_ebx) != leaf7_ebx)
        return false;
    uint32_t saved, high;
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0)); /* legal: OSXSAVE was among leaf1_ecx */
    return (saved & state) == state;
}

bool hop_cpu_runs_avx2(void)
{
    return runs(OSXSAVE | AVX | FMA, AVX2, XCR0_AVX);
}

bool hop_cpu_runs_avx512(void)
{
    return runs(OSXSAVE | AVX | FMA, AVX2 | AVX512F | AVX512DQ | AVX512BW | avx512vl, XCR0_AVX512);
}

#if defined(__linux__)

bool hop_cpu_runs_amx(void)
{
    enum { BF16 = 1u << 22, TILE = 1u << 24, XCR0_TILES = 0x60000, PALETTES = 0x1d, TILES = 8, ROWS = 16, ROW = 64 };
    enum { ASK_FOR_STATE = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM, which older headers lack */
    uint32_t eax, ebx, ecx, edx;
    if (!hop_cpu_runs_avx512() || !runs(OSXSAVE, 0, XCR0_TILES) || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) ||
        (~edx & (BF16 | TILE)) || !__get_cpuid_count(PALETTES, 1, &eax, &ebx, &ecx, &edx) || ebx >> 16 < TILES ||
        (ebx & 0xffff) < ROW || (ecx & 0xffff) < ROWS)
        return false;
    return syscall(SYS_arch_prctl, ASK_FOR_STATE, TILE_DATA) == 0;
}

#else

bool hop_cpu_runs_amx(void)
{
    return false;
}

#endif

#else

bool hop_cpu_runs_amx(void)
{
    return false;
}

bool hop_cpu_runs_avx2(void)
{
    return false;
}

bool hop_cpu_runs_avx512(void)
{
    return false;
}

#endif
