/* Who was refused for the moment is told when to try again: for each reason of a refusal, once, and not before
 * there is one. */
#include "test_wal_rig.h"
#include "wal/wal_make.h"

#define MS 1000000ull
#define SMALL (64u << 10)

static struct rig_found found;

/* A refusal, and that nobody is called while nothing has changed, however long that takes. */
static void check_refused(uint32_t value_bytes)
{
    uint64_t retries = rig.retries;
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(rig_try(1, value_bytes, SMF__WAL_DURABLE), SMF_ENOMEM);
        smf__wal_turn(&rig.wal);
        rig.time.now_ns += 10 * MS;
        CHECK_EQ(rig.retries, retries);
    }
}

/* Turns until somebody is called: after the end of an operation, and in that turn. */
static void await_retry(void)
{
    uint64_t retries = rig.retries, ended = rig.wal.ended;
    for (int rounds = 0; rig.retries == retries; rounds++) {
        CHECK_LT(rounds, 1000);
        CHECK_EQ(rig.wal.ended, ended);
        smf__wal_wait(&rig.wal);
    }
    CHECK_EQ(rig.retries, retries + 1);
    CHECK_GT(rig.wal.ended, ended);
}

/* Tries again only when it is told to. Returns how often that was. */
static uint64_t append_when_told(uint32_t value_bytes)
{
    uint64_t told = 0;
    int status;
    for (; (status = rig_try(1, value_bytes, SMF__WAL_DURABLE)) == SMF_ENOMEM; told++) {
        CHECK_LT(told, 100);
        await_retry();
    }
    CHECK_EQ(status, SMF_OK);
    return told;
}

/* Settles, and checks that nobody is called who was not refused. */
static void check_quiet(void)
{
    uint64_t retries = rig.retries;
    rig_settle();
    CHECK_EQ(rig_try(1, 100, SMF__WAL_DURABLE), SMF_OK);
    rig_sleep(5000 * MS);
    CHECK_EQ(rig.retries, retries);
    rig_verify(&found);
    CHECK_EQ(found.next_offset, rig.append_count);
}

static void memory_that_is_given_back(void)
{
    rig_open(&(struct rig_options){.memory_bytes = SMF__WAL_MEMORY_MIN_BYTES});
    for (int i = 0; i < 10; i++) /* room ahead grows, beyond what buffers hold */
        CHECK_EQ(rig_append(1, 1000000, SMF__WAL_BUFFERED), SMF_OK);
    rig_sleep(20 * MS);
    smf__disk_world_stall(rig.world, 1);
    while (rig_try(1, 100000, SMF__WAL_DURABLE) == SMF_OK)
        rig_turn();
    check_refused(100000);
    smf__disk_world_stall(rig.world, 0);
    CHECK_GT(append_when_told(100000), 0);
    check_quiet();
    rig_close();
}

static void room_that_is_made(void)
{
    rig_open(&(struct rig_options){0});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_settle();
    smf__disk_world_stall(rig.world, 1);
    check_refused(5 << 20);
    CHECK(rig.part.zeroing);
    smf__disk_world_stall(rig.world, 0);
    CHECK_GT(append_when_told(5 << 20), 0);
    check_quiet();
    rig_close();
}

/* The first file, and each that follows. */
static void a_file_that_is_begun(void)
{
    uint64_t told = 0, files = 0;
    rig_open(&(struct rig_options){.segment_bytes = SMALL});
    smf__disk_world_stall(rig.world, 1);
    check_refused(3000);
    CHECK(smf__wal_make_begun(&rig.part));
    smf__disk_world_stall(rig.world, 0);
    for (int i = 0; i < 100; i++) {
        const struct smf__wal_segment *last = rig.part.last;
        uint64_t waits = append_when_told(3000);
        told += waits;
        files += rig.part.last != last;
        CHECK(rig.part.last != last || waits == 0);
    }
    CHECK_GE(files, 5);
    CHECK_GE(told, files);
    check_quiet();
    rig_close();
}

/* META's word is not this log's own operation here: it is looked for again, but not all the time. */
static void a_clean_end_that_is_revoked(void)
{
    rig_open(&(struct rig_options){0});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_sleep(5000 * MS);
    rig.part.clean = 1;
    uint64_t retries = rig.retries;
    for (uint64_t i = 0; i < 10; i++) {
        CHECK_EQ(rig_try(1, 10, SMF__WAL_DURABLE), SMF_ENOMEM);
        CHECK_EQ(rig_turn(), rig.time.now_ns + SMF__WAL_RETRY_NS);
        rig.time.now_ns += SMF__WAL_RETRY_NS - 1;
        CHECK_EQ(rig_turn(), rig.time.now_ns + 1);
        CHECK_EQ(rig.retries, retries + i);
        rig.time.now_ns++;
        rig_turn();
        CHECK_EQ(rig.retries, retries + i + 1);
    }
    rig.wal.meta.durable = rig.wal.meta.buffered;
    CHECK_EQ(rig_try(1, 10, SMF__WAL_DURABLE), SMF_OK);
    check_quiet();
    rig_close();
}

static int held_status;

static void append_while_held(void *context, const struct smf__wal_outcome *outcome)
{
    rig_told(context, outcome);
    if (rig.part.held)
        held_status = rig_try(1, 10, SMF__WAL_DURABLE);
}

/* Nothing of the log ends behind the cut: its end itself is what was waited for. */
static void a_tail_that_is_held(void)
{
    struct smf_error error;
    rig_open(&(struct rig_options){0});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_sleep(5000 * MS);
    uint64_t retries = rig.retries;
    rig.wal.told = append_while_held;
    CHECK_EQ(rig_try(1, 10, SMF__WAL_DURABLE), SMF_OK);
    CHECK_EQ(smf__wal_truncate_tail(&rig.part, 2, &error), SMF_OK);
    CHECK_EQ(held_status, SMF_ENOMEM);
    CHECK_EQ(rig.retries, retries);
    CHECK_EQ(rig.wal.under_way, 0);
    rig_turn();
    CHECK_EQ(rig.retries, retries + 1);
    check_quiet();
    rig_close();
}

static void too_many_that_wait(void)
{
    rig_open(&(struct rig_options){0});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_sleep(5000 * MS);
    uint64_t retries = rig.retries;
    struct smf__wal_pending *all = rig.wal.pending_free;
    CHECK_EQ(rig_try(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig.wal.pending_free = NULL;
    CHECK_EQ(rig_try(1, 10, SMF__WAL_DURABLE), SMF_ELIMIT);
    rig.wal.pending_free = all->next;
    rig_turn();
    CHECK_EQ(rig.retries, retries);
    await_retry();
    check_quiet();
    rig_close();
}

/* What ends between two refusals counts for the first one. */
static void the_first_of_several_counts(void)
{
    rig_open(&(struct rig_options){0});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_sleep(5000 * MS);
    uint64_t retries = rig.retries;
    CHECK_EQ(rig_try(1, 5 << 20, SMF__WAL_DURABLE), SMF_ENOMEM);
    rig.wal.ended++;
    CHECK_EQ(rig_try(1, 5 << 20, SMF__WAL_DURABLE), SMF_ENOMEM);
    rig_turn();
    CHECK_EQ(rig.retries, retries + 1);
    CHECK_GT(append_when_told(5 << 20), 0);
    check_quiet();
    rig_close();
}

/* Whoever waits for a disk that fails is called, too, and hears why. */
static void a_disk_that_fails(void)
{
    rig_open(&(struct rig_options){0});
    CHECK_EQ(rig_append(1, 10, SMF__WAL_DURABLE), SMF_OK);
    rig_sleep(5000 * MS);
    smf__disk_world_limit(rig.world, 0);
    CHECK_EQ(rig_try(1, 5 << 20, SMF__WAL_DURABLE), SMF_ENOMEM);
    int status = SMF_ENOMEM;
    for (int i = 0; status == SMF_ENOMEM; i++) {
        CHECK_LT(i, 10);
        await_retry();
        status = rig_try(1, 5 << 20, SMF__WAL_DURABLE);
    }
    CHECK_EQ(status, SMF_ENOSPACE);
    uint64_t retries = rig.retries;
    rig_sleep(5000 * MS);
    CHECK_EQ(rig.retries, retries); /* that was no refusal for the moment */
    smf__disk_world_limit(rig.world, UINT64_MAX);
    rig_close();
}

static const struct test tests[] = {
    TEST(memory_that_is_given_back),   TEST(room_that_is_made),   TEST(a_file_that_is_begun),
    TEST(a_clean_end_that_is_revoked), TEST(a_tail_that_is_held), TEST(too_many_that_wait),
    TEST(the_first_of_several_counts), TEST(a_disk_that_fails),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
