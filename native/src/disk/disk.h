/* Opening the way to the disk that this machine allows, and what callers of every implementation need. */
#ifndef SMF_DISK_DISK_H
#define SMF_DISK_DISK_H

#include "disk/disk_ops.h"
#include "time/time_clock.h"

#define SMF__DISK_FILES_DEFAULT 1024u
#define SMF__DISK_FILES_MAX 65536u
#define SMF__DISK_IN_FLIGHT_DEFAULT 256u /* requests in the kernel; what is more waits here */
#define SMF__DISK_IN_FLIGHT_MAX 4096u
#define SMF__DISK_THREADS_POSIX                                                                    \
    8u /* enough for the kernel to merge the flushes of durable writes */
#define SMF__DISK_THREADS_URING 2u /* what the ring does not do: opening, renaming, zeroing, … */
#define SMF__DISK_THREADS_MAX 64u

enum smf__disk_backend {
    SMF__DISK_AUTO = 0, /* io_uring, or posix where it is forbidden */
    SMF__DISK_URING,
    SMF__DISK_POSIX
};

/* How a write is made durable. */
enum smf__disk_durable_by {
    SMF__DISK_BY_PROBE = 0, /* whichever a few writes at open show to be cheaper */
    SMF__DISK_BY_DSYNC,     /* RWF_DSYNC */
    SMF__DISK_BY_FLUSH      /* an fdatasync behind the write */
};

/* Zeroes: the defaults. */
struct smf__disk_options {
    uint32_t backend;    /* enum smf__disk_backend */
    uint32_t durable_by; /* enum smf__disk_durable_by */
    const char
        *folder; /* of this file system the alignment and durable_by are probed, with a file that
                             * lives for 20 ms; NULL: no probe, and RWF_DSYNC */
    uint32_t files_max;     /* open at a time */
    uint32_t in_flight_max; /* requests */
    uint32_t threads;
    int plain; /* never O_DIRECT */
    int no_statx; /* do not ask the file system for its alignment, as on kernels before 6.1: try it out */
    struct smf__clock clock; /* of the probe; zeroes: the monotonic one */
};

/* Returns 0 or a status with *error_out filled. Allocates all that it will ever need. Cost: up to 50 ms
 * with a folder, else a few system calls. */
int smf__disk_open(struct smf__disk **disk_out, const struct smf__disk_options *options,
                   struct smf_error *error_out);

/* For who has nothing else to do: runs one operation to its end. Nothing else may be under way. Returns
 * its status. */
int smf__disk_run(struct smf__disk *disk, struct smf__disk_op *op);

/* The name of an operation's kind: "open". */
const char *smf__disk_kind_name(uint32_t kind);

/* Fills *error_out with one line about an operation that failed, with its path (or that one) and what to
 * do. Returns the operation's status. */
int smf__disk_explain(const struct smf__disk_op *op, const char *path, struct smf_error *error_out);

static inline void smf__disk_describe(const struct smf__disk *disk, char *text_out, size_t size)
{
    disk->ops->describe(disk, text_out, size);
}

#endif
