/*
 * fuzz_snapshot.c - files of a data directory: what parses is encoded to the same bytes, what loads is a set, and
 * everything else has a reason. The bytes come as they are, and once more with the header's checksum put right, so that
 * what lies behind it is reached.
 */
#include "fuzz.h"
#include "store/checksum.h"
#include "store/container.h"
#include "store/replay.h"

#include <sys/mman.h>
#include <unistd.h>

#define OPENING "{\"__metadata__\":{\"header_crc32c\":\""

enum { LENGTH_BYTES = 8, DIGITS = 8, BUDGET_BYTES = 4 << 20 };

static void check_header(const char *bytes, size_t n)
{
    store_container container;
    hop_error error = HOP_ERROR_NONE;
    if (store_container_parse(bytes, n < STORE_HEADER_MAX ? n : STORE_HEADER_MAX, n, &container, &error) != HOP_OK) {
        FUZZ_CHECK(error.status == HOP_E_FORMAT && error.text[0] != '\0');
        return;
    }
    char again[STORE_HEADER_MAX];
    FUZZ_CHECK(container.header_bytes <= n && container.file_bytes == n);
    store_container_encode(&container, again);
    FUZZ_CHECK(memcmp(again, bytes, container.header_bytes) == 0);
    for (size_t i = 0; i < container.n_tensors; i++)
        FUZZ_CHECK(container.tensors[i].at <= n && container.tensors[i].bytes <= n - container.tensors[i].at);
}

static void check_set_of(const char *bytes, size_t n, uint64_t version)
{
    store_budget budget;
    store_budget_init(&budget, BUDGET_BYTES);
    int file = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(file >= 0 && write(file, bytes, n) == (ssize_t)n);
    const store_loading loading = {.budget = &budget, .packing = HOP_PACK_NONE};
    store_set *set = NULL;
    store_replay *replay = NULL;
    store_loss loss;
    hop_error error = HOP_ERROR_NONE;
    hop_status status = store_replay_new(file, -1, "golden", version, &loading, &replay, &loss, &error);
    if (status == HOP_OK)
        status = store_replay_build(replay, &set, &error);
    if (status == HOP_OK)
        FUZZ_CHECK(set->M > 0 && set->d > 0 && set->version == version);
    else
        FUZZ_CHECK(!set && error.text[0] != '\0');
    store_set_release(set);
    store_replay_free(replay);
    FUZZ_CHECK(store_budget_reserved(&budget) == 0);
    close(file);
}

/* Those of the corpus: of format 1, and of format 2. */
static void check_set(const char *bytes, size_t n)
{
    check_set_of(bytes, n, 7);
    check_set_of(bytes, n, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool chosen;
    if (!chosen)
        FUZZ_CHECK(hop_isa_choose(NULL, NULL) == HOP_OK);
    chosen = true;
    char *file = fuzz_copy(data, n);
    check_header(file, n);
    check_set(file, n);
    uint64_t length = 0;
    const size_t at = LENGTH_BYTES + sizeof OPENING - 1;
    if (n > at + DIGITS)
        memcpy(&length, file, LENGTH_BYTES);
    if (length >= at + DIGITS && length <= n - LENGTH_BYTES) {
        char digits[DIGITS + 1];
        memset(file + at, '0', DIGITS);
        snprintf(digits, sizeof digits, "%08x", store_checksum(0, file, LENGTH_BYTES + (size_t)length));
        memcpy(file + at, digits, DIGITS);
        check_header(file, n);
        check_set(file, n);
    }
    free(file);
    return 0;
}
