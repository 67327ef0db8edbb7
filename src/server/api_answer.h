/*
 * api_answer.h - answers of retrieve, energy and plan as JSON or npy.
 *
 * Numbers keep their promise as text: retrieved values are the shortest text that reads back to the same f32, bounds
 * are rounded up and never above max_error where the bound itself is not.
 */
#ifndef SRV_API_ANSWER_H
#define SRV_API_ANSWER_H

#include "server/request.h"
#include "server/text.h"
#include "store/set.h"

/* One question to one version of a set. */
typedef struct srv_query {
    store_set *set;      /* with a reference */
    hop_request request; /* complete: nothing is left to default */
    size_t L;
    const float *x; /* L x d */
    double sums_ms; /* spent on the sums of linear and random_features: 0 where they were there already */
} srv_query;

/* True where the mode is a model of its own, with `model` in its answer and neither degree nor fallback. */
bool srv_query_structured(const srv_query *query);

/*
 * Upper estimate of the bytes of an answer, for the response limit before any work; SIZE_MAX where it overflows.
 * Labels are not counted: the text's own maximum meets those.
 */
size_t srv_answer_json_bytes(const srv_query *query);
size_t srv_answer_npy_bytes(const srv_query *query);
size_t srv_answer_energy_bytes(const srv_query *query);
size_t srv_answer_plan_bytes(const srv_query *query);

/* "dense", "almost_linear" or "mixed", or the structured mode. */
const char *srv_answer_mode_word(const srv_query *query, const hop_answer *answer);

/* The whole document. Asked-for arrays are those of query->request.want. request: for timing_ms. */
void srv_answer_write_json(const srv_request *request, const srv_query *query, const hop_answer *answer, srv_text *out);
void srv_answer_write_energy(const srv_request *request, const srv_query *query, const hop_answer *answer,
                             srv_text *out);
void srv_answer_write_plans(const srv_query *query, const hop_plan *plans, srv_text *out);

/* Z alone, L x p f32; false where memory or the text's maximum is out. */
bool srv_answer_write_npy(const srv_query *query, const hop_answer *answer, srv_text *out);

/* Largest error bound of the answer as text (NUL-terminated), rounded up; false where the mode has none. */
enum { SRV_BOUND_TEXT_BYTES = 32 };
bool srv_answer_bound_max(const srv_query *query, const hop_answer *answer, char out[SRV_BOUND_TEXT_BYTES]);

#endif
