/*
 * top_k.h - softmax over the k memories with the largest scores, and how far that is from the softmax over all
 * (docs/MATH.md, "Structured models"). k < M: with more it is dense retrieval, which is run in its place.
 */
#ifndef HOP_TOP_K_H
#define HOP_TOP_K_H

#include "core/frame.h"
#include "core/mix.h"
#include "core/returns.h"
#include "core/sieve.h"

/* k + 1 entries: those that count, and the heaviest of the others, which bounds them all. */
hop_sieve_rule hop_top_k_rule(const hop_request *request);

/*
 * Answer one row: z, bound, met, log_sum and returns. entries: n >= k + 1 candidates from a sieve, moved on the way;
 * NULL: the row's memories are scanned, as often as `room` of `capacity` entries asks for. block: hop_mix_bytes().
 */
void hop_top_k_answer(const hop_model *model, const hop_request *request, hop_row *row, const hop_returns *to,
                      hop_entry *entries, size_t n, hop_entry *room, size_t capacity, void *block);

#endif
