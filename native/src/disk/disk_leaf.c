#include "disk/disk_leaf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/core.h"
#include "mem/mem_count.h"

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

int smf__disk_leaf_open(struct smf__disk_leaf *leaf, const struct smf__disk_ops *ops,
                        const struct smf__disk_options *options, struct smf_error *error_out)
{
    struct smf__disk_options *own = &leaf->options;

    *own = *options;
    own->files_max = or_default(own->files_max, SMF__DISK_FILES_DEFAULT);
    own->in_flight_max = or_default(own->in_flight_max, SMF__DISK_IN_FLIGHT_DEFAULT);
    if (own->clock.now_ns == NULL)
        own->clock = smf__clock_monotonic();
    if (own->files_max > SMF__DISK_FILES_MAX || own->in_flight_max > SMF__DISK_IN_FLIGHT_MAX ||
        own->threads > SMF__DISK_THREADS_MAX || own->backend > SMF__DISK_POSIX ||
        own->durable_by > SMF__DISK_BY_FLUSH)
        return smf__error(error_out, SMF_EINVAL, 0, "a disk's options are out of range");
    leaf->base.ops = ops;
    leaf->base.counts = &leaf->counts;
    leaf->durable_by = or_default(own->durable_by, SMF__DISK_BY_DSYNC);
    leaf->files = calloc(own->files_max, sizeof *leaf->files);
    if (leaf->files == NULL)
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for a disk");
    for (uint32_t i = own->files_max; i-- > 0;) {
        leaf->files[i].fd = -1;
        leaf->files[i].next_free = leaf->free_files;
        leaf->free_files = &leaf->files[i];
    }
    return SMF_OK;
}

void smf__disk_leaf_close(struct smf__disk_leaf *leaf)
{
    free(leaf->files);
}

void smf__disk_close_files(struct smf__disk_leaf *leaf)
{
    for (uint32_t i = 0; leaf->files != NULL && i < leaf->options.files_max; i++) {
        if (leaf->files[i].fd >= 0)
            close(leaf->files[i].fd);
    }
}

int smf__disk_status(int os_errno)
{
    switch (os_errno) {
    case 0:
        return SMF_OK;
    case EINVAL:
    case EISDIR:
    case ENOTDIR:
    case ENAMETOOLONG:
        return SMF_EINVAL;
    case ENOMEM:
        return SMF_ENOMEM;
    case EACCES:
    case EPERM:
        return SMF_EPERMISSION;
    case EIO:
        return SMF_EIO;
    case ENOSPC:
        return SMF_ENOSPACE;
    case EDQUOT:
        return SMF_EQUOTA;
    case EROFS:
        return SMF_EREADONLY;
    case ENOENT:
        return SMF_ENOTFOUND;
    case EEXIST:
    case ENOTEMPTY:
        return SMF_EEXIST;
    case EBUSY: /* of a lock, too */
        return SMF_ELOCKED;
    case EMFILE:
    case ENFILE:
    case EFBIG:
    case E2BIG:
        return SMF_ELIMIT;
    case ESHUTDOWN:
        return SMF_ECLOSED;
    case EOPNOTSUPP:
        return SMF_EUNSUPPORTED;
    default:
        return SMF_ESYSTEM;
    }
}

static int changes_blocks(const struct smf__disk_op *op)
{
    return op->kind == SMF__DISK_WRITE || op->kind == SMF__DISK_ZERO;
}

/* A disk may do these in any order: two that overlap leave either's bytes, or both's. */
static int overlaps_a_write(const struct smf__disk_op *op)
{
    for (const struct smf__disk_op *other = op->file->writes; other != NULL;
         other = other->write_next) {
        if (op->offset < other->offset + other->size && other->offset < op->offset + op->size)
            return 1;
    }
    return 0;
}

static int bad_path(const char *path)
{
    return path == NULL || *path == '\0' ||
           strnlen(path, SMF__DISK_PATH_MAX_BYTES) >= SMF__DISK_PATH_MAX_BYTES;
}

static int check_paths(const struct smf__disk_op *op)
{
    if (bad_path(op->path) || (op->kind == SMF__DISK_RENAME && bad_path(op->path_to)))
        return -EINVAL;
    if (op->kind == SMF__DISK_LIST && op->data == NULL)
        return -EINVAL;
    return 0;
}

static int check_range(const struct smf__disk_op *op)
{
    const struct smf__disk_file *file = op->file;
    uint64_t mask = file->offset_align_bytes - 1;

    if (op->size == 0 || ((op->offset | op->size) & mask) != 0 ||
        op->offset > SMF__DISK_FILE_MAX_BYTES || op->size > SMF__DISK_FILE_MAX_BYTES - op->offset)
        return -EINVAL;
    if (op->kind == SMF__DISK_ZERO)
        return 0;
    if (op->data == NULL || op->size > SMF__DISK_IO_MAX_BYTES ||
        ((uintptr_t)op->data & (file->memory_align_bytes - 1)) != 0)
        return -EINVAL;
    if (op->kind == SMF__DISK_WRITE && op->offset + op->size > file->size_bytes)
        return -EINVAL; /* a write that makes a file longer waits for the file system's journal */
    return 0;
}

static int check_file(const struct smf__disk_op *op)
{
    const struct smf__disk_file *file = op->file;

    if (file == NULL || file->fd < 0)
        return -EINVAL;
    if (file->read_only && (changes_blocks(op) || op->kind == SMF__DISK_TRUNCATE))
        return -EROFS;
    switch (op->kind) {
    case SMF__DISK_CLOSE:
        smf__check(file->in_flight == 0);
        return 0;
    case SMF__DISK_TRUNCATE:
        if (op->size > file->size_bytes || (op->size & (file->offset_align_bytes - 1)) != 0)
            return -EINVAL;
        smf__check(file->writes == NULL);
        return 0;
    case SMF__DISK_READ:
    case SMF__DISK_WRITE:
    case SMF__DISK_ZERO:
        return check_range(op);
    default:
        return 0;
    }
}

static int check(const struct smf__disk_op *op)
{
    switch (op->kind) {
    case SMF__DISK_OPEN:
    case SMF__DISK_STAT:
    case SMF__DISK_LIST:
    case SMF__DISK_RENAME:
    case SMF__DISK_UNLINK:
    case SMF__DISK_MAKE_FOLDER:
    case SMF__DISK_DROP_FOLDER:
    case SMF__DISK_SYNC_FOLDER:
        return check_paths(op);
    case SMF__DISK_CLOSE:
    case SMF__DISK_READ:
    case SMF__DISK_WRITE:
    case SMF__DISK_FLUSH:
    case SMF__DISK_ZERO:
    case SMF__DISK_TRUNCATE:
    case SMF__DISK_RECYCLE:
        return check_file(op);
    default:
        return -EINVAL;
    }
}

static void add_write(struct smf__disk_op *op)
{
    smf__check(!overlaps_a_write(op));
    op->write_back = NULL;
    op->write_next = op->file->writes;
    if (op->write_next != NULL)
        op->write_next->write_back = op;
    op->file->writes = op;
}

static void remove_write(struct smf__disk_op *op)
{
    if (op->write_back != NULL)
        op->write_back->write_next = op->write_next;
    else
        op->file->writes = op->write_next;
    if (op->write_next != NULL)
        op->write_next->write_back = op->write_back;
}

static void report(struct smf__disk_leaf *leaf, struct smf__disk_op *op, int64_t result)
{
    op->os_errno = result < 0 ? (int)-result : 0;
    op->status = smf__disk_status(op->os_errno);
    op->done = result < 0 ? op->done : (uint64_t)result;
    if (result < 0)
        smf__count(leaf->counts.failures, 1);
    smf__disk_list_push(&leaf->ready, op);
}

static struct smf__disk_file *take_file(struct smf__disk_leaf *leaf)
{
    struct smf__disk_file *file = leaf->free_files;

    if (file != NULL) {
        leaf->free_files = file->next_free;
        memset(file, 0, sizeof *file);
        file->fd = -1;
    }
    return file;
}

int smf__disk_admit(struct smf__disk_leaf *leaf, struct smf__disk_op *op)
{
    int problem = check(op);

    op->status = op->os_errno = op->is_folder = 0;
    op->done = op->moved = 0;
    op->requests = op->retries = 0;
    op->effect = NULL;
    if (problem == 0 && op->kind == SMF__DISK_OPEN) {
        op->file = take_file(leaf);
        if (op->file == NULL)
            problem = -EMFILE;
        else
            op->file->locked = (op->flags & SMF__DISK_LOCK) != 0;
    }
    if (problem != 0) {
        if (op->kind == SMF__DISK_OPEN)
            op->file = NULL;
        report(leaf, op, problem);
        return 0;
    }
    leaf->in_flight++;
    if (op->file != NULL)
        op->file->in_flight++;
    if (changes_blocks(op))
        add_write(op);
    return 1;
}

static void tally(struct smf__disk_leaf *leaf, const struct smf__disk_op *op, uint64_t done)
{
    struct smf__disk_counts *counts = &leaf->counts;

    switch (op->kind) {
    case SMF__DISK_READ:
        smf__count(counts->reads, 1);
        smf__count(counts->read_bytes, done);
        break;
    case SMF__DISK_WRITE:
        smf__count(counts->writes, 1);
        smf__count(counts->written_bytes, done);
        if ((op->flags & SMF__DISK_DURABLE) != 0) {
            smf__count(counts->durable_writes, 1);
            if (leaf->durable_by == SMF__DISK_BY_FLUSH)
                smf__count(counts->flushes, 1);
        }
        break;
    case SMF__DISK_FLUSH:
        smf__count(counts->flushes, 1);
        break;
    case SMF__DISK_ZERO:
        smf__count(counts->zeroed_bytes, done);
        break;
    default:
        break;
    }
}

/* What a file's operation means for the file. */
static void settle_file(struct smf__disk_leaf *leaf, struct smf__disk_op *op, int failed)
{
    struct smf__disk_file *file = op->file;

    file->in_flight--;
    if (changes_blocks(op))
        remove_write(op);
    if (op->kind == SMF__DISK_ZERO && !failed && op->offset + op->size > file->size_bytes)
        file->size_bytes = op->offset + op->size;
    if (op->kind == SMF__DISK_TRUNCATE && !failed)
        file->size_bytes = op->size;
    if ((op->kind == SMF__DISK_OPEN && failed) || op->kind == SMF__DISK_CLOSE) {
        file->fd = -1;
        file->next_free = leaf->free_files;
        leaf->free_files = file;
        op->file = NULL;
    }
}

void smf__disk_finish(struct smf__disk_leaf *leaf, struct smf__disk_op *op, int64_t result)
{
    leaf->in_flight--;
    if (result >= 0)
        tally(leaf, op, (uint64_t)result);
    if (op->file != NULL)
        settle_file(leaf, op, result < 0);
    report(leaf, op, result);
}

uint32_t smf__disk_take(struct smf__disk_leaf *leaf, struct smf__disk_op **ops_out,
                        uint32_t capacity)
{
    uint32_t count = 0;

    while (count < capacity) {
        struct smf__disk_op *op = smf__disk_list_pop(&leaf->ready);

        if (op == NULL)
            break;
        ops_out[count++] = op;
    }
    return count;
}

void smf__disk_leaf_describe(const struct smf__disk *disk, char *text_out, size_t size)
{
    const struct smf__disk_leaf *leaf = (const void *)disk;
    const char *way = leaf->durable_by == SMF__DISK_BY_DSYNC ? "RWF_DSYNC" : "write and fdatasync";
    char blocks[64] = "blocks as each file asks";

    if (leaf->known.valid && leaf->known.offset_align_bytes != 0)
        snprintf(blocks, sizeof blocks, "O_DIRECT in blocks of %u bytes",
                 leaf->known.offset_align_bytes);
    else if (leaf->options.plain || leaf->known.valid)
        snprintf(blocks, sizeof blocks, "through the page cache (%s)",
                 leaf->options.plain ? "as configured" : "no O_DIRECT in this folder");
    snprintf(text_out, size, "%s, %s, durable writes by %s%s%s%s", leaf->base.ops->name, blocks,
             way, leaf->probed, *leaf->why ? "; " : "", leaf->why);
}
