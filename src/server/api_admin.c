/*
 * api_admin.c - whole sets: create or replace one from a body, delete one.
 *
 * An upload (upload.h) holds its name from before its body comes until its set is durable and published, or has failed;
 * a failure changes nothing that readers see. What is left to do once the rows are in is one admin job (change.h).
 */
#include "core/status.h"
#include "server/change.h"
#include "server/route.h"
#include "server/upload.h"

/* What an upload is taken to cost: admin jobs are not refused by cost, they have their share of the workers. */
#define UPLOAD_SECONDS 0.1
#define DELETE_SECONDS 0.01

static void put(srv_request *request, srv_workspace *workspace)
{
    (void)workspace;
    srv_uploaded uploaded;
    if (srv_upload_take(request, &uploaded))
        srv_change_upload(request, SRV_CHANGE_PUT, &uploaded);
}

void srv_api_set_put(srv_request *request)
{
    if (srv_change_accepts(request))
        srv_request_defer(request, UPLOAD_SECONDS, put);
}

static void delete_set(srv_request *request, srv_workspace *workspace)
{
    (void)workspace;
    const store_condition condition = {
        .if_match = srv_request_header(request, "If-Match"),
        .if_none_match = srv_request_header(request, "If-None-Match"),
    };
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
