/*
 * container.h - a safetensors file with checksums: named strings, named arrays, and a header that is checked first.
 *
 * Any reader of safetensors reads it; this one takes only what this writer writes, byte for byte: a header that parses
 * is encoded again and must come out the same. docs/SNAPSHOT.md has the layout. What the strings and arrays mean is
 * the caller's.
 */
#ifndef STORE_CONTAINER_H
#define STORE_CONTAINER_H

#include "store/mapping.h"

enum {
    STORE_FIELDS_MAX = 20,
    STORE_FIELD_NAME_BYTES = 32,
    STORE_FIELD_BYTES = 136, /* of a value, with its NUL */
    STORE_TENSORS_MAX = 10,
    STORE_HEADER_MAX = 16384, /* longest header, its length in front included */
    STORE_DATA_ALIGN = 64
};

typedef enum store_dtype { STORE_F64, STORE_I64, STORE_F32, STORE_U8, STORE_DTYPES } store_dtype;

/* Names and values: letters, digits and ASCII punctuation, but no quotes, backslashes or controls. */
typedef struct store_field {
    char name[STORE_FIELD_NAME_BYTES], value[STORE_FIELD_BYTES];
} store_field;

typedef struct store_tensor {
    char name[STORE_FIELD_NAME_BYTES];
    store_dtype dtype;
    unsigned rank; /* 1 or 2 */
    size_t shape[2];
    uint32_t checksum;
    const void *data; /* to write */
    size_t bytes;     /* of shape and dtype: store_container_lay_out() */
    uint64_t at;      /* in the file */
} store_tensor;

/*
 * Tensors lie in the file as they come here, those of eight bytes an element first, without gaps: every element is
 * aligned to its size.
 */
typedef struct store_container {
    size_t n_fields, n_tensors;
    store_field fields[STORE_FIELDS_MAX];
    store_tensor tensors[STORE_TENSORS_MAX];
    size_t header_bytes; /* with the length in front: where the first tensor starts */
    uint64_t file_bytes;
} store_container;

/* Append; there is room for what the callers need, which is asserted. */
__attribute__((format(printf, 3, 4))) void store_container_field(store_container *container, const char *name,
                                                                 const char *format, ...);
void store_container_tensor(store_container *container, const char *name, store_dtype dtype, unsigned rank, size_t rows,
                            size_t columns, const void *data);

const char *store_container_find(const store_container *container, const char *name); /* NULL: no such field */
const store_tensor *store_container_find_tensor(const store_container *container, const char *name); /* NULL: none */

/*
 * Sizes and places of the tensors, and of the header, which the checksums do not change. The first tensor of smaller
 * elements than eight bytes is aligned to STORE_DATA_ALIGN. Errors: HOP_E_SHAPE (overflow, or a header over STORE_HEADER_MAX).
 */
HOP_WARN_UNUSED hop_status store_container_lay_out(store_container *container, hop_error *error);

/* The header of a container that is laid out: header_bytes at out. */
void store_container_encode(const store_container *container, char *out);

/*
 * store_container_parse() - the header at the start of a file of file_bytes, of which n bytes are here.
 * n is the whole file, or at least STORE_HEADER_MAX bytes. Errors: HOP_E_FORMAT: truncated, foreign, damaged.
 */
HOP_WARN_UNUSED hop_status store_container_parse(const char *bytes, size_t n, uint64_t file_bytes, store_container *out,
                                                 hop_error *error);

/*
 * Write a container that is not yet laid out into an empty file, checksums last, and sync it. Errors: HOP_E_SHAPE,
 * HOP_E_IO (the system's reason), HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status store_container_write(store_container *container, int file, hop_error *error);

/* Read and parse the header. Errors: HOP_E_FORMAT, HOP_E_IO, HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status store_container_read(int file, store_container *out, hop_error *error);

/*
 * One tensor's data to out, checked on the way. Pieces are tasks of the executor, which may be NULL. cancel may be
 * NULL. Errors: HOP_E_FORMAT (shorter than its header says, or the checksum differs), HOP_E_IO, HOP_E_NOMEM,
 * HOP_E_CANCELLED.
 */
HOP_WARN_UNUSED hop_status store_container_read_tensor(int file, const store_tensor *tensor,
                                                       const hop_executor *executor, const atomic_bool *cancel,
                                                       void *out, hop_error *error);

/*
 * The same for a tensor that lies in a mapping of the file: nothing is copied, and the checksum is noted there. Besides:
 * HOP_E_FORMAT where the mapping broke.
 */
HOP_WARN_UNUSED hop_status store_container_check_tensor(store_mapping *mapping, const store_tensor *tensor,
                                                        const hop_executor *executor, const atomic_bool *cancel,
                                                        hop_error *error);

#endif
