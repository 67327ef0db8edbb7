/*
 * orthogonal.c - see orthogonal.h. No libm but sqrt and frexp, which are exact or correctly rounded everywhere.
 */
#include "core/orthogonal.h"

#include <math.h>

#include "core/splitmix.h"

#define LN_2 0.6931471805599453
#define LEFT_MIN 1e-6 /* of a vector's norm: two rounds then leave it orthogonal to the last bits */

/* Normal numbers of one stream. */
typedef struct normals {
    uint64_t state;
    double spare;
    bool have_spare;
} normals;

static normals stream(uint64_t seed, size_t number)
{
    return (normals){.state = hop_mix64(hop_mix64(seed + HOP_MIX_STEP) + ((uint64_t)number + 1) * HOP_MIX_STEP)};
}

/* An odd multiple of 2^-52 in (-1, 1): never 0. */
static double coordinate(normals *from)
{
    uint64_t r = hop_mix64(from->state += HOP_MIX_STEP);
    return (double)(2 * (r >> 12) + 1) * 0x1p-52 - 1;
}

/* log s, 0 < s < 1: with s = 2^e m, sqrt(1/2) <= m < sqrt(2), e ln 2 + 2 atanh((m - 1)/(m + 1)); to about 2^-52. */
static double natural_log(double s)
{
    int e;
    double m = frexp(s, &e);
    if (m < 0.7071067811865476) {
        m *= 2;
        e--;
    }
    double y = (m - 1) / (m + 1), y2 = y * y, sum = 0;
    for (int k = 23; k > 0; k -= 2) /* y2 < 0.0295: what is left out is below 2^-65 of the sum */
        sum = sum * y2 + 1.0 / k;
    return e * LN_2 + 2 * y * sum;
}

static double next_normal(normals *from)
{
    if (from->have_spare) {
        from->have_spare = false;
        return from->spare;
    }
    double u, v, s;
    do {
        u = coordinate(from);
        v = coordinate(from);
        s = u * u + v * v;
    } while (s >= 1);
    double f = sqrt(-2 * natural_log(s) / s);
    from->spare = v * f;
    from->have_spare = true;
    return u * f;
}

/* In eight chains, the same on every machine. */
static double inner(size_t d, const double *a, const double *b)
{
    enum { CHAINS = 8 };
    double sum[CHAINS] = {0};
    size_t l = 0;
    for (; l + CHAINS <= d; l += CHAINS)
        for (size_t k = 0; k < CHAINS; k++)
            sum[k] += a[l + k] * b[l + k];
    for (size_t k = 0; l < d; l++, k++)
        sum[k] += a[l] * b[l];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

static bool cancelled(const hop_progress *progress)
{
    return progress && atomic_load_explicit(&progress->cancel, memory_order_relaxed);
}

/* What is left of w next to the n orthonormal rows before it. */
static void take_away(size_t d, size_t n, size_t stride, const double *rows, double *w)
{
    for (size_t r = 0; r < n; r++) {
        const double *q = rows + r * stride;
        double along = inner(d, q, w);
        for (size_t l = 0; l < d; l++)
            w[l] -= along * q[l];
    }
}

void hop_orthogonal_block(uint64_t seed, size_t d, size_t first, size_t n, size_t stride, double *rows,
                          const hop_progress *progress)
{
    for (size_t r = 0; r < n && !cancelled(progress); r++) {
        double *w = rows + r * stride, norm, left;
        normals from = stream(seed, 2 * (first + r));
        do {
            for (size_t l = 0; l < d; l++)
                w[l] = next_normal(&from);
            norm = sqrt(inner(d, w, w));
            take_away(d, r, stride, rows, w);
            take_away(d, r, stride, rows, w);
            left = sqrt(inner(d, w, w));
        } while (left < LEFT_MIN * norm);
        for (size_t l = 0; l < d; l++)
            w[l] /= left;
    }
    for (size_t r = 0; r < n && !cancelled(progress); r++) {
        normals from = stream(seed, 2 * (first + r) + 1);
        double square = 0;
        for (size_t l = 0; l < d; l++) {
            double normal = next_normal(&from);
            square += normal * normal;
        }
        for (size_t l = 0; l < d; l++)
            rows[r * stride + l] *= sqrt(square);
    }
}
