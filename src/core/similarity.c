/*
 * similarity.c - see similarity.h. f32 data squared in f64 can neither overflow nor underflow to zero.
 */
#include "core/similarity.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "core/status.h"
#include "core/tasks.h"

static const char *const words[] = {
    [HOP_DOT] = "dot",
    [HOP_COSINE] = "cosine",
    [HOP_CENTERED_COSINE] = "centered_cosine",
};

const char *hop_similarity_word(hop_similarity similarity)
{
    return words[similarity];
}

hop_status hop_similarity_parse(const char *word, hop_similarity *out, hop_error *error)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(word, words[i]) == 0) {
            *out = (hop_similarity)i;
            return HOP_OK;
        }
    }
    return hop_fail(error, HOP_E_UNKNOWN, "unknown similarity \"%.64s\"; one of dot, cosine, centered_cosine", word);
}

/* Coordinate l less the mean's, if there is one. */
static double centred_at(const double *mean, const float *x, size_t l)
{
    return (double)x[l] - (mean ? mean[l] : 0.0);
}

static double norm_of(size_t d, const double *mean, const float *x)
{
    double square = 0;
    for (size_t l = 0; l < d; l++) {
        double y = centred_at(mean, x, l);
        square += y * y;
    }
    return sqrt(square);
}

bool hop_similarity_apply(hop_similarity similarity, size_t d, const double *mean, const float *x, double *out)
{
    if (similarity == HOP_DOT) {
        for (size_t l = 0; l < d; l++)
            out[l] = (double)x[l];
        return true;
    }
    if (similarity != HOP_CENTERED_COSINE)
        mean = NULL;
    double norm = norm_of(d, mean, x);
    if (!(norm > 0))
        return false;
    for (size_t l = 0; l < d; l++)
        out[l] = centred_at(mean, x, l) / norm;
    return true;
}

double hop_similarity_roundings(hop_similarity similarity, size_t d)
{
    /* One subtraction a coordinate (also under the norm: twice that, halved by the root), d + 1 for the sum of squares
     * (halved), the root and the division. */
    return similarity == HOP_DOT ? 0.0 : (double)d / 2 + 8;
}

typedef struct keys_job {
    size_t n_rows, d, n_same, each; /* each: rows of a task */
    const double *mean;             /* NULL: none */
    const float *rows, *same;
    float *out;
    atomic_size_t bad; /* the first row of zero norm, or n_rows */
} keys_job;

static void keys_task(void *arg, size_t task)
{
    keys_job *job = arg;
    const size_t d = job->d, end = job->n_rows - task * job->each < job->each ? job->n_rows : (task + 1) * job->each;
    size_t i = task * job->each;
    if (i < job->n_same) {
        const size_t same = (job->n_same < end ? job->n_same : end) - i;
        memcpy(job->out + i * d, job->same + i * d, same * d * sizeof(float));
        i += same;
    }
    for (; i < end; i++) {
        const float *row = job->rows + i * d;
        const double norm = norm_of(d, job->mean, row);
        if (!(norm > 0)) {
            size_t first = atomic_load_explicit(&job->bad, memory_order_relaxed);
            while (i < first && !atomic_compare_exchange_weak_explicit(&job->bad, &first, i, memory_order_relaxed,
                                                                       memory_order_relaxed))
                ;
            return;
        }
        for (size_t l = 0; l < d; l++)
            job->out[i * d + l] = (float)(centred_at(job->mean, row, l) / norm);
    }
}

hop_status hop_similarity_keys(hop_similarity similarity, size_t n_rows, size_t d, const double *mean,
                               const float *rows, const float *same, size_t n_same, const hop_executor *executor,
                               float *out, hop_error *error)
{
    enum { CELLS = 1 << 17 }; /* of a task */
    keys_job job = {.n_rows = n_rows,
                    .d = d,
                    .n_same = same ? n_same : 0,
                    .each = CELLS / d + 1,
                    .mean = similarity == HOP_CENTERED_COSINE ? mean : NULL,
                    .rows = rows,
                    .same = same,
                    .out = out};
    atomic_init(&job.bad, n_rows);
    hop_tasks_run(executor, (n_rows + job.each - 1) / job.each, keys_task, &job);
    const size_t bad = atomic_load_explicit(&job.bad, memory_order_relaxed);
    if (bad < n_rows)
        return hop_fail_at(error, HOP_E_DOMAIN, (int64_t)bad, -1, "row %zu has zero norm%s: %s needs a direction", bad,
                           similarity == HOP_CENTERED_COSINE ? " after centring" : "", words[similarity]);
    return HOP_OK;
}
