/*
 * watch.c - one thread, one list, two looks a second; it sleeps while there are no connections.
 */
#include "server/watch.h"

#include "core/status.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { PERIOD_MS = 500 };

struct srv_watched {
    int fd;
    srv_watched *previous, *next;
};

struct srv_watch {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* the list is no longer empty, or stop */
    pthread_t thread;
    bool stop;
    srv_watched *first;
};

/*
 * The stream has ended and everything before it was read: shutting down the reading side changes nothing for the
 * client, but is an event, and the library then reads the end. An answer that is on its way still leaves.
 */
static void look(int fd)
{
    char byte;
    if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        shutdown(fd, SHUT_RD);
}

static void *watch_main(void *arg)
{
    srv_watch *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        if (!w->first) {
            pthread_cond_wait(&w->changed, &w->lock);
            continue;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += PERIOD_MS * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        while (!w->stop && pthread_cond_timedwait(&w->changed, &w->lock, &until) == 0)
            continue;
        /* Under the lock: a socket is removed before it is closed, so every number in the list is still its own. */
        for (srv_watched *each = w->first; each && !w->stop; each = each->next)
            look(each->fd);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

hop_status srv_watch_new(srv_watch **out, hop_error *error)
{
    srv_watch *w = calloc(1, sizeof *w);
    if (!w)
        return hop_fail(error, HOP_E_NOMEM, "no memory for the listener");
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int failed = pthread_create(&w->thread, NULL, watch_main, w);
    if (failed != 0) {
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->lock);
        free(w);
        return hop_fail(error, HOP_E_IO, "cannot start the listener's watch thread: %s", strerror(failed));
    }
    *out = w;
    return HOP_OK;
}

void srv_watch_free(srv_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

srv_watched *srv_watch_add(srv_watch *w, int fd)
{
    srv_watched *watched = malloc(sizeof *watched);
    if (!watched)
        return NULL;
    pthread_mutex_lock(&w->lock);
    *watched = (srv_watched){.fd = fd, .next = w->first};
    if (w->first)
        w->first->previous = watched;
    else
        pthread_cond_signal(&w->changed);
    w->first = watched;
    pthread_mutex_unlock(&w->lock);
    return watched;
}

void srv_watch_remove(srv_watch *w, srv_watched *watched)
{
    if (!watched)
        return;
    pthread_mutex_lock(&w->lock);
    if (watched->previous)
        watched->previous->next = watched->next;
    else
        w->first = watched->next;
    if (watched->next)
        watched->next->previous = watched->previous;
    pthread_mutex_unlock(&w->lock);
    free(watched);
}
