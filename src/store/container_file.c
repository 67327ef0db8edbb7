/*
 * container_file.c - a container's bytes to and from a file, checksums made or compared while they pass.
 */
#include "store/checksum.h"
#include "store/container.h"
#include "store/system.h"

#include "core/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE_BYTES = 256 << 10, /* read or written, and summed while a near cache has it */
    TASK_BYTES = 8 << 20,    /* a task's share of a large tensor */
    /* The disk begins with what is written while the rest is: of 1 GB, write and sync take 0.42 s instead of 0.60 s. */
    WRITE_BACK_BYTES = 16 << 20
};

static hop_status cannot(const char *what, hop_error *error)
{
    return hop_fail(error, store_system_status(errno), "cannot %s: %s", what, strerror(errno));
}

hop_status store_container_write(store_container *container, int file, hop_error *error)
{
    hop_status status = store_container_lay_out(container, error);
    if (status != HOP_OK)
        return status;
    uint64_t begun = 0;
    for (size_t i = 0; i < container->n_tensors; i++) {
        store_tensor *tensor = &container->tensors[i];
        const char *data = tensor->data;
        for (size_t done = 0; done < tensor->bytes;) {
            size_t n = tensor->bytes - done < PIECE_BYTES ? tensor->bytes - done : PIECE_BYTES;
            tensor->checksum = store_checksum(tensor->checksum, data + done, n);
            if (!store_system_write(file, data + done, n, tensor->at + done))
                return cannot("write", error);
            done += n;
            uint64_t written = tensor->at + done;
            if (written - begun >= WRITE_BACK_BYTES) {
                (void)store_system_calls->write_back(file, (off_t)begun, (off_t)(written - begun));
                begun = written;
            }
        }
    }
    char header[STORE_HEADER_MAX];
    store_container_encode(container, header);
    if (!store_system_write(file, header, container->header_bytes, 0))
        return cannot("write", error);
    return store_system_calls->sync(file) == 0 ? HOP_OK : cannot("sync", error);
}

hop_status store_container_read(int file, store_container *out, hop_error *error)
{
    int64_t length = store_system_calls->length(file);
    if (length < 0 && errno == EINVAL)
        return hop_fail(error, HOP_E_IO, "it is no regular file");
    if (length < 0)
        return cannot("read", error);
    char header[STORE_HEADER_MAX];
    size_t n = length < STORE_HEADER_MAX ? (size_t)length : STORE_HEADER_MAX;
    if (!store_system_read(file, header, n, 0))
        return cannot("read", error);
    return store_container_parse(header, n, (uint64_t)length, out, error);
}

/* ---- tensors ------------------------------------------------------------------------------------------- */

typedef struct reading {
    int file;
    const char *mapped; /* the tensor's first byte; NULL: it is read into out */
    const store_tensor *tensor;
    const atomic_bool *cancel;
    char *out;
    uint32_t *checksums; /* of the tasks */
    atomic_int failed;   /* errno of the first that failed */
} reading;

static void read_task(void *argument, size_t task)
{
    reading *self = argument;
    size_t from = task * TASK_BYTES, rest = self->tensor->bytes - from, n = rest < TASK_BYTES ? rest : TASK_BYTES;
    uint32_t checksum = 0;
    for (size_t done = 0; done < n;) {
        size_t piece = n - done < PIECE_BYTES ? n - done : PIECE_BYTES;
        if (atomic_load_explicit(&self->failed, memory_order_relaxed) ||
            (self->cancel && atomic_load_explicit(self->cancel, memory_order_relaxed)))
            return;
        char *to = self->mapped ? NULL : self->out + from + done;
        if (to && !store_system_read(self->file, to, piece, self->tensor->at + from + done)) {
            atomic_store(&self->failed, errno);
            return;
        }
        checksum = store_checksum(checksum, to ? to : self->mapped + from + done, piece);
        done += piece;
    }
    self->checksums[task] = checksum;
}

/* The whole tensor by tasks. */
static hop_status read_all(reading *self, const hop_executor *executor, hop_error *error)
{
    const store_tensor *tensor = self->tensor;
    size_t tasks = tensor->bytes / TASK_BYTES + (tensor->bytes % TASK_BYTES != 0);
    self->checksums = calloc(tasks + 1, sizeof *self->checksums);
    if (!self->checksums)
        return hop_fail(error, HOP_E_NOMEM, "out of memory");
    if (executor && tasks > 1)
        executor->run(executor->context, tasks, read_task, self);
    for (size_t task = 0; (!executor || tasks <= 1) && task < tasks; task++)
        read_task(self, task);
    uint32_t checksum = 0;
    for (size_t task = 0; task < tasks; task++) {
        size_t rest = tensor->bytes - task * TASK_BYTES;
        checksum = store_checksum_join(checksum, self->checksums[task], rest < TASK_BYTES ? rest : TASK_BYTES);
    }
    free(self->checksums);
    if (self->cancel && atomic_load(self->cancel))
        return hop_fail(error, HOP_E_CANCELLED, "loading was cancelled");
    errno = atomic_load(&self->failed);
    if (errno == ENODATA)
        return hop_fail(error, HOP_E_FORMAT, "it became shorter while it was read");
    if (errno)
        return cannot("read", error);
    if (checksum != tensor->checksum)
        return hop_fail(error, HOP_E_FORMAT, "its %s are damaged: the checksum differs", tensor->name);
    return HOP_OK;
}

hop_status store_container_read_tensor(int file, const store_tensor *tensor, const hop_executor *executor,
                                       const atomic_bool *cancel, void *out, hop_error *error)
{
    reading self = {.file = file, .tensor = tensor, .cancel = cancel, .out = out};
    return read_all(&self, executor, error);
}

hop_status store_container_check_tensor(store_mapping *mapping, const store_tensor *tensor,
                                        const hop_executor *executor, const atomic_bool *cancel, hop_error *error)
{
    reading self = {
        .file = -1, .mapped = store_mapping_bytes(mapping) + tensor->at, .tensor = tensor, .cancel = cancel};
    hop_status status = read_all(&self, executor, error);
    if (status == HOP_OK)
        store_mapping_note(mapping, tensor->at, tensor->bytes, tensor->checksum);
    return status;
}
