/*
 * lifecycle.c - start order, the signal loop, the drain, and what the service manager is told.
 */
#include "server/lifecycle.h"

#include "core/status.h"
#include "server/calibration.h"
#include "server/file.h"
#include "server/http.h"
#include "server/json.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/request.h"
#include "server/scheduler.h"
#include "store/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    DRAIN_POLL_MS = 10,
    DRAIN_GRACE_MS = 1000, /* for the answers of dropped jobs to leave */
    WORKSPACE_KEEP_BYTES = 256 << 20
};

/* ---- the service manager ------------------------------------------------------------------------------- */

/* sd_notify(3) without its library: one datagram, abstract sockets ('@') too. Not being supervised is no failure. */
__attribute__((format(printf, 1, 2))) static void notify(const char *format, ...)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, n);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    char message[256];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || length < 0)
        return;
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (sendto(fd, message, (size_t)length, MSG_NOSIGNAL, (struct sockaddr *)&address, bytes) < 0)
        srv_log(SRV_LOG_WARN, "cannot notify the service manager: %s", strerror(errno));
    close(fd);
}

/* ---- signals ------------------------------------------------------------------------------------------- */

static void signal_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

static pthread_t main_thread;

static void forward(int number)
{
    pthread_kill(main_thread, number);
}

void srv_signals_block(void)
{
    sigset_t set;
    signal_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    /* OpenBLAS starts threads while it is loaded, before this can run: one of them may be picked for a signal while the
     * main thread is not waiting for it. */
    main_thread = pthread_self();
    const struct sigaction action = {.sa_handler = forward, .sa_flags = SA_RESTART};
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&set, number) == 1)
            sigaction(number, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file over the limit is an error of write(2), not the end */
}

/* ---- parts --------------------------------------------------------------------------------------------- */

static hop_status write_port_file(const char *path, uint16_t port, hop_error *error)
{
    char text[16];
    hop_error cause = HOP_ERROR_NONE;
    int n = snprintf(text, sizeof text, "%u\n", port);
    if (srv_file_replace(path, text, (size_t)n, &cause) == HOP_OK)
        return HOP_OK;
    return hop_fail(error, HOP_E_IO, "cannot write the port file %.200s", cause.text);
}

/* Room for the connections and some files beside them, as far as the hard limit allows. */
static void raise_file_limit(uint64_t connections)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections + 256;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted)
        srv_log(SRV_LOG_WARN, "only %llu files may be open: fewer than %llu connections will fit",
                (unsigned long long)limit.rlim_cur, (unsigned long long)connections);
}

typedef struct running {
    srv_app app;
    srv_http *http;
    uint16_t port;
} running;

static hop_status start_parts(running *r, const srv_config *config, int listen_fd, hop_error *error)
{
    srv_app *app = &r->app;
    app->config = config;
    app->started_ns = srv_clock_ns();
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    app->started_unix = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    srv_scheduler_options options = {
        .workers = (unsigned)config->workers,
        .queue_seconds = config->queue_seconds,
        .workspace_keep_bytes = WORKSPACE_KEEP_BYTES,
    };
    hop_status status = srv_metrics_new(&app->metrics, error);
    if (status == HOP_OK)
        status = srv_scheduler_new(&options, &app->scheduler, error);
    if (status == HOP_OK)
        status = srv_sets_open(app, error);
    if (status != HOP_OK) {
        close(listen_fd);
        return status;
    }
    status = srv_http_start(app, listen_fd, &r->http, error);
    if (status == HOP_OK && config->port_file[0])
        status = write_port_file(config->port_file, r->port, error);
    return status;
}

/* Reverse order of start_parts(); takes what it left behind at any point. */
static void stop_parts(running *r)
{
    srv_http_stop(r->http);
    srv_sets_close(&r->app);
    srv_scheduler_free(r->app.scheduler);
    srv_metrics_free(r->app.metrics);
}

/* ---- running ------------------------------------------------------------------------------------------- */

static void reload(int argc, char *const *argv, char *const *environment)
{
    notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, srv_clock_ns() / 1000);
    srv_log_level level;
    hop_error error = HOP_ERROR_NONE;
    if (srv_config_reload_level(argc, argv, environment, &level, &error) == HOP_OK) {
        srv_log_set_level(level);
        srv_log(SRV_LOG_INFO, "reloaded: log level %s", srv_log_level_word(level));
    } else {
        srv_log(SRV_LOG_ERROR, "not reloaded: %s", error.text);
    }
    notify("READY=1");
}

/* Wait until no request is in flight, at most so long. A second stop signal ends the process. */
static bool wait_for_requests(const srv_app *app, uint64_t timeout_ms)
{
    sigset_t set;
    signal_set(&set);
    uint64_t until = srv_clock_ns() + timeout_ms * 1000000u;
    while (srv_metrics_in_flight_count(app->metrics) > 0) {
        if (srv_clock_ns() >= until)
            return false;
        struct timespec pause = {.tv_nsec = DRAIN_POLL_MS * 1000000};
        int number = sigtimedwait(&set, NULL, &pause);
        if (number == SIGTERM || number == SIGINT) {
            srv_log(SRV_LOG_WARN, "second signal: stopping at once");
            _exit(128 + number);
        }
    }
    return true;
}

/* True once nothing is suspended any more, so that the parts may be stopped. */
static bool drain(running *r)
{
    const srv_config *config = r->app.config;
    atomic_store(&r->app.draining, true);
    notify("STOPPING=1");
    srv_log(SRV_LOG_INFO, "draining: %d requests in flight", srv_metrics_in_flight_count(r->app.metrics));
    srv_http_quiesce(r->http);
    srv_sets_cancel(&r->app);
    if (wait_for_requests(&r->app, config->drain_timeout_ms))
        return true;
    srv_scheduler_drain(r->app.scheduler);
    srv_log(SRV_LOG_WARN, "drain timeout: %d requests dropped", srv_metrics_in_flight_count(r->app.metrics));
    wait_for_requests(&r->app, DRAIN_GRACE_MS);
    srv_scheduler_counts counts;
    srv_scheduler_count(r->app.scheduler, &counts);
    return counts.busy == 0 && counts.ending == 0 && counts.queued == 0;
}

static int serve(running *r, int argc, char *const *argv, char *const *environment)
{
    sigset_t set;
    signal_set(&set);
    notify("READY=1\nSTATUS=serving on %s, port %u", r->app.config->host, r->port);
    for (;;) {
        int number = sigwaitinfo(&set, NULL);
        if (number == SIGHUP)
            reload(argc, argv, environment);
        else if (number > 0)
            break;
    }
    if (drain(r))
        return SRV_EXIT_OK;
    /* A worker is deep in a computation that cannot be interrupted; its connection is suspended, so the library must
     * not be stopped. What was acknowledged is on disk: leave. */
    srv_log(SRV_LOG_WARN, "stopping with work unfinished");
    _exit(SRV_EXIT_OK);
}

int srv_lifecycle_run(const srv_config *config, int argc, char *const *argv, char *const *environment)
{
    hop_error error = HOP_ERROR_NONE;
    srv_log_set_level(config->log_level);
    if (hop_isa_choose(config->isa, &error) != HOP_OK) {
        srv_log(SRV_LOG_ERROR, "%s: %s", config->isa_from, error.text);
        return SRV_EXIT_CONFIG;
    }
    srv_json_init(); /* before there are threads */
    int listen_fd;
    running r = {0};
    if (srv_http_listen(config, &listen_fd, &r.port, &error) != HOP_OK) {
        srv_log(SRV_LOG_ERROR, "%s", error.text);
        return SRV_EXIT_UNAVAILABLE;
    }
    bool v6 = strchr(config->host, ':') != NULL;
    srv_log(SRV_LOG_INFO, "hopfieldd " HOPFIELDD_VERSION " listening on %s%s%s:%u", v6 ? "[" : "", config->host,
            v6 ? "]" : "", r.port);
    srv_log(SRV_LOG_INFO, "%llu workers, %llu I/O threads, memory budget %llu MiB, kernels %s, BLAS %s",
            (unsigned long long)config->workers, (unsigned long long)config->io_threads,
            (unsigned long long)(config->memory_budget_bytes >> 20), hop_isa_name(), hop_blas_core());
    if (!config->no_persist)
        srv_log(SRV_LOG_INFO, "data directory %s", config->data_dir);
    if (!config->loopback)
        srv_log(SRV_LOG_WARN, "insecure: anyone who reaches %s can read and change every set", config->host);
    raise_file_limit(config->connections);
    if (store_mapping_guard(&error) != HOP_OK) { /* sets are then read before they answer */
        srv_log(SRV_LOG_WARN, "%s", error.text);
        error = HOP_ERROR_NONE;
    }
    r.app.costs_source = srv_costs_settle(config);

    int code = SRV_EXIT_FAILURE;
    hop_status status = start_parts(&r, config, listen_fd, &error);
    if (status == HOP_OK) {
        code = serve(&r, argc, argv, environment);
        srv_log(SRV_LOG_INFO, "stopped");
    } else {
        srv_log(SRV_LOG_ERROR, "%s", error.text);
        if (status == HOP_E_BUSY) /* the data directory is taken */
            code = SRV_EXIT_UNAVAILABLE;
    }
    stop_parts(&r);
    return code;
}
