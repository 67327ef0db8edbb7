/*
 * pack.h - scaled and centred copies of the rows, |u| <= 1, as the kernels read them (kernels.h).
 *
 * Keys: panels of HOP_PANEL memories, coordinate by coordinate. Values: panels of HOP_PANEL rows of model->columns, in
 * blocks of columns.
 * A model holds both, the keys alone or neither (hop_packing); what it does not hold is packed a panel at a time by
 * whoever needs it. f64 panels are always packed so: they are the rows' exact differences, not roundings of them.
 */
#ifndef HOP_PACK_H
#define HOP_PACK_H

#include "core/kernels.h"
#include "core/model.h"

static inline size_t hop_pack_panels(size_t M)
{
    return (M + HOP_PANEL - 1) / HOP_PANEL;
}

/* Bytes of what a model of that packing holds. false: the sizes overflow, of whatever is packed later too. */
bool hop_pack_bytes(size_t M, size_t d, size_t p, hop_packing packing, size_t *bytes);

/*
 * Fills model->key_panels and value_panels, where they are not NULL. like: NULL, or an earlier model whose first
 * same_rows rows are the model's: whole panels of them are copied where the frame was kept.
 */
void hop_pack_model(hop_model *model, const hop_model *like, size_t same_rows, const hop_executor *executor);

/* One panel of `count` memories; padding is 0. keys: d x HOP_PANEL; values: hop_value_at(). */
void hop_pack_keys_f32(const hop_model *model, size_t panel, size_t count, float *keys);
void hop_pack_keys_f64(const hop_model *model, size_t panel, size_t count, double *keys);
void hop_pack_values_f32(const hop_model *model, size_t panel, size_t count, float *values);
void hop_pack_values_f64(const hop_model *model, size_t panel, size_t count, double *values);

#endif
