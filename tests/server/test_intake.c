/*
 * test_intake.c - binary uploads: every format in every cut comes to the same set, and what is wrong is named in the
 * same words, before any row where that can be known, and with every byte of the budget back.
 */
#include "server/intake.h"
#include "server/json.h"
#include "store/npy.h"
#include "store/set.h"
#include "support/check_main.h"
#include "support/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 16384, BUDGET_BYTES = 64 << 20, M = 6, D = 3, P = 2 };

static store_budget budget;

static void set_up(void)
{
    store_budget_init(&budget, BUDGET_BYTES);
}

static void tear_down(void)
{
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
}

/* A body, and what is said of it. */
typedef struct body {
    srv_media media;
    unsigned char bytes[ROOM];
    size_t n;
    const char *query;
    bool chunked;
    const store_set *onto;
} body;

enum { PARAMETERS = 8 };

/* "name=value&..." cut into parameters, in place. */
static size_t cut_query(char *query, srv_parameter parameters[PARAMETERS])
{
    size_t n = 0;
    char *pair;
    while ((pair = strsep(&query, "&")) != NULL && *pair) {
        char *value = pair;
        strsep(&value, "=");
        parameters[n++] = (srv_parameter){pair, value};
    }
    return n;
}

/* What became of a body. */
typedef struct outcome {
    hop_status status;
    hop_error error;
    store_set *set; /* NULL where status is not HOP_OK */
    size_t fed;     /* bytes before it was refused */
} outcome;

/* Pieces of at most `most` bytes, random where rng is not NULL. */
static outcome load(const body *b, test_rng *rng, size_t most)
{
    char query[200];
    srv_parameter parameters[PARAMETERS];
    snprintf(query, sizeof query, "%s", b->query ? b->query : "");
    const srv_intake_source source = {.media = b->media,
                                      .body_bytes = b->chunked ? SIZE_MAX : b->n,
                                      .parameters = parameters,
                                      .n_parameters = cut_query(query, parameters),
                                      .columns = 64,
                                      .onto = b->onto,
                                      .budget = &budget,
                                      .packing = HOP_PACK_NONE};
    outcome o = {.error = HOP_ERROR_NONE};
    srv_intake *intake = NULL;
    store_builder *builder = NULL;
    store_options options;
    o.status = srv_intake_new(&source, &intake, &o.error);
    while (o.status == HOP_OK && o.fed < b->n) {
        size_t piece = rng ? 1 + test_rng_below(rng, most) : most;
        piece = piece < b->n - o.fed ? piece : b->n - o.fed;
        unsigned char *copy = malloc(piece); /* a sanitizer sees what is read beyond */
        memcpy(copy, b->bytes + o.fed, piece);
        o.fed += piece;
        o.status = srv_intake_feed(intake, copy, piece, &o.error);
        free(copy);
    }
    if (o.status == HOP_OK)
        o.status = srv_intake_end(intake, &builder, &options, &o.error);
    srv_intake_free(intake);
    if (o.status == HOP_OK)
        o.status = store_builder_finish(builder, &options, NULL, &o.set, &o.error);
    store_builder_free(builder);
    ck_assert_int_eq(o.error.status, o.status);
    return o;
}

static void check_same(const outcome *a, const outcome *b)
{
    ck_assert_int_eq(a->status, b->status);
    ck_assert_str_eq(a->error.text, b->error.text);
    ck_assert(a->error.row == b->error.row && a->error.column == b->error.column && a->error.byte == b->error.byte);
    if (a->status != HOP_OK)
        return;
    ck_assert(a->set->M == b->set->M && a->set->d == b->set->d && a->set->p == b->set->p);
    ck_assert_uint_eq(a->set->content_hash, b->set->content_hash); /* rows, values, labels, ids and settings */
    const double *means[] = {hop_model_frames(a->set->model).mean, hop_model_frames(b->set->model).mean};
    ck_assert(!means[0] == !means[1]);
    if (means[0])
        ck_assert_mem_eq(means[0], means[1], a->set->d * sizeof(double));
}

/* The same whatever the cuts. The caller releases the set. */
static outcome load_in_every_cut(const body *b)
{
    test_rng rng;
    test_rng_init(&rng, 7, b->n);
    outcome whole = load(b, NULL, ROOM);
    for (unsigned round = 0; round < 24; round++) {
        outcome cut = load(b, round == 0 ? NULL : &rng, 1 + round * round);
        check_same(&whole, &cut);
        store_set_release(cut.set);
    }
    return whole;
}

/* Refused with that status and these words, in every cut. */
static hop_error refused(const body *b, hop_status status, const char *words)
{
    outcome o = load_in_every_cut(b);
    store_set_release(o.set);
    ck_assert_msg(o.status == status && strstr(o.error.text, words), "%s: %s, expected %s: %s",
                  hop_status_word(o.status), o.error.text, hop_status_word(status), words);
    return o.error;
}

/* ---- bodies -------------------------------------------------------------------------------------------- */

static float cell(size_t i)
{
    return (float)((double)i * 0.75 - 4);
}

static void add(body *b, const void *bytes, size_t n)
{
    ck_assert_uint_le(b->n + n, ROOM);
    memcpy(b->bytes + b->n, bytes, n);
    b->n += n;
}

static body raw_body(const char *query)
{
    body b = {.media = SRV_MEDIA_OCTET};
    for (size_t i = 0; i < M * D; i++) {
        float value = cell(i);
        add(&b, &value, sizeof value);
    }
    b.query = query;
    return b;
}

static body npy_body(const char *query)
{
    body b = {.media = SRV_MEDIA_NPY}, rows = raw_body("");
    char header[STORE_NPY_WRITE_BYTES];
    store_npy_header_write(header, M, D);
    add(&b, header, sizeof header);
    add(&b, rows.bytes, rows.n);
    b.query = query;
    return b;
}

/* A safetensors file of this header, and so many bytes of data after it: 0, 1, 2 ... of the type `tail` says. */
static body tensors(const char *header, const void *data, size_t n)
{
    body b = {.media = SRV_MEDIA_SAFETENSORS};
    uint64_t length = strlen(header);
    add(&b, &length, sizeof length);
    add(&b, header, (size_t)length);
    add(&b, data, n);
    return b;
}

/* memories, values, labels and ids of M rows, in that order, as a program of ours would write them. */
static const char full_header[] =
    "{\"__metadata__\":{\"beta\":\"0.5\",\"max_error\":\"0.25\",\"max_degree\":\"-1\",\"similarity\":\"cosine\","
    "\"next_id\":\"40\",\"author\":\"somebody\"},"
    "\"memories\":{\"dtype\":\"F32\",\"shape\":[6,3],\"data_offsets\":[0,72]},"
    "\"values\":{\"dtype\":\"F32\",\"shape\":[6,2],\"data_offsets\":[72,120]},"
    "\"ids\":{\"dtype\":\"U64\",\"shape\":[6],\"data_offsets\":[120,168]},"
    "\"labels\":{\"dtype\":\"U8\",\"shape\":[15],\"data_offsets\":[168,183]}}   ";
static const char full_labels[15] = "a\0\0\xc3\xbc\0four\0e\0f";
static const uint64_t full_ids[M] = {0, 1, 5, 6, 7, 31};

static body full_body(void)
{
    body rows = raw_body(""), b = tensors(full_header, rows.bytes, rows.n);
    add(&b, rows.bytes, M * P * sizeof(float));
    add(&b, full_ids, sizeof full_ids);
    add(&b, full_labels, sizeof full_labels);
    return b;
}

/* ---- what is taken ------------------------------------------------------------------------------------- */

static void check_rows(outcome *o)
{
    ck_assert_msg(o->status == HOP_OK, "%s", o->error.text);
    ck_assert(o->set->M == M && o->set->d == D);
    for (size_t i = 0; i < M * D; i++)
        ck_assert(o->set->memories[i] == cell(i));
}

START_TEST(rows_without_a_header)
{
    for (unsigned chunked = 0; chunked < 2; chunked++) {
        body b = raw_body("d=3&beta=0.125&similarity=centered_cosine&max_degree=2&max_error=1");
        b.chunked = chunked;
        outcome o = load_in_every_cut(&b);
        check_rows(&o);
        ck_assert(o.set->beta == 0.125 && o.set->max_degree == 2 && o.set->max_error == 1 && !o.set->values);
        ck_assert_int_eq(hop_model_similarity(o.set->model), HOP_CENTERED_COSINE);
        store_set_release(o.set);
    }
}
END_TEST

START_TEST(more_chunked_rows_than_are_collected_at_once)
{
    enum { ROWS = 3000, COLUMNS = 40 };
    const srv_parameter d = {"d", "40"};
    const srv_intake_source source = {.media = SRV_MEDIA_OCTET,
                                      .body_bytes = SIZE_MAX,
                                      .parameters = &d,
                                      .n_parameters = 1,
                                      .columns = 64,
                                      .budget = &budget};
    float *rows = malloc(ROWS * COLUMNS * sizeof *rows);
    for (size_t i = 0; i < ROWS * COLUMNS; i++)
        rows[i] = (float)(i % 9973);
    test_rng rng;
    test_rng_init(&rng, 8, 0);
    hop_error error = HOP_ERROR_NONE;
    srv_intake *intake;
    ck_assert_int_eq(srv_intake_new(&source, &intake, &error), HOP_OK);
    for (size_t at = 0, n = ROWS * COLUMNS * sizeof *rows; at < n;) {
        size_t piece = 1 + test_rng_below(&rng, 100000);
        piece = piece < n - at ? piece : n - at;
        ck_assert_int_eq(srv_intake_feed(intake, (const char *)rows + at, piece, &error), HOP_OK);
        at += piece;
    }
    store_builder *builder;
    store_options options;
    ck_assert_int_eq(srv_intake_end(intake, &builder, &options, &error), HOP_OK);
    store_rows_view view = store_builder_view(builder, NULL);
    ck_assert(view.M == ROWS && view.d == COLUMNS);
    ck_assert_mem_eq(view.memories, rows, ROWS * COLUMNS * sizeof *rows);
    store_builder_free(builder);
    srv_intake_free(intake);
    free(rows);
}
END_TEST

START_TEST(numpy_files)
{
    for (unsigned how = 0; how < 8; how++) {
        body b = npy_body(how & 4 ? "d=3" : "");
        b.media = how & 1 ? SRV_MEDIA_OCTET : SRV_MEDIA_NPY; /* known by its magic */
        b.chunked = how & 2;
        outcome o = load_in_every_cut(&b);
        check_rows(&o);
        store_set_release(o.set);
    }
}
END_TEST

START_TEST(numpy_files_column_by_column)
{
    static const char head[] = "\x93NUMPY\1\0\x42\0{'descr': '<f8', 'fortran_order': True, 'shape': (6, 3), }       \n";
    body b = {.media = SRV_MEDIA_NPY};
    add(&b, head, sizeof head - 1);
    for (size_t j = 0; j < D; j++)
        for (size_t i = 0; i < M; i++) {
            double value = cell(i * D + j);
            add(&b, &value, sizeof value);
        }
    b.bytes[8] = (unsigned char)(sizeof head - 1 - 10);
    outcome o = load_in_every_cut(&b);
    check_rows(&o);
    store_set_release(o.set);
}
END_TEST

static void check_full(outcome *o)
{
    check_rows(o);
    const store_set *set = o->set;
    ck_assert(set->p == P && set->values);
    for (size_t i = 0; i < M * P; i++)
        ck_assert(set->values[i] == cell(i));
    static const char *const labels[] = {"a", "", "\xc3\xbc", "four", "e", "f"};
    for (size_t mu = 0; mu < M; mu++) {
        ck_assert_str_eq(store_set_label(set, mu), labels[mu]);
        ck_assert_uint_eq(store_set_id(set, mu), full_ids[mu]);
    }
    ck_assert_uint_eq(set->next_id, 40);
}

START_TEST(safetensors_files)
{
    for (unsigned how = 0; how < 4; how++) {
        body b = full_body();
        b.media = how & 1 ? SRV_MEDIA_OCTET : SRV_MEDIA_SAFETENSORS; /* known by how it starts */
        b.chunked = how & 2;
        outcome o = load_in_every_cut(&b);
        check_full(&o);
        ck_assert(o.set->beta == 0.5 && o.set->max_error == 0.25 && o.set->max_degree == -1);
        ck_assert_int_eq(hop_model_similarity(o.set->model), HOP_COSINE);
        store_set_release(o.set);
    }
}
END_TEST

START_TEST(the_query_string_wins_over_metadata)
{
    body b = full_body();
    b.query = "beta=2&similarity=dot&max_degree=1";
    outcome o = load_in_every_cut(&b);
    check_full(&o);
    ck_assert(o.set->beta == 2 && o.set->max_error == 0.25 && o.set->max_degree == 1);
    ck_assert_int_eq(hop_model_similarity(o.set->model), HOP_DOT);
    store_set_release(o.set);
}
END_TEST

/* Tensors in another order than the header's, and of other types. */
START_TEST(tensors_lie_in_any_order)
{
    static const char header[] = "{\"memories\":{\"data_offsets\":[6,60],\"shape\":[6,3],\"dtype\":\"U8\"},"
                                 "\"labels\":{\"dtype\":\"U8\",\"shape\":[6],\"data_offsets\":[0,6]}}";
    static const char short_header[] = "{\"memories\":{\"data_offsets\":[6,24],\"shape\":[6,3],\"dtype\":\"U8\"},"
                                       "\"labels\":{\"dtype\":\"U8\",\"shape\":[6],\"data_offsets\":[0,6]}}";
    unsigned char data[60] = {0};
    for (size_t i = 6; i < 24; i++)
        data[i] = (unsigned char)i;
    body b = tensors(short_header, data, 24);
    outcome o = load_in_every_cut(&b);
    ck_assert_msg(o.status == HOP_OK, "%s", o.error.text);
    for (size_t i = 0; i < M * D; i++)
        ck_assert(o.set->memories[i] == (float)(i + 6));
    ck_assert_str_eq(store_set_label(o.set, 5), "");
    ck_assert(!o.set->ids && o.set->next_id == M);
    store_set_release(o.set);
    b = tensors(header, data, 60);
    refused(&b, HOP_E_FORMAT, "`memories`: data_offsets [6, 60] do not hold the 18 bytes of its shape");
}
END_TEST

START_TEST(ids_that_are_row_numbers_are_no_ids)
{
    static const char header[] = "{\"ids\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,16]},"
                                 "\"memories\":{\"data_offsets\":[16,20],\"shape\":[2,1],\"dtype\":\"F16\"}}";
    static const uint64_t data[] = {0, 1, 0x3c003c00};
    body b = tensors(header, data, 20);
    outcome o = load_in_every_cut(&b);
    ck_assert_msg(o.status == HOP_OK, "%s", o.error.text);
    ck_assert(!o.set->ids && o.set->next_id == 2 && o.set->memories[1] == 1);
    store_set_release(o.set);
}
END_TEST

/* A mean, the six rows, and what the metadata says, if anything. */
static body centred_body(const double mean[D], const char *metadata)
{
    char header[400];
    body rows = raw_body("");
    snprintf(header, sizeof header,
             "{%s\"mean\":{\"dtype\":\"F64\",\"shape\":[3],\"data_offsets\":[0,24]},"
             "\"memories\":{\"dtype\":\"F32\",\"shape\":[6,3],\"data_offsets\":[24,96]}}",
             metadata);
    body b = tensors(header, mean, D * sizeof *mean);
    add(&b, rows.bytes, rows.n);
    return b;
}

static const char centred[] = "\"__metadata__\":{\"similarity\":\"centered_cosine\"},";

START_TEST(a_mean_is_taken_as_it_is)
{
    static const double mean[D] = {0.1, -0.0, 0x1p-1074}; /* no rows of f32 are near the last */
    for (unsigned how = 0; how < 4; how++) {
        body b = centred_body(mean, how & 1 ? centred : "");
        b.query = how & 1 ? "" : "similarity=centered_cosine";
        b.chunked = how & 2;
        outcome o = load_in_every_cut(&b);
        check_rows(&o);
        ck_assert_mem_eq(hop_model_frames(o.set->model).mean, mean, sizeof mean);
        store_set_release(o.set);
    }
    body b = raw_body("d=3&similarity=centered_cosine");
    outcome o = load_in_every_cut(&b);
    ck_assert(o.status == HOP_OK && hop_model_frames(o.set->model).mean[0] == cell(0) / 2 + cell(15) / 2);
    store_set_release(o.set);
}
END_TEST

/* With d a body is raw, however it starts; without, it could not be. */
START_TEST(what_starts_as_safetensors_is_raw_where_d_says_so)
{
    body b = {.media = SRV_MEDIA_OCTET};
    add(&b, "\x10\0\0\0\0\0\0\0{\"ab\0\0\0\0", 16);
    b.query = "d=2";
    outcome o = load_in_every_cut(&b);
    ck_assert_msg(o.status == HOP_OK && o.set->M == 2, "%s", o.error.text);
    store_set_release(o.set);
    b.query = "";
    refused(&b, HOP_E_FORMAT, "safetensors: truncated");
}
END_TEST

/* ---- what is refused ----------------------------------------------------------------------------------- */

START_TEST(bodies_that_end_anywhere_else)
{
    body bodies[] = {raw_body("d=3"), npy_body(""), full_body()};
    for (size_t i = 0; i < 3; i++)
        for (unsigned chunked = 0; chunked < 2; chunked++)
            for (size_t n = 0; n < bodies[i].n + 9; n++) {
                body b = bodies[i];
                b.n = n;
                b.chunked = chunked;
                if (n == bodies[i].n)
                    continue;
                outcome whole = load(&b, NULL, ROOM), bytes = load(&b, NULL, 1);
                check_same(&whole, &bytes);
                bool rows = i == 0 && n > 0 && n % (D * sizeof(float)) == 0; /* fewer rows are rows too */
                ck_assert_msg(rows ? whole.status == HOP_OK : whole.status == HOP_E_FORMAT, "%zu bytes of %zu: %s", n,
                              i, whole.error.text);
                ck_assert(rows || (whole.error.byte >= 0 && whole.error.byte <= (int64_t)n));
                store_set_release(whole.set);
                store_set_release(bytes.set);
            }
}
END_TEST

START_TEST(a_length_that_contradicts_the_header_is_refused_before_the_rows)
{
    body b = npy_body("");
    b.n += 4;
    outcome o = load(&b, NULL, 1);
    ck_assert_int_eq(o.status, HOP_E_FORMAT);
    ck_assert_uint_eq(o.fed, STORE_NPY_WRITE_BYTES);
    ck_assert_str_eq(o.error.text, "npy: too long: a shape of 6 x 3 needs 72 bytes of data, there are 76 (byte 204)");
    b = full_body();
    b.n -= 1;
    o = load(&b, NULL, 1);
    ck_assert_int_eq(o.status, HOP_E_FORMAT);
    ck_assert_uint_eq(o.fed, 8 + strlen(full_header));
    ck_assert_str_eq(o.error.text, "safetensors: truncated: the tensors have 183 bytes, there are 182");
    b = raw_body("d=4");
    b.n -= 4;
    o = load(&b, NULL, 1);
    ck_assert_str_eq(o.error.text, "memories: 68 bytes are not a whole number of rows of 4 f32 (16 bytes each)");
    ck_assert_uint_eq(o.fed, 10); /* what tells formats apart */
}
END_TEST

/* What does not fit is refused with the header, or, where nothing says how many rows there are, with one of them. */
START_TEST(what_does_not_fit_is_refused_before_the_rows)
{
    char header[STORE_NPY_WRITE_BYTES];
    store_npy_header_write(header, BUDGET_BYTES / 4 + 1, 1);
    body b = {.media = SRV_MEDIA_NPY, .chunked = true};
    add(&b, header, sizeof header);
    add(&b, header, 64);
    outcome o = load(&b, NULL, 1);
    ck_assert_int_eq(o.status, HOP_E_BUDGET);
    ck_assert_uint_eq(o.fed, sizeof header);
    ck_assert(o.error.limit == BUDGET_BYTES && o.error.actual > BUDGET_BYTES);

    store_budget_init(&budget, 100000);
    const srv_parameter d = {"d", "3"};
    float *rows = calloc(30000, sizeof *rows);
    hop_error error = HOP_ERROR_NONE;
    srv_intake *intake;
    const srv_intake_source source = {.media = SRV_MEDIA_OCTET,
                                      .body_bytes = SIZE_MAX,
                                      .parameters = &d,
                                      .n_parameters = 1,
                                      .columns = 64,
                                      .budget = &budget,
                                      .packing = HOP_PACK_NONE};
    ck_assert_int_eq(srv_intake_new(&source, &intake, &error), HOP_OK);
    ck_assert_int_eq(srv_intake_feed(intake, rows, 30000 * sizeof *rows, &error), HOP_E_BUDGET);
    ck_assert(error.limit == 100000 && error.actual > 100000);
    srv_intake_free(intake);
    free(rows);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
}
END_TEST

START_TEST(numbers_that_are_not_finite)
{
    static const uint32_t nan_bits = 0x7fc00001, inf_bits = 0xff800000;
    body bodies[] = {raw_body("d=3"), npy_body(""), full_body()};
    size_t start[] = {0, STORE_NPY_WRITE_BYTES, 8 + strlen(full_header)};
    for (size_t i = 0; i < 3; i++)
        for (unsigned chunked = 0; chunked < 2; chunked++) {
            body b = bodies[i];
            b.chunked = chunked;
            memcpy(b.bytes + start[i] + 4 * (4 * D + 2), &inf_bits, 4);
            hop_error error = refused(&b, HOP_E_DOMAIN, "memories: row 4, column 2: the number is infinite");
            ck_assert(error.row == 4 && error.column == 2);
            memcpy(b.bytes + start[i] + 4 * 1, &nan_bits, 4);
            refused(&b, HOP_E_DOMAIN, "memories: row 0, column 1: the number is NaN");
        }
    body b = full_body();
    memcpy(b.bytes + start[2] + 4 * (M * D + 3), &nan_bits, 4);
    refused(&b, HOP_E_DOMAIN, "values: row 1, column 1: the number is NaN");
}
END_TEST

START_TEST(options_that_are_wrong)
{
    static const struct {
        const char *query, *words;
        hop_status status;
    } cases[] = {
        {"d=3&beta=0", "beta must be", HOP_E_DOMAIN},
        {"d=3&max_degree=24", "max_degree must be 0 to 23", HOP_E_DOMAIN},
        {"d=3&similarity=angle", "angle", HOP_E_UNKNOWN},
        {"d=0", "d must be 1 to 64", HOP_E_DOMAIN},
        {"d=65", "d must be 1 to 64", HOP_E_DOMAIN},
        {"d=3&betta=1", "did you mean `beta`?", HOP_E_FORMAT},
        {"", "query parameter `d`", HOP_E_FORMAT},
        {"d=5", "72 bytes are not a whole number of rows of 5 f32", HOP_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        body b = raw_body(cases[i].query);
        refused(&b, cases[i].status, cases[i].words);
    }
    body b = npy_body("d=2");
    hop_error error = refused(&b, HOP_E_SHAPE, "row 0 has 3 numbers, the parameter d says 2");
    ck_assert(error.limit == 2 && error.actual == 3);
    char header[STORE_NPY_WRITE_BYTES];
    store_npy_header_write(header, 1, 65);
    b = (body){.media = SRV_MEDIA_NPY, .chunked = true};
    add(&b, header, sizeof header);
    refused(&b, HOP_E_LIMIT, "memories: 65 columns, the limit is 64");
    store_npy_header_write(header, 0, 3);
    b = (body){.media = SRV_MEDIA_NPY};
    add(&b, header, sizeof header);
    refused(&b, HOP_E_SHAPE, "no rows");
    store_npy_header_write(header, 3, 0);
    b = (body){.media = SRV_MEDIA_NPY};
    add(&b, header, sizeof header);
    refused(&b, HOP_E_SHAPE, "row 0 is empty");
}
END_TEST

/* Headers of safetensors files whose data would be 24 bytes of zeros, and what is said of them. */
START_TEST(safetensors_headers_that_are_wrong)
{
    static const char memories[] = "\"memories\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}";
    static const struct {
        const char *members, *words; /* members after memories' own; "!": the whole header */
        hop_status status;
    } cases[] = {
        {"!{}", "the tensor `memories` is missing", HOP_E_FORMAT},
        {"![]", "must be an object", HOP_E_FORMAT},
        {"!{\"memories\":1}", "`memories` must be an object, not a number", HOP_E_FORMAT},
        {"!{\"memories\":{}}", "`memories` has no `dtype`", HOP_E_FORMAT},
        {"!{\"memories\":{\"dtype\":\"F32\",\"shape\":[2,2]}}", "`memories` has no `data_offsets`", HOP_E_FORMAT},
        {"!{\"memories\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16],\"more\":1}}",
         "`memories`: unknown field `more`", HOP_E_FORMAT},
        {"!{\"memories\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[0,8]}}",
         "the dtype of `memories` is 'BF16'; F32, F64, F16 or U8 expected", HOP_E_FORMAT},
        {"!{\"memories\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}",
         "`memories`: `shape` has 1 entries, 2 expected", HOP_E_FORMAT},
        {"!{\"memories\":{\"dtype\":\"F32\",\"shape\":[2,-2],\"data_offsets\":[0,16]}}",
         "`memories`: `shape`: entry 1 must be a whole number of at least 0", HOP_E_FORMAT},
        {"!{\"memories\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[16,0]}}",
         "`memories`: data_offsets [16, 0] do not hold the 16 bytes", HOP_E_FORMAT},
        {"!{\"memories\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,12]}}",
         "`memories`: data_offsets [0, 12] do not hold the 16 bytes", HOP_E_FORMAT},
        {"!{\"memories\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[8,24]}}",
         "`memories` starts at byte 8 of the data, leaving a gap behind byte 0", HOP_E_FORMAT},
        {"!{\"memories\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}",
         "`memories`: a shape of 4611686018427387904 x 4 is too large", HOP_E_FORMAT},
        {"!{\"memories\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[0,0]}}", "truncated|too long",
         HOP_E_FORMAT},
        {",\"weights\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]}",
         "there is a tensor `weights`; memories, values, labels, ids and mean are what is taken", HOP_E_FORMAT},
        {",\"values\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[16,24]}",
         "values: 1 x 2 numbers for 2 memories", HOP_E_SHAPE},
        {",\"values\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[8,16]}",
         "`values` starts at byte 8 of the data, before the end of the tensor in front at byte 16", HOP_E_FORMAT},
        {",\"labels\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[16,24]}",
         "the dtype of `labels` is 'I64'; U8 expected", HOP_E_FORMAT},
        {",\"labels\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[16,17]}", "labels: 1 bytes for 2 memories",
         HOP_E_SHAPE},
        {",\"labels\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[16,24]}", "labels: more than 2 strings",
         HOP_E_SHAPE},
        {",\"ids\":{\"dtype\":\"U64\",\"shape\":[1],\"data_offsets\":[16,24]}", "ids: 1 for 2 memories", HOP_E_SHAPE},
        {",\"ids\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[16,24]}",
         "the dtype of `ids` is 'F64'; I64 or U64 expected", HOP_E_FORMAT},
        {",\"mean\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[16,24]}",
         "mean: 1 numbers for memories of 2; one a column expected", HOP_E_SHAPE},
        {",\"mean\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]}",
         "the dtype of `mean` is 'F32'; F64 expected", HOP_E_FORMAT},
        {",\"mean\":{\"dtype\":\"F64\",\"shape\":[1,2],\"data_offsets\":[16,32]}",
         "`mean`: `shape` has 2 entries, 1 expected", HOP_E_FORMAT},
        {",\"values\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[16,24]},\"__metadata__\":{\"beta\":\"0\"}",
         "`__metadata__`: beta must be", HOP_E_DOMAIN},
        {",\"__metadata__\":{\"beta\":1}", "`__metadata__`: `beta` must be a string", HOP_E_FORMAT},
        {",\"__metadata__\":{\"next_id\":\"-3\"}", "`__metadata__`: next_id must be a whole number", HOP_E_FORMAT},
        {",\"__metadata__\":7", "`__metadata__` must be an object", HOP_E_FORMAT},
        {",\"memories\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}", "duplicate", HOP_E_FORMAT},
    };
    static const char zeros[24];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char header[600];
        if (cases[i].members[0] == '!')
            snprintf(header, sizeof header, "%s", cases[i].members + 1);
        else
            snprintf(header, sizeof header, "{%s%s}", memories, cases[i].members);
        body b = tensors(header, zeros, sizeof zeros);
        refused(&b, cases[i].status,
                cases[i].words[0] == 't' && cases[i].words[1] == 'r' ? "too long" : cases[i].words);
    }
    body b = tensors("{\"memories\":[1,}", zeros, 0);
    hop_error error = refused(&b, HOP_E_FORMAT, "malformed JSON");
    ck_assert_int_eq(error.byte, 8 + 15); /* of the file */
    b = (body){.media = SRV_MEDIA_SAFETENSORS};
    add(&b, "\1\0\0\0\0\0\0\0{", 9);
    refused(&b, HOP_E_FORMAT, "a header of 1 bytes holds no JSON object");
    b.bytes[2] = 0x11;
    error = refused(&b, HOP_E_FORMAT, "a header of 1114113 bytes, the limit is 1048576");
    ck_assert(error.limit == 1048576 && error.actual == 1114113);
    b.bytes[7] = 0xff;
    refused(&b, HOP_E_FORMAT, "the limit is 1048576");
}
END_TEST

START_TEST(labels_and_ids_that_are_wrong)
{
    body b = full_body();
    b.bytes[b.n - 10] = 'x'; /* the NUL behind the u with dots */
    refused(&b, HOP_E_SHAPE, "labels: no more than 5 strings");
    b = full_body();
    b.bytes[b.n - 1] = 'x';
    refused(&b, HOP_E_SHAPE, "labels: no more than 5 strings");
    b = full_body();
    b.bytes[b.n - 11] = 'x'; /* a sequence of one byte */
    hop_error error = refused(&b, HOP_E_FORMAT, "labels: row 2: not UTF-8 (byte 0 of it)");
    ck_assert_int_eq(error.row, 2);
    b = full_body();
    b.bytes[b.n - 15 - 8] = 7; /* the last id */
    error = refused(&b, HOP_E_FORMAT, "ids: row 5: 7 is not above 7, the id before it");
    ck_assert_int_eq(error.row, 5);
    b = full_body();
    b.bytes[b.n - 15 - 8] = 40;
    refused(&b, HOP_E_FORMAT, "next_id is 40, and there is an id 40");
    b = full_body();
    memset(b.bytes + b.n - 15 - 8, 0xff, 8);
    refused(&b, HOP_E_FORMAT, "ids: row 5: an id is a whole number from 0 to 2^63 - 2");

    char header[300], data[4 + SRV_LABEL_BYTES + 2];
    snprintf(header, sizeof header,
             "{\"memories\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
             "\"labels\":{\"dtype\":\"U8\",\"shape\":[%d],\"data_offsets\":[8,%d]}}",
             SRV_LABEL_BYTES + 3, SRV_LABEL_BYTES + 11);
    b = tensors(header, "\0\0\0\0\0\0\0\0", 8);
    memset(data, 'x', sizeof data);
    data[SRV_LABEL_BYTES + 1] = data[SRV_LABEL_BYTES + 2] = '\0';
    add(&b, data, SRV_LABEL_BYTES + 3);
    error = refused(&b, HOP_E_LIMIT, "label of row 0 has 1025 bytes");
    ck_assert(error.row == 0 && error.limit == SRV_LABEL_BYTES);
}
END_TEST

START_TEST(means_that_are_wrong)
{
    static const struct {
        double mean[D];
        const char *words;
        int column;
    } cases[] = {
        {{0, NAN, 0}, "mean: column 1: not a finite number", 1},
        {{0, 0, -INFINITY}, "mean: column 2: not a finite number", 2},
        {{0x1p128, 0, 0}, "mean: column 0: beyond the range of f32", 0},
        {{0.5, 1.25, 2}, "row 2 has zero norm after centring", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        body b = centred_body(cases[i].mean, centred);
        hop_error error = refused(&b, HOP_E_DOMAIN, cases[i].words);
        ck_assert_int_eq(error.column, cases[i].column);
    }
    static const double mean[D] = {1, 1, 1};
    body b = centred_body(mean, "");
    refused(&b, HOP_E_FORMAT, "mean: a set of similarity dot has none, centered_cosine has; leave the tensor out");
    b = centred_body(mean, centred);
    b.query = "similarity=cosine";
    refused(&b, HOP_E_FORMAT, "mean: a set of similarity cosine has none");
    b.query = "";
    outcome o = load(&b, NULL, ROOM);
    b.onto = o.set;
    refused(&b, HOP_E_FORMAT, "mean: a set to which rows are added keeps its own, if it has one; leave the tensor out");
    store_set_release(o.set);
}
END_TEST

/* ---- rows for a set that is there ---------------------------------------------------------------------- */

START_TEST(added_rows_must_be_as_those_there_are)
{
    body plain = raw_body("d=3"), full = full_body();
    store_set *set = load(&plain, NULL, ROOM).set, *with_values = load(&full, NULL, ROOM).set;
    plain.onto = set;
    outcome o = load_in_every_cut(&plain);
    check_rows(&o);
    store_set_release(o.set);

    body other = raw_body("d=2");
    other.onto = set;
    hop_error error = refused(&other, HOP_E_SHAPE, "memories: rows of 2 numbers, those of the set have 3");
    ck_assert(error.limit == 3 && error.actual == 2);
    plain.onto = with_values;
    error = refused(&plain, HOP_E_SHAPE, "values: none; the set has 2 numbers for each memory");
    ck_assert(error.limit == 2 && error.actual == 0);
    full.onto = with_values;
    refused(&full, HOP_E_FORMAT, "ids: rows that are added get the next ids of the set; leave the tensor out");
    static const char header[] = "{\"memories\":{\"dtype\":\"U8\",\"shape\":[1,3],\"data_offsets\":[0,3]},"
                                 "\"values\":{\"dtype\":\"U8\",\"shape\":[1,2],\"data_offsets\":[3,5]}}";
    body tensor = tensors(header, "abcde", 5);
    tensor.onto = set;
    refused(&tensor, HOP_E_SHAPE, "values: rows of 2 numbers, the set has no values");
    tensor.onto = with_values;
    o = load_in_every_cut(&tensor);
    ck_assert_msg(o.status == HOP_OK && o.set->values[1] == 'e', "%s", o.error.text);
    store_set_release(o.set);
    store_set_release(set);
    store_set_release(with_values);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("intake");
    TCase *c = tcase_create("intake");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, rows_without_a_header);
    tcase_add_test(c, more_chunked_rows_than_are_collected_at_once);
    tcase_add_test(c, numpy_files);
    tcase_add_test(c, numpy_files_column_by_column);
    tcase_add_test(c, safetensors_files);
    tcase_add_test(c, the_query_string_wins_over_metadata);
    tcase_add_test(c, tensors_lie_in_any_order);
    tcase_add_test(c, ids_that_are_row_numbers_are_no_ids);
    tcase_add_test(c, a_mean_is_taken_as_it_is);
    tcase_add_test(c, what_starts_as_safetensors_is_raw_where_d_says_so);
    tcase_add_test(c, bodies_that_end_anywhere_else);
    tcase_add_test(c, a_length_that_contradicts_the_header_is_refused_before_the_rows);
    tcase_add_test(c, what_does_not_fit_is_refused_before_the_rows);
    tcase_add_test(c, numbers_that_are_not_finite);
    tcase_add_test(c, options_that_are_wrong);
    tcase_add_test(c, safetensors_headers_that_are_wrong);
    tcase_add_test(c, labels_and_ids_that_are_wrong);
    tcase_add_test(c, means_that_are_wrong);
    tcase_add_test(c, added_rows_must_be_as_those_there_are);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    srv_json_init();
    return hop_check_main(argc, argv, suite);
}
