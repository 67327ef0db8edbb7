/*
 * fields.c - see fields.h.
 */
#include "store/fields.h"

#include "core/status.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void store_fields_identity(store_container *container, const char *kind, int format, const store_set *set)
{
    store_container_field(container, "writer", "hopfieldd");
    store_container_field(container, "kind", "%s", kind);
    store_container_field(container, "format", "%d", format);
    store_container_field(container, "name", "%s", set->name);
    store_container_field(container, "version", "%" PRIu64, set->version);
    store_container_field(container, "content_hash", "%016" PRIx64, set->content_hash);
}

bool store_fields_integer(const store_container *container, const char *name, int64_t low, int64_t high, int64_t *out)
{
    const char *text = store_container_find(container, name);
    char *end;
    if (!text || !*text)
        return false;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end || value < low || value > high)
        return false;
    *out = value;
    return true;
}

bool store_fields_real(const store_container *container, const char *name, double *out)
{
    const char *text = store_container_find(container, name);
    char *end;
    if (!text || !*text)
        return false;
    double value = strtod(text, &end);
    if (*end || !isfinite(value))
        return false;
    *out = value;
    return true;
}

static bool is(const store_container *container, const char *name, const char *value)
{
    const char *found = store_container_find(container, name);
    return found && strcmp(found, value) == 0;
}

hop_status store_fields_check(const store_container *container, store_identity *identity, hop_error *error)
{
    int64_t found;
    if (!is(container, "writer", "hopfieldd") || !is(container, "kind", identity->kind))
        return hop_fail(error, HOP_E_FORMAT, "it is no file of kind \"%s\"", identity->kind);
    if (!store_fields_integer(container, "format", 1, INT_MAX, &found) || found < identity->oldest ||
        found > identity->newest) {
        if (identity->oldest == identity->newest)
            return hop_fail(error, HOP_E_FORMAT, "it is not of format %d, which is all that this version reads",
                            identity->newest);
        return hop_fail(error, HOP_E_FORMAT, "it is not of formats %d to %d, which are what this version reads",
                        identity->oldest, identity->newest);
    }
    identity->format = (int)found;
    if (!is(container, "name", identity->name))
        return hop_fail(error, HOP_E_FORMAT, "it is of another set");
    if (!store_fields_integer(container, "version", 1, INT64_MAX, &found) || (uint64_t)found != identity->version)
        return hop_fail(error, HOP_E_FORMAT, "it is of another version of this set");
    const char *hash = store_container_find(container, "content_hash");
    char *end = NULL;
    if (hash)
        identity->content_hash = strtoull(hash, &end, 16);
    if (!hash || end != hash + 16 || *end)
        return hop_fail(error, HOP_E_FORMAT, "it names no content hash");
    return HOP_OK;
}
