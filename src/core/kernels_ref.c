/*
 * kernels_ref.c - every kernel in plain C: what the table means, the vector kernels' oracle, and the fallback.
 *
 * Sums run in f64 in the order of the indices, so that f32 kernels round a score once and a weight once. exp is the C
 * library's in f64; HOP_EXP_F64_ERROR leaves it two units in the last place, four times the error that glibc and musl
 * state.
 */
#include "core/kernels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static float score_f32(const hop_panel_f32 *panel, size_t q, size_t m)
{
    double t = 0.0;
    for (size_t l = 0; l < panel->d; l++)
        t += (double)panel->keys[l * HOP_PANEL + m] * (double)panel->x[q * panel->d + l];
    return (float)t;
}

static double score_f64(const hop_panel_f64 *panel, size_t q, size_t m)
{
    double t = 0.0;
    for (size_t l = 0; l < panel->d; l++)
        t += panel->keys[l * HOP_PANEL + m] * panel->x[q * panel->d + l];
    return t;
}

static void panel_f32(const hop_panel_f32 *panel)
{
    assert(panel->count <= HOP_PANEL && panel->columns % HOP_COLUMNS == 0);
    for (size_t q = 0; q < panel->L; q++) {
        double e[HOP_PANEL], D = 0;
        for (size_t m = 0; m < panel->count; m++) {
            float t = score_f32(panel, q, m) - (panel->shift ? panel->shift[q] : 0.0f);
            e[m] = (double)(float)exp((double)t);
            D += e[m];
        }
        panel->D[q] += D;
        for (size_t j = 0; j < panel->columns; j++) {
            double N = 0;
            for (size_t m = 0; m < panel->count; m++)
                N += e[m] * (double)panel->values[m * panel->columns + j];
            panel->N[q * panel->columns + j] += N;
        }
    }
}

static void panel_f64(const hop_panel_f64 *panel)
{
    assert(panel->count <= HOP_PANEL && panel->columns % HOP_COLUMNS == 0);
    for (size_t q = 0; q < panel->L; q++) {
        double e[HOP_PANEL], D = 0;
        for (size_t m = 0; m < panel->count; m++) {
            e[m] = exp(score_f64(panel, q, m) - (panel->shift ? panel->shift[q] : 0.0));
            D += e[m];
        }
        panel->D[q] += D;
        for (size_t j = 0; j < panel->columns; j++) {
            double N = 0;
            for (size_t m = 0; m < panel->count; m++)
                N += e[m] * panel->values[m * panel->columns + j];
            panel->N[q * panel->columns + j] += N;
        }
    }
}

static void top_f32(const hop_panel_f32 *panel, float *top)
{
    assert(panel->count <= HOP_PANEL);
    for (size_t q = 0; q < panel->L; q++)
        for (size_t m = 0; m < panel->count; m++)
            top[q] = fmaxf(top[q], score_f32(panel, q, m));
}

static void top_f64(const hop_panel_f64 *panel, double *top)
{
    assert(panel->count <= HOP_PANEL);
    for (size_t q = 0; q < panel->L; q++)
        for (size_t m = 0; m < panel->count; m++)
            top[q] = fmax(top[q], score_f64(panel, q, m));
}

static void scores_f64(const hop_panel_f64 *panel, double *scores)
{
    assert(panel->count <= HOP_PANEL);
    for (size_t q = 0; q < panel->L; q++)
        for (size_t m = 0; m < panel->count; m++)
            scores[q * HOP_PANEL + m] = score_f64(panel, q, m);
}

#define REF_REAL float
#define REF_NAME(x) x##_f32
#include "core/kernels_ref_sweeps.h"

#define REF_REAL double
#define REF_NAME(x) x##_f64
#include "core/kernels_ref_sweeps.h"

const hop_kernels hop_kernels_reference = {
    .isa = "reference",
    .scratch_bytes = 64,
    .panel_f32 = panel_f32,
    .panel_f64 = panel_f64,
    .max_f32 = top_f32,
    .max_f64 = top_f64,
    .scores_f64 = scores_f64,
    .lanes_f32 = REF_LANES(f32, float),
    .lanes_f64 = REF_LANES(f64, double),
    .one_f32 = REF_ONE(f32, float),
    .one_f64 = REF_ONE(f64, double),
};
