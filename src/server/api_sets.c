/*
 * api_sets.c - memory sets as the daemon's clients and probes see them: list, description, states; and the hooks that
 * open and close the store. Changing sets is api_admin.c's, asking them api_retrieve.c's.
 */
#include "server/api_sets.h"

#include "core/status.h"
#include "server/config.h"
#include "server/log.h"
#include "server/route.h"
#include "server/scheduler.h"
#include "store/compaction.h"
#include "store/loader.h"
#include "store/phi_cache.h"
#include "store/regime.h"
#include "store/registry.h"

#include <inttypes.h>
#include <stdlib.h>

static void say(void *context, bool problem, const char *text)
{
    (void)context;
    srv_log(problem ? SRV_LOG_ERROR : SRV_LOG_INFO, "%s", text);
}

/* The data directory, and the sets in it on their way back. */
static hop_status open_folder(srv_app *app, hop_error *error)
{
    const srv_config *config = app->config;
    if (config->no_persist)
        return HOP_OK;
    const store_loading loading = {.budget = app->budget,
                                   .packing = config->packing,
                                   .executor = srv_scheduler_executor(app->scheduler),

                                   .map_from_bytes = STORE_MAP_FROM_BYTES};
    hop_status status = store_folder_open(config->data_dir, (store_listener){.say = say}, &app->folder, error);
    if (status != HOP_OK)
        return status;
    store_operations_keep_in(app->operations, app->folder);
    store_registry_keep_in(app->registry, app->folder);
    status = store_compaction_new(app->folder, app->registry, &app->compaction, error);
    return status == HOP_OK ? store_loader_new(app->folder, app->registry, &loading, &app->loader, error) : status;
}

hop_status srv_sets_open(srv_app *app, hop_error *error)
{
    app->budget = calloc(1, sizeof *app->budget);
    if (!app->budget)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    uint64_t limit = app->config->memory_budget_bytes;
    store_budget_init(app->budget, limit < SIZE_MAX ? (size_t)limit : SIZE_MAX);

    uint64_t map_bytes = app->config->map_bytes, sums_bytes = app->config->sums_bytes;
    const store_map_limits limits = {.bytes = map_bytes < SIZE_MAX ? (size_t)map_bytes : SIZE_MAX,
                                     .seconds = app->config->map_build_seconds};
    hop_status status = store_operations_new(srv_scheduler_executor(app->scheduler), limits, &app->operations, error);
    if (status == HOP_OK)
        status = store_phi_cache_new(sums_bytes < SIZE_MAX ? (size_t)sums_bytes : SIZE_MAX, &app->phi_cache, error);
    if (status == HOP_OK)
        status = store_registry_new(app->operations, &app->registry, error);
    if (status == HOP_OK)
        status = open_folder(app, error);
    if (status != HOP_OK)
        srv_sets_close(app);
    return status;
}

void srv_sets_cancel(srv_app *app)
{
    if (app->loader)
        store_loader_stop(app->loader);
    if (app->compaction)
        store_compaction_stop(app->compaction);
    if (app->operations)
        store_operations_stop(app->operations);
}

void srv_sets_close(srv_app *app)
{
    store_loader_free(app->loader);
    store_compaction_free(app->compaction);
    store_registry_free(app->registry);
    store_operations_free(app->operations);
    store_folder_close(app->folder);
    store_phi_cache_free(app->phi_cache);
    free(app->budget);
    app->loader = NULL;
    app->compaction = NULL;
    app->registry = NULL;
    app->operations = NULL;
    app->folder = NULL;
    app->phi_cache = NULL;
    app->budget = NULL;
}

void srv_sets_count(const srv_app *app, srv_sets_counts *out)
{
    *out = (srv_sets_counts){0};
    store_standing *standings = NULL;
    size_t n = 0;
    if (!app->registry || store_registry_standings(app->registry, &standings, &n, NULL) != HOP_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        if (standings[i].loading) {
            out->loading++;
            continue;
        }
        switch (standings[i].state) {
        case STORE_BUILDING:
            out->building++;
            break;
        case STORE_READY:
            out->ready++;
            break;
        case STORE_FAILED:
            out->failed++;
            break;
        }
    }
    free(standings);
}

void srv_sets_write_states(const srv_app *app, srv_text *out)
{
    store_standing *standings = NULL;
    size_t n = 0;
    if (!app->registry || store_registry_standings(app->registry, &standings, &n, NULL) != HOP_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        const store_standing *set = &standings[i];
        srv_text_printf(out, "%s{\"name\":\"%s\",\"state\":\"%s\",\"percent\":%u,\"reason\":", i ? "," : "", set->name,
                        set->loading ? "loading" : store_state_word(set->state), set->permille / 10);
        srv_text_json_string(out, *set->reason ? set->reason : NULL);
        srv_text_putc(out, '}');
    }
    free(standings);
}

static void write_number(srv_text *out, const char *name, double value)
{
    srv_text_printf(out, "\"%s\":", name);
    srv_text_json_number(out, value);
}

static void write_features(srv_text *out, const store_set *set)
{
    /* The state first: a set that says `ready` shows the maps it is ready with. */
    unsigned permille = store_set_permille(set);
    const hop_features *features = hop_model_features(set->model);
    unsigned degree = features ? hop_features_max_degree(features) : 0;
    srv_text_printf(out, ",\"features\":{\"max_degree\":%u,\"rank\":%" PRIu64 ",\"ranks\":[", degree,
                    features ? hop_features_rank(features) : 0);
    for (unsigned g = 1; g <= degree; g++)
        srv_text_printf(out, "%s%" PRIu64, g > 1 ? "," : "", hop_rank(set->d, g));
    srv_text_printf(out, "],\"bytes\":%zu,\"progress\":%u.%03u}", features ? hop_features_bytes(features) : 0,
                    permille / 1000, permille % 1000);
}

void srv_set_write_description(const store_set *set, srv_text *out)
{
    store_state state = store_set_state(set);
    srv_text_printf(out, "{\"name\":\"%s\",\"version\":%" PRIu64 ",\"etag\":", set->name, set->version);
    srv_text_json_string(out, set->etag);
    srv_text_printf(out, ",\"state\":\"%s\",\"M\":%zu,\"d\":%zu,\"p\":%zu,\"next_id\":%" PRIu64 ",",
                    store_state_word(state), set->M, set->d, set->p, set->next_id);
    write_number(out, "beta", set->beta);
    srv_text_putc(out, ',');
    write_number(out, "max_error", set->max_error);
    srv_text_printf(out, ",\"similarity\":\"%s\"", hop_similarity_word(hop_model_similarity(set->model)));

    store_bytes bytes = store_set_bytes(set);
    srv_text_printf(
        out,
        ",\"bytes\":{\"memories\":%zu,\"values\":%zu,\"ids\":%zu,\"labels\":%zu,\"model\":%zu,\"features\":%zu,"
        "\"sums\":%zu,\"separation\":%zu,\"total\":%zu}",
        bytes.memories, bytes.values, bytes.ids, bytes.labels, bytes.model, bytes.features, bytes.sums,
        bytes.separation, bytes.total);
    srv_text_puts(out, ",\"created\":");
    srv_text_json_time(out, set->created_ms);

    hop_norms norms = hop_model_norms(set->model);
    srv_text_puts(out, ",\"norms\":{");
    write_number(out, "max_abs", norms.max_abs);
    srv_text_putc(out, ',');
    write_number(out, "max_l2", norms.max_l2);
    srv_text_putc(out, ',');
    write_number(out, "centred_max_l2", norms.centred_max_l2);
    srv_text_putc(out, '}');
    write_features(out, set);
    srv_text_puts(out, ",\"regime\":");
    const hop_regime *regime = store_set_regime(set);
    if (regime)
        srv_regime_write(regime, false, out);
    else
        srv_text_puts(out, "null");
    srv_text_putc(out, '}');
}

bool srv_accepts_json(srv_request *request)
{
    static const char *const offered[] = {"application/json"};
    if (srv_request_accepts(request, offered, 1) >= 0)
        return true;
    srv_reply_problem(request, SRV_NOT_ACCEPTABLE, "this is answered as application/json, which Accept does not take");
    return false;
}

void srv_api_sets_list(srv_request *request)
{
    if (!srv_accepts_json(request))
        return;
    store_set **sets = NULL;
    size_t n = 0;
    hop_error error = HOP_ERROR_NONE;
    if (store_registry_list(request->app->registry, &sets, &n, &error) != HOP_OK) {
        srv_reply_error(request, &error);
        return;
    }
    srv_text text;
    srv_text_init(&text, request->app->config->response_limit_bytes);
    srv_text_puts(&text, "{\"sets\":[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            srv_text_putc(&text, ',');
        srv_set_write_description(sets[i], &text);
    }
    srv_text_puts(&text, "]}\n");
    store_registry_list_free(sets, n);
    srv_reply_json(request, SRV_OK, &text);
}

void srv_api_set_describe(srv_request *request)
{
    if (!srv_accepts_json(request))
        return;
    store_set *set = NULL;
    hop_error error = HOP_ERROR_NONE;
    if (store_registry_get(request->app->registry, request->name, &set, &error) != HOP_OK) {
        srv_reply_error(request, &error);
        return;
    }
    srv_reply_header_add(request, "ETag", "%s", set->etag);
    const char *known = srv_request_header(request, "If-None-Match");
    if (known && store_etag_listed(known, set->etag, true)) {
        srv_reply_empty(request, SRV_NOT_MODIFIED);
    } else {
        srv_text text;
        srv_text_init(&text, request->app->config->response_limit_bytes);
        srv_set_write_description(set, &text);
        srv_text_putc(&text, '\n');
        srv_reply_json(request, SRV_OK, &text);
    }
    store_set_release(set);
}
