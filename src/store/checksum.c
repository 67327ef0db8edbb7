/*
 * checksum.c - CRC-32C by instruction or by eight tables, and joining checksums of neighbouring stretches.
 */
#include "store/checksum.h"

#include <pthread.h>
#include <string.h>

#if defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

#define POLYNOMIAL UINT32_C(0x82f63b78)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are taken from memory as they are");

enum { TABLES = 8, WORD = 8 };

static uint32_t table[TABLES][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void fill_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
        table[0][byte] = crc;
    }
    for (int k = 1; k < TABLES; k++)
        for (int byte = 0; byte < 256; byte++)
            table[k][byte] = table[k - 1][byte] >> 8 ^ table[0][table[k - 1][byte] & 0xff];
}

uint32_t store_checksum_portable(uint32_t before, const void *bytes, size_t n)
{
    pthread_once(&table_once, fill_tables);
    const unsigned char *at = bytes;
    uint32_t crc = ~before;
    for (; n >= WORD; n -= WORD, at += WORD) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        word ^= crc;
        crc = 0;
        for (int k = 0; k < TABLES; k++)
            crc ^= table[TABLES - 1 - k][word >> 8 * k & 0xff];
    }
    for (; n > 0; n--, at++)
        crc = crc >> 8 ^ table[0][(crc ^ *at) & 0xff];
    return ~crc;
}

/* a b modulo the polynomial; bit 31 is x^0. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = UINT32_C(1) << 31; bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b & 1 ? b >> 1 ^ POLYNOMIAL : b >> 1;
    }
    return product;
}

/* x^(8 n): what n bytes behind it multiply a checksum by. */
static uint32_t power(size_t n)
{
    uint32_t out = UINT32_C(1) << 31, square = UINT32_C(1) << 23;
    for (; n; n >>= 1) {
        if (n & 1)
            out = multiply(out, square);
        square = multiply(square, square);
    }
    return out;
}

#if defined(__x86_64__)
#define TARGET __attribute__((target("sse4.2")))
#define ADD_WORD(crc, word) __builtin_ia32_crc32di(crc, word)
#define ADD_BYTE(crc, byte) __builtin_ia32_crc32qi((uint32_t)(crc), byte)
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#define TARGET
#define ADD_WORD(crc, word) __crc32cd((uint32_t)(crc), word)
#define ADD_BYTE(crc, byte) __crc32cb((uint32_t)(crc), byte)
#endif

#ifdef ADD_WORD
/* An instruction waits three cycles for the one before: three stretches side by side, joined afterwards. */
enum { STRETCHES = 3, STRETCH_BYTES = 16 << 10 };

static uint32_t over_one, over_two; /* power() of one stretch, and of two */
static pthread_once_t powers_once = PTHREAD_ONCE_INIT;

static void make_powers(void)
{
    over_one = power(STRETCH_BYTES);
    over_two = power(2 * STRETCH_BYTES);
}

static inline uint64_t word_at(const unsigned char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

TARGET static uint32_t by_instruction(uint32_t before, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    uint64_t crc = ~before;
    if (n >= STRETCHES * STRETCH_BYTES)
        pthread_once(&powers_once, make_powers);
    for (; n >= STRETCHES * STRETCH_BYTES; n -= STRETCHES * STRETCH_BYTES, at += 2 * STRETCH_BYTES) {
        uint64_t second = 0, third = 0;
        for (const unsigned char *end = at + STRETCH_BYTES; at < end; at += WORD) {
            crc = ADD_WORD(crc, word_at(at));
            second = ADD_WORD(second, word_at(at + STRETCH_BYTES));
            third = ADD_WORD(third, word_at(at + 2 * STRETCH_BYTES));
        }
        crc = multiply(over_two, (uint32_t)crc) ^ multiply(over_one, (uint32_t)second) ^ (uint32_t)third;
    }
    for (; n >= WORD; n -= WORD, at += WORD)
        crc = ADD_WORD(crc, word_at(at));
    for (; n > 0; n--, at++)
        crc = ADD_BYTE(crc, *at);
    return ~(uint32_t)crc;
}
#endif

uint32_t store_checksum(uint32_t before, const void *bytes, size_t n)
{
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("sse4.2"))
        return store_checksum_portable(before, bytes, n);
#endif
#ifdef ADD_WORD
    return by_instruction(before, bytes, n);
#else
    return store_checksum_portable(before, bytes, n);
#endif
}

uint32_t store_checksum_join(uint32_t first, uint32_t second, size_t second_bytes)
{
    /* first moves x^(8 n) up; what complementing adds to both cancels. */
    return multiply(power(second_bytes), first) ^ second;
}
