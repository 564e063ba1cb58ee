#include "wal/wal_record.h"

#include "wal/wal_bytes.h"
#include "wal/wal_format.h"

enum { RECORD_VALUE_SIZE = 0, RECORD_KEY_SIZE = 4, RECORD_HEADERS_AND_DELTA = 8 };

enum { HEADER_NAME_SIZE = 0, HEADER_VALUE_SIZE = 4 };

#define SIZE_OF_NONE UINT32_MAX

static uint64_t round_up(uint64_t size)
{
    return smf__round_up(size, SMF__WAL_ALIGN_BYTES);
}

static uint32_t size_of(struct smf__wal_bytes bytes)
{
    return bytes.data == NULL ? 0 : bytes.size;
}

/* Writes bytes and returns where they end. */
static uint8_t *append(uint8_t *at, struct smf__wal_bytes bytes)
{
    if (size_of(bytes) > 0)
        memcpy(at, bytes.data, bytes.size);
    return at + size_of(bytes);
}

static void pad(uint8_t *at, const uint8_t *end)
{
    while (at < end)
        *at++ = 0;
}

uint32_t smf__wal_record_bytes(const struct smf__wal_record *record, int64_t base_us)
{
    /* Both are far from the ends of 64 bits, or too far apart. */
    if (base_us < -SMF__WAL_TIME_MAX_US || base_us > SMF__WAL_TIME_MAX_US ||
        record->time_us < -SMF__WAL_TIME_MAX_US || record->time_us > SMF__WAL_TIME_MAX_US)
        return 0;
    int64_t delta = record->time_us - base_us;
    uint32_t headers = size_of(record->headers);
    if (delta > SMF__WAL_DELTA_MAX_US || delta < -SMF__WAL_DELTA_MAX_US ||
        headers > SMF__WAL_HEADERS_MAX_BYTES || headers % SMF__WAL_ALIGN_BYTES != 0)
        return 0;
    uint64_t size = SMF__WAL_RECORD_HEADER_BYTES +
                    round_up((uint64_t)size_of(record->value) + size_of(record->key)) + headers;
    return size <= SMF__WAL_RECORD_MAX_BYTES ? (uint32_t)size : 0;
}

void smf__wal_record_write(const struct smf__wal_record *record, int64_t base_us,
                           uint8_t *bytes_out)
{
    uint32_t headers = size_of(record->headers);
    uint8_t *end = bytes_out + smf__wal_record_bytes(record, base_us);
    smf__put_u32(bytes_out + RECORD_VALUE_SIZE,
                 record->value.data == NULL ? SIZE_OF_NONE : record->value.size);
    smf__put_u32(bytes_out + RECORD_KEY_SIZE,
                 record->key.data == NULL ? SIZE_OF_NONE : record->key.size);
    smf__put_u64(bytes_out + RECORD_HEADERS_AND_DELTA,
                 (uint64_t)(record->time_us - base_us) << 16 | headers / SMF__WAL_ALIGN_BYTES);
    uint8_t *at = append(bytes_out + SMF__WAL_RECORD_HEADER_BYTES, record->value);
    at = append(at, record->key);
    pad(at, end - headers);
    append(end - headers, record->headers);
}

uint32_t smf__wal_header_bytes(struct smf__wal_bytes name, struct smf__wal_bytes value)
{
    uint64_t size =
        SMF__WAL_HEADER_HEADER_BYTES + round_up((uint64_t)size_of(name) + size_of(value));
    return size <= SMF__WAL_HEADERS_MAX_BYTES ? (uint32_t)size : 0;
}

void smf__wal_header_write(struct smf__wal_bytes name, struct smf__wal_bytes value,
                           uint8_t *bytes_out)
{
    smf__put_u32(bytes_out + HEADER_NAME_SIZE, size_of(name));
    smf__put_u32(bytes_out + HEADER_VALUE_SIZE, value.data == NULL ? SIZE_OF_NONE : value.size);
    uint8_t *at = append(bytes_out + SMF__WAL_HEADER_HEADER_BYTES, name);
    at = append(at, value);
    pad(at, bytes_out + smf__wal_header_bytes(name, value));
}

/* Bytes of a size that was read; they are there. */
static struct smf__wal_bytes lend(const uint8_t *at, uint32_t size)
{
    if (size == SIZE_OF_NONE)
        return (struct smf__wal_bytes){NULL, 0};
    return (struct smf__wal_bytes){at, size};
}

static uint32_t plain_size(uint32_t size)
{
    return size == SIZE_OF_NONE ? 0 : size;
}

static void advance(struct smf__wal_rest *rest, uint64_t size)
{
    rest->data += size;
    rest->size -= size;
}

int smf__wal_record_next(struct smf__wal_rest *rest, struct smf__wal_record *record_out)
{
    if (rest->size == 0)
        return SMF__WAL_END;
    if (rest->size < SMF__WAL_RECORD_HEADER_BYTES)
        return SMF__WAL_OUT_OF_RANGE;
    const uint8_t *at = rest->data;
    uint32_t value_size = smf__get_u32(at + RECORD_VALUE_SIZE);
    uint32_t key_size = smf__get_u32(at + RECORD_KEY_SIZE);
    uint64_t word = smf__get_u64(at + RECORD_HEADERS_AND_DELTA);
    uint32_t headers = (uint32_t)(word & UINT16_MAX) * SMF__WAL_ALIGN_BYTES;
    uint64_t before_headers = SMF__WAL_RECORD_HEADER_BYTES +
                              round_up((uint64_t)plain_size(value_size) + plain_size(key_size));
    uint64_t size = before_headers + headers;
    if (size > SMF__WAL_RECORD_MAX_BYTES || size > rest->size)
        return SMF__WAL_OUT_OF_RANGE;
    at += SMF__WAL_RECORD_HEADER_BYTES;
    record_out->value = lend(at, value_size);
    record_out->key = lend(at + plain_size(value_size), key_size);
    record_out->headers = lend(rest->data + before_headers, headers);
    record_out->time_us = (int64_t)((uint64_t)rest->base_us + (uint64_t)((int64_t)word >> 16));
    advance(rest, size);
    return SMF__WAL_GOOD;
}

int smf__wal_header_next(struct smf__wal_rest *rest, struct smf__wal_bytes *name_out,
                         struct smf__wal_bytes *value_out)
{
    if (rest->size == 0)
        return SMF__WAL_END;
    if (rest->size < SMF__WAL_HEADER_HEADER_BYTES)
        return SMF__WAL_OUT_OF_RANGE;
    uint32_t name_size = smf__get_u32(rest->data + HEADER_NAME_SIZE);
    uint32_t value_size = smf__get_u32(rest->data + HEADER_VALUE_SIZE);
    uint64_t size =
        SMF__WAL_HEADER_HEADER_BYTES + round_up((uint64_t)name_size + plain_size(value_size));
    if (name_size == SIZE_OF_NONE || size > rest->size)
        return SMF__WAL_OUT_OF_RANGE;
    const uint8_t *at = rest->data + SMF__WAL_HEADER_HEADER_BYTES;
    *name_out = lend(at, name_size);
    *value_out = lend(at + name_size, value_size);
    advance(rest, size);
    return SMF__WAL_GOOD;
}

static int headers_check(struct smf__wal_bytes headers)
{
    struct smf__wal_rest rest = {.data = headers.data, .size = headers.size};
    struct smf__wal_bytes name, value;
    int status;
    do
        status = smf__wal_header_next(&rest, &name, &value);
    while (status == SMF__WAL_GOOD);
    return status;
}

int smf__wal_records_check(const uint8_t *body, uint64_t size, uint32_t count, int64_t base_us,
                           int64_t max_us)
{
    struct smf__wal_rest rest = {.data = body, .size = size, .base_us = base_us};
    struct smf__wal_record record;
    uint64_t found = 0;
    int64_t latest = INT64_MIN;
    int status;
    while ((status = smf__wal_record_next(&rest, &record)) == SMF__WAL_GOOD) {
        if (record.time_us > SMF__WAL_TIME_MAX_US || record.time_us < -SMF__WAL_TIME_MAX_US ||
            (record.headers.size > 0 && headers_check(record.headers) != SMF__WAL_END))
            return SMF__WAL_OUT_OF_RANGE;
        if (record.time_us > latest)
            latest = record.time_us;
        found++;
    }
    if (status != SMF__WAL_END || found != count || latest != max_us)
        return SMF__WAL_OUT_OF_RANGE;
    return SMF__WAL_GOOD;
}
