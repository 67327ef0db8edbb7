/*
 * kernels_sift.h - scores against thresholds in f32: part of the template kernels_simd.h, whose scores it takes. Almost
 * all of them are below: what is kept of those is nothing, and no score leaves the nearest cache.
 */
#ifndef HOP_KERNELS_SIFT_H
#define HOP_KERNELS_SIFT_H

/*
 * What lies behind `count` memories from `low` on, cut as ahead_of() does it: a lot with each of so many steps of each
 * group of queries, the one that begins with `first` now.
 */
static inline simd_ahead sift_ahead_of(const hop_panel_f32 *panel, size_t low, size_t count, size_t first,
                                       size_t group_size, size_t steps)
{
    const size_t groups = (panel->L + group_size - 1) / group_size, group = first / group_size;
    const size_t keys = (count + HOP_PANEL - 1) / HOP_PANEL * HOP_PANEL * panel->d;
    const size_t lines = keys * sizeof(float) / 64;
    return (simd_ahead){.keys = (uintptr_t)(panel->keys + low * panel->d + keys),
                        .cut = lines,
                        .line = lines * group / groups,
                        .end = lines * (group + 1) / groups,
                        .lot = lines / groups / steps + 1};
}

/* The first `count` bits. */
static inline uint64_t sift_first(size_t count)
{
    return count < 64 ? (UINT64_C(1) << count) - 1 : ~UINT64_C(0);
}

/* Which of n scores, whole vectors and at most 64, are `least` or more. */
SIMD_INLINE uint64_t sift_row(size_t n, const float *scores, const float *least)
{
    const vec_f32 low = splat_f32(least);
    uint64_t which = 0;
    SIMD_UNROLL
    for (size_t m = 0; m < n; m += SIMD_WIDTH)
        which |= (uint64_t)which_least_f32(load_f32(scores + m), low) << m;
    return which;
}

/*
 * keys_score_tile() for a panel that is read once: as computing is a fraction of the time, all of the next panel is
 * asked for, line by line.
 */
SIMD_INLINE void sift_score_tile(size_t queries, size_t d, const float *x, const float *keys, float *scores)
{
    for (size_t memory = 0; memory < HOP_PANEL; memory += SIMD_SLOTS * SIMD_WIDTH) {
        vec_f32 acc[SIMD_KEPT * SIMD_SLOTS];
        const float *row = keys + memory;
        clear_f32(queries * SIMD_SLOTS, acc);
        for (size_t l = 0; l < d; l++, row += HOP_PANEL) {
            SIMD_UNROLL
            for (size_t s = 0; s < SIMD_SLOTS; s++) {
                const vec_f32 key = load_f32(row + s * SIMD_WIDTH);
                if (s * SIMD_WIDTH * sizeof(float) % 64 == 0)
                    SIMD_FETCH(row + s * SIMD_WIDTH, d * HOP_PANEL * sizeof(float));
                SIMD_UNROLL
                for (size_t q = 0; q < queries; q++)
                    acc[q * SIMD_SLOTS + s] = fma_f32(splat_f32(x + q * d + l), key, acc[q * SIMD_SLOTS + s]);
            }
        }
        SIMD_UNROLL
        for (size_t i = 0; i < queries * SIMD_SLOTS; i++)
            store_f32(scores + i / SIMD_SLOTS * HOP_PANEL + memory + i % SIMD_SLOTS * SIMD_WIDTH, acc[i]);
    }
}

static SIMD_APART void sift_score_step(size_t queries, size_t d, const float *x, const float *keys, float *scores)
{
    switch (queries) {
    case 1:
        sift_score_tile(1, d, x, keys, scores);
        break;
    case 2:
        sift_score_tile(2, d, x, keys, scores);
        break;
    case 3:
        sift_score_tile(3, d, x, keys, scores);
        break;
    default:
        sift_score_tile(SIMD_KEPT, d, x, keys, scores);
    }
}

static void sift_f32(const hop_panel_f32 *panel, const hop_sift *to)
{
    assert(panel->count <= HOP_RUN);
    const size_t d = panel->d;
    float *scores = panel->scratch;
    const size_t steps = (panel->count + HOP_PANEL - 1) / HOP_PANEL * (SIMD_GROUP / SIMD_QUERIES) * cuts_f32(d);
    for (size_t first = 0; first < panel->L; first += SIMD_GROUP) {
        const size_t queries = panel->L - first < SIMD_GROUP ? panel->L - first : SIMD_GROUP;
        simd_ahead ahead = sift_ahead_of(panel, 0, panel->count, first, SIMD_GROUP, steps);
        for (size_t memory = 0; memory < panel->count; memory += HOP_PANEL) {
            const float *keys = panel->keys + memory * d, *x = panel->x + first * d;
            const uint64_t real = sift_first(panel->count - memory);
            if (panel->L <= SIMD_KEPT)
                sift_score_step(queries, d, x, keys, scores);
            else
                scores_of_f32(queries, d, x, keys, scores, &ahead);
            for (size_t q = 0; q < queries; q++) {
                const float *row = scores + q * HOP_PANEL;
                const uint64_t which = sift_row(HOP_PANEL, row, to->least + first + q) & real;
                if (which)
                    to->found(to->context, first + q, memory, which, row);
            }
        }
    }
}

#endif
