/* The disk wall: aligned files, asynchronously. One struct of operations, one implementation per way
 * to the disk (disk_uring.c, disk_posix.c, disk_sim.c), chosen at run time; disk_record.c and
 * disk_slow.c stand in front of another one.
 *
 * Completion, not readiness: an operation is the caller's memory, queued here, and the room's until a
 * poll gives it back. Nothing completes inside of queue or submit. Operations that are under way at the
 * same time complete in any order.
 *
 * What this room holds against its caller, because a log depends on it:
 *   - a write never makes a file longer: ZERO makes room first;
 *   - writes that are under way at the same time never overlap (aborts);
 *   - offset, size and memory are multiples of the file's alignment;
 *   - (disk_sim) a block that was acknowledged as durable is not written again before RECYCLE.
 *
 * Threads: one at a time (the core's driver), which may change between two calls while operations are
 * under way: they complete, and are seen, even when the thread that submitted them computes and makes no
 * system call. Two things follow for that thread: while its operations are under way, system calls that
 * it blocks in may end with EINTR, as after a signal (epoll_wait, poll; those that restart do); and when
 * it ends, what it had under way may be done once more by the next poll, with the same bytes. */
#ifndef SMF_DISK_DISK_OPS_H
#define SMF_DISK_DISK_OPS_H

#include <stddef.h>
#include <stdint.h>

#include <smf/status.h>

#define SMF__DISK_BLOCK_MIN_BYTES 512u        /* what a disk writes whole; no alignment is less */
#define SMF__DISK_IO_MAX_BYTES (64u << 20)    /* of one read or write */
#define SMF__DISK_PATH_MAX_BYTES 4096u        /* with its end */
#define SMF__DISK_ZERO_STEP_BYTES (1u << 20)  /* of a ZERO: others come between two steps */
#define SMF__DISK_FILE_MAX_BYTES (1ull << 62) /* offset + size */
#define SMF__DISK_RETRIES_MAX 8u /* of an operation that the kernel sent back untried */

struct smf__disk;      /* one core's way to its files */
struct smf__disk_file; /* one open file */

enum smf__disk_kind {
    SMF__DISK_OPEN = 1, /* path -> file */
    SMF__DISK_CLOSE,    /* file; nothing of it may be under way */
    SMF__DISK_READ,     /* file, offset, size -> data; done < size: the file ends there */
    SMF__DISK_WRITE,    /* file, offset, size, data; inside the file */
    SMF__DISK_FLUSH, /* file: what was written, and had completed before this was queued, is durable */
    SMF__DISK_ZERO, /* file, offset, size: room for writes, durable, zero; makes the file longer */
    SMF__DISK_TRUNCATE,    /* file, size: the file becomes shorter; durable with the next FLUSH */
    SMF__DISK_RECYCLE,     /* file: its blocks may be written again */
    SMF__DISK_STAT,        /* path -> done: the size; is_folder */
    SMF__DISK_LIST,        /* path, size -> data: the names in a folder, in any order */
    SMF__DISK_RENAME,      /* path, path_to: replaces what is there */
    SMF__DISK_UNLINK,      /* path, of a file; one that is open stays usable until it is closed */
    SMF__DISK_MAKE_FOLDER, /* path */
    SMF__DISK_DROP_FOLDER, /* path, of an empty one */
    SMF__DISK_SYNC_FOLDER, /* path: names that were made, renamed or unlinked in it are durable */
    SMF__DISK_KINDS
};

enum smf__disk_flag {
    SMF__DISK_DURABLE = 1,   /* WRITE: done when it is durable */
    SMF__DISK_CREATE = 2,    /* OPEN: make it when it is not there */
    SMF__DISK_EXCLUSIVE = 4, /* OPEN: with CREATE, SMF_EEXIST when it is there */
    SMF__DISK_READ_ONLY = 8, /* OPEN */
    SMF__DISK_LOCK = 16      /* OPEN: SMF_ELOCKED when somebody has it open with this flag */
};

/* Zeroed, then filled by the caller. From queue until poll gives it back it stays where it is, and
 * neither it nor what it points to is touched by anybody else. */
struct smf__disk_op {
    uint32_t kind;  /* enum smf__disk_kind */
    uint32_t flags; /* enum smf__disk_flag, or-ed */
    struct smf__disk_file *file;
    uint64_t offset;
    uint64_t size;
    void *data;
    const char *path, *path_to;
    void *context; /* the caller's; not looked at */

    /* Results. */
    int status;    /* 0 or SMF_E… */
    int os_errno;  /* that it comes from, or 0 */
    int is_folder; /* STAT */
    uint64_t done; /* bytes; LIST: of names, each with its end, folders with a / before that */

    /* The room's own. */
    struct smf__disk_op *next;                    /* of a list that it is in */
    struct smf__disk_op *write_next, *write_back; /* of the file's writes that are under way */
    uint64_t moved;                               /* bytes that went through so far */
    int64_t result;                               /* of a thread that did it: bytes, or -errno */
    uint64_t due_ns, ordinal;
    void *effect;
    int32_t results[2]; /* of its requests: the write, and the flush behind it */
    uint32_t requests;  /* under way */
    uint32_t retries;
};

/* An open file. What a caller may look at; the rest is the implementation's. */
struct smf__disk_file {
    uint32_t offset_align_bytes; /* of offsets and sizes; a power of two, at least 512 */
    uint32_t memory_align_bytes; /* of data; a power of two */
    uint64_t size_bytes;         /* at the end of the last OPEN, ZERO or TRUNCATE of this file */
    int direct;                  /* past the page cache */
    int read_only, locked;

    int fd;
    uint32_t in_flight;          /* operations */
    struct smf__disk_op *writes; /* WRITE and ZERO under way */
    struct smf__disk_file *next_free;
    void *inode;
};

/* Writes, reads and flushes that completed without an error; any thread may read them (smf__counted). */
struct smf__disk_counts {
    uint64_t reads, writes, flushes; /* flushes: FLUSH, and those behind a write */
    uint64_t durable_writes;         /* of the writes */
    uint64_t read_bytes, written_bytes, zeroed_bytes;
    uint64_t failures; /* operations that ended with an error */
    uint64_t submits;  /* system calls (or batches for the threads) that started operations */
    uint64_t retries;  /* short, or sent back untried by the kernel */
};

struct smf__disk_ops {
    const char *name; /* "io_uring", "posix", "sim", "record", "slow" */

    /* Waits for what is under way, closes what is open. Not while an operation that had completed waits
     * to be polled by somebody who still wants it: it is forgotten. */
    void (*close)(struct smf__disk *disk);

    /* Takes an operation; it starts at the next submit at the latest. Never fails: what is wrong with it
     * comes back with it. */
    void (*queue)(struct smf__disk *disk, struct smf__disk_op *op);

    /* Starts what is queued: one system call for any number of them. */
    void (*submit)(struct smf__disk *disk);

    /* Gives back up to capacity operations that are done. Cost without any: two loads. */
    uint32_t (*poll)(struct smf__disk *disk, struct smf__disk_op **ops_out, uint32_t capacity);

    /* Blocks until a poll would find something, or for that long (< 0: for ever; it returns at once when
     * nothing is under way). Early returns happen. */
    void (*wait)(struct smf__disk *disk, int64_t timeout_ns);

    /* A descriptor to sleep on, or -1: readable while something has completed since the last poll. Poll
     * after the last queue, and until it gives back less than there was room for, before sleeping. */
    int (*fd)(const struct smf__disk *disk);

    /* One line: what it is, with which alignment, how writes are made durable, and why nothing better
     * was taken. */
    void (*describe)(const struct smf__disk *disk, char *text_out, size_t size);
};

/* What every implementation's struct begins with. */
struct smf__disk {
    const struct smf__disk_ops *ops;
    struct smf__disk_counts *counts; /* a wrapper's are those of what it stands in front of */
};

#endif
