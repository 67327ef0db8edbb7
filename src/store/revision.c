/*
 * revision.c - see revision.h. Which rows stay is decided here; putting a set together is the builder's.
 */
#include "store/revision.h"

#include "core/checked.h"
#include "core/status.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings ------------------------------------------------------------------------------------------ */

static store_options options_of(const store_set *base)
{
    return (store_options){.beta = base->beta, .max_error = base->max_error, .max_degree = base->max_degree};
}

static store_options changed_options(const store_set *base, const store_options *change)
{
    store_options options = options_of(base);
    if (change->beta > 0)
        options.beta = change->beta;
    if (change->max_error >= 0)
        options.max_error = change->max_error;
    if (change->max_degree >= 0)
        options.max_degree = change->max_degree;
    return options;
}

/* ---- which rows stay ----------------------------------------------------------------------------------- */

/* gone[mu]: row mu is removed. */
static hop_status mark_removed(const store_set *base, const store_revision *revision, bool *gone, hop_error *error)
{
    if (revision->n_ids == 0)
        return hop_fail(error, HOP_E_SHAPE, "there are no ids to remove");
    for (size_t i = 0; i < revision->n_ids; i++) {
        size_t mu;
        if (!store_set_row_of(base, revision->ids[i], &mu))
            return hop_fail_at(error, HOP_E_UNKNOWN, (int64_t)i, -1, "id %" PRIu64 " is of no memory of this set",
                               revision->ids[i]);
        if (gone[mu])
            return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)i, -1, "id %" PRIu64 " is given twice", revision->ids[i]);
        gone[mu] = true;
    }
    if (revision->n_ids >= base->M)
        return hop_fail(error, HOP_E_DOMAIN, "all %zu memories would be removed: DELETE the set instead", base->M);
    return HOP_OK;
}

/* The rows that stay, run by run. */
static hop_status add_kept(store_builder *builder, const store_set *base, const bool *gone, hop_error *error)
{
    hop_status status = HOP_OK;
    for (size_t from = 0, to; from < base->M && status == HOP_OK; from = to) {
        bool out = gone && gone[from];
        for (to = from + 1; to < base->M && (gone && gone[to]) == out; to++)
            ;
        if (!out)
            status = store_builder_add(builder, to - from, base->memories + from * base->d,
                                       base->values ? base->values + from * base->p : NULL, error);
    }
    return status;
}

/* ---- ids and labels ------------------------------------------------------------------------------------ */

static hop_status give_ids(store_builder *builder, const store_set *base, const bool *gone, size_t M, size_t added,
                           hop_error *error)
{
    uint64_t next = base->next_id;
    if (!gone && !base->ids && next == base->M) /* ids are still the rows' numbers */
        return HOP_OK;
    uint64_t *ids = calloc(M, sizeof *ids);
    if (!ids)
        return hop_fail(error, HOP_E_NOMEM, "out of memory for %zu ids", M);
    size_t n = 0;
    for (size_t mu = 0; mu < base->M; mu++)
        if (!gone || !gone[mu])
            ids[n++] = store_set_id(base, mu);
    for (size_t i = 0; i < added; i++)
        ids[n++] = next++;
    hop_status status = store_builder_set_ids(builder, M, ids, next, error);
    free(ids);
    return status;
}

static hop_status give_labels(store_builder *builder, const store_set *base, const store_revision *revision,
                              const bool *gone, size_t M, hop_error *error)
{
    const char *const *added = revision->kind == STORE_APPEND ? revision->added.labels : NULL;
    if (revision->kind == STORE_SETTINGS && revision->relabel)
        return revision->labels ? store_builder_label(builder, revision->n_labels, revision->labels, error) : HOP_OK;
    if (!base->label_text && !added)
        return HOP_OK;
    const char **labels = calloc(M, sizeof *labels);
    if (!labels)
        return hop_fail(error, HOP_E_NOMEM, "out of memory for %zu labels", M);
    size_t n = 0;
    for (size_t mu = 0; mu < base->M; mu++)
        if (!gone || !gone[mu])
            labels[n++] = base->label_text ? store_set_label(base, mu) : "";
    for (size_t i = 0; n < M; i++)
        labels[n++] = added ? added[i] : "";
    hop_status status = store_builder_label(builder, M, labels, error);
    free(labels);
    return status;
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

static hop_status check_added(const store_set *base, const store_rows_view *added, hop_error *error)
{
    size_t p = base->values ? base->p : 0;
    if (added->M == 0)
        return hop_fail(error, HOP_E_SHAPE, "there are no rows to append");
    if (added->d != base->d)
        return hop_fail(error, HOP_E_SHAPE, "appended memories have dimension %zu, the set's have %zu", added->d,
                        base->d);
    if (added->p != p)
        return hop_fail(error, HOP_E_SHAPE, "appended values have %zu columns, the set's have %zu", added->p, p);
    return HOP_OK;
}

static hop_status assemble(const store_set *base, const store_revision *revision, const bool *gone, size_t M,
                           const hop_executor *executor, store_set **out, hop_error *error)
{
    store_builder *builder = NULL;
    const store_rows_view *added = &revision->added;
    bool appends = revision->kind == STORE_APPEND;
    hop_status status = store_builder_new(base->budget, M, base->d, base->values ? base->p : 0,
                                          hop_model_similarity(base->model), &builder, error);
    if (status == HOP_OK)
        status = add_kept(builder, base, gone, error);
    if (status == HOP_OK && appends)
        status = store_builder_add(builder, added->M, added->memories, added->values, error);
    if (status == HOP_OK)
        status = give_ids(builder, base, gone, M, appends ? added->M : 0, error);
    if (status == HOP_OK)
        status = give_labels(builder, base, revision, gone, M, error);
    if (status == HOP_OK) {
        store_options options =
            revision->kind == STORE_SETTINGS ? changed_options(base, &revision->options) : options_of(base);
        status = store_builder_finish(builder, &options, executor, out, error);
    }
    store_builder_free(builder);
    if (status == HOP_OK)
        (*out)->created_ms = base->created_ms;
    return status;
}

hop_status store_revise(const store_set *base, const store_revision *revision, const hop_executor *executor,
                        store_set **out, hop_error *error)
{
    size_t M = base->M;
    bool *gone = NULL;
    hop_status status = HOP_OK;
    if (revision->kind == STORE_APPEND) {
        status = check_added(base, &revision->added, error);
        if (status == HOP_OK && !hop_add_size(base->M, revision->added.M, &M))
            status = hop_fail(error, HOP_E_SHAPE, "more memories than this machine can address");
    } else if (revision->kind == STORE_REMOVE) {
        gone = calloc(base->M, sizeof *gone);
        status = gone ? mark_removed(base, revision, gone, error)
                      : hop_fail(error, HOP_E_NOMEM, "out of memory for %zu memories", base->M);
        M -= revision->n_ids; /* once they are known to be as many rows */
    }
    if (status == HOP_OK)
        status = assemble(base, revision, gone, M, executor, out, error);
    free(gone);
    return status;
}
