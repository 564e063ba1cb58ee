/* Files through io_uring. Reading, writing and flushing go through the ring; what blocks in the file
 * system's own ways (opening, renaming, zeroing, …) is done by two threads.
 *
 * A completion is posted by the thread that submitted, wherever it is: the kernel interrupts it for that
 * (see disk_ring.h), so completions appear while it computes. When it ends before, the kernel sends back
 * what still needed a thread of its own: that is done again. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/core.h"
#include "disk/disk_leaf.h"
#include "disk/disk_pool.h"
#include "disk/disk_ring.h"
#include "mem/mem_count.h"

/* MemorySanitizer does not see what the kernel writes on its own time. */
#ifdef __has_feature
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define CAME_FROM_KERNEL(memory, size) __msan_unpoison(memory, size)
#endif
#endif
#ifndef CAME_FROM_KERNEL
#define CAME_FROM_KERNEL(memory, size) ((void)0)
#endif

#define NS_PER_SECOND 1000000000ll
#define REFUSED_WAIT_NS 1000000ll /* the kernel had no memory for requests: try again after this */
#define FLUSH_PART 1u             /* in user_data: the result is the flush's, not the write's */

struct disk_uring {
    struct smf__disk_leaf leaf;
    struct smf__disk_ring ring;
    struct smf__disk_pool *pool;
    struct smf__disk_list queued;      /* for the ring, when it has room */
    struct smf__disk_list for_threads; /* queued for the pool */
    uint32_t requests;                 /* filled, and their results not seen */
    int epoll_fd;                      /* over the ring and the pool's bell */
};

static struct disk_uring *uring_of(struct smf__disk *disk)
{
    return (struct disk_uring *)disk;
}

static int for_ring(const struct smf__disk_op *op)
{
    return op->kind == SMF__DISK_READ || op->kind == SMF__DISK_WRITE || op->kind == SMF__DISK_FLUSH;
}

static int flushes_behind(const struct disk_uring *uring, const struct smf__disk_op *op)
{
    return op->kind == SMF__DISK_WRITE && (op->flags & SMF__DISK_DURABLE) != 0 &&
           uring->leaf.durable_by == SMF__DISK_BY_FLUSH;
}

static uint32_t requests_of(const struct disk_uring *uring, const struct smf__disk_op *op)
{
    return flushes_behind(uring, op) ? 2 : 1;
}

static struct io_uring_sqe *fill(struct disk_uring *uring, struct smf__disk_op *op, uint8_t opcode,
                                 uint64_t part)
{
    struct io_uring_sqe *request = smf__disk_ring_next(&uring->ring);

    request->opcode = opcode;
    request->fd = op->file->fd;
    request->user_data = (uint64_t)(uintptr_t)op | part;
    op->requests++;
    uring->requests++;
    return request;
}

static void fill_flush(struct disk_uring *uring, struct smf__disk_op *op)
{
    struct io_uring_sqe *request = fill(uring, op, IORING_OP_FSYNC, FLUSH_PART);

    request->fsync_flags = IORING_FSYNC_DATASYNC;
}

/* From op->moved on. */
static void fill_transfer(struct disk_uring *uring, struct smf__disk_op *op)
{
    uint8_t opcode = op->kind == SMF__DISK_READ ? IORING_OP_READ : IORING_OP_WRITE;
    struct io_uring_sqe *request = fill(uring, op, opcode, 0);

    request->addr = (uint64_t)(uintptr_t)op->data + op->moved;
    request->len = (uint32_t)(op->size - op->moved);
    request->off = op->offset + op->moved;
    if (flushes_behind(uring, op)) {
        request->flags |= IOSQE_IO_LINK;
        fill_flush(uring, op);
    } else if (op->kind == SMF__DISK_WRITE && (op->flags & SMF__DISK_DURABLE) != 0) {
        request->rw_flags = RWF_DSYNC;
    }
}

static void start(struct disk_uring *uring, struct smf__disk_op *op)
{
    op->results[0] = op->results[1] = 0;
    if (op->kind == SMF__DISK_FLUSH)
        fill_flush(uring, op);
    else
        fill_transfer(uring, op);
}

static void start_queued(struct disk_uring *uring)
{
    while (uring->queued.first != NULL &&
           uring->requests + requests_of(uring, uring->queued.first) <= uring->ring.entries)
        start(uring, smf__disk_list_pop(&uring->queued));
}

static void uring_queue(struct smf__disk *disk, struct smf__disk_op *op)
{
    struct disk_uring *uring = uring_of(disk);

    if (smf__disk_admit(&uring->leaf, op))
        smf__disk_list_push(for_ring(op) ? &uring->queued : &uring->for_threads, op);
}

static void uring_submit(struct smf__disk *disk)
{
    struct disk_uring *uring = uring_of(disk);

    start_queued(uring);
    if (uring->for_threads.first != NULL) {
        smf__count(uring->leaf.counts.submits, 1);
        smf__disk_pool_push(uring->pool, &uring->for_threads);
    }
    if (uring->ring.unsubmitted > 0) {
        smf__count(uring->leaf.counts.submits, 1);
        (void)smf__disk_ring_submit(&uring->ring); /* what was refused stays for the next time */
    }
}

static void finish(struct disk_uring *uring, struct smf__disk_op *op, int64_t result)
{
    if (op->kind == SMF__DISK_READ && result > 0)
        CAME_FROM_KERNEL(op->data, (size_t)result);
    smf__disk_finish(&uring->leaf, op, result);
}

/* The kernel did not try: its thread was interrupted, ended, or had no memory. A flush that was
 * interrupted is not one of these, it may have been tried. */
static int was_not_tried(int32_t result, int is_flush)
{
    return result == -ECANCELED || result == -EAGAIN || result == -EFAULT ||
           (result == -EINTR && !is_flush);
}

/* Starts what is left of an operation in the next submit, or gives it up. */
static void again(struct disk_uring *uring, struct smf__disk_op *op, int64_t otherwise)
{
    if (++op->retries > SMF__DISK_RETRIES_MAX) {
        finish(uring, op, otherwise);
        return;
    }
    smf__count(uring->leaf.counts.retries, 1);
    smf__disk_list_push(&uring->queued, op);
}

/* The flush alone, which the kernel sent back: the write in front of it is whole. There is room in the
 * ring, two results were just taken out. */
static void flush_again(struct disk_uring *uring, struct smf__disk_op *op)
{
    if (++op->retries > SMF__DISK_RETRIES_MAX) {
        finish(uring, op, op->results[1]);
        return;
    }
    smf__count(uring->leaf.counts.retries, 1);
    op->results[1] = 0;
    fill_flush(uring, op);
}

static void flushed(struct disk_uring *uring, struct smf__disk_op *op)
{
    int32_t result = op->results[1];

    if (result < 0 && was_not_tried(result, 1))
        flush_again(uring, op);
    else
        finish(uring, op, result < 0 ? result : (int64_t)op->moved);
}

/* A transfer came back: whole, short, untried or failed. */
static void transferred(struct disk_uring *uring, struct smf__disk_op *op)
{
    int32_t result = op->results[0];
    uint64_t mask = op->file->offset_align_bytes - 1;
    int is_read = op->kind == SMF__DISK_READ;

    op->results[0] = 0;
    if (result < 0 && was_not_tried(result, 0)) {
        again(uring, op, result);
        return;
    }
    if (result < 0) {
        finish(uring, op, result);
        return;
    }
    if (op->moved + (uint64_t)result == op->size) {
        op->moved = op->size;
        if (flushes_behind(uring, op))
            flushed(uring, op);
        else
            finish(uring, op, (int64_t)op->size);
        return;
    }
    if (is_read && (result == 0 || ((uint64_t)result & mask) != 0)) {
        finish(uring, op, (int64_t)op->moved + result); /* the file ends here */
        return;
    }
    if (((uint64_t)result & ~mask) != 0)
        op->retries = 0; /* it moves */
    op->moved += (uint64_t)result & ~mask;
    again(uring, op, -EIO);
}

static void take_result(struct disk_uring *uring, const struct io_uring_cqe *cqe)
{
    uint64_t part = cqe->user_data & FLUSH_PART;
    struct smf__disk_op *op = (void *)(uintptr_t)(cqe->user_data - part);

    op->results[part] = cqe->res;
    smf__disk_ring_pop(&uring->ring);
    uring->requests--;
    if (--op->requests > 0)
        return;
    if (op->kind == SMF__DISK_FLUSH || op->moved == op->size)
        flushed(uring, op);
    else
        transferred(uring, op);
}

static void reap(struct disk_uring *uring)
{
    const struct io_uring_cqe *cqe;

    while ((cqe = smf__disk_ring_peek(&uring->ring)) != NULL)
        take_result(uring, cqe);
    smf__disk_pool_reap(uring->pool, &uring->leaf);
}

static uint32_t uring_poll(struct smf__disk *disk, struct smf__disk_op **ops_out, uint32_t capacity)
{
    struct disk_uring *uring = uring_of(disk);
    uint32_t requests = uring->requests;

    reap(uring);
    /* What has waited for room in the ring, is left of a transfer, or was refused. */
    if (uring->ring.unsubmitted > 0 ||
        (uring->queued.first != NULL && (uring->requests < requests || uring->requests == 0)))
        uring_submit(disk);
    return smf__disk_take(&uring->leaf, ops_out, capacity);
}

static void uring_wait(struct smf__disk *disk, int64_t timeout_ns)
{
    struct disk_uring *uring = uring_of(disk);
    struct pollfd ready = {.fd = uring->epoll_fd, .events = POLLIN};
    struct timespec timeout;

    uring_submit(disk);
    if (uring->leaf.ready.first != NULL || uring->leaf.in_flight == 0)
        return;
    if (uring->ring.unsubmitted > 0 && (timeout_ns < 0 || timeout_ns > REFUSED_WAIT_NS))
        timeout_ns = REFUSED_WAIT_NS;
    timeout.tv_sec = timeout_ns / NS_PER_SECOND;
    timeout.tv_nsec = timeout_ns % NS_PER_SECOND;
    (void)ppoll(&ready, 1, timeout_ns < 0 ? NULL : &timeout, NULL);
}

static int uring_fd(const struct smf__disk *disk)
{
    return ((const struct disk_uring *)disk)->epoll_fd;
}

static void close_uring(struct disk_uring *uring)
{
    if (uring->pool != NULL)
        smf__disk_pool_close(uring->pool);
    if (uring->epoll_fd >= 0)
        close(uring->epoll_fd);
    smf__disk_ring_close(&uring->ring);
    smf__disk_close_files(&uring->leaf);
    smf__disk_leaf_close(&uring->leaf);
    free(uring);
}

static void uring_close(struct smf__disk *disk)
{
    struct smf__disk_op *ops[16];

    do {
        uring_wait(disk, -1);
        while (uring_poll(disk, ops, 16) > 0)
            continue;
    } while (uring_of(disk)->leaf.in_flight > 0);
    close_uring(uring_of(disk));
}

static const struct smf__disk_ops uring_ops = {
    .name = "io_uring",
    .close = uring_close,
    .queue = uring_queue,
    .submit = uring_submit,
    .poll = uring_poll,
    .wait = uring_wait,
    .fd = uring_fd,
    .describe = smf__disk_leaf_describe,
};

/* Returns 0, or 1 with the reason in *error_out: then another implementation has to do. */
static int refused(int status, struct smf_error *error_out)
{
    const char *why = "no io_uring on this kernel, or a container forbids it";

    if (status == -EPERM || status == -EACCES)
        why =
            "io_uring is forbidden here: by kernel.io_uring_disabled, or by a container's seccomp "
            "profile";
    else if (status == -ENOMEM)
        why = "no memory for io_uring; raise the limit on locked memory (ulimit -l)";
    else if (status == -EOPNOTSUPP)
        why = "this kernel's io_uring is older than Linux 5.11";
    else if (status == -EMFILE || status == -ENFILE)
        why = "no descriptor for io_uring; raise the limit on open files (ulimit -n)";
    (void)smf__error(error_out, SMF_EUNSUPPORTED, -status, why);
    return SMF_EUNSUPPORTED;
}

/* A profile may allow the making of a ring and forbid its use. */
static int try_ring(struct smf__disk_ring *ring)
{
    struct io_uring_sqe *request = smf__disk_ring_next(ring);
    int status;

    request->opcode = IORING_OP_NOP;
    status = smf__disk_ring_submit(ring);
    if (status != 0)
        return status;
    if (smf__disk_ring_peek(ring) == NULL)
        return -ENOSYS;
    smf__disk_ring_pop(ring);
    return 0;
}

static int watch(const struct disk_uring *uring, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};

    return epoll_ctl(uring->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static uint32_t power_of_two(uint32_t value)
{
    uint32_t power = 2; /* a write and the flush behind it */

    while (power < value)
        power *= 2;
    return power;
}

static int open_ring(struct disk_uring *uring, struct smf_error *error_out)
{
    int status = smf__disk_ring_open(&uring->ring, power_of_two(uring->leaf.options.in_flight_max));

    if (status == 0)
        status = try_ring(&uring->ring);
    return status == 0 ? SMF_OK : refused(status, error_out);
}

static int open_threads(struct disk_uring *uring, struct smf_error *error_out)
{
    uint32_t threads =
        uring->leaf.options.threads != 0 ? uring->leaf.options.threads : SMF__DISK_THREADS_URING;
    int status = smf__disk_pool_open(&uring->pool, &uring->leaf, threads, error_out);
    int problem;

    if (status != SMF_OK)
        return status;
    uring->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    problem = uring->epoll_fd < 0 ? -errno : watch(uring, uring->ring.fd);
    if (problem == 0)
        problem = watch(uring, smf__disk_pool_fd(uring->pool));
    return problem == 0 ? SMF_OK
                        : smf__error(error_out, smf__disk_status(-problem), -problem,
                                     "a disk's descriptors could not be opened; raise the limit on "
                                     "open files (ulimit -n)");
}

int smf__disk_uring_open(struct smf__disk **disk_out, const struct smf__disk_options *options,
                         struct smf_error *error_out)
{
    struct disk_uring *uring = calloc(1, sizeof *uring);
    int status;

    if (uring == NULL)
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for a disk");
    uring->epoll_fd = uring->ring.fd = -1;
    status = smf__disk_leaf_open(&uring->leaf, &uring_ops, options, error_out);
    if (status == SMF_OK)
        status = open_ring(uring, error_out);
    if (status == SMF_OK)
        status = open_threads(uring, error_out);
    if (status == SMF_OK)
        status = smf__disk_probe(&uring->leaf, error_out);
    if (status != SMF_OK) {
        close_uring(uring);
        return status;
    }
    *disk_out = &uring->leaf.base;
    return SMF_OK;
}
