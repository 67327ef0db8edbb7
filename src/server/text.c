/*
 * text.c - the growing text buffer, and JSON strings that are valid UTF-8 whatever goes in.
 */
#include "server/text.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FIRST_CAPACITY = 256 };

void srv_text_init(srv_text *text, size_t maximum)
{
    *text = (srv_text){.maximum = maximum};
}

void srv_text_fini(srv_text *text)
{
    free(text->data);
    *text = (srv_text){0};
}

char *srv_text_reserve(srv_text *text, size_t bytes)
{
    if (text->failed)
        return NULL;
    if (bytes > text->maximum - text->used) {
        text->failed = true;
        return NULL;
    }
    size_t needed = text->used + bytes + 1; /* the NUL; maximum is far below SIZE_MAX in every use */
    if (needed > text->capacity) {
        size_t capacity = text->capacity ? text->capacity : FIRST_CAPACITY;
        while (capacity < needed)
            capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
        char *data = realloc(text->data, capacity);
        if (!data) {
            text->failed = text->no_memory = true;
            return NULL;
        }
        text->data = data;
        text->capacity = capacity;
    }
    return text->data + text->used;
}

void srv_text_commit(srv_text *text, size_t bytes)
{
    text->used += bytes;
    text->data[text->used] = '\0';
}

void srv_text_append(srv_text *text, const char *bytes, size_t n)
{
    char *room = srv_text_reserve(text, n);
    if (!room)
        return;
    if (n > 0)
        memcpy(room, bytes, n);
    srv_text_commit(text, n);
}

void srv_text_puts(srv_text *text, const char *string)
{
    srv_text_append(text, string, strlen(string));
}

void srv_text_putc(srv_text *text, char c)
{
    srv_text_append(text, &c, 1);
}

void srv_text_vprintf(srv_text *text, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0) {
        text->failed = true;
        return;
    }
    char *room = srv_text_reserve(text, (size_t)n);
    if (!room)
        return;
    vsnprintf(room, (size_t)n + 1, format, args);
    srv_text_commit(text, (size_t)n);
}

void srv_text_printf(srv_text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    srv_text_vprintf(text, format, args);
    va_end(args);
}

/*
 * Length of the valid UTF-8 sequence at s (n >= 1 bytes), 0 where there is none (RFC 3629: no surrogates, no
 * overlong).
 */
static size_t utf8_length(const unsigned char *s, size_t n)
{
    if (s[0] < 0x80)
        return 1;
    size_t length = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4 || n < length)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    }
    bool bad = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF0 && s[1] < 0x90) ||
               (s[0] == 0xF4 && s[1] > 0x8F);
    return bad ? 0 : length;
}

void srv_text_json_string_n(srv_text *text, const char *bytes, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *s = (const unsigned char *)bytes;
    srv_text_putc(text, '"');
    size_t plain = 0; /* bytes[plain..i) go out as they are */
    for (size_t i = 0; i < n;) {
        size_t length = utf8_length(s + i, n - i);
        char escape[8];
        const char *instead = NULL;
        if (length == 0) {
            instead = "\xEF\xBF\xBD"; /* U+FFFD */
            length = 1;
        } else if (s[i] == '"' || s[i] == '\\') {
            escape[0] = '\\';
            escape[1] = (char)s[i];
            escape[2] = '\0';
            instead = escape;
        } else if (s[i] < 0x20 || s[i] == 0x7F) {
            memcpy(escape, "\\u00", 4);
            escape[4] = hex[s[i] >> 4];
            escape[5] = hex[s[i] & 15];
            escape[6] = '\0';
            instead = escape;
        }
        if (instead) {
            srv_text_append(text, bytes + plain, i - plain);
            srv_text_puts(text, instead);
            plain = i + length;
        }
        i += length;
    }
    srv_text_append(text, bytes + plain, n - plain);
    srv_text_putc(text, '"');
}

void srv_text_json_string(srv_text *text, const char *string)
{
    if (string)
        srv_text_json_string_n(text, string, strlen(string));
    else
        srv_text_puts(text, "null");
}

void srv_text_json_number(srv_text *text, double value)
{
    if (!isfinite(value)) {
        srv_text_puts(text, "null");
        return;
    }
    char digits[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    srv_text_puts(text, digits);
}

void srv_text_json_time(srv_text *text, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    char written[32];
    gmtime_r(&seconds, &utc);
    strftime(written, sizeof written, "%Y-%m-%dT%H:%M:%S", &utc);
    srv_text_printf(text, "\"%s.%03dZ\"", written, (int)(ms % 1000));
}
