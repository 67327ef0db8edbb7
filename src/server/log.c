/*
 * log.c - one line, one write(2): lines of different threads never mix, and nothing is buffered when the process ends.
 */
#include "server/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 1024 };

static atomic_int current_level = SRV_LOG_INFO;

static const struct {
    const char *word;
    int priority; /* syslog's: 3 error, 4 warning, 6 informational, 7 debug */
} levels[] = {
    [SRV_LOG_ERROR] = {"error", 3},
    [SRV_LOG_WARN] = {"warn", 4},
    [SRV_LOG_INFO] = {"info", 6},
    [SRV_LOG_DEBUG] = {"debug", 7},
};

bool srv_log_level_parse(const char *word, srv_log_level *out)
{
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(levels[i].word, word) == 0) {
            *out = (srv_log_level)i;
            return true;
        }
    }
    return false;
}

const char *srv_log_level_word(srv_log_level level)
{
    return levels[level].word;
}

void srv_log_set_level(srv_log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

bool srv_log_enabled(srv_log_level level)
{
    return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

void srv_log(srv_log_level level, const char *format, ...)
{
    if (!srv_log_enabled(level))
        return;
    char line[LINE_BYTES];
    int head;
    if (isatty(STDERR_FILENO)) {
        struct tm utc;
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &utc);
        head = snprintf(line, sizeof line, "%02d:%02d:%02d.%03ld %-5s ", utc.tm_hour, utc.tm_min, utc.tm_sec,
                        now.tv_nsec / 1000000, levels[level].word);
    } else {
        head = snprintf(line, sizeof line, "<%d>", levels[level].priority);
    }
    size_t used = (size_t)head;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line + used, sizeof line - used - 1, format, args);
    va_end(args);
    if (n < 0)
        return;
    used += (size_t)n < sizeof line - used - 1 ? (size_t)n : sizeof line - used - 2;
    line[used++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written; /* there is nowhere else to say that stderr is gone */
}

const char *srv_log_sanitise(const char *text, char *out, size_t bytes)
{
    size_t i = 0;
    for (; text[i] && i + 1 < bytes; i++)
        out[i] = text[i] > 0x20 && text[i] < 0x7F ? text[i] : '?';
    out[i] = '\0';
    return out;
}
