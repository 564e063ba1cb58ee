/* Files through a small pool of threads and the system calls of old: where io_uring is forbidden, as it
 * is in many containers, or not there. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/core.h"
#include "disk/disk_leaf.h"
#include "disk/disk_pool.h"
#include "mem/mem_count.h"

#define NS_PER_SECOND 1000000000ll

struct disk_posix {
    struct smf__disk_leaf leaf;
    struct smf__disk_pool *pool;
    struct smf__disk_list queued;
};

static struct disk_posix *posix_of(struct smf__disk *disk)
{
    return (struct disk_posix *)disk;
}

static void posix_queue(struct smf__disk *disk, struct smf__disk_op *op)
{
    struct disk_posix *posix = posix_of(disk);

    if (smf__disk_admit(&posix->leaf, op))
        smf__disk_list_push(&posix->queued, op);
}

static void posix_submit(struct smf__disk *disk)
{
    struct disk_posix *posix = posix_of(disk);

    if (posix->queued.first == NULL)
        return;
    smf__count(posix->leaf.counts.submits, 1);
    smf__disk_pool_push(posix->pool, &posix->queued);
}

static uint32_t posix_poll(struct smf__disk *disk, struct smf__disk_op **ops_out, uint32_t capacity)
{
    struct disk_posix *posix = posix_of(disk);

    smf__disk_pool_reap(posix->pool, &posix->leaf);
    return smf__disk_take(&posix->leaf, ops_out, capacity);
}

static void posix_wait(struct smf__disk *disk, int64_t timeout_ns)
{
    struct disk_posix *posix = posix_of(disk);
    struct pollfd bell = {.fd = smf__disk_pool_fd(posix->pool), .events = POLLIN};
    struct timespec timeout = {timeout_ns / NS_PER_SECOND, timeout_ns % NS_PER_SECOND};

    posix_submit(disk);
    if (posix->leaf.ready.first == NULL && posix->leaf.in_flight > 0)
        (void)ppoll(&bell, 1, timeout_ns < 0 ? NULL : &timeout, NULL);
}

static int posix_fd(const struct smf__disk *disk)
{
    return smf__disk_pool_fd(((const struct disk_posix *)disk)->pool);
}

static void close_posix(struct disk_posix *posix)
{
    if (posix->pool != NULL)
        smf__disk_pool_close(posix->pool);
    smf__disk_close_files(&posix->leaf);
    smf__disk_leaf_close(&posix->leaf);
    free(posix);
}

static void posix_close(struct smf__disk *disk)
{
    struct smf__disk_op *ops[16];

    do {
        posix_wait(disk, -1);
        (void)posix_poll(disk, ops, 16);
    } while (posix_of(disk)->leaf.in_flight > 0);
    close_posix(posix_of(disk));
}

static const struct smf__disk_ops posix_ops = {
    .name = "posix",
    .close = posix_close,
    .queue = posix_queue,
    .submit = posix_submit,
    .poll = posix_poll,
    .wait = posix_wait,
    .fd = posix_fd,
    .describe = smf__disk_leaf_describe,
};

int smf__disk_posix_open(struct smf__disk **disk_out, const struct smf__disk_options *options,
                         const char *why, struct smf_error *error_out)
{
    struct disk_posix *posix = calloc(1, sizeof *posix);
    uint32_t threads = options->threads != 0 ? options->threads : SMF__DISK_THREADS_POSIX;
    int status;

    if (posix == NULL)
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for a disk");
    status = smf__disk_leaf_open(&posix->leaf, &posix_ops, options, error_out);
    if (status == SMF_OK)
        status = smf__disk_pool_open(&posix->pool, &posix->leaf, threads, error_out);
    if (status == SMF_OK)
        status = smf__disk_probe(&posix->leaf, error_out);
    if (status != SMF_OK) {
        close_posix(posix);
        return status;
    }
    snprintf(posix->leaf.why, sizeof posix->leaf.why, "%s", why);
    *disk_out = &posix->leaf.base;
    return SMF_OK;
}
