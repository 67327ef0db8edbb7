/*
 * change.h - a change of a set under way: from decoded arguments to a durable, published version, with the request that
 * asked for it or without.
 *
 * A handler makes one, opens it, fills in what changes, and lets it go. With Prefer: respond-async the request is
 * answered then, and the change goes on as an operation that can be asked about (progress.h); a drain waits for it as
 * for requests. Where its rows come from is upload.h's, what else it says api_changes.c's, how a version is made
 * store/revision.h's.
 */
#ifndef SRV_CHANGE_H
#define SRV_CHANGE_H

#include "server/upload.h"
#include "store/progress.h"
#include "store/registry.h"
#include "store/revision.h"

typedef enum srv_change_kind { SRV_CHANGE_PUT, SRV_CHANGE_APPEND, SRV_CHANGE_REMOVE, SRV_CHANGE_PATCH } srv_change_kind;

typedef struct srv_change {
    srv_app *app;
    srv_change_kind kind;
    store_change *open;      /* the name is held; NULL: not yet, or not any more */
    store_set *base;         /* the version that is revised; NULL for PUT */
    store_builder *builder;  /* PUT: the rows; APPEND: those that are added; else NULL */
    store_options options;   /* PUT */
    store_revision revision; /* the others */
    uint64_t *ids;           /* REMOVE: what the revision points at, as the next two are */
    const char **labels;     /* PATCH; APPEND: as many as rows are added */
    char *label_text;        /* PATCH */
    size_t charged_bytes;    /* of the budget, for the last three */
    store_work *work;        /* of a change that nobody waits for */
    uint64_t began_ns;       /* the request's first line */
    char request_id[SRV_ID_BYTES];
    char name[SRV_NAME_BYTES];
    srv_job job;
} srv_change;

/*
 * Hold the name, with the request's preconditions, and the version there is. The change is the request's state: it is
 * abandoned where the request ends before it went. False: the request has been answered, with the errors of
 * store_registry_begin_revision(). Cheap: on any thread. For changes that are no uploads.
 */
bool srv_change_begin(srv_request *request, srv_change_kind kind);

/* The change that an upload has opened, with its rows: let it go. *uploaded is taken over. On a worker. */
void srv_change_upload(srv_request *request, srv_change_kind kind, const srv_uploaded *uploaded);

/* As srv_accepts_json(); where it is false the name is free before the answer is seen. */
bool srv_change_accepts(srv_request *request);

/* It came to nothing: the name is free before the answer is seen. */
void srv_change_refuse(srv_request *request, const hop_error *error);

/* Charge what decoding `bytes` of a body may take, until the change is over; small bodies are not charged. */
HOP_WARN_UNUSED hop_status srv_change_charge(srv_change *change, size_t bytes, hop_error *error);

/*
 * Make, keep and publish the version: here, answering 200 or 201 with its description, or later, answering 202. The
 * change is no longer the request's. On a worker.
 */
void srv_change_go(srv_change *change, srv_request *request);

#endif
