/*
 * pack.c - from rows to panels (pack.h), at load or on the way.
 */
#include "core/pack.h"

#include <string.h>

#include "core/checked.h"

enum { TASK_PANELS = 256, COORDINATES = 16 };

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

/*
 * The four packings of a panel differ in their element type and in which index runs fastest. Keys go a few coordinates
 * at a time, so that the lines which are written stay in the nearest cache.
 */
#define PACK_KEYS(name, real)                                                                                          \
    void name(const hop_model *model, size_t panel, size_t count, real *keys)                                          \
    {                                                                                                                  \
        const size_t d = model->d;                                                                                     \
        if (count < HOP_PANEL)                                                                                         \
            memset(keys, 0, d *HOP_PANEL * sizeof *keys);                                                              \
        for (size_t low = 0; low < d; low += COORDINATES) {                                                            \
            const size_t high = d - low < COORDINATES ? d : low + COORDINATES;                                         \
            const float *row = model->keys + panel * HOP_PANEL * d;                                                    \
            for (size_t m = 0; m < count; m++, row += d)                                                               \
                for (size_t l = low; l < high; l++)                                                                    \
                    keys[l * HOP_PANEL + m] = (real)hop_geometry_scaled(&model->key, row, l);                          \
        }                                                                                                              \
    }

#define PACK_VALUES(name, real)                                                                                        \
    void name(const hop_model *model, size_t panel, size_t count, real *values)                                        \
    {                                                                                                                  \
        const size_t p = model->p, columns = model->columns;                                                           \
        if (count < HOP_PANEL || p < columns)                                                                          \
            memset(values, 0, HOP_PANEL *columns * sizeof *values);                                                    \
        for (size_t block = 0; block < p; block += HOP_BLOCK) {                                                        \
            const size_t end = p - block < HOP_BLOCK ? p : block + HOP_BLOCK;                                          \
            const float *row = model->values + panel * HOP_PANEL * p;                                                  \
            for (size_t m = 0; m < count; m++, row += p) {                                                             \
                real *to = values + hop_value_at(columns, m, block);                                                   \
                for (size_t j = block; j < end; j++)                                                                   \
                    to[j - block] = (real)hop_geometry_scaled(&model->value, row, j);                                  \
            }                                                                                                          \
        }                                                                                                              \
    }

PACK_KEYS(hop_pack_keys_f32, float)
PACK_KEYS(hop_pack_keys_f64, double)
PACK_VALUES(hop_pack_values_f32, float)
PACK_VALUES(hop_pack_values_f64, double)

static void pack_task(void *arg, size_t task)
{
    hop_model *model = arg;
    const size_t panels = hop_pack_panels(model->M), end = (task + 1) * TASK_PANELS;
    for (size_t panel = task * TASK_PANELS; panel < end && panel < panels; panel++) {
        const size_t rest = model->M - panel * HOP_PANEL, count = rest < HOP_PANEL ? rest : HOP_PANEL;
        if (model->key_panels)
            hop_pack_keys_f32(model, panel, count, model->key_panels + panel * HOP_PANEL * model->d);
        if (model->value_panels)
            hop_pack_values_f32(model, panel, count, model->value_panels + panel * HOP_PANEL * model->columns);
    }
}

void hop_pack_model(hop_model *model, const hop_executor *executor)
{
    const size_t tasks = (hop_pack_panels(model->M) + TASK_PANELS - 1) / TASK_PANELS;
    if (executor)
        executor->run(executor->context, tasks, pack_task, model);
    for (size_t task = 0; !executor && task < tasks; task++)
        pack_task(model, task);
}
