/* The same on other file systems, and full ones: XFS and ext4 on images behind loop devices, in a mount
 * namespace of this process, which takes mounts and devices with it when it ends, in whatever way. Skipped
 * where that is not allowed. */
#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include "test_disk_suite.h"

#define IMAGE_BYTES (320ll << 20) /* mkfs.xfs makes no smaller ones; sparse */

static struct {
    char folder[64];  /* holds the image and the mount point */
    char point[96];   /* where it is mounted; empty: it is not */
    const char *name; /* of the file system */
} mounted;

static int has_program(const char *path)
{
    return access(path, X_OK) == 0;
}

static int run_program(const char *program, const char *image)
{
    char command[256];

    snprintf(command, sizeof command, "%s -q %s >/dev/null 2>&1", program, image);
    return system(command);
}

/* Attaches a file to a free loop device that goes when its last user does. Returns its descriptor, with
 * its path, or -1. */
static int attach_image(const char *image, char *device_out, size_t size)
{
    struct loop_config config = {.info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
    int image_fd = open(image, O_RDWR | O_CLOEXEC);
    int device = -1;

    CHECK(image_fd >= 0);
    config.fd = (uint32_t)image_fd;
    for (int tries = 0; tries < 8 && device < 0; tries++) {
        int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
        int index = control >= 0 ? ioctl(control, LOOP_CTL_GET_FREE) : -1;

        if (control >= 0)
            close(control);
        if (index < 0)
            break;
        snprintf(device_out, size, "/dev/loop%d", index);
        device = open(device_out, O_RDWR | O_CLOEXEC);
        if (device >= 0 && ioctl(device, LOOP_CONFIGURE, &config) != 0) {
            close(device); /* somebody else was faster */
            device = -1;
        }
    }
    close(image_fd);
    return device;
}

/* Returns NULL or why it can't be done. */
static const char *mount_image(const char *type, const char *program)
{
    char image[128], device_path[64];
    int device, fd, status;

    if (!has_program(program))
        return "no program that makes one";
    snprintf(image, sizeof image, "%s/image", mounted.folder);
    fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, IMAGE_BYTES), 0);
    close(fd);
    if (run_program(program, image) != 0)
        return "it could not be made";
    device = attach_image(image, device_path, sizeof device_path);
    if (device < 0)
        return "no loop device";
    CHECK_EQ(unlink(image), 0);
    status = mount(device_path, mounted.point, type, 0, NULL);
    close(device);
    return status == 0 ? NULL : "it can't be mounted";
}

static void drop_mount(void)
{
    if (mounted.name != NULL)
        CHECK_EQ(umount2(mounted.point, 0), 0);
    mounted.name = NULL;
}

static int mount_one(const char *type, const char *program)
{
    const char *why;

    drop_mount();
    why = mount_image(type, program);
    if (why != NULL) {
        test_note("not on %s: %s", type, why);
        return 0;
    }
    mounted.name = type;
    return 1;
}

static void each_rig(rig_test test)
{
    const uint32_t backends[] = {SMF__DISK_URING, SMF__DISK_POSIX};

    for (int i = 0; i < 2; i++) {
        struct smf__disk_options options = {.backend = backends[i]};
        struct rig rig;

        options.durable_by = i == 0 ? SMF__DISK_BY_DSYNC : SMF__DISK_BY_FLUSH;
        if (!rig_open(&rig, mounted.point, &options))
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
    struct smf__disk_file *large = make_file(disk, rig_path(rig, "b"), IMAGE_BYTES / 2);
    uint8_t *data = aligned_bytes(DISK_BLOCK), *read = aligned_bytes(DISK_BLOCK);
    struct smf__disk_op zero = {
        .kind = SMF__DISK_ZERO, .file = file, .offset = DISK_BLOCK, .size = IMAGE_BYTES};
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
    zero.size = IMAGE_BYTES / 4;
    CHECK_EQ(smf__disk_run(disk, &zero), SMF_OK);
    CHECK_EQ(file->size_bytes, DISK_BLOCK + IMAGE_BYTES / 4);
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

static void run_on(const char *type, const char *program)
{
    const char *outer = test_state.name;

    if (!mount_one(type, program))
        return;
    for (size_t i = 0; i < TEST_COUNT(on_every); i++) {
        test_state.name = on_every[i].name;
        on_every[i].run();
    }
    test_state.name = outer;
    drop_mount();
}

static void on_xfs(void)
{
    if (mounted.point[0] != '\0')
        run_on("xfs", "/usr/sbin/mkfs.xfs");
}

static void on_ext4(void)
{
    if (mounted.point[0] != '\0')
        run_on("ext4", "/usr/sbin/mkfs.ext4");
}

/* Everything that is mounted here is this process's own. */
static void prepare(void)
{
    mounted.point[0] = '\0';
    test_disk_folder(mounted.folder, sizeof mounted.folder, ".");
    if (test_emulated() || geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        test_state.name = "mounts";
        test_note("only the working folder's file system: this user may not mount");
        return;
    }
    snprintf(mounted.point, sizeof mounted.point, "%s/mount", mounted.folder);
    CHECK_EQ(mkdir(mounted.point, 0700), 0);
}

static const struct test tests[] = {
    TEST(on_xfs),
    TEST(on_ext4),
};

int main(int argc, char **argv)
{
    int status;

    prepare();
    status = test_main(argc, argv, tests, TEST_COUNT(tests));
    test_disk_remove_folder(mounted.folder);
    return status;
}
