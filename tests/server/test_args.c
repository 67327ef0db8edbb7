/*
 * test_args.c - requests as clients send them, to typed arguments; and every kind of wrong one, with what the
 * refusal names.
 */
#include "server/args.h"
#include "server/base64.h"
#include "server/json.h"
#include "store/npy.h"
#include "support/check_main.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARAMETERS_MAX = 12 };

static const srv_args_limits limits = {.rows = 100, .columns = 64, .array_bytes = 1 << 16};

/* A source with its own copy of the body, of exactly its size and a NUL; parameters "a=1&b=2" are not decoded. */
typedef struct sent {
    srv_args_source source;
    srv_parameter parameters[PARAMETERS_MAX];
    char *body, *query;
    hop_error error;
} sent;

static void make_sent(sent *s, srv_media media, const void *body, size_t n, const char *query)
{
    *s = (sent){.body = malloc(n + 1), .query = strdup(query), .error = HOP_ERROR_NONE};
    memcpy(s->body, body, n);
    s->body[n] = '\0';
    s->source = (srv_args_source){.media = media, .body = s->body, .body_bytes = n, .parameters = s->parameters};
    char *rest = s->query;
    for (char *pair; (pair = strsep(&rest, "&")) != NULL;) {
        char *equals = strchr(pair, '=');
        if (!equals)
            continue;
        *equals = '\0';
        s->parameters[s->source.n_parameters++] = (srv_parameter){pair, equals + 1};
    }
}

static void free_sent(sent *s)
{
    free(s->body);
    free(s->query);
}

/* d is 3 in every request below. */
static hop_status ask(sent *s, srv_retrieve_kind kind, srv_retrieve_args *out)
{
    return srv_retrieve_args_read(&s->source, kind, 3, &limits, out, &s->error);
}

static hop_status ask_json(sent *s, const char *text, const char *query, srv_retrieve_args *out)
{
    make_sent(s, SRV_MEDIA_JSON, text, strlen(text), query);
    return ask(s, SRV_RETRIEVE, out);
}

START_TEST(a_plain_request_has_the_defaults)
{
    sent s;
    srv_retrieve_args args;
    ck_assert_msg(ask_json(&s, "{\"queries\":[[1,2,3],[4,5,6]]}", "", &args) == HOP_OK, "%s", s.error.text);
    ck_assert_uint_eq(args.L, 2);
    ck_assert(args.x[0] == 1 && args.x[5] == 6);
    ck_assert(!args.beta_given && !args.max_error_given && isnan(args.request.beta) && isnan(args.request.max_error));
    ck_assert_int_eq(args.request.mode, HOP_AUTO);
    ck_assert(!args.request.best_effort && args.request.steps == 1 && args.request.tolerance == 0);
    ck_assert(args.request.want == 0 && args.request.top == SRV_TOP_DEFAULT);
    srv_retrieve_args_fini(&args);
    free_sent(&s);
}
END_TEST

static void check_everything(const srv_retrieve_args *args)
{
    ck_assert_uint_eq(args->L, 1);
    ck_assert(args->x[0] == 1 && args->x[1] == 2 && args->x[2] == 3);
    ck_assert(args->beta_given && args->request.beta == 0.25);
    ck_assert(args->max_error_given && args->request.max_error == 0);
    ck_assert_int_eq(args->request.mode, HOP_ALMOST_LINEAR);
    ck_assert(args->request.best_effort && args->request.steps == 64 && args->request.tolerance == 1e-3);
    ck_assert_uint_eq(args->request.want, HOP_WANT_ENERGY | HOP_WANT_TOP | HOP_WANT_STEPS);
    ck_assert_uint_eq(args->request.top, 1000);
}

START_TEST(every_option_in_json_and_in_the_query_string)
{
    static const char *const query = "beta=0.25&max_error=0&mode=almost_linear&on_unmet=best_effort&steps=64&"
                                     "tolerance=1e-3&return=energy,top,steps&top=1000";
    static const float row[3] = {1, 2, 3};
    sent s;
    srv_retrieve_args args;
    ck_assert_msg(ask_json(&s,
                           "{\"queries\":[1,2,3],\"beta\":0.25,\"max_error\":0,\"mode\":\"almost_linear\","
                           "\"on_unmet\":\"best_effort\",\"steps\":64,\"tolerance\":1e-3,"
                           "\"return\":[\"energy\",\"top\",\"steps\"],\"top\":1000}",
                           "", &args) == HOP_OK,
                  "%s", s.error.text);
    check_everything(&args);
    srv_retrieve_args_fini(&args);
    free_sent(&s);

    ck_assert_msg(ask_json(&s, "{\"queries\":[1,2,3]}", query, &args) == HOP_OK, "%s", s.error.text);
    check_everything(&args);
    srv_retrieve_args_fini(&args);
    free_sent(&s);

    make_sent(&s, SRV_MEDIA_OCTET, row, sizeof row, query);
    ck_assert_msg(ask(&s, SRV_RETRIEVE, &args) == HOP_OK, "%s", s.error.text);
    check_everything(&args);
    srv_retrieve_args_fini(&args);
    free_sent(&s);

    char file[STORE_NPY_WRITE_BYTES + sizeof row];
    store_npy_header_write(file, 1, 3);
    memcpy(file + STORE_NPY_WRITE_BYTES, row, sizeof row);
    for (unsigned i = 0; i < 2; i++) { /* by its type, and by its magic */
        make_sent(&s, i ? SRV_MEDIA_OCTET : SRV_MEDIA_NPY, file, sizeof file, query);
        ck_assert_msg(ask(&s, SRV_PLAN, &args) == HOP_OK, "%s", s.error.text);
        check_everything(&args);
        srv_retrieve_args_fini(&args);
        free_sent(&s);
    }
}
END_TEST

START_TEST(base64_queries)
{
    static const float rows[6] = {1, -2, 3.5f, 4, 5, 1e-40f};
    char text[200] = "{\"shape\":[2,3],\"queries_b64\":\"";
    char *end = srv_base64_encode(text + strlen(text), rows, sizeof rows);
    strcpy(end, "\"}");
    sent s;
    srv_retrieve_args args;
    ck_assert_msg(ask_json(&s, text, "", &args) == HOP_OK, "%s", s.error.text);
    ck_assert_uint_eq(args.L, 2);
    ck_assert_mem_eq(args.x, rows, sizeof rows);
    srv_retrieve_args_fini(&args);
    free_sent(&s);
}
END_TEST

typedef struct wrong {
    const char *body, *query;
    hop_status status;
    const char *words;
    int64_t row, column; /* -1: none */
} wrong;

static void check_wrong(const wrong *w, const sent *s, hop_status status)
{
    ck_assert_msg(status == w->status, "%s ? %s: %s: %s", w->body, w->query, hop_status_word(status), s->error.text);
    ck_assert_int_eq(s->error.status, w->status);
    ck_assert_msg(strstr(s->error.text, w->words) != NULL, "%s ? %s: %s", w->body, w->query, s->error.text);
    ck_assert_msg(s->error.row == w->row && s->error.column == w->column, "%s: row %lld, column %lld", w->body,
                  (long long)s->error.row, (long long)s->error.column);
}

#define QUERIES "\"queries\":[[1,2,3]]"

START_TEST(wrong_requests_in_json)
{
    static const wrong cases[] = {
        {"", "", HOP_E_FORMAT, "the body is empty", -1, -1},
        {"{}", "", HOP_E_FORMAT, "`queries` (or `queries_b64` and `shape`) is missing", -1, -1},
        {"{\"queries\":[]}", "", HOP_E_SHAPE, "the batch is empty", -1, -1},
        {"{\"queries\":[[]]}", "", HOP_E_SHAPE, "row 0 has 0 numbers, the set has d = 3", 0, -1},
        {"{\"queries\":[[1,2]]}", "", HOP_E_SHAPE, "row 0 has 2 numbers, the set has d = 3", 0, -1},
        {"{\"queries\":[1,2,3,4]}", "", HOP_E_SHAPE, "row 0 has 4 numbers, the set has d = 3", 0, -1},
        {"{\"queries\":[[1,2,3],[1,2]]}", "", HOP_E_SHAPE, "row 1 has 2 numbers, row 0 has 3", 1, -1},
        {"{\"queries\":[[1,2,NaN]]}", "", HOP_E_FORMAT, "NaN is not a number in JSON (byte 17)", 0, 2},
        {"{\"queries\":[[1,2,1e400]]}", "", HOP_E_FORMAT, "beyond the range of f64 (byte 17)", 0, 2},
        {"{\"queries\":[[1,2,3],[4,1e39,6]]}", "", HOP_E_DOMAIN,
         "row 1, column 1: the number is beyond the range of f32", 1, 1},
        {"{\"queries\":\"abc\"}", "", HOP_E_FORMAT, "`queries` must be a list of rows of numbers", -1, -1},
        {"{\"queries\":null}", "", HOP_E_FORMAT, "`queries` must be a list of rows", -1, -1},
        {"{\"queries\":0}", "", HOP_E_FORMAT, "`queries` must be a list of rows", -1, -1},
        {"{\"queries_b64\":[1]}", "", HOP_E_FORMAT, "`queries_b64` must be a base64 string", -1, -1},
        {"{" QUERIES ",\"queries_b64\":\"\"}", "", HOP_E_FORMAT, "are both given", -1, -1},
        {"{" QUERIES ",\"shape\":[1,3]}", "", HOP_E_FORMAT, "belongs to `queries_b64`", -1, -1},
        {"{\"queries_b64\":\"AAAAAAAAAAAAAAAA\"}", "", HOP_E_FORMAT, "needs `shape`", -1, -1},
        {"{\"queries_b64\":\"AAAAAAAAAAAAAAAA\",\"shape\":[2,3]}", "", HOP_E_FORMAT,
         "2 x 3 does not fit 3 f32 (12 bytes)", -1, -1},
        {"{\"queries_b64\":\"AAAAAAAAAAAAAAAA\",\"shape\":[1,3,1]}", "", HOP_E_FORMAT, "3 entries, 2 expected", -1, -1},
        {"{\"queries_b64\":\"AAAAAAAAAAAAAAAA\",\"shape\":[1,-3]}", "", HOP_E_FORMAT, "entry 1", -1, -1},
        {"{\"queries_b64\":\"AAAAAAAAAAAAAAAA\",\"shape\":[3,1]}", "", HOP_E_SHAPE, "the set has d = 3", 0, -1},
        {"{\"queries_b64\":\"\",\"shape\":[0,3]}", "", HOP_E_SHAPE, "the batch is empty", -1, -1},
        {"{\"queries_b64\":\"AAAAAAAAAAAAAMB/\",\"shape\":[1,3]}", "", HOP_E_DOMAIN,
         "row 0, column 2: the number is NaN", 0, 2},
        {"{\"queries_b64\":\"AAAAAAAA*AAAAMB/\",\"shape\":[1,3]}", "", HOP_E_FORMAT, "'*' at character 8", -1, -1},
        {"{" QUERIES ",\"betta\":1}", "", HOP_E_FORMAT, "unknown field `betta`: did you mean `beta`?", -1, -1},
        {"{" QUERIES ",\"memories\":[[1]]}", "", HOP_E_FORMAT, "unknown field `memories`", -1, -1},
        {"{" QUERIES ",\"beta\":0}", "", HOP_E_DOMAIN, "beta must be a finite number above 0, not 0", -1, -1},
        {"{" QUERIES ",\"beta\":-1}", "", HOP_E_DOMAIN, "beta must be a finite number above 0, not -1", -1, -1},
        {"{" QUERIES ",\"beta\":NaN}", "", HOP_E_FORMAT, "malformed JSON", -1, -1},
        {"{" QUERIES ",\"beta\":1e400}", "", HOP_E_FORMAT, "malformed JSON", -1, -1},
        {"{" QUERIES ",\"beta\":\"1\"}", "", HOP_E_FORMAT, "`beta` must be a number, not a string", -1, -1},
        {"{" QUERIES ",\"beta\":1,\"beta\":1}", "", HOP_E_FORMAT, "duplicate", -1, -1},
        {"{" QUERIES "," QUERIES "}", "", HOP_E_FORMAT, "`queries` comes twice", -1, -1},
        {"{" QUERIES ",\"max_error\":-1e-9}", "", HOP_E_DOMAIN, "max_error must be a finite number of at least 0", -1,
         -1},
        {"{" QUERIES ",\"steps\":0}", "", HOP_E_DOMAIN, "steps must be 1 to 64, not 0", -1, -1},
        {"{" QUERIES ",\"steps\":65}", "", HOP_E_DOMAIN, "steps must be 1 to 64, not 65", -1, -1},
        {"{" QUERIES ",\"steps\":1.5}", "", HOP_E_FORMAT, "`steps` must be a whole number", -1, -1},
        {"{" QUERIES ",\"tolerance\":-1}", "", HOP_E_DOMAIN, "tolerance must be", -1, -1},
        {"{" QUERIES ",\"top\":0}", "", HOP_E_DOMAIN, "top must be 1 to 1000, not 0", -1, -1},
        {"{" QUERIES ",\"top\":1001}", "", HOP_E_DOMAIN, "top must be 1 to 1000, not 1001", -1, -1},
        {"{" QUERIES ",\"mode\":\"fast\"}", "", HOP_E_UNKNOWN, "fast", -1, -1},
        {"{" QUERIES ",\"mode\":1}", "", HOP_E_FORMAT, "`mode` must be a string, not a number", -1, -1},
        {"{" QUERIES ",\"return\":[\"energi\"]}", "", HOP_E_UNKNOWN, "unknown word 'energi'", -1, -1},
        {"{" QUERIES ",\"return\":\"energy\"}", "", HOP_E_FORMAT, "`return` must be a list of strings", -1, -1},
        {"{" QUERIES ",\"return\":[1]}", "", HOP_E_FORMAT, "entry 0 must be a string", -1, -1},
        {"{" QUERIES ",\"on_unmet\":\"shrug\"}", "", HOP_E_UNKNOWN, "unknown word 'shrug'", -1, -1},
        {"{" QUERIES "}", "beta=0", HOP_E_DOMAIN, "beta must be", -1, -1},
        {"{" QUERIES "}", "beta=nan", HOP_E_FORMAT, "`beta` must be a number, not 'nan'", -1, -1},
        {"{" QUERIES "}", "beta=1e400", HOP_E_FORMAT, "beyond the range of f64", -1, -1},
        {"{" QUERIES "}", "beta=", HOP_E_FORMAT, "`beta` must be a number", -1, -1},
        {"{" QUERIES "}", "beta=1 ", HOP_E_FORMAT, "`beta` must be a number", -1, -1},
        {"{" QUERIES "}", "betta=1", HOP_E_FORMAT, "unknown query parameter `betta`: did you mean `beta`?", -1, -1},
        {"{" QUERIES "}", "queries=1", HOP_E_FORMAT, "unknown query parameter `queries`", -1, -1},
        {"{" QUERIES "}", "beta=1&beta=1", HOP_E_FORMAT, "`beta` comes twice", -1, -1},
        {"{" QUERIES ",\"beta\":1}", "beta=1", HOP_E_FORMAT, "both in the body and in the query string", -1, -1},
        {"{" QUERIES "}", "steps=1.5", HOP_E_FORMAT, "`steps` must be a whole number", -1, -1},
        {"{" QUERIES "}", "steps=1e300", HOP_E_FORMAT, "`steps` must be a whole number", -1, -1},
        {"{" QUERIES "}", "return=energy,", HOP_E_FORMAT, "ends with a comma", -1, -1},
        {"{" QUERIES "}", "return=energy,,top", HOP_E_UNKNOWN, "unknown word ''", -1, -1},
        {"{" QUERIES "}", "mode=", HOP_E_UNKNOWN, "mode", -1, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sent s;
        srv_retrieve_args args = {.L = 77};
        hop_status status = ask_json(&s, cases[i].body, cases[i].query, &args);
        check_wrong(&cases[i], &s, status);
        ck_assert_uint_eq(args.L, 77); /* outputs are written on success only */
        free_sent(&s);
    }
}
END_TEST

START_TEST(the_energy_route_knows_fewer_options)
{
    static const wrong cases[] = {
        {"{" QUERIES ",\"steps\":2}", "", HOP_E_FORMAT, "unknown field `steps`", -1, -1},
        {"{" QUERIES "}", "top=2", HOP_E_FORMAT, "unknown query parameter `top`", -1, -1},
    };
    sent s;
    srv_retrieve_args args;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_sent(&s, SRV_MEDIA_JSON, cases[i].body, strlen(cases[i].body), cases[i].query);
        hop_status status = ask(&s, SRV_ENERGY, &args);
        check_wrong(&cases[i], &s, status);
        free_sent(&s);
    }
    const char *good = "{" QUERIES ",\"beta\":2,\"mode\":\"dense\",\"on_unmet\":\"error\"}";
    make_sent(&s, SRV_MEDIA_JSON, good, strlen(good), "max_error=1");
    ck_assert_msg(ask(&s, SRV_ENERGY, &args) == HOP_OK, "%s", s.error.text);
    ck_assert(args.request.beta == 2 && args.request.max_error == 1 && !args.request.best_effort);
    srv_retrieve_args_fini(&args);
    free_sent(&s);
}
END_TEST

START_TEST(wrong_requests_in_bytes)
{
    static const float rows[] = {1, 2, 3, 4, 5, (float)INFINITY};
    sent s;
    srv_retrieve_args args;
    make_sent(&s, SRV_MEDIA_OCTET, "", 0, "");
    ck_assert_int_eq(ask(&s, SRV_RETRIEVE, &args), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(s.error.text, "empty"));
    free_sent(&s);
    make_sent(&s, SRV_MEDIA_OCTET, rows, 16, "");
    ck_assert_int_eq(ask(&s, SRV_RETRIEVE, &args), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(s.error.text, "16 bytes are not a whole number of rows of 3 f32 (12 bytes each)"));
    free_sent(&s);
    make_sent(&s, SRV_MEDIA_OCTET, rows, sizeof rows, "");
    ck_assert_int_eq(ask(&s, SRV_RETRIEVE, &args), HOP_E_DOMAIN);
    ck_assert(s.error.row == 1 && s.error.column == 2);
    free_sent(&s);
    make_sent(&s, SRV_MEDIA_NPY, rows, sizeof rows, "");
    ck_assert_int_eq(ask(&s, SRV_RETRIEVE, &args), HOP_E_FORMAT);
    free_sent(&s);

    char file[STORE_NPY_WRITE_BYTES + sizeof rows];
    store_npy_header_write(file, 3, 2);
    memcpy(file + STORE_NPY_WRITE_BYTES, rows, sizeof rows);
    make_sent(&s, SRV_MEDIA_NPY, file, sizeof file - 1, "");
    ck_assert_int_eq(ask(&s, SRV_RETRIEVE, &args), HOP_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(s.error.text, "needs 24 bytes of data, there are 23"));
    free_sent(&s);
    make_sent(&s, SRV_MEDIA_NPY, file, sizeof file, "");
    ck_assert_int_eq(ask(&s, SRV_RETRIEVE, &args), HOP_E_DOMAIN);
    ck_assert(s.error.row == 2 && s.error.column == 1);
    free_sent(&s);
    store_npy_header_write(file, 0, 3);
    make_sent(&s, SRV_MEDIA_NPY, file, STORE_NPY_WRITE_BYTES, "");
    ck_assert_int_eq(ask(&s, SRV_RETRIEVE, &args), HOP_E_SHAPE);
    free_sent(&s);
    store_npy_header_write(file, 101, 3);
    char *large = calloc(1, STORE_NPY_WRITE_BYTES + 101 * 12);
    memcpy(large, file, STORE_NPY_WRITE_BYTES);
    make_sent(&s, SRV_MEDIA_NPY, large, STORE_NPY_WRITE_BYTES + 101 * 12, "");
    ck_assert_int_eq(ask(&s, SRV_RETRIEVE, &args), HOP_E_LIMIT);
    ck_assert(s.error.limit == 100 && s.error.actual == 101);
    free_sent(&s);
    free(large);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("args");
    TCase *c = tcase_create("args");
    tcase_add_test(c, a_plain_request_has_the_defaults);
    tcase_add_test(c, every_option_in_json_and_in_the_query_string);
    tcase_add_test(c, base64_queries);
    tcase_add_test(c, wrong_requests_in_json);
    tcase_add_test(c, the_energy_route_knows_fewer_options);
    tcase_add_test(c, wrong_requests_in_bytes);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    srv_json_init();
    return hop_check_main(argc, argv, suite);
}
