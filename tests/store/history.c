/*
 * history.c - see history.h.
 */
#include "history.h"

#include "support/check_main.h"
#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct text {
    char *at;
    size_t n, room;
} text;

__attribute__((format(printf, 2, 3))) static void put_text(text *t, const char *format, ...)
{
    va_list args;
    if (t->room - t->n < 2048) {
        t->room = 2 * t->room + 4096;
        t->at = realloc(t->at, t->room);
        ck_assert_ptr_nonnull(t->at);
    }
    va_start(args, format);
    t->n += (size_t)vsnprintf(t->at + t->n, t->room - t->n, format, args);
    va_end(args);
}

char *history_text(const store_set *set)
{
    text t = {0};
    put_text(&t, "%s %s version %" PRIu64 " M %zu d %zu next %" PRIu64 " beta %a max_error %a degree %d\n", set->name,
             set->etag, set->version, set->M, set->d, set->next_id, set->beta, set->max_error, set->max_degree);
    for (size_t mu = 0; mu < set->M; mu++) {
        put_text(&t, "%" PRIu64 ":", store_set_id(set, mu));
        for (size_t l = 0; l < set->d; l++)
            put_text(&t, " %a", (double)set->memories[mu * set->d + l]);
        for (size_t l = 0; set->values && l < set->p; l++)
            put_text(&t, " %a", (double)set->values[mu * set->p + l]);
        if (set->label_text)
            put_text(&t, " '%s'", store_set_label(set, mu));
        put_text(&t, "\n");
    }
    return t.at;
}

void history_free(history *past)
{
    for (size_t i = 0; i < past->n; i++)
        free(past->state[i]);
    past->n = past->acknowledged = 0;
}

static void note(history *past, const store_set *set)
{
    ck_assert_uint_eq(set->version, past->acknowledged + 1);
    if (past->n >= set->version) /* one that was refused */
        free(past->state[--past->n]);
    ck_assert_uint_lt(past->n, HISTORY_MAX);
    past->state[past->n++] = history_text(set);
}

void history_begin(history *past, kept_store *store, hop_similarity similarity, bool labelled)
{
    float rows[M * D], values[M * HISTORY_P];
    char names[M][24];
    const char *labels[M];
    const store_options options = {.max_error = -1, .max_degree = 0};
    hop_error error = HOP_ERROR_NONE;
    store_builder *builder = NULL;
    store_set *set = NULL;
    store_change *change = NULL;
    *past = (history){0};
    fixture_rows(M, D, 1, rows);
    fixture_rows(M, HISTORY_P, -1, values);
    for (size_t mu = 0; mu < M; mu++) {
        snprintf(names[mu], sizeof names[mu], "row %zu", mu);
        labels[mu] = names[mu];
    }
    ck_assert_int_eq(store_builder_new(&store->fixture.budget, 0, D, HISTORY_P, similarity, &builder, &error), HOP_OK);
    ck_assert_int_eq(store_builder_add(builder, M, rows, values, &error), HOP_OK);
    if (labelled)
        ck_assert_int_eq(store_builder_label(builder, M, labels, &error), HOP_OK);
    ck_assert_msg(store_builder_finish(builder, &options, NULL, &set, &error) == HOP_OK, "%s", error.text);
    store_builder_free(builder);
    ck_assert_int_eq(store_registry_begin(store->fixture.registry, "a", NULL, &change, &error), HOP_OK);
    ck_assert_msg(store_registry_save(store->fixture.registry, change, set, NULL, &error) == HOP_OK, "%s", error.text);
    note(past, set);
    past->acknowledged = 1;
    store_registry_commit(store->fixture.registry, change, set);
}

static hop_status keep(history *past, kept_store *store, const store_revision *revision, bool whole, hop_error *error)
{
    store_registry *registry = store->fixture.registry;
    store_change *change = NULL;
    store_set *base = NULL, *set = NULL;
    hop_status status = store_registry_begin_revision(registry, "a", NULL, &change, &base, error);
    if (status != HOP_OK)
        return status;
    ck_assert_msg(store_revise(base, revision, NULL, &set, error) == HOP_OK, "%s", error ? error->text : "");
    /* The text before it is saved: whoever is killed while it is saved may find it. */
    store_set_name(set, "a", base->version + 1);
    note(past, set);
    status = store_registry_save(registry, change, set, whole ? NULL : revision, error);
    if (status == HOP_OK) {
        past->acknowledged++;
        store_registry_commit(registry, change, set);
    } else {
        store_set_release(set);
        store_registry_abandon(registry, change);
    }
    store_set_release(base);
    return status;
}

static hop_status revise(history *past, kept_store *store, const store_revision *revision, hop_error *error)
{
    return keep(past, store, revision, false, error);
}

hop_status history_append_whole(history *past, kept_store *store, hop_error *error)
{
    const float row[D] = {1, 2, 3}, value[HISTORY_P] = {4, 5};
    const store_revision revision = {.kind = STORE_APPEND,
                                     .added = {.M = 1, .d = D, .p = HISTORY_P, .memories = row, .values = value}};
    return keep(past, store, &revision, true, error);
}

static hop_status append(history *past, kept_store *store, size_t rows, bool labelled, hop_error *error)
{
    float *memories = malloc(rows * D * sizeof *memories), *values = malloc(rows * HISTORY_P * sizeof *values);
    const char **labels = malloc(rows * sizeof *labels);
    ck_assert(memories && values && labels);
    float first = 1 + (float)past->acknowledged / HISTORY_MAX;
    fixture_rows(rows, D, first, memories);
    fixture_rows(rows, HISTORY_P, -first, values);
    for (size_t i = 0; i < rows; i++)
        labels[i] = i % 2 ? "appended \xc3\xa4" : "";
    const store_revision revision = {.kind = STORE_APPEND,
                                     .added = {.M = rows,
                                               .d = D,
                                               .p = HISTORY_P,
                                               .memories = memories,
                                               .values = values,
                                               .labels = labelled ? labels : NULL}};
    hop_status status = revise(past, store, &revision, error);
    free(labels);
    free(memories);
    free(values);
    return status;
}

hop_status history_append(history *past, kept_store *store, size_t rows, hop_error *error)
{
    return append(past, store, rows, false, error);
}

/* Removes the rows at these places. */
static hop_status drop(history *past, kept_store *store, size_t n, const size_t *places, hop_error *error)
{
    uint64_t ids[4];
    store_set *set = fixture_get(&store->fixture, "a");
    for (size_t i = 0; i < n; i++)
        ids[i] = store_set_id(set, places[i] < set->M ? places[i] : set->M - 1 - i);
    store_set_release(set);
    const store_revision revision = {.kind = STORE_REMOVE, .ids = ids, .n_ids = n};
    return revise(past, store, &revision, error);
}

static hop_status configure(history *past, kept_store *store, bool relabel, bool labelled, hop_error *error)
{
    store_set *set = fixture_get(&store->fixture, "a");
    size_t n = set->M;
    store_set_release(set);
    const char **labels = malloc(n * sizeof *labels);
    ck_assert_ptr_nonnull(labels);
    for (size_t i = 0; i < n; i++)
        labels[i] = i % 3 ? "new" : "of another length";
    const store_revision revision = {
        .kind = STORE_SETTINGS,
        .options = {.beta = 0.25 + (double)past->acknowledged, .max_error = 0.5, .max_degree = -1},
        .relabel = relabel,
        .labels = labelled ? labels : NULL,
        .n_labels = labelled ? n : 0};
    hop_status status = revise(past, store, &revision, error);
    free(labels);
    return status;
}

hop_status history_change(history *past, kept_store *store, size_t step, hop_error *error)
{
    static const size_t some[] = {3, 0, 7}, last[] = {SIZE_MAX, SIZE_MAX}, one[] = {2};
    switch (step % HISTORY_STEPS) {
    case 0:
        return append(past, store, 3, false, error);
    case 1:
        return drop(past, store, 3, some, error);
    case 2:
        return configure(past, store, false, false, error);
    case 3:
        return append(past, store, 2, true, error);
    case 4:
        return drop(past, store, 2, last, error); /* rows that a record brought */
    case 5:
        return configure(past, store, true, true, error);
    case 6:
        return append(past, store, 1, false, error);
    case 7:
        return drop(past, store, 1, one, error);
    case 8:
        return configure(past, store, true, false, error);
    case 9:
        return append(past, store, 5, true, error);
    default:
        return drop(past, store, 1, last, error); /* the newest: its id does not come back */
    }
}

void history_assert(const history *past, const store_set *set, const char *when)
{
    ck_assert_msg(set->version >= 1 && set->version <= past->n, "%s: version %" PRIu64 " of %zu", when, set->version,
                  past->n);
    char *found = history_text(set);
    ck_assert_msg(strcmp(found, past->state[set->version - 1]) == 0, "%s: version %" PRIu64 " is\n%sand was\n%s", when,
                  set->version, found, past->state[set->version - 1]);
    free(found);
}

uint64_t history_find(const history *past, const char *where, bool *failed, const char *when)
{
    store_budget budget;
    store_folder *folder = NULL;
    store_found *found = NULL;
    size_t n = 0;
    uint64_t version = 0;
    hop_error error = HOP_ERROR_NONE;
    store_budget_init(&budget, SIZE_MAX);
    const store_loading loading = {.budget = &budget, .packing = HOP_PACK_NONE};
    ck_assert_msg(store_folder_open(where, (store_listener){0}, &folder, &error) == HOP_OK, "%s: %s", when, error.text);
    ck_assert_int_eq(store_folder_list(folder, &found, &n, &error), HOP_OK);
    *failed = n > 0;
    for (size_t i = 0; i < n && !version; i++) {
        store_set *set = NULL;
        store_loss loss;
        error = HOP_ERROR_NONE;
        ck_assert_str_eq(found[i].name, "a");
        hop_status status = store_folder_load(folder, "a", found[i].version, &loading, &set, &loss, &error);
        if (status != HOP_OK) {
            ck_assert_msg(status == HOP_E_FORMAT && error.text[0], "%s: %s", when, error.text);
            continue;
        }
        history_assert(past, set, when);
        version = set->version;
        *failed = i > 0 || loss.reason[0];
        if (loss.reason[0])
            hop_check_note("%s: %s", when, loss.reason);
        ck_assert_msg(*failed || version >= past->acknowledged, "%s: version %" PRIu64 ", %zu were acknowledged", when,
                      version, past->acknowledged);
        ck_assert(!loss.reason[0] || loss.newest >= version);
        store_set_release(set);
    }
    free(found);
    store_folder_close(folder);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
    return version;
}
