/*
 * fuzz_log.c - logs of changes: what is read follows from what was before it and lies in the file, a log that is read to
 * its end is the same log after it was mended and after it was copied, and everything else has a reason.
 *
 * The input is a log without the zeros of its first three blocks: the front of block 0, of each slot, and the records.
 * It is read as it is, and once more with all checksums put right, so that what lies behind them is reached.
 */
#include "fuzz.h"
#include "store/checksum.h"
#include "store/log.h"

#include <sys/mman.h>
#include <unistd.h>

enum {
    BASE_BYTES = 208,
    SLOT_BYTES = 64,
    FRONT_BYTES = BASE_BYTES + 2 * SLOT_BYTES,
    RECORD_BYTES = 120,
    RECORDS_MAX = 200,
    PART_MAX = 1 << 16
};

static void put_checksum(char *bytes, size_t n, size_t at)
{
    memset(bytes + at, 0, sizeof(uint32_t));
    uint32_t checksum = store_checksum(0, bytes, n);
    memcpy(bytes + at, &checksum, sizeof checksum);
}

static uint64_t number_at(const char *bytes)
{
    uint64_t number;
    memcpy(&number, bytes, sizeof number);
    return number;
}

/* What block 0 says, to be asked for. */
static store_log_base base_in(const char *log)
{
    store_log_base base = {.version = number_at(log + 16),
                           .content_hash = number_at(log + 24),
                           .d = number_at(log + 32),
                           .p = number_at(log + 40),
                           .M = number_at(log + 48),
                           .next_id = number_at(log + 56),
                           .label_bytes = number_at(log + 64)};
    memcpy(base.name, log + 72, sizeof base.name - 1);
    return base;
}

/* Parts are as long as a first reading says: checksums of all that can be reached are made to agree. */
static void put_right(char *log, size_t n)
{
    put_checksum(log, STORE_LOG_BLOCK_BYTES, 8);
    put_checksum(log + STORE_LOG_BLOCK_BYTES, STORE_LOG_BLOCK_BYTES, 0);
    put_checksum(log + 2 * STORE_LOG_BLOCK_BYTES, STORE_LOG_BLOCK_BYTES, 0);
    const store_log_base base = base_in(log);
    for (size_t at = STORE_LOG_START_BYTES, i = 0; i < RECORDS_MAX && at + RECORD_BYTES <= n; i++) {
        char *record = log + at;
        uint64_t bytes = number_at(record + 24), rows = number_at(record + 32), labels = number_at(record + 40);
        uint32_t kind;
        memcpy(&kind, record + 4, sizeof kind);
        if (bytes < RECORD_BYTES || bytes > n - at)
            return;
        uint64_t part[STORE_LOG_PARTS] = {0, 0, labels};
        if (rows <= PART_MAX && base.d <= PART_MAX && base.p <= PART_MAX) {
            part[0] = kind == STORE_APPEND ? rows * base.d * sizeof(float) : kind == STORE_REMOVE ? rows * 8 : 0;
            part[1] = kind == STORE_APPEND ? rows * base.p * sizeof(float) : 0;
        }
        uint64_t from = RECORD_BYTES;
        for (int p = 0; p < STORE_LOG_PARTS && part[p] <= bytes - from; p++) {
            uint32_t checksum = store_checksum(0, record + from, (size_t)part[p]);
            memcpy(record + 12 + 4 * p, &checksum, sizeof checksum);
            from += part[p];
        }
        put_checksum(record, RECORD_BYTES, 0);
        at += (size_t)bytes;
    }
}

static int new_file(const char *bytes, size_t n)
{
    int file = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(file >= 0 && write(file, bytes, n) == (ssize_t)n);
    return file;
}

/* Reads to the end; NOT_FOUND: all that counts was there. */
static hop_status read_all(store_log_reader *reader, int file, const store_log_base *base, size_t n)
{
    store_log_record record;
    hop_error error = HOP_ERROR_NONE;
    hop_status status = store_log_begin(reader, file, base, &error);
    while (status == HOP_OK) {
        uint64_t before = reader->read.end;
        status = store_log_next(reader, &record, &error);
        if (status != HOP_OK)
            break;
        FUZZ_CHECK(record.end > before && record.end <= n && reader->read.end == record.end);
        for (int part = 0; part < STORE_LOG_PARTS; part++) {
            FUZZ_CHECK(record.at[part] >= before && record.bytes[part] <= record.end - record.at[part]);
            char *out = malloc(record.bytes[part] + 1);
            FUZZ_CHECK(out && store_log_read_part(file, &record, (store_log_part)part, out, NULL) == HOP_OK);
            free(out);
        }
    }
    FUZZ_CHECK(error.text[0] != '\0' && (status == HOP_E_NOT_FOUND || status == HOP_E_FORMAT));
    return status;
}

static void check(const char *log, size_t n)
{
    const store_log_base base = base_in(log);
    store_log_reader reader, again;
    int file = new_file(log, n);
    if (read_all(&reader, file, &base, n) == HOP_E_NOT_FOUND) {
        store_log_tail tail;
        if (store_log_wants_mending(&reader))
            FUZZ_CHECK(store_log_mend(file, &reader, NULL) == HOP_OK);
        FUZZ_CHECK(store_log_end(file, &base, &tail, NULL) == HOP_OK);
        FUZZ_CHECK(memcmp(&tail, &reader.read, sizeof tail) == 0);
        FUZZ_CHECK(read_all(&again, file, &base, n) == HOP_E_NOT_FOUND && !store_log_wants_mending(&again));
        FUZZ_CHECK(memcmp(&again.read, &reader.read, sizeof reader.read) == 0);
        int copy = new_file("", 0);
        FUZZ_CHECK(store_log_begin(&again, file, &base, NULL) == HOP_OK);
        FUZZ_CHECK(store_log_start(copy, &base, &tail, NULL) == HOP_OK);
        FUZZ_CHECK(store_log_copy(&again, copy, &tail, NULL) == HOP_OK);
        FUZZ_CHECK(store_log_finish(copy, &tail, NULL) == HOP_OK);
        FUZZ_CHECK(read_all(&again, copy, &base, n) == HOP_E_NOT_FOUND);
        FUZZ_CHECK(memcmp(&again.read, &reader.read, sizeof reader.read) == 0);
        close(copy);
    }
    close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    size_t rest = n > FRONT_BYTES ? n - FRONT_BYTES : 0, bytes = STORE_LOG_START_BYTES + rest;
    char *log = calloc(bytes, 1);
    if (!log)
        abort();
    for (size_t i = 0; i < n && i < FRONT_BYTES; i++)
        log[i < BASE_BYTES                ? i
            : i < BASE_BYTES + SLOT_BYTES ? STORE_LOG_BLOCK_BYTES + i - BASE_BYTES
                                          : 2 * STORE_LOG_BLOCK_BYTES + i - BASE_BYTES - SLOT_BYTES] = (char)data[i];
    if (rest)
        memcpy(log + STORE_LOG_START_BYTES, data + FRONT_BYTES, rest);
    check(log, bytes);
    put_right(log, bytes);
    check(log, bytes);
    free(log);
    return 0;
}
