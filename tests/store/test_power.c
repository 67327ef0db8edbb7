/*
 * test_power.c - what was acknowledged survives the power: after every call that changes the folder, any state that a
 * loss of power may leave comes back as an acknowledged one.
 *
 * A set may be as it was when last acknowledged, or as a change makes it that had begun; nothing else, and never
 * `failed`: whatever a crash leaves was not damaged.
 */
#include "fixture.h"
#include "kept.h"
#include "power.h"
#include "store/compaction.h"
#include "store/folder_state.h"
#include "store/revision.h"
#include "support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NAMES = 2, CHANGES = 24, FAST_CHANGES = 8 };

static const char *const names[NAMES] = {"a", "b"};

/* A change: what the set is afterwards (print 0: gone), and between which calls it was made. */
typedef struct change {
    size_t name, begun, ended;
    uint64_t version, print;
} change;

static change changes[CHANGES];
static size_t n_changes;

static uint64_t mix(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ at[i]) * 0x100000001B3u;
    return hash;
}

/* Everything that a client can see of a set but its feature maps. */
static uint64_t print_of(const store_set *set)
{
    uint64_t hash = 0xCBF29CE484222325u;
    hash = mix(hash, &set->M, sizeof set->M);
    hash = mix(hash, set->memories, set->M * set->d * sizeof *set->memories);
    if (set->values)
        hash = mix(hash, set->values, set->M * set->p * sizeof *set->values);
    for (size_t mu = 0; mu < set->M; mu++) {
        uint64_t id = store_set_id(set, mu);
        const char *label = store_set_label(set, mu);
        hash = mix(hash, &id, sizeof id);
        hash = mix(hash, label ? label : "", label ? strlen(label) + 1 : 1);
    }
    hash = mix(hash, &set->next_id, sizeof set->next_id);
    hash = mix(hash, &set->beta, sizeof set->beta);
    hash = mix(hash, &set->max_error, sizeof set->max_error);
    hash = mix(hash, set->etag, strlen(set->etag));
    return hash | 1;
}

static void publish(kept_store *store, store_change *open, store_set *set, const store_revision *revision, change *out)
{
    hop_error error = HOP_ERROR_NONE;
    ck_assert_msg(store_registry_save(store->fixture.registry, open, set, revision, &error) == HOP_OK, "%s",
                  error.text);
    out->version = set->version;
    out->print = print_of(set);
    store_registry_commit(store->fixture.registry, open, set);
}

static void revise(kept_store *store, const char *name, const store_revision *revision, change *out)
{
    hop_error error = HOP_ERROR_NONE;
    store_change *open = NULL;
    store_set *base = NULL, *set = NULL;
    ck_assert_int_eq(store_registry_begin_revision(store->fixture.registry, name, NULL, &open, &base, &error), HOP_OK);
    ck_assert_msg(store_revise(base, revision, NULL, &set, &error) == HOP_OK, "%s", error.text);
    publish(store, open, set, revision, out);
    store_set_release(base);
}

static void replace(kept_store *store, const char *name, test_rng *rng, change *out)
{
    hop_error error = HOP_ERROR_NONE;
    store_change *open = NULL;
    const store_options options = {.max_error = -1, .max_degree = (int)test_rng_below(rng, 2)};
    ck_assert_int_eq(store_registry_begin(store->fixture.registry, name, NULL, &open, &error), HOP_OK);
    store_set *set = fixture_set(&store->fixture, M, D, (float)test_rng_unit(rng), &options);
    publish(store, open, set, NULL, out);
}

static void append(kept_store *store, const char *name, test_rng *rng, change *out)
{
    float rows[4 * D];
    const char *labels[4] = {"one", "two", "three", "four"};
    size_t n = 1 + test_rng_below(rng, 4);
    fixture_rows(n, D, (float)test_rng_unit(rng), rows);
    const store_revision revision = {
        .kind = STORE_APPEND,
        .added = {.M = n, .d = D, .memories = rows, .labels = test_rng_below(rng, 2) ? labels : NULL}};
    revise(store, name, &revision, out);
}

static void remove_rows(kept_store *store, const char *name, test_rng *rng, change *out)
{
    store_set *set = fixture_get(&store->fixture, name);
    const uint64_t ids[2] = {store_set_id(set, test_rng_below(rng, set->M - 1)), store_set_id(set, set->M - 1)};
    store_set_release(set);
    revise(store, name, &(store_revision){.kind = STORE_REMOVE, .ids = ids, .n_ids = 1 + test_rng_below(rng, 2)}, out);
}

static void set_defaults(kept_store *store, const char *name, test_rng *rng, change *out)
{
    const store_options options = {.beta = 0.5 + test_rng_unit(rng), .max_error = -1, .max_degree = -1};
    revise(store, name, &(store_revision){.kind = STORE_SETTINGS, .options = options}, out);
}

/* As the thread for it does with a long log; these are short. */
static void compact(kept_store *store, const char *name)
{
    hop_error error = HOP_ERROR_NONE;
    store_set *set = NULL;
    uint64_t life = 0;
    store_kept *kept = store_kept_hold(store->folder, name, false);
    if (kept) {
        life = kept->life;
        store_kept_release(store->folder, kept);
    }
    if (store_registry_get(store->fixture.registry, name, &set, NULL) != HOP_OK)
        return;
    ck_assert_msg(store_folder_compact(store->folder, set, life, &error) == HOP_OK, "%s", error.text);
    store_set_release(set);
}

typedef struct compactor {
    kept_store *store;
    atomic_bool stop;
} compactor;

static void *compact_until_stopped(void *argument)
{
    compactor *self = argument;
    for (size_t i = 0; !atomic_load(&self->stop); i++) {
        compact(self->store, names[i % NAMES]);
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
    return NULL;
}

static void change_something(kept_store *store, test_rng *rng)
{
    hop_error error = HOP_ERROR_NONE;
    size_t which = test_rng_below(rng, NAMES), what = test_rng_below(rng, 12);
    store_set *set = NULL;
    change *out = &changes[n_changes++];
    *out = (change){.name = which, .begun = power_calls()};
    bool there = store_registry_get(store->fixture.registry, names[which], &set, NULL) == HOP_OK;
    size_t rows = there ? set->M : 0;
    store_set_release(set);
    if (!there || what == 0)
        replace(store, names[which], rng, out);
    else if (what == 1)
        ck_assert_int_eq(store_registry_delete(store->fixture.registry, names[which], NULL, &error), HOP_OK);
    else if (what < 4)
        set_defaults(store, names[which], rng, out);
    else if (what < 7 && rows > 4)
        remove_rows(store, names[which], rng, out);
    else
        append(store, names[which], rng, out);
    out->ended = power_calls();
}

/* Is it the last acknowledged state, or that of the change which had begun? */
static bool may_be(size_t name, size_t calls, uint64_t version, uint64_t print)
{
    const change *last = NULL, *begun = NULL;
    for (size_t i = 0; i < n_changes; i++) {
        if (changes[i].name != name)
            continue;
        if (changes[i].ended <= calls)
            last = &changes[i];
        else if (changes[i].begun < calls)
            begun = &changes[i];
    }
    return (last ? last->print == print && last->version == version : print == 0) ||
           (begun && begun->print == print && begun->version == version);
}

static void assert_comes_back(size_t calls, power_loss loss, test_rng *rng)
{
    kept_store store;
    store_standing now;
    disk_folder_make(path);
    power_restore(path, calls, loss, rng);
    char files[4096];
    snprintf(files, sizeof files, "%s", disk_names(path));
    open_store(&store);
    start_loading(&store);
    for (size_t name = 0; name < NAMES; name++) {
        store_set *set = NULL;
        bool there = standing(&store, names[name], &now);
        if (there)
            ck_assert_msg(now.state != STORE_FAILED, "%s, loss %d: %s fails: %s;%s", calls ? power_call(calls - 1) : "",
                          (int)loss, names[name], now.reason, files);
        if (store_registry_get(store.fixture.registry, names[name], &set, NULL) != HOP_OK)
            set = NULL;
        ck_assert_msg(may_be(name, calls, set ? set->version : 0, set ? print_of(set) : 0),
                      "%s, loss %d: %s is at version %zu, which it may not be at;%s",
                      calls ? power_call(calls - 1) : "", (int)loss, names[name], set ? (size_t)set->version : 0,
                      files);
        store_set_release(set);
    }
    close_store(&store);
    disk_folder_remove(path);
}

/* Every other time logs are compacted beside the changes, else between them. */
START_TEST(what_was_acknowledged_survives_any_loss_of_power)
{
    test_rng rng;
    kept_store store;
    test_rng_init(&rng, test_seed(1), (uint64_t)_i);
    n_changes = 0;
    power_on();
    open_store(&store);
    compactor beside = {.store = &store};
    pthread_t thread;
    if (_i % 2)
        ck_assert_int_eq(pthread_create(&thread, NULL, compact_until_stopped, &beside), 0);
    while (n_changes < (hop_check_fast() ? FAST_CHANGES : CHANGES)) {
        change_something(&store, &rng);
        if (!(_i % 2) && test_rng_below(&rng, 6) == 0)
            compact(&store, names[test_rng_below(&rng, NAMES)]);
    }
    atomic_store(&beside.stop, true);
    if (_i % 2)
        pthread_join(thread, NULL);
    close_store(&store);
    power_off();
    disk_folder_remove(path);
    size_t calls = power_calls();
    for (size_t n = 0; n <= calls; n++)
        for (power_loss loss = POWER_ALL; loss < POWER_LOSSES; loss++)
            assert_comes_back(n, loss, &rng);
    power_free();
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("power");
    TCase *tests = tcase_create("power");
    tcase_add_checked_fixture(tests, kept_setup, kept_teardown);
    tcase_add_loop_test(tests, what_was_acknowledged_survives_any_loss_of_power, 0, 2);
    tcase_set_timeout(tests, 120);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
