/*
 * test_intake_json.c - JSON uploads as sets: what comes out of the builder, what is charged meanwhile, and rows for a
 * set that is there. The text itself is test_json_upload.c's.
 */
#include "server/intake.h"
#include "server/json.h"
#include "server/json_upload.h"
#include "support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 64, BUDGET_BYTES = 64 << 20 };

static store_budget budget;

static void set_up(void)
{
    store_budget_init(&budget, BUDGET_BYTES);
}

static void tear_down(void)
{
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
}

/* In pieces of so many bytes. *fed: what was taken before it was refused. */
static hop_status load(const char *text, size_t piece, const store_set *onto, const srv_parameter *parameter,
                       store_set **set, size_t *fed, hop_error *error)
{
    const srv_intake_source source = {.media = SRV_MEDIA_JSON,
                                      .body_bytes = SIZE_MAX,
                                      .parameters = parameter,
                                      .n_parameters = parameter != NULL,
                                      .columns = COLUMNS,
                                      .onto = onto,
                                      .budget = &budget,
                                      .packing = HOP_PACK_NONE};
    srv_intake *intake = NULL;
    store_builder *builder = NULL;
    store_options options;
    size_t n = strlen(text);
    *error = HOP_ERROR_NONE;
    *fed = 0;
    hop_status status = srv_intake_new(&source, &intake, error);
    for (size_t at = 0; at < n && status == HOP_OK; at += piece) {
        size_t count = piece < n - at ? piece : n - at;
        status = srv_intake_feed(intake, text + at, count, error);
        *fed += status == HOP_OK ? count : 0;
    }
    if (status == HOP_OK)
        status = srv_intake_end(intake, &builder, &options, error);
    srv_intake_free(intake);
    if (status == HOP_OK)
        status = store_builder_finish(builder, &options, NULL, set, error);
    store_builder_free(builder);
    return status;
}

static store_set *loaded(const char *text, const srv_parameter *parameter)
{
    store_set *set = NULL, *again = NULL;
    hop_error error;
    size_t fed;
    ck_assert_msg(load(text, 1, NULL, parameter, &set, &fed, &error) == HOP_OK, "%s", error.text);
    ck_assert_msg(load(text, SIZE_MAX, NULL, parameter, &again, &fed, &error) == HOP_OK, "%s", error.text);
    ck_assert_uint_eq(set->content_hash, again->content_hash);
    store_set_release(again);
    return set;
}

static void refused(const char *text, const store_set *onto, hop_status status, const char *words)
{
    store_set *set = NULL;
    hop_error error;
    size_t fed, before = store_budget_reserved(&budget);
    for (size_t piece = 1; piece <= 64; piece *= 4) {
        ck_assert_msg(load(text, piece, onto, NULL, &set, &fed, &error) == status, "%s: %s", text, error.text);
        ck_assert_msg(strstr(error.text, words) != NULL, "%s: %s", text, error.text);
        ck_assert_uint_eq(store_budget_reserved(&budget), before);
    }
}

START_TEST(everything_arrives)
{
    static const srv_parameter max_error = {"max_error", "0.25"};
    store_set *set = loaded("{\"labels\":[\"a\",\"\",\"\\u00fc\"],\"values\":[[1],[2],[3]],\"beta\":2,\"max_degree\":1,"
                            "\"memories\":[[1,2],[3,4.5],[5,6]],\"similarity\":\"cosine\"}",
                            &max_error);
    static const float memories[] = {1, 2, 3, 4.5f, 5, 6}, values[] = {1, 2, 3};
    ck_assert(set->M == 3 && set->d == 2 && set->p == 1);
    ck_assert_mem_eq(set->memories, memories, sizeof memories);
    ck_assert_mem_eq(set->values, values, sizeof values);
    ck_assert_str_eq(store_set_label(set, 0), "a");
    ck_assert_str_eq(store_set_label(set, 1), "");
    ck_assert_str_eq(store_set_label(set, 2), "\xc3\xbc");
    ck_assert(set->beta == 2 && set->max_error == 0.25 && set->max_degree == 1);
    ck_assert_int_eq(hop_model_similarity(set->model), HOP_COSINE);
    store_set_release(set);
    set = loaded("{\"memories\":[[1,2]]}", NULL);
    ck_assert(!set->values && !set->label_text && set->beta != 2);
    store_set_release(set);
}
END_TEST

START_TEST(what_no_longer_fits_is_refused_as_it_comes)
{
    enum { ROWS = 40000 };
    const srv_args_limits limits = {.columns = COLUMNS};
    size_t own = srv_json_upload_bytes(&limits), fed;
    char *text = malloc(ROWS * 8 + 64), *end = text + sprintf(text, "{\"memories\":[[1,2]");
    for (int i = 1; i < ROWS; i++)
        end += sprintf(end, ",[%d,2]", i % 10);
    strcpy(end, "]}");
    store_set *set = NULL;
    hop_error error;
    /* Not even room for the text. */
    store_budget_init(&budget, own - 1);
    ck_assert_int_eq(load(text, 1000, NULL, NULL, &set, &fed, &error), HOP_E_BUDGET);
    ck_assert(error.limit == (double)(own - 1) && error.actual == (double)own);
    ck_assert_uint_eq(fed, 0);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
    /* Half of the rows, and nothing of the rest is read. */
    store_budget_init(&budget, own + ROWS * 2 * sizeof(float) / 2);
    ck_assert_int_eq(load(text, 1000, NULL, NULL, &set, &fed, &error), HOP_E_BUDGET);
    ck_assert_uint_lt(fed, strlen(text) * 3 / 4);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
    store_budget_init(&budget, BUDGET_BYTES);
    ck_assert_msg(load(text, 1000, NULL, NULL, &set, &fed, &error) == HOP_OK, "%s", error.text);
    ck_assert(set->M == ROWS && set->memories[2 * (ROWS - 1)] == (ROWS - 1) % 10);
    store_set_release(set);
    free(text);
}
END_TEST

START_TEST(added_rows_must_be_as_those_there_are)
{
    store_set *set = loaded("{\"memories\":[[1,2,3]]}", NULL), *added = NULL;
    refused("{\"memories\":[[1,2]]}", set, HOP_E_SHAPE, "memories: rows of 2 numbers, those of the set have 3");
    /* As soon as it is known: what follows is not even JSON. */
    refused("{\"memories\":[[1,2]],x", set, HOP_E_SHAPE, "memories: rows of 2 numbers, those of the set have 3");
    refused("{\"values\":[[1,2]],x", set, HOP_E_SHAPE, "values: rows of 2 numbers, the set has no values");
    refused("{\"memories\":[[1,2,3]],\"beta\":1}", set, HOP_E_FORMAT, "unknown field `beta`");
    refused("{}", set, HOP_E_FORMAT, "`memories` is missing");
    hop_error error;
    size_t fed;
    ck_assert_msg(
        load("{\"memories\":[[4,5,6],[7,8,9]],\"labels\":[\"a\",\"b\"]}", 3, set, NULL, &added, &fed, &error) == HOP_OK,
        "%s", error.text);
    ck_assert(added->M == 2 && added->memories[5] == 9);
    store_set_release(added);
    store_set_release(set);
    set = loaded("{\"memories\":[[1,2,3]],\"values\":[[1,2]]}", NULL);
    refused("{\"memories\":[[1,2,3]]}", set, HOP_E_SHAPE, "values: none; the set has 2 numbers for each memory");
    refused("{\"values\":[[1,2,3]],x", set, HOP_E_SHAPE, "values: rows of 3 numbers, those of the set have 2");
    store_set_release(set);
}
END_TEST

START_TEST(wrong_bodies)
{
    refused(" ", NULL, HOP_E_FORMAT, "the body is empty");
    refused("{\"memories\":[[1],[2,3]]}", NULL, HOP_E_SHAPE, "row 1 has 2 numbers, row 0 has 1");
    refused("{\"memories\":[[1],[2]],\"labels\":[\"a\"]}", NULL, HOP_E_SHAPE, "labels: 1 for 2 memories");
    refused("{\"memories\":[[1]", NULL, HOP_E_FORMAT, "but the text ends");
    refused("{\"memories\":[[0,0]],\"similarity\":\"cosine\"}", NULL, HOP_E_DOMAIN, "");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("intake json");
    TCase *c = tcase_create("intake json");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, everything_arrives);
    tcase_add_test(c, what_no_longer_fits_is_refused_as_it_comes);
    tcase_add_test(c, added_rows_must_be_as_those_there_are);
    tcase_add_test(c, wrong_bodies);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    srv_json_init();
    return hop_check_main(argc, argv, suite);
}
