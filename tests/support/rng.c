/*
 * rng.c - see rng.h.
 */
#include "support/rng.h"

#include "support/check_main.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static uint64_t splitmix(uint64_t *counter)
{
    uint64_t z = *counter += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

void test_rng_init(test_rng *rng, uint64_t seed, uint64_t stream)
{
    uint64_t counter = stream;
    counter = seed ^ splitmix(&counter);
    for (size_t i = 0; i < 4; i++)
        rng->state[i] = splitmix(&counter);
}

uint64_t test_rng_next(test_rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

size_t test_rng_below(test_rng *rng, size_t n)
{
    return (size_t)(test_rng_unit(rng) * (double)n);
}

double test_rng_unit(test_rng *rng)
{
    return (double)(test_rng_next(rng) >> 11) * 0x1p-53;
}

double test_rng_between(test_rng *rng, double low, double high)
{
    return low + (high - low) * test_rng_unit(rng);
}

double test_rng_log(test_rng *rng, double low, double high)
{
    return low * pow(high / low, test_rng_unit(rng));
}

double test_rng_normal(test_rng *rng)
{
    double radius = sqrt(-2.0 * log(1.0 - test_rng_unit(rng)));
    return radius * cos(6.283185307179586 * test_rng_unit(rng));
}

uint64_t test_seed(uint64_t fallback)
{
    const char *given = getenv("HOPFIELDD_TEST_SEED");
    uint64_t seed = given && *given ? strtoull(given, NULL, 0) : fallback;
    hop_check_note("seed %" PRIu64, seed);
    return seed;
}
