/* For fuzzers that open a log with files of any bytes: a real log on a simulated disk, of which one file or
 * another is replaced; checksums that are mended, since no fuzzer finds them; and what is done to it then.
 *
 * The log has the topic "orders" with one partition: segment 1 from offset 0, segment 2 from offset 6. */
#ifndef SMF_FUZZ_WAL_OPEN_H
#define SMF_FUZZ_WAL_OPEN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smf/wal.h>

#include "disk/disk_sim.h"
#include "wal/wal_bytes.h"
#include "wal/wal_crc.h"
#include "wal/wal_log.h"

#define BLOCK SMF__DISK_BLOCK_MIN_BYTES
#define HEADER SMF__WAL_FILE_HEADER_BYTES
#define FILES 3u          /* META, and the two segments */
#define FIRST_OFFSET 6u   /* of the second one */
#define FILE_BYTES 16384u /* of each of them, at most */
#define INPUT_MAX_BYTES FILE_BYTES
#define PARTITIONS_MAX 64u /* of all topics: each has a folder, which is made */
#define TURNS_MAX 100000u  /* of one thing that is waited for */
#define TURN_NS 1000000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static inline void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz_wal_open: %s\n", what);
    abort();
}

enum { META, FIRST, SECOND };

static const char *const file_paths[FILES] = {"/log/META",
                                              "/log/orders/0/0000000001-00000000000000000000.seg",
                                              "/log/orders/0/0000000002-00000000000000000006.seg"};

/* A file as it is on the disk, or is put there. */
struct image {
    uint8_t bytes[FILE_BYTES];
    uint64_t size;  /* a multiple of BLOCK; 0: it is not there */
    char path[100]; /* empty: as in file_paths */
};

struct story {
    struct smf__disk_world *world;
    struct smf__disk *disk;
    struct smf__clock_manual clock;
    struct smf__wal *wal;
    int outcomes, status; /* of appends */
};

/* --- a log ---------------------------------------------------------------------------------------- */

static inline int64_t wall_us(void *context)
{
    (void)context;
    return 1700000000000000;
}

static inline void told(void *context, const struct smf__wal_outcome *outcome)
{
    struct story *story = context;
    story->outcomes++;
    story->status = outcome->status;
}

static inline int open_log(struct story *story, int read_only)
{
    struct smf__wal_options options = {.folder = "/log",
                                       .disk = story->disk,
                                       .clock = smf__clock_from_manual(&story->clock),
                                       .wall_us = wall_us,
                                       .random_seed = 1 + story->clock.now_ns,
                                       .memory_bytes = SMF__WAL_MEMORY_MIN_BYTES,
                                       .read_only = read_only,
                                       .create = !read_only};
    struct smf_error error = {0};
    int status = smf__wal_open(&story->wal, &options, &error);
    require((status == SMF_OK) == (story->wal != NULL), "a log that is neither open nor not");
    require(status == SMF_OK || error.text[0] != 0, "an error without a text");
    if (status != SMF_OK)
        return status;
    story->wal->told = told;
    story->wal->told_context = story;
    return SMF_OK;
}

/* Whatever it says: what was fenced says so. */
static inline int close_log(struct story *story)
{
    int status = smf__wal_close(story->wal);
    story->wal = NULL;
    return status;
}

static inline void turn(struct story *story)
{
    story->clock.now_ns += TURN_NS;
    smf__wal_turn(story->wal);
    story->disk->ops->submit(story->disk);
    story->disk->ops->wait(story->disk, 0);
}

/* Appends one durable record. Returns 0 with its offset, or why there is none. */
static inline int append(struct story *story, struct smf__wal_part *part, uint64_t *offset_out)
{
    _Alignas(8) uint8_t body[64];
    struct smf__wal_record record = {.value = {(const uint8_t *)"later", 5}, .time_us = 1};
    struct smf__wal_append append = {.body = body,
                                     .body_bytes = smf__wal_record_bytes(&record, 1),
                                     .count = 1,
                                     .base_us = 1,
                                     .max_us = 1,
                                     .kind = SMF__WAL_RECORDS,
                                     .ack = SMF__WAL_DURABLE};
    smf__wal_record_write(&record, 1, body);
    story->outcomes = 0;
    for (uint32_t turns = 0;; turns++) {
        int status = smf__wal_append(part, &append, offset_out);
        if (status == SMF_OK)
            break;
        if (status != SMF_ENOMEM && status != SMF_ELIMIT)
            return status;
        require(turns < TURNS_MAX, "an append is told to come again for ever");
        turn(story);
    }
    for (uint32_t turns = 0; story->outcomes == 0; turns++) {
        require(turns < TURNS_MAX, "an append has no outcome");
        turn(story);
    }
    require(story->outcomes == 1, "an append has two outcomes");
    return story->status;
}

/* --- reading -------------------------------------------------------------------------------------- */

/* What a partition holds: every record from its first offset on. */
struct content {
    uint64_t from, end;
    uint64_t *records; /* [end - from]: a checksum of each */
    size_t capacity;
    int status; /* why reading ended; 0: at the end of the log */
};

static inline uint64_t mix(uint64_t sum, const void *data, uint64_t size)
{
    return sum * 31 + (data == NULL ? 1 : (uint64_t)smf__crc32c(7, data, size) << 1);
}

static inline void take_record(struct content *content, const struct smf_wal_record *record)
{
    if (content->end - content->from == content->capacity) {
        content->capacity = 2 * content->capacity + 16;
        content->records = realloc(content->records, content->capacity * sizeof(*content->records));
        require(content->records != NULL, "no memory");
    }
    uint64_t sum = mix((uint64_t)record->time_us, record->value, record->value_size);
    sum = mix(sum, record->key, record->key_size);
    content->records[content->end++ - content->from] =
        mix(sum, record->headers, record->headers_size);
}

/* Returns 0 when a batch has other records than its header says: its checksums are right, so only a program
 * with a fault writes that. */
static inline int take_run(struct content *content, const struct smf__wal_run *run)
{
    struct smf_wal_run records = {.bytes = run->bytes,
                                  .size_bytes = run->size_bytes,
                                  .first_offset = run->first_offset,
                                  .end_offset = run->end_offset};
    struct smf_wal_record record;
    require(run->first_offset == content->end && run->end_offset > run->first_offset,
            "a run that does not go on from the one before");
    int status;
    while ((status = smf_wal_run_next(&records, &record)) == 1) {
        require(record.offset == content->end && record.offset < run->end_offset,
                "a record that its run does not have");
        take_record(content, &record);
    }
    require(status == SMF_EIO || (status == 0 && content->end == run->end_offset),
            "a run with other records, and no error");
    return status == 0;
}

/* Reads all that is there to its end, or to what can't be read. */
static inline struct content read_part(struct story *story, struct smf__wal_part *part,
                                       uint32_t view)
{
    struct content content = {.from = part->head, .end = part->head};
    struct smf__wal_reader *reader;
    struct smf_error error;
    content.status = smf__wal_reader_open(part, part->head, view, 0, 1, &reader, &error);
    if (content.status != SMF_OK)
        return content;
    for (uint32_t turns = 0;; turns++) {
        struct smf__wal_run run;
        int status = smf__wal_reader_next(reader, &run, &error);
        require(turns < TURNS_MAX, "a reader comes to no end");
        if (status == 1 && take_run(&content, &run))
            continue;
        content.status = status == 1 ? SMF_EIO : status;
        if (content.status != SMF_OK || smf__wal_reader_at_end(reader))
            break;
        turn(story);
    }
    smf__wal_reader_close(reader);
    return content;
}

/* All that one has is in the other. */
static inline void require_kept(const struct content *before, const struct content *after)
{
    require(after->from == before->from || before->from == before->end,
            "a partition begins elsewhere");
    require(after->end >= before->end, "records that could be read can't be read any more");
    for (uint64_t i = 0; i < before->end - before->from; i++)
        require(before->records[i] == after->records[i], "a record has changed");
}

/* --- a story -------------------------------------------------------------------------------------- */

static inline void begin(struct story *story)
{
    struct smf__disk_sim_options options = {.files_max = 512, .slow_percent = 10};
    struct smf_error error;
    memset(story, 0, sizeof(*story));
    story->clock.now_ns = 1000000000;
    story->world = smf__disk_world_open(1);
    require(smf__disk_sim_open(&story->disk, story->world, &options, &error) == SMF_OK, "disk");
}

static inline void end(struct story *story)
{
    story->disk->ops->close(story->disk);
    smf__disk_world_close(story->world);
}

static inline struct smf__wal_part *orders(struct story *story)
{
    struct smf__wal_topic_info *topic = smf__wal_topic_find(story->wal, "orders");
    return topic == NULL ? NULL : topic->parts[0];
}

static inline void take_file(const struct story *story, uint32_t which, struct image *file_out)
{
    int64_t size =
        smf__disk_world_peek(story->world, file_paths[which], 0, FILE_BYTES, file_out->bytes);
    require(size > 0, file_paths[which]);
    file_out->size = (uint64_t)size;
}

/* Writes the log that everything begins with, and takes its files, and META as it was before anything was
 * appended. Returns the topic's id. */
static inline uint64_t write_log(struct image *files, struct image *bare_out)
{
    static const struct smf__wal_topic config = {
        .name = "orders",
        .name_size = 6,
        .partitions = 1,
        .segment_bytes = SMF__WAL_SEGMENT_MIN_BYTES,
    };
    struct smf__wal_topic_info *topic;
    struct smf_error error;
    struct story story;
    uint64_t offset = 0;
    begin(&story);
    require(open_log(&story, 0) == SMF_OK, "open");
    require(smf__wal_topic_create(story.wal, &config, &topic, &error) == SMF_OK, "topic");
    uint64_t topic_id = topic->config.topic_id;
    take_file(&story, META, bare_out);
    for (int i = 0; i < 8; i++) {
        require(append(&story, orders(&story), &offset) == SMF_OK, "append");
        if (i == 6) /* so the next segment begins there */
            require(smf__wal_truncate_tail(orders(&story), FIRST_OFFSET, &error) == SMF_OK,
                    "truncate");
    }
    require(offset == FIRST_OFFSET && close_log(&story) == SMF_OK, "close");
    for (uint32_t i = 0; i < FILES; i++)
        take_file(&story, i, &files[i]);
    end(&story);
    return topic_id;
}

static inline void run_op(struct story *story, struct smf__disk_op op)
{
    require(smf__disk_run(story->disk, &op) == SMF_OK, "disk");
}

static inline void put_file(struct story *story, const char *path, const struct image *file)
{
    struct smf__disk_op open = {.kind = SMF__DISK_OPEN, .flags = SMF__DISK_CREATE, .path = path};
    if (file->size == 0)
        return;
    uint8_t *copy = aligned_alloc(BLOCK, file->size);
    require(copy != NULL, "no memory");
    memcpy(copy, file->bytes, file->size);
    require(smf__disk_run(story->disk, &open) == SMF_OK, "disk");
    run_op(story,
           (struct smf__disk_op){.kind = SMF__DISK_ZERO, .file = open.file, .size = file->size});
    run_op(story, (struct smf__disk_op){.kind = SMF__DISK_WRITE,
                                        .flags = SMF__DISK_DURABLE,
                                        .file = open.file,
                                        .size = file->size,
                                        .data = copy});
    /* Which of it a log wrote, and may not write again, is for the bytes to say. */
    run_op(story, (struct smf__disk_op){.kind = SMF__DISK_RECYCLE, .file = open.file});
    run_op(story, (struct smf__disk_op){.kind = SMF__DISK_CLOSE, .file = open.file});
    free(copy);
}

static inline void put_log(struct story *story, const struct image *files)
{
    static const char *const folders[] = {"/log", "/log/orders", "/log/orders/0"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
        run_op(story, (struct smf__disk_op){.kind = SMF__DISK_MAKE_FOLDER, .path = folders[i]});
    for (uint32_t i = 0; i < FILES; i++)
        put_file(story, files[i].path[0] != 0 ? files[i].path : file_paths[i], &files[i]);
    for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
        run_op(story, (struct smf__disk_op){.kind = SMF__DISK_SYNC_FOLDER, .path = folders[i]});
}

/* Reads what is there without changing it; what is durable for certain is there for a writer, too. */
static inline int look(struct story *story, struct content *content_out)
{
    int status = open_log(story, 1);
    if (status != SMF_OK)
        return status;
    if (orders(story) != NULL) {
        struct content buffered = read_part(story, orders(story), SMF__WAL_BUFFERED);
        *content_out = read_part(story, orders(story), SMF__WAL_DURABLE);
        require_kept(content_out, &buffered);
        free(buffered.records);
    }
    require(close_log(story) == SMF_OK, "a log that was only read can't be closed");
    return SMF_OK;
}

/* Reads, appends a record and reads again. Returns 0 when it was appended. */
static inline int change(struct story *story, struct content *content)
{
    struct smf__wal_part *part = orders(story);
    uint64_t offset;
    if (part == NULL)
        return SMF_ENOTFOUND;
    struct content before = read_part(story, part, SMF__WAL_DURABLE);
    require_kept(content, &before);
    uint64_t next = part->next_offset;
    int status = append(story, part, &offset);
    require(status != SMF_OK || offset == next, "an append has got another offset");
    free(content->records);
    *content = read_part(story, part, SMF__WAL_DURABLE);
    require_kept(&before, content);
    require(status != SMF_OK || before.status != SMF_OK || content->end == offset + 1,
            "what was appended can't be read");
    free(before.records);
    return status;
}

static inline void tell(const struct image *files)
{
    struct story story;
    struct content content = {0};
    begin(&story);
    put_log(&story, files);
    int looked = look(&story, &content);
    int opened = open_log(&story, 0);
    if (opened == SMF_OK) {
        int appended = change(&story, &content);
        int closed = close_log(&story);
        require(appended != SMF_OK || closed == SMF_OK,
                "a log that took an append can't be closed");
        require(open_log(&story, 0) == SMF_OK, "a log can't be opened again");
        if (orders(&story) != NULL) {
            struct content again = read_part(&story, orders(&story), SMF__WAL_DURABLE);
            require_kept(&content, &again);
            free(again.records);
        }
        (void)close_log(&story);
    }
    require(looked == SMF_OK || opened != SMF_OK || looked == SMF_ENOTFOUND,
            "a log can be written and not read");
    free(content.records);
    end(&story);
}

/* --- mending -------------------------------------------------------------------------------------- */

static inline void mend_block(uint8_t *bytes, uint64_t size)
{
    static const uint8_t magic[] = {0x89, 's', 'm', 'f', 'w', 'a', 'l', '\n'};
    if (size < HEADER)
        return;
    memcpy(bytes, magic, sizeof(magic));
    uint32_t crc = smf__crc32c(0, bytes, 12);
    smf__put_u32(bytes + 12, smf__crc32c(crc, bytes + 16, HEADER - 16));
}

static inline int mend_batch(uint8_t *bytes, uint64_t size, uint64_t id, uint64_t position)
{
    uint32_t header = smf__get_u16(bytes + 12), body = smf__get_u32(bytes + 8);
    uint8_t seed[16];
    if (header < SMF__WAL_BATCH_HEADER_BYTES || header > size || body > size - header)
        return 0;
    smf__put_u32(bytes + 4, smf__crc32c(0, bytes + header, body));
    smf__put_u64(seed, id);
    smf__put_u64(seed + 8, position);
    smf__put_u32(bytes, smf__crc32c(smf__crc32c(0, seed, sizeof(seed)), bytes + 4, header - 4));
    return 1;
}

/* Each batch that would be next is made to verify; with links it is made to follow the one before, too.
 * A batch is looked for where it may be: behind the one before, or at the next block. */
static inline void mend_batches(uint8_t *bytes, uint64_t size, int links)
{
    struct smf__wal_file file;
    if (smf__wal_file_parse(bytes, size, &file) != SMF__WAL_GOOD)
        return;
    uint32_t prev_crc = file.follows_crc;
    uint64_t next_offset = file.first_offset, at = file.block_bytes;
    while (at + SMF__WAL_BATCH_HEADER_BYTES <= size) {
        uint8_t *batch = bytes + at;
        struct smf__wal_batch parsed;
        if (links) {
            smf__put_u32(batch + 88, prev_crc);
            smf__put_u64(batch + 24, next_offset);
        }
        int mended = smf__get_u16(batch + 12) != 0 && mend_batch(batch, size - at, file.id, at);
        int status = smf__wal_batch_parse(batch, size - at, &file, at, &parsed);
        if (!mended || (status != SMF__WAL_GOOD && status != SMF__WAL_UNSUPPORTED)) {
            if (at % file.block_bytes == 0)
                return;
            at = smf__round_up(at, file.block_bytes);
            continue;
        }
        prev_crc = parsed.header_crc;
        next_offset = parsed.first_offset + parsed.count;
        at += smf__wal_batch_bytes(&parsed);
    }
}

/* What of a file is mended. */
enum { MEND_BLOCK = 1, MEND_BATCHES = 2, MEND_LINKS = 4 };

static inline void mend(struct image *file, uint32_t what)
{
    if (what & MEND_BLOCK)
        mend_block(file->bytes, file->size);
    if (what & (MEND_BATCHES | MEND_LINKS))
        mend_batches(file->bytes, file->size, (what & MEND_LINKS) != 0);
}

/* Makes a file of some bytes: zeroes go to the next block. */
static inline void fill(struct image *file, const uint8_t *data, uint64_t size)
{
    size = size > FILE_BYTES ? FILE_BYTES : size;
    memset(file->bytes, 0, FILE_BYTES);
    if (size > 0)
        memcpy(file->bytes, data, size);
    file->size = smf__round_up(size, BLOCK);
}

#endif
