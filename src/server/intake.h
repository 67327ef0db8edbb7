/*
 * intake.h - the body of an upload, piece by piece as it arrives, into a store_builder.
 *
 * What a body says is checked as soon as it is there: its header before any row, each number as it comes, its length
 * as early as it is known. Rows go straight to where the set will keep them; beside them an intake holds a header, a
 * cell or, of raw rows whose number is unknown, a row that is not whole yet; of JSON a window of its text. The budget is charged with everything
 * the set needs (store_builder) before the first row is taken, or, where nothing says how many there will be, as they
 * come. Formats are a file each, see intake_format.h; checksums, names and versions are upload.h's.
 * An intake belongs to one thread at a time.
 */
#ifndef SRV_INTAKE_H
#define SRV_INTAKE_H

#include "server/args.h"
#include "store/builder.h"

typedef struct srv_intake srv_intake;

/* What is sent and what becomes of it. */
typedef struct srv_intake_source {
    srv_media media;                 /* SRV_MEDIA_JSON, _NPY, _OCTET or _SAFETENSORS */
    size_t body_bytes;               /* SIZE_MAX: not known */
    const srv_parameter *parameters; /* borrowed as long as the intake lives */
    size_t n_parameters;
    size_t columns;        /* the most that d and p may be */
    const store_set *onto; /* rows are added to this set, borrowed likewise; NULL: a new set */
    store_budget *budget;  /* outlives what is made */
    hop_packing packing;
} srv_intake_source;

/*
 * srv_intake_new() - reads the options. octet-stream is npy by its magic; safetensors where it starts as one and no
 * parameter d says that it is raw; else raw f32. The caller frees *out.
 *
 * Statuses, of this and what follows: HOP_E_FORMAT (byte), HOP_E_SHAPE (limit, actual), HOP_E_DOMAIN (row and column of
 * the file), HOP_E_UNKNOWN (a similarity), HOP_E_LIMIT, HOP_E_BUDGET, HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status srv_intake_new(const srv_intake_source *source, srv_intake **out, hop_error *error);

/* The next n bytes of the body. After an error only srv_intake_free() is left. Cost: memory speed; JSON 3 ns a byte. */
HOP_WARN_UNUSED hop_status srv_intake_feed(srv_intake *intake, const void *bytes, size_t n, hop_error *error);

/*
 * The body is complete: its builder, with all rows, values, labels, ids and a mean, is the caller's, and what the body
 * and the parameters said of the set. Refuses bodies that end early. Once.
 */
HOP_WARN_UNUSED hop_status srv_intake_end(srv_intake *intake, store_builder **builder, store_options *options,
                                          hop_error *error);

/* Gives back all that was charged and is not the caller's. NULL is taken. */
void srv_intake_free(srv_intake *intake);

#endif
