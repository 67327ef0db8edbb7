/*
 * test_content_hash.c - the hash is what docs/SNAPSHOT.md says (numbers from a program written after that text), adds up
 * over parts, does not depend on who computes it, and sees every bit.
 */
#include "store/content_hash.h"
#include "support/check_main.h"
#include "support/executors.h"

#include <check.h>
#include <string.h>

enum { M = 5, MOST = 32 };

static const uint64_t ids[M] = {2, 3, 7, 11, UINT64_C(1) << 40};

/* Memories hold mu + l/8, values -1 - mu - j. */
static void make_rows(size_t d, size_t p, float *memories, float *values)
{
    for (size_t mu = 0; mu < M; mu++) {
        for (size_t l = 0; l < d; l++)
            memories[mu * d + l] = (float)mu + (float)l / 8;
        for (size_t j = 0; j < p; j++)
            values[mu * p + j] = -1 - (float)(mu + j);
    }
}

static const struct {
    size_t d, p;
    uint64_t numbered, named;
} shapes[] = {
    {1, 0, UINT64_C(0xb0556368ef7005bf), UINT64_C(0x513714c46b05747c)},
    {3, 0, UINT64_C(0xbaea3e2c3cc5d274), UINT64_C(0x3f1fb725af3e3f18)},
    {4, 2, UINT64_C(0xaa7cdff26318de73), UINT64_C(0x4b843b498477cf8b)},
    {5, 5, UINT64_C(0xe2a31b2b4b0011a5), UINT64_C(0x95fdb956a8e6f196)},
    {8, 0, UINT64_C(0x644145698830b7d2), UINT64_C(0x094211990ea70df1)},
    {9, 3, UINT64_C(0x647564c746ad14ed), UINT64_C(0x5f361f648f0f6026)},
    {17, 8, UINT64_C(0x79b34b0153d1fb9c), UINT64_C(0x2792bcc3a5e073cd)},
};

START_TEST(rows_are_hashed_as_documented)
{
    size_t d = shapes[_i].d, p = shapes[_i].p;
    float memories[M * MOST], of_values[M * MOST];
    make_rows(d, p, memories, of_values);
    const float *values = p ? of_values : NULL;
    ck_assert_uint_eq(store_hash_rows(memories, d, values, p, NULL, 0, M, NULL), shapes[_i].numbered);
    ck_assert_uint_eq(store_hash_rows(memories, d, values, p, ids, 0, M, NULL), shapes[_i].named);

    for (size_t cut = 0; cut <= M; cut++) {
        const float *rest = values ? values + cut * p : NULL;
        uint64_t sum = store_hash_rows(memories, d, values, p, NULL, 0, cut, NULL);
        ck_assert_uint_eq(sum + store_hash_rows(memories + cut * d, d, rest, p, NULL, cut, M - cut, NULL),
                          shapes[_i].numbered);
        sum = store_hash_rows(memories, d, values, p, ids, 0, cut, NULL);
        ck_assert_uint_eq(sum + store_hash_rows(memories + cut * d, d, rest, p, ids + cut, 0, M - cut, NULL),
                          shapes[_i].named);
    }
    for (size_t at = 0; at < M * (d + p) * 32; at++) {
        char *byte = at / 32 < M * d ? (char *)memories + at / 8 : (char *)of_values + at / 8 - M * d * sizeof(float);
        *byte = (char)(*byte ^ (1 << at % 8));
        ck_assert_uint_ne(store_hash_rows(memories, d, values, p, ids, 0, M, NULL), shapes[_i].named);
        *byte = (char)(*byte ^ (1 << at % 8));
    }
}
END_TEST

START_TEST(it_does_not_depend_on_the_executor)
{
    enum { ROWS = 5000, D = 67, P = 3 };
    static float memories[ROWS * D], values[ROWS * P];
    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
        memories[i] = (float)(i * 2654435761u % 1000003u);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        values[i] = (float)i;
    uint64_t sum = store_hash_rows(memories, D, values, P, NULL, 9, ROWS, NULL);
    const hop_executor backwards = {.run = test_run_backwards, .width = 1};
    ck_assert_uint_eq(store_hash_rows(memories, D, values, P, NULL, 9, ROWS, &backwards), sum);
    ck_assert_uint_eq(store_hash_rows(memories, D, values, P, NULL, 9, ROWS, &test_on_threads), sum);
    ck_assert_uint_gt(test_tasks_run(), 2);
}
END_TEST

START_TEST(labels_and_settings_are_hashed_as_documented)
{
    ck_assert_uint_eq(store_hash_label(0, ""), UINT64_C(0xff494a15c473aeb1));
    ck_assert_uint_eq(store_hash_label(3, "null"), UINT64_C(0x2b75ae955e699269));
    ck_assert_uint_eq(store_hash_label(UINT64_C(1) << 40, "a label of 21 letters"), UINT64_C(0xfd849c9ae49366cc));
    const store_content content = {.M = 5,
                                   .d = 4,
                                   .p = 2,
                                   .similarity = HOP_CENTERED_COSINE,
                                   .max_degree = -1,
                                   .beta = 0.25,
                                   .max_error = 1e-3,
                                   .next_id = 12,
                                   .labelled = true,
                                   .rows = UINT64_C(0x0123456789abcdef),
                                   .labels = UINT64_C(0xfedcba9876543210)};
    static const double mean[] = {0.5, -1.25, 0, 1e-300}, moved[] = {0.5, -1.25, 0, 2e-300};
    const uint64_t hash = UINT64_C(0x9cfc8cfd8662ceaa);
    ck_assert_uint_eq(store_content_hash(&content), hash);
    store_content other[13];
    for (size_t i = 0; i < 13; i++)
        other[i] = content;
    other[0].M++;
    other[1].d++;
    other[2].p = 0;
    other[3].similarity = HOP_COSINE;
    other[4].max_degree = 3;
    other[5].beta = 0.5;
    other[6].max_error = 0;
    other[7].next_id++;
    other[8].labelled = false;
    other[9].rows++;
    other[10].labels++;
    other[11].mean = mean;
    other[12].mean = moved;
    ck_assert_uint_eq(store_content_hash(&other[11]), UINT64_C(0xaa4fdf2968adaeae));
    ck_assert(store_content_hash(&other[11]) != store_content_hash(&other[12]));
    for (size_t i = 0; i < 13; i++)
        ck_assert_msg(store_content_hash(&other[i]) != hash, "%zu", i);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("content_hash");
    TCase *all = tcase_create("hash");
    tcase_add_loop_test(all, rows_are_hashed_as_documented, 0, sizeof shapes / sizeof *shapes);
    tcase_add_test(all, it_does_not_depend_on_the_executor);
    tcase_add_test(all, labels_and_settings_are_hashed_as_documented);
    suite_add_tcase(suite, all);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
