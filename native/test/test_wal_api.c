/* smf/wal.h over real files, through io_uring and through threads. */
#include <poll.h>

#include "core/core.h"
#include "test_wal_api.h"
#include "wal/wal_host.h"
#include "wal/wal_record.h"

#define MANY 500u
#define BATCH_BYTES 65536u
#define FOREIGN_TURNS_MAX 200

static const uint32_t disks[] = {SMF_WAL_DISK_URING, SMF_WAL_DISK_POSIX};

/* Runs a story with each way to the disk. */
static void with_each_disk(void (*story)(struct wal_rig *rig))
{
    for (uint32_t i = 0; i < TEST_COUNT(disks); i++) {
        struct wal_rig rig;

        if (!wal_rig_open(&rig, disks[i], 0))
            continue;
        story(&rig);
        wal_rig_close(&rig);
    }
}

/* Reads "value 7" and so on, from an offset to the end. */
static void check_values(struct wal_rig *rig, uint64_t partition, uint64_t from, uint64_t end)
{
    struct smf_wal_reader *reader;
    struct smf_wal_run run;
    struct smf_wal_record record;
    uint64_t offset = from;
    char text[32];

    CHECK_EQ(
        smf_wal_reader_open(rig->wal, partition, from, SMF_WAL_DURABLE, 0, 0, &reader, &rig->error),
        SMF_OK);
    while (wal_next_run(rig, reader, &run) == 1) {
        CHECK_EQ(run.first_offset, offset);
        while (smf_wal_run_next(&run, &record) == 1) {
            CHECK_EQ(record.offset, offset);
            snprintf(text, sizeof text, "value %" PRIu64, offset);
            CHECK_EQ(record.value_size, strlen(text));
            CHECK_MEM(record.value, text, record.value_size);
            CHECK(record.key == NULL);
            CHECK(record.headers == NULL);
            CHECK_GT(record.time_us, 1500000000000000);
            offset++;
        }
        CHECK_EQ(run.end_offset, offset);
        CHECK_EQ(smf_wal_run_next(&run, &record), 0);
    }
    CHECK_EQ(offset, end);
    smf_wal_reader_close(reader);
}

static void append_values(struct wal_rig *rig, uint64_t partition, uint64_t first, uint64_t count)
{
    char text[32];

    for (uint64_t i = first; i < first + count; i++) {
        snprintf(text, sizeof text, "value %" PRIu64, i);
        CHECK_EQ(wal_put(rig, partition, text, SMF_WAL_DURABLE, i), i);
    }
}

static void tell_append_and_read(struct wal_rig *rig)
{
    uint64_t partition = wal_topic(rig, "values", 2);

    CHECK(strstr(smf_wal_describe(rig->wal), rig->folder) != NULL);
    append_values(rig, partition, 0, MANY);
    wal_await(rig, MANY);
    CHECK_EQ(rig->failed, 0);
    CHECK_EQ(rig->last_user, MANY - 1); /* in the order of offsets */
    CHECK_EQ(rig->last_offset, MANY - 1);
    CHECK_EQ(wal_info(rig, partition).durable, MANY);
    CHECK_EQ(wal_info(rig, partition).next, MANY);
    check_values(rig, partition, 0, MANY);
    check_values(rig, partition, MANY / 2, MANY);
    CHECK_EQ(wal_info(rig, partition | 1).next, 0); /* the other one has nothing */
    wal_rig_shut(rig);
    wal_rig_reopen(rig, 0);
    partition = wal_partition(rig, "values", 0);
    check_values(rig, partition, 0, MANY);
    append_values(rig, partition, MANY, MANY);
    wal_await(rig, 2 * MANY);
    check_values(rig, partition, 0, 2 * MANY);
}

static void appended_and_read_back(void)
{
    with_each_disk(tell_append_and_read);
}

/* --- batches -------------------------------------------------------------------------------------- */

static void same_bytes(const void *found, uint32_t found_size, const void *wanted, uint32_t size)
{
    CHECK_EQ(found == NULL, wanted == NULL);
    if (wanted == NULL)
        return;
    CHECK_EQ(found_size, size);
    CHECK_MEM(found, wanted, size);
}

static void tell_batches(struct wal_rig *rig)
{
    static uint8_t memory[BATCH_BYTES] __attribute__((aligned(8)));
    static uint8_t header[64] __attribute__((aligned(8)));
    uint64_t partition = wal_topic(rig, "batches", 1), first;
    struct smf_wal_batch batch = {.memory = memory, .capacity = sizeof memory};
    struct smf_wal_record records[] = {
        {.value = "v", .value_size = 1, .key = "key", .key_size = 3, .time_us = 5000},
        {.value = "", .key = "", .time_us = 4000},
        {.time_us = 6000}, /* neither key nor value */
        {.value = "w", .value_size = 1, .headers = header, .time_us = 6000},
    };
    struct smf_wal_reader *reader;
    struct smf_wal_record record;
    struct smf_wal_run run;

    records[3].headers_size = smf__wal_header_bytes((struct smf__wal_bytes){(void *)"n", 1},
                                                    (struct smf__wal_bytes){(void *)"x", 1});
    smf__wal_header_write((struct smf__wal_bytes){(void *)"n", 1},
                          (struct smf__wal_bytes){(void *)"x", 1}, header);
    CHECK_EQ(wal_put(rig, partition, "alone", SMF_WAL_BUFFERED, 0), 0);
    for (uint32_t i = 0; i < TEST_COUNT(records); i++)
        CHECK_EQ(smf_wal_add(&batch, &records[i]), SMF_OK);
    CHECK_EQ(smf_wal_append(rig->wal, partition, &batch, SMF_WAL_DURABLE, 77, &first), SMF_OK);
    CHECK_EQ(first, 1);
    memset(memory, 0xee, sizeof memory); /* it was copied */
    wal_await(rig, 1);
    CHECK_EQ(rig->last_user, 77);
    CHECK_EQ(rig->last_offset, 1);
    CHECK_EQ(
        smf_wal_reader_open(rig->wal, partition, 1, SMF_WAL_DURABLE, 0, 0, &reader, &rig->error),
        SMF_OK);
    CHECK_EQ(wal_next_run(rig, reader, &run), 1);
    for (uint32_t i = 0; i < TEST_COUNT(records); i++) {
        CHECK_EQ(smf_wal_run_next(&run, &record), 1);
        CHECK_EQ(record.offset, 1 + i);
        CHECK_EQ(record.time_us, records[i].time_us);
        same_bytes(record.value, record.value_size, records[i].value, records[i].value_size);
        same_bytes(record.key, record.key_size, records[i].key, records[i].key_size);
        same_bytes(record.headers, record.headers_size, records[i].headers,
                   records[i].headers_size);
    }
    CHECK_EQ(smf_wal_run_next(&run, &record), 0);
    CHECK_EQ(wal_next_run(rig, reader, &run), 0);
    smf_wal_reader_close(reader);
    CHECK_EQ(smf_wal_offset_for_time(rig->wal, partition, 4500, &first, &rig->error), SMF_OK);
    CHECK_EQ(first, 0); /* the one that was put alone is of today */
}

static void batches_keep_what_they_were_given(void)
{
    with_each_disk(tell_batches);
}

static void what_can_be_added(void)
{
    static uint8_t memory[256] __attribute__((aligned(8)));
    static uint8_t value[512];
    struct smf_wal_batch batch = {.memory = memory, .capacity = sizeof memory};
    struct smf_wal_record record = {.value = value, .value_size = 40};
    uint32_t used;

    for (uint32_t i = 1; i <= 4; i++) {
        CHECK_EQ(smf_wal_add(&batch, &record), SMF_OK);
        CHECK_EQ(batch.count, i);
        CHECK_EQ(batch.used, i * 56);
    }
    used = batch.used;
    CHECK_EQ(smf_wal_add(&batch, &record), SMF_ELIMIT);
    CHECK_EQ(batch.used, used);
    record.value_size = 17 << 20; /* no record may be so large */
    CHECK_EQ(smf_wal_add(&batch, &record), SMF_EINVAL);
    record = (struct smf_wal_record){.value_size = 1};
    CHECK_EQ(smf_wal_add(&batch, &record), SMF_EINVAL);
    record = (struct smf_wal_record){.headers = value, .headers_size = 4};
    CHECK_EQ(smf_wal_add(&batch, &record), SMF_EINVAL);
    record = (struct smf_wal_record){.time_us = batch.base_us + (1ll << 48)};
    CHECK_EQ(smf_wal_add(&batch, &record), SMF_EINVAL);
    record = (struct smf_wal_record){.reserved = 1};
    CHECK_EQ(smf_wal_add(&batch, &record), SMF_EINVAL);
    record.reserved = 0;
    batch.memory = memory + 1;
    CHECK_EQ(smf_wal_add(&batch, &record), SMF_EINVAL);
    CHECK_EQ(smf_wal_add(NULL, &record), SMF_EINVAL);
}

/* --- what is told --------------------------------------------------------------------------------- */

static void tell_reader_waits(struct wal_rig *rig)
{
    uint64_t partition = wal_topic(rig, "tail", 1);
    struct smf_wal_reader *reader, *other;
    struct smf_wal_record record;
    struct smf_wal_run run;

    CHECK_EQ(
        smf_wal_reader_open(rig->wal, partition, 0, SMF_WAL_DURABLE, 0, 4711, &reader, &rig->error),
        SMF_OK);
    CHECK_EQ(
        smf_wal_reader_open(rig->wal, partition, 0, SMF_WAL_DURABLE, 0, 4712, &other, &rig->error),
        SMF_OK);
    CHECK_EQ(smf_wal_reader_next(other, &run, &rig->error), 0);
    smf_wal_reader_close(other); /* nothing is told of it */
    for (uint32_t i = 0; i < 20; i++) {
        int status = wal_next_run(rig, reader, &run);

        CHECK_EQ(status, 0);
        CHECK_EQ(smf_wal_reader_at_end(reader), 1);
        rig->readable = 0;
        CHECK_EQ(wal_put(rig, partition, "x", SMF_WAL_DURABLE, i), i);
        for (int polls = 0; status == 0; polls++) {
            CHECK_LT(polls, WAL_PATIENCE_POLLS);
            (void)wal_poll(rig,
                           SMF_WAIT_FOREVER); /* told of the append, of the reader, or of both */
            if (rig->readable > 0)
                status = smf_wal_reader_next(reader, &run, &rig->error);
        }
        CHECK_EQ(rig->readable_user, 4711);
        CHECK_EQ(status, 1);
        CHECK_EQ(smf_wal_run_next(&run, &record), 1);
        CHECK_EQ(record.offset, i);
        CHECK_EQ(smf_wal_run_next(&run, &record), 0);
    }
    smf_wal_reader_close(reader);
    smf_wal_reader_close(NULL);
}

static void a_reader_is_told_when_to_go_on(void)
{
    with_each_disk(tell_reader_waits);
}

/* Functions that block take ends of others: the next poll tells of them. */
static void tell_sync(struct wal_rig *rig)
{
    uint64_t partition = wal_topic(rig, "sync", 1);
    uint64_t waits_before;

    for (uint32_t i = 0; i < 10; i++)
        (void)wal_put(rig, partition, "x", SMF_WAL_DURABLE, i);
    (void)wal_put(rig, partition, "x", SMF_WAL_BUFFERED, 0);
    CHECK_EQ(smf_wal_sync(rig->wal, partition, &rig->error), SMF_OK);
    CHECK_EQ(wal_info(rig, partition).durable, 11);
    CHECK_EQ(smf_core_arm(rig->core), 0);
    waits_before = rig->core->waits;
    CHECK_EQ(wal_poll(rig, SMF_WAIT_FOREVER), 1);
    CHECK_EQ(rig->appended, 10);
    CHECK_EQ(rig->core->waits, waits_before);
    CHECK_EQ(smf_wal_sync(rig->wal, partition, &rig->error), SMF_OK);
}

static void blocking_keeps_what_others_wait_for(void)
{
    with_each_disk(tell_sync);
}

/* Whoever blocks over and over again and never polls is refused, before memory is. */
static void tell_limit(struct wal_rig *rig)
{
    uint64_t partition = wal_topic(rig, "limit", 1);
    uint32_t taken = 0;
    int status = SMF_OK;

    while (status == SMF_OK || status == SMF_ENOMEM) {
        status = smf_wal_put(rig->wal, partition, NULL, 0, "x", 1, SMF_WAL_WRITTEN, taken, NULL);
        if (status == SMF_OK)
            taken++;
        if (status == SMF_ENOMEM)
            smf__wal_wait(rig->wal->log);
        else if (taken % 8192 == 0)
            CHECK_EQ(smf_wal_sync(rig->wal, partition, &rig->error), SMF_OK);
        CHECK_LE(taken, SMF__WAL_APPENDS_MAX);
    }
    CHECK_EQ(status, SMF_ELIMIT);
    CHECK_EQ(taken, SMF__WAL_APPENDS_MAX);
    CHECK_EQ(wal_poll(rig, SMF_WAIT_FOREVER), 1);
    CHECK_EQ(rig->retries, 1); /* with what there is room again for */
    CHECK_GT(rig->appended, 0);
    CHECK_EQ(smf_wal_put(rig->wal, partition, NULL, 0, "x", 1, SMF_WAL_BUFFERED, 0, NULL), SMF_OK);
    wal_await(rig, taken);
    CHECK_EQ(rig->last_user, taken - 1);
    (void)wal_put(rig, partition, "x", SMF_WAL_DURABLE, 0);
    wal_await(rig, taken + 1);
}

static void appends_that_nobody_asks_for_are_bounded(void)
{
    with_each_disk(tell_limit);
}

/* A program's own loop: it is not to sleep before what was appended is under way, and its descriptor tells
 * when that has ended. */
static void tell_foreign_loop(struct wal_rig *rig)
{
    uint64_t partition = wal_topic(rig, "loop", 1);
    struct pollfd ready = {.fd = smf_core_fd(rig->core), .events = POLLIN};

    for (uint64_t i = 0; i < 50; i++) {
        if (i > 0) {
            while (smf_core_arm(rig->core) == 0)
                (void)wal_poll(rig, SMF_WAIT_NONE);
            CHECK_EQ(smf_wal_put(rig->wal, partition, NULL, 0, "x", 1, SMF_WAL_DURABLE, i, NULL),
                     SMF_OK);
        } else {
            (void)wal_put(rig, partition, "x", SMF_WAL_DURABLE, i);
        }
        CHECK_EQ(smf_core_arm(rig->core), 0);
        for (int turns = 0; rig->appended == i; turns++) {
            int64_t wait_us;

            CHECK_LT(turns, FOREIGN_TURNS_MAX); /* it sleeps: it does not look over and over */
            (void)wal_poll(rig, SMF_WAIT_NONE);
            wait_us = smf_core_arm(rig->core);
            if (wait_us != 0) /* EINTR is no end: it asks again */
                (void)poll(&ready, 1, wait_us < 0 ? -1 : (int)(wait_us / 1000) + 1);
        }
    }
}

static void a_foreign_loop_sleeps_and_wakes(void)
{
    with_each_disk(tell_foreign_loop);
}

/* Appends, and polls without end when it was refused: once, and that tells to try again. Returns how often it
 * was refused. */
static uint64_t put_when_told(struct wal_rig *rig, uint64_t partition, uint64_t appended)
{
    uint64_t refusals = 0;
    int status;

    rig->appended = rig->retries = 0;
    while ((status = smf_wal_put(rig->wal, partition, NULL, 0, "x", 1, SMF_WAL_DURABLE, 0, NULL)) ==
           SMF_ENOMEM) {
        CHECK_EQ(smf_wal_put(rig->wal, partition, NULL, 0, "x", 1, SMF_WAL_BUFFERED, 0, NULL),
                 SMF_ENOMEM);
        refusals++;
        CHECK_EQ(wal_poll(rig, SMF_WAIT_FOREVER), 1);
        CHECK_EQ(rig->retries, refusals); /* one for both */
    }
    CHECK_EQ(status, SMF_OK);
    wal_await(rig, appended);
    CHECK_EQ(rig->retries, refusals);
    return refusals;
}

/* The first append waits for a file that is being made, and there is nothing else to tell; the next ones wait
 * for nothing. After a clean end the first one waits until that is revoked. */
static void tell_refused(struct wal_rig *rig)
{
    uint64_t partition = wal_topic(rig, "refused", 1);

    CHECK_GT(put_when_told(rig, partition, 1), 0);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(put_when_told(rig, partition, 1), 0);
    wal_rig_shut(rig);
    wal_rig_reopen(rig, 0);
    CHECK_GT(put_when_told(rig, wal_partition(rig, "refused", 0), 1), 0);
}

static void who_was_refused_is_called_back(void)
{
    with_each_disk(tell_refused);
}

/* Nobody polls: what is buffered is written in its time, and a poll that waits for ever does it. */
static void tell_linger(struct wal_rig *rig)
{
    uint64_t partition = wal_topic(rig, "linger", 1);

    (void)wal_put(rig, partition, "x", SMF_WAL_BUFFERED, 0);
    for (int polls = 0; wal_info(rig, partition).written == 0; polls++) {
        CHECK_LT(polls, WAL_PATIENCE_POLLS);
        CHECK_EQ(wal_poll(rig, WAL_POLL_US), 0);
    }
    CHECK_EQ(rig->appended, 0);
}

static void buffered_records_are_written_in_time(void)
{
    with_each_disk(tell_linger);
}

/* --- cutting -------------------------------------------------------------------------------------- */

static void tell_cuts(struct wal_rig *rig)
{
    uint64_t partition = wal_topic(rig, "cuts", 1);
    struct smf_wal_reader *reader;

    append_values(rig, partition, 0, 20);
    CHECK_EQ(smf_wal_truncate_tail(rig->wal, partition, 21, &rig->error), SMF_EINVAL);
    CHECK(strstr(rig->error.text, "20") != NULL);
    CHECK_EQ(smf_wal_truncate_tail(rig->wal, partition, 12, &rig->error), SMF_OK);
    CHECK_EQ(wal_info(rig, partition).next, 12);
    wal_await(rig, 20);
    append_values(rig, partition, 12, 3);
    CHECK_EQ(smf_wal_truncate_head(rig->wal, partition, 16, &rig->error), SMF_EINVAL);
    CHECK_EQ(smf_wal_truncate_head(rig->wal, partition, 5, &rig->error), SMF_OK);
    CHECK_EQ(wal_info(rig, partition).head, 5);
    wal_await(rig, 23);
    check_values(rig, partition, 5, 15);
    CHECK_EQ(
        smf_wal_reader_open(rig->wal, partition, 4, SMF_WAL_DURABLE, 0, 0, &reader, &rig->error),
        SMF_EINVAL);
    CHECK(strstr(rig->error.text, "5") != NULL && strstr(rig->error.text, "15") != NULL);
    wal_rig_shut(rig);
    wal_rig_reopen(rig, 0);
    partition = wal_partition(rig, "cuts", 0);
    CHECK_EQ(wal_info(rig, partition).head, 5);
    check_values(rig, partition, 5, 15);
}

static void cutting_both_ends(void)
{
    with_each_disk(tell_cuts);
}

/* --- closing -------------------------------------------------------------------------------------- */

static void tell_closing(struct wal_rig *rig)
{
    uint64_t partition = wal_topic(rig, "closing", 1);
    struct smf_wal_reader *reader;
    struct smf_turn *turn = smf_core_turn(rig->core);

    append_values(rig, partition, 0, 10);
    while (smf_core_poll(rig->core, WAL_POLL_US) == 0)
        continue;
    append_values(rig, partition, 10, 10);
    CHECK_EQ(
        smf_wal_reader_open(rig->wal, partition, 0, SMF_WAL_DURABLE, 0, 0, &reader, &rig->error),
        SMF_OK);
    CHECK_EQ(smf_wal_close(rig->wal, &rig->error), SMF_OK); /* with it the reader */
    CHECK_EQ(turn->event_count, 1);
    CHECK_EQ(turn->events[0].meta, 0); /* nobody looks into what is gone */
    CHECK(turn->events[0].payload == NULL);
    CHECK_EQ(smf_core_poll(rig->core, SMF_WAIT_NONE), 0);
    CHECK_EQ(smf_wal_close(NULL, NULL), SMF_OK);
    smf_engine_close(rig->engine);
    wal_rig_reopen(rig, 0);
    check_values(rig, wal_partition(rig, "closing", 0), 0, 20);
    append_values(rig, wal_partition(rig, "closing", 0), 20, 5);
    smf_engine_close(rig->engine); /* closes the log */
    wal_rig_reopen(rig, 0);
    check_values(rig, wal_partition(rig, "closing", 0), 0, 25);
}

static void closing_loses_nothing(void)
{
    with_each_disk(tell_closing);
}

static void in_child(void *context)
{
    struct wal_rig *rig = context;
    uint64_t partition;
    struct smf_wal_topic topic = {.size = sizeof topic};

    CHECK_EQ(smf_wal_put(rig->wal, 1ull << 32, NULL, 0, "x", 1, SMF_WAL_DURABLE, 0, NULL),
             SMF_ECLOSED);
    CHECK_EQ(smf_wal_sync(rig->wal, 1ull << 32, &rig->error), SMF_ECLOSED);
    CHECK_EQ(smf_wal_partition(rig->wal, "fork", 0, &partition, &rig->error), SMF_ECLOSED);
    CHECK_EQ(smf_wal_topic_create(rig->wal, "more", &topic, &rig->error), SMF_ECLOSED);
    CHECK_EQ(smf_wal_close(rig->wal, &rig->error), SMF_ECLOSED);
    CHECK(strstr(rig->error.text, "fork") != NULL);
}

static void a_forked_child_leaves_it_alone(void)
{
    struct wal_rig rig;
    uint64_t partition;
    int status;
    pid_t child;

    CHECK(wal_rig_open(&rig, SMF_WAL_DISK_AUTO, 0));
    partition = wal_topic(&rig, "fork", 1);
    child = fork();
    if (child == 0) {
        in_child(&rig);
        _exit(0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    append_values(&rig, partition, 0, 5);
    wal_await(&rig, 5);
    wal_rig_close(&rig);
}

/* Durable appends wait for flushes that are made slower, the others for their writes. */
static void tell_slow(struct wal_rig *rig)
{
    const uint32_t acks[] = {SMF_WAL_DURABLE, SMF_WAL_WRITTEN};
    const char *says[] = {"slowed down (flushes 20000 us, writes 0 us",
                          "slowed down (flushes 0 us, writes 20000 us"};
    struct smf__clock clock = smf__clock_monotonic();

    for (int i = 0; i < 2; i++) {
        struct smf_wal_config config = wal_config(rig);
        uint64_t partition, began_ns;

        wal_rig_shut(rig);
        if (acks[i] == SMF_WAL_DURABLE)
            config.flush_delay_us = 20000;
        else
            config.write_delay_us = 20000;
        rig->engine = wal_engine(0);
        rig->core = smf_engine_core(rig->engine, 0);
        CHECK_EQ(smf_wal_open(rig->core, &config, &rig->wal, &rig->error), SMF_OK);
        CHECK(strstr(smf_wal_describe(rig->wal), says[i]) != NULL);
        partition = i == 0 ? wal_topic(rig, "slow", 1) : wal_partition(rig, "slow", 0);
        rig->appended = 0;
        began_ns = smf__clock_now_ns(&clock);
        (void)wal_put(rig, partition, "x", acks[i], 0);
        wal_await(rig, 1);
        CHECK_EQ(rig->last_status, SMF_OK);
        CHECK_GE(smf__clock_now_ns(&clock) - began_ns, 20000000);
    }
}

static void a_disk_that_is_slowed_down(void)
{
    with_each_disk(tell_slow);
}

static const struct test tests[] = {
    TEST(a_disk_that_is_slowed_down),
    TEST(appended_and_read_back),
    TEST(batches_keep_what_they_were_given),
    TEST(what_can_be_added),
    TEST(a_reader_is_told_when_to_go_on),
    TEST(blocking_keeps_what_others_wait_for),
    TEST(appends_that_nobody_asks_for_are_bounded),
    TEST(a_foreign_loop_sleeps_and_wakes),
    TEST(who_was_refused_is_called_back),
    TEST(buffered_records_are_written_in_time),
    TEST(cutting_both_ends),
    TEST(closing_loses_nothing),
    TEST(a_forked_child_leaves_it_alone),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
