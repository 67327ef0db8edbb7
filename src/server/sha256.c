/*
 * sha256.c - by way of nettle, which no other file includes: it uses the instructions that processors have for it.
 */
#include "server/sha256.h"

#include <nettle/sha2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct srv_sha256 {
    struct sha256_ctx context;
};

srv_sha256 *srv_sha256_new(void)
{
    srv_sha256 *sum = malloc(sizeof *sum);
    if (sum)
        sha256_init(&sum->context);
    return sum;
}

void srv_sha256_free(srv_sha256 *sum)
{
    free(sum);
}

void srv_sha256_add(srv_sha256 *sum, const void *bytes, size_t n)
{
    sha256_update(&sum->context, n, bytes);
}

void srv_sha256_end(srv_sha256 *sum, char out[SRV_SHA256_DIGITS + 1])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(&sum->context, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    out[SRV_SHA256_DIGITS] = '\0';
}

bool srv_sha256_valid(const char *text)
{
    return strlen(text) == SRV_SHA256_DIGITS && strspn(text, "0123456789abcdefABCDEF") == SRV_SHA256_DIGITS;
}
