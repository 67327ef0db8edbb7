/*
 * kernel_tables.h - the tables of kernels that this machine runs, for the tests that go through all of them.
 */
#ifndef TEST_KERNEL_TABLES_H
#define TEST_KERNEL_TABLES_H

#include "core/cpu.h"
#include "core/kernels.h"

enum { KERNEL_TABLES_MAX = 5 };

/* libcheck's own asserts write to a file each time they pass; these are passed some millions of times. */
#define require(condition, ...) ((condition) ? (void)0 : ck_abort_msg(__VA_ARGS__))

/* Fills tables with the reference and every vector table that can run; returns how many. */
static inline int kernel_tables_find(const hop_kernels *tables[KERNEL_TABLES_MAX])
{
    int n = 0;
    tables[n++] = &hop_kernels_reference;
#if defined(__x86_64__)
    if (hop_cpu_runs_avx2())
        tables[n++] = &hop_kernels_avx2;
    if (hop_cpu_runs_avx512())
        tables[n++] = &hop_kernels_avx512;
    if (hop_cpu_runs_amx()) {
        tables[n++] = &hop_kernels_amx;
        tables[n++] = &hop_kernels_amx_tiles;
    }
#elif defined(__aarch64__)
    tables[n++] = &hop_kernels_neon;
#endif
    return n;
}

#endif
