/* For tests of reading a log: a partition that is put together by hand, byte by byte, on a simulated disk,
 * with what other parts of the log do (the turn, buffers, segments' files) in a few lines each. */
#ifndef SMF_TEST_WAL_READER_H
#define SMF_TEST_WAL_READER_H

#include "test_disk.h"
#include "wal/wal_bytes.h"
#include "wal/wal_crc.h"
#include "wal/wal_log.h"

#define HAND_BLOCK 512u
#define HAND_RECORDS_MAX 100000u
#define HAND_SEGMENTS_MAX 64u

/* A segment, and its bytes as they should be. */
struct hand_file {
    struct smf__wal_segment segment;
    uint8_t *bytes;
    uint64_t size_bytes;
    uint64_t buffered_from, buffered_to; /* what buffers still hold of it */
    uint64_t on_disk;                    /* so much was written */
    int dropped;
};

struct hand {
    struct rig rig;
    struct smf__wal wal;
    struct smf__wal_part part;
    struct hand_file *files[HAND_SEGMENTS_MAX];
    uint32_t file_count;
    struct smf__random random;
    int64_t times[HAND_RECORDS_MAX];
    uint32_t sizes[HAND_RECORDS_MAX];    /* of values */
    uint64_t versions[HAND_RECORDS_MAX]; /* other bytes, for offsets that are used again */
    uint64_t version;
    uint64_t durable_before; /* of the next batches */
    uint32_t told;           /* calls of wal->readable */
    struct smf__wal_reader *told_reader;
};

/* --- what other files of the room do --- */

void smf__wal_queue(struct smf__wal *wal, struct smf__wal_io *io)
{
    io->op.context = io;
    wal->under_way++;
    wal->disk->ops->queue(wal->disk, &io->op);
}

/* A turn: what has completed. */
static inline void hand_turn(struct smf__wal *wal)
{
    struct smf__disk_op *ops[16];
    wal->disk->ops->submit(wal->disk);
    uint32_t count = wal->disk->ops->poll(wal->disk, ops, 16);
    for (uint32_t i = 0; i < count; i++) {
        struct smf__wal_io *io = ops[i]->context;
        wal->under_way--;
        io->done(io);
    }
}

void smf__wal_wait(struct smf__wal *wal)
{
    wal->disk->ops->wait(wal->disk, -1);
    hand_turn(wal);
}

void smf__wal_segment_path(const struct smf__wal_segment *segment, char *path_out)
{
    char name[SMF__WAL_FILE_NAME_BYTES];
    smf__wal_file_name(segment->header.number, segment->header.first_offset, name);
    snprintf(path_out, SMF__DISK_PATH_MAX_BYTES, "/log/%s", name);
}

static inline struct hand_file *hand_file_of(const struct smf__wal_segment *segment)
{
    return (struct hand_file *)segment;
}

void smf__wal_segment_release(struct smf__wal_segment *segment);

void smf__wal_segment_release(struct smf__wal_segment *segment)
{
    CHECK_GT(segment->holds, 0);
    if (--segment->holds == 0 && segment->gone)
        hand_file_of(segment)->dropped = 1;
}

/* As dropping it would. */
static inline void hand_drop(struct smf__wal_segment *segment)
{
    struct smf__wal_part *part = segment->part;
    *(segment->previous != NULL ? &segment->previous->next : &part->first) = segment->next;
    *(segment->next != NULL ? &segment->next->previous : &part->last) = segment->previous;
    segment->next = segment->previous = NULL;
    segment->gone = 1;
    if (segment->holds == 0)
        hand_file_of(segment)->dropped = 1;
}

static inline void hand_run_done(struct smf__wal_io *io)
{
    *(int *)io->owner = 1;
}

int smf__wal_run(struct smf__wal *wal, struct smf__disk_op *op)
{
    int done = 0;
    struct smf__wal_io io = {.op = *op, .done = hand_run_done, .owner = &done};
    smf__wal_queue(wal, &io);
    while (!done)
        smf__wal_wait(wal);
    *op = io.op;
    return op->status;
}

int smf__wal_segment_open(struct smf__wal_segment *segment)
{
    char path[SMF__DISK_PATH_MAX_BYTES];
    struct smf__disk_op op = {.kind = SMF__DISK_OPEN, .flags = SMF__DISK_READ_ONLY, .path = path};
    if (segment->file != NULL)
        return SMF_OK;
    smf__wal_segment_path(segment, path);
    int status = smf__wal_run(segment->part->wal, &op);
    segment->file = status == SMF_OK ? op.file : NULL;
    return status;
}

uint64_t smf__wal_buffers_read(struct smf__wal_segment *segment, uint64_t position, uint64_t size,
                               uint8_t *data_out)
{
    const struct hand_file *file = hand_file_of(segment);
    if (segment->part->wal->options.read_only) /* there are none, and it is not from here */
        return 0;
    if (position < file->buffered_from || position >= file->buffered_to)
        return 0;
    if (size > file->buffered_to - position)
        size = file->buffered_to - position;
    memcpy(data_out, file->bytes + position, size);
    return size;
}

/* --- putting it together --- */

static inline void hand_note_readable(void *context, struct smf__wal_reader *reader)
{
    struct hand *hand = context;
    hand->told++;
    hand->told_reader = reader;
}

static inline struct hand *hand_open(uint64_t seed)
{
    struct hand *hand = calloc(1, sizeof *hand);
    CHECK(hand != NULL);
    rig_open_sim(&hand->rig, seed);
    smf__random_seed(&hand->random, seed);
    hand->wal.disk = hand->rig.disk;
    hand->wal.readable = hand_note_readable;
    hand->wal.told_context = hand;
    hand->part.wal = &hand->wal;
    hand->part.folder = "/log";
    return hand;
}

static inline void hand_close(struct hand *hand)
{
    while (hand->wal.under_way > 0)
        smf__wal_wait(&hand->wal);
    for (uint32_t i = 0; i < hand->file_count; i++) {
        CHECK_EQ(hand->files[i]->segment.holds, 0);
        free(hand->files[i]->segment.waypoints);
        free(hand->files[i]->bytes);
        free(hand->files[i]);
    }
    rig_close(&hand->rig);
    free(hand);
}

static inline struct hand_file *hand_last(struct hand *hand)
{
    return hand_file_of(hand->part.last);
}

static inline uint8_t hand_byte(const struct hand *hand, uint64_t offset, uint32_t index)
{
    return (uint8_t)(offset * 31 + index * 7 + (index >> 8) + hand->versions[offset] * 101);
}

/* A batch of any kind behind what is there. */
static inline void hand_add(struct hand *hand, struct smf__wal_batch *batch, const uint8_t *body)
{
    struct hand_file *file = hand_last(hand);
    struct smf__wal_segment *segment = &file->segment;
    uint64_t position = segment->end;
    batch->plain_bytes = batch->body_bytes;
    batch->body_crc = smf__crc32c(0, body, batch->body_bytes);
    batch->first_offset = hand->part.next_offset;
    batch->prev_crc = hand->part.prev_crc;
    CHECK_LE(position + SMF__WAL_BATCH_HEADER_BYTES + batch->body_bytes, file->size_bytes);
    CHECK_EQ(smf__wal_batch_encode(batch, &segment->header, position, file->bytes + position),
             SMF__WAL_GOOD);
    if (batch->body_bytes > 0)
        memcpy(file->bytes + position + SMF__WAL_BATCH_HEADER_BYTES, body, batch->body_bytes);
    segment->end = position + smf__wal_batch_bytes(batch);
    hand->part.next_offset += batch->count;
    hand->part.prev_crc = batch->header_crc;
    segment->end_offset = hand->part.next_offset;
    hand->part.buffered =
        (struct smf__wal_mark){smf__wal_place(segment->header.number, segment->end),
                               hand->part.next_offset, batch->header_crc};
}

/* A batch of records with values of these sizes, and times around the one given. */
static inline void hand_records(struct hand *hand, uint32_t count, uint32_t value_bytes,
                                int64_t time_us, uint64_t spread_us)
{
    uint64_t room = (uint64_t)count * (SMF__WAL_RECORD_HEADER_BYTES + value_bytes + 8), used = 0;
    uint8_t *body = malloc(room), *value = malloc(value_bytes + 1);
    struct smf__wal_batch batch = {.kind = SMF__WAL_RECORDS,
                                   .count = count,
                                   .base_us = time_us,
                                   .max_us = INT64_MIN,
                                   .durable_before = hand->durable_before};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = hand->part.next_offset + i;
        CHECK_LT(offset, HAND_RECORDS_MAX);
        hand->sizes[offset] = value_bytes;
        hand->versions[offset] = hand->version;
        hand->times[offset] = time_us;
        if (spread_us > 0 && i > 0)
            hand->times[offset] += (int64_t)smf__random_below(&hand->random, spread_us);
        if (hand->times[offset] > batch.max_us)
            batch.max_us = hand->times[offset];
        for (uint32_t b = 0; b < value_bytes; b++)
            value[b] = hand_byte(hand, offset, b);
        struct smf__wal_record record = {.value = {value, value_bytes},
                                         .time_us = hand->times[offset]};
        uint32_t bytes = smf__wal_record_bytes(&record, time_us);
        CHECK_GT(bytes, 0);
        smf__wal_record_write(&record, time_us, body + used);
        used += bytes;
    }
    batch.body_bytes = (uint32_t)used;
    hand_add(hand, &batch, body);
    free(body);
    free(value);
}

static inline void hand_control(struct hand *hand, uint32_t kind, uint64_t durable_before)
{
    struct smf__wal_batch batch = {.kind = kind, .durable_before = durable_before};
    hand_add(hand, &batch, (const uint8_t *)"");
}

/* The end of a flush. */
static inline void hand_pad(struct hand *hand)
{
    struct smf__wal_segment *segment = hand->part.last;
    segment->end = smf__round_up(segment->end, HAND_BLOCK);
}

/* Another segment, from this offset on, with room for so many bytes; behind the place where the last
 * batch ends that counts. */
static inline void hand_segment_at(struct hand *hand, uint64_t size_bytes, uint64_t first_offset,
                                   uint64_t follows, uint32_t follows_crc)
{
    static uint64_t id;
    struct hand_file *file = calloc(1, sizeof *file);
    struct smf__wal_part *part = &hand->part;
    struct smf__wal_segment *segment = &file->segment;
    char path[SMF__DISK_PATH_MAX_BYTES];
    CHECK_LT(hand->file_count, HAND_SEGMENTS_MAX);
    hand->files[hand->file_count++] = file;
    file->bytes = aligned_bytes(size_bytes);
    file->size_bytes = segment->size_bytes = size_bytes;
    segment->part = part;
    segment->header = (struct smf__wal_file){.version = SMF__WAL_VERSION,
                                             .kind = SMF__WAL_FILE_SEGMENT,
                                             .block_bytes = HAND_BLOCK,
                                             .id = 1000003 * ++id,
                                             .number = hand->file_count,
                                             .topic_id = 5,
                                             .first_offset = first_offset,
                                             .follows = follows,
                                             .follows_crc = follows_crc,
                                             .topic_name_size = 1,
                                             .topic_name = "t"};
    CHECK_EQ(smf__wal_file_encode(&segment->header, file->bytes), SMF__WAL_GOOD);
    smf__wal_scan_begin(&segment->scan, &segment->header);
    segment->known_from = HAND_BLOCK;
    segment->end = HAND_BLOCK;
    segment->end_offset = first_offset;
    segment->previous = part->last;
    if (part->last != NULL)
        part->last->next = segment;
    else
        part->first = segment;
    part->last = segment;
    part->next_offset = first_offset;
    part->prev_crc = follows_crc;
    smf__wal_segment_path(segment, path);
    close_file(hand->rig.disk, make_file(hand->rig.disk, path, size_bytes));
    hand_control(hand, SMF__WAL_STATE, 0);
}

static inline void hand_segment(struct hand *hand, uint64_t size_bytes)
{
    uint64_t follows = 0;
    if (hand->part.last != NULL) {
        /* Padding does not count. */
        follows = hand->part.buffered.place;
        hand->part.last->end = smf__wal_place_position(follows);
    }
    hand_segment_at(hand, size_bytes, hand->part.next_offset, follows, hand->part.prev_crc);
}

/* Everything that is in memory goes to the disk. Nothing is under way meanwhile. */
static inline void hand_write(struct hand *hand)
{
    for (uint32_t i = 0; i < hand->file_count; i++) {
        struct hand_file *file = hand->files[i];
        uint64_t to = smf__round_up(file->segment.end, HAND_BLOCK);
        char path[SMF__DISK_PATH_MAX_BYTES];
        if (to <= file->on_disk || file->segment.gone)
            continue;
        uint64_t from = file->on_disk;
        smf__wal_segment_path(&file->segment, path);
        struct smf__disk_file *open = open_with(hand->rig.disk, path, 0);
        uint8_t *bytes = aligned_bytes(to - from);
        memcpy(bytes, file->bytes + from, to - from);
        CHECK_EQ(write_with(hand->rig.disk, open, from, bytes, to - from, 0), SMF_OK);
        free(bytes);
        close_file(hand->rig.disk, open);
        file->on_disk = to;
    }
    hand->part.written = hand->part.durable = hand->part.buffered;
}

/* --- reading it --- */

static inline struct smf__wal_reader *hand_reader(struct hand *hand, uint64_t from, uint32_t view,
                                                  uint64_t ahead_bytes)
{
    struct smf__wal_reader *reader;
    struct smf_error error = {0};
    if (smf__wal_reader_open(&hand->part, from, view, ahead_bytes, 7, &reader, &error) != SMF_OK)
        test_fail(__FILE__, __LINE__, "no reader: %s", error.text);
    return reader;
}

/* Waits as a host would: asks only when it was told. */
static inline int hand_next(struct hand *hand, struct smf__wal_reader *reader,
                            struct smf__wal_run *run, struct smf_error *error)
{
    for (;;) {
        uint32_t told = hand->told;
        int status = smf__wal_reader_next(reader, run, error);
        if (status != 0)
            return status;
        while (hand->told == told) {
            if (hand->wal.under_way == 0)
                return 0;
            smf__wal_wait(&hand->wal);
        }
    }
}

/* Checks every byte of a run, and that it begins at that offset. Returns the offset behind it. */
static inline uint64_t hand_check(struct hand *hand, const struct smf__wal_run *run, uint64_t from)
{
    struct smf__wal_batch batch;
    uint64_t at = 0, batches = 0, offset = 0;
    CHECK_GT(run->batches, 0);
    CHECK_EQ((uintptr_t)run->bytes % 8, 0);
    while (at < run->size_bytes) {
        const struct smf__wal_file *header = &run->segment->header;
        int what = smf__wal_batch_parse(run->bytes + at, run->size_bytes - at, header,
                                        run->position + at, &batch);
        if (what != SMF__WAL_GOOD) {
            at += smf__round_up(run->position + at, HAND_BLOCK) - (run->position + at);
            what = smf__wal_batch_parse(run->bytes + at, run->size_bytes - at, header,
                                        run->position + at, &batch);
        }
        CHECK_EQ(what, SMF__WAL_GOOD);
        CHECK_EQ(batch.kind, SMF__WAL_RECORDS);
        if (batches++ == 0) {
            CHECK_LE(batch.first_offset, from);
            CHECK_GT(batch.first_offset + batch.count, from);
            CHECK_EQ(run->first_offset, from);
        }
        struct smf__wal_rest rest = {run->bytes + at + batch.header_bytes, batch.body_bytes,
                                     batch.base_us};
        struct smf__wal_record record;
        for (offset = batch.first_offset; smf__wal_record_next(&rest, &record) == SMF__WAL_GOOD;
             offset++) {
            if (offset < from || offset >= run->end_offset)
                continue;
            CHECK_EQ(record.value.size, hand->sizes[offset]);
            CHECK_EQ(record.time_us, hand->times[offset]);
            for (uint32_t b = 0; b < record.value.size; b++)
                CHECK_EQ(record.value.data[b], hand_byte(hand, offset, b));
        }
        at += smf__wal_batch_bytes(&batch);
    }
    CHECK_EQ(batches, run->batches);
    CHECK_EQ(at, run->size_bytes);
    CHECK_LE(run->end_offset, offset);
    CHECK_GT(run->end_offset, from);
    return run->end_offset;
}

/* Reads until there is no more. Returns the offset behind the last record; *status_out is why. */
static inline uint64_t hand_read_all(struct hand *hand, struct smf__wal_reader *reader,
                                     uint64_t from, int *status_out, struct smf_error *error)
{
    struct smf__wal_run run;
    int status;
    while ((status = hand_next(hand, reader, &run, error)) > 0)
        from = hand_check(hand, &run, from);
    *status_out = status;
    return from;
}

/* From there to the end, with no error. */
static inline void hand_read_good(struct hand *hand, uint64_t from, uint32_t view,
                                  uint64_t ahead_bytes, uint64_t end)
{
    struct smf__wal_reader *reader = hand_reader(hand, from, view, ahead_bytes);
    struct smf_error error = {0};
    int status;
    CHECK_EQ(hand_read_all(hand, reader, from, &status, &error), end);
    CHECK_STR(error.text, "");
    CHECK_EQ(status, 0);
    CHECK_EQ(smf__wal_reader_at_end(reader), 1);
    smf__wal_reader_close(reader);
}

#endif
