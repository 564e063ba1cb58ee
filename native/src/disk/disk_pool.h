/* A few threads that do operations one after the other with blocking system calls.
 *
 * Threads: everything but the work itself belongs to the driver. */
#ifndef SMF_DISK_DISK_POOL_H
#define SMF_DISK_DISK_POOL_H

#include "disk/disk_leaf.h"

struct smf__disk_pool;

/* Returns 0 or a status with *error_out filled. */
int smf__disk_pool_open(struct smf__disk_pool **pool_out, const struct smf__disk_leaf *leaf,
                        uint32_t threads, struct smf_error *error_out);

/* Nothing may be under way. */
void smf__disk_pool_close(struct smf__disk_pool *pool);

/* Hands over a list of admitted operations; it is empty afterwards. */
void smf__disk_pool_push(struct smf__disk_pool *pool, struct smf__disk_list *list);

/* Finishes what the threads have done. */
void smf__disk_pool_reap(struct smf__disk_pool *pool, struct smf__disk_leaf *leaf);

/* Readable while there is something to reap. */
int smf__disk_pool_fd(const struct smf__disk_pool *pool);

#endif
