/*
 * intake_format.h - what the formats of uploads (intake_*.c) share with intake.c, and nobody else sees.
 */
#ifndef SRV_INTAKE_FORMAT_H
#define SRV_INTAKE_FORMAT_H

#include "server/intake.h"

#include "store/cells.h"

/*
 * One format. begin() is called before the first byte, feed() with any cuts, end() after the last byte; finish() in
 * any case, last. What they keep is at intake->state, made by begin().
 */
typedef struct srv_intake_format {
    hop_status (*begin)(srv_intake *intake, hop_error *error);
    hop_status (*feed)(srv_intake *intake, const unsigned char *bytes, size_t n, hop_error *error);
    hop_status (*end)(srv_intake *intake, hop_error *error);
    void (*finish)(srv_intake *intake);
} srv_intake_format;

extern const srv_intake_format srv_intake_json, srv_intake_npy, srv_intake_raw, srv_intake_safetensors;

enum { SRV_INTAKE_HEAD = 10 }; /* bytes that tell formats apart */

struct srv_intake {
    srv_intake_source source;
    srv_upload_options options;
    const srv_intake_format *format; /* NULL: not known yet */
    void *state;
    size_t received;
    unsigned char head[SRV_INTAKE_HEAD]; /* the first bytes, while the format is not known */
    store_builder *builder;              /* NULL: the shape is not known yet */
};

/*
 * srv_intake_shape() - the shape is known: check it, and make intake->builder. p = 0: no values.
 *
 * M > 0 rows are claimed: the caller fills M x d at *memories and M x p at *values. rows_known false: M is not looked
 * at, and rows are to be added. Errors: HOP_E_SHAPE, HOP_E_LIMIT, HOP_E_BUDGET, HOP_E_NOMEM.
 */
HOP_WARN_UNUSED hop_status srv_intake_shape(srv_intake *intake, bool rows_known, size_t M, size_t d, size_t p,
                                            float **memories, float **values, hop_error *error);

/*
 * Rows of so many columns are within the limit and, where rows are added to a set, as those that are there (p = 0: no
 * values). srv_intake_shape() checks it; for formats that know one of them earlier. HOP_E_SHAPE, HOP_E_LIMIT.
 */
HOP_WARN_UNUSED hop_status srv_intake_check_memories(const srv_intake *intake, size_t d, hop_error *error);
HOP_WARN_UNUSED hop_status srv_intake_check_values(const srv_intake *intake, size_t p, hop_error *error);

/* A block from malloc that is charged as `what`; srv_intake_drop() frees it and gives the charge back. */
HOP_WARN_UNUSED hop_status srv_intake_block(srv_intake *intake, size_t bytes, const char *what, void **out,
                                            hop_error *error);
void srv_intake_drop(srv_intake *intake, void *block, size_t bytes);

/* Options of the query string and, where it does not have them, of `more`: name and value pairs that may be given. */
HOP_WARN_UNUSED hop_status srv_intake_options(srv_intake *intake, const srv_parameter *more, size_t n_more,
                                              hop_error *error);

#endif
