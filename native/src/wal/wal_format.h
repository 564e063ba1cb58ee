/* The bytes of the log's files (docs/wal-format.md): names, the block that a file begins with, and the
 * headers of batches. What is in batches is read by wal_record.h (records) and wal_item.h (everything
 * else); which batches belong together is said by wal_scan.h.
 *
 * Pure functions: no state, no I/O, no allocation; any thread. Parsing is total: any bytes give a
 * status, and nothing behind the given size is looked at. */
#ifndef SMF_WAL_FORMAT_H
#define SMF_WAL_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define SMF__WAL_VERSION 1u /* of the format that is written, and the newest that is read */

#define SMF__WAL_FILE_HEADER_BYTES 512u /* at the beginning of block 0; the rest of it is zero */
#define SMF__WAL_BLOCK_MIN_BYTES 512u   /* what flushes are padded to, a power of two */
#define SMF__WAL_BLOCK_MAX_BYTES 65536u
#define SMF__WAL_ALIGN_BYTES 8u              /* of batches in a file, records in a body */
#define SMF__WAL_BATCH_HEADER_BYTES 96u      /* as written */
#define SMF__WAL_BATCH_HEADER_MAX_BYTES 512u /* as read: a later version may add fields */
#define SMF__WAL_BODY_MAX_BYTES (32u << 20)  /* of a batch, compressed or not */
#define SMF__WAL_FILE_MAX_BYTES (1ull << 31)
#define SMF__WAL_OFFSET_MAX INT64_MAX    /* of a record, and of the place behind the last one */
#define SMF__WAL_TIME_MAX_US (1ll << 61) /* before and after 1970 */
#define SMF__WAL_TOPIC_NAME_MAX_BYTES 200u
#define SMF__WAL_PARTITIONS_MAX 65536u /* of a topic */
#define SMF__WAL_FILE_NAME_BYTES 36u   /* of a segment's file name, with its end */

/* What parsing says. */
enum smf__wal_status {
    SMF__WAL_GOOD = 0,
    SMF__WAL_END,         /* nothing more to read here */
    SMF__WAL_TRUNCATED,   /* the bytes end before it does */
    SMF__WAL_NOT_OURS,    /* not a file of this log: no magic, or a strange name */
    SMF__WAL_MISPLACED,   /* whole, but of another topic, partition or place than its name says */
    SMF__WAL_TOO_NEW,     /* whole, in a version of the format that is not known here */
    SMF__WAL_UNSUPPORTED, /* whole, but needs a feature that is not known here */
    SMF__WAL_DAMAGED_HEADER, /* the header's checksum does not match */
    SMF__WAL_DAMAGED_BODY,   /* the header is whole, the body's checksum does not match */
    SMF__WAL_OUT_OF_RANGE,   /* the checksum matches, but a field says what can't be */
    SMF__WAL_STATUSES
};

/* "damaged header", for people; "unknown status" for a number that is none. */
const char *smf__wal_status_name(int status);

/* Where something is in a log: the number of the file, and the byte in it. Places grow along the life of
 * a partition. 0: nowhere, before everything. */
static inline uint64_t smf__wal_place(uint32_t number, uint64_t position)
{
    return (uint64_t)number << 32 | position;
}

static inline uint32_t smf__wal_place_number(uint64_t place)
{
    return (uint32_t)(place >> 32);
}

static inline uint64_t smf__wal_place_position(uint64_t place)
{
    return place & UINT32_MAX;
}

/* Can a topic have this name? 1 to 200 letters, digits, '.', '_' and '-', the first one a letter or a
 * digit; and not the name of a file of the log itself. */
int smf__wal_topic_name_ok(const char *name, size_t size);

/* Writes "0000000007-00000000000000001234.seg" with its end. */
void smf__wal_file_name(uint32_t number, uint64_t first_offset, char *name_out);

/* Returns GOOD, or NOT_OURS for what smf__wal_file_name never writes. */
int smf__wal_file_name_parse(const char *name, uint32_t *number_out, uint64_t *first_offset_out);

/* --- block 0 -------------------------------------------------------------------------------------- */

enum smf__wal_file_kind {
    SMF__WAL_FILE_SEGMENT = 1, /* of a partition */
    SMF__WAL_FILE_META = 2     /* the metadata log; its topic is the log itself, and has no name */
};

/* The half of flags that a reader must understand; the other may be ignored. Here, and in batches. */
#define SMF__WAL_FLAGS_MUST 0x0000ffffu

struct smf__wal_file {
    uint32_t version;
    uint32_t kind;        /* enum smf__wal_file_kind */
    uint32_t flags;       /* none is known */
    uint32_t block_bytes; /* flushes of this file are padded to it */
    uint64_t id;          /* random, not 0, different for each use of the same blocks */
    uint32_t number;      /* from 1; never used again in this partition */
    uint32_t partition;
    uint64_t topic_id;     /* random, not 0, given to the topic when it was created */
    uint64_t first_offset; /* of this file's first record: earlier files are valid up to here */
    uint64_t follows; /* the place where the last batch before this file ends; 0: there is none */
    uint64_t durable_before; /* at most follows; see struct smf__wal_batch */
    uint32_t follows_crc;    /* header_crc of that batch, or 0 */
    uint32_t topic_name_size;
    int64_t created_us;
    char topic_name[SMF__WAL_TOPIC_NAME_MAX_BYTES + 1]; /* with its end */
};

/* Writes the 512 bytes of a file's header; the caller zeroes the rest of the block. Returns GOOD, or
 * OUT_OF_RANGE and writes nothing when parsing would not take it back. The version is SMF__WAL_VERSION. */
int smf__wal_file_encode(const struct smf__wal_file *file, uint8_t *bytes_out);

/* *file_out is filled whenever the checksum matches and the version is known. Returns TRUNCATED,
 * NOT_OURS, DAMAGED_HEADER, TOO_NEW (only version is filled), UNSUPPORTED, OUT_OF_RANGE or GOOD. */
int smf__wal_file_parse(const uint8_t *bytes, uint64_t size, struct smf__wal_file *file_out);

/* Says whether a file is the one that its folder and its name promise: GOOD or MISPLACED. */
int smf__wal_file_belongs(const struct smf__wal_file *file, uint64_t topic_id, uint32_t partition,
                          uint32_t number, uint64_t first_offset);

/* May this id follow that one in the same blocks? If so, no header that was written under one verifies
 * under the other, for certain and not only in all probability. */
int smf__wal_id_ok(uint64_t id, uint64_t id_before);

/* --- batches -------------------------------------------------------------------------------------- */

enum smf__wal_kind {
    SMF__WAL_RECORDS = 1, /* records; all other kinds have none, and take no offsets */
    SMF__WAL_STAMP = 2,   /* nothing: its durable_before is what it says */
    SMF__WAL_STATE = 3,   /* items: what has to be known of the partition where a segment begins */
    SMF__WAL_META = 4,    /* items: changes of the metadata, all of them or none */
    /* An unknown kind from here on may be ignored in a batch that takes no offsets. */
    SMF__WAL_KIND_MAY_SKIP = 128
};

enum smf__wal_compression {
    SMF__WAL_PLAIN = 0,
    SMF__WAL_ZSTD = 2, /* not read by this version */
    SMF__WAL_LZ4 = 3   /* not read by this version */
};

enum smf__wal_flag {
    SMF__WAL_ENTRY_FIRST = 1 << 16, /* the first batch of a replicated entry */
    SMF__WAL_ENTRY_LAST = 1 << 17   /* the last one */
};

struct smf__wal_batch {
    uint32_t header_crc;   /* set by encode and parse */
    uint32_t body_crc;     /* CRC-32C of the body as it is in the file, beginning with 0 */
    uint32_t body_bytes;   /* as it is in the file */
    uint32_t plain_bytes;  /* of the body when it is not compressed */
    uint32_t header_bytes; /* where the body begins; encode writes SMF__WAL_BATCH_HEADER_BYTES */
    uint32_t kind;         /* enum smf__wal_kind */
    uint32_t compression;  /* enum smf__wal_compression */
    uint32_t flags;        /* enum smf__wal_flag */
    uint32_t count;        /* records */
    uint32_t prev_crc;     /* header_crc of the batch before it in the log */
    uint64_t first_offset; /* of its first record; without records, of the next one to come */
    int64_t base_us; /* time of the first record, from which the others count; or of writing */
    int64_t max_us;  /* the latest time of a record */
    uint64_t durable_before; /* the place where the last batch ends that was known to be durable */
    uint64_t producer_id;    /* 0: none */
    uint32_t producer_epoch;
    uint32_t producer_sequence; /* of the first record */
    uint64_t consensus_index;   /* 0: none */
    uint32_t consensus_term;
};

/* Bytes from a batch's beginning to where the next one may begin in the same flush. */
static inline uint64_t smf__wal_batch_bytes(const struct smf__wal_batch *batch)
{
    return ((uint64_t)batch->header_bytes + batch->body_bytes + SMF__WAL_ALIGN_BYTES - 1) &
           ~(uint64_t)(SMF__WAL_ALIGN_BYTES - 1);
}

/* Writes the 96 bytes of the header that stands at this position of this file, and sets header_crc and
 * header_bytes. Returns GOOD, or OUT_OF_RANGE or UNSUPPORTED and writes nothing when parsing would not
 * take it back. */
int smf__wal_batch_encode(struct smf__wal_batch *batch, const struct smf__wal_file *file,
                          uint64_t position, uint8_t *bytes_out);

/* Reads the header at a position of a file; bytes begins there. Returns TRUNCATED, DAMAGED_HEADER,
 * OUT_OF_RANGE, UNSUPPORTED or GOOD. *batch_out is filled whenever the checksum matches: but only after
 * UNSUPPORTED and GOOD its sizes may be relied on. Cost: about 20 ns. */
int smf__wal_batch_parse(const uint8_t *bytes, uint64_t size, const struct smf__wal_file *file,
                         uint64_t position, struct smf__wal_batch *batch_out);

/* Reads a header that was parsed before, as of a run that a reader has verified: nothing of it is verified
 * again. Returns TRUNCATED when the batch does not end within size, OUT_OF_RANGE for what can't be a header,
 * or GOOD. */
int smf__wal_batch_read(const uint8_t *bytes, uint64_t size, struct smf__wal_batch *batch_out);

/* Verifies the body behind a header that was parsed; bytes begins at the header. Returns TRUNCATED,
 * DAMAGED_BODY or GOOD. Cost: one pass over the body. */
int smf__wal_body_check(const struct smf__wal_batch *batch, const uint8_t *bytes, uint64_t size);

/* Are all of these bytes zero, as padding is written? */
int smf__wal_is_zero(const uint8_t *bytes, uint64_t size);

#endif
