/* A log of which one segment is any bytes, or both: opened to read, and to write, read, appended to, and
 * opened again. Nothing crashes, leaks or comes to no end, and what could be read once stays.
 *
 * The first byte of the input says what is mended, the second one how long the first file is, in steps of
 * 64 bytes; the rest is the two files. */
#include "fuzz_wal_open.h"

#define SIZE_STEP_BYTES 64u

enum {
    BELONGS = 8, /* block 0 is made to say what name and folder do; else the name is what it says */
    FOLLOWS = 16,   /* the second file is made to follow the end of the first */
    BARE = 32,      /* META has no checkpoint */
    ONE_FILE = 64,  /* the other one is as it was */
    ONLY_FILE = 128 /* the second one is not there */
};

static void put_identity(struct image *file, uint32_t number, uint64_t topic_id)
{
    if (file->size < HEADER)
        return;
    smf__put_u32(file->bytes + 20, SMF__WAL_FILE_SEGMENT);
    smf__put_u32(file->bytes + 32, number);
    smf__put_u64(file->bytes + 40, number == 1 ? 0 : FIRST_OFFSET);
    smf__put_u32(file->bytes + 68, 0);
    smf__put_u64(file->bytes + 72, topic_id);
}

/* The second file follows what can be read of the first. */
static void put_link(const struct image *first, struct image *second)
{
    struct smf__wal_window window = {first->bytes, 0, first->size};
    struct smf__wal_file file;
    struct smf__wal_scan scan;
    struct smf__wal_batch batch;
    uint64_t position;
    int status;
    if (second->size < HEADER ||
        smf__wal_file_parse(first->bytes, first->size, &file) != SMF__WAL_GOOD)
        return;
    smf__wal_scan_begin(&scan, &file);
    do {
        status = smf__wal_scan_next(&scan, &window, &batch, &position);
    } while (status == SMF__WAL_GOOD || status == SMF__WAL_UNSUPPORTED);
    smf__put_u64(second->bytes + 48, smf__wal_place(file.number, scan.end));
    smf__put_u32(second->bytes + 64, scan.prev_crc);
}

static void put_name(struct image *image)
{
    struct smf__wal_file file;
    char name[SMF__WAL_FILE_NAME_BYTES];
    if (smf__wal_file_parse(image->bytes, image->size, &file) != SMF__WAL_GOOD)
        return;
    smf__wal_file_name(file.number, file.first_offset, name);
    snprintf(image->path, sizeof(image->path), "/log/orders/0/%s", name);
}

static void mend_segments(struct image *files, uint32_t what, uint64_t topic_id)
{
    for (uint32_t i = FIRST; i <= SECOND; i++) {
        if (what & BELONGS)
            put_identity(&files[i], i, topic_id);
        if (i == SECOND && (what & FOLLOWS))
            put_link(&files[FIRST], &files[SECOND]);
        mend(&files[i], what);
        if (!(what & BELONGS))
            put_name(&files[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static struct image log[FILES], bare, files[FILES];
    static uint64_t topic_id;
    if (log[META].size == 0)
        topic_id = write_log(log, &bare);
    if (size_bytes < 2 || size_bytes > INPUT_MAX_BYTES)
        return 0;
    uint64_t first = data[1] * SIZE_STEP_BYTES, rest = size_bytes - 2;
    first = first > rest ? rest : first;
    memcpy(files, log, sizeof(files));
    if (data[0] & BARE)
        files[META] = bare;
    if (!(data[0] & ONE_FILE) || first > 0)
        fill(&files[FIRST], data + 2, first);
    if (!(data[0] & ONE_FILE) || first == 0)
        fill(&files[SECOND], data + 2 + first, rest - first);
    if (data[0] & ONLY_FILE)
        files[SECOND].size = 0;
    mend_segments(files, data[0], topic_id);
    tell(files);
    return 0;
}
