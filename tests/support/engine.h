/*
 * engine.h - a model with its feature maps, workspace, answer arrays and oracle, made and freed as one.
 */
#ifndef TEST_ENGINE_H
#define TEST_ENGINE_H

#include "core/hopfield.h"
#include "support/oracle.h"

typedef struct test_engine {
    hop_source source;
    hop_model *model;
    size_t L; /* most queries of a call */
    void *workspace;
    size_t workspace_bytes;
    hop_answer answer; /* every array present; top has M columns' room */
    oracle_answer *truth;
    oracle_set oracle; /* the model's keys and centre */
    hop_error error;   /* of the last call */
} test_engine;

/*
 * A model for calls of at most L queries; max_degree 0: no feature maps. The source's rows are borrowed. Returns the
 * status of hop_model_new() or hop_features_build(), *error saying more; on failure there is nothing to free.
 */
hop_status test_engine_init(test_engine *engine, const hop_source *source, unsigned max_degree, size_t L);
void test_engine_fini(test_engine *engine);

/* A request with the defaults of the HTTP interface: auto, no promise, one step. */
hop_request test_request(double beta, hop_mode mode, double max_error);

/* hop_retrieve() and hop_energy() into engine->answer; engine->error starts fresh. */
hop_status test_engine_retrieve(test_engine *engine, const hop_request *request, size_t L, const float *x);
hop_status test_engine_energy(test_engine *engine, const hop_request *request, size_t L, const float *x);

/* Fill engine->truth for one query; false where its transform has no direction. */
bool test_engine_truth(test_engine *engine, double beta, const float *x);

/* |x'| rho: beta times this is the Cauchy-Schwarz radius of the exponents. */
double test_engine_reach(const test_engine *engine, const float *x);

#endif
