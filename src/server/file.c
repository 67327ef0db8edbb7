/*
 * file.c - see file.h. Messages name the path and the system's reason; what the file is for is the caller's to say.
 */
#include "server/file.h"

#include "core/status.h"
#include "server/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

hop_status srv_file_read(const char *path, srv_text *out, hop_error *error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return hop_fail(error, errno == ENOENT ? HOP_E_NOT_FOUND : HOP_E_IO, "%.160s: %s", path, strerror(errno));
    char piece[4096];
    size_t n;
    while (!out->failed && (n = fread(piece, 1, sizeof piece, file)) > 0)
        srv_text_append(out, piece, n);
    int code = ferror(file) ? errno : 0;
    fclose(file);
    if (code)
        return hop_fail(error, HOP_E_IO, "%.160s: %s", path, strerror(code));
    return out->failed ? hop_fail(error, HOP_E_LIMIT, "%.160s: too long", path) : HOP_OK;
}

hop_status srv_file_replace(const char *path, const char *bytes, size_t n, hop_error *error)
{
    char aside[SRV_PATH_BYTES + 32];
    snprintf(aside, sizeof aside, "%s.%ld.tmp", path, (long)getpid());
    FILE *file = fopen(aside, "we");
    bool ok = file && fwrite(bytes, 1, n, file) == n;
    ok = file && fclose(file) == 0 && ok;
    if (ok && rename(aside, path) == 0)
        return HOP_OK;
    int code = errno;
    unlink(aside);
    return hop_fail(error, HOP_E_IO, "%.160s: %s", path, strerror(code));
}
