/*
 * watch.h - noticing that a client has closed its side when the HTTP library has not.
 *
 * The library waits for edges (EPOLLET): when the end of the stream arrives together with the last bytes, it reads the
 * bytes, takes a short read for "nothing more", and holds the connection until its idle timeout. The watch looks at
 * every open connection twice a second and wakes the library where the stream has ended.
 */
#ifndef SRV_WATCH_H
#define SRV_WATCH_H

#include "core/hopfield.h"

typedef struct srv_watch srv_watch;
typedef struct srv_watched srv_watched; /* one connection in it */

HOP_WARN_UNUSED hop_status srv_watch_new(srv_watch **out, hop_error *error);
void srv_watch_free(srv_watch *watch); /* nothing may be watched any more; NULL is taken */

/* Watch a connected socket until srv_watch_remove(). NULL: no memory; it is then not watched. Any thread. */
srv_watched *srv_watch_add(srv_watch *watch, int fd);

/* Before the socket is closed. NULL is taken. Any thread. */
void srv_watch_remove(srv_watch *watch, srv_watched *watched);

#endif
