/*
 * health.c - the routes that say how the daemon is: probes, metrics, /v1/info and the served description of the API.
 */
#include "server/calibration.h"
#include "server/config.h"
#include "server/memory.h"
#include "server/metrics.h"
#include "server/openapi.h"
#include "server/route.h"
#include "store/phi_cache.h"

enum { PAGE_BYTES = 16 << 20 };

void srv_health_live(srv_request *request)
{
    static const char body[] = "{\"status\":\"live\"}\n";
    srv_reply_fixed(request, SRV_OK, "application/json", body, sizeof body - 1);
}

void srv_health_ready(srv_request *request)
{
    const srv_app *app = request->app;
    srv_sets_counts counts = {0};
    srv_sets_count(app, &counts);
    bool draining = atomic_load(&app->draining);
    bool ready = !draining && counts.loading == 0;
    const char *status = draining             ? "draining"
                         : counts.loading > 0 ? "loading"
                         : counts.failed > 0  ? "degraded"
                                              : "ready";
    srv_text body;
    srv_text_init(&body, PAGE_BYTES);
    srv_text_printf(&body, "{\"status\":\"%s\",\"sets\":[", status);
    srv_sets_write_states(app, &body);
    srv_text_puts(&body, "]}\n");
    if (!ready)
        srv_reply_header_add(request, "Retry-After", "%d", SRV_RETRY_SECONDS);
    srv_reply_json(request, ready ? SRV_OK : SRV_NOT_READY, &body);
}

void srv_health_metrics(srv_request *request)
{
    srv_text body;
    srv_text_init(&body, PAGE_BYTES);
    srv_metrics_write(request->app, &body);
    srv_reply_text(request, SRV_OK, "text/plain; version=0.0.4; charset=utf-8", &body);
}

void srv_health_openapi(srv_request *request)
{
    srv_reply_fixed(request, SRV_OK, "application/json", srv_openapi, srv_openapi_bytes);
}

static void write_costs(srv_costs_source source, srv_text *out)
{
    hop_costs costs;
    hop_costs_get(&costs);
    srv_text_printf(out, ",\"costs\":{\"source\":\"%s\",\"seconds\":{", srv_costs_word(source));
    for (hop_cost cost = 0; cost < HOP_COSTS; cost++) {
        srv_text_printf(out, "%s\"%s\":", cost ? "," : "", hop_cost_word(cost));
        srv_text_json_number(out, costs.seconds[cost]);
    }
    srv_text_puts(out, "}}");
}

static void write_memory(const srv_app *app, size_t sums_bytes, srv_text *out)
{
    srv_memory memory;
    srv_memory_count(app, &memory);
    srv_text_printf(out, ",\"memory\":{\"budget_bytes\":%zu,\"reserved_bytes\":%zu,\"sums_bytes\":%zu,\"bytes\":{",
                    memory.limit_bytes, memory.reserved_bytes, sums_bytes);
    for (srv_memory_kind kind = 0; kind < SRV_MEMORY_KINDS; kind++)
        srv_text_printf(out, "%s\"%s\":%zu", kind ? "," : "", srv_memory_word(kind), memory.bytes[kind]);
    srv_text_puts(out, "}}");
}

void srv_health_info(srv_request *request)
{
    const srv_app *app = request->app;
    const srv_config *config = app->config;
    srv_text body;
    srv_text_init(&body, PAGE_BYTES);
    srv_text_printf(&body, "{\"name\":\"hopfieldd\",\"version\":\"" HOPFIELDD_VERSION "\",\"persistent\":%s,\"isa\":",
                    app->folder ? "true" : "false");
    srv_text_json_string(&body, hop_isa_name());
    srv_text_puts(&body, ",\"blas\":{\"core\":");
    srv_text_json_string(&body, hop_blas_core());
    srv_text_puts(&body, ",\"config\":");
    srv_text_json_string(&body, hop_blas_config());
    srv_text_printf(&body, "},\"threads\":{\"workers\":%llu,\"io\":%llu,\"blas\":1}",
                    (unsigned long long)config->workers, (unsigned long long)config->io_threads);
    srv_text_printf(&body, ",\"packing\":\"%s\"", srv_packing_word(config->packing));
    write_costs(app->costs_source, &body);
    store_phi_counts sums = {0};
    if (app->phi_cache)
        store_phi_cache_count(app->phi_cache, &sums);
    write_memory(app, sums.bytes, &body);
    srv_text_printf(&body, ",\"uptime_seconds\":%.3f,\"limits\":{", (double)(srv_clock_ns() - app->started_ns) * 1e-9);
    srv_config_write_limits(config, &body);
    srv_text_puts(&body, "}}\n");
    srv_reply_json(request, SRV_OK, &body);
}
