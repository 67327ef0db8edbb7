/*
 * uploads.c - see uploads.h.
 */
#include "uploads.h"

#include "store/npy.h"

enum { BUDGET_BYTES = 1 << 22, COLUMNS = 300 };

/* What came of a body. */
typedef struct taken {
    store_budget budget;
    hop_status status;
    hop_error error;
    store_builder *builder;
    store_options options;
} taken;

/* How a body comes. */
typedef struct manner {
    srv_media media;
    const char *d;
    bool chunked;
    size_t most; /* bytes of a piece; cut by seed where it is not 0 */
    uint64_t seed;
} manner;

static void take(const manner *how, const uint8_t *data, size_t n, taken *out)
{
    const srv_parameter parameter = {"d", how->d};
    *out = (taken){.error = HOP_ERROR_NONE};
    store_budget_init(&out->budget, BUDGET_BYTES);
    const srv_intake_source source = {.media = how->media,
                                      .body_bytes = how->chunked ? SIZE_MAX : n,
                                      .parameters = &parameter,
                                      .n_parameters = how->d != NULL,
                                      .columns = COLUMNS,
                                      .budget = &out->budget,
                                      .packing = HOP_PACK_NONE};
    srv_intake *intake = NULL;
    uint64_t state = how->seed;
    out->status = srv_intake_new(&source, &intake, &out->error);
    for (size_t at = 0; out->status == HOP_OK && at < n;) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        size_t piece = how->seed ? 1 + (size_t)(state >> 33) % how->most : how->most;
        piece = piece < n - at ? piece : n - at;
        char *copy = fuzz_copy(data + at, piece);
        out->status = srv_intake_feed(intake, copy, piece, &out->error);
        free(copy);
        at += piece;
    }
    if (out->status == HOP_OK)
        out->status = srv_intake_end(intake, &out->builder, &out->options, &out->error);
    srv_intake_free(intake);
}

static void check(const taken *t, size_t n)
{
    if (t->status != HOP_OK) {
        FUZZ_CHECK(t->error.status == t->status && t->error.text[0] != '\0');
        FUZZ_CHECK(t->error.byte <= (int64_t)n && t->status != HOP_E_NOMEM && t->status != HOP_E_INTERNAL);
        return;
    }
    store_rows_view view = store_builder_view(t->builder, NULL);
    FUZZ_CHECK(view.M > 0 && view.d > 0 && view.d <= COLUMNS && view.p <= COLUMNS);
    FUZZ_CHECK(store_first_not_finite(view.memories, view.M * view.d) == view.M * view.d);
    FUZZ_CHECK(!view.values || store_first_not_finite(view.values, view.M * view.p) == view.M * view.p);
    FUZZ_CHECK(store_builder_labels(t->builder) == 0 || store_builder_labels(t->builder) == view.M);
}

static void check_same(const taken *a, const taken *b)
{
    FUZZ_CHECK(a->status == b->status && strcmp(a->error.text, b->error.text) == 0);
    FUZZ_CHECK(a->error.byte == b->error.byte && a->error.row == b->error.row && a->error.column == b->error.column);
}

static void check_same_rows(const taken *a, const taken *b)
{
    store_rows_view x = store_builder_view(a->builder, NULL), y = store_builder_view(b->builder, NULL);
    FUZZ_CHECK(x.M == y.M && x.d == y.d && x.p == y.p);
    FUZZ_CHECK(memcmp(x.memories, y.memories, x.M * x.d * sizeof(float)) == 0);
    FUZZ_CHECK(x.p == 0 || memcmp(x.values, y.values, x.M * x.p * sizeof(float)) == 0);
    FUZZ_CHECK(store_builder_labels(a->builder) == store_builder_labels(b->builder));
    FUZZ_CHECK(a->options.beta == b->options.beta && a->options.max_error == b->options.max_error);
    FUZZ_CHECK(a->options.max_degree == b->options.max_degree);
}

static void end(taken *t)
{
    store_builder_free(t->builder);
    FUZZ_CHECK(store_budget_reserved(&t->budget) == 0);
}

void fuzz_upload(srv_media media, const char *d, const uint8_t *data, size_t n)
{
    static const size_t most[] = {1, 7, 64};
    taken whole, chunked, cut;
    manner how = {.media = media, .d = d, .most = n + 1};
    take(&how, data, n, &whole);
    check(&whole, n);
    how.chunked = true;
    take(&how, data, n, &chunked);
    check(&chunked, n);
    /* Without a length it is refused later, and in other words. */
    FUZZ_CHECK((whole.status == HOP_OK) == (chunked.status == HOP_OK));
    if (whole.status == HOP_OK)
        check_same_rows(&whole, &chunked);
    for (unsigned i = 0; i < 6; i++) {
        how = (manner){.media = media, .d = d, .chunked = i & 1, .most = most[i / 2], .seed = i / 2 * (n + 17)};
        take(&how, data, n, &cut);
        check_same(i & 1 ? &chunked : &whole, &cut);
        if (cut.status == HOP_OK)
            check_same_rows(&whole, &cut);
        end(&cut);
    }
    end(&whole);
    end(&chunked);
}
