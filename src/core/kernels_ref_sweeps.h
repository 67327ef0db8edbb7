/*
 * kernels_ref_sweeps.h - the sweeps of kernels.h in plain C, included by kernels_ref.c once a precision (REF_REAL,
 * REF_NAME). Every product is rounded to REF_REAL, sums run in f64 and are rounded once.
 */
#ifndef REF_LANES
enum { REF_LANES_N = 4 };
#define REF_LANES(type, real)                                                                                          \
    {                                                                                                                  \
        .lanes = REF_LANES_N, .real_bytes = sizeof(real), .extend = lanes_extend_##type, .top = lanes_top_##type,      \
        .reverse = lanes_reverse_##type, .product = lanes_product_##type, .weigh = lanes_weigh_##type                  \
    }
#define REF_ONE(type, real)                                                                                            \
    {                                                                                                                  \
        .lanes = 1, .real_bytes = sizeof(real), .extend = one_extend_##type, .top = one_top_##type,                    \
        .reverse = one_reverse_##type, .product = one_product_##type, .weigh = one_weigh_##type                        \
    }
#endif

static void REF_NAME(extend)(const hop_sweep *s, size_t lanes)
{
    const hop_degree *degree = &s->degree;
    const REF_REAL *xi = s->xi, *m = s->m, *a = s->a;
    REF_REAL *out = s->out;
    for (size_t i = 0; i < degree->d; i++)
        for (size_t b = degree->offset[i]; b < degree->offset[degree->d]; b++)
            for (size_t lane = 0; lane < lanes; lane++) {
                size_t at = degree->lead[i] + b;
                out[at * lanes + lane] = xi[i * lanes + lane] * m[b * lanes + lane];
                s->sums[lane] += (double)(a[at] * out[at * lanes + lane]);
            }
}

/* row: a (step 1, every lane the same) or next (step lanes). */
static void REF_NAME(adjoin)(const hop_sweep *s, size_t lanes, const REF_REAL *row, size_t step)
{
    const hop_degree *degree = &s->degree;
    const REF_REAL *xi = s->xi, *m = s->m, *self = s->self, *weight = s->weight;
    REF_REAL *out = s->out;
    for (size_t b = 0; b < degree->offset[degree->d]; b++)
        for (size_t lane = 0; lane < lanes; lane++) {
            double sum = (double)(weight[lane] * self[b]);
            for (size_t i = 0; i < degree->d && degree->offset[i] <= b; i++) {
                REF_REAL term = row[(degree->lead[i] + b) * step + (step > 1 ? lane : 0)];
                sum += (double)(xi[i * lanes + lane] * term);
                s->sums[i * lanes + lane] += (double)(term * m[b * lanes + lane]);
            }
            out[b * lanes + lane] = (REF_REAL)sum;
        }
}

static void REF_NAME(lanes_extend)(const hop_sweep *s)
{
    REF_NAME(extend)(s, REF_LANES_N);
}

static void REF_NAME(lanes_top)(const hop_sweep *s)
{
    REF_NAME(adjoin)(s, REF_LANES_N, s->a, 1);
}

static void REF_NAME(lanes_reverse)(const hop_sweep *s)
{
    REF_NAME(adjoin)(s, REF_LANES_N, s->next, REF_LANES_N);
}

static void REF_NAME(one_extend)(const hop_sweep *s)
{
    REF_NAME(extend)(s, 1);
}

static void REF_NAME(one_top)(const hop_sweep *s)
{
    REF_NAME(adjoin)(s, 1, s->a, 1);
}

static void REF_NAME(one_reverse)(const hop_sweep *s)
{
    REF_NAME(adjoin)(s, 1, s->next, 1);
}

static void REF_NAME(product)(const hop_product *w, size_t lanes)
{
    const REF_REAL *m = w->m, *a = w->a;
    assert(w->n <= HOP_PRODUCT_RUN);
    for (size_t b = 0; b < w->n; b++)
        for (size_t j = 0; j < w->columns; j++)
            for (size_t lane = 0; lane < lanes; lane++)
                w->sums[j * lanes + lane] += (double)(m[b * lanes + lane] * a[b * w->stride + j]);
}

static void REF_NAME(weigh)(size_t n, const REF_REAL *weight, const REF_REAL *m, REF_REAL *out, size_t lanes)
{
    for (size_t i = 0; i < n * lanes; i++)
        out[i] = weight[i % lanes] * m[i];
}

static void REF_NAME(lanes_weigh)(size_t n, const void *weight, const void *m, void *out)
{
    REF_NAME(weigh)(n, weight, m, out, REF_LANES_N);
}

static void REF_NAME(one_weigh)(size_t n, const void *weight, const void *m, void *out)
{
    REF_NAME(weigh)(n, weight, m, out, 1);
}

static void REF_NAME(lanes_product)(const hop_product *w)
{
    REF_NAME(product)(w, REF_LANES_N);
}

static void REF_NAME(one_product)(const hop_product *w)
{
    REF_NAME(product)(w, 1);
}

#undef REF_REAL
#undef REF_NAME
