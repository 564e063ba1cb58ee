#include "disk/disk_ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/core.h"

#ifndef IORING_SETUP_SUBMIT_ALL
#define IORING_SETUP_SUBMIT_ALL (1u << 7) /* Linux 5.18 */
#endif
#define FEATURES_NEEDED (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE)

static int setup(uint32_t entries, struct io_uring_params *parameters)
{
    int fd;

    memset(parameters, 0, sizeof *parameters);
    parameters->flags = IORING_SETUP_SUBMIT_ALL;
    fd = (int)syscall(SYS_io_uring_setup, entries, parameters);
    if (fd < 0 && errno == EINVAL) {
        memset(parameters, 0, sizeof *parameters);
        fd = (int)syscall(SYS_io_uring_setup, entries, parameters);
    }
    return fd < 0 ? -errno : fd;
}

static void *map(const struct smf__disk_ring *ring, size_t size, off_t what)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd, what);

    if (memory == MAP_FAILED)
        return NULL;
    (void)madvise(memory, size, MADV_DONTFORK); /* a child has nothing to say to this ring */
    return memory;
}

static uint32_t *at(const struct smf__disk_ring *ring, uint32_t offset)
{
    return (uint32_t *)((uint8_t *)ring->queues + offset);
}

static int map_queues(struct smf__disk_ring *ring, const struct io_uring_params *parameters)
{
    size_t sq_size = parameters->sq_off.array + parameters->sq_entries * sizeof(uint32_t);
    size_t cq_size = parameters->cq_off.cqes + parameters->cq_entries * sizeof(struct io_uring_cqe);
    uint32_t *order;

    ring->queues_size = sq_size > cq_size ? sq_size : cq_size;
    ring->sqes_size = parameters->sq_entries * sizeof(struct io_uring_sqe);
    ring->queues = map(ring, ring->queues_size, IORING_OFF_SQ_RING);
    ring->sqes = map(ring, ring->sqes_size, IORING_OFF_SQES);
    if (ring->queues == NULL || ring->sqes == NULL)
        return -ENOMEM;
    ring->sq_shared_tail = at(ring, parameters->sq_off.tail);
    ring->sq_mask = *at(ring, parameters->sq_off.ring_mask);
    ring->cq_shared_head = at(ring, parameters->cq_off.head);
    ring->cq_shared_tail = at(ring, parameters->cq_off.tail);
    ring->cq_mask = *at(ring, parameters->cq_off.ring_mask);
    ring->cqes = (void *)at(ring, parameters->cq_off.cqes);
    order = at(ring, parameters->sq_off.array);
    for (uint32_t i = 0; i < parameters->sq_entries; i++)
        order[i] = i; /* requests are taken in the order in which they were filled */
    return 0;
}

int smf__disk_ring_open(struct smf__disk_ring *ring, uint32_t entries)
{
    struct io_uring_params parameters;
    int status;

    memset(ring, 0, sizeof *ring);
    ring->fd = setup(entries, &parameters);
    if (ring->fd < 0)
        return ring->fd;
    ring->entries = parameters.sq_entries;
    status = (parameters.features & FEATURES_NEEDED) == FEATURES_NEEDED
                 ? map_queues(ring, &parameters)
                 : -EOPNOTSUPP;
    if (status != 0)
        smf__disk_ring_close(ring);
    return status;
}

void smf__disk_ring_close(struct smf__disk_ring *ring)
{
    if (ring->queues != NULL)
        munmap(ring->queues, ring->queues_size);
    if (ring->sqes != NULL)
        munmap(ring->sqes, ring->sqes_size);
    if (ring->fd >= 0)
        close(ring->fd);
    ring->fd = -1;
}

struct io_uring_sqe *smf__disk_ring_next(struct smf__disk_ring *ring)
{
    struct io_uring_sqe *request = &ring->sqes[ring->sq_tail & ring->sq_mask];

    smf__check(ring->unsubmitted < ring->entries);
    memset(request, 0, sizeof *request);
    ring->sq_tail++;
    ring->unsubmitted++;
    return request;
}

int smf__disk_ring_submit(struct smf__disk_ring *ring)
{
    __atomic_store_n(ring->sq_shared_tail, ring->sq_tail, __ATOMIC_RELEASE);
    while (ring->unsubmitted > 0) {
        long taken = syscall(SYS_io_uring_enter, ring->fd, ring->unsubmitted, 0, 0, NULL, 0);

        if (taken < 0 && errno == EINTR)
            continue;
        if (taken <= 0)
            return taken < 0 ? -errno : -EAGAIN;
        ring->unsubmitted -= (uint32_t)taken;
    }
    return 0;
}
