/*
 * content_hash.h - 64 bits that stand for what a set holds: the first part of its ETag, and a check of its files beside
 * their checksums.
 *
 * Sums over rows, so that a version made from another costs only the rows that changed. It tells versions apart and finds
 * accidents; it is no defence against somebody who looks for two sets with the same hash. docs/SNAPSHOT.md says how it is
 * computed.
 */
#ifndef STORE_CONTENT_HASH_H
#define STORE_CONTENT_HASH_H

#include "core/hopfield.h"

/*
 * Sum over n rows of a hash of each with its id: memories n x d, values n x p (NULL: none, p is ignored), ids n of them
 * (NULL: first, first + 1, ...). Adds up over any parts of a set, mod 2^64. executor may be NULL. Any thread; cost: one
 * pass at the speed of memory.
 */
uint64_t store_hash_rows(const float *memories, size_t d, const float *values, size_t p, const uint64_t *ids,
                         uint64_t first, size_t n, const hop_executor *executor);

/* The hash of one label and the id that it is of: sums of it are what a set's labels are. */
uint64_t store_hash_label(uint64_t id, const char *label);

/* What a set's hash is made of. */
typedef struct store_content {
    size_t M, d, p; /* p = 0: no values */
    hop_similarity similarity;
    int max_degree;
    double beta, max_error;
    uint64_t next_id;
    bool labelled;
    uint64_t rows, labels; /* the sums; labels 0 where there are none */
    const double *mean;    /* d, of centered_cosine: it may be that of earlier rows; NULL: none */
} store_content;

uint64_t store_content_hash(const store_content *content);

/* That of files of format 1: one pass over everything. values NULL: none; label_text NULL: none. */
uint64_t store_content_hash_1(const store_content *content, const float *memories, const float *values,
                              const char *label_text, size_t text_bytes);

#endif
