/*
 * api_admin.c - changing sets: create or replace one from a body, delete one.
 *
 * An upload holds its name from before the body is decoded until its set is durable and published, or has failed; a
 * failure changes nothing that readers see. Decoding and packing run as one admin job.
 */
#include "core/status.h"
#include "server/api_sets.h"
#include "server/args.h"
#include "server/config.h"
#include "server/route.h"
#include "store/builder.h"
#include "store/registry.h"

/* What an upload is taken to cost: admin jobs are not refused by cost, they have their share of the workers. */
#define UPLOAD_SECONDS 0.1
#define DELETE_SECONDS 0.01

/* Room for a description: a few hundred bytes and one rank a degree. */
enum { DESCRIPTION_BYTES = 16384 };

_Static_assert((int)SRV_LABEL_BYTES == (int)STORE_LABEL_BYTES, "what the decoder lets through the store takes");

static store_condition condition_of(const srv_request *request)
{
    return (store_condition){
        .if_match = srv_request_header(request, "If-Match"),
        .if_none_match = srv_request_header(request, "If-None-Match"),
    };
}

/* From decoded arrays to a frozen set: the arrays move, nothing is copied but the labels. */
static hop_status build(srv_app *app, srv_upload_args *args, store_set **out, hop_error *error)
{
    store_builder *builder = NULL;
    hop_status status = store_builder_new(app->budget, 0, args->d, args->p, args->similarity, &builder, error);
    if (status == HOP_OK) {
        store_builder_set_packing(builder, app->config->packing);
        status = store_builder_adopt(builder, args->M, &args->memories, &args->values, error);
    }
    if (status == HOP_OK && args->labels)
        status = store_builder_label(builder, args->M, args->labels, error);
    if (status == HOP_OK) {
        const store_options options = {
            .beta = args->beta, .max_error = args->max_error, .max_degree = args->max_degree};
        status = store_builder_finish(builder, &options, srv_scheduler_executor(app->scheduler), out, error);
    }
    store_builder_free(builder);
    return status;
}

/* Decode, give the body back, build. */
static hop_status load(srv_request *request, store_set **out, hop_error *error)
{
    store_budget *budget = request->app->budget;
    const srv_args_limits limits = {
        .rows = SIZE_MAX / sizeof(float),
        .columns = SRV_LIMIT_DIMENSION,
        .array_bytes = store_budget_limit(budget) - store_budget_reserved(budget),
    };
    const srv_args_source source = srv_args_source_of(request);
    srv_upload_args args;
    hop_status status = srv_upload_args_read(&source, &limits, &args, error);
    if (status != HOP_OK)
        return status;
    srv_request_body_free(request);
    status = build(request->app, &args, out, error);
    srv_upload_args_fini(&args);
    return status;
}

static void put(srv_request *request, srv_workspace *workspace)
{
    (void)workspace;
    store_registry *registry = request->app->registry;
    const store_condition condition = condition_of(request);
    store_change *change = NULL;
    store_set *set = NULL;
    hop_error error = HOP_ERROR_NONE;
    if (store_registry_begin(registry, request->name, &condition, &change, &error) != HOP_OK) {
        srv_reply_error(request, &error);
        return;
    }
    hop_status status = load(request, &set, &error);
    if (status == HOP_OK)
        status = store_registry_save(registry, change, set, NULL, &error);
    if (status != HOP_OK) {
        store_set_release(set);
        store_registry_abandon(registry, change);
        srv_reply_error(request, &error);
        return;
    }
    /* The answer describes this version, even if it is replaced while the answer is written. */
    store_set_acquire(set);
    bool created = store_registry_commit(registry, change, set);
    srv_text text;
    srv_text_init(&text, DESCRIPTION_BYTES);
    srv_set_write_description(set, &text);
    srv_text_putc(&text, '\n');
    srv_reply_header_add(request, "ETag", "%s", set->etag);
    if (created)
        srv_reply_header_add(request, "Location", "/v1/sets/%s", set->name);
    srv_reply_json(request, created ? SRV_CREATED : SRV_OK, &text);
    store_set_release(set);
}

void srv_api_set_put(srv_request *request)
{
    if (srv_accepts_json(request))
        srv_request_defer(request, UPLOAD_SECONDS, put);
}

static void delete_set(srv_request *request, srv_workspace *workspace)
{
    (void)workspace;
    const store_condition condition = condition_of(request);
    hop_error error = HOP_ERROR_NONE;
    if (store_registry_delete(request->app->registry, request->name, &condition, &error) != HOP_OK)
        srv_reply_error(request, &error);
    else
        srv_reply_empty(request, SRV_NO_CONTENT);
}

void srv_api_set_delete(srv_request *request)
{
    /* Files are synced: not on an I/O thread. */
    if (request->app->folder)
        srv_request_defer(request, DELETE_SECONDS, delete_set);
    else
        delete_set(request, NULL);
}
