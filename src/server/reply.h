/*
 * reply.h - how a request is answered: outcome -> HTTP status, problem documents, headers.
 *
 * reply.c is the only file with HTTP numbers, and the only one that writes application/problem+json (RFC 9457).
 * A reply is prepared on any one thread and sent by http.c. The first reply of a request wins.
 */
#ifndef SRV_REPLY_H
#define SRV_REPLY_H

#include "core/hopfield.h"
#include "server/text.h"

typedef struct srv_request srv_request;

/* Every way a request can end. The comment is the stable `code` word of its problem document. */
typedef enum srv_outcome {
    SRV_NO_OUTCOME = 0,
    SRV_OK,
    SRV_CREATED,
    SRV_ACCEPTED,
    SRV_NO_CONTENT,
    SRV_NOT_MODIFIED,
    /* refused by the shell */
    SRV_BAD_REQUEST,    /* bad_request: a malformed target, a body where none belongs */
    SRV_BAD_PARAMETER,  /* unknown_parameter: a query parameter that does not exist, or twice */
    SRV_BAD_NAME,       /* bad_set_name */
    SRV_NO_PATH,        /* no_such_path */
    SRV_NO_OPERATION,   /* no_such_operation */
    SRV_METHOD,         /* method_not_allowed */
    SRV_NOT_ACCEPTABLE, /* not_acceptable */
    SRV_BODY_TIMEOUT,   /* body_timeout */
    SRV_BODY_LIMIT,     /* body_limit */
    SRV_MEDIA_TYPE,     /* unsupported_media_type */
    SRV_CHECKSUM,       /* checksum: the body is not the one that was summed */
    SRV_QUEUE_FULL,     /* queue_full */
    SRV_DRAINING,       /* draining */
    SRV_NOT_READY,      /* not_ready */
    SRV_OVERLOAD,       /* memory_pressure: bodies in flight fill the memory budget */
    SRV_DEADLINE,       /* deadline */
    SRV_CLIENT_GONE,    /* client_gone: never sent, only counted */
    /* one for each hop_status, in its order from HOP_E_SHAPE on */
    SRV_SHAPE,        /* shape */
    SRV_DOMAIN,       /* domain */
    SRV_LIMIT,        /* limit */
    SRV_UNMET,        /* unmet_max_error */
    SRV_FORMAT,       /* format */
    SRV_UNKNOWN,      /* unknown */
    SRV_NOT_FOUND,    /* no_such_set */
    SRV_PRECONDITION, /* precondition_failed */
    SRV_BUSY,         /* busy */
    SRV_BUDGET,       /* memory_budget */
    SRV_CANCELLED,    /* cancelled */
    SRV_UNLOADED,     /* set_not_loaded */
    SRV_NOMEM,        /* out_of_memory */
    SRV_SPACE,        /* disk_full */
    SRV_IO,           /* io */
    SRV_INTERNAL,     /* internal */
    SRV_OUTCOMES
} srv_outcome;

unsigned srv_outcome_http(srv_outcome outcome);    /* 200, 404, ... */
const char *srv_outcome_code(srv_outcome outcome); /* stable word; "ok" for the successes */
srv_outcome srv_outcome_of(hop_status status);     /* SRV_OK for HOP_OK */

enum { SRV_REPLY_HEADERS = 8, SRV_REPLY_HEADER_BYTES = 192, SRV_RETRY_SECONDS = 1 };

typedef struct srv_reply_header {
    const char *name; /* a literal */
    char value[SRV_REPLY_HEADER_BYTES];
} srv_reply_header;

/*
 * A body that is read while it is sent, piece by piece, on any one thread at a time. read: bytes from `at` on to out,
 * at least one and at most n; 0: it cannot go on, and the connection is cut off. free: once, whatever became of it.
 */
typedef struct srv_stream {
    uint64_t bytes; /* of the whole */
    size_t (*read)(void *context, uint64_t at, char *out, size_t n);
    void (*free)(void *context);
    void *context;
} srv_stream;

/* What http.c sends. Part of srv_request; handlers use the functions below. */
typedef struct srv_reply {
    srv_outcome outcome;      /* SRV_NO_OUTCOME: not answered yet */
    const char *content_type; /* a literal; NULL: no body */
    srv_text body;            /* owned */
    const void *fixed;        /* instead of body: bytes that outlive the process's requests */
    size_t fixed_bytes;
    srv_stream stream; /* instead of both, where it has `read`; owned */
    unsigned n_headers;
    srv_reply_header headers[SRV_REPLY_HEADERS];
    char detail[HOP_ERROR_TEXT_BYTES]; /* of a failure; logged where the fault is the daemon's */
} srv_reply;

void srv_reply_fini(srv_reply *reply);

/*
 * Answer with a body: *body is moved (the caller's text is empty afterwards). A text that failed becomes a problem
 * instead: SRV_LIMIT (it hit its maximum) naming the limit.
 */
void srv_reply_text(srv_request *request, srv_outcome outcome, const char *content_type, srv_text *body);
void srv_reply_json(srv_request *request, srv_outcome outcome, srv_text *body); /* application/json */

/* Answer with bytes that live as long as the process (not copied, not freed). */
void srv_reply_fixed(srv_request *request, srv_outcome outcome, const char *content_type, const void *bytes, size_t n);

/* Answer with a stream, which is the reply's from now on. */
void srv_reply_stream(srv_request *request, srv_outcome outcome, const char *content_type, const srv_stream *stream);

/* Answer without a body: SRV_NO_CONTENT, SRV_NOT_MODIFIED. */
void srv_reply_empty(srv_request *request, srv_outcome outcome);

/*
 * Add a header: call before or after the body, before the handler returns. The value is sanitised to printable ASCII.
 */
__attribute__((format(printf, 3, 4))) void srv_reply_header_add(srv_request *request, const char *name,
                                                                const char *format, ...);

/* Answer with a problem document from an error: row, column, byte, limit and actual where they apply. */
void srv_reply_error(srv_request *request, const hop_error *error);

/* The same with another outcome than the status's own, where a route needs one. */
void srv_reply_error_as(srv_request *request, srv_outcome outcome, const hop_error *error);

/* The problem document alone, as part of another answer of this request: no white space around it. */
void srv_problem_write(const srv_request *request, srv_outcome outcome, const hop_error *error, srv_text *out);

/* Answer with a problem document that has a sentence only. */
__attribute__((format(printf, 3, 4))) void srv_reply_problem(srv_request *request, srv_outcome outcome,
                                                             const char *format, ...);

/* The same with a limit and the actual value (NaN: left out). */
__attribute__((format(printf, 5, 6))) void srv_reply_problem_limit(srv_request *request, srv_outcome outcome,
                                                                   double limit, double actual, const char *format,
                                                                   ...);
#endif
