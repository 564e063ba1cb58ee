/* Reading a log forward: from anywhere, over files, out of buffers, up to watermarks, and up to damage. */
#include "test_wal_reader.h"

/* A few segments of batches of many sizes. */
static struct hand *some_log(uint32_t segments)
{
    struct hand *hand = hand_open(test_seed());
    for (uint32_t i = 0; i < segments; i++) {
        hand_segment(hand, 1u << 20);
        while (hand->part.last->end < 300000) {
            uint32_t large = smf__random_below(&hand->random, 10) == 0 ? 60000 : 700;
            hand_records(hand, 1 + (uint32_t)smf__random_below(&hand->random, 5),
                         (uint32_t)smf__random_below(&hand->random, large),
                         (int64_t)hand->part.next_offset * 1000, 500);
            if (smf__random_below(&hand->random, 3) == 0)
                hand_pad(hand);
            if (smf__random_below(&hand->random, 20) == 0)
                hand_control(hand, SMF__WAL_STAMP, hand->part.buffered.place);
        }
    }
    hand_write(hand);
    return hand;
}

static void from_every_offset(void)
{
    struct hand *hand = some_log(3);
    uint64_t end = hand->part.next_offset;
    for (uint64_t from = 0; from <= end; from++)
        hand_read_good(hand, from, SMF__WAL_DURABLE, from % 3 * SMF__WAL_READ_BYTES, end);
    hand_close(hand);
}

/* An empty log, and one that gets its first segment while somebody waits. */
static void from_the_first_record_on(void)
{
    struct hand *hand = hand_open(test_seed());
    struct smf__wal_reader *reader = hand_reader(hand, 0, SMF__WAL_DURABLE, 0);
    struct smf__wal_run run;
    struct smf_error error;
    CHECK_EQ(hand_next(hand, reader, &run, &error), 0);
    CHECK_EQ(smf__wal_reader_at_end(reader), 1);
    CHECK_EQ(smf__wal_reader_user(reader), 7);
    smf__wal_readers_tell(&hand->part);
    CHECK_EQ(hand->told, 0); /* there is still nothing */
    hand_segment(hand, 65536);
    hand_records(hand, 3, 10, 0, 0);
    hand_write(hand);
    smf__wal_readers_tell(&hand->part);
    smf__wal_readers_tell(&hand->part);
    CHECK_EQ(hand->told, 1);
    CHECK(hand->told_reader == reader);
    CHECK_EQ(hand_next(hand, reader, &run, &error), 1);
    CHECK_EQ(hand_check(hand, &run, 0), 3);
    smf__wal_reader_close(reader);
    hand_close(hand);
}

/* Larger than any read: put together, whatever comes first, and among small ones. */
static void huge_batches(void)
{
    struct hand *hand = hand_open(test_seed());
    hand_segment(hand, 48u << 20);
    hand_records(hand, 5, 100, 1, 0);
    hand_records(hand, 3, 3u << 20, 2, 0);
    hand_records(hand, 5, 100, 3, 0);
    hand_pad(hand);
    hand_records(hand, 2, (SMF__WAL_BODY_MAX_BYTES - 64) / 2, 4, 0);
    hand_records(hand, 5, 100, 5, 0);
    hand_write(hand);
    for (uint64_t ahead = 0; ahead <= 8u << 20; ahead += 4u << 20) {
        hand_read_good(hand, 0, SMF__WAL_DURABLE, ahead, 20);
        hand_read_good(hand, 14, SMF__WAL_DURABLE, ahead, 20);
        hand_read_good(hand, 19, SMF__WAL_DURABLE, ahead, 20);
    }
    hand_close(hand);
}

/* Whatever is asked for, and in whatever order reads complete. */
static void in_any_order(void)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct hand *hand = hand_open(test_seed() + seed);
        hand_segment(hand, 16u << 20);
        for (int i = 0; i < 40; i++)
            hand_records(hand, 3, 10000 + (uint32_t)smf__random_below(&hand->random, 100000), i, 0);
        hand_write(hand);
        hand_read_good(hand, 0, SMF__WAL_DURABLE, 32u << 20, 120);
        CHECK_GT(hand->rig.disk->counts->reads, 3);
        hand_close(hand);
    }
}

/* Several reads are under way at a time when there is much to read, none but a small one when not. */
static void reading_ahead_grows_and_falls_back(void)
{
    struct hand *hand = hand_open(test_seed());
    struct smf__wal_reader *reader;
    struct smf__wal_run run;
    struct smf_error error;
    uint64_t at = 0;
    uint32_t under_way_max = 0;
    hand_segment(hand, 40u << 20);
    for (int i = 0; i < 300; i++)
        hand_records(hand, 1, 100000, i, 0);
    hand_write(hand);
    reader = hand_reader(hand, 0, SMF__WAL_DURABLE, 8u << 20);
    CHECK_EQ(smf__wal_reader_next(reader, &run, &error), 0);
    CHECK_EQ(hand->wal.under_way, 1);
    while (hand_next(hand, reader, &run, &error) == 1) {
        at = hand_check(hand, &run, at);
        CHECK_LE(hand->wal.under_way, 9);
        if (hand->wal.under_way > under_way_max)
            under_way_max = hand->wal.under_way;
    }
    CHECK_EQ(at, 300);
    CHECK_GE(under_way_max, 4); /* 8 at most: the order in which reads end decides, and is random */
    uint64_t reads = hand->rig.disk->counts->reads, bytes = hand->rig.disk->counts->read_bytes;
    CHECK_LE(reads, 45);
    hand_pad(hand);
    hand_records(hand, 1, 10, 0, 0);
    hand_write(hand);
    CHECK_EQ(hand_next(hand, reader, &run, &error), 1);
    CHECK_EQ(hand->rig.disk->counts->reads, reads + 1);
    CHECK_LE(hand->rig.disk->counts->read_bytes, bytes + 2 * HAND_BLOCK);
    smf__wal_reader_close(reader);
    hand_close(hand);
}

/* What is still in a buffer is read without the disk. */
static void the_tail_comes_from_buffers(void)
{
    struct hand *hand = hand_open(test_seed());
    struct smf__wal_reader *reader;
    uint64_t at = 0;
    hand_segment(hand, 1u << 20);
    reader = hand_reader(hand, 0, SMF__WAL_BUFFERED, 0);
    for (int i = 0; i < 100; i++) {
        struct hand_file *file = hand_last(hand);
        struct smf__wal_run run;
        struct smf_error error;
        if (i % 8 == 7) /* what is before it can be read there no more */
            file->buffered_from = file->segment.end & ~(uint64_t)(HAND_BLOCK - 1);
        hand_records(hand, 1 + (uint32_t)i % 3, 100 + (uint32_t)i, i, 0);
        if (i % 4 == 0)
            hand_pad(hand);
        file->buffered_to = file->segment.end;
        smf__wal_readers_tell(&hand->part);
        CHECK_EQ(hand_next(hand, reader, &run, &error), 1);
        at = hand_check(hand, &run, at);
        CHECK_EQ(at, hand->part.next_offset);
        CHECK_EQ(smf__wal_reader_at_end(reader), 1);
        CHECK_EQ(hand_next(hand, reader, &run, &error), 0);
    }
    CHECK_EQ(hand->told, 99); /* nobody waited for the first */
    CHECK_EQ(hand->rig.disk->counts->reads, 0);
    smf__wal_reader_close(reader);
    hand_close(hand);
}

/* What this process began a file with is on the disk only, and needs not be read: the tail is in buffers. */
static void on_to_the_next_file_without_the_disk(void)
{
    struct hand *hand = hand_open(test_seed());
    struct smf__wal_reader *reader = hand_reader(hand, 0, SMF__WAL_BUFFERED, 0);
    uint64_t at = 0;
    for (uint64_t end = 1; end < 10; end++) {
        struct smf__wal_run run;
        struct smf_error error;
        if (end % 3 == 1) {
            hand_segment(hand, 65536);
            hand->part.last->state_end = hand->part.last->end;
            hand->part.last->state_crc = hand->part.prev_crc;
            hand_pad(hand);
            hand_last(hand)->buffered_from = hand->part.last->end;
        }
        hand_records(hand, 1, 100, 0, 0);
        hand_last(hand)->buffered_to = hand->part.last->end;
        CHECK_EQ(hand_next(hand, reader, &run, &error), 1);
        at = hand_check(hand, &run, at);
        CHECK_EQ(at, end);
    }
    hand_read_good(hand, 5, SMF__WAL_BUFFERED, 0, at);
    CHECK_EQ(hand->rig.disk->counts->reads, 0);
    smf__wal_reader_close(reader);
    hand_close(hand);
}

/* The old half is on the disk only, the new one in buffers only: nothing of that was written. */
static void from_the_disk_and_then_from_buffers(void)
{
    struct hand *hand = hand_open(test_seed());
    hand_segment(hand, 1u << 20);
    hand_records(hand, 10, 20000, 0, 0);
    hand_pad(hand);
    hand_last(hand)->buffered_from = hand->part.last->end;
    struct smf__wal_mark whole = hand->part.buffered;
    hand_write(hand);
    hand_records(hand, 10, 20000, 0, 0);
    hand_last(hand)->buffered_to = hand->part.last->end;
    CHECK_EQ(hand->part.written.place, whole.place);
    hand_read_good(hand, 0, SMF__WAL_BUFFERED, 0, 20);
    hand_read_good(hand, 0, SMF__WAL_DURABLE, 0, 10);
    hand_read_good(hand, 15, SMF__WAL_BUFFERED, 0, 20);
    hand_close(hand);
}

/* Batches that were put together up to the end of the log, and the log grew before they were all taken. */
static void the_end_moves_on(void)
{
    for (uint32_t bytes = 1; bytes < HAND_BLOCK; bytes += 8) { /* to where the first batch ends */
        struct hand *hand = hand_open(test_seed());
        hand_segment(hand, 65536);
        struct hand_file *file = hand_last(hand);
        struct smf__wal_reader *reader = hand_reader(hand, 0, SMF__WAL_BUFFERED, 0);
        struct smf__wal_run run;
        struct smf_error error = {0};
        uint64_t at = 0;
        hand_records(hand, 1, bytes, 0, 0);
        hand_pad(hand);
        file->buffered_from = file->segment.end;
        hand_write(hand);
        hand_records(hand, 1, 10, 0, 0);
        hand_control(hand, SMF__WAL_STAMP, hand->part.buffered.place); /* no records: a run ends */
        file->buffered_to = file->segment.end;
        while (at < 2) {
            CHECK_EQ(hand_next(hand, reader, &run, &error), 1);
            at = hand_check(hand, &run, at);
        }
        hand_pad(hand);
        hand_records(hand, 1, 10, 0, 0);
        file->buffered_to = file->segment.end;
        CHECK_EQ(hand_next(hand, reader, &run, &error), 1);
        CHECK_STR(error.text, "");
        CHECK_EQ(hand_check(hand, &run, at), 3);
        smf__wal_reader_close(reader);
        hand_close(hand);
    }
}

/* A reader sees what its view shows, and is told when that is more. */
static void views_end_at_their_watermark(void)
{
    struct hand *hand = hand_open(test_seed());
    struct smf__wal_mark marks[50];
    struct smf__wal_reader *readers[SMF__WAL_ACKS];
    uint64_t at[SMF__WAL_ACKS] = {0};
    hand_segment(hand, 1u << 20);
    for (int i = 0; i < 50; i++) {
        hand_records(hand, 2, 300, 0, 0);
        marks[i] = hand->part.buffered;
        if (i == 25)
            hand_segment(hand, 1u << 20);
    }
    hand_write(hand);
    for (uint32_t view = 0; view < SMF__WAL_ACKS; view++)
        readers[view] = hand_reader(hand, 0, view, 0);
    for (int i = 2; i < 50; i++) {
        hand->part.buffered = marks[i];
        hand->part.written = marks[i - 1];
        hand->part.durable = marks[i - 2];
        smf__wal_readers_tell(&hand->part);
        for (uint32_t view = 0; view < SMF__WAL_ACKS; view++) {
            struct smf_error error;
            struct smf__wal_run run;
            CHECK_EQ(smf__wal_reader_at_end(readers[view]), 0);
            /* What is only buffered is in no buffer here: it must not be taken from the disk. */
            uint64_t expected =
                view == SMF__WAL_DURABLE ? marks[i - 2].offset : marks[i - 1].offset;
            while (hand_next(hand, readers[view], &run, &error) == 1)
                at[view] = hand_check(hand, &run, at[view]);
            CHECK_EQ(at[view], expected);
        }
    }
    for (uint32_t view = 0; view < SMF__WAL_ACKS; view++)
        smf__wal_reader_close(readers[view]);
    hand_close(hand);
}

/* --- what is asked for ---------------------------------------------------------------------------- */

static void asking_for_what_is_not_there(void)
{
    struct hand *hand = some_log(1);
    struct smf__wal_reader *reader;
    struct smf_error error;
    char text[SMF_ERROR_TEXT_SIZE_BYTES];
    uint64_t end = hand->part.next_offset;
    hand->part.head = 2;
    for (int what = 0; what < 2; what++) {
        uint64_t from = what == 0 ? 1 : end + 1;
        CHECK_EQ(smf__wal_reader_open(&hand->part, from, SMF__WAL_DURABLE, 0, 0, &reader, &error),
                 SMF_EINVAL);
        snprintf(text, sizeof text,
                 "offset %" PRIu64 " is not in /log: read from an offset between 2 and %" PRIu64
                 ", its end",
                 from, end);
        CHECK_STR(error.text, text);
    }
    CHECK_EQ(smf__wal_reader_open(&hand->part, 2, 3, 0, 0, &reader, &error), SMF_EINVAL);
    CHECK_STR(error.text, "view 3 is none: 0 is what is buffered, 1 written, 2 durable");
    CHECK_EQ(smf__wal_reader_open(&hand->part, 2, 0, 1ull << 40, 0, &reader, &error), SMF_EINVAL);
    CHECK_STR(error.text, "a reader can't read 1099511627776 bytes ahead: at most 67108864");
    hand_close(hand);
}

/* Closed in the middle of reading: what is under way ends, then it is freed. */
static void closed_while_reading(void)
{
    struct hand *hand = some_log(2);
    for (int i = 0; i < 10; i++) {
        struct smf__wal_reader *reader = hand_reader(hand, 0, SMF__WAL_DURABLE, 4u << 20);
        struct smf__wal_run run;
        struct smf_error error;
        for (int j = 0; j < i; j++) {
            if (smf__wal_reader_next(reader, &run, &error) == 0)
                smf__wal_wait(&hand->wal);
        }
        smf__wal_reader_close(reader);
    }
    hand_close(hand);
}

/* A disk that fails is told, with the file, and told again. */
static void a_disk_that_fails(void)
{
    static const uint32_t kinds[] = {SMF__DISK_OPEN, SMF__DISK_READ};
    for (int i = 0; i < 2; i++) {
        struct hand *hand = some_log(1);
        struct smf__wal_reader *reader = hand_reader(hand, 0, SMF__WAL_DURABLE, 0);
        struct smf__wal_run run;
        struct smf_error error = {0};
        smf__disk_world_fail(hand->rig.world, kinds[i], 1, 1, EIO);
        for (int j = 0; j < 2; j++) {
            CHECK_EQ(hand_next(hand, reader, &run, &error), SMF_EIO);
            CHECK_EQ(error.os_errno, EIO);
            CHECK(strstr(error.text, "0000000001-00000000000000000000.seg") != NULL);
        }
        smf__wal_reader_close(reader);
        hand_close(hand);
    }
}

/* --- damage --------------------------------------------------------------------------------------- */

/* Two segments with batches all over the first, which has 64 KiB; covered says which of its bytes have a
 * meaning. Other ones had been in its blocks before. */
static struct hand *small_log(uint8_t *covered)
{
    struct hand *hand = hand_open(test_seed());
    hand_segment(hand, SMF__WAL_SEGMENT_MIN_BYTES);
    struct smf__wal_segment *segment = hand->part.last;
    memset(covered, 0, SMF__WAL_SEGMENT_MIN_BYTES);
    memset(covered + HAND_BLOCK, 1, SMF__WAL_BATCH_HEADER_BYTES);
    for (uint32_t i = 0; i < 40; i++) {
        uint64_t from = segment->end;
        hand_records(hand, 1 + i % 3, i % 4 == 0 ? 1501 : 20 + i, i, 0);
        memset(covered + from, 1, segment->end - from);
        if (i % 3 == 0 || i >= 37)
            hand_pad(hand);
    }
    CHECK_GT(segment->end, 32768);
    hand_segment(hand, SMF__WAL_SEGMENT_MIN_BYTES);
    hand_records(hand, 10, 20, 0, 0);
    hand_write(hand);
    return hand;
}

/* Reads all; what is served is true, in order. Returns the status at the end, 0 when all was served. */
static int read_damaged(struct hand *hand, struct smf_error *error)
{
    struct smf__wal_reader *reader = hand_reader(hand, 0, SMF__WAL_DURABLE, 0);
    struct smf__wal_run run;
    uint64_t at = 0;
    int status;
    while ((status = hand_next(hand, reader, &run, error)) > 0) {
        const struct hand_file *file = hand_file_of(run.segment);
        CHECK_EQ(run.first_offset, at);
        at = run.end_offset;
        for (uint64_t b = 0; b < run.size_bytes; b += HAND_BLOCK / 2) { /* but for padding */
            uint64_t size =
                run.size_bytes - b < HAND_BLOCK / 2 ? run.size_bytes - b : HAND_BLOCK / 2;
            if (memcmp(run.bytes + b, file->bytes + run.position + b, size) != 0) {
                CHECK_EQ(hand_check(hand, &run, run.first_offset), at);
                break;
            }
        }
    }
    if (status == 0)
        CHECK_EQ(at, hand->part.next_offset);
    else
        CHECK_LT(at, hand->part.next_offset);
    smf__wal_reader_close(reader);
    return status;
}

static const char *first_file = "/log/0000000001-00000000000000000000.seg";

static void damage(struct hand *hand, uint32_t kind, uint64_t offset, uint64_t size, uint64_t to)
{
    CHECK_EQ(smf__disk_world_damage(hand->rig.world, first_file, kind, offset, size, to), 0);
}

static void every_flipped_bit(void)
{
    static uint8_t covered[SMF__WAL_SEGMENT_MIN_BYTES];
    struct hand *hand = small_log(covered);
    uint64_t noticed = 0, meant = 0;
    for (uint64_t byte = 0; byte < SMF__WAL_SEGMENT_MIN_BYTES; byte++) {
        for (uint64_t bit = 0; bit < 8; bit++) {
            struct smf_error error = {0};
            damage(hand, SMF__DISK_FLIP, byte, 1, bit);
            int status = read_damaged(hand, &error);
            damage(hand, SMF__DISK_FLIP, byte, 1, bit);
            if (status != 0) {
                CHECK_EQ(status, SMF_EIO);
                CHECK(covered[byte]);
                CHECK(strstr(error.text, "restore the file, or cut the log there") != NULL);
                noticed++;
            }
            meant += covered[byte];
        }
    }
    CHECK_EQ(noticed, meant);
    hand_close(hand);
}

/* Blocks that lost what was written to them, hold what they held before, or something of elsewhere. */
static void wiped_stale_and_misdirected_blocks(void)
{
    static uint8_t covered[SMF__WAL_SEGMENT_MIN_BYTES];
    static const uint32_t kinds[] = {SMF__DISK_WIPE, SMF__DISK_STALE, SMF__DISK_MISDIRECT};
    for (int k = 0; k < 3; k++) {
        for (uint64_t block = 1; block < 40; block++) {
            struct hand *hand = small_log(covered);
            struct smf_error error = {0};
            uint64_t at = block * HAND_BLOCK;
            damage(hand, kinds[k], at, HAND_BLOCK, (block * 7 % 40 + 41) * HAND_BLOCK);
            int meant = memchr(covered + at, 1, HAND_BLOCK) != NULL;
            CHECK_EQ(read_damaged(hand, &error), meant ? SMF_EIO : 0);
            hand_close(hand);
        }
    }
}

/* The file is shorter than what was acknowledged in it. */
static void a_file_that_is_too_short(void)
{
    static uint8_t covered[SMF__WAL_SEGMENT_MIN_BYTES];
    for (uint64_t blocks = 1; blocks < 60; blocks += 7) {
        struct hand *hand = small_log(covered);
        struct smf__disk_file *file = open_with(hand->rig.disk, first_file, 0);
        struct smf_error error = {0};
        CHECK_EQ(run_file(hand->rig.disk, SMF__DISK_TRUNCATE, file, 0, blocks * HAND_BLOCK), 0);
        close_file(hand->rig.disk, file);
        CHECK_EQ(read_damaged(hand, &error), SMF_EIO);
        hand_close(hand);
    }
}

/* A segment between two is not there: that is said, not passed over. */
static void a_segment_is_missing(void)
{
    struct hand *hand = some_log(3);
    struct smf__wal_reader *reader = hand_reader(hand, 0, SMF__WAL_DURABLE, 0);
    struct smf__wal_segment *first = hand->part.first, *last = hand->part.last;
    struct smf_error error = {0};
    int status;
    uint64_t end = first->end_offset;
    first->next = last;
    last->previous = first;
    CHECK_EQ(hand_read_all(hand, reader, 0, &status, &error), end);
    CHECK_EQ(status, SMF_EIO);
    CHECK(strstr(error.text, "what is before /log/0000000003-") != NULL);
    smf__wal_reader_close(reader);
    hand_close(hand);
}

/* The log is known to be damaged from somewhere on: so much is read, and then it is said why. */
static void damage_that_is_known(void)
{
    struct hand *hand = some_log(1);
    struct smf__wal_reader *reader = hand_reader(hand, 0, SMF__WAL_DURABLE, 0);
    struct smf_error error = {0};
    int status;
    hand->part.damage = hand->part.buffered;
    snprintf(hand->part.status_text, sizeof hand->part.status_text, "batch 9 is gone");
    CHECK_EQ(hand_read_all(hand, reader, 0, &status, &error), hand->part.next_offset);
    CHECK_EQ(status, SMF_EIO);
    CHECK_STR(error.text, "batch 9 is gone");
    smf__wal_reader_close(reader);
    hand_close(hand);
}

/* A batch that a later version wrote: what is before it is read. */
static void a_batch_of_a_later_version(void)
{
    struct hand *hand = hand_open(test_seed());
    struct smf__wal_batch batch = {
        .kind = SMF__WAL_RECORDS, .compression = SMF__WAL_LZ4, .count = 1, .body_bytes = 16};
    hand_segment(hand, 65536);
    hand_records(hand, 3, 100, 0, 0);
    hand_add(hand, &batch, (const uint8_t *)"sixteen bytes...");
    hand_write(hand);
    struct smf__wal_reader *reader = hand_reader(hand, 0, SMF__WAL_DURABLE, 0);
    struct smf_error error = {0};
    int status;
    CHECK_EQ(hand_read_all(hand, reader, 0, &status, &error), 3);
    CHECK_EQ(status, SMF_EUNSUPPORTED);
    CHECK(strstr(error.text, "from offset 3 on, was written by a later version") != NULL);
    smf__wal_reader_close(reader);
    hand_close(hand);
}

/* --- cuts ----------------------------------------------------------------------------------------- */

/* The first segments are not part of the log any more. */
static void cut_head(struct hand *hand, uint64_t head)
{
    struct smf__wal_part *part = &hand->part;
    part->head = head;
    while (part->first->next != NULL && part->first->next->header.first_offset <= head) {
        hand_drop(part->first);
    }
    smf__wal_readers_tell(part);
}

/* Files are not dropped while somebody stands in them; who is behind the head is told so. */
static void the_head_is_cut_while_reading(void)
{
    struct hand *hand = some_log(4);
    struct smf_error error = {0};
    struct smf__wal_run run;
    uint64_t second = hand->files[1]->segment.header.first_offset;
    uint64_t third = hand->files[2]->segment.header.first_offset;
    uint64_t end = hand->part.next_offset;
    struct smf__wal_reader *behind = hand_reader(hand, 0, SMF__WAL_DURABLE, 0);
    struct smf__wal_reader *before = hand_reader(hand, second, SMF__WAL_DURABLE, 0);
    struct smf__wal_reader *after = hand_reader(hand, third, SMF__WAL_DURABLE, 0);
    int status;
    CHECK_EQ(hand_next(hand, behind, &run, &error), 1);
    CHECK_EQ(hand_next(hand, after, &run, &error), 1);
    uint64_t at = hand_check(hand, &run, third);
    while (hand_next(hand, before, &run, &error) == 1 && run.end_offset < third)
        ;
    CHECK_EQ(run.end_offset, third); /* at the end of a file that goes now */
    cut_head(hand, third);
    CHECK_EQ(hand->files[0]->dropped, 0);
    CHECK_EQ(hand->files[1]->dropped, 0);
    for (int i = 0; i < 2; i++) {
        char text[SMF_ERROR_TEXT_SIZE_BYTES];
        CHECK_EQ(hand_next(hand, behind, &run, &error), SMF_ENOTFOUND);
        snprintf(text, sizeof text, "log begins at offset %" PRIu64 ", read from there", third);
        CHECK(strstr(error.text, text) != NULL);
    }
    smf__wal_reader_close(behind);
    CHECK_EQ(hand->files[0]->dropped, 1);
    error.text[0] = 0;
    CHECK_EQ(hand_read_all(hand, before, third, &status, &error), end);
    CHECK_EQ(status, 0);
    CHECK_EQ(hand->files[1]->dropped, 1);
    CHECK_EQ(hand_read_all(hand, after, at, &status, &error), end);
    CHECK_EQ(status, 0);
    smf__wal_reader_close(before);
    smf__wal_reader_close(after);
    hand_close(hand);
}

/* A new segment begins within a batch of an earlier one: what is behind that does not count any more,
 * whoever read it is told, and who did not reads on over the cut. */
static void the_tail_is_cut_while_reading(void)
{
    for (uint64_t before = 0; before < 3; before++) {
        struct hand *hand = hand_open(test_seed());
        struct smf_error error = {0};
        struct smf__wal_mark mark = {0};
        int status;
        hand_segment(hand, 4u << 20);
        for (int i = 0; i < 20; i++) {
            hand_records(hand, 5, 20000, i, 0);
            if (i == 10)
                mark = hand->part.buffered; /* behind offset 54 */
        }
        hand_segment(hand, 1u << 20);
        hand_records(hand, 5, 1000, 0, 0);
        hand_write(hand);
        uint64_t from = before == 0 ? 0 : before == 1 ? 53 : 54;
        struct smf__wal_reader *reader = hand_reader(hand, from, SMF__WAL_DURABLE, 4u << 20);
        struct smf__wal_reader *idle = hand_reader(hand, 105, SMF__WAL_DURABLE, 0);
        struct smf__wal_run run;
        for (int i = 0; i < 3; i++) /* some of it is being read already */
            (void)smf__wal_reader_next(reader, &run, &error);
        CHECK_EQ(hand_next(hand, idle, &run, &error), 0);

        uint32_t told = hand->told;
        hand->part.first->end = smf__wal_place_position(mark.place);
        hand_drop(hand->part.last);
        hand->version++;
        hand_segment_at(hand, 1u << 20, 53, mark.place, mark.crc);
        hand_records(hand, 10, 500, 0, 0);
        hand_write(hand);
        smf__wal_readers_tell(&hand->part);
        CHECK_GT(hand->told, told);
        CHECK_EQ(hand_next(hand, idle, &run, &error), SMF_EINVAL);
        CHECK(strstr(error.text, "before offset 105 were cut while it was read") != NULL);
        smf__wal_reader_close(idle);
        uint64_t at = hand_read_all(hand, reader, from, &status, &error);
        CHECK_EQ(at, before == 2 ? 54 : 63);
        CHECK_EQ(status, before == 2 ? SMF_EINVAL : 0);
        smf__wal_reader_close(reader);
        hand_read_good(hand, 0, SMF__WAL_DURABLE, 0, 63);
        hand_close(hand);
    }
}

/* --- the index, and times ------------------------------------------------------------------------- */

/* What was walked over is known then, in steps; whoever comes next begins there. */
static void what_was_read_is_in_the_index(void)
{
    struct hand *hand = hand_open(test_seed());
    hand_segment(hand, 4u << 20);
    for (int i = 0; i < 200; i++)
        hand_records(hand, 1, 10000, i, 0);
    hand_write(hand);
    struct smf__wal_segment *segment = hand->part.last;
    CHECK_EQ(smf__wal_index_is_whole(segment), 0);
    CHECK(smf__wal_index_find(segment, 100) == NULL);
    hand_read_good(hand, 0, SMF__WAL_DURABLE, 0, 200);
    CHECK_EQ(smf__wal_index_is_whole(segment), 1);
    CHECK_EQ(segment->max_us, 199);
    CHECK_GE(segment->waypoint_count, 200 * 10000 / SMF__WAL_INDEX_STEP_BYTES - 3);
    CHECK_LE(segment->waypoint_count, 200 * 10000 / SMF__WAL_INDEX_STEP_BYTES + 3);
    for (uint64_t offset = 0; offset < 200; offset++) {
        const struct smf__wal_waypoint *waypoint = smf__wal_index_find(segment, offset);
        CHECK_LE(waypoint->offset, offset);
        CHECK_LT(offset - waypoint->offset, 9);
        CHECK_EQ(waypoint->max_us,
                 waypoint->offset == 0 ? INT64_MIN : (int64_t)waypoint->offset - 1);
        uint64_t bytes = hand->rig.disk->counts->read_bytes;
        struct smf__wal_reader *reader = hand_reader(hand, offset, SMF__WAL_DURABLE, 0);
        struct smf__wal_run run;
        struct smf_error error;
        CHECK_EQ(hand_next(hand, reader, &run, &error), 1);
        CHECK_EQ(hand->part.last->holds, 1);
        (void)hand_check(hand, &run, offset);
        CHECK_LE(hand->rig.disk->counts->read_bytes - bytes, 300000);
        smf__wal_reader_close(reader);
    }
    hand_close(hand);
}

/* Known from the middle on only: reading begins at the beginning, and nothing is taken for known. */
static void a_segment_that_is_known_from_the_middle_on(void)
{
    struct hand *hand = hand_open(test_seed());
    uint64_t offset;
    hand_segment(hand, 4u << 20);
    for (int i = 0; i < 100; i++)
        hand_records(hand, 1, 10000, i == 10 ? 500 : i, 0);
    struct smf__wal_segment *segment = hand->part.last;
    segment->scan.end = segment->known_from = segment->end;
    segment->scan.next_offset = hand->part.next_offset;
    segment->scan.prev_crc = hand->part.prev_crc;
    segment->max_us = INT64_MIN;
    for (int i = 100; i < 200; i++)
        hand_records(hand, 1, 10000, i, 0);
    hand_write(hand);
    for (int round = 0; round < 3; round++) {
        hand_read_good(hand, 30, SMF__WAL_DURABLE, 0, 200);
        hand_read_good(hand, 130, SMF__WAL_DURABLE, 0, 200);
        CHECK_EQ(smf__wal_offset_for_time(&hand->part, 300, &offset, NULL), SMF_OK);
        CHECK_EQ(offset, 10);
        CHECK_EQ(smf__wal_offset_for_time(&hand->part, 150, &offset, NULL), SMF_OK);
        CHECK_EQ(offset, 10);
        CHECK_EQ(smf__wal_offset_for_time(&hand->part, 5, &offset, NULL), SMF_OK);
        CHECK_EQ(offset, 5);
    }
    hand_close(hand);
}

static uint64_t naive_offset_for_time(const struct hand *hand, int64_t time_us)
{
    uint64_t offset = hand->part.head;
    while (offset < hand->part.durable.offset && hand->times[offset] < time_us)
        offset++;
    return offset;
}

/* Times that go up and down, more or less: the same as looking at each record in turn. */
static void offsets_for_times(void)
{
    for (int64_t wild = 0; wild < 4; wild++) {
        struct hand *hand = hand_open(test_seed() + (uint64_t)wild);
        uint64_t offset;
        for (int s = 0; s < 6; s++) {
            hand_segment(hand, 1u << 20);
            for (int i = 0; i < 60; i++) {
                int64_t base = (int64_t)hand->part.next_offset * 10 - 5000;
                hand_records(
                    hand, 1 + (uint32_t)smf__random_below(&hand->random, 4),
                    (uint32_t)smf__random_below(&hand->random, 4000),
                    base - (int64_t)smf__random_below(&hand->random, 1 + (uint64_t)wild * 2000),
                    1 + (uint64_t)wild * 500);
                if (i % 7 == 0)
                    hand_pad(hand);
            }
        }
        hand_write(hand);
        hand->part.head = 7;
        for (int i = 0; i < 300; i++) {
            int64_t time_us = -8000 + (int64_t)smf__random_below(&hand->random, 30000);
            CHECK_EQ(smf__wal_offset_for_time(&hand->part, time_us, &offset, NULL), SMF_OK);
            CHECK_EQ(offset, naive_offset_for_time(hand, time_us));
        }
        CHECK_EQ(smf__wal_offset_for_time(&hand->part, INT64_MAX, &offset, NULL), SMF_OK);
        CHECK_EQ(offset, hand->part.next_offset);
        uint64_t reads = hand->rig.disk->counts->reads;
        CHECK_EQ(smf__wal_offset_for_time(&hand->part, INT64_MAX, &offset, NULL), SMF_OK);
        CHECK_EQ(hand->rig.disk->counts->reads, reads); /* by the index alone */
        hand_close(hand);
    }
}

static const struct test tests[] = {
    TEST(from_every_offset),
    TEST(from_the_first_record_on),
    TEST(huge_batches),
    TEST(in_any_order),
    TEST(reading_ahead_grows_and_falls_back),
    TEST(the_tail_comes_from_buffers),
    TEST(on_to_the_next_file_without_the_disk),
    TEST(from_the_disk_and_then_from_buffers),
    TEST(the_end_moves_on),
    TEST(views_end_at_their_watermark),
    TEST(asking_for_what_is_not_there),
    TEST(closed_while_reading),
    TEST(a_disk_that_fails),
    TEST(every_flipped_bit),
    TEST(wiped_stale_and_misdirected_blocks),
    TEST(a_file_that_is_too_short),
    TEST(a_segment_is_missing),
    TEST(damage_that_is_known),
    TEST(a_batch_of_a_later_version),
    TEST(the_head_is_cut_while_reading),
    TEST(the_tail_is_cut_while_reading),
    TEST(what_was_read_is_in_the_index),
    TEST(a_segment_that_is_known_from_the_middle_on),
    TEST(offsets_for_times),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
