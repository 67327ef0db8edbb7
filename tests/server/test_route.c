/*
 * test_route.c - request targets, the route table, what is refused before a body, bodies, and problem documents.
 */
#include "server/config.h"
#include "server/metrics.h"
#include "server/route.h"
#include "store/budget.h"
#include "support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A connection that is a list of headers. */
typedef struct header {
    const char *name, *value;
} header;

static const char *fake_header(void *connection, const char *name)
{
    for (const header *h = connection; h && h->name; h++) {
        if (strcasecmp(h->name, name) == 0)
            return h->value;
    }
    return NULL;
}

static void fake_event(srv_request *request)
{
    (void)request;
}

static bool fake_gone(const srv_request *request)
{
    (void)request;
    return false;
}

static const srv_transport fake = {fake_header, fake_event, fake_event, fake_gone};

static srv_config config;
static srv_app app;

static void set_up(void)
{
    config = (srv_config){.query_body_limit_bytes = 1000, .memory_budget_bytes = 1 << 20, .request_deadline_ms = 1000};
    app = (srv_app){.config = &config};
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(srv_metrics_new(&app.metrics, &error), HOP_OK);
}

static void tear_down(void)
{
    srv_metrics_free(app.metrics);
}

static srv_request *make_request(srv_method method, const char *target, const header *headers)
{
    srv_request *request = srv_request_new(&app, target);
    ck_assert_ptr_nonnull(request);
    request->method = method;
    request->transport = &fake;
    request->connection = (void *)(uintptr_t)headers;
    return request;
}

static const header json[] = {{"Content-Type", "application/json; charset=utf-8"}, {NULL, NULL}};

START_TEST(targets_are_taken_apart)
{
    srv_request *r = srv_request_new(&app, "/v1/sets/a%2Db/retrieve?beta=1e%2b5&max_error=1e+2&&top=&x=%C3%A9");
    ck_assert_int_eq(r->target_error.status, HOP_OK);
    ck_assert_str_eq(r->path, "/v1/sets/a%2Db/retrieve");
    ck_assert_uint_eq(r->n_segments, 4);
    ck_assert_str_eq(r->segments[2], "a-b");
    ck_assert_uint_eq(r->n_parameters, 4);
    ck_assert_str_eq(r->parameters[0].name, "beta");
    ck_assert_str_eq(r->parameters[0].value, "1e+5");
    ck_assert_str_eq(r->parameters[1].value, "1e+2");
    ck_assert_str_eq(r->parameters[2].value, "");
    ck_assert_str_eq(r->parameters[3].value, "\xC3\xA9");
    srv_request_free(r);

    r = srv_request_new(&app, "http://host:1/livez?");
    ck_assert_str_eq(r->path, "/livez");
    ck_assert_uint_eq(r->n_parameters, 0);
    srv_request_free(r);

    r = srv_request_new(&app, "*");
    ck_assert_uint_eq(r->n_segments, 0);
    srv_request_free(r);
    srv_request_free(NULL);
}
END_TEST

START_TEST(malformed_targets_are_refused)
{
    static const char *const bad[] = {"/v1/sets/%",     "/v1/sets/%4", "/v1/sets/%zz",
                                      "/v1/sets/a%00b", "/livez?%=1",  "/livez?a=%0"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        srv_request *r = make_request(SRV_GET, bad[i], NULL);
        ck_assert_msg(!srv_route_admit(r, 0, false), "%s", bad[i]);
        ck_assert_int_eq(r->reply.outcome, SRV_BAD_REQUEST);
        srv_request_free(r);
    }
    char *target = malloc(SRV_TARGET_MAX + 100);
    memset(target, 'a', SRV_TARGET_MAX + 99);
    target[0] = '/';
    target[SRV_TARGET_MAX + 99] = '\0';
    srv_request *r = make_request(SRV_GET, target, NULL);
    ck_assert(!srv_route_admit(r, 0, false));
    ck_assert_int_eq(r->reply.outcome, SRV_BAD_REQUEST);
    srv_request_free(r);
    strcpy(target, "/livez?");
    for (int i = 0; i <= SRV_PARAMETERS_MAX; i++)
        strcat(target, "a&");
    r = make_request(SRV_GET, target, NULL);
    ck_assert(!srv_route_admit(r, 0, false));
    ck_assert_int_eq(r->reply.outcome, SRV_BAD_REQUEST);
    srv_request_free(r);
    free(target);
}
END_TEST

static const struct {
    srv_method method;
    const char *target;
    srv_outcome outcome; /* SRV_OK: admitted */
    const char *says;    /* in the detail or the Allow header */
} cases[] = {
    {SRV_GET, "/livez", SRV_OK, ""},
    {SRV_HEAD, "/v1/sets/a", SRV_OK, ""},
    {SRV_GET, "/%6Civez", SRV_OK, ""},
    {SRV_GET, "/", SRV_NO_PATH, ""},
    {SRV_GET, "/livez/", SRV_NO_PATH, ""},
    {SRV_GET, "//livez", SRV_NO_PATH, ""},
    {SRV_GET, "/v1/sets/a/b/c/d/e/f/g/h", SRV_NO_PATH, ""},
    {SRV_GET, "/v1%2Fsets", SRV_NO_PATH, ""},
    {SRV_POST, "/livez", SRV_METHOD, "GET, HEAD"},
    {SRV_GET, "/v1/sets/a/retrieve", SRV_METHOD, "POST"},
    {SRV_GET, "/v1/admin/sets/a", SRV_METHOD, "PUT, PATCH, DELETE"},
    {SRV_PATCH, "/v1/admin/sets/a", SRV_OK, ""},
    {SRV_PATCH, "/v1/admin/sets/a?beta=1", SRV_BAD_PARAMETER, "'beta'"},
    {SRV_GET, "/v1/admin/sets/a/memories", SRV_METHOD, "POST, DELETE"},
    {SRV_POST, "/v1/admin/sets/a/memories?d=3", SRV_OK, ""},
    {SRV_POST, "/v1/admin/sets/a/memories?beta=3", SRV_BAD_PARAMETER, "'beta'"},
    {SRV_DELETE, "/v1/admin/sets/a/memories?ids=3", SRV_OK, ""},
    {SRV_HEAD, "/v1/admin/sets/a/data", SRV_OK, ""},
    {SRV_PUT, "/v1/admin/sets/a/data", SRV_METHOD, "GET, HEAD"},
    {SRV_GET, "/v1/sets/a/theory?beta=1&L=2&B=3&p=0.5&max_error=0", SRV_OK, ""},
    {SRV_GET, "/v1/sets/-a/theory", SRV_BAD_NAME, "the name of a set"},
    {SRV_POST, "/v1/sets/a/theory", SRV_METHOD, "GET, HEAD"},
    {SRV_GET, "/v1/admin/operations/1", SRV_OK, ""},
    {SRV_GET, "/v1/admin/operations/-1", SRV_OK, ""}, /* no name of a set: what it is, the handler says */
    {SRV_DELETE, "/v1/admin/operations/1", SRV_METHOD, "GET, HEAD"},
    {SRV_OTHER_METHOD, "/v1/sets", SRV_METHOD, "GET, HEAD"},
    {SRV_POST, "/nowhere", SRV_NO_PATH, ""},
    {SRV_GET, "/v1/sets/", SRV_BAD_NAME, ""},
    {SRV_GET, "/v1/sets/.a", SRV_BAD_NAME, ""},
    {SRV_GET, "/v1/sets/a%2fb", SRV_BAD_NAME, ""},
    {SRV_GET, "/v1/sets/a%20b", SRV_BAD_NAME, ""},
    {SRV_GET, "/livez?a=1", SRV_BAD_PARAMETER, "'a'"},
    {SRV_POST, "/v1/sets/a/retrieve?betta=1", SRV_BAD_PARAMETER, "known: beta, mode"},
    {SRV_POST, "/v1/sets/a/retrieve?beta=1&beta=2", SRV_BAD_PARAMETER, "twice"},
    {SRV_POST, "/v1/sets/a/energy?steps=1", SRV_BAD_PARAMETER, "'steps'"},
    {SRV_POST, "/v1/sets/a/retrieve?beta=1&steps=2", SRV_OK, ""},
};

START_TEST(routes_admit_or_say_why)
{
    srv_request *r = make_request(cases[_i].method, cases[_i].target, json);
    bool admitted = srv_route_admit(r, 0, false);
    ck_assert_msg(admitted == (cases[_i].outcome == SRV_OK), "%s", cases[_i].target);
    if (!admitted) {
        ck_assert_int_eq(r->reply.outcome, cases[_i].outcome);
        ck_assert_msg(strstr(r->reply.body.data, cases[_i].says), "%s", r->reply.body.data);
    }
    if (cases[_i].outcome == SRV_METHOD) {
        ck_assert_str_eq(r->reply.headers[0].name, "Allow");
        ck_assert_str_eq(r->reply.headers[0].value, cases[_i].says);
    }
    srv_request_free(r);
}
END_TEST

START_TEST(a_body_that_may_be_missing_may_be_missing)
{
    static const header npy[] = {{"Content-Type", "application/x-npy"}, {NULL, NULL}};
    static const struct {
        const header *headers;
        size_t length;
        bool chunked, admitted;
    } bodies[] = {
        {NULL, 0, false, true}, {json, 9, false, true},        {json, SIZE_MAX, true, true}, {NULL, 9, false, false},
        {npy, 9, false, false}, {NULL, SIZE_MAX, true, false}, {json, 1001, false, false},
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        srv_request *r = make_request(SRV_DELETE, "/v1/admin/sets/a/memories", bodies[i].headers);
        ck_assert_msg(srv_route_admit(r, bodies[i].length, bodies[i].chunked) == bodies[i].admitted, "%zu", i);
        srv_request_free(r);
    }
}
END_TEST

START_TEST(a_preference_is_one_of_a_list)
{
    static const struct {
        const char *value;
        bool async;
    } values[] = {
        {"respond-async", true},         {"RESPOND-ASYNC", true},       {"wait=10, respond-async", true},
        {"respond-async;wait=3", true},  {" ,respond-async , x", true}, {"respond-async=1", true},
        {"respond-asynchronous", false}, {"x=respond-async", false},    {"", false},
        {"return=minimal", false},       {"x;respond-async", false},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const header headers[] = {{"Prefer", values[i].value}, {NULL, NULL}};
        srv_request *r = make_request(SRV_PUT, "/v1/admin/sets/a", headers);
        ck_assert_msg(srv_request_prefers_async(r) == values[i].async, "'%s'", values[i].value);
        srv_request_free(r);
    }
    srv_request *r = make_request(SRV_PUT, "/v1/admin/sets/a", NULL);
    ck_assert(!srv_request_prefers_async(r));
    srv_request_free(r);
}
END_TEST

static int freed;

static size_t no_bytes(void *context, uint64_t at, char *out, size_t n)
{
    (void)context;
    (void)at;
    (void)out;
    (void)n;
    return 0;
}

static void count_free(void *context)
{
    (void)context;
    freed++;
}

START_TEST(a_stream_is_freed_once_whatever_becomes_of_it)
{
    const srv_stream stream = {.bytes = 3, .read = no_bytes, .free = count_free};
    freed = 0;
    srv_request *r = make_request(SRV_GET, "/v1/admin/sets/a/data", NULL);
    srv_reply_stream(r, SRV_OK, "application/x-npy", &stream);
    ck_assert_int_eq(freed, 0);
    srv_reply_stream(r, SRV_OK, "application/x-npy", &stream); /* too late */
    ck_assert_int_eq(freed, 1);
    srv_request_free(r);
    ck_assert_int_eq(freed, 2);
}
END_TEST

START_TEST(names_reach_the_handler)
{
    char target[200] = "/v1/sets/", name[130];
    memset(name, 'n', 128);
    name[128] = '\0';
    strcat(target, name);
    srv_request *r = make_request(SRV_GET, target, NULL);
    ck_assert(srv_route_admit(r, 0, false));
    ck_assert_str_eq(r->name, name);
    ck_assert_str_eq(r->route->pattern, "/v1/sets/{name}");
    srv_request_free(r);
    strcat(target, "n"); /* 129 */
    r = make_request(SRV_GET, target, NULL);
    ck_assert(!srv_route_admit(r, 0, false));
    ck_assert_int_eq(r->reply.outcome, SRV_BAD_NAME);
    srv_request_free(r);
}
END_TEST

START_TEST(types_and_lengths)
{
    static const header form[] = {{"Content-Type", "application/x-www-form-urlencoded"}, {NULL, NULL}};
    static const header text[] = {{"Content-Type", "text/plain"}, {NULL, NULL}};
    static const header zipped[] = {{"Content-Type", "application/json"}, {"Content-Encoding", "gzip"}, {NULL, NULL}};
    const struct {
        const header *headers;
        size_t length;
        bool chunked;
        srv_outcome outcome;
        const char *says;
    } rows[] = {
        {json, 1000, false, SRV_OK, ""},
        {json, SIZE_MAX, true, SRV_OK, ""},
        {json, 1001, false, SRV_BODY_LIMIT, "\"limit\":1000,\"actual\":1001"},
        {json, SIZE_MAX - 1, false, SRV_BODY_LIMIT, "1000"},
        {form, 10, false, SRV_MEDIA_TYPE, "--json"},
        {text, 10, false, SRV_MEDIA_TYPE, "text/plain"},
        {zipped, 10, false, SRV_MEDIA_TYPE, "gzip"},
        {NULL, 10, false, SRV_MEDIA_TYPE, "no Content-Type"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        srv_request *r = make_request(SRV_POST, "/v1/sets/a/retrieve", rows[i].headers);
        ck_assert_int_eq(srv_route_admit(r, rows[i].length, rows[i].chunked), rows[i].outcome == SRV_OK);
        if (rows[i].outcome != SRV_OK) {
            ck_assert_int_eq(r->reply.outcome, rows[i].outcome);
            ck_assert_msg(strstr(r->reply.body.data, rows[i].says), "%s", r->reply.body.data);
        }
        srv_request_free(r);
    }
    /* Uploads are not kept as they come: what they need is looked at later. */
    srv_request *r = make_request(SRV_PUT, "/v1/admin/sets/a", json);
    ck_assert(srv_route_admit(r, SIZE_MAX - 1, false));
    srv_request_free(r);
    /* A body where none belongs. */
    r = make_request(SRV_GET, "/livez", NULL);
    ck_assert(!srv_route_admit(r, 1, false));
    ck_assert_int_eq(r->reply.outcome, SRV_BAD_REQUEST);
    srv_request_free(r);
}
END_TEST

START_TEST(draining_refuses_work_and_answers_probes)
{
    atomic_store(&app.draining, true);
    srv_request *r = make_request(SRV_POST, "/v1/sets/a/retrieve", json);
    ck_assert(!srv_route_admit(r, 5, false));
    ck_assert_int_eq(r->reply.outcome, SRV_DRAINING);
    ck_assert_str_eq(r->reply.headers[0].name, "Retry-After");
    srv_request_free(r);
    r = make_request(SRV_GET, "/livez", NULL);
    ck_assert(srv_route_admit(r, 0, false));
    srv_request_dispatch(r);
    ck_assert_int_eq(r->reply.outcome, SRV_OK);
    srv_request_free(r);
    atomic_store(&app.draining, false);
}
END_TEST

START_TEST(bodies_grow_to_their_maximum)
{
    store_budget budget;
    store_budget_init(&budget, 1 << 20);
    app.budget = &budget;
    hop_error error = HOP_ERROR_NONE;
    srv_request *r = make_request(SRV_POST, "/", NULL);
    ck_assert_int_eq(srv_request_body_begin(r, SIZE_MAX, 200000, &error), HOP_OK);
    char piece[1000];
    memset(piece, 'x', sizeof piece);
    for (int i = 0; i < 200; i++)
        ck_assert_int_eq(srv_request_body_append(r, piece, sizeof piece, &error), HOP_OK);
    ck_assert_uint_eq(r->body_bytes, 200000);
    ck_assert_int_eq(r->body[200000], '\0');
    ck_assert_int_eq(srv_request_body_append(r, piece, 1, &error), HOP_E_LIMIT);
    ck_assert_uint_eq(store_budget_reserved(&budget), r->body_charged);
    ck_assert_uint_ge(r->body_charged, 200000);
    srv_request_body_free(r);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
    srv_request_free(r);

    /* A body longer than it said, and one that the budget has no room for. */
    r = make_request(SRV_POST, "/", NULL);
    ck_assert_int_eq(srv_request_body_begin(r, 10, 200000, &error), HOP_OK);
    ck_assert_int_eq(srv_request_body_append(r, piece, 11, &error), HOP_E_LIMIT);
    srv_request_free(r);
    ck_assert_int_eq(store_budget_charge(&budget, (1 << 20) - 100, "x", NULL), HOP_OK);
    r = make_request(SRV_POST, "/", NULL);
    ck_assert_int_eq(srv_request_body_begin(r, SIZE_MAX, 200000, &error), HOP_OK);
    hop_status status = HOP_OK;
    int i = 0;
    for (; i < 200 && status == HOP_OK; i++)
        status = srv_request_body_append(r, piece, sizeof piece, NULL);
    ck_assert_int_eq(status, HOP_E_BUDGET);
    ck_assert_int_gt(i, 60); /* small bodies are not charged */
    srv_request_free(r);
    ck_assert_uint_eq(store_budget_reserved(&budget), (1 << 20) - 100);
    app.budget = NULL;
}
END_TEST

START_TEST(accept_chooses)
{
    static const char *const offered[] = {"application/json", "application/x-npy"};
    static const struct {
        const char *accept;
        int chosen;
    } rows[] = {
        {NULL, 0},
        {"", 0},
        {"*/*", 0},
        {"application/*", 0},
        {"application/x-npy", 1},
        {"application/x-npy, */*;q=0.1", 1},
        {"application/json;q=0.5, application/x-npy;q=0.9", 1},
        {"application/json;q=0, */*", 1},
        {"APPLICATION/JSON", 0},
        {"text/html, application/json;q=0.2", 0},
        {"text/html", -1},
        {"application/jso", -1},
        {"application/json;q=0", -1},
        {";;,,", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const header headers[] = {{"Accept", rows[i].accept}, {NULL, NULL}};
        srv_request *r = make_request(SRV_GET, "/", headers);
        ck_assert_msg(srv_request_accepts(r, offered, 2) == rows[i].chosen, "%s", rows[i].accept);
        srv_request_free(r);
    }
}
END_TEST

START_TEST(problems_are_complete_and_valid)
{
    srv_request *r = make_request(SRV_GET, "/v1/sets/\xff\"", NULL);
    hop_error error = HOP_ERROR_NONE;
    error.status = HOP_E_DOMAIN;
    error.row = 3;
    error.column = 0;
    error.limit = 2;
    snprintf(error.text, sizeof error.text, "row 3, column 0 is \"NaN\"");
    srv_reply_error(r, &error);
    srv_reply_problem(r, SRV_NO_PATH, "the second answer does not count");
    ck_assert_int_eq(r->reply.outcome, SRV_DOMAIN);
    ck_assert_uint_eq(srv_outcome_http(r->reply.outcome), 422);
    ck_assert_str_eq(r->reply.content_type, "application/problem+json");
    static const char *const parts[] = {"\"type\":\"",
                                        "\"title\":\"",
                                        "\"status\":422,",
                                        "\"detail\":\"row 3, column 0 is \\\"NaN\\\"\"",
                                        "\"instance\":\"/v1/sets/\xEF\xBF\xBD\\\"\"",
                                        "\"code\":\"domain\"",
                                        "\"request_id\":\"",
                                        "\"row\":3",
                                        "\"column\":0",
                                        "\"limit\":2",
                                        "\"error\":\"row 3"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        ck_assert_msg(strstr(r->reply.body.data, parts[i]), "%s", r->reply.body.data);
    ck_assert_ptr_null(strstr(r->reply.body.data, "\"byte\""));
    ck_assert_ptr_null(strstr(r->reply.body.data, "\"actual\""));
    srv_request_free(r);
}
END_TEST

START_TEST(every_status_has_an_outcome)
{
    static const struct {
        hop_status status;
        unsigned http;
    } rows[] = {{HOP_OK, 200},       {HOP_E_SHAPE, 422},  {HOP_E_DOMAIN, 422},  {HOP_E_LIMIT, 413},
                {HOP_E_UNMET, 422},  {HOP_E_FORMAT, 400}, {HOP_E_UNKNOWN, 422}, {HOP_E_NOT_FOUND, 404},
                {HOP_E_EXISTS, 412}, {HOP_E_BUSY, 409},   {HOP_E_BUDGET, 507},  {HOP_E_CANCELLED, 503},
                {HOP_E_NOMEM, 507},  {HOP_E_SPACE, 507},  {HOP_E_IO, 500},      {HOP_E_INTERNAL, 500}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_uint_eq(srv_outcome_http(srv_outcome_of(rows[i].status)), rows[i].http);
    for (unsigned o = SRV_OK; o < SRV_OUTCOMES; o++) {
        ck_assert_uint_ge(srv_outcome_http((srv_outcome)o), 200);
        ck_assert_ptr_nonnull(srv_outcome_code((srv_outcome)o));
    }
    ck_assert_int_eq(srv_outcome_of((hop_status)99), SRV_INTERNAL);
}
END_TEST

START_TEST(an_answer_over_its_maximum_is_a_problem)
{
    srv_request *r = make_request(SRV_GET, "/", NULL);
    srv_text text;
    srv_text_init(&text, 4);
    srv_text_puts(&text, "[1,2,3]");
    srv_reply_json(r, SRV_OK, &text);
    ck_assert_int_eq(r->reply.outcome, SRV_LIMIT);
    ck_assert_ptr_nonnull(strstr(r->reply.body.data, "\"limit\":4"));
    ck_assert_ptr_null(text.data);
    srv_reply_header_add(r, "ETag", "a\r\nSet-Cookie: b");
    ck_assert_str_eq(r->reply.headers[0].value, "a??Set-Cookie: b");
    srv_request_free(r);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("route");
    TCase *tests = tcase_create("route");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, targets_are_taken_apart);
    tcase_add_test(tests, malformed_targets_are_refused);
    tcase_add_loop_test(tests, routes_admit_or_say_why, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_test(tests, names_reach_the_handler);
    tcase_add_test(tests, a_body_that_may_be_missing_may_be_missing);
    tcase_add_test(tests, a_preference_is_one_of_a_list);
    tcase_add_test(tests, a_stream_is_freed_once_whatever_becomes_of_it);
    tcase_add_test(tests, types_and_lengths);
    tcase_add_test(tests, draining_refuses_work_and_answers_probes);
    tcase_add_test(tests, bodies_grow_to_their_maximum);
    tcase_add_test(tests, accept_chooses);
    tcase_add_test(tests, problems_are_complete_and_valid);
    tcase_add_test(tests, every_status_has_an_outcome);
    tcase_add_test(tests, an_answer_over_its_maximum_is_a_problem);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
