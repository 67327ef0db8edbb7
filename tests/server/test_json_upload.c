/*
 * test_json_upload.c - JSON uploads in pieces: whatever the cuts, the rows and labels, or the refusal, are those of
 * the whole body; and what long tokens, long options and a sink that refuses come to.
 */
#include "server/json.h"
#include "server/json_upload.h"
#include "support/check_main.h"
#include "support/rng.h"
#include "upload_cases.h"
#include "upload_sink.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARAMETERS_MAX = 8, RENDERED_BYTES = 8192, LONG_BYTES = 1 << 18 };

static const srv_args_limits limits = {.rows = 100, .columns = 64};

/* Text that is appended to; too much of it fails the test. */
typedef struct rendered {
    char text[RENDERED_BYTES];
    size_t n;
} rendered;

__attribute__((format(printf, 2, 3))) static void put(rendered *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(r->text + r->n, sizeof r->text - r->n, format, args);
    va_end(args);
    ck_assert(n >= 0 && (size_t)n < sizeof r->text - r->n);
    r->n += (size_t)n;
}

static void put_labels(rendered *r, const upload_sink *sink)
{
    const unsigned char *c = (const unsigned char *)sink->text;
    for (size_t i = 0; i < sink->labels; i++, c++) {
        put(r, " <");
        for (; *c; c++)
            put(r, *c < 0x20 || *c >= 0x7f || *c == '\\' ? "\\x%02x" : "%c", *c);
        put(r, ">");
    }
}

/* As upload_cases.h has it. */
static void render(rendered *r, hop_status status, const upload_sink *sink, const hop_error *error)
{
    r->n = 0;
    if (status != HOP_OK) {
        ck_assert_int_eq(error->status, status);
        put(r, "%s %lld %lld %lld %.17g %.17g: %s", hop_status_word(status), (long long)error->row,
            (long long)error->column, (long long)error->byte, error->limit, error->actual, error->text);
        return;
    }
    const srv_json_upload_result *o = &sink->result;
    ck_assert_uint_eq(sink->numbers[0], o->M * o->d);
    ck_assert_uint_eq(sink->numbers[1], o->M * o->p);
    ck_assert_uint_eq(sink->labels, o->labels ? o->M : 0);
    put(r, "ok %zu %zu %zu", o->M, o->d, o->p);
    for (unsigned which = 0; which < 2; which++) {
        put(r, ";");
        for (size_t i = 0; i < sink->numbers[which]; i++)
            put(r, " %.9g", (double)sink->rows[which][i]);
    }
    put(r, ";");
    put_labels(r, sink);
    put(r, "; %.17g %.17g %d %s", o->options.beta, o->options.max_error, o->options.max_degree,
        hop_similarity_word(o->options.similarity));
}

/* Parameters "a=1&b=2", in place. */
static size_t split(char *query, srv_parameter *parameters)
{
    size_t n = 0;
    for (char *pair; (pair = strsep(&query, "&")) != NULL;) {
        char *equals = strchr(pair, '=');
        if (!equals)
            continue;
        *equals = '\0';
        ck_assert_uint_lt(n, PARAMETERS_MAX);
        parameters[n++] = (srv_parameter){pair, equals + 1};
    }
    return n;
}

static void check_cuts(const struct upload_case *c, upload_cuts cuts)
{
    size_t n = c->bytes > 0 ? c->bytes : strlen(c->body);
    char *query = strdup(c->query);
    srv_parameter parameters[PARAMETERS_MAX];
    size_t n_parameters = split(query, parameters);
    upload_sink sink = {.calls_left = -1};
    hop_error error;
    hop_status status =
        upload_sink_read(&sink, SRV_JSON_SET, &limits, c->body, n, cuts, parameters, n_parameters, &error);
    rendered r;
    render(&r, status, &sink, &error);
    ck_assert_msg(strcmp(r.text, c->expected) == 0, "%s ? %s, cut at %zu and every %zu:\n%s\n%s expected", c->body,
                  c->query, cuts.first, cuts.step, r.text, c->expected);
    upload_sink_fini(&sink);
    free(query);
}

enum { CASES = sizeof upload_cases / sizeof *upload_cases };

START_TEST(whole_bodies)
{
    for (size_t i = 0; i < CASES; i++)
        check_cuts(&upload_cases[i], UPLOAD_WHOLE);
}
END_TEST

START_TEST(every_cut_in_two)
{
    for (size_t i = 0; i < CASES; i++) {
        size_t n = upload_cases[i].bytes > 0 ? upload_cases[i].bytes : strlen(upload_cases[i].body);
        for (size_t cut = 1; cut < n; cut++)
            check_cuts(&upload_cases[i], (upload_cuts){.first = cut, .step = SIZE_MAX});
    }
}
END_TEST

START_TEST(byte_by_byte_and_by_chance)
{
    for (size_t i = 0; i < CASES; i++) {
        for (size_t step = 1; step <= 3; step++)
            check_cuts(&upload_cases[i], (upload_cuts){.first = step, .step = step});
        for (uint64_t seed = 1; seed <= 20; seed++)
            check_cuts(&upload_cases[i], (upload_cuts){.first = 1, .step = 16, .seed = seed});
    }
}
END_TEST

/* ---- what is long -------------------------------------------------------------------------------------- */

/* The same outcome for several cuts of the n bytes; the first one's is left in *r. */
static void check_long(const char *body, size_t n, const srv_args_limits *most, rendered *r)
{
    static const upload_cuts cuts[] = {{SIZE_MAX, SIZE_MAX, 0}, {1, 65536, 0}, {7, 1000, 0}, {1, 1, 0}, {1, 5000, 99}};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        upload_sink sink = {.calls_left = -1};
        hop_error error;
        hop_status status = upload_sink_read(&sink, SRV_JSON_SET, most, body, n, cuts[i], NULL, 0, &error);
        rendered again;
        render(i == 0 ? r : &again, status, &sink, &error);
        if (i > 0)
            ck_assert_str_eq(again.text, r->text);
        upload_sink_fini(&sink);
    }
}

/* head, n times the character, tail */
static size_t compose(char *out, const char *head, char c, size_t n, const char *tail)
{
    size_t length = strlen(head);
    memcpy(out, head, length);
    memset(out + length, c, n);
    strcpy(out + length + n, tail);
    return length + n + strlen(tail);
}

static void check_composed(const char *head, char c, size_t n, const char *tail, const char *expected)
{
    char *text = malloc(LONG_BYTES);
    ck_assert_uint_lt(strlen(head) + n + strlen(tail), LONG_BYTES);
    rendered r;
    check_long(text, compose(text, head, c, n, tail), &limits, &r);
    ck_assert_msg(strncmp(r.text, expected, strlen(expected)) == 0, "%s%zu times '%c'%s: %s", head, n, c, tail, r.text);
    free(text);
}

START_TEST(long_labels_and_names)
{
    char *text = malloc(LONG_BYTES);
    upload_sink sink = {.calls_left = -1};
    hop_error error;
    size_t n = compose(text, "{\"memories\":[[1]],\"labels\":[\"", 'x', SRV_LABEL_BYTES, "\"]}");
    ck_assert_int_eq(upload_sink_read(&sink, SRV_JSON_SET, &limits, text, n, (upload_cuts){.first = 500, .step = 300},
                                      NULL, 0, &error),
                     HOP_OK);
    ck_assert_uint_eq(strlen(sink.text), SRV_LABEL_BYTES);
    upload_sink_fini(&sink);
    free(text);
    check_composed("{\"memories\":[[1]],\"labels\":[\"", 'x', SRV_LABEL_BYTES + 1, "\"]}",
                   "limit 0 -1 -1 1024 1025: labels: entry 0 has 1025 bytes, the limit is 1024");
    check_composed("{\"memories\":[[1],[2]],\"labels\":[\"a\",\"", 'x', 100000, "\"]}", "limit 1 -1 -1 1024 100000: ");
    check_composed("{\"memories\":[[1]],\"labels\":[\"", 'x', 100000, "\n", "format -1 -1 100029 nan nan: ");
    check_composed("{\"memories\":[[1]],\"", 'x', 300, "\":1}", "format -1 -1 -1 nan nan: unknown field `xxxx");
    check_composed("{\"memories\":[[1]],\"", 'x', 100000, "\":1}",
                   "format -1 -1 -1 65536 100019: malformed JSON: more than 65536 bytes outside the arrays (byte 17)");
}
END_TEST

START_TEST(long_small_members)
{
    check_composed("{\"memories\":[[1]],\"similarity\":\"", 'x', 5000, "\"}",
                   "format -1 -1 31 nan nan: the value at byte 31 is longer than 4096 bytes, which no option is");
    check_composed("{\"similarity\":\"", 'x', 200000, "\",\"memories\":[[1]],\"beta\":1,\"beta\":2}",
                   "format -1 -1 200048 nan nan: malformed JSON: duplicate object key");
    check_composed("{\"similarity\":\"", 'x', 4000, "\",\"memories\":[[1]]}", "unknown -1 -1 -1 nan nan: ");
    check_composed("{\"memories\":[[1]],\"y\":[", '1', 70000, "]}", "format -1 -1 -1 nan nan: unknown field `y`");
    check_composed("{\"memories\":[[1]],\"memories\":\"", 'x', 70000, "\"}",
                   "format -1 -1 18 nan nan: malformed JSON: `me");
    check_composed("{\"values\":\"", 'x', 70000, "\"}", "format -1 -1 -1 65536 70013: malformed JSON: more than 65536");
    check_composed("{", ' ', 100000, "\"memories\":[[1]]}", "format -1 -1 -1 65536 100012: malformed JSON: more than");
    check_composed("{\"memories\":[[1]]}", ' ', 100000, "", "ok 1 1 0; 1");
    check_composed("{\"memories\":[[1", ' ', 100000, "]]}", "ok 1 1 0; 1");
    check_composed("{\"memories\":[[1]],\"y\":", '[', 100000, "",
                   "format -1 -1 37 nan nan: malformed JSON: nested deeper");

    char text[4096] = "{\"memories\":[[1]]", large[256 * 16];
    memset(large, 'x', sizeof large);
    rendered r;
    char *long_text = malloc(LONG_BYTES);
    size_t n = strlen(strcpy(long_text, text));
    for (int i = 0; i < SRV_ENVELOPE_GAPS; i++)
        n += (size_t)sprintf(long_text + n, ",\"%d\":\"%.*sx\"", i, (int)sizeof large, large);
    strcpy(long_text + n, "}");
    check_long(long_text, n + 1, &limits, &r);
    ck_assert_msg(strncmp(r.text, "format -1 -1 61588 nan nan: malformed JSON: too many large values", 60) == 0, "%s",
                  r.text);
    free(long_text);
}
END_TEST

START_TEST(long_numbers)
{
    check_composed("{\"memories\":[[0.", '3', SRV_NUMBER_BYTES - 2, ",1]]}", "ok 1 2 0; 0.333333343 1");
    check_composed(
        "{\"memories\":[[7],[0.", '3', SRV_NUMBER_BYTES - 1, ",1]]}",
        "format 1 0 18 nan nan: memories: row 1, column 0: the number is longer than 32768 characters (byte 18)");
    check_composed("{\"memories\":[[", '3', 200000, "",
                   "format 0 0 14 nan nan: memories: row 0, column 0: the number is longer");
    check_composed("{\"memories\":[[0", '3', 200000, "",
                   "format 0 0 15 nan nan: memories: row 0, column 0: not a number in JSON at '3'");
    check_composed("{\"memories\":[[1e", '3', 100000, "x",
                   "format 0 0 14 nan nan: memories: row 0, column 0: the number is longer");
    check_composed("{\"memories\":[[1.", '3', 1000, "-",
                   "format 0 -1 1016 nan nan: memories: row 0: ',' or ']' expected");
}
END_TEST

/* Rows by the thousand are given in batches, and are all there, in order, whatever the order of the members. */
START_TEST(many_rows)
{
    enum { ROWS = 3000, COLUMNS = 7 };
    static const srv_args_limits most = {.rows = ROWS, .columns = COLUMNS};
    char *text = malloc(ROWS * COLUMNS * 2 * 12 + ROWS * 32);
    for (unsigned order = 0; order < 2; order++) {
        size_t n = 0;
        for (unsigned k = 0; k < 3; k++) {
            unsigned member = order ? 2 - k : k, columns = member == 0 ? COLUMNS : 2;
            static const char *const names[] = {"memories", "values", "labels"};
            n += (size_t)sprintf(text + n, "%c\"%s\":[", k == 0 ? '{' : ',', names[member]);
            for (unsigned i = 0; i < ROWS; i++) {
                n += (size_t)sprintf(text + n, i == 0 ? "" : ",");
                if (member == 2)
                    n += (size_t)sprintf(text + n, "\"row %u\"", i);
                for (unsigned j = 0; member < 2 && j < columns; j++)
                    n += (size_t)sprintf(text + n, "%c%u.5%s", j == 0 ? '[' : ',', 10 * i + j + 1000 * member,
                                         j + 1 == columns ? "]" : "");
            }
            n += (size_t)sprintf(text + n, "]");
        }
        n += (size_t)sprintf(text + n, "}");
        for (uint64_t seed = 0; seed < 4; seed++) {
            upload_sink sink = {.calls_left = -1};
            hop_error error;
            upload_cuts cuts = {.first = seed == 0 ? SIZE_MAX : 1, .step = 40000, .seed = seed};
            ck_assert_msg(upload_sink_read(&sink, SRV_JSON_ROWS, &most, text, n, cuts, NULL, 0, &error) == HOP_OK, "%s",
                          error.text);
            ck_assert(sink.result.M == ROWS && sink.result.d == COLUMNS && sink.result.p == 2 && sink.result.labels);
            const char *label = sink.text;
            for (unsigned i = 0; i < ROWS; i++) {
                char expected[16];
                for (unsigned j = 0; j < COLUMNS; j++)
                    ck_assert(sink.rows[0][i * COLUMNS + j] == (float)(10 * i + j) + 0.5f);
                for (unsigned j = 0; j < 2; j++)
                    ck_assert(sink.rows[1][i * 2 + j] == (float)(10 * i + j + 1000) + 0.5f);
                sprintf(expected, "row %u", i);
                ck_assert_str_eq(label, expected);
                label += strlen(label) + 1;
            }
            upload_sink_fini(&sink);
        }
    }
    free(text);
}
END_TEST

START_TEST(rows_for_a_set_know_no_options)
{
    static const char *const good = "{\"memories\":[[1]],\"labels\":[\"a\"],\"values\":[[2]]}";
    static const char *const bad = "{\"memories\":[[1]],\"beta\":1}";
    upload_sink sink = {.calls_left = -1};
    hop_error error;
    ck_assert_int_eq(upload_sink_read(&sink, SRV_JSON_ROWS, &limits, good, strlen(good), UPLOAD_WHOLE, NULL, 0, &error),
                     HOP_OK);
    upload_sink_fini(&sink);
    sink.calls_left = -1;
    ck_assert_int_eq(upload_sink_read(&sink, SRV_JSON_ROWS, &limits, bad, strlen(bad), UPLOAD_WHOLE, NULL, 0, &error),
                     HOP_E_FORMAT);
    ck_assert_str_eq(error.text, "unknown field `beta`");
    upload_sink_fini(&sink);
}
END_TEST

START_TEST(what_the_sink_refuses_is_refused)
{
    static const char *const body = "{\"memories\":[[1]],\"labels\":[\"a\"],\"values\":[[2]]}";
    for (long calls = 0; calls < 4; calls++) {
        upload_sink sink = {.calls_left = calls};
        hop_error error;
        hop_status status = upload_sink_read(&sink, SRV_JSON_SET, &limits, body, strlen(body),
                                             (upload_cuts){.first = 5, .step = 5}, NULL, 0, &error);
        ck_assert_int_eq(status, calls < 3 ? HOP_E_BUDGET : HOP_OK);
        ck_assert(status == HOP_OK || strcmp(error.text, "the sink is full") == 0);
        upload_sink_fini(&sink);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("json_upload");
    TCase *c = tcase_create("json_upload");
    tcase_add_test(c, whole_bodies);
    tcase_add_test(c, every_cut_in_two);
    tcase_add_test(c, byte_by_byte_and_by_chance);
    tcase_add_test(c, long_labels_and_names);
    tcase_add_test(c, long_small_members);
    tcase_add_test(c, long_numbers);
    tcase_add_test(c, many_rows);
    tcase_add_test(c, rows_for_a_set_know_no_options);
    tcase_add_test(c, what_the_sink_refuses_is_refused);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    srv_json_init();
    return hop_check_main(argc, argv, suite);
}
