/*
 * http.c - libmicrohttpd's callbacks around srv_request.
 *
 * One exchange per request: made when the request line is read, given to the dispatcher when the body is complete,
 * freed when the library says the exchange is over. Departures from the library's ways, and why:
 * - the target is taken from the URI callback, because the library decodes paths in place and cuts them at %00;
 * - a refused request with a small body is read to its end before it is answered, because an early answer closes the
 *   connection; one that waits for "100 Continue", or is large, is answered at once;
 * - connections are suspended before their job is queued, never after.
 */
#include "server/http.h"

#include "core/status.h"
#include "server/config.h"
#include "server/linger.h"
#include "server/metrics.h"
#include "server/pace.h"
#include "server/route.h"
#include "server/upload.h"
#include "server/watch.h"
#include "store/budget.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTION_MEMORY_BYTES = 65536,
    DISCARD_MAX_BYTES = 1048576, /* a refused body up to this size is read and dropped */
    SLOW_BODY_SAY_S = 10
};

struct srv_http {
    srv_app *app;
    struct MHD_Daemon *daemon;
    srv_linger *linger;
    srv_watch *watch;
    int listen_fd; /* the library's to close */
    int silent_fd; /* takes the listener's place when no more connections are wanted: never ready */
};

typedef struct exchange {
    srv_http *http;
    srv_request *request;
    struct MHD_Connection *connection;
    struct lifeline *lifeline;
    int fd;
    bool begun;
    bool suspended;  /* written by the I/O thread alone */
    bool discard;    /* refused: the rest of the body is read and dropped */
    bool answered;   /* a response was handed to the library */
    bool early;      /* ... before the body was read */
    size_t received; /* bytes of the body, kept or dropped */
    size_t length;   /* of the body, SIZE_MAX where it is not known */
    srv_pace pace;   /* of the body */
    uint64_t said_s; /* seconds after the first line at which the log said how far the body is */
    size_t charged;  /* response bytes charged to the memory budget */
} exchange;

/* What a connection carries from its start to its end. */
typedef struct lifeline {
    srv_watched *watched;
    exchange *open; /* the exchange at hand: the library forgets it where a request ends before its headers do */
} lifeline;

/* ---- transport ----------------------------------------------------------------------------------------- */

static const char *transport_header(void *connection, const char *name)
{
    exchange *ex = connection;
    return MHD_lookup_connection_value(ex->connection, MHD_HEADER_KIND, name);
}

static void transport_suspend(srv_request *request)
{
    exchange *ex = request->connection;
    ex->suspended = true;
    MHD_suspend_connection(ex->connection);
}

static void transport_resume(srv_request *request)
{
    exchange *ex = request->connection;
    MHD_resume_connection(ex->connection);
}

/* A suspended connection is not watched by the library, so look for the end of its stream without taking anything. */
static bool transport_gone(const srv_request *request)
{
    const exchange *ex = request->connection;
    char byte;
    ssize_t n = recv(ex->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static const srv_transport transport = {transport_header, transport_suspend, transport_resume, transport_gone};

/* ---- replies ------------------------------------------------------------------------------------------- */

/* A stream in the library's hands. */
static ssize_t stream_read(void *cls, uint64_t at, char *out, size_t n)
{
    const srv_stream *stream = cls;
    size_t got = at < stream->bytes ? stream->read(stream->context, at, out, n) : 0;
    return got > 0 ? (ssize_t)got : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void stream_free(void *cls)
{
    srv_stream *stream = cls;
    stream->free(stream->context);
    free(stream);
}

/* Its buffer is as large as what is not charged elsewhere: connections x this is small. */
static struct MHD_Response *make_stream(srv_reply *reply)
{
    srv_stream *stream = malloc(sizeof *stream);
    if (!stream)
        return NULL;
    *stream = reply->stream;
    struct MHD_Response *response =
        MHD_create_response_from_callback(stream->bytes, CONNECTION_MEMORY_BYTES, stream_read, stream, stream_free);
    if (response)
        reply->stream = (srv_stream){0};
    else
        free(stream);
    return response;
}

/* The library frees the bytes when the response has been sent; the exchange gives their charge back. */
static struct MHD_Response *make_response(exchange *ex)
{
    srv_reply *reply = &ex->request->reply;
    if (reply->fixed) {
        /* Not written through: the library's signature lacks the const. */
        return MHD_create_response_from_buffer(reply->fixed_bytes, (void *)(uintptr_t)reply->fixed,
                                               MHD_RESPMEM_PERSISTENT);
    }
    if (reply->stream.read)
        return make_stream(reply);
    if (!reply->body.data)
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(reply->body.used, reply->body.data, free);
    if (response)
        reply->body = (srv_text){0};
    return response;
}

/* Large answers count while a slow client reads them; one that does not fit becomes a refusal. */
static void charge_reply(exchange *ex)
{
    srv_reply *reply = &ex->request->reply;
    store_budget *budget = ex->http->app->budget;
    if (!budget || reply->body.capacity < CONNECTION_MEMORY_BYTES)
        return;
    hop_error error = HOP_ERROR_NONE;
    if (store_budget_charge_for(budget, STORE_FOR_ANSWERS, reply->body.capacity, "the answer", &error) == HOP_OK) {
        ex->charged = reply->body.capacity;
        return;
    }
    srv_metrics_rejected(ex->http->app->metrics, SRV_REJECTED_MEMORY);
    srv_reply_fini(reply);
    *reply = (srv_reply){0};
    srv_reply_error_as(ex->request, SRV_OVERLOAD, &error);
}

static enum MHD_Result send_reply(exchange *ex)
{
    srv_request *request = ex->request;
    if (request->reply.outcome == SRV_CLIENT_GONE)
        return MHD_NO;
    charge_reply(ex);
    srv_reply *reply = &request->reply;
    struct MHD_Response *response = make_response(ex);
    if (!response)
        return MHD_NO;
    if (reply->content_type)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->content_type);
    MHD_add_response_header(response, "X-Request-Id", request->id);
    for (unsigned i = 0; i < reply->n_headers; i++)
        MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
    if (ex->early || atomic_load(&ex->http->app->draining))
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result queued = MHD_queue_response(ex->connection, srv_outcome_http(reply->outcome), response);
    MHD_destroy_response(response);
    ex->answered = queued == MHD_YES;
    return queued;
}

/* ---- one request --------------------------------------------------------------------------------------- */

static lifeline *lifeline_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void *on_target(void *cls, const char *uri, struct MHD_Connection *connection)
{
    srv_http *http = cls;
    exchange *ex = calloc(1, sizeof *ex);
    srv_request *request = ex ? srv_request_new(http->app, uri) : NULL;
    if (!request) {
        free(ex);
        return NULL; /* on_request closes the connection */
    }
    ex->http = http;
    ex->request = request;
    ex->connection = connection;
    ex->lifeline = lifeline_of(connection);
    if (ex->lifeline)
        ex->lifeline->open = ex;
    request->transport = &transport;
    request->connection = ex;
    srv_metrics_in_flight(http->app->metrics, +1);
    return ex;
}

/* SIZE_MAX: a body of unknown length. The library has refused malformed lengths before this. */
static size_t content_length(exchange *ex, bool *chunked)
{
    const char *encoding = transport_header(ex, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    const char *length = transport_header(ex, MHD_HTTP_HEADER_CONTENT_LENGTH);
    *chunked = encoding != NULL;
    if (*chunked)
        return SIZE_MAX;
    if (!length)
        return 0;
    errno = 0;
    unsigned long long value = strtoull(length, NULL, 10);
    return errno == ERANGE || value >= SIZE_MAX ? SIZE_MAX - 1 : (size_t)value;
}

static int connection_fd(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

static enum MHD_Result count_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    (void)value;
    unsigned *counts = cls;
    counts[0] += strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0;
    counts[1] += strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
    counts[2] += strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0;
    return MHD_YES;
}

/* What the library lets pass and two readers of the same bytes could understand differently (RFC 9112, 3.2 and 6). */
static bool framing_is_clear(exchange *ex, const char *version)
{
    unsigned counts[3] = {0};
    MHD_get_connection_values(ex->connection, MHD_HEADER_KIND, count_header, counts);
    const char *encoding = transport_header(ex, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    const char *why = NULL;
    if (counts[0] + counts[1] > 1)
        why = "the body's length is given more than once (Content-Length, Transfer-Encoding)";
    else if (encoding && strcasecmp(encoding, "chunked") != 0)
        why = "the only Transfer-Encoding taken is chunked";
    else if (counts[2] > 1 || (counts[2] == 0 && strcmp(version, MHD_HTTP_VERSION_1_1) == 0))
        why = "the request needs one Host header";
    if (why)
        srv_reply_problem(ex->request, SRV_BAD_REQUEST, "%s", why);
    return !why;
}

/* The headers are in: refuse now, or go on with the body. */
static enum MHD_Result begin(exchange *ex, const char *method, const char *version)
{
    srv_request *request = ex->request;
    ex->begun = true;
    request->method = srv_method_parse(method);
    ex->fd = connection_fd(ex->connection);
    MHD_set_connection_option(ex->connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)SRV_TIMEOUT_BODY_S);
    if (!framing_is_clear(ex, version)) { /* where the body ends is unknown: answer and close */
        ex->discard = ex->early = true;
        return send_reply(ex);
    }
    bool chunked;
    size_t length = content_length(ex, &chunked);
    ex->length = length;
    if (srv_route_admit(request, length, chunked) && srv_upload_open(request, length))
        return MHD_YES;
    if (request->reply.outcome == SRV_BODY_LIMIT)
        srv_metrics_rejected(ex->http->app->metrics, SRV_REJECTED_BODY_LIMIT);
    ex->discard = true;
    bool waits = transport_header(ex, MHD_HTTP_HEADER_EXPECT) != NULL;
    if (length <= DISCARD_MAX_BYTES && !(waits && length > 0))
        return MHD_YES;
    ex->early = !waits; /* the body is on its way already */
    return send_reply(ex);
}

/* Uploads that take long say how far they are. */
static void say_received(exchange *ex, uint64_t elapsed_s)
{
    const srv_request *request = ex->request;
    if (!request->upload || elapsed_s < ex->said_s + SLOW_BODY_SAY_S || !srv_log_enabled(SRV_LOG_INFO))
        return;
    ex->said_s = elapsed_s;
    char of[32] = "";
    if (ex->length != SIZE_MAX)
        snprintf(of, sizeof of, " of %zu", ex->length);
    srv_log(SRV_LOG_INFO, "%s %s '%s': %zu%s bytes received after %llu s", request->id,
            srv_method_word(request->method), request->name, ex->received, of, (unsigned long long)elapsed_s);
}

/* A piece of the body. Nothing can be answered before its end, so a failure is kept and the rest is dropped. */
static enum MHD_Result take_body(exchange *ex, const char *bytes, size_t n)
{
    srv_request *request = ex->request;
    uint64_t elapsed_s = (srv_clock_ns() - request->received_ns) / 1000000000u;
    ex->received += n;
    if (srv_pace_too_slow(&ex->pace, ex->received, elapsed_s, SRV_TIMEOUT_BODY_S)) {
        srv_reply_problem(request, SRV_BODY_TIMEOUT, "the body arrives too slowly");
        return MHD_NO;
    }
    if (ex->discard)
        return MHD_YES;
    say_received(ex, elapsed_s);
    if (request->upload) {
        ex->discard = !srv_upload_feed(request, bytes, n);
        return MHD_YES;
    }
    hop_error error = HOP_ERROR_NONE;
    hop_status status = srv_request_body_append(request, bytes, n, &error);
    if (status == HOP_OK)
        return MHD_YES;
    srv_metrics_rejected(ex->http->app->metrics, status == HOP_E_LIMIT ? SRV_REJECTED_BODY_LIMIT : SRV_REJECTED_MEMORY);
    if (status == HOP_E_LIMIT)
        srv_reply_error_as(request, SRV_BODY_LIMIT, &error);
    else if (status == HOP_E_BUDGET)
        srv_reply_error_as(request, SRV_OVERLOAD, &error);
    else
        srv_reply_error(request, &error);
    srv_request_body_free(request);
    ex->discard = true;
    return MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload_data, size_t *upload_data_size,
                                  void **con_cls)
{
    (void)cls;
    (void)connection;
    (void)url;
    exchange *ex = *con_cls;
    if (!ex)
        return MHD_NO;
    if (!ex->begun)
        return begin(ex, method, version);
    if (*upload_data_size > 0) {
        size_t n = *upload_data_size;
        *upload_data_size = 0;
        return take_body(ex, upload_data, n);
    }
    if (!ex->suspended && !ex->discard) {
        srv_request_dispatch(ex->request);
        if (ex->suspended)
            return MHD_YES;
        if (ex->request->reply.outcome == SRV_NO_OUTCOME)
            srv_reply_problem(ex->request, SRV_INTERNAL, "the request ended without an answer");
    }
    ex->suspended = false;
    return send_reply(ex);
}

/* One line a failed request: what the client sent is sanitised, and no body is ever written. */
static void log_exchange(const exchange *ex, enum MHD_RequestTerminationCode end, double ms)
{
    const srv_request *request = ex->request;
    const srv_reply *reply = &request->reply;
    unsigned http = ex->answered || reply->outcome != SRV_NO_OUTCOME ? srv_outcome_http(reply->outcome) : 0;
    bool aborted = end != MHD_REQUEST_TERMINATED_COMPLETED_OK && end != MHD_REQUEST_TERMINATED_DAEMON_SHUTDOWN;
    /* A client's mistakes and a shutdown are expected, pressure is worth a look, a fault is ours. */
    bool fault = reply->outcome == SRV_INTERNAL || reply->outcome == SRV_IO || reply->outcome == SRV_SPACE ||
                 reply->outcome == SRV_NOMEM;
    bool refused = reply->outcome >= SRV_BAD_REQUEST;
    bool pressure = reply->outcome == SRV_DEADLINE || reply->outcome == SRV_BUDGET || reply->outcome == SRV_OVERLOAD;
    srv_log_level level = fault                ? SRV_LOG_ERROR
                          : pressure           ? SRV_LOG_WARN
                          : refused || aborted ? SRV_LOG_INFO
                                               : SRV_LOG_DEBUG;
    if (!srv_log_enabled(level))
        return;
    char path[200];
    srv_log_sanitise(request->path, path, sizeof path);
    srv_log(level, "%s %s %s %u %.1f ms%s%s%s%s%s", request->id, ex->begun ? srv_method_word(request->method) : "-",
            path, http, ms, aborted ? " (connection lost)" : "", refused ? ": " : "",
            refused ? srv_outcome_code(reply->outcome) : "", fault ? ": " : "", fault ? reply->detail : "");
}

static void finish(exchange *ex, enum MHD_RequestTerminationCode end)
{
    srv_http *http = ex->http;
    srv_app *app = http->app;
    srv_request *request = ex->request;
    double seconds = (double)(srv_clock_ns() - request->received_ns) * 1e-9;
    srv_outcome outcome = request->reply.outcome;
    if (!ex->answered && outcome == SRV_NO_OUTCOME)
        outcome = SRV_CLIENT_GONE; /* it left, or timed out, before its request was whole */
    if (ex->begun)
        srv_metrics_request(app->metrics, srv_route_index(request->route), request->method, outcome, seconds);
    log_exchange(ex, end, seconds * 1e3);
    if (ex->early && ex->fd >= 0)
        srv_linger_add(http->linger, ex->fd);
    if (ex->charged > 0)
        store_budget_release_for(app->budget, STORE_FOR_ANSWERS, ex->charged);
    if (ex->lifeline)
        ex->lifeline->open = NULL;
    srv_request_free(request);
    free(ex);
    srv_metrics_in_flight(app->metrics, -1);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode end)
{
    (void)cls;
    exchange *ex = *con_cls;
    if (!ex)
        return;
    *con_cls = NULL;
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)SRV_TIMEOUT_IDLE_S);
    finish(ex, end);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    srv_http *http = cls;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        lifeline *made = calloc(1, sizeof *made);
        if (made)
            made->watched = srv_watch_add(http->watch, connection_fd(connection));
        *socket_context = made;
        srv_metrics_connections(http->app->metrics, +1);
        return;
    }
    lifeline *ended = *socket_context; /* the socket is still open */
    if (ended && ended->open)
        finish(ended->open, MHD_REQUEST_TERMINATED_WITH_ERROR);
    if (ended)
        srv_watch_remove(http->watch, ended->watched);
    free(ended);
    srv_metrics_connections(http->app->metrics, -1);
}

__attribute__((format(printf, 2, 0))) static void on_library_log(void *cls, const char *format, va_list args)
{
    (void)cls;
    if (!srv_log_enabled(SRV_LOG_DEBUG))
        return;
    char line[512];
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\r\n")] = '\0';
    srv_log(SRV_LOG_DEBUG, "http library: %s", line);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static hop_status bind_failed(const srv_config *config, int fd, int code, hop_error *error)
{
    if (fd >= 0)
        close(fd);
    return hop_fail(error, HOP_E_IO, "cannot listen on %s: %s", config->listen, strerror(code));
}

hop_status srv_http_listen(const srv_config *config, int *fd_out, uint16_t *port, hop_error *error)
{
    struct sockaddr_storage address = {0};
    socklen_t bytes;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    if (inet_pton(AF_INET, config->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(config->port);
        bytes = sizeof *v4;
    } else if (inet_pton(AF_INET6, config->host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(config->port);
        bytes = sizeof *v6;
    } else {
        return bind_failed(config, -1, EINVAL, error);
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        (address.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
        bind(fd, (struct sockaddr *)&address, bytes) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &bytes) != 0)
        return bind_failed(config, fd, errno, error);
    *port = ntohs(address.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
    *fd_out = fd;
    return HOP_OK;
}

static void free_parts(srv_http *http)
{
    srv_watch_free(http->watch);
    srv_linger_free(http->linger);
    if (http->silent_fd >= 0)
        close(http->silent_fd);
    free(http);
}

hop_status srv_http_start(srv_app *app, int fd, srv_http **out, hop_error *error)
{
    const srv_config *config = app->config;
    srv_http *http = calloc(1, sizeof *http);
    if (!http) {
        close(fd);
        return hop_fail(error, HOP_E_NOMEM, "no memory for the listener");
    }
    http->app = app;
    http->listen_fd = fd;
    http->silent_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    hop_status status = http->silent_fd >= 0
                            ? srv_linger_new(&http->linger, error)
                            : hop_fail(error, HOP_E_IO, "cannot make an event descriptor: %s", strerror(errno));
    if (status == HOP_OK)
        status = srv_watch_new(&http->watch, error);
    if (status != HOP_OK) {
        close(fd);
        free_parts(http);
        return status;
    }
    /* One thread is not a pool to the library; each pool thread takes its part of the connections. */
    unsigned threads = (unsigned)config->io_threads;
    unsigned connections = config->connections < threads ? threads : (unsigned)config->connections;
    struct MHD_OptionItem pool[] = {
        {threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, (intptr_t)threads, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_request, NULL, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SRV_TIMEOUT_HEADER_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_URI_LOG_CALLBACK, on_target,
        http, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
        MHD_OPTION_ARRAY, pool, MHD_OPTION_END);
    if (!http->daemon) {
        int code = errno;
        close(fd);
        free_parts(http);
        return hop_fail(error, HOP_E_IO, "cannot start the HTTP threads: %s", strerror(code));
    }
    *out = http;
    return HOP_OK;
}

/*
 * MHD_quiesce_daemon() races with the library's epoll threads, which may take the listener out of their set at the same
 * time: one of the two then calls that a panic and aborts the process (0.9.75). Putting another file under the
 * listener's number closes the listener, and with it leaves every epoll set; the library does not notice.
 */
void srv_http_quiesce(srv_http *http)
{
    if (dup3(http->silent_fd, http->listen_fd, O_CLOEXEC) < 0)
        srv_log(SRV_LOG_WARN, "cannot close the listener while draining: %s", strerror(errno));
}

void srv_http_stop(srv_http *http)
{
    if (!http)
        return;
    MHD_stop_daemon(http->daemon);
    free_parts(http);
}
