/*
 * data.h - a case's arrays and the set over them.
 */
#ifndef BENCH_DATA_H
#define BENCH_DATA_H

#include "bench/hopbench.h"
#include "core/hopfield.h"

typedef struct bench_data {
    float *memories, *queries; /* M x d, L x d, 64-byte aligned */
    hop_model *model;
} bench_data;

/*
 * bench_data_make() - rows from --memories and --queries, or made up from --dist, --B, --R and --seed; no set yet.
 *
 * uniform: every entry in [-B, B]. sphere: memories on the unit sphere, queries of norm R / beta.
 * Where a file is given, o's M, L and d become the file's, and beta 0 becomes 1/d. Stops on failure.
 */
bench_data bench_data_make(bench_options *o);

/* The set over M rows; like: an earlier one whose frame it is to keep, or NULL. Stops on failure. */
hop_model *bench_model_new(size_t M, size_t d, const float *memories, const hop_model *like,
                           const hop_executor *executor);

/* Both, over all rows. */
bench_data bench_data_new(bench_options *o, const hop_executor *executor);
void bench_data_free(bench_data *set);

/* Build feature maps on all CPUs and give them to the set: for cases that do not time it. Stops on failure. */
void bench_adopt_features(bench_data *set, unsigned degree);

/* Write L x columns f32 as an npy file. Stops on failure. */
void bench_write_rows(const char *path, const float *rows, size_t L, size_t columns);

#endif
