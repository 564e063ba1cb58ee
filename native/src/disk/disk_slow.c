#include "disk/disk_slow.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/core.h"
#include "disk/disk_leaf.h"
#include "time/time_clock.h"

#define NS_PER_US 1000u
#define NS_PER_SECOND 1000000000ull

struct disk_slow {
    struct smf__disk base;
    struct smf__disk *inner;
    struct smf__disk_slow_options options;
    struct smf__clock clock;
    struct smf__disk_op *held; /* the next due one first */
    uint64_t armed_ns;         /* when the timer fires; 0: not armed */
    int timer_fd, epoll_fd;
};

static struct disk_slow *slow_of(struct smf__disk *disk)
{
    return (struct disk_slow *)disk;
}

static void slow_queue(struct smf__disk *disk, struct smf__disk_op *op)
{
    struct smf__disk *inner = slow_of(disk)->inner;

    inner->ops->queue(inner, op);
}

static void slow_submit(struct smf__disk *disk)
{
    struct smf__disk *inner = slow_of(disk)->inner;

    inner->ops->submit(inner);
}

static uint64_t delay_ns(const struct disk_slow *slow, const struct smf__disk_op *op)
{
    uint64_t delay_us = 0;

    if (op->status != SMF_OK)
        return 0;
    if (op->kind == SMF__DISK_FLUSH ||
        (op->kind == SMF__DISK_WRITE && (op->flags & SMF__DISK_DURABLE) != 0))
        delay_us = slow->options.flush_delay_us;
    else if (op->kind == SMF__DISK_WRITE)
        delay_us = slow->options.write_delay_us;
    else if (op->kind == SMF__DISK_READ)
        delay_us = slow->options.read_delay_us;
    return delay_us * NS_PER_US;
}

static void hold(struct disk_slow *slow, struct smf__disk_op *op, uint64_t due_ns)
{
    struct smf__disk_op **place = &slow->held;

    op->due_ns = due_ns;
    while (*place != NULL && (*place)->due_ns <= due_ns)
        place = &(*place)->next;
    op->next = *place;
    *place = op;
}

static void arm(struct disk_slow *slow)
{
    uint64_t next_ns = slow->held != NULL ? slow->held->due_ns : 0;
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(next_ns / NS_PER_SECOND),
                                           .tv_nsec = (long)(next_ns % NS_PER_SECOND)}};

    if (next_ns != slow->armed_ns)
        (void)timerfd_settime(slow->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    slow->armed_ns = next_ns;
}

static uint32_t slow_poll(struct smf__disk *disk, struct smf__disk_op **ops_out, uint32_t capacity)
{
    struct disk_slow *slow = slow_of(disk);
    uint32_t found = slow->inner->ops->poll(slow->inner, ops_out, capacity), count = 0;
    uint64_t now_ns;

    if (found == 0 && slow->held == NULL)
        return 0;
    now_ns = smf__clock_now_ns(&slow->clock);
    for (uint32_t i = 0; i < found; i++) {
        uint64_t delay = delay_ns(slow, ops_out[i]);

        if (delay == 0)
            ops_out[count++] = ops_out[i];
        else
            hold(slow, ops_out[i], now_ns + delay);
    }
    while (count < capacity && slow->held != NULL && slow->held->due_ns <= now_ns) {
        ops_out[count++] = slow->held;
        slow->held = slow->held->next;
    }
    arm(slow);
    return count;
}

static void slow_wait(struct smf__disk *disk, int64_t timeout_ns)
{
    struct disk_slow *slow = slow_of(disk);
    struct pollfd ready = {.fd = slow->epoll_fd, .events = POLLIN};
    struct timespec timeout = {timeout_ns / (int64_t)NS_PER_SECOND,
                               timeout_ns % (int64_t)NS_PER_SECOND};

    if (slow->held == NULL) {
        slow->inner->ops->wait(slow->inner, timeout_ns);
        return;
    }
    slow_submit(disk);
    (void)ppoll(&ready, 1, timeout_ns < 0 ? NULL : &timeout, NULL);
}

static int slow_fd(const struct smf__disk *disk)
{
    return ((const struct disk_slow *)disk)->epoll_fd;
}

static void slow_describe(const struct smf__disk *disk, char *text_out, size_t size)
{
    const struct disk_slow *slow = (const void *)disk;
    int length = snprintf(
        text_out, size,
        "slowed down (flushes %u us, writes %u us, reads %u us): ", slow->options.flush_delay_us,
        slow->options.write_delay_us, slow->options.read_delay_us);

    if (length > 0 && (size_t)length < size)
        smf__disk_describe(slow->inner, text_out + length, size - (size_t)length);
}

static void close_descriptors(const struct disk_slow *slow)
{
    if (slow->timer_fd >= 0)
        close(slow->timer_fd);
    if (slow->epoll_fd >= 0)
        close(slow->epoll_fd);
}

static void slow_close(struct smf__disk *disk)
{
    struct disk_slow *slow = slow_of(disk);

    slow->inner->ops->close(slow->inner);
    close_descriptors(slow);
    free(slow);
}

static const struct smf__disk_ops slow_ops = {
    .name = "slow",
    .close = slow_close,
    .queue = slow_queue,
    .submit = slow_submit,
    .poll = slow_poll,
    .wait = slow_wait,
    .fd = slow_fd,
    .describe = slow_describe,
};

static int watch(const struct disk_slow *slow, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};

    return epoll_ctl(slow->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

int smf__disk_slow_open(struct smf__disk **disk_out, struct smf__disk *inner,
                        const struct smf__disk_slow_options *options, struct smf_error *error_out)
{
    struct disk_slow *slow;
    int problem;

    if (inner->ops->fd(inner) < 0)
        return smf__error(error_out, SMF_EINVAL, 0, "this disk can't be slowed down");
    slow = calloc(1, sizeof *slow);
    if (slow == NULL)
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for a disk");
    slow->base.ops = &slow_ops;
    slow->base.counts = inner->counts;
    slow->inner = inner;
    slow->options = *options;
    slow->clock = smf__clock_monotonic();
    slow->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    slow->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    problem = slow->timer_fd < 0 || slow->epoll_fd < 0 ? errno : watch(slow, slow->timer_fd);
    if (problem == 0)
        problem = watch(slow, inner->ops->fd(inner));
    if (problem != 0) {
        close_descriptors(slow);
        free(slow);
        return smf__error(error_out, smf__disk_status(problem), problem,
                          "a disk's descriptors could not be opened");
    }
    *disk_out = &slow->base;
    return SMF_OK;
}
