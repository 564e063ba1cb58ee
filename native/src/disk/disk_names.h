/* The names of a simulated disk, those that are seen and those that are durable. Part of disk_world.c. */
#ifndef SMF_DISK_DISK_NAMES_H
#define SMF_DISK_DISK_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "disk/disk_inode.h"

#define SMF__DISK_NAME_SIZE_BYTES 256u /* with its end */

struct smf__disk_name {
    struct smf__disk_inode *folder, *child;
    char name[SMF__DISK_NAME_SIZE_BYTES];
};

struct smf__disk_names {
    struct smf__disk_name *list;
    uint32_t count, capacity;
};

/* A change of names that is not durable. */
struct smf__disk_change {
    struct smf__disk_name gone;  /* child NULL: none */
    struct smf__disk_name given; /* likewise */
    int gone_synced, given_synced;
    uint64_t ended; /* at this ordinal */
};

void smf__disk_names_drop(struct smf__disk_names *names);

/* The child of that name, or NULL. */
struct smf__disk_inode *smf__disk_names_find(const struct smf__disk_names *names,
                                             const struct smf__disk_inode *folder,
                                             const char *name);

/* Gives a name, in the place of another file's. */
void smf__disk_names_add(struct smf__disk_names *names, const struct smf__disk_name *name);

/* Takes it away, if it is that child's. */
void smf__disk_names_remove(struct smf__disk_names *names, const struct smf__disk_name *name);

int smf__disk_names_empty(const struct smf__disk_names *names,
                          const struct smf__disk_inode *folder);

void smf__disk_names_apply(struct smf__disk_names *names, const struct smf__disk_change *change);

/* Walks a path from the root. Fills where with its folder and name, and its child if there is one. A path
 * of no names is the root itself. Returns 0 or -errno (of the folders on the way). */
int smf__disk_names_walk(const struct smf__disk_names *names, struct smf__disk_inode *root,
                         const char *path, struct smf__disk_name *where);

#endif
