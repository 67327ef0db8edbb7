/*
 * alloc.h - the one place where the core gets memory, so that a test can make it run out.
 */
#ifndef HOP_ALLOC_H
#define HOP_ALLOC_H

#include "core/hopfield.h"

/*
 * For tests: a gate that is asked before each allocation; false means that it fails. NULL: every allocation may
 * succeed. Set it while no other thread uses the library.
 */
typedef bool hop_alloc_gate(size_t bytes);
void hop_alloc_set_gate(hop_alloc_gate *gate);

/* rows x columns elements of `element` bytes, zeroed, 64-byte aligned; NULL on overflow or when memory is out. */
void *hop_array_new(size_t rows, size_t columns, size_t element);

/* The same with whatever is there: for what is written all over before it is read, by the threads that write it. */
void *hop_array_alloc(size_t rows, size_t columns, size_t element);

#endif
