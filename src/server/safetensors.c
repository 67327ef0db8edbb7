/*
 * safetensors.c - see safetensors.h. The JSON is json.c's.
 */
#include "server/safetensors.h"

#include "core/checked.h"
#include "server/refuse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_BYTES_MAX = 1025 }; /* of one label, with its NUL */

static const char metadata_name[] = "__metadata__";
static const char *const names[SRV_TENSOR_NAMES] = {"memories", "values", "labels", "ids", "mean"};
static const char *const known_tensors[] = {"memories", "values", "labels", "ids", "mean", metadata_name, NULL};
static const char *const known_members[] = {"dtype", "shape", "data_offsets", NULL};
static const char *const known_settings[SRV_SAFETENSORS_SETTINGS] = {"beta", "max_error", "max_degree", "similarity"};

enum { ARRAYS = 1 << SRV_TENSOR_MEMORIES | 1 << SRV_TENSOR_VALUES };

static const struct {
    const char *word;
    unsigned of; /* which tensors may have it: a bit each */
    store_npy_type type;
    size_t bytes;
} dtypes[] = {
    {"F32", ARRAYS, STORE_NPY_F4, 4},
    {"F64", ARRAYS | 1 << SRV_TENSOR_MEAN, STORE_NPY_F8, 8},
    {"F16", ARRAYS, STORE_NPY_F2, 2},
    {"U8", ARRAYS | 1 << SRV_TENSOR_LABELS, STORE_NPY_U1, 1},
    {"I64", 1 << SRV_TENSOR_IDS, STORE_NPY_F8, 8},
    {"U64", 1 << SRV_TENSOR_IDS, STORE_NPY_F8, 8},
};

enum { DTYPES = sizeof dtypes / sizeof *dtypes };

static const char *const dtypes_expected[SRV_TENSOR_NAMES] = {"F32, F64, F16 or U8", "F32, F64, F16 or U8", "U8",
                                                              "I64 or U64", "F64"};

const char *srv_tensor_word(srv_tensor_name name)
{
    return names[name];
}

#define REFUSE(error, status, ...) srv_refuse(error, status, -1, -1, -1, "safetensors: " __VA_ARGS__)

/* dtype -> type and bytes of an element. */
static hop_status read_dtype(srv_tensor_name name, const char *word, store_npy_type *type, size_t *bytes,
                             hop_error *error)
{
    for (size_t i = 0; i < DTYPES; i++) {
        if ((dtypes[i].of >> name & 1) && strcmp(word, dtypes[i].word) == 0) {
            *type = dtypes[i].type;
            *bytes = dtypes[i].bytes;
            return HOP_OK;
        }
    }
    return REFUSE(error, HOP_E_FORMAT, "the dtype of `%s` is '%.20s'; %s expected", names[name], word,
                  dtypes_expected[name]);
}

/* A member of a tensor's description that has to be there. */
static hop_status require(const srv_json *json, srv_tensor_name name, const char *member, hop_error *error)
{
    if (srv_json_has(json, member))
        return HOP_OK;
    return REFUSE(error, HOP_E_FORMAT, "`%s` has no `%s`", names[name], member);
}

/* Errors of json.c name a member; this says whose. */
static hop_status of_tensor(srv_tensor_name name, hop_status status, const hop_error *why, hop_error *error)
{
    return status == HOP_OK ? HOP_OK : REFUSE(error, status, "`%s`: %.180s", names[name], why->text);
}

static hop_status read_members(const srv_json *json, srv_tensor_name name, const char **dtype, size_t shape[2],
                               size_t offsets[2], hop_error *error)
{
    bool array = ARRAYS >> name & 1;
    hop_error why = HOP_ERROR_NONE;
    shape[1] = 1;
    hop_status status = srv_json_refuse_unknown(json, known_members, &why);
    if (status == HOP_OK)
        status = srv_json_string(json, "dtype", dtype, &why);
    if (status == HOP_OK)
        status = srv_json_sizes(json, "shape", array ? 2 : 1, shape, &why);
    if (status == HOP_OK)
        status = srv_json_sizes(json, "data_offsets", 2, offsets, &why);
    return of_tensor(name, status, &why, error);
}

static hop_status read_tensor(const srv_json *root, srv_tensor_name name, srv_tensor *tensor, hop_error *error)
{
    const srv_json *json = NULL;
    const char *dtype = "";
    size_t shape[2] = {0, 0}, offsets[2] = {0, 0}, element = 1, bytes;
    hop_status status = srv_json_object(root, names[name], &json, error);
    if (status != HOP_OK || !json)
        return status;
    for (size_t i = 0; status == HOP_OK && known_members[i]; i++)
        status = require(json, name, known_members[i], error);
    if (status == HOP_OK)
        status = read_members(json, name, &dtype, shape, offsets, error);
    if (status == HOP_OK)
        status = read_dtype(name, dtype, &tensor->type, &element, error);
    if (status != HOP_OK)
        return status;
    size_t f32_bytes; /* rows become f32: that size must not overflow either */
    if (!hop_array_bytes(shape[0], shape[1], element, &bytes) ||
        !hop_array_bytes(shape[0], shape[1], sizeof(float), &f32_bytes))
        return REFUSE(error, HOP_E_FORMAT, "`%s`: a shape of %zu x %zu is too large", names[name], shape[0], shape[1]);
    if (offsets[1] < offsets[0] || offsets[1] - offsets[0] != bytes)
        return REFUSE(error, HOP_E_FORMAT, "`%s`: data_offsets [%zu, %zu] do not hold the %zu bytes of its shape",
                      names[name], offsets[0], offsets[1], bytes);
    tensor->found = true;
    tensor->rows = shape[0];
    tensor->columns = shape[1];
    tensor->from = offsets[0];
    tensor->to = offsets[1];
    return HOP_OK;
}

/* One behind the other from the first byte of the data: the order, and how much there is. */
static hop_status lay_out(srv_safetensors *header, hop_error *error)
{
    size_t at = 0;
    for (unsigned i = 0; i < SRV_TENSOR_NAMES; i++) {
        if (!header->tensors[i].found)
            continue;
        size_t k = header->n_tensors++;
        for (; k > 0 && header->tensors[header->order[k - 1]].from > header->tensors[i].from; k--)
            header->order[k] = header->order[k - 1];
        header->order[k] = (srv_tensor_name)i;
    }
    for (size_t k = 0; k < header->n_tensors; k++) {
        const srv_tensor *tensor = &header->tensors[header->order[k]];
        if (tensor->from != at)
            return REFUSE(error, HOP_E_FORMAT, "`%s` starts at byte %zu of the data, %s byte %zu",
                          names[header->order[k]], tensor->from,
                          tensor->from > at ? "leaving a gap behind" : "before the end of the tensor in front at", at);
        at = tensor->to;
    }
    header->data_bytes = at;
    return HOP_OK;
}

/* The other tensors have one row a memory, the mean one number a column. */
static hop_status check_rows(const srv_safetensors *header, hop_error *error)
{
    const srv_tensor *tensors = header->tensors;
    size_t M = tensors[SRV_TENSOR_MEMORIES].rows, most;
    const srv_tensor *values = &tensors[SRV_TENSOR_VALUES], *labels = &tensors[SRV_TENSOR_LABELS];
    if (!tensors[SRV_TENSOR_MEMORIES].found)
        return REFUSE(error, HOP_E_FORMAT, "the tensor `memories` is missing");
    if (values->found && (values->rows != M || (M > 0 && values->columns == 0)))
        return srv_refuse(error, HOP_E_SHAPE, -1, -1, -1,
                          "values: %zu x %zu numbers for %zu memories; a row of at least one number each expected",
                          values->rows, values->columns, M);
    if (labels->found && (!hop_mul_size(M, LABEL_BYTES_MAX, &most) || labels->rows < M || labels->rows > most))
        return srv_refuse(error, HOP_E_SHAPE, -1, -1, -1,
                          "labels: %zu bytes for %zu memories; 1 to %d a memory expected, a NUL behind each label",
                          labels->rows, M, LABEL_BYTES_MAX);
    if (tensors[SRV_TENSOR_IDS].found && tensors[SRV_TENSOR_IDS].rows != M)
        return srv_refuse(error, HOP_E_SHAPE, -1, -1, -1, "ids: %zu for %zu memories; one each expected",
                          tensors[SRV_TENSOR_IDS].rows, M);
    if (tensors[SRV_TENSOR_MEAN].found && tensors[SRV_TENSOR_MEAN].rows != tensors[SRV_TENSOR_MEMORIES].columns)
        return srv_refuse(error, HOP_E_SHAPE, -1, -1, -1,
                          "mean: %zu numbers for memories of %zu; one a column expected", tensors[SRV_TENSOR_MEAN].rows,
                          tensors[SRV_TENSOR_MEMORIES].columns);
    return HOP_OK;
}

static hop_status read_next_id(const char *text, uint64_t *out, hop_error *error)
{
    errno = 0;
    char *end = NULL;
    unsigned long long next = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || next == 0 || next > INT64_MAX)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "next_id must be a whole number above 0, not '%.30s'", text);
    *out = next;
    return HOP_OK;
}

/* What our own export says of a set; what other programs note down is theirs. */
static hop_status read_metadata(const srv_json *root, srv_safetensors *header, hop_error *error)
{
    const srv_json *metadata = NULL;
    hop_error why = HOP_ERROR_NONE;
    hop_status status = srv_json_object(root, metadata_name, &metadata, &why);
    for (size_t i = 0; status == HOP_OK && metadata && i < SRV_SAFETENSORS_SETTINGS; i++) {
        srv_parameter *setting = &header->settings[header->n_settings];
        *setting = (srv_parameter){.name = known_settings[i]};
        status = srv_json_string(metadata, setting->name, &setting->value, &why);
        /* A cap of -1 is none. */
        bool said = setting->value && !(strcmp(setting->name, "max_degree") == 0 && strcmp(setting->value, "-1") == 0);
        header->n_settings += said;
    }
    const char *next_id = NULL;
    if (status == HOP_OK && metadata)
        status = srv_json_string(metadata, "next_id", &next_id, &why);
    if (status == HOP_OK && next_id)
        status = read_next_id(next_id, &header->next_id, &why);
    return status == HOP_OK ? HOP_OK : REFUSE(error, status, "`__metadata__`: %.180s", why.text);
}

hop_status srv_safetensors_parse(char *text, size_t n, srv_safetensors *out, hop_error *error)
{
    /* Bytes in messages count from the start of the file. */
    const srv_envelope envelope = {
        .text = text, .n = n, .oversize = -1, .n_gaps = 1, .gaps = {{.at = 0, .cut = SRV_SAFETENSORS_LENGTH}}};
    srv_safetensors header = {0};
    hop_status status = srv_json_parse(&envelope, &header.json, error);
    if (status != HOP_OK)
        return status;
    const char *unknown = srv_json_first_unknown(header.json, known_tensors);
    if (unknown)
        status = REFUSE(error, HOP_E_FORMAT,
                        "there is a tensor `%.40s`; memories, values, labels, ids and mean are what is taken", unknown);
    for (unsigned i = 0; status == HOP_OK && i < SRV_TENSOR_NAMES; i++)
        status = read_tensor(header.json, (srv_tensor_name)i, &header.tensors[i], error);
    if (status == HOP_OK)
        status = lay_out(&header, error);
    if (status == HOP_OK)
        status = check_rows(&header, error);
    if (status == HOP_OK)
        status = read_metadata(header.json, &header, error);
    if (status != HOP_OK) {
        srv_json_free(header.json);
        return status;
    }
    *out = header;
    return HOP_OK;
}

void srv_safetensors_fini(srv_safetensors *header)
{
    if (header->json)
        srv_json_free(header->json);
    header->json = NULL;
}
