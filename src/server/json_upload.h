/*
 * json_upload.h - a JSON upload as it arrives: rows and labels out, whatever the cuts between its pieces.
 *
 * `memories`, `values` and `labels` come in any order among the small members and are given away as they are read, so
 * that a body of any length takes srv_json_upload_bytes() here. What becomes of them, and what they are charged to,
 * is the sink's. The small members are kept as text and read at the end, by json.h and options.h.
 */
#ifndef SRV_JSON_UPLOAD_H
#define SRV_JSON_UPLOAD_H

#include "server/args.h"
#include "server/numbers.h"

/* Where an upload goes. Nothing given is valid after the call; an error of either function ends the upload with it. */
typedef struct srv_json_sink {
    void *context;
    srv_numbers_take *memories, *values; /* n rows, the next ones; the columns are the same in every call */
    hop_status (*label)(void *context, const char *text, size_t length, hop_error *error); /* no NUL in it or behind */
} srv_json_sink;

/* Which members there may be. */
typedef enum srv_json_upload_kind {
    SRV_JSON_SET, /* a new set: rows, labels and the defaults of the set */
    SRV_JSON_ROWS /* rows and labels for a set that is there */
} srv_json_upload_kind;

/* What an upload came to. */
typedef struct srv_json_upload_result {
    size_t M, d, p;             /* as many values and labels as memories, if there are any; p = 0: no values */
    bool labels;                /* M > 0 of them */
    srv_upload_options options; /* ROWS: none of them given */
} srv_json_upload_result;

typedef struct srv_json_upload srv_json_upload;

/* The most that an upload takes here, whatever its length, for the budget. */
size_t srv_json_upload_bytes(const srv_args_limits *limits);

/* HOP_E_NOMEM. *sink and *limits are copied, limits->array_bytes is not used; the caller frees *out. */
HOP_WARN_UNUSED hop_status srv_json_upload_new(srv_json_upload_kind kind, const srv_args_limits *limits,
                                               const srv_json_sink *sink, srv_json_upload **out, hop_error *error);
void srv_json_upload_free(srv_json_upload *upload);

/*
 * srv_json_upload_feed() - the next n bytes of the body. What is whole in them is read and given to the sink by the
 * batch (numbers.h).
 *
 * Errors: HOP_E_FORMAT (byte, counted from the start of the body; row and column), HOP_E_SHAPE (ragged: row),
 * HOP_E_DOMAIN (beyond f32: row, column), HOP_E_LIMIT (columns, rows, the bytes of a label), HOP_E_NOMEM, the sink's.
 * Which one does not depend on the cuts. After an error the upload can only be freed. Cost: about 3 ns a byte.
 */
HOP_WARN_UNUSED hop_status srv_json_upload_feed(srv_json_upload *upload, const void *bytes, size_t n, hop_error *error);

/*
 * srv_json_upload_end() - the body ends here; all rows and labels have been given when this succeeds. Once.
 *
 * known: the query parameters that there may be, NULL-terminated, as srv_upload_args_parameters() has them.
 * Errors: those of feed for what was not whole; what the small members and the query parameters are refused for
 * (json.h, options.h); HOP_E_FORMAT (no memories), HOP_E_SHAPE (none in them, empty rows, values or labels that are
 * not one a memory, a parameter d that is not the memories').
 */
HOP_WARN_UNUSED hop_status srv_json_upload_end(srv_json_upload *upload, const srv_parameter *parameters,
                                               size_t n_parameters, const char *const *known,
                                               srv_json_upload_result *out, hop_error *error);

#endif
