/*
 * pace.h - whether a body comes too slowly to be waited for.
 *
 * Looked at a stretch of time at a time, not from its start: a body that came quickly at first would otherwise be owed
 * hours of trickling, while its upload keeps memory and the name of its set.
 */
#ifndef SRV_PACE_H
#define SRV_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SRV_PACE_BYTES_PER_S = 1024 };

/* Where the stretch at hand began. All zero: with the request. */
typedef struct srv_pace {
    uint64_t since_s;
    size_t received;
} srv_pace;

/* After `received` bytes in `elapsed_s` seconds, both of the whole body: was a stretch of stretch_s or more too slow? */
static inline bool srv_pace_too_slow(srv_pace *pace, size_t received, uint64_t elapsed_s, uint64_t stretch_s)
{
    uint64_t seconds = elapsed_s - pace->since_s;
    if (seconds <= stretch_s)
        return false;
    bool slow = (received - pace->received) / seconds < SRV_PACE_BYTES_PER_S;
    *pace = (srv_pace){.since_s = elapsed_s, .received = received};
    return slow;
}

#endif
