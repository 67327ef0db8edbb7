/*
 * api_changes.c - versions made of versions: other settings, rows appended, rows removed.
 *
 * Each holds its set's name from before its body is decoded until the new version is durable and published, or has
 * failed; a failure changes nothing.
 */
#include "core/status.h"
#include "server/change.h"
#include "server/api_sets.h"
#include "server/args.h"
#include "server/refuse.h"
#include "server/route.h"

#include <stdlib.h>

/* What a change is taken to cost: admin jobs are not refused by cost, they have their share of the workers. */
#define CHANGE_SECONDS 0.1

typedef hop_status (*take_body)(srv_change *change, srv_request *request, hop_error *error);

/* The name is held while the request waits for a worker: whoever comes second is told at once. */
static void begin(srv_request *request, srv_change_kind kind, void (*run)(srv_request *, srv_workspace *))
{
    if (srv_accepts_json(request) && srv_change_begin(request, kind))
        srv_request_defer(request, CHANGE_SECONDS, run);
}

/* Decode what changes; then the change goes its way. */
static void go(srv_request *request, take_body take)
{
    hop_error error = HOP_ERROR_NONE;
    srv_change *change = request->state;
    if (take(change, request, &error) == HOP_OK)
        srv_change_go(change, request);
    else
        srv_change_refuse(request, &error);
}

/* ---- settings ------------------------------------------------------------------------------------------ */

static hop_status take_settings(srv_change *change, srv_request *request, hop_error *error)
{
    const srv_args_source source = srv_args_source_of(request);
    srv_patch_args args;
    hop_status status = srv_change_charge(change, SRV_PATCH_TEXT_BYTES * request->body_bytes, error);
    if (status == HOP_OK)
        status = srv_patch_args_read(&source, &args, error);
    if (status != HOP_OK)
        return status;
    change->labels = args.labels;
    change->label_text = args.label_text;
    if (args.labels && args.n_labels != change->base->M)
        return srv_refuse(error, HOP_E_SHAPE, -1, -1, -1, "labels: %zu for %zu memories; one each expected",
                          args.n_labels, change->base->M);
    const store_options fresh = store_set_default_options(change->base);
    store_revision *revision = &change->revision;
    revision->kind = STORE_SETTINGS;
    revision->options = STORE_OPTIONS_DEFAULT;
    if (args.has_beta)
        revision->options.beta = args.beta > 0 ? args.beta : fresh.beta;
    if (args.has_max_error)
        revision->options.max_error = args.max_error >= 0 ? args.max_error : fresh.max_error;
    if (args.has_max_degree)
        revision->options.max_degree = args.max_degree >= 0 ? args.max_degree : STORE_DEGREE_FREE;
    revision->relabel = args.has_labels;
    revision->labels = args.labels;
    revision->n_labels = args.n_labels;
    return HOP_OK;
}

static void patch(srv_request *request, srv_workspace *workspace)
{
    (void)workspace;
    go(request, take_settings);
}

void srv_api_set_patch(srv_request *request)
{
    begin(request, SRV_CHANGE_PATCH, patch);
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

static void append(srv_request *request, srv_workspace *workspace)
{
    (void)workspace;
    srv_uploaded uploaded;
    if (srv_upload_take(request, &uploaded))
        srv_change_upload(request, SRV_CHANGE_APPEND, &uploaded);
}

void srv_api_rows_append(srv_request *request)
{
    if (srv_change_accepts(request))
        srv_request_defer(request, CHANGE_SECONDS, append);
}

static hop_status take_ids(srv_change *change, srv_request *request, hop_error *error)
{
    const srv_args_source source = srv_args_source_of(request);
    srv_ids ids = {0};
    hop_status status = srv_change_charge(change, SRV_ID_TEXT_BYTES * request->body_bytes, error);
    if (status == HOP_OK)
        status = srv_remove_args_read(&source, &ids, error);
    if (status != HOP_OK)
        return status;
    change->revision.kind = STORE_REMOVE;
    change->revision.ids = change->ids = ids.data;
    change->revision.n_ids = ids.count;
    return HOP_OK;
}

static void remove_rows(srv_request *request, srv_workspace *workspace)
{
    (void)workspace;
    go(request, take_ids);
}

void srv_api_rows_remove(srv_request *request)
{
    begin(request, SRV_CHANGE_REMOVE, remove_rows);
}
