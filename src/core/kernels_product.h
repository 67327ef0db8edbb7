/*
 * kernels_product.h - a run of monomials times rows of A (hop_product): the part of the shape of kernels_simd.h that
 * answers for values that are not the keys. Included by that file once a machine and precision.
 *
 * Side by side, a vector holds one monomial of SIMD_WIDTH queries, and a tile of columns' sums stays in registers while
 * the run passes; each coefficient is read as one number. Of a single query, vectors lie along the columns. Where a
 * tile has few sums, they are split into chains, which hide the latency of the multiply-add.
 */
enum { SIMD_NAME(product_tile) = SIMD_WIDTH * sizeof(SIMD_REAL) == 64 ? 24 : 12 };
_Static_assert((int)HOP_PRODUCT_RUN + 10 <= (int)HOP_SWEEP_DEPTH, "a run's chain, what is left of chains, their sum");

static void SIMD_NAME(lanes_weigh)(size_t n, const void *weight, const void *m, void *out)
{
    SIMD_NAME(vec) factor = SIMD_NAME(load)(weight);
    for (size_t b = 0; b < n * SIMD_WIDTH; b += SIMD_WIDTH)
        SIMD_NAME(store)((SIMD_REAL *)out + b, factor * SIMD_NAME(load)((const SIMD_REAL *)m + b));
}

static void SIMD_NAME(one_weigh)(size_t n, const void *weight, const void *m, void *out)
{
    SIMD_NAME(vec) factor = SIMD_NAME(splat)(weight);
    for (size_t b = 0; b < n; b += SIMD_WIDTH)
        SIMD_NAME(store)((SIMD_REAL *)out + b, factor * SIMD_NAME(load)((const SIMD_REAL *)m + b));
}

/* acc[c] += acc of the other chains. */
SIMD_INLINE void SIMD_NAME(product_join)(size_t count, size_t chains, SIMD_NAME(vec) * acc)
{
    SIMD_UNROLL
    for (size_t half = chains / 2; half; half /= 2) {
        SIMD_UNROLL
        for (size_t i = 0; i < half * count; i++)
            acc[i] = SIMD_NAME(add)(acc[i], acc[i + half * count]);
    }
}

SIMD_INLINE void SIMD_NAME(lanes_product_tile)(size_t count, size_t chains, const hop_product *w, size_t j)
{
    enum { W = SIMD_WIDTH };
    SIMD_NAME(vec) acc[SIMD_NAME(product_tile)];
    const SIMD_REAL *m = w->m, *a = (const SIMD_REAL *)w->a + j;
    size_t b = 0;
    SIMD_NAME(clear)(count * chains, acc);
    for (; b + chains <= w->n; b += chains) {
        SIMD_UNROLL
        for (size_t k = 0; k < chains; k++, m += W, a += w->stride) {
            SIMD_NAME(vec) factor = SIMD_NAME(load)(m);
            SIMD_UNROLL
            for (size_t c = 0; c < count; c++)
                acc[k * count + c] = SIMD_NAME(fma)(SIMD_NAME(splat)(a + c), factor, acc[k * count + c]);
        }
    }
    for (; b < w->n; b++, m += W, a += w->stride) {
        SIMD_NAME(vec) factor = SIMD_NAME(load)(m);
        SIMD_UNROLL
        for (size_t c = 0; c < count; c++)
            acc[c] = SIMD_NAME(fma)(SIMD_NAME(splat)(a + c), factor, acc[c]);
    }
    SIMD_NAME(product_join)(count, chains, acc);
    SIMD_UNROLL
    for (size_t c = 0; c < count; c++)
        SIMD_NAME(sweep_add)(acc[c], w->sums + (j + c) * W);
}

static void SIMD_NAME(lanes_product)(const hop_product *w)
{
    size_t j = 0;
    assert(w->n <= HOP_PRODUCT_RUN);
    for (; j + SIMD_NAME(product_tile) <= w->columns; j += SIMD_NAME(product_tile))
        SIMD_NAME(lanes_product_tile)(SIMD_NAME(product_tile), 1, w, j);
    for (; j + 8 <= w->columns; j += 8)
        SIMD_NAME(lanes_product_tile)(8, 1, w, j);
    for (; j + 4 <= w->columns; j += 4)
        SIMD_NAME(lanes_product_tile)(4, 2, w, j);
    for (; j < w->columns; j++)
        SIMD_NAME(lanes_product_tile)(1, 8, w, j);
}

/* `count` vectors of columns from j on, of which `columns` columns are there. */
SIMD_INLINE void SIMD_NAME(one_product_tile)(size_t count, size_t chains, const hop_product *w, size_t j,
                                             size_t columns)
{
    enum { W = SIMD_WIDTH };
    SIMD_NAME(vec) acc[8];
    const SIMD_REAL *m = w->m, *a = (const SIMD_REAL *)w->a + j;
    size_t b = 0;
    SIMD_NAME(clear)(count * chains, acc);
    for (; b + chains <= w->n; b += chains) {
        SIMD_UNROLL
        for (size_t k = 0; k < chains; k++, m++, a += w->stride) {
            SIMD_NAME(vec) factor = SIMD_NAME(splat)(m);
            SIMD_UNROLL
            for (size_t c = 0; c < count; c++)
                acc[k * count + c] = SIMD_NAME(fma)(SIMD_NAME(load)(a + c * W), factor, acc[k * count + c]);
        }
    }
    for (; b < w->n; b++, m++, a += w->stride) {
        SIMD_NAME(vec) factor = SIMD_NAME(splat)(m);
        SIMD_UNROLL
        for (size_t c = 0; c < count; c++)
            acc[c] = SIMD_NAME(fma)(SIMD_NAME(load)(a + c * W), factor, acc[c]);
    }
    SIMD_NAME(product_join)(count, chains, acc);
    SIMD_UNROLL
    for (size_t c = 0; c < count; c++) {
        if (c * W + W <= columns) {
            SIMD_NAME(sweep_add)(acc[c], w->sums + j + c * W);
            continue;
        }
        SIMD_REAL lanes[SIMD_WIDTH];
        SIMD_NAME(store)(lanes, acc[c]);
        for (size_t i = 0; c * W + i < columns; i++)
            w->sums[j + c * W + i] += (double)lanes[i];
    }
}

static void SIMD_NAME(one_product)(const hop_product *w)
{
    enum { W = SIMD_WIDTH };
    assert(w->n <= HOP_PRODUCT_RUN);
    for (size_t j = 0; j < w->columns;) {
        size_t left = w->columns - j, vectors = (left + W - 1) / W;
        size_t count = vectors >= 8 ? 8 : vectors >= 4 ? 4 : vectors >= 2 ? 2 : 1;
        size_t columns = left < count * W ? left : count * W;
        if (count == 8)
            SIMD_NAME(one_product_tile)(8, 1, w, j, columns);
        else if (count == 4)
            SIMD_NAME(one_product_tile)(4, 2, w, j, columns);
        else if (count == 2)
            SIMD_NAME(one_product_tile)(2, 4, w, j, columns);
        else
            SIMD_NAME(one_product_tile)(1, 8, w, j, columns);
        j += columns;
    }
}
