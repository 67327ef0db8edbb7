/*
 * test_intake_nomem.c - uploads when memory runs out: at every single allocation of this program's own code
 * the upload is refused as HOP_E_NOMEM, nothing leaks and every byte of the budget comes back.
 * Linked with --wrap=malloc, --wrap=calloc and --wrap=realloc.
 */
#include "server/intake.h"
#include "server/json.h"
#include "store/npy.h"
#include "support/check_main.h"

#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
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

void *__wrap_calloc(size_t n, size_t bytes)
{
    return fails() ? NULL : __real_calloc(n, bytes);
}

void *__wrap_realloc(void *block, size_t bytes)
{
    return fails() ? NULL : __real_realloc(block, bytes);
}

/* Take a body in two pieces with only so many allocations. */
static hop_status take_with(long allocations, srv_media media, bool chunked, const void *body, size_t n)
{
    static const srv_parameter d = {"d", "2"};
    store_budget budget;
    store_budget_init(&budget, 32 << 20);
    const srv_intake_source source = {.media = media,
                                      .body_bytes = chunked ? SIZE_MAX : n,
                                      .parameters = &d,
                                      .n_parameters = media == SRV_MEDIA_OCTET,
                                      .columns = 64,
                                      .budget = &budget};
    hop_error error = HOP_ERROR_NONE;
    srv_intake *intake = NULL;
    store_builder *builder = NULL;
    store_options options;
    left = allocations;
    hop_status status = srv_intake_new(&source, &intake, &error);
    if (status == HOP_OK)
        status = srv_intake_feed(intake, body, n / 2, &error);
    if (status == HOP_OK)
        status = srv_intake_feed(intake, (const char *)body + n / 2, n - n / 2, &error);
    if (status == HOP_OK)
        status = srv_intake_end(intake, &builder, &options, &error);
    left = -1;
    ck_assert_int_eq(error.status, status);
    ck_assert_msg(status == HOP_OK || status == HOP_E_NOMEM, "%s", error.text);
    srv_intake_free(intake);
    store_builder_free(builder);
    ck_assert_uint_eq(store_budget_reserved(&budget), 0);
    return status;
}

static long fail_everywhere(srv_media media, bool chunked, const void *body, size_t n)
{
    long allocations = 0;
    while (take_with(allocations, media, chunked, body, n) == HOP_E_NOMEM)
        allocations++;
    ck_assert_int_eq(take_with(allocations, media, chunked, body, n), HOP_OK);
    return allocations;
}

START_TEST(every_format_survives)
{
    static const float rows[4] = {1, 2, 3, 4};
    ck_assert_int_ge(fail_everywhere(SRV_MEDIA_OCTET, false, rows, sizeof rows), 4);
    ck_assert_int_ge(fail_everywhere(SRV_MEDIA_OCTET, true, rows, sizeof rows), 5);

    char file[STORE_NPY_WRITE_BYTES + sizeof rows];
    store_npy_header_write(file, 2, 2);
    memcpy(file + STORE_NPY_WRITE_BYTES, rows, sizeof rows);
    ck_assert_int_ge(fail_everywhere(SRV_MEDIA_NPY, false, file, sizeof file), 5);

    static const char header[] = "{\"__metadata__\":{\"similarity\":\"centered_cosine\"},\"memories\":{\"dtype\":"
                                 "\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
                                 "\"ids\":{\"dtype\":\"U64\",\"shape\":[2],\"data_offsets\":[16,32]},"
                                 "\"mean\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[36,52]},"
                                 "\"labels\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[32,36]}}";
    char tensors[8 + sizeof header - 1 + 52] = {(char)(sizeof header - 1)};
    tensors[1] = (char)((sizeof header - 1) >> 8);
    memcpy(tensors + 8, header, sizeof header - 1);
    memcpy(tensors + 8 + sizeof header - 1, rows, sizeof rows);
    memcpy(tensors + 8 + sizeof header - 1 + 16, "\3\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0a\0b\0", 20);
    ck_assert_int_ge(fail_everywhere(SRV_MEDIA_SAFETENSORS, true, tensors, sizeof tensors), 11);

    static const char json[] = "{\"memories\":[[1,2],[3,4]],\"values\":[[1],[2]],\"labels\":[\"a\",\"b\"]}";
    ck_assert_int_ge(fail_everywhere(SRV_MEDIA_JSON, true, json, sizeof json - 1), 10);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("intake without memory");
    TCase *c = tcase_create("nomem");
    tcase_add_test(c, every_format_survives);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    srv_json_init();
    return hop_check_main(argc, argv, suite);
}
