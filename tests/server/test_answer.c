/*
 * test_answer.c - answers as text: what they say about rows, that bounds keep their promise, that sizes are upper ones.
 */
#include "server/api_answer.h"
#include "server/api_sets.h"
#include "server/json.h"
#include "store/builder.h"
#include "store/npy.h"
#include "support/check_main.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { L = 4, M = 3, D = 2, TEXT_BYTES = 1 << 20 };

/* A set of three labelled memories, one query of four rows, and an answer whose arrays the tests fill. */
typedef struct answers {
    store_budget budget;
    srv_query query;
    srv_request request;
    srv_text text;
    float x[L * D], z[L * D], weights[L * M];
    double error_bound[L], energy[L], energy_bound[L], log_sum_exp[L], log_sum_exp_bound[L], support[L];
    double top_weight[L * M];
    uint64_t top_id[L * M];
    int degree[L];
    hop_fallback fallback[L];
    unsigned steps[L];
    hop_answer answer;
} answers;

static void open_answers(answers *a, bool labelled)
{
    static const float rows[M * D] = {1, 0, 0, 1, 1, 1};
    static const char *const labels[M] = {"a", "quote \" and \xc3\xa9", ""};
    memset(a, 0, sizeof *a);
    store_builder *builder = NULL;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_int_eq(hop_isa_choose(NULL, &error), HOP_OK);
    store_budget_init(&a->budget, 1 << 20);
    ck_assert_int_eq(store_builder_new(&a->budget, M, D, 0, HOP_DOT, &builder, &error), HOP_OK);
    ck_assert_int_eq(store_builder_add(builder, M, rows, NULL, &error), HOP_OK);
    if (labelled)
        ck_assert_int_eq(store_builder_label(builder, M, labels, &error), HOP_OK);
    ck_assert_msg(store_builder_finish(builder, &STORE_OPTIONS_DEFAULT, NULL, &a->query.set, &error) == HOP_OK, "%s",
                  error.text);
    store_builder_free(builder);
    strcpy(a->query.set->name, "s");
    a->query.set->version = 7;
    a->query.L = L;
    a->query.x = a->x;
    a->query.request = (hop_request){.beta = 0.1, .max_error = 1e-3, .mode = HOP_AUTO, .steps = 1};
    a->answer = (hop_answer){
        .z = a->z,
        .error_bound = a->error_bound,
        .degree = a->degree,
        .fallback = a->fallback,
        .energy = a->energy,
        .energy_bound = a->energy_bound,
        .log_sum_exp = a->log_sum_exp,
        .log_sum_exp_bound = a->log_sum_exp_bound,
        .top_id = a->top_id,
        .top_weight = a->top_weight,
        .support = a->support,
        .weights = a->weights,
        .steps = a->steps,
    };
    srv_text_init(&a->text, TEXT_BYTES);
}

static void close_answers(answers *a)
{
    srv_text_fini(&a->text);
    store_set_release(a->query.set);
    ck_assert_uint_eq(store_budget_reserved(&a->budget), 0);
}

static const char *write_json(answers *a)
{
    srv_text_fini(&a->text);
    srv_text_init(&a->text, TEXT_BYTES);
    srv_answer_write_json(&a->request, &a->query, &a->answer, &a->text);
    ck_assert(!a->text.failed);
    return a->text.data;
}

static void assert_says(answers *a, const char *part)
{
    const char *json = write_json(a);
    ck_assert_msg(strstr(json, part) != NULL, "no %s in %s", part, json);
}

START_TEST(modes_and_fallbacks_follow_the_rows)
{
    answers a;
    open_answers(&a, false);
    for (size_t l = 0; l < L; l++)
        a.degree[l] = 3;
    assert_says(&a, "\"mode\":\"almost_linear\",\"degree\":[3,3,3,3],\"dense_rows\":[],\"fallback\":null");
    a.degree[1] = a.degree[2] = a.degree[3] = 0;
    a.fallback[1] = HOP_FALLBACK_COST;
    a.fallback[2] = a.fallback[3] = HOP_FALLBACK_BOUND;
    assert_says(&a, "\"mode\":\"mixed\",\"degree\":[3,0,0,0],\"dense_rows\":[1,2,3],\"fallback\":\"bound\"");
    a.fallback[2] = HOP_FALLBACK_COST;
    assert_says(&a, "\"fallback\":\"cost\"");
    a.degree[0] = 0;
    a.fallback[0] = HOP_FALLBACK_COST;
    assert_says(&a, "\"mode\":\"dense\",\"degree\":[0,0,0,0],\"dense_rows\":[0,1,2,3],\"fallback\":\"cost\"");

    /* Asked for dense: nothing fell back. No degree had a bound: the answer is still the almost-linear one. */
    a.query.request.mode = HOP_DENSE;
    assert_says(&a, "\"mode\":\"dense\",\"degree\":[0,0,0,0],\"dense_rows\":[],\"fallback\":null");
    a.query.request.mode = HOP_ALMOST_LINEAR;
    for (size_t l = 0; l < L; l++)
        a.degree[l] = -1;
    assert_says(&a, "\"mode\":\"almost_linear\",\"degree\":[-1,-1,-1,-1],\"dense_rows\":[]");
    close_answers(&a);
}
END_TEST

START_TEST(bounds_are_rounded_up_but_not_over_max_error)
{
    answers a;
    open_answers(&a, false);
    a.error_bound[0] = 1.2345e-5;
    a.error_bound[1] = nextafter(1e-3, 0); /* 1e-3 itself would be over: it is under max_error, and stays so */
    a.error_bound[2] = 1e-3;
    a.error_bound[3] = 0;
    a.query.request.max_error = nextafter(1e-3, 1);
    const char *json = write_json(&a);
    const char *at = strstr(json, "\"error_bound\":[");
    ck_assert_ptr_nonnull(at);
    at += strlen("\"error_bound\":[");
    for (size_t l = 0; l < L; l++) {
        char *end;
        double bound = strtod(at, &end);
        ck_assert_double_ge(bound, a.error_bound[l]);
        ck_assert_double_le(bound, a.query.request.max_error);
        at = end + 1;
    }
    char largest[SRV_BOUND_TEXT_BYTES];
    a.query.request.max_error = a.error_bound[1] = 0.0012345678901234;
    srv_answer_bound_max(&a.query, &a.answer, largest);
    ck_assert_double_eq(strtod(largest, NULL), a.error_bound[1]);
    close_answers(&a);
}
END_TEST

START_TEST(structured_modes_say_what_they_are)
{
    static const struct {
        hop_mode mode;
        const char *words;
    } cases[] = {
        {HOP_TOP_K,
         "\"bound_against\":\"dense\",\"mode\":\"top_k\",\"model\":{\"k\":32},\"degree\":[null,null,null,null]"},
        {HOP_RANDOM_MASK,
         "\"bound_against\":null,\"mode\":\"random_mask\",\"model\":{\"keep\":0.1,\"seed\":18446744073709551615}"},
        {HOP_WINDOW, "\"mode\":\"window\",\"model\":{\"width\":2},\"degree\":[null,null,null,null]"},
        {HOP_LINEAR,
         "\"mode\":\"linear\",\"model\":{},\"degree\":[null,null,null,null],\"dense_rows\":[],\"fallback\":null"},
        {HOP_RANDOM_FEATURES,
         "\"model\":{\"features\":6,\"seed\":18446744073709551615},\"degree\":[null,null,null,null],"
         "\"standard_error\":[0.25,0.5,0,1],"},
        {HOP_SPARSEMAX, "\"bound_against\":\"model\",\"mode\":\"sparsemax\",\"model\":{}"},
        {HOP_ENTMAX, "\"bound_against\":\"model\",\"mode\":\"entmax\",\"model\":{\"alpha\":1.5}"},
    };
    answers a;
    open_answers(&a, false);
    double standard_error[L] = {0.25, 0.5, 0, 1};
    size_t top_count[L] = {2, 0, 1, 3};
    a.answer.standard_error = standard_error;
    a.answer.top_count = top_count;
    a.query.request.max_error = (double)INFINITY;
    a.query.request.top = M;
    hop_parameters_default(&a.query.request.parameters);
    a.query.request.parameters.seed = UINT64_MAX;
    a.query.request.parameters.width = 2;
    a.query.request.parameters.features = 6;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char largest[SRV_BOUND_TEXT_BYTES];
        bool bound = hop_mode_against(cases[i].mode) != HOP_AGAINST_NOTHING;
        bool sums = cases[i].mode == HOP_LINEAR || cases[i].mode == HOP_RANDOM_FEATURES;
        a.query.request.mode = cases[i].mode;
        for (size_t l = 0; l < L; l++)
            a.error_bound[l] = bound ? 0.125 : (double)INFINITY;
        assert_says(&a, cases[i].words);
        assert_says(&a, bound ? "\"error_bound\":[0.125,0.125,0.125,0.125]" : "\"error_bound\":[null,null,null,null]");
        ck_assert_int_eq(srv_answer_bound_max(&a.query, &a.answer, largest), bound);
        ck_assert(!strstr(write_json(&a), "\"sums\"") == !sums);
    }
    /* Fewer memories have a weight than were asked for. */
    a.query.request.mode = HOP_SPARSEMAX;
    a.query.request.want = HOP_WANT_TOP;
    for (size_t i = 0; i < L * M; i++)
        a.top_id[i] = i % M;
    assert_says(&a, "\"top\":[[{\"id\":0,\"label\":null,\"weight\":0},{\"id\":1,\"label\":null,\"weight\":0}],[],[{");
    /* What is estimated is enough. */
    a.query.request.mode = HOP_RANDOM_FEATURES;
    a.query.sums_ms = 12345.678;
    size_t estimate = srv_answer_json_bytes(&a.query);
    ck_assert_uint_le(strlen(write_json(&a)), estimate);
    assert_says(&a, "\"sums\":12345.678}");
    close_answers(&a);
}
END_TEST

START_TEST(asked_for_arrays_are_there_and_others_are_not)
{
    answers a;
    open_answers(&a, true);
    const char *const names[] = {"\"energy\"", "\"log_sum_exp\"", "\"top\"", "\"support\"", "\"weights\"", "\"steps\""};
    const char *json = write_json(&a);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_ptr_null(strstr(json, names[i]));
    a.query.request.top = 2;
    for (size_t l = 0; l < L; l++)
        for (size_t k = 0; k < 2; k++)
            a.top_id[l * 2 + k] = k + l % 2;
    a.top_weight[0] = 0.75;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        a.query.request.want = 1u << i;
        json = write_json(&a);
        for (size_t j = 0; j < sizeof names / sizeof *names; j++)
            ck_assert_msg((strstr(json, names[j]) != NULL) == (i == j), "%s in %s", names[j], json);
    }
    a.query.request.want = HOP_WANT_TOP;
    assert_says(&a,
                "\"top\":[[{\"id\":0,\"label\":\"a\",\"weight\":0.75},{\"id\":1,\"label\":\"quote \\\" and \xc3\xa9\","
                "\"weight\":0}],[{\"id\":1");
    assert_says(&a, "{\"id\":2,\"label\":\"\",\"weight\":0}");
    close_answers(&a);

    open_answers(&a, false);
    a.query.request.want = HOP_WANT_TOP;
    a.query.request.top = 1;
    assert_says(&a, "\"top\":[[{\"id\":0,\"label\":null,\"weight\":0}]");
    close_answers(&a);
}
END_TEST

/* Every number as long as numbers get: the estimate must still be above. */
START_TEST(size_estimates_are_upper_bounds)
{
    answers a;
    open_answers(&a, false);
    a.query.request.want =
        HOP_WANT_ENERGY | HOP_WANT_LOG_SUM_EXP | HOP_WANT_TOP | HOP_WANT_SUPPORT | HOP_WANT_WEIGHTS | HOP_WANT_STEPS;
    a.query.request.top = M;
    a.query.request.beta = -1.2345678901234567e-300;
    for (size_t l = 0; l < L; l++) {
        a.energy[l] = a.log_sum_exp[l] = a.support[l] = -1.2345678901234567e-300;
        a.energy_bound[l] = a.log_sum_exp_bound[l] = a.error_bound[l] = 1.2345678901234567e-300;
        a.degree[l] = -1;
        a.steps[l] = 64;
        a.fallback[l] = HOP_FALLBACK_BUILDING;
        for (size_t j = 0; j < D; j++)
            a.z[l * D + j] = -1.17549421e-38f;
        for (size_t mu = 0; mu < M; mu++) {
            a.weights[l * M + mu] = -1.17549421e-38f;
            a.top_weight[l * M + mu] = -1.2345678901234567e-300;
            a.top_id[l * M + mu] = mu;
        }
    }
    write_json(&a);
    ck_assert_uint_le(a.text.used, srv_answer_json_bytes(&a.query));
    ck_assert_uint_le(srv_answer_energy_bytes(&a.query), srv_answer_json_bytes(&a.query));
    srv_text_fini(&a.text);
    srv_text_init(&a.text, TEXT_BYTES);
    srv_answer_write_energy(&a.request, &a.query, &a.answer, &a.text);
    ck_assert_uint_le(a.text.used, srv_answer_energy_bytes(&a.query));

    hop_plan plans[L];
    for (size_t l = 0; l < L; l++) {
        plans[l] = (hop_plan){.mode = HOP_ALMOST_LINEAR,
                              .degree = 31,
                              .fallback = HOP_FALLBACK_BUILDING,
                              .predicted_seconds = 1e9,
                              .radius = 1.2345678901234567e-300,
                              .n = HOP_PLAN_CANDIDATES};
        for (int k = 0; k < HOP_PLAN_CANDIDATES; k++)
            plans[l].candidates[k] = (hop_candidate){.degree = k,
                                                     .predicted_seconds = 1e9,
                                                     .predicted_bound = 1.2345678901234567e-300,
                                                     .reason = HOP_REASON_MAX_DEGREE};
    }
    srv_text_fini(&a.text);
    srv_text_init(&a.text, TEXT_BYTES);
    srv_answer_write_plans(&a.query, plans, &a.text);
    ck_assert_uint_le(a.text.used, srv_answer_plan_bytes(&a.query));

    a.query.L = SIZE_MAX / 8;
    ck_assert_uint_eq(srv_answer_json_bytes(&a.query), SIZE_MAX);
    ck_assert_uint_eq(srv_answer_energy_bytes(&a.query), SIZE_MAX);
    ck_assert_uint_eq(srv_answer_plan_bytes(&a.query), SIZE_MAX);
    ck_assert_uint_eq(srv_answer_npy_bytes(&a.query), SIZE_MAX);
    close_answers(&a);
}
END_TEST

START_TEST(npy_is_z_alone)
{
    answers a;
    open_answers(&a, false);
    for (size_t i = 0; i < L * D; i++)
        a.z[i] = (float)i + 0.5f;
    ck_assert(srv_answer_write_npy(&a.query, &a.answer, &a.text));
    ck_assert_uint_eq(a.text.used, srv_answer_npy_bytes(&a.query));
    store_npy_header header;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_msg(store_npy_header_parse(a.text.data, a.text.used, false, &header, &error) == HOP_OK, "%s", error.text);
    ck_assert_uint_eq(header.rows, L);
    ck_assert_uint_eq(header.columns, D);
    ck_assert_int_eq(store_npy_check_length(&header, a.text.used, &error), HOP_OK);
    ck_assert_mem_eq(a.text.data + header.header_bytes, a.z, sizeof a.z);

    srv_text_fini(&a.text);
    srv_text_init(&a.text, 64);
    ck_assert(!srv_answer_write_npy(&a.query, &a.answer, &a.text));
    close_answers(&a);
}
END_TEST

static srv_json *read_back(const answers *a)
{
    const srv_envelope whole = {.text = a->text.data, .n = a->text.used, .oversize = -1};
    srv_json *json = NULL;
    hop_error error = HOP_ERROR_NONE;
    ck_assert_msg(srv_json_parse(&whole, &json, &error) == HOP_OK, "%s: %s", error.text, a->text.data);
    return json;
}

START_TEST(documents_are_json)
{
    answers a;
    open_answers(&a, true);
    srv_json *json = NULL;
    hop_error error = HOP_ERROR_NONE;
    int64_t version = 0;
    double number = 0;

    a.query.request.want = HOP_WANT_TOP | HOP_WANT_ENERGY;
    a.query.request.top = 1;
    write_json(&a);
    json = read_back(&a);
    ck_assert_int_eq(srv_json_integer(json, "version", &version, &error), HOP_OK);
    ck_assert_int_eq(version, 7);
    ck_assert_int_eq(srv_json_number(json, "beta", &number, &error), HOP_OK);
    ck_assert_double_eq(number, 0.1); /* an f64, never narrowed */
    srv_json_free(json);

    hop_plan plans[L] = {0};
    for (size_t l = 0; l < L; l++) {
        plans[l].mode = HOP_DENSE;
        plans[l].n = 2;
        plans[l].candidates[1].degree = 1;
        plans[l].candidates[1].predicted_bound = (double)INFINITY;
    }
    srv_text_fini(&a.text);
    srv_text_init(&a.text, TEXT_BYTES);
    srv_answer_write_plans(&a.query, plans, &a.text);
    json = read_back(&a);
    ck_assert_ptr_nonnull(strstr(a.text.data, "\"predicted_bound\":null,\"meets\":false"));
    srv_json_free(json);

    srv_text_fini(&a.text);
    srv_text_init(&a.text, TEXT_BYTES);
    srv_set_write_description(a.query.set, &a.text);
    json = read_back(&a);
    ck_assert_int_eq(srv_json_number(json, "max_error", &number, &error), HOP_OK);
    ck_assert_double_eq(number, a.query.set->max_error);
    srv_json_free(json);
    close_answers(&a);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("answer");
    TCase *text = tcase_create("text");
    tcase_add_test(text, modes_and_fallbacks_follow_the_rows);
    tcase_add_test(text, structured_modes_say_what_they_are);
    tcase_add_test(text, bounds_are_rounded_up_but_not_over_max_error);
    tcase_add_test(text, asked_for_arrays_are_there_and_others_are_not);
    tcase_add_test(text, size_estimates_are_upper_bounds);
    tcase_add_test(text, npy_is_z_alone);
    tcase_add_test(text, documents_are_json);
    suite_add_tcase(suite, text);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
