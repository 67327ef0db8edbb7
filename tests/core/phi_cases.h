/*
 * phi_cases.h - what the tests of linear and random_features start from: a set, queries, a request, and its sums.
 */
#ifndef TEST_PHI_CASES_H
#define TEST_PHI_CASES_H

#include "support/cases.h"
#include "support/check_main.h"

#include <math.h>

enum { L = 30, D_MOST = 128 };

static float queries[L * D_MOST];

typedef struct set_shape {
    size_t M, d, p;
    double scale, offset;
} set_shape;

/* M x d normal memories, L queries like them, M x p normal values about 3; p 0: the memories. */
static inline void start(test_engine *engine, const set_shape *of, hop_similarity similarity, uint64_t stream)
{
    test_fill_normal(test_data.memories, of->M * of->d, of->scale, of->offset, stream);
    test_fill_normal(test_data.values, of->M * (of->p + 1), 1, 3, stream + 1);
    test_fill_normal(queries, L * of->d, of->scale, of->offset, stream + 2);
    hop_source source = {.M = of->M,
                         .d = of->d,
                         .p = of->p,
                         .memories = test_data.memories,
                         .values = of->p ? test_data.values : NULL,
                         .similarity = similarity};
    ck_assert(test_engine_init(engine, &source, 0, L) == HOP_OK);
}

/* A random_features' default is features 0. */
static inline hop_request request_of(hop_mode mode, double beta, size_t features, uint64_t seed)
{
    hop_request request = test_request(beta, mode, (double)INFINITY);
    hop_parameters_default(&request.parameters);
    request.parameters.features = features;
    request.parameters.seed = seed;
    return request;
}

/* Made for the request, which is given them. The caller frees them. */
static inline hop_phi_sums *sums_of(const test_engine *engine, hop_request *request, const hop_executor *executor)
{
    hop_phi_sums *sums = NULL;
    hop_error error = HOP_ERROR_NONE;
    hop_status status = hop_phi_sums_new(engine->model, request->mode, request->beta, &request->parameters, executor,
                                         NULL, &sums, &error);
    ck_assert_msg(status == HOP_OK, "%s", error.text);
    request->sums = sums;
    return sums;
}

#endif
