/*
 * test_base64.c - strict base64: what is taken, what is refused and where.
 */
#include "server/base64.h"
#include "support/check_main.h"
#include "support/rng.h"

#include <stdlib.h>
#include <string.h>

static hop_status decode(const char *text, char *out, size_t *length, hop_error *error)
{
    *error = HOP_ERROR_NONE;
    return srv_base64_decode(text, strlen(text), out, length, error);
}

START_TEST(known_texts)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xff\xfe\xfb", "//77"},
                                           {"\xfb\xef\xbe", "++++"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char bytes[16], text[16];
        size_t length, expected;
        hop_error error;
        ck_assert_int_eq(decode(pairs[i][1], bytes, &length, &error), HOP_OK);
        ck_assert_uint_eq(length, strlen(pairs[i][0]));
        ck_assert_mem_eq(bytes, pairs[i][0], length);
        ck_assert(srv_base64_encoded_length(length, &expected));
        ck_assert_uint_eq(expected, strlen(pairs[i][1]));
        ck_assert_ptr_eq(srv_base64_encode(text, bytes, length), text + expected);
        ck_assert_mem_eq(text, pairs[i][1], expected);
    }
    size_t length = 7;
    ck_assert(!srv_base64_encoded_length(SIZE_MAX, &length));
    ck_assert_uint_eq(length, 7);
}
END_TEST

START_TEST(bad_characters_are_named)
{
    static const struct {
        const char *text;
        int64_t byte;
        const char *words;
    } cases[] = {
        {"Zg", 2, "multiple of 4"},
        {"Zg=", 3, "multiple of 4"},
        {"Z===", 1, "padding before the end"},
        {"====", 0, "padding before the end"},
        {"Zg==Zg==", 2, "padding before the end"},
        {"Zm9v Zm9", 4, "byte value 32"},
        {"Zm9v\nZm9", 4, "byte value 10"},
        {"Zm-v", 2, "'-'"},
        {"Zm_vZm9v", 2, "'_'"},
        {"Zm9vZ\xc3\xa9==", 5, "byte value 195"},
        {"Zm9*Z", 3, "'*'"},
        {"Zm9vZm9vZ*==", 9, "'*'"},
        {"Zh==", 1, "bits beyond the last byte"},
        {"Zm9vZm9=", 6, "bits beyond the last byte"},
        {"Zg=A", 2, "padding before the end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char bytes[16];
        size_t length = 99;
        hop_error error;
        ck_assert_msg(decode(cases[i].text, bytes, &length, &error) == HOP_E_FORMAT, "%s", cases[i].text);
        ck_assert_msg(error.byte == cases[i].byte, "%s: byte %lld", cases[i].text, (long long)error.byte);
        ck_assert_msg(strstr(error.text, cases[i].words) != NULL, "%s: %s", cases[i].text, error.text);
        ck_assert_uint_eq(length, 99);
    }
}
END_TEST

START_TEST(bytes_survive_the_round_trip)
{
    test_rng rng;
    test_rng_init(&rng, test_seed(0xb64), 0);
    for (size_t n = 0; n < 300; n++) {
        unsigned char *sent = malloc(n + 1), *got = malloc(n + 3);
        size_t characters = 0, length = 0;
        for (size_t i = 0; i < n; i++)
            sent[i] = (unsigned char)test_rng_next(&rng);
        ck_assert(srv_base64_encoded_length(n, &characters));
        char *text = malloc(characters + 1);
        srv_base64_encode(text, sent, n);
        ck_assert_uint_le(n, srv_base64_decoded_max(characters));
        ck_assert_int_eq(srv_base64_decode(text, characters, got, &length, NULL), HOP_OK);
        ck_assert_uint_eq(length, n);
        ck_assert_mem_eq(got, sent, n);
        free(text);
        free(sent);
        free(got);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("base64");
    TCase *c = tcase_create("base64");
    tcase_add_test(c, known_texts);
    tcase_add_test(c, bad_characters_are_named);
    tcase_add_test(c, bytes_survive_the_round_trip);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, suite);
}
