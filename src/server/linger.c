/*
 * linger.c - one thread that polls the lingering sockets; it sleeps while there are none.
 */
#include "server/linger.h"

#include "core/status.h"
#include "server/request.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUND_READS = 16, READ_BYTES = 65536 };

struct srv_linger {
    pthread_mutex_t lock;
    pthread_t thread;
    int wake; /* eventfd: a socket was added, or stop */
    bool stop;
    unsigned n;                                    /* under the lock, as the two arrays */
    struct pollfd sockets[SRV_LINGER_SOCKETS + 1]; /* [0] is wake */
    uint64_t until_ns[SRV_LINGER_SOCKETS + 1];
};

/* Read what is there and drop it. False once the client has closed. */
static bool drain(int fd, char *scratch)
{
    for (int i = 0; i < ROUND_READS; i++) {
        ssize_t n = recv(fd, scratch, READ_BYTES, MSG_DONTWAIT);
        if (n == 0)
            return false;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    }
    return true;
}

static void *linger_main(void *arg)
{
    srv_linger *l = arg;
    static char scratch[READ_BYTES]; /* one such thread; what is read is never looked at */
    struct pollfd polled[SRV_LINGER_SOCKETS + 1];
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        unsigned n = l->n;
        memcpy(polled, l->sockets, (n + 1) * sizeof *polled);
        pthread_mutex_unlock(&l->lock);
        poll(polled, n + 1, n > 0 ? 100 : -1);
        if (polled[0].revents) {
            eventfd_t count;
            eventfd_read(l->wake, &count);
        }
        pthread_mutex_lock(&l->lock);
        /* Backwards, so that the last one moves into a hole; sockets added meanwhile are behind n. */
        for (unsigned i = n; i >= 1; i--) {
            bool open = !polled[i].revents || drain(l->sockets[i].fd, scratch);
            if (open && srv_clock_ns() < l->until_ns[i])
                continue;
            close(l->sockets[i].fd);
            l->sockets[i] = l->sockets[l->n];
            l->until_ns[i] = l->until_ns[l->n];
            l->n--;
        }
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

hop_status srv_linger_new(srv_linger **out, hop_error *error)
{
    srv_linger *l = calloc(1, sizeof *l);
    if (!l)
        return hop_fail(error, HOP_E_NOMEM, "no memory for the listener");
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->sockets[0] = (struct pollfd){.fd = l->wake, .events = POLLIN};
    pthread_mutex_init(&l->lock, NULL);
    int failed = l->wake < 0 ? errno : pthread_create(&l->thread, NULL, linger_main, l);
    if (failed != 0) {
        if (l->wake >= 0)
            close(l->wake);
        pthread_mutex_destroy(&l->lock);
        free(l);
        return hop_fail(error, HOP_E_IO, "cannot start the listener's helper thread: %s", strerror(failed));
    }
    *out = l;
    return HOP_OK;
}

void srv_linger_free(srv_linger *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_mutex_unlock(&l->lock);
    eventfd_write(l->wake, 1);
    pthread_join(l->thread, NULL);
    for (unsigned i = 1; i <= l->n; i++)
        close(l->sockets[i].fd);
    close(l->wake);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void srv_linger_add(srv_linger *l, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return;
    pthread_mutex_lock(&l->lock);
    bool room = l->n < SRV_LINGER_SOCKETS;
    if (room) {
        l->n++;
        l->sockets[l->n] = (struct pollfd){.fd = copy, .events = POLLIN};
        l->until_ns[l->n] = srv_clock_ns() + (uint64_t)SRV_LINGER_MS * 1000000u;
    }
    pthread_mutex_unlock(&l->lock);
    if (room)
        eventfd_write(l->wake, 1);
    else
        close(copy);
}
