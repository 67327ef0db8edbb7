/*
 * kernels_lanes.h - the sweeps over a degree's monomials (hop_sweep): the part of the shape of kernels_simd.h that the
 * almost-linear retriever runs on. Included by that file once a machine and precision.
 *
 * Side by side, a vector holds one number of SIMD_WIDTH queries; of a single query it holds SIMD_WIDTH cofactors.
 * Either way a pass takes some variables at a time over a run of cofactors, and each coefficient it loads serves the
 * sum of its variable, kept in a register, and the adjoint of its cofactor. Runs are short enough that monomials and
 * adjoints stay in the first cache while all variables pass over them, and that sums leave for f64 within
 * HOP_SWEEP_DEPTH roundings.
 *
 * A crest takes a run of cofactors through the degree above and that above it: what lies between them never leaves the
 * first cache, or the registers where there are few variables.
 *
 * Side by side the cofactors of one block are taken together, which go with the same variables. Alone they are taken a
 * vector at a time wherever blocks begin, the first vector of a variable without the lanes that it does not reach.
 */
#ifndef HOP_SWEEP_ONCE
#define HOP_SWEEP_ONCE
enum { SWEEP_RUN = 96 };
_Static_assert((int)SWEEP_RUN + 3 + 2 + 4 <= (int)HOP_SWEEP_DEPTH, "a run and its rest, four chains, a vector's lanes");
#define SWEEPS_LANES(type, real)                                                                                       \
    {                                                                                                                  \
        .lanes = sizeof(vec_##type) / sizeof(real), .real_bytes = sizeof(real), .extend = lanes_extend_##type,         \
        .top = lanes_top_##type, .reverse = lanes_reverse_##type, .crest = lanes_crest_##type,                         \
        .product = lanes_product_##type, .weigh = lanes_weigh_##type                                                   \
    }
#define SWEEPS_ONE(type, real)                                                                                         \
    {                                                                                                                  \
        .lanes = 1, .real_bytes = sizeof(real), .extend = one_extend_##type, .top = one_top_##type,                    \
        .reverse = one_reverse_##type, .product = one_product_##type, .weigh = one_weigh_##type                        \
    }
#endif

#ifndef SIMD_TERMS
#define SIMD_TERMS 8 /* variables of a pass; twice as many registers, and a few */
#endif

SIMD_INLINE void SIMD_NAME(sweep_add)(SIMD_NAME(vec) v, double *sums)
{
    SIMD_REAL lanes[SIMD_WIDTH];
    SIMD_NAME(store)(lanes, v);
    SIMD_NAME(widen_add)(lanes, SIMD_WIDTH, sums);
}

/* ---- side by side --------------------------------------------------------------------------------------------- */

static void SIMD_NAME(lanes_extend)(const hop_sweep *s)
{
    enum { CHAINS = 4, W = SIMD_WIDTH };
    const hop_degree *degree = &s->degree;
    size_t end = degree->offset[degree->d];
    for (size_t i = 0; i < degree->d; i++) {
        SIMD_NAME(vec) x = SIMD_NAME(load)((const SIMD_REAL *)s->xi + i * W);
        for (size_t from = degree->offset[i]; from < end; from += CHAINS * SWEEP_RUN) {
            size_t n = end - from < CHAINS * SWEEP_RUN ? end - from : CHAINS * SWEEP_RUN, b = 0;
            const SIMD_REAL *m = (const SIMD_REAL *)s->m + from * W;
            const SIMD_REAL *a = (const SIMD_REAL *)s->a + degree->lead[i] + from;
            SIMD_REAL *out = (SIMD_REAL *)s->out + (degree->lead[i] + from) * W;
            SIMD_NAME(vec) chain[CHAINS];
            SIMD_UNROLL
            for (size_t c = 0; c < CHAINS; c++)
                chain[c] = SIMD_NAME(zero)();
            for (; b + CHAINS <= n; b += CHAINS) {
                SIMD_UNROLL
                for (size_t c = 0; c < CHAINS; c++) {
                    SIMD_NAME(vec) y = x * SIMD_NAME(load)(m + (b + c) * W);
                    SIMD_NAME(store)(out + (b + c) * W, y);
                    chain[c] = SIMD_NAME(fma)(SIMD_NAME(splat)(a + b + c), y, chain[c]);
                }
            }
            for (; b < n; b++) {
                SIMD_NAME(vec) y = x * SIMD_NAME(load)(m + b * W);
                SIMD_NAME(store)(out + b * W, y);
                chain[0] = SIMD_NAME(fma)(SIMD_NAME(splat)(a + b), y, chain[0]);
            }
            SIMD_NAME(sweep_add)((chain[0] + chain[1]) + (chain[2] + chain[3]), s->sums);
        }
    }
}

/*
 * `count` variables from i on over the cofactors from..to-1, which all of them reach. direct: from a, else from next.
 * first: the adjoints start here, from self. run: the sums of this run, [d].
 */
SIMD_INLINE void SIMD_NAME(lanes_pass)(size_t count, bool direct, bool first, const hop_sweep *s, size_t i, size_t from,
                                       size_t to, SIMD_REAL *run)
{
    enum { W = SIMD_WIDTH };
    const SIMD_REAL *row[SIMD_TERMS], *m = s->m, *self = s->self;
    SIMD_REAL *out = s->out;
    SIMD_NAME(vec) x[SIMD_TERMS], sum[SIMD_TERMS], weight = SIMD_NAME(load)(s->weight);
    SIMD_UNROLL
    for (size_t c = 0; c < count; c++) {
        size_t lead = s->degree.lead[i + c];
        row[c] = direct ? (const SIMD_REAL *)s->a + lead : (const SIMD_REAL *)s->next + lead * W;
        x[c] = SIMD_NAME(load)((const SIMD_REAL *)s->xi + (i + c) * W);
        sum[c] = SIMD_NAME(load)(run + (i + c) * W);
    }
    for (size_t b = from; b < to; b++) {
        SIMD_NAME(vec) factor = SIMD_NAME(load)(m + b * W);
        SIMD_NAME(vec) adjoint;
        if (first)
            adjoint = weight * SIMD_NAME(splat)(self + b);
        else
            adjoint = SIMD_NAME(load)(out + b * W);
        SIMD_UNROLL
        for (size_t c = 0; c < count; c++) {
            SIMD_NAME(vec) v = direct ? SIMD_NAME(splat)(row[c] + b) : SIMD_NAME(load)(row[c] + b * W);
            SIMD_IN_REGISTER(v);
            sum[c] = SIMD_NAME(fma)(v, factor, sum[c]);
            adjoint = SIMD_NAME(fma)(v, x[c], adjoint);
        }
        SIMD_NAME(store)(out + b * W, adjoint);
    }
    SIMD_UNROLL
    for (size_t c = 0; c < count; c++)
        SIMD_NAME(store)(run + (i + c) * W, sum[c]);
}

/* lanes_pass for a count that is known only here: 1..SIMD_TERMS. */
SIMD_INLINE void SIMD_NAME(lanes_some)(size_t count, bool direct, bool first, const hop_sweep *s, size_t i, size_t from,
                                       size_t to, SIMD_REAL *run)
{
    switch (count) {
    case 1:
        SIMD_NAME(lanes_pass)(1, direct, first, s, i, from, to, run);
        break;
    case 2:
        SIMD_NAME(lanes_pass)(2, direct, first, s, i, from, to, run);
        break;
    case 3:
        SIMD_NAME(lanes_pass)(3, direct, first, s, i, from, to, run);
        break;
#if SIMD_TERMS == 8
    case 4:
        SIMD_NAME(lanes_pass)(4, direct, first, s, i, from, to, run);
        break;
    case 5:
        SIMD_NAME(lanes_pass)(5, direct, first, s, i, from, to, run);
        break;
    case 6:
        SIMD_NAME(lanes_pass)(6, direct, first, s, i, from, to, run);
        break;
    case 7:
        SIMD_NAME(lanes_pass)(7, direct, first, s, i, from, to, run);
        break;
#endif
    default:
        SIMD_NAME(lanes_pass)(SIMD_TERMS, direct, first, s, i, from, to, run);
    }
}

/* Block v's cofactors go with the variables 0..v: as many at a time as registers hold. */
SIMD_INLINE void SIMD_NAME(lanes_adjoin)(bool direct, const hop_sweep *s)
{
    enum { W = SIMD_WIDTH };
    const size_t *offset = s->degree.offset;
    size_t d = s->degree.d, end = offset[d], v = 0;
    SIMD_REAL *run = s->scratch;
    for (size_t from = 0; from < end;) {
        size_t stop = end - from < SWEEP_RUN ? end : from + SWEEP_RUN, reached = 0;
        while (from < stop) {
            while (offset[v + 1] <= from)
                v++;
            size_t to = offset[v + 1] < stop ? offset[v + 1] : stop;
            for (; reached <= v; reached++)
                SIMD_NAME(store)(run + reached * W, SIMD_NAME(zero)());
            for (size_t i = 0; i <= v; i += SIMD_TERMS) {
                size_t count = v + 1 - i < SIMD_TERMS ? v + 1 - i : SIMD_TERMS;
                if (i == 0)
                    SIMD_NAME(lanes_some)(count, direct, true, s, i, from, to, run);
                else
                    SIMD_NAME(lanes_some)(count, direct, false, s, i, from, to, run);
            }
            from = to;
        }
        SIMD_NAME(widen_add)(run, reached * W, s->sums);
    }
}

static void SIMD_NAME(lanes_top)(const hop_sweep *s)
{
    SIMD_NAME(lanes_adjoin)(true, s);
}

static void SIMD_NAME(lanes_reverse)(const hop_sweep *s)
{
    SIMD_NAME(lanes_adjoin)(false, s);
}

/* Cofactors from..to-1, all of which go with variable count - 1 and those before it, in one go. */
SIMD_INLINE void SIMD_NAME(crest_pass)(size_t count, const hop_crest *s, size_t from, size_t to)
{
    enum { W = SIMD_WIDTH };
    const size_t n = to - from, at = s->degree.lead[count - 1] + from;
    const SIMD_REAL *m = (const SIMD_REAL *)s->m + from * W, *a = (const SIMD_REAL *)s->a + at;
    const SIMD_REAL *self = (const SIMD_REAL *)s->self + from, *row[SIMD_TERMS];
    SIMD_REAL *out = (SIMD_REAL *)s->out + from * W;
    SIMD_NAME(vec) x[SIMD_TERMS], top[SIMD_TERMS], D = SIMD_NAME(zero)(), sum = SIMD_NAME(zero)();
    SIMD_NAME(vec) weight = SIMD_NAME(load)(s->weight), lower = SIMD_NAME(load)(s->lower_weight);
    SIMD_UNROLL
    for (size_t j = 0; j < count; j++) {
        row[j] = (const SIMD_REAL *)s->above + s->upper_lead[j] + at;
        x[j] = SIMD_NAME(load)((const SIMD_REAL *)s->xi + j * W);
        top[j] = SIMD_NAME(zero)();
    }
    for (size_t b = 0; b < n; b++) {
        SIMD_NAME(vec) factor = SIMD_NAME(load)(m + b * W), own = SIMD_NAME(splat)(a + b), before;
        SIMD_NAME(vec) monomial = x[count - 1] * factor, adjoint = weight * own;
        D = SIMD_NAME(fma)(own, monomial, D);
        SIMD_UNROLL
        for (size_t j = 0; j < count; j++) {
            SIMD_NAME(vec) v = SIMD_NAME(splat)(row[j] + b);
            SIMD_IN_REGISTER(v);
            top[j] = SIMD_NAME(fma)(v, monomial, top[j]);
            adjoint = SIMD_NAME(fma)(v, x[j], adjoint);
        }
        if (count == 1)
            before = lower * SIMD_NAME(splat)(self + b);
        else
            before = SIMD_NAME(load)(out + b * W);
        SIMD_NAME(store)(out + b * W, SIMD_NAME(fma)(adjoint, x[count - 1], before));
        sum = SIMD_NAME(fma)(adjoint, factor, sum);
    }
    SIMD_NAME(sweep_add)(D, s->D);
    SIMD_NAME(sweep_add)(sum, s->sums + (count - 1) * W);
    SIMD_UNROLL
    for (size_t j = 0; j < count; j++)
        SIMD_NAME(sweep_add)(top[j], s->top + j * W);
}

/* The same for more variables than registers hold: each step on its own, between them the nearest cache. i > 0. */
SIMD_INLINE void SIMD_NAME(crest_steps)(const hop_crest *s, size_t i, size_t from, size_t to)
{
    enum { CHAINS = 4, W = SIMD_WIDTH };
    SIMD_REAL monomial[SWEEP_RUN * SIMD_WIDTH] __attribute__((aligned(64)));
    SIMD_REAL adjoint[SWEEP_RUN * SIMD_WIDTH] __attribute__((aligned(64)));
    const size_t n = to - from, at = s->degree.lead[i] + from;
    const SIMD_REAL *m = (const SIMD_REAL *)s->m + from * W, *a = (const SIMD_REAL *)s->a + at;
    SIMD_REAL *out = (SIMD_REAL *)s->out + from * W, *run = s->scratch;
    SIMD_NAME(vec) x = SIMD_NAME(load)((const SIMD_REAL *)s->xi + i * W);
    SIMD_NAME(vec) chain[CHAINS];
    SIMD_NAME(clear)(CHAINS, chain);
    for (size_t b = 0; b < n; b += CHAINS) {
        SIMD_UNROLL
        for (size_t c = 0; c < CHAINS; c++) {
            if (b + c >= n)
                break;
            SIMD_NAME(vec) y = x * SIMD_NAME(load)(m + (b + c) * W);
            SIMD_NAME(store)(monomial + (b + c) * W, y);
            chain[c] = SIMD_NAME(fma)(SIMD_NAME(splat)(a + b + c), y, chain[c]);
        }
    }
    SIMD_NAME(sweep_add)((chain[0] + chain[1]) + (chain[2] + chain[3]), s->D);

    hop_sweep top = {.degree = {.d = s->degree.d, .lead = s->upper_lead},
                     .xi = s->xi,
                     .m = monomial,
                     .a = (const SIMD_REAL *)s->above + at,
                     .self = a,
                     .weight = s->weight,
                     .out = adjoint};
    for (size_t j = 0; j <= i; j++)
        SIMD_NAME(store)(run + j * W, SIMD_NAME(zero)());
    for (size_t j = 0; j <= i; j += SIMD_TERMS) {
        size_t count = i + 1 - j < SIMD_TERMS ? i + 1 - j : SIMD_TERMS;
        if (j == 0)
            SIMD_NAME(lanes_some)(count, true, true, &top, j, 0, n, run);
        else
            SIMD_NAME(lanes_some)(count, true, false, &top, j, 0, n, run);
    }
    SIMD_NAME(widen_add)(run, (i + 1) * W, s->top);

    SIMD_NAME(clear)(CHAINS, chain);
    for (size_t b = 0; b < n; b += CHAINS) {
        SIMD_UNROLL
        for (size_t c = 0; c < CHAINS; c++) {
            if (b + c >= n)
                break;
            SIMD_NAME(vec) v = SIMD_NAME(load)(adjoint + (b + c) * W);
            SIMD_NAME(store)(out + (b + c) * W, SIMD_NAME(fma)(v, x, SIMD_NAME(load)(out + (b + c) * W)));
            chain[c] = SIMD_NAME(fma)(v, SIMD_NAME(load)(m + (b + c) * W), chain[c]);
        }
    }
    SIMD_NAME(sweep_add)((chain[0] + chain[1]) + (chain[2] + chain[3]), s->sums + i * W);
}

static void SIMD_NAME(crest_run)(const hop_crest *s, size_t i, size_t from, size_t to)
{
    switch (i) {
    case 0:
        SIMD_NAME(crest_pass)(1, s, from, to);
        break;
    case 1:
        SIMD_NAME(crest_pass)(2, s, from, to);
        break;
    case 2:
        SIMD_NAME(crest_pass)(3, s, from, to);
        break;
#if SIMD_TERMS == 8
    case 3:
        SIMD_NAME(crest_pass)(4, s, from, to);
        break;
    case 4:
        SIMD_NAME(crest_pass)(5, s, from, to);
        break;
    case 5:
        SIMD_NAME(crest_pass)(6, s, from, to);
        break;
    case 6:
        SIMD_NAME(crest_pass)(7, s, from, to);
        break;
    case 7:
        SIMD_NAME(crest_pass)(8, s, from, to);
        break;
#endif
    default:
        SIMD_NAME(crest_steps)(s, i, from, to);
    }
}

static void SIMD_NAME(lanes_crest)(const hop_crest *s)
{
    const size_t *offset = s->degree.offset, d = s->degree.d, end = offset[d];
    for (size_t from = 0; from < end; from += SWEEP_RUN) {
        size_t to = end - from < SWEEP_RUN ? end : from + SWEEP_RUN;
        for (size_t i = 0; i < d && offset[i] < to; i++)
            SIMD_NAME(crest_run)(s, i, offset[i] > from ? offset[i] : from, to);
    }
}

/* ---- a single query ------------------------------------------------------------------------------------------- */

/* D[i] += the lanes of v[i], i < n; lanes are summed in SIMD_REAL. */
SIMD_INLINE void SIMD_NAME(totals_add)(size_t n, const SIMD_NAME(vec) * v, double *D)
{
    SIMD_UNROLL
    for (size_t i = 0; i < n; i++)
        D[i] += (double)SIMD_NAME(total)(v[i]);
}

static void SIMD_NAME(one_extend)(const hop_sweep *s)
{
    enum { CHAINS = 4, W = SIMD_WIDTH };
    const hop_degree *degree = &s->degree;
    size_t end = degree->offset[degree->d], all = degree->lead[degree->d - 1] + end;
    const SIMD_REAL *m = s->m, *a = s->a;
    SIMD_REAL *out = s->out;
    /* What is written behind a variable's last cofactor is written again by the next variable. */
    for (size_t i = 0; i < degree->d; i++) {
        SIMD_NAME(vec) x = SIMD_NAME(splat)((const SIMD_REAL *)s->xi + i);
        for (size_t b = degree->offset[i]; b < end; b += W)
            SIMD_NAME(store)(out + degree->lead[i] + b, x * SIMD_NAME(load)(m + b));
    }
    for (size_t c = 0; c < HOP_SWEEP_PAD; c += W)
        SIMD_NAME(store)(out + all + c, SIMD_NAME(zero)());
    for (size_t from = 0; from < all; from += CHAINS * SWEEP_RUN * W) {
        size_t n = all - from < CHAINS * SWEEP_RUN * W ? all - from : CHAINS * SWEEP_RUN * W, b = 0;
        SIMD_NAME(vec) chain[CHAINS];
        SIMD_UNROLL
        for (size_t c = 0; c < CHAINS; c++)
            chain[c] = SIMD_NAME(zero)();
        for (; b + CHAINS * W <= n; b += CHAINS * W) {
            SIMD_UNROLL
            for (size_t c = 0; c < CHAINS; c++)
                chain[c] = SIMD_NAME(fma)(SIMD_NAME(load)(a + from + b + c * W),
                                          SIMD_NAME(load)(out + from + b + c * W), chain[c]);
        }
        for (; b < n; b += W)
            chain[0] = SIMD_NAME(fma)(SIMD_NAME(load)(a + from + b), SIMD_NAME(load)(out + from + b), chain[0]);
        chain[0] = (chain[0] + chain[1]) + (chain[2] + chain[3]);
        SIMD_NAME(totals_add)(1, chain, s->sums);
    }
}

/*
 * lanes_pass for one query: from and to are multiples of SIMD_WIDTH. masked: the variable (count is 1) reaches only
 * the cofactors from offset[i] on.
 */
SIMD_INLINE void SIMD_NAME(one_pass)(size_t count, bool masked, const SIMD_REAL *rows, const hop_sweep *s, size_t i,
                                     size_t from, size_t to)
{
    enum { W = SIMD_WIDTH };
    const SIMD_REAL *row[4], *m = s->m;
    SIMD_REAL *out = s->out;
    SIMD_NAME(vec) x[4], sum[4];
    SIMD_UNROLL
    for (size_t c = 0; c < count; c++) {
        row[c] = rows + s->degree.lead[i + c];
        x[c] = SIMD_NAME(splat)((const SIMD_REAL *)s->xi + i + c);
        sum[c] = SIMD_NAME(zero)();
    }
    for (size_t b = from; b < to; b += W) {
        SIMD_NAME(vec) factor = SIMD_NAME(load)(m + b), adjoint = SIMD_NAME(load)(out + b);
        SIMD_UNROLL
        for (size_t c = 0; c < count; c++) {
            SIMD_NAME(vec) v = SIMD_NAME(load)(row[c] + b);
            if (masked)
                v = SIMD_NAME(first_lanes)(SIMD_NAME(zero)(), (int)(s->degree.offset[i] - b), v);
            sum[c] = SIMD_NAME(fma)(v, factor, sum[c]);
            adjoint = SIMD_NAME(fma)(v, x[c], adjoint);
        }
        SIMD_NAME(store)(out + b, adjoint);
    }
    SIMD_NAME(totals_add)(count, sum, s->sums + i);
}

static void SIMD_NAME(one_adjoin)(const SIMD_REAL *rows, const hop_sweep *s)
{
    enum { W = SIMD_WIDTH, TERMS = 4 };
    const hop_degree *degree = &s->degree;
    size_t d = degree->d, end = degree->offset[d], last = (end + W - 1) / W * W;
    SIMD_NAME(vec) weight = SIMD_NAME(splat)(s->weight);
    for (size_t b = 0; b < last; b += W)
        SIMD_NAME(store)((SIMD_REAL *)s->out + b, weight * SIMD_NAME(load)((const SIMD_REAL *)s->self + b));
    for (size_t from = 0; from < last; from += SWEEP_RUN * W) {
        size_t to = last - from < SWEEP_RUN * W ? last : from + SWEEP_RUN * W;
        for (size_t i = 0; i < d && degree->offset[i] < to; i += TERMS) {
            size_t full = i + TERMS <= d ? (degree->offset[i + TERMS - 1] + W - 1) / W * W : last;
            full = full < from ? from : full > to ? to : full;
            for (size_t j = i; j < i + TERMS && j < d && degree->offset[j] < full; j++) {
                size_t at = degree->offset[j] / W * W, next = at + W;
                if (at >= from)
                    SIMD_NAME(one_pass)(1, true, rows, s, j, at, next);
                at = at < from ? from : next;
                if (at < full)
                    SIMD_NAME(one_pass)(1, false, rows, s, j, at, full);
            }
            if (full < to)
                SIMD_NAME(one_pass)(TERMS, false, rows, s, i, full, to);
        }
    }
    for (size_t c = 0; c < HOP_SWEEP_PAD; c += W)
        SIMD_NAME(store)((SIMD_REAL *)s->out + end + c, SIMD_NAME(zero)());
}

static void SIMD_NAME(one_top)(const hop_sweep *s)
{
    SIMD_NAME(one_adjoin)(s->a, s);
}

static void SIMD_NAME(one_reverse)(const hop_sweep *s)
{
    SIMD_NAME(one_adjoin)(s->next, s);
}

#undef SIMD_TERMS
