/*
 * memory.h - what the memory budget is used for, by kind: for /v1/info and the metrics.
 */
#ifndef SRV_MEMORY_H
#define SRV_MEMORY_H

#include "server/app.h"

#include <stddef.h>

typedef enum srv_memory_kind {
    /* of the current versions of all sets */
    SRV_MEMORY_MEMORIES,
    SRV_MEMORY_VALUES,
    SRV_MEMORY_IDS,
    SRV_MEMORY_LABELS,
    SRV_MEMORY_MODELS,
    SRV_MEMORY_FEATURES,
    SRV_MEMORY_SUMS,
    SRV_MEMORY_SEPARATION,
    /* of what passes */
    SRV_MEMORY_REQUESTS,
    SRV_MEMORY_ANSWERS,
    SRV_MEMORY_OTHER, /* the rest: uploads and builds under way, versions that are still read */
    SRV_MEMORY_KINDS
} srv_memory_kind;

const char *srv_memory_word(srv_memory_kind kind);

typedef struct srv_memory {
    size_t limit_bytes, reserved_bytes;
    size_t bytes[SRV_MEMORY_KINDS]; /* about: read one after the other while others charge and release */
} srv_memory;

/* Where there is no budget yet all but the limit is 0. Where a list of sets cannot be had they are `other`. */
void srv_memory_count(const srv_app *app, srv_memory *out);

#endif
