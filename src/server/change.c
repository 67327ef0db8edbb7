/*
 * change.c - the steps that all changes have, and the two ways to wait for them.
 */
#include "server/change.h"

#include "core/checked.h"
#include "core/status.h"
#include "server/api_sets.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/scheduler.h"
#include "store/budget.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Room for a description: a few hundred bytes and one rank a degree. */
enum { ANSWER_BYTES = 16384 };

/* Bodies up to this size are not charged: connections x this is small. */
enum { SMALL_BYTES = 65536 };

/* Predicted, of a byte of rows and values; what is shown of a change goes by their proportion. */
#define MODEL_SECONDS_PER_BYTE 1.5e-9
#define SAVE_SECONDS_PER_BYTE 1.5e-9
#define LEAST_SECONDS 1e-3

/* Changes that take longer than this say in the log how far they are. */
#define TALK_SECONDS 10.0

static const char *const kind_words[] = {
    [SRV_CHANGE_PUT] = "put",
    [SRV_CHANGE_APPEND] = "append",
    [SRV_CHANGE_REMOVE] = "remove",
    [SRV_CHANGE_PATCH] = "patch",
};

/* ---- life ---------------------------------------------------------------------------------------------- */

/* Abandons a change that is open; the set is as it was. */
static void free_change(void *state)
{
    srv_change *change = state;
    store_builder_free(change->builder);
    free(change->ids);
    free(change->labels);
    free(change->label_text);
    if (change->charged_bytes)
        store_budget_release_for(change->app->budget, STORE_FOR_REQUESTS, change->charged_bytes);
    store_registry_abandon(change->app->registry, change->open);
    store_set_release(change->base);
    free(change);
}

/* NULL: the request has been answered (no memory). */
static srv_change *new_change(srv_request *request, srv_change_kind kind)
{
    srv_change *change = calloc(1, sizeof *change);
    if (!change) {
        srv_request_drop_state(request);
        srv_reply_problem(request, SRV_NOMEM, "out of memory");
        return NULL;
    }
    change->app = request->app;
    change->kind = kind;
    change->options = STORE_OPTIONS_DEFAULT;
    change->began_ns = request->received_ns;
    memcpy(change->request_id, request->id, sizeof change->request_id);
    memcpy(change->name, request->name, sizeof change->name);
    return change;
}

bool srv_change_begin(srv_request *request, srv_change_kind kind)
{
    const store_condition condition = {
        .if_match = srv_request_header(request, "If-Match"),
        .if_none_match = srv_request_header(request, "If-None-Match"),
    };
    hop_error error = HOP_ERROR_NONE;
    srv_change *change = new_change(request, kind);
    if (!change)
        return false;
    srv_request_set_state(request, change, free_change);
    if (store_registry_begin_revision(change->app->registry, change->name, &condition, &change->open, &change->base,
                                      &error) == HOP_OK)
        return true;
    srv_reply_error(request, &error);
    return false;
}

bool srv_change_accepts(srv_request *request)
{
    if (srv_accepts_json(request))
        return true;
    srv_request_drop_state(request);
    return false;
}

void srv_change_refuse(srv_request *request, const hop_error *error)
{
    srv_request_drop_state(request);
    srv_reply_error(request, error);
}

hop_status srv_change_charge(srv_change *change, size_t bytes, hop_error *error)
{
    if (bytes <= SMALL_BYTES)
        return HOP_OK;
    hop_status status =
        store_budget_charge_for(change->app->budget, STORE_FOR_REQUESTS, bytes, "what the request says", error);
    if (status == HOP_OK)
        change->charged_bytes += bytes;
    return status;
}

/* ---- steps --------------------------------------------------------------------------------------------- */

static double elapsed_seconds(const srv_change *change)
{
    return (double)(srv_clock_ns() - change->began_ns) * 1e-9;
}

/* A part begins: for whoever asks, and in the log where it has taken long. */
static void begin_part(const srv_change *change, unsigned to, double seconds, const char *what)
{
    if (change->work)
        store_work_part(change->work, to, seconds);
    if (elapsed_seconds(change) > TALK_SECONDS)
        srv_log(SRV_LOG_INFO, "%s %s '%s': %s after %.1f s", change->request_id, kind_words[change->kind], change->name,
                what, elapsed_seconds(change));
}

/* Bytes of rows and values that the version will have, about. */
static double row_bytes(const srv_change *change)
{
    double bytes = 0;
    if (change->builder) {
        const store_rows_view rows = store_builder_view(change->builder, NULL);
        bytes = (double)rows.M * (double)(rows.d + rows.p) * sizeof(float);
    }
    const store_set *base = change->base;
    if (base)
        bytes += (double)base->M * (double)(base->d + (base->values ? base->p : 0)) * sizeof(float);
    return bytes;
}

static hop_status make(srv_change *change, store_set **out, hop_error *error)
{
    const hop_executor *executor = srv_scheduler_executor(change->app->scheduler);
    return change->base ? store_revise(change->base, &change->revision, executor, out, error)
                        : store_builder_finish(change->builder, &change->options, executor, out, error);
}

/* Everything after decoding. On success *out is published and has a reference for the caller. */
static hop_status finish(srv_change *change, store_set **out, bool *created, hop_error *error)
{
    store_registry *registry = change->app->registry;
    double bytes = row_bytes(change), model = LEAST_SECONDS + bytes * MODEL_SECONDS_PER_BYTE;
    double save = LEAST_SECONDS + (change->app->folder ? bytes * SAVE_SECONDS_PER_BYTE : 0);
    store_set *set = NULL;
    begin_part(change, (unsigned)(1000 * model / (model + save)), model, "the rows are in");
    hop_status status = make(change, &set, error);
    if (status == HOP_OK) {
        begin_part(change, 1000, save, "the model is made");
        status = store_registry_save(registry, change->open, set, change->base ? &change->revision : NULL, error);
    }
    if (status != HOP_OK) {
        store_set_release(set);
        return status;
    }
    *out = store_set_acquire(set); /* the answer describes this version, even if it is replaced meanwhile */
    *created = store_registry_commit(registry, change->open, set);
    change->open = NULL;
    return HOP_OK;
}

/* ---- somebody waits ------------------------------------------------------------------------------------ */

static void reply_set(srv_request *request, const store_set *set, bool created)
{
    srv_text text;
    srv_text_init(&text, ANSWER_BYTES);
    srv_set_write_description(set, &text);
    srv_text_putc(&text, '\n');
    srv_reply_header_add(request, "ETag", "%s", set->etag);
    if (created)
        srv_reply_header_add(request, "Location", "/v1/sets/%s", set->name);
    srv_reply_json(request, created ? SRV_CREATED : SRV_OK, &text);
}

static void go_here(srv_change *change, srv_request *request)
{
    store_set *set = NULL;
    bool created = false;
    hop_error error = HOP_ERROR_NONE;
    if (finish(change, &set, &created, &error) == HOP_OK)
        reply_set(request, set, created);
    else
        srv_reply_error(request, &error);
    free_change(change);
    store_set_release(set);
}

/* ---- nobody waits -------------------------------------------------------------------------------------- */

static void run_later(srv_job *job, srv_workspace *workspace)
{
    (void)workspace;
    srv_change *change = job->context;
    store_set *set = NULL;
    bool created = false;
    hop_error error = HOP_ERROR_NONE;
    store_work_start(change->work);
    hop_status status = finish(change, &set, &created, &error);
    /* The name is free before the operation is seen to be over: what comes next is not refused as busy. */
    store_registry_abandon(change->app->registry, change->open);
    change->open = NULL;
    bool fault = status == HOP_E_IO || status == HOP_E_INTERNAL || status == HOP_E_NOMEM;
    if (status == HOP_OK)
        srv_log(SRV_LOG_DEBUG, "%s %s '%s': version %" PRIu64 " after %.1f s", change->request_id,
                kind_words[change->kind], change->name, set->version, elapsed_seconds(change));
    else
        srv_log(fault ? SRV_LOG_ERROR : SRV_LOG_INFO, "%s %s '%s' failed: %s", change->request_id,
                kind_words[change->kind], change->name, error.text);
    store_work_close(change->work, set ? set->version : 0, status == HOP_OK ? NULL : &error);
    change->work = NULL;
    store_set_release(set);
}

static void done_later(srv_job *job, srv_job_end how)
{
    (void)how;
    srv_change *change = job->context;
    srv_metrics *metrics = change->app->metrics;
    if (change->work) { /* it did not run */
        hop_error error = HOP_ERROR_NONE;
        hop_fail(&error, HOP_E_CANCELLED, "the daemon stopped before this change's turn");
        store_work_close(change->work, 0, &error);
    }
    free_change(change);
    srv_metrics_in_flight(metrics, -1); /* last: a drain waits for it */
}

static void go_later(srv_change *change, srv_request *request)
{
    srv_app *app = change->app;
    store_progress *progress = store_operations_progress(app->operations);
    hop_error error = HOP_ERROR_NONE;
    if (store_work_open(progress, kind_words[change->kind], change->name, 0, &change->work, &error) != HOP_OK) {
        srv_reply_error(request, &error);
        free_change(change);
        return;
    }
    store_work_view view;
    store_progress_get(progress, store_work_id(change->work), &view); /* as it is now: queued */
    change->job = (srv_job){.class = SRV_JOB_ADMIN, .run = run_later, .done = done_later, .context = change};
    srv_metrics_in_flight(app->metrics, +1);
    if (srv_scheduler_submit(app->scheduler, &change->job) != SRV_ADMITTED) {
        hop_fail(&error, HOP_E_CANCELLED, "the daemon is stopping");
        store_work_close(change->work, 0, &error);
        free_change(change);
        srv_metrics_in_flight(app->metrics, -1);
        srv_reply_problem(request, SRV_DRAINING, "the daemon is stopping; ask another one or later");
        return;
    }
    srv_reply_header_add(request, "Preference-Applied", "respond-async");
    srv_reply_operation(request, SRV_ACCEPTED, &view);
}

void srv_change_go(srv_change *change, srv_request *request)
{
    srv_request_set_state(request, NULL, NULL);
    if (srv_request_prefers_async(request))
        go_later(change, request);
    else
        go_here(change, request);
}

/* Labels as the revision wants them: a pointer each. */
static hop_status view_added(srv_change *change, hop_error *error)
{
    size_t n = store_builder_labels(change->builder), bytes = 0;
    if (n > 0) {
        if (!hop_mul_size(n, sizeof *change->labels, &bytes))
            return hop_fail(error, HOP_E_SHAPE, "more labels than this machine can address");
        hop_status status = srv_change_charge(change, bytes, error);
        if (status != HOP_OK)
            return status;
        change->labels = malloc(bytes);
        if (!change->labels)
            return hop_fail(error, HOP_E_NOMEM, "out of memory for %zu labels", n);
    }
    change->revision.kind = STORE_APPEND;
    change->revision.added = store_builder_view(change->builder, change->labels);
    return HOP_OK;
}

void srv_change_upload(srv_request *request, srv_change_kind kind, const srv_uploaded *uploaded)
{
    hop_error error = HOP_ERROR_NONE;
    srv_change *change = new_change(request, kind);
    if (!change) {
        store_builder_free(uploaded->builder);
        store_registry_abandon(request->app->registry, uploaded->change);
        store_set_release(uploaded->base);
        return;
    }
    change->builder = uploaded->builder;
    change->options = uploaded->options;
    change->open = uploaded->change;
    change->base = uploaded->base;
    srv_request_set_state(request, change, free_change);
    if (kind != SRV_CHANGE_APPEND || view_added(change, &error) == HOP_OK)
        srv_change_go(change, request);
    else
        srv_change_refuse(request, &error);
}
