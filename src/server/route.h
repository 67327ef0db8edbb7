/*
 * route.h - the table of routes, the early refusals that need no body, and how a handler hands work to a worker.
 *
 * A handler is called once, when the body is complete (srv_request.body; uploads: srv_upload_take()). It decodes, then
 * either answers through reply.h or calls srv_request_defer() as its last act. Small bodies are decoded on the I/O
 * thread; large ones (and what uploads leave to their end) on a worker, which the handler does not notice.
 */
#ifndef SRV_ROUTE_H
#define SRV_ROUTE_H

#include "server/request.h"

typedef enum srv_access { SRV_OPEN, SRV_QUERY, SRV_ADMIN } srv_access;

typedef enum srv_body_kind {
    SRV_BODY_NONE,   /* a body is refused */
    SRV_BODY_QUERY,  /* up to query_body_limit: SRV_BODY_LIMIT over it */
    SRV_BODY_MAYBE,  /* the same, or none */
    SRV_BODY_UPLOAD, /* a new version of a set: upload.h, as much as the memory budget has room for */
    SRV_BODY_APPEND  /* rows for the set that is there; likewise */
} srv_body_kind;

typedef void (*srv_handler)(srv_request *request);

struct srv_route {
    srv_method method;   /* SRV_GET also serves HEAD */
    const char *pattern; /* "/v1/sets/{name}/retrieve"; also the metrics label */
    srv_access access;
    srv_body_kind body;
    unsigned media;                /* srv_media bits taken; 0: no body */
    const char *const *parameters; /* NULL-terminated names of the query parameters it knows */
    bool always;                   /* answers while the daemon drains */
    srv_handler handler;
};

/* All routes. Their index is the metrics index; index srv_route_count() stands for "other". */
const srv_route *srv_routes(size_t *count);
size_t srv_route_count(void);
size_t srv_route_index(const srv_route *route); /* NULL: srv_route_count() */

/*
 * Find the route of request->method and request->path, fill request->route and request->name. On SRV_NO_PATH or
 * SRV_METHOD the route stays NULL; *allow then has the methods of the path as a list ("GET, HEAD"; "" for no path).
 */
srv_outcome srv_route_find(srv_request *request, char *allow, size_t allow_bytes);

/*
 * Everything that can be refused before the body: target, path, method, set name, parameters, type, length,
 * draining. True: go on, uploads with srv_upload_open(); false: the reply is made. content_length: SIZE_MAX where it is
 * unknown (chunked).
 */
bool srv_route_admit(srv_request *request, size_t content_length, bool chunked);

/*
 * srv_request_defer() - do the rest of this request as compute work of so many predicted seconds.
 *
 * The handler calls it as its last act. Queries below SRV_INLINE_SECONDS run here and now; others are queued
 * (SRV_QUEUE_FULL and SRV_DRAINING are answered by this function). run() gets the thread's workspace and must
 * answer through reply.h; the class is the route's: admin routes are admin jobs.
 */
void srv_request_defer(srv_request *request, double predicted_seconds,
                       void (*run)(srv_request *request, srv_workspace *workspace));

/*
 * The body is complete: run the handler, here or on a worker. Afterwards the reply is made, or the transport has
 * been suspended and will be resumed once it is.
 */
void srv_request_dispatch(srv_request *request);

/* ---- handlers, defined in health.c and the api_*.c files ----------------------------------------------- */

void srv_health_live(srv_request *request);
void srv_health_ready(srv_request *request);
void srv_health_metrics(srv_request *request);
void srv_health_openapi(srv_request *request);
void srv_health_info(srv_request *request);

void srv_api_sets_list(srv_request *request);    /* api_sets.c: GET /v1/sets */
void srv_api_set_describe(srv_request *request); /* api_sets.c: GET /v1/sets/{name} */
void srv_api_retrieve(srv_request *request);     /* api_retrieve.c: POST /v1/sets/{name}/retrieve */
void srv_api_energy(srv_request *request);       /* api_retrieve.c: POST /v1/sets/{name}/energy */
void srv_api_plan(srv_request *request);         /* api_retrieve.c: POST /v1/sets/{name}/plan */
void srv_api_theory(srv_request *request);       /* api_theory.c: GET /v1/sets/{name}/theory */
void srv_api_operation(srv_request *request);    /* api_operations.c: GET /v1/admin/operations/{id} */
void srv_api_set_put(srv_request *request);      /* api_admin.c: PUT /v1/admin/sets/{name} */
void srv_api_set_delete(srv_request *request);   /* api_admin.c: DELETE /v1/admin/sets/{name} */
void srv_api_set_patch(srv_request *request);    /* api_changes.c: PATCH /v1/admin/sets/{name} */
void srv_api_rows_append(srv_request *request);  /* api_changes.c: POST /v1/admin/sets/{name}/memories */
void srv_api_rows_remove(srv_request *request);  /* api_changes.c: DELETE /v1/admin/sets/{name}/memories */
void srv_api_set_export(srv_request *request);   /* api_export.c: GET /v1/admin/sets/{name}/data */

#endif
