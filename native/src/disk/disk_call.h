/* Operations as blocking system calls, for the threads of a pool. */
#ifndef SMF_DISK_DISK_CALL_H
#define SMF_DISK_DISK_CALL_H

#include "disk/disk_leaf.h"

#define SMF__DISK_CALL_AGAIN INT64_MIN /* one step was done: call again, after others */

/* Does an operation that was admitted. Returns bytes, -errno or SMF__DISK_CALL_AGAIN. Any thread, one at
 * a time per operation. */
int64_t smf__disk_call(const struct smf__disk_leaf *leaf, struct smf__disk_op *op);

#endif
