/*
 * test_mapping.c - files that change while they are mapped: never a crash, and never a yes where what was read is not
 * what the file was.
 */
#include "disk.h"
#include "fixture.h"
#include "store/checksum.h"
#include "store/mapping.h"
#include "support/check_main.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGES = 5, TICK_MS = 40, ROUNDS = 3 };

static char folder[DISK_PATH_BYTES];
static char path[DISK_PATH_BYTES + 16];
static char said[1024];
static size_t page, file_bytes;
static char *content; /* what the file is to be */

static void listen_to(void *context, bool problem, const char *text)
{
    (void)context;
    ck_assert(problem);
    size_t n = strlen(said);
    snprintf(said + n, sizeof said - n, "%s\n", text);
}

/* Files that were written a moment ago are not mapped. */
static void wait_a_tick(void)
{
    nanosleep(&(struct timespec){.tv_nsec = TICK_MS * 1000000L}, NULL);
}

static void write_file(const char *at, const char *bytes, size_t n)
{
    FILE *file = fopen(at, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    ck_assert_int_eq(fclose(file), 0);
}

static void write_at(size_t at, char byte)
{
    int file = open(path, O_WRONLY);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(pwrite(file, &byte, 1, (off_t)at), 1);
    close(file);
}

static void setup(void)
{
    disk_folder_make(folder);
    snprintf(path, sizeof path, "%s/file", folder);
    page = (size_t)sysconf(_SC_PAGESIZE);
    file_bytes = PAGES * page - 100;
    content = malloc(file_bytes);
    ck_assert_ptr_nonnull(content);
    for (size_t i = 0; i < file_bytes; i++)
        content[i] = (char)(i * 31 % 251 + 1);
    write_file(path, content, file_bytes);
    wait_a_tick();
    said[0] = '\0';
    ck_assert_int_eq(store_mapping_guard(NULL), HOP_OK);
    ck_assert_int_eq(store_mapping_guard(NULL), HOP_OK); /* twice is once */
}

static void teardown(void)
{
    disk_heal();
    free(content);
    disk_folder_remove(folder);
}

static hop_status map_file(store_mapping **out, hop_error *error)
{
    int file = open(path, O_RDONLY);
    ck_assert_int_ge(file, 0);
    hop_status status = store_mapping_new(file, file_bytes, "set 'a'", (store_listener){.say = listen_to}, out, error);
    close(file); /* the mapping keeps one of its own */
    if (status == HOP_OK)
        store_mapping_note(*out, 0, file_bytes, store_checksum(0, content, file_bytes));
    return status;
}

static store_mapping *mapped(void)
{
    hop_error error = HOP_ERROR_NONE;
    store_mapping *mapping = NULL;
    ck_assert_msg(map_file(&mapping, &error) == HOP_OK, "%s", error.text);
    return mapping;
}

static bool all_right(const store_mapping *mapping)
{
    return memcmp(store_mapping_bytes(mapping), content, file_bytes) == 0;
}

START_TEST(what_did_not_change_is_intact)
{
    store_mapping *mapping = mapped();
    ck_assert(all_right(mapping));
    ck_assert(store_mapping_intact(mapping));
    ck_assert(!store_mapping_broken(mapping));
    store_mapping_free(mapping);
    store_mapping_free(NULL);
    ck_assert_str_eq(said, "");
}
END_TEST

/* Every length, before anything was read: what is left may be right, and the answer is no. */
START_TEST(a_file_cut_off_anywhere_is_not_intact)
{
    for (size_t left = 0; left < file_bytes; left += left < 3 ? 1 : 501) {
        store_mapping *mapping = mapped();
        said[0] = '\0';
        ck_assert_int_eq(truncate(path, (off_t)left), 0);
        (void)all_right(mapping); /* does not end the process */
        ck_assert(!store_mapping_intact(mapping));
        ck_assert(store_mapping_broken(mapping));
        ck_assert(!store_mapping_intact(mapping));
        ck_assert_str_eq(said,
                         "set 'a': the file was changed while it was mapped: what is in it is not used any more\n");

        /* Made whole again, what was read stays what it was. */
        write_file(path, content, file_bytes);
        ck_assert(!store_mapping_intact(mapping));
        store_mapping_free(mapping);
        wait_a_tick();
        if (left > 2 * page)
            left += page;
    }
}
END_TEST

/* Read behind the new end, and nothing asked of the file itself. */
START_TEST(zeros_are_flagged_when_they_are_read)
{
    store_mapping *mapping = mapped();
    ck_assert_int_eq(truncate(path, (off_t)page), 0);
    ck_assert_int_eq(store_mapping_bytes(mapping)[0], content[0]);
    ck_assert(!store_mapping_broken(mapping));
    errno = ERANGE;
    ck_assert_int_eq(store_mapping_bytes(mapping)[3 * page], 0);
    ck_assert_int_eq(errno, ERANGE);
    ck_assert(store_mapping_broken(mapping));
    ck_assert_int_eq(store_mapping_bytes(mapping)[0], 0); /* all of it, at once */
    store_mapping_free(mapping);
}
END_TEST

/* Where a mapping was, another may be: the flag is the mapping's, not the place's. */
START_TEST(a_broken_mapping_breaks_no_other)
{
    store_mapping *first = mapped(), *second = mapped();
    ck_assert_int_eq(truncate(path, 0), 0);
    ck_assert_int_eq(store_mapping_bytes(first)[0], 0);
    ck_assert(store_mapping_broken(first));
    ck_assert(!store_mapping_broken(second));
    store_mapping_free(first);
    write_file(path, content, file_bytes);
    wait_a_tick();
    first = mapped();
    ck_assert(all_right(first));
    ck_assert(store_mapping_intact(first));
    ck_assert(!store_mapping_intact(second));
    store_mapping_free(first);
    store_mapping_free(second);
}
END_TEST

START_TEST(a_byte_written_in_place_is_seen)
{
    for (size_t at = 0; at < file_bytes; at += page - 7) {
        store_mapping *mapping = mapped();
        write_at(at, (char)(content[at] + 1));
        ck_assert(!store_mapping_intact(mapping));
        store_mapping_free(mapping);
        write_at(at, content[at]);
        wait_a_tick();
    }
}
END_TEST

START_TEST(a_byte_written_through_a_mapping_is_seen)
{
    store_mapping *mapping = mapped();
    int file = open(path, O_RDWR);
    char *theirs = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ck_assert_ptr_ne(theirs, MAP_FAILED);
    theirs[5]++;
    ck_assert(!store_mapping_intact(mapping));
    munmap(theirs, page);
    close(file);
    store_mapping_free(mapping);
}
END_TEST

/* Another file of that name, or none: what was mapped is still there. */
START_TEST(a_file_replaced_by_rename_stays_intact)
{
    char other[DISK_PATH_BYTES + 16];
    snprintf(other, sizeof other, "%s/other", folder);
    for (int removed = 0; removed < 2; removed++) {
        store_mapping *mapping = mapped();
        write_file(other, "?", 1);
        ck_assert_int_eq(removed ? unlink(path) : rename(other, path), 0);
        ck_assert(all_right(mapping));
        ck_assert(store_mapping_intact(mapping));
        store_mapping_free(mapping);
        write_file(path, content, file_bytes);
        wait_a_tick();
    }
    ck_assert_str_eq(said, "");
}
END_TEST

/* Renamed, linked, given other rights: the rows are the same, and are looked at once more. */
START_TEST(only_the_inode_changed)
{
    char other[DISK_PATH_BYTES + 16];
    snprintf(other, sizeof other, "%s/other", folder);
    store_mapping *mapping = mapped();
    ck_assert_int_eq(rename(path, other), 0);
    ck_assert(store_mapping_intact(mapping));
    ck_assert_int_eq(rename(other, path), 0);
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_int_eq(link(path, other), 0);
    ck_assert(store_mapping_intact(mapping));
    ck_assert(store_mapping_intact(mapping));
    store_mapping_free(mapping);
}
END_TEST

/* Written to, and its time set back: the inode's own time tells, and the checksum. */
START_TEST(a_time_set_back_hides_nothing)
{
    struct stat about;
    store_mapping *mapping = mapped();
    ck_assert_int_eq(stat(path, &about), 0);
    write_at(2 * page, 0);
    const struct timespec times[2] = {about.st_atim, about.st_mtim};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
    ck_assert(!store_mapping_intact(mapping));
    store_mapping_free(mapping);
}
END_TEST

START_TEST(what_cannot_be_watched_is_not_mapped)
{
    store_mapping *mapping = NULL;
    hop_error error = HOP_ERROR_NONE;
    write_at(0, content[0]);
    ck_assert_int_eq(map_file(&mapping, &error), HOP_E_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.text, "a moment ago"));
    wait_a_tick();
    ck_assert_int_eq(truncate(path, 10), 0);
    wait_a_tick();
    ck_assert_int_eq(map_file(&mapping, NULL), HOP_E_IO);
    write_file(path, content, file_bytes);
    wait_a_tick();

    store_mapping *all[STORE_MAPPINGS_MAX];
    for (size_t i = 0; i < STORE_MAPPINGS_MAX; i++)
        all[i] = mapped();
    error = HOP_ERROR_NONE;
    ck_assert_int_eq(map_file(&mapping, &error), HOP_E_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.text, "at once"));
    store_mapping_free(all[7]);
    all[7] = mapped();
    for (size_t i = 0; i < STORE_MAPPINGS_MAX; i++) {
        ck_assert(all_right(all[i]));
        store_mapping_free(all[i]);
    }
}
END_TEST

START_TEST(every_call_of_the_system_may_fail)
{
    disk_fail(LONG_MAX, false, EIO);
    store_mapping *mapping = mapped();
    long calls = disk_calls();
    store_mapping_free(mapping);
    ck_assert_int_ge(calls, 4);
    for (long i = 0; i < calls; i++) {
        mapping = NULL;
        disk_fail(i, false, ENOMEM);
        hop_status status = map_file(&mapping, NULL);
        ck_assert_msg(status == HOP_E_IO || (strcmp(disk_failed_call(), "local") == 0 && status == HOP_E_LIMIT), "%s",
                      disk_failed_call());
        ck_assert_ptr_null(mapping);
    }
    disk_heal();
    mapping = mapped();
    disk_fail(0, false, EIO);
    ck_assert(!store_mapping_intact(mapping)); /* what cannot be told is not trusted */
    disk_heal();
    store_mapping_free(mapping);
}
END_TEST

/* ---- in the middle of reading -------------------------------------------------------------------------- */

static void *cut_and_mend(void *argument)
{
    const atomic_bool *over = argument;
    while (!atomic_load(over)) {
        (void)!truncate(path, (off_t)page);
        write_file(path, content, file_bytes);
    }
    return NULL;
}

/* Whatever is read while another thread cuts the file off: either it is right, or the answer is no. */
START_TEST(cut_off_while_it_is_read)
{
    for (int round = 0; round < ROUNDS; round++) {
        write_file(path, content, file_bytes);
        wait_a_tick();
        atomic_bool over = false;
        pthread_t thread;
        store_mapping *mapping = mapped();
        ck_assert_int_eq(pthread_create(&thread, NULL, cut_and_mend, &over), 0);
        for (bool intact = true; intact;) {
            bool right = all_right(mapping);
            intact = store_mapping_intact(mapping);
            ck_assert(right || !intact);
        }
        atomic_store(&over, true);
        pthread_join(thread, NULL);
        store_mapping_free(mapping);
    }
}
END_TEST

static void *read_all(void *argument)
{
    store_mapping *mapping = argument;
    for (;;) {
        bool right = all_right(mapping);
        bool intact = store_mapping_intact(mapping);
        ck_assert(right || !intact);
        if (!intact)
            return NULL;
    }
}

START_TEST(many_read_what_one_cuts_off)
{
    enum { READERS = 3 };
    pthread_t threads[READERS];
    store_mapping *mapping = mapped();
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_all, mapping), 0);
    wait_a_tick();
    ck_assert_int_eq(truncate(path, 0), 0);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_str_eq(said, "set 'a': the file was changed while it was mapped: what is in it is not used any more\n");
    store_mapping_free(mapping);
}
END_TEST

/* ---- SIGBUS that is not ours --------------------------------------------------------------------------- */

static int fate_of(void (*deed)(void))
{
    int status = 0;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(STDERR_FILENO); /* a sanitizer tells of its end */
        deed();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

static void meet_it(void)
{
    int file = open(path, O_RDWR);
    volatile char *bytes = mmap(NULL, file_bytes, PROT_READ, MAP_SHARED, file, 0);
    (void)!ftruncate(file, 0);
    (void)bytes[page];
}

static void be_sent_it(void)
{
    raise(SIGBUS);
}

static void die_of(void (*deed)(void))
{
    int status = fate_of(deed);
    ck_assert(status != 0); /* a sanitizer's own handler ends the process in its own way */
    if (WIFSIGNALED(status))
        ck_assert_int_eq(WTERMSIG(status), SIGBUS);
}

START_TEST(other_bus_errors_do_what_they_did)
{
    store_mapping *mapping = mapped();
    die_of(meet_it);
    die_of(be_sent_it);
    store_mapping_free(mapping);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("mapping");
    TCase *tests = tcase_create("mapping");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, what_did_not_change_is_intact);
    tcase_add_test(tests, a_file_cut_off_anywhere_is_not_intact);
    tcase_add_test(tests, zeros_are_flagged_when_they_are_read);
    tcase_add_test(tests, a_broken_mapping_breaks_no_other);
    tcase_add_test(tests, a_byte_written_in_place_is_seen);
    tcase_add_test(tests, a_byte_written_through_a_mapping_is_seen);
    tcase_add_test(tests, a_file_replaced_by_rename_stays_intact);
    tcase_add_test(tests, only_the_inode_changed);
    tcase_add_test(tests, a_time_set_back_hides_nothing);
    tcase_add_test(tests, what_cannot_be_watched_is_not_mapped);
    tcase_add_test(tests, every_call_of_the_system_may_fail);
    tcase_add_test(tests, cut_off_while_it_is_read);
    tcase_add_test(tests, many_read_what_one_cuts_off);
    tcase_add_test(tests, other_bus_errors_do_what_they_did);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
