/*
 * mix.c - sums in runs, so that roundings grow with the number of runs (mix.h).
 */
#include "core/mix.h"

#include <string.h>

#include "core/checked.h"
#include "core/rounding.h"

static size_t row_bytes(const hop_model *model)
{
    return hop_round_up(model->columns * sizeof(double), 64);
}

size_t hop_mix_bytes(const hop_model *model)
{
    return 2 * row_bytes(model);
}

void hop_mix_init(hop_mix *mix, const hop_model *model, void *block)
{
    memset(block, 0, hop_mix_bytes(model));
    *mix = (hop_mix){.model = model, .run = block, .numerator = (double *)((char *)block + row_bytes(model))};
}

void hop_mix_flush(hop_mix *mix)
{
    const size_t p = mix->model->p;
    for (size_t j = 0; j < p; j++)
        mix->numerator[j] += mix->run[j];
    memset(mix->run, 0, p * sizeof *mix->run);
    mix->D += mix->run_D;
    mix->squares += mix->run_squares;
    mix->other += mix->run_other;
    mix->run_D = mix->run_squares = mix->run_other = 0;
    mix->in_run = 0;
}

void hop_mix_add(hop_mix *mix, size_t id, double w)
{
    const hop_model *model = mix->model;
    const size_t p = model->p;
    const float *v = model->values + id * p;
    const double *centre = model->value.centre;
    double *run = mix->run;
    for (size_t j = 0; j < p; j++)
        run[j] += w * ((double)v[j] - centre[j]);
    mix->run_D += w;
    mix->run_squares += w * w;
    mix->n++;
    if (++mix->in_run == HOP_MIX_RUN)
        hop_mix_flush(mix);
}

void hop_mix_join(hop_mix *mix, const hop_mix *part)
{
    for (size_t j = 0; j < mix->model->p; j++)
        mix->numerator[j] += part->numerator[j];
    mix->D += part->D;
    mix->squares += part->squares;
    mix->other += part->other;
    mix->n += part->n;
}

/* Roundings of a sum's term on its way into N or D. */
static double roundings(const hop_mix *mix, size_t parts)
{
    const double run = mix->n < HOP_MIX_RUN ? (double)mix->n : HOP_MIX_RUN;
    return run + (double)(mix->n / HOP_MIX_RUN) + (double)parts + 2;
}

double hop_mix_error(const hop_mix *mix, size_t parts)
{
    return hop_gamma(roundings(mix, parts), HOP_U64);
}

double hop_mix_answer(hop_mix *mix, size_t parts, const hop_error_terms *terms, float *z)
{
    const hop_geometry *values = &mix->model->value;
    hop_error_terms all = *terms;
    for (size_t j = 0; j < values->n; j++)
        mix->numerator[j] *= values->inverse[j];
    /* A product that underflows is off by 2^-1074, next to weights that sum to 1/2 or more: below 2^-500 scaled. */
    all.weight += hop_up(hop_gamma(roundings(mix, parts) + 4, HOP_U64) + 0x1p-500);
    all.quotient += hop_up(hop_gamma(roundings(mix, parts) + 2, HOP_U64));
    return hop_certificate_answer(values, mix->numerator, mix->D, &all, z);
}
