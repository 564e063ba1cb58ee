#include "disk/disk_replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "disk/disk.h"
#include "disk/disk_image.h"
#include "disk/disk_leaf.h"

/* An operation that was queued and is not done. */
struct pending {
    struct pending *next;
    struct smf__disk_op op;
    struct smf__disk_world_io io;
    int refused; /* at its start: it had no effect */
    char path[SMF__DISK_PATH_MAX_BYTES], path_to[SMF__DISK_PATH_MAX_BYTES];
};

/* A file that is open. */
struct open_file {
    struct open_file *next;
    uint64_t file;
    struct smf__disk_inode *inode;
};

struct smf__disk_replay {
    FILE *trace;
    struct smf__disk_world *world;
    struct pending *pending;
    struct open_file *files;
    struct smf__disk_trace_entry entry;
};

int smf__disk_replay_open(struct smf__disk_replay **replay_out, const char *trace_path,
                          struct smf__disk_world *world, struct smf_error *error_out)
{
    struct smf__disk_replay *replay = smf__disk_must(calloc(1, sizeof *replay));

    replay->world = world;
    replay->trace = fopen(trace_path, "re");
    if (replay->trace == NULL) {
        int os_errno = errno;

        free(replay);
        return smf__error(error_out, smf__disk_status(os_errno), os_errno,
                          "the trace of a disk could not be opened");
    }
    *replay_out = replay;
    return SMF_OK;
}

static void forget_pending(struct pending *pending)
{
    free(pending->op.data);
    free(pending);
}

void smf__disk_replay_close(struct smf__disk_replay *replay)
{
    while (replay->pending != NULL) {
        struct pending *pending = replay->pending;

        replay->pending = pending->next;
        forget_pending(pending);
    }
    while (replay->files != NULL) {
        struct open_file *file = replay->files;

        replay->files = file->next;
        free(file);
    }
    (void)fclose(replay->trace);
    free(replay);
}

const struct smf__disk_trace_entry *smf__disk_replay_entry(const struct smf__disk_replay *replay)
{
    return &replay->entry;
}

static int get(const struct smf__disk_replay *replay, void *bytes, size_t size)
{
    return size == 0 || fread(bytes, 1, size, replay->trace) == size;
}

static int sane(const struct smf__disk_trace_entry *entry)
{
    return entry->magic == SMF__DISK_TRACE_MAGIC && entry->path_size <= SMF__DISK_PATH_MAX_BYTES &&
           entry->path_to_size <= SMF__DISK_PATH_MAX_BYTES &&
           entry->data_size <= SMF__DISK_IO_MAX_BYTES &&
           (entry->data_size == 0 || entry->data_size == entry->size);
}

static struct open_file **find_file(struct smf__disk_replay *replay, uint64_t file)
{
    struct open_file **place = &replay->files;

    while (*place != NULL && (*place)->file != file)
        place = &(*place)->next;
    return place;
}

static int wrong(struct smf_error *error_out, const char *text)
{
    return smf__error(error_out, SMF_EINVAL, 0, text);
}

/* Could a disk have taken it? */
static int possible(const struct pending *pending)
{
    const struct smf__disk_op *op = &pending->op;

    if (op->kind == SMF__DISK_WRITE || op->kind == SMF__DISK_ZERO)
        return pending->io.inode != NULL && op->size > 0 &&
               (op->kind == SMF__DISK_ZERO || op->data != NULL) &&
               ((op->offset | op->size) & (SMF__DISK_BLOCK_MIN_BYTES - 1)) == 0;
    return pending->io.inode != NULL || op->path[0] != '\0';
}

/* Returns 1, 0 where the trace breaks off, or a status. */
static int queued(struct smf__disk_replay *replay, struct smf_error *error_out)
{
    const struct smf__disk_trace_entry *entry = &replay->entry;
    struct pending *pending = smf__disk_must(calloc(1, sizeof *pending));
    struct smf__disk_op *op = &pending->op;

    pending->next = replay->pending;
    replay->pending = pending;
    op->kind = entry->kind;
    op->flags = entry->flags & ~(uint32_t)SMF__DISK_LOCK;
    op->ordinal = entry->ordinal;
    op->offset = entry->offset;
    op->size = entry->size;
    op->path = pending->path;
    op->path_to = pending->path_to;
    if (entry->data_size > 0)
        op->data = smf__disk_must(malloc(entry->data_size));
    if (!get(replay, pending->path, entry->path_size) ||
        !get(replay, pending->path_to, entry->path_to_size) ||
        !get(replay, op->data, entry->data_size))
        return 0;
    pending->path[sizeof pending->path - 1] = pending->path_to[sizeof pending->path_to - 1] = '\0';
    if (entry->file != 0) {
        struct open_file *file = *find_file(replay, entry->file);

        if (file == NULL)
            return wrong(error_out, "the trace of a disk uses a file that it has not opened");
        pending->io.inode = file->inode;
    }
    if (!possible(pending)) {
        pending->refused = 1;
        return 1;
    }
    pending->refused = smf__disk_world_begin(replay->world, op, &pending->io) != 0;
    return 1;
}

/* The file of an OPEN has come, that of a CLOSE has gone. */
static void note_file(struct smf__disk_replay *replay, const struct pending *pending)
{
    struct open_file **place = find_file(replay, replay->entry.file);

    if (pending->op.kind == SMF__DISK_OPEN && *place == NULL) {
        *place = smf__disk_must(calloc(1, sizeof **place));
        (*place)->file = replay->entry.file;
    }
    if (pending->op.kind == SMF__DISK_OPEN)
        (*place)->inode = pending->io.inode;
}

static int done(struct smf__disk_replay *replay, struct smf_error *error_out)
{
    const struct smf__disk_trace_entry *entry = &replay->entry;
    struct pending **place = &replay->pending, *pending;
    int problem = entry->status == SMF_OK ? 0 : -(entry->os_errno != 0 ? entry->os_errno : EIO);
    int64_t result = 0;

    while (*place != NULL && (*place)->op.ordinal != entry->ordinal)
        place = &(*place)->next;
    pending = *place;
    if (pending == NULL)
        return wrong(error_out, "the trace of a disk ends an operation that it has not begun");
    *place = pending->next;
    if (!pending->refused)
        result = smf__disk_world_end(replay->world, &pending->op, &pending->io, problem);
    if (problem == 0 && !pending->refused && result >= 0)
        note_file(replay, pending);
    forget_pending(pending);
    if (problem == 0 && result < 0)
        return wrong(error_out, "the trace of a disk did what can't be done to this one");
    return 1;
}

int smf__disk_replay_next(struct smf__disk_replay *replay, struct smf_error *error_out)
{
    if (!get(replay, &replay->entry, sizeof replay->entry))
        return 0;
    if (!sane(&replay->entry))
        return wrong(error_out, "this is not the trace of a disk");
    if (replay->entry.what == SMF__DISK_TRACE_QUEUED)
        return queued(replay, error_out);
    return done(replay, error_out);
}
