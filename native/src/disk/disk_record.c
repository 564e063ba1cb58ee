#include "disk/disk_record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "disk/disk_leaf.h"

#define BUFFER_BYTES (1u << 20)

struct disk_record {
    struct smf__disk base;
    struct smf__disk *inner;
    FILE *trace;
    uint64_t ordinal;
    int broken; /* the trace could not be written: said once */
    size_t root_length;
    char root[SMF__DISK_PATH_MAX_BYTES];
};

static struct disk_record *record_of(struct smf__disk *disk)
{
    return (struct disk_record *)disk;
}

static void put(struct disk_record *record, const void *bytes, size_t size)
{
    if (record->broken || size == 0 || fwrite(bytes, 1, size, record->trace) == size)
        return;
    record->broken = 1;
    fprintf(stderr, "smf: the trace of a disk could not be written: %s; it ends here\n",
            strerror(errno));
}

static const char *below_root(const struct disk_record *record, const char *path)
{
    if (path == NULL || record->root_length == 0 ||
        strncmp(path, record->root, record->root_length) != 0)
        return path;
    path += record->root_length;
    return *path == '\0' ? "/" : path;
}

/* Can its bytes be read? What the disk will refuse may have any size. */
static int has_bytes(const struct smf__disk_op *op)
{
    return op->kind == SMF__DISK_WRITE && op->data != NULL && op->file != NULL &&
           op->size <= SMF__DISK_IO_MAX_BYTES && op->size <= op->file->size_bytes &&
           op->offset <= op->file->size_bytes - op->size;
}

static uint32_t path_size(const char *path)
{
    size_t length = path != NULL ? strnlen(path, SMF__DISK_PATH_MAX_BYTES) : 0;

    return path != NULL && length < SMF__DISK_PATH_MAX_BYTES ? (uint32_t)length + 1 : 0;
}

static void note(struct disk_record *record, const struct smf__disk_op *op, uint32_t what)
{
    struct smf__disk_trace_entry entry = {.magic = SMF__DISK_TRACE_MAGIC,
                                          .what = what,
                                          .kind = op->kind,
                                          .flags = op->flags,
                                          .ordinal = op->ordinal,
                                          .file = (uint64_t)(uintptr_t)op->file,
                                          .offset = op->offset,
                                          .size = op->size,
                                          .status = op->status,
                                          .os_errno = op->os_errno};
    const char *path = below_root(record, op->path), *path_to = below_root(record, op->path_to);

    if (what == SMF__DISK_TRACE_QUEUED) {
        entry.status = entry.os_errno = 0;
        entry.path_size = path_size(path);
        entry.path_to_size = path_size(path_to);
        entry.data_size = has_bytes(op) ? op->size : 0;
    }
    put(record, &entry, sizeof entry);
    put(record, path, entry.path_size);
    put(record, path_to, entry.path_to_size);
    put(record, op->data, entry.data_size);
}

static int is_noted(const struct smf__disk_op *op)
{
    return op->kind != SMF__DISK_READ && op->kind != SMF__DISK_STAT && op->kind != SMF__DISK_LIST;
}

static void record_queue(struct smf__disk *disk, struct smf__disk_op *op)
{
    struct disk_record *record = record_of(disk);

    if (is_noted(op)) {
        op->ordinal = ++record->ordinal;
        if (op->kind == SMF__DISK_OPEN)
            op->file = NULL;
        note(record, op, SMF__DISK_TRACE_QUEUED);
    }
    record->inner->ops->queue(record->inner, op);
}

static void record_submit(struct smf__disk *disk)
{
    struct smf__disk *inner = record_of(disk)->inner;

    inner->ops->submit(inner);
}

static uint32_t record_poll(struct smf__disk *disk, struct smf__disk_op **ops_out,
                            uint32_t capacity)
{
    struct disk_record *record = record_of(disk);
    uint32_t count = record->inner->ops->poll(record->inner, ops_out, capacity);

    for (uint32_t i = 0; i < count; i++) {
        if (is_noted(ops_out[i]))
            note(record, ops_out[i], SMF__DISK_TRACE_DONE);
    }
    return count;
}

static void record_wait(struct smf__disk *disk, int64_t timeout_ns)
{
    struct smf__disk *inner = record_of(disk)->inner;

    inner->ops->wait(inner, timeout_ns);
}

static int record_fd(const struct smf__disk *disk)
{
    const struct smf__disk *inner = ((const struct disk_record *)disk)->inner;

    return inner->ops->fd(inner);
}

static void record_describe(const struct smf__disk *disk, char *text_out, size_t size)
{
    int length = snprintf(text_out, size, "recorded: ");

    if (length > 0 && (size_t)length < size)
        smf__disk_describe(((const struct disk_record *)disk)->inner, text_out + length,
                           size - (size_t)length);
}

static void record_close(struct smf__disk *disk)
{
    struct disk_record *record = record_of(disk);

    record->inner->ops->close(record->inner);
    (void)fclose(record->trace);
    free(record);
}

static const struct smf__disk_ops record_ops = {
    .name = "record",
    .close = record_close,
    .queue = record_queue,
    .submit = record_submit,
    .poll = record_poll,
    .wait = record_wait,
    .fd = record_fd,
    .describe = record_describe,
};

int smf__disk_record_open(struct smf__disk **disk_out, struct smf__disk *inner,
                          const char *trace_path, const char *root, struct smf_error *error_out)
{
    struct disk_record *record = calloc(1, sizeof *record);

    if (record == NULL)
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for a disk");
    record->base.ops = &record_ops;
    record->base.counts = inner->counts;
    record->inner = inner;
    if (root != NULL)
        record->root_length = (size_t)snprintf(record->root, sizeof record->root, "%s", root);
    if (record->root_length >= sizeof record->root) {
        free(record);
        return smf__error(error_out, SMF_EINVAL, 0, "the name of a log's folder is too long");
    }
    record->trace = fopen(trace_path, "we");
    if (record->trace == NULL) {
        int os_errno = errno;

        free(record);
        return smf__error(error_out, smf__disk_status(os_errno), os_errno,
                          "the trace of a disk could not be made");
    }
    (void)setvbuf(record->trace, NULL, _IOFBF, BUFFER_BYTES);
    *disk_out = &record->base;
    return SMF_OK;
}
