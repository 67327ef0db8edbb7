/*
 * power.h - a disk that loses its power: what the store does to a folder is noted call by call, and any state can be
 * made that a loss of power after one of these calls may leave.
 *
 * What a sync(2) came back for is there: of a file its bytes, of the folder the names. Of later writes each may be
 * there, in part, or not; of later names (made, renamed, removed) the first few, as file systems with a journal keep
 * their order, or, where asked for, any.
 */
#ifndef TEST_STORE_POWER_H
#define TEST_STORE_POWER_H

#include "support/rng.h"

#include <stdbool.h>
#include <stddef.h>

/* What of the calls that were not synced is there. */
typedef enum power_loss {
    POWER_ALL,     /* everything: a kill of the process */
    POWER_NOTHING, /* only what was synced */
    POWER_SOME,    /* any part of the writes, the first few names */
    POWER_ANY,     /* any part of the writes, any of the names */
    POWER_LOSSES
} power_loss;

/* From now on calls of the store are noted, on any thread, until power_off(). The folder is empty. */
void power_on(void);
void power_off(void);

/* How many calls have changed something so far. */
size_t power_calls(void);

/* What that call was, for messages. Valid until power_free(). */
const char *power_call(size_t number);

/* A state after the first n calls, in an empty folder. Takes no notice of calls. */
void power_restore(const char *folder, size_t n, power_loss loss, test_rng *rng);

void power_free(void);

#endif
