/*
 * args.h - from bytes to typed arguments: finite, bounded, named; the only parsing of what a client says.
 *
 * A request is a body (JSON, npy or raw f32) and query parameters; the same options have the same names in both. What
 * comes out is ready for hop_retrieve(), but for the defaults that depend on the set; uploads are intake.h's, and only
 * their options are read here.
 * Which routes take which parameters, body limits and content types are checked before; steps against p, labels of
 * memories and the promise itself after.
 *
 * Statuses:
 *   HOP_E_FORMAT   malformed JSON, npy, base64 or parameter; a field that does not exist, comes twice, has the wrong
 *                  type or is missing; a parameter of another mode; a length that contradicts a shape. `byte` counts
 *                  from the start of the body
 *   HOP_E_SHAPE    ragged rows, an empty batch, rows whose length is not d
 *   HOP_E_DOMAIN   not finite, or not finite as f32 (row, column); beta, max_error, tolerance, steps, top, a parameter
 *                  of a mode out of range; a structured mode where energies or plans are asked for
 *   HOP_E_UNKNOWN  a mode, similarity or `return` word that does not exist
 *   HOP_E_LIMIT    more rows, columns or bytes than `limits` allow
 *   HOP_E_NOMEM
 */
#ifndef SRV_ARGS_H
#define SRV_ARGS_H

#include "server/ids.h"
#include "server/request.h"

/*
 * Where arguments come from. Borrowed for the call. The body is used up: readers decode it in place, its contents are
 * undefined afterwards; body[body_bytes] must be a NUL.
 */
typedef struct srv_args_source {
    srv_media media; /* SRV_MEDIA_JSON, SRV_MEDIA_NPY or SRV_MEDIA_OCTET */
    char *body;      /* NULL: empty */
    size_t body_bytes;
    const srv_parameter *parameters;
    size_t n_parameters;
} srv_args_source;

/* The source of a whole request. */
static inline srv_args_source srv_args_source_of(srv_request *request)
{
    return (srv_args_source){.media = request->media,
                             .body = request->body,
                             .body_bytes = request->body_bytes,
                             .parameters = request->parameters,
                             .n_parameters = request->n_parameters};
}

typedef struct srv_args_limits {
    size_t rows;        /* L, or M */
    size_t columns;     /* d and p */
    size_t array_bytes; /* of all f32 arrays of one request together */
} srv_args_limits;

enum { SRV_TOP_MAX = 1000, SRV_TOP_DEFAULT = 5, SRV_LABEL_BYTES = 1024 };

/* Which fields a route knows besides the queries. */
typedef enum srv_retrieve_kind {
    SRV_RETRIEVE, /* all of them */
    SRV_ENERGY,   /* beta, max_error, mode, on_unmet */
    SRV_PLAN      /* all of them */
} srv_retrieve_kind;

typedef struct srv_retrieve_args {
    /* beta, max_error: NaN where not given; top: SRV_TOP_DEFAULT; parameters: hop_parameters_default() */
    hop_request request;
    bool beta_given, max_error_given;
    size_t L;
    float *x; /* L x d, from malloc, finite */
} srv_retrieve_args;

/*
 * srv_retrieve_args_read() - queries for a set of dimension d, and how to answer them.
 *
 * JSON: `queries` (rows, or one flat row) or `queries_b64` + `shape`; others: the body is the L x d array.
 * Options: beta, mode, max_error, steps, tolerance, return, top, on_unmet ("best_effort" or "error"); parameters of the
 * structured modes (args_model.h). In the query string `return` is a list with commas. An option given
 * both in the body and in the query string is refused.
 * On success the caller owns *out and ends it with srv_retrieve_args_fini().
 * Cost: about 3 ns a byte of JSON. Any thread.
 */
HOP_WARN_UNUSED hop_status srv_retrieve_args_read(const srv_args_source *source, srv_retrieve_kind kind, size_t d,
                                                  const srv_args_limits *limits, srv_retrieve_args *out,
                                                  hop_error *error);
void srv_retrieve_args_fini(srv_retrieve_args *args);

/* What is changed of a set's settings. A number at "not given" of STORE_OPTIONS_DEFAULT: null, back to the default. */
typedef struct srv_patch_args {
    bool has_beta, has_max_error, has_max_degree, has_labels;
    double beta, max_error;
    int max_degree;
    const char **labels; /* n_labels of them, from malloc; NULL: none from now on */
    size_t n_labels;
    char *label_text; /* what labels points into, from malloc */
} srv_patch_args;

/* Memory that reading a patch may take, a byte of its text: labels, and pointers to them, of three bytes at least. */
enum { SRV_PATCH_TEXT_BYTES = 4 };

/* JSON: beta, max_error, max_degree, labels, each or null. HOP_E_DOMAIN where there is none of them. */
HOP_WARN_UNUSED hop_status srv_patch_args_read(const srv_args_source *source, srv_patch_args *out, hop_error *error);

/* Ids of rows to remove: a JSON body, or the query parameter `ids`. HOP_E_DOMAIN where there is neither. */
HOP_WARN_UNUSED hop_status srv_remove_args_read(const srv_args_source *source, srv_ids *out, hop_error *error);

/* What a new set is told about itself besides its rows. */
typedef struct srv_upload_options {
    double beta;               /* 0: not given */
    double max_error;          /* negative: not given */
    int max_degree;            /* -1: not given */
    hop_similarity similarity; /* HOP_DOT where not given */
    size_t d;                  /* 0: not given */
} srv_upload_options;

/* beta, max_error, max_degree, similarity and d, typed and in range. Errors as above. */
struct srv_options;
HOP_WARN_UNUSED hop_status srv_upload_options_read(const struct srv_options *options, size_t columns,
                                                   srv_upload_options *out, hop_error *error);

/*
 * The query parameters a reader knows, for the route table: NULL-terminated, static. The upload's include `d`.
 * Parameters outside the list are refused as HOP_E_FORMAT by the readers too.
 */
const char *const *srv_retrieve_args_parameters(srv_retrieve_kind kind);
const char *const *srv_upload_args_parameters(void);

#endif
