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

/*
 * AMX TILE, BF16, and what AVX-512 needs. Linux keeps tiles only for a process that has asked for it: this asks, for
 * all threads that there are and will be. Where the kernel, a filter of system calls, or the size of some thread's
 * alternate signal stack forbids it the answer is false, and nothing has changed.
 */
bool hop_cpu_runs_amx(void);

#endif
