/*
 * moments.c - building the sums. A block of memories is laid side by side ([monomial][memory]); degree k's sums are the
 * product of degree k-1's monomials with the block's coordinates, taken block of variables by block of variables so
 * that each monomial is summed once, by matrix products (blas.h).
 */
#include "core/moments.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "core/blas.h"
#include "core/checked.h"
#include "core/costs.h"
#include "core/plan.h"
#include "core/status.h"

enum { BLOCK_MAX = 256, BLOCK_MIN = 16, BLOCK_BYTES = 4 << 20, SMALL_BYTES = 64 << 10, DEGREE_TRIED_MAX = 12 };

#define DEFAULT_BUILD_SECONDS 2.0

unsigned hop_features_max_degree(const hop_features *features)
{
    return features->g_max;
}

uint64_t hop_features_rank(const hop_features *features)
{
    return hop_rank(features->index.d, features->g_max);
}

size_t hop_features_bytes_estimate(const hop_model *model, unsigned max_degree)
{
    if (max_degree >= HOP_DEGREE_MAX)
        return SIZE_MAX;
    uint64_t scalar = hop_rank(model->d, max_degree + 1), r = hop_rank(model->d, max_degree);
    size_t rows, cells, bytes;
    if (scalar > INT_MAX || !hop_mul_size((size_t)r, model->shared ? 0 : model->p, &rows) ||
        !hop_add_size((size_t)scalar + HOP_SWEEP_PAD, rows, &cells) || !hop_mul_size(cells, sizeof(double), &bytes) ||
        !hop_add_size(bytes, ((size_t)scalar + HOP_SWEEP_PAD) * sizeof(float), &bytes))
        return SIZE_MAX;
    return bytes;
}

/* Rows of a block: its monomials stay in cache, matrix products stay long enough. */
static size_t block_rows(size_t r, size_t M)
{
    size_t rows = (size_t)BLOCK_BYTES / sizeof(double) / r & ~(size_t)15;
    rows = rows < BLOCK_MIN ? BLOCK_MIN : rows > BLOCK_MAX ? BLOCK_MAX : rows;
    return rows < M ? rows : M;
}

/* Shares of the memories: one a thread, where each has a block. */
static size_t share_count(size_t M, size_t block, size_t width)
{
    return width < 1 || M / block < width ? 1 : width;
}

size_t hop_features_build_bytes(const hop_model *model, unsigned max_degree, size_t width)
{
    size_t kept = hop_features_bytes_estimate(model, max_degree);
    if (kept == SIZE_MAX)
        return SIZE_MAX;
    size_t d = model->d, r = (size_t)hop_rank(d, max_degree), scalar = (size_t)hop_rank(d, max_degree + 1);
    size_t p = model->shared ? 0 : model->p, block = block_rows(r, model->M), rows, cells, sums, bytes;
    /* a share: its sums, A, and a block of monomials and rows; once: factorials, offsets */
    if (!hop_add_size(d + p, r, &rows) || !hop_mul_size(rows, block, &cells) || !hop_mul_size(r, p, &sums) ||
        !hop_add_size(cells, sums, &cells) || !hop_add_size(cells, scalar, &cells) ||
        !hop_mul_size(cells, share_count(model->M, block, width), &cells) || !hop_add_size(cells, 2 * scalar, &cells) ||
        !hop_add_size(cells, (size_t)HOP_DEGREE_MAX * 2 * (d + 1), &cells) ||
        !hop_mul_size(cells, sizeof(double), &bytes) || !hop_add_size(bytes, kept, &bytes))
        return SIZE_MAX;
    return bytes;
}

size_t hop_features_bytes(const hop_features *features)
{
    const hop_multiindex *index = &features->index;
    size_t rows = features->A ? index->start[features->g_max + 1] * features->p : 0;
    size_t scalar = index->start[features->g_max + 2] + HOP_SWEEP_PAD;
    return (scalar + rows) * sizeof(double) + (features->a_f32 ? scalar * sizeof(float) : 0);
}

double hop_features_build_seconds(const hop_model *model, unsigned max_degree)
{
    hop_costs costs;
    hop_costs_get(&costs);
    hop_work work = hop_work_build(model, max_degree);
    return hop_work_seconds(&work, &costs);
}

unsigned hop_features_degree_within(const hop_model *model, size_t byte_budget, double build_seconds)
{
    unsigned cheaper = hop_plan_degree_cap(model, DEGREE_TRIED_MAX), g = 0;
    while (g < DEGREE_TRIED_MAX) {
        size_t bytes = hop_features_bytes_estimate(model, g + 1);
        bool useful = g + 1 <= cheaper || bytes <= SMALL_BYTES;
        if (bytes > byte_budget || !useful || hop_features_build_seconds(model, g + 1) > build_seconds)
            break;
        g++;
    }
    return g;
}

unsigned hop_features_default_degree(const hop_model *model)
{
    size_t memories = model->M * model->d * sizeof(float);
    return hop_features_degree_within(model, memories > SMALL_BYTES ? memories : SMALL_BYTES, DEFAULT_BUILD_SECONDS);
}

void hop_features_free(hop_features *features)
{
    if (!features)
        return;
    hop_multiindex_fini(&features->index);
    hop_aligned_free(features->a);
    hop_aligned_free(features->a_f32);
    hop_aligned_free(features->A);
    hop_aligned_free(features);
}

/* One task's share of the memories and its own sums. */
typedef struct share {
    size_t first, last;
    double *sums;      /* degree k >= 1, block v: [count][v + 1] products, laid out by sums_offset */
    double *A;         /* r x p, or NULL */
    double *u;         /* d x block */
    double *w;         /* p x block, or NULL */
    double *monomials; /* r(d, g_max) x block */
} share;

typedef struct build {
    const hop_model *model;
    const hop_multiindex *index;
    unsigned g;
    size_t block;
    size_t n_sums;
    share *shares;
    size_t n_shares;
    hop_progress *progress;
    atomic_size_t done;
} build;

/*
 * Sums of degree k + 1 from degree k's monomials: those of block v (smallest variable v) are multiplied by u_0..u_v.
 * Degree 0 (the constant) is multiplied by all of them.
 */
static size_t widths_before(const hop_multiindex *index, unsigned k, size_t v)
{
    size_t cells = 0;
    for (size_t b = 0; b < v; b++)
        cells += (hop_multiindex_offset(index, k, b + 1) - hop_multiindex_offset(index, k, b)) * (b + 1);
    return cells;
}

static size_t degree_cells(const hop_multiindex *index, unsigned k)
{
    return k ? widths_before(index, k, index->d) : index->d;
}

static size_t load_block(const build *b, const share *s, size_t from)
{
    const hop_model *model = b->model;
    size_t n = s->last - from < b->block ? s->last - from : b->block, d = model->d, p = model->p;
    for (size_t m = 0; m < n; m++) {
        const float *key = model->keys + (from + m) * d, *value = model->values + (from + m) * p;
        for (size_t l = 0; l < d; l++)
            s->u[l * b->block + m] = hop_geometry_scaled(&model->key, key, l);
        for (size_t j = 0; s->w && j < p; j++)
            s->w[j * b->block + m] = hop_geometry_scaled(&model->value, value, j);
        s->monomials[m] = 1;
    }
    return n;
}

static void extend_monomials(const build *b, const share *s, unsigned k, size_t n)
{
    const hop_multiindex *index = b->index;
    const double *before = s->monomials + index->start[k - 1] * b->block;
    double *out = s->monomials + index->start[k] * b->block;
    for (size_t i = 0; i < index->d; i++) {
        const double *from = before + hop_multiindex_offset(index, k - 1, i) * b->block, *u = s->u + i * b->block;
        for (size_t c = hop_multiindex_suffix(index, k - 1, i); c > 0; c--, from += b->block, out += b->block)
            for (size_t m = 0; m < n; m++)
                out[m] = u[m] * from[m];
    }
}

static void add_products(const build *b, const share *s, unsigned k, size_t n, double *sums)
{
    const hop_multiindex *index = b->index;
    const double *monomials = s->monomials + index->start[k] * b->block;
    if (k == 0) {
        hop_gemm_nt(1, index->d, n, monomials, b->block, s->u, b->block, sums, index->d);
        return;
    }
    for (size_t v = 0; v < index->d; v++) {
        size_t from = hop_multiindex_offset(index, k, v), count = hop_multiindex_offset(index, k, v + 1) - from;
        hop_gemm_nt(count, v + 1, n, monomials + from * b->block, b->block, s->u, b->block, sums, v + 1);
        sums += count * (v + 1);
    }
}

static void report(build *b, size_t rows)
{
    if (!b->progress)
        return;
    size_t done = atomic_fetch_add_explicit(&b->done, rows, memory_order_relaxed) + rows;
    atomic_store_explicit(&b->progress->permille, (unsigned)(done * 1000 / b->model->M), memory_order_relaxed);
}

static bool cancelled(const build *b)
{
    return b->progress && atomic_load_explicit(&b->progress->cancel, memory_order_relaxed);
}

static void sum_share(void *arg, size_t i)
{
    build *b = arg;
    const share *s = b->shares + i;
    size_t r = b->index->start[b->g + 1];
    for (size_t from = s->first; from < s->last && !cancelled(b); from += b->block) {
        size_t n = load_block(b, s, from);
        double *sums = s->sums;
        for (unsigned k = 0; k <= b->g; k++) {
            if (k)
                extend_monomials(b, s, k, n);
            add_products(b, s, k, n, sums);
            sums += degree_cells(b->index, k);
        }
        if (s->A)
            hop_gemm_nt(r, b->model->p, n, s->monomials, b->block, s->w, b->block, s->A, b->model->p);
        report(b, n);
    }
}

/*
 * a_alpha from the products of the first share, all shares added: (i, c) of degree k+1 is product (c, i) of degree k.
 */
static void gather(const build *b, const double *factorials, double *a)
{
    const hop_multiindex *index = b->index;
    const double *sums = b->shares[0].sums;
    double M = (double)b->model->M;
    a[0] = 1;
    for (unsigned k = 0; k <= b->g; k++) {
        size_t at = index->start[k + 1];
        for (size_t i = 0; i < index->d; i++) {
            if (k == 0) {
                a[at] = sums[i] / M * factorials[at];
                at++;
                continue;
            }
            const double *block = sums + widths_before(index, k, i);
            for (size_t v = i; v < index->d; v++) {
                size_t count = hop_multiindex_offset(index, k, v + 1) - hop_multiindex_offset(index, k, v);
                for (size_t c = 0; c < count; c++, at++)
                    a[at] = block[c * (v + 1) + i] / M * factorials[at];
                block += count * (v + 1);
            }
        }
        sums += degree_cells(index, k);
    }
}

static bool share_init(const build *b, share *s, size_t i)
{
    const hop_model *model = b->model;
    size_t chunk = (model->M + b->n_shares - 1) / b->n_shares, r = b->index->start[b->g + 1];
    s->first = i * chunk < model->M ? i * chunk : model->M;
    s->last = model->M - s->first < chunk ? model->M : s->first + chunk;
    s->sums = hop_array_new(b->n_sums, 1, sizeof(double));
    s->u = hop_array_new(model->d, b->block, sizeof(double));
    s->monomials = hop_array_new(r, b->block, sizeof(double));
    if (!model->shared) {
        s->A = hop_array_new(r, model->p, sizeof(double));
        s->w = hop_array_new(model->p, b->block, sizeof(double));
    }
    return s->sums && s->u && s->monomials && (model->shared || (s->A && s->w));
}

static void shares_free(build *b)
{
    for (size_t i = 0; b->shares && i < b->n_shares; i++) {
        share *s = b->shares + i;
        hop_aligned_free(s->sums);
        hop_aligned_free(s->A);
        hop_aligned_free(s->u);
        hop_aligned_free(s->w);
        hop_aligned_free(s->monomials);
    }
    hop_aligned_free(b->shares);
}

static hop_status sum_all(build *b, hop_features *features, const hop_executor *executor, hop_error *error)
{
    const hop_multiindex *index = b->index;
    size_t r = index->start[b->g + 1], width = executor ? executor->width : 1;
    b->block = block_rows(r, b->model->M);
    b->n_shares = share_count(b->model->M, b->block, width);
    for (unsigned k = 0; k <= b->g; k++)
        b->n_sums += degree_cells(index, k);
    b->shares = hop_array_new(b->n_shares, 1, sizeof(share));
    bool fits = b->shares != NULL;
    for (size_t i = 0; fits && i < b->n_shares; i++)
        fits = share_init(b, b->shares + i, i);
    double *factorials = hop_array_new(index->start[b->g + 2], 1, sizeof(double) + 1);
    if (!fits || !factorials) {
        hop_aligned_free(factorials);
        return hop_fail(error, HOP_E_NOMEM, "no memory to build feature maps of degree %u", b->g);
    }

    if (b->n_shares > 1)
        executor->run(executor->context, b->n_shares, sum_share, b);
    else
        sum_share(b, 0);

    if (cancelled(b)) {
        hop_aligned_free(factorials);
        return hop_fail(error, HOP_E_CANCELLED, "the build of feature maps was cancelled");
    }
    share *all = b->shares;
    for (size_t i = 1; i < b->n_shares; i++) {
        for (size_t c = 0; c < b->n_sums; c++)
            all->sums[c] += b->shares[i].sums[c];
        for (size_t c = 0; all->A && c < r * b->model->p; c++)
            all->A[c] += b->shares[i].A[c];
    }
    hop_multiindex_factorials(index, factorials, (unsigned char *)(factorials + index->start[b->g + 2]));
    gather(b, factorials, features->a);
    for (size_t alpha = 0; all->A && alpha < r; alpha++)
        for (size_t j = 0; j < features->p; j++)
            features->A[alpha * features->p + j] =
                all->A[alpha * features->p + j] / (double)b->model->M * factorials[alpha];
    hop_aligned_free(factorials);

    /*
     * A monomial of degree g + 1 holds 2 (g + 1) roundings; its block's sum, each block's additions (blas.h), the
     * shares; then / M, / alpha!
     */
    double blocks = (double)b->model->M / (double)b->block / (double)b->n_shares + 2;
    double additions = blocks * ((double)b->block / 64 + 1);
    features->build_roundings = 2.0 * (b->g + 2) + (double)b->block + additions + (double)b->n_shares + b->g + 8;
    return HOP_OK;
}

static hop_status narrow(hop_features *features, hop_error *error)
{
    size_t n = features->index.start[features->g_max + 2] + HOP_SWEEP_PAD;
    for (size_t i = 0; i < n; i++)
        if (!(fabs(features->a[i]) <= 1))
            return HOP_OK;
    features->a_f32 = hop_array_new(n, 1, sizeof(float));
    if (!features->a_f32)
        return hop_fail(error, HOP_E_NOMEM, "no memory for feature maps in f32");
    for (size_t i = 0; i < n; i++)
        features->a_f32[i] = (float)features->a[i];
    return HOP_OK;
}

hop_status hop_features_build(const hop_model *model, unsigned max_degree, const hop_executor *executor,
                              hop_progress *progress, hop_features **out, hop_error *error)
{
    if (max_degree < 1 || max_degree >= HOP_DEGREE_MAX || hop_features_bytes_estimate(model, max_degree) == SIZE_MAX)
        return hop_fail(error, HOP_E_LIMIT, "max_degree %u is out of range for d = %zu", max_degree, model->d);
    hop_features *features = hop_array_new(1, 1, sizeof *features);
    if (!features)
        return hop_fail(error, HOP_E_NOMEM, "no memory for feature maps");
    features->g_max = max_degree;
    features->p = model->p;
    hop_status status = hop_multiindex_init(&features->index, model->d, max_degree + 1, error);
    if (status == HOP_OK) {
        features->a = hop_array_new(features->index.start[max_degree + 2] + HOP_SWEEP_PAD, 1, sizeof(double));
        if (!model->shared)
            features->A = hop_array_new(features->index.start[max_degree + 1], model->p, sizeof(double));
        if (!features->a || (!model->shared && !features->A))
            status = hop_fail(error, HOP_E_NOMEM, "no memory for feature maps of degree %u", max_degree);
    }
    if (status == HOP_OK) {
        build b = {.model = model, .index = &features->index, .g = max_degree, .progress = progress};
        status = sum_all(&b, features, executor, error);
        shares_free(&b);
    }
    if (status == HOP_OK)
        status = narrow(features, error);
    if (status != HOP_OK) {
        hop_features_free(features);
        return status;
    }
    if (progress)
        atomic_store_explicit(&progress->permille, 1000, memory_order_relaxed);
    *out = features;
    return HOP_OK;
}
