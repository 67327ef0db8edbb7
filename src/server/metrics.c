/*
 * metrics.c - the counters, and the page that Prometheus reads (text format 0.0.4).
 */
#include "server/metrics.h"

#include "core/status.h"
#include "server/calibration.h"
#include "server/config.h"
#include "server/memory.h"
#include "server/route.h"
#include "store/phi_cache.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Upper edges in seconds: from an inline answer to the request deadline. */
static const double edges[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};

enum { EDGES = sizeof edges / sizeof *edges, MODES = HOP_MODES, FALLBACKS = HOP_FALLBACK_RETURN + 1 };

static const char *const rejection_words[SRV_REJECTIONS] = {
    [SRV_REJECTED_QUEUE_FULL] = "queue_full", [SRV_REJECTED_DEADLINE] = "deadline",
    [SRV_REJECTED_DRAINING] = "draining",     [SRV_REJECTED_MEMORY] = "memory",
    [SRV_REJECTED_BODY_LIMIT] = "body_limit", [SRV_REJECTED_CLIENT_GONE] = "client_gone",
};

typedef _Atomic uint64_t counter;

typedef struct route_metrics {
    counter requests[SRV_METHODS][SRV_OUTCOMES];
    counter buckets[EDGES + 1]; /* the last one: above all edges */
    counter nanoseconds;
} route_metrics;

struct srv_metrics {
    counter queries[MODES];
    counter fallbacks[FALLBACKS];
    counter rejected[SRV_REJECTIONS];
    atomic_int connections, in_flight;
    size_t n_routes; /* "other" included, last */
    route_metrics routes[];
};

hop_status srv_metrics_new(srv_metrics **out, hop_error *error)
{
    size_t n = srv_route_count() + 1;
    srv_metrics *metrics = calloc(1, sizeof *metrics + n * sizeof *metrics->routes);
    if (!metrics)
        return hop_fail(error, HOP_E_NOMEM, "no memory for the metrics");
    metrics->n_routes = n;
    *out = metrics;
    return HOP_OK;
}

void srv_metrics_free(srv_metrics *metrics)
{
    free(metrics);
}

static void add(counter *c, uint64_t n)
{
    atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

static uint64_t get(counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

void srv_metrics_request(srv_metrics *metrics, size_t route_index, srv_method method, srv_outcome outcome,
                         double seconds)
{
    route_metrics *route = &metrics->routes[route_index < metrics->n_routes ? route_index : metrics->n_routes - 1];
    add(&route->requests[method][outcome], 1);
    size_t bucket = 0;
    while (bucket < EDGES && seconds > edges[bucket])
        bucket++;
    add(&route->buckets[bucket], 1);
    add(&route->nanoseconds, (uint64_t)(seconds * 1e9));
}

void srv_metrics_queries(srv_metrics *metrics, hop_mode mode, uint64_t rows)
{
    add(&metrics->queries[mode], rows);
}

void srv_metrics_fallbacks(srv_metrics *metrics, hop_fallback reason, uint64_t rows)
{
    if (reason > HOP_FALLBACK_NONE && (int)reason < FALLBACKS)
        add(&metrics->fallbacks[reason], rows);
}

void srv_metrics_rejected(srv_metrics *metrics, srv_rejection reason)
{
    add(&metrics->rejected[reason], 1);
}

void srv_metrics_connections(srv_metrics *metrics, int change)
{
    atomic_fetch_add(&metrics->connections, change);
}

void srv_metrics_in_flight(srv_metrics *metrics, int change)
{
    atomic_fetch_add(&metrics->in_flight, change);
}

int srv_metrics_in_flight_count(const srv_metrics *metrics)
{
    return atomic_load(&metrics->in_flight);
}

/* ---- the page ---------------------------------------------------------------------------------------- */

static void head(srv_text *out, const char *name, const char *type, const char *help)
{
    srv_text_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(srv_text *out, const char *name, const char *help, double value)
{
    head(out, name, "gauge", help);
    srv_text_printf(out, "%s %.17g\n", name, value);
}

/* A label value: backslash, quote and newline escaped as the format asks. */
static void label(srv_text *out, const char *value)
{
    for (const char *c = value; *c; c++) {
        if (*c == '\n') {
            srv_text_puts(out, "\\n");
            continue;
        }
        if (*c == '"' || *c == '\\')
            srv_text_putc(out, '\\');
        srv_text_putc(out, *c);
    }
}

static const char *route_name(const srv_metrics *metrics, size_t i)
{
    size_t count;
    const srv_route *routes = srv_routes(&count);
    return i + 1 < metrics->n_routes ? routes[i].pattern : "other";
}

static size_t first_with(const srv_metrics *metrics, const char *route)
{
    size_t i = 0;
    while (strcmp(route_name(metrics, i), route) != 0)
        i++;
    return i;
}

/* Outcomes share HTTP codes; one series a code. Two routes that share a pattern differ by method. */
static void write_requests(srv_metrics *metrics, srv_text *out)
{
    static const char name[] = "hopfieldd_http_requests_total";
    head(out, name, "counter", "Finished requests.");
    size_t count;
    const srv_route *routes = srv_routes(&count);
    for (size_t i = 0; i < metrics->n_routes; i++) {
        for (unsigned method = 0; method < SRV_METHODS; method++) {
            for (unsigned o = SRV_OK; o < SRV_OUTCOMES; o++) {
                unsigned http = srv_outcome_http((srv_outcome)o);
                bool seen = false;
                for (unsigned before = SRV_OK; before < o && !seen; before++)
                    seen = srv_outcome_http((srv_outcome)before) == http;
                if (seen)
                    continue;
                uint64_t total = 0;
                for (unsigned same = o; same < SRV_OUTCOMES; same++) {
                    if (srv_outcome_http((srv_outcome)same) == http)
                        total += get(&metrics->routes[i].requests[method][same]);
                }
                srv_outcome usual = method == SRV_DELETE ? SRV_NO_CONTENT : SRV_OK;
                bool expected = i < count && o == usual && routes[i].method == (srv_method)method;
                if (total > 0 || expected)
                    srv_text_printf(out, "%s{route=\"%s\",method=\"%s\",code=\"%u\"} %llu\n", name,
                                    route_name(metrics, i), srv_method_word((srv_method)method), http,
                                    (unsigned long long)total);
            }
        }
    }
}

/* One histogram a pattern: routes that share a pattern are added up. */
static void write_durations(srv_metrics *metrics, srv_text *out)
{
    static const char name[] = "hopfieldd_http_request_duration_seconds";
    head(out, name, "histogram", "From the first line of a request to the end of its answer.");
    for (size_t i = 0; i < metrics->n_routes; i++) {
        const char *route = route_name(metrics, i);
        if (first_with(metrics, route) != i)
            continue;
        uint64_t total = 0, nanoseconds = 0;
        for (size_t b = 0; b <= EDGES; b++) {
            for (size_t same = i; same < metrics->n_routes; same++) {
                if (strcmp(route_name(metrics, same), route) == 0)
                    total += get(&metrics->routes[same].buckets[b]);
            }
            if (b < EDGES)
                srv_text_printf(out, "%s_bucket{route=\"%s\",le=\"%g\"} %llu\n", name, route, edges[b],
                                (unsigned long long)total);
            else
                srv_text_printf(out, "%s_bucket{route=\"%s\",le=\"+Inf\"} %llu\n", name, route,
                                (unsigned long long)total);
        }
        for (size_t same = i; same < metrics->n_routes; same++) {
            if (strcmp(route_name(metrics, same), route) == 0)
                nanoseconds += get(&metrics->routes[same].nanoseconds);
        }
        srv_text_printf(out, "%s_sum{route=\"%s\"} %.9f\n", name, route, (double)nanoseconds * 1e-9);
        srv_text_printf(out, "%s_count{route=\"%s\"} %llu\n", name, route, (unsigned long long)total);
    }
}

static void write_counters(srv_metrics *metrics, srv_text *out)
{
    head(out, "hopfieldd_queries_total", "counter", "Rows answered, by the mode that answered.");
    for (int mode = HOP_AUTO + 1; mode < MODES; mode++)
        srv_text_printf(out, "hopfieldd_queries_total{mode=\"%s\"} %llu\n", hop_mode_word((hop_mode)mode),
                        (unsigned long long)get(&metrics->queries[mode]));
    head(out, "hopfieldd_fallbacks_total", "counter", "Rows that auto sent to dense, by reason.");
    for (int reason = HOP_FALLBACK_NONE + 1; reason < FALLBACKS; reason++)
        srv_text_printf(out, "hopfieldd_fallbacks_total{reason=\"%s\"} %llu\n", hop_fallback_word((hop_fallback)reason),
                        (unsigned long long)get(&metrics->fallbacks[reason]));
    head(out, "hopfieldd_rejected_total", "counter", "Requests turned away for load, size or shutdown.");
    for (int reason = 0; reason < SRV_REJECTIONS; reason++)
        srv_text_printf(out, "hopfieldd_rejected_total{reason=\"%s\"} %llu\n", rejection_words[reason],
                        (unsigned long long)get(&metrics->rejected[reason]));
}

static void write_memory(const srv_app *app, srv_text *out)
{
    srv_memory memory;
    srv_memory_count(app, &memory);
    gauge(out, "hopfieldd_memory_budget_bytes", "Memory that sets and requests may use.", (double)memory.limit_bytes);
    gauge(out, "hopfieldd_memory_reserved_bytes", "Memory that sets and requests use.", (double)memory.reserved_bytes);
    head(out, "hopfieldd_memory_bytes", "gauge", "The reserved memory by what it is for.");
    for (srv_memory_kind kind = 0; kind < SRV_MEMORY_KINDS; kind++)
        srv_text_printf(out, "hopfieldd_memory_bytes{kind=\"%s\"} %zu\n", srv_memory_word(kind), memory.bytes[kind]);
}

static void write_sets(const srv_app *app, srv_text *out)
{
    srv_sets_counts counts = {0};
    srv_sets_count(app, &counts);
    head(out, "hopfieldd_sets", "gauge", "Memory sets by state.");
    srv_text_printf(out, "hopfieldd_sets{state=\"loading\"} %llu\n", (unsigned long long)counts.loading);
    srv_text_printf(out, "hopfieldd_sets{state=\"building\"} %llu\n", (unsigned long long)counts.building);
    srv_text_printf(out, "hopfieldd_sets{state=\"ready\"} %llu\n", (unsigned long long)counts.ready);
    srv_text_printf(out, "hopfieldd_sets{state=\"failed\"} %llu\n", (unsigned long long)counts.failed);
    gauge(out, "hopfieldd_ready", "1 while /readyz answers 200.", !atomic_load(&app->draining) && counts.loading == 0);
    write_memory(app, out);
    store_phi_counts sums = {0};
    if (app->phi_cache)
        store_phi_cache_count(app->phi_cache, &sums);
    gauge(out, "hopfieldd_sums", "Sums of linear and random_features that are kept.", (double)sums.entries);
    gauge(out, "hopfieldd_sums_bytes", "Memory that they take, of the reserved.", (double)sums.bytes);
    gauge(out, "hopfieldd_sums_limit_bytes", "Memory that they may take.", (double)sums.limit_bytes);
    head(out, "hopfieldd_sums_lookups_total", "counter", "Sums that a query found, or had to make.");
    srv_text_printf(out, "hopfieldd_sums_lookups_total{result=\"found\"} %llu\n", (unsigned long long)sums.found);
    srv_text_printf(out, "hopfieldd_sums_lookups_total{result=\"built\"} %llu\n", (unsigned long long)sums.built);
    head(out, "hopfieldd_sums_dropped_total", "counter", "Sums given up for others, the least recently used first.");
    srv_text_printf(out, "hopfieldd_sums_dropped_total %llu\n", (unsigned long long)sums.dropped);
}

static void write_process(const srv_app *app, srv_text *out)
{
    unsigned long long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm) {
        if (fscanf(statm, "%*u %llu", &pages) != 1)
            pages = 0;
        fclose(statm);
    }
    gauge(out, "process_resident_memory_bytes", "Resident memory.", (double)pages * (double)sysconf(_SC_PAGESIZE));
    long fds = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (folder) {
        while (readdir(folder))
            fds++;
        closedir(folder);
        fds -= 3; /* ".", ".." and the folder itself */
    }
    gauge(out, "process_open_fds", "Open file descriptors.", (double)fds);
    gauge(out, "process_start_time_seconds", "Start, in seconds since 1970.", app->started_unix);
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    head(out, "process_cpu_seconds_total", "counter", "User and system CPU time.");
    srv_text_printf(out, "process_cpu_seconds_total %.6f\n",
                    (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                        1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec));
}

void srv_metrics_write(const srv_app *app, srv_text *out)
{
    srv_metrics *metrics = app->metrics;
    head(out, "hopfieldd_build_info", "gauge", "Constant 1; the labels say what runs.");
    srv_text_puts(out, "hopfieldd_build_info{version=\"" HOPFIELDD_VERSION "\",isa=\"");
    label(out, hop_isa_name());
    srv_text_puts(out, "\",blas=\"");
    label(out, hop_blas_core());
    srv_text_printf(out, "\",costs=\"%s\"} 1\n", srv_costs_word(app->costs_source));
    write_sets(app, out);
    write_requests(metrics, out);
    write_durations(metrics, out);
    gauge(out, "hopfieldd_http_connections", "Open connections.", atomic_load(&metrics->connections));
    write_counters(metrics, out);
    srv_scheduler_counts counts;
    srv_scheduler_count(app->scheduler, &counts);
    gauge(out, "hopfieldd_workers", "Compute threads.", counts.workers);
    gauge(out, "hopfieldd_workers_busy", "Compute threads at work.", counts.busy);
    gauge(out, "hopfieldd_queue_requests", "Requests that wait for a compute thread.", (double)counts.queued);
    write_process(app, out);
}
