/*
 * export.h - a version of a set as the bytes of a file that any program reads: npy, or safetensors with everything.
 *
 * npy: the memories, as numpy writes a C-order f4 array. safetensors: memories, values, labels, ids where they are not
 * 0 to M-1 or the next one is not M, the mean of a centered_cosine, and the settings as metadata; nothing that depends
 * on the set's name, version or time, so that the export of what was made from an export is the same to the byte. The
 * bytes are read from the set as they are asked for: only the header is a copy.
 */
#ifndef STORE_EXPORT_H
#define STORE_EXPORT_H

#include "store/set.h"

typedef enum store_export_form { STORE_EXPORT_NPY, STORE_EXPORT_SAFETENSORS, STORE_EXPORT_FORMS } store_export_form;

typedef struct store_export store_export;

/*
 * Lay an export out: its length is known. Takes a reference to the set. Errors: HOP_E_NOMEM, HOP_E_SHAPE (a header that
 * would be too long).
 */
HOP_WARN_UNUSED hop_status store_export_new(store_set *set, store_export_form form, store_export **out,
                                            hop_error *error);

/* Gives the reference to the set back. NULL is taken. */
void store_export_free(store_export *self);

uint64_t store_export_bytes(const store_export *self);

/* True where a pass over all arrays has to come before the first read: store_export_seal(). */
bool store_export_needs_seal(const store_export *self);

/* Compute the checksums that the header says. Cost: one pass at memory speed. */
void store_export_seal(store_export *self);

/*
 * Bytes from `at` on to out, at most n: how many; 0 at the end, and where the set's rows were mapped and are not what
 * they were. One thread at a time.
 */
size_t store_export_read(const store_export *self, uint64_t at, char *out, size_t n);

#endif
