/* Does to a world (disk_world.h) what a trace (disk_record.h) says was done to a disk, entry by entry: between
 * two of them smf__disk_world_cut gives the disks that a power cut could have left. */
#ifndef SMF_DISK_DISK_REPLAY_H
#define SMF_DISK_DISK_REPLAY_H

#include "disk/disk_record.h"
#include "disk/disk_world.h"

struct smf__disk_replay;

/* The world outlives the replay. Returns 0 or a status with *error_out filled. */
int smf__disk_replay_open(struct smf__disk_replay **replay_out, const char *trace_path,
                          struct smf__disk_world *world, struct smf_error *error_out);
void smf__disk_replay_close(struct smf__disk_replay *replay);

/* One entry. Returns 1; 0 at the end of the trace, also where it breaks off (the program was killed); or
 * SMF_EINVAL with *error_out filled: it is no trace, or not one that began with this world. */
int smf__disk_replay_next(struct smf__disk_replay *replay, struct smf_error *error_out);

/* What the last entry was. */
const struct smf__disk_trace_entry *smf__disk_replay_entry(const struct smf__disk_replay *replay);

#endif
