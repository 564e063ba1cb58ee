/* A file of a simulated disk: what reads see, what is durable, and what lies between the two. Part of
 * disk_world.c. */
#ifndef SMF_DISK_DISK_INODE_H
#define SMF_DISK_DISK_INODE_H

#include "disk/disk_image.h"
#include "time/time_random.h"

#define SMF__DISK_SECTOR_BYTES 512u /* what is torn is torn here */

enum smf__disk_record_kind { SMF__DISK_RECORD_DATA = 1, SMF__DISK_RECORD_SIZE };

/* Something that is not durable. In the order of their starts. */
struct smf__disk_record {
    struct smf__disk_record *next;
    uint32_t kind;
    uint64_t offset, size; /* SIZE: of the file, from then on */
    uint8_t *bytes;        /* NULL: zeroes */
    uint8_t *alive;        /* per sector: nothing later took its place */
    uint64_t ended;        /* at this ordinal, never 0; 0: it is under way */
    int acknowledges;      /* a write, not a ZERO */
    int abandoned;         /* it, or a flush of it, failed: no flush covers it */
};

struct smf__disk_inode {
    struct smf__disk_inode *next; /* of the world's, newest first */
    struct smf__disk_inode *copy; /* while a world is cut */
    uint64_t id;
    int is_folder, locked;
    uint32_t opens, links;
    uint64_t live_size, durable_size;
    struct smf__disk_image live, durable;
    struct smf__disk_image before; /* what durable sectors had held before */
    struct smf__disk_record *first, *last;
    uint8_t *acked; /* per sector: it was acknowledged as durable */
    uint64_t acked_sectors;
};

void smf__disk_inode_drop(struct smf__disk_inode *inode);

/* Starts a change of bytes (NULL: zeroes), which are copied. */
struct smf__disk_record *smf__disk_inode_write(struct smf__disk_inode *inode, uint64_t offset,
                                               uint64_t size, const uint8_t *bytes);
/* The file has another size: seen at once, durable with the next flush. */
void smf__disk_inode_resize(struct smf__disk_inode *inode, uint64_t size, uint64_t ordinal);

/* The change is seen from now on. */
void smf__disk_inode_seen(struct smf__disk_inode *inode, struct smf__disk_record *record,
                          uint64_t ordinal);

/* What ended before this ordinal is durable, and acknowledged. */
void smf__disk_inode_flush(struct smf__disk_inode *inode, uint64_t ordinal);
/* The flush failed: nobody knows. */
void smf__disk_inode_abandon(struct smf__disk_inode *inode, uint64_t ordinal);
/* This write alone is durable, with the sizes before it. */
void smf__disk_inode_settle(struct smf__disk_inode *inode, struct smf__disk_record *record);

/* A record reaches the disk: all of it, or the sectors that a coin says (torn). */
void smf__disk_inode_apply(struct smf__disk_inode *inode, const struct smf__disk_record *record,
                           struct smf__random *torn);

/* Was any of this acknowledged as durable? */
int smf__disk_inode_acked(const struct smf__disk_inode *inode, uint64_t offset, uint64_t size);
void smf__disk_inode_recycle(struct smf__disk_inode *inode);

/* Reads: what is under way is seen or not, sector by sector. */
void smf__disk_inode_read(const struct smf__disk_inode *inode, uint64_t offset, uint64_t size,
                          uint8_t *bytes_out, struct smf__random *random);

#endif
