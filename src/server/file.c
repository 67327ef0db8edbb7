/*
 * file.c - see file.h. Messages name the path and the system's reason; what the file is for is the caller's to say.
 */
#include "server/file.h"

#include "core/status.h"
#include "server/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static hop_status not_regular(const char *path, hop_error *error)
{
    return hop_fail(error, HOP_E_IO, "%.160s: this is no regular file", path);
}

hop_status srv_file_read(const char *path, srv_text *out, hop_error *error)
{
    /* Not blocking: opening a FIFO would wait for a writer. */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ELOOP)
        return not_regular(path, error);
    if (fd < 0)
        return hop_fail(error, errno == ENOENT ? HOP_E_NOT_FOUND : HOP_E_IO, "%.160s: %s", path, strerror(errno));
    struct stat about;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        close(fd);
        return not_regular(path, error);
    }
    char piece[4096];
    ssize_t n = 0;
    while (!out->failed && (n = read(fd, piece, sizeof piece)) > 0)
        srv_text_append(out, piece, (size_t)n);
    int code = errno;
    close(fd);
    if (n < 0)
        return hop_fail(error, HOP_E_IO, "%.160s: %s", path, strerror(code));
    return out->failed ? hop_fail(error, HOP_E_LIMIT, "%.160s: too long", path) : HOP_OK;
}

hop_status srv_file_replace(const char *path, const char *bytes, size_t n, hop_error *error)
{
    struct stat about;
    if (lstat(path, &about) == 0 && !S_ISREG(about.st_mode))
        return not_regular(path, error);
    char aside[SRV_PATH_BYTES + 32];
    snprintf(aside, sizeof aside, "%s.%ld.tmp", path, (long)getpid());
    FILE *file = fopen(aside, "wxe");
    if (!file && errno == EEXIST && unlink(aside) == 0) /* of a process of that number that was killed here */
        file = fopen(aside, "wxe");
    bool ok = file && fwrite(bytes, 1, n, file) == n;
    ok = file && fclose(file) == 0 && ok;
    if (ok && rename(aside, path) == 0)
        return HOP_OK;
    int code = errno;
    if (file)
        unlink(aside);
    return hop_fail(error, HOP_E_IO, "%.160s: %s", path, strerror(code));
}
