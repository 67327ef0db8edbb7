/*
 * data.c - rows out of a generator or an npy file, f32, as patterns; the file format is store/npy's.
 */
#include "bench/data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/random.h"
#include "bench/team.h"
#include "store/npy.h"

static float *rows_new(size_t rows, size_t columns)
{
    if (rows > SIZE_MAX / sizeof(float) / columns)
        bench_stop("the sizes overflow");
    return bench_need(hop_aligned_alloc(rows * columns * sizeof(float)));
}

static void fill_uniform(float *rows, size_t n, double B, uint64_t *state)
{
    for (size_t i = 0; i < n; i++)
        rows[i] = (float)(B * (2 * bench_uniform(state) - 1));
}

static void fill_sphere(float *rows, size_t n, size_t d, double radius, uint64_t *state)
{
    double *row = bench_need(malloc(d * sizeof *row));
    for (size_t i = 0; i < n; i++) {
        double square = 0;
        for (size_t l = 0; l < d; l++) {
            row[l] = bench_normal(state);
            square += row[l] * row[l];
        }
        for (size_t l = 0; l < d; l++)
            rows[i * d + l] = (float)(row[l] * radius / sqrt(square));
    }
    free(row);
}

/* n rows of --dist: memories, or queries. */
static float *make_rows(const bench_options *o, size_t n, bool are_queries, uint64_t *state)
{
    float *rows = rows_new(n, o->d);
    if (strcmp(o->dist, "sphere") == 0)
        fill_sphere(rows, n, o->d, are_queries ? o->R / o->beta : 1, state);
    else
        fill_uniform(rows, n * o->d, o->B, state);
    return rows;
}

static FILE *open_header(const char *path, store_npy_header *header)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        bench_stop("cannot open the file");
    }
    unsigned char *start = bench_need(malloc(STORE_NPY_HEADER_MAX));
    size_t n = fread(start, 1, STORE_NPY_HEADER_MAX, file);
    hop_error error = HOP_ERROR_NONE;
    if (store_npy_header_parse(start, n, false, header, &error) != HOP_OK)
        bench_stop(error.text);
    free(start);
    if (header->fortran)
        bench_stop("npy files have to be in C order");
    if (fseek(file, (long)header->header_bytes, SEEK_SET) != 0)
        bench_stop("cannot read the npy file");
    return file;
}

static float *read_rows(const char *path, size_t *rows, size_t *columns)
{
    store_npy_header header;
    FILE *file = open_header(path, &header);
    *rows = header.rows;
    *columns = header.columns;
    float *out = rows_new(header.rows, header.columns);
    void *bytes = bench_need(malloc(header.data_bytes ? header.data_bytes : 1));
    hop_error error = HOP_ERROR_NONE;
    if (fread(bytes, 1, header.data_bytes, file) != header.data_bytes)
        bench_stop("the npy file is too short");
    if (store_npy_rows(&header, bytes, 0, header.rows, out, &error) != HOP_OK)
        bench_stop(error.text);
    free(bytes);
    fclose(file);
    return out;
}

bench_data bench_data_make(bench_options *o)
{
    uint64_t state = o->seed;
    bench_data set = {.memories = NULL};
    size_t query_d = 0;
    if (o->memories)
        set.memories = read_rows(o->memories, &o->M, &o->d);
    if (o->beta == 0)
        o->beta = 1 / (double)o->d;
    if (!set.memories)
        set.memories = make_rows(o, o->M, false, &state);
    if (o->queries) {
        set.queries = read_rows(o->queries, &o->L, &query_d);
        if (query_d != o->d)
            bench_stop("memories and queries differ in d");
    } else {
        set.queries = make_rows(o, o->L, true, &state);
    }
    return set;
}

hop_model *bench_model_new(size_t M, size_t d, const float *memories, const hop_model *like,
                           const hop_executor *executor)
{
    hop_source source = {.M = M, .d = d, .p = d, .memories = memories, .like = like};
    hop_error error = HOP_ERROR_NONE;
    hop_model *model;
    if (hop_model_new(&source, executor, &model, &error) != HOP_OK)
        bench_stop(error.text);
    return model;
}

bench_data bench_data_new(bench_options *o, const hop_executor *executor)
{
    bench_data set = bench_data_make(o);
    set.model = bench_model_new(o->M, o->d, set.memories, NULL, executor);
    return set;
}

void bench_data_free(bench_data *set)
{
    hop_model_free(set->model);
    hop_aligned_free(set->memories);
    hop_aligned_free(set->queries);
}

void bench_adopt_features(bench_data *set, unsigned degree)
{
    hop_error error = HOP_ERROR_NONE;
    hop_features *features;
    bench_team *team = bench_team_new(bench_cpus());
    if (hop_features_build(set->model, degree, bench_team_executor(team), NULL, &features, &error) != HOP_OK)
        bench_stop(error.text);
    bench_team_free(team);
    hop_model_adopt_features(set->model, features);
}

void bench_write_rows(const char *path, const float *rows, size_t L, size_t columns)
{
    unsigned char header[STORE_NPY_WRITE_BYTES];
    store_npy_header_write(header, L, columns);
    FILE *file = fopen(path, "wb");
    bool written =
        file && fwrite(header, sizeof header, 1, file) == 1 && fwrite(rows, columns * sizeof *rows, L, file) == L;
    if (!file || fclose(file) != 0 || !written) {
        perror(path);
        bench_stop("cannot write the file");
    }
}
