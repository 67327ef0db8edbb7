/*
 * test_numbers.c - arrays of numbers in JSON text: what is read, what is refused and where, and the round trip.
 */
#include "server/numbers.h"
#include "support/check_main.h"
#include "support/rng.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static float f32_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static const srv_numbers_limits plenty = {
    .name = "queries", .flat = true, .rows = 1000, .columns = 1000, .bytes = 1 << 20, .bytes_status = HOP_E_LIMIT};

static hop_status read_array(const char *text, const srv_numbers_limits *limits, srv_numbers *out, size_t *end,
                             hop_error *error)
{
    *error = HOP_ERROR_NONE;
    return srv_numbers_read(text, strlen(text), 0, limits, end, out, error);
}

START_TEST(arrays_are_read)
{
    static const struct {
        const char *text;
        size_t rows, columns, end;
        float first, last;
    } cases[] = {
        {"[[1,2],[3,4]]", 2, 2, 13, 1, 4},
        {" [ [ 1 ,\n2 ] , [3\t,-4e0]\r] ,", 2, 2, 26, 1, -4},
        {"[1,2,3.5]", 1, 3, 9, 1, 3.5f},
        {"[[0.25]]x", 1, 1, 8, 0.25f, 0.25f},
        {"[]", 0, 0, 2, 0, 0},
        {"[ ]", 0, 0, 3, 0, 0},
        {"[[]]", 1, 0, 4, 0, 0},
        {"[[],[ ]]", 2, 0, 8, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        srv_numbers got;
        hop_error error = HOP_ERROR_NONE;
        const char *text = cases[i].text;
        size_t end, skip = text[0] == ' ';
        ck_assert_msg(srv_numbers_read(text, strlen(text), skip, &plenty, &end, &got, &error) == HOP_OK, "%s: %s", text,
                      error.text);
        ck_assert_uint_eq(got.rows, cases[i].rows);
        ck_assert_uint_eq(got.columns, cases[i].columns);
        ck_assert_uint_eq(end, cases[i].end);
        if (got.rows * got.columns > 0) {
            ck_assert(got.data[0] == cases[i].first);
            ck_assert(got.data[got.rows * got.columns - 1] == cases[i].last);
        } else {
            ck_assert_ptr_null(got.data);
        }
        free(got.data);
    }
}
END_TEST

START_TEST(bad_arrays_name_the_place)
{
    static const struct {
        const char *text;
        hop_status status;
        int64_t row, column, byte;
        const char *words;
    } cases[] = {
        {"[[1,2],[3]]", HOP_E_SHAPE, 1, -1, -1, "row 1 has 1 numbers, row 0 has 2"},
        {"[[1],[2],[3,4]]", HOP_E_SHAPE, 2, -1, -1, "row 2 has 2 numbers, row 0 has 1"},
        {"[[1],[]]", HOP_E_SHAPE, 1, -1, -1, "row 1 has 0 numbers"},
        {"[[1,NaN]]", HOP_E_FORMAT, 0, 1, 4, "NaN is not a number in JSON"},
        {"[[1,2],[-Infinity,2]]", HOP_E_FORMAT, 1, 0, 8, "-Infinity is not a number in JSON"},
        {"[[1,null]]", HOP_E_FORMAT, 0, 1, 4, "null is not"},
        {"[[true]]", HOP_E_FORMAT, 0, 0, 2, "true is not"},
        {"[[1,\"2\"]]", HOP_E_FORMAT, 0, 1, 4, "a string where a number should be"},
        {"[[1,[2]]]", HOP_E_FORMAT, 0, 1, 4, "an array where a number should be"},
        {"[[1,{}]]", HOP_E_FORMAT, 0, 1, 4, "an object where a number should be"},
        {"[[1,]]", HOP_E_FORMAT, 0, 1, 4, "a number is missing"},
        {"[[,1]]", HOP_E_FORMAT, 0, 0, 2, "a number is missing"},
        {"[[1 2]]", HOP_E_FORMAT, 0, -1, 4, "',' or ']' expected"},
        {"[[01]]", HOP_E_FORMAT, 0, 0, 3, "at '1'"},
        {"[[+1]]", HOP_E_FORMAT, 0, 0, 2, "at '+'"},
        {"[[.5]]", HOP_E_FORMAT, 0, 0, 2, "at '.'"},
        {"[[1.]]", HOP_E_FORMAT, 0, 0, 4, "at ']'"},
        {"[[0x10]]", HOP_E_FORMAT, 0, -1, 3, "',' or ']' expected"},
        {"[[1e400]]", HOP_E_FORMAT, 0, 0, 2, "beyond the range of f64"},
        {"[[1,1e39]]", HOP_E_DOMAIN, 0, 1, 4, "beyond the range of f32"},
        {"[[1],2]", HOP_E_FORMAT, 1, -1, 5, "a row in brackets"},
        {"[1,[2]]", HOP_E_FORMAT, 0, 1, 3, "an array where"},
        {"[[1],", HOP_E_FORMAT, 1, -1, 5, "but the text ends"},
        {"[[1", HOP_E_FORMAT, 0, -1, 3, "but the text ends"},
        {"[[", HOP_E_FORMAT, 0, 0, 2, "ends too early"},
        {"[", HOP_E_FORMAT, 0, 0, 1, "ends too early"},
        {"[[\x80]]", HOP_E_FORMAT, 0, 0, 2, "byte value 128"},
        {"[[1]}", HOP_E_FORMAT, 1, -1, 4, "',' or ']' expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        srv_numbers got = {.rows = 77};
        hop_error error;
        size_t end = 77;
        ck_assert_msg(read_array(cases[i].text, &plenty, &got, &end, &error) == cases[i].status, "%s: %s",
                      cases[i].text, error.text);
        ck_assert_int_eq(error.status, cases[i].status);
        ck_assert_msg(error.row == cases[i].row && error.column == cases[i].column, "%s: row %lld, column %lld",
                      cases[i].text, (long long)error.row, (long long)error.column);
        if (cases[i].status != HOP_E_DOMAIN)
            ck_assert_msg(error.byte == cases[i].byte, "%s: byte %lld", cases[i].text, (long long)error.byte);
        ck_assert_msg(strstr(error.text, cases[i].words) != NULL, "%s: %s", cases[i].text, error.text);
        ck_assert_msg(strncmp(error.text, "queries: ", 9) == 0, "%s", error.text);
        ck_assert_uint_eq(got.rows, 77); /* outputs are written on success only */
        ck_assert_uint_eq(end, 77);
    }
}
END_TEST

START_TEST(limits_hold)
{
    srv_numbers_limits limits = {
        .name = "memories", .rows = 2, .columns = 2, .bytes = 12, .bytes_status = HOP_E_BUDGET};
    srv_numbers got;
    hop_error error;
    size_t end;
    ck_assert_int_eq(read_array("[[1],[2],[3]]", &limits, &got, &end, &error), HOP_E_LIMIT);
    ck_assert(error.limit == 2 && error.actual == 3 && error.row == 2);
    ck_assert_int_eq(read_array("[[1],[2],[3],[4] , [5]],[[[6]]]", &limits, &got, &end, &error), HOP_E_LIMIT);
    ck_assert(error.limit == 2 && error.actual == 5);
    ck_assert_int_eq(read_array("[[1,2,3]]", &limits, &got, &end, &error), HOP_E_LIMIT);
    ck_assert(error.limit == 2 && error.actual == 3 && error.row == 0);
    ck_assert_int_eq(read_array("[[1,2],[3,4]]", &limits, &got, &end, &error), HOP_E_BUDGET);
    ck_assert_double_eq(error.limit, 12);
    ck_assert_int_eq(read_array("[1,2]", &limits, &got, &end, &error), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, "a list of rows"));
    limits.bytes = 16;
    ck_assert_int_eq(read_array("[[1,2],[3,4]]", &limits, &got, &end, &error), HOP_OK);
    free(got.data);
}
END_TEST

START_TEST(rows_survive_the_round_trip)
{
    test_rng rng;
    test_rng_init(&rng, test_seed(0x7219), 0);
    for (int round = 0; round < 200; round++) {
        size_t rows = 1 + test_rng_below(&rng, 20), columns = 1 + test_rng_below(&rng, 40), used = 0;
        float *sent = malloc(rows * columns * sizeof *sent);
        char *text = malloc(rows * (srv_row_text_max(columns) + 1) + 2), *p = text;
        for (size_t i = 0; i < rows * columns; i++)
            do
                sent[i] = f32_of((uint32_t)test_rng_next(&rng));
            while (!isfinite(sent[i]));
        *p++ = '[';
        for (size_t i = 0; i < rows; i++) {
            char *start = p;
            p = srv_row_write(p, columns, sent + i * columns);
            ck_assert_uint_le((size_t)(p - start), srv_row_text_max(columns));
            *p++ = i + 1 < rows ? ',' : ']';
        }
        *p = '\0';
        srv_numbers got;
        hop_error error;
        ck_assert_msg(read_array(text, &plenty, &got, &used, &error) == HOP_OK, "%s", error.text);
        ck_assert_uint_eq(got.rows, rows);
        ck_assert_uint_eq(got.columns, columns);
        ck_assert_mem_eq(got.data, sent, rows * columns * sizeof *sent);
        free(got.data);
        free(sent);
        free(text);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("numbers");
    TCase *arrays = tcase_create("arrays");
    tcase_add_test(arrays, arrays_are_read);
    tcase_add_test(arrays, bad_arrays_name_the_place);
    tcase_add_test(arrays, limits_hold);
    tcase_add_test(arrays, rows_survive_the_round_trip);
    suite_add_tcase(s, arrays);
    return s;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, suite);
}
