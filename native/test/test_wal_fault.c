/* The log on a disk that fails, without memory, without space: what was acknowledged stays. */
#include <errno.h>

#include "test.h"
#include "wal_crash.h"

#define FAULT_STEPS 30u
#define EVERY_SLOWED 5u /* of the operations, where an emulator or a sanitizer runs this */
#define NTH_MAX 20000u  /* never reached: the runs end before */
#define MALLOC_NTH_MAX 20000u
#define SPACE_STEP_BYTES (96u << 10)
#define SPACE_MAX_BYTES (6u << 20)

static uint32_t cores_min; /* of the runs that follow; 0: one core */

/* From one operation that fails to the next. */
static uint64_t every(void)
{
    return test_slowed() ? EVERY_SLOWED : 1;
}

static struct crash *begin(const struct crash_options *options)
{
    struct crash *run = malloc(sizeof *run);
    struct crash_options own = *options;

    CHECK(run != NULL);
    own.cores_min = cores_min;
    own.cores_max = cores_min > 0 ? CRASH_CORES_MAX : 0;
    crash_begin(run, test_seed(), &own);
    run->options.story = test_state.name;
    return run;
}

static void end(struct crash *run)
{
    crash_log_abandon(run);
    crash_end(run);
    free(run);
}

/* The process ends here, or the power goes out: what the next start finds. */
static void verify_now(struct crash *run)
{
    smf__disk_world_heal(run->world);
    crash_malloc_fail(0);
    run->quiet = 1;
    crash_cut_now(run);
    run->quiet = 0;
    crash_counts.faults++;
}

/* Returns 0 when the run ended before the nth operation of that kind did. */
static int fail_one(uint32_t kind, uint64_t nth, uint64_t times, int os_errno)
{
    struct crash *run = begin(
        &(struct crash_options){.faulty = 1, .steps = FAULT_STEPS, .small = 1, .no_reopen = 1});
    int came;

    snprintf(crash_note, sizeof crash_note, "%s number %" PRIu64 " failed (%s), %" PRIu64 " times",
             smf__disk_kind_name(kind), nth, strerror(os_errno), times);
    smf__disk_world_fail(run->world, kind, nth, times, os_errno);
    crash_workload(run);
    if (nth % 2 == 0 && run->wal != NULL)
        (void)crash_log_close(run);
    came = crash_cores_ended(run, kind) >= nth;
    verify_now(run);
    end(run);
    return came;
}

static void note_each(const char *what, uint64_t nth)
{
    test_note("%s: of %" PRIu64 ", one of %" PRIu64 " failed", what, nth - 1, every());
}

static void fail_every(const uint32_t *kinds, size_t count)
{
    static const int numbers[] = {EIO, ENOSPC};

    for (size_t i = 0; i < count; i++) {
        uint64_t nth = 1;

        while (nth < NTH_MAX &&
               fail_one(kinds[i], nth, nth % 3 == 0 ? 1u << 20 : 1, numbers[nth % 2]))
            nth += every();
        CHECK_LT(nth, NTH_MAX);
        note_each(smf__disk_kind_name(kinds[i]), nth);
    }
}

static void every_write_fails(void)
{
    fail_every((const uint32_t[]){SMF__DISK_WRITE, SMF__DISK_ZERO, SMF__DISK_TRUNCATE}, 3);
}

static void every_flush_fails(void)
{
    fail_every((const uint32_t[]){SMF__DISK_FLUSH, SMF__DISK_SYNC_FOLDER}, 2);
}

static void every_name_fails(void)
{
    fail_every((const uint32_t[]){SMF__DISK_OPEN, SMF__DISK_RENAME, SMF__DISK_UNLINK,
                                  SMF__DISK_MAKE_FOLDER, SMF__DISK_DROP_FOLDER},
               5);
}

static void every_look_fails(void)
{
    fail_every((const uint32_t[]){SMF__DISK_READ, SMF__DISK_STAT, SMF__DISK_LIST, SMF__DISK_CLOSE,
                                  SMF__DISK_RECYCLE},
               5);
}

static void every_allocation_fails(void)
{
    uint64_t nth = 1;
    int came = 1;

    for (; nth < MALLOC_NTH_MAX && came; nth += every()) {
        struct crash *run = begin(
            &(struct crash_options){.faulty = 1, .steps = FAULT_STEPS, .small = 1, .no_reopen = 1});

        snprintf(crash_note, sizeof crash_note, "allocation %" PRIu64 " failed", nth);
        crash_malloc_fail(nth);
        crash_workload(run);
        if (nth % 2 == 0 && run->wal != NULL)
            (void)crash_log_close(run);
        came = crash_malloc_failed();
        verify_now(run);
        end(run);
    }
    note_each("allocations", nth);
    CHECK_GT(nth, 20);
}

/* --- while a log is opened --- */

/* A world that a crash has left, always the same one. */
static struct smf__disk_world *left_by(const struct crash *run)
{
    return smf__disk_world_cut(run->world, &(struct smf__disk_cut){.seed = run->seed});
}

static struct crash *reopen(const struct crash *run)
{
    struct crash *again = calloc(1, sizeof *again);

    CHECK(again != NULL);
    again->seed = run->seed;
    again->options = run->options;
    again->options.faulty = 1;
    again->value_max = run->value_max;
    crash_model_copy(&again->model, &run->model);
    for (uint32_t i = 0; i < CRASH_PARTS_MAX; i++) {
        struct crash_part *part =
            &again->model.topics[i / CRASH_PARTITIONS_MAX].parts[i % CRASH_PARTITIONS_MAX];

        part->written = part->durable;
    }
    crash_attach(again, left_by(run), run->seed);
    return again;
}

static struct crash *crashed_run(void)
{
    struct crash *run = begin(&(struct crash_options){.steps = 60, .small = 1});

    crash_workload(run);
    run->quiet = 1;
    return run;
}

static void every_operation_of_an_open_fails(void)
{
    struct crash *run = crashed_run();

    for (uint32_t kind = 1; kind < SMF__DISK_KINDS; kind++) {
        uint64_t nth = 0;
        int came = 1;

        while (came && ++nth < NTH_MAX) {
            struct crash *again = reopen(run);

            snprintf(crash_note, sizeof crash_note, "%s number %" PRIu64 " of an open failed",
                     smf__disk_kind_name(kind), nth);
            smf__disk_world_fail(again->world, kind, nth, 1, kind == SMF__DISK_OPEN ? EMFILE : EIO);
            (void)crash_log_open(again);
            came = crash_cores_ended(again, kind) >= nth;
            verify_now(again);
            end(again);
        }
        test_note("%s: each of %" PRIu64 " failed", smf__disk_kind_name(kind), nth - 1);
    }
    end(run);
}

static void every_allocation_of_an_open_fails(void)
{
    struct crash *run = crashed_run();
    uint64_t nth = 0;
    int came = 1;

    while (came && ++nth < NTH_MAX) {
        struct crash *again = reopen(run);

        snprintf(crash_note, sizeof crash_note, "allocation %" PRIu64 " of an open failed", nth);
        crash_malloc_fail(nth);
        (void)crash_log_open(again);
        came = crash_malloc_failed();
        verify_now(again);
        end(again);
    }
    CHECK_GT(nth, 3);
    test_note("each of %" PRIu64 " failed", nth - 1);
    end(run);
}

/* --- on several cores --- */

/* All of the above once more, on two cores or more. */
static void everything_fails_on_several_cores(void)
{
    cores_min = 2;
    every_write_fails();
    every_flush_fails();
    every_name_fails();
    every_look_fails();
    every_allocation_fails();
    every_operation_of_an_open_fails();
    every_allocation_of_an_open_fails();
    cores_min = 0;
}

/* --- fences, space, memory --- */

/* What a flush that failed had covered is lost, perhaps, and no later one makes up for it. kind: what fails;
 * a flush covers plain writes only. */
static void fail_under_a_sync(uint32_t kind)
{
    struct crash *run = begin(&(struct crash_options){.faulty = 1});
    struct smf__wal_part *part;
    uint64_t failed;

    run->wal_options.linger_us = 1000000;
    CHECK_EQ(crash_log_open(run), SMF_OK);
    CHECK_EQ(crash_topic(run, 0, 1, 1u << 20), SMF_OK);
    part = crash_part_of(run->wal, &run->model, 0, 0);
    CHECK_EQ(crash_append(run, 0, 0, 3, 100, SMF__WAL_WRITTEN), SMF_OK);
    while (part->written.offset < 3) {
        (void)crash_turn(run);
        crash_wait(run);
    }
    CHECK_EQ(part->durable.offset, 0);
    if (kind == SMF__DISK_WRITE)
        CHECK_EQ(crash_append(run, 0, 0, 3, 100, SMF__WAL_DURABLE), SMF_OK);
    failed = run->disk.failed;
    smf__disk_world_fail(run->world, kind, 1, 1, EIO);
    CHECK_EQ(crash_sync(run, 0, 0), SMF_EIO);
    CHECK_EQ(run->disk.failed, failed + 1);
    CHECK_LE(part->durable.offset, kind == SMF__DISK_WRITE ? 3 : 0);
    CHECK_EQ(part->status, SMF_EIO);
    CHECK(part->status_text[0] != 0);
    CHECK_EQ(crash_append(run, 0, 0, 1, 10, SMF__WAL_DURABLE), SMF_EIO);
    CHECK_EQ(crash_sync(run, 0, 0), SMF_EIO);
    CHECK_EQ(run->disk.failed, failed + 1); /* nothing was tried again */
    verify_now(run);
    end(run);
}

static void a_failed_flush_fences(void)
{
    fail_under_a_sync(SMF__DISK_FLUSH);
}

static void a_failed_write_fences(void)
{
    fail_under_a_sync(SMF__DISK_WRITE);
}

/* Reads go on, and so do appends when there is space again: without a restart. */
static void no_space_loses_nothing(void)
{
    for (uint64_t bytes = SPACE_STEP_BYTES; bytes < SPACE_MAX_BYTES; bytes += SPACE_STEP_BYTES) {
        struct crash *run = begin(&(struct crash_options){.faulty = 1});
        int status = SMF_OK;
        char text[SMF_ERROR_TEXT_SIZE_BYTES];
        struct smf__wal_part *part;

        smf__disk_world_limit(run->world, bytes);
        if (crash_log_open(run) != SMF_OK ||
            crash_topic(run, 0, 1, SMF__WAL_SEGMENT_MIN_BYTES) != SMF_OK) {
            smf__disk_world_limit(run->world, UINT64_MAX);
            verify_now(run);
            end(run);
            continue;
        }
        part = crash_part_of(run->wal, &run->model, 0, 0);
        for (uint32_t i = 0; i < 200 && status == SMF_OK; i++) {
            status = crash_append(run, 0, 0, 4, 8000, SMF__WAL_DURABLE);
            (void)crash_turn(run);
            if (run->wal->under_way > 0)
                crash_wait(run);
        }
        (void)crash_check_read(run, part, &run->model.topics[0].parts[0], 0, SMF__WAL_DURABLE,
                               &status, text);
        CHECK_EQ(status, SMF_OK);
        smf__disk_world_limit(run->world, UINT64_MAX);
        crash_settle(run);
        CHECK_EQ(part->status, SMF_OK);
        (void)crash_append(run, 0, 0, 1, 10, SMF__WAL_DURABLE); /* it may still be told of that */
        run->options.faulty = 0;
        CHECK_EQ(crash_append(run, 0, 0, 1, 10, SMF__WAL_DURABLE), SMF_OK);
        CHECK_EQ(crash_sync(run, 0, 0), SMF_OK);
        verify_now(run);
        end(run);
    }
}

/* A disk that stands still: appends are refused, memory does not grow. */
static void memory_stays_in_budget(void)
{
    struct crash *run = begin(&(struct crash_options){0});
    struct smf__wal_append append = {.kind = SMF__WAL_RECORDS, .ack = SMF__WAL_BUFFERED};
    struct crash_body *body = crash_body_make(&run->random, 10, 1000, 1700000000000000ll);
    int64_t before = crash_malloc_bytes(), after;
    uint64_t first, taken = 0;
    int status = SMF_OK;

    CHECK_EQ(crash_log_open(run), SMF_OK);
    CHECK_EQ(crash_topic(run, 0, 1, 1u << 20), SMF_OK);
    CHECK_EQ(crash_append(run, 0, 0, 1, 10, SMF__WAL_DURABLE), SMF_OK);
    crash_settle(run); /* there is room in the file, as much as is made ahead */
    append.body = body->data;
    append.body_bytes = body->bytes;
    append.count = body->count;
    append.base_us = body->base_us;
    append.max_us = body->max_us;
    smf__disk_world_stall(run->world, 1);
    for (uint32_t i = 0; i < 100000 && status == SMF_OK; i++) {
        CRASH_IN_LOG(status,
                     smf__wal_append(crash_part_of(run->wal, &run->model, 0, 0), &append, &first));
        taken += status == SMF_OK ? body->bytes : 0;
        (void)crash_turn(run);
    }
    after = crash_malloc_bytes();
    CHECK_EQ(status, SMF_ENOMEM);
    CHECK_GT(taken, body->bytes);
    CHECK_LT(after - before, SMF__WAL_MEMORY_MIN_BYTES + (8 << 20));
    smf__disk_world_stall(run->world, 0);
    CRASH_IN_LOG(status, smf__wal_sync(crash_part_of(run->wal, &run->model, 0, 0)));
    CHECK_EQ(status, SMF_OK);
    free(body->data);
    free(body);
    end(run);
}

static const struct test tests[] = {
    TEST(every_write_fails),
    TEST(every_flush_fails),
    TEST(every_name_fails),
    TEST(every_look_fails),
    TEST(every_allocation_fails),
    TEST(every_operation_of_an_open_fails),
    TEST(every_allocation_of_an_open_fails),
    TEST(everything_fails_on_several_cores),
    TEST(a_failed_flush_fences),
    TEST(a_failed_write_fences),
    TEST(no_space_loses_nothing),
    TEST(memory_stays_in_budget),
};

int main(int argc, char **argv)
{
    crash_program = argv[0];
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
