/*
 * moments_parts.h - feature maps as plain arrays, for whoever keeps them outside of memory.
 *
 * Everything that cannot be derived again: what is derived (the order of monomials, the f32 copies) is not here. The
 * maps mean nothing without the frame they were made in, the centre and scales of the set's geometry: those come
 * along, and maps are only taken back into a model whose frame has the same bits.
 */
#ifndef HOP_MOMENTS_PARTS_H
#define HOP_MOMENTS_PARTS_H

#include "core/hopfield.h"

enum {
    /* Raise it whenever the parts, or what bounds take them to mean, change, and where a build was wrong. */
    HOP_PARTS_FORMAT = 1,
    HOP_PARTS_MAX = 8,
    HOP_PART_SCALARS = 7
};

/* rows x columns doubles, C order. Those of the frame are the model's: compare, do not write. */
typedef struct hop_part {
    const char *name;
    bool frame;
    size_t rows, columns;
    double *numbers;
} hop_part;

typedef struct hop_parts {
    size_t n;
    hop_part part[HOP_PARTS_MAX];
    double scalars[HOP_PART_SCALARS]; /* one of the parts points here */
} hop_parts;

/* The parts of a model's maps, in the maps themselves and in *out. Both outlive what is done with them. */
void hop_features_parts(const hop_features *features, const hop_model *model, hop_parts *out);

/* Maps of that degree with every number 0, whose parts are for the caller to fill. Errors: HOP_E_LIMIT, HOP_E_NOMEM. */
HOP_WARN_UNUSED hop_status hop_features_blank(const hop_model *model, unsigned max_degree, hop_features **out,
                                              hop_parts *parts, hop_error *error);

/*
 * The parts are filled with what hop_features_parts() once gave: derive the rest. Errors: HOP_E_FORMAT (numbers that no
 * build makes), HOP_E_NOMEM. The maps stay the caller's.
 */
HOP_WARN_UNUSED hop_status hop_features_complete(hop_features *features, const hop_parts *parts, hop_error *error);

#endif
