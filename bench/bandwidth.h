/*
 * bandwidth.h - what this machine's memory delivers to loads: the yardstick of hopbench dense-single.
 */
#ifndef BENCH_BANDWIDTH_H
#define BENCH_BANDWIDTH_H

#include <stddef.h>

/*
 * 1e9 bytes a second that `threads` threads together read once, summing with the widest loads that the CPU has; best of
 * five. The buffer is four times the last cache (1 GiB at least; an eighth of the machine's memory and bytes_most at
 * most), in huge pages where the system gives them. Takes some seconds. NaN where there is no memory for it, or
 * bytes_most is less than 2 MiB a thread.
 */
double bench_read_bandwidth(unsigned threads, size_t bytes_most);

#endif
