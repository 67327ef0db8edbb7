/*
 * text.h - a growing text buffer with a maximum from birth: the one way this room writes JSON, metrics and logs.
 *
 * Errors are sticky: after a failed append (over the maximum, or no memory) the text is marked `failed`, further
 * appends do nothing, and the owner asks once at the end. A text belongs to one thread at a time.
 */
#ifndef SRV_TEXT_H
#define SRV_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct srv_text {
    char *data; /* used bytes, then a NUL when data is not NULL */
    size_t used;
    size_t capacity; /* bytes allocated */
    size_t maximum;  /* used never exceeds it */
    bool failed;     /* an append did not fit */
    bool no_memory;  /* ... because memory is out, not because of the maximum */
} srv_text;

void srv_text_init(srv_text *text, size_t maximum);
void srv_text_fini(srv_text *text); /* takes zeroed texts */

/*
 * Room for `bytes` more: a pointer to them, or NULL with `failed` set. Write at most that many there, then say how
 * many with srv_text_commit(). For writers with a worst-case size (numbers).
 */
char *srv_text_reserve(srv_text *text, size_t bytes);
void srv_text_commit(srv_text *text, size_t bytes);

void srv_text_append(srv_text *text, const char *bytes, size_t n);
void srv_text_puts(srv_text *text, const char *string);
void srv_text_putc(srv_text *text, char c);
__attribute__((format(printf, 2, 3))) void srv_text_printf(srv_text *text, const char *format, ...);
__attribute__((format(printf, 2, 0))) void srv_text_vprintf(srv_text *text, const char *format, va_list args);

/*
 * A JSON string, quotes included, from n bytes of anything: control characters are escaped, and every byte that is
 * not part of valid UTF-8 becomes U+FFFD, so that the document stays valid whatever a client sent.
 */
void srv_text_json_string_n(srv_text *text, const char *bytes, size_t n);
void srv_text_json_string(srv_text *text, const char *string); /* NULL: null */

/* A moment in UTC, "2026-11-22T17:01:03.533Z" with its quotes, from milliseconds since 1970. */
void srv_text_json_time(srv_text *text, int64_t ms);

/* A JSON number that reads back to the same f64; NaN and infinities are null. */
void srv_text_json_number(srv_text *text, double value);

#endif
