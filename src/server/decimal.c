/*
 * decimal.c - one number as text: shortest f32 and f64 out, strict JSON numbers in.
 *
 * Writing f32 is the interval method of R. Giulietti's Schubfach ("The Schubfach way to render doubles", 2020), done
 * for f32 in 128-bit integers: the decimals that read back to v are those between its neighbours' midpoints, and at
 * most one multiple of the power of ten next above the interval's length lies there. Writing f64 searches the digits
 * that printf gives. Arrays are numbers.c's.
 */
#include "server/decimal.h"

#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- layout ------------------------------------------------------------------------------------------ */

enum { DIGITS_MAX = 20 };

/* count digits, the first not 0 and the last not 0, that stand for 0.ddd x 10^point. */
typedef struct digits {
    char text[DIGITS_MAX];
    int count, point;
} digits;

static int small_length(int n)
{
    return (n < 0) + (abs(n) < 10 ? 1 : abs(n) < 100 ? 2 : 3);
}

char *srv_u64_write(char *out, uint64_t value)
{
    char reversed[SRV_U64_TEXT_MAX];
    int n = 0;
    do {
        reversed[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (n > 0)
        *out++ = reversed[--n];
    return out;
}

static char *put(char *out, const char *text, int n)
{
    memcpy(out, text, (size_t)n);
    return out + n;
}

static char *put_zeros(char *out, int n)
{
    memset(out, '0', (size_t)n);
    return out + n;
}

/* Plain or with an exponent, whichever is shorter. */
static char *lay_out(char *out, bool negative, const digits *d)
{
    int exponent = d->point - 1;
    int plain = d->point <= 0 ? 2 - d->point + d->count : d->point >= d->count ? d->point : d->count + 1;
    int scientific = d->count + (d->count > 1) + 1 + small_length(exponent);
    if (negative)
        *out++ = '-';
    if (scientific < plain) {
        *out++ = d->text[0];
        if (d->count > 1) {
            *out++ = '.';
            out = put(out, d->text + 1, d->count - 1);
        }
        *out++ = 'e';
        if (exponent < 0)
            *out++ = '-';
        return srv_u64_write(out, (uint64_t)abs(exponent));
    }
    if (d->point <= 0) {
        out = put(out, "0.", 2);
        out = put_zeros(out, -d->point);
        return put(out, d->text, d->count);
    }
    if (d->point >= d->count) {
        out = put(out, d->text, d->count);
        return put_zeros(out, d->point - d->count);
    }
    out = put(out, d->text, d->point);
    *out++ = '.';
    return put(out, d->text + d->point, d->count - d->point);
}

/* ---- f32 out ----------------------------------------------------------------------------------------- */

enum { POWER_MIN = -31, POWER_MAX = 45 };

/* powers[k - POWER_MIN] = ceil(10^k / 2^b), b such that it has 64 bits: b = floor(log2(10^k)) - 63. */
static const uint64_t powers[POWER_MAX - POWER_MIN + 1] = {
    0x81ceb32c4b43fcf5, 0xa2425ff75e14fc32, 0xcad2f7f5359a3b3f, 0xfd87b5f28300ca0e, 0x9e74d1b791e07e49,
    0xc612062576589ddb, 0xf79687aed3eec552, 0x9abe14cd44753b53, 0xc16d9a0095928a28, 0xf1c90080baf72cb2,
    0x971da05074da7bef, 0xbce5086492111aeb, 0xec1e4a7db69561a6, 0x9392ee8e921d5d08, 0xb877aa3236a4b44a,
    0xe69594bec44de15c, 0x901d7cf73ab0acda, 0xb424dc35095cd810, 0xe12e13424bb40e14, 0x8cbccc096f5088cc,
    0xafebff0bcb24aaff, 0xdbe6fecebdedd5bf, 0x89705f4136b4a598, 0xabcc77118461cefd, 0xd6bf94d5e57a42bd,
    0x8637bd05af6c69b6, 0xa7c5ac471b478424, 0xd1b71758e219652c, 0x83126e978d4fdf3c, 0xa3d70a3d70a3d70b,
    0xcccccccccccccccd, 0x8000000000000000, 0xa000000000000000, 0xc800000000000000, 0xfa00000000000000,
    0x9c40000000000000, 0xc350000000000000, 0xf424000000000000, 0x9896800000000000, 0xbebc200000000000,
    0xee6b280000000000, 0x9502f90000000000, 0xba43b74000000000, 0xe8d4a51000000000, 0x9184e72a00000000,
    0xb5e620f480000000, 0xe35fa931a0000000, 0x8e1bc9bf04000000, 0xb1a2bc2ec5000000, 0xde0b6b3a76400000,
    0x8ac7230489e80000, 0xad78ebc5ac620000, 0xd8d726b7177a8000, 0x878678326eac9000, 0xa968163f0a57b400,
    0xd3c21bcecceda100, 0x84595161401484a0, 0xa56fa5b99019a5c8, 0xcecb8f27f4200f3a, 0x813f3978f8940985,
    0xa18f07d736b90be6, 0xc9f2c9cd04674edf, 0xfc6f7c4045812297, 0x9dc5ada82b70b59e, 0xc5371912364ce306,
    0xf684df56c3e01bc7, 0x9a130b963a6c115d, 0xc097ce7bc90715b4, 0xf0bdc21abb48db21, 0x96769950b50d88f5,
    0xbc143fa4e250eb32, 0xeb194f8e1ae525fe, 0x92efd1b8d0cf37bf, 0xb7abc627050305ae, 0xe596b7b0c643c71a,
    0x8f7e32ce7bea5c70, 0xb35dbf821ae4f38c,
};

__extension__ typedef unsigned __int128 uint128;

/* Exact for the exponents of f32: e in [-149, 104], k in [POWER_MIN, POWER_MAX]. */
static int floor_log10_pow2(int e)
{
    return (e * 315653) >> 20;
}

static int floor_log10_three_quarters_pow2(int e)
{
    return (e * 315653 - 131008) >> 20;
}

static int floor_log2_pow10(int k)
{
    return (k * 1741647) >> 19;
}

/*
 * c g / 2^shift, rounded to odd: the integer part, with its last bit set where there is a fraction. Compared with
 * even numbers that is as good as the exact quotient. g exceeds the exact power by less than 1, so that a product
 * whose fraction is exactly 0 shows less than c there; a fraction that is not 0 is larger (the test goes over all
 * f32).
 */
static uint64_t scale_to_odd(uint64_t c, uint64_t g, int shift)
{
    uint128 product = (uint128)c * g;
    uint64_t whole = (uint64_t)(product >> shift);
    uint128 fraction = product & (((uint128)1 << shift) - 1);
    return whole | (fraction >= c);
}

/*
 * The same for an end of the interval of an odd m, moved inwards (direction 1 or -1) by half a unit of the f64
 * there: a decimal closer to the end would become the end itself on its way through f64, and then the even
 * neighbour of m.
 */
static uint64_t scale_end_to_odd(uint64_t c, int direction, uint64_t g, int shift)
{
    int extra = 53 - (63 - __builtin_clzll(c));
    return scale_to_odd((c << extra) + (uint64_t)(int64_t)direction, g, shift + extra);
}

/* The decimal D x 10^*k that is wanted for m x 2^e. m > 0. */
static uint32_t shortest_f32(uint32_t m, int e, bool irregular, int *k)
{
    /* 4m is the value, 4m - 2 (4m - 1 above a power of two) and 4m + 2 the midpoints; they count where m is even. */
    uint64_t c = 4ull * m;
    *k = irregular ? floor_log10_three_quarters_pow2(e) : floor_log10_pow2(e);
    uint64_t g = powers[-*k - POWER_MIN];
    int shift = -(e + floor_log2_pow10(-*k) - 63);
    uint64_t value = scale_to_odd(c, g, shift), low, high;
    if (m & 1) {
        low = scale_end_to_odd(c - 2, 1, g, shift) + 1;
        high = scale_end_to_odd(c + 2, -1, g, shift) - 1;
    } else {
        low = scale_to_odd(c - 2 + irregular, g, shift);
        high = scale_to_odd(c + 2, g, shift);
    }

    uint64_t tens = value / 40;
    bool down = low <= 40 * tens, up = 40 * tens + 40 <= high;
    if (down || up) {
        *k += 1;
        uint32_t D = (uint32_t)(tens + up);
        while (D % 10 == 0) {
            D /= 10;
            *k += 1;
        }
        return D;
    }
    uint64_t ones = value / 4;
    down = low <= 4 * ones;
    up = 4 * ones + 4 <= high;
    if (down && up) {
        uint64_t middle = 4 * ones + 2;
        up = value > middle || (value == middle && (ones & 1));
    }
    return (uint32_t)(ones + up);
}

char *srv_f32_write(char *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bool negative = bits >> 31;
    uint32_t field = (bits >> 23) & 0xff, fraction = bits & 0x7fffff;
    if (field == 0xff)
        return put(out, "null", 4);
    if (field == 0 && fraction == 0)
        return negative ? put(out, "-0.0", 4) : put(out, "0", 1);

    int k;
    uint32_t D = field == 0 ? shortest_f32(fraction, -149, false, &k)
                            : shortest_f32(fraction | 0x800000, (int)field - 150, fraction == 0 && field > 1, &k);
    digits d;
    char reversed[DIGITS_MAX];
    int n = 0;
    for (; D > 0; D /= 10)
        reversed[n++] = (char)('0' + D % 10);
    for (int i = 0; i < n; i++)
        d.text[i] = reversed[n - 1 - i];
    d.count = n;
    d.point = n + k;
    return lay_out(out, negative, &d);
}

/* ---- f64 out ----------------------------------------------------------------------------------------- */

/* glibc keeps one C locale for ever: nothing to free. */
static double read_c_locale(const char *text)
{
    return strtod_l(text, NULL, newlocale(LC_ALL_MASK, "C", (locale_t)0));
}

/* The count digits nearest to value > 0, trailing zeros dropped. Skips whatever the locale's decimal point is. */
static void nearest_digits(double value, int count, digits *d)
{
    char text[48];
    snprintf(text, sizeof text, "%.*e", count - 1, value);
    const char *p = text;
    d->count = 0;
    for (; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9')
            d->text[d->count++] = *p;
    d->point = atoi(p + 1) + 1;
    while (d->count > 1 && d->text[d->count - 1] == '0')
        d->count--;
}

static double digits_value(const digits *d)
{
    char text[SRV_F64_TEXT_MAX + 1];
    *lay_out(text, false, d) = '\0';
    return read_c_locale(text);
}

char *srv_f64_write(char *out, double value)
{
    if (!isfinite(value))
        return put(out, "null", 4);
    if (value == 0)
        return signbit(value) ? put(out, "-0.0", 4) : put(out, "0", 1);
    double magnitude = fabs(value);
    digits d;
    /* A decimal of up to 15 digits survives the way through a normal f64, so 15 digits find every shorter one. */
    for (int count = magnitude < 0x1p-1022 ? 1 : 15; count <= 17; count++) {
        nearest_digits(magnitude, count, &d);
        if (digits_value(&d) == magnitude)
            break;
    }
    return lay_out(out, signbit(value), &d);
}

/* One unit more in the place of digit `count`: the next larger decimal of that many digits. */
static void increment(digits *d, int count)
{
    while (d->count < count)
        d->text[d->count++] = '0';
    int i = count - 1;
    while (i >= 0 && d->text[i] == '9')
        i--;
    if (i < 0) {
        d->text[0] = '1';
        d->count = 1;
        d->point += 1;
        return;
    }
    d->text[i]++;
    d->count = i + 1;
}

char *srv_bound_write(char *out, double bound, double cap)
{
    enum { BOUND_DIGITS = 3 };
    if (!isfinite(bound) || bound <= 0)
        return srv_f64_write(out, bound);
    digits d;
    nearest_digits(bound, BOUND_DIGITS, &d);
    double written = digits_value(&d);
    if (written < bound) {
        increment(&d, BOUND_DIGITS);
        written = digits_value(&d);
    }
    if (!isfinite(written) || (bound <= cap && written > cap))
        return srv_f64_write(out, bound);
    return lay_out(out, false, &d);
}

/* ---- in ---------------------------------------------------------------------------------------------- */

enum { SIGNIFICANT_MAX = 19 }; /* digits that always fit 64 bits */

/* sign w x 10^exponent, exactly unless `cut`: then there were digits beyond w. w has `count` digits, w = 0: none. */
typedef struct decimal {
    uint64_t w;
    int64_t exponent;
    int count;
    bool negative, cut;
} decimal;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void take_digit(decimal *n, char c)
{
    if (n->count == SIGNIFICANT_MAX) {
        n->cut = true;
        n->exponent++;
        return;
    }
    n->w = n->w * 10 + (uint64_t)(c - '0');
    n->count += n->w > 0;
}

/* The grammar. True: *stop is the end of the number; false: *stop is where it goes wrong. */
static bool scan(const char *p, const char *end, const char **stop, decimal *n)
{
    *n = (decimal){0};
    *stop = p;
    if (p < end && *p == '-') {
        n->negative = true;
        *stop = ++p;
    }
    if (p == end || !is_digit(*p))
        return false;
    if (*p == '0') {
        *stop = ++p;
        if (p < end && is_digit(*p))
            return false;
    } else {
        for (; p < end && is_digit(*p); p++)
            take_digit(n, *p);
    }
    if (p < end && *p == '.') {
        *stop = ++p;
        if (p == end || !is_digit(*p))
            return false;
        const char *first = p;
        for (; p < end && is_digit(*p); p++)
            take_digit(n, *p);
        n->exponent -= p - first;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        bool negative = p < end && *p == '-';
        if (p < end && (*p == '-' || *p == '+'))
            p++;
        *stop = p;
        if (p == end || !is_digit(*p))
            return false;
        /* Far beyond any length of text, far below overflow. */
        const int64_t cap = (int64_t)1 << 56;
        int64_t exponent = 0;
        for (; p < end && is_digit(*p); p++)
            if (exponent < cap)
                exponent = exponent * 10 + (*p - '0');
        n->exponent += negative ? -exponent : exponent;
    }
    *stop = p;
    return true;
}

static const double exact_powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
enum { EXACT_POWER_MAX = 22 };

srv_decimal srv_f64_read(const char *text, const char *end, const char **stop, double *out)
{
    decimal n;
    if (!scan(text, end, stop, &n))
        return SRV_DECIMAL_MALFORMED;
    double value;
    if (n.w == 0) {
        value = 0;
    } else if (!n.cut && n.w <= (uint64_t)1 << 53 && n.exponent >= -EXACT_POWER_MAX && n.exponent <= EXACT_POWER_MAX) {
        /* Both operands are exact: one rounding (W. Clinger 1990). */
        value = n.exponent < 0 ? (double)n.w / exact_powers[-n.exponent] : (double)n.w * exact_powers[n.exponent];
    } else {
        value = fabs(read_c_locale(text));
    }
    if (isinf(value))
        return SRV_DECIMAL_BEYOND_F64;
    *out = n.negative ? -value : value;
    return SRV_DECIMAL_OK;
}

/*
 * The magnitude as f32 without strtod, where that is certain. x below is within 4 roundings of the truth, less than 5
 * units of its last place; the f64 nearest to the truth is half a unit from it. So both round to the same f32
 * unless x is within 8 units of the middle of two f32.
 */
static bool read_fast(const decimal *n, float *out)
{
    if (n->cut)
        return false;
    double x = (double)n->w;
    int64_t k = n->exponent;
    for (; k < -EXACT_POWER_MAX; k += EXACT_POWER_MAX)
        x /= exact_powers[EXACT_POWER_MAX];
    for (; k > EXACT_POWER_MAX; k -= EXACT_POWER_MAX)
        x *= exact_powers[EXACT_POWER_MAX];
    x = k < 0 ? x / exact_powers[-k] : x * exact_powers[k];

    if (x < 0x1p-126) { /* subnormal f32: the grid is 2^-149, and 8 units of x are below 2^-26 of it */
        double steps = x * 0x1p149;
        if (fabs(steps - floor(steps) - 0.5) < 0x1p-20)
            return false;
    } else {
        uint64_t bits;
        memcpy(&bits, &x, sizeof bits);
        int64_t from_middle = (int64_t)(bits & 0x1fffffff) - 0x10000000;
        if (from_middle >= -8 && from_middle <= 8)
            return false;
    }
    *out = (float)x;
    return true;
}

srv_decimal srv_f32_read(const char *text, const char *end, const char **stop, float *out)
{
    decimal n;
    if (!scan(text, end, stop, &n))
        return SRV_DECIMAL_MALFORMED;
    float value = 0;
    /* 10^(top - 1) <= magnitude < 10^top. Below 10^-46 all is less than half of the smallest f32. */
    int64_t top = n.exponent + n.count;
    if (n.w > 0 && top > -46) {
        if (top > 309)
            return SRV_DECIMAL_BEYOND_F64;
        if (top > 39 && top < 309)
            return SRV_DECIMAL_BEYOND_F32;
        if (top == 309 || !read_fast(&n, &value)) {
            double wide = fabs(read_c_locale(text));
            if (isinf(wide))
                return SRV_DECIMAL_BEYOND_F64;
            value = (float)wide;
        }
        if (isinf(value))
            return SRV_DECIMAL_BEYOND_F32;
    }
    *out = n.negative ? -value : value;
    return SRV_DECIMAL_OK;
}
