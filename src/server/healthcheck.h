/*
 * healthcheck.h - `hopfieldd healthcheck [--ready] [options]`: probe a running daemon, for container health checks.
 */
#ifndef SRV_HEALTHCHECK_H
#define SRV_HEALTHCHECK_H

/*
 * argv[0] is "healthcheck". Options and environment are the daemon's, so that the same configuration finds the same
 * address; port 0 is looked up in --port-file. One line to stdout; returns 0 (200), 1 (anything else), 64 or 78.
 */
int srv_healthcheck(int argc, char *const *argv, char *const *environment);

#endif
