/*
 * test_args_nomem.c - the readers of args.h when memory runs out: at every single allocation of this program's own
 * code, the result is HOP_E_NOMEM, the outputs are untouched and nothing leaks (a sanitizer build sees that).
 * Linked with --wrap=malloc and --wrap=realloc.
 */
#include "server/args.h"
#include "server/json.h"
#include "server/json_upload.h"
#include "store/npy.h"
#include "support/check_main.h"

#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t bytes);
void *__real_realloc(void *block, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);

/* Allocations that still succeed; negative: all of them. */
static long left = -1;

static bool fails(void)
{
    if (left < 0)
        return false;
    return left == 0 || left-- == 0;
}

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_realloc(void *block, size_t bytes)
{
    return fails() ? NULL : __real_realloc(block, bytes);
}

static const srv_args_limits limits = {.rows = 1000, .columns = 1000, .array_bytes = 1 << 20};

/* Read a copy of the body with only so many allocations. */
static hop_status read_with(long allocations, srv_media media, const void *body, size_t n,
                            const srv_parameter *parameter)
{
    left = -1;
    char *copy = malloc(n + 1);
    memcpy(copy, body, n);
    copy[n] = '\0';
    srv_args_source source = {
        .media = media, .body = copy, .body_bytes = n, .parameters = parameter, .n_parameters = parameter != NULL};
    srv_retrieve_args asked = {.L = 77};
    hop_error error = HOP_ERROR_NONE;
    left = allocations;
    hop_status status = srv_retrieve_args_read(&source, SRV_RETRIEVE, 3, &limits, &asked, &error);
    left = -1;
    ck_assert_int_eq(error.status, status);
    if (status == HOP_OK)
        srv_retrieve_args_fini(&asked);
    else
        ck_assert_uint_eq(asked.L, 77);
    free(copy);
    return status;
}

/* Fails at every allocation in turn, then succeeds. Returns how many there were. */
static long fail_everywhere(srv_media media, const void *body, size_t n, const srv_parameter *parameter)
{
    long allocations = 0;
    hop_status status;
    while ((status = read_with(allocations, media, body, n, parameter)) == HOP_E_NOMEM)
        allocations++;
    ck_assert_int_eq(status, HOP_OK);
    return allocations;
}

START_TEST(retrieve_survives)
{
    static const float row[3] = {1, 2, 3};
    char text[8192] = "{\"queries\":[[1,2,3]";
    for (int i = 0; i < 200; i++)
        strcat(text, ",[1,2,3]");
    strcat(text, "],\"beta\":1}");
    ck_assert_int_ge(fail_everywhere(SRV_MEDIA_JSON, text, strlen(text), NULL), 2);
    const char *base64 = "{\"queries_b64\":\"AACAPwAAAEAAAEBA\",\"shape\":[1,3]}";
    ck_assert_int_ge(fail_everywhere(SRV_MEDIA_JSON, base64, strlen(base64), NULL), 1);
    ck_assert_int_ge(fail_everywhere(SRV_MEDIA_OCTET, row, sizeof row, NULL), 1);
    char file[STORE_NPY_WRITE_BYTES + sizeof row];
    store_npy_header_write(file, 1, 3);
    memcpy(file + STORE_NPY_WRITE_BYTES, row, sizeof row);
    ck_assert_int_ge(fail_everywhere(SRV_MEDIA_NPY, file, sizeof file, NULL), 1);
}
END_TEST

static hop_status pass_rows(void *context, size_t n, size_t columns, const float *rows, hop_error *error)
{
    (void)context, (void)n, (void)columns, (void)rows, (void)error; /* checking would allocate */
    return HOP_OK;
}

static hop_status pass_label(void *context, const char *text, size_t length, hop_error *error)
{
    (void)context, (void)text, (void)length, (void)error;
    return HOP_OK;
}

/* Only the decoder's allocations fail, not the sink's. */
static hop_status decode_with(long allocations, const char *body, size_t n)
{
    static const srv_json_sink nowhere = {.memories = pass_rows, .values = pass_rows, .label = pass_label};
    srv_json_upload *upload = NULL;
    srv_json_upload_result result = {.M = 77};
    hop_error error = HOP_ERROR_NONE;
    left = allocations;
    hop_status status = srv_json_upload_new(SRV_JSON_SET, &limits, &nowhere, &upload, &error);
    for (size_t i = 0; i < n && status == HOP_OK; i++)
        status = srv_json_upload_feed(upload, body + i, 1, &error);
    if (status == HOP_OK)
        status = srv_json_upload_end(upload, NULL, 0, srv_upload_args_parameters(), &result, &error);
    srv_json_upload_free(upload);
    left = -1;
    ck_assert_int_eq(error.status, status);
    ck_assert(status == HOP_OK || result.M == 77);
    return status;
}

START_TEST(upload_in_pieces_survives)
{
    char text[8192] = "{\"values\":[[1]";
    for (int i = 0; i < 600; i++)
        strcat(text, ",[1]");
    strcat(text, "],\"labels\":[],\"memories\":[[1,2],[3,4]]}");
    long allocations = 0;
    hop_status status;
    while ((status = decode_with(allocations, text, strlen(text))) == HOP_E_NOMEM)
        allocations++;
    ck_assert_int_eq(status, HOP_E_SHAPE); /* 601 values */
    ck_assert_int_ge(allocations, 3 + 3);  /* the decoder; 256, 512 and 1024 numbers */
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("args without memory");
    TCase *c = tcase_create("nomem");
    tcase_add_test(c, retrieve_survives);
    tcase_add_test(c, upload_in_pieces_survives);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    srv_json_init();
    return hop_check_main(argc, argv, suite);
}
