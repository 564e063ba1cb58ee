/* Segments that follow each other, a disk that is full or fails, and cutting. */
#include "test_wal_rig.h"

#define MS 1000000ull
#define SMALL (64u << 10)

static struct rig_found found;

static uint64_t told_with(int status)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < rig.append_count; i++)
        count += rig.appends[i].told && rig.appends[i].status == status;
    return count;
}

static void fill_segments(int appends, uint32_t ack)
{
    for (int i = 0; i < appends; i++)
        CHECK_EQ(rig_append(1, 3000, ack), SMF_OK);
}

static void segments_follow_each_other(void)
{
    rig_open(&(struct rig_options){.segment_bytes = SMALL});
    fill_segments(300, SMF__WAL_DURABLE);
    rig_settle();
    CHECK_EQ(told_with(SMF_OK), 300);
    rig_verify(&found);
    CHECK_EQ(found.next_offset, 300);
    CHECK_GE(found.file_count, 15);
    CHECK_EQ(found.states, (uint64_t)found.file_count);
    for (const struct smf__wal_segment *each = rig.part.first; each != NULL; each = each->next)
        CHECK_GT(each->state_end, each->header.block_bytes); /* readers need not read it */
    rig_close();
}

/* Plain writes in one file, then durable ones in the next: a flush for each. */
static void a_roll_over_flushes_the_old_file(void)
{
    rig_open(&(struct rig_options){.segment_bytes = SMALL});
    for (int i = 0; i < 100; i++)
        CHECK_EQ(rig_append(1, 3000, i % 2 ? SMF__WAL_WRITTEN : SMF__WAL_BUFFERED), SMF_OK);
    CHECK_EQ(rig_append(1, 3000, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    CHECK_EQ(rig.part.durable.place, rig.part.buffered.place);
    CHECK_EQ(told_with(SMF_OK), 51);
    CHECK_GT(rig.disk->counts->flushes, 0);
    for (uint64_t i = 0; i < 20; i++) {
        rig_verify_cut(&found, test_seed() + i);
        CHECK_EQ(found.next_offset, 101);
    }
    rig_verify(&found);
    CHECK_EQ(found.next_offset, 101);
    rig_close();
}

struct ids {
    uint64_t count, list[400];
    uint32_t number; /* the highest one that was seen */
};

/* No two files have the same id, though their blocks are: what is left of one would verify in the next. */
static void note_ids(struct ids *ids)
{
    for (const struct smf__wal_segment *segment = rig.part.first; segment != NULL;
         segment = segment->next) {
        if (segment->header.number <= ids->number)
            continue;
        ids->number = segment->header.number;
        for (uint64_t i = 0; i < ids->count; i++)
            CHECK_NE(segment->header.id, ids->list[i]);
        CHECK_LT(ids->count, TEST_COUNT(ids->list));
        ids->list[ids->count++] = segment->header.id;
    }
}

static void dropped_segments_are_used_again(void)
{
    struct ids ids = {0};
    struct smf_error error;
    rig_open(&(struct rig_options){.segment_bytes = SMALL});
    uint64_t head = 0, zeroed = 0;
    for (int i = 0; i < 40; i++) {
        fill_segments(20, SMF__WAL_DURABLE);
        rig_settle();
        if (i == 10)
            zeroed = rig.disk->counts->zeroed_bytes;
        head = rig.part.next_offset - 10;
        CHECK_EQ(smf__wal_truncate_head(&rig.part, head, &error), SMF_OK);
        CHECK_EQ(rig.last_head, head);
        rig_settle();
        note_ids(&ids);
    }
    CHECK_GT(zeroed, 0);
    CHECK_GT(ids.count, 20);
    CHECK_LE(rig.disk->counts->zeroed_bytes - zeroed, 8 * SMALL);
    rig_verify(&found);
    CHECK_EQ(found.next_offset, 800);
    CHECK_LE(found.new_count, SMF__WAL_SPARES_MAX + 1);
    CHECK_EQ(smf__wal_truncate_head(&rig.part, 801, &error), SMF_EINVAL);
    CHECK_STR(error.text, "offset 801 is not there: give one from 790 to 800");
    CHECK_EQ(smf__wal_truncate_head(&rig.part, 5, &error), SMF_OK);
    CHECK_EQ(rig.part.head, 790);
    rig_close();
}

/* A file that waits to be used again has its new name for good: its blocks are about to be another file's. */
static void a_spare_does_not_come_back(void)
{
    struct smf_error error;
    rig_open(&(struct rig_options){.segment_bytes = SMALL});
    fill_segments(100, SMF__WAL_DURABLE);
    rig_settle();
    CHECK_EQ(smf__wal_truncate_head(&rig.part, 90, &error), SMF_OK);
    rig_settle();
    CHECK_GT(rig.part.spare_count, 0);
    for (uint64_t seed = 0; seed < 20; seed++) {
        rig_verify_cut(&found, test_seed() + seed);
        for (int i = 0; i < found.number_count; i++) {
            for (uint32_t spare = 0; spare < rig.part.spare_count; spare++)
                CHECK(found.numbers[i] != rig.part.spare[spare].number);
        }
    }
    rig_close();
}

/* At any moment, with segments that are begun, used again and cut. */
static void what_is_durable_survives_a_power_cut(void)
{
    struct smf_error error;
    uint64_t seed = test_seed();
    rig_open(&(struct rig_options){.segment_bytes = SMALL});
    while (rig.append_count < 400) {
        uint32_t ack = (uint32_t)smf__random_below(&rig.random, SMF__WAL_ACKS);
        int status = rig_try(1, (uint32_t)smf__random_below(&rig.random, 8000), ack);
        CHECK(status == SMF_OK || status == SMF_ENOMEM);
        rig.time.now_ns += smf__random_below(&rig.random, 4 * MS);
        if (status == SMF_ENOMEM || smf__random_below(&rig.random, 3) == 0)
            rig_turn();
        if (status == SMF_OK && rig.append_count % 25 == 0)
            CHECK_EQ(smf__wal_truncate_head(&rig.part, rig.part.next_offset - 5, &error), SMF_OK);
        rig_verify_cut(&found, seed++);
        CHECK_GE(found.next_offset, rig.part.durable.offset);
    }
    rig_close();
}

static void a_head_that_is_not_durable_drops_nothing(void)
{
    struct smf_error error;
    rig_open(&(struct rig_options){.segment_bytes = SMALL});
    fill_segments(60, SMF__WAL_DURABLE);
    rig_settle();
    rig.meta_status = SMF_EIO;
    CHECK_EQ(smf__wal_truncate_head(&rig.part, 50, &error), SMF_EIO);
    CHECK_EQ(rig.part.head, 0);
    rig_verify(&found);
    CHECK_EQ(found.files[0].header.number, 1);
    rig_close();
}

/* --- a full disk ---------------------------------------------------------------------------------- */

/* The disk takes so many bytes: appends fail then, what was taken is there, and they work again. */
static void fill_the_disk(uint64_t limit, uint64_t segment_bytes)
{
    rig_open(&(struct rig_options){.segment_bytes = segment_bytes});
    smf__disk_world_limit(rig.world, limit);
    int status = SMF_OK, failures = 0;
    uint64_t failed_at = 0;
    for (int i = 0; i < 4000 && failures < 10; i++) {
        uint32_t ack = (uint32_t)smf__random_below(&rig.random, SMF__WAL_ACKS);
        status = rig_append(1, (uint32_t)smf__random_below(&rig.random, 9000), ack);
        if (status != SMF_OK) {
            CHECK_EQ(status, SMF_ENOSPACE);
            failed_at = rig.part.next_offset;
            failures++;
        }
        rig.time.now_ns += 1 * MS;
    }
    CHECK_EQ(failures, 10);
    CHECK_EQ(rig.part.status, SMF_OK);
    CHECK_GT(failed_at, limit > (2 << 20) ? 100 : 0);
    CHECK_EQ(smf__wal_sync(&rig.part), SMF_OK);
    rig_settle();
    rig_verify(&found);
    CHECK_EQ(found.next_offset, rig.part.next_offset);
    smf__disk_world_limit(rig.world, UINT64_MAX);
    rig.time.now_ns += 2000 * MS;
    for (int i = 0; i < 200; i++)
        CHECK_EQ(rig_append(1, 9000, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    CHECK_EQ(told_with(SMF_ENOSPACE), 0);
    rig_verify(&found);
    CHECK_EQ(found.next_offset, rig.part.next_offset);
    rig_close();
}

static void a_full_disk_takes_nothing_back(void)
{
    fill_the_disk(3 << 20, 16 << 20); /* inside of a segment */
    fill_the_disk(1 << 20, SMALL);    /* between two */
    fill_the_disk(5 << 20, 2 << 20);
}

/* An idle partition has no room for its stamp: it tries again, and not all the time. */
static void a_full_disk_is_not_asked_all_the_time(void)
{
    uint64_t until_ns, turns = 0;
    int status;
    rig_open(&(struct rig_options){.segment_bytes = 16 << 20});
    smf__disk_world_limit(rig.world, 3 << 20);
    while ((status = rig_append(1, 400, SMF__WAL_DURABLE)) == SMF_OK)
        rig_settle();
    CHECK_EQ(status, SMF_ENOSPACE);
    CHECK_EQ(smf__wal_sync(&rig.part), SMF_OK);
    for (until_ns = rig.time.now_ns + 60000 * MS; rig.time.now_ns < until_ns; turns++) {
        uint64_t due_ns = rig_turn();
        rig_settle();
        rig.time.now_ns =
            due_ns > rig.time.now_ns && due_ns < until_ns ? due_ns : rig.time.now_ns + 100 * MS;
    }
    CHECK_LT(turns, 1000); /* every 10 ms: 6000 */
    CHECK_EQ(rig.part.status, SMF_OK);
    smf__disk_world_limit(rig.world, UINT64_MAX);
    for (int i = 0; i < 120; i++)
        rig_sleep(100 * MS);
    rig_verify(&found);
    CHECK_GE(found.stamps, 1);
    rig_close();
}

/* Not even the first file. */
static void a_disk_without_any_space_is_no_end(void)
{
    rig_open(&(struct rig_options){.segment_bytes = SMALL});
    smf__disk_world_limit(rig.world, 1000);
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_ENOSPACE);
    rig_verify(&found);
    CHECK_EQ(found.file_count + found.new_count, 0);
    smf__disk_world_limit(rig.world, UINT64_MAX);
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    CHECK_EQ(told_with(SMF_OK), 1);
    rig_close();
}

/* --- a disk that fails ---------------------------------------------------------------------------- */

static void run_until_fenced(void)
{
    for (int i = 0; i < 200 && rig.part.status == SMF_OK; i++) {
        uint32_t ack = (uint32_t)smf__random_below(&rig.random, SMF__WAL_ACKS);
        int status = rig_append(1, 1 + (uint32_t)smf__random_below(&rig.random, 5000), ack);
        CHECK(status == SMF_OK || (status == SMF_EIO && rig.part.status == SMF_EIO));
        rig.time.now_ns += 1 * MS;
        if (smf__random_below(&rig.random, 2) == 0)
            rig_turn();
    }
    (void)smf__wal_sync(&rig.part);
    rig_settle();
}

/* The nth operation of a kind fails: nothing is appended any more, everybody is told, and what was told to
 * be durable is there. */
static void fail_each(uint32_t kind)
{
    int fenced = 0;
    for (uint64_t nth = 1; nth <= 24; nth++) {
        rig_open(&(struct rig_options){.segment_bytes = SMALL});
        smf__disk_world_fail(rig.world, kind, nth, 1, EIO);
        run_until_fenced();
        smf__disk_world_heal(rig.world);
        uint64_t waited = 0;
        for (uint64_t i = 0; i < rig.append_count; i++)
            waited += rig.appends[i].ack != SMF__WAL_BUFFERED;
        CHECK_EQ(rig.outcomes, waited);
        CHECK_EQ(told_with(SMF_OK) + told_with(SMF_EIO), waited);
        if (rig.part.status != SMF_OK) {
            fenced++;
            CHECK_EQ(rig.part.status, SMF_EIO);
            CHECK(strstr(rig.part.status_text, "close the log and open it again") != NULL);
            CHECK_EQ(rig_try(1, 10, SMF__WAL_DURABLE), SMF_EIO);
        }
        /* A write that failed may have left anything: only what was durable has to be there. */
        for (uint64_t i = 0; i < rig.append_count; i++)
            rig.appends[i].told &= rig.appends[i].offset < rig.part.durable.offset;
        rig_verify(&found);
        CHECK_GE(found.next_offset, rig.part.durable.offset);
        rig_close();
    }
    CHECK_GT(fenced, 0);
}

static void a_failed_write_fences(void)
{
    fail_each(SMF__DISK_WRITE);
}

static void a_failed_flush_fences(void)
{
    fail_each(SMF__DISK_FLUSH);
}

static void a_failed_rename_fences(void)
{
    fail_each(SMF__DISK_RENAME);
}

static void a_failed_flush_of_the_folder_fences(void)
{
    fail_each(SMF__DISK_SYNC_FOLDER);
}

static void what_is_only_ahead_may_fail(void)
{
    static const uint32_t kinds[] = {SMF__DISK_OPEN, SMF__DISK_ZERO};
    for (int k = 0; k < 2; k++) {
        rig_open(&(struct rig_options){.segment_bytes = SMALL});
        smf__disk_world_fail(rig.world, kinds[k], 3, 2, EIO);
        int failures = 0;
        for (int i = 0; i < 300; i++)
            failures += rig_append(1, 3000, SMF__WAL_DURABLE) != SMF_OK;
        CHECK_LE(failures, 2);
        rig_settle();
        CHECK_EQ(rig.part.status, SMF_OK);
        CHECK_EQ(told_with(SMF_OK), 300 - (uint64_t)failures);
        rig_verify(&found);
        rig_close();
    }
}

/* --- the tail ------------------------------------------------------------------------------------- */

static void cut_at(uint64_t offset)
{
    struct smf_error error;
    CHECK_EQ(smf__wal_truncate_tail(&rig.part, offset, &error), SMF_OK);
    CHECK_EQ(rig.part.next_offset, offset);
    CHECK_EQ(rig.part.durable.offset, offset);
    const struct smf__wal_segment *last = rig.part.last, *before = last->previous;
    if (before != NULL && last->header.first_offset == offset) {
        CHECK_EQ(smf__wal_place(before->header.number, before->end), last->header.follows);
        CHECK_LE(before->end_offset, offset);
    }
    for (int i = 0; i < 3; i++)
        rig.seen[i] = (struct smf__wal_mark){0};
    for (uint64_t i = 0; i < rig.append_count; i++)
        rig.appends[i].cut |= rig.appends[i].offset >= offset;
    for (int i = 0; i < SMF__WAL_ACKS; i++)
        rig.last_told[i] = 0;
}

static void the_tail_is_cut_anywhere(void)
{
    struct smf_error error;
    rig_open(&(struct rig_options){.segment_bytes = SMALL, .memory_bytes = 16 << 20});
    for (int round = 0; round < 60; round++) {
        for (uint64_t i = 1 + smf__random_below(&rig.random, 60); i > 0; i--) {
            uint32_t ack = (uint32_t)smf__random_below(&rig.random, SMF__WAL_ACKS);
            uint32_t size =
                (uint32_t)smf__random_below(&rig.random, round % 9 == 0 ? 100000 : 5000);
            uint32_t count = 1 + (uint32_t)smf__random_below(&rig.random, 4);
            CHECK_EQ(rig_append(count, size, ack), SMF_OK);
        }
        uint64_t back = smf__random_below(&rig.random, 90);
        cut_at(rig.part.next_offset > back ? rig.part.next_offset - back : 0);
        CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
        rig_settle();
        rig_verify(&found);
        CHECK_EQ(found.next_offset, rig.part.next_offset);
    }
    CHECK_EQ(smf__wal_truncate_tail(&rig.part, rig.part.next_offset + 1, &error), SMF_EINVAL);
    CHECK(strstr(error.text, "is not there: give one from 0 to ") != NULL);
    rig_close();
}

/* There is no space for the file that says so: nothing was cut. */
static void a_cut_that_fails_cuts_nothing(void)
{
    struct smf_error error;
    rig_open(&(struct rig_options){.segment_bytes = 1 << 20});
    fill_segments(50, SMF__WAL_DURABLE);
    rig_settle();
    smf__disk_world_limit(rig.world, 1 << 20);
    CHECK_EQ(smf__wal_truncate_tail(&rig.part, 20, &error), SMF_ENOSPACE);
    CHECK_STR(error.text,
              "no file could be begun in /log/events/0: SMF_ENOSPACE; free some space on "
              "this file system");
    CHECK_EQ(rig.part.next_offset, 50);
    CHECK_EQ(rig_append(1, 3000, SMF__WAL_DURABLE), SMF_OK);
    smf__disk_world_limit(rig.world, UINT64_MAX);
    rig_settle();
    rig_verify(&found);
    CHECK_EQ(found.next_offset, 51);
    cut_at(20);
    rig_settle();
    rig_verify(&found);
    CHECK_EQ(found.next_offset, 20);
    rig_close();
}

/* A file that is being made ready fails while the tail is being cut, at one step or another: if the cut says
 * that it was made, it was. */
static void a_cut_beside_a_file_that_fails(void)
{
    struct smf_error error;
    int made = 0;
    for (int steps = 0; steps < 5; steps++) {
        rig_open(&(struct rig_options){.segment_bytes = SMALL});
        CHECK_EQ(rig_append(1, 3000, SMF__WAL_DURABLE), SMF_OK);
        rig.part.room_status = SMF_EIO; /* nothing is made ahead now */
        rig.part.room_ns = rig.time.now_ns;
        for (int i = 0; i < 16; i++)
            CHECK_EQ(rig_append(1, 3000, SMF__WAL_DURABLE), SMF_OK);
        rig_settle();
        CHECK(rig.part.making == NULL && rig.part.last == rig.part.first);
        rig.part.room_status = SMF_OK;
        smf__disk_world_fail(rig.world, SMF__DISK_ZERO, 1, 1, EIO);
        smf__wal_touch(&rig.part);
        rig_turn();
        CHECK(rig.part.making != NULL);
        for (int i = 0; i < steps; i++)
            smf__wal_wait(&rig.wal);
        int status = smf__wal_truncate_tail(&rig.part, 3, &error);
        CHECK(status == SMF_OK || status == SMF_EIO);
        CHECK_EQ(rig.part.next_offset, status == SMF_OK ? 3 : 17);
        made += status == SMF_OK;
        memset(rig.seen, 0, sizeof rig.seen);
        rig_settle();
        rig_close();
    }
    CHECK_GE(made, 3);
}

static const struct test tests[] = {
    TEST(segments_follow_each_other),
    TEST(a_roll_over_flushes_the_old_file),
    TEST(dropped_segments_are_used_again),
    TEST(a_spare_does_not_come_back),
    TEST(what_is_durable_survives_a_power_cut),
    TEST(a_head_that_is_not_durable_drops_nothing),
    TEST(a_full_disk_takes_nothing_back),
    TEST(a_full_disk_is_not_asked_all_the_time),
    TEST(a_disk_without_any_space_is_no_end),
    TEST(a_failed_write_fences),
    TEST(a_failed_flush_fences),
    TEST(a_failed_rename_fences),
    TEST(a_failed_flush_of_the_folder_fences),
    TEST(what_is_only_ahead_may_fail),
    TEST(the_tail_is_cut_anywhere),
    TEST(a_cut_that_fails_cuts_nothing),
    TEST(a_cut_beside_a_file_that_fails),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
