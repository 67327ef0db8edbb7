/*
 * selection.h - which memories a structured model looks at: all, a window of neighbours, or a random mask. What is done
 * with them is scan.h's and subset.h's.
 */
#ifndef HOP_SELECTION_H
#define HOP_SELECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memories of [first, end); where masked, those whose number in [0, 1) is below keep. Never empty. */
typedef struct hop_selection {
    size_t first, end;
    bool masked;
    double keep;
    uint64_t start; /* of the generator: see hop_mask_number() */
} hop_selection;

hop_selection hop_selection_all(size_t M);

/* |mu - c| <= width (SIZE_MAX: ceil(sqrt(M))), c the centre of row l among total >= 1 rows. */
hop_selection hop_selection_window(size_t M, size_t width, size_t l, size_t total);

/*
 * { mu: hop_mask_number(seed, mu) < keep }, and where that is empty the memory with the smallest number (of equal ones
 * the lower). Cost: 1/keep hashes on average.
 */
hop_selection hop_selection_mask(size_t M, double keep, uint64_t seed);

/*
 * Up to `most` of the selected ids of [*cursor, end), ascending; *cursor moves behind the last one looked at. 0: there
 * are none left. Start at selection->first or later.
 */
size_t hop_selection_next(const hop_selection *selection, size_t *cursor, size_t end, size_t most, size_t *ids);

/* round-half-up(l (M - 1) / max(1, total - 1)), exact for all sizes; l < total, M >= 1. */
size_t hop_window_centre(size_t M, size_t l, size_t total);

/* ceil(sqrt(M)). */
size_t hop_window_width(size_t M);

/*
 * The number in [0, 1) of memory id: the first 53 bits of output number id (from 0) of the generator splitmix64 that
 * starts from the state mix(seed), mix being its output function; the same on every machine. Steele, Lea and Flood,
 * "Fast Splittable Pseudorandom Number Generators" (2014), with the constants of Vigna's splitmix64.
 */
double hop_mask_number(uint64_t seed, size_t id);

#endif
