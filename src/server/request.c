/*
 * request.c - taking a request target apart, growing a capped body, and reading the headers handlers ask about.
 */
#include "server/request.h"

#include "server/config.h"
#include "server/upload.h"
#include "store/budget.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

#include "core/status.h"

enum {
    BODY_FIRST_BYTES = 4096,
    BODY_FREE_BYTES = 65536 /* bodies up to this size are not charged: connections x this is small */
};

static const char *const method_words[SRV_METHODS] = {
    [SRV_GET] = "GET",       [SRV_HEAD] = "HEAD",   [SRV_POST] = "POST",       [SRV_PUT] = "PUT",
    [SRV_DELETE] = "DELETE", [SRV_PATCH] = "PATCH", [SRV_OPTIONS] = "OPTIONS", [SRV_OTHER_METHOD] = "other",
};

const char *srv_method_word(srv_method method)
{
    return method_words[(unsigned)method < SRV_METHODS ? method : SRV_OTHER_METHOD];
}

srv_method srv_method_parse(const char *word)
{
    for (unsigned i = 0; i < SRV_OTHER_METHOD; i++) {
        if (strcmp(word, method_words[i]) == 0)
            return (srv_method)i;
    }
    return SRV_OTHER_METHOD;
}

srv_media srv_media_parse(const char *content_type)
{
    if (!content_type)
        return SRV_MEDIA_NONE;
    size_t n = strcspn(content_type, "; \t");
    static const struct {
        const char *name;
        srv_media media;
    } known[] = {
        {"application/json", SRV_MEDIA_JSON},
        {"application/x-npy", SRV_MEDIA_NPY},
        {"application/octet-stream", SRV_MEDIA_OCTET},
        {"application/vnd.safetensors", SRV_MEDIA_SAFETENSORS},
        {"application/x-www-form-urlencoded", SRV_MEDIA_FORM},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i].name) == n && strncasecmp(content_type, known[i].name, n) == 0)
            return known[i].media;
    }
    return n > 5 && strncasecmp(content_type + n - 5, "+json", 5) == 0 ? SRV_MEDIA_JSON : SRV_MEDIA_OTHER;
}

uint64_t srv_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static _Atomic uint64_t id_counter;
static pthread_once_t id_once = PTHREAD_ONCE_INIT;

static void id_start(void)
{
    uint64_t start;
    if (getrandom(&start, sizeof start, GRND_NONBLOCK) != (ssize_t)sizeof start)
        start = srv_clock_ns();
    atomic_store_explicit(&id_counter, start, memory_order_relaxed);
}

/* A random start and a counter: unique in this process, unlike those of another run. */
static void make_id(char out[SRV_ID_BYTES])
{
    pthread_once(&id_once, id_start);
    uint64_t value = atomic_fetch_add_explicit(&id_counter, 1, memory_order_relaxed);
    value *= 0x9E3779B97F4A7C15u; /* odd: a bijection that spreads neighbours */
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < SRV_ID_BYTES - 1; i++)
        out[i] = hex[(value >> (60 - 4 * i)) & 15];
    out[SRV_ID_BYTES - 1] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decode percent escapes in place. False for a broken escape or an escaped NUL. */
static bool percent_decode(char *text)
{
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        int high = hex_digit(in[1]);
        int low = high < 0 ? -1 : hex_digit(in[2]);
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *out++ = (char)(high * 16 + low);
        in += 2;
    }
    *out = '\0';
    return true;
}

static void parse_path(srv_request *request, char *path)
{
    if (*path != '/')
        return; /* no segments: no route */
    for (char *segment = path + 1; segment;) {
        char *slash = strchr(segment, '/');
        if (slash)
            *slash++ = '\0';
        if (request->n_segments == SRV_SEGMENTS_MAX) {
            request->n_segments = 0; /* deeper than any route */
            return;
        }
        if (!percent_decode(segment))
            hop_fail(&request->target_error, HOP_E_FORMAT, "the path has a broken percent escape");
        request->segments[request->n_segments++] = segment;
        segment = slash;
    }
}

static void parse_parameters(srv_request *request, char *query)
{
    for (char *item = query; item;) {
        char *next = strchr(item, '&');
        if (next)
            *next++ = '\0';
        if (*item) {
            char *value = strchr(item, '=');
            if (value)
                *value++ = '\0';
            else
                value = item + strlen(item);
            if (request->n_parameters == SRV_PARAMETERS_MAX) {
                hop_fail(&request->target_error, HOP_E_FORMAT, "more than %d query parameters", SRV_PARAMETERS_MAX);
                return;
            }
            if (!percent_decode(item) || !percent_decode(value))
                hop_fail(&request->target_error, HOP_E_FORMAT, "query parameter %u has a broken percent escape",
                         request->n_parameters);
            request->parameters[request->n_parameters++] = (srv_parameter){item, value};
        }
        item = next;
    }
}

srv_request *srv_request_new(srv_app *app, const char *target)
{
    srv_request *request = calloc(1, sizeof *request);
    if (!request)
        return NULL;
    request->app = app;
    request->target_error = HOP_ERROR_NONE;
    request->received_ns = srv_clock_ns();
    make_id(request->id);
    if (strncasecmp(target, "http://", 7) == 0) { /* absolute form: the origin is us */
        const char *path = strchr(target + 7, '/');
        target = path ? path : "/";
    }
    size_t n = strnlen(target, SRV_TARGET_MAX + 1);
    if (n > SRV_TARGET_MAX) {
        hop_fail(&request->target_error, HOP_E_FORMAT, "the request target is over %d bytes", SRV_TARGET_MAX);
        n = SRV_TARGET_MAX;
    }
    request->target = strndup(target, n);
    request->path = strndup(target, strcspn(target, "?") < n ? strcspn(target, "?") : n);
    if (!request->target || !request->path) {
        srv_request_free(request);
        return NULL;
    }
    char *query = strchr(request->target, '?');
    if (query)
        *query++ = '\0';
    parse_path(request, request->target);
    parse_parameters(request, query);
    return request;
}

void srv_request_free(srv_request *request)
{
    if (!request)
        return;
    srv_request_drop_state(request);
    srv_request_body_free(request);
    srv_reply_fini(&request->reply);
    free(request->path);
    free(request->target);
    free(request);
}

const char *srv_request_header(const srv_request *request, const char *name)
{
    return request->transport ? request->transport->header(request->connection, name) : NULL;
}

/* The weight, in thousandths, of one Accept range's parameters ("q=0.5"); 1000 where it has none. */
static int accept_weight(const char *parameters, size_t n)
{
    for (size_t i = 0; i + 2 < n; i++) {
        if ((i == 0 || strchr("; \t", parameters[i - 1])) && (parameters[i] | 0x20) == 'q' &&
            parameters[i + 1] == '=') {
            double q = strtod(parameters + i + 2, NULL);
            return q >= 0 && q <= 1 ? (int)(q * 1000) : 1000;
        }
    }
    return 1000;
}

/* How well one range of n bytes names the type: 0 not at all, 1 by all types, 2 by the major type, 3 exactly. */
static int accept_match(const char *range, size_t n, const char *type)
{
    if (n == 3 && strncmp(range, "*/*", 3) == 0)
        return 1;
    size_t major = (size_t)(strchr(type, '/') - type) + 1;
    if (n == major + 1 && range[n - 1] == '*' && strncasecmp(range, type, major) == 0)
        return 2;
    return n == strlen(type) && strncasecmp(range, type, n) == 0 ? 3 : 0;
}

int srv_request_accepts(const srv_request *request, const char *const *offered, size_t n)
{
    const char *accept = srv_request_header(request, "Accept");
    if (!accept || !*accept)
        return 0;
    int best = -1, best_weight = 0;
    for (size_t i = 0; i < n; i++) {
        int weight = 0, precision = 0;
        for (const char *range = accept; *range;) {
            range += strspn(range, ", \t");
            size_t all = strcspn(range, ",");
            size_t name = strcspn(range, ",; \t");
            int match = accept_match(range, name, offered[i]);
            if (match > precision) {
                precision = match;
                weight = accept_weight(range + name, all - name);
            }
            range += all;
        }
        if (weight > best_weight) {
            best = (int)i;
            best_weight = weight;
        }
    }
    return best;
}

bool srv_request_prefers_async(const srv_request *request)
{
    static const char wanted[] = "respond-async";
    const char *prefer = srv_request_header(request, "Prefer");
    while (prefer && *prefer) {
        prefer += strspn(prefer, ", \t");
        size_t name = strcspn(prefer, ",;= \t");
        if (name == sizeof wanted - 1 && strncasecmp(prefer, wanted, name) == 0)
            return true;
        prefer += strcspn(prefer, ",");
    }
    return false;
}

void srv_request_set_state(srv_request *request, void *state, void (*state_free)(void *state))
{
    request->state = state;
    request->state_free = state_free;
}

void srv_request_drop_state(srv_request *request)
{
    if (request->state_free && request->state)
        request->state_free(request->state);
    srv_request_set_state(request, NULL, NULL);
    srv_upload_free(request->upload);
    request->upload = NULL;
}

srv_outcome srv_request_expired(const srv_request *request)
{
    if (request->deadline_ns && srv_clock_ns() > request->deadline_ns)
        return SRV_DEADLINE;
    return request->transport && request->transport->gone(request) ? SRV_CLIENT_GONE : SRV_NO_OUTCOME;
}

static double ms_between(uint64_t from, uint64_t to)
{
    return from && to > from ? (double)(to - from) * 1e-6 : 0.0;
}

double srv_request_queue_ms(const srv_request *request)
{
    return request->started_ns ? ms_between(request->complete_ns, request->started_ns) : 0.0;
}

double srv_request_compute_ms(const srv_request *request)
{
    return ms_between(request->started_ns, request->computed_ns ? request->computed_ns : srv_clock_ns());
}

double srv_request_total_ms(const srv_request *request)
{
    return ms_between(request->received_ns, srv_clock_ns());
}

hop_status srv_request_body_begin(srv_request *request, size_t expected_bytes, size_t maximum, hop_error *error)
{
    request->body_maximum = maximum;
    if (expected_bytes != SIZE_MAX && expected_bytes > maximum) {
        hop_status status =
            hop_fail(error, HOP_E_LIMIT, "the body has %zu bytes, the limit is %zu", expected_bytes, maximum);
        if (error) {
            error->limit = (double)maximum;
            error->actual = (double)expected_bytes;
        }
        return status;
    }
    /* What the client says is not allocated before it arrives: it only caps the growth. */
    if (expected_bytes < request->body_maximum)
        request->body_maximum = expected_bytes;
    return HOP_OK;
}

/* Grow to hold bytes and a NUL. */
static hop_status body_grow(srv_request *request, size_t bytes, hop_error *error)
{
    size_t capacity = request->body_capacity ? request->body_capacity : BODY_FIRST_BYTES;
    while (capacity < bytes + 1)
        capacity *= 2;
    if (capacity > request->body_maximum + 1)
        capacity = request->body_maximum + 1;
    store_budget *budget = request->app ? request->app->budget : NULL;
    size_t charge = 0;
    if (budget && capacity > BODY_FREE_BYTES) {
        charge = capacity - request->body_charged;
        hop_status status = store_budget_charge_for(budget, STORE_FOR_REQUESTS, charge, "the request's body", error);
        if (status != HOP_OK)
            return status;
        request->body_charged += charge;
    }
    char *body = realloc(request->body, capacity);
    if (!body) {
        if (charge > 0) {
            store_budget_release_for(budget, STORE_FOR_REQUESTS, charge);
            request->body_charged -= charge;
        }
        return hop_fail(error, HOP_E_NOMEM, "no memory for a body of %zu bytes", bytes);
    }
    request->body = body;
    request->body_capacity = capacity;
    return HOP_OK;
}

hop_status srv_request_body_append(srv_request *request, const char *bytes, size_t n, hop_error *error)
{
    size_t room = request->body_maximum - request->body_bytes;
    if (n > room) {
        hop_status status =
            hop_fail(error, HOP_E_LIMIT, "the body is over the limit of %zu bytes", request->body_maximum);
        if (error)
            error->limit = (double)request->body_maximum;
        return status;
    }
    if (request->body_bytes + n + 1 > request->body_capacity) {
        hop_status status = body_grow(request, request->body_bytes + n, error);
        if (status != HOP_OK)
            return status;
    }
    memcpy(request->body + request->body_bytes, bytes, n);
    request->body_bytes += n;
    request->body[request->body_bytes] = '\0';
    return HOP_OK;
}

void srv_request_body_free(srv_request *request)
{
    free(request->body);
    if (request->body_charged > 0)
        store_budget_release_for(request->app->budget, STORE_FOR_REQUESTS, request->body_charged);
    request->body = NULL;
    request->body_bytes = request->body_capacity = request->body_charged = 0;
}
