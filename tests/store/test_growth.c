/*
 * test_growth.c - a set from rows and labels without a shape is the set that whole arrays make; and the budget is
 * charged as it grows, and whole again afterwards.
 */
#include "fixture.h"
#include "store/builder.h"
#include "support/check_main.h"
#include "support/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { M = 500, D = 5, P = 3 };

static float rows[M * D], values[M * P];
static char texts[M][16];
static const char *labels[M];

static void make_rows(void)
{
    fixture_rows(M, D, 1, rows);
    fixture_rows(M, P, -1, values);
    for (size_t mu = 0; mu < M; mu++) {
        snprintf(texts[mu], sizeof texts[mu], "%.*s%zu", (int)(mu % 5), "abcd", mu);
        labels[mu] = texts[mu];
    }
    labels[0] = "";
}

static store_set *finish(store_builder *builder)
{
    store_set *set = NULL;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_msg(store_builder_finish(builder, &STORE_OPTIONS_DEFAULT, NULL, &set, &error) == HOP_OK, "%s",
                  error.text);
    store_builder_free(builder);
    return set;
}

/* Of the same arrays. */
static store_set *from_arrays(store_budget *budget, bool with_values, bool with_labels)
{
    store_builder *builder = NULL;
    ck_assert_int_eq(store_builder_new(budget, 0, D, with_values ? P : 0, HOP_COSINE, &builder, NULL), HOP_OK);
    ck_assert_int_eq(store_builder_add(builder, M, rows, with_values ? values : NULL, NULL), HOP_OK);
    if (with_labels)
        ck_assert_int_eq(store_builder_label(builder, M, labels, NULL), HOP_OK);
    return finish(builder);
}

/* What is left of one member, in pieces of up to 40 rows. */
static void grow_some(store_growth *growth, unsigned member, size_t at, size_t n)
{
    hop_status status = HOP_OK;
    if (member == 0)
        status = store_growth_memories(growth, n, D, rows + at * D, NULL);
    else if (member == 1)
        status = store_growth_values(growth, n, P, values + at * P, NULL);
    else
        for (size_t mu = at; mu < at + n && status == HOP_OK; mu++)
            status = store_growth_label(growth, labels[mu], strlen(labels[mu]), NULL);
    ck_assert_int_eq(status, HOP_OK);
}

static void grow_member(store_growth *growth, unsigned member, test_rng *rng)
{
    for (size_t at = 0, n; at < M; at += n) {
        n = test_rng_below(rng, 41);
        n = n < M - at ? n : M - at;
        grow_some(growth, member, at, n);
        ck_assert_uint_ge(store_budget_reserved(growth->budget),
                          growth->memories.bytes + growth->values.bytes + growth->label_text.bytes);
    }
}

START_TEST(a_grown_set_is_the_same_set)
{
    static const unsigned orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}};
    make_rows();
    test_rng rng;
    test_rng_init(&rng, test_seed(0x6107), 0);
    for (unsigned round = 0; round < 12; round++) {
        bool with_values = round & 1, with_labels = round & 2;
        store_budget budget;
        store_budget_init(&budget, 64 << 20);
        store_growth growth;
        store_growth_init(&growth, &budget, HOP_PACK_FULL);
        for (unsigned i = 0; i < 3; i++) {
            unsigned member = orders[round / 4][i];
            if (member == 0 || (member == 1 ? with_values : with_labels))
                grow_member(&growth, member, &rng);
        }
        store_builder *builder = NULL;
        hop_error error = HOP_ERROR_NONE;
        ck_assert_int_eq(store_builder_new(&budget, 0, D, growth.p, HOP_COSINE, &builder, &error), HOP_OK);
        ck_assert_msg(store_builder_adopt_growth(builder, &growth, &error) == HOP_OK, "%s", error.text);
        ck_assert(growth.charged_bytes == 0 && growth.M == 0 && !growth.memories.data);
        store_growth_fini(&growth);
        store_set *grown = finish(builder);
        size_t charged = store_budget_reserved(&budget);
        store_set *expected = from_arrays(&budget, with_values, with_labels);
        ck_assert_uint_eq(grown->content_hash, expected->content_hash);
        ck_assert_mem_eq(grown->memories, rows, sizeof rows);
        ck_assert_uint_eq(grown->label_bytes, expected->label_bytes);
        for (size_t mu = 0; with_labels && mu < M; mu++)
            ck_assert_str_eq(grown->label_text + grown->label_offset[mu], labels[mu]);
        ck_assert_uint_eq(store_budget_reserved(&budget), 2 * charged);
        store_set_release(grown);
        store_set_release(expected);
        ck_assert_uint_eq(store_budget_reserved(&budget), 0);
    }
}
END_TEST

START_TEST(a_budget_that_is_full_refuses)
{
    make_rows();
    store_budget budget;
    store_growth growth;
    for (unsigned member = 0; member < 3; member++) {
        store_budget_init(&budget, 40 << 10);
        store_growth_init(&growth, &budget, HOP_PACK_FULL);
        hop_error error = HOP_ERROR_NONE;
        hop_status status;
        do {
            if (member < 2)
                status = member == 0 ? store_growth_memories(&growth, 7, D, rows, &error)
                                     : store_growth_values(&growth, 7, P, values, &error);
            else
                status = store_growth_label(&growth, "a label", 7, &error);
        } while (status == HOP_OK);
        ck_assert_int_eq(status, HOP_E_BUDGET);
        ck_assert(error.limit == 40 << 10 && error.actual > error.limit);
        size_t held = growth.memories.bytes + growth.values.bytes + growth.label_text.bytes;
        ck_assert_uint_gt(held, 4 << 10); /* refused when full, not before */
        ck_assert_uint_ge(store_budget_reserved(&budget), held);
        store_growth_fini(&growth);
        ck_assert_uint_eq(store_budget_reserved(&budget), 0);
    }
    /* The model is charged along with the rows: it is what no longer fits here. */
    store_budget_init(&budget, sizeof rows + 4096);
    store_growth_init(&growth, &budget, HOP_PACK_FULL);
    ck_assert_int_eq(store_growth_memories(&growth, M, D, rows, NULL), HOP_E_BUDGET);
    store_growth_fini(&growth);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
}
END_TEST

START_TEST(members_that_do_not_match_are_refused)
{
    make_rows();
    store_budget budget;
    store_budget_init(&budget, 64 << 20);
    for (unsigned member = 1; member < 3; member++) {
        store_growth growth;
        store_growth_init(&growth, &budget, HOP_PACK_FULL);
        grow_some(&growth, 0, 0, 4);
        grow_some(&growth, member, 0, 3);
        store_builder *builder = NULL;
        hop_error error = HOP_ERROR_NONE;
        ck_assert_int_eq(store_builder_new(&budget, 0, D, growth.p, HOP_DOT, &builder, &error), HOP_OK);
        ck_assert_int_eq(store_builder_adopt_growth(builder, &growth, &error), HOP_E_SHAPE);
        ck_assert_uint_eq(growth.M, 4);
        store_builder_free(builder);
        store_growth_fini(&growth);
        ck_assert_uint_eq(store_budget_reserved(&budget), 0);
    }
    char large[STORE_LABEL_BYTES + 1];
    memset(large, 'x', sizeof large);
    store_growth growth;
    store_growth_init(&growth, &budget, HOP_PACK_FULL);
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_growth_label(&growth, large, sizeof large, &error), HOP_E_LIMIT);
    ck_assert_int_eq(error.row, 0);
    store_growth_fini(&growth);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("growth");
    TCase *c = tcase_create("growth");
    tcase_add_test(c, a_grown_set_is_the_same_set);
    tcase_add_test(c, a_budget_that_is_full_refuses);
    tcase_add_test(c, members_that_do_not_match_are_refused);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, suite);
}
