/*
 * fuzz.h - what every fuzz target shares: its entry point, and the check that ends it.
 *
 * A target parses bytes it knows nothing about. Where they parse, it writes what came out as text or bytes again,
 * parses that, and checks that both mean the same. replay.c runs a target over a corpus without libFuzzer.
 */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define FUZZ_CHECK(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* n bytes from malloc with a NUL behind them: a sanitizer sees every access beyond. */
static inline char *fuzz_copy(const void *data, size_t n)
{
    char *copy = malloc(n + 1);
    if (!copy)
        abort();
    if (n > 0)
        memcpy(copy, data, n);
    copy[n] = '\0';
    return copy;
}

#endif
