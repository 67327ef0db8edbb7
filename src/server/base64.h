/*
 * base64.h - RFC 4648 section 4, strictly: the standard alphabet, padding, no white space, no stray bits.
 */
#ifndef SRV_BASE64_H
#define SRV_BASE64_H

#include "core/hopfield.h"

/* Most bytes that n characters can stand for. */
static inline size_t srv_base64_decoded_max(size_t n)
{
    return n / 4 * 3;
}

/* Characters for n bytes; false where that overflows. */
bool srv_base64_encoded_length(size_t n, size_t *out);

/*
 * srv_base64_decode() - n characters to *length bytes at out (room for srv_base64_decoded_max(n)).
 * HOP_E_FORMAT names the first bad character by its index (error->byte) and what is wrong with it. out may not
 * overlap text.
 */
HOP_WARN_UNUSED hop_status srv_base64_decode(const char *text, size_t n, void *out, size_t *length, hop_error *error);

/* Writes srv_base64_encoded_length(n) characters, no NUL; returns the end. */
char *srv_base64_encode(char *out, const void *bytes, size_t n);

#endif
