/*
 * content_hash.c - see content_hash.h.
 *
 * Rows go sixteen bytes at a time into one of two states, by one multiplication that keeps all 128 bits of the product:
 * the speed of memory, which a multiplication for every eight bytes does not reach on two threads of one core.
 */
#include "store/content_hash.h"

#include <string.h>

enum { CHUNK = 4, TASK_BYTES = 256 << 10 }; /* CHUNK: numbers */

__extension__ typedef unsigned __int128 product;

static const uint64_t word_factor = UINT64_C(0xd6e8feb86659fd93), state_factor = UINT64_C(0x9e3779b97f4a7c15),
                      state_term = UINT64_C(0x632be59bd9b4e019);

static inline uint64_t step(uint64_t state, uint64_t word)
{
    state ^= word * word_factor;
    state = (state << 29) | (state >> 35);
    return state * state_factor + state_term;
}

/* The low bits have seen the fewest others. */
static inline uint64_t finish(uint64_t state)
{
    state ^= state >> 32;
    state *= state_factor;
    state ^= state >> 29;
    state *= word_factor;
    return state ^ (state >> 32);
}

static inline uint64_t word_at(const void *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline uint64_t partial_word(const void *bytes, size_t n)
{
    uint64_t word = 0;
    memcpy(&word, bytes, n);
    return word;
}

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    product ab = (product)a * b;
    return (uint64_t)(ab >> 64) ^ (uint64_t)ab;
}

static inline uint64_t add_chunk(uint64_t state, const void *chunk)
{
    return mix(word_at(chunk) ^ word_factor, word_at((const char *)chunk + 8) ^ state);
}

typedef struct states {
    uint64_t next, other; /* next: takes the chunk that comes, and is `other` then */
} states;

/* The last chunk is filled up with zeros. */
static inline states add_numbers(states state, const float *numbers, size_t n)
{
    size_t at = 0;
    for (; at + 2 * CHUNK <= n; at += 2 * CHUNK) {
        state.next = add_chunk(state.next, numbers + at);
        state.other = add_chunk(state.other, numbers + at + CHUNK);
    }
    for (; at < n; at += CHUNK) {
        float chunk[CHUNK] = {0};
        memcpy(chunk, numbers + at, (n - at < CHUNK ? n - at : CHUNK) * sizeof(float));
        state = (states){.next = state.other, .other = add_chunk(state.next, chunk)};
    }
    return state;
}

static inline uint64_t hash_row(uint64_t id, const float *memory, size_t d, const float *value, size_t p)
{
    uint64_t start = (id + 1) * state_factor;
    states state = add_numbers((states){.next = start, .other = ~start}, memory, d);
    if (value)
        state = add_numbers(state, value, p);
    return finish(mix(state.next ^ word_factor, state.other ^ state_term));
}

typedef struct row_job {
    const float *memories, *values;
    size_t d, p, n, each; /* each: rows a task */
    const uint64_t *ids;
    uint64_t first;
    _Atomic uint64_t sum;
} row_job;

static void hash_task(void *arg, size_t task)
{
    row_job *job = arg;
    size_t from = task * job->each, to = job->n - from < job->each ? job->n : from + job->each;
    uint64_t sum = 0;
    for (size_t mu = from; mu < to; mu++)
        sum += hash_row(job->ids ? job->ids[mu] : job->first + mu, job->memories + mu * job->d, job->d,
                        job->values ? job->values + mu * job->p : NULL, job->p);
    atomic_fetch_add_explicit(&job->sum, sum, memory_order_relaxed); /* sums come in any order */
}

uint64_t store_hash_rows(const float *memories, size_t d, const float *values, size_t p, const uint64_t *ids,
                         uint64_t first, size_t n, const hop_executor *executor)
{
    size_t row_bytes = (d + (values ? p : 0)) * sizeof(float);
    row_job job = {.memories = memories, .values = values, .d = d, .p = p, .n = n, .ids = ids, .first = first};
    job.each = row_bytes < TASK_BYTES ? TASK_BYTES / row_bytes : 1;
    size_t tasks = n / job.each + (n % job.each != 0);
    if (executor && tasks > 1)
        executor->run(executor->context, tasks, hash_task, &job);
    else
        for (size_t task = 0; task < tasks; task++)
            hash_task(&job, task);
    return atomic_load_explicit(&job.sum, memory_order_relaxed);
}

/* Eight bytes at a time, the last of them filled up with zeros. */
static uint64_t step_bytes(uint64_t state, const void *bytes, size_t n)
{
    const char *at = bytes;
    state = step(state, n);
    for (; n >= sizeof(uint64_t); n -= sizeof(uint64_t), at += sizeof(uint64_t))
        state = step(state, word_at(at));
    return n ? step(state, partial_word(at, n)) : state;
}

uint64_t store_hash_label(uint64_t id, const char *label)
{
    return finish(step_bytes(step(0, id), label, strlen(label)));
}

static uint64_t bits(double number)
{
    return word_at(&number);
}

uint64_t store_content_hash(const store_content *content)
{
    const uint64_t words[] = {content->M,
                              content->d,
                              content->p,
                              (uint64_t)content->similarity,
                              (uint64_t)(int64_t)content->max_degree,
                              bits(content->beta),
                              bits(content->max_error),
                              content->next_id,
                              content->labelled,
                              content->rows,
                              content->labels};
    uint64_t state = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        state = step(state, words[i]);
    for (size_t l = 0; content->mean && l < content->d; l++)
        state = step(state, bits(content->mean[l]));
    return finish(state);
}

uint64_t store_content_hash_1(const store_content *content, const float *memories, const float *values,
                              const char *label_text, size_t text_bytes)
{
    const uint64_t shape[] = {content->M, content->d, content->p, (uint64_t)content->similarity,
                              (uint64_t)(int64_t)content->max_degree};
    uint64_t state = step_bytes(0, shape, sizeof shape);
    state = step_bytes(state, &content->beta, sizeof content->beta);
    state = step_bytes(state, &content->max_error, sizeof content->max_error);
    state = step_bytes(state, memories, content->M * content->d * sizeof(float));
    if (values)
        state = step_bytes(state, values, content->M * content->p * sizeof(float));
    if (label_text)
        state = step_bytes(state, label_text, text_bytes);
    state ^= state >> 32;
    return step(state, 0);
}
