/*
 * check_main.c - see check_main.h. Leaves what is tested to the test files.
 */
#include "support/check_main.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int hop_check_main(int argc, char **argv, Suite *(*make)(void))
{
    /* A forked test flushes its copy of a buffered stream: keep nothing in it. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    setenv("CK_DEFAULT_TIMEOUT", "120", 0);
    SRunner *runner = srunner_create(make());
    srunner_set_tap(runner, "-");
    srunner_run(runner, NULL, argc > 1 ? argv[1] : NULL, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    int ran = srunner_ntests_run(runner);
    srunner_free(runner);
    return failed == 0 && ran > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int hop_check_skip(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("1..0 # SKIP ", stdout);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    return EXIT_SUCCESS;
}

void hop_check_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("# ", stdout);
    vprintf(format, args);
    putchar('\n');
    fflush(stdout);
    va_end(args);
}

bool hop_check_fast(void)
{
    const char *fast = getenv("HOPFIELDD_TEST_FAST");
    return fast && *fast && strcmp(fast, "0") != 0;
}
