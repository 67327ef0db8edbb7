/*
 * cases.h - the first lines of most core tests: a small set, an engine on it, and "this call must succeed and hold".
 */
#ifndef TEST_CASES_H
#define TEST_CASES_H

#include "support/engine.h"

#include <stdint.h>

enum { TEST_CELLS_MOST = 1 << 16 };

/* One set for one test at a time; engines borrow its rows. */
typedef struct test_rows {
    float memories[TEST_CELLS_MOST], values[TEST_CELLS_MOST];
} test_rows;

extern test_rows test_data;
extern uint64_t test_cases_seed;

/* n normal numbers times scale, plus offset; the same for the same stream and seed. */
void test_fill_normal(float *out, size_t n, double scale, double offset, uint64_t stream);

/* An engine on the first M rows of test_data as they are; p = 0: values are the memories. Fails the test on error. */
void test_start(test_engine *engine, size_t M, size_t d, size_t p, unsigned degree, size_t L);

/* The same with M x d normal memories and values = keys. */
void test_start_normal(test_engine *engine, size_t M, size_t d, double scale, double offset, unsigned degree, size_t L);

/* hop_retrieve() must succeed. */
void test_must_retrieve(test_engine *engine, const hop_request *request, size_t L, const float *x);

/* Every row of the last answer within its bound by the oracle, log-sum-exp and energy too where asked for. */
void test_must_hold(test_engine *engine, const hop_request *request, size_t L, const float *x);

/* A best_effort request that wants the energies. */
hop_request test_best_effort(double beta, hop_mode mode, double max_error);

#endif
