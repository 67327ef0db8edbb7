/*
 * mapping.h - a file of rows mapped into memory, and the proof afterwards that what was read from it was the file.
 *
 * A mapping is not memory of one's own: the file can be cut off, which takes pages away (SIGBUS), or be written to,
 * which shows at once. Nothing can be checked before it is read that could not change while it is. So whoever reads
 * from a mapping asks store_mapping_intact() AFTER reading, and throws away what was computed where the answer is no:
 *
 * - A signal handler turns what cannot be read into zeros, for good, and marks the mapping broken; readers run on.
 * - The file's length, times and identity are compared with those that it had when its checksums were found right. The
 *   kernel changes the times before it lets a write be seen, and files younger than its clock's tick are not mapped,
 *   nor are those of file systems where another machine may write. What this does not see is a program that had written
 *   to the file by a mapping of its own before, and goes on; or one that sets the time of its last change back.
 * - Where only the time of the last change of the inode differs (it was renamed, linked, given away) the checksums of
 *   what was mapped are compared again, once. A file without a name is only asked for its length and its last write.
 *
 * A mapping is for the first seconds after a start: loader.h says how rows get into memory of the set's own.
 */
#ifndef STORE_MAPPING_H
#define STORE_MAPPING_H

#include "core/hopfield.h"

enum {
    STORE_MAPPINGS_MAX = 128,       /* at once: each keeps a file open */
    STORE_MAPPING_STRETCHES_MAX = 4 /* of one mapping */
};

typedef struct store_mapping store_mapping;

/* Who is told what happened to sets while nobody asked. say may be NULL, and is called on any thread. */
typedef struct store_listener {
    void (*say)(void *context, bool problem, const char *text);
    void *context;
} store_listener;

/*
 * store_mapping_guard() - from now on, SIGBUS inside a mapping of ours ends nothing. Any other SIGBUS does what it did
 * before. For the whole process: the program calls it, not the library; without it nothing is mapped. HOP_E_IO.
 */
HOP_WARN_UNUSED hop_status store_mapping_guard(hop_error *error);

/*
 * store_mapping_new() - map the first `bytes` bytes of an open file, read-only, and remember what the file is like.
 *
 * file stays the caller's. what: the file in messages, below 160 bytes. Errors: HOP_E_LIMIT (it should be read instead:
 * no guard, too many mappings, written a moment ago, a file system that is not trusted), HOP_E_IO (mmap or another call
 * failed; it is not of that length), HOP_E_NOMEM. The caller owns *out.
 */
HOP_WARN_UNUSED hop_status store_mapping_new(int file, uint64_t bytes, const char *what, store_listener listener,
                                             store_mapping **out, hop_error *error);

/* When nobody reads any more. NULL is taken. */
void store_mapping_free(store_mapping *mapping);

/* Its first byte, page-aligned. Reading it never fails. */
const char *store_mapping_bytes(const store_mapping *mapping);

/* A stretch's checksum was found right: it may be compared again. At most STORE_MAPPING_STRETCHES_MAX, before others
 * see the mapping. */
void store_mapping_note(store_mapping *mapping, uint64_t at, size_t bytes, uint32_t checksum);

/*
 * Was everything that this thread, or one that it waited for, has read from the mapping what was checked? Once it says
 * no it always does; the listener is told the first time. Cost: one fstat(2). Any thread.
 */
bool store_mapping_intact(store_mapping *mapping);

/*
 * The same, and the checksums of what was mapped once more, whatever the file's times are: for whoever has met other
 * bytes in the file. Cost: one pass.
 */
bool store_mapping_recheck(store_mapping *mapping);

/* Has it been found broken? Asks nobody: no is no proof. Cost: one load. */
bool store_mapping_broken(const store_mapping *mapping);

#endif
