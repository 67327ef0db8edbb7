/*
 * reply.c - the one table from outcome to HTTP status, and the problem documents of RFC 9457.
 */
#include "server/reply.h"

#include "server/request.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PROBLEM_BYTES = 16384 };

static const struct {
    unsigned http;
    const char *code, *title;
} table[SRV_OUTCOMES] = {
    [SRV_NO_OUTCOME] = {500, "internal", "The request was not answered"},
    [SRV_OK] = {200, "ok", "OK"},
    [SRV_CREATED] = {201, "ok", "Created"},
    [SRV_ACCEPTED] = {202, "ok", "Accepted"},
    [SRV_NO_CONTENT] = {204, "ok", "No content"},
    [SRV_NOT_MODIFIED] = {304, "ok", "Not modified"},
    [SRV_BAD_REQUEST] = {400, "bad_request", "The request is malformed"},
    [SRV_BAD_PARAMETER] = {400, "unknown_parameter", "A query parameter is not known here"},
    [SRV_BAD_NAME] = {400, "bad_set_name", "This cannot be the name of a set"},
    [SRV_NO_PATH] = {404, "no_such_path", "There is nothing at this path"},
    [SRV_NO_OPERATION] = {404, "no_such_operation", "There is no such operation"},
    [SRV_METHOD] = {405, "method_not_allowed", "The path does not answer this method"},
    [SRV_NOT_ACCEPTABLE] = {406, "not_acceptable", "The answer has no form that Accept takes"},
    [SRV_BODY_TIMEOUT] = {408, "body_timeout", "The body arrived too slowly"},
    [SRV_BODY_LIMIT] = {413, "body_limit", "The body is over the limit"},
    [SRV_MEDIA_TYPE] = {415, "unsupported_media_type", "The body's type is not taken here"},
    [SRV_CHECKSUM] = {422, "checksum", "The checksum of the body differs"},
    [SRV_QUEUE_FULL] = {429, "queue_full", "Too much work is waiting"},
    [SRV_DRAINING] = {503, "draining", "The daemon is stopping"},
    [SRV_NOT_READY] = {503, "not_ready", "Not ready"},
    [SRV_OVERLOAD] = {503, "memory_pressure", "Requests in flight fill the memory budget"},
    [SRV_DEADLINE] = {504, "deadline", "The deadline passed before the answer"},
    [SRV_CLIENT_GONE] = {499, "client_gone", "The client went away"},
    [SRV_SHAPE] = {422, "shape", "Sizes do not agree"},
    [SRV_DOMAIN] = {422, "domain", "A value is outside its domain"},
    [SRV_LIMIT] = {413, "limit", "Over a limit"},
    [SRV_UNMET] = {422, "unmet_max_error", "max_error cannot be met"},
    [SRV_FORMAT] = {400, "format", "The body is malformed"},
    [SRV_UNKNOWN] = {422, "unknown", "A word or an id is not known"},
    [SRV_NOT_FOUND] = {404, "no_such_set", "There is no such set"},
    [SRV_PRECONDITION] = {412, "precondition_failed", "The precondition does not hold"},
    [SRV_BUSY] = {409, "busy", "Another change of the same set runs"},
    [SRV_BUDGET] = {507, "memory_budget", "Over the memory budget"},
    [SRV_CANCELLED] = {503, "cancelled", "The work was cancelled"},
    [SRV_UNLOADED] = {503, "set_not_loaded", "The set is not loaded"},
    [SRV_NOMEM] = {507, "out_of_memory", "Out of memory"},
    [SRV_SPACE] = {507, "disk_full", "No room on the disk"},
    [SRV_IO] = {500, "io", "Input or output failed"},
    [SRV_INTERNAL] = {500, "internal", "Internal error"},
};

unsigned srv_outcome_http(srv_outcome outcome)
{
    return table[(unsigned)outcome < SRV_OUTCOMES ? outcome : SRV_INTERNAL].http;
}

const char *srv_outcome_code(srv_outcome outcome)
{
    return table[(unsigned)outcome < SRV_OUTCOMES ? outcome : SRV_INTERNAL].code;
}

srv_outcome srv_outcome_of(hop_status status)
{
    if (status == HOP_OK)
        return SRV_OK;
    if ((unsigned)status > HOP_E_INTERNAL)
        return SRV_INTERNAL;
    return (srv_outcome)(SRV_SHAPE + (int)(status - HOP_E_SHAPE));
}

_Static_assert((int)SRV_INTERNAL - (int)SRV_SHAPE == (int)HOP_E_INTERNAL - (int)HOP_E_SHAPE,
               "outcomes follow hop_status one by one");

void srv_reply_fini(srv_reply *reply)
{
    srv_text_fini(&reply->body);
    if (reply->stream.read)
        reply->stream.free(reply->stream.context);
    reply->stream = (srv_stream){0};
}

void srv_reply_header_add(srv_request *request, const char *name, const char *format, ...)
{
    srv_reply *reply = &request->reply;
    srv_reply_header *header = NULL;
    for (unsigned i = 0; i < reply->n_headers; i++) {
        if (strcmp(reply->headers[i].name, name) == 0)
            header = &reply->headers[i];
    }
    if (!header) {
        if (reply->n_headers == SRV_REPLY_HEADERS)
            return;
        header = &reply->headers[reply->n_headers++];
    }
    header->name = name;
    va_list args;
    va_start(args, format);
    vsnprintf(header->value, sizeof header->value, format, args);
    va_end(args);
    for (char *c = header->value; *c; c++) {
        if (*c < 0x20 || *c > 0x7E)
            *c = '?';
    }
}

/* Numbers are NaN and places -1 where they do not apply. */
void srv_problem_write(const srv_request *request, srv_outcome outcome, const hop_error *error, srv_text *out)
{
    srv_text_printf(out, "{\"type\":\"urn:hopfieldd:problem:%s\",\"title\":", table[outcome].code);
    srv_text_json_string(out, table[outcome].title);
    srv_text_printf(out, ",\"status\":%u,\"detail\":", table[outcome].http);
    srv_text_json_string(out, error->text);
    srv_text_puts(out, ",\"instance\":");
    size_t path_bytes = request->path ? strnlen(request->path, 256) : 0;
    srv_text_json_string_n(out, request->path, path_bytes);
    srv_text_printf(out, ",\"code\":\"%s\",\"request_id\":\"%s\"", table[outcome].code, request->id);
    if (error->row >= 0)
        srv_text_printf(out, ",\"row\":%lld", (long long)error->row);
    if (error->column >= 0)
        srv_text_printf(out, ",\"column\":%lld", (long long)error->column);
    if (error->byte >= 0)
        srv_text_printf(out, ",\"byte\":%lld", (long long)error->byte);
    if (isfinite(error->limit)) {
        srv_text_puts(out, ",\"limit\":");
        srv_text_json_number(out, error->limit);
    }
    if (isfinite(error->actual)) {
        srv_text_puts(out, ",\"actual\":");
        srv_text_json_number(out, error->actual);
    }
    srv_text_puts(out, ",\"error\":");
    srv_text_json_string(out, error->text);
    srv_text_putc(out, '}');
}

/* The answer and its problem document, whatever made them. */
static void write_problem(srv_request *request, srv_outcome outcome, const hop_error *error)
{
    srv_reply *reply = &request->reply;
    if (reply->outcome != SRV_NO_OUTCOME)
        return;
    srv_text text;
    srv_text_init(&text, PROBLEM_BYTES);
    srv_problem_write(request, outcome, error, &text);
    srv_text_putc(&text, '\n');

    reply->outcome = outcome;
    reply->content_type = "application/problem+json";
    if (text.failed) {
        srv_text_fini(&text);
        reply->content_type = NULL;
    }
    reply->body = text;
    snprintf(reply->detail, sizeof reply->detail, "%s", error->text);
    if (outcome == SRV_QUEUE_FULL || outcome == SRV_DRAINING || outcome == SRV_NOT_READY || outcome == SRV_OVERLOAD ||
        outcome == SRV_CANCELLED || outcome == SRV_UNLOADED)
        srv_reply_header_add(request, "Retry-After", "%d", SRV_RETRY_SECONDS);
}

void srv_reply_error_as(srv_request *request, srv_outcome outcome, const hop_error *error)
{
    write_problem(request, outcome, error);
}

void srv_reply_error(srv_request *request, const hop_error *error)
{
    /* A handler that reports HOP_OK as a failure has a defect; the client hears of it as one. */
    write_problem(request, error->status == HOP_OK ? SRV_INTERNAL : srv_outcome_of(error->status), error);
}

__attribute__((format(printf, 5, 0))) static void problem_v(srv_request *request, srv_outcome outcome, double limit,
                                                            double actual, const char *format, va_list args)
{
    hop_error error = HOP_ERROR_NONE;
    error.limit = limit;
    error.actual = actual;
    vsnprintf(error.text, sizeof error.text, format, args);
    write_problem(request, outcome, &error);
}

void srv_reply_problem(srv_request *request, srv_outcome outcome, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    problem_v(request, outcome, (double)NAN, (double)NAN, format, args);
    va_end(args);
}

void srv_reply_problem_limit(srv_request *request, srv_outcome outcome, double limit, double actual, const char *format,
                             ...)
{
    va_list args;
    va_start(args, format);
    problem_v(request, outcome, limit, actual, format, args);
    va_end(args);
}

void srv_reply_text(srv_request *request, srv_outcome outcome, const char *content_type, srv_text *body)
{
    srv_reply *reply = &request->reply;
    if (body->failed) {
        if (body->no_memory)
            srv_reply_problem(request, SRV_NOMEM, "no memory for the answer");
        else
            srv_reply_problem_limit(request, SRV_LIMIT, (double)body->maximum, (double)NAN,
                                    "the answer is over the response limit of %zu bytes", body->maximum);
        srv_text_fini(body);
        return;
    }
    if (reply->outcome != SRV_NO_OUTCOME) {
        srv_text_fini(body);
        return;
    }
    reply->outcome = outcome;
    reply->content_type = content_type;
    reply->body = *body;
    *body = (srv_text){0};
}

void srv_reply_json(srv_request *request, srv_outcome outcome, srv_text *body)
{
    srv_reply_text(request, outcome, "application/json", body);
}

void srv_reply_fixed(srv_request *request, srv_outcome outcome, const char *content_type, const void *bytes, size_t n)
{
    srv_reply *reply = &request->reply;
    if (reply->outcome != SRV_NO_OUTCOME)
        return;
    reply->outcome = outcome;
    reply->content_type = content_type;
    reply->fixed = bytes;
    reply->fixed_bytes = n;
}

void srv_reply_stream(srv_request *request, srv_outcome outcome, const char *content_type, const srv_stream *stream)
{
    srv_reply *reply = &request->reply;
    if (reply->outcome != SRV_NO_OUTCOME) {
        stream->free(stream->context);
        return;
    }
    reply->outcome = outcome;
    reply->content_type = content_type;
    reply->stream = *stream;
}

void srv_reply_empty(srv_request *request, srv_outcome outcome)
{
    if (request->reply.outcome == SRV_NO_OUTCOME)
        request->reply.outcome = outcome;
}
