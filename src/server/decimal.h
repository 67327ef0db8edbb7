/*
 * decimal.h - one number as text: strict JSON grammar in, shortest text out.
 *
 * Arrays of numbers are in numbers.h. Nothing here depends on the process's locale.
 */
#ifndef SRV_DECIMAL_H
#define SRV_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

/* Room that a writer may use, whatever the value; no writer adds a NUL. */
enum { SRV_F32_TEXT_MAX = 16, SRV_F64_TEXT_MAX = 28, SRV_U64_TEXT_MAX = 20 };

/*
 * Each writer puts the number at out and returns the end of what it wrote. NaN and Inf, which JSON cannot say, become
 * `null`.
 *
 * f32: the fewest digits that read back to the same f32 both directly and by way of f64 (as most JSON parsers do),
 * and of these the nearest to the value; plain or with an exponent, whichever is shorter (plain where equal).
 * Under 50 ns.
 * f64: likewise, up to 17 digits. Under 1 us.
 */
char *srv_f32_write(char *out, float value);
char *srv_f64_write(char *out, double value);
char *srv_u64_write(char *out, uint64_t value);

/*
 * An upper bound (>= 0): three digits, rounded up, so that the text read as f64 is >= bound. If that would exceed cap
 * while bound does not, it is the shortest text of bound itself.
 */
char *srv_bound_write(char *out, double bound, double cap);

typedef enum srv_decimal {
    SRV_DECIMAL_OK,
    SRV_DECIMAL_MALFORMED,  /* not a JSON number (RFC 8259, section 6) */
    SRV_DECIMAL_BEYOND_F64, /* infinite as f64 */
    SRV_DECIMAL_BEYOND_F32  /* finite as f64, infinite as f32 */
} srv_decimal;

/*
 * Read one number that starts at text and ends before *stop, which is set but for MALFORMED (then it is the offending
 * byte). The byte at end must be readable and be none of a number: there is always a bracket or a NUL.
 * f32 is the f64 nearest to the text, rounded to f32; underflow to 0 and subnormals is no error.
 * Cost: a few ns and 1 ns a digit; f64 with more than 15 digits about 0.2 us.
 */
srv_decimal srv_f32_read(const char *text, const char *end, const char **stop, float *out);
srv_decimal srv_f64_read(const char *text, const char *end, const char **stop, double *out);

#endif
