/*
 * engine.c - see engine.h. Looks into core/model.h only for what the oracle cannot compute again bit for bit: the keys
 * as rounded by the similarity's transform, and its centre.
 */
#include "support/engine.h"

#include "core/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *array(size_t n, size_t size)
{
    void *block = calloc(n ? n : 1, size);
    if (!block)
        abort();
    return block;
}

static void allocate_answer(test_engine *engine)
{
    size_t L = engine->L, M = engine->source.M;
    hop_answer *answer = &engine->answer;
    answer->z = array(L * hop_model_p(engine->model), sizeof(float));
    answer->error_bound = array(L, sizeof(double));
    answer->degree = array(L, sizeof(int));
    answer->fallback = array(L, sizeof(hop_fallback));
    answer->energy = array(L, sizeof(double));
    answer->energy_bound = array(L, sizeof(double));
    answer->log_sum_exp = array(L, sizeof(double));
    answer->log_sum_exp_bound = array(L, sizeof(double));
    answer->top_id = array(L * M, sizeof(uint64_t));
    answer->top_weight = array(L * M, sizeof(double));
    answer->support = array(L, sizeof(double));
    answer->weights = array(L * M, sizeof(float));
    answer->steps = array(L, sizeof(unsigned));
    answer->top_count = array(L, sizeof(size_t));
    answer->standard_error = array(L, sizeof(double));
}

static void free_answer(hop_answer *answer)
{
    free(answer->z);
    free(answer->error_bound);
    free(answer->degree);
    free(answer->fallback);
    free(answer->energy);
    free(answer->energy_bound);
    free(answer->log_sum_exp);
    free(answer->log_sum_exp_bound);
    free(answer->top_id);
    free(answer->top_weight);
    free(answer->support);
    free(answer->weights);
    free(answer->steps);
    free(answer->top_count);
    free(answer->standard_error);
}

hop_status test_engine_init(test_engine *engine, const hop_source *source, unsigned max_degree, size_t L)
{
    *engine = (test_engine){.source = *source, .L = L, .error = HOP_ERROR_NONE};
    hop_status status = hop_model_new(source, NULL, &engine->model, &engine->error);
    if (status != HOP_OK)
        return status;
    if (max_degree > 0) {
        hop_features *features = NULL;
        status = hop_features_build(engine->model, max_degree, NULL, NULL, &features, &engine->error);
        if (status != HOP_OK) {
            hop_model_free(engine->model);
            engine->model = NULL;
            return status;
        }
        hop_model_adopt_features(engine->model, features);
    }
    engine->workspace_bytes = hop_retrieve_workspace_bytes(engine->model, L);
    engine->workspace = hop_aligned_alloc(engine->workspace_bytes);
    if (!engine->workspace)
        abort();
    allocate_answer(engine);
    engine->oracle = (oracle_set){
        .M = source->M,
        .d = source->d,
        .p = hop_model_p(engine->model),
        .keys = hop_model_keys(engine->model),
        .values = source->values ? source->values : source->memories,
        .similarity = source->similarity,
        .centre = engine->model->mean,
    };
    engine->truth = oracle_answer_new(source->M, engine->oracle.p);
    return HOP_OK;
}

void test_engine_fini(test_engine *engine)
{
    oracle_answer_free(engine->truth);
    free_answer(&engine->answer);
    hop_aligned_free(engine->workspace);
    hop_model_free(engine->model);
    *engine = (test_engine){0};
}

hop_request test_request(double beta, hop_mode mode, double max_error)
{
    hop_request request = {.beta = beta, .max_error = max_error, .mode = mode, .steps = 1};
    hop_parameters_default(&request.parameters);
    return request;
}

hop_status test_engine_retrieve(test_engine *engine, const hop_request *request, size_t L, const float *x)
{
    engine->error = HOP_ERROR_NONE;
    return hop_retrieve(engine->model, request, L, x, engine->workspace, engine->workspace_bytes, &engine->answer,
                        &engine->error);
}

hop_status test_engine_energy(test_engine *engine, const hop_request *request, size_t L, const float *x)
{
    engine->error = HOP_ERROR_NONE;
    return hop_energy(engine->model, request, L, x, engine->workspace, engine->workspace_bytes, &engine->answer,
                      &engine->error);
}

bool test_engine_truth(test_engine *engine, double beta, const float *x)
{
    return oracle_retrieve(&engine->oracle, beta, x, engine->truth);
}

double test_engine_reach(const test_engine *engine, const float *x)
{
    double norm = (double)oracle_query_norm(&engine->oracle, x);
    if (engine->source.similarity != HOP_DOT)
        norm = norm > 0 ? 1 : 0;
    return norm * hop_model_norms(engine->model).centred_max_l2;
}
