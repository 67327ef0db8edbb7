/*
 * system.h - every call by which the store touches a disk, in one table that a test can make fail.
 *
 * Names are relative to an open folder. Short reads and writes, interruptions and pieces that are too large for one
 * call are dealt with here; messages are the caller's, from errno.
 */
#ifndef STORE_SYSTEM_H
#define STORE_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct store_system {
    int (*open)(int folder, const char *name, int flags, mode_t mode); /* O_CLOEXEC is added */
    int (*close)(int file);
    int64_t (*length)(int file); /* -1 and errno: no regular file, or fstat() failed */
    ssize_t (*read)(int file, void *bytes, size_t n, off_t at);
    ssize_t (*write)(int file, const void *bytes, size_t n, off_t at);
    int (*sync)(int file); /* also a folder */
    int (*rename)(int folder, const char *from, const char *to);
    int (*unlink)(int folder, const char *name);
    int (*make_folder)(const char *path, mode_t mode);
    int (*lock)(int folder); /* for this process alone; EWOULDBLOCK where another has it */
} store_system;

/* The calls in use. A test replaces it while no other thread uses the store. */
extern const store_system *store_system_calls;
extern const store_system store_system_real;

/* All n bytes at an offset. False: errno says why; ENODATA where the file ends before. */
bool store_system_read(int file, void *bytes, size_t n, uint64_t at);
bool store_system_write(int file, const void *bytes, size_t n, uint64_t at);

#endif
