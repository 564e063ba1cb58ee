/* A log whose META is any bytes: opened to read, and to write, read, appended to, and opened again. Nothing
 * crashes, leaks or comes to no end, and what could be read once stays.
 *
 * The first byte of the input says what is mended in the rest, which is META, and what else is there. */
#include "fuzz_wal_open.h"

enum { NO_SEGMENTS = 8, NO_SECOND = 16 };

/* How many partitions does META make? Of what does not verify it makes none. */
static uint64_t partitions_of(const struct image *meta)
{
    struct smf__wal_window window = {meta->bytes, 0, meta->size};
    struct smf__wal_file file;
    struct smf__wal_scan scan;
    struct smf__wal_batch batch;
    uint64_t position, count = 0;
    if (smf__wal_file_parse(meta->bytes, meta->size, &file) != SMF__WAL_GOOD)
        return 0;
    smf__wal_scan_begin(&scan, &file);
    while (smf__wal_scan_next(&scan, &window, &batch, &position) == SMF__WAL_GOOD) {
        struct smf__wal_rest rest = {.data = meta->bytes + position + batch.header_bytes,
                                     .size = batch.body_bytes};
        struct smf__wal_item item;
        struct smf__wal_topic topic;
        while (smf__wal_item_next(&rest, &item) == SMF__WAL_GOOD) {
            if (item.type == SMF__WAL_ITEM_TOPIC &&
                smf__wal_topic_read(&item, &topic) == SMF__WAL_GOOD)
                count += topic.partitions;
        }
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static struct image log[FILES], bare, files[FILES];
    if (log[META].size == 0)
        write_log(log, &bare);
    if (size_bytes < 1 || size_bytes > INPUT_MAX_BYTES)
        return 0;
    memcpy(files, log, sizeof(files));
    fill(&files[META], data + 1, size_bytes - 1);
    mend(&files[META], data[0]);
    if (data[0] & NO_SEGMENTS)
        files[FIRST].size = files[SECOND].size = 0;
    if (data[0] & NO_SECOND)
        files[SECOND].size = 0;
    if (partitions_of(&files[META]) <= PARTITIONS_MAX)
        tell(files);
    return 0;
}
