/*
 * intake_safetensors.c - an upload as a safetensors file: everything about it is known from its header, tensors are
 * then taken in whatever order they lie. Rows go to their places; labels, ids and a mean are kept until the end.
 */
#include "server/intake_format.h"
#include "server/json_text.h"
#include "server/refuse.h"
#include "server/safetensors.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct tensors_state {
    unsigned char length[SRV_SAFETENSORS_LENGTH];
    char *text; /* the header; NULL before its length is known, and once it is read */
    size_t text_bytes;
    size_t header_taken; /* bytes of length and header so far */
    bool parsed;
    srv_safetensors header;
    size_t current; /* in header.order */
    store_cells cells[2];
    char *labels; /* the tensor, from here on kept until the end */
    uint64_t *ids;
    double *mean;
    size_t kept[SRV_TENSOR_NAMES]; /* bytes of these so far */
} tensors_state;

static hop_status tensors_begin(srv_intake *intake, hop_error *error)
{
    intake->state = calloc(1, sizeof(tensors_state));
    return intake->state ? HOP_OK : srv_refuse(error, HOP_E_NOMEM, -1, -1, -1, "out of memory for an upload");
}

static size_t tensor_bytes(const tensors_state *state, srv_tensor_name name)
{
    return state->header.tensors[name].to - state->header.tensors[name].from;
}

static void tensors_finish(srv_intake *intake)
{
    tensors_state *state = intake->state;
    if (!state)
        return;
    srv_intake_drop(intake, state->text, state->text_bytes);
    srv_intake_drop(intake, state->labels, tensor_bytes(state, SRV_TENSOR_LABELS));
    srv_intake_drop(intake, state->ids, tensor_bytes(state, SRV_TENSOR_IDS));
    srv_intake_drop(intake, state->mean, tensor_bytes(state, SRV_TENSOR_MEAN));
    free(state);
}

/* ---- the header ---------------------------------------------------------------------------------------- */

/* Its length is here. */
static hop_status expect_header(srv_intake *intake, tensors_state *state, hop_error *error)
{
    uint64_t length;
    memcpy(&length, state->length, sizeof length);
    if (length > SRV_SAFETENSORS_HEADER_MAX)
        return srv_refuse_limit(error, HOP_E_FORMAT, -1, -1, SRV_SAFETENSORS_HEADER_MAX, (double)length,
                                "safetensors: a header of %llu bytes, the limit is %d", (unsigned long long)length,
                                SRV_SAFETENSORS_HEADER_MAX);
    if (length < 2)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, 0, "safetensors: a header of %llu bytes holds no JSON object",
                          (unsigned long long)length);
    void *block = NULL;
    hop_status status = srv_intake_block(intake, (size_t)length, "the header of this upload", &block, error);
    if (status != HOP_OK)
        return status;
    state->text = block;
    state->text_bytes = (size_t)length;
    return HOP_OK;
}

/* The file has a length: it must be what its header says. */
static hop_status check_length(const tensors_state *state, size_t file_bytes, hop_error *error)
{
    size_t header = SRV_SAFETENSORS_LENGTH + state->text_bytes;
    size_t data = file_bytes < header ? 0 : file_bytes - header;
    if (data == state->header.data_bytes)
        return HOP_OK;
    return srv_refuse(error, HOP_E_FORMAT, -1, -1, (int64_t)file_bytes,
                      "safetensors: %s: the tensors have %zu bytes, there are %zu",
                      data < state->header.data_bytes ? "truncated" : "too long", state->header.data_bytes, data);
}

/* Room for a tensor that is kept until the end; NULL where the file does not have it. */
static hop_status keep_one(srv_intake *intake, const tensors_state *state, srv_tensor_name name, const char *what,
                           void **out, hop_error *error)
{
    *out = NULL;
    return state->header.tensors[name].found ? srv_intake_block(intake, tensor_bytes(state, name), what, out, error)
                                             : HOP_OK;
}

static hop_status keep(srv_intake *intake, tensors_state *state, hop_error *error)
{
    void *labels = NULL, *ids = NULL, *mean = NULL;
    hop_status status = keep_one(intake, state, SRV_TENSOR_LABELS, "the labels of this upload", &labels, error);
    if (status == HOP_OK)
        status = keep_one(intake, state, SRV_TENSOR_IDS, "the ids of this upload", &ids, error);
    if (status == HOP_OK)
        status = keep_one(intake, state, SRV_TENSOR_MEAN, "the mean of this upload", &mean, error);
    state->labels = labels;
    state->ids = ids;
    state->mean = mean;
    return status;
}

/* A new set has the options that the file notes down, where the query string has none; rows that are added have none. */
static hop_status take_settings(srv_intake *intake, tensors_state *state, hop_error *error)
{
    const srv_tensor *tensors = state->header.tensors;
    if (intake->source.onto && tensors[SRV_TENSOR_IDS].found)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1,
                          "ids: rows that are added get the next ids of the set; leave the tensor out");
    if (intake->source.onto && tensors[SRV_TENSOR_MEAN].found)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1,
                          "mean: a set to which rows are added keeps its own, if it has one; leave the tensor out");
    if (intake->source.onto)
        return HOP_OK;
    hop_error why = HOP_ERROR_NONE;
    hop_status status = srv_intake_options(intake, state->header.settings, state->header.n_settings, &why);
    if (status != HOP_OK)
        return srv_refuse(error, status, -1, -1, -1, "safetensors: `__metadata__`: %.180s", why.text);
    if (tensors[SRV_TENSOR_MEAN].found && intake->options.similarity != HOP_CENTERED_COSINE)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1,
                          "mean: a set of similarity %s has none, centered_cosine has; leave the tensor out",
                          hop_similarity_word(intake->options.similarity));
    return HOP_OK;
}

/* What the header says, and the options it notes down; the tree it was read into is gone afterwards. */
static hop_status parse(srv_intake *intake, tensors_state *state, hop_error *error)
{
    store_budget *budget = intake->source.budget;
    size_t bytes = srv_safetensors_parse_bytes(state->text_bytes);
    hop_status status = store_budget_charge(budget, bytes, "reading the header of this upload", error);
    if (status != HOP_OK)
        return status;
    status = srv_safetensors_parse(state->text, state->text_bytes, &state->header, error);
    if (status == HOP_OK && intake->source.body_bytes != SIZE_MAX)
        status = check_length(state, intake->source.body_bytes, error);
    if (status == HOP_OK)
        status = take_settings(intake, state, error);
    srv_safetensors_fini(&state->header);
    store_budget_release(budget, bytes);
    return status;
}

/* All of the header is here. */
static hop_status read_header(srv_intake *intake, tensors_state *state, hop_error *error)
{
    const srv_tensor *tensors = state->header.tensors;
    const srv_tensor *memories = &tensors[SRV_TENSOR_MEMORIES], *values = &tensors[SRV_TENSOR_VALUES];
    float *rows = NULL, *value_rows = NULL;
    hop_status status = parse(intake, state, error);
    if (status == HOP_OK)
        status = srv_intake_shape(intake, true, memories->rows, memories->columns, values->columns, &rows, &value_rows,
                                  error);
    if (status == HOP_OK)
        status = keep(intake, state, error);
    if (status != HOP_OK)
        return status;
    state->cells[0] = store_cells_start("memories", memories->type, memories->rows, memories->columns, rows);
    if (values->found)
        state->cells[1] = store_cells_start("values", values->type, values->rows, values->columns, value_rows);
    srv_intake_drop(intake, state->text, state->text_bytes);
    state->text = NULL;
    state->parsed = true;
    return HOP_OK;
}

/* Takes what length and header still want of the n bytes; *taken says how many. */
static hop_status collect(srv_intake *intake, tensors_state *state, const unsigned char *bytes, size_t n, size_t *taken,
                          hop_error *error)
{
    hop_status status = HOP_OK;
    for (*taken = 0; status == HOP_OK && !state->parsed && *taken < n;) {
        size_t at = state->header_taken;
        bool length = at < SRV_SAFETENSORS_LENGTH;
        size_t wanted = length ? SRV_SAFETENSORS_LENGTH - at : SRV_SAFETENSORS_LENGTH + state->text_bytes - at;
        size_t more = wanted < n - *taken ? wanted : n - *taken;
        memcpy(length ? (char *)state->length + at : state->text + at - SRV_SAFETENSORS_LENGTH, bytes + *taken, more);
        state->header_taken += more;
        *taken += more;
        if (more == wanted)
            status = length ? expect_header(intake, state, error) : read_header(intake, state, error);
    }
    return status;
}

/* ---- the data ------------------------------------------------------------------------------------------ */

/* Bytes of a tensor that are still to come. */
static size_t left(const tensors_state *state, srv_tensor_name name)
{
    return name <= SRV_TENSOR_VALUES ? store_cells_left(&state->cells[name])
                                     : tensor_bytes(state, name) - state->kept[name];
}

static hop_status take(tensors_state *state, srv_tensor_name name, const unsigned char *bytes, size_t n,
                       hop_error *error)
{
    if (name <= SRV_TENSOR_VALUES)
        return store_cells_feed(&state->cells[name], bytes, n, error);
    char *kept = name == SRV_TENSOR_LABELS ? state->labels
                 : name == SRV_TENSOR_IDS  ? (char *)state->ids
                                           : (char *)state->mean;
    memcpy(kept + state->kept[name], bytes, n);
    state->kept[name] += n;
    return HOP_OK;
}

static hop_status tensors_feed(srv_intake *intake, const unsigned char *bytes, size_t n, hop_error *error)
{
    tensors_state *state = intake->state;
    size_t taken = 0;
    hop_status status = collect(intake, state, bytes, n, &taken, error);
    while (status == HOP_OK && taken < n) {
        if (state->current == state->header.n_tensors) /* only where the length was not known before */
            return srv_refuse(error, HOP_E_FORMAT, -1, -1, (int64_t)(state->header_taken + state->header.data_bytes),
                              "safetensors: too long: the tensors have %zu bytes, there are more",
                              state->header.data_bytes);
        srv_tensor_name name = state->header.order[state->current];
        size_t room = left(state, name), more = room < n - taken ? room : n - taken;
        status = take(state, name, bytes + taken, more, error);
        taken += more;
        state->current += more == room;
    }
    return status;
}

/* ---- the end ------------------------------------------------------------------------------------------- */

/* Pointers to the M labels of the text. */
static hop_status index_labels(const char *text, size_t bytes, size_t M, const char **labels, hop_error *error)
{
    size_t n = 0, at = 0, bad;
    while (at < bytes && n < M) {
        const char *nul = memchr(text + at, '\0', bytes - at);
        if (!nul)
            break;
        size_t length = (size_t)(nul - text) - at;
        if (!srv_utf8_valid(text + at, length, &bad))
            return srv_refuse(error, HOP_E_FORMAT, (int64_t)n, -1, -1, "labels: row %zu: not UTF-8 (byte %zu of it)", n,
                              bad);
        labels[n++] = text + at;
        at += length + 1;
    }
    if (n == M && at == bytes)
        return HOP_OK;
    return srv_refuse(error, HOP_E_SHAPE, -1, -1, -1,
                      "labels: %s %zu strings with a NUL behind each; one a memory, %zu, expected",
                      n == M ? "more than" : "no more than", n, M);
}

static hop_status set_labels(srv_intake *intake, const tensors_state *state, hop_error *error)
{
    size_t M = state->header.tensors[SRV_TENSOR_MEMORIES].rows;
    size_t bytes = M * sizeof(char *); /* rows of at least one f32 are in memory: half of this fits */
    void *labels = NULL;
    hop_status status = srv_intake_block(intake, bytes, "the labels of this upload", &labels, error);
    if (status == HOP_OK)
        status = index_labels(state->labels, tensor_bytes(state, SRV_TENSOR_LABELS), M, labels, error);
    if (status == HOP_OK)
        status = store_builder_label(intake->builder, M, labels, error);
    srv_intake_drop(intake, labels, bytes);
    return status;
}

static hop_status set_ids(srv_intake *intake, const tensors_state *state, hop_error *error)
{
    size_t M = state->header.tensors[SRV_TENSOR_IDS].rows;
    bool numbers = true;
    for (size_t mu = 0; mu < M; mu++) {
        if (state->ids[mu] >= INT64_MAX)
            return srv_refuse(error, HOP_E_FORMAT, (int64_t)mu, -1, -1,
                              "ids: row %zu: an id is a whole number from 0 to 2^63 - 2", mu);
        if (mu > 0 && state->ids[mu] <= state->ids[mu - 1])
            return srv_refuse(error, HOP_E_FORMAT, (int64_t)mu, -1, -1,
                              "ids: row %zu: %llu is not above %llu, the id before it", mu,
                              (unsigned long long)state->ids[mu], (unsigned long long)state->ids[mu - 1]);
        numbers = numbers && state->ids[mu] == mu;
    }
    uint64_t last = state->ids[M - 1], next = state->header.next_id ? state->header.next_id : last + 1;
    if (next <= last)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1,
                          "safetensors: `__metadata__`: next_id is %llu, and there is an id %llu",
                          (unsigned long long)next, (unsigned long long)last);
    if (numbers && next == M) /* a set without ids of its own */
        return HOP_OK;
    return store_builder_set_ids(intake->builder, M, state->ids, next, error);
}

/* Rows of f32 have no mean beyond f32. */
static hop_status set_mean(srv_intake *intake, const tensors_state *state, hop_error *error)
{
    size_t d = state->header.tensors[SRV_TENSOR_MEAN].rows;
    for (size_t l = 0; l < d; l++)
        if (!(fabs(state->mean[l]) <= FLT_MAX))
            return srv_refuse(error, HOP_E_DOMAIN, -1, (int64_t)l, -1, "mean: column %zu: %s", l,
                              isfinite(state->mean[l]) ? "beyond the range of f32" : "not a finite number");
    return store_builder_set_mean(intake->builder, state->mean, error);
}

static hop_status tensors_end(srv_intake *intake, hop_error *error)
{
    tensors_state *state = intake->state;
    if (!state->parsed)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, (int64_t)intake->received,
                          "safetensors: truncated: the file ends within its header, after %zu bytes", intake->received);
    hop_status status = check_length(state, intake->received, error);
    if (status == HOP_OK && state->labels)
        status = set_labels(intake, state, error);
    if (status == HOP_OK && state->ids)
        status = set_ids(intake, state, error);
    if (status == HOP_OK && state->mean)
        status = set_mean(intake, state, error);
    return status;
}

const srv_intake_format srv_intake_safetensors = {tensors_begin, tensors_feed, tensors_end, tensors_finish};
