/*
 * costs.c - the costs in use, those that come with each table of kernels, and the counts of the model.
 */
#include "core/costs.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "core/almost_linear.h"
#include "core/dense.h"
#include "core/kernels.h"
#include "core/rounding.h"
#include "core/status.h"

/*
 * Between a group whose numbers fill NEAR_BYTES, which the nearest caches hold, and one of FAR_BYTES, which they do
 * not, their costs go over into each other with the logarithm of the number.
 */
#define NEAR_BYTES (64.0 * 1024)
#define FAR_BYTES (1536.0 * 1024)

#define COST_MAX 1.0 /* seconds: nothing that is counted takes as long */

static const char *const words[HOP_COSTS] = {
    [HOP_COST_ROW] = "row",
    [HOP_COST_NUMBER] = "number",
    [HOP_COST_PAIR] = "pair",
    [HOP_COST_MADD] = "madd",
    [HOP_COST_PASS_PAIR] = "pass_pair",
    [HOP_COST_PASS_NUMBER] = "pass_number",
    [HOP_COST_STREAM] = "stream",
    [HOP_COST_SHIFT] = "shift",
    [HOP_COST_F64_PAIR] = "f64_pair",
    [HOP_COST_F64_MADD] = "f64_madd",
    [HOP_COST_F64_PASS_NUMBER] = "f64_pass_number",
    [HOP_COST_SCORE] = "score",
    [HOP_COST_DEGREE] = "degree",
    [HOP_COST_VARIABLE] = "variable",
    [HOP_COST_LANES_F32_COEFFICIENT] = "lanes_f32_coefficient",
    [HOP_COST_LANES_F32_MONOMIAL] = "lanes_f32_monomial",
    [HOP_COST_LANES_F32_FAR_COEFFICIENT] = "lanes_f32_far_coefficient",
    [HOP_COST_LANES_F32_FAR_MONOMIAL] = "lanes_f32_far_monomial",
    [HOP_COST_LANES_F64_COEFFICIENT] = "lanes_f64_coefficient",
    [HOP_COST_LANES_F64_MONOMIAL] = "lanes_f64_monomial",
    [HOP_COST_LANES_F64_FAR_COEFFICIENT] = "lanes_f64_far_coefficient",
    [HOP_COST_LANES_F64_FAR_MONOMIAL] = "lanes_f64_far_monomial",
    [HOP_COST_ONE_F32_COEFFICIENT] = "one_f32_coefficient",
    [HOP_COST_ONE_F32_MONOMIAL] = "one_f32_monomial",
    [HOP_COST_ONE_F32_FAR_COEFFICIENT] = "one_f32_far_coefficient",
    [HOP_COST_ONE_F32_FAR_MONOMIAL] = "one_f32_far_monomial",
    [HOP_COST_ONE_F64_COEFFICIENT] = "one_f64_coefficient",
    [HOP_COST_ONE_F64_MONOMIAL] = "one_f64_monomial",
    [HOP_COST_ONE_F64_FAR_COEFFICIENT] = "one_f64_far_coefficient",
    [HOP_COST_ONE_F64_FAR_MONOMIAL] = "one_f64_far_monomial",
    [HOP_COST_PRODUCT] = "product",
    [HOP_COST_PRODUCT_PASS] = "product_pass",
    [HOP_COST_BUILD] = "build",
};

/* amx has the vectors of avx512 for all but large dense batches. */
#define AVX512_COSTS(madd, pass_number)                                                                                \
    {                                                                                                                  \
        {                                                                                                              \
            [HOP_COST_ROW] = 5.4e-8, [HOP_COST_NUMBER] = 5.4e-9, [HOP_COST_PAIR] = 2.6e-10, [HOP_COST_MADD] = (madd),  \
            [HOP_COST_PASS_PAIR] = 1.5e-10, [HOP_COST_PASS_NUMBER] = (pass_number), [HOP_COST_STREAM] = 8e-11,         \
            [HOP_COST_SHIFT] = 1.1e-11, [HOP_COST_F64_PAIR] = 4.5e-10, [HOP_COST_F64_MADD] = 2.6e-11,                  \
            [HOP_COST_F64_PASS_NUMBER] = 4.6e-10, [HOP_COST_SCORE] = 5.2e-9, [HOP_COST_DEGREE] = 7.3e-8,               \
            [HOP_COST_VARIABLE] = 5e-9, [HOP_COST_LANES_F32_COEFFICIENT] = 7.9e-10,                                    \
            [HOP_COST_LANES_F32_MONOMIAL] = 3.9e-10, [HOP_COST_LANES_F32_FAR_COEFFICIENT] = 1.8e-10,                   \
            [HOP_COST_LANES_F32_FAR_MONOMIAL] = 3.8e-9, [HOP_COST_LANES_F64_COEFFICIENT] = 2.5e-10,                    \
            [HOP_COST_LANES_F64_MONOMIAL] = 1.8e-9, [HOP_COST_LANES_F64_FAR_COEFFICIENT] = 3.4e-10,                    \
            [HOP_COST_LANES_F64_FAR_MONOMIAL] = 3.2e-9, [HOP_COST_ONE_F32_COEFFICIENT] = 3.2e-11,                      \
            [HOP_COST_ONE_F32_MONOMIAL] = 5.2e-10, [HOP_COST_ONE_F32_FAR_COEFFICIENT] = 1.3e-10,                       \
            [HOP_COST_ONE_F32_FAR_MONOMIAL] = 1.7e-10, [HOP_COST_ONE_F64_COEFFICIENT] = 4.7e-11,                       \
            [HOP_COST_ONE_F64_MONOMIAL] = 7e-10, [HOP_COST_ONE_F64_FAR_COEFFICIENT] = 1.9e-10,                         \
            [HOP_COST_ONE_F64_FAR_MONOMIAL] = 6e-10, [HOP_COST_PRODUCT] = 3.7e-11, [HOP_COST_PRODUCT_PASS] = 3.4e-11,  \
            [HOP_COST_BUILD] = 2.5e-11                                                                                 \
        }                                                                                                              \
    }

/* Measured by hop_calibrate() on one x86-64 server; neon is taken from avx2 at half its width. */
static const struct {
    const char *isa;
    hop_costs costs;
} built_in[] = {
    {"reference",
     {{[HOP_COST_ROW] = 1.6e-8,
       [HOP_COST_NUMBER] = 6.2e-9,
       [HOP_COST_PAIR] = 1.6e-9,
       [HOP_COST_MADD] = 8.3e-10,
       [HOP_COST_PASS_PAIR] = 1e-10,
       [HOP_COST_PASS_NUMBER] = 1e-11,
       [HOP_COST_STREAM] = 8e-11,
       [HOP_COST_SHIFT] = 6.1e-10,
       [HOP_COST_F64_PAIR] = 8e-9,
       [HOP_COST_F64_MADD] = 7.3e-10,
       [HOP_COST_F64_PASS_NUMBER] = 8.4e-12,
       [HOP_COST_SCORE] = 6e-9,
       [HOP_COST_DEGREE] = 1.8e-8,
       [HOP_COST_VARIABLE] = 5.5e-9,
       [HOP_COST_LANES_F32_COEFFICIENT] = 3.7e-9,
       [HOP_COST_LANES_F32_MONOMIAL] = 9.5e-9,
       [HOP_COST_LANES_F32_FAR_COEFFICIENT] = 3.6e-9,
       [HOP_COST_LANES_F32_FAR_MONOMIAL] = 1.4e-8,
       [HOP_COST_LANES_F64_COEFFICIENT] = 1.1e-9,
       [HOP_COST_LANES_F64_MONOMIAL] = 1.2e-8,
       [HOP_COST_LANES_F64_FAR_COEFFICIENT] = 4.2e-9,
       [HOP_COST_LANES_F64_FAR_MONOMIAL] = 5.4e-9,
       [HOP_COST_ONE_F32_COEFFICIENT] = 7.7e-10,
       [HOP_COST_ONE_F32_MONOMIAL] = 2.3e-9,
       [HOP_COST_ONE_F32_FAR_COEFFICIENT] = 1e-9,
       [HOP_COST_ONE_F32_FAR_MONOMIAL] = 3.2e-9,
       [HOP_COST_ONE_F64_COEFFICIENT] = 3.3e-10,
       [HOP_COST_ONE_F64_MONOMIAL] = 4.6e-9,
       [HOP_COST_ONE_F64_FAR_COEFFICIENT] = 1.1e-9,
       [HOP_COST_ONE_F64_FAR_MONOMIAL] = 2.3e-9,
       [HOP_COST_PRODUCT] = 1e-11,
       [HOP_COST_PRODUCT_PASS] = 3e-11,
       [HOP_COST_BUILD] = 7e-10}}},
    {"neon",
     {{[HOP_COST_ROW] = 1.7e-8,
       [HOP_COST_NUMBER] = 5.2e-9,
       [HOP_COST_PAIR] = 6.4e-10,
       [HOP_COST_MADD] = 2.4e-11,
       [HOP_COST_PASS_PAIR] = 1e-10,
       [HOP_COST_PASS_NUMBER] = 7e-11,
       [HOP_COST_STREAM] = 8e-11,
       [HOP_COST_SHIFT] = 4.4e-11,
       [HOP_COST_F64_PAIR] = 1.5e-9,
       [HOP_COST_F64_MADD] = 7.6e-11,
       [HOP_COST_F64_PASS_NUMBER] = 4.4e-10,
       [HOP_COST_SCORE] = 4.4e-9,
       [HOP_COST_DEGREE] = 7.8e-8,
       [HOP_COST_VARIABLE] = 5e-9,
       [HOP_COST_LANES_F32_COEFFICIENT] = 1.2e-9,
       [HOP_COST_LANES_F32_MONOMIAL] = 5.2e-11,
       [HOP_COST_LANES_F32_FAR_COEFFICIENT] = 3.6e-10,
       [HOP_COST_LANES_F32_FAR_MONOMIAL] = 2e-9,
       [HOP_COST_LANES_F64_COEFFICIENT] = 8.6e-10,
       [HOP_COST_LANES_F64_MONOMIAL] = 4.8e-10,
       [HOP_COST_LANES_F64_FAR_COEFFICIENT] = 5.8e-10,
       [HOP_COST_LANES_F64_FAR_MONOMIAL] = 1.5e-9,
       [HOP_COST_ONE_F32_COEFFICIENT] = 3.2e-11,
       [HOP_COST_ONE_F32_MONOMIAL] = 5.7e-10,
       [HOP_COST_ONE_F32_FAR_COEFFICIENT] = 1.3e-10,
       [HOP_COST_ONE_F32_FAR_MONOMIAL] = 3.7e-10,
       [HOP_COST_ONE_F64_COEFFICIENT] = 5.8e-11,
       [HOP_COST_ONE_F64_MONOMIAL] = 1e-9,
       [HOP_COST_ONE_F64_FAR_COEFFICIENT] = 2.3e-10,
       [HOP_COST_ONE_F64_FAR_MONOMIAL] = 5e-10,
       [HOP_COST_PRODUCT] = 2.7e-11,
       [HOP_COST_PRODUCT_PASS] = 4.7e-11,
       [HOP_COST_BUILD] = 1.2e-10}}},
    {"avx2",
     {{[HOP_COST_ROW] = 1.7e-8,
       [HOP_COST_NUMBER] = 5.2e-9,
       [HOP_COST_PAIR] = 3.2e-10,
       [HOP_COST_MADD] = 1.2e-11,
       [HOP_COST_PASS_PAIR] = 1e-10,
       [HOP_COST_PASS_NUMBER] = 7e-11,
       [HOP_COST_STREAM] = 8e-11,
       [HOP_COST_SHIFT] = 2.2e-11,
       [HOP_COST_F64_PAIR] = 7.7e-10,
       [HOP_COST_F64_MADD] = 3.8e-11,
       [HOP_COST_F64_PASS_NUMBER] = 4.4e-10,
       [HOP_COST_SCORE] = 4.4e-9,
       [HOP_COST_DEGREE] = 7.8e-8,
       [HOP_COST_VARIABLE] = 5e-9,
       [HOP_COST_LANES_F32_COEFFICIENT] = 6e-10,
       [HOP_COST_LANES_F32_MONOMIAL] = 5.2e-11,
       [HOP_COST_LANES_F32_FAR_COEFFICIENT] = 1.8e-10,
       [HOP_COST_LANES_F32_FAR_MONOMIAL] = 2e-9,
       [HOP_COST_LANES_F64_COEFFICIENT] = 4.3e-10,
       [HOP_COST_LANES_F64_MONOMIAL] = 4.8e-10,
       [HOP_COST_LANES_F64_FAR_COEFFICIENT] = 2.9e-10,
       [HOP_COST_LANES_F64_FAR_MONOMIAL] = 1.5e-9,
       [HOP_COST_ONE_F32_COEFFICIENT] = 3.2e-11,
       [HOP_COST_ONE_F32_MONOMIAL] = 5.7e-10,
       [HOP_COST_ONE_F32_FAR_COEFFICIENT] = 1.3e-10,
       [HOP_COST_ONE_F32_FAR_MONOMIAL] = 3.7e-10,
       [HOP_COST_ONE_F64_COEFFICIENT] = 5.8e-11,
       [HOP_COST_ONE_F64_MONOMIAL] = 1e-9,
       [HOP_COST_ONE_F64_FAR_COEFFICIENT] = 2.3e-10,
       [HOP_COST_ONE_F64_FAR_MONOMIAL] = 5e-10,
       [HOP_COST_PRODUCT] = 2.7e-11,
       [HOP_COST_PRODUCT_PASS] = 4.7e-11,
       [HOP_COST_BUILD] = 6e-11}}},
    {"avx512", AVX512_COSTS(6.2e-12, 4.7e-11)},
    {"amx", AVX512_COSTS(5e-12, 6e-11)},
};

const char *hop_cost_word(hop_cost cost)
{
    return words[cost];
}

/* Of the kernels in use; the reference's where they have none. */
static size_t built_in_index(void)
{
    const char *isa = hop_kernels_get()->isa;
    size_t i = sizeof built_in / sizeof *built_in - 1;
    while (i > 0 && strncmp(built_in[i].isa, isa, strlen(built_in[i].isa)) != 0) /* amx-tiles is amx */
        i--;
    return i;
}

void hop_costs_built_in(hop_costs *out)
{
    *out = built_in[built_in_index()].costs;
}

/* One atomic a cost: a reader may see a mixture of two sets, which is a set of costs like any other. */
static _Atomic double in_use[HOP_COSTS];
static atomic_bool given;
static atomic_uint times_set;

void hop_costs_get(hop_costs *out)
{
    if (!atomic_load_explicit(&given, memory_order_acquire)) {
        hop_costs_built_in(out);
        return;
    }
    for (size_t i = 0; i < HOP_COSTS; i++)
        out->seconds[i] = atomic_load_explicit(&in_use[i], memory_order_relaxed);
}

hop_status hop_costs_set(const hop_costs *costs, hop_error *error)
{
    for (size_t i = 0; costs && i < HOP_COSTS; i++)
        if (!(costs->seconds[i] > 0 && costs->seconds[i] < COST_MAX))
            return hop_fail(error, HOP_E_DOMAIN, "the cost \"%s\" must be above 0 and below 1 s, not %g", words[i],
                            costs->seconds[i]);
    for (size_t i = 0; costs && i < HOP_COSTS; i++)
        atomic_store_explicit(&in_use[i], costs->seconds[i], memory_order_relaxed);
    atomic_store_explicit(&given, costs != NULL, memory_order_release);
    atomic_fetch_add_explicit(&times_set, 1, memory_order_release);
    return HOP_OK;
}

unsigned hop_costs_version(void)
{
    enum { TABLES = sizeof built_in / sizeof *built_in };
    return atomic_load_explicit(&times_set, memory_order_acquire) * TABLES + (unsigned)built_in_index();
}

/* ---- counts ------------------------------------------------------------------------------------------ */

hop_work hop_work_row(const hop_model *model)
{
    hop_work work = {.count[HOP_COST_ROW] = 1};
    work.count[HOP_COST_NUMBER] = (double)(model->d + model->p);
    return work;
}

/* Rows that share a pass. */
static double pass_rows(const hop_model *model, size_t rows)
{
    size_t batch = hop_dense_batch(model);
    return (double)(rows < 1 ? 1 : rows < batch ? rows : batch);
}

/* Few queries, and models that keep no values, read the keys alone where those are the values (dense.c). */
static bool keys_alone(const hop_model *model, size_t rows, bool f64)
{
    enum { FEW = 4 };
    return model->shared && (rows <= FEW || (!f64 && !model->value_panels));
}

hop_work hop_work_dense(const hop_model *model, size_t rows, bool f64, bool shifted)
{
    hop_work work = hop_work_row(model);
    double M = (double)model->M, d = (double)model->d, columns = (double)model->columns;
    double shared = M / pass_rows(model, rows), more = shifted ? d : 0; /* the pass that finds the maxima */
    double values = keys_alone(model, rows, f64) ? 0 : columns, read = d + values + more, packed = 0;
    if (f64) {
        work.count[HOP_COST_F64_PAIR] = M;
        work.count[HOP_COST_F64_MADD] = M * (d + columns + more);
        packed = read;
    } else {
        work.count[HOP_COST_PAIR] = M;
        work.count[HOP_COST_MADD] = M * (d + columns);
        work.count[HOP_COST_SHIFT] = M * more;
        work.count[HOP_COST_PASS_PAIR] = shared * (shifted ? 2 : 1);
        work.count[HOP_COST_PASS_NUMBER] = shared * read;
        packed = (model->key_panels ? 0 : d + more) + (model->value_panels ? 0 : values);
    }
    work.count[HOP_COST_F64_PASS_NUMBER] = shared * packed;
    work.count[HOP_COST_STREAM] = hop_max(0, M * sizeof(float) * read - HOP_COST_CACHED_BYTES) / pass_rows(model, rows);
    return work;
}

hop_work hop_work_scores(const hop_model *model, size_t rows)
{
    double M = (double)model->M, d = (double)model->d;
    hop_work work = {.count[HOP_COST_SCORE] = M};
    work.count[HOP_COST_F64_MADD] = 2 * M * d;
    work.count[HOP_COST_F64_PASS_NUMBER] = 2 * M * d / pass_rows(model, rows);
    return work;
}

/* Costs of the four forms lie in the order of hop_form, four each. */
_Static_assert(HOP_COST_LANES_F64_COEFFICIENT == HOP_COST_LANES_F32_COEFFICIENT + 4 * (int)HOP_LANES_F64 &&
                   HOP_COST_ONE_F32_COEFFICIENT == HOP_COST_LANES_F32_COEFFICIENT + 4 * (int)HOP_ONE_F32 &&
                   HOP_COST_ONE_F64_COEFFICIENT == HOP_COST_LANES_F32_COEFFICIENT + 4 * (int)HOP_ONE_F64,
               "four costs a form");

static const hop_sweeps *sweeps_of(hop_form form)
{
    const hop_kernels *kernels = hop_kernels_get();
    const hop_sweeps *sweeps[] = {[HOP_LANES_F32] = &kernels->lanes_f32,
                                  [HOP_LANES_F64] = &kernels->lanes_f64,
                                  [HOP_ONE_F32] = &kernels->one_f32,
                                  [HOP_ONE_F64] = &kernels->one_f64};
    return sweeps[form];
}

void hop_work_add_groups(const hop_model *model, unsigned g, hop_form form, double groups, double shared,
                         hop_work *work)
{
    const hop_sweeps *sweeps = sweeps_of(form);
    double r = (double)hop_rank(model->d, g), coefficients = (double)hop_rank(model->d, g + 1);
    double bytes = (double)sweeps->real_bytes * (coefficients + 2 * r * (double)sweeps->lanes);
    double far = log(bytes / NEAR_BYTES) / log(FAR_BYTES / NEAR_BYTES);
    far = far > 0 && g > 1 ? hop_min(far, 1) : 0;
    work->count[HOP_COST_VARIABLE] += groups * (double)model->d * (g + 1);
    double *count = work->count + HOP_COST_LANES_F32_COEFFICIENT + 4 * (int)form;
    count[0] += groups * coefficients * (1 - far);
    count[1] += groups * r * (1 - far);
    count[2] += groups * coefficients * far;
    count[3] += groups * r * far;
    if (g == 1) { /* every coefficient is one of a pair: the lanes' numbers go by for each variable */
        double again = 2 * r * (double)(sweeps->real_bytes * sweeps->lanes) / NEAR_BYTES - 1;
        count[0] += groups * coefficients * 2 * hop_max(0, hop_min(again, 1));
        work->count[HOP_COST_STREAM] += groups * hop_max(0, (double)sweeps->real_bytes * coefficients - FAR_BYTES / 2);
    }
    double products = model->shared ? 0 : groups * r * (double)model->p;
    products *= (double)sweeps->real_bytes / sizeof(double);
    work->count[HOP_COST_PRODUCT] += products * (double)sweeps->lanes;
    work->count[HOP_COST_PRODUCT_PASS] += products / shared;
}

hop_work hop_work_almost_linear(const hop_model *model, unsigned g, size_t rows, bool f32)
{
    hop_work work = hop_work_row(model);
    hop_form lanes_form = f32 ? HOP_LANES_F32 : HOP_LANES_F64, one_form = f32 ? HOP_ONE_F32 : HOP_ONE_F64;
    size_t n = rows < 1 ? 1 : rows, lanes = sweeps_of(lanes_form)->lanes, rest = n % lanes;
    bool single = rest && hop_al_one_by_one(rest, lanes);
    double groups = (double)(n / lanes) + (rest && !single ? 1 : 0);
    work.count[HOP_COST_DEGREE] =
        g + HOP_WORK_START / (double)n + (single ? HOP_WORK_START * (double)rest / (double)n : 0);
    hop_work_add_groups(model, g, lanes_form, groups / (double)n, hop_max(1, hop_min(groups, HOP_AL_CONVOY)), &work);
    if (single)
        hop_work_add_groups(model, g, one_form, (double)rest / (double)n, 1, &work);
    return work;
}

hop_work hop_work_build(const hop_model *model, unsigned g)
{
    hop_work work = {.count[HOP_COST_BUILD] = (double)model->M * (double)hop_rank(model->d, g + 1)};
    if (!model->shared)
        work.count[HOP_COST_BUILD] += (double)model->M * (double)hop_rank(model->d, g) * (double)model->p;
    return work;
}

double hop_work_seconds(const hop_work *work, const hop_costs *costs)
{
    double seconds = 0;
    for (size_t i = 0; i < HOP_COSTS; i++)
        seconds += work->count[i] * costs->seconds[i];
    return seconds;
}
