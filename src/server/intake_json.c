/*
 * intake_json.c - an upload as JSON: rows and labels grow (store/growth.h), as nothing says beforehand how many there
 * will be, and the builder takes them over when the body has ended. The text is json_upload.c's.
 */
#include "server/intake_format.h"

#include "server/json_upload.h"
#include "server/refuse.h"

#include <stdlib.h>

typedef struct json_state {
    srv_json_upload *upload;
    size_t charged_bytes; /* for the upload and its room */
    store_growth growth;
} json_state;

static hop_status take_memories(void *context, size_t n, size_t d, const float *rows, hop_error *error)
{
    srv_intake *intake = context;
    json_state *json = intake->state;
    hop_status status = HOP_OK;
    if (json->growth.M == 0)
        status = srv_intake_check_memories(intake, d, error);
    return status == HOP_OK ? store_growth_memories(&json->growth, n, d, rows, error) : status;
}

static hop_status take_values(void *context, size_t n, size_t p, const float *rows, hop_error *error)
{
    srv_intake *intake = context;
    json_state *json = intake->state;
    hop_status status = HOP_OK;
    if (json->growth.value_rows == 0)
        status = srv_intake_check_values(intake, p, error);
    return status == HOP_OK ? store_growth_values(&json->growth, n, p, rows, error) : status;
}

static hop_status take_label(void *context, const char *text, size_t length, hop_error *error)
{
    json_state *json = ((srv_intake *)context)->state;
    return store_growth_label(&json->growth, text, length, error);
}

static hop_status json_begin(srv_intake *intake, hop_error *error)
{
    const srv_intake_source *source = &intake->source;
    json_state *json = calloc(1, sizeof *json);
    if (!json)
        return srv_refuse(error, HOP_E_NOMEM, -1, -1, -1, "out of memory for an upload");
    intake->state = json;
    store_growth_init(&json->growth, source->budget, source->packing);
    const srv_args_limits limits = {.rows = SIZE_MAX / sizeof(float), .columns = source->columns};
    const srv_json_sink sink = {
        .context = intake, .memories = take_memories, .values = take_values, .label = take_label};
    size_t bytes = srv_json_upload_bytes(&limits);
    hop_status status = store_budget_charge(source->budget, bytes, "the text of this upload", error);
    if (status != HOP_OK)
        return status;
    json->charged_bytes = bytes;
    return srv_json_upload_new(source->onto ? SRV_JSON_ROWS : SRV_JSON_SET, &limits, &sink, &json->upload, error);
}

static hop_status json_feed(srv_intake *intake, const unsigned char *bytes, size_t n, hop_error *error)
{
    json_state *json = intake->state;
    return srv_json_upload_feed(json->upload, bytes, n, error);
}

/* Before the builder charges its own: what the text took is free again. */
static void drop_text(srv_intake *intake, json_state *json)
{
    srv_json_upload_free(json->upload);
    store_budget_release(intake->source.budget, json->charged_bytes);
    json->upload = NULL;
    json->charged_bytes = 0;
}

static hop_status json_end(srv_intake *intake, hop_error *error)
{
    json_state *json = intake->state;
    srv_json_upload_result result;
    hop_status status = srv_json_upload_end(json->upload, intake->source.parameters, intake->source.n_parameters,
                                            srv_upload_args_parameters(), &result, error);
    if (status != HOP_OK)
        return status;
    drop_text(intake, json);
    intake->options = result.options;
    status = srv_intake_shape(intake, false, result.M, result.d, result.p, NULL, NULL, error);
    return status == HOP_OK ? store_builder_adopt_growth(intake->builder, &json->growth, error) : status;
}

static void json_finish(srv_intake *intake)
{
    json_state *json = intake->state;
    if (!json)
        return;
    drop_text(intake, json);
    store_growth_fini(&json->growth);
    free(json);
}

const srv_intake_format srv_intake_json = {json_begin, json_feed, json_end, json_finish};
