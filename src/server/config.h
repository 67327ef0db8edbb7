/*
 * config.h - one table of options: command line, environment (HOPFIELDD_NAME), config file, defaults, in that
 * order of precedence. The same table writes --help and the limits of /v1/info.
 */
#ifndef SRV_CONFIG_H
#define SRV_CONFIG_H

#include "core/hopfield.h"
#include "server/app.h"
#include "server/log.h"
#include "server/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SRV_PATH_BYTES = 4096,
    SRV_ADDRESS_BYTES = 128,
    SRV_WORD_BYTES = 32,
    SRV_CPU_MODEL_BYTES = 128,
    SRV_WHERE_BYTES = 200
};

struct srv_config {
    char config_file[SRV_PATH_BYTES]; /* "": none */
    char listen[SRV_ADDRESS_BYTES];   /* as given */
    char host[SRV_ADDRESS_BYTES];     /* numeric, brackets removed */
    uint16_t port;                    /* 0: any free one */
    bool loopback;                    /* host is a loopback address */
    char data_dir[SRV_PATH_BYTES];    /* "" only where no_persist */
    bool no_persist;
    bool insecure;
    uint64_t workers; /* compute threads */
    uint64_t io_threads;
    uint64_t memory_budget_bytes;
    char port_file[SRV_PATH_BYTES];
    uint64_t query_body_limit_bytes;
    uint64_t response_limit_bytes;
    uint64_t max_batch; /* L */
    uint64_t request_deadline_ms;
    double queue_seconds; /* predicted seconds of waiting queries, per worker */
    uint64_t connections;
    uint64_t drain_timeout_ms;
    srv_log_level log_level;
    char isa[SRV_WORD_BYTES];
    char isa_from[SRV_WHERE_BYTES];  /* who says so, for the message where there is no such isa: "--isa" */
    uint64_t map_bytes;              /* feature maps of a set: 0 as its memories */
    double map_build_seconds;        /* predicted, of one thread */
    uint64_t sums_bytes;             /* of linear and random_features, part of the memory budget */
    double theory_seconds;           /* predicted, of one thread */
    hop_packing packing;             /* of the sets that are loaded */
    bool calibrate;                  /* measure the costs at start */
    char cost_cache[SRV_PATH_BYTES]; /* "": none */
    bool check_config, version, help;
};

/* Limits of the contract that no option changes; shown in /v1/info beside the options. */
enum {
    SRV_LIMIT_DIMENSION = 65536,  /* d and p */
    SRV_LIMIT_WEIGHTS = 10000000, /* L x M of "weights" */
    SRV_LIMIT_TOP = 1000,
    SRV_LIMIT_LABEL_BYTES = 1024,
    SRV_LIMIT_JSON_DEPTH = 16,
    SRV_TIMEOUT_HEADER_S = 10,
    SRV_TIMEOUT_BODY_S = 60,
    SRV_TIMEOUT_IDLE_S = 75
};

/*
 * srv_config_load() - read everything into *out. argv[0] is skipped; environ-like `environment` may be NULL.
 * Errors: HOP_E_UNKNOWN for the command line (exit 64), HOP_E_DOMAIN or HOP_E_FORMAT for values and files (exit 78);
 * the text names file, line and key. --help and --version end the work early with HOP_OK and their flag set.
 */
HOP_WARN_UNUSED hop_status srv_config_load(int argc, char *const *argv, char *const *environment, srv_config *out,
                                           hop_error *error);

/* Read the log level again (SIGHUP) with the same precedence; the other options keep their values. */
HOP_WARN_UNUSED hop_status srv_config_reload_level(int argc, char *const *argv, char *const *environment,
                                                   srv_log_level *out, hop_error *error);

const char *srv_packing_word(hop_packing packing); /* "full", "keys", "none" */

void srv_config_write_help(srv_text *out);

/* "name":value pairs of every limit in force, comma separated, for /v1/info. */
void srv_config_write_limits(const srv_config *config, srv_text *out);

/* "1073741824", "64k", "64KiB", "1.5G", "2GiB" -> bytes (powers of 1024); false where it is not a size. */
bool srv_size_parse(const char *text, uint64_t *out);

/* "127.0.0.1:4520", "[::1]:0" -> numeric host and port. */
bool srv_address_parse(const char *text, char *host, size_t host_bytes, uint16_t *port);
bool srv_host_is_loopback(const char *host);

/* Whole CPUs this process may use: the cgroup quota rounded up, at most the CPUs it may run on; at least 1. */
unsigned srv_cpu_quota(void);
/* Bytes of memory this process may use: the cgroup limit, at most the RAM. */
uint64_t srv_memory_limit_bytes(void);

/* The CPU's name for itself, one line, cut to fit; "unknown" where it has none. */
void srv_cpu_model(char out[SRV_CPU_MODEL_BYTES]);

#endif
