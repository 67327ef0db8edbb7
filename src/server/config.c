/*
 * config.c - the table of options and its four sources. What the machine grants is in machine.c.
 */
#include "server/config.h"

#include "core/status.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum kind { FLAG, TEXT, COUNT, SIZE, SECONDS, LEVEL, PACKING } kind;

typedef struct option {
    const char *name; /* of --name; HOPFIELDD_NAME and `name =` follow from it */
    kind kind;
    size_t offset, bytes; /* of its place in srv_config */
    double least, most;   /* of COUNT, SIZE and SECONDS */
    const char *fallback; /* NULL: computed */
    bool command_line_only;
    const char *limit; /* its name in /v1/info; NULL: not a limit */
    const char *argument, *help;
} option;

#define AT(member) offsetof(struct srv_config, member), sizeof(((struct srv_config *)0)->member)
#define TERA 1099511627776.0

static const option options[] = {
    {"config", TEXT, AT(config_file), 0, 0, "", false, NULL, "FILE", "read options from FILE (name = value lines)"},
    {"listen", TEXT, AT(listen), 0, 0, "127.0.0.1:4520", false, NULL, "ADDR:PORT",
     "address to serve on; port 0 takes a free one, [::1]:4520 is IPv6"},
    {"data-dir", TEXT, AT(data_dir), 0, 0, "", false, NULL, "DIR",
     "keep sets there (default: $STATE_DIRECTORY, else $XDG_STATE_HOME/hopfieldd)"},
    {"no-persist", FLAG, AT(no_persist), 0, 0, "false", false, NULL, NULL,
     "keep sets in memory only, whatever data-dir says"},
    {"insecure", FLAG, AT(insecure), 0, 0, "false", false, NULL, NULL,
     "serve on an address that is not loopback, without keys"},
    {"workers", COUNT, AT(workers), 1, 1024, NULL, false, NULL, "N", "compute threads (default: the CPU quota)"},
    {"io-threads", COUNT, AT(io_threads), 1, 64, "2", false, NULL, "N", "threads that read and write sockets"},
    {"memory-budget", SIZE, AT(memory_budget_bytes), 1048576, 1024 * TERA, NULL, false, "memory_budget_bytes", "BYTES",
     "for sets and bodies (default: 80 % of the memory this process may use)"},
    {"sums-bytes", SIZE, AT(sums_bytes), 1, TERA, NULL, false, "sums_bytes", "BYTES",
     "sums of linear and random_features that are kept (default: an eighth of the memory budget)"},
    {"port-file", TEXT, AT(port_file), 0, 0, "", false, NULL, "FILE", "write the port there once it is bound"},
    {"query-body-limit", SIZE, AT(query_body_limit_bytes), 1024, TERA, "64MiB", false, "query_body_bytes", "BYTES",
     "largest body of a query"},
    {"response-limit", SIZE, AT(response_limit_bytes), 1024, TERA, "256MiB", false, "response_bytes", "BYTES",
     "largest answer"},
    {"max-batch", COUNT, AT(max_batch), 1, 16777216, "65536", false, "max_batch", "L", "most queries in one request"},
    {"request-deadline-ms", COUNT, AT(request_deadline_ms), 1, 86400000, "30000", false, "request_deadline_ms", "MS",
     "a request that waits longer for a worker is answered 504"},
    {"queue-seconds", SECONDS, AT(queue_seconds), 0, 86400, "10", false, "queue_seconds", "S",
     "predicted compute seconds that may wait, per worker"},
    {"connections", COUNT, AT(connections), 1, 1048576, "1024", false, "connections", "N", "open connections"},
    {"drain-timeout-ms", COUNT, AT(drain_timeout_ms), 0, 3600000, "8000", false, "drain_timeout_ms", "MS",
     "time to finish admitted work after SIGTERM"},
    {"log-level", LEVEL, AT(log_level), 0, 0, "info", false, NULL, "LEVEL", "error, warn, info or debug"},
    {"isa", TEXT, AT(isa), 0, 0, "auto", false, NULL, "NAME", "auto, reference, avx2, avx512, amx or neon"},
    {"map-bytes", SIZE, AT(map_bytes), 1, TERA, NULL, false, NULL, "BYTES",
     "most that a set's feature maps take where it names no max_degree (default: what its memories take)"},
    {"map-build-seconds", SECONDS, AT(map_build_seconds), 0, 86400, "10", false, NULL, "S",
     "longest build of them that is predicted, of one thread"},
    {"theory-seconds", SECONDS, AT(theory_seconds), 0, 86400, "1", false, NULL, "S",
     "a theory report whose measurement is predicted to take longer is an operation in the background"},
    {"packing", PACKING, AT(packing), 0, 0, "full", false, NULL, "WHAT",
     "copies kept for dense passes: full, keys or none; less memory, slower batches"},
    {"calibrate", FLAG, AT(calibrate), 0, 0, "on", false, NULL, NULL,
     "measure at start what predictions are made of, 0.1 s (default: on; --calibrate=off)"},
    {"cost-cache", TEXT, AT(cost_cache), 0, 0, "", false, NULL, "FILE", "keep what was measured there, and read it"},
    {"check-config", FLAG, AT(check_config), 0, 0, "false", true, NULL, NULL, "check the configuration and exit"},
    {"version", FLAG, AT(version), 0, 0, "false", true, NULL, NULL, "say the version and exit"},
    {"help", FLAG, AT(help), 0, 0, "false", true, NULL, NULL, "say this and exit"},
};

enum { OPTIONS = sizeof options / sizeof *options, LINE_BYTES = 8192 };

/* Where each option's value came from; a later source never overwrites an earlier one in this order. */
typedef enum source { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_COMMAND_LINE } source;

typedef struct loading {
    srv_config *config;
    source from[OPTIONS];
} loading;

static const option *find(const char *name, size_t n)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        if (strlen(options[i].name) == n && strncmp(options[i].name, name, n) == 0)
            return &options[i];
    }
    return NULL;
}

/* ---- values ------------------------------------------------------------------------------------------ */

/* A plain decimal number: digits, one point, no sign, nothing after it but what *end then points to. */
static bool parse_decimal(const char *text, double *out, const char **end)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    size_t n = strspn(text, "0123456789.");
    char digits[64], *stop;
    if (n >= sizeof digits)
        return false;
    memcpy(digits, text, n);
    digits[n] = '\0';
    *out = strtod(digits, &stop);
    *end = text + n;
    return *stop == '\0';
}

bool srv_size_parse(const char *text, uint64_t *out)
{
    static const struct {
        const char *suffix;
        int shift;
    } units[] = {{"", 0},     {"B", 0},    {"k", 10},   {"K", 10},   {"M", 20},  {"G", 30},
                 {"T", 40},   {"KB", 10},  {"MB", 20},  {"GB", 30},  {"TB", 40}, {"kB", 10},
                 {"KiB", 10}, {"kiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
    double value;
    const char *suffix;
    if (!parse_decimal(text, &value, &suffix))
        return false;
    while (*suffix == ' ')
        suffix++;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(units[i].suffix, suffix) == 0) {
            double bytes = ldexp(value, units[i].shift);
            if (!(bytes <= 9e15)) /* f64 is exact below it */
                return false;
            *out = (uint64_t)bytes;
            return true;
        }
    }
    return false;
}

static bool parse_flag(const char *text, bool *out)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; i < 4; i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *out = strcasecmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static const char *const packing_words[] = {
    [HOP_PACK_FULL] = "full", [HOP_PACK_KEYS] = "keys", [HOP_PACK_NONE] = "none"};

const char *srv_packing_word(hop_packing packing)
{
    return packing_words[packing];
}

static bool parse_packing(const char *text, hop_packing *out)
{
    for (size_t i = 0; i < sizeof packing_words / sizeof *packing_words; i++) {
        if (strcmp(text, packing_words[i]) == 0) {
            *out = (hop_packing)i;
            return true;
        }
    }
    return false;
}

/* Write value into the option's place. The message starts with `where`: "--workers", "file:3: workers". */
static hop_status assign(srv_config *config, const option *o, const char *value, const char *where, hop_error *error)
{
    void *place = (char *)config + o->offset;
    uint64_t whole = 0;
    double number = 0;
    const char *end = "";
    switch (o->kind) {
    case FLAG:
        if (parse_flag(value, place))
            return HOP_OK;
        return hop_fail(error, HOP_E_DOMAIN, "%s: '%.60s' is none of on, off, true and false", where, value);
    case TEXT:
        if (strlen(value) >= o->bytes)
            return hop_fail(error, HOP_E_DOMAIN, "%s: longer than %zu bytes", where, o->bytes - 1);
        memcpy(place, value, strlen(value) + 1);
        return HOP_OK;
    case LEVEL:
        if (srv_log_level_parse(value, place))
            return HOP_OK;
        return hop_fail(error, HOP_E_DOMAIN, "%s: '%.60s' is not a log level: error, warn, info or debug", where,
                        value);
    case PACKING:
        if (parse_packing(value, place))
            return HOP_OK;
        return hop_fail(error, HOP_E_DOMAIN, "%s: '%.60s' is none of full, keys and none", where, value);
    case SIZE:
        if (!srv_size_parse(value, &whole))
            return hop_fail(error, HOP_E_DOMAIN, "%s: '%.60s' is not a size such as 1073741824, 512M or 4GiB", where,
                            value);
        number = (double)whole;
        break;
    case COUNT:
    case SECONDS:
        if (!parse_decimal(value, &number, &end) || *end || (o->kind == COUNT && number != floor(number)))
            return hop_fail(error, HOP_E_DOMAIN, "%s: '%.60s' is not a %snumber from %.0f to %.0f", where, value,
                            o->kind == COUNT ? "whole " : "", o->least, o->most);
        break;
    }
    if (!(number >= o->least && number <= o->most))
        return hop_fail(error, HOP_E_DOMAIN, "%s: '%.60s' is outside %.0f .. %.0f", where, value, o->least, o->most);
    if (o->kind == SECONDS)
        *(double *)place = number;
    else
        *(uint64_t *)place = (uint64_t)number;
    return HOP_OK;
}

static hop_status take(loading *l, const option *o, source from, const char *value, const char *where, hop_error *error)
{
    size_t i = (size_t)(o - options);
    if (l->from[i] > from)
        return HOP_OK;
    hop_status status = assign(l->config, o, value, where, error);
    if (status != HOP_OK)
        return status;
    l->from[i] = from;
    if (o->offset == offsetof(struct srv_config, isa))
        snprintf(l->config->isa_from, sizeof l->config->isa_from, "%s", where);
    return HOP_OK;
}

/* ---- sources ----------------------------------------------------------------------------------------- */

static hop_status read_command_line(loading *l, int argc, char *const *argv, hop_error *error)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "-h") == 0)
            word = "--help";
        const char *name = word + 2;
        size_t n = strncmp(word, "--", 2) == 0 ? strcspn(name, "=") : 0;
        const option *o = n > 0 ? find(name, n) : NULL;
        if (!o)
            return hop_fail(error, HOP_E_UNKNOWN, "unknown %s '%.100s'; --help lists the options",
                            word[0] == '-' ? "option" : "argument", word);
        char where[64];
        snprintf(where, sizeof where, "--%s", o->name);
        const char *value = name[n] == '=' ? name + n + 1 : NULL;
        if (!value && o->kind == FLAG)
            value = "true";
        if (!value && ++i == argc)
            return hop_fail(error, HOP_E_UNKNOWN, "%s needs a value", where);
        if (!value && strncmp(argv[i], "--", 2) == 0)
            return hop_fail(error, HOP_E_UNKNOWN,
                            "%s needs a value, and '%.100s' looks like an option; if it is meant, %s=%s", where,
                            argv[i], where, o->argument);
        hop_status status = take(l, o, FROM_COMMAND_LINE, value ? value : argv[i], where, error);
        if (status != HOP_OK)
            return status;
    }
    return HOP_OK;
}

/* HOPFIELDD_MEMORY_BUDGET for memory-budget. Unknown variables of that prefix are left alone: tools own some. */
static hop_status read_environment(loading *l, char *const *environment, hop_error *error)
{
    static const char prefix[] = "HOPFIELDD_";
    for (; environment && *environment; environment++) {
        const char *entry = *environment;
        if (strncmp(entry, prefix, sizeof prefix - 1) != 0)
            continue;
        const char *name = entry + sizeof prefix - 1;
        size_t n = strcspn(name, "=");
        char option_name[64], where[96];
        if (n >= sizeof option_name || name[n] != '=')
            continue;
        for (size_t i = 0; i <= n; i++)
            option_name[i] = name[i] == '_' ? '-' : (char)tolower((unsigned char)name[i]);
        const option *o = find(option_name, n);
        if (!o || o->command_line_only)
            continue;
        snprintf(where, sizeof where, "%.*s", (int)(n + sizeof prefix - 1), entry);
        hop_status status = take(l, o, FROM_ENVIRONMENT, name + n + 1, where, error);
        if (status != HOP_OK)
            return status;
    }
    return HOP_OK;
}

static char *trim(char *text)
{
    text += strspn(text, " \t\r\n");
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]))
        n--;
    text[n] = '\0';
    return text;
}

static hop_status read_line(loading *l, char *line, const char *path, unsigned number, bool *seen, hop_error *error)
{
    char *text = trim(line);
    if (*text == '\0' || *text == '#')
        return HOP_OK;
    char *value = strchr(text, '=');
    if (!value)
        return hop_fail(error, HOP_E_FORMAT, "%.120s:%u: '%.40s' is not of the form name = value", path, number, text);
    *value++ = '\0';
    const char *name = trim(text);
    value = trim(value);
    const option *o = find(name, strlen(name));
    if (!o || o->command_line_only || strcmp(name, "config") == 0)
        return hop_fail(error, HOP_E_DOMAIN, "%.120s:%u: there is no key '%.40s'", path, number, name);
    if (seen[o - options])
        return hop_fail(error, HOP_E_DOMAIN, "%.120s:%u: the key '%s' is given twice", path, number, name);
    seen[o - options] = true;
    char where[SRV_WHERE_BYTES];
    snprintf(where, sizeof where, "%.120s:%u: %s", path, number, o->name);
    return take(l, o, FROM_FILE, value, where, error);
}

static hop_status read_file(loading *l, const char *path, hop_error *error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return hop_fail(error, HOP_E_FORMAT, "cannot read the config file %.160s: %s", path, strerror(errno));
    bool seen[OPTIONS] = {false};
    char line[LINE_BYTES];
    hop_status status = HOP_OK;
    for (unsigned number = 1; status == HOP_OK && fgets(line, sizeof line, file); number++) {
        if (!strchr(line, '\n') && strlen(line) == sizeof line - 1)
            status = hop_fail(error, HOP_E_FORMAT, "%.120s:%u: a line over %d bytes", path, number, LINE_BYTES - 2);
        else
            status = read_line(l, line, path, number, seen, error);
    }
    if (status == HOP_OK && ferror(file))
        status = hop_fail(error, HOP_E_FORMAT, "cannot read the config file %.160s: %s", path, strerror(errno));
    fclose(file);
    return status;
}

/* Every source in order. Values that depend on each other or on the machine come after it. */
static hop_status read_sources(loading *l, int argc, char *const *argv, char *const *environment, hop_error *error)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        if (options[i].fallback) {
            hop_status status = assign(l->config, &options[i], options[i].fallback, options[i].name, error);
            if (status != HOP_OK)
                return status;
        }
    }
    hop_status status = read_command_line(l, argc, argv, error);
    if (status != HOP_OK || l->config->help || l->config->version)
        return status;
    status = read_environment(l, environment, error);
    if (status == HOP_OK && l->config->config_file[0])
        status = read_file(l, l->config->config_file, error);
    return status;
}

/* ---- the whole --------------------------------------------------------------------------------------- */

bool srv_address_parse(const char *text, char *host, size_t host_bytes, uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text)
        return false;
    const char *first = text;
    size_t n = (size_t)(colon - text);
    bool brackets = text[0] == '[';
    if (brackets) {
        if (n < 3 || text[n - 1] != ']')
            return false;
        first++;
        n -= 2;
    }
    if (n >= host_bytes)
        return false;
    char numeric[SRV_ADDRESS_BYTES];
    if (n >= sizeof numeric)
        return false;
    memcpy(numeric, first, n);
    numeric[n] = '\0';
    if (strcmp(numeric, "localhost") == 0)
        strcpy(numeric, "127.0.0.1");
    unsigned char address[sizeof(struct in6_addr)];
    if (inet_pton(brackets ? AF_INET6 : AF_INET, numeric, address) != 1)
        return false;
    unsigned long value = 0;
    size_t digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 5 || colon[1 + digits] != '\0')
        return false;
    value = strtoul(colon + 1, NULL, 10);
    if (value > 65535)
        return false;
    memcpy(host, numeric, strlen(numeric) + 1);
    *port = (uint16_t)value;
    return true;
}

bool srv_host_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, host, &v6) != 1)
        return false;
    return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

static const char *variable(char *const *environment, const char *name)
{
    size_t n = strlen(name);
    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=' && (*environment)[n + 1] != '\0')
            return *environment + n + 1;
    return NULL;
}

/* Where sets are kept that nobody says where to keep. The service manager may name several folders, with colons. */
static hop_status default_data_dir(srv_config *config, char *const *environment, hop_error *error)
{
    const char *state = variable(environment, "STATE_DIRECTORY"), *xdg = variable(environment, "XDG_STATE_HOME"),
               *home = variable(environment, "HOME");
    int n = -1;
    if (state)
        n = snprintf(config->data_dir, sizeof config->data_dir, "%.*s", (int)strcspn(state, ":"), state);
    else if (xdg && xdg[0] == '/') /* a relative one is to be ignored, says its specification */
        n = snprintf(config->data_dir, sizeof config->data_dir, "%s/hopfieldd", xdg);
    else if (home)
        n = snprintf(config->data_dir, sizeof config->data_dir, "%s/.local/state/hopfieldd", home);
    if (n > 0 && (size_t)n < sizeof config->data_dir)
        return HOP_OK;
    return hop_fail(error, HOP_E_DOMAIN, "%s: say --data-dir DIR, or --no-persist to keep sets in memory only",
                    n < 0 ? "neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME is set"
                          : "the default data directory has no usable name");
}

hop_status srv_config_load(int argc, char *const *argv, char *const *environment, srv_config *out, hop_error *error)
{
    srv_config config = {0};
    loading l = {.config = &config};
    strcpy(config.isa_from, "isa");
    hop_status status = read_sources(&l, argc, argv, environment, error);
    if (status != HOP_OK)
        return status;
    if (!config.help && !config.version) {
        if (config.workers == 0)
            config.workers = srv_cpu_quota();
        if (config.memory_budget_bytes == 0)
            config.memory_budget_bytes = srv_memory_limit_bytes() / 5 * 4;
        if (config.sums_bytes == 0)
            config.sums_bytes = config.memory_budget_bytes / 8;
        if (!srv_address_parse(config.listen, config.host, sizeof config.host, &config.port))
            return hop_fail(error, HOP_E_DOMAIN,
                            "listen: '%.80s' is not an address such as 127.0.0.1:4520 or [::1]:4520", config.listen);
        if (!config.no_persist && !config.data_dir[0]) {
            status = default_data_dir(&config, environment, error);
            if (status != HOP_OK)
                return status;
        }
        config.loopback = srv_host_is_loopback(config.host);
        if (!config.loopback && !config.insecure)
            return hop_fail(error, HOP_E_DOMAIN,
                            "listen: %.60s is not a loopback address, and anyone who reaches it could read and change "
                            "every set: listen on 127.0.0.1 or [::1], or say --insecure",
                            config.host);
    }
    *out = config;
    return HOP_OK;
}

hop_status srv_config_reload_level(int argc, char *const *argv, char *const *environment, srv_log_level *out,
                                   hop_error *error)
{
    srv_config config;
    hop_status status = srv_config_load(argc, argv, environment, &config, error);
    if (status == HOP_OK)
        *out = config.log_level;
    return status;
}

void srv_config_write_help(srv_text *out)
{
    srv_text_puts(out, "usage: hopfieldd [options]\n"
                       "       hopfieldd healthcheck [--ready] [--listen ADDR:PORT]\n\n"
                       "Answers certified modern-Hopfield retrieval over HTTP.\n\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        const option *o = &options[i];
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        srv_text_printf(out, "  %-28s %s", left, o->help);
        if (o->fallback && o->fallback[0] && o->kind != FLAG)
            srv_text_printf(out, " (default: %s)", o->fallback);
        srv_text_putc(out, '\n');
    }
    srv_text_puts(out, "\nEvery option is also a key of the config file (workers = 4) and an environment variable\n"
                       "(HOPFIELDD_WORKERS). Precedence: command line, environment, file, default.\n"
                       "Exit codes: 0 clean stop, 64 usage, 69 cannot bind or the data directory is in use,\n"
                       "78 bad configuration.\n");
}

void srv_config_write_limits(const srv_config *config, srv_text *out)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        const option *o = &options[i];
        if (!o->limit)
            continue;
        const void *place = (const char *)config + o->offset;
        srv_text_printf(out, "\"%s\":", o->limit);
        srv_text_json_number(out, o->kind == SECONDS ? *(const double *)place : (double)*(const uint64_t *)place);
        srv_text_putc(out, ',');
    }
    srv_text_printf(out,
                    "\"d\":%d,\"p\":%d,\"weights\":%d,\"top\":%d,\"label_bytes\":%d,\"json_depth\":%d,\"steps\":%d,"
                    "\"header_timeout_s\":%d,\"body_timeout_s\":%d,\"idle_timeout_s\":%d",
                    SRV_LIMIT_DIMENSION, SRV_LIMIT_DIMENSION, SRV_LIMIT_WEIGHTS, SRV_LIMIT_TOP, SRV_LIMIT_LABEL_BYTES,
                    SRV_LIMIT_JSON_DEPTH, HOP_STEPS_MAX, SRV_TIMEOUT_HEADER_S, SRV_TIMEOUT_BODY_S, SRV_TIMEOUT_IDLE_S);
}
