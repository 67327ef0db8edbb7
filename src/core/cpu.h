/*
 * cpu.h - what this CPU and operating system can run. Which kernels that selects is decided in kernels.c.
 */
#ifndef HOP_CPU_H
#define HOP_CPU_H

#include <stdbool.h>

/*
 * Whether the CPU has the instructions that the kernels of this name are compiled with, and the operating system keeps
 * their registers across a context switch. Cost: a few CPUID instructions, some microseconds under a hypervisor.
 * Safe from any thread. Always false on other processor families.
 */
bool hop_cpu_runs_avx2(void);   /* AVX2 and FMA */
bool hop_cpu_runs_avx512(void); /* AVX-512 F, VL, DQ, BW, and what AVX2 needs */

#endif
