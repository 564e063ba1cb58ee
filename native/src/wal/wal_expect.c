/* How long the device takes for a write or a flush, learned from those that have ended, so that whoever drives
 * the core can sleep for most of it and look when it is about to end. */
#include "wal/wal_log.h"

#define SIZES 11u          /* by powers of two, from 4 KiB on */
#define SIZE_FIRST_BITS 12 /* 4 KiB */
#define WEIGHT 8u          /* of what is known, against 1 for what has ended */
#define OUTLIER 4u         /* so many times what is known is a hiccup, and counts as twice that */

_Static_assert(3 * SIZES == SMF__WAL_TAKES, "flushes, writes, durable writes");

/* Where this is known in takes_ns. SMF__WAL_TAKES: it is nothing that anybody waits for. */
static uint32_t place_of(const struct smf__disk_op *op)
{
    uint32_t size = 0;
    if (op->kind == SMF__DISK_FLUSH)
        return 0;
    if (op->kind != SMF__DISK_WRITE)
        return SMF__WAL_TAKES;
    while (size < SIZES - 1 && op->size >> (SIZE_FIRST_BITS + size) > 1)
        size++;
    return (op->flags & SMF__DISK_DURABLE ? 2 * SIZES : SIZES) + size;
}

void smf__wal_expect(struct smf__wal *wal, struct smf__wal_io *io)
{
    uint32_t place = place_of(&io->op);
    io->queued_ns = 0;
    if (place == SMF__WAL_TAKES)
        return;
    io->queued_ns = smf__clock_now_ns(&wal->options.clock);
    if (wal->takes_ns[place] == 0)
        return;
    uint64_t expected_ns = io->queued_ns + wal->takes_ns[place];
    if (wal->expected_ns <= io->queued_ns || expected_ns < wal->expected_ns)
        wal->expected_ns = expected_ns;
}

void smf__wal_expected(struct smf__wal *wal, const struct smf__wal_io *io)
{
    if (wal->under_way == 0)
        wal->expected_ns = 0;
    if (io->queued_ns == 0 || io->queued_ns >= wal->now_ns || io->op.status != SMF_OK)
        return;
    uint64_t *takes_ns = &wal->takes_ns[place_of(&io->op)], took_ns = wal->now_ns - io->queued_ns;
    if (*takes_ns == 0)
        *takes_ns = took_ns;
    if (took_ns > OUTLIER * *takes_ns)
        took_ns = 2 * *takes_ns;
    *takes_ns = (*takes_ns * (WEIGHT - 1) + took_ns) / WEIGHT;
}

uint64_t smf__wal_expects(const struct smf__wal *wal)
{
    return wal->expected_ns;
}
