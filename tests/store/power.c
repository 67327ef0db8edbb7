/*
 * power.c - see power.h.
 */
#include "power.h"

#include "disk.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = 256, FILES = 1024, SECTOR_BYTES = 512 };

typedef enum call_kind { MAKE, RENAME, UNLINK, SYNC_NAMES, WRITE, CUT_OFF, SYNC } call_kind;

/* One call. file: which, in the order of making; names are of the folder. */
typedef struct event {
    call_kind what;
    size_t file;
    char name[NAME_BYTES], to[NAME_BYTES];
    size_t at, n;
    char *bytes;
} event;

/* The folder's names and what they stand for. */
typedef struct names {
    struct {
        char name[NAME_BYTES];
        size_t file;
    } entry[FILES];
    size_t n;
} names;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static event *events;
static size_t n_events, room, n_files;
static names now;
static size_t file_of[FILES]; /* by descriptor, + 1; 0: none */
static store_system noting;

/* ---- names --------------------------------------------------------------------------------------------- */

static size_t find(const names *in, const char *name)
{
    size_t i = 0;
    while (i < in->n && strcmp(in->entry[i].name, name) != 0)
        i++;
    return i;
}

static void take_out(names *in, const char *name)
{
    size_t i = find(in, name);
    if (i < in->n)
        in->entry[i] = in->entry[--in->n];
}

static void put_in(names *in, const char *name, size_t file)
{
    take_out(in, name);
    ck_assert_uint_lt(in->n, FILES);
    snprintf(in->entry[in->n].name, NAME_BYTES, "%s", name);
    in->entry[in->n++].file = file;
}

/* A name that is not there, as an earlier call was lost, is not renamed. */
static void apply(names *to, const event *e)
{
    if (e->what == MAKE)
        put_in(to, e->name, e->file);
    if (e->what == UNLINK)
        take_out(to, e->name);
    size_t i = find(to, e->name);
    if (e->what == RENAME && i < to->n) {
        size_t file = to->entry[i].file;
        take_out(to, e->name);
        put_in(to, e->to, file);
    }
}

/* ---- noting -------------------------------------------------------------------------------------------- */

static event *note(call_kind what, const char *name)
{
    if (n_events == room) {
        room = room ? 2 * room : 256;
        events = realloc(events, room * sizeof *events);
        ck_assert_ptr_nonnull(events);
    }
    event *e = &events[n_events++];
    *e = (event){.what = what};
    snprintf(e->name, NAME_BYTES, "%s", name);
    return e;
}

static int note_open(int folder, const char *name, int flags, mode_t mode)
{
    pthread_mutex_lock(&lock);
    size_t i = find(&now, name);
    int fd = store_system_real.open(folder, name, flags, mode);
    if (fd >= 0) {
        ck_assert_int_lt(fd, FILES);
        if (i == now.n && (flags & O_CREAT)) {
            event *e = note(MAKE, name);
            e->file = n_files++;
            apply(&now, e);
            i = find(&now, name);
        }
        ck_assert(!(flags & O_TRUNC));
        file_of[fd] = i < now.n ? now.entry[i].file + 1 : 0;
    }
    int code = errno;
    pthread_mutex_unlock(&lock);
    errno = code;
    return fd;
}

static ssize_t note_write(int fd, const void *bytes, size_t n, off_t at)
{
    pthread_mutex_lock(&lock);
    ssize_t put = store_system_real.write(fd, bytes, n, at);
    int code = errno;
    ck_assert_uint_gt(file_of[fd], 0);
    if (put > 0) {
        event *e = note(WRITE, "");
        e->file = file_of[fd] - 1;
        e->at = (size_t)at;
        e->n = (size_t)put;
        e->bytes = malloc(e->n);
        ck_assert_ptr_nonnull(e->bytes);
        memcpy(e->bytes, bytes, e->n);
    }
    pthread_mutex_unlock(&lock);
    errno = code;
    return put;
}

/* What is on its way when a sync begins is what it makes durable: nothing else is called meanwhile. */
static int note_sync(int fd)
{
    pthread_mutex_lock(&lock);
    struct stat about;
    int result = store_system_real.sync(fd);
    int code = errno;
    if (result == 0 && fstat(fd, &about) == 0) {
        bool folder = S_ISDIR(about.st_mode);
        ck_assert(folder || file_of[fd] > 0);
        event *e = note(folder ? SYNC_NAMES : SYNC, "");
        e->file = folder ? 0 : file_of[fd] - 1;
    }
    pthread_mutex_unlock(&lock);
    errno = code;
    return result;
}

/* What sync_data() leaves out, times of the file, is nobody's concern. */
static int note_cut_off(int fd, off_t length)
{
    pthread_mutex_lock(&lock);
    int result = store_system_real.cut_off(fd, length);
    int code = errno;
    if (result == 0) {
        event *e = note(CUT_OFF, "");
        e->file = file_of[fd] - 1;
        e->at = (size_t)length;
    }
    pthread_mutex_unlock(&lock);
    errno = code;
    return result;
}

static int note_rename(int folder, const char *from, const char *to)
{
    pthread_mutex_lock(&lock);
    int result = store_system_real.rename(folder, from, to);
    int code = errno;
    if (result == 0) {
        event *e = note(RENAME, from);
        snprintf(e->to, NAME_BYTES, "%s", to);
        apply(&now, e);
    }
    pthread_mutex_unlock(&lock);
    errno = code;
    return result;
}

static int note_unlink(int folder, const char *name)
{
    pthread_mutex_lock(&lock);
    int result = store_system_real.unlink(folder, name);
    int code = errno;
    if (result == 0)
        apply(&now, note(UNLINK, name));
    pthread_mutex_unlock(&lock);
    errno = code;
    return result;
}

void power_on(void)
{
    noting = store_system_real;
    noting.open = note_open;
    noting.write = note_write;
    noting.sync = note_sync;
    noting.sync_data = note_sync;
    noting.cut_off = note_cut_off;
    noting.rename = note_rename;
    noting.unlink = note_unlink;
    store_system_calls = &noting;
}

void power_off(void)
{
    store_system_calls = &store_system_real;
}

size_t power_calls(void)
{
    pthread_mutex_lock(&lock);
    size_t n = n_events;
    pthread_mutex_unlock(&lock);
    return n;
}

const char *power_call(size_t number)
{
    static const char *const words[] = {"make", "rename", "unlink", "sync the folder", "write to", "cut off", "sync"};
    static char text[3 * NAME_BYTES];
    const event *e = &events[number];
    const char *name = e->name;
    for (size_t i = 0; i < number && e->what >= WRITE; i++)
        if (events[i].what == MAKE && events[i].file == e->file)
            name = events[i].name;
    snprintf(text, sizeof text, "call %zu: %s %s %s", number, words[e->what], name, e->to);
    return text;
}

void power_free(void)
{
    for (size_t i = 0; i < n_events; i++)
        free(events[i].bytes);
    free(events);
    events = NULL;
    n_events = room = n_files = 0;
    now.n = 0;
    memset(file_of, 0, sizeof file_of);
}

/* ---- restoring ----------------------------------------------------------------------------------------- */

static bool names_call(const event *e)
{
    return e->what == MAKE || e->what == RENAME || e->what == UNLINK;
}

static void restore_names(names *out, size_t n, power_loss loss, test_rng *rng)
{
    size_t synced = 0, later = 0;
    out->n = 0;
    for (size_t i = 0; i < n; i++)
        if (events[i].what == SYNC_NAMES)
            synced = i;
    for (size_t i = 0; i < synced; i++)
        apply(out, &events[i]);
    for (size_t i = synced; i < n; i++)
        later += names_call(&events[i]);
    size_t kept = loss == POWER_ALL ? later : loss == POWER_SOME ? test_rng_below(rng, later + 1) : 0;
    for (size_t i = synced; i < n; i++) {
        if (!names_call(&events[i]))
            continue;
        if (loss == POWER_ANY ? test_rng_below(rng, 2) : kept > 0)
            apply(out, &events[i]);
        kept -= kept > 0;
    }
}

/* Of a write that was not synced: all, nothing, or some of its sectors, others of which are still zero or as before. */
static void restore_write(int fd, const event *e, power_loss loss, test_rng *rng)
{
    size_t whole = loss == POWER_ALL ? 2 : loss == POWER_NOTHING ? 0 : test_rng_below(rng, 3);
    for (size_t from = 0, n; from < e->n && whole > 0; from += n) {
        n = SECTOR_BYTES - (e->at + from) % SECTOR_BYTES;
        n = n < e->n - from ? n : e->n - from;
        if (whole == 2 || test_rng_below(rng, 2))
            ck_assert_int_eq(pwrite(fd, e->bytes + from, n, (off_t)(e->at + from)), (ssize_t)n);
    }
}

static void restore_file(const char *folder, const char *name, size_t file, size_t n, power_loss loss, test_rng *rng)
{
    char path[2 * DISK_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
    size_t synced = 0;
    for (size_t i = 0; i < n; i++)
        if (events[i].what == SYNC && events[i].file == file)
            synced = i;
    for (size_t i = 0; i < n; i++)
        if (events[i].what == WRITE && events[i].file == file)
            restore_write(fd, &events[i], i < synced ? POWER_ALL : loss, rng);
        else if (events[i].what == CUT_OFF && events[i].file == file &&
                 (i < synced || loss == POWER_ALL || (loss != POWER_NOTHING && test_rng_below(rng, 2))))
            ck_assert_int_eq(ftruncate(fd, (off_t)events[i].at), 0);
    close(fd);
}

void power_restore(const char *folder, size_t n, power_loss loss, test_rng *rng)
{
    static names found;
    restore_names(&found, n, loss, rng);
    for (size_t i = 0; i < found.n; i++)
        restore_file(folder, found.entry[i].name, found.entry[i].file, n, loss, rng);
}
