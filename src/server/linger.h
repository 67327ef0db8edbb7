/*
 * linger.h - closing sockets politely after an answer that came before the client had sent all of its body.
 *
 * A socket closed with unread data is reset, and the reset can overtake the answer on its way. A lingering socket is
 * read and dropped for a moment, until the client has seen the answer and closes.
 */
#ifndef SRV_LINGER_H
#define SRV_LINGER_H

#include "core/hopfield.h"

typedef struct srv_linger srv_linger;

HOP_WARN_UNUSED hop_status srv_linger_new(srv_linger **out, hop_error *error);
void srv_linger_free(srv_linger *linger); /* closes what lingers; NULL is taken */

/*
 * Keep a duplicate of fd open and read it empty for up to SRV_LINGER_MS. Does not block; where too many linger
 * already, nothing happens. Any thread.
 */
void srv_linger_add(srv_linger *linger, int fd);

enum { SRV_LINGER_MS = 2000, SRV_LINGER_SOCKETS = 64 };

#endif
