/* Writes down everything that happens to a disk, with contents: so that a power cut at any moment can be
 * tried out afterwards (disk_replay.h), without the kernel's help. For tests.
 *
 * A trace is a file of entries in the order in which the driver saw them: operations when they were
 * queued, and when they were polled. Its bytes are this machine's, for this build. */
#ifndef SMF_DISK_DISK_RECORD_H
#define SMF_DISK_DISK_RECORD_H

#include "disk/disk_ops.h"

#define SMF__DISK_TRACE_MAGIC 0x534d4644u

enum smf__disk_trace_what { SMF__DISK_TRACE_QUEUED = 1, SMF__DISK_TRACE_DONE };

/* Followed by path and path_to, each with its end, and the bytes of a write. */
struct smf__disk_trace_entry {
    uint32_t magic, what;
    uint32_t kind, flags;
    uint64_t ordinal; /* of the operation */
    uint64_t file;    /* which; of an OPEN when it is done */
    uint64_t offset, size;
    int32_t status, os_errno;
    uint32_t path_size, path_to_size; /* with their ends; 0: none */
    uint64_t data_size;
};

/* root: of paths under this folder the rest is written down; NULL: paths stay as they are. The folder is
 * empty at this time, or what was in it before is brought into the replay's world by its caller. Returns 0
 * or a status with *error_out filled; then inner is still the caller's. Closing it closes inner. */
int smf__disk_record_open(struct smf__disk **disk_out, struct smf__disk *inner,
                          const char *trace_path, const char *root, struct smf_error *error_out);

#endif
