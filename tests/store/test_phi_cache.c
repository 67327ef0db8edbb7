/*
 * test_phi_cache.c - sums of phi between queries: made once, charged, given up for others, gone with their set.
 *
 * Builds are held open by an executor with a gate, so that "while it is made" needs no timing.
 */
#include "fixture.h"
#include "store/phi_cache.h"
#include "support/check_main.h"

#include <stdatomic.h>
#include <string.h>

enum { BUDGET_BYTES = 64 << 20, M = 300, D = 4, THREADS = 6 };

typedef struct caches {
    store_fixture fixture;
    store_phi_cache *cache;
    store_set *set;
} caches;

static void open_caches(caches *c, size_t limit_bytes)
{
    const store_options options = {.max_error = -1, .max_degree = 0};
    fixture_init(&c->fixture, BUDGET_BYTES, NULL);
    ck_assert_int_eq(store_phi_cache_new(limit_bytes, &c->cache, NULL), HOP_OK);
    c->set = fixture_set(&c->fixture, M, D, 0, &options);
}

static void close_caches(caches *c)
{
    store_set_release(c->set);
    store_phi_counts counts;
    store_phi_cache_count(c->cache, &counts);
    ck_assert(counts.entries == 0 && counts.bytes == 0);
    store_phi_cache_free(c->cache);
    fixture_fini(&c->fixture);
}

/* random_features of so many features and that seed at beta 1; 0 features: linear. */
static hop_request asking(size_t features, uint64_t seed)
{
    hop_request request = {.beta = 1, .max_error = 1, .mode = features ? HOP_RANDOM_FEATURES : HOP_LINEAR, .steps = 1};
    hop_parameters_default(&request.parameters);
    request.parameters.features = features;
    request.parameters.seed = seed;
    return request;
}

static store_phi *get(caches *c, size_t features, uint64_t seed)
{
    const hop_request request = asking(features, seed);
    store_phi *phi = NULL;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_msg(store_phi_cache_get(c->cache, c->set, &request, NULL, NULL, NULL, &phi, &error) == HOP_OK, "%s",
                  error.text);
    ck_assert(hop_phi_sums_fits(store_phi_sums(phi), c->set->model, request.mode, request.beta, &request.parameters));
    return phi;
}

static bool there(caches *c, size_t features, uint64_t seed)
{
    const hop_request request = asking(features, seed);
    store_phi *phi = store_phi_cache_find(c->cache, c->set, &request);
    store_phi_release(phi);
    return phi != NULL;
}

static store_phi_counts count(caches *c)
{
    store_phi_counts counts;
    store_phi_cache_count(c->cache, &counts);
    return counts;
}

START_TEST(made_once_charged_and_found_again)
{
    caches c;
    open_caches(&c, 1 << 20);
    size_t before = store_budget_reserved(&c.fixture.budget);
    ck_assert(!there(&c, 0, 0));
    store_phi *linear = get(&c, 0, 0), *features = get(&c, 8, 1);
    ck_assert_ptr_ne(store_phi_sums(linear), store_phi_sums(features));
    size_t bytes = hop_phi_sums_bytes(store_phi_sums(linear)) + hop_phi_sums_bytes(store_phi_sums(features));
    ck_assert_uint_eq(count(&c).bytes, bytes);
    ck_assert_uint_eq(store_budget_reserved(&c.fixture.budget), before + bytes);
    ck_assert_uint_eq(store_set_bytes(c.set).sums, bytes);
    ck_assert_uint_eq(store_phi_cache_bytes_of(c.cache, c.set->body), bytes);

    store_phi *again = get(&c, 8, 1);
    ck_assert_ptr_eq(store_phi_sums(again), store_phi_sums(features));
    store_phi_release(again);
    /* linear does not depend on beta, random_features does. */
    hop_request other = asking(0, 0);
    other.beta = 2;
    again = store_phi_cache_find(c.cache, c.set, &other);
    ck_assert_ptr_nonnull(again);
    store_phi_release(again);
    other = asking(8, 1);
    other.beta = 2;
    ck_assert_ptr_null(store_phi_cache_find(c.cache, c.set, &other));
    ck_assert(!there(&c, 8, 2) && !there(&c, 9, 1) && there(&c, 8, 1));
    ck_assert(count(&c).built == 2 && count(&c).found == 3 && count(&c).dropped == 0);
    store_phi_release(linear);
    store_phi_release(features);
    close_caches(&c);
}
END_TEST

START_TEST(the_least_recently_used_goes_first)
{
    /* Room for two sums of 64 features, and not for a third. */
    caches c;
    open_caches(&c, 1 << 20);
    const hop_request request = asking(64, 0);
    size_t kept = hop_phi_sums_bytes_estimate(c.set->model, request.mode, &request.parameters);
    close_caches(&c);
    open_caches(&c, 2 * kept + kept / 2);
    store_phi_release(get(&c, 64, 1));
    store_phi_release(get(&c, 64, 2));
    ck_assert(there(&c, 64, 1)); /* a look counts as use: now 2 is the oldest */
    store_phi_release(get(&c, 64, 3));
    ck_assert(there(&c, 64, 1) && !there(&c, 64, 2) && there(&c, 64, 3));
    ck_assert_uint_eq(count(&c).dropped, 1);
    ck_assert_uint_le(count(&c).bytes, count(&c).limit_bytes);
    close_caches(&c);
}
END_TEST

START_TEST(what_is_read_is_never_given_up)
{
    caches c;
    open_caches(&c, 1 << 20);
    hop_request request = asking(64, 0);
    size_t kept = hop_phi_sums_bytes_estimate(c.set->model, request.mode, &request.parameters);
    close_caches(&c);
    open_caches(&c, kept + 8);
    store_phi *held = get(&c, 64, 1), *none = NULL;
    hop_error error = HOP_ERROR_NONE;
    request = asking(64, 2);
    ck_assert_int_eq(store_phi_cache_get(c.cache, c.set, &request, NULL, NULL, NULL, &none, &error), HOP_E_BUDGET);
    ck_assert_ptr_null(none);
    ck_assert_ptr_nonnull(strstr(error.text, "in use"));
    ck_assert(there(&c, 64, 1));
    store_phi_release(held);
    store_phi_release(get(&c, 64, 2));
    ck_assert(!there(&c, 64, 1));
    close_caches(&c);
}
END_TEST

START_TEST(over_a_limit_nothing_is_kept)
{
    caches c;
    open_caches(&c, 100);
    const hop_request request = asking(64, 0);
    store_phi *none = NULL;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_phi_cache_get(c.cache, c.set, &request, NULL, NULL, NULL, &none, &error), HOP_E_BUDGET);
    ck_assert(error.limit == 100 && error.actual > 100);
    ck_assert_uint_eq(count(&c).entries, 0);
    close_caches(&c);

    /* The memory budget: sums make room for others, not for more than there is. */
    open_caches(&c, BUDGET_BYTES);
    store_phi_release(get(&c, 64, 1));
    size_t filler = BUDGET_BYTES - store_budget_reserved(&c.fixture.budget);
    ck_assert_int_eq(store_budget_charge(&c.fixture.budget, filler, "filler", NULL), HOP_OK);
    error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_phi_cache_get(c.cache, c.set, &request, NULL, NULL, NULL, &none, &error), HOP_E_BUDGET);
    ck_assert_uint_eq(count(&c).entries, 0);
    store_budget_release(&c.fixture.budget, filler);
    store_phi_release(get(&c, 64, 0));
    close_caches(&c);
}
END_TEST

START_TEST(a_full_table_drops_its_oldest)
{
    caches c;
    open_caches(&c, 1 << 20);
    for (uint64_t seed = 0; seed < STORE_PHI_ENTRIES + 3; seed++)
        store_phi_release(get(&c, 2, seed));
    ck_assert_uint_eq(count(&c).entries, STORE_PHI_ENTRIES);
    ck_assert_uint_eq(count(&c).dropped, 3);
    ck_assert(!there(&c, 2, 2) && there(&c, 2, 3) && there(&c, 2, STORE_PHI_ENTRIES + 2));
    close_caches(&c);
}
END_TEST

START_TEST(a_set_takes_its_sums_along)
{
    caches c;
    open_caches(&c, 1 << 20);
    const store_options options = {.max_error = -1, .max_degree = 0};
    store_set *other = fixture_set(&c.fixture, M, D, 1, &options), *mine = c.set;
    store_phi_release(get(&c, 8, 1));
    c.set = other;
    ck_assert(!there(&c, 8, 1)); /* another set's sums are other sums */
    store_phi_release(get(&c, 8, 1));
    ck_assert_uint_eq(count(&c).entries, 2);
    c.set = mine;
    store_set_release(other);
    ck_assert_uint_eq(count(&c).entries, 1);
    ck_assert(there(&c, 8, 1));
    close_caches(&c);
}
END_TEST

START_TEST(a_build_that_fails_leaves_nothing)
{
    caches c;
    open_caches(&c, 1 << 20);
    hop_request request = asking(8, 1);
    request.beta = -1;
    store_phi *none = NULL;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_phi_cache_get(c.cache, c.set, &request, NULL, NULL, NULL, &none, &error), HOP_E_DOMAIN);
    ck_assert(count(&c).entries == 0 && count(&c).bytes == 0 && count(&c).built == 0);
    close_caches(&c);
}
END_TEST

/* ---- several threads ----------------------------------------------------------------------------------- */

typedef struct asker {
    caches *c;
    const hop_executor *executor;
    atomic_bool *enough; /* give up once it is set */
    hop_status status;
    store_phi *phi;
} asker;

static bool had_enough(void *context)
{
    return atomic_load((atomic_bool *)context);
}

static void *ask(void *argument)
{
    asker *self = argument;
    const hop_request request = asking(16, 5);
    self->status = store_phi_cache_get(self->c->cache, self->c->set, &request, self->executor, had_enough, self->enough,
                                       &self->phi, NULL);
    return NULL;
}

START_TEST(one_makes_them_and_the_others_wait)
{
    caches c;
    fixture_gate shut = FIXTURE_GATE_CLOSED;
    const hop_executor gated = fixture_gate_executor(&shut);
    open_caches(&c, 1 << 20);
    atomic_bool never = false, at_once = true;
    pthread_t threads[THREADS];
    asker askers[THREADS], hasty = {.c = &c, .executor = &gated, .enough = &at_once};
    for (size_t i = 0; i < THREADS; i++) {
        askers[i] = (asker){.c = &c, .executor = &gated, .enough = &never};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
        fixture_gate_wait(&shut); /* the builder stands there before the others come */
    }
    /* While it is made: others' sums are made beside it, nobody finds it, and who has enough goes. */
    store_phi_release(get(&c, 4, 9));
    ck_assert(!there(&c, 16, 5));
    ask(&hasty);
    ck_assert_int_eq(hasty.status, HOP_E_CANCELLED);

    fixture_gate_open(&shut);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(askers[i].status, HOP_OK);
        ck_assert_ptr_eq(store_phi_sums(askers[i].phi), store_phi_sums(askers[0].phi));
    }
    ck_assert_uint_eq(count(&c).built, 2);
    for (size_t i = 0; i < THREADS; i++)
        store_phi_release(askers[i].phi);
    close_caches(&c);
}
END_TEST

static bool enough_at_third(void *context)
{
    return atomic_fetch_add((atomic_int *)context, 1) >= 2;
}

/* A build of seconds ends soon after nobody wants it any more, and leaves nothing. */
START_TEST(who_makes_them_may_have_enough)
{
    enum { LONG_D = 1024, FEATURES = 8 * LONG_D };
    caches c;
    const store_options options = {.max_error = -1, .max_degree = 0};
    fixture_init(&c.fixture, (size_t)1 << 30, NULL);
    ck_assert_int_eq(store_phi_cache_new((size_t)1 << 29, &c.cache, NULL), HOP_OK);
    c.set = fixture_set(&c.fixture, M, LONG_D, 0, &options);
    const size_t before_bytes = store_budget_reserved(&c.fixture.budget);
    const hop_request request = asking(FEATURES, 1);
    store_phi *none = NULL;
    atomic_int asked = 0;
    ck_assert_int_eq(store_phi_cache_get(c.cache, c.set, &request, NULL, enough_at_third, &asked, &none, NULL),
                     HOP_E_CANCELLED);
    ck_assert_int_ge(atomic_load(&asked), 3);
    ck_assert(!none && count(&c).entries == 0 && count(&c).built == 0);
    ck_assert_uint_eq(store_budget_reserved(&c.fixture.budget), before_bytes);
    close_caches(&c);
}
END_TEST

static void *crowd(void *argument)
{
    caches *c = argument;
    for (unsigned i = 0; i < 200; i++) {
        const hop_request request = asking(i % 3 ? 16 : 0, i % 7);
        store_phi *phi = NULL;
        if (store_phi_cache_get(c->cache, c->set, &request, NULL, NULL, NULL, &phi, NULL) == HOP_OK)
            ck_assert(hop_phi_sums_fits(store_phi_sums(phi), c->set->model, request.mode, 1, &request.parameters));
        (void)store_set_bytes(c->set);
        store_phi_release(phi);
    }
    return NULL;
}

START_TEST(a_crowd_shares_a_cache_that_is_too_small)
{
    caches c;
    open_caches(&c, 1 << 20);
    const hop_request request = asking(16, 0);
    size_t kept = hop_phi_sums_bytes_estimate(c.set->model, request.mode, &request.parameters);
    close_caches(&c);
    open_caches(&c, 3 * kept);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, crowd, &c), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_gt(count(&c).dropped, 0);
    ck_assert_uint_le(count(&c).bytes, count(&c).limit_bytes);
    close_caches(&c);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("phi_cache");
    TCase *one = tcase_create("one thread");
    tcase_add_test(one, made_once_charged_and_found_again);
    tcase_add_test(one, the_least_recently_used_goes_first);
    tcase_add_test(one, what_is_read_is_never_given_up);
    tcase_add_test(one, over_a_limit_nothing_is_kept);
    tcase_add_test(one, a_full_table_drops_its_oldest);
    tcase_add_test(one, a_set_takes_its_sums_along);
    tcase_add_test(one, a_build_that_fails_leaves_nothing);
    suite_add_tcase(suite, one);
    TCase *many = tcase_create("several threads");
    tcase_add_test(many, one_makes_them_and_the_others_wait);
    tcase_add_test(many, who_makes_them_may_have_enough);
    tcase_add_test(many, a_crowd_shares_a_cache_that_is_too_small);
    suite_add_tcase(suite, many);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
