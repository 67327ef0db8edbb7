/*
 * base64.c - strict base64, both ways.
 */
#include "server/base64.h"

#include "core/checked.h"
#include "server/refuse.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum { BAD = 64 };

/* Value of a character, BAD where it has none. */
static uint32_t value_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26u;
    if (c >= '0' && c <= '9')
        return c - '0' + 52u;
    return c == '+' ? 62 : c == '/' ? 63 : BAD;
}

static void fill_values(uint8_t values[256])
{
    for (unsigned c = 0; c < 256; c++)
        values[c] = (uint8_t)value_of((unsigned char)c);
}

bool srv_base64_encoded_length(size_t n, size_t *out)
{
    return hop_mul_size(n / 3 + (n % 3 > 0), 4, out);
}

static hop_status refuse_character(hop_error *error, const char *text, size_t i)
{
    unsigned char c = (unsigned char)text[i];
    if (c == '=')
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, (int64_t)i, "base64: padding before the end, at character %zu",
                          i);
    if (c > ' ' && c < 0x7f)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, (int64_t)i,
                          "base64: '%c' at character %zu is not in the alphabet", c, i);
    return srv_refuse(error, HOP_E_FORMAT, -1, -1, (int64_t)i,
                      "base64: byte value %u at character %zu is not in the alphabet", c, i);
}

hop_status srv_base64_decode(const char *text, size_t n, void *out, size_t *length, hop_error *error)
{
    uint8_t values[256];
    fill_values(values);
    for (size_t i = 0; n % 4 != 0 && i < n; i++)
        if (values[(unsigned char)text[i]] == BAD && text[i] != '=')
            return refuse_character(error, text, i);
    if (n % 4 != 0)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, (int64_t)n,
                          "base64: %zu characters, a multiple of 4 expected: padding is required", n);
    unsigned char *w = out;
    size_t padding = n == 0 || text[n - 1] != '=' ? 0 : text[n - 2] != '=' ? 1 : 2;
    size_t whole = padding > 0 ? n - 4 : n, i;
    for (i = 0; i < whole; i += 4) {
        uint32_t a = values[(unsigned char)text[i]], b = values[(unsigned char)text[i + 1]];
        uint32_t c = values[(unsigned char)text[i + 2]], d = values[(unsigned char)text[i + 3]];
        if ((a | b | c | d) & BAD)
            break;
        uint32_t bits = a << 18 | b << 12 | c << 6 | d;
        *w++ = (unsigned char)(bits >> 16);
        *w++ = (unsigned char)(bits >> 8);
        *w++ = (unsigned char)bits;
    }
    for (size_t j = i; j < n - padding && j < i + 4; j++)
        if (values[(unsigned char)text[j]] == BAD)
            return refuse_character(error, text, j);
    if (padding > 0) {
        uint32_t bits = 0;
        for (size_t j = i; j < n; j++)
            bits = bits << 6 | (j < n - padding ? values[(unsigned char)text[j]] : 0);
        /* What the padding cuts off must be 0, or two texts would mean the same bytes. */
        if (bits & (padding == 1 ? 0xffu : 0xffffu))
            return srv_refuse(error, HOP_E_FORMAT, -1, -1, (int64_t)(n - padding - 1),
                              "base64: character %zu has bits beyond the last byte", n - padding - 1);
        *w++ = (unsigned char)(bits >> 16);
        if (padding == 1)
            *w++ = (unsigned char)(bits >> 8);
    }
    *length = (size_t)(w - (unsigned char *)out);
    return HOP_OK;
}

char *srv_base64_encode(char *out, const void *bytes, size_t n)
{
    const unsigned char *s = bytes;
    for (; n > 0; n -= n < 3 ? n : 3) {
        uint32_t bits = (uint32_t)s[0] << 16 | (n > 1 ? (uint32_t)s[1] << 8 : 0) | (n > 2 ? s[2] : 0u);
        *out++ = alphabet[bits >> 18];
        *out++ = alphabet[bits >> 12 & 63];
        *out++ = n > 1 ? alphabet[bits >> 6 & 63] : '=';
        *out++ = n > 2 ? alphabet[bits & 63] : '=';
        s += 3;
    }
    return out;
}
