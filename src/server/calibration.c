/*
 * calibration.c - the start's costs, and the file that keeps them: a few "name value" lines.
 */
#include "server/calibration.h"

#include "core/status.h"
#include "server/config.h"
#include "server/file.h"
#include "server/log.h"
#include "server/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 8192 };

#define FACTOR_MAX 1000.0 /* no machine is as much slower or faster than the one of the built-in costs */

static const char heading[] = "hopfieldd-costs";

const char *srv_costs_word(srv_costs_source source)
{
    static const char *const words[] = {
        [SRV_COSTS_BUILT_IN] = "built_in", [SRV_COSTS_CACHE] = "cache", [SRV_COSTS_MEASURED] = "measured"};
    return words[source];
}

/* What the numbers are true for. */
static void write_origin(const char *cpu, srv_text *out)
{
    srv_text_printf(out, "%s %s\nisa %s\ncpu %s\n", heading, HOPFIELDD_VERSION, hop_isa_name(), cpu);
}

void srv_costs_write(const hop_costs *costs, const char *cpu, srv_text *out)
{
    write_origin(cpu, out);
    for (hop_cost cost = 0; cost < HOP_COSTS; cost++) {
        srv_text_printf(out, "%s ", hop_cost_word(cost));
        srv_text_json_number(out, costs->seconds[cost]);
        srv_text_putc(out, '\n');
    }
}

/* Written by some version of this daemon, so one that may be replaced. */
static bool is_cache(const char *text)
{
    size_t n = sizeof heading - 1;
    return strncmp(text, heading, n) == 0 && text[n] == ' ';
}

hop_status srv_costs_parse(const char *text, const char *cpu, hop_costs *out, hop_error *error)
{
    if (!is_cache(text))
        return hop_fail(error, HOP_E_FORMAT, "this is no file of costs");
    srv_text origin;
    srv_text_init(&origin, FILE_BYTES_MAX);
    write_origin(cpu, &origin);
    size_t n = origin.used;
    bool ours = !origin.failed && strncmp(text, origin.data, n) == 0;
    srv_text_fini(&origin);
    if (!ours)
        return hop_fail(error, HOP_E_DOMAIN,
                        "it was measured by another version, with other kernels or on another CPU");
    hop_costs costs, usual;
    hop_costs_built_in(&usual);
    const char *at = text + n;
    for (hop_cost cost = 0; cost < HOP_COSTS; cost++) {
        const char *word = hop_cost_word(cost);
        size_t length = strlen(word);
        char *end = NULL;
        if (strncmp(at, word, length) != 0 || at[length] != ' ')
            return hop_fail(error, HOP_E_FORMAT, "the cost \"%s\" is missing", word);
        double seconds = strtod(at + length + 1, &end);
        if (end == at + length + 1 || *end != '\n')
            return hop_fail(error, HOP_E_FORMAT, "the cost \"%s\" is no number", word);
        double factor = seconds / usual.seconds[cost];
        if (!(factor >= 1 / FACTOR_MAX && factor <= FACTOR_MAX))
            return hop_fail(error, HOP_E_DOMAIN, "the cost \"%s\" is %g s, over a factor of %g from the usual %g s",
                            word, seconds, FACTOR_MAX, usual.seconds[cost]);
        costs.seconds[cost] = seconds;
        at = end + 1;
    }
    if (*at)
        return hop_fail(error, HOP_E_FORMAT, "something follows the costs");
    *out = costs;
    return HOP_OK;
}

/* *ours: nothing is there, or a file that an earlier start wrote. Anything else is somebody's, and is left alone. */
static bool from_cache(const char *path, const char *cpu, bool *ours)
{
    hop_error error = HOP_ERROR_NONE;
    hop_costs costs;
    srv_text text;
    srv_text_init(&text, FILE_BYTES_MAX);
    hop_status status = srv_file_read(path, &text, &error);
    *ours = status == HOP_E_NOT_FOUND || (status == HOP_OK && is_cache(text.data ? text.data : ""));
    if (status == HOP_OK)
        status = srv_costs_parse(text.data ? text.data : "", cpu, &costs, &error);
    if (status == HOP_OK)
        status = hop_costs_set(&costs, &error);
    srv_text_fini(&text);
    if (status == HOP_OK)
        srv_log(SRV_LOG_INFO, "costs read from %s", path);
    else if (status != HOP_E_NOT_FOUND)
        srv_log(SRV_LOG_WARN, "the cost cache %s is ignored%s: %s", path, *ours ? "" : " and left as it is",
                error.text);
    return status == HOP_OK;
}

static void to_cache(const char *path, const char *cpu, const hop_costs *costs)
{
    hop_error error = HOP_ERROR_NONE;
    srv_text text;
    srv_text_init(&text, FILE_BYTES_MAX);
    srv_costs_write(costs, cpu, &text);
    if (text.failed || srv_file_replace(path, text.data, text.used, &error) != HOP_OK)
        srv_log(SRV_LOG_WARN, "the cost cache cannot be written: %s", text.failed ? "no memory" : error.text);
    srv_text_fini(&text);
}

static double clock_seconds(void *context)
{
    (void)context;
    return (double)srv_clock_ns() * 1e-9;
}

/* Nanoseconds, for the log. */
static double ns(const hop_costs *costs, hop_cost cost)
{
    return costs->seconds[cost] * 1e9;
}

static bool measure(const char *cache, const char *cpu)
{
    const hop_clock clock = {.seconds = clock_seconds};
    uint64_t start = srv_clock_ns();
    hop_error error = HOP_ERROR_NONE;
    hop_costs costs;
    double misfit;
    hop_status status = hop_calibrate(&clock, &costs, &misfit, &error);
    if (status == HOP_OK)
        status = hop_costs_set(&costs, &error);
    double ms = (double)(srv_clock_ns() - start) * 1e-6;
    if (status != HOP_OK) {
        srv_log(SRV_LOG_WARN, "costs not measured (%.0f ms), the built-in ones are used: %s", ms, error.text);
        return false;
    }
    srv_log(
        SRV_LOG_INFO,
        "costs measured in %.0f ms, within a factor of %.2f: dense f32 %.3g ns + %.3g ns a multiply-add, f64 %.3g ns, "
        "map coefficient %.3g ns, monomial %.3g ns, memory %.3g GB/s",
        ms, misfit, ns(&costs, HOP_COST_PAIR), ns(&costs, HOP_COST_MADD), ns(&costs, HOP_COST_F64_MADD),
        ns(&costs, HOP_COST_LANES_F32_FAR_COEFFICIENT), ns(&costs, HOP_COST_LANES_F32_FAR_MONOMIAL),
        1 / ns(&costs, HOP_COST_STREAM));
    if (cache)
        to_cache(cache, cpu, &costs);
    return true;
}

srv_costs_source srv_costs_settle(const srv_config *config)
{
    char cpu[SRV_CPU_MODEL_BYTES];
    srv_cpu_model(cpu);
    const char *cache = config->cost_cache[0] ? config->cost_cache : NULL;
    bool ours = false;
    if (cache && from_cache(cache, cpu, &ours))
        return SRV_COSTS_CACHE;
    if (config->calibrate && measure(ours ? cache : NULL, cpu))
        return SRV_COSTS_MEASURED;
    return SRV_COSTS_BUILT_IN;
}
