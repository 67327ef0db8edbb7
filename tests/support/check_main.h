/*
 * check_main.h - the main function of every libcheck program: one suite, TAP on standard output.
 */
#ifndef TEST_CHECK_MAIN_H
#define TEST_CHECK_MAIN_H

#include <check.h>
#include <stdbool.h>

/*
 * Run the suite that make() returns and print TAP to standard output for `meson test`. argv[1], if given, is the one
 * test case to run. CK_FORK=no runs everything in this process (debuggers, sanitizers). Unless CK_DEFAULT_TIMEOUT says
 * otherwise a test may take 120 seconds: a slow machine is no failure.
 * Returns the exit status: 0 where everything passed.
 */
int hop_check_main(int argc, char **argv, Suite *(*make)(void));

/* A whole program that cannot run here: print the TAP line that says why. Returns the exit status, 0. */
__attribute__((format(printf, 1, 2))) int hop_check_skip(const char *format, ...);

/* A TAP diagnostic line "# ...", flushed, so that a forked test may print it. */
__attribute__((format(printf, 1, 2))) void hop_check_note(const char *format, ...);

/* HOPFIELDD_TEST_FAST=1: smaller sizes, for builds that run ten times slower. */
bool hop_check_fast(void);

#endif
