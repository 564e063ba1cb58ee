/* A disk that exists only in this process, for tests: several of them (one per core) may work on one world
 * (disk_world.h), which is what remains. Operations complete in an order that is drawn from the world's
 * seed; the same seed, and the same calls in the same order, give the same results.
 *
 * Asserts, beyond what every disk does: memory of a write stays as it is while the write is under way; a
 * block that was acknowledged as durable (by a durable write, or a flush that covers its write) is not
 * written again before RECYCLE.
 *
 * Threads: one for the world and everything on it. */
#ifndef SMF_DISK_DISK_SIM_H
#define SMF_DISK_DISK_SIM_H

#include "disk/disk.h"
#include "disk/disk_world.h"

struct smf__disk_sim_options {
    uint32_t offset_align_bytes; /* 0: 512 */
    uint32_t memory_align_bytes; /* 0: offset_align_bytes */
    uint32_t files_max;          /* 0: 64 */
    uint32_t
        slow_percent; /* how likely an operation that could complete does not, per poll; 0: 50 */
};

/* Returns 0 or a status. The world outlives the disk. */
int smf__disk_sim_open(struct smf__disk **disk_out, struct smf__disk_world *world,
                       const struct smf__disk_sim_options *options, struct smf_error *error_out);

#endif
