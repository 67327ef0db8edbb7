/*
 * test_metrics.c - the page: series exist at 0, counts go where they belong, and the format holds line by line.
 */
#include "server/config.h"
#include "server/metrics.h"
#include "server/route.h"
#include "support/check_main.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static srv_config config;
static srv_app app;
static srv_text page;

static void set_up(void)
{
    config = (srv_config){.memory_budget_bytes = 12345678, .no_persist = true};
    app = (srv_app){.config = &config, .started_unix = 1000.5};
    hop_error error = HOP_ERROR_NONE;
    const srv_scheduler_options options = {.workers = 3, .queue_seconds = 1};
    ck_assert_int_eq(srv_metrics_new(&app.metrics, &error), HOP_OK);
    ck_assert_int_eq(srv_scheduler_new(&options, &app.scheduler, &error), HOP_OK);
    ck_assert_int_eq(srv_sets_open(&app, &error), HOP_OK);
}

static void tear_down(void)
{
    srv_text_fini(&page);
    srv_sets_close(&app);
    srv_scheduler_free(app.scheduler);
    srv_metrics_free(app.metrics);
}

static void write_page(void)
{
    srv_text_fini(&page);
    srv_text_init(&page, 1 << 20);
    srv_metrics_write(&app, &page);
    ck_assert(!page.failed);
}

/* The page has this whole line. */
static bool has(const char *line)
{
    size_t n = strlen(line);
    for (const char *at = page.data; (at = strstr(at, line)) != NULL; at += n) {
        if ((at == page.data || at[-1] == '\n') && at[n] == '\n')
            return true;
    }
    return false;
}

START_TEST(series_exist_from_the_start)
{
    static const char *const lines[] = {
        "hopfieldd_ready 1",
        "hopfieldd_http_requests_total{route=\"/livez\",method=\"GET\",code=\"200\"} 0",
        "hopfieldd_http_requests_total{route=\"/v1/admin/sets/{name}\",method=\"DELETE\",code=\"204\"} 0",
        "hopfieldd_http_request_duration_seconds_count{route=\"/v1/sets/{name}/retrieve\"} 0",
        "hopfieldd_http_request_duration_seconds_bucket{route=\"other\",le=\"+Inf\"} 0",
        "hopfieldd_http_connections 0",
        "hopfieldd_queries_total{mode=\"dense\"} 0",
        "hopfieldd_queries_total{mode=\"almost_linear\"} 0",
        "hopfieldd_queries_total{mode=\"top_k\"} 0",
        "hopfieldd_queries_total{mode=\"entmax\"} 0",
        "hopfieldd_sums 0",
        "hopfieldd_sums_lookups_total{result=\"built\"} 0",
        "hopfieldd_fallbacks_total{reason=\"bound\"} 0",
        "hopfieldd_fallbacks_total{reason=\"cost\"} 0",
        "hopfieldd_fallbacks_total{reason=\"building\"} 0",
        "hopfieldd_fallbacks_total{reason=\"return\"} 0",
        "hopfieldd_rejected_total{reason=\"queue_full\"} 0",
        "hopfieldd_rejected_total{reason=\"deadline\"} 0",
        "hopfieldd_rejected_total{reason=\"draining\"} 0",
        "hopfieldd_rejected_total{reason=\"client_gone\"} 0",
        "hopfieldd_workers 3",
        "hopfieldd_workers_busy 0",
        "hopfieldd_queue_requests 0",
        "hopfieldd_sets{state=\"ready\"} 0",
        "hopfieldd_sets{state=\"building\"} 0",
        "hopfieldd_sets{state=\"failed\"} 0",
        "hopfieldd_sets{state=\"loading\"} 0",
        "hopfieldd_memory_budget_bytes 12345678",
        "hopfieldd_memory_reserved_bytes 0",
        "process_start_time_seconds 1000.5",
    };
    write_page();
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        ck_assert_msg(has(lines[i]), "missing: %s\n%s", lines[i], page.data);
}
END_TEST

START_TEST(counts_go_where_they_belong)
{
    size_t n;
    const srv_route *routes = srv_routes(&n);
    size_t retrieve = 0;
    while (strcmp(routes[retrieve].pattern, "/v1/sets/{name}/retrieve") != 0)
        retrieve++;
    srv_metrics_request(app.metrics, retrieve, SRV_POST, SRV_OK, 0.002);
    srv_metrics_request(app.metrics, retrieve, SRV_POST, SRV_DOMAIN, 0.2);
    srv_metrics_request(app.metrics, retrieve, SRV_POST, SRV_SHAPE, 100);
    srv_metrics_request(app.metrics, srv_route_count(), SRV_OTHER_METHOD, SRV_NO_PATH, 0);
    srv_metrics_queries(app.metrics, HOP_DENSE, 5);
    srv_metrics_queries(app.metrics, HOP_ALMOST_LINEAR, 7);
    srv_metrics_queries(app.metrics, HOP_RANDOM_FEATURES, 11);
    srv_metrics_fallbacks(app.metrics, HOP_FALLBACK_COST, 2);
    srv_metrics_fallbacks(app.metrics, HOP_FALLBACK_NONE, 9);
    srv_metrics_rejected(app.metrics, SRV_REJECTED_DEADLINE);
    srv_metrics_connections(app.metrics, +1);
    srv_metrics_in_flight(app.metrics, +1);
    atomic_store(&app.draining, true);
    write_page();
    static const char *const lines[] = {
        "hopfieldd_ready 0",
        "hopfieldd_http_requests_total{route=\"/v1/sets/{name}/retrieve\",method=\"POST\",code=\"200\"} 1",
        "hopfieldd_http_requests_total{route=\"/v1/sets/{name}/retrieve\",method=\"POST\",code=\"422\"} 2",
        "hopfieldd_http_requests_total{route=\"other\",method=\"other\",code=\"404\"} 1",
        "hopfieldd_http_request_duration_seconds_bucket{route=\"/v1/sets/{name}/retrieve\",le=\"0.001\"} 0",
        "hopfieldd_http_request_duration_seconds_bucket{route=\"/v1/sets/{name}/retrieve\",le=\"0.0025\"} 1",
        "hopfieldd_http_request_duration_seconds_bucket{route=\"/v1/sets/{name}/retrieve\",le=\"30\"} 2",
        "hopfieldd_http_request_duration_seconds_bucket{route=\"/v1/sets/{name}/retrieve\",le=\"+Inf\"} 3",
        "hopfieldd_http_request_duration_seconds_sum{route=\"/v1/sets/{name}/retrieve\"} 100.202000000",
        "hopfieldd_http_request_duration_seconds_count{route=\"/v1/sets/{name}/retrieve\"} 3",
        "hopfieldd_queries_total{mode=\"dense\"} 5",
        "hopfieldd_queries_total{mode=\"almost_linear\"} 7",
        "hopfieldd_queries_total{mode=\"random_features\"} 11",
        "hopfieldd_queries_total{mode=\"random_mask\"} 0",
        "hopfieldd_fallbacks_total{reason=\"cost\"} 2",
        "hopfieldd_rejected_total{reason=\"deadline\"} 1",
        "hopfieldd_http_connections 1",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        ck_assert_msg(has(lines[i]), "missing: %s\n%s", lines[i], page.data);
    ck_assert_int_eq(srv_metrics_in_flight_count(app.metrics), 1);
}
END_TEST

/* Each line is a comment or a sample; no series comes twice; every sample follows the TYPE of its family. */
START_TEST(format_holds)
{
    write_page();
    regex_t sample, comment;
    ck_assert_int_eq(regcomp(&comment, "^# (HELP|TYPE) [a-z_]+ .+$", REG_EXTENDED | REG_NOSUB), 0);
    ck_assert_int_eq(regcomp(&sample,
                             "^[a-z_]+(\\{[a-z_]+=\"[^\"]*\"(,[a-z_]+=\"[^\"]*\")*\\})? "
                             "[-+]?[0-9.]+(e[-+]?[0-9]+)?$",
                             REG_EXTENDED | REG_NOSUB),
                     0);
    enum { LINES = 2000 };
    char **lines = calloc(LINES, sizeof *lines);
    char *copy = strdup(page.data), *save = NULL, family[128] = "";
    size_t n = 0;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (line[0] == '#') {
            ck_assert_msg(regexec(&comment, line, 0, NULL, 0) == 0, "%s", line);
            sscanf(line, "# TYPE %127s", family);
            continue;
        }
        ck_assert_msg(regexec(&sample, line, 0, NULL, 0) == 0, "%s", line);
        ck_assert_msg(strncmp(line, family, strlen(family)) == 0, "%s in %s", line, family);
        *strrchr(line, ' ') = '\0';
        for (size_t i = 0; i < n; i++)
            ck_assert_msg(strcmp(lines[i], line) != 0, "twice: %s", line);
        ck_assert_uint_lt(n, LINES);
        lines[n++] = line;
    }
    ck_assert_uint_gt(n, 100);
    free(copy);
    free(lines);
    regfree(&sample);
    regfree(&comment);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tests = tcase_create("metrics");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, series_exist_from_the_start);
    tcase_add_test(tests, counts_go_where_they_belong);
    tcase_add_test(tests, format_holds);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
