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
        for (size_t m = 0; m < panel->count; m++) {
            float t = score_f32(panel, q, m) - (panel->shift ? panel->shift[q] : 0.0f);
            double e = (double)(float)exp((double)t);
            panel->D[q] += e;
            for (size_t j = 0; j < panel->columns; j++)
                panel->N[q * panel->columns + j] += e * (double)panel->values[m * panel->columns + j];
        }
    }
}

static void panel_f64(const hop_panel_f64 *panel)
{
    assert(panel->count <= HOP_PANEL && panel->columns % HOP_COLUMNS == 0);
    for (size_t q = 0; q < panel->L; q++) {
        for (size_t m = 0; m < panel->count; m++) {
            double e = exp(score_f64(panel, q, m) - (panel->shift ? panel->shift[q] : 0.0));
            panel->D[q] += e;
            for (size_t j = 0; j < panel->columns; j++)
                panel->N[q * panel->columns + j] += e * panel->values[m * panel->columns + j];
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

static void lanes_extend(size_t n, const double *xi, const double *m, double *out)
{
    for (size_t i = 0; i < n; i++)
        for (size_t lane = 0; lane < HOP_LANES; lane++)
            out[i * HOP_LANES + lane] = xi[lane] * m[i * HOP_LANES + lane];
}

static void lanes_dot(size_t n, const double *a, const double *m, double *sum)
{
    for (size_t i = 0; i < n; i++)
        for (size_t lane = 0; lane < HOP_LANES; lane++)
            sum[lane] += a[i] * m[i * HOP_LANES + lane];
}

static void lanes_spread(size_t n, const double *xi, const double *a, double *adjoint)
{
    for (size_t i = 0; i < n; i++)
        for (size_t lane = 0; lane < HOP_LANES; lane++)
            adjoint[i * HOP_LANES + lane] += xi[lane] * a[i];
}

static void lanes_reverse(size_t n, const double *xi, const double *next, const double *m, double *adjoint, double *sum)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t lane = 0; lane < HOP_LANES; lane++) {
            size_t at = i * HOP_LANES + lane;
            adjoint[at] += xi[lane] * next[at];
            sum[lane] += next[at] * m[at];
        }
    }
}

const hop_kernels hop_kernels_reference = {
    .isa = "reference",
    .scratch_bytes = 64,
    .panel_f32 = panel_f32,
    .panel_f64 = panel_f64,
    .max_f32 = top_f32,
    .max_f64 = top_f64,
    .scores_f64 = scores_f64,
    .lanes_extend = lanes_extend,
    .lanes_dot = lanes_dot,
    .lanes_spread = lanes_spread,
    .lanes_reverse = lanes_reverse,
};
