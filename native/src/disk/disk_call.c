#include "disk/disk_call.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FILE_MODE 0640
#define FOLDER_MODE 0750
#define ALIGN_UNKNOWN_BYTES 4096u /* when nobody says: no disk of today has larger blocks */
#define MEMORY_ALIGN_MIN_BYTES 8u
#define ENTRIES_SIZE_BYTES 8192 /* of a folder, read at a time */

/* Shared by all; never written. Not const: it would take its place in every program's file. */
static _Alignas(ALIGN_UNKNOWN_BYTES) uint8_t zeroes[SMF__DISK_ZERO_STEP_BYTES];

#ifdef STATX_DIOALIGN
/* Returns 1 with what the file system says (0: no direct I/O), 0 when it says nothing. */
static int ask_alignment(int fd, struct smf__disk_file *file)
{
    struct statx told;

    memset(&told, 0, sizeof told);
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &told) != 0 ||
        (told.stx_mask & STATX_DIOALIGN) == 0)
        return 0;
    file->offset_align_bytes = told.stx_dio_offset_align;
    file->memory_align_bytes = told.stx_dio_mem_align;
    return 1;
}
#else
static int ask_alignment(int fd, struct smf__disk_file *file)
{
    (void)fd;
    (void)file;
    return 0;
}
#endif

/* These take O_DIRECT, and go through the page cache: there is nothing behind it. */
static int lives_in_memory(int fd)
{
    struct statfs system;

    return fstatfs(fd, &system) == 0 &&
           (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC);
}

static void align_direct(const struct smf__disk_leaf *leaf, struct smf__disk_file *file,
                         uint64_t device)
{
    if (!leaf->options.no_statx && ask_alignment(file->fd, file))
        return;
    if (leaf->known.valid && leaf->known.device == device) {
        file->offset_align_bytes = leaf->known.offset_align_bytes;
        file->memory_align_bytes = leaf->known.memory_align_bytes;
        return;
    }
    file->offset_align_bytes = file->memory_align_bytes = ALIGN_UNKNOWN_BYTES;
}

/* Switches the page cache off where that can be done. */
static void go_direct(const struct smf__disk_leaf *leaf, struct smf__disk_file *file,
                      uint64_t device)
{
    int flags = fcntl(file->fd, F_GETFL);

    file->direct = !leaf->options.plain && !lives_in_memory(file->fd) && flags >= 0 &&
                   fcntl(file->fd, F_SETFL, flags | O_DIRECT) == 0;
    if (file->direct) {
        align_direct(leaf, file, device);
        if (file->offset_align_bytes == 0) {
            (void)fcntl(file->fd, F_SETFL, flags);
            file->direct = 0;
        }
    }
    if (!file->direct)
        file->offset_align_bytes = file->memory_align_bytes = 0;
    if (file->offset_align_bytes < SMF__DISK_BLOCK_MIN_BYTES)
        file->offset_align_bytes = SMF__DISK_BLOCK_MIN_BYTES;
    if (file->memory_align_bytes < MEMORY_ALIGN_MIN_BYTES)
        file->memory_align_bytes = MEMORY_ALIGN_MIN_BYTES;
}

static int64_t refuse(struct smf__disk_file *file, int os_errno)
{
    close(file->fd);
    file->fd = -1;
    return -os_errno;
}

static int64_t call_open(const struct smf__disk_leaf *leaf, struct smf__disk_op *op)
{
    struct smf__disk_file *file = op->file;
    struct stat status;
    int flags = O_CLOEXEC;

    flags |= (op->flags & SMF__DISK_READ_ONLY) != 0 ? O_RDONLY : O_RDWR;
    flags |= (op->flags & SMF__DISK_CREATE) != 0 ? O_CREAT : 0;
    flags |= (op->flags & SMF__DISK_EXCLUSIVE) != 0 ? O_EXCL : 0;
    do
        file->fd = open(op->path, flags, FILE_MODE);
    while (file->fd < 0 && errno == EINTR);
    if (file->fd < 0)
        return -errno;
    if (fstat(file->fd, &status) != 0)
        return refuse(file, errno);
    if (!S_ISREG(status.st_mode))
        return refuse(file, S_ISDIR(status.st_mode) ? EISDIR : EINVAL);
    if ((op->flags & SMF__DISK_LOCK) != 0 && flock(file->fd, LOCK_EX | LOCK_NB) != 0)
        return refuse(file, errno == EWOULDBLOCK ? EBUSY : errno);
    file->read_only = (op->flags & SMF__DISK_READ_ONLY) != 0;
    file->size_bytes = (uint64_t)status.st_size;
    go_direct(leaf, file, (uint64_t)status.st_dev);
    return status.st_size;
}

/* Bytes of a short transfer that count: what follows has to begin at a block again. */
static uint64_t whole_blocks(const struct smf__disk_op *op, uint64_t bytes)
{
    return bytes & ~(uint64_t)(op->file->offset_align_bytes - 1);
}

static int64_t call_read(struct smf__disk_op *op)
{
    while (op->moved < op->size) {
        ssize_t got = pread(op->file->fd, (uint8_t *)op->data + op->moved,
                            (size_t)(op->size - op->moved), (off_t)(op->offset + op->moved));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        op->moved += (uint64_t)got;
        if (got == 0 || whole_blocks(op, op->moved) != op->moved)
            break; /* the file ends here */
    }
    return (int64_t)op->moved;
}

/* Writes op->data, or zeroes, from op->moved on, up to limit bytes. Returns 0 or -errno. */
static int64_t write_some(struct smf__disk_op *op, const void *data, uint64_t limit, int flags)
{
    uint64_t until = op->moved + limit;

    while (op->moved < until) {
        struct iovec vector = {(void *)data, (size_t)(until - op->moved)};
        ssize_t put = pwritev2(op->file->fd, &vector, 1, (off_t)(op->offset + op->moved), flags);
        uint64_t whole;

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        whole =
            (uint64_t)put == until - op->moved ? (uint64_t)put : whole_blocks(op, (uint64_t)put);
        if (whole == 0 && ++op->retries > SMF__DISK_RETRIES_MAX)
            return -EIO;
        op->moved += whole;
        data = (const uint8_t *)data + whole;
    }
    return 0;
}

/* A flush that failed is never done again: the kernel has forgotten what it could not write. */
static int64_t flush(const struct smf__disk_op *op)
{
    return fdatasync(op->file->fd) == 0 ? 0 : -errno;
}

static int64_t call_write(const struct smf__disk_leaf *leaf, struct smf__disk_op *op)
{
    int durable = (op->flags & SMF__DISK_DURABLE) != 0;
    int by_dsync = durable && leaf->durable_by == SMF__DISK_BY_DSYNC;
    int64_t result = write_some(op, op->data, op->size, by_dsync ? RWF_DSYNC : 0);

    if (result == -EOPNOTSUPP && by_dsync) { /* no pwritev2 here */
        by_dsync = 0;
        result = write_some(op, op->data, op->size, 0);
    }
    if (result == 0 && durable && !by_dsync)
        result = flush(op);
    return result < 0 ? result : (int64_t)op->size;
}

/* The space is reserved at once, so that a full disk shows before anything is written, and in one piece
 * as far as there is one. Written zeroes follow: into reserved space alone a write is slow. */
static int64_t call_zero(struct smf__disk_op *op)
{
    uint64_t left = op->size - op->moved;
    int64_t result;

    if (op->moved == 0) {
        int status;

        do
            status = fallocate(op->file->fd, 0, (off_t)op->offset, (off_t)op->size);
        while (status != 0 && errno == EINTR);
        if (status != 0 && errno != EOPNOTSUPP && errno != ENOSYS)
            return -errno;
    }
    result = write_some(op, zeroes,
                        left < SMF__DISK_ZERO_STEP_BYTES ? left : SMF__DISK_ZERO_STEP_BYTES, 0);
    if (result < 0)
        return result;
    if (op->moved < op->size)
        return SMF__DISK_CALL_AGAIN;
    result = flush(op);
    return result < 0 ? result : (int64_t)op->size;
}

static int64_t call_sync_folder(const struct smf__disk_op *op)
{
    int fd = open(op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int problem;

    if (fd < 0)
        return -errno;
    problem = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return -problem;
}

static int64_t call_stat(struct smf__disk_op *op)
{
    struct stat status;

    if (stat(op->path, &status) != 0)
        return -errno;
    op->is_folder = S_ISDIR(status.st_mode) != 0;
    return status.st_size;
}

static int is_folder(int folder, const struct dirent64 *entry)
{
    struct stat status;

    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(folder, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(status.st_mode);
}

/* Counts on when there is no room for a name, so that done says how much was needed. */
static void note_name(struct smf__disk_op *op, int folder, const struct dirent64 *entry)
{
    size_t length = strlen(entry->d_name);
    int slash = is_folder(folder, entry);
    uint64_t needed = length + (slash ? 2 : 1);

    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
        return;
    if (op->done + needed <= op->size)
        snprintf((char *)op->data + op->done, needed, "%s%s", entry->d_name, slash ? "/" : "");
    op->done += needed;
}

static int64_t call_list(struct smf__disk_op *op)
{
    _Alignas(struct dirent64) char entries[ENTRIES_SIZE_BYTES] = {0};
    int fd = open(op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ssize_t size;
    int problem;

    if (fd < 0)
        return -errno;
    while ((size = getdents64(fd, entries, sizeof entries)) > 0) {
        for (ssize_t at = 0; at < size;) {
            const struct dirent64 *entry = (const void *)(entries + at);

            note_name(op, fd, entry);
            at += entry->d_reclen;
        }
    }
    problem = size < 0 ? errno : 0;
    close(fd);
    if (problem != 0)
        return -problem;
    return op->done <= op->size ? (int64_t)op->done : -E2BIG;
}

static int64_t plain(int result)
{
    return result == 0 ? 0 : -errno;
}

int64_t smf__disk_call(const struct smf__disk_leaf *leaf, struct smf__disk_op *op)
{
    switch (op->kind) {
    case SMF__DISK_OPEN:
        return call_open(leaf, op);
    case SMF__DISK_CLOSE:
        return plain(close(op->file->fd));
    case SMF__DISK_READ:
        return call_read(op);
    case SMF__DISK_WRITE:
        return call_write(leaf, op);
    case SMF__DISK_FLUSH:
        return flush(op);
    case SMF__DISK_ZERO:
        return call_zero(op);
    case SMF__DISK_TRUNCATE:
        return plain(ftruncate(op->file->fd, (off_t)op->size));
    case SMF__DISK_RECYCLE:
        return 0;
    case SMF__DISK_STAT:
        return call_stat(op);
    case SMF__DISK_LIST:
        return call_list(op);
    case SMF__DISK_RENAME:
        return plain(rename(op->path, op->path_to));
    case SMF__DISK_UNLINK:
        return plain(unlink(op->path));
    case SMF__DISK_MAKE_FOLDER:
        return plain(mkdir(op->path, FOLDER_MODE));
    case SMF__DISK_DROP_FOLDER:
        return plain(rmdir(op->path));
    default:
        return call_sync_folder(op);
    }
}
