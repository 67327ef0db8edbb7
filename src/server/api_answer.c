/*
 * api_answer.c - encoding: arrays in, documents out. What they mean is decided in api_retrieve.c and the core.
 */
#include "server/api_answer.h"

#include "core/checked.h"
#include "server/decimal.h"
#include "server/numbers.h"
#include "store/npy.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
    HEAD_BYTES = 1024,                                    /* names, counts, timing */
    NUMBER_BYTES = SRV_F64_TEXT_MAX + 1,                  /* with its comma */
    PLACE_BYTES = 3 * (SRV_U64_TEXT_MAX + 1),             /* degree, steps, number in dense_rows */
    TOP_BYTES = 64 + SRV_U64_TEXT_MAX + SRV_F64_TEXT_MAX, /* one of the heaviest memories, without its label */
    PLAN_BYTES = 256 + HOP_PLAN_CANDIDATES * 224
};

/* *total += rows of n numbers of `each` bytes; SIZE_MAX stays and stands for overflow. */
static void add_bytes(size_t *total, size_t rows, size_t n, size_t each)
{
    size_t bytes;
    if (!hop_array_bytes(rows, n, each, &bytes) || !hop_add_size(*total, bytes, total))
        *total = SIZE_MAX;
}

/* What retrieve and energy answers share: place and energies of each row. */
static size_t rows_bytes(const srv_query *query, unsigned want)
{
    size_t total = HEAD_BYTES, energies = 0;
    energies += want & HOP_WANT_ENERGY ? 2 : 0;
    energies += want & HOP_WANT_LOG_SUM_EXP ? 2 : 0;
    add_bytes(&total, query->L, 1, PLACE_BYTES);
    add_bytes(&total, query->L, energies, NUMBER_BYTES);
    return total;
}

size_t srv_answer_json_bytes(const srv_query *query)
{
    const hop_request *asked = &query->request;
    size_t total = rows_bytes(query, asked->want);
    add_bytes(&total, query->L, 1, NUMBER_BYTES + 3); /* error_bound, and the brackets of a row */
    add_bytes(&total, query->L, query->set->p, srv_row_text_max(1));
    if (asked->mode == HOP_RANDOM_FEATURES)
        add_bytes(&total, query->L, 1, NUMBER_BYTES);
    if (asked->want & HOP_WANT_TOP)
        add_bytes(&total, query->L, asked->top, TOP_BYTES);
    if (asked->want & HOP_WANT_SUPPORT)
        add_bytes(&total, query->L, 1, NUMBER_BYTES);
    if (asked->want & HOP_WANT_WEIGHTS)
        add_bytes(&total, query->L, query->set->M, srv_row_text_max(1));
    return total;
}

size_t srv_answer_energy_bytes(const srv_query *query)
{
    return rows_bytes(query, HOP_WANT_ENERGY | HOP_WANT_LOG_SUM_EXP);
}

size_t srv_answer_npy_bytes(const srv_query *query)
{
    size_t total = STORE_NPY_WRITE_BYTES;
    add_bytes(&total, query->L, query->set->p, sizeof(float));
    return total;
}

size_t srv_answer_plan_bytes(const srv_query *query)
{
    size_t total = HEAD_BYTES;
    add_bytes(&total, query->L, 1, PLAN_BYTES);
    return total;
}

bool srv_query_structured(const srv_query *query)
{
    return query->request.mode > HOP_ALMOST_LINEAR;
}

const char *srv_answer_mode_word(const srv_query *query, const hop_answer *answer)
{
    if (srv_query_structured(query))
        return hop_mode_word(query->request.mode);
    size_t dense = 0;
    for (size_t l = 0; l < query->L; l++)
        dense += answer->degree[l] == 0;
    if (dense == query->L)
        return hop_mode_word(HOP_DENSE);
    return dense == 0 ? hop_mode_word(HOP_ALMOST_LINEAR) : "mixed";
}

/* ---- pieces of JSON ------------------------------------------------------------------------------------ */

static void write_f64(srv_text *out, double value)
{
    char *at = srv_text_reserve(out, SRV_F64_TEXT_MAX);
    if (at)
        srv_text_commit(out, (size_t)(srv_f64_write(at, value) - at));
}

static void write_bound(srv_text *out, double bound, double cap)
{
    char *at = srv_text_reserve(out, SRV_F64_TEXT_MAX);
    if (at)
        srv_text_commit(out, (size_t)(srv_bound_write(at, bound, cap) - at));
}

static void write_f64s(srv_text *out, const char *name, size_t n, const double *values)
{
    srv_text_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++) {
        if (i)
            srv_text_putc(out, ',');
        write_f64(out, values[i]);
    }
    srv_text_putc(out, ']');
}

static void write_bounds(srv_text *out, const char *name, size_t n, const double *bounds, double cap)
{
    srv_text_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++) {
        if (i)
            srv_text_putc(out, ',');
        write_bound(out, bounds[i], cap);
    }
    srv_text_putc(out, ']');
}

static void write_f32_rows(srv_text *out, const char *name, size_t rows, size_t columns, const float *values)
{
    srv_text_printf(out, ",\"%s\":[", name);
    for (size_t l = 0; l < rows; l++) {
        if (l)
            srv_text_putc(out, ',');
        char *at = srv_text_reserve(out, srv_row_text_max(columns));
        if (!at)
            return;
        srv_text_commit(out, (size_t)(srv_row_write(at, columns, values + l * columns) - at));
    }
    srv_text_putc(out, ']');
}

/* One null a row: the mode has nothing to say here. */
static void write_nulls(srv_text *out, const char *name, size_t n)
{
    srv_text_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++)
        srv_text_puts(out, i ? ",null" : "null");
    srv_text_putc(out, ']');
}

static void write_degrees(srv_text *out, size_t n, const int *degree)
{
    srv_text_puts(out, ",\"degree\":[");
    for (size_t l = 0; l < n; l++)
        srv_text_printf(out, "%s%d", l ? "," : "", degree[l]);
    srv_text_putc(out, ']');
}

/* The rows that `auto` sent to dense, and why most of them went there. */
static void write_fallbacks(srv_text *out, const srv_query *query, const hop_fallback *fallback)
{
    size_t counts[HOP_FALLBACK_RETURN + 1] = {0};
    hop_fallback most = HOP_FALLBACK_NONE;
    bool first = true;
    srv_text_puts(out, ",\"dense_rows\":[");
    for (size_t l = 0; query->request.mode == HOP_AUTO && l < query->L; l++) {
        if (fallback[l] == HOP_FALLBACK_NONE)
            continue;
        counts[fallback[l]]++;
        srv_text_printf(out, "%s%zu", first ? "" : ",", l);
        first = false;
    }
    for (hop_fallback reason = HOP_FALLBACK_BOUND; reason <= HOP_FALLBACK_RETURN; reason++) {
        if (counts[reason] > counts[most])
            most = reason;
    }
    srv_text_puts(out, "],\"fallback\":");
    srv_text_json_string(out, hop_fallback_word(most));
}

static void write_top(srv_text *out, const srv_query *query, const hop_answer *answer)
{
    size_t top = query->request.top;
    srv_text_puts(out, ",\"top\":[");
    for (size_t l = 0; l < query->L; l++) {
        size_t there = answer->top_count ? answer->top_count[l] : top;
        srv_text_puts(out, l ? ",[" : "[");
        for (size_t k = 0; k < there; k++) {
            size_t mu = (size_t)answer->top_id[l * top + k]; /* the core's ids are rows */
            srv_text_printf(out, "%s{\"id\":%" PRIu64 ",\"label\":", k ? "," : "", store_set_id(query->set, mu));
            srv_text_json_string(out, store_set_label(query->set, mu));
            srv_text_puts(out, ",\"weight\":");
            write_f64(out, answer->top_weight[l * top + k]);
            srv_text_putc(out, '}');
        }
        srv_text_putc(out, ']');
    }
    srv_text_putc(out, ']');
}

static void write_steps(srv_text *out, size_t n, const unsigned *steps)
{
    srv_text_puts(out, ",\"steps\":[");
    for (size_t l = 0; l < n; l++)
        srv_text_printf(out, "%s%u", l ? "," : "", steps[l]);
    srv_text_putc(out, ']');
}

static void write_head(srv_text *out, const srv_query *query)
{
    srv_text_printf(out, "{\"set\":\"%s\",\"version\":%" PRIu64 ",\"beta\":", query->set->name, query->set->version);
    write_f64(out, query->request.beta);
    srv_text_printf(out, ",\"L\":%zu,\"d\":%zu", query->L, query->set->d);
}

/* The parameters in force, those that the request left to their defaults too. */
static void write_model(srv_text *out, const srv_query *query)
{
    const hop_parameters *parameters = &query->request.parameters;
    srv_text_puts(out, ",\"model\":{");
    switch (query->request.mode) {
    case HOP_TOP_K:
        srv_text_printf(out, "\"k\":%zu", parameters->k);
        break;
    case HOP_RANDOM_MASK:
        srv_text_puts(out, "\"keep\":");
        write_f64(out, parameters->keep);
        srv_text_printf(out, ",\"seed\":%" PRIu64, parameters->seed);
        break;
    case HOP_WINDOW:
        srv_text_printf(out, "\"width\":%zu", parameters->width);
        break;
    case HOP_RANDOM_FEATURES:
        srv_text_printf(out, "\"features\":%zu,\"seed\":%" PRIu64, parameters->features, parameters->seed);
        break;
    case HOP_ENTMAX:
        srv_text_puts(out, "\"alpha\":");
        write_f64(out, parameters->alpha);
        break;
    default: /* linear and sparsemax have none */
        break;
    }
    srv_text_putc(out, '}');
}

static void write_timing(srv_text *out, const srv_request *request, const srv_query *query)
{
    srv_text_printf(out, ",\"timing_ms\":{\"queue\":%.3f,\"compute\":%.3f,\"total\":%.3f",
                    srv_request_queue_ms(request), srv_request_compute_ms(request), srv_request_total_ms(request));
    if (query->request.mode == HOP_LINEAR || query->request.mode == HOP_RANDOM_FEATURES)
        srv_text_printf(out, ",\"sums\":%.3f", query->sums_ms);
    srv_text_puts(out, "}}\n");
}

/* Bounds of energy and log-sum-exp are held to max_error by hop_energy() only: in a retrieval it is the values'. */
static void write_energies(srv_text *out, const srv_query *query, const hop_answer *answer, unsigned want, double cap)
{
    if (want & HOP_WANT_LOG_SUM_EXP) {
        write_f64s(out, "log_sum_exp", query->L, answer->log_sum_exp);
        write_bounds(out, "log_sum_exp_bound", query->L, answer->log_sum_exp_bound, cap);
    }
    if (want & HOP_WANT_ENERGY) {
        write_f64s(out, "energy", query->L, answer->energy);
        write_bounds(out, "energy_bound", query->L, answer->energy_bound, cap);
    }
}

/* ---- documents ----------------------------------------------------------------------------------------- */

void srv_answer_write_json(const srv_request *request, const srv_query *query, const hop_answer *answer, srv_text *out)
{
    static const char *const against_words[] = {
        [HOP_AGAINST_DENSE] = "dense", [HOP_AGAINST_MODEL] = "model", [HOP_AGAINST_NOTHING] = NULL};
    const hop_request *asked = &query->request;
    write_head(out, query);
    write_f32_rows(out, "retrieved", query->L, query->set->p, answer->z);
    hop_against against = hop_mode_against(asked->mode);
    if (against == HOP_AGAINST_NOTHING)
        write_nulls(out, "error_bound", query->L);
    else
        write_bounds(out, "error_bound", query->L, answer->error_bound, asked->max_error);
    srv_text_puts(out, ",\"bound_against\":");
    srv_text_json_string(out, against_words[against]);
    srv_text_printf(out, ",\"mode\":\"%s\"", srv_answer_mode_word(query, answer));
    if (srv_query_structured(query)) {
        write_model(out, query);
        write_nulls(out, "degree", query->L);
    } else {
        write_degrees(out, query->L, answer->degree);
    }
    if (asked->mode == HOP_RANDOM_FEATURES)
        write_f64s(out, "standard_error", query->L, answer->standard_error);
    write_fallbacks(out, query, answer->fallback);
    write_energies(out, query, answer, asked->want, INFINITY);
    if (asked->want & HOP_WANT_TOP)
        write_top(out, query, answer);
    if (asked->want & HOP_WANT_SUPPORT)
        write_f64s(out, "support", query->L, answer->support);
    if (asked->want & HOP_WANT_WEIGHTS)
        write_f32_rows(out, "weights", query->L, query->set->M, answer->weights);
    if (asked->want & HOP_WANT_STEPS)
        write_steps(out, query->L, answer->steps);
    write_timing(out, request, query);
}

void srv_answer_write_energy(const srv_request *request, const srv_query *query, const hop_answer *answer,
                             srv_text *out)
{
    write_head(out, query);
    write_energies(out, query, answer, HOP_WANT_LOG_SUM_EXP | HOP_WANT_ENERGY, query->request.max_error);
    srv_text_printf(out, ",\"mode\":\"%s\"", srv_answer_mode_word(query, answer));
    write_degrees(out, query->L, answer->degree);
    write_timing(out, request, query);
}

static void write_microseconds(srv_text *out, double seconds)
{
    srv_text_printf(out, ",\"predicted_us\":%.3f", seconds * 1e6);
}

static void write_plan(srv_text *out, const hop_plan *plan)
{
    srv_text_printf(out, "{\"mode\":\"%s\",\"degree\":%d,\"fallback\":", hop_mode_word(plan->mode), plan->degree);
    srv_text_json_string(out, hop_fallback_word(plan->fallback));
    write_microseconds(out, plan->predicted_seconds);
    srv_text_puts(out, ",\"radius\":");
    write_f64(out, plan->radius);
    srv_text_puts(out, ",\"candidates\":[");
    for (size_t i = 0; i < plan->n; i++) {
        const hop_candidate *candidate = &plan->candidates[i];
        srv_text_printf(out, "%s{\"mode\":\"%s\",\"degree\":%d,\"precision\":\"%s\"", i ? "," : "",
                        hop_mode_word(candidate->degree == 0 ? HOP_DENSE : HOP_ALMOST_LINEAR), candidate->degree,
                        candidate->f64 ? "f64" : "f32");
        write_microseconds(out, candidate->predicted_seconds);
        srv_text_puts(out, ",\"predicted_bound\":");
        write_f64(out, candidate->predicted_bound); /* infinite, none expected: null */
        srv_text_printf(out, ",\"meets\":%s,\"reason\":\"%s\"}", candidate->meets ? "true" : "false",
                        hop_reason_word(candidate->reason));
    }
    srv_text_puts(out, "]}");
}

void srv_answer_write_plans(const srv_query *query, const hop_plan *plans, srv_text *out)
{
    write_head(out, query);
    srv_text_puts(out, ",\"max_error\":");
    write_f64(out, query->request.max_error);
    srv_text_puts(out, ",\"plan\":[");
    for (size_t l = 0; l < query->L; l++) {
        if (l)
            srv_text_putc(out, ',');
        write_plan(out, &plans[l]);
    }
    srv_text_puts(out, "]}\n");
}

bool srv_answer_write_npy(const srv_query *query, const hop_answer *answer, srv_text *out)
{
    size_t bytes = srv_answer_npy_bytes(query);
    char *at = srv_text_reserve(out, bytes);
    if (!at)
        return false;
    store_npy_header_write(at, query->L, query->set->p);
    memcpy(at + STORE_NPY_WRITE_BYTES, answer->z, bytes - STORE_NPY_WRITE_BYTES);
    srv_text_commit(out, bytes);
    return true;
}

bool srv_answer_bound_max(const srv_query *query, const hop_answer *answer, char out[SRV_BOUND_TEXT_BYTES])
{
    _Static_assert((int)SRV_BOUND_TEXT_BYTES > (int)SRV_F64_TEXT_MAX, "room for the number and its NUL");
    if (hop_mode_against(query->request.mode) == HOP_AGAINST_NOTHING)
        return false;
    double largest = 0;
    for (size_t l = 0; l < query->L; l++) {
        if (answer->error_bound[l] > largest)
            largest = answer->error_bound[l];
    }
    *srv_bound_write(out, largest, query->request.max_error) = '\0';
    return true;
}
