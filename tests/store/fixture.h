/*
 * fixture.h - small stores for the tests of this folder: a budget, operations and a registry that must end empty.
 */
#ifndef TEST_STORE_FIXTURE_H
#define TEST_STORE_FIXTURE_H

#include "store/builder.h"
#include "store/registry.h"

#include <check.h>
#include <pthread.h>

typedef struct store_fixture {
    store_budget budget;
    store_operations *operations;
    store_registry *registry;
} store_fixture;

/* executor: for the builds of feature maps; may be NULL. */
void fixture_init(store_fixture *fixture, size_t limit_bytes, const hop_executor *executor);

/* Stops everything and asserts that every byte came back to the budget. */
void fixture_fini(store_fixture *fixture);

/* M x d rows: memory mu holds `first` + mu / M + its column, so that rows differ and versions can be told apart. */
void fixture_rows(size_t M, size_t d, float first, float *rows);

/* A finished set of such rows, not yet published. options NULL: none given. */
store_set *fixture_set(store_fixture *fixture, size_t M, size_t d, float first, const store_options *options);

/* begin + commit; asserts that both work. Returns what store_registry_commit() said. */
bool fixture_put(store_fixture *fixture, const char *name, store_set *set);

/* The current version, with a reference; asserts that there is one. */
store_set *fixture_get(store_fixture *fixture, const char *name);

/* Wait until the set's state is no longer `building`: the test's own time limit ends it otherwise. */
void fixture_settle(const store_set *set);

/* Where work that is cut into tasks stands still until it is let through: "in the middle of it" needs no timing. */
typedef struct fixture_gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    unsigned arrived;
} fixture_gate;

#define FIXTURE_GATE_CLOSED                                                                                            \
    {                                                                                                                  \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER                                         \
    }

hop_executor fixture_gate_executor(fixture_gate *gate);
void fixture_gate_open(fixture_gate *gate);
void fixture_gate_wait(fixture_gate *gate); /* until somebody has */

#endif
