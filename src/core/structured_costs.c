/*
 * structured_costs.c - what a row of a structured mode is expected to take, and at worst (costs.h): for admission,
 * never for a decision.
 */
#include "core/costs.h"

#include <math.h>

#include "core/dense.h"
#include "core/entmax.h"
#include "core/kernels.h"
#include "core/phi.h"
#include "core/plan.h"
#include "core/rounding.h"
#include "core/sieve.h"
#include "core/structured.h"
#include "core/subset.h"
#include "core/top_k.h"

/* One hash of a memory's number, in numbers packed. */
#define HASH 4.0

/* Walks over the candidates until sum p = 1, expected and at worst; a walk's exp and log, in scores. */
enum { WALKS = 8, WALKS_WORST = 40 };
#define POWER 2.0

static double shared_by(size_t rows, size_t most)
{
    return (double)(rows < 1 ? 1 : rows < most ? rows : most);
}

/* Memories looked at one by one, of which some are weighed. */
static void add_scored(const hop_model *model, double looked_at, double weighed, hop_work *work)
{
    work->count[HOP_COST_SCORE] += looked_at + weighed;
    work->count[HOP_COST_F64_PASS_NUMBER] += looked_at * (double)model->d + weighed * (double)model->p;
}

/* All scores of a row by the f32 kernels. */
static void add_sieve(const hop_model *model, double rows, hop_work *work)
{
    const double M = (double)model->M, d = (double)model->d;
    work->count[HOP_COST_PAIR] += M;
    work->count[HOP_COST_MADD] += M * d;
    work->count[HOP_COST_PASS_PAIR] += M / rows;
    work->count[HOP_COST_PASS_NUMBER] += M * d / rows;
    work->count[HOP_COST_F64_PASS_NUMBER] += model->key_panels ? 0 : M * d / rows;
    work->count[HOP_COST_STREAM] += hop_max(0, M * d * sizeof(float) - HOP_COST_CACHED_BYTES) / rows;
}

/* Candidates on their way through lists, in scores; how much slower than in order a row is read that lies anywhere. */
#define KEPT 4.0
#define SCATTERED 4.0

/* Rows of candidates, a key's and a value's each: rows that lie anywhere, where no cache holds the set. */
static void add_scattered(const hop_model *model, double n, hop_work *work)
{
    const double row = (double)(model->d + model->p) * sizeof(float);
    if ((double)model->M * row > HOP_COST_CACHED_BYTES)
        work->count[HOP_COST_STREAM] += SCATTERED * n * row;
}

/* Of lists that overflow every time: ever fewer rows, down to one. */
static void add_sieves(const hop_model *model, double rows, bool worst, hop_work *work)
{
    add_sieve(model, rows, work);
    while (worst && rows > 1) {
        rows = ceil(rows / HOP_SIEVE_FEWER);
        add_sieve(model, rows, work);
    }
}

static void add_top_k(const hop_model *model, const hop_request *request, size_t rows, bool worst, hop_work *work)
{
    const hop_sieve_rule rule = hop_top_k_rule(request);
    const size_t batch = hop_sieve_rows(model, &rule);
    const double M = (double)model->M, k = (double)request->parameters.k;
    if (batch)
        add_sieves(model, shared_by(rows, batch), worst, work);
    add_scattered(model, k, work);
    work->count[HOP_COST_SCORE] += KEPT * hop_min(M, 8 * k) + 2 * k * log2(k + 1);
    if (batch && !worst)
        add_scored(model, k, k, work);
    else
        add_scored(model, M * (1 + floor(k / (double)hop_sieve_round(model))), k, work);
}

/*
 * entmax's support among M scores, as if they were normal numbers of deviation sigma, the largest at its expected
 * place: those above z sigma, where the weights ((alpha - 1) sigma (g - z))^{1/(alpha - 1)} sum to 1.
 */
static double support_of(double M, double sigma, double alpha)
{
    enum { HALVINGS = 16, POINTS = 16 };
    const double top = sqrt(2 * log(M + 1)), power = 1 / (alpha - 1), scale = (alpha - 1) * sigma;
    double low = -8, high = top;
    if (!(sigma > 0) || !isfinite(sigma))
        return sigma > 0 ? 1 : M;
    for (int halving = 0; halving < HALVINGS; halving++) {
        const double z = (low + high) / 2, step = (top - z) / POINTS;
        double sum = 0;
        for (double u = step / 2; u < top - z; u += step)
            sum += exp(power * log(scale * u) - (z + u) * (z + u) / 2);
        if (M * sum * step > 2.5066282746310002) /* sqrt(2 pi) */
            low = z;
        else
            high = z;
    }
    return hop_max(1, M * erfc(low / sqrt(2.0)) / 2);
}

static void add_entmax(const hop_model *model, const hop_request *request, size_t rows, double radius, bool worst,
                       hop_work *work)
{
    const hop_sieve_rule rule = hop_entmax_rule(model, NULL, 0, request);
    const double M = (double)model->M, sigma = radius / sqrt((double)model->d), round = (double)hop_sieve_round(model);
    const double alpha = rule.alpha, n = worst ? M : support_of(M, sigma, alpha);
    const double power = alpha >= 2 ? 0.5 : POWER, parts = HOP_ENTMAX_PARTS;
    /* A list holds what is the support of its segment's memories; where that is too much, few rows go at a time. */
    const double each = worst ? M / parts : support_of(hop_max(1, M / parts), sigma, alpha);
    const double most = hop_max(1, floor(2 * round / (parts * (each + HOP_PANEL))));
    add_sieves(model, hop_min(shared_by(rows, hop_sieve_rows(model, &rule)), most), worst, work);
    add_scored(model, n, n, work);
    add_scattered(model, n, work);
    work->count[HOP_COST_SCORE] += n * power * (worst ? WALKS_WORST : WALKS) + KEPT * hop_min(M, parts * each);
    if (worst) /* the lists will not hold them: memories one by one, at every walk where no list does */
        add_scored(model, M * (n > round ? WALKS_WORST + 2 : 1), 0, work);
}

static void add_subset(const hop_model *model, const hop_request *request, size_t rows, bool shifted, hop_work *work)
{
    const hop_parameters *of = &request->parameters;
    const bool masked = request->mode == HOP_RANDOM_MASK;
    const double M = (double)model->M, d = (double)model->d, columns = (double)model->columns, more = shifted ? d : 0;
    const double width = (double)(of->width == SIZE_MAX ? hop_window_width(model->M) : of->width);
    const double kept = masked ? hop_max(1, of->keep * M) : hop_min(M, 2 * width + 1);
    const double batch = masked ? shared_by(rows, HOP_SUBSET_ROWS) : 1, hashes = masked ? HASH * M : 0;
    work->count[HOP_COST_F64_PAIR] += kept;
    work->count[HOP_COST_F64_MADD] += kept * (d + columns + more);
    work->count[HOP_COST_F64_PASS_NUMBER] += (kept * (d + columns + more) + hashes * (shifted ? 2 : 1)) / batch;
    if (request->want & HOP_WANT_SCORES) {
        add_scored(model, 3 * kept, 0, work);
        work->count[HOP_COST_F64_PASS_NUMBER] += 3 * hashes;
    }
}

hop_work hop_work_structured(const hop_model *model, const hop_request *request, size_t rows, double radius, bool worst)
{
    hop_work work = hop_work_row(model);
    switch (request->mode) {
    case HOP_TOP_K:
        add_top_k(model, request, rows, worst, &work);
        break;
    case HOP_SPARSEMAX:
    case HOP_ENTMAX:
        add_entmax(model, request, rows, radius, worst, &work);
        break;
    case HOP_RANDOM_MASK:
    case HOP_WINDOW:
        add_subset(model, request, rows, worst || !(radius <= 650), &work);
        break;
    default:
        return hop_phi_row_work(model, request, rows);
    }
    if (request->want & HOP_WANT_WEIGHTS)
        work.count[HOP_COST_PASS_PAIR] += 2 * (double)model->M;
    return work;
}
