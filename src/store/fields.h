/*
 * fields.h - the strings that all files of the store have, and typed reading of strings.
 */
#ifndef STORE_FIELDS_H
#define STORE_FIELDS_H

#include "store/container.h"
#include "store/set.h"

/* What the file is and of which version of which set: the first fields of every file. */
void store_fields_identity(store_container *container, const char *kind, int format, const store_set *set);

/* What a file must be, and is: formats from oldest to newest are read. */
typedef struct store_identity {
    const char *kind;
    int oldest, newest;
    const char *name;
    uint64_t version;
    int format; /* found, as the next */
    uint64_t content_hash;
} store_identity;

/*
 * The same read back, and held against what it must be. HOP_E_FORMAT: another kind or format, or a file of another set
 * or version.
 */
HOP_WARN_UNUSED hop_status store_fields_check(const store_container *container, store_identity *identity,
                                              hop_error *error);

/* False: there is no such field, or it is no such number, or outside the limits. */
bool store_fields_integer(const store_container *container, const char *name, int64_t low, int64_t high, int64_t *out);
bool store_fields_real(const store_container *container, const char *name, double *out); /* finite */

#endif
