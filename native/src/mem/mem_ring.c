/* The ring: cells with sequence numbers.
 *
 * The cell at position p (counted from 0 for ever; its index is p modulo capacity) is
 *     free for the producer that claims p     while sequence == p
 *     full for the consumer                   while sequence == p + 1
 *     free for position p + capacity          once  sequence == p + capacity. */
#include "mem/mem_ring.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <smf/status.h>

#define LINE_BYTES 64u /* cells and cursors keep to cache lines of their own */

struct cell {
    _Atomic uint64_t sequence;
    unsigned char data[];
};

struct smf__ring {
    alignas(LINE_BYTES) _Atomic uint64_t head; /* the next position that a producer claims */
    alignas(LINE_BYTES) uint64_t tail;         /* the next position to pop; the consumer's */
    alignas(LINE_BYTES) uint64_t mask;         /* capacity - 1 */
    size_t stride_bytes;
    size_t cell_size_bytes;
    unsigned char *cells;
};

static struct cell *cell_at(const struct smf__ring *ring, uint64_t position)
{
    return (struct cell *)(ring->cells + (position & ring->mask) * ring->stride_bytes);
}

int smf__ring_open(struct smf__ring **ring_out, uint32_t capacity, uint32_t cell_size_bytes)
{
    if (capacity < SMF__RING_CAPACITY_MIN || capacity > SMF__RING_CAPACITY_MAX ||
        (capacity & (capacity - 1)) != 0) {
        return SMF_EINVAL;
    }
    if (cell_size_bytes == 0 || cell_size_bytes > SMF__RING_CELL_MAX_BYTES)
        return SMF_EINVAL;

    size_t stride = offsetof(struct cell, data) + cell_size_bytes;
    stride = (stride + LINE_BYTES - 1) & ~(size_t)(LINE_BYTES - 1);
    struct smf__ring *ring = aligned_alloc(LINE_BYTES, sizeof(*ring));
    if (ring == NULL)
        return SMF_ENOMEM;
    memset(ring, 0, sizeof(*ring));
    ring->mask = capacity - 1;
    ring->stride_bytes = stride;
    ring->cell_size_bytes = cell_size_bytes;
    ring->cells = aligned_alloc(LINE_BYTES, capacity * stride);
    if (ring->cells == NULL) {
        free(ring);
        return SMF_ENOMEM;
    }
    for (uint64_t i = 0; i < capacity; i++)
        atomic_init(&cell_at(ring, i)->sequence, i);
    atomic_init(&ring->head, 0);
    *ring_out = ring;
    return SMF_OK;
}

void smf__ring_close(struct smf__ring *ring)
{
    if (ring == NULL)
        return;
    free(ring->cells);
    free(ring);
}

int smf__ring_push(struct smf__ring *ring, const void *cell)
{
    uint64_t position = atomic_load_explicit(&ring->head, memory_order_relaxed);
    struct cell *target;
    for (;;) {
        target = cell_at(ring, position);
        uint64_t sequence = atomic_load_explicit(&target->sequence, memory_order_acquire);
        int64_t ahead = (int64_t)(sequence - position);
        if (ahead < 0)
            return 0;    /* not popped yet since the last turn of the ring: full */
        if (ahead > 0) { /* another producer was quicker */
            position = atomic_load_explicit(&ring->head, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(&ring->head, &position, position + 1,
                                                         memory_order_relaxed,
                                                         memory_order_relaxed)) {
            break;
        }
    }
    memcpy(target->data, cell, ring->cell_size_bytes);
    atomic_store_explicit(&target->sequence, position + 1, memory_order_release);
    return 1;
}

int smf__ring_ready(const struct smf__ring *ring)
{
    struct cell *oldest = cell_at(ring, ring->tail);
    return atomic_load_explicit(&oldest->sequence, memory_order_acquire) == ring->tail + 1;
}

int smf__ring_pop(struct smf__ring *ring, void *cell_out)
{
    if (!smf__ring_ready(ring))
        return 0;
    struct cell *oldest = cell_at(ring, ring->tail);
    memcpy(cell_out, oldest->data, ring->cell_size_bytes);
    atomic_store_explicit(&oldest->sequence, ring->tail + ring->mask + 1, memory_order_release);
    ring->tail++;
    return 1;
}
