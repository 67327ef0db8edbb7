/*
 * folder.c - which files of the data directory count, and the order of calls that makes a change durable or undoes it.
 */
#include "store/folder.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/folder_state.h"
#include "store/log.h"
#include "store/maps_file.h"
#include "store/system.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, SAID_BYTES = 512 };

/* A record that is larger than BIG_BYTES and a quarter of the rows is not worth being written twice. */
enum { BIG_BYTES = 8 << 20 };

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
            return store_file_cannot("make the data directory", part, errno, error);
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
            return store_file_cannot("make the data directory durable in", part, code, error);
    }
    return HOP_OK;
}

hop_status store_folder_open(const char *path, store_listener listener, store_folder **out, hop_error *error)
{
    hop_status status = make_folders(path, error);
    if (status != HOP_OK)
        return status;
    int fd = store_system_calls->open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return store_file_cannot("open the data directory", path, errno, error);
    store_folder *folder = NULL;
    if (store_system_calls->lock(fd) != 0)
        status = errno == EWOULDBLOCK
                     ? hop_fail(error, HOP_E_BUSY, "the data directory %.140s is in use by another process", path)
                     : store_file_cannot("lock the data directory", path, errno, error);
    if (status == HOP_OK && !(folder = calloc(1, sizeof *folder)))
        status = hop_fail(error, HOP_E_NOMEM, "out of memory");
    if (status != HOP_OK) {
        store_system_calls->close(fd);
        return status;
    }
    folder->fd = fd;
    folder->listener = listener;
    pthread_mutex_init(&folder->lock, NULL);
    pthread_cond_init(&folder->changed, NULL);
    status = store_folder_take_stock(folder, error);
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
    for (size_t i = 0; i < folder->n; i++)
        free(folder->kept[i]);
    free(folder->kept);
    pthread_cond_destroy(&folder->changed);
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

hop_status store_folder_list(store_folder *folder, store_found **out, size_t *n, hop_error *error)
{
    store_listing list;
    hop_status status = store_listing_read(folder, &list, error);
    if (status != HOP_OK)
        return status;
    *n = 0;
    *out = malloc((list.n + 1) * sizeof **out); /* no more than the list took */
    for (size_t i = 0; i < list.n && *out; i++)
        if (list.files[i].kind == STORE_FILE_SET)
            (*out)[(*n)++] = list.files[i].found;
    store_listing_free(&list);
    return *out ? HOP_OK : hop_fail(error, HOP_E_NOMEM, "out of memory for the list of the data directory");
}

/* ---- writing ------------------------------------------------------------------------------------------- */

/* Checksums of zeros are right too: rows that were mapped are asked for afterwards. */
hop_status store_write_set(void *context, int file, hop_error *error)
{
    hop_status status = store_snapshot_write(context, file, error);
    return status == HOP_OK ? store_set_check(context, error) : status;
}

hop_status store_write_maps(void *context, int file, hop_error *error)
{
    hop_status status = store_maps_write(context, file, error);
    return status == HOP_OK ? store_set_check(context, error) : status;
}

hop_status store_write_log(void *context, int file, hop_error *error)
{
    store_new_log *log = context;
    hop_status status = store_log_start(file, log->base, &log->tail, error);
    if (status == HOP_OK && log->record)
        status = store_log_add(file, log->record, &log->tail, error);
    if (status == HOP_OK && log->rest)
        status = store_log_copy(log->rest, file, &log->tail, error);
    return status == HOP_OK ? store_log_finish(file, &log->tail, error) : status;
}

hop_status store_kept_settle_set(store_folder *folder, const char *aside, const store_set *set, bool keep_log,
                                 store_unsettled *how, hop_error *error)
{
    char name[STORE_FILE_NAME_BYTES], log[STORE_FILE_NAME_BYTES];
    *how = STORE_GONE;
    store_file_name(name, STORE_FILE_SET, set->name, set->version);
    store_file_name(log, STORE_FILE_LOG, set->name, set->version);
    /* Left by a set of this name that was deleted: gone for good before this one is there. */
    bool removed = !keep_log && store_system_calls->unlink(folder->fd, log) == 0;
    if (!keep_log && !removed && errno != ENOENT && (errno == EISDIR || errno == EPERM))
        removed = store_system_calls->remove_folder(folder->fd, log) == 0;
    if ((!keep_log && !removed && errno != ENOENT) || (removed && store_system_calls->sync(folder->fd) != 0)) {
        int code = errno;
        (void)store_system_calls->unlink(folder->fd, aside);
        return store_file_cannot("remove", log, code, error);
    }
    return store_file_settle(folder->fd, aside, name, how, error);
}

static hop_status save_whole(store_folder *folder, store_kept *kept, const store_set *set, hop_error *error)
{
    char name[STORE_FILE_NAME_BYTES], aside[STORE_FILE_NAME_BYTES];
    store_unsettled how = STORE_GONE;
    store_file_name(name, STORE_FILE_SET, set->name, set->version);
    hop_status status =
        store_file_write_aside(folder->fd, name, STORE_ASIDE_CHANGE, store_write_set, (void *)set, aside, error);
    if (status == HOP_OK)
        status = store_kept_settle_set(folder, aside, set, false, &how, error);
    if (status == HOP_OK)
        store_kept_now_whole(folder, kept, set);
    else if (how == STORE_STAYS)
        store_kept_doubt(folder, kept);
    return status;
}

hop_status store_folder_save(store_folder *folder, const store_set *set, hop_error *error)
{
    store_kept *kept = store_kept_hold(folder, set->name, true);
    if (!kept)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    hop_status status = save_whole(folder, kept, set, error);
    store_kept_release(folder, kept);
    return status;
}

/* The first change of a snapshot. HOP_E_FORMAT: something that is no file is in the way. */
static hop_status start_log(store_folder *folder, store_kept *kept, const store_log_record *record,
                            store_log_tail *tail, hop_error *error)
{
    char name[STORE_FILE_NAME_BYTES], aside[STORE_FILE_NAME_BYTES];
    store_new_log log = {.base = &kept->base, .record = record};
    store_unsettled how;
    store_file_name(name, STORE_FILE_LOG, kept->name, kept->snapshot);
    hop_status status =
        store_file_write_aside(folder->fd, name, STORE_ASIDE_CHANGE, store_write_log, &log, aside, error);
    if (status != HOP_OK)
        return status;
    status = store_file_settle(folder->fd, aside, name, &how, error);
    if (status != HOP_OK && how == STORE_STAYS)
        store_kept_doubt(folder, kept);
    *tail = log.tail;
    return status != HOP_OK && how == STORE_BLOCKED ? HOP_E_FORMAT : status;
}

static hop_status append_to_log(store_folder *folder, store_kept *kept, const store_log_record *record,
                                store_log_tail *tail, hop_error *error)
{
    char name[STORE_FILE_NAME_BYTES];
    int file;
    bool unsure = false;
    store_file_name(name, STORE_FILE_LOG, kept->name, kept->snapshot);
    hop_status status = store_file_open(folder->fd, name, true, &file, error);
    if (status != HOP_OK)
        return status == HOP_E_NOT_FOUND ? HOP_E_FORMAT : status;
    hop_error cause = HOP_ERROR_NONE;
    status = store_log_end(file, &kept->base, tail, &cause);
    if (status == HOP_OK && (tail->version != kept->newest || tail->content_hash != record->previous_hash))
        status = hop_fail(&cause, HOP_E_FORMAT, "it ends with another version");
    if (status == HOP_OK)
        status = store_log_append(file, record, tail, &unsure, &cause);
    store_system_calls->close(file);
    if (unsure)
        store_kept_doubt(folder, kept);
    return status == HOP_OK ? HOP_OK
                            : hop_fail(error, status, "%.120s: %.80s%s", name, cause.text,
                                       unsure ? "; the change may count after a restart" : "");
}

static bool same_numbers(const double *a, const double *b, size_t n)
{
    return !a == !b && (!a || memcmp(a, b, n * sizeof *a) == 0);
}

/* The set's maps will not fit what is made of the snapshot's frame after a restart, where they are in another. */
static bool same_frames(const store_set *a, const store_set *b)
{
    const hop_frames one = hop_model_frames(a->model), other = hop_model_frames(b->model);
    return same_numbers(one.key_centre, other.key_centre, a->d) && same_numbers(one.key_scale, other.key_scale, a->d) &&
           (!a->values || (same_numbers(one.value_centre, other.value_centre, a->p) &&
                           same_numbers(one.value_scale, other.value_scale, a->p)));
}

/*
 * Whether a record of a revision can be, and had better be, appended. Never beside a file that could not be loaded, in
 * whose place an older one, whose log makes the same version, answers; nor to a snapshot without a mean: what is read
 * back would have the mean of the rows there are, not the one that was frozen.
 */
static bool fits_log(const store_kept *kept, const store_set *base, const store_set *set,
                     const store_log_record *record)
{
    uint64_t bytes = store_log_record_bytes(record);
    return kept->snapshot > 0 && kept->loaded && !kept->frameless && !kept->unsure && kept->newest == base->version &&
           set->version == base->version + 1 && (kept->logged || kept->snapshot == base->version) &&
           !(bytes > BIG_BYTES && bytes > store_kept_rows_bytes(set) / 4);
}

hop_status store_folder_append(store_folder *folder, const store_set *base, const store_set *set,
                               const store_revision *revision, hop_error *error)
{
    store_kept *kept = store_kept_hold(folder, set->name, true);
    if (!kept)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    const store_log_record record = store_log_record_of(set, revision, base->content_hash);
    hop_status status = HOP_E_FORMAT;
    hop_error cause = HOP_ERROR_NONE;
    if (kept->unread) {
        /* Written whole, the change would take the place of changes that the next start may find. */
        status =
            hop_fail(&cause, HOP_E_IO, "the log of '%.120s' could not be read at the start: start again", kept->name);
    } else if (fits_log(kept, base, set, &record)) {
        store_log_tail tail;
        status = kept->logged ? append_to_log(folder, kept, &record, &tail, &cause)
                              : start_log(folder, kept, &record, &tail, &cause);
        if (status == HOP_OK)
            store_kept_now_logged(folder, kept, &tail, !same_frames(base, set));
        else if (status == HOP_E_FORMAT)
            store_folder_say(folder, true, "set '%s': written as a whole: %s", set->name, cause.text);
    }
    if (status == HOP_E_FORMAT)
        status = save_whole(folder, kept, set, error);
    else if (status != HOP_OK)
        status = hop_fail(error, status, "%s", cause.text);
    store_kept_release(folder, kept);
    return status;
}

hop_status store_folder_save_maps(store_folder *folder, const store_set *set, hop_error *error)
{
    return store_kept_save_maps(folder, set, STORE_ASIDE_CHANGE, error);
}

hop_status store_kept_save_maps(store_folder *folder, const store_set *set, store_aside how, hop_error *error)
{
    char name[STORE_FILE_NAME_BYTES], aside[STORE_FILE_NAME_BYTES];
    store_unsettled unsettled;
    store_file_name(name, STORE_FILE_MAPS, set->name, set->version);
    hop_status status = store_file_write_aside(folder->fd, name, how, store_write_maps, (void *)set, aside, error);
    if (status != HOP_OK)
        return status;
    store_kept *kept = store_kept_hold(folder, set->name, false);
    /* Another version may be current by now, another set have that name. */
    if (kept && kept->newest == set->version && !atomic_load(&set->progress.cancel)) {
        status = store_file_settle(folder->fd, aside, name, &unsettled, error);
        uint64_t before = kept->maps;
        if (status == HOP_OK && before && before != set->version) {
            store_file_name(name, STORE_FILE_MAPS, set->name, before);
            store_file_remove(folder->fd, name);
        }
        pthread_mutex_lock(&folder->lock);
        if (status == HOP_OK)
            kept->maps = set->version;
        pthread_mutex_unlock(&folder->lock);
    } else {
        (void)store_system_calls->unlink(folder->fd, aside);
    }
    if (kept)
        store_kept_release(folder, kept);
    return status;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

/* A log that a stop has left with a slot half written, or with bytes that do not count. Held. */
static void mend_log(store_folder *folder, const char *name, const store_log_reader *log)
{
    int file;
    hop_error error = HOP_ERROR_NONE;
    hop_status status = store_file_open(folder->fd, name, true, &file, &error);
    if (status == HOP_OK) {
        status = store_log_mend(file, log, &error);
        store_system_calls->close(file);
    }
    if (status != HOP_OK)
        store_folder_say(folder, true, "%s: it is left as it is: %s", name, error.text);
}

/* What was found of a name's newest version, the first time: nobody may change it before. */
static void now_loaded(store_folder *folder, const store_replay *replay, const store_loss *loss, const store_set *set)
{
    const store_log_reader *log = store_replay_log(replay);
    store_kept *kept = store_kept_hold(folder, set->name, false);
    if (kept && !kept->loaded && kept->snapshot == store_replay_base(replay)->version) {
        pthread_mutex_lock(&folder->lock);
        kept->loaded = true;
        kept->base = *store_replay_base(replay);
        kept->snapshot_bytes = store_replay_snapshot(replay)->container.file_bytes;
        kept->frameless = store_replay_snapshot(replay)->format == 1;
        kept->unsure = loss->reason[0] != '\0';
        kept->unread = kept->unsure && loss->unread;
        kept->newest = kept->unsure ? loss->newest : set->version;
        kept->log_bytes = log ? log->read.end : 0;
        kept->log_records = log ? log->read.records : 0;
        pthread_mutex_unlock(&folder->lock);
        if (log && !kept->unsure && store_log_wants_mending(log)) {
            char name[STORE_FILE_NAME_BYTES];
            store_file_name(name, STORE_FILE_LOG, kept->name, kept->snapshot);
            mend_log(folder, name, log);
        }
        store_kept_tell_if_long(folder, kept);
    }
    if (kept)
        store_kept_release(folder, kept);
}

/* HOP_E_NOT_FOUND: that version has no log. */
static hop_status open_log(store_folder *folder, const char *name, uint64_t version, int *log, hop_error *error)
{
    char of[STORE_FILE_NAME_BYTES];
    store_file_name(of, STORE_FILE_LOG, name, version);
    pthread_mutex_lock(&folder->lock);
    const store_kept *kept = store_kept_find(folder, name);
    bool none = kept && kept->snapshot == version && !kept->logged;
    pthread_mutex_unlock(&folder->lock);
    *log = -1;
    return none ? HOP_E_NOT_FOUND : store_file_open(folder->fd, of, false, log, error);
}

static hop_status load(store_folder *folder, int file, const char *name, uint64_t version, const store_loading *loading,
                       store_set **out, store_loss *loss, hop_error *error)
{
    char log_name[STORE_FILE_NAME_BYTES];
    int log;
    store_file_name(log_name, STORE_FILE_LOG, name, version);
    hop_error cause = HOP_ERROR_NONE;
    hop_status opened = open_log(folder, name, version, &log, &cause);
    store_replay *replay = NULL;
    hop_status status = store_replay_new(file, log, name, version, loading, &replay, loss, error);
    if (status == HOP_OK && loss->reason[0]) {
        snprintf(cause.text, sizeof cause.text, "%s", loss->reason);
        snprintf(loss->reason, sizeof loss->reason, "%.100s: %.120s", log_name, cause.text);
    } else if (status == HOP_OK && opened != HOP_OK && opened != HOP_E_NOT_FOUND) {
        *loss = (store_loss){.newest = version, .unread = opened != HOP_E_FORMAT};
        snprintf(loss->reason, sizeof loss->reason, "%s", cause.text);
    }
    if (status == HOP_OK)
        status = store_replay_build(replay, out, error);
    if (status == HOP_OK)
        now_loaded(folder, replay, loss, *out);
    store_replay_free(replay);
    if (log >= 0)
        store_system_calls->close(log);
    return status;
}

/* The reader's reason, behind the file's name. */
static hop_status close_file(int file, const char *name, hop_status status, const hop_error *cause, hop_error *error)
{
    store_system_calls->close(file);
    return status == HOP_OK ? HOP_OK : hop_fail(error, status, "%.120s: %.110s", name, cause->text);
}

hop_status store_folder_cost(store_folder *folder, const char *name, uint64_t version, hop_packing packing,
                             store_cost *out, hop_error *error)
{
    char of[STORE_FILE_NAME_BYTES];
    int file, log;
    store_file_name(of, STORE_FILE_SET, name, version);
    hop_status status = store_file_open(folder->fd, of, false, &file, error);
    if (status != HOP_OK)
        return status;
    hop_error cause = HOP_ERROR_NONE;
    (void)!open_log(folder, name, version, &log, NULL); /* what is wrong with it is met again */
    status = store_replay_cost(file, log, name, version, packing, out, &cause);
    if (log >= 0)
        store_system_calls->close(log);
    return close_file(file, of, status, &cause, error);
}

hop_status store_folder_load(store_folder *folder, const char *name, uint64_t version, const store_loading *loading,
                             store_set **out, store_loss *loss, hop_error *error)
{
    char of[STORE_FILE_NAME_BYTES];
    int file;
    *loss = (store_loss){0};
    store_file_name(of, STORE_FILE_SET, name, version);
    hop_status status = store_file_open(folder->fd, of, false, &file, error);
    if (status != HOP_OK)
        return status;
    hop_error cause = HOP_ERROR_NONE;
    store_loading from_here = *loading;
    from_here.listener = folder->listener;
    status = load(folder, file, name, version, &from_here, out, loss, &cause);
    return close_file(file, of, status, &cause, error);
}

uint64_t store_folder_newest(store_folder *folder, const char *name, uint64_t version)
{
    int log;
    if (open_log(folder, name, version, &log, NULL) != HOP_OK)
        return 0;
    uint64_t newest = store_log_newest(log, name, version, 0);
    store_system_calls->close(log);
    return newest;
}

hop_status store_folder_load_maps(store_folder *folder, store_set *set, size_t bytes_most, const hop_executor *executor,
                                  const atomic_bool *cancel, hop_error *error)
{
    char of[STORE_FILE_NAME_BYTES];
    int file;
    store_file_name(of, STORE_FILE_MAPS, set->name, set->version);
    hop_status status = store_file_open(folder->fd, of, false, &file, error);
    if (status != HOP_OK)
        return status;
    hop_error cause = HOP_ERROR_NONE;
    status = store_maps_read(set, file, bytes_most, executor, cancel, &cause);
    return close_file(file, of, status, &cause, error);
}

/* ---- removing ------------------------------------------------------------------------------------------ */

void store_folder_remove_older(store_folder *folder, const char *name, uint64_t version)
{
    store_kept *kept = store_kept_hold(folder, name, false);
    if (!kept)
        return;
    if (version >= kept->snapshot)
        store_kept_tidy(folder, kept);
    store_kept_release(folder, kept);
}

/*
 * The files of a name get other names, so that it can be undone until that is durable: the older versions first, and
 * the newest once their names are gone for good, which is the moment that counts. Whatever stops it before leaves the
 * newest, whatever stops it after leaves nothing that counts. Older ones that were removed before may be there still, and are
 * gone for good by the same sync.
 */
typedef struct leaving {
    size_t n; /* files of sets of this name, the newest first */
    const store_listed **set;
    char (*aside)[STORE_FILE_NAME_BYTES]; /* "": it has its name still */
} leaving;

static bool move_away(const store_folder *folder, leaving *files, size_t from, size_t to)
{
    for (size_t i = to; i > from; i--) {
        char name[STORE_FILE_NAME_BYTES];
        const store_found *found = &files->set[i - 1]->found;
        store_file_name(name, STORE_FILE_SET, found->name, found->version);
        if (!store_file_move_away(folder->fd, name, files->aside[i - 1])) {
            files->aside[i - 1][0] = '\0';
            return false;
        }
    }
    return store_system_calls->sync(folder->fd) == 0;
}

/* Each gets its name back, durably. What became of it, for messages: "" if that worked. */
static const char *move_back(const store_folder *folder, leaving *files)
{
    bool any = false, all = true;
    for (size_t i = 0; i < files->n; i++) {
        char name[STORE_FILE_NAME_BYTES];
        const store_found *found = &files->set[i]->found;
        store_file_name(name, STORE_FILE_SET, found->name, found->version);
        any = any || files->aside[i][0];
        if (files->aside[i][0])
            all = store_system_calls->rename(folder->fd, files->aside[i], name) == 0 && all;
    }
    if (!all)
        return "; some are renamed and will be gone after a restart";
    return any && store_system_calls->sync(folder->fd) != 0 ? "; they may be gone after a restart" : "";
}

/* kept: NULL where nothing is known of the name. */
static hop_status remove_files(store_folder *folder, store_kept *kept, const char *name, const store_listing *list,
                               leaving *files, hop_error *error)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->files[i].kind == STORE_FILE_SET && strcmp(list->files[i].found.name, name) == 0)
            files->set[files->n++] = &list->files[i];
    if (files->n == 0)
        return HOP_OK;
    if (!move_away(folder, files, 1, files->n) || !move_away(folder, files, 0, 1)) {
        int code = errno;
        const char *rest = move_back(folder, files);
        if (kept && rest[0])
            store_kept_doubt(folder, kept); /* a log would be of a file that is not there */
        return hop_fail(error, store_system_status(code), "cannot remove the files of '%.130s': %s%s", name,
                        strerror(code), rest);
    }
    for (size_t i = 0; i < files->n; i++)
        store_file_remove(folder->fd, files->aside[i]);
    for (size_t i = 0; i < list->n; i++) /* what is of no use without its set */
        if ((list->files[i].kind == STORE_FILE_LOG || list->files[i].kind == STORE_FILE_MAPS) &&
            strcmp(list->files[i].found.name, name) == 0)
            store_listed_remove(folder, &list->files[i]);
    /* Whatever order names reach the disk in: no log comes back beside a set of this name that is put later. */
    (void)store_system_calls->sync(folder->fd);
    return HOP_OK;
}

hop_status store_folder_remove(store_folder *folder, const char *name, hop_error *error)
{
    store_listing list;
    store_kept *kept = store_kept_hold(folder, name, false);
    hop_status status = store_listing_read(folder, &list, error);
    if (status == HOP_OK) {
        leaving files = {.set = calloc(list.n + 1, sizeof *files.set),
                         .aside = calloc(list.n + 1, sizeof *files.aside)};
        if (files.set && files.aside)
            status = remove_files(folder, kept, name, &list, &files, error);
        else
            status = hop_fail(error, HOP_E_NOMEM, "out of memory");
        free(files.set);
        free(files.aside);
        store_listing_free(&list);
    }
    if (kept && status == HOP_OK) {
        pthread_mutex_lock(&folder->lock);
        kept->snapshot = 0;
        pthread_mutex_unlock(&folder->lock);
    }
    if (kept)
        store_kept_release(folder, kept);
    return status;
}
