/* Items: what bodies of STATE and META batches are made of (docs/wal-format.md, "Items").
 *
 *    0               4       6       8
 *    +---------------+-------+-------+---------------------------------------+
 *    | payload size  | type  | zero  | payload, padded to 8                  |
 *    +---------------+-------+-------+---------------------------------------+
 *
 * Pure functions; any thread. Reading is total, and lends: what it returns points into the body. */
#ifndef SMF_WAL_ITEM_H
#define SMF_WAL_ITEM_H

#include "wal/wal_record.h"

#define SMF__WAL_ITEM_HEADER_BYTES 8u
#define SMF__WAL_ITEM_MAX_BYTES (1u << 20) /* of a payload */

enum smf__wal_item_type {
    SMF__WAL_ITEM_TOPIC = 1,        /* struct smf__wal_topic; in META and in STATE */
    SMF__WAL_ITEM_TOPIC_GONE = 2,   /* META: u64 topic_id */
    SMF__WAL_ITEM_HEAD = 3,         /* META: struct smf__wal_head */
    SMF__WAL_ITEM_CHECKPOINT = 4,   /* META: struct smf__wal_checkpoint */
    SMF__WAL_ITEM_CURSOR = 5,       /* META; 5 to 8 are not written yet */
    SMF__WAL_ITEM_PRODUCER_IDS = 6, /* META: those that were given away */
    SMF__WAL_ITEM_PRODUCER = 7,     /* STATE: what is known of one */
    SMF__WAL_ITEM_TERM = 8,         /* STATE: where a consensus term begins */
    SMF__WAL_ITEM_MAY_SKIP = 0x8000 /* an unknown type from here on may be ignored */
};

struct smf__wal_item {
    uint32_t type; /* enum smf__wal_item_type */
    uint32_t size; /* of the payload */
    const uint8_t *data;
};

/* A topic, and how it is kept. */
struct smf__wal_topic {
    uint64_t topic_id; /* random, not 0 */
    int64_t created_us;
    uint32_t partitions;
    uint32_t record_max_bytes; /* encoded; 0: SMF__WAL_RECORD_MAX_BYTES */
    uint64_t segment_bytes;    /* a new segment is begun when one would be larger */
    uint64_t retention_bytes;  /* of a partition; 0: all */
    uint64_t retention_us;     /* 0: for ever */
    uint32_t name_size;
    const char *name; /* not terminated; where it was read, in the body */
};

/* Where a partition begins: what is before that offset is gone, or about to go. */
struct smf__wal_head {
    uint64_t topic_id, offset;
    uint32_t partition;
};

/* How far a partition is known to be whole, and durable. */
struct smf__wal_checkpoint {
    uint64_t topic_id;
    uint64_t end;         /* place: where the last batch ends */
    uint64_t next_offset; /* of the first record behind that */
    uint32_t partition;
    uint32_t prev_crc; /* header_crc of that batch */
    int clean;         /* nothing was written behind it: the log was closed */
};

/* The bytes that an item with such a payload takes in a body. */
static inline uint64_t smf__wal_item_bytes(uint32_t payload_size)
{
    return SMF__WAL_ITEM_HEADER_BYTES + (((uint64_t)payload_size + 7) & ~7ull);
}

#define SMF__WAL_ITEM_WRITTEN_MAX_BYTES 272u /* of those that the following four write */

/* Write an item and return the bytes it takes, a multiple of 8; 0 and nothing is written when reading
 * would not take it back. */
uint32_t smf__wal_topic_write(const struct smf__wal_topic *topic, uint8_t *bytes_out);
uint32_t smf__wal_topic_gone_write(uint64_t topic_id, uint8_t *bytes_out);
uint32_t smf__wal_head_write(const struct smf__wal_head *head, uint8_t *bytes_out);
uint32_t smf__wal_checkpoint_write(const struct smf__wal_checkpoint *checkpoint,
                                   uint8_t *bytes_out);

/* Takes the next item of a body. Returns GOOD, END, OUT_OF_RANGE for what no writer makes, or
 * UNSUPPORTED for an unknown type that must be understood (the item is taken). */
int smf__wal_item_next(struct smf__wal_rest *rest, struct smf__wal_item *item_out);

/* Read an item of that type. Return GOOD or OUT_OF_RANGE. Fields behind those known are ignored. */
int smf__wal_topic_read(const struct smf__wal_item *item, struct smf__wal_topic *topic_out);
int smf__wal_topic_gone_read(const struct smf__wal_item *item, uint64_t *topic_id_out);
int smf__wal_head_read(const struct smf__wal_item *item, struct smf__wal_head *head_out);
int smf__wal_checkpoint_read(const struct smf__wal_item *item,
                             struct smf__wal_checkpoint *checkpoint_out);

#endif
