/* Any bytes are the body of a batch: records and headers that are taken from it lie inside of it, and
 * what passes as a whole body can be written again and says the same then. The first 12 bytes of the
 * input are a base time and a count. */
#include <stdlib.h>

#include "wal/wal_bytes.h"
#include "wal/wal_format.h"
#include "wal/wal_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void require_inside(struct smf__wal_bytes got, const uint8_t *bytes, size_t size)
{
    require(got.data != NULL || got.size == 0);
    require(got.data == NULL || (got.data >= bytes && got.data + got.size <= bytes + size));
}

static void check_headers(struct smf__wal_bytes headers)
{
    struct smf__wal_rest rest = {.data = headers.data, .size = headers.size};
    struct smf__wal_bytes name, value;
    while (smf__wal_header_next(&rest, &name, &value) == SMF__WAL_GOOD) {
        require_inside(name, headers.data, headers.size);
        require_inside(value, headers.data, headers.size);
        uint32_t bytes = smf__wal_header_bytes(name, value);
        require(bytes >= 8 && bytes <= headers.size);
        uint8_t *again = malloc(bytes);
        require(again != NULL);
        smf__wal_header_write(name, value, again);
        struct smf__wal_rest other = {.data = again, .size = bytes};
        struct smf__wal_bytes same_name, same_value;
        require(smf__wal_header_next(&other, &same_name, &same_value) == SMF__WAL_GOOD);
        require(other.size == 0 && same_name.size == name.size && same_value.size == value.size);
        require((same_value.data == NULL) == (value.data == NULL));
        free(again);
    }
}

static void check_record(const struct smf__wal_record *record, int64_t base_us, uint64_t taken)
{
    uint32_t size = smf__wal_record_bytes(record, base_us);
    if (size == 0) /* its time is one that no batch may have */
        return;
    require(size == taken);
    uint8_t *again = malloc(size);
    require(again != NULL);
    smf__wal_record_write(record, base_us, again);
    struct smf__wal_rest rest = {.data = again, .size = size, .base_us = base_us};
    struct smf__wal_record same;
    require(smf__wal_record_next(&rest, &same) == SMF__WAL_GOOD && rest.size == 0);
    require(same.time_us == record->time_us && same.key.size == record->key.size &&
            same.value.size == record->value.size && same.headers.size == record->headers.size);
    require(record->value.size == 0 ||
            memcmp(same.value.data, record->value.data, record->value.size) == 0);
    require(record->key.size == 0 ||
            memcmp(same.key.data, record->key.data, record->key.size) == 0);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    if (size_bytes < 12)
        return 0;
    int64_t base_us = (int64_t)smf__get_u64(data);
    size_t size = size_bytes - 12;
    uint8_t *body =
        malloc(size > 0 ? size : 1); /* not one byte more, so that reading it is found */
    require(body != NULL);
    memcpy(body, data + 12, size);
    struct smf__wal_rest rest = {.data = body, .size = size, .base_us = base_us};
    struct smf__wal_record record;
    uint32_t count = 0;
    int64_t latest = INT64_MIN;
    uint64_t left = size;
    int status;
    while ((status = smf__wal_record_next(&rest, &record)) == SMF__WAL_GOOD) {
        require_inside(record.value, body, size);
        require_inside(record.key, body, size);
        require_inside(record.headers, body, size);
        check_headers(record.headers);
        check_record(&record, base_us, left - rest.size);
        latest = record.time_us > latest ? record.time_us : latest;
        left = rest.size;
        count++;
    }
    int whole = smf__wal_records_check(body, size, count, base_us, latest);
    require(whole != SMF__WAL_GOOD || (status == SMF__WAL_END && size % 8 == 0));
    whole = smf__wal_records_check(body, size, smf__get_u32(data + 8), base_us, latest);
    require(whole != SMF__WAL_GOOD || smf__get_u32(data + 8) == count);
    free(body);
    return 0;
}
