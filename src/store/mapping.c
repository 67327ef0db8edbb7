/*
 * mapping.c - see mapping.h. The table that the signal handler reads, and what a file was like.
 */
#include "store/mapping.h"

#include "core/status.h"
#include "store/checksum.h"
#include "store/system.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_NS = 20 * 1000 * 1000, /* of the clock that file times are taken from: 10 ms at most, and as much again */
    COARSE_NS = 2 * 1000 * 1000 * 1000, /* where file times are whole seconds */
    WHAT_BYTES = 160
};

#define SECOND_NS INT64_C(1000000000)

/* ---- the handler's table ------------------------------------------------------------------------------- */

/*
 * One mapping as the handler sees it. It runs in the middle of anything, so these are atomics, and the table is not
 * freed. `turn` is odd while the slot changes hands: a handler that finds it odd, or different afterwards, has looked at
 * a slot that is not that of its address, because the thread that it interrupts keeps that one alive.
 */
typedef struct slot {
    atomic_uint turn;
    atomic_uintptr_t begin; /* 0: free */
    atomic_size_t bytes;    /* whole pages */
    atomic_int broken;
} slot;

static slot slots[STORE_MAPPINGS_MAX];
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER; /* who takes and gives back slots */
static struct sigaction before_guard;
static atomic_bool guarded;

static slot *slot_of(uintptr_t address)
{
    for (size_t i = 0; i < STORE_MAPPINGS_MAX; i++) {
        slot *at = &slots[i];
        unsigned turn = atomic_load(&at->turn);
        uintptr_t begin = atomic_load(&at->begin);
        size_t bytes = atomic_load(&at->bytes);
        if (begin && address >= begin && address - begin < bytes && turn % 2 == 0 && atomic_load(&at->turn) == turn)
            return at;
    }
    return NULL;
}

/*
 * Zeros in the place of the whole mapping: one call, after which nothing of it faults again. The flag comes first, so
 * that whoever can read a zero can see it. By number, as the library's own mmap() may be somebody's wrapper.
 */
static bool blank(slot *at)
{
    atomic_exchange(&at->broken, 1);
    long got = syscall(SYS_mmap, atomic_load(&at->begin), atomic_load(&at->bytes), PROT_READ,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0L);
    return got != -1;
}

/* As if there were no handler: the one before, or the default, which the access that is tried again then meets. */
static void hand_on(int number, siginfo_t *about, void *context)
{
    if (before_guard.sa_flags & SA_SIGINFO) {
        before_guard.sa_sigaction(number, about, context);
    } else if (before_guard.sa_handler != SIG_DFL && before_guard.sa_handler != SIG_IGN) {
        before_guard.sa_handler(number);
    } else {
        if (about->si_code <= 0 && before_guard.sa_handler == SIG_IGN) /* sent, not met */
            return;
        const struct sigaction plain = {.sa_handler = SIG_DFL};
        sigaction(SIGBUS, &plain, NULL);
        if (about->si_code <= 0)
            raise(SIGBUS);
    }
}

static void on_bus_error(int number, siginfo_t *about, void *context)
{
    int code = errno;
    slot *at = about->si_code > 0 ? slot_of((uintptr_t)about->si_addr) : NULL;
    if (!at || !blank(at))
        hand_on(number, about, context);
    errno = code;
}

hop_status store_mapping_guard(hop_error *error)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int failed = 0;
    pthread_mutex_lock(&lock);
    if (!atomic_load(&guarded)) {
        const struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK};
        /* First what was there, as the handler may run at once. */
        if (sigaction(SIGBUS, NULL, &before_guard) != 0 || sigaction(SIGBUS, &action, NULL) != 0)
            failed = errno;
        atomic_store(&guarded, failed == 0);
    }
    pthread_mutex_unlock(&lock);
    return failed ? hop_fail(error, HOP_E_IO, "cannot handle SIGBUS: %s", strerror(failed)) : HOP_OK;
}

static slot *take_slot(void)
{
    slot *taken = NULL;
    pthread_mutex_lock(&slots_lock);
    for (size_t i = 0; i < STORE_MAPPINGS_MAX && !taken; i++)
        if (atomic_load(&slots[i].begin) == 0 && atomic_load(&slots[i].turn) % 2 == 0)
            taken = &slots[i];
    if (taken) {
        atomic_fetch_add(&taken->turn, 1); /* odd: nobody else takes it either */
        atomic_store(&taken->broken, 0);
    }
    pthread_mutex_unlock(&slots_lock);
    return taken;
}

static void fill_slot(slot *taken, void *begin, size_t bytes)
{
    atomic_store(&taken->bytes, bytes);
    atomic_store(&taken->begin, (uintptr_t)begin);
    atomic_fetch_add(&taken->turn, 1);
}

/* Before the pages go: others may be mapped there at once. */
static void empty_slot(slot *taken)
{
    atomic_fetch_add(&taken->turn, 1);
    atomic_store(&taken->begin, 0);
    atomic_fetch_add(&taken->turn, 1);
}

/* ---- one file ------------------------------------------------------------------------------------------ */

typedef struct stretch {
    uint64_t at;
    size_t bytes;
    uint32_t checksum;
} stretch;

struct store_mapping {
    slot *slot;
    char *bytes;
    size_t n; /* whole pages */
    int file;
    uint64_t file_bytes;
    dev_t device;
    ino_t inode;
    int64_t written_ns;
    _Atomic(int64_t) changed_ns; /* of the inode; a later one once the checksums were right again */
    pthread_mutex_t comparing;
    stretch stretches[STORE_MAPPING_STRETCHES_MAX];
    size_t n_stretches;
    store_listener listener;
    atomic_bool said;
    char what[WHAT_BYTES];
};

static int64_t nanoseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * SECOND_NS + time.tv_nsec;
}

/* A write in the same tick of the clock as the last one would not be seen by its time. */
static bool settled(const struct stat *about)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    int64_t written = nanoseconds(about->st_mtim), changed = nanoseconds(about->st_ctim);
    int64_t last = written > changed ? written : changed;
    bool coarse = about->st_mtim.tv_nsec == 0 && about->st_ctim.tv_nsec == 0;
    return nanoseconds(now) - last > (coarse ? COARSE_NS : TICK_NS);
}

static hop_status cannot(const char *what, hop_error *error)
{
    return hop_fail(error, HOP_E_IO, "cannot %s: %s", what, strerror(errno));
}

static hop_status map(store_mapping *self, int file, hop_error *error)
{
    const store_system *system = store_system_calls;
    struct stat about;
    self->file = system->duplicate(file);
    if (self->file < 0)
        return cannot("keep it open", error);
    if (system->about(self->file, &about) != 0)
        return cannot("look at it", error);
    if (!S_ISREG(about.st_mode) || (uint64_t)about.st_size != self->file_bytes)
        return hop_fail(error, HOP_E_IO, "it is not of the length that it was");
    if (!system->local(self->file))
        return hop_fail(error, HOP_E_LIMIT, "its file system is not known to tell of every write");
    if (!settled(&about))
        return hop_fail(error, HOP_E_LIMIT, "it was changed a moment ago");
    self->device = about.st_dev;
    self->inode = about.st_ino;
    self->written_ns = nanoseconds(about.st_mtim);
    atomic_init(&self->changed_ns, nanoseconds(about.st_ctim));
    slot *taken = take_slot();
    if (!taken)
        return hop_fail(error, HOP_E_LIMIT, "%d files are mapped at once", STORE_MAPPINGS_MAX);
    self->bytes = system->map(self->file, self->n);
    fill_slot(taken, self->bytes, self->n); /* with nothing, it is free again */
    if (!self->bytes)
        return cannot("map it", error);
    self->slot = taken;
    return HOP_OK;
}

hop_status store_mapping_new(int file, uint64_t bytes, const char *what, store_listener listener, store_mapping **out,
                             hop_error *error)
{
    if (!atomic_load(&guarded))
        return hop_fail(error, HOP_E_LIMIT, "there is no handler for SIGBUS");
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (bytes == 0 || bytes > SIZE_MAX - page)
        return hop_fail(error, HOP_E_LIMIT, "a file of %llu bytes cannot be mapped", (unsigned long long)bytes);
    store_mapping *self = calloc(1, sizeof *self);
    if (!self)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    self->file = -1;
    self->file_bytes = bytes;
    self->n = ((size_t)bytes + page - 1) / page * page;
    self->listener = listener;
    atomic_init(&self->said, false);
    pthread_mutex_init(&self->comparing, NULL);
    snprintf(self->what, sizeof self->what, "%s", what);
    hop_status status = map(self, file, error);
    if (status != HOP_OK) {
        store_mapping_free(self);
        return status;
    }
    *out = self;
    return HOP_OK;
}

void store_mapping_free(store_mapping *mapping)
{
    if (!mapping)
        return;
    if (mapping->slot)
        empty_slot(mapping->slot);
    if (mapping->bytes)
        munmap(mapping->bytes, mapping->n);
    if (mapping->file >= 0)
        store_system_calls->close(mapping->file);
    pthread_mutex_destroy(&mapping->comparing);
    free(mapping);
}

const char *store_mapping_bytes(const store_mapping *mapping)
{
    return mapping->bytes;
}

void store_mapping_note(store_mapping *mapping, uint64_t at, size_t bytes, uint32_t checksum)
{
    if (mapping->n_stretches < STORE_MAPPING_STRETCHES_MAX)
        mapping->stretches[mapping->n_stretches++] = (stretch){at, bytes, checksum};
}

/* ---- was it the file? ---------------------------------------------------------------------------------- */

/* What a write to the file, or another file, would have changed. */
static bool unwritten(const store_mapping *self, const struct stat *about)
{
    return about->st_dev == self->device && about->st_ino == self->inode &&
           (uint64_t)about->st_size == self->file_bytes && nanoseconds(about->st_mtim) == self->written_ns;
}

static bool checksums_right(const store_mapping *self)
{
    for (size_t i = 0; i < self->n_stretches; i++) {
        const stretch *at = &self->stretches[i];
        if (store_checksum(0, self->bytes + at->at, at->bytes) != at->checksum)
            return false;
    }
    return true;
}

/* Only the inode was changed: is what was mapped as it was? */
static bool compare(store_mapping *self, int64_t changed_ns)
{
    struct stat about;
    bool right = true;
    pthread_mutex_lock(&self->comparing);
    if (atomic_load(&self->changed_ns) != changed_ns) { /* else another reader has compared */
        right = checksums_right(self) && store_system_calls->about(self->file, &about) == 0 && unwritten(self, &about);
        if (right)
            atomic_store(&self->changed_ns, changed_ns);
    }
    pthread_mutex_unlock(&self->comparing);
    return right;
}

static bool file_is_as_it_was(store_mapping *self)
{
    struct stat about;
    if (store_system_calls->about(self->file, &about) != 0 || !unwritten(self, &about))
        return false;
    int64_t changed_ns = nanoseconds(about.st_ctim);
    return changed_ns == atomic_load(&self->changed_ns) || about.st_nlink == 0 || compare(self, changed_ns);
}

bool store_mapping_intact(store_mapping *mapping)
{
    /*
     * An exchange on both sides: what this thread has read comes before its own, the zeros after the handler's. So
     * whoever has read a zero finds the flag; a load could be done before the reads it is to judge.
     */
    if (!file_is_as_it_was(mapping))
        atomic_exchange(&mapping->slot->broken, 1);
    if (!atomic_fetch_or(&mapping->slot->broken, 0))
        return true;
    if (!atomic_exchange(&mapping->said, true) && mapping->listener.say) {
        char text[WHAT_BYTES + 128];
        snprintf(text, sizeof text, "%s: the file was changed while it was mapped: what is in it is not used any more",
                 mapping->what);
        mapping->listener.say(mapping->listener.context, true, text);
    }
    return false;
}

bool store_mapping_recheck(store_mapping *mapping)
{
    if (!checksums_right(mapping))
        atomic_exchange(&mapping->slot->broken, 1);
    return store_mapping_intact(mapping);
}

bool store_mapping_broken(const store_mapping *mapping)
{
    return atomic_load(&mapping->slot->broken) != 0;
}
