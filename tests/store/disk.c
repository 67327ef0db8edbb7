/*
 * disk.c - see disk.h.
 */
#include "disk.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOVED_BYTES = 5 };

void disk_folder_make(char path[DISK_PATH_BYTES])
{
    const char *parent = getenv("TMPDIR");
    snprintf(path, DISK_PATH_BYTES, "%s/hopfieldd-store.XXXXXX", parent ? parent : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(path));
}

static int visible(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

void disk_folder_remove(const char *path)
{
    struct dirent **names = NULL;
    int n = scandir(path, &names, visible, alphasort);
    for (int i = 0; i < n; i++) {
        char file[2 * DISK_PATH_BYTES + 64];
        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (unlink(file) != 0)
            disk_folder_remove(file);
        free(names[i]);
    }
    free(names);
    rmdir(path);
}

const char *disk_names(const char *folder)
{
    static char text[4096];
    struct dirent **names = NULL;
    int n = scandir(folder, &names, visible, alphasort);
    size_t at = 0;
    text[0] = '\0';
    for (int i = 0; i < n; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, " %s", names[i]->d_name);
        ck_assert_uint_lt(at, sizeof text);
        free(names[i]);
    }
    free(names);
    return text;
}

static FILE *open_in(const char *folder, const char *name, const char *mode)
{
    char path[2 * DISK_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, mode);
    ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
    return file;
}

size_t disk_read(const char *folder, const char *name, char out[DISK_FILE_BYTES])
{
    FILE *file = open_in(folder, name, "rb");
    size_t n = fread(out, 1, DISK_FILE_BYTES, file);
    fclose(file);
    ck_assert_uint_lt(n, DISK_FILE_BYTES);
    return n;
}

void disk_write(const char *folder, const char *name, const char *bytes, size_t n)
{
    /* A new file: some file systems write what replaces a cut-off one to the disk at once. */
    char path[2 * DISK_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)unlink(path);
    FILE *file = open_in(folder, name, "wb");
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    ck_assert_int_eq(fclose(file), 0);
}

void disk_folder_copy(const char *path, char copy[DISK_PATH_BYTES])
{
    static char bytes[DISK_FILE_BYTES];
    struct dirent **names = NULL;
    disk_folder_make(copy);
    int n = scandir(path, &names, visible, alphasort);
    for (int i = 0; i < n; i++) {
        disk_write(copy, names[i]->d_name, bytes, disk_read(path, names[i]->d_name, bytes));
        free(names[i]);
    }
    free(names);
}

/* ---- failing ------------------------------------------------------------------------------------------- */

static atomic_long calls;
static long first;
static bool always;
static int reason;
static const char *failed;
static _Thread_local const char *last;
static _Thread_local char sequence[512];

/* Is this the call that fails? */
static bool fails(const char *call)
{
    long number = atomic_fetch_add(&calls, 1);
    size_t n = strlen(sequence);
    if (call != last && n + strlen(call) + 2 < sizeof sequence)
        snprintf(sequence + n, sizeof sequence - n, " %s", call);
    last = call;
    if (number != first && !(always && number > first))
        return false;
    failed = call;
    errno = reason;
    return true;
}

static int bad_open(int folder, const char *name, int flags, mode_t mode)
{
    return fails("open") ? -1 : store_system_real.open(folder, name, flags, mode);
}

static int bad_close(int file)
{
    /* It is closed all the same, as close(2) does. */
    int result = store_system_real.close(file);
    return fails("close") ? -1 : result;
}

static int64_t bad_length(int file)
{
    return fails("length") ? -1 : store_system_real.length(file);
}

static ssize_t bad_read(int file, void *bytes, size_t n, off_t at)
{
    return fails("read") ? -1 : store_system_real.read(file, bytes, n, at);
}

static ssize_t bad_write(int file, const void *bytes, size_t n, off_t at)
{
    if (!fails("write"))
        return store_system_real.write(file, bytes, n, at);
    (void)store_system_real.write(file, bytes, n < MOVED_BYTES ? n : MOVED_BYTES, at);
    errno = reason;
    return -1;
}

static int bad_sync(int file)
{
    return fails("sync") ? -1 : store_system_real.sync(file);
}

static int bad_write_back(int file, off_t at, off_t n)
{
    return fails("write_back") ? -1 : store_system_real.write_back(file, at, n);
}

static int bad_sync_data(int file)
{
    return fails("sync_data") ? -1 : store_system_real.sync_data(file);
}

static int bad_cut_off(int file, off_t length)
{
    return fails("cut_off") ? -1 : store_system_real.cut_off(file, length);
}

static int bad_rename(int folder, const char *from, const char *to)
{
    return fails("rename") ? -1 : store_system_real.rename(folder, from, to);
}

static int bad_unlink(int folder, const char *name)
{
    return fails("unlink") ? -1 : store_system_real.unlink(folder, name);
}

static int bad_remove_folder(int folder, const char *name)
{
    return fails("remove_folder") ? -1 : store_system_real.remove_folder(folder, name);
}

static int bad_make_folder(const char *path, mode_t mode)
{
    return fails("make_folder") ? -1 : store_system_real.make_folder(path, mode);
}

static int bad_lock(int folder)
{
    return fails("lock") ? -1 : store_system_real.lock(folder);
}

static int bad_duplicate(int file)
{
    return fails("duplicate") ? -1 : store_system_real.duplicate(file);
}

static int bad_about(int file, struct stat *out)
{
    return fails("about") ? -1 : store_system_real.about(file, out);
}

static bool bad_local(int file)
{
    return !fails("local") && store_system_real.local(file);
}

static void *bad_map(int file, size_t n)
{
    return fails("map") ? NULL : store_system_real.map(file, n);
}

static const store_system bad = {
    .open = bad_open,
    .close = bad_close,
    .length = bad_length,
    .read = bad_read,
    .write = bad_write,
    .sync = bad_sync,
    .sync_data = bad_sync_data,
    .write_back = bad_write_back,
    .cut_off = bad_cut_off,
    .rename = bad_rename,
    .unlink = bad_unlink,
    .remove_folder = bad_remove_folder,
    .make_folder = bad_make_folder,
    .lock = bad_lock,
    .duplicate = bad_duplicate,
    .about = bad_about,
    .local = bad_local,
    .map = bad_map,
};

void disk_fail(long number, bool forever, int code)
{
    first = number;
    always = forever;
    reason = code;
    failed = "";
    last = NULL;
    sequence[0] = '\0';
    atomic_store(&calls, 0);
    store_system_calls = &bad;
}

long disk_calls(void)
{
    return atomic_load(&calls);
}

const char *disk_failed_call(void)
{
    return failed;
}

const char *disk_sequence(void)
{
    return sequence;
}

void disk_heal(void)
{
    store_system_calls = &store_system_real;
}
