/*
 * pack.c - from rows to panels (pack.h), at load or on the way.
 */
#include "core/pack.h"

#include <string.h>

#include "core/checked.h"
#include "core/tasks.h"

enum { TASK_PANELS = 64, COORDINATES = 16, BLOCK = 64 };

bool hop_pack_bytes(size_t M, size_t d, size_t p, hop_packing packing, size_t *bytes)
{
    size_t memories, columns, cells, all, keys;
    if (M > SIZE_MAX - HOP_PANEL || p > SIZE_MAX - HOP_COLUMNS)
        return false;
    memories = hop_round_up(M, HOP_PANEL);
    columns = hop_round_up(p, HOP_COLUMNS);
    if (!hop_add_size(d, columns, &cells) || !hop_array_bytes(memories, cells, sizeof(float), &all) ||
        !hop_array_bytes(memories, d, sizeof(float), &keys))
        return false;
    *bytes = packing == HOP_PACK_FULL ? all : packing == HOP_PACK_KEYS ? keys : 0;
    return true;
}

/* As f64 panels are only made on the way, and read far more often than made: no vectors. */
void hop_pack_keys_f64(const hop_model *model, size_t panel, size_t count, double *keys)
{
    const size_t d = model->d;
    if (count < HOP_PANEL)
        memset(keys, 0, d * HOP_PANEL * sizeof *keys);
    for (size_t low = 0; low < d; low += COORDINATES) {
        const size_t high = d - low < COORDINATES ? d : low + COORDINATES;
        const float *row = model->keys + panel * HOP_PANEL * d;
        for (size_t m = 0; m < count; m++, row += d)
            for (size_t l = low; l < high; l++)
                keys[l * HOP_PANEL + m] = hop_geometry_scaled(&model->key, row, l);
    }
}

void hop_pack_values_f64(const hop_model *model, size_t panel, size_t count, double *values)
{
    const size_t p = model->p, columns = model->columns;
    if (count < HOP_PANEL || p < columns)
        memset(values, 0, HOP_PANEL * columns * sizeof *values);
    for (size_t block = 0; block < p; block += HOP_BLOCK) {
        const size_t end = p - block < HOP_BLOCK ? p : block + HOP_BLOCK;
        const float *row = model->values + panel * HOP_PANEL * p;
        for (size_t m = 0; m < count; m++, row += p) {
            double *to = values + hop_value_at(columns, m, block);
            for (size_t j = block; j < end; j++)
                to[j - block] = hop_geometry_scaled(&model->value, row, j);
        }
    }
}

typedef float quad __attribute__((vector_size(4 * sizeof(float))));

static quad load(const float *at)
{
    quad v;
    memcpy(&v, at, sizeof v);
    return v;
}

static void store(float *at, quad v)
{
    memcpy(at, &v, sizeof v);
}

/* Four rows of four coordinates become four coordinates of four memories. */
static void turn(const float *rows, float *keys)
{
    const quad a = load(rows), b = load(rows + BLOCK), c = load(rows + 2 * BLOCK), d = load(rows + 3 * BLOCK);
    const quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const quad AB = __builtin_shufflevector(a, b, 2, 6, 3, 7), CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    store(keys, __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
    store(keys + HOP_PANEL, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
    store(keys + 2 * HOP_PANEL, __builtin_shufflevector(AB, CD, 0, 1, 4, 5));
    store(keys + 3 * HOP_PANEL, __builtin_shufflevector(AB, CD, 2, 3, 6, 7));
}

/* A block of n coordinates of a panel's memories, BLOCK numbers apart. What is not a whole square goes one by one. */
static void turn_block(const float *rows, size_t n, size_t count, float *keys)
{
    const size_t whole_n = n & ~(size_t)3, whole = count & ~(size_t)3;
    for (size_t l = 0; l < whole_n; l += 4)
        for (size_t m = 0; m < whole; m += 4)
            turn(rows + m * BLOCK + l, keys + l * HOP_PANEL + m);
    for (size_t l = 0; l < n; l++)
        for (size_t m = l < whole_n ? whole : 0; m < count; m++)
            keys[l * HOP_PANEL + m] = rows[m * BLOCK + l];
}

void hop_pack_keys_f32(const hop_model *model, size_t panel, size_t count, float *keys)
{
    const size_t d = model->d;
    float block[HOP_PANEL * BLOCK];
    if (count < HOP_PANEL)
        memset(keys, 0, d * HOP_PANEL * sizeof *keys);
    for (size_t low = 0; low < d; low += BLOCK) {
        const size_t n = d - low < BLOCK ? d - low : BLOCK;
        hop_kernels_get()->scale_rows(&(hop_row_scaling){.n = n,
                                                         .n_rows = count,
                                                         .stride = d,
                                                         .out_stride = BLOCK,
                                                         .rows = model->keys + panel * HOP_PANEL * d + low,
                                                         .centre = model->key.centre + low,
                                                         .inverse = model->key.inverse + low,
                                                         .out = block});
        turn_block(block, n, count, keys + low * HOP_PANEL);
    }
}

void hop_pack_values_f32(const hop_model *model, size_t panel, size_t count, float *values)
{
    const size_t p = model->p, columns = model->columns;
    if (count < HOP_PANEL || p < columns)
        memset(values, 0, HOP_PANEL * columns * sizeof *values);
    for (size_t block = 0; block < p; block += HOP_BLOCK) {
        const size_t rest = columns - block, width = rest < HOP_BLOCK ? rest : HOP_BLOCK;
        hop_kernels_get()->scale_rows(&(hop_row_scaling){.n = p - block < HOP_BLOCK ? p - block : HOP_BLOCK,
                                                         .n_rows = count,
                                                         .stride = p,
                                                         .out_stride = width,
                                                         .rows = model->values + panel * HOP_PANEL * p + block,
                                                         .centre = model->value.centre + block,
                                                         .inverse = model->value.inverse + block,
                                                         .out = values + hop_value_at(columns, 0, block)});
    }
}

/* ---- a whole model ------------------------------------------------------------------------------------------ */

typedef struct pack_job {
    hop_model *model;
    const hop_model *like;
    size_t key_panels, value_panels; /* of like's that are the model's too */
} pack_job;

static void pack_task(void *arg, size_t task)
{
    const pack_job *job = arg;
    hop_model *model = job->model;
    const size_t panels = hop_pack_panels(model->M), end = (task + 1) * TASK_PANELS;
    const size_t key_cells = HOP_PANEL * model->d, value_cells = HOP_PANEL * model->columns;
    for (size_t panel = task * TASK_PANELS; panel < end && panel < panels; panel++) {
        const size_t rest = model->M - panel * HOP_PANEL, count = rest < HOP_PANEL ? rest : HOP_PANEL;
        float *keys = model->key_panels ? model->key_panels + panel * key_cells : NULL;
        float *values = model->value_panels ? model->value_panels + panel * value_cells : NULL;
        if (keys && panel < job->key_panels)
            memcpy(keys, job->like->key_panels + panel * key_cells, key_cells * sizeof *keys);
        else if (keys)
            hop_pack_keys_f32(model, panel, count, keys);
        if (values && panel < job->value_panels)
            memcpy(values, job->like->value_panels + panel * value_cells, value_cells * sizeof *values);
        else if (values)
            hop_pack_values_f32(model, panel, count, values);
    }
}

void hop_pack_model(hop_model *model, const hop_model *like, size_t same_rows, const hop_executor *executor)
{
    const size_t tasks = (hop_pack_panels(model->M) + TASK_PANELS - 1) / TASK_PANELS, same = same_rows / HOP_PANEL;
    pack_job job = {.model = model,
                    .like = like,
                    .key_panels = like && like->key_panels && model->key.kept ? same : 0,
                    .value_panels = like && like->value_panels && model->value.kept ? same : 0};
    if (model->key_panels || model->value_panels)
        hop_tasks_run(executor, tasks, pack_task, &job);
}
