/*
 * test_decimal.c - one number as text: shortest out, strict in. HOPFIELDD_TEST_EXHAUSTIVE=1 checks
 * the f32 writer on all 2^32 patterns (about half an hour).
 */
#include "server/decimal.h"
#include "support/check_main.h"
#include "support/rng.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool exhaustive(void)
{
    const char *value = getenv("HOPFIELDD_TEST_EXHAUSTIVE");
    return value && strcmp(value, "1") == 0;
}

static float f32_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Significant digits of a written number: D x 10^k, D without trailing zeros, n digits. */
typedef struct written {
    uint64_t D;
    int k, n;
} written;

static written parse_written(const char *text)
{
    written w = {0, 0, 0};
    bool point = false;
    int zeros = 0; /* seen since the last digit that is not 0 */
    for (; *text && *text != 'e'; text++) {
        if (*text == '.') {
            point = true;
        } else if (*text >= '0' && *text <= '9') {
            w.k -= point;
            zeros += *text == '0';
            if (*text == '0')
                continue;
            for (; zeros > 0; zeros--)
                w.D *= 10;
            w.D = w.D * 10 + (uint64_t)(*text - '0');
        }
    }
    w.k += zeros + (*text == 'e' ? atoi(text + 1) : 0);
    for (uint64_t D = w.D; D > 0; D /= 10)
        w.n++;
    return w;
}

/* Reads back to v both directly and by way of f64. */
static bool reads_to(const char *text, float v)
{
    return strtof(text, NULL) == v && (float)strtod(text, NULL) == v;
}

/* By printf and strtof alone: no decimal with fewer digits reads back to v, and none with as many is nearer. */
static void check_shortest_exactly(float v, const char *text, written w)
{
    char other[48];
    if (w.n > 1) {
        for (uint64_t D = w.D / 10 > 0 ? w.D / 10 - 1 : 0; D <= w.D / 10 + 2; D++) {
            snprintf(other, sizeof other, "%llue%d", (unsigned long long)D, w.k + 1);
            ck_assert_msg(!reads_to(other, v), "%s is longer than %s", text, other);
        }
    }
    snprintf(other, sizeof other, "%.*e", w.n - 1, (double)v);
    if (reads_to(other, v)) {
        written nearest = parse_written(other);
        ck_assert_msg(nearest.D == w.D && nearest.k == w.k, "%s is not as near as %s", text, other);
    }
}

/* 10^k in long double, |k| <= 60. Each is within a few units of 2^-64. */
static long double power_of_ten(int k)
{
    static long double table[121];
    if (table[60] == 0)
        for (int i = -60; i <= 60; i++) {
            char text[16];
            snprintf(text, sizeof text, "1e%d", i);
            table[i + 60] = strtold(text, NULL);
        }
    return table[k + 60];
}

/* The same in long double where that decides: true. Otherwise false, and the exact check has to. */
static bool surely_shortest(uint32_t bits, written w)
{
    const long double doubt = 1e-16L;
    long double v = f32_of(bits), down = f32_of(bits - 1), up = bits == 0x7f7fffff ? 0x1p128L : f32_of(bits + 1);
    long double low = (v + down) / 2, high = (v + up) / 2;
    if (w.n > 1) {
        long double unit = power_of_ten(w.k + 1);
        long double below = (long double)(w.D / 10) * unit, above = (long double)(w.D / 10 + 1) * unit;
        if (below > low * (1 - doubt) || above < high * (1 + doubt))
            return false;
    }
    return fabsl((long double)w.D * power_of_ten(w.k) - v) < power_of_ten(w.k) * 0.499999L;
}

/* bits: a positive finite f32. */
static void check_f32(uint32_t bits, bool exactly)
{
    float v = f32_of(bits), read = 0;
    char text[SRV_F32_TEXT_MAX + 1], negative[SRV_F32_TEXT_MAX + 1];
    *srv_f32_write(text, v) = '\0';
    *srv_f32_write(negative, -v) = '\0';
    size_t length = strlen(text);
    if (negative[0] != '-' || strcmp(negative + 1, text) != 0 || strlen(negative) >= SRV_F32_TEXT_MAX)
        ck_abort_msg("%s and %s", text, negative);
    if (bits_of(strtof(text, NULL)) != bits || bits_of((float)strtod(text, NULL)) != bits)
        ck_abort_msg("%s does not read back to %08x", text, bits);
    const char *stop;
    if (srv_f32_read(text, text + length, &stop, &read) != SRV_DECIMAL_OK || stop != text + length ||
        bits_of(read) != bits)
        ck_abort_msg("%s is not read to %08x by srv_f32_read", text, bits);
    written w = parse_written(text);
    if (exactly || !surely_shortest(bits, w))
        check_shortest_exactly(v, text, w);
}

START_TEST(f32_writes_the_shortest_text)
{
    enum { LAST = 0x7f7fffff };
    if (exhaustive()) {
        for (uint32_t bits = 1; bits <= LAST; bits++) {
            check_f32(bits, false);
            if (bits % (1u << 28) == 0)
                hop_check_note("%u of 8 parts", (unsigned)(bits >> 28));
        }
        return;
    }
    uint32_t stride = hop_check_fast() ? 100003 : 8209;
    for (uint32_t bits = 1; bits <= LAST - stride; bits += stride)
        check_f32(bits, true);
    for (uint32_t bits = 1; bits < 3000; bits++) /* subnormals */
        check_f32(bits, true);
    for (uint32_t field = 1; field < 255; field++) /* powers of two, where the interval is lopsided */
        for (uint32_t near = 0; near < 7; near++)
            check_f32((field << 23) + near - 3, true);
    check_f32(LAST, true);
    check_f32(0x15ae43fd, true); /* 7.038531e-26 would do, but for readers that go by way of f64 */
}
END_TEST

START_TEST(f32_texts_are_the_usual_ones)
{
    static const struct {
        float value;
        const char *text;
    } cases[] = {
        {0.0f, "0"},
        {-0.0f, "-0.0"},
        {1.0f, "1"},
        {-2.5f, "-2.5"},
        {0.1f, "0.1"},
        {16777216.0f, "16777216"},
        {1e-3f, "1e-3"},
        {0.01f, "0.01"},
        {100.0f, "100"},
        {1e10f, "1e10"},
        {123e8f, "1.23e10"},
        {1.4e-45f, "1e-45"},
        {FLT_MAX, "3.4028235e38"},
        {FLT_MIN, "1.1754944e-38"},
        {0.0001234f, "1.234e-4"},
        {(float)NAN, "null"},
        {(float)INFINITY, "null"},
        {-(float)INFINITY, "null"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[SRV_F32_TEXT_MAX + 1];
        *srv_f32_write(text, cases[i].value) = '\0';
        ck_assert_str_eq(text, cases[i].text);
    }
}
END_TEST

static void check_f64(double v)
{
    char text[SRV_F64_TEXT_MAX + 1];
    *srv_f64_write(text, v) = '\0';
    ck_assert_uint_lt(strlen(text), SRV_F64_TEXT_MAX);
    ck_assert_msg(strtod(text, NULL) == v && signbit(strtod(text, NULL)) == signbit(v), "%s is not %.17g", text, v);
    const char *stop;
    double read = 0;
    ck_assert_int_eq(srv_f64_read(text, text + strlen(text), &stop, &read), SRV_DECIMAL_OK);
    ck_assert_msg(read == v && *stop == '\0', "%s is not read to %.17g", text, v);
    written w = parse_written(text);
    for (int n = 1; n < w.n; n++) {
        char shorter[48];
        snprintf(shorter, sizeof shorter, "%.*e", n - 1, v);
        ck_assert_msg(strtod(shorter, NULL) != v, "%s is longer than %s", text, shorter);
    }
}

START_TEST(f64_reads_back)
{
    test_rng rng;
    test_rng_init(&rng, test_seed(0x6634), 0);
    static const double cases[] = {0.0,    -0.0,    1.0,     0.1,         1.0 / 3,     1e300,
                                   5e-324, DBL_MAX, DBL_MIN, DBL_EPSILON, 123.0,       1e15,
                                   1e22,   1e23,    -2.5e-7, 0x1p-1074,   0x1.8p-1073, 9007199254740993.0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_f64(cases[i]);
    for (int i = 0; i < 5000; i++) {
        uint64_t bits = test_rng_next(&rng);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (isfinite(v))
            check_f64(v);
        check_f64(test_rng_log(&rng, 1e-10, 1e10));
    }
    char text[SRV_F64_TEXT_MAX + 1];
    *srv_f64_write(text, (double)NAN) = '\0';
    ck_assert_str_eq(text, "null");
}
END_TEST

START_TEST(u64_is_written_whole)
{
    static const uint64_t cases[] = {0, 7, 10, 99, 1000000, UINT64_MAX};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[SRV_U64_TEXT_MAX + 1];
        *srv_u64_write(text, cases[i]) = '\0';
        ck_assert_uint_eq(strtoull(text, NULL, 10), cases[i]);
        ck_assert(text[0] != '0' || text[1] == '\0');
    }
}
END_TEST

static double written_bound(double bound, double cap, char text[SRV_F64_TEXT_MAX + 1])
{
    *srv_bound_write(text, bound, cap) = '\0';
    return strtod(text, NULL);
}

START_TEST(bounds_are_rounded_up)
{
    test_rng rng;
    test_rng_init(&rng, test_seed(0xb0d), 0);
    char text[SRV_F64_TEXT_MAX + 1];
    for (int i = 0; i < 20000; i++) {
        double bound = i % 2 ? test_rng_log(&rng, 1e-160, 1e140) : test_rng_log(&rng, 1e-9, 1e3);
        double read = written_bound(bound, (double)INFINITY, text);
        ck_assert_msg(read >= bound, "%s is below %.17g", text, bound);
        ck_assert_msg(parse_written(text).n <= 3, "%s for %.17g", text, bound);
        ck_assert_msg(read <= bound * 1.011, "%s is far above %.17g", text, bound);

        double cap = bound * (1 + test_rng_unit(&rng) * 1e-3);
        read = written_bound(bound, cap, text);
        ck_assert_msg(read >= bound && read <= cap, "%s is not in [%.17g, %.17g]", text, bound, cap);
        read = written_bound(bound, bound, text);
        ck_assert_msg(read == bound, "%s is not %.17g", text, bound);
        read = written_bound(bound, bound / 2, text);
        ck_assert(read >= bound);
    }
    ck_assert_double_eq(written_bound(0, 0, text), 0);
    ck_assert_str_eq(text, "0");
    written_bound(9.991, 100, text);
    ck_assert_str_eq(text, "10");
    written_bound(1e-3, 1e-3, text);
    ck_assert_str_eq(text, "1e-3");
    ck_assert(written_bound(5e-324, (double)INFINITY, text) == 5e-324);
    ck_assert(written_bound(DBL_MAX, (double)INFINITY, text) == DBL_MAX);
}
END_TEST

/* ---- reading one number -------------------------------------------------------------------------------- */

static void check_read(const char *text)
{
    const char *stop;
    float value = 0;
    double wide = strtod(text, NULL), read = 0;
    srv_decimal expected = isinf(wide)          ? SRV_DECIMAL_BEYOND_F64
                           : isinf((float)wide) ? SRV_DECIMAL_BEYOND_F32
                                                : SRV_DECIMAL_OK;
    srv_decimal got = srv_f32_read(text, text + strlen(text), &stop, &value);
    ck_assert_msg(got == expected, "%s: %d, not %d", text, (int)got, (int)expected);
    ck_assert_msg(*stop == '\0', "%s: stopped at %s", text, stop);
    if (expected == SRV_DECIMAL_OK)
        ck_assert_msg(bits_of(value) == bits_of((float)wide), "%s: %a, not %a", text, (double)value,
                      (double)(float)wide);
    got = srv_f64_read(text, text + strlen(text), &stop, &read);
    ck_assert_msg(got == (isinf(wide) ? SRV_DECIMAL_BEYOND_F64 : SRV_DECIMAL_OK), "%s as f64", text);
    if (!isinf(wide))
        ck_assert_msg(memcmp(&read, &wide, sizeof wide) == 0, "%s: %a, not %a", text, read, wide);
}

START_TEST(reading_agrees_with_strtod)
{
    static const char *const cases[] = {"0",
                                        "-0",
                                        "0.0",
                                        "-0.0e5",
                                        "0e999999999999999999999",
                                        "1",
                                        "-1",
                                        "123456789",
                                        "1e22",
                                        "1e23",
                                        "1e-22",
                                        "1E+5",
                                        "3.4028234663852886e38",
                                        "3.4028235677973365e38",
                                        "3.4028235677973366e38",
                                        "-3.4028235677973366e38",
                                        "1e39",
                                        "-1e39",
                                        "1e308",
                                        "1.7976931348623157e308",
                                        "1.7976931348623159e308",
                                        "1e309",
                                        "1e400",
                                        "-1e400",
                                        "1e310",
                                        "99999e304",
                                        "1e-45",
                                        "7e-46",
                                        "7.1e-46",
                                        "0.7006492321624085e-45",
                                        "0.7006492321624086e-45",
                                        "1.401298464324817e-45",
                                        "1e-46",
                                        "1e-47",
                                        "1e-400",
                                        "1e-99999999999999999999",
                                        "1.1754943508222875e-38",
                                        "1.17549431578982e-38",
                                        "2.2250738585072014e-308",
                                        "9007199254740993",
                                        "9007199254740992.99999999999999999999999999",
                                        "16777217",
                                        "16777216.99999999999999",
                                        "16777219",
                                        "0.1",
                                        "0.30000001192092895507812499999999999999999",
                                        "0.300000011920928955078125",
                                        "100000000000000000000000000000000000000000000000000e-50",
                                        "0.00000000000000000000000000000000000000000000000001e50",
                                        "12345678901234567890123456789",
                                        "0.12345678901234567890123456789e-5"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_read(cases[i]);

    test_rng rng;
    test_rng_init(&rng, test_seed(0x5ead), 0);
    int rounds = hop_check_fast() ? 20000 : 200000;
    for (int i = 0; i < rounds; i++) {
        char text[120];
        uint64_t bits = test_rng_next(&rng);
        switch (i % 4) {
        case 0: /* any f64, 1 to 19 digits */
            snprintf(text, sizeof text, "%.*e", (int)(bits >> 60) + (int)(bits >> 59 & 3),
                     test_rng_log(&rng, 1e-60, 1e45));
            break;
        case 1: /* digits and exponent */
            snprintf(text, sizeof text, "%llue%d", (unsigned long long)(bits >> test_rng_below(&rng, 64)),
                     (int)test_rng_below(&rng, 110) - 64);
            break;
        case 2: { /* the middle of two f32, or a hair beside it */
            float low = f32_of((uint32_t)(bits & 0x7fffffff) % 0x7f7fffff), high = f32_of(bits_of(low) + 1);
            double middle = ((double)low + (double)high) / 2;
            if (bits >> 63)
                middle = nextafter(middle, bits >> 62 & 1 ? 0.0 : 1e300);
            snprintf(text, sizeof text, "%.*e", 15 + (int)test_rng_below(&rng, 15), middle);
            break;
        }
        default: /* plain */
            snprintf(text, sizeof text, "%.*f", (int)test_rng_below(&rng, 20), test_rng_between(&rng, -1e6, 1e6));
        }
        check_read(text);
    }
}
END_TEST

START_TEST(the_grammar_is_strict)
{
    static const struct {
        const char *text;
        int stop;
    } cases[] = {
        {"", 0},     {"-", 1},   {"+1", 0},   {".5", 0},  {"01", 1},  {"-01", 2},   {"00", 1},   {"1.", 2},
        {"1.e5", 2}, {"1e", 2},  {"1e+", 3},  {"1e-", 3}, {"NaN", 0}, {"inf", 0},   {"-inf", 1}, {"Infinity", 0},
        {" 1", 0},   {"--1", 1}, {"1.-5", 2}, {"-.5", 1}, {"e5", 0},  {"\"1\"", 0}, {"1e.5", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i].text, *stop;
        float narrow = 7;
        double wide = 7;
        ck_assert_msg(srv_f32_read(text, text + strlen(text), &stop, &narrow) == SRV_DECIMAL_MALFORMED, "%s", text);
        ck_assert_msg(stop == text + cases[i].stop, "%s: stopped at %d", text, (int)(stop - text));
        ck_assert_msg(srv_f64_read(text, text + strlen(text), &stop, &wide) == SRV_DECIMAL_MALFORMED, "%s", text);
        ck_assert(narrow == 7 && wide == 7);
    }
    const char *stop;
    float value;
    const char *hexadecimal = "0x10";
    ck_assert_int_eq(srv_f32_read(hexadecimal, hexadecimal + 4, &stop, &value), SRV_DECIMAL_OK);
    ck_assert_ptr_eq(stop, hexadecimal + 1);
}
END_TEST

START_TEST(very_long_numbers_are_read)
{
    enum { DIGITS = 100000 };
    char *text = malloc(2 * DIGITS + 32);
    ck_assert_ptr_nonnull(text);
    strcpy(text, "0.");
    memset(text + 2, '0', DIGITS);
    strcpy(text + 2 + DIGITS, "125e100000");
    const char *stop;
    float value = 0;
    ck_assert_int_eq(srv_f32_read(text, text + strlen(text), &stop, &value), SRV_DECIMAL_OK);
    ck_assert(value == 0.125f && *stop == '\0');
    memset(text, '9', DIGITS);
    strcpy(text + DIGITS, "e-100000");
    ck_assert_int_eq(srv_f32_read(text, text + strlen(text), &stop, &value), SRV_DECIMAL_OK);
    ck_assert(value == 1.0f);
    free(text);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("decimal");
    TCase *shortest = tcase_create("shortest");
    if (exhaustive())
        tcase_set_timeout(shortest, 0);
    tcase_add_test(shortest, f32_writes_the_shortest_text);
    suite_add_tcase(s, shortest);
    TCase *out = tcase_create("out");
    tcase_add_test(out, f32_texts_are_the_usual_ones);
    tcase_add_test(out, f64_reads_back);
    tcase_add_test(out, u64_is_written_whole);
    tcase_add_test(out, bounds_are_rounded_up);
    suite_add_tcase(s, out);
    TCase *in = tcase_create("in");
    tcase_add_test(in, reading_agrees_with_strtod);
    tcase_add_test(in, the_grammar_is_strict);
    tcase_add_test(in, very_long_numbers_are_read);
    suite_add_tcase(s, in);
    return s;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, suite);
}
