/*
 * files.c - see files.h.
 */
#include "store/files.h"

#include "core/status.h"
#include "store/system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names that are tried where something is in the way that cannot be removed. */
enum { ASIDE_TRIES = 10 };

static const char *const asides[] = {
    [STORE_ASIDE_CHANGE] = ".tmp", [STORE_ASIDE_COMPACTION] = ".compact", [STORE_ASIDE_LEAVING] = ".deleted"};

hop_status store_file_cannot(const char *what, const char *name, int code, hop_error *error)
{
    return hop_fail(error, store_system_status(code), "cannot %s %.140s: %s", what, name, strerror(code));
}

/* ---- names --------------------------------------------------------------------------------------------- */

void store_file_name(char out[STORE_FILE_NAME_BYTES], store_file_kind kind, const char *name, uint64_t version)
{
    const char *ending = kind == STORE_FILE_LOG    ? ".log"
                         : kind == STORE_FILE_MAPS ? ".maps.safetensors"
                                                   : ".safetensors";
    snprintf(out, STORE_FILE_NAME_BYTES, "%s@%" PRIu64 "%s", name, version, ending);
}

static void aside_name(char out[STORE_FILE_NAME_BYTES], const char *name, store_aside how, int number)
{
    if (number == 0)
        snprintf(out, STORE_FILE_NAME_BYTES, "%.220s%s", name, asides[how]);
    else
        snprintf(out, STORE_FILE_NAME_BYTES, "%.220s%s%d", name, asides[how], number);
}

store_file_kind store_file_parse(const char *entry, store_found *out)
{
    const char *at = strchr(entry, '@');
    char again[STORE_FILE_NAME_BYTES], aside[STORE_FILE_NAME_BYTES];
    if (!at || (size_t)(at - entry) >= sizeof out->name)
        return STORE_FILE_OTHER;
    memcpy(out->name, entry, (size_t)(at - entry));
    out->name[at - entry] = '\0';
    errno = 0;
    out->version = strtoull(at + 1, NULL, 10);
    if (!store_name_valid(out->name) || errno || out->version == 0 || out->version > INT64_MAX)
        return STORE_FILE_OTHER;
    for (store_file_kind kind = STORE_FILE_SET; kind <= STORE_FILE_MAPS; kind++) {
        store_file_name(again, kind, out->name, out->version);
        if (strcmp(again, entry) == 0)
            return kind;
        if (strncmp(again, entry, strlen(again)) != 0)
            continue;
        for (int number = 0; number < ASIDE_TRIES; number++)
            for (store_aside how = STORE_ASIDE_CHANGE; how <= STORE_ASIDE_LEAVING; how++) {
                aside_name(aside, again, how, number);
                if (strcmp(aside, entry) == 0)
                    return STORE_FILE_STALE;
            }
    }
    return STORE_FILE_OTHER;
}

hop_status store_files_each(int folder, hop_status (*visit)(void *context, const char *entry, hop_error *),
                            void *context, hop_error *error)
{
    int fd = store_system_calls->open(folder, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (!stream) {
        int code = errno;
        if (fd >= 0)
            store_system_calls->close(fd);
        return store_file_cannot("list", "the data directory", code, error);
    }
    hop_status status = HOP_OK;
    struct dirent *entry;
    while (status == HOP_OK && (errno = 0, entry = readdir(stream)))
        status = visit(context, entry->d_name, error);
    if (status == HOP_OK && errno)
        status = store_file_cannot("list", "the data directory", errno, error);
    closedir(stream);
    return status;
}

/* ---- one file ------------------------------------------------------------------------------------------ */

hop_status store_file_open(int folder, const char *name, bool to_write, int *file, hop_error *error)
{
    int flags = (to_write ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOFOLLOW;
    *file = store_system_calls->open(folder, name, flags, 0);
    if (*file < 0 && errno == ENOENT)
        return hop_fail(error, HOP_E_NOT_FOUND, "%.140s: there is no such file", name);
    if (*file < 0 && errno == ELOOP)
        return hop_fail(error, HOP_E_FORMAT, "%.140s: it is a symbolic link, which is not followed", name);
    if (*file < 0 && errno == EISDIR)
        return hop_fail(error, HOP_E_FORMAT, "%.140s: it is a directory", name);
    return *file < 0 ? store_file_cannot("open", name, errno, error) : HOP_OK;
}

hop_status store_file_write_aside(int folder, const char *name, store_aside how,
                                  hop_status (*write)(void *context, int file, hop_error *), void *context,
                                  char aside[STORE_FILE_NAME_BYTES], hop_error *error)
{
    const store_system *system = store_system_calls;
    int file = -1;
    for (int number = 0; number < ASIDE_TRIES && file < 0; number++) {
        aside_name(aside, name, how, number);
        file = system->open(folder, aside, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (file < 0 && errno == EEXIST && system->unlink(folder, aside) == 0) /* a removal that failed */
            file = system->open(folder, aside, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (file < 0 && errno != EEXIST && errno != EISDIR && errno != EPERM)
            break;
    }
    if (file < 0)
        return store_file_cannot("create", aside, errno, error);
    hop_error cause = HOP_ERROR_NONE;
    hop_status status = write(context, file, &cause);
    if (system->close(file) != 0 && status == HOP_OK)
        status = hop_fail(&cause, store_system_status(errno), "cannot close: %s", strerror(errno));
    if (status != HOP_OK) {
        (void)system->unlink(folder, aside);
        return hop_fail(error, status, "%.140s: %.90s", aside, cause.text);
    }
    return HOP_OK;
}

hop_status store_file_settle(int folder, const char *aside, const char *name, store_unsettled *how, hop_error *error)
{
    const store_system *system = store_system_calls;
    *how = STORE_GONE;
    if (system->rename(folder, aside, name) != 0) {
        int code = errno;
        if (code == EISDIR || code == ENOTDIR || code == EEXIST || code == ENOTEMPTY)
            *how = STORE_BLOCKED;
        (void)system->unlink(folder, aside);
        return store_file_cannot("rename a file to", name, code, error);
    }
    if (system->sync(folder) != 0) {
        int code = errno;
        /* Else a loss of power could bring it back, in place of what was acknowledged since. */
        bool stays = system->unlink(folder, name) != 0 || system->sync(folder) != 0;
        *how = stays ? STORE_STAYS : STORE_GONE;
        return hop_fail(error, store_system_status(code), "cannot sync the data directory for %.120s: %s%s", name,
                        strerror(code), stays ? "; it may count after a restart" : "");
    }
    return HOP_OK;
}

bool store_file_move_away(int folder, const char *name, char aside[STORE_FILE_NAME_BYTES])
{
    for (int number = 0; number < ASIDE_TRIES; number++) {
        aside_name(aside, name, STORE_ASIDE_LEAVING, number);
        if (store_system_calls->rename(folder, name, aside) == 0)
            return true;
        /* A directory is in the way, or something else in that of a directory. */
        if (errno != EISDIR && errno != ENOTDIR && errno != ENOTEMPTY && errno != EEXIST)
            return false;
    }
    return false;
}

void store_file_remove(int folder, const char *name)
{
    if (store_system_calls->unlink(folder, name) != 0 && (errno == EISDIR || errno == EPERM))
        (void)store_system_calls->remove_folder(folder, name);
}
