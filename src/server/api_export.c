/*
 * api_export.c - a set as a file: npy or safetensors, by Accept, read from its memory while it is sent.
 *
 * The version that was current when the request came is sent to the end, whatever happens to its name meanwhile.
 */
#include "server/api_sets.h"
#include "server/route.h"
#include "store/export.h"
#include "store/registry.h"

#include <stdlib.h>

/* A checksum passes over the arrays, of one thread. */
#define SEAL_SECONDS_PER_BYTE 1e-10

static const struct {
    const char *type, *suffix;
} forms[STORE_EXPORT_FORMS] = {
    [STORE_EXPORT_NPY] = {"application/x-npy", "npy"},
    [STORE_EXPORT_SAFETENSORS] = {"application/vnd.safetensors", "safetensors"},
};

/* What a request keeps until the export is the reply's. */
typedef struct asked {
    store_export *export;
    store_export_form form;
} asked;

static void asked_free(void *state)
{
    asked *self = state;
    store_export_free(self->export);
    free(self);
}

static size_t read_export(void *context, uint64_t at, char *out, size_t n)
{
    return store_export_read(context, at, out, n);
}

static void free_export(void *context)
{
    store_export_free(context);
}

static void send_export(srv_request *request, srv_workspace *workspace)
{
    (void)workspace;
    asked *self = request->state;
    if (request->method != SRV_HEAD)
        store_export_seal(self->export);
    const srv_stream stream = {
        .bytes = store_export_bytes(self->export), .read = read_export, .free = free_export, .context = self->export};
    self->export = NULL;
    srv_reply_stream(request, SRV_OK, forms[self->form].type, &stream);
}

/* NULL: the request has been answered. */
static asked *ask(srv_request *request, store_set *set, store_export_form form)
{
    asked *self = calloc(1, sizeof *self);
    hop_error error = HOP_ERROR_NONE;
    if (!self) {
        srv_reply_problem(request, SRV_NOMEM, "out of memory");
        return NULL;
    }
    srv_request_set_state(request, self, asked_free);
    self->form = form;
    if (store_export_new(set, form, &self->export, &error) == HOP_OK)
        return self;
    srv_reply_error(request, &error);
    return NULL;
}

void srv_api_set_export(srv_request *request)
{
    const char *offered[STORE_EXPORT_FORMS];
    for (int form = 0; form < STORE_EXPORT_FORMS; form++)
        offered[form] = forms[form].type;
    int accepted = srv_request_accepts(request, offered, STORE_EXPORT_FORMS);
    if (accepted < 0) {
        srv_reply_problem(request, SRV_NOT_ACCEPTABLE,
                          "a set is exported as application/x-npy or application/vnd.safetensors, and Accept takes "
                          "neither");
        return;
    }
    store_set *set = NULL;
    hop_error error = HOP_ERROR_NONE;
    if (store_registry_get(request->app->registry, request->name, &set, &error) != HOP_OK) {
        srv_reply_error(request, &error);
        return;
    }
    srv_reply_header_add(request, "Vary", "Accept");
    srv_reply_header_add(request, "ETag", "%s", set->etag);
    const char *known = srv_request_header(request, "If-None-Match");
    if (known && store_etag_listed(known, set->etag, true)) {
        srv_reply_empty(request, SRV_NOT_MODIFIED);
        store_set_release(set);
        return;
    }
    asked *self = ask(request, set, (store_export_form)accepted);
    store_set_release(set);
    if (!self)
        return;
    srv_reply_header_add(request, "Content-Disposition", "attachment; filename=\"%s.%s\"", request->name,
                         forms[accepted].suffix);
    bool seal = store_export_needs_seal(self->export) && request->method != SRV_HEAD;
    srv_request_defer(request, seal ? (double)store_export_bytes(self->export) * SEAL_SECONDS_PER_BYTE : 0,
                      send_export);
}
