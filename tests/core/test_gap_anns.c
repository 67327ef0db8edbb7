/*
 * test_gap_anns.c - Theorem 2.1 in the form that holds: Gap-ANNS decided by retrieval, with dense and with a sufficient
 * certificate, and by no answer whose bound leaves it open.
 */
#include "support/check_main.h"
#include "support/engine.h"
#include "support/gap_anns.h"
#include "support/rng.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static uint64_t seed;

typedef struct gap_case {
    gap_anns_shape shape;
    double slack;
    unsigned degree; /* of feature maps: below where they are to decide, 0: dense */
} gap_case;

static void start(test_engine *engine, const gap_anns *g, unsigned degree)
{
    const gap_anns_shape *s = &g->shape;
    const hop_source source = {
        .M = 2 * s->n, .d = 2 * s->d, .p = 1, .memories = g->memories, .values = g->values, .similarity = HOP_DOT};
    hop_status status = test_engine_init(engine, &source, degree, s->L);
    ck_assert_msg(status == HOP_OK, "%s", engine->error.text);
}

/* Every query decided as it was made, with answers that promise the margin. */
static void decide_case(const gap_case *c, hop_mode mode, uint64_t stream)
{
    gap_anns *g = gap_anns_new(&c->shape, gap_anns_B(&c->shape, c->slack), stream);
    ck_assert_ptr_nonnull(g);
    test_engine engine;
    start(&engine, g, c->degree);
    ck_assert_double_gt(gap_anns_margin(g), 0);
    const hop_request request = test_request(g->beta, mode, gap_anns_margin(g) * 0.999);
    hop_status status = test_engine_retrieve(&engine, &request, c->shape.L, g->queries);
    ck_assert_msg(status == HOP_OK, "n %zu d %zu B %g margin %g: %s", c->shape.n, c->shape.d, g->B, gap_anns_margin(g),
                  engine.error.text);
    for (size_t q = 0; q < c->shape.L; q++) {
        const double z = (double)engine.answer.z[q], bound = engine.answer.error_bound[q];
        ck_assert(test_engine_truth(&engine, g->beta, g->queries + q * 2 * c->shape.d));
        const double Z = (double)engine.truth->z[0]; /* yes and no are what they say */
        ck_assert(g->truth[q] ? Z >= g->yes * (1 - 1e-9) : Z <= g->no * (1 + 1e-9));
        ck_assert_double_le(fabs(z - Z), bound * (1 + 1e-9));
        ck_assert(mode == HOP_DENSE || engine.answer.degree[q] > 0);
        ck_assert_msg(gap_anns_decide(g, z, bound) == (g->truth[q] ? GAP_ANNS_YES : GAP_ANNS_NO),
                      "seed %" PRIu64 " row %zu: z %g +- %g, yes %g, no %g", stream, q, z, bound, g->yes, g->no);
        /* A bound too large, or one that allows neither, leaves it open. */
        ck_assert(gap_anns_decide(g, z, 1) == GAP_ANNS_OPEN);
        ck_assert(gap_anns_decide(g, (g->yes + g->no) / 2, 0) == GAP_ANNS_OPEN);
    }
    test_engine_fini(&engine);
    gap_anns_free(g);
}

START_TEST(dense_decides)
{
    static const gap_case cases[] = {
        {{.n = 1, .d = 4, .t = 0, .far = 2, .L = 4}, 0.5, 0},   {{.n = 4, .d = 4, .t = 0, .far = 2, .L = 8}, 0.5, 0},
        {{.n = 16, .d = 16, .t = 2, .far = 6, .L = 20}, 1, 0},  {{.n = 32, .d = 32, .t = 0, .far = 8, .L = 20}, 0.3, 0},
        {{.n = 32, .d = 64, .t = 4, .far = 20, .L = 20}, 1, 0}, {{.n = 100, .d = 64, .t = 0, .far = 18, .L = 30}, 1, 0},
    };
    const uint64_t seeds = hop_check_fast() ? 5 : 40;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint64_t k = 0; k < seeds; k++)
            decide_case(cases + i, HOP_DENSE, seed + 1000 * i + k);
}
END_TEST

START_TEST(a_sufficient_certificate_decides)
{
    static const gap_case cases[] = {
        {{.n = 1, .d = 4, .t = 0, .far = 2, .L = 4}, 1, 10},
        {{.n = 4, .d = 4, .t = 0, .far = 2, .L = 8}, 0.5, 15},
        {{.n = 3, .d = 4, .t = 0, .far = 2, .L = 8}, 0.3, 14},
    };
    const uint64_t seeds = hop_check_fast() ? 3 : 20;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint64_t k = 0; k < seeds; k++)
            decide_case(cases + i, HOP_ALMOST_LINEAR, seed + 100000 + 1000 * i + k);
}
END_TEST

/* Far below that B a yes and a no may be the same: nothing is decided, however good the answer, and nothing wrongly. */
START_TEST(below_the_gap_nothing_is_decided)
{
    const gap_anns_shape shape = {.n = 32, .d = 32, .t = 2, .far = 8, .L = 20};
    gap_anns *g = gap_anns_new(&shape, sqrt(log(64)), seed);
    ck_assert_ptr_nonnull(g);
    ck_assert_double_lt(gap_anns_margin(g), 0);
    test_engine engine;
    start(&engine, g, 2);
    const hop_request request = test_request(g->beta, HOP_AUTO, 1e-3);
    ck_assert(test_engine_retrieve(&engine, &request, shape.L, g->queries) == HOP_OK);
    for (size_t q = 0; q < shape.L; q++) {
        const gap_anns_decision decision = gap_anns_decide(g, (double)engine.answer.z[q], engine.answer.error_bound[q]);
        ck_assert(decision == GAP_ANNS_OPEN || decision == (g->truth[q] ? GAP_ANNS_YES : GAP_ANNS_NO));
    }
    test_engine_fini(&engine);
    gap_anns_free(g);
}
END_TEST

/* The same seed, the same instance; more vectors than leave room for a no, none. */
START_TEST(instances_follow_from_the_seed)
{
    const gap_anns_shape shape = {.n = 8, .d = 16, .t = 2, .far = 6, .L = 6};
    gap_anns *a = gap_anns_new(&shape, 2.5, 3), *b = gap_anns_new(&shape, 2.5, 3), *c = gap_anns_new(&shape, 2.5, 4);
    ck_assert(a && b && c);
    ck_assert_mem_eq(a->memories, b->memories, 16 * 32 * sizeof(float));
    ck_assert_mem_eq(a->queries, b->queries, 6 * 32 * sizeof(float));
    ck_assert(memcmp(a->memories, c->memories, 16 * 32 * sizeof(float)) != 0);
    for (size_t i = 0; i < 16 * 32; i++)
        ck_assert(fabsf(a->memories[i]) <= 2.5f);
    for (size_t q = 0; q < 6; q++) { /* a yes has a neighbour, a no has none */
        size_t nearest = 16;
        for (size_t mu = 0; mu < 8; mu++) {
            size_t places = 0;
            for (size_t l = 0; l < 16; l++)
                places += (a->memories[mu * 32 + l] > 0) != (a->queries[q * 32 + l] > 0);
            nearest = places < nearest ? places : nearest;
        }
        ck_assert(a->truth[q] ? nearest <= 2 : nearest >= 6);
    }
    gap_anns_free(a);
    gap_anns_free(b);
    gap_anns_free(c);
    const gap_anns_shape crowded = {.n = 500, .d = 4, .t = 0, .far = 2, .L = 2};
    ck_assert_ptr_null(gap_anns_new(&crowded, 2, 1));
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("gap_anns");
    TCase *decision = tcase_create("decision");
    tcase_add_test(decision, dense_decides);
    tcase_add_test(decision, a_sufficient_certificate_decides);
    tcase_add_test(decision, below_the_gap_nothing_is_decided);
    tcase_add_test(decision, instances_follow_from_the_seed);
    suite_add_tcase(suite, decision);
    return suite;
}

int main(int argc, char **argv)
{
    seed = test_seed(24020452);
    return hop_check_main(argc, argv, make);
}
