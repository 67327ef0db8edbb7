/*
 * splitmix.h - numbers that look random and are the same everywhere: splitmix64 (Steele, Lea and Flood, "Fast
 * Splittable Pseudorandom Number Generators", 2014, with the constants of Vigna's splitmix64). Number n = 1, 2, ... of
 * the stream that starts from `state` is hop_mix64(state + n HOP_MIX_STEP).
 */
#ifndef HOP_SPLITMIX_H
#define HOP_SPLITMIX_H

#include <stdint.h>

#define HOP_MIX_STEP UINT64_C(0x9e3779b97f4a7c15)

/* A bijection of 64-bit numbers in which every bit of z reaches every bit of the result. */
static inline uint64_t hop_mix64(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#endif
