/*
 * intake_npy.c - an upload as a NumPy file: the header is collected, then rows go to their places.
 */
#include "server/intake_format.h"
#include "server/refuse.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 12 }; /* what store_npy_header_need() wants first */

typedef struct npy_state {
    unsigned char *text; /* the header; NULL once it is read */
    size_t text_bytes, wanted;
    store_npy_header header;
    store_cells cells;
} npy_state;

static hop_status npy_begin(srv_intake *intake, hop_error *error)
{
    npy_state *npy = calloc(1, sizeof *npy);
    intake->state = npy;
    if (npy) {
        npy->wanted = FIRST_BYTES;
        npy->text = malloc(STORE_NPY_HEADER_MAX);
    }
    return npy && npy->text ? HOP_OK
                            : srv_refuse(error, HOP_E_NOMEM, -1, -1, -1, "out of memory for the header of an npy file");
}

static void npy_finish(srv_intake *intake)
{
    npy_state *npy = intake->state;
    if (npy)
        free(npy->text);
    free(npy);
}

/* All of the header is here. */
static hop_status read_header(srv_intake *intake, npy_state *npy, hop_error *error)
{
    hop_status status = store_npy_header_parse(npy->text, npy->text_bytes, false, &npy->header, error);
    if (status == HOP_OK && intake->source.body_bytes != SIZE_MAX)
        status = store_npy_check_length(&npy->header, intake->source.body_bytes, error);
    float *memories = NULL, *values;
    if (status == HOP_OK)
        status = srv_intake_shape(intake, true, npy->header.rows, npy->header.columns, 0, &memories, &values, error);
    if (status != HOP_OK)
        return status;
    npy->cells = store_cells_start("memories", npy->header.type, npy->header.rows, npy->header.columns, memories);
    npy->cells.fortran = npy->header.fortran;
    free(npy->text);
    npy->text = NULL;
    return HOP_OK;
}

/* Takes what the header still wants of the n bytes; *taken says how many. */
static hop_status collect(srv_intake *intake, npy_state *npy, const unsigned char *bytes, size_t n, size_t *taken,
                          hop_error *error)
{
    for (*taken = 0; npy->text && *taken < n;) {
        size_t more = npy->wanted - npy->text_bytes;
        more = more < n - *taken ? more : n - *taken;
        memcpy(npy->text + npy->text_bytes, bytes + *taken, more);
        npy->text_bytes += more;
        *taken += more;
        if (npy->text_bytes < npy->wanted)
            continue;
        size_t need = store_npy_header_need(npy->text, npy->text_bytes);
        bool started = store_npy_magic(npy->text, npy->text_bytes) && need <= STORE_NPY_HEADER_MAX;
        npy->wanted = need;
        if (started && need > npy->text_bytes)
            continue;
        /* Complete, or such that its first bytes say what is wrong. */
        hop_status status = read_header(intake, npy, error);
        if (status != HOP_OK)
            return status;
    }
    return HOP_OK;
}

static hop_status npy_feed(srv_intake *intake, const unsigned char *bytes, size_t n, hop_error *error)
{
    npy_state *npy = intake->state;
    size_t taken = 0;
    if (npy->text) {
        hop_status status = collect(intake, npy, bytes, n, &taken, error);
        if (status != HOP_OK || npy->text)
            return status;
    }
    size_t left = store_cells_left(&npy->cells), more = n - taken < left ? n - taken : left;
    hop_status status = store_cells_feed(&npy->cells, bytes + taken, more, error);
    if (status != HOP_OK || taken + more == n)
        return status;
    /* Only where the length was not known before. */
    size_t end = npy->header.header_bytes + npy->header.data_bytes;
    return srv_refuse(error, HOP_E_FORMAT, -1, -1, (int64_t)end,
                      "npy: too long: a shape of %zu x %zu needs %zu bytes of data, there are more", npy->header.rows,
                      npy->header.columns, npy->header.data_bytes);
}

static hop_status npy_end(srv_intake *intake, hop_error *error)
{
    npy_state *npy = intake->state;
    if (npy->text) /* it ends within its header: the parser says how */
        return store_npy_header_parse(npy->text, npy->text_bytes, false, &npy->header, error);
    return store_npy_check_length(&npy->header, intake->received, error);
}

const srv_intake_format srv_intake_npy = {npy_begin, npy_feed, npy_end, npy_finish};
