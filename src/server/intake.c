/*
 * intake.c - telling formats apart, and what all of them do with a shape that has become known.
 */
#include "server/intake.h"

#include "server/intake_format.h"
#include "server/options.h"
#include "server/refuse.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { SAFETENSORS_LENGTH = 8 };

hop_status srv_intake_new(const srv_intake_source *source, srv_intake **out, hop_error *error)
{
    srv_intake *intake = calloc(1, sizeof *intake);
    if (!intake)
        return srv_refuse(error, HOP_E_NOMEM, -1, -1, -1, "out of memory for an upload");
    intake->source = *source;
    hop_status status = srv_intake_options(intake, NULL, 0, error);
    if (status != HOP_OK) {
        srv_intake_free(intake);
        return status;
    }
    *out = intake;
    return HOP_OK;
}

hop_status srv_intake_options(srv_intake *intake, const srv_parameter *more, size_t n_more, hop_error *error)
{
    srv_parameter all[SRV_PARAMETERS_MAX];
    size_t n = intake->source.n_parameters;
    const srv_options given = {.parameters = intake->source.parameters, .n_parameters = n};
    const srv_options together = {.parameters = all, .n_parameters = n + n_more};
    assert(n + n_more <= SRV_PARAMETERS_MAX);
    hop_status status = srv_options_check(&given, srv_upload_args_parameters(), error);
    if (status != HOP_OK)
        return status;
    for (size_t i = 0; i < n; i++) /* the first of a name is the one that counts */
        all[i] = intake->source.parameters[i];
    for (size_t i = 0; i < n_more; i++)
        all[n + i] = more[i];
    return srv_upload_options_read(&together, intake->source.columns, &intake->options, error);
}

/* ---- formats ------------------------------------------------------------------------------------------- */

/* A header's length that is no more than such a header may be, and the JSON object that is its header. */
static bool looks_like_safetensors(const unsigned char *head, size_t n)
{
    return n >= SAFETENSORS_LENGTH + 2 && (head[3] | head[4] | head[5] | head[6] | head[7]) == 0 &&
           head[SAFETENSORS_LENGTH] == '{' && head[SAFETENSORS_LENGTH + 1] == '"';
}

static const srv_intake_format *recognise(const srv_intake *intake, const unsigned char *head, size_t n)
{
    if (intake->source.media == SRV_MEDIA_JSON)
        return &srv_intake_json;
    if (intake->source.media == SRV_MEDIA_NPY)
        return &srv_intake_npy;
    if (intake->source.media == SRV_MEDIA_SAFETENSORS)
        return &srv_intake_safetensors;
    if (store_npy_magic(head, n))
        return &srv_intake_npy;
    return intake->options.d == 0 && looks_like_safetensors(head, n) ? &srv_intake_safetensors : &srv_intake_raw;
}

static hop_status begin(srv_intake *intake, const unsigned char *head, size_t n, hop_error *error)
{
    intake->format = recognise(intake, head, n);
    return intake->format->begin(intake, error);
}

hop_status srv_intake_feed(srv_intake *intake, const void *bytes, size_t n, hop_error *error)
{
    const unsigned char *s = bytes;
    size_t before = intake->received;
    hop_status status = HOP_OK;
    intake->received += n;
    if (intake->format)
        return intake->format->feed(intake, s, n, error);
    if (intake->source.media == SRV_MEDIA_OCTET) {
        size_t more = n < SRV_INTAKE_HEAD - before ? n : SRV_INTAKE_HEAD - before;
        memcpy(intake->head + before, s, more);
        if (before + more < SRV_INTAKE_HEAD)
            return HOP_OK;
        status = begin(intake, intake->head, SRV_INTAKE_HEAD, error);
        if (status == HOP_OK)
            status = intake->format->feed(intake, intake->head, SRV_INTAKE_HEAD, error);
        s += more;
        n -= more;
    } else {
        status = begin(intake, s, n, error);
    }
    return status == HOP_OK && n > 0 ? intake->format->feed(intake, s, n, error) : status;
}

hop_status srv_intake_end(srv_intake *intake, store_builder **builder, store_options *options, hop_error *error)
{
    hop_status status = HOP_OK;
    if (!intake->format) { /* a body of a few bytes, or none */
        size_t n = intake->source.media == SRV_MEDIA_OCTET ? intake->received : 0;
        status = begin(intake, intake->head, n, error);
        if (status == HOP_OK && n > 0)
            status = intake->format->feed(intake, intake->head, n, error);
    }
    if (status == HOP_OK)
        status = intake->format->end(intake, error);
    if (status != HOP_OK)
        return status;
    *options = (store_options){
        .beta = intake->options.beta, .max_error = intake->options.max_error, .max_degree = intake->options.max_degree};
    *builder = intake->builder;
    intake->builder = NULL;
    return HOP_OK;
}

void srv_intake_free(srv_intake *intake)
{
    if (!intake)
        return;
    if (intake->format)
        intake->format->finish(intake);
    store_builder_free(intake->builder);
    free(intake);
}

/* ---- for the formats ----------------------------------------------------------------------------------- */

static hop_status check_columns(const srv_intake *intake, const char *name, size_t columns, hop_error *error)
{
    if (columns <= intake->source.columns)
        return HOP_OK;
    return srv_refuse_limit(error, HOP_E_LIMIT, -1, -1, (double)intake->source.columns, (double)columns,
                            "%s: %zu columns, the limit is %zu", name, columns, intake->source.columns);
}

hop_status srv_intake_check_memories(const srv_intake *intake, size_t d, hop_error *error)
{
    const store_set *onto = intake->source.onto;
    hop_status status = check_columns(intake, "memories", d, error);
    if (status == HOP_OK && onto && d != onto->d)
        status = srv_refuse_limit(error, HOP_E_SHAPE, 0, -1, (double)onto->d, (double)d,
                                  "memories: rows of %zu numbers, those of the set have %zu", d, onto->d);
    return status;
}

hop_status srv_intake_check_values(const srv_intake *intake, size_t p, hop_error *error)
{
    const store_set *onto = intake->source.onto;
    hop_status status = check_columns(intake, "values", p, error);
    if (status != HOP_OK || !onto)
        return status;
    size_t set_p = onto->values ? onto->p : 0;
    if (p != 0 && set_p == 0)
        return srv_refuse(error, HOP_E_SHAPE, 0, -1, -1, "values: rows of %zu numbers, the set has no values", p);
    if (p == 0 && set_p != 0)
        return srv_refuse_limit(error, HOP_E_SHAPE, 0, -1, (double)set_p, 0,
                                "values: none; the set has %zu numbers for each memory", set_p);
    if (p != set_p)
        return srv_refuse_limit(error, HOP_E_SHAPE, 0, -1, (double)set_p, (double)p,
                                "values: rows of %zu numbers, those of the set have %zu", p, set_p);
    return HOP_OK;
}

hop_status srv_intake_shape(srv_intake *intake, bool rows_known, size_t M, size_t d, size_t p, float **memories,
                            float **values, hop_error *error)
{
    const srv_intake_source *source = &intake->source;
    if (rows_known && M == 0)
        return srv_refuse(error, HOP_E_SHAPE, -1, -1, -1, "memories: no rows; at least one memory expected");
    if (d == 0)
        return srv_refuse(error, HOP_E_SHAPE, 0, -1, -1, "memories: row 0 is empty; at least one number expected");
    if (intake->options.d != 0 && d != intake->options.d)
        return srv_refuse_limit(error, HOP_E_SHAPE, 0, -1, (double)intake->options.d, (double)d,
                                "memories: row 0 has %zu numbers, the parameter d says %zu", d, intake->options.d);
    hop_status status = srv_intake_check_memories(intake, d, error);
    if (status == HOP_OK)
        status = srv_intake_check_values(intake, p, error);
    if (status == HOP_OK)
        status = store_builder_new(source->budget, 0, d, p, intake->options.similarity, &intake->builder, error);
    if (status != HOP_OK)
        return status;
    store_builder_set_packing(intake->builder, source->packing);
    return rows_known ? store_builder_claim(intake->builder, M, memories, values, error) : HOP_OK;
}

hop_status srv_intake_block(srv_intake *intake, size_t bytes, const char *what, void **out, hop_error *error)
{
    hop_status status = store_budget_charge(intake->source.budget, bytes, what, error);
    if (status != HOP_OK)
        return status;
    *out = malloc(bytes > 0 ? bytes : 1);
    if (*out)
        return HOP_OK;
    store_budget_release(intake->source.budget, bytes);
    return srv_refuse(error, HOP_E_NOMEM, -1, -1, -1, "out of memory for %s", what);
}

void srv_intake_drop(srv_intake *intake, void *block, size_t bytes)
{
    if (block)
        store_budget_release(intake->source.budget, bytes);
    free(block);
}
