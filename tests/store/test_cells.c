/*
 * test_cells.c - elements to their places: any cuts of the bytes give the same rows, and the same first bad number.
 */
#include "store/cells.h"
#include "support/check_main.h"
#include "support/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 37, COLUMNS = 5, CELLS = ROWS * COLUMNS };

static const store_npy_type types[] = {STORE_NPY_F4, STORE_NPY_F8, STORE_NPY_F2, STORE_NPY_U1};

/* The bytes of the rows in that type and order. Values are whole numbers from 0 to 63. */
static size_t encode(store_npy_type type, bool fortran, float *rows, unsigned char *out)
{
    size_t element = store_npy_element_bytes(type);
    for (size_t i = 0; i < CELLS; i++) {
        size_t at = fortran ? i % COLUMNS * ROWS + i / COLUMNS : i, value = i * 29 % 64;
        rows[i] = (float)value;
        double f8 = (double)value;
        uint16_t f2 = 0;
        for (unsigned e = 0; e < 8 && value > 0; e++)
            if (value >> e == 1)
                f2 = (uint16_t)((e + 15) << 10 | ((value << (10 - e)) & 0x3ff));
        unsigned char byte = (unsigned char)value;
        const void *from[] = {&rows[i], &f8, &f2, &byte};
        memcpy(out + at * element, from[type], element);
    }
    return CELLS * element;
}

static store_cells start(store_npy_type type, bool fortran, float *out)
{
    store_cells cells = store_cells_start("rows", type, ROWS, COLUMNS, out);
    cells.fortran = fortran;
    return cells;
}

START_TEST(any_cuts_give_the_same_rows)
{
    test_rng rng;
    test_rng_init(&rng, 51, 0);
    for (unsigned t = 0; t < 4; t++)
        for (unsigned fortran = 0; fortran < 2; fortran++)
            for (unsigned round = 0; round < 40; round++) {
                float rows[CELLS], out[CELLS];
                unsigned char bytes[CELLS * 8];
                size_t n = encode(types[t], fortran, rows, bytes), most = round == 0 ? 1 : 1 + round * round;
                store_cells cells = start(types[t], fortran, out);
                for (size_t at = 0; at < n;) {
                    ck_assert_uint_eq(store_cells_left(&cells), n - at);
                    size_t piece = 1 + test_rng_below(&rng, most);
                    piece = piece < n - at ? piece : n - at;
                    /* From a block of its own: a sanitizer sees what is read beyond. */
                    unsigned char *copy = malloc(piece);
                    memcpy(copy, bytes + at, piece);
                    hop_error error = HOP_ERROR_NONE;
                    ck_assert_msg(store_cells_feed(&cells, copy, piece, &error) == HOP_OK, "%s", error.text);
                    free(copy);
                    at += piece;
                }
                ck_assert_uint_eq(store_cells_left(&cells), 0);
                ck_assert_mem_eq(out, rows, sizeof rows);
            }
}
END_TEST

START_TEST(nothing_is_taken_from_an_empty_piece)
{
    float out[CELLS];
    store_cells cells = start(STORE_NPY_F8, false, out);
    ck_assert_int_eq(store_cells_feed(&cells, "", 0, NULL), HOP_OK);
    ck_assert_uint_eq(store_cells_left(&cells), CELLS * 8);
}
END_TEST

/* The error of bytes in pieces of at most so many. */
static hop_error refusal(store_cells *cells, const unsigned char *bytes, size_t n, size_t most)
{
    hop_error error = HOP_ERROR_NONE;
    hop_status status = HOP_OK;
    for (size_t at = 0; at < n && status == HOP_OK; at += most)
        status = store_cells_feed(cells, bytes + at, n - at < most ? n - at : most, &error);
    ck_assert_int_eq(status, HOP_E_DOMAIN);
    return error;
}

START_TEST(the_first_bad_number_is_named_by_its_place_in_the_file)
{
    static const size_t cuts[] = {1, 3, 64, CELLS * 8};
    for (unsigned t = 0; t < 3; t++)
        for (unsigned fortran = 0; fortran < 2; fortran++)
            for (unsigned c = 0; c < 4; c++) {
                float rows[CELLS], out[CELLS];
                unsigned char bytes[CELLS * 8];
                size_t n = encode(types[t], fortran, rows, bytes), element = n / CELLS;
                /* In the order of arrival (3, 30) comes after (30, 2) exactly where columns come first. */
                size_t bad[2] = {fortran ? 2 * ROWS + 30 : 30 * COLUMNS + 2, fortran ? 4 * ROWS + 3 : 3 * COLUMNS + 4};
                for (unsigned i = 0; i < 2; i++)
                    memset(bytes + bad[i] * element, 0xff, element); /* NaN */
                store_cells cells = start(types[t], fortran, out);
                cells.first_row = 1000;
                hop_error error = refusal(&cells, bytes, n, cuts[c]);
                ck_assert_int_eq(error.row, 1000 + (fortran ? 30 : 3));
                ck_assert_int_eq(error.column, fortran ? 2 : 4);
                ck_assert_str_eq(error.text, fortran ? "rows: row 1030, column 2: the number is NaN"
                                                     : "rows: row 1003, column 4: the number is NaN");
            }
}
END_TEST

START_TEST(what_is_too_large_for_f32_is_infinite)
{
    double one = 1e39;
    float out;
    hop_error error = HOP_ERROR_NONE;
    store_cells cells = store_cells_start("rows", STORE_NPY_F8, 1, 1, &out);
    ck_assert_int_eq(store_cells_feed(&cells, &one, sizeof one, &error), HOP_E_DOMAIN);
    ck_assert_str_eq(error.text, "rows: row 0, column 0: the number is infinite as f32");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cells");
    TCase *c = tcase_create("cells");
    tcase_add_test(c, any_cuts_give_the_same_rows);
    tcase_add_test(c, nothing_is_taken_from_an_empty_piece);
    tcase_add_test(c, the_first_bad_number_is_named_by_its_place_in_the_file);
    tcase_add_test(c, what_is_too_large_for_f32_is_infinite);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, suite);
}
