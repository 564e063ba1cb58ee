/* What happened to real files, written down and cut at every moment; and a disk that is slowed down. */
#include <poll.h>

#include "disk/disk_copy.h"
#include "disk/disk_replay.h"
#include "disk/disk_slow.h"
#include "test_disk.h"

#define RECORDS 24u
#define TOGETHER 6u
#define CUTS 12u

struct recorded {
    struct rig rig;
    char trace[300];
    struct smf__disk_op ops[RECORDS];
    uint8_t *data;
};

static void open_recorded(struct recorded *recorded, uint32_t backend)
{
    struct smf__disk *inner;

    memset(recorded, 0, sizeof *recorded);
    CHECK(rig_open(&recorded->rig, ".", &(struct smf__disk_options){.backend = backend}));
    snprintf(recorded->trace, sizeof recorded->trace, "%s.trace", recorded->rig.folder);
    inner = recorded->rig.disk;
    CHECK_EQ(smf__disk_record_open(&recorded->rig.disk, inner, recorded->trace,
                                   recorded->rig.folder, NULL),
             SMF_OK);
    recorded->data = aligned_bytes(RECORDS * DISK_BLOCK);
}

static void fill_block(uint8_t *data, uint32_t record)
{
    memset(data, (int)record + 1, DISK_BLOCK);
}

/* A log of one file under another name until it is ready, written by several durable writes at a time. */
static void write_log(struct recorded *recorded)
{
    struct rig *rig = &recorded->rig;
    struct smf__disk_op rename = {
        .kind = SMF__DISK_RENAME, .path = rig_path(rig, "new"), .path_to = rig_path(rig, "log")};
    struct smf__disk_file *file = make_file(rig->disk, rig_path(rig, "new"), RECORDS * DISK_BLOCK);

    CHECK_EQ(smf__disk_run(rig->disk, &rename), SMF_OK);
    CHECK_EQ(run_path(rig->disk, SMF__DISK_SYNC_FOLDER, rig->folder), SMF_OK);
    for (uint32_t i = 0; i < RECORDS; i++) {
        fill_block(recorded->data + i * DISK_BLOCK, i);
        recorded->ops[i] = (struct smf__disk_op){.kind = SMF__DISK_WRITE,
                                                 .flags = SMF__DISK_DURABLE,
                                                 .file = file,
                                                 .offset = i * DISK_BLOCK,
                                                 .size = DISK_BLOCK,
                                                 .data = recorded->data + i * DISK_BLOCK};
        rig->disk->ops->queue(rig->disk, &recorded->ops[i]);
        if (i % TOGETHER == TOGETHER - 1) {
            rig->disk->ops->submit(rig->disk);
            await_ops(rig->disk, TOGETHER);
        }
    }
    close_file(rig->disk, file);
}

static struct smf__disk_replay *open_replay(const struct recorded *recorded,
                                            struct smf__disk_world *world)
{
    struct smf__disk_replay *replay;

    CHECK_EQ(smf__disk_replay_open(&replay, recorded->trace, world, NULL), SMF_OK);
    return replay;
}

/* A record that was acknowledged is there, another one may be. */
static void check_cut(const struct smf__disk_world *after, uint64_t acked)
{
    for (uint32_t i = 0; i < RECORDS; i++) {
        uint8_t bytes[DISK_BLOCK] = {0}, written[DISK_BLOCK];
        int64_t size = smf__disk_world_peek(after, "/log", i * DISK_BLOCK, sizeof bytes, bytes);

        if ((acked >> i & 1) == 0)
            continue;
        fill_block(written, i);
        CHECK_EQ(size, DISK_BLOCK);
        CHECK_MEM(bytes, written, DISK_BLOCK);
    }
}

static void cut_everywhere(const struct recorded *recorded)
{
    struct smf__disk_world *world = smf__disk_world_open(test_seed());
    struct smf__disk_replay *replay = open_replay(recorded, world);
    uint64_t acked = 0;
    uint32_t entries = 0, lossy = 0;

    while (smf__disk_replay_next(replay, NULL) == 1) {
        const struct smf__disk_trace_entry *entry = smf__disk_replay_entry(replay);

        entries++;
        if (entry->kind == SMF__DISK_WRITE && entry->what == SMF__DISK_TRACE_DONE)
            acked |= 1ull << (entry->offset / DISK_BLOCK);
        lossy += smf__disk_world_unflushed(world) > 0;
        for (uint64_t seed = 0; seed < CUTS; seed++) {
            struct smf__disk_cut cut = {.seed = test_seed() + seed, .torn = 1};
            struct smf__disk_world *after = smf__disk_world_cut(world, &cut);

            check_cut(after, acked);
            smf__disk_world_close(after);
        }
    }
    CHECK_EQ(acked, (1ull << RECORDS) - 1);
    CHECK_EQ(entries, 2 * (RECORDS + 5));
    CHECK_GE(lossy, RECORDS);
    smf__disk_replay_close(replay);
    smf__disk_world_close(world);
}

static void close_recorded(struct recorded *recorded)
{
    CHECK_EQ(unlink(recorded->trace), 0);
    free(recorded->data);
}

static void power_cuts_of_real_files(void)
{
    struct recorded recorded;

    open_recorded(&recorded, SMF__DISK_AUTO);
    write_log(&recorded);
    rig_close(&recorded.rig);
    cut_everywhere(&recorded);
    close_recorded(&recorded);
}

/* What a cut leaves, as a real folder: a program can be started on it. */
static void a_cut_becomes_a_folder(void)
{
    struct smf__disk_world *world = smf__disk_world_open(test_seed());
    struct smf__disk_sim_options options = {0};
    struct smf__disk_replay *replay;
    struct recorded recorded;
    struct smf__disk *sim;
    struct smf_error error = {0};
    struct smf__disk_file *file;
    struct rig rig;
    uint8_t *read = aligned_bytes(RECORDS * DISK_BLOCK);

    open_recorded(&recorded, SMF__DISK_POSIX);
    CHECK_EQ(run_path(recorded.rig.disk, SMF__DISK_MAKE_FOLDER, rig_path(&recorded.rig, "sub")),
             SMF_OK);
    close_file(recorded.rig.disk,
               make_file(recorded.rig.disk, rig_path(&recorded.rig, "sub/empty"), 0));
    write_log(&recorded);
    rig_close(&recorded.rig);
    replay = open_replay(&recorded, world);
    while (smf__disk_replay_next(replay, &error) == 1)
        continue;
    CHECK_STR(error.text, "");
    smf__disk_replay_close(replay);
    CHECK(rig_open(&rig, ".", &(struct smf__disk_options){.backend = SMF__DISK_POSIX}));
    CHECK_EQ(smf__disk_sim_open(&sim, world, &options, NULL), SMF_OK);
    CHECK_EQ(smf__disk_copy_folder(sim, "/", rig.disk, rig.folder, &error), SMF_OK);
    CHECK_EQ(run_path(rig.disk, SMF__DISK_STAT, rig_path(&rig, "sub/empty")), SMF_OK);
    file = open_with(rig.disk, rig_path(&rig, "log"), SMF__DISK_READ_ONLY);
    CHECK_EQ(read_from(rig.disk, file, 0, read, RECORDS * DISK_BLOCK), RECORDS * DISK_BLOCK);
    CHECK_MEM(read, recorded.data, RECORDS * DISK_BLOCK);
    close_file(rig.disk, file);
    /* And back again, into another world. */
    CHECK_EQ(run_path(sim, SMF__DISK_MAKE_FOLDER, "/copy"), SMF_OK);
    CHECK_EQ(smf__disk_copy_folder(rig.disk, rig.folder, sim, "/copy", &error), SMF_OK);
    memset(read, 0, RECORDS * DISK_BLOCK);
    CHECK_EQ(smf__disk_world_peek(world, "/copy/log", 0, RECORDS * DISK_BLOCK, read),
             RECORDS * DISK_BLOCK);
    CHECK_MEM(read, recorded.data, RECORDS * DISK_BLOCK);
    CHECK_EQ(smf__disk_copy_folder(sim, "/nowhere", rig.disk, rig.folder, &error), SMF_ENOTFOUND);
    CHECK_STR(error.text, "cannot list /nowhere: No such file or directory");
    sim->ops->close(sim);
    smf__disk_world_close(world);
    rig_close(&rig);
    close_recorded(&recorded);
    free(read);
}

/* The program was killed while it wrote the trace; or it is none. */
static void traces_that_break_off(void)
{
    struct recorded recorded;
    struct stat status;
    struct smf_error error = {0};
    struct smf__disk_world *world;
    struct smf__disk_replay *replay;
    int next;

    open_recorded(&recorded, SMF__DISK_POSIX);
    write_log(&recorded);
    rig_close(&recorded.rig);
    CHECK_EQ(stat(recorded.trace, &status), 0);
    for (off_t size = status.st_size - 1; size > 0; size -= 777) {
        CHECK_EQ(truncate(recorded.trace, size), 0);
        world = smf__disk_world_open(1);
        replay = open_replay(&recorded, world);
        while ((next = smf__disk_replay_next(replay, &error)) == 1)
            continue;
        CHECK_EQ(next, 0);
        smf__disk_replay_close(replay);
        smf__disk_world_close(world);
    }
    world = smf__disk_world_open(1);
    snprintf(recorded.trace, sizeof recorded.trace, "/proc/self/exe");
    replay = open_replay(&recorded, world);
    CHECK_EQ(smf__disk_replay_next(replay, &error), SMF_EINVAL);
    CHECK_STR(error.text, "this is not the trace of a disk");
    smf__disk_replay_close(replay);
    CHECK_EQ(smf__disk_replay_open(&replay, "/none/such", world, &error), SMF_ENOTFOUND);
    smf__disk_world_close(world);
    snprintf(recorded.trace, sizeof recorded.trace, "%s.trace", recorded.rig.folder);
    close_recorded(&recorded);
}

/* --- slowed down --- */

static uint64_t time_op(struct rig *rig, struct smf__disk_op *op)
{
    struct smf__clock clock = smf__clock_monotonic();
    uint64_t from_ns = smf__clock_now_ns(&clock);

    CHECK_EQ(smf__disk_run(rig->disk, op), SMF_OK);
    return smf__clock_now_ns(&clock) - from_ns;
}

/* No faster than that; how much slower is the machine's affair. */
static void delays_are_kept(void)
{
    const struct smf__disk_slow_options delays = {
        .flush_delay_us = 20000, .write_delay_us = 10000, .read_delay_us = 5000};
    struct smf__disk *inner;
    struct rig rig;
    struct smf__disk_file *file;
    struct smf__disk_op op = {.size = DISK_BLOCK};
    char text[512];

    CHECK(rig_open(&rig, ".", &(struct smf__disk_options){0}));
    inner = rig.disk;
    CHECK_EQ(smf__disk_slow_open(&rig.disk, inner, &delays, NULL), SMF_OK);
    smf__disk_describe(rig.disk, text, sizeof text);
    CHECK(strstr(text, "slowed down (flushes 20000 us, writes 10000 us, reads 5000 us): ") == text);
    file = op.file = make_file(rig.disk, rig_path(&rig, "a"), DISK_BLOCK);
    op.data = aligned_bytes(DISK_BLOCK);
    op.kind = SMF__DISK_WRITE;
    CHECK_GE(time_op(&rig, &op), 10000000);
    op.flags = SMF__DISK_DURABLE;
    CHECK_GE(time_op(&rig, &op), 20000000);
    op.kind = SMF__DISK_FLUSH;
    CHECK_GE(time_op(&rig, &op), 20000000);
    op.kind = SMF__DISK_READ;
    CHECK_GE(time_op(&rig, &op), 5000000);
    close_file(rig.disk, file);
    rig_close(&rig);
    free(op.data);
}

static void delays_run_side_by_side_and_in_order(void)
{
    const struct smf__disk_slow_options delays = {.flush_delay_us = 30000, .write_delay_us = 1000};
    struct smf__disk *inner;
    struct rig rig;
    struct smf__disk_file *file;
    struct smf__disk_op ops[8] = {0}, *done[8];
    uint8_t *data = aligned_bytes(DISK_BLOCK);
    uint32_t count = 0;

    CHECK(rig_open(&rig, ".", &(struct smf__disk_options){.backend = SMF__DISK_POSIX}));
    inner = rig.disk;
    CHECK_EQ(smf__disk_slow_open(&rig.disk, inner, &delays, NULL), SMF_OK);
    file = make_file(rig.disk, rig_path(&rig, "a"), 8 * DISK_BLOCK);
    for (uint32_t i = 0; i < 8; i++) {
        ops[i] = (struct smf__disk_op){.kind = SMF__DISK_WRITE,
                                       .flags = i % 2 ? 0 : SMF__DISK_DURABLE,
                                       .file = file,
                                       .offset = i * DISK_BLOCK,
                                       .size = DISK_BLOCK,
                                       .data = data};
        rig.disk->ops->queue(rig.disk, &ops[i]);
    }
    rig.disk->ops->submit(rig.disk);
    while (count < 8) {
        rig.disk->ops->wait(rig.disk, -1);
        count += rig.disk->ops->poll(rig.disk, done + count,
                                     1); /* what is due and not asked for stays */
    }
    for (uint32_t i = 1; i < 8; i++)
        CHECK_LE(done[i - 1]->due_ns, done[i]->due_ns);
    close_file(rig.disk, file);
    rig_close(&rig);
    free(data);
}

static void only_what_has_a_descriptor_is_slowed(void)
{
    struct smf_error error;
    struct smf__disk *slow;
    struct rig rig;

    rig_open_sim(&rig, 1);
    CHECK_EQ(smf__disk_slow_open(&slow, rig.disk, &(struct smf__disk_slow_options){0}, &error),
             SMF_EINVAL);
    CHECK_STR(error.text, "this disk can't be slowed down");
    rig_close(&rig);
}

static const struct test tests[] = {
    TEST(power_cuts_of_real_files),
    TEST(a_cut_becomes_a_folder),
    TEST(traces_that_break_off),
    TEST(delays_are_kept),
    TEST(delays_run_side_by_side_and_in_order),
    TEST(only_what_has_a_descriptor_is_slowed),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
