/*
 * system.h - every call by which the store touches a disk, in one table that a test can make fail.
 *
 * Names are relative to an open folder. Short reads and writes, interruptions and pieces that are too large for one
 * call are dealt with here; messages are the caller's, from errno.
 */
#ifndef STORE_SYSTEM_H
#define STORE_SYSTEM_H

#include "core/hopfield.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

typedef struct store_system {
    int (*open)(int folder, const char *name, int flags, mode_t mode); /* O_CLOEXEC is added */
    int (*close)(int file);
    int64_t (*length)(int file); /* -1 and errno: no regular file, or fstat() failed */
    ssize_t (*read)(int file, void *bytes, size_t n, off_t at);
    ssize_t (*write)(int file, const void *bytes, size_t n, off_t at);
    int (*sync)(int file);                          /* also a folder */
    int (*sync_data)(int file);                     /* what is in it, and how long it is */
    int (*write_back)(int file, off_t at, off_t n); /* begin to bring it to the disk: a hint, nothing is promised */
    int (*cut_off)(int file, off_t length);
    int (*rename)(int folder, const char *from, const char *to);
    int (*unlink)(int folder, const char *name);
    int (*remove_folder)(int folder, const char *name); /* an empty one */
    int (*make_folder)(const char *path, mode_t mode);
    int (*lock)(int folder); /* for this process alone; EWOULDBLOCK where another has it */
    int (*duplicate)(int file);
    int (*about)(int file, struct stat *out);
    bool (*local)(int file);          /* of a file system of this machine, whose file times tell of every write */
    void *(*map)(int file, size_t n); /* from its start, to be read; NULL and errno */
} store_system;

/* The calls in use. A test replaces it while no other thread uses the store. */
extern const store_system *store_system_calls;
extern const store_system store_system_real;

/* What errno means to who asked: HOP_E_SPACE where the disk, a quota or a limit on files is full, else HOP_E_IO. */
hop_status store_system_status(int code);

/* All n bytes at an offset. False: errno says why; ENODATA where the file ends before. */
bool store_system_read(int file, void *bytes, size_t n, uint64_t at);
bool store_system_write(int file, const void *bytes, size_t n, uint64_t at);

#endif
