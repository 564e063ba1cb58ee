/* The next file of a partition while it is made, and what becomes of one that is dropped: wal_make.c and
 * wal_drop.c, for wal_segment.c. */
#ifndef SMF_WAL_MAKE_H
#define SMF_WAL_MAKE_H

#include "wal/wal_log.h"

/* Where a segment begins. is_cut: behind a batch that is not the last one; else only behind is looked at. */
struct smf__wal_cut {
    struct smf__wal_segment *behind;
    uint64_t end;    /* position where the batch ends */
    uint32_t crc;    /* its header_crc */
    uint64_t offset; /* of the next record */
    int is_cut;
};

/* Starts to make a file ready: a spare, or a new one with some room. Returns 0 or SMF_ENOMEM. What goes
 * wrong later comes with smf__wal_room_failed, and part->making is NULL again. */
int smf__wal_make(struct smf__wal_part *part);

/* It is to become part of the log. Nothing is appended until it is: then part->last changes. Nothing
 * happens when it was told before. */
void smf__wal_make_begin(struct smf__wal_part *part, const struct smf__wal_cut *cut);

int smf__wal_make_begun(const struct smf__wal_part *part);

/* It failed, and what there is of it is being removed: it does not begin any more. */
int smf__wal_make_failed(const struct smf__wal_part *part);

/* How large a topic's segments get. */
uint64_t smf__wal_segment_bytes(const struct smf__wal_part *part);

/* How much room is made next. */
uint64_t smf__wal_room_step(const struct smf__wal_part *part);

/* There was no room, and why. ahead: nobody needed it yet. */
void smf__wal_room_failed(struct smf__wal_part *part, int status, int ahead);

static inline int smf__wal_no_space(int status)
{
    return status == SMF_ENOSPACE || status == SMF_EQUOTA;
}

/* "<folder>/<number>.new" */
void smf__wal_new_path(const struct smf__wal_part *part, uint32_t number, char *path_out);

#endif
