/*
 * peak.h - the fused multiply-adds this machine does when they wait for nothing: the yardstick of hopbench's ratios.
 */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

/*
 * 1e9 floating-point operations a second (an FMA is two) of `threads` threads together, in f32 or f64: chains of FMAs
 * in registers, on the widest instruction set that the CPU runs, best of many. It reads and writes no memory.
 * Takes about a tenth of a second. 0 where threads cannot be started. Not to be called from two threads at once.
 */
double hop_peak_gflops_f32(unsigned threads);
double hop_peak_gflops_f64(unsigned threads);

#endif
