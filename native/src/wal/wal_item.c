#include "wal/wal_item.h"

#include "wal/wal_bytes.h"
#include "wal/wal_format.h"

enum { ITEM_SIZE = 0, ITEM_TYPE = 4 };

enum {
    TOPIC_ID = 0, /* in all of them */
    TOPIC_CREATED_US = 8,
    TOPIC_PARTITIONS = 16,
    TOPIC_RECORD_MAX_BYTES = 20,
    TOPIC_SEGMENT_BYTES = 24,
    TOPIC_RETENTION_BYTES = 32,
    TOPIC_RETENTION_US = 40,
    TOPIC_NAME_AT = 48, /* where the name begins: fields of a later version may come before it */
    TOPIC_NAME_SIZE = 52,
    TOPIC_NAME = 56
};

#define TOPIC_GONE_BYTES 8u

enum { HEAD_PARTITION = 8, HEAD_OFFSET = 16, HEAD_BYTES = 24 };

enum {
    CHECKPOINT_PARTITION = 8,
    CHECKPOINT_FLAGS = 12,
    CHECKPOINT_END = 16,
    CHECKPOINT_NEXT_OFFSET = 24,
    CHECKPOINT_PREV_CRC = 32,
    CHECKPOINT_BYTES = 40
};

#define CHECKPOINT_CLEAN 1u

_Static_assert(SMF__WAL_ITEM_HEADER_BYTES + TOPIC_NAME + SMF__WAL_TOPIC_NAME_MAX_BYTES <=
                   SMF__WAL_ITEM_WRITTEN_MAX_BYTES,
               "the largest item fits");

/* Writes an item's header and zeroes for its payload; returns the payload. */
static uint8_t *begin(uint8_t *bytes_out, uint32_t type, uint32_t size)
{
    memset(bytes_out, 0, smf__wal_item_bytes(size));
    smf__put_u32(bytes_out + ITEM_SIZE, size);
    smf__put_u16(bytes_out + ITEM_TYPE, (uint16_t)type);
    return bytes_out + SMF__WAL_ITEM_HEADER_BYTES;
}

int smf__wal_item_next(struct smf__wal_rest *rest, struct smf__wal_item *item_out)
{
    if (rest->size == 0)
        return SMF__WAL_END;
    if (rest->size < SMF__WAL_ITEM_HEADER_BYTES)
        return SMF__WAL_OUT_OF_RANGE;
    uint32_t size = smf__get_u32(rest->data + ITEM_SIZE);
    if (size > SMF__WAL_ITEM_MAX_BYTES || smf__wal_item_bytes(size) > rest->size)
        return SMF__WAL_OUT_OF_RANGE;
    item_out->type = smf__get_u16(rest->data + ITEM_TYPE);
    item_out->size = size;
    item_out->data = rest->data + SMF__WAL_ITEM_HEADER_BYTES;
    rest->data += smf__wal_item_bytes(size);
    rest->size -= smf__wal_item_bytes(size);
    int known = item_out->type != 0 && item_out->type <= SMF__WAL_ITEM_CHECKPOINT;
    return known || item_out->type >= SMF__WAL_ITEM_MAY_SKIP ? SMF__WAL_GOOD : SMF__WAL_UNSUPPORTED;
}

static int topic_ok(const struct smf__wal_topic *topic)
{
    return topic->topic_id != 0 && topic->created_us >= -SMF__WAL_TIME_MAX_US &&
           topic->created_us <= SMF__WAL_TIME_MAX_US && topic->partitions > 0 &&
           topic->partitions <= SMF__WAL_PARTITIONS_MAX &&
           topic->record_max_bytes <= SMF__WAL_RECORD_MAX_BYTES &&
           topic->segment_bytes <= SMF__WAL_FILE_MAX_BYTES &&
           smf__wal_topic_name_ok(topic->name, topic->name_size);
}

uint32_t smf__wal_topic_write(const struct smf__wal_topic *topic, uint8_t *bytes_out)
{
    if (!topic_ok(topic))
        return 0;
    uint32_t size = TOPIC_NAME + topic->name_size;
    uint8_t *to = begin(bytes_out, SMF__WAL_ITEM_TOPIC, size);
    smf__put_u64(to + TOPIC_ID, topic->topic_id);
    smf__put_u64(to + TOPIC_CREATED_US, (uint64_t)topic->created_us);
    smf__put_u32(to + TOPIC_PARTITIONS, topic->partitions);
    smf__put_u32(to + TOPIC_RECORD_MAX_BYTES, topic->record_max_bytes);
    smf__put_u64(to + TOPIC_SEGMENT_BYTES, topic->segment_bytes);
    smf__put_u64(to + TOPIC_RETENTION_BYTES, topic->retention_bytes);
    smf__put_u64(to + TOPIC_RETENTION_US, topic->retention_us);
    smf__put_u32(to + TOPIC_NAME_AT, TOPIC_NAME);
    smf__put_u32(to + TOPIC_NAME_SIZE, topic->name_size);
    memcpy(to + TOPIC_NAME, topic->name, topic->name_size);
    return (uint32_t)smf__wal_item_bytes(size);
}

int smf__wal_topic_read(const struct smf__wal_item *item, struct smf__wal_topic *topic_out)
{
    if (item->type != SMF__WAL_ITEM_TOPIC || item->size < TOPIC_NAME)
        return SMF__WAL_OUT_OF_RANGE;
    uint32_t name_at = smf__get_u32(item->data + TOPIC_NAME_AT);
    uint32_t name_size = smf__get_u32(item->data + TOPIC_NAME_SIZE);
    if (name_at < TOPIC_NAME || name_at > item->size || name_size > item->size - name_at)
        return SMF__WAL_OUT_OF_RANGE;
    topic_out->topic_id = smf__get_u64(item->data + TOPIC_ID);
    topic_out->created_us = (int64_t)smf__get_u64(item->data + TOPIC_CREATED_US);
    topic_out->partitions = smf__get_u32(item->data + TOPIC_PARTITIONS);
    topic_out->record_max_bytes = smf__get_u32(item->data + TOPIC_RECORD_MAX_BYTES);
    topic_out->segment_bytes = smf__get_u64(item->data + TOPIC_SEGMENT_BYTES);
    topic_out->retention_bytes = smf__get_u64(item->data + TOPIC_RETENTION_BYTES);
    topic_out->retention_us = smf__get_u64(item->data + TOPIC_RETENTION_US);
    topic_out->name = (const char *)item->data + name_at;
    topic_out->name_size = name_size;
    return topic_ok(topic_out) ? SMF__WAL_GOOD : SMF__WAL_OUT_OF_RANGE;
}

uint32_t smf__wal_topic_gone_write(uint64_t topic_id, uint8_t *bytes_out)
{
    if (topic_id == 0)
        return 0;
    smf__put_u64(begin(bytes_out, SMF__WAL_ITEM_TOPIC_GONE, TOPIC_GONE_BYTES), topic_id);
    return (uint32_t)smf__wal_item_bytes(TOPIC_GONE_BYTES);
}

int smf__wal_topic_gone_read(const struct smf__wal_item *item, uint64_t *topic_id_out)
{
    if (item->type != SMF__WAL_ITEM_TOPIC_GONE || item->size < TOPIC_GONE_BYTES)
        return SMF__WAL_OUT_OF_RANGE;
    *topic_id_out = smf__get_u64(item->data + TOPIC_ID);
    return *topic_id_out != 0 ? SMF__WAL_GOOD : SMF__WAL_OUT_OF_RANGE;
}

static int head_ok(const struct smf__wal_head *head)
{
    return head->topic_id != 0 && head->partition < SMF__WAL_PARTITIONS_MAX &&
           head->offset <= SMF__WAL_OFFSET_MAX;
}

uint32_t smf__wal_head_write(const struct smf__wal_head *head, uint8_t *bytes_out)
{
    if (!head_ok(head))
        return 0;
    uint8_t *to = begin(bytes_out, SMF__WAL_ITEM_HEAD, HEAD_BYTES);
    smf__put_u64(to + TOPIC_ID, head->topic_id);
    smf__put_u32(to + HEAD_PARTITION, head->partition);
    smf__put_u64(to + HEAD_OFFSET, head->offset);
    return (uint32_t)smf__wal_item_bytes(HEAD_BYTES);
}

int smf__wal_head_read(const struct smf__wal_item *item, struct smf__wal_head *head_out)
{
    if (item->type != SMF__WAL_ITEM_HEAD || item->size < HEAD_BYTES)
        return SMF__WAL_OUT_OF_RANGE;
    head_out->topic_id = smf__get_u64(item->data + TOPIC_ID);
    head_out->partition = smf__get_u32(item->data + HEAD_PARTITION);
    head_out->offset = smf__get_u64(item->data + HEAD_OFFSET);
    return head_ok(head_out) ? SMF__WAL_GOOD : SMF__WAL_OUT_OF_RANGE;
}

static int checkpoint_ok(const struct smf__wal_checkpoint *checkpoint)
{
    uint64_t position = smf__wal_place_position(checkpoint->end);
    return checkpoint->topic_id != 0 && checkpoint->partition < SMF__WAL_PARTITIONS_MAX &&
           checkpoint->next_offset <= SMF__WAL_OFFSET_MAX &&
           smf__wal_place_number(checkpoint->end) != 0 && position % SMF__WAL_ALIGN_BYTES == 0 &&
           position >= SMF__WAL_BLOCK_MIN_BYTES && position <= SMF__WAL_FILE_MAX_BYTES;
}

uint32_t smf__wal_checkpoint_write(const struct smf__wal_checkpoint *checkpoint, uint8_t *bytes_out)
{
    if (!checkpoint_ok(checkpoint))
        return 0;
    uint8_t *to = begin(bytes_out, SMF__WAL_ITEM_CHECKPOINT, CHECKPOINT_BYTES);
    smf__put_u64(to + TOPIC_ID, checkpoint->topic_id);
    smf__put_u32(to + CHECKPOINT_PARTITION, checkpoint->partition);
    smf__put_u32(to + CHECKPOINT_FLAGS, checkpoint->clean ? CHECKPOINT_CLEAN : 0);
    smf__put_u64(to + CHECKPOINT_END, checkpoint->end);
    smf__put_u64(to + CHECKPOINT_NEXT_OFFSET, checkpoint->next_offset);
    smf__put_u32(to + CHECKPOINT_PREV_CRC, checkpoint->prev_crc);
    return (uint32_t)smf__wal_item_bytes(CHECKPOINT_BYTES);
}

int smf__wal_checkpoint_read(const struct smf__wal_item *item,
                             struct smf__wal_checkpoint *checkpoint_out)
{
    if (item->type != SMF__WAL_ITEM_CHECKPOINT || item->size < CHECKPOINT_BYTES)
        return SMF__WAL_OUT_OF_RANGE;
    checkpoint_out->topic_id = smf__get_u64(item->data + TOPIC_ID);
    checkpoint_out->partition = smf__get_u32(item->data + CHECKPOINT_PARTITION);
    checkpoint_out->clean = (smf__get_u32(item->data + CHECKPOINT_FLAGS) & CHECKPOINT_CLEAN) != 0;
    checkpoint_out->end = smf__get_u64(item->data + CHECKPOINT_END);
    checkpoint_out->next_offset = smf__get_u64(item->data + CHECKPOINT_NEXT_OFFSET);
    checkpoint_out->prev_crc = smf__get_u32(item->data + CHECKPOINT_PREV_CRC);
    return checkpoint_ok(checkpoint_out) ? SMF__WAL_GOOD : SMF__WAL_OUT_OF_RANGE;
}
