/*
 * upload.c - see upload.h. Bytes to rows is intake.h's.
 */
#include "server/upload.h"

#include "core/status.h"
#include "server/config.h"
#include "server/intake.h"
#include "server/metrics.h"
#include "server/route.h"
#include "server/sha256.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

_Static_assert((int)SRV_LABEL_BYTES == (int)STORE_LABEL_BYTES, "what the decoder lets through the store takes");

struct srv_upload {
    store_registry *registry;
    store_change *change;
    store_set *base;
    srv_intake *intake;
    const char *sha256; /* as given, NULL: not */
    srv_sha256 *sum;
};

void srv_upload_free(srv_upload *upload)
{
    if (!upload)
        return;
    srv_intake_free(upload->intake);
    srv_sha256_free(upload->sum);
    store_set_release(upload->base);
    store_registry_abandon(upload->registry, upload->change);
    free(upload);
}

/* The request comes to nothing: what it holds is for others. */
static bool refuse(srv_request *request, const hop_error *error)
{
    srv_upload_free(request->upload);
    request->upload = NULL;
    srv_reply_error(request, error);
    if (request->reply.outcome == SRV_BUDGET)
        srv_metrics_rejected(request->app->metrics, SRV_REJECTED_MEMORY);
    return false;
}

/* ---- the head ------------------------------------------------------------------------------------------ */

static hop_status open_sum(srv_request *request, srv_upload *upload, hop_error *error)
{
    for (unsigned i = 0; i < request->n_parameters; i++)
        if (strcmp(request->parameters[i].name, "sha256") == 0)
            upload->sha256 = request->parameters[i].value;
    if (!upload->sha256)
        return HOP_OK;
    if (!srv_sha256_valid(upload->sha256))
        return hop_fail(error, HOP_E_FORMAT, "sha256 must be %d hexadecimal digits, not '%.70s'", SRV_SHA256_DIGITS,
                        upload->sha256);
    upload->sum = srv_sha256_new();
    return upload->sum ? HOP_OK : hop_fail(error, HOP_E_NOMEM, "out of memory for a checksum");
}

/*
 * Rows take no less than half the bytes of any binary body (f64 becomes f32), headers aside: what cannot fit is refused
 * before it is sent. JSON may be white space.
 */
static hop_status check_room(const srv_request *request, size_t content_length, hop_error *error)
{
    enum { HEADERS_BYTES = 2 << 20 };
    const store_budget *budget = request->app->budget;
    size_t room = store_budget_limit(budget) - store_budget_reserved(budget);
    if (content_length == SIZE_MAX || request->media == SRV_MEDIA_JSON || content_length < HEADERS_BYTES)
        return HOP_OK;
    size_t least = (content_length - HEADERS_BYTES) / 2;
    if (least <= room)
        return HOP_OK;
    hop_fail(error, HOP_E_BUDGET,
             "the rows of a body of %zu bytes need at least %zu, and %zu of the memory budget of %zu bytes are free",
             content_length, least, room, store_budget_limit(budget));
    error->limit = (double)store_budget_limit(budget);
    error->actual = (double)store_budget_reserved(budget) + (double)least;
    return HOP_E_BUDGET;
}

static hop_status open_change(srv_request *request, srv_upload *upload, hop_error *error)
{
    const store_condition condition = {
        .if_match = srv_request_header(request, "If-Match"),
        .if_none_match = srv_request_header(request, "If-None-Match"),
    };
    if (request->route->body == SRV_BODY_APPEND)
        return store_registry_begin_revision(upload->registry, request->name, &condition, &upload->change,
                                             &upload->base, error);
    return store_registry_begin(upload->registry, request->name, &condition, &upload->change, error);
}

static hop_status open_intake(srv_request *request, srv_upload *upload, size_t content_length, hop_error *error)
{
    const srv_intake_source source = {
        .media = request->media,
        .body_bytes = content_length,
        .parameters = request->parameters,
        .n_parameters = request->n_parameters,
        .columns = SRV_LIMIT_DIMENSION,
        .onto = upload->base,
        .budget = request->app->budget,
        .packing = request->app->config->packing,
    };
    return srv_intake_new(&source, &upload->intake, error);
}

bool srv_upload_open(srv_request *request, size_t content_length)
{
    srv_body_kind kind = request->route->body;
    if (kind != SRV_BODY_UPLOAD && kind != SRV_BODY_APPEND)
        return true;
    hop_error error = HOP_ERROR_NONE;
    srv_upload *upload = calloc(1, sizeof *upload);
    if (!upload) {
        hop_fail(&error, HOP_E_NOMEM, "out of memory for an upload");
        return refuse(request, &error);
    }
    request->upload = upload;
    upload->registry = request->app->registry;
    hop_status status = open_sum(request, upload, &error);
    if (status == HOP_OK)
        status = check_room(request, content_length, &error);
    if (status == HOP_OK)
        status = open_change(request, upload, &error);
    if (status == HOP_OK)
        status = open_intake(request, upload, content_length, &error);
    return status == HOP_OK || refuse(request, &error);
}

/* ---- the body ------------------------------------------------------------------------------------------ */

bool srv_upload_feed(srv_request *request, const char *bytes, size_t n)
{
    srv_upload *upload = request->upload;
    hop_error error = HOP_ERROR_NONE;
    if (srv_intake_feed(upload->intake, bytes, n, &error) != HOP_OK)
        return refuse(request, &error);
    if (upload->sum)
        srv_sha256_add(upload->sum, bytes, n);
    return true;
}

/* ---- the end ------------------------------------------------------------------------------------------- */

/* False, and the reply is made, where the sum of the body is another than was said. */
static bool sum_agrees(srv_request *request)
{
    srv_upload *upload = request->upload;
    char sum[SRV_SHA256_DIGITS + 1];
    if (!upload->sum)
        return true;
    srv_sha256_end(upload->sum, sum);
    if (strcasecmp(sum, upload->sha256) == 0)
        return true;
    srv_reply_problem(request, SRV_CHECKSUM, "the SHA-256 of the body is %s, the parameter sha256 says %s", sum,
                      upload->sha256);
    srv_upload_free(upload);
    request->upload = NULL;
    return false;
}

bool srv_upload_take(srv_request *request, srv_uploaded *out)
{
    srv_upload *upload = request->upload;
    hop_error error = HOP_ERROR_NONE;
    srv_uploaded taken = {0};
    if (!sum_agrees(request))
        return false;
    if (srv_intake_end(upload->intake, &taken.builder, &taken.options, &error) != HOP_OK)
        return refuse(request, &error);
    taken.change = upload->change;
    taken.base = upload->base;
    upload->change = NULL;
    upload->base = NULL;
    srv_upload_free(upload);
    request->upload = NULL;
    *out = taken;
    return true;
}
