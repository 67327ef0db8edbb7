/*
 * kernels_lanes.h - the sweeps over a degree's monomials, f64, HOP_LANES queries side by side: the part of the shape of
 * kernels_simd.h that the almost-linear retriever runs on. Included by that file once a machine.
 *
 * LANE_VECTORS vectors hold the lanes. Sums take LANE_TERMS variables at a time, so that a cofactor is loaded once for
 * all of them; the ragged start of such a group, where not all of its variables reach, goes one variable at a time.
 */
enum { LANE_VECTORS = HOP_LANES / SIMD_WIDTH, LANE_TERMS = 4, LANE_CHAINS = 4 };

typedef struct lanes_vec {
    SIMD_NAME(vec) v[LANE_VECTORS];
} lanes_vec;

SIMD_INLINE lanes_vec lanes_load(const double *at)
{
    lanes_vec x;
    SIMD_UNROLL
    for (size_t v = 0; v < LANE_VECTORS; v++)
        x.v[v] = SIMD_NAME(load)(at + v * SIMD_WIDTH);
    return x;
}

SIMD_INLINE lanes_vec lanes_splat(const double *at)
{
    lanes_vec x;
    SIMD_UNROLL
    for (size_t v = 0; v < LANE_VECTORS; v++)
        x.v[v] = SIMD_NAME(splat)(at);
    return x;
}

SIMD_INLINE lanes_vec lanes_zero(void)
{
    lanes_vec x;
    SIMD_UNROLL
    for (size_t v = 0; v < LANE_VECTORS; v++)
        x.v[v] = SIMD_NAME(zero)();
    return x;
}

SIMD_INLINE void lanes_store(double *at, lanes_vec x)
{
    SIMD_UNROLL
    for (size_t v = 0; v < LANE_VECTORS; v++)
        SIMD_NAME(store)(at + v * SIMD_WIDTH, x.v[v]);
}

SIMD_INLINE lanes_vec lanes_add(lanes_vec a, lanes_vec b)
{
    SIMD_UNROLL
    for (size_t v = 0; v < LANE_VECTORS; v++)
        a.v[v] = a.v[v] + b.v[v];
    return a;
}

SIMD_INLINE lanes_vec lanes_mul(lanes_vec a, lanes_vec b)
{
    SIMD_UNROLL
    for (size_t v = 0; v < LANE_VECTORS; v++)
        a.v[v] = a.v[v] * b.v[v];
    return a;
}

/* a b + c */
SIMD_INLINE lanes_vec lanes_fma(lanes_vec a, lanes_vec b, lanes_vec c)
{
    SIMD_UNROLL
    for (size_t v = 0; v < LANE_VECTORS; v++)
        c.v[v] = SIMD_NAME(fma)(a.v[v], b.v[v], c.v[v]);
    return c;
}

static void lanes_extend(const hop_degree *degree, const double *xi, const double *m, double *out)
{
    size_t end = degree->offset[degree->d];
    for (size_t i = 0; i < degree->d; i++) {
        lanes_vec x = lanes_load(xi + i * HOP_LANES);
        double *to = out + degree->lead[i] * HOP_LANES;
        for (size_t b = degree->offset[i]; b < end; b++)
            lanes_store(to + b * HOP_LANES, lanes_mul(x, lanes_load(m + b * HOP_LANES)));
    }
}

/* sum_b a[b] m[b], from <= b < end */
SIMD_INLINE lanes_vec lanes_dot(size_t from, size_t end, const double *a, const double *m)
{
    lanes_vec chain[LANE_CHAINS];
    SIMD_UNROLL
    for (size_t c = 0; c < LANE_CHAINS; c++)
        chain[c] = lanes_zero();
    for (; from + LANE_CHAINS <= end; from += LANE_CHAINS) {
        SIMD_UNROLL
        for (size_t c = 0; c < LANE_CHAINS; c++)
            chain[c] = lanes_fma(lanes_splat(a + from + c), lanes_load(m + (from + c) * HOP_LANES), chain[c]);
    }
    for (; from < end; from++)
        chain[0] = lanes_fma(lanes_splat(a + from), lanes_load(m + from * HOP_LANES), chain[0]);
    return lanes_add(lanes_add(chain[0], chain[2]), lanes_add(chain[1], chain[3]));
}

static void lanes_sums(const hop_degree *degree, const double *a, const double *m, double *sums)
{
    size_t d = degree->d, end = degree->offset[d], i = 0;
    for (; i + LANE_TERMS <= d; i += LANE_TERMS) {
        size_t full = degree->offset[i + LANE_TERMS - 1];
        const double *row[LANE_TERMS];
        lanes_vec sum[LANE_TERMS];
        SIMD_UNROLL
        for (size_t c = 0; c < LANE_TERMS; c++) {
            row[c] = a + degree->lead[i + c];
            sum[c] = lanes_dot(degree->offset[i + c], full, row[c], m);
        }
        for (size_t b = full; b < end; b++) {
            lanes_vec factor = lanes_load(m + b * HOP_LANES);
            SIMD_UNROLL
            for (size_t c = 0; c < LANE_TERMS; c++)
                sum[c] = lanes_fma(lanes_splat(row[c] + b), factor, sum[c]);
        }
        SIMD_UNROLL
        for (size_t c = 0; c < LANE_TERMS; c++)
            lanes_store(sums + (i + c) * HOP_LANES, sum[c]);
    }
    for (; i < d; i++)
        lanes_store(sums + i * HOP_LANES, lanes_dot(degree->offset[i], end, a + degree->lead[i], m));
}

/* count cofactors from b on, all with variables 0..v: lanes_adjoint of them, sums in registers. */
SIMD_INLINE void lanes_adjoint_some(size_t count, const hop_degree *degree, size_t v, size_t b, const double *xi,
                                    const double *self, const double *a, double *out)
{
    lanes_vec sum[LANE_TERMS];
    SIMD_UNROLL
    for (size_t c = 0; c < count; c++)
        sum[c] = lanes_splat(self + b + c);
    for (size_t i = 0; i <= v; i++) {
        lanes_vec x = lanes_load(xi + i * HOP_LANES);
        const double *row = a + degree->lead[i] + b;
        SIMD_UNROLL
        for (size_t c = 0; c < count; c++)
            sum[c] = lanes_fma(x, lanes_splat(row + c), sum[c]);
    }
    SIMD_UNROLL
    for (size_t c = 0; c < count; c++)
        lanes_store(out + (b + c) * HOP_LANES, sum[c]);
}

static void lanes_adjoint(const hop_degree *degree, const double *xi, const double *self, const double *a, double *out)
{
    for (size_t v = 0; v < degree->d; v++) {
        size_t b = degree->offset[v], end = degree->offset[v + 1];
        for (; b + LANE_TERMS <= end; b += LANE_TERMS)
            lanes_adjoint_some(LANE_TERMS, degree, v, b, xi, self, a, out);
        for (; b < end; b++)
            lanes_adjoint_some(1, degree, v, b, xi, self, a, out);
    }
}

static void lanes_reverse(const hop_degree *degree, const double *xi, const double *self, const double *next,
                          const double *m, double *out, double *sums)
{
    size_t end = degree->offset[degree->d];
    for (size_t b = 0; b < end; b++)
        lanes_store(out + b * HOP_LANES, lanes_splat(self + b));
    for (size_t i = 0; i < degree->d; i++) {
        lanes_vec x = lanes_load(xi + i * HOP_LANES), even = lanes_load(sums + i * HOP_LANES), odd = lanes_zero();
        const double *from = next + degree->lead[i] * HOP_LANES;
        size_t b = degree->offset[i];
        for (; b + 2 <= end; b += 2) {
            const double *at = from + b * HOP_LANES, *factor = m + b * HOP_LANES;
            double *to = out + b * HOP_LANES;
            lanes_vec first = lanes_load(at), second = lanes_load(at + HOP_LANES);
            lanes_store(to, lanes_fma(x, first, lanes_load(to)));
            lanes_store(to + HOP_LANES, lanes_fma(x, second, lanes_load(to + HOP_LANES)));
            even = lanes_fma(first, lanes_load(factor), even);
            odd = lanes_fma(second, lanes_load(factor + HOP_LANES), odd);
        }
        if (b < end) {
            lanes_vec last = lanes_load(from + b * HOP_LANES);
            lanes_store(out + b * HOP_LANES, lanes_fma(x, last, lanes_load(out + b * HOP_LANES)));
            even = lanes_fma(last, lanes_load(m + b * HOP_LANES), even);
        }
        lanes_store(sums + i * HOP_LANES, lanes_add(even, odd));
    }
}
