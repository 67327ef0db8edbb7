/*
 * crash.c - see crash.h.
 */
#include "crash.h"

#include "store/log.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES_MAX = 256, NAMES_MAX = 32, FDS_MAX = 1024, NAME_BYTES = 256, TORN_BYTES = 24 };

/* A file, with or without a name. */
typedef struct content {
    char *bytes;
    size_t n;
} content;

typedef struct followed {
    content now, synced;
} followed;

typedef struct names {
    size_t n;
    char name[NAMES_MAX][NAME_BYTES];
    int file[NAMES_MAX];
} names;

static followed files[FILES_MAX];
static int n_files, of_fd[FDS_MAX]; /* of a descriptor: its file + 1; 0: none, or a folder */
static names now, synced, late;     /* late: synced, and the last change of a name */
static char real_folder[DISK_PATH_BYTES];
static long states;
static bool looking; /* what looks calls the system too */
static struct {
    void (*look)(void *context, const char *folder, const char *when);
    void *context;
} observer;

static int find(const names *in, const char *name)
{
    for (size_t i = 0; i < in->n; i++)
        if (strcmp(in->name[i], name) == 0)
            return (int)i;
    return -1;
}

static void set_content(content *to, const char *bytes, size_t n)
{
    to->bytes = realloc(to->bytes, n + 1);
    ck_assert_ptr_nonnull(to->bytes);
    if (n)
        memcpy(to->bytes, bytes, n);
    to->n = n;
}

static void put_name(names *in, const char *name, int file)
{
    int i = find(in, name);
    if (i < 0) {
        ck_assert_uint_lt(in->n, NAMES_MAX);
        i = (int)in->n++;
        snprintf(in->name[i], NAME_BYTES, "%s", name);
    }
    in->file[i] = file;
}

static void remove_name(names *in, const char *name)
{
    int i = find(in, name);
    if (i < 0)
        return;
    in->n--;
    in->file[i] = in->file[in->n];
    memmove(in->name[i], in->name[in->n], NAME_BYTES);
}

static void lay_out(const names *which, bool of_now, const char *when)
{
    char folder[DISK_PATH_BYTES];
    disk_folder_make(folder);
    for (size_t i = 0; i < which->n; i++) {
        const followed *file = &files[which->file[i]];
        const content *bytes = of_now ? &file->now : &file->synced;
        disk_write(folder, which->name[i], bytes->bytes ? bytes->bytes : "", bytes->n);
    }
    states++;
    observer.look(observer.context, folder, when);
    disk_folder_remove(folder);
}

static void look(const char *call)
{
    static const char *const how[] = {"names and bytes synced", "names synced", "bytes synced", "all is there"};
    char when[64];
    looking = true;
    for (int i = 0; i < 4; i++) {
        snprintf(when, sizeof when, "after %s, %s", call, how[i]);
        lay_out(i & 2 ? &now : &synced, i & 1, when);
    }
    snprintf(when, sizeof when, "after %s, the last name alone", call);
    lay_out(&late, false, when);
    looking = false;
}

static int follow_open(int folder, const char *name, int flags, mode_t mode)
{
    int fd = store_system_real.open(folder, name, flags, mode);
    if (looking || fd < 0)
        return fd;
    ck_assert_int_lt(fd, FDS_MAX);
    int i = find(&now, name);
    of_fd[fd] = 0;
    if (i < 0 && (flags & O_CREAT)) {
        ck_assert_int_lt(n_files, FILES_MAX);
        late = synced;
        put_name(&late, name, n_files);
        put_name(&now, name, n_files++);
        i = find(&now, name);
        of_fd[fd] = now.file[i] + 1;
        look("open");
    } else if (i >= 0) {
        of_fd[fd] = now.file[i] + 1;
    }
    return fd;
}

static int follow_close(int fd)
{
    if (!looking && fd >= 0)
        of_fd[fd] = 0;
    return store_system_real.close(fd);
}

/* What is in the file now. */
static void reread(int fd)
{
    static char bytes[DISK_FILE_BYTES];
    ssize_t n = pread(fd, bytes, sizeof bytes, 0);
    ck_assert_int_ge(n, 0);
    ck_assert_int_lt(n, DISK_FILE_BYTES);
    set_content(&files[of_fd[fd] - 1].now, bytes, (size_t)n);
}

static ssize_t follow_write(int fd, const void *bytes, size_t n, off_t at)
{
    if (looking)
        return store_system_real.write(fd, bytes, n, at);
    /* A write may stop in the middle: of a block, after what is first in it. */
    ssize_t put = store_system_real.write(fd, bytes, n == STORE_LOG_BLOCK_BYTES ? TORN_BYTES : n, at);
    reread(fd);
    look("write");
    return put;
}

static int follow_sync(int fd)
{
    int result = store_system_real.sync(fd);
    if (looking || result != 0)
        return result;
    if (of_fd[fd]) {
        followed *file = &files[of_fd[fd] - 1];
        set_content(&file->synced, file->now.bytes, file->now.n);
    } else {
        synced = late = now;
    }
    look("sync");
    return result;
}

static int follow_cut_off(int fd, off_t length)
{
    int result = store_system_real.cut_off(fd, length);
    if (!looking && result == 0) {
        reread(fd);
        look("cut_off");
    }
    return result;
}

static int follow_rename(int folder, const char *from, const char *to)
{
    int result = store_system_real.rename(folder, from, to);
    if (!looking && result == 0) {
        int file = now.file[find(&now, from)];
        remove_name(&now, from);
        put_name(&now, to, file);
        late = synced;
        remove_name(&late, from);
        put_name(&late, to, file);
        look("rename");
    }
    return result;
}

static int follow_unlink(int folder, const char *name)
{
    int result = store_system_real.unlink(folder, name);
    if (!looking && result == 0) {
        remove_name(&now, name);
        late = synced;
        remove_name(&late, name);
        look("unlink");
    }
    return result;
}

static store_system following;

void crash_follow(const char *folder, void (*to)(void *context, const char *folder, const char *when), void *context)
{
    static char bytes[DISK_FILE_BYTES];
    snprintf(real_folder, sizeof real_folder, "%s", folder);
    memset(of_fd, 0, sizeof of_fd);
    now = synced = late = (names){0};
    n_files = 0;
    states = 0;
    DIR *stream = opendir(folder);
    ck_assert_ptr_nonnull(stream);
    for (struct dirent *entry; (entry = readdir(stream));) {
        if (entry->d_name[0] == '.')
            continue;
        size_t n = disk_read(folder, entry->d_name, bytes);
        set_content(&files[n_files].now, bytes, n);
        set_content(&files[n_files].synced, bytes, n);
        put_name(&now, entry->d_name, n_files++);
    }
    closedir(stream);
    synced = late = now;
    observer.look = to;
    observer.context = context;
    following = store_system_real;
    following.open = follow_open;
    following.close = follow_close;
    following.write = follow_write;
    following.sync = follow_sync;
    following.sync_data = follow_sync;
    following.cut_off = follow_cut_off;
    following.rename = follow_rename;
    following.unlink = follow_unlink;
    store_system_calls = &following;
}

long crash_end(void)
{
    disk_heal();
    for (int i = 0; i < FILES_MAX; i++) {
        free(files[i].now.bytes);
        free(files[i].synced.bytes);
        files[i] = (followed){0};
    }
    return states;
}
