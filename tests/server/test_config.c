/*
 * test_config.c - options from their four sources, what is refused and what the message names.
 */
#include "server/config.h"
#include "support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 16 };

static hop_error error;

/* Load from a command line of space-separated words and an environment of the same form. */
static hop_status load(const char *words, const char *variables, srv_config *out)
{
    static char line[2][4096];
    char *list[2][WORDS_MAX] = {{NULL}};
    const char *texts[2] = {words, variables};
    int counts[2] = {0};
    for (int which = 0; which < 2; which++) {
        snprintf(line[which], sizeof line[which], "%s", texts[which]);
        for (char *save = NULL, *word = strtok_r(line[which], " ", &save); word; word = strtok_r(NULL, " ", &save))
            list[which][counts[which]++] = word;
    }
    static char home[] = "HOME=/home/nobody"; /* sets have to go somewhere */
    ck_assert_int_lt(counts[1], WORDS_MAX - 1);
    list[1][counts[1]++] = home;
    char *argv[WORDS_MAX + 1] = {(char *)(uintptr_t) "hopfieldd"};
    memcpy(argv + 1, list[0], sizeof list[0]);
    error = HOP_ERROR_NONE;
    return srv_config_load(counts[0] + 1, argv, list[1], out, &error);
}

/* A config file in the current folder, with the given text. */
static const char *write_file(const char *text)
{
    static char path[64];
    snprintf(path, sizeof path, "test-config-%ld.conf", (long)getpid());
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    return path;
}

START_TEST(defaults_of_the_contract)
{
    srv_config config;
    ck_assert_int_eq(load("", "PATH=/bin HOPFIELDD_UNRELATED=1", &config), HOP_OK);
    ck_assert_str_eq(config.host, "127.0.0.1");
    ck_assert_uint_eq(config.port, 4520);
    ck_assert(config.loopback);
    ck_assert_uint_eq(config.query_body_limit_bytes, 64u << 20);
    ck_assert_uint_eq(config.response_limit_bytes, 256u << 20);
    ck_assert_uint_eq(config.max_batch, 65536);
    ck_assert_uint_eq(config.request_deadline_ms, 30000);
    ck_assert_uint_eq(config.connections, 1024);
    ck_assert_uint_eq(config.drain_timeout_ms, 8000);
    ck_assert(config.calibrate);
    ck_assert_str_eq(config.cost_cache, "");
    ck_assert_uint_ge(config.workers, 1);
    ck_assert_uint_eq(config.workers, srv_cpu_quota());
    ck_assert_uint_eq(config.memory_budget_bytes, srv_memory_limit_bytes() / 5 * 4);
    ck_assert_int_eq((int)config.log_level, SRV_LOG_INFO);
    ck_assert_str_eq(config.isa, "auto");
}
END_TEST

START_TEST(sets_are_kept_where_the_environment_says)
{
    static const struct {
        const char *words, *variables, *folder;
    } cases[] = {
        {"", "", "/home/nobody/.local/state/hopfieldd"},
        {"", "XDG_STATE_HOME=/x", "/x/hopfieldd"},
        {"", "XDG_STATE_HOME=relative", "/home/nobody/.local/state/hopfieldd"},
        {"", "XDG_STATE_HOME=/x STATE_DIRECTORY=/s:/t", "/s"},
        {"", "STATE_DIRECTORY=/s HOPFIELDD_DATA_DIR=/d", "/d"},
        {"--data-dir /c", "STATE_DIRECTORY=/s HOPFIELDD_DATA_DIR=/d", "/c"},
        {"--no-persist", "STATE_DIRECTORY=/s", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        srv_config config;
        ck_assert_msg(load(cases[i].words, cases[i].variables, &config) == HOP_OK, "%s", error.text);
        ck_assert_str_eq(config.data_dir, cases[i].folder);
        ck_assert_int_eq(config.no_persist, i == 6);
    }
    hop_error nowhere = HOP_ERROR_NONE;
    srv_config config;
    char *argv[] = {(char *)(uintptr_t) "hopfieldd", NULL};
    ck_assert_int_eq(srv_config_load(1, argv, NULL, &config, &nowhere), HOP_E_DOMAIN);
    ck_assert_ptr_nonnull(strstr(nowhere.text, "--no-persist"));
}
END_TEST

START_TEST(costs_and_packing_can_be_chosen)
{
    srv_config config;
    ck_assert_int_eq(load("--calibrate=off --cost-cache costs", "", &config), HOP_OK);
    ck_assert(!config.calibrate);
    ck_assert_str_eq(config.cost_cache, "costs");
    ck_assert_int_eq(load("--cost-cache=--costs", "", &config), HOP_OK);
    ck_assert_str_eq(config.cost_cache, "--costs");
    ck_assert_int_eq(load("", "HOPFIELDD_CALIBRATE=off HOPFIELDD_COST_CACHE=c", &config), HOP_OK);
    ck_assert(!config.calibrate);
    ck_assert_str_eq(config.cost_cache, "c");
    ck_assert_int_eq(load("--calibrate=sometimes", "", &config), HOP_E_DOMAIN);
    ck_assert(config.packing == HOP_PACK_FULL);
    ck_assert_uint_eq(config.map_bytes, 0);
    ck_assert_double_eq(config.map_build_seconds, 10);
    ck_assert_int_eq(load("--map-bytes 3M --map-build-seconds 0.5", "", &config), HOP_OK);
    ck_assert_uint_eq(config.map_bytes, 3u << 20);
    ck_assert_double_eq(config.map_build_seconds, 0.5);
    ck_assert_int_eq(load("--packing keys", "", &config), HOP_OK);
    ck_assert(config.packing == HOP_PACK_KEYS);
    ck_assert_int_eq(load("--packing some", "", &config), HOP_E_DOMAIN);
}
END_TEST

START_TEST(precedence_is_command_line_environment_file)
{
    srv_config config;
    const char *path = write_file("# comment\n\n workers = 3\nmax-batch=100\n  log-level =  warn \nconnections = 7\n");
    char words[256];
    snprintf(words, sizeof words, "--config %s --workers=5", path);
    ck_assert_int_eq(load(words, "HOPFIELDD_WORKERS=4 HOPFIELDD_MAX_BATCH=200", &config), HOP_OK);
    ck_assert_uint_eq(config.workers, 5);
    ck_assert_uint_eq(config.max_batch, 200);
    ck_assert_uint_eq(config.connections, 7);
    ck_assert_int_eq((int)config.log_level, SRV_LOG_WARN);

    /* Who chose the kernels is kept for the message of a machine without them. */
    ck_assert_str_eq(config.isa_from, "isa");
    write_file("isa = none\n");
    snprintf(words, sizeof words, "--config %s", path);
    ck_assert_int_eq(load(words, "", &config), HOP_OK);
    ck_assert_ptr_nonnull(strstr(config.isa_from, ".conf:1: isa"));
    ck_assert_int_eq(load(words, "HOPFIELDD_ISA=avx2", &config), HOP_OK);
    ck_assert_str_eq(config.isa_from, "HOPFIELDD_ISA");
    ck_assert_int_eq(load("--isa avx512", "HOPFIELDD_ISA=avx2", &config), HOP_OK);
    ck_assert_str_eq(config.isa_from, "--isa");
    write_file("workers = 3\n");

    /* The file may come from the environment too, and its level can be read again alone. */
    char variable[256];
    snprintf(variable, sizeof variable, "HOPFIELDD_CONFIG=%s", path);
    ck_assert_int_eq(load("", variable, &config), HOP_OK);
    ck_assert_uint_eq(config.workers, 3);
    write_file("log-level = debug\n");
    static char home[] = "HOME=/home/nobody";
    char *environment[] = {variable, home, NULL};
    char *argv[] = {(char *)(uintptr_t) "hopfieldd", NULL};
    srv_log_level level;
    ck_assert_int_eq(srv_config_reload_level(1, argv, environment, &level, &error), HOP_OK);
    ck_assert_int_eq((int)level, SRV_LOG_DEBUG);
    unlink(path);
}
END_TEST

static const struct {
    const char *words, *variables;
    hop_status status;
    const char *names; /* in the message */
} refused[] = {
    {"--betta 1", "", HOP_E_UNKNOWN, "--betta"},
    {"serve", "", HOP_E_UNKNOWN, "serve"},
    {"--workers", "", HOP_E_UNKNOWN, "--workers"},
    {"--cost-cache --check-config", "", HOP_E_UNKNOWN, "--cost-cache needs a value"},
    {"--workers --help", "", HOP_E_UNKNOWN, "--workers needs a value"},
    {"--workers 0", "", HOP_E_DOMAIN, "--workers"},
    {"--workers two", "", HOP_E_DOMAIN, "'two'"},
    {"--workers 1.5", "", HOP_E_DOMAIN, "whole"},
    {"--workers -1", "", HOP_E_DOMAIN, "'-1'"},
    {"--workers 1e2", "", HOP_E_DOMAIN, "'1e2'"},
    {"--memory-budget 1X", "", HOP_E_DOMAIN, "'1X'"},
    {"--memory-budget 1k", "", HOP_E_DOMAIN, "outside"},
    {"--query-body-limit 99999999999999999999", "", HOP_E_DOMAIN, "--query-body-limit"},
    {"--no-persist=maybe", "", HOP_E_DOMAIN, "maybe"},
    {"--calibrate=maybe", "", HOP_E_DOMAIN, "on, off"},
    {"--map-build-seconds -1", "", HOP_E_DOMAIN, "0 to 86400"},
    {"--map-build-seconds inf", "", HOP_E_DOMAIN, "0 to 86400"},
    {"--map-build-seconds 1e9", "", HOP_E_DOMAIN, "0 to 86400"},
    {"--log-level loud", "", HOP_E_DOMAIN, "loud"},
    {"", "HOPFIELDD_LOG_LEVEL=loud", HOP_E_DOMAIN, "HOPFIELDD_LOG_LEVEL"},
    {"--listen 4520", "", HOP_E_DOMAIN, "4520"},
    {"--listen example.org:80", "", HOP_E_DOMAIN, "example.org"},
    {"--listen 127.0.0.1:65536", "", HOP_E_DOMAIN, "65536"},
    {"--listen ::1:80", "", HOP_E_DOMAIN, "::1:80"},
    {"--listen 0.0.0.0:4520", "", HOP_E_DOMAIN, "--insecure"},
    {"--listen [::]:4520", "", HOP_E_DOMAIN, "--insecure"},
    {"--config no-such-file.conf", "", HOP_E_FORMAT, "no-such-file.conf"},
};

START_TEST(bad_options_are_named)
{
    srv_config config;
    ck_assert_int_eq(load(refused[_i].words, refused[_i].variables, &config), refused[_i].status);
    ck_assert_msg(strstr(error.text, refused[_i].names), "'%s' does not name '%s'", error.text, refused[_i].names);
}
END_TEST

static const struct {
    const char *text, *names;
} bad_files[] = {
    {"workers = 2\nbetta = 1\n", ":2: there is no key 'betta'"},
    {"workers\n", ":1: 'workers' is not of the form"},
    {"\n\nworkers = many\n", ":3: workers: 'many'"},
    {"workers = 1\nworkers = 2\n", ":2: the key 'workers' is given twice"},
    {"help = true\n", "there is no key 'help'"},
    {"config = other\n", "there is no key 'config'"},
    {"listen = 0.0.0.0:1\n", "--insecure"},
};

START_TEST(bad_files_are_named_by_line)
{
    srv_config config;
    const char *path = write_file(bad_files[_i].text);
    char words[256];
    snprintf(words, sizeof words, "--config %s", path);
    hop_status status = load(words, "", &config);
    unlink(path);
    ck_assert(status == HOP_E_DOMAIN || status == HOP_E_FORMAT);
    ck_assert_msg(strstr(error.text, bad_files[_i].names), "'%s' does not say '%s'", error.text, bad_files[_i].names);
}
END_TEST

START_TEST(sizes)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},           {"1048576", 1048576},  {"64k", 65536},     {"64KiB", 65536},
                {"1.5G", 3u << 29}, {"2 GiB", 1ull << 31}, {"1T", 1ull << 40}, {"3B", 3}};
    static const char *const bad[] = {"", "k", "-1", "1e6", "0x10", "1.2.3", "1 kB x", "9999999T", "nan", "1Mb"};
    uint64_t bytes = 7;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_msg(srv_size_parse(good[i].text, &bytes), "%s", good[i].text);
        ck_assert_uint_eq(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!srv_size_parse(bad[i], &bytes), "%s", bad[i]);
}
END_TEST

START_TEST(addresses)
{
    char host[SRV_ADDRESS_BYTES];
    uint16_t port;
    ck_assert(srv_address_parse("[::1]:0", host, sizeof host, &port));
    ck_assert_str_eq(host, "::1");
    ck_assert_uint_eq(port, 0);
    ck_assert(srv_host_is_loopback(host));
    ck_assert(srv_address_parse("localhost:80", host, sizeof host, &port));
    ck_assert_str_eq(host, "127.0.0.1");
    ck_assert(srv_host_is_loopback("127.8.9.10"));
    ck_assert(srv_host_is_loopback("::ffff:127.0.0.1"));
    ck_assert(!srv_host_is_loopback("128.0.0.1"));
    ck_assert(!srv_host_is_loopback("::"));
    ck_assert(!srv_host_is_loopback("::ffff:10.0.0.1"));
    ck_assert(!srv_address_parse("[]:1", host, sizeof host, &port));
    ck_assert(!srv_address_parse("127.0.0.1:", host, sizeof host, &port));
    ck_assert(!srv_address_parse("127.0.0.1:1x", host, sizeof host, &port));
    ck_assert(!srv_address_parse("[127.0.0.1]:1", host, sizeof host, &port));
}
END_TEST

START_TEST(help_and_version_come_first)
{
    srv_config config;
    ck_assert_int_eq(load("--help", "HOPFIELDD_WORKERS=nonsense", &config), HOP_OK);
    ck_assert(config.help);
    ck_assert_int_eq(load("--version --listen nonsense", "", &config), HOP_OK);
    ck_assert(config.version);

    srv_text help, limits;
    srv_text_init(&help, 65536);
    srv_config_write_help(&help);
    static const char *const names[] = {
        "--config",        "--listen",           "--data-dir",   "--no-persist",
        "--insecure",      "--workers",          "--io-threads", "--memory-budget",
        "--port-file",     "--query-body-limit", "--max-batch",  "--response-limit",
        "--queue-seconds", "--connections",      "--log-level",  "--request-deadline-ms",
        "--isa",           "--check-config",     "--version",    "--drain-timeout-ms"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_msg(strstr(help.data, names[i]), "%s", names[i]);
    srv_text_fini(&help);

    ck_assert_int_eq(load("--queue-seconds 2.5", "", &config), HOP_OK);
    srv_text_init(&limits, 65536);
    srv_config_write_limits(&config, &limits);
    ck_assert_ptr_nonnull(strstr(limits.data, "\"queue_seconds\":2.5,"));
    ck_assert_ptr_nonnull(strstr(limits.data, "\"query_body_bytes\":67108864,"));
    srv_text_fini(&limits);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("config");
    TCase *tests = tcase_create("config");
    tcase_add_test(tests, defaults_of_the_contract);
    tcase_add_test(tests, costs_and_packing_can_be_chosen);
    tcase_add_test(tests, sets_are_kept_where_the_environment_says);
    tcase_add_test(tests, precedence_is_command_line_environment_file);
    tcase_add_loop_test(tests, bad_options_are_named, 0, (int)(sizeof refused / sizeof *refused));
    tcase_add_loop_test(tests, bad_files_are_named_by_line, 0, (int)(sizeof bad_files / sizeof *bad_files));
    tcase_add_test(tests, sizes);
    tcase_add_test(tests, addresses);
    tcase_add_test(tests, help_and_version_come_first);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
