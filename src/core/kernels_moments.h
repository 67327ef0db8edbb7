/*
 * kernels_moments.h - products of rows of f64 and their sums: the part of the shape of kernels_simd.h that feature maps
 * are built by. Included by that file once a machine.
 *
 * Lanes lie along the rows, so that any two rows can meet and no count of rows is rounded up to a vector. A tile of
 * MOMENT_LEFT by MOMENT_RIGHT sums stays in registers to the end of the rows; its lanes are then added, SIMD_WIDTH sums
 * at a time.
 */
enum { MOMENT_LEFT = 3, MOMENT_RIGHT = SIMD_WIDTH == 4 ? 4 : 8 };

static void moment_multiply(size_t rows, size_t stride, const double *factor, const double *from, double *out)
{
    assert(stride % HOP_ROW_STEP == 0);
    for (size_t j = 0; j < rows; j++, from += stride, out += stride)
        for (size_t m = 0; m < stride; m += SIMD_WIDTH)
            SIMD_NAME(store)(out + m, SIMD_NAME(load)(factor + m) * SIMD_NAME(load)(from + m));
}

/* One tile; where fewer than `right` rows are left, the last one stands in for those that are not there. */
SIMD_INLINE void moment_tile(const hop_row_products *work, size_t j, size_t c, size_t left, size_t right, size_t have)
{
    const size_t stride = work->stride;
    const double *const *a = work->left + j;
    const double *b[MOMENT_RIGHT];
    SIMD_NAME(vec) acc[MOMENT_LEFT][MOMENT_RIGHT];
    SIMD_UNROLL
    for (size_t k = 0; k < right; k++)
        b[k] = work->right + (c + (k < have ? k : have - 1)) * stride;
    SIMD_UNROLL
    for (size_t i = 0; i < left; i++) {
        SIMD_UNROLL
        for (size_t k = 0; k < MOMENT_RIGHT; k++)
            acc[i][k] = SIMD_NAME(zero)();
    }
    for (size_t m = 0; m < stride; m += SIMD_WIDTH) {
        SIMD_NAME(vec) x[MOMENT_LEFT];
        SIMD_UNROLL
        for (size_t i = 0; i < left; i++)
            x[i] = SIMD_NAME(load)(a[i] + m);
        SIMD_UNROLL
        for (size_t k = 0; k < right; k++) {
            SIMD_NAME(vec) y = SIMD_NAME(load)(b[k] + m);
            SIMD_IN_REGISTER(y);
            SIMD_UNROLL
            for (size_t i = 0; i < left; i++)
                acc[i][k] = SIMD_NAME(fma)(x[i], y, acc[i][k]);
        }
    }
    SIMD_UNROLL
    for (size_t i = 0; i < left; i++) {
        double *out = work->sums + work->at[j + i] + c;
        SIMD_UNROLL
        for (size_t k = 0; k < right; k += SIMD_WIDTH) {
            SIMD_NAME(vec) sums = SIMD_NAME(lane_sums)(&acc[i][k]);
            if (have == MOMENT_RIGHT) {
                SIMD_NAME(store)(out + k, SIMD_NAME(add)(SIMD_NAME(load)(out + k), sums));
                continue;
            }
            double some[SIMD_WIDTH];
            SIMD_NAME(store)(some, sums);
            for (size_t e = 0; e < SIMD_WIDTH && k + e < have; e++)
                out[k + e] += some[e];
        }
    }
}

/* `left` left rows from j on against up to MOMENT_RIGHT right rows from c on. */
SIMD_INLINE void moment_strip(const hop_row_products *work, size_t j, size_t c, size_t left)
{
    size_t have = work->n_right - c;
    if (have >= MOMENT_RIGHT)
        moment_tile(work, j, c, left, MOMENT_RIGHT, MOMENT_RIGHT);
    else if (have > MOMENT_RIGHT / 2)
        moment_tile(work, j, c, left, MOMENT_RIGHT, have);
    else
        moment_tile(work, j, c, left, MOMENT_RIGHT / 2, have);
}

/* Left rows are dealt out evenly: a tile of one row waits for its loads. */
static void moment_products(const hop_row_products *work)
{
    assert(work->stride % HOP_ROW_STEP == 0);
    for (size_t c = 0; c < work->n_right; c += MOMENT_RIGHT) {
        size_t tiles = (work->n_left + MOMENT_LEFT - 1) / MOMENT_LEFT, j = 0;
        for (; tiles > 0; tiles--) {
            size_t left = (work->n_left - j + tiles - 1) / tiles;
            if (left == 3)
                moment_strip(work, j, c, 3);
            else if (left == 2)
                moment_strip(work, j, c, 2);
            else
                moment_strip(work, j, c, 1);
            j += left;
        }
    }
}
