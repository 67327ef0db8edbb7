/*
 * oracle.c - see oracle.h. Leaves the transform of the keys to the model (they are data here) and every bound to the
 * tests.
 */
#include "support/oracle.h"

#include <math.h>
#include <stdlib.h>

static oracle_real magnitude(oracle_real a)
{
    return a < 0 ? -a : a;
}

/* long double carries the same exponents as the 113-bit type; one Newton step doubles its digits. */
static oracle_real root(oracle_real a)
{
    oracle_real guess = sqrtl((long double)a);
    return guess > 0 ? (guess + a / guess) / 2 : 0;
}

static void *array(size_t n, size_t size)
{
    void *block = calloc(n ? n : 1, size);
    if (!block)
        abort();
    return block;
}

oracle_answer *oracle_answer_new(size_t M, size_t p)
{
    oracle_answer *answer = array(1, sizeof *answer);
    answer->M = M;
    answer->p = p;
    answer->z = array(p, sizeof *answer->z);
    answer->z_error = array(p, sizeof *answer->z_error);
    answer->weight = array(M, sizeof *answer->weight);
    return answer;
}

void oracle_answer_free(oracle_answer *answer)
{
    if (!answer)
        return;
    free(answer->z);
    free(answer->z_error);
    free(answer->weight);
    free(answer);
}

/* query = the transformed x, unnormalised for the dot product; returns its squared norm before normalising. */
static oracle_real transform(const oracle_set *set, const float *x, oracle_real *query)
{
    oracle_real square = 0;
    for (size_t l = 0; l < set->d; l++) {
        query[l] = x[l];
        if (set->similarity == HOP_CENTERED_COSINE)
            query[l] -= set->centre[l];
        square += query[l] * query[l];
    }
    if (set->similarity != HOP_DOT && square > 0) {
        oracle_real norm = root(square);
        for (size_t l = 0; l < set->d; l++)
            query[l] /= norm;
    }
    return square;
}

long double oracle_query_norm(const oracle_set *set, const float *x)
{
    oracle_real *query = array(set->d, sizeof *query);
    oracle_real square = transform(set, x, query);
    free(query);
    return sqrtl((long double)square);
}

/* t = beta <key, query> for every memory; returns s = beta max_mu sum |key_l query_l|. */
static oracle_real fill_scores(const oracle_set *set, double beta, const oracle_real *query, oracle_real *t)
{
    oracle_real s = 0;
    for (size_t mu = 0; mu < set->M; mu++) {
        oracle_real sum = 0, sum_abs = 0;
        for (size_t l = 0; l < set->d; l++) {
            oracle_real product = set->keys[mu * set->d + l] * query[l];
            sum += product;
            sum_abs += magnitude(product);
        }
        t[mu] = beta * sum;
        if (beta * sum_abs > s)
            s = beta * sum_abs;
    }
    return s;
}

/*
 * z_j = v_0j + sum p (v - v_0j): exact where the values of a coordinate are all the same. Lemma A divides by 1 - eta:
 * where scores are too large to resolve, nothing is claimed.
 */
static void fill_z(const oracle_set *set, const oracle_real *p, const long double *eta, bool resolved,
                   oracle_answer *answer)
{
    for (size_t j = 0; j < set->p; j++) {
        oracle_real first = set->values[j], offset = 0;
        for (size_t mu = 0; mu < set->M; mu++)
            offset += p[mu] * (set->values[mu * set->p + j] - first);
        answer->z[j] = first + offset;
        long double error = 0;
        for (size_t mu = 0; mu < set->M; mu++) {
            oracle_real deviation = magnitude(set->values[mu * set->p + j] - answer->z[j]);
            error += (long double)p[mu] * eta[mu] * (long double)deviation;
        }
        if (offset != 0)
            error += 0x1p-110L * fabsl((long double)answer->z[j]);
        answer->z_error[j] = resolved ? 1.01L * error : (long double)INFINITY;
    }
}

/* What a query's weights come from. Freed by close_work(). */
typedef struct work {
    oracle_real *query, *t, *p;
    oracle_real square, s, top;
    long double score_error;
    bool defined;
} work;

static void close_work(work *w)
{
    free(w->query);
    free(w->t);
    free(w->p);
}

static work open_work(const oracle_set *set, double beta, const float *x, const bool *kept, oracle_answer *answer)
{
    size_t M = set->M, first = 0;
    work w = {.query = array(set->d, sizeof *w.query), .t = array(M, sizeof *w.t), .p = array(M, sizeof *w.p)};
    w.square = transform(set, x, w.query);
    w.defined = set->similarity == HOP_DOT || w.square > 0;
    if (!w.defined)
        return w;
    w.s = fill_scores(set, beta, w.query, w.t);
    while (kept && !kept[first])
        first++;
    w.top = w.t[first];
    oracle_real mean = 0, radius = 0;
    for (size_t mu = 0; mu < M; mu++) {
        if (!kept || kept[mu])
            w.top = w.t[mu] > w.top ? w.t[mu] : w.top;
        mean += w.t[mu] / (oracle_real)M;
    }
    for (size_t mu = 0; mu < M; mu++)
        if (magnitude(w.t[mu] - mean) > radius)
            radius = magnitude(w.t[mu] - mean);
    answer->radius = (long double)radius;
    w.score_error = (long double)((oracle_real)(set->d + 16) * w.s) * 0x1p-111L;
    return w;
}

static void fill_energy(const oracle_set *set, const work *w, oracle_answer *answer)
{
    oracle_real half = set->similarity == HOP_DOT ? w->square / 2 : (oracle_real)0.5;
    answer->energy = half - answer->lse;
    answer->energy_error = answer->lse_error + (long double)half * (long double)set->d * 0x1p-110L;
}

/* Divide p by S; weights and support. */
static void normalise(size_t M, oracle_real S, oracle_real *p, oracle_answer *answer)
{
    oracle_real squares = 0;
    for (size_t mu = 0; mu < M; mu++) {
        p[mu] /= S;
        answer->weight[mu] = (long double)p[mu];
        squares += p[mu] * p[mu];
    }
    answer->support = (long double)(1 / squares);
}

bool oracle_softmax(const oracle_set *set, double beta, const float *x, const bool *kept, oracle_answer *answer)
{
    size_t M = set->M;
    work w = open_work(set, beta, x, kept, answer);
    long double *eta = array(M, sizeof *eta);
    oracle_real S = 0;
    for (size_t mu = 0; mu < M && w.defined; mu++) {
        if (kept && !kept[mu])
            continue;
        long double below = (long double)(w.t[mu] - w.top);
        w.p[mu] = expl(below);
        S += w.p[mu];
        eta[mu] = (4 + fabsl(below)) * 0x1p-63L + w.score_error;
    }
    if (w.defined) {
        normalise(M, S, w.p, answer);
        fill_z(set, w.p, eta, w.score_error < 0.005L || M == 1, answer);
        answer->lse = (w.top + logl((long double)S)) / beta;
        answer->lse_error = ((4 + logl((long double)M)) * 0x1p-62L + w.score_error) / beta;
        fill_energy(set, &w, answer);
    }
    free(eta);
    close_work(&w);
    return w.defined;
}

bool oracle_retrieve(const oracle_set *set, double beta, const float *x, oracle_answer *answer)
{
    return oracle_softmax(set, beta, x, NULL, answer);
}

bool oracle_scores(const oracle_set *set, double beta, const float *x, oracle_real *t)
{
    oracle_real *query = array(set->d, sizeof *query);
    oracle_real square = transform(set, x, query);
    fill_scores(set, beta, query, t);
    free(query);
    return set->similarity == HOP_DOT || square > 0;
}

/* sum [(alpha - 1) z - tau]_+^{1/(alpha - 1)}, z the scores below the largest; p where it is not NULL. */
static long double entmax_sum(size_t M, const long double *z, long double alpha, long double tau, oracle_real *p)
{
    long double sum = 0;
    for (size_t mu = 0; mu < M; mu++) {
        long double base = (alpha - 1) * z[mu] - tau;
        long double weight = base > 0 ? powl(base, 1 / (alpha - 1)) : 0;
        sum += weight;
        if (p)
            p[mu] = weight;
    }
    return sum;
}

static int descending(const void *a, const void *b)
{
    long double left = *(const long double *)a, right = *(const long double *)b;
    return (left < right) - (left > right);
}

static long double sparsemax_threshold(size_t M, const long double *z)
{
    long double *sorted = array(M, sizeof *sorted), sum = 0, tau = 0;
    for (size_t mu = 0; mu < M; mu++)
        sorted[mu] = z[mu];
    qsort(sorted, M, sizeof *sorted, descending);
    for (size_t k = 0; k < M; k++) {
        sum += sorted[k];
        if (!(sorted[k] > (sum - 1) / (long double)(k + 1)))
            break;
        tau = (sum - 1) / (long double)(k + 1);
    }
    free(sorted);
    return tau;
}

static long double entmax_threshold(size_t M, const long double *z, long double alpha)
{
    if (alpha >= 2)
        return sparsemax_threshold(M, z);
    long double low = -1, high = 0; /* the sum is at least 1, and 0 */
    for (int i = 0; i < 300; i++) {
        long double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high)
            break;
        if (entmax_sum(M, z, alpha, middle, NULL) >= 1)
            low = middle;
        else
            high = middle;
    }
    return low;
}

bool oracle_entmax(const oracle_set *set, double beta, const float *x, double alpha, oracle_answer *answer)
{
    size_t M = set->M;
    work w = open_work(set, beta, x, NULL, answer);
    long double *z = array(M, sizeof *z), *none = array(M, sizeof *none), a = alpha, support = 0;
    for (size_t mu = 0; mu < M && w.defined; mu++)
        z[mu] = (long double)(w.t[mu] - w.top);
    if (w.defined) {
        long double tau = entmax_threshold(M, z, a), sum = entmax_sum(M, z, a, tau, w.p), psi = 0;
        for (size_t mu = 0; mu < M; mu++)
            support += (a - 1) * z[mu] - tau > -1e-6L;
        normalise(M, sum, w.p, answer);
        /* Psi*(t) = <p, t> - sum (p^alpha - p)/(alpha (alpha - 1)) */
        for (size_t mu = 0; mu < M; mu++) {
            long double p = answer->weight[mu];
            psi += p * z[mu] - (powl(p, a) - p) / (a * (a - 1));
        }
        answer->lse = (w.top + psi) / beta;
        long double error = w.score_error + 16 * 0x1p-63L / (a - 1), slope = support > 1 ? powl(support, a - 1) : 0;
        answer->lse_error = (error + (long double)M * 0x1p-60L / (a - 1)) / beta;
        fill_z(set, w.p, none, w.score_error < 0.005L || M == 1, answer);
        for (size_t j = 0; j < set->p; j++) {
            float low = set->values[j], high = low;
            for (size_t mu = 1; mu < M; mu++) {
                low = fminf(low, set->values[mu * set->p + j]);
                high = fmaxf(high, set->values[mu * set->p + j]);
            }
            answer->z_error[j] += ((long double)high - (long double)low) *
                                  (error * slope / 2 + (support > 1 ? fabsl(sum - 1) + (long double)M * 0x1p-62L : 0));
        }
        fill_energy(set, &w, answer);
    }
    free(z);
    free(none);
    close_work(&w);
    return w.defined;
}

static long double beyond(oracle_real difference, long double error)
{
    long double size = (long double)magnitude(difference);
    if (!(size <= LDBL_MAX))
        return (long double)INFINITY; /* NaN too: no bound covers it */
    return size > error ? size - error : 0;
}

long double oracle_distance(const oracle_answer *answer, const float *z)
{
    long double largest = 0;
    for (size_t j = 0; j < answer->p; j++) {
        long double distance = beyond(z[j] - answer->z[j], answer->z_error[j]);
        largest = fmaxl(largest, distance);
    }
    return largest;
}

long double oracle_lse_distance(const oracle_answer *answer, double log_sum_exp)
{
    return beyond(log_sum_exp - answer->lse, answer->lse_error);
}

long double oracle_energy_distance(const oracle_answer *answer, double energy)
{
    return beyond(energy - answer->energy, answer->energy_error);
}
