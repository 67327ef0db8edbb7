/*
 * rng.h - reproducible random numbers for tests: the same on every machine and compiler.
 */
#ifndef TEST_RNG_H
#define TEST_RNG_H

#include <stddef.h>
#include <stdint.h>

/* State of one stream: xoshiro256** (Blackman and Vigna 2018), filled by splitmix64. */
typedef struct test_rng {
    uint64_t state[4];
} test_rng;

/* Streams of one seed are unrelated: give every set its own, and each can be replayed alone. */
void test_rng_init(test_rng *rng, uint64_t seed, uint64_t stream);

uint64_t test_rng_next(test_rng *rng);
size_t test_rng_below(test_rng *rng, size_t n);                  /* 0..n-1; n > 0 */
double test_rng_unit(test_rng *rng);                             /* [0, 1) */
double test_rng_between(test_rng *rng, double low, double high); /* uniform */
double test_rng_log(test_rng *rng, double low, double high);     /* log-uniform; 0 < low <= high */
double test_rng_normal(test_rng *rng);                           /* mean 0, variance 1 */

/* HOPFIELDD_TEST_SEED where it is set, else fallback; printed as a TAP diagnostic. */
uint64_t test_seed(uint64_t fallback);

#endif
