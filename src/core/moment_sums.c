/*
 * moment_sums.c - every monomial once, as a product of two. With its variables sorted, the last a = (g+1)/2 of a
 * monomial of degree a + t are its right half, the first t its left half; if v is the largest variable of the left
 * half, the right half is any monomial of degree a in the variables from v on. So, for each v,
 *
 *     (left halves of any degree whose largest variable is v)  x  (right halves from block v on)
 *
 * is one product of two matrices with a block of memories between them (kernels.h), without waste or repetition, and
 * only monomials of half the degree are ever formed. A left half's products lie side by side in the order of
 * multiindex.h, which is why sums are added where they belong. Degrees up to a are sums of right halves: their left
 * half is 1.
 *
 * Right halves are in that order. Left halves are taken in the same order with the variables reversed: block i there
 * holds the monomials whose largest variable is d - 1 - i. Up to degree a they are rows of right halves; only where
 * g is even there are longer ones, which are formed for one v at a time.
 */
#include "core/moment_sums.h"

#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"
#include "core/kernels.h"
#include "core/status.h"

enum {
    BLOCK_MAX = 240, /* memories of a block: long rows make few sums of lanes */
    BLOCK_MIN = 80,
    BLOCK_BYTES = 1 << 20, /* of all rows of a block: half a second-level cache */
    SHARE_MIN = 4096,      /* memories of one task and its own sums */
    SHARES_MAX = 64,
    TERMS = 32 /* monomials formed at a time for the products with values */
};

/* What follows from the shape alone. */
typedef struct shape {
    size_t d, p; /* p is 0 where values are the keys */
    unsigned g, right_degree, left_degree;
    size_t right_rows, scratch_rows; /* of a block; scratch: left halves longer than any right one, of one v */
    size_t halves;                   /* left ones, the 1 included */
    size_t block, n_blocks, n_shares;
    size_t scalars, products; /* sums of one share: r(d, g + 1), r(d, g) p */
} shape;

static size_t block_rows(const shape *s)
{
    return s->right_rows + s->scratch_rows + (s->p ? s->p + TERMS : 0);
}

static shape shape_of(const hop_model *model, size_t n, unsigned g)
{
    shape s = {.d = model->d, .p = model->shared ? 0 : model->p, .g = g};
    s.right_degree = (g + 1) / 2;
    s.left_degree = (g + 2) / 2;
    s.halves = (size_t)hop_rank(s.d, s.left_degree);
    s.right_rows = (size_t)hop_rank(s.d, s.right_degree);
    s.scratch_rows = s.left_degree > s.right_degree ? (size_t)hop_rank(s.d - 1, s.right_degree) : 0;
    s.scalars = (size_t)hop_rank(s.d, g + 1);
    s.products = s.p ? (size_t)hop_rank(s.d, g) * s.p : 0;

    size_t block = (size_t)BLOCK_BYTES / sizeof(double) / block_rows(&s) & ~(size_t)(HOP_ROW_STEP - 1);
    block = block < BLOCK_MIN ? BLOCK_MIN : block > BLOCK_MAX ? BLOCK_MAX : block | HOP_ROW_STEP;
    s.block = n < block ? hop_round_up(n ? n : 1, HOP_ROW_STEP) : block;
    s.n_blocks = (n + s.block - 1) / s.block;
    size_t shares = n / SHARE_MIN;
    s.n_shares = shares > SHARES_MAX ? SHARES_MAX : shares ? shares : s.n_blocks ? 1 : 0;
    return s;
}

/* Numbers of one worker: sums, then a block. */
static size_t worker_numbers(const shape *s)
{
    return hop_round_up(s->scalars, 8) + hop_round_up(s->products, 8) + block_rows(s) * s->block;
}

static size_t worker_count(const shape *s, size_t width)
{
    width = width ? width : 1;
    return width < s->n_shares ? width : s->n_shares;
}

/* Of left halves, in the order of their v: where products start, and their rows; two arrays to find that out with. */
static size_t position_count(const shape *s)
{
    return 2 * s->halves + 2 * (size_t)hop_rank(s->d - 1, s->left_degree);
}

size_t hop_moment_sums_bytes(const hop_model *model, size_t n, unsigned g, size_t width)
{
    shape s = shape_of(model, n, g);
    size_t cells, bytes;
    if (!hop_mul_size(worker_numbers(&s), worker_count(&s, width), &cells) ||
        !hop_add_size(cells, position_count(&s) + s.halves * worker_count(&s, width), &cells) ||
        !hop_mul_size(cells, sizeof(double), &bytes))
        return SIZE_MAX;
    return bytes;
}

double hop_moment_sums_roundings(const hop_model *model, size_t n, unsigned g)
{
    shape s = shape_of(model, n, g);
    double shares = (double)(s.n_shares ? s.n_shares : 1);
    /* a coordinate's own and the halves' products; a block's sum; blocks; shares */
    return 2.0 * (g + 1) + (double)s.block / 2 + 2 + (double)s.n_blocks / shares + 2 + shares;
}

/* One task's sums and block. Halves of degree k lie from row index->start[k] on; row 0 holds ones. */
typedef struct worker {
    double *a, *A;
    double *right, *scratch, *w, *terms;
    const double *term_rows[TERMS];
    const double **halves; /* the rows of left halves, in the order of their v */
} worker;

typedef struct sums_job {
    const hop_moment_rows *rows;
    const hop_multiindex *index;
    const hop_kernels *kernels;
    shape shape;
    size_t *positions, *half_rows; /* of each of worker.halves: of its products, of itself among right halves */
    size_t multiples[TERMS];       /* of p */
    worker *workers;
    size_t first_share; /* of the tasks at hand */
    atomic_size_t done;
} sums_job;

static bool cancelled(const sums_job *job)
{
    const hop_progress *progress = job->rows->progress;
    return progress && atomic_load_explicit(&progress->cancel, memory_order_relaxed);
}

static void report(sums_job *job, size_t n)
{
    hop_progress *progress = job->rows->progress;
    if (!progress)
        return;
    size_t done = atomic_fetch_add_explicit(&job->done, n, memory_order_relaxed) + n;
    double part = (double)(job->rows->done_rows + done) / (double)job->rows->rows;
    atomic_store_explicit(&progress->permille, (unsigned)(part * 1000), memory_order_relaxed);
}

/* First row of block i of degree k. */
static size_t block_start(const hop_multiindex *index, unsigned k, size_t i)
{
    return index->start[k] + hop_multiindex_offset(index, k, i);
}

/* Degrees from 2 on from degree 1. */
static void extend(const sums_job *job, double *rows)
{
    const hop_multiindex *index = job->index;
    size_t block = job->shape.block;
    for (unsigned k = 2; k <= job->shape.right_degree; k++)
        for (size_t i = 0; i < index->d; i++)
            job->kernels->moment_multiply(hop_multiindex_suffix(index, k - 1, i), block, rows + (1 + i) * block,
                                          rows + block_start(index, k - 1, i) * block,
                                          rows + block_start(index, k, i) * block);
}

/* A few rows at a time, so that whole lines of the columns are written while the rows' lines are near. */
static void load_coordinates(const hop_geometry *geometry, const float *const *rows, size_t n, size_t block,
                             double *out)
{
    enum { ROWS = 8 };
    size_t whole = n / ROWS * ROWS;
    for (size_t m = 0; m < whole; m += ROWS)
        for (size_t l = 0; l < geometry->n; l++)
            for (size_t k = 0; k < ROWS; k++)
                out[l * block + m + k] = hop_geometry_scaled(geometry, rows[m + k], l);
    for (size_t l = 0; l < geometry->n; l++) {
        for (size_t m = whole; m < n; m++)
            out[l * block + m] = hop_geometry_scaled(geometry, rows[m], l);
        for (size_t m = n; m < block; m++)
            out[l * block + m] = 0; /* and so is every product */
    }
}

static void load_block(const sums_job *job, const worker *at, size_t from, size_t n)
{
    const hop_moment_rows *rows = job->rows;
    const hop_model *model = rows->model;
    size_t block = job->shape.block, d = model->d;
    const float *keys[BLOCK_MAX], *values[BLOCK_MAX];
    for (size_t m = 0; m < n; m++) {
        size_t row = rows->ids ? rows->ids[from + m] : rows->first + from + m;
        keys[m] = model->keys + row * d;
        values[m] = model->values + row * model->p;
    }
    load_coordinates(&model->key, keys, n, block, at->right + block);
    if (at->A)
        load_coordinates(&model->value, values, n, block, at->w);
    for (size_t m = 0; m < block; m++)
        at->right[m] = 1;
    extend(job, at->right);
}

/* A += left half x right halves x values, the products of the halves being monomials position, position + 1, ... */
static void add_values(const sums_job *job, const worker *at, const double *left, const double *right, size_t n,
                       size_t position)
{
    size_t block = job->shape.block, p = job->shape.p;
    for (size_t c = 0; c < n; c += TERMS) {
        size_t terms = n - c < TERMS ? n - c : TERMS;
        job->kernels->moment_multiply(terms, block, left, right + c * block, at->terms);
        job->kernels->moment_products(&(hop_row_products){.n_left = terms,
                                                          .n_right = p,
                                                          .stride = block,
                                                          .left = at->term_rows,
                                                          .right = at->w,
                                                          .at = job->multiples,
                                                          .sums = at->A + (position + c) * p});
    }
}

/* How many left halves have a largest variable of block i; with the 1 in the last block, variable 0's. */
static size_t group_size(const shape *s, const hop_multiindex *index, size_t i)
{
    size_t n = i + 1 == index->d;
    for (unsigned t = 1; t <= s->left_degree; t++)
        n += hop_multiindex_suffix(index, t - 1, i);
    return n;
}

/* Where those of degree t start among them. */
static size_t group_offset(const hop_multiindex *index, unsigned t, size_t i)
{
    size_t n = 0;
    for (unsigned k = 1; k < t; k++)
        n += hop_multiindex_suffix(index, k - 1, i);
    return n;
}

/* Left halves longer than right ones: the largest variable times the right halves of what is no larger. */
static void form_longest(const sums_job *job, const worker *at, size_t i, size_t first)
{
    const hop_multiindex *index = job->index;
    unsigned degree = job->shape.right_degree;
    size_t block = job->shape.block;
    const double *largest = at->right + (index->d - i) * block;
    double *to = at->scratch;
    for (; i < index->d; first += group_size(&job->shape, index, i), i++) {
        const double *const *from = at->halves + first + group_offset(index, degree, i);
        for (size_t c = hop_multiindex_suffix(index, degree - 1, i); c > 0; c--, from++, to += block)
            job->kernels->moment_multiply(1, block, largest, *from, to);
    }
}

/* Everything whose left half is one of block i, `first` being the first of those. */
static void add_products(const sums_job *job, const worker *at, size_t i, size_t first)
{
    const hop_multiindex *index = job->index;
    const shape *s = &job->shape;
    unsigned right_degree = s->right_degree;
    size_t block = s->block, v = index->d - 1 - i, n_left = group_size(s, index, i);
    size_t n_right = hop_multiindex_suffix(index, right_degree, v);
    const double *right = at->right + block_start(index, right_degree, v) * block;
    if (s->left_degree > right_degree)
        form_longest(job, at, i, first);
    job->kernels->moment_products(&(hop_row_products){.n_left = n_left,
                                                      .n_right = n_right,
                                                      .stride = block,
                                                      .left = at->halves + first,
                                                      .right = right,
                                                      .at = job->positions + first,
                                                      .sums = at->a});
    for (size_t j = first; at->A && j < first + n_left; j++)
        if (job->positions[j] < index->start[s->g + 1])
            add_values(job, at, at->halves[j], right, n_right, job->positions[j]);
}

/* Degrees below that of right halves. */
static void add_lower(const sums_job *job, const worker *at)
{
    const size_t first = 1;
    size_t n = job->index->start[job->shape.right_degree];
    const double *ones = at->right;
    job->kernels->moment_products(&(hop_row_products){.n_left = 1,
                                                      .n_right = n - 1,
                                                      .stride = job->shape.block,
                                                      .left = &ones,
                                                      .right = at->right + job->shape.block,
                                                      .at = &first,
                                                      .sums = at->a});
    if (at->A)
        add_values(job, at, ones, at->right, n, 0);
}

static void sum_share(void *arg, size_t i)
{
    sums_job *job = arg;
    const shape *s = &job->shape;
    const worker *at = job->workers + i;
    size_t n = job->rows->n, share = job->first_share + i;
    size_t from = s->n_blocks * share / s->n_shares * s->block;
    size_t last = s->n_blocks * (share + 1) / s->n_shares * s->block;
    last = last < n ? last : n;
    memset(at->a, 0, s->scalars * sizeof(double));
    if (at->A)
        memset(at->A, 0, s->products * sizeof(double));
    for (; from < last && !cancelled(job); from += s->block) {
        size_t count = last - from < s->block ? last - from : s->block;
        load_block(job, at, from, count);
        add_lower(job, at);
        for (size_t b = 0, first = 0; b < s->d && !cancelled(job); first += group_size(s, job->index, b), b++)
            add_products(job, at, b, first);
        report(job, count);
    }
}

/*
 * out[m], m the number of the left half (i_1 <= ... <= i_t = v), t = degree, in its order: lead[k][i_1] +
 * lead[k-1][i_2] + ... + lead[k-t+1][v]. Those of each degree follow from those one shorter; out and other hold them in
 * turns, and the one that was written last is returned.
 */
static const size_t *sum_leads(const hop_multiindex *index, unsigned k, unsigned degree, size_t *out, size_t *other)
{
    size_t d = index->d;
    for (unsigned t = 1; t <= degree; t++) {
        size_t *swap = out;
        out = other;
        other = swap;
        for (size_t i = 0; i < d; i++) {
            size_t lead = index->lead[(k - t + 1) * d + d - 1 - i], at = hop_multiindex_offset(index, t, i);
            size_t from = hop_multiindex_offset(index, t - 1, i);
            for (size_t c = hop_multiindex_suffix(index, t - 1, i); c > 0; c--, at++, from++)
                out[at] = lead + (t > 1 ? other[from] : 0);
        }
    }
    return out;
}

/*
 * Left half (i_1 <= ... <= i_t = v) times right half c is number lead[k][i_1] + lead[k-1][i_2] + ... + c of degree
 * k = a + t, and the left half itself such a number of degree t, where right halves are that long.
 */
static void find_positions(sums_job *job, size_t *numbers)
{
    const hop_multiindex *index = job->index;
    const shape *s = &job->shape;
    size_t d = index->d, *first = numbers + 2 * s->halves, *second = first + hop_rank(d - 1, s->left_degree);
    job->positions = numbers;
    job->half_rows = numbers + s->halves;
    for (unsigned degree = 1; degree <= s->left_degree; degree++)
        for (int self = 0; self < (degree <= s->right_degree ? 2 : 1); self++) {
            unsigned k = self ? degree : s->right_degree + degree;
            const size_t *sums = sum_leads(index, k, degree, first, second);
            for (size_t i = 0, group = 0; i < d; group += group_size(s, index, i), i++) {
                size_t right = hop_multiindex_offset(index, s->right_degree, d - 1 - i);
                size_t *to = (self ? job->half_rows : job->positions) + group + group_offset(index, degree, i);
                for (size_t c = 0; c < hop_multiindex_suffix(index, degree - 1, i); c++)
                    to[c] = index->start[k] + (self ? 0 : right) + sums[hop_multiindex_offset(index, degree, i) + c];
            }
        }
    job->positions[s->halves - 1] = index->start[s->right_degree]; /* of the left half 1 */
    job->half_rows[s->halves - 1] = 0;
}

/* Where each left half is, in the order of positions. */
static void find_halves(const sums_job *job, worker *at)
{
    const hop_multiindex *index = job->index;
    const shape *s = &job->shape;
    for (size_t i = 0, to = 0; i < index->d; i++)
        for (unsigned t = 1; t <= s->left_degree; t++)
            for (size_t c = 0; c < hop_multiindex_suffix(index, t - 1, i); c++, to++)
                at->halves[to] =
                    t > s->right_degree ? at->scratch + c * s->block : at->right + job->half_rows[to] * s->block;
    at->halves[s->halves - 1] = at->right;
}

static void worker_init(const shape *s, bool values, double *numbers, worker *out)
{
    out->a = numbers;
    numbers += hop_round_up(s->scalars, 8);
    out->right = numbers;
    out->scratch = out->right + s->right_rows * s->block;
    numbers = out->scratch + s->scratch_rows * s->block;
    if (values) {
        out->w = numbers;
        out->terms = out->w + s->p * s->block;
        out->A = out->terms + TERMS * s->block;
        for (size_t i = 0; i < TERMS; i++)
            out->term_rows[i] = out->terms + i * s->block;
    }
}

/* Shares are added in their order, as many at a time as there are workers. */
static void run_shares(sums_job *job, size_t n_workers, const hop_executor *executor, double *a, double *A)
{
    const shape *s = &job->shape;
    for (size_t first = 0; first < s->n_shares && !cancelled(job); first += n_workers) {
        size_t n = s->n_shares - first < n_workers ? s->n_shares - first : n_workers;
        job->first_share = first;
        if (executor)
            executor->run(executor->context, n, sum_share, job);
        else
            sum_share(job, 0);
        for (size_t i = 0; i < n; i++) {
            const worker *from = job->workers + i;
            for (size_t c = 1; c < s->scalars; c++)
                a[c] += from->a[c];
            for (size_t c = 0; A && c < s->products; c++)
                A[c] += from->A[c];
        }
    }
}

hop_status hop_moment_sums(const hop_moment_rows *rows, const hop_multiindex *index, unsigned g,
                           const hop_executor *executor, double *a, double *A, hop_error *error)
{
    sums_job job = {
        .rows = rows, .index = index, .kernels = hop_kernels_get(), .shape = shape_of(rows->model, rows->n, g)};
    const shape *s = &job.shape;
    size_t n_workers = worker_count(s, executor ? executor->width : 1), each = worker_numbers(s);
    double *numbers = hop_array_new(n_workers ? n_workers : 1, each, sizeof(double));
    size_t *positions = hop_array_new(position_count(s), 1, sizeof(size_t));
    const double **halves = hop_array_new(n_workers ? n_workers : 1, s->halves, sizeof *halves);
    job.workers = hop_array_new(n_workers ? n_workers : 1, 1, sizeof(worker));
    hop_status status = HOP_OK;
    if (numbers && positions && halves && job.workers) {
        find_positions(&job, positions);
        for (size_t i = 0; i < n_workers; i++) {
            worker_init(s, A != NULL, numbers + i * each, job.workers + i);
            job.workers[i].halves = halves + i * s->halves;
            find_halves(&job, job.workers + i);
        }
        for (size_t i = 0; i < TERMS; i++)
            job.multiples[i] = i * s->p;
        run_shares(&job, n_workers, executor, a, A);
        if (cancelled(&job))
            status = hop_fail(error, HOP_E_CANCELLED, "the build of feature maps was cancelled");
    } else {
        status = hop_fail(error, HOP_E_NOMEM, "no memory to build feature maps of degree %u", g);
    }
    hop_aligned_free(job.workers);
    hop_aligned_free(halves);
    hop_aligned_free(positions);
    hop_aligned_free(numbers);
    return status;
}
