/*
 * test_text.c - the growing text: its maximum, its sticky failure, and JSON strings from hostile bytes.
 */
#include "server/text.h"
#include "support/check_main.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

START_TEST(maximum_is_kept_and_failure_sticks)
{
    srv_text text;
    srv_text_init(&text, 5);
    srv_text_puts(&text, "abc");
    srv_text_puts(&text, "de");
    ck_assert(!text.failed);
    ck_assert_str_eq(text.data, "abcde");
    srv_text_putc(&text, 'f');
    ck_assert(text.failed);
    ck_assert(!text.no_memory);
    ck_assert_uint_eq(text.used, 5);
    srv_text_append(&text, "", 0);
    ck_assert(text.failed);
    srv_text_fini(&text);
}
END_TEST

START_TEST(grows_and_formats)
{
    srv_text text;
    srv_text_init(&text, 1 << 20);
    for (int i = 0; i < 10000; i++)
        srv_text_printf(&text, "%05d,", i);
    ck_assert_uint_eq(text.used, 60000);
    ck_assert_mem_eq(text.data + 59994, "09999,", 7);
    char *room = srv_text_reserve(&text, 3);
    memcpy(room, "end", 3);
    srv_text_commit(&text, 3);
    ck_assert_str_eq(text.data + 60000, "end");
    srv_text_fini(&text);
    srv_text_fini(&text);
}
END_TEST

static const struct {
    const char *bytes;
    size_t n;
    const char *json;
} strings[] = {
    {"plain", 5, "\"plain\""},
    {"", 0, "\"\""},
    {"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
    {"\n\x01\x7f", 3, "\"\\u000a\\u0001\\u007f\""},
    {"a\0b", 3, "\"a\\u0000b\""},
    {"h\xc3\xa9", 3, "\"h\xc3\xa9\""},
    {"\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\""},
    {"\xff", 1, "\"\xEF\xBF\xBD\""},
    {"x\xc3", 2, "\"x\xEF\xBF\xBD\""},                                               /* cut in the middle */
    {"\xc0\xaf", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},                                 /* overlong '/' */
    {"\xed\xa0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},                 /* a surrogate */
    {"\xf4\x90\x80\x80", 4, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""}, /* beyond U+10FFFF */
};

START_TEST(json_strings)
{
    srv_text text;
    srv_text_init(&text, 1000);
    srv_text_json_string_n(&text, strings[_i].bytes, strings[_i].n);
    ck_assert_str_eq(text.data, strings[_i].json);
    srv_text_fini(&text);
}
END_TEST

START_TEST(json_numbers_read_back)
{
    static const double values[] = {0, 1, -1, 0.1, 1.0 / 3, 1e300, 5e-324, 67108864, 123456789012345678.0};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        srv_text text;
        srv_text_init(&text, 100);
        srv_text_json_number(&text, values[i]);
        double back = 0;
        ck_assert_int_eq(sscanf(text.data, "%lf", &back), 1);
        ck_assert(back == values[i]);
        srv_text_fini(&text);
    }
    srv_text text;
    srv_text_init(&text, 100);
    srv_text_json_number(&text, (double)NAN);
    srv_text_json_number(&text, -(double)INFINITY);
    srv_text_json_string(&text, NULL);
    ck_assert_str_eq(text.data, "nullnullnull");
    srv_text_fini(&text);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("text");
    TCase *tests = tcase_create("text");
    tcase_add_test(tests, maximum_is_kept_and_failure_sticks);
    tcase_add_test(tests, grows_and_formats);
    tcase_add_loop_test(tests, json_strings, 0, (int)(sizeof strings / sizeof *strings));
    tcase_add_test(tests, json_numbers_read_back);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
