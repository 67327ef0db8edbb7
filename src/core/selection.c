/*
 * selection.c - windows and masks, in integers (selection.h).
 */
#include "core/selection.h"

#include <math.h>

#include "core/splitmix.h"

static double number(uint64_t start, size_t id)
{
    return (double)(hop_mix64(start + ((uint64_t)id + 1) * HOP_MIX_STEP) >> 11) * 0x1p-53;
}

double hop_mask_number(uint64_t seed, size_t id)
{
    return number(hop_mix64(seed), id);
}

hop_selection hop_selection_all(size_t M)
{
    return (hop_selection){.end = M};
}

size_t hop_window_centre(size_t M, size_t l, size_t total)
{
    __extension__ typedef unsigned __int128 wide; /* l (M - 1) may take twice the bits of a size */
    const size_t steps = total > 1 ? total - 1 : 1;
    const wide product = (wide)l * (M - 1);
    const size_t whole = (size_t)(product / steps), rest = (size_t)(product % steps);
    return whole + (rest >= steps - rest ? 1 : 0);
}

size_t hop_window_width(size_t M)
{
    size_t root = (size_t)sqrt((double)M); /* off by one at most */
    root = root ? root : 1;
    while (root > 1 && M / (root - 1) + (M % (root - 1) != 0) <= root - 1)
        root--;
    while (M / root + (M % root != 0) > root)
        root++;
    return root;
}

hop_selection hop_selection_window(size_t M, size_t width, size_t l, size_t total)
{
    const size_t centre = hop_window_centre(M, l, total), reach = width == SIZE_MAX ? hop_window_width(M) : width;
    return (hop_selection){.first = centre < reach ? 0 : centre - reach,
                           .end = M - 1 - centre < reach ? M : centre + reach + 1};
}

hop_selection hop_selection_mask(size_t M, double keep, uint64_t seed)
{
    const uint64_t start = hop_mix64(seed);
    double smallest = 2;
    size_t at = 0;
    for (size_t id = 0; id < M; id++) {
        const double here = number(start, id);
        if (here < keep)
            return (hop_selection){.first = id, .end = M, .masked = true, .keep = keep, .start = start};
        if (here < smallest) {
            smallest = here;
            at = id;
        }
    }
    return (hop_selection){.first = at, .end = at + 1};
}

size_t hop_selection_next(const hop_selection *selection, size_t *cursor, size_t end, size_t most, size_t *ids)
{
    size_t n = 0, id = *cursor;
    end = end < selection->end ? end : selection->end;
    if (!selection->masked) {
        for (; id < end && n < most; id++)
            ids[n++] = id;
    } else {
        for (; id < end && n < most; id++) {
            ids[n] = id;
            n += number(selection->start, id) < selection->keep;
        }
    }
    *cursor = id;
    return n;
}
