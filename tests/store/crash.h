/*
 * crash.h - what a disk would hold if the process, or the machine, stopped after each call of the store to the system.
 *
 * Calls are sent through to a real folder, and followed: which file has which name and which bytes, now, and as of the
 * last sync of the file and of the folder. After each call that changes anything, what is left in the best case and in
 * the worst is laid out in another folder, and in mixtures: names that were not synced with bytes that were, bytes that
 * were not synced under names that were, and of several changes of names the last one alone.
 */
#ifndef TEST_STORE_CRASH_H
#define TEST_STORE_CRASH_H

#include "disk.h"

/* Follow what happens to a folder from now on; its files as they are count as synced. One thread may use the store. */
void crash_follow(const char *folder, void (*look)(void *context, const char *folder, const char *when), void *context);

/* The system's own calls again. Returns how many states were looked at. */
long crash_end(void);

#endif
