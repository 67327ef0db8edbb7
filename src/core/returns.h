/*
 * returns.h - where one row's top, support and weights go, for modes that make them on the way.
 */
#ifndef HOP_RETURNS_H
#define HOP_RETURNS_H

#include "core/scan.h"

/* The caller's arrays of one row; each may be NULL. As in hop_answer. */
typedef struct hop_returns {
    size_t top; /* room of top_id and top_weight */
    uint64_t *top_id;
    double *top_weight, *support;
    size_t *top_count;
    float *weights; /* M */
} hop_returns;

hop_returns hop_returns_of(const hop_model *model, const hop_request *request, const hop_answer *answer, size_t row);

/* All weights 0, for modes that write those that are not. */
void hop_returns_clear(const hop_returns *to, size_t M);

/*
 * The heaviest of n entries in order, which follow `done` others: their ids, and in place of weights their scores.
 * Entries behind the room are left out.
 */
void hop_returns_top(const hop_returns *to, size_t done, const hop_entry *entries, size_t n);

/* The `most` heaviest of a scan, by as many scans as the room asks for. */
void hop_returns_scan(const hop_returns *to, const hop_scan *scan, size_t most, hop_entry *room, size_t capacity);

#endif
