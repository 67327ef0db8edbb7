/*
 * system.c - the table as the system has it.
 */
#include "store/system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Linux moves at most 2 GiB less a page a call. */
enum { PIECE_BYTES = 1 << 30 };

#define ZFS_SUPER_MAGIC 0x2fc12fc1 /* not the kernel's own */

static int real_open(int folder, const char *name, int flags, mode_t mode)
{
    return openat(folder, name, flags | O_CLOEXEC, mode);
}

static int64_t real_length(int file)
{
    struct stat about;
    if (fstat(file, &about) != 0)
        return -1;
    if (!S_ISREG(about.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    return about.st_size;
}

static int real_rename(int folder, const char *from, const char *to)
{
    return renameat(folder, from, folder, to);
}

static int real_unlink(int folder, const char *name)
{
    return unlinkat(folder, name, 0);
}

static int real_remove_folder(int folder, const char *name)
{
    return unlinkat(folder, name, AT_REMOVEDIR);
}

static int real_lock(int folder)
{
    return flock(folder, LOCK_EX | LOCK_NB);
}

static int real_duplicate(int file)
{
    return fcntl(file, F_DUPFD_CLOEXEC, 0);
}

static bool real_local(int file)
{
    static const unsigned long known[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,       BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,
                                          TMPFS_MAGIC,      OVERLAYFS_SUPER_MAGIC, ZFS_SUPER_MAGIC};
    struct statfs about;
    if (fstatfs(file, &about) != 0)
        return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if ((unsigned long)about.f_type == known[i])
            return true;
    return false;
}

static void *real_map(int file, size_t n)
{
    void *bytes = mmap(NULL, n, PROT_READ, MAP_PRIVATE, file, 0);
    return bytes == MAP_FAILED ? NULL : bytes;
}

static int real_write_back(int file, off_t at, off_t n)
{
    return sync_file_range(file, at, n, SYNC_FILE_RANGE_WRITE);
}

const store_system store_system_real = {
    .open = real_open,
    .close = close,
    .length = real_length,
    .read = pread,
    .write = pwrite,
    .sync = fsync,
    .sync_data = fdatasync,
    .write_back = real_write_back,
    .cut_off = ftruncate,
    .rename = real_rename,
    .unlink = real_unlink,
    .remove_folder = real_remove_folder,
    .make_folder = mkdir,
    .lock = real_lock,
    .duplicate = real_duplicate,
    .about = fstat,
    .local = real_local,
    .map = real_map,
};

const store_system *store_system_calls = &store_system_real;

hop_status store_system_status(int code)
{
    return code == ENOSPC || code == EDQUOT || code == EFBIG ? HOP_E_SPACE : HOP_E_IO;
}

bool store_system_read(int file, void *bytes, size_t n, uint64_t at)
{
    char *to = bytes;
    while (n > 0) {
        ssize_t got = store_system_calls->read(file, to, n < PIECE_BYTES ? n : PIECE_BYTES, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = ENODATA;
        if (got <= 0)
            return false;
        to += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return true;
}

bool store_system_write(int file, const void *bytes, size_t n, uint64_t at)
{
    const char *from = bytes;
    while (n > 0) {
        ssize_t put = store_system_calls->write(file, from, n < PIECE_BYTES ? n : PIECE_BYTES, (off_t)at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put == 0)
            errno = EIO;
        if (put <= 0)
            return false;
        from += put;
        at += (uint64_t)put;
        n -= (size_t)put;
    }
    return true;
}
