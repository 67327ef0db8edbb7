/*
 * fixture.c - see fixture.h.
 */
#include "fixture.h"

#include <stdlib.h>
#include <time.h>

void fixture_init(store_fixture *fixture, size_t limit_bytes, const hop_executor *executor)
{
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(hop_isa_choose(NULL, &error), HOP_OK);
    store_budget_init(&fixture->budget, limit_bytes);
    ck_assert_msg(store_operations_new(executor, STORE_MAP_LIMITS_DEFAULT, &fixture->operations, &error) == HOP_OK,
                  "%s", error.text);
    ck_assert_int_eq(store_registry_new(fixture->operations, &fixture->registry, &error), HOP_OK);
}

void fixture_fini(store_fixture *fixture)
{
    store_registry_free(fixture->registry);
    store_operations_free(fixture->operations);
    ck_assert_uint_eq(store_budget_reserved(&fixture->budget), 0);
}

void fixture_rows(size_t M, size_t d, float first, float *rows)
{
    for (size_t mu = 0; mu < M; mu++)
        for (size_t l = 0; l < d; l++)
            rows[mu * d + l] = first + (float)mu / (float)M + (float)l;
}

store_set *fixture_set(store_fixture *fixture, size_t M, size_t d, float first, const store_options *options)
{
    hop_error error = HOP_ERROR_NONE;
    store_builder *builder = NULL;
    store_set *set = NULL;
    float *rows = malloc(M * d * sizeof *rows), *values = NULL;
    ck_assert_ptr_nonnull(rows);
    fixture_rows(M, d, first, rows);
    ck_assert_int_eq(store_builder_new(&fixture->budget, 0, d, 0, HOP_DOT, &builder, &error), HOP_OK);
    ck_assert_msg(store_builder_adopt(builder, M, &rows, &values, &error) == HOP_OK, "%s", error.text);
    const store_options none = STORE_OPTIONS_DEFAULT;
    ck_assert_msg(store_builder_finish(builder, options ? options : &none, NULL, &set, &error) == HOP_OK, "%s",
                  error.text);
    store_builder_free(builder);
    return set;
}

bool fixture_put(store_fixture *fixture, const char *name, store_set *set)
{
    hop_error error = HOP_ERROR_NONE;
    store_change *change = NULL;
    ck_assert_msg(store_registry_begin(fixture->registry, name, NULL, &change, &error) == HOP_OK, "%s", error.text);
    return store_registry_commit(fixture->registry, change, set);
}

store_set *fixture_get(store_fixture *fixture, const char *name)
{
    hop_error error = HOP_ERROR_NONE;
    store_set *set = NULL;
    ck_assert_msg(store_registry_get(fixture->registry, name, &set, &error) == HOP_OK, "%s", error.text);
    return set;
}

void fixture_settle(const store_set *set)
{
    while (store_set_state(set) == STORE_BUILDING)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void gated_run(void *context, size_t n, void (*task)(void *arg, size_t i), void *arg)
{
    fixture_gate *gate = context;
    pthread_mutex_lock(&gate->lock);
    gate->arrived++;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->open)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
    for (size_t i = 0; i < n; i++)
        task(arg, i);
}

hop_executor fixture_gate_executor(fixture_gate *gate)
{
    return (hop_executor){.run = gated_run, .context = gate, .width = 2};
}

void fixture_gate_open(fixture_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

void fixture_gate_wait(fixture_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->arrived == 0)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}
