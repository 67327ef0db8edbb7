/*
 * test_args_change.c - changes of settings and lists of ids, from what clients say.
 */
#include "server/args.h"
#include "support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The reader may write into the body. */
static srv_args_source source_of(char *body, const char *text)
{
    strcpy(body, text);
    return (srv_args_source){.media = SRV_MEDIA_JSON, .body = body, .body_bytes = strlen(text)};
}

static hop_status read_patch(const char *text, srv_patch_args *out, hop_error *error)
{
    char body[512];
    const srv_args_source source = source_of(body, text);
    *error = HOP_ERROR_NONE;
    return srv_patch_args_read(&source, out, error);
}

START_TEST(a_patch_says_what_is_given_and_what_is_null)
{
    srv_patch_args args;
    hop_error error;
    ck_assert_int_eq(read_patch("{\"beta\": 2.5, \"labels\": [\"a\", \"\", \"c\"]}", &args, &error), HOP_OK);
    ck_assert(args.has_beta && args.beta == 2.5 && args.has_labels && !args.has_max_error && !args.has_max_degree);
    ck_assert_uint_eq(args.n_labels, 3);
    ck_assert_str_eq(args.labels[0], "a");
    ck_assert_str_eq(args.labels[1], "");
    ck_assert_str_eq(args.labels[2], "c");
    free(args.labels);
    free(args.label_text);

    ck_assert_int_eq(
        read_patch("{\"beta\": null, \"max_error\": null, \"max_degree\": null, \"labels\": null}", &args, &error),
        HOP_OK);
    ck_assert(args.has_beta && args.has_max_error && args.has_max_degree && args.has_labels);
    ck_assert(args.beta == 0 && args.max_error == -1 && args.max_degree == -1 && !args.labels && args.n_labels == 0);

    ck_assert_int_eq(read_patch("{\"max_error\": 0, \"max_degree\": 0}", &args, &error), HOP_OK);
    ck_assert(args.max_error == 0 && args.max_degree == 0 && !args.has_labels);

    ck_assert_int_eq(read_patch("{\"labels\": []}", &args, &error), HOP_OK);
    ck_assert(args.has_labels && args.n_labels == 0 && args.labels);
    free(args.labels);
    free(args.label_text);
}
END_TEST

static const struct {
    const char *text;
    hop_status status;
    const char *says;
} bad_patches[] = {
    {"{}", HOP_E_DOMAIN, "nothing is changed"},
    {"", HOP_E_FORMAT, "empty"},
    {"[1]", HOP_E_FORMAT, "object"},
    {"{\"betta\": 1}", HOP_E_FORMAT, "did you mean `beta`"},
    {"{\"similarity\": \"dot\"}", HOP_E_FORMAT, "unknown field `similarity`"},
    {"{\"memories\": [[1]]}", HOP_E_FORMAT, "unknown field `memories`"},
    {"{\"beta\": 0}", HOP_E_DOMAIN, "beta"},
    {"{\"beta\": \"1\"}", HOP_E_FORMAT, "`beta` must be a number"},
    {"{\"max_error\": -1}", HOP_E_DOMAIN, "max_error"},
    {"{\"max_degree\": 24}", HOP_E_DOMAIN, "max_degree"},
    {"{\"max_degree\": 1.5}", HOP_E_FORMAT, "max_degree"},
    {"{\"labels\": \"a\"}", HOP_E_FORMAT, "a list of strings"},
    {"{\"labels\": [1]}", HOP_E_FORMAT, "labels"},
    {"{\"labels\": [\"a\"], \"labels\": null}", HOP_E_FORMAT, "twice"},
};

START_TEST(bad_patches_are_refused)
{
    srv_patch_args args;
    hop_error error;
    ck_assert_int_eq(read_patch(bad_patches[_i].text, &args, &error), bad_patches[_i].status);
    ck_assert_msg(strstr(error.text, bad_patches[_i].says), "%s: %s", bad_patches[_i].text, error.text);
}
END_TEST

static hop_status read_ids(const char *text, const char *parameter, srv_ids *out, hop_error *error)
{
    char body[512];
    srv_args_source source = source_of(body, text);
    const srv_parameter parameters[] = {{"ids", parameter}};
    source.parameters = parameters;
    source.n_parameters = parameter != NULL;
    *error = HOP_ERROR_NONE;
    *out = (srv_ids){0};
    return srv_remove_args_read(&source, out, error);
}

START_TEST(ids_come_in_a_body_or_a_parameter)
{
    static const struct {
        const char *body, *parameter;
        size_t count;
        uint64_t first, last;
    } good[] = {
        {"", "3", 1, 3, 3},
        {"", "3,5,0", 3, 3, 0},
        {"", "9223372036854775807", 1, INT64_MAX, INT64_MAX},
        {"", "", 0, 0, 0},
        {"{\"ids\":[]}", NULL, 0, 0, 0},
        {"{\"ids\":[7]}", NULL, 1, 7, 7},
        {" {\"ids\" : [ 7 , 8\n, 9 ] } ", NULL, 3, 7, 9},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        srv_ids ids;
        hop_error error;
        ck_assert_msg(read_ids(good[i].body, good[i].parameter, &ids, &error) == HOP_OK, "%zu: %s", i, error.text);
        ck_assert_uint_eq(ids.count, good[i].count);
        if (ids.count > 0) {
            ck_assert_uint_eq(ids.data[0], good[i].first);
            ck_assert_uint_eq(ids.data[ids.count - 1], good[i].last);
        }
        free(ids.data);
    }
}
END_TEST

START_TEST(many_ids_are_all_read)
{
    enum { MANY = 10000 };
    char *body = malloc(MANY * 8 + 16), *at = body;
    at += sprintf(at, "{\"ids\":[");
    for (unsigned i = 0; i < MANY; i++)
        at += sprintf(at, "%s%u", i ? "," : "", 3 * i);
    at += sprintf(at, "]}");
    const srv_args_source source = {.media = SRV_MEDIA_JSON, .body = body, .body_bytes = (size_t)(at - body)};
    srv_ids ids;
    ck_assert_int_eq(srv_remove_args_read(&source, &ids, NULL), HOP_OK);
    ck_assert_uint_eq(ids.count, MANY);
    for (unsigned i = 0; i < MANY; i++)
        ck_assert_uint_eq(ids.data[i], 3 * i);
    free(ids.data);
    free(body);
}
END_TEST

static const struct {
    const char *body, *parameter;
    hop_status status;
    int row;
    const char *says;
} bad_ids[] = {
    {"", NULL, HOP_E_DOMAIN, -1, "nothing is removed"},
    {"{\"ids\":[1]}", "1", HOP_E_FORMAT, -1, "both"},
    {"{}", NULL, HOP_E_FORMAT, -1, "missing"},
    {"{\"ids\":3}", NULL, HOP_E_FORMAT, -1, "a list of ids"},
    {"{\"ids\":null}", NULL, HOP_E_FORMAT, -1, "a list of ids"},
    {"{\"id\":[3]}", NULL, HOP_E_FORMAT, -1, "unknown field"},
    {"{\"ids\":[3],\"ids\":[4]}", NULL, HOP_E_FORMAT, -1, "twice"},
    {"{\"ids\":[3,-1]}", NULL, HOP_E_FORMAT, 1, "entry 1"},
    {"{\"ids\":[1.5]}", NULL, HOP_E_FORMAT, 0, "byte 8"},
    {"{\"ids\":[1,2,]}", NULL, HOP_E_FORMAT, 2, "entry 2"},
    {"{\"ids\":[01]}", NULL, HOP_E_FORMAT, 0, "entry 0"},
    {"{\"ids\":[1 2]}", NULL, HOP_E_FORMAT, 0, "entry 0"},
    {"{\"ids\":[1,2", NULL, HOP_E_FORMAT, 1, "entry 1"},
    {"{\"ids\":[9223372036854775808]}", NULL, HOP_E_FORMAT, 0, "entry 0"},
    {"{\"ids\":[\"1\"]}", NULL, HOP_E_FORMAT, 0, "entry 0"},
    {"", "1,", HOP_E_FORMAT, 1, "entry 1"},
    {"", ",1", HOP_E_FORMAT, 0, "entry 0"},
    {"", "1, 2", HOP_E_FORMAT, 1, "entry 1"},
    {"", "-1", HOP_E_FORMAT, 0, "entry 0"},
    {"", "all", HOP_E_FORMAT, 0, "entry 0"},
    {"", "99999999999999999999", HOP_E_FORMAT, 0, "entry 0"},
};

START_TEST(bad_ids_are_refused_where_they_stand)
{
    srv_ids ids;
    hop_error error;
    ck_assert_int_eq(read_ids(bad_ids[_i].body, bad_ids[_i].parameter, &ids, &error), bad_ids[_i].status);
    ck_assert_int_eq(error.row, bad_ids[_i].row);
    ck_assert_msg(strstr(error.text, bad_ids[_i].says), "%d: %s", _i, error.text);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("args_change");
    TCase *cases = tcase_create("args_change");
    tcase_add_test(cases, a_patch_says_what_is_given_and_what_is_null);
    tcase_add_loop_test(cases, bad_patches_are_refused, 0, sizeof bad_patches / sizeof *bad_patches);
    tcase_add_test(cases, ids_come_in_a_body_or_a_parameter);
    tcase_add_test(cases, many_ids_are_all_read);
    tcase_add_loop_test(cases, bad_ids_are_refused_where_they_stand, 0, sizeof bad_ids / sizeof *bad_ids);
    suite_add_tcase(suite, cases);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
