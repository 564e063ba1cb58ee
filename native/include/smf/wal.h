/* A write-ahead log: topics, their partitions, records with dense 64-bit offsets, in files of a folder
 * that are written past the page cache (docs/wal.md).
 *
 * A log belongs to a core: whoever drives the core calls what is here, and appends and reads go on inside
 * of smf_core_poll. What came of them is told by events of kind SMF_EVENT_WAL.
 *
 *     smf_wal_open(core, &config, &wal, &error);
 *     smf_wal_topic_create(wal, "orders", &topic, &error);
 *     smf_wal_partition(wal, "orders", 0, &partition, &error);
 *     smf_wal_put(wal, partition, NULL, 0, "hello", 5, SMF_WAL_DURABLE, 1, &offset);
 *     for (;;) {
 *         int count = smf_core_poll(core, SMF_WAIT_FOREVER);
 *         for each event e of kind SMF_EVENT_WAL:
 *             const struct smf_wal_done *done = (const struct smf_wal_done *)e->payload;
 *             for (uint32_t i = 0; i < e->meta; i++)
 *                 if (done[i].kind == SMF_WAL_APPENDED) acknowledged(done[i].user, done[i].status);
 *     }
 *
 * A log may be spread over several cores: each opens its share, and has a struct smf_wal.
 *
 * Threads: the driver of the core, unless a function says otherwise. Functions that say "blocks" wait for
 * the disk: milliseconds, in which the core does nothing else but what is under way in the log. */
#ifndef SMF_WAL_H
#define SMF_WAL_H

#include <stddef.h>
#include <stdint.h>

#include <smf/core.h>
#include <smf/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smf_wal;        /* an open log */
struct smf_wal_reader; /* reads one partition forward */

/* What an append waits for before it is acknowledged. */
enum smf_wal_ack {
    SMF_WAL_BUFFERED = 0, /* nothing: it is in memory, and a crash within linger_us may lose it */
    SMF_WAL_WRITTEN = 1,  /* the device took it: survives the process, not a power cut */
    SMF_WAL_DURABLE = 2   /* a flush covers it: survives a power cut */
};

/* Settings of a log that are on or off. */
enum smf_wal_flag {
    SMF_WAL_READ_ONLY = 1, /* beside a process that writes; nothing in the folder is changed */
    SMF_WAL_CREATE = 2,    /* the folder and the log, where there is none */
    SMF_WAL_PAGE_CACHE = 4 /* never O_DIRECT */
};

/* How the log gets to its disk. */
enum smf_wal_disk {
    SMF_WAL_DISK_AUTO = 0,  /* io_uring, or threads where it is forbidden */
    SMF_WAL_DISK_URING = 1, /* SMF_EUNSUPPORTED where it is forbidden */
    SMF_WAL_DISK_POSIX = 2  /* threads */
};

/* Settings. Zero in a field means its default; size as in struct smf_engine_config. The delays are for tests
 * and benchmarks of what a slower disk does; they run side by side. */
struct smf_wal_config {
    uint32_t size;         /* sizeof(struct smf_wal_config) */
    uint32_t flags;        /* enum smf_wal_flag, or-ed */
    const char *folder;    /* of the log; copied */
    uint64_t memory_bytes; /* of write-behind buffers; default 64 MiB, at least 4 MiB */
    uint32_t linger_us;    /* how long buffered records wait for their write; default 10000 */
    uint32_t disk;         /* enum smf_wal_disk */

    uint32_t flush_delay_us; /* of flushes and durable writes; at most a minute */
    uint32_t write_delay_us; /* of all other writes; at most a minute */

    uint32_t cores; /* the log is spread over so many, with smf_wal_join; default 1, at most 256 */
    uint32_t reserved; /* 0 */
};

/* Settings of a topic; zero: the default. */
struct smf_wal_topic {
    uint32_t size;             /* sizeof(struct smf_wal_topic) */
    uint32_t partitions;       /* default 1, at most 65536 */
    uint64_t segment_bytes;    /* of a file; default 256 MiB, 64 KiB to 2 GiB */
    uint32_t record_bytes_max; /* encoded; default and at most 16 MiB */
    uint32_t reserved;         /* 0 */
};

/* One record. A NULL key or value is none, which is not the same as an empty one. */
struct smf_wal_record {
    const void *value;     /* NULL: none */
    const void *key;       /* NULL: none */
    const void *headers;   /* encoded, see docs/wal-format.md; or NULL */
    uint32_t value_size;   /* in bytes */
    uint32_t key_size;     /* in bytes */
    uint32_t headers_size; /* in bytes, a multiple of 8 */
    uint32_t reserved;     /* 0 */
    uint64_t offset;       /* when read */
    int64_t time_us;       /* since 1970; when written, 0: now */
};

/* Records on their way into one atomic batch: all of them survive a crash, or none. The caller's memory;
 * zero bytes begin an empty one. */
struct smf_wal_batch {
    uint8_t *memory;   /* [capacity], aligned to 8; the caller's */
    uint32_t capacity; /* in bytes */
    uint32_t used;     /* of it */
    uint32_t count;    /* records */
    uint32_t reserved; /* 0 */
    int64_t base_us;   /* the first one's time */
    int64_t max_us;    /* the latest one */
};

/* What came of something. 32 bytes. */
struct smf_wal_done {
    uint64_t user;         /* what the append or the reader was given */
    uint64_t partition;    /* handle */
    uint64_t first_offset; /* of an append */
    int32_t status;        /* 0 or SMF_E… */
    uint32_t kind;         /* enum smf_wal_done_kind */
};

/* What something came of. Later versions may have more kinds: pass over those that you don't know.
 *
 * SMF_WAL_RETRY follows appends that were refused with SMF_ENOMEM or SMF_ELIMIT, when another try may end
 * differently: one for all of them, whatever the partition, with all other fields 0. Who is refused again is
 * told again. At most one in a poll, and none while nothing was refused, which costs nothing; it is not
 * missed when what an append waits for ends in a call that blocks. A poll that waits returns for it, so a
 * program may as well ignore it, and try again after each poll. */
enum smf_wal_done_kind {
    SMF_WAL_APPENDED = 1, /* acknowledged, or failed: status says */
    SMF_WAL_READABLE = 2, /* a reader that had nothing has something now */
    SMF_WAL_RETRY = 3     /* what was refused for the moment may be tried again */
};

/* The state of a partition. */
struct smf_wal_info {
    uint32_t size;             /* sizeof(struct smf_wal_info), set by the caller */
    int32_t status;            /* 0, or why nothing can be appended any more; text says more */
    uint64_t head;             /* first offset that can be read */
    uint64_t next;             /* first offset that was not given to an append yet */
    uint64_t written;          /* first offset that the device has not taken yet */
    uint64_t durable;          /* first offset that a power cut may take */
    uint64_t segments;         /* files */
    uint64_t bytes;            /* of its files, all together */
    uint64_t appended_records; /* since it was opened */
    uint64_t appended_bytes;   /* encoded, since it was opened */
    uint64_t written_bytes;    /* taken by the device, since it was opened */
    uint64_t cut_bytes;        /* of a torn tail that a crash had left, when it was opened */
    char text[SMF_ERROR_TEXT_SIZE_BYTES]; /* one line; empty while status is 0 */
};

/* A run of whole batches that a reader has read and verified. */
struct smf_wal_run {
    const uint8_t *bytes;  /* lent until the next call for this reader */
    uint64_t size_bytes;   /* of what bytes points to */
    uint64_t first_offset; /* of the first record that is asked for: others before it are skipped */
    uint64_t end_offset;   /* behind the last one */
    uint64_t next_offset;  /* of what smf_wal_run_next takes next; the caller leaves it to that */
    uint64_t place;        /* in bytes */
    const uint8_t *batch_end;  /* of smf_wal_run_next */
    int64_t base_us;           /* of smf_wal_run_next */
    uint64_t batch_end_offset; /* of smf_wal_run_next */
};

/* Opens a log on a core, and reads what is there: takes as long as the last seconds before a crash have
 * written, and no time after a clean end. Blocks. One log for each core; cores in config makes it the first of
 * several (smf_wal_join).
 *
 * Errors, with *error_out filled: SMF_ELOCKED (another process writes to it), SMF_ENOTFOUND, SMF_EPERMISSION,
 * SMF_EREADONLY, SMF_ENOSPACE, SMF_EUNSUPPORTED (of a later format), SMF_EIO (its metadata is damaged),
 * SMF_ENOMEM, SMF_EINVAL. A partition that is damaged does not stop the others: see smf_wal_partition_info. */
int smf_wal_open(struct smf_core *core, const struct smf_wal_config *config,
                 struct smf_wal **wal_out, struct smf_error *error_out);

/* Opens one more core's share of a log that smf_wal_open has opened with cores in its settings, and with the
 * settings from there: the lowest core that is not there yet. memory_bytes is for each core. Blocks. first is
 * any of the log's, open for as long as this takes.
 *
 * Each partition is on one core (smf_wal_core_of), where it is asked for and used; topics can be made, and are
 * listed, on all of them. Cores work without each other: what one of them needs of the log's metadata it does
 * itself, so that one thread may drive all cores or each has its own, and they are closed in any order. The
 * files do not depend on the number of cores.
 *
 * Errors as smf_wal_open; SMF_EINVAL when the log has one core, SMF_EEXIST when all of its cores are there.
 * Threads: the driver of core. */
int smf_wal_join(struct smf_core *core, struct smf_wal *first, struct smf_wal **wal_out,
                 struct smf_error *error_out);

/* The core, from 0, that a partition is on in a log of so many. Any thread. Cost: two hashes. */
uint32_t smf_wal_core_of(const char *topic, uint32_t partition, uint32_t cores);

/* Writes what is buffered and closes the log and its readers. Blocks. Returns 0, or what of that failed; it
 * is closed in any case. Nobody hears of appends any more that were not told of; events of this turn that
 * were not looked at yet are empty. Also done by smf_engine_close. NULL is nothing; in a forked child
 * nothing happens, and what would change a log says SMF_ECLOSED. */
int smf_wal_close(struct smf_wal *wal, struct smf_error *error_out);

/* One line: the folder, the way to the disk, alignment, how writes are made durable. */
const char *smf_wal_describe(const struct smf_wal *wal);

/* Makes a topic, durably. Blocks. SMF_EEXIST, SMF_EINVAL, SMF_EREADONLY, or what the disk says. */
int smf_wal_topic_create(struct smf_wal *wal, const char *name, const struct smf_wal_topic *topic,
                         struct smf_error *error_out);

/* The index-th topic's name (with those that were made on other cores before the last poll, or the last
 * smf_wal_partition; valid as long as the log is open) and settings, with every default filled
 * in: topic_out's size field says how much it takes; NULL: they are not asked for. Returns NULL when there
 * are not so many, or for a size that fits nothing. */
const char *smf_wal_topic_at(const struct smf_wal *wal, uint32_t index,
                             struct smf_wal_topic *topic_out);

/* A handle of a partition, valid as long as the log is open. SMF_ENOTFOUND: no such topic (the text names
 * those that there are), or not so many partitions. SMF_EINVAL: it is on another core, which the text names.
 * May block when another core has made a topic since the last poll. */
int smf_wal_partition(struct smf_wal *wal, const char *topic, uint32_t number,
                      uint64_t *partition_out, struct smf_error *error_out);

/* Fills *info_out, whose size field says how much. Returns 0 or SMF_EINVAL. */
int smf_wal_partition_info(const struct smf_wal *wal, uint64_t partition,
                           struct smf_wal_info *info_out);

/* Adds a record to a batch. Returns 0; SMF_ELIMIT: its memory is full (or it has 32 MiB): append it and
 * begin another one, larger if it is empty; SMF_EINVAL: it is over a limit. Any thread. Cost: one copy. */
int smf_wal_add(struct smf_wal_batch *batch, const struct smf_wal_record *record);

/* Appends a batch. It is copied. Returns 0 with its first offset (NULL: not asked for), and an event with
 * user follows; or nothing was taken: SMF_ENOMEM (no memory, or no room in the file at the moment) or
 * SMF_ELIMIT (65536 were not told of yet, or the log's metadata is busy): try again when a poll has
 * told SMF_WAL_RETRY; SMF_EINVAL (empty, over a limit, or not what smf_wal_add has built), SMF_EREADONLY,
 * SMF_ENOSPACE, SMF_EIO (see smf_wal_partition_info). With SMF_WAL_BUFFERED there is no event: it is
 * acknowledged when this returns. Cost: one copy and a checksum, no system call. */
int smf_wal_append(struct smf_wal *wal, uint64_t partition, const struct smf_wal_batch *batch,
                   uint32_t ack, uint64_t user, uint64_t *first_offset_out);

/* The same for one record, with the present time. */
int smf_wal_put(struct smf_wal *wal, uint64_t partition, const void *key, uint32_t key_size,
                const void *value, uint32_t value_size, uint32_t ack, uint64_t user,
                uint64_t *offset_out);

/* Reads from an offset on what is durable (or, with another view, what is written or buffered: it may
 * vanish in a crash, and its offsets be used again). ahead_bytes: read ahead at most so much; 0: 5 MiB, at most 64 MiB.
 * A reader's memory: that, in whole MiB, 2 MiB, and the largest batch; while it waits at the end, 64 KiB.
 * SMF_EINVAL: no such offset; the text has the range. user comes back in SMF_WAL_READABLE. */
int smf_wal_reader_open(struct smf_wal *wal, uint64_t partition, uint64_t from, uint32_t view,
                        uint64_t ahead_bytes, uint64_t user, struct smf_wal_reader **reader_out,
                        struct smf_error *error_out);

/* NULL is nothing. */
void smf_wal_reader_close(struct smf_wal_reader *reader);

/* Returns 1 with a run of records, 0 when there is none now (an event says when it is worth asking
 * again), or a status with *error_out filled: SMF_EIO for damage, SMF_ENOTFOUND when the records were
 * given up. Never blocks. */
int smf_wal_reader_next(struct smf_wal_reader *reader, struct smf_wal_run *run_out,
                        struct smf_error *error_out);

/* 1: everything that there was to read has been read. */
int smf_wal_reader_at_end(const struct smf_wal_reader *reader);

/* Takes the next record out of a run. Returns 1, or 0 at its end; or SMF_EIO, and the same again from then on,
 * where a batch has other records than its header says: a program with a fault has written it. Lends what
 * the run lends. */
int smf_wal_run_next(struct smf_wal_run *run, struct smf_wal_record *record_out);

/* Makes everything that was appended durable. Blocks. */
int smf_wal_sync(struct smf_wal *wal, uint64_t partition, struct smf_error *error_out);

/* Gives up the records before an offset: they are gone for readers when this returns, and their files as
 * soon as nobody reads them. Durable. Blocks. SMF_EINVAL: behind the last record. */
int smf_wal_truncate_head(struct smf_wal *wal, uint64_t partition, uint64_t offset,
                          struct smf_error *error_out);

/* Gives up the records from an offset on; the next append gets it. Durable. Blocks. SMF_EINVAL: out of
 * range; the text has it. */
int smf_wal_truncate_tail(struct smf_wal *wal, uint64_t partition, uint64_t offset,
                          struct smf_error *error_out);

/* The first offset of a record with that time or a later one; the next offset where there is none. Blocks. */
int smf_wal_offset_for_time(struct smf_wal *wal, uint64_t partition, int64_t time_us,
                            uint64_t *offset_out, struct smf_error *error_out);

#ifdef __cplusplus
}
#endif
#endif
