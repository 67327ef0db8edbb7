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

bool oracle_retrieve(const oracle_set *set, double beta, const float *x, oracle_answer *answer)
{
    size_t M = set->M;
    oracle_real *query = array(set->d, sizeof *query);
    oracle_real *t = array(M, sizeof *t), *p = array(M, sizeof *p);
    long double *eta = array(M, sizeof *eta);
    oracle_real square = transform(set, x, query);
    bool defined = set->similarity == HOP_DOT || square > 0;
    if (defined) {
        oracle_real s = fill_scores(set, beta, query, t);
        oracle_real top = t[0], mean = 0;
        for (size_t mu = 0; mu < M; mu++) {
            top = t[mu] > top ? t[mu] : top;
            mean += t[mu] / (oracle_real)M;
        }
        long double score_error = (long double)((oracle_real)(set->d + 16) * s) * 0x1p-111L;
        oracle_real S = 0, radius = 0;
        for (size_t mu = 0; mu < M; mu++) {
            long double below = (long double)(t[mu] - top);
            p[mu] = expl(below);
            S += p[mu];
            eta[mu] = (4 + fabsl(below)) * 0x1p-63L + score_error;
            if (magnitude(t[mu] - mean) > radius)
                radius = magnitude(t[mu] - mean);
        }
        oracle_real squares = 0;
        for (size_t mu = 0; mu < M; mu++) {
            p[mu] /= S;
            answer->weight[mu] = (long double)p[mu];
            squares += p[mu] * p[mu];
        }
        answer->support = (long double)(1 / squares);
        answer->radius = (long double)radius;
        fill_z(set, p, eta, score_error < 0.005L || M == 1, answer);
        answer->lse = (top + logl((long double)S)) / beta;
        answer->lse_error = ((4 + logl((long double)M)) * 0x1p-62L + score_error) / beta;
        oracle_real half = set->similarity == HOP_DOT ? square / 2 : (oracle_real)0.5;
        answer->energy = half - answer->lse;
        answer->energy_error = answer->lse_error + (long double)half * (long double)set->d * 0x1p-110L;
    }
    free(query);
    free(t);
    free(p);
    free(eta);
    return defined;
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
