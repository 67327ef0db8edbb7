/*
 * sha256.h - SHA-256 (FIPS 180-4) of bytes as they pass. sha256.c is the one file that knows the library.
 */
#ifndef SRV_SHA256_H
#define SRV_SHA256_H

#include <stdbool.h>
#include <stddef.h>

enum { SRV_SHA256_DIGITS = 64 };

typedef struct srv_sha256 srv_sha256;

srv_sha256 *srv_sha256_new(void); /* NULL: no memory */
void srv_sha256_free(srv_sha256 *sum);
void srv_sha256_add(srv_sha256 *sum, const void *bytes, size_t n);

/* The sum of all bytes as lower-case hexadecimal digits and a NUL. Ends it: only srv_sha256_free() is left. */
void srv_sha256_end(srv_sha256 *sum, char out[SRV_SHA256_DIGITS + 1]);

/* True where text is such a sum, in digits of either case. */
bool srv_sha256_valid(const char *text);

#endif
