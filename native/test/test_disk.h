/* For tests of the disk room: disks of every kind over a folder of this test's own, and short ways to
 * run operations on them. */
#ifndef SMF_TEST_DISK_H
#define SMF_TEST_DISK_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "disk/disk.h"
#include "disk/disk_sim.h"
#include "test.h"
#include "time/time_random.h"

#define DISK_BLOCK 4096u /* aligned for every file system */

/* A disk, and the folder on it that is empty. */
struct rig {
    struct smf__disk *disk;
    struct smf__disk_world *world; /* NULL: real files */
    const char *name;
    char folder[256];
};

static inline int test_disk_remove(const char *path, const struct stat *status, int kind,
                                   struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

static inline void test_disk_folder(char *path, size_t size, const char *parent)
{
    snprintf(path, size, "%s/smf-disk-XXXXXX", parent);
    CHECK(mkdtemp(path) != NULL);
}

static inline void test_disk_remove_folder(const char *path)
{
    CHECK_EQ(nftw(path, test_disk_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* A disk over a new folder below parent. Returns 0 where io_uring can't be had. */
static inline int rig_open(struct rig *rig, const char *parent,
                           const struct smf__disk_options *options)
{
    struct smf__disk_options own = *options;
    struct smf_error error = {0};
    int status;

    memset(rig, 0, sizeof *rig);
    test_disk_folder(rig->folder, sizeof rig->folder, parent);
    if (own.folder != NULL)
        own.folder = rig->folder;
    status = smf__disk_open(&rig->disk, &own, &error);
    if (status == SMF_EUNSUPPORTED && own.backend == SMF__DISK_URING) {
        static int said;

        if (!said++)
            test_note("nothing goes through io_uring: %s", error.text);
        test_disk_remove_folder(rig->folder);
        return 0;
    }
    if (status != SMF_OK)
        test_fail(__FILE__, __LINE__, "no disk in %s: %s", rig->folder, error.text);
    rig->name = rig->disk->ops->name;
    return 1;
}

static inline void rig_open_sim(struct rig *rig, uint64_t seed)
{
    struct smf__disk_sim_options options = {0};
    struct smf__disk_op op = {.kind = SMF__DISK_MAKE_FOLDER, .path = "/log"};

    memset(rig, 0, sizeof *rig);
    rig->world = smf__disk_world_open(seed);
    CHECK_EQ(smf__disk_sim_open(&rig->disk, rig->world, &options, NULL), SMF_OK);
    CHECK_EQ(smf__disk_run(rig->disk, &op), SMF_OK);
    rig->name = "sim";
    snprintf(rig->folder, sizeof rig->folder, "/log");
}

static inline void rig_close(struct rig *rig)
{
    rig->disk->ops->close(rig->disk);
    if (rig->world != NULL)
        smf__disk_world_close(rig->world);
    else
        test_disk_remove_folder(rig->folder);
}

static inline const char *rig_path(const struct rig *rig, const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", rig->folder, name);
    return path;
}

static inline int run_path(struct smf__disk *disk, uint32_t kind, const char *path)
{
    struct smf__disk_op op = {.kind = kind, .path = path};

    return smf__disk_run(disk, &op);
}

static inline int run_file(struct smf__disk *disk, uint32_t kind, struct smf__disk_file *file,
                           uint64_t offset, uint64_t size)
{
    struct smf__disk_op op = {.kind = kind, .file = file, .offset = offset, .size = size};

    return smf__disk_run(disk, &op);
}

static inline struct smf__disk_file *open_with(struct smf__disk *disk, const char *path,
                                               uint32_t flags)
{
    struct smf__disk_op op = {.kind = SMF__DISK_OPEN, .flags = flags, .path = path};

    if (smf__disk_run(disk, &op) != SMF_OK)
        test_fail(__FILE__, __LINE__, "open %s: %s (%s)", path, smf_status_name(op.status),
                  strerror(op.os_errno));
    return op.file;
}

/* A file with so much room. */
static inline struct smf__disk_file *make_file(struct smf__disk *disk, const char *path,
                                               uint64_t size)
{
    struct smf__disk_file *file = open_with(disk, path, SMF__DISK_CREATE);

    if (size > 0)
        CHECK_EQ(run_file(disk, SMF__DISK_ZERO, file, 0, size), SMF_OK);
    return file;
}

static inline void close_file(struct smf__disk *disk, struct smf__disk_file *file)
{
    CHECK_EQ(run_file(disk, SMF__DISK_CLOSE, file, 0, 0), SMF_OK);
}

static inline int write_with(struct smf__disk *disk, struct smf__disk_file *file, uint64_t offset,
                             void *data, uint64_t size, uint32_t flags)
{
    struct smf__disk_op op = {.kind = SMF__DISK_WRITE,
                              .flags = flags,
                              .file = file,
                              .offset = offset,
                              .size = size,
                              .data = data};
    int status = smf__disk_run(disk, &op);

    if (status == SMF_OK)
        CHECK_EQ(op.done, size);
    return status;
}

/* Returns bytes. */
static inline uint64_t read_from(struct smf__disk *disk, struct smf__disk_file *file,
                                 uint64_t offset, void *data, uint64_t size)
{
    struct smf__disk_op op = {
        .kind = SMF__DISK_READ, .file = file, .offset = offset, .size = size, .data = data};

    CHECK_EQ(smf__disk_run(disk, &op), SMF_OK);
    return op.done;
}

static inline uint8_t *aligned_bytes(size_t size)
{
    uint8_t *bytes = aligned_alloc(DISK_BLOCK, (size + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK);

    CHECK(bytes != NULL);
    memset(bytes, 0, size);
    return bytes;
}

static inline void fill_bytes(uint8_t *bytes, size_t size, struct smf__random *random)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)smf__random_next(random);
}

/* Polls until so many operations are done. */
static inline void await_ops(struct smf__disk *disk, uint32_t count)
{
    struct smf__disk_op *ops[32];

    while (count > 0) {
        uint32_t found = disk->ops->poll(disk, ops, count < 32 ? count : 32);

        count -= found;
        if (found == 0)
            disk->ops->wait(disk, -1);
    }
}

#endif
