/* The log of one core, or its share of one: a directory of topics, their partitions, what is appended to
 * them and read from them. This header has the structures that the files of this room share:
 *
 *   wal_log.c       opening, closing, a turn, topics
 *   wal_recover.c   what a directory holds: META, segments, where each partition ends
 *   wal_meta.c      changes of META, checkpoints, its next version
 *   wal_append.c    appends: into buffers, watermarks, acknowledgements, fencing
 *   wal_buffer.c    write-behind buffers: memory, writes under way, what of them can still be read
 *   wal_segment.c   files of a partition: made ready, begun, rolled over, recycled, dropped
 *   wal_truncate.c  cutting a partition's head and tail
 *   wal_index.c     offset and time to position, sparse, in memory
 *   wal_reader.c    reading forward, from the disk or from buffers
 *   wal_fetch.c     a reader's bytes: what is read ahead, and batches put together
 *   wal_time.c      the offset for a time
 *   wal_expect.c    when what is under way will end
 *   wal_follow.c    what a process that writes adds to a log that is read beside it
 *   wal_office.c    META of a log that several cores serve: one struct smf__wal each
 *
 * Everything is driven by smf__wal_turn, which never blocks. What says "blocks" runs its operations to
 * their end before it returns; turns of others go on meanwhile (smf__wal_run).
 *
 * Threads: one at a time, the core's driver. Memory: buffers and tables out of memory_bytes, allocated
 * when the log is opened; topics, partitions, segments and their indexes come and go with malloc. */
#ifndef SMF_WAL_LOG_H
#define SMF_WAL_LOG_H

#include "core/core.h"
#include "disk/disk.h"
#include "time/time_random.h"
#include "wal/wal_format.h"
#include "wal/wal_item.h"
#include "wal/wal_record.h"
#include "wal/wal_scan.h"

#define SMF__WAL_BUFFER_BYTES (128u << 10) /* of one write-behind buffer */
#define SMF__WAL_MEMORY_DEFAULT_BYTES (64ull << 20)
#define SMF__WAL_MEMORY_MIN_BYTES (4ull << 20)
#define SMF__WAL_SEGMENT_DEFAULT_BYTES (256ull << 20)
#define SMF__WAL_SEGMENT_MIN_BYTES (64ull << 10)
#define SMF__WAL_LINGER_DEFAULT_US 10000u /* how long buffered bytes wait for their write */
#define SMF__WAL_APPENDS_MAX 65536u       /* of a core, not acknowledged yet */
#define SMF__WAL_WRITES_MAX 16u           /* of a partition, under way */
#define SMF__WAL_WRITE_BUFFERS 16u /* that are side by side in memory and in the file: one write */
#define SMF__WAL_IDLE_NS 10000000ull             /* after which a stamp follows a durable append */
#define SMF__WAL_STAMP_WAIT_MAX_NS 5000000000ull /* from one try without room for it to the next */
#define SMF__WAL_CHECKPOINT_NS 1000000000ull
#define SMF__WAL_CHECKPOINT_BYTES (64ull << 20)
#define SMF__WAL_SPARES_MAX 2u /* files of a partition that wait to be used again */
#define SMF__WAL_INDEX_STEP_BYTES (64u << 10)
#define SMF__WAL_RESERVE_BUFFERS 8u    /* that batches of records leave to META and stamps */
#define SMF__WAL_READ_BYTES (1u << 20) /* of one read of a reader, at most */
#define SMF__WAL_READ_FIRST_BYTES (64u << 10)
#define SMF__WAL_AHEAD_BYTES (5u << 20) /* with the read that is handed out three huge pages */
#define SMF__WAL_AHEAD_MAX_BYTES (64u << 20)
#define SMF__WAL_TAKES 33u                /* see wal_expect.c */
#define SMF__WAL_FOLLOW_BYTES (64u << 20) /* that one look at a log of another process reads */
#define SMF__WAL_RETRY_NS                                                                          \
    1000000ull /* from a refusal to the next try where no operation's end can be waited for */

struct smf__wal;
struct smf__wal_office;
struct smf__wal_part;
struct smf__wal_segment;
struct smf__wal_reader;

/* What the fate of an append is. In this order. */
enum smf__wal_ack {
    SMF__WAL_BUFFERED = 0, /* it is in a buffer */
    SMF__WAL_WRITTEN = 1,  /* the device took it */
    SMF__WAL_DURABLE = 2,  /* a flush covers it */
    SMF__WAL_ACKS
};

/* An operation of a disk and who is told of its end. op.context is the io itself. */
struct smf__wal_io {
    struct smf__disk_op op;
    void (*done)(struct smf__wal_io *io); /* in a turn; may queue others */
    void *owner;
    uint64_t queued_ns; /* wal_expect.c: 0, or when it was queued */
    int quiet;          /* no append can go on because of its end alone */
};

/* How far something goes: the place where a batch ends, and what the next one links to. A checkpoint is
 * made from one, so the crc moves along with the rest. */
struct smf__wal_mark {
    uint64_t place;
    uint64_t offset; /* of the next record */
    uint32_t crc;    /* header_crc of that batch; 0: there is none */
};

/* One write-behind buffer. Its bytes are for consecutive positions of one file. */
struct smf__wal_buffer {
    struct smf__wal_io io; /* its write */
    uint8_t *data;         /* SMF__WAL_BUFFER_BYTES, aligned to what the disk wants */
    struct smf__wal_part *part;
    struct smf__wal_segment *segment; /* NULL: nothing in it can be read any more */
    uint64_t position;                /* in the file, of data[0]; a multiple of its block */
    uint32_t used;                    /* bytes that are filled */
    uint32_t state;                   /* enum smf__wal_buffer_state */
    int durable;                      /* its write is, or has been, a durable one */
    struct smf__wal_mark end;         /* of the last batch that ends in it; place 0: none does */
    struct smf__wal_buffer *next; /* in the partition's list, by position; or of the free ones */
    struct smf__wal_buffer *previous; /* of the free ones */
    struct smf__wal_buffer *through;  /* the last one that io writes */
};

enum smf__wal_buffer_state {
    SMF__WAL_BUFFER_FREE = 0, /* old bytes in it can be read until it is taken */
    SMF__WAL_BUFFER_FILLS,    /* the partition's last one */
    SMF__WAL_BUFFER_WAITS,    /* to be written: for room in the file, or for writes before it */
    SMF__WAL_BUFFER_UNDER_WAY,
    SMF__WAL_BUFFER_WRITTEN /* waits for those before it */
};

/* Where a batch begins, every SMF__WAL_INDEX_STEP_BYTES or so. */
struct smf__wal_waypoint {
    uint64_t offset;
    uint64_t position;
    int64_t
        max_us; /* the latest time of all records of this segment before it; INT64_MIN: of none */
    uint32_t prev_crc; /* what the batch there links to, so that reading can begin with it */
};

/* One file of a partition. */
struct smf__wal_segment {
    struct smf__wal_part *part;
    struct smf__wal_file header;
    struct smf__disk_file *file; /* NULL: not open */
    struct smf__wal_segment *next, *previous;
    uint64_t size_bytes; /* of the file */
    uint64_t end;        /* position behind the last batch that counts */
    uint64_t end_offset; /* first offset that is not in it any more: the next one's first */
    uint32_t holds;      /* readers, and operations under way: it is not closed meanwhile */
    int gone;            /* not part of the log any more: dropped when nobody holds it */
    int sealed;          /* nothing is written to it any more: the next append begins another one */

    /* What is known of what is in it: everything before scan.end. Appends keep it up to date in the last
     * one; for others readers complete it. After an open the last one may be known from a checkpoint on
     * only: batches between block 0 and known_from are part of the log, but in no waypoint and not in
     * max_us. Who needs these walks over them. */
    struct smf__wal_scan scan;
    uint64_t known_from; /* a position; header.block_bytes: everything before scan.end is known */
    int64_t max_us;      /* of the records that are known; INT64_MIN: of none */
    struct smf__wal_waypoint *waypoints;
    uint32_t waypoint_count, waypoint_capacity;

    uint64_t capacity_bytes; /* it never gets larger; 0: as the topic says */
    uint64_t state_end; /* behind the batch that this process began it with; 0: another one did */
    uint32_t state_crc; /* what the next one links to */
    struct smf__wal_io close;
};

/* A file that is kept to be used again, "<number>.new". */
struct smf__wal_spare {
    uint32_t number;
    uint64_t id; /* that its blocks were written under */
};

/* One append that is not acknowledged yet. */
struct smf__wal_pending {
    uint64_t end_place;
    uint64_t first_offset;
    uint64_t user;
    struct smf__wal_pending *next;
};

struct smf__wal_pending_list {
    struct smf__wal_pending *first, *last;
};

/* A partition. META is one, too, without a topic: its records are control batches. */
struct smf__wal_part {
    struct smf__wal *wal;
    struct smf__wal_topic_info *topic; /* NULL: META */
    uint32_t number;                   /* of the topic's partitions */
    uint32_t next_number;              /* of a segment: never used before */
    const char *folder;                /* behind the structure; META's is the log's */

    struct smf__wal_segment *first, *last; /* by number; last takes appends */
    uint64_t head;                         /* first offset that can be read */

    /* Where the next batch goes: offset and link. Its position is that of the last segment. */
    uint64_t next_offset;
    uint32_t prev_crc;
    struct smf__wal_mark buffered, written, durable; /* never move back */

    struct smf__wal_buffer *buffers, *buffers_last; /* not written, or not in order, by position */
    struct smf__wal_buffer *fills; /* the last of them, when it takes more; or NULL */
    uint32_t writes;               /* under way */
    uint32_t plain; /* of what is written and not durable: writes that a flush has to cover */
    struct smf__wal_io flush;          /* one at a time */
    struct smf__wal_mark flush_covers; /* what it makes durable; place 0: none under way */
    struct smf__wal_io zero;           /* room ahead of need, one at a time */
    int zeroing;
    uint64_t zero_step_bytes;                            /* of the next one */
    struct smf__wal_pending_list pending[SMF__WAL_ACKS]; /* [BUFFERED] stays empty */
    uint64_t linger_ns;        /* when buffered bytes are to be written; 0: there are none */
    uint64_t stamp_ns;         /* when to write a stamp; 0: not */
    uint64_t checkpoint_place; /* of the last checkpoint in META */
    uint64_t checkpoint_ns;
    int clean; /* META says that it was closed cleanly: to be revoked before an append */
    struct smf__wal_checkpoint checkpoint; /* the last one that went to META; end 0: none */

    /* The next file: made ready in the background, begun when the last one is full. NULL: none yet. */
    struct smf__wal_making *making;
    struct smf__disk_file *spares[SMF__WAL_SPARES_MAX]; /* recycled, in *.new, not open in others */
    uint32_t spare_count;

    /* Not 0: fenced. Nothing can be appended any more; see status_text. */
    int status;
    char status_text[SMF_ERROR_TEXT_SIZE_BYTES];
    /* Damage: what is from here on can't be read. place 0: none is known. */
    struct smf__wal_mark damage;
    uint64_t cut_bytes; /* of a torn tail, when it was opened */

    struct smf__wal_reader *readers;
    struct smf__wal_follow *follow;   /* wal_follow.c; NULL when nobody reads */
    struct smf__wal_part *next_dirty; /* of those that a turn has to look at */

    uint64_t appended_batches, appended_records, appended_bytes, written_bytes; /* smf__count */

    /* wal_append.c: places that somebody waits for, or that have waited long enough; what the last header
     * said is durable; where the last batch that was no stamp ends. */
    uint64_t wanted_written, wanted_durable, said_durable, stamped_for;
    uint64_t
        lingered_place; /* what has lingered ends there, and waits for a flush; 0: nothing does */
    uint64_t checkpoint_bytes; /* appended_bytes at the last checkpoint */
    uint64_t revoke_place;     /* of META: durable there, the clean checkpoint is revoked; or 0 */
    struct smf__wal_buffer *next_write;     /* the first one that is not being written */
    struct smf__wal_segment *plain_segment; /* where the plain writes are: all in one file */
    int flushing;
    uint32_t flush_plain; /* so many of them are covered by the flush that is under way */
    int held;             /* appends have to come again later: the tail is being cut */

    /* wal_segment.c: why there was no room, said once, and when that was; what an append needs. */
    int room_status;
    int room_ahead; /* it was wanted ahead of need: an append may still find what it needs */
    uint64_t room_ns, room_need;
    struct smf__wal_spare spare[SMF__WAL_SPARES_MAX]; /* of spares[] */
    uint32_t disposing;                               /* dropped segments, under way */
    uint32_t closing;                                 /* files, under way */

    /* wal_turn.c: when it wants to be looked at again, in the list of those that do. */
    uint64_t due_ns;
    struct smf__wal_part *next_timed;
    int timed, dirty; /* it is in that list; in that of next_dirty */

    uint64_t stamp_wait_ns; /* from one try to write a stamp to the next */
    int is_waking; /* wal_segment.c: the last file, closed cleanly by an earlier process, is being opened */
};

struct smf__wal_topic_info {
    struct smf__wal_topic config; /* name points to the next field */
    char name[SMF__WAL_TOPIC_NAME_MAX_BYTES + 1];
    struct smf__wal_part **parts; /* [config.partitions]; NULL: another core's */
    struct smf__wal_topic_info *next;
    uint32_t index; /* the host's: in its table */
};

struct smf__wal_options {
    const char *folder;
    struct smf__disk *disk;            /* borrowed: it outlives the log, and nobody else uses it */
    struct smf__clock clock;           /* monotonic */
    int64_t (*wall_us)(void *context); /* since 1970; NULL: the system's */
    void *wall_context;
    uint64_t random_seed;  /* 0: the system's */
    uint64_t memory_bytes; /* of buffers; 0: the default */
    uint32_t linger_us;    /* 0: the default */
    int read_only;         /* beside a process that writes, or a log that is not to be changed */
    int create;            /* the folder, when it is not there */
    int only_meta;         /* no partition's files are touched */
    struct smf__wal_office *office; /* of a log on several cores; NULL: it has one */
    uint32_t core;                  /* of them: which this one is */
};

/* What an append came to. */
struct smf__wal_outcome {
    uint64_t user;
    uint64_t first_offset;
    int status; /* 0 or SMF_E… */
    struct smf__wal_part *part;
};

struct smf__wal {
    struct smf__wal_options options;
    char folder[SMF__DISK_PATH_MAX_BYTES];
    struct smf__disk *disk;
    struct smf__random random;
    uint32_t block_bytes; /* of files that are made: the disk's alignment */
    struct smf__disk_file *lock;
    struct smf__wal_part meta;
    struct smf__wal_topic_info *topics;
    struct smf__wal_part *dirty; /* list */

    uint8_t *memory; /* of all buffers */
    struct smf__wal_buffer *buffers;
    uint32_t buffer_count, free_count;
    struct smf__wal_buffer *free_first,
        *free_last; /* taken from the front, given back at the end */
    struct smf__wal_pending *pendings, *pending_free;

    /* Outcomes, in the order in which they were known; told is whose they are. */
    void (*told)(void *context, const struct smf__wal_outcome *outcome);
    void (*readable)(void *context, struct smf__wal_reader *reader); /* it has more, or an error */
    void (*retry)(void *context); /* appends that were refused may be tried again */
    void *told_context;

    uint32_t under_way; /* operations */
    uint64_t
        ended; /* what a refused append may wait for, so far: operations that are not quiet, ... */
    uint64_t now_ns;
    int closing;

    struct smf__wal_part *timed; /* list; due_ns: at or before the first of them */
    uint64_t due_ns;
    int turning;

    /* An append was refused for the moment. All that it may wait for counts in ended, but for what others
     * hold or what the system has no memory for: then it is tried again at retry_ns. */
    int refused;            /* 0, SMF_ENOMEM or SMF_ELIMIT */
    uint64_t refused_ended; /* ended at the first one since retry was called */
    uint64_t retry_ns;      /* 0: not before something has ended */

    /* wal_expect.c: how long the device takes, by kind and size; when the next of what is under way ends. */
    uint64_t takes_ns[SMF__WAL_TAKES];
    uint64_t expected_ns;

    uint32_t meta_live_bytes; /* of items that count, when META was written anew */
    int meta_rewriting;       /* nothing can be appended to META meanwhile */

    /* wal_meta.c: META is being written anew; what a turn has to do for that; when to try again. */
    struct smf__wal_rewriting *rewriting;
    void (*at_turn)(struct smf__wal *wal);
    uint64_t meta_retry_ns;

    uint32_t pending_used; /* of pendings[]: those behind were never in pending_free */

    /* wal_office.c. */
    struct smf__wal_office *office; /* that has META; NULL: meta is this one's own */
    uint32_t core, cores;           /* which one of how many this is */
    uint32_t topics_taken;          /* of those that the office knows */
    uint64_t meta_end;              /* where the last items of this core end */
    uint64_t awaited;               /* a place in META that appends wait for, or 0 */
    int meta_watched;               /* its driver is woken when something in the office completes */
};

/* --- wal_log.c --- */

/* Opens a folder and reads what it holds. Blocks. Returns 0 or a status with *error_out filled; a damaged
 * partition is no failure: it is fenced, and says why. Takes LOCK unless read_only (SMF_ELOCKED). */
int smf__wal_open(struct smf__wal **wal_out, const struct smf__wal_options *options,
                  struct smf_error *error_out);

/* Writes what is buffered, and a clean checkpoint, if it can; frees everything. Blocks. Returns the first
 * error. Readers are closed with it; appends without an outcome get one. */
int smf__wal_close(struct smf__wal *wal);

/* Everything that can be done without blocking: takes what has completed, releases outcomes, starts
 * writes, looks at the time. Returns when it has to be called again though nothing completes (ns of the
 * clock), or UINT64_MAX. */
uint64_t smf__wal_turn(struct smf__wal *wal);

/* An append was refused with SMF_ENOMEM or SMF_ELIMIT: wal->retry is called once, at the end of the first
 * turn after which another try may end differently: any turn in which something has ended (wal->ended). */
void smf__wal_refused(struct smf__wal *wal, int status);

/* Queues an operation; io->done is called in a turn. */
void smf__wal_queue(struct smf__wal *wal, struct smf__wal_io *io);

/* Blocks until an operation has ended; others' ends are dealt with meanwhile. Returns its status. */
int smf__wal_run(struct smf__wal *wal, struct smf__disk_op *op);

/* Blocks for one round: submits, waits for something to complete, deals with it. */
void smf__wal_wait(struct smf__wal *wal);

/* Makes a turn look at a partition. */
void smf__wal_touch(struct smf__wal_part *part);

struct smf__wal_topic_info *smf__wal_topic_find(struct smf__wal *wal, const char *name);

/* Blocks. SMF_EEXIST, SMF_EINVAL, SMF_EREADONLY, or what the disk says. config: topic_id and created_us
 * are given here; zeroes mean defaults. */
int smf__wal_topic_create(struct smf__wal *wal, const struct smf__wal_topic *config,
                          struct smf__wal_topic_info **topic_out, struct smf_error *error_out);

/* Microseconds since 1970. */
int64_t smf__wal_wall_us(const struct smf__wal *wal);

/* --- wal_expect.c --- */

/* A write or a flush is queued, and has ended. Cost: a look at the clock. */
void smf__wal_expect(struct smf__wal *wal, struct smf__wal_io *io);
void smf__wal_expected(struct smf__wal *wal, const struct smf__wal_io *io);

/* When the first of what is under way is going to end (ns of the clock), which may have passed; 0: that is
 * not known. */
uint64_t smf__wal_expects(const struct smf__wal *wal);

/* --- wal_recover.c --- */

/* Reads META into wal->meta and wal->topics, or begins one in an empty folder. */
int smf__wal_recover_meta(struct smf__wal *wal, struct smf_error *error_out);

/* Finds a partition's segments and its end. Afterwards part->last is NULL (nothing was written yet) or the
 * file in which the log ends; appends always begin a new one, unless the end is known to be clean. Damage
 * fences the partition, with the reason in status_text, and is no error. */
int smf__wal_recover_part(struct smf__wal_part *part, const struct smf__wal_checkpoint *checkpoint,
                          struct smf_error *error_out);

/* --- wal_meta.c --- */

/* Appends a META batch of these items, and tells when it is durable (user: of wal->meta's outcomes), or
 * blocks until then. META that has grown is written anew before: without block that goes on in turns.
 * Returns 0 or a status; SMF_ENOMEM and SMF_ELIMIT, which say to come again after a turn, only without
 * block. */
int smf__wal_meta_write(struct smf__wal *wal, const uint8_t *items, uint32_t size_bytes, int block);

/* A checkpoint of a partition's durable mark; nothing when it has none. With block part->clean is set to
 * clean when that is durable; else it stays as it is. */
int smf__wal_meta_checkpoint(struct smf__wal_part *part, int clean, int block);

/* Where what was written last ends: a place that is reached when that is durable. */
uint64_t smf__wal_meta_end(const struct smf__wal *wal);

/* Is META durable up to there? 1, 0 (not yet: ask again after a turn), or the status it is fenced with. */
int smf__wal_meta_reached(struct smf__wal *wal, uint64_t place);

/* Has META grown so much that it should be written anew? Cost: two loads. */
int smf__wal_meta_has_grown(const struct smf__wal *wal);

/* Writes what counts of META into its next version. Blocks, with turns meanwhile: not to be called from
 * inside of one. A failure before the new one has its name leaves META as it was; one after that fences it. */
int smf__wal_meta_rewrite(struct smf__wal *wal, struct smf_error *error_out);

/* --- wal_append.c --- */

struct smf__wal_append {
    const uint8_t *body; /* records; copied before the call returns */
    uint32_t body_bytes, count;
    int64_t base_us, max_us; /* as the records say */
    uint32_t kind;           /* enum smf__wal_kind; count is 0 unless it is RECORDS */
    uint32_t ack;            /* enum smf__wal_ack */
    uint64_t user;           /* of its outcome; BUFFERED ones have none: they are done */
};

/* Takes a batch. Returns 0 with its first offset; the outcome follows, never from inside this call. Or
 * nothing was taken:
 *   SMF_ENOMEM    again when wal->retry is called: no buffers, room in the file or the file itself is still
 *                 being made, a clean end is being revoked, the tail is being cut
 *   SMF_ELIMIT    likewise: SMF__WAL_APPENDS_MAX, or META can't be written to at the moment
 *   SMF_ENOSPACE, SMF_EQUOTA, or another status of the attempt to make room: said once, to the append that
 *                 came next; the one after that makes another attempt
 *   SMF_EINVAL    over a limit (smf__wal_append_max_bytes), or no body that could be read back
 *   SMF_EREADONLY, or the status that the partition is fenced with
 * No batch gets an offset before there is room for it in the file, so a full disk takes nothing back.
 * Cost: one copy, one pass for the checksum, another over records. */
int smf__wal_append(struct smf__wal_part *part, const struct smf__wal_append *append,
                    uint64_t *first_offset_out);

/* The largest body that a log with so much memory takes. */
uint64_t smf__wal_append_max_bytes(const struct smf__wal *wal);

/* What a turn does for a partition: starts writes and flushes, moves watermarks, releases outcomes.
 * Returns when it wants to be looked at again, or UINT64_MAX. */
uint64_t smf__wal_part_turn(struct smf__wal_part *part);

/* Nothing can be appended any more, and what waits fails: with this status, and text that says why. */
void smf__wal_fence(struct smf__wal_part *part, int status, const char *text);

/* Blocks until everything that was appended is durable, or the partition is fenced. Returns 0 or that. */
int smf__wal_sync(struct smf__wal_part *part);

/* --- wal_buffer.c --- */

/* Buffers, and what appends wait in: out of options.memory_bytes. 0, SMF_EINVAL (too little: then say
 * SMF__WAL_MEMORY_MIN_BYTES) or SMF_ENOMEM. */
int smf__wal_buffers_open(struct smf__wal *wal);
void smf__wal_buffers_close(struct smf__wal *wal);

/* One of those in wal->pending_free, which has one. Cost: memory is touched only when it is needed first. */
struct smf__wal_pending *smf__wal_pending_take(struct smf__wal *wal);

/* How many bytes of batches could be taken now. */
uint64_t smf__wal_buffers_room(const struct smf__wal_part *part);

/* Copies bytes behind what the partition has buffered; there is room (smf__wal_buffers_room). position: in
 * part->last, where they go. A buffer that is full waits for its write. */
void smf__wal_buffers_put(struct smf__wal_part *part, uint64_t position, const void *data,
                          uint64_t size);

/* The buffer that fills takes nothing more: padded to the block, it waits for its write. */
void smf__wal_buffers_seal(struct smf__wal_part *part);

/* The last of those that can be one write with this one, which waits: they are full but for the last, and side
 * by side in memory and in the file. SMF__WAL_WRITE_BUFFERS at most. */
struct smf__wal_buffer *smf__wal_buffers_through(struct smf__wal_buffer *first);

/* Takes the first buffer out of the partition's list, and gives it back: its bytes can still be read. */
void smf__wal_buffers_pop(struct smf__wal_part *part);

/* A segment is about to be freed: nothing of it can be read any more. */
void smf__wal_buffers_forget(struct smf__wal *wal, const struct smf__wal_segment *segment);

/* Copies what buffers still hold of a segment from this position on, up to size bytes; what pads a write
 * is among it. Returns how many bytes that were: 0 when the first byte is in none of them. */
uint64_t smf__wal_buffers_read(struct smf__wal_segment *segment, uint64_t position, uint64_t size,
                               uint8_t *data_out);

/* --- wal_segment.c --- */

/* Has a new last segment made, for an append that does not fit any more: file, block 0, state batch, name,
 * durable in this order. Returns 1 when it is there, 0 when it is being made, or a status. */
int smf__wal_segment_roll(struct smf__wal_part *part);

/* The same at another place: behind a batch of this segment that ends at `end` with this header_crc, and
 * gives records from this offset on up. Nothing is buffered, and part->held is set. Blocks. */
int smf__wal_segment_begin_at(struct smf__wal_part *part, struct smf__wal_segment *behind,
                              uint64_t end, uint32_t crc, uint64_t offset,
                              struct smf_error *error_out);

/* Makes room in the last file, and the next file, ahead of need. */
void smf__wal_segment_ahead(struct smf__wal_part *part);

/* May so many bytes (padded) be appended to the last segment, at this position? 1, or 0 when there is none
 * or they belong into the next one. */
int smf__wal_segment_fits(const struct smf__wal_part *part, uint64_t position, uint64_t size);

/* Makes room for them there. Returns 1 when there is, 0 when it is being made, or why there was none. */
int smf__wal_segment_room(struct smf__wal_part *part, uint64_t position, uint64_t size);

/* A last segment that an earlier process closed cleanly is opened when the first append comes, not before.
 * Returns 1 when nothing is to be opened, 0 while it is. One that can't be opened is sealed. */
int smf__wal_segment_wake(struct smf__wal_part *part);

/* A segment's end of use: holds counts those who do. The file of one that is not the last is closed when
 * nobody does. */
void smf__wal_segment_release(struct smf__wal_segment *segment);

/* Opens a segment's file for reading when it is not open. Blocks. */
int smf__wal_segment_open(struct smf__wal_segment *segment);

/* A segment that is not part of the log any more: its file becomes a spare, or is unlinked, when nobody
 * holds it. */
void smf__wal_segment_drop(struct smf__wal_segment *segment);

void smf__wal_segment_path(const struct smf__wal_segment *segment, char *path_out);

/* Before a partition is freed: gives up the file that is being made ready, closes spares. Blocks. */
void smf__wal_segments_close(struct smf__wal_part *part);

/* --- wal_truncate.c --- */

/* Records before offset are given up. It is durable in META before a file goes. Blocks. SMF_EINVAL when
 * offset is behind the last record. */
int smf__wal_truncate_head(struct smf__wal_part *part, uint64_t offset,
                           struct smf_error *error_out);

/* Records from offset on are given up; the next append gets that offset. Durable when it returns. Blocks.
 * The offset may be inside a batch: the batch stays, its records from there on do not count. SMF_EINVAL when
 * offset is out of range; then *error_out has the range. */
int smf__wal_truncate_tail(struct smf__wal_part *part, uint64_t offset,
                           struct smf_error *error_out);

/* --- wal_index.c --- */

/* Notes a batch that was found or written at a position of its segment, in order: scan, max_us and
 * waypoints. Whoever has moved scan over it already may tell it as well; a batch that is known, or that
 * something unknown stands before, changes nothing. 0, or SMF_ENOMEM and nothing has changed. */
int smf__wal_index_add(struct smf__wal_segment *segment, const struct smf__wal_batch *batch,
                       uint64_t position);

/* The last waypoint at or before an offset; NULL: begin at the first batch. */
const struct smf__wal_waypoint *smf__wal_index_find(const struct smf__wal_segment *segment,
                                                    uint64_t offset);

/* Does the index know every batch up to segment->end, so that max_us is of all of its records? */
int smf__wal_index_is_whole(const struct smf__wal_segment *segment);

/* The last waypoint before which all records are earlier than that time; NULL: begin at the first batch. */
const struct smf__wal_waypoint *smf__wal_index_find_time(const struct smf__wal_segment *segment,
                                                         int64_t time_us);

/* --- wal_reader.c, wal_fetch.c --- */

/* A run of whole, verified batches of one segment, back to back or with padding between them: where a
 * header does not parse behind a batch, the next one is at the next block. All of them are RECORDS, not
 * compressed; runs end where a control batch stands. */
struct smf__wal_run {
    const uint8_t *bytes; /* lent until the next call for this reader; at position, aligned to 8 */
    uint64_t position;
    uint64_t size_bytes;
    uint64_t
        first_offset; /* of the first record that was asked for; it may be inside the first batch */
    uint64_t end_offset; /* first record behind the run; truncation of the tail may end it before */
    uint32_t batches;
    const struct smf__wal_segment *segment;
};

/* Reads forward from an offset: up to the watermark that view names (enum smf__wal_ack). SMF_EINVAL with
 * *error_out (and the valid range) for an offset that is not there; the offset behind the last record is.
 *
 * ahead_bytes: how much is read ahead at most, 0 for SMF__WAL_AHEAD_BYTES; up to SMF__WAL_AHEAD_MAX_BYTES. It
 * goes on in the next segment before this one was handed out, so a reader may hold two.
 * Memory: reads begin with SMF__WAL_READ_FIRST_BYTES and grow while reading goes on, to one area of ahead_bytes
 * and one more SMF__WAL_READ_BYTES; it falls back to the first when the end is reached. A batch that ends in
 * the read behind the one that it begins in lies there in one piece; one that does not, because the area
 * ends or the batch is larger than half of it, is put together elsewhere: its bytes once more, until the next
 * such batch or the end. So a reader holds at most ahead_bytes + 2 MiB (half of one from before it grew) + 32
 * MiB, and one that tails small batches 64 KiB. */
int smf__wal_reader_open(struct smf__wal_part *part, uint64_t from, uint32_t view,
                         uint64_t ahead_bytes, uint64_t user, struct smf__wal_reader **reader_out,
                         struct smf_error *error_out);
void smf__wal_reader_close(struct smf__wal_reader *reader);

/* Returns 1 with a run, 0 when there is nothing now (wal->readable tells when it is worth asking again),
 * or a status with *error_out filled, and the same again from then on; what was handed out before stays
 * true. SMF_EIO: damage, or a disk that fails. SMF_ENOTFOUND: the head was cut behind where it reads; the
 * text says where the log begins now. SMF_EINVAL: the tail was cut before where it reads, so records that
 * it handed out are gone. SMF_EUNSUPPORTED: a batch of a later version. SMF_ENOMEM is not kept: the next
 * call tries again. Never blocks. */
int smf__wal_reader_next(struct smf__wal_reader *reader, struct smf__wal_run *run_out,
                         struct smf_error *error_out);

uint64_t smf__wal_reader_user(const struct smf__wal_reader *reader);
struct smf__wal_part *smf__wal_reader_part(const struct smf__wal_reader *reader);
/* 1 when it stands at the watermark: everything that there is has been read. */
int smf__wal_reader_at_end(const struct smf__wal_reader *reader);

/* The part's watermarks or segments have changed: readers that wait may go on. To be called after each
 * change of a watermark, and after a cut of head or tail when part and segments are as they should be.
 * wal->readable is called from inside of it, and of a turn: it notes who is to be asked, and neither reads
 * nor closes. Cost: a few loads for each reader of the part. */
void smf__wal_readers_tell(struct smf__wal_part *part);

/* --- wal_follow.c --- */

/* Of a log that is read_only: looks for what another process has written meanwhile, moves the watermarks
 * of the reader's partition accordingly, and tells its readers. To be called from a timer while they wait.
 * written and buffered go as far as batches verify, durable to the greatest durable_before that a later
 * one, a later file, or a checkpoint says: META is read where the others do not. Blocks: it lists the
 * folder, and reads what is new, up to SMF__WAL_FOLLOW_BYTES of segments. Returns 0, also when nothing is
 * new; or what the disk says; or SMF_EINVAL when the other process has cut what was read here: the log has
 * to be opened again. SMF_OK and nothing is done in a log that this process writes. */
int smf__wal_reader_look(struct smf__wal_reader *reader, struct smf_error *error_out);

/* When the last reader of a partition goes. */
void smf__wal_follow_free(struct smf__wal_part *part);

/* --- wal_time.c --- */

/* The first offset whose record has that time or a later one, among those that are durable; the one
 * behind the last record when there is none. Times need not grow along the log. Blocks. Returns 0, or what a
 * reader says. Cost: segments whose records are all earlier are passed by their index, and the beginning of
 * the others as far as it is earlier; a segment that is not in an index yet is read, once. */
int smf__wal_offset_for_time(struct smf__wal_part *part, int64_t time_us, uint64_t *offset_out,
                             struct smf_error *error_out);

#endif
