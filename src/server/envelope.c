/*
 * envelope.c - one walk over a JSON body: bulk members into arrays, the rest squeezed together. What the rest
 * means is json.c's and args.c's; how arrays and strings are read is numbers.c's.
 */
#include "server/envelope.h"

#include "server/base64.h"
#include "server/refuse.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_BYTES = 256 }; /* keys that take more room than this in the text are none of ours */

/* The walk: body[i] is next; body[0..w) is the rest so far; body[copied..i) belongs to it too. */
typedef struct walk {
    char *body;
    size_t n, i, w, copied;
    srv_bulk *bulk;
    size_t n_bulk;
    srv_envelope *out;
    hop_error *error;
} walk;

static void skip_space(walk *k)
{
    while (k->i < k->n && srv_json_space(k->body[k->i]))
        k->i++;
}

static bool next_is(const walk *k, char c)
{
    return k->i < k->n && k->body[k->i] == c;
}

static hop_status malformed(walk *k, const char *what)
{
    const srv_piece piece = {.text = k->body, .n = k->n, .last = true};
    return srv_json_malformed(&piece, k->i, what, k->error);
}

/* Move body[copied..i) to the rest. */
static hop_status keep(walk *k)
{
    size_t length = k->i - k->copied;
    if (length > SRV_ENVELOPE_BYTES || k->w > SRV_ENVELOPE_BYTES - length)
        return srv_refuse_limit(k->error, HOP_E_FORMAT, -1, -1, SRV_ENVELOPE_BYTES, (double)k->w + (double)length,
                                "malformed JSON: more than %d bytes outside the arrays (byte %zu)", SRV_ENVELOPE_BYTES,
                                k->copied);
    memmove(k->body + k->w, k->body + k->copied, length);
    k->w += length;
    k->copied = k->i;
    return HOP_OK;
}

/* The value body[i..end) leaves; `word` stands in its place. */
static hop_status cut(walk *k, size_t end, const char *word)
{
    hop_status status = keep(k);
    if (status != HOP_OK)
        return status;
    size_t length = strlen(word);
    if (k->out->n_gaps == SRV_ENVELOPE_GAPS)
        return malformed(k, "too many large values");
    memcpy(k->body + k->w, word, length);
    k->w += length;
    k->i = k->copied = end;
    k->out->gaps[k->out->n_gaps].at = k->w;
    k->out->gaps[k->out->n_gaps].cut = end - k->w;
    k->out->n_gaps++;
    return HOP_OK;
}

static hop_status skip_value(walk *k)
{
    const srv_piece piece = {.text = k->body, .n = k->n, .last = true};
    srv_skip skip = {0};
    bool done;
    return srv_skip_part(&skip, &piece, &k->i, &done, k->error);
}

/* The base64 string whose quote is body[i], decoded where it stands and then into an array. */
static hop_status read_base64(walk *k, srv_bulk *bulk, size_t *end)
{
    char *text = k->body + k->i + 1;
    size_t length;
    hop_status status = srv_string_decode(k->body, k->n, k->i, text, &length, end, k->error);
    if (status != HOP_OK)
        return status;
    bool escaped = *end - k->i - 2 != length;
    size_t most = srv_base64_decoded_max(length);
    /* Padding makes up to two bytes less than `most`. */
    if (most > bulk->limits.bytes && most - bulk->limits.bytes > 2)
        return srv_refuse_limit(k->error, bulk->limits.bytes_status, -1, -1, (double)bulk->limits.bytes, (double)most,
                                "%s: about %zu bytes, the limit is %zu", bulk->limits.name, most, bulk->limits.bytes);
    float *data = malloc(most > 0 ? most : 1);
    if (!data)
        return srv_refuse(k->error, HOP_E_NOMEM, -1, -1, -1, "%s: out of memory", bulk->limits.name);
    hop_error inner = HOP_ERROR_NONE;
    size_t bytes;
    status = srv_base64_decode(text, length, data, &bytes, &inner);
    if (status != HOP_OK) {
        free(data);
        int64_t byte = escaped || inner.byte < 0 ? (int64_t)k->i : (int64_t)k->i + 1 + inner.byte;
        return srv_refuse(k->error, status, -1, -1, byte, "%s: %s (byte %lld of the body)", bulk->limits.name,
                          inner.text, (long long)byte);
    }
    if (bytes % sizeof(float) != 0) {
        free(data);
        return srv_refuse(k->error, HOP_E_FORMAT, -1, -1, (int64_t)k->i,
                          "%s: %zu bytes are not a whole number of f32 (byte %zu of the body)", bulk->limits.name,
                          bytes, k->i);
    }
    bulk->numbers = (srv_numbers){.rows = 1, .columns = bytes / sizeof(float), .data = data};
    return HOP_OK;
}

/* The value of a bulk member: into its array and out of the body. */
static hop_status read_bulk(walk *k, srv_bulk *bulk)
{
    char quote = bulk->kind == SRV_BULK_BASE64 ? '"' : '[';
    if (!next_is(k, quote))
        return skip_value(k); /* json.c names its wrong type */
    size_t end;
    hop_status status;
    if (bulk->kind == SRV_BULK_NUMBERS)
        status = srv_numbers_read(k->body, k->n, k->i, &bulk->limits, &end, &bulk->numbers, k->error);
    else if (bulk->kind == SRV_BULK_STRINGS)
        status = srv_strings_read(k->body, k->n, k->i, bulk->limits.name, bulk->limits.columns, bulk->limits.bytes,
                                  &end, &bulk->strings, k->error);
    else if (bulk->kind == SRV_BULK_IDS)
        status = srv_ids_read(k->body, k->n, k->i, bulk->limits.name, &end, &bulk->ids, k->error);
    else
        status = read_base64(k, bulk, &end);
    if (status != HOP_OK)
        return status;
    bulk->found = true;
    return cut(k, end, "0");
}

/* The bulk member that the key at body[i] names, or NULL; i moves behind the key. */
static hop_status read_key(walk *k, srv_bulk **bulk)
{
    char key[KEY_BYTES];
    size_t length, end, start = k->i;
    hop_status status = srv_string_decode(k->body, k->n, k->i, NULL, &length, &end, k->error);
    if (status != HOP_OK)
        return status;
    *bulk = NULL;
    k->i = end;
    if (end - start > KEY_BYTES)
        return HOP_OK;
    status = srv_string_decode(k->body, k->n, start, key, &length, &end, k->error);
    if (status != HOP_OK)
        return status;
    for (size_t b = 0; b < k->n_bulk; b++)
        if (strlen(k->bulk[b].limits.name) == length && memcmp(k->bulk[b].limits.name, key, length) == 0)
            *bulk = &k->bulk[b];
    if (*bulk && (*bulk)->found)
        return srv_refuse(k->error, HOP_E_FORMAT, -1, -1, (int64_t)start, "malformed JSON: `%s` comes twice (byte %zu)",
                          (*bulk)->limits.name, start);
    return HOP_OK;
}

static hop_status read_member(walk *k)
{
    if (!next_is(k, '"'))
        return malformed(k, "a field name in quotes expected");
    srv_bulk *bulk;
    hop_status status = read_key(k, &bulk);
    if (status != HOP_OK)
        return status;
    skip_space(k);
    if (!next_is(k, ':'))
        return malformed(k, "':' expected");
    k->i++;
    skip_space(k);
    if (bulk)
        return read_bulk(k, bulk);
    size_t start = k->i;
    status = skip_value(k);
    if (status != HOP_OK || k->i - start <= SRV_ENVELOPE_VALUE)
        return status;
    size_t end = k->i;
    k->i = start;
    if (k->out->oversize < 0)
        k->out->oversize = (int64_t)start;
    return cut(k, end, "null");
}

static hop_status walk_body(walk *k)
{
    skip_space(k);
    if (k->i == k->n)
        return srv_refuse(k->error, HOP_E_FORMAT, -1, -1, 0, "malformed JSON: the body is empty (byte 0)");
    if (!next_is(k, '{'))
        return malformed(k, "the body must be an object, '{' expected");
    k->i++;
    skip_space(k);
    if (next_is(k, '}')) {
        k->i++;
    } else {
        for (;;) {
            skip_space(k);
            hop_status status = read_member(k);
            if (status != HOP_OK)
                return status;
            skip_space(k);
            bool last = next_is(k, '}');
            if (!last && !next_is(k, ','))
                return malformed(k, "',' or '}' expected");
            k->i++;
            if (last)
                break;
        }
    }
    hop_status status = keep(k);
    if (status != HOP_OK)
        return status;
    skip_space(k);
    return k->i == k->n ? HOP_OK : malformed(k, "something follows the object");
}

hop_status srv_envelope_open(char *body, size_t n, srv_bulk *bulk, size_t n_bulk, srv_envelope *out, hop_error *error)
{
    srv_envelope result = {.text = body, .oversize = -1};
    walk k = {.body = body, .n = n, .bulk = bulk, .n_bulk = n_bulk, .out = &result, .error = error};
    hop_status status = walk_body(&k);
    if (status != HOP_OK)
        return status;
    result.n = k.w;
    *out = result;
    return HOP_OK;
}

void srv_bulk_fini(srv_bulk *bulk)
{
    if (!bulk)
        return;
    free(bulk->numbers.data);
    free(bulk->strings.text);
    free(bulk->ids.data);
    bulk->strings = (srv_strings){0};
    bulk->ids = (srv_ids){0};
    bulk->numbers = (srv_numbers){0};
    bulk->found = false;
}

size_t srv_envelope_origin(const srv_envelope *envelope, size_t at)
{
    size_t moved = 0;
    for (size_t i = 0; i < envelope->n_gaps && envelope->gaps[i].at <= at; i++)
        moved = envelope->gaps[i].cut;
    return at + moved;
}
