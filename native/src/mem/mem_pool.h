/* One core's memory: buffers of power-of-two sizes out of one region with a fixed budget.
 *
 * A buddy allocator over one reserved mapping: the smallest block is 4 KiB, every block is aligned
 * to its own size (so to 4 KiB at least: O_DIRECT is content), neighbours merge when both are free,
 * and nothing is ever asked of malloc after open. Exhaustion is a NULL, which callers turn into
 * back-pressure. Pages are touched when a block is written to, not before, and stay with the process
 * afterwards; memory that was used before is lent again before untouched memory is.
 *
 * Giving a buffer back once too often, or to another pool, aborts in every build. With
 * SMF_INVARIANTS the first 4 KiB of a block that is given back are filled with 0xdb, and a block that
 * was written to after that aborts when it is lent again; with AddressSanitizer every byte that is
 * not lent is poisoned.
 *
 * Threads: owner only (the core's driver), but for smf__pool_stats. */
#ifndef SMF_MEM_POOL_H
#define SMF_MEM_POOL_H

#include <stddef.h>
#include <stdint.h>
#ifdef SMF_INVARIANTS
#include <stdlib.h>
#endif

#define SMF__POOL_BLOCK_MIN_BYTES 4096u
#define SMF__POOL_BUDGET_MIN_BYTES (8u << 20)
#define SMF__POOL_BUDGET_MAX_BYTES (64ull << 30)

/* A block that is lent. Descriptors live beside the region, one per smallest block. */
struct smf_buffer {
    uint8_t *data;     /* first byte; aligned to capacity */
    uint32_t capacity; /* bytes; a power of two; 0 while free */
    uint32_t refs;     /* holders; the block returns to the pool at 0 */
};

struct smf__pool;

struct smf__pool_stats {
    uint64_t budget_bytes;
    uint64_t used_bytes;
    uint64_t used_bytes_max;
    uint64_t refused; /* requests answered NULL */
    uint64_t returns; /* blocks given back */
};

/* Reserves the region (address space; pages come when touched). budget_bytes is rounded down to a
 * multiple of the largest block: the largest power of two that fits eight times, at most 2 GiB.
 * Returns 0, SMF_EINVAL (budget out of range) or SMF_ENOMEM (no address space). Cost: a few system
 * calls, whatever the budget. */
int smf__pool_open(struct smf__pool **pool_out, uint64_t budget_bytes);

/* Unmaps everything. Buffers that are still lent become invalid; with SMF_INVARIANTS their number is
 * asserted to be 0. */
void smf__pool_close(struct smf__pool *pool);

/* Lends a block of at least size_bytes (0 counts as 1) with one reference, or NULL. Its contents are
 * whatever the last holder left. Amortised O(1) for sizes that are used over and over (a freed block
 * is kept unmerged for a while), O(log n) otherwise. Memory that is kept unmerged never makes a
 * request fail. */
struct smf_buffer *smf__pool_get(struct smf__pool *pool, uint64_t size_bytes);

/* One more holder, of a buffer that is lent. */
static inline void smf__buffer_ref(struct smf_buffer *buffer)
{
#ifdef SMF_INVARIANTS
    if (buffer->refs == 0)
        abort();
#endif
    buffer->refs++;
}

/* One holder less; the last one gives the block back. Aborts when there is none. */
void smf__buffer_unref(struct smf__pool *pool, struct smf_buffer *buffer);

/* How large the block is that a request of this size gets. */
uint64_t smf__pool_block_bytes(uint64_t size_bytes);

/* The largest piece that could ever be had, were nothing lent. */
uint64_t smf__pool_piece_size_max(const struct smf__pool *pool);

/* Could a block of this size ever be had, were nothing lent? */
int smf__pool_could_fit(const struct smf__pool *pool, uint64_t size_bytes);

/* Counts a request that was refused although there was memory: it is kept for others. */
void smf__pool_refuse(struct smf__pool *pool);

/* Any thread. */
void smf__pool_stats(const struct smf__pool *pool, struct smf__pool_stats *stats_out);

#endif
