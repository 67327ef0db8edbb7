/*
 * json_upload.c - one walk over a JSON body that comes in pieces. Numbers are numbers.c's, strings and the way past
 * other values json_text.c's, the small members json.c's and options.c's.
 *
 * Pieces are copied to a window, behind what the walk could not take of the piece before: less than a number and a
 * word. As in envelope.c the rest of the body, a `0` in the place of each array, is kept as text.
 */
#include "server/json_upload.h"

#include "server/arrays.h"
#include "server/options.h"
#include "server/refuse.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW_BYTES = 64 * 1024,
    REST_BYTES = SRV_ENVELOPE_BYTES + 8, /* a word may stand behind the last byte that is allowed */
    KEY_BYTES = 256                      /* keys that take more room than this in the text are none of ours */
};

_Static_assert(WINDOW_BYTES > SRV_NUMBER_BYTES + 64, "what is left of a piece never fills the window");

/* What comes next. */
typedef enum state {
    BODY,
    FIRST_NAME, /* or the object's end */
    NAME,
    IN_NAME,
    COLON,
    VALUE,
    IN_VALUE, /* a small one */
    IN_NUMBERS,
    LABEL, /* or, before the first one, the list's end */
    IN_LABEL,
    LABEL_END,
    MEMBER_END,
    BEHIND
} state;

enum { MEMORIES, VALUES, LABELS, BULK };

/* One of them: its limits, and once it was found what it came to; the arrays themselves pass through. */
typedef struct member {
    srv_numbers_limits limits; /* of LABELS the name alone */
    bool found;
    size_t rows, columns; /* LABELS: rows is how many so far */
} member;

struct srv_json_upload {
    srv_json_upload_kind kind;
    srv_args_limits limits;
    srv_json_sink sink;

    char *window;
    size_t used, offset; /* bytes in the window, and which of the body the first is */

    srv_envelope rest;    /* text, gaps and the first oversize value so far */
    size_t kept;          /* bytes of the rest; those beyond SRV_ENVELOPE_BYTES are only counted */
    size_t kept_at_value; /* before the value that is being skipped */
    size_t cut_end;       /* byte of the body behind the last gap */

    state state;
    member bulk[BULK];
    member *member; /* the bulk member whose value is next; NULL: a small one */
    size_t start;   /* byte of the body where the name or the value begins */
    size_t length;  /* decoded so far of the name or the label */
    char name[KEY_BYTES];
    char label[SRV_LABEL_BYTES];
    srv_skip skip;
    srv_numbers_reader numbers;
};

/* ---- making one -------------------------------------------------------------------------------------- */

/* Room for a batch of numbers and the row that completes it. */
static size_t numbers_bytes(const srv_args_limits *limits)
{
    assert(limits->columns <= SIZE_MAX / 16);
    return (SRV_NUMBERS_BATCH + limits->columns) * sizeof(float);
}

size_t srv_json_upload_bytes(const srv_args_limits *limits)
{
    return sizeof(srv_json_upload) + WINDOW_BYTES + 1 + REST_BYTES + numbers_bytes(limits);
}

hop_status srv_json_upload_new(srv_json_upload_kind kind, const srv_args_limits *limits, const srv_json_sink *sink,
                               srv_json_upload **out, hop_error *error)
{
    srv_json_upload *u = malloc(sizeof *u);
    char *window = malloc(WINDOW_BYTES + 1), *rest = malloc(REST_BYTES);
    if (!u || !window || !rest) {
        free(u);
        free(window);
        free(rest);
        return srv_refuse(error, HOP_E_NOMEM, -1, -1, -1, "out of memory for an upload");
    }
    *u = (srv_json_upload){.kind = kind,
                           .limits = *limits,
                           .sink = *sink,
                           .window = window,
                           .rest = {.text = rest, .oversize = -1},
                           .bulk = {{.limits.name = "memories"}, {.limits.name = "values"}, {.limits.name = "labels"}}};
    for (unsigned i = 0; i < LABELS; i++) {
        u->bulk[i].limits.rows = limits->rows;
        u->bulk[i].limits.columns = limits->columns;
        u->bulk[i].limits.bytes = numbers_bytes(limits);
    }
    *out = u;
    return HOP_OK;
}

void srv_json_upload_free(srv_json_upload *u)
{
    if (!u)
        return;
    free(u->numbers.data);
    free(u->window);
    free(u->rest.text);
    free(u);
}

/* ---- the walk ---------------------------------------------------------------------------------------- */

/* A walk over the window: piece.text[at] is next, the rest has what is before `seen`. */
typedef struct walk {
    srv_json_upload *u;
    srv_piece piece;
    size_t at, seen;
    bool more; /* the window ends where the body goes on, or with the body */
    hop_error *error;
} walk;

static size_t byte_of(const walk *k)
{
    return k->piece.offset + k->at;
}

/* To the next byte that is no white space. False: there is none, and others will come. */
static bool find_next(walk *k)
{
    while (k->at < k->piece.n && srv_json_space(k->piece.text[k->at]))
        k->at++;
    k->more = k->at == k->piece.n && !k->piece.last;
    return !k->more;
}

static bool next_is(const walk *k, char c)
{
    return k->at < k->piece.n && k->piece.text[k->at] == c;
}

static hop_status malformed(walk *k, const char *what)
{
    return srv_json_malformed(&k->piece, k->at, what, k->error);
}

/* What was walked over since the last call belongs to the rest. */
static void keep(walk *k)
{
    srv_json_upload *u = k->u;
    size_t n = k->at - k->seen;
    if (u->kept < SRV_ENVELOPE_BYTES)
        memcpy(u->rest.text + u->kept, k->piece.text + k->seen,
               n < SRV_ENVELOPE_BYTES - u->kept ? n : SRV_ENVELOPE_BYTES - u->kept);
    u->kept += n;
    k->seen = k->at;
}

static hop_status check_rest(walk *k)
{
    srv_json_upload *u = k->u;
    if (u->kept <= SRV_ENVELOPE_BYTES)
        return HOP_OK;
    return srv_refuse_limit(k->error, HOP_E_FORMAT, -1, -1, SRV_ENVELOPE_BYTES, (double)u->kept,
                            "malformed JSON: more than %d bytes outside the arrays (byte %zu)", SRV_ENVELOPE_BYTES,
                            u->cut_end);
}

/* The value that ends here is not in the rest; `word` stands in its place. */
static hop_status cut(walk *k, const char *word)
{
    srv_json_upload *u = k->u;
    hop_status status = check_rest(k);
    if (status != HOP_OK)
        return status;
    if (u->rest.n_gaps == SRV_ENVELOPE_GAPS)
        return srv_refuse(k->error, HOP_E_FORMAT, -1, -1, (int64_t)u->start,
                          "malformed JSON: too many large values (byte %zu)", u->start);
    size_t length = strlen(word);
    memcpy(u->rest.text + u->kept, word, length);
    u->kept += length;
    k->seen = k->at;
    u->cut_end = byte_of(k);
    u->rest.gaps[u->rest.n_gaps].at = u->kept;
    u->rest.gaps[u->rest.n_gaps].cut = u->cut_end - u->kept;
    u->rest.n_gaps++;
    return HOP_OK;
}

static hop_status begin_body(walk *k)
{
    if (k->at == k->piece.n)
        return srv_refuse(k->error, HOP_E_FORMAT, -1, -1, 0, "malformed JSON: the body is empty (byte 0)");
    if (!next_is(k, '{'))
        return malformed(k, "the body must be an object, '{' expected");
    k->at++;
    k->u->state = FIRST_NAME;
    return HOP_OK;
}

static hop_status end_object(walk *k)
{
    k->at++;
    k->u->state = BEHIND;
    keep(k);
    return check_rest(k);
}

static hop_status begin_name(walk *k)
{
    srv_json_upload *u = k->u;
    if (!next_is(k, '"'))
        return malformed(k, "a field name in quotes expected");
    u->start = byte_of(k);
    u->length = 0;
    u->state = IN_NAME;
    k->at++;
    return HOP_OK;
}

/* Behind the name's closing quote. */
static hop_status end_name(walk *k)
{
    srv_json_upload *u = k->u;
    u->state = COLON;
    u->member = NULL;
    if (byte_of(k) - u->start > KEY_BYTES)
        return HOP_OK;
    for (unsigned i = 0; i < BULK; i++) {
        const char *name = u->bulk[i].limits.name;
        if (strlen(name) == u->length && memcmp(name, u->name, u->length) == 0)
            u->member = &u->bulk[i];
    }
    if (u->member && u->member->found)
        return srv_refuse(k->error, HOP_E_FORMAT, -1, -1, (int64_t)u->start,
                          "malformed JSON: `%s` comes twice (byte %zu)", u->member->limits.name, u->start);
    return HOP_OK;
}

static hop_status read_name(walk *k)
{
    bool done;
    hop_status status = srv_string_part(&k->piece, &k->at, k->u->name, KEY_BYTES, &k->u->length, &done, k->error);
    if (status != HOP_OK)
        return status;
    k->more = !done;
    return done ? end_name(k) : HOP_OK;
}

static hop_status read_colon(walk *k)
{
    if (!next_is(k, ':'))
        return malformed(k, "':' expected");
    k->at++;
    k->u->state = VALUE;
    return HOP_OK;
}

/* An array of ours, or a value that stays in the rest. */
static hop_status begin_value(walk *k)
{
    srv_json_upload *u = k->u;
    keep(k);
    u->start = byte_of(k);
    if (!u->member || !next_is(k, '[')) { /* json.c names a wrong type */
        u->kept_at_value = u->kept;
        u->skip = (srv_skip){0};
        u->state = IN_VALUE;
        return HOP_OK;
    }
    k->at++;
    if (u->member == &u->bulk[LABELS]) {
        u->state = LABEL;
        return HOP_OK;
    }
    u->numbers = (srv_numbers_reader){
        .limits = &u->member->limits,
        .take = u->member == &u->bulk[MEMORIES] ? u->sink.memories : u->sink.values,
        .context = u->sink.context,
        .data = u->numbers.data, /* of the other array: empty */
        .capacity = u->numbers.capacity,
    };
    u->state = IN_NUMBERS;
    return HOP_OK;
}

static hop_status read_value(walk *k)
{
    srv_json_upload *u = k->u;
    bool done;
    hop_status status = srv_skip_part(&u->skip, &k->piece, &k->at, &done, k->error);
    if (status != HOP_OK)
        return status;
    keep(k);
    k->more = !done;
    if (!done)
        return HOP_OK;
    u->state = MEMBER_END;
    if (u->member || byte_of(k) - u->start <= SRV_ENVELOPE_VALUE)
        return HOP_OK;
    if (u->rest.oversize < 0)
        u->rest.oversize = (int64_t)u->start;
    u->kept = u->kept_at_value;
    return cut(k, "null");
}

/* Behind the bracket that closes an array of ours. */
static hop_status end_array(walk *k)
{
    k->u->member->found = true;
    k->u->state = MEMBER_END;
    return cut(k, "0");
}

static hop_status read_numbers(walk *k)
{
    srv_json_upload *u = k->u;
    bool done;
    hop_status status = srv_numbers_feed(&u->numbers, &k->piece, &k->at, &done, k->error);
    if (status != HOP_OK)
        return status;
    k->more = !done;
    if (!done)
        return HOP_OK;
    u->member->rows = u->numbers.rows;
    u->member->columns = u->numbers.columns;
    return end_array(k);
}

static hop_status begin_label(walk *k)
{
    srv_json_upload *u = k->u;
    size_t count = u->bulk[LABELS].rows;
    if (count == 0 && next_is(k, ']')) {
        k->at++;
        return end_array(k);
    }
    if (!next_is(k, '"'))
        return srv_refuse(k->error, HOP_E_FORMAT, (int64_t)count, -1, (int64_t)byte_of(k),
                          "labels: entry %zu is not a string (byte %zu)", count, byte_of(k));
    k->at++;
    u->length = 0;
    u->state = IN_LABEL;
    return HOP_OK;
}

static hop_status read_label(walk *k)
{
    srv_json_upload *u = k->u;
    size_t *count = &u->bulk[LABELS].rows;
    bool done;
    hop_status status = srv_string_part(&k->piece, &k->at, u->label, SRV_LABEL_BYTES, &u->length, &done, k->error);
    if (status != HOP_OK)
        return status;
    k->more = !done;
    if (!done)
        return HOP_OK;
    if (u->length > SRV_LABEL_BYTES)
        return srv_refuse_limit(k->error, HOP_E_LIMIT, (int64_t)*count, -1, SRV_LABEL_BYTES, (double)u->length,
                                "labels: entry %zu has %zu bytes, the limit is %d", *count, u->length, SRV_LABEL_BYTES);
    status = u->sink.label(u->sink.context, u->label, u->length, k->error);
    if (status != HOP_OK)
        return status;
    ++*count;
    u->state = LABEL_END;
    return HOP_OK;
}

static hop_status end_label(walk *k)
{
    size_t count = k->u->bulk[LABELS].rows;
    bool end = next_is(k, ']');
    if (!end && !next_is(k, ','))
        return srv_refuse(k->error, HOP_E_FORMAT, (int64_t)count, -1, (int64_t)byte_of(k),
                          "labels: ',' or ']' expected after entry %zu (byte %zu)", count - 1, byte_of(k));
    k->at++;
    k->u->state = LABEL;
    return end ? end_array(k) : HOP_OK;
}

static hop_status end_member(walk *k)
{
    if (next_is(k, '}'))
        return end_object(k);
    if (!next_is(k, ','))
        return malformed(k, "',' or '}' expected");
    k->at++;
    k->u->state = NAME;
    return HOP_OK;
}

/* Nothing but white space may follow. */
static hop_status read_behind(walk *k)
{
    k->more = k->at == k->piece.n;
    return k->more ? HOP_OK : malformed(k, "something follows the object");
}

static hop_status step(walk *k)
{
    state now = k->u->state;
    if (now == IN_NAME)
        return read_name(k);
    if (now == IN_VALUE)
        return read_value(k);
    if (now == IN_NUMBERS)
        return read_numbers(k);
    if (now == IN_LABEL)
        return read_label(k);
    if (!find_next(k))
        return HOP_OK;
    switch (now) {
    case BODY:
        return begin_body(k);
    case FIRST_NAME:
        return next_is(k, '}') ? end_object(k) : begin_name(k);
    case NAME:
        return begin_name(k);
    case COLON:
        return read_colon(k);
    case VALUE:
        return begin_value(k);
    case LABEL:
        return begin_label(k);
    case LABEL_END:
        return end_label(k);
    case MEMBER_END:
        return end_member(k);
    default:
        return read_behind(k);
    }
}

/* True while an array of ours, or what is behind the object, passes by: nothing of it belongs to the rest. */
static bool passes(state now)
{
    return now == IN_NUMBERS || now == LABEL || now == IN_LABEL || now == LABEL_END || now == BEHIND;
}

/* Walk over the window; what could not be taken moves to its front. */
static hop_status advance(srv_json_upload *u, bool last, hop_error *error)
{
    u->window[u->used] = '\0';
    walk k = {.u = u, .piece = {.text = u->window, .n = u->used, .offset = u->offset, .last = last}, .error = error};
    while (!k.more) {
        hop_status status = step(&k);
        if (status != HOP_OK)
            return status;
    }
    if (!passes(u->state))
        keep(&k);
    u->used -= k.at;
    u->offset += k.at;
    memmove(u->window, u->window + k.at, u->used);
    return HOP_OK;
}

hop_status srv_json_upload_feed(srv_json_upload *u, const void *bytes, size_t n, hop_error *error)
{
    const char *from = bytes;
    while (n > 0) {
        assert(u->used < WINDOW_BYTES);
        size_t room = WINDOW_BYTES - u->used, count = n < room ? n : room;
        memcpy(u->window + u->used, from, count);
        u->used += count;
        from += count;
        n -= count;
        hop_status status = advance(u, false, error);
        if (status != HOP_OK)
            return status;
    }
    return HOP_OK;
}

/* ---- the end ----------------------------------------------------------------------------------------- */

/* The arrays against each other. */
static hop_status check_arrays(const srv_json_upload *u, const srv_json *json, hop_error *error)
{
    for (unsigned i = 0; i < BULK; i++) {
        const char *type = i == LABELS ? "a list of strings" : "a list of rows of numbers";
        hop_status status = srv_arrays_check_type(json, u->bulk[i].limits.name, u->bulk[i].found, type, error);
        if (status != HOP_OK)
            return status;
    }
    const member *memories = &u->bulk[MEMORIES], *values = &u->bulk[VALUES], *labels = &u->bulk[LABELS];
    size_t M = memories->rows;
    if (!memories->found)
        return srv_refuse(error, HOP_E_FORMAT, -1, -1, -1, "`memories` is missing");
    if (values->found && (values->rows != M || (M > 0 && values->columns == 0)))
        return srv_refuse(error, HOP_E_SHAPE, -1, -1, -1,
                          "values: %zu x %zu numbers for %zu memories; a row of at least one number each expected",
                          values->rows, values->columns, M);
    if (labels->found && labels->rows != M)
        return srv_refuse(error, HOP_E_SHAPE, -1, -1, -1, "labels: %zu for %zu memories; one each expected",
                          labels->rows, M);
    if (M == 0)
        return srv_refuse(error, HOP_E_SHAPE, -1, -1, -1, "memories: no rows; at least one memory expected");
    if (memories->columns == 0)
        return srv_refuse(error, HOP_E_SHAPE, 0, -1, -1, "memories: row 0 is empty; at least one number expected");
    return HOP_OK;
}

static hop_status read_small_members(const srv_json_upload *u, const srv_options *options, const char *const *known,
                                     srv_json_upload_result *result, hop_error *error)
{
    hop_status status = srv_options_check(options, known, error);
    if (status == HOP_OK)
        status = srv_upload_options_read(options, u->limits.columns, &result->options, error);
    if (status == HOP_OK)
        status = check_arrays(u, options->json, error);
    if (status != HOP_OK)
        return status;
    const member *memories = &u->bulk[MEMORIES];
    size_t d = result->options.d;
    if (d != 0 && memories->columns != d)
        return srv_refuse_limit(error, HOP_E_SHAPE, 0, -1, (double)d, (double)memories->columns,
                                "memories: row 0 has %zu numbers, the parameter d says %zu", memories->columns, d);
    result->M = memories->rows;
    result->d = memories->columns;
    result->p = u->bulk[VALUES].columns;
    result->labels = u->bulk[LABELS].found;
    return HOP_OK;
}

hop_status srv_json_upload_end(srv_json_upload *u, const srv_parameter *parameters, size_t n_parameters,
                               const char *const *known, srv_json_upload_result *out, hop_error *error)
{
    static const char *const set_names[] = {"memories",  "values",     "labels",     "beta",
                                            "max_error", "max_degree", "similarity", NULL};
    static const char *const rows_names[] = {"memories", "values", "labels", NULL};
    hop_status status = advance(u, true, error);
    if (status != HOP_OK)
        return status;
    u->rest.n = u->kept;
    srv_json *json;
    status = srv_arrays_open_rest(&u->rest, u->kind == SRV_JSON_SET ? set_names : rows_names, &json, error);
    if (status != HOP_OK)
        return status;
    const srv_options options = {.json = json, .parameters = parameters, .n_parameters = n_parameters};
    srv_json_upload_result result = {0};
    status = read_small_members(u, &options, known, &result, error);
    srv_json_free(json);
    if (status == HOP_OK)
        *out = result;
    return status;
}
