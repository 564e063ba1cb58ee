/* Copies a folder from one disk to another, through the wall: a simulated disk into a real folder, so that
 * a program can be started on it, or the other way round. For tests.
 *
 * Threads: the one that drives both disks; nothing else is under way on them. */
#ifndef SMF_DISK_DISK_COPY_H
#define SMF_DISK_DISK_COPY_H

#include "disk/disk_ops.h"

#define SMF__DISK_COPY_NAMES_BYTES (64u << 10) /* of one folder */
#define SMF__DISK_COPY_DEPTH_MAX 16

/* from and to are folders that exist. Everything is durable then; a size that is not whole blocks is
 * rounded up. Returns 0 or a status with *error_out filled. */
int smf__disk_copy_folder(struct smf__disk *from, const char *from_path, struct smf__disk *to,
                          const char *to_path, struct smf_error *error_out);

#endif
