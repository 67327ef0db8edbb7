/*
 * upload_sink.h - a JSON upload read to the end through a chosen set of cuts, and everything it gave away.
 */
#ifndef TEST_SERVER_UPLOAD_SINK_H
#define TEST_SERVER_UPLOAD_SINK_H

#include "server/json_upload.h"

/* Bytes of the pieces: `first`, then `step` each; with a seed, 1 to `step` by chance. No piece is empty. */
typedef struct upload_cuts {
    size_t first, step;
    uint64_t seed;
} upload_cuts;

#define UPLOAD_WHOLE ((upload_cuts){.first = SIZE_MAX, .step = SIZE_MAX})

/* What came: rows as they were given, labels with a NUL each. */
typedef struct upload_sink {
    float *rows[2];            /* memories, values; malloc */
    size_t numbers[2], has[2]; /* of each, and the rows' columns */
    char *text;
    size_t text_bytes, labels;
    srv_json_upload_result result; /* where the upload ended well */
    long calls_left;               /* before the sink refuses; negative: it never does */
} upload_sink;

/* Read n bytes. Every piece is copied to memory of just its size. The caller ends *sink, whatever the outcome. */
hop_status upload_sink_read(upload_sink *sink, srv_json_upload_kind kind, const srv_args_limits *limits,
                            const void *body, size_t n, upload_cuts cuts, const srv_parameter *parameters,
                            size_t n_parameters, hop_error *error);
void upload_sink_fini(upload_sink *sink);

#endif
