/* System calls that do half of what they were asked for, or fail: compiled with stand-ins for the calls
 * that move bytes. */
#include <sys/uio.h>

#include "test_disk.h"

/* What the next calls do; the last one stays. */
struct script {
    int os_errno;    /* 0: it works */
    size_t size_max; /* bytes at most, 0: all */
    uint32_t times;  /* so often, then all is well again */
    uint32_t calls;
};

static struct script writes, reads, flushes, reserves;
static int write_flags; /* of the last one */

static int stands_in(struct script *script)
{
    script->calls++;
    if (script->times == 0)
        return 0;
    script->times--;
    errno = script->os_errno;
    return 1;
}

static ssize_t fake_pwritev2(int fd, const struct iovec *vectors, int count, off_t offset,
                             int flags)
{
    size_t size = vectors[0].iov_len;

    CHECK_EQ(count, 1);
    if (stands_in(&writes)) {
        if (writes.os_errno != 0)
            return -1;
        size = size < writes.size_max ? size : writes.size_max;
    }
    write_flags = flags;
    return pwrite(fd, vectors[0].iov_base, size, offset);
}

static ssize_t fake_pread(int fd, void *data, size_t size, off_t offset)
{
    if (stands_in(&reads)) {
        if (reads.os_errno != 0)
            return -1;
        size = size < reads.size_max ? size : reads.size_max;
    }
    return pread(fd, data, size, offset);
}

static int fake_fdatasync(int fd)
{
    return stands_in(&flushes) ? -1 : fdatasync(fd);
}

static int fake_fallocate(int fd, int mode, off_t offset, off_t size)
{
    return stands_in(&reserves) ? -1 : fallocate(fd, mode, offset, size);
}

#define pwritev2 fake_pwritev2
#define pread fake_pread
#define fdatasync fake_fdatasync
#define fallocate fake_fallocate
#include "disk/disk_call.c"
#undef pwritev2
#undef pread
#undef fdatasync
#undef fallocate

#define FILE_BYTES (16 * DISK_BLOCK)

static void open_rig(struct rig *rig, struct smf__disk_file **file_out)
{
    writes = reads = flushes = reserves = (struct script){0};
    CHECK(
        rig_open(rig, ".", &(struct smf__disk_options){.backend = SMF__DISK_POSIX, .threads = 1}));
    *file_out = make_file(rig->disk, rig_path(rig, "a"), FILE_BYTES);
}

static void check_write(struct rig *rig, struct smf__disk_file *file, struct script script)
{
    static uint8_t byte;
    uint8_t *data = aligned_bytes(FILE_BYTES), *read = aligned_bytes(FILE_BYTES);

    memset(data, ++byte, FILE_BYTES);
    writes = script;
    CHECK_EQ(write_with(rig->disk, file, 0, data, FILE_BYTES, SMF__DISK_DURABLE), SMF_OK);
    CHECK_EQ(writes.times, 0); /* they all came */
    CHECK_EQ(read_from(rig->disk, file, 0, read, FILE_BYTES), FILE_BYTES);
    CHECK_MEM(read, data, FILE_BYTES);
    free(data);
    free(read);
}

static void short_and_interrupted_writes_go_on(void)
{
    struct rig rig;
    struct smf__disk_file *file;

    open_rig(&rig, &file);
    check_write(&rig, file, (struct script){.size_max = DISK_BLOCK, .times = 5});
    check_write(&rig, file, (struct script){.size_max = 3 * DISK_BLOCK, .times = 3});
    check_write(&rig, file, (struct script){.os_errno = EINTR, .times = 30});
    check_write(&rig, file, (struct script){.os_errno = EOPNOTSUPP, .times = 1}); /* no pwritev2 */
    CHECK_GE(flushes.calls, 1);
    rig_close(&rig);
}

static void a_write_that_does_not_move_fails(void)
{
    struct rig rig;
    struct smf__disk_file *file;
    uint8_t *data = aligned_bytes(FILE_BYTES);

    open_rig(&rig, &file);
    file->direct = 0; /* so that the kernel takes such sizes */
    CHECK_EQ(fcntl(file->fd, F_SETFL, 0), 0);
    writes = (struct script){.size_max = 100, .times = 1000};
    CHECK_EQ(write_with(rig.disk, file, 0, data, FILE_BYTES, 0), SMF_EIO);
    CHECK_EQ(writes.calls, SMF__DISK_RETRIES_MAX + 1);
    rig_close(&rig);
    free(data);
}

static void short_and_interrupted_reads_go_on(void)
{
    struct rig rig;
    struct smf__disk_file *file;
    uint8_t *data = aligned_bytes(FILE_BYTES);

    open_rig(&rig, &file);
    reads = (struct script){.size_max = DISK_BLOCK, .times = 7};
    CHECK_EQ(read_from(rig.disk, file, 0, data, FILE_BYTES), FILE_BYTES);
    CHECK_EQ(reads.calls, 8);
    reads = (struct script){.os_errno = EINTR, .times = 7};
    CHECK_EQ(read_from(rig.disk, file, 0, data, FILE_BYTES), FILE_BYTES);
    CHECK_EQ(reads.calls, 8);
    rig_close(&rig);
    free(data);
}

static const struct {
    int os_errno, status;
} errors[] = {
    {EIO, SMF_EIO},           {ENOSPC, SMF_ENOSPACE}, {EDQUOT, SMF_EQUOTA},
    {EROFS, SMF_EREADONLY},   {EFBIG, SMF_ELIMIT},    {ENOMEM, SMF_ENOMEM},
    {EPERM, SMF_EPERMISSION}, {ENXIO, SMF_ESYSTEM},   {EAGAIN, SMF_ESYSTEM},
};

static void every_error_has_its_status(void)
{
    struct rig rig;
    struct smf__disk_file *file;
    uint8_t *data = aligned_bytes(DISK_BLOCK);

    open_rig(&rig, &file);
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        struct script script = {.os_errno = errors[i].os_errno, .times = 1};
        struct smf__disk_op op = {
            .kind = SMF__DISK_READ, .file = file, .size = DISK_BLOCK, .data = data};

        writes = script;
        CHECK_EQ(write_with(rig.disk, file, 0, data, DISK_BLOCK, SMF__DISK_DURABLE),
                 errors[i].status);
        reads = script;
        CHECK_EQ(smf__disk_run(rig.disk, &op), errors[i].status);
        CHECK_EQ(op.os_errno, errors[i].os_errno);
        flushes = script;
        CHECK_EQ(run_file(rig.disk, SMF__DISK_FLUSH, file, 0, 0), errors[i].status);
        CHECK_EQ(flushes.calls, 1); /* never done again */
        CHECK_EQ(write_with(rig.disk, file, 0, data, DISK_BLOCK, 0), SMF_OK);
    }
    rig_close(&rig);
    free(data);
}

/* Nothing but the device tells whether a write was durable: so look at what is asked for. */
static void durable_writes_are_asked_for(void)
{
    uint8_t *data = aligned_bytes(DISK_BLOCK);

    for (uint32_t way = SMF__DISK_BY_DSYNC; way <= SMF__DISK_BY_FLUSH; way++) {
        int by_dsync = way == SMF__DISK_BY_DSYNC;
        struct rig rig;
        struct smf__disk_file *file;

        CHECK(rig_open(&rig, ".",
                       &(struct smf__disk_options){.backend = SMF__DISK_POSIX, .durable_by = way}));
        file = make_file(rig.disk, rig_path(&rig, "a"), DISK_BLOCK);
        flushes.calls = 0;
        CHECK_EQ(write_with(rig.disk, file, 0, data, DISK_BLOCK, 0), SMF_OK);
        CHECK_EQ(write_flags, 0);
        CHECK_EQ(flushes.calls, 0);
        CHECK_EQ(write_with(rig.disk, file, 0, data, DISK_BLOCK, SMF__DISK_DURABLE), SMF_OK);
        CHECK_EQ(write_flags, by_dsync ? RWF_DSYNC : 0);
        CHECK_EQ(flushes.calls, by_dsync ? 0 : 1);
        rig_close(&rig);
    }
    free(data);
}

/* The size that a file is said to have is what was made ready. */
static void room_that_could_not_be_made(void)
{
    struct rig rig;
    struct smf__disk_file *file;
    uint64_t size = 2ull * SMF__DISK_ZERO_STEP_BYTES;

    open_rig(&rig, &file);
    reserves = (struct script){.os_errno = ENOSPC, .times = 1};
    CHECK_EQ(run_file(rig.disk, SMF__DISK_ZERO, file, FILE_BYTES, size), SMF_ENOSPACE);
    CHECK_EQ(file->size_bytes, FILE_BYTES);
    reserves =
        (struct script){.os_errno = EOPNOTSUPP, .times = 1}; /* not there: written all the same */
    CHECK_EQ(run_file(rig.disk, SMF__DISK_ZERO, file, FILE_BYTES, size), SMF_OK);
    CHECK_EQ(file->size_bytes, FILE_BYTES + size);
    flushes = (struct script){.os_errno = EIO, .times = 1};
    CHECK_EQ(run_file(rig.disk, SMF__DISK_ZERO, file, FILE_BYTES + size, size), SMF_EIO);
    CHECK_EQ(file->size_bytes, FILE_BYTES + size);
    writes = (struct script){.os_errno = EIO, .times = 1};
    CHECK_EQ(run_file(rig.disk, SMF__DISK_ZERO, file, FILE_BYTES + size, size), SMF_EIO);
    rig_close(&rig);
}

static const struct test tests[] = {
    TEST(short_and_interrupted_writes_go_on), TEST(a_write_that_does_not_move_fails),
    TEST(short_and_interrupted_reads_go_on),  TEST(every_error_has_its_status),
    TEST(durable_writes_are_asked_for),       TEST(room_that_could_not_be_made),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
