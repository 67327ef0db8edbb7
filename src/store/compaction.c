/*
 * compaction.c - see compaction.h; and store_folder_compact(), whose steps are, S being the file of the old version and L
 * its log, V the version that is written, S' its file and L' the log of what came after V:
 *
 *      1  S' is written aside and synced               S + L count
 *      2  the maps of V, where it is still the newest  S + L
 *      3  the name is held: no change comes in between
 *      4  L' is written aside and synced               S + L
 *      5  L' gets its name                             S + L: a log without its set is nothing
 *      6  the directory is synced                      S + L, L' is durable
 *      7  S' gets its name                             S' + L', or S + L where it is not durable yet: they are the same
 *      8  the directory is synced                      S' + L'
 *      9  S goes, then L and the maps of old versions  S' + L': what is left of the old ones is of older versions
 *
 * Without changes since V there is no L', and 4 to 6 are left out; then nothing may have that name already. Whatever
 * stops it, the files that count are the old pair or the new one, and both are what was acknowledged; what else is there
 * goes at the next start.
 */
#include "store/compaction.h"

#include "core/status.h"
#include "store/folder_state.h"
#include "store/system.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- which ----------------------------------------------------------------------------------------------- */

void store_folder_on_long_log(store_folder *folder, void (*tell)(void *context), void *context)
{
    pthread_mutex_lock(&folder->lock);
    folder->on_long_log = tell;
    folder->context = context;
    pthread_mutex_unlock(&folder->lock);
}

bool store_folder_long_log(store_folder *folder, const char *after, char name[STORE_NAME_BYTES])
{
    const store_kept *next = NULL;
    pthread_mutex_lock(&folder->lock);
    for (size_t i = 0; i < folder->n; i++) {
        const store_kept *kept = folder->kept[i];
        if (store_kept_is_long(kept) && (!after || strcmp(kept->name, after) > 0) &&
            (!next || strcmp(kept->name, next->name) < 0))
            next = kept;
    }
    if (next)
        memcpy(name, next->name, STORE_NAME_BYTES);
    pthread_mutex_unlock(&folder->lock);
    return next != NULL;
}

uint64_t store_folder_life(store_folder *folder, const char *name)
{
    uint64_t life = 0;
    pthread_mutex_lock(&folder->lock);
    for (size_t i = 0; i < folder->n; i++)
        if (strcmp(folder->kept[i]->name, name) == 0)
            life = folder->kept[i]->life;
    pthread_mutex_unlock(&folder->lock);
    return life;
}

/* ---- one ------------------------------------------------------------------------------------------------- */

/* The old log, read up to the version that is written. */
typedef struct old_log {
    int file; /* < 0: not open */
    store_log_reader reader;
} old_log;

static hop_status read_until(store_log_reader *reader, const store_set *set, hop_error *error)
{
    store_log_record record;
    hop_status status = HOP_OK;
    while (status == HOP_OK && reader->read.version < set->version)
        status = store_log_next(reader, &record, error);
    if (status == HOP_OK && reader->read.content_hash != set->content_hash)
        status = hop_fail(error, HOP_E_FORMAT, "its version %" PRIu64 " is not the one in memory", set->version);
    return status == HOP_E_NOT_FOUND ? HOP_E_FORMAT : status;
}

/* What counts is what counted when the set was got, or later: *current is false where it is of another life. */
static hop_status open_old_log(store_folder *folder, const store_set *set, uint64_t life, old_log *log, bool *current,
                               hop_error *error)
{
    char name[STORE_FILE_NAME_BYTES];
    store_log_base base;
    store_kept *kept = store_kept_hold(folder, set->name, false);
    *current = kept && kept->life == life && kept->logged && !kept->unsure && kept->snapshot < set->version &&
               set->version <= kept->newest;
    hop_status status = HOP_OK;
    if (*current) {
        base = kept->base;
        store_file_name(name, STORE_FILE_LOG, kept->name, kept->snapshot);
        status = store_file_open(folder->fd, name, false, &log->file, error);
    }
    if (kept)
        store_kept_release(folder, kept);
    if (!*current || status != HOP_OK)
        return status;
    hop_error cause = HOP_ERROR_NONE;
    status = store_log_begin(&log->reader, log->file, &base, &cause);
    if (status == HOP_OK)
        status = read_until(&log->reader, set, &cause);
    return status == HOP_OK ? HOP_OK : hop_fail(error, status, "%.120s: %.110s", name, cause.text);
}

/* The new log once more, from the disk: copies are not believed either. */
static hop_status check_copy(store_folder *folder, const char *name, const store_new_log *log, hop_error *error)
{
    int file;
    store_log_reader reader;
    store_log_record record;
    hop_status status = store_file_open(folder->fd, name, false, &file, error);
    if (status != HOP_OK)
        return status;
    hop_error cause = HOP_ERROR_NONE;
    status = store_log_begin(&reader, file, log->base, &cause);
    while (status == HOP_OK)
        status = store_log_next(&reader, &record, &cause);
    store_system_calls->close(file);
    if (status == HOP_E_NOT_FOUND && reader.read.content_hash == log->tail.content_hash &&
        reader.read.version == log->tail.version)
        return HOP_OK;
    return hop_fail(error, HOP_E_IO, "%.120s: what was written is not what is read: %.80s", name, cause.text);
}

/* Steps 4 to 6; *tail is where the new log ends. Held. */
static hop_status start_new_log(store_folder *folder, const store_set *set, store_log_reader *rest,
                                store_log_tail *tail, hop_error *error)
{
    char name[STORE_FILE_NAME_BYTES], aside[STORE_FILE_NAME_BYTES];
    const store_log_base base = store_log_base_of(set);
    store_new_log log = {.base = &base, .rest = rest};
    store_unsettled how;
    store_file_name(name, STORE_FILE_LOG, set->name, set->version);
    hop_status status =
        store_file_write_aside(folder->fd, name, STORE_ASIDE_COMPACTION, store_write_log, &log, aside, error);
    if (status == HOP_OK) {
        status = check_copy(folder, aside, &log, error);
        if (status != HOP_OK)
            (void)store_system_calls->unlink(folder->fd, aside);
    }
    if (status == HOP_OK)
        status = store_file_settle(folder->fd, aside, name, &how, error); /* where it stays it is nothing either */
    *tail = log.tail;
    return status;
}

/* Steps 4 to 9, of a file aside. Held. */
static hop_status take_over(store_folder *folder, store_kept *kept, const store_set *set, const char *aside,
                            old_log *log, hop_error *error)
{
    store_log_tail tail = {0};
    store_unsettled how = STORE_GONE;
    hop_status status = store_log_look_again(&log->reader, error);
    bool more = kept->newest > set->version;
    if (status == HOP_OK && more)
        status = start_new_log(folder, set, &log->reader, &tail, error);
    if (status == HOP_OK && more && tail.version != kept->newest)
        status = hop_fail(error, HOP_E_FORMAT, "the log ends with another version than was acknowledged");
    if (status != HOP_OK) {
        (void)store_system_calls->unlink(folder->fd, aside);
    } else {
        status = store_kept_settle_set(folder, aside, set, more, &how, error);
    }
    if (status == HOP_OK) {
        store_kept_now_whole(folder, kept, set);
        if (more)
            store_kept_now_logged(folder, kept, &tail, false);
        store_kept_tidy(folder, kept);
    } else if (how == STORE_STAYS) {
        store_kept_doubt(folder, kept); /* either pair may be found, and they are the same until the next change */
    } else if (more) {
        char name[STORE_FILE_NAME_BYTES];
        store_file_name(name, STORE_FILE_LOG, set->name, set->version);
        store_file_remove(folder->fd, name);
    }
    return status;
}

static hop_status compact(store_folder *folder, const store_set *set, uint64_t life, old_log *log, hop_error *error)
{
    char name[STORE_FILE_NAME_BYTES], aside[STORE_FILE_NAME_BYTES];
    bool current;
    hop_status status = open_old_log(folder, set, life, log, &current, error);
    if (status != HOP_OK || !current)
        return status;
    store_file_name(name, STORE_FILE_SET, set->name, set->version);
    status =
        store_file_write_aside(folder->fd, name, STORE_ASIDE_COMPACTION, store_write_set, (void *)set, aside, error);
    if (status != HOP_OK)
        return status;
    if (hop_model_features(set->model) && store_set_state(set) == STORE_READY) {
        hop_error cause = HOP_ERROR_NONE;
        if (store_kept_save_maps(folder, set, STORE_ASIDE_COMPACTION, &cause) != HOP_OK)
            store_folder_say(folder, true, "set '%s': feature maps are not kept: %s", set->name, cause.text);
    }
    store_kept *kept = store_kept_hold(folder, set->name, false);
    if (kept && kept->life == life && !kept->unsure)
        status = take_over(folder, kept, set, aside, log, error);
    else
        (void)store_system_calls->unlink(folder->fd, aside); /* deleted, or written whole meanwhile */
    if (kept)
        store_kept_release(folder, kept);
    return status;
}

hop_status store_folder_compact(store_folder *folder, const store_set *set, uint64_t life, hop_error *error)
{
    old_log log = {.file = -1};
    hop_status status = compact(folder, set, life, &log, error);
    if (log.file >= 0)
        store_system_calls->close(log.file);
    if (status == HOP_OK)
        return HOP_OK;
    store_kept *kept = store_kept_hold(folder, set->name, false);
    if (kept) {
        pthread_mutex_lock(&folder->lock);
        kept->tried_bytes = kept->log_bytes;
        pthread_mutex_unlock(&folder->lock);
        store_kept_release(folder, kept);
    }
    return status;
}

/* ---- the thread ------------------------------------------------------------------------------------------ */

/* How long a set that loads is waited for. */
enum { PATIENCE_SECONDS = 1 };

struct store_compaction {
    store_folder *folder;
    store_registry *registry;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* `told` or `stopping` */
    bool told, stopping;
};

static void be_told(void *context)
{
    store_compaction *self = context;
    pthread_mutex_lock(&self->lock);
    self->told = true;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

static bool stops(store_compaction *self)
{
    pthread_mutex_lock(&self->lock);
    bool stopping = self->stopping;
    pthread_mutex_unlock(&self->lock);
    return stopping;
}

/* Every log that is long. True: some set loads still. */
static bool look_through(store_compaction *self)
{
    char name[STORE_NAME_BYTES];
    const char *after = NULL;
    bool loads = false;
    while (!stops(self) && store_folder_long_log(self->folder, after, name)) {
        store_set *set = NULL;
        hop_error error = HOP_ERROR_NONE;
        uint64_t life = store_folder_life(self->folder, name);
        hop_status status = store_registry_get(self->registry, name, &set, &error);
        after = name;
        loads = loads || status == HOP_E_UNLOADED;
        if (status != HOP_OK)
            continue;
        if (set->mapping) /* its rows are on their way into memory */
            loads = true;
        else
            status = store_folder_compact(self->folder, set, life, &error);
        if (status != HOP_OK)
            store_folder_say(self->folder, true, "set '%s': its log is not compacted: %s", name, error.text);
        store_set_release(set);
    }
    return loads;
}

static void *run(void *argument)
{
    store_compaction *self = argument;
    pthread_mutex_lock(&self->lock);
    bool again = true; /* logs that were long before anybody listened */
    while (!self->stopping) {
        if (!self->told && !again) {
            pthread_cond_wait(&self->changed, &self->lock);
            continue;
        }
        self->told = false;
        pthread_mutex_unlock(&self->lock);
        again = look_through(self);
        pthread_mutex_lock(&self->lock);
        if (again && !self->told && !self->stopping) {
            struct timespec until;
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_sec += PATIENCE_SECONDS;
            pthread_cond_timedwait(&self->changed, &self->lock, &until);
        }
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

hop_status store_compaction_new(store_folder *folder, store_registry *registry, store_compaction **out,
                                hop_error *error)
{
    store_compaction *self = calloc(1, sizeof *self);
    if (!self)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    self->folder = folder;
    self->registry = registry;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    int failed = pthread_create(&self->thread, NULL, run, self);
    if (failed) {
        pthread_cond_destroy(&self->changed);
        pthread_mutex_destroy(&self->lock);
        free(self);
        return hop_fail(error, HOP_E_IO, "cannot start the thread that compacts logs: %s", strerror(failed));
    }
    store_folder_on_long_log(folder, be_told, self);
    *out = self;
    return HOP_OK;
}

void store_compaction_stop(store_compaction *compaction)
{
    pthread_mutex_lock(&compaction->lock);
    compaction->stopping = true;
    pthread_cond_signal(&compaction->changed);
    pthread_mutex_unlock(&compaction->lock);
}

void store_compaction_free(store_compaction *compaction)
{
    if (!compaction)
        return;
    store_folder_on_long_log(compaction->folder, NULL, NULL);
    store_compaction_stop(compaction);
    pthread_join(compaction->thread, NULL);
    pthread_cond_destroy(&compaction->changed);
    pthread_mutex_destroy(&compaction->lock);
    free(compaction);
}
