/* Any bytes are the beginning of a log file: what passes has nothing illegal in it and comes back as it
 * was, and no scan of what stands behind it leaves the bytes or goes on for ever.
 *
 * The first byte of the input says what is repaired, since no fuzzer finds a checksum: the header's, and
 * those of headers and bodies at every block. */
#include <stdlib.h>

#include "wal/wal_bytes.h"
#include "wal/wal_crc.h"
#include "wal/wal_scan.h"

#define HEADER SMF__WAL_FILE_HEADER_BYTES

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void repair_file(uint8_t *bytes, size_t size)
{
    static const uint8_t magic[] = {0x89, 's', 'm', 'f', 'w', 'a', 'l', '\n'};
    if (size < HEADER)
        return;
    memcpy(bytes, magic, sizeof(magic));
    uint32_t crc = smf__crc32c(0, bytes, 12);
    smf__put_u32(bytes + 12, smf__crc32c(crc, bytes + 16, HEADER - 16));
}

static void repair_batch(uint8_t *bytes, size_t size, uint64_t id, uint64_t position)
{
    uint32_t header = smf__get_u16(bytes + 12), body = smf__get_u32(bytes + 8);
    if (header < 96 || header > size)
        return;
    if (body <= size - header)
        smf__put_u32(bytes + 4, smf__crc32c(0, bytes + header, body));
    uint8_t seed[16];
    smf__put_u64(seed, id);
    smf__put_u64(seed + 8, position);
    uint32_t crc = smf__crc32c(0, seed, sizeof(seed));
    smf__put_u32(bytes, smf__crc32c(crc, bytes + 4, header - 4));
}

/* Each batch that would be next is made to verify and to follow the one before. */
static void repair_batches(uint8_t *bytes, size_t size, const struct smf__wal_file *file)
{
    uint32_t prev_crc = file->follows_crc;
    uint64_t next_offset = file->first_offset;
    for (uint64_t at = file->block_bytes; at + 96 <= size;) {
        smf__put_u32(bytes + at + 88, prev_crc);
        smf__put_u64(bytes + at + 24, next_offset);
        repair_batch(bytes + at, size - at, file->id, at);
        struct smf__wal_batch batch;
        int status = smf__wal_batch_parse(bytes + at, size - at, file, at, &batch);
        if (status != SMF__WAL_GOOD && status != SMF__WAL_UNSUPPORTED)
            return;
        prev_crc = batch.header_crc;
        next_offset += batch.count;
        at += smf__wal_batch_bytes(&batch);
    }
}

static void check_scan(const uint8_t *bytes, size_t size, const struct smf__wal_file *file)
{
    struct smf__wal_window window = {bytes, 0, size};
    struct smf__wal_scan scan;
    struct smf__wal_batch batch;
    struct smf__wal_later later = {0};
    uint64_t position, end;
    int status;
    smf__wal_scan_begin(&scan, file);
    do {
        end = scan.end;
        status = smf__wal_scan_next(&scan, &window, &batch, &position);
        if (status == SMF__WAL_GOOD || status == SMF__WAL_UNSUPPORTED) {
            require(position >= end && scan.end > position && scan.end <= size + 7);
            require(scan.prev_crc == batch.header_crc);
        } else {
            require(scan.end == end);
        }
    } while (status == SMF__WAL_GOOD || status == SMF__WAL_UNSUPPORTED);
    smf__wal_later_add(&later, &scan, &window);
    require(later.position + HEADER > size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    if (size_bytes == 0)
        return 0;
    size_t size = size_bytes - 1;
    uint8_t *bytes =
        malloc(size > 0 ? size : 1); /* not one byte more, so that reading it is found */
    require(bytes != NULL);
    memcpy(bytes, data + 1, size);
    if (data[0] & 1)
        repair_file(bytes, size);
    struct smf__wal_file file;
    int status = smf__wal_file_parse(bytes, size, &file);
    uint8_t again[HEADER];
    if (status == SMF__WAL_GOOD) {
        require(smf__wal_file_encode(&file, again) == SMF__WAL_GOOD);
        struct smf__wal_file same;
        require(smf__wal_file_parse(again, HEADER, &same) == SMF__WAL_GOOD);
        require(memcmp(&file, &same, sizeof(file)) == 0);
        if (data[0] & 2)
            repair_batches(bytes, size, &file);
        check_scan(bytes, size, &file);
    }
    free(bytes);
    return 0;
}
