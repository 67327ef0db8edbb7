/*
 * entmax.h - retrieval with p = entmax_alpha(beta Xi^T x), sparsemax where alpha = 2 (docs/MATH.md, "Structured
 * models"):
 *
 *     p_mu = [1 + (alpha - 1)(t_mu - t_max - theta)]_+^{1/(alpha - 1)},   theta >= 0 such that sum p = 1
 *
 * Everything that is more than 1/(alpha - 1) below the best score has weight 0. The answer's bound is against this very
 * model in exact arithmetic.
 */
#ifndef HOP_ENTMAX_H
#define HOP_ENTMAX_H

#include "core/frame.h"
#include "core/mix.h"
#include "core/returns.h"
#include "core/sieve.h"

/* alpha of a request: its own, or 2 for sparsemax. */
double hop_entmax_alpha(const hop_request *request);

hop_sieve_rule hop_entmax_rule(const hop_model *model, const hop_query *const *queries, size_t n,
                               const hop_request *request);

/*
 * A theta that is no larger, but for rounding, than that of any set which holds these n >= 1 entries, whose t is
 * unit score; top is the largest score. Cost: a few walks over the entries.
 */
double hop_entmax_lower(const hop_entry *entries, size_t n, double unit, double top, double alpha);

/* Blocks of hop_mix_bytes() that a row wants. */
enum { HOP_ENTMAX_PARTS = 16 };

/*
 * Answer one row: z, bound, met, log_sum (the conjugate Psi*(t)) and returns. entries: n >= 1 candidates from a sieve,
 * moved on the way, and one block; NULL: the row's memories are scanned, more than once where `room` of `capacity`
 * entries does not hold all candidates, on the executor, with HOP_ENTMAX_PARTS blocks.
 */
void hop_entmax_answer(const hop_model *model, const hop_request *request, hop_row *row, const hop_returns *to,
                       hop_entry *entries, size_t n, hop_entry *room, size_t capacity, void *blocks);

#endif
