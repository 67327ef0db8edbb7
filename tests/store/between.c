/*
 * between.c - see between.h.
 */
#include "between.h"

#include "store/mapping.h"

#include <check.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum { TICK_MS = 40 };

const char between_file[] = "a@1.safetensors";

static struct {
    store_system system;
    kept_store *store;
    unsigned opened; /* by another thread than the test's */
    void (*act)(kept_store *store);
    pthread_t test;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
} between;

static int open_and_act(int folder, const char *name, int flags, mode_t mode)
{
    if (strcmp(name, between_file) == 0 && !pthread_equal(pthread_self(), between.test) && ++between.opened == 2) {
        between.act(between.store);
        pthread_mutex_lock(&between.lock);
        between.done = true;
        pthread_cond_broadcast(&between.changed);
        pthread_mutex_unlock(&between.lock);
    }
    return store_system_real.open(folder, name, flags, mode);
}

void wait_a_tick(void)
{
    nanosleep(&(struct timespec){.tv_nsec = TICK_MS * 1000000L}, NULL);
}

/* A set 'a' of version 1 in the folder, a new store on it that maps, and the deed in between. */
void start_with(kept_store *store, void (*act)(kept_store *store))
{
    open_store(store);
    ck_assert_int_eq(put(store, "a", 1, NULL), HOP_OK);
    close_store(store);
    wait_a_tick();
    open_store(store);
    store->map = true;
    store->packing = HOP_PACK_FULL;
    between.system = store_system_real;
    between.system.open = open_and_act;
    between.store = store;
    between.opened = 0;
    between.act = act;
    between.test = pthread_self();
    between.done = false;
    store_system_calls = &between.system;
    start_loading(store);
    pthread_mutex_lock(&between.lock);
    while (!between.done)
        pthread_cond_wait(&between.changed, &between.lock);
    pthread_mutex_unlock(&between.lock);
}

store_set *get_a(kept_store *store)
{
    return fixture_get(&store->fixture, "a");
}

/* Until 'a' is in memory of its own. */
store_set *settled_a(kept_store *store)
{
    for (;;) {
        store_set *set = get_a(store);
        if (!set->mapping)
            return set;
        store_set_release(set);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

void wait_until_said(const char *words)
{
    while (!was_said(words))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

void assert_rows(const store_set *set, float first)
{
    float rows[M * D];
    fixture_rows(M, D, first, rows);
    ck_assert_int_eq(memcmp(set->memories, rows, sizeof rows), 0);
}

void assert_answers(const store_set *set, float first)
{
    float query[D], z[D], rows[M * D];
    double bound = 0, sum = 0, want[D] = {0};
    int degree;
    hop_fallback fallback;
    fixture_rows(M, D, first, rows);
    for (size_t l = 0; l < D; l++)
        query[l] = 0; /* all weights alike */
    for (size_t i = 0; i < M * D; i++)
        want[i % D] += rows[i];
    hop_answer answer = {.z = z, .error_bound = &bound, .degree = &degree, .fallback = &fallback};
    const hop_request request = {.beta = 1, .max_error = 1e-3, .mode = HOP_DENSE, .steps = 1, .total = 1};
    size_t bytes = hop_retrieve_workspace_bytes(set->model, 1);
    void *workspace = hop_aligned_alloc(bytes);
    ck_assert_ptr_nonnull(workspace);
    hop_error error = HOP_ERROR_NONE;
    ck_assert_msg(hop_retrieve(set->model, &request, 1, query, workspace, bytes, &answer, &error) == HOP_OK, "%s",
                  error.text);
    hop_aligned_free(workspace);
    for (size_t l = 0; l < D; l++) {
        sum = want[l] / M - z[l];
        ck_assert(sum <= bound && -sum <= bound);
    }
}

/* Of a set without labels that shares nothing. */
size_t charged_for(const store_set *set)
{
    return sizeof *set + atomic_load(&set->body->charged_bytes) + set->body->block->charged_bytes;
}

void between_setup(void)
{
    kept_setup();
    ck_assert_int_eq(store_mapping_guard(NULL), HOP_OK);
    pthread_mutex_init(&between.lock, NULL);
    pthread_cond_init(&between.changed, NULL);
}
