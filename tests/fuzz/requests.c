/*
 * requests.c - see requests.h.
 */
#include "requests.h"

#include "server/args_model.h"
#include "server/decimal.h"
#include "server/numbers.h"

#include <math.h>

const srv_args_limits fuzz_limits = {.rows = 200, .columns = 50, .array_bytes = 1 << 14};

/* Text that grows; targets are small, so that running out of memory is a failure. */
typedef struct growing {
    char *data;
    size_t used, capacity;
} growing;

static char *room(growing *t, size_t n)
{
    if (t->used + n + 1 > t->capacity) {
        t->capacity = 2 * (t->used + n + 1);
        t->data = realloc(t->data, t->capacity);
        if (!t->data)
            abort();
    }
    t->data[t->used] = '\0';
    return t->data + t->used;
}

static void grown_to(growing *t, const char *end)
{
    t->used = (size_t)(end - t->data);
    t->data[t->used] = '\0';
}

static void put(growing *t, const char *word)
{
    size_t n = strlen(word);
    char *at = room(t, n);
    memcpy(at, word, n);
    grown_to(t, at + n);
}

static void put_f64(growing *t, double value)
{
    char *at = room(t, SRV_F64_TEXT_MAX);
    grown_to(t, srv_f64_write(at, value));
}

static void put_u64(growing *t, uint64_t value)
{
    char *at = room(t, SRV_U64_TEXT_MAX);
    grown_to(t, srv_u64_write(at, value));
}

static void put_rows(growing *t, const char *name, size_t rows, size_t columns, const float *data)
{
    put(t, name);
    for (size_t i = 0; i < rows; i++) {
        put(t, i == 0 ? ":[" : ",");
        char *at = room(t, srv_row_text_max(columns));
        grown_to(t, srv_row_write(at, columns, data + i * columns));
    }
    put(t, "]");
}

static void put_string(growing *t, const char *string)
{
    put(t, "\"");
    for (; *string; string++) {
        char escaped[8];
        snprintf(escaped, sizeof escaped, (unsigned char)*string < 0x20 || strchr("\"\\", *string) ? "\\u%04x" : "%c",
                 (unsigned char)*string);
        put(t, escaped);
    }
    put(t, "\"");
}

static const struct {
    unsigned want;
    const char *word;
} returns[] = {
    {HOP_WANT_ENERGY, "energy"},   {HOP_WANT_LOG_SUM_EXP, "log_sum_exp"}, {HOP_WANT_TOP, "top"},
    {HOP_WANT_SUPPORT, "support"}, {HOP_WANT_WEIGHTS, "weights"},         {HOP_WANT_STEPS, "steps"},
};

enum { RETURNS = sizeof returns / sizeof *returns };

/* The parameters that the mode of the request takes, as members or as query parameters. */
static void put_parameters(growing *t, const hop_request *request, bool json)
{
    const hop_parameters *p = &request->parameters;
    bool first = true;
    for (const char *const *name = srv_model_names(request->mode); *name; name++) {
        bool unset = (strcmp(*name, "width") == 0 && p->width == SIZE_MAX) ||
                     (strcmp(*name, "features") == 0 && p->features == 0);
        if (unset) /* a default that no client can write */
            continue;
        put(t, !json ? "&" : first ? "\"" : ",\"");
        first = false;
        put(t, *name);
        put(t, json ? "\":" : "=");
        if (strcmp(*name, "keep") == 0)
            put_f64(t, p->keep);
        else if (strcmp(*name, "alpha") == 0)
            put_f64(t, p->alpha);
        else
            put_u64(t, strcmp(*name, "k") == 0       ? p->k
                       : strcmp(*name, "seed") == 0  ? p->seed
                       : strcmp(*name, "width") == 0 ? p->width
                                                     : p->features);
    }
}

char *fuzz_retrieve_json(const srv_retrieve_args *args, size_t d)
{
    growing t = {0};
    const hop_request *request = &args->request;
    put_rows(&t, "{\"queries\"", args->L, d, args->x);
    if (args->beta_given) {
        put(&t, ",\"beta\":");
        put_f64(&t, request->beta);
    }
    if (args->max_error_given) {
        put(&t, ",\"max_error\":");
        put_f64(&t, request->max_error);
    }
    put(&t, ",\"mode\":");
    put_string(&t, hop_mode_word(request->mode));
    put(&t, ",\"model\":{");
    put_parameters(&t, request, true);
    put(&t, "}");
    put(&t, request->best_effort ? ",\"on_unmet\":\"best_effort\",\"steps\":" : ",\"on_unmet\":\"error\",\"steps\":");
    put_u64(&t, request->steps);
    put(&t, ",\"tolerance\":");
    put_f64(&t, request->tolerance);
    put(&t, ",\"top\":");
    put_u64(&t, request->top);
    put(&t, ",\"return\":[");
    bool first = true;
    for (size_t i = 0; i < RETURNS; i++)
        if (request->want & returns[i].want) {
            put(&t, first ? "" : ",");
            put_string(&t, returns[i].word);
            first = false;
        }
    put(&t, "]}");
    return t.data;
}

char *fuzz_retrieve_query(const srv_retrieve_args *args)
{
    growing t = {0};
    const hop_request *request = &args->request;
    put(&t, "mode=");
    put(&t, hop_mode_word(request->mode));
    put_parameters(&t, request, false);
    if (args->beta_given) {
        put(&t, "&beta=");
        put_f64(&t, request->beta);
    }
    if (args->max_error_given) {
        put(&t, "&max_error=");
        put_f64(&t, request->max_error);
    }
    put(&t, request->best_effort ? "&on_unmet=best_effort&steps=" : "&on_unmet=error&steps=");
    put_u64(&t, request->steps);
    put(&t, "&tolerance=");
    put_f64(&t, request->tolerance);
    put(&t, "&top=");
    put_u64(&t, request->top);
    put(&t, "&return=");
    bool first = true;
    for (size_t i = 0; i < RETURNS; i++)
        if (request->want & returns[i].want) {
            put(&t, first ? "" : ",");
            put(&t, returns[i].word);
            first = false;
        }
    return t.data;
}

char *fuzz_upload_json(const fuzz_uploaded *args)
{
    growing t = {0};
    put_rows(&t, "{\"memories\"", args->M, args->d, args->memories);
    if (args->p > 0)
        put_rows(&t, ",\"values\"", args->M, args->p, args->values);
    for (size_t i = 0; args->labels && i < args->M; i++) {
        put(&t, i == 0 ? ",\"labels\":[" : ",");
        put_string(&t, args->labels[i]);
    }
    put(&t, args->labels ? "]" : "");
    if (args->beta > 0) {
        put(&t, ",\"beta\":");
        put_f64(&t, args->beta);
    }
    if (args->max_error >= 0) {
        put(&t, ",\"max_error\":");
        put_f64(&t, args->max_error);
    }
    if (args->max_degree >= 0) {
        put(&t, ",\"max_degree\":");
        put_u64(&t, (uint64_t)args->max_degree);
    }
    put(&t, ",\"similarity\":");
    put_string(&t, hop_similarity_word(args->similarity));
    put(&t, "}");
    return t.data;
}

char *fuzz_upload_query(const fuzz_uploaded *args)
{
    growing t = {0};
    put(&t, "d=");
    put_u64(&t, args->d);
    put(&t, "&similarity=");
    put(&t, hop_similarity_word(args->similarity));
    if (args->beta > 0) {
        put(&t, "&beta=");
        put_f64(&t, args->beta);
    }
    if (args->max_error >= 0) {
        put(&t, "&max_error=");
        put_f64(&t, args->max_error);
    }
    if (args->max_degree >= 0) {
        put(&t, "&max_degree=");
        put_u64(&t, (uint64_t)args->max_degree);
    }
    return t.data;
}

static bool same_f64(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

void fuzz_check_same_retrieve(const srv_retrieve_args *a, const srv_retrieve_args *b, size_t d)
{
    const hop_request *p = &a->request, *q = &b->request;
    FUZZ_CHECK(a->L == b->L && memcmp(a->x, b->x, a->L * d * sizeof(float)) == 0);
    FUZZ_CHECK(a->beta_given == b->beta_given && a->max_error_given == b->max_error_given);
    FUZZ_CHECK(same_f64(p->beta, q->beta) && same_f64(p->max_error, q->max_error) && p->mode == q->mode);
    FUZZ_CHECK(p->best_effort == q->best_effort && p->steps == q->steps && p->tolerance == q->tolerance);
    FUZZ_CHECK(p->want == q->want && p->top == q->top);
    const hop_parameters *m = &p->parameters, *n = &q->parameters;
    FUZZ_CHECK(m->k == n->k && m->keep == n->keep && m->seed == n->seed && m->width == n->width);
    FUZZ_CHECK(m->features == n->features && m->alpha == n->alpha);
    /* What a reader promises. */
    FUZZ_CHECK(!a->beta_given || (isfinite(p->beta) && p->beta > 0));
    FUZZ_CHECK(!a->max_error_given || (isfinite(p->max_error) && p->max_error >= 0));
    FUZZ_CHECK(p->steps >= 1 && p->steps <= HOP_STEPS_MAX && p->top >= 1 && p->top <= SRV_TOP_MAX);
    FUZZ_CHECK(m->k >= 1 && m->k <= INT64_MAX && m->keep > 0 && m->keep <= 1 && m->seed <= INT64_MAX);
    FUZZ_CHECK((m->width <= INT64_MAX || m->width == SIZE_MAX) && m->features <= HOP_FEATURES_MAX);
    FUZZ_CHECK(m->alpha >= 1.01 && m->alpha <= 2);
    FUZZ_CHECK(a->L >= 1 && a->L <= fuzz_limits.rows);
    for (size_t i = 0; i < a->L * d; i++)
        FUZZ_CHECK(isfinite(a->x[i]));
}

void fuzz_check_same_upload(const fuzz_uploaded *a, const fuzz_uploaded *b)
{
    FUZZ_CHECK(a->M == b->M && a->d == b->d && a->p == b->p && a->M >= 1 && a->d >= 1);
    FUZZ_CHECK(memcmp(a->memories, b->memories, a->M * a->d * sizeof(float)) == 0);
    FUZZ_CHECK(a->p == 0 || memcmp(a->values, b->values, a->M * a->p * sizeof(float)) == 0);
    FUZZ_CHECK((a->p == 0) == (a->values == NULL) && (a->labels == NULL) == (b->labels == NULL));
    for (size_t i = 0; a->labels && i < a->M; i++)
        FUZZ_CHECK(strcmp(a->labels[i], b->labels[i]) == 0 && strlen(a->labels[i]) <= SRV_LABEL_BYTES);
    FUZZ_CHECK(a->beta == b->beta && a->max_error == b->max_error && a->max_degree == b->max_degree);
    FUZZ_CHECK(a->similarity == b->similarity && isfinite(a->beta) && isfinite(a->max_error));
    for (size_t i = 0; i < a->M * a->d; i++)
        FUZZ_CHECK(isfinite(a->memories[i]));
}

size_t fuzz_parameters(char *text, srv_parameter *parameters, size_t n)
{
    size_t count = 0;
    char *pair;
    while (count < n && (pair = strsep(&text, "&")) != NULL) {
        char *value = pair;
        strsep(&value, "=");
        parameters[count].name = pair;
        parameters[count++].value = value ? value : "";
    }
    return count;
}

void fuzz_check_error(hop_status status, const hop_error *error)
{
    FUZZ_CHECK(status != HOP_OK && error->status == status && error->text[0] != '\0');
    FUZZ_CHECK(status == HOP_E_FORMAT || status == HOP_E_SHAPE || status == HOP_E_DOMAIN || status == HOP_E_UNKNOWN ||
               status == HOP_E_LIMIT || status == HOP_E_BUDGET);
}
