/*
 * test_npy.c - NumPy files: what is taken, to the bit; what is refused, and what the refusal says.
 */
#include "store/npy.h"
#include "support/check_main.h"
#include "support/rng.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 8192 };

/* A file with this dictionary, padded as NumPy does; returns where the data starts. */
static size_t make_header(unsigned char *out, int version, const char *dictionary)
{
    size_t start = version == 1 ? 10 : 12, length = strlen(dictionary), total = (start + length + 1 + 63) / 64 * 64;
    memset(out, ' ', total);
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (unsigned char)version;
    out[7] = 0;
    out[8] = (unsigned char)((total - start) & 0xff);
    out[9] = (unsigned char)((total - start) >> 8);
    if (version != 1)
        out[10] = out[11] = 0;
    memcpy(out + start, dictionary, length);
    out[total - 1] = '\n';
    return total;
}

static size_t make_array(unsigned char *out, const char *descr, bool fortran, size_t rows, size_t columns)
{
    char dictionary[200];
    snprintf(dictionary, sizeof dictionary, "{'descr': '%s', 'fortran_order': %s, 'shape': (%zu, %zu), }", descr,
             fortran ? "True" : "False", rows, columns);
    return make_header(out, 1, dictionary);
}

START_TEST(every_dtype_and_order_is_read)
{
    enum { ROWS = 150, COLUMNS = 3 };
    static const char *const types[] = {"<f4", "<f8", "<f2", "|u1"};
    static const size_t bytes[] = {4, 8, 2, 1};
    for (unsigned t = 0; t < 4; t++) {
        for (unsigned fortran = 0; fortran < 2; fortran++) {
            unsigned char *file = malloc(ROOM);
            size_t start = make_array(file, types[t], fortran, ROWS, COLUMNS);
            for (size_t i = 0; i < ROWS; i++)
                for (size_t j = 0; j < COLUMNS; j++) {
                    size_t at = fortran ? j * ROWS + i : i * COLUMNS + j, value = (i * 7 + j * 31) % 251;
                    unsigned char *p = file + start + at * bytes[t];
                    float f4 = (float)value;
                    double f8 = (double)value;
                    /* value in [0, 250] as f2: a leading bit and 10 bits of fraction */
                    uint16_t f2 = 0;
                    for (unsigned e = 0; e < 8 && value > 0; e++)
                        if (value >> e == 1)
                            f2 = (uint16_t)((e + 15) << 10 | ((value << (10 - e)) & 0x3ff));
                    if (t == 0)
                        memcpy(p, &f4, 4);
                    else if (t == 1)
                        memcpy(p, &f8, 8);
                    else if (t == 2)
                        memcpy(p, &f2, 2);
                    else
                        *p = (unsigned char)value;
                }
            store_npy_header header;
            hop_error error = HOP_ERROR_NONE;
            ck_assert_msg(store_npy_header_parse(file, start, false, &header, &error) == HOP_OK, "%s", error.text);
            ck_assert_uint_eq(header.header_bytes, start);
            ck_assert_uint_eq(header.data_bytes, ROWS * COLUMNS * bytes[t]);
            ck_assert(header.rows == ROWS && header.columns == COLUMNS && header.fortran == fortran && !header.flat);
            /* In pieces, to cover the middle of a Fortran array. */
            static const size_t cuts[] = {0, 1, 70, ROWS};
            float rows[ROWS * COLUMNS];
            for (unsigned c = 0; c < 3; c++) {
                const unsigned char *data = file + start + (fortran ? 0 : cuts[c] * COLUMNS * bytes[t]);
                ck_assert_int_eq(
                    store_npy_rows(&header, data, cuts[c], cuts[c + 1] - cuts[c], rows + cuts[c] * COLUMNS, &error),
                    HOP_OK);
            }
            for (size_t i = 0; i < ROWS * COLUMNS; i++)
                ck_assert(rows[i] == (float)((i / COLUMNS * 7 + i % COLUMNS * 31) % 251));
            free(file);
        }
    }
}
END_TEST

START_TEST(every_half_is_widened_exactly)
{
    unsigned char file[ROOM];
    store_npy_header header;
    size_t start = make_array(file, "<f2", false, 1, 1);
    ck_assert_int_eq(store_npy_header_parse(file, start, false, &header, NULL), HOP_OK);
    for (uint32_t half = 0; half < 0x10000; half++) {
        unsigned char bytes[2] = {(unsigned char)(half & 0xff), (unsigned char)(half >> 8)};
        float got = 77;
        hop_error error = HOP_ERROR_NONE;
        hop_status status = store_npy_rows(&header, bytes, 5, 1, &got, &error);
        int exponent = (int)(half >> 10 & 0x1f);
        if (exponent == 31) {
            ck_assert_int_eq(status, HOP_E_DOMAIN);
            ck_assert(error.row == 5 && error.column == 0);
            continue;
        }
        double magnitude = exponent == 0 ? ldexp(half & 0x3ff, -24) : ldexp((half & 0x3ff) | 0x400, exponent - 25);
        ck_assert_int_eq(status, HOP_OK);
        ck_assert(got == (float)(half & 0x8000 ? -magnitude : magnitude));
        ck_assert_int_eq(signbit(got) != 0, (half & 0x8000) != 0);
    }
}
END_TEST

START_TEST(numbers_that_are_not_finite_are_named)
{
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, 1e39, -3.5e38};
    unsigned char file[ROOM];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (unsigned fortran = 0; fortran < 2; fortran++) {
            size_t start = make_array(file, "<f8", fortran, 3, 2);
            double values[6] = {0};
            values[fortran ? 1 * 3 + 2 : 2 * 2 + 1] = bad[i];
            store_npy_header header;
            hop_error error = HOP_ERROR_NONE;
            float rows[6];
            ck_assert_int_eq(store_npy_header_parse(file, start, false, &header, NULL), HOP_OK);
            ck_assert_int_eq(store_npy_rows(&header, values, 0, 3, rows, &error), HOP_E_DOMAIN);
            ck_assert(error.row == 2 && error.column == 1);
            ck_assert_ptr_nonnull(
                strstr(error.text, i == 0 ? "row 2, column 1: the number is NaN" : "infinite as f32"));
        }
    }
    /* Rounding to f32 is allowed, up and down. */
    size_t start = make_array(file, "<f8", false, 1, 3);
    double values[3] = {0.1, 1e-60, 3.4028235677973362e38};
    float rows[3];
    store_npy_header header;
    ck_assert_int_eq(store_npy_header_parse(file, start, false, &header, NULL), HOP_OK);
    ck_assert_int_eq(store_npy_rows(&header, values, 0, 1, rows, NULL), HOP_OK);
    ck_assert(rows[0] == 0.1f && rows[1] == 0 && rows[2] == FLT_MAX);
}
END_TEST

START_TEST(the_first_not_finite_number_is_found)
{
    float x[3000];
    for (size_t i = 0; i < 3000; i++)
        x[i] = i % 2 ? FLT_MAX : -1e-45f;
    ck_assert_uint_eq(store_first_not_finite(x, 3000), 3000);
    ck_assert_uint_eq(store_first_not_finite(x, 0), 0);
    for (size_t i = 2999; i < 3000; i -= 97) {
        x[i] = i % 3 ? (float)NAN : -(float)INFINITY;
        ck_assert_uint_eq(store_first_not_finite(x, 3000), i);
        ck_assert_uint_eq(store_first_not_finite(x, i), i);
    }
}
END_TEST

START_TEST(spellings_of_the_header)
{
    static const char *const good[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}",
        "{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<f4\"}",
        "  { 'shape' : ( 2 , 3 , ) , 'descr' :'<f4','fortran_order':False } \n ",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        for (int version = 1; version <= 2; version++) {
            unsigned char file[ROOM];
            size_t start = make_header(file, version, good[i]);
            store_npy_header header;
            hop_error error = HOP_ERROR_NONE;
            ck_assert_msg(store_npy_header_parse(file, start, false, &header, &error) == HOP_OK, "%s: %s", good[i],
                          error.text);
            ck_assert(header.rows == 2 && header.columns == 3 && header.type == STORE_NPY_F4);
            ck_assert_uint_eq(header.header_bytes, start);
            ck_assert_uint_eq(store_npy_header_need(file, start), start);
            ck_assert_uint_eq(store_npy_header_need(file, 12), start);
            ck_assert_uint_eq(store_npy_header_need(file, 11), 12);
            for (size_t n = 0; n < start; n++) /* every truncation */
                ck_assert_int_eq(store_npy_header_parse(file, n, false, &header, NULL), HOP_E_FORMAT);
        }
    }
}
END_TEST

START_TEST(bad_headers_are_refused)
{
    static const struct {
        const char *dictionary, *words;
    } cases[] = {
        {"", "a dictionary"},
        {"[]", "a dictionary"},
        {"{}", "'descr' is missing"},
        {"{'descr': '<f4', 'fortran_order': False}", "'shape' is missing"},
        {"{'descr': '<f4', 'shape': (1, 2)}", "'fortran_order' is missing"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}", "dtype '|O' is not taken (Python objects"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3)}", "dtype '>f4' is not taken"},
        {"{'descr': '<i8', 'fortran_order': False, 'shape': (2, 3)}", "dtype '<i8' is not taken"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (2, 3)}", "dtype '<c8'"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "structured dtypes"},
        {"{'descr': '<f4\\'', 'fortran_order': False, 'shape': (2, 3)}", "plain characters"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", "repeated key 'descr'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'x': 1}", "unknown key 'x'"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)}", "True or False"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': [2, 3]}", "a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3)}", "a size"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3.0)}", "',' or ')'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (02, 3)}", "leading zeros"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L)}", "',' or ')'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2)}", "',' or ')'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", "a size"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': ()}", "0 dimensions, 2 expected"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,)}", "1 dimension, 2 expected"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3)}", "3 dimensions, 2 expected"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999, 3)}", "too large"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 2)}", "too large"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (4611686018427387904, 2)}", "too large"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)} x", "something follows"},
        {"{'descr': '<f4', 'fortran_order': False 'shape': (2, 3)}", "',' or '}'"},
        {"{'descr' '<f4'}", "':' expected"},
        {"{'descr", "plain characters"},
        {"{'descr': __import__('os')}", "a string in quotes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char file[ROOM];
        size_t start = make_header(file, 1, cases[i].dictionary);
        store_npy_header header = {.rows = 77};
        hop_error error = HOP_ERROR_NONE;
        ck_assert_msg(store_npy_header_parse(file, start, false, &header, &error) == HOP_E_FORMAT, "%s",
                      cases[i].dictionary);
        ck_assert_msg(strstr(error.text, cases[i].words) != NULL, "%s: %s", cases[i].dictionary, error.text);
        ck_assert_uint_eq(header.rows, 77);
    }
}
END_TEST

START_TEST(bad_preambles_are_refused)
{
    unsigned char file[ROOM];
    size_t start = make_array(file, "<f4", false, 2, 3);
    store_npy_header header;
    hop_error error = HOP_ERROR_NONE;
    file[0] = 'x';
    ck_assert(!store_npy_magic(file, start));
    ck_assert_int_eq(store_npy_header_parse(file, start, false, &header, &error), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, "magic"));
    file[0] = 0x93;
    ck_assert(store_npy_magic(file, 6) && !store_npy_magic(file, 5));
    file[6] = 3;
    error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_npy_header_parse(file, start, false, &header, &error), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, "version 3.0"));
    ck_assert_int_eq(error.byte, 6);
    /* A huge header is refused by its length alone. */
    file[6] = 2;
    memset(file + 8, 0xff, 4);
    error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_npy_header_parse(file, start, false, &header, &error), HOP_E_FORMAT);
    ck_assert_double_eq(error.limit, STORE_NPY_HEADER_MAX);
    ck_assert_double_eq(error.actual, 4294967295.0 + 12);
    ck_assert_uint_eq(store_npy_header_need(file, start), (size_t)4294967295u + 12);
}
END_TEST

START_TEST(lying_shapes_state_both_lengths)
{
    unsigned char file[ROOM];
    size_t start = make_array(file, "<f4", false, 2, 3);
    store_npy_header header;
    ck_assert_int_eq(store_npy_header_parse(file, start, false, &header, NULL), HOP_OK);
    ck_assert_int_eq(store_npy_check_length(&header, start + 24, NULL), HOP_OK);
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_npy_check_length(&header, start + 23, &error), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, "truncated: a shape of 2 x 3 needs 24 bytes of data, there are 23"));
    error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_npy_check_length(&header, start + 28, &error), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, "too long: a shape of 2 x 3 needs 24 bytes of data, there are 28"));
    error = HOP_ERROR_NONE;
    ck_assert_int_eq(store_npy_check_length(&header, 0, &error), HOP_E_FORMAT);
}
END_TEST

START_TEST(one_dimension_is_one_row_where_allowed)
{
    unsigned char file[ROOM];
    size_t start = make_header(file, 1, "{'descr': '<f4', 'fortran_order': True, 'shape': (5,), }");
    store_npy_header header;
    ck_assert_int_eq(store_npy_header_parse(file, start, false, &header, NULL), HOP_E_FORMAT);
    ck_assert_int_eq(store_npy_header_parse(file, start, true, &header, NULL), HOP_OK);
    ck_assert(header.flat && header.rows == 1 && header.columns == 5 && !header.fortran);
}
END_TEST

START_TEST(written_headers_are_read)
{
    static const size_t shapes[][2] = {{0, 0}, {1, 1}, {1797, 64}, {1000000, 16}, {65536, 65536}, {(size_t)1 << 60, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        unsigned char file[STORE_NPY_WRITE_BYTES];
        store_npy_header header;
        hop_error error = HOP_ERROR_NONE;
        store_npy_header_write(file, shapes[i][0], shapes[i][1]);
        ck_assert_msg(store_npy_header_parse(file, sizeof file, false, &header, &error) == HOP_OK, "%s", error.text);
        ck_assert_uint_eq(header.header_bytes, STORE_NPY_WRITE_BYTES);
        ck_assert_uint_eq(header.rows, shapes[i][0]);
        ck_assert_uint_eq(header.columns, shapes[i][1]);
        ck_assert(header.type == STORE_NPY_F4 && !header.fortran && file[6] == 1 && file[7] == 0);
        ck_assert_int_eq(file[STORE_NPY_WRITE_BYTES - 1], '\n');
    }
}
END_TEST

START_TEST(damaged_headers_never_read_beyond)
{
    test_rng rng;
    test_rng_init(&rng, test_seed(0xdead), 0);
    for (int i = 0; i < 20000; i++) {
        unsigned char whole[ROOM];
        size_t start = make_array(whole, "<f2", i & 1, 12, 34), n = test_rng_below(&rng, start + 1);
        for (size_t flips = 1 + test_rng_below(&rng, 3); flips > 0; flips--)
            whole[test_rng_below(&rng, start)] = (unsigned char)test_rng_next(&rng);
        unsigned char *exact = malloc(n > 0 ? n : 1); /* a sanitizer sees every byte beyond it */
        memcpy(exact, whole, n);
        store_npy_header header;
        if (store_npy_header_parse(exact, n, i & 2, &header, NULL) == HOP_OK) {
            ck_assert_uint_le(header.header_bytes, n);
            ck_assert_uint_eq(header.data_bytes, header.rows * header.columns * header.element_bytes);
        }
        free(exact);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("npy");
    TCase *c = tcase_create("npy");
    tcase_add_test(c, every_dtype_and_order_is_read);
    tcase_add_test(c, every_half_is_widened_exactly);
    tcase_add_test(c, numbers_that_are_not_finite_are_named);
    tcase_add_test(c, the_first_not_finite_number_is_found);
    tcase_add_test(c, spellings_of_the_header);
    tcase_add_test(c, bad_headers_are_refused);
    tcase_add_test(c, bad_preambles_are_refused);
    tcase_add_test(c, lying_shapes_state_both_lengths);
    tcase_add_test(c, one_dimension_is_one_row_where_allowed);
    tcase_add_test(c, written_headers_are_read);
    tcase_add_test(c, damaged_headers_never_read_beyond);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, suite);
}
