#include "test_wal_rig.h"

#define MS 1000000ull

static struct rig_found found;

static uint64_t told_with(int status)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < rig.append_count; i++)
        count += rig.appends[i].told && rig.appends[i].status == status;
    return count;
}

static void a_durable_append_is_told_when_it_is_durable(void)
{
    rig_open(&(struct rig_options){0});
    CHECK_EQ(rig_append(3, 100, SMF__WAL_DURABLE), SMF_OK);
    CHECK_EQ(rig.outcomes, 0); /* never from inside of the append */
    rig_settle();
    CHECK_EQ(rig.outcomes, 1);
    CHECK_EQ(rig.part.durable.offset, 3);
    CHECK_EQ(rig.part.durable.crc, rig.part.prev_crc);
    rig_verify(&found);
    CHECK_EQ(found.next_offset, 3);
    CHECK_EQ(found.states, 1);
    rig_close();
}

/* Any sizes and modes, on a disk that completes in any order. */
static void a_mixed_workload_is_there_in_order(void)
{
    rig_open(&(struct rig_options){.segment_bytes = 4 << 20, .block_bytes = 4096});
    for (int i = 0; i < 1500; i++) {
        uint32_t size = (uint32_t)smf__random_below(&rig.random, 100) == 0
                            ? (uint32_t)smf__random_below(&rig.random, 400000)
                            : (uint32_t)smf__random_below(&rig.random, 3000);
        uint32_t ack = (uint32_t)smf__random_below(&rig.random, SMF__WAL_ACKS);
        uint32_t count = 1 + (uint32_t)smf__random_below(&rig.random, 3);
        CHECK_EQ(rig_append(count, size, ack), SMF_OK);
        rig.time.now_ns += smf__random_below(&rig.random, MS);
        if (smf__random_below(&rig.random, 3) == 0)
            rig_turn();
    }
    CHECK_EQ(smf__wal_sync(&rig.part), SMF_OK);
    rig_settle();
    uint64_t told = 0;
    for (uint64_t i = 0; i < rig.append_count; i++)
        told += rig.appends[i].ack != SMF__WAL_BUFFERED;
    CHECK_EQ(told_with(SMF_OK), told);
    CHECK_EQ(rig.part.durable.place, rig.part.buffered.place);
    rig_verify(&found);
    CHECK_EQ(found.next_offset, rig.part.next_offset);
    CHECK_GT(found.straddling, 0);
    CHECK_GT(found.padding_bytes, 0);
    CHECK_GT(found.file_count, 1);
    rig_close();
}

static void a_batch_larger_than_a_segment_gets_its_own(void)
{
    rig_open(&(struct rig_options){.segment_bytes = 64 << 10, .memory_bytes = 16 << 20});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    CHECK_EQ(rig_append(1, 3000000, SMF__WAL_DURABLE), SMF_OK);
    CHECK_EQ(rig_append(1, 20, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    CHECK_EQ(told_with(SMF_OK), 3);
    rig_verify(&found);
    CHECK_GE(found.file_count, 2);
    CHECK_EQ(found.next_offset, 3);
    rig_close();
}

static void what_no_buffers_could_hold_is_refused(void)
{
    rig_open(&(struct rig_options){.memory_bytes = SMF__WAL_MEMORY_MIN_BYTES});
    uint64_t most = smf__wal_append_max_bytes(&rig.wal);
    CHECK_LT(most, SMF__WAL_MEMORY_MIN_BYTES);
    uint32_t value = (uint32_t)most - SMF__WAL_RECORD_HEADER_BYTES;
    CHECK_EQ(rig_try(1, value + 8, SMF__WAL_DURABLE), SMF_EINVAL);
    CHECK_EQ(rig_append(1, value - value % 8, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    CHECK_EQ(told_with(SMF_OK), 1);
    rig_close();
}

static void bodies_that_could_not_be_read_are_refused(void)
{
    rig_open(&(struct rig_options){0});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    uint64_t offset;
    struct smf__wal_append append = {.body = rig_body, .base_us = 5, .max_us = 5, .count = 1};
    append.kind = SMF__WAL_RECORDS;
    append.ack = SMF__WAL_DURABLE;
    append.body_bytes = rig_build(0, 1, 100);
    append.count = 2;
    CHECK_EQ(smf__wal_append(&rig.part, &append, &offset), SMF_EINVAL);
    append.count = 1;
    append.max_us = 6;
    CHECK_EQ(smf__wal_append(&rig.part, &append, &offset), SMF_EINVAL);
    append.max_us = 5;
    append.kind = SMF__WAL_META;
    CHECK_EQ(smf__wal_append(&rig.part, &append, &offset), SMF_EINVAL);
    append.kind = SMF__WAL_RECORDS;
    append.ack = SMF__WAL_ACKS;
    CHECK_EQ(smf__wal_append(&rig.part, &append, &offset), SMF_EINVAL);
    rig_settle();
    rig_close();
}

/* Buffered bytes are not written before their time, and durable afterwards. */
static void buffered_bytes_linger(void)
{
    rig_open(&(struct rig_options){.linger_us = 5000});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_sleep(100 * MS); /* with the stamp */
    uint64_t writes = rig.disk->counts->writes;
    CHECK_EQ(rig_append(1, 10, SMF__WAL_BUFFERED), SMF_OK);
    CHECK_EQ(rig_turn(), rig.time.now_ns + 5 * MS);
    rig_sleep(4 * MS);
    CHECK_EQ(rig.disk->counts->writes, writes);
    CHECK_EQ(rig.part.buffered.offset, 2);
    CHECK_EQ(rig.part.durable.offset, 1);
    rig_sleep(1 * MS);
    CHECK_EQ(rig.disk->counts->writes, writes + 1);
    CHECK_EQ(rig.part.durable.offset, 2);
    rig_close();
}

/* A stream that never lets the disk rest: there are always writes under way, and nobody waits for a flush. */
static void what_lingers_in_a_stream_becomes_durable(void)
{
    static const uint32_t others = 2; /* never one of them alone */
    rig_open(&(struct rig_options){.linger_us = 5000});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    rig.part.writes += others;
    for (uint64_t offset = 2; offset < 5; offset++) {
        CHECK_EQ(rig_append(1, 120000, SMF__WAL_BUFFERED), SMF_OK);
        for (int i = 0; i < 20 && rig.part.durable.offset < offset; i++) {
            rig.time.now_ns += MS;
            rig_turn();
        }
        CHECK_EQ(rig.part.durable.offset, offset);
    }
    rig.part.writes -= others;
    rig_settle();
    rig_verify(&found);
    rig_close();
}

/* What is appended while writes are under way goes into the next one. */
static void appends_share_a_write(void)
{
    rig_open(&(struct rig_options){0});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    uint64_t writes = rig.disk->counts->writes;
    smf__disk_world_stall(rig.world, 1);
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(rig_try(1, 10, SMF__WAL_DURABLE), SMF_OK);
        rig_turn();
    }
    smf__disk_world_stall(rig.world, 0);
    rig_settle();
    CHECK_EQ(told_with(SMF_OK), 1001);
    CHECK_LE(rig.disk->counts->writes - writes, 16);
    rig_verify(&found);
    rig_close();
}

/* Written without a flush first, then somebody wants it durable. */
/* Buffers side by side are one write; memory ends somewhere, and so does what one write takes. */
static void side_by_side_is_one_write(void)
{
    static const uint64_t buffers = SMF__WAL_MEMORY_MIN_BYTES / SMF__WAL_BUFFER_BYTES;
    static const uint64_t batch = 1000000, of_batch = 8, batches = 40;
    rig_open(&(struct rig_options){.memory_bytes = SMF__WAL_MEMORY_MIN_BYTES});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    uint64_t writes = rig.disk->counts->writes, flushes = rig.disk->counts->flushes;
    for (uint64_t i = 0; i < batches; i++) {
        CHECK_EQ(rig_append(1, (uint32_t)batch, SMF__WAL_DURABLE), SMF_OK);
        rig_settle();
    }
    uint64_t more = rig.disk->counts->writes - writes - batches,
             times = batches * of_batch / buffers;
    CHECK_GE(more, times - 1);
    CHECK_LE(more, times + 6); /* and those of META, and of stamps */
    writes = rig.disk->counts->writes;
    CHECK_EQ(rig_append(1, 2 * (uint32_t)batch + 400000, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    CHECK_GE(rig.disk->counts->writes, writes + 2);
    CHECK_GT(rig.disk->counts->flushes, flushes); /* of several writes */
    rig_verify(&found);
    rig_close();
}

/* A write beside one other is durable by itself; what comes beside two has a flush. */
static void durable_writes_beside_each_other(void)
{
    rig_open(&(struct rig_options){0});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    for (uint32_t beside = 0; beside < 3; beside++) {
        uint64_t writes = rig.disk->counts->writes, flushes = rig.disk->counts->flushes;
        smf__disk_world_stall(rig.world, 1);
        for (uint32_t i = 0; i <= beside; i++) {
            CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
            rig_turn();
        }
        smf__disk_world_stall(rig.world, 0);
        rig_settle();
        CHECK_EQ(rig.disk->counts->writes, writes + beside + 1);
        CHECK_EQ(rig.disk->counts->flushes, flushes + (beside == 2));
        CHECK_EQ(rig.part.durable.place, rig.part.buffered.place);
    }
    rig_verify(&found);
    rig_close();
}

static void plain_writes_are_flushed_for_a_durable_append(void)
{
    rig_open(&(struct rig_options){0});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    uint64_t flushes = rig.disk->counts->flushes;
    CHECK_EQ(rig_append(1, 10, SMF__WAL_WRITTEN), SMF_OK);
    rig_settle();
    CHECK_EQ(told_with(SMF_OK), 2);
    CHECK_EQ(rig.part.written.offset, 2);
    CHECK_EQ(rig.part.durable.offset, 1);
    CHECK_EQ(rig.disk->counts->flushes, flushes);
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    CHECK_EQ(rig.part.durable.offset, 3);
    CHECK_EQ(rig.disk->counts->flushes, flushes + 1);
    rig_close();
}

static void a_stamp_follows_when_it_falls_idle(void)
{
    rig_open(&(struct rig_options){0});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    uint64_t durable = rig.part.durable.place;
    rig_sleep(9 * MS);
    rig_verify(&found);
    CHECK_EQ(found.stamps, 0);
    rig_sleep(2 * MS);
    rig_verify(&found);
    CHECK_EQ(found.stamps, 1);
    CHECK_GE(rig.part.said_durable, durable);
    rig_sleep(500 * MS); /* and no stamp for the stamp */
    rig_verify(&found);
    CHECK_EQ(found.stamps, 1);
    rig_close();
}

static void checkpoints_are_rare(void)
{
    rig_open(&(struct rig_options){0});
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
        rig_sleep(100 * MS);
    }
    CHECK_GE(rig.checkpoints, 8);
    CHECK_LE(rig.checkpoints, 11);
    rig_sleep(20 * MS); /* the stamp */
    rig_sleep(2000 * MS);
    uint32_t checkpoints = rig.checkpoints;
    rig_sleep(5000 * MS);
    CHECK_EQ(rig.checkpoints, checkpoints); /* nothing new */
    rig_close();
}

/* META said that the log was closed cleanly: that is taken back before anything is appended. */
static void a_clean_end_is_revoked_first(void)
{
    rig_open(&(struct rig_options){0});
    rig.part.clean = 1;
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(rig_try(1, 10, SMF__WAL_DURABLE), SMF_ENOMEM);
        rig_settle();
    }
    CHECK_EQ(rig.checkpoints, 1);
    rig.wal.meta.durable = rig.wal.meta.buffered;
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    CHECK(!rig.part.clean);
    rig_settle();
    rig_close();
}

static void a_stalled_disk_pushes_back(void)
{
    rig_open(&(struct rig_options){.memory_bytes = SMF__WAL_MEMORY_MIN_BYTES});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    for (int i = 0; i < 10; i++) /* room ahead grows, beyond what buffers hold */
        CHECK_EQ(rig_append(1, 1000000, SMF__WAL_BUFFERED), SMF_OK);
    rig_sleep(20 * MS);
    smf__disk_world_stall(rig.world, 1);
    int status, taken = 0;
    while ((status = rig_try(1, 1000, SMF__WAL_DURABLE)) == SMF_OK) {
        rig_turn();
        taken++;
    }
    CHECK_EQ(status, SMF_ENOMEM);
    CHECK_GT(taken, 100);
    for (int i = 0; i < 100; i++) {
        rig_turn();
        CHECK_EQ(rig_try(1, 1000, SMF__WAL_DURABLE), SMF_ENOMEM);
    }
    CHECK_LT(smf__wal_buffers_room(&rig.part), 2000); /* that is why */
    CHECK_EQ(rig.wal.free_count, SMF__WAL_RESERVE_BUFFERS);
    smf__disk_world_stall(rig.world, 0);
    rig_settle();
    CHECK_EQ(told_with(SMF_OK), (uint64_t)taken + 1);
    CHECK_EQ(rig_append(1, 1000, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    rig_verify(&found);
    rig_close();
}

static void too_many_appends_are_pushed_back(void)
{
    rig_open(&(struct rig_options){0});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    struct smf__wal_pending *all = rig.wal.pending_free;
    rig.wal.pending_free = NULL;
    CHECK_EQ(rig_try(1, 10, SMF__WAL_DURABLE), SMF_ELIMIT);
    CHECK_EQ(rig_try(1, 10, SMF__WAL_BUFFERED), SMF_OK);
    rig.wal.pending_free = all;
    rig_settle();
    rig_close();
}

/* Buffers are read until they are used again. */
static void written_bytes_can_be_read_from_buffers(void)
{
    static uint8_t from_buffers[1 << 20], from_disk[1 << 20];
    rig_open(&(struct rig_options){.memory_bytes = SMF__WAL_MEMORY_MIN_BYTES});
    CHECK_EQ(rig_append(1, 300000, SMF__WAL_DURABLE), SMF_OK);
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    struct smf__wal_segment *segment = rig.part.last;
    uint64_t size = segment->end - 1024;
    char path[SMF__DISK_PATH_MAX_BYTES];
    smf__wal_segment_path(segment, path);
    CHECK_GE(smf__wal_buffers_read(segment, 1024, sizeof from_buffers, from_buffers), size);
    CHECK_EQ(smf__disk_world_peek(rig.world, path, 1024, size, from_disk), size);
    CHECK_MEM(from_buffers, from_disk, size);
    CHECK_EQ(smf__wal_buffers_read(segment, segment->end + 512, 512, from_buffers), 0);
    for (int i = 0; i < 200; i++)
        CHECK_EQ(rig_append(1, 130000, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    CHECK_EQ(smf__wal_buffers_read(segment, 1024, 512, from_buffers), 0);
    rig_close();
}

static const struct test tests[] = {
    TEST(a_durable_append_is_told_when_it_is_durable),
    TEST(a_mixed_workload_is_there_in_order),
    TEST(a_batch_larger_than_a_segment_gets_its_own),
    TEST(what_no_buffers_could_hold_is_refused),
    TEST(bodies_that_could_not_be_read_are_refused),
    TEST(buffered_bytes_linger),
    TEST(what_lingers_in_a_stream_becomes_durable),
    TEST(appends_share_a_write),
    TEST(side_by_side_is_one_write),
    TEST(durable_writes_beside_each_other),
    TEST(plain_writes_are_flushed_for_a_durable_append),
    TEST(a_stamp_follows_when_it_falls_idle),
    TEST(checkpoints_are_rare),
    TEST(a_clean_end_is_revoked_first),
    TEST(a_stalled_disk_pushes_back),
    TEST(too_many_appends_are_pushed_back),
    TEST(written_bytes_can_be_read_from_buffers),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
