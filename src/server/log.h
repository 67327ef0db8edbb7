/*
 * log.h - lines to stderr, one write a line. With a "<N>" priority prefix (daemon(7)) unless stderr is a terminal.
 *
 * Text that came from a client is written through srv_log_sanitise(); bodies are never logged.
 */
#ifndef SRV_LOG_H
#define SRV_LOG_H

#include <stdbool.h>
#include <stddef.h>

typedef enum srv_log_level { SRV_LOG_ERROR, SRV_LOG_WARN, SRV_LOG_INFO, SRV_LOG_DEBUG } srv_log_level;

bool srv_log_level_parse(const char *word, srv_log_level *out); /* error, warn, info, debug */
const char *srv_log_level_word(srv_log_level level);
void srv_log_set_level(srv_log_level level); /* any time, any thread */
bool srv_log_enabled(srv_log_level level);

__attribute__((format(printf, 2, 3))) void srv_log(srv_log_level level, const char *format, ...);

/* Copy at most bytes - 1 bytes, everything but printable ASCII replaced by '?'; returns out. */
const char *srv_log_sanitise(const char *text, char *out, size_t bytes);

#endif
