/* For tests on other file systems: images behind loop devices, and tmpfs, in a mount namespace of this
 * process, which takes mounts and devices with it when it ends, in whatever way. */
#ifndef SMF_TEST_MOUNTS_H
#define SMF_TEST_MOUNTS_H

#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include "test_disk.h"

#define TEST_IMAGE_BYTES (320ll << 20) /* mkfs.xfs makes no smaller ones; sparse */

static struct {
    char folder[64];  /* holds the image and the mount point */
    char point[96];   /* where it is mounted; empty: this user may not mount */
    const char *name; /* of the file system; NULL: none is mounted */
} test_mounts;

struct test_image {
    const char *type;      /* as mount takes it */
    const char *program;   /* that makes one; NULL: there is nothing to make */
    const char *options;   /* of the program, or of the mount where there is none; or NULL */
    uint32_t sector_bytes; /* of the device; 0: 512 */
};

/* Everything that is mounted here is this process's own. */
static inline void test_mounts_begin(void)
{
    test_mounts.point[0] = '\0';
    test_disk_folder(test_mounts.folder, sizeof test_mounts.folder, ".");
    if (test_emulated() || geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        return;
    }
    snprintf(test_mounts.point, sizeof test_mounts.point, "%s/mount", test_mounts.folder);
    CHECK_EQ(mkdir(test_mounts.point, 0700), 0);
}

static inline void test_mounts_drop(void)
{
    if (test_mounts.name != NULL)
        CHECK_EQ(umount2(test_mounts.point, 0), 0);
    test_mounts.name = NULL;
}

static inline void test_mounts_end(void)
{
    test_mounts_drop();
    test_disk_remove_folder(test_mounts.folder);
}

/* Attaches a file to a free loop device that goes when its last user does. Returns its descriptor, with
 * its path, or -1. */
static inline int test_mounts_attach(const char *image, uint32_t sector_bytes, char *device_out,
                                     size_t size)
{
    struct loop_config config = {.block_size = sector_bytes,
                                 .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
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
static inline const char *test_mounts_image(const struct test_image *image)
{
    char path[128], device_path[64], command[256];
    int device, fd, status;

    if (access(image->program, X_OK) != 0)
        return "no program that makes one";
    snprintf(path, sizeof path, "%s/image", test_mounts.folder);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, TEST_IMAGE_BYTES), 0);
    close(fd);
    snprintf(command, sizeof command, "%s -q %s %s >/dev/null 2>&1", image->program,
             image->options != NULL ? image->options : "", path);
    if (system(command) != 0)
        return "it could not be made";
    device = test_mounts_attach(path, image->sector_bytes, device_path, sizeof device_path);
    if (device < 0)
        return "no loop device";
    CHECK_EQ(unlink(path), 0);
    status = mount(device_path, test_mounts.point, image->type, 0, NULL);
    close(device);
    return status == 0 ? NULL : "it can't be mounted";
}

/* Mounts a new one in place of the last one. Returns 0 where that can't be done: the test is skipped. */
static inline int test_mounts_on(const struct test_image *image)
{
    const char *why = NULL;

    test_mounts_drop();
    if (test_mounts.point[0] == '\0')
        why = "this user may not mount";
    else if (image->program != NULL)
        why = test_mounts_image(image);
    else if (mount(image->type, test_mounts.point, image->type, 0, image->options) != 0)
        why = "it can't be mounted";
    if (why != NULL) {
        test_skip("no %s: %s", image->type, why);
        return 0;
    }
    test_mounts.name = image->type;
    return 1;
}

#endif
