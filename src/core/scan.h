/*
 * scan.h - scores one by one, in f64: of a selection's memories, and the heaviest of them. What a score is here depends
 * on the query and the memory alone, not on who asks nor on what it is computed beside.
 */
#ifndef HOP_SCAN_H
#define HOP_SCAN_H

#include "core/query.h"
#include "core/selection.h"

/* A memory and its score: t_mu, unless said otherwise. */
typedef struct hop_entry {
    double score;
    size_t id;
} hop_entry;

/* The order of answers: heaviest first, ties to the lower id. */
static inline bool hop_heavier(const hop_entry *a, const hop_entry *b)
{
    return a->score > b->score || (a->score >= b->score && a->id < b->id);
}

/* t_mu = sum_l u_mu,l xi_l of memory id, from the stored row. */
double hop_score(const hop_model *model, const double *xi, size_t id);

/*
 * How far hop_score() may be from t_mu; or, f64 = false, a score of a table's f32 kernels (times ln 2: their scores are
 * of the base 2). INFINITY where nothing is known.
 */
double hop_score_error(const hop_model *model, const hop_query *query, bool f64);

/* One query's memories on their way past. */
typedef struct hop_scan {
    const hop_model *model;
    const hop_query *query;
    hop_selection selection;
} hop_scan;

enum { HOP_SCAN_BLOCK = 64 };

/* The next entries of [*cursor, end), at most HOP_SCAN_BLOCK, by id; 0: there are none left. */
size_t hop_scan_next(const hop_scan *scan, size_t *cursor, size_t end, hop_entry *block);

/* Move the `most` <= n heaviest entries to the front, the lightest of them last of these. Cost: O(n) on average. */
void hop_entries_part(hop_entry *entries, size_t n, size_t most);

/* Move the `most` <= n heaviest entries to the front, in order. Cost: O(n + most log most). */
void hop_entries_select(hop_entry *entries, size_t n, size_t most);

/*
 * The `most` heaviest entries that come after *after (NULL: of all), in order, in room for `capacity` >= 2 most + 64.
 * Returns how many there are. The same whatever the capacity. Cost: a scan, and O(log M) per entry that is found.
 */
size_t hop_scan_best(const hop_scan *scan, const hop_entry *after, size_t most, hop_entry *room, size_t capacity);

#endif
