/* Which batches of a file belong together, and what it means when one does not verify
 * (docs/wal-format.md, "Reading a file" and "After a crash"): decisions over bytes that the caller has
 * read, no I/O. */
#ifndef SMF_WAL_SCAN_H
#define SMF_WAL_SCAN_H

#include "wal/wal_format.h"

/* So many bytes of a file, from a position on that is a multiple of 8. */
struct smf__wal_window {
    const uint8_t *bytes;
    uint64_t position, size;
};

/* Where reading of a file has come to. */
struct smf__wal_scan {
    const struct smf__wal_file *file;
    uint64_t end;         /* of the last batch that belongs to it, before any padding */
    uint64_t next_offset; /* of the first record behind that */
    uint32_t prev_crc;    /* header_crc of that batch */
    uint64_t need_bytes;  /* after TRUNCATED: from end on, for another try */
};

/* Starts behind block 0. To start elsewhere, fill end, next_offset and prev_crc from a checkpoint. */
void smf__wal_scan_begin(struct smf__wal_scan *scan, const struct smf__wal_file *file);

/* Takes the next batch: verified, and linked to the one before. It begins where that one ends, or at the
 * next block; the window has to begin at scan->end or before. Returns
 *   GOOD            with the batch and its position: scan->end is behind it;
 *   UNSUPPORTED     likewise: whole, but this version can't read what is in it;
 *   TRUNCATED       the window ends before that can be said: needs need_bytes from scan->end on. Where
 *                   the file ends, too, that is the end of the log in this file;
 *   DAMAGED_HEADER, DAMAGED_BODY, OUT_OF_RANGE
 *                   no batch here. Nothing has changed; smf__wal_later says what that means. */
int smf__wal_scan_next(struct smf__wal_scan *scan, const struct smf__wal_window *window,
                       struct smf__wal_batch *batch_out, uint64_t *position_out);

/* What stands behind the end of a scan that stopped: batches that do not count, but say what was known
 * to be durable when they were written. Zeroed before the first window. */
struct smf__wal_later {
    uint64_t position;       /* where the next window has to begin, or before */
    uint64_t batches;        /* whose headers verify */
    uint64_t last_end;       /* of the last of them */
    uint64_t durable_before; /* the most that one of them says */
};

/* Looks through a window; windows follow each other until the end of the file. Bodies are not looked
 * at: a header vouches for itself. */
void smf__wal_later_add(struct smf__wal_later *later, const struct smf__wal_scan *scan,
                        const struct smf__wal_window *window);

/* Does what was known durable (by a later batch of this file or of one behind it, or by a checkpoint)
 * reach beyond the end of a scan? Then what is missing there is damage, and was acknowledged, perhaps.
 * Else it is a torn tail, and nobody was told that it is safe. */
static inline int smf__wal_is_damage(const struct smf__wal_scan *scan, uint64_t durable_before)
{
    return durable_before > smf__wal_place(scan->file->number, scan->end);
}

#endif
