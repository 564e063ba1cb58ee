/* Reading a log that another process writes. */
#include "test_wal_reader.h"

static void flip(struct hand *hand, uint64_t position)
{
    CHECK_EQ(smf__disk_world_damage(hand->rig.world, "/log/0000000001-00000000000000000000.seg",
                                    SMF__DISK_FLIP, position, 1, 3),
             0);
}

/* The same files, as somebody else opens them. */
static struct hand *follower(const struct hand *hand)
{
    struct hand *other = calloc(1, sizeof *other);
    CHECK(other != NULL);
    other->rig = hand->rig;
    other->wal = (struct smf__wal){.disk = hand->rig.disk,
                                   .readable = hand_note_readable,
                                   .told_context = other,
                                   .options.read_only = 1};
    other->part.wal = &other->wal;
    other->part.folder = "/log";
    return other;
}

static void follower_close(struct hand *other)
{
    while (other->wal.under_way > 0)
        smf__wal_wait(&other->wal);
    CHECK(other->part.follow == NULL);
    while (other->part.first != NULL) {
        struct smf__wal_segment *segment = other->part.first;
        CHECK_EQ(segment->holds, 0);
        if (segment->file != NULL)
            close_file(other->rig.disk, segment->file);
        other->part.first = segment->next;
        free(segment->waypoints);
        free(segment);
    }
    free(other);
}

/* Reads what there is. */
static uint64_t follow(struct hand *other, const struct hand *hand, struct smf__wal_reader *reader,
                       uint64_t at)
{
    struct smf_error error = {0};
    int status;
    memcpy(other->times, hand->times, sizeof hand->times);
    memcpy(other->sizes, hand->sizes, sizeof hand->sizes);
    memcpy(other->versions, hand->versions, sizeof hand->versions);
    at = hand_read_all(other, reader, at, &status, &error);
    CHECK_EQ(status, 0);
    return at;
}

/* What another process has written shows when it is looked for: all of it, or what it has said by then is
 * durable. */
static void beside_a_process_that_writes(void)
{
    struct hand *hand = hand_open(test_seed());
    struct hand *other = follower(hand);
    struct smf__wal_reader *durable = hand_reader(other, 0, SMF__WAL_DURABLE, 0);
    struct smf__wal_reader *written = hand_reader(other, 0, SMF__WAL_WRITTEN, 0);
    struct smf_error error = {0};
    struct smf__wal_mark before = {0};
    uint64_t durable_at = 0, written_at = 0;
    CHECK_EQ(smf__wal_reader_look(durable, &error), SMF_OK);
    CHECK_EQ(follow(other, hand, durable, 0), 0);
    for (int i = 0; i < 60; i++) {
        if (i % 20 == 0)
            hand_segment(hand, 16u << 20);
        hand_pad(hand);
        hand->durable_before = before.place;
        hand_records(hand, 1 + (uint32_t)smf__random_below(&hand->random, 4),
                     (uint32_t)smf__random_below(&hand->random, i % 10 == 9 ? 500000 : 5000), i, 0);
        hand_write(hand);
        uint32_t told = other->told;
        CHECK_EQ(smf__wal_reader_look(i % 2 == 0 ? durable : written, &error), SMF_OK);
        if (i > 1)
            CHECK_EQ(other->told, told + 2);
        durable_at = follow(other, hand, durable, durable_at);
        written_at = follow(other, hand, written, written_at);
        CHECK_EQ(durable_at, before.offset);
        CHECK_EQ(written_at, hand->part.next_offset);
        before = hand->part.buffered;
    }
    CHECK_STR(error.text, "");
    smf__wal_reader_close(written);
    smf__wal_reader_close(durable);
    follower_close(other);
    hand_close(hand);
}

/* A batch that is only half there is waited for. A tail that was cut can't be followed. */
static void what_another_process_has_not_finished(void)
{
    struct hand *hand = hand_open(test_seed());
    struct hand *other = follower(hand);
    struct smf__wal_reader *reader = hand_reader(other, 0, SMF__WAL_WRITTEN, 0);
    struct smf_error error = {0};
    struct smf__wal_mark mark;
    hand_segment(hand, 1u << 20);
    hand_records(hand, 3, 1000, 0, 0);
    hand_pad(hand);
    mark = hand->part.buffered;
    uint64_t half = hand->part.last->end + 1000;
    hand_records(hand, 3, 1000, 0, 0);
    hand_write(hand);
    flip(hand, half);
    CHECK_EQ(smf__wal_reader_look(reader, &error), SMF_OK);
    CHECK_EQ(follow(other, hand, reader, 0), 3);
    flip(hand, half);
    CHECK_EQ(smf__wal_reader_look(reader, &error), SMF_OK);
    CHECK_EQ(follow(other, hand, reader, 3), 6);
    hand_segment_at(hand, 1u << 20, 3, mark.place, mark.crc);
    hand_write(hand);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(smf__wal_reader_look(reader, &error), SMF_EINVAL);
        CHECK_STR(error.text, "/log was cut by the process that writes it: open the log again");
    }
    smf__wal_reader_close(reader);
    follower_close(other);
    hand_close(hand);
}

/* A writer that says nothing more, since it crashed: META is asked rarer and rarer, by however many readers. */
static void a_process_that_says_nothing_more(void)
{
    enum { LOOKS = 256 };
    struct hand *hand = hand_open(test_seed());
    struct hand *other = follower(hand);
    struct smf__wal_reader *reader = hand_reader(other, 0, SMF__WAL_WRITTEN, 0);
    struct smf_error error = {0};
    uint64_t least = UINT64_MAX, asked = 0, took[LOOKS];
    hand_segment(hand, 1u << 20);
    hand_records(hand, 3, 1000, 0, 0);
    hand_write(hand);
    CHECK_EQ(smf__wal_reader_look(reader, &error), SMF_OK);
    CHECK_EQ(follow(other, hand, reader, 0), 3);
    for (int i = 0; i < LOOKS; i++) {
        uint64_t submits = other->rig.disk->counts->submits;
        CHECK_EQ(smf__wal_reader_look(reader, &error), SMF_OK);
        took[i] = other->rig.disk->counts->submits - submits;
        least = took[i] < least ? took[i] : least;
    }
    for (int i = 0; i < LOOKS; i++)
        asked += took[i] > least;
    CHECK_GE(asked, 5);
    CHECK_LE(asked, 12);
    smf__wal_reader_close(reader);
    follower_close(other);
    hand_close(hand);
}

static const struct test tests[] = {
    TEST(beside_a_process_that_writes),
    TEST(what_another_process_has_not_finished),
    TEST(a_process_that_says_nothing_more),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
