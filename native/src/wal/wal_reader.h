/* What a reader is made of: where it stands (wal_reader.c), and the bytes it has of that file
 * (wal_fetch.c). Private to these two. */
#ifndef SMF_WAL_READER_H
#define SMF_WAL_READER_H

#include "wal/wal_log.h"

/* Bytes of the file: read from the disk, or copied from buffers. */
struct smf__wal_chunk {
    struct smf__wal_io io;            /* its read */
    uint8_t *data;                    /* its own, or its part of the reader's area */
    uint8_t *own;                     /* for reads that are smaller; NULL: none */
    uint64_t capacity, align;         /* of its own */
    uint64_t start;                   /* the position of data[0] */
    uint64_t from, to;                /* positions that count of it; the next chunk begins at to */
    struct smf__wal_segment *segment; /* whose: the reader's, or behind those the next one's */
    int under_way;
};

enum smf__wal_waits {
    SMF__WAL_WAITS_NOT = 0,
    SMF__WAL_WAITS_FOR_DISK, /* the first chunk, or a file that is being opened */
    SMF__WAL_WAITS_FOR_LOG   /* a watermark, or another segment */
};

struct smf__wal_reader {
    struct smf__wal_part *part;
    struct smf__wal_reader *next; /* of the part's */
    uint64_t user;
    uint32_t view;
    uint32_t
        waits; /* enum smf__wal_waits: of next, which returned 0, and who asked was not told since */
    int closed;             /* freed when nothing is under way */
    struct smf_error error; /* kept, once it is one */

    /* Where it stands. */
    uint64_t at;                      /* next offset to hand out */
    struct smf__wal_segment *segment; /* held; NULL: there was none yet */
    struct smf__wal_scan scan;        /* of that segment */
    uint32_t
        last_number; /* of the part's last segment, when it was looked at for cuts of the tail */

    /* The next segment, held, once all of this one is fetched: it is opened and read ahead, too. NULL:
     * none. */
    struct smf__wal_segment *ahead;
    int ahead_failed; /* to open: it is tried again when the reader gets there */

    /* The file's bytes: a ring of chunks, one behind the other. */
    struct smf__wal_chunk *chunks; /* [chunk_count] */
    uint32_t chunk_count, first, used;
    uint32_t depth;      /* so many are used at present, of chunk_count */
    uint32_t awaited;    /* the chunk, of those in use, that the reader can't go on without */
    uint8_t *area;       /* NULL, or SMF__WAL_READ_BYTES for each chunk, side by side */
    uint64_t read_bytes; /* of the next read */
    uint32_t under_way;  /* operations */
    int dropping;        /* the chunks are of elsewhere: empty when nothing is under way */
    struct smf__wal_segment *opening; /* NULL: none */
    struct smf__wal_io open;
    char path[SMF__DISK_PATH_MAX_BYTES];

    uint64_t spanned_to; /* chunks lie side by side up to this position, from the first one on */

    /* A batch that does not lie in chunks that are side by side: bytes of the file from joined_from to joined_to. */
    uint8_t *joined;
    uint64_t joined_capacity, joined_from, joined_to;
    uint64_t slack_bytes; /* zeroes behind joined_to: the most that a header can have */
};

/* --- wal_reader.c --- */

/* Up to which position of a segment may be handed out, and read from the disk. */
uint64_t smf__wal_reader_limit(const struct smf__wal_reader *reader,
                               const struct smf__wal_segment *segment);
uint64_t smf__wal_reader_disk_limit(const struct smf__wal_reader *reader,
                                    const struct smf__wal_segment *segment);
/* The segment that goes on where one is known to end, at that position or before; NULL: none does yet. */
struct smf__wal_segment *smf__wal_reader_behind(const struct smf__wal_segment *segment,
                                                uint64_t position);
/* Ends the hold on a segment. */
void smf__wal_reader_release(struct smf__wal_reader *reader, struct smf__wal_segment *segment);
/* An operation has ended, one that the reader cannot go on without or another. May free the reader. */
void smf__wal_reader_ended(struct smf__wal_reader *reader, int is_awaited);
/* Keeps an error. Returns its status. */
__attribute__((format(printf, 3, 4))) int smf__wal_reader_fail(struct smf__wal_reader *reader,
                                                               int status, const char *format, ...);

/* --- wal_fetch.c --- */

/* Begins what can be begun: reads, or opening the file. Returns 0, SMF_ENOMEM, or the reader's error. */
int smf__wal_fetch_ahead(struct smf__wal_reader *reader);

/* The bytes that are there from scan.end on. Returns 1, 0 when there are none yet, or a status. */
int smf__wal_fetch_window(struct smf__wal_reader *reader, struct smf__wal_window *window_out);

/* Puts so many bytes from scan.end on together: by a copy, where they don't lie side by side. Nothing may be
 * lent. Returns 1 when a window has them, or
 * all up to the limit, and zeroes behind: padding there that looks like the beginning of a long header is
 * told from one that way; 0 when they are not there yet; or a status. */
int smf__wal_fetch_join(struct smf__wal_reader *reader, uint64_t need_bytes);

/* Gives up chunks that were read over. */
void smf__wal_fetch_pass(struct smf__wal_reader *reader);

/* Gives up all; some, perhaps, later: smf__wal_fetch_ahead begins nothing before that. */
void smf__wal_fetch_drop(struct smf__wal_reader *reader);

/* Goes on in the next segment, which all of the present one was read before. Keeps what was read ahead of it,
 * and returns 1 with a hold on it moved to the reader's; 0 when nothing was, and nothing is done. */
int smf__wal_fetch_cross(struct smf__wal_reader *reader);

/* The end was reached: memory for small reads is enough. */
void smf__wal_fetch_shrink(struct smf__wal_reader *reader);

/* Closes a file that was opened for reading, when nobody reads it. */
void smf__wal_fetch_close(struct smf__wal_segment *segment);

void smf__wal_fetch_free(struct smf__wal_reader *reader);

#endif
