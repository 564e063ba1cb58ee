/* Every disk does the same: through io_uring, through threads, simulated, recorded, slowed down; past the
 * page cache and through it. */
#include "disk/disk_record.h"
#include "disk/disk_slow.h"
#include "test_disk_suite.h"

static void over_files(rig_test test, const char *parent, const struct smf__disk_options *options)
{
    struct rig rig;

    if (!rig_open(&rig, parent, options))
        return;
    test(&rig);
    rig_close(&rig);
}

static void over_sim(rig_test test)
{
    struct rig rig;

    rig_open_sim(&rig, test_seed());
    test(&rig);
    rig_close(&rig);
}

static void over_record(rig_test test)
{
    const struct smf__disk_options options = {.backend = SMF__DISK_POSIX};
    struct smf__disk *inner;
    struct rig rig;
    char trace[300];

    CHECK(rig_open(&rig, ".", &options));
    snprintf(trace, sizeof trace, "%s.trace", rig.folder);
    inner = rig.disk;
    CHECK_EQ(smf__disk_record_open(&rig.disk, inner, trace, rig.folder, NULL), SMF_OK);
    test(&rig);
    rig_close(&rig);
    CHECK_EQ(unlink(trace), 0);
}

static void over_slow(rig_test test)
{
    const struct smf__disk_options options = {.backend = SMF__DISK_POSIX};
    const struct smf__disk_slow_options delays = {
        .flush_delay_us = 300, .write_delay_us = 200, .read_delay_us = 100};
    struct smf__disk *inner;
    struct rig rig;

    CHECK(rig_open(&rig, ".", &options));
    inner = rig.disk;
    CHECK_EQ(smf__disk_slow_open(&rig.disk, inner, &delays, NULL), SMF_OK);
    test(&rig);
    rig_close(&rig);
}

static void each_rig(rig_test test)
{
    const uint32_t backends[] = {SMF__DISK_URING, SMF__DISK_POSIX};

    for (int i = 0; i < 2; i++) {
        struct smf__disk_options options = {.backend = backends[i],
                                            .durable_by = SMF__DISK_BY_DSYNC};

        over_files(test, ".", &options);
        options.durable_by = SMF__DISK_BY_FLUSH;
        options.no_statx = 1;
        options.folder = "";
        over_files(test, ".", &options);
        options.plain = 1;
        over_files(test, ".", &options);
        over_files(test, "/dev/shm", &(struct smf__disk_options){.backend = backends[i]});
    }
    over_sim(test);
    over_record(test);
    over_slow(test);
}

static void overlap(void *context)
{
    struct rig *rig = context;
    struct smf__disk_file *file = make_file(rig->disk, rig_path(rig, "o"), 4 * DISK_BLOCK);
    uint8_t *data = aligned_bytes(2 * DISK_BLOCK);
    struct smf__disk_op ops[2] = {0};

    for (uint32_t i = 0; i < 2; i++) {
        ops[i] = (struct smf__disk_op){.kind = SMF__DISK_WRITE,
                                       .file = file,
                                       .offset = i * DISK_BLOCK,
                                       .size = 2 * DISK_BLOCK,
                                       .data = data};
        rig->disk->ops->queue(rig->disk, &ops[i]);
    }
}

static void overlap_in(struct rig *rig, uint32_t backend)
{
    struct smf__disk_options options = {.backend = backend};

    CHECK_EQ(smf__disk_open(&rig->disk, &options, NULL), SMF_OK);
    overlap(rig);
}

static void overlap_uring(void *context)
{
    overlap_in(context, SMF__DISK_URING);
}

static void overlap_posix(void *context)
{
    overlap_in(context, SMF__DISK_POSIX);
}

/* Two that overlap, of which one is under way, would leave either's bytes. */
static void overlapping_writes_abort(void)
{
    const uint32_t backends[] = {SMF__DISK_URING, SMF__DISK_POSIX};
    char text[1024];
    struct rig rig;

    for (int i = 0; i < 2; i++) {
        int status;

        if (!rig_open(&rig, ".", &(struct smf__disk_options){.backend = backends[i]}))
            continue;
        rig.disk->ops->close(rig.disk);
        /* Opened again in the child: the threads stay behind. */
        status = test_in_child(backends[i] == SMF__DISK_URING ? overlap_uring : overlap_posix, &rig,
                               text, sizeof text);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CHECK(strstr(text, "!overlaps_a_write(op) does not hold") != NULL);
        test_disk_remove_folder(rig.folder);
    }
}

static const struct test tests[] = {
    SUITE,
    TEST(overlapping_writes_abort),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
