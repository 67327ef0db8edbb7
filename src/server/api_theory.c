/*
 * api_theory.c - what the papers say about a set.
 *
 * A report needs the set's separation, which is measured once a version. Where that is predicted to take long it
 * becomes an operation in the background: the same request then answers 202 with its progress, until it answers the
 * report.
 */
#include "server/api_sets.h"
#include "server/config.h"
#include "server/options.h"
#include "server/refuse.h"
#include "server/route.h"
#include "store/operations.h"
#include "store/registry.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The probes of a report, about. */
#define PROBES_SECONDS 5e-3

enum { REPORT_BYTES = 65536 };

/* ---- the report as JSON -------------------------------------------------------------------------------- */

/* A member that is a number. */
typedef struct number {
    const char *name;
    size_t offset;
} number;

#define NUMBER(type, member)                                                                                           \
    {                                                                                                                  \
#member, offsetof(type, member)                                                                                \
    }

static void write_numbers(srv_text *out, const void *from, const number *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double value;
        memcpy(&value, (const char *)from + numbers[i].offset, sizeof value);
        srv_text_printf(out, "\"%s\":", numbers[i].name);
        srv_text_json_number(out, value);
        srv_text_putc(out, ',');
    }
}

#define WRITE_NUMBERS(out, from, numbers) write_numbers(out, from, numbers, sizeof(numbers) / sizeof *(numbers))

static void write_reason(srv_text *out, const char *reason)
{
    srv_text_puts(out, "\"reason\":");
    srv_text_json_string(out, *reason ? reason : NULL);
    srv_text_putc(out, '}');
}

static const char *bool_word(bool value)
{
    return value ? "true" : "false";
}

void srv_regime_write(const hop_regime *regime, bool probes, srv_text *out)
{
    static const number numbers[] = {NUMBER(hop_regime, tau), NUMBER(hop_regime, B), NUMBER(hop_regime, B_star),
                                     NUMBER(hop_regime, beta_B2_d)};
    srv_text_putc(out, '{');
    WRITE_NUMBERS(out, regime, numbers);
    if (probes) {
        srv_text_puts(out, "\"R_t\":");
        srv_text_json_number(out, regime->R_t);
        srv_text_printf(out, ",\"probes\":%zu,\"met\":%zu,\"met_below\":%zu,\"g_max\":%u,\"predicted\":%s,",
                        regime->probes, regime->met, regime->met_below, regime->g_max, bool_word(regime->predicted));
    }
    srv_text_printf(out, "\"verdict\":\"%s\",", hop_verdict_word(regime->verdict));
    write_reason(out, regime->reason);
}

static void write_p1(const hop_theory_p1 *p1, srv_text *out)
{
    static const number numbers[] = {NUMBER(hop_theory_p1, delta_A), NUMBER(hop_theory_p1, delta_H),
                                     NUMBER(hop_theory_p1, R), NUMBER(hop_theory_p1, g),
                                     NUMBER(hop_theory_p1, log10_rank)};
    WRITE_NUMBERS(out, p1, numbers);
    write_reason(out, p1->reason);
}

static void write_ours(const hop_theory_ours *ours, srv_text *out)
{
    static const number numbers[] = {NUMBER(hop_theory_ours, R), NUMBER(hop_theory_ours, g),
                                     NUMBER(hop_theory_ours, log10_rank), NUMBER(hop_theory_ours, error_bound)};
    WRITE_NUMBERS(out, ours, numbers);
    srv_text_printf(out, "\"probes\":%zu,\"met\":%zu,\"met_below\":%zu,\"g_max\":%u,\"predicted\":%s,", ours->probes,
                    ours->met, ours->met_below, ours->g_max, bool_word(ours->predicted));
    write_reason(out, ours->reason);
}

static void write_separation(const hop_theory_separation *separation, srv_text *out)
{
    static const number numbers[] = {
        NUMBER(hop_theory_separation, R_sep),        NUMBER(hop_theory_separation, m),
        NUMBER(hop_theory_separation, Delta_min),    NUMBER(hop_theory_separation, Delta_q10),
        NUMBER(hop_theory_separation, Delta_median), NUMBER(hop_theory_separation, Delta_q90),
        NUMBER(hop_theory_separation, Delta_max),    NUMBER(hop_theory_separation, delta),
        NUMBER(hop_theory_separation, threshold),    NUMBER(hop_theory_separation, well_separated)};
    srv_text_printf(out, "\"exact\":%s,\"rows\":%" PRIu64 ",\"seed\":%" PRIu64 ",", bool_word(separation->exact),
                    separation->rows, separation->seed);
    WRITE_NUMBERS(out, separation, numbers);
    write_reason(out, separation->reason);
}

static void write_error(const hop_theory_error *error, srv_text *out)
{
    static const number numbers[] = {
        NUMBER(hop_theory_error, at_memory_median), NUMBER(hop_theory_error, at_memory_max),
        NUMBER(hop_theory_error, in_sphere_median), NUMBER(hop_theory_error, in_sphere_max)};
    WRITE_NUMBERS(out, error, numbers);
    write_reason(out, error->reason);
}

static void write_capacity(const hop_theory_capacity *capacity, srv_text *out)
{
    static const number numbers[] = {NUMBER(hop_theory_capacity, p),
                                     NUMBER(hop_theory_capacity, a),
                                     NUMBER(hop_theory_capacity, b),
                                     NUMBER(hop_theory_capacity, log10_C),
                                     NUMBER(hop_theory_capacity, log10_M_max),
                                     NUMBER(hop_theory_capacity, M_max),
                                     NUMBER(hop_theory_capacity, log10_M_dense),
                                     NUMBER(hop_theory_capacity, log10_M_p1)};
    WRITE_NUMBERS(out, capacity, numbers);
    write_reason(out, capacity->reason);
}

static void write_report(const srv_request *request, const store_set *set, const hop_theory *theory, srv_text *out)
{
    static const number numbers[] = {NUMBER(hop_theory, beta), NUMBER(hop_theory, max_error)};
    srv_text_printf(out, "{\"set\":\"%s\",\"version\":%" PRIu64 ",\"M\":%zu,\"d\":%zu,\"L\":%zu,", set->name,
                    set->version, theory->M, theory->d, theory->L);
    WRITE_NUMBERS(out, theory, numbers);
    srv_text_puts(out, "\"regime\":");
    srv_regime_write(&theory->regime, true, out);
    srv_text_puts(out, ",\"p1\":{");
    write_p1(&theory->p1, out);
    srv_text_puts(out, ",\"ours\":{");
    write_ours(&theory->ours, out);
    srv_text_puts(out, ",\"separation\":{");
    write_separation(&theory->separation, out);
    srv_text_puts(out, ",\"retrieval_error\":{");
    write_error(&theory->retrieval_error, out);
    srv_text_puts(out, ",\"capacity\":{");
    write_capacity(&theory->capacity, out);
    srv_text_printf(out, ",\"timing_ms\":{\"queue\":%.3f,\"compute\":%.3f,\"total\":%.3f}}\n",
                    srv_request_queue_ms(request), srv_request_compute_ms(request), srv_request_total_ms(request));
}

/* ---- asking for one ------------------------------------------------------------------------------------ */

/* What a decoded request keeps until it is over. */
typedef struct asked {
    store_set *set; /* with a reference */
    hop_theory_request request;
} asked;

static void asked_free(void *state)
{
    asked *self = state;
    store_set_release(self->set);
    free(self);
}

/* A number above 0, and below `high`. */
static hop_status read_positive(const srv_options *options, const char *name, double high, double *out,
                                hop_error *error)
{
    if (!srv_options_has(options, name))
        return HOP_OK;
    hop_status status = srv_option_number(options, name, out, error);
    if (status != HOP_OK)
        return status;
    if (isfinite(*out) && *out > 0 && *out < high)
        return HOP_OK;
    bool under = !(*out > 0);
    if (isinf(high))
        return srv_refuse_limit(error, HOP_E_DOMAIN, -1, -1, 0, *out, "%s must be a finite number above 0, not %g",
                                name, *out);
    return srv_refuse_limit(error, HOP_E_DOMAIN, -1, -1, under ? 0 : high, *out,
                            "%s must be a number above 0 and below %g, not %g", name, high, *out);
}

static hop_status read_request(const srv_request *request, hop_theory_request *out, hop_error *error)
{
    const srv_options options = {.parameters = request->parameters, .n_parameters = request->n_parameters};
    int64_t L = 1;
    hop_status status = srv_options_defaults(&options, &out->beta, &out->max_error, error);
    if (status == HOP_OK)
        status = srv_option_ranged(&options, "L", 1, INT64_C(1) << 53, &L, error);
    out->L = (uint64_t)L < SIZE_MAX ? (size_t)L : SIZE_MAX;
    if (status == HOP_OK)
        status = read_positive(&options, "B", (double)INFINITY, &out->B, error);
    if (status == HOP_OK)
        status = read_positive(&options, "p", 1, &out->p, error);
    return status;
}

static void run_theory(srv_request *request, srv_workspace *workspace)
{
    const asked *self = request->state;
    hop_error error = HOP_ERROR_NONE;
    hop_status status = HOP_OK;
    if (!store_set_separation(self->set))
        status = store_study_here(self->set, NULL, &error);
    size_t bytes = hop_theory_workspace_bytes(self->set->model);
    void *block = status == HOP_OK && bytes ? srv_workspace_reserve(workspace, bytes) : NULL;
    hop_theory theory;
    if (status == HOP_OK && !block)
        status = srv_refuse(&error, HOP_E_NOMEM, -1, -1, -1, "out of memory for a report that needs %zu bytes", bytes);
    if (status == HOP_OK)
        status = hop_theory_of(self->set->model, &self->request, store_set_separation(self->set), block, bytes, &theory,
                               &error);
    hop_error changed = HOP_ERROR_NONE;
    if (store_set_check(self->set, &changed) != HOP_OK) { /* then no other error means anything */
        srv_reply_error(request, &changed);
        return;
    }
    if (status != HOP_OK) {
        srv_reply_error(request, &error);
        return;
    }
    request->computed_ns = srv_clock_ns();
    srv_text text;
    srv_text_init(&text, REPORT_BYTES);
    write_report(request, self->set, &theory, &text);
    srv_reply_json(request, SRV_OK, &text);
}

/* Measuring takes long: what has become of it, or its beginning. */
static void reply_later(srv_request *request, store_set *set)
{
    store_work_view view;
    hop_error error = HOP_ERROR_NONE;
    store_studies *studies = store_operations_studies(request->app->operations);
    if (store_studies_submit(studies, set, &view, &error) != HOP_OK)
        srv_reply_error(request, &error);
    else if (view.state == STORE_WORK_FAILED)
        srv_reply_error(request, &view.error);
    else
        srv_reply_operation(request, SRV_ACCEPTED, &view);
}

void srv_api_theory(srv_request *request)
{
    if (!srv_accepts_json(request))
        return;
    hop_error error = HOP_ERROR_NONE;
    asked *self = calloc(1, sizeof *self);
    if (!self) {
        srv_reply_problem(request, SRV_NOMEM, "out of memory");
        return;
    }
    srv_request_set_state(request, self, asked_free);
    hop_status status = store_registry_get(request->app->registry, request->name, &self->set, &error);
    if (status == HOP_OK) {
        self->request = (hop_theory_request){.beta = self->set->beta, .max_error = self->set->max_error};
        status = read_request(request, &self->request, &error);
    }
    if (status != HOP_OK) {
        srv_reply_error(request, &error);
        return;
    }
    double seconds = store_set_separation(self->set) ? 0 : hop_separation_seconds(self->set->model, 1);
    if (seconds > request->app->config->theory_seconds)
        reply_later(request, self->set);
    else
        srv_request_defer(request, seconds + PROBES_SECONDS, run_theory);
}
