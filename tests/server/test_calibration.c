/*
 * test_calibration.c - the cost cache: what was written is read back, and anything else is refused.
 */
#include "server/calibration.h"
#include "server/config.h"
#include "server/file.h"
#include "support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char cpu[] = "A CPU of 2026 @ 3 GHz";
static hop_error error;

static void write_costs(const hop_costs *costs, char *out, size_t bytes)
{
    srv_text text;
    srv_text_init(&text, bytes - 1);
    srv_costs_write(costs, cpu, &text);
    ck_assert(!text.failed);
    memcpy(out, text.data, text.used + 1);
    srv_text_fini(&text);
}

static hop_status parse(const char *text, hop_costs *out)
{
    error = HOP_ERROR_NONE;
    return srv_costs_parse(text, cpu, out, &error);
}

START_TEST(what_was_written_is_read_back)
{
    hop_costs costs, back;
    char text[8192];
    hop_costs_built_in(&costs);
    for (int i = 0; i < HOP_COSTS; i++)
        costs.seconds[i] *= 1.0 + 1.0 / (3 + i);
    write_costs(&costs, text, sizeof text);
    ck_assert_msg(parse(text, &back) == HOP_OK, "%s", error.text);
    ck_assert_mem_eq(&costs, &back, sizeof costs);
}
END_TEST

START_TEST(another_origin_is_refused)
{
    hop_costs costs, back;
    char text[8192];
    hop_costs_built_in(&costs);
    write_costs(&costs, text, sizeof text);
    ck_assert(srv_costs_parse(text, "another CPU", &back, &error) == HOP_E_DOMAIN);
    ck_assert(parse(strchr(text, ' '), &back) == HOP_E_FORMAT);
    char *isa = strstr(text, "isa ");
    isa[4] = '?';
    ck_assert(parse(text, &back) == HOP_E_DOMAIN);
    ck_assert_ptr_nonnull(strstr(error.text, "another"));
}
END_TEST

/* Cut anywhere, or with any byte of the numbers' part changed, it is refused or still a set of costs. */
START_TEST(damage_never_makes_a_cost_that_is_none)
{
    hop_costs costs, back;
    char text[8192], broken[8192];
    hop_costs_built_in(&costs);
    write_costs(&costs, text, sizeof text);
    size_t n = strlen(text);
    for (size_t cut = 0; cut < n; cut++) {
        memcpy(broken, text, cut);
        broken[cut] = '\0';
        ck_assert_msg(parse(broken, &back) != HOP_OK, "cut at %zu of %zu", cut, n);
    }
    for (size_t at = 0; at < n; at++) {
        for (const char *c = "9-e.\nx "; *c; c++) {
            memcpy(broken, text, n + 1);
            broken[at] = *c;
            if (parse(broken, &back) != HOP_OK)
                continue;
            for (int i = 0; i < HOP_COSTS; i++)
                ck_assert(back.seconds[i] >= costs.seconds[i] / 1000 && back.seconds[i] <= costs.seconds[i] * 1000);
        }
    }
    snprintf(broken, sizeof broken, "%sand more\n", text);
    ck_assert(parse(broken, &back) == HOP_E_FORMAT);
}
END_TEST

START_TEST(absurd_costs_are_refused)
{
    hop_costs costs, back;
    char text[8192];
    for (int which = 0; which < HOP_COSTS; which++) {
        for (double factor = 1e-3; factor < 1e5; factor *= 1e6) {
            hop_costs_built_in(&costs);
            costs.seconds[which] *= factor * 1.01;
            write_costs(&costs, text, sizeof text);
            ck_assert(parse(text, &back) == (factor < 1 ? HOP_OK : HOP_E_DOMAIN));
            costs.seconds[which] *= 0.98;
            write_costs(&costs, text, sizeof text);
            ck_assert(parse(text, &back) == (factor < 1 ? HOP_E_DOMAIN : HOP_OK));
        }
    }
    for (int which = 0; which < 2; which++) {
        for (int i = 0; i < HOP_COSTS; i++)
            costs.seconds[i] = which ? 1e-3 : 1e-30;
        write_costs(&costs, text, sizeof text);
        ck_assert(parse(text, &back) == HOP_E_DOMAIN);
    }
}
END_TEST

/* Without measuring, the cache alone decides whose costs are used. */
START_TEST(settling_takes_the_cache_or_leaves_what_is_built_in)
{
    static srv_config config;
    hop_costs costs, now;
    char model[SRV_CPU_MODEL_BYTES];
    srv_cpu_model(model);
    ck_assert(model[0] && !strchr(model, '\n'));
    snprintf(config.cost_cache, sizeof config.cost_cache, "test-costs-%ld", (long)getpid());
    unlink(config.cost_cache);
    ck_assert(srv_costs_settle(&config) == SRV_COSTS_BUILT_IN);
    hop_costs_built_in(&costs);
    costs.seconds[HOP_COST_ROW] = 123e-9;
    srv_text text;
    srv_text_init(&text, 8192);
    srv_costs_write(&costs, model, &text);
    FILE *file = fopen(config.cost_cache, "w");
    ck_assert_ptr_nonnull(file);
    fwrite(text.data, 1, text.used, file);
    fclose(file);
    ck_assert(srv_costs_settle(&config) == SRV_COSTS_CACHE);
    hop_costs_get(&now);
    ck_assert_mem_eq(&now, &costs, sizeof now);
    ck_assert(hop_costs_set(NULL, NULL) == HOP_OK);
    file = fopen(config.cost_cache, "w");
    ck_assert_ptr_nonnull(file);
    fputs("something else\n", file);
    fclose(file);
    ck_assert(srv_costs_settle(&config) == SRV_COSTS_BUILT_IN);
    unlink(config.cost_cache);
    srv_text_fini(&text);
}
END_TEST

static void put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

static void expect_file(const char *path, const char *text)
{
    char found[64] = {0};
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fread(found, 1, sizeof found - 1, file), strlen(text));
    fclose(file);
    ck_assert_str_eq(found, text);
}

/* Measuring or not, a start neither waits for nor changes what it did not write. */
START_TEST(what_is_no_cache_is_left_alone)
{
    static srv_config config;
    char target[64];
    struct stat before, after;
    hop_error cause = HOP_ERROR_NONE;
    config.calibrate = true;
    snprintf(config.cost_cache, sizeof config.cost_cache, "test-foreign-%ld", (long)getpid());
    snprintf(target, sizeof target, "test-target-%ld", (long)getpid());
    const char *path = config.cost_cache;
    static const char *const texts[] = {"", "hopfieldd", "hopfieldd-costsx 1\n", "# my notes\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put_file(path, texts[i]);
        ck_assert(srv_costs_settle(&config) != SRV_COSTS_CACHE);
        expect_file(path, texts[i]);
        ck_assert_int_eq(unlink(path), 0);
    }
    put_file(target, "hopfieldd-costs 0\n");
    for (int kind = 0; kind < 3; kind++) {
        int made = kind == 0 ? symlink(target, path) : kind == 1 ? mkfifo(path, 0600) : mkdir(path, 0700);
        ck_assert_int_eq(made, 0);
        ck_assert_int_eq(lstat(path, &before), 0);
        ck_assert(srv_costs_settle(&config) != SRV_COSTS_CACHE);
        ck_assert(srv_file_replace(path, "x", 1, &cause) == HOP_E_IO);
        ck_assert_int_eq(lstat(path, &after), 0);
        ck_assert(before.st_ino == after.st_ino && before.st_mode == after.st_mode);
        ck_assert_int_eq(remove(path), 0);
    }
    expect_file(target, "hopfieldd-costs 0\n");

    /* An old cache is replaced, by a measurement. */
    ck_assert_int_eq(rename(target, path), 0);
    srv_costs_source source = srv_costs_settle(&config);
    ck_assert(source != SRV_COSTS_CACHE);
    if (source == SRV_COSTS_MEASURED)
        ck_assert(srv_costs_settle(&config) == SRV_COSTS_CACHE);
    unlink(path);
    ck_assert(hop_costs_set(NULL, NULL) == HOP_OK);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("calibration");
    TCase *file = tcase_create("file");
    tcase_add_test(file, what_was_written_is_read_back);
    tcase_add_test(file, another_origin_is_refused);
    tcase_add_test(file, absurd_costs_are_refused);
    tcase_add_test(file, what_is_no_cache_is_left_alone);
    tcase_add_test(file, damage_never_makes_a_cost_that_is_none);
    tcase_add_test(file, settling_takes_the_cache_or_leaves_what_is_built_in);
    suite_add_tcase(suite, file);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
