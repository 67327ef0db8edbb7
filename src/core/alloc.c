/*
 * alloc.c - aligned memory behind a gate that tests can close.
 */
#include "core/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/checked.h"

enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };

static hop_alloc_gate *alloc_gate;

void hop_alloc_set_gate(hop_alloc_gate *gate)
{
    alloc_gate = gate;
}

void *hop_aligned_alloc(size_t bytes)
{
    if (bytes > SIZE_MAX - ALIGNMENT || (alloc_gate && !alloc_gate(bytes)))
        return NULL;
    const size_t rounded = bytes ? hop_round_up(bytes, ALIGNMENT) : ALIGNMENT;
#ifdef MADV_HUGEPAGE
    /* Large blocks are streamed: with huge pages the fetching ahead does not stop every 4 KiB. Advice, no more. */
    if (rounded >= 2 * (size_t)HUGE_PAGE && rounded <= SIZE_MAX - HUGE_PAGE) {
        void *block = aligned_alloc(HUGE_PAGE, hop_round_up(rounded, HUGE_PAGE));
        if (block)
            madvise(block, rounded / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
        return block;
    }
#endif
    return aligned_alloc(ALIGNMENT, rounded);
}

void hop_aligned_free(void *block)
{
    free(block);
}

void *hop_array_alloc(size_t rows, size_t columns, size_t element)
{
    size_t bytes;
    return hop_array_bytes(rows, columns, element, &bytes) ? hop_aligned_alloc(bytes) : NULL;
}

void *hop_array_new(size_t rows, size_t columns, size_t element)
{
    void *block = hop_array_alloc(rows, columns, element);
    if (block)
        memset(block, 0, rows * columns * element);
    return block;
}
