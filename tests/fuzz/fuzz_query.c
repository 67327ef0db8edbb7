/*
 * fuzz_query.c - options in the query string, with raw f32 bodies: what is read is written again, and read again
 * to the same.
 */
#include "requests.h"
#include "server/intake.h"

enum { PARAMETERS_MAX = 32, CELLS = 12, D = 3 };

/* A request of CELLS raw f32 with these parameters, for both readers in turn. */
typedef struct request {
    char body[CELLS * sizeof(float) + 1];
    char *text;
    srv_parameter parameters[PARAMETERS_MAX];
    srv_args_source source;
    hop_error error;
} request;

static void make_request(request *r, const void *text, size_t n)
{
    memset(r->body, 0, sizeof r->body);
    for (size_t i = 0; i < CELLS; i++) {
        float value = (float)i - 4.5f;
        memcpy(r->body + i * sizeof value, &value, sizeof value);
    }
    r->text = fuzz_copy(text, n);
    r->source = (srv_args_source){.media = SRV_MEDIA_OCTET,
                                  .body = r->body,
                                  .body_bytes = CELLS * sizeof(float),
                                  .parameters = r->parameters,
                                  .n_parameters = fuzz_parameters(r->text, r->parameters, PARAMETERS_MAX)};
    r->error = HOP_ERROR_NONE;
}

static void try_retrieve(const void *text, size_t n, srv_retrieve_kind kind)
{
    request r;
    srv_retrieve_args args, again;
    make_request(&r, text, n);
    hop_status status = srv_retrieve_args_read(&r.source, kind, D, &fuzz_limits, &args, &r.error);
    free(r.text);
    if (status != HOP_OK) {
        fuzz_check_error(status, &r.error);
        return;
    }
    char *written = fuzz_retrieve_query(&args);
    make_request(&r, written, strlen(written));
    FUZZ_CHECK(srv_retrieve_args_read(&r.source, SRV_RETRIEVE, D, &fuzz_limits, &again, &r.error) == HOP_OK);
    fuzz_check_same_retrieve(&args, &again, D);
    free(r.text);
    free(written);
    srv_retrieve_args_fini(&args);
    srv_retrieve_args_fini(&again);
}

/* The rows and the options of an upload; the caller frees *builder. */
static hop_status read_upload(request *r, store_budget *budget, store_builder **builder, store_options *options)
{
    const srv_intake_source source = {.media = SRV_MEDIA_OCTET,
                                      .body_bytes = r->source.body_bytes,
                                      .parameters = r->parameters,
                                      .n_parameters = r->source.n_parameters,
                                      .columns = fuzz_limits.columns,
                                      .budget = budget};
    srv_intake *intake = NULL;
    hop_status status = srv_intake_new(&source, &intake, &r->error);
    if (status == HOP_OK)
        status = srv_intake_feed(intake, r->source.body, r->source.body_bytes, &r->error);
    if (status == HOP_OK)
        status = srv_intake_end(intake, builder, options, &r->error);
    srv_intake_free(intake);
    return status;
}

static void try_upload(const void *text, size_t n)
{
    request r;
    store_budget budget;
    store_builder *builder = NULL, *again = NULL;
    store_options options, same;
    store_budget_init(&budget, 1 << 20);
    make_request(&r, text, n);
    hop_status status = read_upload(&r, &budget, &builder, &options);
    free(r.text);
    if (status != HOP_OK) {
        fuzz_check_error(status, &r.error);
        FUZZ_CHECK(store_budget_reserved(&budget) == 0);
        return;
    }
    store_rows_view view = store_builder_view(builder, NULL);
    FUZZ_CHECK(view.M * view.d == CELLS);
    const fuzz_uploaded args = {
        .d = view.d, .beta = options.beta, .max_error = options.max_error, .max_degree = options.max_degree};
    char *written = fuzz_upload_query(&args);
    make_request(&r, written, strlen(written));
    FUZZ_CHECK(read_upload(&r, &budget, &again, &same) == HOP_OK);
    FUZZ_CHECK(store_builder_view(again, NULL).M == view.M);
    FUZZ_CHECK(options.beta == same.beta && options.max_error == same.max_error);
    FUZZ_CHECK(options.max_degree == same.max_degree);
    free(r.text);
    free(written);
    store_builder_free(builder);
    store_builder_free(again);
    FUZZ_CHECK(store_budget_reserved(&budget) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    try_retrieve(data, n, SRV_RETRIEVE);
    try_retrieve(data, n, SRV_ENERGY);
    try_upload(data, n);
    return 0;
}
