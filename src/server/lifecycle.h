/*
 * lifecycle.h - from a validated configuration to a clean stop: start order, signals, drain.
 */
#ifndef SRV_LIFECYCLE_H
#define SRV_LIFECYCLE_H

#include "server/config.h"

/* Exit codes of the contract (sysexits' numbers). */
enum { SRV_EXIT_OK = 0, SRV_EXIT_FAILURE = 1, SRV_EXIT_USAGE = 64, SRV_EXIT_UNAVAILABLE = 69, SRV_EXIT_CONFIG = 78 };

/*
 * Block the signals the daemon waits for, in this thread and those it starts; threads that are there already pass them
 * on to this one. Before any other thread is started.
 */
void srv_signals_block(void);

/*
 * Serve until SIGTERM or SIGINT, drain, and return the exit code. argc, argv and environment are read again on
 * SIGHUP. A second SIGTERM or SIGINT during the drain ends the process at once.
 */
int srv_lifecycle_run(const srv_config *config, int argc, char *const *argv, char *const *environment);

#endif
