#include "wal/wal_format.h"

#include <stdio.h>

#include "wal/wal_bytes.h"
#include "wal/wal_crc.h"

/* Fields of the header of a file, and of a batch. docs/wal-format.md has the pictures. */
enum {
    FILE_MAGIC = 0,
    FILE_VERSION = 8,
    FILE_CRC = 12,
    FILE_FLAGS = 16,
    FILE_KIND = 20,
    FILE_ID = 24,
    FILE_NUMBER = 32,
    FILE_BLOCK_BYTES = 36,
    FILE_FIRST_OFFSET = 40,
    FILE_FOLLOWS = 48,
    FILE_DURABLE_BEFORE = 56,
    FILE_FOLLOWS_CRC = 64,
    FILE_PARTITION = 68,
    FILE_TOPIC_ID = 72,
    FILE_CREATED_US = 80,
    FILE_TOPIC_NAME_SIZE = 88,
    FILE_TOPIC_NAME = 96
};

enum {
    BATCH_HEADER_CRC = 0,
    BATCH_BODY_CRC = 4,
    BATCH_BODY_BYTES = 8,
    BATCH_HEADER_BYTES = 12,
    BATCH_KIND = 14,
    BATCH_COMPRESSION = 15,
    BATCH_FLAGS = 16,
    BATCH_COUNT = 20,
    BATCH_FIRST_OFFSET = 24,
    BATCH_BASE_US = 32,
    BATCH_MAX_US = 40,
    BATCH_DURABLE_BEFORE = 48,
    BATCH_PRODUCER_ID = 56,
    BATCH_PRODUCER_EPOCH = 64,
    BATCH_PRODUCER_SEQUENCE = 68,
    BATCH_CONSENSUS_INDEX = 72,
    BATCH_CONSENSUS_TERM = 80,
    BATCH_RESERVED = 84,
    BATCH_PREV_CRC = 88,
    BATCH_PLAIN_BYTES = 92
};

static const uint8_t magic[8] = {0x89, 's', 'm', 'f', 'w', 'a', 'l', '\n'};

const char *smf__wal_status_name(int status)
{
    static const char *const names[SMF__WAL_STATUSES] = {
        [SMF__WAL_GOOD] = "good",
        [SMF__WAL_END] = "end",
        [SMF__WAL_TRUNCATED] = "truncated",
        [SMF__WAL_NOT_OURS] = "not ours",
        [SMF__WAL_MISPLACED] = "misplaced",
        [SMF__WAL_TOO_NEW] = "too new",
        [SMF__WAL_UNSUPPORTED] = "unsupported",
        [SMF__WAL_DAMAGED_HEADER] = "damaged header",
        [SMF__WAL_DAMAGED_BODY] = "damaged body",
        [SMF__WAL_OUT_OF_RANGE] = "out of range",
    };
    return status >= 0 && status < SMF__WAL_STATUSES ? names[status] : "unknown status";
}

int smf__wal_is_zero(const uint8_t *bytes, uint64_t size)
{
    /* Each byte is the one before it, and the first one is zero. */
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* --- names ---------------------------------------------------------------------------------------- */

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int is_letter_or_digit(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int smf__wal_topic_name_ok(const char *name, size_t size)
{
    if (size == 0 || size > SMF__WAL_TOPIC_NAME_MAX_BYTES || !is_letter_or_digit(name[0]))
        return 0;
    for (size_t i = 1; i < size; i++) {
        if (!is_letter_or_digit(name[i]) && name[i] != '.' && name[i] != '_' && name[i] != '-')
            return 0;
    }
    /* The log's own, also with a dot and more behind it. */
    return size < 4 || (memcmp(name, "META", 4) != 0 && memcmp(name, "LOCK", 4) != 0) ||
           (size > 4 && name[4] != '.');
}

void smf__wal_file_name(uint32_t number, uint64_t first_offset, char *name_out)
{
    snprintf(name_out, SMF__WAL_FILE_NAME_BYTES, "%010u-%020llu.seg", number,
             (unsigned long long)first_offset);
}

/* Reads so many digits. Returns whether they are digits, and their number is at most max. */
static int parse_digits(const char *text, int count, uint64_t max, uint64_t *number_out)
{
    uint64_t number = 0;
    for (int i = 0; i < count; i++) {
        if (!is_digit(text[i]))
            return 0;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (number > (max - digit) / 10)
            return 0;
        number = number * 10 + digit;
    }
    *number_out = number;
    return 1;
}

int smf__wal_file_name_parse(const char *name, uint32_t *number_out, uint64_t *first_offset_out)
{
    uint64_t number, first_offset;
    if (strnlen(name, SMF__WAL_FILE_NAME_BYTES) != SMF__WAL_FILE_NAME_BYTES - 1 ||
        !parse_digits(name, 10, UINT32_MAX, &number) || number == 0 || name[10] != '-' ||
        !parse_digits(name + 11, 20, SMF__WAL_OFFSET_MAX, &first_offset) ||
        strcmp(name + 31, ".seg") != 0) {
        return SMF__WAL_NOT_OURS;
    }
    *number_out = (uint32_t)number;
    *first_offset_out = first_offset;
    return SMF__WAL_GOOD;
}

/* --- block 0 -------------------------------------------------------------------------------------- */

static int time_ok(int64_t time_us)
{
    return time_us >= -SMF__WAL_TIME_MAX_US && time_us <= SMF__WAL_TIME_MAX_US;
}

static int topic_ok(const struct smf__wal_file *file)
{
    if (file->kind == SMF__WAL_FILE_META)
        return file->topic_name_size == 0 && file->partition == 0;
    return smf__wal_topic_name_ok(file->topic_name, file->topic_name_size) &&
           file->partition < SMF__WAL_PARTITIONS_MAX;
}

/* What follows and the two that go with it say. */
static int follows_ok(const struct smf__wal_file *file)
{
    if (file->follows == 0)
        return file->follows_crc == 0 && file->durable_before == 0;
    uint64_t position = smf__wal_place_position(file->follows);
    return smf__wal_place_number(file->follows) != 0 &&
           smf__wal_place_number(file->follows) < file->number &&
           position % SMF__WAL_ALIGN_BYTES == 0 && position <= SMF__WAL_FILE_MAX_BYTES &&
           file->durable_before <= file->follows;
}

static int file_check(const struct smf__wal_file *file)
{
    if ((file->flags & SMF__WAL_FLAGS_MUST) != 0 ||
        (file->kind != SMF__WAL_FILE_SEGMENT && file->kind != SMF__WAL_FILE_META)) {
        return SMF__WAL_UNSUPPORTED;
    }
    if (file->block_bytes < SMF__WAL_BLOCK_MIN_BYTES ||
        file->block_bytes > SMF__WAL_BLOCK_MAX_BYTES ||
        (file->block_bytes & (file->block_bytes - 1)) != 0 || file->id == 0 || file->number == 0 ||
        file->topic_id == 0 || file->first_offset > SMF__WAL_OFFSET_MAX || !topic_ok(file) ||
        !follows_ok(file) || !time_ok(file->created_us)) {
        return SMF__WAL_OUT_OF_RANGE;
    }
    return SMF__WAL_GOOD;
}

static uint32_t file_crc(const uint8_t *bytes)
{
    uint32_t crc = smf__crc32c(0, bytes, FILE_CRC);
    return smf__crc32c(crc, bytes + FILE_FLAGS, SMF__WAL_FILE_HEADER_BYTES - FILE_FLAGS);
}

int smf__wal_file_encode(const struct smf__wal_file *file, uint8_t *bytes_out)
{
    int status = file_check(file);
    if (status != SMF__WAL_GOOD)
        return status;
    memset(bytes_out, 0, SMF__WAL_FILE_HEADER_BYTES);
    memcpy(bytes_out + FILE_MAGIC, magic, sizeof(magic));
    smf__put_u32(bytes_out + FILE_VERSION, SMF__WAL_VERSION);
    smf__put_u32(bytes_out + FILE_FLAGS, file->flags);
    smf__put_u32(bytes_out + FILE_KIND, file->kind);
    smf__put_u64(bytes_out + FILE_ID, file->id);
    smf__put_u32(bytes_out + FILE_NUMBER, file->number);
    smf__put_u32(bytes_out + FILE_BLOCK_BYTES, file->block_bytes);
    smf__put_u64(bytes_out + FILE_FIRST_OFFSET, file->first_offset);
    smf__put_u64(bytes_out + FILE_FOLLOWS, file->follows);
    smf__put_u64(bytes_out + FILE_DURABLE_BEFORE, file->durable_before);
    smf__put_u32(bytes_out + FILE_FOLLOWS_CRC, file->follows_crc);
    smf__put_u32(bytes_out + FILE_PARTITION, file->partition);
    smf__put_u64(bytes_out + FILE_TOPIC_ID, file->topic_id);
    smf__put_u64(bytes_out + FILE_CREATED_US, (uint64_t)file->created_us);
    smf__put_u32(bytes_out + FILE_TOPIC_NAME_SIZE, file->topic_name_size);
    memcpy(bytes_out + FILE_TOPIC_NAME, file->topic_name, file->topic_name_size);
    smf__put_u32(bytes_out + FILE_CRC, file_crc(bytes_out));
    return SMF__WAL_GOOD;
}

int smf__wal_file_parse(const uint8_t *bytes, uint64_t size, struct smf__wal_file *file_out)
{
    memset(file_out, 0, sizeof(*file_out));
    if (size < SMF__WAL_FILE_HEADER_BYTES)
        return SMF__WAL_TRUNCATED;
    if (memcmp(bytes + FILE_MAGIC, magic, sizeof(magic)) != 0)
        return SMF__WAL_NOT_OURS;
    if (smf__get_u32(bytes + FILE_CRC) != file_crc(bytes))
        return SMF__WAL_DAMAGED_HEADER;
    file_out->version = smf__get_u32(bytes + FILE_VERSION);
    if (file_out->version > SMF__WAL_VERSION)
        return SMF__WAL_TOO_NEW;
    file_out->flags = smf__get_u32(bytes + FILE_FLAGS);
    file_out->kind = smf__get_u32(bytes + FILE_KIND);
    file_out->id = smf__get_u64(bytes + FILE_ID);
    file_out->number = smf__get_u32(bytes + FILE_NUMBER);
    file_out->block_bytes = smf__get_u32(bytes + FILE_BLOCK_BYTES);
    file_out->first_offset = smf__get_u64(bytes + FILE_FIRST_OFFSET);
    file_out->follows = smf__get_u64(bytes + FILE_FOLLOWS);
    file_out->durable_before = smf__get_u64(bytes + FILE_DURABLE_BEFORE);
    file_out->follows_crc = smf__get_u32(bytes + FILE_FOLLOWS_CRC);
    file_out->partition = smf__get_u32(bytes + FILE_PARTITION);
    file_out->topic_id = smf__get_u64(bytes + FILE_TOPIC_ID);
    file_out->created_us = (int64_t)smf__get_u64(bytes + FILE_CREATED_US);
    uint32_t name_size = smf__get_u32(bytes + FILE_TOPIC_NAME_SIZE);
    if (file_out->version == 0 || name_size > SMF__WAL_TOPIC_NAME_MAX_BYTES)
        return SMF__WAL_OUT_OF_RANGE;
    file_out->topic_name_size = name_size;
    memcpy(file_out->topic_name, bytes + FILE_TOPIC_NAME, name_size);
    return file_check(file_out);
}

int smf__wal_file_belongs(const struct smf__wal_file *file, uint64_t topic_id, uint32_t partition,
                          uint32_t number, uint64_t first_offset)
{
    return file->topic_id == topic_id && file->partition == partition && file->number == number &&
                   file->first_offset == first_offset
               ? SMF__WAL_GOOD
               : SMF__WAL_MISPLACED;
}

/* --- batches -------------------------------------------------------------------------------------- */

static uint32_t id_crc(uint64_t id)
{
    uint8_t bytes[8];
    smf__put_u64(bytes, id);
    return smf__crc32c(0, bytes, sizeof(bytes));
}

/* A step of a CRC loses nothing of its 32 bits: where they differ before the same bytes, they differ
 * behind them. */
int smf__wal_id_ok(uint64_t id, uint64_t id_before)
{
    return id != 0 && (id_before == 0 || id_crc(id) != id_crc(id_before));
}

/* Of a header as if the file's id and the header's position in it stood in front. */
static uint32_t batch_crc(const uint8_t *bytes, uint32_t header_bytes, uint64_t id,
                          uint64_t position)
{
    uint8_t seed[16];
    smf__put_u64(seed, id);
    smf__put_u64(seed + 8, position);
    uint32_t crc = smf__crc32c(0, seed, sizeof(seed));
    return smf__crc32c(crc, bytes + BATCH_BODY_CRC, header_bytes - BATCH_BODY_CRC);
}

/* The smallest record is its header of 16 bytes. An unknown kind may have offsets. */
static int batch_count_ok(const struct smf__wal_batch *batch)
{
    if (batch->first_offset > SMF__WAL_OFFSET_MAX - (uint64_t)batch->count)
        return 0;
    if (batch->kind == SMF__WAL_RECORDS)
        return batch->count > 0 && batch->count <= batch->plain_bytes / 16;
    return batch->kind > SMF__WAL_META || (batch->kind != 0 && batch->count == 0);
}

/* Offsets have no gaps: who went past some without a word would hand out a log that has one. */
static int batch_may_skip(const struct smf__wal_batch *batch)
{
    return batch->kind >= SMF__WAL_KIND_MAY_SKIP && batch->count == 0;
}

static int batch_check(const struct smf__wal_batch *batch, const struct smf__wal_file *file,
                       uint64_t position)
{
    if (position % SMF__WAL_ALIGN_BYTES != 0 || position < file->block_bytes ||
        position > SMF__WAL_FILE_MAX_BYTES || batch->body_bytes > SMF__WAL_BODY_MAX_BYTES ||
        batch->plain_bytes > SMF__WAL_BODY_MAX_BYTES ||
        position + smf__wal_batch_bytes(batch) > SMF__WAL_FILE_MAX_BYTES ||
        (batch->compression == SMF__WAL_PLAIN && batch->body_bytes != batch->plain_bytes) ||
        !batch_count_ok(batch) || !time_ok(batch->base_us) || !time_ok(batch->max_us) ||
        batch->durable_before > smf__wal_place(file->number, position)) {
        return SMF__WAL_OUT_OF_RANGE;
    }
    if ((batch->flags & SMF__WAL_FLAGS_MUST) != 0 ||
        (batch->compression != SMF__WAL_PLAIN && batch->compression != SMF__WAL_ZSTD &&
         batch->compression != SMF__WAL_LZ4) ||
        (batch->kind > SMF__WAL_META && !batch_may_skip(batch))) {
        return SMF__WAL_UNSUPPORTED;
    }
    return SMF__WAL_GOOD;
}

int smf__wal_batch_encode(struct smf__wal_batch *batch, const struct smf__wal_file *file,
                          uint64_t position, uint8_t *bytes_out)
{
    batch->header_bytes = SMF__WAL_BATCH_HEADER_BYTES;
    int status = batch_check(batch, file, position);
    if (status == SMF__WAL_GOOD && (batch->kind > UINT8_MAX || batch->compression > UINT8_MAX))
        status = SMF__WAL_OUT_OF_RANGE;
    if (status != SMF__WAL_GOOD)
        return status;
    smf__put_u32(bytes_out + BATCH_BODY_CRC, batch->body_crc);
    smf__put_u32(bytes_out + BATCH_BODY_BYTES, batch->body_bytes);
    smf__put_u16(bytes_out + BATCH_HEADER_BYTES, SMF__WAL_BATCH_HEADER_BYTES);
    bytes_out[BATCH_KIND] = (uint8_t)batch->kind;
    bytes_out[BATCH_COMPRESSION] = (uint8_t)batch->compression;
    smf__put_u32(bytes_out + BATCH_FLAGS, batch->flags);
    smf__put_u32(bytes_out + BATCH_COUNT, batch->count);
    smf__put_u64(bytes_out + BATCH_FIRST_OFFSET, batch->first_offset);
    smf__put_u64(bytes_out + BATCH_BASE_US, (uint64_t)batch->base_us);
    smf__put_u64(bytes_out + BATCH_MAX_US, (uint64_t)batch->max_us);
    smf__put_u64(bytes_out + BATCH_DURABLE_BEFORE, batch->durable_before);
    smf__put_u64(bytes_out + BATCH_PRODUCER_ID, batch->producer_id);
    smf__put_u32(bytes_out + BATCH_PRODUCER_EPOCH, batch->producer_epoch);
    smf__put_u32(bytes_out + BATCH_PRODUCER_SEQUENCE, batch->producer_sequence);
    smf__put_u64(bytes_out + BATCH_CONSENSUS_INDEX, batch->consensus_index);
    smf__put_u32(bytes_out + BATCH_CONSENSUS_TERM, batch->consensus_term);
    smf__put_u32(bytes_out + BATCH_RESERVED, 0);
    smf__put_u32(bytes_out + BATCH_PREV_CRC, batch->prev_crc);
    smf__put_u32(bytes_out + BATCH_PLAIN_BYTES, batch->plain_bytes);
    batch->header_crc = batch_crc(bytes_out, SMF__WAL_BATCH_HEADER_BYTES, file->id, position);
    smf__put_u32(bytes_out + BATCH_HEADER_CRC, batch->header_crc);
    return SMF__WAL_GOOD;
}

static void batch_read(const uint8_t *bytes, struct smf__wal_batch *batch_out)
{
    batch_out->header_crc = smf__get_u32(bytes + BATCH_HEADER_CRC);
    batch_out->body_crc = smf__get_u32(bytes + BATCH_BODY_CRC);
    batch_out->body_bytes = smf__get_u32(bytes + BATCH_BODY_BYTES);
    batch_out->plain_bytes = smf__get_u32(bytes + BATCH_PLAIN_BYTES);
    batch_out->header_bytes = smf__get_u16(bytes + BATCH_HEADER_BYTES);
    batch_out->kind = bytes[BATCH_KIND];
    batch_out->compression = bytes[BATCH_COMPRESSION];
    batch_out->flags = smf__get_u32(bytes + BATCH_FLAGS);
    batch_out->count = smf__get_u32(bytes + BATCH_COUNT);
    batch_out->prev_crc = smf__get_u32(bytes + BATCH_PREV_CRC);
    batch_out->first_offset = smf__get_u64(bytes + BATCH_FIRST_OFFSET);
    batch_out->base_us = (int64_t)smf__get_u64(bytes + BATCH_BASE_US);
    batch_out->max_us = (int64_t)smf__get_u64(bytes + BATCH_MAX_US);
    batch_out->durable_before = smf__get_u64(bytes + BATCH_DURABLE_BEFORE);
    batch_out->producer_id = smf__get_u64(bytes + BATCH_PRODUCER_ID);
    batch_out->producer_epoch = smf__get_u32(bytes + BATCH_PRODUCER_EPOCH);
    batch_out->producer_sequence = smf__get_u32(bytes + BATCH_PRODUCER_SEQUENCE);
    batch_out->consensus_index = smf__get_u64(bytes + BATCH_CONSENSUS_INDEX);
    batch_out->consensus_term = smf__get_u32(bytes + BATCH_CONSENSUS_TERM);
}

int smf__wal_batch_parse(const uint8_t *bytes, uint64_t size, const struct smf__wal_file *file,
                         uint64_t position, struct smf__wal_batch *batch_out)
{
    memset(batch_out, 0, sizeof(*batch_out));
    if (size < SMF__WAL_BATCH_HEADER_BYTES)
        return SMF__WAL_TRUNCATED;
    uint32_t header_bytes = smf__get_u16(bytes + BATCH_HEADER_BYTES);
    if (header_bytes < SMF__WAL_BATCH_HEADER_BYTES ||
        header_bytes > SMF__WAL_BATCH_HEADER_MAX_BYTES || header_bytes % SMF__WAL_ALIGN_BYTES != 0)
        return SMF__WAL_DAMAGED_HEADER;
    if (size < header_bytes)
        return SMF__WAL_TRUNCATED;
    if (smf__get_u32(bytes + BATCH_HEADER_CRC) !=
        batch_crc(bytes, header_bytes, file->id, position))
        return SMF__WAL_DAMAGED_HEADER;
    batch_read(bytes, batch_out);
    return batch_check(batch_out, file, position);
}

int smf__wal_batch_read(const uint8_t *bytes, uint64_t size, struct smf__wal_batch *batch_out)
{
    if (size < SMF__WAL_BATCH_HEADER_BYTES)
        return SMF__WAL_TRUNCATED;
    memset(batch_out, 0, sizeof *batch_out);
    batch_read(bytes, batch_out);
    if (batch_out->header_bytes < SMF__WAL_BATCH_HEADER_BYTES ||
        batch_out->header_bytes > SMF__WAL_BATCH_HEADER_MAX_BYTES)
        return SMF__WAL_OUT_OF_RANGE;
    return (uint64_t)batch_out->header_bytes + batch_out->body_bytes <= size ? SMF__WAL_GOOD
                                                                             : SMF__WAL_TRUNCATED;
}

int smf__wal_body_check(const struct smf__wal_batch *batch, const uint8_t *bytes, uint64_t size)
{
    if (size < (uint64_t)batch->header_bytes + batch->body_bytes)
        return SMF__WAL_TRUNCATED;
    uint32_t crc = smf__crc32c(0, bytes + batch->header_bytes, batch->body_bytes);
    return crc == batch->body_crc ? SMF__WAL_GOOD : SMF__WAL_DAMAGED_BODY;
}
