/* A slower disk in front of another one: what completes is held back. For tests and benchmarks; the disk
 * behind it needs a descriptor (not the simulated one). */
#ifndef SMF_DISK_DISK_SLOW_H
#define SMF_DISK_DISK_SLOW_H

#include "disk/disk_ops.h"

struct smf__disk_slow_options {
    uint32_t flush_delay_us; /* of FLUSH and of durable writes; delays run side by side */
    uint32_t write_delay_us; /* of other writes */
    uint32_t read_delay_us;
};

/* Returns 0 or a status with *error_out filled; then inner is still the caller's. Closing it closes
 * inner. */
int smf__disk_slow_open(struct smf__disk **disk_out, struct smf__disk *inner,
                        const struct smf__disk_slow_options *options, struct smf_error *error_out);

#endif
