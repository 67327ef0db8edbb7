/*
 * moments_parts.c - see moments_parts.h.
 */
#include "core/moments_parts.h"

#include <math.h>
#include <string.h>

#include "core/moments.h"
#include "core/status.h"

static void add(hop_parts *parts, const char *name, bool frame, size_t rows, size_t columns, double *numbers)
{
    parts->part[parts->n++] =
        (hop_part){.name = name, .frame = frame, .rows = rows, .columns = columns, .numbers = numbers};
}

void hop_features_parts(const hop_features *features, const hop_model *model, hop_parts *out)
{
    const hop_multiindex *index = &features->index;
    const size_t d = model->d, p = features->A ? model->p : 0;
    *out = (hop_parts){.scalars = {features->fourth, features->skew_most[0], features->skew_most[1],
                                   features->build_roundings, features->term_roundings, features->removed,
                                   features->removed_radius}};
    add(out, "key_centre", true, 1, d, model->key.centre);
    add(out, "key_scale", true, 1, d, model->key.scale);
    if (p) {
        add(out, "value_centre", true, 1, p, model->value.centre);
        add(out, "value_scale", true, 1, p, model->value.scale);
    }
    add(out, "scalars", false, 1, HOP_PART_SCALARS, out->scalars);
    add(out, "extents_and_skew", false, 1, 3 * d + p, features->removed_extent);
    add(out, "moments", false, 1, index->start[features->g_max + 2], features->a);
    if (p)
        add(out, "value_moments", false, index->start[features->g_max + 1], p, features->A);
}

hop_status hop_features_blank(const hop_model *model, unsigned max_degree, hop_features **out, hop_parts *parts,
                              hop_error *error)
{
    hop_status status = hop_features_new(model, max_degree, out, error);
    if (status == HOP_OK)
        hop_features_parts(*out, model, parts);
    return status;
}

/* low or more; infinite only where that is allowed. A NaN is neither. */
static bool all_within(size_t n, const double *numbers, double low, bool infinite)
{
    for (size_t i = 0; i < n; i++)
        if (!(numbers[i] >= low && (infinite || isfinite(numbers[i]))))
            return false;
    return true;
}

hop_status hop_features_complete(hop_features *features, const hop_parts *parts, hop_error *error)
{
    const hop_multiindex *index = &features->index;
    const size_t d = index->d, p = features->A ? features->p : 0;
    const double *scalars = parts->scalars;
    const double lowest = -(double)INFINITY;
    /* Roundings and counts are finite; bounds of moments may be unknown, which is infinite. */
    if (!all_within(3, scalars, 0, true) || !all_within(4, scalars + 3, 0, false) ||
        !all_within(d + p, features->removed_extent, 0, false) || !all_within(2 * d, features->skew, 0, true) ||
        !all_within(index->start[features->g_max + 2], features->a, lowest, false) || features->a[0] != 1 ||
        (p && !all_within(index->start[features->g_max + 1] * p, features->A, lowest, false)))
        return hop_fail(error, HOP_E_FORMAT, "these numbers are no feature maps");
    features->fourth = scalars[0];
    features->skew_most[0] = scalars[1];
    features->skew_most[1] = scalars[2];
    features->build_roundings = scalars[3];
    features->term_roundings = scalars[4];
    features->removed = scalars[5];
    features->removed_radius = scalars[6];
    return hop_features_narrow(features, error);
}
