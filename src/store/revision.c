/*
 * revision.c - see revision.h. What the versions have in common they share: labels and body where settings change, the
 * rows there were where some are appended; feature maps are carried over where that is quick.
 */
#include "store/revision.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/content_hash.h"
#include "store/regime.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * Maps are carried over at once where that is predicted to take at most so much of a build, and of a thread's time, or
 * hardly any; else they are built later.
 */
#define CARRY_SHARE 0.25
#define CARRY_SECONDS_MOST 2.0
#define CARRY_SECONDS_FREE 0.05

enum { SPARE = 8 }; /* rows that are copied for an append get room for an eighth more */

/* A revision on its way from base to the set that it makes. */
typedef struct making {
    const store_set *base;
    const store_revision *revision;
    const hop_executor *executor;
    size_t M, n_added;
    bool *gone;      /* base->M rows: which go; NULL: none */
    size_t *removed; /* they, ascending */
    size_t n_removed;
    size_t scratch_bytes; /* charged, for these two */
    uint64_t rows_hash;
    size_t same_rows; /* at the beginning, of base's rows */
    bool extended;    /* base's block is, in place */
    store_block *block;
    store_labels *labels;
    store_body *body;
} making;

/* ---- settings ------------------------------------------------------------------------------------------ */

static store_options options_of(const making *self)
{
    const store_set *base = self->base;
    store_options options = {.beta = base->beta, .max_error = base->max_error, .max_degree = base->max_degree};
    if (self->revision->kind != STORE_SETTINGS)
        return options;
    const store_options *change = &self->revision->options;
    if (change->beta > 0)
        options.beta = change->beta;
    if (change->max_error >= 0)
        options.max_error = change->max_error;
    if (change->max_degree >= 0 || change->max_degree == STORE_DEGREE_FREE)
        options.max_degree = change->max_degree >= 0 ? change->max_degree : -1;
    return options;
}

/*
 * Whether a set of that max_degree may have base's model, which has maps or may get them from a build that runs: they
 * have to be those that max_degree asks for.
 */
static bool maps_serve(const store_set *base, int max_degree)
{
    if (base->mapping) /* for the first seconds only: another form takes its place, but not that of what is made of it */
        return false;
    if (max_degree == base->max_degree)
        return true;
    bool settled = store_set_state(base) != STORE_BUILDING; /* before the maps are looked at */
    const hop_features *features = hop_model_features(base->model);
    if (features)
        return max_degree > 0 && hop_features_max_degree(features) == (unsigned)max_degree;
    return settled && max_degree == 0;
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

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

/* Behind base's rows where there is room; else in a copy with room for more, or, where that is too much, for these. */
static hop_status room_for_added(making *self, hop_error *error)
{
    const store_set *base = self->base;
    bool numbered = !base->ids && base->next_id == base->M;
    size_t roomy;
    if ((base->ids || numbered) && store_block_extend(base->body->block, base->M, self->n_added)) {
        self->block = store_block_acquire(base->body->block);
        self->extended = true;
        return HOP_OK;
    }
    size_t p = base->values ? base->p : 0;
    hop_status status = HOP_E_BUDGET;
    if (hop_add_size(self->M, self->M / SPARE, &roomy))
        status = store_block_new(base->budget, roomy, self->M, base->d, p, !numbered, &self->block, NULL);
    if (status != HOP_OK)
        status = store_block_new(base->budget, self->M, self->M, base->d, p, !numbered, &self->block, error);
    if (status == HOP_OK)
        status = store_block_copy(self->block, base->body->block, base->M, NULL, self->executor, error);
    return status;
}

static hop_status append_rows(making *self, hop_error *error)
{
    const store_set *base = self->base;
    const store_rows_view *added = &self->revision->added;
    hop_status status = check_added(base, added, error);
    if (status == HOP_OK && !hop_add_size(base->M, added->M, &self->M))
        status = hop_fail(error, HOP_E_SHAPE, "more memories than this machine can address");
    if (status != HOP_OK)
        return status;
    self->n_added = added->M;
    self->same_rows = base->M;
    status = room_for_added(self, error);
    if (status != HOP_OK)
        return status;
    store_block *block = self->block;
    memcpy(block->memories + base->M * base->d, added->memories, added->M * base->d * sizeof(float));
    if (block->p)
        memcpy(block->values + base->M * block->p, added->values, added->M * block->p * sizeof(float));
    for (size_t i = 0; block->ids && i < added->M; i++)
        block->ids[base->M + i] = base->next_id + i;
    self->rows_hash = base->body->rows_hash + store_hash_rows(added->memories, base->d, added->values, added->p, NULL,
                                                              base->next_id, added->M, self->executor);
    return HOP_OK;
}

static hop_status mark_removed(making *self, hop_error *error)
{
    const store_set *base = self->base;
    const store_revision *revision = self->revision;
    if (revision->n_ids == 0)
        return hop_fail(error, HOP_E_SHAPE, "there are no ids to remove");
    for (size_t i = 0; i < revision->n_ids; i++) {
        size_t mu;
        if (!store_set_row_of(base, revision->ids[i], &mu))
            return hop_fail_at(error, HOP_E_UNKNOWN, (int64_t)i, -1, "id %" PRIu64 " is of no memory of this set",
                               revision->ids[i]);
        if (self->gone[mu])
            return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)i, -1, "id %" PRIu64 " is given twice", revision->ids[i]);
        self->gone[mu] = true;
    }
    if (revision->n_ids >= base->M)
        return hop_fail(error, HOP_E_DOMAIN, "all %zu memories would be removed: DELETE the set instead", base->M);
    return HOP_OK;
}

static hop_status remove_rows(making *self, hop_error *error)
{
    const store_set *base = self->base;
    size_t n = self->revision->n_ids < base->M ? self->revision->n_ids : base->M; /* more are refused below */
    size_t bytes = base->M * sizeof *self->gone + n * sizeof *self->removed;
    hop_status status = store_budget_charge(base->budget, bytes, "removing memories", error);
    if (status != HOP_OK)
        return status;
    self->scratch_bytes = bytes;
    self->gone = calloc(base->M, sizeof *self->gone);
    self->removed = malloc((n ? n : 1) * sizeof *self->removed);
    if (!self->gone || !self->removed)
        return hop_fail(error, HOP_E_NOMEM, "out of memory for %zu memories", base->M);
    status = mark_removed(self, error);
    if (status != HOP_OK)
        return status;
    self->rows_hash = base->body->rows_hash;
    for (size_t mu = 0; mu < base->M; mu++) {
        if (!self->gone[mu])
            continue;
        self->removed[self->n_removed++] = mu;
        self->rows_hash -=
            store_hash_rows(base->memories + mu * base->d, base->d, base->values ? base->values + mu * base->p : NULL,
                            base->p, NULL, store_set_id(base, mu), 1, NULL);
    }
    self->M = base->M - self->n_removed;
    self->same_rows = self->removed[0];
    status =
        store_block_new(base->budget, self->M, self->M, base->d, base->values ? base->p : 0, true, &self->block, error);
    if (status == HOP_OK)
        status = store_block_copy(self->block, base->body->block, base->M, self->gone, self->executor, error);
    return status;
}

/* The same rows; mapped ones in memory of their own. */
static hop_status keep_rows(making *self, hop_error *error)
{
    const store_set *base = self->base;
    const store_block *block = base->body->block;
    self->same_rows = base->M;
    self->rows_hash = base->body->rows_hash;
    if (!base->mapping) {
        self->block = store_block_acquire(base->body->block);
        return HOP_OK;
    }
    hop_status status =
        store_block_new(base->budget, base->M, base->M, block->d, block->p, block->ids != NULL, &self->block, error);
    return status == HOP_OK ? store_block_copy(self->block, block, base->M, NULL, self->executor, error) : status;
}

/* ---- labels -------------------------------------------------------------------------------------------- */

static hop_status choose_labels(making *self, hop_error *error)
{
    const store_set *base = self->base;
    const store_revision *revision = self->revision;
    const char *const *added = revision->kind == STORE_APPEND ? revision->added.labels : NULL;
    if (revision->kind == STORE_SETTINGS && revision->relabel) {
        if (!revision->labels)
            return HOP_OK;
        if (revision->n_labels != self->M)
            return hop_fail(error, HOP_E_SHAPE, "%zu labels for %zu memories", revision->n_labels, self->M);
        return store_labels_new(base->budget, NULL, 0, NULL, revision->labels, self->M, &self->labels, error);
    }
    if (!base->labels && !added)
        return HOP_OK;
    if (revision->kind == STORE_SETTINGS) {
        self->labels = store_labels_acquire(base->labels);
        return HOP_OK;
    }
    return store_labels_new(base->budget, base->labels, base->M, self->gone, added, self->n_added, &self->labels,
                            error);
}

/* ---- model and maps ------------------------------------------------------------------------------------ */

static hop_status make_body(making *self, hop_error *error)
{
    const store_set *base = self->base;
    const store_body_source source = {
        .block = self->block,
        .M = self->M,
        .similarity = hop_model_similarity(base->model),
        .packing = base->body->packing,
        .wanted = base->body->packing,
        .like = base->body,
        .same_rows = self->same_rows,
        .rows_hash = self->rows_hash,
    };
    hop_error cause = HOP_ERROR_NONE;
    hop_status status = store_body_new(&source, 0, self->executor, &self->body, &cause);
    if (status == HOP_OK || !error || error->status != HOP_OK)
        return status;
    if (cause.row < (int64_t)base->M)
        *error = cause;
    else /* of the rows that came, which their sender counts from 0 */
        hop_fail_at(error, status, cause.row - (int64_t)base->M, cause.column,
                    "row %" PRId64 " of those appended: %.180s", cause.row - (int64_t)base->M, cause.text);
    return status;
}

/* Whether maps of that degree are carried over now, rather than built in the background. */
static bool quickly_carried(const making *self, unsigned degree)
{
    double share = (double)(self->n_added + self->n_removed) / (double)self->M;
    double seconds = share * hop_features_build_seconds(self->body->model, degree);
    return seconds < CARRY_SECONDS_FREE || (share <= CARRY_SHARE && seconds < CARRY_SECONDS_MOST);
}

/* Where it cannot be done the set goes without maps, which are built in the background then. */
static void carry_maps(making *self)
{
    const store_set *base = self->base;
    const hop_features *before = hop_model_features(base->model);
    store_body *body = self->body;
    if (!before || !quickly_carried(self, hop_features_max_degree(before)))
        return;
    size_t bytes = hop_features_update_bytes(before, base->model, body->model, self->n_removed,
                                             self->executor ? self->executor->width : 1);
    if (bytes == SIZE_MAX || store_budget_charge(base->budget, bytes, "the feature maps", NULL) != HOP_OK)
        return;
    hop_features *features = NULL;
    hop_status status = hop_features_update(before, base->model, body->model, self->removed, self->n_removed,
                                            self->executor, NULL, &features, NULL);
    if (status != HOP_OK) {
        store_budget_release(base->budget, bytes);
        return;
    }
    store_body_adopt(body, features, bytes);
    body->measured_M = base->body->measured_M;
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

static hop_status choose_body(making *self, int max_degree, hop_error *error)
{
    bool settings = self->revision->kind == STORE_SETTINGS;
    if (settings && maps_serve(self->base, max_degree)) {
        self->body = store_body_acquire(self->base->body);
        return HOP_OK;
    }
    hop_status status = make_body(self, error);
    if (status == HOP_OK && !settings)
        carry_maps(self);
    return status;
}

static hop_status make(making *self, store_set **out, hop_error *error)
{
    const store_set *base = self->base;
    const store_options options = options_of(self);
    uint64_t next_id = base->next_id + self->n_added;
    hop_status status = choose_labels(self, error);
    if (status == HOP_OK)
        status = choose_body(self, options.max_degree, error);
    if (status == HOP_OK)
        status = store_set_new(self->body, self->labels, &options, next_id, base->created_ms, 0, out, error);
    if (status != HOP_OK)
        return status;
    self->body = NULL;
    self->labels = NULL;
    self->extended = false;
    store_regime_measure(*out, STORE_BEFORE_MAPS);
    if (hop_model_features((*out)->model)) {
        store_regime_measure(*out, STORE_WITH_MAPS);
        store_set_settle(*out, STORE_READY, NULL);
    }
    return HOP_OK;
}

hop_status store_revise(const store_set *base, const store_revision *revision, const hop_executor *executor,
                        store_set **out, hop_error *error)
{
    making self = {.base = base, .revision = revision, .executor = executor, .M = base->M};
    store_set *set = NULL;
    hop_status status = HOP_OK;
    switch (revision->kind) {
    case STORE_APPEND:
        status = append_rows(&self, error);
        break;
    case STORE_REMOVE:
        status = remove_rows(&self, error);
        break;
    case STORE_SETTINGS:
        status = keep_rows(&self, error);
        break;
    }
    if (status == HOP_OK)
        status = make(&self, &set, error);
    if (status == HOP_OK)
        status = store_set_check(base, error); /* now that everything was read */
    if (status == HOP_OK)
        *out = set;
    else
        store_set_release(set);
    store_body_release(self.body);
    store_labels_release(self.labels);
    if (self.extended) /* and nothing came of it */
        store_block_shrink(base->body->block, base->M, self.n_added);
    store_block_release(self.block);
    free(self.gone);
    free(self.removed);
    store_budget_release(base->budget, self.scratch_bytes);
    return status;
}
