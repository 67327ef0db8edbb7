/*
 * test_json.c - JSON bodies: bulk members cut out, the rest parsed, every kind of malformed text refused with its
 * byte.
 */
#include "server/json.h"
#include "support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUERIES, BASE64, BULK };

/* A body taken apart as far as it goes. */
typedef struct opened {
    char *body;
    srv_bulk bulk[BULK];
    srv_envelope envelope;
    srv_json *json;
    hop_error error;
} opened;

static hop_status open_bytes(opened *o, const char *bytes, size_t n)
{
    static const srv_numbers_limits limits = {
        .flat = true, .rows = 100, .columns = 100, .bytes = 4096, .bytes_status = HOP_E_LIMIT};
    *o = (opened){.body = malloc(n + 1), .error = HOP_ERROR_NONE};
    memcpy(o->body, bytes, n);
    o->body[n] = '\0';
    for (unsigned i = 0; i < BULK; i++) {
        static const char *const names[BULK] = {"queries", "b64"};
        static const srv_bulk_kind kinds[BULK] = {SRV_BULK_NUMBERS, SRV_BULK_BASE64};
        o->bulk[i].kind = kinds[i];
        o->bulk[i].limits = limits;
        o->bulk[i].limits.name = names[i];
    }
    hop_status status = srv_envelope_open(o->body, n, o->bulk, BULK, &o->envelope, &o->error);
    return status == HOP_OK ? srv_json_parse(&o->envelope, &o->json, &o->error) : status;
}

static hop_status open_body(opened *o, const char *text)
{
    return open_bytes(o, text, strlen(text));
}

static void close_body(opened *o)
{
    for (unsigned i = 0; i < BULK; i++)
        srv_bulk_fini(&o->bulk[i]);
    srv_json_free(o->json);
    free(o->body);
}

START_TEST(bulk_members_are_cut_out)
{
    opened o;
    ck_assert_msg(open_body(&o, " { \"beta\" : 2 , \"queries\" : [[1,2],[3,4]] ,"
                                "\"b64\":\"AACAPw\\u003d=\", \"top\" : 7 } \n") == HOP_OK,
                  "%s", o.error.text);
    ck_assert(o.bulk[QUERIES].found && o.bulk[BASE64].found);
    ck_assert_uint_eq(o.bulk[QUERIES].numbers.rows, 2);
    ck_assert(o.bulk[QUERIES].numbers.data[3] == 4);
    ck_assert_uint_eq(o.bulk[BASE64].numbers.columns, 1);
    ck_assert(o.bulk[BASE64].numbers.data[0] == 1);
    ck_assert_uint_lt(o.envelope.n, 80);
    double beta = 0;
    int64_t top = 0, zero = 5;
    ck_assert_int_eq(srv_json_number(o.json, "beta", &beta, NULL), HOP_OK);
    ck_assert_int_eq(srv_json_integer(o.json, "top", &top, NULL), HOP_OK);
    ck_assert_int_eq(srv_json_integer(o.json, "queries", &zero, NULL), HOP_OK);
    ck_assert(beta == 2 && top == 7 && zero == 0);
    close_body(&o);
}
END_TEST

START_TEST(escaped_keys_are_the_same_keys)
{
    opened o;
    ck_assert_int_eq(open_body(&o, "{\"quer\\u0069es\":[1,2,3]}"), HOP_OK);
    ck_assert(o.bulk[QUERIES].found);
    ck_assert_uint_eq(o.bulk[QUERIES].numbers.columns, 3);
    close_body(&o);
    ck_assert_int_eq(open_body(&o, "{\"queries\":[1],\"quer\\u0069es\":[2]}"), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(o.error.text, "`queries` comes twice"));
    ck_assert_int_eq(o.error.byte, 15);
    close_body(&o);
    /* A member nested deeper is not the bulk member. */
    ck_assert_int_eq(open_body(&o, "{\"model\":{\"queries\":[1,2]}}"), HOP_OK);
    ck_assert(!o.bulk[QUERIES].found);
    close_body(&o);
    ck_assert_int_eq(open_body(&o, "{\"queries\":\"text\"}"), HOP_OK);
    ck_assert(!o.bulk[QUERIES].found);
    close_body(&o);
}
END_TEST

START_TEST(malformed_bodies_are_refused_with_the_byte)
{
    static const struct {
        const char *text;
        int64_t byte;
        const char *words;
    } cases[] = {
        {"", 0, "empty"},
        {"  \n", 0, "empty"},
        {"[1]", 0, "must be an object"},
        {"null", 0, "must be an object"},
        {"\xef\xbb\xbf{}", 0, "must be an object"},
        {"{", 1, "body ends"},
        {"{\"a\"", 4, "':' expected"},
        {"{\"a\":", 5, "a value expected"},
        {"{\"a\":1", 6, "',' or '}'"},
        {"{\"a\":1,", 7, "field name"},
        {"{\"a\":1,}", 7, "field name"},
        {"{,}", 1, "field name"},
        {"{a:1}", 1, "field name"},
        {"{'a':1}", 1, "field name"},
        {"{\"a\" 1}", 5, "':' expected"},
        {"{\"a\":}", 5, "a value is missing"},
        {"{\"a\":1} x", 8, "follows the object"},
        {"{\"a\":1}{}", 7, "follows the object"},
        {"{\"a\":[1}", 7, "brackets that do not match"},
        {"{\"a\":[1}}", 7, "brackets that do not match"},
        {"{\"a\":[1,2}]", 9, "brackets that do not match"},
        {"{\"a\":[1,,2]}", 8, ""},
        {"{\"a\":[1 2]}", 8, ""},
        {"{\"a\":{\"b\"}}", 9, ""},
        {"{\"a\":nul}", 7, ""},
        {"{\"a\":NaN}", 7, ""},
        {"{\"a\":Infinity}", 12, ""},
        {"{\"a\":-NaN}", -2, ""},
        {"{\"a\":01}", -2, ""},
        {"{\"a\":+1}", -2, ""},
        {"{\"a\":.5}", -2, ""},
        {"{\"a\":1e400}", -2, "overflow"},
        {"{\"a\":123456789012345678901234567890}", -2, "too big"},
        {"{\"a\":\"b}", 8, "does not end"},
        {"{\"a\":\"\t\"}", 6, "control character"},
        {"{\"a\":\"\\x\"}", 6, "unknown escape"},
        {"{\"a\":\"\\u12g4\"}", 6, "four hex digits"},
        {"{\"a\":\"\\u0000\"}", 6, "NUL"},
        {"{\"a\":\"\\ud800\"}", 6, "surrogate"},
        {"{\"a\":\"\\ud800\\u0041\"}", 6, "surrogate"},
        {"{\"a\":\"\\udc00\"}", 6, "surrogate"},
        {"{\"a\":\"\xff\"}", 6, "not UTF-8"},
        {"{\"a\":\"\xc0\xaf\"}", 6, "not UTF-8"},
        {"{\"a\":\"\xed\xa0\x80\"}", 6, "not UTF-8"},
        {"{\"a\":\"\xf4\x90\x80\x80\"}", 6, "not UTF-8"},
        {"{\"a\":\"\xe2\x82\"}", 6, "not UTF-8"},
        {"{\"\xff\":1}", 2, "not UTF-8"},
        {"{\"a\":1,\"a\":2}", -2, "duplicate"},
        {"{\"m\":{\"a\":1,\"a\":2}}", -2, "duplicate"},
        {"{\"queries\":0,\"queries\":[1]}", -2, "duplicate"},
        {"{\"queries\":[1],\"queries\":0}", 15, "twice"},
        {"{\"queries\":[[1,2],[3]],}", -2, "row 1"},
        {"{\"queries\":[1],}", 15, "field name"},
        {"{\"b64\":\"AA*A\"}", 10, "'*'"},
        {"{\"b64\":\"AA\\/*\"}", 7, "'*' at character 3"},
        {"{\"b64\":\"AAA=\"}", 7, "whole number of f32"},
        {"{\"labels\":[\"\\u0000\"]}", 12, "NUL"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        opened o;
        hop_status expected = strstr(cases[i].words, "row 1") ? HOP_E_SHAPE : HOP_E_FORMAT;
        ck_assert_msg(open_body(&o, cases[i].text) == expected, "%s", cases[i].text);
        if (cases[i].byte >= -1)
            ck_assert_msg(o.error.byte == cases[i].byte, "%s: byte %lld: %s", cases[i].text, (long long)o.error.byte,
                          o.error.text);
        ck_assert_msg(strstr(o.error.text, cases[i].words) != NULL, "%s: %s", cases[i].text, o.error.text);
        close_body(&o);
    }
}
END_TEST

START_TEST(nul_bytes_are_refused)
{
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {{"{\"a\":1}\0", 8}, {"{\0\"a\":1}", 8},          {"{\"a\":\0 1}", 9}, {"{\"a\":\"\0\"}", 9},
                 {"{\"a\":1\0}", 8}, {"{\"queries\":[1\0]}", 16}, {"{\"\0\":1}", 7}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        opened o;
        ck_assert_int_eq(open_bytes(&o, cases[i].bytes, cases[i].n), HOP_E_FORMAT);
        ck_assert_int_ge(o.error.byte, 1);
        close_body(&o);
    }
}
END_TEST

static hop_status open_nested(opened *o, size_t depth, const char *key)
{
    char text[4096];
    size_t n = (size_t)snprintf(text, sizeof text, "{\"%s\":", key);
    memset(text + n, '[', depth - 1);
    memset(text + n + depth - 1, ']', depth - 1);
    strcpy(text + n + 2 * (depth - 1), "}");
    return open_body(o, text);
}

START_TEST(depth_is_limited)
{
    opened o;
    ck_assert_int_eq(open_nested(&o, SRV_JSON_DEPTH, "a"), HOP_OK);
    close_body(&o);
    ck_assert_int_eq(open_nested(&o, SRV_JSON_DEPTH + 1, "a"), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(o.error.text, "nested deeper than 16"));
    ck_assert_int_eq(o.error.byte, 5 + SRV_JSON_DEPTH - 1);
    close_body(&o);
    ck_assert_int_eq(open_nested(&o, 1500, "a"), HOP_E_FORMAT);
    close_body(&o);
    ck_assert_int_eq(open_nested(&o, 1500, "queries"), HOP_E_FORMAT);
    close_body(&o);
}
END_TEST

START_TEST(errors_behind_an_array_keep_their_byte)
{
    opened o;
    const char *text = "{\"queries\":[[1,2,3],[4,5,6]],\"beta\":nope}";
    ck_assert_int_eq(open_body(&o, text), HOP_E_FORMAT);
    ck_assert_int_ge(o.error.byte, strstr(text, "nope") - text);
    ck_assert_int_le(o.error.byte, strstr(text, "nope") + 4 - text);
    close_body(&o);
}
END_TEST

START_TEST(large_rests_never_reach_the_parser)
{
    enum { BYTES = 1 << 20 };
    char *text = malloc(BYTES + 100);
    ck_assert_ptr_nonnull(text);
    opened o;
    /* One large value of an unknown name is emptied, and its name is still there to be refused. */
    size_t n = (size_t)sprintf(text, "{\"querys\":[");
    while (n < BYTES)
        n += (size_t)sprintf(text + n, "0,");
    sprintf(text + n, "0],\"beta\":1}");
    ck_assert_int_eq(open_body(&o, text), HOP_OK);
    ck_assert_uint_lt(o.envelope.n, 100);
    ck_assert_int_eq(o.envelope.oversize, 10);
    static const char *const known[] = {"beta", "queries", NULL};
    ck_assert_int_eq(srv_json_refuse_unknown(o.json, known, &o.error), HOP_E_FORMAT);
    ck_assert_str_eq(o.error.text, "unknown field `querys`: did you mean `queries`?");
    close_body(&o);
    /* Many small ones are too much together. */
    n = (size_t)sprintf(text, "{");
    for (int i = 0; n < BYTES; i++)
        n += (size_t)sprintf(text + n, "\"a%d\":0,", i);
    sprintf(text + n, "\"z\":0}");
    ck_assert_int_eq(open_body(&o, text), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(o.error.text, "more than 65536 bytes outside the arrays"));
    close_body(&o);
    free(text);
}
END_TEST

START_TEST(typed_fields)
{
    opened o;
    ck_assert_int_eq(
        open_body(&o,
                  "{\"n\":1.5,\"i\":-3,\"w\":5.0,\"s\":\"x\",\"l\":[\"a\",\"b\"],\"z\":[2,3],\"b\":true,\"u\":null}"),
        HOP_OK);
    double number = 9;
    int64_t integer = 9;
    const char *string = NULL, *words[4];
    size_t sizes[2] = {9, 9}, count = 9;
    ck_assert_int_eq(srv_json_number(o.json, "absent", &number, NULL), HOP_OK);
    ck_assert(number == 9 && !srv_json_has(o.json, "absent") && srv_json_has(o.json, "u"));
    ck_assert_int_eq(srv_json_number(o.json, "n", &number, NULL), HOP_OK);
    ck_assert(number == 1.5);
    ck_assert_int_eq(srv_json_number(o.json, "i", &number, NULL), HOP_OK);
    ck_assert(number == -3);
    ck_assert_int_eq(srv_json_integer(o.json, "w", &integer, NULL), HOP_OK);
    ck_assert_int_eq(integer, 5);
    ck_assert_int_eq(srv_json_string(o.json, "s", &string, NULL), HOP_OK);
    ck_assert_str_eq(string, "x");
    ck_assert_int_eq(srv_json_sizes(o.json, "z", 2, sizes, NULL), HOP_OK);
    ck_assert(sizes[0] == 2 && sizes[1] == 3);
    ck_assert_int_eq(srv_json_strings(o.json, "l", 4, words, &count, NULL), HOP_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(words[1], "b");

    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(srv_json_number(o.json, "s", &number, &error), HOP_E_FORMAT);
    ck_assert_str_eq(error.text, "`s` must be a number, not a string");
    error = HOP_ERROR_NONE;
    ck_assert_int_eq(srv_json_integer(o.json, "n", &integer, &error), HOP_E_FORMAT);
    ck_assert_str_eq(error.text, "`n` must be a whole number");
    error = HOP_ERROR_NONE;
    ck_assert_int_eq(srv_json_string(o.json, "u", &string, &error), HOP_E_FORMAT);
    ck_assert_str_eq(error.text, "`u` must be a string, not null");
    ck_assert_int_eq(srv_json_sizes(o.json, "z", 3, sizes, NULL), HOP_E_FORMAT);
    ck_assert_int_eq(srv_json_sizes(o.json, "l", 2, sizes, NULL), HOP_E_FORMAT);
    ck_assert_int_eq(srv_json_strings(o.json, "l", 1, words, &count, NULL), HOP_E_FORMAT);
    ck_assert_int_eq(srv_json_strings(o.json, "z", 4, words, &count, NULL), HOP_E_FORMAT);
    ck_assert_int_eq(srv_json_strings(o.json, "b", 4, words, &count, NULL), HOP_E_FORMAT);
    close_body(&o);
}
END_TEST

START_TEST(unknown_names_suggest_the_nearest)
{
    static const char *const known[] = {"beta", "max_error", "mode", "steps", "queries", NULL};
    static const struct {
        const char *name, *text;
    } cases[] = {
        {"betta", "unknown field `betta`: did you mean `beta`?"},
        {"baet", "unknown field `baet`: did you mean `beta`?"},
        {"maxerror", "unknown field `maxerror`: did you mean `max_error`?"},
        {"max_errro", "unknown field `max_errro`: did you mean `max_error`?"},
        {"query", "unknown field `query`: did you mean `queries`?"},
        {"temperature", "unknown field `temperature`"},
        {"", "unknown field ``"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hop_error error = HOP_ERROR_NONE;
        ck_assert_int_eq(srv_name_refuse_unknown(cases[i].name, "field", known, &error), HOP_E_FORMAT);
        ck_assert_str_eq(error.text, cases[i].text);
    }
    ck_assert_int_eq(srv_name_refuse_unknown("steps", "field", known, NULL), HOP_OK);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("json");
    TCase *c = tcase_create("json");
    tcase_add_test(c, bulk_members_are_cut_out);
    tcase_add_test(c, escaped_keys_are_the_same_keys);
    tcase_add_test(c, malformed_bodies_are_refused_with_the_byte);
    tcase_add_test(c, nul_bytes_are_refused);
    tcase_add_test(c, depth_is_limited);
    tcase_add_test(c, errors_behind_an_array_keep_their_byte);
    tcase_add_test(c, large_rests_never_reach_the_parser);
    tcase_add_test(c, typed_fields);
    tcase_add_test(c, unknown_names_suggest_the_nearest);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    srv_json_init();
    return hop_check_main(argc, argv, suite);
}
