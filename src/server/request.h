/*
 * request.h - one HTTP request from its first line to its last byte, free of any HTTP library.
 *
 * http.c makes it from the raw target, fills it, and frees it when the exchange is over. Handlers read it through
 * the functions here, keep their decoded arguments in `state`, and answer through reply.h. A request is used by one
 * thread at a time: the I/O thread that reads it, then the thread that runs its job, then the I/O thread again.
 */
#ifndef SRV_REQUEST_H
#define SRV_REQUEST_H

#include "server/app.h"
#include "server/reply.h"
#include "server/scheduler.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct srv_route srv_route;
struct srv_upload;

typedef enum srv_method {
    SRV_GET,
    SRV_HEAD,
    SRV_POST,
    SRV_PUT,
    SRV_DELETE,
    SRV_PATCH,
    SRV_OPTIONS,
    SRV_OTHER_METHOD,
    SRV_METHODS
} srv_method;

const char *srv_method_word(srv_method method); /* "GET", ...; "other" */
srv_method srv_method_parse(const char *word);

/* What the body says it is. A route lists the ones it takes. */
typedef enum srv_media {
    SRV_MEDIA_NONE = 0,
    SRV_MEDIA_JSON = 1 << 0,  /* application/json, any +json */
    SRV_MEDIA_NPY = 1 << 1,   /* application/x-npy */
    SRV_MEDIA_OCTET = 1 << 2, /* application/octet-stream: raw f32, or npy by its magic */
    SRV_MEDIA_FORM = 1 << 3,  /* what `curl -d` sends without a type: never taken, but hinted at */
    SRV_MEDIA_OTHER = 1 << 4,
    SRV_MEDIA_SAFETENSORS = 1 << 5 /* application/vnd.safetensors */
} srv_media;

srv_media srv_media_parse(const char *content_type); /* NULL: SRV_MEDIA_NONE */

enum { SRV_PARAMETERS_MAX = 32, SRV_SEGMENTS_MAX = 8, SRV_NAME_BYTES = 129, SRV_ID_BYTES = 17, SRV_TARGET_MAX = 8192 };

/* A query parameter: percent-decoded, NUL-terminated, inside request->target. '+' stays '+': "1e+5" is a number. */
typedef struct srv_parameter {
    const char *name, *value;
} srv_parameter;

/* What http.c does for a request. */
typedef struct srv_transport {
    const char *(*header)(void *connection, const char *name); /* NULL where it is absent */
    void (*suspend)(srv_request *request);    /* before a job is queued: nothing more is read or written */
    void (*resume)(srv_request *request);     /* the reply is made; the request may be gone when this returns */
    bool (*gone)(const srv_request *request); /* the client has closed its side */
} srv_transport;

struct srv_request {
    srv_app *app;
    char id[SRV_ID_BYTES]; /* 16 hex digits, also in the X-Request-Id header */
    srv_method method;
    char *path;          /* owned: as sent, without the query */
    char *target;        /* owned: what segments and parameters point into */
    unsigned n_segments; /* decoded pieces of the path between its slashes */
    const char *segments[SRV_SEGMENTS_MAX];
    hop_error target_error; /* status HOP_OK, or why the target is malformed */
    unsigned n_parameters;
    srv_parameter parameters[SRV_PARAMETERS_MAX];
    const srv_route *route;    /* NULL: none */
    char name[SRV_NAME_BYTES]; /* the {name} or {id} of the path; "" where there is none */
    srv_media media;
    const srv_transport *transport; /* NULL in tests that have no connection */
    void *connection;               /* the transport's */

    char *body; /* owned, mutable, body_bytes long, then a NUL byte; NULL when empty */
    size_t body_bytes, body_capacity, body_maximum;
    size_t body_charged; /* bytes reserved from the memory budget for it */

    struct srv_upload *upload; /* upload.h; NULL: none, or it was taken */

    void *state; /* the handler's own: decoded arguments */
    void (*state_free)(void *state);

    uint64_t received_ns; /* monotonic: first line seen */
    uint64_t complete_ns; /* body complete */
    uint64_t started_ns;  /* compute began; 0: it did not */
    uint64_t computed_ns; /* compute ended, the answer being written; 0: not yet */
    uint64_t deadline_ns; /* after it the answer is SRV_DEADLINE; from complete_ns */

    srv_workspace *workspace;                                    /* of the worker that runs it; NULL on an I/O thread */
    void (*run)(srv_request *request, srv_workspace *workspace); /* deferred by the handler */
    srv_job job;                                                 /* its place in the scheduler */
    srv_reply reply;
};

/* ---- for handlers ------------------------------------------------------------------------------------ */

/* A request header; NULL where absent. Only valid until the handler or job returns. */
const char *srv_request_header(const srv_request *request, const char *name);

/*
 * The first of the n offered media types that the Accept header takes (in the client's order of q, then in the
 * offered order); 0 when there is no Accept header; -1 when it takes none (answer SRV_NOT_ACCEPTABLE).
 */
int srv_request_accepts(const srv_request *request, const char *const *offered, size_t n);

/* True where the client would rather have a 202 and look later (Prefer: respond-async, RFC 7240). */
bool srv_request_prefers_async(const srv_request *request);

/* Hand the handler's decoded arguments to the request: freed with it, whatever happens to the client. */
void srv_request_set_state(srv_request *request, void *state, void (*state_free)(void *state));

/* Free it now, and the upload, where an answer is not to be seen before what they held is free. */
void srv_request_drop_state(srv_request *request);

/*
 * SRV_DEADLINE once it passed, SRV_CLIENT_GONE once nobody waits any more, else SRV_NO_OUTCOME; long jobs ask between
 * pieces.
 */
srv_outcome srv_request_expired(const srv_request *request);

/*
 * Milliseconds for `timing_ms`: waited for a worker, computed (until now, or until computed_ns), since the first
 * line.
 */
double srv_request_queue_ms(const srv_request *request);
double srv_request_compute_ms(const srv_request *request);
double srv_request_total_ms(const srv_request *request);

/* ---- for http.c and the tests ------------------------------------------------------------------------ */

/*
 * srv_request_new() - from a raw request target ("/v1/sets/a?beta=1"). Percent escapes are decoded after the target
 * is cut at '?', '/' and '&': an escaped slash never makes a path. A malformed target sets target_error and is
 * answered like any other request. NULL: no memory.
 */
srv_request *srv_request_new(srv_app *app, const char *target);
void srv_request_free(srv_request *request);

/*
 * Append to the body, growing by doubling up to body_maximum (from birth: srv_request_body_begin). HOP_E_LIMIT over
 * the maximum, HOP_E_BUDGET when the memory budget has no room for it, HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status srv_request_body_begin(srv_request *request, size_t expected_bytes, size_t maximum,
                                                  hop_error *error);
HOP_WARN_UNUSED hop_status srv_request_body_append(srv_request *request, const char *bytes, size_t n, hop_error *error);
void srv_request_body_free(srv_request *request); /* handlers may call it once the body is decoded */

uint64_t srv_clock_ns(void); /* monotonic */

#endif
