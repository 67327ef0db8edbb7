/*
 * folder.c - names of files, and the order of calls that makes a change durable or undoes it.
 */
#include "store/folder.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/maps_file.h"
#include "store/system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_NAME_BYTES = 256, PATH_BYTES = 4096, SAID_BYTES = 512 };

#define ASIDE ".tmp"
#define LEAVING ".deleted"

struct store_folder {
    int fd;
    store_listener listener;
    pthread_mutex_t lock; /* maps come while their set goes: what is there and what is renamed stays one step */
};

/* What a file's name says. */
typedef enum entry_kind { ENTRY_OTHER, ENTRY_SET, ENTRY_MAPS, ENTRY_STALE } entry_kind;

static void file_name(char out[FILE_NAME_BYTES], const char *name, uint64_t version, const char *suffix)
{
    snprintf(out, FILE_NAME_BYTES, "%s@%" PRIu64 "%s.safetensors", name, version, suffix);
}

static void set_name(char out[FILE_NAME_BYTES], const char *name, uint64_t version)
{
    file_name(out, name, version, "");
}

static void maps_name(char out[FILE_NAME_BYTES], const char *name, uint64_t version)
{
    file_name(out, name, version, ".maps");
}

static entry_kind read_name(const char *entry, store_found *out)
{
    const char *at = strchr(entry, '@');
    char again[FILE_NAME_BYTES];
    if (!at || (size_t)(at - entry) >= sizeof out->name)
        return ENTRY_OTHER;
    memcpy(out->name, entry, (size_t)(at - entry));
    out->name[at - entry] = '\0';
    errno = 0;
    out->version = strtoull(at + 1, NULL, 10);
    if (!store_name_valid(out->name) || errno || out->version == 0 || out->version > INT64_MAX)
        return ENTRY_OTHER;
    set_name(again, out->name, out->version);
    size_t n = strlen(again);
    if (strcmp(again, entry) == 0)
        return ENTRY_SET;
    if (strncmp(again, entry, n) == 0 && (strcmp(entry + n, ASIDE) == 0 || strcmp(entry + n, LEAVING) == 0))
        return ENTRY_STALE;
    maps_name(again, out->name, out->version);
    n = strlen(again);
    if (strcmp(again, entry) == 0)
        return ENTRY_MAPS;
    return strncmp(again, entry, n) == 0 && strcmp(entry + n, ASIDE) == 0 ? ENTRY_STALE : ENTRY_OTHER;
}

static hop_status cannot(const char *what, const char *name, int code, hop_error *error)
{
    return hop_fail(error, HOP_E_IO, "cannot %s %.140s: %s", what, name, strerror(code));
}

static bool there(const store_folder *folder, const char *name)
{
    return faccessat(folder->fd, name, F_OK, 0) == 0;
}

/* ---- opening ------------------------------------------------------------------------------------------- */

/* The folder and what is missing above it, each entry durable in the folder that holds it. */
static hop_status make_folders(const char *path, hop_error *error)
{
    char part[PATH_BYTES];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return hop_fail(error, HOP_E_IO, "the name of the data directory is empty or too long");
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (store_system_calls->make_folder(part, 0700) != 0) {
            if (errno == EEXIST || (errno != ENOSPC && access(part, F_OK) == 0))
                continue;
            return cannot("make the data directory", part, errno, error);
        }
        char *slash = strrchr(part, '/');
        if (slash)
            slash[slash == part] = '\0';
        int parent = store_system_calls->open(AT_FDCWD, slash ? part : ".", O_RDONLY | O_DIRECTORY, 0);
        bool synced = parent >= 0 && store_system_calls->sync(parent) == 0;
        int code = errno;
        if (parent >= 0)
            store_system_calls->close(parent);
        if (!synced)
            return cannot("make the data directory durable in", part, code, error);
    }
    return HOP_OK;
}

/* Calls visit for every entry; a name is what readdir() gives. */
static hop_status each_entry(store_folder *folder, hop_status (*visit)(void *context, const char *entry, hop_error *),
                             void *context, hop_error *error)
{
    int fd = store_system_calls->open(folder->fd, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (!stream) {
        int code = errno;
        if (fd >= 0)
            store_system_calls->close(fd);
        return cannot("list", "the data directory", code, error);
    }
    hop_status status = HOP_OK;
    struct dirent *entry;
    while (status == HOP_OK && (errno = 0, entry = readdir(stream)))
        status = visit(context, entry->d_name, error);
    if (status == HOP_OK && errno)
        status = cannot("list", "the data directory", errno, error);
    closedir(stream);
    return status;
}

/* Left behind by a process that was killed. Where nothing can be removed, nothing of it is ever read either. */
static hop_status remove_stale(void *context, const char *entry, hop_error *error)
{
    (void)error;
    store_folder *folder = context;
    store_found found;
    entry_kind kind = read_name(entry, &found);
    bool orphan = false;
    if (kind == ENTRY_MAPS) {
        char name[FILE_NAME_BYTES];
        set_name(name, found.name, found.version);
        orphan = !there(folder, name);
    }
    if (kind == ENTRY_STALE || orphan)
        (void)store_system_calls->unlink(folder->fd, entry);
    return HOP_OK;
}

hop_status store_folder_open(const char *path, store_listener listener, store_folder **out, hop_error *error)
{
    hop_status status = make_folders(path, error);
    if (status != HOP_OK)
        return status;
    int fd = store_system_calls->open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return cannot("open the data directory", path, errno, error);
    store_folder *folder = NULL;
    if (store_system_calls->lock(fd) != 0)
        status = errno == EWOULDBLOCK
                     ? hop_fail(error, HOP_E_BUSY, "the data directory %.140s is in use by another process", path)
                     : cannot("lock the data directory", path, errno, error);
    if (status == HOP_OK && !(folder = calloc(1, sizeof *folder)))
        status = hop_fail(error, HOP_E_NOMEM, "out of memory");
    if (status != HOP_OK) {
        store_system_calls->close(fd);
        return status;
    }
    folder->fd = fd;
    folder->listener = listener;
    pthread_mutex_init(&folder->lock, NULL);
    status = each_entry(folder, remove_stale, folder, error);
    if (status != HOP_OK) {
        store_folder_close(folder);
        return status;
    }
    *out = folder;
    return HOP_OK;
}

void store_folder_close(store_folder *folder)
{
    if (!folder)
        return;
    store_system_calls->close(folder->fd);
    pthread_mutex_destroy(&folder->lock);
    free(folder);
}

void store_folder_say(store_folder *folder, bool problem, const char *format, ...)
{
    if (!folder->listener.say)
        return;
    char text[SAID_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    folder->listener.say(folder->listener.context, problem, text);
}

/* ---- listing ------------------------------------------------------------------------------------------- */

typedef struct listing {
    store_found *found;
    size_t n, room;
} listing;

static hop_status note_set(void *context, const char *entry, hop_error *error)
{
    listing *list = context;
    store_found found;
    if (read_name(entry, &found) != ENTRY_SET)
        return HOP_OK;
    if (list->n == list->room) {
        size_t room = list->room ? 2 * list->room : 64, bytes;
        store_found *moved = hop_mul_size(room, sizeof *moved, &bytes) ? realloc(list->found, bytes) : NULL;
        if (!moved)
            return hop_fail(error, HOP_E_NOMEM, "out of memory for the list of the data directory");
        list->found = moved;
        list->room = room;
    }
    list->found[list->n++] = found;
    return HOP_OK;
}

static int newest_first(const void *a, const void *b)
{
    const store_found *one = a, *other = b;
    int order = strcmp(one->name, other->name);
    return order ? order : one->version < other->version ? 1 : one->version > other->version ? -1 : 0;
}

hop_status store_folder_list(store_folder *folder, store_found **out, size_t *n, hop_error *error)
{
    listing list = {0};
    hop_status status = each_entry(folder, note_set, &list, error);
    if (status != HOP_OK) {
        free(list.found);
        return status;
    }
    if (list.n > 1)
        qsort(list.found, list.n, sizeof *list.found, newest_first);
    *out = list.found;
    *n = list.n;
    return HOP_OK;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

/* A file aside, written by write() and synced; nothing is left of it on failure. */
static hop_status write_aside(store_folder *folder, const char *aside, const store_set *set,
                              hop_status (*write)(const store_set *set, int file, hop_error *error), hop_error *error)
{
    const store_system *system = store_system_calls;
    int file = system->open(folder->fd, aside, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (file < 0 && errno == EEXIST && system->unlink(folder->fd, aside) == 0) /* a removal that failed */
        file = system->open(folder->fd, aside, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (file < 0)
        return cannot("create", aside, errno, error);
    hop_error cause = HOP_ERROR_NONE;
    hop_status status = write(set, file, &cause);
    if (system->close(file) != 0 && status == HOP_OK)
        status = hop_fail(&cause, HOP_E_IO, "cannot close: %s", strerror(errno));
    if (status != HOP_OK) {
        (void)system->unlink(folder->fd, aside);
        return hop_fail(error, status, "%.140s: %.90s", aside, cause.text);
    }
    return HOP_OK;
}

/* The file aside gets its name, durably, or is gone again. */
static hop_status settle(store_folder *folder, const char *aside, const char *name, hop_error *error)
{
    const store_system *system = store_system_calls;
    if (system->rename(folder->fd, aside, name) != 0) {
        int code = errno;
        (void)system->unlink(folder->fd, aside);
        return cannot("rename a file to", name, code, error);
    }
    if (system->sync(folder->fd) != 0) {
        int code = errno;
        bool back = system->unlink(folder->fd, name) == 0;
        return hop_fail(error, HOP_E_IO, "cannot sync the data directory for %.120s: %s%s", name, strerror(code),
                        back ? "" : "; the file stays, and may count after a restart");
    }
    return HOP_OK;
}

hop_status store_folder_save(store_folder *folder, const store_set *set, hop_error *error)
{
    char name[FILE_NAME_BYTES], aside[FILE_NAME_BYTES + sizeof ASIDE];
    set_name(name, set->name, set->version);
    snprintf(aside, sizeof aside, "%s" ASIDE, name);
    hop_status status = write_aside(folder, aside, set, store_snapshot_write, error);
    return status == HOP_OK ? settle(folder, aside, name, error) : status;
}

hop_status store_folder_save_maps(store_folder *folder, const store_set *set, hop_error *error)
{
    char of[FILE_NAME_BYTES], name[FILE_NAME_BYTES], aside[FILE_NAME_BYTES + sizeof ASIDE];
    set_name(of, set->name, set->version);
    maps_name(name, set->name, set->version);
    snprintf(aside, sizeof aside, "%s" ASIDE, name);
    hop_status status = write_aside(folder, aside, set, store_maps_write, error);
    if (status != HOP_OK)
        return status;
    pthread_mutex_lock(&folder->lock);
    if (there(folder, of) && !atomic_load(&set->progress.cancel)) /* another set may have that name by now */
        status = settle(folder, aside, name, error);
    else
        (void)store_system_calls->unlink(folder->fd, aside);
    pthread_mutex_unlock(&folder->lock);
    return status;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

/* HOP_E_NOT_FOUND where there is none. A FIFO of that name must not be waited for, nor a link be followed. */
static hop_status open_file(store_folder *folder, const char *name, int *file, hop_error *error)
{
    *file = store_system_calls->open(folder->fd, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
    if (*file < 0 && errno == ENOENT)
        return hop_fail(error, HOP_E_NOT_FOUND, "%.140s: there is no such file", name);
    if (*file < 0 && errno == ELOOP)
        return hop_fail(error, HOP_E_IO, "%.140s: it is a symbolic link, which is not followed", name);
    return *file < 0 ? cannot("open", name, errno, error) : HOP_OK;
}

/* The reader's reason, behind the file's name. */
static hop_status close_file(int file, const char *name, hop_status status, const hop_error *cause, hop_error *error)
{
    store_system_calls->close(file);
    return status == HOP_OK ? HOP_OK : hop_fail(error, status, "%.120s: %.110s", name, cause->text);
}

hop_status store_folder_load(store_folder *folder, const char *name, uint64_t version, const store_loading *loading,
                             store_set **out, hop_error *error)
{
    char of[FILE_NAME_BYTES];
    int file;
    set_name(of, name, version);
    hop_status status = open_file(folder, of, &file, error);
    if (status != HOP_OK)
        return status;
    hop_error cause = HOP_ERROR_NONE;
    status = store_snapshot_read(file, name, version, loading, out, &cause);
    return close_file(file, of, status, &cause, error);
}

hop_status store_folder_load_maps(store_folder *folder, store_set *set, size_t bytes_most, const hop_executor *executor,
                                  const atomic_bool *cancel, hop_error *error)
{
    char of[FILE_NAME_BYTES];
    int file;
    maps_name(of, set->name, set->version);
    hop_status status = open_file(folder, of, &file, error);
    if (status != HOP_OK)
        return status;
    hop_error cause = HOP_ERROR_NONE;
    status = store_maps_read(set, file, bytes_most, executor, cancel, &cause);
    return close_file(file, of, status, &cause, error);
}

/* ---- removing ------------------------------------------------------------------------------------------ */

static void remove_maps(store_folder *folder, const char *name, uint64_t version)
{
    char of[FILE_NAME_BYTES];
    maps_name(of, name, version);
    (void)store_system_calls->unlink(folder->fd, of);
}

void store_folder_remove_older(store_folder *folder, const char *name, uint64_t version)
{
    store_found *found = NULL;
    size_t n = 0;
    if (store_folder_list(folder, &found, &n, NULL) != HOP_OK)
        return;
    pthread_mutex_lock(&folder->lock);
    for (size_t i = 0; i < n; i++) {
        char of[FILE_NAME_BYTES];
        if (strcmp(found[i].name, name) != 0 || found[i].version >= version)
            continue;
        set_name(of, name, found[i].version);
        (void)store_system_calls->unlink(folder->fd, of);
        remove_maps(folder, name, found[i].version);
    }
    pthread_mutex_unlock(&folder->lock);
    free(found);
}

static void leaving_names(const store_found *found, char of[FILE_NAME_BYTES],
                          char leaving[FILE_NAME_BYTES + sizeof LEAVING])
{
    set_name(of, found->name, found->version);
    snprintf(leaving, FILE_NAME_BYTES + sizeof LEAVING, "%s" LEAVING, of);
}

/*
 * Renamed, so that it can be undone until the directory is synced. The oldest first: whatever stops it in between
 * leaves the newest, which is the one that counts. Returns how many of n, in front, still have their names.
 */
static size_t rename_away(store_folder *folder, const store_found *found, size_t n)
{
    for (; n > 0; n--) {
        char of[FILE_NAME_BYTES], leaving[FILE_NAME_BYTES + sizeof LEAVING];
        leaving_names(&found[n - 1], of, leaving);
        if (store_system_calls->rename(folder->fd, of, leaving) != 0)
            break;
    }
    return n;
}

static bool rename_back(store_folder *folder, const store_found *found, size_t n)
{
    bool all = true;
    for (size_t i = 0; i < n; i++) {
        char of[FILE_NAME_BYTES], leaving[FILE_NAME_BYTES + sizeof LEAVING];
        leaving_names(&found[i], of, leaving);
        all = store_system_calls->rename(folder->fd, leaving, of) == 0 && all;
    }
    return all;
}

static void remove_renamed(store_folder *folder, const store_found *found, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char of[FILE_NAME_BYTES], leaving[FILE_NAME_BYTES + sizeof LEAVING];
        leaving_names(&found[i], of, leaving);
        (void)store_system_calls->unlink(folder->fd, leaving);
        remove_maps(folder, found[i].name, found[i].version);
    }
}

hop_status store_folder_remove(store_folder *folder, const char *name, hop_error *error)
{
    store_found *found = NULL;
    size_t all = 0, n = 0;
    hop_status status = store_folder_list(folder, &found, &all, error);
    if (status != HOP_OK)
        return status;
    size_t first = 0;
    while (first < all && strcmp(found[first].name, name) != 0)
        first++;
    while (first + n < all && strcmp(found[first + n].name, name) == 0)
        n++;
    pthread_mutex_lock(&folder->lock);
    const store_found *of_name = found + first;
    size_t kept = rename_away(folder, of_name, n);
    if (kept > 0 || store_system_calls->sync(folder->fd) != 0) {
        int code = errno;
        bool back = rename_back(folder, of_name + kept, n - kept);
        status = hop_fail(error, HOP_E_IO, "cannot remove the files of '%.130s': %s%s", name, strerror(code),
                          back ? "" : "; some are renamed and will be gone after a restart");
    } else {
        remove_renamed(folder, of_name, n);
    }
    pthread_mutex_unlock(&folder->lock);
    free(found);
    return status;
}
