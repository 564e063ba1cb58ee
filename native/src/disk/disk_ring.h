/* The two queues that io_uring shares with the kernel, and nothing else of it: requests go in, results
 * come out. By hand, because it is little and because a library would be one more thing to link for every
 * program that links this one.
 *
 * The ring is a plain one. IORING_SETUP_COOP_TASKRUN and DEFER_TASKRUN would save an interrupt per
 * completion, and leave completions lying about for as long as the thread that submitted computes;
 * SINGLE_ISSUER would tie the ring to one thread.
 *
 * Threads: one at a time, which may change. */
#ifndef SMF_DISK_DISK_RING_H
#define SMF_DISK_DISK_RING_H

#include <linux/io_uring.h>
#include <stddef.h>
#include <stdint.h>

struct smf__disk_ring {
    int fd;
    uint32_t entries;
    uint32_t unsubmitted; /* filled, and not yet taken by the kernel */
    uint32_t sq_tail;     /* of what was filled */
    uint32_t *sq_shared_tail, *cq_shared_head, *cq_shared_tail;
    uint32_t sq_mask, cq_mask;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    void *queues;
    size_t queues_size, sqes_size;
};

/* Returns 0 or -errno. entries: a power of two. */
int smf__disk_ring_open(struct smf__disk_ring *ring, uint32_t entries);
void smf__disk_ring_close(struct smf__disk_ring *ring);

/* The next request to fill, zeroed. The caller keeps no more than entries requests under way. */
struct io_uring_sqe *smf__disk_ring_next(struct smf__disk_ring *ring);

/* One system call for all that was filled. Returns 0 or -errno; what the kernel did not take stays for the
 * next call. */
int smf__disk_ring_submit(struct smf__disk_ring *ring);

/* The oldest result, or NULL; smf__disk_ring_pop gives its place back. */
static inline const struct io_uring_cqe *smf__disk_ring_peek(const struct smf__disk_ring *ring)
{
    uint32_t head = *ring->cq_shared_head; /* written here only */

    if (head == __atomic_load_n(ring->cq_shared_tail, __ATOMIC_ACQUIRE))
        return NULL;
    return &ring->cqes[head & ring->cq_mask];
}

static inline void smf__disk_ring_pop(struct smf__disk_ring *ring)
{
    __atomic_store_n(ring->cq_shared_head, *ring->cq_shared_head + 1, __ATOMIC_RELEASE);
}

#endif
