/*
 * api_operations.c - work in the background, as clients see it: changes that nobody waits for, and measurements.
 */
#include "server/api_sets.h"
#include "server/route.h"
#include "store/operations.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { OPERATION_BYTES = 16384 };

static void write_time(srv_text *out, const char *name, int64_t ms)
{
    srv_text_printf(out, ",\"%s\":", name);
    if (ms)
        srv_text_json_time(out, ms);
    else
        srv_text_puts(out, "null");
}

static void write_operation(const srv_request *request, const store_work_view *view, srv_text *out)
{
    srv_text_printf(out, "{\"id\":%" PRIu64 ",\"kind\":\"%s\",\"set\":\"%s\",\"version\":", view->id, view->kind,
                    view->set);
    if (view->version)
        srv_text_printf(out, "%" PRIu64, view->version);
    else
        srv_text_puts(out, "null");
    srv_text_printf(out, ",\"state\":\"%s\",\"percent\":%u,\"eta_seconds\":", store_work_state_word(view->state),
                    view->permille / 10);
    if (isnan(view->eta_seconds))
        srv_text_puts(out, "null");
    else
        srv_text_printf(out, "%.3f", view->eta_seconds);
    write_time(out, "created", view->created_ms);
    write_time(out, "started", view->started_ms);
    write_time(out, "finished", view->ended_ms);
    srv_text_puts(out, ",\"problem\":");
    if (view->state == STORE_WORK_FAILED)
        srv_problem_write(request, srv_outcome_of(view->error.status), &view->error, out);
    else
        srv_text_puts(out, "null");
    srv_text_putc(out, '}');
}

void srv_reply_operation(srv_request *request, srv_outcome outcome, const store_work_view *view)
{
    srv_text text;
    srv_text_init(&text, OPERATION_BYTES);
    write_operation(request, view, &text);
    srv_text_putc(&text, '\n');
    if (view->state == STORE_QUEUED || view->state == STORE_RUNNING)
        srv_reply_header_add(request, "Retry-After", "%d", SRV_RETRY_SECONDS);
    if (outcome == SRV_ACCEPTED)
        srv_reply_header_add(request, "Location", "/v1/admin/operations/%" PRIu64, view->id);
    srv_reply_json(request, outcome, &text);
}

/* A number as this daemon writes ids; 0: it is none. */
static uint64_t parse_id(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits] != '\0' || text[0] == '0')
        return 0;
    return strtoull(text, NULL, 10);
}

void srv_api_operation(srv_request *request)
{
    if (!srv_accepts_json(request))
        return;
    uint64_t id = parse_id(request->name);
    store_work_view view;
    if (id && store_progress_get(store_operations_progress(request->app->operations), id, &view))
        srv_reply_operation(request, SRV_OK, &view);
    else
        srv_reply_problem(request, SRV_NO_OPERATION, "there is no operation '%.40s', or it is long over",
                          request->name);
}
