/*
 * test_registry.c - names, preconditions, exclusion of changes, and readers that never see a mixture.
 */
#include "fixture.h"
#include "support/check_main.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUDGET_BYTES = 64 << 20 };

START_TEST(names_are_checked)
{
    char longest[STORE_NAME_BYTES + 1];
    memset(longest, 'a', sizeof longest);
    longest[STORE_NAME_BYTES] = '\0';
    ck_assert(!store_name_valid(longest));
    longest[STORE_NAME_BYTES - 1] = '\0';
    ck_assert(store_name_valid(longest));
    const char *good[] = {"a", "9", "digits", "A.b_c-1", "a..b"};
    const char *bad[] = {"", ".", "-a", "_a", ".a", "a b", "a/b", "\xc3\xa9", "a\n", "a%20"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(store_name_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!store_name_valid(bad[i]), "%s", bad[i]);
}
END_TEST

START_TEST(etag_lists_are_read)
{
    const struct {
        const char *list;
        bool strong, weak;
    } cases[] = {
        {"*", true, true},
        {" *", true, true},
        {"\"a-1\"", true, true},
        {"\"b-1\", \"a-1\"", true, true},
        {"\"b-1\",\"a-1\" , \"c\"", true, true},
        {"W/\"a-1\"", false, true},
        {"W/\"b\", W/\"a-1\"", false, true},
        {"\"b,\\\"a-1\"", false, false},
        {"\"x,\"a-1\"", false, false},
        {"a-1", false, false},
        {"\"a-11\"", false, false},
        {"\"a-1", false, false},
        {"", false, false},
        {",,,", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_msg(store_etag_listed(cases[i].list, "\"a-1\"", false) == cases[i].strong, "strong: %s",
                      cases[i].list);
        ck_assert_msg(store_etag_listed(cases[i].list, "\"a-1\"", true) == cases[i].weak, "weak: %s", cases[i].list);
    }
}
END_TEST

START_TEST(versions_count_up_and_etags_change)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    store_set *missing = NULL;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_registry_get(fixture.registry, "s", &missing, &error), HOP_E_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.text, "'s'"));

    ck_assert(fixture_put(&fixture, "s", fixture_set(&fixture, 3, 2, 1, NULL)));
    store_set *one = fixture_get(&fixture, "s");
    ck_assert_uint_eq(one->version, 1);
    ck_assert_str_eq(one->name, "s");
    ck_assert(!fixture_put(&fixture, "s", fixture_set(&fixture, 3, 2, 1, NULL)));
    store_set *two = fixture_get(&fixture, "s");
    ck_assert_uint_eq(two->version, 2);
    ck_assert_str_ne(one->etag, two->etag); /* the same content is still another version */
    ck_assert_int_eq(two->etag[0], '"');
    ck_assert_int_eq(two->etag[strlen(two->etag) - 1], '"');

    /* The old version stays whole for whoever holds it. */
    ck_assert_float_eq(one->memories[0], 1);
    store_set_release(one);
    error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_registry_delete(fixture.registry, "s", NULL, &error), HOP_OK);
    ck_assert_int_eq(store_registry_delete(fixture.registry, "s", NULL, &error), HOP_E_NOT_FOUND);
    ck_assert_float_eq(two->memories[0], 1);
    store_set_release(two);
    ck_assert(fixture_put(&fixture, "s", fixture_set(&fixture, 3, 2, 1, NULL)));
    fixture_fini(&fixture);
}
END_TEST

static hop_status begin(store_fixture *fixture, const char *if_match, const char *if_none_match)
{
    const store_condition condition = {.if_match = if_match, .if_none_match = if_none_match};
    store_change *change = NULL;
    hop_status status = store_registry_begin(fixture->registry, "s", &condition, &change, NULL);
    if (status == HOP_OK)
        store_registry_abandon(fixture->registry, change);
    return status;
}

START_TEST(preconditions_are_kept)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    ck_assert_int_eq(begin(&fixture, "*", NULL), HOP_E_EXISTS);
    ck_assert_int_eq(begin(&fixture, NULL, "*"), HOP_OK);
    fixture_put(&fixture, "s", fixture_set(&fixture, 3, 2, 1, NULL));
    store_set *set = fixture_get(&fixture, "s");
    ck_assert_int_eq(begin(&fixture, "*", NULL), HOP_OK);
    ck_assert_int_eq(begin(&fixture, set->etag, NULL), HOP_OK);
    ck_assert_int_eq(begin(&fixture, "\"other\"", NULL), HOP_E_EXISTS);
    ck_assert_int_eq(begin(&fixture, NULL, "*"), HOP_E_EXISTS);
    ck_assert_int_eq(begin(&fixture, NULL, set->etag), HOP_E_EXISTS);
    ck_assert_int_eq(begin(&fixture, NULL, "\"other\""), HOP_OK);

    const store_condition stale = {.if_match = "\"other\""}, current = {.if_match = set->etag};
    ck_assert_int_eq(store_registry_delete(fixture.registry, "s", &stale, NULL), HOP_E_EXISTS);
    ck_assert_int_eq(store_registry_delete(fixture.registry, "s", &current, NULL), HOP_OK);
    store_set_release(set);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(changes_of_one_name_exclude_each_other)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    store_change *first = NULL, *second = NULL, *other = NULL;
    store_set *set = NULL;
    ck_assert_int_eq(store_registry_begin(fixture.registry, "s", NULL, &first, NULL), HOP_OK);
    ck_assert_int_eq(store_registry_begin(fixture.registry, "s", NULL, &second, NULL), HOP_E_BUSY);
    ck_assert_int_eq(store_registry_begin(fixture.registry, "other", NULL, &other, NULL), HOP_OK);
    ck_assert_int_eq(store_registry_delete(fixture.registry, "s", NULL, NULL), HOP_E_BUSY);
    ck_assert_int_eq(store_registry_get(fixture.registry, "s", &set, NULL), HOP_E_NOT_FOUND);

    /* What came to nothing leaves nothing: the name is as unknown as before. */
    store_registry_abandon(fixture.registry, other);
    store_registry_abandon(fixture.registry, first);
    store_set **sets = NULL;
    size_t n = 1;
    ck_assert_int_eq(store_registry_list(fixture.registry, &sets, &n, NULL), HOP_OK);
    ck_assert_uint_eq(n, 0);
    store_registry_list_free(sets, n);
    ck_assert_int_eq(store_registry_delete(fixture.registry, "s", NULL, NULL), HOP_E_NOT_FOUND);

    /* A failed replacement leaves the old version. */
    fixture_put(&fixture, "s", fixture_set(&fixture, 3, 2, 7, NULL));
    ck_assert_int_eq(store_registry_begin(fixture.registry, "s", NULL, &first, NULL), HOP_OK);
    store_registry_abandon(fixture.registry, first);
    set = fixture_get(&fixture, "s");
    ck_assert_uint_eq(set->version, 1);
    store_set_release(set);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(a_revision_is_of_what_is_there)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    store_change *first = NULL, *change = NULL;
    store_set *base = NULL;
    ck_assert_int_eq(store_registry_begin_revision(fixture.registry, "s", NULL, &change, &base, NULL), HOP_E_NOT_FOUND);
    ck_assert_int_eq(store_registry_begin(fixture.registry, "s", NULL, &first, NULL), HOP_OK);
    /* Not "not found": its first upload is about to make it. */
    ck_assert_int_eq(store_registry_begin_revision(fixture.registry, "s", NULL, &change, &base, NULL), HOP_E_BUSY);
    store_registry_commit(fixture.registry, first, fixture_set(&fixture, 3, 2, 1, NULL));
    const store_condition other = {.if_match = "\"x\""};
    ck_assert_int_eq(store_registry_begin_revision(fixture.registry, "s", &other, &change, &base, NULL), HOP_E_EXISTS);
    ck_assert_int_eq(store_registry_begin_revision(fixture.registry, "s", NULL, &change, &base, NULL), HOP_OK);
    ck_assert_uint_eq(base->version, 1);
    store_change *second = NULL;
    ck_assert_int_eq(store_registry_begin(fixture.registry, "s", NULL, &second, NULL), HOP_E_BUSY);
    ck_assert_int_eq(store_registry_delete(fixture.registry, "s", NULL, NULL), HOP_E_BUSY);
    store_registry_abandon(fixture.registry, change);
    store_set_release(base);
    fixture_fini(&fixture);
}
END_TEST

/* The same content once more, under the name and version that another has. */
static store_set *twin(store_fixture *fixture, const store_set *of)
{
    store_set *set = fixture_set(fixture, of->M, of->d, of->memories[0], NULL);
    store_set_name(set, of->name, of->version);
    return set;
}

START_TEST(a_form_takes_the_place_of_another)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    fixture_put(&fixture, "s", fixture_set(&fixture, 3, 2, 1, NULL));
    store_set *old = fixture_get(&fixture, "s"), *new = twin(&fixture, old);
    ck_assert(store_registry_swap(fixture.registry, old, new));
    store_set *current = fixture_get(&fixture, "s");
    ck_assert_ptr_eq(current, new);
    ck_assert(atomic_load(&old->progress.cancel));
    ck_assert_float_eq(old->memories[0], 1);
    fixture_settle(current); /* its maps were queued */
    ck_assert_int_eq(store_set_state(current), STORE_READY);

    /* Not where it is no longer current, nor while a change is open, nor where the name is gone. */
    store_set *late = twin(&fixture, old);
    ck_assert(!store_registry_swap(fixture.registry, old, late));
    store_change *change = NULL;
    ck_assert_int_eq(store_registry_begin(fixture.registry, "s", NULL, &change, NULL), HOP_OK);
    ck_assert(!store_registry_swap(fixture.registry, current, late));
    store_registry_abandon(fixture.registry, change);
    ck_assert_int_eq(store_registry_delete(fixture.registry, "s", NULL, NULL), HOP_OK);
    ck_assert(!store_registry_swap(fixture.registry, current, late));
    store_set_release(late);
    store_set_release(current);
    store_set_release(old);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(lists_are_by_name)
{
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    char name[32];
    for (int i = 0; i < 60; i++) { /* an order that is neither up nor down */
        snprintf(name, sizeof name, "s%02d", i * 37 % 60);
        fixture_put(&fixture, name, fixture_set(&fixture, 1 + (size_t)i, 1, 0, NULL));
    }
    store_set **sets = NULL;
    size_t n = 0;
    ck_assert_int_eq(store_registry_list(fixture.registry, &sets, &n, NULL), HOP_OK);
    ck_assert_uint_eq(n, 60);
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "s%02zu", i);
        ck_assert_str_eq(sets[i]->name, name);
    }
    ck_assert_int_eq(store_registry_delete(fixture.registry, "s31", NULL, NULL), HOP_OK);
    ck_assert_str_eq(sets[31]->name, "s31"); /* the list holds its own references */
    store_registry_list_free(sets, n);
    ck_assert_int_eq(store_registry_list(fixture.registry, &sets, &n, NULL), HOP_OK);
    ck_assert_uint_eq(n, 59);
    ck_assert_str_eq(sets[31]->name, "s32");
    store_registry_list_free(sets, n);
    fixture_fini(&fixture);
}
END_TEST

typedef struct reader {
    store_fixture *fixture;
    atomic_bool *stop;
    size_t seen;
    bool mixed;
} reader;

/* The first number of every row of version v is about v: anything else is a mixture, or freed memory. */
static void *read_until_stopped(void *argument)
{
    reader *self = argument;
    while (!atomic_load(self->stop)) {
        store_set *set = NULL;
        if (store_registry_get(self->fixture->registry, "s", &set, NULL) != HOP_OK)
            continue;
        for (size_t mu = 0; mu < set->M; mu++) {
            float row = set->memories[mu * set->d];
            if (row < (float)set->M || row >= (float)set->M + 1)
                self->mixed = true;
        }
        self->mixed |= hop_model_M(set->model) != set->M;
        self->seen++;
        store_set_release(set);
    }
    return NULL;
}

START_TEST(readers_never_see_a_mixture)
{
    enum { READERS = 4 };
    store_fixture fixture;
    fixture_init(&fixture, BUDGET_BYTES, NULL);
    atomic_bool stop = false;
    reader readers[READERS];
    pthread_t threads[READERS];
    for (int i = 0; i < READERS; i++) {
        readers[i] = (reader){.fixture = &fixture, .stop = &stop};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_until_stopped, &readers[i]), 0);
    }
    for (size_t i = 0; i < (hop_check_fast() ? 60 : 300); i++) {
        size_t M = 1 + i % 40;
        fixture_put(&fixture, "s", fixture_set(&fixture, M, 4, (float)M, NULL));
        if (i % 10 == 9)
            ck_assert_int_eq(store_registry_delete(fixture.registry, "s", NULL, NULL), HOP_OK);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(!readers[i].mixed);
    }
    fixture_fini(&fixture);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("registry");
    TCase *rules = tcase_create("rules");
    tcase_add_test(rules, names_are_checked);
    tcase_add_test(rules, etag_lists_are_read);
    tcase_add_test(rules, versions_count_up_and_etags_change);
    tcase_add_test(rules, preconditions_are_kept);
    tcase_add_test(rules, changes_of_one_name_exclude_each_other);
    tcase_add_test(rules, a_revision_is_of_what_is_there);
    tcase_add_test(rules, a_form_takes_the_place_of_another);
    tcase_add_test(rules, lists_are_by_name);
    suite_add_tcase(suite, rules);
    TCase *readers = tcase_create("readers");
    tcase_add_test(readers, readers_never_see_a_mixture);
    suite_add_tcase(suite, readers);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
