/* What a reader does ahead of what it hands out: where its reads go, and the segment behind the one it is in. */
#include "test_wal_reader.h"

#include "wal/wal_reader.h"

/* Batches that end in another read than they begin in are handed out where they were read to, but where
 * the area ends, and for the first ones, which small reads bring. All memory but a little goes at the end. */
static void reads_lie_side_by_side(void)
{
    struct hand *hand = hand_open(test_seed());
    struct smf__wal_run run;
    struct smf_error error;
    uint32_t in_area = 0, runs = 0;
    uint64_t at = 0;
    hand_segment(hand, 80u << 20);
    for (int i = 0; i < 60; i++)
        hand_records(hand, 1, 1100000, i, 0);
    hand_write(hand);
    struct smf__wal_reader *reader = hand_reader(hand, 0, SMF__WAL_DURABLE, 7u << 20);
    while (hand_next(hand, reader, &run, &error) == 1) {
        const uint8_t *area = reader->area;
        at = hand_check(hand, &run, at);
        CHECK_EQ(run.batches, 1);
        in_area += area != NULL && run.bytes >= area &&
                   run.bytes + run.size_bytes <= area + 8 * SMF__WAL_READ_BYTES;
        runs++;
    }
    CHECK_EQ(at, 60);
    CHECK_EQ(runs, 60);
    CHECK_GE(in_area, 60 - 60 / 7 - 3);
    CHECK_LE(hand->rig.disk->counts->reads, 63 + 5);
    CHECK_LE(hand->rig.disk->counts->read_bytes, hand->part.last->end + 2 * HAND_BLOCK);
    CHECK(reader->area == NULL);
    CHECK(reader->joined == NULL);
    for (uint32_t i = 0; i < reader->chunk_count; i++)
        CHECK_LE(reader->chunks[i].capacity,
                 i == 0 ? SMF__WAL_READ_FIRST_BYTES + SMF__WAL_ALIGN_BYTES + HAND_BLOCK : 0);
    smf__wal_reader_close(reader);
    hand_close(hand);
}

/* Three segments of some MiB, and a reader that has handed out all of the first. */
static struct hand *read_one_of_three(uint64_t ahead_bytes, struct smf__wal_reader **reader_out,
                                      uint64_t *at_out)
{
    struct hand *hand = hand_open(test_seed());
    struct smf__wal_run run;
    struct smf_error error;
    for (int i = 0; i < 3; i++) {
        hand_segment(hand, 16u << 20);
        for (int j = 0; j < 100; j++)
            hand_records(hand, 1, 100000, j, 0);
    }
    hand_write(hand);
    *at_out = 0;
    *reader_out = hand_reader(hand, 0, SMF__WAL_DURABLE, ahead_bytes);
    while (*at_out < 100) {
        CHECK_EQ(hand_next(hand, *reader_out, &run, &error), 1);
        *at_out = hand_check(hand, &run, *at_out);
    }
    CHECK_EQ(*at_out, 100);
    while (hand->wal.under_way > 0)
        smf__wal_wait(&hand->wal);
    return hand;
}

/* What comes is there when a segment ends; nothing is read twice, and as much as was asked for. */
static void the_next_segment_is_read_ahead(void)
{
    for (uint64_t ahead = 0; ahead <= 4u << 20; ahead += 4u << 20) {
        struct smf__wal_reader *reader;
        struct smf__wal_run run;
        struct smf_error error = {0};
        uint64_t at;
        int status;
        struct hand *hand = read_one_of_three(ahead, &reader, &at);
        CHECK_GT(hand->rig.disk->counts->read_bytes,
                 hand->part.first->end + 2 * SMF__WAL_READ_BYTES);
        CHECK_EQ(smf__wal_reader_next(reader, &run, &error), 1);
        CHECK(run.segment == hand->part.first->next);
        CHECK_EQ(hand->part.first->holds, 0);
        at = hand_check(hand, &run, at);
        CHECK_EQ(hand_read_all(hand, reader, at, &status, &error), 300);
        CHECK_EQ(status, 0);
        CHECK_LE(hand->rig.disk->counts->read_bytes, 3 * hand->part.first->end + 9 * HAND_BLOCK);
        smf__wal_reader_close(reader);
        CHECK_EQ(hand->part.last->holds, 0);
        hand_close(hand);
    }
}

/* What is behind is told when it is its turn; closed before that, nothing of it stays held. */
static void the_next_segment_can_not_be_opened(void)
{
    for (int closes = 0; closes < 2; closes++) {
        struct hand *hand = hand_open(test_seed());
        struct smf__wal_run run;
        struct smf_error error = {0};
        uint64_t at = 0;
        for (int i = 0; i < 2; i++) {
            hand_segment(hand, 16u << 20);
            for (int j = 0; j < 20; j++)
                hand_records(hand, 1, 600000, j, 0);
        }
        hand_write(hand);
        struct smf__wal_segment *second = hand->part.last;
        struct smf__wal_reader *reader = hand_reader(hand, 0, SMF__WAL_DURABLE, 4u << 20);
        CHECK_EQ(hand_next(hand, reader, &run, &error), 1);
        at = hand_check(hand, &run, at);
        smf__disk_world_fail(hand->rig.world, SMF__DISK_OPEN, 1, 100, EIO);
        uint32_t failed_before = 0;
        while (at < second->header.first_offset) {
            CHECK_EQ(hand_next(hand, reader, &run, &error), 1);
            at = hand_check(hand, &run, at);
            while (hand->wal.under_way > 0)
                smf__wal_wait(&hand->wal);
            failed_before += second->holds > 0 && at < second->header.first_offset;
        }
        CHECK_GT(failed_before, 0); /* it failed while there was more to hand out */
        CHECK_EQ(second->holds, 1);
        if (!closes) {
            CHECK_EQ(hand_next(hand, reader, &run, &error), SMF_EIO);
            CHECK_EQ(error.os_errno, EIO);
            CHECK(strstr(error.text, "0000000002-") != NULL);
        }
        smf__wal_reader_close(reader);
        CHECK_EQ(second->holds, 0);
        hand_close(hand);
    }
}

/* What was read ahead is cut before it was handed out: what came in its place is. */
static void what_is_ahead_is_cut(void)
{
    struct smf__wal_reader *reader;
    struct smf_error error = {0};
    uint64_t at;
    int status;
    struct hand *hand = read_one_of_three(4u << 20, &reader, &at);
    struct smf__wal_segment *second = hand->part.first->next;
    struct smf__wal_mark mark = {smf__wal_place(1, hand->part.first->end), 100,
                                 second->header.follows_crc};
    CHECK_EQ(second->holds, 1);
    hand_drop(hand->part.last);
    hand_drop(second);
    struct smf__wal_run run;
    CHECK_EQ(smf__wal_reader_next(reader, &run, &error), 0);
    CHECK_EQ(hand_file_of(second)->dropped, 1); /* nobody holds it for what was read ahead */
    hand->version++;
    hand_segment_at(hand, 1u << 20, 100, mark.place, mark.crc);
    hand_records(hand, 10, 500, 0, 0);
    hand_write(hand);
    CHECK_EQ(hand_read_all(hand, reader, at, &status, &error), 110);
    CHECK_EQ(status, 0);
    smf__wal_reader_close(reader);
    hand_close(hand);
}

/* Two files; the second goes while it is read ahead, and the reader is at the end of the first. */
static struct smf__wal_reader *at_the_end_of_a_cut(struct hand *hand, struct smf__wal_mark *end)
{
    struct smf_error error = {0};
    struct smf__wal_run run;
    uint64_t at = 0;
    hand_segment(hand, 4u << 20);
    for (int i = 0; i < 20; i++)
        hand_records(hand, 5, 20000, i, 0);
    *end = hand->part.buffered;
    hand_segment(hand, 4u << 20);
    for (int i = 0; i < 20; i++)
        hand_records(hand, 5, 20000, i, 0);
    hand_write(hand);
    struct smf__wal_reader *reader = hand_reader(hand, 0, SMF__WAL_BUFFERED, 4u << 20);
    while (at < end->offset && hand_next(hand, reader, &run, &error) == 1)
        at = hand_check(hand, &run, at);
    CHECK_EQ(at, end->offset);
    hand_drop(hand->part.last);
    hand->part.buffered = *end;
    hand->part.next_offset = end->offset;
    hand->part.prev_crc = end->crc;
    return reader;
}

/* It does not wait for the disk any more when what was under way has ended, but for the log. */
static void the_file_ahead_is_cut_at_the_end(void)
{
    int under_way = 0;
    for (uint64_t i = 0; i < 20; i++) {
        struct hand *hand = hand_open(test_seed() + i);
        struct smf_error error = {0};
        struct smf__wal_run run;
        struct smf__wal_mark end;
        struct smf__wal_reader *reader = at_the_end_of_a_cut(hand, &end);
        struct hand_file *first = hand_last(hand);
        under_way += hand->wal.under_way > 0;
        CHECK_EQ(smf__wal_reader_next(reader, &run, &error), 0);
        while (hand->wal.under_way > 0)
            smf__wal_wait(&hand->wal);
        CHECK_EQ(smf__wal_reader_next(reader, &run, &error), 0);

        uint32_t told = hand->told;
        hand->version++;
        hand_records(hand, 5, 1000, 0, 0);
        first->buffered_from = smf__wal_place_position(end.place);
        first->buffered_to = first->segment.end;
        smf__wal_readers_tell(&hand->part);
        CHECK_EQ(hand->told, told + 1);
        CHECK_EQ(hand_next(hand, reader, &run, &error), 1);
        CHECK_EQ(hand_check(hand, &run, end.offset), end.offset + 5);
        smf__wal_reader_close(reader);
        hand_close(hand);
    }
    CHECK_GT(under_way, 0);
}

static const struct test tests[] = {
    TEST(reads_lie_side_by_side),
    TEST(the_next_segment_is_read_ahead),
    TEST(the_next_segment_can_not_be_opened),
    TEST(what_is_ahead_is_cut),
    TEST(the_file_ahead_is_cut_at_the_end),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
