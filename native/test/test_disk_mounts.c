/* The same on other file systems, and full ones: XFS and ext4 on images behind loop devices. Skipped where
 * that is not allowed. */
#include "test_disk_suite.h"
#include "test_mounts.h"

static void each_rig(rig_test test)
{
    const uint32_t backends[] = {SMF__DISK_URING, SMF__DISK_POSIX};

    for (int i = 0; i < 2; i++) {
        struct smf__disk_options options = {.backend = backends[i]};
        struct rig rig;

        options.durable_by = i == 0 ? SMF__DISK_BY_DSYNC : SMF__DISK_BY_FLUSH;
        if (!rig_open(&rig, test_mounts.point, &options))
            continue;
        test(&rig);
        rig_close(&rig);
    }
}

static void alignment_is_asked(struct rig *rig)
{
    struct smf__disk_file *file = make_file(rig->disk, rig_path(rig, "a"), DISK_BLOCK);

    CHECK_EQ(file->direct, 1);
    CHECK_EQ(file->offset_align_bytes, 512);
    close_file(rig->disk, file);
}

/* What there was stays readable and writable, and it goes on when there is space again. */
static void a_full_disk(struct rig *rig)
{
    struct smf__disk *disk = rig->disk;
    struct smf__disk_file *file = make_file(disk, rig_path(rig, "a"), DISK_BLOCK);
    struct smf__disk_file *large = make_file(disk, rig_path(rig, "b"), TEST_IMAGE_BYTES / 2);
    uint8_t *data = aligned_bytes(DISK_BLOCK), *read = aligned_bytes(DISK_BLOCK);
    struct smf__disk_op zero = {
        .kind = SMF__DISK_ZERO, .file = file, .offset = DISK_BLOCK, .size = TEST_IMAGE_BYTES};
    struct smf_error error;

    CHECK_EQ(smf__disk_run(disk, &zero), SMF_ENOSPACE);
    (void)smf__disk_explain(&zero, "a", &error);
    CHECK_STR(error.text, "cannot make room in a: No space left on device; free some space on this "
                          "file system");
    CHECK_EQ(file->size_bytes, DISK_BLOCK);
    memset(data, 0x11, DISK_BLOCK);
    CHECK_EQ(write_with(disk, file, 0, data, DISK_BLOCK, SMF__DISK_DURABLE), SMF_OK);
    CHECK_EQ(read_from(disk, file, 0, read, DISK_BLOCK), DISK_BLOCK);
    CHECK_MEM(read, data, DISK_BLOCK);
    close_file(disk, large);
    CHECK_EQ(run_path(disk, SMF__DISK_UNLINK, rig_path(rig, "b")), SMF_OK);
    zero.size = TEST_IMAGE_BYTES / 4;
    CHECK_EQ(smf__disk_run(disk, &zero), SMF_OK);
    CHECK_EQ(file->size_bytes, DISK_BLOCK + TEST_IMAGE_BYTES / 4);
    close_file(disk, file);
    free(data);
    free(read);
}

static void the_probe_measures(struct rig *rig)
{
    struct smf__disk_options options = {.folder = rig->folder, .backend = SMF__DISK_POSIX};
    struct smf__disk *disk;
    char text[512];

    CHECK_EQ(smf__disk_open(&disk, &options, NULL), SMF_OK);
    smf__disk_describe(disk, text, sizeof text);
    CHECK(strstr(text, "O_DIRECT in blocks of 512 bytes") != NULL);
    CHECK(strstr(text, "(4 at a time: RWF_DSYNC ") != NULL);
    disk->ops->close(disk);
}

RIG_TEST(alignment_is_asked)
RIG_TEST(a_full_disk)
RIG_TEST(the_probe_measures)

static const struct test on_every[] = {
    SUITE,
    TEST(every_alignment_is_asked),
    TEST(every_a_full_disk),
    TEST(every_the_probe_measures),
};

static void run_on(const struct test_image *image)
{
    const char *outer = test_state.name;

    if (!test_mounts_on(image))
        return;
    for (size_t i = 0; i < TEST_COUNT(on_every); i++) {
        test_state.name = on_every[i].name;
        on_every[i].run();
    }
    test_state.name = outer;
    test_mounts_drop();
}

static void on_xfs(void)
{
    run_on(&(struct test_image){.type = "xfs", .program = "/usr/sbin/mkfs.xfs"});
}

static void on_ext4(void)
{
    run_on(&(struct test_image){.type = "ext4", .program = "/usr/sbin/mkfs.ext4"});
}

static const struct test tests[] = {
    TEST(on_xfs),
    TEST(on_ext4),
};

int main(int argc, char **argv)
{
    int status;

    test_mounts_begin();
    status = test_main(argc, argv, tests, TEST_COUNT(tests));
    test_mounts_end();
    return status;
}
