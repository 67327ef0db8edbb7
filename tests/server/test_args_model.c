/*
 * test_args_model.c - parameters of the structured modes: every one from `model` and from the query string, their
 * ranges, and that none is read over.
 */
#include "server/args.h"
#include "server/args_model.h"
#include "server/json.h"
#include "support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARAMETERS_MAX = 12 };

/* One query of three numbers in mode `mode`, with more members of the body and a query string "a=1&b=2". */
static hop_status ask(const char *mode, const char *members, const char *query, srv_retrieve_kind kind,
                      srv_retrieve_args *out, hop_error *error)
{
    static const srv_args_limits limits = {.rows = 10, .columns = 8, .array_bytes = 1 << 12};
    char body[512], text[256];
    srv_parameter parameters[PARAMETERS_MAX];
    size_t n = 0;
    snprintf(text, sizeof text, "%s", query);
    char *rest = text;
    for (char *pair; (pair = strsep(&rest, "&")) != NULL;) {
        char *equals = strchr(pair, '=');
        if (!equals)
            continue;
        *equals = '\0';
        parameters[n++] = (srv_parameter){pair, equals + 1};
    }
    int bytes = snprintf(body, sizeof body, "{\"queries\":[[1,2,3]],\"mode\":\"%s\"%s}", mode, members);
    const srv_args_source source = {.media = SRV_MEDIA_JSON,
                                    .body = body,
                                    .body_bytes = (size_t)bytes,
                                    .parameters = parameters,
                                    .n_parameters = n};
    *error = HOP_ERROR_NONE;
    return srv_retrieve_args_read(&source, kind, 3, &limits, out, error);
}

/* What a request comes to, for a mode that takes it. */
static hop_parameters read_parameters(const char *mode, const char *members, const char *query)
{
    srv_retrieve_args args;
    hop_error error;
    ck_assert_msg(ask(mode, members, query, SRV_RETRIEVE, &args, &error) == HOP_OK, "%s %s ? %s: %s", mode, members,
                  query, error.text);
    ck_assert_str_eq(hop_mode_word(args.request.mode), mode);
    srv_retrieve_args_fini(&args);
    return args.request.parameters;
}

START_TEST(what_is_not_given_is_the_default)
{
    static const char *const modes[] = {"auto",   "dense",  "almost_linear",   "top_k",     "random_mask",
                                        "window", "linear", "random_features", "sparsemax", "entmax"};
    hop_parameters defaults;
    hop_parameters_default(&defaults);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        for (size_t j = 0; j < 2; j++) { /* an empty `model` belongs to every mode */
            hop_parameters p = read_parameters(modes[i], j ? ",\"model\":{}" : "", "");
            ck_assert(p.k == defaults.k && p.keep == defaults.keep && p.seed == defaults.seed);
            ck_assert(p.width == defaults.width && p.features == defaults.features && p.alpha == defaults.alpha);
        }
}
END_TEST

START_TEST(every_parameter_in_model_and_in_the_query_string)
{
    for (unsigned i = 0; i < 2; i++) {
        hop_parameters p = read_parameters("top_k", i ? "" : ",\"model\":{\"k\":7}", i ? "k=7" : "");
        ck_assert_uint_eq(p.k, 7);
        p = read_parameters("random_mask", i ? "" : ",\"model\":{\"keep\":0.25,\"seed\":9223372036854775807}",
                            i ? "keep=0.25&seed=9223372036854775807" : "");
        ck_assert(p.keep == 0.25 && p.seed == UINT64_C(9223372036854775807));
        p = read_parameters("window", i ? "" : ",\"model\":{\"width\":0}", i ? "width=0" : "");
        ck_assert_uint_eq(p.width, 0);
        /* Not a double in between: 2^53 + 1 is no f64. */
        p = read_parameters("random_features", i ? "" : ",\"model\":{\"features\":65536,\"seed\":9007199254740993}",
                            i ? "features=65536&seed=9007199254740993" : "");
        ck_assert(p.features == 65536 && p.seed == UINT64_C(9007199254740993));
        p = read_parameters("entmax", i ? "" : ",\"model\":{\"alpha\":1.01}", i ? "alpha=1.01" : "");
        ck_assert(p.alpha == 1.01);
    }
    /* Whole numbers in other spellings, and one place each. */
    hop_parameters p = read_parameters("random_features", ",\"model\":{\"features\":4.0}", "seed=2e3");
    ck_assert(p.features == 4 && p.seed == 2000);
    p = read_parameters("random_mask", ",\"model\":{\"keep\":1,\"seed\":0}", "");
    ck_assert(p.keep == 1 && p.seed == 0);
    p = read_parameters("top_k", ",\"model\":{\"k\":9223372036854775807}", "");
    ck_assert_uint_eq(p.k, INT64_MAX);
}
END_TEST

typedef struct wrong {
    const char *mode, *members, *query;
    hop_status status;
    const char *words;
} wrong;

START_TEST(wrong_parameters)
{
    static const wrong cases[] = {
        {"top_k", ",\"model\":{\"keep\":0.5}", "", HOP_E_FORMAT,
         "`keep` belongs to mode random_mask: mode top_k takes k"},
        {"top_k", "", "keep=0.5", HOP_E_FORMAT, "`keep` belongs to mode random_mask: mode top_k takes k"},
        {"window", ",\"model\":{\"seed\":1}", "", HOP_E_FORMAT,
         "`seed` belongs to mode random_mask and random_features: mode window takes width"},
        {"linear", ",\"model\":{\"features\":4}", "", HOP_E_FORMAT, "mode linear takes no parameters"},
        {"random_mask", ",\"model\":{\"k\":4}", "", HOP_E_FORMAT, "mode random_mask takes keep and seed"},
        {"auto", ",\"model\":{\"k\":4}", "", HOP_E_FORMAT, "`k` belongs to mode top_k: mode auto takes no parameters"},
        {"dense", "", "alpha=1.5", HOP_E_FORMAT, "`alpha` belongs to mode entmax: mode dense takes no parameters"},
        {"top_k", ",\"model\":{\"kk\":4}", "", HOP_E_FORMAT, "unknown member `kk` of `model`: mode top_k takes k"},
        {"top_k", ",\"k\":4", "", HOP_E_FORMAT, "unknown field `k`"},
        {"top_k", ",\"model\":null", "", HOP_E_FORMAT, "`model` must be an object, not null"},
        {"top_k", ",\"model\":3", "", HOP_E_FORMAT, "`model` must be an object, not a number"},
        {"top_k", ",\"model\":[3]", "", HOP_E_FORMAT, "`model` must be an object, not a list"},
        {"top_k", "", "model=3", HOP_E_FORMAT, "unknown query parameter `model`"},
        {"top_k", ",\"model\":{\"k\":4}", "k=4", HOP_E_FORMAT, "`k` is given both in the body and in the query string"},
        {"top_k", "", "k=4&k=4", HOP_E_FORMAT, "`k` comes twice"},
        {"top_k", ",\"model\":{\"k\":4,\"k\":4}", "", HOP_E_FORMAT, "duplicate"},
        {"top_k", ",\"model\":{\"k\":0}", "", HOP_E_DOMAIN, "k must be 1 to 9223372036854775807, not 0"},
        {"top_k", "", "k=-1", HOP_E_DOMAIN, "k must be 1 to"},
        {"top_k", ",\"model\":{\"k\":1.5}", "", HOP_E_FORMAT, "`k` must be a whole number"},
        {"top_k", ",\"model\":{\"k\":\"3\"}", "", HOP_E_FORMAT, "`k` must be a whole number, not a string"},
        {"top_k", "", "k=9223372036854775808", HOP_E_FORMAT, "`k` must be a whole number"},
        {"top_k", "", "k=", HOP_E_FORMAT, "`k` must be a number"},
        {"random_mask", ",\"model\":{\"keep\":0}", "", HOP_E_DOMAIN, "keep must be above 0 and at most 1, not 0"},
        {"random_mask", ",\"model\":{\"keep\":1.5}", "", HOP_E_DOMAIN, "keep must be above 0 and at most 1, not 1.5"},
        {"random_mask", "", "keep=1.0000001", HOP_E_DOMAIN, "keep must be above 0 and at most 1, not 1.0000001"},
        {"random_mask", "", "keep=-0.1", HOP_E_DOMAIN, "keep must be above 0"},
        {"random_mask", "", "keep=nan", HOP_E_FORMAT, "`keep` must be a number"},
        {"random_mask", ",\"model\":{\"seed\":-1}", "", HOP_E_DOMAIN, "seed must be 0 to 9223372036854775807, not -1"},
        {"random_mask", ",\"model\":{\"seed\":9223372036854775808}", "", HOP_E_FORMAT, "too big"},
        {"random_mask", "", "seed=18446744073709551616", HOP_E_FORMAT, "`seed` must be a whole number"},
        {"random_mask", "", "seed=01", HOP_E_FORMAT, "`seed` must be a number"},
        {"window", ",\"model\":{\"width\":-1}", "", HOP_E_DOMAIN, "width must be 0 to"},
        {"random_features", ",\"model\":{\"features\":0}", "", HOP_E_DOMAIN, "features must be 1 to 65536, not 0"},
        {"random_features", "", "features=65537", HOP_E_DOMAIN, "features must be 1 to 65536, not 65537"},
        {"entmax", ",\"model\":{\"alpha\":1}", "", HOP_E_DOMAIN, "alpha must be at least 1.01 and at most 2, not 1"},
        {"entmax", "", "alpha=2.5", HOP_E_DOMAIN, "alpha must be at least 1.01 and at most 2, not 2.5"},
        {"entmax", "", "alpha=1.0099999999", HOP_E_DOMAIN,
         "alpha must be at least 1.01 and at most 2, not 1.0099999999"},
        {"entmax", ",\"model\":{\"alpha\":true}", "", HOP_E_FORMAT, "`alpha` must be a number, not a boolean"},
        {"softmax1", "", "", HOP_E_UNKNOWN, "softmax1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const wrong *w = &cases[i];
        srv_retrieve_args args = {.L = 77};
        hop_error error;
        hop_status status = ask(w->mode, w->members, w->query, SRV_RETRIEVE, &args, &error);
        ck_assert_msg(status == w->status && strstr(error.text, w->words), "%s%s ? %s: %s: %s", w->mode, w->members,
                      w->query, hop_status_word(status), error.text);
        ck_assert_uint_eq(args.L, 77); /* outputs are written on success only */
    }
}
END_TEST

START_TEST(energies_and_plans_are_of_no_structured_mode)
{
    static const srv_retrieve_kind kinds[] = {SRV_ENERGY, SRV_PLAN};
    srv_retrieve_args args;
    hop_error error;
    for (unsigned i = 0; i < 2; i++) {
        for (hop_mode mode = HOP_TOP_K; mode < HOP_MODES; mode++) {
            ck_assert_int_eq(ask(hop_mode_word(mode), "", "", kinds[i], &args, &error), HOP_E_DOMAIN);
            ck_assert_ptr_nonnull(strstr(error.text, "is a model of its own, for retrieve"));
        }
        ck_assert_int_eq(ask("dense", "", "", kinds[i], &args, &error), HOP_OK);
        srv_retrieve_args_fini(&args);
    }
    ck_assert_int_eq(ask("dense", ",\"model\":{}", "", SRV_ENERGY, &args, &error), HOP_E_FORMAT);
}
END_TEST

START_TEST(names_are_those_of_their_modes)
{
    size_t n = 0;
    for (hop_mode mode = HOP_AUTO; mode < HOP_MODES; mode++)
        for (const char *const *name = srv_model_names(mode); *name; name++)
            n++;
    ck_assert_uint_eq(n, 7); /* six, seed twice */
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("args_model");
    TCase *c = tcase_create("args_model");
    tcase_add_test(c, what_is_not_given_is_the_default);
    tcase_add_test(c, every_parameter_in_model_and_in_the_query_string);
    tcase_add_test(c, wrong_parameters);
    tcase_add_test(c, energies_and_plans_are_of_no_structured_mode);
    tcase_add_test(c, names_are_those_of_their_modes);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    srv_json_init();
    return hop_check_main(argc, argv, suite);
}
