/*
 * random.h - numbers that follow from a seed alone, the same on every machine.
 */
#ifndef BENCH_RANDOM_H
#define BENCH_RANDOM_H

#include <math.h>
#include <stdint.h>

/* splitmix64: Steele, Lea, Flood 2014 */
static inline double bench_uniform(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-53;
}

static inline double bench_normal(uint64_t *state)
{
    double u = 1 - bench_uniform(state);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * bench_uniform(state));
}

#endif
