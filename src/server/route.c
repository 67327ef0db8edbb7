/*
 * route.c - the table of routes, what can be refused before a body is read, and the way of a handler to a worker.
 */
#include "server/route.h"

#include "server/config.h"
#include "server/metrics.h"
#include "store/registry.h"

#include <stdio.h>
#include <string.h>

/* JSON text is read at some 100 MB/s: such a body keeps its I/O thread for less than a millisecond. */
enum { DECODE_HERE_BYTES = 65536 };

enum {
    QUERY_MEDIA = SRV_MEDIA_JSON | SRV_MEDIA_NPY | SRV_MEDIA_OCTET,
    UPLOAD_MEDIA = QUERY_MEDIA | SRV_MEDIA_SAFETENSORS
};

static const char *const no_parameters[] = {NULL};
static const char *const retrieve_parameters[] = {"beta",   "mode",  "max_error", "steps", "tolerance",
                                                  "return", "top",   "on_unmet",  "k",     "keep",
                                                  "seed",   "width", "features",  "alpha", NULL};
static const char *const energy_parameters[] = {"beta", "mode", "max_error", "on_unmet", NULL};
static const char *const theory_parameters[] = {"beta", "max_error", "L", "B", "p", NULL};
static const char *const upload_parameters[] = {"d", "beta", "max_error", "max_degree", "similarity", "sha256", NULL};
static const char *const append_parameters[] = {"d", "sha256", NULL};
static const char *const remove_parameters[] = {"ids", NULL};

static const srv_route routes[] = {
    {SRV_GET, "/livez", SRV_OPEN, SRV_BODY_NONE, 0, no_parameters, true, srv_health_live},
    {SRV_GET, "/healthz", SRV_OPEN, SRV_BODY_NONE, 0, no_parameters, true, srv_health_live},
    {SRV_GET, "/readyz", SRV_OPEN, SRV_BODY_NONE, 0, no_parameters, true, srv_health_ready},
    {SRV_GET, "/metrics", SRV_OPEN, SRV_BODY_NONE, 0, no_parameters, true, srv_health_metrics},
    {SRV_GET, "/openapi.json", SRV_OPEN, SRV_BODY_NONE, 0, no_parameters, true, srv_health_openapi},
    {SRV_GET, "/v1/info", SRV_QUERY, SRV_BODY_NONE, 0, no_parameters, true, srv_health_info},
    {SRV_GET, "/v1/sets", SRV_QUERY, SRV_BODY_NONE, 0, no_parameters, true, srv_api_sets_list},
    {SRV_GET, "/v1/sets/{name}", SRV_QUERY, SRV_BODY_NONE, 0, no_parameters, true, srv_api_set_describe},
    {SRV_POST, "/v1/sets/{name}/retrieve", SRV_QUERY, SRV_BODY_QUERY, QUERY_MEDIA, retrieve_parameters, false,
     srv_api_retrieve},
    {SRV_POST, "/v1/sets/{name}/energy", SRV_QUERY, SRV_BODY_QUERY, QUERY_MEDIA, energy_parameters, false,
     srv_api_energy},
    {SRV_POST, "/v1/sets/{name}/plan", SRV_QUERY, SRV_BODY_QUERY, QUERY_MEDIA, retrieve_parameters, false,
     srv_api_plan},
    {SRV_GET, "/v1/sets/{name}/theory", SRV_QUERY, SRV_BODY_NONE, 0, theory_parameters, false, srv_api_theory},
    {SRV_GET, "/v1/admin/operations/{id}", SRV_ADMIN, SRV_BODY_NONE, 0, no_parameters, true, srv_api_operation},
    {SRV_PUT, "/v1/admin/sets/{name}", SRV_ADMIN, SRV_BODY_UPLOAD, UPLOAD_MEDIA, upload_parameters, false,
     srv_api_set_put},
    {SRV_PATCH, "/v1/admin/sets/{name}", SRV_ADMIN, SRV_BODY_QUERY, SRV_MEDIA_JSON, no_parameters, false,
     srv_api_set_patch},
    {SRV_DELETE, "/v1/admin/sets/{name}", SRV_ADMIN, SRV_BODY_NONE, 0, no_parameters, false, srv_api_set_delete},
    {SRV_POST, "/v1/admin/sets/{name}/memories", SRV_ADMIN, SRV_BODY_APPEND, UPLOAD_MEDIA, append_parameters, false,
     srv_api_rows_append},
    {SRV_DELETE, "/v1/admin/sets/{name}/memories", SRV_ADMIN, SRV_BODY_MAYBE, SRV_MEDIA_JSON, remove_parameters, false,
     srv_api_rows_remove},
    {SRV_GET, "/v1/admin/sets/{name}/data", SRV_ADMIN, SRV_BODY_NONE, 0, no_parameters, false, srv_api_set_export},
};

enum { ROUTES = sizeof routes / sizeof *routes };

const srv_route *srv_routes(size_t *count)
{
    *count = ROUTES;
    return routes;
}

size_t srv_route_count(void)
{
    return ROUTES;
}

size_t srv_route_index(const srv_route *route)
{
    return route ? (size_t)(route - routes) : ROUTES;
}

/* ---- finding ----------------------------------------------------------------------------------------- */

/* The decoded segments against one pattern; *name is the segment at {name} or {id}, NULL where it has neither. */
static bool matches(const srv_request *request, const char *pattern, const char **name)
{
    *name = NULL;
    unsigned i = 0;
    for (const char *piece = pattern; *piece; i++) {
        piece++; /* the slash */
        size_t n = strcspn(piece, "/");
        if (i == request->n_segments)
            return false;
        const char *segment = request->segments[i];
        if (*piece == '{')
            *name = segment;
        else if (strlen(segment) != n || memcmp(segment, piece, n) != 0)
            return false;
        piece += n;
    }
    return i == request->n_segments;
}

static void add_method(char *allow, size_t allow_bytes, const char *word)
{
    size_t used = strlen(allow);
    snprintf(allow + used, allow_bytes - used, "%s%s", used ? ", " : "", word);
}

srv_outcome srv_route_find(srv_request *request, char *allow, size_t allow_bytes)
{
    allow[0] = '\0';
    srv_method wanted = request->method == SRV_HEAD ? SRV_GET : request->method;
    bool path_known = false;
    for (size_t i = 0; i < ROUTES; i++) {
        const char *name;
        if (!matches(request, routes[i].pattern, &name))
            continue;
        path_known = true;
        if (routes[i].method == wanted) {
            request->route = &routes[i];
            /* SRV_NAME_BYTES holds the longest valid name: what is cut here is refused below. */
            snprintf(request->name, sizeof request->name, "%s", name ? name : "");
            return strstr(routes[i].pattern, "{name}") && !store_name_valid(name) ? SRV_BAD_NAME : SRV_OK;
        }
        add_method(allow, allow_bytes, srv_method_word(routes[i].method));
        if (routes[i].method == SRV_GET)
            add_method(allow, allow_bytes, "HEAD");
    }
    return path_known ? SRV_METHOD : SRV_NO_PATH;
}

/* ---- early refusals ---------------------------------------------------------------------------------- */

static bool parameters_known(srv_request *request)
{
    for (unsigned i = 0; i < request->n_parameters; i++) {
        const char *name = request->parameters[i].name;
        const char *const *known = request->route->parameters;
        while (*known && strcmp(*known, name) != 0)
            known++;
        if (!*known) {
            srv_text list;
            srv_text_init(&list, HOP_ERROR_TEXT_BYTES);
            for (known = request->route->parameters; *known; known++)
                srv_text_printf(&list, "%s%s", list.used ? ", " : "", *known);
            srv_reply_problem(request, SRV_BAD_PARAMETER, "there is no query parameter '%.60s' here (%s%s)", name,
                              list.used ? "known: " : "this route takes none", list.used ? list.data : "");
            srv_text_fini(&list);
            return false;
        }
        for (unsigned j = 0; j < i; j++) {
            if (strcmp(request->parameters[j].name, name) == 0) {
                srv_reply_problem(request, SRV_BAD_PARAMETER, "the query parameter '%s' is given twice", name);
                return false;
            }
        }
    }
    return true;
}

static bool media_taken(srv_request *request)
{
    const char *type = srv_request_header(request, "Content-Type");
    const char *encoding = srv_request_header(request, "Content-Encoding");
    request->media = srv_media_parse(type);
    if (encoding && strcmp(encoding, "identity") != 0) {
        srv_reply_header_add(request, "Accept-Encoding", "identity");
        srv_reply_problem(request, SRV_MEDIA_TYPE, "Content-Encoding '%.60s' is not taken: send the body as it is",
                          encoding);
        return false;
    }
    if (request->route->media & request->media)
        return true;
    unsigned media = request->route->media;
    const char *taken =
        media == SRV_MEDIA_JSON ? "application/json"
        : media & SRV_MEDIA_SAFETENSORS
            ? "application/json, application/x-npy, application/octet-stream, application/vnd.safetensors"
            : "application/json, application/x-npy, application/octet-stream";
    srv_reply_header_add(request, "Accept", "%s", taken);
    if (request->media == SRV_MEDIA_NONE)
        srv_reply_problem(request, SRV_MEDIA_TYPE, "the request has no Content-Type; taken is %s", taken);
    else if (request->media == SRV_MEDIA_FORM)
        srv_reply_problem(request, SRV_MEDIA_TYPE,
                          "application/x-www-form-urlencoded is what `curl -d` sends by itself: use --json, or "
                          "-H 'Content-Type: application/json'");
    else
        srv_reply_problem(request, SRV_MEDIA_TYPE, "Content-Type '%.60s' is not taken here, but %s", type, taken);
    return false;
}

static bool is_upload(const srv_request *request)
{
    return request->route->body == SRV_BODY_UPLOAD || request->route->body == SRV_BODY_APPEND;
}

static bool length_fits(srv_request *request, size_t content_length)
{
    if (is_upload(request)) /* is not kept as it comes: upload.c knows what it needs */
        return true;
    hop_error error = HOP_ERROR_NONE;
    size_t limit = (size_t)request->app->config->query_body_limit_bytes;
    if (srv_request_body_begin(request, content_length, limit, &error) == HOP_OK)
        return true;
    srv_reply_error_as(request, SRV_BODY_LIMIT, &error);
    return false;
}

bool srv_route_admit(srv_request *request, size_t content_length, bool chunked)
{
    if (request->target_error.status != HOP_OK) {
        srv_reply_error_as(request, SRV_BAD_REQUEST, &request->target_error);
        return false;
    }
    char allow[64];
    srv_outcome found = srv_route_find(request, allow, sizeof allow);
    if (found == SRV_NO_PATH) {
        srv_reply_problem(request, SRV_NO_PATH, "there is nothing at this path; /openapi.json lists what there is");
        return false;
    }
    if (found == SRV_METHOD) {
        srv_reply_header_add(request, "Allow", "%s", allow);
        srv_reply_problem(request, SRV_METHOD, "this path answers %s", allow);
        return false;
    }
    if (found == SRV_BAD_NAME) {
        srv_reply_problem(
            request, SRV_BAD_NAME,
            "the name of a set is 1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit");
        return false;
    }
    if (!request->route->always && atomic_load(&request->app->draining)) {
        srv_metrics_rejected(request->app->metrics, SRV_REJECTED_DRAINING);
        srv_reply_problem(request, SRV_DRAINING, "the daemon is stopping; ask another one or later");
        return false;
    }
    if (!parameters_known(request))
        return false;
    if (request->route->body == SRV_BODY_NONE) {
        if (chunked || (content_length != SIZE_MAX && content_length > 0)) {
            srv_reply_problem(request, SRV_BAD_REQUEST, "this route takes no body");
            return false;
        }
        return true;
    }
    if (request->route->body == SRV_BODY_MAYBE && content_length == 0 && !chunked)
        return true;
    return media_taken(request) && length_fits(request, content_length);
}

/* ---- dispatch ---------------------------------------------------------------------------------------- */

static srv_request *request_of(srv_job *job)
{
    return job->context;
}

static void reply_queue_full(srv_request *request, double seconds)
{
    srv_metrics_rejected(request->app->metrics, SRV_REJECTED_QUEUE_FULL);
    srv_reply_problem(request, SRV_QUEUE_FULL,
                      "the work that waits already (predicted) leaves no room for another %.3g s; try again", seconds);
}

static void job_done(srv_job *job, srv_job_end how)
{
    srv_request *request = request_of(job);
    srv_metrics *metrics = request->app->metrics;
    request->workspace = NULL;
    if (how != SRV_JOB_RAN)
        srv_request_drop_state(request);
    switch (how) {
    case SRV_JOB_RAN:
        if (request->reply.outcome == SRV_NO_OUTCOME)
            srv_reply_problem(request, SRV_INTERNAL, "the request ended without an answer");
        break;
    case SRV_JOB_FULL:
        reply_queue_full(request, job->seconds);
        break;
    case SRV_JOB_DEADLINE:
        srv_metrics_rejected(metrics, SRV_REJECTED_DEADLINE);
        srv_reply_problem(request, SRV_DEADLINE, "no worker became free within %llu ms",
                          (unsigned long long)request->app->config->request_deadline_ms);
        break;
    case SRV_JOB_GONE:
        srv_metrics_rejected(metrics, SRV_REJECTED_CLIENT_GONE);
        srv_reply_empty(request, SRV_CLIENT_GONE);
        break;
    case SRV_JOB_DRAINED:
        srv_metrics_rejected(metrics, SRV_REJECTED_DRAINING);
        srv_reply_problem(request, SRV_DRAINING, "the daemon stopped before this request's turn");
        break;
    }
    request->transport->resume(request); /* the request may be gone now */
}

static bool job_gone(srv_job *job)
{
    srv_request *request = request_of(job);
    return request->transport->gone(request);
}

static void job_run_handler(srv_job *job, srv_workspace *workspace)
{
    srv_request *request = request_of(job);
    request->workspace = workspace;
    request->route->handler(request);
}

static void job_run_deferred(srv_job *job, srv_workspace *workspace)
{
    srv_request *request = request_of(job);
    request->workspace = workspace;
    request->started_ns = srv_clock_ns();
    request->run(request, workspace);
}

/* Suspend and queue: the transport is resumed by job_done(), or here when the job is not admitted. */
static void submit(srv_request *request, srv_job_class class, double seconds, srv_job_run run)
{
    request->job = (srv_job){
        .class = request->route->access == SRV_ADMIN ? SRV_JOB_ADMIN : class,
        .seconds = seconds,
        .deadline_ns = request->deadline_ns,
        .run = run,
        .done = job_done,
        .gone = job_gone,
        .context = request,
    };
    request->transport->suspend(request);
    srv_admission admission = srv_scheduler_submit(request->app->scheduler, &request->job);
    if (admission == SRV_ADMITTED)
        return; /* it may be answered and freed by now */
    srv_request_drop_state(request);
    if (admission == SRV_REFUSED_FULL) {
        reply_queue_full(request, seconds);
    } else {
        srv_metrics_rejected(request->app->metrics, SRV_REJECTED_DRAINING);
        srv_reply_problem(request, SRV_DRAINING, "the daemon is stopping; ask another one or later");
    }
    request->transport->resume(request);
}

void srv_request_defer(srv_request *request, double predicted_seconds,
                       void (*run)(srv_request *request, srv_workspace *workspace))
{
    srv_workspace *here = request->workspace; /* of the worker that has decoded a large body */
    if (here && request->job.class == SRV_JOB_DECODE && predicted_seconds >= SRV_INLINE_SECONDS) {
        request->run = run;
        srv_job_requeue(&request->job, predicted_seconds, job_run_deferred);
        return;
    }
    if (!here && predicted_seconds < SRV_INLINE_SECONDS)
        here = srv_workspace_here();
    if (here) {
        request->started_ns = srv_clock_ns();
        run(request, here);
        return;
    }
    request->run = run;
    submit(request, SRV_JOB_QUERY, predicted_seconds, job_run_deferred);
}

void srv_request_dispatch(srv_request *request)
{
    request->complete_ns = srv_clock_ns();
    uint64_t deadline_ms = request->app->config->request_deadline_ms;
    request->deadline_ns = request->complete_ns + deadline_ms * 1000000u;
    bool here = !request->upload && request->body_bytes <= DECODE_HERE_BYTES;
    if (here)
        request->route->handler(request);
    else
        submit(request, SRV_JOB_DECODE, 0.0, job_run_handler);
}
