/*
 * app.h - the parts of the running daemon that requests need, and the hooks of the memory sets.
 *
 * lifecycle.c fills one srv_app before the listener opens and tears it down after the last request is over; between
 * the two it does not change, except where a part is itself safe for threads.
 */
#ifndef SRV_APP_H
#define SRV_APP_H

#include "core/hopfield.h"
#include "server/text.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct srv_config srv_config;
typedef struct srv_scheduler srv_scheduler;
typedef struct srv_metrics srv_metrics;
typedef struct store_registry store_registry;
typedef struct store_budget store_budget;
typedef struct store_operations store_operations;
typedef struct store_folder store_folder;
typedef struct store_loader store_loader;
typedef struct store_compaction store_compaction;
typedef struct store_phi_cache store_phi_cache;

/* Whose costs the planner predicts with. */
typedef enum srv_costs_source { SRV_COSTS_BUILT_IN, SRV_COSTS_CACHE, SRV_COSTS_MEASURED } srv_costs_source;

typedef struct srv_app {
    const srv_config *config;
    srv_scheduler *scheduler;
    srv_metrics *metrics;
    store_registry *registry;
    store_budget *budget;
    store_operations *operations;
    store_folder *folder;         /* NULL: sets are kept in memory alone */
    store_loader *loader;         /* NULL likewise */
    store_compaction *compaction; /* NULL likewise */
    store_phi_cache *phi_cache;
    atomic_uint sums_at_work; /* workers that make sums over the memories, or wait for them, for long */
    srv_costs_source costs_source;
    atomic_bool draining;
    uint64_t started_ns; /* monotonic */
    double started_unix; /* seconds since 1970, for process_start_time_seconds */
} srv_app;

/* Counts of the sets by state, for /readyz and metrics. */
typedef struct srv_sets_counts {
    uint64_t loading, building, ready, failed;
} srv_sets_counts;

/*
 * Hooks that the handlers' side defines (api_sets.c); the shell calls them.
 *
 * srv_sets_open()   makes app->registry, app->budget, app->operations and app->phi_cache from app->config and
 *                   app->scheduler (which is running), and app->folder and app->loader unless nothing is kept.
 *                   HOP_E_BUSY: another process has the data directory. On failure nothing is left behind.
 * srv_sets_cancel() drain begins: cancel loading and background builds, do not wait for them. Requests still run.
 * srv_sets_close()  no request runs any more: stop the builds, free everything. Takes a half-opened app.
 */
HOP_WARN_UNUSED hop_status srv_sets_open(srv_app *app, hop_error *error);
void srv_sets_cancel(srv_app *app);
void srv_sets_close(srv_app *app);

void srv_sets_count(const srv_app *app, srv_sets_counts *out);

/* Append one JSON object a set, comma separated: {"name":"a","state":"building","percent":40,"reason":null} */
void srv_sets_write_states(const srv_app *app, srv_text *out);

#endif
