/*
 * upload.h - the upload that a request carries: opened when its head is in, fed while its body arrives, taken by the
 * handler when it is whole.
 *
 * The change of the set's name is open from the head on: what would be 409 or 412 is refused before its body, and
 * whatever becomes of the request, its end abandons the change and gives back what the rows were charged.
 */
#ifndef SRV_UPLOAD_H
#define SRV_UPLOAD_H

#include "server/request.h"
#include "store/builder.h"
#include "store/registry.h"

typedef struct srv_upload srv_upload;

/*
 * srv_upload_open() - after srv_route_admit(). Routes whose body is no upload: true, nothing is done. Else checks
 * everything that the head says (options, sha256, preconditions, the least memory that so long a body needs) and
 * opens the change: of the set that is there for SRV_BODY_APPEND (404), else of a new version. False: the reply is made.
 */
bool srv_upload_open(srv_request *request, size_t content_length);

/* The next n bytes of the body. False: the reply is made, all is given back, and the rest is to be dropped. */
bool srv_upload_feed(srv_request *request, const char *bytes, size_t n);

/* What an upload came to. */
typedef struct srv_uploaded {
    store_builder *builder; /* the rows that came, with labels and ids: to be freed */
    store_options options;  /* of a new set */
    store_change *change;   /* open: to be committed or abandoned */
    store_set *base;        /* what the rows are appended to: to be released; NULL: a new set */
} srv_uploaded;

/*
 * srv_upload_take() - for the handler, on a worker: the body is complete. True: all of *out is the caller's. False: it
 * is not what it should be (it ends early, another checksum), and the reply is made.
 */
bool srv_upload_take(srv_request *request, srv_uploaded *out);

/* For the request's end. NULL is taken. */
void srv_upload_free(srv_upload *upload);

#endif
