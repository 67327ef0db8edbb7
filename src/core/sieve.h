/*
 * sieve.h - the memories that may have a weight, for many queries at once: scores of all by the f32 kernels, and by a
 * proven margin no memory is left out that scores in f64 (scan.h) would let in. What the scores are for, and which of
 * the candidates have a weight, is top_k.h's and entmax.h's.
 */
#ifndef HOP_SIEVE_H
#define HOP_SIEVE_H

#include "core/scan.h"

enum {
    HOP_SIEVE_ROWS = 192, /* most queries of a call */
    HOP_SIEVE_FEWER = 4,  /* so many times fewer go again where their candidates were too many */
};

/*
 * What stays. With most > 0: a set that holds the `most` heaviest memories, by scan.h's scores and in its order.
 * Otherwise: a set that holds every memory of entmax's support, and those whose score is up to `slack` below it.
 */
typedef struct hop_sieve_rule {
    size_t most;
    double alpha, slack;
} hop_sieve_rule;

typedef struct hop_sieve {
    const hop_model *model;
    hop_sieve_rule rule;
    void *workspace;
    size_t n, segments, capacity; /* queries; cuts of the memories; entries of a list */
    size_t gathered;              /* segments whose lists are one */
    const hop_query *const *queries;
} hop_sieve;

size_t hop_sieve_workspace_bytes(const hop_model *model); /* 0: the sizes overflow */

/* Entries of a workspace's room for lists, which callers may use for their own when no sieve is in use. */
size_t hop_sieve_room(const hop_model *model, void *workspace, hop_entry **room);

/* How many heaviest entries one scan finds in that room (hop_scan_best). */
size_t hop_sieve_round(const hop_model *model);

/* How many queries a sieve takes by this rule, at most HOP_SIEVE_ROWS; 0: none, as the lists would be too long. */
size_t hop_sieve_rows(const hop_model *model, const hop_sieve_rule *rule);

/*
 * Sift all memories for n <= hop_sieve_rows() queries, which must pass hop_dense_f32_possible(). The executor (NULL:
 * the caller) runs segments, cut by the shapes alone. The fewer queries, the more candidates each of them may have.
 * Cost: 2 d M flops a query.
 */
void hop_sieve_run(hop_sieve *sieve, const hop_model *model, const hop_sieve_rule *rule,
                   const hop_query *const *queries, size_t n, const hop_executor *executor, void *workspace);

/*
 * Query q's candidates with their scores in f64, by no order that matters; NULL: they were too many for the list. They
 * may be moved and changed; once a run. Threads may take different queries. Cost: O(d) a candidate.
 */
hop_entry *hop_sieve_take(const hop_sieve *sieve, size_t q, size_t *n);

#endif
