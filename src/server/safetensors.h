/*
 * safetensors.h - the header of an uploaded safetensors file: what is sent, and where in the file it lies.
 *
 * Any writer's header is read, members in any order; what it says has to be consistent to the byte. Files of the data
 * directory are container.h's, which takes less. What the tensors hold is not looked at here.
 */
#ifndef SRV_SAFETENSORS_H
#define SRV_SAFETENSORS_H

#include "server/json.h"
#include "server/request.h"
#include "store/npy.h"

enum {
    SRV_SAFETENSORS_LENGTH = 8,           /* bytes in front of the header that say how long it is */
    SRV_SAFETENSORS_HEADER_MAX = 1 << 20, /* longest header, without them */
    SRV_SAFETENSORS_SETTINGS = 4
};

/* Tensors that an upload may have. */
typedef enum srv_tensor_name {
    SRV_TENSOR_MEMORIES, /* M x d; F32, F64, F16 or U8 */
    SRV_TENSOR_VALUES,   /* M x p; the same */
    SRV_TENSOR_LABELS,   /* U8: M strings with a NUL each */
    SRV_TENSOR_IDS,      /* M; I64 or U64 */
    SRV_TENSOR_MEAN,     /* d; F64: what a centered_cosine subtracts */
    SRV_TENSOR_NAMES
} srv_tensor_name;

typedef struct srv_tensor {
    bool found;
    store_npy_type type;  /* of memories and values */
    size_t rows, columns; /* columns is 1 for those of rank 1 */
    size_t from, to;      /* bytes of the data */
} srv_tensor;

typedef struct srv_safetensors {
    srv_tensor tensors[SRV_TENSOR_NAMES];
    srv_tensor_name order[SRV_TENSOR_NAMES]; /* the n_tensors that were found, as they lie in the file */
    size_t n_tensors;
    size_t data_bytes;
    srv_parameter settings[SRV_SAFETENSORS_SETTINGS]; /* beta, max_error, max_degree, similarity of `__metadata__` */
    size_t n_settings;
    uint64_t next_id; /* of `__metadata__`; 0: none */
    srv_json *json;   /* what settings point into */
} srv_safetensors;

const char *srv_tensor_word(srv_tensor_name name);

/*
 * srv_safetensors_parse() - the n bytes of the header, without its length. M is memories' rows.
 *
 * Refused as HOP_E_FORMAT, naming the tensor: malformed JSON (byte of the file), a tensor of another name, `memories`
 * missing, a dtype or a rank that it cannot have, offsets that are not those of its shape, gaps and overlaps; as
 * HOP_E_SHAPE: values, labels or ids that are not one a memory, a mean that is not one a column. On success
 * srv_safetensors_fini() ends the settings.
 */
HOP_WARN_UNUSED hop_status srv_safetensors_parse(char *text, size_t n, srv_safetensors *out, hop_error *error);
void srv_safetensors_fini(srv_safetensors *header);

/* What srv_safetensors_parse() takes beside the text, at most, for the budget. */
static inline size_t srv_safetensors_parse_bytes(size_t n)
{
    return 20 * n; /* n is at most SRV_SAFETENSORS_HEADER_MAX */
}

#endif
