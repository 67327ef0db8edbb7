/*
 * folder_state.c - what is known of the files of each name, who may change them, and the list of the directory that it
 * begins with.
 */
#include "store/folder_state.h"

#include "core/checked.h"
#include "core/status.h"
#include "store/system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A log is compacted beyond LONG_BYTES and half its snapshot, or LONG_RECORDS. */
enum { LONG_BYTES = 1 << 20, LONG_RECORDS = 1000 };

/* ---- what is known of a name's files ------------------------------------------------------------------- */

/* Under the lock. */
store_kept *store_kept_find(const store_folder *folder, const char *name)
{
    for (size_t i = 0; i < folder->n; i++)
        if (strcmp(folder->kept[i]->name, name) == 0)
            return folder->kept[i];
    return NULL;
}

/* Under the lock. NULL: no memory. */
static store_kept *add(store_folder *folder, const char *name)
{
    if (folder->n == folder->room) {
        size_t room = folder->room ? 2 * folder->room : 16, bytes;
        store_kept **moved = hop_mul_size(room, sizeof *moved, &bytes) ? realloc(folder->kept, bytes) : NULL;
        if (!moved)
            return NULL;
        folder->kept = moved;
        folder->room = room;
    }
    store_kept *kept = calloc(1, sizeof *kept);
    if (!kept)
        return NULL;
    snprintf(kept->name, sizeof kept->name, "%s", name);
    folder->kept[folder->n++] = kept;
    return kept;
}

static void drop(store_folder *folder, store_kept *kept)
{
    for (size_t i = 0; i < folder->n; i++)
        if (folder->kept[i] == kept) {
            folder->kept[i] = folder->kept[--folder->n];
            break;
        }
    free(kept);
}

store_kept *store_kept_hold(store_folder *folder, const char *name, bool make)
{
    pthread_mutex_lock(&folder->lock);
    store_kept *kept;
    while ((kept = store_kept_find(folder, name)) && kept->held)
        pthread_cond_wait(&folder->changed, &folder->lock);
    if (!kept && make)
        kept = add(folder, name);
    if (kept)
        kept->held = true;
    pthread_mutex_unlock(&folder->lock);
    return kept;
}

void store_kept_release(store_folder *folder, store_kept *kept)
{
    pthread_mutex_lock(&folder->lock);
    kept->held = false;
    if (!kept->snapshot)
        drop(folder, kept);
    pthread_cond_broadcast(&folder->changed);
    pthread_mutex_unlock(&folder->lock);
}

uint64_t store_kept_rows_bytes(const store_set *set)
{
    return (uint64_t)set->M * (set->d + (set->values ? set->p : 0)) * sizeof(float);
}

void store_kept_now_whole(store_folder *folder, store_kept *kept, const store_set *set)
{
    pthread_mutex_lock(&folder->lock);
    kept->older = kept->older || kept->snapshot;
    kept->snapshot = kept->newest = set->version;
    kept->base = store_log_base_of(set);
    kept->loaded = true;
    kept->snapshot_bytes = store_kept_rows_bytes(set);
    kept->logged = kept->frameless = kept->unsure = kept->unread = kept->hurried = false;
    kept->log_bytes = kept->log_records = kept->tried_bytes = 0;
    kept->life = ++folder->lives;
    pthread_mutex_unlock(&folder->lock);
}

bool store_kept_is_long(const store_kept *kept)
{
    uint64_t most = kept->snapshot_bytes / 2 > LONG_BYTES ? kept->snapshot_bytes / 2 : LONG_BYTES;
    return kept->logged && !kept->unsure && kept->log_bytes >= 2 * kept->tried_bytes &&
           (kept->hurried || kept->log_bytes > most || kept->log_records > LONG_RECORDS);
}

/* Held: the entry stays. */
void store_kept_tell_if_long(store_folder *folder, const store_kept *kept)
{
    pthread_mutex_lock(&folder->lock);
    void (*tell)(void *) = store_kept_is_long(kept) ? folder->on_long_log : NULL;
    void *context = folder->context;
    pthread_mutex_unlock(&folder->lock);
    if (tell)
        tell(context);
}

void store_kept_now_logged(store_folder *folder, store_kept *kept, const store_log_tail *tail, bool hurry)
{
    pthread_mutex_lock(&folder->lock);
    kept->newest = tail->version;
    kept->logged = true;
    kept->log_bytes = tail->end;
    kept->log_records = tail->records;
    kept->hurried = kept->hurried || hurry;
    pthread_mutex_unlock(&folder->lock);
    store_kept_tell_if_long(folder, kept);
}

/* ---- the list of the directory ------------------------------------------------------------------------- */

void store_listing_free(store_listing *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->files[i].entry);
    free(list->files);
}

static hop_status note(void *context, const char *entry, hop_error *error)
{
    store_listing *list = context;
    store_listed file = {0};
    file.kind = store_file_parse(entry, &file.found);
    if (file.kind == STORE_FILE_OTHER)
        return HOP_OK;
    if (list->n == list->room) {
        size_t room = list->room ? 2 * list->room : 64, bytes;
        store_listed *moved = hop_mul_size(room, sizeof *moved, &bytes) ? realloc(list->files, bytes) : NULL;
        if (!moved)
            return hop_fail(error, HOP_E_NOMEM, "out of memory for the list of the data directory");
        list->files = moved;
        list->room = room;
    }
    if (file.kind == STORE_FILE_STALE && !(file.entry = strdup(entry)))
        return hop_fail(error, HOP_E_NOMEM, "out of memory for the list of the data directory");
    list->files[list->n++] = file;
    return HOP_OK;
}

/* By name, the newest first; of a version its set first. */
static int newest_first(const void *a, const void *b)
{
    const store_listed *one = a, *other = b;
    int order = strcmp(one->found.name, other->found.name);
    if (order)
        return order;
    if (one->found.version != other->found.version)
        return one->found.version < other->found.version ? 1 : -1;
    return (int)one->kind - (int)other->kind;
}

hop_status store_listing_read(const store_folder *folder, store_listing *list, hop_error *error)
{
    *list = (store_listing){0};
    hop_status status = store_files_each(folder->fd, note, list, error);
    if (status == HOP_OK && list->n > 1)
        qsort(list->files, list->n, sizeof *list->files, newest_first);
    if (status != HOP_OK)
        store_listing_free(list);
    return status;
}

void store_listed_remove(const store_folder *folder, const store_listed *file)
{
    char name[STORE_FILE_NAME_BYTES];
    if (file->kind != STORE_FILE_STALE)
        store_file_name(name, file->kind, file->found.name, file->found.version);
    store_file_remove(folder->fd, file->kind == STORE_FILE_STALE ? file->entry : name);
}

/*
 * What a process left behind that was killed goes: files on their way, logs of which there is no set, maps that can be of
 * none. Where nothing can be removed, nothing of it is ever read either. The rest is what is known from now on.
 */
hop_status store_folder_take_stock(store_folder *folder, hop_error *error)
{
    store_listing list;
    hop_status status = store_listing_read(folder, &list, error);
    if (status != HOP_OK)
        return status;
    store_kept *kept = NULL;
    uint64_t set_version = 0; /* of this name, met last */
    bool logs = false;        /* some were removed */
    for (size_t i = 0; i < list.n && status == HOP_OK; i++) {
        const store_listed *file = &list.files[i];
        const store_found *found = &file->found;
        if (kept && strcmp(kept->name, found->name) != 0)
            kept = NULL;
        if (!kept)
            set_version = 0;
        if (file->kind == STORE_FILE_STALE) {
            store_listed_remove(folder, file);
        } else if (file->kind == STORE_FILE_SET) {
            set_version = found->version;
            if (kept) {
                kept->older = true;
            } else if (!(kept = add(folder, found->name))) {
                status = hop_fail(error, HOP_E_NOMEM, "out of memory");
            } else {
                kept->snapshot = kept->newest = found->version;
                kept->life = ++folder->lives;
            }
        } else if (file->kind == STORE_FILE_LOG) {
            if (set_version != found->version) {
                store_listed_remove(folder, file);
                logs = true;
            } else if (kept->snapshot == found->version) {
                kept->logged = true;
            }
        }
    }
    if (logs) /* before a set is made that they would be taken for the logs of */
        (void)store_system_calls->sync(folder->fd);
    /* Maps of a version that is in a log have no set of their own version. */
    for (size_t i = 0; i < list.n && status == HOP_OK; i++) {
        const store_listed *file = &list.files[i];
        if (file->kind != STORE_FILE_MAPS)
            continue;
        kept = store_kept_find(folder, file->found.name);
        if (!kept || file->found.version < kept->snapshot || kept->maps ||
            (!kept->logged && file->found.version > kept->snapshot))
            store_listed_remove(folder, file);
        else
            kept->maps = file->found.version;
    }
    store_listing_free(&list);
    return status;
}

/* ---- what may go ---------------------------------------------------------------------------------------- */

void store_kept_doubt(store_folder *folder, store_kept *kept)
{
    pthread_mutex_lock(&folder->lock);
    kept->unsure = true;
    pthread_mutex_unlock(&folder->lock);
}

/* The newest files first: whatever stops it in between leaves none that would count in place of a newer one. */
void store_kept_tidy(store_folder *folder, store_kept *kept)
{
    store_listing list;
    if (!kept->older || store_listing_read(folder, &list, NULL) != HOP_OK)
        return;
    for (size_t i = 0; i < list.n; i++) {
        const store_listed *file = &list.files[i];
        if (strcmp(file->found.name, kept->name) == 0 && file->kind != STORE_FILE_STALE &&
            file->found.version < kept->snapshot)
            store_listed_remove(folder, file);
    }
    store_listing_free(&list);
    pthread_mutex_lock(&folder->lock);
    kept->older = false;
    if (kept->maps < kept->snapshot)
        kept->maps = 0;
    pthread_mutex_unlock(&folder->lock);
}
