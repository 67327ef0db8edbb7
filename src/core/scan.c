/*
 * scan.c - scores one by one, and the selection of the heaviest in a fixed room (scan.h).
 */
#include "core/scan.h"

#include <assert.h>

#include "core/dense.h"
#include "core/kernels.h"
#include "core/rounding.h"

enum { LANES = 8 };

double hop_score(const hop_model *model, const double *xi, size_t id)
{
    const hop_geometry *key = &model->key;
    const size_t d = model->d, whole = d - d % LANES;
    const float *row = model->keys + id * d;
    double sum[LANES] = {0};
    for (size_t l = 0; l < whole; l += LANES)
        for (size_t i = 0; i < LANES; i++)
            sum[i] += ((double)row[l + i] - key->centre[l + i]) * key->inverse[l + i] * xi[l + i];
    for (size_t l = whole; l < d; l++)
        sum[l - whole] += hop_geometry_scaled(key, row, l) * xi[l];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

double hop_score_error(const hop_model *model, const hop_query *query, bool f64)
{
    const hop_kernels *kernels = hop_kernels_get();
    const double d = (double)model->d, s = query->s, u = f64 ? HOP_U64 : HOP_U32;
    const double depth = f64 ? d + 1 : hop_max(d + 1, kernels->score_depth);
    const double underflow = f64 ? 0x1p-1000 : kernels->underflow_f32 * 1024;
    if (!query->usable || (!f64 && !hop_dense_f32_possible(query)))
        return (double)INFINITY;
    return hop_up((hop_gamma(depth + 3, u) + hop_gamma(query->roundings + 6, HOP_U64)) * s + d * underflow * (1 + s));
}

size_t hop_scan_next(const hop_scan *scan, size_t *cursor, size_t end, hop_entry *block)
{
    size_t ids[HOP_SCAN_BLOCK];
    const size_t n = hop_selection_next(&scan->selection, cursor, end, HOP_SCAN_BLOCK, ids);
    for (size_t i = 0; i < n; i++)
        block[i] = (hop_entry){.score = hop_score(scan->model, scan->query->xi, ids[i]), .id = ids[i]};
    return n;
}

/* Restore the heap below `at`: no entry heavier than the one above it. */
static void sift(hop_entry *heap, size_t n, size_t at)
{
    const hop_entry moved = heap[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && hop_heavier(&heap[child + 1], &heap[child]))
            child++;
        if (!hop_heavier(&heap[child], &moved))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static void swap(hop_entry *a, hop_entry *b)
{
    const hop_entry kept = *a;
    *a = *b;
    *b = kept;
}

/* The heaviest `most` of a heap's n entries gather at the end, from there downwards. */
static void pop(hop_entry *entries, size_t n, size_t most)
{
    for (size_t at = n / 2; at-- > 0;)
        sift(entries, n, at);
    for (size_t left = n; left > n - most; left--) {
        swap(&entries[0], &entries[left - 1]);
        sift(entries, left - 1, 0);
    }
    for (size_t i = 0; i < n / 2; i++)
        swap(&entries[i], &entries[n - 1 - i]);
}

/* entries[0] becomes the middle one of three. */
static void choose_pivot(hop_entry *entries, size_t n)
{
    hop_entry *a = &entries[0], *b = &entries[n / 2], *c = &entries[n - 1];
    hop_entry *high = hop_heavier(a, b) ? a : b, *low = high == a ? b : a;
    swap(a, hop_heavier(c, high) ? high : hop_heavier(low, c) ? low : c);
}

void hop_entries_part(hop_entry *entries, size_t n, size_t most)
{
    enum { FEW = 16, ROUNDS = 64 }; /* a range that does not shrink as it should is sorted */
    assert(most <= n);
    if (most == 0)
        return;
    int rounds = 0;
    for (size_t low = 0, high = n;;) { /* the last one of the `most` is in [low, high) */
        hop_entry *range = entries + low;
        if (high - low <= FEW || rounds++ == ROUNDS) {
            pop(range, high - low, most - low);
            return;
        }
        choose_pivot(range, high - low);
        const hop_entry pivot = range[0];
        size_t heavier = 0; /* range[1..heavier] are */
        for (size_t i = 1; i < high - low; i++)
            if (hop_heavier(&range[i], &pivot))
                swap(&range[++heavier], &range[i]);
        swap(&range[0], &range[heavier]);
        if (low + heavier + 1 == most)
            return;
        if (low + heavier + 1 > most)
            high = low + heavier;
        else
            low += heavier + 1;
    }
}

void hop_entries_select(hop_entry *entries, size_t n, size_t most)
{
    hop_entries_part(entries, n, most);
    pop(entries, most, most);
}

size_t hop_scan_best(const hop_scan *scan, const hop_entry *after, size_t most, hop_entry *room, size_t capacity)
{
    hop_entry block[HOP_SCAN_BLOCK];
    size_t kept = 0, cursor = scan->selection.first;
    bool bounded = false; /* room[most - 1] is the lightest that counts; ids that come later lose ties against it */
    double lightest = 0;
    assert(most > 0 && capacity >= 2 * most + HOP_SCAN_BLOCK);
    for (size_t n; (n = hop_scan_next(scan, &cursor, scan->selection.end, block)) > 0;) {
        for (size_t i = 0; i < n; i++)
            if ((!bounded || block[i].score > lightest) && (!after || hop_heavier(after, &block[i])))
                room[kept++] = block[i];
        if (kept + HOP_SCAN_BLOCK > capacity) {
            hop_entries_part(room, kept, most);
            kept = most;
            bounded = true;
            lightest = room[most - 1].score;
        }
    }
    const size_t found = kept < most ? kept : most;
    hop_entries_select(room, kept, found);
    return found;
}
