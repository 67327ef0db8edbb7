/*
 * kernels_amx_planes.h - numbers as AMX's tiles hold them: the planes of an f32, and what is made of them: panels,
 * queries and weights (kernels_amx.h). Part of kernels_avx512.c.
 *
 * An f32 is the sum of three bf16, its planes: high, middle and low, exactly. A tile is 16 rows of 64 bytes. A left one
 * holds a query a row, a right one a memory (for scores) or a value (for sums) a column; element k of a left row meets
 * the pair k of a right tile's rows. What a pair is made of is free as long as both sides agree: here coordinates l and
 * l + 16 of a chunk of 32, or memories m and m + 16, so that pairs are made of two vectors without a shuffle. Tiles lie
 * [chunk][row of tiles][plane].
 */
#ifndef HOP_KERNELS_AMX_PLANES_H
#define HOP_KERNELS_AMX_PLANES_H

enum {
    AMX_SIDE = 16,  /* rows of a tile, and f32 or pairs of a row */
    AMX_CHUNK = 32, /* products that an element of a result sums */
    AMX_TILE = AMX_SIDE * AMX_CHUNK,
    AMX_PLANES = 3,
    AMX_QUERIES = 32,                       /* of a group: two tiles */
    AMX_BLOCK = 32,                         /* memories that are scored at a time: two tiles, and a chunk of the sums */
    AMX_SQUARE = 2 * AMX_PLANES * AMX_TILE, /* bf16 of a chunk of two tiles */
};

static inline size_t amx_chunks(size_t d)
{
    return (d + AMX_CHUNK - 1) / AMX_CHUNK;
}

/* Half a chunk holds two planes side by side: its six products are three. */
static inline bool amx_stacks(size_t d)
{
    return d % AMX_CHUNK && d % AMX_CHUNK <= AMX_SIDE;
}

/* Products of two squares of tiles that a square of scores takes. */
static inline size_t amx_steps(size_t d)
{
    return amx_chunks(d) * 6 - (amx_stacks(d) ? 3 : 0);
}

static inline size_t amx_key_words(size_t d)
{
    return amx_chunks(d) * AMX_SQUARE / AMX_BLOCK;
}

static inline size_t amx_value_words(size_t columns)
{
    return columns * AMX_PLANES;
}

typedef struct amx_planes {
    __m512i high, middle, low;
} amx_planes;

static inline __m512i amx_rounded(__m512 v)
{
    const __m512i half = _mm512_set1_epi32(0x8000), kept = _mm512_set1_epi32(-0x10000);
    return _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(v), half), kept);
}

static inline amx_planes amx_split(__m512 v)
{
    amx_planes p;
    p.high = amx_rounded(v);
    v = _mm512_sub_ps(v, _mm512_castsi512_ps(p.high));
    p.middle = amx_rounded(v);
    p.low = _mm512_castps_si512(_mm512_sub_ps(v, _mm512_castsi512_ps(p.middle)));
    return p;
}

/* The upper halves of a and of b as pairs, (a, b). */
static inline __m512i amx_pair(__m512i a, __m512i b)
{
    const __m512i kept = _mm512_set1_epi32(-0x10000);
    return _mm512_ternarylogic_epi32(_mm512_srli_epi32(a, 16), b, kept, 0xd8); /* kept ? b : a */
}

static inline void amx_put(uint16_t *tile, size_t row, __m512i pairs)
{
    _mm512_store_si512(tile + row * AMX_CHUNK, pairs);
}

/* A row of pairs (a, b) into the tiles of three planes. */
static inline void amx_put_planes(uint16_t *tiles, size_t row, amx_planes a, amx_planes b)
{
    amx_put(tiles, row, amx_pair(a.high, b.high));
    amx_put(tiles + AMX_TILE, row, amx_pair(a.middle, b.middle));
    amx_put(tiles + 2 * AMX_TILE, row, amx_pair(a.low, b.low));
}

static size_t amx_queries_bytes(size_t L, size_t d)
{
    return (L + AMX_QUERIES - 1) / AMX_QUERIES * amx_chunks(d) * AMX_SQUARE * sizeof(uint16_t);
}

/* Sixteen coordinates from l on, 0 where there are none. */
static inline __m512 amx_coordinates(const float *x, size_t l, size_t d)
{
    const size_t rest = l < d ? d - l : 0;
    return _mm512_maskz_loadu_ps((__mmask16)(rest >= AMX_SIDE ? 0xffffu : (1u << rest) - 1u), x + (rest ? l : 0));
}

static void amx_queries(size_t L, size_t d, const float *x, void *queries)
{
    const size_t chunks = amx_chunks(d), all = (L + AMX_QUERIES - 1) / AMX_QUERIES * AMX_QUERIES;
    uint16_t *to = queries;
    for (size_t q = 0; q < all; q++) {
        uint16_t *group = to + q / AMX_QUERIES * chunks * AMX_SQUARE;
        const size_t side = q / AMX_SIDE % 2 * AMX_PLANES * AMX_TILE, row = q % AMX_SIDE;
        for (size_t c = 0; c < chunks; c++) {
            uint16_t *tiles = group + c * AMX_SQUARE + side;
            const size_t l = c * AMX_CHUNK, end = q < L ? d : 0;
            const float *from = q < L ? x + q * d : x;
            const amx_planes a = amx_split(amx_coordinates(from, l, end));
            if (c + 1 == chunks && amx_stacks(d)) {
                amx_put(tiles, row, amx_pair(a.high, a.high));
                amx_put(tiles + AMX_TILE, row, amx_pair(a.middle, a.middle));
                amx_put(tiles + 2 * AMX_TILE, row, amx_pair(a.low, a.high));
            } else {
                amx_put_planes(tiles, row, a, amx_split(amx_coordinates(from, l + AMX_SIDE, end)));
            }
        }
    }
}

/* Planes of numbers that are not negative, cut off instead of rounded: no plane is negative either. */
static inline amx_planes amx_cut(__m512 v)
{
    const __m512i kept = _mm512_set1_epi32(-0x10000);
    amx_planes p = {.high = _mm512_castps_si512(v)};
    v = _mm512_sub_ps(v, _mm512_castsi512_ps(_mm512_and_si512(p.high, kept)));
    p.middle = _mm512_castps_si512(v);
    p.low = _mm512_castps_si512(_mm512_sub_ps(v, _mm512_castsi512_ps(_mm512_and_si512(p.middle, kept))));
    return p;
}

/* A panel of keys: its two blocks. */
static SIMD_APART void amx_keys(size_t d, const float *keys, uint16_t *to)
{
    const size_t chunks = amx_chunks(d);
    for (size_t c = 0; c < chunks; c++) {
        const bool stacked = c + 1 == chunks && amx_stacks(d);
        for (size_t row = 0; row < AMX_SIDE; row++) {
            const size_t l = c * AMX_CHUNK + row;
            for (size_t tile = 0; tile < HOP_PANEL / AMX_SIDE; tile++) {
                uint16_t *tiles = to + (tile / 2 * chunks + c) * AMX_SQUARE + tile % 2 * AMX_PLANES * AMX_TILE;
                const float *at = keys + l * HOP_PANEL + tile * AMX_SIDE;
                const amx_planes a = amx_split(l < d ? load_f32(at) : zero_f32());
                if (stacked) {
                    amx_put(tiles, row, amx_pair(a.high, a.low));
                    amx_put(tiles + AMX_TILE, row, amx_pair(a.middle, a.high));
                    continue;
                }
                const bool there = l + AMX_SIDE < d;
                amx_put_planes(tiles, row, a, amx_split(there ? load_f32(at + AMX_SIDE * HOP_PANEL) : zero_f32()));
            }
        }
    }
}

/* Sixteen values of memory m, from column j on; they may be the keys. */
static inline __m512 amx_values_at(const hop_panel_f32 *panel, size_t m, size_t j)
{
    if (panel->values)
        return load_f32(panel->values + hop_value_at(panel->columns, m, j));
    const size_t d = panel->d, rest = j < d ? d - j : 0;
    const __m512i rows = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const float *at = panel->keys + (m / HOP_PANEL * d + (rest ? j : 0)) * HOP_PANEL + m % HOP_PANEL;
    return _mm512_mask_i32gather_ps(zero_f32(), (__mmask16)(rest >= AMX_SIDE ? 0xffffu : (1u << rest) - 1u),
                                    _mm512_slli_epi32(rows, 6), at, sizeof(float));
}

/* A block of values, from memory m on. */
static SIMD_APART void amx_values(const hop_panel_f32 *panel, size_t m, uint16_t *to)
{
    for (size_t row = 0; row < AMX_SIDE; row++)
        for (size_t j = 0; j < panel->columns; j += AMX_SIDE)
            amx_put_planes(to + j / AMX_SIDE * AMX_PLANES * AMX_TILE, row, amx_split(amx_values_at(panel, m + row, j)),
                           amx_split(amx_values_at(panel, m + AMX_SIDE + row, j)));
}

#endif
