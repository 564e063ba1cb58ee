/* A bounded ring from many producers to one consumer, for messages between threads.
 *
 * Each cell carries a sequence number (D. Vyukov's bounded queue): a producer claims a cell with one
 * compare-and-swap, fills it and publishes it; the consumer takes cells in order. Fixed capacity, no
 * allocation after open.
 *
 * Cells of one producer stay in their order. A producer that was interrupted between claim and publish
 * holds up the cells behind its own, not the other producers. The consumer may change from one thread
 * to another where something else orders the two.
 *
 * Push and pop order the bytes of a cell and nothing more. Who pairs the ring with a "consumer sleeps"
 * flag needs a full fence between his push and his look at the flag, and the consumer one between
 * setting the flag and smf__ring_ready. */
#ifndef SMF_MEM_RING_H
#define SMF_MEM_RING_H

#include <stdint.h>

#define SMF__RING_CAPACITY_MIN 2u
#define SMF__RING_CAPACITY_MAX (1u << 20)
#define SMF__RING_CELL_MAX_BYTES 4096u

struct smf__ring;

/* capacity: cells, a power of two within the limits above; cell_size_bytes: payload of one cell, which
 * takes 8 bytes more, rounded up to whole cache lines. Returns 0, SMF_EINVAL or SMF_ENOMEM. */
int smf__ring_open(struct smf__ring **ring_out, uint32_t capacity, uint32_t cell_size_bytes);

/* When no thread uses the ring any more. Cells that are still in it are forgotten. */
void smf__ring_close(struct smf__ring *ring);

/* Any thread. Copies one cell in. Returns 1, or 0 when the ring is full. */
int smf__ring_push(struct smf__ring *ring, const void *cell);

/* The one consumer. Copies the oldest cell out. Returns 1, or 0 when there is none yet. */
int smf__ring_pop(struct smf__ring *ring, void *cell_out);

/* The one consumer. Is there something to pop? */
int smf__ring_ready(const struct smf__ring *ring);

#endif
