/*
 * arrays.h - the f32 array that a body carries: JSON members, npy, or raw f32. Shared by the readers of args.h.
 */
#ifndef SRV_ARRAYS_H
#define SRV_ARRAYS_H

#include "server/args.h"
#include "server/envelope.h"
#include "server/json.h"

/*
 * A JSON body: bulk members are read, the rest is parsed and its names are known. On success the caller frees
 * *json; the bulk members are the caller's to end in any case. Statuses of envelope.h and json.h.
 */
HOP_WARN_UNUSED hop_status srv_arrays_open_json(const srv_args_source *source, srv_bulk *bulk, size_t n_bulk,
                                                const char *const *known, srv_json **json, hop_error *error);

/* The same for what an envelope left: parsed, and refused where there is a name that is not known or a long value. */
HOP_WARN_UNUSED hop_status srv_arrays_open_rest(const srv_envelope *envelope, const char *const *known, srv_json **json,
                                                hop_error *error);

/* HOP_E_FORMAT where a bulk member is there and was not found as its own type: "a list of strings", ... */
HOP_WARN_UNUSED hop_status srv_arrays_check_type(const srv_json *json, const char *name, bool found, const char *type,
                                                 hop_error *error);

/* HOP_E_DOMAIN naming the first number that is NaN or infinite. */
HOP_WARN_UNUSED hop_status srv_arrays_check_finite(const char *name, const float *data, size_t rows, size_t columns,
                                                   hop_error *error);

/* rows x columns f32 from a header or a shape, before anything is allocated: HOP_E_LIMIT, or limits->bytes_status. */
HOP_WARN_UNUSED hop_status srv_arrays_check_limits(const srv_numbers_limits *limits, size_t rows, size_t columns,
                                                   hop_error *error);

/* True where the body is npy, by its type or by its magic. */
bool srv_arrays_is_npy(const srv_args_source *source);

/*
 * The whole body as an array, finite. npy: one dimension is one row where limits->flat. Raw: rows of d numbers, d
 * > 0. HOP_E_FORMAT, HOP_E_DOMAIN, limits, HOP_E_NOMEM. On success the caller frees out->data, which is never NULL.
 */
HOP_WARN_UNUSED hop_status srv_arrays_read_npy(const srv_args_source *source, const srv_numbers_limits *limits,
                                               srv_numbers *out, hop_error *error);
HOP_WARN_UNUSED hop_status srv_arrays_read_raw(const srv_args_source *source, size_t d,
                                               const srv_numbers_limits *limits, srv_numbers *out, hop_error *error);

#endif
