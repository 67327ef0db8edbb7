/*
 * ids.c - digits and commas, in one pass.
 */
#include "server/ids.h"

#include "server/json_text.h"
#include "server/refuse.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 64 };

/* Digits as JSON has them, below 2^63; false: text[*at] begins no such number. */
static bool take_id(const char *text, size_t n, size_t *at, uint64_t *out)
{
    size_t i = *at;
    uint64_t value = 0;
    while (i < n && text[i] >= '0' && text[i] <= '9') {
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (value > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
        i++;
    }
    if (i == *at || (i - *at > 1 && text[*at] == '0'))
        return false;
    *at = i;
    *out = value;
    return true;
}

static hop_status no_id(const char *name, size_t which, size_t at, bool body, hop_error *error)
{
    if (!body)
        return srv_refuse(error, HOP_E_FORMAT, (int64_t)which, -1, -1,
                          "%s: entry %zu must be a whole number of at least 0", name, which);
    return srv_refuse(error, HOP_E_FORMAT, (int64_t)which, -1, (int64_t)at,
                      "%s: entry %zu must be a whole number of at least 0 (byte %zu)", name, which, at);
}

static hop_status append(srv_ids *ids, size_t *room, uint64_t id, const char *name, hop_error *error)
{
    if (ids->count == *room) {
        size_t more = *room > 0 ? 2 * *room : FIRST_ROOM;
        uint64_t *moved = realloc(ids->data, more * sizeof *moved); /* the text is longer: no overflow */
        if (!moved)
            return srv_refuse(error, HOP_E_NOMEM, -1, -1, -1, "%s: out of memory", name);
        ids->data = moved;
        *room = more;
    }
    ids->data[ids->count++] = id;
    return HOP_OK;
}

/* Numbers up to the closing bracket, or to the end of the text where `body` is false. */
static hop_status take_list(const char *text, size_t n, size_t *at, bool body, const char *name, srv_ids *ids,
                            hop_error *error)
{
    size_t i = *at, room = 0;
    hop_status status = HOP_OK;
    for (;;) {
        uint64_t id;
        while (body && i < n && srv_json_space(text[i]))
            i++;
        size_t start = i;
        if (!take_id(text, n, &i, &id))
            return no_id(name, ids->count, start, body, error);
        while (body && i < n && srv_json_space(text[i]))
            i++;
        bool ends = body ? i < n && text[i] == ']' : i == n;
        if (!ends && (i == n || text[i] != ','))
            return no_id(name, ids->count, start, body, error);
        status = append(ids, &room, id, name, error);
        if (status != HOP_OK)
            return status;
        if (ends)
            break;
        i++; /* the comma */
    }
    *at = i;
    return HOP_OK;
}

static hop_status hand_over(hop_status status, srv_ids *ids, srv_ids *out)
{
    if (status == HOP_OK)
        *out = *ids;
    else
        free(ids->data);
    return status;
}

hop_status srv_ids_read(const char *text, size_t n, size_t at, const char *name, size_t *end, srv_ids *out,
                        hop_error *error)
{
    srv_ids ids = {0};
    hop_status status = HOP_OK;
    at++; /* the bracket */
    while (at < n && srv_json_space(text[at]))
        at++;
    if (at == n || text[at] != ']')
        status = take_list(text, n, &at, true, name, &ids, error);
    if (status == HOP_OK)
        *end = at + 1;
    return hand_over(status, &ids, out);
}

hop_status srv_ids_parse(const char *text, const char *name, srv_ids *out, hop_error *error)
{
    srv_ids ids = {0};
    size_t n = strlen(text), at = 0;
    hop_status status = n > 0 ? take_list(text, n, &at, false, name, &ids, error) : HOP_OK;
    return hand_over(status, &ids, out);
}
