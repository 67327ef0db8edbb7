/*
 * main.c - parse, set up, run, tear down.
 */
#include "server/config.h"
#include "server/healthcheck.h"
#include "server/lifecycle.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int fail(hop_status status, const char *text)
{
    fprintf(stderr, "hopfieldd: %s\n", text);
    return status == HOP_E_UNKNOWN ? SRV_EXIT_USAGE : SRV_EXIT_CONFIG;
}

static int print_help(void)
{
    srv_text help;
    srv_text_init(&help, 65536);
    srv_config_write_help(&help);
    if (!help.failed)
        fputs(help.data, stdout);
    srv_text_fini(&help);
    return SRV_EXIT_OK;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "healthcheck") == 0)
        return srv_healthcheck(argc - 1, argv + 1, environ);
    srv_signals_block();
    static srv_config config; /* large, and lives as long as the process */
    hop_error error = HOP_ERROR_NONE;
    hop_status status = srv_config_load(argc, argv, environ, &config, &error);
    if (status != HOP_OK)
        return fail(status, error.text);
    if (config.help)
        return print_help();
    if (config.version) {
        printf("hopfieldd %s\n", HOPFIELDD_VERSION);
        return SRV_EXIT_OK;
    }
    if (config.check_config) {
        if (hop_isa_choose(config.isa, &error) != HOP_OK) {
            fprintf(stderr, "hopfieldd: %s: %s\n", config.isa_from, error.text);
            return SRV_EXIT_CONFIG;
        }
        printf("the configuration is valid\n");
        return SRV_EXIT_OK;
    }
    return srv_lifecycle_run(&config, argc, argv, environ);
}
