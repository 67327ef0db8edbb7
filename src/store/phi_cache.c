/*
 * phi_cache.c - a table of at most STORE_PHI_ENTRIES sums under one mutex; builds happen outside of it.
 */
#include "store/phi_cache.h"

#include "core/status.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { WAIT_MS = 20 };

/* Shorter builds run to their end, whoever still wants them: a few turns of a watch. */
#define WATCHED_SECONDS 0.1

/* Under the cache's lock but for `sums`, which does not change once `ready` is. */
struct store_phi {
    store_phi_cache *cache;
    const store_body *body; /* whose last release drops the entry; borrowed */
    hop_mode mode;
    double beta; /* 0 for linear, which does not depend on it; nor on the next two */
    uint64_t seed;
    size_t features;
    hop_phi_sums *sums;
    store_budget *budget;
    size_t charged_bytes; /* of it: what is held, or what the build may take; the builder's alone until ready */
    size_t kept_bytes;    /* of the cache's limit; 0 until there is room */
    size_t readers;       /* while there are any it stays in the table */
    bool ready;
    uint64_t used; /* tick of the last look */
};

struct store_phi_cache {
    size_t limit_bytes;
    pthread_mutex_t lock;
    pthread_cond_t settled; /* a build came to an end */
    store_phi *entries[STORE_PHI_ENTRIES];
    size_t n, bytes; /* bytes: kept by the entries */
    uint64_t tick, found, built, dropped;
};

static void condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

hop_status store_phi_cache_new(size_t limit_bytes, store_phi_cache **out, hop_error *error)
{
    store_phi_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    cache->limit_bytes = limit_bytes;
    pthread_mutex_init(&cache->lock, NULL);
    condition_init(&cache->settled);
    *out = cache;
    return HOP_OK;
}

void store_phi_cache_free(store_phi_cache *cache)
{
    if (!cache)
        return;
    assert(cache->n == 0);
    pthread_cond_destroy(&cache->settled);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

/* ---- the table, under the lock ------------------------------------------------------------------------- */

static store_phi key_of(const store_set *set, const hop_request *request)
{
    store_phi key = {.body = set->body, .mode = request->mode};
    if (request->mode == HOP_RANDOM_FEATURES) {
        key.beta = request->beta;
        key.seed = request->parameters.seed;
        key.features = request->parameters.features;
    }
    return key;
}

static store_phi *look_up(store_phi_cache *cache, const store_phi *key)
{
    for (size_t i = 0; i < cache->n; i++) {
        store_phi *at = cache->entries[i];
        if (at->body == key->body && at->mode == key->mode && at->beta == key->beta && at->seed == key->seed &&
            at->features == key->features)
            return at;
    }
    return NULL;
}

static store_phi *read_entry(store_phi_cache *cache, store_phi *phi)
{
    phi->readers++;
    phi->used = ++cache->tick;
    return phi;
}

/* Out of the table, for the caller to destroy once the lock is given back. Nobody reads it. */
static void unlist(store_phi_cache *cache, store_phi *phi)
{
    assert(phi->readers == 0);
    size_t i = 0;
    while (cache->entries[i] != phi)
        i++;
    cache->entries[i] = cache->entries[--cache->n];
    cache->bytes -= phi->kept_bytes;
}

/* The entry that was looked at longest ago and that nobody reads or builds; NULL: there is none. */
static store_phi *oldest(const store_phi_cache *cache)
{
    store_phi *out = NULL;
    for (size_t i = 0; i < cache->n; i++) {
        store_phi *at = cache->entries[i];
        if (at->readers == 0 && (!out || at->used < out->used))
            out = at;
    }
    return out;
}

/* ---- without the lock ---------------------------------------------------------------------------------- */

static void destroy(store_phi *phi)
{
    hop_phi_sums_free(phi->sums);
    if (phi->charged_bytes)
        store_budget_release(phi->budget, phi->charged_bytes);
    free(phi);
}

/* Drop the oldest entry. False: there is none to drop. */
static bool drop_one(store_phi_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    store_phi *phi = oldest(cache);
    if (phi) {
        unlist(cache, phi);
        cache->dropped++;
    }
    pthread_mutex_unlock(&cache->lock);
    if (phi)
        destroy(phi);
    return phi != NULL;
}

void store_phi_release(store_phi *phi)
{
    if (!phi)
        return;
    store_phi_cache *cache = phi->cache;
    pthread_mutex_lock(&cache->lock);
    assert(phi->readers > 0);
    phi->readers--;
    pthread_mutex_unlock(&cache->lock);
}

const hop_phi_sums *store_phi_sums(const store_phi *phi)
{
    return phi->sums;
}

void store_phi_cache_forget(store_phi_cache *cache, const store_body *body)
{
    store_phi *gone[STORE_PHI_ENTRIES];
    size_t n = 0;
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < cache->n;) {
        store_phi *at = cache->entries[i];
        if (at->body != body) {
            i++;
            continue;
        }
        unlist(cache, at); /* its readers held the set as well; another entry takes its place */
        gone[n++] = at;
    }
    pthread_mutex_unlock(&cache->lock);
    for (size_t i = 0; i < n; i++)
        destroy(gone[i]);
}

/* ---- building ------------------------------------------------------------------------------------------ */

/* Hand an error on with all that it says; the first writer wins. */
static hop_status give(const hop_error *from, hop_error *error)
{
    if (error && error->status == HOP_OK)
        *error = *from;
    return from->status;
}

/* Room for `kept` more bytes in the cache, and in the budget for the `bytes` of the build: `phi` pays for both. */
static hop_status make_room(store_phi_cache *cache, store_phi *phi, size_t kept, size_t bytes, hop_error *error)
{
    hop_error full = HOP_ERROR_NONE;
    if (kept > cache->limit_bytes) {
        hop_fail(&full, HOP_E_BUDGET, "the sums of %s need %zu bytes, all sums together may take %zu",
                 hop_mode_word(phi->mode), kept, cache->limit_bytes);
        full.limit = (double)cache->limit_bytes;
        full.actual = (double)kept;
        return give(&full, error);
    }
    for (;;) {
        full = HOP_ERROR_NONE;
        hop_status status = HOP_E_BUDGET;
        pthread_mutex_lock(&cache->lock);
        if (cache->bytes <= cache->limit_bytes - kept) {
            status = store_budget_charge(phi->budget, bytes, "sums over the memories", &full);
        } else {
            hop_fail(&full, HOP_E_BUDGET, "sums that are in use leave no room for those of %s, %zu bytes",
                     hop_mode_word(phi->mode), kept);
            full.limit = (double)cache->limit_bytes;
            full.actual = (double)cache->bytes + (double)kept;
        }
        if (status == HOP_OK) {
            phi->charged_bytes = bytes;
            phi->kept_bytes = kept;
            cache->bytes += kept;
        }
        pthread_mutex_unlock(&cache->lock);
        if (status == HOP_OK || !drop_one(cache))
            return status == HOP_OK ? HOP_OK : give(&full, error);
    }
}

/* Asks, beside a build that is busy, whether anybody still wants it. */
typedef struct watch {
    bool (*give_up)(void *context);
    void *context;
    hop_progress progress; /* the build's */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool over; /* under the lock */
} watch;

/* Wait WAIT_MS at most; under the lock. */
static void wait_a_little(pthread_cond_t *condition, pthread_mutex_t *lock)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WAIT_MS * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(condition, lock, &until);
}

static void *keep_watch(void *argument)
{
    watch *self = argument;
    pthread_mutex_lock(&self->lock);
    while (!self->over) {
        wait_a_little(&self->changed, &self->lock);
        if (!self->over && self->give_up(self->context))
            atomic_store_explicit(&self->progress.cancel, true, memory_order_relaxed);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

/*
 * hop_phi_sums_new(), with a thread that watches where that is predicted to be worth one. Where there can be none the
 * sums are made to the end, as they are for callers that never give up.
 */
static hop_status make_watched(const hop_model *model, const hop_request *request, const hop_executor *executor,
                               bool (*give_up)(void *context), void *context, hop_phi_sums **out, hop_error *error)
{
    watch self = {.give_up = give_up, .context = context};
    pthread_t thread;
    bool watched = give_up && hop_phi_sums_build_seconds(model, request->mode, &request->parameters) > WATCHED_SECONDS;
    if (watched) {
        pthread_mutex_init(&self.lock, NULL);
        condition_init(&self.changed);
        watched = pthread_create(&thread, NULL, keep_watch, &self) == 0;
        if (!watched) {
            pthread_cond_destroy(&self.changed);
            pthread_mutex_destroy(&self.lock);
        }
    }
    hop_status status = hop_phi_sums_new(model, request->mode, request->beta, &request->parameters, executor,
                                         &self.progress, out, error);
    if (watched) {
        pthread_mutex_lock(&self.lock);
        self.over = true;
        pthread_cond_signal(&self.changed);
        pthread_mutex_unlock(&self.lock);
        pthread_join(thread, NULL);
        pthread_cond_destroy(&self.changed);
        pthread_mutex_destroy(&self.lock);
    }
    return status;
}

/* The listed, unready entry's sums. */
static hop_status build(store_phi_cache *cache, store_phi *phi, const store_set *set, const hop_request *request,
                        const hop_executor *executor, bool (*give_up)(void *context), void *context, hop_error *error)
{
    size_t width = executor ? executor->width : 1;
    size_t bytes = hop_phi_sums_build_bytes(set->model, request->mode, &request->parameters, width);
    size_t kept = hop_phi_sums_bytes_estimate(set->model, request->mode, &request->parameters);
    hop_status status = make_room(cache, phi, kept, bytes, error);
    if (status != HOP_OK)
        return status;
    hop_phi_sums *sums = NULL;
    status = make_watched(set->model, request, executor, give_up, context, &sums, error);
    if (status == HOP_OK)
        status = store_set_check(set, error); /* of rows that are no longer there */
    if (status != HOP_OK) {
        hop_phi_sums_free(sums);
        return status;
    }
    phi->sums = sums;
    assert(hop_phi_sums_bytes(sums) <= kept && kept <= bytes);
    store_budget_release(phi->budget, bytes - kept);
    phi->charged_bytes = kept;
    return HOP_OK;
}

store_phi *store_phi_cache_find(store_phi_cache *cache, store_set *set, const hop_request *request)
{
    const store_phi key = key_of(set, request);
    pthread_mutex_lock(&cache->lock);
    store_phi *phi = look_up(cache, &key);
    if (phi && phi->ready) {
        cache->found++;
        read_entry(cache, phi);
    } else {
        phi = NULL;
    }
    pthread_mutex_unlock(&cache->lock);
    return phi;
}

/* Put a new entry of this key into the table, with its builder for a reader. Under the lock; the table has room. */
static void list(store_phi_cache *cache, store_phi *phi, store_set *set, const store_phi *key)
{
    *phi = *key;
    phi->cache = cache;
    phi->budget = set->budget;
    read_entry(cache, phi);
    cache->entries[cache->n++] = phi;
    atomic_store_explicit(&set->body->phi_cache, cache, memory_order_relaxed);
}

/* Under the lock: NULL and HOP_OK: *spare has been listed and is the caller's to build. */
static hop_status find_or_list(store_phi_cache *cache, store_set *set, const store_phi *key,
                               bool (*give_up)(void *context), void *context, store_phi *spare, store_phi **out,
                               hop_error *error)
{
    for (;;) {
        store_phi *phi = look_up(cache, key);
        if (phi && phi->ready) {
            cache->found++;
            *out = read_entry(cache, phi);
            return HOP_OK;
        }
        if (!phi && cache->n < STORE_PHI_ENTRIES) {
            list(cache, spare, set, key);
            return HOP_OK;
        }
        if (!phi) {
            store_phi *old = oldest(cache);
            if (!old)
                return hop_fail(error, HOP_E_BUDGET, "%d sums are in use at once: no room for more", STORE_PHI_ENTRIES);
            unlist(cache, old);
            cache->dropped++;
            pthread_mutex_unlock(&cache->lock);
            destroy(old);
            pthread_mutex_lock(&cache->lock);
            continue;
        }
        wait_a_little(&cache->settled, &cache->lock);
        pthread_mutex_unlock(&cache->lock);
        bool enough = give_up && give_up(context);
        pthread_mutex_lock(&cache->lock);
        if (enough)
            return hop_fail(error, HOP_E_CANCELLED, "given up while waiting for the sums of %s",
                            hop_mode_word(key->mode));
    }
}

hop_status store_phi_cache_get(store_phi_cache *cache, store_set *set, const hop_request *request,
                               const hop_executor *executor, bool (*give_up)(void *context), void *context,
                               store_phi **out, hop_error *error)
{
    const store_phi key = key_of(set, request);
    store_phi *mine = malloc(sizeof *mine), *found = NULL;
    if (!mine)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    pthread_mutex_lock(&cache->lock);
    hop_status status = find_or_list(cache, set, &key, give_up, context, mine, &found, error);
    pthread_mutex_unlock(&cache->lock);
    if (status != HOP_OK || found) {
        free(mine);
        *out = found;
        return status;
    }
    status = build(cache, mine, set, request, executor, give_up, context, error);
    pthread_mutex_lock(&cache->lock);
    mine->ready = status == HOP_OK;
    if (mine->ready) {
        cache->built++;
    } else {
        mine->readers = 0;
        unlist(cache, mine);
    }
    pthread_cond_broadcast(&cache->settled);
    pthread_mutex_unlock(&cache->lock);
    if (status != HOP_OK) {
        destroy(mine);
        return status;
    }
    *out = mine;
    return HOP_OK;
}

/* ---- counts -------------------------------------------------------------------------------------------- */

void store_phi_cache_count(store_phi_cache *cache, store_phi_counts *out)
{
    pthread_mutex_lock(&cache->lock);
    *out = (store_phi_counts){.entries = cache->n,
                              .bytes = cache->bytes,
                              .limit_bytes = cache->limit_bytes,
                              .found = cache->found,
                              .built = cache->built,
                              .dropped = cache->dropped};
    pthread_mutex_unlock(&cache->lock);
}

size_t store_phi_cache_bytes_of(store_phi_cache *cache, const store_body *body)
{
    size_t bytes = 0;
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < cache->n; i++)
        if (cache->entries[i]->body == body)
            bytes += cache->entries[i]->kept_bytes;
    pthread_mutex_unlock(&cache->lock);
    return bytes;
}
