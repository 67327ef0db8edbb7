/*
 * http.h - the listener and the HTTP library behind it: connections in, requests dispatched, replies out.
 *
 * http.c is the only file that includes microhttpd.h.
 */
#ifndef SRV_HTTP_H
#define SRV_HTTP_H

#include "server/app.h"

typedef struct srv_http srv_http;

/* Bind and listen on config's address. *port is the one in use. HOP_E_IO: cannot bind; the text says why. */
HOP_WARN_UNUSED hop_status srv_http_listen(const srv_config *config, int *fd, uint16_t *port, hop_error *error);

/* Serve app on a listening socket: takes fd over, also on failure. The app outlives the result. */
HOP_WARN_UNUSED hop_status srv_http_start(srv_app *app, int fd, srv_http **out, hop_error *error);

/* Take no new connections from now on; the open ones go on. Once. */
void srv_http_quiesce(srv_http *http);

/* Close every connection and end the I/O threads. No request may be suspended. NULL is taken. */
void srv_http_stop(srv_http *http);

#endif
